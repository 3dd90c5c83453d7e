//! `vswctl status`: the switch in one screen, and in one exit code.

use serde_json::Value;
use vswitch_api::request::GetHealth;
use vswitch_api::types::{Health, HealthReply, Severity};

use crate::failure::{Exit, Failure};
use crate::render::{Look, Style, View, clean};
use crate::session::{Session, Watch};
use crate::units;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    watch: Watch,
}

pub(crate) fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let mut health = Health::Ok;
    session.show_watched(&args.watch, |session| {
        let reply = session.call(GetHealth::default())?;
        health = reply.health;
        Ok(view(&reply, &session.look))
    })?;
    if health == Health::Ok {
        Ok(())
    } else {
        Err(Failure::silent(Exit::Degraded))
    }
}

fn view(reply: &HealthReply, look: &Look) -> View {
    let (style, word) = match reply.health {
        Health::Ok => (Style::Good, "OK"),
        Health::Degraded => (Style::Warn, "DEGRADED"),
        Health::Failed => (Style::Bad, "FAILED"),
    };
    let saved = match reply.unsaved {
        0 => "config saved".to_owned(),
        1 => "1 change not saved".to_owned(),
        count => format!("{count} changes not saved"),
    };
    let head = format!(
        "vswitchd {}   up {}   {saved} (generation {})",
        clean(&reply.version),
        units::duration(reply.uptime_seconds),
        reply.generation
    );
    let mut text = format!("{head:<66}  {}\n", look.paint(style, word));
    text.push_str(&format!(
        "  bridges {}   ports {} ({} up)   fdb {}   workers {}\n",
        reply.bridges, reply.ports, reply.ports_up, reply.fdb_entries, reply.workers
    ));
    for problem in &reply.problems {
        let style = match problem.severity {
            Severity::Info => Style::Plain,
            Severity::Warning => Style::Warn,
            Severity::Error => Style::Bad,
        };
        text.push_str(&format!(
            "\n  {} {}: {}\n",
            look.paint(style, "!"),
            look.paint(Style::Strong, &clean(&problem.object)),
            clean(&problem.message)
        ));
        for (key, label) in [("reason", "why"), ("hint", "help")] {
            if let Some(Value::String(value)) =
                problem.detail.as_ref().and_then(|detail| detail.get(key))
            {
                text.push_str(&format!("      {label:<4}  {}\n", clean(value)));
            }
        }
    }
    View::text(
        reply,
        text,
        vec![format!("{:?}", reply.health).to_lowercase()],
    )
}
