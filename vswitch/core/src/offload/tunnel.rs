//! Tunnels: a packet to be cut that another packet carries.
//!
//! A pod's VXLAN device over a veth, or generic receive offload of IPIP and GRE on a NIC, gives us frames
//! whose offload header speaks of the inner packet alone: a virtio-net header cannot name the outer one.
//! No device and no kernel would cut such a frame rightly for us, so it is cut here for every port, and
//! every segment leaves complete.
//!
//! ```text
//!   [ outer IP | UDP, or GRE, or nothing | VXLAN, Geneve, Ethernet .. | inner IP | TCP | payload ]
//!     l3         l4                        copied as it is              Layout::l3  Layout::l4
//! ```
//!
//! What is between the two is not read: no tunnel that Linux makes such frames of has a length or sum in
//! it. Where the inner packet starts is told by its end, which the offload header names, and believed
//! only if all that the inner IP header says of itself is true.
//!
//! Used by [`super`] only. Every read is checked; [`Outer::patch`] writes where [`Outer::of`] has read.

use super::checksum::{add, never_zero, sum};
use super::headers::{GRE, IPIP, IPV6, IPV6_LEN, Network, UDP, word};
use super::segment::{patch_network, put, short};

/// Flag of a GRE header: a key follows. All others (checksum, sequence number) are not for cutting.
const GRE_KEY: u16 = 0x2000;

/// The packet around the one that is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outer {
    network: Network,
    /// The IP header.
    l3: usize,
    /// What follows it.
    l4: usize,
    /// That this is a UDP header.
    udp: bool,
    /// IPv4 identification; unused for IPv6.
    id: u16,
}

impl Outer {
    /// The outer packet and where the first byte of an inner one may be, if `protocol` at `l4` is one
    /// that carries packets.
    pub(super) fn of(
        rest: &[u8],
        network: Network,
        l3: usize,
        protocol: u8,
        l4: usize,
    ) -> Option<(Self, usize)> {
        let inner_from = match protocol {
            IPIP | IPV6 => l4,
            UDP => l4 + 8,
            GRE => match word(rest, l4).ok()? {
                0 => l4 + 4,
                GRE_KEY => l4 + 8,
                _ => return None,
            },
            _ => return None,
        };
        // Behind a routing header another address would be in the sum.
        if network == Network::V6 && l4 != l3 + IPV6_LEN {
            return None;
        }
        let outer = Self {
            network,
            l3,
            l4,
            udp: protocol == UDP,
            id: word(rest, l3 + 4).ok()?,
        };
        (inner_from <= rest.len()).then_some((outer, inner_from))
    }

    /// Where the outer IP header is.
    pub(super) const fn l3(&self) -> usize {
        self.l3
    }

    /// Lengths, identification and sums around segment number `i`, which is complete inside.
    pub(super) fn patch(&self, segment: &mut [u8], i: usize) {
        patch_network(segment, self.network, self.l3..self.l4, self.id, i);
        if !self.udp {
            return;
        }
        let (ip, datagram) = segment.split_at_mut(self.l4);
        let len = short(datagram.len());
        put(datagram, 4, len);
        // A checksum of zero says that there is none, as VXLAN has it over IPv4.
        if datagram[6..8] != [0, 0] {
            put(datagram, 6, 0);
            let addresses = match self.network {
                Network::V4 => &ip[self.l3 + 12..],
                Network::V6 => &ip[self.l3 + 8..],
            };
            let addresses = &addresses[..self.network.addresses_len()];
            let pseudo = add(add(sum(addresses), UDP.into()), len);
            let checksum = !add(pseudo, sum(datagram));
            put(datagram, 6, never_zero(checksum));
        }
    }
}

/// The network header of the inner packet whose transport header of `protocol` is at `l4`, not before
/// byte `from`.
pub(super) fn inner(
    rest: &[u8],
    from: usize,
    l4: usize,
    protocol: u8,
    wanted: Option<Network>,
) -> Option<(Network, usize)> {
    let v4 = || {
        let lens = (5..=15).map(|words: u8| (0x40 | words, usize::from(words) * 4));
        let mut places = lens.filter_map(|(first, len)| Some((first, l4.checked_sub(len)?)));
        let (_, l3) = places.find(|&(first, l3)| {
            l3 >= from
                && rest.get(l3) == Some(&first)
                && rest.get(l3 + 9) == Some(&protocol)
                && word(rest, l3 + 2).is_ok_and(|len| usize::from(len) == rest.len() - l3)
                && rest.get(l3..l4).is_some_and(|header| sum(header) == 0xffff)
        })?;
        Some((Network::V4, l3))
    };
    let v6 = || {
        let l3 = l4.checked_sub(IPV6_LEN).filter(|l3| *l3 >= from)?;
        let is_one = rest.get(l3)? >> 4 == 6
            && rest.get(l3 + 6) == Some(&protocol)
            && word(rest, l3 + 4)
                .is_ok_and(|len| Some(usize::from(len)) == rest.len().checked_sub(l4));
        is_one.then_some((Network::V6, l3))
    };
    match wanted {
        Some(Network::V4) => v4(),
        Some(Network::V6) => v6(),
        None => v4().or_else(v6),
    }
}
