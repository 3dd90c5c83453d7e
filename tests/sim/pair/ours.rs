//! A switch of ours: a bond, the passes it steers, and what a control thread does between them.

use super::rig::{HOSTS, MEMBERS, Out, is_member, ms};
use crate::lan;
use vswitch_api::config::BondConfig;
use vswitch_base::{EtherView, Instant, MacAddr, PortIndex};
use vswitch_controller::bond::moving::Order;
use vswitch_controller::bond::negotiation::frame;
use vswitch_controller::bond::{Bond, Happened, LinkSeen, WantedBond};
use vswitch_core::bond::{Admits, Transmit};
use vswitch_core::testing::announcements::rarp;
use vswitch_core::testing::{MemSwitch, dot1q, station};
use vswitch_core::verdict::PuntReason;
use vswitch_tests::tagged;

const BOND: u16 = 10;

/// What the passes were last told.
type Part = (Transmit, bool, Vec<Option<Admits>>);

pub(super) struct Ours {
    pub(super) bond: Bond,
    pub(super) switch: MemSwitch,
    side: usize,
    seen: [LinkSeen; 3],
    told: Option<Part>,
    epoch: u16,
    /// Until then the control thread does nothing; the passes go on.
    stalled: Option<Instant>,
    /// What it has not heard yet.
    waiting: Vec<(PortIndex, Vec<u8>)>,
    /// Frames that a member did not let in since the bond takes nothing there.
    pub(super) refused: usize,
    /// When the switch beyond is reminded of stations that the active member keeps known, where others send too.
    reminds: Option<Instant>,
    /// Frames that left from a member's address.
    pub(super) rewritten: usize,
    /// How flows moved from member to member.
    pub(super) moves: Vec<Order>,
}

fn wanted(config: &BondConfig) -> WantedBond {
    let names = ["a", "b", "c"].map(str::to_owned);
    let all = names.into_iter().zip(MEMBERS.map(PortIndex));
    let members = all.filter(|(name, _)| config.members.contains(name));
    WantedBond {
        config: config.clone(),
        members: members.collect(),
    }
}

fn switch() -> MemSwitch {
    let mut switch = lan(2);
    for member in MEMBERS {
        switch.add_member(member, BOND, Admits::Nothing);
    }
    switch
}

impl Ours {
    pub(super) fn new(side: usize, config: &BondConfig) -> Self {
        Self {
            bond: Bond::new(&wanted(config)),
            switch: switch(),
            side,
            seen: [LinkSeen::default(); 3],
            told: None,
            epoch: 0,
            stalled: None,
            waiting: Vec::new(),
            refused: 0,
            rewritten: 0,
            reminds: None,
            moves: Vec::new(),
        }
    }

    /// The process ends without a word, and another one begins with links unseen.
    pub(super) fn restart(&mut self) {
        let config = self.bond.wanted().config.clone();
        *self = Self::new(self.side, &config);
    }

    /// Whether it runs: between [`Self::restart`] and the first link that it sees it does not.
    pub(super) fn is_there(&self) -> bool {
        self.seen.iter().any(|seen| seen.attached)
    }

    pub(super) fn see(&mut self, member: usize, running: bool) {
        let last = u32::try_from(self.side * 16 + member).unwrap();
        self.seen[member] = LinkSeen {
            attached: true,
            running,
            speed_mbps: Some(10_000),
            mac: Some(station(0xa000 + last)),
            ..LinkSeen::default()
        };
    }

    pub(super) fn stall(&mut self, until: Instant) {
        self.stalled = Some(until);
    }

    /// Another configuration; what the partner is told of members that leave.
    pub(super) fn configure(&mut self, config: &BondConfig, now: Instant) -> Vec<Out> {
        let after = wanted(config);
        let staying = |member: &PortIndex| after.members.iter().any(|(_, index)| index == member);
        let before = self.bond.members().iter().map(|member| member.index);
        let leaving: Vec<PortIndex> = before.filter(|member| !staying(member)).collect();
        for member in leaving {
            self.bond.depart(member, now);
        }
        self.bond.configure(&after);
        self.update(now)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let bond = self.bond.poll_timeout().into_iter();
        self.stalled.or_else(|| bond.chain(self.reminds).min())
    }

    /// A frame came in at a port; what leaves.
    pub(super) fn take(&mut self, port: u16, bytes: Vec<u8>, now: Instant) -> Vec<Out> {
        let open = |bond: &Bond| {
            let admits = bond.admits(PortIndex(port));
            admits.is_some_and(|admits| admits != Admits::Nothing)
        };
        let slow = bytes[12..14] == [0x88, 0x09];
        if is_member(port) && !slow && !open(&self.bond) {
            self.refused += 1;
        }
        self.take_all(port, vec![bytes], now)
    }

    /// Frames that came in at a port before the worker looked; what leaves.
    pub(super) fn take_all(
        &mut self,
        port: u16,
        mut frames: Vec<Vec<u8>>,
        now: Instant,
    ) -> Vec<Out> {
        self.switch.now = now;
        let last = frames.pop().expect("a frame");
        for bytes in frames {
            self.switch.wire(port).put(bytes);
        }
        self.switch.inject(port, last);
        let mut out = self.sent();
        while let Some(punt) = self.switch.outbox.punts.take() {
            assert_eq!(punt.reason, PuntReason::SlowProtocol);
            self.waiting.push((punt.port, punt.bytes.to_vec()));
        }
        if !self.waiting.is_empty() {
            out.extend(self.update(now));
        }
        out
    }

    fn sent(&mut self) -> Vec<Out> {
        let sent = self.switch.take_sent().into_iter();
        let sent: Vec<Out> = sent
            .flat_map(|(port, frames)| frames.into_iter().map(move |f| (port, f.bytes)))
            .collect();
        if let Transmit::Rewritten(by) = self.bond.transmit().clone() {
            for (port, bytes) in sent.iter().filter(|(port, _)| is_member(*port)) {
                let from = MacAddr(bytes[6..12].try_into().expect("an address"));
                match by.source(PortIndex(*port)) {
                    Some(source) => {
                        self.rewritten += 1;
                        assert_eq!(source.mac(), from, "of {port}");
                    }
                    None => assert_eq!(by.active.0, *port, "as from {from}"),
                }
            }
        }
        sent
    }

    /// Addresses behind the bond.
    pub(super) fn uplink(&self) -> Vec<MacAddr> {
        let entries = self.switch.fdb(0).entries();
        let behind = entries.filter(|entry| entry.port.0 == BOND);
        behind.map(|entry| entry.mac).collect()
    }

    /// What the control thread does; what leaves.
    pub(super) fn update(&mut self, now: Instant) -> Vec<Out> {
        if self.stalled.is_some_and(|until| now < until) {
            return Vec::new();
        }
        self.stalled = None;
        let mut out = Vec::new();
        for (member, bytes) in std::mem::take(&mut self.waiting) {
            let view = EtherView::new(&bytes).expect("a frame");
            self.bond.hear(member, view.after_header(), now);
            out.extend(self.follow(now));
        }
        out.extend(self.follow(now));
        out
    }

    fn follow(&mut self, now: Instant) -> Vec<Out> {
        let carried = self.bond.carries();
        let seen = self.seen;
        let of = |index: PortIndex| MEMBERS.iter().position(|m| *m == index.0).unwrap();
        self.switch.now = now;
        let mut out = Vec::new();
        loop {
            let happened = self.bond.update(|member| seen[of(member.index)], now);
            self.moves
                .extend(happened.into_iter().filter_map(|event| match event {
                    Happened::Moved(moved) => Some(moved.order),
                    _ => None,
                }));
            self.epoch += u16::from(carried && !self.bond.carries());
            if !self.tell() {
                break;
            }
            // The workers follow at once, and let go what they held.
            self.bond.published(self.switch.generation());
            self.bond.observed(self.switch.generation());
            out.extend(self.sent());
        }
        for (member, payload) in self.bond.take_slow() {
            let from = seen[of(member)].mac.unwrap_or_default();
            out.push((member.0, frame(from, &payload).into_vec()));
        }
        if let Transmit::Rewritten(by) = self.bond.transmit()
            && self.reminds.is_none_or(|at| at <= now)
        {
            let interval = self.bond.wanted().config.lp_interval;
            self.reminds = Some(now + ms(u64::from(interval) * 1_000));
            let all = HOSTS.into_iter();
            let all = all.flat_map(|host| super::rig::stations(self.side, host));
            out.extend(all.map(|mac| {
                let mut frame = tagged(mac, mac, &[dot1q(10)]);
                frame[16..18].copy_from_slice(&[0x90, 0]);
                (by.active.0, frame)
            }));
        }
        if self.bond.take_moved() {
            for host in HOSTS {
                for mac in super::rig::stations(self.side, host) {
                    self.switch.inject(host, rarp(mac, &[]));
                }
            }
            out.extend(self.sent());
        }
        out
    }

    /// Publishes what became of the bond, if it is another.
    fn tell(&mut self) -> bool {
        let admits = MEMBERS.map(|member| self.bond.admits(PortIndex(member)));
        let (transmit, reflects) = (self.bond.transmit().clone(), self.bond.reflects());
        let part = (transmit.clone(), reflects, admits.to_vec());
        if self.told.as_ref() == Some(&part) {
            return false;
        }
        for (member, admits) in MEMBERS.into_iter().zip(admits) {
            let admits = admits.unwrap_or(Admits::Nothing);
            self.switch.change(member, |view| view.admits = admits);
        }
        let mut view = crate::trunk(BOND, &[10]);
        view.flags.listens = true;
        view.flags.reflects = reflects;
        view.epoch = self.epoch;
        if let Some(loads) = self.bond.loads() {
            self.switch.measure(BOND, loads);
        }
        self.switch.bond(BOND, view, transmit);
        self.told = Some(part);
        true
    }
}
