//! Port backends: an existing device through AF_PACKET ([`open_nic`]), a TAP of our own ([`open_tap`]),
//! and what surrounds them.
//!
//! - [`nic`] and [`tap`] give the queues that implement `vswitch_core::port`'s traits, for workers, and
//!   a [`PortKeep`] that gives the device back as it was found.
//! - [`handed`] opens what somebody else made in a namespace that this process need not enter.
//! - [`pod`] makes and configures what is in the namespace of a container.
//! - [`link`] and [`addr`] change devices and their addresses; [`LinkMonitor`] tells what changed, and [`CarrierProbe`]
//!   what it may tell late.
//! - [`Poller`] is a worker's way to sleep; [`pcap`] writes captures; [`NetNs`] is a network namespace.
//!
//! - `wire`, with feature `testing`, is the far end of a cable: what tests and benches send and count with.
//!
//! Workers touch only the queues and the poller, which never block and do not allocate; everything else
//! is for the effects thread, but the monitor, which is the control loop's. `unsafe` is in `sys` alone.

pub mod addr;
mod af_packet;
mod carrier;
mod error;
pub mod handed;
pub mod link;
mod monitor;
mod netlink;
mod nft;
pub mod nic;
mod nic_tx;
pub mod pcap;
pub mod pod;
mod poller;
mod port;
mod sys;
mod sysctl;
pub mod tap;
#[cfg(feature = "testing")]
pub mod wire;

pub use addr::IpPrefix;
pub use af_packet::{RING_SLOTS, SLOT_BYTES};
pub use carrier::CarrierProbe;
pub use error::{PortCause, PortError};
pub use handed::{HandedNic, HandedTap, open_handed_nic, open_handed_tap};
pub use monitor::{LinkEvent, LinkMonitor};
pub use nic::{DeviceBefore, NicSpec, open_nic};
pub use poller::{Poller, Token, Waited, Waker};
pub use port::{OpenedPort, PortFacts, PortKeep};
pub use sys::netns::NetNs;
pub use sys::peer::peer_groups;
pub use tap::{TapMethod, TapSpec, open_tap};
