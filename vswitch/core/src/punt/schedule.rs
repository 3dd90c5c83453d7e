//! The queue for the control side under a scheduler that tries the bad moments (shuttle, PCT). Run by
//! `scripts/schedule-tests.sh`, which also demands that they fail on the mutants named here.

use super::*;
use crate::sync::Arc;

const RUNS: usize = 5_000;

/// Two workers offer three frames each to a queue of two while the control side takes. A worker counts
/// a frame as punted or as dropped by what `offer` said, so these must agree with what arrives: each
/// frame that had room once, no other, and those of one worker in their order.
///
/// Kills the mutants `trust_the_first_look`, `overwrite_the_oldest` and `newest_first`.
#[test]
fn schedule_what_had_room_arrives_once_and_in_order() {
    let body = || {
        let queue = Arc::new(PuntQueue(Bounded::new(2)));
        let workers: Vec<_> = (0..2u16)
            .map(|port| {
                let queue = Arc::clone(&queue);
                shuttle::thread::spawn(move || {
                    let offer = |number: &u8| {
                        queue.offer(
                            PortIndex(port),
                            PuntReason::SlowProtocol,
                            Instant::default(),
                            &[*number],
                        )
                    };
                    (0..3).filter(offer).collect::<Vec<u8>>()
                })
            })
            .collect();
        let mut arrived = [Vec::new(), Vec::new()];
        let mut take = || {
            while let Some(punt) = queue.take() {
                arrived[punt.port.index()].push(punt.bytes[0]);
            }
        };
        take();
        take();
        let had_room: Vec<Vec<u8>> = workers.into_iter().map(|w| w.join().unwrap()).collect();
        take();
        assert!(queue.is_empty());
        assert_eq!(arrived[..], had_room[..]);
    };
    crate::sync::explore(body, RUNS);
}
