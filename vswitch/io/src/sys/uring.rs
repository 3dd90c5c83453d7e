//! io_uring for descriptors that give one frame a read and take one a write: multishot reads into a
//! ring of provided buffers, and batched gathering writes.
//!
//! **Reads.** The kernel takes a buffer from [`ReadRing`]'s buffer ring for every frame and posts a
//! completion with its number. The buffer is ours from then on: it is lent once, and given back by
//! [`ReadRing::release`], which needs `&mut self` and so ends every loan. The multishot request belongs
//! to the thread that armed it, which is the first to call [`ReadRing::receive`]: what it completes is
//! posted when that thread next enters the kernel. Before another thread polls, the first one calls
//! [`ReadRing::disarm`]. A ring polls readable from the start, so that its worker comes and arms it.
//!
//! **Writes.** [`WriteRing::send`] returns only after every write that it submitted completed, so no
//! pointer outlives the borrow of the frames.
#![expect(
    unsafe_code,
    reason = "io_uring reads and writes memory behind the borrow checker's back"
)]

use super::gather::{self, Gather, PARTS};
use super::mapping::Mapping;
use io_uring::types::{BufRingEntry, CancelBuilder, Fd};
use io_uring::{IoUring, Probe, cqueue, opcode};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use vswitch_core::frame::{BATCH_MAX, TxList};
use vswitch_core::port::TxReport;

/// The one buffer group of a ring.
const GROUP: u16 = 0;
/// Marks the completion of the multishot read.
const READ: u64 = 1;
/// Marks the completion that makes a new ring readable.
const WAKE: u64 = 2;
/// How long a worker waits at most for its read to end. It ends at once: nothing but waiting for the
/// device is under way.
const DISARM_WAIT: Duration = Duration::from_millis(1);
/// How long dropping a ring waits for the kernel to let go of its buffers.
const CANCEL_WAIT: Duration = Duration::from_secs(5);

/// Multishot reads of one descriptor.
pub(crate) struct ReadRing {
    // Dropped in this order: the ring before the memory that it writes to.
    ring: IoUring,
    buffers: Mapping,
    entries: Mapping,
    fd: OwnedFd,
    count: u16,
    buffer_bytes: u32,
    /// Of the buffer ring: how many buffers were ever given to the kernel.
    tail: u16,
    /// Numbers of the buffers lent and not given back.
    lent: Vec<u16>,
    armed: bool,
}

impl std::fmt::Debug for ReadRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadRing")
            .field("fd", &self.fd)
            .field("count", &self.count)
            .field("buffer_bytes", &self.buffer_bytes)
            .field("lent", &self.lent.len())
            .field("armed", &self.armed)
            .finish_non_exhaustive()
    }
}

impl ReadRing {
    /// A ring that reads `fd` into `count` buffers (rounded up to a power of two) of `buffer_bytes`.
    ///
    /// # Errors
    /// `Unsupported` when the kernel lacks multishot reads (before Linux 6.7), `EPERM` or `ENOSYS`
    /// where io_uring is forbidden or absent, `ENOMEM`.
    pub(crate) fn new(fd: OwnedFd, count: u16, buffer_bytes: u32) -> io::Result<Self> {
        let count = count.clamp(2, 1 << 10).next_power_of_two();
        let ring: IoUring = IoUring::builder()
            .dontfork()
            .setup_coop_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(u32::from(count) * 2)
            .build(8)?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::ReadMulti::CODE) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let buffers = Mapping::private(usize::from(count) * buffer_bytes as usize)?;
        let entries = Mapping::private(usize::from(count) * size_of::<BufRingEntry>())?;
        let address = entries.base.as_ptr() as u64;
        // SAFETY: the entries are page-aligned, hold `count` of them, and outlive the ring: `Drop`
        // ends the requests first, and the fields are dropped in order.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(address, count, GROUP, 0)
        }?;
        let lent = Vec::with_capacity(usize::from(count));
        let mut this = Self {
            ring,
            buffers,
            entries,
            fd,
            count,
            buffer_bytes,
            tail: 0,
            lent,
            armed: false,
        };
        for buffer in 0..count {
            this.offer(buffer);
        }
        this.publish();
        this.push(&opcode::Nop::new().build().user_data(WAKE))?;
        this.ring.submit()?;
        Ok(this)
    }

    /// Bytes of memory that the ring can come to use; pages that no frame reached stay unused.
    pub(crate) const fn memory_bytes(&self) -> usize {
        self.buffers.len + self.entries.len
    }

    /// Polls readable when [`Self::receive`] has something to do.
    pub(crate) fn ready_fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// Hands the frames that are ready to `take`, at most `room` of them, in order.
    ///
    /// # Errors
    /// What ended the reads, for a device that is gone; frames handed over before stay valid.
    pub(crate) fn receive<'a>(
        &'a mut self,
        room: usize,
        mut take: impl FnMut(&'a [u8]),
    ) -> io::Result<()> {
        let mut taken = 0;
        // A second round serves what a request armed in the first one finds at once.
        for _ in 0..2 {
            self.arm()?;
            if self.ring.completion().is_empty() && self.ring.submission().taskrun() {
                // Completions wait for us to enter the kernel once.
                self.ring.submit()?;
            }
            while taken < room {
                let Some(entry) = self.ring.completion().next() else {
                    break;
                };
                if entry.user_data() != READ {
                    continue;
                }
                self.armed &= cqueue::more(entry.flags());
                let buffer = cqueue::buffer_select(entry.flags());
                match (usize::try_from(entry.result()), buffer) {
                    (Ok(len), Some(buffer)) if buffer < self.count => {
                        self.lent.push(buffer);
                        let len = len.min(self.buffer_bytes as usize);
                        // SAFETY: the buffer was completed to us just now and is in `lent`; 'a is the
                        // mutable borrow of the ring, which `release` cannot overlap.
                        take(unsafe { self.bytes(buffer, len) });
                        taken += 1;
                    }
                    (Ok(_), _) => {}
                    (Err(_), _) => match -entry.result() {
                        // No buffer was left, or the thread that armed the request ended: go on.
                        libc::ENOBUFS | libc::ECANCELED | libc::EAGAIN | libc::EINTR => {}
                        errno => return Err(io::Error::from_raw_os_error(errno)),
                    },
                }
            }
            if self.armed || taken > 0 {
                break;
            }
        }
        Ok(())
    }

    /// Gives back the buffers of all frames handed over so far.
    pub(crate) fn release(&mut self) {
        if self.lent.is_empty() {
            return;
        }
        while let Some(buffer) = self.lent.pop() {
            self.offer(buffer);
        }
        self.publish();
        // An error here shows again, and is reported, when the next `receive` arms.
        let _shown_again = self.arm();
    }

    /// Ends the multishot read of the calling thread, so that another thread may call [`Self::receive`]
    /// from now on and starts its own. What the read has completed stays, in order before its end.
    pub(crate) fn disarm(&mut self) {
        if !self.armed {
            return;
        }
        let wait = io_uring::types::Timespec::from(DISARM_WAIT);
        // If it could not be ended it goes on, and its frames come when this thread enters the kernel.
        let _ended = self
            .ring
            .submitter()
            .register_sync_cancel(Some(wait), CancelBuilder::any());
        if self.ring.submission().taskrun() {
            // The end is posted when this thread enters the kernel once.
            let _posted = self.ring.submit();
        }
    }

    /// Starts the multishot read if it is not running and has a buffer to start with.
    fn arm(&mut self) -> io::Result<()> {
        if self.armed || self.lent.len() == usize::from(self.count) {
            return Ok(());
        }
        let read = opcode::ReadMulti::new(Fd(self.fd.as_raw_fd()), 0, GROUP);
        self.push(&read.build().user_data(READ))?;
        self.armed = true;
        self.ring.submit()?;
        Ok(())
    }

    fn push(&mut self, entry: &io_uring::squeue::Entry) -> io::Result<()> {
        // SAFETY: the entries pushed here hold no pointer; the descriptor and the buffers that a read
        // is given are owned by `self`, which ends the request before it drops them.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.map_err(|_| io::ErrorKind::ResourceBusy.into())
    }

    /// The first `len` bytes of a buffer.
    ///
    /// # Safety
    /// `buffer < count`, `len <= buffer_bytes`, the buffer is lent, and is not released during 'a.
    unsafe fn bytes<'a>(&self, buffer: u16, len: usize) -> &'a [u8] {
        let at = usize::from(buffer) * self.buffer_bytes as usize;
        // SAFETY: inside the mapping, as `buffer < count`.
        let start = unsafe { self.buffers.base.add(at) };
        // SAFETY: `len` bytes from there are inside the buffer; the memory is initialised, since
        // anonymous pages begin zeroed; the kernel gave the buffer up with its completion, and it is
        // not released during 'a.
        unsafe { std::slice::from_raw_parts(start.as_ptr().cast_const(), len) }
    }

    /// Puts a buffer at the end of the buffer ring; the kernel sees it after [`Self::publish`].
    fn offer(&mut self, buffer: u16) {
        let slot = usize::from(self.tail & (self.count - 1));
        let at = usize::from(buffer) * self.buffer_bytes as usize;
        let address = self.buffers.base.as_ptr() as u64 + at as u64;
        let entries = self.entries.base.cast::<BufRingEntry>();
        // SAFETY: `slot < count`, and the mapping holds `count` entries.
        let mut entry = unsafe { entries.add(slot) };
        // SAFETY: the entry is aligned, initialised (zero pages) and not read by the kernel before the
        // tail passes it; we are the only writer.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see the buffers offered.
    fn publish(&self) {
        let entries = self.entries.base.cast::<BufRingEntry>().as_ptr();
        // SAFETY: the address is the first entry of the buffer ring, page-aligned.
        let tail = unsafe { BufRingEntry::tail(entries) };
        // SAFETY: a u16 inside the mapping, aligned to two bytes, accessed atomically by both sides.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for ReadRing {
    fn drop(&mut self) {
        // Closing a ring ends its requests in the background, when the buffers may be gone already;
        // so end them here and wait. ENOENT means that none was running.
        let wait = io_uring::types::Timespec::from(CANCEL_WAIT);
        let ended = self
            .ring
            .submitter()
            .register_sync_cancel(Some(wait), CancelBuilder::any());
        if ended.is_err_and(|error| error.raw_os_error() != Some(libc::ENOENT)) {
            // The kernel may still write: rather lose the memory than give it to someone else.
            self.buffers.len = 0;
            self.entries.len = 0;
        }
    }
}

/// Batched writes to one descriptor.
pub(crate) struct WriteRing {
    ring: IoUring,
    gather: Gather,
    fd: OwnedFd,
}

impl std::fmt::Debug for WriteRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteRing")
            .field("fd", &self.fd)
            .finish_non_exhaustive()
    }
}

impl WriteRing {
    /// # Errors
    /// `EPERM` or `ENOSYS` where io_uring is forbidden or absent.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let entries = u32::try_from(BATCH_MAX).expect("a small constant");
        let ring = IoUring::builder()
            .dontfork()
            .setup_coop_taskrun()
            .setup_submit_all()
            .build(entries)?;
        Ok(Self {
            ring,
            gather: Gather::new(),
            fd,
        })
    }

    /// Bytes of memory held, with the kernel's queues.
    pub(crate) const fn memory_bytes() -> usize {
        Gather::memory_bytes() + BATCH_MAX * (64 + 2 * 16)
    }

    /// Sends the frames in order.
    pub(crate) fn send(&mut self, frames: TxList<'_>) -> TxReport {
        let mut report = TxReport::default();
        let filled = self.gather.fill(frames);
        let count = filled.parts.len();
        let fd = Fd(self.fd.as_raw_fd());
        let parts_len = u32::try_from(PARTS).expect("a small constant");
        for parts in filled.parts.iter() {
            let write = if gather::used(parts) == 1 {
                let len = u32::try_from(parts[0].iov_len).expect("headers and a short rest");
                opcode::Write::new(fd, parts[0].iov_base.cast(), len).build()
            } else {
                opcode::Writev::new(fd, parts.as_ptr(), parts_len).build()
            };
            // SAFETY: the parts and what they point to are borrowed until the end of this function,
            // which does not return before all writes completed.
            let pushed = unsafe { self.ring.submission().push(&write) };
            assert!(
                pushed.is_ok(),
                "the queue holds a batch and was emptied by the last one"
            );
        }
        let mut done = 0;
        while done < count {
            match self.ring.submit_and_wait(count - done) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) => {
                    // A ring that cannot be entered would leave the kernel with pointers into memory
                    // that is about to be reused: nothing but ending the process is safe then.
                    let again = [libc::EAGAIN, libc::EBUSY, libc::ENOMEM];
                    let passing = error
                        .raw_os_error()
                        .is_some_and(|errno| again.contains(&errno));
                    assert!(passing, "io_uring_enter on a ring of our own: {error}");
                }
            }
            for entry in self.ring.completion() {
                done += 1;
                match entry.result() {
                    0.. => report.sent += 1,
                    refused if matches!(-refused, libc::EAGAIN | libc::ENOBUFS) => report.full += 1,
                    refused => {
                        report.errors += 1;
                        report.last_errno = -refused;
                    }
                }
            }
        }
        report
    }
}
