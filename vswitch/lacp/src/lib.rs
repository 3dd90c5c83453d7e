//! IEEE 802.1AX link aggregation: bytes and time in, PDUs and events out.
//!
//! | module | holds |
//! | --- | --- |
//! | [`info`] | [`ParticipantInfo`] with [`SystemId`], [`Key`], [`PortId`] and the [`PortState`] bits |
//! | [`pdu`] | [`SlowProtocol`], [`Lacpdu`], [`MarkerPdu`]: parsed, validated, emitted |
//!
//! **Implemented**: the bytes. That is enough to tell an operator who speaks LACP on a link, as what
//! system, with what key and in what state, and to see malformed frames.
//!
//! **Not implemented yet**: the machines of clause 6.4 (receive, periodic transmission, mux,
//! transmit, churn detection), selection, and the marker responder. Nothing here answers a partner,
//! so a link partner sees a port without LACP.
//!
//! No clock, no sockets, no heap, no unsafe. Everything is a value or a pure function: any thread may
//! use it. Bytes of a partner never panic.
#![no_std]
#![forbid(unsafe_code)]

pub mod info;
pub mod pdu;

pub use info::{Key, ParticipantInfo, PortId, PortState, SystemId};
pub use pdu::{Lacpdu, MarkerKind, MarkerPdu, PduError, SlowProtocol};
