//! Slow protocol frames as bytes: LACPDUs and Marker PDUs (IEEE 802.1AX 6.4.2.3, 6.5.3.3; 802.3
//! annex 57A).
//!
//! **Received** PDUs are judged more strictly than Linux does and as strictly as Open vSwitch does
//! (P-13): group address, EtherType right after the addresses, at least 60 bytes, actor and partner
//! TLV with their exact types and lengths. Reserved bytes are ignored. Any version is taken; from
//! version 2 on further TLVs may follow, which are walked by their lengths and skipped (P-14). What
//! fails has an error and no effect: count it as illegal.
//!
//! **Sent** PDUs are version 1, 110 bytes, with reserved bytes zero. A Marker response is the exception:
//! it repeats every byte it answers but one.
//!
//! Pure functions without a heap; any thread. Neither rate limits nor machines are here.

#[cfg(test)]
mod tests;

use crate::info::{Key, ParticipantInfo, PortId, PortState, SystemId};
use core::fmt;
use vswitch_base::{EtherType, EtherView, MacAddr};

/// Bytes of a LACPDU or Marker PDU after the EtherType, as sent. With the header the frame is 124
/// bytes without FCS.
pub const PDU_LEN: usize = 110;
/// Bytes of a received PDU that must be there: all fields and the terminator of a version 1 LACPDU.
pub const PDU_MIN: usize = 60;

const SUBTYPE_LACP: u8 = 1;
const SUBTYPE_MARKER: u8 = 2;
const VERSION: u8 = 1;

const TLV_ACTOR: u8 = 1;
const TLV_PARTNER: u8 = 2;
const TLV_COLLECTOR: u8 = 3;
const TLV_TERMINATOR: u8 = 0;
/// Lengths count the type and the length byte.
const PARTICIPANT_LEN: u8 = 20;
const COLLECTOR_LEN: u8 = 16;
const MARKER_LEN: u8 = 22;

const ACTOR_AT: usize = 2;
const PARTNER_AT: usize = 22;
const COLLECTOR_AT: usize = 42;

/// Why bytes are not a PDU that we take.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PduError {
    /// So many bytes, where a header and [`PDU_MIN`] more are needed.
    Short(usize),
    /// Not sent to 01:80:c2:00:00:02.
    Destination(MacAddr),
    /// Another EtherType, or a VLAN tag: slow protocols are never tagged.
    EtherType(u16),
    /// A TLV at `at` bytes behind the EtherType has another type than its place asks for.
    TlvType {
        /// Where.
        at: usize,
        /// What stands there.
        found: u8,
    },
    /// A TLV at `at` bytes behind the EtherType has a length that its type does not have, or that
    /// leads behind the end.
    TlvLength {
        /// Where.
        at: usize,
        /// What stands there.
        found: u8,
    },
}

impl fmt::Display for PduError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short(len) => {
                write!(
                    f,
                    "{len} bytes are too few for a slow protocol PDU of at least {PDU_MIN}"
                )
            }
            Self::Destination(mac) => {
                write!(f, "sent to {mac} instead of {}", MacAddr::SLOW_PROTOCOLS)
            }
            Self::EtherType(found) => {
                write!(f, "EtherType {found:#06x} instead of 0x8809, untagged")
            }
            Self::TlvType { at, found } => write!(f, "TLV at byte {at} has the wrong type {found}"),
            Self::TlvLength { at, found } => {
                write!(f, "TLV at byte {at} has the wrong length {found}")
            }
        }
    }
}

impl core::error::Error for PduError {}

/// A slow protocol PDU by its subtype.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlowProtocol {
    /// Subtype 1.
    Lacp(Lacpdu),
    /// Subtype 2.
    Marker(MarkerPdu),
    /// Another subtype (3: OAM, 10: vendors'), of which only the number is looked at.
    Other(u8),
}

impl SlowProtocol {
    /// Parses what follows the EtherType.
    ///
    /// # Errors
    /// [`PduError`] when there are too few bytes or the TLVs are not what the subtype asks for.
    pub fn parse(payload: &[u8]) -> Result<Self, PduError> {
        match payload.first() {
            None => Err(PduError::Short(0)),
            Some(&SUBTYPE_LACP) => Lacpdu::parse_body(payload).map(Self::Lacp),
            Some(&SUBTYPE_MARKER) => MarkerPdu::parse_body(payload).map(Self::Marker),
            Some(&other) => Ok(Self::Other(other)),
        }
    }

    /// Parses a whole frame, from the destination address on; the source address comes with it. A
    /// tag that was taken off the bytes is the caller's to look at: such a frame is none of ours.
    ///
    /// # Errors
    /// As [`Self::parse`], and [`PduError::Destination`] or [`PduError::EtherType`] when the frame
    /// is no slow protocol's.
    pub fn parse_frame(bytes: &[u8]) -> Result<(MacAddr, Self), PduError> {
        let view = EtherView::new(bytes).ok_or(PduError::Short(bytes.len()))?;
        if view.dst() != MacAddr::SLOW_PROTOCOLS {
            return Err(PduError::Destination(view.dst()));
        }
        if view.outer_type() != EtherType::SLOW_PROTOCOLS {
            return Err(PduError::EtherType(view.outer_type().0));
        }
        Ok((view.src(), Self::parse(view.after_header())?))
    }
}

/// A LACPDU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lacpdu {
    /// The sender's version of the protocol, of a received PDU. Sent is always 1: a higher version
    /// would promise TLVs that we do not send.
    pub version: u8,
    /// The sender.
    pub actor: ParticipantInfo,
    /// What the sender knows of the receiver.
    pub partner: ParticipantInfo,
    /// The longest time the sender's collector keeps a frame, in units of 10 µs. 0 where the PDU
    /// does not say.
    pub collector_max_delay: u16,
}

impl Lacpdu {
    /// A PDU to send.
    #[must_use]
    pub const fn new(actor: ParticipantInfo, partner: ParticipantInfo) -> Self {
        Self {
            version: VERSION,
            actor,
            partner,
            collector_max_delay: 0,
        }
    }

    /// The bytes after the EtherType.
    #[must_use]
    pub fn emit(&self) -> [u8; PDU_LEN] {
        let mut bytes = [0; PDU_LEN];
        let mut out = Writer {
            bytes: &mut bytes,
            at: 0,
        };
        out.put(&[SUBTYPE_LACP, VERSION]);
        out.put_participant(TLV_ACTOR, &self.actor);
        out.put_participant(TLV_PARTNER, &self.partner);
        out.put(&[TLV_COLLECTOR, COLLECTOR_LEN]);
        out.put(&self.collector_max_delay.to_be_bytes());
        // Reserved bytes, the terminator (type 0, length 0) and what follows it stay zero.
        bytes
    }

    fn parse_body(payload: &[u8]) -> Result<Self, PduError> {
        let fixed: &[u8; PDU_MIN] = payload
            .first_chunk()
            .ok_or(PduError::Short(payload.len()))?;
        expect_tlv(fixed, ACTOR_AT, TLV_ACTOR, PARTICIPANT_LEN)?;
        expect_tlv(fixed, PARTNER_AT, TLV_PARTNER, PARTICIPANT_LEN)?;
        let version = fixed[1];
        if version > VERSION {
            walk(payload, COLLECTOR_AT)?;
        }
        let has_collector = fixed[COLLECTOR_AT..COLLECTOR_AT + 2] == [TLV_COLLECTOR, COLLECTOR_LEN];
        Ok(Self {
            version,
            actor: participant(fixed, ACTOR_AT),
            partner: participant(fixed, PARTNER_AT),
            collector_max_delay: if has_collector {
                word(fixed, COLLECTOR_AT + 2)
            } else {
                0
            },
        })
    }
}

/// Which of the two Marker PDUs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MarkerKind {
    /// A question: everything sent before it has been received when the answer is back.
    Information,
    /// The answer.
    Response,
}

impl MarkerKind {
    const fn tlv(self) -> u8 {
        match self {
            Self::Information => 1,
            Self::Response => 2,
        }
    }
}

/// A Marker PDU. Keeps all bytes, since a response repeats them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MarkerPdu {
    kind: MarkerKind,
    bytes: [u8; PDU_LEN],
}

impl MarkerPdu {
    /// A question of ours.
    #[must_use]
    pub fn new(requester_port: u16, requester_system: MacAddr, transaction: u32) -> Self {
        let kind = MarkerKind::Information;
        let mut bytes = [0; PDU_LEN];
        let mut out = Writer {
            bytes: &mut bytes,
            at: 0,
        };
        out.put(&[SUBTYPE_MARKER, VERSION, kind.tlv(), MARKER_LEN]);
        out.put(&requester_port.to_be_bytes());
        out.put(&requester_system.0);
        out.put(&transaction.to_be_bytes());
        Self { kind, bytes }
    }

    /// Question or answer.
    #[must_use]
    pub const fn kind(&self) -> MarkerKind {
        self.kind
    }

    /// Number of the port that asked.
    #[must_use]
    pub fn requester_port(&self) -> u16 {
        word(&self.bytes, 4)
    }

    /// Address of the system that asked.
    #[must_use]
    pub fn requester_system(&self) -> MacAddr {
        mac(&self.bytes, 6)
    }

    /// The asker's number for question and answer.
    #[must_use]
    pub fn transaction(&self) -> u32 {
        u32::from(word(&self.bytes, 12)) << 16 | u32::from(word(&self.bytes, 14))
    }

    /// The answer to this question: the same bytes, reserved ones included, as a response. It goes
    /// out by the port that the question came in by.
    #[must_use]
    pub const fn response(&self) -> Self {
        let mut bytes = self.bytes;
        bytes[2] = MarkerKind::Response.tlv();
        Self {
            kind: MarkerKind::Response,
            bytes,
        }
    }

    /// The bytes after the EtherType.
    #[must_use]
    pub const fn emit(&self) -> [u8; PDU_LEN] {
        self.bytes
    }

    fn parse_body(payload: &[u8]) -> Result<Self, PduError> {
        let fixed: &[u8; PDU_MIN] = payload
            .first_chunk()
            .ok_or(PduError::Short(payload.len()))?;
        let kind = match fixed[2] {
            1 => MarkerKind::Information,
            2 => MarkerKind::Response,
            found => return Err(PduError::TlvType { at: 2, found }),
        };
        expect_tlv(fixed, 2, kind.tlv(), MARKER_LEN)?;
        // A sender that leaves the reserved end off gets it back as zeros; more than the PDU is
        // padding.
        let mut bytes = [0; PDU_LEN];
        let len = payload.len().min(PDU_LEN);
        bytes[..len].copy_from_slice(&payload[..len]);
        Ok(Self { kind, bytes })
    }
}

/// The TLV at `at` has that type and length.
const fn expect_tlv(fixed: &[u8; PDU_MIN], at: usize, kind: u8, len: u8) -> Result<(), PduError> {
    if fixed[at] != kind {
        Err(PduError::TlvType {
            at,
            found: fixed[at],
        })
    } else if fixed[at + 1] != len {
        Err(PduError::TlvLength {
            at,
            found: fixed[at + 1],
        })
    } else {
        Ok(())
    }
}

/// Steps over TLVs from `at` to the terminator or the end of the payload.
fn walk(payload: &[u8], mut at: usize) -> Result<(), PduError> {
    while let Some([kind, len]) = payload.get(at..).and_then(<[u8]>::first_chunk) {
        if *kind == TLV_TERMINATOR {
            break;
        }
        // The length counts its own two bytes: less would not move on.
        let next = at + usize::from(*len);
        if *len < 2 || next > payload.len() {
            return Err(PduError::TlvLength { at, found: *len });
        }
        at = next;
    }
    Ok(())
}

fn participant(fixed: &[u8; PDU_MIN], tlv: usize) -> ParticipantInfo {
    ParticipantInfo {
        system: SystemId {
            priority: word(fixed, tlv + 2),
            mac: mac(fixed, tlv + 4),
        },
        key: Key(word(fixed, tlv + 10)),
        port: PortId {
            priority: word(fixed, tlv + 12),
            number: word(fixed, tlv + 14),
        },
        state: PortState(fixed[tlv + 16]),
    }
}

/// Offsets are this file's constants, inside every array it is called with.
const fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn mac<const N: usize>(bytes: &[u8; N], at: usize) -> MacAddr {
    MacAddr(core::array::from_fn(|i| bytes[at + i]))
}

struct Writer<'a> {
    bytes: &'a mut [u8; PDU_LEN],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    fn put_participant(&mut self, kind: u8, info: &ParticipantInfo) {
        self.put(&[kind, PARTICIPANT_LEN]);
        self.put(&info.system.priority.to_be_bytes());
        self.put(&info.system.mac.0);
        self.put(&info.key.0.to_be_bytes());
        self.put(&info.port.priority.to_be_bytes());
        self.put(&info.port.number.to_be_bytes());
        self.put(&[info.state.0, 0, 0, 0]);
    }
}
