//! The forwarding database of one bridge: which address is behind which port.
//!
//! **What it is.** A table of fixed size from (VLAN, MAC) to a port, shared by all workers. Readers
//! never lock and never write but a time stamp, at most once a second for each entry. A new or moved
//! address is written under one lock that the data path only ever *tries*: if it is taken, the frame is
//! forwarded all the same and the next one teaches. The control thread ages and flushes under the same
//! lock in short stretches.
//!
//! **Shape.** Buckets of four slots, one cache line each; an address lives in one of two buckets
//! (`fdb/table.rs`). Behind the lock is what only writers need: each port's addresses in the order they
//! were taken in (`fdb/order.rs`).
//!
//! **Full.** Above `learned_max` a new address displaces the oldest of the port that has most, so a
//! port that floods addresses hurts itself. An entry that was seen since it was queued gets a second
//! chance.
//!
//! **Flush.** An entry carries its port's *epoch*; an entry of another epoch than the port's in the
//! snapshot is stale and found by nobody. Raising the epoch forgets a port's addresses in the instant of
//! publication, whatever their number; the sweep clears them away later.
//!
//! **Rules.** Learning, ageing and moving as Linux (`br_fdb.c`) with these differences: a static
//! address does not move to another port, and an address behind a port without carrier is forgotten.
//!
//! **Announcements.** An entry remembers when its station announced itself behind its port
//! (`fdb/announced.rs`): what comes back of that by a bond is no word of its from elsewhere.
//!
//! **Threads.** `find`, `learn`, `note_use`, `note_announced` from workers; the rest from the control thread, which may
//! wait for the lock. A worker holds it for one insertion.
//!
//! **Not here.** Whether a port may learn at all, and what a hit means for a frame: `learn.rs`,
//! `forward.rs`.

mod announced;
mod order;
mod report;
#[cfg(all(test, shuttle))]
mod schedule;
mod table;
#[cfg(test)]
mod tests;

use crate::sync::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, mutant};
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use order::Order;
pub use report::{FdbEvent, FdbEventKind, FdbStats};
pub use table::{FdbKey, Probe};
use table::{SlotIndex, Table, Value};
use vswitch_base::{MacAddr, PortIndex, Vid};

/// Ports that a switch may have: the writer's half keeps a list head for each.
pub const PORTS_MAX: usize = 4096;
/// Addresses that a bridge may learn at most.
pub const LEARNED_MAX: u32 = 1 << 20;
/// Changes kept for the control thread between two of its visits; more are counted, not kept.
pub const EVENTS_MAX: usize = 4096;
/// Buckets visited under one hold of the lock by the sweep: about ten microseconds.
const SWEEP_BUCKETS: usize = 256;

/// How an address came into the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum EntryKind {
    /// From the source of a frame; ages and moves.
    Learned = 1,
    /// By the operator; neither ages nor moves.
    Static = 2,
    /// The bridge's own: a host port's address. Seen as a source elsewhere it is not learned (F-15).
    Local = 3,
}

/// One address, as listed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The VLAN; `None` on a bridge that does not filter VLANs.
    pub vid: Option<Vid>,
    /// The address.
    pub mac: MacAddr,
    /// The port it is behind.
    pub port: PortIndex,
    /// The port's epoch when it was learned.
    pub epoch: u16,
    /// How it came in.
    pub kind: EntryKind,
    /// Second in which a frame from it was last seen.
    pub seen: u32,
    /// Second in which a frame to it was last forwarded, 0 for never.
    pub used: u32,
}

/// A found address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hit {
    slot: SlotIndex,
    /// The port it is behind.
    pub port: PortIndex,
    /// Compare with the port's in the snapshot: of another epoch, the entry is stale.
    pub epoch: u16,
    /// How it came in; only learned entries have a meaningful epoch.
    pub kind: EntryKind,
}

/// Who sent the frame whose source is being learned.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// The port.
    pub port: PortIndex,
    /// Its epoch in the snapshot.
    pub epoch: u16,
    /// Most addresses it may have.
    pub mac_limit: u32,
}

/// What learning did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Learned {
    /// Nothing to do: known there.
    Known,
    /// Taken in.
    New,
    /// Was behind that port until now.
    Moved {
        /// The former port.
        from: PortIndex,
    },
    /// Behind that port and left there: the frame may be one of its own that came back.
    Held {
        /// The port.
        by: PortIndex,
    },
    /// Static behind another port: left there.
    Pinned,
    /// One of the bridge's own addresses: not learned.
    OwnAddress,
    /// The port has `mac_limit` addresses already.
    PortLimit,
    /// Another thread was writing; not learned this time.
    Busy,
    /// Both its buckets are full of static entries.
    NoRoom,
}

/// Written under the lock, read by anyone.
#[derive(Default)]
struct Counts {
    /// Learned entries now.
    entries: AtomicU32,
    learned: AtomicU64,
    moved: AtomicU64,
    evicted: AtomicU64,
    aged: AtomicU64,
    /// The second after the one in which [`FdbEventKind::Reflected`] was told last; 0 for never.
    reflected_s: AtomicU32,
    events_lost: AtomicU64,
}

/// The lock. A worker that finds it taken writes to its cache line and no other; what the holder works
/// on is not in it.
struct Writer {
    order: Mutex<CachePadded<Order>>,
    /// Workers that found it taken.
    busy: AtomicU64,
}

/// See the module. What learning writes is in cache lines apart from what every frame reads.
pub struct Fdb {
    table: Table,
    learned_max: AtomicU32,
    writer: CachePadded<Writer>,
    counts: CachePadded<Counts>,
    events: ArrayQueue<FdbEvent>,
}

impl std::fmt::Debug for Fdb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fdb")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Fdb {
    /// An empty table that learns up to `learned_max` addresses (at least 1, at most
    /// [`LEARNED_MAX`]). `seed` keys the hash, so that nobody can choose addresses that collide.
    #[must_use]
    pub fn new(learned_max: u32, seed: u64) -> Self {
        let learned_max = learned_max.clamp(1, LEARNED_MAX);
        let table = Table::new(learned_max, seed);
        Self {
            writer: CachePadded::new(Writer {
                order: Mutex::new(CachePadded::new(Order::new(table.slots(), PORTS_MAX))),
                busy: AtomicU64::new(0),
            }),
            table,
            learned_max: AtomicU32::new(learned_max),
            counts: CachePadded::default(),
            events: ArrayQueue::new(EVENTS_MAX),
        }
    }

    /// The most addresses it learns.
    #[must_use]
    pub fn learned_max(&self) -> u32 {
        self.learned_max.load(Ordering::Relaxed)
    }

    /// Bytes of memory that the table holds.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.table.slots() * (Table::SLOT_BYTES + Order::SLOT_BYTES)
    }

    /// Where to look for an address; see [`Probe`].
    #[inline]
    #[must_use]
    pub fn probe(&self, key: FdbKey) -> Probe {
        self.table.probe(key)
    }

    /// Asks for the memory that looking `probe` up will read. Returns bits without meaning; whoever
    /// calls this for a batch keeps them alive until all are asked for.
    #[inline]
    #[must_use]
    pub fn touch(&self, probe: &Probe) -> u64 {
        self.table.touch(probe)
    }

    /// The address, if it is in the table, stale or not.
    #[inline]
    #[must_use]
    pub fn find(&self, vid: Option<Vid>, mac: MacAddr) -> Option<Hit> {
        self.find_at(&self.probe(FdbKey::new(vid, mac.word())))
    }

    /// As [`Self::find`].
    #[inline]
    #[must_use]
    pub fn find_at(&self, probe: &Probe) -> Option<Hit> {
        let (slot, value) = self.table.find_at(probe)?;
        Some(Hit {
            slot,
            port: value.port(),
            epoch: value.epoch(),
            kind: value.kind(),
        })
    }

    /// Notes that a frame was forwarded to a found address.
    #[inline]
    pub fn note_use(&self, hit: Hit, now_s: u32) {
        self.table.stamps(hit.slot).note_use(now_s);
    }

    /// Second in which a frame from a found address was last seen.
    #[must_use]
    pub fn seen(&self, hit: Hit) -> u32 {
        self.table.stamps(hit.slot).read().0
    }

    /// Takes in that `mac` is behind `source`. `is_current` tells whether an epoch of a port is the
    /// snapshot's: a stale entry is replaced as if it were not there.
    #[inline]
    pub fn learn(
        &self,
        vid: Option<Vid>,
        mac: MacAddr,
        source: Source,
        now_s: u32,
        is_current: impl Fn(PortIndex, u16) -> bool,
    ) -> Learned {
        self.learn_at(
            &self.probe(FdbKey::new(vid, mac.word())),
            source,
            now_s,
            is_current,
        )
    }

    /// As [`Self::learn`].
    #[inline]
    pub fn learn_at(
        &self,
        probe: &Probe,
        source: Source,
        now_s: u32,
        is_current: impl Fn(PortIndex, u16) -> bool,
    ) -> Learned {
        self.refresh_at(probe, source, now_s)
            .unwrap_or_else(|| self.learn_anew(probe.key(), source, now_s, is_current))
    }

    /// The half of learning that nearly every frame takes: what the entry settles without being rewritten.
    /// `None`: it is new or has to move, which [`Self::learn_anew`] does.
    #[inline]
    pub fn refresh_at(&self, probe: &Probe, source: Source, now_s: u32) -> Option<Learned> {
        let (slot, value) = self.table.find_at(probe)?;
        let outcome = settled(value, source);
        if outcome == Some(Learned::Known) {
            self.table.stamps(slot).note_seen(now_s);
        }
        outcome
    }

    /// What [`Self::learn`] would answer, without doing it (but for `Busy`).
    #[must_use]
    pub fn would_learn(
        &self,
        vid: Option<Vid>,
        mac: MacAddr,
        source: Source,
        is_current: impl Fn(PortIndex, u16) -> bool,
    ) -> Learned {
        let found = self
            .table
            .find(FdbKey::new(vid, mac.word()))
            .map(|(_, value)| value);
        if let Some(outcome) = found.and_then(|value| settled(value, source)) {
            return outcome;
        }
        let here = found.is_some_and(|v| v.port() == source.port);
        if !here && self.lock().count(source.port) >= source.mac_limit {
            return Learned::PortLimit;
        }
        match found {
            Some(v) if !here && is_current(v.port(), v.epoch()) => {
                Learned::Moved { from: v.port() }
            }
            _ => Learned::New,
        }
    }

    /// The other half, for an address that [`Self::refresh_at`] did not settle.
    #[cold]
    #[inline(never)]
    pub fn learn_anew(
        &self,
        key: FdbKey,
        source: Source,
        now_s: u32,
        is_current: impl Fn(PortIndex, u16) -> bool,
    ) -> Learned {
        let Ok(mut order) = self.writer.order.try_lock() else {
            self.writer.busy.fetch_add(1, Ordering::Relaxed);
            return Learned::Busy;
        };
        let value = Value::new(key, source.port, source.epoch, EntryKind::Learned);
        // Once more under the lock: another worker may have taken the address in meanwhile.
        let found = self.table.find(key).filter(|_| !mutant("no_second_look"));
        if let Some((slot, old)) = found {
            if let Some(outcome) = settled(old, source) {
                return outcome;
            }
            let from = old.port();
            if from != source.port && order.count(source.port) >= source.mac_limit {
                return Learned::PortLimit;
            }
            self.table.set_value(slot, value);
            order.unlink(slot, from);
            order.append(slot, source.port, now_s);
            self.table.stamps(slot).reset(now_s);
            return if from != source.port && is_current(from, old.epoch()) {
                self.counts.moved.fetch_add(1, Ordering::Relaxed);
                self.tell(FdbEventKind::Moved { from }, key, source.port);
                Learned::Moved { from }
            } else {
                self.counts.learned.fetch_add(1, Ordering::Relaxed);
                self.tell(FdbEventKind::Learned, key, source.port);
                Learned::New
            };
        }
        if order.count(source.port) >= source.mac_limit {
            return Learned::PortLimit;
        }
        if self.counts.entries.load(Ordering::Relaxed) >= self.learned_max() {
            self.evict_fairly(&mut order, now_s);
        }
        let Some(slot) = self.make_room(&mut order, key) else {
            return Learned::NoRoom;
        };
        self.table.stamps(slot).reset(now_s);
        self.table.fill(slot, key, value);
        order.append(slot, source.port, now_s);
        self.counts.entries.store(order.total(), Ordering::Relaxed);
        self.counts.learned.fetch_add(1, Ordering::Relaxed);
        self.tell(FdbEventKind::Learned, key, source.port);
        Learned::New
    }

    /// Puts in, or replaces, an address that does not age: `kind` is static or local.
    ///
    /// # Errors
    /// [`NoRoom`] when both buckets of the address are full of such entries.
    pub fn pin(
        &self,
        vid: Option<Vid>,
        mac: MacAddr,
        port: PortIndex,
        kind: EntryKind,
    ) -> Result<(), NoRoom> {
        let key = FdbKey::new(vid, mac.word());
        let value = Value::new(key, port, 0, kind);
        let mut order = self.lock();
        if let Some((slot, old)) = self.table.find(key) {
            if old.kind() == EntryKind::Learned {
                order.unlink(slot, old.port());
            }
            self.table.set_value(slot, value);
        } else {
            let slot = self.make_room(&mut order, key).ok_or(NoRoom)?;
            self.table.stamps(slot).reset(0);
            self.table.fill(slot, key, value);
        }
        self.counts.entries.store(order.total(), Ordering::Relaxed);
        Ok(())
    }

    /// Takes an address out, whatever its kind; whether it was there.
    pub fn remove(&self, vid: Option<Vid>, mac: MacAddr) -> bool {
        let mut order = self.lock();
        let Some((slot, value)) = self.table.find(FdbKey::new(vid, mac.word())) else {
            return false;
        };
        self.take_out(&mut order, slot, value);
        true
    }

    /// Takes out all entries for which `doomed` says so; how many. The lock is held for a stretch of
    /// buckets at a time, so workers hardly notice.
    pub fn flush(&self, doomed: impl Fn(&Entry) -> bool) -> usize {
        self.clear_out(|entry| doomed(entry).then_some(FdbEventKind::Flushed))
    }

    /// Takes out learned entries that were not seen for `ageing_s` seconds (`None`: never) and stale
    /// ones; how many.
    pub fn sweep(
        &self,
        now_s: u32,
        ageing_s: Option<u32>,
        is_current: impl Fn(PortIndex, u16) -> bool,
    ) -> usize {
        self.clear_out(|entry| {
            if entry.kind != EntryKind::Learned {
                return None;
            }
            if !is_current(entry.port, entry.epoch) {
                return Some(FdbEventKind::Flushed);
            }
            ageing_s
                .is_some_and(|limit| now_s.saturating_sub(entry.seen) >= limit)
                .then_some(FdbEventKind::Aged)
        })
    }

    fn clear_out(&self, why: impl Fn(&Entry) -> Option<FdbEventKind>) -> usize {
        let mut cleared = 0;
        for stretch in self.table.stretches(SWEEP_BUCKETS) {
            let mut order = self.lock();
            for slot in stretch {
                let Some((key, value)) = self.table.read(slot) else {
                    continue;
                };
                let Some(kind) = why(&self.entry(slot, key, value)) else {
                    continue;
                };
                if kind == FdbEventKind::Aged {
                    self.counts.aged.fetch_add(1, Ordering::Relaxed);
                }
                self.take_out(&mut order, slot, value);
                self.tell(kind, key, value.port());
                cleared += 1;
            }
        }
        cleared
    }

    /// All entries, in no order, without locking: entries that change meanwhile may be missed.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.table.all_slots().filter_map(|slot| {
            let (key, value) = self.table.read(slot)?;
            Some(self.entry(slot, key, value))
        })
    }

    fn entry(&self, slot: SlotIndex, key: FdbKey, value: Value) -> Entry {
        let (seen, used) = self.table.stamps(slot).read();
        Entry {
            vid: key.vid(),
            mac: key.mac(),
            port: value.port(),
            epoch: value.epoch(),
            kind: value.kind(),
            seen,
            used,
        }
    }

    /// A writer that panicked left whole words behind: the table is usable whatever it was doing.
    fn lock(&self) -> MutexGuard<'_, CachePadded<Order>> {
        self.writer
            .order
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn take_out(&self, order: &mut Order, slot: SlotIndex, value: Value) {
        if value.kind() == EntryKind::Learned {
            order.unlink(slot, value.port());
            self.counts.entries.store(order.total(), Ordering::Relaxed);
        }
        self.table.clear(slot);
    }

    /// An empty slot for `key`: one there is, one made by moving an entry to its other bucket, or one
    /// made by evicting the entry longest unseen of the two buckets. `None`: all are static.
    fn make_room(&self, order: &mut Order, key: FdbKey) -> Option<SlotIndex> {
        if let Some(slot) = self.table.vacancy(key) {
            return Some(slot);
        }
        for slot in self.table.slots_of(key) {
            let Some((resident, value)) = self.table.read(slot) else {
                return Some(slot);
            };
            if let Some(other) = self.table.other_vacancy(resident, slot) {
                // In at the new place before out of the old: a reader between the two sees both.
                self.table.copy(slot, other, resident, value);
                if value.kind() == EntryKind::Learned {
                    order.relink(slot, other, value.port());
                }
                self.table.clear(slot);
                return Some(slot);
            }
        }
        let (slot, resident, value) = self
            .table
            .slots_of(key)
            .filter_map(|slot| self.table.read(slot).map(|(k, v)| (slot, k, v)))
            .filter(|(_, _, v)| v.kind() == EntryKind::Learned)
            .min_by_key(|(slot, _, _)| self.table.stamps(*slot).read().0)?;
        self.evict(order, slot, resident, value);
        Some(slot)
    }

    fn evict_fairly(&self, order: &mut Order, now_s: u32) {
        let stamps = |slot| self.table.stamps(slot).read().0;
        let Some(slot) = order.oldest_of_the_fullest(now_s, stamps) else {
            return;
        };
        if let Some((key, value)) = self.table.read(slot) {
            self.evict(order, slot, key, value);
        }
    }

    fn evict(&self, order: &mut Order, slot: SlotIndex, key: FdbKey, value: Value) {
        self.take_out(order, slot, value);
        self.counts.evicted.fetch_add(1, Ordering::Relaxed);
        self.tell(FdbEventKind::Evicted, key, value.port());
    }
}

/// Both buckets that an address may live in are full of entries that may not be displaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRoom;

impl std::fmt::Display for NoRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no room beside the static entries that share its place; raise fdb_max")
    }
}

impl std::error::Error for NoRoom {}

/// What a found entry settles without writing more than a stamp; `None`: it must be rewritten.
#[inline]
fn settled(value: Value, source: Source) -> Option<Learned> {
    let here = value.port() == source.port;
    match value.kind() {
        EntryKind::Learned if here && value.epoch() == source.epoch => Some(Learned::Known),
        EntryKind::Learned => None,
        EntryKind::Static if here => Some(Learned::Known),
        EntryKind::Static => Some(Learned::Pinned),
        EntryKind::Local if here => Some(Learned::Known),
        EntryKind::Local => Some(Learned::OwnAddress),
    }
}
