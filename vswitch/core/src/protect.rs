//! What a port lets in of what the station behind it sends (step 7).
//!
//! | asked, in this order | configured by | dropped as |
//! | --- | --- | --- |
//! | Has the station spoken since its device was opened? | `hold_until_guest` | `held` |
//! | Is the source one of the station's own addresses? | `mac_spoof_check`, `guard` | `mac-spoof` |
//! | Is the frame about the station, and not a server's or router's? | `guard` | see [`claims`] |
//! | Is there room for it at the port's rate? | `ingress_rate` | `policed-in` |
//!
//! Whatever is dropped here teaches nothing: a spoofed frame must not move an address. What pass 1 settled
//! stays so: a frame for the link itself has its own rules, and goes nowhere; but nothing passes a closed gate. A port without any of it costs
//! its batches one look at [`crate::snapshot::PortView::protection`].

pub mod claims;

pub use claims::Claims;

use crate::announce::announces;
use crate::explain::Recorder;
use crate::frame::Frame;
use crate::ingress::Classified;
use crate::police::{Bucket, Policer};
use crate::sync::{Arc, AtomicU32, Ordering};
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
    /// Of whether the station has spoken.
    pub gate: Arc<Gate>,
}

/// Opens when the station speaks, and never closes (N-03): during a live migration the address of a machine
/// must not be seen where it is going to be before it is there. Frames to the station pass all along.
#[derive(Debug, Default)]
pub struct Gate(AtomicU32);

impl Gate {
    /// Whether the station has spoken.
    #[inline]
    #[must_use]
    pub fn is_open(&self) -> bool {
        // Relaxed: nothing else is told by it.
        self.0.load(Ordering::Relaxed) != 0
    }

    /// Opens it; whether it was closed. Of several workers one hears so.
    pub fn open(&self) -> bool {
        self.0.swap(1, Ordering::Relaxed) == 0
    }
}

/// What a port asks of the frames of its station.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// The station's own addresses, at most [`MACS_MAX`].
    pub macs: Box<[MacWord]>,
    /// What holds all frames back until one comes from one of them, or, where none is known, until a station
    /// announces itself ([`announces`]).
    pub gate: Option<Arc<Gate>>,
    /// Whether the source must be one of them (G-02).
    pub spoof_check: bool,
    /// What else its frames claim is judged (N-14); `None`: not.
    pub claims: Option<Claims>,
    /// How much of what is to be forwarded it may send; `None`: any amount.
    pub rate: Option<Policer>,
}

impl Protection {
    /// Judges a frame that pass 1 has let in. Whether it is the one that opened the gate.
    #[inline]
    pub(crate) fn examine<R: Recorder>(
        &self,
        class: &mut Classified,
        frame: &Frame<'_>,
        now: Instant,
    ) -> bool {
        let mut opened = false;
        if let Some(gate) = self.gate.as_deref().filter(|gate| !gate.is_open()) {
            if !self.speaks(class, frame) {
                hold(class);
                return false;
            }
            opened = R::LIVE && gate.open();
        }
        if let Some(reason) = self.refusal::<R>(class, frame, now) {
            turn_away(class, reason);
        }
        opened
    }

    /// Whether the station has spoken: in a VLAN of the port, be it to the link only.
    #[cold]
    fn speaks(&self, class: &Classified, frame: &Frame<'_>) -> bool {
        class.learnable
            && if self.macs.is_empty() {
                announces(frame, class)
            } else {
                self.macs.contains(&class.src)
            }
    }

    /// Why a frame of a station that has spoken is dropped.
    #[inline]
    fn refusal<R: Recorder>(
        &self,
        class: &Classified,
        frame: &Frame<'_>,
        now: Instant,
    ) -> Option<DropReason> {
        if self.spoof_check && !self.macs.contains(&class.src) {
            return Some(DropReason::MacSpoof);
        }
        if let Some(claims) = &self.claims
            && class.verdict.is_none()
        {
            let rest = frame.bytes.get(usize::from(class.cut)..);
            let judged = claims.judge(&self.macs, rest.unwrap_or_default(), frame.offload.is_gso());
            if let Err(lie) = judged {
                return Some(lie);
            }
        }
        if let Some(rate) = &self.rate
            && class.verdict.is_none()
            && !rate.passes(frame.wire_len(), R::LIVE, now)
        {
            return Some(DropReason::PolicedIn);
        }
        None
    }
}

/// Ends the way of a frame of a port whose station has not spoken, also if it is for the link.
fn hold(class: &mut Classified) {
    class.learnable = false;
    if !matches!(class.verdict, Some(Verdict::Drop(_))) {
        class.verdict = Some(Verdict::Drop(DropReason::Held));
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
