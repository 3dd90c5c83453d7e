//! Frames that the workers hand over: what the link partner speaks, and spanning tree where it must not be.
//!
//! A slow-protocol or spanning tree frame on an uplink tells who is at the other end of the cable; it is
//! noted as the port's reason and told once. On a guarded port a spanning tree frame shuts the port until
//! the operator sets it up again (T-04).

use super::Controller;
use crate::events::Note;
use vswitch_api::text::path;
use vswitch_api::types::Severity;
use vswitch_base::{Duration, Instant};
use vswitch_core::punt::Punt;
use vswitch_core::verdict::PuntReason;
use vswitch_lacp::SlowProtocol;

/// A partner that was not heard for this long is told anew when it speaks again.
pub(super) const PARTNER_QUIET: Duration = Duration::from_secs(120);

impl Controller {
    /// A worker handed a frame over.
    pub fn handle_punt(&mut self, punt: &Punt, now: Instant) {
        let Some(name) = self.port_name(punt.port).map(str::to_owned) else {
            return;
        };
        match punt.reason {
            PuntReason::BpduGuard => self.shut_by_guard(&name, now),
            PuntReason::Bpdu => {
                let what = "its link partner speaks spanning tree".to_owned();
                self.heard(&name, what, now);
            }
            PuntReason::Groups => self.hear_groups(punt, now),
            PuntReason::Neighbours => self.hear_station(punt, now),
            PuntReason::Probe => self.hear_neighbour(punt.port, &punt.bytes, now),
            PuntReason::SlowProtocol => {
                if self.hear_slow(punt.port, &punt.bytes, now) {
                    // Its bond speaks LACP.
                } else if let Ok((_, SlowProtocol::Lacp(pdu))) =
                    SlowProtocol::parse_frame(&punt.bytes)
                {
                    let actor = pdu.actor;
                    let why = match self.config.bond_of(&name) {
                        Some(bond) => format!("bond {bond} does not"),
                        None => "the port is in no bond".to_owned(),
                    };
                    let what = format!("its link partner speaks LACP ({actor}), and {why}");
                    self.heard(&name, what, now);
                    if let Some(status) = self.status.get_mut(&name) {
                        status.unasked_lacp = Some(now);
                    }
                }
            }
        }
        self.advance(now);
    }

    fn shut_by_guard(&mut self, name: &str, now: Instant) {
        let Some(status) = self
            .status
            .get_mut(name)
            .filter(|status| status.shut.is_none())
        else {
            return;
        };
        let reason = format!(
            "shut by bpdu = \"guard\": a spanning tree frame came in; after removing the bridge behind it: vswctl port up {name}"
        );
        status.shut = Some(reason.clone());
        // What it taught before is not to be trusted, and nobody answers there any more.
        if let Some(index) = self.port_index(name) {
            self.registry.raise_epoch(index);
        }
        self.publish_due = true;
        let object = path(&["port", name]);
        let severity = Severity::Error;
        self.note_with(
            now,
            Note {
                kind: "bpdu-guard",
                object: &object,
                severity,
                message: reason,
                detail: None,
            },
        );
        self.refresh_status(name, now);
    }

    /// Lets a port that a guard has shut take part again.
    pub(super) fn reopen(&mut self, name: &str, now: Instant) {
        let shut = self
            .status
            .get_mut(name)
            .and_then(|status| status.shut.take());
        if shut.is_some() {
            self.publish_due = true;
            self.refresh_status(name, now);
        }
    }

    fn heard(&mut self, name: &str, what: String, now: Instant) {
        let Some(status) = self.status.get_mut(name) else {
            return;
        };
        let known = status
            .partner
            .as_ref()
            .is_some_and(|(known, at)| *known == what && now.saturating_since(*at) < PARTNER_QUIET);
        status.partner = Some((what.clone(), now));
        if !known {
            let object = path(&["port", name]);
            let message = format!("{name}: {what}");
            self.note(now, "partner", &object, Severity::Info, message);
            self.refresh_status(name, now);
        }
    }
}
