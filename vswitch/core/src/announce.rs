//! A station's word that it is here: what a machine sends when it has come to another port.
//!
//! Three kinds (features.md 3.7, N-04), each to a group and each about its own sender:
//!
//! | kind | EtherType | what tells it |
//! | --- | --- | --- |
//! | gratuitous ARP | 0x0806 | to broadcast, and a reply, or a request for the sender's own address (RFC 5227) |
//! | RARP | 0x8035 | to broadcast, a request of the sender for itself (RFC 903): what QEMU sends after a migration |
//! | unsolicited neighbour advertisement | 0x86dd | ICMPv6 136 to all nodes, not solicited, with the link-layer address (RFC 4861, 4.4, 7.2.6) |
//!
//! Checksums are not looked at: whoever could write the frame could write a right one.

use crate::frame::Frame;
use crate::ingress::Classified;
use vswitch_base::{EtherType, MacAddr, Tag, Tpid};

/// Reverse ARP.
const RARP: EtherType = EtherType(0x8035);
/// 33-33-00-00-00-01, where IPv6 all nodes listen.
const ALL_NODES: MacAddr = MacAddr([0x33, 0x33, 0, 0, 0, 1]);

/// Hardware Ethernet, protocol IPv4, addresses of six and four bytes.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];
const ARP_REQUEST: [u8; 2] = [0, 1];
const ARP_REPLY: [u8; 2] = [0, 2];
const RARP_REQUEST: [u8; 2] = [0, 3];

const IPV6_LEN: usize = 40;
const ICMPV6: u8 = 58;
/// What a packet that crossed no router has (RFC 4861, 7.1.2).
const HOPS: u8 = 255;
const ADVERTISEMENT: u8 = 136;
const SOLICITED: u8 = 0x40;
/// Type, code, checksum, flags and target come before the options.
const OPTIONS_AT: usize = 24;
const TARGET_ADDRESS: u8 = 2;

/// Whether a classified frame is an announcement of its own source.
#[must_use]
pub fn announces(frame: &Frame<'_>, class: &Classified) -> bool {
    if !class.dst.is_multicast() {
        return false;
    }
    let Some(mut rest) = frame.bytes.get(usize::from(class.cut)..) else {
        return false;
    };
    // A tag that is payload to this bridge.
    if let [a, b, ..] = *rest
        && Tpid::from_ether_type(u16::from_be_bytes([a, b])).is_some()
    {
        let Some(inside) = rest.get(Tag::LEN..) else {
            return false;
        };
        rest = inside;
    }
    let [a, b, payload @ ..] = rest else {
        return false;
    };
    let src = class.src.mac();
    match EtherType(u16::from_be_bytes([*a, *b])) {
        EtherType::ARP => class.dst.is_broadcast() && gratuitous(payload, src),
        RARP => class.dst.is_broadcast() && reverse(payload, src),
        EtherType::IPV6 => class.dst == ALL_NODES.word() && advertisement(payload, src),
        _ => false,
    }
}

/// An ARP packet over Ethernet: operation, sender's address and protocol address, target's.
#[derive(Clone, Copy)]
struct Arp<'a> {
    operation: [u8; 2],
    sender: &'a [u8],
    sender_ip: &'a [u8],
    target: &'a [u8],
    target_ip: &'a [u8],
}

impl<'a> Arp<'a> {
    fn parse(payload: &'a [u8]) -> Option<Self> {
        let packet = payload.get(..28)?;
        let (head, rest) = packet.split_at(ARP_HEAD.len());
        (head == ARP_HEAD).then(|| Self {
            operation: [rest[0], rest[1]],
            sender: &rest[2..8],
            sender_ip: &rest[8..12],
            target: &rest[12..18],
            target_ip: &rest[18..22],
        })
    }
}

fn gratuitous(payload: &[u8], src: MacAddr) -> bool {
    Arp::parse(payload).is_some_and(|arp| {
        // A probe has no sender's address and asks for one that it has not taken yet.
        let own = arp.sender_ip == arp.target_ip && arp.sender_ip != [0; 4];
        arp.sender == src.0 && (arp.operation == ARP_REPLY || arp.operation == ARP_REQUEST && own)
    })
}

fn reverse(payload: &[u8], src: MacAddr) -> bool {
    Arp::parse(payload).is_some_and(|arp| {
        arp.operation == RARP_REQUEST && arp.sender == src.0 && arp.target == src.0
    })
}

fn advertisement(payload: &[u8], src: MacAddr) -> bool {
    let Some((ip, icmp)) = payload.split_at_checked(IPV6_LEN) else {
        return false;
    };
    let said = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
    let Some(icmp) = icmp.get(..said) else {
        return false;
    };
    let [ADVERTISEMENT, 0, _, _, flags, ..] = icmp else {
        return false;
    };
    ip[6] == ICMPV6
        && ip[7] == HOPS
        && flags & SOLICITED == 0
        && icmp
            .get(OPTIONS_AT..)
            .is_some_and(|options| says(options, src))
}

/// Whether options give `mac` as the target's link-layer address. Each is at least eight bytes long.
fn says(mut options: &[u8], mac: MacAddr) -> bool {
    while let [kind, units, ..] = *options {
        let Some((option, rest)) = options.split_at_checked(8 * usize::from(units)) else {
            return false;
        };
        if option.is_empty() {
            return false;
        }
        if kind == TARGET_ADDRESS && option.len() == 8 {
            return option[2..] == mac.0;
        }
        options = rest;
    }
    false
}

#[cfg(test)]
mod tests;
