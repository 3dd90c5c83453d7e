//! The rig: two ends, three links that can fail in every way, hosts that talk, and the book of what they said.
//!
//! A link carries frames in a time of its own. A loss of carrier is seen by both ends [`NOTICE`] later; a loss
//! one way is seen by nobody. Every [`TICK`] each host says a frame to a host at the other end, each from
//! another of its stations in turn, and at times one to all.

use super::beyond::Beyond;
use super::ours::Ours;
use std::collections::{BTreeMap, BTreeSet};
use vswitch_api::config::BondConfig;
use vswitch_base::{Duration, Instant, MacAddr};
use vswitch_core::testing::{dot1q, station};
use vswitch_tests::rng::Rng;
use vswitch_tests::{EXPERIMENTAL, plain, tagged};

pub(super) const MEMBERS: [u16; 3] = [11, 12, 13];
pub(super) const HOSTS: [u16; 2] = [1, 2];
/// From a carrier that changed to the end that knows.
pub(super) const NOTICE: u64 = 5;
pub(super) const TICK: u64 = 25;
/// What a link takes.
pub(super) const DELAY: u64 = 1;
/// Stations behind each host's port.
const STATIONS: u32 = 6;
/// One frame in so many is for all.
const BROADCASTS: usize = 5;
/// Where in an IPv4 packet its destination is, which then is the frame's number.
const DESTINATION: usize = 16;
/// LACPDUs of a member in any second.
const LACPDUS: usize = 3;

/// A port that a frame leaves by, and the frame.
pub(super) type Out = (u16, Vec<u8>);
/// A host: its side and port.
pub(super) type Host = (usize, u16);

pub(super) fn is_member(port: u16) -> bool {
    MEMBERS.contains(&port)
}

pub(super) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The stations behind a host's port.
pub(super) fn stations(side: usize, host: u16) -> impl Iterator<Item = MacAddr> {
    let first = u32::try_from(side).unwrap() * 0x100 + u32::from(host) * 0x10;
    (first..first + STATIONS).map(station)
}

pub(super) enum End {
    Ours(Box<Ours>),
    Beyond(Beyond),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    /// The number of the member at each side.
    pub(super) ends: [usize; 2],
    pub(super) carrier: bool,
    /// By side of the sender.
    pub(super) lossy: [bool; 2],
    pub(super) delay: u64,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    at: Instant,
    from: Host,
    to: Option<Host>,
}

/// A frame that somebody did not get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    pub(super) at: Instant,
    /// A link took it, and not a switch.
    pub(super) eaten: bool,
    #[expect(dead_code, reason = "read in the text of a failure")]
    from: Host,
    #[expect(dead_code, reason = "read in the text of a failure")]
    to: Host,
}

enum Event {
    /// A frame arrives at that side by a link.
    Frame(usize, usize, Vec<u8>),
    /// An end sees that its member's link is so.
    Seen(usize, usize, bool),
}

pub(super) struct Rig {
    pub(super) ends: [End; 2],
    pub(super) links: [Link; 3],
    pub(super) now: Instant,
    coming: BTreeMap<(Instant, usize), Event>,
    serial: usize,
    talks: Instant,
    /// From one frame of a host to its next.
    pub(super) tick: Duration,
    pub(super) quiet: bool,
    /// What is said is IP.
    pub(super) ip: bool,
    /// No Marker arrives, as with a partner that has no responder.
    pub(super) no_markers: bool,
    /// The latest frame of each pair of stations that its host got.
    latest: BTreeMap<(Host, Vec<u8>), usize>,
    /// Frames that a host got after a later one of the same pair.
    pub(super) overtaken: usize,
    said: Vec<Said>,
    got: BTreeMap<(usize, Host), usize>,
    eaten: BTreeSet<usize>,
    /// When each side sent LACPDUs by each member.
    lacpdus: BTreeMap<(usize, usize), Vec<Instant>>,
    what: String,
}

impl Rig {
    /// With no second configuration, the other end is a switch that knows of no bond.
    pub(super) fn new(what: String, here: &BondConfig, there: Option<&BondConfig>) -> Self {
        let there = there.map_or_else(
            || End::Beyond(Beyond::default()),
            |config| End::Ours(Box::new(Ours::new(1, config))),
        );
        let link = |number| Link {
            ends: [number; 2],
            carrier: true,
            lossy: [false; 2],
            delay: DELAY,
        };
        let now = Instant::ZERO + ms(10_000);
        let mut rig = Self {
            ends: [End::Ours(Box::new(Ours::new(0, here))), there],
            links: [0, 1, 2].map(link),
            now,
            coming: BTreeMap::new(),
            serial: 0,
            talks: now,
            tick: ms(TICK),
            quiet: false,
            ip: false,
            no_markers: false,
            latest: BTreeMap::new(),
            overtaken: 0,
            said: Vec::new(),
            got: BTreeMap::new(),
            eaten: BTreeSet::new(),
            lacpdus: BTreeMap::new(),
            what,
        };
        for link in 0..3 {
            rig.show(link, ms(0));
        }
        rig
    }

    pub(super) fn ours(&mut self, side: usize) -> Option<&mut Ours> {
        match &mut self.ends[side] {
            End::Ours(ours) => Some(ours),
            End::Beyond(_) => None,
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.serial += 1;
        self.coming.insert((at, self.serial), event);
    }

    /// Both ends are to see how a link is.
    fn show(&mut self, link: usize, after: Duration) {
        let Link { ends, carrier, .. } = self.links[link];
        for (side, end) in ends.into_iter().enumerate() {
            self.at(self.now + after, Event::Seen(side, end, carrier));
        }
    }

    pub(super) fn set_carrier(&mut self, link: usize, carrier: bool) {
        self.links[link].carrier = carrier;
        if !carrier {
            let lost = |event: &Event| match event {
                Event::Frame(by, _, bytes) if *by == link => number_of(bytes),
                _ => None,
            };
            self.eaten.extend(self.coming.values().filter_map(lost));
            self.coming
                .retain(|_, event| !matches!(event, Event::Frame(by, ..) if *by == link));
        }
        self.show(link, ms(NOTICE));
    }

    /// The cables of two links change places at the far side.
    pub(super) fn swap(&mut self, one: usize, other: usize) {
        let (a, b) = (self.links[one].ends[1], self.links[other].ends[1]);
        (self.links[one].ends[1], self.links[other].ends[1]) = (b, a);
    }

    /// The process of a side ends and another begins after that time; carriers stay.
    pub(super) fn restart(&mut self, side: usize, after: Duration) {
        match &mut self.ends[side] {
            End::Ours(ours) => ours.restart(),
            End::Beyond(beyond) => beyond.restart(),
        }
        // Another process may send what this one did a moment ago.
        self.lacpdus.retain(|(of, _), _| *of != side);
        for link in self.links {
            let seen = Event::Seen(side, link.ends[side], link.carrier);
            self.at(self.now + after, seen);
        }
    }

    pub(super) fn configure(&mut self, side: usize, config: &BondConfig) {
        let now = self.now;
        let ours = self.ours(side).expect("a switch of ours");
        let out = ours.configure(config, now);
        self.leave(side, out);
    }

    /// A stranger puts frames on the wire of a member, at once.
    pub(super) fn forge(&mut self, side: usize, member: usize, frames: Vec<Vec<u8>>) {
        let now = self.now;
        let ours = self.ours(side).expect("a switch of ours");
        let mut out = Vec::new();
        if ours.is_there() {
            out = ours.take_all(MEMBERS[member], frames, now);
        }
        self.leave(side, out);
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        for _ in 0..10_000_000 {
            let ends = self.ends.iter().filter_map(|end| match end {
                End::Ours(ours) => ours.deadline(),
                End::Beyond(_) => None,
            });
            let talks = (!self.quiet).then_some(self.talks);
            let first = self.coming.keys().next().map(|(at, _)| *at);
            let next = ends.chain(talks).chain(first).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            self.step();
        }
        panic!("{}: no end of things to do at {:?}", self.what, self.now);
    }

    fn step(&mut self) {
        while let Some(first) = self.coming.first_entry()
            && first.key().0 <= self.now
        {
            match first.remove() {
                Event::Frame(link, side, bytes) => {
                    let port = MEMBERS[self.links[link].ends[side]];
                    self.arrive(side, port, bytes);
                }
                Event::Seen(side, member, running) => {
                    match &mut self.ends[side] {
                        End::Ours(ours) => ours.see(member, running),
                        End::Beyond(beyond) => beyond.see(member, running),
                    }
                    self.update(side);
                }
            }
        }
        if !self.quiet && self.talks <= self.now {
            self.talks = self.now + self.tick;
            self.talk();
        }
        for side in 0..2 {
            let now = self.now;
            if let Some(ours) = self.ours(side)
                && ours.deadline().is_some_and(|at| at <= now)
            {
                self.update(side);
            }
        }
    }

    fn update(&mut self, side: usize) {
        let now = self.now;
        let out = self.ours(side).map(|ours| ours.update(now));
        self.leave(side, out.unwrap_or_default());
    }

    fn arrive(&mut self, side: usize, port: u16, bytes: Vec<u8>) {
        let now = self.now;
        let out = match &mut self.ends[side] {
            End::Ours(ours) if ours.is_there() => ours.take(port, bytes, now),
            End::Beyond(beyond) if beyond.is_there() => beyond.take(port, &bytes),
            _ => {
                self.eaten.extend(number_of(&bytes));
                return;
            }
        };
        self.leave(side, out);
    }

    /// Frames leave a side: by a link, or to a host.
    fn leave(&mut self, side: usize, out: Vec<Out>) {
        for (port, bytes) in out {
            let Some(member) = MEMBERS.iter().position(|member| *member == port) else {
                self.reach((side, port), &bytes);
                continue;
            };
            let found = self.links.iter().position(|l| l.ends[side] == member);
            let number = found.expect("each member has a link");
            let link = self.links[number];
            if bytes[12..15] == [0x88, 0x09, 1] {
                self.note_lacpdu(side, member);
            }
            if self.no_markers && bytes[12..15] == [0x88, 0x09, 2] {
                continue;
            }
            if !link.carrier || link.lossy[side] {
                self.eaten.extend(number_of(&bytes));
                continue;
            }
            let event = Event::Frame(number, 1 - side, bytes);
            self.at(self.now + ms(link.delay), event);
        }
    }

    fn note_lacpdu(&mut self, side: usize, member: usize) {
        let sent = self.lacpdus.entry((side, member)).or_default();
        sent.push(self.now);
        sent.retain(|at| self.now - *at < ms(1_000));
        assert!(
            sent.len() <= LACPDUS,
            "{}: {sent:?} by {member} of {side}",
            self.what
        );
    }

    /// A host got a frame: never its own, and never twice.
    fn reach(&mut self, host: Host, bytes: &[u8]) {
        let Some(number) = number_of(bytes) else {
            return;
        };
        let latest = self.latest.entry((host, bytes[..12].to_vec()));
        let latest = latest.or_insert(number);
        self.overtaken += usize::from(number < *latest);
        *latest = number.max(*latest);
        let times = self.got.entry((number, host)).or_default();
        *times += 1;
        let said = self.said[number];
        let most = usize::from(said.from != host);
        assert!(
            *times <= most,
            "{}: {host:?} got {number} {times} times at {:?}: {said:?}",
            self.what,
            self.now
        );
    }

    fn talk(&mut self) {
        for side in 0..2 {
            let there = match &self.ends[side] {
                End::Ours(ours) => ours.is_there(),
                End::Beyond(beyond) => beyond.is_there(),
            };
            for port in HOSTS {
                let number = self.said.len();
                let from = stations(side, port)
                    .nth(number / 4 % STATIONS as usize)
                    .unwrap();
                // Any of them, so that flows are of every kind.
                let mut choice = Rng::new(number as u64);
                let other = (1 - side, choice.pick(&HOSTS));
                let to = (!number.is_multiple_of(BROADCASTS)).then_some(other);
                let dst = to.map_or(MacAddr::BROADCAST, |(side, port)| {
                    let any = choice.below(STATIONS as usize);
                    stations(side, port).nth(any).unwrap()
                });
                let (mut bytes, at) = match side {
                    1 if matches!(self.ends[1], End::Beyond(_)) => {
                        (tagged(dst, from, &[dot1q(10)]), 18)
                    }
                    _ => (plain(dst, from), 14),
                };
                let at = if self.ip {
                    bytes[at - 2..=at].copy_from_slice(&[0x08, 0, 0x45]);
                    at + DESTINATION
                } else {
                    at
                };
                bytes[at..at + 4].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
                self.said.push(Said {
                    at: self.now,
                    from: (side, port),
                    to,
                });
                if there {
                    self.arrive(side, port, bytes);
                } else {
                    self.eaten.insert(number);
                }
            }
        }
    }

    /// What was said since then and did not reach whom it was for. Nothing may be under way.
    pub(super) fn lost_since(&self, since: Instant) -> Vec<Lost> {
        let all = [(0, 1), (0, 2), (1, 1), (1, 2)];
        let mut lost = Vec::new();
        for (number, said) in self.said.iter().enumerate().filter(|(_, s)| s.at >= since) {
            let to = all.into_iter();
            let to = to.filter(|host| *host != said.from && said.to.is_none_or(|to| to == *host));
            lost.extend(
                to.filter(|to| !self.got.contains_key(&(number, *to)))
                    .map(|to| Lost {
                        at: said.at,
                        eaten: self.eaten.contains(&number),
                        from: said.from,
                        to,
                    }),
            );
        }
        lost
    }

    /// Nothing is said until all that is under way has arrived.
    pub(super) fn drain(&mut self) {
        self.quiet = true;
        let slowest = self.links.iter().map(|link| link.delay).max().unwrap_or(0);
        self.run(ms(slowest + 1));
        self.quiet = false;
        self.talks = self.now;
        for side in 0..2 {
            if let Some(ours) = self.ours(side) {
                ours.switch.assert_conserved();
            }
        }
    }

    pub(super) fn what(&self) -> &str {
        &self.what
    }
}

/// The number of a host's frame.
fn number_of(bytes: &[u8]) -> Option<usize> {
    let at = if bytes[12..14] == [0x81, 0] { 16 } else { 12 };
    let kind = [bytes[at], bytes[at + 1]];
    let at = match kind {
        [0x08, 0] => at + 2 + DESTINATION,
        other if other == EXPERIMENTAL.0.to_be_bytes() => at + 2,
        _ => return None,
    };
    let number = bytes[at..at + 4].try_into().unwrap();
    usize::try_from(u32::from_be_bytes(number)).ok()
}
