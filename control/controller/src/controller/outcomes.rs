//! Answers to effects: what they say about ports, and what a failure leads to.
//!
//! What fails within a change that somebody waits for fails the change. What fails otherwise is the
//! port's trouble: kept, shown, tried again.

use super::jobs::Purpose;
use super::{Controller, Trouble};
use crate::actual::ActualPort;
use crate::effect::{
    AttachedPort, DeviceChange, Effect, EffectError, EffectId, EffectOutput, OpenSpec, PortFacts,
};
use vswitch_api::ApiError;
use vswitch_api::text::path;
use vswitch_api::types::Severity;
use vswitch_base::{Duration, Instant, PortIndex, Timer, VidSet};
use vswitch_core::protect::PortMemory;

/// First and longest wait before a port that could not be opened is tried again.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// When a state file that could not be written is tried again.
const SAVE_AGAIN: Duration = Duration::from_secs(10);

/// When a device that could not be set on the way back from a failed change, or when it returned, is
/// tried again: nobody waits for it, and nothing else would.
const SET_AGAIN: Duration = Duration::from_secs(30);

/// A handed-out effect, as far as its answer needs it.
#[derive(Debug)]
pub(super) struct Sent {
    of_job: bool,
    what: What,
}

#[expect(clippy::large_enum_variant, reason = "a handful exist at a time")]
#[derive(Debug)]
enum What {
    Open(PortIndex, OpenSpec),
    Attach(PortIndex),
    Detach(PortIndex),
    Close(PortIndex),
    Set(PortIndex, DeviceChange),
    Count(PortIndex, VidSet),
    Restore(AttachedPort),
    Publish,
    Send,
    Save,
}

impl Sent {
    pub(super) fn of(effect: &Effect, of_job: bool) -> Self {
        let what = match effect {
            Effect::OpenPort { index, spec } => What::Open(*index, spec.clone()),
            Effect::AttachPort { index } => What::Attach(*index),
            Effect::DetachPort { index } => What::Detach(*index),
            Effect::ClosePort { index, .. } => What::Close(*index),
            Effect::SetDevice { index, change } => What::Set(*index, change.clone()),
            Effect::CountVlans { index, vids } => What::Count(*index, vids.clone()),
            Effect::RestoreDevice(port) => What::Restore(port.clone()),
            Effect::Publish(_) => What::Publish,
            Effect::Send { .. } => What::Send,
            Effect::SaveState(_) => What::Save,
        };
        Self { of_job, what }
    }
}

impl Controller {
    /// Whether the daemon is closing that port at this moment.
    pub(super) fn is_closing(&self, index: PortIndex) -> bool {
        let closes = |sent: &Sent| matches!(sent.what, What::Close(closing) if closing == index);
        self.sent.values().any(closes)
    }

    /// The daemon has performed an effect, or failed to.
    pub fn handle_effect_done(
        &mut self,
        id: EffectId,
        result: Result<EffectOutput, EffectError>,
        now: Instant,
    ) {
        let Some(sent) = self.sent.remove(&id) else {
            return;
        };
        if let Some(job) = &mut self.job {
            job.waiting.remove(&id);
        }
        match result {
            Ok(output) => self.effect_succeeded(sent.what, output, now),
            Err(error) => self.effect_failed(sent, &error, now),
        }
        self.advance(now);
    }

    fn effect_succeeded(&mut self, what: What, output: EffectOutput, now: Instant) {
        match what {
            What::Open(index, spec) => {
                let facts = match output {
                    EffectOutput::Opened(facts) => facts,
                    EffectOutput::Done => PortFacts {
                        running: true,
                        ..PortFacts::default()
                    },
                };
                self.found.remove(&spec.name);
                let name = spec.name.clone();
                let counted = VidSet::EMPTY;
                let port = ActualPort {
                    index,
                    spec,
                    facts,
                    attached: false,
                    failed: None,
                    counted,
                    memory: PortMemory::default(),
                };
                self.actual.ports.insert(name, port);
            }
            What::Attach(index) => {
                if let Some(port) = self.actual.by_index_mut(index) {
                    port.attached = true;
                }
                if let Some(name) = self.name_of_open(index) {
                    if let Some(status) = self.status.get_mut(&name) {
                        status.trouble = None;
                    }
                    self.refresh_status(&name, now);
                }
            }
            What::Detach(index) => self.detached(index),
            What::Close(index) => self.closed(index, now),
            What::Set(index, change) => {
                if let Some(port) = self.actual.by_index_mut(index) {
                    port.apply(&change);
                }
            }
            What::Count(index, vids) => {
                if let Some(port) = self.actual.by_index_mut(index) {
                    for vid in vids.iter() {
                        port.counted.insert(vid);
                    }
                }
            }
            What::Save => self.save_again.cancel(),
            What::Restore(_) | What::Publish | What::Send => {}
        }
    }

    fn effect_failed(&mut self, sent: Sent, error: &EffectError, now: Instant) {
        let (index, fails_change) = match &sent.what {
            What::Open(index, _) | What::Attach(index) | What::Set(index, _) => (*index, true),
            What::Count(index, _) => (*index, false),
            What::Detach(index) => {
                // Whatever went wrong, the workers no longer use it as far as we can bring about.
                let index = *index;
                self.complain(index, "detach", error, now);
                return self.detached(index);
            }
            What::Close(index) => {
                let index = *index;
                self.complain(index, "close", error, now);
                return self.closed(index, now);
            }
            What::Restore(port) => {
                let object = path(&["port", &port.name]);
                let message = format!("what an earlier daemon left could not be put back: {error}");
                return self.note(now, "restore", &object, Severity::Warning, message);
            }
            What::Save => {
                self.save_again.set(now + SAVE_AGAIN);
                let message = format!("what is attached could not be written down: {error}");
                return self.note(now, "state-file", "daemon", Severity::Warning, message);
            }
            // The next PDU, or the next announcement, comes all the same.
            What::Send => return,
            What::Publish => {
                let message = format!("publishing failed: {error}");
                return self.note(now, "workers", "daemon", Severity::Error, message);
            }
        };
        let name = match &sent.what {
            What::Open(_, spec) => spec.name.clone(),
            _ => self.name_of_open(index).unwrap_or_default(),
        };
        if let What::Attach(index) = &sent.what
            && let Some(port) = self.actual.by_index_mut(*index)
        {
            port.failed = Some(error.errno);
        }
        let strict = sent.of_job
            && fails_change
            && self
                .job
                .as_ref()
                .is_some_and(|job| matches!(job.purpose, Purpose::Change(_)));
        if strict {
            if let Some(job) = &mut self.job {
                let object = format!("port {name}");
                job.failure
                    .get_or_insert_with(|| system_error(&object, error));
            }
        } else if matches!(sent.what, What::Set(..) | What::Count(..)) {
            self.complain(index, "set", error, now);
            self.set_again.set(now + SET_AGAIN);
        } else {
            self.trouble(
                &name,
                error.is_absent(),
                error.to_string(),
                error.hint.clone(),
                now,
            );
        }
    }

    fn complain(&mut self, index: PortIndex, verb: &str, error: &EffectError, now: Instant) {
        let name = self.name_of_open(index).unwrap_or_default();
        let object = path(&["port", &name]);
        let message = format!("could not {verb} {name}: {error}");
        self.note(now, "port-error", &object, Severity::Warning, message);
    }

    fn name_of_open(&self, index: PortIndex) -> Option<String> {
        self.actual.by_index(index).map(|(name, _)| name.clone())
    }

    fn detached(&mut self, index: PortIndex) {
        if let Some(port) = self.actual.by_index_mut(index) {
            port.attached = false;
        }
    }

    fn closed(&mut self, index: PortIndex, now: Instant) {
        if let Some(name) = self.name_of_open(index) {
            self.actual.ports.remove(&name);
            self.leaving.remove(&name);
            self.refresh_status(&name, now);
        }
    }

    /// Keeps why a port could not be opened, and when it is tried again.
    pub(super) fn trouble(
        &mut self,
        name: &str,
        absent: bool,
        reason: String,
        hint: Option<String>,
        now: Instant,
    ) {
        let Some(status) = self.status.get_mut(name) else {
            return;
        };
        let before = status.trouble.as_ref().map(|t| t.backoff);
        let backoff = before.map_or(BACKOFF_MIN, |b| {
            Duration::from_nanos((b.as_nanos() * 2).min(BACKOFF_MAX.as_nanos()))
        });
        let mut retry = Timer::default();
        retry.set(now + backoff);
        let state = if absent { "absent" } else { "failed" };
        let reason = hint.map_or_else(|| reason.clone(), |hint| format!("{reason}; {hint}"));
        status.trouble = Some(Trouble {
            state,
            reason,
            retry,
            backoff,
        });
        self.refresh_status(name, now);
    }
}

fn system_error(object: &str, error: &EffectError) -> ApiError {
    // What went wrong goes with what to do about it: the caller sees a bare errno otherwise.
    let hint = Some(match &error.hint {
        Some(hint) => format!("{}; {hint}", error.message),
        None => error.message.clone(),
    });
    ApiError::SystemError {
        operation: error.operation.clone(),
        object: object.to_owned(),
        errno: error.errno,
        errno_name: if error.errno_name.is_empty() {
            error.message.clone()
        } else {
            error.errno_name.clone()
        },
        hint,
    }
}
