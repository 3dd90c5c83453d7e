//! Who is announced after a failover, by which member, how often and how fast.

use super::learn;
use crate::announcement::{ARP, arp};
use crate::facts::{Link, LinkEvent};
use crate::testing::{Rig, nic};
use arrayvec::ArrayVec;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vswitch_base::{Duration, MacAddr, PortIndex, Vid};
use vswitch_core::guard::ECHO_S;
use vswitch_core::punt::Punt;
use vswitch_core::verdict::PuntReason;

fn config(knobs: Value) -> Value {
    let mut bond = json!({ "mode": "active-backup", "members": ["eth0", "eth1"] });
    let Value::Object(knobs) = knobs else {
        panic!("knobs are a table");
    };
    bond.as_object_mut().expect("a table").extend(knobs);
    json!({
        "bridge": { "br0": { "uplink": "bond0", "vlans": [1, 100] } },
        "bond": { "bond0": bond },
        "port": {
            "vm1": { "kind": "tap", "bridge": "br0", "vlan": 100 },
            "vm2": { "kind": "tap", "bridge": "br0" },
            "vm3": { "kind": "tap", "bridge": "br0", "vlan": 300 },
        },
        "host": { "br0": { "bridge": "br0", "addresses": ["10.0.0.9/24", "fd00::9/64"] } },
    })
}

fn rig(knobs: Value) -> Rig {
    Rig::new(config(knobs), &[nic("eth0", 5), nic("eth1", 6)])
}

fn carrier(rig: &mut Rig, device: &str, carrier: bool) {
    let link = rig.links[device].clone();
    rig.link(LinkEvent::Present(Link { carrier, ..link }));
}

fn mac(number: u16) -> MacAddr {
    let [high, low] = number.to_be_bytes();
    MacAddr([0x52, 0x54, 0, 1, high, low])
}

/// The senders of what was sent since the last call, with the member, the VLAN's tag if any and the
/// EtherType.
fn said(rig: &mut Rig) -> Vec<(PortIndex, MacAddr, u16, u16)> {
    let frames = std::mem::take(&mut rig.wire).into_iter();
    let heard = frames.map(|(port, frame)| {
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        let source = MacAddr(frame[6..12].try_into().expect("six"));
        match word(12) {
            0x8100 => (port, source, word(14), word(16)),
            kind => (port, source, 0, kind),
        }
    });
    heard.collect()
}

/// N-05, R-01, R-02: every station that is not behind the bond, in the VLANs that the bond carries, as it
/// leaves there; the node's own addresses by name.
#[test]
fn everybody_is_announced_by_the_member_that_took_over() {
    let mut rig = rig(json!({}));
    rig.pass(Duration::from_secs(1));
    let at_start = said(&mut rig);
    assert_eq!(at_start.len(), 2, "the node's two addresses: {at_start:?}");
    for (port, vlan, number) in [
        ("vm1", 100, 1),
        ("vm2", 1, 2),
        ("vm3", 300, 3),
        ("bond0", 100, 4),
    ] {
        learn(&rig, port, vlan, mac(number));
    }
    carrier(&mut rig, "eth0", false);
    let eth1 = rig.index("eth1");
    let mut heard = said(&mut rig);
    heard.sort();
    let node = rig.open[&rig.index("br0")]
        .settings
        .mac
        .expect("its address");
    let mut expected = vec![
        (eth1, mac(1), 100, 0x8035),
        (eth1, mac(2), 0, 0x8035),
        (eth1, node, 0, 0x0806),
        (eth1, node, 0, 0x86dd),
    ];
    expected.sort();
    assert_eq!(heard, expected);
    rig.pass(Duration::from_secs(5));
    assert_eq!(said(&mut rig), [], "once, unless more is asked for");
}

/// K-16, K-17: as often as the kernel's options say; 0 is never.
#[test]
fn it_is_said_as_often_as_configured() {
    for (knobs, times, apart) in [
        (json!({ "num_grat_arp": 3 }), 3, 100),
        (
            json!({ "num_unsol_na": 2, "peer_notif_delay": 700 }),
            2,
            700,
        ),
        (json!({ "num_grat_arp": 0 }), 0, 100),
    ] {
        let mut rig = rig(knobs.clone());
        rig.pass(Duration::from_secs(5));
        said(&mut rig);
        learn(&rig, "vm1", 100, mac(1));
        carrier(&mut rig, "eth0", false);
        let vm = |rig: &mut Rig| {
            said(rig)
                .iter()
                .filter(|(_, from, ..)| *from == mac(1))
                .count()
        };
        for round in 0..5 {
            let expected = usize::from(round < times);
            assert_eq!(vm(&mut rig), expected, "{knobs}, round {round}");
            rig.pass(Duration::from_millis(apart - 1));
            assert_eq!(vm(&mut rig), 0, "{knobs}");
            rig.pass(Duration::from_millis(1));
        }
    }
}

/// N-05: a thousand stations are told of within fifty milliseconds, those first that were seen last.
#[test]
fn a_thousand_silent_stations_are_announced_within_fifty_milliseconds() {
    let mut rig = rig(json!({}));
    rig.pass(Duration::from_secs(1));
    for number in 1..=1000 {
        learn(&rig, "vm2", 1, mac(number));
    }
    rig.pass(Duration::from_secs(60));
    learn(&rig, "vm2", 1, mac(77));
    said(&mut rig);
    carrier(&mut rig, "eth0", false);
    let first = said(&mut rig);
    assert!(first.len() < 135, "not all at once: {}", first.len());
    assert!(first.iter().any(|(_, from, ..)| *from == mac(77)));
    let mut heard: BTreeSet<MacAddr> = first.iter().map(|(_, from, ..)| *from).collect();
    rig.pass(Duration::from_millis(49));
    heard.extend(said(&mut rig).iter().map(|(_, from, ..)| *from));
    assert!((1..=1000).all(|number| heard.contains(&mac(number))));
    // Half-way through, the other member has to carry: everybody is told of again.
    carrier(&mut rig, "eth0", true);
    carrier(&mut rig, "eth1", false);
    rig.pass(Duration::from_millis(20));
    carrier(&mut rig, "eth1", true);
    carrier(&mut rig, "eth0", false);
    said(&mut rig);
    rig.pass(Duration::from_millis(99));
    let eth1 = rig.index("eth1");
    let by_eth1 = said(&mut rig)
        .into_iter()
        .filter(|(port, ..)| *port == eth1);
    assert!(by_eth1.count() > 850);
}

/// Every mode: by the members that the frames would leave by.
#[test]
fn in_every_mode_the_members_that_carry_say_it() {
    for mode in ["balance-rr", "balance-xor", "broadcast"] {
        let mut rig = rig(json!({ "mode": mode, "members": ["eth0", "eth1"] }));
        rig.pass(Duration::from_secs(1));
        said(&mut rig);
        for number in 1..=8 {
            learn(&rig, "vm2", 1, mac(number));
        }
        carrier(&mut rig, "eth0", false);
        let eth1 = rig.index("eth1");
        let heard = said(&mut rig);
        assert!(heard.iter().all(|(port, ..)| *port == eth1), "{mode}");
        assert_eq!(heard.len(), 8 + 2, "{mode}");
        carrier(&mut rig, "eth0", true);
        rig.pass(Duration::from_secs(1));
        assert_eq!(said(&mut rig), [], "{mode}: nobody lost anything");
    }
}

/// K-23: a switch is reminded of stations that only listen, in frames that it does not pass on.
#[test]
fn a_switch_is_reminded_in_the_modes_that_have_an_interval() {
    let mut rig = rig(json!({ "mode": "balance-tlb", "lp_interval": 2 }));
    rig.pass(Duration::from_secs(1));
    learn(&rig, "vm1", 100, mac(1));
    said(&mut rig);
    rig.pass(Duration::from_secs(10));
    let heard = said(&mut rig);
    let of = |from| heard.iter().filter(move |(_, source, ..)| *source == from);
    assert_eq!(of(mac(1)).count(), 5, "{heard:?}");
    assert!(of(mac(1)).all(|(_, _, vlan, kind)| (*vlan, *kind) == (100, 0x9000)));
    assert!(of(mac(1)).all(|(port, ..)| *port == of(mac(1)).next().expect("one").0));
    // Another mode has none.
    let mode = config(json!({ "mode": "balance-slb" }));
    rig.call("io.vswitch.Switch.Apply", json!({ "config": mode }))
        .expect("taken");
    rig.pass(Duration::from_secs(3));
    said(&mut rig);
    rig.pass(Duration::from_secs(10));
    assert_eq!(said(&mut rig), []);
}

/// K-23, A-05: where members send from their own addresses, each says its own in the VLANs of the stations, which the
/// active one says, from the bond's.
#[test]
fn a_switch_is_reminded_of_members_that_send_from_their_own_addresses() {
    for mode in ["balance-tlb", "balance-alb"] {
        let mut rig = rig(json!({ "mode": mode, "tlb_src": "rewrite", "lp_interval": 2 }));
        rig.pass(Duration::from_secs(1));
        learn(&rig, "vm1", 100, mac(1));
        learn(&rig, "vm2", 1, mac(2));
        said(&mut rig);
        rig.pass(Duration::from_secs(2));
        let heard = said(&mut rig);
        let [eth0, eth1] = ["eth0", "eth1"].map(|name| {
            let mac = rig.links[name].mac.expect("an address");
            (rig.index(name), mac)
        });
        for vlan in [0, 100] {
            let said = |by: PortIndex, from| heard.contains(&(by, from, vlan, 0x9000));
            assert!(said(eth0.0, eth0.1) && said(eth1.0, eth1.1), "{heard:?}");
        }
        let of_eth1 = heard.iter().filter(|(by, ..)| *by == eth1.0);
        assert!(of_eth1.into_iter().all(|(_, from, ..)| *from == eth1.1));
        for (vlan, station) in [(100, mac(1)), (0, mac(2))] {
            assert!(heard.contains(&(eth0.0, station, vlan, 0x9000)));
        }
        // The active one goes: the other one has its address, and announces everybody.
        carrier(&mut rig, "eth0", false);
        let announced = said(&mut rig);
        assert!(
            announced.contains(&(eth1.0, mac(1), 100, 0x8035)),
            "{announced:?}"
        );
        rig.pass(Duration::from_secs(4));
        let heard = said(&mut rig);
        assert!(heard.contains(&(eth1.0, eth0.1, 100, 0x9000)), "{heard:?}");
        assert!(heard.iter().all(|(by, ..)| *by == eth1.0));
    }
}

/// Row 5 of features.md 3.7: what comes back of an announcement moves nobody.
#[test]
fn who_is_announced_is_marked_so() {
    let mut rig = rig(json!({}));
    learn(&rig, "vm1", 100, mac(1));
    learn(&rig, "vm1", 100, mac(2));
    rig.pass(Duration::from_secs(30));
    let marked = |rig: &Rig, number: u16| {
        let (_, bridge) = rig.snapshot.bridges().next().expect("a bridge");
        let hit = bridge.fdb.find(Vid::new(100).ok(), mac(number));
        let now_s = rig.now.as_secs_u32();
        bridge
            .fdb
            .announced_within(hit.expect("known"), ECHO_S, now_s)
    };
    assert!(!marked(&rig, 1));
    carrier(&mut rig, "eth0", false);
    assert!([1, 2].iter().all(|number| marked(&rig, *number)));
}

/// N-06, K-18: what a station reported of a group is said again by the member that took over, in its name and
/// VLAN, as often as configured; what left with its port is not.
#[test]
fn groups_are_joined_again_where_the_bond_goes_now() {
    // Linux joins 239.1.2.3, version 2, from its EtherType on.
    let report = "080046c0002000004000 0102e9120a000001ef010203940400001600f8faef010203";
    let report = report.replace(' ', "");
    let report: Vec<u8> = (0..report.len() / 2)
        .map(|i| u8::from_str_radix(&report[2 * i..2 * i + 2], 16).expect("hex"))
        .collect();
    let mut rig = rig(json!({ "resend_igmp": 2, "num_grat_arp": 0 }));
    let flags = ["vm1", "bond0"].map(|name| {
        let view = rig.snapshot.port(rig.index(name));
        view.expect("published").flags.tells_groups
    });
    assert_eq!(flags, [true, false]);
    let punt = |port: PortIndex, vlan: u16, from: MacAddr| {
        let group = [1, 0, 0x5e, 1, 2, 3];
        let mut bytes = ArrayVec::new();
        for part in [&group[..], &from.0, &report] {
            bytes.try_extend_from_slice(part).expect("room");
        }
        Punt {
            port,
            reason: PuntReason::Groups,
            at: vswitch_base::Instant::ZERO,
            vid: Vid::new(vlan).ok(),
            bytes,
        }
    };
    for (port, vlan, number) in [("vm1", 100, 1), ("vm2", 1, 2), ("vm3", 300, 3)] {
        let index = rig.index(port);
        rig.controller
            .handle_punt(&punt(index, vlan, mac(number)), rig.now);
    }
    rig.run();
    rig.pass(Duration::from_secs(1));
    said(&mut rig);
    carrier(&mut rig, "eth0", false);
    let eth1 = rig.index("eth1");
    let mut heard = said(&mut rig);
    heard.sort();
    let mut expected = vec![(eth1, mac(1), 100, 0x0800), (eth1, mac(2), 0, 0x0800)];
    expected.sort();
    assert_eq!(heard, expected, "VLAN 300 is not the bond's");
    rig.pass(Duration::from_millis(199));
    assert_eq!(said(&mut rig), []);
    rig.pass(Duration::from_millis(1));
    assert_eq!(said(&mut rig).len(), 2, "again");
    let mut without = config(json!({ "resend_igmp": 2, "num_grat_arp": 0 }));
    without["port"]
        .as_object_mut()
        .expect("ports")
        .remove("vm2");
    rig.call("io.vswitch.Switch.Apply", json!({ "config": without }))
        .expect("taken");
    rig.pass(Duration::from_secs(1));
    said(&mut rig);
    carrier(&mut rig, "eth0", true);
    carrier(&mut rig, "eth1", false);
    let heard = said(&mut rig);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].1, mac(1));
}

/// What `from` on `port` said in that VLAN.
fn neighbours(port: PortIndex, vlan: u16, frame: &[u8]) -> Punt {
    let mut bytes = ArrayVec::new();
    bytes.try_extend_from_slice(frame).expect("room");
    Punt {
        port,
        reason: PuntReason::Neighbours,
        at: vswitch_base::Instant::ZERO,
        vid: Vid::new(vlan).ok(),
        bytes,
    }
}

fn arp_of(from: MacAddr, last: u8) -> Vec<u8> {
    let ip = |last| std::net::Ipv4Addr::new(10, 0, 0, last);
    let said = arp(ARP, 2, from, ip(last), mac(99), ip(9));
    said.frame(None).into()
}

/// The IPv4 addresses that stations were announced with since the last call; 0 of one by reverse ARP.
fn announced(rig: &mut Rig) -> Vec<(MacAddr, u8)> {
    let frames = std::mem::take(&mut rig.wire).into_iter();
    let heard = frames.filter_map(|(_, frame)| {
        let from = MacAddr(frame[6..12].try_into().expect("six"));
        let at = if frame[12..14] == [0x81, 0] { 16 } else { 12 };
        match frame[at..at + 2] {
            [0x08, 0x06] => Some((from, frame[at + 19])),
            [0x80, 0x35] => Some((from, 0)),
            _ => None,
        }
    });
    let mut heard: Vec<_> = heard.collect();
    heard.sort();
    heard
}

/// R-03, N-05: a station is announced with the IP addresses that it spoke of at its port, and not with those that
/// another has claimed since, at another port, in another VLAN, or beyond the bond.
#[test]
fn a_station_is_announced_with_the_addresses_that_it_spoke_of() {
    let mut rig = rig(json!({}));
    let flags = ["vm1", "vm3", "bond0"].map(|name| {
        let view = rig.snapshot.port(rig.index(name));
        view.expect("published").flags.tells_neighbours
    });
    assert_eq!(flags, [true; 3]);
    let [vm1, vm2, eth0] = ["vm1", "vm2", "eth0"].map(|name| rig.index(name));
    for (port, vlan, from, last) in [
        (vm1, 100, 1, 1),
        (vm1, 100, 1, 2),
        (vm1, 100, 2, 3),
        // Claimed by another.
        (vm1, 100, 3, 3),
        // Of another VLAN.
        (vm2, 1, 5, 1),
        // The node's own.
        (vm2, 1, 5, 9),
        (vm2, 1, 6, 7),
        // One from beyond the bond has that one now; and the other came back from there.
        (eth0, 1, 50, 7),
        (eth0, 100, 1, 1),
    ] {
        let said = arp_of(mac(from), last);
        rig.controller
            .handle_punt(&neighbours(port, vlan, &said), rig.now);
    }
    let mut broken = arp_of(mac(4), 4);
    broken[22] = 9;
    rig.controller
        .handle_punt(&neighbours(vm1, 100, &broken), rig.now);
    rig.run();
    rig.pass(Duration::from_secs(1));
    announced(&mut rig);
    for (port, vlan, number) in [
        ("vm1", 100, 1),
        ("vm1", 100, 2),
        ("vm1", 100, 3),
        ("vm1", 100, 4),
        ("vm2", 1, 5),
        ("vm2", 1, 6),
    ] {
        learn(&rig, port, vlan, mac(number));
    }
    carrier(&mut rig, "eth0", false);
    let node = rig.open[&rig.index("br0")].settings.mac;
    let mut expected = vec![
        (mac(1), 1),
        (mac(1), 2),
        (mac(2), 0),
        (mac(3), 3),
        (mac(4), 0),
        (mac(5), 1),
        (mac(6), 0),
        (node.expect("its address"), 9),
    ];
    expected.sort();
    assert_eq!(announced(&mut rig), expected);
    // Half an hour without a word.
    rig.pass(Duration::from_secs(1801));
    learn(&rig, "vm1", 100, mac(1));
    carrier(&mut rig, "eth0", true);
    carrier(&mut rig, "eth1", false);
    assert!(announced(&mut rig).contains(&(mac(1), 0)));
}

/// R-03, N-05: the one address that a port's station is configured to have is known without a word of it; of
/// several those that it spoke of, and no others.
#[test]
fn a_configured_address_is_known_without_a_word() {
    let mut config = config(json!({}));
    for (name, own, ips) in [
        ("vm1", 1, json!(["10.0.0.1"])),
        ("vm2", 2, json!(["10.0.0.2", "10.0.0.3"])),
    ] {
        let port = &mut config["port"][name];
        port["guard"] = json!(true);
        port["guard_macs"] = json!([mac(own).to_string()]);
        port["guard_ips"] = ips;
    }
    let mut rig = Rig::new(config, &[nic("eth0", 5), nic("eth1", 6)]);
    rig.pass(Duration::from_secs(1));
    let vm2 = rig.index("vm2");
    for last in [3, 4] {
        let said = neighbours(vm2, 1, &arp_of(mac(2), last));
        rig.controller.handle_punt(&said, rig.now);
    }
    rig.run();
    announced(&mut rig);
    learn(&rig, "vm1", 100, mac(1));
    learn(&rig, "vm2", 1, mac(2));
    carrier(&mut rig, "eth0", false);
    let mut heard = announced(&mut rig);
    heard.retain(|(from, _)| [mac(1), mac(2)].contains(from));
    assert_eq!(heard, [(mac(1), 1), (mac(2), 3)]);
}

/// N-05: what is paced are frames, not stations.
#[test]
fn stations_with_many_addresses_do_not_make_bursts() {
    let mut rig = rig(json!({}));
    rig.pass(Duration::from_secs(1));
    let vm2 = rig.index("vm2");
    for number in 1..=50 {
        for last in 1..=4 {
            let mut said = arp_of(mac(number), last);
            said[30] = u8::try_from(number).expect("small");
            rig.controller
                .handle_punt(&neighbours(vm2, 1, &said), rig.now);
        }
        learn(&rig, "vm2", 1, mac(number));
    }
    rig.run();
    said(&mut rig);
    carrier(&mut rig, "eth0", false);
    let first = said(&mut rig).len();
    assert!((120..=128).contains(&first), "{first}");
    rig.pass(Duration::from_millis(5));
    assert_eq!(first + said(&mut rig).len(), 50 * 4 + 2);
}
