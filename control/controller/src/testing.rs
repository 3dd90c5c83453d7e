//! A daemon made of memory, for the tests of the controller: performs effects on pretended devices and
//! holds the contract of `effect.rs` against every single one.
//!
//! What it asserts, whatever a test does: a port is opened once and its device by one port at a time;
//! only open ports are attached; a published snapshot names attached ports only; a port is detached only
//! after every worker has observed a snapshot without it; only detached ports are closed.

use crate::controller::{Controller, Counters, Peer, Reply, RequestId, Settings, VlanTotals};
use crate::effect::{
    AttachedState, DeviceSettings, Effect, EffectError, EffectId, EffectOutput, OpenSpec, PortFacts,
};
use crate::facts::{Link, LinkEvent};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use vswitch_api::config::{Config, tree};
use vswitch_api::types::{Event, HealthReply, Port, State, WatchReply};
use vswitch_api::{ApiError, Request};
use vswitch_base::{Duration, Generation, Instant, MacAddr, PortIndex, Vid};
use vswitch_core::bond::Transmit;
use vswitch_core::counters::PortTotals;
use vswitch_core::snapshot::Snapshot;

/// Numbers that are the same for every port.
#[derive(Debug)]
pub(crate) struct FlatCounters;

impl Counters for FlatCounters {
    fn totals(&self, _: PortIndex) -> PortTotals {
        let mut totals = PortTotals {
            frames_in: 7,
            frames_forwarded: 4,
            ..PortTotals::default()
        };
        totals.drops[vswitch_core::verdict::DropReason::VlanNotAllowed.index()] = 3;
        totals
    }

    fn vlan(&self, _: PortIndex, vid: Vid) -> Option<VlanTotals> {
        (vid.get() != 99).then(|| VlanTotals {
            frames_in: 1,
            ..VlanTotals::default()
        })
    }
}

/// One open device.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) spec: OpenSpec,
    pub(crate) settings: DeviceSettings,
    pub(crate) attached: bool,
}

/// Why an effect is to fail; `None`: it succeeds.
pub(crate) type Fault = Box<dyn FnMut(&Effect) -> Option<EffectError>>;

/// The daemon.
pub(crate) struct Rig {
    pub(crate) controller: Controller,
    pub(crate) now: Instant,
    pub(crate) open: BTreeMap<PortIndex, Device>,
    /// Every effect performed, in short.
    pub(crate) log: Vec<String>,
    pub(crate) fault: Fault,
    /// Effects of which the text begins with this are kept unanswered until [`Rig::let_go`].
    pub(crate) keep: Option<&'static str>,
    kept: Vec<(EffectId, Effect)>,
    /// Whether workers take snapshots by themselves.
    pub(crate) observes: bool,
    pub(crate) snapshot: Arc<Snapshot>,
    observed: Arc<Snapshot>,
    pub(crate) saved: AttachedState,
    /// Frames of the switch itself that were sent, with the port.
    pub(crate) wire: Vec<(PortIndex, Vec<u8>)>,
    pub(crate) replies: Vec<(RequestId, Reply)>,
    next_request: u64,
    next_ifindex: u32,
    /// Devices by name, as link events told.
    pub(crate) links: BTreeMap<String, Link>,
}

pub(crate) fn config(value: Value) -> Config {
    tree::config(&value).expect("a readable configuration")
}

/// A pretended NIC, up and running.
pub(crate) fn nic(name: &str, ifindex: u32) -> Link {
    Link {
        ifindex,
        name: name.to_owned(),
        mac: Some(MacAddr([2, 0, 0, 1, 0, ifindex.to_le_bytes()[0]])),
        mtu: 1500,
        admin_up: true,
        carrier: true,
        ..Link::default()
    }
}

pub(crate) fn error(errno: i32) -> EffectError {
    EffectError {
        operation: "open device".to_owned(),
        errno,
        errno_name: vswitch_api::error::errno_name(errno)
            .unwrap_or("")
            .to_owned(),
        message: "as the test wants it".to_owned(),
        hint: None,
    }
}

impl Rig {
    pub(crate) fn new(value: Value, links: &[Link]) -> Self {
        Self::with(value, links, AttachedState::default(), Box::new(|_| None))
    }

    pub(crate) fn with(
        value: Value,
        links: &[Link],
        recovered: AttachedState,
        fault: Fault,
    ) -> Self {
        let now = Instant::ZERO + Duration::from_secs(1);
        let settings = Settings {
            mem_ports: true,
            workers: 2,
            version: "0.0.0-test".to_owned(),
            recovered,
            ..Settings::default()
        };
        let counters = Box::new(FlatCounters);
        let controller = Controller::new(settings, config(value), counters, links.to_vec(), now)
            .expect("a configuration that compiles");
        let mut rig = Self {
            controller,
            now,
            open: BTreeMap::new(),
            log: Vec::new(),
            fault,
            keep: None,
            kept: Vec::new(),
            observes: true,
            snapshot: Arc::default(),
            observed: Arc::default(),
            saved: AttachedState::default(),
            wire: Vec::new(),
            replies: Vec::new(),
            next_request: 0,
            next_ifindex: 1000,
            links: links.iter().map(|l| (l.name.clone(), l.clone())).collect(),
        };
        rig.run();
        rig
    }

    /// Performs effects and collects replies until there is nothing more to do.
    pub(crate) fn run(&mut self) {
        for _ in 0..10_000 {
            while let Some(reply) = self.controller.poll_reply(self.now) {
                self.replies.push(reply);
            }
            if let Some((id, effect)) = self.controller.poll_effect(self.now) {
                if self
                    .keep
                    .is_some_and(|keep| text(&effect).starts_with(keep))
                {
                    self.kept.push((id, effect));
                } else {
                    self.answer(id, &effect);
                }
            } else if self.observes && self.observed.generation < self.snapshot.generation {
                self.observe();
            } else {
                return;
            }
        }
        panic!(
            "the controller never comes to rest: {:?}",
            &self.log[self.log.len() - 20..]
        );
    }

    /// All workers take the newest snapshot.
    pub(crate) fn observe(&mut self) {
        self.observed = Arc::clone(&self.snapshot);
        let generation = self.observed.generation;
        self.controller.handle_observed(generation, self.now);
    }

    /// Answers what was kept.
    pub(crate) fn let_go(&mut self) {
        self.keep = None;
        for (id, effect) in std::mem::take(&mut self.kept) {
            self.answer(id, &effect);
        }
        self.run();
    }

    fn answer(&mut self, id: EffectId, effect: &Effect) {
        let result = match (self.fault)(effect) {
            Some(error) => {
                self.log.push(format!("{} FAILS", text(effect)));
                self.check(effect);
                self.fail(effect);
                Err(error)
            }
            None => {
                self.log.push(text(effect));
                self.check(effect);
                Ok(self.perform(effect))
            }
        };
        self.controller.handle_effect_done(id, result, self.now);
    }

    /// The contract: may this effect come now?
    fn check(&self, effect: &Effect) {
        match effect {
            Effect::OpenPort { index, spec } => {
                assert!(!self.open.contains_key(index), "{spec:?} is open");
                let key = |spec: &OpenSpec| {
                    (
                        spec.netns().map(str::to_owned),
                        spec.device_name().map(str::to_owned),
                    )
                };
                let clash = self
                    .open
                    .values()
                    .find(|d| spec.device_name().is_some() && key(&d.spec) == key(spec));
                assert!(clash.is_none(), "{spec:?} and {clash:?} want one device");
            }
            Effect::AttachPort { index } => assert!(!self.open[index].attached, "attached twice"),
            Effect::Publish(snapshot) => {
                assert!(snapshot.generation > self.snapshot.generation);
                for (index, _) in snapshot.ports() {
                    let attached = self.open.get(&index).is_some_and(|device| device.attached);
                    assert!(attached, "the snapshot names {index:?}, which cannot send");
                    let members = snapshot.transmit(index).map(Transmit::members);
                    let mut members = members.unwrap_or_default().into_iter();
                    let known = |m| snapshot.port(m).is_some_and(|p| p.logical == index);
                    assert!(
                        members.all(known),
                        "{index:?} sends by whom it does not have"
                    );
                }
            }
            Effect::DetachPort { index } => {
                assert!(self.open[index].attached, "detached twice");
                assert!(
                    self.observed.port(*index).is_none(),
                    "workers still use {index:?}"
                );
                assert!(
                    self.snapshot.port(*index).is_none(),
                    "{index:?} is published"
                );
            }
            Effect::ClosePort { index, .. } => {
                assert!(!self.open[index].attached, "closed under the workers");
            }
            Effect::SetDevice { index, .. } | Effect::CountVlans { index, .. } => {
                assert!(self.open.contains_key(index), "not open");
            }
            Effect::Send { index, frames } => {
                assert!(self.open[index].attached, "{index:?} cannot send");
                assert!(frames.iter().all(|frame| frame.len() >= 14), "whole frames");
            }
            Effect::RestoreDevice(_) | Effect::SaveState(_) => {}
        }
    }

    fn perform(&mut self, effect: &Effect) -> EffectOutput {
        match effect {
            Effect::OpenPort { index, spec } => {
                self.next_ifindex += 1;
                let link = spec.device_name().and_then(|name| self.links.get(name));
                let ours = self.next_ifindex;
                let ifindex = spec
                    .device_name()
                    .map(|_| link.map_or(ours, |link| link.ifindex));
                let settings = spec.device.clone();
                let device = Device {
                    spec: spec.clone(),
                    settings,
                    attached: false,
                };
                let facts = PortFacts {
                    ifindex,
                    mac: spec.device.mac.or_else(|| link.and_then(|l| l.mac)),
                    mtu: u32::from(spec.device.mtu),
                    running: true,
                    speed_mbps: None,
                    found: spec.found.clone().or_else(|| {
                        link.map(|link| crate::effect::FoundState(format!("mtu {}", link.mtu)))
                    }),
                };
                self.open.insert(*index, device);
                return EffectOutput::Opened(facts);
            }
            Effect::AttachPort { index } => self.device(*index).attached = true,
            Effect::Publish(snapshot) => self.snapshot = Arc::clone(snapshot),
            Effect::DetachPort { index } => self.device(*index).attached = false,
            Effect::ClosePort { index, .. } => drop(self.open.remove(index)),
            Effect::SetDevice { index, change } => {
                let change = change.clone();
                let device = self.device(*index);
                let settings = &mut device.settings;
                settings.mtu = change.mtu.unwrap_or(settings.mtu);
                settings.tx_queue = change.tx_queue.unwrap_or(settings.tx_queue);
                settings.mac = change.mac.or(settings.mac);
                settings.up = change.up.unwrap_or(settings.up);
                if let Some(addresses) = change.addresses {
                    for gone in addresses.remove {
                        let at = settings.addresses.iter().position(|a| *a == gone);
                        settings
                            .addresses
                            .remove(at.expect("an address that is there"));
                    }
                    settings.addresses.extend(addresses.add);
                    assert!(
                        addresses
                            .remove_gateway
                            .is_none_or(|g| settings.gateway == Some(g))
                    );
                    if addresses.remove_gateway.is_some() {
                        settings.gateway = None;
                    }
                    settings.gateway = addresses.add_gateway.or(settings.gateway);
                }
            }
            Effect::SaveState(state) => self.saved = state.clone(),
            Effect::Send { index, frames } => {
                let frames = frames.iter().map(|frame| (*index, frame.to_vec()));
                self.wire.extend(frames);
            }
            Effect::CountVlans { .. } | Effect::RestoreDevice(_) => {}
        }
        EffectOutput::Done
    }

    /// What a failed effect leaves: as documented, for those that end something all the same.
    fn fail(&mut self, effect: &Effect) {
        match effect {
            Effect::DetachPort { index } => self.device(*index).attached = false,
            Effect::ClosePort { index, .. } => drop(self.open.remove(index)),
            Effect::Publish(_) => panic!("publishing cannot fail"),
            _ => {}
        }
    }

    fn device(&mut self, index: PortIndex) -> &mut Device {
        self.open.get_mut(&index).expect("an open port")
    }

    /// Time passes; timers fire as they are due.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(at) = self.controller.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.controller.handle_timeout(self.now);
            self.run();
        }
        self.now = end;
    }

    pub(crate) fn link(&mut self, event: LinkEvent) {
        match &event {
            LinkEvent::Present(link) => {
                self.links.retain(|_, known| known.ifindex != link.ifindex);
                self.links.insert(link.name.clone(), link.clone());
            }
            LinkEvent::Gone { ifindex } => self.links.retain(|_, known| known.ifindex != *ifindex),
            LinkEvent::All(links) => {
                self.links = links.iter().map(|l| (l.name.clone(), l.clone())).collect();
            }
        }
        self.controller.handle_link(event, self.now);
        self.run();
    }

    /// Calls a method without waiting for the answer.
    pub(crate) fn send(&mut self, method: &str, parameters: Value) -> RequestId {
        let request = Request::decode(method, &parameters).expect("a call that can be read");
        self.next_request += 1;
        let id = RequestId(self.next_request);
        let peer = Peer { uid: 0, pid: 1 };
        self.controller
            .handle_request(id, request, peer, true, self.now);
        self.run();
        id
    }

    /// The answers so far to a call, taken out.
    pub(crate) fn take(&mut self, id: RequestId) -> Vec<Reply> {
        let (mine, rest) = std::mem::take(&mut self.replies)
            .into_iter()
            .partition(|(to, _)| *to == id);
        self.replies = rest;
        let mine: Vec<(RequestId, Reply)> = mine;
        mine.into_iter().map(|(_, reply)| reply).collect()
    }

    /// Calls a method that answers once.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Result<Value, ApiError> {
        let id = self.send(method, parameters);
        let mut replies = self.take(id);
        assert_eq!(replies.len(), 1, "one answer to {method}");
        let reply = replies.remove(0);
        assert!(!reply.continues);
        reply.result
    }

    pub(crate) fn state(&mut self) -> State {
        let reply = self
            .call("io.vswitch.Switch.GetState", json!({}))
            .expect("the state");
        serde_json::from_value(reply["state"].clone()).expect("a state")
    }

    pub(crate) fn port(&mut self, name: &str) -> Port {
        let port = self
            .state()
            .ports
            .into_iter()
            .find(|port| port.name == name);
        port.unwrap_or_else(|| panic!("no port {name}"))
    }

    pub(crate) fn health(&mut self) -> HealthReply {
        let reply = self
            .call("io.vswitch.Switch.GetHealth", json!({}))
            .expect("the health");
        serde_json::from_value(reply).expect("a health")
    }

    /// Every event so far.
    pub(crate) fn events(&mut self) -> Vec<Event> {
        let id = self.send("io.vswitch.Switch.Watch", json!({ "sinceSequence": 0 }));
        let replies = self.take(id);
        self.controller.handle_hangup(id);
        let events = replies
            .into_iter()
            .map(|reply| reply.result.expect("an event"));
        events
            .filter_map(|value| {
                serde_json::from_value::<WatchReply>(value)
                    .expect("a reply")
                    .event
            })
            .collect()
    }

    pub(crate) fn events_of(&mut self, kind: &str) -> Vec<Event> {
        self.events()
            .into_iter()
            .filter(|event| event.kind == kind)
            .collect()
    }

    pub(crate) fn index(&self, name: &str) -> PortIndex {
        self.controller.port_index(name).expect("a configured port")
    }

    /// The snapshot's generation and what it says of a port.
    pub(crate) fn generation(&self) -> Generation {
        self.snapshot.generation
    }

    /// The effects since the last call, in short.
    pub(crate) fn take_log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.log)
    }
}

/// An effect in short; ports by name where the effect has it.
pub(crate) fn text(effect: &Effect) -> String {
    match effect {
        Effect::OpenPort { spec, .. } => format!("open {}", spec.name),
        Effect::AttachPort { index } => format!("attach {}", index.0),
        Effect::Publish(snapshot) => {
            let ports: Vec<String> = snapshot.ports().map(|(i, _)| i.0.to_string()).collect();
            format!("publish [{}]", ports.join(" "))
        }
        Effect::DetachPort { index } => format!("detach {}", index.0),
        Effect::ClosePort { index, delete } => {
            format!("close {}{}", index.0, if *delete { " delete" } else { "" })
        }
        Effect::SetDevice { index, change } => {
            let mut text = format!("set {}", index.0);
            if let Some(mtu) = change.mtu {
                text += &format!(" mtu {mtu}");
            }
            if let Some(queue) = change.tx_queue {
                text += &format!(" txqueuelen {queue:?}");
            }
            if let Some(up) = change.up {
                text += if up { " up" } else { " down" };
            }
            if change.addresses.is_some() {
                text += " addresses";
            }
            text
        }
        Effect::CountVlans { index, vids } => format!("count {} {vids:?}", index.0),
        Effect::Send { index, frames } => format!("send {} x{}", index.0, frames.len()),
        Effect::RestoreDevice(port) => format!("restore {}", port.name),
        Effect::SaveState(_) => "save".to_owned(),
    }
}
