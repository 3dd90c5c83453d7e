//! Atomics and the one kind of lock, swapped for the model checker's under `cfg(shuttle)`.
//!
//! Concurrent code of this crate takes its primitives from here so that the schedule tests run the
//! code that ships. Shuttle explores sequentially consistent executions only: memory orderings are
//! argued in comments where they are used.

#[cfg(not(shuttle))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};
