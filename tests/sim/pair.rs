//! Two switches and the links between them, on virtual time: bonds of every mode through every failure, LACP
//! from any history, and a flood of its PDUs.
//!
//! Each switch is the state of a bond over the passes that it steers ([`ours`]); where a mode needs no LAG at the
//! other side, that is a switch that learns and knows of no bond ([`beyond`]). Hosts behind both say numbered
//! frames all the time, so that what was lost, when, and what came twice is known of each ([`rig`]).

mod beyond;
mod changes;
mod converge;
mod failures;
mod flood;
mod order;
mod ours;
mod rig;
