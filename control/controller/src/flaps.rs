//! Addresses that jump between ports: a loop, or two stations with one address (F-10).
//!
//! Moves of one (bridge, VLAN, address) are counted in a sliding window; more than [`MOVES_MAX`] in
//! [`WINDOW`] is a flap, told once and then not again for [`QUIET`]. Bounded: at most [`TRACKED_MAX`]
//! addresses are followed, the ones that moved first win until they are quiet.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use vswitch_base::{BridgeIndex, Duration, Instant, MacAddr, Vid};

/// Moves within the window that are still ordinary: a machine that migrates moves once.
pub const MOVES_MAX: usize = 5;
/// The window.
pub const WINDOW: Duration = Duration::from_secs(10);
/// How long a flap that was told is not told again.
pub const QUIET: Duration = Duration::from_secs(60);
/// Addresses followed at most.
pub const TRACKED_MAX: usize = 4096;

/// An address of a bridge.
pub type FlapKey = (BridgeIndex, Option<Vid>, MacAddr);

#[derive(Debug, Default)]
struct Recent {
    moves: VecDeque<Instant>,
    told: Option<Instant>,
}

impl Recent {
    fn is_quiet(&self, now: Instant) -> bool {
        let idle = |at: &Instant, span| now.saturating_since(*at) > span;
        self.moves.back().is_none_or(|at| idle(at, WINDOW))
            && self.told.as_ref().is_none_or(|at| idle(at, QUIET))
    }
}

/// The addresses that moved lately.
#[derive(Debug, Default)]
pub struct Flaps(BTreeMap<FlapKey, Recent>);

impl Flaps {
    /// Notes a move; the number of moves in the window when that is to be told now.
    pub fn note_move(&mut self, key: FlapKey, now: Instant) -> Option<usize> {
        if self.0.len() >= TRACKED_MAX && !self.0.contains_key(&key) {
            self.0.retain(|_, recent| !recent.is_quiet(now));
            if self.0.len() >= TRACKED_MAX {
                return None;
            }
        }
        let recent = self.0.entry(key).or_default();
        while recent
            .moves
            .front()
            .is_some_and(|at| now.saturating_since(*at) > WINDOW)
        {
            recent.moves.pop_front();
        }
        // More than the limit need not be remembered one by one.
        if recent.moves.len() > MOVES_MAX {
            recent.moves.pop_front();
        }
        recent.moves.push_back(now);
        let flaps = recent.moves.len() > MOVES_MAX;
        let told = recent
            .told
            .is_some_and(|at| now.saturating_since(at) <= QUIET);
        if flaps && !told {
            recent.told = Some(now);
            return Some(recent.moves.len());
        }
        None
    }

    /// Addresses that flapped within [`QUIET`].
    pub fn flapping(&self, now: Instant) -> impl Iterator<Item = &FlapKey> {
        let recently = move |at: Instant| now.saturating_since(at) <= QUIET;
        self.0
            .iter()
            .filter(move |(_, r)| r.told.is_some_and(recently))
            .map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(i: u32) -> FlapKey {
        let mac = MacAddr::from_u64(0x0200_0000_0000 | u64::from(i));
        (BridgeIndex(0), Some(Vid::MIN), mac)
    }

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    /// F-10
    #[test]
    fn the_sixth_move_in_ten_seconds_is_told_once() {
        let mut flaps = Flaps::default();
        for i in 0..5 {
            assert_eq!(flaps.note_move(key(1), at(i * 1_000)), None);
        }
        assert_eq!(flaps.note_move(key(1), at(5_000)), Some(6));
        for i in 0..60 {
            assert_eq!(
                flaps.note_move(key(1), at(6_000 + i * 1_000)),
                None,
                "told already"
            );
        }
        assert_eq!(flaps.flapping(at(56_000)).count(), 1);
        assert_eq!(
            flaps.note_move(key(1), at(66_000)),
            Some(6),
            "still flapping after a minute"
        );
    }

    #[test]
    fn slow_moves_are_no_flap() {
        let mut flaps = Flaps::default();
        for i in 0..100 {
            assert_eq!(flaps.note_move(key(1), at(i * 2_100)), None);
        }
    }

    #[test]
    fn followed_addresses_are_bounded_and_quiet_ones_make_room() {
        let mut flaps = Flaps::default();
        for i in 0..10_000 {
            flaps.note_move(key(i), at(0));
        }
        assert_eq!(flaps.0.len(), TRACKED_MAX);
        flaps.note_move(key(20_000), at(11_000));
        assert_eq!(flaps.0.len(), 1);
    }
}
