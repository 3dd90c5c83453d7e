//! Frames received from an existing device through AF_PACKET: TPACKET_V2 rings. Sending is in `nic_tx.rs`.
//!
//! The outermost tag comes beside the bytes, the virtio-net header with them; a frame that was
//! cut to its slot is counted and not delivered.
//!
//! **Two rings.** A slot for a frame of 64 KB wastes all but 200 bytes of itself on a small one, and a ring
//! of as many slots as memory allows is full after a third of a millisecond of small frames. So the only
//! queue of a device has two sockets, each with half of the memory: thousands of slots for frames of up to
//! [`SHORT_MAX`] bytes, and a few for longer ones. A program of the kernel's fanout sends each frame to one
//! of them. They are put in order again by the time that the kernel noted for each (see `take_long`). A
//! device with several queues has one ring for each, with slots for any frame: there the fanout spreads flows.
//!
//! A receive ring that the kernel has stopped filling shows within two seconds and makes `receive` return
//! `EPROTO`: [`Half::take_drops`] says how that comes.
//!
//! A device that goes down makes `receive` return `ENETDOWN` once; when it comes up again the same ring
//! goes on. A device that is gone makes every call return `ENODEV`: the port must be opened anew.
//!
//! Why so many slots: [`RING_SLOTS`].

use crate::sys::packet;
use crate::sys::packet_ring::{Geometry, RxRing, RxSlot};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use vswitch_base::{Tag, Tci, Tpid};
use vswitch_core::frame::{Frame, FrameBatch, VnetHdr};
use vswitch_core::port::{PortRx, QUEUE_STUCK, ReadyFds, RxLosses};

/// Bytes of a slot that holds the largest segmentation-offload frame with all headers.
pub const SLOT_BYTES: u32 = 67_584;
/// Slots of that size in four blocks of 2 MiB. Fewer forward as fast but do not outlast the time that a
/// worker waits for a busy core: with the cores twice overcommitted, TCP at 6 to 10 Gb/s lost 1 to 3 % of
/// its 64 KB frames in a ring of 31 slots and none to 25 frames of 50,000 in one of 62; 124 slots carried a
/// fifth more TCP than 62 (medians of seven interleaved runs) and lose less of small frames as well.
pub const RING_SLOTS: u32 = 124;
/// Empty looks at the ring between two questions to the socket whether the device is well. Asking is a
/// system call, and a device that fails makes the descriptor readable, so that looks follow fast.
const LOOKS_PER_CHECK: u32 = 256;

/// Bytes of a slot for short frames: an odd number of cache lines, so that the slots of a batch do not
/// contend for the same few sets of the cache.
const SHORT_SLOT_BYTES: u32 = 1_664;
/// Bytes after the Ethernet header of the longest frame that goes to the ring of short ones. With header,
/// two tags in band and what the kernel puts before a frame (76 bytes) it fits into a slot.
const SHORT_MAX: u32 = 1_560;

/// Where packet sockets come from: made here, or handed over by who may enter the device's namespace.
pub(crate) type Sockets<'a> = dyn FnMut() -> io::Result<OwnedFd> + 'a;

/// One socket and its ring.
#[derive(Debug)]
struct Half {
    // The ring is unmapped before its socket is closed.
    ring: RxRing,
    socket: OwnedFd,
    /// See [`Self::take_drops`].
    stuck: bool,
}

impl Half {
    fn open(geometry: Geometry, sockets: &mut Sockets<'_>) -> io::Result<Self> {
        let socket = sockets()?;
        packet::set_ignore_outgoing(socket.as_fd())?;
        packet::set_vnet_header(socket.as_fd())?;
        let ring = RxRing::map(socket.as_fd(), geometry)?;
        Ok(Self {
            ring,
            socket,
            stuck: false,
        })
    }

    /// Empties the ring and forgets what it had no room for.
    fn discard(&mut self) {
        while self.ring.lend().next().is_some() {}
        self.ring.release();
        let _before_our_time = packet::take_drops(self.socket.as_fd());
    }

    /// Frames that found the ring full since the last call. Also notes whether the ring is stuck: the kernel
    /// dropped frames in a time in which we took none, and the ring is empty. A ring that was full in that time is
    /// not: then we took some of what filled it.
    ///
    /// Since Linux 5.6 (and still in 6.18) a V2 ring stops for good at a frame whose segmentation type
    /// a virtio-net header cannot name: the slot that it was to have stays marked as being filled. That
    /// are SCTP's segments, which a veth takes from the stack behind it, and UDP fragments, which old
    /// guests make.
    fn take_drops(&mut self) -> u64 {
        let drops = packet::take_drops(self.socket.as_fd()).unwrap_or(0);
        let used = self.ring.take_used();
        self.stuck |= drops > 0 && !used && !self.ring.is_ready();
        drops.into()
    }
}

/// One receive queue of a `nic` port.
#[derive(Debug)]
pub(crate) struct PacketRx {
    /// For short frames, where there are two rings.
    short: Option<Half>,
    /// For all others.
    long: Half,
    ifindex: u32,
    truncated: u64,
    empty_looks: u32,
    gone: bool,
}

impl PacketRx {
    /// Opens `queues` receive queues on a device; more than one share its flows by hash. `slots` of
    /// `slot_bytes` say how much memory each has: a queue alone gives half of it to short frames.
    ///
    /// # Errors
    /// `ENODEV`, `ENOMEM`, `EPERM`, or `ENOPROTOOPT` on kernels without an option that is needed.
    pub(crate) fn open(
        ifindex: u32,
        queues: u16,
        slots: u32,
        slot_bytes: u32,
        sockets: &mut Sockets<'_>,
    ) -> io::Result<Vec<Self>> {
        if queues <= 1 && slots > 1 && slot_bytes > 4 * SHORT_SLOT_BYTES {
            return Ok(vec![Self::two_rings(ifindex, slots, slot_bytes, sockets)?]);
        }
        let geometry = Geometry::new(slots, slot_bytes);
        let mut opened = Vec::with_capacity(usize::from(queues));
        for _ in 0..queues.max(1) {
            opened.push(Self::new(ifindex, None, Half::open(geometry, sockets)?));
        }
        // Last, so that nothing arrives half set up.
        let mut group = None;
        for rx in &opened {
            packet::add_promiscuous(rx.long.socket.as_fd(), ifindex)?;
            packet::bind_all(rx.long.socket.as_fd(), ifindex)?;
            if queues > 1 {
                group = Some(packet::join_fanout(rx.long.socket.as_fd(), group)?);
            }
        }
        if queues > 1 {
            // Until the last socket joined, several saw the same frame.
            for rx in &mut opened {
                rx.long.discard();
            }
        }
        Ok(opened)
    }

    fn two_rings(
        ifindex: u32,
        slots: u32,
        slot_bytes: u32,
        sockets: &mut Sockets<'_>,
    ) -> io::Result<Self> {
        let long = Geometry::new(slots / 2, slot_bytes);
        let bytes = u32::try_from(long.bytes()).unwrap_or(u32::MAX);
        // First here, because the program knows the sockets by the order in which they came, also when
        // the device was down and they join anew.
        let mut short = Half::open(
            Geometry::new(bytes / SHORT_SLOT_BYTES, SHORT_SLOT_BYTES),
            sockets,
        )?;
        let mut long = Half::open(long, sockets)?;
        packet::add_promiscuous(long.socket.as_fd(), ifindex)?;
        packet::bind_all(short.socket.as_fd(), ifindex)?;
        packet::bind_all(long.socket.as_fd(), ifindex)?;
        let group = packet::start_program_fanout(short.socket.as_fd(), &by_length())?;
        packet::join_program_fanout(long.socket.as_fd(), group)?;
        // Until now each saw every frame.
        short.discard();
        long.discard();
        Ok(Self::new(ifindex, Some(short), long))
    }

    const fn new(ifindex: u32, short: Option<Half>, long: Half) -> Self {
        Self {
            short,
            long,
            ifindex,
            truncated: 0,
            empty_looks: 0,
            gone: false,
        }
    }

    fn halves(&self) -> impl Iterator<Item = &Half> {
        self.short.iter().chain(std::iter::once(&self.long))
    }

    /// Bytes of memory that the queue holds.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.halves().map(|half| half.ring.memory_bytes()).sum()
    }

    /// Asks the sockets whether the device is well. Both are told of the same failure.
    fn check(&mut self) -> io::Result<()> {
        let mut found = None;
        for half in self.halves() {
            found = packet::take_error(half.socket.as_fd()).or(found);
        }
        let Some(error) = found else {
            return Ok(());
        };
        // A device that is down and one that is gone give the same error.
        if rustix::net::netdevice::index_to_name(&self.long.socket, self.ifindex).is_err() {
            self.gone = true;
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        Err(error)
    }

    /// The frame of a slot; `None` for one that is not whole, which is counted.
    fn frame<'a>(slot: &RxSlot<'a>, truncated: &mut u64) -> Option<Frame<'a>> {
        let stripped = slot.tag.map(|(tci, tpid)| {
            Tpid::from_ether_type(tpid).map(|tpid| Tag {
                tpid,
                tci: Tci(tci),
            })
        });
        // A frame whose tag we cannot name is not whole either: without it, it would be in
        // another VLAN.
        if slot.truncated || stripped == Some(None) {
            *truncated += 1;
            return None;
        }
        Some(Frame {
            bytes: slot.bytes,
            stripped: stripped.flatten(),
            offload: VnetHdr::from_bytes(&slot.vnet),
        })
    }
}

/// The program of the fanout of two rings: the number of the socket for a frame.
fn by_length() -> [libc::sock_filter; 4] {
    let statement = |code: u32, jt, jf, k| libc::sock_filter {
        code: u16::try_from(code).expect("codes are small"),
        jt,
        jf,
        k,
    };
    [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_LEN, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 0, 1, SHORT_MAX),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    ]
}

/// Whether the next frame is the one that the ring of long frames has; `None` when no ring has one. Each
/// look gives the time of a ring's next frame.
///
/// The frames of one flow are taken in one after the other, so what came before a frame that we see is in
/// its ring already. It may have come after we looked there, though: a ring that seemed empty is looked
/// at again before a frame of the other is taken. Looking at the long ring first saves that for the short.
#[inline]
fn take_long(long: impl Fn() -> Option<u64>, short: impl Fn() -> Option<u64>) -> Option<bool> {
    match (long(), short()) {
        (None, None) => None,
        (Some(_), None) => Some(true),
        (Some(long), Some(short)) => Some(long <= short),
        (None, Some(short)) => Some(long().is_some_and(|long| long <= short)),
    }
}

impl PortRx for PacketRx {
    fn receive<'a>(&'a mut self, batch: &mut FrameBatch<'a>) -> io::Result<()> {
        if self.gone {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        // The other ring may never be empty: what waits there is given up for the frames that do not come.
        if self.halves().any(|half| half.stuck) {
            return Err(io::Error::from_raw_os_error(QUEUE_STUCK));
        }
        if !self.halves().any(|half| half.ring.is_ready()) {
            self.empty_looks += 1;
            if self.empty_looks >= LOOKS_PER_CHECK {
                self.empty_looks = 0;
                self.check()?;
            }
            return Ok(());
        }
        self.empty_looks = 0;
        let mut long = self.long.ring.lend();
        let mut short = self.short.as_mut().map(|half| half.ring.lend());
        while batch.remaining_capacity() > 0 {
            let is_long = match &short {
                None => Some(true),
                Some(short) => take_long(|| long.stamp(), || short.stamp()),
            };
            let slot = match (is_long, &mut short) {
                (Some(false), Some(short)) => short.next(),
                (Some(_), _) => long.next(),
                (None, _) => None,
            };
            let Some(slot) = slot else { break };
            batch.extend(Self::frame(&slot, &mut self.truncated));
        }
        Ok(())
    }

    fn release(&mut self) {
        self.long.ring.release();
        if let Some(short) = &mut self.short {
            short.ring.release();
        }
    }

    fn ready_fds(&self) -> ReadyFds {
        let fd = |half: &Half| half.socket.as_raw_fd();
        [Some(fd(&self.long)), self.short.as_ref().map(fd)]
    }

    fn take_losses(&mut self) -> RxLosses {
        let short = self.short.as_mut().map_or(0, Half::take_drops);
        let ring_full = self.long.take_drops() + short;
        let truncated = std::mem::take(&mut self.truncated);
        RxLosses {
            ring_full,
            truncated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::take_long;
    use std::cell::Cell;

    #[test]
    fn the_earlier_frame_comes_first_and_an_empty_long_ring_is_looked_at_twice() {
        // What the long ring shows at the first and the second look, what the short one shows.
        let table = [
            ([None, None], None, None),
            ([None, Some(1)], None, None),
            ([None, None], Some(5), Some(false)),
            ([None, Some(4)], Some(5), Some(true)),
            ([None, Some(6)], Some(5), Some(false)),
            ([Some(4), Some(4)], None, Some(true)),
            ([Some(4), Some(4)], Some(5), Some(true)),
            ([Some(6), Some(6)], Some(5), Some(false)),
        ];
        for (looks, short, expected) in table {
            let next = Cell::new(0);
            let long = || looks[next.replace(next.get() + 1)];
            assert_eq!(take_long(long, || short), expected, "{looks:?} {short:?}");
        }
    }
}
