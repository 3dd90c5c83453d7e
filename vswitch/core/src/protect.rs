//! What a port lets in of what the station behind it sends (step 7).
//!
//! | asked, in this order | configured by | dropped as |
//! | --- | --- | --- |
//! | Is the source one of the station's own addresses? | `mac_spoof_check` | `mac-spoof` |
//!
//! Whatever is dropped here teaches nothing: a spoofed frame must not move an address. What pass 1 settled
//! stays so: a frame for the link itself has its own rules, and goes nowhere. A port without any of it costs
//! its batches one look at [`crate::snapshot::PortView::protection`].

use crate::ingress::Classified;
use crate::verdict::{DropReason, Verdict};
use vswitch_base::MacWord;

/// Own addresses of a port at most: they are compared one by one.
pub const MACS_MAX: usize = 16;

/// What a port asks of the frames of its station.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// The station's own addresses, at most [`MACS_MAX`].
    pub macs: Box<[MacWord]>,
    /// Whether the source must be one of them (G-02).
    pub spoof_check: bool,
}

impl Protection {
    /// Judges a frame that pass 1 has let in.
    #[inline]
    pub(crate) fn examine(&self, class: &mut Classified) {
        if self.spoof_check && !self.macs.contains(&class.src) {
            turn_away(class, DropReason::MacSpoof);
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
