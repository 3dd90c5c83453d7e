//! Bonds that balance by load, over a worker's counters: when a table changes, for whom, and what that brings.

use super::*;
use vswitch_api::config::TlbSrc;
use vswitch_core::bond::loads::Bytes;

/// A bond in balance-tlb with three links of one speed, looked at once.
fn bench(src: TlbSrc, change: impl FnOnce(&mut BondConfig)) -> Bench {
    let mut bench = Bench::new(|config| {
        (config.mode, config.tlb_src) = (BondMode::BalanceTlb, src);
        change(config);
    });
    for (last, seen) in (1..).zip(&mut bench.seen) {
        seen.mac = Some(MacAddr([2, 0, 0, 0, 0, last]));
        seen.speed_mbps = Some(10_000);
    }
    bench.links([true; 3]);
    bench.pass(dealing::INTERVAL);
    bench.bond.take_moved();
    bench
}

fn owners(bench: &Bench) -> Vec<PortIndex> {
    let buckets = bench.bond.transmit().buckets().expect("buckets");
    buckets.owners().to_vec()
}

/// Each bucket of a member sends so much in an interval.
fn pass_while(bench: &mut Bench, bytes: &Bytes) -> usize {
    let before = owners(bench);
    let load = bench.bond.loads().expect("measured").join();
    for (bucket, bytes) in bytes.iter().enumerate() {
        load.add(bucket, usize::try_from(*bytes).expect("few"));
    }
    bench.pass(dealing::INTERVAL);
    let after = owners(bench);
    before
        .iter()
        .zip(&after)
        .filter(|(was, is)| was != is)
        .count()
}

const SOURCES: [TlbSrc; 2] = [TlbSrc::Pin, TlbSrc::Rewrite];

/// K-22: what one member alone has to send is shared out after an interval, and then all is at rest; where stations are
/// pinned they are announced, and for a while two members let their frames in.
#[test]
fn a_loud_members_buckets_are_shared_out() {
    for src in SOURCES {
        let mut bench = bench(src, |_| {});
        let table = owners(&bench);
        let of_a = |bucket: usize| table.get(bucket) == Some(&A);
        let bytes: Bytes = std::array::from_fn(|b| if of_a(b) { 3_000_000 } else { 0 });
        let moved = pass_while(&mut bench, &bytes);
        assert!((52..=62).contains(&moved), "{src}: {moved}");
        assert_eq!(bench.bond.take_moved(), src == TlbSrc::Pin);
        let rows = bench
            .bond
            .rows(crate::wall::WallClock::default(), bench.now);
        for row in rows {
            let mbps = row.load_bps.expect("measured") / 1_000_000;
            assert!((64..=72).contains(&mbps), "{src}: {mbps}");
        }
        for _ in 0..10 {
            assert_eq!(pass_while(&mut bench, &bytes), 0, "{src}: at rest");
        }
        assert!(!bench.bond.take_moved());
        let parts = [A, B, C].map(|member| {
            let owned = owners(&bench).into_iter().enumerate();
            let loud = owned.filter(|(bucket, owner)| *owner == member && bytes[*bucket] > 0);
            loud.count()
        });
        assert!(
            parts.iter().all(|part| (27..=30).contains(part)),
            "{parts:?}"
        );
    }
}

/// K-22: parts are as speeds alone where load does not count, live, and after that it counts from there on.
#[test]
fn load_counts_where_it_is_asked_for() {
    for src in SOURCES {
        let mut bench = bench(src, |config| config.tlb_dynamic_lb = OnOff::OFF);
        assert!(bench.bond.loads().is_none());
        let before = owners(&bench);
        assert_eq!(before, Buckets::new(&[A, B, C]).owners());
        let mut wanted = bench.bond.wanted().clone();
        wanted.config.tlb_dynamic_lb = OnOff::ON;
        bench.bond.configure(&wanted);
        bench.update();
        bench.pass(dealing::INTERVAL);
        assert_eq!(owners(&bench), before, "nothing was sent yet");
        let bytes: Bytes = std::array::from_fn(|b| if b % 3 == 0 { 3_000_000 } else { 0 });
        assert!(pass_while(&mut bench, &bytes) > 50);
    }
}

/// N-10: a member that goes gives its buckets to the others, and when it is back parts are as speeds; then load counts
/// again.
#[test]
fn members_that_go_and_come_keep_flows_going() {
    for src in SOURCES {
        let mut bench = bench(src, |_| {});
        bench.links([true, false, true]);
        assert!(!owners(&bench).contains(&B));
        bench.links([true; 3]);
        let has = |bench: &Bench, member| owners(bench).iter().filter(|o| **o == member).count();
        assert_eq!([A, B, C].map(|member| has(&bench, member)), [85; 3]);
        let table = owners(&bench);
        let bytes: Bytes = std::array::from_fn(|b| {
            if table.get(b) == Some(&B) {
                3_000_000
            } else {
                0
            }
        });
        assert!(pass_while(&mut bench, &bytes) > 50);
    }
}
