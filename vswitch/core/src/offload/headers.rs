//! Where network and transport header of a packet are, found in the packet and nowhere else.
//!
//! Offsets count from the start of [`TxFrame::rest`], that is from the EtherType or inner tag on.
//! Every read is checked: the bytes are a guest's. Walks are bounded ([`TAGS_MAX`],
//! [`EXTENSIONS_MAX`]). Used by [`super`] only, on frames that are cut or completed; looking for the
//! network header is also on the way of every frame, for the MTU.

use super::OffloadError;
use super::tunnel::{self, Outer};
use crate::frame::{TxFrame, VnetHdr};
use vswitch_base::ether::ADDRESSES_LEN;
use vswitch_base::{EtherType, Tag, Tpid};

/// Tags looked through for the network header, as many as Linux does when it cuts (6.18).
const TAGS_MAX: usize = 7;
/// IPv6 extension headers looked through; more than one of each kind is not in honest use.
const EXTENSIONS_MAX: usize = 8;
/// Bytes of an IPv6 header, which its payload length does not count.
pub(super) const IPV6_LEN: usize = 40;
/// Where SCTP's CRC is in its header.
pub(super) const SCTP_CHECKSUM: usize = 8;

/// IPv4 as a payload.
pub(super) const IPIP: u8 = 4;
const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
/// IPv6 as a payload.
pub(super) const IPV6: u8 = 41;
pub(super) const GRE: u8 = 47;
const SCTP: u8 = 132;

/// The network protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Network {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Network {
    /// Bytes of the two addresses.
    pub(super) const fn addresses_len(self) -> usize {
        match self {
            Self::V4 => 8,
            Self::V6 => 32,
        }
    }
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

    /// Bytes of the shortest header.
    const fn header_min(self) -> usize {
        match self {
            Self::Tcp => 20,
            Self::Udp => 8,
        }
    }

    /// Its number in an IP header.
    const fn protocol(self) -> u8 {
        match self {
            Self::Tcp => TCP,
            Self::Udp => UDP,
        }
    }
}

/// A packet whose headers are whole: `l3 < l4 < payload <= rest.len()`, each header at least as long
/// as its protocol's shortest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The packet around it, where it is in a tunnel.
    pub(super) outer: Option<Outer>,
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
    /// The layout of a frame that is to be cut, as its offload header says it and its bytes confirm.
    pub(super) fn of(frame: &TxFrame<'_>) -> Result<Self, OffloadError> {
        let TxFrame {
            rest, ref offload, ..
        } = *frame;
        let (wanted, transport) = match offload.gso_kind() {
            VnetHdr::GSO_TCPV4 => (Some(Network::V4), Transport::Tcp),
            VnetHdr::GSO_TCPV6 => (Some(Network::V6), Transport::Tcp),
            VnetHdr::GSO_UDP_L4 => (None, Transport::Udp),
            kind => return Err(OffloadError::UnknownType(kind)),
        };
        let pushed = frame.header.as_slice().len().saturating_sub(ADDRESSES_LEN) / Tag::LEN;
        let mut l3 = network_offset(rest);
        if pushed + l3 / Tag::LEN > TAGS_MAX {
            return Err(OffloadError::Contradiction);
        }
        let mut network = network_at(rest, l3)?;
        let (mut protocol, mut l4) = transport_at(rest, l3, network)?;
        let start = transport_start(frame).ok_or(OffloadError::Contradiction)?;
        let mut outer = None;
        if start > l4
            && let Some((around, from)) = Outer::of(rest, network, l3, protocol, l4)
        {
            protocol = transport.protocol();
            (network, l3) = tunnel::inner(rest, from, start, protocol, wanted)
                .ok_or(OffloadError::Contradiction)?;
            l4 = start;
            outer = Some(around);
        }
        let as_said = wanted.is_none_or(|wanted| wanted == network)
            && protocol == transport.protocol()
            && l4 == start
            && usize::from(offload.csum_offset) == transport.checksum_offset();
        if !as_said {
            return Err(OffloadError::Contradiction);
        }
        let len = match transport {
            Transport::Tcp => usize::from(byte(rest, l4 + 12)? >> 4) * 4,
            Transport::Udp => 8,
        };
        if len < transport.header_min() {
            return Err(OffloadError::Contradiction);
        }
        if l4 + len > rest.len() {
            return Err(OffloadError::Truncated);
        }
        Ok(Self {
            outer,
            network,
            transport,
            l3,
            l4,
            payload: l4 + len,
        })
    }

    /// Where the outermost IP header is.
    pub(super) fn outermost(&self) -> usize {
        self.outer.map_or(self.l3, |outer| outer.l3())
    }
}

/// Where the offload header says that the transport header is, from the start of `rest`.
fn transport_start(frame: &TxFrame<'_>) -> Option<usize> {
    usize::from(frame.offload.csum_start).checked_sub(frame.header.as_slice().len())
}

/// Whether a frame to be cut is a tunnel's: the transport header that its offload header speaks of is
/// behind the packet's own.
pub(super) fn is_tunnel(frame: &TxFrame<'_>) -> bool {
    let l3 = network_offset(frame.rest);
    let own = network_at(frame.rest, l3).and_then(|n| transport_at(frame.rest, l3, n));
    own.is_ok_and(|(_, l4)| transport_start(frame).is_some_and(|start| start > l4))
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
    let l4 = transport_start(frame)?;
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
