//! The parameters of the methods of `io.vswitch.Bond`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{frame, is_false};
use crate::error::ApiError;
use crate::varlink::flag;

params! {
    /// `io.vswitch.Bond.List(bond)`.
    BondList {
        /// Only this bond.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bond: Option<String>,
    }

    /// `io.vswitch.Bond.Add(name, config, bridge, mayExist, expectGeneration, dryRun)`.
    BondAdd {
        /// The new bond.
        name: String,
        /// Its options, as in `[bond.NAME]`.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        config: Value,
        /// The bridge that it is put on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bridge: Option<String>,
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

    /// `io.vswitch.Bond.Set(name, config, expectGeneration, dryRun)`.
    BondSet {
        /// The bond.
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

    /// `io.vswitch.Bond.Del(name, ifExists, expectGeneration, dryRun)`.
    BondDel {
        /// The bond.
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

    /// `io.vswitch.Bond.AddMember(bond, member, expectGeneration, dryRun)`.
    BondAddMember {
        /// The bond.
        bond: String,
        /// The port, or network device.
        member: String,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Bond.DelMember(bond, member, expectGeneration, dryRun)`.
    BondDelMember {
        /// The bond.
        bond: String,
        /// The member.
        member: String,
        /// Refuse if the present generation is another.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expect_generation: Option<u64>,
        /// Change nothing; say what would be changed.
        #[serde(default, skip_serializing_if = "is_false", deserialize_with = "flag")]
        dry_run: bool,
    }

    /// `io.vswitch.Bond.SetActive(bond, member)`.
    BondSetActive {
        /// The bond.
        bond: String,
        /// The member.
        member: String,
    }

    /// `io.vswitch.Bond.Hash(bond, frameHex, vlan, policy)`.
    BondHash {
        /// The bond.
        bond: String,
        /// The frame as it leaves, from its destination address on, in hex.
        frame_hex: String,
        /// The VLAN of a tag that is put before it on the link.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vlan: Option<u16>,
        /// The `xmit_hash_policy` to look at in place of the one in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<String>,
    }
}

impl BondHash {
    /// The bytes of the frame.
    ///
    /// # Errors
    ///
    /// As [`crate::request::Trace::frame`].
    pub fn frame(&self) -> Result<Vec<u8>, ApiError> {
        frame(&self.frame_hex)
    }
}
