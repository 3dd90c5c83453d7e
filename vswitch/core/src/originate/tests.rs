//! Frames of the switch itself through a worker.

use crate::counters::{PortCounters, PortTotals};
use crate::mailbox::{Retired, WorkerCommand, mailbox};
use crate::port::TxCaps;
use crate::testing::MemPort;
use crate::verdict::DropReason;
use crate::worker::{Outbox, Worker};
use std::sync::Arc;
use vswitch_base::{Instant, PortIndex};

const PORT: PortIndex = PortIndex(3);

fn frame(number: u8, len: usize) -> Box<[u8]> {
    let mut frame = vec![number; len];
    if len > 13 {
        frame[12..14].copy_from_slice(&[0x88, 0x09]);
    }
    frame.into()
}

/// What becomes of frames that a port is asked to send: those that it sent, and its numbers.
fn send(wire: &MemPort, frames: Vec<Box<[u8]>>) -> (Vec<Vec<u8>>, PortTotals) {
    let (mail, inbox) = mailbox();
    let mut worker = Worker::new(inbox, Arc::<Outbox>::default());
    let counters = Arc::<PortCounters>::default();
    mail.post(WorkerCommand::SetTx {
        port: PORT,
        tx: Some(wire.tx()),
        counters: Arc::clone(&counters),
    });
    let sent: Box<[Box<[u8]>]> = frames.into();
    mail.post(WorkerCommand::Send {
        port: PORT,
        frames: sent.clone(),
    });
    worker.poll(Instant::ZERO);
    let Some(Retired::Sent(back)) = mail.take_retired() else {
        panic!("the memory comes back");
    };
    assert_eq!(back, sent);
    let mut totals = PortTotals::default();
    counters.add_to(&mut totals);
    assert!(totals.is_conserved(), "{totals:?}");
    let taken = wire.take_all().into_iter().map(|frame| frame.bytes);
    (taken.collect(), totals)
}

#[test]
fn frames_leave_whole_and_in_order_however_many() {
    let wire = MemPort::new(TxCaps::NONE);
    let frames: Vec<_> = (0..=200).map(|n| frame(n, 60 + usize::from(n))).collect();
    let (taken, totals) = send(&wire, frames.clone());
    assert_eq!(taken, frames.iter().map(|f| f.to_vec()).collect::<Vec<_>>());
    assert_eq!((totals.originated, totals.frames_out), (201, 201));
    let bytes: usize = frames.iter().map(|frame| frame.len()).sum();
    assert_eq!(totals.bytes_out, bytes as u64);
}

#[test]
fn what_does_not_leave_is_counted() {
    let wire = MemPort::new(TxCaps::ALL);
    wire.limit_room(2);
    let frames = vec![frame(1, 60), frame(2, 5), frame(3, 60), frame(4, 60)];
    let (taken, totals) = send(&wire, frames);
    assert_eq!(taken.len(), 2);
    assert_eq!(totals.originated, 4);
    assert_eq!(totals.drops[DropReason::TxFull.index()], 1);
    assert_eq!(totals.drops[DropReason::TxError.index()], 1, "no frame");
}

#[test]
fn a_port_that_has_left_sends_nothing_and_the_memory_comes_back() {
    let (mail, inbox) = mailbox();
    let mut worker = Worker::new(inbox, Arc::<Outbox>::default());
    mail.post(WorkerCommand::Send {
        port: PORT,
        frames: vec![frame(1, 60)].into(),
    });
    worker.poll(Instant::ZERO);
    assert!(matches!(mail.take_retired(), Some(Retired::Sent(frames)) if frames.len() == 1));
}
