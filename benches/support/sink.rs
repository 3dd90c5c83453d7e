//! The way out of a bench: a port that takes everything.

use vswitch_core::frame::TxList;
use vswitch_core::port::{PortTx, TxCaps, TxReport};

/// Takes everything, looking at each frame's header as a device would. Alone in its cache lines: what is
/// measured is what the switch shares, not what the sinks of several workers would.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Sink(u64);

impl PortTx for Sink {
    fn send(&mut self, frames: TxList<'_>) -> TxReport {
        for frame in frames.iter() {
            self.0 = self.0.wrapping_add(u64::from(frame.header.as_slice()[5]));
        }
        std::hint::black_box(self.0);
        TxReport {
            sent: u32::try_from(frames.len()).unwrap_or(u32::MAX),
            ..TxReport::default()
        }
    }

    fn caps(&self) -> TxCaps {
        TxCaps::ALL
    }
}
