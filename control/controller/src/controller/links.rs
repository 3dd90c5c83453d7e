//! Devices that come, go and lose their carrier; queues that fail; ports that are tried again.
//!
//! Loss of carrier acts at once, whatever a job is doing: the port's addresses become stale and the
//! next snapshot has the port disabled, as the kernel's bridge does. A device that vanishes is closed
//! and opened again when one of its name appears, also under another number (I-10). A device that
//! somebody sets down is not set up again by us: we wait until it is up.

use super::{Controller, PortStatus};
use crate::actual::ActualPort;
use crate::compile::{Compiled, blocked};
use crate::delta::Conditions;
use crate::effect::{OpenKind, OpenSpec};
use crate::events::Note;
use crate::facts::{Link, LinkEvent};
use std::sync::Arc;
use vswitch_api::text::path;
use vswitch_api::types::Severity;
use vswitch_base::{Instant, PortIndex};
use vswitch_core::port::QUEUE_STUCK;
use vswitch_core::snapshot::PortState;
use vswitch_core::worker::WorkerEvent;

/// `ENODEV`: the device is gone.
const ENODEV: i32 = 19;
/// What to do about a queue that stuck.
const UNNAMEABLE: &str = "the kernel stopped at a large frame that it cannot hand over: switch off \
    tx-sctp-segmentation, or UDP fragmentation offload, at the sender (ethtool -K)";
/// `ENETDOWN`: the device was set down, or is about to go.
const ENETDOWN: i32 = 100;

impl Controller {
    /// A worker reported something.
    pub fn handle_worker_event(&mut self, event: WorkerEvent, now: Instant) {
        match event {
            WorkerEvent::QueueFailed { port, errno } => self.queue_failed(port, errno, now),
            WorkerEvent::StationSpoke { port } => self.station_spoke(port, now),
        }
        self.advance(now);
    }

    /// The port is open already; unless its device was opened anew since, and it is held again.
    fn station_spoke(&mut self, index: PortIndex, now: Instant) {
        let open = self.actual.by_index(index);
        let Some((name, _)) = open.filter(|(_, port)| port.memory.gate.is_open()) else {
            return;
        };
        let (object, message) = (
            path(&["port", name]),
            format!("{name} is open: its guest spoke"),
        );
        self.note(now, "port-open", &object, Severity::Info, message);
    }

    fn queue_failed(&mut self, index: PortIndex, errno: i32, now: Instant) {
        let Some((name, port)) = self.actual.by_index(index) else {
            return;
        };
        let (name, first) = (name.clone(), port.failed.is_none());
        if !first {
            return; // Another queue of the same port.
        }
        if let Some(port) = self.actual.by_index_mut(index) {
            port.failed = Some(errno);
        }
        self.registry.raise_epoch(index);
        self.publish_due = true;
        let what = vswitch_api::error::errno_name(errno).unwrap_or("an unnamed error");
        let reason = format!("receiving failed with {what} (error {errno})");
        let hint = (errno == QUEUE_STUCK).then(|| UNNAMEABLE.to_owned());
        self.trouble(&name, errno == ENODEV, reason, hint, now);
        self.settle_due = true;
    }

    pub(super) fn take_link(&mut self, event: LinkEvent, now: Instant) {
        match event {
            LinkEvent::Present(link) => self.link_present(link, now),
            LinkEvent::Gone { ifindex } => self.link_gone(ifindex, now),
            LinkEvent::All(links) => {
                let gone: Vec<u32> = self
                    .facts
                    .indices()
                    .filter(|known| links.iter().all(|link| link.ifindex != *known))
                    .collect();
                for ifindex in gone {
                    self.link_gone(ifindex, now);
                }
                for link in links {
                    self.link_present(link, now);
                }
            }
        }
    }

    fn link_present(&mut self, link: Link, now: Instant) {
        let open = self.open_on(link.ifindex);
        let was_running = open
            .as_ref()
            .and_then(|(name, _)| self.actual.ports.get(name))
            .map(|p| self.is_running(p));
        let before = self.facts.insert(link.clone());
        if before.as_ref() == Some(&link) {
            return;
        }
        if let Some((name, index)) = open {
            let running = self
                .actual
                .ports
                .get(&name)
                .map(|port| self.is_running(port));
            if running != was_running {
                if running == Some(false) {
                    self.registry.raise_epoch(index);
                }
                self.publish_due = true;
            }
            let failed = self
                .actual
                .ports
                .get(&name)
                .is_some_and(|port| port.failed.is_some());
            if failed && link.admin_up && before.as_ref().is_some_and(|b| !b.admin_up) {
                self.try_again_now(&name);
            }
            let moved = before.as_ref().is_some_and(|b| b.mac != link.mac);
            if moved
                && self
                    .view
                    .ports
                    .get(&name)
                    .is_some_and(|port| port.view.flags.host)
            {
                self.host_moved(&name, now);
            }
            // First: what the port's state says of its bond is then right.
            self.publish_due |= self.follow_bonds(now);
            self.refresh_status(&name, now);
        }
        // A device of that name is new, or free again.
        let appeared = before.as_ref().is_none_or(|b| b.name != link.name);
        let freed = before.as_ref().is_some_and(|b| b.master.is_some()) && link.master.is_none();
        if appeared || freed {
            for name in self.waiting_for(&link.name, true) {
                self.try_again_now(&name);
            }
        }
    }

    fn host_moved(&mut self, name: &str, now: Instant) {
        if self.sync_pins(now).is_err() {
            let object = path(&["host", name]);
            let message =
                "the new address of the device found no room in the address table".to_owned();
            self.note(now, "fdb-full", &object, Severity::Warning, message);
        }
    }

    fn link_gone(&mut self, ifindex: u32, now: Instant) {
        let Some(link) = self.facts.remove(ifindex) else {
            return;
        };
        // A TAP goes with its port: told before the effect is answered, it is no trouble.
        let open = self
            .open_on(ifindex)
            .filter(|(_, index)| !self.is_closing(*index));
        if let Some((name, index)) = open {
            if let Some(port) = self.actual.by_index_mut(index) {
                port.failed = Some(ENODEV);
            }
            self.registry.raise_epoch(index);
            self.publish_due = true;
            self.settle_due = true;
            self.trouble(
                &name,
                true,
                format!("device \"{}\" has gone", link.name),
                None,
                now,
            );
        }
        // What stood in the way of a TAP of that name is gone.
        let own = self.open_on(ifindex).map(|(name, _)| name);
        for name in self.waiting_for(&link.name, false) {
            // A TAP of ours that somebody keeps deleting is made again at the pace of retries.
            if own.as_ref() != Some(&name) {
                self.try_again_now(&name);
            }
        }
    }

    /// The open port whose device, in our namespace, has that number.
    fn open_on(&self, ifindex: u32) -> Option<(String, PortIndex)> {
        let found =
            self.actual.ports.iter().find(|(_, port)| {
                port.facts.ifindex == Some(ifindex) && port.spec.netns().is_none()
            });
        found.map(|(name, port)| (name.clone(), port.index))
    }

    /// Ports in trouble whose device has that name: NICs, or TAPs that we would make.
    fn waiting_for(&self, device: &str, nic: bool) -> Vec<String> {
        let waits = |name: &str, spec: &OpenSpec| {
            spec.netns().is_none()
                && spec.device_name() == Some(device)
                && matches!(spec.kind, OpenKind::Nic { .. }) == nic
                && self
                    .status
                    .get(name)
                    .is_some_and(|status| status.trouble.is_some())
        };
        let ports = self
            .committed
            .ports
            .iter()
            .filter(|(name, port)| waits(name, &port.spec));
        ports.map(|(name, _)| name.clone()).collect()
    }

    fn try_again_now(&mut self, name: &str) {
        if let Some(trouble) = self.status.get_mut(name).and_then(|s| s.trouble.as_mut()) {
            trouble.retry.cancel();
        }
        self.settle_due = true;
    }

    /// Whether frames can pass an open port's device.
    pub(super) fn is_running(&self, port: &ActualPort) -> bool {
        let ours = port.spec.netns().is_none();
        let link = port
            .facts
            .ifindex
            .filter(|_| ours)
            .and_then(|ifindex| self.facts.link(ifindex));
        link.map_or(port.facts.running, Link::is_running)
    }

    /// What to leave alone and what to give up in the next job. `change` is the configuration that a
    /// caller wants and waits for; ports that it makes or alters are tried whatever their trouble.
    pub(super) fn conditions(
        &mut self,
        change: Option<&Arc<Compiled>>,
        now: Instant,
    ) -> Conditions {
        let mut conditions = Conditions {
            found: self.found.clone(),
            ..Conditions::default()
        };
        let target = Arc::clone(change.unwrap_or(&self.committed));
        for (name, port) in &self.actual.ports {
            let Some(errno) = port.failed else { continue };
            let trouble = self.status.get(name).and_then(|s| s.trouble.as_ref());
            let pending = trouble.is_some_and(|t| t.retry.deadline().is_some());
            let link = port
                .facts
                .ifindex
                .and_then(|ifindex| self.facts.link(ifindex));
            // Set down: by us, or by somebody else, or told so a moment before the link event says more.
            let wanted_up = target.ports.get(name).is_some_and(|p| p.spec.device.up);
            let ours = !port.spec.device.up && !wanted_up && link.is_some();
            let set_down = link.is_some_and(|link| !link.admin_up);
            let perhaps = errno == ENETDOWN && link.is_some() && pending;
            if !ours && !set_down && !perhaps {
                conditions.lost.insert(name.clone());
            }
        }
        let mut newly_blocked = Vec::new();
        for (name, wanted) in &target.ports {
            if change.is_some() && self.is_new_or_other(name, &target) {
                continue;
            }
            let trouble = self.status.get(name).and_then(|s| s.trouble.as_ref());
            if trouble.is_some_and(|t| t.retry.deadline().is_some()) {
                conditions.hold.insert(name.clone());
            } else if !self.actual.ports.contains_key(name) {
                let kind = if wanted.view.flags.host {
                    "host"
                } else {
                    "port"
                };
                if let Some((_, error)) = blocked(kind, name, &wanted.spec, &self.facts) {
                    conditions.hold.insert(name.clone());
                    newly_blocked.push((name.clone(), error));
                }
            }
        }
        for (name, error) in newly_blocked {
            self.trouble(&name, false, error.message, error.hint, now);
        }
        conditions
    }

    /// Works out a port's state anew and tells when it changed.
    pub(super) fn refresh_status(&mut self, name: &str, now: Instant) {
        let Some(wanted) = self.committed.ports.get(name) else {
            return;
        };
        let Some(status) = self.status.get(name) else {
            return;
        };
        let (state, reason) = self.state_of(name, status, wanted.enabled, wanted.view.state);
        let object = path(&[
            if wanted.view.flags.host {
                "host"
            } else {
                "port"
            },
            name,
        ]);
        let Some(status) = self.status.get_mut(name) else {
            return;
        };
        let changed = status.state != state;
        let other_reason = status.reason != reason;
        status.reason.clone_from(&reason);
        if !(changed || other_reason && state != "up") {
            return;
        }
        if changed {
            status.state = state;
            status.since = now;
        }
        let why = reason
            .as_deref()
            .map_or_else(String::new, |reason| format!(": {reason}"));
        let (kind, severity) = match state {
            "up" => ("port-up", Severity::Info),
            "down" => ("port-down", Severity::Info),
            "lower-down" => ("port-down", Severity::Warning),
            // We closed it: it is taken away, or given back at the end.
            _ if self.stopping || status.trouble.is_none() => ("port-down", Severity::Info),
            _ => ("port-down", Severity::Error),
        };
        let message = format!("{name} is {state}{why}");
        let detail = serde_json::json!({ "state": state, "reason": reason });
        self.note_with(
            now,
            Note {
                kind,
                object: &object,
                severity,
                message,
                detail: Some(detail),
            },
        );
    }

    fn state_of(
        &self,
        name: &str,
        status: &PortStatus,
        enabled: bool,
        stp: PortState,
    ) -> (&'static str, Option<String>) {
        let trouble = || {
            status
                .trouble
                .as_ref()
                .map(|t| (t.state, Some(t.reason.clone())))
        };
        let Some(open) = self.actual.ports.get(name).filter(|port| port.attached) else {
            return trouble().unwrap_or(("absent", None));
        };
        if !enabled {
            return ("down", None);
        }
        if let Some(shut) = &status.shut {
            return ("down", Some(shut.clone()));
        }
        if self.committed.bonds.contains_key(name) {
            return match self.bonds.get(name) {
                Some(bond) if bond.carries() => ("up", None),
                Some(bond) => ("lower-down", Some(bond.why_down())),
                // Attached, and its members not yet looked at.
                None => ("absent", None),
            };
        }
        let link = open
            .facts
            .ifindex
            .and_then(|ifindex| self.facts.link(ifindex));
        let link = link.filter(|_| open.spec.netns().is_none());
        if !self.is_running(open) {
            let reason = match link {
                Some(link) if !link.admin_up => {
                    format!("the device was set down: ip link set dev {} up", link.name)
                }
                _ => "no carrier".to_owned(),
            };
            return ("lower-down", Some(reason));
        }
        if open.failed.is_some() {
            return trouble().unwrap_or_else(|| ("failed", Some("receiving failed".to_owned())));
        }
        if stp == PortState::Disabled {
            return (
                "down",
                Some("its forwarding state is \"disabled\"".to_owned()),
            );
        }
        let renamed = link.filter(|link| Some(link.name.as_str()) != open.spec.device_name());
        let reason = renamed
            .map(|link| format!("the device is called \"{}\" now", link.name))
            .or_else(|| self.part_in_bond(name))
            .or_else(|| status.partner.as_ref().map(|(partner, _)| partner.clone()));
        ("up", reason)
    }
}
