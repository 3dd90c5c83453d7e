//! In place of the reference plugin `bridge`: the switch's bridges are served, all others are handed on.
//!
//! The decision falls before anything is done. DEL and CHECK look at what is written down first, so that a pod
//! that was attached by us is given back by us even when its bridge is gone.

use crate::call::Call;
use crate::config::NetConf;
use crate::daemon::{self, Daemon};
use crate::install::{BRIDGE, UPSTREAM};
use crate::record;
use crate::spec::{CniError, Env, NEWEST, Verb, code};
use serde_json::Value;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use vswitch_api::request::Ready;

/// Whether the plugin was started as `bridge`.
pub(crate) fn is_bridge(program: &str) -> bool {
    std::path::Path::new(program)
        .file_name()
        .is_some_and(|name| name == BRIDGE)
}

/// Whether the call is ours to serve. Only what says which network and bridge are meant is looked at.
pub(crate) fn is_ours(raw: &Value, env: &Env, verb: Verb) -> bool {
    let Ok(config) = NetConf::read_for_del(raw) else {
        return false;
    };
    let call = Call {
        version: NEWEST,
        env: env.clone(),
        config,
    };
    if matches!(verb, Verb::Add | Verb::Del | Verb::Check)
        && record::read(&record::folder(&call.config), &call.attachment()).is_some()
    {
        return true;
    }
    let ready = Ready {
        bridge: Some(call.config.bridge.clone()),
    };
    Daemon::connect(&daemon::socket(&call.config), false)
        .is_ok_and(|mut switch| switch.call(&ready, &[]).is_ok())
}

/// Becomes the reference plugin, with the same environment and input.
///
/// # Errors
/// It is not there, or cannot be run; else this does not return.
pub(crate) fn hand_on(program: &str, input: &[u8]) -> CniError {
    let upstream = upstream(program);
    let failed = |error: std::io::Error| {
        CniError::new(
            code::FAILED,
            format!("cannot run the plugin {}: {error}", upstream.display()),
            "vswitch-cni install --as-bridge keeps it there; vswitch-cni uninstall puts it back",
        )
    };
    let (reader, mut writer) = match std::io::pipe() {
        Ok(pipe) => pipe,
        Err(error) => return failed(error),
    };
    // A pipe holds 64 KiB; a longer configuration needs a writer beside.
    let bytes = input.to_vec();
    if bytes.len() > 60_000 {
        return relay(&upstream, &bytes).map_or_else(failed, |status| {
            CniError::new(
                code::FAILED,
                format!("{} ended with {status}", upstream.display()),
                "",
            )
        });
    }
    if let Err(error) = writer.write_all(&bytes) {
        return failed(error);
    }
    drop(writer);
    failed(Command::new(&upstream).stdin(Stdio::from(reader)).exec())
}

/// Runs it beside us, for an input that fits no pipe.
fn relay(upstream: &PathBuf, bytes: &[u8]) -> std::io::Result<std::process::ExitStatus> {
    let mut child = Command::new(upstream).stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(bytes)?;
    }
    child.wait()
}

fn upstream(program: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from(program));
    own.with_file_name(UPSTREAM)
}
