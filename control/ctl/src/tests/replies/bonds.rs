//! The node's bonds: one of active-backup that lost a member, one of LACP whose cables end on two switches.

use serde_json::{Value, json};
use vswitch_api::config::{BondConfig, BondMode, LacpRate};
use vswitch_api::error::ApiError;
use vswitch_api::types::*;

use super::{NOW, changed, known};
use crate::render::to_json;

const BONDS: [&str; 2] = ["mgmt-bo", "oob-bo"];

fn options(mode: BondMode, members: [&str; 2], change: impl FnOnce(&mut BondConfig)) -> Value {
    let mut config = BondConfig {
        mode,
        members: members.map(str::to_owned).to_vec(),
        ..BondConfig::default()
    };
    change(&mut config);
    to_json(&config)
}

fn member(name: &str, link: &str, role: &str, reason: &str) -> BondMember {
    BondMember {
        name: name.into(),
        link: link.into(),
        since: "2026-11-24T06:59:00.000000Z".into(),
        role: role.into(),
        reason: reason.into(),
        speed_mbps: Some(10_000).filter(|_| link == "up"),
        mac: Some("0c:42:a1:00:11:22".into()),
        ..BondMember::default()
    }
}

fn end(system: &str, key: u16, state: u8, letters: &str) -> LacpEnd {
    LacpEnd {
        system: system.into(),
        system_priority: 65_535,
        key,
        port: 1,
        port_priority: 255,
        state,
        state_letters: letters.into(),
    }
}

const OURS: &str = "0c:42:a1:00:11:22";
const LEAF1: &str = "00:1c:73:aa:00:01";
const LEAF4: &str = "00:1c:73:bb:00:07";

fn oob() -> Bond {
    let lacp = |aggregator, selected: &str, mux: &str, actor, partner, heard| LacpMember {
        actor,
        partner: Some(partner),
        receive: "CURRENT".into(),
        mux: mux.into(),
        mux_since: NOW.into(),
        selected: selected.into(),
        aggregator: Some(aggregator),
        actor_churn: "none".into(),
        partner_churn: "monitor".into(),
        heard_ms: Some(heard),
        marker_answers: "answers".into(),
        markers_out: 2,
        marker_responses_in: 2,
        lacpdus_in: 1200,
        lacpdus_out: 1201,
        illegal_in: u64::from(aggregator) - 1,
        ..LacpMember::default()
    };
    let mut first = member("ens2f0", "up", "carrying", "carries frames");
    first.lacp = Some(lacp(
        1,
        "yes",
        "COLLECTING_DISTRIBUTING",
        end(OURS, 15, 0x3f, "ASGCD--F"),
        end(LEAF1, 32, 0x3f, "ASGCD--F"),
        400,
    ));
    let why = "is not in the aggregator in use: its partner is 00:1c:73:bb:00:07 prio 65535";
    let mut second = member("ens2f1", "up", "standby", why);
    second.lacp = Some(lacp(
        2,
        "standby",
        "WAITING",
        end(OURS, 15, 0x05, "A-G-----"),
        end(LEAF4, 32, 0x0d, "ASG-----"),
        650,
    ));
    Bond {
        name: "oob-bo".into(),
        bridge: Some("oob-br".into()),
        mode: "802.3ad".into(),
        state: "degraded".into(),
        reason: Some(format!("ens2f1 {why}")),
        since: "2026-11-24T09:00:00.000000Z".into(),
        options: options(BondMode::Lacp, ["ens2f0", "ens2f1"], |config| {
            config.lacp_rate = LacpRate::Fast;
        }),
        members: vec![first, second],
        lacp: Some(LacpBond {
            system: OURS.into(),
            system_priority: 65_535,
            rate: "fast".into(),
            active: true,
            ad_select: "stable".into(),
            aggregator: Some(1),
            aggregator_ports: 1,
            partner: Some(end(LEAF1, 32, 0x3f, "ASGCD--F")),
            verdict: "up".into(),
        }),
        findings: vec![BondFinding {
            kind: "miscabled".into(),
            severity: Severity::Warning,
            members: vec!["ens2f0".into(), "ens2f1".into()],
            message: "the members lead to 2 systems: ens2f0 hears 00:1c:73:aa:00:01; ens2f1 hears 00:1c:73:bb:00:07"
                .into(),
            hint: "look where the cables end: two switches must be one MLAG pair with one LACP system id"
                .into(),
        }],
        ..Bond::default()
    }
}

fn mgmt() -> Bond {
    let mut lost = member("ens1f1", "down", "down", "has no link");
    lost.failures = 3;
    Bond {
        name: "mgmt-bo".into(),
        bridge: Some("mgmt-br".into()),
        mode: "active-backup".into(),
        state: "degraded".into(),
        reason: Some("ens1f1 has no link".into()),
        since: "2026-11-24T06:59:00.000000Z".into(),
        active: Some("ens1f0".into()),
        primary: Some("ens1f1".into()),
        by_hand: true,
        options: options(BondMode::ActiveBackup, ["ens1f0", "ens1f1"], |config| {
            config.primary = Some("ens1f1".into());
            config.updelay = 200;
            config.arp_interval = 1000;
            let targets = ["10.0.0.1", "10.7.0.1 vlan 7"];
            config.arp_ip_target = targets.map(|target| target.parse().unwrap()).to_vec();
        }),
        members: vec![member("ens1f0", "up", "active", "is the active one"), lost],
        ..Bond::default()
    }
}

/// The answers of `io.vswitch.Bond`.
pub(super) fn answer(verb: &str, parameters: &Value) -> Result<Vec<Value>, ApiError> {
    let name = parameters["name"].as_str().unwrap_or_default();
    let bond = parameters["bond"].as_str();
    bond.map_or(Ok(()), |bond| known(&BONDS, "bond", bond))?;
    let at = bond.unwrap_or_default();
    Ok(match verb {
        "List" => {
            let mut bonds = vec![mgmt(), oob()];
            bonds.retain(|row| bond.is_none_or(|bond| row.name == bond));
            vec![to_json(&BondsReply {
                snapshot_time: NOW.into(),
                bonds,
            })]
        }
        "Add" => return changed(parameters, format!("bond.{name}"), ChangeOp::Add),
        "Set" => return changed(parameters, format!("bond.{name}.mode"), ChangeOp::Change),
        "Del" => return changed(parameters, format!("bond.{name}"), ChangeOp::Remove),
        "AddMember" | "DelMember" => {
            return changed(parameters, format!("bond.{at}.members"), ChangeOp::Change);
        }
        "SetActive" => vec![json!({"before": "ens1f0"})],
        _ if at == "mgmt-bo" => vec![to_json(&HashReply {
            members: vec!["ens1f0".into()],
            chosen: "active".into(),
            ..HashReply::default()
        })],
        _ => vec![to_json(&HashReply {
            members: vec!["ens2f0".into()],
            chosen: "hash".into(),
            policy: Some("layer3+4".into()),
            hash: Some(0xbeef),
            bucket: Some(15),
            buckets: Some(32),
        })],
    })
}
