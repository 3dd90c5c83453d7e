//! Where network and transport header of a packet are, found in the packet and nowhere else.
//!
//! Offsets count from the start of [`TxFrame::rest`], that is from the EtherType or inner tag on.
//! Every read is checked: the bytes are a guest's. Walks are bounded ([`TAGS_MAX`],
//! [`EXTENSIONS_MAX`]). Used by [`super`] only, on frames that are cut or completed; looking for the
//! network header is also on the way of every frame, for the MTU.

use super::OffloadError;
use crate::frame::{TxFrame, VnetHdr};
use vswitch_base::{EtherType, Tag, Tpid};

/// Tags looked through for the network header, as many as Linux does when it cuts (6.18).
const TAGS_MAX: usize = 7;
/// IPv6 extension headers looked through; more than one of each kind is not in honest use.
const EXTENSIONS_MAX: usize = 8;
/// Bytes of an IPv6 header, which its payload length does not count.
pub(super) const IPV6_LEN: usize = 40;
/// Where SCTP's CRC is in its header.
pub(super) const SCTP_CHECKSUM: usize = 8;

const TCP: u8 = 6;
const UDP: u8 = 17;
const SCTP: u8 = 132;

/// The network protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Network {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The transport protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// Where the checksum is in the header.
    pub(super) const fn checksum_offset(self) -> usize {
        match self {
            Self::Tcp => 16,
            Self::Udp => 6,
        }
    }
}

/// A packet whose headers are whole: `l3 < l4 < payload <= rest.len()`, each header at least as long
/// as its protocol's shortest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Of what `l3` points at.
    pub(super) network: Network,
    /// Of what `l4` points at.
    pub(super) transport: Transport,
    /// The IP header.
    pub(super) l3: usize,
    /// The TCP or UDP header.
    pub(super) l4: usize,
    /// What follows it.
    pub(super) payload: usize,
}

impl Layout {
    /// The layout of a packet that is to be cut as `kind` (see [`VnetHdr::gso_kind`]) and has `pushed`
    /// tags before `rest`.
    pub(super) fn of(rest: &[u8], kind: u8, pushed: usize) -> Result<Self, OffloadError> {
        let (network, transport) = match kind {
            VnetHdr::GSO_TCPV4 => (Some(Network::V4), Transport::Tcp),
            VnetHdr::GSO_TCPV6 => (Some(Network::V6), Transport::Tcp),
            VnetHdr::GSO_UDP_L4 => (None, Transport::Udp),
            _ => return Err(OffloadError::UnknownType(kind)),
        };
        let l3 = network_offset(rest);
        if pushed + l3 / Tag::LEN > TAGS_MAX {
            return Err(OffloadError::Contradiction);
        }
        let found = network_at(rest, l3)?;
        if network.is_some_and(|n| n != found) {
            return Err(OffloadError::Contradiction);
        }
        let (protocol, l4) = transport_at(rest, l3, found)?;
        let payload = match (transport, protocol) {
            (Transport::Tcp, TCP) => {
                let len = usize::from(byte(rest, l4 + 12)? >> 4) * 4;
                if len < 20 {
                    return Err(OffloadError::Contradiction);
                }
                l4 + len
            }
            (Transport::Udp, UDP) => l4 + 8,
            _ => return Err(OffloadError::Contradiction),
        };
        if payload > rest.len() {
            return Err(OffloadError::Truncated);
        }
        Ok(Self {
            network: found,
            transport,
            l3,
            l4,
            payload,
        })
    }
}

/// Where the network header starts: behind the tags and the EtherType. May lie behind the end of a
/// frame that ends early.
#[inline]
pub(super) fn network_offset(rest: &[u8]) -> usize {
    let mut at = 0;
    for _ in 0..TAGS_MAX {
        match word(rest, at) {
            Ok(kind) if Tpid::from_ether_type(kind).is_some() => at += Tag::LEN,
            _ => break,
        }
    }
    at + 2
}

/// The network-layer length of the largest segment, if the frame is cut where its offload header
/// says that the transport header is. `None` when that is not inside the frame.
pub(super) fn claimed_segment_len(frame: &TxFrame<'_>, l3: usize) -> Option<usize> {
    let start = usize::from(frame.offload.csum_start);
    let l4 = start.checked_sub(frame.header.as_slice().len())?;
    let header_len = match frame.offload.gso_kind() {
        VnetHdr::GSO_TCPV4 | VnetHdr::GSO_TCPV6 => {
            usize::from(byte(frame.rest, l4 + 12).ok()? >> 4) * 4
        }
        VnetHdr::GSO_UDP_L4 => 8,
        _ => return None,
    };
    Some(l4.checked_sub(l3)? + header_len + usize::from(frame.offload.gso_size))
}

/// Whether an IP packet starts right behind an EtherType at the start, and its transport header right
/// behind the IP header and its options.
pub(super) fn is_plain(rest: &[u8]) -> bool {
    const L3: usize = 2;
    network_at(rest, L3).is_ok_and(|network| match network {
        Network::V4 => true,
        Network::V6 => matches!(byte(rest, L3 + 6), Ok(TCP | UDP)),
    })
}

/// Where SCTP starts in the packet, if that is what it carries.
pub(super) fn sctp_at(rest: &[u8]) -> Option<usize> {
    let l3 = network_offset(rest);
    let network = network_at(rest, l3).ok()?;
    let (protocol, l4) = transport_at(rest, l3, network).ok()?;
    (protocol == SCTP).then_some(l4)
}

/// The two bytes at `at`, big-endian.
pub(super) fn word(bytes: &[u8], at: usize) -> Result<u16, OffloadError> {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map(|b| u16::from_be_bytes(*b))
        .ok_or(OffloadError::Truncated)
}

fn byte(bytes: &[u8], at: usize) -> Result<u8, OffloadError> {
    bytes.get(at).copied().ok_or(OffloadError::Truncated)
}

/// What the EtherType says and the version confirms.
fn network_at(rest: &[u8], l3: usize) -> Result<Network, OffloadError> {
    let version = byte(rest, l3)? >> 4;
    match (EtherType(word(rest, l3 - 2)?), version) {
        (EtherType::IPV4, 4) => Ok(Network::V4),
        (EtherType::IPV6, 6) => Ok(Network::V6),
        _ => Err(OffloadError::Contradiction),
    }
}

/// Protocol and place of the header behind IP, its options and extension headers.
fn transport_at(rest: &[u8], l3: usize, network: Network) -> Result<(u8, usize), OffloadError> {
    match network {
        Network::V4 => {
            let len = usize::from(byte(rest, l3)? & 0x0f) * 4;
            if len < 20 {
                return Err(OffloadError::Contradiction);
            }
            // More fragments, or not the first one.
            if word(rest, l3 + 6)? & 0x3fff != 0 {
                return Err(OffloadError::NotWhole);
            }
            Ok((byte(rest, l3 + 9)?, l3 + len))
        }
        Network::V6 => {
            let mut next = byte(rest, l3 + 6)?;
            let mut at = l3 + IPV6_LEN;
            for _ in 0..EXTENSIONS_MAX {
                let len = match next {
                    // Hop-by-hop options, routing, destination options.
                    0 | 43 | 60 => (usize::from(byte(rest, at + 1)?) + 1) * 8,
                    44 => return Err(OffloadError::NotWhole),
                    _ => return Ok((next, at)),
                };
                if next == 0 && is_jumbo(rest, at, len) {
                    return Err(OffloadError::NotWhole);
                }
                next = byte(rest, at)?;
                at += len;
            }
            Err(OffloadError::Contradiction)
        }
    }
}

/// Whether hop-by-hop options of `len` bytes at `at` hold a jumbo payload length (RFC 2675), which
/// no segment may repeat.
fn is_jumbo(rest: &[u8], at: usize, len: usize) -> bool {
    const PAD1: u8 = 0;
    const JUMBO: u8 = 0xc2;
    let end = at + len;
    let mut option = at + 2;
    while option < end {
        option += match (byte(rest, option), byte(rest, option + 1)) {
            (Ok(JUMBO), _) => return true,
            (Ok(PAD1), _) => 1,
            (Ok(_), Ok(data)) => 2 + usize::from(data),
            _ => return false,
        };
    }
    false
}
