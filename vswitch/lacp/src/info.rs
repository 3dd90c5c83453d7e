//! What one end of a link says of itself: system, key, port and state (IEEE 802.1AX 6.3, 6.4.2.3).
//!
//! Plain values without invariants: every content of the fields is legal on the wire. Orderings are
//! the standard's, in which the lower number has priority. Texts are for operators and stable; the
//! CLI and goldens print them. What follows from the values (who is aggregated with whom) is the
//! business of the machines.

use core::fmt;
use core::ops::BitOr;
use vswitch_base::MacAddr;

/// A system: lower has priority, by `priority` and then by address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SystemId {
    /// System priority, 65535 by default.
    pub priority: u16,
    /// The system's address; all ports of a system have the same.
    pub mac: MacAddr,
}

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} prio {}", self.mac, self.priority)
    }
}

/// A key: ports of one system with equal keys may be aggregated. Has a meaning only within its
/// system.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Key(pub u16);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A port of a system: lower has priority, by `priority` and then by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PortId {
    /// Port priority, 255 by default.
    pub priority: u16,
    /// The number, unique in the system.
    pub number: u16,
}

impl fmt::Display for PortId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} prio {}", self.number, self.priority)
    }
}

/// The eight state bits of a participant.
///
/// As text: eight places, a letter where it holds and `-` where not.
///
/// | place | letter | meaning | bit |
/// | --- | --- | --- | --- |
/// | 1 | `A` | active: sends without being asked | [`Self::ACTIVITY`] |
/// | 2 | `S` | in sync: the port is in the right aggregator | [`Self::SYNCHRONIZATION`] |
/// | 3 | `G` | may be aggregated | [`Self::AGGREGATION`] |
/// | 4 | `C` | collects | [`Self::COLLECTING`] |
/// | 5 | `D` | distributes | [`Self::DISTRIBUTING`] |
/// | 6 | `U` | unheard: works with a default partner | [`Self::DEFAULTED`] |
/// | 7 | `E` | expired: the partner is late | [`Self::EXPIRED`] |
/// | 8 | `F` | fast: wants a PDU every second | [`Self::TIMEOUT`] |
///
/// ```
/// use vswitch_lacp::PortState;
/// assert_eq!(PortState(0x3f).to_string(), "ASGCD--F");
/// assert_eq!(format!("{:#04x}", PortState(0x3d)), "0x3d");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PortState(pub u8);

impl PortState {
    /// Sends PDUs without being asked (active mode).
    pub const ACTIVITY: Self = Self(0x01);
    /// Short timeout: asks the partner for a PDU every second instead of every 30.
    pub const TIMEOUT: Self = Self(0x02);
    /// May be aggregated; otherwise the link is individual.
    pub const AGGREGATION: Self = Self(0x04);
    /// In the right aggregator.
    pub const SYNCHRONIZATION: Self = Self(0x08);
    /// Takes frames from the link.
    pub const COLLECTING: Self = Self(0x10);
    /// Sends frames on the link.
    pub const DISTRIBUTING: Self = Self(0x20);
    /// Works with the defaults of the administrator because no partner was heard.
    pub const DEFAULTED: Self = Self(0x40);
    /// The receive machine is in EXPIRED.
    pub const EXPIRED: Self = Self(0x80);

    /// Whether all bits of `bits` are set.
    #[must_use]
    pub const fn contains(self, bits: Self) -> bool {
        self.0 & bits.0 == bits.0
    }
}

impl BitOr for PortState {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for PortState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LETTERS: [(PortState, u8); 8] = [
            (PortState::ACTIVITY, b'A'),
            (PortState::SYNCHRONIZATION, b'S'),
            (PortState::AGGREGATION, b'G'),
            (PortState::COLLECTING, b'C'),
            (PortState::DISTRIBUTING, b'D'),
            (PortState::DEFAULTED, b'U'),
            (PortState::EXPIRED, b'E'),
            (PortState::TIMEOUT, b'F'),
        ];
        let text = LETTERS.map(|(bit, letter)| if self.contains(bit) { letter } else { b'-' });
        // Through `pad`, so that columns of a table get their width.
        f.pad(core::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::LowerHex for PortState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

impl fmt::Debug for PortState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({self:#04x})")
    }
}

/// One end of a link, as a PDU describes it. A PDU holds two: its sender (actor) and what the sender
/// knows of the receiver (partner).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ParticipantInfo {
    /// The system.
    pub system: SystemId,
    /// The key of the port.
    pub key: Key,
    /// The port.
    pub port: PortId,
    /// What it does and wants.
    pub state: PortState,
}

impl fmt::Display for ParticipantInfo {
    /// `system 00:1c:73:aa:00:01 prio 32768, key 32, port 5 prio 255, state ASGCD--- (0x3d)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            system,
            key,
            port,
            state,
        } = self;
        write!(
            f,
            "system {system}, key {key}, port {port}, state {state} ({state:#04x})"
        )
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn states_have_the_text_that_operators_read() {
        for (state, text) in [
            (0x00, "--------"),
            (0x3d, "ASGCD---"),
            (0x3f, "ASGCD--F"),
            (0x45, "A-G--U--"),
            (0x47, "A-G--U-F"),
            (0xc5, "A-G--UE-"),
            (0xc7, "A-G--UEF"),
            (0xff, "ASGCDUEF"),
        ] {
            assert_eq!(PortState(state).to_string(), text, "{state:#x}");
        }
        assert_eq!(format!("{:?}", PortState(0x3d)), "ASGCD--- (0x3d)");
        assert_eq!(format!("[{:10}]", PortState(0x3d)), "[ASGCD---  ]");
    }

    #[test]
    fn each_bit_has_one_place_of_its_own() {
        let letter = |bit: u8| PortState(1 << bit).to_string().replace('-', "");
        let letters: std::string::String = (0..8).map(letter).collect();
        assert_eq!(letters, "AFGSCDUE");
    }

    #[test]
    fn bits_combine() {
        let up = PortState::ACTIVITY
            | PortState::AGGREGATION
            | PortState::SYNCHRONIZATION
            | PortState::COLLECTING
            | PortState::DISTRIBUTING;
        assert_eq!(up, PortState(0x3d));
        assert!(up.contains(PortState::COLLECTING | PortState::DISTRIBUTING));
        assert!(!up.contains(PortState::COLLECTING | PortState::TIMEOUT));
    }

    #[test]
    fn the_lower_number_has_priority_and_the_address_decides_a_tie() {
        let id = |priority, last| SystemId {
            priority,
            mac: MacAddr([0, 0, 0, 0, 0, last]),
        };
        assert!(id(1, 9) < id(2, 1));
        assert!(id(2, 1) < id(2, 9));
        assert!(
            PortId {
                priority: 1,
                number: 9
            } < PortId {
                priority: 2,
                number: 1
            }
        );
    }

    #[test]
    fn a_participant_reads_as_one_line() {
        let info = ParticipantInfo {
            system: SystemId {
                priority: 32768,
                mac: MacAddr([0, 0x1c, 0x73, 0xaa, 0, 1]),
            },
            key: Key(32),
            port: PortId {
                priority: 255,
                number: 5,
            },
            state: PortState(0x3d),
        };
        assert_eq!(
            info.to_string(),
            "system 00:1c:73:aa:00:01 prio 32768, key 32, port 5 prio 255, state ASGCD--- (0x3d)",
        );
    }
}
