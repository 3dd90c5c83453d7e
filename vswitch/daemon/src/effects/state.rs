//! What outlives the daemon: the state file, and what a daemon before this one left changed.

use super::port_error;
use std::io;
use std::path::Path;
use vswitch_controller::{AttachedPort, AttachedState, EffectError, EffectOutput};
use vswitch_io::{DeviceBefore, nic};

/// Puts back what an earlier daemon left changed.
pub(super) fn restore(port: &AttachedPort) -> Result<EffectOutput, EffectError> {
    if let Some(found) = &port.found {
        let before: DeviceBefore = serde_json::from_str(&found.0).map_err(|error| EffectError {
            operation: format!("read the former state of {}", port.name),
            errno: 0,
            errno_name: String::new(),
            message: error.to_string(),
            hint: None,
        })?;
        nic::restore(&before).map_err(|error| port_error(&error))?;
    }
    Ok(EffectOutput::Done)
}

/// Writes the state file so that it is whole at every moment.
pub(super) fn save(path: &Path, state: &AttachedState) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension("new");
    let state = AttachedState {
        boot: boot_id(),
        ..state.clone()
    };
    std::fs::write(&draft, serde_json::to_vec_pretty(&state)?)?;
    std::fs::rename(&draft, path)
}

/// What an earlier daemon wrote down; nothing when there is no file, or it says nothing usable.
#[must_use]
pub(crate) fn recovered(path: &Path) -> AttachedState {
    let Ok(bytes) = std::fs::read(path) else {
        return AttachedState::default();
    };
    let state: AttachedState = serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!(file = %path.display(), %error, "the state file of an earlier daemon is not usable");
        AttachedState::default()
    });
    if state.boot.is_some() && state.boot != boot_id() {
        tracing::info!(file = %path.display(), "the machine was started anew: nothing of an earlier daemon is left");
        return AttachedState::default();
    }
    state
}

/// A number of its own for each start of the machine (random(4)).
fn boot_id() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}
