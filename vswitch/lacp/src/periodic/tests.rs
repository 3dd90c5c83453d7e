//! Every state against every event.

use super::PeriodicState::{FastPeriodic, NoPeriodic, PeriodicTx, SlowPeriodic};
use super::*;

/// P-04, P-01
#[test]
fn every_state_answers_every_event() {
    let states = [NoPeriodic, FastPeriodic, SlowPeriodic, PeriodicTx];
    let vars = |actor, partner| {
        let mut vars = Variables {
            port_enabled: true,
            lacp_enabled: true,
            ..Variables::default()
        };
        vars.actor.state = PortState(actor);
        vars.partner.state = PortState(partner);
        vars
    };
    let quiet = [None, Some(NoPeriodic), Some(NoPeriodic), Some(NoPeriodic)];
    let slow = [
        Some(FastPeriodic),
        Some(SlowPeriodic),
        None,
        Some(SlowPeriodic),
    ];
    let fast = [
        Some(FastPeriodic),
        None,
        Some(PeriodicTx),
        Some(FastPeriodic),
    ];
    let table = [
        ("long", vars(1, 0), false, slow),
        ("short", vars(1, 2), false, fast),
        (
            "long, timer",
            vars(1, 0),
            true,
            [
                Some(FastPeriodic),
                Some(PeriodicTx),
                Some(PeriodicTx),
                Some(SlowPeriodic),
            ],
        ),
        (
            "short, timer",
            vars(1, 2),
            true,
            [
                Some(FastPeriodic),
                Some(PeriodicTx),
                Some(PeriodicTx),
                Some(FastPeriodic),
            ],
        ),
        ("passive, active partner", vars(0, 3), false, fast),
        ("both passive", vars(0, 2), true, quiet),
        (
            "begin",
            Variables {
                begin: true,
                ..vars(1, 2)
            },
            true,
            quiet,
        ),
        (
            "down",
            Variables {
                port_enabled: false,
                ..vars(1, 2)
            },
            true,
            quiet,
        ),
        (
            "half duplex",
            Variables {
                lacp_enabled: false,
                ..vars(1, 2)
            },
            true,
            quiet,
        ),
    ];
    for (event, vars, expired, expected) in table {
        assert_eq!(
            states.map(|state| state.next(&vars, expired)),
            expected,
            "{event}"
        );
    }
}
