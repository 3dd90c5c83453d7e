//! The forwarding core: frames in, verdicts out; no system calls, no clock.
//!
//! The life of a batch: a [`worker`] asks a [`port::PortRx`] for frames ([`frame`]) and takes them
//! through the passes: [`ingress`] classifies them into VLANs and turns away what may not enter, [`protect`]
//! what the station behind a port may not send, or more of it than it may ([`police`]), [`learn`]
//! takes source addresses into the bridge's [`fdb`], but for what came back by a bond ([`guard`],
//! [`announce`]), [`forward`] finds where each goes ([`verdict`]), [`egress`] stages copies per port and hands
//! them to a [`port::PortTx`], finishing checksums and segments ([`offload`]) where the port cannot; a
//! [`bond`] is one port there whose copies leave by its members. What to do is read from an immutable
//! [`snapshot`], which arrives through a [`mailbox`]; what was done is in [`counters`]; frames for the control
//! side go through [`punt`]. [`explain`] runs the same passes on one frame and tells what they did. Which
//! worker serves which [`queue`] is kept by [`placement`] and decided by [`balance`]. What
//! the switch itself has to say on a link is sent by [`originate`].
#![forbid(unsafe_code)]

pub mod announce;
pub mod balance;
pub mod bindings;
pub mod bond;
pub mod capture;
pub mod counters;
pub mod egress;
pub mod explain;
pub mod fdb;
pub mod forward;
pub mod frame;
pub mod groups;
pub mod guard;
pub mod ingress;
pub mod learn;
pub mod mailbox;
pub mod offload;
pub mod originate;
mod passes;
pub mod placement;
pub mod police;
pub mod port;
pub mod protect;
pub mod punt;
pub mod queue;
pub mod snapshot;
mod sync;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod verdict;
pub mod watch;
pub mod worker;
