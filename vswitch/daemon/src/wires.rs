//! The wires of ports of kind `mem`, for tests: frames go on and off them by the control socket.
//!
//! Whoever puts frames on a wire is answered when the workers are done with them, so that a test needs no
//! patience. A wire holds a bounded number of frames that nobody took. Control thread only.

use crate::server::CallId;
use hashbrown::HashMap;
use vswitch_api::request::PutFrames;
use vswitch_base::PortIndex;
use vswitch_core::testing::MemPort;

/// Bytes of frames that are taken at once: in hex and JSON well below the limit of a message.
const TAKE_BYTES_MAX: usize = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    wires: HashMap<PortIndex, MemPort>,
    waiting: Vec<(CallId, PortIndex)>,
}

impl Wires {
    /// A port was handed to the workers.
    pub(crate) fn attach(&mut self, port: PortIndex, wire: MemPort) {
        wire.limit_room(PutFrames::FRAMES_MAX);
        self.wires.insert(port, wire);
    }

    /// A port is taken from the workers.
    pub(crate) fn detach(&mut self, port: PortIndex) {
        self.wires.remove(&port);
    }

    /// Whether the port is there and of kind `mem`.
    #[must_use]
    pub(crate) fn has(&self, port: PortIndex) -> bool {
        self.wires.contains_key(&port)
    }

    /// Puts frames on a wire; [`Self::settled`] names the call when the workers are done with them.
    pub(crate) fn put(&mut self, call: CallId, port: PortIndex, frames: Vec<Vec<u8>>) {
        if let Some(wire) = self.wires.get(&port) {
            frames.into_iter().for_each(|frame| wire.put(frame));
        }
        self.waiting.push((call, port));
    }

    /// Takes frames that the switch sent off a wire, oldest first.
    pub(crate) fn take(&self, port: PortIndex) -> Vec<Vec<u8>> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        let Some(wire) = self.wires.get(&port) else {
            return taken;
        };
        while bytes < TAKE_BYTES_MAX
            && let Some(frame) = wire.take()
        {
            bytes += frame.bytes.len();
            taken.push(frame.bytes);
        }
        taken
    }

    /// Whether a call waits for the workers.
    #[must_use]
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Calls whose frames the workers are done with, or whose port has gone.
    pub(crate) fn settled(&mut self) -> Vec<CallId> {
        let wires = &self.wires;
        let is_idle = |port: &PortIndex| wires.get(port).is_none_or(MemPort::is_idle);
        let (settled, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(_, port)| is_idle(port));
        self.waiting = waiting;
        let settled: Vec<(CallId, PortIndex)> = settled;
        settled.into_iter().map(|(call, _)| call).collect()
    }
}
