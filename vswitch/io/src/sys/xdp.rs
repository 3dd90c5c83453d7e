//! AF_XDP sockets that only send, in copy mode: the shortest way through the kernel to a driver.
//!
//! Frames are copied into chunks of memory that the kernel knows, described in a ring, and sent by one
//! `sendto`, which copies each into a socket buffer and calls the driver, with none of the work that
//! `sendmmsg` on a packet socket does for each frame: messages and their parts taken in, headers
//! dissected, a queue picked (Linux `net/xdp/xsk.c`, `__xsk_generic_xmit`).
//!
//! In copy mode the kernel looks at ring and chunks inside that call only. So between calls all of them
//! are ours, and what it did not take can be withdrawn: descriptors that name no chunk are skipped. The
//! completion ring tells nothing that we need; it is only kept empty.
//!
//! The sockets of one device queue share chunks and completion ring ([`Area`]); each has its own part of
//! the chunks, and a transmit ring of its own. One [`XdpSender`] belongs to one worker at a time.
#![expect(unsafe_code, reason = "memory and rings shared with the kernel")]

use super::check;
use super::mapping::Mapping;
use super::packet::set_send_buffer;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use vswitch_core::frame::{BATCH_MAX, TxFrame, TxList};
use vswitch_core::port::TxReport;

/// Bytes of a chunk, and so of the longest frame.
pub(crate) const CHUNK_BYTES: usize = 2048;
/// Descriptors of a transmit ring: a batch and not one more, because what is left of one is withdrawn
/// and must be skipped before the next.
const TX_ENTRIES: u32 = 64;
const _: () = assert!(TX_ENTRIES as usize == BATCH_MAX);
/// Frames that may be on their way through drivers, of all senders of a queue.
const COMPLETION_ENTRIES: u32 = 2048;
/// What one sender's frames on their way through drivers may hold in kernel memory: a thousand long ones.
/// The usual 208 KiB are four batches of short ones.
const SEND_BUFFER_BYTES: usize = 4 << 20;
/// The kernel wants a fill ring even of a socket that never receives.
const FILL_ENTRIES: u32 = 2;
/// An address in no chunk.
const WITHDRAWN: u64 = u64::MAX;
/// `XDP_MAX_TX_SKB_BUDGET`: frames of one `sendto`, 32 unless set (Linux 6.17 `if_xdp.h`).
const MAX_TX_BUDGET: libc::c_int = 9;

/// Bytes of one sender's chunks.
const SHARE_BYTES: usize = BATCH_MAX * CHUNK_BYTES;

/// The position words of a ring shared with the kernel, and what lies in it.
#[derive(Debug)]
struct Ring {
    memory: Mapping,
    producer: usize,
    consumer: usize,
    descriptors: usize,
}

impl Ring {
    /// Maps the ring that the socket has at `page`.
    fn map(
        fd: BorrowedFd<'_>,
        page: u64,
        at: &libc::xdp_ring_offset,
        bytes: usize,
    ) -> io::Result<Self> {
        let offset = |n: u64| usize::try_from(n).map_err(|_| io::ErrorKind::InvalidData);
        let (producer, consumer) = (offset(at.producer)?, offset(at.consumer)?);
        let descriptors = offset(at.desc)?;
        let inside = |word: usize| word.is_multiple_of(4) && word + 4 <= descriptors + bytes;
        if !inside(producer) || !inside(consumer) || !descriptors.is_multiple_of(8) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self {
            memory: Mapping::shared(fd, page, descriptors + bytes)?,
            producer,
            consumer,
            descriptors,
        })
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: `map` checked that the word is inside the mapping and aligned.
        let word = unsafe { self.memory.base.add(at) }.cast::<u32>();
        // SAFETY: it lives as long as `self`, and both we and the kernel access it atomically only.
        unsafe { AtomicU32::from_ptr(word.as_ptr()) }
    }

    fn producer(&self) -> &AtomicU32 {
        self.word(self.producer)
    }

    fn consumer(&self) -> &AtomicU32 {
        self.word(self.consumer)
    }
}

/// What the senders of one device queue share.
#[derive(Debug)]
struct Area {
    chunks: Mapping,
    completion: Ring,
}

// SAFETY: each sender writes to its own part of the chunks only, and the completion ring is touched
// through its atomic words only.
unsafe impl Sync for Area {}

impl Area {
    /// Says that everything completed was seen. Workers that do so at once may put the word back to what
    /// it was a moment ago, which costs room in the ring until the next call and nothing else.
    fn forget_completed(&self) {
        let done = self.completion.producer().load(Ordering::Acquire);
        self.completion.consumer().store(done, Ordering::Release);
    }
}

/// One worker's way to send through a device.
#[derive(Debug)]
pub(crate) struct XdpSender {
    // The socket is closed before the memory that it reads goes.
    socket: OwnedFd,
    ring: Ring,
    area: Arc<Area>,
    /// Where this sender's chunks begin.
    first: usize,
    /// Descriptors ever written.
    written: u32,
}

impl XdpSender {
    /// Opens a way to send for each of `senders` workers on a device with one queue; nothing for a device
    /// with several, where AF_XDP binds to one of them: a flow whose other frames go through a packet
    /// socket, for which the driver chooses, would not keep its order.
    ///
    /// # Errors
    /// `EAFNOSUPPORT` on kernels without AF_XDP, `EPERM`, `ENOBUFS` beyond the limit of locked memory,
    /// `EBUSY` when another program has an AF_XDP socket on the queue, `ENODEV`.
    pub(crate) fn open(ifindex: u32, senders: usize) -> io::Result<Vec<Self>> {
        match Self::on_queue(ifindex, 1, 1) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {} // There is no such queue.
            Err(error) if error.raw_os_error() != Some(libc::EBUSY) => return Err(error),
            _ => return Ok(Vec::new()),
        }
        let senders = senders.max(1);
        let mut opened = vec![Self::on_queue(ifindex, 0, senders)?];
        for share in 1..senders {
            let beside = opened[0].beside(ifindex, share)?;
            opened.push(beside);
        }
        Ok(opened)
    }

    /// A sender with memory for `sharing` senders of this queue.
    fn on_queue(ifindex: u32, queue: u32, sharing: usize) -> io::Result<Self> {
        let socket = open_socket()?;
        let chunks = Mapping::private(sharing * SHARE_BYTES)?;
        let region = libc::xdp_umem_reg {
            addr: chunks.base.as_ptr() as u64,
            len: chunks.len as u64,
            chunk_size: u32::try_from(CHUNK_BYTES).expect("a constant"),
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        set_option(socket.as_fd(), libc::XDP_UMEM_REG, &region)?;
        set_option(socket.as_fd(), libc::XDP_UMEM_FILL_RING, &FILL_ENTRIES)?;
        set_option(
            socket.as_fd(),
            libc::XDP_UMEM_COMPLETION_RING,
            &COMPLETION_ENTRIES,
        )?;
        let ring = transmit_ring(socket.as_fd())?;
        let completion = Ring::map(
            socket.as_fd(),
            libc::XDP_UMEM_PGOFF_COMPLETION_RING,
            &offsets(socket.as_fd())?.cr,
            COMPLETION_ENTRIES as usize * size_of::<u64>(),
        )?;
        bind(socket.as_fd(), ifindex, queue, None)?;
        Ok(Self {
            socket,
            ring,
            area: Arc::new(Area { chunks, completion }),
            first: 0,
            written: 0,
        })
    }

    /// Another sender on the first queue, the `share`th after this one.
    fn beside(&self, ifindex: u32, share: usize) -> io::Result<Self> {
        let socket = open_socket()?;
        let ring = transmit_ring(socket.as_fd())?;
        bind(socket.as_fd(), ifindex, 0, Some(self.socket.as_fd()))?;
        Ok(Self {
            socket,
            ring,
            area: Arc::clone(&self.area),
            first: share * SHARE_BYTES,
            written: 0,
        })
    }

    /// Bytes of memory that a sender holds.
    pub(crate) const fn memory_bytes() -> usize {
        SHARE_BYTES
            + TX_ENTRIES as usize * size_of::<libc::xdp_desc>()
            + COMPLETION_ENTRIES as usize * size_of::<u64>()
    }

    /// Whether a frame can be sent this way: it fits into a chunk and leaves nothing to the device.
    #[inline]
    pub(crate) fn takes(frame: &TxFrame<'_>) -> bool {
        frame.wire_len() <= CHUNK_BYTES && !frame.offload.needs_csum() && !frame.offload.is_gso()
    }

    /// Sends frames in order, all of which it [takes](Self::takes).
    ///
    /// What the device does not take is counted as full, and as errors when it is down or gone.
    pub(crate) fn send(&mut self, frames: TxList<'_>) -> TxReport {
        let count = u32::try_from(frames.len()).expect("at most BATCH_MAX");
        let mut taken = self.ring.consumer().load(Ordering::Acquire);
        if taken != self.written {
            // Only withdrawn descriptors are left: the kernel skips them now, unless the device is down.
            let result = self.kick();
            taken = self.ring.consumer().load(Ordering::Acquire);
            if taken != self.written {
                let mut outcome = Outcome::new(count);
                outcome.note(0, result.and(Err(libc::EAGAIN)));
                return outcome.report();
            }
        }
        for (chunk, frame) in frames.iter().enumerate() {
            let (addr, len) = self.copy(chunk, frame);
            self.place(self.written, addr, len);
            self.written = self.written.wrapping_add(1);
        }
        self.ring.producer().store(self.written, Ordering::Release);
        let mut outcome = Outcome::new(count);
        while outcome.goes_on() {
            let result = self.kick();
            let now = self.ring.consumer().load(Ordering::Acquire);
            outcome.note(now.wrapping_sub(taken), result);
            taken = now;
        }
        let unsent = self.written.wrapping_sub(taken).min(count);
        for n in 0..unsent {
            self.place(self.written.wrapping_sub(n + 1), WITHDRAWN, 0);
        }
        outcome.report()
    }

    /// Copies a frame into one of our chunks; returns its address and length in the kernel's terms.
    fn copy(&self, chunk: usize, frame: &TxFrame<'_>) -> (u64, u32) {
        let (header, rest) = (frame.header.as_slice(), frame.rest);
        let len = header.len() + rest.len();
        assert!(
            chunk < BATCH_MAX && len <= CHUNK_BYTES,
            "a list has at most BATCH_MAX frames, and each was taken"
        );
        let at = self.first + chunk * CHUNK_BYTES;
        // SAFETY: the chunk is inside the mapping, which has SHARE_BYTES from `first` on.
        let to = unsafe { self.area.chunks.base.add(at) }.as_ptr();
        // SAFETY: `len` bytes are inside the chunk, as just checked, which is this sender's alone; the
        // kernel only reads it, and that during `kick`; zeroed memory is initialised.
        let to = unsafe { std::slice::from_raw_parts_mut(to, len) };
        let (to_header, to_rest) = to.split_at_mut(header.len());
        to_header.copy_from_slice(header);
        to_rest.copy_from_slice(rest);
        (at as u64, u32::try_from(len).expect("at most CHUNK_BYTES"))
    }

    /// Writes the descriptor with this number, counted from the first ever.
    fn place(&self, number: u32, addr: u64, len: u32) {
        let index = (number % TX_ENTRIES) as usize;
        let descriptor = libc::xdp_desc {
            addr,
            len,
            options: 0,
        };
        // SAFETY: the descriptors begin inside the mapping, aligned, as `Ring::map` checked.
        let first = unsafe { self.ring.memory.base.add(self.ring.descriptors) };
        // SAFETY: there are TX_ENTRIES of them.
        let slot = unsafe { first.cast::<libc::xdp_desc>().add(index) };
        // SAFETY: as above; the kernel reads them during `kick` only, and no reference to them exists.
        unsafe { slot.write(descriptor) };
    }

    /// Lets the kernel send what is in the ring.
    fn kick(&self) -> Result<(), i32> {
        let (nothing, flags) = (std::ptr::null(), libc::MSG_DONTWAIT);
        // SAFETY: no bytes and no address are passed.
        let result = unsafe {
            libc::sendto(
                self.socket.as_raw_fd(),
                nothing,
                0,
                flags,
                std::ptr::null(),
                0,
            )
        };
        let result = if result < 0 {
            let errno = io::Error::last_os_error().raw_os_error();
            Err(errno.unwrap_or(libc::EIO))
        } else {
            Ok(())
        };
        self.area.forget_completed();
        result
    }
}

/// Adds up what the kernel says of a batch, call by call.
#[derive(Debug)]
struct Outcome {
    count: u32,
    /// Frames of the batch that the kernel is known to be past.
    past: u32,
    /// Of those, frames that the driver dropped.
    dropped: u32,
    /// Drops that the position does not show yet.
    unseen: u32,
    errno: i32,
    over: bool,
}

impl Outcome {
    const fn new(count: u32) -> Self {
        Self {
            count,
            past: 0,
            dropped: 0,
            unseen: 0,
            errno: 0,
            over: count == 0,
        }
    }

    const fn goes_on(&self) -> bool {
        !self.over
    }

    /// One call moved the position by `advanced` and ended so.
    fn note(&mut self, advanced: u32, result: Result<(), i32>) {
        self.past += advanced;
        // The driver dropped the frame that the call ended with, and the kernel is past it.
        if result == Err(libc::EBUSY) {
            self.unseen += 1;
        }
        // The position is only written when a frame was sent; then it covers all before.
        if advanced > 0 {
            self.dropped += self.unseen;
            self.unseen = 0;
        }
        let goes_on = match result {
            // A frame was dropped, or a signal came: the next call goes on after it. Each such call
            // passes a frame or is a signal.
            Err(libc::EBUSY) => self.past + self.unseen < self.count,
            Err(libc::EINTR) => true,
            // The share of one call is used up while there is progress.
            Ok(()) | Err(libc::EAGAIN | libc::ENOBUFS) => advanced > 0 && self.past < self.count,
            Err(errno) => {
                self.errno = errno;
                false
            }
        };
        self.over = !goes_on;
    }

    fn report(&self) -> TxReport {
        let sent = self.past.saturating_sub(self.dropped);
        let lost = self.count.saturating_sub(sent);
        let refused = if self.errno == 0 {
            0
        } else {
            lost - self.dropped.min(lost)
        };
        TxReport {
            sent,
            full: lost - refused,
            errors: refused,
            last_errno: self.errno,
            uncut: false,
        }
    }
}

fn open_socket() -> io::Result<OwnedFd> {
    let family = AddressFamily::from_raw(u16::try_from(libc::AF_XDP).expect("the constant is 44"));
    let socket = rustix::net::socket_with(
        family,
        SocketType::RAW,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?;
    set_send_buffer(socket.as_fd(), SEND_BUFFER_BYTES)?;
    Ok(socket)
}

/// Gives the socket its transmit ring and maps it.
fn transmit_ring(fd: BorrowedFd<'_>) -> io::Result<Ring> {
    set_option(fd, libc::XDP_TX_RING, &TX_ENTRIES)?;
    let batch = u32::try_from(BATCH_MAX).expect("a constant");
    // Before Linux 6.17 a batch takes two calls.
    let _ = set_option(fd, MAX_TX_BUDGET, &batch);
    let bytes = TX_ENTRIES as usize * size_of::<libc::xdp_desc>();
    let page = u64::try_from(libc::XDP_PGOFF_TX_RING).expect("the constant is 2^31");
    Ring::map(fd, page, &offsets(fd)?.tx, bytes)
}

fn offsets(fd: BorrowedFd<'_>) -> io::Result<libc::xdp_mmap_offsets> {
    // SAFETY: a plain C struct of integers, for which all-zero is a value.
    let mut offsets: libc::xdp_mmap_offsets = unsafe { std::mem::zeroed() };
    let size = u32::try_from(size_of_val(&offsets)).expect("128 bytes");
    let mut len = size;
    let (to, to_len) = (std::ptr::from_mut(&mut offsets).cast(), &raw mut len);
    let (level, name) = (libc::SOL_XDP, libc::XDP_MMAP_OFFSETS);
    // SAFETY: the kernel writes at most `len` bytes to `to`, which is live and that long.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, to, to_len) };
    check(result)?;
    if len != size {
        // Before Linux 5.4 the offsets were others.
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok(offsets)
}

fn bind(
    fd: BorrowedFd<'_>,
    ifindex: u32,
    queue: u32,
    shared: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: u16::try_from(libc::AF_XDP).expect("the constant is 44"),
        sxdp_flags: if shared.is_some() {
            libc::XDP_SHARED_UMEM
        } else {
            libc::XDP_COPY
        },
        sxdp_ifindex: ifindex,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: shared.map_or(0, |fd| fd.as_raw_fd().cast_unsigned()),
    };
    let len = u32::try_from(size_of_val(&address)).expect("16 bytes");
    // SAFETY: the pointer is to a live sockaddr_xdp of the length given.
    let result = unsafe { libc::bind(fd.as_raw_fd(), std::ptr::from_ref(&address).cast(), len) };
    check(result).map(drop)
}

/// Sets a SOL_XDP option. `T` is one of the kernel's plain C types.
fn set_option<T>(fd: BorrowedFd<'_>, name: libc::c_int, value: &T) -> io::Result<()> {
    let len = u32::try_from(size_of::<T>()).expect("options are a few bytes");
    let value = std::ptr::from_ref(value).cast();
    // SAFETY: the kernel reads `len` bytes from `value`, which is live and that long.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_XDP, name, value, len) };
    check(result).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(count: u32, calls: &[(u32, Result<(), i32>)]) -> (u32, u32, u32, i32) {
        let mut outcome = Outcome::new(count);
        let mut calls = calls.iter();
        while outcome.goes_on() {
            let (advanced, result) = calls.next().expect("no call after the last");
            outcome.note(*advanced, *result);
        }
        assert_eq!(calls.next(), None, "all calls are made");
        let TxReport {
            sent,
            full,
            errors,
            last_errno,
            uncut: _,
        } = outcome.report();
        assert_eq!(sent + full + errors, count);
        (sent, full, errors, last_errno)
    }

    #[test]
    fn what_the_kernel_says_of_a_batch_adds_up() {
        const BUSY: Result<(), i32> = Err(libc::EBUSY);
        const AGAIN: Result<(), i32> = Err(libc::EAGAIN);
        const DOWN: Result<(), i32> = Err(libc::ENETDOWN);
        // All at once, and in two shares.
        assert_eq!(report(64, &[(64, Ok(()))]), (64, 0, 0, 0));
        assert_eq!(report(64, &[(32, AGAIN), (32, Ok(()))]), (64, 0, 0, 0));
        // No room: the rest is withdrawn.
        assert_eq!(report(64, &[(10, AGAIN), (0, AGAIN)]), (10, 54, 0, 0));
        assert_eq!(report(4, &[(0, AGAIN)]), (0, 4, 0, 0));
        // The driver dropped the third, the first and the last.
        assert_eq!(report(4, &[(3, BUSY), (1, Ok(()))]), (3, 1, 0, 0));
        assert_eq!(report(4, &[(0, BUSY), (4, Ok(()))]), (3, 1, 0, 0));
        assert_eq!(report(4, &[(4, BUSY)]), (3, 1, 0, 0));
        assert_eq!(report(3, &[(0, BUSY), (0, BUSY), (0, BUSY)]), (0, 3, 0, 0));
        // Down before the first, and in between; a signal is nothing.
        assert_eq!(report(4, &[(0, DOWN)]), (0, 0, 4, libc::ENETDOWN));
        assert_eq!(
            report(4, &[(2, BUSY), (0, Err(libc::EINTR)), (0, DOWN)]),
            (1, 1, 2, libc::ENETDOWN)
        );
    }
}
