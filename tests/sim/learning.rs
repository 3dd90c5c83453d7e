//! Learning, ageing, moves, static and local addresses, limits, eviction, flush.

use crate::{BR, access, access_in, lan, trunk};
use std::sync::Arc;
use vswitch_base::{Duration, PortIndex, Vid};
use vswitch_core::fdb::{EntryKind, Fdb, FdbEventKind};
use vswitch_core::snapshot::PortView;
use vswitch_core::testing::{MemSwitch, dot1q, station, vid};
use vswitch_core::verdict::DropReason;
use vswitch_tests::{broadcast, dropped, hear, plain, ports_reached, tagged};

const TEN: Option<Vid> = match Vid::new(10) {
    Ok(vid) => Some(vid),
    Err(_) => None,
};

fn behind(switch: &MemSwitch, number: u32) -> Option<u16> {
    switch
        .fdb(0)
        .find(TEN, station(number))
        .map(|hit| hit.port.0)
}

/// What the control thread does once in a while.
fn sweep(switch: &MemSwitch, ageing_s: Option<u32>) -> usize {
    let snapshot = switch.snapshot();
    switch
        .fdb(0)
        .sweep(switch.now.as_secs_u32(), ageing_s, |port, epoch| {
            snapshot.port(port).is_some_and(|p| p.epoch == epoch)
        })
}

fn events(switch: &MemSwitch) -> Vec<(FdbEventKind, u16)> {
    std::iter::from_fn(|| switch.fdb(0).take_event())
        .map(|e| (e.kind, e.port.0))
        .collect()
}

/// F-03, F-14
#[test]
fn addresses_age_when_not_seen_and_frames_refresh_them() {
    let mut switch = lan(3);
    hear(&mut switch, 1, 1);
    hear(&mut switch, 2, 2);
    switch.now = switch.now + Duration::from_secs(299);
    assert_eq!(sweep(&switch, Some(300)), 0);
    hear(&mut switch, 1, 1);
    switch.now = switch.now + Duration::from_secs(1);
    assert_eq!(sweep(&switch, Some(300)), 1);
    assert_eq!((behind(&switch, 1), behind(&switch, 2)), (Some(1), None));
    assert_eq!(
        ports_reached(&mut switch, 1, plain(station(2), station(1))),
        [2, 3]
    );
    assert_eq!(switch.fdb(0).stats().aged, 1);
}

/// F-04
#[test]
fn ageing_never_keeps_addresses_for_good() {
    let mut switch = lan(2);
    hear(&mut switch, 1, 1);
    switch.now = switch.now + Duration::from_secs(1_000_000);
    assert_eq!(sweep(&switch, None), 0);
    assert_eq!(behind(&switch, 1), Some(1));
}

/// F-14
#[test]
fn use_and_sight_are_noted_apart() {
    let mut switch = lan(2);
    hear(&mut switch, 1, 1);
    let seen = switch.now.as_secs_u32();
    switch.now = switch.now + Duration::from_secs(5);
    switch.inject(2, plain(station(1), station(2)));
    let entry = switch
        .fdb(0)
        .entries()
        .find(|e| e.mac == station(1))
        .unwrap();
    assert_eq!((entry.seen, entry.used), (seen, seen + 5));
}

/// F-10, F-13
#[test]
fn a_station_moves_with_its_first_frame_elsewhere() {
    let mut switch = lan(3);
    hear(&mut switch, 1, 1);
    hear(&mut switch, 2, 1);
    assert_eq!(
        ports_reached(&mut switch, 3, plain(station(1), station(3))),
        [2]
    );
    assert_eq!(switch.fdb(0).stats().moved, 1);
    let moved = FdbEventKind::Moved { from: PortIndex(1) };
    let learned = FdbEventKind::Learned;
    assert_eq!(events(&switch), [(learned, 1), (moved, 2), (learned, 3)]);
}

/// F-01
#[test]
fn the_same_address_lives_in_two_vlans_independently() {
    let mut switch = lan(1);
    switch.add(2, access_in(2, 20));
    hear(&mut switch, 1, 7);
    hear(&mut switch, 2, 7);
    assert_eq!(switch.fdb(0).stats().entries, 2);
    assert_eq!(switch.fdb(0).stats().moved, 0);
}

#[test]
fn without_filtering_all_tags_share_one_table() {
    let mut switch = lan(3);
    switch.bridge(0, |bridge| bridge.vlan_filtering = false);
    switch.inject(1, tagged(station(99), station(1), &[dot1q(77)]));
    drop(switch.take_sent());
    assert_eq!(
        ports_reached(&mut switch, 2, plain(station(1), station(2))),
        [1]
    );
    assert_eq!(
        switch.fdb(0).find(None, station(1)).map(|h| h.port.0),
        Some(1)
    );
}

/// F-05
#[test]
fn static_addresses_neither_age_nor_move() {
    let mut switch = lan(3);
    switch
        .fdb(0)
        .pin(TEN, station(1), PortIndex(1), EntryKind::Static)
        .unwrap();
    hear(&mut switch, 2, 1);
    switch.now = switch.now + Duration::from_secs(1_000);
    assert_eq!(sweep(&switch, Some(300)), 0);
    assert_eq!(
        ports_reached(&mut switch, 3, plain(station(1), station(3))),
        [1]
    );
    // Nor does the flush of its port's learned addresses touch them.
    switch.change(1, |port| port.epoch += 1);
    assert_eq!(
        ports_reached(&mut switch, 3, plain(station(1), station(3))),
        [1]
    );
}

/// F-05
#[test]
fn a_pinned_address_replaces_a_learned_one() {
    let mut switch = lan(3);
    hear(&mut switch, 2, 1);
    switch
        .fdb(0)
        .pin(TEN, station(1), PortIndex(1), EntryKind::Static)
        .unwrap();
    assert_eq!(
        switch.fdb(0).stats().entries,
        0,
        "no longer counted as learned"
    );
    assert_eq!(
        ports_reached(&mut switch, 3, plain(station(1), station(3))),
        [1]
    );
    assert!(switch.fdb(0).remove(TEN, station(1)));
    assert_eq!(
        ports_reached(&mut switch, 3, plain(station(1), station(3))),
        [1, 2]
    );
}

/// F-08, F-09
#[test]
fn a_full_table_takes_from_the_port_with_most() {
    let mut switch = lan(3);
    switch.bridge(0, |bridge| bridge.fdb = Arc::new(Fdb::new(64, 3)));
    for quiet in 0..8 {
        hear(&mut switch, 1, 100 + quiet);
    }
    for noisy in 0..1_000 {
        hear(&mut switch, 2, 10_000 + noisy);
    }
    let stats = switch.fdb(0).stats();
    assert!(stats.entries <= 64, "{stats:?}");
    assert_eq!(stats.evicted, 1_008 - u64::from(stats.entries));
    for quiet in 0..8 {
        assert_eq!(
            behind(&switch, 100 + quiet),
            Some(1),
            "the quiet port keeps its own"
        );
    }
    assert_eq!(behind(&switch, 10_999), Some(2), "the newest is in");
}

/// F-09: an address that speaks between two evictions outlives silent ones queued after it.
#[test]
fn an_active_address_gets_a_second_chance() {
    let mut switch = lan(2);
    switch.bridge(0, |bridge| bridge.fdb = Arc::new(Fdb::new(16, 3)));
    for number in 0..16 {
        hear(&mut switch, 1, number);
    }
    switch.now = switch.now + Duration::from_secs(1);
    hear(&mut switch, 1, 0);
    hear(&mut switch, 1, 500);
    assert_eq!((behind(&switch, 0), behind(&switch, 1)), (Some(1), None));
}

/// F-12
#[test]
fn raising_the_epoch_forgets_a_port_at_once() {
    let mut switch = lan(3);
    for number in 0..50 {
        hear(&mut switch, 1, number);
        hear(&mut switch, 2, 100 + number);
    }
    switch.change(1, |port| port.epoch = port.epoch.wrapping_add(1));
    assert_eq!(
        ports_reached(&mut switch, 3, plain(station(7), station(900))),
        [1, 2]
    );
    assert_eq!(
        ports_reached(&mut switch, 3, plain(station(107), station(900))),
        [2]
    );
    assert_eq!(sweep(&switch, Some(300)), 50);
    hear(&mut switch, 1, 7);
    assert_eq!(
        ports_reached(&mut switch, 3, plain(station(7), station(3))),
        [1]
    );
    assert_eq!(switch.fdb(0).stats().moved, 0);
}

/// F-12: a stale entry met before the sweep is learned as new, not as moved.
#[test]
fn a_stale_address_heard_elsewhere_is_new() {
    let mut switch = lan(2);
    hear(&mut switch, 1, 1);
    switch.change(1, |port| port.epoch += 1);
    hear(&mut switch, 2, 1);
    let stats = switch.fdb(0).stats();
    assert_eq!((stats.learned, stats.moved, stats.entries), (2, 0, 1));
}

/// F-12
#[test]
fn flush_takes_what_it_is_told_to() {
    let mut switch = lan(2);
    switch.add(3, trunk(3, &[10, 20]));
    hear(&mut switch, 1, 1);
    hear(&mut switch, 2, 2);
    for v in [10, 20] {
        switch.inject(3, tagged(station(99), station(3), &[dot1q(v)]));
    }
    drop(switch.take_sent());
    switch
        .fdb(0)
        .pin(TEN, station(5), PortIndex(3), EntryKind::Static)
        .unwrap();
    let fdb = Arc::clone(switch.fdb(0));
    let dynamic = |e: &vswitch_core::fdb::Entry| e.kind == EntryKind::Learned;
    assert_eq!(
        fdb.flush(|e| dynamic(e) && e.port == PortIndex(3) && e.vid == TEN),
        1
    );
    assert_eq!(fdb.find(TEN, station(3)), None);
    assert!(fdb.find(Some(vid(20)), station(3)).is_some());
    assert_eq!(fdb.flush(|e| e.mac == station(1)), 1);
    assert_eq!(fdb.flush(dynamic), 2);
    assert_eq!(fdb.entries().count(), 1, "the static one");
    assert_eq!(
        events(&switch)
            .iter()
            .filter(|e| e.0 == FdbEventKind::Flushed)
            .count(),
        4
    );
}

#[test]
fn an_address_of_a_port_that_left_floods() {
    let mut switch = lan(3);
    hear(&mut switch, 2, 2);
    switch.remove(2);
    assert_eq!(
        ports_reached(&mut switch, 1, plain(station(2), station(1))),
        [3]
    );
}

/// F-13: nobody takes the events; the table works on and says how many were lost.
#[test]
fn a_full_event_queue_costs_events_only() {
    let mut switch = lan(2);
    for number in 0..5_000 {
        hear(&mut switch, 1, number);
    }
    let stats = switch.fdb(0).stats();
    assert_eq!(
        (stats.entries, stats.learned, stats.events_lost),
        (5_000, 5_000, 904)
    );
    assert_eq!(events(&switch).len(), 4_096);
}

/// A table full of static entries refuses another, and forwards what it cannot learn.
#[test]
fn a_table_of_static_entries_learns_nothing_and_says_so() {
    let mut switch = lan(2);
    switch.bridge(0, |bridge| bridge.fdb = Arc::new(Fdb::new(1, 3)));
    let fdb = Arc::clone(switch.fdb(0));
    let pinned = (0..100)
        .filter(|n| {
            fdb.pin(TEN, station(*n), PortIndex(1), EntryKind::Static)
                .is_ok()
        })
        .count();
    assert!(pinned < 100 && pinned == fdb.entries().count());
    let refused = fdb.pin(TEN, station(1_000), PortIndex(1), EntryKind::Static);
    assert!(refused.unwrap_err().to_string().contains("fdb_max"));
    assert_eq!(
        ports_reached(&mut switch, 1, broadcast(station(2_000))),
        [2]
    );
    assert_eq!(behind(&switch, 2_000), None);
}

/// G-06, F-09: limits of one port leave the others alone.
#[test]
fn a_port_at_its_limit_does_not_hold_up_others() {
    let mut switch = MemSwitch::new();
    switch.add(
        1,
        PortView {
            mac_limit: 4,
            ..access(1)
        },
    );
    switch.add(2, access(2));
    for number in 0..100 {
        hear(&mut switch, 1, number);
        hear(&mut switch, 2, 1_000 + number);
    }
    let counts = switch.fdb(0).counts_by_port();
    assert_eq!(counts, [(PortIndex(1), 4), (PortIndex(2), 100)]);
    assert_eq!(dropped(&switch, 1, DropReason::MacLimit), 96);
    assert_eq!(
        switch.snapshot().port(PortIndex(1)).unwrap().bridge,
        Some(BR)
    );
}
