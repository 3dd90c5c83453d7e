//! What comes back by a bond below a switch that does not know of it: the reflection guard, and how a station
//! proves that it moved (features.md 3.7, rows 3 to 5).
//!
//! Ports 1 and 2 are machines' ports of VLAN 10; 11 and 12 the members of bond 10, which carries VLAN 10 tagged
//! and may give back what it was sent.

use crate::lan;
use vswitch_base::{Duration, MacAddr, PortIndex, Tag};
use vswitch_core::bond::{Admits, Share, Transmit};
use vswitch_core::explain::{Step, explain};
use vswitch_core::fdb::{EntryKind, FdbEvent, FdbEventKind, FdbKey, Learned};
use vswitch_core::frame::Frame;
use vswitch_core::guard::{ECHO_S, SILENCE_S};
use vswitch_core::snapshot::PortView;
use vswitch_core::testing::announcements::{advertisement, gratuitous_arp, rarp};
use vswitch_core::testing::{MemSwitch, dot1q, station, vid};
use vswitch_core::verdict::{DropReason, Verdict};
use vswitch_tests::{broadcast, dropped, hear, plain, tagged};

const BOND: u16 = 10;
/// The three ways to announce oneself.
type Make = fn(MacAddr, &[Tag]) -> Vec<u8>;
const ANNOUNCEMENTS: [Make; 3] = [gratuitous_arp, rarp, advertisement];

fn bond_view() -> PortView {
    let mut view = crate::trunk(BOND, &[10]);
    view.flags.reflects = true;
    view
}

fn guarded() -> MemSwitch {
    let mut switch = lan(2);
    switch.add_member(11, BOND, Admits::Everything);
    switch.add_member(12, BOND, Admits::Everything);
    switch.bond(BOND, bond_view(), Transmit::One(PortIndex(11)));
    switch
}

fn wait(switch: &mut MemSwitch, seconds: u32) {
    switch.now = switch.now + Duration::from_secs(seconds.into());
}

/// A frame of that station as it comes from beyond.
fn from_beyond(dst: MacAddr, number: u32) -> Vec<u8> {
    tagged(dst, station(number), &[dot1q(10)])
}

fn behind(switch: &MemSwitch, number: u32) -> Option<u16> {
    let hit = switch.fdb(0).find(Some(vid(10)), station(number));
    hit.map(|hit| hit.port.0)
}

/// Which ports got something, and where the station is thought to be.
fn outcome(switch: &mut MemSwitch, member: u16, bytes: Vec<u8>) -> (Vec<u16>, Option<u16>) {
    drop(switch.take_sent());
    switch.inject(member, bytes);
    (switch.who_sent(), behind(switch, 1))
}

/// N-02
#[test]
fn what_comes_back_reaches_nobody_and_moves_nobody() {
    let mut switch = guarded();
    hear(&mut switch, 1, 1);
    for (count, member, dst) in [
        (1, 11, MacAddr::BROADCAST),
        (1, 12, station(2)),
        (2, 12, station(3)),
    ] {
        let reached = outcome(&mut switch, member, from_beyond(dst, 1));
        assert_eq!(reached, (vec![], Some(1)));
        assert_eq!(dropped(&switch, member, DropReason::BondReflected), count);
    }
    // Others are let in, and learned where they are.
    let reached = outcome(&mut switch, 12, from_beyond(MacAddr::BROADCAST, 7));
    assert_eq!(reached.0, [1, 2]);
    assert_eq!(behind(&switch, 7), Some(BOND));
    // Between other ports stations move as ever, and also back from beyond.
    hear(&mut switch, 2, 1);
    assert_eq!(behind(&switch, 1), Some(2));
    hear(&mut switch, 1, 7);
    assert_eq!(behind(&switch, 7), Some(1));
}

/// A bond whose other side does not give back is a port like any other.
#[test]
fn without_the_switch_a_station_moves_to_a_bond_as_to_any_port() {
    let mut switch = guarded();
    switch.change(BOND, |bond| bond.flags.reflects = false);
    hear(&mut switch, 1, 1);
    let moved = outcome(&mut switch, 11, from_beyond(MacAddr::BROADCAST, 1));
    assert_eq!(moved, (vec![1, 2], Some(BOND)));
}

/// N-04
#[test]
fn a_station_that_says_so_has_moved_with_that_frame() {
    for make in ANNOUNCEMENTS {
        let mut switch = guarded();
        hear(&mut switch, 1, 1);
        let moved = outcome(&mut switch, 11, make(station(1), &[dot1q(10)]));
        assert_eq!(moved, (vec![1, 2], Some(BOND)), "the frame is taken, too");
        switch.inject(2, plain(station(1), station(2)));
        assert_eq!(switch.who_sent(), [11]);
        // From now on it is beyond, and its frames are let in.
        let reached = outcome(&mut switch, 12, from_beyond(station(2), 1));
        assert_eq!(reached.0, [2]);
    }
}

/// N-04: in one batch the frames of before and after the announcement.
#[test]
fn a_batch_is_judged_frame_by_frame() {
    let mut switch = guarded();
    hear(&mut switch, 1, 1);
    let wire = switch.wire(11).clone();
    wire.put(from_beyond(station(2), 1));
    wire.put(rarp(station(1), &[dot1q(10)]));
    wire.put(from_beyond(station(2), 1));
    switch.worker.poll(switch.now);
    assert_eq!(dropped(&switch, 11, DropReason::BondReflected), 1);
    assert_eq!(behind(&switch, 1), Some(BOND));
    let sent = switch.take_sent();
    assert_eq!((sent[&1].len(), sent[&2].len()), (2, 2));
}

/// Row 5 of the table: an announcement of this side comes back by another member.
#[test]
fn the_echo_of_an_announcement_proves_nothing() {
    for (said, comes_back) in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2)] {
        let mut switch = guarded();
        // Known already, or not heard before, or known where it comes from.
        match said {
            0 => hear(&mut switch, 1, 1),
            1 => {}
            _ => switch.inject(11, from_beyond(MacAddr::BROADCAST, 1)),
        }
        switch.inject(1, ANNOUNCEMENTS[said](station(1), &[]));
        let echo = || ANNOUNCEMENTS[comes_back](station(1), &[dot1q(10)]);
        for _ in 0..=ECHO_S {
            let reached = outcome(&mut switch, 12, echo());
            assert_eq!(reached, (vec![], Some(1)));
            wait(&mut switch, 1);
        }
        assert_eq!(outcome(&mut switch, 12, echo()).1, Some(BOND));
    }
}

/// What the control side sends in a station's name comes back, too; the station itself may have been
/// silent for long.
#[test]
fn the_echo_of_what_was_said_for_a_station_proves_nothing() {
    let mut switch = guarded();
    hear(&mut switch, 1, 1);
    wait(&mut switch, SILENCE_S + 1);
    let key = FdbKey::new(Some(vid(10)), station(1).word());
    switch.fdb(0).note_announced(key, switch.now.as_secs_u32());
    for bytes in [
        rarp(station(1), &[dot1q(10)]),
        from_beyond(MacAddr::BROADCAST, 1),
    ] {
        assert_eq!(outcome(&mut switch, 12, bytes), (vec![], Some(1)));
    }
}

/// N-04: a station that moved without a word is followed when it was silent here for long.
#[test]
fn after_a_silence_any_frame_is_believed() {
    let mut switch = guarded();
    hear(&mut switch, 1, 1);
    wait(&mut switch, SILENCE_S);
    assert_eq!(
        outcome(&mut switch, 11, from_beyond(station(2), 1)).1,
        Some(1)
    );
    switch.inject(1, broadcast(station(1)));
    wait(&mut switch, SILENCE_S);
    assert_eq!(
        outcome(&mut switch, 11, from_beyond(station(2), 1)).1,
        Some(1)
    );
    wait(&mut switch, 1);
    let moved = outcome(&mut switch, 11, from_beyond(station(2), 1));
    assert_eq!(moved.1, Some(BOND));
    assert!(moved.0.contains(&2), "{moved:?}");
}

/// An entry that no longer counts holds nobody: its port was flushed, or has left.
#[test]
fn a_forgotten_port_holds_nobody() {
    let mut switch = guarded();
    hear(&mut switch, 1, 1);
    switch.change(1, |port| port.epoch += 1);
    assert_eq!(
        outcome(&mut switch, 11, from_beyond(station(2), 1)).1,
        Some(BOND)
    );
    hear(&mut switch, 2, 1);
    switch.remove(2);
    assert_eq!(
        outcome(&mut switch, 11, from_beyond(station(3), 1)).1,
        Some(BOND)
    );
}

/// Two bonds of one bridge: a station that is beyond anyway.
#[test]
fn between_two_bonds_a_station_moves_freely() {
    let mut switch = guarded();
    switch.add_member(21, 20, Admits::Everything);
    let mut view = crate::trunk(20, &[10]);
    view.flags.reflects = true;
    switch.bond(20, view, Transmit::One(PortIndex(21)));
    switch.inject(21, from_beyond(MacAddr::BROADCAST, 1));
    assert_eq!(behind(&switch, 1), Some(20));
    assert_eq!(
        outcome(&mut switch, 11, from_beyond(MacAddr::BROADCAST, 1)).1,
        Some(BOND)
    );
}

fn reflections(switch: &MemSwitch) -> Vec<FdbEvent> {
    std::iter::from_fn(|| switch.fdb(0).take_event())
        .filter(|event| matches!(event.kind, FdbEventKind::Reflected { .. }))
        .collect()
}

/// N-02: pinned addresses never move, whatever is said, and the control side hears of it once a second.
#[test]
fn a_pinned_address_stays_and_that_it_came_back_is_told() {
    for kind in [EntryKind::Static, EntryKind::Local] {
        let mut switch = guarded();
        let pinned = switch
            .fdb(0)
            .pin(Some(vid(10)), station(1), PortIndex(1), kind);
        pinned.expect("room");
        for bytes in [
            from_beyond(MacAddr::BROADCAST, 1),
            from_beyond(station(2), 1),
            rarp(station(1), &[dot1q(10)]),
            gratuitous_arp(station(1), &[dot1q(10)]),
        ] {
            assert_eq!(outcome(&mut switch, 12, bytes), (vec![], Some(1)));
        }
        assert_eq!(dropped(&switch, 12, DropReason::BondReflected), 4);
        let event = FdbEvent {
            kind: FdbEventKind::Reflected { by: PortIndex(12) },
            vid: Some(vid(10)),
            mac: station(1),
            port: PortIndex(1),
        };
        assert_eq!(reflections(&switch), [event]);
        wait(&mut switch, 1);
        switch.inject(12, from_beyond(station(2), 1));
        assert_eq!(reflections(&switch).len(), 1);
        wait(&mut switch, SILENCE_S + 1);
        assert_eq!(
            outcome(&mut switch, 12, from_beyond(station(2), 1)).1,
            Some(1)
        );
    }
}

/// Where the switch floods from member to member by design, that is no alarm.
#[test]
fn what_a_shared_bond_gets_back_is_not_told() {
    let mut switch = guarded();
    let share = Share {
        groups: true,
        seed: 0,
        stations: [true].into(),
        handover: None,
    };
    switch.change(12, |member| member.admits = Admits::Share(share));
    let pinned = switch
        .fdb(0)
        .pin(Some(vid(10)), station(1), PortIndex(1), EntryKind::Local);
    pinned.expect("room");
    assert_eq!(
        outcome(&mut switch, 12, from_beyond(MacAddr::BROADCAST, 1)),
        (vec![], Some(1))
    );
    assert_eq!(reflections(&switch), []);
}

/// With learning off the guard looks all the same: a machine must not hear itself.
#[test]
fn a_bond_that_does_not_learn_is_guarded_too() {
    for learning in [false, true] {
        let mut switch = guarded();
        switch.change(BOND, |bond| bond.flags.learning = learning);
        hear(&mut switch, 1, 1);
        switch.bridge(0, |bridge| bridge.learning = learning);
        assert_eq!(
            outcome(&mut switch, 11, from_beyond(MacAddr::BROADCAST, 1)).0,
            [0; 0]
        );
        let reached = outcome(&mut switch, 11, from_beyond(MacAddr::BROADCAST, 7));
        assert_eq!(reached.0, [1, 2]);
        assert_eq!(behind(&switch, 7), learning.then_some(BOND));
    }
}

/// O-03
#[test]
fn explain_tells_who_holds_on() {
    let mut switch = guarded();
    hear(&mut switch, 1, 1);
    let told = |bytes: &[u8]| {
        explain(
            switch.snapshot(),
            PortIndex(12),
            &Frame::new(bytes),
            switch.now,
        )
    };
    let held = told(&from_beyond(MacAddr::BROADCAST, 1));
    let learned = Learned::Held { by: PortIndex(1) };
    assert!(held.steps.contains(&Step::Learn { learned }), "{held:?}");
    assert_eq!(held.verdict, Verdict::Drop(DropReason::BondReflected));
    let learned = Learned::Moved { from: PortIndex(1) };
    let moved = told(&rarp(station(1), &[dot1q(10)]));
    assert!(moved.steps.contains(&Step::Learn { learned }), "{moved:?}");
    assert_eq!(behind(&switch, 1), Some(1), "only told");
}
