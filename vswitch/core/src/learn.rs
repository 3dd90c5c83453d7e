//! Pass 2: source addresses into the FDB (step 9; step 11 ends frames on a learning port).
//!
//! A frame whose source may not be learned is forwarded all the same, but where the port's
//! `mac_limit` is spent: then it is dropped, since answers to it could only be flooded.

use crate::explain::{Recorder, Step};
use crate::fdb::{Learned, Probe, Source};
use crate::ingress::Classified;
use crate::snapshot::{BridgeView, PortState, PortView, Snapshot};
use crate::verdict::{DropReason, Verdict};
use vswitch_base::PortIndex;

/// Takes in the source of one classified frame, which `probe` asks for. Returns what came of it;
/// `None` where nothing is to be learned.
#[expect(clippy::too_many_arguments, reason = "what the pass knows of a frame")]
#[inline]
pub fn learn<R: Recorder>(
    class: &mut Classified,
    probe: &Probe,
    ingress: PortIndex,
    port: &PortView,
    bridge: &BridgeView,
    snapshot: &Snapshot,
    now_s: u32,
    recorder: &mut R,
) -> Option<Learned> {
    let mut outcome = None;
    if class.learnable && port.flags.learning && bridge.learning {
        let source = Source {
            port: ingress,
            epoch: port.epoch,
            mac_limit: port.mac_limit,
        };
        let is_current =
            |port: PortIndex, epoch| snapshot.port(port).is_some_and(|p| p.epoch == epoch);
        let learned = if R::LIVE {
            bridge.fdb.learn_at(probe, source, now_s, is_current)
        } else {
            bridge
                .fdb
                .would_learn(class.vid, class.src.mac(), source, is_current)
        };
        recorder.note(|| Step::Learn { learned });
        if learned == Learned::PortLimit && class.verdict.is_none() {
            class.verdict = Some(Verdict::Drop(DropReason::MacLimit));
        }
        outcome = Some(learned);
    }
    if class.verdict.is_none() && port.state == PortState::Learning {
        class.verdict = Some(Verdict::Drop(DropReason::PortLearning));
    }
    outcome
}
