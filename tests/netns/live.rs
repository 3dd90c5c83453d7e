//! Every option of a bond changed while frames flow: whoever only wants another number loses nothing for it.

use crate::lab::{Lab, Switch, eventually, run};
use serde_json::{Value, json};

fn config(knobs: &Value) -> Value {
    let mut bond = json!({ "members": ["e0", "e1"] });
    let knobs = knobs.as_object().expect("knobs").clone();
    bond.as_object_mut().expect("a table").extend(knobs);
    json!({ "config": {
        "bridge": { "br0": { "uplink": "bond0" } },
        "bond": { "bond0": bond },
        "port": { "pa": { "kind": "nic", "bridge": "br0" } },
    }})
}

fn carries(switch: &Switch) -> bool {
    ["e0", "e1"].iter().all(|member| {
        let reply = switch.call("io.vswitch.Switch.GetState", json!({ "port": member }));
        let port = &reply["state"]["ports"][0];
        let reason = port["reason"].as_str().unwrap_or("");
        reason.starts_with("carries frames") || reason.starts_with("on standby")
    })
}

/// N-07: two switches, a bond between them; in each mode every option that does not ask for other links, one
/// after the other and back, at both ends at once, under requests 2 ms apart: none is lost.
#[test]
fn options_change_while_frames_flow_and_none_is_lost() {
    let mut lab = Lab::new();
    for ns in ["sw", "sw2", "a", "b"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    lab.veth("sw2", "pa", "b", "eth0");
    lab.veth("sw", "e0", "sw2", "e0");
    lab.veth("sw", "e1", "sw2", "e1");
    let text = "[bridge.br0]\nuplink = \"bond0\"\n\
                [bond.bond0]\nmembers = [\"e0\", \"e1\"]\nmode = \"active-backup\"\n\
                [port.pa]\nbridge = \"br0\"\nkind = \"nic\"\n";
    let both = [lab.switch("sw", text), lab.switch("sw2", text)];
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "eth0", 2, 1500);
    let everywhere = [
        ("updelay", json!(100)),
        ("downdelay", json!(100)),
        ("miimon", json!(200)),
        ("use_carrier", json!(0)),
        ("num_grat_arp", json!(3)),
        ("peer_notif_delay", json!(200)),
        ("resend_igmp", json!(2)),
        ("primary_reselect", json!("failure")),
        ("xmit_hash_policy", json!("layer3+4")),
        ("hash_seed", json!(7)),
        ("packets_per_slave", json!(4)),
        ("tlb_dynamic_lb", json!(0)),
        ("lp_interval", json!(5)),
        ("min_links", json!(1)),
        ("prio", json!({ "e0": 1 })),
    ];
    let lacp = [
        ("lacp_rate", json!("fast")),
        ("lacp_rate", json!("slow")),
        ("ad_select", json!("bandwidth")),
        ("ad_select", json!("count")),
        ("coupled_control", json!("off")),
        ("lacp_strict", json!("on")),
        ("lacp_fallback_ab", json!("off")),
        ("lacp_goodbye", json!("silent")),
        ("max_links", json!(2)),
    ];
    for mode in ["active-backup", "balance-rr", "balance-xor", "802.3ad"] {
        let knobs = everywhere
            .iter()
            .chain(lacp.iter().filter(|_| mode == "802.3ad"));
        let plain = config(&json!({ "mode": mode }));
        let apply = |config: &Value| {
            for switch in &both {
                switch.call("io.vswitch.Switch.Apply", config.clone());
            }
        };
        apply(&plain);
        eventually("both ends carry", || both.iter().all(carries));
        lab.wait_ping("a", "10.0.0.2");
        let line = format!(
            "ip netns exec {} ping -q -i 0.002 -c 2000 -W 1 10.0.0.2 || true",
            lab.ns("a")
        );
        let told = std::thread::scope(|scope| {
            let pings = scope.spawn(|| run(&line));
            // Again and again: some change is under way whenever a request is.
            while !pings.is_finished() {
                for (knob, value) in knobs.clone() {
                    apply(&config(&json!({ "mode": mode, *knob: value })));
                    apply(&plain);
                }
            }
            pings.join().expect("pings")
        });
        assert!(
            told.contains(" 2000 received, 0% packet loss") && !told.contains("duplicates"),
            "{mode}: {told}"
        );
    }
    for switch in &both {
        // N-10: each other hash of the mode with LACP sends any flow otherwise.
        let log = switch.log();
        let moves = log
            .lines()
            .filter(|line| line.contains("shares of the flows changed members"));
        let answered = moves.filter(|line| line.contains("the partner said that all"));
        assert!(answered.count() > 2, "{log}");
        switch.assert_conserved();
    }
}
