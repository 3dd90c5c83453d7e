//! Attachments: the objects and replies of `io.vswitch.Port`.

use serde::{Deserialize, Serialize};

/// Who owns a port: what a container runtime calls an attachment.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attachment {
    /// The network's name.
    pub network: String,
    /// The container.
    pub container_id: String,
    /// The interface in the container.
    pub ifname: String,
}

impl Attachment {
    /// The name of its port, and of the host's end of its veth pair: `pod` and eleven hex digits that
    /// follow from the attachment alone, so that whoever deletes it needs no record of it.
    ///
    /// FNV-1a with a zero byte after each part (no part can contain one: the kernel and the
    /// specification of CNI forbid it), so that no two attachments are cut alike.
    pub fn port_name(&self) -> String {
        format!("pod{:011x}", self.hash() >> 20)
    }

    /// The number that names derive from.
    pub fn hash(&self) -> u64 {
        let parts = [&self.network, &self.container_id, &self.ifname];
        let bytes = parts
            .into_iter()
            .flat_map(|part| part.bytes().chain(std::iter::once(0)));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

impl std::fmt::Display for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.network, self.container_id, self.ifname)
    }
}

/// What a port of an attachment is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachMode {
    /// A pair of virtual Ethernet devices; the switch has a packet socket on the host's end.
    #[default]
    Veth,
    /// The pod's interface is a TAP whose queue the switch holds.
    Tap,
    /// A persistent TAP that a hypervisor opens; the switch has packet sockets on its device.
    TapGuest,
}

impl AttachMode {
    /// The word of the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Tap => "tap",
            Self::TapGuest => "tap-guest",
        }
    }
}

/// An attachment with its port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attached {
    /// Who owns it.
    pub attachment: Attachment,
    /// The port.
    pub port: String,
    /// Its bridge.
    pub bridge: String,
    /// What it is made of, see [`AttachMode`].
    pub mode: String,
    /// The device: the host's end of a veth pair, or the interface in the pod.
    pub device: String,
    /// The namespace that the device is in, unless it is the daemon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// `up`, `down`, `lower-down` or `absent`.
    pub state: String,
    /// Why it is not up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `io.vswitch.Port.Attach`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachReply {
    /// The port.
    pub port: String,
    /// Whether it had no port before.
    pub created: bool,
    /// The address of its device, where the daemon knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Bytes of payload.
    pub mtu: u32,
    /// What is not as it might be meant, in whole sentences.
    pub warnings: Vec<String>,
}

/// `io.vswitch.Port.Detach`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetachReply {
    /// Whether there was a port.
    pub detached: bool,
}

/// `io.vswitch.Port.Check`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReply {
    /// Whether there is no problem.
    pub ok: bool,
    /// What is wrong, in whole sentences.
    pub problems: Vec<String>,
}

/// `io.vswitch.Port.CollectGarbage`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarbageReply {
    /// What was detached.
    pub removed: Vec<Attachment>,
    /// What could not be, each with its reason.
    pub failed: Vec<String>,
}

/// `io.vswitch.Port.Ready`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadyReply {
    /// Whether attaching can succeed.
    pub ready: bool,
    /// Whether the bridge's uplink is down: what is attached reaches only this node.
    pub degraded: bool,
    /// Why it is not ready, or degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The bridge's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Bytes of payload of the bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The VLAN of ports that say nothing about VLANs; 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_pvid: Option<u16>,
    /// Forwarding threads, for the number of packet sockets of a `tap-guest` port.
    pub workers: u32,
    /// Modes that the daemon can serve across its own restart, the preferred one first.
    pub modes: Vec<String>,
}

/// `io.vswitch.Port.List`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentsReply {
    /// Ascending by network, container and interface.
    pub attachments: Vec<Attached>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(network: &str, container: &str, ifname: &str) -> Attachment {
        Attachment {
            network: network.to_owned(),
            container_id: container.to_owned(),
            ifname: ifname.to_owned(),
        }
    }

    #[test]
    fn a_name_is_a_device_name_and_follows_from_the_attachment() {
        let one = attachment("vlan100", "3f2a", "net1");
        assert_eq!(one.port_name(), one.clone().port_name());
        assert_eq!(one.port_name().len(), 14, "{}", one.port_name());
        let others = [
            attachment("vlan10", "03f2a", "net1"),
            attachment("vlan100", "3f2an", "et1"),
            attachment("vlan100", "3f2a", "net2"),
            attachment("vlan1003f2a", "", "net1"),
        ];
        for other in others {
            assert_ne!(one.port_name(), other.port_name(), "{other}");
        }
    }
}
