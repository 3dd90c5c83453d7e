//! Flows on their way from one member to another, in the mode whose partner can say that all has arrived (N-10,
//! features.md 3.3.9).
//!
//! ```text
//!   a bucket gets another member    the workers hold        each member that it leaves is asked by a Marker
//!   ───────────────────────────► HOLD ────────────► HELD ──────────────► ASKED ── all answered ──► released
//!                                                    └ nobody can be asked: GUARD ─────────────────► released
//! ```
//!
//! A member whose link is lost is not waited for: what was on it has arrived or never will. A partner that does
//! not answer Markers has [`GUARD`] to deliver what is on its way. However it goes, nothing is held for longer
//! than [`HOLD_MAX`].

use super::{Bond, Happened};
use std::collections::BTreeSet;
use std::fmt;
use vswitch_api::types::Severity;
use vswitch_base::{Duration, Generation, Instant, PortIndex};
use vswitch_core::bond::{Hashed, Transmit};

/// What a partner gets that cannot be asked.
pub const GUARD: Duration = Duration::from_millis(5);
/// The longest that a frame waits.
pub const HOLD_MAX: Duration = Duration::from_millis(200);

/// Who can be asked whether all has arrived.
pub trait Ask {
    /// Asks by that member; `false`: no answer is to be expected.
    fn ask(&mut self, member: PortIndex, now: Instant) -> bool;
    /// Whether the answer is awaited.
    fn asks(&self, member: PortIndex) -> bool;
}

/// How a move ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// The partner said that all had arrived.
    Answered,
    /// It could not be asked, and had the time that it should need.
    Guarded,
    /// The links that they left were lost meanwhile.
    Lost,
    /// It did not answer in time, or a worker did not follow: frames may have overtaken others.
    Overdue,
}

/// A move that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moved {
    /// Buckets that have another member.
    pub buckets: usize,
    /// Of so many.
    pub of: usize,
    /// How long their frames waited.
    pub took: Duration,
    /// Whether their order was kept.
    pub order: Order,
}

impl Moved {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self.order {
            Order::Answered | Order::Guarded | Order::Lost => Severity::Info,
            Order::Overdue => Severity::Warning,
        }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (buckets, of) = (self.buckets, self.of);
        let ms = self.took.as_nanos() / 1_000_000;
        let order = match self.order {
            Order::Answered => "the partner said that all sent before had arrived",
            Order::Guarded => "the partner could not be asked by a Marker and had a moment instead",
            Order::Lost => "the links that they left were lost meanwhile",
            Order::Overdue => "it was not known in time whether all sent before had arrived",
        };
        write!(
            f,
            "{buckets} of {of} shares of the flows changed members, held for {ms} ms: {order}"
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The next snapshot tells the workers.
    Hold,
    /// That one did.
    Held(Generation),
    /// All workers hold, and the members that could be asked were.
    Asked,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Move {
    buckets: Box<[bool]>,
    /// The members that they leave and that still work.
    from: BTreeSet<PortIndex>,
    stage: Stage,
    began: Instant,
    until: Instant,
    /// A member that was to be waited for lost its link.
    lost: bool,
    /// Some member could not be asked: until when its frames are waited for.
    guard: Option<Instant>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Moving {
    present: Option<Move>,
    /// All workers use this snapshot or a later one.
    observed: Generation,
}

impl Moving {
    /// Takes in that flows are sent otherwise from now on. `works`: what was sent by a member arrives.
    pub fn follow(
        &mut self,
        before: &Hashed,
        after: &Hashed,
        works: impl Fn(PortIndex) -> bool,
        now: Instant,
    ) {
        let count = after.buckets.count();
        let mut buckets = vec![false; count].into_boxed_slice();
        let mut from = BTreeSet::new();
        let known = (before.key, before.seed) == (after.key, after.seed);
        match after.buckets.moved_since(&before.buckets).filter(|_| known) {
            Some(moved) => {
                for moved in moved.filter(|moved| works(moved.from)) {
                    buckets[moved.bucket] = true;
                    from.insert(moved.from);
                }
            }
            // Any flow may have another bucket.
            None => {
                from.extend(
                    before
                        .buckets
                        .owners()
                        .iter()
                        .copied()
                        .filter(|m| works(*m)),
                );
                // With one member before and after, nothing moves.
                let alone =
                    from.len() == 1 && after.buckets.owners().iter().all(|m| from.contains(m));
                buckets.fill(!from.is_empty() && !alone);
            }
        }
        if !buckets.contains(&true) {
            return;
        }
        match &mut self.present {
            // What is asked again has to be asked after the workers hold the new ones too. The time that
            // frames have waited counts.
            Some(present) if present.buckets.len() == count => {
                present
                    .buckets
                    .iter_mut()
                    .zip(&buckets)
                    .for_each(|(held, new)| *held |= new);
                present.from.extend(from);
                present.stage = Stage::Hold;
                present.guard = None;
            }
            _ => {
                self.present = Some(Move {
                    buckets,
                    from,
                    stage: Stage::Hold,
                    began: now,
                    until: now + HOLD_MAX,
                    lost: false,
                    guard: None,
                });
            }
        }
    }

    /// What the passes are told is held.
    #[must_use]
    pub fn held(&self) -> Option<Box<[bool]>> {
        self.present.as_ref().map(|present| present.buckets.clone())
    }

    /// A snapshot of that number says what is held.
    pub fn published(&mut self, generation: Generation) {
        if let Some(present) = &mut self.present
            && present.stage == Stage::Hold
        {
            present.stage = Stage::Held(generation);
        }
    }

    /// All workers use that snapshot or a later one.
    pub const fn observed(&mut self, generation: Generation) {
        self.observed = generation;
    }

    /// Lets time and answers pass; `works` as for [`Self::follow`].
    pub fn advance(
        &mut self,
        partner: &mut impl Ask,
        works: impl Fn(PortIndex) -> bool,
        now: Instant,
    ) -> Option<Moved> {
        let present = self.present.as_mut()?;
        let before = present.from.len();
        present.from.retain(|member| works(*member));
        present.lost |= present.from.len() < before;
        if matches!(present.stage, Stage::Held(told) if told <= self.observed) {
            present.stage = Stage::Asked;
            let all = present.from.len();
            present.from.retain(|member| partner.ask(*member, now));
            present.guard = (present.from.len() < all).then(|| now + GUARD);
        } else if present.stage == Stage::Asked {
            present.from.retain(|member| partner.asks(*member));
        }
        // Where every link that was to be waited for is lost there is nobody to ask either.
        let arrived = present.from.is_empty() && present.guard.is_none_or(|at| at <= now);
        let order = match present.guard {
            None if arrived && present.lost => Order::Lost,
            None if arrived => Order::Answered,
            Some(_) if arrived => Order::Guarded,
            _ if present.until <= now => Order::Overdue,
            _ => return None,
        };
        let moved = Moved {
            buckets: present.buckets.iter().filter(|held| **held).count(),
            of: present.buckets.len(),
            took: now.saturating_since(present.began),
            order,
        };
        self.present = None;
        Some(moved)
    }

    /// When [`Self::advance`] has to be called though nothing came.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let present = self.present.as_ref()?;
        // While an answer is awaited the guard's time alone ends nothing.
        let guard = present.guard.filter(|_| present.from.is_empty());
        Some(guard.map_or(present.until, |at| at.min(present.until)))
    }
}

impl Bond {
    /// Orders the moves from how the bond sent `before` to how it sends now, and holds what has to wait.
    pub(super) fn order_moves(&mut self, before: &Transmit, now: Instant) -> Option<Happened> {
        let mut moving = std::mem::take(&mut self.moving);
        let mut over = None;
        match (before, &self.transmit, &mut self.negotiation) {
            (Transmit::Hashed(was), Transmit::Hashed(is), Some(lacp)) => {
                // One that is no member any more was taken out while it worked.
                let idle = self.members.iter();
                let idle = idle.filter(|m| !m.is_usable() || !lacp.sends(m.index));
                let idle: BTreeSet<PortIndex> = idle.map(|m| m.index).collect();
                let works = |member| !idle.contains(&member);
                moving.follow(was, is, works, now);
                over = moving.advance(lacp, works, now);
                self.slow.extend(lacp.payloads(now));
            }
            _ => moving.present = None,
        }
        if let Transmit::Hashed(hashed) = &mut self.transmit {
            hashed.moving = moving.held();
        }
        self.moving = moving;
        over.map(Happened::Moved)
    }

    /// A snapshot of that number says how the bond sends.
    pub fn published(&mut self, generation: Generation) {
        self.moving.published(generation);
    }

    /// All workers use that snapshot or a later one.
    pub const fn observed(&mut self, generation: Generation) {
        self.moving.observed(generation);
    }
}

#[cfg(test)]
mod tests;
