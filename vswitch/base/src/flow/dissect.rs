//! The innermost packet's flow, for the `encap` policies: as far in as Linux's flow dissector goes.
//!
//! Followed exactly, oddities included, because a member chosen differently is a flow reordered by
//! whoever replaces a Linux bond:
//!
//! * What the dissector knows but opens no further (ARP, MPLS, FCoE, PTP, TIPC) is a flow without ports
//!   and, TIPC apart, without addresses; what it does not know is hashed by its Ethernet header. CFM is
//!   known since Linux 6.5, and here.
//! * The first tag *inside* a frame that had a tag beside it is taken for that tag: not skipped, and what
//!   is looked at next is said by the outer EtherType. In QinQ this costs one step; behind a tunnel that
//!   carries Ethernet the tag's own bytes are read as a header of the outer protocol.
//! * TIPC's keep-alive packets go anywhere in Linux, by a random number; here they keep to their node.

use super::{FlowKeys, IpHeader, bytes_at, icmp_key, ports, protocol};
use crate::ether::EtherType;

/// Headers that are looked at after the first; a longer chain is hashed by what was seen so far.
const STEPS_MAX: u32 = 15;

/// EtherTypes that the dissector knows, apart from IP.
mod kind {
    pub(super) const RARP: u16 = 0x8035;
    pub(super) const ARP: u16 = 0x0806;
    pub(super) const DOT1Q: u16 = 0x8100;
    pub(super) const DOT1AD: u16 = 0x88a8;
    pub(super) const PPPOE: u16 = 0x8864;
    pub(super) const TIPC: u16 = 0x88ca;
    pub(super) const MPLS: u16 = 0x8847;
    pub(super) const MPLS_MULTICAST: u16 = 0x8848;
    pub(super) const FCOE: u16 = 0x8906;
    pub(super) const BATMAN: u16 = 0x4305;
    pub(super) const PTP: u16 = 0x88f7;
    pub(super) const PRP: u16 = 0x88fb;
    pub(super) const HSR: u16 = 0x892f;
    pub(super) const CFM: u16 = 0x8902;
    /// Ethernet in GRE.
    pub(super) const ETHERNET: u16 = 0x6558;
    /// PPP in GRE of version 1 (PPTP).
    pub(super) const PPP: u16 = 0x880b;
}

/// Flags of the first 16 bits of a GRE header.
mod gre {
    pub(super) const CHECKSUM: u16 = 0x8000;
    pub(super) const ROUTING: u16 = 0x4000;
    pub(super) const KEY: u16 = 0x2000;
    pub(super) const SEQUENCE: u16 = 0x1000;
    pub(super) const ACKNOWLEDGEMENT: u16 = 0x0080;
    pub(super) const VERSION: u16 = 0x0007;
}

/// What to look at next.
enum Next {
    /// The header at [`Walk::at`], of this EtherType.
    Network(u16),
    /// The header at [`Walk::at`], of this IP protocol, in IPv6 or not.
    Transport { protocol: u8, v6: bool },
    /// Nothing: the keys are complete.
    Done,
}

/// The frame and how far it has been looked at.
struct Walk<'a> {
    packet: &'a [u8],
    at: usize,
    keys: FlowKeys,
    /// The frame's EtherType, while a tag that is beside the bytes waits to be met.
    waiting_tag: Option<u16>,
}

/// The keys of the innermost packet; `None`: hashed by its Ethernet header.
#[inline(never)]
pub(super) fn innermost_keys(kind: EtherType, is_tagged: bool, packet: &[u8]) -> Option<FlowKeys> {
    let mut walk = Walk {
        packet,
        at: 0,
        keys: FlowKeys::default(),
        waiting_tag: is_tagged.then_some(kind.0),
    };
    let mut next = Next::Network(kind.0);
    let mut steps = 0;
    loop {
        let is_transport = matches!(next, Next::Transport { .. });
        next = match next {
            Next::Network(kind) => walk.network(kind)?,
            Next::Transport { protocol, v6 } => walk.transport(protocol, v6)?,
            Next::Done => return Some(walk.keys),
        };
        // From an IP header to what it names is no step of its own.
        let is_step = match next {
            Next::Network(_) => true,
            Next::Transport { .. } => is_transport,
            Next::Done => false,
        };
        if is_step {
            steps += 1;
            if steps > STEPS_MAX {
                return Some(walk.keys);
            }
        }
    }
}

impl Walk<'_> {
    fn bytes<const N: usize>(&self) -> Option<&[u8; N]> {
        bytes_at(self.packet, self.at)
    }

    fn word(&self, at: usize) -> Option<u16> {
        bytes_at(self.packet, at).map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn network(&mut self, kind: u16) -> Option<Next> {
        match kind {
            0x0800 | 0x86dd => self.ip(kind),
            kind::DOT1Q | kind::DOT1AD => {
                if let Some(outer) = self.waiting_tag.take() {
                    return Some(Next::Network(outer));
                }
                let [_, _, a, b] = *self.bytes()?;
                self.at += 4;
                Some(Next::Network(u16::from_be_bytes([a, b])))
            }
            kind::PPPOE => self.pppoe(),
            kind::TIPC => {
                let [.., a, b, c, d] = *self.bytes::<16>()?;
                self.keys.addresses = u32::from_le_bytes([a, b, c, d]);
                Some(Next::Done)
            }
            kind::PRP | kind::HSR => {
                let [_, _, _, _, a, b] = *self.bytes()?;
                self.at += 6;
                Some(Next::Network(u16::from_be_bytes([a, b])))
            }
            kind::BATMAN => {
                // Unicast of version 15, which carries an Ethernet frame behind ten bytes.
                let header = self.bytes::<24>()?;
                if header[..2] != [0x40, 15] {
                    return None;
                }
                let inner = u16::from_be_bytes([header[22], header[23]]);
                self.at += header.len();
                Some(Next::Network(inner))
            }
            kind::FCOE => self.bytes::<38>().map(|_| Next::Done),
            kind::PTP => self.bytes::<34>().map(|_| Next::Done),
            kind::ARP | kind::RARP | kind::MPLS | kind::MPLS_MULTICAST | kind::CFM => {
                Some(Next::Done)
            }
            _ => None,
        }
    }

    fn ip(&mut self, kind: u16) -> Option<Next> {
        let header = IpHeader::parse(EtherType(kind), self.packet, self.at)?;
        let v6 = EtherType(kind) == EtherType::IPV6;
        if !v6 && header.end < self.at + 20 {
            return None;
        }
        self.keys.addresses = header.addresses;
        self.at = header.end;
        Some(Next::Transport {
            protocol: header.protocol,
            v6,
        })
    }

    fn pppoe(&mut self) -> Option<Next> {
        let [version, code, _, _, _, _, a, b] = *self.bytes()?;
        if (version, code) != (0x11, 0) {
            return None;
        }
        self.at += 8;
        match u16::from_be_bytes([a, b]) {
            0x0021 => Some(Next::Network(0x0800)),
            0x0057 => Some(Next::Network(0x86dd)),
            0x0281 => Some(Next::Network(kind::MPLS)),
            0x0283 => Some(Next::Network(kind::MPLS_MULTICAST)),
            // A whole protocol number has an odd low and an even high byte.
            number if number & 0x0101 == 0x0001 => Some(Next::Done),
            _ => None,
        }
    }

    /// Looks at what follows an IP header. Ports are taken at each step, where the step has led to.
    fn transport(&mut self, protocol: u8, v6: bool) -> Option<Next> {
        let mut named = protocol;
        let next = match protocol {
            protocol::GRE => self.gre()?,
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION if v6 => {
                let [following, length] = *self.bytes()?;
                self.at += (usize::from(length) + 1) * 8;
                named = following;
                Next::Transport {
                    protocol: following,
                    v6,
                }
            }
            protocol::FRAGMENT if v6 => {
                self.bytes::<8>()?;
                Next::Done
            }
            protocol::IPIP => Next::Network(0x0800),
            protocol::IPV6 => Next::Network(0x86dd),
            protocol::MPLS => Next::Network(kind::MPLS),
            protocol::ICMP | protocol::ICMPV6 => {
                if let Some(header) = self.bytes() {
                    self.keys.icmp = icmp_key(*header);
                }
                Next::Done
            }
            _ => Next::Done,
        };
        self.keys.ports = ports(self.packet, self.at, named);
        Some(next)
    }

    fn gre(&mut self) -> Option<Next> {
        let [a, b, c, d] = *self.bytes()?;
        let flags = u16::from_be_bytes([a, b]);
        let mut kind = u16::from_be_bytes([c, d]);
        let version = flags & gre::VERSION;
        let is_pptp = kind == kind::PPP && flags & gre::KEY != 0;
        if flags & gre::ROUTING != 0 || version > 1 || (version == 1 && !is_pptp) {
            return Some(Next::Done);
        }
        let mut at = self.at + 4;
        if flags & gre::CHECKSUM != 0 {
            at += 4;
        }
        if flags & gre::KEY != 0 {
            bytes_at::<4>(self.packet, at)?;
            at += 4;
        }
        if flags & gre::SEQUENCE != 0 {
            at += 4;
        }
        if version == 1 {
            if flags & gre::ACKNOWLEDGEMENT != 0 {
                at += 4;
            }
            kind = match self.word(at + 2)? {
                0x0021 => 0x0800,
                0x0057 => 0x86dd,
                _ => kind,
            };
            at += 4;
        } else if kind == kind::ETHERNET {
            kind = self.word(at + 12)?;
            at += 14;
        }
        self.at = at;
        Some(Next::Network(kind))
    }
}
