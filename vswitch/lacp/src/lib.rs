//! IEEE 802.1AX link aggregation: bytes and time in, PDUs and events out.
//!
//! | module | holds |
//! | --- | --- |
//! | [`info`] | [`ParticipantInfo`] with [`SystemId`], [`Key`], [`PortId`] and the [`PortState`] bits |
//! | [`pdu`] | [`SlowProtocol`], [`Lacpdu`], [`MarkerPdu`]: parsed, validated, emitted |
//! | [`variables`] | what the machines of one port share, with the standard's names and times |
//! | [`receive`], [`periodic`], [`mux`], [`transmit`], [`churn`] | a machine each |
//! | [`marker`], [`generator`] | the Marker responder, and our own questions; [`pace`] bounds both |
//! | [`port`] | a member: one of each machine, run until none moves |
//! | [`selection`] | aggregators, the one in use, standbys |
//! | [`event`] | what a bond tells: [`Event`], [`Verdict`], [`MemberStatus`] |
//! | [`system`] | [`Lacp`]: all members of a bond; begin here |
//!
//! **Not implemented**: conversation-sensitive distribution, version 2 PDUs.
//!
//! No clock, no sockets, no unsafe: time is a parameter, and the same calls have the same results.
//! Any one thread may use it. Bytes of a partner never panic.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod churn;
pub mod event;
pub mod generator;
pub mod info;
pub mod marker;
pub mod mux;
pub mod pace;
pub mod pdu;
pub mod periodic;
pub mod port;
pub mod receive;
pub mod selection;
pub mod system;
pub mod transmit;
pub mod variables;

pub use event::{Event, Goodbye, MemberStatus, Side, Verdict};
pub use info::{Key, ParticipantInfo, PortId, PortState, SystemId};
pub use pdu::{Lacpdu, MarkerKind, MarkerPdu, PduError, SlowProtocol};
pub use port::{Counters, LinkState, MemberConfig};
pub use selection::AdSelect;
pub use system::{Config, Lacp, MemberError};
