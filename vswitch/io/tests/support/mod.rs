//! What the tests of real devices share: a namespace of their own, veth pairs, frames, patience.
//!
//! Each test runs in a new network namespace that ends with it, so nothing is left behind and nothing
//! of the machine's is touched. Without the right to make one, a test fails and says why.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::time::{Duration, Instant};
use vswitch_core::frame::{BATCH_MAX, Frame, FrameBatch, TxFrame, TxHeader, TxList, VnetHdr};
use vswitch_core::port::{PortRx, PortTx, TxReport};
use vswitch_io::{NetNs, link};

/// The destination of the tests' frames.
pub(crate) const DST: [u8; 6] = [2, 0, 0, 0, 0, 0xd];
/// Their source.
pub(crate) const SRC: [u8; 6] = [2, 0, 0, 0, 0, 0x5];

/// Runs `test` in a network namespace of its own.
pub(crate) fn in_namespace(test: impl FnOnce() + Send) {
    let netns = NetNs::new()
        .expect("these tests need root (CAP_SYS_ADMIN and CAP_NET_ADMIN): run them with sudo");
    netns
        .run(|| {
            test();
            Ok(())
        })
        .expect("the namespace was just made");
}

/// A veth pair, both ends up, without IPv6 noise; returns the interface indices.
pub(crate) fn veth(a: &str, b: &str) -> (u32, u32) {
    link::add_veth(a, b, None).expect("the veth driver");
    let index = |name: &str| {
        link::by_name(name)
            .expect("netlink")
            .expect("just made")
            .ifindex
    };
    for name in [a, b] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1")
            .expect("sysctl");
        link::set_up(index(name), true).expect("up");
    }
    (index(a), index(b))
}

/// What was received, copied out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Owned {
    pub(crate) bytes: Vec<u8>,
    pub(crate) tag: Option<(u16, u16)>,
    pub(crate) offload: VnetHdr,
}

impl Owned {
    fn of(frame: &Frame<'_>) -> Self {
        let tag = frame.stripped.map(|tag| (tag.tpid.ether_type(), tag.tci.0));
        Self {
            bytes: frame.bytes.to_vec(),
            tag,
            offload: frame.offload,
        }
    }
}

/// One batch, copied out and released.
pub(crate) fn take(rx: &mut dyn PortRx) -> std::io::Result<Vec<Owned>> {
    let mut batch = FrameBatch::new();
    let result = rx.receive(&mut batch);
    let frames = batch.iter().map(Owned::of).collect();
    drop(batch);
    rx.release();
    result.map(|()| frames)
}

/// Receives until `count` frames that `wanted` picks have come, or fails as [`until`] does.
pub(crate) fn receive(
    rx: &mut dyn PortRx,
    count: usize,
    wanted: impl Fn(&Owned) -> bool,
) -> Vec<Owned> {
    let mut found = Vec::new();
    until("frames to arrive", || {
        found.extend(take(rx).expect("receive").into_iter().filter(&wanted));
        found.len() >= count
    });
    found
}

/// All that arrives within `time`.
pub(crate) fn receive_for(rx: &mut dyn PortRx, time: Duration) -> Vec<Owned> {
    let end = Instant::now() + time;
    let mut found = Vec::new();
    while Instant::now() < end {
        found.extend(take(rx).expect("receive"));
        std::thread::sleep(Duration::from_millis(1));
    }
    found
}

/// Frames of the tests' own EtherType, which no stack sends.
pub(crate) fn ours(frame: &Owned) -> bool {
    frame.bytes.get(12..14) == Some(&[0x88, 0xb5])
}

/// Looks until `done`, or fails after 25,000 looks, which take five seconds and more. Counted and not
/// timed: a machine that stops for a minute stops the test as well.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..25_000 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    panic!("looked 25,000 times for {what}");
}

/// The bytes of a frame with EtherType 0x88b5, `len` bytes long, filled from `seed`.
pub(crate) fn frame(len: usize, seed: u32) -> Vec<u8> {
    let mut bytes = [DST.as_slice(), &SRC, &[0x88, 0xb5], &seed.to_be_bytes()].concat();
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.push(state.to_be_bytes()[1]);
    }
    bytes
}

/// Sends a whole frame (addresses first) with an offload header.
pub(crate) fn send(tx: &mut dyn PortTx, bytes: &[u8], offload: VnetHdr) -> TxReport {
    send_all(tx, &[tx_frame(bytes, offload)])
}

/// Sends any number of frames, a batch at a time.
pub(crate) fn send_all(tx: &mut dyn PortTx, frames: &[TxFrame<'_>]) -> TxReport {
    let mut sum = TxReport::default();
    for batch in frames.chunks(BATCH_MAX) {
        let report = tx.send(TxList::all(batch));
        sum.sent += report.sent;
        sum.full += report.full;
        sum.errors += report.errors;
        if report.last_errno != 0 {
            sum.last_errno = report.last_errno;
        }
    }
    sum
}

/// A whole frame as a gather of its addresses and the rest.
pub(crate) fn tx_frame(bytes: &[u8], offload: VnetHdr) -> TxFrame<'_> {
    let (addresses, rest) = bytes.split_first_chunk().expect("an Ethernet header");
    TxFrame {
        header: TxHeader::new(addresses),
        rest,
        offload,
    }
}

/// One frame sent and nothing else.
pub(crate) const SENT_ONE: TxReport = TxReport {
    sent: 1,
    full: 0,
    errors: 0,
    last_errno: 0,
    uncut: false,
};
