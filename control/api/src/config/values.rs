//! The small values that configuration fields have: addresses, durations, choices.
//!
//! Each reads and prints one text form and gives an error that says what was expected; the
//! JSON form is that text. Values that are wrong only in their context (a multicast address
//! as a station's) are accepted here and reported by `config::check` with their place.
//! Pure values; any thread.

mod bits;

pub use bits::Bits;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::text::excerpt;

/// Why a text is no value of its kind; the message says what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(pub(super) String);

/// Gives a text type its serde form: the text that it prints and reads.
macro_rules! text_form {
    ($type:ty, $expected:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct TextVisitor;
                impl de::Visitor<'_> for TextVisitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                from.deserialize_str(TextVisitor)
            }
        }
    };
}

pub(super) use text_form;

/// An Ethernet address, printed as `52:54:00:9a:11:02`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

text_form!(
    Mac,
    "an Ethernet address in quotes such as \"52:54:00:12:34:56\""
);

impl Mac {
    /// The six octets in the order of the wire.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether one station can have this address: not a group address, not all zero.
    pub const fn is_station(self) -> bool {
        let [a, b, c, d, e, f] = self.0;
        a & 1 == 0 && (a | b | c | d | e | f) != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, f] = self.0;
        write!(out, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
    }
}

impl FromStr for Mac {
    type Err = ValueError;

    /// Reads six pairs of hex digits separated by `:` or `-`.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = || {
            ValueError(format!(
                "\"{}\" is no Ethernet address such as 52:54:00:12:34:56",
                excerpt(text, 32)
            ))
        };
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut parts = text.split(separator);
        for octet in &mut octets {
            let part = parts.next().ok_or_else(bad)?;
            if part.len() != 2 || !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(bad());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() {
            Err(bad())
        } else {
            Ok(Self(octets))
        }
    }
}

/// A length of time such as `"20us"`, `"100ms"` or `"300s"`; 0 ns to 2^64 - 1 ns (584 years).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timespan(pub Duration);

text_form!(
    Timespan,
    "a duration in quotes such as \"20us\", \"100ms\" or \"300s\""
);

/// Units of a [`Timespan`] in nanoseconds, smallest first.
const UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3_600 * 1_000_000_000),
];

impl Timespan {
    /// A duration of whole seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A duration of whole microseconds.
    pub const fn from_micros(micros: u64) -> Self {
        Self(Duration::from_micros(micros))
    }

    /// The duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

/// The largest unit up to seconds that keeps the number whole: `300s`, `20us`.
impl fmt::Display for Timespan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        let (unit, size) = UNITS
            .iter()
            .take(4)
            .rev()
            .find(|(_, size)| ns.is_multiple_of(u128::from(*size)))
            .expect("every number of nanoseconds is whole in nanoseconds");
        write!(f, "{}{unit}", ns / u128::from(*size))
    }
}

impl FromStr for Timespan {
    type Err = ValueError;

    /// Reads a whole number followed by `ns`, `us`, `ms`, `s`, `m` or `h`.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = || {
            ValueError(format!(
                "\"{}\" is no duration: write a whole number and a unit (ns, us, ms, s, m, h), such as \"300s\"",
                excerpt(text, 32)
            ))
        };
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let (_, size) = UNITS
            .iter()
            .find(|(name, _)| *name == unit.trim())
            .ok_or_else(bad)?;
        number
            .checked_mul(*size)
            .map(|ns| Self(Duration::from_nanos(ns)))
            .ok_or_else(bad)
    }
}

/// What happens to learned addresses as they grow old (F-03, F-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ageing {
    /// Forgotten this long after the last frame from them; 1 s to 1,000,000 s.
    After(Timespan),
    /// `"never"`: kept until flushed, moved, or their port goes away.
    Never,
    /// `"off"`: nothing is learned, every frame floods (what the kernel calls ageing time 0).
    Off,
}

text_form!(
    Ageing,
    "a duration in quotes such as \"300s\", or \"never\", or \"off\""
);

impl Default for Ageing {
    /// 300 s: the default of 802.1Q.
    fn default() -> Self {
        Self::After(Timespan::from_secs(300))
    }
}

impl fmt::Display for Ageing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(span) => span.fmt(f),
            Self::Never => f.write_str("never"),
            Self::Off => f.write_str("off"),
        }
    }
}

impl FromStr for Ageing {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "never" => Ok(Self::Never),
            "off" => Ok(Self::Off),
            _ => match text.parse::<Timespan>() {
                Ok(span) if span.get().is_zero() => Err(ValueError(
                    "an ageing time of 0 is ambiguous: write \"off\" (learn nothing) or \"never\" (keep for ever)"
                        .to_owned(),
                )),
                Ok(span) => Ok(Self::After(span)),
                Err(error) => Err(ValueError(format!("{error}, or \"never\", or \"off\""))),
            },
        }
    }
}

/// An IP address with its prefix length, `192.168.10.11/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// The address of the host port.
    pub address: IpAddr,
    /// Bits of the network: 0..=32 for IPv4, 0..=128 for IPv6.
    pub prefix: u8,
}

text_form!(
    Cidr,
    "an IP address with its prefix in quotes such as \"192.168.10.11/24\""
);

impl Cidr {
    /// Whether `other` is in the network of this address.
    pub fn contains(self, other: IpAddr) -> bool {
        fn same(a: u128, b: u128, bits: u32, prefix: u8) -> bool {
            let shift = bits - u32::from(prefix).min(bits);
            shift >= 128 || a >> shift == b >> shift
        }
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(
                u128::from(u32::from(a)),
                u128::from(u32::from(b)),
                32,
                self.prefix,
            ),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128, self.prefix),
            _ => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = ValueError;

    /// Reads an address and its prefix; the prefix must be there, because guessing it is how
    /// hosts end up in a /32.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let bad = |why: &str| ValueError(format!("\"{}\" {why}", excerpt(text, 64)));
        let (address, prefix) = text
            .split_once('/')
            .ok_or_else(|| bad("has no prefix length: write it as 192.168.10.11/24"))?;
        let address: IpAddr = address
            .parse()
            .map_err(|_| bad("is no IP address such as 192.168.10.11/24"))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.parse().ok().filter(|prefix: &u8| *prefix <= most);
        let prefix =
            prefix.ok_or_else(|| bad(&format!("has no prefix length from 0 to {most}")))?;
        Ok(Self { address, prefix })
    }
}

/// How many forwarding threads run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// `"auto"`: one per core but one, at least one.
    #[default]
    Auto,
    /// This many; 1..=256.
    Count(u32),
}

impl Serialize for Workers {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => to.serialize_str("auto"),
            Self::Count(count) => to.serialize_u32(*count),
        }
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct WorkersVisitor;
        impl de::Visitor<'_> for WorkersVisitor {
            type Value = Workers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\" or a number from 1 to 256")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Workers, E> {
                if text == "auto" {
                    Ok(Workers::Auto)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(text), &self))
                }
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Workers, E> {
                u32::try_from(count)
                    .map(Workers::Count)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(count), &self))
            }
            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Workers, E> {
                u32::try_from(count)
                    .map(Workers::Count)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(count), &self))
            }
        }
        from.deserialize_any(WorkersVisitor)
    }
}

/// Declares an enum whose serde form, `Display` and `FromStr` are its snake_case names.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vmeta])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every accepted spelling, in the order of the documentation.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The spelling in configuration and on the wire.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl FromStr for $name {
            type Err = ValueError;
            fn from_str(text: &str) -> Result<Self, ValueError> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    _ => Err(ValueError(format!(
                        "\"{}\" is none of {}", excerpt(text, 32), Self::NAMES.join(", ")
                    ))),
                }
            }
        }
    };
}

choice! {
    /// How a worker waits for frames (design.md §3).
    PollMode {
        /// Spin while there is work and `spin` longer, then sleep. The default.
        #[default]
        Adaptive = "adaptive",
        /// Never sleep: for cores that are dedicated to the switch.
        Busy = "busy",
        /// Sleep at once: for shared cores.
        Sleep = "sleep",
    }
}

choice! {
    /// What a port is made of.
    PortKind {
        /// An existing network device: a NIC, a veth end, the netdev of someone's TAP.
        Nic = "nic",
        /// A TAP that the daemon makes: for virtual machines, or moved into a namespace.
        #[default]
        Tap = "tap",
        /// Several ports that are one: `[bond.NAME]` says which and how.
        Bond = "bond",
        /// Memory only, for tests; refused unless the daemon was started for it.
        Mem = "mem",
    }
}

choice! {
    /// Which frames a port takes, by their tag (features.md 3.2.3).
    AcceptFrames {
        /// Tagged and untagged, as the kernel's bridge does.
        #[default]
        All = "all",
        /// Untagged and priority-tagged (VLAN 0) only.
        Untagged = "untagged",
        /// Tagged with a VLAN only.
        Tagged = "tagged",
    }
}

choice! {
    /// The forwarding state of a port (802.1Q 8.4).
    StpState {
        /// Learns and forwards.
        #[default]
        Forwarding = "forwarding",
        /// Learns source addresses, forwards nothing.
        Learning = "learning",
        /// Neither learns nor forwards.
        Blocking = "blocking",
        /// As if the port were not there.
        Disabled = "disabled",
    }
}

choice! {
    /// What happens to spanning tree frames that come in (features.md T-04, T-05).
    BpduPolicy {
        /// `listen` on an uplink, `drop` elsewhere.
        #[default]
        Auto = "auto",
        /// Dropped and counted.
        Drop = "drop",
        /// The port is taken down and the event says why.
        Guard = "guard",
        /// Forwarded like other multicast.
        Forward = "forward",
        /// Consumed, shown in the port's state, never forwarded.
        Listen = "listen",
    }
}

choice! {
    /// What a configured address entry means (F-05).
    StaticKind {
        /// Frames to the address leave by the port; never aged, never moved.
        #[default]
        Static = "static",
        /// The address is the switch's own on that host port; never aged, never learned elsewhere.
        Local = "local",
    }
}

pub(super) use choice;

#[cfg(test)]
mod tests;
