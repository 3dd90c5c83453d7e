//! Frames by which a station says where it is, and some that look much like it.

use super::frame;
use vswitch_base::{EtherType, MacAddr, Tag};

const REVERSE_ARP: EtherType = EtherType(0x8035);
const ALL_NODES: MacAddr = MacAddr([0x33, 0x33, 0, 0, 0, 1]);

/// What an ARP or RARP packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArpPacket {
    /// 1 request, 2 reply, 3 reverse request, 4 reverse reply.
    pub operation: u8,
    /// Who sends it.
    pub sender: MacAddr,
    /// Its IPv4 address.
    pub sender_ip: [u8; 4],
    /// Who is asked for, or told.
    pub target: MacAddr,
    /// The IPv4 address that is asked for.
    pub target_ip: [u8; 4],
}

impl ArpPacket {
    /// The packet as a frame from its sender, of 64 bytes with FCS.
    #[must_use]
    pub fn frame(self, dst: MacAddr, tags: &[Tag]) -> Vec<u8> {
        let kind = if self.operation > 2 {
            REVERSE_ARP
        } else {
            EtherType::ARP
        };
        let mut bytes = frame(dst, self.sender, tags, kind, 0);
        bytes.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, self.operation]);
        bytes.extend_from_slice(&self.sender.0);
        bytes.extend_from_slice(&self.sender_ip);
        bytes.extend_from_slice(&self.target.0);
        bytes.extend_from_slice(&self.target_ip);
        bytes.resize(bytes.len().max(60 + tags.len() * Tag::LEN), 0);
        bytes
    }
}

/// A gratuitous request, as Linux sends when an address comes up.
#[must_use]
pub fn gratuitous_arp(src: MacAddr, tags: &[Tag]) -> Vec<u8> {
    let own = [10, 0, 0, 7];
    let packet = ArpPacket {
        operation: 1,
        sender: src,
        sender_ip: own,
        target: MacAddr::ZERO,
        target_ip: own,
    };
    packet.frame(MacAddr::BROADCAST, tags)
}

/// What QEMU sends for a guest that arrived.
#[must_use]
pub fn rarp(src: MacAddr, tags: &[Tag]) -> Vec<u8> {
    let packet = ArpPacket {
        operation: 3,
        sender: src,
        sender_ip: [0; 4],
        target: src,
        target_ip: [0; 4],
    };
    packet.frame(MacAddr::BROADCAST, tags)
}

/// An unsolicited neighbour advertisement to all nodes. Its ICMPv6 checksum is left out.
#[must_use]
pub fn advertisement(src: MacAddr, tags: &[Tag]) -> Vec<u8> {
    let own: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    let all: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut bytes = frame(ALL_NODES, src, tags, EtherType::IPV6, 0);
    bytes.extend_from_slice(&[0x60, 0, 0, 0, 0, 32, 58, 255]);
    bytes.extend_from_slice(&own);
    bytes.extend_from_slice(&all);
    // Override.
    bytes.extend_from_slice(&[136, 0, 0, 0, 0x20, 0, 0, 0]);
    bytes.extend_from_slice(&own);
    bytes.extend_from_slice(&[2, 1]);
    bytes.extend_from_slice(&src.0);
    bytes
}
