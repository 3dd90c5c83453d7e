//! Flows that leave a slow link for a fast one, on real devices: the queue of the slow link is full of their frames
//! when they go.

use crate::flows::Script;
use crate::lab::{Lab, Switch, eventually, run};
use serde_json::{Value, json};
use std::time::Duration;

const FLOWS: usize = 8;
/// Datagrams of each flow at once, before and after it goes.
const BURST: usize = 40;

/// Two switches and two links; what passes the first one to `sw2` waits in a queue of 2 Mbit/s.
fn links(lab: &mut Lab) {
    for ns in ["sw", "mid", "sw2", "a", "b"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    lab.veth("sw2", "pa", "b", "eth0");
    lab.veth("sw", "e1", "sw2", "e1");
    lab.veth("sw", "e0", "mid", "s0");
    lab.veth("mid", "l0", "sw2", "e0");
    let mid = lab.ns("mid");
    run(&format!(
        "ip -n {mid} link add name m0 type bridge mcast_snooping 0 && ip -n {mid} link set m0 up"
    ));
    for port in ["s0", "l0"] {
        // A bridge keeps slow protocols to itself, but for a port that is told otherwise.
        run(&format!(
            "ip -n {mid} link set {port} master m0 up && \
             ip -n {mid} link set {port} type bridge_slave group_fwd_mask 4"
        ));
    }
    run(&format!(
        "ip netns exec {mid} tc qdisc add dev l0 root tbf rate 2mbit burst 2kb limit 400kb"
    ));
}

fn bond(mode: &str, seed: usize) -> Value {
    json!({ "members": ["e0", "e1"], "mode": mode, "xmit_hash_policy": "layer3+4", "hash_seed": seed })
}

fn apply(switch: &Switch, bond: &Value) {
    let config = json!({ "config": {
        "bridge": { "br0": { "uplink": "bond0" } },
        "bond": { "bond0": bond },
        "port": { "pa": { "kind": "nic", "bridge": "br0" } },
    }});
    switch.call("io.vswitch.Switch.Apply", config);
}

fn carry(switch: &Switch) -> bool {
    ["e0", "e1"].iter().all(|member| {
        let reply = switch.call("io.vswitch.Switch.GetState", json!({ "port": member }));
        let reason = reply["state"]["ports"][0]["reason"].as_str();
        reason.is_some_and(|reason| reason.starts_with("carries frames"))
    })
}

/// N-10, P-11: other seeds of the hash send flows from the slow link to the fast one. Of datagrams of one flow
/// none overtakes another where Markers tell when the slow link is empty, and none is lost; where there is no
/// LACP, some do, so that the rig can tell.
#[test]
fn a_flow_that_leaves_a_slow_link_stays_in_order() {
    let mut lab = Lab::new();
    links(&mut lab);
    let text = "[bridge.br0]\nuplink = \"bond0\"\n[bond.bond0]\nmembers = [\"e0\", \"e1\"]\n\
                [port.pa]\nbridge = \"br0\"\nkind = \"nic\"\n";
    let both = [lab.switch("sw", text), lab.switch("sw2", text)];
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "eth0", 2, 1500);
    for (mode, ordered) in [("802.3ad", true), ("balance-xor", false)] {
        for switch in &both {
            apply(switch, &bond(mode, 0));
        }
        eventually("both ends carry", || both.iter().all(carry));
        lab.wait_ping("a", "10.0.0.2");
        let mut receiver = Script::start(&lab, "b", &["receive"]);
        assert_eq!(receiver.answer(), "ready");
        let mut sender = Script::start(&lab, "a", &["send", "10.0.0.2", &FLOWS.to_string()]);
        let mut sent = 0;
        let mut burst = || {
            for flow in 0..FLOWS {
                sender.order(&format!("burst {flow} {BURST}"));
                sent += BURST as u64;
            }
        };
        for seed in 1..=8 {
            burst();
            apply(&both[0], &bond(mode, seed));
            burst();
            // The slow link needs less for all of them.
            std::thread::sleep(Duration::from_millis(500));
        }
        let flows = receiver.end();
        let got: u64 = flows.values().map(|(frames, _)| frames).sum();
        let disorders: u64 = flows.values().map(|(_, disorders)| disorders).sum();
        eprintln!("{mode}: {got} of {sent} datagrams, {disorders} overtaken");
        assert_eq!(got, sent, "{mode}: {flows:?}");
        assert_eq!(
            disorders == 0,
            ordered,
            "{mode}: {flows:?}\n{}",
            both[0].log()
        );
    }
    for switch in &both {
        switch.assert_conserved();
    }
}
