//! A forwarding thread: wait, breathe, wait.
//!
//! [`run`] calls [`Worker::poll`] for as long as frames come, keeps looking for a while after the last one
//! where that pays (`patience.rs`), then sleeps in epoll until a queue is readable or a
//! command wakes it. A queue that is busy all the time is taken off the epoll set until then: the kernel
//! would notify the set of every frame, at the sender's cost. It is the only caller of its worker, reads the clock once a breath, and touches the
//! control thread only through queues and one wake-up when there is something for it.

use crate::clock::Clock;
use crate::loop_stats::LoopStats;
use crate::patience::Patience;
use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;
use vswitch_api::config::PollMode;
use vswitch_core::worker::{Outbox, Worker};
use vswitch_io::Poller;

/// How long a thread sleeps at most: receive losses are collected that often.
const NAP: Duration = Duration::from_secs(1);

/// How a thread waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// Adaptive, busy or sleep.
    pub mode: PollMode,
    /// Adaptive: how long to look for more before sleeping.
    pub spin: Duration,
}

/// Wakes the control thread when a worker has something for it.
pub(crate) trait WakeControl: Send {
    /// Wakes it; calls that come before it looks may count as one.
    fn wake(&self);
}

/// Runs until the worker is told to stop.
///
/// # Errors
/// When waiting itself fails: without it the thread would spin for ever.
pub(crate) fn run(
    mut worker: Worker,
    mut poller: Poller,
    clock: &Clock,
    waiting: Waiting,
    stats: &LoopStats,
    outbox: &Arc<Outbox>,
    control: &dyn WakeControl,
) -> io::Result<()> {
    let begun = clock.now();
    let spin = vswitch_base::Duration::from_nanos(
        u64::try_from(waiting.spin.as_nanos()).unwrap_or(u64::MAX),
    );
    let (mut last_frame, mut last_losses) = (begun, begun);
    // The breath before, if it found frames: when it began, how many.
    let mut lively = None;
    let mut patience = Patience::new(spin);
    let mut paused = false;
    let mut watched = Vec::new();
    // Of those, the hot ones that the poller does not watch now.
    let mut unwatched = Vec::new();
    loop {
        let now = clock.now();
        if let Some((began, frames)) = lively.take() {
            stats.note(began, now - began, frames);
        }
        stats.begin();
        let frames = worker.poll(now);
        if worker.is_stopped() {
            return Ok(());
        }
        if worker.take_queues_changed() {
            worker.rest();
            unwatched.clear();
            watch(&poller, &mut watched, worker.ready_fds());
            unwatched.reserve(watched.len());
        }
        if worker.take_progressed() || !outbox.is_empty() {
            control.wake();
        }
        if now.saturating_since(last_losses) >= vswitch_base::Duration::from_secs(1) {
            last_losses = now;
            worker.collect_losses();
        }
        if frames > 0 {
            if paused {
                patience.note(now.saturating_since(last_frame));
                paused = false;
            }
            last_frame = now;
            lively = Some((now, frames));
            for fd in worker.take_hot() {
                if poller.remove_raw(fd).is_ok() {
                    unwatched.push(fd);
                }
            }
            continue;
        }
        paused = true;
        let sleep = match waiting.mode {
            PollMode::Busy => false,
            PollMode::Sleep => true,
            // A clock that stands never reaches the end of looking.
            PollMode::Adaptive => {
                clock.is_stopped() || !patience.looks_on(now.saturating_since(last_frame))
            }
        };
        if sleep {
            worker.rest();
            // Readiness is a level: a frame that came meanwhile ends the wait at once.
            for fd in unwatched.drain(..) {
                add_to(&poller, fd);
            }
            stats.set_asleep(true);
            let waited = poller.wait(Some(NAP), |_| {});
            // Also of a thread that ends here: the watchdog is to find it.
            stats.set_asleep(false);
            waited?;
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Waits on these descriptors from now on and on no others. One that cannot be watched is polled at
/// every breath all the same, and at every nap's end.
fn watch(poller: &Poller, watched: &mut Vec<RawFd>, fds: impl Iterator<Item = RawFd>) {
    for fd in watched.drain(..) {
        if let Err(error) = poller.remove_raw(fd) {
            tracing::warn!(fd, %error, "cannot stop waiting on a queue");
        }
    }
    watched.extend(fds);
    for fd in watched {
        add_to(poller, *fd);
    }
}

fn add_to(poller: &Poller, fd: RawFd) {
    if let Err(error) = poller.add_raw(fd, 0) {
        tracing::warn!(fd, %error, "cannot wait on a queue: it is looked at once a second");
    }
}
