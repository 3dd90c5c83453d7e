//! News of links: everything at the start, every change in order, and the truth after an overflow.

mod support;

use std::os::fd::AsFd;
use std::time::Duration;
use support::{in_namespace, until, veth};
use vswitch_io::{CarrierProbe, LinkEvent, LinkMonitor, Poller, TapSpec, link, open_tap};

/// All events that are ready.
fn drain(monitor: &mut LinkMonitor) -> Vec<LinkEvent> {
    std::iter::from_fn(|| monitor.poll_event().expect("netlink")).collect()
}

#[test]
fn existing_links_come_first_and_changes_follow() {
    in_namespace(|| {
        let (v0, _) = veth("v0", "v1");
        let mut monitor = LinkMonitor::open().expect("netlink");
        let mut names: Vec<String> = drain(&mut monitor).into_iter().map(|e| e.name).collect();
        names.sort();
        assert_eq!(names, ["lo", "v0", "v1"]);
        assert_eq!(drain(&mut monitor), []);

        let mut poller = Poller::new().expect("epoll");
        poller.add(monitor.as_fd(), 1).expect("add");
        link::set_mtu(v0, 1400).expect("mtu");
        let waited = poller
            .wait(Some(Duration::from_secs(5)), |_| {})
            .expect("wait");
        assert_eq!(waited.ready, 1);
        let events = drain(&mut monitor);
        assert_eq!(events.len(), 1, "told once: {events:?}");
        assert_eq!((events[0].ifindex, events[0].mtu), (v0, 1400));
        assert_eq!(events[0].kind.as_deref(), Some("veth"));
    });
}

#[test]
fn carrier_and_deletion_are_told_and_bridge_port_messages_are_not_mistaken() {
    in_namespace(|| {
        let (v0, v1) = veth("v0", "v1");
        let tap = open_tap(&TapSpec::new("t0")).expect("tap");
        let mut monitor = LinkMonitor::open().expect("netlink");
        drain(&mut monitor);
        let mut wait_for = |wanted: &dyn Fn(&LinkEvent) -> bool| {
            let mut seen = Vec::new();
            until("the event", || {
                seen.extend(drain(&mut monitor));
                seen.iter().any(wanted)
            });
            seen
        };
        tap.keep.set_carrier(false).expect("carrier");
        wait_for(&|e| e.name == "t0" && e.up && !e.carrier);
        tap.keep.set_carrier(true).expect("carrier");
        wait_for(&|e| e.name == "t0" && e.carrier);
        // The other end of a veth going down is a cable pulled here.
        link::set_up(v1, false).expect("down");
        wait_for(&|e| e.ifindex == v0 && e.up && !e.carrier);

        let ip = |args: &str| {
            let status = std::process::Command::new("ip")
                .args(args.split(' '))
                .status();
            assert!(status.expect("ip").success(), "ip {args}");
        };
        ip("link add br9 type bridge");
        ip("link set v0 master br9");
        wait_for(&|e| e.ifindex == v0 && e.master.is_some());
        ip("link set v0 nomaster");
        let seen = wait_for(&|e| e.ifindex == v0 && e.master.is_none());
        assert!(
            !seen.iter().any(|e| e.ifindex == v0 && e.deleted),
            "leaving a bridge is no deletion"
        );
        ip("link set v0 down");
        ip("link set v0 name w0");
        wait_for(&|e| e.ifindex == v0 && e.name == "w0");
        link::delete(v0).expect("delete");
        wait_for(&|e| e.ifindex == v0 && e.deleted);
        drop(tap);
        wait_for(&|e| e.name == "t0" && e.deleted);
    });
}

#[test]
fn after_an_overflow_the_truth_is_told() {
    in_namespace(|| {
        let (v0, _) = veth("v0", "v1");
        veth("w0", "w1");
        let mut monitor = LinkMonitor::open().expect("netlink");
        drain(&mut monitor);
        // Nobody reads while far more happens than the socket holds (1 MiB, about 700 messages).
        for round in 0..2500_u32 {
            link::set_mtu(v0, 1000 + round % 400).expect("mtu");
        }
        link::set_mtu(v0, 1333).expect("mtu");
        let w0 = link::by_name("w0")
            .expect("netlink")
            .expect("there")
            .ifindex;
        link::delete(w0).expect("delete");
        veth("x0", "x1");
        let events = drain(&mut monitor);
        assert!(
            monitor.resyncs() > 0,
            "the test made no overflow: {} events",
            events.len()
        );
        let last = |name: &str| events.iter().rfind(|e| e.name == name);
        assert_eq!(last("v0").map(|e| (e.mtu, e.deleted)), Some((1333, false)));
        assert_eq!(last("w0").map(|e| e.deleted), Some(true));
        assert_eq!(last("x1").map(|e| (e.up, e.deleted)), Some((true, false)));
        assert_eq!(drain(&mut monitor), []);
    });
}

/// W-01: the kernel may keep a lost carrier to itself for a second; who asks hears of it at once.
#[test]
fn a_carrier_that_was_asked_for_is_news_once() {
    in_namespace(|| {
        let tap = open_tap(&TapSpec::new("t0")).expect("tap");
        let mut monitor = LinkMonitor::open().expect("netlink");
        let events = drain(&mut monitor);
        let t0 = events.iter().find(|e| e.name == "t0").expect("t0").ifindex;
        let mut probe = CarrierProbe::open().expect("netlink");
        // Several in one second: all but the first are kept back.
        for carrier in [false, true, false, true, false] {
            tap.keep.set_carrier(carrier).expect("carrier");
            assert_eq!(probe.carrier(t0).expect("netlink"), Some(carrier));
            // The kernel's word may be there as well, now or later: it is older or the same.
            let mut told = drain(&mut monitor);
            monitor.take_carrier(t0, carrier);
            told.extend(drain(&mut monitor));
            assert_eq!(told.last().expect("news").carrier, carrier);
            monitor.take_carrier(t0, carrier);
            assert_eq!(drain(&mut monitor), [], "told once");
        }
        assert_eq!(probe.carrier(t0 + 100).expect("netlink"), None);
        monitor.take_carrier(t0 + 100, true);
        assert_eq!(drain(&mut monitor), [], "of a device that is not there");
    });
}
