//! What is particular to a member: its link, its key, its partner's moves.

extern crate std;

use super::super::*;
use super::pair::{LINK, Pair, member, system};

fn configs() -> [Config; 2] {
    [Config::new(system(1)), Config::new(system(2))]
}

/// Both ends of a link.
fn link(pair: &mut Pair, index: u16, link: LinkState) {
    let now = pair.now;
    for side in &mut pair.sides {
        side.handle_link(PortIndex(index), link, now);
    }
}

/// P-05: of two speeds the better aggregator works and the other stands by, unless the key is fixed.
#[test]
fn speeds_are_kept_apart_unless_the_key_is_fixed() {
    for (fixed_key, open) in [(false, 2), (true, 3)] {
        let mut pair = Pair::new(configs().map(|c| Config { fixed_key, ..c }), 3);
        link(
            &mut pair,
            0,
            LinkState {
                speed: 1_000,
                ..LINK
            },
        );
        pair.run(10_000);
        assert_eq!((pair.open(0), pair.open(1)), ((open, open), (open, open)));
        pair.assert_no_hole();
    }
}

/// K-36: half duplex has no LACP; such a link works as a fallback alone.
#[test]
fn half_duplex_has_no_lacp() {
    let half = LinkState {
        full_duplex: false,
        ..LINK
    };
    let mut pair = Pair::new(configs(), 2);
    link(&mut pair, 0, half);
    pair.run(10_000);
    let status = pair.status(0)[0];
    assert_eq!(
        (status.receive.name(), status.mux.distributes()),
        ("LACP_DISABLED", false)
    );
    assert!(!status.actor.state.contains(PortState::AGGREGATION));
    assert_eq!((pair.open(0), pair.open(1)), ((1, 1), (1, 1)));
    link(&mut pair, 1, LinkState { up: false, ..LINK });
    assert_eq!(
        pair.sides[0].verdict(),
        Verdict::Fallback {
            member: PortIndex(0)
        }
    );
    let sent = pair.status(0)[0].counters.lacpdu_tx;
    pair.run(40_000);
    assert_eq!(pair.status(0)[0].counters.lacpdu_tx, sent);
    link(&mut pair, 0, LINK);
    link(&mut pair, 1, LINK);
    pair.run(10_000);
    assert_eq!((pair.open(0), pair.open(1)), ((2, 2), (2, 2)));
}

/// P-03: port_moved. Who is heard elsewhere is forgotten on the dead link where it was.
#[test]
fn a_partner_that_moved_is_forgotten_where_it_was() {
    let mut pair = Pair::new(configs(), 2);
    pair.run(10_000);
    let now = pair.now;
    pair.sides[0].handle_link(PortIndex(0), LinkState { up: false, ..LINK }, now);
    assert_eq!(
        pair.status(0)[0].partner.port.number,
        1,
        "a dead link remembers"
    );
    let mut moved = Lacpdu::new(pair.status(1)[0].actor, pair.status(0)[1].actor);
    pair.sides[0].handle_lacpdu(PortIndex(1), moved, now);
    assert_eq!(pair.status(0)[0].partner, ParticipantInfo::default());
    assert_eq!(pair.status(0)[0].receive.name(), "PORT_DISABLED");
    moved.actor.port.number = 2;
    pair.run(10_000);
    assert_eq!(pair.status(0)[1].partner.port, moved.actor.port);
}

/// K-29, K-30, K-31, K-32: identity may change while the bond works; it comes back by itself.
#[test]
fn identity_and_key_change_live() {
    let mut pair = Pair::new(configs(), 2);
    pair.run(10_000);
    let now = pair.now;
    pair.sides[0].set_config(
        Config {
            system: system(7),
            ..configs()[0]
        },
        now,
    );
    pair.run(10_000);
    assert_eq!((pair.open(0), pair.open(1)), ((2, 2), (2, 2)));
    assert_eq!(pair.status(1)[0].partner.system, system(7));
    // A key of its own puts a member into another aggregator, which stands by.
    let now = pair.now;
    let other = MemberConfig {
        user_key: 3,
        ..member(2)
    };
    pair.sides[0].set_member(PortIndex(1), other, now).unwrap();
    pair.run(10_000);
    assert_eq!((pair.open(0), pair.open(1)), ((1, 1), (1, 1)));
    assert_eq!(pair.status(0)[1].selected, Selected::Standby);
    let now = pair.now;
    pair.sides[0]
        .set_member(PortIndex(1), member(2), now)
        .unwrap();
    pair.run(10_000);
    assert_eq!((pair.open(0), pair.open(1)), ((2, 2), (2, 2)));
    let now = pair.now;
    pair.events[0].clear();
    pair.sides[0]
        .set_member(
            PortIndex(1),
            MemberConfig {
                priority: 9,
                ..member(2)
            },
            now,
        )
        .unwrap();
    pair.run(10_000);
    assert_eq!(pair.status(1)[1].partner.port.priority, 9);
    assert_eq!((pair.open(0), pair.open(1)), ((2, 2), (2, 2)));
}

/// A member that is not aggregatable has an aggregator alone; one that is not enabled has none.
#[test]
fn individual_and_disabled_members() {
    let mut pair = Pair::new(configs(), 2);
    pair.run(10_000);
    let now = pair.now;
    let individual = MemberConfig {
        aggregatable: false,
        ..member(2)
    };
    pair.sides[0]
        .set_member(PortIndex(1), individual, now)
        .unwrap();
    pair.run(10_000);
    assert_eq!(pair.status(0)[1].aggregator, Some(2));
    assert_eq!((pair.open(0), pair.open(1)), ((1, 1), (1, 1)));
    let now = pair.now;
    let disabled = MemberConfig {
        enabled: false,
        ..member(2)
    };
    pair.sides[0]
        .set_member(PortIndex(1), disabled, now)
        .unwrap();
    assert_eq!(pair.status(0)[1].aggregator, None);
    assert_eq!(pair.status(0)[1].receive.name(), "PORT_DISABLED");
}

/// P-05: aggregators of equal worth; the ends are not free to choose differently.
#[test]
fn both_ends_choose_the_same_aggregator() {
    for ad_select in [AdSelect::Stable, AdSelect::Bandwidth, AdSelect::Count] {
        for wires in [[2, 3, 0, 1], [3, 2, 1, 0], [0, 1, 2, 3]] {
            let mut pair = Pair::new(configs().map(|c| Config { ad_select, ..c }), 4);
            pair.wires = wires.to_vec();
            let now = pair.now;
            for (here, there) in (0..).zip(wires).skip(2) {
                let of = |number| MemberConfig {
                    user_key: 9,
                    ..member(number)
                };
                pair.sides[0]
                    .set_member(PortIndex(here), of(here + 1), now)
                    .unwrap();
                pair.sides[1]
                    .set_member(PortIndex(there), of(there + 1), now)
                    .unwrap();
            }
            pair.run(20_000);
            assert_eq!(
                (pair.open(0), pair.open(1)),
                ((2, 2), (2, 2)),
                "{ad_select:?} {wires:?}"
            );
        }
    }
}

/// P-12, P-18: leaving and coming back is no way around the cap.
#[test]
fn a_member_that_comes_back_sends_no_more_for_it() {
    let mut lacp = Lacp::new(configs()[0]);
    let (port, now) = (PortIndex(0), super::pair::at(5_000));
    let mut sent = 0;
    for _ in 0..10 {
        lacp.add_member(port, member(1), LINK, now).unwrap();
        sent += core::iter::from_fn(|| lacp.poll_transmit(now)).count();
        assert!(lacp.remove_member(port, Goodbye::OutOfSync, now));
        sent += core::iter::from_fn(|| lacp.poll_transmit(now)).count();
    }
    assert_eq!(sent, 3);
    let later = lacp.poll_timeout().unwrap();
    assert_eq!(lacp.poll_transmit(later).map(|(from, _)| from), Some(port));
}

/// A caller that fetches one PDU at a time hears all members in turn.
#[test]
fn members_take_turns_to_send() {
    let mut lacp = Lacp::new(configs()[0]);
    let now = super::pair::at(5_000);
    for index in 0..3 {
        lacp.add_member(PortIndex(index), member(index + 1), LINK, now)
            .unwrap();
    }
    let question = MarkerPdu::new(1, configs()[1].system.mac, 1).emit();
    let from: std::vec::Vec<u16> = (0..6)
        .map(|_| {
            lacp.handle_pdu(PortIndex(0), &question, now).unwrap();
            lacp.poll_transmit(now).unwrap().0.0
        })
        .collect();
    assert_eq!(from, [0, 1, 2, 0, 0, 0]);
}
