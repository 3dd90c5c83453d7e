//! The words of bonds: modes, policies and switches under the kernel's names, or its numbers.
//!
//! The kernel's tools take an option's name or its number (`bond_opts` of the driver); so do we, as
//! a number or as text. What has no number there has none here.

use crate::config::values::{ValueError, choice};
use crate::text::excerpt;
use serde::{Deserialize, Deserializer, Serialize, de};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

choice! {
    /// How a bond shares traffic among its members (`mode` of bonding.txt).
    BondMode {
        /// Frames in turn.
        #[default]
        BalanceRr = "balance-rr",
        /// One member at a time.
        ActiveBackup = "active-backup",
        /// By hash.
        BalanceXor = "balance-xor",
        /// Every frame by every member.
        Broadcast = "broadcast",
        /// By hash, among the members that LACP agreed on with the switch beyond.
        Lacp = "802.3ad",
        /// Each station, or each flow (`tlb_src`), by one member, the members' parts as their speeds and as what is
        /// sent (`tlb_dynamic_lb`); the switch beyond need know nothing.
        BalanceTlb = "balance-tlb",
        /// As `balance-tlb`; of what the kernel adds, nothing concerns stations behind a bridge.
        BalanceAlb = "balance-alb",
        /// Each station by one member, in equal parts: Open vSwitch's mode, without a number.
        BalanceSlb = "balance-slb",
    }
}

choice! {
    /// What a frame's member depends on (`xmit_hash_policy`).
    HashPolicy {
        /// Both addresses and the EtherType.
        #[default]
        Layer2 = "layer2",
        /// IP addresses and ports.
        Layer34 = "layer3+4",
        /// Addresses, EtherType and IP addresses.
        Layer23 = "layer2+3",
        /// As `layer2+3`, of the innermost packet of a tunnel.
        Encap23 = "encap2+3",
        /// As `layer3+4`, of the innermost packet of a tunnel.
        Encap34 = "encap3+4",
        /// The VLAN and the source address: a station's frames all leave by one member.
        VlanSrcmac = "vlan+srcmac",
    }
}

choice! {
    /// When a preferred member that can be used again becomes active (`primary_reselect`).
    PrimaryReselect {
        /// At once.
        #[default]
        Always = "always",
        /// When it is faster than the active one.
        Better = "better",
        /// When the active one fails.
        Failure = "failure",
    }
}

choice! {
    /// Whose address an active-backup bond speaks from (`fail_over_mac`). Devices keep their own addresses in any
    /// case, and stations behind the bridge theirs.
    FailOverMac {
        /// The bond's.
        #[default]
        None = "none",
        /// That of the member that is active.
        Active = "active",
        /// The bond's, wherever it goes.
        Follow = "follow",
    }
}

choice! {
    /// From whose address a station's frames leave in `balance-tlb` and `balance-alb` (`tlb_src`).
    TlbSrc {
        /// The station's: all its frames leave by one member.
        #[default]
        Pin = "pin",
        /// That of the member, where it is not the active one, as with the kernel's driver: each flow may leave
        /// by another.
        Rewrite = "rewrite",
    }
}

choice! {
    /// How often the partner is asked for LACPDUs (`lacp_rate`).
    LacpRate {
        /// Every 30 seconds; it is given up after 90.
        #[default]
        Slow = "slow",
        /// Every second; it is given up after 3.
        Fast = "fast",
    }
}

choice! {
    /// Which aggregator is used where members lead to several (`ad_select`).
    AdSelect {
        /// The present one, as long as it has a member; then the one with the largest bandwidth.
        #[default]
        Stable = "stable",
        /// The one with the largest bandwidth, always.
        Bandwidth = "bandwidth",
        /// The one with the most members, always.
        Count = "count",
        /// The one with the largest sum of its members' `actor_port_prio`, always.
        ActorPortPrio = "actor_port_prio",
    }
}

choice! {
    /// What the partner is told when a member is taken out of the bond.
    Goodbye {
        /// Nothing: it finds out by its timeout.
        Silent = "silent",
        /// That the link is out of sync: it stops to send there at once.
        #[default]
        OutOfSync = "out-of-sync",
        /// That the link is individual as well, as the kernel says it. Some switches then shut the port.
        Individual = "individual",
    }
}

choice! {
    /// Whether members of different speeds may be aggregated.
    KeyPolicy {
        /// The speed is part of the key: they may not, as in the kernel.
        #[default]
        Speed = "speed",
        /// It is not: they may, as in Open vSwitch.
        Fixed = "fixed",
    }
}

choice! {
    /// Which frames show that a member receives (`arp_validate`).
    ArpValidate {
        /// Any.
        #[default]
        None = "none",
        /// On the active member, or any outside of `active-backup`, what targets answer.
        Active = "active",
        /// On members on standby our own probes that come in there, as long as the active one is answered.
        Backup = "backup",
        /// As `active` and `backup`.
        All = "all",
        /// ARP and neighbour discovery of anybody.
        Filter = "filter",
        /// As `active`; on standby as `filter`.
        FilterActive = "filter_active",
        /// As `backup`; on the active member as `filter`.
        FilterBackup = "filter_backup",
    }
}

impl ArpValidate {
    /// Whether frames of the active member, or of one on standby, have to be from or for a target.
    pub const fn validates(self, active: bool) -> bool {
        match self {
            Self::All => true,
            Self::Active | Self::FilterActive => active,
            Self::Backup | Self::FilterBackup => !active,
            Self::None | Self::Filter => false,
        }
    }

    /// Whether, where nothing is validated, ARP and neighbour discovery alone count.
    pub const fn filters(self) -> bool {
        matches!(self, Self::Filter | Self::FilterActive | Self::FilterBackup)
    }
}

choice! {
    /// How many targets have to answer where answers are validated (`arp_all_targets`).
    ArpAllTargets {
        /// One.
        #[default]
        Any = "any",
        /// Every one.
        All = "all",
    }
}

/// Reads a word of which the first `N` of `NAMES` have the kernel's numbers from 0 on.
fn named<'de, T, D>(from: D, names: &'static [&'static str], n: usize) -> Result<T, D::Error>
where
    T: FromStr<Err = ValueError>,
    D: Deserializer<'de>,
{
    struct Word<T>(&'static [&'static str], usize, PhantomData<T>);
    impl<T: FromStr<Err = ValueError>> de::Visitor<'_> for Word<T> {
        type Value = T;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "one of {}", self.0.join(", "))
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            let number = text.parse().ok().filter(|number| *number < self.1);
            let name = number.and_then(|number: usize| self.0.get(number).copied());
            let text = name.unwrap_or(text);
            // In serde's own words, which the reader of the tree turns into a suggestion.
            text.parse().map_err(|_| E::unknown_variant(text, self.0))
        }
        fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
        fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
            self.visit_str(&number.to_string())
        }
    }
    from.deserialize_any(Word(names, n, PhantomData))
}

/// A field that is a word of the kernel or its number: `#[serde(deserialize_with = "words::mode")]`.
macro_rules! numbered {
    ($($function:ident: $type:ident, $count:literal;)+) => {$(
        pub(super) fn $function<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
            named(from, $type::NAMES, $count)
        }
    )+};
}

numbered! {
    mode: BondMode, 7;
    hash_policy: HashPolicy, 6;
    primary_reselect: PrimaryReselect, 3;
    fail_over_mac: FailOverMac, 3;
    lacp_rate: LacpRate, 2;
    ad_select: AdSelect, 4;
    arp_validate: ArpValidate, 7;
    arp_all_targets: ArpAllTargets, 2;
}

/// On or off, in the words of the kernel: `"on"`, `"off"`, 1, 0, or `true`, `false`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct OnOff(pub bool);

impl OnOff {
    /// On.
    pub const ON: Self = Self(true);
    /// Off.
    pub const OFF: Self = Self(false);
}

impl<'de> Deserialize<'de> for OnOff {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Word;
        impl de::Visitor<'_> for Word {
            type Value = OnOff;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false, \"on\" or \"off\", 1 or 0")
            }
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<OnOff, E> {
                Ok(OnOff(on))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OnOff, E> {
                match text {
                    "on" | "1" | "true" | "yes" => Ok(OnOff::ON),
                    "off" | "0" | "false" | "no" => Ok(OnOff::OFF),
                    other => Err(E::custom(format!(
                        "\"{}\" is neither on nor off",
                        excerpt(other, 32)
                    ))),
                }
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<OnOff, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<OnOff, E> {
                self.visit_str(&number.to_string())
            }
        }
        from.deserialize_any(Word)
    }
}
