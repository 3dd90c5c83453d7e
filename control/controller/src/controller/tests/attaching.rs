//! Attachments under the controller: they come and go as changes, survive a restart, and are nobody
//! else's configuration.

use super::small;
use crate::effect::{AttachedState, OpenKind};
use crate::testing::{Rig, error, nic};
use serde_json::{Value, json};
use vswitch_api::ApiError;

fn whose(container: &str) -> Value {
    json!({"network": "net", "containerId": container, "ifname": "eth0"})
}

fn port_name(container: &str) -> String {
    let attachment: vswitch_api::types::Attachment =
        serde_json::from_value(whose(container)).expect("an attachment");
    attachment.port_name()
}

fn call(rig: &mut Rig, verb: &str, parameters: Value) -> Result<Value, ApiError> {
    rig.call(&format!("io.vswitch.Port.{verb}"), parameters)
}

fn attach(rig: &mut Rig, container: &str, config: Value) -> Result<Value, ApiError> {
    let attach = json!({
        "attachment": whose(container), "mode": "veth", "device": port_name(container), "config": config,
    });
    call(rig, "Attach", attach)
}

fn rig() -> Rig {
    let links = [
        nic("eth0", 5),
        nic(&port_name("a"), 11),
        nic(&port_name("b"), 12),
    ];
    Rig::new(small(), &links)
}

fn listed(rig: &mut Rig) -> Vec<String> {
    let reply = call(rig, "List", json!({})).expect("a list");
    let all = reply["attachments"].as_array().expect("a list").iter();
    all.map(|one| {
        format!(
            "{} {}",
            one["attachment"]["containerId"].as_str().unwrap_or("?"),
            one["state"]
        )
    })
    .collect()
}

#[test]
fn an_attachment_gets_a_port_that_is_not_the_operators() {
    let mut rig = rig();
    let before = rig
        .call("io.vswitch.Switch.GetConfig", json!({}))
        .expect("a configuration");
    let reply = attach(&mut rig, "a", json!({"bridge": "br0", "vlan": 300})).expect("attached");
    assert_eq!(
        (&reply["port"], &reply["created"]),
        (&json!(port_name("a")), &json!(true))
    );
    assert_eq!(reply["mtu"], 1500);
    let after = rig
        .call("io.vswitch.Switch.GetConfig", json!({}))
        .expect("a configuration");
    assert_eq!(before["config"], after["config"]);
    let state = rig.state();
    let port = state
        .ports
        .iter()
        .find(|p| p.name == port_name("a"))
        .expect("the port");
    assert_eq!((port.state.as_str(), port.vlans.pvid), ("up", Some(300)));
    assert_eq!(
        serde_json::to_value(&port.owner).expect("JSON"),
        json!({"kind": "cni"})
    );
    let uplink = state
        .ports
        .iter()
        .find(|p| p.name == "eth0")
        .expect("the uplink");
    assert!(
        uplink
            .vlans
            .tagged
            .iter()
            .any(|r| (r.first..=r.last).contains(&300)),
        "{uplink:?}"
    );
    assert_eq!(
        rig.saved.attachments.len(),
        1,
        "written down before it is answered"
    );

    // Again: the same, changed in place.
    rig.take_log();
    let reply = attach(&mut rig, "a", json!({"bridge": "br0", "vlan": 301})).expect("changed");
    assert_eq!(reply["created"], false);
    let log = rig.take_log();
    assert!(
        !log.iter()
            .any(|l| l.starts_with("open") || l.starts_with("close")),
        "{log:?}"
    );
    assert_eq!(rig.saved.attachments[0].config.vlan, Some(301));

    assert_eq!(
        call(&mut rig, "Detach", json!({"attachment": whose("a")})),
        Ok(json!({"detached": true}))
    );
    assert_eq!(
        call(&mut rig, "Detach", json!({"attachment": whose("a")})),
        Ok(json!({"detached": false}))
    );
    let log = rig.take_log();
    assert!(
        log.iter()
            .any(|l| l.starts_with("close") && l.contains("delete")),
        "{log:?}"
    );
    assert_eq!(rig.saved.attachments, []);
    let uplink = rig
        .state()
        .ports
        .into_iter()
        .find(|p| p.name == "eth0")
        .expect("the uplink");
    assert!(
        !uplink
            .vlans
            .tagged
            .iter()
            .any(|r| (r.first..=r.last).contains(&301))
    );
}

#[test]
fn a_port_of_an_owner_is_not_the_operators_to_edit() {
    let links = [nic("eth0", 5), nic(&port_name("a"), 11), nic("by-hand", 13)];
    let mut rig = Rig::new(small(), &links);
    attach(&mut rig, "a", json!({"bridge": "br0"})).expect("attached");
    for (verb, more) in [
        ("DelPort", json!({})),
        ("SetPort", json!({"config": {"mtu": 1400}})),
    ] {
        let mut call = json!({"name": port_name("a")});
        call.as_object_mut()
            .expect("a call")
            .extend(more.as_object().expect("more").clone());
        let refused = rig
            .call(&format!("io.vswitch.Switch.{verb}"), call)
            .expect_err("not his");
        assert!(
            matches!(&refused, ApiError::InUse { hint: Some(hint), .. } if hint.contains("net/a/eth0")),
            "{refused:?}"
        );
    }
    // A device that somebody made by hand stays when its attachment goes.
    let by_hand = json!({
        "attachment": whose("h"), "mode": "veth", "device": "by-hand", "config": {"bridge": "br0"},
    });
    call(&mut rig, "Attach", by_hand).expect("attached");
    rig.take_log();
    call(&mut rig, "Detach", json!({"attachment": whose("h")})).expect("detached");
    let log = rig.take_log();
    assert!(!log.iter().any(|l| l.contains("delete")), "{log:?}");
}

#[test]
fn a_port_that_cannot_be_opened_leaves_nothing() {
    let mut rig = rig();
    rig.fault = Box::new(|effect| match effect {
        crate::Effect::OpenPort { .. } => Some(error(1)),
        _ => None,
    });
    let refused = attach(&mut rig, "a", json!({"bridge": "br0"})).expect_err("it cannot be opened");
    assert!(
        matches!(refused, ApiError::SystemError { .. }),
        "{refused:?}"
    );
    assert_eq!(listed(&mut rig), [] as [String; 0]);
    rig.fault = Box::new(|_| None);
    let unknown = attach(&mut rig, "a", json!({"bridge": "br1"})).expect_err("no such bridge");
    assert!(
        matches!(&unknown, ApiError::NotFound { kind, .. } if kind == "bridge"),
        "{unknown:?}"
    );
    attach(&mut rig, "a", json!({"bridge": "br0", "vlan": 5000})).expect_err("no such VLAN");
    attach(&mut rig, "a", json!({"bridge": "br0"})).expect("attached");
}

#[test]
fn garbage_is_what_is_not_valid_of_that_network() {
    let mut rig = rig();
    for container in ["a", "b"] {
        attach(&mut rig, container, json!({"bridge": "br0"})).expect("attached");
    }
    let other = json!({"network": "other", "valid": []});
    assert_eq!(
        call(&mut rig, "CollectGarbage", other).expect("done")["removed"],
        json!([])
    );
    let collect = json!({"network": "net", "valid": [whose("b")]});
    let reply = call(&mut rig, "CollectGarbage", collect.clone()).expect("collected");
    assert_eq!(reply["removed"], json!([whose("a")]));
    assert_eq!(
        call(&mut rig, "CollectGarbage", collect).expect("again")["removed"],
        json!([])
    );
    assert_eq!(listed(&mut rig), ["b \"up\""]);
    assert_eq!(
        call(&mut rig, "Check", json!({"attachment": whose("b")})).expect("checked")["ok"],
        true
    );
    let gone = call(&mut rig, "Check", json!({"attachment": whose("a")})).expect("checked");
    assert!(
        gone["problems"][0]
            .as_str()
            .is_some_and(|p| p.contains("not attached"))
    );
}

#[test]
fn a_bridge_in_use_stays_and_a_later_daemon_goes_on() {
    let mut rig = rig();
    attach(&mut rig, "a", json!({"bridge": "br0", "vlan": 300})).expect("attached");
    let refused = rig
        .call("io.vswitch.Switch.Apply", json!({"config": {}}))
        .expect_err("in use");
    assert!(
        matches!(&refused, ApiError::InUse { users, .. } if users[0].contains("net/a/eth0")),
        "{refused:?}"
    );
    let saved = rig.saved.clone();
    let links = [nic("eth0", 5), nic(&port_name("a"), 11)];
    let mut rig = Rig::with(small(), &links, saved.clone(), Box::new(|_| None));
    assert_eq!(listed(&mut rig), ["a \"up\""]);

    // The operator took the bridge out of the file meanwhile, or the record is spoiled: the rest comes up.
    let without = json!({ "bridge": { "br9": {} } });
    let mut rig = Rig::with(without, &links, saved.clone(), Box::new(|_| None));
    assert_eq!(listed(&mut rig), ["a \"absent\""]);
    let mut spoiled = saved.attachments[0].clone();
    spoiled.config.vlan = Some(5000);
    let recovered = AttachedState {
        attachments: vec![spoiled],
        ..AttachedState::default()
    };
    let mut rig = Rig::with(small(), &links, recovered, Box::new(|_| None));
    assert_eq!(listed(&mut rig), [] as [String; 0]);
    attach(&mut rig, "a", json!({"bridge": "br0"})).expect("attached anew");
}

#[test]
fn descriptors_go_to_the_port_they_came_for() {
    let mut rig = rig();
    let attach = json!({
        "attachment": whose("t"), "mode": "tap", "device": "net1", "netns": "/run/netns/t",
        "config": {"bridge": "br0", "mac": "02:00:00:00:00:09"},
    });
    call(&mut rig, "Attach", attach.clone()).expect("attached");
    let open = &rig.open[&rig.index(&port_name("t"))];
    assert!(open.spec.handed.is_some());
    assert!(
        matches!(&open.spec.kind, OpenKind::Tap { device: Some(device), persistent: true, .. } if device == "net1"),
        "{:?}",
        open.spec
    );
    let mut other = attach;
    other["device"] = json!("net2");
    let refused = call(&mut rig, "Attach", other).expect_err("another device");
    assert!(
        matches!(refused, ApiError::AlreadyExists { .. }),
        "{refused:?}"
    );
    let ready = call(&mut rig, "Ready", json!({"bridge": "br0"})).expect("ready");
    assert_eq!(
        ready["modes"],
        json!(["veth"]),
        "this daemon enters no namespace"
    );
    assert_eq!(
        (&ready["mtu"], &ready["workers"]),
        (&json!(1500), &json!(2))
    );
    let unknown = call(&mut rig, "Ready", json!({"bridge": "br"})).expect_err("no such bridge");
    assert!(
        unknown.hint().is_some_and(|hint| hint.contains("br0")),
        "{unknown:?}"
    );
}
