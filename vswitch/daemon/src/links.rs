//! Link events from the kernel, in the controller's words.

use hashbrown::HashMap;
use std::io;
use vswitch_controller::{Link, LinkEvent};
use vswitch_io::LinkMonitor;

/// Reads the monitor; knows the names of devices, because a master is told by its number.
#[derive(Debug)]
pub(crate) struct Links {
    monitor: LinkMonitor,
    names: HashMap<u32, String>,
}

impl Links {
    /// Subscribes; the devices that there are.
    ///
    /// # Errors
    /// When the kernel's link messages cannot be read.
    pub(crate) fn open() -> io::Result<(Self, Vec<Link>)> {
        let mut links = Self {
            monitor: LinkMonitor::open()?,
            names: HashMap::new(),
        };
        let mut events = Vec::new();
        while let Some(event) = links.monitor.poll_event()? {
            links.names.insert(event.ifindex, event.name.clone());
            events.push(event);
        }
        let present = events
            .iter()
            .filter(|e| !e.deleted)
            .map(|e| links.link(e))
            .collect();
        Ok((links, present))
    }

    /// What to wait on.
    #[must_use]
    pub(crate) const fn monitor(&self) -> &LinkMonitor {
        &self.monitor
    }

    /// The next change; `None` when there is none now.
    ///
    /// # Errors
    /// What the socket said.
    pub(crate) fn poll_event(&mut self) -> io::Result<Option<LinkEvent>> {
        let Some(event) = self.monitor.poll_event()? else {
            return Ok(None);
        };
        if event.deleted {
            self.names.remove(&event.ifindex);
            return Ok(Some(LinkEvent::Gone {
                ifindex: event.ifindex,
            }));
        }
        self.names.insert(event.ifindex, event.name.clone());
        Ok(Some(LinkEvent::Present(self.link(&event))))
    }

    /// Takes in a carrier that was asked for; see [`LinkMonitor::take_carrier`].
    pub(crate) fn take_carrier(&mut self, ifindex: u32, carrier: bool) {
        self.monitor.take_carrier(ifindex, carrier);
    }

    fn link(&self, event: &vswitch_io::LinkEvent) -> Link {
        let master = event.master.map(|index| {
            self.names
                .get(&index)
                .cloned()
                .unwrap_or_else(|| format!("device {index}"))
        });
        Link {
            ifindex: event.ifindex,
            name: event.name.clone(),
            mac: event.mac,
            mtu: event.mtu,
            admin_up: event.up,
            carrier: event.carrier,
            loopback: event.name == "lo",
            kind: event.kind.clone(),
            master,
            speed_mbps: None,
        }
    }
}
