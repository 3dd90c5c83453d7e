//! Netlink without a library: messages with attributes, and a socket that asks and waits for answers.
//!
//! Route and netfilter netlink need the same forty lines of framing. A codec of our own reads just the
//! attributes that we use, so that one attribute that a library of a later or earlier year cannot
//! decode never hides a carrier change from us. Everything received is bounds-checked; malformed input
//! ends the iteration and never panics.
//!
//! A [`Request`] is answered by an acknowledgement or a dump. [`Socket`] belongs to one thread, and to
//! the network namespace of the thread that made it. A kernel that does not answer within
//! [`ANSWER_TIMEOUT`] is an error.

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The kernel answers at once, but for a device lock that a driver holds: seconds in the worst case.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than any message that the kernel sends in one piece.
const RECEIVE_BYTES: usize = 64 << 10;

/// NETLINK_ROUTE is number 0, which rustix says by naming none.
const ROUTE: Option<rustix::net::Protocol> = None;

const HEADER_LEN: usize = 16;
const ATTRIBUTE_HEADER_LEN: usize = 4;
/// Flags beside the type of an attribute.
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// `NLM_F_*`.
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 1;
    pub(crate) const ACK: u16 = 4;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const EXCL: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
}

/// One or several messages to send.
#[derive(Debug, Default)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    /// Where the message being built begins.
    start: usize,
}

impl Request {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Begins a message; what was begun before is complete.
    pub(crate) fn message(&mut self, kind: u16, flags: u16, sequence: u32) -> &mut Self {
        self.start = self.bytes.len();
        self.bytes.extend_from_slice(&0_u32.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes
            .extend_from_slice(&(flags | flag::REQUEST).to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&0_u32.to_ne_bytes());
        self.close(self.start, 4);
        self
    }

    /// Appends the fixed part of the message.
    pub(crate) fn fixed(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self.finish()
    }

    /// Appends an attribute.
    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&0_u16.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.close(at, 2);
        self.finish()
    }

    /// Appends a string attribute, with its NUL.
    pub(crate) fn string(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// Appends an attribute that holds attributes.
    pub(crate) fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&0_u16.to_ne_bytes());
        self.bytes.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        fill(self);
        self.close(at, 2);
        self.finish()
    }

    /// The bytes to send.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes the length of what began at `at`, in a field of `width` bytes, and pads to four.
    fn close(&mut self, at: usize, width: usize) {
        let len = u32::try_from(self.bytes.len() - at).expect("requests are short");
        let len = len.to_ne_bytes();
        let len = if cfg!(target_endian = "little") {
            &len[..width]
        } else {
            &len[4 - width..]
        };
        self.bytes[at..at + width].copy_from_slice(len);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(&mut self) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.close(self.start, 4);
        self
    }
}

/// One received message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// The messages of one datagram; ends at the first malformed one.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let len = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let message = bytes.get(..len)?;
        let payload = message.get(HEADER_LEN..)?;
        let kind = u16_at(message, 4)?;
        let sequence = u32_at(message, 8)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Message {
            kind,
            sequence,
            payload,
        })
    })
}

/// The attributes in `bytes` as type and value; ends at the first malformed one.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & ATTRIBUTE_TYPE_MASK;
        let value = bytes.get(..len)?.get(ATTRIBUTE_HEADER_LEN..)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

/// The two bytes at `at` in native order.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|b| u16::from_ne_bytes(*b))
}

/// The four bytes at `at` in native order.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|b| u32::from_ne_bytes(*b))
}

/// The eight bytes at `at` in native order.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|b| u64::from_ne_bytes(*b))
}

/// The text of a string attribute.
pub(crate) fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&b| b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(&value[..end]).into_owned()
}

/// A netlink socket for requests.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// Opens a socket of the route family.
    ///
    /// # Errors
    /// When the kernel has no netlink sockets for us.
    pub(crate) fn route() -> io::Result<Self> {
        Self::open(ROUTE, 0, SocketFlags::empty())
    }

    /// Opens a socket of the netfilter family.
    ///
    /// # Errors
    /// `EPROTONOSUPPORT` where the kernel has no netfilter.
    pub(crate) fn netfilter() -> io::Result<Self> {
        Self::open(
            Some(rustix::net::netlink::NETFILTER),
            0,
            SocketFlags::empty(),
        )
    }

    /// Opens a non-blocking route socket that hears the multicast `groups` (a bit each).
    ///
    /// # Errors
    /// As [`Self::route`].
    pub(crate) fn route_monitor(groups: u32) -> io::Result<Self> {
        Self::open(ROUTE, groups, SocketFlags::NONBLOCK)
    }

    fn open(
        protocol: Option<rustix::net::Protocol>,
        groups: u32,
        flags: SocketFlags,
    ) -> io::Result<Self> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC | flags,
            protocol,
        )?;
        sockopt::set_socket_timeout(&fd, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        Ok(Self {
            fd,
            sequence: 0,
            buffer: vec![0; RECEIVE_BYTES],
        })
    }

    /// A new sequence number for a request.
    pub(crate) const fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The kernel's errno.
    pub(crate) fn send(&self, request: &Request) -> io::Result<()> {
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.fd, request.as_bytes(), SendFlags::empty(), &kernel)?;
        Ok(())
    }

    /// The next datagram.
    ///
    /// # Errors
    /// `WouldBlock` when nothing came in time, `ENOBUFS` when messages were lost.
    pub(crate) fn receive(&mut self) -> io::Result<&[u8]> {
        let (_, len) = loop {
            match rustix::net::recv(&self.fd, &mut self.buffer[..], RecvFlags::TRUNC) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        Ok(&self.buffer[..len.min(RECEIVE_BYTES)])
    }

    /// Sends one message, built by `build` on a message begun with `kind`, and waits for its
    /// acknowledgement.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn transact(
        &mut self,
        kind: u16,
        flags: u16,
        build: impl FnOnce(&mut Request),
    ) -> io::Result<()> {
        let sequence = self.next_sequence();
        let mut request = Request::new();
        build(request.message(kind, flags | flag::ACK, sequence));
        self.send(&request)?;
        loop {
            for message in messages(self.receive()?) {
                if message.sequence == sequence && message.kind == NLMSG_ERROR {
                    return acknowledgement(&message);
                }
            }
        }
    }

    /// Asks for a dump and hands each message of the answer to `take`.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn dump(
        &mut self,
        kind: u16,
        build: impl FnOnce(&mut Request),
        mut take: impl FnMut(&Message<'_>),
    ) -> io::Result<()> {
        let sequence = self.next_sequence();
        let mut request = Request::new();
        build(request.message(kind, flag::DUMP, sequence));
        self.send(&request)?;
        loop {
            for message in messages(self.receive()?).filter(|m| m.sequence == sequence) {
                match message.kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return acknowledgement(&message),
                    _ => take(&message),
                }
            }
        }
    }

    /// Asks for one object and hands the answer to `take`.
    ///
    /// # Errors
    /// What the kernel answered.
    pub(crate) fn ask<T>(
        &mut self,
        kind: u16,
        build: impl FnOnce(&mut Request),
        take: impl Fn(&Message<'_>) -> Option<T>,
    ) -> io::Result<T> {
        let sequence = self.next_sequence();
        let mut request = Request::new();
        build(request.message(kind, 0, sequence));
        self.send(&request)?;
        loop {
            for message in messages(self.receive()?).filter(|m| m.sequence == sequence) {
                if message.kind == NLMSG_ERROR {
                    acknowledgement(&message)?;
                } else if let Some(value) = take(&message) {
                    return Ok(value);
                }
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What an NLMSG_ERROR message says: zero is success.
pub(crate) fn acknowledgement(message: &Message<'_>) -> io::Result<()> {
    let code = u32_at(message.payload, 0).map_or(-libc::EPROTO, u32::cast_signed);
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(code.wrapping_neg()))
    }
}

/// Whether a message is an acknowledgement or error.
pub(crate) const fn is_acknowledgement(message: &Message<'_>) -> bool {
    message.kind == NLMSG_ERROR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_read_back() {
        let mut request = Request::new();
        request
            .message(16, flag::ACK, 7)
            .fixed(&[1, 2, 3, 4])
            .string(3, "eth0");
        request.nested(18, |nest| {
            nest.attribute(1, b"tun");
        });
        request.message(17, 0, 8).attribute(9, &[5]);
        let read: Vec<_> = messages(request.as_bytes()).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].kind, read[0].sequence, read[1].kind), (16, 7, 17));
        let attrs: Vec<_> = attributes(&read[0].payload[4..]).collect();
        assert_eq!((attrs[0].0, text(attrs[0].1).as_str()), (3, "eth0"));
        assert_eq!(attributes(attrs[1].1).next(), Some((1, &b"tun"[..])));
        assert_eq!(
            attributes(read[1].payload).collect::<Vec<_>>(),
            [(9, &[5][..])]
        );
    }

    #[test]
    fn malformed_input_ends_the_iteration() {
        let mut request = Request::new();
        request
            .message(16, 0, 1)
            .fixed(&[0; 16])
            .string(3, "eth0")
            .attribute(4, &[0; 4]);
        let good = request.as_bytes();
        for cut in 0..good.len() {
            for message in messages(&good[..cut]) {
                assert!(attributes(message.payload).count() <= 64);
            }
        }
        // Lengths of zero and of less than a header never loop or read outside.
        assert_eq!(messages(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[0; 64]).count(), 0);
        assert_eq!(attributes(&[3, 0, 1, 0, 9, 9, 9, 9]).count(), 0);
        assert_eq!(messages(&[0xff; 64]).count(), 0);
    }
}
