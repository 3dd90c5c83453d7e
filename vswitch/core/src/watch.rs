//! What the monitor of a bond has to see of what a member receives: ARP (RFC 826) and neighbour discovery
//! (RFC 4861) from its targets, and its own probes where they come in by another member.
//!
//! Such a frame is copied to the control side and goes on its way; it is counted as overheard, which is no
//! end. One to an address that is the monitor's alone ends there. The wanted ones are picked here, by
//! address, so that a crowded network does not drown the few that matter, and at most [`HEARD_MAX`] a second
//! of a member and worker are copied.
//!
//! Every byte is a stranger's: what does not parse is not wanted.

use crate::counters::PortCounters;
use crate::punt::PuntQueue;
use crate::verdict::PuntReason;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vswitch_base::{EtherType, EtherView, Instant, MacAddr, PortIndex, Tpid};

/// Frames that are copied in a second, of one member and by one worker.
pub const HEARD_MAX: u64 = 64;

/// What a frame does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speech {
    /// An ARP request, or a neighbour solicitation.
    Asks,
    /// An ARP reply, or a neighbour advertisement.
    Answers,
}

/// A frame of ARP or neighbour discovery, as far as a monitor looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// Asking or answering.
    pub speech: Speech,
    /// The Ethernet source.
    pub src: MacAddr,
    /// The Ethernet destination.
    pub dst: MacAddr,
    /// Whose address it is: ARP's sender, the source of a solicitation, the target of an advertisement.
    pub sender: IpAddr,
    /// Who is spoken to or asked for: ARP's target, the target of a solicitation, the destination of an
    /// advertisement.
    pub target: IpAddr,
}

impl Neighbour {
    /// Reads a frame, whatever tags it has; `None` when it is something else or broken. Checksums are not
    /// looked at: a sender on this machine leaves them to its device.
    #[must_use]
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let view = EtherView::new(frame)?;
        let (mut kind, mut rest) = (view.outer_type(), view.after_header());
        for _ in 0..2 {
            if Tpid::from_ether_type(kind.0).is_none() {
                break;
            }
            let ([_, _, high, low], inner) = rest.split_first_chunk()?;
            (kind, rest) = (EtherType(u16::from_be_bytes([*high, *low])), inner);
        }
        let (speech, sender, target) = match kind {
            EtherType::ARP => arp(rest)?,
            EtherType::IPV6 => discovery(rest)?,
            _ => return None,
        };
        Some(Self {
            speech,
            src: view.src(),
            dst: view.dst(),
            sender,
            target,
        })
    }
}

fn arp(packet: &[u8]) -> Option<(Speech, IpAddr, IpAddr)> {
    let packet: &[u8; 28] = packet.first_chunk()?;
    let speech = match packet[..8] {
        // Ethernet, IPv4, addresses of six and four bytes.
        [0, 1, 8, 0, 6, 4, 0, 1] => Speech::Asks,
        [0, 1, 8, 0, 6, 4, 0, 2] => Speech::Answers,
        _ => return None,
    };
    let ip = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets).into())
    };
    Some((speech, ip(14)?, ip(24)?))
}

fn discovery(packet: &[u8]) -> Option<(Speech, IpAddr, IpAddr)> {
    let packet: &[u8; 64] = packet.first_chunk()?;
    let ip = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    };
    // ICMPv6, and a hop limit that says that no router has passed it on.
    if packet[6] != 58 || packet[7] != 255 {
        return None;
    }
    match packet[40] {
        135 => Some((Speech::Asks, ip(8)?, ip(48)?)),
        136 => Some((Speech::Answers, ip(48)?, ip(24)?)),
        _ => None,
    }
}

/// What is wanted of a member.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Watched {
    /// All of it, whoever speaks.
    pub anybody: bool,
    /// Whose frames are wanted.
    pub targets: Vec<IpAddr>,
    /// Where probes come from: what they ask the targets is wanted as well.
    pub probers: Vec<MacAddr>,
    /// The address at which nobody is but the monitor.
    pub own: Option<MacAddr>,
}

impl Watched {
    /// Whether the frame is wanted; and then, whether it ends here.
    #[must_use]
    pub fn wants(&self, frame: &[u8]) -> Option<bool> {
        let heard = Neighbour::parse(frame)?;
        let probe = self.targets.contains(&heard.target) && self.probers.contains(&heard.src);
        let wanted = self.anybody || probe || self.targets.contains(&heard.sender);
        wanted.then_some(Some(heard.dst) == self.own)
    }
}

/// Copies a wanted frame to the control side, as far as that is not too often.
#[cold]
pub(crate) fn overhear(
    counters: &PortCounters,
    punts: &PuntQueue,
    port: PortIndex,
    now: Instant,
    frame: &[u8],
) {
    if counters.may_overhear(u64::from(now.as_secs_u32()), HEARD_MAX)
        && punts.offer(port, PuntReason::Probe, now, frame)
    {
        counters.overheard.add(1);
    }
}
