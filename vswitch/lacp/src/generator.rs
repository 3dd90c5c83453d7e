//! The Marker generator (IEEE 802.1AX 6.5.3): asks the partner whether all that was sent before has arrived.
//!
//! Who moves a conversation to another link holds it, asks on the link that it leaves, and sends it by the other
//! when the answer is there: then no frame overtakes an earlier one (P-11, N-10). The standard lets a partner do
//! without a responder, so each port finds out first whether its partner answers, at a time when nobody waits:
//!
//! ```text
//!              an answer                 its third question in a row without one
//!   UNKNOWN ──────────────► ANSWERS          UNKNOWN ──────────────► SILENT
//!      ▲  a question without one │
//!      └─────────────────────────┘      another partner, or the link was away: UNKNOWN
//! ```

use crate::info::{ParticipantInfo, PortId, SystemId};
use crate::pace::Pace;
use vswitch_base::{Duration, Instant, Timer};

/// How long an answer may take.
pub const ANSWER_TIME: Duration = Duration::from_secs(1);

/// Questions in a row that stay without answer before nobody asks any more.
const PATIENCE: u8 = 3;

/// Whether the partner answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Answers {
    /// It has not been found out.
    #[default]
    Unknown,
    /// It does.
    Yes,
    /// It does not.
    No,
}

impl Answers {
    /// For operators.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Yes => "answers",
            Self::No => "silent",
        }
    }
}

/// The generator of one port.
#[derive(Clone, Debug, Default)]
pub struct Generator {
    answers: Answers,
    /// Of whom that is known.
    partner: Option<(SystemId, PortId)>,
    missed: u8,
    /// The latest question.
    transaction: u32,
    /// It waits to be sent.
    queued: bool,
    /// It waits for its answer.
    open: Timer,
    pace: Pace,
}

impl Generator {
    /// Follows the port: finds out whether the partner answers while the port sends to it. Whether anything
    /// changed.
    pub fn run(&mut self, sends: bool, partner: &ParticipantInfo, now: Instant) -> bool {
        let partner = sends.then_some((partner.system, partner.port));
        let another = partner != self.partner;
        if another {
            // Numbers go on: an answer to another partner's question is none to ours.
            let (transaction, pace) = (self.transaction, self.pace);
            *self = Self {
                partner,
                transaction,
                pace,
                ..Self::default()
            };
        }
        let expired = self.open.poll_expiration(now);
        if expired {
            self.queued = false;
            self.missed += 1;
            self.answers = if self.missed < PATIENCE {
                Answers::Unknown
            } else {
                Answers::No
            };
        }
        let idle = partner.is_some() && !self.is_open();
        let asked = idle && self.answers == Answers::Unknown && self.send(now);
        another || expired || asked
    }

    /// Asks now; an earlier question counts no more. `false`: the partner does not answer as far as is known,
    /// or too many questions left in this second.
    pub fn ask(&mut self, now: Instant) -> bool {
        self.answers == Answers::Yes && self.send(now)
    }

    fn send(&mut self, now: Instant) -> bool {
        if !self.pace.take(now) {
            return false;
        }
        self.transaction = self.transaction.wrapping_add(1);
        self.queued = true;
        self.open.set(now + ANSWER_TIME);
        true
    }

    /// The number of a question that is to be sent, once.
    pub const fn poll(&mut self) -> Option<u32> {
        if core::mem::replace(&mut self.queued, false) {
            Some(self.transaction)
        } else {
            None
        }
    }

    /// Takes an answer to one of this port's questions; whether it is to the open one.
    pub fn handle(&mut self, transaction: u32) -> bool {
        let awaited = self.is_open() && !self.queued && transaction == self.transaction;
        if awaited {
            self.open.cancel();
            self.missed = 0;
            self.answers = Answers::Yes;
        }
        awaited
    }

    /// Whether the partner answers.
    #[must_use]
    pub const fn answers(&self) -> Answers {
        self.answers
    }

    /// Whether a question has no answer yet.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open.deadline().is_some()
    }

    /// Whether a question waits to be sent.
    #[must_use]
    pub const fn pending(&self) -> bool {
        self.queued
    }

    /// When [`Self::run`] has to be called though nothing came.
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.open.deadline()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vswitch_base::MacAddr;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    fn partner(number: u16) -> ParticipantInfo {
        let mut info = ParticipantInfo::default();
        info.system.mac = MacAddr([2, 0, 0, 0, 0, 9]);
        info.port.number = number;
        info
    }

    /// A generator whose partner answered at `at(0)`.
    fn known() -> Generator {
        let mut generator = Generator::default();
        assert!(generator.run(true, &partner(1), at(0)));
        let asked = generator.poll().expect("a first question");
        assert!(generator.handle(asked));
        generator
    }

    /// P-11
    #[test]
    fn a_partner_that_answers_is_asked_when_it_matters() {
        let mut generator = known();
        assert_eq!(generator.answers(), Answers::Yes);
        assert!(!generator.run(true, &partner(1), at(60_000)), "not again");
        assert!(generator.ask(at(60_000)));
        let (first, again) = (generator.poll(), generator.poll());
        assert!(generator.ask(at(60_001)));
        let second = generator.poll().expect("another question");
        assert_eq!((first, again), (Some(second - 1), None));
        assert!(!generator.handle(second - 1), "asked again since");
        assert!(generator.handle(second));
        assert!(!generator.handle(second), "once");
        assert!(!generator.is_open());
    }

    /// P-11: after three questions nobody waits for a partner without a responder.
    #[test]
    fn a_silent_partner_is_not_asked_for_ever() {
        let mut generator = Generator::default();
        let mut sent = 0;
        for ms in (0..10_000).step_by(100) {
            generator.run(true, &partner(1), at(ms));
            sent += u8::from(generator.poll().is_some());
        }
        assert_eq!((sent, generator.answers()), (PATIENCE, Answers::No));
        assert!(!generator.ask(at(10_000)));
        assert_eq!(generator.deadline(), None);
        assert!(generator.run(true, &partner(2), at(10_000)), "another one");
        assert_eq!(generator.answers(), Answers::Unknown);
        assert!(generator.poll().is_some());
    }

    /// P-11: one lost answer is not silence.
    #[test]
    fn a_lost_answer_is_asked_for_again() {
        let mut generator = known();
        assert!(generator.ask(at(1_000)));
        assert!(generator.poll().is_some());
        assert!(generator.run(true, &partner(1), at(2_000)));
        assert_eq!(generator.answers(), Answers::Unknown);
        let again = generator.poll().expect("a question");
        assert!(generator.handle(again));
        assert_eq!(generator.answers(), Answers::Yes);
    }

    #[test]
    fn no_more_than_ten_questions_a_second() {
        let mut generator = known();
        let asked = (0..30).filter(|_| generator.ask(at(0))).count();
        assert_eq!(asked, 9, "and one to find out");
        assert!(generator.ask(at(1_000)));
    }

    #[test]
    fn nobody_is_asked_where_nothing_is_sent() {
        let mut generator = known();
        assert!(generator.ask(at(1)));
        assert!(generator.run(false, &partner(1), at(2)));
        assert_eq!((generator.poll(), generator.is_open()), (None, false));
        assert_eq!(generator.answers(), Answers::Unknown);
        assert!(!generator.run(false, &partner(1), at(5_000)));
    }
}
