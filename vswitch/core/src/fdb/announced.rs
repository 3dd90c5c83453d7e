//! When a station announced itself behind the port that it is behind.
//!
//! The time is the entry's: it goes when the entry moves, is replaced or leaves. Written for announcements
//! only, read for sources that would move to a bond; no other frame touches it.
//!
//! Orderings: a time is all there is to know, so relaxed loads and stores do. A frame comes back after it
//! was sent, and it is sent after its time is stored: the device is between the two.

use super::{Fdb, FdbKey, Hit};
use crate::sync::Ordering;

impl Fdb {
    /// Notes that a station announced itself, before the announcement leaves and after it was learned. From
    /// workers, for what came in by a port; from the control side, for what it sends on a station's behalf.
    pub fn note_announced(&self, key: FdbKey, now_s: u32) {
        if let Some((slot, _)) = self.table.find(key) {
            let stamp = now_s.saturating_add(1);
            self.table.announced(slot).store(stamp, Ordering::Relaxed);
        }
    }

    /// Whether it did so in the last `seconds`, up to one second more.
    #[must_use]
    pub fn announced_within(&self, hit: Hit, seconds: u32, now_s: u32) -> bool {
        let stamp = self.table.announced(hit.slot).load(Ordering::Relaxed);
        stamp != 0 && now_s.saturating_add(1).saturating_sub(stamp) <= seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fdb::{EntryKind, Source};
    use vswitch_base::{MacAddr, PortIndex};

    fn mac(number: u64) -> MacAddr {
        MacAddr::from_u64(0x0200_0000_0000 | number)
    }

    fn learn(fdb: &Fdb, number: u64, port: u16) {
        let source = Source {
            port: PortIndex(port),
            epoch: 0,
            mac_limit: u32::MAX,
        };
        fdb.learn(None, mac(number), source, 0, |_, _| true);
    }

    fn note(fdb: &Fdb, number: u64, at: u32) {
        fdb.note_announced(FdbKey::new(None, mac(number).word()), at);
    }

    fn within(fdb: &Fdb, number: u64, at: u32) -> bool {
        let hit = fdb.find(None, mac(number)).expect("an entry");
        fdb.announced_within(hit, 5, at)
    }

    /// N-04
    #[test]
    fn an_announcement_is_remembered_for_its_span() {
        let fdb = Fdb::new(16, 1);
        note(&fdb, 1, 0);
        learn(&fdb, 1, 1);
        assert!(!within(&fdb, 1, 0), "of nobody known");
        for at in [0, 100] {
            note(&fdb, 1, at);
            assert!(within(&fdb, 1, at) && within(&fdb, 1, at + 5));
            assert!(!within(&fdb, 1, at + 6));
        }
        // An older worker's time, taken before another's announcement.
        assert!(within(&fdb, 1, 99));
        learn(&fdb, 1, 1);
        assert!(within(&fdb, 1, 100), "still there");
        learn(&fdb, 1, 2);
        assert!(!within(&fdb, 1, 100), "of another port");
        note(&fdb, 1, 100);
        fdb.pin(None, mac(1), PortIndex(2), EntryKind::Static)
            .expect("room");
        assert!(!within(&fdb, 1, 100), "of an entry that was replaced");
    }

    /// A thousand that announce themselves at once, in a table full to its limit: nobody else is taken for
    /// one of them, and entries that are moved to make room keep their time.
    #[test]
    fn each_station_has_a_time_of_its_own() {
        let fdb = Fdb::new(2000, 1);
        for number in 0..2000 {
            learn(&fdb, number, 1);
            if number % 2 == 0 {
                note(&fdb, number, 7);
            }
        }
        let noted = (0..2000).filter(|number| within(&fdb, *number, 7));
        assert!(noted.eq((0..2000).step_by(2)));
    }
}
