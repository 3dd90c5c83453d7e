//! Who carries what: what the passes are told of a bond, mode by mode (features.md 3.4, 3.7).

use super::negotiation::Negotiation;
use super::{Bond, Member};
use vswitch_api::config::{BondMode, TlbSrc};
use vswitch_base::flow::HashPolicy;
use vswitch_base::{MacAddr, MacWord, PortIndex};
use vswitch_core::bond::{
    Admits, Balance, Buckets, HashKey, Hashed, Once, Rewritten, Transmit, Turns,
};

impl Bond {
    /// Whether the other side may give back what we send: it need not know of the bond, or knows it only if
    /// somebody set that up by hand. One that negotiates knows.
    #[must_use]
    pub fn reflects(&self) -> bool {
        match self.wanted.config.mode {
            BondMode::BalanceRr
            | BondMode::ActiveBackup
            | BondMode::BalanceXor
            | BondMode::Broadcast
            | BondMode::BalanceTlb
            | BondMode::BalanceAlb
            | BondMode::BalanceSlb => true,
            BondMode::Lacp => self
                .negotiation
                .as_ref()
                .is_some_and(Negotiation::fell_back),
        }
    }

    /// Whether each station sends by one member and frames for it are let in there: the other side need know
    /// nothing of the bond.
    pub(super) fn is_shared(&self) -> bool {
        match self.wanted.config.mode {
            BondMode::BalanceSlb => true,
            BondMode::BalanceTlb | BondMode::BalanceAlb => !self.rewrites(),
            _ => false,
        }
    }

    /// Whether flows leave by any member from the member's address, and one member lets everything in.
    #[must_use]
    pub fn rewrites(&self) -> bool {
        let config = &self.wanted.config;
        matches!(config.mode, BondMode::BalanceTlb | BondMode::BalanceAlb)
            && config.tlb_src == TlbSrc::Rewrite
    }

    /// What a member lets in; `None`: it is none of this bond's.
    #[must_use]
    pub fn admits(&self, member: PortIndex) -> Option<Admits> {
        let number = self.members.iter().position(|m| m.index == member)?;
        if self.wanted.config.mode == BondMode::Lacp {
            let negotiated = self.negotiation.as_ref();
            return Some(negotiated.map_or(Admits::Nothing, |lacp| lacp.admits(member)));
        }
        let once = || Once::new(self.copies.as_ref()?, number, self.members.len());
        if let Transmit::Hashed(hashed) = &self.transmit
            && self.is_shared()
        {
            let designated = self.active == Some(member) || self.wanted.config.all_slaves_active.0;
            return Some(self.shares.admits(member, hashed, designated, once()));
        }
        let all_open = self.wanted.config.all_slaves_active.0;
        if self.rewrites() {
            let open = self.active == Some(member) || all_open;
            let strangers = || Admits::Strangers(self.own_addresses());
            return Some(if open { strangers() } else { Admits::Nothing });
        }
        let open = !self.is_standby(member) || all_open;
        Some(match self.wanted.config.mode {
            _ if !open => Admits::Nothing,
            // A member beyond those that can be told apart would bring each frame once more.
            BondMode::Broadcast => once().map_or(Admits::Nothing, Admits::Once),
            _ => Admits::Everything,
        })
    }

    /// The member by which frames with that `queue_mapping` leave, whatever the mode says (K-25; the kernel's
    /// `bond_slave_override`), as long as it can send. None where each station has one member: the switch beyond
    /// would look for the station at another one.
    #[must_use]
    pub fn steered(&self, queue_mapping: u16) -> Option<PortIndex> {
        if queue_mapping == 0 || self.is_shared() {
            return None;
        }
        let ids = &self.wanted.config.queue_id;
        let asked = |m: &&Member| ids.get(&m.name) == Some(&u32::from(queue_mapping));
        let member = self.members.iter().find(asked)?.index;
        self.carriers().contains(&member).then_some(member)
    }

    /// The members that have a `queue_id` and can send.
    #[must_use]
    pub fn steerable(&self) -> Vec<PortIndex> {
        let ids = self.wanted.config.queue_id.values();
        let ids = ids.filter_map(|id| u16::try_from(*id).ok());
        ids.filter_map(|id| self.steered(id)).collect()
    }

    /// How it sends, after it sent as `before`; `dealt`: a table that its load asks for.
    pub(super) fn transmit_now(&self, before: &Transmit, dealt: Option<&Buckets>) -> Transmit {
        let config = &self.wanted.config;
        let usable = self.carriers();
        let Some(active) = self.active.filter(|_| !usable.is_empty()) else {
            return Transmit::Nobody;
        };
        match config.mode {
            BondMode::ActiveBackup => Transmit::One(active),
            BondMode::BalanceRr => Transmit::Turns(Turns {
                members: self
                    .members
                    .iter()
                    .map(|m| (m.index, m.is_usable()))
                    .collect(),
                // Checked to be at most 65,535.
                packets_per_slave: u16::try_from(config.packets_per_slave).unwrap_or(1),
                groups: active,
            }),
            BondMode::BalanceXor | BondMode::Lacp => Transmit::Hashed(Hashed {
                key: HashKey::Flow(policy(config.xmit_hash_policy)),
                seed: config.hash_seed,
                buckets: buckets(before, &usable),
                moving: None,
            }),
            BondMode::BalanceTlb | BondMode::BalanceAlb if self.rewrites() => {
                Transmit::Rewritten(self.rewritten(before, dealt, &usable, active))
            }
            BondMode::BalanceSlb | BondMode::BalanceTlb | BondMode::BalanceAlb => {
                Transmit::Hashed(Hashed {
                    key: HashKey::Station,
                    seed: config.hash_seed,
                    buckets: self.weighed(before, dealt, &usable),
                    moving: None,
                })
            }
            BondMode::Broadcast => Transmit::Copies(usable.into()),
        }
    }

    /// The members that can carry frames.
    pub(super) fn carriers(&self) -> Vec<PortIndex> {
        let usable = self.members.iter().filter(|m| self.may_send(m));
        let usable: Vec<PortIndex> = usable.map(|m| m.index).collect();
        match self.active.filter(|_| self.rewrites()) {
            None => usable,
            Some(active) => {
                let sources = self.sources(&usable, active);
                let named = |member| sources.iter().any(|(other, _)| *other == member);
                let usable = usable.into_iter();
                usable.filter(|m| *m == active || named(*m)).collect()
            }
        }
    }

    fn rewritten(
        &self,
        before: &Transmit,
        dealt: Option<&Buckets>,
        usable: &[PortIndex],
        active: PortIndex,
    ) -> Rewritten {
        let config = &self.wanted.config;
        let policy = policy(config.xmit_hash_policy);
        let sources = self.sources(usable, active);
        Rewritten {
            active,
            balance: match (config.mode, config.tlb_dynamic_lb.0) {
                (BondMode::BalanceAlb, true) => Balance::Destination,
                (BondMode::BalanceAlb, false) => Balance::Adaptive(policy),
                _ => Balance::Flow(policy),
            },
            seed: config.hash_seed,
            buckets: self.weighed(before, dealt, usable),
            sources: sources.into(),
        }
    }

    /// From which address each of those members but the active one sends. As in the kernel the active member has
    /// the bond's, and the one whose that was the active one's in exchange. A member that has none of
    /// its own is not named.
    fn sources(&self, usable: &[PortIndex], active: PortIndex) -> Vec<(PortIndex, MacWord)> {
        let of = |index| {
            let member = self.members.iter().find(|member| member.index == index)?;
            member.seen.mac.filter(|mac| mac.is_valid_source())
        };
        let own = self.address();
        let mut sources: Vec<(PortIndex, MacWord)> = Vec::new();
        for member in usable.iter().copied().filter(|member| *member != active) {
            let mac = if of(member) == own {
                of(active)
            } else {
                of(member)
            };
            let Some(mac) = mac.filter(|mac| Some(*mac) != own) else {
                continue;
            };
            if !sources.iter().any(|(_, other)| *other == mac.word()) {
                sources.push((member, mac.word()));
            }
        }
        sources
    }

    /// Addresses that the members send from, whoever is active.
    fn own_addresses(&self) -> Box<[MacWord]> {
        let macs = self.members.iter().filter_map(|member| member.seen.mac);
        macs.map(MacAddr::word).collect()
    }

    /// The frames that keep members known to the switch beyond, where they send from addresses of their own:
    /// a member and the address, which for the active one is the bond's.
    #[must_use]
    pub fn taught(&self) -> Vec<(PortIndex, MacAddr)> {
        let Transmit::Rewritten(rewritten) = &self.transmit else {
            return Vec::new();
        };
        let active = self.address().map(|mac| (rewritten.active, mac));
        let others = rewritten.sources.iter();
        let others = others.map(|(member, source)| (*member, source.mac()));
        active.into_iter().chain(others).collect()
    }

    /// As [`buckets`]; in the modes that balance by load, a member's part is as its speed, where all tell theirs,
    /// until the load asks for another table. That one stays for as long as the members are the same.
    fn weighed(&self, before: &Transmit, dealt: Option<&Buckets>, usable: &[PortIndex]) -> Buckets {
        if !self.is_measured() {
            return buckets(before, usable);
        }
        let weighted = self.weighted(usable);
        match before.buckets() {
            _ if dealt.is_some() => dealt.cloned().unwrap_or_default(),
            Some(before) => Buckets::update_weighted(before, &weighted),
            None => Buckets::update_weighted(&Buckets::new(usable), &weighted),
        }
    }

    /// Members with what their parts are by: their speeds, or where one tells none, all the same.
    pub(super) fn weighted(&self, members: &[PortIndex]) -> Vec<(PortIndex, u32)> {
        let speed = |index: &PortIndex| {
            let member = self.members.iter().find(|m| m.index == *index)?;
            Some((*index, member.seen.speed_mbps.filter(|mbps| *mbps > 0)?))
        };
        let speeds: Option<Vec<_>> = members.iter().map(speed).collect();
        speeds.unwrap_or_else(|| members.iter().map(|member| (*member, 1)).collect())
    }

    fn may_send(&self, member: &Member) -> bool {
        member.is_usable()
            && (self.wanted.config.mode != BondMode::Lacp
                || self
                    .negotiation
                    .as_ref()
                    .is_some_and(|lacp| lacp.sends(member.index)))
    }
}

/// Who has which flows, now that these members can be used: only those move that must (N-10), and as
/// long as nobody went or came the choice is the kernel's.
fn buckets(before: &Transmit, usable: &[PortIndex]) -> Buckets {
    match before.buckets() {
        Some(before) => Buckets::update(before, usable),
        None => Buckets::new(usable),
    }
}

const fn policy(policy: vswitch_api::config::HashPolicy) -> HashPolicy {
    use vswitch_api::config::HashPolicy as Said;
    match policy {
        Said::Layer2 => HashPolicy::Layer2,
        Said::Layer23 => HashPolicy::Layer23,
        Said::Layer34 => HashPolicy::Layer34,
        Said::Encap23 => HashPolicy::Encap23,
        Said::Encap34 => HashPolicy::Encap34,
        Said::VlanSrcmac => HashPolicy::VlanSrcmac,
    }
}
