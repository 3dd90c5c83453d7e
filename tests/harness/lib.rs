//! What the test tiers share: frames with real headers, hexadecimal text, repeatable randomness.
//!
//! Everything here is pure and belongs to the test's own thread. Switches of tests are
//! [`vswitch_core::testing::MemSwitch`]; this adds what several tiers need around them. It starts
//! nothing and opens nothing.
#![forbid(unsafe_code)]

pub mod fuzz;
pub mod hex;
pub mod hostile;
pub mod packets;
pub mod rng;
pub mod unfinished;

use vswitch_base::{EtherType, MacAddr, Tag};
use vswitch_core::testing::{MemFrame, MemSwitch, frame, station};
use vswitch_core::verdict::DropReason;

/// The EtherType of frames that are nothing in particular (IEEE local experimental 1).
pub const EXPERIMENTAL: EtherType = EtherType(0x88b5);

/// An untagged frame of 64 bytes with FCS: 60 here.
#[must_use]
pub fn plain(dst: MacAddr, src: MacAddr) -> Vec<u8> {
    frame(dst, src, &[], EXPERIMENTAL, 60)
}

/// The same with tags.
#[must_use]
pub fn tagged(dst: MacAddr, src: MacAddr, tags: &[Tag]) -> Vec<u8> {
    frame(dst, src, tags, EXPERIMENTAL, 60 + tags.len() * Tag::LEN)
}

/// A broadcast from `src`.
#[must_use]
pub fn broadcast(src: MacAddr) -> Vec<u8> {
    plain(MacAddr::BROADCAST, src)
}

/// A group address that nobody reserves.
#[must_use]
pub const fn group(number: u8) -> MacAddr {
    MacAddr([0x01, 0x00, 0x5e, 0x01, 0x02, number])
}

/// 01-80-C2-00-00-0X.
#[must_use]
pub const fn reserved(last: u8) -> MacAddr {
    MacAddr([0x01, 0x80, 0xc2, 0x00, 0x00, last])
}

/// What left since the last call: port and bytes, ports ascending, each port's frames in order.
#[must_use]
pub fn sent(switch: &MemSwitch) -> Vec<(u16, Vec<u8>)> {
    let by_port = switch.take_sent();
    by_port
        .into_iter()
        .flat_map(|(port, frames)| frames.into_iter().map(move |f| (port, f.bytes)))
        .collect()
}

/// Injects a frame and says by which ports it left.
pub fn ports_reached(switch: &mut MemSwitch, ingress: u16, frame: impl Into<MemFrame>) -> Vec<u16> {
    switch.inject(ingress, frame);
    switch.who_sent()
}

/// Lets a station be heard on a port and forgets what that made the switch send.
pub fn hear(switch: &mut MemSwitch, port: u16, number: u32) {
    switch.inject(port, broadcast(station(number)));
    drop(switch.take_sent());
}

/// How many frames `port` has dropped for `reason`.
#[must_use]
pub fn dropped(switch: &MemSwitch, port: u16, reason: DropReason) -> u64 {
    switch.totals(port).drops[reason.index()]
}
