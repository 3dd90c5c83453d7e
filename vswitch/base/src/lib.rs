//! The vocabulary of the switch: types that cannot hold a wrong value.
//!
//! `no_std`, no dependencies, no unsafe: every other crate may use it, and it may use none.
//! A value of these types needs no further checks; parsing is where checks happen.
//!
//! | module | holds |
//! | --- | --- |
//! | [`mac`] | [`MacAddr`] and the group addresses that standards reserve |
//! | [`vlan`] | [`Vid`], [`Pcp`], [`Tci`], [`Tag`], [`VidSet`] |
//! | [`ether`] | [`EtherView`], a checked view of a frame's header; [`EtherType`] |
//! | [`flow`] | [`HashPolicy`] and the number of a frame's flow, as Linux bonds have it |
//! | [`ids`] | dense indices: [`PortIndex`], [`BridgeIndex`], [`WorkerIndex`]; [`Generation`] |
//! | [`time`] | [`Instant`] and [`Duration`]: time as a parameter; [`Timer`] |
#![no_std]
#![forbid(unsafe_code)]

pub mod ether;
pub mod flow;
pub mod ids;
pub mod mac;
pub mod time;
pub mod vlan;

pub use ether::{EtherType, EtherView};
pub use flow::{FlowView, HashPolicy};
pub use ids::{BridgeIndex, Generation, PortIndex, WorkerIndex};
pub use mac::{MacAddr, MacWord};
pub use time::{Duration, Instant, Timer};
pub use vlan::{Pcp, Tag, Tci, Tpid, Vid, VidSet};
