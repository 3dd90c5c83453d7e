//! The daemon, as this command sees it: calls and streams of replies.
//!
//! [`Link`] is a trait so that tests answer in the daemon's place; [`connect`] makes the real
//! one. Failures to connect say what to look at. One thread; blocks on the socket.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vswitch_api::error::ApiError;
use vswitch_api::varlink::{Call, MessageReader, Reply, encode};

use crate::failure::{Exit, Failure};

/// Why the daemon gave no answer.
#[derive(Debug)]
pub enum LinkFailure {
    /// The daemon refused, for a reason.
    Refused(ApiError),
    /// There is no connection to it.
    Unreachable {
        /// The control socket.
        socket: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The connection broke, or what came over it is no varlink.
    Broken(String),
}

/// A connection to the daemon.
pub trait Link {
    /// One call, one answer.
    ///
    /// # Errors
    ///
    /// The daemon's refusal, or a broken connection.
    fn call(&mut self, method: &str, parameters: Value) -> Result<Value, LinkFailure>;

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
    ) -> Result<(), LinkFailure>;
}

/// Connects to the daemon's control socket.
///
/// # Errors
///
/// [`LinkFailure::Unreachable`] with the system's reason.
pub fn connect(socket: &Path) -> Result<Box<dyn Link>, LinkFailure> {
    match UnixStream::connect(socket) {
        Ok(stream) => Ok(Box::new(SocketLink {
            stream,
            reader: MessageReader::default(),
            rest: Vec::new(),
        })),
        Err(cause) => Err(LinkFailure::Unreachable {
            socket: socket.to_owned(),
            cause,
        }),
    }
}

/// A connection over the control socket.
struct SocketLink {
    stream: UnixStream,
    reader: MessageReader,
    /// Bytes that came behind the last message.
    rest: Vec<u8>,
}

fn broken(cause: impl std::fmt::Display) -> LinkFailure {
    LinkFailure::Broken(cause.to_string())
}

impl SocketLink {
    fn send(&mut self, method: &str, parameters: Value, more: bool) -> Result<(), LinkFailure> {
        let call = Call {
            method: method.to_owned(),
            parameters,
            more,
            ..Call::default()
        };
        let bytes = encode(&call).map_err(broken)?;
        self.stream.write_all(&bytes).map_err(broken)
    }

    fn receive(&mut self) -> Result<Reply, LinkFailure> {
        let mut chunk = [0; 16 * 1024];
        loop {
            let mut input = self.rest.as_slice();
            let message = self.reader.next_message(&mut input).map_err(broken)?;
            self.rest = input.to_vec();
            if let Some(message) = message {
                return Reply::parse(&message).map_err(broken);
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(broken("the daemon hung up")),
                Ok(count) => self.rest.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(error)),
            }
        }
    }
}

impl Link for SocketLink {
    fn call(&mut self, method: &str, parameters: Value) -> Result<Value, LinkFailure> {
        self.send(method, parameters, false)?;
        self.receive()?.into_result().map_err(LinkFailure::Refused)
    }

    fn stream(
        &mut self,
        method: &str,
        parameters: Value,
        each: &mut dyn FnMut(Value) -> bool,
    ) -> Result<(), LinkFailure> {
        self.send(method, parameters, true)?;
        loop {
            let reply = self.receive()?;
            let continues = reply.continues;
            let value = reply.into_result().map_err(LinkFailure::Refused)?;
            if !each(value) || !continues {
                return Ok(());
            }
        }
    }
}

impl From<LinkFailure> for Failure {
    fn from(failure: LinkFailure) -> Self {
        match failure {
            LinkFailure::Refused(error) => error.into(),
            LinkFailure::Unreachable { socket, cause } => unreachable(&socket, &cause),
            LinkFailure::Broken(cause) => Self::new(
                Exit::Unreachable,
                "vswctl.Broken",
                format!("the connection to the daemon broke: {cause}"),
            )
            .help("is it still running?  systemctl status vswitchd; journalctl -u vswitchd"),
        }
    }
}

fn unreachable(socket: &Path, cause: &io::Error) -> Failure {
    let shown = socket.display();
    let failure = |exit, why: &str| {
        Failure::new(
            exit,
            "vswctl.Unreachable",
            format!("cannot reach vswitchd at {shown}"),
        )
        .fact("why", why)
    };
    let start = "start it: systemctl start vswitchd, or vswitchd --config FILE";
    match cause.kind() {
        io::ErrorKind::NotFound => failure(Exit::Unreachable, "there is no such socket: the daemon is not running, or listens elsewhere")
            .help(start)
            .help("another socket: vswctl --socket PATH, or VSWITCH_SOCKET=PATH"),
        io::ErrorKind::ConnectionRefused => {
            failure(Exit::Unreachable, "nobody listens on the socket: the daemon ended").help(start)
        }
        io::ErrorKind::PermissionDenied => failure(Exit::Permission, "you may not open the socket")
            .help("become root, or a member of group \"vswitch\" (to change) or \"vswitch-view\" (to look)")
            .help("usermod -aG vswitch USER, then log in again"),
        _ => failure(Exit::Unreachable, &cause.to_string()).help("vswctl --socket PATH names another socket"),
    }
}
