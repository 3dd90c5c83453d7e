//! LACP under the controller: with a partner at the other end of the links, without one, and the last word.

use crate::facts::{Link, LinkEvent};
use crate::testing::{Rig, nic};
use arrayvec::ArrayVec;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vswitch_base::{Duration, MacAddr, PortIndex};
use vswitch_core::bond::{Admits, Transmit};
use vswitch_core::punt::Punt;
use vswitch_core::verdict::PuntReason;
use vswitch_lacp::{Config, Lacp, LinkState, MemberConfig, PortState, SlowProtocol, SystemId};

const PARTNER: MacAddr = MacAddr([0, 0x1c, 0x73, 0xaa, 0, 1]);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn config(knobs: Value) -> Value {
    let mut bond = json!({ "mode": "802.3ad", "members": ["eth0", "eth1"] });
    let Value::Object(knobs) = knobs else {
        panic!("knobs are a table");
    };
    bond.as_object_mut().expect("a table").extend(knobs);
    json!({
        "bridge": { "br0": { "uplink": "bond0" } },
        "bond": { "bond0": bond },
        "port": { "vm1": { "kind": "tap", "bridge": "br0" } },
    })
}

/// A switch with that bond and another system at the other ends of its links.
struct Pair {
    rig: Rig,
    partner: Lacp,
    /// Links that pass nothing, with carrier.
    silent: BTreeSet<PortIndex>,
}

impl Pair {
    fn new(knobs: Value) -> Self {
        let mac = |last| Some(MacAddr([0x52, 0x54, 0, 0, 0, last]));
        let links = [("eth0", 5, 0xa0), ("eth1", 6, 0xa1)].map(|(name, number, last)| Link {
            mac: mac(last),
            ..nic(name, number)
        });
        let rig = Rig::new(config(knobs), &links);
        let mut partner = Lacp::new(Config {
            fast: true,
            ..Config::new(SystemId {
                priority: 32_768,
                mac: PARTNER,
            })
        });
        let link = LinkState {
            up: true,
            speed: 10_000,
            full_duplex: true,
        };
        for (number, name) in [(1, "eth0"), (2, "eth1")] {
            let member = MemberConfig {
                number,
                priority: 255,
                user_key: 0,
                enabled: true,
                aggregatable: true,
            };
            partner
                .add_member(rig.index(name), member, link, rig.now)
                .expect("a member");
        }
        Self {
            rig,
            partner,
            silent: BTreeSet::new(),
        }
    }

    /// Lets both ends talk for that long.
    fn talk(&mut self, span: Duration) {
        let end = self.rig.now + span;
        while self.rig.now < end {
            self.exchange();
            self.rig.pass(ms(10));
            let now = self.rig.now;
            if self.partner.poll_timeout().is_some_and(|at| at <= now) {
                self.partner.handle_timeout(now);
            }
        }
        self.exchange();
    }

    /// Whether the passes guard the bond against what comes back.
    fn reflects(&self) -> bool {
        let view = self.rig.snapshot.port(self.index("bond0"));
        view.expect("published").flags.reflects
    }

    fn exchange(&mut self) {
        let now = self.rig.now;
        for (port, frame) in std::mem::take(&mut self.rig.wire) {
            assert_eq!(frame.len(), 124, "as long as the standard has it");
            assert_eq!(&frame[..6], MacAddr::SLOW_PROTOCOLS.0);
            if !self.silent.contains(&port) {
                let heard = self.partner.handle_pdu(port, &frame[14..], now);
                heard.expect("sound to another implementation's eyes");
            }
        }
        while let Some((port, payload)) = self.partner.poll_transmit(now) {
            if self.silent.contains(&port) {
                continue;
            }
            let frame = crate::bond::negotiation::frame(PARTNER, &payload);
            let mut bytes = ArrayVec::new();
            bytes.try_extend_from_slice(&frame).expect("room");
            let punt = Punt {
                port,
                vid: None,
                reason: PuntReason::SlowProtocol,
                at: now,
                bytes,
            };
            self.rig.controller.handle_punt(&punt, now);
            self.rig.run();
            self.assert_published();
        }
    }

    /// The passes let in what LACP lets in, at every moment.
    fn assert_published(&self) {
        for bond in self.rig.controller.bonds.values() {
            for member in bond.members() {
                let view = self.rig.snapshot.port(member.index).expect("published");
                let admits = bond.admits(member.index);
                assert_eq!(Some(&view.admits), admits.as_ref(), "{member:?}");
            }
        }
    }

    fn index(&self, name: &str) -> PortIndex {
        self.rig.index(name)
    }

    fn senders(&self) -> Vec<PortIndex> {
        let transmit = self.rig.snapshot.transmit(self.index("bond0"));
        transmit.expect("a bond").members()
    }

    fn reason(&mut self, name: &str) -> String {
        self.rig.port(name).reason.unwrap_or_default()
    }

    fn apply(&mut self, config: &Value) {
        self.rig
            .call("io.vswitch.Switch.Apply", json!({ "config": config }))
            .expect("taken");
    }
}

/// A-04, P-01: members carry when both ends agree, and not before.
#[test]
fn members_carry_when_both_ends_agree() {
    let mut pair = Pair::new(json!({ "lacp_rate": "fast" }));
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| pair.index(name));
    assert_eq!(pair.senders(), [], "nobody was heard yet");
    let view = pair.rig.snapshot.port(eth0).expect("published");
    assert_eq!(view.admits, Admits::Nothing);
    assert_eq!(pair.rig.port("bond0").state, "lower-down");
    assert_eq!(pair.reason("bond0"), "LACP is being negotiated");
    pair.talk(ms(2_500));
    assert_eq!(pair.senders(), [eth0, eth1]);
    for member in [eth0, eth1] {
        let view = pair.rig.snapshot.port(member).expect("published");
        assert_eq!(view.admits, Admits::Everything);
        assert!(pair.partner.member(member).expect("a member").distributing);
    }
    assert_eq!(pair.reason("eth0"), "carries frames, in bond0");
    let told = pair.rig.events_of("lacp");
    let told: Vec<&str> = told.iter().map(|event| event.message.as_str()).collect();
    assert!(told.contains(&"bond0: eth1 carries frames"), "{told:?}");
    let partner = "bond0: the partner of eth0 is system 00:1c:73:aa:00:01 prio 32768, key 15, port 1 \
                   prio 255, state ";
    assert!(
        told.iter().any(|text| text.starts_with(partner)),
        "{told:?}"
    );
}

/// without coupled control a member takes frames before it sends any, and the passes know: a Linux partner
/// sends as soon as it hears that we are in sync, and says so 300 ms later.
#[test]
fn a_member_that_collects_and_does_not_distribute_lets_frames_in() {
    let mut pair = Pair::new(json!({ "lacp_rate": "fast", "coupled_control": "off" }));
    let eth0 = pair.index("eth0");
    let mut seen = Vec::new();
    for _ in 0..400 {
        pair.talk(ms(10));
        let view = pair.rig.snapshot.port(eth0).expect("published");
        let takes = view.admits == Admits::Everything;
        let part = (takes, pair.senders().contains(&eth0));
        if seen.last() != Some(&part) {
            seen.push(part);
        }
    }
    let (first, last) = (seen.first(), seen.last());
    assert_eq!((first, last), (Some(&(false, false)), Some(&(true, true))));
    assert!(!seen.contains(&(false, true)), "{seen:?}");
}

/// W-07, P-03: a partner that falls silent is given up in three seconds at the fast rate; the other member
/// takes over, and both carry again when it speaks again.
#[test]
fn a_silent_partner_is_given_up_in_time() {
    let mut pair = Pair::new(json!({ "lacp_rate": "fast" }));
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| pair.index(name));
    pair.talk(ms(2_500));
    pair.silent.insert(eth0);
    pair.talk(ms(3_100));
    assert!(pair.senders().iter().all(|member| *member == eth1));
    let view = pair.rig.snapshot.port(eth0).expect("published");
    assert_eq!(view.admits, Admits::Nothing);
    pair.silent.clear();
    pair.talk(ms(3_500));
    assert!(pair.senders().contains(&eth0));
}

/// W-01: the loss of carrier does not wait for the protocol.
#[test]
fn a_lost_link_moves_the_flows_at_once() {
    let mut pair = Pair::new(json!({}));
    let eth1 = pair.index("eth1");
    pair.talk(ms(2_500));
    let generation = pair.rig.generation();
    let link = pair.rig.links["eth0"].clone();
    pair.rig.link(LinkEvent::Present(Link {
        carrier: false,
        ..link
    }));
    assert!(pair.senders().iter().all(|member| *member == eth1));
    assert_eq!(pair.rig.generation(), generation.next(), "one publication");
}

/// K-35, K-36: without a partner one member works as it is, unless that is forbidden; live.
#[test]
fn without_a_partner_one_member_works_unless_forbidden() {
    let mut pair = Pair::new(json!({ "lacp_rate": "fast" }));
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| pair.index(name));
    pair.silent.extend([eth0, eth1]);
    pair.talk(ms(7_000));
    assert!(pair.senders().iter().all(|member| *member == eth0));
    let reason = pair.reason("eth0");
    let alone = "carries frames without LACP: no partner is heard, in bond0";
    assert_eq!((reason.as_str(), pair.senders().is_empty()), (alone, false));
    assert_eq!(pair.reason("eth1"), "hears no LACP partner, in bond0");
    assert!(pair.reflects(), "the other side knows of no bond");
    pair.apply(&config(json!({ "lacp_rate": "fast", "lacp_strict": "on" })));
    assert_eq!(pair.senders(), []);
    let why = "no member hears LACP from the other side, and lacp_strict or lacp_fallback_ab forbids to \
               work without";
    assert_eq!(pair.reason("bond0"), why);
    pair.apply(&config(json!({ "lacp_rate": "fast" })));
    assert!(!pair.senders().is_empty(), "and back");
    // One that negotiates gives nothing back.
    assert!(pair.reflects());
    pair.silent.clear();
    pair.talk(ms(40_000));
    assert_eq!(
        (pair.senders().is_empty(), pair.reflects()),
        (false, false),
        "{}",
        pair.reason("eth0")
    );
}

/// K-24: too few links are as none.
#[test]
fn a_bond_with_fewer_links_than_it_must_have_is_down() {
    let mut pair = Pair::new(json!({ "min_links": 2 }));
    pair.talk(ms(2_500));
    assert_eq!(pair.rig.port("bond0").state, "up");
    let link = pair.rig.links["eth0"].clone();
    pair.rig.link(LinkEvent::Present(Link {
        carrier: false,
        ..link
    }));
    assert_eq!(pair.senders(), []);
    let why = "1 of at least 2 members carry frames (min_links)";
    assert_eq!(pair.reason("bond0"), why);
}

/// P-18: a member that is taken out says so while it can, with the bits that are wanted.
#[test]
fn the_partner_hears_of_a_member_that_is_taken_out() {
    let closed = PortState::SYNCHRONIZATION | PortState::COLLECTING | PortState::DISTRIBUTING;
    let table = [
        ("out-of-sync", Some((closed, PortState::AGGREGATION))),
        (
            "individual",
            Some((closed | PortState::AGGREGATION, PortState::ACTIVITY)),
        ),
        ("silent", None),
    ];
    for (said, expected) in table {
        let mut pair = Pair::new(json!({ "lacp_goodbye": said }));
        let eth1 = pair.index("eth1");
        pair.talk(ms(2_500));
        pair.rig.wire.clear();
        let knobs = json!({ "lacp_goodbye": said, "members": ["eth0"] });
        pair.apply(&config(knobs));
        let last = pair.rig.wire.iter().rfind(|(port, _)| *port == eth1);
        let state = last.map(|(_, frame)| match SlowProtocol::parse_frame(frame) {
            Ok((_, SlowProtocol::Lacp(pdu))) => pdu.actor.state,
            other => panic!("{other:?}"),
        });
        match (state, expected) {
            (None, None) => {}
            (Some(state), Some((cleared, kept))) => {
                assert!(
                    state.0 & cleared.0 == 0 && state.contains(kept),
                    "{said}: {state}"
                );
            }
            other => panic!("{said}: {other:?}"),
        }
    }
}

/// N-07: LACP begins and ends with the mode, on the same open devices.
#[test]
fn the_mode_changes_to_lacp_and_back() {
    let mut pair = Pair::new(json!({}));
    pair.talk(ms(2_500));
    pair.apply(&config(json!({ "mode": "balance-xor" })));
    let eth0 = pair.index("eth0");
    let last = pair.rig.wire.iter().rfind(|(port, _)| *port == eth0);
    let (_, frame) = last.expect("a last word");
    let Ok((_, SlowProtocol::Lacp(pdu))) = SlowProtocol::parse_frame(frame) else {
        panic!("a LACPDU");
    };
    assert!(!pdu.actor.state.contains(PortState::SYNCHRONIZATION));
    let bond = pair.index("bond0");
    let transmit = pair.rig.snapshot.transmit(bond);
    assert!(matches!(transmit, Some(Transmit::Hashed(_))));
    pair.talk(ms(1_000));
    pair.apply(&config(json!({})));
    pair.talk(ms(3_500));
    assert_eq!(pair.rig.port("bond0").state, "up");
    assert_eq!(pair.reason("eth1"), "carries frames, in bond0");
    assert!(
        pair.rig
            .take_log()
            .iter()
            .filter(|l| l.starts_with("open"))
            .count()
            == 4
    );
}

/// P-20, O-04: what operators see of a bond that negotiates.
#[test]
fn a_bond_tells_its_partner_and_each_members_machines() {
    let mut pair = Pair::new(json!({ "lacp_rate": "fast" }));
    pair.talk(ms(6_000));
    let reply = pair.rig.call("io.vswitch.Bond.List", json!({}));
    let bond = reply.expect("a list")["bonds"][0].clone();
    assert_eq!(bond["state"], json!("up"), "{bond}");
    assert_eq!(bond["findings"], json!([]));
    let lacp = &bond["lacp"];
    assert_eq!(
        (&lacp["verdict"], &lacp["aggregatorPorts"], &lacp["rate"]),
        (&json!("up"), &json!(2), &json!("fast"))
    );
    assert_eq!(lacp["partner"]["system"], json!(PARTNER.to_string()));
    for member in bond["members"].as_array().expect("members") {
        assert_eq!(member["role"], json!("carrying"));
        let lacp = &member["lacp"];
        assert_eq!(lacp["actor"]["stateLetters"], json!("ASGCD--F"));
        assert_eq!(lacp["mux"], json!("COLLECTING_DISTRIBUTING"));
        assert!(lacp["heardMs"].as_u64().expect("it was heard") <= 1_100);
        assert!(lacp["lacpdusIn"].as_u64() > Some(2) && lacp["lacpdusOut"].as_u64() > Some(2));
    }
}

/// a member that returns loses nothing either way: what the partner sends as soon as we are in sync is
/// let in, and nothing is sent to a partner that does not say that it takes it, while another member can.
#[test]
fn a_member_that_returns_takes_and_sends_when_the_partner_does() {
    let mut pair = Pair::new(json!({ "lacp_rate": "fast" }));
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| pair.index(name));
    pair.talk(ms(2_500));
    pair.silent.insert(eth0);
    pair.talk(ms(3_200));
    assert_eq!(pair.senders(), [eth1]);
    pair.silent.clear();
    for _ in 0..400 {
        pair.talk(ms(10));
        let partner = pair.partner.member(eth0).expect("a member");
        let admits = pair
            .rig
            .snapshot
            .port(eth0)
            .expect("published")
            .admits
            .clone();
        assert!(!partner.distributing || admits == Admits::Everything);
        assert!(!pair.senders().contains(&eth0) || partner.collecting);
    }
    assert_eq!(pair.senders(), [eth0, eth1]);
}
