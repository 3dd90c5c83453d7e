//! Queues that change workers: order, loss, counts, and ports that leave meanwhile; workers by hand.

use super::*;
use crate::counters::PortTotals;
use crate::fdb::Fdb;
use crate::frame::FrameBatch;
use crate::mailbox::{Publisher, mailbox};
use crate::port::{ReadyFds, RxLosses};
use crate::snapshot::{BridgeSpec, PortView, SnapshotBuilder};
use crate::testing::{MemPort, frame, station};
use crate::verdict::DropReason;
use crate::worker::{Outbox, Worker, WorkerEvent};
use proptest::prelude::*;
use std::io;
use vswitch_base::{BridgeIndex, EtherType, Generation, Instant, MacAddr};

const FROM: PortIndex = PortIndex(1);
const TO: PortIndex = PortIndex(2);

/// Workers that are polled by hand, one port whose queues are wires of the test, one port to send to.
struct Rig {
    placement: Placement,
    workers: Vec<Worker>,
    outbox: Arc<Outbox>,
    wires: Vec<MemPort>,
    exit: MemPort,
    counters: [Vec<Arc<PortCounters>>; 2],
    now: Instant,
    collected: Collected,
}

impl Rig {
    fn new(workers: usize, queues: usize) -> Self {
        let wires: Vec<_> = (0..queues)
            .map(|_| MemPort::new(Default::default()))
            .collect();
        let rx = wires.iter().map(MemPort::rx).collect();
        Self::with(workers, wires, rx)
    }

    fn with(workers: usize, wires: Vec<MemPort>, rx: Vec<Box<dyn PortRx>>) -> Self {
        let outbox = Arc::<Outbox>::default();
        let (txs, rxs): (Vec<_>, Vec<_>) = (0..workers).map(|_| mailbox()).unzip();
        let mut publisher = Publisher::new(txs.clone());
        let mut rig = Self {
            placement: Placement::new(txs),
            workers: rxs
                .into_iter()
                .map(|rx| Worker::new(rx, Arc::clone(&outbox)))
                .collect(),
            outbox,
            wires,
            exit: MemPort::new(Default::default()),
            counters: [(); 2].map(|()| (0..workers).map(|_| Arc::default()).collect()),
            now: Instant::from_nanos(1_000_000_000),
            collected: Collected::default(),
        };
        let handles = |port: &MemPort| (0..workers).map(|_| port.tx()).collect::<Vec<_>>();
        let wire = MemPort::new(Default::default());
        rig.placement
            .attach(FROM, rx, handles(&wire), &rig.counters[0]);
        rig.placement
            .attach(TO, Vec::new(), handles(&rig.exit), &rig.counters[1]);
        let mut builder = SnapshotBuilder::new(Generation(1));
        for port in [FROM, TO] {
            let mut view = PortView::new(port);
            view.bridge = Some(BridgeIndex(0));
            builder.port(port, view);
        }
        let bridge = BridgeSpec {
            vlan_filtering: false,
            learning: true,
            mac: station(9),
            fdb: Arc::new(Fdb::new(16, 7)),
        };
        publisher.publish(&Arc::new(builder.bridge(BridgeIndex(0), bridge).build()));
        rig
    }

    /// Puts a frame that says its queue and number on a wire.
    fn put(&self, queue: usize, number: u32) {
        let mut bytes = frame(MacAddr::BROADCAST, station(1), &[], EtherType(0x88b5), 60);
        bytes[14] = u8::try_from(queue).expect("few queues");
        bytes[15..19].copy_from_slice(&number.to_be_bytes());
        self.wires[queue].put(bytes);
    }

    /// What left since the last call: queues and numbers.
    fn left(&self) -> Vec<(usize, u32)> {
        let frames = self.exit.take_all().into_iter();
        let told = frames.map(|f| {
            let number = f.bytes[15..19].try_into().expect("four bytes");
            (usize::from(f.bytes[14]), u32::from_be_bytes(number))
        });
        told.collect()
    }

    fn poll(&mut self, worker: usize) -> usize {
        self.now = self.now + Duration::from_micros(10);
        self.workers[worker].poll(self.now)
    }

    /// Lets every worker and the control side do what they have to, twice: a queue that moves arrives.
    fn settle(&mut self) {
        for _ in 0..2 {
            for worker in 0..self.workers.len() {
                while self.poll(worker) > 0 {}
            }
            self.collect();
        }
        for worker in 0..self.workers.len() {
            while self.poll(worker) > 0 {}
        }
    }

    fn collect(&mut self) {
        let Collected { complete, back } = self.placement.collect();
        self.collected.complete.extend(complete);
        self.collected.back.extend(back);
    }

    fn totals(&self) -> [PortTotals; 2] {
        [0, 1].map(|port: usize| {
            let mut sum = PortTotals::default();
            self.counters[port].iter().for_each(|c| c.add_to(&mut sum));
            sum
        })
    }

    fn assert_conserved(&self) {
        let [from, to] = self.totals();
        assert!(from.is_conserved() && to.is_conserved(), "{from:?} {to:?}");
        assert_eq!(from.copies_from, to.copies_to);
    }
}

const fn queue(number: u16) -> QueueId {
    QueueId { port: FROM, number }
}

#[test]
fn queues_go_to_the_workers_with_fewest() {
    for (workers, queues, expected) in [
        (1, 3, vec![3]),
        (2, 4, vec![2, 2]),
        (3, 4, vec![2, 1, 1]),
        (3, 2, vec![1, 1, 0]),
    ] {
        let mut rig = Rig::new(workers, queues);
        assert_eq!(rig.placement.queues_of(FROM), expected);
        assert_eq!(rig.placement.queues_of(TO), vec![0; workers]);
        rig.placement.detach(FROM);
        assert_eq!(rig.placement.queues_of(FROM), [0; 0]);
        assert_eq!(rig.placement.queues, vec![0; workers]);
    }
}

#[test]
fn what_cannot_be_moved_is_refused_and_nothing_happens() {
    let mut rig = Rig::new(2, 2);
    rig.settle();
    let nowhere = QueueId {
        port: PortIndex(9),
        number: 0,
    };
    for (what, id, to) in [
        ("no such port", nowhere, 1),
        ("no such queue", queue(2), 1),
        ("no such worker", queue(0), 2),
        ("it is there", queue(0), 0),
    ] {
        assert_eq!(rig.placement.move_queue(id, to), None, "{what}");
    }
    assert_eq!(rig.placement.move_queue(queue(0), 1), Some(0));
    assert_eq!(rig.placement.move_queue(queue(0), 0), None, "it is moving");
    assert_eq!(
        rig.placement.queues_of(FROM),
        [0, 2],
        "shown where it will be"
    );
    rig.settle();
    assert!(rig.collected.back.is_empty(), "it is with a worker");
    assert_eq!(rig.placement.move_queue(queue(0), 0), Some(1));
    rig.placement.detach(FROM);
    assert_eq!(
        rig.placement.move_queue(queue(1), 0),
        None,
        "the port is leaving"
    );
}

/// Steps of the random test.
#[derive(Clone, Copy, Debug)]
enum Step {
    Put(usize),
    Poll(usize),
    Collect,
    Move(usize, usize),
}

fn step(queues: usize, workers: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..queues).prop_map(Step::Put),
        4 => (0..workers).prop_map(Step::Poll),
        2 => Just(Step::Collect),
        1 => (0..queues, 0..workers).prop_map(|(queue, to)| Step::Move(queue, to)),
    ]
}

proptest! {
    /// Queues move at any moment between any workers: every frame leaves once, those of a queue in order.
    #[test]
    fn moves_reorder_and_lose_nothing(steps in prop::collection::vec(step(4, 3), 1..400)) {
        let mut rig = Rig::new(3, 4);
        let (mut put, mut seen) = ([0; 4], [0; 4]);
        let mut check = |rig: &Rig, put: &[u32; 4]| {
            for (queue, number) in rig.left() {
                assert_eq!(number, seen[queue], "of queue {queue}");
                assert!(number < put[queue]);
                seen[queue] += 1;
            }
            seen
        };
        for step in steps {
            match step {
                Step::Put(queue) => {
                    rig.put(queue, put[queue]);
                    put[queue] += 1;
                }
                Step::Poll(worker) => drop(rig.poll(worker)),
                Step::Collect => rig.collect(),
                Step::Move(number, to) => {
                    rig.placement.move_queue(queue(u16::try_from(number).expect("small")), to);
                }
            }
            check(&rig, &put);
        }
        rig.settle();
        prop_assert_eq!(check(&rig, &put), put);
        prop_assert_eq!(rig.totals()[0].frames_in, put.iter().map(|n| u64::from(*n)).sum::<u64>());
        rig.assert_conserved();
        prop_assert_eq!(rig.placement.queues.iter().sum::<usize>(), 4);
    }
}

#[test]
fn a_port_that_leaves_while_a_queue_is_on_its_way_leaves_whole() {
    for stage in 0..=3 {
        let mut rig = Rig::new(2, 3);
        rig.settle();
        assert_eq!(rig.placement.move_queue(queue(0), 1), Some(0));
        if stage >= 1 {
            rig.poll(0); // passed on,
        }
        if stage >= 2 {
            rig.poll(1); // adopted,
        }
        if stage >= 3 {
            rig.collect(); // and known to be.
        }
        assert!(!rig.placement.detach(FROM), "stage {stage}");
        assert!(!rig.placement.detach(FROM), "asked twice, stage {stage}");
        rig.settle();
        assert_eq!(rig.collected.complete, [FROM], "stage {stage}");
        let came: Vec<_> = rig.collected.back.iter().collect();
        let queues = came
            .iter()
            .filter(|r| matches!(r, Retired::Queue(_)))
            .count();
        assert_eq!((queues, came.len()), (3, 5), "stage {stage}");
        // Nobody polls what has left.
        rig.put(0, 0);
        rig.settle();
        assert_eq!(
            (rig.left(), rig.wires[0].is_idle()),
            (vec![], false),
            "stage {stage}"
        );
        // The index is free for another port, with nothing left of the old one.
        let wire = MemPort::new(Default::default());
        let tx = vec![wire.tx(), wire.tx()];
        rig.placement
            .attach(FROM, vec![rig.wires[0].rx()], tx, &rig.counters[0]);
        rig.settle();
        assert_eq!(rig.left(), [(0, 0)], "stage {stage}");
        assert_eq!(
            rig.placement.queues.iter().sum::<usize>(),
            1,
            "stage {stage}"
        );
    }
}

#[test]
fn a_port_without_queues_and_handles_leaves_at_once() {
    let mut rig = Rig::new(2, 1);
    let port = PortIndex(5);
    rig.placement.attach(port, Vec::new(), Vec::new(), &[]);
    assert!(rig.placement.detach(port));
    assert!(rig.placement.detach(port), "one that is not there");
    rig.settle();
    assert!(rig.collected.complete.is_empty() && rig.collected.back.is_empty());
}

#[test]
fn a_handle_that_another_replaces_comes_back_alone() {
    let mut rig = Rig::new(2, 1);
    rig.settle();
    let (wire, counters) = (MemPort::new(Default::default()), Arc::default());
    rig.placement.workers[0].post(WorkerCommand::SetTx {
        port: TO,
        tx: Some(wire.tx()),
        counters,
    });
    rig.settle();
    assert!(matches!(rig.collected.back[..], [Retired::Tx(TO, _)]));
    assert!(rig.collected.complete.is_empty());
}

#[test]
fn a_queue_that_failed_is_told_once_wherever_it_goes() {
    let mut rig = Rig::new(2, 1);
    rig.settle();
    rig.wires[0].fail(5);
    rig.settle();
    let event = WorkerEvent::QueueFailed {
        port: FROM,
        errno: 5,
    };
    assert_eq!(rig.outbox.take_event(), Some(event));
    rig.placement.move_queue(queue(0), 1);
    rig.put(0, 0);
    rig.settle();
    assert_eq!((rig.left(), rig.outbox.take_event()), (vec![], None));
}

/// A queue that lost frames and counts who let go of it.
#[derive(Debug)]
struct Lossy {
    losses: RxLosses,
    let_go: Arc<PortCounters>,
}

impl PortRx for Lossy {
    fn receive<'a>(&'a mut self, _: &mut FrameBatch<'a>) -> io::Result<()> {
        Ok(())
    }

    fn release(&mut self) {}

    fn hand_over(&mut self) {
        self.let_go.frames_out.add(1);
    }

    fn ready_fds(&self) -> ReadyFds {
        [None; 2]
    }

    fn take_losses(&mut self) -> RxLosses {
        std::mem::take(&mut self.losses)
    }
}

#[test]
fn what_a_queue_lost_is_counted_when_it_leaves_and_it_is_let_go_of() {
    let let_go = Arc::<PortCounters>::default();
    let lossy = Lossy {
        losses: RxLosses {
            ring_full: 7,
            truncated: 2,
        },
        let_go: Arc::clone(&let_go),
    };
    let mut rig = Rig::with(2, Vec::new(), vec![Box::new(lossy)]);
    rig.settle();
    rig.placement.move_queue(queue(0), 1);
    rig.settle();
    let lost = |rig: &Rig, reason: DropReason| rig.counters[0][0].dropped(reason).read();
    assert_eq!(lost(&rig, DropReason::RxRingFull), 7);
    assert_eq!(lost(&rig, DropReason::RxTruncated), 2);
    assert_eq!(let_go.frames_out.read(), 1);
    rig.placement.detach(FROM);
    rig.settle();
    assert_eq!(let_go.frames_out.read(), 2);
    rig.assert_conserved();
}

#[test]
fn the_time_of_breaths_is_measured_by_queue_wherever_it_is_served() {
    let mut rig = Rig::new(2, 3);
    rig.settle();
    let interval = Duration::from_micros(200);
    let shares = |rig: &mut Rig| -> Vec<_> {
        let measured = rig.placement.measure(interval);
        measured
            .iter()
            .map(|m| (m.worker, m.share, m.before))
            .collect()
    };
    assert_eq!(shares(&mut rig), [(0, 0, None), (1, 0, None), (0, 0, None)]);
    // Two breaths of 10 us: in the first, queue 0 has three frames and queue 2 has one.
    for (queue, number) in [(0, 0), (0, 1), (0, 2), (2, 0)] {
        rig.put(queue, number);
    }
    rig.poll(0);
    rig.put(0, 3);
    rig.poll(0);
    // Until the next call, whose breath is empty and charged to nobody.
    rig.poll(0);
    rig.now = rig.now + Duration::from_secs(3);
    rig.poll(0);
    let expected = [(0, 87, Some(0)), (1, 0, Some(0)), (0, 12, Some(0))];
    assert_eq!(shares(&mut rig), expected);
    rig.placement.move_queue(queue(0), 1);
    assert_eq!(shares(&mut rig)[0], (1, 0, None), "moving");
    rig.settle();
    for number in 0..4 {
        rig.put(0, number);
        rig.poll(1);
    }
    rig.poll(1);
    assert_eq!(shares(&mut rig)[0], (1, 200, Some(0)));
    // A machine that stood still did not work.
    rig.put(0, 4);
    rig.poll(1);
    rig.now = rig.now + Duration::from_secs(60);
    rig.poll(1);
    let measured = rig.placement.measure(Duration::from_secs(60));
    assert_eq!(measured[0].share, 16, "one second of sixty");
}
