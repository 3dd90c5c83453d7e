//! IP packets that a station sends, true or not, in parts that tests put together. Checksums are left out.

use super::frame;
use std::net::{Ipv4Addr, Ipv6Addr};
use vswitch_base::{EtherType, MacAddr, Tag};

/// Protocol numbers.
pub const UDP: u8 = 17;
/// See [`UDP`].
pub const ICMPV6: u8 = 58;

/// A packet in a frame of 64 bytes with FCS, or more.
#[must_use]
pub fn in_frame(
    dst: MacAddr,
    src: MacAddr,
    tags: &[Tag],
    kind: EtherType,
    packet: &[u8],
) -> Vec<u8> {
    let mut bytes = frame(dst, src, tags, kind, 0);
    bytes.extend_from_slice(packet);
    bytes.resize(bytes.len().max(60), 0);
    bytes
}

/// An IPv4 packet without options.
///
/// # Panics
/// When it would be longer than IPv4 allows.
#[must_use]
pub fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, upper: &[u8]) -> Vec<u8> {
    let total = u16::try_from(20 + upper.len()).expect("an IPv4 packet");
    let mut packet = vec![0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0];
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    packet.extend_from_slice(&from.octets());
    packet.extend_from_slice(&to.octets());
    packet.extend_from_slice(upper);
    packet
}

/// An IPv6 packet.
///
/// # Panics
/// When it would be longer than IPv6 allows.
#[must_use]
pub fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, upper: &[u8]) -> Vec<u8> {
    let len = u16::try_from(upper.len()).expect("an IPv6 packet");
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 255];
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet.extend_from_slice(&from.octets());
    packet.extend_from_slice(&to.octets());
    packet.extend_from_slice(upper);
    packet
}

/// An extension header of eight bytes that says what follows (of whatever kind: nothing but padding), and that.
#[must_use]
pub fn extended(next: u8, upper: &[u8]) -> Vec<u8> {
    [&[next, 0, 1, 4, 0, 0, 0, 0], upper].concat()
}

/// A fragment header (44) for what begins `units` times eight bytes into the packet, and that.
#[must_use]
pub fn fragment(next: u8, units: u16, upper: &[u8]) -> Vec<u8> {
    let [a, b] = (units << 3 | 1).to_be_bytes();
    [&[next, 0, a, b, 0, 0, 0, 9], upper].concat()
}

/// A UDP datagram with some payload.
#[must_use]
pub fn udp(from: u16, to: u16) -> Vec<u8> {
    let (from, to) = (from.to_be_bytes(), to.to_be_bytes());
    let mut datagram = [from, to, [0, 28], [0, 0]].concat();
    datagram.resize(28, 7);
    datagram
}

/// A message of neighbour discovery with the link-layer addresses that its options give, by their kinds
/// (1 source, 2 target). A solicitation of routers (133) has no target.
#[must_use]
pub fn discovery(kind: u8, target: Ipv6Addr, options: &[(u8, MacAddr)]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    if kind != 133 {
        message.extend_from_slice(&target.octets());
    }
    for (option, mac) in options {
        message.extend_from_slice(&[*option, 1]);
        message.extend_from_slice(&mac.0);
    }
    message
}
