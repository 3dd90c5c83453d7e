//! Which queue should go to which worker, by how busy they were: a pure policy.
//!
//! Loads are measured over one interval after the other (five seconds unless configured otherwise), in
//! thousandths of the interval. After each, at most one queue moves, and only when all of this holds:
//!
//! * its worker was busy for at least [`BUSY_MIN`] of the interval: below that a worker keeps up, and a move
//!   would cost caches and gain nothing;
//! * giving queues away, this one first, would relieve that worker by at least [`GAIN_MIN`], receivers
//!   counted: nobody becomes as busy as it was;
//! * the move would also have relieved the two workers by the loads of the interval before, so that a load
//!   which comes and goes does not drag queues to and fro.
//!
//! Open vSwitch users know the same two numbers as 95 % and 25 %; we begin earlier, because a worker that
//! shares its CPU is late before it is busy all the time.
//!
//! **It ends.** Every move lowers the greater load of the two workers, so the sum of the squares falls with
//! each: loads that stay as they are lead to no more moves, after finitely many.

use crate::queue::QueueId;
use vswitch_base::{Duration, Instant};

/// A worker that was busy for less, in thousandths of the interval, keeps its queues.
pub const BUSY_MIN: u32 = 800;
/// The least relief of a worker, in thousandths of the interval, that is worth moving queues.
pub const GAIN_MIN: u32 = 250;

/// A queue and the load it was in the last interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Measured {
    /// Which one.
    pub queue: QueueId,
    /// Who serves it, or is about to.
    pub worker: usize,
    /// What part of the interval it kept its worker busy, in thousandths.
    pub share: u16,
    /// The same for the interval before; `None` where the queue was not there yet, or is changing
    /// workers: such a queue is not proposed.
    pub before: Option<u16>,
}

/// A queue to move, and why. Loads in thousandths of the last interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// Which one.
    pub queue: QueueId,
    /// Who serves it.
    pub from: usize,
    /// Who shall.
    pub to: usize,
    /// Its own load.
    pub share: u32,
    /// The load of who gives it away. Can be above 1,000 when a queue arrived in the interval.
    pub from_load: u32,
    /// The load of who gets it.
    pub to_load: u32,
}

/// When to look, and when it was done last.
#[derive(Debug)]
pub struct Balancer {
    interval: Duration,
    since: Instant,
}

impl Balancer {
    /// A balancer whose first interval begins now; with an interval of zero it never moves anything.
    #[must_use]
    pub const fn new(interval: Duration, now: Instant) -> Self {
        Self {
            interval,
            since: now,
        }
    }

    /// When the interval ends; `None`: never.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        (self.interval > Duration::ZERO).then(|| self.since + self.interval)
    }

    /// Ends the interval if its time has come, and returns how long it was; the next one begins.
    pub fn end_interval(&mut self, now: Instant) -> Option<Duration> {
        if self.due().is_none_or(|due| due > now) {
            return None;
        }
        let length = now.saturating_since(self.since);
        self.since = now;
        Some(length)
    }
}

/// The move to make after an interval, if one is worth it.
#[must_use]
pub fn propose(queues: &[Measured], workers: usize) -> Option<Move> {
    let loads = sums(queues, workers, |q| q.share.into());
    let before = sums(queues, workers, |q| q.before.unwrap_or(0).into());
    let mut order: Vec<usize> = (0..workers).collect();
    order.sort_by_key(|w| std::cmp::Reverse(loads[*w]));
    order
        .into_iter()
        .take_while(|from| loads[*from] >= BUSY_MIN)
        .find_map(|from| relieve(from, queues, &loads, &before))
}

fn sums(queues: &[Measured], workers: usize, load: impl Fn(&Measured) -> u32) -> Vec<u32> {
    let mut sums = vec![0; workers];
    for queue in queues {
        if let Some(sum) = sums.get_mut(queue.worker) {
            *sum += load(queue);
        }
    }
    sums
}

/// Gives queues of one worker away, each to the least busy, for as long as that relieves it; the first of
/// those moves, if all of them together are worth it.
fn relieve(from: usize, queues: &[Measured], loads: &[u32], before: &[u32]) -> Option<Move> {
    let own = queues.iter().filter(|q| q.worker == from);
    let mut own: Vec<&Measured> = own.filter(|q| q.share > 0 && q.before.is_some()).collect();
    let mut loads_then = loads.to_vec();
    let mut first = None;
    let mut worst_receiver = 0;
    loop {
        let others = (0..loads.len()).filter(|w| *w != from);
        let to = others.min_by_key(|w| loads_then[*w])?;
        let helped = |queue: &Measured| first.is_some() || would_have_helped(queue, to, before);
        let after = |queue: &Measured| {
            let share = u32::from(queue.share);
            (loads_then[from].saturating_sub(share)).max(loads_then[to] + share)
        };
        let candidates = own.iter().enumerate();
        let best = candidates
            .filter(|(_, queue)| helped(queue) && after(queue) < loads_then[from])
            .min_by_key(|(_, queue)| (after(queue), queue.share, queue.queue));
        let Some((at, queue)) = best else { break };
        let share = u32::from(queue.share);
        first.get_or_insert(Move {
            queue: queue.queue,
            from,
            to,
            share,
            from_load: loads[from],
            to_load: loads[to],
        });
        own.swap_remove(at);
        loads_then[from] = loads_then[from].saturating_sub(share);
        loads_then[to] += share;
        worst_receiver = worst_receiver.max(loads_then[to]);
    }
    let reached = loads_then[from].max(worst_receiver);
    first.filter(|_| loads[from].saturating_sub(reached) >= GAIN_MIN)
}

/// Whether giving the queue to `to` would have lowered the greater load of the two an interval earlier.
fn would_have_helped(queue: &Measured, to: usize, before: &[u32]) -> bool {
    let (share, from) = (u32::from(queue.before.unwrap_or(0)), before[queue.worker]);
    from.saturating_sub(share).max(before[to] + share) < from.max(before[to])
}

#[cfg(test)]
mod tests;
