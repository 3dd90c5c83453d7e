//! Jobs: stages of effects, each awaited, one job at a time; and the way back when one fails.
//!
//! ```text
//!   idle ──request──► Change ──all done──► committed, reply
//!     │                  └──an effect failed──► Undo ──► reply with the cause
//!     └──device came, retry due──► Settle (a failure is kept as the port's trouble; nothing turns around)
//!     └──stop──► Stop
//! ```

use super::{Controller, Peer, PortStatus, RequestId};
use crate::attachments::Attachments;
use crate::compile::{Compiled, compile};
use crate::delta::{Conditions, Stage, delta, port_of};
use crate::effect::{Effect, EffectId};
use crate::plan;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use vswitch_api::config::{Config, ConfigError};
use vswitch_api::types::{Attachment, Change};
use vswitch_api::{ApiError, Request};
use vswitch_base::{Generation, Instant};

/// What a job is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Make what is committed true, as far as possible now.
    Settle,
    /// Make another configuration true, wholly.
    Change(Box<ChangeJob>),
    /// Go back after a failed change.
    Undo {
        caller: Caller,
        error: Box<ApiError>,
    },
    /// Give everything back.
    Stop,
}

/// A change that waits for its turn.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) id: RequestId,
    pub(super) request: Request,
    pub(super) peer: Peer,
    /// It failed together with others, perhaps for their sake.
    pub(super) alone: bool,
}

/// Whether a request is about attachments, which change.
pub(super) const fn is_of_owners(request: &Request) -> bool {
    matches!(
        request,
        Request::Attach(_) | Request::Detach(_) | Request::CollectGarbage(_)
    )
}

/// Who wants a change.
#[derive(Debug)]
pub(super) enum Caller {
    /// The files were read again.
    Files,
    /// A client that edits the operator's configuration.
    Operator(RequestId, Peer),
    /// Owners of ports, each with its answer.
    Owners(Vec<Asked>),
}

/// One of several callers of a change.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) queued: Queued,
    pub(super) answer: Answer,
}

/// A change of configuration under way.
#[derive(Debug)]
pub(super) struct ChangeJob {
    /// Whom to answer.
    pub(super) caller: Caller,
    /// What is to be.
    pub(super) wanted: Wanted,
    /// What differs.
    pub(super) changes: Vec<Change>,
}

/// What a change leads to.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The operator's configuration.
    pub(super) config: Config,
    /// The attachments.
    pub(super) attachments: Attachments,
}

/// How the owner of a port is answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// With the port of an attachment.
    Attached {
        /// Whose.
        attachment: Attachment,
        /// Whether it had none before.
        created: bool,
    },
    /// With whether there was a port.
    Detached(bool),
    /// With what was taken away.
    Collected(Vec<Attachment>),
}

/// The one job under way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) purpose: Purpose,
    target: Arc<Compiled>,
    stages: VecDeque<Stage>,
    pub(super) waiting: BTreeSet<EffectId>,
    until_observed: Option<Generation>,
    pub(super) failure: Option<ApiError>,
}

impl Job {
    /// The attachments that a change leads to.
    pub(super) const fn attachments(&self) -> Option<&Attachments> {
        match &self.purpose {
            Purpose::Change(change) => Some(&change.wanted.attachments),
            Purpose::Settle | Purpose::Undo { .. } | Purpose::Stop => None,
        }
    }
}

impl Controller {
    /// Goes on with what there is to do, as far as it can without waiting.
    pub(super) fn advance(&mut self, now: Instant) {
        self.publish_due |= self.follow_bonds(now);
        loop {
            if self.job.is_none() && !self.begin(now) {
                return;
            }
            if !self.step(now) {
                return;
            }
        }
    }

    /// Begins the next job; false when there is none.
    fn begin(&mut self, now: Instant) -> bool {
        if self.stopping {
            if self.stopped {
                return false;
            }
            self.queue_refused_at_stop();
            let target = Arc::new(Compiled::default());
            self.start(
                Purpose::Stop,
                target,
                &Conditions {
                    keep_persistent: true,
                    ..Conditions::default()
                },
            );
            return true;
        }
        if std::mem::take(&mut self.settle_due) {
            let conditions = self.conditions(None, now);
            let target = Arc::clone(&self.committed);
            self.start(Purpose::Settle, target, &conditions);
            return true;
        }
        if let Some(config) = self.reload.take() {
            let wanted = Wanted {
                config: *config,
                attachments: self.attachments.clone(),
            };
            return self.begin_change(Caller::Files, wanted, now) || self.begin(now);
        }
        while let Some(queued) = self.queue.pop_front() {
            let begun = if is_of_owners(&queued.request) {
                self.begin_attachments(queued, now)
            } else {
                self.begin_request(queued.id, &queued.request, queued.peer, now)
            };
            if begun {
                return true;
            }
        }
        false
    }

    /// Begins a change; false when there is nothing to wait for: refused, or no difference.
    pub(super) fn begin_change(&mut self, caller: Caller, wanted: Wanted, now: Instant) -> bool {
        let changes = plan::changes(&self.operator, &wanted.config);
        let merged = wanted.attachments.merge(&wanted.config);
        if let Err(error) = self.attachments_allow(&wanted.config) {
            self.refuse(caller, error, now);
            return false;
        }
        let target = match compile(&merged, &mut self.registry, &self.facts) {
            Ok(target) => Arc::new(target),
            Err(errors) => {
                self.release_unused();
                self.refuse(caller, errors.into(), now);
                return false;
            }
        };
        let blocked: Vec<ConfigError> = target
            .blocked
            .iter()
            .filter(|(name, _)| self.is_new_or_other(name, &target))
            .map(|(_, error)| error.clone())
            .collect();
        if !blocked.is_empty() {
            self.release_unused();
            self.refuse(caller, blocked.into(), now);
            return false;
        }
        let mut conditions = self.conditions(Some(&target), now);
        if let Caller::Owners(all) = &caller {
            for asked in all {
                if let Answer::Attached { attachment, .. } = &asked.answer {
                    let call = asked.queued.id.0;
                    conditions.handed.insert(attachment.port_name(), call);
                }
            }
        }
        let recorded = wanted.attachments == self.attachments;
        let job = ChangeJob {
            caller,
            wanted,
            changes,
        };
        self.start(Purpose::Change(Box::new(job)), target, &conditions);
        // Written down before it is answered, also where no device is opened for it.
        if let Some(job) = self.job.as_mut().filter(|_| !recorded)
            && !job.stages.iter().any(|stage| matches!(stage, Stage::Save))
        {
            job.stages.push_back(Stage::Save);
        }
        true
    }

    /// Whether a port of `target` is not the port that is configured now.
    pub(super) fn is_new_or_other(&self, name: &str, target: &Compiled) -> bool {
        match (self.committed.ports.get(name), target.ports.get(name)) {
            (Some(now), Some(then)) => !now.spec.is_same_device(&then.spec),
            _ => true,
        }
    }

    fn start(&mut self, purpose: Purpose, target: Arc<Compiled>, conditions: &Conditions) {
        let stages = delta(&self.actual, &target, conditions).into();
        self.job = Some(Job {
            purpose,
            target,
            stages,
            waiting: BTreeSet::new(),
            until_observed: None,
            failure: None,
        });
    }

    /// Takes the job one stage further; false when it has to wait.
    fn step(&mut self, now: Instant) -> bool {
        let Some(job) = &mut self.job else {
            return true;
        };
        if !job.waiting.is_empty() {
            return false;
        }
        if job.failure.is_some() && matches!(job.purpose, Purpose::Change(_)) {
            self.turn_around(now);
            return true;
        }
        if job
            .until_observed
            .is_some_and(|generation| self.observed < generation)
        {
            return false;
        }
        job.until_observed = None;
        let target = Arc::clone(&job.target);
        match job.stages.pop_front() {
            None => self.finish(now),
            Some(Stage::Do(effects)) => {
                for effect in effects {
                    if self.is_sensible(&effect) {
                        let id = self.send(effect, true);
                        if let Some(job) = &mut self.job {
                            job.waiting.insert(id);
                        }
                    }
                }
            }
            Some(Stage::PublishWithout(names)) => {
                self.say_goodbye(&names, now);
                for name in names {
                    if let Some(port) = self.actual.ports.get(&name) {
                        self.registry.raise_epoch(port.index);
                    }
                    self.leaving.insert(name);
                }
                self.publish(now);
            }
            Some(Stage::PublishTarget) => {
                if let Err(errors) = self.switch_view(&target, now)
                    && let Some(job) = &mut self.job
                {
                    job.failure.get_or_insert_with(|| errors.into());
                }
                self.publish(now);
            }
            Some(Stage::AwaitObserved) => {
                let generation = self.snapshot.generation;
                if let Some(job) = &mut self.job {
                    job.until_observed = Some(generation);
                }
            }
            Some(Stage::Forget) => self.forget_displaced(),
            Some(Stage::Save) => {
                let state = self.state_to_save();
                let id = self.send(Effect::SaveState(state), true);
                if let Some(job) = &mut self.job {
                    job.waiting.insert(id);
                }
            }
        }
        true
    }

    /// Whether an effect still makes sense: an earlier one of the plan may have failed.
    fn is_sensible(&self, effect: &Effect) -> bool {
        let open = port_of(effect).and_then(|index| self.actual.by_index(index));
        match effect {
            Effect::AttachPort { .. } => {
                open.is_some_and(|(_, port)| !port.attached && port.failed.is_none())
            }
            Effect::DetachPort { .. } => open.is_some_and(|(_, port)| port.attached),
            Effect::OpenPort { .. } => open.is_none(),
            Effect::ClosePort { .. } | Effect::SetDevice { .. } | Effect::CountVlans { .. } => {
                open.is_some()
            }
            Effect::Publish(_)
            | Effect::Send { .. }
            | Effect::RestoreDevice(_)
            | Effect::SaveState(_) => true,
        }
    }

    /// A change failed: leads back to what is committed.
    fn turn_around(&mut self, now: Instant) {
        let Some(Job {
            purpose: Purpose::Change(change),
            failure: Some(error),
            ..
        }) = self.job.take()
        else {
            return;
        };
        // Ports that were on their way out stay, unless the way back takes them out itself.
        self.leaving.clear();
        let conditions = self.conditions(None, now);
        let purpose = Purpose::Undo {
            caller: change.caller,
            error: Box::new(error),
        };
        self.start(purpose, Arc::clone(&self.committed), &conditions);
    }

    fn finish(&mut self, now: Instant) {
        let Some(job) = self.job.take() else { return };
        match job.purpose {
            Purpose::Settle => {
                self.release_unused();
                // A device may have come or gone meanwhile.
                self.settle_due |= self.is_unsettled(now);
            }
            Purpose::Change(change) => {
                self.config = change.wanted.attachments.merge(&change.wanted.config);
                self.operator = change.wanted.config;
                self.attachments = change.wanted.attachments;
                self.committed = job.target;
                self.generation += 1;
                if matches!(change.caller, Caller::Files) {
                    self.saved = self.operator.clone();
                }
                self.adopt_committed(now);
                self.release_unused();
                self.answer_done(change.caller, change.changes, now);
            }
            Purpose::Undo { caller, error } => {
                self.release_unused();
                self.refuse(caller, *error, now);
            }
            Purpose::Stop => self.stopped = true,
        }
    }

    /// Names, tables and states follow what is committed.
    pub(super) fn adopt_committed(&mut self, now: Instant) {
        let committed = Arc::clone(&self.committed);
        for (name, bridge) in &committed.bridges {
            self.registry.adopt_table(name, &bridge.spec.fdb);
        }
        self.status
            .retain(|name, _| committed.ports.contains_key(name));
        for name in committed.ports.keys() {
            self.status
                .entry(name.clone())
                .or_insert_with(|| PortStatus {
                    state: "absent",
                    reason: None,
                    since: now,
                    trouble: None,
                    shut: None,
                    partner: None,
                    unasked_lacp: None,
                });
            self.refresh_status(name, now);
        }
        for (name, error) in &committed.blocked {
            if !self.actual.ports.contains_key(name) {
                self.trouble(name, false, error.message.clone(), error.hint.clone(), now);
            }
        }
    }

    /// Whether another round would do something: a wanted port is not open and nothing holds it back.
    fn is_unsettled(&mut self, now: Instant) -> bool {
        let conditions = self.conditions(None, now);
        let missing = self.committed.ports.keys().any(|name| {
            !conditions.hold.contains(name)
                && self
                    .actual
                    .ports
                    .get(name)
                    .is_none_or(|port| !port.attached)
        });
        missing || !conditions.lost.is_empty()
    }

    /// Gives up indices of names that nothing uses: not configured, not open.
    fn release_unused(&mut self) {
        let forgotten_by = self.snapshot.generation;
        let used = |name: &str| {
            self.committed.ports.contains_key(name) || self.actual.ports.contains_key(name)
        };
        let ports: Vec<String> = self
            .registry
            .port_names()
            .filter(|n| !used(n))
            .map(str::to_owned)
            .collect();
        for name in ports {
            self.registry.release_port(&name, forgotten_by);
        }
        let unused = |name: &&str| !self.committed.bridges.contains_key(*name);
        let bridges: Vec<String> = self
            .registry
            .bridge_names()
            .filter(unused)
            .map(str::to_owned)
            .collect();
        for name in bridges {
            self.registry.release_bridge(&name, forgotten_by);
        }
    }

    /// Devices that a daemon before this one left changed: handed to the port that has them now, or put
    /// back.
    pub(super) fn take_over_recovered(&mut self) {
        for port in std::mem::take(&mut self.settings.recovered).ports {
            let ours = self.committed.ports.get(&port.name).filter(|wanted| {
                crate::actual::kind_name(&wanted.spec.kind) == port.kind
                    && wanted.spec.device_name() == port.device.as_deref()
                    && wanted.spec.netns() == port.netns.as_deref()
            });
            let device = port
                .device
                .as_deref()
                .and_then(|device| self.facts.named(device));
            let same_device =
                port.netns.is_some() || device.map(|link| link.ifindex) == port.ifindex;
            match (ours, &port.found) {
                (Some(_), Some(found)) if same_device => {
                    self.found.insert(port.name, found.clone());
                }
                (Some(_), _) => {}
                (None, _) if same_device && (port.found.is_some() || port.persistent) => {
                    self.send(Effect::RestoreDevice(port), false);
                }
                (None, _) => {}
            }
        }
    }
}
