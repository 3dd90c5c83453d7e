//! Each verb of bonds: what it makes, what it refuses and what it says then.

use serde_json::{Value, json};

use crate::config::{Config, check, edit::edit};
use crate::error::ApiError;
use crate::request::Request;

fn start() -> Config {
    let text = r#"
        [bridge.br0]
        uplink = "bond0"
        [bridge.oob]
        [bond.bond0]
        mode = "active-backup"
        members = ["eth0", "eth1"]
        primary = "eth1"
        prio = { eth1 = 5 }
        actor_port_prio = { eth1 = 7 }
        [port.eth1]
        kind = "nic"
        queues = 2
        [port.oob-bo]
        kind = "bond"
        bridge = "oob"
        [bond.oob-bo]
        members = ["eth2"]
        [port.vm1]
        kind = "tap"
        bridge = "oob"
    "#;
    let config: Config = toml::from_str(text).expect("a configuration");
    assert_eq!(check(&config), vec![]);
    config
}

fn call(method: &str, parameters: Value) -> Result<Config, ApiError> {
    let request =
        Request::decode(&format!("io.vswitch.Bond.{method}"), &parameters).expect("a request");
    edit(&start(), &request).map(|config| config.expect("an edit"))
}

fn done(method: &str, parameters: Value) -> Config {
    let config = call(method, parameters).expect("can be done");
    assert_eq!(check(&config), vec![]);
    config
}

/// The error's name, and all that it says.
fn refused(method: &str, parameters: Value) -> (String, String) {
    let error = call(method, parameters).expect_err("must be refused");
    let name = error.to_wire().0;
    (
        name.rsplit('.').next().unwrap_or_default().to_owned(),
        format!("{error} {}", error.hint().unwrap_or_default()),
    )
}

#[test]
fn a_new_bond_is_put_on_its_bridge() {
    let options = json!({"mode": "802.3ad", "members": ["eth5", "eth6"], "lacp_rate": "fast"});
    let config = done(
        "Add",
        json!({"name": "new", "bridge": "br0", "config": options}),
    );
    assert_eq!(config.bond["new"].members, ["eth5", "eth6"]);
    assert_eq!(config.bridge_of("new"), Some("br0"));
    let again = json!({"name": "oob-bo", "mayExist": true, "config": {"members": ["eth2"]}});
    assert_eq!(done("Add", again), start());
    for (parameters, name) in [
        (json!({"name": "oob-bo"}), "AlreadyExists"),
        (json!({"name": "new", "bridge": "none"}), "NotFound"),
        (
            json!({"name": "new", "config": {"lacp_rat": 1}}),
            "InvalidConfig",
        ),
    ] {
        assert_eq!(refused("Add", parameters.clone()).0, name, "{parameters}");
    }
}

#[test]
fn every_option_is_set_by_its_name_and_put_back_by_null() {
    let config = done(
        "Set",
        json!({"name": "bond0", "config": {"mode": 4, "primary": null, "lacp_rate": 1, "min_links": 2}}),
    );
    let text = serde_json::to_value(&config.bond["bond0"]).expect("JSON");
    assert_eq!(
        (
            &text["mode"],
            &text["lacp_rate"],
            &text["min_links"],
            &text["primary"]
        ),
        (&json!("802.3ad"), &json!("fast"), &json!(2), &Value::Null)
    );
    assert_eq!(
        refused("Set", json!({"name": "bond9", "config": {}})).0,
        "NotFound"
    );
}

#[test]
fn a_bond_goes_with_what_is_only_its_own() {
    let (name, text) = refused("Del", json!({"name": "bond0"}));
    assert_eq!(name, "InUse");
    assert!(text.contains("vswctl bridge set br0 uplink="), "{text}");
    let config = done("Del", json!({"name": "oob-bo"}));
    assert!(!config.port.contains_key("oob-bo") && !config.bond.contains_key("oob-bo"));
    assert_eq!(done("Del", json!({"name": "x", "ifExists": true})), start());
    assert_eq!(refused("Del", json!({"name": "x"})).0, "NotFound");
}

#[test]
fn a_member_that_goes_is_named_nowhere_any_more() {
    let config = done("DelMember", json!({"bond": "bond0", "member": "eth1"}));
    let bond = &config.bond["bond0"];
    assert_eq!(bond.members, ["eth0"]);
    assert_eq!(bond.primary, None);
    assert!(bond.prio.is_empty() && bond.actor_port_prio.is_empty());
    assert!(!config.port.contains_key("eth1"), "its table is no port's");
    let (name, text) = refused("DelMember", json!({"bond": "oob-bo", "member": "eth2"}));
    assert_eq!(name, "InUse");
    assert!(text.contains("vswctl bond del oob-bo"), "{text}");
    let (name, text) = refused("DelMember", json!({"bond": "bond0", "member": "eth7"}));
    assert_eq!(name, "NotFound");
    assert!(text.contains("eth7"), "{text}");
}

#[test]
fn a_member_comes_if_it_is_nobody_elses() {
    let config = done("AddMember", json!({"bond": "bond0", "member": "eth9"}));
    assert_eq!(config.bond["bond0"].members, ["eth0", "eth1", "eth9"]);
    for (member, name, says) in [
        ("eth0", "AlreadyExists", "vswctl bond show bond0"),
        ("eth2", "InUse", "vswctl bond del-member oob-bo eth2"),
        ("vm1", "InUse", "vswctl port del vm1"),
    ] {
        let (found, text) = refused("AddMember", json!({"bond": "bond0", "member": member}));
        assert_eq!(found, name, "{member}");
        assert!(text.contains(says), "{text}");
    }
    let bond = call("AddMember", json!({"bond": "bond0", "member": "br0"})).expect("an edit");
    assert!(!check(&bond).is_empty(), "a bridge is no member");
}
