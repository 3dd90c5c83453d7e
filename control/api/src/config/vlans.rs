//! VLAN sets as configuration spells them, and the VLAN membership of one port.
//!
//! [`VlanSet`] is what `trunk = [100, "200-299"]` becomes: sorted, disjoint, merged ranges,
//! so equal sets compare equal and print alike. [`Membership`](super::Membership) is the full table of a port
//! (PVID, untagged and tagged VIDs) with the edits of `bridge vlan add|del`.
//!
//! Numbers outside 1..=4094 are representable here on purpose: `config::check` reports them
//! with their place; parsing only refuses what is no number or a range that runs backwards.
//! Pure values; any thread. Implements features.md 3.2 (V-01..V-10) on the configuration side.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};

/// The lowest VLAN id that a network can have; 0 marks a priority tag.
pub const VID_MIN: u16 = 1;
/// The highest usable VLAN id; 4095 is reserved by 802.1Q.
pub const VID_MAX: u16 = 4094;

/// Whether `vid` is a usable VLAN id (1..=4094).
pub const fn is_usable(vid: u16) -> bool {
    vid >= VID_MIN && vid <= VID_MAX
}

/// VLAN ids from `first` to `last`, both included; `first <= last` always.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "RangeFields")]
pub struct VlanRange {
    /// The lowest VLAN id of the range.
    pub first: u16,
    /// The highest VLAN id of the range.
    pub last: u16,
}

impl VlanRange {
    /// The range `first..=last`; `None` when it runs backwards.
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first <= last {
            Some(Self { first, last })
        } else {
            None
        }
    }

    /// The range of one VLAN id.
    pub const fn single(vid: u16) -> Self {
        Self {
            first: vid,
            last: vid,
        }
    }

    /// Whether the range holds `vid`.
    pub const fn contains(self, vid: u16) -> bool {
        self.first <= vid && vid <= self.last
    }

    /// How many VLAN ids the range holds: 1..=65,536.
    pub fn count(self) -> usize {
        usize::from(self.last - self.first) + 1
    }
}

impl fmt::Display for VlanRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// The fields of a [`VlanRange`] as they come from the socket, not yet known to be in order.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeFields {
    first: u16,
    last: u16,
}

impl TryFrom<RangeFields> for VlanRange {
    type Error = VlanParseError;

    fn try_from(RangeFields { first, last }: RangeFields) -> Result<Self, VlanParseError> {
        Self::new(first, last).ok_or_else(|| VlanParseError::Backwards(format!("{first}-{last}")))
    }
}

/// Why a text is no VLAN set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VlanParseError {
    /// Not a decimal number that fits 16 bits.
    #[error("\"{0}\" is no VLAN id (1 to 4094) and no range such as \"200-299\"")]
    NotANumber(String),
    /// The range's end is below its start.
    #[error("the VLAN range \"{0}\" runs backwards")]
    Backwards(String),
}

impl FromStr for VlanRange {
    type Err = VlanParseError;

    /// Reads `"100"` or `"200-299"`; spaces around the numbers are allowed.
    fn from_str(text: &str) -> Result<Self, VlanParseError> {
        let bad = || VlanParseError::NotANumber(crate::text::excerpt(text, 24));
        let number = |part: &str| {
            let part = part.trim();
            if part.bytes().all(|byte| byte.is_ascii_digit()) {
                part.parse::<u16>().ok()
            } else {
                None
            }
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (
            number(first).ok_or_else(bad)?,
            number(last).ok_or_else(bad)?,
        );
        Self::new(first, last)
            .ok_or_else(|| VlanParseError::Backwards(crate::text::excerpt(text, 24)))
    }
}

/// A set of VLAN ids as sorted, disjoint, non-adjacent ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanSet(Vec<VlanRange>);

impl VlanSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether no VLAN id is in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many VLAN ids are in the set.
    pub fn len(&self) -> usize {
        self.0.iter().map(|range| range.count()).sum()
    }

    /// The ranges, ascending; two neighbours never touch.
    pub fn ranges(&self) -> &[VlanRange] {
        &self.0
    }

    /// Every VLAN id, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        self.0.iter().flat_map(|range| range.first..=range.last)
    }

    /// Whether `vid` is in the set.
    pub fn contains(&self, vid: u16) -> bool {
        self.0.iter().any(|range| range.contains(vid))
    }

    /// The lowest VLAN id that is in both sets.
    pub fn first_common(&self, other: &Self) -> Option<u16> {
        self.0
            .iter()
            .flat_map(|a| {
                other
                    .0
                    .iter()
                    .map(move |b| (a.first.max(b.first), a.last.min(b.last)))
            })
            .filter(|(first, last)| first <= last)
            .map(|(first, _)| first)
            .min()
    }

    /// Adds a range; ranges that touch are merged.
    pub fn insert(&mut self, range: VlanRange) {
        self.0.push(range);
        self.normalize();
    }

    fn normalize(&mut self) {
        self.0.sort_unstable();
        let mut merged: Vec<VlanRange> = Vec::with_capacity(self.0.len());
        for next in self.0.drain(..) {
            match merged.last_mut() {
                Some(last) if u32::from(next.first) <= u32::from(last.last) + 1 => {
                    last.last = last.last.max(next.last);
                }
                _ => merged.push(next),
            }
        }
        self.0 = merged;
    }

    /// Takes a range out; VLAN ids that were not in the set are no error.
    pub fn remove(&mut self, gone: VlanRange) {
        let mut left = Vec::with_capacity(self.0.len() + 1);
        for range in self.0.drain(..) {
            if range.last < gone.first || gone.last < range.first {
                left.push(range);
                continue;
            }
            if range.first < gone.first {
                left.push(VlanRange {
                    first: range.first,
                    last: gone.first - 1,
                });
            }
            if gone.last < range.last {
                left.push(VlanRange {
                    first: gone.last + 1,
                    last: range.last,
                });
            }
        }
        self.0 = left;
    }
}

impl FromIterator<VlanRange> for VlanSet {
    fn from_iter<I: IntoIterator<Item = VlanRange>>(ranges: I) -> Self {
        let mut set = Self(ranges.into_iter().collect());
        set.normalize(); // Once for all of them: a list of a million entries costs one sort.
        set
    }
}

impl From<VlanRange> for VlanSet {
    fn from(range: VlanRange) -> Self {
        Self(vec![range])
    }
}

/// `1,100,200-299`; the empty set prints nothing.
impl fmt::Display for VlanSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, range) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{range}")?;
        }
        Ok(())
    }
}

impl FromStr for VlanSet {
    type Err = VlanParseError;

    /// Reads `"1,100,200-299"` as the CLI takes it; the empty text is the empty set.
    fn from_str(text: &str) -> Result<Self, VlanParseError> {
        if text.trim().is_empty() {
            return Ok(Self::new());
        }
        text.split(',').map(|part| part.trim().parse()).collect()
    }
}

/// Configuration form of one range: `100` or `"200-299"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RangeText(pub(crate) VlanRange);

impl Serialize for RangeText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.first == self.0.last {
            serializer.serialize_u16(self.0.first)
        } else {
            serializer.collect_str(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for RangeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RangeVisitor).map(Self)
    }
}

struct RangeVisitor;

impl Visitor<'_> for RangeVisitor {
    type Value = VlanRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a VLAN id from 1 to 4094 or a range such as \"200-299\"")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<VlanRange, E> {
        let vid = u16::try_from(value)
            .map_err(|_| E::custom(format!("{value} is no VLAN id: VLAN ids are 1 to 4094")))?;
        Ok(VlanRange::single(vid))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<VlanRange, E> {
        let vid = u16::try_from(value)
            .map_err(|_| E::custom(format!("{value} is no VLAN id: VLAN ids are 1 to 4094")))?;
        Ok(VlanRange::single(vid))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<VlanRange, E> {
        value.parse().map_err(E::custom)
    }
}

impl Serialize for VlanSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for range in &self.0 {
            list.serialize_element(&RangeText(*range))?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for VlanSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SetVisitor;
        impl<'de> Visitor<'de> for SetVisitor {
            type Value = VlanSet;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of VLAN ids and ranges such as [100, \"200-299\"]")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<VlanSet, A::Error> {
                let mut ranges = Vec::new();
                while let Some(RangeText(range)) = list.next_element()? {
                    ranges.push(range);
                }
                Ok(ranges.into_iter().collect())
            }
        }
        deserializer.deserialize_seq(SetVisitor)
    }
}

/// `serde(with)` helper: a [`VlanRange`] as `100` or `"200-299"`.
pub(crate) mod range_text {
    use super::{Deserialize, Deserializer, RangeText, Serialize, Serializer, VlanRange};

    pub(crate) fn serialize<S: Serializer>(range: &VlanRange, to: S) -> Result<S::Ok, S::Error> {
        RangeText(*range).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<VlanRange, D::Error> {
        RangeText::deserialize(from).map(|RangeText(range)| range)
    }
}

/// `serde(with)` helper: an optional VLAN id whose error names the usable range.
pub(crate) mod vid_text {
    use super::{Deserialize, Deserializer, RangeVisitor, Serialize, Serializer, Visitor, de, fmt};

    pub(crate) fn serialize<S: Serializer>(vid: &Option<u16>, to: S) -> Result<S::Ok, S::Error> {
        vid.serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
        Ok(Option::<Vid>::deserialize(from)?.map(|Vid(vid)| vid))
    }

    struct Vid(u16);

    impl<'de> Deserialize<'de> for Vid {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_any(VidVisitor).map(Self)
        }
    }

    struct VidVisitor;

    impl Visitor<'_> for VidVisitor {
        type Value = u16;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a VLAN id from 1 to 4094, without quotes")
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<u16, E> {
            RangeVisitor.visit_i64(value).map(|range| range.first)
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<u16, E> {
            RangeVisitor.visit_u64(value).map(|range| range.first)
        }
    }
}

#[cfg(test)]
mod tests;
