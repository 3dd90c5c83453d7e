//! Copies of live frames for `vswctl capture`: bounded, lossy, off unless asked for.
//!
//! A worker that has a tap for a port copies the first bytes of each frame that enters or leaves into
//! preallocated slots. When nobody empties them in time, frames are missing from the capture and
//! counted; traffic is never held up. Without a tap the data path tests one pointer per batch.

use crate::frame::{Frame, TxFrame};
use crate::verdict::DropReason;
use arrayvec::ArrayVec;
use crossbeam::queue::ArrayQueue;
use std::sync::atomic::{AtomicU64, Ordering};
use vswitch_base::{Instant, PortIndex, Tag, ether::ADDRESSES_LEN};

/// Bytes kept of a frame at most.
pub const SNAPLEN_MAX: usize = 2048;
/// Frames kept between two visits of the reader: 1 MB of slots.
pub const CAPTURE_SLOTS: usize = 512;

/// Which way a captured frame went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Into the switch.
    In,
    /// Out of it.
    Out,
}

/// One captured frame.
#[derive(Clone, Debug)]
pub struct Captured {
    /// The port.
    pub port: PortIndex,
    /// Which way.
    pub direction: Direction,
    /// When its batch was handled.
    pub at: Instant,
    /// Bytes on the wire.
    pub wire_len: u32,
    /// Why it went no further; `None` for frames that did.
    pub dropped: Option<DropReason>,
    /// Its first bytes, tags in band.
    pub bytes: ArrayVec<u8, SNAPLEN_MAX>,
}

/// Which frames a capture wants.
#[derive(Clone, Copy, Debug)]
pub struct CaptureFilter {
    /// Frames into the switch.
    pub incoming: bool,
    /// Frames out of it.
    pub outgoing: bool,
    /// Only frames that were dropped on their way in.
    pub drops_only: bool,
    /// Bytes kept of each, at most [`SNAPLEN_MAX`].
    pub snaplen: usize,
}

/// The queue between workers and the reader of a capture.
#[derive(Debug)]
pub struct CaptureTap {
    filter: CaptureFilter,
    queue: ArrayQueue<Captured>,
    missed: AtomicU64,
}

impl CaptureTap {
    /// An empty tap.
    #[must_use]
    pub fn new(filter: CaptureFilter) -> Self {
        Self {
            filter,
            queue: ArrayQueue::new(CAPTURE_SLOTS),
            missed: AtomicU64::new(0),
        }
    }

    /// The oldest frame waiting.
    pub fn take(&self) -> Option<Captured> {
        self.queue.pop()
    }

    /// Frames that found no room so far.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Ordering::Relaxed)
    }

    /// A frame that entered, with what became of it.
    pub(crate) fn note_in(
        &self,
        port: PortIndex,
        at: Instant,
        frame: &Frame<'_>,
        dropped: Option<DropReason>,
    ) {
        if !self.filter.incoming || (self.filter.drops_only && dropped.is_none()) {
            return;
        }
        let (addresses, rest) = frame.bytes.split_at(frame.bytes.len().min(ADDRESSES_LEN));
        let tag = frame.stripped.map_or([0; 4], tag_bytes);
        let tag = if frame.stripped.is_some() {
            &tag[..]
        } else {
            &[]
        };
        self.keep(
            port,
            Direction::In,
            at,
            frame.wire_len(),
            dropped,
            [addresses, tag, rest],
        );
    }

    /// A frame handed to a device.
    pub(crate) fn note_out(&self, port: PortIndex, at: Instant, frame: &TxFrame<'_>) {
        if self.filter.outgoing && !self.filter.drops_only {
            let parts = [frame.header.as_slice(), frame.rest, &[]];
            self.keep(port, Direction::Out, at, frame.wire_len(), None, parts);
        }
    }

    fn keep(
        &self,
        port: PortIndex,
        direction: Direction,
        at: Instant,
        wire_len: usize,
        dropped: Option<DropReason>,
        parts: [&[u8]; 3],
    ) {
        let mut bytes = ArrayVec::new();
        for part in parts {
            let room = self
                .filter
                .snaplen
                .min(SNAPLEN_MAX)
                .saturating_sub(bytes.len());
            // Cut to the room left: cannot fail.
            let _ = bytes.try_extend_from_slice(&part[..part.len().min(room)]);
        }
        let wire_len = u32::try_from(wire_len).unwrap_or(u32::MAX);
        let captured = Captured {
            port,
            direction,
            at,
            wire_len,
            dropped,
            bytes,
        };
        if self.queue.push(captured).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn tag_bytes(tag: Tag) -> [u8; 4] {
    let ([a, b], [c, d]) = (tag.tpid.ether_type().to_be_bytes(), tag.tci.0.to_be_bytes());
    [a, b, c, d]
}
