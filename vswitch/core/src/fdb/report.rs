//! What the table tells the control side: its changes, and its numbers.

use super::{Fdb, FdbKey, Hit};
use crate::sync::{AtomicU64, Ordering};
use vswitch_base::{MacAddr, PortIndex, Vid};

/// A change of the table, for those who watch it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FdbEvent {
    /// What happened.
    pub kind: FdbEventKind,
    /// The VLAN.
    pub vid: Option<Vid>,
    /// The address.
    pub mac: MacAddr,
    /// The port it is (or was) behind.
    pub port: PortIndex,
}

/// Kinds of [`FdbEvent`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FdbEventKind {
    /// Taken in.
    Learned,
    /// Came over from that port.
    Moved {
        /// The former port.
        from: PortIndex,
    },
    /// Not seen for the ageing time.
    Aged,
    /// Made room for another.
    Evicted,
    /// Forgotten with its port or by command.
    Flushed,
    /// Pinned, and a frame from it came in by a bond all the same: a loop. No change; told at most once a
    /// second.
    Reflected {
        /// The member of the bond.
        by: PortIndex,
    },
}

/// Numbers since the table was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FdbStats {
    /// Learned addresses in the table now, stale ones included.
    pub entries: u32,
    /// New addresses taken in.
    pub learned: u64,
    /// Addresses that changed port.
    pub moved: u64,
    /// Displaced by others because the table was full.
    pub evicted: u64,
    /// Expired.
    pub aged: u64,
    /// Not learned because another thread held the lock.
    pub busy: u64,
    /// Changes that found the event queue full.
    pub events_lost: u64,
}

impl Fdb {
    /// The oldest change that nobody has taken yet.
    pub fn take_event(&self) -> Option<FdbEvent> {
        self.events.pop()
    }

    /// Numbers so far.
    #[must_use]
    pub fn stats(&self) -> FdbStats {
        let read = |c: &AtomicU64| c.load(Ordering::Relaxed);
        FdbStats {
            entries: self.counts.entries.load(Ordering::Relaxed),
            learned: read(&self.counts.learned),
            moved: read(&self.counts.moved),
            evicted: read(&self.counts.evicted),
            aged: read(&self.counts.aged),
            busy: read(&self.writer.busy),
            events_lost: read(&self.counts.events_lost),
        }
    }

    /// Learned addresses of each port that has any, stale ones included.
    #[must_use]
    pub fn counts_by_port(&self) -> Vec<(PortIndex, u32)> {
        self.lock().counts().collect()
    }

    /// Tells that a frame from a pinned address came in by a member of a bond; more of them in the same
    /// second are not told.
    #[cold]
    pub fn note_reflected(&self, hit: Hit, key: FdbKey, by: PortIndex, now_s: u32) {
        let now = now_s.saturating_add(1);
        if self.counts.reflected_s.swap(now, Ordering::Relaxed) != now {
            self.tell(FdbEventKind::Reflected { by }, key, hit.port);
        }
    }

    pub(super) fn tell(&self, kind: FdbEventKind, key: FdbKey, port: PortIndex) {
        let event = FdbEvent {
            kind,
            vid: key.vid(),
            mac: key.mac(),
            port,
        };
        if self.events.push(event).is_err() {
            self.counts.events_lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
