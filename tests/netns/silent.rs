//! Stations that only listen, behind a bond that fails over beside a switch that knows nothing of it.

use crate::lab::{Lab, eventually, run};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const STATIONS: u32 = 1000;

/// Host `a` behind the switch in `sw`, host `b` behind a learning bridge of the kernel in `lan`. Each of two
/// links passes `mid`, where the switch's half can be cut without the bridge beyond noticing: it goes on
/// sending where it learned.
fn links(lab: &mut Lab) {
    for ns in ["sw", "mid", "lan", "a", "b"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    lab.veth("lan", "pb", "b", "eth0");
    let (mid, lan) = (lab.ns("mid"), lab.ns("lan"));
    run(&format!(
        "ip -n {lan} link add name kbr type bridge && ip -n {lan} link set kbr up"
    ));
    for n in [0, 1] {
        lab.veth("sw", &format!("e{n}"), "mid", &format!("s{n}"));
        lab.veth("mid", &format!("l{n}"), "lan", &format!("p{n}"));
        run(&format!(
            "ip -n {mid} link add name m{n} type bridge mcast_snooping 0 && ip -n {mid} link set m{n} up"
        ));
        for port in [format!("s{n}"), format!("l{n}")] {
            run(&format!("ip -n {mid} link set {port} master m{n} up"));
        }
    }
    for port in ["p0", "p1", "pb"] {
        run(&format!("ip -n {lan} link set {port} master kbr up"));
    }
}

fn spawn(lab: &Lab, host: &str, words: &str) -> std::process::Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("netns/silent.py");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &lab.ns(host), "python3"]);
    command.arg(script).args(words.split(' '));
    let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().expect("silent.py")
}

/// How many heard something to the end, and the longest silence in milliseconds.
fn told(listening: std::process::Child) -> (u32, u32) {
    let told = listening.wait_with_output().expect("its end").stdout;
    let told = String::from_utf8_lossy(&told).into_owned();
    let numbers: Vec<u32> = told
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect();
    match numbers[..] {
        [reached, longest] => (reached, longest),
        _ => panic!("{told}"),
    }
}

/// N-05, R-02: whoever only listens is reached again by the other member, a thousand of them, without having
/// said a word.
#[test]
fn a_thousand_silent_stations_are_reached_again_after_a_failover() {
    let mut lab = Lab::new();
    links(&mut lab);
    let switch = lab.switch(
        "sw",
        "[bridge.br0]\nuplink = \"bond0\"\n\
         [bond.bond0]\nmode = \"active-backup\"\nmembers = [\"e0\", \"e1\"]\n\
         [port.pa]\nbridge = \"br0\"\nkind = \"nic\"\n",
    );
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "eth0", 2, 1500);
    lab.wait_ping("a", "10.0.0.2");
    let listening = spawn(&lab, "a", &format!("listen eth0 {STATIONS} 6"));
    std::thread::sleep(Duration::from_millis(1_000));
    let sending = spawn(&lab, "b", &format!("send eth0 {STATIONS} 6 50"));
    std::thread::sleep(Duration::from_millis(1_500));
    let mid = lab.ns("mid");
    run(&format!("ip -n {mid} link set s0 down"));
    let (reached, longest) = told(listening);
    sending.wait_with_output().expect("its end");
    eprintln!(
        "{reached} stations reached again; the longest silence was {longest} ms, of which 50 ms are the sender's"
    );
    assert_eq!(reached, STATIONS, "after a silence of {longest} ms");
    switch.assert_conserved();
}

/// R-03, N-05: who spoke ARP and neighbour discovery once and has only listened since is announced by its IP
/// addresses after a failover, in its VLAN and from its own address, and who never did by RARP.
#[test]
fn a_silent_station_is_announced_by_the_addresses_that_it_has() {
    let mut lab = Lab::new();
    links(&mut lab);
    lab.namespace("c");
    lab.veth("sw", "pc", "c", "eth0");
    let switch = lab.switch(
        "sw",
        "[bridge.br0]\nuplink = \"bond0\"\nvlans = [1, 100]\n\
         [bond.bond0]\nmode = \"active-backup\"\nmembers = [\"e0\", \"e1\"]\n\
         [port.pa]\nbridge = \"br0\"\nkind = \"nic\"\nvlan = 100\n\
         [port.pc]\nbridge = \"br0\"\nkind = \"nic\"\nvlan = 100\n",
    );
    let (a, c) = (lab.ns("a"), lab.ns("c"));
    let address = |ns: &str| {
        let text = run(&format!(
            "ip netns exec {ns} cat /sys/class/net/eth0/address"
        ));
        text.trim().to_owned()
    };
    let (mac_a, mac_c) = (address(&a), address(&c));
    run(&format!(
        "ip -n {a} link set eth0 addrgenmode none && ip -n {a} link set eth0 up && \
         ip -n {a} addr add 10.0.0.1/24 dev eth0 && ip -n {a} addr add fd00::1/64 dev eth0 nodad && \
         ip netns exec {c} sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1 && ip -n {c} link set eth0 up"
    ));
    let knows = |mac: &str| {
        let known = switch.call("io.vswitch.Fdb.List", json!({"mac": mac}));
        known["entries"] != json!([])
    };
    eventually("both have spoken", || {
        // Nobody answers: they ask, and say who they are.
        lab.ok_in("a", "ping -c 1 -W 1 10.0.0.99");
        lab.ok_in("a", "ping -c 1 -W 1 fd00::99");
        let said = mac_c.replace(':', "");
        lab.send("c", "eth0", &format!("ffffffffffff{said}88b5{:0>92}", 0));
        knows(&mac_a) && knows(&mac_c)
    });
    let known = switch.call("io.vswitch.Fdb.List", json!({"mac": mac_a}));
    let ips = known["entries"][0]["ips"].to_string();
    assert!(
        ips.contains("10.0.0.1") && ips.contains("fd00::1"),
        "{known}"
    );
    // What they sent is out, and the switch's own announcements at its start are over.
    std::thread::sleep(Duration::from_millis(1_500));
    let mid = lab.ns("mid");
    let filter = format!("vlan 100 and (ether src {mac_a} or ether src {mac_c})");
    let told = lab.frames("mid", "s1", &["-vv", "-c", "3", &filter], || {
        run(&format!("ip -n {mid} link set s0 down"));
    });
    let from = |mac: &str, words: &[&str]| {
        // Each begins with the time; what follows is indented.
        let frames = told
            .split("\n")
            .fold(Vec::new(), |mut frames: Vec<String>, line| {
                match frames.last_mut() {
                    Some(last) if line.starts_with(char::is_whitespace) => last.push_str(line),
                    _ => frames.push(line.to_owned()),
                }
                frames
            });
        let is = |frame: &&String| {
            frame.contains(&format!("{mac} > ")) && words.iter().all(|word| frame.contains(word))
        };
        frames.iter().filter(is).count()
    };
    assert_eq!(
        from(&mac_a, &["who-has 10.0.0.1", "tell 10.0.0.1"]),
        1,
        "{told}"
    );
    let advertised = [
        "neighbor advertisement",
        "tgt is fd00::1",
        "icmp6 sum ok",
        &mac_a,
    ];
    assert_eq!(from(&mac_a, &advertised), 1, "{told}");
    assert_eq!(from(&mac_c, &["Reverse ARP"]), 1, "{told}");
    switch.assert_conserved();
}

/// N-06, R-04: the bridge beyond snoops and has a querier; what a station joined reaches it by the other member without
/// waiting for the next query.
#[test]
fn a_group_is_joined_again_on_the_member_that_took_over() {
    let mut lab = Lab::new();
    links(&mut lab);
    let lan = lab.ns("lan");
    run(&format!(
        "ip -n {lan} link set kbr type bridge mcast_snooping 1 mcast_querier 1"
    ));
    let switch = lab.switch(
        "sw",
        "[bridge.br0]\nuplink = \"bond0\"\n\
         [bond.bond0]\nmode = \"active-backup\"\nmembers = [\"e0\", \"e1\"]\n\
         [port.pa]\nbridge = \"br0\"\nkind = \"nic\"\n",
    );
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "eth0", 2, 1500);
    lab.wait_ping("a", "10.0.0.2");
    // The bridge prunes groups once its querier has been there for a response time.
    std::thread::sleep(Duration::from_secs(11));
    let listening = spawn(&lab, "a", "join 10.0.0.1 8");
    std::thread::sleep(Duration::from_millis(1_000));
    let members = run(&format!("bridge -n {lan} mdb show"));
    assert!(
        members.contains("239.1.2.3") && members.contains("port p0"),
        "{members}"
    );
    let sending = spawn(&lab, "b", "cast 10.0.0.2 8 20");
    std::thread::sleep(Duration::from_millis(2_000));
    run(&format!("ip -n {} link set s0 down", lab.ns("mid")));
    let (reached, longest) = told(listening);
    sending.wait_with_output().expect("its end");
    let members = run(&format!("bridge -n {lan} mdb show"));
    eprintln!("the longest silence was {longest} ms, of which 20 ms are the sender's");
    assert_eq!(reached, 1, "after a silence of {longest} ms: {members}");
    switch.assert_conserved();
}
