//! Devices as `nic` ports come and go: taken, refused, isolated, down, gone, given back. Rows I-08, I-10.

mod support;

use std::process::Command;
use std::time::Duration;
use support::{
    SENT_ONE, SRC, frame, in_namespace, ours, receive, receive_for, send, send_all, take,
};
use support::{tx_frame, until, veth};
use vswitch_core::frame::VnetHdr;
use vswitch_io::{
    DeviceBefore, IpPrefix, NicSpec, OpenedPort, PortCause, addr, link, nic, open_nic,
};

fn open(name: &str) -> OpenedPort {
    open_nic(&NicSpec::new(name)).expect("open")
}

fn tables() -> String {
    let output = Command::new("nft")
        .args(["list", "ruleset"])
        .output()
        .expect("nft is installed");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn ethtool_gro(name: &str) -> bool {
    let output = Command::new("ethtool")
        .args(["-k", name])
        .output()
        .expect("ethtool is installed");
    String::from_utf8_lossy(&output.stdout).contains("generic-receive-offload: on")
}

/// I-08 and the end of a port: everything is as it was found, seen with other tools than ours.
#[test]
fn a_device_is_given_back_as_it_was_found() {
    in_namespace(|| {
        link::add_veth("v0", "v1", None).expect("veth");
        let ifindex = link::by_name("v0").expect("netlink").expect("made").ifindex;
        let address = IpPrefix {
            addr: "2001:db8::1".parse().expect("an address"),
            len: 64,
        };
        addr::add(ifindex, address).expect("address");
        let ipv6 =
            || std::fs::read_to_string("/proc/sys/net/ipv6/conf/v0/disable_ipv6").expect("sysctl");
        let found = link::by_name("v0").expect("netlink").expect("made");
        assert!(!found.up && !ethtool_gro("v0") && ipv6() == "0\n" && tables().is_empty());

        let spec = NicSpec {
            mtu: Some(9000),
            ..NicSpec::new("v0")
        };
        let opened = open_nic(&spec).expect("open");
        let taken = link::by_name("v0").expect("netlink").expect("made");
        assert!(taken.up && taken.promiscuity == 1 && taken.mtu == 9000);
        assert!(ethtool_gro("v0") && ipv6() == "1\n");
        assert!(opened.keep.is_isolated());
        assert!(
            opened.warnings.iter().any(|w| w.contains("2001:db8::1/64")),
            "{:?}",
            opened.warnings
        );
        let rules = tables();
        assert!(
            rules.contains(&format!("table netdev vswitchd-{}", std::process::id())),
            "{rules}"
        );
        assert!(
            rules.contains("policy drop") && rules.contains("\"v0\""),
            "{rules}"
        );
        assert_eq!(opened.facts.mtu, 9000);
        assert_eq!(opened.facts.memory_bytes / (1 << 20), 8);

        // What a restart after a crash knows wins over what it finds.
        let before = opened.keep.before().expect("a nic").clone();
        let json = serde_json::to_string(&before).expect("json");
        let before: DeviceBefore = serde_json::from_str(&json).expect("json");
        let OpenedPort { rx, tx, keep, .. } = opened;
        drop((rx, tx));
        keep.leave();
        assert!(ethtool_gro("v0"), "left as the switch had it");
        assert!(tables().is_empty(), "but the filter goes with its socket");
        let again = open_nic(&NicSpec {
            before: Some(before.clone()),
            ..NicSpec::new("v0")
        })
        .expect("open again");
        assert_eq!(again.keep.before(), Some(&before));
        let OpenedPort { rx, tx, keep, .. } = again;
        drop((rx, tx));
        keep.close().expect("give back");

        let after = link::by_name("v0").expect("netlink").expect("made");
        assert_eq!(
            (after.up, after.mtu, after.promiscuity),
            (found.up, found.mtu, 0)
        );
        assert!(!ethtool_gro("v0") && ipv6() == "0\n" && tables().is_empty());
        assert!(addr::list(ifindex).expect("addresses").contains(&address));
        nic::restore(&before).expect("twice changes nothing");
    });
}

/// The record of one device is never applied to another one that got its number.
#[test]
fn a_record_of_another_device_is_ignored() {
    in_namespace(|| {
        let (ifindex, _) = veth("v0", "v1");
        let stale = DeviceBefore {
            ifindex,
            name: "eth9".to_owned(),
            mac: Some([2, 9, 9, 9, 9, 9]),
            up: false,
            mtu: 700,
            tx_queue: Some(7),
            gro: Some(true),
            lro: None,
            disable_ipv6: Some(false),
            ipv6_addresses: Vec::new(),
        };
        nic::restore(&stale).expect("nothing to do");
        let spec = NicSpec {
            before: Some(stale),
            ..NicSpec::new("v0")
        };
        let opened = open_nic(&spec).expect("open");
        assert_eq!(opened.keep.before().map(|before| before.mtu), Some(1500));
        drop(opened);
        let link = link::by_index(ifindex).expect("netlink").expect("there");
        assert_eq!((link.up, link.mtu), (true, 1500));
    });
}

/// I-08: the host's stack answers ARP on a device before and after, not while it is a port; our socket
/// sees the request all the while.
#[test]
fn the_hosts_stack_does_not_answer_on_a_port() {
    in_namespace(|| {
        let (v0, _) = veth("v0", "v1");
        addr::add(
            v0,
            IpPrefix {
                addr: "10.9.0.1".parse().expect("an address"),
                len: 24,
            },
        )
        .expect("address");
        let mut peer = open_nic(&NicSpec {
            isolate: true,
            ..NicSpec::new("v1")
        })
        .expect("open");
        let mut arp = [[0xff; 6].as_slice(), &SRC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
        arp.extend(SRC);
        arp.extend([10, 9, 0, 2, 0, 0, 0, 0, 0, 0, 10, 9, 0, 1]);
        arp.resize(60, 0);
        let is_reply =
            |frame: &support::Owned| frame.bytes[12..14] == [8, 6] && frame.bytes[21] == 2;
        let mut answered = || {
            assert_eq!(send(&mut *peer.tx[0], &arp, VnetHdr::NONE), SENT_ONE);
            receive_for(&mut *peer.rx[0], Duration::from_millis(100))
                .iter()
                .any(is_reply)
        };
        assert!(answered(), "the host answers while the device is its own");
        let mut port = open("v0");
        assert!(!answered(), "the host must not answer on a port");
        let seen = receive(&mut *port.rx[0], 1, |_| true);
        assert_eq!(seen[0].bytes, arp, "and the port sees the request");
        port.keep.close().expect("give back");
        drop(port.rx);
        assert!(answered(), "the host answers again");
    });
}

/// What must not become a port is refused with a cause and a hint, and stays as it is.
#[test]
fn devices_that_cannot_be_ports_are_refused() {
    in_namespace(|| {
        let ip = |args: &str| {
            let status = Command::new("ip")
                .args(args.split(' '))
                .status()
                .expect("ip");
            assert!(status.success(), "ip {args}");
        };
        veth("v0", "v1");
        ip("link add br9 type bridge");
        ip("link set v0 master br9");
        let refusal = |name: &str| open_nic(&NicSpec::new(name)).expect_err(name);

        let error = refusal("v0");
        assert_eq!(
            error.chain(),
            "port v0: cannot take the device: it is a port of `br9`, which is a kernel bridge"
        );
        assert!(
            error
                .hint
                .as_deref()
                .is_some_and(|hint| hint.contains("nomaster"))
        );
        assert!(matches!(refusal("br9").source, PortCause::Master { kind } if kind == "bridge"));
        assert!(matches!(refusal("lo").source, PortCause::Loopback));
        assert!(matches!(refusal("eth77").source, PortCause::Missing));
        assert!(refusal("eth77").is_retryable() && !refusal("lo").is_retryable());
        assert!(matches!(
            refusal("a-name-of-16-chs").source,
            PortCause::BadName(_)
        ));
        assert!(matches!(refusal("").source, PortCause::BadName(_)));
        assert!(matches!(refusal("a/b").source, PortCause::BadName(_)));
        assert!(tables().is_empty());
        let still = link::by_name("v0").expect("netlink").expect("there");
        assert!(
            still.master.is_some() && still.promiscuity == 1,
            "only the bridge listens"
        );
        // One that cannot have the MTU asked for is given back.
        let spec = NicSpec {
            mtu: Some(10),
            ..NicSpec::new("v1")
        };
        open_nic(&spec).expect_err("an MTU of 10");
        let v1 = link::by_name("v1").expect("netlink").expect("there");
        assert!(v1.mtu == 1500 && v1.promiscuity == 0 && tables().is_empty());
    });
}

fn errno_of(rx: &mut dyn vswitch_core::port::PortRx) -> i32 {
    let mut found = 0;
    until("an error", || match take(rx) {
        Ok(_) => false,
        Err(error) => {
            found = error.raw_os_error().unwrap_or(0);
            true
        }
    });
    found
}

/// Down is told once, and the same ring goes on after up.
#[test]
fn a_device_that_goes_down_and_up_again_goes_on() {
    in_namespace(|| {
        let (v0, v1) = veth("v0", "v1");
        let (mut a, mut b) = (open("v0"), open("v1"));
        link::set_up(v1, false).expect("down");
        assert_eq!(errno_of(&mut *b.rx[0]), 100, "ENETDOWN");
        for _ in 0..100 {
            assert_eq!(take(&mut *b.rx[0]).expect("told once"), []);
        }
        let report = send(&mut *b.tx[0], &frame(60, 1), VnetHdr::NONE);
        assert_eq!((report.sent, report.errors, report.last_errno), (0, 1, 100));
        link::set_up(v1, true).expect("up");
        until("carrier", || {
            link::by_index(v0)
                .expect("netlink")
                .is_some_and(|l| l.carrier)
        });
        assert_eq!(send(&mut *a.tx[0], &frame(60, 2), VnetHdr::NONE), SENT_ONE);
        assert_eq!(receive(&mut *b.rx[0], 1, ours)[0].bytes, frame(60, 2));
        assert_eq!(send(&mut *b.tx[0], &frame(60, 3), VnetHdr::NONE), SENT_ONE);
        assert_eq!(receive(&mut *a.rx[0], 1, ours)[0].bytes, frame(60, 3));
    });
}

/// I-10: a device that is deleted is told as such, wakes the poller, and can be opened anew.
#[test]
fn a_device_that_vanishes_is_told_and_can_come_back() {
    in_namespace(|| {
        let (v0, _) = veth("v0", "v1");
        let mut port = open("v0");
        let mut poller = vswitch_io::Poller::new().expect("epoll");
        let fd = port.rx[0].ready_fds()[0].expect("a socket");
        poller.add_raw(fd, 5).expect("add");
        link::delete(v0).expect("delete");
        let waited = poller.wait(Some(Duration::from_secs(5)), |token| assert_eq!(token, 5));
        assert_eq!(waited.expect("wait").ready, 1);
        assert_eq!(errno_of(&mut *port.rx[0]), 19, "ENODEV");
        assert_eq!(
            take(&mut *port.rx[0])
                .expect_err("stays gone")
                .raw_os_error(),
            Some(19)
        );
        let report = send_all(
            &mut *port.tx[0],
            &[tx_frame(&frame(60, 1), VnetHdr::NONE); 3],
        );
        assert_eq!((report.sent, report.errors), (0, 3));
        assert_ne!(report.last_errno, 0);
        port.keep.close().expect("nothing to give back");
        drop((port.rx, port.tx));

        veth("v0", "v1");
        let (mut a, mut b) = (open("v0"), open("v1"));
        assert_eq!(send(&mut *a.tx[0], &frame(60, 9), VnetHdr::NONE), SENT_ONE);
        assert_eq!(receive(&mut *b.rx[0], 1, ours)[0].bytes, frame(60, 9));
    });
}

/// An idle port does not keep its poller busy, and a frame ends the wait.
#[test]
fn an_idle_queue_sleeps_and_a_frame_wakes_it() {
    in_namespace(|| {
        veth("v0", "v1");
        let (mut a, mut b) = (open("v0"), open("v1"));
        take(&mut *b.rx[0]).expect("receive");
        let mut poller = vswitch_io::Poller::new().expect("epoll");
        for fd in b.rx[0].ready_fds().into_iter().flatten() {
            poller.add_raw(fd, 1).expect("add");
        }
        let idle = poller
            .wait(Some(Duration::from_millis(20)), |_| {})
            .expect("wait");
        assert_eq!(idle.ready, 0);
        assert_eq!(send(&mut *a.tx[0], &frame(60, 1), VnetHdr::NONE), SENT_ONE);
        let woken = poller
            .wait(Some(Duration::from_secs(5)), |_| {})
            .expect("wait");
        assert_eq!(woken.ready, 1);
        assert_eq!(receive(&mut *b.rx[0], 1, |_| true).len(), 1);
    });
}
