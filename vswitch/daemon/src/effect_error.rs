//! What went wrong with a device or a file, in the words of the control side.

use std::io;
use vswitch_controller::EffectError;
use vswitch_io::{PortCause, PortError};

/// What the system said, of `what` on `object`.
pub(crate) fn io_error(what: &str, object: &str, error: &io::Error) -> EffectError {
    let errno = error.raw_os_error().unwrap_or(0);
    EffectError {
        operation: format!("{what} {object}"),
        errno,
        errno_name: vswitch_api::error::errno_name(errno)
            .unwrap_or_default()
            .to_owned(),
        message: error.to_string(),
        hint: None,
    }
}

/// What the backend said of a port.
pub(crate) fn port_error(error: &PortError) -> EffectError {
    let errno = match &error.source {
        PortCause::Missing | PortCause::Gone => 19,
        PortCause::Busy | PortCause::NameTaken { .. } => 16,
        PortCause::Denied => 1,
        PortCause::Os(error) => error.raw_os_error().unwrap_or(0),
        _ => 0,
    };
    EffectError {
        operation: error.op.to_string(),
        errno,
        errno_name: vswitch_api::error::errno_name(errno)
            .unwrap_or_default()
            .to_owned(),
        message: error.source.to_string(),
        hint: error.hint.clone(),
    }
}
