//! What a configuration compiles to, profile by profile.

use super::*;
use crate::facts::Link;
use crate::testing::{config, nic};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn compiled(value: Value) -> Compiled {
    let facts = Facts::new(1, true);
    compile(&config(value), &mut Registry::new(1), &facts).expect("a configuration that compiles")
}

/// A port with these fields on a bridge of default PVID 1.
fn port(fields: Value) -> PortView {
    let mut port = json!({"kind": "tap", "bridge": "br0"});
    for (key, value) in fields.as_object().expect("fields") {
        port[key] = value.clone();
    }
    let config = json!({"bridge": {"br0": {"group_fwd_mask": 0x4000}}, "port": {"p": port}});
    compiled(config).ports["p"].view.clone()
}

fn host(fields: Value) -> PortView {
    let mut host = json!({"bridge": "br0"});
    for (key, value) in fields.as_object().expect("fields") {
        host[key] = value.clone();
    }
    compiled(json!({"bridge": {"br0": {}}, "host": {"h": host}})).ports["h"]
        .view
        .clone()
}

/// (PVID, untagged, tagged) as numbers.
fn table(view: &PortView) -> (u16, Vec<u16>, Vec<u16>) {
    let (untagged, tagged): (Vec<Vid>, Vec<Vid>) = view
        .vlans
        .iter()
        .partition(|vid| view.untagged.contains(*vid));
    let numbers = |vids: Vec<Vid>| vids.into_iter().map(Vid::get).collect();
    (
        view.pvid.map_or(0, Vid::get),
        numbers(untagged),
        numbers(tagged),
    )
}

/// V-02, V-03, V-04, V-06, S-07: and an access port is never in VLAN 1 as well.
#[test]
fn each_profile_has_its_vlans_and_no_others() {
    assert_eq!(
        table(&port(json!({}))),
        (1, vec![1], vec![]),
        "nothing said"
    );
    assert_eq!(
        table(&port(json!({"vlan": 100}))),
        (100, vec![100], vec![]),
        "access"
    );
    assert_eq!(
        table(&port(json!({"trunk": [100, "200-202"]}))),
        (0, vec![], vec![100, 200, 201, 202])
    );
    let hybrid = port(json!({"native_vlan": 1, "trunk": [100]}));
    assert_eq!(
        table(&hybrid),
        (1, vec![1], vec![100]),
        "trunk with a native VLAN"
    );
    let native = port(json!({"native_vlan": 7}));
    assert_eq!(table(&native), (7, vec![7], vec![]), "native alone");
    let full = port(json!({"vlans": [
        {"vid": 10, "pvid": true}, {"vid": "20-21", "untagged": true}, {"vid": 30},
    ]}));
    assert_eq!(
        table(&full),
        (10, vec![20, 21], vec![10, 30]),
        "native-tagged, two untagged"
    );
    assert_eq!(
        table(&port(json!({"vlans": []}))),
        (0, vec![], vec![]),
        "in none"
    );
    let every = port(json!({"trunk": ["1-4094"]}));
    assert_eq!(every.vlans.len(), 4094);
}

/// S-16: the seed's own line.
#[test]
fn an_uplink_takes_its_vlans_from_the_bridge() {
    let uplink = |bridge: Value| {
        let config = json!({"bridge": {"oob-br": bridge}, "port": {"eth0": {"kind": "nic"}}});
        table(&compiled(config).ports["eth0"].view)
    };
    assert_eq!(
        uplink(json!({"uplink": "eth0", "vlans": [1, 100, 200]})),
        (1, vec![1], vec![100, 200])
    );
    assert_eq!(
        uplink(json!({"uplink": "eth0", "vlans": [100]})),
        (0, vec![], vec![100]),
        "no PVID"
    );
    assert_eq!(uplink(json!({"uplink": "eth0"})), (1, vec![1], vec![]));
    let other = json!({"uplink": "eth0", "vlans": [1, 5], "default_pvid": 5});
    assert_eq!(uplink(other), (5, vec![5], vec![1]));
    assert_eq!(
        uplink(json!({"uplink": "eth0", "default_pvid": 0})),
        (0, vec![], vec![]),
        "V-09"
    );
}

/// S-18, B-03, B-04
#[test]
fn a_host_port_is_in_one_vlan_and_hears_groups_only() {
    assert_eq!(table(&host(json!({}))), (1, vec![1], vec![]));
    assert_eq!(table(&host(json!({"vlan": 100}))), (100, vec![100], vec![]));
    assert_eq!(
        table(&host(json!({"trunk": [100, 200]}))),
        (1, vec![1], vec![100, 200])
    );
    let view = host(json!({}));
    assert!(view.flags.host);
    let groups = FloodClass::Multicast.bit() | FloodClass::Broadcast.bit();
    assert_eq!(view.floods, groups, "unknown unicast is not for the node");
}

#[test]
fn flags_and_policies_reach_the_view() {
    let view = port(json!({
        "hairpin": true, "isolated": true, "learning": false, "flood": false, "mcast_flood": false,
        "accept_frames": "untagged", "state": "learning", "mac_limit": 3, "mtu": 1400,
        "group_fwd_mask": 4, "bpdu": "guard",
    }));
    assert!(view.flags.hairpin && view.flags.isolated && !view.flags.learning && !view.flags.host);
    assert_eq!(view.floods, FloodClass::Broadcast.bit());
    assert_eq!(
        (view.accept, view.state),
        (AcceptFrames::Untagged, PortState::Learning)
    );
    assert_eq!(
        (view.mac_limit, view.mtu, view.bpdu),
        (3, 1400, CoreBpdu::Guard)
    );
    assert_eq!(view.group_fwd_mask, 0x4004, "the bridge's and the port's");
    assert_eq!(port(json!({"enabled": false})).state, PortState::Disabled);
    assert_eq!(port(json!({})).mtu, 1500, "the bridge's");
}

/// T-04, T-05, S-24
#[test]
fn link_protocols_are_heard_on_nics_and_contained_elsewhere() {
    let both = |bpdu: Value| {
        let config = json!({"bridge": {"br0": {}}, "port": {
            "tap": {"kind": "tap", "bridge": "br0", "bpdu": bpdu},
            "nic": {"kind": "nic", "bridge": "br0", "bpdu": bpdu},
        }});
        let ports = compiled(config).ports;
        (ports["tap"].view.bpdu, ports["nic"].view.bpdu)
    };
    assert_eq!(both(json!("auto")), (CoreBpdu::Contain, CoreBpdu::Listen));
    assert_eq!(
        both(json!("forward")),
        (CoreBpdu::Forward, CoreBpdu::Forward)
    );
    assert_eq!(both(json!("drop")), (CoreBpdu::Contain, CoreBpdu::Contain));
    assert_eq!(both(json!("listen")), (CoreBpdu::Listen, CoreBpdu::Listen));
    assert!(!port(json!({})).flags.listens);
}

/// F-05, S-20
#[test]
fn configured_addresses_land_in_their_vlan() {
    let config = |filtering: bool| {
        json!({
            "bridge": {"br0": {"default_pvid": 5, "vlan_filtering": filtering, "fdb": [
                {"mac": "02:00:00:00:00:01", "port": "p"},
                {"mac": "02:00:00:00:00:02", "port": "p", "vlan": 7},
                {"mac": "02:00:00:00:00:03", "port": "h", "kind": "local"},
            ]}},
            "port": {"p": {"kind": "tap", "bridge": "br0"}},
            "host": {"h": {"bridge": "br0", "trunk": [7], "mac": "02:00:00:00:00:04"}},
        })
    };
    let keys = |filtering| -> Vec<(u16, u8, EntryKind)> {
        let pins = compiled(config(filtering)).pins_of("br0", |_, port| port.spec.device.mac);
        pins.into_iter()
            .map(|((vid, mac), (_, kind))| (vid.map_or(0, Vid::get), mac.0[5], kind))
            .collect()
    };
    use EntryKind::{Local, Static};
    assert_eq!(
        keys(true),
        [
            (5, 1, Static),
            (5, 3, Local),
            (5, 4, Local),
            (7, 2, Static),
            (7, 4, Local)
        ]
    );
    assert_eq!(
        keys(false),
        [(0, 1, Static), (0, 2, Static), (0, 3, Local), (0, 4, Local)]
    );
}

#[test]
fn ageing_has_three_meanings() {
    let bridge = |ageing: &str| {
        let bridge = &compiled(json!({"bridge": {"br0": {"ageing": ageing}}})).bridges["br0"];
        (bridge.spec.learning, bridge.ageing_s)
    };
    assert_eq!(bridge("300s"), (true, Some(300)));
    assert_eq!(bridge("1500ms"), (true, Some(2)), "rounded up");
    assert_eq!(bridge("never"), (true, None));
    assert_eq!(bridge("off"), (false, None));
}

/// B-05
#[test]
fn a_bridges_own_interface_has_the_bridges_address() {
    let config = json!({"bridge": {"br0": {}}, "host": {"br0": {"bridge": "br0"}, "br0.100": {"bridge": "br0", "vlan": 100}}});
    let all = compiled(config);
    let own = all.bridges["br0"].spec.mac;
    assert!(own.is_valid_source());
    assert_eq!(all.ports["br0"].spec.device.mac, Some(own));
    assert_ne!(all.ports["br0.100"].spec.device.mac, Some(own));
    let said = compiled(
        json!({"bridge": {"br0": {"mac": "02:00:00:00:00:09"}}, "host": {"br0": {"bridge": "br0"}}}),
    );
    assert_eq!(
        said.ports["br0"].spec.device.mac,
        Some(MacAddr([2, 0, 0, 0, 0, 9]))
    );
}

/// I-05: a TAP has the same address each time it is made, another on each machine; a NIC keeps its own.
#[test]
fn a_tap_has_an_address_that_stays() {
    let mac = |machine: u64, port: Value| {
        let config = json!({"bridge": {"br0": {}}, "port": {"p": port}});
        let facts = Facts::new(machine, true);
        let all = compile(&self::config(config), &mut Registry::new(1), &facts).expect("sound");
        all.ports["p"].spec.device.mac
    };
    let tap = || json!({"kind": "tap", "bridge": "br0"});
    let own = mac(7, tap()).expect("an address");
    assert_eq!(mac(7, tap()), Some(own), "also in another run");
    assert_ne!(mac(8, tap()), Some(own));
    assert!(
        own.is_valid_source() && own.0[0] & 2 != 0,
        "locally administered: {own}"
    );
    let said = json!({"kind": "tap", "bridge": "br0", "mac": "02:00:00:00:00:09"});
    assert_eq!(mac(7, said), Some(MacAddr([2, 0, 0, 0, 0, 9])));
    assert_eq!(mac(7, json!({"kind": "nic", "bridge": "br0"})), None);
}

#[test]
fn every_error_is_reported_with_its_path() {
    let wrong = config(json!({
        "bridge": {"br0": {"fdb_max": 0, "default_pvid": 4095}},
        "port": {
            "a": {"kind": "tap", "bridge": "br0", "vlan": 5000},
            "b": {"kind": "tap", "bridge": "nowhere", "queues": 0},
            "sixteen-letters-": {"kind": "tap", "bridge": "br0"},
        },
    }));
    let errors = compile(&wrong, &mut Registry::new(1), &Facts::default()).expect_err("wrong");
    let mut paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "bridge.br0.default_pvid",
            "bridge.br0.fdb_max",
            "port.a.vlan",
            "port.b.bridge",
            "port.b.queues",
            "port.sixteen-letters-"
        ]
    );
    let mem =
        config(json!({"bridge": {"br0": {}}, "port": {"m": {"kind": "mem", "bridge": "br0"}}}));
    let errors =
        compile(&mem, &mut Registry::new(1), &Facts::default()).expect_err("for tests only");
    assert_eq!(errors[0].path, "port.m.kind");
}

#[test]
fn only_ports_that_take_part_are_in_the_snapshot() {
    let all = compiled(json!({"bridge": {"br0": {}}, "port": {
        "a": {"kind": "tap", "bridge": "br0"},
        "b": {"kind": "tap", "bridge": "br0"},
        "c": {"kind": "tap", "bridge": "br0"},
    }}));
    let snapshot = all.snapshot(Generation(3), &BTreeMap::new(), |name, _| match name {
        "a" => Some(PortRun {
            epoch: 7,
            running: true,
            memory: PortMemory::default(),
        }),
        "b" => Some(PortRun {
            epoch: 0,
            running: false,
            memory: PortMemory::default(),
        }),
        _ => None,
    });
    let [a, b, c] = ["a", "b", "c"].map(|name| snapshot.port(all.ports[name].index));
    assert_eq!(
        (a.unwrap().epoch, a.unwrap().state),
        (7, PortState::Forwarding)
    );
    assert_eq!(b.unwrap().state, PortState::Disabled);
    assert!(c.is_none());
    let flooded = snapshot
        .bridge(BridgeIndex(0))
        .unwrap()
        .flood_ports(Some(Vid::MIN));
    assert_eq!(flooded.len(), 1, "no copies for ports that are down");
}

#[test]
fn what_the_machine_forbids_is_said_of_the_port_alone() {
    let mut facts = Facts::default();
    facts.insert(Link {
        master: Some("bond0".into()),
        ..nic("eth0", 1)
    });
    facts.insert(Link {
        loopback: true,
        ..nic("lo", 2)
    });
    facts.insert(Link {
        kind: Some("veth".into()),
        ..nic("vm1", 3)
    });
    facts.insert(Link {
        kind: Some("tun".into()),
        ..nic("vm2", 4)
    });
    let config = config(json!({"bridge": {"br0": {}}, "port": {
        "up": {"kind": "nic", "device": "eth0", "bridge": "br0"},
        "lo": {"kind": "nic", "bridge": "br0"},
        "vm1": {"kind": "tap", "bridge": "br0"},
        "vm2": {"kind": "tap", "bridge": "br0"},
        "eth9": {"kind": "nic", "bridge": "br0"},
    }}));
    let compiled = compile(&config, &mut Registry::new(1), &facts).expect("nothing wrong with it");
    let paths: Vec<&str> = compiled
        .blocked
        .values()
        .map(|error| error.path.as_str())
        .collect();
    assert_eq!(paths, ["port.lo", "port.up.device", "port.vm1"]);
    assert_eq!(compiled.ports.len(), 5);
}

/// G-02: own addresses are `mac` and `guard_macs`; of a `nic` port `mac` is the station's, not the device's.
#[test]
fn a_port_that_asks_for_its_own_addresses_has_them() {
    let fields = json!({"mac_spoof_check": true, "mac": "52:54:00:00:00:01", "guard_macs": ["52:54:00:00:00:02"]});
    let own = |view: &PortView| -> Vec<String> {
        let protection = view.protection.as_deref().expect("a protection");
        assert!(protection.spoof_check);
        protection.macs.iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        own(&port(fields.clone())),
        ["52:54:00:00:00:01", "52:54:00:00:00:02"]
    );
    assert!(
        port(json!({"mac": "52:54:00:00:00:01"}))
            .protection
            .is_none()
    );
    let mut nic = json!({"kind": "nic", "bridge": "br0"});
    for (key, value) in fields.as_object().expect("fields") {
        nic[key] = value.clone();
    }
    let all = compiled(json!({"bridge": {"br0": {}}, "port": {"eth1": nic}}));
    assert_eq!(own(&all.ports["eth1"].view).len(), 2);
    assert_eq!(all.ports["eth1"].spec.device.mac, None);
}

/// N-14: one flag is the whole guard.
#[test]
fn a_guard_is_one_flag() {
    let view = port(json!({"guard": true, "guard_macs": ["52:54:00:00:00:01"]}));
    let guard = view.protection.as_deref().expect("a protection");
    assert!(guard.spoof_check && guard.claims.is_some());
}

/// Q-05: rates come with the buckets that are kept of the port; the members of a bond have its.
#[test]
fn rates_fill_the_buckets_that_are_kept() {
    let all = compiled(json!({
        "bridge": {"br0": {"uplink": "up"}},
        "bond": {"up": {"members": ["m0", "m1"]}},
        "port": {
            "up": {"kind": "bond", "egress_rate": "1G"},
            "vm1": {"kind": "tap", "bridge": "br0", "ingress_rate": "100M", "ingress_burst": "1M", "egress_rate": 1000},
        },
    }));
    let memories: BTreeMap<&str, PortMemory> = ["up", "m0", "m1", "vm1"]
        .map(|name| (name, PortMemory::default()))
        .into();
    let snapshot = all.snapshot(Generation(1), &BTreeMap::new(), |name, _| {
        Some(PortRun {
            epoch: 0,
            running: true,
            memory: memories.get(name)?.clone(),
        })
    });
    let view = |name: &str| snapshot.port(all.ports[name].index).expect("a port");
    let egress = |name: &str| {
        let rate = view(name).egress_rate.as_ref().expect("a rate");
        (rate.limit.rate, rate.limit.burst)
    };
    assert_eq!(egress("vm1"), (1_000, 528_000));
    assert_eq!(egress("up"), (1_000_000_000, 100_000_000));
    let protection = view("vm1").protection.as_deref().expect("a protection");
    let rate = protection.rate.as_ref().expect("a rate");
    assert_eq!(
        (rate.limit.rate, rate.limit.burst),
        (100_000_000, 1_000_000)
    );
    assert!(Arc::ptr_eq(&rate.bucket, &memories["vm1"].ingress));
    for member in ["m0", "m1"] {
        let rate = view(member).egress_rate.as_ref().expect("the bond's");
        assert!(Arc::ptr_eq(&rate.bucket, &memories["up"].egress));
        assert!(view(member).protection.is_none());
    }
}
