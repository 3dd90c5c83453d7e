//! Tests of requests as edits: each verb, what it refuses, and that protection holds for all.

use serde_json::json;

use super::*;
use crate::config::check;

/// `mgmt` is protected, with uplink `eth0` and a host port; `vm1` is a trunk on it.
fn start() -> Config {
    let text = r#"
        [bridge.mgmt]
        uplink = "eth0"
        vlans = [1, 100]
        protected = true
        [bridge.oob]
        [port.eth0]
        kind = "nic"
        [host.mgmt]
        bridge = "mgmt"
        [port.vm1]
        kind = "tap"
        bridge = "mgmt"
        native_vlan = 1
        trunk = [100]
        [port.vm2]
        kind = "tap"
        bridge = "oob"
        vlan = 100
    "#;
    let config: Config = toml::from_str(text).expect("a configuration");
    assert_eq!(check(&config), vec![]);
    config
}

fn call(method: &str, parameters: Value) -> Result<Option<Config>, ApiError> {
    let request = Request::decode(&format!("io.vswitch.{method}"), &parameters).expect("a request");
    edit(&start(), &request)
}

fn done(method: &str, parameters: Value) -> Config {
    let config = call(method, parameters)
        .expect("can be done")
        .expect("an edit");
    assert_eq!(check(&config), vec![]);
    config
}

fn refused(method: &str, parameters: Value) -> (String, String) {
    let error = call(method, parameters).expect_err("must be refused");
    let (name, _) = error.to_wire();
    (
        name.rsplit('.').next().unwrap_or_default().to_owned(),
        format!("{error} {}", error.hint().unwrap_or_default()),
    )
}

#[test]
fn bridges_are_added_set_and_deleted() {
    let config = done(
        "Switch.AddBridge",
        json!({"name": "new", "config": {"mtu": 9000}}),
    );
    assert_eq!(config.bridge["new"].mtu, 9000);
    assert_eq!(
        refused("Switch.AddBridge", json!({"name": "oob"})).0,
        "AlreadyExists"
    );
    assert_eq!(
        done("Switch.AddBridge", json!({"name": "oob", "mayExist": true})),
        start()
    );
    assert_eq!(
        refused(
            "Switch.AddBridge",
            json!({"name": "oob", "config": {"mtu": 9000}, "mayExist": true})
        )
        .0,
        "AlreadyExists"
    );
    let config = done(
        "Switch.SetBridge",
        json!({"name": "oob", "config": {"mtu": 9000, "ageing": "never"}}),
    );
    assert_eq!(
        (config.bridge["oob"].mtu, config.bridge["oob"].fdb_max),
        (9000, 65_536)
    );
    let (name, text) = refused("Switch.SetBridge", json!({"name": "obb", "config": {}}));
    assert!(
        name == "NotFound" && text.contains("did you mean \"oob\"?"),
        "{text}"
    );
    let (name, text) = refused("Switch.DelBridge", json!({"name": "oob"}));
    assert!(name == "InUse" && text.contains("vm2"), "{text}");
    let config = done("Switch.DelBridge", json!({"name": "oob", "cascade": true}));
    assert!(
        !config.bridge.contains_key("oob")
            && !config.port.contains_key("vm2")
            && config.port.contains_key("vm1")
    );
    assert_eq!(
        done(
            "Switch.DelBridge",
            json!({"name": "none", "ifExists": true})
        ),
        start()
    );
}

#[test]
fn ports_are_added_set_and_deleted() {
    let config = done(
        "Switch.AddPort",
        json!({"name": "vm3", "config": {"kind": "tap", "bridge": "mgmt", "vlan": 100}}),
    );
    assert_eq!(
        config.port["vm3"].vlan,
        Some(100),
        "ports may come on a protected bridge"
    );
    let (name, text) = refused(
        "Switch.AddPort",
        json!({"name": "vm3", "config": {"brigde": "mgmt"}}),
    );
    assert!(
        name == "InvalidConfig" && text.contains("2 errors"),
        "the key and the missing kind: {text}"
    );
    assert_eq!(
        refused(
            "Switch.AddPort",
            json!({"name": "mgmt", "config": {"kind": "tap", "bridge": "oob"}})
        )
        .0,
        "AlreadyExists"
    );
    let config = done(
        "Switch.SetPort",
        json!({"name": "vm1", "config": {"isolated": true, "trunk": null}}),
    );
    assert!(config.port["vm1"].isolated && config.port["vm1"].trunk.is_empty());
    assert_eq!(done("Switch.DelPort", json!({"name": "vm1"})).port.len(), 2);
    assert_eq!(
        refused("Switch.DelPort", json!({"name": "vm9"})).0,
        "NotFound"
    );
    assert_eq!(
        refused("Switch.DelPort", json!({"name": "eth0"})).0,
        "InUse"
    );
}

/// One way to say VLANs replaces another; the parts of a trunk change one by one.
#[test]
fn setting_a_vlan_form_takes_the_others_back() {
    let port = |config: Value| {
        done("Switch.SetPort", json!({"name": "vm1", "config": config})).port["vm1"].clone()
    };
    let access = port(json!({"vlan": 7}));
    assert_eq!(
        (access.vlan, access.native_vlan, access.trunk.is_empty()),
        (Some(7), None, true)
    );
    let trunk = port(json!({"trunk": [5]}));
    assert_eq!(
        (trunk.native_vlan, trunk.trunk.to_string()),
        (Some(1), "5".to_owned())
    );
    let full = port(json!({"vlans": [{"vid": 9}]}));
    assert_eq!(
        (
            full.native_vlan,
            full.trunk.is_empty(),
            full.vlans.is_some()
        ),
        (None, true, true)
    );
}

/// features.md 3.2.3
#[test]
fn vlans_are_added_and_deleted() {
    let config = done(
        "Switch.AddVlan",
        json!({"port": "vm2", "first": 200, "last": 210}),
    );
    assert_eq!(config.port["vm2"].trunk.to_string(), "200-210");
    assert_eq!(config.port["vm2"].native_vlan, Some(100));
    let config = done("Switch.DelVlan", json!({"port": "vm2", "first": 100}));
    assert_eq!(config.port["vm2"].vlans, Some(vec![]));
    let (name, text) = refused("Switch.DelVlan", json!({"port": "vm2", "first": 300}));
    assert!(
        name == "NotFound" && text.contains("is in VLAN 100"),
        "{text}"
    );
    assert_eq!(
        refused("Switch.AddVlan", json!({"port": "vm2", "first": 5000})).0,
        "InvalidConfig"
    );
    assert_eq!(
        refused(
            "Switch.AddVlan",
            json!({"port": "vm2", "first": 1, "last": 9, "pvid": true})
        )
        .0,
        "InvalidParameter"
    );
}

/// F-05
#[test]
fn addresses_are_added_replaced_and_deleted() {
    let mac = "02:00:00:00:00:01";
    let config = done("Fdb.Add", json!({"mac": mac, "vlan": 100, "port": "vm2"}));
    assert_eq!(config.bridge["oob"].fdb.len(), 1);
    let again = Request::decode(
        "io.vswitch.Fdb.Add",
        &json!({"mac": mac, "vlan": 100, "port": "vm2", "bridge": "oob"}),
    )
    .expect("request");
    assert_eq!(
        edit(&config, &again),
        Ok(Some(config.clone())),
        "the same entry again"
    );
    let gone = Request::decode(
        "io.vswitch.Fdb.Del",
        &json!({"bridge": "oob", "mac": mac, "vlan": 100}),
    )
    .expect("request");
    assert_eq!(edit(&config, &gone), Ok(Some(start())));
    let port_gone =
        Request::decode("io.vswitch.Switch.DelPort", &json!({"name": "vm2"})).expect("request");
    let left = edit(&config, &port_gone).expect("done").expect("edit");
    assert_eq!(check(&left), vec![], "the entry went with its port");
    assert_eq!(
        refused("Fdb.Del", json!({"bridge": "oob", "mac": mac})).0,
        "NotFound"
    );
    assert_eq!(
        refused("Fdb.Add", json!({"mac": mac, "port": "vm9"})).0,
        "NotFound"
    );
}

/// S-21: delete, rename, detach uplink, remove a VLAN, change the mode: each refused.
#[test]
fn protected_objects_stay_as_the_file_says() {
    let mut whole = serde_json::to_value(start()).expect("json");
    whole["host"] = json!({});
    for (method, parameters) in [
        ("Switch.DelBridge", json!({"name": "mgmt", "cascade": true})),
        (
            "Switch.SetBridge",
            json!({"name": "mgmt", "config": {"uplink": null, "vlans": null}}),
        ),
        (
            "Switch.SetBridge",
            json!({"name": "mgmt", "config": {"protected": false}}),
        ),
        (
            "Switch.SetPort",
            json!({"name": "eth0", "config": {"enabled": false}}),
        ),
        ("Switch.DelVlan", json!({"port": "eth0", "first": 1})),
        ("Switch.AddVlan", json!({"port": "mgmt", "first": 5})),
        ("Switch.DelPort", json!({"name": "mgmt"})),
        (
            "Fdb.Add",
            json!({"mac": "02:00:00:00:00:01", "port": "vm1"}),
        ),
        ("Switch.Apply", json!({"config": {}})),
        ("Switch.Apply", json!({"config": whole})),
    ] {
        let (name, text) = refused(method, parameters);
        assert_eq!(name, "Protected", "{method}: {text}");
        assert!(text.contains("configuration file"), "{text}");
    }
    let (name, text) = refused(
        "Switch.SetBridge",
        json!({"name": "oob", "config": {"protected": true}}),
    );
    assert!(
        name == "InvalidConfig" && text.contains("only the configuration file"),
        "{text}"
    );
}

#[test]
fn reads_are_no_edits() {
    assert_eq!(call("Switch.GetState", json!({})), Ok(None));
    assert_eq!(call("Fdb.Flush", json!({})), Ok(None));
    let same = serde_json::to_value(start()).expect("json");
    assert_eq!(
        call("Switch.Apply", json!({"config": same})),
        Ok(Some(start()))
    );
    assert!(
        matches!(call("Switch.Plan", json!({"config": {}})), Ok(Some(_))),
        "a plan is only looked at"
    );
}
