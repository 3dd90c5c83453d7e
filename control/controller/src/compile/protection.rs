//! What a port asks of the frames of the station behind it, and how much it takes and gives: from the
//! configuration, and from what is kept of the port while its device is open.

use super::mac;
use std::sync::Arc;
use vswitch_api::config::{BURST_MAX, BURST_MIN, Bits, PortConfig};
use vswitch_core::police::{Limit, Policer};
use vswitch_core::protect::{Claims, PortMemory, Protection};
use vswitch_core::snapshot::PortView;

/// The part of a port's view that has a memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// Whether it is held until its station has spoken.
    pub hold: bool,
    /// Of what it takes.
    pub ingress: Option<Limit>,
    /// Of what it gives.
    pub egress: Option<Limit>,
}

impl Kept {
    pub(super) fn of(port: &PortConfig) -> Self {
        Self {
            hold: port.hold_until_guest,
            ingress: limit(port.ingress_rate, port.ingress_burst),
            egress: limit(port.egress_rate, port.egress_burst),
        }
    }

    /// Completes a view.
    pub(super) fn dress(&self, view: &mut PortView, memory: &PortMemory) {
        if self.hold || self.ingress.is_some() {
            let mut protection = view.protection.as_deref().cloned().unwrap_or_default();
            protection.gate = self.hold.then(|| Arc::clone(&memory.gate));
            let bucket = || Arc::clone(&memory.ingress);
            protection.rate = self.ingress.map(|limit| Policer {
                limit,
                bucket: bucket(),
            });
            view.protection = Some(Arc::new(protection));
        }
        self.dress_exit(view, memory);
    }

    /// Completes the view of a member of the bond that this is kept of.
    pub(super) fn dress_exit(&self, view: &mut PortView, memory: &PortMemory) {
        let bucket = || Arc::clone(&memory.egress);
        view.egress_rate = self.egress.map(|limit| Policer {
            limit,
            bucket: bucket(),
        });
    }
}

/// Without a burst it is a tenth of a second of the rate, as far as the largest frame fits into it.
fn limit(rate: Option<Bits>, burst: Option<Bits>) -> Option<Limit> {
    let rate = rate?.0;
    let usual = (rate / 10).clamp(BURST_MIN, BURST_MAX);
    let burst = burst.map_or(usual, |burst| burst.0);
    Some(Limit { rate, burst })
}

/// The protection of a port; `None` when it asks for none.
pub(super) fn of(port: &PortConfig) -> Option<Protection> {
    let own = port.mac.iter().chain(&port.guard_macs);
    let protection = Protection {
        macs: own.map(|own| mac(*own).word()).collect(),
        spoof_check: port.mac_spoof_check || port.guard,
        claims: port.guard.then(|| Claims::new(&port.guard_ips)),
        gate: None,
        rate: None,
    };
    (protection.spoof_check || port.hold_until_guest).then_some(protection)
}
