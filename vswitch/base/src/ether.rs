//! A checked view of an Ethernet header.
//!
//! [`EtherView::new`] succeeds when there are at least 14 bytes; no accessor can panic after that.
//! The view looks at the bytes in band only: a tag that the kernel took out of band is the
//! business of whoever holds it.

use crate::mac::MacAddr;
use crate::vlan::{Tag, Tci, Tpid};
use core::fmt;

/// Bytes of destination, source and EtherType: the shortest frame a bridge can look at.
pub const HEADER_LEN: usize = 14;
/// Bytes of the two addresses, after which a tag goes.
pub const ADDRESSES_LEN: usize = 12;

/// An EtherType, or a length below 0x600; unknown values are kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EtherType(pub u16);

impl EtherType {
    /// IPv4.
    pub const IPV4: Self = Self(0x0800);
    /// ARP.
    pub const ARP: Self = Self(0x0806);
    /// IPv6.
    pub const IPV6: Self = Self(0x86dd);
    /// Slow protocols (LACP, Marker, OAM).
    pub const SLOW_PROTOCOLS: Self = Self(0x8809);
    /// LLDP.
    pub const LLDP: Self = Self(0x88cc);
}

impl fmt::Debug for EtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// What the bytes after the addresses say about a tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InBandTag {
    /// No tag: the EtherType is payload's.
    None,
    /// A whole tag.
    Tag(Tag),
    /// A TPID, but the frame ends before tag and inner EtherType are complete.
    Truncated,
}

/// A frame of at least 14 bytes.
#[derive(Clone, Copy, Debug)]
pub struct EtherView<'a> {
    header: &'a [u8; HEADER_LEN],
    rest: &'a [u8],
}

impl<'a> EtherView<'a> {
    /// A view of `bytes`; `None` when they are fewer than 14.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        bytes
            .split_first_chunk()
            .map(|(header, rest)| Self { header, rest })
    }

    /// The destination address.
    #[inline]
    #[must_use]
    pub fn dst(&self) -> MacAddr {
        let [a, b, c, d, e, f, ..] = *self.header;
        MacAddr([a, b, c, d, e, f])
    }

    /// The source address, whether or not a station may have it.
    #[inline]
    #[must_use]
    pub fn src(&self) -> MacAddr {
        let [_, _, _, _, _, _, a, b, c, d, e, f, ..] = *self.header;
        MacAddr([a, b, c, d, e, f])
    }

    /// The 16 bits after the addresses: an EtherType, a length, or a TPID.
    #[inline]
    #[must_use]
    pub const fn outer_type(&self) -> EtherType {
        EtherType(u16::from_be_bytes([self.header[12], self.header[13]]))
    }

    /// The outermost tag in band. A tag counts as whole when its control information and the
    /// next EtherType are there (Linux wants two bytes more); what follows them is payload.
    #[inline]
    #[must_use]
    pub fn tag(&self) -> InBandTag {
        match Tpid::from_ether_type(self.outer_type().0) {
            None => InBandTag::None,
            Some(tpid) => match *self.rest {
                [a, b, _, _, ..] => InBandTag::Tag(Tag {
                    tpid,
                    tci: Tci(u16::from_be_bytes([a, b])),
                }),
                _ => InBandTag::Truncated,
            },
        }
    }

    /// What follows the first 14 bytes.
    #[inline]
    #[must_use]
    pub const fn after_header(&self) -> &'a [u8] {
        self.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: [u8; 20] = [
        1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0x81, 0x00, 0xa0, 0x64, 0x08, 0x00, 0x45, 0x00,
    ];

    #[test]
    fn fields_are_where_the_standard_puts_them() {
        let view = EtherView::new(&FRAME).unwrap();
        assert_eq!(view.dst(), MacAddr([1, 2, 3, 4, 5, 6]));
        assert_eq!(view.src(), MacAddr([7, 8, 9, 10, 11, 12]));
        assert_eq!(
            view.tag(),
            InBandTag::Tag(Tag {
                tpid: Tpid::Dot1q,
                tci: Tci(0xa064)
            })
        );
    }

    #[test]
    fn every_length_is_safe() {
        for len in 0..FRAME.len() {
            let view = EtherView::new(&FRAME[..len]);
            assert_eq!(view.is_some(), len >= HEADER_LEN);
            if let Some(view) = view {
                assert_eq!(view.tag() == InBandTag::Truncated, len < 18);
            }
        }
    }
}
