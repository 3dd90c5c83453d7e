//! Bonds in the data path: what a member lets in, which members send, and what a bond looks like to a
//! switch beyond that knows nothing of it (features.md 3.4, 3.7).
//!
//! Port 1 and 2 are hosts' ports of VLAN 10; 11, 12 and 13 the members of bond 10, which carries VLAN 10
//! tagged and VLAN 1 untagged.

use crate::lan;
use vswitch_base::flow::HashPolicy;
use vswitch_base::{MacAddr, PortIndex};
use vswitch_core::bond::{
    Admits, Buckets, Chosen, Handover, HashKey, Hashed, Once, Share, Transmit, Turns,
};
use vswitch_core::explain::{Step, explain};
use vswitch_core::frame::Frame;
use vswitch_core::snapshot::{PortState, PortView, Steer};
use vswitch_core::testing::{MemFrame, MemSwitch, dot1q, frame, station, vid};
use vswitch_core::verdict::{DropReason, PuntReason};
use vswitch_tests::packets::tcp4;
use vswitch_tests::{broadcast, dropped, hear, plain, reserved, tagged};

const BOND: u16 = 10;
const MEMBERS: [u16; 3] = [11, 12, 13];

fn members(numbers: &[u16]) -> Box<[PortIndex]> {
    numbers.iter().map(|number| PortIndex(*number)).collect()
}

/// The bond's view: a trunk with a native VLAN that hears slow protocols.
fn bond_view() -> PortView {
    let mut view = crate::trunk(BOND, &[10]);
    view.flags.listens = true;
    view
}

fn bonded(transmit: Transmit, admits: [Admits; 3]) -> MemSwitch {
    let mut switch = lan(2);
    for (number, admits) in MEMBERS.into_iter().zip(admits) {
        switch.add_member(number, BOND, admits);
    }
    switch.bond(BOND, bond_view(), transmit);
    switch
}

/// A bond of which every member lets everything in.
fn open(transmit: Transmit) -> MemSwitch {
    bonded(transmit, std::array::from_fn(|_| Admits::Everything))
}

/// The members by which frames from port 1 left, in order of their numbers, a frame each.
fn sent_by(switch: &mut MemSwitch, frame: impl Into<MemFrame>) -> Vec<u16> {
    drop(switch.take_sent());
    switch.inject(1, frame);
    let sent = switch.take_sent();
    let by = sent.into_iter().filter(|(port, _)| *port >= BOND);
    by.flat_map(|(port, frames)| vec![port; frames.len()])
        .collect()
}

fn igmp(src: MacAddr) -> Vec<u8> {
    let mut bytes = frame(
        MacAddr([1, 0, 0x5e, 0, 0, 22]),
        src,
        &[],
        vswitch_base::EtherType::IPV4,
        60,
    );
    bytes[14 + 9] = 2;
    bytes
}

///
#[test]
fn an_active_member_sends_alone_and_tagged_as_the_bond_is() {
    let mut switch = open(Transmit::One(PortIndex(12)));
    drop(switch.take_sent());
    switch.inject(1, broadcast(station(1)));
    let sent = switch.take_sent();
    assert_eq!(sent.keys().copied().collect::<Vec<_>>(), [2, 12]);
    let expected = tagged(MacAddr::BROADCAST, station(1), &[dot1q(10)]);
    assert_eq!(sent[&12][0].bytes, expected);
}

/// A-00, K-21
#[test]
fn members_take_turns_and_igmp_does_not() {
    let turns = |in_a_row| {
        Transmit::Turns(Turns {
            members: MEMBERS.map(|number| (PortIndex(number), true)).into(),
            packets_per_slave: in_a_row,
            groups: PortIndex(13),
        })
    };
    for (in_a_row, expected) in [(1, [12, 13, 11, 12, 13, 11]), (2, [11, 12, 12, 13, 13, 11])] {
        let mut switch = open(turns(in_a_row));
        let by: Vec<u16> = (0..6)
            .flat_map(|_| sent_by(&mut switch, broadcast(station(1))))
            .collect();
        assert_eq!(by, expected, "{in_a_row} in a row");
        for _ in 0..3 {
            assert_eq!(sent_by(&mut switch, igmp(station(1))), [13]);
        }
    }
    // 0: at random, so that each gets its share of many.
    let mut switch = open(turns(0));
    let mut by = [0; 3];
    for _ in 0..300 {
        by[usize::from(sent_by(&mut switch, broadcast(station(1)))[0] - 11)] += 1;
    }
    assert!(by.iter().all(|frames| (60..140).contains(frames)), "{by:?}");
}

///
#[test]
fn two_bonds_take_turns_apart() {
    let turns = |numbers: &[u16]| {
        Transmit::Turns(Turns {
            members: numbers.iter().map(|n| (PortIndex(*n), true)).collect(),
            packets_per_slave: 1,
            groups: PortIndex(numbers[0]),
        })
    };
    let mut switch = open(turns(&[11, 12]));
    switch.add_member(21, 20, Admits::Everything);
    switch.add_member(22, 20, Admits::Everything);
    switch.bond(20, crate::trunk(20, &[10]), turns(&[21, 22]));
    let by: Vec<_> = (0..4)
        .map(|_| sent_by(&mut switch, broadcast(station(1))))
        .collect();
    assert_eq!(by, [[12, 22], [11, 21], [12, 22], [11, 21]]);
}

///
#[test]
fn a_flow_stays_with_its_member_and_flows_spread() {
    let mut switch = open(Transmit::Hashed(Hashed {
        key: HashKey::Flow(HashPolicy::Layer34),
        seed: 0,
        buckets: Buckets::new(&members(&MEMBERS)),
        moving: None,
    }));
    let mut by = [0; 3];
    for flow in 0..300_u16 {
        let mut packet = tcp4(station(99), station(1), &[], 10, None);
        packet.bytes[34..36].copy_from_slice(&(1000 + flow).to_be_bytes());
        let first = sent_by(&mut switch, packet.clone());
        assert_eq!(first.len(), 1);
        assert_eq!(sent_by(&mut switch, packet), first);
        by[usize::from(first[0] - 11)] += 1;
    }
    assert!(by.iter().all(|flows| (60..140).contains(flows)), "{by:?}");
}

/// N-10: frames of a bucket that moves wait, others do not; they leave by its new member when it moves no
/// more, in order and before what comes later.
#[test]
fn frames_of_a_bucket_that_moves_wait_and_leave_in_order() {
    let to = |numbers: &[u16], moving: Option<Box<[bool]>>| {
        Transmit::Hashed(Hashed {
            key: HashKey::Station,
            seed: 0,
            buckets: Buckets::new(&members(numbers)),
            moving,
        })
    };
    let numbered = |from: u32, number: u8| {
        let mut bytes = plain(station(99), station(from));
        bytes[20] = number;
        bytes
    };
    let mut switch = open(to(&[11, 12], None));
    let by: Vec<u16> = (1..=2)
        .map(|from| sent_by(&mut switch, numbered(from, 0))[0])
        .collect();
    assert_eq!(by, [12, 11], "neighbours part");
    // What goes by 12 is to go by 13.
    let moving = (0..256).map(|bucket| bucket % 2 == 1).collect();
    switch.bond(BOND, bond_view(), to(&[11, 13], Some(moving)));
    for number in 1..=100 {
        assert_eq!(sent_by(&mut switch, numbered(1, number)), [0; 0]);
        assert_eq!(sent_by(&mut switch, numbered(2, number)), [11]);
    }
    switch.bond(BOND, bond_view(), to(&[11, 13], None));
    switch.inject(1, numbered(1, 101));
    let sent = switch.take_sent();
    assert_eq!(sent.keys().copied().collect::<Vec<_>>(), [2, 13]);
    let numbers: Vec<u8> = sent[&13].iter().map(|frame| frame.bytes[24]).collect();
    assert_eq!(numbers, (1..=101).collect::<Vec<u8>>());
    switch.assert_conserved();
}

/// N-10: a worker that can hold no more sends on at once, all of it; what waits when the bond has no member
/// left is counted as lost.
#[test]
fn nothing_that_waits_is_forgotten() {
    use vswitch_core::bond::held::HELD_MAX;
    let to = |moving: bool| {
        Transmit::Hashed(Hashed {
            key: HashKey::Station,
            seed: 0,
            buckets: Buckets::new(&members(&[11])),
            moving: moving.then(|| [true].repeat(256).into()),
        })
    };
    let mut switch = open(to(true));
    for _ in 1..HELD_MAX {
        switch.wire(1).put(plain(station(99), station(1)));
    }
    let none = sent_by(&mut switch, plain(station(99), station(1)));
    assert!(none.is_empty(), "{} left", none.len());
    let all = sent_by(&mut switch, plain(station(99), station(1)));
    assert_eq!(all.len(), HELD_MAX + 1);
    switch.bond(BOND, bond_view(), to(true));
    assert_eq!(sent_by(&mut switch, plain(station(99), station(1))), [0; 0]);
    switch.bond(BOND, bond_view(), Transmit::Nobody);
    switch.assert_conserved();
}

/// N-01: while a bucket is handed over, what the switch beyond floods comes by the member that had it and the
/// one that has it, and is let in once; by whichever it comes alone, each time that it was sent.
#[test]
fn what_is_flooded_while_a_bucket_is_handed_over_is_let_in_once() {
    let copies = std::sync::Arc::default();
    let admits = [0, 1, 2].map(|member| {
        Admits::Share(Share {
            groups: member == 0,
            seed: 0,
            stations: [member < 2, member == 2].into(),
            handover: Some(Handover {
                buckets: [true, false].into(),
                once: Once::new(&copies, member, 3).expect("one of three"),
            }),
        })
    });
    let buckets = Buckets::new(&members(&[12, 13]));
    let mut switch = bonded(
        Transmit::Hashed(Hashed {
            key: HashKey::Station,
            seed: 0,
            buckets,
            moving: None,
        }),
        admits,
    );
    let mut number = 0;
    let mut reached = |switch: &mut MemSwitch, to: u32, by: &[u16]| {
        number += 1;
        let mut bytes = tagged(station(to), station(99), &[dot1q(10)]);
        bytes[30] = number;
        for member in by {
            switch.inject(*member, bytes.clone());
        }
        switch.take_sent().get(&1).map_or(0, Vec::len)
    };
    // Neighbours part: one of the two is in the bucket that moves.
    let [mut moves, mut stays] = [1, 2];
    hear(&mut switch, 1, 1);
    hear(&mut switch, 1, 2);
    if reached(&mut switch, moves, &[13]) == 1 {
        (moves, stays) = (stays, moves);
    }
    for (to, by, times) in [
        (moves, &[11, 12, 13][..], 1),
        (moves, &[12, 11], 1),
        (moves, &[11], 1),
        (moves, &[12], 1),
        (moves, &[12, 12, 11, 11], 2),
        (stays, &[11, 12, 13], 1),
        (stays, &[13, 13], 2),
    ] {
        assert_eq!(reached(&mut switch, to, by), times, "{to} by {by:?}");
    }
    assert!(dropped(&switch, 11, DropReason::BondDuplicate) > 1);
}

/// K-25: what a port is steered by goes before the bond's mode, for this port alone, and is told.
#[test]
fn a_ports_frames_leave_by_the_member_that_was_chosen() {
    let hashed = Hashed {
        key: HashKey::Flow(HashPolicy::Layer2),
        seed: 0,
        buckets: Buckets::new(&members(&MEMBERS)),
        moving: Some([true].repeat(255).into()),
    };
    for transmit in [
        Transmit::One(PortIndex(11)),
        Transmit::Copies(members(&MEMBERS)),
        Transmit::Hashed(hashed),
    ] {
        let mut switch = open(transmit.clone());
        let (bond, member) = (PortIndex(BOND), PortIndex(13));
        switch.change(1, |view| view.steers = [Steer { bond, member }].into());
        assert_eq!(sent_by(&mut switch, broadcast(station(1))), [13]);
        assert_eq!(sent_by(&mut switch, plain(station(99), station(1))), [13]);
        let frame = broadcast(station(1));
        let told = explain(
            switch.snapshot(),
            PortIndex(1),
            &Frame::new(&frame),
            switch.now,
        );
        let (why, source) = (Chosen::Steered, None);
        let by = Step::By {
            member,
            why,
            source,
        };
        assert!(told.steps.contains(&by), "{told:?}");
        drop(switch.take_sent());
        switch.inject(2, broadcast(station(2)));
        let sent = switch.take_sent();
        let by: Vec<u16> = sent.into_keys().filter(|port| *port > BOND).collect();
        match transmit {
            Transmit::One(_) => assert_eq!(by, [11]),
            Transmit::Copies(_) => assert_eq!(by, MEMBERS),
            _ => assert_eq!(by, [0; 0], "waits"),
        }
        switch.bond(BOND, bond_view(), Transmit::One(PortIndex(11)));
    }
}

///
#[test]
fn a_broadcast_bond_sends_a_copy_by_each() {
    let mut switch = open(Transmit::Copies(members(&[11, 13])));
    assert_eq!(sent_by(&mut switch, broadcast(station(1))), [11, 13]);
    let unicast = plain(station(99), station(1));
    assert_eq!(sent_by(&mut switch, unicast), [11, 13]);
}

#[test]
fn a_bond_without_a_member_that_sends_drops_with_a_reason() {
    let mut switch = open(Transmit::One(PortIndex(11)));
    switch.inject(11, tagged(MacAddr::BROADCAST, station(7), &[dot1q(10)]));
    switch.bond(BOND, bond_view(), Transmit::Nobody);
    assert_eq!(sent_by(&mut switch, plain(station(7), station(1))), [0; 0]);
    assert_eq!(dropped(&switch, 1, DropReason::EgressBlocked), 1);
    // As the control side says it: the bond is not forwarding.
    switch.bond(
        BOND,
        PortView {
            state: PortState::Disabled,
            ..bond_view()
        },
        Transmit::Nobody,
    );
    assert_eq!(sent_by(&mut switch, plain(station(7), station(1))), [0; 0]);
    assert_eq!(dropped(&switch, 1, DropReason::EgressBlocked), 2);
}

/// S-10: addresses are the bond's, whichever member they were heard by.
#[test]
fn addresses_are_learned_on_the_bond() {
    let mut switch = open(Transmit::One(PortIndex(12)));
    hear(&mut switch, 1, 1);
    let from_beyond = |dst| tagged(dst, station(7), &[dot1q(10)]);
    switch.inject(11, from_beyond(station(1)));
    let entries: Vec<_> = switch.fdb(0).entries().map(|e| (e.mac, e.port)).collect();
    assert!(
        entries.contains(&(station(7), PortIndex(BOND))),
        "{entries:?}"
    );
    assert_eq!(switch.who_sent(), [1]);
    assert_eq!(sent_by(&mut switch, plain(station(7), station(1))), [12]);
    // The same station by another member is no move, and nothing goes back into the bond.
    switch.inject(13, from_beyond(station(8)));
    assert_eq!(switch.who_sent(), [1, 2]);
    switch.inject(13, tagged(station(7), station(8), &[dot1q(10)]));
    assert_eq!(switch.who_sent(), [0; 0]);
    assert_eq!(dropped(&switch, 13, DropReason::SamePort), 1);
}

/// a standby member hears what the switch beyond floods; it must reach nobody and teach nothing.
#[test]
fn a_standby_member_lets_nothing_in_but_what_is_for_the_link() {
    let admits = [Admits::Everything, Admits::Nothing, Admits::Nothing];
    let mut switch = bonded(Transmit::One(PortIndex(11)), admits);
    hear(&mut switch, 1, 1);
    drop(switch.take_sent());
    let reflected = tagged(MacAddr::BROADCAST, station(1), &[dot1q(10)]);
    for member in [12, 13] {
        switch.inject(member, reflected.clone());
        assert_eq!(switch.who_sent(), [0; 0], "member {member}");
        assert_eq!(dropped(&switch, member, DropReason::BondInactive), 1);
    }
    let to_1 = tagged(station(1), station(7), &[dot1q(10)]);
    switch.inject(12, to_1);
    assert_eq!(dropped(&switch, 12, DropReason::BondInactive), 2);
    let entry = switch.fdb(0).find(Some(vid(10)), station(1));
    assert_eq!(
        entry.map(|hit| hit.port),
        Some(PortIndex(1)),
        "did not move"
    );
    // LACP is for the link: also from a standby member, and while the bond is down.
    for state in [PortState::Forwarding, PortState::Disabled] {
        switch.bond(
            BOND,
            PortView {
                state,
                ..bond_view()
            },
            Transmit::One(PortIndex(11)),
        );
        switch.inject(12, plain(reserved(2), station(77)));
        let punt = switch.outbox.punts.take().expect("a punt");
        assert_eq!(
            (punt.port, punt.reason),
            (PortIndex(12), PuntReason::SlowProtocol)
        );
    }
    assert!(
        switch
            .fdb(0)
            .entries()
            .all(|entry| entry.mac != station(77))
    );
}

/// N-01: a switch beyond that floods an unknown address to both members delivers it once, and a group
/// that it sends back by the other member ends there.
#[test]
fn each_frame_that_is_flooded_to_all_members_is_let_in_by_one() {
    let share = |groups, at| {
        Admits::Share(Share {
            groups,
            seed: 5,
            stations: (0..255).map(|i| i % 3 == at).collect(),
            handover: None,
        })
    };
    let admits = [share(true, 0), share(false, 1), share(false, 2)];
    let hashed = Hashed {
        key: HashKey::Station,
        seed: 5,
        buckets: Buckets::new(&members(&MEMBERS)),
        moving: None,
    };
    let mut switch = bonded(Transmit::Hashed(hashed), admits);
    let mut by = [0; 3];
    for number in 1..=60 {
        // The station speaks: that is the member by which the switch beyond reaches it.
        hear(&mut switch, 1, number);
        let sends = sent_by(&mut switch, plain(station(999), station(number)));
        drop(switch.take_sent());
        for member in MEMBERS {
            switch.inject(member, tagged(station(number), station(999), &[dot1q(10)]));
            let reached = switch.who_sent();
            let expected: &[u16] = if sends == [member] { &[1] } else { &[] };
            assert_eq!(reached, expected, "station {number}, member {member}");
        }
        by[usize::from(sends[0] - 11)] += 1;
    }
    assert!(by.iter().all(|stations| *stations > 5), "{by:?}");
    for member in MEMBERS {
        switch.inject(
            member,
            tagged(MacAddr::BROADCAST, station(998), &[dot1q(10)]),
        );
    }
    let sent = switch.take_sent();
    assert_eq!((sent[&1].len(), sent[&2].len()), (1, 1));
    assert!(dropped(&switch, 12, DropReason::BondShare) > 0);
}

/// O-03
#[test]
fn explain_names_the_member_and_why() {
    let told = |switch: &MemSwitch, ingress: u16, bytes: &[u8]| {
        explain(
            switch.snapshot(),
            PortIndex(ingress),
            &Frame::new(bytes),
            switch.now,
        )
    };
    let frame = broadcast(station(1));
    let hashed = Hashed {
        key: HashKey::Flow(HashPolicy::Layer2),
        seed: 0,
        buckets: Buckets::new(&members(&[12])),
        moving: None,
    };
    for (transmit, member, why) in [
        (Transmit::One(PortIndex(12)), 12, Chosen::Active),
        (Transmit::Hashed(hashed), 12, Chosen::Hash),
        (Transmit::Copies(members(&[12])), 12, Chosen::All),
    ] {
        let switch = open(transmit);
        let by: Vec<_> = told(&switch, 1, &frame)
            .steps
            .into_iter()
            .filter(|step| matches!(step, Step::By { .. }))
            .collect();
        let member = PortIndex(member);
        let source = None;
        assert_eq!(
            by,
            [Step::By {
                member,
                why,
                source
            }]
        );
    }
    let admits = [Admits::Everything, Admits::Nothing, Admits::Nothing];
    let switch = bonded(Transmit::One(PortIndex(11)), admits);
    let told = told(
        &switch,
        12,
        &tagged(MacAddr::BROADCAST, station(9), &[dot1q(10)]),
    );
    let reason = vswitch_core::verdict::Verdict::Drop(DropReason::BondInactive);
    assert_eq!(told.verdict, reason);
}
