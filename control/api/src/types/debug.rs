//! Trace, capture and the daemon itself: the replies of `io.vswitch.Debug` and `.Daemon`.

use serde::{Deserialize, Serialize};

use super::FrameDirection;

/// One step of the path of a traced frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceStep {
    /// `in`, `check`, `learn`, `find`, `out`, `skip`, `drop` or `punt`.
    pub stage: String,
    /// The port or address that the step is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What was found or decided.
    pub text: String,
    /// The stable name of the reason, for `drop`, `skip` and `punt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// One copy that would be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceCopy {
    /// The port it leaves by.
    pub port: String,
    /// The VLAN of its tag; none: untagged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<u16>,
}

/// `io.vswitch.Debug.Trace`: what would happen to a frame; nothing is sent or learned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceReply {
    /// The path, in order.
    pub steps: Vec<TraceStep>,
    /// `forward`, `flood`, `drop` or `punt`.
    pub verdict: String,
    /// The stable name of the reason of a drop or punt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What would be sent.
    pub copies: Vec<TraceCopy>,
}

/// Which frames a capture takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureDirection {
    /// Into the switch.
    In,
    /// Out of the switch.
    Out,
    /// Both.
    #[default]
    Both,
}

/// One captured frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CapturedFrame {
    /// When, in nanoseconds since 1970 (an int: captures are merged by it).
    pub time_ns: u64,
    /// The port.
    pub port: String,
    /// Into or out of the switch.
    pub direction: FrameDirection,
    /// Bytes of the frame.
    pub length: u32,
    /// The first `snaplen` bytes in hex, with the VLAN tag where it belongs.
    pub frame_hex: String,
    /// `forward`, `flood`, `drop` or `punt`; none for a frame on its way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// The stable name of the reason of a drop or punt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `io.vswitch.Debug.Capture`: frames in the order in which they were seen. The first reply is
/// sent at once and has no frames: the capture runs from then on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CaptureReply {
    /// The frames.
    pub frames: Vec<CapturedFrame>,
    /// Frames lost before these, because this client read too slowly.
    pub lost: u64,
}

/// `io.vswitch.Debug.TakeFrames`: what the switch sent by a port of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramesReply {
    /// Frames in hex, oldest first.
    pub frames: Vec<String>,
}

/// `io.vswitch.Debug.WarpClock`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReply {
    /// The time of the daemon's clock, which stands.
    pub time: String,
}

/// One bucket of a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HistogramBucket {
    /// The greatest value that is counted here; those of the bucket before are not. None: no limit,
    /// which only the last has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<u64>,
    /// How many.
    pub count: u64,
}

/// The receive queues of one port that a forwarding thread serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerPort {
    /// The port.
    pub port: String,
    /// How many of its queues.
    pub queues: u32,
}

/// One forwarding thread.
///
/// It works in *breaths*: in each it takes at most one batch from each of its queues and sends what
/// comes of it. The sum over `batch_sizes` and the sum over `loop_times_ns` are both `batches`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerInfo {
    /// Its number.
    pub index: u32,
    /// The core it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
    /// Receive queues it serves.
    pub queues: u32,
    /// Nanoseconds of breaths that found frames.
    pub busy_ns: u64,
    /// Nanoseconds of the rest: it slept, or looked and found nothing.
    pub idle_ns: u64,
    /// Breaths that found frames.
    pub batches: u64,
    /// Frames found.
    pub frames: u64,
    /// Breaths that found frames, by their number of frames.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub batch_sizes: Vec<HistogramBucket>,
    /// Breaths that found frames, by the nanoseconds that they took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loop_times_ns: Vec<HistogramBucket>,
    /// The longest of them in nanoseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_ns: Option<u64>,
    /// When that one began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest_at: Option<String>,
    /// How often it was found standing still: awake, and no new breath for a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalls: Option<u64>,
    /// Whether it stands still now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled: Option<bool>,
    /// The ports that it receives from, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<WorkerPort>,
}

/// `io.vswitch.Daemon.GetInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DaemonInfo {
    /// The daemon's version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub start_time: String,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// When the counters were read.
    pub snapshot_time: String,
    /// The control socket.
    pub socket: String,
    /// The configuration files that were read.
    pub config_files: Vec<String>,
    /// Where state is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<String>,
    /// The log filter in force.
    pub log: String,
    /// The forwarding threads.
    pub workers: Vec<WorkerInfo>,
    /// Bytes of memory in use (resident).
    pub memory_bytes: u64,
}
