//! ns per empty look at a mailbox, which every batch pays, and per published snapshot.

use std::hint::black_box;
use std::sync::Arc;
use vswitch_base::{Generation, Instant};
use vswitch_benches::measure;
use vswitch_core::mailbox::{Publisher, mailbox};
use vswitch_core::snapshot::SnapshotBuilder;
use vswitch_core::worker::{Outbox, Worker};

fn main() {
    let (tx, rx) = mailbox();
    measure("empty look", 1, true, || {
        black_box(rx.take());
    });
    let mut worker = Worker::new(rx, Arc::<Outbox>::default());
    let mut publisher = Publisher::new(vec![tx]);
    let now = Instant::from_nanos(1);
    let mut generation = Generation(0);
    measure("publish, adopt, collect", 1, false, || {
        generation = generation.next();
        publisher.publish(&Arc::new(SnapshotBuilder::new(generation).build()));
        worker.poll(now);
        assert_eq!(publisher.collect(), generation);
    });
}
