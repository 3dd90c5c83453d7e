//! The table of copies under a scheduler that tries the bad moments (shuttle, PCT). Run by
//! `scripts/schedule-tests.sh`, which also demands that they fail on the mutants named here.

use super::*;
use crate::sync::Arc;

const RUNS: usize = 5_000;
const NOW: Moment = Moment(7);

/// Two workers have the copies of the same frames, in different order, all in one bucket: each frame is let in
/// once, the one that was sent twice twice.
///
/// Kills the mutant `store_over_whatever_is_there`.
#[test]
fn schedule_of_two_copies_one_is_let_in() {
    const FRAMES: [[u64; 4]; 2] = [[1, 2, 2, 3], [2, 3, 1, 2]];
    let body = || {
        let copies = Arc::new(Copies::with_buckets(1));
        let members: Vec<_> = [0, 1]
            .into_iter()
            .map(|member: usize| {
                let copies = Arc::clone(&copies);
                shuttle::thread::spawn(move || {
                    let lets_in =
                        |print: &u64| copies.lets_in(print << PRINT_SHIFT, 1 << member, 3, NOW);
                    FRAMES[member].into_iter().filter(lets_in).collect()
                })
            })
            .collect();
        let let_in = members
            .into_iter()
            .map(|member| -> Vec<u64> { member.join().unwrap() });
        let mut let_in: Vec<u64> = let_in.flatten().collect();
        let_in.sort_unstable();
        assert_eq!(let_in, [1, 2, 2, 3]);
    };
    crate::sync::explore(body, RUNS);
}
