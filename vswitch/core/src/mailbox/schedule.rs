//! Real workers and a publisher under a scheduler that tries the bad moments (shuttle, PCT). Run by
//! `scripts/schedule-tests.sh`, which also demands that they fail on the mutants named here.

use super::*;
use crate::snapshot::{BridgeSpec, PortView, SnapshotBuilder};
use crate::testing::{MemPort, frame, station};
use crate::worker::Worker;
use std::sync::Weak;
use vswitch_base::{BridgeIndex, EtherType, Instant, MacAddr};

const RUNS: usize = 3_000;

/// Configurations 1 to `count`, held by nobody but who publishes them, and the means to look whether
/// somebody still holds one.
fn configurations(count: u64) -> (Vec<Arc<Snapshot>>, Vec<Weak<Snapshot>>) {
    let all: Vec<_> = (1..=count)
        .map(|n| Arc::new(SnapshotBuilder::new(Generation(n)).build()))
        .collect();
    let watched = all.iter().map(Arc::downgrade).collect();
    (all, watched)
}

/// A worker in a thread of its own, for a few breaths; it looks about after each.
fn run(rx: MailboxRx, mut after_each: impl FnMut() + Send + 'static) -> impl FnOnce() -> Worker {
    let thread = shuttle::thread::spawn(move || {
        let mut worker = Worker::new(rx, Arc::default());
        for _ in 0..3 {
            worker.poll(Instant::default());
            after_each();
            shuttle::thread::yield_now();
        }
        worker
    });
    move || thread.join().unwrap()
}

/// What `collect` reports as passed by all is held by no worker: who waits for a generation may free
/// what came before.
///
/// Kills the mutant `announce_first`.
#[test]
fn schedule_what_all_have_passed_is_held_by_none() {
    let body = || {
        let (configurations, watched) = configurations(2);
        let (tx, rx) = mailbox();
        let mut publisher = Publisher::new(vec![tx]);
        let worker = run(rx, || {});
        for configuration in configurations {
            publisher.publish(&configuration);
        }
        for _ in 0..3 {
            let passed = publisher.collect();
            for (number, snapshot) in (1..).zip(&watched) {
                let held = snapshot.strong_count() > 0;
                assert_eq!(held, Generation(number) >= passed, "{number} of {passed:?}");
            }
            shuttle::thread::yield_now();
        }
        worker();
    };
    crate::sync::explore(body, RUNS);
}

/// The publisher holds every configuration that some worker uses, so none is ever freed by a worker.
///
/// Kills the mutants `free_at_the_first_to_pass` and `free_in_use`.
#[test]
fn schedule_what_a_worker_uses_the_publisher_keeps() {
    let body = || {
        let (configurations, watched) = configurations(2);
        let ends: Vec<_> = (0..2).map(|_| mailbox()).collect();
        let mut publisher = Publisher::new(ends.iter().map(|(tx, _)| tx.clone()).collect());
        let workers: Vec<_> = ends
            .into_iter()
            .map(|(tx, rx)| {
                let watched = watched.clone();
                run(rx, move || {
                    // What this worker announced is what it uses: nobody else announces for it.
                    if let Some(used) = usize::try_from(tx.observed().0).unwrap().checked_sub(1) {
                        assert!(
                            watched[used].strong_count() > 1,
                            "the worker's own is the last"
                        );
                    }
                })
            })
            .collect();
        for configuration in configurations {
            publisher.publish(&configuration);
            drop(configuration);
            publisher.collect();
        }
        publisher.collect();
        for worker in workers {
            worker();
        }
    };
    crate::sync::explore(body, RUNS);
}

/// A port comes and goes while frames are flooded to it: no frame is decided by a configuration that
/// names the port while the worker has no way to send on it, and its handle comes back in the end.
///
/// Kills the mutant `newest_first`.
#[test]
fn schedule_a_port_is_named_only_while_it_can_be_sent_on() {
    let copies_made = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let copies_seen = Arc::clone(&copies_made);
    let body = move || {
        let (tx, rx) = mailbox();
        let mut publisher = Publisher::new(vec![tx.clone()]);
        let ports = [1, 2].map(|n| (PortIndex(n), MemPort::new(Default::default())));
        let counters = [1, 2].map(|_| Arc::<PortCounters>::default());
        let (from, to) = (&ports[0], &ports[1]);
        let fdb = Arc::new(crate::fdb::Fdb::new(1, 7));
        let configuration = |generation, named: &[PortIndex]| {
            let mut builder = SnapshotBuilder::new(Generation(generation));
            for port in named {
                let mut view = PortView::new(*port);
                view.bridge = Some(BridgeIndex(0));
                builder.port(*port, view);
            }
            let spec = BridgeSpec {
                vlan_filtering: false,
                learning: true,
                mac: station(9),
                fdb: Arc::clone(&fdb),
            };
            Arc::new(builder.bridge(BridgeIndex(0), spec).build())
        };
        let wire = from.1.clone();
        let broadcast = frame(MacAddr::BROADCAST, station(1), &[], EtherType(0x88b5), 60);
        wire.put(broadcast.clone());
        let worker = run(rx, move || wire.put(broadcast.clone()));
        for ((port, wire), counters) in ports.iter().zip(&counters) {
            tx.post(WorkerCommand::SetTx {
                port: *port,
                tx: Some(wire.tx()),
                counters: Arc::clone(counters),
            });
        }
        let (port, number) = (from.0, 0);
        let queue = RxQueue::new(QueueId { port, number }, from.1.rx());
        tx.post(WorkerCommand::AddQueue(queue));
        publisher.publish(&configuration(1, &[from.0, to.0]));
        publisher.publish(&configuration(2, &[from.0]));
        tx.post(WorkerCommand::RemoveTx { port: to.0 });
        let mut worker = worker();
        worker.poll(Instant::default());
        assert_eq!(publisher.collect(), Generation(2));
        assert!(matches!(tx.take_retired(), Some(Retired::Tx(port, _)) if port == to.0));
        assert!(tx.take_retired().is_none());
        // Copies made for the port are copies sent by it: none missed its handle.
        let copies = counters[0].copies_from.read();
        assert_eq!(copies, counters[1].frames_out.read());
        copies_made.fetch_add(copies, Ordering::Relaxed);
    };
    crate::sync::explore(body, RUNS);
    assert!(
        copies_seen.load(Ordering::Relaxed) > 0,
        "no schedule sent to the port"
    );
}
