//! DEL: everything of an attachment goes; what is gone already is a success.
//!
//! A daemon that is away keeps no pod from ending: the interface is removed without it, the record stays as a
//! debt, and the next call that reaches the daemon pays it.

use crate::call::Call;
use crate::daemon::{self, Daemon};
use crate::fault::passed;
use crate::pod;
use crate::record::{self, Record};
use crate::spec::CniError;
use std::path::Path;
use vswitch_api::client::ClientError;
use vswitch_api::request::Detach;

/// Performs it.
///
/// # Errors
/// What could not be undone; the rest was, and DEL can be called again.
pub(crate) fn run(call: &Call) -> Result<(), CniError> {
    let mut switch = Daemon::connect(&daemon::socket(&call.config), false).ok();
    undo(call, switch.as_mut(), Some("DEL"))?;
    if let Some(switch) = &mut switch {
        settle_debts(&record::folder(&call.config), switch);
    }
    Ok(())
}

/// Undoes what ADD made, as far as it came. `switch`: none, if the daemon is away. `ipam`: what to ask of the
/// address plugin.
///
/// # Errors
/// The first thing that could not be undone; the others were.
pub(crate) fn undo(
    call: &Call,
    switch: Option<&mut Daemon>,
    ipam: Option<&str>,
) -> Result<(), CniError> {
    let attachment = call.attachment();
    let folder = record::folder(&call.config);
    let mut first = None;
    let mut keep = |result: Result<(), CniError>| {
        if let Err(error) = result {
            first.get_or_insert(error);
        }
    };
    // While the interface still works: a DHCP lease is given back by it.
    if let Some(verb) = ipam {
        keep(crate::ipam::run(call, verb).map(drop));
    }
    passed("del-ipam");
    let mut is_ours = record::read(&folder, &attachment).is_some();
    let detached = switch.map(|switch| {
        let detach = Detach {
            attachment: attachment.clone(),
        };
        switch.call(&detach, &[])
    });
    let told = match detached {
        Some(Ok(reply)) => {
            is_ours |= reply.detached;
            true
        }
        Some(Err(error)) if !daemon::is_away(&error) => {
            keep(Err(daemon::explain(&error)));
            false
        }
        Some(Err(_)) | None => false,
    };
    passed("del-detached");
    // An interface of that name that neither knows is somebody else's: a runtime sends DEL also after an ADD
    // that failed because the name was in use.
    keep(pod::remove(call, is_ours));
    passed("del-device");
    if let Some(error) = first {
        return Err(error);
    }
    if told {
        record::remove(&folder, &attachment)?;
    } else {
        Record::of(call).owe(&folder)?;
    }
    passed("del-record");
    Ok(())
}

/// Tells the daemon what it missed while it was away. Best effort: it is tried again with the next call.
pub(crate) fn settle_debts(folder: &Path, switch: &mut Daemon) {
    for debt in record::debts(folder) {
        let attachment = debt.attachment;
        let detach = Detach {
            attachment: attachment.clone(),
        };
        let told: Result<_, ClientError> = switch.call(&detach, &[]);
        if told.is_ok() {
            let _again_next_time = record::remove(folder, &attachment);
        }
    }
}
