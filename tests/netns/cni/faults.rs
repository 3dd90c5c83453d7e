//! N-15: killed after every step of ADD and DEL, and the daemon as well: after GC nothing is left and nothing
//! that is valid is missing.

use super::{Node, host_local, network};
use serde_json::{Value, json};
use std::process::Command;

/// The steps that the plugin says it has.
fn steps() -> Vec<String> {
    let output = Command::new(Node::binary())
        .arg("faults")
        .output()
        .expect("the plugin");
    let text = String::from_utf8(output.stdout).expect("text");
    let names = text.lines().filter_map(|line| line.split(' ').next());
    let names: Vec<String> = names.map(str::to_owned).collect();
    assert!(names.len() >= 12, "{names:?}");
    names
}

/// What belongs to the pod that stays.
fn stays(node: &Node) -> Vec<String> {
    let mut traces = node.traces();
    traces.sort();
    traces
}

/// N-15: links, attachments, records, addresses and VLANs are exactly as if the pod had never been.
#[test]
fn a_death_after_any_step_leaves_nothing_behind() {
    for mode in ["veth", "tap", "tap-guest"] {
        let mut node = Node::new(&["stays", "dies"]);
        let config = network(json!({
            "cniVersion": "1.1.0", "mode": mode, "vlan": 30, "owner": 0, "group": 0,
            "ipam": host_local(&node),
        }));
        let other = network(json!({
            "cniVersion": "1.1.0", "mode": "veth", "vlan": 20, "ipam": host_local(&node),
        }));
        node.done("ADD", "stays", "eth0", &other);
        let before = stays(&node);
        let mut gc = config.clone();
        gc["cni.dev/valid-attachments"] = json!([{"containerID": "id-stays", "ifname": "eth0"}]);
        for (number, step) in steps().iter().enumerate() {
            let verb = if step.starts_with("add") {
                "ADD"
            } else {
                "DEL"
            };
            if verb == "DEL" {
                node.done("ADD", "dies", "eth0", &config);
            }
            let output = node.call_of(
                &Node::binary(),
                verb,
                "dies",
                "eth0",
                config.to_string().as_bytes(),
                &[("VSWITCH_CNI_FAULT", step)],
            );
            assert_eq!(
                output.status.code(),
                None,
                "{mode} {step}: killed: {output:?}"
            );
            if number % 3 == 0 {
                // The daemon dies as well, and comes back.
                node.switch.end("KILL");
                node.switch.start_with_problems();
            }
            node.done("GC", "", "", &gc);
            assert_eq!(stays(&node), before, "{mode}, killed after {step}");
            assert_eq!(node.interfaces("dies"), [] as [String; 0], "{mode} {step}");
            assert_eq!(
                node.uplink_vlans(),
                json!([{"first": 20, "last": 20}]),
                "{mode} {step}"
            );
            // And the same attachment can be made again, by a runtime that did not hear of the death.
            node.done("DEL", "dies", "eth0", &config);
            node.done("ADD", "dies", "eth0", &config);
            node.done("DEL", "dies", "eth0", &config);
            assert_eq!(stays(&node), before, "{mode}, again after {step}");
        }
        node.done("DEL", "stays", "eth0", &other);
        assert_eq!(node.traces(), [] as [String; 0]);
        let _nothing_printed: Value = node.done("GC", "", "", &gc);
    }
}
