//! STATUS: whether ADD can succeed. Called every few seconds: one connection, one call, no waiting.

use crate::call::Call;
use crate::daemon::{self, Daemon};
use crate::ipam;
use crate::spec::{CniError, code};
use vswitch_api::request::Ready;

/// Performs it.
///
/// # Errors
/// Code 50: ADD would fail. 51: what is attached reaches only this node, because the uplink is down.
pub(crate) fn run(call: &Call) -> Result<(), CniError> {
    let named = call.config.raw.get("bridge").is_some();
    let ready = Ready {
        bridge: named.then(|| call.config.bridge.clone()),
    };
    let said = Daemon::connect(&daemon::socket(&call.config), false)
        .and_then(|mut switch| switch.call(&ready, &[]));
    let unavailable = |error: CniError| CniError {
        code: code::UNAVAILABLE,
        ..error
    };
    let reply = said.map_err(|error| unavailable(daemon::explain(&error)))?;
    let why = reply.reason.unwrap_or_default();
    if !reply.ready {
        return Err(CniError::new(
            code::UNAVAILABLE,
            "vswitchd is not ready",
            why,
        ));
    }
    if reply.degraded {
        return Err(CniError::new(
            code::LIMITED,
            format!("bridge {} reaches only this node", call.config.bridge),
            why,
        ));
    }
    match ipam::run(call, "STATUS") {
        // Address plugins of before 1.1.0 have no STATUS.
        Err(error) if error.to_string().contains("unknown CNI_COMMAND") => Ok(()),
        other => other.map(drop).map_err(unavailable),
    }
}
