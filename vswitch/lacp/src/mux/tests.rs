//! Every state against every combination of inputs, by the standard's conditions.

use super::MuxState::{
    Attached, Collecting, CollectingDistributing as Both, Detached, Distributing, Waiting,
};
use super::*;

const STATES: [MuxState; 6] = [Detached, Waiting, Attached, Collecting, Distributing, Both];

fn vars(selected: Selected, ready: bool, partner: u8, coupled: bool) -> Variables {
    let mut vars = Variables {
        selected,
        ready,
        coupled,
        ..Variables::default()
    };
    vars.partner.state = PortState(partner);
    vars
}

/// P-06, P-07, P-08, K-33
#[test]
fn every_state_answers_every_event() {
    use Selected::{Selected as Yes, Standby, Unselected};
    let (sync, collects) = (0x08, 0x18);
    let table = [
        (
            "unselected",
            Unselected,
            true,
            collects,
            [
                None,
                Some(Detached),
                Some(Detached),
                Some(Attached),
                Some(Collecting),
                Some(Attached),
            ],
        ),
        (
            "standby",
            Standby,
            true,
            collects,
            [
                Some(Waiting),
                None,
                Some(Detached),
                Some(Attached),
                Some(Collecting),
                Some(Attached),
            ],
        ),
        (
            "no partner, not ready",
            Yes,
            false,
            0,
            [
                Some(Waiting),
                None,
                None,
                Some(Attached),
                Some(Collecting),
                Some(Attached),
            ],
        ),
        (
            "no partner, ready",
            Yes,
            true,
            0,
            [
                Some(Waiting),
                Some(Attached),
                None,
                Some(Attached),
                Some(Collecting),
                Some(Attached),
            ],
        ),
    ];
    for coupled in [true, false] {
        for (event, selected, ready, partner, expected) in table {
            let vars = vars(selected, ready, partner, coupled);
            assert_eq!(
                STATES.map(|s| s.next(&vars)),
                expected,
                "{event}, coupled {coupled}"
            );
        }
    }
    for (event, partner, coupled, expected) in [
        (
            "sync",
            sync,
            true,
            [
                Some(Waiting),
                None,
                Some(Both),
                Some(Both),
                Some(Both),
                None,
            ],
        ),
        (
            "collects",
            collects,
            true,
            [
                Some(Waiting),
                None,
                Some(Both),
                Some(Both),
                Some(Both),
                None,
            ],
        ),
        (
            "sync",
            sync,
            false,
            [
                Some(Waiting),
                None,
                Some(Collecting),
                None,
                Some(Collecting),
                Some(Collecting),
            ],
        ),
        (
            "collects",
            collects,
            false,
            [
                Some(Waiting),
                None,
                Some(Collecting),
                Some(Distributing),
                None,
                Some(Distributing),
            ],
        ),
    ] {
        let vars = vars(Yes, false, partner, coupled);
        assert_eq!(
            STATES.map(|s| s.next(&vars)),
            expected,
            "{event}, coupled {coupled}"
        );
    }
    let begin = Variables {
        begin: true,
        ..vars(Yes, true, collects, true)
    };
    let detached = Some(Detached);
    assert_eq!(
        STATES.map(|s| s.next(&begin)),
        [None, detached, detached, detached, detached, detached]
    );
}

/// P-06
#[test]
fn a_port_waits_two_seconds_for_others() {
    let mut vars = vars(Selected::Selected, false, 0x08, true);
    let mut mux = Mux::default();
    assert!(mux.run(&mut vars, Instant::ZERO));
    let at = mux.deadline().unwrap();
    assert_eq!(at, Instant::ZERO + AGGREGATE_WAIT_TIME);
    assert!(mux.run(&mut vars, at));
    assert!(vars.ready_n);
    assert_eq!(mux.state(), Waiting);
    vars.ready = true;
    assert!(mux.run(&mut vars, at));
    assert!(vars.ntt && vars.actor.state == PortState::SYNCHRONIZATION);
    assert!(mux.run(&mut vars, at));
    assert_eq!(vars.actor.state, PortState(0x38));
}
