//! Bonds whose members are monitored, beside kernel bridges and hosts that lose frames while every carrier
//! stays.

use crate::bonds::{pings, reason};
use crate::lab::{Lab, Switch, eventually, run};
use serde_json::{Value, json};

/// Links for a switch `sw` whose bond of `e0` and `e1` ends at a kernel bridge in `lan`; host `a` (10.0.0.1)
/// behind the switch, host `b` (10.0.0.2, fd00::2) behind the kernel's bridge.
fn beside_a_kernel_bridge(lab: &mut Lab) {
    for ns in ["sw", "lan", "a", "b"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    lab.veth("sw", "e0", "lan", "p0");
    lab.veth("sw", "e1", "lan", "p1");
    lab.veth("lan", "pb", "b", "eth0");
    let lan = lab.ns("lan");
    run(&format!(
        "ip -n {lan} link add name kbr type bridge mcast_snooping 0 && ip -n {lan} link set kbr up"
    ));
    for port in ["p0", "p1", "pb"] {
        run(&format!("ip -n {lan} link set {port} master kbr up"));
    }
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "eth0", 2, 1500);
}

fn monitored(host: bool, knobs: &Value) -> Value {
    let mut bond = json!({
        "mode": "active-backup", "members": ["e0", "e1"], "primary": "e0",
        "arp_interval": 100, "arp_validate": "all",
    });
    let all = bond.as_object_mut().expect("a table");
    all.extend(knobs.as_object().expect("a table").clone());
    let mut config = json!({
        "bridge": { "br0": { "uplink": "bond0", "vlans": [1, 7] } },
        "bond": { "bond0": bond },
        "port": { "pa": { "kind": "nic", "bridge": "br0" } },
    });
    if host {
        config["host"] = json!({ "node": { "bridge": "br0", "addresses": ["10.0.0.9/24"] } });
    }
    config
}

fn start(lab: &Lab, config: &Value) -> Switch {
    let switch = lab.switch("sw", "[bridge.br0]\n");
    switch.call("io.vswitch.Switch.Apply", json!({ "config": config }));
    switch
}

/// Takes the far end of a member's link out of the kernel's bridge, or back: its carrier stays.
fn cut(lab: &Lab, port: &str, away: bool) {
    let master = if away { "nomaster" } else { "master kbr" };
    run(&format!("ip -n {} link set {port} {master}", lab.ns("lan")));
}

/// W-03, W-04: whatever is asked and as whom, the bond leaves a path that loses frames silently, and
/// comes back to it.
#[test]
fn a_path_that_loses_frames_with_carrier_is_left_and_used_again() {
    for (host, knobs, why) in [
        (
            false,
            json!({ "arp_ip_target": ["10.0.0.2"] }),
            "no ARP reply from 10.0.0.2",
        ),
        (
            true,
            json!({ "arp_ip_target": ["10.0.0.2"] }),
            "no ARP reply from 10.0.0.2",
        ),
        (
            false,
            json!({ "ns_ip6_target": ["fd00::2"] }),
            "no neighbour advertisement from fd00::2",
        ),
        (
            true,
            json!({ "arp_ip_target": ["10.0.0.2"], "arp_validate": "none" }),
            "nothing has come in",
        ),
    ] {
        let mut lab = Lab::new();
        beside_a_kernel_bridge(&mut lab);
        let switch = start(&lab, &monitored(host, &knobs));
        let carries = |member: &str| reason(&switch, member) == "carries frames of bond0";
        lab.wait_ping("a", "10.0.0.2");
        eventually("the primary carries, and the other is heard", || {
            carries("e0") && reason(&switch, "e1") == "on standby in bond0"
        });
        for _ in 0..2 {
            cut(&lab, "p0", true);
            eventually("the other member carries", || carries("e1"));
            let told = reason(&switch, "e0");
            let expected = format!("carries nothing of bond0: {why}");
            assert!(told.starts_with(&expected), "{knobs}: {told}");
            lab.wait_ping("a", "10.0.0.2");
            cut(&lab, "p0", false);
            eventually("the primary carries again", || carries("e0"));
            lab.wait_ping("a", "10.0.0.2");
        }
        // Nobody answers by either, and one comes back.
        cut(&lab, "p0", true);
        cut(&lab, "p1", true);
        eventually("the bond is down", || {
            reason(&switch, "bond0").starts_with("no member can be used: e0 silent: ")
        });
        cut(&lab, "p1", false);
        eventually("what is left carries", || carries("e1"));
        cut(&lab, "p0", false);
        eventually("all is well", || {
            carries("e0") && reason(&switch, "e1") == "on standby in bond0"
        });
        let (once, twice) = pings(&lab, "a", "10.0.0.2", 50);
        assert_eq!(
            (once, twice),
            (50, 0),
            "{knobs}: answers, and answers twice"
        );
        switch.assert_conserved();
    }
}

/// W-05: a target in a VLAN is asked there, tagged; beyond is another switch of ours whose ports stop to
/// forward.
#[test]
fn a_target_is_asked_in_its_vlan() {
    let mut lab = Lab::new();
    for ns in ["sw", "far", "a"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    lab.veth("sw", "e0", "far", "p0");
    lab.veth("sw", "e1", "far", "p1");
    lab.address("a", "eth0", 1, 1500);
    let far = lab.switch("far", "[bridge.br0]\n");
    let beyond = |state: &str| {
        let port =
            |state: &str| json!({ "kind": "nic", "bridge": "br0", "trunk": [7], "state": state });
        let config = json!({
            "bridge": { "br0": {} },
            "port": { "p0": port(state), "p1": port("forwarding") },
            "host": { "node": { "bridge": "br0", "vlan": 7, "addresses": ["10.7.0.2/24"] } },
        });
        far.call("io.vswitch.Switch.Apply", json!({ "config": config }));
    };
    beyond("forwarding");
    let targets = json!({ "arp_ip_target": ["10.7.0.2 vlan 7"] });
    let switch = start(&lab, &monitored(false, &targets));
    let carries = |member: &str| reason(&switch, member) == "carries frames of bond0";
    for _ in 0..2 {
        eventually("the primary carries, and the other is heard", || {
            carries("e0") && reason(&switch, "e1") == "on standby in bond0"
        });
        beyond("blocking");
        eventually("the other member carries", || carries("e1"));
        let told = reason(&switch, "e0");
        assert!(told.contains("no ARP reply from 10.7.0.2 for"), "{told}");
        beyond("forwarding");
    }
    switch.assert_conserved();
    far.assert_conserved();
}
