//! LACP with software nobody here wrote: Open vSwitch at the other end of two links.

use crate::lab::{Lab, Switch, eventually, run};
use crate::ovs::{self, Ovs};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// A switch `sw` with host `a`, Open vSwitch in `lan` with host `b`, and two links between them; each link
/// passes a bridge of the kernel in `mid`, where it can be made silent without a loss of carrier.
fn links(lab: &mut Lab) {
    for ns in ["sw", "mid", "lan", "a", "b"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    lab.veth("lan", "pb", "b", "eth0");
    let mid = lab.ns("mid");
    for n in [0, 1] {
        lab.veth("sw", &format!("e{n}"), "mid", &format!("s{n}"));
        lab.veth("mid", &format!("l{n}"), "lan", &format!("p{n}"));
        run(&format!(
            "ip -n {mid} link add name m{n} type bridge mcast_snooping 0 && ip -n {mid} link set m{n} up"
        ));
        for port in [format!("s{n}"), format!("l{n}")] {
            // A bridge keeps slow protocols to itself, but for a port that is told otherwise.
            run(&format!(
                "ip -n {mid} link set {port} master m{n} up && \
                 ip -n {mid} link set {port} type bridge_slave group_fwd_mask 4"
            ));
        }
    }
}

fn config(knobs: &str) -> String {
    format!(
        "[bridge.br0]\nuplink = \"bond0\"\n\
         [bond.bond0]\nmode = \"802.3ad\"\nmembers = [\"e0\", \"e1\"]\n\
         xmit_hash_policy = \"layer3+4\"\n{knobs}\n\
         [port.pa]\nbridge = \"br0\"\nkind = \"nic\"\n"
    )
}

fn as_json(knobs: &Value) -> Value {
    let mut bond =
        json!({ "mode": "802.3ad", "members": ["e0", "e1"], "xmit_hash_policy": "layer3+4" });
    let knobs = knobs.as_object().expect("knobs").clone();
    bond.as_object_mut().expect("a table").extend(knobs);
    json!({ "config": {
        "bridge": { "br0": { "uplink": "bond0" } },
        "bond": { "bond0": bond },
        "port": { "pa": { "kind": "nic", "bridge": "br0" } },
    }})
}

fn state(switch: &Switch, name: &str) -> (String, String) {
    let reply = switch.call("io.vswitch.Switch.GetState", json!({ "port": name }));
    let port = &reply["state"]["ports"][0];
    let text = |key: &str| port[key].as_str().unwrap_or("").to_owned();
    (text("state"), text("reason"))
}

fn carries(switch: &Switch, member: &str) -> bool {
    state(switch, member).1 == "carries frames, in bond0"
}

/// Waits until members of that state are good at both ends, and prints how long that took.
fn converge(switch: &Switch, ovs: &Ovs, what: &str, rounds: u32) {
    let begun = Instant::now();
    let good = || {
        ["e0", "e1"].iter().all(|member| carries(switch, member))
            && ["p0", "p1"]
                .iter()
                .all(|member| ovs.member_is_good("bond0", member))
    };
    for _ in 0..rounds {
        if good() {
            eprintln!(
                "{what}: both ends after {:.1} s",
                begun.elapsed().as_secs_f64()
            );
            return;
        }
        eventually_soon();
    }
    panic!(
        "{what}: e0 {:?}, e1 {:?}\n{}\n{}",
        state(switch, "e0"),
        state(switch, "e1"),
        ovs.ask("lacp/show bond0"),
        ovs.ask("bond/show bond0"),
    );
}

fn eventually_soon() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}

/// How many of so many requests, 10 ms apart, were not answered, and how often twice.
fn lost(lab: &Lab, count: u32) -> (u32, usize) {
    let line = format!(
        "ip netns exec {} ping -i 0.01 -c {count} -W 1 10.0.0.2 || true",
        lab.ns("a")
    );
    let text = run(&line);
    let answers = text.lines().filter(|line| line.contains("bytes from"));
    let (twice, once): (Vec<&str>, Vec<&str>) = answers.partition(|line| line.contains("DUP!"));
    let once = u32::try_from(once.len()).expect("few");
    (count - once, twice.len())
}

/// `gap.py` in two hosts; what the receiver tells.
fn gap(lab: &Lab, from: &str, to: &str, address: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("netns/gap.py");
    let [from, to] = [from, to].map(|host| lab.ns(host));
    let script = script.display();
    run(&format!(
        "ip netns exec {to} python3 {script} receive & sleep 0.2; \
         ip netns exec {from} python3 {script} send {address} 1.5; wait"
    ))
}

/// A-04, P-01..P-07, W-01: fast and slow, active and passive; a link cut, a partner that falls silent, and
/// what comes back.
#[test]
fn lacp_with_open_vswitch_comes_up_fails_over_and_heals() {
    if !ovs::is_installed() {
        return;
    }
    let mut lab = Lab::new();
    links(&mut lab);
    let ovs = Ovs::start(&lab, "lan");
    ovs.set(
        "add-bond br0 bond0 p0 p1 bond_mode=balance-tcp lacp=active \
         -- set port bond0 other_config:lacp-time=fast -- add-port br0 pb",
    );
    for port in ["p0", "p1", "pb"] {
        run(&format!("ip -n {} link set {port} up", lab.ns("lan")));
    }
    let switch = lab.switch("sw", &config("lacp_rate = \"fast\""));
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "eth0", 2, 1500);
    // Open vSwitch takes neither checksums nor segments over that are left to it, as a wire does not.
    for (ns, device) in [("sw", "e0"), ("sw", "e1"), ("b", "eth0")] {
        run(&format!(
            "ip netns exec {} ethtool -K {device} tx off",
            lab.ns(ns)
        ));
    }
    converge(&switch, &ovs, "fast, both active", 400);
    lab.wait_ping("a", "10.0.0.2");
    assert_eq!(lost(&lab, 100), (0, 0), "lost, twice");

    let mid = lab.ns("mid");
    let cut = |n: u32, load: &str| {
        std::thread::scope(|scope| {
            // Carrier is lost at both ends at once.
            let pings = scope.spawn(|| lost(&lab, 150));
            let there = scope.spawn(|| gap(&lab, "a", "b", "10.0.0.2"));
            let back = scope.spawn(|| gap(&lab, "b", "a", "10.0.0.1"));
            std::thread::sleep(std::time::Duration::from_millis(700));
            run(&format!(
                "ip -n {mid} link set s{n} down && ip -n {mid} link set l{n} down"
            ));
            eventually("the member is given up", || {
                !carries(&switch, &format!("e{n}"))
            });
            let (gone, twice) = pings.join().expect("pings");
            eprintln!("e{n} cut {load}: {gone} of 150 requests lost, 10 ms apart");
            assert_eq!(twice, 0);
            // Each end sends by the other link on its own: whose gap is it?
            for (whose, gap) in [("ours", there), ("Open vSwitch's", back)] {
                let told = gap.join().expect("datagrams");
                eprintln!("  {whose}: {}", told.trim());
                assert!(told.contains("in a row"), "nothing passed");
            }
            run(&format!(
                "ip -n {mid} link set s{n} up && ip -n {mid} link set l{n} up"
            ));
            converge(&switch, &ovs, "cut and back", 400);
        });
    };
    for n in [0, 1] {
        cut(n, "without load");
    }
    let streamed = std::thread::scope(|scope| {
        let stream = scope.spawn(|| lab.tcp_of("a", "b", "10.0.0.2", "-t 16"));
        for n in [0, 1] {
            cut(n, "under a stream that takes both cores");
        }
        stream.join().expect("a stream")
    });
    assert!(
        streamed.arrived() > 10_000_000,
        "{streamed:?}\n{}\n{}",
        switch.drops(),
        ovs.ask("dpctl/show -s"),
    );

    // Silent, with carrier: found out by the partner's time.
    run(&format!("ip -n {mid} link set l0 nomaster"));
    let begun = Instant::now();
    eventually("silence is noticed", || !carries(&switch, "e0"));
    eprintln!(
        "silent partner: noticed after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    assert!(carries(&switch, "e1"));
    lab.wait_ping("a", "10.0.0.2");
    run(&format!(
        "ip -n {mid} link set l0 master m0 up && ip -n {mid} link set l0 type bridge_slave group_fwd_mask 4"
    ));
    converge(&switch, &ovs, "silent and back", 400);

    // Passive against active, and the rates, each changed while it works.
    for (knobs, theirs, what) in [
        (
            json!({ "lacp_rate": "fast", "lacp_active": "off" }),
            "lacp=active",
            "we are passive",
        ),
        (
            json!({ "lacp_rate": "fast" }),
            "lacp=passive",
            "it is passive",
        ),
        (
            json!({ "lacp_rate": "fast", "coupled_control": "off" }),
            "lacp=active",
            "independent control",
        ),
    ] {
        ovs.set(&format!("set port bond0 {theirs}"));
        switch.call("io.vswitch.Switch.Apply", as_json(&knobs));
        converge(&switch, &ovs, what, 800);
        assert_eq!(lost(&lab, 50), (0, 0), "{what}: lost, twice");
    }
    // From nothing at the slow rate.
    ovs.set("set port bond0 other_config:lacp-time=slow");
    switch.call(
        "io.vswitch.Switch.Apply",
        as_json(&json!({ "lacp_rate": "slow" })),
    );
    let all = |state: &str| {
        for link in ["s0", "l0", "s1", "l1"] {
            run(&format!("ip -n {mid} link set {link} {state}"));
        }
    };
    all("down");
    eventually("no link is left", || {
        state(&switch, "bond0").1 == "no member can be used: e0 down, e1 down"
    });
    all("up");
    converge(&switch, &ovs, "slow, from nothing", 1000);
    assert_eq!(lost(&lab, 50), (0, 0), "lost, twice");
    switch.assert_conserved();
}
