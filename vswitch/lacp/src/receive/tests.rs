//! Every state against every event, and what the states record.

use super::ReceiveState::{Current, Defaulted, Expired, Initialize, LacpDisabled, PortDisabled};
use super::*;
use crate::info::{Key, PortId, SystemId};
use vswitch_base::{Duration, MacAddr};

const STATES: [ReceiveState; 6] = [
    Initialize,
    PortDisabled,
    Expired,
    LacpDisabled,
    Defaulted,
    Current,
];

fn up() -> Variables {
    Variables {
        port_enabled: true,
        lacp_enabled: true,
        ..Variables::default()
    }
}

/// P-03
#[test]
fn every_state_answers_every_event() {
    let off = Variables {
        lacp_enabled: false,
        ..up()
    };
    let down = Variables {
        port_enabled: false,
        ..up()
    };
    let moved = Variables {
        port_moved: true,
        ..down
    };
    let begin = Variables {
        begin: true,
        ..up()
    };
    let table = [
        (
            "nothing",
            up(),
            false,
            false,
            [
                Some(PortDisabled),
                Some(Expired),
                None,
                Some(PortDisabled),
                None,
                None,
            ],
        ),
        ("begin", begin, true, true, [Some(Initialize); 6]),
        (
            "down",
            down,
            true,
            true,
            [
                Some(PortDisabled),
                None,
                Some(PortDisabled),
                Some(PortDisabled),
                Some(PortDisabled),
                Some(PortDisabled),
            ],
        ),
        (
            "moved",
            moved,
            false,
            false,
            [
                Some(PortDisabled),
                Some(Initialize),
                Some(PortDisabled),
                Some(PortDisabled),
                Some(PortDisabled),
                Some(PortDisabled),
            ],
        ),
        (
            "half duplex",
            off,
            true,
            true,
            [
                Some(PortDisabled),
                Some(LacpDisabled),
                Some(LacpDisabled),
                None,
                Some(LacpDisabled),
                Some(LacpDisabled),
            ],
        ),
        (
            "PDU",
            up(),
            true,
            false,
            [
                Some(PortDisabled),
                Some(Expired),
                Some(Current),
                Some(PortDisabled),
                Some(Current),
                Some(Current),
            ],
        ),
        (
            "timer",
            up(),
            false,
            true,
            [
                Some(PortDisabled),
                Some(Expired),
                Some(Defaulted),
                Some(PortDisabled),
                None,
                Some(Expired),
            ],
        ),
        (
            "PDU and timer",
            up(),
            true,
            true,
            [
                Some(PortDisabled),
                Some(Expired),
                Some(Current),
                Some(PortDisabled),
                Some(Current),
                Some(Current),
            ],
        ),
    ];
    for (event, vars, pdu, expired, expected) in table {
        let found = STATES.map(|state| state.next(&vars, pdu, expired));
        assert_eq!(found, expected, "{event}");
    }
}

fn partner(state: u8) -> ParticipantInfo {
    ParticipantInfo {
        system: SystemId {
            priority: 1,
            mac: MacAddr([2, 0, 0, 0, 0, 9]),
        },
        key: Key(5),
        port: PortId {
            priority: 6,
            number: 7,
        },
        state: PortState(state),
    }
}

/// P-03: sync is believed only of a partner that knows us and keeps the link alive.
#[test]
fn sync_needs_a_partner_that_knows_us_and_speaks() {
    for (what, ours, theirs, seen, sync) in [
        ("knows us", 0x05, 0x0d, 0x05, true),
        ("not in sync", 0x05, 0x05, 0x05, false),
        ("takes us for individual", 0x05, 0x0d, 0x01, false),
        ("is individual", 0x05, 0x09, 0x01, true),
        (
            "passive, but knows that we are active",
            0x05,
            0x0c,
            0x05,
            true,
        ),
        ("passive and takes us for passive", 0x05, 0x0c, 0x04, false),
        ("both passive", 0x04, 0x0c, 0x04, false),
    ] {
        let mut vars = up();
        vars.actor.state = PortState(ours);
        let seen = ParticipantInfo {
            state: PortState(seen),
            ..vars.actor
        };
        let mut machine = Receive {
            state: Expired,
            ..Receive::default()
        };
        let mut pdu = Some(Lacpdu::new(partner(theirs), seen));
        assert!(machine.run(&mut vars, &mut pdu, Instant::ZERO));
        assert_eq!(
            vars.partner.state.contains(PortState::SYNCHRONIZATION),
            sync,
            "{what}"
        );
        assert_eq!(vars.partner.system, partner(0).system, "{what}");
    }
}

/// P-02
#[test]
fn a_partner_is_late_by_the_timeout_that_we_asked_for() {
    for (state, seconds) in [(0x05, 90), (0x07, 3)] {
        let mut vars = up();
        vars.actor.state = PortState(state);
        let mut machine = Receive {
            state: Defaulted,
            ..Receive::default()
        };
        let mut pdu = Some(Lacpdu::new(partner(0x3d), vars.actor));
        assert!(machine.run(&mut vars, &mut pdu, Instant::ZERO));
        let at = Instant::ZERO + Duration::from_secs(seconds);
        assert_eq!(machine.deadline(), Some(at));
        assert!(machine.run(&mut vars, &mut pdu, at));
        assert_eq!(machine.state(), Expired);
        assert!(vars.actor.state.contains(PortState::EXPIRED));
        assert!(machine.run(&mut vars, &mut pdu, at + Duration::from_secs(3)));
        assert_eq!(machine.state(), Defaulted);
        assert!(vars.actor.state.contains(PortState::DEFAULTED));
        assert_eq!(vars.partner, vars.partner_admin);
    }
}
