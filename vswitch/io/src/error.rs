//! What goes wrong with a port as a whole: which port, what we were doing, why, and what to do.
//!
//! [`PortError`] says the port and the operation, its source the reason, and [`PortError::hint`] the way
//! out. [`PortError::chain`] joins the first two, once, for a log line or a reply on the control socket.
//! Failures of single frames are counted, not reported here.

use std::io;

/// A failed operation on a port's device.
#[derive(Debug, thiserror::Error)]
#[error("port {port}: cannot {op}")]
#[non_exhaustive]
pub struct PortError {
    /// The device, by the name that was asked for.
    pub port: String,
    /// What was tried, in words that complete "cannot …".
    pub op: &'static str,
    /// Why it failed.
    #[source]
    pub source: PortCause,
    /// What the operator can do about it.
    pub hint: Option<String>,
}

/// Why an operation on a device failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PortCause {
    /// No device has this name here.
    #[error("no device of this name exists in this network namespace")]
    Missing,
    /// The device went away, or another one took its interface index.
    #[error("the device is gone")]
    Gone,
    /// The loopback device.
    #[error("it is the loopback device")]
    Loopback,
    /// Not an Ethernet device.
    #[error("it is not an Ethernet device")]
    NotEthernet,
    /// The device is a port of the kernel's own bridge, bond or team.
    #[error("it is a port of `{master}`, which is a kernel {kind}")]
    PortOf {
        /// The name of the kernel's device above it.
        master: String,
        /// Its kind, such as `bridge`.
        kind: String,
    },
    /// The device is itself a kernel bridge or bond.
    #[error("it is a kernel {kind} itself")]
    Master {
        /// Its kind, such as `bridge`.
        kind: String,
    },
    /// A device of another kind has the name already.
    #[error("a device of kind `{kind}` has this name already")]
    NameTaken {
        /// Its kind, `physical` where the kernel names none.
        kind: String,
    },
    /// Another process holds the TAP.
    #[error("another process has it open")]
    Busy,
    /// A name that no interface can have.
    #[error("{0}")]
    BadName(String),
    /// A permission is missing.
    #[error("permission denied")]
    Denied,
    /// The kernel lacks a feature that the port needs.
    #[error("this kernel has no {feature}")]
    Unsupported {
        /// What is missing.
        feature: &'static str,
    },
    /// Anything else the system said.
    #[error("{0}")]
    Os(#[from] io::Error),
}

impl PortError {
    /// An error with the hint that belongs to its cause.
    pub(crate) fn new(port: &str, op: &'static str, source: impl Into<PortCause>) -> Self {
        let source = match source.into() {
            PortCause::Os(error) => classify(error),
            other => other,
        };
        let hint = hint(port, &source);
        Self {
            port: port.to_owned(),
            op,
            source,
            hint,
        }
    }

    /// "port eth0: cannot take the device: it is a port of …": the error and its cause in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        format!("{self}: {}", self.source)
    }

    /// Whether trying again later can help without anyone changing anything: the device was missing,
    /// gone or busy.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self.source,
            PortCause::Missing | PortCause::Gone | PortCause::Busy
        )
    }
}

/// Names the errors that have a meaning of their own.
fn classify(error: io::Error) -> PortCause {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => PortCause::Denied,
        Some(libc::ENODEV | libc::EBADFD) => PortCause::Gone,
        Some(libc::EBUSY) => PortCause::Busy,
        _ if error.kind() == io::ErrorKind::InvalidInput && error.raw_os_error().is_none() => {
            PortCause::BadName(error.to_string())
        }
        _ => PortCause::Os(error),
    }
}

fn hint(port: &str, cause: &PortCause) -> Option<String> {
    Some(match cause {
        PortCause::Missing => {
            format!("`ip link show` lists the devices; the port is taken when `{port}` appears")
        }
        PortCause::Gone => "the port is taken again when the device returns".to_owned(),
        PortCause::Loopback | PortCause::NotEthernet => {
            "a switch port needs an Ethernet device: a NIC, a veth end or a TAP".to_owned()
        }
        PortCause::PortOf { .. } => format!("release it first: ip link set dev {port} nomaster"),
        PortCause::Master { .. } => {
            "give its member devices to the switch instead, and remove it".to_owned()
        }
        PortCause::NameTaken { .. } => "choose another name, or delete that device".to_owned(),
        PortCause::Busy => {
            format!("find its holder: grep -l '{port}' /proc/[0-9]*/fdinfo/* 2>/dev/null")
        }
        PortCause::BadName(_) => {
            "choose a name of 1 to 15 letters, digits, `-`, `_` or `.`".to_owned()
        }
        PortCause::Denied => {
            "run the daemon as root, or give it CAP_NET_ADMIN and CAP_NET_RAW".to_owned()
        }
        PortCause::Unsupported { .. } => "Linux 5.10 or newer is needed".to_owned(),
        PortCause::Os(_) => return None,
    })
}
