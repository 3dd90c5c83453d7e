//! What the daemon answers: the reply types of the `io.vswitch.*` interfaces.
//!
//! The interface texts under `interfaces/` are the contract; these structs are its Rust form,
//! and a test holds that they agree. Field names are camelCase on the wire; optional fields
//! are left out when they have no value; unknown fields are ignored, so that an old client
//! reads a newer daemon. Counters count from the start of the daemon, in frames and bytes;
//! times are RFC 3339 strings in UTC. Plain data; any thread.

mod attachment;
mod bond;
mod debug;
mod fdb;
mod state;
mod stats;

use serde::{Deserialize, Serialize};

pub use attachment::{
    AttachMode, AttachReply, Attached, Attachment, AttachmentsReply, CheckReply, DetachReply,
    GarbageReply, ReadyReply,
};
pub use bond::{
    Bond, BondFinding, BondMember, BondsReply, HashReply, LacpBond, LacpEnd, LacpMember,
    SetActiveReply,
};
pub use debug::{
    CaptureDirection, CaptureReply, CapturedFrame, ClockReply, DaemonInfo, FramesReply,
    HistogramBucket, TraceCopy, TraceReply, TraceStep, WorkerInfo, WorkerPort,
};
pub use fdb::{FdbEntry, FdbEvent, FdbFlushed, FdbKind, FdbOp, FdbPage};
pub use state::{
    Bridge, Change, ChangeOp, ChangeReply, ConfigReply, ConfigSource, Event, Health, HealthReply,
    Impact, Owner, OwnerKind, PlanReply, Port, PortFlags, PortVlans, Severity, State, StateReply,
    VlanOwners, WatchReply,
};
pub use stats::{
    DropCount, DropRow, DropsReply, FrameDirection, PortCounters, PortsReply, VlanCounters,
    VlansReply,
};

pub use crate::config::{ConfigError, VlanRange};

/// The reply of a method that has nothing to say but that it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// `org.varlink.service.GetInfo`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInfo {
    /// Who makes the service.
    pub vendor: String,
    /// `vswitchd`.
    pub product: String,
    /// The daemon's version.
    pub version: String,
    /// Where to read more.
    pub url: String,
    /// The interfaces that the service has.
    pub interfaces: Vec<String>,
}

impl ServiceInfo {
    /// The answer of a daemon of this crate's version.
    pub fn current() -> Self {
        Self {
            vendor: "vswitch".to_owned(),
            product: "vswitchd".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            url: "https://varlink.org/".to_owned(),
            interfaces: crate::interfaces::TEXTS
                .iter()
                .map(|(name, _)| (*name).to_owned())
                .collect(),
        }
    }
}

/// `org.varlink.service.GetInterfaceDescription`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceDescription {
    /// The interface text.
    pub description: String,
}
