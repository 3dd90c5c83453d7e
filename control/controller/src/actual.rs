//! What is open and attached at this moment, kept from the answers to effects.
//!
//! The counterpart of `Compiled`: `delta` leads from one to the other from whatever state a failure left
//! behind. Only the controller writes here, and only when the daemon has answered.

use crate::effect::{AttachedPort, AttachedState, DeviceChange, OpenKind, OpenSpec, PortFacts};
use std::collections::BTreeMap;
use vswitch_base::{PortIndex, VidSet};
use vswitch_core::protect::PortMemory;

/// All open ports by name.
#[derive(Clone, Debug, Default)]
pub struct Actual {
    /// By the operator's name.
    pub ports: BTreeMap<String, ActualPort>,
}

/// One open port.
#[derive(Clone, Debug)]
pub struct ActualPort {
    /// Its index.
    pub index: PortIndex,
    /// As it was opened, with the changes made since.
    pub spec: OpenSpec,
    /// As the daemon found it when it was opened.
    pub facts: PortFacts,
    /// Whether the workers have its queues.
    pub attached: bool,
    /// `errno` of a receive queue that failed: its device must be opened anew.
    pub failed: Option<i32>,
    /// VLANs that are counted.
    pub counted: VidSet,
    /// What is kept of it until its device is opened anew.
    pub memory: PortMemory,
}

impl Actual {
    /// The open port of that index.
    #[must_use]
    pub fn by_index(&self, index: PortIndex) -> Option<(&String, &ActualPort)> {
        self.ports.iter().find(|(_, port)| port.index == index)
    }

    /// The open port of that index, to change it.
    pub fn by_index_mut(&mut self, index: PortIndex) -> Option<&mut ActualPort> {
        self.ports.values_mut().find(|port| port.index == index)
    }

    /// For the state file.
    #[must_use]
    pub fn attached_state(&self) -> AttachedState {
        let ports = self.ports.iter().map(|(name, port)| AttachedPort {
            name: name.clone(),
            kind: kind_name(&port.spec.kind).to_owned(),
            device: port.spec.device_name().map(str::to_owned),
            netns: port.spec.netns().map(str::to_owned),
            ifindex: port.facts.ifindex,
            persistent: matches!(
                port.spec.kind,
                OpenKind::Tap {
                    persistent: true,
                    ..
                }
            ),
            found: port.facts.found.clone(),
        });
        AttachedState {
            ports: ports.collect(),
            ..AttachedState::default()
        }
    }
}

impl ActualPort {
    /// Notes a change that was made on the device.
    pub fn apply(&mut self, change: &DeviceChange) {
        let device = &mut self.spec.device;
        device.mtu = change.mtu.unwrap_or(device.mtu);
        device.tx_queue = change.tx_queue.unwrap_or(device.tx_queue);
        device.mac = change.mac.or(device.mac);
        device.up = change.up.unwrap_or(device.up);
        if let Some(addresses) = &change.addresses {
            device
                .addresses
                .retain(|cidr| !addresses.remove.contains(cidr));
            device.addresses.extend(&addresses.add);
            if addresses.remove_gateway.is_some() {
                device.gateway = None;
            }
            device.gateway = addresses.add_gateway.or(device.gateway);
        }
    }
}

/// The word of configuration and state file for a kind of port.
#[must_use]
pub const fn kind_name(kind: &OpenKind) -> &'static str {
    match kind {
        OpenKind::Nic { .. } => "nic",
        OpenKind::Tap { .. } => "tap",
        OpenKind::Host => "host",
        OpenKind::Bond => "bond",
        OpenKind::Mem => "mem",
    }
}
