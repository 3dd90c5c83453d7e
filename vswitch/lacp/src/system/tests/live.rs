//! What happens on a wire, one story a test.

extern crate std;

use super::super::super::generator::Answers;
use super::super::*;
use super::pair::{LINK, Pair, at, member, system};
use std::vec;
use vswitch_base::MacAddr;

const DOWN: LinkState = LinkState { up: false, ..LINK };

fn configs() -> [Config; 2] {
    [Config::new(system(1)), Config::new(system(2))]
}

fn settled(configs: [Config; 2], members: u16) -> Pair {
    let mut pair = Pair::new(configs, members);
    pair.run(10_000);
    for side in 0..2 {
        let all = usize::from(members);
        assert_eq!(pair.open(side), (all, all), "{:?}", pair.status(side));
        pair.events[side].clear();
    }
    pair.assert_no_hole();
    pair
}

/// P-01, P-16
#[test]
fn one_side_has_to_be_active() {
    for (active, opens) in [
        ([true, true], 2),
        ([true, false], 2),
        ([false, true], 2),
        ([false, false], 0),
    ] {
        let mut configs = configs();
        for (config, active) in configs.iter_mut().zip(active) {
            config.active = active;
            config.fallback = false;
        }
        let mut pair = Pair::new(configs, 2);
        pair.run(10_000);
        assert_eq!(
            (pair.open(0), pair.open(1)),
            ((opens, opens), (opens, opens)),
            "{active:?}"
        );
    }
    settled(configs(), 1);
}

/// P-07, K-33
#[test]
fn kinds_of_control_work_together_and_change_without_a_gap() {
    for coupled in [[true, true], [true, false], [false, true], [false, false]] {
        let mut configs = configs();
        for (config, coupled) in configs.iter_mut().zip(coupled) {
            config.coupled = coupled;
        }
        let mut pair = settled(configs, 3);
        for side in 0..2 {
            let config = Config {
                coupled: !coupled[side],
                ..configs[side]
            };
            let now = pair.now;
            pair.sides[side].set_config(config, now);
            pair.run(3_000);
            assert_eq!(pair.open(side), (3, 3));
            assert!(
                pair.events.iter().flatten().next().is_none(),
                "{:?}",
                pair.events
            );
        }
    }
}

/// K-26, K-27, K-28, P-02, P-04
#[test]
fn rate_activity_and_policy_change_without_a_gap() {
    let mut pair = settled(configs(), 2);
    let changes = [
        Config {
            fast: true,
            ..configs()[0]
        },
        Config {
            active: false,
            ..configs()[0]
        },
        Config {
            ad_select: AdSelect::Count,
            ..configs()[0]
        },
        Config {
            min_links: 2,
            ..configs()[0]
        },
    ];
    for config in changes {
        let now = pair.now;
        pair.sides[0].set_config(config, now);
        pair.run(100_000);
        assert!(
            pair.events.iter().flatten().next().is_none(),
            "{:?}",
            pair.events
        );
    }
    assert!(pair.sides[0].verdict().is_up());
}

/// K-26: the partner is told that it may be silent, and is not taken for lost when it is.
#[test]
fn from_the_fast_rate_to_the_slow_one_without_a_gap() {
    for after in [0, 250, 500, 750, 999] {
        let fast = configs().map(|config| Config {
            fast: true,
            ..config
        });
        let mut pair = settled(fast, 2);
        pair.run(after);
        for side in 0..2 {
            let now = pair.now;
            pair.sides[side].set_config(configs()[side], now);
            pair.run(100_000);
            assert!(
                pair.events.iter().flatten().next().is_none(),
                "side {side}, {after} ms later: {:?}",
                pair.events
            );
        }
    }
}

/// P-02
#[test]
fn loss_one_way_closes_both_ends() {
    for side in 0..2 {
        let fast = configs().map(|config| Config {
            fast: true,
            ..config
        });
        let mut pair = settled(fast, 2);
        pair.lost[side][0] = true;
        pair.run(10_000);
        assert_eq!((pair.open(0), pair.open(1)), ((1, 1), (1, 1)));
        pair.lost[side][0] = false;
        pair.run(10_000);
        assert_eq!((pair.open(0), pair.open(1)), ((2, 2), (2, 2)));
    }
}

/// P-03
#[test]
fn a_restarted_side_and_swapped_cables_are_taken_up_again() {
    let mut pair = settled(configs(), 3);
    pair.restart(1);
    pair.run(10_000);
    assert_eq!((pair.open(0), pair.open(1)), ((3, 3), (3, 3)));
    pair.wires = vec![1, 0, 2];
    pair.run(40_000);
    assert_eq!((pair.open(0), pair.open(1)), ((3, 3), (3, 3)));
    assert_eq!(pair.status(0)[0].partner.port.number, 2);
    pair.assert_no_hole();
}

/// P-08, K-39, N-19
#[test]
fn a_standby_takes_the_place_of_a_lost_link() {
    let mut limited = configs();
    limited[0].max_links = 2;
    let mut pair = Pair::new(limited, 3);
    pair.run(10_000);
    assert_eq!((pair.open(0), pair.open(1)), ((2, 2), (2, 2)));
    assert_eq!(pair.status(0)[2].selected, Selected::Standby);
    let now = pair.now;
    // The system with priority decides by its own priorities, live.
    pair.sides[0]
        .set_member(
            PortIndex(2),
            MemberConfig {
                priority: 1,
                ..member(3)
            },
            now,
        )
        .unwrap();
    pair.run(10_000);
    assert_eq!(pair.status(0)[1].selected, Selected::Standby);
    let now = pair.now;
    pair.sides[0].handle_link(PortIndex(2), DOWN, now);
    pair.sides[1].handle_link(PortIndex(2), DOWN, now);
    pair.run(10);
    assert_eq!(pair.open(0), (2, 2));
    assert!(pair.status(0)[1].distributing);
}

/// K-35, K-36
#[test]
fn without_a_partner_one_member_works_unless_forbidden() {
    for (strict, fallback, min_links, expected) in [
        (
            false,
            true,
            0,
            Verdict::Fallback {
                member: PortIndex(0),
            },
        ),
        (true, true, 0, Verdict::NoPartner),
        (false, false, 0, Verdict::NoPartner),
        (
            false,
            true,
            2,
            Verdict::TooFewLinks {
                links: 1,
                needed: 2,
            },
        ),
    ] {
        let mut lonely = configs();
        lonely[0] = Config {
            strict,
            fallback,
            min_links,
            ..lonely[0]
        };
        let mut pair = Pair::new(lonely, 2);
        pair.lost[1] = vec![true; 2];
        pair.run(2_000);
        assert_eq!(pair.sides[0].verdict(), Verdict::Negotiating);
        pair.run(10_000);
        assert_eq!(pair.sides[0].verdict(), expected);
        let works = usize::from(expected.is_up());
        assert_eq!(pair.open(0), (works, works));
        pair.lost[1] = vec![false; 2];
        pair.run(60_000);
        assert_eq!(
            pair.sides[0].verdict(),
            Verdict::Up {
                aggregator: 1,
                links: 2
            }
        );
    }
}

/// K-24
#[test]
fn too_few_links_take_the_carrier() {
    let mut pair = settled(configs().map(|c| Config { min_links: 2, ..c }), 2);
    assert!(pair.sides[0].verdict().is_up());
    let now = pair.now;
    pair.sides[0].handle_link(PortIndex(1), DOWN, now);
    assert_eq!(
        pair.sides[0].verdict(),
        Verdict::TooFewLinks {
            links: 1,
            needed: 2
        }
    );
    pair.sides[0].handle_link(PortIndex(0), DOWN, now);
    assert_eq!(pair.sides[0].verdict(), Verdict::NoLink);
}

/// P-18, N-19
#[test]
fn a_leaving_member_says_as_much_as_it_is_told_to() {
    for (goodbye, says) in [
        (Goodbye::Silent, None),
        (Goodbye::OutOfSync, Some(0x05)),
        (Goodbye::Individual, Some(0x01)),
    ] {
        let mut pair = settled(configs(), 2);
        let now = pair.now;
        assert!(pair.sides[0].remove_member(PortIndex(0), goodbye, now));
        assert!(!pair.sides[0].remove_member(PortIndex(0), goodbye, now));
        let sent = pair.sides[0]
            .poll_transmit(now)
            .map(|(port, pdu)| (port, pdu[18]));
        assert_eq!(sent, says.map(|state| (PortIndex(0), state)));
        let closed = Event::Member {
            member: PortIndex(0),
            collecting: false,
            distributing: false,
        };
        assert_eq!(pair.sides[0].poll_event(), Some(closed));
    }
}

/// P-15
#[test]
fn our_own_system_is_ignored_and_told_once() {
    let mut pair = settled(configs(), 1);
    let before = pair.status(0)[0];
    let pdu = Lacpdu::new(before.actor, before.partner);
    let now = pair.now;
    for _ in 0..3 {
        pair.sides[0]
            .handle_pdu(PortIndex(0), &pdu.emit(), now)
            .unwrap();
    }
    let member = PortIndex(0);
    assert_eq!(pair.sides[0].poll_event(), Some(Event::Loopback { member }));
    assert_eq!(pair.sides[0].poll_event(), None);
    let after = pair.status(0)[0];
    assert_eq!(
        (after.partner, after.mux, after.counters.loopback_rx),
        (before.partner, before.mux, 3)
    );
}

/// P-20, P-10
#[test]
fn what_comes_and_goes_is_counted() {
    let mut pair = settled(configs(), 1);
    let before = pair.status(0)[0].counters;
    assert!(before.lacpdu_rx > 0 && before.lacpdu_tx > 0);
    let question = MarkerPdu::new(1, MacAddr([2; 6]), 5);
    let (port, now) = (PortIndex(0), pair.now);
    let lacp = &mut pair.sides[0];
    lacp.handle_pdu(port, &question.emit(), now).unwrap();
    lacp.handle_pdu(port, &question.response().emit(), now)
        .unwrap();
    lacp.handle_pdu(port, &[10, 1], now).unwrap();
    assert!(lacp.handle_pdu(port, &[1, 1], now).is_err());
    assert_eq!(lacp.poll_timeout(), Some(at(0)), "the answer waits");
    assert_eq!(
        lacp.poll_transmit(now),
        Some((port, question.response().emit()))
    );
    let after = pair.status(0)[0].counters;
    let expected = crate::Counters {
        unknown_rx: 1,
        illegal_rx: 1,
        marker_rx: before.marker_rx + 1,
        marker_response_tx: before.marker_response_tx + 1,
        marker_response_rx: before.marker_response_rx + 1,
        ..before
    };
    assert_eq!(after, expected);
}

/// P-11, N-10: both find out that the other answers; a question is open until its answer is there, and not
/// for ever where none comes.
#[test]
fn a_partner_is_asked_whether_all_has_arrived() {
    let mut pair = settled(configs(), 2);
    let known = |pair: &Pair, side| pair.status(side).iter().all(|m| m.answers == Answers::Yes);
    assert!(known(&pair, 0) && known(&pair, 1));
    let (port, now) = (PortIndex(1), pair.now);
    assert!(pair.sides[0].ask(port, now));
    assert!(pair.status(0)[1].asks && !pair.status(0)[0].asks);
    pair.run(2 * pair.delay + 2);
    assert!(!pair.status(0)[1].asks, "answered");
    assert_eq!(pair.status(0)[1].answers, Answers::Yes);

    pair.lost[1][1] = true;
    let now = pair.now;
    assert!(pair.sides[0].ask(port, now));
    pair.run(900);
    assert!(pair.status(0)[1].asks);
    pair.run(200);
    assert_eq!(pair.status(0)[1].answers, Answers::Unknown);
    let now = pair.now;
    assert!(!pair.sides[0].ask(PortIndex(7), now), "no member");
}

/// P-09
#[test]
fn a_partner_that_never_syncs_is_churn() {
    let mut pair = settled(configs(), 1);
    let mut pdu = Lacpdu::new(pair.status(1)[0].actor, pair.status(0)[0].actor);
    pdu.actor.state = PortState(0x05);
    pair.lost = [vec![true], vec![true]];
    for _ in 0..70 {
        let now = pair.now;
        pair.sides[0].handle_lacpdu(PortIndex(0), pdu, now);
        pair.run(1_000);
    }
    let churn = Event::Churn {
        member: PortIndex(0),
        side: Side::Partner,
        churned: true,
    };
    assert!(pair.events[0].contains(&churn), "{:?}", pair.events[0]);
}

/// Members that are not to be had are refused.
#[test]
fn numbers_are_unique() {
    let mut lacp = Lacp::new(configs()[0]);
    let (now, port) = (at(0), PortIndex(0));
    assert_eq!(
        lacp.add_member(port, member(0), LINK, now),
        Err(MemberError::Number(0))
    );
    assert_eq!(lacp.add_member(port, member(1), LINK, now), Ok(()));
    assert_eq!(
        lacp.add_member(port, member(2), LINK, now),
        Err(MemberError::Exists)
    );
    assert_eq!(
        lacp.add_member(PortIndex(1), member(1), LINK, now),
        Err(MemberError::Number(1))
    );
    assert_eq!(
        lacp.set_member(PortIndex(1), member(2), now),
        Err(MemberError::Unknown)
    );
}
