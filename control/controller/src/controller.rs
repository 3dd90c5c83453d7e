//! The controller: `handle_*` for what came in, `poll_*` for what must go out.
//!
//! **Order of calls.** After any `handle_*`, poll effects until there are none, then replies until there
//! are none, then arm a timer for [`Controller::poll_timeout`]. Every handed-out effect is answered once.
//! Answers may be given while polling.
//!
//! **One change at a time.** A request that changes something becomes a *job*: stages of effects, each
//! awaited. Further changes queue, at most [`QUEUE_MAX`]; beyond that callers hear `Busy`. Attachments that
//! wait one after another become one job, unless it fails: then each is tried alone. If an effect
//! of a change fails, the job turns around: the same `delta` leads back to the configuration before, and
//! the caller gets the cause. What concerns traffic does not wait for a job: loss of carrier and a shut
//! port are published at once.
//!
//! **At start** a port that cannot be opened does not stop the others. It is kept, `absent` or `failed`
//! with the reason, and tried again when its device appears and at growing intervals (I-10).
//!
//! **Rights** are checked before a request comes here. Protected objects are checked here, because only
//! the configuration knows them (S-21).
//!
//! One owner, the control thread; nothing here blocks or reads a clock.

mod addresses;
mod announcing;
mod attaching;
mod bond_requests;
mod bonds;
mod health;
mod jobs;
mod known;
mod links;
mod monitoring;
mod outcomes;
mod punts;
mod requests;
mod stats;
mod status;
mod streams;
mod trace;

use crate::actual::Actual;
use crate::attachments::Attachments;
use crate::bindings::Bindings;
use crate::bond::Bond;
use crate::compile::{Compiled, PortRun, WantedPort, compile};
use crate::effect::{AttachedState, Effect, EffectId, FoundState};
use crate::events::{EventLog, Note};
use crate::facts::{Facts, LinkEvent};
use crate::flaps::Flaps;
use crate::groups::Groups;
use crate::loops::Loops;
use crate::registry::Registry;
use crate::wall::WallClock;
use addresses::Addresses;
use jobs::{Job, Queued};
use outcomes::Sent;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use streams::Streams;
use vswitch_api::ApiError;
use vswitch_api::config::{Config, ConfigError};
use vswitch_api::types::{ChangeReply, Event, Severity};
use vswitch_base::{Duration, Generation, Instant, PortIndex, Timer, Vid};
use vswitch_core::counters::PortTotals;
use vswitch_core::snapshot::Snapshot;

/// Changes waiting for the one under way, at most.
pub const QUEUE_MAX: usize = 512;
/// A worker that has not taken a snapshot for this long is reported.
const OBSERVE_PATIENCE: Duration = Duration::from_secs(5);

/// Names one call of a client; chosen by the daemon, never used twice in a run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct RequestId(pub u64);

/// Who called, from the socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Peer {
    /// User id.
    pub uid: u32,
    /// Process id, 0 when unknown.
    pub pid: i32,
}

/// An answer to a call.
#[derive(Clone, PartialEq, Debug)]
pub struct Reply {
    /// The parameters of the reply, or the error.
    pub result: Result<Value, ApiError>,
    /// Whether more replies to the same call may follow.
    pub continues: bool,
}

/// The data plane's numbers, read by the status methods.
pub trait Counters: fmt::Debug {
    /// What passed a port, over all workers.
    fn totals(&self, port: PortIndex) -> PortTotals;
    /// What passed a port in one VLAN; `None` when that is not counted.
    fn vlan(&self, port: PortIndex, vid: Vid) -> Option<VlanTotals>;
}

/// What passed a port in one VLAN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VlanTotals {
    /// Frames admitted.
    pub frames_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Copies handed to the device.
    pub frames_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
}

/// What does not change in a run.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Keys the address tables; random for each run.
    pub hash_seed: u64,
    /// The machine's (and namespace's) own number, the same for every run: addresses of bridges and
    /// host ports that have none configured are derived from it and the name.
    pub machine: u64,
    /// Whether ports of kind `mem` are allowed.
    pub mem_ports: bool,
    /// Forwarding threads, for the health report.
    pub workers: u32,
    /// Whether the daemon may enter network namespaces, and so find the device of a port there again
    /// after a restart.
    pub enters_namespaces: bool,
    /// The daemon's version.
    pub version: String,
    /// Nanoseconds since 1970 at [`Instant::ZERO`].
    pub unix_ns_at_zero: u64,
    /// What a daemon before this one wrote down as attached and did not put back.
    pub recovered: AttachedState,
}

/// Why a port is not up, and when it is tried again.
#[derive(Clone, Debug)]
struct PortStatus {
    state: &'static str,
    reason: Option<String>,
    since: Instant,
    /// Why its device could not be opened; cleared when it is.
    trouble: Option<Trouble>,
    /// Shut by a guard, with the reason.
    shut: Option<String>,
    /// What the link partner was heard to speak, and when last.
    partner: Option<(String, Instant)>,
    /// When the link partner was last heard to speak LACP that nobody here answers.
    unasked_lacp: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Trouble {
    state: &'static str,
    reason: String,
    retry: Timer,
    backoff: Duration,
}

/// See the module.
#[derive(Debug)]
pub struct Controller {
    settings: Settings,
    counters: Box<dyn Counters>,
    wall: WallClock,
    /// When this controller, and with it the daemon, began: the clock does not begin at zero.
    begun: Instant,
    facts: Facts,
    registry: Registry,

    /// What is running: what the operator wants, with the attachments in it.
    config: Config,
    /// What the operator wants, and what the files said when they were last read.
    operator: Config,
    saved: Config,
    attachments: Attachments,
    generation: u64,
    /// `config`, compiled.
    committed: Arc<Compiled>,
    /// What was published last: `committed`, or what a job leads to.
    view: Arc<Compiled>,
    actual: Actual,
    /// Open ports that snapshots leave out because they are about to be closed.
    leaving: BTreeSet<String>,
    /// Those of `view`.
    bonds: BTreeMap<String, Bond>,
    /// What bonds have still to say of the stations on their bridges.
    announcing: announcing::Rounds,
    /// What stations reported of multicast groups, where a bond may have to say it again.
    groups: Groups,
    /// Which IP addresses stations said to have, where a bond may have to announce them.
    bindings: Bindings,
    status: BTreeMap<String, PortStatus>,
    found: BTreeMap<String, FoundState>,

    snapshot: Arc<Snapshot>,
    published_at: Instant,
    observed: Generation,
    publish_due: bool,
    stalled: bool,
    /// Workers that stand still, and since when.
    standing: BTreeMap<u32, Instant>,
    /// The state file could not be written.
    save_again: Timer,
    /// When a device whose settings could not be made right is tried again.
    set_again: Timer,

    job: Option<Job>,
    queue: VecDeque<Queued>,
    settle_due: bool,
    reload: Option<Box<Config>>,
    reloaded: Option<Result<ChangeReply, ApiError>>,
    stopping: bool,
    stopped: bool,

    effects: VecDeque<(EffectId, Effect)>,
    sent: BTreeMap<EffectId, Sent>,
    next_effect: u64,

    addresses: Addresses,
    flaps: Flaps,
    loops: Loops,
    events: EventLog,
    streams: Streams,
}

impl Controller {
    /// A controller that will bring `config` up, the configuration of the files. `links` are the devices
    /// there are. Nothing is done before the first [`Self::poll_effect`].
    ///
    /// # Errors
    /// Everything that is wrong with the configuration.
    pub fn new(
        settings: Settings,
        config: Config,
        counters: Box<dyn Counters>,
        links: Vec<crate::facts::Link>,
        now: Instant,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut facts = Facts::new(settings.machine, settings.mem_ports);
        for link in links {
            facts.insert(link);
        }
        let mut registry = Registry::new(settings.hash_seed);
        let operator = config;
        let recovered = settings.recovered.attachments.clone();
        let attachments = Attachments::recovered(recovered);
        let (config, target, attachments) =
            match compile(&attachments.merge(&operator), &mut registry, &facts) {
                Ok(target) => (attachments.merge(&operator), target, attachments),
                // Said in full only when it is the operator's configuration that is wrong.
                Err(_) => attaching::without_wrong(&operator, attachments, &mut registry, &facts)?,
            };
        let target = Arc::new(target);
        let wall = WallClock {
            unix_ns_at_zero: settings.unix_ns_at_zero,
        };
        let mut controller = Self {
            counters,
            wall,
            begun: now,
            facts,
            registry,
            saved: operator.clone(),
            config,
            operator,
            attachments,
            generation: 1,
            committed: target,
            view: Arc::default(),
            actual: Actual::default(),
            leaving: BTreeSet::new(),
            bonds: BTreeMap::new(),
            announcing: announcing::Rounds::new(),
            groups: Groups::default(),
            bindings: Bindings::default(),
            status: BTreeMap::new(),
            found: BTreeMap::new(),
            snapshot: Arc::default(),
            published_at: now,
            observed: Generation::default(),
            publish_due: false,
            stalled: false,
            standing: BTreeMap::new(),
            save_again: Timer::default(),
            set_again: Timer::default(),
            job: None,
            queue: VecDeque::new(),
            settle_due: true,
            reload: None,
            reloaded: None,
            stopping: false,
            stopped: false,
            effects: VecDeque::new(),
            sent: BTreeMap::new(),
            next_effect: 0,
            addresses: Addresses::default(),
            flaps: Flaps::default(),
            loops: Loops::default(),
            events: EventLog::new(wall),
            streams: Streams::default(),
            settings,
        };
        controller.adopt_committed(now);
        controller.take_over_recovered();
        controller.advance(now);
        Ok(controller)
    }

    /// The next side effect to perform. `None`: nothing more until something comes in.
    pub fn poll_effect(&mut self, now: Instant) -> Option<(EffectId, Effect)> {
        if self.effects.is_empty() && std::mem::take(&mut self.publish_due) {
            self.publish(now);
        } else if self.effects.is_empty() {
            // After the publication that it follows from.
            self.announce(now);
        }
        self.effects.pop_front()
    }

    /// The next answer to a client.
    pub fn poll_reply(&mut self, now: Instant) -> Option<(RequestId, Reply)> {
        self.next_reply(now)
    }

    /// When [`Self::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let retries = self
            .status
            .values()
            .filter_map(|s| s.trouble.as_ref()?.retry.deadline());
        let stall = (self.observed < self.snapshot.generation && !self.stalled)
            .then(|| self.published_at + OBSERVE_PATIENCE);
        let ticks = self.addresses.next_tick(self.streams.watches_addresses());
        let again = [self.save_again.deadline(), self.set_again.deadline()];
        let again = again.into_iter().flatten();
        let bonds = self.bonds.values().filter_map(Bond::poll_timeout);
        retries
            .chain(bonds)
            .chain(self.next_announcement())
            .chain(stall)
            .chain(again)
            .chain(ticks)
            .min()
    }

    /// A network device appeared, changed or went.
    pub fn handle_link(&mut self, event: LinkEvent, now: Instant) {
        self.take_link(event, now);
        self.advance(now);
    }

    /// All workers use this generation or a later one.
    pub fn handle_observed(&mut self, generation: Generation, now: Instant) {
        self.observed = self.observed.max(generation);
        self.registry.observed(generation);
        if self.observed == self.snapshot.generation && std::mem::take(&mut self.stalled) {
            self.note(
                now,
                "workers",
                "daemon",
                Severity::Info,
                "the workers follow again".to_owned(),
            );
        }
        self.advance(now);
    }

    /// Time has come to [`Self::poll_timeout`]; harmless when it has not.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.observed < self.snapshot.generation
            && !self.stalled
            && self.published_at + OBSERVE_PATIENCE <= now
        {
            self.stalled = true;
            let message = format!(
                "a worker has not taken the configuration published {} s ago",
                now.saturating_since(self.published_at).as_secs()
            );
            self.note(now, "workers", "daemon", Severity::Error, message);
        }
        for status in self.status.values_mut() {
            if status
                .trouble
                .as_mut()
                .is_some_and(|t| t.retry.poll_expiration(now))
            {
                self.settle_due = true;
            }
        }
        if self.save_again.poll_expiration(now) {
            let state = self.state_to_save();
            self.send(Effect::SaveState(state), false);
        }
        self.settle_due |= self.set_again.poll_expiration(now);
        self.tick_addresses(now);
        self.advance(now);
    }

    /// The files were read again and say this: becomes the running configuration, protected objects
    /// included, or, if something in it fails, nothing changes and an event says why. Either comes from
    /// [`Self::poll_reload`].
    pub fn handle_reload(&mut self, config: Config, now: Instant) {
        self.reload = Some(Box::new(config));
        self.advance(now);
    }

    /// The files were to be read again and could not: nothing changes, an event says so.
    pub fn handle_reload_unreadable(&mut self, why: &str, now: Instant) {
        let first = why.lines().next().unwrap_or_default();
        let first = first.trim_start_matches("error: ");
        let message = format!("the configuration was not taken over: {first}");
        self.note(now, "config", "config", Severity::Error, message);
    }

    /// What became of the last [`Self::handle_reload`], once.
    pub const fn poll_reload(&mut self) -> Option<Result<ChangeReply, ApiError>> {
        self.reloaded.take()
    }

    /// Gives every device back as it was found. Changes are refused from now on; [`Self::is_stopped`]
    /// tells when it is done.
    pub fn handle_stop(&mut self, now: Instant) {
        self.stopping = true;
        self.advance(now);
    }

    /// Whether everything is given back after [`Self::handle_stop`].
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Whether everything asked for so far is done: no effect is awaited, no change is queued.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.job.is_none()
            && self.queue.is_empty()
            && self.effects.is_empty()
            && self.sent.is_empty()
            && !self.settle_due
            && !self.publish_due
            && self.reload.is_none()
    }

    /// Events after number `sequence`, for the daemon's log; `None` when some are no longer kept.
    pub fn events_since(&self, sequence: u64) -> Option<impl Iterator<Item = &Event>> {
        self.events.since(sequence)
    }

    /// The number of the latest event.
    #[must_use]
    pub const fn latest_event(&self) -> u64 {
        self.events.latest()
    }

    /// Whole seconds since the daemon began.
    #[must_use]
    pub fn uptime_seconds(&self, now: Instant) -> u64 {
        now.saturating_since(self.begun).as_secs()
    }

    /// The running configuration, with the attachments in it.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The running configuration's number: one more with each applied change.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The snapshot published last.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The operator's name of a port, by its index.
    #[must_use]
    pub fn port_name(&self, index: PortIndex) -> Option<&str> {
        self.view.names.get(&index).map(String::as_str)
    }

    /// The index of a port or host port that is configured.
    #[must_use]
    pub fn port_index(&self, name: &str) -> Option<PortIndex> {
        self.view.ports.get(name).map(|port| port.index)
    }

    /// Publishes the present view of the attached ports.
    fn publish(&mut self, now: Instant) {
        self.follow_bonds(now);
        self.publish_due = false;
        let generation = self.snapshot.generation.next();
        let view = Arc::clone(&self.view);
        let snapshot = Arc::new(view.snapshot(generation, &self.bonds, |name, port| {
            self.run_of(name, port)
        }));
        self.snapshot.settle_rates(now);
        self.snapshot = Arc::clone(&snapshot);
        self.published_at = now;
        for bond in self.bonds.values_mut() {
            bond.published(generation);
        }
        self.send(Effect::Publish(snapshot), false);
    }

    /// Whether and how a port takes part in the next snapshot.
    fn run_of(&self, name: &str, port: &WantedPort) -> Option<PortRun> {
        let open = self.actual.ports.get(name)?;
        if !open.attached || open.index != port.index || self.leaving.contains(name) {
            return None;
        }
        let shut = self
            .status
            .get(name)
            .is_some_and(|status| status.shut.is_some());
        let epoch = self.registry.epoch(port.index);
        Some(PortRun {
            memory: open.memory.clone(),
            epoch,
            running: !shut
                && open.failed.is_none()
                && self.is_running(open)
                && self.bonds.get(name).is_none_or(Bond::carries),
        })
    }

    fn send(&mut self, effect: Effect, of_job: bool) -> EffectId {
        self.next_effect += 1;
        let id = EffectId(self.next_effect);
        self.sent.insert(id, Sent::of(&effect, of_job));
        self.effects.push_back((id, effect));
        id
    }

    fn note(
        &mut self,
        now: Instant,
        kind: &'static str,
        object: &str,
        severity: Severity,
        message: String,
    ) {
        self.note_with(
            now,
            Note {
                kind,
                object,
                severity,
                message,
                detail: None,
            },
        );
    }

    fn note_with(&mut self, now: Instant, note: Note<'_>) {
        let event = self.events.add(note, now);
        self.streams.offer_event(&event);
    }
}

#[cfg(test)]
mod tests;
