//! Whom a bond asks to learn whether its members work: an address, and the VLAN that it is in.
//!
//! `"10.0.0.1"` is asked without a VLAN being named, in the one that untagged frames of the bond belong to;
//! `"10.0.0.1 vlan 100"` in VLAN 100 (the kernel finds it by its routes, which a switch has not). Pure values.

use crate::config::values::{ValueError, text_form};
use crate::text::excerpt;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The most targets of a kind (`BOND_MAX_ARP_TARGETS`, `BOND_MAX_NS_TARGETS`).
pub const TARGETS_MAX: usize = 16;

/// One target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<A> {
    /// Who is asked.
    pub ip: A,
    /// The VLAN, as said; `None`: that of untagged frames.
    pub vlan: Option<u16>,
}

/// An item of `arp_ip_target`.
pub type ArpTarget = Target<Ipv4Addr>;
/// An item of `ns_ip6_target`.
pub type NsTarget = Target<Ipv6Addr>;

text_form!(
    ArpTarget,
    "an IPv4 address in quotes such as \"10.0.0.1\" or \"10.0.0.1 vlan 100\""
);
text_form!(
    NsTarget,
    "an IPv6 address in quotes such as \"fd00::1\" or \"fd00::1 vlan 100\""
);

impl<A: Into<IpAddr> + Copy> Target<A> {
    /// Of either family.
    pub fn any(&self) -> Target<IpAddr> {
        Target {
            ip: self.ip.into(),
            vlan: self.vlan,
        }
    }
}

impl<A: fmt::Display> fmt::Display for Target<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ip)?;
        match self.vlan {
            Some(vlan) => write!(f, " vlan {vlan}"),
            None => Ok(()),
        }
    }
}

impl<A: FromStr> FromStr for Target<A> {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (ip, vlan) = match words[..] {
            [ip] => (ip, Ok(None)),
            [ip, "vlan", vlan] => (ip, vlan.parse().map(Some)),
            _ => ("", Ok(None)),
        };
        match (ip.parse(), vlan) {
            (Ok(ip), Ok(vlan)) => Ok(Self { ip, vlan }),
            _ => Err(ValueError(format!(
                "\"{}\" is no address, alone or with \"vlan\" and its number: 10.0.0.1 vlan 100, or fd00::1 where IPv6 is asked",
                excerpt(text, 48)
            ))),
        }
    }
}
