//! Bonds by hand: made, looked at, switched over, changed and taken away by `vswctl`, with ports of memory.

use crate::lab::Daemon;
use serde_json::json;
use vswitch_api::request::BondList;
use vswitch_api::types::{Bond, Health};

const CONFIG: &str = r#"
[bridge.br0]

[port.vm1]
bridge = "br0"
kind = "mem"

[port.a]
kind = "mem"

[port.b]
kind = "mem"

[bond.bond0]
mode = "active-backup"
members = ["a", "b"]

[port.bond0]
bridge = "br0"
kind = "bond"
"#;

/// A broadcast of a machine.
const FRAME: [u8; 60] = {
    let mut frame = [0; 60];
    let mut at = 0;
    while at < 6 {
        frame[at] = 0xff;
        at += 1;
    }
    (frame[6], frame[11], frame[12], frame[13]) = (0x52, 1, 0x08, 0x06);
    frame
};

fn bond(daemon: &Daemon) -> Bond {
    let reply = daemon.client().call(&BondList::default());
    reply.expect("a list").bonds.remove(0)
}

/// K-14, O-04: what is said of the active member is what frames do.
#[test]
fn a_bond_is_switched_over_and_changed_by_hand() {
    let daemon = Daemon::with(CONFIG);
    assert_eq!(bond(&daemon).active.as_deref(), Some("a"));
    daemon.put("vm1", &FRAME);
    assert_eq!(daemon.reached(&["a", "b"]), ["a"]);

    let told = daemon.ctl("bond set-active bond0 b");
    assert_eq!(told, "bond0 goes by b now, no longer by a\n");
    daemon.take("b"); // What announces the machine there.
    daemon.put("vm1", &FRAME);
    assert_eq!(daemon.reached(&["a", "b"]), ["b"]);
    let shown = daemon.ctl("bond show bond0");
    assert!(shown.contains("active  b (by hand)"), "{shown}");
    let text = daemon.ctl("bond show bond0 --proc");
    assert!(text.contains("\nCurrently Active Slave: b\n"), "{text}");
    assert!(
        text.contains("\nSlave Interface: a\nMII Status: up\n"),
        "{text}"
    );

    daemon.ctl("bond set bond0 --mode balance-xor xmit_hash_policy=layer3+4");
    let hex: String = FRAME.iter().map(|byte| format!("{byte:02x}")).collect();
    let hash = daemon.call("Bond.Hash", json!({ "bond": "bond0", "frameHex": hex }));
    daemon.put("vm1", &FRAME);
    let reached = daemon.reached(&["a", "b"]);
    assert_eq!(json!(reached), hash["members"], "{hash}");
    let refused = daemon.vswctl(&["bond", "set-active", "bond0", "a"]);
    assert!(refused.err.contains("balance-xor"), "{}", refused.err);

    daemon.ctl("bond del-member bond0 a");
    let row = bond(&daemon);
    assert_eq!((row.members.len(), row.state.as_str()), (1, "up"));
    daemon.put("vm1", &FRAME);
    assert_eq!(daemon.reached(&["b"]), ["b"]);
    let health = daemon
        .client()
        .call(&vswitch_api::request::GetHealth::default());
    assert_eq!(health.expect("health").health, Health::Ok);
    daemon.ctl("bond del bond0");
    let gone = daemon.vswctl(&["bond", "show", "bond0"]);
    assert_eq!(gone.code, 4, "{}", gone.err);
    daemon.assert_conserved();
}
