//! Receive queues over workers on virtual time: busy workers are relieved, flows keep their order.
//!
//! A frame costs a worker ten microseconds here, so that a queue of 45,000 frames a second keeps a worker
//! busy for 45 % of the time.

use std::sync::Arc;
use vswitch_base::{BridgeIndex, Duration, EtherType, Generation, Instant, MacAddr, PortIndex};
use vswitch_core::balance::{self, Balancer, Move};
use vswitch_core::counters::{PortCounters, PortTotals};
use vswitch_core::fdb::Fdb;
use vswitch_core::mailbox::{Publisher, mailbox};
use vswitch_core::placement::Placement;
use vswitch_core::port::TxCaps;
use vswitch_core::snapshot::{BridgeSpec, PortView, SnapshotBuilder};
use vswitch_core::testing::{MemPort, frame, station};
use vswitch_core::worker::Worker;
use vswitch_tests::EXPERIMENTAL;
use vswitch_tests::rng::Rng;

const UPLINK: PortIndex = PortIndex(1);
const GUEST: PortIndex = PortIndex(2);
const FRAME_COST: Duration = Duration::from_micros(10);
/// What the simulation advances by.
const TICK: Duration = Duration::from_micros(500);
const INTERVAL: Duration = Duration::from_millis(20);

/// An uplink of several queues, a guest that everything goes to, and workers on clocks of their own.
struct Sim {
    placement: Placement,
    balancer: Balancer,
    workers: Vec<(Worker, Instant)>,
    /// Queues of the uplink: the wire, frames put on it, frames of it that the guest got.
    queues: Vec<(MemPort, u32, u32)>,
    guest: MemPort,
    counters: [Vec<Arc<PortCounters>>; 2],
    now: Instant,
    moves: Vec<Move>,
}

impl Sim {
    fn new(workers: usize, queues: usize) -> Self {
        let (txs, rxs): (Vec<_>, Vec<_>) = (0..workers).map(|_| mailbox()).unzip();
        let mut publisher = Publisher::new(txs.clone());
        let now = Instant::from_nanos(1_000_000_000);
        let new_port = || MemPort::new(TxCaps::ALL);
        let (uplink, guest) = (new_port(), new_port());
        let queues: Vec<_> = (0..queues).map(|_| (new_port(), 0, 0)).collect();
        let counters = [(); 2].map(|()| (0..workers).map(|_| Arc::default()).collect::<Vec<_>>());
        let mut placement = Placement::new(txs);
        let tx = |port: &MemPort| (0..workers).map(|_| port.tx()).collect();
        let rx = queues.iter().map(|(wire, ..)| wire.rx()).collect();
        placement.attach(UPLINK, rx, tx(&uplink), &counters[0]);
        placement.attach(GUEST, Vec::new(), tx(&guest), &counters[1]);
        let mut builder = SnapshotBuilder::new(Generation(1));
        for port in [UPLINK, GUEST] {
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
        let workers = rxs
            .into_iter()
            .map(|rx| (Worker::new(rx, Arc::default()), now));
        Self {
            placement,
            balancer: Balancer::new(INTERVAL, now),
            workers: workers.collect(),
            queues,
            guest,
            counters,
            now,
            moves: Vec::new(),
        }
    }

    /// One tick, in which each queue gets its percentage of the frames that keep a worker busy.
    fn tick(&mut self, percent: &[u32]) {
        self.now = self.now + TICK;
        let busy = u32::try_from(TICK.as_nanos() / FRAME_COST.as_nanos()).unwrap();
        for (number, ((wire, put, _), percent)) in self.queues.iter_mut().zip(percent).enumerate() {
            for _ in 0..busy * percent / 100 {
                wire.put(numbered(number, *put));
                *put += 1;
            }
        }
        for (worker, clock) in &mut self.workers {
            while *clock < self.now {
                match worker.poll(*clock) {
                    0 => *clock = self.now,
                    frames => {
                        let cost = FRAME_COST.as_nanos() * frames as u64;
                        *clock = *clock + Duration::from_nanos(cost);
                    }
                }
            }
        }
        self.placement.collect();
        self.check();
        if let Some(interval) = self.balancer.end_interval(self.now) {
            let measured = self.placement.measure(interval);
            if let Some(found) = balance::propose(&measured, self.workers.len()) {
                let from = self.placement.move_queue(found.queue, found.to);
                assert_eq!(from, Some(found.from), "{found:?}");
                self.moves.push(found);
            }
        }
    }

    /// That many intervals; the moves made in them.
    fn run(&mut self, intervals: u64, percent: &[u32]) -> Vec<Move> {
        for _ in 0..intervals * (INTERVAL.as_nanos() / TICK.as_nanos()) {
            self.tick(percent);
        }
        std::mem::take(&mut self.moves)
    }

    /// The frames of each queue arrive in order and none is left out.
    fn check(&mut self) {
        for came in self.guest.take_all() {
            let queue = usize::from(came.bytes[14]);
            let number = u32::from_be_bytes(came.bytes[15..19].try_into().unwrap());
            let (_, put, next) = &mut self.queues[queue];
            assert_eq!(number, *next, "of queue {queue}");
            *next += 1;
            assert!(*next <= *put);
        }
    }

    /// Frames that wait on the wires.
    fn waiting(&self) -> u32 {
        self.queues.iter().map(|(_, put, came)| put - came).sum()
    }

    /// No more frames come, all have arrived, and every one is accounted for.
    fn finish(mut self) {
        let nothing = vec![0; self.queues.len()];
        while self.waiting() > 0 {
            self.tick(&nothing);
        }
        let [uplink, guest] = [0, 1].map(|port: usize| {
            let mut sum = PortTotals::default();
            self.counters[port].iter().for_each(|c| c.add_to(&mut sum));
            assert!(sum.is_conserved(), "{sum:?}");
            sum
        });
        let put: u64 = self.queues.iter().map(|(_, put, _)| u64::from(*put)).sum();
        assert_eq!((uplink.frames_in, guest.frames_out), (put, put));
    }
}

fn numbered(queue: usize, number: u32) -> Vec<u8> {
    let mut bytes = frame(
        MacAddr::BROADCAST,
        station(1),
        &[],
        EtherType(EXPERIMENTAL.0),
        60,
    );
    bytes[14] = u8::try_from(queue).unwrap();
    bytes[15..19].copy_from_slice(&number.to_be_bytes());
    bytes
}

/// B-02, I-04: two busy queues that met at one worker are parted, once; frames that waited are caught up on.
#[test]
fn a_worker_with_two_busy_queues_gives_one_away() {
    let mut sim = Sim::new(2, 4);
    // Queues 0 and 2 are with worker 0: more than it can do.
    let load = [70, 0, 60, 0];
    assert_eq!(sim.run(1, &load), [], "one interval is not enough to tell");
    let waited = sim.waiting();
    assert!(waited > 300, "{waited}");
    let moves = sim.run(3, &load);
    assert_eq!(moves.len(), 1, "{moves:?}");
    assert_eq!((moves[0].from, moves[0].to), (0, 1));
    assert!(
        moves[0].from_load >= 950 && moves[0].to_load < 50,
        "{moves:?}"
    );
    assert_eq!(sim.run(100, &load), []);
    assert!(sim.waiting() < waited / 2, "{} of {waited}", sim.waiting());
    let mut counts = sim.placement.queues_of(UPLINK);
    counts.sort_unstable();
    assert_eq!(counts, [1, 3]);
    sim.finish();
}

/// B-02: where every worker keeps up, or none can be helped, queues stay where they are.
#[test]
fn queues_stay_where_a_move_would_not_help() {
    for load in [
        [35, 0, 35, 0],
        [45, 40, 45, 40],
        [100, 0, 10, 0],
        [0, 99, 0, 0],
    ] {
        let mut sim = Sim::new(2, 4);
        assert_eq!(sim.run(20, &load), [], "{load:?}");
        sim.finish();
    }
}

/// B-02: many queues of one worker spread over all, one in an interval, and come to rest.
#[test]
fn many_queues_spread_one_at_a_time() {
    let mut sim = Sim::new(3, 12);
    // Every third queue is worker 0's: 160 % of what it can do.
    let load: Vec<u32> = (0..12).map(|n| if n % 3 == 0 { 40 } else { 0 }).collect();
    let mut moves = 0;
    for _ in 0..10 {
        let made = sim.run(1, &load);
        assert!(made.len() <= 1, "{made:?}");
        moves += made.len();
    }
    assert!((2..=3).contains(&moves), "{moves}");
    assert_eq!(sim.run(50, &load), []);
    sim.finish();
}

/// B-02: whatever the loads do, no frame of a queue is lost or overtaken.
#[test]
fn loads_that_change_at_random_reorder_nothing() {
    let mut rng = Rng::from_env("balance");
    let mut sim = Sim::new(3, 8);
    let mut moves = 0;
    for _ in 0..60 {
        let load: Vec<u32> = (0..8).map(|_| rng.pick(&[0, 0, 10, 30, 60, 90])).collect();
        moves += sim.run(3, &load).len();
    }
    assert!(moves > 0, "nothing moved");
    sim.finish();
}
