//! The read side: state, addresses, counters, traces, streams.

use super::{STATION, is_known, learn, small, small_rig};
use crate::testing::{Rig, nic};
use serde_json::json;
use vswitch_api::ApiError;
use vswitch_api::types::{
    FdbEvent, FdbOp, FdbPage, Health, OwnerKind, Severity, TraceReply, WatchReply,
};
use vswitch_base::{Duration, MacAddr};

#[test]
fn the_state_shows_what_is_configured_and_what_is_there() {
    let mut rig = small_rig();
    rig.call("io.vswitch.Switch.AddPort", json!({"name": "vm2", "config": {"kind": "tap", "bridge": "br0", "trunk": [100], "native_vlan": 1}}))
        .expect("done");
    let state = rig.state();
    assert_eq!(state.generation, 2);
    let bridge = &state.bridges[0];
    assert_eq!(
        (bridge.uplink.as_deref(), bridge.ports.len()),
        (Some("eth0"), 4)
    );
    let uplink = rig.port("eth0");
    assert!(uplink.uplink && uplink.owner.kind == OwnerKind::Static);
    assert_eq!((uplink.vlans.pvid, uplink.vlans.tagged.len()), (Some(1), 2));
    let vm2 = rig.port("vm2");
    assert_eq!((vm2.owner.kind, vm2.vlans.pvid), (OwnerKind::Api, Some(1)));
    assert!(rig.health().unsaved > 0);
    let host = rig.port("br0");
    assert_eq!(
        (host.kind.as_str(), host.mac),
        ("host", Some(bridge.mac.clone()))
    );
    let one = rig
        .call("io.vswitch.Switch.GetState", json!({"port": "vm1"}))
        .expect("one port");
    assert_eq!(one["state"]["ports"].as_array().map(Vec::len), Some(1));
    let refused = rig
        .call("io.vswitch.Switch.GetState", json!({"port": "vm3"}))
        .expect_err("unknown");
    assert!(matches!(refused, ApiError::NotFound { hint: Some(hint), .. } if hint.contains("vm1")));
}

#[test]
fn the_uptime_counts_from_the_beginning_of_the_daemon_not_of_its_clock() {
    let mut rig = small_rig();
    assert_eq!(rig.health().uptime_seconds, 0);
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.health().uptime_seconds, 5);
}

/// O-08: told as an event, shown in the health while it lasts.
#[test]
fn a_worker_that_stands_still_is_told_until_it_goes_on() {
    let mut rig = small_rig();
    assert_eq!(rig.health().health, Health::Ok);
    rig.pass(Duration::from_secs(10));
    let last = |rig: &mut Rig| {
        let event = rig.events_of("workers").pop().expect("an event");
        (event.severity, event.message, event.detail)
    };
    rig.controller
        .handle_stall(1, Duration::from_secs(1), rig.now);
    let (severity, message, detail) = last(&mut rig);
    assert_eq!(severity, Severity::Warning);
    for part in ["worker 1 has stood still for 1 s", "worker-1", "lost"] {
        assert!(message.contains(part), "{message}");
    }
    assert_eq!(detail, Some(json!({"worker": 1, "stalled": true})));
    rig.controller
        .handle_stall(0, Duration::from_secs(1), rig.now);
    rig.pass(Duration::from_secs(4));
    let health = rig.health();
    assert_eq!(health.health, Health::Degraded);
    let told: Vec<&str> = health.problems.iter().map(|p| &*p.message).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    for (worker, told) in told.iter().enumerate() {
        let since = format!("worker {worker} has stood still for 5 s");
        assert!(told.starts_with(&since), "{told}");
    }
    for worker in [0, 1] {
        rig.controller
            .handle_recovery(worker, Duration::from_secs(6), rig.now);
    }
    let (severity, message, detail) = last(&mut rig);
    assert_eq!(severity, Severity::Info);
    assert_eq!(message, "worker 1 goes on after it stood still for 6 s");
    assert_eq!(detail, Some(json!({"worker": 1, "stalled": false})));
    assert_eq!(rig.health().health, Health::Ok);
}

#[test]
fn addresses_are_listed_without_stale_ones_and_flushed_by_choice() {
    let mut rig = small_rig();
    learn(&rig, "eth0", 100, STATION);
    learn(&rig, "eth0", 200, STATION);
    learn(&rig, "vm1", 100, MacAddr([2, 0, 0, 0, 0, 7]));
    rig.call(
        "io.vswitch.Fdb.Add",
        json!({"mac": "02:00:00:00:00:99", "port": "eth0", "vlan": 200}),
    )
    .expect("done");
    rig.pass(Duration::from_secs(5));
    let list = |rig: &mut Rig, what| -> Vec<(String, u16, String)> {
        let id = rig.send("io.vswitch.Fdb.List", what);
        let pages = rig.take(id);
        assert!(!pages.last().expect("a page").continues);
        pages
            .into_iter()
            .flat_map(|r| {
                serde_json::from_value::<FdbPage>(r.result.expect("a page"))
                    .expect("a page")
                    .entries
            })
            .map(|e| (e.mac, e.vlan, e.port))
            .collect()
    };
    assert_eq!(list(&mut rig, json!({"vlan": 100})).len(), 2);
    assert_eq!(list(&mut rig, json!({"mac": STATION.to_string()})).len(), 2);
    assert_eq!(list(&mut rig, json!({"port": "eth0"})).len(), 3);
    let flushed = rig
        .call("io.vswitch.Fdb.Flush", json!({"port": "eth0", "vlan": 200}))
        .expect("done");
    assert_eq!(flushed["flushed"], 1, "configured ones stay");
    assert!(is_known(&rig, "eth0", 100, STATION));
    rig.call("io.vswitch.Fdb.Flush", json!({})).expect("done");
    let rest = list(&mut rig, json!({}));
    assert!(
        rest.iter()
            .all(|(mac, _, port)| mac == "02:00:00:00:00:99" || port == "br0"),
        "{rest:?}"
    );
    assert!(
        rig.call("io.vswitch.Fdb.Flush", json!({"bridge": "br9"}))
            .is_err()
    );
}

#[test]
fn a_long_list_comes_in_pages_as_the_client_takes_them() {
    let mut rig = small_rig();
    for i in 0..2_500_u64 {
        learn(&rig, "eth0", 100, MacAddr::from_u64(0x0200_0000_0000 | i));
    }
    let once = rig.controller.config().clone();
    let request =
        vswitch_api::Request::decode("io.vswitch.Fdb.List", &json!({"port": "eth0"})).unwrap();
    let peer = crate::Peer::default();
    rig.controller
        .handle_request(crate::RequestId(900), request.clone(), peer, false, rig.now);
    rig.run();
    let page: FdbPage =
        serde_json::from_value(rig.take(crate::RequestId(900)).remove(0).result.unwrap()).unwrap();
    assert_eq!((page.entries.len(), page.truncated), (1000, true));
    let id = crate::RequestId(901);
    rig.controller
        .handle_request(id, request, peer, true, rig.now);
    rig.controller.handle_backlog(id, true, rig.now);
    rig.run();
    assert!(
        rig.take(id).is_empty(),
        "a client that does not read gets nothing piled up"
    );
    rig.controller.handle_backlog(id, false, rig.now);
    rig.run();
    let pages = rig.take(id);
    let sizes: Vec<usize> = pages
        .iter()
        .map(|r| {
            r.result.as_ref().unwrap()["entries"]
                .as_array()
                .unwrap()
                .len()
        })
        .collect();
    assert_eq!(sizes, [1000, 1000, 500]);
    assert_eq!(
        pages.iter().map(|r| r.continues).collect::<Vec<_>>(),
        [true, true, false]
    );
    assert_eq!(*rig.controller.config(), once);
}

/// F-13
#[test]
fn a_watcher_of_addresses_sees_what_is_there_then_every_change() {
    let mut rig = small_rig();
    learn(&rig, "eth0", 100, STATION);
    let id = rig.send("io.vswitch.Fdb.Watch", json!({"bridge": "br0"}));
    let ops = |rig: &mut Rig| -> Vec<(Option<FdbOp>, Option<String>)> {
        let replies = rig.take(id);
        assert!(replies.iter().all(|reply| reply.continues));
        let events = replies
            .into_iter()
            .map(|r| serde_json::from_value::<FdbEvent>(r.result.unwrap()).unwrap());
        events
            .map(|e| (e.op, e.entry.map(|e| format!("{} {}", e.mac, e.port))))
            .collect()
    };
    let station = |port: &str| Some(format!("{STATION} {port}"));
    rig.pass(Duration::from_secs(1));
    let told = ops(&mut rig);
    assert!(told.contains(&(Some(FdbOp::Present), station("eth0"))));
    assert!(
        told.iter().all(|(op, _)| *op == Some(FdbOp::Present)),
        "once: {told:?}"
    );
    rig.call("io.vswitch.Fdb.Flush", json!({"mac": STATION.to_string()}))
        .expect("done");
    rig.pass(Duration::from_millis(100));
    assert_eq!(ops(&mut rig), [(Some(FdbOp::Flushed), station("eth0"))]);
    rig.call(
        "io.vswitch.Fdb.Add",
        json!({"mac": STATION.to_string(), "port": "vm1", "vlan": 100}),
    )
    .expect("done");
    assert_eq!(ops(&mut rig), [(Some(FdbOp::Added), station("vm1"))]);
    rig.call(
        "io.vswitch.Fdb.Del",
        json!({"mac": STATION.to_string(), "bridge": "br0", "vlan": 100}),
    )
    .expect("done");
    assert_eq!(ops(&mut rig), [(Some(FdbOp::Removed), station("vm1"))]);
    rig.controller.handle_hangup(id);
    learn(&rig, "eth0", 100, STATION);
    rig.pass(Duration::from_secs(2));
    assert!(ops(&mut rig).is_empty());
}

#[test]
fn a_watcher_that_is_slow_hears_that_it_missed_something_and_then_the_state() {
    let mut rig = small_rig();
    let id = rig.send("io.vswitch.Switch.Watch", json!({}));
    let first: WatchReply = serde_json::from_value(rig.take(id).remove(0).result.unwrap()).unwrap();
    assert!(first.state.is_some_and(|state| state.ports.len() == 3) && first.event.is_none());
    rig.controller.handle_backlog(id, true, rig.now);
    for i in 0..1_000 {
        rig.call(
            "io.vswitch.Switch.SetPort",
            json!({"name": "vm1", "config": {"hairpin": i % 2 == 0}}),
        )
        .expect("done");
    }
    assert!(rig.take(id).is_empty());
    rig.controller.handle_backlog(id, false, rig.now);
    rig.run();
    let replies: Vec<WatchReply> = rig
        .take(id)
        .into_iter()
        .map(|r| serde_json::from_value(r.result.unwrap()).unwrap())
        .collect();
    assert!(replies.len() < 1_000, "bounded");
    let at = replies
        .iter()
        .position(|r| r.event.as_ref().is_some_and(|e| e.kind == "overflow"))
        .expect("told");
    assert_eq!(
        replies[at + 1]
            .state
            .as_ref()
            .expect("the state")
            .generation,
        1_001
    );
    rig.call(
        "io.vswitch.Switch.SetPort",
        json!({"name": "vm1", "config": {"hairpin": true}}),
    )
    .expect("done");
    assert_eq!(rig.take(id).len(), 1, "and goes on");
}

#[test]
fn a_watcher_that_returns_gets_what_it_missed() {
    let mut rig = small_rig();
    let seen = rig.events().last().expect("events").sequence;
    rig.call(
        "io.vswitch.Switch.AddVlan",
        json!({"port": "vm1", "first": 7}),
    )
    .expect("done");
    let id = rig.send(
        "io.vswitch.Switch.Watch",
        json!({"sinceSequence": seen, "kinds": ["config"]}),
    );
    let replies = rig.take(id);
    assert_eq!(replies.len(), 1);
    let event = &replies[0].result.as_ref().unwrap()["event"];
    assert_eq!(
        (&event["kind"], &event["sequence"]),
        (&json!("config"), &json!(seen + 1))
    );
    assert!(
        event["message"].as_str().unwrap().contains("user 0"),
        "who did it"
    );
}

/// O-01, O-02, V-17
#[test]
fn drops_are_explained_and_counters_balance() {
    let mut rig = small_rig();
    let drops = rig
        .call("io.vswitch.Stats.Drops", json!({"port": "vm1"}))
        .expect("drops");
    let row = &drops["drops"][0];
    assert_eq!(
        (&row["reason"], &row["frames"]),
        (&json!("vlan-not-allowed"), &json!(3))
    );
    assert!(row["means"].as_str().unwrap().contains("vswctl vlan add"));
    let refused = rig
        .call(
            "io.vswitch.Stats.Drops",
            json!({"reason": "vlan-not-alowed"}),
        )
        .expect_err("typo");
    assert!(
        refused
            .hint()
            .is_some_and(|hint| hint.contains("\"vlan-not-allowed\""))
    );
    let ports = rig
        .call("io.vswitch.Stats.Ports", json!({}))
        .expect("counters");
    assert_eq!(ports["ports"].as_array().map(Vec::len), Some(3));
    let mut config = small();
    config["bridge"]["br0"]["vlan_stats"] = json!(true);
    let mut rig = Rig::new(config, &[nic("eth0", 5)]);
    let vlans = rig
        .call("io.vswitch.Stats.Vlans", json!({"port": "eth0"}))
        .expect("counters");
    assert_eq!(vlans["vlans"].as_array().map(Vec::len), Some(3));
    let vlans = rig
        .call("io.vswitch.Stats.Vlans", json!({"vlan": 100}))
        .expect("counters");
    let rows = vlans["vlans"].as_array().expect("rows");
    assert_eq!(rows.len(), 3, "the sum, then eth0 and vm1");
    assert_eq!(
        (&rows[0]["framesIn"], rows[0].get("port")),
        (&json!(2), None)
    );
}

#[test]
fn health_names_full_tables_and_jumping_addresses() {
    let mut config = small();
    config["bridge"]["br0"]["fdb_max"] = json!(10);
    config["port"]["vm1"]["vlan"] = json!(1);
    let mut rig = Rig::new(config, &[nic("eth0", 5)]);
    assert!(rig.health().problems.is_empty());
    for i in 0..10 {
        learn(&rig, "eth0", 1, MacAddr([2, 0, 0, 0, 0, i]));
        learn(&rig, if i % 2 == 0 { "vm1" } else { "eth0" }, 1, STATION);
    }
    rig.pass(Duration::from_secs(1));
    let kinds: Vec<String> = rig.health().problems.into_iter().map(|p| p.kind).collect();
    assert_eq!(kinds, ["fdb-full", "mac-flap"]);
}

/// O-03
#[test]
fn a_trace_names_ports_steps_and_the_line_of_the_configuration() {
    let mut rig = small_rig();
    let trace = |rig: &mut Rig, port: &str, hex: &str| -> TraceReply {
        let reply = rig.call(
            "io.vswitch.Debug.Trace",
            json!({"port": port, "frameHex": hex}),
        );
        serde_json::from_value(reply.expect("a trace")).expect("a trace")
    };
    let arp = format!("ffffffffffff{}0806{}", "525400000001", "00".repeat(46));
    let reply = trace(&mut rig, "vm1", &arp);
    assert_eq!(reply.verdict, "flood");
    assert!(
        reply.steps[0].text.contains("VLAN 100") && reply.steps[0].text.contains("port.vm1.vlan"),
        "{:?}",
        reply.steps
    );
    let copies: Vec<_> = reply
        .copies
        .iter()
        .map(|c| (c.port.as_str(), c.tag))
        .collect();
    assert_eq!(copies, [("eth0", Some(100))]);
    assert!(
        reply
            .steps
            .iter()
            .any(|s| s.stage == "learn" && s.text.contains("new"))
    );
    // Tagged with a VLAN that the port is not in: which setting says so.
    let tagged = format!(
        "ffffffffffff{}8100012c0806{}",
        "525400000001",
        "00".repeat(42)
    );
    let reply = trace(&mut rig, "eth0", &tagged);
    assert_eq!(
        (reply.verdict.as_str(), reply.reason.as_deref()),
        ("drop", Some("vlan-not-allowed"))
    );
    let last = reply.steps.last().expect("a step");
    assert!(last.text.contains("bridge.br0.vlans"), "{last:?}");
    for hex in ["zz", "0", "", "ffff"] {
        let reply = rig.call(
            "io.vswitch.Debug.Trace",
            json!({"port": "vm1", "frameHex": hex}),
        );
        assert!(
            reply.is_err() || reply.is_ok_and(|r| r["reason"] == "runt"),
            "{hex}"
        );
    }
}
