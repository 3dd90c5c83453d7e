//! A blocking client of the control socket: for commands, plugins and tests.
//!
//! Guarantees: each failure says which kind it is (no daemon, a daemon that ended, no
//! permission, no answer in time, a broken connection, a refusal of the daemon), because each
//! has another remedy; an answer is waited for no longer than the timeout; a daemon that sends
//! nonsense cannot make the client panic or hold more than one message. One connection, one
//! thread, one call at a time. Implements the calling side of <https://varlink.org/Method-Call>.
//! Not here: retries.

use std::io::{self, Read as _, Write as _};
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::ApiError;
use crate::request::Method;
use crate::varlink::{Call, MessageReader, Reply, WireError, encode};

/// Where the daemon listens unless told otherwise.
pub const SOCKET: &str = "/run/vswitch/io.vswitch";

/// How long an answer is waited for unless told otherwise: longer than any device takes to open.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no socket: the daemon is not running, or listens elsewhere.
    #[error("there is no socket {}: vswitchd is not running, or listens elsewhere", socket.display())]
    NotRunning {
        /// The control socket.
        socket: PathBuf,
    },
    /// There is a socket and nobody listens: the daemon ended without removing it.
    #[error("nobody listens on {}: vswitchd has ended", socket.display())]
    NotListening {
        /// The control socket.
        socket: PathBuf,
    },
    /// The caller may not open the socket.
    #[error("you may not open {}", socket.display())]
    Permission {
        /// The control socket.
        socket: PathBuf,
    },
    /// Another failure to connect.
    #[error("cannot connect to {}: {source}", socket.display())]
    Connect {
        /// The control socket.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No answer in time. The connection is of no further use.
    #[error("{method}: no answer within {} s", after.as_secs_f32())]
    TimedOut {
        /// The method called.
        method: String,
        /// The timeout.
        after: Duration,
    },
    /// The connection ended in the middle of a call.
    #[error("{method}: the connection broke: {source}")]
    Broken {
        /// The method called.
        method: String,
        /// Why.
        source: io::Error,
    },
    /// What came is no varlink, or no answer to this method.
    #[error("{method}: what answers there is no vswitchd of this version: {detail}")]
    Protocol {
        /// The method called.
        method: String,
        /// What was wrong.
        detail: String,
    },
    /// The daemon refused.
    #[error(transparent)]
    Refused(#[from] ApiError),
}

impl ClientError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NotRunning { .. } => {
                "start it: systemctl start vswitchd; or name its socket with --socket PATH"
            }
            Self::NotListening { .. } => {
                "start it: systemctl start vswitchd; why it ended: journalctl -u vswitchd"
            }
            Self::Permission { .. } => {
                "become root, or a member of group \"vswitch\" (to change) or \"vswitch-view\" (to look)"
            }
            Self::TimedOut { .. } => "is the machine overloaded? journalctl -u vswitchd",
            Self::Broken { .. } => {
                "did the daemon end? systemctl status vswitchd; journalctl -u vswitchd"
            }
            Self::Protocol { .. } => {
                "are client and daemon of one version? vswctl --version; vswitchd --version"
            }
            Self::Refused(error) => return error.hint().map(str::to_owned),
            Self::Connect { .. } => return None,
        };
        Some(text.to_owned())
    }
}

/// A connection to the daemon.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    reader: MessageReader,
    /// Bytes that came behind the last message.
    rest: Vec<u8>,
    timeout: Duration,
    /// Why no further call can be made: answers of an earlier one may still come.
    unusable: bool,
}

impl Client {
    /// Connects to a control socket; every answer is waited for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`ClientError::NotRunning`], [`ClientError::NotListening`], [`ClientError::Permission`],
    /// or [`ClientError::Connect`].
    pub fn connect(socket: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let at = || socket.to_owned();
        let stream = UnixStream::connect(socket).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ClientError::NotRunning { socket: at() },
            io::ErrorKind::ConnectionRefused => ClientError::NotListening { socket: at() },
            io::ErrorKind::PermissionDenied => ClientError::Permission { socket: at() },
            _ => ClientError::Connect {
                socket: at(),
                source,
            },
        })?;
        Ok(Self::over(stream, timeout))
    }

    /// A client over a stream that is connected already, such as one end of a socket pair.
    pub fn over(stream: UnixStream, timeout: Duration) -> Self {
        Self {
            stream,
            reader: MessageReader::default(),
            rest: Vec::new(),
            timeout,
            unusable: false,
        }
    }

    /// Calls a method and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`ClientError::Refused`] with the daemon's error; otherwise what became of the connection.
    pub fn call<M: Method>(&mut self, method: &M) -> Result<M::Reply, ClientError> {
        let parameters = to_value(M::NAME, method)?;
        typed::<M>(self.call_raw(M::NAME, parameters)?)
    }

    /// Calls a method that takes file descriptors; they go with the call, the caller keeps its own.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    pub fn call_with_fds<M: Method>(
        &mut self,
        method: &M,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<M::Reply, ClientError> {
        let parameters = to_value(M::NAME, method)?;
        self.send(M::NAME, parameters, false, descriptors)?;
        let reply = self.receive(M::NAME, Some(self.timeout))?;
        typed::<M>(reply.into_result()?)
    }

    /// Calls a method by its name with any parameters.
    ///
    /// # Errors
    ///
    /// As [`Client::call`].
    pub fn call_raw(&mut self, method: &str, parameters: Value) -> Result<Value, ClientError> {
        self.send(method, parameters, false, &[])?;
        let reply = self.receive(method, Some(self.timeout))?;
        if reply.continues {
            self.unusable = true;
            return Err(protocol(method, "several answers to a call that takes one"));
        }
        Ok(reply.into_result()?)
    }

    /// Calls a method and takes every answer, until the daemon ends the stream. The first
    /// answer must come within the timeout; further ones are waited for without end.
    ///
    /// A stream that is left before its end makes the connection useless for further calls.
    ///
    /// # Errors
    ///
    /// The call could not be sent. Refusals come as the first answer.
    pub fn call_more<M: Method>(&mut self, method: &M) -> Result<Replies<'_, M>, ClientError> {
        let parameters = to_value(M::NAME, method)?;
        self.send(M::NAME, parameters, true, &[])?;
        self.unusable = true; // Until the last answer has come.
        let wait = Some(self.timeout);
        Ok(Replies {
            client: self,
            wait,
            ended: false,
            method: PhantomData,
        })
    }

    fn send(
        &mut self,
        method: &str,
        parameters: Value,
        more: bool,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ClientError> {
        if self.unusable {
            let source =
                io::Error::other("an earlier call on this connection was not answered to its end");
            return Err(ClientError::Broken {
                method: method.to_owned(),
                source,
            });
        }
        let call = Call {
            method: method.to_owned(),
            parameters,
            more,
            ..Call::default()
        };
        let bytes = encode(&call).map_err(|error| protocol(method, &error.to_string()))?;
        let sent = self
            .stream
            .set_write_timeout(Some(self.timeout.max(Duration::from_millis(1))))
            .and_then(|()| match descriptors {
                [] => Ok(0),
                some => crate::descriptors::send(&self.stream, &bytes, some),
            })
            .and_then(|gone| self.stream.write_all(&bytes[gone..]));
        sent.map_err(|error| self.failed(method, error))
    }

    /// The next reply; `wait` is the longest time until it is complete.
    fn receive(&mut self, method: &str, wait: Option<Duration>) -> Result<Reply, ClientError> {
        let begin = Instant::now();
        let mut chunk = [0; 16 * 1024];
        loop {
            let mut input = self.rest.as_slice();
            let message = self.reader.next_message(&mut input);
            let taken = self.rest.len() - input.len();
            self.rest.drain(..taken);
            let parsed = message
                .and_then(|message| message.map(|message| Reply::parse(&message)).transpose());
            match parsed {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(error @ (WireError::TooLong { .. } | WireError::Malformed(_))) => {
                    self.unusable = true;
                    return Err(protocol(method, &error.to_string()));
                }
            }
            let left = wait.map(|wait| {
                wait.saturating_sub(begin.elapsed())
                    .max(Duration::from_millis(1))
            });
            if wait.is_some_and(|wait| begin.elapsed() >= wait) {
                return Err(self.failed(method, io::ErrorKind::TimedOut.into()));
            }
            let read = self
                .stream
                .set_read_timeout(left)
                .and_then(|()| self.stream.read(&mut chunk));
            match read {
                Ok(0) => return Err(self.failed(method, io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => self.rest.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(method, error)),
            }
        }
    }

    fn failed(&mut self, method: &str, source: io::Error) -> ClientError {
        self.unusable = true;
        let method = method.to_owned();
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::TimedOut {
                method,
                after: self.timeout,
            },
            _ => ClientError::Broken { method, source },
        }
    }
}

/// The answers to a call with `more`, in order; ends after an error.
#[derive(Debug)]
pub struct Replies<'c, M> {
    client: &'c mut Client,
    wait: Option<Duration>,
    ended: bool,
    method: PhantomData<M>,
}

impl<M: Method> Replies<'_, M> {
    /// From now on waits at most so long for each answer; `None`: without end.
    pub const fn set_wait(&mut self, wait: Option<Duration>) {
        self.wait = wait;
    }
}

impl<M: Method> Iterator for Replies<'_, M> {
    type Item = Result<M::Reply, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let reply = match self.client.receive(M::NAME, self.wait) {
            Ok(reply) => reply,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        };
        self.wait = None;
        if !reply.continues {
            self.ended = true;
            self.client.unusable = false;
        }
        let value = reply.into_result().map_err(ClientError::from);
        Some(value.and_then(typed::<M>))
    }
}

fn protocol(method: &str, detail: &str) -> ClientError {
    ClientError::Protocol {
        method: method.to_owned(),
        detail: detail.to_owned(),
    }
}

fn to_value(method: &str, parameters: &impl serde::Serialize) -> Result<Value, ClientError> {
    serde_json::to_value(parameters).map_err(|error| protocol(method, &error.to_string()))
}

fn typed<M: Method>(value: Value) -> Result<M::Reply, ClientError> {
    serde_json::from_value(value)
        .map_err(|error| protocol(M::NAME, &crate::text::excerpt(&error.to_string(), 200)))
}

#[cfg(test)]
mod tests;
