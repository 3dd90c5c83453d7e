//! Which frames the kernel's driver balances over members in its modes balance-tlb and balance-alb, and by what
//! number in the latter (`bond_xmit_tlb_slave_get`, `bond_xmit_alb_slave_get`).
//!
//! Both leave to the active member what has to be heard from one place: what is no IP, ARP above all, and
//! neighbour discovery. The driver's balance-alb also balances most multicast; a bridge's groups are its
//! stations', and stay with the active member here.

use super::{FlowView, bytes_at, mix, protocol};
use crate::ether::EtherType;

/// Types of ICMPv6 messages: neighbour solicitation and advertisement (RFC 4861, 4.3, 4.4).
const NEIGHBOUR: [u8; 2] = [135, 136];

impl FlowView<'_> {
    /// Whether balance-tlb balances it: a unicast frame of IPv4 or IPv6 that is no neighbour discovery.
    #[inline]
    #[must_use]
    pub fn is_balanced(&self) -> bool {
        self.addresses[0] & 1 == 0
            && match self.kind {
                EtherType::IPV4 => true,
                EtherType::IPV6 => !self.is_neighbour_discovery(),
                _ => false,
            }
    }

    /// Whether balance-alb balances it: as [`Self::is_balanced`], but for IGMP, the limited broadcast, and what
    /// has no source address yet.
    #[inline]
    #[must_use]
    pub fn is_balanced_adaptively(&self) -> bool {
        self.is_balanced()
            && match self.kind {
                EtherType::IPV4 => bytes_at::<20>(self.payload, 0)
                    .is_some_and(|h| h[9] != protocol::IGMP && h[16..] != [0xff; 4]),
                _ => bytes_at::<40>(self.payload, 0).is_some_and(|h| h[8..24] != [0; 16]),
            }
    }

    /// The number of balance-alb: all bytes of the destination's IP address by exclusive or. A `seed` as in
    /// [`Self::hash`].
    #[inline]
    #[must_use]
    pub fn destination(&self, seed: u32) -> u32 {
        let address: &[u8] = match self.kind {
            EtherType::IPV4 => bytes_at::<4>(self.payload, 16).map_or(&[], |a| a),
            EtherType::IPV6 => bytes_at::<16>(self.payload, 24).map_or(&[], |a| a),
            _ => &[],
        };
        let number = u32::from(address.iter().fold(0, |all, byte| all ^ byte));
        if seed == 0 {
            number
        } else {
            mix(number ^ seed)
        }
    }

    /// Whether it is, or may be, since it ends too early.
    #[inline]
    fn is_neighbour_discovery(&self) -> bool {
        let Some(header) = bytes_at::<40>(self.payload, 0) else {
            return true;
        };
        header[6] == protocol::ICMPV6
            && bytes_at::<8>(self.payload, 40).is_none_or(|message| NEIGHBOUR.contains(&message[0]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNICAST: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    const GROUP: [u8; 12] = [1, 0, 0x5e, 0, 0, 1, 2, 0, 0, 0, 0, 2];

    fn view<'a>(addresses: &'a [u8; 12], kind: u16, payload: &'a [u8]) -> FlowView<'a> {
        FlowView {
            addresses,
            tag: None,
            kind: EtherType(kind),
            payload,
        }
    }

    fn v4(protocol: u8, to: [u8; 4]) -> [u8; 60] {
        let mut packet = [0; 60];
        (packet[0], packet[9]) = (0x45, protocol);
        packet[12..16].copy_from_slice(&[10, 0, 0, 1]);
        packet[16..20].copy_from_slice(&to);
        packet
    }

    fn v6(next: u8, message: u8, from: u8) -> [u8; 60] {
        let mut packet = [0; 60];
        (packet[0], packet[6], packet[40]) = (0x60, next, message);
        packet[23] = from;
        packet[24..40].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        packet
    }

    /// as the driver decides, row by row: in balance-tlb, and in balance-alb.
    #[test]
    fn ip_is_balanced_and_what_binds_addresses_is_not() {
        let v4 = |protocol, to| (0x0800, v4(protocol, to));
        let v6 = |next, message, from| (0x86dd, v6(next, message, from));
        for ((kind, packet), tlb, alb) in [
            (v4(6, [10, 0, 0, 2]), true, true),
            (v4(17, [255; 4]), true, false),
            (v4(2, [224, 0, 0, 1]), true, false),
            (v6(6, 0, 1), true, true),
            (v6(6, 0, 0), true, false),
            (v6(58, 128, 1), true, true),
            (v6(58, 135, 1), false, false),
            (v6(58, 136, 1), false, false),
            ((0x0806, [0; 60]), false, false),
            ((0x9000, [0; 60]), false, false),
            ((0x8100, [0; 60]), false, false),
        ] {
            let unicast = view(&UNICAST, kind, &packet);
            let is = (unicast.is_balanced(), unicast.is_balanced_adaptively());
            assert_eq!(is, (tlb, alb), "{kind:x} {packet:x?}");
            let group = view(&GROUP, kind, &packet);
            assert!(!group.is_balanced() && !group.is_balanced_adaptively());
        }
    }

    #[test]
    fn what_ends_early_goes_by_the_active_member() {
        let whole = v6(58, 128, 1);
        for len in 0..48 {
            let cut = view(&UNICAST, 0x86dd, &whole[..len]);
            assert!(!cut.is_balanced(), "{len}");
        }
        let whole = v4(6, [10, 0, 0, 2]);
        for len in 0..20 {
            let cut = view(&UNICAST, 0x0800, &whole[..len]);
            assert!(!cut.is_balanced_adaptively(), "{len}");
            assert_eq!(cut.destination(0), 0);
        }
    }

    /// the driver's `_simple_hash`.
    #[test]
    fn the_number_is_of_the_destination_alone() {
        let number = |packet: &[u8], kind| view(&UNICAST, kind, packet).destination(0);
        assert_eq!(number(&v4(6, [10, 0, 0, 2]), 0x0800), 8);
        assert_eq!(number(&v4(17, [10, 1, 0, 2]), 0x0800), 9);
        assert_eq!(number(&v6(6, 0, 7), 0x86dd), (1..=16).fold(0, |a, b| a ^ b));
        let seeded = view(&UNICAST, 0x0800, &v4(6, [10, 0, 0, 2])).destination(9);
        assert_ne!(seeded, 8);
    }
}
