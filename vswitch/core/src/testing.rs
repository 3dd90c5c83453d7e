//! In-memory ports, frames and switches for tests and benches (feature `testing`).
//!
//! A [`MemPort`] is a port whose wire is the test: what the test puts on it is received, what the switch
//! sends is taken off it. [`MemSwitch`] is one worker over such ports, driven by hand.

pub mod announcements;
pub mod packets;

use crate::bond::{Admits, Loads, Transmit};
use crate::counters::{PortCounters, PortTotals};
use crate::fdb::Fdb;
use crate::frame::{Frame, FrameBatch, TxList, VnetHdr};
use crate::mailbox::{MailboxTx, Publisher, WorkerCommand, mailbox};
use crate::port::{PortRx, PortTx, ReadyFds, TxCaps, TxReport};
use crate::queue::{QueueId, RxQueue};
use crate::snapshot::{BridgeSpec, PortView, Snapshot, SnapshotBuilder};
use crate::worker::{Outbox, Worker};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vswitch_base::{
    BridgeIndex, EtherType, Generation, Instant, MacAddr, PortIndex, Tag, Tci, Tpid, Vid,
};

/// A frame on the wire of a [`MemPort`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MemFrame {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// A tag handed over beside them (to the switch only).
    pub stripped: Option<Tag>,
    /// Work left to do.
    pub offload: VnetHdr,
}

impl From<Vec<u8>> for MemFrame {
    fn from(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            ..Self::default()
        }
    }
}

#[derive(Debug, Default)]
struct Wire {
    to_switch: VecDeque<MemFrame>,
    from_switch: VecDeque<MemFrame>,
    /// A worker has frames of the port in its hands.
    lent: bool,
    room: usize,
    failing: Option<i32>,
    /// Frames to be cut are refused, whatever the capabilities say.
    refuses_to_cut: bool,
    learned: Vec<u8>,
}

/// The test's end of an in-memory port.
#[derive(Clone, Debug)]
pub struct MemPort {
    wire: Arc<Mutex<Wire>>,
    caps: TxCaps,
}

impl MemPort {
    /// A port whose device takes what `caps` says, with room for 65,536 frames that nobody took.
    #[must_use]
    pub fn new(caps: TxCaps) -> Self {
        let wire = Wire {
            room: 65_536,
            ..Wire::default()
        };
        Self {
            wire: Arc::new(Mutex::new(wire)),
            caps,
        }
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame on the wire towards the switch.
    pub fn put(&self, frame: impl Into<MemFrame>) {
        self.wire().to_switch.push_back(frame.into());
    }

    /// Takes the oldest frame that the switch sent.
    #[must_use]
    pub fn take(&self) -> Option<MemFrame> {
        self.wire().from_switch.pop_front()
    }

    /// Takes all frames that the switch sent.
    #[must_use]
    pub fn take_all(&self) -> Vec<MemFrame> {
        self.wire().from_switch.drain(..).collect()
    }

    /// Whether the switch is done with every frame that was put on the wire.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let wire = self.wire();
        wire.to_switch.is_empty() && !wire.lent
    }

    /// From now on the device holds `frames` that nobody took; more are refused as full.
    pub fn limit_room(&self, frames: usize) {
        self.wire().room = frames;
    }

    /// From now on the device refuses frames that stand for segments, though its capabilities name them.
    pub fn refuse_to_cut(&self) {
        self.wire().refuses_to_cut = true;
    }

    /// The segmentation types that the switch told the device to have refused, in order.
    #[must_use]
    pub fn learned(&self) -> Vec<u8> {
        self.wire().learned.clone()
    }

    /// The next receive fails with that `errno`.
    pub fn fail(&self, errno: i32) {
        self.wire().failing = Some(errno);
    }

    /// A receive queue.
    #[must_use]
    pub fn rx(&self) -> Box<dyn PortRx> {
        Box::new(MemRx {
            port: self.clone(),
            lent: Vec::new(),
        })
    }

    /// A transmit handle.
    #[must_use]
    pub fn tx(&self) -> Box<dyn PortTx> {
        Box::new(MemTx { port: self.clone() })
    }
}

#[derive(Debug)]
struct MemRx {
    port: MemPort,
    lent: Vec<MemFrame>,
}

impl PortRx for MemRx {
    fn receive<'a>(&'a mut self, batch: &mut FrameBatch<'a>) -> io::Result<()> {
        let mut wire = self
            .port
            .wire
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(errno) = wire.failing.take() {
            return Err(io::Error::from_raw_os_error(errno));
        }
        let count = wire.to_switch.len().min(batch.remaining_capacity());
        self.lent.clear();
        self.lent.extend(wire.to_switch.drain(..count));
        wire.lent = count > 0;
        batch.extend(self.lent.iter().map(|f| Frame {
            bytes: &f.bytes,
            stripped: f.stripped,
            offload: f.offload,
        }));
        Ok(())
    }

    fn release(&mut self) {
        if !self.lent.is_empty() {
            self.lent.clear();
            self.port.wire().lent = false;
        }
    }

    fn ready_fds(&self) -> ReadyFds {
        [None; 2]
    }
}

#[derive(Debug)]
struct MemTx {
    port: MemPort,
}

impl PortTx for MemTx {
    fn send(&mut self, frames: TxList<'_>) -> TxReport {
        let mut wire = self.port.wire();
        let mut report = TxReport::default();
        for frame in frames.iter() {
            if wire.refuses_to_cut && frame.offload.is_gso() {
                report.uncut = true;
                break;
            }
            if wire.from_switch.len() >= wire.room {
                report.full += 1;
                continue;
            }
            let bytes = [frame.header.as_slice(), frame.rest].concat();
            wire.from_switch.push_back(MemFrame {
                bytes,
                stripped: None,
                offload: frame.offload,
            });
            report.sent += 1;
        }
        report
    }

    fn caps(&self) -> TxCaps {
        self.port.caps
    }

    fn learn_uncut(&mut self, gso_kind: u8) {
        self.port.wire().learned.push(gso_kind);
    }
}

/// A VLAN of that number.
///
/// # Panics
/// When there is no such VLAN.
#[must_use]
pub fn vid(number: u16) -> Vid {
    Vid::new(number).expect("a VLAN of a test")
}

/// A locally administered station address.
#[must_use]
pub const fn station(number: u32) -> MacAddr {
    MacAddr::from_u64(0x0200_0000_0000 | number as u64)
}

/// A frame of `len` bytes without FCS (at least 14): addresses, tags in order, EtherType, zeros.
#[must_use]
pub fn frame(
    dst: MacAddr,
    src: MacAddr,
    tags: &[Tag],
    ether_type: EtherType,
    len: usize,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    bytes.extend_from_slice(&dst.0);
    bytes.extend_from_slice(&src.0);
    for tag in tags {
        bytes.extend_from_slice(&tag.tpid.ether_type().to_be_bytes());
        bytes.extend_from_slice(&tag.tci.0.to_be_bytes());
    }
    bytes.extend_from_slice(&ether_type.0.to_be_bytes());
    bytes.resize(bytes.len().max(len), 0);
    bytes
}

/// A customer tag with that control information.
#[must_use]
pub const fn dot1q(tci: u16) -> Tag {
    Tag {
        tpid: Tpid::Dot1q,
        tci: Tci(tci),
    }
}

impl PortView {
    /// A port of `bridge`, untagged in `pvid` and in no other VLAN.
    #[must_use]
    pub fn access(index: PortIndex, bridge: BridgeIndex, pvid: Vid) -> Self {
        let mut view = Self::new(index);
        view.bridge = Some(bridge);
        view.pvid = Some(pvid);
        view.vlans.insert(pvid);
        view.untagged.insert(pvid);
        view
    }

    /// A port of `bridge`, tagged in all of `vids`, without PVID.
    #[must_use]
    pub fn trunk(index: PortIndex, bridge: BridgeIndex, vids: &[Vid]) -> Self {
        let mut view = Self::new(index);
        view.bridge = Some(bridge);
        view.vlans = vids.iter().copied().collect();
        view
    }
}

/// One worker over in-memory ports and one or more bridges; every change is published at once.
#[derive(Debug)]
pub struct MemSwitch {
    /// The worker.
    pub worker: Worker,
    /// Punts and events.
    pub outbox: Arc<Outbox>,
    /// The clock.
    pub now: Instant,
    publisher: Publisher,
    snapshot: Arc<Snapshot>,
    views: BTreeMap<PortIndex, PortView>,
    bridges: BTreeMap<BridgeIndex, BridgeSpec>,
    bonds: BTreeMap<PortIndex, Transmit>,
    loads: BTreeMap<PortIndex, Arc<Loads>>,
    ports: BTreeMap<PortIndex, (MemPort, Arc<PortCounters>)>,
    put: BTreeMap<PortIndex, u64>,
    /// Numbers of ports whose index another took over: their copies still count.
    replaced: Vec<Arc<PortCounters>>,
}

impl Default for MemSwitch {
    fn default() -> Self {
        Self::new()
    }
}

impl MemSwitch {
    /// A switch with one VLAN-filtering bridge, number 0, and no ports.
    #[must_use]
    pub fn new() -> Self {
        let (tx, rx) = mailbox();
        let outbox = Arc::<Outbox>::default();
        let mut switch = Self {
            worker: Worker::new(rx, Arc::clone(&outbox)),
            outbox,
            now: Instant::from_nanos(1_000_000_000),
            publisher: Publisher::new(vec![tx]),
            snapshot: Arc::default(),
            views: BTreeMap::new(),
            bridges: BTreeMap::new(),
            bonds: BTreeMap::new(),
            loads: BTreeMap::new(),
            ports: BTreeMap::new(),
            put: BTreeMap::new(),
            replaced: Vec::new(),
        };
        switch.bridge(0, |_| {});
        switch
    }

    /// Adds a bridge, or changes one.
    pub fn bridge(&mut self, number: u16, change: impl FnOnce(&mut BridgeSpec)) {
        let spec = self
            .bridges
            .entry(BridgeIndex(number))
            .or_insert_with(|| BridgeSpec {
                vlan_filtering: true,
                learning: true,
                mac: station(0xb0_0000 + u32::from(number)),
                fdb: Arc::new(Fdb::new(65_536, 7)),
            });
        change(spec);
        self.publish();
    }

    /// Adds a port with a wire that takes everything.
    pub fn add(&mut self, number: u16, view: PortView) -> MemPort {
        self.add_with(number, view, TxCaps::ALL)
    }

    /// Adds a port whose device takes what `caps` says.
    pub fn add_with(&mut self, number: u16, view: PortView, caps: TxCaps) -> MemPort {
        let (index, wire) = (PortIndex(number), MemPort::new(caps));
        let counters = Arc::<PortCounters>::default();
        let former = self
            .ports
            .insert(index, (wire.clone(), Arc::clone(&counters)));
        self.replaced.extend(former.map(|(_, counters)| counters));
        self.put.remove(&index);
        self.views.insert(index, view);
        self.mailbox().post(WorkerCommand::SetTx {
            port: index,
            tx: Some(wire.tx()),
            counters,
        });
        let id = QueueId {
            port: index,
            number: 0,
        };
        self.mailbox()
            .post(WorkerCommand::AddQueue(RxQueue::new(id, wire.rx())));
        self.publish();
        wire
    }

    /// Adds a bond, which has no wire, or changes how it sends.
    pub fn bond(&mut self, number: u16, view: PortView, transmit: Transmit) {
        self.views.insert(PortIndex(number), view);
        self.bonds.insert(PortIndex(number), transmit);
        self.publish();
    }

    /// Has what a bond sends counted there from its next change on.
    pub fn measure(&mut self, number: u16, loads: &Arc<Loads>) {
        self.loads.insert(PortIndex(number), Arc::clone(loads));
    }

    /// Adds a member of a bond.
    pub fn add_member(&mut self, number: u16, bond: u16, admits: Admits) -> MemPort {
        let mut view = PortView::new(PortIndex(number));
        view.logical = PortIndex(bond);
        view.admits = admits;
        self.add(number, view)
    }

    /// Changes a port.
    ///
    /// # Panics
    /// When there is none of that number.
    pub fn change(&mut self, number: u16, change: impl FnOnce(&mut PortView)) {
        change(
            self.views
                .get_mut(&PortIndex(number))
                .expect("a port of the test"),
        );
        self.publish();
    }

    /// Takes a port away, in the order that a controller keeps.
    pub fn remove(&mut self, number: u16) {
        let index = PortIndex(number);
        self.views.remove(&index);
        self.publish();
        self.mailbox()
            .post(WorkerCommand::RemoveQueues { port: index });
        self.mailbox().post(WorkerCommand::RemoveTx { port: index });
        self.worker.poll(self.now);
    }

    fn publish(&mut self) {
        let mut builder = SnapshotBuilder::new(self.snapshot.generation.next());
        for (index, view) in &self.views {
            builder.port(*index, view.clone());
        }
        for (index, transmit) in &self.bonds {
            builder.bond(*index, transmit.clone());
        }
        for (index, loads) in &self.loads {
            builder.measure(*index, Arc::clone(loads));
        }
        for (index, spec) in &self.bridges {
            builder.bridge(*index, spec.clone());
        }
        self.snapshot = Arc::new(builder.build());
        self.publisher.publish(&self.snapshot);
        self.worker.poll(self.now);
        assert_eq!(
            self.publisher.collect(),
            self.snapshot.generation,
            "the worker follows"
        );
    }

    /// The worker's mailbox.
    #[must_use]
    pub fn mailbox(&self) -> &MailboxTx {
        &self.publisher.workers()[0]
    }

    /// The configuration in use.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The number of the configuration in use.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.snapshot.generation
    }

    /// A bridge's table.
    ///
    /// # Panics
    /// When there is no such bridge.
    #[must_use]
    pub fn fdb(&self, number: u16) -> &Arc<Fdb> {
        &self.bridges[&BridgeIndex(number)].fdb
    }

    /// The wire of a port.
    ///
    /// # Panics
    /// When there is no such port.
    #[must_use]
    pub fn wire(&self, number: u16) -> &MemPort {
        &self.ports[&PortIndex(number)].0
    }

    /// Puts a frame on a port's wire and runs the worker until nothing is left to receive.
    pub fn inject(&mut self, number: u16, frame: impl Into<MemFrame>) {
        self.wire(number).put(frame);
        *self.put.entry(PortIndex(number)).or_default() += 1;
        while self.worker.poll(self.now) > 0 {}
    }

    /// What every port sent since the last call, by port number; ports that sent nothing are left out.
    #[must_use]
    pub fn take_sent(&self) -> BTreeMap<u16, Vec<MemFrame>> {
        self.ports
            .iter()
            .map(|(index, (wire, _))| (index.0, wire.take_all()))
            .filter(|(_, frames)| !frames.is_empty())
            .collect()
    }

    /// Numbers of the ports that sent something since the last call.
    #[must_use]
    pub fn who_sent(&self) -> Vec<u16> {
        self.take_sent().into_keys().collect()
    }

    /// A port's numbers.
    ///
    /// # Panics
    /// When there was never such a port.
    #[must_use]
    pub fn totals(&self, number: u16) -> PortTotals {
        let mut sum = PortTotals::default();
        self.ports[&PortIndex(number)].1.add_to(&mut sum);
        sum
    }

    /// The worker's counters of a port.
    ///
    /// # Panics
    /// When there was never such a port.
    #[must_use]
    pub fn counters(&self, number: u16) -> Arc<PortCounters> {
        Arc::clone(&self.ports[&PortIndex(number)].1)
    }

    /// Counts frames of a VLAN on a port from now on.
    ///
    /// # Panics
    /// When there was never such a port.
    pub fn count_vlan(&self, number: u16, vid: Vid) {
        self.ports[&PortIndex(number)].1.count_vlan(vid);
    }

    /// Frames in, bytes in, frames out, bytes out of a VLAN on a port; `None` when not counted.
    ///
    /// # Panics
    /// When there was never such a port.
    #[must_use]
    pub fn vlan_totals(&self, number: u16, vid: Vid) -> Option<[u64; 4]> {
        let vlan = self.ports[&PortIndex(number)].1.vlan(vid)?;
        let numbers = [
            &vlan.frames_in,
            &vlan.bytes_in,
            &vlan.frames_out,
            &vlan.bytes_out,
        ];
        Some(numbers.map(crate::counters::Counter::read))
    }

    /// Holds the conservation of frames (N-17): each port's equations, copies made against copies
    /// taken, and frames in against what was put on the wires by [`Self::inject`].
    ///
    /// # Panics
    /// When a frame was lost or counted twice.
    pub fn assert_conserved(&self) {
        let (mut from, mut to) = (0, 0);
        for (index, (_, counters)) in &self.ports {
            let mut sum = PortTotals::default();
            counters.add_to(&mut sum);
            assert!(sum.is_conserved(), "{index:?}: {sum:?}");
            let put = self.put.get(index).copied().unwrap_or(0);
            assert!(
                sum.frames_in >= put,
                "{index:?}: {put} put on the wire, {} in",
                sum.frames_in
            );
            from += sum.copies_from + sum.originated;
            to += sum.copies_to;
        }
        for counters in &self.replaced {
            let mut sum = PortTotals::default();
            counters.add_to(&mut sum);
            assert!(sum.is_conserved(), "a former port: {sum:?}");
            from += sum.copies_from + sum.originated;
            to += sum.copies_to;
        }
        assert_eq!(from, to, "copies made and copies given to ports");
    }
}

impl Drop for MemSwitch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.assert_conserved();
        }
    }
}
