//! Tables after loads of any kind: what is promised of each.

use super::*;
use proptest::prelude::*;

const A: PortIndex = PortIndex(1);
const B: PortIndex = PortIndex(2);
const C: PortIndex = PortIndex(3);
/// What one bucket sends that is worth something.
const LOUD: u64 = 10_000_000;

type Rule = fn(&Buckets, &Bytes, &[(PortIndex, u32)]) -> Option<Buckets>;
const RULES: [Rule; 2] = [shift, deal];

fn loads(of: impl Fn(usize) -> u64) -> Bytes {
    std::array::from_fn(of)
}

fn carried(table: &Buckets, bytes: &Bytes, members: &[(PortIndex, u32)]) -> Vec<u64> {
    let parts = parts(table, bytes, members).into_iter();
    parts.map(|part| part.bytes).collect()
}

/// K-22: what is equal stays, what is not is made so, by as few buckets as that takes where stations move.
#[test]
fn the_louder_half_is_shared() {
    let members = [(A, 10_000), (B, 10_000)];
    let table = Buckets::new(&[A, B]);
    for rule in RULES {
        assert_eq!(rule(&table, &loads(|_| LOUD), &members), None);
        assert_eq!(rule(&table, &loads(|_| 0), &members), None);
        // All of a's buckets are loud and none of b's.
        let bytes = loads(|bucket| if bucket % 2 == 0 { LOUD } else { 0 });
        let after = rule(&table, &bytes, &members).expect("worth it");
        assert_eq!(carried(&after, &bytes, &members), [64 * LOUD; 2]);
    }
    let bytes = loads(|bucket| if bucket % 2 == 0 { LOUD } else { 0 });
    let after = shift(&table, &bytes, &members).expect("worth it");
    assert_eq!(after.moved_since(&table).expect("as many").count(), 64);
}

/// K-37: not what is small, not what is nearly equal, and never the only loud one.
#[test]
fn what_is_not_worth_it_stays() {
    let members = [(A, 10_000), (B, 10_000)];
    let table = Buckets::new(&[A, B]);
    let only = loads(|bucket| if bucket == 4 { LOUD } else { 0 });
    assert_eq!(shift(&table, &only, &members), None);
    assert_eq!(deal(&table, &only, &members), None);
    let quiet = loads(|bucket| if bucket % 2 == 0 { 700 } else { 0 });
    assert_eq!(shift(&table, &quiet, &members), None);
    let near = loads(|bucket| LOUD + if bucket % 2 == 0 { LOUD / 40 } else { 0 });
    assert_eq!(shift(&table, &near, &members), None);
    assert_eq!(deal(&table, &near, &members), None);
}

/// a member that is four times as fast carries four times as much.
#[test]
fn speed_counts() {
    let members = [(A, 40_000), (B, 10_000)];
    for rule in RULES {
        let table = Buckets::new(&[A, B]);
        let bytes = loads(|_| LOUD);
        let after = rule(&table, &bytes, &members).expect("worth it");
        let carried = carried(&after, &bytes, &members);
        assert!((200..=208).contains(&(carried[0] / LOUD)), "{carried:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// K-22: whatever is sent, by whomever: nobody becomes busier than the busiest was, and under the same load again
    /// nothing moves any more.
    #[test]
    fn it_is_never_worse_and_comes_to_rest(
        sent in proptest::collection::vec(prop_oneof![Just(0), 1..2_000u64, 0..50_000_000u64], 256),
        speeds in proptest::array::uniform3(prop_oneof![Just(1_000u32), Just(10_000), Just(25_000)]),
        owners in proptest::collection::vec(0..3usize, 256),
    ) {
        let all = [A, B, C];
        let members: Vec<_> = all.into_iter().zip(speeds).collect();
        let bytes = loads(|bucket| sent[bucket]);
        for rule in RULES {
            let mut table = Buckets::new(&[A, B]);
            for (bucket, owner) in owners.iter().enumerate() {
                table.give(bucket, all[*owner]);
            }
            let mut rounds = 0;
            while let Some(after) = rule(&table, &bytes, &members) {
                let peak = |table| busiest(&parts(table, &bytes, &members)).expect("three");
                prop_assert!(!peak(&after).is_busier_than(peak(&table)));
                table = after;
                rounds += 1;
                prop_assert!(rounds < 3, "no rest");
            }
        }
    }

    /// K-22: many stations of one loudness are shared equally by members of one speed, whoever had them.
    #[test]
    fn equal_members_carry_nearly_the_same(
        owners in proptest::collection::vec(0..3usize, 256),
        noise in proptest::collection::vec(0..LOUD / 50, 256),
    ) {
        let all = [A, B, C];
        let members = all.map(|member| (member, 10_000));
        let bytes = loads(|bucket| LOUD + noise[bucket]);
        for rule in RULES {
            let mut table = Buckets::new(&[A, B]);
            for (bucket, owner) in owners.iter().enumerate() {
                table.give(bucket, all[*owner]);
            }
            let table = rule(&table, &bytes, &members).unwrap_or(table);
            let carried = carried(&table, &bytes, &members);
            let (most, all) = (carried.iter().max().unwrap(), carried.iter().sum::<u64>());
            prop_assert!(most * 3 <= all + all / 16, "{carried:?}");
        }
    }
}
