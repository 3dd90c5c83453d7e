//! The parameters of each method: one struct a method, fields as in the interface texts.
//!
//! Optional parameters are left out when they have no value; unknown ones are refused.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Config, ConfigError, StaticKind, VlanRange, tree};
use crate::error::ApiError;
use crate::types::{CaptureDirection, ConfigSource};
use crate::varlink::flag;

/// Declares parameter structs with what all of them have.
macro_rules! params {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
            #[serde(rename_all = "camelCase", deny_unknown_fields)]
            pub struct $name { $($(#[$fdoc])* pub $field: $type,)* }
        )+
    };
}

fn is_false(flag: &bool) -> bool {
    !flag
}

mod attachment;
mod bond;

pub use attachment::{Attach, CheckAttachment, CollectGarbage, Detach, ListAttachments, Ready};
pub use bond::{
    BondAdd, BondAddMember, BondDel, BondDelMember, BondHash, BondList, BondSet, BondSetActive,
};

params! {
    /// `org.varlink.service.GetInfo()`.
    GetInfo {}

    /// `org.varlink.service.GetInterfaceDescription(interface)`.
    GetInterfaceDescription {
        /// The interface.
        interface: String,
    }

    /// `io.vswitch.Switch.GetHealth()`.
    GetHealth {}

    /// `io.vswitch.Switch.GetState(bridge, port)`.
    GetState {
        /// Only this bridge and its ports.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bridge: Option<String>,
        /// Only this port or host port, and its bridge.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
    }

    /// `io.vswitch.Switch.Watch(kinds, sinceSequence)`.
    Watch {
        /// Only events of these kinds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kinds: Option<Vec<String>>,
        /// Begin with the event after this one, if it is still kept.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since_sequence: Option<u64>,
    }

    /// `io.vswitch.Switch.GetConfig(source)`.
    GetConfig {
        /// `running` or `saved`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<ConfigSource>,
    }

    /// `io.vswitch.Switch.Plan(config)`.
    Plan {
        /// A whole configuration.
        config: Value,
    }

    /// `io.vswitch.Switch.Apply(config, expectGeneration, dryRun)`.
    Apply {
        /// A whole configuration.
        config: Value,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Switch.AddBridge(name, config, mayExist, expectGeneration, dryRun)`.
    AddBridge {
        /// The new bridge.
        name: String,
        /// Its options, as in `[bridge.NAME]`.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        config: Value,
        /// Whether it is no error if it is there already with these options.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        may_exist: bool,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Switch.SetBridge(name, config, expectGeneration, dryRun)`.
    SetBridge {
        /// The bridge.
        name: String,
        /// The options to change; `null` puts one back to its default.
        config: Value,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Switch.DelBridge(name, cascade, ifExists, expectGeneration, dryRun)`.
    DelBridge {
        /// The bridge.
        name: String,
        /// Whether its ports and host ports go with it.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        cascade: bool,
        /// Whether it is no error if it is not there.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        if_exists: bool,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Switch.AddPort(name, config, mayExist, expectGeneration, dryRun)`.
    AddPort {
        /// The new port.
        name: String,
        /// Its options, as in `[port.NAME]`; `kind` must be there.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        config: Value,
        /// Whether it is no error if it is there already with these options.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        may_exist: bool,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Switch.SetPort(name, config, expectGeneration, dryRun)`.
    SetPort {
        /// The port, or the host port.
        name: String,
        /// The options to change; `null` puts one back to its default.
        config: Value,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Switch.DelPort(name, ifExists, expectGeneration, dryRun)`.
    DelPort {
        /// The port, or the host port.
        name: String,
        /// Whether it is no error if it is not there.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        if_exists: bool,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Switch.AddVlan(port, first, last, pvid, untagged, expectGeneration, dryRun)`.
    AddVlan {
        /// The port, or the host port.
        port: String,
        /// The VLAN, or the first of a range.
        first: u16,
        /// The last of a range.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<u16>,
        /// Whether untagged frames enter this VLAN; not for a range.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        pvid: bool,
        /// Whether its frames leave without a tag.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        untagged: bool,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Switch.DelVlan(port, first, last, expectGeneration, dryRun)`.
    DelVlan {
        /// The port, or the host port.
        port: String,
        /// The VLAN, or the first of a range.
        first: u16,
        /// The last of a range.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<u16>,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Fdb.List(bridge, port, vlan, mac)`.
    FdbList {
        /// Only of this bridge.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bridge: Option<String>,
        /// Only behind this port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
        /// Only in this VLAN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan: Option<u16>,
        /// Only this address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mac: Option<crate::config::Mac>,
    }

    /// `io.vswitch.Fdb.Add(bridge, mac, vlan, port, kind, expectGeneration, dryRun)`.
    FdbAdd {
        /// The bridge; without it the port's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bridge: Option<String>,
        /// The address.
        mac: crate::config::Mac,
        /// The VLAN; without it the bridge's default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan: Option<u16>,
        /// The port or host port it is behind.
        port: String,
        /// `static` (the default) or `local`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kind: Option<StaticKind>,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Fdb.Del(bridge, mac, vlan, expectGeneration, dryRun)`.
    FdbDel {
        /// The bridge.
        bridge: String,
        /// The address.
        mac: crate::config::Mac,
        /// The VLAN; without it the bridge's default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan: Option<u16>,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Fdb.Flush(bridge, port, vlan, mac)`: those that match all that is given.
    FdbFlush {
        /// Only of this bridge.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bridge: Option<String>,
        /// Only behind this port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
        /// Only in this VLAN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan: Option<u16>,
        /// Only this address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mac: Option<crate::config::Mac>,
    }

    /// `io.vswitch.Fdb.Watch(bridge, port)`.
    FdbWatch {
        /// Only of this bridge.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bridge: Option<String>,
        /// Only behind this port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
    }

    /// `io.vswitch.Stats.Ports(port)`.
    StatsPorts {
        /// Only this port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
    }

    /// `io.vswitch.Stats.Drops(port, reason)`.
    StatsDrops {
        /// Only at this port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
        /// Only for this reason.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }

    /// `io.vswitch.Stats.Vlans(bridge, port, vlan)`.
    StatsVlans {
        /// Only of this bridge.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bridge: Option<String>,
        /// Only of this port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
        /// Only of this VLAN.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan: Option<u16>,
    }

    /// `io.vswitch.Debug.Trace(port, frameHex, vlan, pcp)`.
    Trace {
        /// The port that the frame would come in by.
        port: String,
        /// The frame from its destination address on, in hex.
        frame_hex: String,
        /// The VLAN of a tag that the device took out of the frame.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan: Option<u16>,
        /// The priority of that tag, 0 to 7.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pcp: Option<u8>,
    }

    /// `io.vswitch.Debug.Capture(port, direction, snaplen, drops, limit)`.
    Capture {
        /// Only at this port or host port.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<String>,
        /// `in`, `out` or `both` (the default).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        direction: Option<CaptureDirection>,
        /// Bytes of each frame, 14 to 65,535; without it 65,535.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snaplen: Option<u32>,
        /// Only dropped frames.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        drops: bool,
        /// End after this many frames.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u64>,
    }

    /// `io.vswitch.Debug.PutFrames(port, frames)`.
    PutFrames {
        /// The port, of kind `mem`.
        port: String,
        /// Frames from their destination address on, in hex.
        frames: Vec<String>,
    }

    /// `io.vswitch.Debug.TakeFrames(port)`.
    TakeFrames {
        /// The port, of kind `mem`.
        port: String,
    }

    /// `io.vswitch.Debug.WarpClock(milliseconds)`.
    WarpClock {
        /// How far; 0 only stops the clock.
        milliseconds: u64,
    }

    /// `io.vswitch.Daemon.GetInfo()`.
    DaemonGetInfo {}

    /// `io.vswitch.Daemon.SetLogLevel(level)`.
    SetLogLevel {
        /// A level, or levels by module.
        level: String,
    }
}

fn whole(config: &Value) -> Result<Config, ApiError> {
    tree::config(config).map_err(ApiError::from)
}

impl Plan {
    /// The configuration, read strictly.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` with every unknown key and every value of a wrong type. Not yet what
    /// [`crate::config::check()`] finds.
    pub fn config(&self) -> Result<Config, ApiError> {
        whole(&self.config)
    }
}

impl Apply {
    /// The configuration, read strictly; as [`Plan::config`].
    ///
    /// # Errors
    ///
    /// As [`Plan::config`].
    pub fn config(&self) -> Result<Config, ApiError> {
        whole(&self.config)
    }
}

/// The range of an AddVlan or DelVlan.
fn range(port: &str, first: u16, last: Option<u16>) -> Result<VlanRange, ApiError> {
    let last = last.unwrap_or(first);
    for vid in [first, last] {
        if !crate::config::vlans::is_usable(vid) {
            let error = ConfigError::new(
                crate::text::path(&["port", port, "vlan"]),
                format!("there is no VLAN {vid}"),
            );
            return Err(vec![error.hint("VLAN ids are 1 to 4094")].into());
        }
    }
    VlanRange::new(first, last).ok_or_else(|| {
        ApiError::parameter(
            "last",
            format!("the VLAN range {first}-{last} runs backwards"),
        )
    })
}

impl AddVlan {
    /// The VLANs.
    ///
    /// # Errors
    ///
    /// VLAN ids outside 1..=4094, a range that runs backwards, or a range as PVID.
    pub fn range(&self) -> Result<VlanRange, ApiError> {
        let range = range(&self.port, self.first, self.last)?;
        if self.pvid && range.first != range.last {
            return Err(ApiError::parameter(
                "pvid",
                format!("the range {range} cannot be the PVID: untagged frames enter one VLAN"),
            ));
        }
        Ok(range)
    }
}

impl DelVlan {
    /// The VLANs.
    ///
    /// # Errors
    ///
    /// VLAN ids outside 1..=4094, or a range that runs backwards.
    pub fn range(&self) -> Result<VlanRange, ApiError> {
        range(&self.port, self.first, self.last)
    }
}

impl PutFrames {
    /// The most frames of one call, and the most that wait to be taken.
    pub const FRAMES_MAX: usize = 1024;

    /// The bytes of the frames.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` for too many, for what is no hex, or longer than 65,535 bytes.
    pub fn frames(&self) -> Result<Vec<Vec<u8>>, ApiError> {
        if self.frames.len() > Self::FRAMES_MAX {
            let message = format!("these are more than {} frames", Self::FRAMES_MAX);
            return Err(ApiError::parameter("frames", message));
        }
        let bytes = |frame: &String| {
            crate::hex::decode(frame, 65_535).ok_or_else(|| {
                ApiError::parameter("frames", "one is no hex of at most 65535 bytes")
            })
        };
        self.frames.iter().map(bytes).collect()
    }
}

fn frame(hex: &str) -> Result<Vec<u8>, ApiError> {
    crate::hex::decode(hex, 65_535)
        .ok_or_else(|| ApiError::parameter("frameHex", "this is no hex of at most 65535 bytes"))
}

impl Trace {
    /// The bytes of the frame.
    ///
    /// # Errors
    ///
    /// `InvalidParameter` for what is no hex, or longer than 65,535 bytes.
    pub fn frame(&self) -> Result<Vec<u8>, ApiError> {
        frame(&self.frame_hex)
    }
}
