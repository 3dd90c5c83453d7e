//! Bonds on real devices: a kernel bridge beyond that knows nothing of them, and a second switch with a
//! bond of its own, while links fail, return and options change.

use crate::lab::{Lab, Switch, eventually, run};
use serde_json::{Value, json};

/// A switch `sw` whose bond of `e0` and `e1` ends at a kernel bridge in `lan`; host `a` (10.0.0.1) behind
/// the switch, host `b` (10.0.0.2) behind the kernel's bridge.
fn beside_a_kernel_bridge(lab: &mut Lab) -> Switch {
    for ns in ["sw", "lan", "a", "b"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    lab.veth("sw", "e0", "lan", "p0");
    lab.veth("sw", "e1", "lan", "p1");
    lab.veth("lan", "pb", "b", "eth0");
    let lan = lab.ns("lan");
    run(&format!(
        "ip -n {lan} link add name kbr type bridge && ip -n {lan} link set kbr up"
    ));
    for port in ["p0", "p1", "pb"] {
        run(&format!("ip -n {lan} link set {port} master kbr up"));
    }
    let switch = lab.switch("sw", &bonded("active-backup"));
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "eth0", 2, 1500);
    switch
}

/// The configuration of one switch.
fn bonded(mode: &str) -> String {
    format!(
        "[bridge.br0]\nuplink = \"bond0\"\n\
         [bond.bond0]\nmode = \"{mode}\"\nmembers = [\"e0\", \"e1\"]\n\
         [port.pa]\nbridge = \"br0\"\nkind = \"nic\"\n"
    )
}

fn as_json(mode: &str) -> Value {
    json!({ "config": {
        "bridge": { "br0": { "uplink": "bond0" } },
        "bond": { "bond0": { "mode": mode, "members": ["e0", "e1"], "xmit_hash_policy": "layer3+4" } },
        "port": { "pa": { "kind": "nic", "bridge": "br0" } },
    }})
}

fn port(switch: &Switch, name: &str) -> Value {
    let reply = switch.call("io.vswitch.Switch.GetState", json!({ "port": name }));
    reply["state"]["ports"][0].clone()
}

pub(crate) fn reason(switch: &Switch, name: &str) -> String {
    port(switch, name)["reason"]
        .as_str()
        .unwrap_or("")
        .to_owned()
}

fn dropped(switch: &Switch, port: &str, reason: &str) -> u64 {
    let rows = switch.drops();
    let rows = rows["drops"].as_array().expect("rows");
    let of = rows
        .iter()
        .filter(|row| row["port"] == port && row["reason"] == reason);
    of.map(|row| row["frames"].as_u64().expect("a number"))
        .sum()
}

/// How many of so many requests, 20 ms apart, were answered, and how often twice.
pub(crate) fn pings(lab: &Lab, host: &str, address: &str, count: u32) -> (u32, u32) {
    let line = format!(
        "ip netns exec {} ping -i 0.02 -c {count} -W 1 {address} || true",
        lab.ns(host)
    );
    let text = run(&line);
    let answers = text.lines().filter(|line| line.contains("bytes from"));
    let (twice, once): (Vec<&str>, Vec<&str>) = answers.partition(|line| line.contains("DUP!"));
    let number = |lines: Vec<&str>| u32::try_from(lines.len()).expect("few");
    (number(once), number(twice))
}

/// A-01, W-01, N-02: an active-backup bond to a bridge that floods and reflects.
#[test]
fn active_backup_fails_over_beside_a_kernel_bridge_and_lets_no_frame_back_in() {
    let mut lab = Lab::new();
    let switch = beside_a_kernel_bridge(&mut lab);
    lab.wait_ping("a", "10.0.0.2");
    assert_eq!(reason(&switch, "e0"), "carries frames of bond0");
    assert_eq!(reason(&switch, "e1"), "on standby in bond0");
    assert_eq!(port(&switch, "e0")["bond"], "bond0");
    // What a says to all is flooded by the kernel's bridge to the standby member, and ends there.
    run(&format!(
        "ip netns exec {} ping -b -c 5 -i 0.2 -W 1 10.0.0.255 || true",
        lab.ns("a")
    ));
    eventually("reflected frames are turned away", || {
        dropped(&switch, "e1", "bond-inactive") >= 5
    });
    let (once, twice) = pings(&lab, "a", "10.0.0.2", 50);
    assert_eq!((once, twice), (50, 0), "answers, and answers twice");
    let entries = switch.call("io.vswitch.Fdb.List", json!({ "port": "pa" }));
    let entries = entries["entries"].as_array().expect("entries").len();
    assert_eq!(entries, 1, "a is behind pa, whatever was reflected");

    // Its link is cut at the far end, while a stream runs.
    let lan = lab.ns("lan");
    let tcp = std::thread::scope(|scope| {
        let stream = scope.spawn(|| lab.tcp_of("a", "b", "10.0.0.2", "-t 8"));
        for (cut, by) in [("p0", "e1"), ("p1", "e0"), ("p0", "e1")] {
            std::thread::sleep(std::time::Duration::from_millis(300));
            run(&format!("ip -n {lan} link set {cut} down"));
            eventually("the other member carries", || {
                reason(&switch, by) == "carries frames of bond0"
            });
            run(&format!("ip -n {lan} link set {cut} up"));
        }
        stream.join().expect("a stream")
    });
    assert!(tcp.arrived() > 10_000_000, "the connection lives: {tcp:?}");
    assert_eq!(
        reason(&switch, "e1"),
        "carries frames of bond0",
        "nobody moved back"
    );

    // Both links gone: the bond says so and why; one is enough to come back.
    for link in ["p0", "p1"] {
        run(&format!("ip -n {lan} link set {link} down"));
    }
    eventually("the bond is down", || {
        reason(&switch, "bond0") == "no member can be used: e0 down, e1 down"
    });
    assert_eq!(port(&switch, "bond0")["state"], "lower-down");
    run(&format!("ip -n {lan} link set p0 up"));
    lab.wait_ping("a", "10.0.0.2");
    switch.assert_conserved();
}

/// N-07, N-21: two switches, a bond between them, every mode after the other without a
/// restart; in each a link is cut and comes back.
#[test]
fn two_switches_change_their_bonds_mode_while_a_stream_runs() {
    let mut lab = Lab::new();
    for ns in ["sw", "sw2", "a", "b"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    lab.veth("sw2", "pa", "b", "eth0");
    lab.veth("sw", "e0", "sw2", "e0");
    lab.veth("sw", "e1", "sw2", "e1");
    let first = lab.switch("sw", &bonded("balance-rr"));
    let second = lab.switch("sw2", &bonded("balance-rr"));
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "eth0", 2, 1500);
    lab.wait_ping("a", "10.0.0.2");
    let opened = |switch: &Switch| port(switch, "e0")["since"].clone();
    let since = [opened(&first), opened(&second)];
    let both = [&first, &second];
    for mode in ["balance-rr", "balance-xor", "active-backup"] {
        for switch in both {
            switch.call("io.vswitch.Switch.Apply", as_json(mode));
        }
        let (once, twice) = pings(&lab, "a", "10.0.0.2", 50);
        assert_eq!((once, twice), (50, 0), "{mode}: answers, and answers twice");
    }
    assert_eq!(
        [opened(&first), opened(&second)],
        since,
        "no device was opened anew"
    );
    // Broadcast: a frame by each member, and of the copies one is let in.
    for switch in both {
        switch.call("io.vswitch.Switch.Apply", as_json("broadcast"));
    }
    assert_eq!(pings(&lab, "a", "10.0.0.2", 20), (20, 0), "broadcast");
    let copies = ["e0", "e1"].map(|member| dropped(&first, member, "bond-duplicate"));
    assert!(copies.iter().sum::<u64>() >= 20, "{copies:?}");
    let ns = lab.ns("sw2");
    let streamed = std::thread::scope(|scope| {
        let stream = scope.spawn(|| lab.tcp_of("a", "b", "10.0.0.2", "-t 8"));
        for mode in ["balance-xor", "active-backup", "balance-rr", "balance-xor"] {
            for switch in both {
                switch.call("io.vswitch.Switch.Apply", as_json(mode));
            }
            for cut in ["e0", "e1"] {
                run(&format!("ip -n {ns} link set {cut} down"));
                eventually("both ends know", || {
                    both.iter().all(|switch| {
                        reason(switch, cut).contains("down")
                            || reason(switch, cut).contains("no carrier")
                    })
                });
                run(&format!("ip -n {ns} link set {cut} up"));
                eventually("both ends use it again", || {
                    both.iter().all(|switch| port(switch, cut)["state"] == "up")
                });
            }
        }
        stream.join().expect("a stream")
    });
    assert!(
        streamed.arrived() > 10_000_000,
        "the connection lives: {streamed:?}"
    );
    lab.wait_ping("a", "10.0.0.2");
    for switch in both {
        switch.assert_conserved();
    }
}

/// A-05..A-07, N-01, N-02: the modes that need nothing of the switch beyond, beside one that floods, reflects
/// and forgets: each frame arrives once, nobody is looked for on the wrong side, and links may fail.
#[test]
fn modes_that_need_no_switch_are_duplicate_free_beside_a_kernel_bridge() {
    let mut lab = Lab::new();
    let switch = beside_a_kernel_bridge(&mut lab);
    lab.wait_ping("a", "10.0.0.2");
    let lan = lab.ns("lan");
    for (mode, src) in [
        ("balance-slb", "pin"),
        ("balance-tlb", "pin"),
        ("balance-tlb", "rewrite"),
        ("balance-alb", "pin"),
        ("balance-alb", "rewrite"),
        ("active-backup", "pin"),
    ] {
        let mut config = as_json(mode);
        config["config"]["bond"]["bond0"]["tlb_src"] = json!(src);
        switch.call("io.vswitch.Switch.Apply", config);
        lab.wait_ping("a", "10.0.0.2");
        let mode = format!("{mode}, {src}");
        let counted = std::thread::scope(|scope| {
            let pings = scope.spawn(|| pings(&lab, "a", "10.0.0.2", 100));
            for _ in 0..15 {
                // From now on it floods what is for a, to both members, until it hears a again.
                run(&format!("ip -n {lan} link set kbr type bridge fdb_flush"));
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            pings.join().expect("pings")
        });
        assert_eq!(counted, (100, 0), "{mode}: answers, and answers twice");
        run(&format!(
            "ip netns exec {} ping -b -c 5 -i 0.2 -W 1 10.0.0.255 || true",
            lab.ns("a")
        ));
        let entries = switch.call("io.vswitch.Fdb.List", json!({}));
        let entries = entries["entries"].as_array().expect("entries").clone();
        let behind = |port: &str| entries.iter().filter(|e| e["port"] == port).count();
        assert_eq!(behind("pa"), 1, "{mode}: a is behind pa: {entries:?}");
        assert!(behind("bond0") >= 1, "{mode}: b is behind the bond");
        let streamed = std::thread::scope(|scope| {
            let stream = scope.spawn(|| lab.tcp_of("a", "b", "10.0.0.2", "-t 4"));
            for cut in ["0", "1"] {
                std::thread::sleep(std::time::Duration::from_millis(300));
                run(&format!("ip -n {lan} link set p{cut} down"));
                eventually("the link is given up", || {
                    reason(&switch, &format!("e{cut}")) == "no carrier"
                });
                std::thread::sleep(std::time::Duration::from_millis(300));
                run(&format!("ip -n {lan} link set p{cut} up"));
                eventually("the link is back", || {
                    port(&switch, &format!("e{cut}"))["state"] == "up"
                });
            }
            stream.join().expect("a stream")
        });
        assert!(streamed.arrived() > 10_000_000, "{mode}: {streamed:?}");
        eprintln!("{mode}: {streamed:?}");
    }
    switch.assert_conserved();
}

/// K-22, K-23: flows leave by both members, those of the other one from its address; the switch beyond finds
/// the host where the active member is and each member at its own port, whoever speaks.
#[test]
fn rewritten_flows_leave_by_both_members_and_the_switch_beyond_keeps_everybody_in_place() {
    let mut lab = Lab::new();
    let switch = beside_a_kernel_bridge(&mut lab);
    let mut config = as_json("balance-tlb");
    config["config"]["bond"]["bond0"]["tlb_src"] = json!("rewrite");
    switch.call("io.vswitch.Switch.Apply", config);
    lab.wait_ping("a", "10.0.0.2");
    let address = |ns: &str, dev: &str| {
        let ns = lab.ns(ns);
        let text = run(&format!(
            "ip netns exec {ns} cat /sys/class/net/{dev}/address"
        ));
        text.trim().to_owned()
    };
    let (a, e0, e1) = (
        address("a", "eth0"),
        address("sw", "e0"),
        address("sw", "e1"),
    );
    let lan = lab.ns("lan");
    let learned = |mac: &str| {
        let table = run(&format!("bridge -n {lan} fdb show br kbr dynamic"));
        let mut rows = table.lines().filter(|row| row.starts_with(mac));
        let row = rows.next().unwrap_or("").to_owned();
        row.split_whitespace().nth(2).map(str::to_owned)
    };
    let placed = |at: [(&str, &str); 3]| {
        eventually("everybody is in their place", || {
            at.iter()
                .all(|(mac, port)| learned(mac).as_deref() == Some(*port))
        });
    };
    placed([(&a, "p0"), (&e0, "p0"), (&e1, "p1")]);
    let out = |port: &str| {
        let rows = switch.call("io.vswitch.Stats.Ports", json!({ "port": port }));
        rows["ports"][0]["framesOut"].as_u64().expect("a number")
    };
    // Flows enough that both members get some, to a host that answers to a alone.
    let sent = ["e0", "e1"].map(out);
    for number in 0..32 {
        let ok = lab.ok_in("a", &format!("ping -c 1 -W 2 -p {number:02x} 10.0.0.2"));
        assert!(ok, "{number}");
    }
    let now = ["e0", "e1"].map(out);
    assert!(
        now[0] > sent[0] + 3 && now[1] > sent[1] + 3,
        "{sent:?} {now:?}"
    );
    placed([(&a, "p0"), (&e0, "p0"), (&e1, "p1")]);
    let told = switch.call("io.vswitch.Bond.List", json!({ "bond": "bond0" }));
    let members = &told["bonds"][0]["members"];
    assert_eq!(members[1]["reason"], format!("carries flows, as from {e1}"));
    // The active one is lost: the other one speaks from its address, and everybody is there.
    run(&format!("ip -n {lan} link set p0 down"));
    placed([(&a, "p1"), (&e0, "p1"), (&a, "p1")]);
    lab.wait_ping("a", "10.0.0.2");
    run(&format!("ip -n {lan} link set p0 up"));
    eventually(
        "the first member sends again, from the other's address",
        || learned(&e1).as_deref() == Some("p0"),
    );
    placed([(&a, "p1"), (&e0, "p1"), (&e1, "p0")]);
    switch.assert_conserved();
}
