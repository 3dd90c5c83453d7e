//! Running captures: which taps feed which clients.
//!
//! A capture sets one tap on each of its ports; the control thread empties the taps a few times a second
//! and sends what is there. While a client does not keep up its tap is left to fill; what finds no place
//! there is counted and told. A port feeds one capture at a time. Control thread only.

use crate::clock::Clock;
use crate::server::CallId;
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use vswitch_api::request::Capture;
use vswitch_api::types::{CaptureDirection, CaptureReply, CapturedFrame, FrameDirection};
use vswitch_base::PortIndex;
use vswitch_core::capture::{CaptureFilter, CaptureTap, Captured, Direction, SNAPLEN_MAX};

/// Frames in one reply.
const FRAMES_PER_REPLY: usize = 64;

/// One client's capture.
#[derive(Debug)]
struct Running {
    call: CallId,
    ports: Vec<(PortIndex, String)>,
    tap: Arc<CaptureTap>,
    left: u64,
    missed: u64,
    /// The client has much left to read.
    held: bool,
}

/// All running captures.
#[derive(Debug, Default)]
pub(crate) struct Captures(Vec<Running>);

/// What to tell a client.
#[derive(Debug)]
pub(crate) struct CaptureNews {
    /// Which call.
    pub call: CallId,
    /// The frames.
    pub reply: CaptureReply,
    /// Whether the capture has all it wanted and is over.
    pub last: bool,
}

impl Captures {
    /// Whether any is running.
    #[must_use]
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name of one of these ports that a capture is running on already.
    #[must_use]
    pub(crate) fn taken(&self, ports: &[(PortIndex, String)]) -> Option<&str> {
        let mut running = self.0.iter().flat_map(|c| &c.ports);
        running
            .find(|port| ports.contains(port))
            .map(|(_, name)| name.as_str())
    }

    /// Starts one; the tap is to be set on its ports.
    pub(crate) fn start(
        &mut self,
        call: CallId,
        ports: Vec<(PortIndex, String)>,
        wanted: &Capture,
    ) -> Arc<CaptureTap> {
        let direction = wanted.direction.unwrap_or_default();
        let snaplen = wanted
            .snaplen
            .and_then(|s| usize::try_from(s).ok())
            .filter(|s| *s > 0);
        let tap = Arc::new(CaptureTap::new(CaptureFilter {
            incoming: direction != CaptureDirection::Out,
            outgoing: direction != CaptureDirection::In,
            drops_only: wanted.drops,
            snaplen: snaplen.unwrap_or(SNAPLEN_MAX),
        }));
        let left = wanted.limit.unwrap_or(u64::MAX);
        self.0.push(Running {
            call,
            ports,
            tap: Arc::clone(&tap),
            left,
            missed: 0,
            held: false,
        });
        tap
    }

    /// Ends one; the ports whose taps are to be taken away.
    pub(crate) fn end(&mut self, call: CallId) -> Vec<PortIndex> {
        let Some(at) = self.0.iter().position(|c| c.call == call) else {
            return Vec::new();
        };
        self.0
            .remove(at)
            .ports
            .into_iter()
            .map(|(port, _)| port)
            .collect()
    }

    /// Sends nothing more to a client, or sends again.
    pub(crate) fn hold(&mut self, call: CallId, held: bool) {
        if let Some(capture) = self.0.iter_mut().find(|c| c.call == call) {
            capture.held = held;
        }
    }

    /// What the taps hold now.
    pub(crate) fn collect(&mut self, clock: &Clock) -> Vec<CaptureNews> {
        let mut news = Vec::new();
        for capture in self.0.iter_mut().filter(|c| !c.held) {
            let mut frames = Vec::new();
            while frames.len() < FRAMES_PER_REPLY && capture.left > 0 {
                let Some(captured) = capture.tap.take() else {
                    break;
                };
                frames.push(row(&captured, &capture.ports, clock));
                capture.left -= 1;
            }
            let missed = capture.tap.missed();
            let lost = missed - std::mem::replace(&mut capture.missed, missed);
            if !frames.is_empty() || lost > 0 {
                let (call, last) = (capture.call, capture.left == 0);
                news.push(CaptureNews {
                    call,
                    reply: CaptureReply { frames, lost },
                    last,
                });
            }
        }
        news
    }
}

fn row(captured: &Captured, ports: &[(PortIndex, String)], clock: &Clock) -> CapturedFrame {
    let name = ports.iter().find(|(port, _)| *port == captured.port);
    let since = clock
        .wall(captured.at)
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let incoming = captured.direction == Direction::In;
    let verdict = if captured.dropped.is_some() {
        "drop"
    } else {
        "forward"
    };
    CapturedFrame {
        time_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        port: name.map_or_else(String::new, |(_, name)| name.clone()),
        direction: if incoming {
            FrameDirection::In
        } else {
            FrameDirection::Out
        },
        length: captured.wire_len,
        frame_hex: vswitch_api::hex::encode(&captured.bytes),
        verdict: incoming.then(|| verdict.to_owned()),
        reason: captured.dropped.map(|reason| reason.name().to_owned()),
    }
}
