//! `vswctl lacp`: what bonds and their partners say to each other.

use serde_json::Value;
use vswitch_api::types::{Bond, BondsReply, LacpBond, LacpMember};

use crate::bond::bonds;
use crate::failure::{Exit, Failure};
use crate::render::{Cell, Format, Look, Style, Table, View, clean, or_dash};
use crate::session::{Session, Watch};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Each member's state and its partner's; letters: A active, S in sync, G may be aggregated, C collects,
    /// D distributes, U unheard, E expired, F fast
    Show {
        /// Only this bond
        bond: Option<String>,
        /// Counters and churn in place of states
        #[arg(long)]
        stats: bool,
        #[command(flatten)]
        watch: Watch,
    },
}

pub(crate) fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let Command::Show { bond, stats, watch } = command;
    session.show_watched(&watch, |session| {
        let reply = bonds(bond.as_deref(), session)?;
        let silent = |one: &&Bond| one.mode != "802.3ad";
        if let Some(one) = reply.bonds.iter().find(silent).filter(|_| bond.is_some()) {
            let what = format!("bond \"{}\" speaks no LACP", one.name);
            let name = &one.name;
            return Err(Failure::new(Exit::Failed, "vswctl.NoLacp", what)
                .fact("why", format!("its mode is {}", one.mode))
                .help(format!(
                    "vswctl bond set {name} --mode 802.3ad, or look at it: vswctl bond show {name}"
                )));
        }
        view(&reply, stats, &session.look)
    })
}

/// `active  fast  system MAC prio N  aggregator 1 (1 of 2)`.
pub(crate) fn summary(lacp: &LacpBond, members: usize) -> String {
    let aggregator = match lacp.aggregator {
        Some(number) => format!(
            "aggregator {number} ({} of {members})",
            lacp.aggregator_ports
        ),
        None => "no aggregator".to_owned(),
    };
    let verdict = match lacp.verdict.as_str() {
        "up" => String::new(),
        other => format!("  {other}"),
    };
    format!(
        "{}  {}  system {} prio {}  {aggregator}{verdict}",
        if lacp.active { "active" } else { "passive" },
        lacp.rate,
        lacp.system,
        lacp.system_priority
    )
}

/// The Mux machine's state in short.
fn mux(state: &str) -> String {
    match state {
        "COLLECTING" => "collect".to_owned(),
        "DISTRIBUTING" | "COLLECTING_DISTRIBUTING" => "distrib".to_owned(),
        other => other.to_lowercase(),
    }
}

fn ago(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

fn states(bond: &Bond) -> Table {
    let mut table = Table::new(&[
        "MEMBER",
        "LINK",
        "SELECTED",
        "MUX",
        "ACTOR",
        "PARTNER",
        "PARTNER-SYSTEM",
        "KEY",
        "LAST-PDU",
        "+AGGREGATOR",
        "+RECEIVE",
        "+PORT",
        "+PARTNER-PORT",
    ]);
    for member in &bond.members {
        let link = match member.link.as_str() {
            "up" => Style::Good,
            _ => Style::Bad,
        };
        let lacp = member.lacp.as_ref();
        let partner = lacp.and_then(|lacp| lacp.partner.as_ref());
        let selected = lacp.map_or("no", |lacp| lacp.selected.as_str());
        table.row(vec![
            Cell::new(Style::Strong, &member.name),
            Cell::new(link, &member.link),
            selected.into(),
            or_dash(lacp.map(|lacp| mux(&lacp.mux))),
            or_dash(lacp.map(|lacp| &lacp.actor.state_letters)),
            or_dash(partner.map(|partner| &partner.state_letters)),
            or_dash(partner.map(|partner| &partner.system)),
            or_dash(partner.map(|partner| partner.key)),
            or_dash(lacp.and_then(|lacp| lacp.heard_ms).map(ago)),
            or_dash(lacp.and_then(|lacp| lacp.aggregator)),
            or_dash(lacp.map(|lacp| lacp.receive.to_lowercase())),
            or_dash(lacp.map(|lacp| lacp.actor.port)),
            or_dash(partner.map(|partner| partner.port)),
        ]);
    }
    table
}

fn counters(bond: &Bond) -> Table {
    let mut table = Table::new(&[
        "MEMBER",
        "PDUS-IN>",
        "PDUS-OUT>",
        "MARKERS-IN>",
        "ANSWERS-OUT>",
        "MARKERS-OUT>",
        "ANSWERS-IN>",
        "UNKNOWN>",
        "ILLEGAL>",
        "LOOPED>",
        "CHURN",
        "PARTNER-CHURN",
        "PARTNER-ANSWERS",
    ]);
    let none = LacpMember::default();
    for member in &bond.members {
        let lacp = member.lacp.as_ref().unwrap_or(&none);
        let wrong = |count: u64| match count {
            0 => Cell::from(count),
            _ => Cell::new(Style::Warn, count.to_string()),
        };
        let churn = |state: &str| match state {
            "" => or_dash(None::<String>),
            "churned" => Cell::new(Style::Warn, state),
            _ => state.into(),
        };
        table.row(vec![
            Cell::new(Style::Strong, &member.name),
            lacp.lacpdus_in.into(),
            lacp.lacpdus_out.into(),
            lacp.markers_in.into(),
            lacp.marker_responses_out.into(),
            lacp.markers_out.into(),
            lacp.marker_responses_in.into(),
            wrong(lacp.unknown_in),
            wrong(lacp.illegal_in),
            wrong(lacp.loopback_in),
            churn(&lacp.actor_churn),
            churn(&lacp.partner_churn),
            or_dash((!lacp.marker_answers.is_empty()).then_some(&lacp.marker_answers)),
        ]);
    }
    table
}

fn view(reply: &BondsReply, stats: bool, look: &Look) -> Result<View, Failure> {
    let speaking: Vec<&Bond> = reply
        .bonds
        .iter()
        .filter(|bond| bond.mode == "802.3ad")
        .collect();
    let mut text = String::new();
    for bond in &speaking {
        if !text.is_empty() {
            text.push('\n');
        }
        let words = match &bond.lacp {
            Some(lacp) => summary(lacp, bond.members.len()),
            None => "no member has an address that LACP could name".to_owned(),
        };
        let head = look.paint(Style::Strong, &clean(&bond.name));
        text.push_str(&format!(
            "{head}  {}  {}\n",
            clean(&bond.mode),
            clean(&words)
        ));
        let table = match stats {
            true => counters(bond),
            false => states(bond),
        };
        let people = Look {
            format: if look.wide() {
                Format::Wide
            } else {
                Format::Table
            },
            ..look.clone()
        };
        text.push_str(&View::table(&Value::Null, table, Vec::new()).print(&people)?);
    }
    if speaking.is_empty() {
        text.push_str("no bond speaks LACP: vswctl bond set BOND --mode 802.3ad\n");
    }
    let names = speaking.iter().map(|bond| bond.name.clone()).collect();
    Ok(View::text(&speaking, text, names))
}
