//! The control socket: varlink connections on the control thread's loop.
//!
//! The server cuts bytes into calls, checks size, rate and credentials, and hands typed requests on; it
//! queues replies and sends them as the client reads. It never blocks and never grows beyond its limits,
//! whatever a client does: calls of one connection are answered in order, one at a time, and nothing is
//! read from it meanwhile; whoever feeds a stream hears when its client falls behind and holds the rest
//! back; when all connections are taken, one that never made a call makes room for a new one.

use crate::access::{Access, Peer};
use hashbrown::HashMap;
use mio::event::Event;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use vswitch_api::descriptors;
use vswitch_api::varlink::{Call, MessageReader, Reply, encode};
use vswitch_api::{ApiError, Request};
use vswitch_base::Instant;

/// Connections at a time.
const CLIENTS_MAX: usize = 256;
/// Bytes of unfinished messages over all connections: eight of the largest messages.
const PARTIAL_MAX: usize = 128 << 20;
/// Bytes of replies waiting for one client: several of the largest pages.
const BACKLOG_MAX: usize = 8 << 20;
/// A stream is held back at this backlog until it is read down.
const STREAM_BACKLOG_MAX: usize = 1 << 20;
/// Calls that a connection may make at once, and how many more each second.
const CALLS_BURST: u32 = 2_000;
/// See [`CALLS_BURST`].
const CALLS_PER_SECOND: u64 = 1_000;
/// Read in one go; several rounds per wake-up are bounded by [`ROUNDS_MAX`].
const CHUNK: usize = 64 << 10;
/// Chunks read from one connection before the others get their turn.
const ROUNDS_MAX: usize = 64;

/// One call that waits for its reply.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct CallId {
    connection: usize,
    serial: u64,
}

/// A call that passed all checks.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// To be named in the reply.
    pub id: CallId,
    /// Who calls.
    pub peer: Peer,
    /// What is asked.
    pub request: Request,
    /// Whether the caller takes several replies.
    pub more: bool,
    /// What came with the call.
    pub descriptors: Vec<OwnedFd>,
}

struct Connection {
    stream: UnixStream,
    peer: Peer,
    reader: MessageReader,
    /// Read but not yet cut into messages: a call is being answered.
    unread: VecDeque<u8>,
    /// Came with what is not yet cut.
    descriptors: Vec<OwnedFd>,
    readable: bool,
    out: VecDeque<u8>,
    /// The call being answered.
    current: Option<(u64, bool)>,
    calls: u64,
    budget: u32,
    refilled: Instant,
    since: Instant,
    /// The client of a stream has fallen behind and has not yet caught up.
    behind: bool,
    closing: bool,
}

/// See the module.
pub(crate) struct Server {
    listener: UnixListener,
    path: PathBuf,
    access: Access,
    connections: HashMap<usize, Connection>,
    next_token: usize,
    incoming: Vec<Incoming>,
    ended: Vec<CallId>,
    caught_up: Vec<CallId>,
    retry: Vec<usize>,
}

impl Server {
    /// Takes over a listening socket. Tokens of connections begin at `first_token`.
    ///
    /// # Errors
    /// When it cannot be registered.
    pub(crate) fn new(
        mut listener: UnixListener,
        path: &Path,
        access: Access,
        registry: &Registry,
        token: Token,
        first_token: usize,
    ) -> io::Result<Self> {
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            access,
            connections: HashMap::new(),
            next_token: first_token,
            incoming: Vec::new(),
            ended: Vec::new(),
            caught_up: Vec::new(),
            retry: Vec::new(),
        })
    }

    /// Accepts whoever waits.
    pub(crate) fn accept(&mut self, registry: &Registry, now: Instant) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if let Err(error) = self.welcome(stream, registry, now) {
                        tracing::debug!(%error, "a client was turned away");
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, socket = %self.path.display(), "cannot accept a client");
                    return;
                }
            }
        }
    }

    fn welcome(
        &mut self,
        mut stream: UnixStream,
        registry: &Registry,
        now: Instant,
    ) -> io::Result<()> {
        if self.connections.len() >= CLIENTS_MAX && !self.make_room(registry) {
            let busy = ApiError::Busy {
                message: format!("{CLIENTS_MAX} clients are connected"),
                retry_after_ms: 1000,
            };
            if let Ok(bytes) = encode(&Reply::error(&busy)) {
                // A courtesy: the buffer of a fresh connection takes it, and if not it is lost.
                let _ = stream.write(&bytes)?;
            }
            return Ok(());
        }
        let peer = self.access.peer(&stream)?;
        let token = self.next_token;
        self.next_token += 1;
        registry.register(
            &mut stream,
            Token(token),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        let connection = Connection {
            stream,
            peer,
            reader: MessageReader::default(),
            unread: VecDeque::new(),
            descriptors: Vec::new(),
            readable: false,
            out: VecDeque::new(),
            current: None,
            calls: 0,
            budget: CALLS_BURST,
            refilled: now,
            since: now,
            behind: false,
            closing: false,
        };
        self.connections.insert(token, connection);
        Ok(())
    }

    /// Ends the oldest connection that has not made a call yet; whether there was one.
    fn make_room(&mut self, registry: &Registry) -> bool {
        let idle = self
            .connections
            .iter()
            .filter(|(_, c)| c.calls == 0)
            .min_by_key(|(_, c)| c.since)
            .map(|(token, _)| *token);
        idle.is_some_and(|token| {
            self.close(token, registry);
            true
        })
    }

    /// A connection's descriptor is ready.
    pub(crate) fn ready(&mut self, event: &Event, registry: &Registry, now: Instant) {
        let token = event.token().0;
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        connection.readable |= event.is_readable() || event.is_read_closed();
        let lost = event.is_error() || (event.is_read_closed() && event.is_write_closed());
        let alive = if event.is_writable() {
            self.flush(token)
        } else {
            true
        };
        let alive = alive && self.read(token, now);
        if !alive || lost {
            self.close(token, registry);
        }
    }

    /// Goes on with connections that had more to say than their turn allowed.
    pub(crate) fn resume(&mut self, registry: &Registry, now: Instant) {
        for token in std::mem::take(&mut self.retry) {
            if self.connections.contains_key(&token) && !self.read(token, now) {
                self.close(token, registry);
            }
        }
    }

    /// Whether [`Self::resume`] has work.
    #[must_use]
    pub(crate) fn wants_resume(&self) -> bool {
        !self.retry.is_empty()
    }

    /// Calls that came in.
    pub(crate) fn take_incoming(&mut self) -> Vec<Incoming> {
        std::mem::take(&mut self.incoming)
    }

    /// Calls whose caller has gone: nobody waits for a reply any more.
    pub(crate) fn take_ended(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.ended)
    }

    /// Streams whose client had fallen behind and has read everything: they can take more now.
    pub(crate) fn take_caught_up(&mut self) -> Vec<CallId> {
        std::mem::take(&mut self.caught_up)
    }

    /// Queues a reply. With `reply.continues` the call stays open; then true means that the client has
    /// much left to read: the next replies wait until [`Self::take_caught_up`] names the call.
    pub(crate) fn reply(
        &mut self,
        id: CallId,
        reply: &Reply,
        registry: &Registry,
        now: Instant,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(&id.connection) else {
            return false;
        };
        let Some((serial, oneway)) = connection.current else {
            return false;
        };
        if serial != id.serial {
            return false;
        }
        if !reply.continues {
            connection.current = None;
        }
        if !oneway {
            match encode(reply) {
                Ok(bytes) => connection.out.extend(bytes),
                Err(error) => {
                    let error = ApiError::SystemError {
                        operation: "encode a reply".to_owned(),
                        object: "control socket".to_owned(),
                        errno: 0,
                        errno_name: error.to_string(),
                        hint: Some("ask for less at once".to_owned()),
                    };
                    connection
                        .out
                        .extend(encode(&Reply::error(&error)).unwrap_or_default());
                }
            }
        }
        let alive = connection.out.len() <= BACKLOG_MAX && self.flush(id.connection);
        if !(alive && self.read(id.connection, now)) {
            self.close(id.connection, registry);
        }
        let Some(connection) = self.connections.get_mut(&id.connection) else {
            return false;
        };
        let behind = reply.continues && connection.out.len() > STREAM_BACKLOG_MAX;
        connection.behind |= behind;
        behind
    }

    /// Sends what the client takes; whether the connection lives on.
    fn flush(&mut self, token: usize) -> bool {
        let Some(connection) = self.connections.get_mut(&token) else {
            return true;
        };
        while !connection.out.is_empty() {
            let (front, _) = connection.out.as_slices();
            match connection.stream.write(front) {
                Ok(0) => return false,
                Ok(n) => drop(connection.out.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        if connection.out.is_empty() {
            connection.out.shrink_to(CHUNK);
            if std::mem::take(&mut connection.behind)
                && let Some((serial, _)) = connection.current
            {
                self.caught_up.push(CallId {
                    connection: token,
                    serial,
                });
            }
            return !connection.closing;
        }
        true
    }

    /// Reads and cuts calls until one must be answered; whether the connection lives on.
    fn read(&mut self, token: usize, now: Instant) -> bool {
        for _ in 0..ROUNDS_MAX {
            if !self.cut(token, now) {
                return false;
            }
            let Some(connection) = self.connections.get_mut(&token) else {
                return true;
            };
            // While a call is answered the rest waits in the socket; so does what a client sends that
            // does not read.
            let busy = connection.current.is_some() || connection.out.len() > STREAM_BACKLOG_MAX;
            if busy || connection.closing || !connection.readable {
                return true;
            }
            let mut chunk = [0; CHUNK];
            let came = &mut connection.descriptors;
            match descriptors::receive(&connection.stream, &mut chunk, came) {
                Ok(0) => return false,
                Ok(_) if came.len() > descriptors::DESCRIPTORS_MAX => return false,
                Ok(n) => connection.unread.extend(&chunk[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => connection.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.retry.push(token);
        true
    }

    /// Cuts what was read into calls until one must be answered; whether the connection lives on.
    fn cut(&mut self, token: usize, now: Instant) -> bool {
        let partial: usize = self.connections.values().map(|c| c.reader.buffered()).sum();
        loop {
            let Some(connection) = self.connections.get_mut(&token) else {
                return true;
            };
            if connection.current.is_some() || connection.unread.is_empty() {
                return true;
            }
            let bytes = connection.unread.make_contiguous();
            let mut input = &*bytes;
            let message = connection.reader.next_message(&mut input);
            let taken = bytes.len() - input.len();
            connection.unread.drain(..taken);
            let call = match message {
                Ok(None) if partial > PARTIAL_MAX => return false,
                Ok(None) => return true,
                Ok(Some(message)) => Call::parse(&message),
                Err(error) => Err(error),
            };
            match call {
                Ok(call) => self.take_call(token, &call, now),
                Err(error) => {
                    // Not varlink: there is no call to reply to, and no way to find the next one.
                    tracing::debug!(pid = connection.peer.pid, %error, "a client does not speak varlink");
                    return false;
                }
            }
        }
    }

    fn take_call(&mut self, token: usize, call: &Call, now: Instant) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        connection.calls += 1;
        let serial = connection.calls;
        // The kernel ends a read where other descriptors begin: these are this call's.
        let descriptors = std::mem::take(&mut connection.descriptors);
        connection.current = Some((serial, call.oneway));
        let id = CallId {
            connection: token,
            serial,
        };
        let peer = connection.peer;
        let request = connection
            .spend(now)
            .and_then(|()| call.request())
            .and_then(|request| self.access.check(&peer, &request).map(|()| request));
        match request {
            Ok(request) => self.incoming.push(Incoming {
                id,
                peer,
                request,
                more: call.more,
                descriptors,
            }),
            Err(error) => {
                connection.current = None;
                if !call.oneway {
                    connection
                        .out
                        .extend(encode(&Reply::error(&error)).unwrap_or_default());
                }
                if !self.flush(token)
                    && let Some(connection) = self.connections.get_mut(&token)
                {
                    connection.closing = true;
                }
            }
        }
    }

    fn close(&mut self, token: usize, registry: &Registry) {
        let Some(mut connection) = self.connections.remove(&token) else {
            return;
        };
        if let Some((serial, _)) = connection.current {
            self.ended.push(CallId {
                connection: token,
                serial,
            });
        }
        if let Err(error) = registry.deregister(&mut connection.stream) {
            tracing::debug!(%error, "cannot deregister a client");
        }
    }
}

impl Connection {
    /// Takes one call off the connection's budget.
    fn spend(&mut self, now: Instant) -> Result<(), ApiError> {
        let earned =
            now.saturating_since(self.refilled).as_nanos() * CALLS_PER_SECOND / 1_000_000_000;
        if earned > 0 {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.budget = self.budget.saturating_add(earned).min(CALLS_BURST);
            self.refilled = now;
        }
        self.budget = self.budget.checked_sub(1).ok_or_else(|| ApiError::Busy {
            message: format!("this connection makes more than {CALLS_PER_SECOND} calls a second"),
            retry_after_ms: 100,
        })?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A socket without a listener would make clients believe in a daemon that hangs.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Binds the socket: in place of one that nobody listens on any more, never of one in use.
///
/// # Errors
/// With the reason in words: another daemon listens, the path is no socket, the folder cannot be made.
pub(crate) fn bind(path: &Path, access: &Access) -> Result<UnixListener, String> {
    let told = |what: &str, error: io::Error| format!("cannot {what} {}: {error}", path.display());
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| told("make the folder of", e))?;
    }
    if let Ok(metadata) = std::fs::symlink_metadata(path) {
        use std::os::unix::fs::FileTypeExt as _;
        if !metadata.file_type().is_socket() {
            return Err(format!(
                "cannot listen on {}: it exists and is no socket",
                path.display()
            ));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(format!(
                "cannot listen on {}: another vswitchd is running; stop it, or choose another --socket",
                path.display()
            ));
        }
        std::fs::remove_file(path).map_err(|e| told("replace", e))?;
    }
    let listener = UnixListener::bind(path).map_err(|e| told("listen on", e))?;
    // The credentials of each client decide what it may do; the mode decides who may ask at all.
    let mode = if access.has_monitors() { 0o666 } else { 0o660 };
    let mode = rustix::fs::Mode::from_raw_mode(mode);
    rustix::fs::chmod(path, mode).map_err(|e| told("set the mode of", e.into()))?;
    if let Some(gid) = access.socket_gid() {
        let group = rustix::fs::Gid::from_raw(gid);
        rustix::fs::chown(path, None, Some(group))
            .map_err(|e| told("set the group of", e.into()))?;
    }
    Ok(listener)
}
