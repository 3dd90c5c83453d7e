//! VLAN profiles, policies by kind of port, and errors: what a configuration compiles to.

use super::*;
use vswitch_api::config::{Config, tree};

fn facts() -> Facts {
    let mut facts = Facts::default();
    facts.mem_ports = true;
    facts
}

fn config(tree: serde_json::Value) -> Config {
    tree::config(&tree).expect("a configuration of the test")
}

fn view_of(port: serde_json::Value) -> PortView {
    let config = config(serde_json::json!({"bridge": {"br0": {}}, "port": {"p": port}}));
    let compiled = compile(&config, &mut Registry::new(1), &facts()).expect("right");
    compiled.ports["p"].view.clone()
}

fn vlans(view: &PortView) -> (Option<u16>, Vec<u16>, Vec<u16>) {
    let all: Vec<u16> = view.vlans.iter().map(Vid::get).collect();
    let untagged: Vec<u16> = view.untagged.iter().map(Vid::get).collect();
    (view.pvid.map(Vid::get), all, untagged)
}

/// V-02..V-06, 3.2.4: each way to say VLANs, and that none leaks VLAN 1.
#[test]
fn each_profile_is_in_the_vlans_it_names_and_no_other() {
    let port = |extra: serde_json::Value| {
        let mut port = serde_json::json!({"bridge": "br0", "kind": "tap"});
        for (key, value) in extra.as_object().expect("an object") {
            port[key] = value.clone();
        }
        vlans(&view_of(port))
    };
    let json = |text: &str| serde_json::from_str(text).expect("JSON");
    assert_eq!(port(json("{}")), (Some(1), vec![1], vec![1]));
    assert_eq!(
        port(json(r#"{"vlan": 100}"#)),
        (Some(100), vec![100], vec![100])
    );
    assert_eq!(
        port(json(r#"{"trunk": [100, "200-201"]}"#)),
        (None, vec![100, 200, 201], vec![])
    );
    assert_eq!(
        port(json(r#"{"native_vlan": 5, "trunk": [100]}"#)),
        (Some(5), vec![5, 100], vec![5])
    );
    assert_eq!(
        port(json(
            r#"{"vlans": [{"vid": 7, "pvid": true}, {"vid": 8, "untagged": true}]}"#
        )),
        (Some(7), vec![7, 8], vec![8])
    );
}

/// T-04, T-05: uplinks listen, guests are contained.
#[test]
fn spanning_tree_frames_are_judged_by_the_kind_of_port() {
    let of = |kind: &str| view_of(serde_json::json!({"bridge": "br0", "kind": kind})).bpdu;
    assert_eq!(of("tap"), CoreBpdu::Contain);
    assert_eq!(of("nic"), CoreBpdu::Listen);
}

/// All errors at once, each with its path.
#[test]
fn every_error_is_reported() {
    let config = config(serde_json::json!({
        "bridge": {"br0": {}},
        "port": {
            "a": {"bridge": "br1", "kind": "tap"},
            "b": {"bridge": "br0", "kind": "tap", "vlan": 4095},
        },
    }));
    let errors = compile(&config, &mut Registry::new(1), &facts()).expect_err("wrong");
    let paths: Vec<&str> = errors.iter().map(|e| e.path.as_str()).collect();
    assert!(
        paths.contains(&"port.a.bridge") && paths.contains(&"port.b.vlan"),
        "{errors:?}"
    );
}

/// S-22: the kernel's own bridge keeps its port.
#[test]
fn a_device_of_a_kernel_bridge_is_blocked_with_the_reason() {
    let mut facts = facts();
    facts.insert(crate::facts::Link {
        ifindex: 7,
        name: "eth1".into(),
        master: Some("kbr".into()),
        ..crate::facts::Link::default()
    });
    let config = config(serde_json::json!({
        "bridge": {"br0": {}}, "port": {"eth1": {"bridge": "br0", "kind": "nic"}},
    }));
    let compiled =
        compile(&config, &mut Registry::new(1), &facts).expect("right but for the machine");
    assert!(
        compiled.blocked["eth1"].message.contains("kbr"),
        "{:?}",
        compiled.blocked
    );
}
