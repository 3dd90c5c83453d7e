//! The daemon as the plugin calls it: with patience when it is away, and with the specification's errors.

use crate::config::NetConf;
use crate::spec::{CniError, code};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use vswitch_api::client::{Client, ClientError, SOCKET};
use vswitch_api::{ApiError, Method};

/// How long a daemon that is away is waited for: as long as its restart takes.
const AWAY: Duration = Duration::from_secs(5);
/// How long a port may take.
const ANSWER: Duration = Duration::from_secs(25);

/// The control socket: the configuration's, else the environment's, else the usual one.
pub(crate) fn socket(config: &NetConf) -> PathBuf {
    let named = config
        .socket
        .clone()
        .or_else(|| std::env::var("VSWITCH_SOCKET").ok());
    named.map_or_else(|| PathBuf::from(SOCKET), PathBuf::from)
}

/// A connection to the daemon.
#[derive(Debug)]
pub(crate) struct Daemon(Client);

impl Daemon {
    /// Connects; `patient`: also to a daemon that is just starting.
    ///
    /// # Errors
    /// Why there is no connection.
    pub(crate) fn connect(socket: &Path, patient: bool) -> Result<Self, ClientError> {
        let since = Instant::now();
        let mut pause = Duration::from_millis(10);
        loop {
            match Client::connect(socket, ANSWER) {
                Ok(client) => return Ok(Self(client)),
                Err(error) if !patient || !is_away(&error) || since.elapsed() >= AWAY => {
                    return Err(error);
                }
                Err(_) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// Calls a method; one that is refused because the daemon is busy is called again for a while.
    ///
    /// # Errors
    /// The daemon's refusal, or what became of the connection.
    pub(crate) fn call<M: Method>(
        &mut self,
        method: &M,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<M::Reply, ClientError> {
        let since = Instant::now();
        loop {
            match self.0.call_with_fds(method, descriptors) {
                Err(ClientError::Refused(ApiError::Busy { retry_after_ms, .. }))
                    if since.elapsed() < ANSWER =>
                {
                    std::thread::sleep(Duration::from_millis(retry_after_ms.min(1000)));
                }
                other => return other,
            }
        }
    }
}

/// Whether there is nobody to speak to.
pub(crate) const fn is_away(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::NotRunning { .. }
            | ClientError::NotListening { .. }
            | ClientError::Broken { .. }
    )
}

/// What a failed call means to a runtime.
pub(crate) fn explain(error: &ClientError) -> CniError {
    let hint = error.hint().unwrap_or_default();
    let number = match error {
        error if is_away(error) => code::LATER,
        ClientError::TimedOut { .. } => code::LATER,
        ClientError::Refused(refusal) => return refused(refusal),
        _ => code::FAILED,
    };
    CniError::new(number, error.to_string(), hint)
}

fn refused(error: &ApiError) -> CniError {
    let hint = error.hint().unwrap_or_default().to_owned();
    match error {
        ApiError::NotFound {
            kind, name, known, ..
        } if kind == "bridge" => {
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            let mut details = format!("vswitchd on this node has: {known}");
            if !hint.is_empty() {
                details.push_str(&format!(". {hint}"));
            }
            details.push_str(". Field: bridge");
            CniError::new(code::CONFIG, format!("no such bridge: {name}"), details)
        }
        ApiError::InvalidConfig { .. } | ApiError::InvalidParameter { .. } => {
            CniError::new(code::CONFIG, error.to_string(), hint)
        }
        ApiError::AlreadyExists { .. } => CniError::new(code::NAME, error.to_string(), hint),
        ApiError::Busy { .. } => CniError::new(code::LATER, error.to_string(), hint),
        ApiError::SystemError { .. } => CniError::new(code::IO, error.to_string(), hint),
        _ => CniError::new(code::FAILED, error.to_string(), hint),
    }
}
