//! Ports of several receive queues on real devices: which frames stay together, and that a queue can
//! change threads: rows B-02, I-04, I-05.
//!
//! A flow keeps its order as long as all its frames come by one queue, whoever serves that queue. What
//! chooses the queue is the kernel: these tests say what we rely on.

mod support;

use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use support::{
    Owned, SENT_ONE, frame, in_namespace, ours, receive_for, send, send_all, take, tx_frame, until,
    veth,
};
use vswitch_base::{Tag, Tci, Tpid};
use vswitch_core::frame::VnetHdr;
use vswitch_core::port::{PortRx, PortTx};
use vswitch_io::{NicSpec, OpenedPort, TapMethod, TapSpec, open_nic, open_tap};

const QUEUES: u16 = 4;
const METHODS: [TapMethod; 2] = [TapMethod::Uring, TapMethod::Plain];

/// One end of an IP flow: the last byte of its address and its port.
type End = (u8, u16);

fn transport(from: End, to: End, protocol: u8, len: usize) -> Vec<u8> {
    let mut bytes = [from.1.to_be_bytes(), to.1.to_be_bytes()].concat();
    if protocol == 6 {
        // Sequence numbers, header of five words, ACK.
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    } else {
        bytes.extend(u16::try_from(len).expect("short").to_be_bytes());
        bytes.extend([0, 0]);
    }
    bytes.resize(len, 0);
    bytes
}

/// An IPv4 frame; `fragment` is the field of flags and offset.
fn ipv4(from: End, to: End, protocol: u8, fragment: u16, len: usize) -> Vec<u8> {
    let mut bytes = [support::DST.as_slice(), &support::SRC, &[8, 0, 0x45, 0]].concat();
    bytes.extend(u16::try_from(20 + len).expect("short").to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([64, protocol, 0, 0, 10, 0, 0, from.0, 10, 0, 0, to.0]);
    bytes.extend(transport(from, to, protocol, len));
    bytes
}

fn ipv6(from: End, to: End, protocol: u8, len: usize) -> Vec<u8> {
    let mut bytes = [
        support::DST.as_slice(),
        &support::SRC,
        &[0x86, 0xdd, 0x60, 0, 0, 0],
    ]
    .concat();
    bytes.extend(u16::try_from(len).expect("short").to_be_bytes());
    bytes.extend([protocol, 64]);
    for end in [from, to] {
        bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, end.0]);
    }
    bytes.extend(transport(from, to, protocol, len));
    bytes
}

/// A frame of no protocol that the kernel knows, between two stations.
fn other(station: u8, len: usize) -> Vec<u8> {
    let mut bytes = frame(len, 0);
    bytes[9] = station;
    bytes
}

/// What must come by one queue: name and frames.
fn flows() -> Vec<(String, Vec<Vec<u8>>)> {
    const MORE_FRAGMENTS: u16 = 0x2000;
    let lengths = [46, 200, 1400];
    let mut flows = Vec::new();
    for n in 0..24 {
        let (a, b) = ((1, 5000 + n), (2, 80));
        let mut add = |name: &str, of: &dyn Fn(usize) -> Vec<u8>| {
            flows.push((format!("{name} {n}"), lengths.map(of).to_vec()));
        };
        // Both directions: who asks and who answers.
        add("UDP over IPv4", &|len| ipv4(a, b, 17, 0, len));
        add("TCP over IPv4", &|len| match len {
            200 => ipv4(b, a, 6, 0, len),
            _ => ipv4(a, b, 6, 0, len),
        });
        add("UDP over IPv6", &|len| match len {
            200 => ipv6(b, a, 17, len),
            _ => ipv6(a, b, 17, len),
        });
        add("TCP over IPv6", &|len| ipv6(a, b, 6, len));
        // Fragments have no ports, the first of them included in what is hashed.
        let station = u8::try_from(n).expect("small");
        let whole = ((station, 9), (100, 9));
        add("fragments of a datagram", &|len| match len {
            46 => ipv4(whole.0, whole.1, 17, MORE_FRAGMENTS, 1400),
            200 => ipv4(whole.0, whole.1, 17, MORE_FRAGMENTS | 175, 1400),
            _ => ipv4(whole.0, whole.1, 17, 350, 100),
        });
        add("a protocol without ports", &|len| {
            ipv4((station, 0), (101, 0), 89, 0, len)
        });
        add("no IP", &|len| other(station, len));
    }
    flows
}

/// Ways to tag: none, one VLAN, another, two tags.
fn taggings() -> Vec<Vec<Tag>> {
    let tag = |tpid, tci| Tag {
        tpid,
        tci: Tci(tci),
    };
    vec![
        vec![],
        vec![tag(Tpid::Dot1q, 5)],
        vec![tag(Tpid::Dot1q, 0xa006)],
        vec![tag(Tpid::Dot1ad, 7), tag(Tpid::Dot1q, 8)],
    ]
}

/// Sends frames one at a time and tells the queue that each came by.
fn queues_of(
    tx: &mut dyn PortTx,
    rx: &mut [Box<dyn PortRx>],
    tags: &[Tag],
    sent: &[Vec<u8>],
) -> Vec<usize> {
    let mut queues = Vec::new();
    for bytes in sent {
        let mut out = tx_frame(bytes, VnetHdr::NONE);
        tags.iter().rev().for_each(|tag| out.header.push_tag(*tag));
        assert_eq!(send_all(tx, &[out]), SENT_ONE);
        let came = |frame: &Owned| frame.bytes.ends_with(&bytes[12..]);
        until("the frame, by any queue", || {
            let by = rx
                .iter_mut()
                .position(|rx| take(&mut **rx).expect("receive").iter().any(came));
            queues.extend(by);
            by.is_some()
        });
    }
    queues
}

/// Every flow comes by one queue, tagged or not; the flows of each kind that has ports use several.
fn assert_flows_stay_together(tx: &mut dyn PortTx, rx: &mut [Box<dyn PortRx>], what: &str) {
    let mut used: std::collections::BTreeMap<String, std::collections::BTreeSet<usize>> =
        std::collections::BTreeMap::new();
    for (name, frames) in flows() {
        let mut queues = Vec::new();
        for tags in taggings() {
            queues.extend(queues_of(tx, rx, &tags, &frames));
        }
        // In whichever VLAN: the tags are not part of what is hashed, but for a second one.
        let (single, double) = queues.split_at(3 * frames.len());
        for same in [single, double] {
            assert!(
                same.iter().all(|q| *q == same[0]),
                "{what}: {name} came by {queues:?}"
            );
        }
        let kind = name.rsplit_once(' ').expect("kind and number").0;
        used.entry(kind.to_owned()).or_default().insert(single[0]);
    }
    for kind in [
        "UDP over IPv4",
        "TCP over IPv4",
        "UDP over IPv6",
        "TCP over IPv6",
    ] {
        assert!(used[kind].len() > 1, "{what}: all of {kind} by one queue");
    }
    assert_eq!(
        used["no IP"].len(),
        1,
        "{what}: without IP there is one flow"
    );
}

/// I-04: packet fanout by hash.
#[test]
fn the_flows_of_a_nic_stay_together() {
    in_namespace(|| {
        veth("v0", "v1");
        let mut a = open_nic(&NicSpec::new("v0")).expect("open");
        let mut b = open_nic(&NicSpec {
            queues: QUEUES,
            ..NicSpec::new("v1")
        })
        .expect("open");
        assert_flows_stay_together(&mut *a.tx[0], &mut b.rx, "nic");
    });
}

fn tap(method: TapMethod) -> OpenedPort {
    let tap = open_tap(&TapSpec {
        method,
        queues: QUEUES,
        workers: 2,
        ..TapSpec::new("t0")
    });
    std::fs::write("/proc/sys/net/ipv6/conf/t0/disable_ipv6", "1").expect("sysctl");
    tap.expect("open")
}

/// Frames for the TAP come from a kernel bridge: a socket on the TAP itself would hand over tags within
/// the bytes, behind which the kernel does not look when it chooses the queue.
fn bridge_to_tap(tap: &mut OpenedPort) -> OpenedPort {
    veth("v0", "v1");
    let line = "ip link add kbr type bridge && ip link set kbr up \
                && ip link set v1 master kbr && ip link set t0 master kbr";
    let made = Command::new("sh").args(["-c", line]).status().expect("sh");
    assert!(made.success(), "a kernel bridge");
    // Where bridged frames pass the IP filters, those drop ours, which have no header checksums.
    for family in ["ip", "ip6"] {
        let _kernels_without = std::fs::write(
            format!("/proc/sys/net/bridge/bridge-nf-call-{family}tables"),
            "0",
        );
    }
    let mut v0 = open_nic(&NicSpec::new("v0")).expect("open");
    // Its ports forward some time after they have a carrier.
    until("the bridge forwards", || {
        assert_eq!(send(&mut *v0.tx[0], &frame(60, 1), VnetHdr::NONE), SENT_ONE);
        let came = tap
            .rx
            .iter_mut()
            .flat_map(|rx| take(&mut **rx).expect("receive"));
        came.filter(ours).count() > 0
    });
    for rx in &mut tap.rx {
        receive_for(&mut **rx, Duration::from_millis(20));
    }
    v0
}

/// I-05: queues of a TAP.
#[test]
fn the_flows_of_a_tap_stay_together() {
    for method in METHODS {
        in_namespace(|| {
            let mut tap = tap(method);
            let mut behind = bridge_to_tap(&mut tap);
            assert_flows_stay_together(&mut *behind.tx[0], &mut tap.rx, "tap");
        });
    }
}

/// B-02, I-05: which worker writes a flow's frames to a TAP does not decide by which queue its answers
/// come: when the worker changes, they keep their queue and so their order.
#[test]
fn the_answers_of_a_flow_do_not_follow_whoever_writes() {
    for method in METHODS {
        in_namespace(|| {
            let mut tap = tap(method);
            let mut behind = open_nic(&NicSpec::new("t0")).expect("open");
            let mut used = std::collections::BTreeSet::new();
            for port in 0..32 {
                let answer = [ipv4((1, 6000 + port), (2, 80), 17, 0, 100)];
                let request = ipv4((2, 80), (1, 6000 + port), 17, 0, 100);
                let came_by = |tap: &mut OpenedPort, tx: &mut dyn PortTx| {
                    queues_of(tx, &mut tap.rx, &[], &answer)[0]
                };
                let first = came_by(&mut tap, &mut *behind.tx[0]);
                used.insert(first);
                for worker in [0, 1, 0] {
                    let out = tx_frame(&request, VnetHdr::NONE);
                    assert_eq!(send_all(&mut *tap.tx[worker], &[out]), SENT_ONE);
                    assert_eq!(
                        came_by(&mut tap, &mut *behind.tx[0]),
                        first,
                        "{method:?}, flow {port}, after worker {worker} wrote"
                    );
                }
            }
            assert!(used.len() > 2, "answers use the queues: {used:?}");
        });
    }
}

/// Frames of the test below, and after how many the queue goes on to the next thread.
const FRAMES: u32 = 4_000;
const TURN: u32 = 100;

/// Sends numbered frames while the queue goes from thread to thread. The first of them stays out of the
/// kernel from when it gave the queue away until all frames have come.
fn pass_on(what: &str, mut tx: Box<dyn PortTx>, rx: Box<dyn PortRx>) {
    let received = AtomicU32::new(0);
    let all_came = AtomicBool::new(false);
    // How many have had it, and the queue while nobody has it.
    let queue = Mutex::new((0, Some(rx)));
    std::thread::scope(|scope| {
        let (received, all_came, queue) = (&received, &all_came, &queue);
        scope.spawn(move || {
            for seed in 0..FRAMES {
                // No more than the smallest of the rings holds: nothing may be lost.
                until("room", || seed - received.load(Ordering::Acquire) < 30);
                let report = send(&mut *tx, &frame(60, seed), VnetHdr::NONE);
                assert_eq!(report, SENT_ONE);
            }
        });
        for turn in 1..=FRAMES / TURN {
            scope.spawn(move || {
                until("its turn", || {
                    let (given, _) = &*queue.lock().expect("queue");
                    *given == turn - 1
                });
                let rx = queue.lock().expect("queue").1.take();
                let mut rx = rx.expect("given away with the turn");
                let mut next = received.load(Ordering::Acquire);
                until("the frames of a turn", || {
                    for came in take(&mut *rx).expect("receive").iter().filter(|f| ours(f)) {
                        assert!(came.bytes == frame(60, next), "{what}: not frame {next}");
                        next += 1;
                        received.store(next, Ordering::Release);
                    }
                    next >= turn * TURN
                });
                rx.hand_over();
                *queue.lock().expect("queue") = (turn, Some(rx));
                while turn == 1 && !all_came.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let mut looks = 0;
        while received.load(Ordering::Acquire) < FRAMES && looks < 10_000 {
            std::thread::sleep(Duration::from_millis(1));
            looks += 1;
        }
        all_came.store(true, Ordering::Relaxed);
    });
    assert_eq!(received.into_inner(), FRAMES, "{what}");
}

/// B-02, I-04, I-05: each frame comes once and in order, whoever serves the queue by then.
#[test]
fn a_queue_goes_from_worker_to_worker_while_frames_come() {
    in_namespace(|| {
        veth("v0", "v1");
        let mut a = open_nic(&NicSpec::new("v0")).expect("open");
        let mut b = open_nic(&NicSpec::new("v1")).expect("open");
        pass_on("nic", a.tx.remove(0), b.rx.remove(0));
    });
    for method in METHODS {
        in_namespace(|| {
            let mut tap = open_tap(&TapSpec {
                method,
                ..TapSpec::new("t0")
            })
            .expect("open");
            let mut behind = open_nic(&NicSpec::new("t0")).expect("open");
            pass_on("tap", behind.tx.remove(0), tap.rx.remove(0));
        });
    }
}

/// I-05: a thread that gave its queue away has no read of it under way any more. It would go on serving
/// the queue as well: what it reads is posted when it happens to enter the kernel.
#[test]
fn nothing_of_a_queue_stays_with_the_thread_that_gave_it_away() {
    in_namespace(|| {
        let mut tap = open_tap(&TapSpec {
            method: TapMethod::Uring,
            ..TapSpec::new("t0")
        })
        .expect("open");
        let ring = tap.rx[0].ready_fds()[0].expect("a descriptor");
        let reads = || {
            let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{ring}"));
            let text = text.expect("what the kernel tells of a ring");
            let (_, polls) = text
                .split_once("PollList:")
                .expect("what waits for devices");
            polls.matches("op=").count()
        };
        for _ in 0..3 {
            receive_for(&mut *tap.rx[0], Duration::from_millis(1));
            assert_eq!(reads(), 1);
            tap.rx[0].hand_over();
            assert_eq!(reads(), 0);
        }
    });
}
