//! Frames whose bucket is on its way from one member to another (N-10).
//!
//! What has been sent by the one member may still be on its link when the first frame leaves by the other, and
//! would be overtaken. So while the control side asks the partner whether all has arrived, the frames of such
//! buckets wait here, each worker's in the order in which they came, and leave when a snapshot says that their
//! bucket moves no more. That happens seldom and takes a millisecond, so that copies and memory for them are no
//! matter.
//!
//! Bounded: what finds no room goes on at once. Order is worth less than frames.

use crate::frame::{Frame, VnetHdr};
use crate::ingress::Classified;
use crate::verdict::Egress;
use std::collections::VecDeque;
use vswitch_base::{PortIndex, Tag};

/// The most frames that a worker holds, but for the batch that finds no room.
pub const HELD_MAX: usize = 4_096;
/// The most bytes of frames that a worker holds.
pub const HELD_BYTES_MAX: usize = 8 << 20;

/// A copy of a classified frame, for a bond.
#[derive(Debug)]
pub struct HeldFrame {
    /// The bond that it leaves by, and whether tagged.
    pub egress: Egress,
    /// The member that it waited for.
    pub member: PortIndex,
    /// What pass 1 found.
    pub class: Classified,
    bytes: Box<[u8]>,
    stripped: Option<Tag>,
    offload: VnetHdr,
}

impl HeldFrame {
    /// The frame as it was received.
    #[must_use]
    pub fn frame(&self) -> Frame<'_> {
        Frame {
            bytes: &self.bytes,
            stripped: self.stripped,
            offload: self.offload,
        }
    }
}

/// What one worker holds, the oldest first.
#[derive(Debug, Default)]
pub struct Held {
    frames: VecDeque<HeldFrame>,
    bytes: usize,
    overrun: bool,
}

impl Held {
    /// Keeps a copy of a frame; `false`: it goes on at once, as all do after there was no room until
    /// [`Self::begin`]. The frame that finds no room, and what follows it before [`Self::release`], is kept all
    /// the same, since it would overtake the others: a batch at most.
    #[cold]
    pub fn put(
        &mut self,
        frame: &Frame<'_>,
        class: &Classified,
        egress: Egress,
        member: PortIndex,
    ) -> bool {
        let fits = self.frames.len() < HELD_MAX && self.bytes + frame.bytes.len() <= HELD_BYTES_MAX;
        self.overrun |= !fits;
        if self.overrun && self.frames.is_empty() {
            return false;
        }
        self.bytes += frame.bytes.len();
        self.frames.push_back(HeldFrame {
            egress,
            member,
            class: *class,
            bytes: frame.bytes.into(),
            stripped: frame.stripped,
            offload: frame.offload,
        });
        true
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether there was no room, so that all that is held goes on, whatever a snapshot says.
    #[must_use]
    pub const fn is_overrun(&self) -> bool {
        self.overrun
    }

    /// Gives everything out, in order. What still has to wait is put back by [`Self::put_back`].
    pub fn release(&mut self) -> VecDeque<HeldFrame> {
        self.bytes = 0;
        std::mem::take(&mut self.frames)
    }

    /// Another snapshot is in use: there may be room again.
    pub const fn begin(&mut self) {
        self.overrun = false;
    }

    /// Keeps a frame that was released on, behind those that were kept on before.
    pub fn put_back(&mut self, frame: HeldFrame) {
        self.bytes += frame.bytes.len();
        self.frames.push_back(frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N-10: the store is bounded, in frames and in bytes, but for what would overtake them; and it gives out what
    /// came in, in order.
    #[test]
    fn what_finds_no_room_lets_all_go() {
        let (class, member) = (Classified::NEW, PortIndex(4));
        let egress = Egress {
            port: PortIndex(3),
            tagged: true,
        };
        for (len, room) in [(60, HELD_MAX), (60_000, HELD_BYTES_MAX / 60_000)] {
            let mut held = Held::default();
            let bytes = vec![7; len];
            let frame = Frame::new(&bytes);
            let short = [1];
            for _ in 0..room {
                assert!(held.put(&frame, &class, egress, member));
            }
            assert!(!held.is_overrun());
            for bytes in [&bytes[..], &short] {
                assert!(held.put(&Frame::new(bytes), &class, egress, member));
            }
            assert!(held.is_overrun());
            let mut out = held.release();
            assert_eq!((out.len(), held.is_empty()), (room + 2, true));
            assert!(
                !held.put(&frame, &class, egress, member),
                "nor any after it"
            );
            held.begin();
            held.put_back(out.pop_front().expect("one"));
            assert!(held.put(&Frame::new(&short), &class, egress, member));
            let lens: Vec<usize> = held
                .release()
                .iter()
                .map(|f| f.frame().bytes.len())
                .collect();
            assert_eq!(lens, [len, 1]);
        }
    }
}
