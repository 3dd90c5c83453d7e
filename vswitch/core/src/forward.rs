//! Pass 3: where a frame goes (steps 13 and 14), and who may be flooded.

use crate::bond::Admits;
use crate::explain::{Recorder, Step};
use crate::fdb::{EntryKind, Hit};
use crate::ingress::Classified;
use crate::snapshot::{BridgeView, FloodPort, PortState, PortView, Snapshot};
use crate::verdict::{DropReason, Egress, FloodClass, Verdict};
use crate::watch::Watched;
use vswitch_base::PortIndex;

/// The verdict on a classified frame that nothing has settled yet. `hit` is what the bridge's table
/// says of a unicast destination; the caller asked it, for a whole batch in one go.
#[inline]
pub fn decide<R: Recorder>(
    class: &Classified,
    hit: Option<Hit>,
    ingress: PortIndex,
    port: &PortView,
    bridge: &BridgeView,
    snapshot: &Snapshot,
    recorder: &mut R,
) -> Verdict {
    let kind = FloodClass::of(class.dst);
    if kind != FloodClass::UnknownUnicast {
        recorder.note(|| Step::Group { class: kind });
        return Verdict::Flood(kind);
    }
    // An entry learned before its port was flushed, or whose port has left, is nobody's address.
    let target = hit.and_then(|hit| Some((hit, live_target(hit, port, snapshot)?)));
    let Some((hit, target)) = target else {
        recorder.note(|| Step::Unknown);
        return Verdict::Flood(kind);
    };
    recorder.note(|| Step::Known {
        port: hit.port,
        kind: hit.kind,
    });
    match to_port(class, hit.port, target, ingress, port, bridge) {
        Ok(egress) => Verdict::Forward(egress),
        Err(reason) => Verdict::Drop(reason),
    }
}

/// The port of a found address, if the entry still counts.
#[inline]
fn live_target<'s>(hit: Hit, from: &PortView, snapshot: &'s Snapshot) -> Option<&'s PortView> {
    snapshot.port(hit.port).filter(|target| {
        target.bridge == from.bridge
            && (hit.kind != EntryKind::Learned || target.epoch == hit.epoch)
    })
}

/// Whether a frame from `ingress` may leave by `target`, and how (Linux `should_deliver`; the MTU is
/// the egress pass's business).
#[inline]
pub(crate) fn to_port(
    class: &Classified,
    index: PortIndex,
    target: &PortView,
    ingress: PortIndex,
    from: &PortView,
    bridge: &BridgeView,
) -> Result<Egress, DropReason> {
    if index == ingress && !from.flags.hairpin {
        return Err(DropReason::SamePort);
    }
    if target.state != PortState::Forwarding {
        return Err(DropReason::EgressBlocked);
    }
    if from.flags.isolated && target.flags.isolated {
        return Err(DropReason::Isolated);
    }
    let tagged = match class.vid {
        Some(vid) if bridge.vlan_filtering => {
            target.egress_tagged(vid).ok_or(DropReason::EgressVlan)?
        }
        _ => false,
    };
    Ok(Egress {
        port: index,
        tagged,
    })
}

/// Whether one port of a flood set gets a copy.
#[inline]
#[must_use]
pub fn floods_to(
    flood: &FloodPort,
    class: FloodClass,
    ingress: PortIndex,
    from: &PortView,
) -> bool {
    // What the host sends to groups reaches ports whose multicast and broadcast floods are off, as in
    // Linux: its ARP must find everybody.
    let forced = from.flags.host && class != FloodClass::UnknownUnicast;
    (flood.floods & class.bit() != 0 || forced)
        && !(flood.isolated && from.flags.isolated)
        && (flood.egress.port != ingress || from.flags.hairpin)
}

/// Where the frames of a port enter: a member leads to its bond.
#[derive(Clone, Copy, Debug)]
pub struct Entrance<'s> {
    /// The port they came in by.
    pub ingress: PortIndex,
    /// What that lets in.
    pub admits: &'s Admits,
    /// What the monitor of its bond waits for there.
    pub watched: Option<&'s Watched>,
    /// The port that has VLANs and addresses: the same, or its bond.
    pub logical: PortIndex,
    /// Its view.
    pub port: &'s PortView,
    /// Its bridge.
    pub bridge: &'s BridgeView,
}

/// Where frames from `ingress` enter; `None` when it is in no bridge.
#[inline]
#[must_use]
pub fn entrance(snapshot: &Snapshot, ingress: PortIndex) -> Option<Entrance<'_>> {
    let member = snapshot.port(ingress)?;
    let port = snapshot.port(member.logical)?;
    Some(Entrance {
        ingress,
        admits: &member.admits,
        watched: member.watched.as_deref(),
        logical: member.logical,
        port,
        bridge: snapshot.bridge(port.bridge?)?,
    })
}
