//! The harness: two systems and the links between their members.

extern crate std;

use super::super::*;
use std::collections::HashMap;
use std::vec;
use std::vec::Vec;
use vswitch_base::{Duration, MacAddr};

pub(super) const LINK: LinkState = LinkState {
    up: true,
    speed: 10_000,
    full_duplex: true,
};

pub(super) const fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

pub(super) const fn system(last: u8) -> SystemId {
    SystemId {
        priority: 65535,
        mac: MacAddr([2, 0, 0, 0, 0, last]),
    }
}

pub(super) const fn member(number: u16) -> MemberConfig {
    MemberConfig {
        number,
        priority: 255,
        user_key: 0,
        enabled: true,
        aggregatable: true,
    }
}

/// Two systems; member `i` of one is wired to member `wires[i]` of the other.
pub(super) struct Pair {
    pub(super) sides: [Lacp; 2],
    pub(super) now: Instant,
    pub(super) wires: Vec<u16>,
    /// By side of the sender and its member: lost.
    pub(super) lost: [Vec<bool>; 2],
    /// Milliseconds on the wire.
    pub(super) delay: u64,
    on_way: Vec<(Instant, usize, PortIndex, [u8; PDU_LEN])>,
    sent: HashMap<(usize, PortIndex), Vec<Instant>>,
    pub(super) events: [Vec<Event>; 2],
}

impl Pair {
    pub(super) fn new(configs: [Config; 2], members: u16) -> Self {
        let lost = vec![false; usize::from(members)];
        let mut pair = Self {
            sides: configs.map(Lacp::new),
            now: at(1_000),
            wires: (0..members).collect(),
            lost: [lost.clone(), lost],
            delay: 1,
            on_way: Vec::new(),
            sent: HashMap::new(),
            events: [Vec::new(), Vec::new()],
        };
        for side in 0..2 {
            pair.fill(side);
        }
        pair
    }

    /// Adds the members of a side.
    pub(super) fn fill(&mut self, side: usize) {
        for number in 0..u16::try_from(self.wires.len()).unwrap() {
            let index = PortIndex(number);
            self.sides[side]
                .add_member(index, member(number + 1), LINK, self.now)
                .unwrap();
        }
    }

    /// The process of a side begins again.
    pub(super) fn restart(&mut self, side: usize) {
        self.sides[side] = Lacp::new(self.sides[side].config);
        self.sent.retain(|(of, _), _| *of != side);
        self.fill(side);
    }

    fn other_end(&self, side: usize, from: PortIndex) -> PortIndex {
        if side == 0 {
            PortIndex(self.wires[from.index()])
        } else {
            let found = self.wires.iter().position(|to| *to == from.0).unwrap();
            PortIndex(u16::try_from(found).unwrap())
        }
    }

    /// Sends what there is to send, and holds each link to three LACPDUs a second.
    fn flush(&mut self) {
        for side in 0..2 {
            while let Some((from, pdu)) = self.sides[side].poll_transmit(self.now) {
                if pdu[0] == 1 {
                    let sent = self.sent.entry((side, from)).or_default();
                    sent.push(self.now);
                    let second = Duration::from_secs(1);
                    let recent = sent.iter().filter(|t| self.now - **t < second).count();
                    assert!(recent <= 3, "{recent} PDUs in a second by {from:?}");
                }
                if !self.lost[side][from.index()] {
                    let to = self.other_end(side, from);
                    let arrives = self.now + Duration::from_millis(self.delay);
                    self.on_way.push((arrives, 1 - side, to, pdu));
                }
            }
            while let Some(event) = self.sides[side].poll_event() {
                self.events[side].push(event);
            }
        }
    }

    /// Lets so many milliseconds pass.
    pub(super) fn run(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        loop {
            self.flush();
            let timers = self.sides.iter().filter_map(Lacp::poll_timeout);
            let next = timers.chain(self.on_way.iter().map(|(at, ..)| *at)).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            assert!(next > self.now || self.delay == 0, "nothing is due twice");
            self.now = next.max(self.now);
            let (due, later) = self.on_way.drain(..).partition(|(at, ..)| *at <= self.now);
            let due: Vec<_> = due;
            self.on_way = later;
            for (_, side, to, pdu) in due {
                self.sides[side].handle_pdu(to, &pdu, self.now).unwrap();
            }
            for side in &mut self.sides {
                side.handle_timeout(self.now);
            }
        }
        self.now = end;
    }

    /// Members of a side that collect, and that distribute.
    pub(super) fn open(&self, side: usize) -> (usize, usize) {
        let status: Vec<_> = self.status(side);
        let count = |of: fn(&MemberStatus) -> bool| status.iter().filter(|s| of(s)).count();
        (count(|s| s.collecting), count(|s| s.distributing))
    }

    pub(super) fn status(&self, side: usize) -> Vec<MemberStatus> {
        let lacp = &self.sides[side];
        lacp.members().filter_map(|m| lacp.member(m)).collect()
    }

    /// No member sends to a partner that does not collect.
    pub(super) fn assert_no_hole(&self) {
        for side in 0..2 {
            for from in self.sides[side].members() {
                let ours = self.sides[side].member(from).unwrap();
                let to = self.other_end(side, from);
                let theirs = self.sides[1 - side].member(to).unwrap();
                assert!(!ours.distributing || theirs.collecting, "{side} {from:?}");
            }
        }
    }
}
