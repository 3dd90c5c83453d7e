//! The order of effects: a port comes before the snapshot that names it and goes after the one that
//! forgets it.

use super::*;
use crate::actual::ActualPort;
use crate::compile::compile;
use crate::effect::PortFacts;
use crate::facts::Facts;
use crate::registry::Registry;
use vswitch_api::config::tree;
use vswitch_base::VidSet;

fn target(tree: serde_json::Value) -> Compiled {
    let config = tree::config(&tree).expect("a configuration of the test");
    compile(&config, &mut Registry::new(1), &Facts::default()).expect("right")
}

fn one_port() -> Compiled {
    target(serde_json::json!({
        "bridge": {"br0": {}}, "port": {"t": {"bridge": "br0", "kind": "tap"}},
    }))
}

fn names(stages: &[Stage]) -> Vec<&'static str> {
    let name = |stage: &Stage| match stage {
        Stage::Do(effects) => match effects.first() {
            Some(Effect::OpenPort { .. }) => "open",
            Some(Effect::AttachPort { .. }) => "attach",
            Some(Effect::DetachPort { .. }) => "detach",
            Some(Effect::ClosePort { .. }) => "close",
            _ => "other",
        },
        Stage::PublishWithout(_) => "publish-without",
        Stage::PublishTarget => "publish",
        Stage::AwaitObserved => "observed",
        Stage::Forget => "forget",
        Stage::Save => "save",
    };
    stages.iter().map(name).collect()
}

#[test]
fn a_port_is_open_and_attached_before_it_is_published() {
    let order = names(&delta(
        &Actual::default(),
        &one_port(),
        &Conditions::default(),
    ));
    let at = |what: &str| order.iter().position(|step| *step == what).expect(what);
    assert!(
        at("open") < at("attach") && at("attach") < at("publish"),
        "{order:?}"
    );
}

#[test]
fn a_port_is_closed_after_every_worker_has_forgotten_it() {
    let wanted = &one_port().ports["t"];
    let mut actual = Actual::default();
    let port = ActualPort {
        index: wanted.index,
        spec: wanted.spec.clone(),
        facts: PortFacts::default(),
        attached: true,
        failed: None,
        counted: VidSet::EMPTY,
    };
    actual.ports.insert("t".into(), port);
    let gone = target(serde_json::json!({"bridge": {"br0": {}}}));
    let order = names(&delta(&actual, &gone, &Conditions::default()));
    let at = |what: &str| order.iter().position(|step| *step == what).expect(what);
    assert!(at("publish") < at("observed"), "{order:?}");
    assert!(
        at("observed") < at("detach") && at("detach") < at("close"),
        "{order:?}"
    );
}
