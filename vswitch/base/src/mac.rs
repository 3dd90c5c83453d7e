//! MAC addresses and the group addresses that standards reserve.
//!
//! Sources: IEEE 802.1Q table 8-1 (01-80-C2-00-00-0X), 802.3 annex 57A (slow protocols).

use core::fmt;
use core::str::FromStr;

/// A 48-bit MAC address in transmission order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// 00:00:00:00:00:00: legal as a destination (it floods), never as a source.
    pub const ZERO: Self = Self([0; 6]);
    /// 01:80:c2:00:00:00, spanning tree BPDUs of customer bridges.
    pub const BRIDGE_GROUP: Self = Self::reserved(0x00);
    /// 01:80:c2:00:00:01, MAC control (PAUSE, PFC): never forwarded by any bridge.
    pub const PAUSE: Self = Self::reserved(0x01);
    /// 01:80:c2:00:00:02, slow protocols: LACP, Marker, OAM.
    pub const SLOW_PROTOCOLS: Self = Self::reserved(0x02);
    /// 01:80:c2:00:00:0e, LLDP for the nearest bridge.
    pub const LLDP_NEAREST_BRIDGE: Self = Self::reserved(0x0e);
    /// 01:00:0c:cc:cc:cd, Cisco per-VLAN spanning tree.
    pub const PVST: Self = Self([0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcd]);

    const fn reserved(last: u8) -> Self {
        Self([0x01, 0x80, 0xc2, 0x00, 0x00, last])
    }

    /// The address in the first six bytes of `bytes`; `None` when there are fewer.
    #[inline]
    #[must_use]
    pub fn from_prefix(bytes: &[u8]) -> Option<Self> {
        bytes.first_chunk::<6>().map(|b| Self(*b))
    }

    /// The address as the low 48 bits of a number, first byte most significant.
    #[inline]
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        let b = self.0;
        u64::from_be_bytes([0, 0, b[0], b[1], b[2], b[3], b[4], b[5]])
    }

    /// The inverse of [`Self::to_u64`]; the upper 16 bits are ignored.
    #[inline]
    #[must_use]
    pub const fn from_u64(value: u64) -> Self {
        let b = value.to_be_bytes();
        Self([b[2], b[3], b[4], b[5], b[6], b[7]])
    }

    /// The address as a number.
    #[inline]
    #[must_use]
    pub const fn word(self) -> MacWord {
        MacWord(self.to_u64())
    }

    /// Whether the group bit is set; true for broadcast too.
    #[inline]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.word().is_multicast()
    }

    /// Whether this is ff:ff:ff:ff:ff:ff.
    #[inline]
    #[must_use]
    pub const fn is_broadcast(self) -> bool {
        self.word().is_broadcast()
    }

    /// Whether all bits are zero.
    #[inline]
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.to_u64() == 0
    }

    /// Whether a station may send from this address: neither zero nor a group.
    #[inline]
    #[must_use]
    pub const fn is_valid_source(self) -> bool {
        self.word().is_valid_source()
    }

    /// The last four bits of 01-80-C2-00-00-0X, the addresses that a bridge does not forward by
    /// itself (IEEE 802.1Q table 8-1); `None` for every other address.
    #[inline]
    #[must_use]
    pub const fn reserved_group(self) -> Option<u8> {
        self.word().reserved_group()
    }
}

/// An address as the low 48 bits of a number, first byte most significant: the form in which the data
/// path carries, compares and hashes addresses. Six bytes that are written one by one and read back as
/// a word make the processor wait; a word does not.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MacWord(u64);

impl MacWord {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// The number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The address in transmission order.
    #[inline]
    #[must_use]
    pub const fn mac(self) -> MacAddr {
        MacAddr::from_u64(self.0)
    }

    /// As [`MacAddr::is_multicast`].
    #[inline]
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0 & 1 << 40 != 0
    }

    /// As [`MacAddr::is_broadcast`].
    #[inline]
    #[must_use]
    pub const fn is_broadcast(self) -> bool {
        self.0 == MacAddr::BROADCAST.to_u64()
    }

    /// As [`MacAddr::is_valid_source`].
    #[inline]
    #[must_use]
    pub const fn is_valid_source(self) -> bool {
        !self.is_multicast() && self.0 != 0
    }

    /// As [`MacAddr::reserved_group`].
    #[inline]
    #[must_use]
    pub const fn reserved_group(self) -> Option<u8> {
        if self.0 & !0x0f == MacAddr::reserved(0).to_u64() {
            Some((self.0 & 0x0f) as u8)
        } else {
            None
        }
    }
}

impl fmt::Display for MacWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.mac(), f)
    }
}

impl fmt::Debug for MacWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.mac(), f)
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not six pairs of hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParseMacError;

impl fmt::Display for ParseMacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a MAC address is six pairs of hexadecimal digits, as 52:54:00:12:34:56")
    }
}

impl core::error::Error for ParseMacError {}

impl FromStr for MacAddr {
    type Err = ParseMacError;

    /// Accepts `:` or `-` between the pairs, not both in one address.
    fn from_str(text: &str) -> Result<Self, ParseMacError> {
        let bytes = text.as_bytes();
        if bytes.len() != 17 || !matches!(bytes[2], b':' | b'-') {
            return Err(ParseMacError);
        }
        let mut mac = [0; 6];
        for (i, out) in mac.iter_mut().enumerate() {
            if i > 0 && bytes[i * 3 - 1] != bytes[2] {
                return Err(ParseMacError);
            }
            let digit = |b: u8| match b {
                b'0'..=b'9' => Ok(b - b'0'),
                b'a'..=b'f' => Ok(b - b'a' + 10),
                b'A'..=b'F' => Ok(b - b'A' + 10),
                _ => Err(ParseMacError),
            };
            *out = digit(bytes[i * 3])? << 4 | digit(bytes[i * 3 + 1])?;
        }
        Ok(Self(mac))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn text_round_trips_in_both_spellings() {
        let mac: MacAddr = "52:54:00:AB:cd:0f".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:ab:cd:0f");
        assert_eq!("52-54-00-ab-cd-0f".parse(), Ok(mac));
        assert_eq!(MacAddr::from_u64(mac.to_u64()), mac);
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            "52:54:00:ab:cd",
            "52:54:00:ab:cd:0g",
            "52:54-00:ab:cd:0f",
            "525400abcd0f",
            "52:54:00:ab:cd:0f:00",
            "é:54:00:ab:cd:0f",
        ] {
            assert_eq!(text.parse::<MacAddr>(), Err(ParseMacError), "{text}");
        }
    }

    #[test]
    fn reserved_groups_are_the_sixteen_and_no_other() {
        assert_eq!(MacAddr::BRIDGE_GROUP.reserved_group(), Some(0));
        assert_eq!(MacAddr::LLDP_NEAREST_BRIDGE.reserved_group(), Some(14));
        assert_eq!(
            MacAddr([0x01, 0x80, 0xc2, 0, 0, 0x10]).reserved_group(),
            None
        );
        assert_eq!(
            MacAddr([0x01, 0x80, 0xc2, 0, 1, 0x00]).reserved_group(),
            None
        );
        assert_eq!(MacAddr::BROADCAST.reserved_group(), None);
    }

    #[test]
    fn sources_are_single_stations() {
        assert!(MacAddr([0x52, 0, 0, 0, 0, 1]).is_valid_source());
        assert!(!MacAddr::ZERO.is_valid_source());
        assert!(!MacAddr::BROADCAST.is_valid_source());
        assert!(!MacAddr([0x01, 0, 0x5e, 0, 0, 1]).is_valid_source());
    }
}
