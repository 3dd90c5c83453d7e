//! What a daemon says of itself: how long it runs, what its forwarding threads do, whether they move.

use crate::lab::{CONFIG, Daemon, eventually};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;
use vswitch_api::request::Watch;
use vswitch_api::types::{DaemonInfo, HistogramBucket, Severity, WorkerInfo};
use vswitch_core::testing::station;
use vswitch_tests::{broadcast, plain};

/// One thread, which waits like this. The clock runs.
fn daemon(poll: &str) -> Daemon {
    let threads = format!("[daemon]\nworkers = 1\npoll = \"{poll}\"\n");
    Daemon::with_args(&(threads + CONFIG), &["--enable-mem-ports"])
}

fn worker(daemon: &Daemon) -> WorkerInfo {
    let info: DaemonInfo =
        serde_json::from_value(daemon.call("Daemon.GetInfo", json!({}))).expect("an info");
    info.workers.into_iter().next().expect("a worker")
}

/// The clock of the daemon begins a second before the daemon does.
#[test]
fn the_uptime_is_that_of_the_daemon() {
    let before = Instant::now();
    let daemon = Daemon::start();
    let uptimes = || {
        ["Daemon.GetInfo", "Switch.GetHealth"].map(|method| {
            let reply = daemon.call(method, json!({}));
            reply["uptimeSeconds"].as_u64().expect("a number")
        })
    };
    let [info, health] = uptimes();
    assert_eq!(info, health);
    assert!(info <= before.elapsed().as_secs(), "{info}");
    daemon.warp(5_000);
    assert_eq!(uptimes(), [info + 5; 2]);
}

/// How many there are, and between which sums they lie: the least and the greatest of each bucket.
fn sums(buckets: &[HistogramBucket]) -> (u64, u64, Option<u64>) {
    let (mut count, mut least, mut most, mut below) = (0, 0, Some(0), 0);
    for bucket in buckets {
        count += bucket.count;
        least += bucket.count * (below + 1);
        if bucket.count > 0 {
            most = most
                .zip(bucket.up_to)
                .map(|(sum, up_to)| sum + bucket.count * up_to);
        }
        below = bucket.up_to.unwrap_or(below);
    }
    (count, least, most)
}

/// O-08: every frame that was sent is in the histogram of batches, and every batch in that of times.
#[test]
fn histograms_count_what_was_sent() {
    const ALONE: u64 = 20;
    const TOGETHER: u64 = 500;
    let daemon = daemon("adaptive");
    let fresh = worker(&daemon);
    assert_eq!((fresh.batches, fresh.frames, fresh.busy_ns), (0, 0, 0));
    assert_eq!(fresh.longest_ns, None);
    for number in 0..ALONE {
        let number = u32::try_from(number).expect("small");
        daemon.put("vm1", &broadcast(station(number)));
    }
    let frames = vec![plain(station(1), station(2)); usize::try_from(TOGETHER).expect("small")];
    daemon.put_all("vm2", &frames);
    let mut now = worker(&daemon);
    eventually("the last breath is counted", || {
        now = worker(&daemon);
        now.frames == ALONE + TOGETHER
    });
    now = worker(&daemon);
    let received: u64 = ["vm1", "vm2"]
        .map(|port| daemon.counters(port).frames_in)
        .iter()
        .sum();
    assert_eq!(now.frames, received);
    let (batches, least, most) = sums(&now.batch_sizes);
    assert_eq!(batches, now.batches);
    assert!(
        least <= now.frames && most.is_none_or(|most| now.frames <= most),
        "{now:?}"
    );
    let first = &now.batch_sizes[0];
    assert!(
        first.up_to == Some(1) && first.count >= ALONE,
        "one by one: {now:?}"
    );
    let bounds = |buckets: &[HistogramBucket]| -> Vec<u64> {
        buckets.iter().filter_map(|bucket| bucket.up_to).collect()
    };
    assert_eq!(bounds(&now.batch_sizes), bounds(&fresh.batch_sizes));
    let (times, least, most) = sums(&now.loop_times_ns);
    assert_eq!(times, now.batches);
    // A breath of less than a nanosecond would be in the first bucket too.
    assert!(least <= now.busy_ns + now.batches, "{now:?}");
    assert!(most.is_none_or(|most| now.busy_ns <= most), "{now:?}");
    let longest = now.longest_ns.expect("one was the longest");
    assert!(
        longest <= now.busy_ns && now.busy_ns <= longest * now.batches,
        "{now:?}"
    );
    assert!(
        now.longest_at.is_some() && now.idle_ns > fresh.idle_ns,
        "{now:?}"
    );
    daemon.assert_conserved();
}

/// O-08: `vswctl` shows the same, of a daemon that works.
#[test]
fn vswctl_shows_what_the_threads_do() {
    let daemon = daemon("adaptive");
    daemon.put_all("vm1", &vec![broadcast(station(1)); 100]);
    let told = daemon.ctl("daemon info");
    for column in ["BATCH-P99", "LOOP-P99", "LONGEST", "STALLS"] {
        assert!(told.contains(column), "{told}");
    }
    let told = daemon.ctl("top --once");
    for part in ["WORKER", "LOOP-P99", "router", "vm1", "vm2", "pps"] {
        assert!(told.contains(part), "{told}");
    }
    let told: Value = serde_json::from_str(&daemon.ctl("top --once --json")).expect("JSON");
    assert_eq!(told["ports"].as_array().map(Vec::len), Some(3), "{told}");
    assert_eq!(told["workers"][0]["stalls"], 0, "{told}");
    assert!(told["workers"][0]["busyPercent"].is_u64(), "{told}");
}

/// Whose queues a thread serves, also when that changes.
#[test]
fn a_worker_names_its_ports() {
    let daemon = daemon("sleep");
    let ports = || -> Vec<(String, u32)> {
        let ports = worker(&daemon).ports.into_iter();
        ports.map(|at| (at.port, at.queues)).collect()
    };
    let one = |name: &str| (name.to_owned(), 1);
    assert_eq!(ports(), [one("router"), one("vm1"), one("vm2")]);
    daemon.ctl("port del vm1");
    daemon.ctl("port add a1 --bridge br0 --kind mem");
    assert_eq!(ports(), [one("a1"), one("router"), one("vm2")]);
}

/// O-08: a thread that has nothing to do, or much, or never sleeps, does not stand still.
#[test]
fn no_worker_is_said_to_stand_still() {
    let daemons = ["adaptive", "busy", "sleep"].map(daemon);
    // The watchdog looks once a second: for some looks one third is idle, one third works.
    let begun = Instant::now();
    while begun.elapsed().as_secs() < 4 {
        for daemon in &daemons[..2] {
            daemon.put_all("vm1", &vec![broadcast(station(1)); 200]);
            drop(daemon.reached(&["router", "vm2"]));
        }
    }
    for daemon in daemons {
        let worker = worker(&daemon);
        assert_eq!((worker.stalls, worker.stalled), (Some(0), Some(false)));
        assert_eq!(daemon.call("Switch.GetHealth", json!({}))["health"], "ok");
        assert!(!daemon.log().contains("stood still"), "{}", daemon.log());
    }
}

/// O-08: a thread held by a debugger is told in the log, as an event and in the health, until it is let go.
#[test]
fn a_held_worker_is_told_until_it_goes_on() {
    let daemon = daemon("busy");
    let mut client = daemon.client();
    let watch = Watch {
        kinds: Some(vec!["workers".to_owned()]),
        ..Watch::default()
    };
    let mut events = Daemon::follow(&mut client, &watch);
    assert!(events.next().is_some_and(|first| first.is_ok()));
    let mut next = || {
        let reply = events.next().expect("a reply").expect("an event");
        let event = reply.event.expect("an event");
        let detail = event.detail.unwrap_or_default();
        (event.severity, event.message, detail)
    };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/daemon/hold_thread.py");
    let mut holder = Command::new("python3")
        .args([script, &daemon.pid().to_string(), "worker-0"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut said = String::new();
    let out = holder.stdout.take().expect("its output");
    BufReader::new(out).read_line(&mut said).expect("text");
    if said != "held\n" {
        let code = holder.wait().expect("its end").code();
        assert_eq!(code, Some(77), "only a lack of rights is no failure");
        let _told = writeln!(
            std::io::stderr(),
            "SKIPPED: a held worker: this user may trace no process"
        );
        return;
    }
    let (severity, message, detail) = next();
    assert_eq!(severity, Severity::Warning, "{message}");
    assert_eq!(detail, json!({"worker": 0, "stalled": true}));
    let held = worker(&daemon);
    assert_eq!((held.stalls, held.stalled), (Some(1), Some(true)));
    let health = daemon.call("Switch.GetHealth", json!({}));
    assert_eq!(health["health"], "degraded");
    let told = health["problems"][0]["message"]
        .as_str()
        .unwrap_or_default();
    assert!(told.starts_with("worker 0 has stood still for"), "{health}");
    let status = daemon.vswctl(&["status"]);
    assert_eq!(status.code, 7, "{}", status.out);

    drop(holder.stdin.take());
    assert!(holder.wait().expect("its end").success());
    let (severity, message, detail) = next();
    assert_eq!(severity, Severity::Info);
    assert!(message.starts_with("worker 0 goes on"), "{message}");
    assert_eq!(detail, json!({"worker": 0, "stalled": false}));
    let after = worker(&daemon);
    assert_eq!((after.stalls, after.stalled), (Some(1), Some(false)));
    let health = daemon.call("Switch.GetHealth", json!({}));
    assert_eq!(
        (&health["health"], &health["problems"]),
        (&json!("ok"), &Value::Array(vec![]))
    );
    assert_eq!(
        daemon.log().matches("stood still for").count(),
        2,
        "told once, and the end"
    );
    daemon.put("vm1", &broadcast(station(1)));
    assert_eq!(daemon.reached(&["router", "vm2"]), ["router", "vm2"]);
}
