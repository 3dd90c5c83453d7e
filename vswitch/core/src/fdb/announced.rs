//! Which addresses announced themselves lately, on this side of a bond that may send frames back.
//!
//! A time for each of [`PLACES`] numbers; an address has the one that its key hashes to. Two addresses that
//! share a number share its time: with `n` stations that announced themselves within the span asked for,
//! another address is taken for one of them with probability `n / 1024`, and its move to the bond waits that
//! span. The other mistake is not made.
//!
//! Orderings: a time is all there is to know of a number, so relaxed loads and stores do. A frame comes
//! back after it was sent, and it is sent after its time is stored: the device is between the two.

use super::{Fdb, FdbKey};
use std::sync::atomic::{AtomicU32, Ordering};

const PLACES_LOG: u32 = 10;
const PLACES: usize = 1 << PLACES_LOG;

/// By number, the second after the announcement; 0 for never.
#[derive(Debug)]
pub(super) struct Announced(Box<[AtomicU32]>);

impl Default for Announced {
    fn default() -> Self {
        Self((0..PLACES).map(|_| AtomicU32::new(0)).collect())
    }
}

impl Announced {
    /// Memory that it takes.
    pub(super) const BYTES: usize = PLACES * size_of::<AtomicU32>();

    fn place(&self, key: FdbKey) -> &AtomicU32 {
        // The golden ratio spreads neighbouring addresses; the upper bits depend on all of the key.
        let spread = key.0.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let number = usize::try_from(spread >> (u64::BITS - PLACES_LOG)).unwrap_or(0);
        &self.0[number % PLACES]
    }
}

impl Fdb {
    /// Notes that the station announced itself, before the announcement leaves. From workers, for what
    /// came in by a port; from the control side, for what it sends on a station's behalf.
    pub fn note_announced(&self, key: FdbKey, now_s: u32) {
        let stamp = now_s.saturating_add(1);
        self.announced.place(key).store(stamp, Ordering::Relaxed);
    }

    /// Whether it did so in the last `seconds`, up to one second more.
    #[must_use]
    pub fn announced_within(&self, key: FdbKey, seconds: u32, now_s: u32) -> bool {
        let stamp = self.announced.place(key).load(Ordering::Relaxed);
        stamp != 0 && now_s.saturating_add(1).saturating_sub(stamp) <= seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vswitch_base::MacAddr;

    fn key(number: u64) -> FdbKey {
        let mac = MacAddr::from_u64(0x0200_0000_0000 | number);
        FdbKey::new(None, mac.word())
    }

    /// N-04
    #[test]
    fn an_announcement_is_remembered_for_its_span() {
        let fdb = Fdb::new(16, 1);
        assert!(!fdb.announced_within(key(1), 5, 0), "never, at second 0");
        for at in [0, 100] {
            fdb.note_announced(key(1), at);
            assert!(fdb.announced_within(key(1), 5, at));
            assert!(fdb.announced_within(key(1), 5, at + 5));
            assert!(!fdb.announced_within(key(1), 5, at + 6));
        }
        // An older worker's time, taken before another's announcement.
        assert!(fdb.announced_within(key(1), 5, 99));
    }

    /// What the module says of addresses that share a number.
    #[test]
    fn others_are_seldom_taken_for_it() {
        let fdb = Fdb::new(16, 1);
        (0..100).for_each(|number| fdb.note_announced(key(number), 7));
        let others = 100..10_100;
        let wrong = others.filter(|number| fdb.announced_within(key(*number), 5, 7));
        let wrong = wrong.count();
        assert!((300..1_700).contains(&wrong), "{wrong} of 10,000");
    }
}
