//! Pass 2: source addresses into the FDB (step 9; step 11 ends frames on a learning port).
//!
//! A frame whose source may not be learned is forwarded all the same, but where the port's
//! `mac_limit` is spent: then it is dropped, since answers to it could only be flooded. From a bond that may
//! give frames back a source that stays behind another port ends the frame too ([`crate::guard`], step 8).

use crate::explain::{Recorder, Step};
use crate::fdb::{Learned, Probe, Source};
use crate::forward::Entrance;
use crate::frame::Frame;
use crate::guard;
use crate::ingress::Classified;
use crate::snapshot::{PortState, Snapshot};
use crate::verdict::{DropReason, Verdict};
use vswitch_base::PortIndex;

/// Takes in the source of one classified frame, which `probe` asks for. Returns what came of it;
/// `None` where nothing is to be learned.
#[inline]
pub fn learn<R: Recorder>(
    class: &mut Classified,
    frame: &Frame<'_>,
    probe: &Probe,
    entrance: &Entrance<'_>,
    snapshot: &Snapshot,
    now_s: u32,
    recorder: &mut R,
) -> Option<Learned> {
    let (port, bridge) = (entrance.port, entrance.bridge);
    let mut outcome = None;
    if class.learnable && port.flags.learning && bridge.learning {
        let source = Source {
            port: entrance.logical,
            epoch: port.epoch,
            mac_limit: port.mac_limit,
        };
        let is_current =
            |port: PortIndex, epoch| snapshot.port(port).is_some_and(|p| p.epoch == epoch);
        let fdb = &*bridge.fdb;
        let settled = if R::LIVE {
            fdb.refresh_at(probe, source, now_s)
        } else {
            None
        };
        let learned = settled.unwrap_or_else(|| {
            if port.flags.reflects
                && let Some(held) = guard::holds(frame, class, probe, entrance, snapshot, now_s)
            {
                held
            } else if R::LIVE {
                fdb.learn_anew(probe.key(), source, now_s, is_current)
            } else {
                fdb.would_learn(class.vid, class.src.mac(), source, is_current)
            }
        });
        outcome = Some(learned);
    } else if class.learnable && port.flags.reflects {
        outcome = guard::holds(frame, class, probe, entrance, snapshot, now_s);
    }
    if let Some(learned) = outcome {
        recorder.note(|| Step::Learn { learned });
        if let Some(reason) = refusal(learned, port.flags.reflects)
            && class.verdict.is_none()
        {
            class.verdict = Some(Verdict::Drop(reason));
            if R::LIVE && matches!(learned, Learned::Pinned | Learned::OwnAddress) {
                guard::tell(probe, entrance, now_s);
            }
        }
    }
    if class.verdict.is_none() && port.state == PortState::Learning {
        class.verdict = Some(Verdict::Drop(DropReason::PortLearning));
    }
    outcome
}

/// Why a frame goes no further after its source was looked at.
#[inline]
const fn refusal(learned: Learned, reflects: bool) -> Option<DropReason> {
    match learned {
        Learned::PortLimit => Some(DropReason::MacLimit),
        Learned::Held { .. } | Learned::Pinned | Learned::OwnAddress if reflects => {
            Some(DropReason::BondReflected)
        }
        _ => None,
    }
}
