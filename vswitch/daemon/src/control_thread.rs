//! The control thread: one loop for the socket, link events, punted frames, effects and timers.
//!
//! It drives the pure `Controller` and does what cannot block itself: publishing, handing ports to the
//! workers, taking them back. Everything that can block goes to the effects thread. Each round takes what
//! came in, lets the controller decide, then performs effects and sends replies until there are none.

mod calls;
mod links;
mod workers;

use crate::access::Access;
use crate::captures::Captures;
use crate::carriers::Carriers;
use crate::clock::Clock;
use crate::effects::{Answer, Done, Effects, Job};
use crate::engine::{Engine, Handles};
use crate::files::Files;
use crate::links::Links;
use crate::server::{CallId, Server};
use crate::signals::Signals;
use crate::watchdog::Watchdog;
use crate::wires::Wires;
use crate::worker_thread::{Waiting, WakeControl};
use crate::{LogHandle, Options};
use hashbrown::HashMap;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vswitch_api::ApiError;
use vswitch_api::config::Config;
use vswitch_api::types::{Event, Severity};
use vswitch_base::{Generation, Instant, PortIndex, Vid};
use vswitch_controller::{
    Controller, Counters, Effect, EffectId, EffectOutput, RequestId, VlanTotals,
};
use vswitch_core::balance::Move;
use vswitch_core::counters::PortTotals;

const LISTENER: Token = Token(0);
const LINKS: Token = Token(1);
const WAKE: Token = Token(2);
const SIGNALS: Token = Token(3);
const FIRST_CONNECTION: usize = 16;
/// How often running captures are emptied.
const CAPTURE_ROUND: Duration = Duration::from_millis(20);
/// How often wires of ports of memory are looked at while somebody waits for the workers.
const WIRE_ROUND: Duration = Duration::from_millis(1);
/// How long giving devices back may take before the daemon ends all the same, also when a test has
/// stopped the clock.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Wakes the loop, at most once until it has looked.
#[derive(Debug)]
struct Bell {
    waker: Waker,
    rung: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "cannot wake the control thread");
        }
    }
}

struct WorkerBell(Arc<Bell>);

impl WakeControl for WorkerBell {
    fn wake(&self) {
        self.0.ring();
    }
}

struct EngineCounters(Rc<RefCell<Engine>>);

impl std::fmt::Debug for EngineCounters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EngineCounters")
    }
}

impl Counters for EngineCounters {
    fn totals(&self, port: PortIndex) -> PortTotals {
        self.0.borrow().totals(port)
    }

    fn vlan(&self, port: PortIndex, vid: Vid) -> Option<VlanTotals> {
        let [frames_in, bytes_in, frames_out, bytes_out] =
            self.0.borrow().vlan_totals(port, vid)?;
        Some(VlanTotals {
            frames_in,
            bytes_in,
            frames_out,
            bytes_out,
        })
    }
}

/// Everything the loop owns.
pub(crate) struct ControlThread {
    poll: Poll,
    bell: Arc<Bell>,
    signals: Signals,
    links: Links,
    carriers: Carriers,
    server: Server,
    engine: Rc<RefCell<Engine>>,
    watchdog: Watchdog,
    effects: Effects,
    controller: Controller,
    captures: Captures,
    wires: Wires,
    /// Who wants the clock set forward, and how far.
    warps: VecDeque<(CallId, Duration)>,
    clock: Clock,
    options: Options,
    log: LogHandle,
    config_files: Vec<PathBuf>,
    /// The files that a reload under way was read from.
    reloading: Files,
    started: String,
    calls: HashMap<RequestId, CallId>,
    requests: HashMap<CallId, RequestId>,
    /// Descriptors of calls that are not done.
    handed: HashMap<RequestId, Vec<OwnedFd>>,
    next_request: u64,
    opened: HashMap<PortIndex, Handles>,
    /// The name that an index was last opened for: another one begins with counters of its own.
    names: HashMap<PortIndex, String>,
    detaching: HashMap<PortIndex, EffectId>,
    observed: Generation,
    /// The number of the last event that was logged.
    logged: u64,
}

/// Starts everything and runs until the daemon is told to end.
///
/// # Errors
/// In words for the operator: what could not be started, and why.
pub(crate) fn run(
    options: Options,
    config: Config,
    files: Files,
    log: LogHandle,
) -> Result<(), String> {
    let clock = Clock::start();
    let said = |what: &str| {
        let what = what.to_owned();
        move |error: io::Error| format!("cannot {what}: {error}")
    };
    let access = Access::new(&config.daemon.admin_group, &config.daemon.monitor_group);
    let listener = crate::server::bind(&options.socket, &access)?;
    let poll = Poll::new().map_err(said("make the event loop"))?;
    let server = Server::new(
        listener,
        &options.socket,
        access,
        poll.registry(),
        LISTENER,
        FIRST_CONNECTION,
    )
    .map_err(said("watch the control socket"))?;
    let waker = Waker::new(poll.registry(), WAKE).map_err(said("make a waker"))?;
    let bell = Arc::new(Bell {
        waker,
        rung: AtomicBool::new(false),
    });
    let mut signals = Signals::catch().map_err(said("catch signals"))?;
    poll.registry()
        .register(&mut signals.stream, SIGNALS, Interest::READABLE)
        .map_err(said("watch for signals"))?;
    let (links, present) = Links::open().map_err(said("read the machine's network devices"))?;
    let fd = links.monitor().as_fd().as_raw_fd();
    poll.registry()
        .register(&mut SourceFd(&fd), LINKS, Interest::READABLE)
        .map_err(said("watch network devices"))?;
    let workers = worker_count(&config);
    let waiting = Waiting {
        mode: config.daemon.poll,
        spin: config.daemon.spin.get(),
    };
    let rebalance = config.daemon.rebalance_interval.get();
    let engine = Engine::start(workers, waiting, rebalance, &clock, || {
        Box::new(WorkerBell(Arc::clone(&bell)))
    })
    .map_err(said("start the forwarding threads"))?;
    let engine = Rc::new(RefCell::new(engine));
    let state_file = options.state_dir.join("attached.json");
    let settings = crate::settings(&options, &clock, workers, &state_file);
    let effects_bell = Arc::clone(&bell);
    let effects = Effects::start(
        u16::try_from(workers).unwrap_or(u16::MAX),
        state_file,
        move || effects_bell.ring(),
    )
    .map_err(said("start the effects thread"))?;
    let carriers_bell = Arc::clone(&bell);
    let carriers =
        Carriers::start(move || carriers_bell.ring()).map_err(said("start the carriers thread"))?;
    let counters = Box::new(EngineCounters(Rc::clone(&engine)));
    let now = clock.now();
    let controller = Controller::new(settings, config, counters, present, now)
        .map_err(|errors| files.explain(errors))?;
    let started = vswitch_api::time::rfc3339(clock.wall(now));
    let mut thread = ControlThread {
        poll,
        bell,
        signals,
        links,
        carriers,
        server,
        engine,
        watchdog: Watchdog::new(workers, clock.running_now()),
        effects,
        controller,
        captures: Captures::default(),
        wires: Wires::default(),
        warps: VecDeque::new(),
        clock,
        options,
        log,
        config_files: files.paths,
        reloading: Files::default(),
        started,
        calls: HashMap::new(),
        requests: HashMap::new(),
        handed: HashMap::new(),
        next_request: 0,
        opened: HashMap::new(),
        names: HashMap::new(),
        detaching: HashMap::new(),
        observed: Generation::default(),
        logged: 0,
    };
    tracing::info!(socket = %thread.options.socket.display(), workers, "vswitchd is running");
    let outcome = thread.serve();
    thread.engine.borrow_mut().stop();
    thread.effects.end();
    outcome.map_err(said("wait for events"))
}

/// One worker for each core but one, at least one.
fn worker_count(config: &Config) -> usize {
    use vswitch_api::config::Workers;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match config.daemon.workers {
        Workers::Auto => cores.saturating_sub(1).max(1),
        Workers::Count(count) => usize::try_from(count).unwrap_or(1).max(1),
    }
}

impl ControlThread {
    fn serve(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        let mut stopping = None;
        self.settle();
        loop {
            let mut timeout = self.timeout();
            if stopping.is_some() {
                // Patience is measured even when nothing happens any more.
                let round = Duration::from_millis(100);
                timeout = Some(timeout.map_or(round, |t| t.min(round)));
            }
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let now = self.clock.now();
            for event in &events {
                match event.token() {
                    LISTENER => self.server.accept(self.poll.registry(), now),
                    LINKS => self.take_links(now),
                    WAKE => {}
                    SIGNALS => {
                        let asked = self.signals.take();
                        if asked.end && stopping.is_none() {
                            tracing::info!("ending: devices are given back as they were found");
                            stopping = Some(std::time::Instant::now());
                            self.controller.handle_stop(now);
                        } else if asked.reload && stopping.is_none() {
                            let path = self.options.config.clone();
                            self.effects.post(Job::Load(path));
                        }
                    }
                    _ => self.server.ready(event, self.poll.registry(), now),
                }
            }
            self.settle();
            if let Some(since) = stopping {
                if self.controller.is_stopped() {
                    return Ok(());
                }
                if since.elapsed() > STOP_PATIENCE {
                    tracing::error!("not everything could be given back in time");
                    return Ok(());
                }
            }
        }
    }

    fn timeout(&self) -> Option<Duration> {
        if self.server.wants_resume() {
            return Some(Duration::ZERO);
        }
        let now = self.clock.now();
        let due = self
            .controller
            .poll_timeout()
            .map(|at| Duration::from(at.saturating_since(now)));
        let rebalance = self.engine.borrow().rebalance_due();
        let rebalance = rebalance.map(|at| Duration::from(at.saturating_since(now)));
        let due = due.into_iter().chain(rebalance).min();
        // Rounded up to the loop's millisecond, so that it is due when we wake.
        let due = due.map(|d| d + Duration::from_millis(1));
        let look = self
            .watchdog
            .wake_by()
            .saturating_since(self.clock.running_now());
        let look = Duration::from(look) + Duration::from_millis(1);
        let capture = (!self.captures.is_empty()).then_some(CAPTURE_ROUND);
        let wire = self.wires.is_waiting().then_some(WIRE_ROUND);
        let carriers = self.until_carriers();
        let due = due.into_iter().chain(capture).chain(wire);
        let due = due.chain(carriers).min();
        Some(due.map_or(look, |due| due.min(look)))
    }

    /// Takes in what is there and does what follows from it, until there is nothing more.
    fn settle(&mut self) {
        let mut now = self.clock.now();
        self.bell.rung.store(false, Ordering::Release);
        self.take_from_workers(now);
        self.watch_workers(now);
        self.look_at_carriers(now);
        while let Some(answer) = self.effects.take_answer() {
            match answer {
                Answer::Effect(done) => self.take_done(done, now),
                Answer::Files(read) => self.reload(read, now),
            }
        }
        if self.controller.poll_timeout().is_some_and(|at| at <= now) {
            self.controller.handle_timeout(now);
        }
        self.rebalance(now);
        self.server.resume(self.poll.registry(), now);
        self.send_captures(now);
        self.answer_puts(now);
        loop {
            self.take_calls(now);
            let mut quiet = true;
            while let Some((id, effect)) = self.controller.poll_effect(now) {
                quiet = false;
                self.perform(id, effect, now);
            }
            while let Some((id, reply)) = self.controller.poll_reply(now) {
                quiet = false;
                self.send_reply(id, reply, now);
            }
            self.log_events();
            self.tell_reload();
            if quiet && !self.warp() {
                return;
            }
            now = self.clock.now();
        }
    }

    fn take_from_workers(&mut self, now: Instant) {
        let outbox = Arc::clone(self.engine.borrow().outbox());
        while let Some(event) = outbox.take_event() {
            self.controller.handle_worker_event(event, now);
        }
        while let Some(punt) = outbox.punts.take() {
            self.controller.handle_punt(&punt, now);
        }
        let (observed, complete, back) = self.engine.borrow_mut().collect();
        if !back.is_empty() {
            self.effects.post(Job::Drop(back));
        }
        if observed > self.observed {
            self.observed = observed;
            self.controller.handle_observed(observed, now);
        }
        for port in complete {
            if let Some(id) = self.detaching.remove(&port) {
                self.controller
                    .handle_effect_done(id, Ok(EffectOutput::Done), now);
            }
        }
    }

    /// A receive queue may go from a busy worker to another once in an interval.
    fn rebalance(&mut self, now: Instant) {
        if self
            .engine
            .borrow()
            .rebalance_due()
            .is_none_or(|at| at > now)
        {
            return;
        }
        let Some(moved) = self.engine.borrow_mut().rebalance(now) else {
            return;
        };
        let Move {
            queue, from, to, ..
        } = moved;
        let port = self.names.get(&queue.port).map_or("?", String::as_str);
        tracing::info!(
            port,
            queue = queue.number,
            from,
            to,
            "a receive queue moves: worker {from} was busy {} of the time, {} of it for this queue, and \
             worker {to} {}",
            percent(moved.from_load),
            percent(moved.share),
            percent(moved.to_load),
        );
    }

    fn take_done(&mut self, done: Done, now: Instant) {
        if let Some((port, handles)) = done.handles {
            self.opened.insert(port, handles);
        }
        for warning in done.warnings {
            tracing::warn!("{warning}");
        }
        self.controller
            .handle_effect_done(done.id, done.result, now);
    }

    /// The files were read again: they become the running configuration, or nothing changes.
    fn reload(&mut self, read: Result<(Config, Files), String>, now: Instant) {
        match read {
            Ok((config, files)) => {
                self.reloading = files;
                self.controller.handle_reload(config, now);
            }
            Err(text) => {
                refuse_reload(&text);
                self.controller.handle_reload_unreadable(&text, now);
            }
        }
    }

    /// Events are for the log as well: who changed what, which device came and went.
    fn log_events(&mut self) {
        let latest = self.controller.latest_event();
        match self.controller.events_since(self.logged) {
            Some(events) => events.for_each(log_event),
            None => tracing::warn!("more happened at once than the log has room for"),
        }
        self.logged = latest;
    }

    fn tell_reload(&mut self) {
        let Some(outcome) = self.controller.poll_reload() else {
            return;
        };
        let files = std::mem::take(&mut self.reloading);
        match outcome {
            Ok(done) => {
                let (generation, changes) = (done.generation, done.changes.len());
                tracing::info!(generation, changes, "the configuration files were applied");
                if done.changes.iter().any(|c| c.path.starts_with("daemon.")) {
                    tracing::warn!(
                        "[daemon] is read when the daemon starts: changes there wait until then"
                    );
                }
                self.config_files = files.paths;
            }
            Err(ApiError::InvalidConfig { errors }) => refuse_reload(&files.explain(errors)),
            Err(error) => refuse_reload(&match error.hint() {
                Some(hint) => format!("{error}; {hint}"),
                None => error.to_string(),
            }),
        }
    }

    /// Copies of the descriptors of a call: if others fail that are changed with it, its port is opened once
    /// more.
    fn handed_to(&self, call: Option<u64>) -> Vec<OwnedFd> {
        let all = call.and_then(|call| self.handed.get(&RequestId(call)));
        let copied: io::Result<Vec<OwnedFd>> =
            all.into_iter().flatten().map(OwnedFd::try_clone).collect();
        copied.unwrap_or_else(|error| {
            tracing::error!(%error, "the descriptors of a call cannot be copied");
            Vec::new()
        })
    }

    fn perform(&mut self, id: EffectId, effect: Effect, now: Instant) {
        match effect {
            Effect::AttachPort { index } => {
                let mut handles = self.opened.remove(&index).unwrap_or_default();
                if let Some(wire) = handles.wire.take() {
                    self.wires.attach(index, wire);
                }
                let mut engine = self.engine.borrow_mut();
                engine.attach(index, handles);
                let port = self.names.get(&index).map_or("?", String::as_str);
                let queues = engine.queues_of(index);
                tracing::debug!(port, ?queues, "receive queues of the port, by worker");
            }
            Effect::Publish(snapshot) => self.engine.borrow_mut().publish(&snapshot),
            Effect::Send { index, frames } => self.engine.borrow().send(index, frames),
            Effect::DetachPort { index } => {
                self.wires.detach(index);
                if !self.engine.borrow_mut().detach(index) {
                    self.detaching.insert(index, id);
                    return;
                }
            }
            Effect::CountVlans { index, vids } => {
                self.engine.borrow().count_vlans(index, vids.iter());
            }
            Effect::OpenPort { index, ref spec } => {
                let before = self.names.insert(index, spec.name.clone());
                if before.is_some_and(|before| before != spec.name) {
                    self.engine.borrow_mut().forget(index);
                }
                let handed = self.handed_to(spec.handed);
                return self.effects.post(Job::Do(id, effect, handed));
            }
            Effect::ClosePort { index, .. } => {
                // Opened, never attached: the handles go before the device.
                drop(self.opened.remove(&index));
                return self.effects.post(Job::Do(id, effect, Vec::new()));
            }
            Effect::SetDevice { .. } | Effect::RestoreDevice(_) | Effect::SaveState(_) => {
                return self.effects.post(Job::Do(id, effect, Vec::new()));
            }
        }
        self.controller
            .handle_effect_done(id, Ok(EffectOutput::Done), now);
    }
}

/// Thousandths as people read them.
fn percent(thousandths: u32) -> String {
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

fn log_event(event: &Event) {
    let (kind, message) = (event.kind.as_str(), event.message.as_str());
    match event.severity {
        Severity::Info => tracing::info!(kind, "{message}"),
        Severity::Warning => tracing::warn!(kind, "{message}"),
        // A configuration that was not taken over is told with its places.
        Severity::Error if kind == "config" => {}
        Severity::Error => tracing::error!(kind, "{message}"),
    }
}

fn refuse_reload(why: &str) {
    tracing::error!(
        "the configuration files were not applied, the running configuration stays:\n{why}"
    );
}
