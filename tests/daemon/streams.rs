//! Streams of a real daemon: what is, then what happens, in order; readers that are slow or gone.

use crate::lab::{Daemon, ctl, ran};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use vswitch_api::ApiError;
use vswitch_api::request::{FdbWatch, Watch};
use vswitch_api::types::{FdbEvent, FdbKind, FdbOp, WatchReply};
use vswitch_core::testing::station;
use vswitch_tests::broadcast;

/// One message of a stream of bytes.
fn message(stream: &mut UnixStream, rest: &mut Vec<u8>) -> Value {
    let mut chunk = [0; 1 << 16];
    loop {
        if let Some(end) = rest.iter().position(|byte| *byte == 0) {
            let message: Vec<u8> = rest.drain(..=end).collect();
            return serde_json::from_slice(&message[..end]).expect("JSON");
        }
        // A stop and continue of this process interrupts a read that has a time limit.
        let count = match stream.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.expect("a reply in time"),
        };
        assert!(count > 0, "the daemon hung up");
        rest.extend_from_slice(&chunk[..count]);
    }
}

fn begin(daemon: &Daemon, call: &Value) -> UnixStream {
    let mut stream = daemon.stream();
    stream
        .write_all(format!("{call}\0").as_bytes())
        .expect("sent");
    stream
}

#[test]
fn a_watch_begins_with_the_state_and_goes_on_with_changes_in_order() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let mut replies = Daemon::follow(&mut client, &Watch::default());
    let first = replies.next().expect("a reply").expect("the state");
    let state = first.state.expect("first the state");
    assert_eq!(
        (state.generation, state.ports.len(), first.event),
        (1, 3, None)
    );
    for vlan in [200, 300, 400] {
        daemon.call(
            "Switch.SetPort",
            json!({"name": "vm1", "config": {"vlan": vlan}}),
        );
    }
    daemon.ctl("port down vm2");
    daemon.ctl("port add vm3 --bridge br0 --kind mem");
    let mut events = Vec::new();
    while events
        .iter()
        .filter(|(_, kind, _)| kind == "config")
        .count()
        < 5
    {
        let event = replies.next().expect("a reply").expect("an event").event;
        let event = event.expect("after the state events alone");
        events.push((event.sequence, event.kind, event.detail));
    }
    let after: Vec<_> = events
        .iter()
        .filter(|(_, kind, _)| kind == "config")
        .map(|(_, _, detail)| detail.clone().expect("the changes")["changes"][0]["after"].clone())
        .collect();
    let port = json!({"bridge": "br0", "kind": "mem"});
    assert_eq!(
        after[..4],
        [json!(200), json!(300), json!(400), json!(false)]
    );
    assert_eq!(after[4]["bridge"], port["bridge"]);
    for pair in events.windows(2) {
        assert_eq!(pair[1].0, pair[0].0 + 1, "no number is left out");
    }
    assert!(
        events.iter().any(|(_, kind, _)| kind == "port-down"),
        "{events:?}"
    );

    // Another comes back and has missed some of it.
    let since = events[1].0;
    let mut second = daemon.client();
    let watch = Watch {
        since_sequence: Some(since),
        kinds: Some(vec!["port-down".to_owned()]),
    };
    let mut missed = Daemon::follow(&mut second, &watch);
    let told = missed.next().expect("a reply").expect("an event");
    assert!(told.state.is_none(), "it knows the state");
    let told = told.event.expect("an event");
    assert_eq!(
        (told.kind.as_str(), told.object.as_str()),
        ("port-down", "port.vm2")
    );
    assert!(told.sequence > since);
}

/// F-13: what is known, then each change with its cause.
#[test]
fn a_watch_of_addresses_tells_every_change() {
    let daemon = Daemon::start();
    daemon.put("vm1", &broadcast(station(1)));
    let mut client = daemon.client();
    let mut replies = Daemon::follow(&mut client, &FdbWatch::default());
    let mut next = || -> FdbEvent {
        let told = replies.next().expect("a reply").expect("an address");
        assert_eq!(told.lost, 0);
        told
    };
    let short = |told: FdbEvent| {
        let entry = told.entry.expect("an address");
        (told.op, entry.port, told.from_port)
    };
    let vm = |port: &str| port.to_owned();
    assert_eq!(short(next()), (Some(FdbOp::Present), vm("vm1"), None));
    daemon.pass(1); // Changes are collected by the clock.
    daemon.put("vm2", &broadcast(station(2)));
    daemon.pass(1);
    assert_eq!(short(next()), (Some(FdbOp::Learned), vm("vm2"), None));
    daemon.put("vm2", &broadcast(station(1)));
    daemon.pass(1);
    assert_eq!(
        short(next()),
        (Some(FdbOp::Moved), vm("vm2"), Some(vm("vm1")))
    );
    daemon.call("Fdb.Flush", json!({"mac": station(2).to_string()}));
    daemon.pass(1);
    assert_eq!(short(next()), (Some(FdbOp::Flushed), vm("vm2"), None));
    daemon.ctl("fdb add 02:00:00:00:00:09 vm1 --vlan 100");
    let told = next();
    let kind = told.entry.as_ref().map(|e| e.kind);
    assert_eq!((told.op, kind), (Some(FdbOp::Added), Some(FdbKind::Static)));
    daemon.pass(311);
    assert_eq!(short(next()), (Some(FdbOp::Aged), vm("vm2"), None));
    daemon.ctl("fdb del 02:00:00:00:00:09 --bridge br0 --vlan 100");
    assert_eq!(next().op, Some(FdbOp::Removed));
}

/// A reader that stops reading holds nobody up, is told that it missed something, and gets the state.
#[test]
fn a_slow_watcher_holds_nobody_up_and_begins_anew() {
    let daemon = Daemon::start();
    let watch = json!({"method": "io.vswitch.Switch.Watch", "more": true});
    let mut slow = begin(&daemon, &watch);
    let mut rest = Vec::new();
    let first = message(&mut slow, &mut rest);
    assert_eq!(first["parameters"]["state"]["generation"], 1);
    // Each event carries two long lists; together far more than is kept for it.
    let odd: Vec<u16> = (1..4094).step_by(2).collect();
    let even: Vec<u16> = (2..4094).step_by(2).collect();
    let mut client = daemon.client();
    for round in 0..600 {
        let trunk = if round % 2 == 0 { &odd } else { &even };
        let set = json!({"name": "router", "config": {"native_vlan": null, "trunk": trunk}});
        client
            .call_raw("io.vswitch.Switch.SetPort", set)
            .expect("nobody waits for the reader");
    }
    let generation = daemon.config()["generation"].as_u64().expect("a number");
    assert_eq!(generation, 601);
    let (mut bytes, mut last, mut overflows) = (0, 0, 0);
    loop {
        let reply = message(&mut slow, &mut rest);
        bytes += reply.to_string().len();
        let told: WatchReply =
            serde_json::from_value(reply["parameters"].clone()).expect("a reply");
        if let Some(state) = told.state {
            assert!(overflows > 0, "a state comes after an overflow");
            assert_eq!(state.generation, generation, "what is true now");
            break;
        }
        let event = told.event.expect("an event");
        if event.kind == "overflow" {
            overflows += 1;
        } else {
            assert_eq!(event.sequence, last.max(event.sequence - 1) + 1, "in order");
            last = event.sequence;
        }
    }
    assert_eq!(overflows, 1);
    assert!(bytes < 8 << 20, "what was kept for it is bounded: {bytes}");
    // It goes on as if nothing had been.
    daemon.ctl("port down vm1");
    let reply = message(&mut slow, &mut rest);
    assert_eq!(reply["parameters"]["event"]["severity"], "info", "{reply}");
}

/// Readers that hang up end their streams, and what they held is free for others.
#[test]
fn hanging_up_ends_a_stream() {
    let daemon = Daemon::start();
    let capture =
        json!({"method": "io.vswitch.Debug.Capture", "parameters": {"port": "vm1"}, "more": true});
    let mut first = begin(&daemon, &capture);
    message(&mut first, &mut Vec::new());
    let mut second = begin(&daemon, &capture);
    let busy = message(&mut second, &mut Vec::new());
    assert_eq!(
        busy["error"], "io.vswitch.Switch.Busy",
        "one capture a port"
    );
    drop(first);
    crate::lab::eventually("the port is free for another capture", || {
        let mut third = begin(&daemon, &capture);
        message(&mut third, &mut Vec::new()).get("error").is_none()
    });
    for _ in 0..300 {
        let mut stream = begin(
            &daemon,
            &json!({"method": "io.vswitch.Switch.Watch", "more": true}),
        );
        message(&mut stream, &mut Vec::new());
    }
    assert_eq!(daemon.call("Switch.GetHealth", json!({}))["health"], "ok");
}

#[test]
fn a_stream_needs_more_and_known_objects() {
    let daemon = Daemon::start();
    for method in ["Switch.Watch", "Fdb.Watch", "Debug.Capture"] {
        assert_eq!(
            daemon.refused(method, json!({})),
            ApiError::ExpectedMore {},
            "{method}"
        );
    }
    for (method, field) in [
        ("Fdb.Watch", "port"),
        ("Fdb.Watch", "bridge"),
        ("Debug.Capture", "port"),
    ] {
        let call = json!({"method": format!("io.vswitch.{method}"), "parameters": {field: "vm9"}, "more": true});
        let reply = message(&mut begin(&daemon, &call), &mut Vec::new());
        assert_eq!(reply["error"], "io.vswitch.Switch.NotFound", "{reply}");
        assert_eq!(reply.get("continues"), None, "an error ends the call");
    }
}

/// `vswctl monitor` and `fdb watch` end by themselves after as many as they were asked for.
#[test]
fn vswctl_follows_events() {
    let daemon = Daemon::start();
    let mut command = ctl(&crate::lab::binary("vswctl"), &daemon.socket());
    command.args(["monitor", "config", "--count", "2", "-o", "jsonl"]);
    let running = std::thread::spawn(move || ran(&mut command));
    let mut vlan = 200;
    crate::lab::eventually("it has seen two changes", || {
        vlan = 201 + (vlan + 1) % 100;
        daemon.call(
            "Switch.SetPort",
            json!({"name": "vm1", "config": {"vlan": vlan}}),
        );
        running.is_finished()
    });
    let ended = running.join().expect("vswctl");
    assert_eq!(ended.code, 0, "{}", ended.err);
    let events: Vec<Value> = ended
        .out
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let configs = events
        .iter()
        .filter(|event| event["kind"] == "config")
        .count();
    assert_eq!(configs, 2, "{}", ended.out);
}
