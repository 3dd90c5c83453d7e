//! What a port asks of the frames of the station behind it, from the configuration.

use super::mac;
use vswitch_api::config::PortConfig;
use vswitch_core::protect::{Claims, Protection};

/// The protection of a port; `None` when it asks for none.
pub(super) fn of(port: &PortConfig) -> Option<Protection> {
    let own = port.mac.iter().chain(&port.guard_macs);
    let protection = Protection {
        macs: own.map(|own| mac(*own).word()).collect(),
        spoof_check: port.mac_spoof_check || port.guard,
        claims: port.guard.then(|| Claims::new(&port.guard_ips)),
    };
    protection.spoof_check.then_some(protection)
}
