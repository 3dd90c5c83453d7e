//! The parameters of the methods of `io.vswitch.Port`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::types::{AttachMode, Attachment};

params! {
    /// `io.vswitch.Port.Attach(attachment, mode, device, netns, config, descriptors)`.
    Attach {
        /// Who owns the port.
        attachment: Attachment,
        /// What it is made of.
        mode: AttachMode,
        /// The device: the host's end of a veth pair, or the TAP in the pod.
        device: String,
        /// Path of the namespace that a TAP is in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        netns: Option<String>,
        /// Options as in `[port.NAME]`.
        config: Value,
        /// How many descriptors come with the call.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        descriptors: Option<u32>,
    }

    /// `io.vswitch.Port.Detach(attachment)`.
    Detach {
        /// Who owns the port.
        attachment: Attachment,
    }

    /// `io.vswitch.Port.Check(attachment)`.
    CheckAttachment {
        /// Who owns the port.
        attachment: Attachment,
    }

    /// `io.vswitch.Port.CollectGarbage(network, valid)`.
    CollectGarbage {
        /// The network.
        network: String,
        /// What stays.
        valid: Vec<Attachment>,
    }

    /// `io.vswitch.Port.Ready(bridge)`.
    Ready {
        /// The bridge that is to be attached to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bridge: Option<String>,
    }

    /// `io.vswitch.Port.List(network)`.
    ListAttachments {
        /// Only those of this network.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        network: Option<String>,
    }
}
