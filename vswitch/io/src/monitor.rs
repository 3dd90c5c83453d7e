//! News of network devices, as they happen: link loss is acted on from here, and where the kernel may tell it
//! late from what [`crate::CarrierProbe`] was told ([`LinkMonitor::take_carrier`]).
//!
//! [`LinkMonitor`] begins with one event for every device that exists, goes on with every change, and
//! after an overflow of its socket reads everything anew: what it told last is true again, and devices
//! that vanished meanwhile are reported as deleted. It hears the network namespace of the thread that
//! opened it. Never blocks: made for the control thread's loop ([`AsFd`], level- or edge-triggered;
//! call [`LinkMonitor::poll_event`] until it returns `None`).

use crate::link::{self, Link, RTM_DELLINK, RTM_NEWLINK};
use crate::netlink::{self, Socket};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use vswitch_base::MacAddr;

/// The multicast group of link messages (RTNLGRP_LINK is 1: the lowest bit).
const GROUP_LINK: u32 = 1;
/// Room for a burst of link messages: 200 devices that change at once.
const RECEIVE_BUFFER: usize = 1 << 20;

/// A device appeared, changed or went away.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkEvent {
    /// Its number.
    pub ifindex: u32,
    /// Its name after the change.
    pub name: String,
    /// `veth`, `tun`, …; `None` for a physical device.
    pub kind: Option<String>,
    /// Interface index of the kernel bridge, bond or team above it.
    pub master: Option<u32>,
    /// Switched on.
    pub up: bool,
    /// The cable is in, or the peer is up.
    pub carrier: bool,
    /// Payload bytes after the Ethernet header.
    pub mtu: u32,
    /// Its address.
    pub mac: Option<MacAddr>,
    /// The address burnt in, where the device has one.
    pub permanent_mac: Option<MacAddr>,
    /// The device does not exist any more, in this namespace; the other fields say what it was.
    pub deleted: bool,
}

impl LinkEvent {
    fn new(link: Link, deleted: bool) -> Self {
        let Link {
            ifindex,
            name,
            kind,
            master,
            up,
            carrier,
            mtu,
            mac,
            permanent_mac,
            ..
        } = link;
        Self {
            ifindex,
            name,
            kind,
            master,
            up,
            carrier,
            mtu,
            mac,
            permanent_mac,
            deleted,
        }
    }
}

/// A subscription to link changes.
#[derive(Debug)]
pub struct LinkMonitor {
    socket: Socket,
    /// The last event of each device that exists.
    known: BTreeMap<u32, LinkEvent>,
    /// Events to hand out.
    ready: VecDeque<LinkEvent>,
    resyncs: u64,
}

impl LinkMonitor {
    /// Subscribes, then lists: no change falls between the two.
    ///
    /// # Errors
    /// What netlink answered.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::route_monitor(GROUP_LINK)?;
        // More than the system's limit needs CAP_NET_ADMIN; without it the default has to do.
        let forced =
            rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER);
        if forced.is_err() {
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
        }
        let mut monitor = Self {
            socket,
            known: BTreeMap::new(),
            ready: VecDeque::new(),
            resyncs: 0,
        };
        monitor.list()?;
        Ok(monitor)
    }

    /// The next event; `None` when there is none now.
    ///
    /// # Errors
    /// What the socket said, apart from an overflow, which is handled here.
    pub fn poll_event(&mut self) -> io::Result<Option<LinkEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            match self.socket.receive() {
                Ok(datagram) => {
                    let events: Vec<LinkEvent> = netlink::messages(datagram)
                        .filter_map(|m| decode(&m))
                        .collect();
                    for event in events {
                        self.learn(event);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    self.resyncs += 1;
                    self.discard()?;
                    self.list()?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes in a carrier that was asked for: an event, when it is not what was told last. The answer must
    /// not be older than the last event of that device.
    pub fn take_carrier(&mut self, ifindex: u32, carrier: bool) {
        if let Some(last) = self.known.get(&ifindex) {
            self.learn(LinkEvent {
                carrier,
                ..last.clone()
            });
        }
    }

    /// How often messages were lost and everything was read anew.
    #[must_use]
    pub const fn resyncs(&self) -> u64 {
        self.resyncs
    }

    /// Throws away the messages that came before the overflow: they are older than what a list tells,
    /// and would be taken for news after it. What comes from now on is told in order, so that the
    /// last word is the true one.
    fn discard(&mut self) -> io::Result<()> {
        loop {
            match self.socket.receive() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads all devices and queues what differs from what was told.
    fn list(&mut self) -> io::Result<()> {
        // On a socket of its own: the answer must not mix with the news.
        let links = link::list()?;
        let gone: Vec<u32> = self
            .known
            .keys()
            .filter(|index| links.iter().all(|link| link.ifindex != **index))
            .copied()
            .collect();
        for ifindex in gone {
            if let Some(last) = self.known.get(&ifindex) {
                self.learn(LinkEvent {
                    deleted: true,
                    ..last.clone()
                });
            }
        }
        for link in links {
            self.learn(LinkEvent::new(link, false));
        }
        Ok(())
    }

    /// Queues an event unless it tells nothing new.
    fn learn(&mut self, event: LinkEvent) {
        let news = if event.deleted {
            self.known.remove(&event.ifindex).is_some()
        } else {
            self.known.insert(event.ifindex, event.clone()).as_ref() != Some(&event)
        };
        if news {
            self.ready.push_back(event);
        }
    }
}

impl AsFd for LinkMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn decode(message: &netlink::Message<'_>) -> Option<LinkEvent> {
    match message.kind {
        RTM_NEWLINK => Some(LinkEvent::new(Link::parse(message.payload)?, false)),
        RTM_DELLINK => Some(LinkEvent::new(Link::parse(message.payload)?, true)),
        _ => None,
    }
}
