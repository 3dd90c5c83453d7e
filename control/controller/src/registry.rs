//! Dense indices and address tables that outlive a configuration.
//!
//! A name keeps its index for as long as it is in use, across any number of changes. When it is given
//! up, its index rests until every worker has passed the generation that forgot it: before that a frame
//! judged by an older snapshot could still be staged for the wrong port. Each port index has an *epoch*
//! that survives its owners; raising it makes every address learned behind the index stale at the next
//! publication, so a new owner never inherits addresses.
//!
//! Bridges keep their [`Fdb`] by name, so that learned addresses survive changes of configuration
//! (design.md §3). A bridge whose `fdb_max` changes gets a new table with the old one's learned
//! addresses; what workers learn in the old one between copy and publication is learned again from the
//! next frame.
//!
//! One owner, the controller; no thread of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use vswitch_base::{BridgeIndex, Generation, MacAddr, PortIndex};
use vswitch_core::fdb::{EntryKind, Fdb, PORTS_MAX, Source};

/// Bridges of one daemon at most: each has a table of its own.
pub const BRIDGES_MAX: usize = 256;

/// No index is free: the limit named is reached, or indices still rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfIndices {
    /// How many there may be.
    pub limit: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Slot {
    Free,
    Used,
    /// Given up; reusable once this generation was observed by all workers.
    Resting(Generation),
}

/// Names to indices of one kind of object.
#[derive(Clone, Debug)]
struct Names {
    of_name: BTreeMap<String, u16>,
    slots: Vec<Slot>,
    limit: usize,
}

impl Names {
    const fn new(limit: usize) -> Self {
        Self {
            of_name: BTreeMap::new(),
            slots: Vec::new(),
            limit,
        }
    }

    fn reserve(&mut self, name: &str) -> Result<u16, OutOfIndices> {
        if let Some(index) = self.of_name.get(name) {
            return Ok(*index);
        }
        let at = match self.slots.iter().position(|slot| *slot == Slot::Free) {
            Some(at) => at,
            None if self.slots.len() < self.limit => {
                self.slots.push(Slot::Free);
                self.slots.len() - 1
            }
            None => return Err(OutOfIndices { limit: self.limit }),
        };
        let index = u16::try_from(at).map_err(|_| OutOfIndices { limit: self.limit })?;
        self.slots[at] = Slot::Used;
        self.of_name.insert(name.to_owned(), index);
        Ok(index)
    }

    fn release(&mut self, name: &str, forgotten_by: Generation) -> Option<u16> {
        let index = self.of_name.remove(name)?;
        self.slots[usize::from(index)] = Slot::Resting(forgotten_by);
        Some(index)
    }

    fn observed(&mut self, generation: Generation) {
        for slot in &mut self.slots {
            if matches!(slot, Slot::Resting(forgotten_by) if *forgotten_by <= generation) {
                *slot = Slot::Free;
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Registry {
    ports: Names,
    bridges: Names,
    epochs: Vec<u16>,
    tables: BTreeMap<String, Arc<Fdb>>,
    hash_seed: u64,
}

impl Registry {
    /// An empty registry; `hash_seed` keys the address tables.
    #[must_use]
    pub const fn new(hash_seed: u64) -> Self {
        Self {
            ports: Names::new(PORTS_MAX),
            bridges: Names::new(BRIDGES_MAX),
            epochs: Vec::new(),
            tables: BTreeMap::new(),
            hash_seed,
        }
    }

    /// The index of a port or host port, a new one if it has none.
    ///
    /// # Errors
    /// [`OutOfIndices`] when none is free.
    pub fn reserve_port(&mut self, name: &str) -> Result<PortIndex, OutOfIndices> {
        let index = self.ports.reserve(name)?;
        let slots = self.ports.slots.len();
        self.epochs.resize(slots.max(self.epochs.len()), 0);
        Ok(PortIndex(index))
    }

    /// The index of a bridge, a new one if it has none.
    ///
    /// # Errors
    /// [`OutOfIndices`] when none is free.
    pub fn reserve_bridge(&mut self, name: &str) -> Result<BridgeIndex, OutOfIndices> {
        self.bridges.reserve(name).map(BridgeIndex)
    }

    /// The index of a port that has one.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<PortIndex> {
        self.ports.of_name.get(name).map(|i| PortIndex(*i))
    }

    /// The index of a bridge that has one.
    #[must_use]
    pub fn bridge(&self, name: &str) -> Option<BridgeIndex> {
        self.bridges.of_name.get(name).map(|i| BridgeIndex(*i))
    }

    /// The present epoch of a port index.
    #[must_use]
    pub fn epoch(&self, index: PortIndex) -> u16 {
        self.epochs.get(index.index()).copied().unwrap_or(0)
    }

    /// Makes every address learned behind the index stale from the next publication on.
    pub fn raise_epoch(&mut self, index: PortIndex) {
        if let Some(epoch) = self.epochs.get_mut(index.index()) {
            *epoch = epoch.wrapping_add(1);
        }
    }

    /// Gives a port's index up; `forgotten_by` is the first generation without it.
    pub fn release_port(&mut self, name: &str, forgotten_by: Generation) {
        if let Some(index) = self.ports.release(name, forgotten_by) {
            self.raise_epoch(PortIndex(index));
        }
    }

    /// Gives a bridge's index and its table up; `forgotten_by` is the first generation without it.
    pub fn release_bridge(&mut self, name: &str, forgotten_by: Generation) {
        self.bridges.release(name, forgotten_by);
        self.tables.remove(name);
    }

    /// Names of the ports that have an index.
    pub fn port_names(&self) -> impl Iterator<Item = &str> {
        self.ports.of_name.keys().map(String::as_str)
    }

    /// Names of the bridges that have an index.
    pub fn bridge_names(&self) -> impl Iterator<Item = &str> {
        self.bridges.of_name.keys().map(String::as_str)
    }

    /// Indices given up before `generation` may be used again: every worker has passed it.
    pub fn observed(&mut self, generation: Generation) {
        self.ports.observed(generation);
        self.bridges.observed(generation);
    }

    /// The table of a bridge for up to `fdb_max` learned addresses: the one it has, or a new one with
    /// the learned addresses of the one it has. Not kept until [`Self::adopt_table`]: a change that is
    /// rolled back leaves the bridge with its old table.
    #[must_use]
    pub fn table(&self, bridge: &str, fdb_max: u32) -> Arc<Fdb> {
        match self.tables.get(bridge) {
            Some(table) if table.learned_max() == fdb_max => Arc::clone(table),
            Some(old) => Arc::new(self.resized(old, fdb_max)),
            None => Arc::new(Fdb::new(fdb_max, self.hash_seed)),
        }
    }

    /// Keeps a table as the bridge's own.
    pub fn adopt_table(&mut self, bridge: &str, table: &Arc<Fdb>) {
        self.tables.insert(bridge.to_owned(), Arc::clone(table));
    }

    /// Most recently seen first, so that a smaller table keeps the active ones.
    fn resized(&self, old: &Fdb, fdb_max: u32) -> Fdb {
        let new = Fdb::new(fdb_max, self.hash_seed);
        let current = |port: PortIndex, epoch: u16| self.epoch(port) == epoch;
        let mut learned: Vec<_> = old
            .entries()
            .filter(|e| e.kind == EntryKind::Learned && current(e.port, e.epoch))
            .collect();
        learned.sort_unstable_by_key(|e| std::cmp::Reverse(e.seen));
        learned.truncate(usize::try_from(fdb_max).unwrap_or(usize::MAX));
        for e in learned.iter().rev() {
            let source = Source {
                port: e.port,
                epoch: e.epoch,
                mac_limit: u32::MAX,
            };
            new.learn(e.vid, e.mac, source, e.seen, current);
        }
        while new.take_event().is_some() {} // Nobody learned anything: the addresses only moved house.
        new
    }
}

/// A locally administered address that stays the same for a name on one machine, and differs between
/// machines: `machine` is the machine's own number. FNV-1a, then one round of mixing.
#[must_use]
pub fn derived_mac(machine: u64, name: &str) -> MacAddr {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in machine.to_be_bytes().iter().chain(name.as_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let [a, b, c, d, e, f] = MacAddr::from_u64(hash >> 16).0;
    MacAddr([a & 0xfc | 0x02, b, c, d, e, f])
}

#[cfg(test)]
mod tests {
    use super::*;
    use vswitch_base::Vid;

    #[test]
    fn an_index_rests_until_all_workers_have_passed_its_end() {
        let mut registry = Registry::new(1);
        let a = registry.reserve_port("a").unwrap();
        let b = registry.reserve_port("b").unwrap();
        assert_ne!(a, b);
        assert_eq!(registry.reserve_port("a"), Ok(a), "a name keeps its index");
        let epoch = registry.epoch(a);
        registry.release_port("a", Generation(7));
        assert_ne!(registry.reserve_port("c").unwrap(), a);
        registry.observed(Generation(6));
        assert_ne!(registry.reserve_port("d").unwrap(), a);
        registry.observed(Generation(7));
        assert_eq!(registry.reserve_port("e"), Ok(a));
        assert_ne!(
            registry.epoch(a),
            epoch,
            "the new owner inherits no addresses"
        );
    }

    #[test]
    fn the_number_of_ports_is_bounded() {
        let mut registry = Registry::new(1);
        for i in 0..PORTS_MAX {
            registry.reserve_port(&format!("p{i}")).unwrap();
        }
        assert_eq!(
            registry.reserve_port("one-more"),
            Err(OutOfIndices { limit: PORTS_MAX })
        );
        registry.release_port("p5", Generation(1));
        registry.observed(Generation(1));
        assert!(registry.reserve_port("one-more").is_ok());
    }

    /// F-08
    #[test]
    fn a_resized_table_keeps_the_addresses_seen_last() {
        let mut registry = Registry::new(1);
        let port = registry.reserve_port("p").unwrap();
        let old = registry.table("br", 1000);
        registry.adopt_table("br", &old);
        let source = Source {
            port,
            epoch: 0,
            mac_limit: u32::MAX,
        };
        let mac = |i: u8| MacAddr([2, 0, 0, 0, 0, i]);
        let vid = Some(Vid::MIN);
        for i in 0..100 {
            old.learn(vid, mac(i), source, u32::from(i), |_, _| true);
        }
        assert!(Arc::ptr_eq(&registry.table("br", 1000), &old));
        let small = registry.table("br", 40);
        assert_eq!(small.stats().entries, 40);
        assert!(small.find(vid, mac(99)).is_some() && small.find(vid, mac(60)).is_some());
        assert!(small.find(vid, mac(59)).is_none());
        assert!(small.take_event().is_none());
        let large = registry.table("br", 5000);
        assert_eq!(large.entries().count(), 100);
        assert!(
            large.entries().all(|e| e.seen == u32::from(e.mac.0[5])),
            "ages are kept"
        );
    }

    /// B-05
    #[test]
    fn derived_addresses_are_stable_and_differ_between_machines() {
        let mac = derived_mac(1, "mgmt-br");
        assert_eq!(mac, derived_mac(1, "mgmt-br"));
        assert!(mac.is_valid_source() && mac.0[0] & 2 != 0);
        assert_ne!(mac, derived_mac(2, "mgmt-br"));
        assert_ne!(mac, derived_mac(1, "oob-br"));
    }
}
