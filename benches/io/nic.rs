//! ns per frame from one veth end to another: our ring port against plain reads and sends of `afpacket`.
//!
//! A burst is put on the wire, then forwarded to the second device, all by one thread, so that the two
//! ways differ in nothing but themselves; what putting the burst on the wire costs alone is the first
//! row, and is part of the others. Runs in a network namespace of its own. Needs root; says so when it
//! skips.

use afpacket::sync::RawPacketStream;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};
use vswitch_benches::measure;
use vswitch_core::frame::{BATCH_MAX, FrameBatch, TxFrame, TxHeader, TxList, VnetHdr};
use vswitch_core::port::{PortRx, PortTx};
use vswitch_io::{NetNs, NicSpec, OpenedPort, link, open_nic};

/// Frames of a burst: fewer than the ring has slots and than a batch holds.
const BURST: usize = 32;
/// How long a frame on a veth pair may take; only a broken machine needs it.
const PATIENCE: Duration = Duration::from_secs(10);

#[expect(clippy::print_stderr, reason = "a bench reports")]
fn main() {
    let netns = match NetNs::new() {
        Ok(netns) => netns,
        Err(error) => {
            eprintln!(
                "SKIPPED: io needs root for namespaces and devices ({error}): run it with sudo"
            );
            return;
        }
    };
    let done = netns.run(|| {
        for size in [60, 1514] {
            compare(size)?;
        }
        Ok(())
    });
    done.expect("veth devices in a namespace of its own");
}

/// Both ways and the burst alone, for frames of `size` bytes.
fn compare(size: usize) -> io::Result<()> {
    let frame = [[2_u8; 12].as_slice(), &[0x88, 0xb5], &vec![0; size - 14]].concat();
    let ends = ["wire-a", "in", "out", "wire-b"];
    std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
    link::add_veth(ends[0], ends[1], None)?;
    link::add_veth(ends[2], ends[3], None)?;
    for end in ends {
        link::set_up(index(end)?, true)?;
    }
    let mut wire = open(ends[0])?;
    let burst = burst_of(&frame);
    let mut inject = || assert_eq!(wire.tx[0].send(TxList::all(&burst)).sent as usize, BURST);
    measure_way(&format!("burst of {size} bytes alone"), &mut inject);
    by_ring(size, [ends[1], ends[2]], &mut inject)?;
    by_afpacket(size, [ends[1], ends[2]], &mut inject)?;
    wire.keep.close().map_err(io::Error::other)?;
    link::delete(index(ends[0])?)?;
    link::delete(index(ends[2])?)
}

fn by_ring(size: usize, [from, to]: [&str; 2], inject: &mut dyn FnMut()) -> io::Result<()> {
    let (mut from, mut to) = (open(from)?, open(to)?);
    let (rx, tx) = (&mut from.rx[0], &mut to.tx[0]);
    measure_way(&format!("ring port, {size} bytes"), &mut || {
        inject();
        let end = Instant::now() + PATIENCE;
        let mut forwarded = 0;
        while forwarded < BURST {
            forwarded += forward(rx.as_mut(), tx.as_mut());
            assert!(
                Instant::now() < end,
                "{forwarded} of {BURST} frames arrived"
            );
        }
    });
    to.keep.close().map_err(io::Error::other)?;
    from.keep.close().map_err(io::Error::other)
}

/// One batch from port to port, as a worker does it.
fn forward(rx: &mut dyn PortRx, tx: &mut dyn PortTx) -> usize {
    let mut batch = FrameBatch::new();
    rx.receive(&mut batch).expect("a device that is up");
    let out: arrayvec::ArrayVec<TxFrame<'_>, BATCH_MAX> = batch
        .iter()
        .map(|frame| TxFrame {
            header: TxHeader::new(frame.bytes.first_chunk().expect("longer than a header")),
            rest: &frame.bytes[12..],
            offload: frame.offload,
        })
        .collect();
    let sent = tx.send(TxList::all(&out)).sent;
    drop(out);
    drop(batch);
    rx.release();
    sent as usize
}

fn by_afpacket(size: usize, [from, to]: [&str; 2], inject: &mut dyn FnMut()) -> io::Result<()> {
    let (mut rx, mut tx) = (RawPacketStream::new()?, RawPacketStream::new()?);
    rx.bind(from)?;
    tx.bind(to)?;
    rx.set_non_blocking()?;
    let mut bytes = [0; 2048];
    // Unbound sockets heard every device.
    while rx.read(&mut bytes).is_ok() {}
    measure_way(
        &format!("afpacket read and send, {size} bytes"),
        &mut || {
            inject();
            let end = Instant::now() + PATIENCE;
            let mut forwarded = 0;
            while forwarded < BURST {
                match rx.read(&mut bytes) {
                    Ok(len) => {
                        tx.write_all(&bytes[..len]).expect("a device that is up");
                        forwarded += 1;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        assert!(
                            Instant::now() < end,
                            "{forwarded} of {BURST} frames arrived"
                        );
                    }
                    Err(error) => panic!("cannot read: {error}"),
                }
            }
        },
    );
    Ok(())
}

fn measure_way(what: &str, work: &mut dyn FnMut()) {
    let units = u32::try_from(BURST).expect("a few");
    measure(what, units, true, work);
}

/// A device as a port whose host stack is left as it is: no packet filter in the way of either.
fn open(name: &str) -> io::Result<OpenedPort> {
    let spec = NicSpec {
        isolate: false,
        ..NicSpec::new(name)
    };
    open_nic(&spec).map_err(|error| io::Error::other(error.chain()))
}

fn burst_of(frame: &[u8]) -> Vec<TxFrame<'_>> {
    let frame = TxFrame {
        header: TxHeader::new(frame.first_chunk().expect("longer than a header")),
        rest: &frame[12..],
        offload: VnetHdr::NONE,
    };
    vec![frame; BURST]
}

fn index(name: &str) -> io::Result<u32> {
    let link = link::by_name(name)?.ok_or(ErrorKind::NotFound)?;
    Ok(link.ifindex)
}
