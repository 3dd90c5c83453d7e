//! The writers' half of the FDB: each port's learned addresses, oldest first, and their number.
//!
//! One doubly linked list for each port, threaded through an array with a link for each slot of the
//! table. All steps take constant time but the choice of the fullest port, which looks at the ports.
//! Only ever touched under the FDB's lock.

use super::table::SlotIndex;
use vswitch_base::PortIndex;

const NONE: u32 = u32::MAX;
/// Entries passed over in search of one that was not seen since it was queued. A port whose oldest
/// addresses are all active loses one of them in the end: bounded work beats perfect order.
const SECOND_CHANCES: usize = 8;

#[derive(Clone, Copy)]
struct Link {
    prev: u32,
    next: u32,
    /// Second in which the entry was put at the end.
    queued_s: u32,
}

#[derive(Clone, Copy)]
struct List {
    head: u32,
    tail: u32,
    len: u32,
}

pub(super) struct Order {
    links: Box<[Link]>,
    lists: Box<[List]>,
    /// One more than the largest port that ever had an entry: no list from here on has any.
    ports: usize,
    total: u32,
}

impl Order {
    pub(super) const SLOT_BYTES: usize = size_of::<Link>();

    pub(super) fn new(slots: usize, ports: usize) -> Self {
        let link = Link {
            prev: NONE,
            next: NONE,
            queued_s: 0,
        };
        let list = List {
            head: NONE,
            tail: NONE,
            len: 0,
        };
        Self {
            links: vec![link; slots].into_boxed_slice(),
            lists: vec![list; ports].into_boxed_slice(),
            ports: 0,
            total: 0,
        }
    }

    /// Learned entries of all ports.
    pub(super) const fn total(&self) -> u32 {
        self.total
    }

    /// Learned entries of a port.
    pub(super) fn count(&self, port: PortIndex) -> u32 {
        self.lists[port.index()].len
    }

    /// Ports that have any, with their number.
    pub(super) fn counts(&self) -> impl Iterator<Item = (PortIndex, u32)> + '_ {
        (0u16..)
            .zip(&self.lists)
            .filter(|(_, list)| list.len > 0)
            .map(|(i, list)| (PortIndex(i), list.len))
    }

    /// Puts a slot that is in no list at the end of `port`'s.
    pub(super) fn append(&mut self, slot: SlotIndex, port: PortIndex, now_s: u32) {
        let list = &mut self.lists[port.index()];
        self.links[slot.index()] = Link {
            prev: list.tail,
            next: NONE,
            queued_s: now_s,
        };
        if list.tail == NONE {
            list.head = slot.0;
        } else {
            self.links[list.tail as usize].next = slot.0;
        }
        list.tail = slot.0;
        list.len += 1;
        self.ports = self.ports.max(port.index() + 1);
        self.total += 1;
    }

    /// Takes a slot out of `port`'s list, in which it must be.
    pub(super) fn unlink(&mut self, slot: SlotIndex, port: PortIndex) {
        let Link { prev, next, .. } = self.links[slot.index()];
        let list = &mut self.lists[port.index()];
        if prev == NONE {
            list.head = next;
        } else {
            self.links[prev as usize].next = next;
        }
        if next == NONE {
            list.tail = prev;
        } else {
            self.links[next as usize].prev = prev;
        }
        list.len -= 1;
        self.total -= 1;
    }

    /// Puts `to`, which is in no list, where `from` is.
    pub(super) fn relink(&mut self, from: SlotIndex, to: SlotIndex, port: PortIndex) {
        let link = self.links[from.index()];
        self.links[to.index()] = link;
        let list = &mut self.lists[port.index()];
        if link.prev == NONE {
            list.head = to.0;
        } else {
            self.links[link.prev as usize].next = to.0;
        }
        if link.next == NONE {
            list.tail = to.0;
        } else {
            self.links[link.next as usize].prev = to.0;
        }
    }

    /// The entry to give up: of the port with most, the one queued longest that was not seen since.
    pub(super) fn oldest_of_the_fullest(
        &mut self,
        now_s: u32,
        seen_s: impl Fn(SlotIndex) -> u32,
    ) -> Option<SlotIndex> {
        let (port, _) = (0u16..)
            .zip(&self.lists[..self.ports])
            .max_by_key(|(_, list)| list.len)?;
        let port = PortIndex(port);
        for _ in 0..SECOND_CHANCES {
            let head = self.head(port)?;
            if seen_s(head) <= self.links[head.index()].queued_s {
                return Some(head);
            }
            self.unlink(head, port);
            self.append(head, port, now_s);
        }
        self.head(port)
    }

    fn head(&self, port: PortIndex) -> Option<SlotIndex> {
        let head = self.lists[port.index()].head;
        (head != NONE).then_some(SlotIndex(head))
    }
}
