//! Atomics and the one kind of lock, swapped for the model checker's under `cfg(shuttle)`.
//!
//! Concurrent code of this crate takes its primitives from here so that the schedule tests run the
//! code that ships. Shuttle explores sequentially consistent executions only: memory orderings are
//! argued in comments where they are used.
//!
//! **Mutants.** A schedule test counts only with a mistake that it notices. Those mistakes stand in the
//! code they spoil, behind [`mutant`], which is a constant `false` in everything that ships.
//! `scripts/schedule-tests.sh` lists them with the test that must fail on each.

#[cfg(not(shuttle))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

/// Whether the schedule tests asked for this mistake (`VSWITCH_MUTANT`).
#[cfg(not(shuttle))]
#[inline]
pub(crate) const fn mutant(_name: &str) -> bool {
    false
}

/// The same in a build for the model checker: one build has all mutants.
#[cfg(shuttle)]
pub(crate) fn mutant(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("VSWITCH_MUTANT").unwrap_or_default()) == name
}

/// A moment at which the model checker may run another thread. Shuttle switches before an operation on
/// its primitives only; what follows a store up to the next such operation would be one step.
#[inline]
pub(crate) fn preempt() {
    #[cfg(shuttle)]
    AtomicU64::new(0).load(Ordering::Relaxed);
}

/// Runs a body under many schedules with at most three preemptions that count (shuttle's PCT). A worker with a
/// batch on its stack takes more than shuttle's 32 KiB.
#[cfg(all(test, shuttle))]
pub(crate) fn explore(body: impl Fn() + Send + Sync + 'static, runs: usize) {
    let mut config = shuttle::Config::new();
    config.stack_size = 1 << 18;
    let scheduler = shuttle::scheduler::PctScheduler::new(3, runs);
    shuttle::Runner::new(scheduler, config).run(body);
}

/// An unbounded queue, first in first out. The sender allocates; an empty check is a load or two.
#[cfg(not(shuttle))]
pub(crate) type Fifo<T> = crossbeam::queue::SegQueue<T>;

/// A bounded queue, first in first out, whose slots are made at the start.
#[cfg(not(shuttle))]
pub(crate) type Bounded<T> = crossbeam::queue::ArrayQueue<T>;

#[cfg(shuttle)]
pub(crate) use checked::{Bounded, Fifo};

/// The queues with a lock that the model checker knows.
#[cfg(shuttle)]
mod checked {
    use super::{Mutex, mutant};
    use std::collections::VecDeque;

    #[derive(Debug)]
    pub(crate) struct Fifo<T>(Mutex<VecDeque<T>>);

    impl<T> Default for Fifo<T> {
        fn default() -> Self {
            Self(Mutex::new(VecDeque::new()))
        }
    }

    impl<T> Fifo<T> {
        pub(crate) fn push(&self, value: T) {
            self.0.lock().unwrap().push_back(value);
        }

        pub(crate) fn pop(&self) -> Option<T> {
            let mut queue = self.0.lock().unwrap();
            if mutant("newest_first") {
                return queue.pop_back();
            }
            queue.pop_front()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.0.lock().unwrap().is_empty()
        }
    }

    #[derive(Debug)]
    pub(crate) struct Bounded<T> {
        room: usize,
        fifo: Fifo<T>,
    }

    impl<T> Bounded<T> {
        pub(crate) fn new(room: usize) -> Self {
            let fifo = Fifo::default();
            Self { room, fifo }
        }

        pub(crate) fn push(&self, value: T) -> Result<(), T> {
            let mut queue = self.fifo.0.lock().unwrap();
            if queue.len() < self.room {
                queue.push_back(value);
                Ok(())
            } else {
                Err(value)
            }
        }

        pub(crate) fn force_push(&self, value: T) -> Option<T> {
            let mut queue = self.fifo.0.lock().unwrap();
            let oldest = if queue.len() < self.room {
                None
            } else {
                queue.pop_front()
            };
            queue.push_back(value);
            oldest
        }

        pub(crate) fn pop(&self) -> Option<T> {
            self.fifo.pop()
        }

        pub(crate) fn is_empty(&self) -> bool {
            self.fifo.is_empty()
        }

        pub(crate) fn is_full(&self) -> bool {
            self.fifo.0.lock().unwrap().len() == self.room
        }

        pub(crate) fn len(&self) -> usize {
            self.fifo.0.lock().unwrap().len()
        }
    }
}
