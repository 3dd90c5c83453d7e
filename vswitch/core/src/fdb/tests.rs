//! The table against a map that is plainly right, and its limits one by one.

use super::*;
use proptest::prelude::*;
use std::collections::HashMap;

type Address = (Option<Vid>, MacAddr);

fn address(number: u32) -> Address {
    let vid = Vid::new([0, 10, 20, 4094][number as usize % 4]).ok();
    (vid, MacAddr::from_u64(0x0200_0000_0000 | u64::from(number)))
}

fn source(port: u16, epoch: u16, mac_limit: u32) -> Source {
    Source {
        port: PortIndex(port),
        epoch,
        mac_limit,
    }
}

fn teach(fdb: &Fdb, number: u32, port: u16, now_s: u32) -> Learned {
    let (vid, mac) = address(number);
    fdb.learn(vid, mac, source(port, 0, u32::MAX), now_s, |_, _| true)
}

#[derive(Clone, Debug)]
enum Op {
    Learn(u32, u16),
    Pin(u32, u16, bool),
    Remove(u32),
    Use(u32),
    /// Raises a port's epoch.
    Forget(u16),
    Flush(u16),
    Sweep(u32),
    Wait(u32),
}

fn an_op() -> impl Strategy<Value = Op> {
    let (number, port) = (0..24u32, 0..4u16);
    prop_oneof![
        12 => (number.clone(), port.clone()).prop_map(|(n, p)| Op::Learn(n, p)),
        2 => (number.clone(), port.clone(), any::<bool>()).prop_map(|(n, p, s)| Op::Pin(n, p, s)),
        2 => number.clone().prop_map(Op::Remove),
        2 => number.prop_map(Op::Use),
        1 => port.clone().prop_map(Op::Forget),
        1 => port.prop_map(Op::Flush),
        2 => (1..20u32).prop_map(Op::Sweep),
        3 => (0..8u32).prop_map(Op::Wait),
    ]
}

/// What the map keeps of an address: port, epoch, kind, seen.
type Known = (u16, u16, EntryKind, u32);

/// What learning should answer, done to the map.
fn learn_in_map(
    map: &mut HashMap<Address, Known>,
    at: Address,
    (port, limit): (u16, u32),
    epochs: &[u16; 4],
    now_s: u32,
) -> Learned {
    let epoch = epochs[usize::from(port)];
    let here = |k: &&Known| k.0 == port && k.2 == EntryKind::Learned;
    let full = map.values().filter(here).count() >= limit as usize;
    let fresh = (port, epoch, EntryKind::Learned, now_s);
    match map.get_mut(&at) {
        Some(known) if known.2 == EntryKind::Learned => {
            if (known.0, known.1) == (port, epoch) {
                known.3 = now_s;
                return Learned::Known;
            }
            let former = *known;
            if former.0 != port && full {
                return Learned::PortLimit;
            }
            *known = fresh;
            if former.0 != port && epochs[usize::from(former.0)] == former.1 {
                let from = PortIndex(former.0);
                Learned::Moved { from }
            } else {
                Learned::New
            }
        }
        Some(known) => {
            if known.0 == port {
                Learned::Known
            } else if known.2 == EntryKind::Static {
                Learned::Pinned
            } else {
                Learned::OwnAddress
            }
        }
        None if full => Learned::PortLimit,
        None => {
            map.insert(at, fresh);
            Learned::New
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// F-01 to F-06, F-12, G-06: every answer, and the whole table after every operation.
    #[test]
    fn the_table_is_a_map(ops in prop::collection::vec(an_op(), 1..120), seed: u64, limit in 1..12u32) {
        let fdb = Fdb::new(1024, seed);
        let mut map: HashMap<Address, Known> = HashMap::new();
        let (mut epochs, mut now_s) = ([0u16; 4], 100u32);
        for op in ops {
            let current = |port: PortIndex, epoch: u16| epochs[port.index()] == epoch;
            match op {
                Op::Learn(number, port) => {
                    let (vid, mac) = address(number);
                    let from = source(port, epochs[usize::from(port)], limit);
                    let told = fdb.would_learn(vid, mac, from, current);
                    let done = fdb.learn(vid, mac, from, now_s, current);
                    let should = learn_in_map(&mut map, (vid, mac), (port, limit), &epochs, now_s);
                    prop_assert_eq!((told, done), (should, should));
                }
                Op::Pin(number, port, is_static) => {
                    let (vid, mac) = address(number);
                    let kind = if is_static { EntryKind::Static } else { EntryKind::Local };
                    prop_assert_eq!(fdb.pin(vid, mac, PortIndex(port), kind), Ok(()));
                    map.insert((vid, mac), (port, 0, kind, 0));
                }
                Op::Remove(number) => {
                    let (vid, mac) = address(number);
                    prop_assert_eq!(fdb.remove(vid, mac), map.remove(&(vid, mac)).is_some());
                }
                Op::Use(number) => {
                    let (vid, mac) = address(number);
                    if let Some(hit) = fdb.find(vid, mac) {
                        fdb.note_use(hit, now_s);
                    }
                }
                Op::Forget(port) => epochs[usize::from(port)] += 1,
                Op::Flush(port) => {
                    let doomed = |e: &Entry| e.port.0 == port && e.kind == EntryKind::Learned;
                    let before = map.len();
                    map.retain(|_, k| !(k.0 == port && k.2 == EntryKind::Learned));
                    prop_assert_eq!(fdb.flush(doomed), before - map.len());
                }
                Op::Sweep(ageing_s) => {
                    let before = map.len();
                    map.retain(|_, k| {
                        let stale = epochs[usize::from(k.0)] != k.1;
                        k.2 != EntryKind::Learned || !stale && now_s - k.3 < ageing_s
                    });
                    prop_assert_eq!(fdb.sweep(now_s, Some(ageing_s), current), before - map.len());
                }
                Op::Wait(seconds) => now_s += seconds,
            }
            for (at, known) in &map {
                let hit = fdb.find(at.0, at.1);
                prop_assert_eq!(hit.map(|h| (h.port.0, h.epoch, h.kind)), Some((known.0, known.1, known.2)));
            }
            prop_assert_eq!(fdb.entries().count(), map.len());
            let learned = map.values().filter(|k| k.2 == EntryKind::Learned).count();
            prop_assert_eq!(fdb.stats().entries as usize, learned);
            for (port, count) in fdb.counts_by_port() {
                let here = map.values().filter(|k| k.0 == port.0 && k.2 == EntryKind::Learned);
                prop_assert_eq!(count as usize, here.count());
                prop_assert!(count <= limit);
            }
        }
    }

    /// F-08, F-09: a full table holds its limit, its counts are those of its entries, the newest
    /// address is in, and a port below its fair share loses nothing to others' floods.
    #[test]
    fn a_full_table_is_fair(ports in prop::collection::vec(0..3u16, 300..600), seed: u64) {
        const MAX: u32 = 64;
        const QUIET: u32 = 8;
        let fdb = Fdb::new(MAX, seed);
        for number in 0..QUIET {
            prop_assert_eq!(teach(&fdb, number, 3, 1), Learned::New);
        }
        let mut forced = 0;
        for (number, port) in (QUIET..).zip(ports) {
            let before = fdb.stats();
            prop_assert_eq!(teach(&fdb, number, port, 1), Learned::New);
            let (vid, mac) = address(number);
            prop_assert_eq!(fdb.find(vid, mac).map(|h| h.port.0), Some(port));
            let after = fdb.stats();
            prop_assert!(after.entries <= MAX);
            // One too many in two full buckets displaces whom it finds there: rare, and counted.
            let full = u64::from(before.entries >= MAX);
            forced += after.evicted - before.evicted - full;
            let sum: u32 = fdb.counts_by_port().iter().map(|(_, n)| n).sum();
            prop_assert_eq!((sum, fdb.entries().count()), (after.entries, after.entries as usize));
        }
        let quiet = fdb.counts_by_port().iter().find(|(p, _)| p.0 == 3).map_or(0, |(_, n)| *n);
        prop_assert!(u64::from(quiet) + forced >= u64::from(QUIET), "{} left, {} forced", quiet, forced);
    }
}

/// F-09: of the port with most, the oldest goes first.
#[test]
fn eviction_takes_the_oldest_of_the_fullest() {
    let fdb = Fdb::new(8, 1);
    for (number, port) in [
        (0, 1),
        (1, 2),
        (2, 2),
        (3, 2),
        (4, 1),
        (5, 3),
        (6, 3),
        (7, 4),
    ] {
        assert_eq!(teach(&fdb, number, port, 1), Learned::New);
    }
    assert_eq!(teach(&fdb, 8, 4, 1), Learned::New);
    let (vid, mac) = address(1);
    assert_eq!(fdb.find(vid, mac), None);
    assert_eq!(fdb.counts_by_port().len(), 4);
    assert_eq!(fdb.stats().evicted, 1);
}

/// The limit is clamped, and a table filled to it displaces nobody.
#[test]
fn limits_are_held_to_their_bounds() {
    assert_eq!(Fdb::new(0, 1).learned_max(), 1);
    assert_eq!(Fdb::new(100, 1).learned_max(), 100);
    let fdb = Fdb::new(4_096, 1);
    for number in 0..4_096 {
        assert_eq!(teach(&fdb, number, 1, 1), Learned::New);
    }
    let stats = fdb.stats();
    assert_eq!((stats.entries, stats.evicted), (4_096, 0));
}

/// F-12: an epoch is a number that may wrap.
#[test]
fn epochs_may_wrap() {
    let fdb = Fdb::new(16, 1);
    let (vid, mac) = address(1);
    let old = source(1, u16::MAX, 10);
    assert_eq!(fdb.learn(vid, mac, old, 1, |_, _| true), Learned::New);
    let new = source(1, u16::MAX.wrapping_add(1), 10);
    assert_eq!(fdb.learn(vid, mac, new, 2, |_, e| e == 0), Learned::New);
    assert_eq!(fdb.find(vid, mac).map(|h| h.epoch), Some(0));
}

/// A worker that finds the lock taken goes on without it.
#[test]
fn learning_never_waits() {
    let fdb = Fdb::new(16, 1);
    let held = fdb.lock();
    assert_eq!(teach(&fdb, 1, 1, 1), Learned::Busy);
    drop(held);
    assert_eq!(teach(&fdb, 1, 1, 1), Learned::New);
    assert_eq!(fdb.stats().busy, 1);
}
