//! Side effects as data: what the daemon is asked to do, and what it answers.
//!
//! The controller hands out [`Effect`]s through `Controller::poll_effect`; the daemon performs each and
//! answers once with `Controller::handle_effect_done`. Effects handed out together may be performed in
//! any order or at once; whenever one must come after another, the controller waits for the answer
//! before it hands out the later one. The exceptions are marked below and need the order of hand-out:
//! [`Effect::Publish`] among themselves, [`Effect::SaveState`] among themselves, and what is sent by a port.
//!
//! Plain data; nothing here does anything. What the data plane calls a port (queues, handles) never
//! passes through here: the daemon keeps it by [`PortIndex`] between `OpenPort` and `ClosePort`.

use crate::attachments::Record;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use vswitch_api::config::Cidr;
use vswitch_base::{MacAddr, PortIndex, VidSet};
use vswitch_core::originate::Originals;
use vswitch_core::snapshot::Snapshot;

/// Names one handed-out effect; never used twice in a run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EffectId(pub u64);

/// Something the daemon has to do.
#[expect(
    clippy::large_enum_variant,
    reason = "a handful exist at a time; boxing would hide the data"
)]
#[derive(Clone, Debug)]
pub enum Effect {
    /// Open the device of a port and bring it into the described state. Nothing is forwarded yet.
    /// Answer: [`EffectOutput::Opened`]. May block: effects thread.
    OpenPort {
        /// The port; not open at this time.
        index: PortIndex,
        /// What to open.
        spec: OpenSpec,
    },
    /// Hand the queues and transmit handles of an open port to the workers. Answer `Done` when the
    /// commands are in the mailboxes. Control thread.
    AttachPort {
        /// The port; open, not attached.
        index: PortIndex,
    },
    /// Send this snapshot to every worker, after all that were handed out before it. Answer `Done`;
    /// report progress with `Controller::handle_observed`. Control thread.
    Publish(Arc<Snapshot>),
    /// Take queues and handles back from the workers. Only handed out after every worker observed a
    /// snapshot without the port. Answer `Done` when all have been handed back. Control thread.
    DetachPort {
        /// The port; attached.
        index: PortIndex,
    },
    /// Close the device and put it back as it was found. Answer `Done`. Effects thread.
    ClosePort {
        /// The port; open, not attached.
        index: PortIndex,
        /// Whether the port's device is deleted as well; without it it stays for its user. Never set for
        /// a device that was not made by us, or by the CNI plugin for us.
        delete: bool,
    },
    /// Change an open device in place. Answer `Done`. Effects thread.
    SetDevice {
        /// The port; open.
        index: PortIndex,
        /// What to change.
        change: DeviceChange,
    },
    /// Count frames of these VLANs at the port from now on, in addition to those that are. Answer
    /// `Done`. Control thread; the counters stay with the port's index.
    CountVlans {
        /// The port; open.
        index: PortIndex,
        /// The VLANs.
        vids: VidSet,
    },
    /// Send frames of the switch itself by a port, whole and in order. Answer `Done` when the command is in
    /// a mailbox; frames for a port that has left are lost and counted. Of one port, in the order of
    /// hand-out, also with regard to [`Effect::DetachPort`]. Control thread.
    Send {
        /// The port: a device's, not a bond's.
        index: PortIndex,
        /// The frames.
        frames: Originals,
    },
    /// Put back a device that a daemon before this one left changed, and delete it if it is a persistent
    /// TAP of ours: the configuration no longer has it. Answer `Done`. Effects thread.
    RestoreDevice(AttachedPort),
    /// Write down what is attached, in place of what was written before. Answer `Done`. Effects thread.
    SaveState(AttachedState),
}

/// What an effect gives back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EffectOutput {
    /// It is done.
    Done,
    /// An `OpenPort` is done.
    Opened(PortFacts),
}

/// Why an effect failed. What it had begun is undone: a port whose opening failed is not open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EffectError {
    /// What was tried, such as `open /dev/net/tun` or `TUNSETIFF`.
    pub operation: String,
    /// `errno`; 0 when the system gave none.
    pub errno: i32,
    /// Its name, such as `EBUSY`; empty when there is none.
    pub errno_name: String,
    /// What went wrong, for people.
    pub message: String,
    /// What to do about it, when that is known.
    pub hint: Option<String>,
}

impl EffectError {
    /// Whether the device is simply not there (`ENODEV`, `ENXIO`, or `ENOENT` of a namespace).
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self.errno, 2 | 6 | 19)
    }
}

impl fmt::Display for EffectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.operation, self.message)?;
        if self.errno_name.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.errno_name)
        }
    }
}

impl std::error::Error for EffectError {}

/// Everything about a port that needs a new device when it changes, and how the device starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpenSpec {
    /// The operator's name of the port.
    pub name: String,
    /// What it is made of.
    pub kind: OpenKind,
    /// Receive queues, 1 to 64.
    pub queues: u16,
    /// How the device is set when it is opened.
    pub device: DeviceSettings,
    /// For a device that was ours when the daemon last ended without putting it back: its state as it
    /// was found then, as [`PortFacts::found`] told it. To be restored when the port leaves.
    pub found: Option<FoundState>,
    /// The call whose descriptors the port is opened with, if they have not been used; without them the
    /// device is looked for by its name.
    pub handed: Option<u64>,
    /// Whether a `nic` device in our namespace was made for this port alone, so that it goes with it.
    pub made_for_us: bool,
}

/// What a port is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OpenKind {
    /// A packet socket on a device that exists.
    Nic {
        /// The device's name.
        device: String,
        /// Slots of the receive ring; `None`: the backend's default.
        ring_slots: Option<u32>,
        /// The namespace it is in: a name of `ip netns` or a path. Such a device was made for us: nothing
        /// of it is changed or put back.
        netns: Option<String>,
    },
    /// A TAP that we make.
    Tap {
        /// Its name in that namespace; `None`: the port's.
        device: Option<String>,
        /// The namespace it is made in: a name of `ip netns` or a path.
        netns: Option<String>,
        /// Whether it outlives the daemon.
        persistent: bool,
        /// The user id that may open it.
        owner: Option<u32>,
        /// The group id that may open it.
        group: Option<u32>,
    },
    /// A TAP of the node itself.
    Host,
    /// No device: several ports that are one. Opening and attaching it does nothing.
    Bond,
    /// Memory only.
    Mem,
}

impl OpenSpec {
    /// The kernel's name of the device; `None` for memory and bonds.
    #[must_use]
    pub fn device_name(&self) -> Option<&str> {
        match &self.kind {
            OpenKind::Nic { device, .. }
            | OpenKind::Tap {
                device: Some(device),
                ..
            } => Some(device),
            OpenKind::Tap { device: None, .. } | OpenKind::Host => Some(&self.name),
            OpenKind::Bond | OpenKind::Mem => None,
        }
    }

    /// The namespace the device is moved into; `None`: it stays in ours, where link events tell of it.
    #[must_use]
    pub fn netns(&self) -> Option<&str> {
        match &self.kind {
            OpenKind::Tap { netns, .. } | OpenKind::Nic { netns, .. } => netns.as_deref(),
            OpenKind::Host | OpenKind::Bond | OpenKind::Mem => None,
        }
    }

    /// Whether a device opened by `self` serves `other` after no more than a [`DeviceChange`].
    #[must_use]
    pub fn is_same_device(&self, other: &Self) -> bool {
        self.name == other.name && self.kind == other.kind && self.queues == other.queues
    }
}

/// How many frames may wait for a device to send them (`txqueuelen`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TxQueue {
    /// As many as before the device was ours.
    #[default]
    AsFound,
    /// So many: 0 to 2,147,483,647.
    Frames(u32),
}

impl TxQueue {
    /// A bond's member's own, or else the bond's; but a TAP without a queue would take no frame.
    pub(crate) fn or_bonds(self, bonds: Self, kind: &OpenKind) -> Self {
        let none = bonds.frames() == Some(0) && matches!(kind, OpenKind::Tap { .. });
        if self == Self::AsFound && !none {
            bonds
        } else {
            self
        }
    }

    /// What a configuration says.
    #[must_use]
    pub fn of(said: Option<u32>) -> Self {
        said.map_or(Self::AsFound, Self::Frames)
    }

    /// The number, where one is wanted.
    #[must_use]
    pub const fn frames(self) -> Option<u32> {
        match self {
            Self::AsFound => None,
            Self::Frames(frames) => Some(frames),
        }
    }
}

/// What can be changed on an open device.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeviceSettings {
    /// Bytes of payload. A `nic` device whose MTU is larger already keeps it.
    pub mtu: u16,
    /// Frames that may wait for the device.
    pub tx_queue: TxQueue,
    /// The device's address; `None`: as it is.
    pub mac: Option<MacAddr>,
    /// Administratively up.
    pub up: bool,
    /// IP addresses that are set, and no others of ours.
    pub addresses: Vec<Cidr>,
    /// The default route.
    pub gateway: Option<IpAddr>,
}

/// Settings to change on an open device; `None` leaves one as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeviceChange {
    /// See [`DeviceSettings::mtu`].
    pub mtu: Option<u16>,
    /// See [`DeviceSettings::tx_queue`].
    pub tx_queue: Option<TxQueue>,
    /// See [`DeviceSettings::mac`].
    pub mac: Option<MacAddr>,
    /// See [`DeviceSettings::up`].
    pub up: Option<bool>,
    /// See [`DeviceSettings::addresses`] and [`DeviceSettings::gateway`], which change together.
    pub addresses: Option<AddressChange>,
}

/// The addresses to have, and those of ours that were there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AddressChange {
    /// To be removed.
    pub remove: Vec<Cidr>,
    /// To be added; those that stay are in neither list.
    pub add: Vec<Cidr>,
    /// The default route to take away.
    pub remove_gateway: Option<IpAddr>,
    /// The default route to set.
    pub add_gateway: Option<IpAddr>,
}

impl DeviceChange {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What leads from one to the other.
    #[must_use]
    pub fn between(from: &DeviceSettings, to: &DeviceSettings) -> Self {
        let lacking =
            |a: &[Cidr], b: &[Cidr]| a.iter().filter(|c| !b.contains(c)).copied().collect();
        let addresses = AddressChange {
            remove: lacking(&from.addresses, &to.addresses),
            add: lacking(&to.addresses, &from.addresses),
            remove_gateway: from.gateway.filter(|_| from.gateway != to.gateway),
            add_gateway: to.gateway.filter(|_| from.gateway != to.gateway),
        };
        Self {
            mtu: (from.mtu != to.mtu).then_some(to.mtu),
            tx_queue: (from.tx_queue != to.tx_queue).then_some(to.tx_queue),
            mac: to.mac.filter(|_| from.mac != to.mac),
            up: (from.up != to.up).then_some(to.up),
            addresses: (addresses != AddressChange::default()).then_some(addresses),
        }
    }
}

/// A device's state from before it was ours, in the words of the backend that opened it. The controller
/// keeps it and hands it back; it never looks inside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FoundState(pub String);

/// What is known of a device after it was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PortFacts {
    /// Its index in the kernel; `None` for memory and bonds.
    pub ifindex: Option<u32>,
    /// Its address.
    pub mac: Option<MacAddr>,
    /// Its MTU as set.
    pub mtu: u32,
    /// Whether frames can pass: administratively up with carrier.
    pub running: bool,
    /// Mbit/s, where the device tells it.
    pub speed_mbps: Option<u32>,
    /// Its state before it was ours, for the state file.
    pub found: Option<FoundState>,
}

/// What is attached, for the daemon that runs after this one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachedState {
    /// Ports whose device is open, by name.
    pub ports: Vec<AttachedPort>,
    /// Who owns which port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Record>,
    /// The machine's boot in which this was written (`/proc/sys/kernel/random/boot_id`), for the daemon to
    /// fill in: after another one nothing of it is there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
}

/// One attached port.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachedPort {
    /// The operator's name.
    pub name: String,
    /// `nic`, `tap`, `host`, `bond` or `mem`.
    pub kind: String,
    /// The device's name, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The namespace it was moved into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netns: Option<String>,
    /// The device's index in the kernel when it was opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ifindex: Option<u32>,
    /// Whether a TAP outlives its daemon.
    #[serde(default)]
    pub persistent: bool,
    /// The device's state from before it was ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<FoundState>,
}
