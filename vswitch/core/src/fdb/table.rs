//! The readers' half of the FDB: slots of two atomic words, in buckets of one cache line.
//!
//! ```text
//!   key    reuse:4 | VLAN:12 | MAC:48          empty when VLAN and MAC are zero
//!   value  reuse:4 | kind:4  | check:24 | epoch:16 | port:16
//! ```
//!
//! A writer (there is one at a time, see `fdb.rs`) stores the value, then the key; a reader loads the
//! key, then the value. Each time a slot is filled anew its *reuse* count goes up, and a reader takes a
//! value only if it carries the key's count and the key's check bits. A slot emptied and filled for
//! another address between the two loads is so a miss (a flood), never another address's port.
//!
//! Orderings: the key is stored with release and loaded with acquire, so that whoever sees a key sees
//! the value stored before it, or a later one. The value's own load is acquire too: it orders nothing
//! we rely on today but costs nothing on the machines we run on.

use super::EntryKind;
use crate::sync::{AtomicU32, AtomicU64, Ordering, mutant};
use vswitch_base::{MacAddr, MacWord, PortIndex, Vid};

const SLOTS_PER_BUCKET: usize = 4;
const REUSE_SHIFT: u32 = 60;
const KEY_MASK: u64 = (1 << REUSE_SHIFT) - 1;
const CHECK_MASK: u64 = 0xff_ffff;

/// VLAN and address in 60 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FdbKey(u64);

impl FdbKey {
    /// An address in a VLAN; `None` on a bridge that does not tell VLANs apart.
    #[inline]
    #[must_use]
    pub fn new(vid: Option<Vid>, mac: MacWord) -> Self {
        Self(vid.map_or(0, |v| u64::from(v.get())) << 48 | mac.get())
    }

    pub(super) fn vid(self) -> Option<Vid> {
        Vid::new((self.0 >> 48 & 0xfff) as u16).ok()
    }

    pub(super) const fn mac(self) -> MacAddr {
        MacAddr::from_u64(self.0)
    }

    /// Bits that go with the value, so that a value can be told from another key's.
    #[inline]
    const fn check(self) -> u64 {
        (self.0 ^ self.0 >> 24 ^ self.0 >> 48) & CHECK_MASK
    }
}

/// Where an address is and what kind of entry it is; without the reuse count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Value(u64);

impl Value {
    pub(super) fn new(key: FdbKey, port: PortIndex, epoch: u16, kind: EntryKind) -> Self {
        Self((kind as u64) << 56 | key.check() << 32 | u64::from(epoch) << 16 | u64::from(port.0))
    }

    #[inline]
    pub(super) const fn port(self) -> PortIndex {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low 16 bits are the port"
        )]
        let port = self.0 as u16;
        PortIndex(port)
    }

    #[inline]
    pub(super) const fn epoch(self) -> u16 {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the next 16 bits are the epoch"
        )]
        let epoch = (self.0 >> 16) as u16;
        epoch
    }

    #[inline]
    pub(super) const fn kind(self) -> EntryKind {
        match self.0 >> 56 & 0xf {
            2 => EntryKind::Static,
            3 => EntryKind::Local,
            _ => EntryKind::Learned,
        }
    }
}

/// Where an address may be, worked out once for a frame and ahead of the look-up, so that the memory
/// can be on its way meanwhile ([`super::Fdb::touch`]).
#[derive(Clone, Copy, Debug)]
pub struct Probe {
    key: FdbKey,
    first: u32,
    second: u32,
}

impl Probe {
    /// What is asked for.
    #[inline]
    #[must_use]
    pub const fn key(&self) -> FdbKey {
        self.key
    }
}

/// A slot's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SlotIndex(pub(super) u32);

impl SlotIndex {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Default)]
struct Slot {
    key: AtomicU64,
    value: AtomicU64,
}

#[derive(Default)]
#[repr(align(64))]
struct Bucket([Slot; SLOTS_PER_BUCKET]);

/// Seconds of the last frame from and to an address. Apart from the slots, so that refreshing one
/// does not take the cache line that look-ups read.
#[derive(Default)]
pub(super) struct Stamps {
    seen: AtomicU32,
    used: AtomicU32,
}

impl Stamps {
    #[inline]
    pub(super) fn note_seen(&self, now_s: u32) {
        if self.seen.load(Ordering::Relaxed) != now_s {
            self.seen.store(now_s, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(super) fn note_use(&self, now_s: u32) {
        if self.used.load(Ordering::Relaxed) != now_s {
            self.used.store(now_s, Ordering::Relaxed);
        }
    }

    pub(super) fn reset(&self, now_s: u32) {
        self.seen.store(now_s, Ordering::Relaxed);
        self.used.store(0, Ordering::Relaxed);
    }

    /// (seen, used)
    pub(super) fn read(&self) -> (u32, u32) {
        (
            self.seen.load(Ordering::Relaxed),
            self.used.load(Ordering::Relaxed),
        )
    }
}

pub(super) struct Table {
    buckets: Box<[Bucket]>,
    stamps: Box<[Stamps]>,
    /// By slot, the second after the one of the last announcement; 0 for never. Apart from the stamps, which
    /// every frame needs.
    announced: Box<[AtomicU32]>,
    mask: usize,
    seed: u64,
    /// Odd.
    factor: u64,
}

impl Table {
    pub(super) const SLOT_BYTES: usize =
        size_of::<Slot>() + size_of::<Stamps>() + size_of::<AtomicU32>();

    /// Twice as many slots as addresses, rounded up: with two buckets to choose from and one step of
    /// displacement an insertion then practically always finds room.
    pub(super) fn new(learned_max: u32, seed: u64) -> Self {
        let buckets = (learned_max as usize * 2)
            .div_ceil(SLOTS_PER_BUCKET)
            .next_power_of_two();
        Self {
            buckets: (0..buckets).map(|_| Bucket::default()).collect(),
            stamps: (0..buckets * SLOTS_PER_BUCKET)
                .map(|_| Stamps::default())
                .collect(),
            announced: (0..buckets * SLOTS_PER_BUCKET)
                .map(|_| AtomicU32::default())
                .collect(),
            mask: buckets - 1,
            seed,
            factor: spread(seed) | 1,
        }
    }

    pub(super) fn slots(&self) -> usize {
        self.stamps.len()
    }

    /// The two buckets of a key, perhaps the same.
    #[inline]
    fn buckets_of(&self, key: FdbKey) -> [usize; 2] {
        // Multiply and fold (as wyhash): all 60 bits reach both numbers. Both the number added and the
        // factor are secret.
        let product = u128::from(key.0 ^ self.seed) * u128::from(self.factor);
        #[expect(clippy::cast_possible_truncation, reason = "folding keeps both halves")]
        let h = (product as u64) ^ (product >> 64) as u64;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "masked to the table's size"
        )]
        let pair = [h as usize & self.mask, (h >> 32) as usize & self.mask];
        pair
    }

    #[inline]
    fn slot(&self, slot: SlotIndex) -> &Slot {
        &self.buckets[slot.index() / SLOTS_PER_BUCKET].0[slot.index() % SLOTS_PER_BUCKET]
    }

    #[inline]
    pub(super) fn stamps(&self, slot: SlotIndex) -> &Stamps {
        &self.stamps[slot.index()]
    }

    pub(super) fn announced(&self, slot: SlotIndex) -> &AtomicU32 {
        &self.announced[slot.index()]
    }

    /// Where `key` may be. Reads no memory of the table.
    #[inline]
    pub(super) fn probe(&self, key: FdbKey) -> Probe {
        let [first, second] = self.buckets_of(key);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the table is built with at most 2^20 buckets"
        )]
        let probe = Probe {
            key,
            first: first as u32,
            second: second as u32,
        };
        probe
    }

    /// Asks for the memory of the first bucket. The word is of no use but to be asked for: loads of
    /// many probes in a row overlap, where look-ups one after the other would each wait.
    #[inline]
    pub(super) fn touch(&self, probe: &Probe) -> u64 {
        self.buckets[probe.first as usize].0[0]
            .key
            .load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn find(&self, key: FdbKey) -> Option<(SlotIndex, Value)> {
        self.find_at(&self.probe(key))
    }

    #[inline]
    pub(super) fn find_at(&self, probe: &Probe) -> Option<(SlotIndex, Value)> {
        self.find_in(probe.first as usize, probe.key)
            .or_else(|| self.find_in(probe.second as usize, probe.key))
    }

    #[inline]
    fn find_in(&self, bucket: usize, key: FdbKey) -> Option<(SlotIndex, Value)> {
        let slots = &self.buckets[bucket].0;
        let words: [u64; SLOTS_PER_BUCKET] =
            std::array::from_fn(|i| slots[i].key.load(Ordering::Acquire));
        // All four are compared before the first branch: which slot an address is in cannot be
        // predicted, whether it is here at all mostly can.
        let matches = words
            .iter()
            .zip([1_u32, 2, 4, 8])
            .map(|(word, bit)| if word & KEY_MASK == key.0 { bit } else { 0 })
            .sum::<u32>();
        if matches == 0 {
            return None;
        }
        let i = matches.trailing_zeros() as usize % SLOTS_PER_BUCKET;
        let value = slots[i].value.load(Ordering::Acquire);
        let reused = value >> REUSE_SHIFT != words[i] >> REUSE_SHIFT
            || value >> 32 & CHECK_MASK != key.check();
        if reused && !mutant("no_reuse_check") {
            // Changed hands between the two loads. The key can be in no other slot of this bucket
            // but by a writer at work right now: a miss, and so a flood.
            return None;
        }
        Some((slot_index(bucket, i), Value(value & KEY_MASK)))
    }

    /// What is in a slot, if anything whole.
    pub(super) fn read(&self, slot: SlotIndex) -> Option<(FdbKey, Value)> {
        let slot = self.slot(slot);
        let word = slot.key.load(Ordering::Acquire);
        let value = slot.value.load(Ordering::Acquire);
        (word & KEY_MASK != 0 && value >> REUSE_SHIFT == word >> REUSE_SHIFT)
            .then_some((FdbKey(word & KEY_MASK), Value(value & KEY_MASK)))
    }

    /// Fills an empty slot. Writers only.
    pub(super) fn fill(&self, at: SlotIndex, key: FdbKey, value: Value) {
        let slot = self.slot(at);
        let reuse =
            (slot.key.load(Ordering::Relaxed) >> REUSE_SHIFT).wrapping_add(1) << REUSE_SHIFT;
        self.announced(at).store(0, Ordering::Relaxed);
        slot.value.store(value.0 | reuse, Ordering::Release);
        slot.key.store(key.0 | reuse, Ordering::Release);
    }

    /// Replaces the value of a filled slot. Writers only.
    pub(super) fn set_value(&self, at: SlotIndex, value: Value) {
        let slot = self.slot(at);
        let reuse = slot.key.load(Ordering::Relaxed) & !KEY_MASK;
        self.announced(at).store(0, Ordering::Relaxed);
        slot.value.store(value.0 | reuse, Ordering::Release);
    }

    /// Empties a slot, keeping its reuse count. Writers only.
    pub(super) fn clear(&self, at: SlotIndex) {
        let slot = self.slot(at);
        let reuse = slot.key.load(Ordering::Relaxed) & !KEY_MASK;
        slot.key.store(reuse, Ordering::Release);
    }

    /// Fills `to` with what is in `from`, stamps included. Writers only.
    pub(super) fn copy(&self, from: SlotIndex, to: SlotIndex, key: FdbKey, value: Value) {
        let (seen, used) = self.stamps(from).read();
        self.stamps(to).reset(seen);
        self.stamps(to).note_use(used);
        let announced = self.announced(from).load(Ordering::Relaxed);
        self.fill(to, key, value);
        self.announced(to).store(announced, Ordering::Relaxed);
    }

    /// An empty slot for `key`: in its first bucket where there is one, so that a look-up seldom
    /// reads the second.
    pub(super) fn vacancy(&self, key: FdbKey) -> Option<SlotIndex> {
        let [first, second] = self.buckets_of(key);
        self.vacancy_in(first).or_else(|| self.vacancy_in(second))
    }

    /// An empty slot in the other bucket of `resident`, which is in slot `at`.
    pub(super) fn other_vacancy(&self, resident: FdbKey, at: SlotIndex) -> Option<SlotIndex> {
        let here = at.index() / SLOTS_PER_BUCKET;
        let other = self.buckets_of(resident).into_iter().find(|b| *b != here)?;
        self.vacancy_in(other)
    }

    fn vacancy_in(&self, bucket: usize) -> Option<SlotIndex> {
        let empty = |s: &Slot| s.key.load(Ordering::Relaxed) & KEY_MASK == 0;
        self.buckets[bucket]
            .0
            .iter()
            .position(empty)
            .map(|i| slot_index(bucket, i))
    }

    /// The slots of both buckets of `key`.
    pub(super) fn slots_of(&self, key: FdbKey) -> impl Iterator<Item = SlotIndex> + use<> {
        self.buckets_of(key)
            .into_iter()
            .flat_map(|b| (0..SLOTS_PER_BUCKET).map(move |i| slot_index(b, i)))
    }

    /// All slots.
    pub(super) fn all_slots(&self) -> impl Iterator<Item = SlotIndex> + use<> {
        (0..self.slots()).map(|i| slot_index(0, i))
    }

    /// All slots, `buckets` buckets at a time.
    pub(super) fn stretches(
        &self,
        buckets: usize,
    ) -> impl Iterator<Item = impl Iterator<Item = SlotIndex> + use<>> + use<> {
        let (all, step) = (self.slots(), buckets * SLOTS_PER_BUCKET);
        (0..all)
            .step_by(step)
            .map(move |from| (from..all.min(from + step)).map(|i| slot_index(0, i)))
    }
}

/// A number that looks nothing like `seed` (the finalizer of splitmix64).
const fn spread(seed: u64) -> u64 {
    let mut x = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// At most 2^22 slots: `LEARNED_MAX` twice, rounded up.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the table is built with at most 2^22 slots"
)]
const fn slot_index(bucket: usize, i: usize) -> SlotIndex {
    SlotIndex((bucket * SLOTS_PER_BUCKET + i) as u32)
}

#[cfg(not(shuttle))]
const _: () = assert!(
    size_of::<Bucket>() == 64,
    "a look-up reads one cache line for each bucket"
);
