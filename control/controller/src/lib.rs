//! `vswitch-controller`: the control side without I/O. Desired configuration, link events and punted
//! frames in; snapshots, effects and replies out.
//!
//! One mutation path: a request edits a copy of the configuration (`vswitch_api::config::edit`), [`compile`]
//! reports all that is wrong with it or gives what the switch is to be, [`delta`] orders the effects,
//! the daemon performs them, and what it answers comes back as events. [`Controller`] drives this; its
//! verbs are `handle_*` for what came in and `poll_*` for what must go out.
//!
//! | module | holds |
//! | --- | --- |
//! | [`controller`] | the [`Controller`] and its verbs |
//! | [`effect`] | side effects as data: the contract with the daemon |
//! | [`attachments`] | ports that container runtimes own |
//! | [`compile`] | configuration → ports, bridges, snapshots |
//! | [`delta`], [`actual`] | what is open; the order of effects that leads to the target |
//! | [`bond`] | whose link of a bond is good, who is active |
//! | [`registry`] | indices, epochs and address tables that outlive a configuration |
//! | [`plan`] | what a request changes and what that costs |
//! | [`facts`] | network devices as observed |
//! | [`events`], [`flaps`], [`loops`], [`wall`] | the event log; addresses that jump, or come back; time as text |
//!
//! Guarantees: no system call, no clock (`now` is an argument), no thread; everything that can grow has
//! a limit; nothing a client, a link event or a frame says can make it panic. Calls on `Arc<Fdb>` are
//! made from here: they are memory. One owner: the control thread.
#![forbid(unsafe_code)]

pub mod actual;
pub mod announcement;
pub mod attachments;
pub mod bindings;
pub mod bond;
pub mod compile;
pub mod controller;
pub mod delta;
pub mod effect;
pub mod events;
pub mod facts;
pub mod flaps;
pub mod groups;
pub mod loops;
pub mod plan;
pub mod probe;
pub mod registry;
#[cfg(test)]
mod testing;
pub mod wall;

pub use attachments::{Attachments, Record};
pub use controller::{Controller, Counters, Peer, Reply, RequestId, Settings, VlanTotals};
pub use effect::{
    AddressChange, AttachedPort, AttachedState, DeviceChange, DeviceSettings, Effect, EffectError,
    EffectId, EffectOutput, FoundState, OpenKind, OpenSpec, PortFacts, TxQueue,
};
pub use facts::{Link, LinkEvent};
