//! The transcripts of `control/PROTOCOL.md`, played: each call is made to a daemon that was set up for it,
//! and what comes back is what the page says, but for times.
//!
//! A block of the page is played on a daemon of its own. What must have happened before it, and what
//! happens between the replies of a stream, is here; a block that nobody knows fails.

use crate::lab::{CONFIG, Daemon, binary, can_be_others, ran};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use vswitch_tests::hex;

const PAGE: &str = include_str!("../../control/PROTOCOL.md");

/// Values that differ from run to run.
const TIMES: [&str; 5] = ["snapshotTime", "since", "time", "timeNs", "uptimeSeconds"];

/// One thread, and an address that does not depend on the machine.
fn config() -> String {
    let threads = "[daemon]\nworkers = 1\n";
    threads.to_owned()
        + &CONFIG.replace(
            "[bridge.br0]\n",
            "[bridge.br0]\nmac = \"5a:ac:99:40:dc:9a\"\n",
        )
}

/// A call and the replies that the page has for it.
struct Scene {
    call: Value,
    replies: Vec<Value>,
}

fn blocks() -> Vec<Vec<Scene>> {
    let parse = |text: &str| -> Value { serde_json::from_str(text).expect("JSON") };
    let mut blocks = Vec::new();
    for block in PAGE.split("```transcript\n").skip(1) {
        let mut scenes: Vec<Scene> = Vec::new();
        for line in block.split("```").next().unwrap_or_default().lines() {
            match line.split_at(3) {
                ("C: ", text) => scenes.push(Scene {
                    call: parse(text),
                    replies: Vec::new(),
                }),
                ("S: ", text) => scenes
                    .last_mut()
                    .expect("a call first")
                    .replies
                    .push(parse(text)),
                _ => panic!("neither C nor S: {line}"),
            }
        }
        blocks.push(scenes);
    }
    blocks
}

fn method(scene: &Scene) -> &str {
    let method = scene.call["method"].as_str().expect("a method");
    method.strip_prefix("io.vswitch.").unwrap_or(method)
}

/// The frame of the page: a question of vm1's for an address.
fn arp() -> Vec<u8> {
    hex::decode("ffffffffffff52540000000108060001080006040001525400000001000000000000000000000000000000000000").expect("hex")
}

/// vm1's station says something.
fn hear(daemon: &Daemon) {
    daemon.put("vm1", &arp());
}

/// What has happened before a block begins, by its first call.
fn prepare(daemon: &Daemon, first: &str) {
    match first {
        "org.varlink.service.GetInfo" => daemon.warp(39_000),
        "Switch.GetState" => {
            hear(daemon);
            let mut wrong = arp();
            wrong.splice(12..12, [0x81, 0, 0, 5]); // A tag of a VLAN that it is not in.
            daemon.put("vm1", &wrong);
            let mut answer = arp();
            answer[..12].copy_from_slice(&[0x52, 0x54, 0, 0, 0, 1, 0x52, 0x54, 0, 0, 0, 2]);
            daemon.put("vm2", &answer);
            daemon.put("vm2", &answer);
            daemon.warp(3_000);
        }
        "Switch.AddVlan" => {
            daemon.ctl("port add vm3 --bridge br0 --kind mem");
        }
        "Switch.AddPort" => {
            daemon.ctl("port add vm3 --bridge br0 --kind mem");
        }
        "Bond.SetActive" => {
            let mut config = daemon.config()["config"].clone();
            config["bond"]["bond0"] = json!({"mode": "active-backup", "members": ["up1", "up2"]});
            config["port"]["bond0"] = json!({"kind": "bond", "bridge": "br0"});
            for member in ["up1", "up2"] {
                config["port"][member] = json!({"kind": "mem"});
            }
            daemon.call("Switch.Apply", json!({ "config": config }));
        }
        "Switch.Watch" => {
            daemon.ctl("port down vm2");
        }
        "Fdb.Watch" => {
            daemon.ctl("fdb add 52:54:00:00:00:02 vm1 --vlan 100");
        }
        "Debug.Trace" => hear(daemon),
        "Debug.Capture" | "Debug.PutFrames" => {}
        other => panic!("who sets up for {other}?"),
    }
}

/// What happens after a reply of a stream was read.
fn meanwhile(daemon: &Daemon, method: &str, read: usize) {
    match (method, read) {
        ("Fdb.Watch", 1) => {
            hear(daemon);
            daemon.pass(1);
        }
        ("Fdb.Watch", 2) => {
            daemon.call("Fdb.Flush", json!({"port": "vm1"}));
            daemon.pass(1);
        }
        ("Debug.Capture", 1) => hear(daemon),
        _ => {}
    }
}

/// Replaces what differs from run to run, of the same kind.
fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if TIMES.contains(&key.as_str()) {
                    *value = match value {
                        Value::String(text) if text.ends_with('Z') && text.contains('T') => {
                            json!("a time")
                        }
                        Value::Number(_) => json!("a number"),
                        other => panic!("{key} is {other}"),
                    };
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

fn reply(stream: &mut UnixStream) -> Value {
    let mut bytes = Vec::new();
    let mut byte = [0; 1];
    loop {
        stream.read_exact(&mut byte).expect("a reply in time");
        if byte == [0] {
            return serde_json::from_slice(&bytes).expect("JSON");
        }
        bytes.push(byte[0]);
    }
}

#[test]
fn what_the_page_shows_is_what_the_daemon_says() {
    let mut wrong = Vec::new();
    let mut played = 0;
    for block in blocks() {
        let first = method(&block[0]).to_owned();
        if first == "Switch.DelPort" {
            continue; // Another user's call: below.
        }
        let daemon = Daemon::with(&config());
        prepare(&daemon, &first);
        for scene in &block {
            let mut stream = daemon.stream();
            let call = format!("{}\0", scene.call);
            stream.write_all(call.as_bytes()).expect("sent");
            for (read, shown) in (1..).zip(&scene.replies) {
                let told = reply(&mut stream);
                let (mut shown, mut said) = (shown.clone(), told.clone());
                mask(&mut shown);
                mask(&mut said);
                if shown != said {
                    wrong.push(format!("C: {}\nS: {told}", scene.call));
                }
                meanwhile(&daemon, method(scene), read);
            }
            played += 1;
        }
    }
    assert!(
        wrong.is_empty(),
        "the daemon says, and the page does not:\n{}",
        wrong.join("\n")
    );
    assert!(played >= 20, "the page has its transcripts: {played}");
}

/// The refusal of a user without rights; played as root only, because only root can be another user.
#[test]
fn the_page_shows_what_a_stranger_is_told() {
    if !can_be_others("the transcript of another user") {
        return;
    }
    let block = blocks()
        .into_iter()
        .find(|block| method(&block[0]) == "Switch.DelPort");
    let scene = block.expect("the block of roles").remove(0);
    // A group that is there opens the socket to all; what they may do is another matter.
    let open = "[daemon]\nmonitor_group = \"users\"\n";
    let daemon = Daemon::with(&config().replace("[daemon]\n", open));
    let program = daemon.folder.join("vswctl");
    std::fs::copy(binary("vswctl"), &program).expect("a copy of vswctl");
    let parameters = scene.call["parameters"].to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=1000", "--regid=1000", "--clear-groups"]);
    command.arg(&program).arg("--socket").arg(daemon.socket());
    command.args([
        "--json",
        "api",
        "call",
        "io.vswitch.Switch.DelPort",
        &parameters,
    ]);
    let told = ran(&mut command);
    assert_eq!(told.code, 5, "{}{}", told.out, told.err);
    let error: Value = serde_json::from_str(&told.err).expect("JSON");
    let shown = &scene.replies[0];
    assert_eq!(
        (&error["error"], &error["parameters"]),
        (&shown["error"], &shown["parameters"])
    );
}
