//! The daemon, as this command sees it: calls and streams of replies.
//!
//! [`Link`] is a trait so that tests answer in the daemon's place; [`connect`] makes the real
//! one, the blocking client of `vswitch-api`. Each way of not reaching the daemon has an error
//! and a remedy of its own. One thread; blocks on the socket.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use vswitch_api::client::{Client, ClientError, Replies};
use vswitch_api::request::{Method, Request};

use crate::failure::{Exit, Failure};
use crate::render::to_json;

/// A connection to the daemon.
pub trait Link {
    /// One call, one answer.
    ///
    /// # Errors
    ///
    /// The daemon's refusal, or what became of the connection.
    fn call(&mut self, method: &str, parameters: Value) -> Result<Value, ClientError>;

    /// One call, many answers: `each` gets every one until it answers `false` or the daemon
    /// ends the stream. Left by `false`, the connection is of no further use.
    ///
    /// # Errors
    ///
    /// As [`Link::call`].
    fn stream(
        &mut self,
        method: &str,
        parameters: Value,
        each: &mut dyn FnMut(Value) -> bool,
    ) -> Result<(), ClientError>;
}

/// Connects to the daemon's control socket; every answer is waited for at most `timeout`.
///
/// # Errors
///
/// Those of [`Client::connect`].
pub fn connect(socket: &Path, timeout: Duration) -> Result<Box<dyn Link>, ClientError> {
    Ok(Box::new(Client::connect(socket, timeout)?))
}

impl Link for Client {
    fn call(&mut self, method: &str, parameters: Value) -> Result<Value, ClientError> {
        self.call_raw(method, parameters)
    }

    fn stream(
        &mut self,
        method: &str,
        parameters: Value,
        each: &mut dyn FnMut(Value) -> bool,
    ) -> Result<(), ClientError> {
        match Request::decode(method, &parameters) {
            Ok(Request::Watch(watch)) => stream(self.call_more(&watch)?, each),
            Ok(Request::FdbList(list)) => stream(self.call_more(&list)?, each),
            Ok(Request::FdbWatch(watch)) => {
                let mut replies = self.call_more(&watch)?;
                replies.set_wait(None); // An empty table has nothing to begin with.
                stream(replies, each)
            }
            Ok(Request::Capture(capture)) => stream(self.call_more(&capture)?, each),
            // All others answer once; what is wrong with the call the daemon says itself.
            _ => {
                each(self.call_raw(method, parameters)?);
                Ok(())
            }
        }
    }
}

fn stream<M: Method>(
    replies: Replies<'_, M>,
    each: &mut dyn FnMut(Value) -> bool,
) -> Result<(), ClientError> {
    for reply in replies {
        if !each(to_json(&reply?)) {
            break;
        }
    }
    Ok(())
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let hint = error.hint();
        let failure = |exit, name: &str| Self::new(exit, name, error.to_string());
        let failure = match error {
            ClientError::Refused(error) => return error.into(),
            ClientError::Permission { .. } => failure(Exit::Permission, "vswctl.Permission")
                .help("usermod -aG vswitch USER, then log in again"),
            ClientError::NotRunning { .. } => failure(Exit::Unreachable, "vswctl.Unreachable")
                .help("vswitchd --config FILE starts it by hand"),
            ClientError::NotListening { .. } | ClientError::Connect { .. } => {
                failure(Exit::Unreachable, "vswctl.Unreachable")
            }
            ClientError::TimedOut { .. } => {
                failure(Exit::Unreachable, "vswctl.TimedOut").help("--timeout SECONDS waits longer")
            }
            ClientError::Broken { .. } => failure(Exit::Unreachable, "vswctl.Broken"),
            ClientError::Protocol { .. } => failure(Exit::Unreachable, "vswctl.Protocol"),
        };
        let mut failure = failure;
        if let Some(hint) = hint {
            failure.help.insert(0, hint);
        }
        failure
    }
}
