//! What is probably wrong with a bond, from what its members' partners say (S-24, N-12).
//!
//! Each rule gives one line with the cause and one with what to look at. Only members with a good link are
//! looked at: that a link is lost is told elsewhere. Pure.
//!
//! | finding | when |
//! | --- | --- |
//! | `miscabled` | members hear different systems |
//! | `partner-keys` | members hear one system with different keys: different LAGs there |
//! | `partner-individual` | the partner's port may not be aggregated |
//! | `no-partner`, `passive` | nobody is heard; in the latter case we do not speak first either |
//! | `partner-late` | the partner was heard, and no longer is |
//! | `loopback` | a member hears this very system |
//! | `churn` | a side is out of sync for a minute |
//! | `min-links` | too few members carry frames |
//! | `speeds` | members of different speeds where that keeps some from use, or slows all |
//! | `lacp-unasked` | the partner speaks LACP, and the bond does not |
//! | `partner-shared` | another bond has the same partner and key |

use std::collections::BTreeMap;
use vswitch_api::config::{BondConfig, BondMode, KeyPolicy};
use vswitch_api::types::{BondFinding, Severity};
use vswitch_lacp::receive::ReceiveState;
use vswitch_lacp::variables::Selected;
use vswitch_lacp::{Key, MemberStatus, PortState, SystemId, Verdict};

/// What is known of a member.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its link is good.
    pub usable: bool,
    /// Mbit/s, where the device tells it.
    pub speed_mbps: Option<u32>,
    /// What LACP knows of it, where the bond speaks it.
    pub lacp: Option<MemberStatus>,
    /// Its partner speaks LACP, and the bond does not.
    pub unasked: bool,
}

/// A partner of a bond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partner<'a> {
    /// A member that hears it.
    pub member: &'a str,
    /// The system.
    pub system: SystemId,
    /// The key.
    pub key: Key,
}

/// Whether a partner is known and not overdue.
#[must_use]
pub fn is_heard(status: &MemberStatus) -> bool {
    status.receive == ReceiveState::Current && !status.partner.system.mac.is_zero()
}

fn finding<'a>(
    kind: &str,
    severity: Severity,
    members: impl IntoIterator<Item = &'a str>,
    message: String,
    hint: impl Into<String>,
) -> BondFinding {
    BondFinding {
        kind: kind.to_owned(),
        severity,
        members: members.into_iter().map(str::to_owned).collect(),
        message,
        hint: hint.into(),
    }
}

/// `eth0, eth1 hear ...; eth2 hears ...`, by what they hear.
fn groups<K: Ord + std::fmt::Display>(groups: &BTreeMap<K, Vec<&str>>) -> String {
    let words = |(what, members): (&K, &Vec<&str>)| {
        let hear = if members.len() == 1 { "hears" } else { "hear" };
        format!("{} {hear} {what}", members.join(", "))
    };
    groups.iter().map(words).collect::<Vec<_>>().join("; ")
}

/// Everything that is probably wrong with one bond.
#[must_use]
pub fn diagnose(
    config: &BondConfig,
    verdict: Option<Verdict>,
    members: &[Seen<'_>],
) -> Vec<BondFinding> {
    let usable: Vec<&Seen<'_>> = members.iter().filter(|member| member.usable).collect();
    let mut found = Vec::new();
    speeds(config, &usable, &mut found);
    if config.mode == BondMode::Lacp {
        partners(&usable, &mut found);
        silence(config, &usable, &mut found);
        for member in &usable {
            if let Some(status) = &member.lacp {
                one(member.name, status, &mut found);
            }
        }
    } else {
        let unasked = usable.iter().filter(|member| member.unasked);
        let unasked: Vec<&str> = unasked.map(|member| member.name).collect();
        if !unasked.is_empty() {
            let names = unasked.join(", ");
            let message = format!(
                "the other end of {names} speaks LACP, and the bond's mode is {}",
                config.mode
            );
            let hint = "set mode = \"802.3ad\" here, or a static LAG, or none, on the switch";
            let severity = Severity::Warning;
            found.push(finding("lacp-unasked", severity, unasked, message, hint));
        }
    }
    if let Some(Verdict::TooFewLinks { links, needed }) = verdict {
        let message = format!("{links} of at least {needed} members carry frames (min_links)");
        let hint = "bring members up, or lower min_links: until then the bond is down";
        found.push(finding("min-links", Severity::Error, [], message, hint));
    }
    found
}

/// Members that hear partners which do not belong together.
fn partners(usable: &[&Seen<'_>], found: &mut Vec<BondFinding>) {
    let mut systems: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut keys: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for member in usable {
        let Some(status) = member.lacp.as_ref().filter(|status| is_heard(status)) else {
            continue;
        };
        let system = status.partner.system.mac.to_string();
        let key = format!("key {} of {system}", status.partner.key);
        systems.entry(system).or_default().push(member.name);
        keys.entry(key).or_default().push(member.name);
    }
    if systems.len() > 1 {
        let names = systems.values().flatten().copied();
        found.push(finding(
            "miscabled",
            Severity::Warning,
            names,
            format!(
                "the members lead to {} systems: {}",
                systems.len(),
                groups(&systems)
            ),
            "look where the cables end: two switches must be one MLAG pair with one LACP system id",
        ));
    } else if keys.len() > 1 {
        let names = keys.values().flatten().copied();
        found.push(finding(
            "partner-keys",
            Severity::Warning,
            names,
            format!(
                "the switch has the members in {} LAGs: {}",
                keys.len(),
                groups(&keys)
            ),
            "put these ports of the switch into one LAG (port channel), at one speed",
        ));
    }
}

/// Whether nobody is heard, as far as was waited for.
const fn is_silent(status: &MemberStatus) -> bool {
    matches!(
        status.receive,
        ReceiveState::Defaulted | ReceiveState::LacpDisabled
    )
}

/// Members where nobody speaks LACP.
fn silence(config: &BondConfig, usable: &[&Seen<'_>], found: &mut Vec<BondFinding>) {
    let silent = usable.iter().filter(|member| {
        let loops = |status: &MemberStatus| status.counters.loopback_rx > 0;
        member
            .lacp
            .is_some_and(|status| is_silent(&status) && !loops(&status))
    });
    let names: Vec<&str> = silent.map(|member| member.name).collect();
    if names.is_empty() {
        return;
    }
    let told = names.join(", ");
    let severity = Severity::Warning;
    found.push(if config.lacp_active.0 {
        finding(
            "no-partner",
            severity,
            names,
            format!("at the other end of {told} nobody speaks LACP, and the link is up"),
            "set up LACP on the switch's ports, or use a mode that needs none",
        )
    } else {
        finding(
            "passive",
            severity,
            names,
            format!("{told}: no LACP is heard, and we do not speak first (lacp_active is off)"),
            "if the switch is passive too, nobody ever speaks: set lacp_active = on",
        )
    });
}

/// What one member that speaks LACP hears.
fn one(name: &str, status: &MemberStatus, found: &mut Vec<BondFinding>) {
    let mut add = |kind: &str, severity, message: String, hint: &str| {
        found.push(finding(kind, severity, [name], message, hint));
    };
    let heard = is_heard(status);
    if is_silent(status) && status.counters.loopback_rx > 0 {
        add(
            "loopback",
            Severity::Error,
            format!("{name} hears this very system"),
            "its cable, or a loop in the switch, leads back to this bond: look where it ends",
        );
    } else if status.receive == ReceiveState::Expired && status.heard.is_some() {
        add(
            "partner-late",
            Severity::Warning,
            format!(
                "the partner of {name}, {}, is silent though the link is up",
                status.partner.system.mac
            ),
            "look at the switch's LACP, and whether a medium converter hides a dead link",
        );
    }
    let aggregates = |state: PortState| state.contains(PortState::AGGREGATION);
    if heard && !aggregates(status.partner.state) {
        add(
            "partner-individual",
            Severity::Warning,
            format!("the partner of {name} says that its port may not be aggregated"),
            "put the switch's port into the LAG (port channel)",
        );
    }
    if heard && status.selected != Selected::Standby {
        let sides = [
            (status.actor_churned(), "our side"),
            (status.partner_churned(), "the partner"),
        ];
        let sides: Vec<&str> = sides.iter().filter(|s| s.0).map(|s| s.1).collect();
        if !sides.is_empty() {
            let sides = sides.join(" and ");
            add(
                "churn",
                Severity::Warning,
                format!("{sides} of {name} has been out of sync for a minute"),
                "compare both ends: keys, and which ports the switch selected",
            );
        }
    }
}

fn speeds(config: &BondConfig, usable: &[&Seen<'_>], found: &mut Vec<BondFinding>) {
    let effect = match config.mode {
        BondMode::Lacp if config.key_policy == KeyPolicy::Speed => {
            "those of one speed are used together, the others stand by"
        }
        BondMode::BalanceRr | BondMode::BalanceXor => {
            "each gets the same part, so the slowest limits all"
        }
        _ => return,
    };
    let mut speeds: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for member in usable {
        if let Some(mbps) = member.speed_mbps.filter(|mbps| *mbps > 0) {
            speeds.entry(mbps).or_default().push(member.name);
        }
    }
    if speeds.len() < 2 {
        return;
    }
    let told = speeds
        .iter()
        .map(|(mbps, members)| format!("{} {mbps} Mbit/s", members.join(", ")));
    let told = told.collect::<Vec<_>>().join("; ");
    found.push(finding(
        "speeds",
        Severity::Warning,
        speeds.values().flatten().copied(),
        format!("the members have different speeds: {told}; {effect}"),
        "look at autonegotiation and transceivers, or use members of one speed",
    ));
}

/// Other bonds that have a partner of this one: the switch has their ports in one LAG.
#[must_use]
pub fn shared(own: &[Partner<'_>], others: &[(&str, Vec<Partner<'_>>)]) -> Vec<BondFinding> {
    let mut found = Vec::new();
    for partner in own {
        for (bond, theirs) in others {
            let same =
                |other: &&Partner<'_>| (other.system, other.key) == (partner.system, partner.key);
            let Some(other) = theirs.iter().find(same) else {
                continue;
            };
            let (name, system) = (partner.member, partner.system.mac);
            let message = format!(
                "{name} and {} of bond {bond} hear key {} of {system}: the switch has both in one LAG",
                other.member, partner.key
            );
            let hint = "make a LAG (port channel) of its own for each bond on the switch";
            found.push(finding(
                "partner-shared",
                Severity::Warning,
                [name],
                message,
                hint,
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests;
