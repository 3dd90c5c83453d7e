//! The sim tier: a whole switch on virtual time and in-memory ports, no privileges.
//!
//! Every test ends with the conservation of frames (N-17): `MemSwitch` holds it when it is dropped.
//! A doc comment names the rows of the feature map that a test proves.

mod balance;
mod beyond;
mod bond;
mod bonds;
mod counters;
mod drops;
mod egress;
mod explain;
mod flags;
mod fuzz;
mod learning;
mod many_ports;
mod mtu;
mod oracle;
mod pair;
mod protect;
mod rates;
mod reconfigure;
mod reflections;
mod rewriting;
mod steps;
mod strangers;
mod two_bridges;
mod uncut;
mod vlan;
mod watched;

use vswitch_base::BridgeIndex;
use vswitch_base::PortIndex;
use vswitch_core::snapshot::PortView;
use vswitch_core::testing::{MemSwitch, vid};

/// The bridge that tests use unless they need two.
const BR: BridgeIndex = BridgeIndex(0);

/// An access port of VLAN 10.
fn access(number: u16) -> PortView {
    access_in(number, 10)
}

fn access_in(number: u16, pvid: u16) -> PortView {
    PortView::access(PortIndex(number), BR, vid(pvid))
}

fn trunk(number: u16, vids: &[u16]) -> PortView {
    let vids: Vec<_> = vids.iter().map(|v| vid(*v)).collect();
    PortView::trunk(PortIndex(number), BR, &vids)
}

/// A bridge with access ports 1 to `ports` in VLAN 10.
fn lan(ports: u16) -> MemSwitch {
    let mut switch = MemSwitch::new();
    for number in 1..=ports {
        switch.add(number, access(number));
    }
    switch
}
