//! IEEE 802.1AX link aggregation: bytes and time in, PDUs and events out.
//!
//! | module | holds |
//! | --- | --- |
//! | [`info`] | [`ParticipantInfo`] with [`SystemId`], [`Key`], [`PortId`] and the [`PortState`] bits |
//! | [`pdu`] | [`SlowProtocol`], [`Lacpdu`], [`MarkerPdu`]: parsed, validated, emitted |
//! | [`variables`] | what the machines of one port share, with the standard's names and times |
//! | [`receive`], [`periodic`], [`mux`], [`transmit`], [`churn`] | a machine each |
//! | [`marker`] | the responder |
//!
//! **Not implemented yet**: selection, and a system that drives the machines. Nothing here answers a
//! partner, so a link partner sees a port without LACP.
//!
//! No clock, no sockets, no unsafe. Everything is a value or a pure function: any thread may use it.
//! Bytes of a partner never panic.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod churn;
pub mod info;
pub mod marker;
pub mod mux;
pub mod pdu;
pub mod periodic;
pub mod receive;
pub mod transmit;
pub mod variables;

pub use info::{Key, ParticipantInfo, PortId, PortState, SystemId};
pub use pdu::{Lacpdu, MarkerKind, MarkerPdu, PduError, SlowProtocol};
