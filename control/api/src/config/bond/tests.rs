//! Bonds read, checked and resolved, in the words that an operator sees.

use super::super::{Config, check, edit::guard_protected, tree};
use crate::config::{BondMode, Membership, PortKind};
use serde_json::{Value, json};

fn tree_of(bond: Value) -> Value {
    json!({
        "bridge": { "br0": { "uplink": "bond0", "vlans": [1, 100] } },
        "bond": { "bond0": bond },
    })
}

fn sound() -> Value {
    tree_of(json!({ "mode": "active-backup", "members": ["eth0", "eth1"] }))
}

/// What is wrong with a tree, one complaint a line.
fn errors(tree: &Value) -> String {
    let errors = match tree::config(tree) {
        Ok(config) => check(&config),
        Err(errors) => errors,
    };
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn config(tree: &Value) -> Config {
    assert_eq!(errors(tree), "");
    tree::config(tree).expect("a configuration")
}

/// K-01: the kernel's names, and its numbers as numbers and texts.
#[test]
fn a_mode_is_a_name_or_a_number() {
    for (said, mode) in [
        (json!("balance-rr"), BondMode::BalanceRr),
        (json!(0), BondMode::BalanceRr),
        (json!("1"), BondMode::ActiveBackup),
        (json!(2), BondMode::BalanceXor),
        (json!("broadcast"), BondMode::Broadcast),
        (json!("802.3ad"), BondMode::Lacp),
        (json!(4), BondMode::Lacp),
    ] {
        let tree = tree_of(json!({ "mode": said, "members": ["eth0"] }));
        assert_eq!(config(&tree).bond["bond0"].mode, mode, "{said}");
    }
    let without = config(&tree_of(json!({ "members": ["eth0"] })));
    assert_eq!(
        without.bond["bond0"].mode,
        BondMode::BalanceRr,
        "as in the kernel"
    );
    for (said, complaint) in [
        (
            json!(7),
            "\"7\" is no value that is known here (one of: balance-rr,",
        ),
        (
            json!(-1),
            "\"-1\" is no value that is known here (one of: balance-rr,",
        ),
        (json!("balance-oxr"), "did you mean \"balance-xor\"?"),
        (json!(true), "expected one of balance-rr,"),
    ] {
        let told = errors(&tree_of(json!({ "mode": said, "members": ["eth0"] })));
        assert!(told.starts_with("bond.bond0.mode: "), "{told}");
        assert!(told.contains(complaint), "{told}");
    }
}

/// S-10: neither a bond nor its members need a table of their own.
#[test]
fn a_bond_and_its_members_are_ports() {
    let mut config = config(&sound());
    let names: Vec<&str> = config.port_names().into_iter().collect();
    assert_eq!(names, ["bond0", "eth0", "eth1"]);
    let kind = |config: &Config, name: &str| config.port_of(name).map(|port| port.kind);
    assert_eq!(kind(&config, "bond0"), Some(PortKind::Bond));
    assert_eq!(kind(&config, "eth1"), Some(PortKind::Nic));
    assert_eq!(kind(&config, "eth2"), None);
    assert_eq!(config.bridge_of("bond0"), Some("br0"));
    assert_eq!(
        config.bridge_of("eth0"),
        Some("br0"),
        "a member's is its bond's"
    );
    assert_eq!(
        (config.bond_of("eth0"), config.bond_of("bond0")),
        (Some("bond0"), None)
    );
    assert_eq!(config.members_of("br0"), ["bond0"]);
    let table = config.membership_of("bond0").expect("a bond's VLANs");
    let trunk = Membership::trunk(Some(1), "1,100".parse().expect("set"));
    assert_eq!(table, trunk);
    // What is said of its VLANs later is said in one of the two places.
    let mut more = table;
    more.add(crate::config::VlanRange::single(200), false, false);
    assert!(config.set_membership("bond0", &more));
    assert_eq!(config.membership_of("bond0"), Some(more));
    assert_eq!(check(&config), []);
    assert_eq!(config.bond.len(), 1);
}

/// What one wrong value is told of.
#[test]
fn what_is_wrong_with_a_bond_is_told_with_its_place() {
    let with = |key: &str, value: Value| {
        let mut tree = sound();
        tree["bond"]["bond0"][key] = value;
        errors(&tree)
    };
    for (key, value, complaint) in [
        (
            "members",
            json!([]),
            "bond.bond0.members: this bond has no members",
        ),
        (
            "members",
            json!(["eth0", "eth0"]),
            "bond.bond0.members[1]: \"eth0\" is named twice",
        ),
        ("members", json!(["eth/0"]), "bond.bond0.members[0]: "),
        (
            "members",
            json!(["br0"]),
            "\"br0\" is a bridge or host port",
        ),
        ("members", json!(["bond0"]), "\"bond0\" is itself a bond"),
        (
            "packets_per_slave",
            json!(65_536),
            "out of range (from 0 to 65535)",
        ),
        ("updelay", json!(2_147_483_648_u32), "from 0 to 2147483647"),
        ("downdelay", json!(-1), "bond.bond0.downdelay: "),
        (
            "primary",
            json!("eth2"),
            "bond.bond0.primary: \"eth2\" is no member of this bond (did you mean",
        ),
        (
            "primary_reselect",
            json!("never"),
            "one of: always, better, failure",
        ),
        (
            "xmit_hash_policy",
            json!("layer3"),
            "did you mean \"layer2\"?",
        ),
        ("lacp_rate", json!("fst"), "did you mean \"fast\"?"),
        (
            "lacp_active",
            json!("never"),
            "\"never\" is neither on nor off",
        ),
        ("lacp_active", json!(2), "\"2\" is neither on nor off"),
        ("ad_actor_sys_prio", json!(0), "from 1 to 65535"),
        ("ad_user_port_key", json!(1024), "from 0 to 1023"),
        ("max_links", json!(65), "from 0 to 64"),
        (
            "ad_actor_system",
            json!("01:00:00:00:00:00"),
            "bond.bond0.ad_actor_system: 01:00:00:00:00:00 is no station's address",
        ),
        (
            "actor_port_prio",
            json!({ "eth0": 0 }),
            "bond.bond0.actor_port_prio.eth0: eth0 = 0 is out of range",
        ),
        (
            "actor_port_prio",
            json!({ "eth7": 9 }),
            "bond.bond0.actor_port_prio.eth7: \"eth7\" is no member of this bond",
        ),
        (
            "queue_id",
            json!({ "eth0": 65_536 }),
            "bond.bond0.queue_id.eth0: eth0 = 65536 is out of range",
        ),
        (
            "queue_id",
            json!({ "eth0": 3, "eth1": 3 }),
            "bond.bond0.queue_id.eth1: eth1 = 3, and eth0 has that number",
        ),
        (
            "queue_id",
            json!({ "eth7": 3 }),
            "bond.bond0.queue_id.eth7: \"eth7\" is no member of this bond",
        ),
    ] {
        let told = with(key, value.clone());
        assert!(told.contains(complaint), "{key} = {value}:\n{told}");
    }
    let mut xor = sound();
    xor["bond"]["bond0"] = json!({"mode": 2, "members": ["eth0"], "primary": "eth0"});
    let told = errors(&xor);
    assert!(
        told.contains("mode balance-xor prefers no member"),
        "{told}"
    );
}

/// K-22, A-05: a word of our own, live like the others, in the two modes that it is about.
#[test]
fn sources_are_rewritten_in_the_modes_that_balance_by_load() {
    let bond = |mode: Value, src: &str| {
        let mut config = sound();
        config["bond"]["bond0"] = json!({"mode": mode, "members": ["eth0"], "tlb_src": src});
        config
    };
    for mode in [json!(5), json!("balance-alb")] {
        for src in ["pin", "rewrite"] {
            assert_eq!(errors(&bond(mode.clone(), src)), "", "{mode} {src}");
        }
    }
    assert_eq!(errors(&bond(json!("balance-slb"), "pin")), "");
    for mode in [json!("balance-slb"), json!(1), json!(4)] {
        let told = errors(&bond(mode, "rewrite"));
        assert!(
            told.contains("leaves source addresses as they are")
                && told.contains("bond.bond0.tlb_src")
                && told.contains("balance-tlb and balance-alb"),
            "{told}"
        );
    }
    let told = errors(&bond(json!(5), "rewite"));
    assert!(told.contains("rewrite"), "{told}");
}

/// Two objects that claim one thing.
#[test]
fn a_member_belongs_to_one_bond_and_to_nothing_else() {
    let mut two = sound();
    two["bond"]["bond1"] = json!({"members": ["eth1"]});
    two["port"]["bond1"] = json!({"kind": "bond", "bridge": "br0"});
    let told = errors(&two);
    assert!(
        told.contains("\"eth1\" is a member of bond \"bond0\""),
        "{told}"
    );

    let mut on_a_bridge = sound();
    on_a_bridge["port"]["eth0"] = json!({"kind": "nic", "bridge": "br0", "vlan": 5});
    let told = errors(&on_a_bridge);
    for key in ["bridge", "vlan"] {
        let complaint = format!(
            "port.eth0.{key}: this port is a member of bond \"bond0\", whose \"{key}\" counts"
        );
        assert!(told.contains(&complaint), "{told}");
    }

    let mut uplink = sound();
    uplink["bridge"]["br0"]["uplink"] = json!("eth0");
    let told = errors(&uplink);
    assert!(
        told.contains("\"eth0\" is a member of bond \"bond0\" (name the bond"),
        "{told}"
    );
    assert!(
        told.contains("bond.bond0: this bond is on no bridge"),
        "{told}"
    );

    let mut device = sound();
    device["port"]["n1"] = json!({"kind": "nic", "device": "eth1", "bridge": "br0"});
    let told = errors(&device);
    assert!(
        told.contains("device \"eth1\" is already used by"),
        "{told}"
    );

    let mut kind = sound();
    kind["port"]["bond0"] = json!({"kind": "tap", "bridge": "br0"});
    kind["port"]["bond9"] = json!({"kind": "bond", "bridge": "br0"});
    let told = errors(&kind);
    assert!(
        told.contains("\"bond0\" is a bond, and this port is a tap"),
        "{told}"
    );
    assert!(
        told.contains("port.bond9.kind: there is no bond \"bond9\""),
        "{told}"
    );

    let mut bridge = sound();
    bridge["bridge"]["bond0"] = json!({});
    assert!(errors(&bridge).contains("\"bond0\" is also a bridge"));
}

/// A port's table says how a bond sits on its bridge, a member's what it is made of.
#[test]
fn tables_of_bonds_and_members_add_to_them() {
    let mut tree = sound();
    tree["bridge"]["br0"] = json!({});
    tree["port"] = json!({
        "bond0": {"kind": "bond", "bridge": "br0", "vlan": 7, "isolated": true},
        "eth0": {"kind": "tap", "queues": 2, "persistent": true},
    });
    let config = config(&tree);
    assert_eq!(config.membership_of("bond0"), Some(Membership::access(7)));
    assert_eq!(config.port_of("eth0").map(|port| port.queues), Some(2));
    tree["port"]["bond0"]["queues"] = json!(2);
    tree["port"]["bond0"]["device"] = json!("x");
    let told = errors(&tree);
    assert!(
        told.contains("port.bond0.queues: a bond has no queues"),
        "{told}"
    );
    assert!(
        told.contains("a port of kind bond has no \"device\""),
        "{told}"
    );
}

/// S-21
#[test]
fn the_bond_of_a_protected_bridge_is_protected() {
    let mut old = config(&sound());
    old.bridge.get_mut("br0").expect("br0").protected = true;
    let mut new = old.clone();
    new.bond.get_mut("bond0").expect("bond0").members.pop();
    assert!(guard_protected(&old, &new).is_err());
    assert!(guard_protected(&old, &old.clone()).is_ok());
}

mod monitor;
