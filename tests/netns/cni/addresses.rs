//! Addresses that another plugin gives: fixed ones, and leases of a real DHCP server in the pods' VLAN.

use super::{Node, REFERENCE, network};
use crate::lab::eventually;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn start(command: &mut Command) -> Running {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Running(command.spawn().expect("it runs"))
}

/// CHECK passes the result on in a version that the address plugin reads.
#[test]
fn fixed_addresses_are_checked_in_every_version() {
    for version in ["0.4.0", "1.0.0", "1.1.0"] {
        let node = Node::new(&["a"]);
        let mut config = network(json!({"cniVersion": version, "mode": "veth", "ipam": {
            "type": "static", "addresses": [{"address": "10.9.4.5/24", "gateway": "10.9.4.1"}],
            "routes": [{"dst": "10.77.0.0/16"}],
        }}));
        let result = node.done("ADD", "a", "eth0", &config);
        config["prevResult"] = result;
        assert_eq!(
            node.done("CHECK", "a", "eth0", &config),
            Value::Null,
            "{version}"
        );
        node.done("DEL", "a", "eth0", &config);
        assert_eq!(node.traces(), [] as [String; 0], "{version}");
    }
}

/// the network beyond is told where a pod's addresses are, in its VLAN, when the pod arrives.
#[test]
fn a_pod_that_arrives_is_announced_beyond_the_uplink() {
    for mode in ["veth", "tap"] {
        let node = Node::new(&["a"]);
        let config = network(
            json!({"mode": mode, "vlan": 100, "mac": "02:00:00:00:00:2a", "ipam": {
                "type": "static", "addresses": [{"address": "10.9.4.5/24"}, {"address": "fd00:4::5/64"}],
            }}),
        );
        for (filter, said) in [
            ("vlan and arp", "who-has 10.9.4.5"),
            (
                "vlan and ip6[40] = 136",
                "neighbor advertisement, tgt is fd00:4::5",
            ),
        ] {
            let line = node.lab.first_frame("wire", "eth0", filter, || {
                node.done("ADD", "a", "eth0", &config);
            });
            assert!(
                line.contains("02:00:00:00:00:2a > ") && line.contains("vlan 100"),
                "{line}"
            );
            assert!(line.contains(said), "{mode}: {line}");
            node.done("DEL", "a", "eth0", &config);
        }
    }
}

/// S-25: the plugin `dhcp` gets a lease through the switch, in the pod's VLAN; DEL gives it back to the server
/// while the interface still works.
#[test]
fn leases_come_and_go_through_the_switch() {
    assert!(
        std::path::Path::new("/usr/sbin/dnsmasq").exists(),
        "no dnsmasq: apt-get install dnsmasq-base (scripts/ci.sh packages)"
    );
    for mode in ["veth", "tap"] {
        // The server is the node itself, by its interface in that VLAN.
        let node = Node::with(
            &["a"],
            "[bridge.br0]\nuplink = \"ul0\"\n[port.ul0]\nkind = \"nic\"\n\
             [host.dhcp0]\nbridge = \"br0\"\nvlan = 100\naddresses = [\"10.9.5.1/24\"]\n",
        );
        let leases = node.lab.file("leases");
        let _server = start(
            Command::new("ip")
                .args([
                    "netns",
                    "exec",
                    &node.lab.ns("sw"),
                    "dnsmasq",
                    "-k",
                    "--no-resolv",
                    "--port=0",
                    "--no-ping",
                ])
                .args([
                    "--conf-file=/dev/null",
                    "--user=root",
                    "--bind-interfaces",
                    "--interface=dhcp0",
                ])
                .arg("--dhcp-range=10.9.5.100,10.9.5.109,255.255.255.0,1h")
                .arg(format!("--dhcp-leasefile={}", leases.display()))
                .arg(format!(
                    "--pid-file={}",
                    node.lab.file("dnsmasq.pid").display()
                )),
        );
        let socket = node.lab.file("dhcp.sock");
        let _client = start(
            Command::new(format!("{REFERENCE}/dhcp"))
                .args(["daemon", "-timeout", "30s", "-socketpath"])
                .arg(&socket),
        );
        eventually("the DHCP plugin's daemon listens", || socket.exists());
        let config = network(json!({
            "mode": mode, "vlan": 100, "ipam": {"type": "dhcp", "daemonSocketPath": socket},
        }));
        let result = node.done("ADD", "a", "eth0", &config);
        let address = result["ips"][0]["address"].as_str().unwrap_or_default();
        assert!(
            address.starts_with("10.9.5.10") && address.ends_with("/24"),
            "{mode}: {result}"
        );
        assert_eq!(result["ips"][0]["gateway"], "10.9.5.1", "{mode}: {result}");
        node.lab.wait_ping("a", "10.9.5.1");
        let given = || std::fs::read_to_string(&leases).unwrap_or_default();
        assert!(given().contains("10.9.5.10"), "{mode}: {}", given());
        node.done("DEL", "a", "eth0", &config);
        eventually("the lease is given back", || !given().contains("10.9.5.10"));
        assert_eq!(node.traces(), [] as [String; 0], "{mode}");
        assert_eq!(node.interfaces("a"), [] as [String; 0], "{mode}");
    }
}
