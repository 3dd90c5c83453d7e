//! The flow of a frame as one number, equal to what the Linux bonding driver computes (K-20).
//!
//! A bond sends all frames of a flow by one member. What a flow is, [`HashPolicy`] says under the
//! kernel's names and numbers; [`hash`] gives the number whose remainder by the count of usable members
//! is, in Linux, the index of the member. `tests/data/bond` holds a kernel's choices for thousands of
//! frames, and a test replays them.
//!
//! The number is the one of little-endian machines, whatever machine this is: Linux takes addresses and
//! ports as they lie in memory, so its own choice depends on byte order. A frame is looked at as the driver
//! sees one that comes from a bridge: the outermost tag is beside the frame and counts for nothing but
//! `vlan+srcmac`; a second tag is payload, which only the `encap` policies look through.
//!
//! Pure, without allocation, and safe on any bytes: a frame that ends early is hashed by what it has.

mod balanced;
mod dissect;
#[cfg(test)]
mod tests;

use crate::ether::{ADDRESSES_LEN, EtherType};
use crate::vlan::{Tag, Tci, Tpid};
use core::fmt;
use core::str::FromStr;

/// What makes a flow (`xmit_hash_policy` of Linux).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum HashPolicy {
    /// `layer2`: last bytes of both MAC addresses and the EtherType.
    #[default]
    Layer2 = 0,
    /// `layer3+4`: IP addresses and ports, or an echo's identifier; of an ICMP error those of the packet
    /// that it tells of. Fragments have no ports, so parts of one flow can part.
    Layer34 = 1,
    /// `layer2+3`: as `layer2`, and IP addresses.
    Layer23 = 2,
    /// `encap2+3`: as `layer2+3`, with the addresses of the innermost packet in GRE, IP in IP, PPPoE, a
    /// second tag and what else the kernel's dissector opens. That is not VXLAN or Geneve, whose outer
    /// ports stand for the flow, nor MPLS.
    Encap23 = 3,
    /// `encap3+4`: as `layer3+4` of the innermost packet; an ICMP error is not looked into.
    Encap34 = 4,
    /// `vlan+srcmac`: the outermost tag, priority included, and the source address.
    VlanSrcmac = 5,
}

impl HashPolicy {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Layer2,
        Self::Layer34,
        Self::Layer23,
        Self::Encap23,
        Self::Encap34,
        Self::VlanSrcmac,
    ];

    /// The kernel's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Layer2 => "layer2",
            Self::Layer34 => "layer3+4",
            Self::Layer23 => "layer2+3",
            Self::Encap23 => "encap2+3",
            Self::Encap34 => "encap3+4",
            Self::VlanSrcmac => "vlan+srcmac",
        }
    }

    /// The kernel's number (`IFLA_BOND_XMIT_HASH_POLICY`).
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The policy of a kernel's number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for HashPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What was said is no [`HashPolicy`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidHashPolicy;

impl fmt::Display for InvalidHashPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no hash policy; use ")?;
        for policy in HashPolicy::ALL {
            write!(f, "{policy}, ")?;
        }
        f.write_str("or the number 0 to 5")
    }
}

impl core::error::Error for InvalidHashPolicy {}

impl FromStr for HashPolicy {
    type Err = InvalidHashPolicy;

    /// A name or a number, as the kernel's option takes both.
    fn from_str(text: &str) -> Result<Self, InvalidHashPolicy> {
        let named = Self::ALL.into_iter().find(|policy| policy.name() == text);
        let numbered = || Self::from_number(text.parse().ok()?);
        named.or_else(numbered).ok_or(InvalidHashPolicy)
    }
}

/// Tags in band that Linux looks through for the network protocol, the outermost apart.
const TAGS_MAX: usize = 6;

/// What of a frame makes its flow.
#[derive(Clone, Copy, Debug)]
pub struct FlowView<'a> {
    /// Destination and source address.
    pub addresses: &'a [u8; ADDRESSES_LEN],
    /// The outermost tag's control information.
    pub tag: Option<Tci>,
    /// What is behind the outermost tag: an EtherType, a length or the TPID of a second tag.
    pub kind: EtherType,
    /// What follows `kind`.
    pub payload: &'a [u8],
}

impl<'a> FlowView<'a> {
    /// A view of a frame, with its outermost tag in band or handed over in `stripped`; `None` when it has
    /// fewer than 14 bytes. A tag that is cut short is no tag (Linux drops such a frame).
    ///
    /// Where tags end in MPLS, Linux writes the outermost one back into the frame before a bond sees it,
    /// because devices promise nothing for MPLS. So the TPID is the EtherType here too, there is no tag
    /// beside the bytes, and `payload` is still what is behind that tag.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8], stripped: Option<Tag>) -> Option<Self> {
        let (addresses, rest) = bytes.split_first_chunk()?;
        Self::leaving(addresses, stripped, rest)
    }

    /// As [`Self::new`], of a frame that is put together when it leaves: its addresses, a tag before all
    /// others, and what begins with the EtherType or with the next tag.
    #[inline]
    #[must_use]
    pub fn leaving(
        addresses: &'a [u8; ADDRESSES_LEN],
        stripped: Option<Tag>,
        rest: &'a [u8],
    ) -> Option<Self> {
        let (kind, payload) = rest.split_first_chunk()?;
        let view = Self {
            addresses,
            tag: None,
            kind: EtherType(u16::from_be_bytes(*kind)),
            payload,
        };
        if let Some(tag) = stripped {
            return Some(view.behind(tag));
        }
        if let Some(tpid) = Tpid::from_ether_type(view.kind.0)
            && let Some(([a, b, c, d], payload)) = payload.split_first_chunk()
        {
            let tci = Tci(u16::from_be_bytes([*a, *b]));
            let kind = EtherType(u16::from_be_bytes([*c, *d]));
            let inner = Self {
                kind,
                payload,
                ..view
            };
            return Some(inner.behind(Tag { tpid, tci }));
        }
        Some(view)
    }

    /// This untagged view with a tag before it.
    #[inline]
    fn behind(self, tag: Tag) -> Self {
        if self.ends_in_mpls() {
            Self {
                kind: EtherType(tag.tpid.ether_type()),
                ..self
            }
        } else {
            Self {
                tag: Some(tag.tci),
                ..self
            }
        }
    }

    /// Whether what follows all tags in band is MPLS. As many tags are looked at as Linux does.
    #[inline]
    fn ends_in_mpls(&self) -> bool {
        let mut kind = self.kind.0;
        let mut rest = self.payload;
        for _ in 0..TAGS_MAX {
            if Tpid::from_ether_type(kind).is_none() {
                break;
            }
            let Some(([_, _, a, b], behind)) = rest.split_first_chunk() else {
                break;
            };
            kind = u16::from_be_bytes([*a, *b]);
            rest = behind;
        }
        matches!(kind, 0x8847 | 0x8848)
    }

    /// The flow as a number. With a `seed` of 0 it is the kernel's; any other seed deals the same flows
    /// anew (Open vSwitch's `bond-hash-basis`, K-38): flows that had one number still have one.
    #[inline]
    #[must_use]
    pub fn hash(&self, policy: HashPolicy, seed: u32) -> u32 {
        let hash = self.kernel_hash(policy);
        if seed == 0 { hash } else { mix(hash ^ seed) }
    }

    /// Whether it is IGMP over IPv4, which balance-rr sends by the active member alone.
    #[inline]
    #[must_use]
    pub fn is_igmp(&self) -> bool {
        let header = || bytes_at::<20>(self.payload, 0);
        self.kind == EtherType::IPV4 && header().is_some_and(|h| h[9] == protocol::IGMP)
    }

    #[inline]
    fn kernel_hash(&self, policy: HashPolicy) -> u32 {
        match policy {
            HashPolicy::Layer2 => self.ethernet(),
            HashPolicy::VlanSrcmac => self.vlan_and_source(),
            HashPolicy::Layer23 | HashPolicy::Layer34 => self.outer(policy == HashPolicy::Layer34),
            HashPolicy::Encap23 | HashPolicy::Encap34 => {
                let keys = dissect::innermost_keys(self.kind, self.tag.is_some(), self.payload);
                self.network(keys, policy == HashPolicy::Encap34)
            }
        }
    }

    /// By the outermost packet. What most frames are is decided without the detour over keys in memory.
    #[inline]
    fn outer(&self, ports_count: bool) -> u32 {
        let Some(ip) = IpHeader::parse(self.kind, self.payload, 0) else {
            return self.ethernet();
        };
        if ip.protocol == protocol::ICMP || ip.protocol == protocol::ICMPV6 {
            let keys = icmp_keys(self.kind, self.payload, ip);
            return self.network(keys, ports_count);
        }
        if ports_count {
            fold(ip.addresses ^ ports(self.payload, ip.end, ip.protocol)) >> 1
        } else {
            fold(ip.addresses ^ self.ethernet())
        }
    }

    #[inline]
    fn network(&self, keys: Option<FlowKeys>, ports_count: bool) -> u32 {
        match keys {
            None => self.ethernet(),
            Some(keys) if ports_count => fold(keys.addresses ^ keys.transport()) >> 1,
            Some(keys) => fold(keys.addresses ^ self.ethernet()),
        }
    }

    #[inline]
    fn ethernet(&self) -> u32 {
        let [.., destination, _, _, _, _, _, source] = *self.addresses;
        u32::from(destination ^ source) ^ u32::from(self.kind.0)
    }

    #[inline]
    fn vlan_and_source(&self) -> u32 {
        let [.., a, b, c, d, e, f] = *self.addresses;
        let tag = self.tag.map_or(0, |tci| u32::from(tci.0));
        tag ^ u32::from_be_bytes([0, a, b, c]) ^ u32::from_be_bytes([0, d, e, f])
    }
}

/// [`FlowView::hash`] of a frame's bytes; 0 when they are fewer than 14, which no bond is given.
#[inline]
#[must_use]
pub fn hash(policy: HashPolicy, bytes: &[u8], stripped: Option<Tag>, seed: u32) -> u32 {
    FlowView::new(bytes, stripped).map_or(0, |view| view.hash(policy, seed))
}

/// What headers say of a flow; 32-bit words as they lie in memory, least significant byte first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct FlowKeys {
    /// All words of both IP addresses, by exclusive or; TIPC's node.
    addresses: u32,
    /// Source and destination port, or the security parameter index of ESP and AH.
    ports: u32,
    /// Type, code and identifier of an echo or timestamp; 0: none.
    icmp: u32,
}

impl FlowKeys {
    #[inline]
    const fn transport(self) -> u32 {
        if self.icmp == 0 {
            self.ports
        } else {
            self.icmp
        }
    }
}

/// The keys of a packet behind whose `outer` header is ICMP: an error's are those of the packet that it
/// tells of. `None`: hashed as if it were not IP.
#[inline(never)]
fn icmp_keys(kind: EtherType, packet: &[u8], outer: IpHeader) -> Option<FlowKeys> {
    let mut keys = FlowKeys {
        addresses: outer.addresses,
        ..FlowKeys::default()
    };
    let Some(header) = bytes_at::<8>(packet, outer.end) else {
        return Some(keys);
    };
    if !is_icmp_error(outer.protocol, header[0]) {
        keys.icmp = icmp_key(*header);
        return Some(keys);
    }
    // The error is of the outer packet's protocol, so the packet in it is taken for the same.
    let inner = IpHeader::parse(kind, packet, outer.end + header.len())?;
    keys.addresses = inner.addresses;
    keys.ports = ports(packet, inner.end, inner.protocol);
    Some(keys)
}

/// Numbers of what follows an IP header.
mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ICMP: u8 = 1;
    pub(super) const IGMP: u8 = 2;
    pub(super) const IPIP: u8 = 4;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const DCCP: u8 = 33;
    pub(super) const IPV6: u8 = 41;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const GRE: u8 = 47;
    pub(super) const ESP: u8 = 50;
    pub(super) const AH: u8 = 51;
    pub(super) const ICMPV6: u8 = 58;
    pub(super) const DESTINATION: u8 = 60;
    pub(super) const SCTP: u8 = 132;
    pub(super) const UDP_LITE: u8 = 136;
    pub(super) const MPLS: u8 = 137;
    /// Reserved by IANA, and nothing to the kernel's dissector: stands for no header.
    pub(super) const NONE: u8 = 255;
}

/// What an IPv4 or IPv6 header says of a flow. Neither version nor lengths are checked, as in Linux.
#[derive(Clone, Copy, Debug)]
struct IpHeader {
    /// See [`FlowKeys::addresses`].
    addresses: u32,
    /// Where the next header is; may lie behind the packet's end, and in the header itself where the
    /// header says that it is shorter than 20 bytes.
    end: usize,
    /// What the next header is; [`protocol::NONE`] in an IPv4 fragment, first or later.
    protocol: u8,
}

impl IpHeader {
    /// The header at `at`, of the protocol that `kind` says; `None` when it is another or cut short.
    #[inline]
    fn parse(kind: EtherType, packet: &[u8], at: usize) -> Option<Self> {
        match kind {
            EtherType::IPV4 => {
                let header = bytes_at::<20>(packet, at)?;
                let fragment = u16::from_be_bytes([header[6], header[7]]);
                Some(Self {
                    addresses: words(&header[12..]),
                    end: at + usize::from(header[0] & 0xf) * 4,
                    // A fragment has more fragments behind it, or an offset.
                    protocol: if fragment & 0x3fff == 0 {
                        header[9]
                    } else {
                        protocol::NONE
                    },
                })
            }
            EtherType::IPV6 => {
                let header = bytes_at::<40>(packet, at)?;
                Some(Self {
                    addresses: words(&header[8..]),
                    end: at + header.len(),
                    protocol: header[6],
                })
            }
            _ => None,
        }
    }
}

/// The ports, or what stands for them, of a header at `at`; 0 when it has none or is cut short.
#[inline]
fn ports(packet: &[u8], at: usize, protocol: u8) -> u32 {
    let skip = match protocol {
        protocol::TCP
        | protocol::UDP
        | protocol::DCCP
        | protocol::ESP
        | protocol::SCTP
        | protocol::UDP_LITE => 0,
        protocol::AH => 4,
        _ => return 0,
    };
    bytes_at(packet, at + skip).map_or(0, |word| u32::from_le_bytes(*word))
}

/// Type, code and identifier where the type has one; 0 otherwise. The identifier 0 counts as 1, so that
/// an echo is always told from what has none. Both protocols' types are known at once, as in Linux.
#[inline]
fn icmp_key(header: [u8; 8]) -> u32 {
    match header[0] {
        0 | 8 | 13 | 14 | 128 | 129 => {
            let id = u16::from_be_bytes([header[4], header[5]]).max(1);
            u32::from(id) << 16 | u32::from(header[1]) << 8 | u32::from(header[0])
        }
        _ => 0,
    }
}

/// Whether a packet of this type tells of another packet, which it carries.
const fn is_icmp_error(protocol: u8, kind: u8) -> bool {
    if protocol == protocol::ICMP {
        matches!(kind, 3 | 4 | 5 | 11 | 12)
    } else {
        matches!(kind, 1..=4)
    }
}

/// The bytes at `at`, when all of them are there.
#[inline]
fn bytes_at<const N: usize>(packet: &[u8], at: usize) -> Option<&[u8; N]> {
    packet.get(at..)?.first_chunk()
}

/// All 32-bit words of `bytes` by exclusive or.
#[inline]
fn words(bytes: &[u8]) -> u32 {
    let (words, _) = bytes.as_chunks();
    words
        .iter()
        .fold(0, |all, word| all ^ u32::from_le_bytes(*word))
}

/// Brings the upper bytes into the lowest, which a remainder by few members depends on most.
#[inline]
const fn fold(hash: u32) -> u32 {
    let hash = hash ^ hash >> 16;
    hash ^ hash >> 8
}

/// A permutation of the 32-bit numbers in which every bit of the argument matters to every bit.
#[inline]
const fn mix(hash: u32) -> u32 {
    let hash = (hash ^ hash >> 16).wrapping_mul(0x7feb_352d);
    let hash = (hash ^ hash >> 15).wrapping_mul(0x846c_a68b);
    hash ^ hash >> 16
}
