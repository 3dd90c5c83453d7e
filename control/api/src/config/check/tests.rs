//! Tests of the checks: one rule each, by the path and the words that an operator sees.

use super::*;
use crate::config::{
    BridgeConfig, HostConfig, PortConfig, PortKind, StaticEntry, StaticKind, Timespan, VlanRange,
};

/// One bridge `br0` with a NIC uplink, an access port and a host port; nothing wrong with it.
fn sound() -> Config {
    let mut config = Config::default();
    let bridge = BridgeConfig {
        uplink: Some("eth0".into()),
        vlans: "1,100-101".parse().expect("set"),
        ..Default::default()
    };
    config.bridge.insert("br0".into(), bridge);
    config.port.insert(
        "eth0".into(),
        PortConfig {
            kind: PortKind::Nic,
            ..Default::default()
        },
    );
    config.port.insert(
        "vm1".into(),
        PortConfig {
            bridge: Some("br0".into()),
            vlan: Some(100),
            ..Default::default()
        },
    );
    let addresses = vec!["192.168.10.11/24".parse().expect("cidr")];
    config.host.insert(
        "br0".into(),
        HostConfig {
            bridge: "br0".into(),
            addresses,
            ..Default::default()
        },
    );
    config
}

/// The errors after an edit of the sound configuration, printed one a line.
fn errors(edit: impl FnOnce(&mut Config)) -> String {
    let mut config = sound();
    edit(&mut config);
    check(&config)
        .iter()
        .map(|error| format!("{error}\n"))
        .collect()
}

fn vm1(edit: impl FnOnce(&mut PortConfig)) -> String {
    errors(|config| edit(config.port.get_mut("vm1").expect("vm1")))
}

fn br0(edit: impl FnOnce(&mut BridgeConfig)) -> String {
    errors(|config| edit(config.bridge.get_mut("br0").expect("br0")))
}

fn host(edit: impl FnOnce(&mut HostConfig)) -> String {
    errors(|config| edit(config.host.get_mut("br0").expect("br0")))
}

/// Holds that there is exactly one error and that it says all of `words`.
#[track_caller]
fn says(errors: &str, words: &[&str]) {
    assert_eq!(errors.lines().count(), 1, "one error expected:\n{errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is missing in: {errors}");
    }
}

#[test]
fn nothing_is_wrong_with_a_sound_configuration() {
    assert_eq!(errors(|_| ()), "");
    assert_eq!(check(&Config::default()), vec![]);
}

#[test]
fn an_unknown_bridge_is_named_with_the_one_that_was_meant() {
    says(
        &vm1(|port| port.bridge = Some("br".into())),
        &[
            "port.vm1.bridge: there is no bridge \"br\"",
            "did you mean \"br0\"?",
            "known: br0",
        ],
    );
    says(
        &vm1(|port| port.bridge = None),
        &["port.vm1: this port is on no bridge"],
    );
}

/// V-10
#[test]
fn vlan_0_4095_and_5000_are_refused_everywhere() {
    says(
        &vm1(|port| port.vlan = Some(0)),
        &["port.vm1.vlan: VLAN 0 is no VLAN", "1 to 4094"],
    );
    says(
        &vm1(|port| port.vlan = Some(4095)),
        &["port.vm1.vlan: VLAN 4095 is reserved"],
    );
    says(
        &vm1(|port| port.vlan = Some(5000)),
        &["port.vm1.vlan: there is no VLAN 5000"],
    );
    assert_eq!(vm1(|port| port.vlan = Some(4094)), "");
    says(
        &vm1(|port| (port.vlan, port.native_vlan) = (None, Some(5000))),
        &["port.vm1.native_vlan"],
    );
    says(
        &vm1(|port| (port.vlan, port.trunk) = (None, "100,4090-4095".parse().expect("set"))),
        &["port.vm1.trunk", "4095"],
    );
    says(
        &vm1(|port| (port.vlan, port.trunk) = (None, "0-5".parse().expect("set"))),
        &["port.vm1.trunk", "VLAN 0"],
    );
    says(
        &br0(|bridge| bridge.vlans = "1,5000".parse().expect("set")),
        &["bridge.br0.vlans", "5000"],
    );
    says(
        &br0(|bridge| bridge.default_pvid = 4095),
        &["bridge.br0.default_pvid", "4095"],
    );
    says(&host(|host| host.vlan = Some(4095)), &["host.br0.vlan"]);
}

fn entry(vid: u16, pvid: bool) -> PortVlan {
    PortVlan {
        vid: VlanRange::single(vid),
        pvid,
        untagged: true,
    }
}

/// V-02..V-06: the ways to say VLANs exclude each other.
#[test]
fn contradicting_vlan_forms_are_refused() {
    says(
        &vm1(|port| port.trunk = "200".parse().expect("set")),
        &["port.vm1.vlan", "access port"],
    );
    says(
        &vm1(|port| port.native_vlan = Some(5)),
        &["port.vm1.vlan", "native_vlan = 100"],
    );
    says(
        &vm1(|port| port.vlans = Some(vec![entry(5, true)])),
        &["port.vm1.vlans: \"vlans\" says all"],
    );
    says(
        &vm1(|port| {
            (port.vlan, port.native_vlan, port.trunk) =
                (None, Some(7), "7-9".parse().expect("set"));
        }),
        &["port.vm1.native_vlan: VLAN 7 is also in trunk"],
    );
    let list = |entries: Vec<PortVlan>| vm1(|port| (port.vlan, port.vlans) = (None, Some(entries)));
    assert_eq!(list(vec![entry(5, true), entry(6, false)]), "");
    assert_eq!(list(vec![]), "", "a port in no VLAN");
    says(
        &list(vec![entry(5, true), entry(6, true)]),
        &["port.vm1.vlans[1].pvid: VLAN 6 and VLAN 5 are both the PVID"],
    );
    says(
        &list(vec![entry(5, false), entry(5, false)]),
        &["port.vm1.vlans[1].vid: VLAN 5 is listed twice"],
    );
    let range = PortVlan {
        vid: VlanRange { first: 5, last: 9 },
        pvid: true,
        untagged: true,
    };
    says(
        &list(vec![range]),
        &["port.vm1.vlans[0].pvid: the range 5-9"],
    );
    says(
        &list(vec![entry(5000, false)]),
        &["port.vm1.vlans[0].vid: 5000"],
    );
}

/// S-22
#[test]
fn a_device_belongs_to_one_port() {
    let text = errors(|config| {
        let port = PortConfig {
            kind: PortKind::Nic,
            bridge: Some("br0".into()),
            device: Some("eth0".into()),
            ..Default::default()
        };
        config.port.insert("second".into(), port);
    });
    says(
        &text,
        &["port.second.device: device \"eth0\" is already used by port \"eth0\""],
    );
    let text = errors(|config| {
        let port = PortConfig {
            kind: PortKind::Nic,
            bridge: Some("br0".into()),
            device: Some("vm1".into()),
            ..Default::default()
        };
        config.port.insert("nic".into(), port);
    });
    says(&text, &["device \"vm1\" is already used"]);
    let text = errors(|config| {
        config.port.get_mut("vm1").expect("vm1").netns = Some("guest".into());
        let port = PortConfig {
            kind: PortKind::Nic,
            bridge: Some("br0".into()),
            device: Some("vm1".into()),
            ..Default::default()
        };
        config.port.insert("nic".into(), port);
    });
    assert_eq!(text, "", "the TAP is in another namespace");
}

#[test]
fn names_follow_the_kernels_rules() {
    for (name, words) in [
        ("a-name-with-16-c", "has 16 characters"),
        ("", "is empty"),
        ("a b", "the character ' '"),
        ("a/b", "the character '/'"),
        ("..", "folder"),
        ("grün", "ASCII"),
    ] {
        let error = check_name("port", name).expect_err(name).to_string();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(check_name("port", "mgmt-br.100"), Ok(()));
    assert_eq!(check_name("port", "a-name-with-15c"), Ok(()));
    let text = errors(|config| {
        config
            .bridge
            .insert("a-name-with-16-c".into(), BridgeConfig::default());
    });
    says(&text, &["bridge.a-name-with-16-c", "at most 15"]);
    says(
        &vm1(|port| (port.kind, port.device) = (PortKind::Nic, Some("a-name-with-16-c".into()))),
        &["port.vm1.device", "16"],
    );
}

#[test]
fn one_name_is_one_object() {
    says(
        errors(|c| {
            drop(c.port.insert(
                "br0".into(),
                PortConfig {
                    bridge: Some("br0".into()),
                    ..Default::default()
                },
            ));
        })
        .lines()
        .next()
        .unwrap_or_default(),
        &["port.br0: \"br0\" is also a bridge"],
    );
    let text = errors(|config| {
        config.host.insert(
            "vm1".into(),
            HostConfig {
                bridge: "br0".into(),
                ..Default::default()
            },
        );
    });
    says(&text, &["port.vm1: \"vm1\" is also a host port"]);
    let text = errors(|config| {
        config.bridge.insert("br1".into(), BridgeConfig::default());
        config.host.insert(
            "br1".into(),
            HostConfig {
                bridge: "br0".into(),
                ..Default::default()
            },
        );
    });
    says(&text, &["host.br1.bridge", "bridge = \"br1\""]);
}

/// I-09
#[test]
fn mtus_stay_in_bounds_and_below_the_bridges() {
    says(
        &br0(|bridge| bridge.mtu = 67),
        &["bridge.br0.mtu", "68 to 9216"],
    );
    says(&br0(|bridge| bridge.mtu = 9217), &["bridge.br0.mtu"]);
    says(
        &vm1(|port| port.mtu = Some(9000)),
        &[
            "port.vm1.mtu",
            "above the 1500 of bridge \"br0\"",
            "[bridge.br0]",
        ],
    );
    says(&host(|host| host.mtu = Some(1501)), &["host.br0.mtu"]);
    assert_eq!(vm1(|port| port.mtu = Some(68)), "");
}

/// K-42
#[test]
fn a_transmit_queue_has_the_kernels_bounds_and_a_taps_is_not_empty() {
    for frames in [1, i32::MAX.unsigned_abs()] {
        assert_eq!(vm1(|port| port.txqueuelen = Some(frames)), "");
        assert_eq!(host(|host| host.txqueuelen = Some(frames)), "");
    }
    for frames in [0, i32::MAX.unsigned_abs() + 1] {
        let wrong = vm1(|port| port.txqueuelen = Some(frames));
        says(&wrong, &["port.vm1.txqueuelen", "1 to 2147483647"]);
        let wrong = host(|host| host.txqueuelen = Some(frames));
        says(&wrong, &["host.br0.txqueuelen", "1 to 2147483647"]);
    }
    let nic = |port: &mut PortConfig| {
        (port.kind, port.txqueuelen) = (PortKind::Nic, Some(0));
    };
    assert_eq!(vm1(nic), "");
    let elsewhere = vm1(|port| {
        nic(port);
        port.netns = Some("pod".into());
    });
    says(
        &elsewhere,
        &["port.vm1.txqueuelen", "where the device was made"],
    );
    let none = vm1(|port| (port.kind, port.txqueuelen) = (PortKind::Mem, Some(5)));
    says(&none, &["port.vm1.txqueuelen", "does not exist"]);
}

#[test]
fn an_uplink_is_a_nic_of_this_bridge() {
    says(
        br0(|bridge| bridge.uplink = Some("eth1".into()))
            .lines()
            .next()
            .unwrap_or_default(),
        &[
            "bridge.br0.uplink: there is no port \"eth1\"",
            "did you mean \"eth0\"?",
        ],
    );
    says(
        br0(|bridge| bridge.uplink = Some("vm1".into()))
            .lines()
            .next()
            .unwrap_or_default(),
        &["is a tap, not a network device"],
    );
    let text = errors(|config| {
        let bridge = BridgeConfig {
            uplink: Some("eth0".into()),
            ..Default::default()
        };
        config.bridge.insert("br1".into(), bridge);
    });
    says(
        &text,
        &["bridge.br1.uplink: \"eth0\" is already the uplink of bridge \"br0\""],
    );
    says(
        &errors(|config| config.port.get_mut("eth0").expect("eth0").vlan = Some(5)),
        &["bridge.br0.vlans", "one place"],
    );
    let text = errors(|config| {
        config.bridge.get_mut("br0").expect("br0").uplink = None;
        config.port.get_mut("eth0").expect("eth0").bridge = Some("br0".into());
    });
    says(&text, &["bridge.br0.vlans", "there is no uplink"]);
}

/// B-09, F-03, F-05, F-08, B-15
#[test]
fn bridge_numbers_and_addresses_are_checked() {
    says(
        &br0(|bridge| bridge.group_fwd_mask = 4),
        &["bridge.br0.group_fwd_mask: 0x0004"],
    );
    assert_eq!(
        vm1(|port| port.group_fwd_mask = 4),
        "",
        "a port may pass LACP"
    );
    says(&vm1(|port| port.group_fwd_mask = 2), &["PAUSE"]);
    says(
        &br0(|bridge| bridge.fdb_max = 0),
        &["bridge.br0.fdb_max", "from 1 to 1048576"],
    );
    says(
        &br0(|bridge| bridge.ageing = crate::config::Ageing::After(Timespan::from_secs(2_000_000))),
        &["bridge.br0.ageing"],
    );
    says(
        &br0(|bridge| bridge.mac = Some(Mac([1, 0, 0, 0, 0, 0]))),
        &["group address"],
    );
    let fdb = |edit: &dyn Fn(&mut StaticEntry)| {
        let mut entry = StaticEntry {
            mac: Mac([2, 0, 0, 0, 0, 1]),
            vlan: Some(100),
            port: "vm1".into(),
            kind: StaticKind::Static,
        };
        edit(&mut entry);
        br0(|bridge| bridge.fdb.push(entry))
    };
    assert_eq!(fdb(&|_| ()), "");
    says(
        &fdb(&|entry| entry.vlan = Some(4095)),
        &["bridge.br0.fdb[0].vlan"],
    );
    says(
        &fdb(&|entry| entry.port = "vm2".into()),
        &[
            "bridge.br0.fdb[0].port: bridge \"br0\" has no port \"vm2\"",
            "did you mean \"vm1\"",
        ],
    );
    says(
        &fdb(&|entry| entry.kind = StaticKind::Local),
        &["bridge.br0.fdb[0].kind"],
    );
    says(
        &fdb(&|entry| entry.mac = Mac::default()),
        &["bridge.br0.fdb[0].mac"],
    );
}

#[test]
fn fields_of_another_kind_are_refused() {
    says(
        &vm1(|port| port.ring_slots = Some(32)),
        &[
            "port.vm1.ring_slots: a port of kind tap has no",
            "kind = \"nic\"",
        ],
    );
    says(
        &vm1(|port| (port.kind, port.netns) = (PortKind::Mem, Some("x".into()))),
        &["port.vm1.netns", "kind = \"tap\""],
    );
    // The device of a nic, or a TAP, may be elsewhere, a TAP there under another name; not here.
    let elsewhere = |port: &mut PortConfig| {
        (port.netns, port.device) = (Some("x".into()), Some("net1".into()));
    };
    assert_eq!(vm1(elsewhere), "");
    says(
        &vm1(|port| port.device = Some("net1".into())),
        &["port.vm1.device", "kind = \"nic\""],
    );
    says(
        &vm1(|port| port.queues = 0),
        &["port.vm1.queues", "from 1 to 64"],
    );
}

#[test]
fn an_interval_of_rebalancing_is_off_or_in_range() {
    for (interval, wrong) in [
        ("0s", false),
        ("99ms", true),
        ("100ms", false),
        ("5s", false),
        ("1h", false),
        ("3601s", true),
    ] {
        let text = errors(|config| {
            config.daemon.rebalance_interval = interval.parse().expect("a duration");
        });
        let expected: &[&str] = &["daemon.rebalance_interval", "100ms to 1h", interval];
        if wrong {
            says(&text, expected);
        } else {
            assert_eq!(text, "", "{interval}");
        }
    }
}

#[test]
fn host_addresses_make_sense_together() {
    says(
        &host(|host| host.gateway = Some("10.0.0.1".parse().expect("ip"))),
        &["host.br0.gateway", "192.168.10.11/24"],
    );
    assert_eq!(
        host(|host| host.gateway = Some("192.168.10.1".parse().expect("ip"))),
        ""
    );
    let text = errors(|config| {
        let mut second = config.host["br0"].clone();
        second.vlan = Some(100);
        config.host.insert("br0.100".into(), second);
    });
    says(
        &text,
        &["host.\"br0.100\".addresses: 192.168.10.11 is already an address of host port \"br0\""],
    );
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = errors(|config| {
        config.daemon.workers = crate::config::Workers::Count(0);
        config.bridge.get_mut("br0").expect("br0").fdb_max = 0;
        let port = config.port.get_mut("vm1").expect("vm1");
        (port.vlan, port.bridge, port.mtu) = (Some(5000), Some("br1".into()), Some(1));
    });
    assert_eq!(text.lines().count(), 5, "{text}");
}
