//! The two examples of the seed in its topology: what leaves the uplink, and what must never reach a pod.

use super::{Node, network};
use crate::lab::run;
use serde_json::json;
use std::path::PathBuf;

/// As printed in the seed document.
const EXAMPLE_1: &str = include_str!("../../data/seed/example-1.json");
const EXAMPLE_2: &str = include_str!("../../data/seed/example-2.json");

/// The plugin under the name `bridge`, the reference plugin beside it.
fn stand_in(node: &Node) -> PathBuf {
    let folder = node.lab.file("bin");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::copy("/usr/lib/cni/bridge", folder.join("bridge")).expect("the reference plugin");
    let install = std::process::Command::new(Node::binary())
        .args(["install", "--as-bridge", "--dest"])
        .arg(&folder)
        .output()
        .expect("the plugin");
    assert!(install.status.success(), "{install:?}");
    assert!(folder.join("bridge.upstream").exists() && folder.join("vswitch").exists());
    folder.join("bridge")
}

/// S-10, S-11, S-12, S-07: in both installations; VLAN 100 leaves tagged, untagged stays untagged, VLAN 1
/// never reaches the port of VLAN 100.
#[test]
fn the_seeds_examples_do_what_they_say_on_the_wire() {
    let config = "[bridge.mgmt-br]\nuplink = \"ul0\"\n[port.ul0]\nkind = \"nic\"\n\
                  [bridge.oob-br]\nuplink = \"ul1\"\n[port.ul1]\nkind = \"nic\"\n";
    let mut lab_config = config.to_owned();
    lab_config.push_str("[host.mgmt-br]\nbridge = \"mgmt-br\"\naddresses = [\"10.9.3.1/24\"]\n");
    let node = Node::seed(&["vm1", "vm2"], &lab_config);
    let bridge = stand_in(&node);
    for program in [Node::binary(), bridge.clone()] {
        for (pod, text) in [("vm1", EXAMPLE_1), ("vm2", EXAMPLE_2)] {
            let output = node.call_of(&program, "ADD", pod, "net1", text.as_bytes(), &[]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let warned = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success(),
                "{program:?} {text}: {said}{warned}"
            );
            assert!(said.contains("\"cniVersion\":\"0.3.1\""), "{said}");
            assert!(warned.contains("no strict JSON"), "{warned}");
        }
        let lab = &node.lab;
        let payload = "88b5".to_owned() + &"00".repeat(46);
        let from = |n: u8| format!("ffffffffffff0200000000{n:02x}{payload}");
        let tagged = lab.first_frame("wire", "eth0", "ether proto 0x88b5 or vlan", || {
            lab.send("vm1", "net1", &from(1));
        });
        assert!(tagged.contains("vlan 100"), "{tagged}");
        let plain = lab.first_frame("wire", "eth1", "ether proto 0x88b5 or vlan", || {
            lab.send("vm2", "net1", &from(2));
        });
        assert!(!plain.contains("vlan"), "{plain}");
        // VLAN 1 is on mgmt-br: the node speaks there, and so does the wire, untagged. The first frame that
        // vm1 hears is the one of VLAN 100 that comes after those.
        let heard = lab.first_frame("vm1", "net1", "ether proto 0x88b5 or arp", || {
            lab.ok_in("sw", "ping -c 1 -W 1 10.9.3.77");
            lab.send("wire", "eth0", &from(3));
            let in_100 = format!("ffffffffffff02000000000481000064{payload}");
            lab.send("wire", "eth0", &in_100);
        });
        assert!(
            heard.contains("02:00:00:00:00:04") && !heard.contains("vlan"),
            "{heard}"
        );
        for (pod, text) in [("vm1", EXAMPLE_1), ("vm2", EXAMPLE_2)] {
            let output = node.call_of(&program, "DEL", pod, "net1", text.as_bytes(), &[]);
            assert!(output.status.success(), "{output:?}");
            assert_eq!(node.interfaces(pod), [] as [String; 0]);
        }
        assert_eq!(node.traces(), [] as [String; 0]);
    }
    // A bridge that the switch has not is the reference plugin's.
    // Also with keys that only this plugin knows, and would refuse.
    let foreign = network(json!({
        "cniVersion": "0.3.1", "type": "bridge", "bridge": "kbr0", "queues": "many", "mode": "x",
    }));
    let call = |verb: &str| {
        let output = node.call_of(
            &bridge,
            verb,
            "vm1",
            "eth0",
            foreign.to_string().as_bytes(),
            &[],
        );
        assert!(output.status.success(), "{output:?}");
    };
    call("ADD");
    let kernel = run(&format!("ip -n {} -d link show kbr0", node.lab.ns("sw")));
    assert!(kernel.contains("bridge"), "{kernel}");
    assert_eq!(node.interfaces("vm1"), ["eth0"]);
    call("DEL");
    assert_eq!(node.interfaces("vm1"), [] as [String; 0]);
}
