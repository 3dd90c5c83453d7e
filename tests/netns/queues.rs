//! Ports of several receive queues on several workers: flows keep their order at full speed, also while
//! queues move from worker to worker.

use crate::flows::Script;
use crate::lab::{Lab, Switch, eventually, run};
use serde_json::json;
use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// So many that no two queues of a worker share its flows worse than three to one.
const FLOWS: usize = 64;

/// Frames of each worker so far.
fn by_worker(switch: &Switch) -> Vec<u64> {
    let info = switch.call("io.vswitch.Daemon.GetInfo", json!({}));
    let workers = info["workers"].as_array().expect("workers").iter();
    workers
        .map(|w| w["frames"].as_u64().expect("a number"))
        .collect()
}

/// How many times a queue has moved.
fn moves(switch: &Switch) -> usize {
    switch.log().matches("a receive queue moves").count()
}

/// Which worker serves each flow: whose frames became more by a burst.
fn workers_of_flows(switch: &Switch, sender: &mut Script) -> Vec<usize> {
    const BURST: u64 = 50;
    (0..FLOWS)
        .map(|flow| {
            let before = by_worker(switch);
            sender.order(&format!("burst {flow} {BURST}"));
            let found = Cell::new(None);
            eventually("a burst is received by a worker", || {
                let after = by_worker(switch).into_iter();
                let mut more = after.zip(&before).map(|(after, before)| after - before);
                found.set(more.position(|more| more >= BURST));
                found.get().is_some()
            });
            found.get().expect("just found")
        })
        .collect()
}

/// Floods the flows of one worker until a queue moves from it; false when none does, because it serves
/// only one of the port's queues.
fn flood_until_a_queue_moves(switch: &Switch, sender: &mut Script, flows: &[usize]) -> bool {
    let before = moves(switch);
    let flows: Vec<_> = flows.iter().map(usize::to_string).collect();
    sender.order(&format!("flood {}", flows.join(",")));
    let moved = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        moves(switch) > before
    });
    sender.order("pause");
    moved
}

/// A host with flows to send, behind a port of four queues.
struct From<'l> {
    host: &'l str,
    device: &'l str,
    port: &'l str,
}

/// Sends many flows at full speed, always the flows of one worker, so that its queues move, and looks how
/// they arrive.
fn assert_flows_keep_their_order(lab: &Lab, switch: &Switch, from: &From<'_>, to: &str) {
    const MOVES: usize = 4;
    let mut receiver = Script::start(lab, to, &["receive"]);
    assert_eq!(receiver.answer(), "ready");
    let mut sender = Script::start(lab, from.host, &["send", "10.0.0.255", &FLOWS.to_string()]);
    let mut flooded = BTreeSet::new();
    for round in 0..MOVES {
        let by_flow = workers_of_flows(switch, &mut sender);
        let mut by_worker = BTreeMap::<usize, Vec<usize>>::new();
        for (flow, worker) in by_flow.into_iter().enumerate() {
            by_worker.entry(worker).or_default().push(flow);
        }
        assert!(by_worker.len() > 1, "all flows with one worker");
        let mut most_first: Vec<_> = by_worker.into_values().collect();
        most_first.sort_by_key(|flows| Reverse(flows.len()));
        let moved = most_first.iter().find(|flows| {
            flooded.extend(flows.iter().copied());
            flood_until_a_queue_moves(switch, &mut sender, flows)
        });
        assert!(moved.is_some(), "no queue moved in round {round}");
    }
    let sent: u64 = sender.order("pause").parse().expect("a number");
    let came = receiver.end();
    let (frames, disorders) = came
        .values()
        .fold((0, 0), |sum, (n, d)| (sum.0 + n, sum.1 + d));
    eprintln!("{sent} frames sent, {frames} received, {disorders} out of order, {MOVES} moves");
    assert_eq!(disorders, 0, "{came:?}");
    assert!(
        flooded.iter().all(|flow| came[&flow.to_string()].0 > 0),
        "{came:?}"
    );
    // What the device took the switch has seen, also what it had no room for while a queue moved.
    let (ns, device) = (lab.ns(from.host), from.device);
    let given = || -> u64 {
        let path = format!("/sys/class/net/{device}/statistics/tx_packets");
        let text = run(&format!("ip netns exec {ns} cat {path}"));
        text.trim().parse().expect("a number")
    };
    eventually("every frame is counted", || {
        let port = json!({ "port": from.port });
        let stats = switch.call("io.vswitch.Stats.Ports", port);
        stats["ports"][0]["framesIn"] == given()
    });
    switch.assert_conserved();
}

/// A switch of two hosts with a port of four queues each, `a` by a NIC and `b` by a TAP, and of twelve TAPs
/// that nobody reads, so that a broadcast is work enough to keep a worker busy.
fn switch(lab: &mut Lab, workers: usize) -> Switch {
    for ns in ["sw", "a", "b"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    let b = lab.ns("b");
    let others: String = (0..12)
        .map(|n| format!("[port.s{n}]\nbridge = \"br0\"\nkind = \"tap\"\n"))
        .collect();
    let switch = lab.switch(
        "sw",
        &format!(
            "[daemon]\nworkers = {workers}\nrebalance_interval = \"200ms\"\n[bridge.br0]\n\
             [port.pa]\nbridge = \"br0\"\nkind = \"nic\"\nqueues = 4\n\
             [port.pb]\nbridge = \"br0\"\nkind = \"tap\"\nnetns = \"{b}\"\nqueues = 4\n{others}"
        ),
    );
    lab.address("a", "eth0", 1, 1500);
    lab.address("b", "pb", 2, 1500);
    // Otherwise the kernel queues what comes from us by CPU, and a sender on another CPU overtakes there.
    run(&format!(
        "ip netns exec {} ethtool -K eth0 gro on",
        lab.ns("a")
    ));
    lab.wait_ping("a", "10.0.0.2");
    switch
}

/// B-02, I-04: a NIC's four queues on two workers.
#[test]
fn flows_of_a_nic_keep_their_order_while_queues_move() {
    let mut lab = Lab::new();
    let switch = switch(&mut lab, 2);
    let from = From {
        host: "a",
        device: "eth0",
        port: "pa",
    };
    assert_flows_keep_their_order(&lab, &switch, &from, "b");
}

/// B-02, I-05: a TAP's four queues on three workers.
#[test]
fn flows_of_a_tap_keep_their_order_while_queues_move() {
    let mut lab = Lab::new();
    let switch = switch(&mut lab, 3);
    let from = From {
        host: "b",
        device: "pb",
        port: "pb",
    };
    assert_flows_keep_their_order(&lab, &switch, &from, "a");
}

/// B-02: however workers wait, and however many they are, frames pass between ports of every kind.
#[test]
fn every_way_to_wait_forwards_with_one_worker_and_with_more_than_cpus() {
    let cpus: usize = run("nproc").trim().parse().expect("a number");
    for poll in ["adaptive", "sleep", "busy"] {
        for workers in [1, cpus + 2] {
            let mut lab = Lab::new();
            for ns in ["sw", "a", "b"] {
                lab.namespace(ns);
            }
            lab.veth("sw", "pa", "a", "eth0");
            let b = lab.ns("b");
            let mut switch = lab.switch(
                "sw",
                &format!(
                    "[daemon]\nworkers = {workers}\npoll = \"{poll}\"\n[bridge.br0]\n\
                     [port.pa]\nbridge = \"br0\"\nkind = \"nic\"\nqueues = 2\n\
                     [port.pb]\nbridge = \"br0\"\nkind = \"tap\"\nnetns = \"{b}\"\n\
                     [host.node]\nbridge = \"br0\"\naddresses = [\"10.0.0.9/24\"]\n"
                ),
            );
            lab.address("a", "eth0", 1, 1500);
            lab.address("b", "pb", 2, 1500);
            for (from, to) in [("a", "10.0.0.2"), ("b", "10.0.0.9"), ("a", "10.0.0.9")] {
                lab.wait_ping(from, to);
                // The first frame wakes a worker that sleeps; those that follow meet it awake or asleep.
                let line = format!("ping -q -c 20 -i 0.02 -W 5 {to}");
                assert!(lab.ok_in(from, &line), "{poll}, {workers}: {from} to {to}");
            }
            let tcp = lab.tcp("a", "b", "10.0.0.2");
            assert!(tcp.is_healthy(), "{poll}, {workers}: {tcp:?}");
            let info = switch.call("io.vswitch.Daemon.GetInfo", json!({}));
            let told = info["workers"].as_array().expect("workers");
            assert_eq!(told.len(), workers, "{info}");
            let queues: u64 = told.iter().filter_map(|w| w["queues"].as_u64()).sum();
            assert_eq!(queues, 4, "{info}");
            // Bound to CPUs where there is one for each and one for the rest.
            let bound = told.iter().filter(|w| !w["cpu"].is_null()).count();
            assert_eq!(bound, if workers < cpus { workers } else { 0 }, "{info}");
            assert!(switch.end("TERM"), "{}", switch.log());
        }
    }
}
