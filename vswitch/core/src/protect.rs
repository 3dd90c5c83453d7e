//! What a port lets in of what the station behind it sends (step 7).
//!
//! | asked, in this order | configured by | dropped as |
//! | --- | --- | --- |
//! | Is the source one of the station's own addresses? | `mac_spoof_check`, `guard` | `mac-spoof` |
//! | Is the frame about the station, and not a server's or router's? | `guard` | see [`claims`] |
//! | Is there room for it at the port's rate? | `ingress_rate` | `policed-in` |
//!
//! Whatever is dropped here teaches nothing: a spoofed frame must not move an address. What pass 1 settled
//! stays so: a frame for the link itself has its own rules, and goes nowhere. A port without any of it costs
//! its batches one look at [`crate::snapshot::PortView::protection`].

pub mod claims;

pub use claims::Claims;

use crate::explain::Recorder;
use crate::frame::Frame;
use crate::ingress::Classified;
use crate::police::{Bucket, Policer};
use crate::sync::Arc;
use crate::verdict::{DropReason, Verdict};
use vswitch_base::{Instant, MacWord};

/// Own addresses of a port at most: they are compared one by one.
pub const MACS_MAX: usize = 16;

/// What is kept of a port from one snapshot to the next, as long as its device is open. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct PortMemory {
    /// Of what comes in.
    pub ingress: Arc<Bucket>,
    /// Of what leaves.
    pub egress: Arc<Bucket>,
}

/// What a port asks of the frames of its station.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// The station's own addresses, at most [`MACS_MAX`].
    pub macs: Box<[MacWord]>,
    /// Whether the source must be one of them (G-02).
    pub spoof_check: bool,
    /// What else its frames claim is judged (N-14); `None`: not.
    pub claims: Option<Claims>,
    /// How much of what is to be forwarded it may send; `None`: any amount.
    pub rate: Option<Policer>,
}

impl Protection {
    /// Judges a frame that pass 1 has let in.
    #[inline]
    pub(crate) fn examine<R: Recorder>(
        &self,
        class: &mut Classified,
        frame: &Frame<'_>,
        now: Instant,
    ) {
        if self.spoof_check && !self.macs.contains(&class.src) {
            return turn_away(class, DropReason::MacSpoof);
        }
        if let Some(claims) = &self.claims
            && class.verdict.is_none()
        {
            let rest = frame.bytes.get(usize::from(class.cut)..);
            let judged = claims.judge(&self.macs, rest.unwrap_or_default(), frame.offload.is_gso());
            if let Err(lie) = judged {
                return turn_away(class, lie);
            }
        }
        if let Some(rate) = &self.rate
            && class.verdict.is_none()
            && !rate.passes(frame.wire_len(), R::LIVE, now)
        {
            turn_away(class, DropReason::PolicedIn);
        }
    }
}

/// Ends the way of a frame, unless it has ended already, before anything is learned from it.
#[inline]
fn turn_away(class: &mut Classified, reason: DropReason) {
    class.learnable = false;
    if class.verdict.is_none() {
        class.verdict = Some(Verdict::Drop(reason));
    }
}
