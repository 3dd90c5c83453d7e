//! What a frame claims of its sender beyond its Ethernet source: in ARP, neighbour discovery, IP, and as a
//! server or router (G-03, G-04).
//!
//! | in | must be the station's own | else |
//! | --- | --- | --- |
//! | ARP, RARP (RFC 826, 903) | sender's Ethernet address; its IPv4 address, or 0.0.0.0 as in a probe (RFC 5227) | `arp-spoof` |
//! | neighbour discovery (RFC 4861) | link-layer addresses in options; the target that is advertised, or about to be taken | `nd-spoof` |
//! | IPv4, IPv6 | the source; 0.0.0.0 in DHCP, :: where IPv6 has it | `ip-spoof` |
//! | UDP to a DHCP client's port (RFC 2131, 8415) | nothing: only servers send so | `dhcp-server` |
//! | ICMPv6 router advertisements and redirects | nothing: only routers send so | `ra-guard` |
//!
//! IP addresses are asked for where some of their family are listed. Link-local ones of IPv6 cannot be known
//! from the Ethernet address (RFC 7217), so each passes, unless the list has one: then only those.
//!
//! A guest makes every byte of this. What cannot be read to the end of what has to be judged (cut off, too
//! many tags or extension headers, a first fragment without the headers, RFC 7112) is dropped as the spoof
//! that it may hide. Of a later fragment the IP source is judged; without its first one it is nothing.

use crate::verdict::DropReason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vswitch_base::{EtherType, MacAddr, MacWord, Tag, Tpid};

/// Tags that are looked through; more than any network has.
const TAGS_MAX: usize = 4;
/// IPv6 extension headers that are looked through.
const EXTENSIONS_MAX: usize = 8;

const RARP: EtherType = EtherType(0x8035);
/// Below it the field is a length (IEEE 802.3).
const LENGTH_END: u16 = 0x600;
/// An EtherType follows (RFC 1042).
const SNAP: [u8; 6] = [0xaa, 0xaa, 3, 0, 0, 0];
/// Ethernet, IPv4, addresses of six and four bytes.
const ARP_HEAD: [u8; 6] = [0, 1, 8, 0, 6, 4];

const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DHCPV6_CLIENT: u16 = 546;

const ROUTER_SOLICITATION: u8 = 133;
const ROUTER_ADVERTISEMENT: u8 = 134;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;
/// What a host without an address may send besides: multicast listener discovery (RFC 2710, 3810).
const LISTENERS: [u8; 3] = [131, 132, 143];
const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;

/// The IP addresses of the station, and that its claims are judged.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Claims {
    /// Empty: any.
    ipv4: Box<[Ipv4Addr]>,
    /// Empty: any.
    ipv6: Box<[Ipv6Addr]>,
    /// Whether `ipv6` has a link-local address.
    link_local: bool,
}

impl Claims {
    /// Addresses of the station at most: each packet's is compared one by one.
    pub const IPS_MAX: usize = 64;

    /// The claims of a station with these addresses, in any order; of a family without any, all pass.
    #[must_use]
    pub fn new(own: &[IpAddr]) -> Self {
        let v4 = own.iter().filter_map(|ip| match ip {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        });
        let v6 = own.iter().filter_map(|ip| match ip {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(*ip),
        });
        let ipv6: Box<[Ipv6Addr]> = v6.collect();
        Self {
            ipv4: v4.collect(),
            link_local: ipv6.iter().any(Ipv6Addr::is_unicast_link_local),
            ipv6,
        }
    }

    /// Judges what follows a frame's addresses, or the tag that pass 1 judged: from the EtherType on. `macs`
    /// are the station's own; the lengths of a frame that stands for segments are not theirs.
    ///
    /// # Errors
    /// Why the frame has to be dropped.
    pub(super) fn judge(
        &self,
        macs: &[MacWord],
        rest: &[u8],
        segments: bool,
    ) -> Result<(), DropReason> {
        let (kind, packet) = payload(rest).ok_or(DropReason::IpSpoof)?;
        match kind {
            EtherType::ARP | RARP => self.arp(macs, packet),
            EtherType::IPV4 => self.ipv4(packet, segments),
            EtherType::IPV6 => self.ipv6(macs, packet, segments),
            _ => Ok(()),
        }
    }

    fn arp(&self, macs: &[MacWord], packet: &[u8]) -> Result<(), DropReason> {
        let own = || {
            let packet: &[u8; 28] = packet.first_chunk()?;
            let sender = MacAddr::from_prefix(&packet[8..])?;
            let ip: [u8; 4] = *packet[14..].first_chunk()?;
            let ip = Ipv4Addr::from(ip);
            let listed = self.ipv4.is_empty() || ip.is_unspecified() || self.ipv4.contains(&ip);
            Some(packet[..6] == ARP_HEAD && macs.contains(&sender.word()) && listed)
        };
        verify(own(), DropReason::ArpSpoof)
    }

    fn ipv4(&self, packet: &[u8], segments: bool) -> Result<(), DropReason> {
        let spoof = DropReason::IpSpoof;
        let head: &[u8; 20] = packet.first_chunk().ok_or(spoof)?;
        let len = usize::from(head[0] & 0x0f) * 4;
        if head[0] >> 4 != 4 || len < head.len() {
            return Err(spoof);
        }
        let packet = if segments {
            packet
        } else {
            packet.get(..number(head, 2)).ok_or(spoof)?
        };
        let upper = packet.get(len..).ok_or(spoof)?;
        let is_first = number(head, 6) & 0x1fff == 0;
        let ports = if head[9] == UDP && is_first {
            Some(ports(upper).ok_or(spoof)?)
        } else {
            None
        };
        if ports.is_some_and(|(_, to)| to == DHCP_CLIENT) {
            return Err(DropReason::DhcpServer);
        }
        let [.., a, b, c, d, e, f, g, h] = *head;
        let (from, to) = (Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h));
        let asks_for_one =
            from.is_unspecified() && to.is_broadcast() && ports == Some((DHCP_CLIENT, DHCP_SERVER));
        let own = self.ipv4.is_empty() || self.ipv4.contains(&from) || asks_for_one;
        verify(Some(own), spoof)
    }

    fn ipv6(&self, macs: &[MacWord], packet: &[u8], segments: bool) -> Result<(), DropReason> {
        let spoof = DropReason::IpSpoof;
        let (head, rest) = packet.split_first_chunk::<40>().ok_or(spoof)?;
        if head[0] >> 4 != 6 {
            return Err(spoof);
        }
        let rest = if segments {
            rest
        } else {
            rest.get(..number(head, 4)).ok_or(spoof)?
        };
        let from = address(head, 8).ok_or(spoof)?;
        let upper = upper(head[6], rest).ok_or(spoof)?;
        let mut may_be_nobody = false;
        match upper {
            Upper::Unseen => {}
            Upper::Seen(UDP, datagram, _) => {
                let (_, to) = ports(datagram).ok_or(spoof)?;
                if to == DHCPV6_CLIENT {
                    return Err(DropReason::DhcpServer);
                }
            }
            Upper::Seen(ICMPV6, message, in_fragments) => {
                let kind = *message.first().ok_or(spoof)?;
                match kind {
                    ROUTER_ADVERTISEMENT | REDIRECT => return Err(DropReason::RaGuard),
                    ROUTER_SOLICITATION | SOLICITATION | ADVERTISEMENT => {
                        // Nobody takes it in fragments (RFC 6980).
                        let own =
                            !in_fragments && self.discovery(macs, from, message) == Some(true);
                        verify(Some(own), DropReason::NdSpoof)?;
                        may_be_nobody = kind != ADVERTISEMENT;
                    }
                    _ => may_be_nobody = LISTENERS.contains(&kind),
                }
            }
            Upper::Seen(..) => {}
        }
        let own = self.has(from) || may_be_nobody && from.is_unspecified();
        verify(Some(own), spoof)
    }

    /// Whether a message of neighbour discovery is about the station; `None` when it is cut off.
    fn discovery(&self, macs: &[MacWord], from: Ipv6Addr, message: &[u8]) -> Option<bool> {
        let kind = message[0];
        let mut options = message.get(if kind == ROUTER_SOLICITATION { 8 } else { 24 }..)?;
        // Of who has no address yet: the one that it is about to take.
        let claims_target = kind == ADVERTISEMENT || kind == SOLICITATION && from.is_unspecified();
        if claims_target && !self.has(address(message, 8)?) {
            return Some(false);
        }
        while !options.is_empty() {
            let units = usize::from(*options.get(1)?);
            let (option, others) = options.split_at_checked(8 * units)?;
            let told = MacAddr::from_prefix(option.get(2..)?)?;
            if matches!(option[0], SOURCE_ADDRESS | TARGET_ADDRESS) && !macs.contains(&told.word())
            {
                return Some(false);
            }
            options = others;
        }
        Some(true)
    }

    /// Whether the station may have that IPv6 address.
    fn has(&self, ip: Ipv6Addr) -> bool {
        self.ipv6.is_empty()
            || self.ipv6.contains(&ip)
            || !self.link_local && ip.is_unicast_link_local()
    }
}

/// What is not known to be true is a lie.
fn verify(own: Option<bool>, lie: DropReason) -> Result<(), DropReason> {
    if own == Some(true) { Ok(()) } else { Err(lie) }
}

/// What a frame is about, behind tags that are payload to this bridge; `None` when it ends in them, or has
/// too many.
fn payload(mut rest: &[u8]) -> Option<(EtherType, &[u8])> {
    for _ in 0..=TAGS_MAX {
        let ([a, b], packet) = rest.split_first_chunk()?;
        let kind = u16::from_be_bytes([*a, *b]);
        if kind < LENGTH_END
            && let Some([a, b, packet @ ..]) = packet.strip_prefix(&SNAP)
        {
            return Some((EtherType(u16::from_be_bytes([*a, *b])), packet));
        }
        if Tpid::from_ether_type(kind).is_none() {
            return Some((EtherType(kind), packet));
        }
        rest = rest.get(Tag::LEN..)?;
    }
    None
}

/// What an IPv6 packet carries.
enum Upper<'a> {
    /// Nothing that can be seen: a later fragment.
    Unseen,
    /// That protocol, in these bytes; and whether it is the first fragment.
    Seen(u8, &'a [u8], bool),
}

/// Behind the extension headers; `None` when they are cut off, or too many.
fn upper(mut protocol: u8, mut rest: &[u8]) -> Option<Upper<'_>> {
    let mut in_fragments = false;
    for _ in 0..=EXTENSIONS_MAX {
        let len = match protocol {
            // Hop-by-hop, routing, destination, mobility, HIP, shim6 (RFC 6564); fragment; authentication.
            0 | 43 | 60 | 135 | 139 | 140 => 8 * (1 + usize::from(*rest.get(1)?)),
            44 => 8,
            51 => 4 * (2 + usize::from(*rest.get(1)?)),
            _ => return Some(Upper::Seen(protocol, rest, in_fragments)),
        };
        let (header, behind) = rest.split_at_checked(len)?;
        if protocol == 44 {
            if number(header, 2) & 0xfff8 != 0 {
                return Some(Upper::Unseen);
            }
            in_fragments = true;
        }
        (protocol, rest) = (header[0], behind);
    }
    None
}

/// Source and destination port.
fn ports(datagram: &[u8]) -> Option<(u16, u16)> {
    let [a, b, c, d, ..] = *datagram else {
        return None;
    };
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// The 16 bits at that place of a header that is long enough.
fn number(header: &[u8], at: usize) -> usize {
    usize::from(u16::from_be_bytes([header[at], header[at + 1]]))
}

fn address(header: &[u8], at: usize) -> Option<Ipv6Addr> {
    let octets: [u8; 16] = *header.get(at..)?.first_chunk()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests;
