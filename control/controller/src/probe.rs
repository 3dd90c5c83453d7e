//! What a bond's monitor sends to its targets: an ARP request (RFC 826), or a neighbour solicitation (RFC
//! 4861, 7.2.2).
//!
//! Where the node has no address in the target's network the question is asked without one: an ARP probe (RFC
//! 5227, 2.1.1), or a solicitation as for duplicate address detection (RFC 4862, 5.4.2). Linux answers both,
//! the first to the asker's Ethernet address, the second to all nodes. A target that is itself just beginning to
//! use its address takes either as a claim to it, so that an address of the node's own is better.

use crate::announcement::{ARP, Announcement, IPV6, arp, icmpv6_checksum};
use crate::bond::monitor::Asked;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vswitch_base::MacAddr;

/// The frame that asks.
#[must_use]
pub fn frame(asked: &Asked) -> Box<[u8]> {
    let said = match (asked.target, asked.ip) {
        (IpAddr::V4(target), IpAddr::V4(ip)) => arp(ARP, 1, asked.mac, ip, MacAddr::ZERO, target),
        (IpAddr::V4(target), IpAddr::V6(_)) => arp(
            ARP,
            1,
            asked.mac,
            Ipv4Addr::UNSPECIFIED,
            MacAddr::ZERO,
            target,
        ),
        (IpAddr::V6(target), IpAddr::V6(ip)) => solicitation(asked.mac, ip, target),
        (IpAddr::V6(target), IpAddr::V4(_)) => {
            solicitation(asked.mac, Ipv6Addr::UNSPECIFIED, target)
        }
    };
    said.frame(asked.tag)
}

fn solicitation(mac: MacAddr, ip: Ipv6Addr, target: Ipv6Addr) -> Announcement {
    let [.., a, b, c] = target.octets();
    // Where everybody listens whose address ends so (RFC 4291, 2.7.1), and its Ethernet group (RFC 2464, 7).
    let [high, low] = [u16::from_be_bytes([0xff, a]), u16::from_be_bytes([b, c])];
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, high, low);
    let dst = MacAddr([0x33, 0x33, 0xff, a, b, c]);
    // Type, code, checksum, reserved, target; who asks, but for one without an address.
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&target.octets());
    if !ip.is_unspecified() {
        message.extend_from_slice(&[1, 1]);
        message.extend_from_slice(&mac.0);
    }
    let sum = icmpv6_checksum(ip, group, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let [_, length] = u16::try_from(message.len()).unwrap_or(0).to_be_bytes();
    let header = [0x60, 0, 0, 0, 0, length, 58, 255];
    let parts: [&[u8]; 4] = [&header, &ip.octets(), &group.octets(), &message];
    Announcement::new(dst, mac, IPV6, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vswitch_base::Vid;
    use vswitch_core::watch::{Neighbour, Speech};

    const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x9a, 0x11, 2]);

    fn asked(target: &str, ip: &str, tag: Option<u16>) -> Asked {
        Asked {
            target: target.parse().expect("an address"),
            ip: ip.parse().expect("an address"),
            mac: MAC,
            tag: tag.map(|vid| Vid::new(vid).expect("a VLAN")),
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// K-06, W-05
    #[test]
    fn arp_asks_with_our_address_or_without_one() {
        let own = hex(&frame(&asked("10.0.0.1", "10.0.0.7", None)));
        let expected =
            "ffffffffffff5254009a1102080600010800060400015254009a11020a0000070000000000000a000001";
        assert_eq!(own[..84], *expected);
        assert_eq!(own.len(), 120, "60 bytes");
        let probe = hex(&frame(&asked("10.0.0.1", "0.0.0.0", Some(100))));
        assert_eq!(probe[24..36], *"810000640806");
        assert_eq!(
            probe[64..84],
            *"00000000000000000000",
            "sender and target hardware unknown"
        );
    }

    /// K-07: read back by the other side, its checksum sums up, and the group is the target's.
    #[test]
    fn a_solicitation_goes_to_the_targets_group() {
        for (ip, length) in [("fd00::7", 32), ("::", 24)] {
            let asked = asked("fd00::12:3456", ip, None);
            let bytes = frame(&asked);
            assert_eq!(hex(&bytes[..6]), "3333ff123456");
            assert_eq!(bytes.len(), 14 + 40 + length);
            let octets = |at: usize| <[u8; 16]>::try_from(&bytes[at..at + 16]).expect("16");
            let (src, dst) = (Ipv6Addr::from(octets(22)), Ipv6Addr::from(octets(38)));
            assert_eq!(dst.to_string(), "ff02::1:ff12:3456");
            assert_eq!(icmpv6_checksum(src, dst, &bytes[54..]), 0);
            let read = Neighbour::parse(&bytes).expect("a solicitation");
            assert_eq!((read.speech, read.src), (Speech::Asks, MAC));
            assert_eq!((read.sender, read.target), (asked.ip, asked.target));
        }
    }
}
