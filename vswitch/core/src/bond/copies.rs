//! Copies of one frame by several members of a bond, of a broadcast one or while a bucket is handed over (N-01):
//! the first is let in (N-21).
//!
//! **Rule.** Each frame that is let in leaves a *debt*: every other member owes a copy of it, for
//! [`WINDOW_MS`]. A copy by a member that owes one pays the oldest debt and is dropped; one by a member that owes
//! none is a frame of its own. So a frame is let in once if any member brings it, whichever is first, and equal
//! frames sent `k` times are let in `k` times, in whatever order the members bring them.
//!
//! **Shape.** Copies come by queues of several workers at once, so the table is shared: buckets of eight
//! atomic words, one cache line each, no lock, nothing allocated. A word is a debt:
//!
//! ```text
//!   print:32 | let in at:16 (ms) | owed:16, a bit for each member        0: free
//! ```
//!
//! A debt that is over its time is free. A frame's bucket, and its print, come from a hash of all of it under
//! a key that nobody knows: which VLAN, and what follows the addresses but for the tag, so that a tag beside
//! the bytes and one among them are the same.
//!
//! **Why two workers let in one.** Each looks for a debt of the frame and, finding none, writes one into the
//! *first* free word of the bucket, by exchange. Suppose both succeed, in words `i < j`. Whoever wrote `j`
//! found `i` taken: by the other's debt, but then it would have found that and paid; or by another frame's,
//! but then `i` was not free for the other to write. Words become free by time, and in a full bucket by being
//! paid, so the second can happen where that falls between the two looks, some tens of nanoseconds: a copy
//! more. All that is known of a debt is in its word: relaxed accesses do.
//!
//! **What goes wrong, and how often.**
//! * Another frame is taken for a copy if 44 bits of hash agree while it is owed: with `d` debts open,
//!   `d / 2^44` for each frame; 10,000 debts, one frame in 1.8 billion.
//! * More than eight debts in a bucket displace paid ones first, then the oldest: its copies are let in again.
//!   32,768 frames in 50 ms fill the table.
//! * Equal frames within 50 ms of which each was lost by another member: one of them is let in.
//! * Segments that the members' devices joined differently (GRO) are not equal, and are let in as they come.

#[cfg(all(test, shuttle))]
mod schedule;
#[cfg(test)]
mod tests;

use crate::frame::Frame;
use crate::ingress::Classified;
use crate::sync::{AtomicU64, Ordering, mutant};
use std::hash::{BuildHasher, Hash, Hasher};
use vswitch_base::Instant;

/// How long copies of a frame may be apart: what a worker may lag behind another, many times over.
pub const WINDOW_MS: u16 = 50;
/// Members that it tells apart.
pub const MEMBERS_MAX: u8 = 16;

const BUCKETS: usize = 1 << 12;
const WORDS_PER_BUCKET: usize = 8;
/// Exchanges lost to other workers before a frame is let in without a debt: each lost one is another's
/// frame gone on.
const TRIES: usize = 32;

const OWED_MASK: u64 = 0xffff;
const TIME_SHIFT: u32 = 16;
const PRINT_SHIFT: u32 = 32;

/// A word of the table.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Debt(u64);

impl Debt {
    fn new(print: u32, now: Moment, owed: u16) -> Self {
        Self(u64::from(print) << PRINT_SHIFT | u64::from(now.0) << TIME_SHIFT | u64::from(owed))
    }

    /// Milliseconds since, if it still counts. A worker whose breath began earlier sees it in the future.
    fn age(self, now: Moment) -> Option<u16> {
        let since = now.0.wrapping_sub((self.0 >> TIME_SHIFT & 0xffff) as u16);
        let ahead = since.wrapping_neg();
        match (since <= WINDOW_MS, ahead <= WINDOW_MS) {
            (true, _) => Some(since),
            (false, true) => Some(0),
            (false, false) => None,
        }
    }

    const fn is_of(self, print: u32) -> bool {
        self.0 >> PRINT_SHIFT == print as u64
    }

    const fn owes(self, member: u64) -> bool {
        self.0 & member != 0
    }

    const fn is_paid(self) -> bool {
        self.0 & OWED_MASK == 0
    }
}

/// Milliseconds of the clock, the low 16 bits: a debt of 65 s ago looks new, if it was neither paid nor
/// displaced since.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Moment(u16);

impl From<Instant> for Moment {
    fn from(at: Instant) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
        let ms = (at.as_nanos() / 1_000_000) as u16;
        Self(ms)
    }
}

#[repr(align(64))]
#[derive(Default)]
struct Bucket([AtomicU64; WORDS_PER_BUCKET]);

/// See the module. 256 KiB.
pub struct Copies {
    buckets: Box<[Bucket]>,
    key: hashbrown::DefaultHashBuilder,
}

impl std::fmt::Debug for Copies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Copies").finish_non_exhaustive()
    }
}

impl Default for Copies {
    fn default() -> Self {
        Self::with_buckets(BUCKETS)
    }
}

/// What a look into a bucket found.
enum Found {
    /// This member owes this frame: the word it is in.
    Debt(usize, Debt),
    /// It does not; where a debt is to be written.
    Room(usize, Debt),
}

impl Copies {
    /// A power of two of them.
    fn with_buckets(buckets: usize) -> Self {
        Self {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            key: hashbrown::DefaultHashBuilder::default(),
        }
    }

    /// Whether a frame by `member` is let in; `members` has a bit for each.
    fn lets_in(&self, hash: u64, member: u64, members: u16, now: Moment) -> bool {
        let (bucket, print) = self.place(hash);
        for _ in 0..TRIES {
            match look(bucket, print, member, now) {
                Found::Debt(at, debt) => {
                    if replace(&bucket.0[at], debt, Debt(debt.0 & !member)) {
                        return false;
                    }
                }
                Found::Room(at, was) => {
                    // A member's bit is one of sixteen.
                    let others = u64::from(members) & !member;
                    let owed = u16::try_from(others).unwrap_or(0);
                    if replace(&bucket.0[at], was, Debt::new(print, now, owed)) {
                        return true;
                    }
                }
            }
        }
        true
    }

    /// As [`Self::lets_in`], and nothing is written.
    fn would_let_in(&self, hash: u64, member: u64, now: Moment) -> bool {
        let (bucket, print) = self.place(hash);
        matches!(look(bucket, print, member, now), Found::Room(..))
    }

    #[inline]
    fn place(&self, hash: u64) -> (&Bucket, u32) {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits choose")]
        let number = hash as usize & (self.buckets.len() - 1);
        let print = (hash >> PRINT_SHIFT) as u32;
        (&self.buckets[number], print)
    }

    fn hash(&self, frame: &Frame<'_>, class: &Classified) -> u64 {
        let mut hasher = self.key.build_hasher();
        class.dst.get().hash(&mut hasher);
        class.src.get().hash(&mut hasher);
        class.tci.0.hash(&mut hasher);
        if let Some(inner) = class.inner {
            inner.tpid.ether_type().hash(&mut hasher);
            inner.tci.0.hash(&mut hasher);
        }
        let rest = frame.bytes.get(usize::from(class.cut)..);
        hasher.write(rest.unwrap_or_default());
        hasher.finish()
    }
}

/// The oldest debt of that frame by that member; or the first free word, else the first that is paid, else
/// the oldest.
fn look(bucket: &Bucket, print: u32, member: u64, now: Moment) -> Found {
    let mut debt: Option<(u16, usize, Debt)> = None;
    let mut room: Option<(u32, usize, Debt)> = None;
    for (i, word) in bucket.0.iter().enumerate() {
        let found = Debt(word.load(Ordering::Relaxed));
        let age = found.age(now).filter(|_| found.0 != 0);
        if let Some(age) = age
            && found.is_of(print)
            && found.owes(member)
            && debt.is_none_or(|(oldest, ..)| age > oldest)
        {
            debt = Some((age, i, found));
        }
        // The least worth keeping.
        let worth = match age {
            None => 0,
            Some(_) if found.is_paid() => 1,
            Some(age) => 2 + u32::from(WINDOW_MS - age),
        };
        if room.is_none_or(|(least, ..)| worth < least) {
            room = Some((worth, i, found));
        }
    }
    match (debt, room) {
        (Some((_, at, debt)), _) => Found::Debt(at, debt),
        (None, Some((_, at, was))) => Found::Room(at, was),
        // A bucket has words.
        (None, None) => Found::Room(0, Debt(0)),
    }
}

#[inline]
fn replace(word: &AtomicU64, was: Debt, new: Debt) -> bool {
    if mutant("store_over_whatever_is_there") {
        word.store(new.0, Ordering::Relaxed);
        return true;
    }
    word.compare_exchange(was.0, new.0, Ordering::Relaxed, Ordering::Relaxed)
        .is_ok()
}

/// What a member lets in where several bring each frame: those that no other member has brought yet.
#[derive(Clone, Debug)]
pub struct Once {
    copies: crate::sync::Arc<Copies>,
    member: u8,
    members: u16,
}

/// The same table, asked in the same way.
impl PartialEq for Once {
    fn eq(&self, other: &Self) -> bool {
        crate::sync::Arc::ptr_eq(&self.copies, &other.copies)
            && (self.member, self.members) == (other.member, other.members)
    }
}

impl Eq for Once {}

impl Once {
    /// Member number `member` of `of` members, which all have the table `copies`; `None` when the table cannot
    /// tell it from others ([`MEMBERS_MAX`]).
    #[must_use]
    pub fn new(copies: &crate::sync::Arc<Copies>, member: usize, of: usize) -> Option<Self> {
        let most = usize::from(MEMBERS_MAX);
        let member = u8::try_from(member).ok().filter(|m| *m < MEMBERS_MAX)?;
        let members = (0..of.min(most)).fold(0, |bits, number| bits | 1 << number);
        Some(Self {
            copies: crate::sync::Arc::clone(copies),
            member,
            members,
        })
    }

    /// Whether a classified frame is let in; its copies then are not.
    #[inline]
    pub(crate) fn lets_in(&self, frame: &Frame<'_>, class: &Classified, now: Instant) -> bool {
        let hash = self.copies.hash(frame, class);
        let member = 1 << self.member;
        self.copies.lets_in(hash, member, self.members, now.into())
    }

    /// Whether it would be.
    pub(crate) fn would_let_in(&self, frame: &Frame<'_>, class: &Classified, now: Instant) -> bool {
        let hash = self.copies.hash(frame, class);
        self.copies.would_let_in(hash, 1 << self.member, now.into())
    }
}
