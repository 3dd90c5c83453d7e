//! What comes back by a bond: the reflection guard (step 8) and the proof that a station moved.
//!
//! A switch that does not know of a bond floods what one member sends to the others. Such a frame has a
//! source that is behind one of our own ports, and learning from it would lead the station's traffic out of
//! the bond. So on a bond whose other side may reflect (`PortFlags::reflects`) a source that is behind
//! another port stays there and the frame is dropped, unless the station has moved:
//!
//! | the frame | the entry | then |
//! | --- | --- | --- |
//! | any | static, or the bridge's own | stays; told to the control side |
//! | an announcement ([`crate::announce`]) | the station announced itself here within [`ECHO_S`] | stays: it is the echo |
//! | an announcement | otherwise | moves |
//! | another | seen on its port within [`SILENCE_S`] | stays |
//! | another | otherwise, and nothing was announced within [`ECHO_S`] | moves |
//!
//! What is not seen for the bridge's ageing time is forgotten as ever. Behind another bond of the same kind
//! a station is beyond either way and moves freely. Called only where the source is not known on the bond.

use crate::announce::announces;
use crate::fdb::{EntryKind, Learned, Probe};
use crate::forward::Entrance;
use crate::frame::{Frame, FrameBatch};
use crate::ingress::Classified;
use crate::snapshot::Snapshot;

/// Seconds in which an announcement may come back: the time that Open vSwitch locks an address for.
pub const ECHO_S: u32 = 5;
/// Seconds after a station's last frame in which a frame may be an echo of it. A switch floods at once; this
/// is for loops that hold frames up, and below the shortest ageing that anybody has use for.
pub const SILENCE_S: u32 = 60;

/// That the source of a frame from such a bond stays behind another port; `None`: it may be learned.
#[cold]
pub(crate) fn holds(
    frame: &Frame<'_>,
    class: &Classified,
    probe: &Probe,
    entrance: &Entrance<'_>,
    snapshot: &Snapshot,
    now_s: u32,
) -> Option<Learned> {
    let fdb = &*entrance.bridge.fdb;
    let hit = fdb.find_at(probe)?;
    if hit.port == entrance.logical {
        return None;
    }
    match hit.kind {
        EntryKind::Learned => {}
        EntryKind::Static => return Some(Learned::Pinned),
        EntryKind::Local => return Some(Learned::OwnAddress),
    }
    let holder = snapshot.port(hit.port)?;
    let stale = holder.epoch != hit.epoch || holder.bridge != entrance.port.bridge;
    if stale || holder.flags.reflects {
        return None;
    }
    let may_be_echo = fdb.announced_within(hit, ECHO_S, now_s);
    let silent = now_s.saturating_sub(fdb.seen(hit)) > SILENCE_S;
    let moved = !may_be_echo && (silent || announces(frame, class));
    (!moved).then_some(Learned::Held { by: hit.port })
}

/// Tells the control side of a pinned source, unless the bond is of the kind that gets back what it sends
/// even where all is well.
#[cold]
pub(crate) fn tell(probe: &Probe, entrance: &Entrance<'_>, now_s: u32) {
    let fdb = &*entrance.bridge.fdb;
    if !entrance.admits.expects_echoes()
        && let Some(hit) = fdb.find_at(probe)
    {
        fdb.note_reflected(hit, probe.key(), entrance.ingress, now_s);
    }
}

/// Remembers who announces itself on a port of a bridge with such a bond, after the sources were learned and
/// before the frames leave by it.
pub(crate) fn note_announcements<'p>(
    batch: &FrameBatch<'_>,
    classes: &[Classified],
    sources: impl IntoIterator<Item = &'p Probe>,
    entrance: &Entrance<'_>,
    now_s: u32,
) {
    for ((frame, class), source) in batch.iter().zip(classes).zip(sources) {
        if class.dst.is_multicast() && class.learnable && announces(frame, class) {
            entrance.bridge.fdb.note_announced(source.key(), now_s);
        }
    }
}
