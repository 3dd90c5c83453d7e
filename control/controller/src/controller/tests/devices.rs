//! Devices that are absent, vanish, return, lose carrier; ports that are shut; partners that are heard.

use super::{STATION, is_known, learn, small, small_rig};
use crate::facts::{Link, LinkEvent};
use crate::testing::{Rig, error, nic, text};
use serde_json::json;
use std::cell::Cell;
use std::rc::Rc;
use vswitch_api::types::Severity;
use vswitch_base::{Duration, MacAddr};
use vswitch_core::fdb::Learned;
use vswitch_core::punt::Punt;
use vswitch_core::snapshot::PortState;
use vswitch_core::verdict::PuntReason;
use vswitch_core::worker::WorkerEvent;
use vswitch_lacp::{Key, Lacpdu, ParticipantInfo, PortId, SystemId};

fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// I-10
#[test]
fn a_nic_that_is_absent_at_start_comes_up_when_it_appears() {
    let there = Rc::new(Cell::new(false));
    let seen = Rc::clone(&there);
    let fault = Box::new(move |effect: &crate::Effect| {
        (text(effect) == "open eth0" && !seen.get()).then(|| error(19))
    });
    let mut rig = Rig::with(small(), &[], crate::AttachedState::default(), fault);
    let eth0 = rig.port("eth0");
    assert_eq!(eth0.state, "absent");
    assert!(
        eth0.reason.as_deref().is_some_and(|r| r.contains("ENODEV")),
        "{:?}",
        eth0.reason
    );
    assert_eq!(rig.port("vm1").state, "up", "the others work");
    let health = rig.health();
    assert_eq!(
        (health.problems[0].object.as_str(), health.ports_up),
        ("port.eth0", 2)
    );
    there.set(true);
    rig.link(LinkEvent::Present(nic("eth0", 9)));
    assert_eq!(rig.port("eth0").state, "up");
    assert_eq!(rig.port("eth0").ifindex, Some(9));
    assert!(rig.health().problems.is_empty());
}

#[test]
fn a_device_that_the_way_back_could_not_set_is_set_later() {
    let mut rig = small_rig();
    let mut config = small();
    config["bridge"]["br0"]["mtu"] = json!(9000);
    // The NIC takes 9,000; the node's own interface does not; the NIC then refuses 1,500 once.
    let mut lowered = 0;
    rig.fault = Box::new(move |effect| match text(effect).as_str() {
        "set 0 mtu 1500" => {
            lowered += 1;
            (lowered == 1).then(|| error(16))
        }
        text if text.ends_with("mtu 9000") && text != "set 0 mtu 9000" => Some(error(22)),
        _ => None,
    });
    let nic = rig.index("eth0");
    assert_eq!(nic.0, 0, "the fault names it so");
    rig.call("io.vswitch.Switch.Apply", json!({ "config": config }))
        .expect_err("refused");
    assert_eq!(rig.open[&nic].settings.mtu, 9000, "the way back failed too");
    let told = rig.events_of("port-error");
    assert!(told[0].message.contains("could not set eth0"), "{told:?}");
    rig.pass(Duration::from_secs(30));
    assert_eq!(rig.open[&nic].settings.mtu, 1500);
    assert_eq!(rig.events_of("port-error").len(), 1);
}

#[test]
fn a_disabled_port_whose_queue_failed_is_opened_anew_when_it_is_enabled() {
    let mut disabled = small();
    disabled["port"]["eth0"]["enabled"] = json!(false);
    let mut rig = Rig::new(disabled, &[nic("eth0", 5)]);
    let port = rig.index("eth0");
    rig.controller
        .handle_worker_event(WorkerEvent::QueueFailed { port, errno: 5 }, rig.now);
    rig.run();
    rig.pass(secs(60));
    rig.take_log();
    let config = json!({ "config": small() });
    rig.call("io.vswitch.Switch.Apply", config)
        .expect("enabled");
    assert_eq!(rig.port("eth0").state, "up", "{:?}", rig.take_log());
    let view = rig.snapshot.port(port).expect("published");
    assert_eq!(view.state, PortState::Forwarding);
}

/// I-10
#[test]
fn a_port_that_fails_is_tried_again_at_growing_intervals() {
    let tries = Rc::new(Cell::new(0));
    let count = Rc::clone(&tries);
    let fault = Box::new(move |effect: &crate::Effect| {
        let fails = text(effect) == "open vm1";
        count.set(count.get() + u32::from(fails));
        fails.then(|| error(16))
    });
    let mut rig = Rig::with(
        small(),
        &[nic("eth0", 5)],
        crate::AttachedState::default(),
        fault,
    );
    assert_eq!((tries.get(), rig.port("vm1").state.as_str()), (1, "failed"));
    rig.pass(secs(8));
    assert_eq!(tries.get(), 4, "after 1, 3 and 7 s");
    rig.pass(secs(300));
    assert!(
        (12..=16).contains(&tries.get()),
        "{} tries: every 30 s in the end",
        tries.get()
    );
    rig.fault = Box::new(|_| None);
    rig.pass(secs(30));
    assert_eq!(rig.port("vm1").state, "up");
    assert_eq!(rig.events_of("port-up").last().unwrap().object, "port.vm1");
}

/// I-10
#[test]
fn a_device_that_vanishes_is_given_up_and_taken_again_under_its_new_number() {
    let mut rig = small_rig();
    learn(&rig, "eth0", 100, STATION);
    rig.take_log();
    rig.fault = Box::new(|effect| (text(effect) == "open eth0").then(|| error(19)));
    rig.link(LinkEvent::Gone { ifindex: 5 });
    let index = rig.index("eth0").0;
    let log = rig.take_log();
    assert!(
        log.contains(&format!("detach {index}"))
            && log.iter().any(|l| l.starts_with(&format!("close {index}"))),
        "{log:?}"
    );
    assert_eq!(rig.port("eth0").state, "absent");
    assert!(!is_known(&rig, "eth0", 100, STATION));
    rig.pass(secs(20));
    assert_eq!(rig.port("eth0").state, "absent");
    rig.fault = Box::new(|_| None);
    rig.link(LinkEvent::Present(nic("eth0", 77)));
    assert_eq!(
        (rig.port("eth0").state.as_str(), rig.port("eth0").ifindex),
        ("up", Some(77))
    );
    assert!(
        !is_known(&rig, "eth0", 100, STATION),
        "what was behind it may be elsewhere"
    );
    assert_eq!(learn(&rig, "eth0", 100, STATION), Learned::New);
}

/// The queue's error may come long before, or without, the link event.
/// I-10: the socket follows the device, so a port goes on under the device's new name and says so.
#[test]
fn a_renamed_device_goes_on_as_its_port() {
    let mut rig = Rig::new(small(), &[nic("eth0", 5)]);
    rig.take_log();
    rig.link(LinkEvent::Present(nic("ens9", 5)));
    let port = rig.port("eth0");
    assert_eq!(port.state, "up");
    let reason = port.reason.expect("a note");
    assert!(reason.contains("\"ens9\""), "{reason}");
    assert!(rig.take_log().is_empty(), "nothing is opened anew");
}

#[test]
fn a_failed_queue_is_replaced() {
    let mut rig = small_rig();
    let port = rig.index("vm1");
    rig.take_log();
    for _ in 0..2 {
        rig.controller
            .handle_worker_event(WorkerEvent::QueueFailed { port, errno: 5 }, rig.now);
    }
    rig.run();
    assert!(
        rig.port("vm1")
            .reason
            .is_some_and(|reason| reason.contains("EIO"))
    );
    rig.pass(secs(2));
    assert_eq!(rig.port("vm1").state, "up");
    let log = rig.take_log();
    assert_eq!(
        log.iter().filter(|l| l.starts_with("open vm1")).count(),
        1,
        "{log:?}"
    );
    // The cause that an operator can do something about is named.
    let port = rig.index("vm1");
    let stuck = WorkerEvent::QueueFailed { port, errno: 71 };
    rig.controller.handle_worker_event(stuck, rig.now);
    rig.run();
    let reason = rig.port("vm1").reason.expect("a reason");
    assert!(
        reason.contains("EPROTO") && reason.contains("tx-sctp-segmentation"),
        "{reason}"
    );
    rig.pass(secs(2));
    assert_eq!(rig.port("vm1").state, "up");
    let unknown = vswitch_base::PortIndex(999);
    rig.controller.handle_worker_event(
        WorkerEvent::QueueFailed {
            port: unknown,
            errno: 5,
        },
        rig.now,
    );
}

#[test]
fn a_device_that_somebody_sets_down_is_left_down_until_it_is_up() {
    let mut rig = small_rig();
    let port = rig.index("eth0");
    rig.take_log();
    // The queue fails a moment before the link event says why.
    rig.controller
        .handle_worker_event(WorkerEvent::QueueFailed { port, errno: 100 }, rig.now);
    rig.run();
    rig.link(LinkEvent::Present(Link {
        admin_up: false,
        ..nic("eth0", 5)
    }));
    rig.pass(secs(60));
    let log = rig.take_log();
    assert!(
        log.iter().all(|l| !l.starts_with("open")),
        "not set up against their will: {log:?}"
    );
    let eth0 = rig.port("eth0");
    assert_eq!(eth0.state, "lower-down");
    assert!(
        eth0.reason
            .is_some_and(|reason| reason.contains("ip link set dev eth0 up"))
    );
    rig.link(LinkEvent::Present(nic("eth0", 5)));
    assert_eq!(rig.port("eth0").state, "up");
    assert!(
        rig.take_log().contains(&"open eth0".to_owned()),
        "with new queues"
    );
}

#[test]
fn a_nic_that_is_switched_off_stays_off_and_comes_back_with_new_queues() {
    let mut rig = small_rig();
    let set = |enabled: bool| json!({"name": "eth0", "config": {"enabled": enabled}});
    rig.call("io.vswitch.Switch.SetPort", set(false))
        .expect("done");
    let port = rig.index("eth0");
    // What setting the device down leads to.
    rig.link(LinkEvent::Present(Link {
        admin_up: false,
        ..nic("eth0", 5)
    }));
    rig.controller
        .handle_worker_event(WorkerEvent::QueueFailed { port, errno: 100 }, rig.now);
    rig.run();
    rig.take_log();
    rig.pass(secs(100));
    let log = rig.take_log();
    assert!(log.iter().all(|l| l.starts_with("publish")), "{log:?}");
    assert_eq!(rig.port("eth0").state, "down");
    assert!(rig.health().problems.is_empty());
    rig.call("io.vswitch.Switch.SetPort", set(true))
        .expect("done");
    rig.link(LinkEvent::Present(nic("eth0", 5)));
    assert_eq!(rig.port("eth0").state, "up");
    assert!(rig.take_log().contains(&"open eth0".to_owned()));
}

/// design.md §6: addresses behind a port without carrier are forgotten at once, whatever else goes on.
#[test]
fn loss_of_carrier_does_not_wait_for_a_job() {
    let mut rig = small_rig();
    learn(&rig, "eth0", 100, STATION);
    rig.keep = Some("open");
    rig.send(
        "io.vswitch.Switch.AddPort",
        json!({"name": "vm2", "config": {"kind": "tap", "bridge": "br0"}}),
    );
    let before = rig.generation();
    rig.link(LinkEvent::Present(Link {
        carrier: false,
        ..nic("eth0", 5)
    }));
    assert!(rig.generation() > before);
    assert_eq!(
        rig.snapshot.port(rig.index("eth0")).unwrap().state,
        PortState::Disabled
    );
    assert!(!is_known(&rig, "eth0", 100, STATION));
    assert_eq!(rig.port("eth0").state, "lower-down");
    rig.link(LinkEvent::Present(nic("eth0", 5)));
    assert_eq!(
        rig.snapshot.port(rig.index("eth0")).unwrap().state,
        PortState::Forwarding
    );
    assert!(!is_known(&rig, "eth0", 100, STATION));
    rig.let_go();
    assert_eq!(rig.port("vm2").state, "up");
}

#[test]
fn link_events_that_change_nothing_publish_nothing() {
    let mut rig = small_rig();
    rig.take_log();
    for _ in 0..100 {
        rig.link(LinkEvent::Present(nic("eth0", 5)));
        rig.link(LinkEvent::Present(nic("other", 6)));
    }
    assert!(rig.take_log().is_empty());
}

#[test]
fn after_lost_events_the_whole_list_sets_things_right() {
    let mut rig = small_rig();
    rig.link(LinkEvent::All(vec![nic("eth0", 8)]));
    assert_eq!(
        (rig.port("eth0").state.as_str(), rig.port("eth0").ifindex),
        ("up", Some(8))
    );
    rig.fault = Box::new(|effect| (text(effect) == "open eth0").then(|| error(19)));
    rig.link(LinkEvent::All(Vec::new()));
    assert_eq!(rig.port("eth0").state, "absent");
}

#[test]
fn a_tap_that_somebody_deletes_is_made_again() {
    let mut rig = small_rig();
    let ifindex = rig.port("vm1").ifindex.expect("a number");
    rig.link(LinkEvent::Present(Link {
        kind: Some("tun".into()),
        ..nic("vm1", ifindex)
    }));
    rig.link(LinkEvent::Gone { ifindex });
    assert_eq!(rig.port("vm1").state, "absent");
    rig.pass(secs(2));
    assert_eq!(rig.port("vm1").state, "up");
    assert_ne!(rig.port("vm1").ifindex, Some(ifindex));
}

/// The kernel tells of the end of a TAP before the daemon does.
#[test]
fn a_tap_that_goes_with_its_port_is_no_trouble() {
    let mut rig = small_rig();
    let ifindex = rig.port("vm1").ifindex.expect("a number");
    rig.link(LinkEvent::Present(Link {
        kind: Some("tun".into()),
        ..nic("vm1", ifindex)
    }));
    rig.keep = Some("close");
    let id = rig.send("io.vswitch.Switch.DelPort", json!({"name": "vm1"}));
    assert!(rig.take(id).is_empty(), "it is being closed");
    rig.link(LinkEvent::Gone { ifindex });
    rig.let_go();
    assert!(rig.take(id).iter().all(|reply| reply.result.is_ok()));
    let told = rig.events_of("port-down");
    assert_eq!(
        told.last().map(|event| event.severity),
        Some(Severity::Info)
    );
    assert!(rig.health().problems.is_empty());
}

#[test]
fn a_name_that_is_taken_is_waited_for() {
    let veth = Link {
        kind: Some("veth".into()),
        ..nic("vm1", 30)
    };
    let mut rig = Rig::new(small(), &[nic("eth0", 5), veth]);
    let vm1 = rig.port("vm1");
    assert_eq!(vm1.state, "failed");
    assert!(
        vm1.reason
            .is_some_and(|reason| reason.contains("kind veth"))
    );
    rig.link(LinkEvent::Gone { ifindex: 30 });
    assert_eq!(rig.port("vm1").state, "up");
}

#[test]
fn a_nic_that_leaves_the_kernels_bridge_is_taken() {
    let enslaved = Link {
        master: Some("virbr0".into()),
        ..nic("eth0", 5)
    };
    let mut rig = Rig::new(small(), &[enslaved]);
    assert_eq!(rig.port("eth0").state, "failed");
    rig.pass(secs(100));
    assert!(
        rig.log.iter().all(|l| l != "open eth0"),
        "nothing is tried while the reason stands"
    );
    rig.link(LinkEvent::Present(nic("eth0", 5)));
    assert_eq!(rig.port("eth0").state, "up");
}

/// F-15, S-04: the node's own address is the device's, also when somebody changes it.
#[test]
fn the_hosts_address_is_local_and_follows_its_device() {
    let mut config = small();
    config["host"]["br0"]["trunk"] = json!([100]);
    let mut rig = Rig::new(config, &[nic("eth0", 5)]);
    let host = rig.port("br0");
    let own: MacAddr = host.mac.expect("an address").parse().unwrap();
    for vlan in [1, 100] {
        assert_eq!(learn(&rig, "eth0", vlan, own), Learned::OwnAddress);
    }
    let moved = MacAddr([2, 9, 9, 9, 9, 9]);
    let ifindex = host.ifindex.expect("a number");
    let tun = |mac| Link {
        kind: Some("tun".into()),
        mac: Some(mac),
        ..nic("br0", ifindex)
    };
    rig.link(LinkEvent::Present(tun(own)));
    rig.link(LinkEvent::Present(tun(moved)));
    assert_eq!(learn(&rig, "eth0", 100, moved), Learned::OwnAddress);
    assert_eq!(
        learn(&rig, "eth0", 100, own),
        Learned::New,
        "the old one is nobody's"
    );
}

fn punt(rig: &Rig, port: &str, reason: PuntReason, bytes: &[u8]) -> Punt {
    let mut kept = arrayvec::ArrayVec::new();
    kept.try_extend_from_slice(bytes).expect("a short frame");
    Punt {
        port: rig.index(port),
        vid: None,
        reason,
        at: rig.now,
        bytes: kept,
    }
}

/// T-04
#[test]
fn a_guarded_port_is_shut_until_the_operator_sets_it_up() {
    let mut config = small();
    config["port"]["vm1"]["bpdu"] = json!("guard");
    let mut rig = Rig::new(config, &[nic("eth0", 5)]);
    learn(&rig, "vm1", 100, STATION);
    let frame = punt(&rig, "vm1", PuntReason::BpduGuard, &[0; 60]);
    for _ in 0..3 {
        rig.controller.handle_punt(&frame, rig.now);
        rig.run();
    }
    let vm1 = rig.port("vm1");
    assert_eq!(vm1.state, "down");
    assert!(
        vm1.reason
            .is_some_and(|reason| reason.contains("port up vm1"))
    );
    assert_eq!(
        rig.snapshot.port(rig.index("vm1")).unwrap().state,
        PortState::Disabled
    );
    assert!(
        !is_known(&rig, "vm1", 100, STATION),
        "what it taught is not trusted"
    );
    assert_eq!(rig.events_of("bpdu-guard").len(), 1);
    assert_eq!(rig.health().problems.len(), 1);
    // A change of something else leaves it shut; setting it up, although it is configured up, opens it.
    rig.call(
        "io.vswitch.Switch.SetPort",
        json!({"name": "eth0", "config": {"hairpin": true}}),
    )
    .expect("done");
    assert_eq!(rig.port("vm1").state, "down");
    rig.call(
        "io.vswitch.Switch.SetPort",
        json!({"name": "vm1", "config": {"enabled": true}}),
    )
    .expect("done");
    assert_eq!(rig.port("vm1").state, "up");
    assert_eq!(
        rig.snapshot.port(rig.index("vm1")).unwrap().state,
        PortState::Forwarding
    );
}

/// S-24
#[test]
fn a_link_partner_that_speaks_lacp_is_noted_once() {
    let mut rig = small_rig();
    let actor = ParticipantInfo {
        system: SystemId {
            priority: 32768,
            mac: MacAddr([0, 0x1c, 0x73, 0xaa, 0, 1]),
        },
        key: Key(32),
        port: PortId {
            priority: 1,
            number: 7,
        },
        ..ParticipantInfo::default()
    };
    let mut frame = vec![
        0x01, 0x80, 0xc2, 0, 0, 2, 0, 0x1c, 0x73, 0xaa, 0, 7, 0x88, 0x09,
    ];
    frame.extend(Lacpdu::new(actor, ParticipantInfo::default()).emit());
    let pdu = punt(&rig, "eth0", PuntReason::SlowProtocol, &frame);
    for _ in 0..5 {
        rig.controller.handle_punt(&pdu, rig.now);
        rig.pass(secs(1));
    }
    let told = rig.events_of("partner");
    assert_eq!(told.len(), 1);
    assert!(
        told[0].message.contains("00:1c:73:aa:00:01"),
        "{}",
        told[0].message
    );
    let reason = rig.port("eth0").reason.expect("noted");
    assert!(reason.contains("LACP") && reason.contains("32"), "{reason}");
    assert_eq!(rig.port("eth0").state, "up");
    // Anything else on that address is not taken for it.
    for cut in 0..frame.len() {
        let pdu = punt(&rig, "eth0", PuntReason::SlowProtocol, &frame[..cut]);
        rig.controller.handle_punt(&pdu, rig.now);
    }
    assert_eq!(rig.events_of("partner").len(), 1);
}

/// F-10
#[test]
fn an_address_that_jumps_is_told_once_with_both_ports() {
    let mut config = small();
    config["port"]["vm1"]["vlan"] = json!(1);
    let mut rig = Rig::new(config, &[nic("eth0", 5)]);
    for i in 0..20 {
        learn(&rig, if i % 2 == 0 { "eth0" } else { "vm1" }, 1, STATION);
    }
    rig.pass(secs(3));
    let told = rig.events_of("mac-flap");
    assert_eq!(told.len(), 1);
    let message = &told[0].message;
    assert!(
        message.contains("eth0")
            && message.contains("vm1")
            && message.contains(&STATION.to_string()),
        "{message}"
    );
    assert_eq!(told[0].object, "bridge.br0");
}

/// F-03: no address outlives its time by more than ten seconds.
#[test]
fn addresses_age() {
    let mut config = small();
    config["bridge"]["br0"]["ageing"] = json!("30s");
    let mut rig = Rig::new(config, &[nic("eth0", 5)]);
    learn(&rig, "eth0", 100, STATION);
    rig.pass(secs(29));
    assert!(is_known(&rig, "eth0", 100, STATION));
    rig.pass(secs(11));
    assert!(!is_known(&rig, "eth0", 100, STATION));
}
