//! Health in one screen: what is configured and does not work, each with its reason.
//!
//! `failed` when nothing new can take effect, `degraded` when something is not as configured, else `ok`.
//! What the operator switched off is no problem.

use super::Controller;
use crate::events::Note;
use serde_json::json;
use vswitch_api::text::path;
use vswitch_api::types::{Event, Health, HealthReply, Severity};
use vswitch_base::{Duration, Instant, Vid};

/// Jumping addresses that are named; more are not more instructive.
const FLAPS_NAMED: usize = 10;

impl Controller {
    /// The daemon found that a worker stands still, for so long by now: it is not asleep and does not
    /// finish what it does. To be told once; [`Self::handle_recovery`] ends it.
    pub fn handle_stall(&mut self, worker: u32, lasting: Duration, now: Instant) {
        let since = now.as_nanos().saturating_sub(lasting.as_nanos());
        self.standing.insert(worker, Instant::from_nanos(since));
        let message = standing(worker, lasting);
        self.note_worker(worker, true, Severity::Warning, message, now);
    }

    /// A worker that stood still goes on, after so long.
    pub fn handle_recovery(&mut self, worker: u32, lasted: Duration, now: Instant) {
        self.standing.remove(&worker);
        let message = format!(
            "worker {worker} goes on after it stood still for {} s",
            lasted.as_secs()
        );
        self.note_worker(worker, false, Severity::Info, message, now);
    }

    fn note_worker(
        &mut self,
        worker: u32,
        stalled: bool,
        severity: Severity,
        message: String,
        now: Instant,
    ) {
        let detail = json!({"worker": worker, "stalled": stalled});
        self.note_with(
            now,
            Note {
                kind: "workers",
                object: "daemon",
                severity,
                message,
                detail: Some(detail),
            },
        );
    }

    pub(super) fn health(&self, now: Instant) -> HealthReply {
        let mut problems = self.port_problems();
        problems.extend(self.bond_problems(now));
        problems.extend(self.address_problems(now));
        if self.stalled {
            let message = "a worker does not take the newest configuration".to_owned();
            problems.push(self.problem("workers", "daemon", Severity::Error, message, now));
        }
        for (worker, since) in &self.standing {
            let message = standing(*worker, now.saturating_since(*since));
            problems.push(self.problem("workers", "daemon", Severity::Warning, message, *since));
        }
        let up = self
            .status
            .values()
            .filter(|status| status.state == "up")
            .count();
        let bridges = self.committed.bridges.values();
        HealthReply {
            health: match problems.is_empty() {
                true => Health::Ok,
                false if self.stalled => Health::Failed,
                false => Health::Degraded,
            },
            problems,
            version: self.settings.version.clone(),
            uptime_seconds: self.uptime_seconds(now),
            generation: self.generation,
            unsaved: crate::plan::changes(&self.saved, &self.operator).len() as u64,
            bridges: u32::try_from(self.committed.bridges.len()).unwrap_or(u32::MAX),
            ports: u32::try_from(self.status.len()).unwrap_or(u32::MAX),
            ports_up: u32::try_from(up).unwrap_or(u32::MAX),
            fdb_entries: bridges.map(|b| u64::from(b.spec.fdb.stats().entries)).sum(),
            workers: self.settings.workers,
        }
    }

    pub(super) fn problem(
        &self,
        kind: &str,
        object: &str,
        severity: Severity,
        message: String,
        since: Instant,
    ) -> Event {
        Event {
            sequence: 0,
            time: self.wall.rfc3339(since),
            kind: kind.to_owned(),
            object: object.to_owned(),
            severity,
            message,
            detail: None,
        }
    }

    fn port_problems(&self) -> Vec<Event> {
        let broken = self
            .status
            .iter()
            .filter(|(_, status)| !matches!(status.state, "up" | "down") || status.shut.is_some());
        let problem = |(name, status): (&String, &super::PortStatus)| {
            let severity = if status.state == "lower-down" {
                Severity::Warning
            } else {
                Severity::Error
            };
            let why = status
                .reason
                .as_deref()
                .map_or_else(String::new, |why| format!(": {why}"));
            let message = format!("port {name} is {}{why}", status.state);
            let object = self.object_of(name);
            self.problem("port-down", &object, severity, message, status.since)
        };
        broken.map(problem).collect()
    }

    fn address_problems(&self, now: Instant) -> Vec<Event> {
        let mut problems = Vec::new();
        for (name, bridge) in &self.committed.bridges {
            let object = path(&["bridge", name]);
            let (fdb, known) = (&bridge.spec.fdb, bridge.spec.fdb.stats().entries);
            if known >= fdb.learned_max() {
                let message = format!(
                    "bridge {name} knows {known} addresses, its limit: new ones displace old ones; raise fdb_max"
                );
                problems.push(self.problem("fdb-full", &object, Severity::Warning, message, now));
            }
            let flapping = self
                .flaps
                .flapping(now)
                .filter(|(at, ..)| *at == bridge.index);
            for (_, vid, mac) in flapping.take(FLAPS_NAMED) {
                let vlan = vid.map_or(0, Vid::get);
                let message = format!("{mac} in VLAN {vlan} jumps between ports of {name}");
                problems.push(self.problem("mac-flap", &object, Severity::Warning, message, now));
            }
            let loops = self.loops.lately(now);
            for (_, member, vid) in loops.filter(|(at, ..)| *at == bridge.index) {
                let member = self.port_name(*member).unwrap_or("?");
                let vlan = vid.map_or(0, Vid::get);
                let message = format!("frames of {name} come back by {member} in VLAN {vlan}");
                problems.push(self.problem("loop-alarm", &object, Severity::Warning, message, now));
            }
        }
        problems
    }

    /// A port or host port as events name it.
    pub(super) fn object_of(&self, name: &str) -> String {
        let host = self.config.host.contains_key(name);
        path(&[if host { "host" } else { "port" }, name])
    }
}

/// What it means that a worker stands still, and what to look at.
fn standing(worker: u32, lasting: Duration) -> String {
    format!(
        "worker {worker} has stood still for {} s: frames that reach its ports are lost when their rings are \
         full; its core runs something else, or a device's driver does not return: see thread \
         worker-{worker} in top -H, and the kernel's log",
        lasting.as_secs()
    )
}
