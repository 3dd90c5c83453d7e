//! Who carries what: what the passes are told of a bond, mode by mode (features.md 3.4, 3.7).

use super::negotiation::Negotiation;
use super::{Bond, Member};
use vswitch_api::config::BondMode;
use vswitch_base::PortIndex;
use vswitch_base::flow::HashPolicy;
use vswitch_core::bond::{Admits, Buckets, HashKey, Hashed, Once, Transmit, Turns};

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
    pub(super) const fn is_shared(&self) -> bool {
        matches!(
            self.wanted.config.mode,
            BondMode::BalanceSlb | BondMode::BalanceTlb | BondMode::BalanceAlb
        )
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
        let open = !self.is_standby(member) || self.wanted.config.all_slaves_active.0;
        Some(match self.wanted.config.mode {
            _ if !open => Admits::Nothing,
            // A member beyond those that can be told apart would bring each frame once more.
            BondMode::Broadcast => once().map_or(Admits::Nothing, Admits::Once),
            _ => Admits::Everything,
        })
    }

    pub(super) fn transmit_now(&self, before: &Transmit) -> Transmit {
        let config = &self.wanted.config;
        let usable: Vec<PortIndex> = self
            .members
            .iter()
            .filter(|m| self.may_send(m))
            .map(|m| m.index)
            .collect();
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
            BondMode::BalanceSlb | BondMode::BalanceTlb | BondMode::BalanceAlb => {
                Transmit::Hashed(Hashed {
                    key: HashKey::Station,
                    seed: config.hash_seed,
                    buckets: self.weighed(before, &usable),
                    moving: None,
                })
            }
            BondMode::Broadcast => Transmit::Copies(usable.into()),
        }
    }

    /// As [`buckets`]; in the modes that balance by load, a member's part is as its speed, where all tell theirs.
    fn weighed(&self, before: &Transmit, usable: &[PortIndex]) -> Buckets {
        let config = &self.wanted.config;
        let speed = |index: &PortIndex| {
            let member = self.members.iter().find(|m| m.index == *index)?;
            Some((*index, member.seen.speed_mbps.filter(|mbps| *mbps > 0)?))
        };
        let speeds: Option<Vec<_>> = usable.iter().map(speed).collect();
        let by_speed = config.mode != BondMode::BalanceSlb && config.tlb_dynamic_lb.0;
        match (speeds, before) {
            (Some(speeds), Transmit::Hashed(before)) if by_speed => {
                Buckets::update_weighted(&before.buckets, &speeds)
            }
            (Some(speeds), _) if by_speed => {
                Buckets::update_weighted(&Buckets::new(usable), &speeds)
            }
            _ => buckets(before, usable),
        }
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
    match before {
        Transmit::Hashed(before) => Buckets::update(&before.buckets, usable),
        _ => Buckets::new(usable),
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
