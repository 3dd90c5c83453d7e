//! What the stations on a bridge say of their IP addresses (ARP, neighbour discovery), shown to the control
//! side, which announces them with these addresses after a failover.
//!
//! Where the bridge has a bond, each such frame is copied while it goes on its way, untagged and with its VLAN.
//! From beyond the bond only announcements are: they tell that an address is another station's now. Whether
//! it is sound is for who reads it. A copy is counted as overheard; at most [`HEARD_MAX`] a second of a port
//! and worker, apart from other copies.

use crate::announce::announces;
use crate::counters::PortCounters;
use crate::frame::Frame;
use crate::ingress::Classified;
use crate::punt::PuntQueue;
use crate::verdict::PuntReason;
use vswitch_base::{Instant, PortIndex};

/// Frames that are copied in a second, of one port and by one worker.
pub const HEARD_MAX: u64 = 32;

const ARP: [u8; 2] = [0x08, 0x06];
const IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;
/// The kind of packet and where IPv6 says what follows.
const LOOKED_AT: usize = 2 + 7;

/// Whether a frame is worth a closer look: ARP or ICMPv6, by what lies behind its addresses.
#[inline]
pub(crate) fn may_claim(frame: &Frame<'_>, class: &Classified) -> bool {
    let rest = frame.bytes.get(usize::from(class.cut)..);
    match rest.and_then(|rest| rest.first_chunk::<LOOKED_AT>()) {
        Some([0x08, 0x06, ..] | [0x86, 0xdd, _, _, _, _, _, _, ICMPV6]) => true,
        Some(_) | None => false,
    }
}

/// Whether a frame, from its EtherType on, may say whose an IP address is.
#[must_use]
pub fn is_claim(rest: &[u8]) -> bool {
    let Some((kind, packet)) = rest.split_first_chunk::<2>() else {
        return false;
    };
    let part = |from: usize, to: usize| packet.get(from..to).unwrap_or_default();
    match *kind {
        // A sender without an address asks whether somebody has the one it wants.
        ARP => part(0, 8).starts_with(&[0, 1, 8, 0, 6, 4, 0]) && part(14, 18) != [0; 4],
        IPV6 if part(6, 8) == [ICMPV6, 255] => match part(40, 41) {
            [135] => part(8, 24) != [0; 16],
            [136] => true,
            _ => false,
        },
        _ => false,
    }
}

/// Copies a frame to the control side if it says whose an address is; from `beyond` a bond, if it announces it.
#[cold]
pub(crate) fn overhear(
    counters: &PortCounters,
    punts: &PuntQueue,
    (port, beyond): (PortIndex, bool),
    now: Instant,
    frame: &Frame<'_>,
    class: &Classified,
) {
    let Some(parts @ [_, rest]) = class.parts(frame) else {
        return;
    };
    // With a tag that is payload here it is of another network.
    if class.inner.is_none()
        && is_claim(rest)
        && (!beyond || announces(frame, class))
        && punts.has_room_for_copies()
        && counters.may_overhear_claim(u64::from(now.as_secs_u32()), HEARD_MAX)
        && punts.offer_parts(port, PuntReason::Neighbours, now, class.vid, parts)
    {
        counters.overheard.add(1);
    }
}
