//! Frames through the ports of memory of a real daemon: learning, VLANs, ageing by the clock of the test,
//! counters, capture; what the control socket says about them is what happened.

use crate::lab::{Daemon, ran};
use serde_json::json;
use vswitch_api::ApiError;
use vswitch_api::request::{Capture, FdbList};
use vswitch_api::types::FrameDirection;
use vswitch_base::MacAddr;
use vswitch_core::testing::{dot1q, station};
use vswitch_core::verdict::DropReason;
use vswitch_tests::{broadcast, hex, plain, tagged};

const PORTS: [&str; 3] = ["router", "vm1", "vm2"];

/// F-01, F-12: flooded until it is known where a station is, then to its port alone; flushed,
/// flooded again.
#[test]
fn stations_are_learned_and_forgotten_by_flush() {
    let daemon = Daemon::start();
    let to_b = plain(station(2), station(1));
    daemon.put("vm1", &to_b);
    assert_eq!(
        daemon.reached(&PORTS),
        ["router", "vm2"],
        "unknown: flooded"
    );
    daemon.put("vm2", &broadcast(station(2)));
    assert_eq!(daemon.reached(&PORTS), ["router", "vm1"]);
    daemon.put("vm1", &to_b);
    assert_eq!(
        daemon.take("vm2"),
        std::slice::from_ref(&to_b),
        "as it came"
    );
    assert_eq!(daemon.reached(&PORTS), [""; 0], "to its port alone");
    let known = daemon.call("Fdb.List", json!({"bridge": "br0"}));
    let rows = known["entries"].as_array().expect("entries").iter();
    let rows: Vec<_> = rows
        .map(|e| (e["port"].clone(), e["vlan"].clone()))
        .collect();
    assert_eq!(
        rows,
        [(json!("vm1"), json!(100)), (json!("vm2"), json!(100))]
    );
    let flushed = daemon.call("Fdb.Flush", json!({"port": "vm2"}));
    assert_eq!(flushed, json!({"flushed": 1}));
    daemon.put("vm1", &to_b);
    assert_eq!(
        daemon.reached(&PORTS),
        ["router", "vm2"],
        "forgotten: flooded"
    );
    daemon.assert_conserved();
}

/// V-01, V-02, V-03, S-16: VLANs do not meet; a trunk's frames have tags, an access port's none.
#[test]
fn vlans_are_apart_and_tags_are_put_on_and_taken_off() {
    let daemon = Daemon::start();
    daemon.ctl("port add vm3 --bridge br0 --kind mem --vlan 200");
    daemon.put("vm3", &broadcast(station(3)));
    assert_eq!(daemon.reached(&["vm1", "vm2"]), [""; 0], "another VLAN");
    let at_trunk = tagged(MacAddr::BROADCAST, station(3), &[dot1q(200)]);
    let left = daemon.take("router");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0][..18], at_trunk[..18], "with the tag of its VLAN");
    daemon.put("router", &tagged(station(3), station(9), &[dot1q(200)]));
    let left = daemon.take("vm3");
    assert_eq!(left.len(), 1);
    assert_eq!(
        left[0][..14],
        plain(station(3), station(9))[..14],
        "without"
    );
    assert_eq!(daemon.reached(&PORTS), [""; 0]);
    // What a port is not in does not enter, and the counters say why.
    daemon.put("vm1", &tagged(station(3), station(1), &[dot1q(200)]));
    assert_eq!(daemon.reached(&["router", "vm2", "vm3"]), [""; 0]);
    let drops = daemon.counters("vm1").drops;
    assert_eq!(drops.len(), 1, "{drops:?}");
    let reason = DropReason::VlanNotAllowed.name();
    assert_eq!((drops[0].reason.as_str(), drops[0].frames), (reason, 1));
    let told = daemon.ctl("drops vm1");
    assert!(told.contains(reason), "{told}");
    daemon.assert_conserved();
}

/// F-03, F-05, F-14: a learned address lives as long as the bridge's ageing says, a configured one for ever.
#[test]
fn addresses_age_by_the_clock_and_static_ones_do_not() {
    let daemon = Daemon::start();
    daemon.put("vm1", &broadcast(station(1)));
    daemon.ctl("fdb add 02:00:00:00:00:02 vm2 --vlan 100");
    let known = || -> Vec<String> {
        let reply = daemon.call("Fdb.List", json!({"bridge": "br0"}));
        let rows = reply["entries"].as_array().expect("entries").iter();
        rows.map(|e| format!("{} {}", e["port"], e["kind"]))
            .collect()
    };
    let (learned, fixed) = ("\"vm1\" \"dynamic\"", "\"vm2\" \"static\"");
    daemon.pass(150);
    daemon.put("vm1", &broadcast(station(1)));
    daemon.pass(299);
    assert_eq!(known(), [learned, fixed], "it was heard 299 s ago");
    let age = daemon.call("Fdb.List", json!({"port": "vm1"}));
    assert_eq!(age["entries"][0]["seenSeconds"], 299);
    drop(daemon.reached(&PORTS));
    let to = |number| plain(station(number), station(9));
    daemon.put("router", &tagged(station(1), station(9), &[dot1q(100)]));
    assert_eq!(daemon.reached(&PORTS), ["vm1"]);
    daemon.pass(11); // Swept at most 10 s late.
    assert_eq!(known(), [fixed, "\"router\" \"dynamic\""]);
    daemon.put("vm2", &to(1));
    assert_eq!(daemon.reached(&PORTS), ["router", "vm1"], "unknown again");
    daemon.pass(1000);
    daemon.put("vm1", &to(2));
    assert_eq!(daemon.reached(&PORTS), ["vm2"], "configured: still known");
    daemon.call(
        "Switch.SetBridge",
        json!({"name": "br0", "config": {"ageing": "10s"}}),
    );
    daemon.put("vm1", &broadcast(station(1)));
    daemon.pass(12);
    assert_eq!(known(), [fixed], "a shorter time is in force at once");
    daemon.assert_conserved();
}

/// N-17: every frame is in exactly one account, at both ends.
#[test]
fn counters_account_for_every_frame() {
    let daemon = Daemon::start();
    let before = daemon.counters("vm1");
    assert_eq!((before.frames_in, before.frames_out), (0, 0));
    let frames = [
        broadcast(station(1)),                         // flooded: two copies
        plain(station(1), station(1)),                 // to itself
        plain(station(8), MacAddr::BROADCAST),         // no station has this address
        vec![0; 13],                                   // shorter than a header
        tagged(station(8), station(1), &[dot1q(77)]),  // not its VLAN
        plain(vswitch_tests::reserved(0), station(1)), // spanning tree
        plain(station(8), station(1)),                 // unknown: two copies
    ];
    daemon.put_all("vm1", &frames);
    let after = daemon.counters("vm1");
    assert_eq!(after.frames_in, frames.len() as u64);
    assert_eq!(
        after.bytes_in,
        frames.iter().map(|f| f.len() as u64).sum::<u64>()
    );
    assert_eq!((after.frames_forwarded, after.frames_punted), (2, 0));
    let mut drops: Vec<_> = after.drops.iter().map(|d| d.reason.as_str()).collect();
    drops.sort_unstable();
    let mut wanted = [
        DropReason::SamePort,
        DropReason::SourceInvalid,
        DropReason::Runt,
        DropReason::VlanNotAllowed,
        DropReason::BpduContained,
    ]
    .map(DropReason::name);
    wanted.sort_unstable();
    assert_eq!(drops, wanted);
    for port in ["router", "vm2"] {
        assert_eq!(daemon.counters(port).frames_out, 2, "{port}");
        assert_eq!(daemon.take(port).len(), 2, "{port}");
    }
    daemon.assert_conserved();
}

/// O-01, O-02: a port whose reader is too slow loses frames and says so; others do not.
#[test]
fn a_full_wire_drops_and_counts() {
    let daemon = Daemon::start();
    let frame = broadcast(station(1));
    daemon.put_all("vm1", &vec![frame.clone(); 1024]);
    assert_eq!(daemon.take("router").len(), 1024);
    daemon.put_all("vm1", &vec![frame; 10]);
    let full = daemon.counters("vm2");
    assert_eq!(full.frames_out, 1024);
    let drops: Vec<_> = full
        .drops
        .iter()
        .map(|d| (d.reason.as_str(), d.direction, d.frames))
        .collect();
    assert_eq!(
        drops,
        [(DropReason::TxFull.name(), FrameDirection::Out, 10)]
    );
    assert_eq!(daemon.take("router").len(), 10, "the others go on");
    assert_eq!(daemon.take("vm2").len(), 1024);
    daemon.assert_conserved();
}

/// O-03: what a trace says is what happens, and a trace leaves no trace.
#[test]
fn a_trace_says_what_then_happens() {
    let daemon = Daemon::start();
    daemon.put("vm2", &broadcast(station(2)));
    drop(daemon.reached(&PORTS));
    for (port, frame) in [
        ("vm1", plain(station(2), station(1))),
        ("vm1", broadcast(station(1))),
        ("router", tagged(station(2), station(9), &[dot1q(100)])),
        ("router", plain(station(2), station(9))),
        ("vm2", tagged(station(1), station(2), &[dot1q(5)])),
    ] {
        let parameters = json!({"port": port, "frameHex": hex::encode(&frame)});
        let told = daemon.call("Debug.Trace", parameters.clone());
        assert_eq!(daemon.reached(&PORTS), [""; 0], "nothing is sent");
        assert_eq!(daemon.call("Debug.Trace", parameters), told, "nor learned");
        let copies = told["copies"].as_array().expect("copies").iter();
        let mut ports: Vec<_> = copies.map(|c| c["port"].as_str().unwrap_or("")).collect();
        ports.sort_unstable();
        daemon.put(port, &frame);
        assert_eq!(daemon.reached(&PORTS), ports, "{told}");
        daemon.call("Fdb.Flush", json!({"mac": "02:00:00:00:00:01"}));
    }
    daemon.assert_conserved();
}

/// Frames as they pass, with the verdict; the stream ends at its limit.
#[test]
fn a_capture_shows_frames_in_order_with_what_became_of_them() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let capture = Capture {
        port: Some("vm1".to_owned()),
        limit: Some(3),
        ..Capture::default()
    };
    let mut replies = Daemon::follow(&mut client, &capture);
    let first = replies.next().expect("a reply").expect("it runs");
    assert!(first.frames.is_empty(), "the first says that it runs");
    let frames = [
        broadcast(station(1)),
        tagged(station(2), station(1), &[dot1q(5)]),
    ];
    daemon.put_all("vm1", &frames);
    daemon.put("vm2", &broadcast(station(2)));
    let seen: Vec<_> = replies
        .flat_map(|reply| reply.expect("frames").frames)
        .map(|f| (f.frame_hex, f.direction, f.verdict, f.reason))
        .collect();
    let text = |text: &str| Some(text.to_owned());
    let wanted = [
        (
            hex::encode(&frames[0]),
            FrameDirection::In,
            text("forward"),
            None,
        ),
        (
            hex::encode(&frames[1]),
            FrameDirection::In,
            text("drop"),
            text(DropReason::VlanNotAllowed.name()),
        ),
        (
            hex::encode(&broadcast(station(2))),
            FrameDirection::Out,
            None,
            None,
        ),
    ];
    assert_eq!(seen, wanted);
    assert!(
        client.call(&FdbList::default()).is_ok(),
        "the connection is free again"
    );
}

/// The written capture of `vswctl` holds the frame.
#[test]
fn vswctl_writes_a_capture() {
    let daemon = Daemon::start();
    let file = daemon.folder.join("c.pcapng");
    let mut command = crate::lab::ctl(&crate::lab::binary("vswctl"), &daemon.socket());
    command
        .args(["capture", "vm1", "--count", "1", "--write"])
        .arg(&file);
    let running = std::thread::spawn(move || ran(&mut command));
    let frame = broadcast(station(77));
    // Put until the capture has begun and seen one.
    crate::lab::eventually("the capture ends", || {
        daemon.put("vm1", &frame);
        running.is_finished()
    });
    let ended = running.join().expect("vswctl");
    assert_eq!(ended.code, 0, "{}", ended.err);
    let written = std::fs::read(&file).expect("a capture");
    assert!(
        written
            .windows(frame.len())
            .any(|at| at == frame.as_slice())
    );
}

/// A table larger than all that is kept for a slow reader comes to it whole.
#[test]
fn a_large_table_is_listed_whole_to_a_slow_reader() {
    let config = "[bridge.a-long-name-br0]\nfdb_max = 131072\n\
                  [port.a-long-name-vm1]\nbridge = \"a-long-name-br0\"\nkind = \"mem\"\n";
    let daemon = Daemon::with(config);
    let batches = 80_u32;
    for batch in 0..batches {
        let frame = |i| plain(station(0xffff_ffff), station(batch << 10 | i));
        let frames: Vec<Vec<u8>> = (0..1024).map(frame).collect();
        daemon.put_all("a-long-name-vm1", &frames);
    }
    let mut client = daemon.client();
    let mut pages = Daemon::follow(&mut client, &FdbList::default());
    let first = pages.next().expect("a page").expect("addresses");
    // Meanwhile the list waits for its reader, and others are served.
    for _ in 0..100 {
        daemon.call("Switch.GetHealth", json!({}));
    }
    let mut macs: Vec<String> = first.entries.into_iter().map(|e| e.mac).collect();
    for page in pages {
        let page = page.expect("addresses to the end");
        assert!(page.entries.len() <= 1000 && !page.truncated);
        macs.extend(page.entries.into_iter().map(|e| e.mac));
    }
    macs.sort_unstable();
    macs.dedup();
    let learned = daemon.call("Switch.GetHealth", json!({}))["fdbEntries"].clone();
    assert_eq!(json!(macs.len()), learned, "all of them");
    // A few share a place in the table with too many others.
    assert!(macs.len() > 80_000, "{learned}");
    let told = daemon.ctl("fdb show --json");
    assert_eq!(
        told.matches("\"mac\"").count(),
        macs.len(),
        "vswctl as well"
    );
    let once = daemon.call("Fdb.List", json!({}));
    assert_eq!(once["truncated"], true, "one reply says that it is not all");
    daemon.assert_conserved();
}

/// A port taken away takes its addresses along and counts no more; one shut passes nothing.
#[test]
fn ports_that_go_take_their_addresses_with_them() {
    let daemon = Daemon::start();
    daemon.put("vm2", &broadcast(station(2)));
    daemon.put("vm1", &broadcast(station(1)));
    drop(daemon.reached(&PORTS));
    daemon.ctl("port down vm2");
    let to_b = plain(station(2), station(1));
    daemon.put("vm1", &to_b);
    assert_eq!(
        daemon.reached(&PORTS),
        ["router"],
        "unknown, and not to a port that is down"
    );
    daemon.put("vm2", &broadcast(station(2)));
    assert_eq!(daemon.reached(&PORTS), [""; 0], "nothing enters by it");
    daemon.assert_conserved();
    daemon.ctl("port up vm2");
    daemon.put("vm2", &broadcast(station(2)));
    drop(daemon.reached(&PORTS));
    daemon.put("vm1", &to_b);
    assert_eq!(daemon.reached(&PORTS), ["vm2"]);
    daemon.ctl("port del vm2");
    let refused = daemon.refused("Debug.PutFrames", json!({"port": "vm2", "frames": []}));
    assert!(
        matches!(&refused, ApiError::NotFound { name, .. } if name == "vm2"),
        "{refused:?}"
    );
    daemon.put("vm1", &to_b);
    assert_eq!(
        daemon.reached(&["router", "vm1"]),
        ["router"],
        "unknown again"
    );
    daemon.assert_conserved();
}

/// The methods for tests need the flag, and refuse what is no frame and no port of memory.
#[test]
fn the_methods_for_tests_are_not_in_a_daemon_for_work() {
    let daemon = Daemon::with_args("[bridge.br0]\n", &[]);
    for (method, parameters) in [
        ("Debug.PutFrames", json!({"port": "vm1", "frames": []})),
        ("Debug.TakeFrames", json!({"port": "vm1"})),
        ("Debug.WarpClock", json!({"milliseconds": 1})),
    ] {
        let refused = daemon.refused(method, parameters);
        assert_eq!(
            refused,
            ApiError::MethodNotImplemented {
                method: format!("io.vswitch.{method}")
            }
        );
    }
    let refused = daemon.refused(
        "Switch.AddPort",
        json!({"name": "vm1", "config": {"kind": "mem", "bridge": "br0"}}),
    );
    assert!(
        matches!(refused, ApiError::InvalidConfig { .. }),
        "{refused:?}"
    );
    let daemon = Daemon::start();
    let refused = daemon.refused("Debug.PutFrames", json!({"port": "vm11", "frames": ["00"]}));
    assert!(
        refused.hint().is_some_and(|hint| hint.contains("vm1")),
        "{refused:?}"
    );
    for frames in [
        json!(["0g"]),
        json!(["0"]),
        json!(vec![""; 1025]),
        json!(["00".repeat(65_536)]),
    ] {
        let refused = daemon.refused("Debug.PutFrames", json!({"port": "vm1", "frames": frames}));
        assert!(
            matches!(&refused, ApiError::InvalidParameter { parameter, .. } if parameter == "frames"),
            "{refused:?}"
        );
    }
    assert_eq!(daemon.counters("vm1").frames_in, 0);
}
