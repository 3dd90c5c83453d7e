//! `vswctl drops`: dropped frames by reason, port and rate, with the meaning.

use std::collections::HashMap;

use vswitch_api::request::StatsDrops;
use vswitch_api::types::{DropsReply, FrameDirection};

use crate::failure::Failure;
use crate::port::direction;
use crate::render::{Cell, Look, Style, Table, View, or_dash};
use crate::session::{Session, Watch};
use crate::units;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only at this port
    port: Option<String>,
    /// Only for this reason
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let mut before: Option<DropsReply> = None;
    session.show_watched(&args.watch, |session| {
        let now = session.call(StatsDrops {
            port: args.port.clone(),
            reason: args.reason.clone(),
        })?;
        let view = view(&now, before.as_ref(), &session.look);
        before = Some(now);
        Ok(view)
    })
}

type Key<'a> = (&'a str, &'a str, FrameDirection);

fn view(now: &DropsReply, before: Option<&DropsReply>, look: &Look) -> View {
    let seconds =
        before.and_then(|before| units::seconds_between(&before.snapshot_time, &now.snapshot_time));
    let old: HashMap<Key<'_>, u64> = before
        .iter()
        .flat_map(|before| &before.drops)
        .map(|drop| {
            (
                (drop.reason.as_str(), drop.port.as_str(), drop.direction),
                drop.frames,
            )
        })
        .collect();
    let mut columns = vec!["REASON", "PORT", "DIR", "FRAMES>"];
    if seconds.is_some() {
        columns.push("RATE>");
    }
    columns.push("MEANS");
    let mut table = Table::new(&columns);
    for drop in &now.drops {
        let mut row: Vec<Cell> = vec![
            Cell::new(Style::Warn, &drop.reason),
            drop.port.as_str().into(),
            direction(drop.direction).into(),
            drop.frames.into(),
        ];
        if let Some(seconds) = seconds {
            let key = (drop.reason.as_str(), drop.port.as_str(), drop.direction);
            let before = old.get(&key).copied().unwrap_or(0); // Not among them: none until then.
            row.push(or_dash(
                units::growth(before, drop.frames, seconds).map(|rate| units::rate(rate, "pps")),
            ));
        }
        row.push(drop.means.as_str().into());
        table.row(row);
    }
    let names = now.drops.iter().map(|drop| drop.reason.clone()).collect();
    if now.drops.is_empty() && look.headers {
        return View::text(now, "no frame was dropped\n".to_owned(), names);
    }
    View::table(now, table, names)
}
