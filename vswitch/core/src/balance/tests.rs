//! The policy by tables, and what must hold whatever the loads are.

use super::*;
use proptest::prelude::*;
use vswitch_base::PortIndex;

const fn id(number: u16) -> QueueId {
    let port = PortIndex(0);
    QueueId { port, number }
}

/// Queues with loads that were the same before: `(worker, share)`.
fn steady(queues: &[(usize, u16)]) -> Vec<Measured> {
    let numbered = (0..).zip(queues);
    numbered
        .map(|(number, (worker, share))| Measured {
            queue: id(number),
            worker: *worker,
            share: *share,
            before: Some(*share),
        })
        .collect()
}

/// Which queue goes where.
fn proposed(queues: &[Measured], workers: usize) -> Option<(u16, usize)> {
    propose(queues, workers).map(|m| (m.queue.number, m.to))
}

#[test]
fn a_queue_moves_where_that_relieves_a_busy_worker_enough() {
    for (what, queues, workers, expected) in [
        ("nothing to do", &[][..], 2, None),
        ("one worker", &[(0, 500), (0, 500)], 1, None),
        ("two halves", &[(0, 500), (0, 500)], 2, Some((0, 1))),
        ("not busy enough", &[(0, 390), (0, 400)], 2, None),
        ("just busy enough", &[(0, 400), (0, 400)], 2, Some((0, 1))),
        ("one queue cannot be cut", &[(0, 1_000)], 2, None),
        ("it would only change hands", &[(0, 950), (0, 10)], 2, None),
        (
            "the other is as busy",
            &[(0, 500), (0, 450), (1, 900)],
            2,
            None,
        ),
        ("gain of 24.9 %", &[(0, 751), (0, 249)], 2, None),
        ("gain of 25 %", &[(0, 750), (0, 250)], 2, Some((1, 1))),
        (
            "the least busy gets it",
            &[(0, 500), (0, 450), (1, 300), (2, 200)],
            3,
            Some((1, 2)),
        ),
        (
            "many small ones, one at a time",
            &[
                (0, 125),
                (0, 125),
                (0, 125),
                (0, 125),
                (0, 125),
                (0, 125),
                (0, 125),
                (0, 125),
            ],
            2,
            Some((0, 1)),
        ),
        (
            "the busiest cannot be helped, the next one can",
            &[(0, 1_000), (1, 480), (1, 480)],
            3,
            Some((1, 2)),
        ),
        ("idle queues stay", &[(0, 0), (0, 900), (0, 0)], 2, None),
    ] {
        assert_eq!(proposed(&steady(queues), workers), expected, "{what}");
    }
}

#[test]
fn a_move_tells_its_reason() {
    let queues = steady(&[(1, 530), (1, 440), (0, 100)]);
    let expected = Move {
        queue: id(1),
        from: 1,
        to: 0,
        share: 440,
        from_load: 970,
        to_load: 100,
    };
    assert_eq!(propose(&queues, 2), Some(expected));
}

#[test]
fn a_queue_stays_unless_the_interval_before_speaks_for_the_move_too() {
    let with = |before: [Option<u16>; 3]| {
        let mut queues = steady(&[(0, 500), (0, 500), (1, 0)]);
        for (queue, before) in queues.iter_mut().zip(before) {
            queue.before = before;
        }
        proposed(&queues, 2)
    };
    for (what, before, expected) in [
        (
            "the same then",
            [Some(500), Some(500), Some(0)],
            Some((0, 1)),
        ),
        ("less then", [Some(50), Some(50), Some(0)], Some((0, 1))),
        ("nothing then", [Some(0), Some(0), Some(0)], None),
        (
            "the other had more then",
            [Some(500), Some(500), Some(1_000)],
            None,
        ),
        ("not there then", [None, None, Some(0)], None),
        (
            "one of them was not there",
            [None, Some(500), Some(0)],
            None,
        ),
        (
            "only the second was there with company",
            [Some(0), Some(400), Some(390)],
            None,
        ),
    ] {
        assert_eq!(with(before), expected, "{what}");
    }
}

#[test]
fn a_load_that_comes_and_goes_does_not_drag_queues_to_and_fro() {
    // Queue 0 and queue 1 take turns, queue 2 is always there.
    let (mut workers, mut moves) = ([0, 1, 0], 0);
    for round in 0..100 {
        let shares = |round: usize| [[900, 0, 500], [0, 900, 500]][round % 2];
        let queues: Vec<_> = (0..3)
            .map(|n| Measured {
                queue: id(u16::try_from(n).expect("small")),
                worker: workers[n],
                share: shares(round)[n],
                before: Some(shares(round + 1)[n]),
            })
            .collect();
        if let Some(m) = propose(&queues, 2) {
            workers[usize::from(m.queue.number)] = m.to;
            moves += 1;
        }
    }
    assert!(moves <= 1, "{moves} moves");
}

#[test]
fn an_interval_ends_once_its_time_has_come() {
    let at = |ms| Instant::ZERO + Duration::from_millis(ms);
    let mut balancer = Balancer::new(Duration::from_secs(5), at(1_000));
    assert_eq!(balancer.due(), Some(at(6_000)));
    assert_eq!(balancer.end_interval(at(5_999)), None);
    assert_eq!(
        balancer.end_interval(at(6_500)),
        Some(Duration::from_millis(5_500))
    );
    assert_eq!(balancer.due(), Some(at(11_500)));
    let mut never = Balancer::new(Duration::ZERO, at(1_000));
    assert_eq!(never.due(), None);
    assert_eq!(never.end_interval(at(1_000_000)), None);
}

/// The greatest load of a worker.
fn peak(queues: &[Measured], workers: usize) -> u32 {
    let loads = sums(queues, workers, |q| q.share.into());
    loads.into_iter().max().unwrap_or(0)
}

fn queues() -> impl Strategy<Value = (usize, Vec<Measured>)> {
    (1_usize..6).prop_flat_map(|workers| {
        let share = prop_oneof![Just(0), 0_u16..60, 0_u16..=1_000];
        let before = prop::option::weighted(0.9, 0_u16..=1_000);
        let one = (0..workers, share, before);
        let many = prop::collection::vec(one, 0..24);
        (Just(workers), many).prop_map(|(workers, many)| {
            let numbered = (0..).zip(many);
            let measured = numbered.map(|(number, (worker, share, before))| Measured {
                queue: id(number),
                worker,
                share,
                before,
            });
            (workers, measured.collect())
        })
    })
}

proptest! {
    /// Whatever the loads: a move is of a queue that is there, from where it is to somebody else, relieves
    /// the giver, makes nobody as busy as the giver was, and adds nothing to the greatest load.
    #[test]
    fn no_move_makes_it_worse_by_the_estimate((workers, queues) in queues()) {
        let Some(m) = propose(&queues, workers) else { return Ok(()) };
        let at = queues.iter().position(|q| q.queue == m.queue).expect("a queue that is there");
        prop_assert!(m.from == queues[at].worker && m.to != m.from && m.to < workers);
        prop_assert!(m.from_load >= BUSY_MIN && queues[at].before.is_some());
        prop_assert!(m.to_load + m.share < m.from_load);
        let mut after = queues.clone();
        after[at].worker = m.to;
        prop_assert!(peak(&after, workers) <= peak(&queues, workers));
    }

    /// Loads that stay as they are lead to no more moves, and never back to an arrangement left behind.
    #[test]
    fn steady_loads_come_to_rest((workers, mut queues) in queues()) {
        for queue in &mut queues {
            queue.before = Some(queue.share);
        }
        let mut seen = std::collections::BTreeSet::new();
        loop {
            let arrangement: Vec<usize> = queues.iter().map(|q| q.worker).collect();
            prop_assert!(seen.insert(arrangement), "to and fro");
            prop_assert!(seen.len() <= 2 * queues.len() + 1, "too many moves");
            let Some(m) = propose(&queues, workers) else { break };
            let queue = queues.iter_mut().find(|q| q.queue == m.queue).expect("a queue");
            queue.worker = m.to;
        }
        // What is left could not be relieved by a quarter with one more queue given away.
        prop_assert!(propose(&queues, workers).is_none());
    }
}
