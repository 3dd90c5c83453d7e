//! `tap` and `host` ports, each by io_uring and by plain system calls: rows I-02, I-05, I-09, S-04.

mod support;

use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;
use support::{
    SENT_ONE, frame, in_namespace, ours, receive, send, send_all, take, tx_frame, until, veth,
};
use vswitch_base::MacAddr;
use vswitch_core::frame::VnetHdr;
use vswitch_io::{
    IpPrefix, NetNs, NicSpec, OpenedPort, PortCause, TapMethod, TapSpec, addr, link, open_nic,
    open_tap,
};

const METHODS: [TapMethod; 2] = [TapMethod::Uring, TapMethod::Plain];

fn open(spec: &TapSpec) -> OpenedPort {
    let opened = open_tap(spec).expect("open");
    std::fs::write(
        format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", spec.name),
        "1",
    )
    .expect("sysctl");
    opened
}

/// I-05: frames of all sizes pass both ways unchanged, in order, through many turns of the buffers.
#[test]
fn frames_pass_both_ways_unchanged() {
    for method in METHODS {
        in_namespace(|| {
            let mut tap = open(&TapSpec {
                method,
                ..TapSpec::new("t0")
            });
            let name = if method == TapMethod::Uring {
                "io_uring"
            } else {
                "read"
            };
            assert_eq!((tap.facts.method, tap.warnings.len()), (name, 0));
            let mut behind = open_nic(&NicSpec::new("t0")).expect("open");
            for round in 0..400 {
                let burst: Vec<Vec<u8>> = (0..29)
                    .map(|i| frame(60 + (i as usize * 151 + round) % 1455, i))
                    .collect();
                let out: Vec<_> = burst.iter().map(|b| tx_frame(b, VnetHdr::NONE)).collect();
                let into_tap = send_all(&mut *behind.tx[0], &out);
                assert_eq!((into_tap.sent, into_tap.full, into_tap.errors), (29, 0, 0));
                let got = receive(&mut *tap.rx[0], 29, ours);
                assert!(
                    got.iter().map(|f| &f.bytes).eq(&burst),
                    "{method:?} changed a frame in"
                );
                let out_of_tap = send_all(&mut *tap.tx[0], &out);
                assert_eq!(
                    (out_of_tap.sent, out_of_tap.full, out_of_tap.errors),
                    (29, 0, 0)
                );
                let got = receive(&mut *behind.rx[0], 29, ours);
                assert!(
                    got.iter().map(|f| &f.bytes).eq(&burst),
                    "{method:?} changed a frame out"
                );
            }
            // A burst larger than a batch and than all buffers waits in the device.
            let burst: Vec<Vec<u8>> = (0..300).map(|i| frame(64, i)).collect();
            let out: Vec<_> = burst.iter().map(|b| tx_frame(b, VnetHdr::NONE)).collect();
            assert_eq!(send_all(&mut *behind.tx[0], &out).sent, 300);
            let got = receive(&mut *tap.rx[0], 300, ours);
            assert!(got.iter().map(|f| &f.bytes).eq(&burst));
        });
    }
}

/// Buffers that are lent are not used again until released, and the queue goes on afterwards.
#[test]
fn lent_buffers_are_not_used_again() {
    for method in METHODS {
        in_namespace(|| {
            let mut tap = open(&TapSpec {
                method,
                ..TapSpec::new("t0")
            });
            let mut behind = open_nic(&NicSpec::new("t0")).expect("open");
            take(&mut *tap.rx[0]).expect("receive");
            let burst: Vec<Vec<u8>> = (0..200).map(|i| frame(1500, i)).collect();
            let out: Vec<_> = burst.iter().map(|b| tx_frame(b, VnetHdr::NONE)).collect();
            assert_eq!(send_all(&mut *behind.tx[0], &out).sent, 200);
            let mut first = Vec::new();
            for _ in 0..20 {
                let mut batch = vswitch_core::frame::FrameBatch::new();
                tap.rx[0].receive(&mut batch).expect("receive");
                first.extend(batch.iter().map(|frame| frame.bytes.to_vec()));
            }
            assert!(first.len() >= 32, "{method:?}: {}", first.len());
            tap.rx[0].release();
            first.extend(
                receive(&mut *tap.rx[0], 200 - first.len(), ours)
                    .into_iter()
                    .map(|f| f.bytes),
            );
            assert!(first == burst, "{method:?}: each frame once and in order");
        });
    }
}

/// An idle queue sleeps; a frame wakes it, also before the first `receive`.
#[test]
fn a_frame_wakes_the_poller() {
    for method in METHODS {
        in_namespace(|| {
            let mut tap = open(&TapSpec {
                method,
                ..TapSpec::new("t0")
            });
            let mut behind = open_nic(&NicSpec::new("t0")).expect("open");
            let mut poller = vswitch_io::Poller::new().expect("epoll");
            poller
                .add_raw(tap.rx[0].ready_fds()[0].expect("a descriptor"), 3)
                .expect("add");
            let mut sleep = |expected: usize, timeout| {
                let waited = poller.wait(Some(timeout), |_| {}).expect("wait");
                assert_eq!(waited.ready, expected, "{method:?}");
            };
            for round in 0..50 {
                assert_eq!(
                    send(&mut *behind.tx[0], &frame(60, round), VnetHdr::NONE),
                    SENT_ONE
                );
                sleep(1, Duration::from_secs(5));
                assert_eq!(receive(&mut *tap.rx[0], 1, ours)[0].bytes, frame(60, round));
                assert_eq!(take(&mut *tap.rx[0]).expect("receive"), []);
                sleep(0, Duration::from_millis(1));
            }
        });
    }
}

/// The queue is opened on one thread and used on another, as by a worker; also when the opener ends.
#[test]
fn a_queue_moves_to_its_worker() {
    for method in METHODS {
        in_namespace(|| {
            let netns = NetNs::current().expect("namespace");
            let spec = TapSpec {
                method,
                netns: Some(netns),
                ..TapSpec::new("t0")
            };
            let mut tap = std::thread::spawn(move || open(&spec_in(spec)))
                .join()
                .expect("open");
            let mut behind = open_nic(&NicSpec::new("t0")).expect("open");
            let mut rx = tap.rx.remove(0);
            assert_eq!(
                send(&mut *behind.tx[0], &frame(60, 1), VnetHdr::NONE),
                SENT_ONE
            );
            let mut rx = std::thread::spawn(move || {
                assert_eq!(receive(&mut *rx, 1, ours)[0].bytes, frame(60, 1));
                rx
            })
            .join()
            .expect("worker");
            // And to another worker, after the first one ended.
            assert_eq!(
                send(&mut *behind.tx[0], &frame(60, 2), VnetHdr::NONE),
                SENT_ONE
            );
            assert_eq!(receive(&mut *rx, 1, ours)[0].bytes, frame(60, 2));
        });
    }
}

/// The thread that opens is in the machine's namespace: enter the test's for the sysctl of `open`.
fn spec_in(spec: TapSpec) -> TapSpec {
    spec.netns.as_ref().expect("given").enter().expect("enter");
    spec
}

/// B-02, I-05: several queues: each is read, each worker writes.
#[test]
fn several_queues_and_workers_share_a_device() {
    for method in METHODS {
        in_namespace(|| {
            let spec = TapSpec {
                method,
                queues: 3,
                workers: 4,
                ..TapSpec::new("t0")
            };
            let mut tap = open(&spec);
            assert_eq!((tap.rx.len(), tap.tx.len()), (3, 4));
            let mut behind = open_nic(&NicSpec::new("t0")).expect("open");
            for tx in &mut tap.tx {
                assert_eq!(send(&mut **tx, &frame(60, 1), VnetHdr::NONE), SENT_ONE);
            }
            assert_eq!(receive(&mut *behind.rx[0], 4, ours).len(), 4);
            for seed in 0..100 {
                let report = send(&mut *behind.tx[0], &frame(60, seed), VnetHdr::NONE);
                assert_eq!(report, SENT_ONE);
            }
            let mut count = 0;
            until("all 100 on any queue", || {
                for rx in &mut tap.rx {
                    let came = take(&mut **rx).expect("receive");
                    count += came.iter().filter(|frame| ours(frame)).count();
                }
                count == 100
            });
        });
    }
}

/// I-05, I-09: address, MTU, owner and namespace are as asked; the device goes with the port.
#[test]
fn a_tap_is_made_as_asked_and_goes_with_the_port() {
    in_namespace(|| {
        let pod = NetNs::new().expect("namespace");
        let mac = MacAddr([2, 0, 0, 0, 7, 7]);
        let spec = TapSpec {
            mac: Some(mac),
            mtu: Some(9000),
            owner: Some(54_321),
            group: Some(54_322),
            netns: Some(pod.clone()),
            ..TapSpec::new("eth0")
        };
        let tap = open_tap(&spec).expect("open");
        assert_eq!(
            link::by_name("eth0").expect("netlink"),
            None,
            "not in our namespace"
        );
        let find = || pod.run(|| link::by_name("eth0")).expect("netlink");
        let there = find().expect("in the other one");
        assert_eq!((there.mac, there.mtu, there.up), (Some(mac), 9000, true));
        assert_eq!(
            (tap.facts.mac, tap.facts.mtu, tap.facts.carrier),
            (Some(mac), 9000, true)
        );
        assert_eq!(tap.facts.ifindex, there.ifindex);
        let shown = pod
            .run(|| {
                Command::new("ip")
                    .args(["-d", "link", "show", "eth0"])
                    .output()
            })
            .expect("ip");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        assert!(
            shown.contains("vnet_hdr on") && shown.contains("user 54321 group 54322"),
            "{shown}"
        );
        tap.keep.set_carrier(false).expect("carrier");
        assert!(!find().expect("there").carrier);
        // close removes the device even while queues are still held.
        tap.keep.close().expect("close");
        assert_eq!(find(), None);
    });
}

/// A persistent TAP stays, is attached to again, and one that was there before us is never removed.
#[test]
fn a_persistent_tap_outlives_the_port() {
    for method in METHODS {
        in_namespace(|| {
            let spec = TapSpec {
                method,
                persistent: true,
                ..TapSpec::new("t0")
            };
            let OpenedPort {
                rx,
                tx,
                keep,
                facts,
                ..
            } = open(&spec);
            drop((rx, tx));
            keep.close().expect("close");
            let left = link::by_name("t0").expect("netlink").expect("persistent");
            assert_eq!(left.ifindex, facts.ifindex);
            // Attached to by a port that is not persistent: it was there before, so it stays.
            let mut again = open(&TapSpec {
                persistent: false,
                ..spec.clone()
            });
            assert_eq!(again.facts.ifindex, facts.ifindex);
            let mut behind = open_nic(&NicSpec::new("t0")).expect("open");
            assert_eq!(
                send(&mut *behind.tx[0], &frame(60, 1), VnetHdr::NONE),
                SENT_ONE
            );
            assert_eq!(receive(&mut *again.rx[0], 1, ours).len(), 1);
            let busy = open_tap(&spec).expect_err("one at a time");
            assert!(matches!(busy.source, PortCause::Busy), "{}", busy.chain());
            assert!(busy.hint.is_some() && busy.is_retryable());
            let queues = TapSpec {
                queues: 2,
                ..spec.clone()
            };
            let other = open_tap(&queues).expect_err("other flags").chain();
            assert!(other.contains("other flags"), "{other}");
            drop(again);
            assert!(link::by_name("t0").expect("netlink").is_some());
        });
    }
}

/// Names that are taken or impossible are refused with a cause.
#[test]
fn names_that_cannot_be_taps_are_refused() {
    in_namespace(|| {
        veth("v0", "v1");
        let refusal = |name: &str| open_tap(&TapSpec::new(name)).expect_err(name);
        let taken = refusal("v0");
        assert_eq!(
            taken.chain(),
            "port v0: cannot create the TAP: a device of kind `veth` has this name already"
        );
        assert!(matches!(
            refusal("a-name-of-16-chs").source,
            PortCause::BadName(_)
        ));
        assert!(matches!(refusal("..").source, PortCause::BadName(_)));
        let spec = TapSpec {
            mtu: Some(10),
            ..TapSpec::new("t0")
        };
        let error = open_tap(&spec).expect_err("an MTU of 10");
        assert!(
            error
                .chain()
                .starts_with("port t0: cannot configure the TAP"),
            "{}",
            error.chain()
        );
        assert_eq!(
            link::by_name("t0").expect("netlink"),
            None,
            "nothing is left of it"
        );
    });
}

/// A device that is deleted under us is told and wakes the poller; nothing loops or panics.
#[test]
fn a_tap_that_is_deleted_is_told() {
    for method in METHODS {
        in_namespace(|| {
            let mut tap = open(&TapSpec {
                method,
                ..TapSpec::new("t0")
            });
            take(&mut *tap.rx[0]).expect("receive");
            let mut poller = vswitch_io::Poller::new().expect("epoll");
            poller
                .add_raw(tap.rx[0].ready_fds()[0].expect("a descriptor"), 3)
                .expect("add");
            link::delete(tap.facts.ifindex).expect("delete");
            let waited = poller
                .wait(Some(Duration::from_secs(5)), |_| {})
                .expect("wait");
            assert_eq!(waited.ready, 1, "{method:?}");
            for _ in 0..3 {
                let mut errno = None;
                until("the error", || {
                    errno = take(&mut *tap.rx[0])
                        .err()
                        .and_then(|error| error.raw_os_error());
                    errno.is_some()
                });
                assert_eq!(errno, Some(77), "{method:?}: EBADFD");
            }
            let report = send(&mut *tap.tx[0], &frame(60, 1), VnetHdr::NONE);
            assert_eq!(
                (report.sent, report.errors, report.last_errno),
                (0, 1, 77),
                "{method:?}"
            );
            tap.keep.close().expect("nothing to remove");
            drop((tap.rx, tap.tx));
            assert_eq!(
                open(&TapSpec::new("t0")).facts.mtu,
                1500,
                "and it can be made again"
            );
        });
    }
}

/// Switched off and on again, a TAP goes on; frames written meanwhile are errors.
#[test]
fn a_tap_that_goes_down_and_up_goes_on() {
    for method in METHODS {
        in_namespace(|| {
            let mut tap = open(&TapSpec {
                method,
                ..TapSpec::new("t0")
            });
            let mut behind = open_nic(&NicSpec::new("t0")).expect("open");
            take(&mut *tap.rx[0]).expect("receive");
            link::set_up(tap.facts.ifindex, false).expect("down");
            let report = send(&mut *tap.tx[0], &frame(60, 1), VnetHdr::NONE);
            assert_eq!((report.sent, report.errors), (0, 1), "{method:?}");
            assert_eq!(
                take(&mut *tap.rx[0]).expect("down is no error of the queue"),
                []
            );
            link::set_up(tap.facts.ifindex, true).expect("up");
            assert_eq!(
                send(&mut *behind.tx[0], &frame(60, 2), VnetHdr::NONE),
                SENT_ONE
            );
            assert_eq!(receive(&mut *tap.rx[0], 1, ours)[0].bytes, frame(60, 2));
            assert_eq!(
                send(&mut *tap.tx[0], &frame(60, 3), VnetHdr::NONE),
                SENT_ONE
            );
            assert_eq!(receive(&mut *behind.rx[0], 1, ours)[0].bytes, frame(60, 3));
        });
    }
}

/// S-04: two hosts with addresses on TAPs talk UDP with their kernels' checksums left to finish, the
/// test being the switch between them; addresses and routes are as asked.
#[test]
fn host_ports_carry_the_nodes_addresses() {
    for method in METHODS {
        in_namespace(|| {
            let mut ports = Vec::new();
            let mut hosts = Vec::new();
            for last in [1, 2] {
                let netns = NetNs::new().expect("namespace");
                let spec = TapSpec {
                    method,
                    netns: Some(netns.clone()),
                    ..TapSpec::new("host0")
                };
                let port = open_tap(&spec).expect("open");
                let prefix = IpPrefix {
                    addr: Ipv4Addr::new(10, 9, 0, last).into(),
                    len: 24,
                };
                let ifindex = port.facts.ifindex;
                netns
                    .run(|| {
                        addr::add(ifindex, prefix)?;
                        addr::add(ifindex, prefix)?;
                        let gateway = Ipv4Addr::new(10, 9, 0, 254).into();
                        addr::set_default_route(ifindex, gateway)?;
                        assert!(addr::list(ifindex)?.contains(&prefix));
                        let routes = Command::new("ip").args(["route"]).output()?;
                        let routes = String::from_utf8_lossy(&routes.stdout).into_owned();
                        assert!(
                            routes.contains("default via 10.9.0.254 dev host0"),
                            "{routes}"
                        );
                        addr::remove_default_route(ifindex, gateway)?;
                        addr::remove_default_route(ifindex, gateway)
                    })
                    .expect("addresses");
                ports.push(port);
                hosts.push((netns, prefix));
            }
            let socket = |at: usize| {
                let (netns, prefix) = &hosts[at];
                let socket = netns
                    .run(|| UdpSocket::bind((prefix.addr, 7000)))
                    .expect("bind");
                socket.set_nonblocking(true).expect("non-blocking");
                socket
            };
            let (one, two) = (socket(0), socket(1));
            let message = vec![b'x'; 1200];
            one.send_to(&message, ("10.9.0.2", 7000)).expect("send");
            let (mut buffer, mut unfinished) = ([0; 2000], false);
            until("the datagram", || {
                let (left, right) = ports.split_at_mut(1);
                for (from, to) in [(0, 1), (1, 0)] {
                    let pair = [&mut left[0], &mut right[0]];
                    for frame in take(&mut *pair[from].rx[0]).expect("receive") {
                        unfinished |= frame.offload.needs_csum();
                        send(&mut *pair[to].tx[0], &frame.bytes, frame.offload);
                    }
                }
                two.recv(&mut buffer)
                    .is_ok_and(|len| buffer[..len] == message)
            });
            assert!(
                unfinished,
                "the sender's kernel leaves the checksum to whoever needs it"
            );
            let (netns, prefix) = &hosts[0];
            let ifindex = ports[0].facts.ifindex;
            netns
                .run(|| {
                    addr::remove(ifindex, *prefix)?;
                    addr::remove(ifindex, *prefix)?;
                    assert!(!addr::list(ifindex)?.contains(prefix));
                    Ok(())
                })
                .expect("remove");
        });
    }
}

/// A TAP of another owner moves between namespaces with its queue open.
#[test]
fn a_device_moves_into_another_namespace() {
    in_namespace(|| {
        let pod = NetNs::new().expect("namespace");
        let mut tap = open(&TapSpec::new("t0"));
        link::move_to_netns(tap.facts.ifindex, pod.as_fd(), "eth0").expect("move");
        assert_eq!(link::by_name("t0").expect("netlink"), None);
        let moved = pod
            .run(|| link::by_name("eth0"))
            .expect("netlink")
            .expect("there");
        assert!(!moved.up, "it arrives switched off");
        pod.run(|| link::set_up(moved.ifindex, true)).expect("up");
        let mut behind = pod
            .run(|| Ok(open_nic(&NicSpec::new("eth0")).expect("open")))
            .expect("namespace");
        assert_eq!(
            send(&mut *behind.tx[0], &frame(60, 1), VnetHdr::NONE),
            SENT_ONE
        );
        assert_eq!(receive(&mut *tap.rx[0], 1, ours)[0].bytes, frame(60, 1));
        pod.run(|| {
            behind
                .keep
                .close()
                .map_err(|e| std::io::Error::other(e.chain()))
        })
        .expect("give back");
    });
}

/// Two hundred TAPs open, forward and go away (twice), without a descriptor left over.
#[test]
fn two_hundred_taps_come_and_go() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").expect("proc").count();
    in_namespace(|| {
        for method in METHODS {
            let mut taps: Vec<OpenedPort> = (0..200)
                .map(|i| {
                    open_tap(&TapSpec {
                        method,
                        ..TapSpec::new(format!("t{i}"))
                    })
                    .expect("open")
                })
                .collect();
            for tap in &mut taps {
                take(&mut *tap.rx[0]).expect("receive");
                assert_eq!(
                    send(&mut *tap.tx[0], &frame(60, 1), VnetHdr::NONE),
                    SENT_ONE
                );
            }
            assert!(descriptors() > 200);
            drop(taps);
            until("the devices to go", || {
                link::list().expect("netlink").len() == 1
            });
        }
    });
}
