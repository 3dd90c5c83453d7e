//! `io.vswitch.Port`: attachments come and go as changes of what runs, with answers of their own.

use super::jobs::{Answer, Asked, Caller, Queued, Wanted};
use super::{Controller, RequestId};
use crate::attachments::{Attachments, Record};
use crate::compile::{Compiled, compile, errors};
use crate::effect::AttachedState;
use crate::events::Note;
use crate::facts::Facts;
use crate::registry::Registry;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vswitch_api::config::{Config, ConfigError};
use vswitch_api::types::{
    AttachMode, AttachReply, Attached, Attachment, AttachmentsReply, Change, ChangeReply,
    CheckReply, DetachReply, GarbageReply, ReadyReply, Severity,
};
use vswitch_api::{ApiError, Request};
use vswitch_base::Instant;

/// Attachments of one change: more answer none of them sooner.
const BATCH_MAX: usize = 64;

impl Controller {
    /// Begins one change for the attachments that wait at the front of the queue, beginning with `first`;
    /// false when all of them are answered already.
    pub(super) fn begin_attachments(&mut self, first: Queued, now: Instant) -> bool {
        let mut attachments = self.attachments.clone();
        let mut all: Vec<Asked> = Vec::new();
        let mut touched = BTreeSet::new();
        let mut next = Some(first);
        while let Some(queued) = next.take() {
            let alone = queued.alone;
            match self.enter(&queued.request, &mut attachments) {
                Ok(answer) => {
                    touched.extend(owner_of(&queued.request).cloned());
                    all.push(Asked { queued, answer });
                }
                Err(answer) => self.streams.answer(queued.id, answer),
            }
            if alone || all.len() >= BATCH_MAX {
                break;
            }
            // Two of one owner follow each other, each with an answer of its own; so does what takes several.
            let fits = |queued: &Queued| {
                let owner = owner_of(&queued.request);
                !queued.alone && owner.is_some_and(|owner| !touched.contains(owner))
            };
            if self.queue.front().is_some_and(fits) {
                next = self.queue.pop_front();
            }
        }
        if all.is_empty() {
            return false;
        }
        let wanted = Wanted {
            config: self.operator.clone(),
            attachments,
        };
        self.begin_change(Caller::Owners(all), wanted, now)
    }

    /// Enters what a request wants; `Err`: its answer, because nothing has to be done for it.
    fn enter(
        &self,
        request: &Request,
        attachments: &mut Attachments,
    ) -> Result<Answer, Result<Value, ApiError>> {
        match request {
            Request::Attach(attach) => {
                let record = Record::read(attach);
                let record = record.and_then(|record| self.allows(record, attachments));
                let record = record.map_err(Err)?;
                let attachment = record.attachment.clone();
                let created = attachments.get(&attachment).is_none();
                attachments.insert(record);
                Ok(Answer::Attached {
                    attachment,
                    created,
                })
            }
            Request::Detach(detach) if attachments.remove(&detach.attachment) => {
                Ok(Answer::Detached(true))
            }
            Request::Detach(_) => {
                let reply = DetachReply { detached: false };
                Err(Ok(json!(reply)))
            }
            Request::CollectGarbage(collect) => {
                let stale = attachments.iter().map(|r| r.attachment.clone());
                let stale = stale
                    .filter(|a| a.network == collect.network && !collect.valid.contains(a))
                    .collect::<Vec<Attachment>>();
                for attachment in &stale {
                    attachments.remove(attachment);
                }
                if stale.is_empty() {
                    return Err(Ok(json!(GarbageReply::default())));
                }
                Ok(Answer::Collected(stale))
            }
            other => Err(Err(ApiError::MethodNotImplemented {
                method: other.method().to_owned(),
            })),
        }
    }

    /// Refuses what the compiler would call by the name of a port that nobody has heard of.
    fn allows(&self, record: Record, attachments: &Attachments) -> Result<Record, ApiError> {
        let bridges = &self.operator.bridge;
        if !bridges.contains_key(record.bridge()) {
            let known = bridges.keys().map(String::as_str);
            return Err(ApiError::not_found("bridge", record.bridge(), known));
        }
        let before = attachments.get(&record.attachment);
        if let Some(before) = before.filter(|before| !before.is_same_device(&record)) {
            return Err(ApiError::AlreadyExists {
                kind: "attachment".to_owned(),
                name: record.attachment.to_string(),
                hint: Some(format!(
                    "its port is made of the {} {}; detach it first",
                    before.mode.as_str(),
                    before.device
                )),
            });
        }
        let name = record.attachment.port_name();
        if let Some(other) = attachments.owner_of(&name)
            && other.attachment != record.attachment
        {
            return Err(ApiError::AlreadyExists {
                kind: "port".to_owned(),
                name,
                hint: Some(format!(
                    "by chance attachment {} has a port of this name: detach one of the two",
                    other.attachment
                )),
            });
        }
        if self.operator.port.contains_key(&name) {
            return Err(ApiError::AlreadyExists {
                kind: "port".to_owned(),
                name,
                hint: Some("names of pod and eleven digits are for attachments".to_owned()),
            });
        }
        Ok(record)
    }

    /// Answers the callers of a change that is done.
    pub(super) fn answer_done(&mut self, caller: Caller, changes: Vec<Change>, now: Instant) {
        let generation = self.generation;
        let reply = |changes| ChangeReply {
            generation,
            changes,
        };
        match caller {
            Caller::Files => {
                self.note_change(&changes, None, now);
                self.answer_change(None, Ok(reply(changes)), now);
            }
            Caller::Operator(id, peer) => {
                self.note_change(&changes, Some(peer), now);
                self.answer_change(Some(id), Ok(reply(changes)), now);
            }
            Caller::Owners(all) => {
                for Asked { queued, answer } in all {
                    self.answer_owner(queued.id, answer, now);
                }
            }
        }
    }

    fn answer_owner(&mut self, id: RequestId, answer: Answer, now: Instant) {
        match answer {
            Answer::Attached {
                attachment,
                created,
            } => {
                if created {
                    self.note_attachment(&attachment, "attached", now);
                }
                let reply = self.attach_reply(&attachment, created);
                self.streams.answer(id, Ok(reply));
            }
            Answer::Detached(detached) => {
                self.streams.answer(id, Ok(DetachReply { detached }));
            }
            Answer::Collected(removed) => {
                for attachment in &removed {
                    self.note_attachment(attachment, "collected: its owner is gone", now);
                }
                let failed = Vec::new();
                self.streams
                    .answer(id, Ok(GarbageReply { removed, failed }));
            }
        }
    }

    /// Answers the callers of a change that is refused, or failed; of several each is tried alone first.
    pub(super) fn refuse(&mut self, caller: Caller, error: ApiError, now: Instant) {
        match caller {
            Caller::Files => self.answer_change(None, Err(error), now),
            Caller::Operator(id, _) => self.answer_change(Some(id), Err(error), now),
            Caller::Owners(all) if all.len() > 1 => {
                for asked in all.into_iter().rev() {
                    self.queue.push_front(Queued {
                        alone: true,
                        ..asked.queued
                    });
                }
            }
            Caller::Owners(all) => {
                for asked in all {
                    self.streams
                        .answer(asked.queued.id, Err::<(), _>(error.clone()));
                }
            }
        }
    }

    fn note_attachment(&mut self, attachment: &Attachment, what: &str, now: Instant) {
        let port = attachment.port_name();
        let message = format!("{port}: {attachment} is {what}");
        let note = Note {
            kind: "attachment",
            object: &vswitch_api::text::path(&["port", &port]),
            severity: Severity::Info,
            message,
            detail: Some(json!({ "attachment": attachment })),
        };
        self.note_with(now, note);
    }

    fn attach_reply(&self, attachment: &Attachment, created: bool) -> AttachReply {
        let port = attachment.port_name();
        let record = self.attachments.get(attachment);
        let wanted = self.committed.ports.get(&port);
        let mac = record.and_then(|r| r.mac).map(|mac| mac.to_string());
        AttachReply {
            created,
            mac,
            mtu: wanted.map_or(0, |wanted| wanted.view.mtu.into()),
            warnings: self.lacking_vlans(&port),
            port,
        }
    }

    /// VLANs of a port that leave the switch nowhere: the `default_pvid` is never added to an uplink.
    fn lacking_vlans(&self, port: &str) -> Vec<String> {
        let bridge = self.config.bridge_of(port);
        let Some(config) = bridge.and_then(|name| self.config.bridge.get(name)) else {
            return Vec::new();
        };
        let Some(uplink) = config.uplink.as_ref().filter(|_| config.vlan_filtering) else {
            return Vec::new();
        };
        let pvid = config.default_pvid;
        let carries = |name: &str| {
            let table = self.config.membership_of(name);
            table.is_some_and(|table| table.contains(pvid))
        };
        if pvid == 0 || !carries(port) || carries(uplink) {
            return Vec::new();
        }
        vec![format!(
            "VLAN {pvid} of this port is the bridge's default_pvid, which its uplink {uplink} does not carry: \
             its frames stay in this switch; list {pvid} in the bridge's \"vlans\" to let them out"
        )]
    }

    /// Whether an attachment has its port, and the port forwards.
    pub(super) fn check_attachment(&self, attachment: &Attachment) -> CheckReply {
        let mut problems = Vec::new();
        if self.attachments.get(attachment).is_none() {
            problems.push(format!("{attachment} is not attached"));
        } else {
            let port = attachment.port_name();
            match self.status.get(&port) {
                Some(status) if status.state == "up" => {}
                Some(status) => {
                    let why = status.reason.as_deref().unwrap_or("no reason is known");
                    problems.push(format!("port {port} is {}: {why}", status.state));
                }
                None => problems.push(format!(
                    "port {port} has no place: its bridge is no longer configured"
                )),
            }
        }
        CheckReply {
            ok: problems.is_empty(),
            problems,
        }
    }

    /// Whether attaching can succeed.
    pub(super) fn ready(&self, bridge: Option<&str>) -> Result<ReadyReply, ApiError> {
        self.known(bridge, None)?;
        let config = bridge.and_then(|name| self.operator.bridge.get(name));
        let uplink = config.and_then(|bridge| bridge.uplink.as_deref());
        let down = uplink.and_then(|uplink| {
            let status = self.status.get(uplink)?;
            let why = status
                .reason
                .as_deref()
                .map_or_else(String::new, |why| format!(": {why}"));
            (status.state != "up").then(|| format!("uplink {uplink} is {}{why}", status.state))
        });
        let ready = !self.stopping;
        let ending = || "the daemon is ending".to_owned();
        let modes = [AttachMode::Tap, AttachMode::Veth, AttachMode::TapGuest];
        let again =
            |mode: &AttachMode| *mode == AttachMode::Veth || self.settings.enters_namespaces;
        Ok(ReadyReply {
            ready,
            degraded: down.is_some(),
            reason: if ready { down } else { Some(ending()) },
            mac: bridge
                .and_then(|name| self.committed.bridges.get(name))
                .map(|bridge| bridge.spec.mac.to_string()),
            mtu: config.map(|bridge| bridge.mtu),
            default_pvid: config.map(|bridge| bridge.default_pvid),
            workers: self.settings.workers,
            modes: modes
                .iter()
                .filter(|mode| again(mode))
                .map(|mode| mode.as_str().to_owned())
                .collect(),
        })
    }

    /// Attachments, of one network or all.
    pub(super) fn list_attachments(&self, network: Option<&str>) -> AttachmentsReply {
        let wanted = |record: &&Record| network.is_none_or(|n| n == record.attachment.network);
        let row = |record: &Record| {
            let port = record.attachment.port_name();
            let status = self.status.get(&port);
            Attached {
                attachment: record.attachment.clone(),
                bridge: record.bridge().to_owned(),
                mode: record.mode.as_str().to_owned(),
                device: record.device.clone(),
                netns: record.netns.clone(),
                state: status.map_or("absent", |status| status.state).to_owned(),
                reason: status.and_then(|status| status.reason.clone()),
                port,
            }
        };
        let attachments = self.attachments.iter().filter(wanted).map(row).collect();
        AttachmentsReply { attachments }
    }

    /// Refuses a configuration without a bridge that attachments are on.
    pub(super) fn attachments_allow(&self, config: &Config) -> Result<(), ApiError> {
        let gone = self.operator.bridge.keys();
        for bridge in gone.filter(|name| !config.bridge.contains_key(*name)) {
            let users = self.attachments.users_of(bridge);
            if !users.is_empty() {
                return Err(ApiError::InUse {
                    kind: "bridge".to_owned(),
                    name: bridge.clone(),
                    users,
                    hint: Some(
                        "remove the pods, or take their ports away: vswctl attachment list, vswctl detach"
                            .to_owned(),
                    ),
                });
            }
        }
        Ok(())
    }

    /// The refusal of an edit of a port that is there, but is nobody's to edit.
    pub(super) fn owned(&self, error: ApiError) -> ApiError {
        let ApiError::NotFound { kind, name, .. } = &error else {
            return error;
        };
        let Some(record) = self.attachments.owner_of(name).filter(|_| kind == "port") else {
            return error;
        };
        let owner = record.attachment.to_string();
        ApiError::InUse {
            kind: kind.clone(),
            name: name.clone(),
            hint: Some(format!(
                "its runtime made it, by its network's definition; by hand: vswctl detach {owner}"
            )),
            users: vec![format!("attachment {owner}")],
        }
    }

    /// What is attached now, or will be when the change under way is done: for the state file.
    pub(super) fn state_to_save(&self) -> AttachedState {
        let attachments = self.job.as_ref().map_or(&self.attachments, |job| {
            job.attachments().unwrap_or(&self.attachments)
        });
        AttachedState {
            attachments: attachments.iter().cloned().collect(),
            ..self.actual.attached_state()
        }
    }
}

/// The one attachment that a request is about.
const fn owner_of(request: &Request) -> Option<&Attachment> {
    match request {
        Request::Attach(attach) => Some(&attach.attachment),
        Request::Detach(detach) => Some(&detach.attachment),
        _ => None,
    }
}

/// What runs at a start at which attachments of an earlier daemon no longer fit the configuration: those
/// that fit. The others have lost their port; their owners hear of it when they check.
///
/// # Errors
/// What is wrong with the operator's configuration.
pub(super) fn without_wrong(
    operator: &Config,
    attachments: Attachments,
    registry: &mut Registry,
    facts: &Facts,
) -> Result<(Config, Compiled, Attachments), Vec<ConfigError>> {
    let mut fitting = Attachments::default();
    for record in attachments.iter() {
        let mut with = fitting.clone();
        with.insert(record.clone());
        if errors(&with.merge(operator), facts).is_empty() {
            fitting = with;
        }
    }
    let config = fitting.merge(operator);
    let compiled = compile(&config, registry, facts)?;
    Ok((config, compiled, fitting))
}
