//! Two switches, a tagged trunk between them, hosts of both kinds on each: TCP with default offloads,
//! its checksums and its retransmissions.

use crate::checksums::Checksums;
use crate::lab::{Lab, run};

/// Hosts of VLAN 100: name, device, number in its addresses, on which switch, and of which kind.
const HOSTS: [(&str, &str, u8); 4] = [
    ("a", "eth0", 1), // switch 1, veth
    ("b", "pb", 2),   // switch 1, TAP
    ("c", "eth0", 3), // switch 2, veth
    ("d", "pd", 4),   // switch 2, TAP
];

/// Every kind of host to every kind across the trunk, IPv4 and IPv6, both ways.
fn tcp_over_the_trunk(mtu: u32) {
    let mut lab = Lab::new();
    for ns in ["sw1", "sw2", "a", "b", "c", "d", "e"] {
        lab.namespace(ns);
    }
    lab.veth("sw1", "trunk", "sw2", "trunk");
    lab.veth("sw1", "pa", "a", "eth0");
    lab.veth("sw2", "pc", "c", "eth0");
    for (ns, dev) in [
        ("sw1", "pa"),
        ("sw1", "trunk"),
        ("sw2", "pc"),
        ("sw2", "trunk"),
    ] {
        run(&format!("ip -n {} link set {dev} mtu {mtu}", lab.ns(ns)));
    }
    let common = format!(
        "[bridge.br0]\nmtu = {mtu}\n[port.trunk]\nbridge = \"br0\"\nkind = \"nic\"\ntrunk = [100, 200]\n"
    );
    let veth =
        |port: &str| format!("[port.{port}]\nbridge = \"br0\"\nkind = \"nic\"\nvlan = 100\n");
    let tap = |port: &str, host: &str, vlan: u16| {
        let ns = lab.ns(host);
        format!(
            "[port.{port}]\nbridge = \"br0\"\nkind = \"tap\"\nnetns = \"{ns}\"\nvlan = {vlan}\n"
        )
    };
    let first = lab.switch(
        "sw1",
        &format!("{common}{}{}", veth("pa"), tap("pb", "b", 100)),
    );
    let second = lab.switch(
        "sw2",
        &format!(
            "{common}{}{}{}",
            veth("pc"),
            tap("pd", "d", 100),
            tap("pe", "e", 200)
        ),
    );
    for (host, dev, number) in HOSTS {
        lab.address(host, dev, number, mtu);
    }
    lab.address("e", "pe", 5, mtu);
    let largest = mtu - 28;
    for (here, there) in [(0, 2), (0, 3), (1, 2), (1, 3)] {
        for (from, to) in [(HOSTS[here], HOSTS[there]), (HOSTS[there], HOSTS[here])] {
            let ((client, client_dev, _), (server, server_dev, number)) = (from, to);
            for address in [format!("10.0.0.{number}"), format!("fd00::{number}")] {
                lab.wait_ping(client, &address);
                let at_client = Checksums::watch(&lab, client, client_dev, mtu);
                let at_server = Checksums::watch(&lab, server, server_dev, mtu);
                let tcp = lab.tcp(client, server, &address);
                let way = format!("MTU {mtu}, {client} to {address}");
                // The stream arrived there, its acknowledgements here: both are looked at, of
                // a fast stream as much as tcpdump can follow.
                let (data, acks) = (at_server.all_right(), at_client.all_right());
                assert!(tcp.is_healthy(), "{way}: {tcp:?}");
                assert!(
                    data > 10 && acks > 10,
                    "{way}: saw {data} and {acks} segments"
                );
            }
            assert!(lab.ok_in(
                client,
                &format!("ping -c 1 -W 2 -M do -s {largest} 10.0.0.{number}")
            ));
        }
    }
    assert!(
        !lab.ok_in("a", "ping -c 2 -i 0.2 -W 1 10.0.0.5"),
        "VLAN 100 reached VLAN 200"
    );
    first.assert_conserved();
    second.assert_conserved();
}

/// S-03, S-16, V-02, V-03, V-08, I-01, I-02, I-03, I-05
#[test]
fn two_switches_joined_by_a_tagged_trunk_mtu_1500() {
    tcp_over_the_trunk(1500);
}

/// S-03, S-16, V-02, V-03, V-08, I-01, I-02, I-03, I-05, I-09
#[test]
fn two_switches_joined_by_a_tagged_trunk_mtu_9000() {
    tcp_over_the_trunk(9000);
}
