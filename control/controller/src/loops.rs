//! Loops that the data path noticed: a pinned address came in by a bond (N-02). Told once, then not again
//! for [`QUIET`], for each member of a bond and VLAN.
//!
//! Bounded: at most [`TOLD_MAX`] are remembered. Beyond that nothing is told until some are old: whoever
//! could bring that many about must not be able to fill the log.

use std::collections::BTreeMap;
use vswitch_base::{BridgeIndex, Duration, Instant, PortIndex, Vid};

/// How long a loop that was told is not told again.
pub const QUIET: Duration = Duration::from_secs(60);
/// Loops remembered at most.
pub const TOLD_MAX: usize = 256;

/// Where a loop comes in: the bridge, the member of its bond, the VLAN.
pub type LoopKey = (BridgeIndex, PortIndex, Option<Vid>);

/// The loops that were told lately, and when.
#[derive(Debug, Default)]
pub struct Loops(BTreeMap<LoopKey, Instant>);

impl Loops {
    /// Notes that a loop was noticed; whether that is to be told now.
    pub fn note(&mut self, key: LoopKey, now: Instant) -> bool {
        self.0
            .retain(|_, told| now.saturating_since(*told) <= QUIET);
        let news = !self.0.contains_key(&key) && self.0.len() < TOLD_MAX;
        if news {
            self.0.insert(key, now);
        }
        news
    }

    /// Loops that were told within [`QUIET`].
    pub fn lately(&self, now: Instant) -> impl Iterator<Item = &LoopKey> {
        let told = self.0.iter();
        told.filter(move |(_, at)| now.saturating_since(**at) <= QUIET)
            .map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u16) -> LoopKey {
        (BridgeIndex(0), PortIndex(number), Some(Vid::MIN))
    }

    /// N-02
    #[test]
    fn a_loop_is_told_once_in_a_while() {
        let mut loops = Loops::default();
        let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
        assert!(loops.note(key(1), at(0)));
        assert!(!loops.note(key(1), at(60)));
        assert!(loops.note(key(2), at(60)), "another member");
        assert!(loops.note(key(1), at(61)), "still there a minute later");
        assert_eq!(loops.lately(at(61)).count(), 2);
        assert_eq!(loops.lately(at(121)).count(), 1);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut loops = Loops::default();
        let told = (0..1000).filter(|number| loops.note(key(*number), Instant::ZERO));
        assert_eq!(told.count(), TOLD_MAX);
    }
}
