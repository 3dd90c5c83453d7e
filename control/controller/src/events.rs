//! What happened, in order: a bounded log that watchers read from.
//!
//! Sequence numbers ascend by one without gaps; the log keeps the last [`EVENTS_KEPT`], so that a
//! watcher that comes back can ask for what it missed.

use crate::wall::WallClock;
use serde_json::Value;
use std::collections::VecDeque;
use vswitch_api::types::{Event, Severity};
use vswitch_base::Instant;

/// Events kept for watchers that come late.
pub const EVENTS_KEPT: usize = 1024;

/// The log.
#[derive(Debug)]
pub struct EventLog {
    wall: WallClock,
    next: u64,
    kept: VecDeque<Event>,
}

/// An event before it has a number.
#[derive(Clone, Debug)]
pub struct Note<'a> {
    /// Stable name.
    pub kind: &'static str,
    /// The object, such as `port.vm1`.
    pub object: &'a str,
    /// How grave.
    pub severity: Severity,
    /// For people.
    pub message: String,
    /// More, by kind.
    pub detail: Option<Value>,
}

impl EventLog {
    /// An empty log; the first event has number 1.
    #[must_use]
    pub const fn new(wall: WallClock) -> Self {
        Self {
            wall,
            next: 1,
            kept: VecDeque::new(),
        }
    }

    /// Numbers an event and keeps it.
    pub fn add(&mut self, note: Note<'_>, now: Instant) -> Event {
        let event = Event {
            sequence: self.next,
            time: self.wall.rfc3339(now),
            kind: note.kind.to_owned(),
            object: note.object.to_owned(),
            severity: note.severity,
            message: note.message,
            detail: note.detail,
        };
        self.next += 1;
        if self.kept.len() == EVENTS_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(event.clone());
        event
    }

    /// The number of the latest event; 0 when there was none.
    #[must_use]
    pub const fn latest(&self) -> u64 {
        self.next - 1
    }

    /// Events after number `sequence`; `None` when some of them are no longer kept, or the number is not
    /// from this log: of a daemon before this one.
    pub fn since(&self, sequence: u64) -> Option<impl Iterator<Item = &Event>> {
        let before_oldest = self.latest() - self.kept.len() as u64;
        (before_oldest..=self.latest())
            .contains(&sequence)
            .then(|| self.kept.iter().filter(move |e| e.sequence > sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(i: usize) -> Note<'static> {
        let message = format!("{i}");
        Note {
            kind: "config",
            object: "config",
            severity: Severity::Info,
            message,
            detail: None,
        }
    }

    #[test]
    fn the_log_is_bounded_and_says_what_it_lost() {
        let mut log = EventLog::new(WallClock::default());
        assert_eq!((log.latest(), log.since(0).unwrap().count()), (0, 0));
        for i in 0..EVENTS_KEPT + 10 {
            assert_eq!(log.add(note(i), Instant::ZERO).sequence, i as u64 + 1);
        }
        assert!(log.since(9).is_none(), "number 10 is gone");
        assert_eq!(log.since(10).unwrap().count(), EVENTS_KEPT);
        assert_eq!(log.since(log.latest()).unwrap().count(), 0);
        for not_ours in [log.latest() + 1, u64::MAX] {
            assert!(log.since(not_ours).is_none(), "{not_ours}");
        }
    }
}
