//! Hostile and broken clients: what they send costs them their connection, and nobody else anything.

use crate::lab::Daemon;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

const HEALTH: &str = "{\"method\":\"io.vswitch.Switch.GetHealth\"}\0";

/// All that comes until the daemon hangs up, as messages.
fn until_end(stream: &mut UnixStream) -> Vec<Value> {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Ok(_) => {}
        // It hung up while we were sending: as good an end.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the daemon does not hang up: {error}"),
    }
    let messages = bytes.split(|byte| *byte == 0).filter(|m| !m.is_empty());
    messages
        .map(|m| serde_json::from_slice(m).expect("JSON"))
        .collect()
}

/// Sends what the daemon takes; it may hang up before the end.
fn send(stream: &mut UnixStream, bytes: &[u8]) {
    if let Err(error) = stream.write_all(bytes) {
        let gone = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(
            gone.contains(&error.kind()),
            "the daemon does not read: {error}"
        );
    }
}

/// The next `count` replies.
fn replies(stream: &mut UnixStream, count: usize) -> Vec<Value> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1 << 16];
    while bytes.iter().filter(|byte| **byte == 0).count() < count {
        // A stop and continue of this process interrupts a read that has a time limit.
        let read = match stream.read(&mut chunk) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read.expect("replies in time"),
        };
        assert!(read > 0, "the daemon hung up");
        bytes.extend_from_slice(&chunk[..read]);
    }
    assert_eq!(bytes.last(), Some(&0), "no more than was asked for");
    let messages = bytes.split(|byte| *byte == 0).filter(|m| !m.is_empty());
    messages
        .map(|m| serde_json::from_slice(m).expect("JSON"))
        .collect()
}

fn served(daemon: &Daemon) {
    let mut stream = daemon.stream();
    stream.write_all(HEALTH.as_bytes()).expect("sent");
    let reply = replies(&mut stream, 1).remove(0);
    assert_eq!(reply["parameters"]["health"], "ok", "{reply}");
}

fn resident(daemon: &Daemon) -> u64 {
    daemon.call("Daemon.GetInfo", json!({}))["memoryBytes"]
        .as_u64()
        .expect("bytes")
}

#[test]
fn an_endless_message_ends_the_connection_and_costs_no_memory() {
    let daemon = Daemon::start();
    let before = resident(&daemon);
    for prefix in [
        "",
        "{\"method\":\"",
        "{\"method\":\"io.vswitch.Switch.GetState\",\"parameters\":{\"port\":\"",
    ] {
        let mut stream = daemon.stream();
        send(&mut stream, prefix.as_bytes());
        let block = vec![b'a'; 1 << 20];
        for _ in 0..64 {
            send(&mut stream, &block);
        }
        send(&mut stream, b"\"}\0");
        assert_eq!(
            until_end(&mut stream),
            [] as [Value; 0],
            "no answer to what is no call"
        );
        served(&daemon);
    }
    let grown = resident(&daemon).saturating_sub(before);
    assert!(grown < 40 << 20, "{grown} bytes more than before");
}

/// The largest message there may be is read, one byte more is not.
#[test]
fn the_limit_of_a_message_is_exact() {
    let daemon = Daemon::start();
    let call = "{\"method\":\"io.vswitch.Switch.GetHealth\"";
    for (length, answers) in [(16 << 20, 1), ((16 << 20) + 1, 0)] {
        let mut stream = daemon.stream();
        let mut message = format!("{call}{}}}", " ".repeat(length - call.len() - 1));
        assert_eq!(message.len(), length);
        message.push('\0');
        send(&mut stream, message.as_bytes());
        let _half = stream.shutdown(Shutdown::Write);
        if answers == 1 {
            let reply = replies(&mut stream, 1).remove(0);
            assert_eq!(reply["parameters"]["health"], "ok");
        }
        assert_eq!(until_end(&mut stream).len(), 0);
    }
}

#[test]
fn what_is_no_varlink_ends_the_connection() {
    let daemon = Daemon::start();
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let nested = |depth: usize| {
        format!(
            "{{\"method\":\"io.vswitch.Switch.Plan\",\"parameters\":{{\"config\":{}}}}}",
            deep(depth)
        )
    };
    for bad in [
        String::new(),
        "\n".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "{\"method\":5}".to_owned(),
        "{\"method\":\"a.b\",\"more\":\"yes\"}".to_owned(),
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "{\"method\":\"\u{fffd}".to_owned(),
        deep(200_000),
        nested(200_000),
        nested(127),
    ] {
        let mut stream = daemon.stream();
        send(&mut stream, bad.as_bytes());
        send(&mut stream, b"\0");
        let shown: String = bad.chars().take(40).collect();
        assert_eq!(until_end(&mut stream), [] as [Value; 0], "{shown}");
        served(&daemon);
    }
    // Not so deep, it is a call with a wrong value.
    let mut stream = daemon.stream();
    stream
        .write_all(format!("{}\0", nested(100)).as_bytes())
        .expect("sent");
    let reply = replies(&mut stream, 1).remove(0);
    assert_eq!(reply["error"], "io.vswitch.Switch.InvalidConfig", "{reply}");
    let mut stream = daemon.stream();
    send(&mut stream, b"{\"method\":\"\xff\xfe\"}\0");
    assert_eq!(until_end(&mut stream).len(), 0, "not UTF-8");
}

/// Clients that break off in the middle, hang up at once, or wait for ever.
#[test]
fn half_a_call_is_no_call() {
    let daemon = Daemon::start();
    for cut in 1..HEALTH.len() {
        let mut stream = daemon.stream();
        send(&mut stream, &HEALTH.as_bytes()[..cut]);
        stream.shutdown(Shutdown::Write).expect("half closed");
        assert_eq!(until_end(&mut stream).len(), 0, "cut at {cut}");
    }
    // A call in many pieces is one.
    let mut stream = daemon.stream();
    for byte in HEALTH.as_bytes() {
        stream.write_all(&[*byte]).expect("sent");
    }
    assert_eq!(replies(&mut stream, 1).len(), 1);
    // Those that only wait, with and without half a call, make room for one that calls.
    let mut waiting = Vec::new();
    for number in 0..500 {
        let mut stream = daemon.stream();
        if number % 2 == 0 {
            send(&mut stream, b"{\"method\":");
        }
        waiting.push(stream);
        if number % 50 == 0 {
            served(&daemon);
        }
    }
    served(&daemon);
    drop(waiting);
    served(&daemon);
}

/// When all places are taken by clients that do call, the next one is told so.
#[test]
fn one_client_too_many_is_told_so() {
    let daemon = Daemon::start();
    let mut clients = Vec::new();
    for _ in 0..256 {
        let mut stream = daemon.stream();
        stream.write_all(HEALTH.as_bytes()).expect("sent");
        assert_eq!(replies(&mut stream, 1).len(), 1);
        clients.push(stream);
    }
    let mut late = daemon.stream();
    let told = until_end(&mut late);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["error"], "io.vswitch.Switch.Busy", "{}", told[0]);
    clients.pop();
    crate::lab::eventually("there is room again", || {
        let mut stream = daemon.stream();
        send(&mut stream, HEALTH.as_bytes());
        replies(&mut stream, 1).remove(0).get("error").is_none()
    });
}

/// The clock stands, so the budget of a connection is exact: 2,000 calls, and more when time passes.
#[test]
fn a_connection_that_calls_too_often_hears_so() {
    let daemon = Daemon::start();
    let mut stream = daemon.stream();
    let mut writer = stream.try_clone().expect("the same connection");
    let sender = std::thread::spawn(move || writer.write_all(HEALTH.repeat(2_500).as_bytes()));
    let all = replies(&mut stream, 2_500);
    sender.join().expect("sent").expect("sent");
    let busy = all.iter().position(|reply| reply.get("error").is_some());
    assert_eq!(busy, Some(2_000));
    assert!(
        all[2_000..]
            .iter()
            .all(|reply| reply["error"] == "io.vswitch.Switch.Busy"),
        "every further one"
    );
    served(&daemon);
    daemon.warp(500);
    stream
        .write_all(HEALTH.repeat(600).as_bytes())
        .expect("sent");
    let all = replies(&mut stream, 600);
    let busy = all.iter().position(|reply| reply.get("error").is_some());
    assert_eq!(busy, Some(500), "a thousand a second");
}

/// Calls sent at once are answered one by one, in order; those that want no answer get none.
#[test]
fn calls_are_answered_in_order_and_oneway_ones_never() {
    let daemon = Daemon::start();
    let mut stream = daemon.stream();
    let calls = [
        json!({"method": "io.vswitch.Switch.AddBridge", "parameters": {"name": "br1"}, "oneway": true}),
        json!({"method": "io.vswitch.Switch.GetState", "parameters": {"bridge": "br1"}}),
        json!({"method": "io.vswitch.Switch.Nonsense", "oneway": true}),
        json!({"method": "io.vswitch.Switch.DelBridge", "parameters": {"name": "br1"}}),
        json!({"method": "io.vswitch.Switch.GetState", "parameters": {"bridge": "br1"}}),
        json!({"method": "org.varlink.service.GetInfo", "parameters": null, "flags": "unknown ones are ignored"}),
        json!({"method": "org.varlink.service.GetInfo", "upgrade": true}),
    ];
    let all: String = calls.iter().map(|call| format!("{call}\0")).collect();
    stream.write_all(all.as_bytes()).expect("sent");
    let told: Vec<Value> = replies(&mut stream, 5);
    assert_eq!(told[0]["parameters"]["state"]["bridges"][0]["name"], "br1");
    assert_eq!(told[1]["parameters"]["generation"], 3);
    assert_eq!(told[2]["error"], "io.vswitch.Switch.NotFound");
    assert_eq!(told[3]["parameters"]["product"], "vswitchd");
    assert_eq!(told[4]["error"], "org.varlink.service.InvalidParameter");
    assert_eq!(told[4]["parameters"]["parameter"], "upgrade");
}

/// A client that sends and never reads is not read from for ever.
#[test]
fn a_client_that_never_reads_is_no_burden() {
    let daemon = Daemon::start();
    let mut stream = daemon.stream();
    stream.set_nonblocking(true).expect("a mode");
    let call = "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"io.vswitch.Switch\"}}\0".repeat(100);
    let mut sent = 0;
    let before = resident(&daemon);
    // Until the daemon stops reading, or 100,000 calls of 9 kB of answer each are in.
    for _ in 0..1_000 {
        match stream.write(call.as_bytes()) {
            Ok(count) => sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => served(&daemon),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent > 0);
    served(&daemon);
    let grown = resident(&daemon).saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more than before");
}

/// The largest and smallest numbers a call can carry are numbers, or refused.
#[test]
fn extreme_numbers_do_no_harm() {
    let daemon = Daemon::start();
    for number in [
        json!(0),
        json!(-1),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(u32::MAX),
    ] {
        for (method, parameter) in [
            ("io.vswitch.Switch.Watch", "sinceSequence"),
            ("io.vswitch.Debug.Capture", "limit"),
            ("io.vswitch.Debug.Capture", "snaplen"),
            ("io.vswitch.Debug.WarpClock", "milliseconds"),
            ("io.vswitch.Fdb.List", "vlan"),
            ("io.vswitch.Stats.Vlans", "vlan"),
        ] {
            let call = json!({"method": method, "parameters": {parameter: number}, "more": true});
            let mut stream = daemon.stream();
            stream
                .write_all(format!("{call}\0").as_bytes())
                .expect("sent");
            let mut first = [0; 1];
            stream
                .read_exact(&mut first)
                .unwrap_or_else(|error| panic!("no answer to {call}: {error}"));
        }
    }
    let told = daemon.call("Switch.GetHealth", json!({}));
    assert!(told["health"].is_string(), "{told}");
    daemon.put(
        "vm1",
        &vswitch_tests::broadcast(vswitch_core::testing::station(1)),
    );
    assert_eq!(daemon.reached(&["router", "vm2"]), ["router", "vm2"]);
}
