//! Bonds of every kind below a switch that learns, floods and forgets, and knows of no bond: nobody gets a frame
//! twice, no machine's address is taken for one out there, and a machine that moves is followed (features.md
//! 3.7).
//!
//! Ports 1 to 3 are machines' ports of VLAN 10; 11 to 13 the members of bond 10, each on a port of its own of the
//! switch beyond, where stations have ports 101 and 102. Each frame carries a number, so that copies are told
//! from equal frames.

use crate::lan;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use vswitch_base::{Duration, MacAddr, PortIndex};
use vswitch_core::bond::{Admits, Buckets, Copies, HashKey, Hashed, Once, Share, Transmit, Turns};
use vswitch_core::testing::announcements::rarp;
use vswitch_core::testing::{MemSwitch, dot1q, station, vid};
use vswitch_tests::{plain, tagged};

const BOND: u16 = 10;
const MEMBERS: [u16; 3] = [11, 12, 13];
const MACHINES: [u32; 3] = [1, 2, 3];
const OUTSIDE: [u16; 2] = [101, 102];
/// Where a frame of 60 bytes has its number: in the padding of the shortest announcement.
const NUMBER_AT: usize = 50;
const SEED: u32 = 9;

/// The switch beyond. With `lag`, somebody told it that its ports to our members are one.
#[derive(Default)]
struct Beyond {
    lag: bool,
    table: BTreeMap<[u8; 6], u16>,
    turn: usize,
}

impl Beyond {
    fn same(&self, a: u16, b: u16) -> bool {
        a == b || self.lag && MEMBERS.contains(&a) && MEMBERS.contains(&b)
    }

    /// Where a frame that came in there goes.
    fn takes(&mut self, from: u16, bytes: &[u8]) -> Vec<u16> {
        let [dst, src]: [[u8; 6]; 2] = [0, 6].map(|at| bytes[at..at + 6].try_into().unwrap());
        self.table.insert(src, from);
        let to = self.table.get(&dst).copied().filter(|_| dst[0] & 1 == 0);
        self.turn += 1;
        let mut ports: Vec<u16> = OUTSIDE.to_vec();
        if self.lag {
            ports.push(MEMBERS[self.turn % MEMBERS.len()]);
        } else {
            ports.extend(MEMBERS);
        }
        if let Some(to) = to {
            ports = vec![to];
        }
        ports.retain(|port| !self.same(*port, from));
        ports
    }
}

/// How the bond works, and what can be asked of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    ActiveBackup,
    RoundRobin,
    Xor,
    Broadcast,
    Slb,
}

const KINDS: [Kind; 5] = [
    Kind::ActiveBackup,
    Kind::RoundRobin,
    Kind::Xor,
    Kind::Broadcast,
    Kind::Slb,
];

impl Kind {
    fn transmit(self, active: u16) -> Transmit {
        let members: Box<[PortIndex]> = MEMBERS.map(PortIndex).into();
        let hashed = |key| {
            Transmit::Hashed(Hashed {
                key,
                seed: SEED,
                buckets: Buckets::new(&members),
                moving: None,
            })
        };
        match self {
            Self::ActiveBackup => Transmit::One(PortIndex(active)),
            Self::RoundRobin => Transmit::Turns(Turns {
                members: members.iter().map(|member| (*member, true)).collect(),
                packets_per_slave: 1,
                groups: members[0],
            }),
            Self::Xor => hashed(HashKey::Flow(vswitch_base::flow::HashPolicy::Layer2)),
            Self::Slb => hashed(HashKey::Station),
            Self::Broadcast => Transmit::Copies(members),
        }
    }

    fn admits(self, active: u16, copies: &Arc<Copies>) -> [Admits; 3] {
        let owners = Buckets::new(&MEMBERS.map(PortIndex));
        [0, 1, 2].map(|number| match self {
            Self::ActiveBackup if MEMBERS[number] != active => Admits::Nothing,
            Self::ActiveBackup | Self::RoundRobin | Self::Xor => Admits::Everything,
            Self::Broadcast => Admits::Once(Once::new(copies, number, 3).unwrap()),
            Self::Slb => {
                let mine = |owner: &PortIndex| owner.0 == MEMBERS[number];
                Admits::Share(Share {
                    groups: number == 0,
                    seed: SEED,
                    stations: owners.owners().iter().map(mine).collect(),
                    handover: None,
                })
            }
        })
    }

    /// Whether it needs a switch that knows of it, to be spared what others flood: then what comes from
    /// outside comes once by each member.
    fn needs_lag(self) -> bool {
        matches!(self, Self::RoundRobin | Self::Xor)
    }
}

/// Our switch, the one beyond, and who is where.
struct Rig {
    switch: MemSwitch,
    beyond: Beyond,
    kind: Kind,
    copies: Arc<Copies>,
    active: u16,
    /// Stations that are outside, and by which port there; machines that are not are at home.
    outside: BTreeMap<u32, u16>,
    /// How often each frame reached each port, ours and beyond.
    reached: BTreeMap<(u32, u16), usize>,
    number: u32,
}

impl Rig {
    fn new(kind: Kind, lag: bool) -> Self {
        let mut switch = lan(3);
        for member in MEMBERS {
            switch.add_member(member, BOND, Admits::Nothing);
        }
        let mut rig = Self {
            switch,
            beyond: Beyond {
                lag,
                ..Beyond::default()
            },
            kind,
            copies: Arc::default(),
            active: MEMBERS[0],
            outside: BTreeMap::from([(101, 101), (102, 102)]),
            reached: BTreeMap::new(),
            number: 0,
        };
        rig.activate(MEMBERS[0]);
        rig
    }

    fn activate(&mut self, active: u16) {
        self.active = active;
        let admits = self.kind.admits(active, &self.copies);
        for (member, admits) in MEMBERS.into_iter().zip(admits) {
            self.switch.change(member, |view| view.admits = admits);
        }
        let mut view = crate::trunk(BOND, &[10]);
        view.flags.reflects = true;
        self.switch.bond(BOND, view, self.kind.transmit(active));
    }

    /// Sends a frame from where that station is; its number.
    fn send(&mut self, from: u32, make: impl Fn(bool) -> Vec<u8>) -> u32 {
        self.number += 1;
        let place = self.outside.get(&from).copied();
        let mut bytes = make(place.is_some());
        let at = NUMBER_AT + if place.is_some() { 4 } else { 0 };
        bytes[at..at + 4].copy_from_slice(&self.number.to_be_bytes());
        match place {
            Some(port) => self.deliver(port, bytes),
            None => {
                self.switch.inject(u16::try_from(from).unwrap(), bytes);
                self.settle(VecDeque::new());
            }
        }
        self.number
    }

    fn say(&mut self, from: u32, to: MacAddr) -> u32 {
        self.send(from, |is_tagged| {
            if is_tagged {
                tagged(to, station(from), &[dot1q(10)])
            } else {
                plain(to, station(from))
            }
        })
    }

    fn announce(&mut self, from: u32) -> u32 {
        self.send(from, |is_tagged| {
            let tags = [dot1q(10)];
            rarp(station(from), if is_tagged { &tags } else { &[] })
        })
    }

    /// A frame came in at a port beyond.
    fn deliver(&mut self, port: u16, bytes: Vec<u8>) {
        self.settle(VecDeque::from([(port, bytes)]));
    }

    /// Carries frames over and back until none is under way.
    fn settle(&mut self, mut arriving: VecDeque<(u16, Vec<u8>)>) {
        for _ in 0..1000 {
            for (port, frames) in self.switch.take_sent() {
                for frame in frames {
                    if MEMBERS.contains(&port) {
                        arriving.push_back((port, frame.bytes));
                    } else {
                        self.note(port, &frame.bytes, NUMBER_AT);
                    }
                }
            }
            let Some((from, bytes)) = arriving.pop_front() else {
                return;
            };
            for to in self.beyond.takes(from, &bytes) {
                if MEMBERS.contains(&to) {
                    self.switch.inject(to, bytes.clone());
                } else {
                    self.note(to, &bytes, NUMBER_AT + 4);
                }
            }
        }
        panic!("frames go round for ever");
    }

    fn note(&mut self, port: u16, bytes: &[u8], at: usize) {
        let number = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        *self.reached.entry((number, port)).or_default() += 1;
    }

    fn times(&self, number: u32, port: u16) -> usize {
        self.reached.get(&(number, port)).copied().unwrap_or(0)
    }

    /// Where a station gets its frames.
    fn place(&self, of: u32) -> u16 {
        let outside = self.outside.get(&of).copied();
        outside.unwrap_or_else(|| u16::try_from(of).unwrap())
    }

    /// Nobody of ours got a frame of `from` twice, nor its own; whoever it is for got it.
    fn check(&self, number: u32, from: u32, to: &[u32]) {
        let spared = !self.kind.needs_lag() || self.beyond.lag || !self.outside.contains_key(&from);
        for machine in MACHINES {
            let port = u16::try_from(machine).unwrap();
            let times = self.times(number, port);
            let most = if self.place(from) == port { 0 } else { 1 };
            let what = (self.kind, number, from, to, port);
            assert!(times <= most || !spared, "{times} times: {what:?}");
        }
        for to in to {
            let times = self.times(number, self.place(*to));
            assert!(times > 0, "lost: {:?}", (self.kind, number, from, to));
        }
        for machine in MACHINES {
            let hit = self.switch.fdb(0).find(Some(vid(10)), station(machine));
            let at = hit.map(|hit| hit.port.0);
            let home = u16::try_from(machine).unwrap();
            let is = if self.outside.contains_key(&machine) {
                BOND
            } else {
                home
            };
            assert!(
                at.is_none_or(|at| at == is),
                "{machine} at {at:?}: {:?}",
                self.kind
            );
        }
    }

    /// Everybody but one.
    fn others(&self, from: u32) -> Vec<u32> {
        let all = MACHINES.into_iter().chain([101, 102]);
        // Of two behind one port beyond, that switch sends nothing from one to the other.
        all.filter(|other| self.place(*other) != self.place(from))
            .collect()
    }

    fn speak(&mut self, from: u32, to: Option<u32>) {
        let dst = to.map_or(MacAddr::BROADCAST, station);
        let number = self.say(from, dst);
        let to = to.map_or_else(|| self.others(from), |to| vec![to]);
        let to: Vec<u32> = to
            .into_iter()
            .filter(|to| self.place(*to) != self.place(from))
            .collect();
        self.check(number, from, &to);
    }

    /// It is somewhere else and says so, and only so.
    fn move_to(&mut self, machine: u32, outside: Option<u16>) {
        self.switch.now = self.switch.now + Duration::from_secs(7);
        match outside {
            Some(port) => self.outside.insert(machine, port),
            None => self.outside.remove(&machine),
        };
        let number = self.announce(machine);
        self.check(number, machine, &self.others(machine));
    }
}

/// N-02, N-04, N-21: what a machine sends comes back by no member, nobody is looked for in the wrong place,
/// and a machine that moves is followed at its RARP.
#[test]
fn a_switch_that_knows_of_no_bond_does_no_harm() {
    for kind in KINDS {
        for lag in [false, true] {
            if lag && matches!(kind, Kind::ActiveBackup | Kind::Slb) {
                // Told of a bond that is none, a switch sends to members that take nothing.
                continue;
            }
            let mut rig = Rig::new(kind, lag);
            for from in [1, 2, 101, 3, 102] {
                rig.speak(from, None);
            }
            for (from, to) in [(1, 101), (101, 1), (2, 1), (102, 3), (1, 3)] {
                rig.speak(from, Some(to));
            }
            rig.beyond.table.clear();
            for (from, to) in [(101, 1), (102, 2), (101, 3)] {
                rig.speak(from, Some(to));
            }
            rig.speak(1, None);
            rig.move_to(1, Some(102));
            // The first frame to it, and the first from it.
            rig.speak(2, Some(1));
            rig.speak(1, Some(2));
            rig.move_to(1, None);
            rig.speak(2, Some(1));
            rig.speak(101, Some(1));
        }
    }
}

/// A-03, N-21: sent twice is delivered twice, though the frames are equal to the last bit.
#[test]
fn a_broadcast_bond_tells_copies_from_equal_frames() {
    let mut rig = Rig::new(Kind::Broadcast, false);
    rig.speak(2, None);
    let mut bytes = tagged(station(2), station(101), &[dot1q(10)]);
    bytes[NUMBER_AT + 4..NUMBER_AT + 8].copy_from_slice(&7u32.to_be_bytes());
    for _ in 0..5 {
        // Unknown beyond: flooded to each member.
        rig.beyond.table.clear();
        rig.deliver(101, bytes.clone());
    }
    assert_eq!(rig.times(7, 2), 5);
    // By one member only, since the others lost it.
    let before = rig.times(7, 2);
    rig.switch.now = rig.switch.now + Duration::from_secs(1);
    rig.switch.inject(12, bytes);
    rig.settle(VecDeque::new());
    assert_eq!(rig.times(7, 2), before + 1);
}

#[derive(Clone, Debug)]
enum Op {
    Say(usize, Option<usize>),
    Announce(usize),
    Move(usize, Option<usize>),
    /// The switch beyond forgets everybody.
    Forget,
    /// Another member is active, and whoever is here is announced.
    Fail(usize),
    Wait(u64),
}

fn an_op() -> impl Strategy<Value = Op> {
    let who = 0..5usize;
    prop_oneof![
        8 => (who.clone(), proptest::option::of(who.clone())).prop_map(|(a, b)| Op::Say(a, b)),
        2 => who.prop_map(Op::Announce),
        2 => (0..3usize, proptest::option::of(0..2usize)).prop_map(|(m, p)| Op::Move(m, p)),
        2 => Just(Op::Forget),
        1 => (0..3usize).prop_map(Op::Fail),
        2 => (0..40u64).prop_map(Op::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// N-01, N-02, N-04, N-21: the same of any history.
    #[test]
    fn nobody_gets_a_frame_twice_and_everybody_is_found(
        kind in prop::sample::select(&KINDS[..]),
        ops in prop::collection::vec(an_op(), 1..60),
    ) {
        let everybody = [1, 2, 3, 101, 102];
        let mut rig = Rig::new(kind, false);
        for from in everybody {
            rig.speak(from, None);
        }
        for op in ops {
            match op {
                Op::Say(from, to) => rig.speak(everybody[from], to.map(|to| everybody[to])),
                Op::Announce(from) => {
                    let from = everybody[from];
                    let number = rig.announce(from);
                    rig.check(number, from, &rig.others(from));
                }
                Op::Move(machine, port) => rig.move_to(MACHINES[machine], port.map(|port| OUTSIDE[port])),
                Op::Forget => rig.beyond.table.clear(),
                Op::Fail(active) => {
                    rig.activate(MEMBERS[active]);
                    for machine in MACHINES {
                        if !rig.outside.contains_key(&machine) {
                            rig.announce(machine);
                        }
                    }
                }
                Op::Wait(seconds) => rig.switch.now = rig.switch.now + Duration::from_secs(seconds),
            }
        }
    }
}
