//! Bonds whose members are monitored: what goes out as whom, what an answer and its absence do, and what is told.

use crate::bond::monitor::Asked;
use crate::probe;
use crate::testing::{Rig, nic};
use arrayvec::ArrayVec;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use vswitch_base::{Duration, MacAddr, PortIndex};
use vswitch_core::bond::Transmit;
use vswitch_core::punt::Punt;
use vswitch_core::verdict::PuntReason;
use vswitch_core::watch::{Neighbour, Speech};

const TARGET: MacAddr = MacAddr([0, 0x1c, 0x73, 0, 0, 1]);

fn config(knobs: Value) -> Value {
    let mut bond = json!({
        "mode": "active-backup", "members": ["eth0", "eth1"],
        "arp_interval": 1000, "arp_ip_target": ["10.0.0.1"], "arp_validate": "all",
    });
    let Value::Object(knobs) = knobs else {
        panic!("knobs are a table");
    };
    bond.as_object_mut().expect("a table").extend(knobs);
    json!({
        "bridge": { "br0": { "uplink": "bond0", "vlans": [1, 100] } },
        "bond": { "bond0": bond },
        "host": { "br0": { "bridge": "br0", "addresses": ["10.0.0.9/24", "fd00::9/64"] } },
    })
}

/// A switch, and a network at the other ends of its links that floods and answers.
struct Net {
    rig: Rig,
    /// Members that send into nothing, with carrier.
    dead: BTreeSet<PortIndex>,
    /// Every probe sent, with its member.
    probes: Vec<(PortIndex, Neighbour, Vec<u8>)>,
}

impl Net {
    fn new(knobs: Value) -> Self {
        Self {
            rig: Rig::new(config(knobs), &[nic("eth0", 5), nic("eth1", 6)]),
            dead: BTreeSet::new(),
            probes: Vec::new(),
        }
    }

    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds * 100 {
            self.rig.pass(Duration::from_millis(10));
            for (member, frame) in std::mem::take(&mut self.rig.wire) {
                let Some(asked) = Neighbour::parse(&frame).filter(|n| n.speech == Speech::Asks)
                else {
                    continue;
                };
                if asked.sender == asked.target {
                    continue; // An announcement.
                }
                if !self.dead.contains(&member) {
                    self.answer(member, &asked, &frame);
                }
                self.probes.push((member, asked, frame));
            }
        }
    }

    fn answer(&mut self, member: PortIndex, asked: &Neighbour, frame: &[u8]) {
        for other in ["eth0", "eth1"].map(|name| self.rig.index(name)) {
            if other != member {
                self.overhear(other, frame);
            }
        }
        // The target asks for our address, which is as good as an answer.
        let from_target = probe::frame(&Asked {
            target: asked.sender,
            ip: asked.target,
            mac: TARGET,
            tag: None,
        });
        self.overhear(member, &from_target);
    }

    /// A worker shows a frame, if the snapshot wants it.
    fn overhear(&mut self, port: PortIndex, frame: &[u8]) {
        let watched = self
            .rig
            .snapshot
            .port(port)
            .and_then(|view| view.watched.clone());
        if watched.is_none_or(|watched| watched.wants(frame).is_none()) {
            return;
        }
        let mut bytes = ArrayVec::new();
        bytes.try_extend_from_slice(frame).expect("room");
        let punt = Punt {
            vid: None,
            port,
            reason: PuntReason::Probe,
            at: self.rig.now,
            bytes,
        };
        self.rig.controller.handle_punt(&punt, self.rig.now);
        self.rig.run();
    }

    fn senders(&self) -> Vec<PortIndex> {
        let transmit = self.rig.snapshot.transmit(self.rig.index("bond0"));
        transmit.map(Transmit::members).unwrap_or_default()
    }

    fn reason(&mut self, port: &str) -> String {
        self.rig.port(port).reason.unwrap_or_default()
    }
}

/// W-03, K-05, K-08: answers keep a member, silence moves the bond, and both are told.
#[test]
fn a_member_whose_target_is_silent_is_left_until_it_is_heard() {
    let mut net = Net::new(json!({}));
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| net.rig.index(name));
    net.pass(10);
    assert_eq!(net.senders(), [eth0]);
    assert!(net.probes.iter().all(|(member, ..)| *member == eth0));
    assert!(
        (9..=11).contains(&net.probes.len()),
        "{:?}",
        net.probes.len()
    );
    let host = net.rig.port("br0").mac.expect("an address");
    let (_, asked, frame) = net.probes[3].clone();
    assert_eq!(asked.src.to_string(), host);
    let ip = |last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last));
    assert_eq!((asked.sender, asked.target), (ip(9), ip(1)));
    assert_eq!(frame.len(), 60, "untagged");
    assert_eq!(net.rig.events_of("bond-monitor"), []);

    net.dead.insert(eth0);
    net.pass(4);
    assert_eq!(net.senders(), [eth1]);
    assert_eq!(
        net.reason("eth0"),
        "carries nothing of bond0: no ARP reply from 10.0.0.1 for 3 intervals"
    );
    assert_eq!(net.reason("eth1"), "carries frames of bond0");
    net.dead.insert(eth1);
    net.dead.remove(&eth0);
    net.pass(8);
    assert_eq!(net.senders(), [eth0]);
    net.dead.insert(eth0);
    net.pass(10);
    assert_eq!(net.senders(), []);
    let bond = net.rig.port("bond0");
    assert_eq!(bond.state, "lower-down");
    let reason = bond.reason.expect("a reason");
    assert!(
        reason.starts_with("no member can be used: eth0 silent: no ARP reply"),
        "{reason}"
    );
    net.dead.clear();
    net.pass(10);
    assert_eq!(
        (net.senders().len(), net.reason("eth1")),
        (1, "on standby in bond0".to_owned())
    );
    let told = net.rig.events_of("bond-monitor");
    assert_eq!(
        told[0].message,
        "eth0 in bond0 passes no frames: no ARP reply from 10.0.0.1 for 3 intervals"
    );
    let again = "passes frames again";
    assert!(
        told.iter().any(|event| event.message.ends_with(again)),
        "{told:?}"
    );
}

/// W-05, K-06, K-07: each target in its VLAN, as the node where it has an address there.
#[test]
fn each_target_is_asked_in_its_vlan() {
    let mut net = Net::new(json!({
        "arp_ip_target": ["10.0.0.1", "10.0.0.1 vlan 100", "192.168.7.1"],
        "ns_ip6_target": ["fd00::1", "fd01::1 vlan 100"],
    }));
    net.pass(1);
    let host = net.rig.port("br0").mac.expect("an address");
    let own = net.rig.port("eth0").mac.expect("an address");
    let probes = net.probes.iter().take(5);
    let said: Vec<_> = probes
        .map(|(_, asked, frame)| {
            let tag = (frame[12..14] == [0x81, 0]).then_some(frame[15]);
            (
                asked.target.to_string(),
                asked.sender.to_string(),
                asked.src.to_string(),
                tag,
            )
        })
        .collect();
    let row = |target: &str, sender: &str, src: &str, tag| {
        (target.to_owned(), sender.to_owned(), src.to_owned(), tag)
    };
    let expected = [
        row("10.0.0.1", "10.0.0.9", &host, None),
        row("10.0.0.1", "0.0.0.0", &own, Some(100)),
        row("192.168.7.1", "0.0.0.0", &own, None),
        row("fd00::1", "fd00::9", &host, None),
        row("fd01::1", "::", &own, Some(100)),
    ];
    assert_eq!(said, expected);
    let eth1 = net.rig.index("eth1");
    let view = net.rig.snapshot.port(eth1).expect("a member");
    let watched = view.watched.clone().expect("watched");
    assert_eq!(watched.targets.len(), 4, "{watched:?}");
    assert_eq!(watched.own.map(|mac| mac.to_string()), Some(own));
    assert!(!watched.anybody);
}

/// N-07: the monitor begins and ends while the bond carries frames.
#[test]
fn a_monitor_is_switched_on_and_off_under_way() {
    let mut net = Net::new(json!({ "arp_interval": 0, "arp_validate": "none" }));
    let eth0 = net.rig.index("eth0");
    net.pass(5);
    assert_eq!(net.probes.len(), 0);
    for (knobs, watched) in [
        (json!({}), Some(false)),
        (json!({ "arp_validate": "filter" }), Some(true)),
        (json!({ "arp_validate": "none" }), None),
        (
            json!({ "arp_validate": "active", "mode": "balance-xor" }),
            Some(false),
        ),
        (json!({ "arp_interval": 0, "arp_validate": "none" }), None),
    ] {
        let apply = json!({ "config": config(knobs.clone()) });
        let applied = net.rig.call("io.vswitch.Switch.Apply", apply);
        applied.expect("a change");
        let view = net.rig.snapshot.port(eth0).expect("a member");
        let shown = view.watched.as_ref().map(|watched| watched.anybody);
        assert_eq!(shown, watched, "{knobs}");
        assert!(net.senders().contains(&eth0), "{knobs}");
        net.probes.clear();
        net.pass(2);
        assert_eq!(net.probes.is_empty(), knobs["arp_interval"] == 0, "{knobs}");
    }
    assert_eq!(net.rig.events_of("bond-monitor"), []);
}
