//! VLAN identifiers, priorities and tags (IEEE 802.1Q clause 9).

use core::fmt;
use core::num::NonZeroU16;

/// A VLAN that frames can be in: 1 to 4094. `Option<Vid>` takes no more room than `Vid`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vid(NonZeroU16);

/// Why a number is not a [`Vid`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InvalidVid {
    /// 0 marks a priority tag, which names no VLAN.
    Zero,
    /// 4095 is reserved by IEEE 802.1Q.
    Reserved,
    /// More than 12 bits.
    TooLarge(u16),
}

impl fmt::Display for InvalidVid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zero => f.write_str("VLAN 0 marks a priority tag and is no VLAN; use 1 to 4094"),
            Self::Reserved => f.write_str("VLAN 4095 is reserved by 802.1Q; use 1 to 4094"),
            Self::TooLarge(v) => write!(f, "VLAN {v} does not exist; use 1 to 4094"),
        }
    }
}

impl core::error::Error for InvalidVid {}

impl Vid {
    /// The lowest VLAN, 802.1Q's default PVID.
    pub const MIN: Self = Self(NonZeroU16::MIN);
    /// The highest usable VLAN.
    pub const MAX: Self = Self(NonZeroU16::new(4094).unwrap());

    /// The VLAN of that number.
    ///
    /// # Errors
    /// [`InvalidVid`] when it is 0, 4095 or above.
    pub const fn new(value: u16) -> Result<Self, InvalidVid> {
        match (NonZeroU16::new(value), value) {
            (None, _) => Err(InvalidVid::Zero),
            (_, 4095) => Err(InvalidVid::Reserved),
            (_, 4096..) => Err(InvalidVid::TooLarge(value)),
            (Some(v), _) => Ok(Self(v)),
        }
    }

    /// The number, 1 to 4094.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// All VLANs in ascending order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=4094).filter_map(|v| Self::new(v).ok())
    }
}

impl TryFrom<u16> for Vid {
    type Error = InvalidVid;

    fn try_from(value: u16) -> Result<Self, InvalidVid> {
        Self::new(value)
    }
}

impl fmt::Display for Vid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Vid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Priority code point, 0 to 7.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pcp(u8);

impl Pcp {
    /// The priority of that number; bits above the third are dropped.
    #[must_use]
    pub const fn from_low_bits(value: u8) -> Self {
        Self(value & 7)
    }

    /// The number, 0 to 7.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// Tag control information: PCP (3 bits), DEI (1), VID (12), as on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Tci(pub u16);

impl Tci {
    /// A tag for `vid` that keeps this one's priority and drop eligibility.
    #[inline]
    #[must_use]
    pub const fn with_vid(self, vid: Vid) -> Self {
        Self(self.0 & 0xf000 | vid.get())
    }

    /// The 12 VLAN bits, 0 to 4095: 0 is a priority tag, 4095 reserved.
    #[inline]
    #[must_use]
    pub const fn vid_bits(self) -> u16 {
        self.0 & 0x0fff
    }

    /// The priority.
    #[must_use]
    pub const fn pcp(self) -> Pcp {
        Pcp((self.0 >> 13) as u8)
    }

    /// Drop eligibility.
    #[must_use]
    pub const fn dei(self) -> bool {
        self.0 & 0x1000 != 0
    }
}

impl fmt::Debug for Tci {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "vid {} pcp {} dei {}",
            self.vid_bits(),
            self.pcp().get(),
            u8::from(self.dei())
        )
    }
}

/// The EtherType that announces a tag.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Tpid {
    /// 0x8100, the customer tag: the one that a bridge of ours classifies by.
    #[default]
    Dot1q,
    /// 0x88a8, the service tag of 802.1ad: payload to an 802.1Q bridge.
    Dot1ad,
}

impl Tpid {
    /// The tag announced by `ether_type`; `None` where it announces none.
    #[inline]
    #[must_use]
    pub const fn from_ether_type(ether_type: u16) -> Option<Self> {
        match ether_type {
            0x8100 => Some(Self::Dot1q),
            0x88a8 => Some(Self::Dot1ad),
            _ => None,
        }
    }

    /// The number on the wire.
    #[inline]
    #[must_use]
    pub const fn ether_type(self) -> u16 {
        match self {
            Self::Dot1q => 0x8100,
            Self::Dot1ad => 0x88a8,
        }
    }
}

/// A whole tag: four bytes on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tag {
    /// Which kind.
    pub tpid: Tpid,
    /// Its control information.
    pub tci: Tci,
}

impl Tag {
    /// Bytes that a tag takes in a frame.
    pub const LEN: usize = 4;
}

/// A set of VLANs: 4,096 bits, of which 0 and 4095 are never set.
#[derive(Clone, PartialEq, Eq)]
pub struct VidSet([u64; 64]);

impl VidSet {
    /// The set without a member.
    pub const EMPTY: Self = Self([0; 64]);

    /// Whether `vid` is in the set.
    #[inline]
    #[must_use]
    pub const fn contains(&self, vid: Vid) -> bool {
        let v = vid.get() as usize;
        self.0[v >> 6] & 1 << (v & 63) != 0
    }

    /// Puts `vid` in; whether it was not there before.
    pub const fn insert(&mut self, vid: Vid) -> bool {
        let new = !self.contains(vid);
        let v = vid.get() as usize;
        self.0[v >> 6] |= 1 << (v & 63);
        new
    }

    /// Takes `vid` out; whether it was there.
    pub const fn remove(&mut self, vid: Vid) -> bool {
        let there = self.contains(vid);
        let v = vid.get() as usize;
        self.0[v >> 6] &= !(1 << (v & 63));
        there
    }

    /// How many VLANs are in the set.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|w| *w == 0)
    }

    /// The members in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Vid> + '_ {
        // Word by word: sets are sparse, and compiling a configuration walks one for every port.
        (0u16..).zip(self.0).flat_map(|(word, mut bits)| {
            core::iter::from_fn(move || {
                let bit = bits.trailing_zeros();
                bits &= bits.checked_sub(1)?;
                Vid::new(word << 6 | u16::try_from(bit).ok()?).ok()
            })
        })
    }
}

impl Default for VidSet {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl FromIterator<Vid> for VidSet {
    fn from_iter<I: IntoIterator<Item = Vid>>(vids: I) -> Self {
        let mut set = Self::EMPTY;
        for vid in vids {
            set.insert(vid);
        }
        set
    }
}

impl fmt::Debug for VidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn only_1_to_4094_are_vlans() {
        assert_eq!(Vid::new(0), Err(InvalidVid::Zero));
        assert_eq!(Vid::new(4095), Err(InvalidVid::Reserved));
        assert_eq!(Vid::new(5000), Err(InvalidVid::TooLarge(5000)));
        assert_eq!(Vid::new(1), Ok(Vid::MIN));
        assert_eq!(Vid::new(4094), Ok(Vid::MAX));
        assert_eq!(Vid::all().count(), 4094);
        assert_eq!(size_of::<Option<Vid>>(), 2);
    }

    #[test]
    fn a_set_holds_exactly_what_was_put_in() {
        let vids: Vec<Vid> = [1, 63, 64, 100, 4094]
            .iter()
            .map(|v| Vid::new(*v).unwrap())
            .collect();
        let mut set: VidSet = vids.iter().copied().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), vids);
        assert_eq!(set.len(), 5);
        assert!(!set.insert(vids[0]));
        assert!(set.remove(vids[1]));
        assert!(!set.contains(vids[1]));
        assert!(!set.remove(vids[1]));
    }

    #[test]
    fn a_retagged_frame_keeps_priority_and_drop_eligibility() {
        let tci = Tci(0xb000 | 7);
        let out = tci.with_vid(Vid::new(100).unwrap());
        assert_eq!((out.pcp().get(), out.dei(), out.vid_bits()), (5, true, 100));
    }
}
