//! What watches members, as an operator writes it.

use super::*;
use crate::config::bond::words::{ArpAllTargets, ArpValidate};
use crate::config::{BondConfig, OnOff};

fn monitored(change: impl FnOnce(&mut Value)) -> Value {
    let mut tree = sound();
    let bond = &mut tree["bond"]["bond0"];
    bond["arp_interval"] = json!(1000);
    bond["arp_ip_target"] = json!(["10.0.0.1"]);
    change(bond);
    tree
}

fn bond(tree: &Value) -> BondConfig {
    config(tree).bond["bond0"].clone()
}

/// K-02, K-04, K-05, K-06, K-07, K-08, K-09, K-10, W-05: the kernel's names, numbers and defaults, and a VLAN for a target.
#[test]
fn a_monitor_is_written_as_the_kernel_has_it() {
    let silent = bond(&sound());
    assert_eq!((silent.miimon(), silent.arp_interval), (100, 0));
    assert_eq!(silent.arp_missed_max, 2);
    let watched = bond(&monitored(|bond| {
        bond["arp_ip_target"] = json!(["10.0.0.1", "10.0.0.1  vlan 100"]);
        bond["ns_ip6_target"] = json!(["fd00::1 vlan 100"]);
        bond["use_carrier"] = json!(0);
    }));
    assert_eq!(watched.miimon(), 100, "carriers are looked at all the same");
    assert_eq!(watched.use_carrier, OnOff::OFF);
    let said: Vec<String> = watched.targets().iter().map(ToString::to_string).collect();
    assert_eq!(said, ["10.0.0.1", "10.0.0.1 vlan 100", "fd00::1 vlan 100"]);
    for (said, validate) in [
        (json!("all"), ArpValidate::All),
        (json!(0), ArpValidate::None),
        (json!("3"), ArpValidate::All),
        (json!(4), ArpValidate::Filter),
        (json!("filter_active"), ArpValidate::FilterActive),
        (json!(6), ArpValidate::FilterBackup),
    ] {
        let tree = monitored(|bond| bond["arp_validate"] = said.clone());
        assert_eq!(bond(&tree).arp_validate, validate, "{said}");
    }
    let all = monitored(|bond| bond["arp_all_targets"] = json!(1));
    assert_eq!(bond(&all).arp_all_targets, ArpAllTargets::All);
    // Written out, it reads back as it was.
    let written = serde_json::to_value(&watched).expect("JSON");
    assert_eq!(written["arp_ip_target"][1], "10.0.0.1 vlan 100");
    assert_eq!(bond(&tree_of(written)), watched);
}

/// K-08: who validates what, by role, and who counts ARP alone.
#[test]
fn validation_is_of_a_role() {
    use ArpValidate::{Active, All, Backup, Filter, FilterActive, FilterBackup, None};
    for (word, active, standby, filters) in [
        (None, false, false, false),
        (Active, true, false, false),
        (Backup, false, true, false),
        (All, true, true, false),
        (Filter, false, false, true),
        (FilterActive, true, false, true),
        (FilterBackup, false, true, true),
    ] {
        let found = (word.validates(true), word.validates(false), word.filters());
        assert_eq!(found, (active, standby, filters), "{word}");
    }
}

#[test]
fn what_is_wrong_with_a_monitor_is_told_with_its_place() {
    let many: Vec<String> = (1..18).map(|n| format!("10.0.0.{n}")).collect();
    for (key, value, complaint) in [
        (
            "miimon",
            json!(100),
            "bond.bond0.miimon: a bond is watched by miimon or by arp_interval",
        ),
        ("miimon", json!(2_147_483_648_u32), "from 0 to 2147483647"),
        (
            "arp_interval",
            json!(2_147_483_648_u32),
            "from 0 to 2147483647",
        ),
        ("arp_missed_max", json!(0), "from 1 to 255"),
        ("arp_missed_max", json!(256), "from 1 to 255"),
        ("arp_validate", json!("activ"), "did you mean \"active\"?"),
        (
            "arp_validate",
            json!(7),
            "one of: none, active, backup, all, filter,",
        ),
        ("arp_all_targets", json!(2), "one of: any, all"),
        ("use_carrier", json!(2), "\"2\" is neither on nor off"),
        (
            "arp_ip_target",
            json!([]),
            "bond.bond0.arp_interval: nobody is to be probed",
        ),
        (
            "arp_ip_target",
            json!(many),
            "bond.bond0.arp_ip_target: these are 17 targets (a bond has 16 at most)",
        ),
        (
            "arp_ip_target",
            json!(["10.0.0.300"]),
            "\"10.0.0.300\" is no address",
        ),
        (
            "arp_ip_target",
            json!(["10.0.0.1 in 7"]),
            "is no address, alone or with \"vlan\"",
        ),
        (
            "arp_ip_target",
            json!(["fd00::1"]),
            "\"fd00::1\" is no address",
        ),
        (
            "arp_ip_target",
            json!(["224.0.0.1"]),
            "224.0.0.1 is no station's address",
        ),
        (
            "arp_ip_target",
            json!(["10.0.0.1", "10.0.0.1"]),
            "\"10.0.0.1\" is named twice",
        ),
        (
            "arp_ip_target",
            json!(["10.0.0.1 vlan 7"]),
            "the bond is not in VLAN 7",
        ),
        (
            "arp_ip_target",
            json!(["10.0.0.1 vlan 4095"]),
            "VLAN 4095 is reserved",
        ),
        (
            "ns_ip6_target",
            json!(["ff02::1"]),
            "bond.bond0.ns_ip6_target: ff02::1 is no station's address",
        ),
        (
            "mode",
            json!("802.3ad"),
            "bond.bond0.arp_interval: mode 802.3ad sends no probes",
        ),
        ("mode", json!(5), "mode balance-tlb sends no probes"),
    ] {
        let told = errors(&monitored(|bond| bond[key] = value.clone()));
        assert!(told.contains(complaint), "{key} = {value}:\n{told}");
    }
    let mut idle = sound();
    idle["bond"]["bond0"]["arp_validate"] = json!("all");
    assert!(errors(&idle).contains("no probes are sent that this could be about"));
    let mut tagged = monitored(|_| {});
    tagged["bridge"]["br0"]["vlans"] = json!([100]);
    let told = errors(&tagged);
    assert!(told.contains("say which: \"10.0.0.1 vlan 100\""), "{told}");
}
