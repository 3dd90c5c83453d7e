//! Bonds for operators: what each is and does, what is wrong with it, which member a frame leaves by, and
//! the choice of the active member.

use super::Controller;
use super::punts::PARTNER_QUIET;
use crate::bond::diagnosis::{diagnose, shared};
use crate::bond::{Bond, NoChoice};
use serde_json::json;
use vswitch_api::ApiError;
use vswitch_api::request::{BondHash, BondSetActive};
use vswitch_api::text::path;
use vswitch_api::types::{
    Bond as BondRow, BondFinding, BondsReply, Event, HashReply, SetActiveReply, Severity,
};
use vswitch_base::ether::InBandTag;
use vswitch_base::flow::{FlowView, HashPolicy};
use vswitch_base::{EtherView, Instant, Tag, Tci, Tpid, Vid};
use vswitch_core::bond::{Balance, Chosen, HashKey, Hashed, Rewritten, Station, Transmit};

impl Controller {
    fn bond(&self, name: &str) -> Result<&Bond, ApiError> {
        self.bonds.get(name).ok_or_else(|| self.no_bond(name))
    }

    fn no_bond(&self, name: &str) -> ApiError {
        ApiError::not_found("bond", name, self.bonds.keys().map(String::as_str))
    }

    pub(super) fn bond_list(
        &self,
        bond: Option<&str>,
        now: Instant,
    ) -> Result<BondsReply, ApiError> {
        if let Some(name) = bond {
            self.bond(name)?;
        }
        let wanted = self
            .bonds
            .iter()
            .filter(|(name, _)| bond.is_none_or(|b| b == **name));
        Ok(BondsReply {
            snapshot_time: self.wall.rfc3339(now),
            bonds: wanted
                .map(|(name, bond)| self.bond_row(name, bond, now))
                .collect(),
        })
    }

    fn bond_row(&self, name: &str, bond: &Bond, now: Instant) -> BondRow {
        let config = &bond.wanted().config;
        let port = self.view.ports.get(name);
        BondRow {
            name: name.to_owned(),
            bridge: port.map(|port| port.bridge.clone()),
            mode: config.mode.to_string(),
            state: bond.state().name().to_owned(),
            reason: bond.why(),
            since: self.wall.rfc3339(bond.since().unwrap_or(now)),
            active: bond.active_name(),
            primary: config.primary.clone(),
            by_hand: bond.is_by_hand(),
            options: serde_json::to_value(config).unwrap_or_default(),
            members: bond.rows(self.wall, now),
            lacp: bond.lacp_row(),
            findings: self.findings(name, bond, now),
        }
    }

    fn findings(&self, name: &str, bond: &Bond, now: Instant) -> Vec<BondFinding> {
        let unasked = |member: &str| {
            let heard = self.status.get(member).and_then(|s| s.unasked_lacp);
            heard.is_some_and(|at| now.saturating_since(at) < PARTNER_QUIET)
        };
        let seen: Vec<_> = bond.seen(&unasked).collect();
        let mut found = diagnose(&bond.wanted().config, bond.verdict(), &seen);
        let others = self.bonds.iter().filter(|(other, _)| *other != name);
        let others: Vec<_> = others
            .map(|(other, bond)| (other.as_str(), bond.partners()))
            .collect();
        found.extend(shared(&bond.partners(), &others));
        found
    }

    /// What is wrong with bonds, for the health report.
    pub(super) fn bond_problems(&self, now: Instant) -> Vec<Event> {
        let mut problems = Vec::new();
        for (name, bond) in &self.bonds {
            let object = path(&["bond", name]);
            let since = bond.since().unwrap_or(now);
            for found in self.findings(name, bond, now) {
                if found.severity == Severity::Info {
                    continue;
                }
                let message = format!("bond {name}: {}", found.message);
                let mut problem = self.problem("bond", &object, found.severity, message, since);
                problem.detail = Some(json!({"finding": found.kind, "hint": found.hint}));
                problems.push(problem);
            }
        }
        problems
    }

    pub(super) fn bond_set_active(
        &mut self,
        set: &BondSetActive,
    ) -> Result<SetActiveReply, ApiError> {
        let (name, member) = (&set.bond, &set.member);
        let Some(bond) = self.bonds.get_mut(name) else {
            return Err(self.no_bond(name));
        };
        let refused = |parameter: &str, message: String, hint: &str| ApiError::InvalidParameter {
            parameter: parameter.to_owned(),
            message,
            hint: Some(hint.to_owned()),
        };
        let chosen = bond.set_active(member);
        chosen
            .map(|before| SetActiveReply { before })
            .map_err(|why| match why {
                NoChoice::Mode(mode) => refused(
                    "bond",
                    format!("bond {name} has no active member: its mode is {mode}"),
                    "active-backup, balance-tlb and balance-alb have one",
                ),
                NoChoice::Unknown(known) => {
                    ApiError::not_found("member", member, known.iter().map(String::as_str))
                }
                NoChoice::Silent(why) => refused(
                    "member",
                    format!("{member} cannot be active: it {why}"),
                    "choose one that is answered: vswctl bond show",
                ),
                NoChoice::Unusable(link) => refused(
                    "member",
                    format!("{member} cannot be active: its link is {link}"),
                    "choose one whose link is up: vswctl bond show",
                ),
            })
    }

    pub(super) fn bond_hash(&self, hash: &BondHash) -> Result<HashReply, ApiError> {
        let bond = self.bond(&hash.bond)?;
        let bytes = hash.frame()?;
        let Some(view) = EtherView::new(&bytes) else {
            let message = "a frame has 14 bytes at least: two addresses and the EtherType";
            return Err(ApiError::parameter("frameHex", message));
        };
        let said = match hash.vlan {
            None => None,
            Some(vlan) => Some(Vid::new(vlan).map_err(|_| {
                ApiError::parameter(
                    "vlan",
                    format!("there is no VLAN {vlan}: they are 1 to 4094"),
                )
            })?),
        };
        let in_band = match view.tag() {
            InBandTag::Tag(tag) => Vid::new(tag.tci.vid_bits()).ok(),
            InBandTag::None | InBandTag::Truncated => None,
        };
        let vid = said.or(in_band);
        let policy: Option<HashPolicy> = match &hash.policy {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| ApiError::InvalidParameter {
                parameter: "policy".to_owned(),
                message: "there is no such policy".to_owned(),
                hint: Some(HashPolicy::ALL.map(HashPolicy::name).join(", ")),
            })?),
        };
        let transmit = bond.transmit();
        let names = |members: Vec<_>| {
            let names = members.into_iter().filter_map(|m| bond.member_name(m));
            names.collect::<Vec<String>>()
        };
        if let Transmit::Rewritten(rewritten) = transmit {
            let by = |policy| Rewritten {
                balance: match rewritten.balance {
                    Balance::Flow(_) => Balance::Flow(policy),
                    Balance::Adaptive(_) | Balance::Destination => Balance::Adaptive(policy),
                },
                ..rewritten.clone()
            };
            let rewritten = policy.map_or_else(|| rewritten.clone(), by);
            let flow = FlowView::new(&bytes, tag(said));
            let number = flow.as_ref().and_then(|flow| rewritten.number(flow));
            let buckets = u32::try_from(rewritten.buckets.count()).unwrap_or(u32::MAX);
            let chosen = if number.is_some() { "hash" } else { "active" };
            return Ok(HashReply {
                members: names(vec![rewritten.pick(flow.as_ref())]),
                chosen: chosen.to_owned(),
                policy: number.map(|_| match rewritten.balance {
                    Balance::Flow(policy) | Balance::Adaptive(policy) => policy.name().to_owned(),
                    Balance::Destination => "destination".to_owned(),
                }),
                hash: number,
                bucket: number.and_then(|number| number.checked_rem(buckets)),
                buckets: number.map(|_| buckets),
            });
        }
        let Transmit::Hashed(hashed) = transmit else {
            if policy.is_some() {
                let mode = bond.wanted().config.mode;
                let message = format!("mode {mode} chooses no member by a hash");
                return Err(ApiError::parameter("policy", message));
            }
            let chosen = match (transmit, transmit.why()) {
                (Transmit::Nobody, _) => "nobody",
                (_, Chosen::Active) => "active",
                (_, Chosen::Turn) => "turn",
                (_, Chosen::Hash) => "hash",
                // Which port a frame would come in by is not asked.
                (_, Chosen::Steered) => "steered",
                (_, Chosen::All) => "all",
            };
            return Ok(HashReply {
                members: names(transmit.members()),
                chosen: chosen.to_owned(),
                ..HashReply::default()
            });
        };
        let hashed = Hashed {
            key: policy.map_or(hashed.key, HashKey::Flow),
            ..hashed.clone()
        };
        let station = Station {
            vid,
            mac: view.src().word(),
        };
        let number = hashed.number(station, || FlowView::new(&bytes, tag(said)));
        let buckets = hashed.buckets.count();
        let count = u32::try_from(buckets).unwrap_or(u32::MAX);
        Ok(HashReply {
            members: names(hashed.buckets.pick(number).into_iter().collect()),
            chosen: "hash".to_owned(),
            policy: Some(match hashed.key {
                HashKey::Flow(policy) => policy.name().to_owned(),
                HashKey::Station => "station".to_owned(),
            }),
            hash: Some(number),
            bucket: number.checked_rem(count),
            buckets: Some(count),
        })
    }
}

fn tag(said: Option<Vid>) -> Option<Tag> {
    said.map(|vid| Tag {
        tpid: Tpid::Dot1q,
        tci: Tci::default().with_vid(vid),
    })
}
