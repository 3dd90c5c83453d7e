//! Numbers of bits, for rates and bursts: `"100M"`.

use super::ValueError;
use crate::text::excerpt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// A number of bits, or of bits a second; written as a number, or with a unit in quotes, `"100M"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bits(pub u64);

/// Units, smallest first.
const UNITS: [(&str, u64); 5] = [
    ("", 1),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// The largest unit that keeps the number whole.
impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, size): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*size);
        let (unit, size) = UNITS.iter().rev().find(whole).unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl FromStr for Bits {
    type Err = ValueError;

    /// Reads a whole number, and behind it nothing, `k`, `M`, `G` or `T`: thousands, as networks count.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = || {
            ValueError(format!(
                "\"{}\" is no number of bits: write a whole number and nothing, k, M, G or T, such as \"100M\"",
                excerpt(text, 32)
            ))
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let unit = unit.trim();
        let (_, size) = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(bad)?;
        number.checked_mul(*size).map(Self).ok_or_else(bad)
    }
}

impl Serialize for Bits {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct BitsVisitor;
        impl de::Visitor<'_> for BitsVisitor {
            type Value = Bits;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bits, or one with a unit in quotes such as \"100M\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Bits, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Bits, E> {
                Ok(Bits(number))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Bits, E> {
                u64::try_from(number)
                    .map(Bits)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(number), &self))
            }
        }
        from.deserialize_any(BitsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_print_what_they_read() {
        for (text, number, printed) in [
            ("0", 0, "0"),
            ("100M", 100_000_000, "100M"),
            ("1500k", 1_500_000, "1500k"),
            ("1 g", 1_000_000_000, "1G"),
            ("2T", 2_000_000_000_000, "2T"),
            ("123", 123, "123"),
        ] {
            let bits: Bits = text.parse().expect(text);
            assert_eq!((bits.0, bits.to_string().as_str()), (number, printed));
            assert_eq!(printed.parse(), Ok(bits));
        }
        for text in ["", "M", "1.5G", "-1", "5 bananas", "99999999999T"] {
            assert!(text.parse::<Bits>().is_err(), "{text}");
        }
        let read: Bits = serde_json::from_str("5000").expect("a number");
        assert_eq!(serde_json::to_string(&read).expect("text"), "\"5k\"");
        assert!(serde_json::from_str::<Bits>("-5").is_err());
    }
}
