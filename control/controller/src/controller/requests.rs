//! What a client asks: reads are answered at once, changes become jobs.

use super::jobs::{Caller, Queued, Wanted, is_of_owners};
use super::{Controller, Peer, QUEUE_MAX, RequestId};
use crate::compile::{errors, forbidden};
use crate::events::Note;
use crate::plan;
use vswitch_api::config::edit::edit;
use vswitch_api::types::{Change, ChangeReply, ConfigReply, ConfigSource, PlanReply, Severity};
use vswitch_api::{ApiError, Request};
use vswitch_base::Instant;

impl Controller {
    /// A client calls. Answers come from [`Self::poll_reply`]; `more` says whether it takes several.
    /// Introspection, captures and the daemon's own methods are the daemon's to answer.
    pub fn handle_request(
        &mut self,
        id: RequestId,
        request: Request,
        peer: Peer,
        more: bool,
        now: Instant,
    ) {
        match request {
            Request::GetHealth(_) => {
                let health = self.health(now);
                self.streams.answer(id, Ok(health));
            }
            Request::GetState(get) => {
                let state = self.state_reply(get.bridge.as_deref(), get.port.as_deref(), now);
                self.streams.answer(id, state);
            }
            Request::Watch(watch) => self.watch(id, watch.kinds, watch.since_sequence),
            Request::GetConfig(get) => {
                let config = match get.source.unwrap_or_default() {
                    ConfigSource::Running => &self.operator,
                    ConfigSource::Saved => &self.saved,
                };
                let config = serde_json::to_value(config).unwrap_or_default();
                let reply = ConfigReply {
                    config,
                    generation: self.generation,
                };
                self.streams.answer(id, Ok(reply));
            }
            Request::Plan(_) => {
                let reply = self
                    .try_out(&request)
                    .map(|(changes, warnings)| PlanReply { changes, warnings });
                self.streams.answer(id, reply);
            }
            Request::BondList(list) => {
                let reply = self.bond_list(list.bond.as_deref(), now);
                self.streams.answer(id, reply);
            }
            Request::BondSetActive(set) => {
                let reply = self.bond_set_active(&set);
                self.streams.answer(id, reply);
                self.advance(now);
            }
            Request::BondHash(hash) => {
                let reply = self.bond_hash(&hash);
                self.streams.answer(id, reply);
            }
            Request::CheckAttachment(check) => {
                let reply = self.check_attachment(&check.attachment);
                self.streams.answer(id, Ok(reply));
            }
            Request::Ready(ready) => {
                let reply = self.ready(ready.bridge.as_deref());
                self.streams.answer(id, reply);
            }
            Request::ListAttachments(list) => {
                let reply = self.list_attachments(list.network.as_deref());
                self.streams.answer(id, Ok(reply));
            }
            Request::FdbList(list) => self.fdb_list(id, &list, more, now),
            Request::FdbFlush(flush) => {
                let flushed = self.fdb_flush(&flush);
                self.streams.answer(id, flushed);
            }
            Request::FdbWatch(watch) => {
                if let Err(error) = self.known(watch.bridge.as_deref(), watch.port.as_deref()) {
                    return self.streams.answer(id, Err::<(), _>(error));
                }
                // What happened before it came is in what is there, and not told again.
                self.drain(now);
                let there = self.rows(watch.bridge.as_deref(), watch.port.as_deref());
                self.streams
                    .watch_addresses(id, watch.bridge, watch.port, there.into());
            }
            Request::StatsPorts(stats) => {
                let reply = self.port_stats(stats.port.as_deref(), now);
                self.streams.answer(id, reply);
            }
            Request::StatsDrops(stats) => {
                let reply = self.drops(stats.port.as_deref(), stats.reason.as_deref(), now);
                self.streams.answer(id, reply);
            }
            Request::StatsVlans(stats) => {
                let reply = self.vlan_stats(&stats, now);
                self.streams.answer(id, reply);
            }
            Request::Trace(trace) => {
                let reply = self.trace(&trace, now);
                self.streams.answer(id, reply);
            }
            request if is_change(&request) => self.enqueue(id, request, peer, now),
            other => {
                let method = other.method().to_owned();
                self.streams
                    .answer(id, Err::<(), _>(ApiError::MethodNotImplemented { method }));
            }
        }
    }

    /// Begins with the state, or, for a client that was here before, with what it missed.
    fn watch(&mut self, id: RequestId, kinds: Option<Vec<String>>, since: Option<u64>) {
        let wanted = |event: &&vswitch_api::types::Event| {
            kinds
                .as_ref()
                .is_none_or(|kinds| kinds.contains(&event.kind))
        };
        let missed = since
            .and_then(|sequence| self.events.since(sequence))
            .map(|events| events.filter(wanted).cloned().collect());
        self.streams.watch_events(id, kinds, missed);
    }

    /// What a change would do, without doing it, and what its author may not have meant.
    fn try_out(&self, request: &Request) -> Result<(Vec<Change>, Vec<String>), ApiError> {
        let config = edit(&self.operator, request).map_err(|error| self.owned(error))?;
        let config = config.unwrap_or_else(|| self.operator.clone());
        self.attachments_allow(&config)?;
        let merged = self.attachments.merge(&config);
        let mut wrong = errors(&merged, &self.facts);
        if wrong.is_empty() {
            // A port that does not work today is no reason to refuse another change.
            let new = |name: &String| !self.committed.ports.contains_key(name);
            let forbidden = forbidden(&merged, &self.facts).into_iter();
            wrong.extend(
                forbidden
                    .filter(|(name, _)| new(name))
                    .map(|(_, error)| error),
            );
        }
        if !wrong.is_empty() {
            return Err(wrong.into());
        }
        Ok((
            plan::changes(&self.operator, &config),
            plan::warnings(&self.operator, &config),
        ))
    }

    fn enqueue(&mut self, id: RequestId, request: Request, peer: Peer, now: Instant) {
        if self.stopping {
            return self.streams.answer(id, Err::<(), _>(stopping()));
        }
        if self.queue.len() >= QUEUE_MAX {
            let message = format!("{QUEUE_MAX} changes are waiting");
            let busy = ApiError::Busy {
                message,
                retry_after_ms: 200,
            };
            return self.streams.answer(id, Err::<(), _>(busy));
        }
        self.queue.push_back(Queued {
            id,
            request,
            peer,
            alone: false,
        });
        self.advance(now);
    }

    /// Begins the change that a request asks for; false when it is answered already.
    pub(super) fn begin_request(
        &mut self,
        id: RequestId,
        request: &Request,
        peer: Peer,
        now: Instant,
    ) -> bool {
        if let Some(expected) = request
            .expect_generation()
            .filter(|g| *g != self.generation)
        {
            let conflict = ApiError::Conflict {
                message: format!(
                    "the configuration is at generation {}, the change was made for {expected}",
                    self.generation
                ),
                expect_generation: Some(expected),
                generation: self.generation,
                hint: Some("look again at what is there, then repeat the change".to_owned()),
            };
            self.answer_change(Some(id), Err(conflict), now);
            return false;
        }
        if request.dry_run() {
            let generation = self.generation;
            let reply = self.try_out(request).map(|(changes, _)| ChangeReply {
                generation,
                changes,
            });
            self.answer_change(Some(id), reply, now);
            return false;
        }
        match edit(&self.operator, request) {
            Ok(Some(config)) => {
                // Also when nothing differs: a port that a guard has shut is configured up.
                if let Request::SetPort(set) = request {
                    self.reopen(&set.name, now);
                }
                let change = Wanted {
                    config,
                    attachments: self.attachments.clone(),
                };
                self.begin_change(Caller::Operator(id, peer), change, now)
            }
            Ok(None) => {
                let method = request.method().to_owned();
                self.answer_change(
                    Some(id),
                    Err(ApiError::MethodNotImplemented { method }),
                    now,
                );
                false
            }
            Err(error) => {
                let error = self.owned(error);
                self.answer_change(Some(id), Err(error), now);
                false
            }
        }
    }

    /// Answers a change; that nobody called for (a reload) is kept, and a failure of it is an event.
    pub(super) fn answer_change(
        &mut self,
        request: Option<RequestId>,
        result: Result<ChangeReply, ApiError>,
        now: Instant,
    ) {
        let Some(id) = request else {
            if let Err(error) = &result {
                let message = format!("the configuration was not taken over: {error}");
                self.note(now, "config", "config", Severity::Error, message);
            }
            self.reloaded = Some(result);
            return;
        };
        self.streams.answer(id, result);
    }

    /// Who changed what: the audit trail.
    pub(super) fn note_change(&mut self, changes: &[Change], peer: Option<Peer>, now: Instant) {
        let who = peer.map_or_else(
            || "the configuration file".to_owned(),
            |peer| format!("user {} (process {})", peer.uid, peer.pid),
        );
        let paths: Vec<&str> = changes.iter().map(|c| c.path.as_str()).take(5).collect();
        let more = if changes.len() > 5 {
            format!(" and {} more", changes.len() - 5)
        } else {
            String::new()
        };
        let message = format!(
            "generation {} by {who}: {}{more}",
            self.generation,
            paths.join(", ")
        );
        let detail = serde_json::json!({ "generation": self.generation, "changes": changes });
        let note = Note {
            kind: "config",
            object: "config",
            severity: Severity::Info,
            message,
            detail: Some(detail),
        };
        self.note_with(now, note);
    }

    pub(super) fn queue_refused_at_stop(&mut self) {
        for queued in std::mem::take(&mut self.queue) {
            self.streams.answer(queued.id, Err::<(), _>(stopping()));
        }
    }
}

fn stopping() -> ApiError {
    ApiError::Busy {
        message: "the daemon is ending".to_owned(),
        retry_after_ms: 1000,
    }
}

const fn is_change(request: &Request) -> bool {
    is_of_owners(request)
        || matches!(
            request,
            Request::Apply(_)
                | Request::AddBridge(_)
                | Request::SetBridge(_)
                | Request::DelBridge(_)
                | Request::AddPort(_)
                | Request::SetPort(_)
                | Request::DelPort(_)
                | Request::AddVlan(_)
                | Request::DelVlan(_)
                | Request::BondAdd(_)
                | Request::BondSet(_)
                | Request::BondDel(_)
                | Request::BondAddMember(_)
                | Request::BondDelMember(_)
                | Request::FdbAdd(_)
                | Request::FdbDel(_)
        )
}
