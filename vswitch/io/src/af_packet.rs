//! Frames of an existing device through AF_PACKET: a TPACKET_V2 ring for each receive queue, a socket of
//! its own for each worker that sends.
//!
//! Received: the outermost tag comes beside the bytes, the virtio-net header with them; a frame that was
//! cut to its slot is counted and not delivered. Sent: tag in band, headers gathered, up to 64 frames a
//! system call, past the queueing discipline; what the device does not take is dropped and counted. On
//! that way the kernel completes checksums where the device does not, but refuses frames that it would
//! have to cut into segments: which types those are shows when it does, and is tried again now and then.
//!
//! A receive ring that the kernel has stopped filling shows within two seconds and makes `receive` return
//! `EPROTO`: [`PacketRx::is_stuck`] says how that comes.
//!
//! A device that goes down makes `receive` return `ENETDOWN` once; when it comes up again the same ring
//! goes on. A device that is gone makes every call return `ENODEV`: the port must be opened anew.
//!
//! Why so many slots: [`RING_SLOTS`].

use crate::sys::packet::{self, Sender};
use crate::sys::packet_ring::{Geometry, RxRing};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use vswitch_base::{Tag, Tci, Tpid};
use vswitch_core::frame::{Frame, FrameBatch, TxList, VnetHdr};
use vswitch_core::port::{PortRx, PortTx, QUEUE_STUCK, RxLosses, TxCaps, TxReport};

/// Bytes of a slot that holds the largest segmentation-offload frame with all headers.
pub const SLOT_BYTES: u32 = 67_584;
/// Slots of that size in four blocks of 2 MiB. Fewer forward as fast but do not outlast the time that a
/// worker waits for a busy core: with the cores twice overcommitted, TCP at 6 to 10 Gb/s lost 1 to 3 % of
/// its 64 KB frames in a ring of 31 slots and none to 25 frames of 50,000 in one of 62; 124 slots carried a
/// fifth more TCP than 62 (medians of seven interleaved runs) and lose less of small frames as well.
pub const RING_SLOTS: u32 = 124;
/// What one worker's unsent frames may hold in kernel memory. The usual limit of 208 KiB is three
/// frames of 64 KiB: it would drop most of a TCP burst.
const SEND_BUFFER_BYTES: usize = 4 << 20;
/// Empty looks at the ring between two questions to the socket whether the device is well. Asking is a
/// system call, and a device that fails makes the descriptor readable, so that looks follow fast.
const LOOKS_PER_CHECK: u32 = 256;

/// Frames for which a segmentation type that the device refused is not tried again. A trial costs the
/// copy of one frame of 64 KB; what an operator switched on at the device is in use soon after.
const FRAMES_PER_TRIAL: u32 = 4096;

/// One receive queue of a `nic` port.
#[derive(Debug)]
pub(crate) struct PacketRx {
    // The ring is unmapped before its socket is closed.
    ring: RxRing,
    socket: OwnedFd,
    ifindex: u32,
    truncated: u64,
    empty_looks: u32,
    gone: bool,
    /// A frame came since losses were last asked for.
    heard: bool,
    stuck: bool,
}

impl PacketRx {
    /// Opens `queues` receive queues on a device; more than one share its flows by hash.
    ///
    /// # Errors
    /// `ENODEV`, `ENOMEM`, `EPERM`, or `ENOPROTOOPT` on kernels without an option that is needed.
    pub(crate) fn open(ifindex: u32, queues: u16, geometry: Geometry) -> io::Result<Vec<Self>> {
        let mut opened = Vec::with_capacity(usize::from(queues));
        for _ in 0..queues.max(1) {
            let socket = packet::open()?;
            packet::set_ignore_outgoing(socket.as_fd())?;
            packet::set_vnet_header(socket.as_fd())?;
            let ring = RxRing::map(socket.as_fd(), geometry)?;
            packet::add_promiscuous(socket.as_fd(), ifindex)?;
            opened.push(Self {
                ring,
                socket,
                ifindex,
                truncated: 0,
                empty_looks: 0,
                gone: false,
                heard: false,
                stuck: false,
            });
        }
        // Last, so that nothing arrives half set up.
        let mut group = None;
        for rx in &opened {
            packet::bind_all(rx.socket.as_fd(), ifindex)?;
            if queues > 1 {
                group = Some(packet::join_fanout(rx.socket.as_fd(), group)?);
            }
        }
        if queues > 1 {
            // Until the last socket joined, several saw the same frame.
            for rx in &mut opened {
                rx.discard();
            }
        }
        Ok(opened)
    }

    /// Bytes of memory that the queue holds.
    pub(crate) const fn memory_bytes(&self) -> usize {
        self.ring.memory_bytes()
    }

    /// Empties the ring.
    fn discard(&mut self) {
        while self.ring.lend().next().is_some() {}
        self.ring.release();
    }

    /// Whether the kernel dropped frames in a time in which none came and the ring was empty.
    ///
    /// Since Linux 5.6 (and still in 6.18) a V2 ring stops for good at a frame whose segmentation type
    /// a virtio-net header cannot name: the slot that it was to have stays marked as being filled. That
    /// are SCTP's segments, which a veth takes from the stack behind it, and UDP fragments, which old
    /// guests make.
    fn is_stuck(&self, dropped: u32) -> bool {
        dropped > 0 && !self.heard && !self.ring.is_ready()
    }

    /// Asks the socket whether the device is well.
    fn check(&mut self) -> io::Result<()> {
        let Some(error) = packet::take_error(self.socket.as_fd()) else {
            return Ok(());
        };
        // A device that is down and one that is gone give the same error.
        if rustix::net::netdevice::index_to_name(&self.socket, self.ifindex).is_err() {
            self.gone = true;
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        Err(error)
    }
}

impl PortRx for PacketRx {
    fn receive<'a>(&'a mut self, batch: &mut FrameBatch<'a>) -> io::Result<()> {
        if self.gone {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        if !self.ring.is_ready() {
            if self.stuck {
                return Err(io::Error::from_raw_os_error(QUEUE_STUCK));
            }
            self.empty_looks += 1;
            if self.empty_looks >= LOOKS_PER_CHECK {
                self.empty_looks = 0;
                self.check()?;
            }
            return Ok(());
        }
        self.empty_looks = 0;
        self.heard = true;
        let mut ready = self.ring.lend();
        while batch.remaining_capacity() > 0 {
            let Some(slot) = ready.next() else { break };
            let stripped = slot.tag.map(|(tci, tpid)| {
                Tpid::from_ether_type(tpid).map(|tpid| Tag {
                    tpid,
                    tci: Tci(tci),
                })
            });
            // A frame whose tag we cannot name is not whole either: without it, it would be in
            // another VLAN.
            if slot.truncated || stripped == Some(None) {
                self.truncated += 1;
                continue;
            }
            batch.push(Frame {
                bytes: slot.bytes,
                stripped: stripped.flatten(),
                offload: VnetHdr::from_bytes(&slot.vnet),
            });
        }
        Ok(())
    }

    fn release(&mut self) {
        self.ring.release();
    }

    fn ready_fd(&self) -> Option<RawFd> {
        Some(self.socket.as_raw_fd())
    }

    fn take_losses(&mut self) -> RxLosses {
        let ring_full = packet::take_drops(self.socket.as_fd()).unwrap_or(0);
        self.stuck |= self.is_stuck(ring_full);
        self.heard = false;
        let truncated = std::mem::take(&mut self.truncated);
        RxLosses {
            ring_full: ring_full.into(),
            truncated,
        }
    }
}

/// One worker's way to send on a `nic` port.
pub(crate) struct PacketTx {
    socket: OwnedFd,
    sender: Sender,
    /// What the device took lately.
    caps: TxCaps,
    /// Frames until types that are not in `caps` are tried again.
    until_trial: u32,
}

impl std::fmt::Debug for PacketTx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PacketTx")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl PacketTx {
    /// Opens a socket that only sends.
    ///
    /// # Errors
    /// As [`PacketRx::open`].
    pub(crate) fn open(ifindex: u32) -> io::Result<Self> {
        let socket = packet::open()?;
        packet::set_vnet_header(socket.as_fd())?;
        packet::set_qdisc_bypass(socket.as_fd())?;
        let forced =
            rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, SEND_BUFFER_BYTES);
        if forced.is_err() {
            rustix::net::sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER_BYTES)?;
        }
        packet::bind_send_only(socket.as_fd(), ifindex)?;
        Ok(Self {
            socket,
            sender: Sender::new(),
            caps: TxCaps::ALL,
            until_trial: 0,
        })
    }

    /// Bytes of memory held in this process; unsent frames hold up to 4 MiB of the kernel's besides.
    pub(crate) const fn memory_bytes() -> usize {
        Sender::memory_bytes()
    }
}

impl PortTx for PacketTx {
    fn send(&mut self, frames: TxList<'_>) -> TxReport {
        if self.until_trial > 0 {
            let frames = u32::try_from(frames.len()).unwrap_or(u32::MAX);
            self.until_trial = self.until_trial.saturating_sub(frames);
            if self.until_trial == 0 {
                self.caps = TxCaps::ALL;
            }
        }
        self.sender.send(self.socket.as_fd(), frames)
    }

    fn caps(&self) -> TxCaps {
        // The kernel completes checksums for every device, but cuts for none on the way that we take.
        self.caps
    }

    fn learn_uncut(&mut self, gso_kind: u8) {
        match gso_kind {
            VnetHdr::GSO_TCPV4 => self.caps.tso4 = false,
            VnetHdr::GSO_TCPV6 => self.caps.tso6 = false,
            VnetHdr::GSO_UDP_L4 => self.caps.uso = false,
            _ => return,
        }
        self.until_trial = FRAMES_PER_TRIAL;
    }
}
