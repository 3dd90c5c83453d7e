//! What is said on a link so that the switch beyond learns where a station is now (N-05, R-01, R-02).
//!
//! A switch learns from the source address of any frame; these come from the station's address and change
//! nothing at whoever hears them. Where its IP addresses are known, a gratuitous ARP request (RFC 5227, 3)
//! or an unsolicited neighbour advertisement (RFC 4861, 7.2.6) for each, which corrects neighbours as well;
//! otherwise a reverse ARP request for itself (RFC 903), as QEMU sends after a migration.
//!
//! A switch that only has to be reminded is sent a frame from the station to itself, as the kernel's driver
//! does (`lp_interval`): the switch learns, and does not pass it on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vswitch_base::{EtherType, MacAddr, Tag, Tci, Tpid, Vid};

pub(crate) const ARP: EtherType = EtherType(0x0806);
const RARP: EtherType = EtherType(0x8035);
/// Configuration test protocol, which nobody answers that is not asked to (Ethernet 2.0, 8).
const LOOPBACK: EtherType = EtherType(0x9000);
pub(crate) const IPV6: EtherType = EtherType(0x86dd);
/// 33-33-00-00-00-01, where IPv6 all nodes listen.
const ALL_NODES: MacAddr = MacAddr([0x33, 0x33, 0, 0, 0, 1]);
/// Without FCS and without a tag.
const SHORTEST: usize = 60;

/// A station on a bridge, as announced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Station {
    /// Its VLAN; `None` on a bridge that does not filter VLANs.
    pub vid: Option<Vid>,
    /// Its address.
    pub mac: MacAddr,
    /// Its IP addresses, as far as they are known.
    pub ips: Vec<IpAddr>,
}

/// A frame without its tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// Destination and source.
    pub addresses: [u8; 12],
    /// What follows, from the EtherType on.
    pub rest: Vec<u8>,
}

impl Station {
    /// What is said of it: a frame for each of its IP addresses, or one.
    #[must_use]
    pub fn announcements(&self) -> Vec<Announcement> {
        if self.ips.is_empty() {
            return vec![reverse(self.mac)];
        }
        let each = self.ips.iter().map(|ip| match ip {
            IpAddr::V4(ip) => gratuitous(self.mac, *ip),
            IpAddr::V6(ip) => advertisement(self.mac, *ip),
        });
        each.collect()
    }

    /// A frame to itself.
    #[must_use]
    pub fn reminder(&self) -> Announcement {
        Announcement::new(self.mac, self.mac, LOOPBACK, &[])
    }
}

impl Announcement {
    /// A frame of these parts behind its EtherType, as long as Ethernet wants it.
    pub(crate) fn new(dst: MacAddr, src: MacAddr, kind: EtherType, parts: &[&[u8]]) -> Self {
        let mut addresses = [0; 12];
        addresses[..6].copy_from_slice(&dst.0);
        addresses[6..].copy_from_slice(&src.0);
        let mut rest = kind.0.to_be_bytes().to_vec();
        parts.iter().for_each(|part| rest.extend_from_slice(part));
        rest.resize(rest.len().max(SHORTEST - addresses.len()), 0);
        Self { addresses, rest }
    }

    /// The tag that it has in that VLAN.
    #[must_use]
    pub fn tag(vid: Vid) -> Tag {
        Tag {
            tpid: Tpid::Dot1q,
            tci: Tci::default().with_vid(vid),
        }
    }

    /// The whole frame, with a VLAN's tag or without.
    #[must_use]
    pub fn frame(&self, tagged: Option<Vid>) -> Box<[u8]> {
        let tag = tagged.map(|vid| {
            let [high, low] = vid.get().to_be_bytes();
            [0x81, 0, high, low]
        });
        let tag = tag.as_ref().map_or(&[][..], |tag| &tag[..]);
        [&self.addresses[..], tag, &self.rest].concat().into()
    }
}

/// "I am here": a reverse request of a station for itself.
fn reverse(mac: MacAddr) -> Announcement {
    let nobody = Ipv4Addr::UNSPECIFIED;
    arp(RARP, 3, mac, nobody, mac, nobody)
}

fn gratuitous(mac: MacAddr, ip: Ipv4Addr) -> Announcement {
    arp(ARP, 1, mac, ip, MacAddr::ZERO, ip)
}

/// A packet of ARP or RARP to everybody.
pub(crate) fn arp(
    kind: EtherType,
    operation: u8,
    sender: MacAddr,
    sender_ip: Ipv4Addr,
    target: MacAddr,
    target_ip: Ipv4Addr,
) -> Announcement {
    let parts: [&[u8]; 5] = [
        // Ethernet, IPv4, addresses of six and four bytes.
        &[0, 1, 8, 0, 6, 4, 0, operation],
        &sender.0,
        &sender_ip.octets(),
        &target.0,
        &target_ip.octets(),
    ];
    Announcement::new(MacAddr::BROADCAST, sender, kind, &parts)
}

fn advertisement(mac: MacAddr, ip: Ipv6Addr) -> Announcement {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    // Type, code, checksum, the override flag, target, target's link-layer address.
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend_from_slice(&ip.octets());
    message.extend_from_slice(&[2, 1]);
    message.extend_from_slice(&mac.0);
    let sum = icmpv6_checksum(ip, all_nodes, &message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    // Length 32, next header ICMPv6, hop limit 255.
    let header = [0x60, 0, 0, 0, 0, 32, 58, 255];
    let parts: [&[u8]; 4] = [&header, &ip.octets(), &all_nodes.octets(), &message];
    Announcement::new(ALL_NODES, mac, IPV6, &parts)
}

/// The sum over pseudo-header and message (RFC 8200, 8.1); the message has an even length.
pub(crate) fn icmpv6_checksum(src: Ipv6Addr, dst: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
    let parts: [&[u8]; 5] = [
        &src.octets(),
        &dst.octets(),
        &length,
        &[0, 0, 0, 58],
        message,
    ];
    internet_checksum(&parts)
}

/// The internet checksum over parts, all but the last of an even length (RFC 1071).
pub(crate) fn internet_checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words
        .map(|word| {
            u32::from(u16::from_be_bytes([
                word[0],
                word.get(1).copied().unwrap_or(0),
            ]))
        })
        .fold(0, u32::wrapping_add);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x9a, 0x11, 2]);

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn frames(ips: &[IpAddr], vid: Option<Vid>) -> Vec<String> {
        let station = Station {
            vid,
            mac: MAC,
            ips: ips.to_vec(),
        };
        let all = station.announcements().into_iter();
        all.map(|said| hex(&said.frame(vid))).collect()
    }

    /// whole and padded, tagged or not.
    #[test]
    fn a_station_without_known_addresses_speaks_reverse_arp() {
        let [said] = &frames(&[], None)[..] else {
            panic!("one frame");
        };
        let expected =
            "ffffffffffff5254009a1102803500010800060400035254009a1102000000005254009a110200000000";
        assert_eq!(said[..84], *expected);
        assert_eq!(said.len(), 120, "60 bytes");
        let [tagged] = &frames(&[], Vid::new(100).ok())[..] else {
            panic!("one frame");
        };
        assert_eq!(tagged[24..36], *"810000648035");
        assert_eq!(tagged.len(), 128);
        let station = Station {
            vid: None,
            mac: MAC,
            ips: Vec::new(),
        };
        let reminder = hex(&station.reminder().frame(None));
        assert_eq!(reminder[..28], *"5254009a11025254009a11029000");
        assert_eq!(reminder.len(), 120);
    }

    /// one for each address; the checksum is what tcpdump calls correct.
    #[test]
    fn known_addresses_are_announced_themselves() {
        let said = frames(
            &[
                "10.0.0.7".parse().expect("IPv4"),
                "fe80::7".parse().expect("IPv6"),
            ],
            None,
        );
        assert_eq!(
            said[0][24..84],
            *"080600010800060400015254009a11020a0000070000000000000a000007"
        );
        let v6 = &said[1];
        assert_eq!(v6[..28], *"3333000000015254009a110286dd");
        assert_eq!(v6[28..44], *"6000000000203aff");
        // Type, checksum over the rest, override, target, its link-layer address.
        assert!(v6[108..].starts_with("8800"), "{v6}");
        assert!(v6.ends_with("20000000fe80000000000000000000000000000702015254009a1102"));
        let bytes: Vec<u8> = (0..v6.len() / 2)
            .map(|i| u8::from_str_radix(&v6[2 * i..2 * i + 2], 16).expect("hex"))
            .collect();
        let src = Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[22..38]).expect("16"));
        let dst = Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[38..54]).expect("16"));
        assert_eq!(
            icmpv6_checksum(src, dst, &bytes[54..]),
            0,
            "sums to nothing"
        );
    }
}
