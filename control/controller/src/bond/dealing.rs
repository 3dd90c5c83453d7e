//! Who gets which buckets, by what they were seen to send (features.md 3.4.3, 3.4.6; K-22, K-37).
//!
//! A member's load is the bytes of its buckets, and counts by its speed. Every [`INTERVAL`]:
//!
//! | stations are pinned | as Open vSwitch: buckets move one by one from the member with most to the one with least, as long as the two differ by more than 1/32 and [`WORTH_MOVING`]. Each move has all stations of the bridge announced, so few are made. The past counts half of the present |
//! | sources are rewritten | as the kernel: the buckets that sent are dealt anew, each to the member that has least. Unlike there the loudest come first, and all stay where that does not take at least 1/32 from the busiest |
//!
//! Neither leaves the busiest member busier than it was, and both come to rest where loads are steady.
//!
//! Pure: bytes and speeds in, another table or none out.

use vswitch_base::{Duration, PortIndex};
use vswitch_core::bond::Buckets;
use vswitch_core::bond::loads::Bytes;

/// From one look to the next, the kernel's and Open vSwitch's.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// Bytes by which two members have to differ before a bucket moves.
pub const WORTH_MOVING: u64 = 100_000;

/// A member and what it carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// The member.
    pub member: PortIndex,
    /// Mbit/s, or anything above zero that is equal for all where speeds are not known.
    pub speed: u32,
    /// Bytes of its buckets.
    pub bytes: u64,
}

impl Part {
    /// What it carries beside what `other` does, by their speeds: comparable numbers.
    fn against(self, other: Self) -> (u128, u128) {
        let scaled = |bytes: u64, speed: u32| u128::from(bytes) * u128::from(speed.max(1));
        (
            scaled(self.bytes, other.speed),
            scaled(other.bytes, self.speed),
        )
    }

    fn is_busier_than(self, other: Self) -> bool {
        let (ours, theirs) = self.against(other);
        ours > theirs
    }
}

/// What each member carries under a table.
#[must_use]
pub fn parts(buckets: &Buckets, bytes: &Bytes, members: &[(PortIndex, u32)]) -> Vec<Part> {
    let owners = || buckets.owners().iter().zip(bytes);
    let of = |member| owners().filter(move |(owner, _)| **owner == member);
    let part = |(member, speed): &(PortIndex, u32)| Part {
        member: *member,
        speed: *speed,
        bytes: of(*member).fold(0, |all, (_, bytes)| all.saturating_add(*bytes)),
    };
    members.iter().map(part).collect()
}

/// The busiest; of equals the first.
fn busiest(parts: &[Part]) -> Option<Part> {
    let mut parts = parts.iter().copied();
    let first = parts.next()?;
    Some(parts.fold(first, |most, part| {
        if part.is_busier_than(most) {
            part
        } else {
            most
        }
    }))
}

/// For pinned stations: the table after what is worth moving has moved; `None`: nothing is.
#[must_use]
pub fn shift(buckets: &Buckets, bytes: &Bytes, members: &[(PortIndex, u32)]) -> Option<Buckets> {
    let mut table = buckets.clone();
    let mut moved = false;
    // Each move brings the two nearer to each other, so that this ends; a bucket seldom moves twice.
    for _ in 0..2 * table.count() {
        let Some((bucket, to)) = worth_moving(&table, bytes, members) else {
            break;
        };
        table.give(bucket, to);
        moved = true;
    }
    moved.then_some(table)
}

/// The bucket that is best moved next, and to whom.
fn worth_moving(
    table: &Buckets,
    bytes: &Bytes,
    members: &[(PortIndex, u32)],
) -> Option<(usize, PortIndex)> {
    let mut parts = parts(table, bytes, members);
    parts.sort_by(|a, b| {
        let (ours, theirs) = a.against(*b);
        theirs.cmp(&ours).then(a.member.cmp(&b.member))
    });
    let to = *parts.last()?;
    for from in parts {
        // What both have, from's bytes by the speed of to, is at best as long as this much moves:
        let (has, should) = from.against(to);
        let (fast, slow) = (u128::from(from.speed.max(1)), u128::from(to.speed.max(1)));
        let apart = has.saturating_sub(should) / slow;
        if apart <= u128::from(WORTH_MOVING) || apart <= should / slow / 32 {
            return None;
        }
        let ideal = has.saturating_sub(should) / (fast + slow);
        // More than nine tenths off is not worth it; nor may the other one be busier then than this one was.
        let most = (ideal * 19 / 10).min(has.saturating_sub(should) / fast * 19 / 20);
        let owned = table.owners().iter().zip(bytes).enumerate();
        let owned = owned.filter(|(_, (owner, bytes))| **owner == from.member && **bytes > 0);
        let fits = owned.filter(|(_, (_, bytes))| u128::from(**bytes) <= most);
        let best = fits.min_by_key(|(_, (_, bytes))| u128::from(**bytes).abs_diff(ideal));
        if let Some((bucket, _)) = best {
            return Some((bucket, to.member));
        }
    }
    None
}

/// For flows that any member may send: the table after all that sent was dealt anew; `None`: it stays.
#[must_use]
pub fn deal(buckets: &Buckets, bytes: &Bytes, members: &[(PortIndex, u32)]) -> Option<Buckets> {
    let before = busiest(&parts(buckets, bytes, members))?;
    let mut loud: Vec<usize> = (0..buckets.count()).filter(|b| bytes[*b] > 0).collect();
    loud.sort_by_key(|bucket| std::cmp::Reverse(bytes[*bucket]));
    let mut table = buckets.clone();
    let mut given: Vec<Part> = members
        .iter()
        .map(|(member, speed)| Part {
            member: *member,
            speed: *speed,
            bytes: 0,
        })
        .collect();
    for bucket in loud {
        let with = |part: &Part| Part {
            bytes: part.bytes.saturating_add(bytes[bucket]),
            ..*part
        };
        let owner = buckets.owners()[bucket];
        let mut least: Option<usize> = None;
        for (at, part) in given.iter().enumerate() {
            let better = |other: usize| {
                let (one, two) = (with(part), with(&given[other]));
                let (ours, theirs) = one.against(two);
                // Of equals the one that has it.
                ours < theirs || ours == theirs && part.member == owner
            };
            if least.is_none_or(better) {
                least = Some(at);
            }
        }
        let at = least?;
        given[at] = with(&given[at]);
        table.give(bucket, given[at].member);
    }
    let after = busiest(&given)?;
    let (was, is) = before.against(after);
    (is < was - was / 32 && table != *buckets).then_some(table)
}

#[cfg(test)]
mod tests;
