//! The node's own interfaces on a bridge, and a switch of several workers.

use crate::lab::{Lab, run};
use serde_json::json;

/// S-04, S-18, B-03, B-04: the node's address on the bridge's own interface and on a host port of another
/// VLAN, each reached in its VLAN only.
#[test]
fn the_node_is_reached_on_the_bridges_interface_and_on_a_host_port_of_a_vlan() {
    let mut lab = Lab::new();
    for ns in ["sw", "a", "b"] {
        lab.namespace(ns);
    }
    let switch = lab.switch(
        "sw",
        &format!(
            "[bridge.br0]\n[host.br0]\nbridge = \"br0\"\naddresses = [\"10.0.1.9/24\"]\n\
             [host.\"br0.100\"]\nbridge = \"br0\"\nvlan = 100\naddresses = [\"10.0.2.9/24\"]\n{}{}",
            tap(&lab, "a", 1),
            tap(&lab, "b", 100),
        ),
    );
    for (host, net) in [("a", "10.0.1"), ("b", "10.0.2")] {
        let ns = lab.ns(host);
        run(&format!(
            "ip -n {ns} addr add {net}.1/24 dev {host} && ip -n {ns} link set dev {host} up"
        ));
        lab.wait_ping(host, &format!("{net}.9"));
        let tcp = lab.tcp(host, "sw", &format!("{net}.9"));
        assert!(tcp.is_healthy(), "{host} to the node: {tcp:?}");
    }
    // The same network in another VLAN is another network.
    run(&format!("ip -n {} addr add 10.0.1.2/24 dev b", lab.ns("b")));
    assert!(!lab.ok_in("b", "ping -c 2 -i 0.2 -W 1 -I 10.0.1.2 10.0.1.1"));
    switch.assert_conserved();
}

/// S-18: what a VLAN device on top of the bridge's interface sends and gets: tagged frames, which enter
/// and leave its VLAN.
#[test]
fn tagged_frames_of_the_node_belong_to_their_vlan() {
    let mut lab = Lab::new();
    for ns in ["sw", "a"] {
        lab.namespace(ns);
    }
    let switch = lab.switch(
        "sw",
        &format!(
            "[bridge.br0]\n[host.br0]\nbridge = \"br0\"\ntrunk = [100]\n{}",
            tap(&lab, "a", 100)
        ),
    );
    run(&format!("ip -n {} link set dev a up", lab.ns("a")));
    let (payload, addresses) = (
        "88b5".to_owned() + &"00".repeat(46),
        "ffffffffffff02000000000",
    );
    let at_host = lab.first_frame("a", "a", "ether proto 0x88b5", || {
        lab.send("sw", "br0", &format!("{addresses}181000064{payload}"));
    });
    assert!(
        at_host.contains("0x88b5") && !at_host.contains("vlan"),
        "{at_host}"
    );
    let at_node = lab.first_frame("sw", "br0", "vlan and ether proto 0x88b5", || {
        lab.send("a", "a", &format!("{addresses}2{payload}"));
    });
    assert!(at_node.contains("vlan 100"), "{at_node}");
    switch.assert_conserved();
}

/// A port that is a TAP in the host of that name.
fn tap(lab: &Lab, host: &str, vlan: u16) -> String {
    let ns = lab.ns(host);
    format!("[port.{host}]\nbridge = \"br0\"\nkind = \"tap\"\nnetns = \"{ns}\"\nvlan = {vlan}\n")
}

/// B-02, I-04, I-05: two workers share the queues of TAPs and NICs and one table of addresses.
#[test]
fn two_workers_forward_between_ports_of_several_queues() {
    let mut lab = Lab::new();
    for ns in ["sw", "a", "b"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    let b = lab.ns("b");
    let switch = lab.switch(
        "sw",
        &format!(
            "[daemon]\nworkers = 2\n[bridge.br0]\n\
             [port.pa]\nbridge = \"br0\"\nkind = \"nic\"\nqueues = 2\n\
             [port.pb]\nbridge = \"br0\"\nkind = \"tap\"\nnetns = \"{b}\"\nqueues = 2\n"
        ),
    );
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "pb", 2, 1500);
    lab.wait_ping("a", "10.0.0.2");
    for (client, server, address) in [
        ("a", "b", "10.0.0.2"),
        ("b", "a", "10.0.0.1"),
        ("a", "b", "fd00::2"),
        ("b", "a", "fd00::1"),
    ] {
        let tcp = lab.tcp(client, server, address);
        assert!(tcp.is_healthy(), "{client} to {address}: {tcp:?}");
    }
    let info = switch.call("io.vswitch.Daemon.GetInfo", json!({}));
    assert_eq!(info["workers"].as_array().map(Vec::len), Some(2), "{info}");
    switch.assert_conserved();
}

/// I-09: the MTU of a bridge changes under its ports: devices and switch follow, larger frames pass.
#[test]
fn a_bridges_mtu_changes_live() {
    let mut lab = Lab::new();
    let switch = lab.veth_and_tap();
    let (sw, b) = (lab.ns("sw"), lab.ns("b"));
    let large = || lab.ok_in("a", "ping -c 1 -W 2 -M do -s 3972 10.0.0.2");
    run(&format!("ip -n {} link set eth0 mtu 4000", lab.ns("a")));
    assert!(!large(), "4000 bytes passed a bridge of 1500");
    let set = |mtu: u16| {
        let config = json!({"name": "br0", "config": {"mtu": mtu}});
        switch.call("io.vswitch.Switch.SetBridge", config);
    };
    set(4000);
    for (ns, dev) in [(&sw, "pa"), (&b, "pb")] {
        let mtu = run(&format!("ip netns exec {ns} cat /sys/class/net/{dev}/mtu"));
        assert_eq!(mtu.trim(), "4000", "{dev}");
    }
    assert!(large());
    set(1500);
    assert!(!large(), "4000 bytes passed a bridge of 1500 again");
    lab.wait_ping("a", "10.0.0.2");
    switch.assert_conserved();
}
