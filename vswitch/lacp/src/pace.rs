//! How often a port may send Markers of a kind: slow protocols send at most ten frames in any second (IEEE
//! 802.3, 57A.3), counted from the first of them.

use vswitch_base::{Duration, Instant};

/// Frames in one second.
pub const LIMIT: u8 = 10;

/// What left in the present second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    second: Option<Instant>,
    taken: u8,
}

impl Pace {
    /// Whether one more may leave; if so it is counted.
    pub fn take(&mut self, now: Instant) -> bool {
        let fresh = self
            .second
            .is_none_or(|began| now - began >= Duration::from_secs(1));
        if fresh {
            self.second = Some(now);
            self.taken = 0;
        }
        let may = self.taken < LIMIT;
        self.taken += u8::from(may);
        may
    }
}
