//! What was observed of the machine, as far as the controller needs it: network devices.
//!
//! Kept from link events; the controller asks for nothing itself. Only devices of the daemon's own
//! namespace are known: a TAP that was moved away is known by its open descriptor alone.

use std::collections::BTreeMap;
use vswitch_base::MacAddr;

/// One network device as the kernel last told of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// The kernel's number of it.
    pub ifindex: u32,
    /// Its name now.
    pub name: String,
    /// Its address.
    pub mac: Option<MacAddr>,
    /// Bytes of payload.
    pub mtu: u32,
    /// Administratively up.
    pub admin_up: bool,
    /// Has a carrier.
    pub carrier: bool,
    /// The loopback device.
    pub loopback: bool,
    /// The kernel's word for what it is (`veth`, `tun`, `bridge`); `None` for hardware.
    pub kind: Option<String>,
    /// The device it is a port or member of.
    pub master: Option<String>,
    /// Mbit/s, where known.
    pub speed_mbps: Option<u32>,
}

impl Link {
    /// Whether frames can pass.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.admin_up && self.carrier
    }
}

/// A change of a network device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkEvent {
    /// The device is there, new or changed.
    Present(Link),
    /// The device is gone from this namespace.
    Gone {
        /// The number it had.
        ifindex: u32,
    },
    /// All devices there are: at start, and after the kernel dropped events.
    All(Vec<Link>),
}

/// All known devices by their number.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    links: BTreeMap<u32, Link>,
    /// Whether ports of kind `mem` may be made (`--enable-mem-ports`).
    pub mem_ports: bool,
    /// The machine's own number, from which addresses are derived.
    pub machine: u64,
}

impl Facts {
    /// No devices yet.
    #[must_use]
    pub const fn new(machine: u64, mem_ports: bool) -> Self {
        Self {
            links: BTreeMap::new(),
            mem_ports,
            machine,
        }
    }

    /// The device of that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// The device of that number.
    #[must_use]
    pub fn link(&self, ifindex: u32) -> Option<&Link> {
        self.links.get(&ifindex)
    }

    /// Numbers of all known devices.
    pub fn indices(&self) -> impl Iterator<Item = u32> {
        self.links.keys().copied()
    }

    /// Takes a device in; what was known of it before.
    pub fn insert(&mut self, link: Link) -> Option<Link> {
        self.links.insert(link.ifindex, link)
    }

    /// Forgets a device.
    pub fn remove(&mut self, ifindex: u32) -> Option<Link> {
        self.links.remove(&ifindex)
    }
}
