//! Calls of clients and their answers: the daemon's own methods here, the others through the controller.

use super::ControlThread;
use crate::effects::Job;
use crate::server::{CallId, Incoming};
use std::time::Duration;
use vswitch_api::request::{Capture, PutFrames};
use vswitch_api::types::{
    CaptureReply, ClockReply, DaemonInfo, Done, FramesReply, InterfaceDescription, ServiceInfo,
};
use vswitch_api::varlink::Reply;
use vswitch_api::{ApiError, Request};
use vswitch_base::{Instant, PortIndex};
use vswitch_controller::{Peer, RequestId};

impl ControlThread {
    pub(super) fn take_calls(&mut self, now: Instant) {
        for call in self.server.take_incoming() {
            self.dispatch(call, now);
        }
        for call in self.server.take_ended() {
            let ports = self.captures.end(call);
            self.remove_taps(&ports);
            if let Some(id) = self.requests.remove(&call) {
                self.let_go(id);
                self.calls.remove(&id);
                self.controller.handle_hangup(id);
            }
        }
        for call in self.server.take_caught_up() {
            match self.requests.get(&call) {
                Some(id) => self.controller.handle_backlog(*id, false, now),
                None => self.captures.hold(call, false),
            }
        }
    }

    fn dispatch(&mut self, call: Incoming, now: Instant) {
        let Incoming {
            id,
            peer,
            request,
            more,
            descriptors,
        } = call;
        let reply = match request {
            Request::GetInfo(_) => Reply::last(&ServiceInfo::current()),
            Request::GetInterfaceDescription(get) => {
                match vswitch_api::interfaces::text(&get.interface) {
                    Some(text) => Reply::last(&InterfaceDescription {
                        description: text.to_owned(),
                    }),
                    None => Reply::error(&ApiError::InterfaceNotFound {
                        interface: get.interface,
                    }),
                }
            }
            Request::DaemonGetInfo(_) => Reply::last(&self.info(now)),
            Request::SetLogLevel(set) => match self.log.set(&set.level) {
                Ok(()) => Reply::last(&Done {}),
                Err(message) => Reply::error(&ApiError::parameter("level", message)),
            },
            Request::Capture(capture) => match self.start_capture(id, &capture) {
                Ok(()) => Reply::continues(&CaptureReply::default()),
                Err(error) => Reply::error(&error),
            },
            Request::PutFrames(_) | Request::TakeFrames(_) | Request::WarpClock(_)
                if !self.options.enable_mem_ports =>
            {
                let method = request.method().to_owned();
                Reply::error(&ApiError::MethodNotImplemented { method })
            }
            Request::PutFrames(put) => match self.put_frames(id, &put) {
                Ok(()) => return,
                Err(error) => Reply::error(&error),
            },
            Request::TakeFrames(take) => match self.wire_of(&take.port) {
                Ok(port) => {
                    let frames = self.wires.take(port).into_iter();
                    let frames = frames
                        .map(|frame| vswitch_api::hex::encode(&frame))
                        .collect();
                    Reply::last(&FramesReply { frames })
                }
                Err(error) => Reply::error(&error),
            },
            Request::WarpClock(warp) => {
                let by = Duration::from_millis(warp.milliseconds);
                return self.warps.push_back((id, by));
            }
            Request::Attach(ref attach)
                if attach.descriptors.unwrap_or(0) as usize != descriptors.len() =>
            {
                let message = format!(
                    "{} are announced, {} came with the call",
                    attach.descriptors.unwrap_or(0),
                    descriptors.len()
                );
                Reply::error(&ApiError::parameter("descriptors", message))
            }
            request => {
                self.next_request += 1;
                let request_id = RequestId(self.next_request);
                if !descriptors.is_empty() {
                    self.handed.insert(request_id, descriptors);
                }
                self.calls.insert(request_id, id);
                self.requests.insert(id, request_id);
                let peer = Peer {
                    uid: peer.uid,
                    pid: peer.pid,
                };
                return self
                    .controller
                    .handle_request(request_id, request, peer, more, now);
            }
        };
        self.server.reply(id, &reply, self.poll.registry(), now);
    }

    pub(super) fn send_reply(
        &mut self,
        id: RequestId,
        reply: vswitch_controller::Reply,
        now: Instant,
    ) {
        let Some(call) = self.calls.get(&id).copied() else {
            return;
        };
        if !reply.continues {
            self.let_go(id);
            self.calls.remove(&id);
            self.requests.remove(&call);
        }
        let wire = match reply.result {
            Ok(value) if reply.continues => Reply::continues(&value),
            Ok(value) => Reply::last(&value),
            Err(error) => Reply::error(&error),
        };
        if self.server.reply(call, &wire, self.poll.registry(), now) {
            self.controller.handle_backlog(id, true, now);
        }
    }

    /// Descriptors of a call that is done. The last one of a TAP takes the kernel 16 ms: not on this thread.
    fn let_go(&mut self, id: RequestId) {
        if let Some(descriptors) = self.handed.remove(&id) {
            self.effects.post(Job::Close(descriptors));
        }
    }

    fn start_capture(&mut self, call: CallId, wanted: &Capture) -> Result<(), ApiError> {
        let config = self.controller.config();
        let names = config.port.keys().chain(config.host.keys());
        let ports: Vec<(PortIndex, String)> = names
            .filter(|name| wanted.port.as_ref().is_none_or(|port| port == *name))
            .filter_map(|name| Some((self.controller.port_index(name)?, name.clone())))
            .collect();
        if let (Some(name), true) = (&wanted.port, ports.is_empty()) {
            let known = config
                .port
                .keys()
                .chain(config.host.keys())
                .map(String::as_str);
            return Err(ApiError::not_found("port", name, known));
        }
        if let Some(name) = self.captures.taken(&ports) {
            let message = format!("a capture is running on port \"{name}\" already");
            return Err(ApiError::Busy {
                message,
                retry_after_ms: 1000,
            });
        }
        let tap = self.captures.start(call, ports.clone(), wanted);
        for (port, _) in ports {
            self.engine.borrow().set_tap(port, Some(&tap));
        }
        Ok(())
    }

    pub(super) fn send_captures(&mut self, now: Instant) {
        for news in self.captures.collect(&self.clock) {
            let reply = if news.last {
                Reply::last(&news.reply)
            } else {
                Reply::continues(&news.reply)
            };
            let behind = self
                .server
                .reply(news.call, &reply, self.poll.registry(), now);
            if behind {
                self.captures.hold(news.call, true);
            }
            if news.last {
                let ports = self.captures.end(news.call);
                self.remove_taps(&ports);
            }
        }
    }

    fn remove_taps(&self, ports: &[PortIndex]) {
        for port in ports {
            self.engine.borrow().set_tap(*port, None);
        }
    }

    /// The index of a port of memory that the workers have.
    fn wire_of(&self, name: &str) -> Result<PortIndex, ApiError> {
        let wired = |name: &str| {
            let index = self.controller.port_index(name)?;
            self.wires.has(index).then_some(index)
        };
        wired(name).ok_or_else(|| {
            let names = self.controller.config().port.keys().map(String::as_str);
            ApiError::not_found("mem port", name, names.filter(|name| wired(name).is_some()))
        })
    }

    fn put_frames(&mut self, call: CallId, put: &PutFrames) -> Result<(), ApiError> {
        let frames = put.frames()?;
        let port = self.wire_of(&put.port)?;
        self.wires.put(call, port, frames);
        self.engine.borrow().wake_all();
        Ok(())
    }

    pub(super) fn answer_puts(&mut self, now: Instant) {
        for call in self.wires.settled() {
            let done = Reply::last(&Done {});
            self.server.reply(call, &done, self.poll.registry(), now);
        }
    }

    /// Sets the clock forward if somebody wants it and nothing is under way: what the threads of this
    /// process take their time for must not run out of time that no clock saw. Whether it did.
    pub(super) fn warp(&mut self) -> bool {
        let follows = self.observed == self.controller.snapshot().generation;
        if !(follows && self.controller.is_idle()) {
            return false;
        }
        let Some((call, by)) = self.warps.pop_front() else {
            return false;
        };
        self.clock.warp(by);
        let now = self.clock.now();
        self.controller.handle_timeout(now);
        let time = vswitch_api::time::rfc3339(self.clock.wall(now));
        let reply = Reply::last(&ClockReply { time });
        self.server.reply(call, &reply, self.poll.registry(), now);
        true
    }

    fn info(&self, now: Instant) -> DaemonInfo {
        DaemonInfo {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            start_time: self.started.clone(),
            uptime_seconds: self.controller.uptime_seconds(now),
            snapshot_time: vswitch_api::time::rfc3339(self.clock.wall(now)),
            socket: self.options.socket.display().to_string(),
            config_files: self
                .config_files
                .iter()
                .map(|f| f.display().to_string())
                .collect(),
            state_dir: Some(self.options.state_dir.display().to_string()),
            log: self.log.current(),
            workers: self.worker_infos(now),
            memory_bytes: crate::resident_bytes(),
        }
    }
}
