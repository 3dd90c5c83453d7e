//! The bucket under a scheduler that tries the bad moments (shuttle, PCT). Run by
//! `scripts/schedule-tests.sh`, which also demands that they fail on the mutants named here.

use super::*;
use vswitch_base::Duration;

const RUNS: usize = 5_000;

/// Two workers ask at one moment and at the next: what passes is the burst and what one span has earned.
///
/// Kills the mutant `earn_twice`.
#[test]
fn schedule_a_span_is_earned_once() {
    let body = || {
        let limit = Limit {
            rate: 8_000,
            burst: 16_000,
        };
        let bucket = Arc::new(Bucket::default());
        let begin = Instant::ZERO + Duration::from_secs(10);
        assert!(bucket.take(2_000, limit, begin));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let bucket = Arc::clone(&bucket);
                shuttle::thread::spawn(move || {
                    let later = begin + Duration::from_secs(1);
                    (0..2).filter(|_| bucket.take(500, limit, later)).count()
                })
            })
            .collect();
        let passed = workers.into_iter().map(|worker| worker.join().unwrap());
        // Who asks before the other has put the bits in gets none, and leaves them.
        let passed: usize = passed.sum();
        let left = (0..4).filter(|_| bucket.take(500, limit, begin));
        assert_eq!(
            passed + left.count(),
            2,
            "a second of the rate is 1,000 bytes"
        );
    };
    crate::sync::explore(body, RUNS);
}
