//! The netns tier: the real daemon on real devices, with software nobody here wrote at both ends.
//!
//! Needs root, iproute2, ping, iperf3, nftables, python3 and tcpdump; a machine without them fails loudly.
//! Tests with Open vSwitch skip, and say so, where it is not installed.

mod bonds;
mod checksums;
mod cni;
mod flows;
mod lab;
mod lacp;
mod live;
mod monitors;
mod node;
mod offloads;
mod order;
mod ovs;
mod queues;
mod silent;
mod trunk;
mod tx_queue;

use lab::{Lab, eventually, run, sh};
use serde_json::json;

/// S-03, S-04, I-02, I-05: TCP with default offloads over every pair of port kinds, both ways.
#[test]
fn tcp_passes_between_every_pair_of_port_kinds() {
    let mut lab = Lab::new();
    for ns in ["sw", "veth", "tap"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "p1", "veth", "eth0");
    let tap_ns = lab.ns("tap");
    let switch = lab.switch(
        "sw",
        &format!(
            "[bridge.br0]\n[port.p1]\nbridge = \"br0\"\nkind = \"nic\"\nvlan = 100\n\
             [port.t1]\nbridge = \"br0\"\nkind = \"tap\"\nnetns = \"{tap_ns}\"\nvlan = 100\n\
             [host.node]\nbridge = \"br0\"\nvlan = 100\naddresses = [\"10.0.0.9/24\"]\n"
        ),
    );
    lab.address("veth", "eth0", 1, 1500);
    lab.address("tap", "t1", 2, 1500);
    lab.wait_ping("veth", "10.0.0.2");
    lab.wait_ping("tap", "10.0.0.9");
    for (client, server, address) in [
        ("veth", "tap", "10.0.0.2"),
        ("tap", "veth", "10.0.0.1"),
        ("veth", "sw", "10.0.0.9"),
        ("sw", "veth", "10.0.0.1"),
        ("tap", "sw", "10.0.0.9"),
        ("sw", "tap", "10.0.0.2"),
        ("veth", "tap", "fd00::2"),
        ("tap", "veth", "fd00::1"),
    ] {
        let tcp = lab.tcp(client, server, address);
        assert!(tcp.is_healthy(), "{client} to {address}: {tcp:?}");
    }
    switch.assert_conserved();
}

/// I-08: what the kernel's own stack would answer does not reach it; the device is put back as found.
#[test]
fn a_nic_port_is_kept_from_the_kernel_and_put_back_as_found() {
    let mut lab = Lab::new();
    for ns in ["sw", "peer"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "p1", "peer", "eth0");
    let sw = lab.ns("sw");
    // An address on the device: the kernel would answer for it.
    run(&format!(
        "ip -n {sw} addr add 10.0.0.77/24 dev p1 && ip -n {sw} link set p1 up"
    ));
    lab.address("peer", "eth0", 1, 1500);
    lab.wait_ping("peer", "10.0.0.77");
    let facts = || {
        let gro = run(&format!(
            "ip netns exec {sw} ethtool -k p1 | grep generic-receive"
        ));
        let ipv6 = run(&format!(
            "ip netns exec {sw} sysctl -n net.ipv6.conf.p1.disable_ipv6"
        ));
        let link = run(&format!("ip -n {sw} -d -j link show p1"));
        let link: serde_json::Value = serde_json::from_str(&link).expect("JSON");
        (
            gro,
            ipv6,
            link[0]["flags"].clone(),
            link[0]["mtu"].clone(),
            link[0]["txqlen"].clone(),
            link[0]["promiscuity"].clone(),
        )
    };
    let before = facts();
    let mut switch = lab.switch(
        "sw",
        "[bridge.br0]\n[port.p1]\nbridge = \"br0\"\nkind = \"nic\"\n",
    );
    run(&format!("ip -n {} neigh flush all", lab.ns("peer")));
    assert!(
        !lab.ok_in("peer", "ping -c 2 -i 0.2 -W 1 10.0.0.77"),
        "the kernel still answers"
    );
    assert!(switch.end("TERM"), "ended by SIGTERM: {}", switch.log());
    assert_eq!(facts(), before);
    assert_eq!(run(&format!("ip netns exec {sw} nft list ruleset")), "");
    lab.wait_ping("peer", "10.0.0.77");
}

/// I-10, C-08: after kill -9 the next daemon forwards again, and SIGTERM then leaves nothing behind.
#[test]
fn killed_and_started_again_it_forwards_and_leaves_nothing_behind() {
    let mut lab = Lab::new();
    for ns in ["sw", "a", "b"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    let (sw, b) = (lab.ns("sw"), lab.ns("b"));
    let links = |ns: &str| run(&format!("ip -n {ns} -o link | cut -d: -f2"));
    let ipv6 = || {
        run(&format!(
            "ip netns exec {sw} sysctl -n net.ipv6.conf.pa.disable_ipv6"
        ))
    };
    let (before, ipv6_before) = ((links(&sw), links(&b)), ipv6());
    let mut switch = lab.switch(
        "sw",
        &format!(
            "[bridge.br0]\n[port.pa]\nbridge = \"br0\"\nkind = \"nic\"\n\
             [port.pb]\nbridge = \"br0\"\nkind = \"tap\"\nnetns = \"{b}\"\n[host.br0]\nbridge = \"br0\"\n"
        ),
    );
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "pb", 2, 1500);
    lab.wait_ping("a", "10.0.0.2");
    let address = || run(&format!("ip netns exec {b} cat /sys/class/net/pb/address"));
    let before_kill = address();
    assert!(!switch.end("KILL"));
    switch.start();
    // A new TAP with the old one's address: who knew it need not ask.
    assert_eq!(address(), before_kill);
    lab.address("b", "pb", 2, 1500);
    lab.wait_ping("a", "10.0.0.2");
    assert!(switch.end("TERM"), "{}", switch.log());
    assert_eq!((links(&sw), links(&b)), before);
    assert_eq!(ipv6(), ipv6_before);
    assert_eq!(run(&format!("ip netns exec {sw} nft list ruleset")), "");
    assert!(!switch.socket().exists(), "the socket stayed");
}

/// I-10: a device that vanishes and comes back under its name is picked up again.
#[test]
fn a_device_that_returns_is_picked_up_again() {
    let mut lab = Lab::new();
    for ns in ["sw", "a", "b"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    lab.veth("sw", "pb", "b", "eth0");
    let sw = lab.ns("sw");
    let port = |name: &str| format!("[port.{name}]\nbridge = \"br0\"\nkind = \"nic\"\n");
    let switch = lab.switch("sw", &format!("[bridge.br0]\n{}{}", port("pa"), port("pb")));
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "eth0", 2, 1500);
    lab.wait_ping("a", "10.0.0.2");
    run(&format!("ip -n {sw} link del pb"));
    eventually("the port is told absent", || {
        switch.call("io.vswitch.Switch.GetState", json!({"port": "pb"}))["state"]["ports"][0]["state"]
            == "absent"
    });
    lab.veth("sw", "pb", "b", "eth0");
    lab.address("b", "eth0", 2, 1500);
    // The new device has a new address, which the other host has yet to ask for.
    run(&format!("ip -n {} neigh flush all", lab.ns("a")));
    lab.wait_ping("a", "10.0.0.2");
    switch.assert_conserved();
}

/// S-22, V-10: wrong requests are refused with a typed error and change nothing.
#[test]
fn wrong_requests_are_refused_and_change_nothing() {
    let mut lab = Lab::new();
    for ns in ["sw", "a"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    let sw = lab.ns("sw");
    run(&format!(
        "ip -n {sw} link add kbr type bridge && ip -n {sw} link add k0 type veth peer name k1 \
         && ip -n {sw} link set k0 master kbr"
    ));
    let switch = lab.switch(
        "sw",
        "[bridge.br0]\n[port.pa]\nbridge = \"br0\"\nkind = \"nic\"\n",
    );
    let before = switch.call("io.vswitch.Switch.GetConfig", json!({}));
    let add = |name: &str, config: serde_json::Value| {
        switch.refused(
            "io.vswitch.Switch.AddPort",
            json!({"name": name, "config": config}),
        )
    };
    for (what, (error, detail), expected) in [
        (
            "bridge",
            add("x", json!({"kind": "tap", "bridge": "br"})),
            "InvalidConfig",
        ),
        (
            "VLAN 0",
            add("x", json!({"kind": "tap", "bridge": "br0", "vlan": 0})),
            "InvalidConfig",
        ),
        (
            "VLAN 4095",
            add("x", json!({"kind": "tap", "bridge": "br0", "vlan": 4095})),
            "InvalidConfig",
        ),
        (
            "VLAN 5000",
            add("x", json!({"kind": "tap", "bridge": "br0", "vlan": 5000})),
            "InvalidConfig",
        ),
        (
            "twice",
            add("pa", json!({"kind": "tap", "bridge": "br0"})),
            "AlreadyExists",
        ),
        (
            "a kernel bridge's port",
            add("k0", json!({"kind": "nic", "bridge": "br0"})),
            "InvalidConfig",
        ),
        (
            "16 characters",
            add("abcdefghijklmnop", json!({"kind": "tap", "bridge": "br0"})),
            "InvalidConfig",
        ),
        (
            "no device",
            add("nodev", json!({"kind": "nic", "bridge": "br0"})),
            "SystemError",
        ),
    ] {
        assert!(error.ends_with(expected), "{what}: {error} {detail}");
        assert!(
            what != "no device" || detail.to_string().contains("no device of this name"),
            "the cause is lost beside the hint: {detail}"
        );
        assert!(
            detail.to_string().len() > 20,
            "{what}: says nothing: {detail}"
        );
    }
    assert_eq!(
        switch.call("io.vswitch.Switch.GetConfig", json!({})),
        before
    );
    switch.call(
        "io.vswitch.Switch.AddPort",
        json!({"name": "t1", "config": {"kind": "tap", "bridge": "br0"}}),
    );
    switch.call("io.vswitch.Switch.DelPort", json!({"name": "t1"}));
    assert!(
        !sh(&format!("ip -n {sw} link show t1")).status.success(),
        "the TAP stayed"
    );
}

/// Two hundred TAPs come, forward and go.
#[test]
fn two_hundred_taps_attach_forward_and_go_away() {
    const TAPS: u32 = 200;
    let mut lab = Lab::new();
    for ns in ["sw", "a"] {
        lab.namespace(ns);
    }
    let (sw, a) = (lab.ns("sw"), lab.ns("a"));
    let mut switch = lab.switch(
        "sw",
        &format!(
            "[bridge.br0]\n[port.pa]\nbridge = \"br0\"\nkind = \"tap\"\nnetns = \"{a}\"\n\
                  [host.node]\nbridge = \"br0\"\naddresses = [\"10.0.0.9/24\"]\n"
        ),
    );
    lab.address("a", "pa", 1, 1500);
    let config = switch.call("io.vswitch.Switch.GetConfig", json!({}))["config"].clone();
    let mut larger = config.clone();
    for i in 0..TAPS {
        larger["port"][format!("t{i}")] = json!({"kind": "tap", "bridge": "br0"});
    }
    switch.call("io.vswitch.Switch.Apply", json!({"config": larger}));
    let count = || {
        run(&format!("ip -n {sw} -o link"))
            .lines()
            .filter(|l| l.contains(": t"))
            .count()
    };
    assert_eq!(count(), TAPS as usize);
    lab.wait_ping("a", "10.0.0.9");
    let rss = run(&format!("grep VmRSS /proc/{}/status", switch.pid()));
    eprintln!("{TAPS} TAPs: {rss}");
    switch.assert_conserved();
    switch.call("io.vswitch.Switch.Apply", json!({"config": config}));
    assert_eq!(count(), 0);
    lab.wait_ping("a", "10.0.0.9");
    assert!(switch.end("TERM"));
}

/// A hostile or broken client does no harm to others.
#[test]
fn malformed_calls_and_half_open_clients_do_no_harm() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let mut lab = Lab::new();
    lab.namespace("sw");
    let switch = lab.switch("sw", "[bridge.br0]\n");
    let connect = || UnixStream::connect(switch.socket()).expect("a connection");
    let memory = || -> u64 {
        let line = run(&format!("grep VmRSS /proc/{}/status", switch.pid()));
        line.split_whitespace()
            .nth(1)
            .and_then(|kb| kb.parse().ok())
            .expect("a number")
    };
    let before = memory();
    let half_open: Vec<UnixStream> = (0..1000)
        .map(|_| {
            let mut stream = connect();
            let _some_are_closed_at_once = stream.write_all(b"{\"method\":");
            stream
        })
        .collect();
    switch.call("io.vswitch.Switch.GetHealth", json!({}));
    drop(half_open);
    let deep = format!(
        "{{\"method\":\"a.b\",\"parameters\":{}",
        "[".repeat(1_000_000)
    );
    for text in [
        &b"\0"[..],
        b"{}\0",
        b"[1,2]\0",
        b"\xff\xfe\0",
        b"{\"method\":5}\0",
        deep.as_bytes(),
        b"{\"method\"",
    ] {
        let mut stream = connect();
        let _refused = stream
            .write_all(text)
            .and_then(|()| stream.write_all(b"\0"));
        let mut rest = Vec::new();
        stream
            .set_read_timeout(Some(std::time::Duration::from_secs(60)))
            .expect("a timeout");
        let _answered_or_closed = stream.read_to_end(&mut rest);
    }
    // 64 MiB without an end: cut off at the limit.
    let mut stream = connect();
    let chunk = vec![b'x'; 1 << 20];
    let sent = (0..64)
        .take_while(|_| stream.write_all(&chunk).is_ok())
        .count();
    assert!(sent < 64, "64 MiB without an end were taken");
    eventually("others are served and memory is given back", || {
        switch.call("io.vswitch.Switch.GetHealth", json!({}));
        memory() < before + 40_000
    });
}
