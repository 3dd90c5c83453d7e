//! A port that leaves while a queue of it moves, under a scheduler that tries the bad moments (shuttle, PCT).
//! That no two workers have a queue at once needs no schedule: it is a value that moves.
//!
//! Run by `scripts/schedule-tests.sh`, which also demands that it fails on the mutants named here.

use super::*;
use crate::mailbox::mailbox;
use crate::testing::MemPort;
use crate::worker::Worker;
use vswitch_base::Instant;

const RUNS: usize = 3_000;

/// A port leaves at any moment of a move of its queue: all of it comes back, and it is told once.
///
/// Kills the mutants `ask_at_once` and `say_before_giving`.
#[test]
fn schedule_a_port_that_leaves_during_a_move_comes_back_whole() {
    let body = || {
        let (txs, rxs): (Vec<_>, Vec<_>) = (0..2).map(|_| mailbox()).unzip();
        let mut placement = Placement::new(txs);
        let workers = rxs.into_iter().map(|rx| {
            shuttle::thread::spawn(move || {
                let mut worker = Worker::new(rx, Arc::default());
                while !worker.is_stopped() {
                    worker.poll(Instant::default());
                    shuttle::thread::yield_now();
                }
            })
        });
        let workers: Vec<_> = workers.collect();
        let (port, wire) = (PortIndex(1), MemPort::new(Default::default()));
        let (rx, tx) = (vec![wire.rx()], vec![wire.tx(), wire.tx()]);
        placement.attach(port, rx, tx, &[Arc::default(), Arc::default()]);
        placement.move_queue(QueueId { port, number: 0 }, 1);
        shuttle::thread::yield_now();
        placement.collect();
        placement.detach(port);
        let (mut complete, mut back) = (Vec::new(), 0);
        // Many more looks than it takes.
        for _ in 0..200 {
            shuttle::thread::yield_now();
            let collected = placement.collect();
            complete.extend(collected.complete);
            back += collected.back.len();
            if !complete.is_empty() {
                break;
            }
        }
        for worker in &placement.workers {
            worker.post(WorkerCommand::Stop);
        }
        for worker in workers {
            worker.join().unwrap();
        }
        // One queue and two handles.
        assert_eq!((complete, back), (vec![port], 3));
    };
    crate::sync::explore(body, RUNS);
}
