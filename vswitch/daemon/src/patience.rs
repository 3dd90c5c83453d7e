//! Whether looking for more frames before sleeping pays.
//!
//! After the last frame a worker may look on for a while: a reply that comes within microseconds is then
//! not held up by waking from sleep. Where frames come at longer distances, looking finds nothing and
//! takes the core from those who make the frames. So a worker looks on only while that was worth it lately:
//! each pause says whether its end came within the time that looking would have lasted.
//!
//! Pure; time is a parameter.

use vswitch_base::Duration;

/// What a pause that looking would have bridged adds, and one that it would not have takes.
const GAIN: u8 = 2;
const LOSS: u8 = 1;
/// Full confidence: eight pauses in vain end it.
const SCORE_MAX: u8 = 8;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    spin: Duration,
    score: u8,
}

impl Patience {
    /// Looks on for up to `spin` after the last frame; confident at first.
    pub(crate) const fn new(spin: Duration) -> Self {
        Self {
            spin,
            score: SCORE_MAX,
        }
    }

    /// Frames came, `pause` after those before them. Only for pauses in which a look found nothing.
    pub(crate) fn note(&mut self, pause: Duration) {
        // Without looking, the pause has the time of waking in it: up to twice as long it may have been in
        // time.
        let limit = self.spin.as_nanos() * if self.score > 0 { 1 } else { 2 };
        let paid = pause.as_nanos() < limit;
        self.score = if paid {
            (self.score + GAIN).min(SCORE_MAX)
        } else {
            self.score.saturating_sub(LOSS)
        };
    }

    /// Whether to look once more, `since_last` after the last frame.
    pub(crate) fn looks_on(&self, since_last: Duration) -> bool {
        self.score > 0 && since_last < self.spin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPIN: Duration = Duration::from_nanos(20_000);

    fn micros(n: u64) -> Duration {
        Duration::from_nanos(n * 1_000)
    }

    #[test]
    fn looks_on_for_its_time_and_no_longer() {
        let patience = Patience::new(SPIN);
        assert!(patience.looks_on(micros(0)));
        assert!(patience.looks_on(micros(19)));
        assert!(!patience.looks_on(micros(20)));
    }

    #[test]
    fn gives_up_after_eight_pauses_in_vain_and_comes_back_after_one_that_paid() {
        let mut patience = Patience::new(SPIN);
        for _ in 0..8 {
            assert!(patience.looks_on(micros(1)));
            patience.note(micros(300));
        }
        assert!(!patience.looks_on(micros(1)));
        patience.note(micros(300));
        assert!(!patience.looks_on(micros(1)));
        patience.note(micros(25));
        assert!(patience.looks_on(micros(1)));
    }

    #[test]
    fn one_pause_in_vain_among_many_that_paid_changes_nothing() {
        let mut patience = Patience::new(SPIN);
        for n in 0..1_000 {
            patience.note(micros(if n % 3 == 0 { 5 } else { 100 }));
            assert!(patience.looks_on(micros(1)), "after {n}");
        }
    }

    #[test]
    fn without_a_time_to_look_it_never_does() {
        assert!(!Patience::new(Duration::from_nanos(0)).looks_on(micros(0)));
    }
}
