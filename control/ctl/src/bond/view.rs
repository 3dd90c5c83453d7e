//! What `vswctl bond` prints: the list, and a bond in detail with what is probably wrong. Pure.

use serde_json::Value;
use vswitch_api::types::{Bond, BondFinding, BondMember, BondsReply, Severity};

use crate::change::brief;
use crate::config::drop_defaults;
use crate::failure::Failure;
use crate::render::{Cell, Facts, Format, Look, Style, Table, View, clean, or_dash};
use crate::units;

fn names(reply: &BondsReply) -> Vec<String> {
    reply.bonds.iter().map(|bond| bond.name.clone()).collect()
}

fn style(state: &str) -> Style {
    match state {
        "up" => Style::Good,
        "degraded" | "failing" | "returning" => Style::Warn,
        _ => Style::Bad,
    }
}

/// Members that carry frames, of all: `1/2`.
fn carrying(bond: &Bond) -> String {
    let carry = |member: &&BondMember| matches!(member.role.as_str(), "active" | "carrying");
    let count = bond.members.iter().filter(carry).count();
    format!("{count}/{}", bond.members.len())
}

pub(super) fn list(reply: &BondsReply) -> View {
    let mut table = Table::new(&[
        "NAME",
        "BRIDGE",
        "MODE",
        "STATE",
        "CARRY>",
        "ACTIVE",
        "FOR",
        "+PRIMARY",
        "+PARTNER",
        "+PROBLEMS>",
        "+REASON",
    ]);
    for bond in &reply.bonds {
        let partner = bond.lacp.as_ref().and_then(|lacp| lacp.partner.as_ref());
        table.row(vec![
            Cell::new(Style::Strong, &bond.name),
            or_dash(bond.bridge.as_ref()),
            bond.mode.as_str().into(),
            Cell::new(style(&bond.state), &bond.state),
            carrying(bond).into(),
            or_dash(bond.active.as_ref()),
            or_dash(units::age(&bond.since, &reply.snapshot_time)),
            or_dash(bond.primary.as_ref()),
            or_dash(partner.map(|partner| &partner.system)),
            bond.findings.len().into(),
            or_dash(bond.reason.as_ref()),
        ]);
    }
    View::table(&reply.bonds, table, names(reply))
}

pub(super) fn show(reply: &BondsReply, look: &Look) -> Result<View, Failure> {
    let mut text = String::new();
    for bond in &reply.bonds {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&look.paint(Style::Strong, &clean(&bond.name)));
        text.push('\n');
        text.push_str(&facts(bond, &reply.snapshot_time).text(look, "  "));
        text.push('\n');
        text.push_str(&members(bond, &reply.snapshot_time, look)?);
        for finding in &bond.findings {
            text.push_str(&told(finding, look));
        }
    }
    if reply.bonds.is_empty() {
        text.push_str("there is no bond: vswctl bond add NAME --members A,B --bridge BRIDGE\n");
    }
    Ok(View::text(&reply.bonds, text, names(reply)))
}

/// The options that are not as by default, and are told nowhere else.
fn options(bond: &Bond) -> String {
    let mut options = bond.options.clone();
    if let Value::Object(options) = &mut options {
        drop_defaults(options, "bond");
        options.retain(|key, _| !matches!(key.as_str(), "mode" | "members" | "primary"));
    }
    brief(&options)
}

fn facts(bond: &Bond, now: &str) -> Facts {
    let mut facts = Facts::default();
    let age = units::age(&bond.since, now).map_or_else(String::new, |age| format!(" for {age}"));
    let why = bond.reason.as_ref();
    let why = why.map_or_else(String::new, |why| format!(": {why}"));
    let state = format!("{}{age}{why}", bond.state);
    facts.add("state", Cell::new(style(&bond.state), state));
    facts.add("bridge", bond.bridge.as_deref().unwrap_or("none"));
    facts.add("mode", bond.mode.as_str());
    let by_hand = if bond.by_hand { " (by hand)" } else { "" };
    let active = bond.active.as_ref();
    facts.maybe("active", active.map(|active| format!("{active}{by_hand}")));
    facts.maybe("primary", bond.primary.as_deref());
    let options = options(bond);
    facts.maybe(
        "options",
        Some(options).filter(|options| !options.is_empty()),
    );
    if let Some(lacp) = &bond.lacp {
        facts.add("lacp", crate::lacp::summary(lacp, bond.members.len()));
        let partner = lacp.partner.as_ref().map(|partner| {
            format!(
                "system {} prio {} key {}",
                partner.system, partner.system_priority, partner.key
            )
        });
        facts.add("partner", partner.unwrap_or_else(|| "none".to_owned()));
    }
    facts
}

fn members(bond: &Bond, now: &str, look: &Look) -> Result<String, Failure> {
    let mut table = Table::new(&[
        "MEMBER",
        "LINK",
        "FOR",
        "ROLE",
        "SPEED",
        "+LOAD",
        "FAILURES>",
        "WHAT",
        "+MAC",
    ]);
    for member in &bond.members {
        table.row(vec![
            Cell::new(Style::Strong, &member.name),
            Cell::new(style(&member.link), &member.link),
            or_dash(units::age(&member.since, now)),
            member.role.as_str().into(),
            or_dash(member.speed_mbps.map(units::speed)),
            or_dash(member.load_bps.map(units::bits)),
            member.failures.into(),
            member.reason.as_str().into(),
            or_dash(member.mac.as_ref()),
        ]);
    }
    let plain = Look {
        format: if look.wide() {
            Format::Wide
        } else {
            Format::Table
        },
        columns: Vec::new(),
        sort: None,
        ..look.clone()
    };
    let text = View::table(&(), table, Vec::new()).print(&plain)?;
    Ok(text.lines().map(|line| format!("  {line}\n")).collect())
}

fn told(finding: &BondFinding, look: &Look) -> String {
    let style = match finding.severity {
        Severity::Info => Style::Plain,
        Severity::Warning => Style::Warn,
        Severity::Error => Style::Bad,
    };
    format!(
        "\n  {} {}\n    look  {}\n",
        look.paint(style, "!"),
        clean(&finding.message),
        clean(&finding.hint)
    )
}
