//! Which member of a bond a frame leaves by, as far as it needs no state but a worker's own.
//!
//! Modes that choose by flow take [`vswitch_base::flow::FlowView::hash`] to the prepared [`buckets`] of a
//! snapshot; balance-rr has a [`round_robin`] counter for each worker. Both know nothing of LACP or link
//! monitoring: they are given members that may send.

pub mod buckets;
pub mod round_robin;

pub use buckets::{Buckets, Remap};
pub use round_robin::RoundRobin;
