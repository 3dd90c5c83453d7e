//! The carriers of bonds' members, asked for in each `miimon`, because the kernel may be a second late
//! with the news that one is lost ([`CarrierProbe`] says when).
//!
//! A thread of its own asks: the kernel's device lock may be held for long. [`Rounds`] says when, and which
//! answers count; it is pure, and its time must be one that no test stops, for the kernel's does not.

use crossbeam::channel::{Receiver, Sender, unbounded};
use hashbrown::HashSet;
use std::io;
use vswitch_base::{Duration, Instant};
use vswitch_io::CarrierProbe;

/// Devices by number, and whether each has a carrier. Those that are gone are not among them.
type Answer = Vec<(u32, bool)>;

/// When to ask, and which answers are not older than what the kernel told by itself.
#[derive(Debug, Default)]
struct Rounds {
    /// When the last began; `None` until there was one.
    begun: Option<Instant>,
    /// An answer is under way.
    asked: bool,
    /// Devices that the kernel told of since it was asked.
    told: HashSet<u32>,
}

impl Rounds {
    /// When to ask, if there is to be that long from one round to the next; `None` while an answer is under way.
    fn due(&self, round: Duration, now: Instant) -> Option<Instant> {
        (!self.asked).then(|| self.begun.map_or(now, |begun| begun + round))
    }

    fn begin(&mut self, now: Instant) {
        self.told.clear();
        self.asked = true;
        self.begun = Some(now);
    }

    fn note(&mut self, ifindex: u32) {
        self.told.insert(ifindex);
    }

    /// What of an answer counts. What the kernel told since may be younger; the next round tells.
    fn end(&mut self, mut answer: Answer) -> Answer {
        self.asked = false;
        answer.retain(|(ifindex, _)| !self.told.contains(ifindex));
        answer
    }
}

/// The control thread's end.
#[derive(Debug)]
pub(crate) struct Carriers {
    rounds: Rounds,
    asks: Sender<Vec<u32>>,
    answers: Receiver<Answer>,
}

impl Carriers {
    /// Starts the thread, which ends with this. `wake` is called after each answer.
    ///
    /// # Errors
    /// When the thread cannot be started, or the kernel has no netlink sockets for us.
    pub(crate) fn start(wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (asks, inbox) = unbounded::<Vec<u32>>();
        let (outbox, answers) = unbounded();
        let mut probe = CarrierProbe::open()?;
        std::thread::Builder::new()
            .name("carriers".to_owned())
            .spawn(move || {
                let mut failing = false;
                while let Ok(devices) = inbox.recv() {
                    if outbox
                        .send(ask(&mut probe, &devices, &mut failing))
                        .is_err()
                    {
                        return;
                    }
                    wake();
                }
            })?;
        Ok(Self {
            rounds: Rounds::default(),
            asks,
            answers,
        })
    }

    /// When to ask; `None` while an answer is under way, which will wake us.
    #[must_use]
    pub(crate) fn due(&self, round: Duration, now: Instant) -> Option<Instant> {
        self.rounds.due(round, now)
    }

    /// Asks for these devices' carriers, which may be none, when it is time.
    pub(crate) fn ask(
        &mut self,
        devices: impl FnOnce() -> Vec<u32>,
        round: Duration,
        now: Instant,
    ) {
        if self.rounds.due(round, now).is_none_or(|at| at > now) {
            return;
        }
        let devices = devices();
        self.rounds.begin(now);
        if self.asks.send(devices).is_err() {
            tracing::error!("the carriers thread has ended");
        }
    }

    /// Whether an answer waits to be taken.
    #[must_use]
    pub(crate) fn has_answered(&self) -> bool {
        !self.answers.is_empty()
    }

    /// The kernel told of this device by itself.
    pub(crate) fn note_told(&mut self, ifindex: u32) {
        self.rounds.note(ifindex);
    }

    /// The answer, as far as it counts. Take the kernel's own news first.
    pub(crate) fn take_answer(&mut self) -> Answer {
        match self.answers.try_recv() {
            Ok(answer) => self.rounds.end(answer),
            Err(_) => Answer::new(),
        }
    }
}

/// `failing` is whether the last look failed: it is told once.
fn ask(probe: &mut CarrierProbe, devices: &[u32], failing: &mut bool) -> Answer {
    let mut answer = Answer::with_capacity(devices.len());
    let mut failed = false;
    for &ifindex in devices {
        match probe.carrier(ifindex) {
            Ok(Some(carrier)) => answer.push((ifindex, carrier)),
            Ok(None) => {} // gone, which is told by itself
            Err(error) => {
                failed = true;
                if !*failing {
                    tracing::warn!(%error, ifindex, "cannot ask for a carrier");
                }
            }
        }
    }
    *failing = failed;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_round_at_a_time_and_what_was_told_meanwhile_is_left_out() {
        let start = Instant::from_nanos(1_000_000_000);
        let mut rounds = Rounds::default();
        let [short, long] = [100, 500].map(Duration::from_millis);
        assert_eq!(rounds.due(short, start), Some(start));
        rounds.note(7); // before it was asked: older than any answer
        rounds.begin(start);
        assert_eq!(
            rounds.due(short, start),
            None,
            "while an answer is under way"
        );
        rounds.note(8);
        let counts = rounds.end(vec![(7, false), (8, true), (9, true)]);
        assert_eq!(counts, [(7, false), (9, true)]);
        assert_eq!(rounds.due(long, start), Some(start + long));
        assert_eq!(rounds.due(short, start), Some(start + short), "changed");
        rounds.begin(start + short);
        assert_eq!(
            rounds.end(vec![(8, true)]),
            [(8, true)],
            "the next round tells"
        );
    }
}
