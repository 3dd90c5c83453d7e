//! Hash buckets: from a flow's number to a member, prepared for a snapshot.
//!
//! Linux takes the flow's number modulo the count of usable members, so when one of `n` leaves or joins,
//! nearly every flow changes members. Here a table stands between, of which only the share that must move
//! does (N-10).
//!
//! **When the choice is the kernel's.** A new table for `n` members has the largest multiple of `n` up to
//! [`BUCKETS_MAX`] buckets (256 for two and four, 255 for three), bucket `i` belongs to the `i % n`-th member,
//! and the bucket of a flow is its number modulo the count of buckets. Since `n` divides that count, the
//! member is that of `number % n`: **a table that was made for its members is Linux's choice for every
//! flow.** It stays so for as long as the members are those, in that order. After members came or went by
//! [`Buckets::update`] it is no more, and cannot be: the kernel would have moved flows that here stay.

use arrayvec::ArrayVec;
use vswitch_base::PortIndex;

/// The most buckets, and so the most members that can carry flows: a bucket is a share of at least 1/256.
pub const BUCKETS_MAX: usize = 256;

/// Who gets which flows. Without members it has no buckets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Buckets {
    owners: ArrayVec<PortIndex, BUCKETS_MAX>,
    /// As many as `owners`; kept as what numbers are divided by.
    count: u32,
}

/// A bucket that changed members.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved {
    /// Which one: flows whose number modulo [`Buckets::count`] this is.
    pub bucket: usize,
    /// Who had it.
    pub from: PortIndex,
    /// Who has it.
    pub to: PortIndex,
}

impl Buckets {
    /// A table for these members, each with the same number of buckets: Linux's choice. A member that
    /// is named twice counts once; beyond [`BUCKETS_MAX`] members get none.
    #[must_use]
    pub fn new(members: &[PortIndex]) -> Self {
        let members = distinct(members);
        let rounds = BUCKETS_MAX.checked_div(members.len()).unwrap_or(0);
        Self::of((0..rounds).flat_map(|_| members.iter().copied()).collect())
    }

    fn of(owners: ArrayVec<PortIndex, BUCKETS_MAX>) -> Self {
        let count = u32::try_from(owners.len()).unwrap_or(0);
        Self { owners, count }
    }

    /// The table after a change of members from `old`.
    ///
    /// The count of buckets stays, no two members differ by more than one bucket, and
    /// no bucket moves that need not. When one of `n` leaves or an `n`-th joins, at most `256 / n` move,
    /// rounded up. Where there was no member or there is none, or there are more than buckets, it is a
    /// new table.
    #[must_use]
    pub fn update(old: &Self, members: &[PortIndex]) -> Self {
        let equal: ArrayVec<(PortIndex, u32), BUCKETS_MAX> = distinct(members)
            .into_iter()
            .map(|member| (member, 1))
            .collect();
        Self::update_weighted(old, &equal)
    }

    /// As [`Self::update`] for members, each named once, whose parts are as their weights: no member is a
    /// whole bucket away from its part, and no bucket moves that need not. A weight of 0 counts as 1.
    #[must_use]
    pub fn update_weighted(old: &Self, weighted: &[(PortIndex, u32)]) -> Self {
        let members: ArrayVec<PortIndex, BUCKETS_MAX> = weighted
            .iter()
            .take(BUCKETS_MAX)
            .map(|(member, _)| *member)
            .collect();
        if members.is_empty() || members.len() > old.owners.len() {
            return Self::new(&members);
        }
        let weight = |(_, weight): &(PortIndex, u32)| u64::from(*weight).max(1);
        let all: u64 = weighted.iter().take(BUCKETS_MAX).map(weight).sum();
        let total = old.owners.len() as u64;
        let part = |weighted: &(PortIndex, u32)| {
            (
                total * weight(weighted) / all,
                total * weight(weighted) % all,
            )
        };
        let has = |member: PortIndex| old.owners.iter().filter(|o| **o == member).count();
        // The buckets that do not divide go to those whose part is cut most, of equals to those who have most.
        let mut parts: ArrayVec<(PortIndex, (u64, u64)), BUCKETS_MAX> = weighted
            .iter()
            .take(BUCKETS_MAX)
            .map(|w| (w.0, part(w)))
            .collect();
        parts.sort_by_key(|(member, (_, rest))| core::cmp::Reverse((*rest, has(*member))));
        let spare = total - parts.iter().map(|(_, (whole, _))| *whole).sum::<u64>();
        let mut wanted: ArrayVec<(PortIndex, usize), BUCKETS_MAX> = (0..)
            .zip(&parts)
            .map(|(rank, (member, (whole, _)))| {
                let wants = *whole + u64::from(rank < spare);
                (*member, usize::try_from(wants).unwrap_or(0))
            })
            .collect();
        // Who has too many gives up some all over its part: neighbouring numbers, as stations with consecutive
        // addresses have, then go by different members, as they do in the kernel.
        let mut kept: ArrayVec<(PortIndex, usize, usize), BUCKETS_MAX> = wanted
            .iter()
            .map(|(member, wants)| (*member, has(*member).max(*wants), 0))
            .collect();
        let mut owners: ArrayVec<Option<PortIndex>, BUCKETS_MAX> = ArrayVec::new();
        for owner in &old.owners {
            let quotas = wanted.iter().zip(&mut kept);
            let found = quotas.into_iter().find(|((m, _), _)| m == owner);
            owners.push(found.and_then(|((_, wants), (_, had, number))| {
                let upto = |number: usize| (number * wants).div_ceil(*had);
                *number += 1;
                (upto(*number) > upto(*number - 1)).then_some(*owner)
            }));
        }
        for (member, wants) in &mut wanted {
            *wants -= owners.iter().filter(|o| **o == Some(*member)).count();
        }
        // What is free goes round among those who lack some, so that neighbours part.
        let mut next = 0;
        let mut take = || {
            let lacking = (0..wanted.len()).map(|step| (next + step) % wanted.len());
            let at = lacking.into_iter().find(|at| wanted[*at].1 > 0)?;
            next = at + 1;
            wanted[at].1 -= 1;
            Some(wanted[at].0)
        };
        Self::of(
            owners
                .into_iter()
                .filter_map(|o| o.or_else(&mut take))
                .collect(),
        )
    }

    /// The member for a flow's number; `None` when there is no member.
    #[inline]
    #[must_use]
    pub fn pick(&self, number: u32) -> Option<PortIndex> {
        self.owners.get(self.bucket(number)?).copied()
    }

    /// The bucket of a flow's number; `None` when there is no member.
    #[inline]
    #[must_use]
    pub fn bucket(&self, number: u32) -> Option<usize> {
        Some(number.checked_rem(self.count)? as usize)
    }

    /// Gives a bucket, if there is one of that number, to a member.
    pub fn give(&mut self, bucket: usize, to: PortIndex) {
        if let Some(owner) = self.owners.get_mut(bucket) {
            *owner = to;
        }
    }

    /// How many buckets there are; 0 when there is no member.
    #[must_use]
    pub fn count(&self) -> usize {
        self.owners.len()
    }

    /// Who has each bucket, in order.
    #[must_use]
    pub fn owners(&self) -> &[PortIndex] {
        &self.owners
    }

    /// The buckets that another member has than in `old`: those whose frames on the way a Marker has to
    /// wait for. `None` when the tables have different counts: then any flow may have moved.
    pub fn moved_since(&self, old: &Self) -> Option<impl Iterator<Item = Moved>> {
        let pairs = old.owners.iter().zip(&self.owners).enumerate();
        let moved = pairs.filter(|(_, (from, to))| from != to);
        (self.count == old.count).then(|| {
            moved.map(|(bucket, (from, to))| Moved {
                bucket,
                from: *from,
                to: *to,
            })
        })
    }
}

/// The members without those named before, as many as can have a bucket.
fn distinct(members: &[PortIndex]) -> ArrayVec<PortIndex, BUCKETS_MAX> {
    let mut seen = ArrayVec::new();
    for member in members {
        if !seen.contains(member) && seen.try_push(*member).is_err() {
            break;
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ports(numbers: impl IntoIterator<Item = u16>) -> Vec<PortIndex> {
        numbers.into_iter().map(PortIndex).collect()
    }

    fn counts(table: &Buckets, members: &[PortIndex]) -> Vec<usize> {
        let has = |m: &PortIndex| table.owners().iter().filter(|o| *o == m).count();
        members.iter().map(has).collect()
    }

    fn assert_even(table: &Buckets, members: &[PortIndex]) {
        let counts = counts(table, members);
        assert_eq!(
            counts.iter().sum::<usize>(),
            table.count(),
            "others have some"
        );
        let least = counts.iter().min().unwrap();
        assert!(counts.iter().all(|c| c - least <= 1), "{counts:?}");
    }

    fn moved(new: &Buckets, old: &Buckets) -> usize {
        new.moved_since(old).unwrap().count()
    }

    #[test]
    fn a_new_table_is_the_kernels_remainder() {
        for n in 1..=256u16 {
            let members = ports((0..n).map(|m| m * 3 + 1));
            let table = Buckets::new(&members);
            assert!(table.count() > 128, "{n}");
            assert_even(&table, &members);
            for number in (0..2_000).chain(u32::MAX - 2_000..=u32::MAX) {
                let kernel = members[(number % u32::from(n)) as usize];
                assert_eq!(table.pick(number), Some(kernel));
            }
        }
    }

    #[test]
    fn no_member_has_no_choice() {
        let none = Buckets::new(&[]);
        assert_eq!((none.count(), none.pick(7)), (0, None));
        let two = ports([1, 2]);
        let back = Buckets::update(&none, &two);
        assert_eq!(back, Buckets::new(&two));
        assert_eq!(Buckets::update(&back, &[]), none);
    }

    #[test]
    fn odd_lists_of_members() {
        assert_eq!(
            Buckets::new(&ports([4, 4, 2, 4])),
            Buckets::new(&ports([4, 2]))
        );
        let many = Buckets::new(&ports(0..300));
        assert_eq!(many.owners(), ports(0..256));
        // More members than buckets: a table for all of them.
        let few = Buckets::new(&ports(0..129));
        assert_eq!(few.count(), 129);
        let grown = Buckets::update(&few, &ports(0..130));
        assert_eq!(grown, Buckets::new(&ports(0..130)));
        assert!(grown.moved_since(&few).is_none());
    }

    #[test]
    fn a_member_that_leaves_gives_its_buckets_and_no_others_move() {
        let (three, two) = (ports([1, 2, 3]), ports([1, 3]));
        let before = Buckets::new(&three);
        let after = Buckets::update(&before, &two);
        let moves: Vec<_> = after.moved_since(&before).unwrap().collect();
        assert_eq!(moves.len(), 85);
        assert!(
            moves
                .iter()
                .all(|m| m.from == PortIndex(2) && m.bucket % 3 == 1)
        );
        assert_even(&after, &two);
    }

    /// N-10: links come up one by one, and then too stations with consecutive addresses spread. A second
    /// member makes the table the kernel's.
    #[test]
    fn members_that_come_one_by_one_share_neighbouring_numbers() {
        let members = ports([1, 2, 3, 4]);
        let mut table = Buckets::new(&members[..1]);
        for n in 2..=4 {
            table = Buckets::update(&table, &members[..n]);
            assert_even(&table, &members[..n]);
            if n == 2 {
                assert_eq!(table, Buckets::new(&members[..2]));
            }
            for first in 0..=table.count() - 4 * n {
                let near = &table.owners()[first..first + 4 * n];
                for member in &members[..n] {
                    let has = near.iter().filter(|o| *o == member).count();
                    assert!((2..=6).contains(&has), "{has} of {near:?} at {first}");
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        /// nobody is a whole bucket away from its part, and with equal weights it is the plain update.
        #[test]
        fn parts_are_as_the_weights(
            weights in proptest::collection::vec(0..200_000u32, 1..12),
            before in 1..12u16,
        ) {
            let old = Buckets::new(&ports(0..before));
            let weighted: Vec<_> = (5..).map(PortIndex).zip(weights.iter().copied()).collect();
            let table = Buckets::update_weighted(&old, &weighted);
            let members: Vec<PortIndex> = weighted.iter().map(|(m, _)| *m).collect();
            let all: u64 = weights.iter().map(|w| u64::from(*w).max(1)).sum();
            for (has, weight) in counts(&table, &members).into_iter().zip(&weights) {
                let part = table.count() as u64 * u64::from(*weight).max(1) / all;
                prop_assert!((part..=part + 1).contains(&(has as u64)), "{has} for {part}");
            }
            let equal: Vec<_> = members.iter().map(|m| (*m, 10_000)).collect();
            prop_assert_eq!(
                Buckets::update_weighted(&old, &equal),
                Buckets::update(&old, &members)
            );
        }

        /// N-10: whatever came before, one member more or less moves at most its share.
        #[test]
        fn one_member_moves_at_most_its_share(
            first in 1..=24u16,
            changes in proptest::collection::vec(any::<proptest::sample::Index>(), 1..24),
        ) {
            let mut members = ports(0..first);
            let mut table = Buckets::new(&members);
            for (fresh, change) in (100..).zip(&changes) {
                let before = members.len();
                let at = change.index(before + 1);
                if at < before && before > 1 {
                    members.remove(at);
                } else {
                    members.insert(at, PortIndex(fresh));
                }
                let next = Buckets::update(&table, &members);
                // One of `n` left, or an `n`-th came.
                let n = before.max(members.len());
                prop_assert!(moved(&next, &table) <= BUCKETS_MAX.div_ceil(n));
                assert_even(&next, &members);
                table = next;
            }
        }

        /// Any other set: nothing moves between members that stay unless balance asks for it.
        #[test]
        fn any_change_moves_as_little_as_balance_allows(
            before in proptest::collection::btree_set(0..40u16, 1..20),
            after in proptest::collection::btree_set(0..40u16, 1..20),
        ) {
            let (before, after) = (ports(before), ports(after));
            let old = Buckets::new(&before);
            let new = Buckets::update(&old, &after);
            assert_even(&new, &after);
            prop_assert_eq!(&Buckets::update(&new, &after), &new);
            // Each bucket that moved came to a member that lacked it.
            let had = counts(&old, &after);
            let has = counts(&new, &after);
            let gained: usize = has.iter().zip(&had).map(|(has, had)| has.saturating_sub(*had)).sum();
            prop_assert_eq!(moved(&new, &old), gained);
        }
    }
}
