//! Reports of group membership (IGMP, MLD) from a bridge's stations, shown to the control side.
//!
//! Where the bridge has a bond that says them again after a failover, each is copied while it goes on its
//! way, untagged and with the VLAN that it was taken for. Whether it is sound is for who reads it: here is
//! only looked where one may be. A copy is counted as overheard; at most [`HEARD_MAX`] a second of a port
//! and worker.

use crate::counters::PortCounters;
use crate::frame::Frame;
use crate::ingress::Classified;
use crate::punt::PuntQueue;
use crate::verdict::PuntReason;
use vswitch_base::{Instant, PortIndex};

/// Reports that are copied in a second, of one port and by one worker.
pub const HEARD_MAX: u64 = 64;

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const IGMP: u8 = 2;
const HOP_BY_HOP: u8 = 0;
const ICMPV6: u8 = 58;
/// IPv6 header and the options with the router alert.
const MLD_AT: usize = 40 + 8;

/// Whether a frame, from its EtherType on, may be a report, a leave or a done.
#[must_use]
pub fn is_report(rest: &[u8]) -> bool {
    let Some((kind, packet)) = rest.split_first_chunk::<2>() else {
        return false;
    };
    let byte = |at: usize| packet.get(at).copied().unwrap_or(u8::MAX);
    match *kind {
        IPV4 if byte(9) == IGMP => {
            let header = usize::from(byte(0) & 0xf) * 4;
            matches!(byte(header), 0x12 | 0x16 | 0x17 | 0x22)
        }
        IPV6 => {
            let at = match (byte(6), byte(40)) {
                (ICMPV6, _) => 40,
                (HOP_BY_HOP, ICMPV6) => MLD_AT,
                _ => return false,
            };
            matches!(byte(at), 131 | 132 | 143)
        }
        _ => false,
    }
}

/// Copies a frame to the control side if it is a report.
#[cold]
pub(crate) fn overhear(
    counters: &PortCounters,
    punts: &PuntQueue,
    port: PortIndex,
    now: Instant,
    frame: &Frame<'_>,
    class: &Classified,
) {
    let Some(parts @ [_, rest]) = class.parts(frame) else {
        return;
    };
    if is_report(rest)
        && punts.has_room_for_copies()
        && counters.may_overhear(u64::from(now.as_secs_u32()), HEARD_MAX)
        && punts.offer_parts(port, PuntReason::Groups, now, class.vid, parts)
    {
        counters.overheard.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The EtherType, an IP header of that length, and the message's first octet behind it.
    fn packet(kind: [u8; 2], header: &[u8], first: u8) -> Vec<u8> {
        [&kind[..], header, &[first], &[0; 20]].concat()
    }

    #[test]
    fn reports_are_where_they_may_be() {
        let v4 = |header: usize, protocol: u8| {
            let mut bytes = vec![0; header];
            bytes[0] = 0x40 | u8::try_from(header / 4).expect("small");
            bytes[9] = protocol;
            bytes
        };
        let v6 = |next: u8, options: bool| {
            let mut bytes = vec![0; if options { MLD_AT } else { 40 }];
            (bytes[0], bytes[6]) = (0x60, next);
            if options {
                bytes[40] = ICMPV6;
            }
            bytes
        };
        for (rest, expected) in [
            (packet(IPV4, &v4(24, IGMP), 0x22), true),
            (packet(IPV4, &v4(20, IGMP), 0x16), true),
            (packet(IPV4, &v4(24, IGMP), 0x11), false),
            (packet(IPV4, &v4(24, 17), 0x22), false),
            (packet(IPV6, &v6(HOP_BY_HOP, true), 143), true),
            (packet(IPV6, &v6(ICMPV6, false), 131), true),
            (packet(IPV6, &v6(HOP_BY_HOP, true), 130), false),
            (packet([0x08, 0x06], &v4(24, IGMP), 0x22), false),
            (Vec::new(), false),
        ] {
            assert_eq!(is_report(&rest), expected, "{rest:02x?}");
            for len in 0..rest.len() {
                // Cut short it is told or not, and never panics.
                let _told = is_report(&rest[..len]);
            }
        }
    }
}
