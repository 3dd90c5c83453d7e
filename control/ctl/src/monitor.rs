//! `vswctl monitor`: events as they happen.

use vswitch_api::request::Watch;
use vswitch_api::types::{Event, Severity};

use crate::failure::Failure;
use crate::render::{Look, Style, clean, to_json};
use crate::session::Session;
use crate::units;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only events of these kinds: port-up, port-down, config, mac-flap, …
    kinds: Vec<String>,
    /// Begin with the event after this one, if the daemon still has it
    #[arg(long, value_name = "SEQUENCE")]
    since: Option<u64>,
    /// End after this many events
    #[arg(short = 'c', long, value_name = "N")]
    count: Option<u64>,
}

pub(crate) fn run(args: Args, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let kinds = (!args.kinds.is_empty()).then_some(args.kinds);
    let mut left = args.count.unwrap_or(u64::MAX);
    session.stream(
        Watch {
            kinds,
            since_sequence: args.since,
        },
        |session, reply| {
            if let Some(event) = reply.event {
                let text = if session.look.json {
                    format!("{}\n", to_json(&event))
                } else {
                    line(&event, &session.look)
                };
                session.print(&text)?;
                left = left.saturating_sub(1);
            }
            Ok(left > 0)
        },
    )
}

fn line(event: &Event, look: &Look) -> String {
    let (style, severity) = match event.severity {
        Severity::Info => (Style::Plain, "info"),
        Severity::Warning => (Style::Warn, "warning"),
        Severity::Error => (Style::Bad, "error"),
    };
    format!(
        "{}  {}  {:<12}  {}  {}\n",
        units::clock(&event.time),
        look.paint(style, &format!("{severity:<7}")),
        clean(&event.kind),
        look.paint(Style::Strong, &clean(&event.object)),
        clean(&event.message)
    )
}
