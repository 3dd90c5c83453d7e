//! Atomics and the one kind of lock, swapped for the model checker's under `cfg(shuttle)`.
//!
//! Concurrent code of this crate takes its primitives from here so that the schedule tests run the
//! code that ships. Shuttle explores sequentially consistent executions only: memory orderings are
//! argued in comments where they are used.

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

/// An unbounded queue, first in first out. The sender allocates; an empty check is a load or two.
#[cfg(not(shuttle))]
pub(crate) type Fifo<T> = crossbeam::queue::SegQueue<T>;

/// The same with a lock that the model checker knows.
#[cfg(shuttle)]
#[derive(Debug)]
pub(crate) struct Fifo<T>(Mutex<std::collections::VecDeque<T>>);

#[cfg(shuttle)]
impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self(Mutex::new(std::collections::VecDeque::new()))
    }
}

#[cfg(shuttle)]
impl<T> Fifo<T> {
    pub(crate) fn push(&self, value: T) {
        self.0.lock().unwrap().push_back(value);
    }

    pub(crate) fn pop(&self) -> Option<T> {
        self.0.lock().unwrap().pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }
}
