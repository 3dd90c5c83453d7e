//! The controller against a daemon made of memory (`testing.rs`), on virtual time.

mod addresses;
mod announcing;
mod attaching;
mod bond_requests;
mod bonds;
mod changes;
mod devices;
mod holding;
mod lacp;
mod monitoring;
mod random;
mod reads;

use crate::testing::{Rig, nic};
use serde_json::{Value, json};
use vswitch_base::{MacAddr, Vid};
use vswitch_core::fdb::{Learned, Source};

/// A bridge with a TAP, a NIC and the node's own interface.
fn small() -> Value {
    json!({
        "bridge": { "br0": { "uplink": "eth0", "vlans": [1, 100, 200] } },
        "port": {
            "eth0": { "kind": "nic" },
            "vm1": { "kind": "tap", "bridge": "br0", "vlan": 100 },
        },
        "host": { "br0": { "bridge": "br0" } },
    })
}

fn small_rig() -> Rig {
    Rig::new(small(), &[nic("eth0", 5)])
}

fn vid(value: u16) -> Vid {
    Vid::new(value).expect("a VLAN")
}

/// As a worker would: an address behind a port.
fn learn(rig: &Rig, port: &str, vlan: u16, mac: MacAddr) -> Learned {
    let index = rig.index(port);
    let view = rig.snapshot.port(index).expect("a published port");
    let bridge = rig
        .snapshot
        .bridge(view.bridge.expect("a bridge"))
        .expect("its bridge");
    let source = Source {
        port: index,
        epoch: view.epoch,
        mac_limit: view.mac_limit,
    };
    let now_s = rig.now.as_secs_u32();
    bridge
        .fdb
        .learn(Some(vid(vlan)), mac, source, now_s, |port, epoch| {
            rig.snapshot
                .port(port)
                .is_some_and(|view| view.epoch == epoch)
        })
}

/// Whether a frame to the address would be forwarded, to that port.
fn is_known(rig: &Rig, port: &str, vlan: u16, mac: MacAddr) -> bool {
    rig.snapshot.bridges().any(|(_, bridge)| {
        bridge.fdb.find(Some(vid(vlan)), mac).is_some_and(|hit| {
            let view = rig.snapshot.port(hit.port);
            hit.port == rig.index(port) && view.is_some_and(|view| view.epoch == hit.epoch)
        })
    })
}

const STATION: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 1]);
