//! Order of effects, case by case. The order is judged by what must come before what, on the whole
//! controller as well: see `controller/tests`.

use super::*;
use crate::actual::ActualPort;
use crate::compile::compile;
use crate::effect::PortFacts;
use crate::facts::Facts;
use crate::registry::Registry;
use crate::testing::{config, text};
use serde_json::{Value, json};
use vswitch_base::VidSet;
use vswitch_core::protect::PortMemory;

fn compiled(registry: &mut Registry, value: Value) -> Compiled {
    compile(&config(value), registry, &Facts::default()).expect("a configuration that compiles")
}

/// Everything of a configuration open and attached.
fn all_open(compiled: &Compiled) -> Actual {
    let ports = compiled.ports.iter().map(|(name, wanted)| {
        let port = ActualPort {
            index: wanted.index,
            spec: wanted.spec.clone(),
            facts: PortFacts::default(),
            attached: true,
            failed: None,
            counted: VidSet::EMPTY,
            memory: PortMemory::default(),
        };
        (name.clone(), port)
    });
    Actual {
        ports: ports.collect(),
    }
}

fn told(stages: &[Stage]) -> Vec<String> {
    stages
        .iter()
        .map(|stage| match stage {
            Stage::Do(effects) => effects.iter().map(text).collect::<Vec<_>>().join(", "),
            Stage::PublishWithout(names) => {
                format!(
                    "without {}",
                    names.iter().cloned().collect::<Vec<_>>().join(" ")
                )
            }
            Stage::PublishTarget => "target".to_owned(),
            Stage::AwaitObserved => "observed".to_owned(),
            Stage::Forget => "forget".to_owned(),
            Stage::Save => "save".to_owned(),
        })
        .collect()
}

fn taps(names: &[(&str, u32)]) -> Value {
    let mut config = json!({"bridge": {"br0": {}}, "port": {}});
    for (name, queues) in names {
        config["port"][*name] = json!({"kind": "tap", "bridge": "br0", "queues": queues});
    }
    config
}

#[test]
fn nothing_to_do_is_a_publication() {
    let mut registry = Registry::new(1);
    let target = compiled(&mut registry, taps(&[("a", 1)]));
    let stages = delta(&all_open(&target), &target, &Conditions::default());
    assert_eq!(told(&stages), ["target", "observed", "forget"]);
}

#[test]
fn one_comes_one_goes() {
    let mut registry = Registry::new(1);
    let old = compiled(&mut registry, taps(&[("a", 1)]));
    let new = compiled(&mut registry, taps(&[("b", 1)]));
    let stages = delta(&all_open(&old), &new, &Conditions::default());
    assert_eq!(
        told(&stages),
        [
            "open b", "save", "attach 1", "target", "observed", "forget", "detach 0", "close 0",
            "save"
        ]
    );
}

#[test]
fn one_that_changes_its_device_leaves_first() {
    let mut registry = Registry::new(1);
    let old = compiled(&mut registry, taps(&[("a", 1), ("b", 1)]));
    let new = compiled(&mut registry, taps(&[("a", 2), ("b", 1)]));
    let stages = delta(&all_open(&old), &new, &Conditions::default());
    assert_eq!(
        told(&stages),
        [
            "without a",
            "observed",
            "detach 0",
            "close 0",
            "open a",
            "save",
            "attach 0",
            "target",
            "observed",
            "forget",
            "save"
        ]
    );
}

#[test]
fn a_device_passes_from_one_port_to_another() {
    let nic = |port: &str| json!({"bridge": {"br0": {}}, "port": {port: {"kind": "nic", "device": "eth0", "bridge": "br0"}}});
    let mut registry = Registry::new(1);
    let old = compiled(&mut registry, nic("a"));
    let new = compiled(&mut registry, nic("b"));
    let told = told(&delta(&all_open(&old), &new, &Conditions::default()));
    let at = |what: &str| told.iter().position(|t| t == what).expect("in the plan");
    assert!(at("close 0") < at("open b"), "{told:?}");
}

#[test]
fn persistent_taps_stay_where_they_are_wanted_again_or_the_daemon_ends() {
    let tap = |queues: u32| json!({"bridge": {"br0": {}}, "port": {"a": {"kind": "tap", "persistent": true, "bridge": "br0", "queues": queues}}});
    let mut registry = Registry::new(1);
    let (old, new) = (
        compiled(&mut registry, tap(1)),
        compiled(&mut registry, tap(2)),
    );
    let plan = told(&delta(&all_open(&old), &new, &Conditions::default()));
    assert!(plan.contains(&"close 0".to_owned()), "{plan:?}");
    let nothing = Compiled::default();
    let plan = told(&delta(&all_open(&old), &nothing, &Conditions::default()));
    assert!(plan.contains(&"close 0 delete".to_owned()), "{plan:?}");
    let ending = Conditions {
        keep_persistent: true,
        ..Conditions::default()
    };
    let plan = told(&delta(&all_open(&old), &nothing, &ending));
    assert!(plan.contains(&"close 0".to_owned()), "{plan:?}");
}

#[test]
fn what_is_held_is_not_opened_and_what_is_lost_is_given_up() {
    let mut registry = Registry::new(1);
    let target = compiled(&mut registry, taps(&[("a", 1), ("b", 1)]));
    let name = || BTreeSet::from(["a".to_owned()]);
    let both = Conditions {
        hold: name(),
        lost: name(),
        ..Conditions::default()
    };
    let plan = told(&delta(&all_open(&target), &target, &both));
    assert_eq!(plan[..4], ["without a", "observed", "detach 0", "close 0"]);
    assert!(plan.iter().all(|t| !t.contains("open")), "{plan:?}");
}

/// What was there before us is put back, never deleted.
#[test]
fn a_nic_is_never_deleted() {
    let nic = json!({"bridge": {"br0": {}}, "port": {"eth0": {"kind": "nic", "bridge": "br0"}}});
    let old = compiled(&mut Registry::new(1), nic);
    let plan = delta(
        &all_open(&old),
        &Compiled::default(),
        &Conditions::default(),
    );
    assert!(told(&plan).contains(&"close 0".to_owned()));
}

/// A failure may have left a port open and not attached.
#[test]
fn a_port_that_was_opened_but_not_attached_is_opened_anew() {
    let mut registry = Registry::new(1);
    let target = compiled(&mut registry, taps(&[("a", 1)]));
    let mut actual = all_open(&target);
    actual.ports.get_mut("a").unwrap().attached = false;
    let plan = told(&delta(&actual, &target, &Conditions::default()));
    assert_eq!(plan[..4], ["without a", "observed", "close 0", "open a"]);
}
