//! `vswctl daemon`: the daemon itself, its threads, its log.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "help texts are doc comments, and their brackets mean optional words"
)]

use vswitch_api::request::{DaemonGetInfo, SetLogLevel};
use vswitch_api::types::DaemonInfo;

use crate::failure::Failure;
use crate::render::{Body, Facts, Look, Table, View, or_dash};
use crate::session::{Session, Watch};
use crate::units;
use crate::workers::{self, Load};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Version, process, files, threads: each thread's busy time, frames a batch, time of a pass over its
    /// queues (LOOP; half and 99 % of them take at most P50 and P99, told by powers of two), and how
    /// often it stood still. Since the start; with --watch since the look before
    Info {
        #[command(flatten)]
        watch: Watch,
    },
    /// Show or set what is logged: [set] LEVEL, or levels by module such as info,vswitchd::server=debug
    Log {
        /// [set] LEVEL; nothing: show
        #[arg(value_name = "LEVEL")]
        words: Vec<String>,
    },
}

pub(crate) fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Info { watch } => {
            let mut before: Option<DaemonInfo> = None;
            session.show_watched(&watch, |session| {
                let now = session.call(DaemonGetInfo::default())?;
                let view = view(&now, before.as_ref(), &session.look)?;
                before = Some(now);
                Ok(view)
            })
        }
        Command::Log { words } => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let level = match words.as_slice() {
                [] | ["show"] => {
                    let info = session.call(DaemonGetInfo::default())?;
                    let text = format!("{}\n", crate::render::clean(&info.log));
                    return session.show(&View::text(
                        &serde_json::json!({"log": info.log}),
                        text,
                        Vec::new(),
                    ));
                }
                ["set", level] | [level] => (*level).to_owned(),
                _ => {
                    return Err(Failure::usage("there is a word too many")
                        .help("vswctl daemon log set info,vswitchd::server=debug"));
                }
            };
            let done = session.call(SetLogLevel {
                level: level.clone(),
            })?;
            session.show(&View::text(
                &done,
                format!("logs {level} until the daemon ends\n"),
                Vec::new(),
            ))
        }
    }
}

fn view(now: &DaemonInfo, before: Option<&DaemonInfo>, look: &Look) -> Result<View, Failure> {
    let mut facts = Facts::default();
    facts.add("version", now.version.as_str());
    facts.add(
        "process",
        format!("{}, up {}", now.pid, units::duration(now.uptime_seconds)),
    );
    facts.add("socket", now.socket.as_str());
    facts.add(
        "files",
        if now.config_files.is_empty() {
            "none".to_owned()
        } else {
            now.config_files.join(", ")
        },
    );
    facts.maybe("state", now.state_dir.as_deref());
    facts.add("log", now.log.as_str());
    facts.add("memory", units::bytes(now.memory_bytes));
    let mut text = facts.text(look, "");
    let mut table = Table::new(&[
        "WORKER>",
        "CPU>",
        "QUEUES>",
        "BUSY>",
        "FRAMES>",
        "+BATCHES>",
        "BATCH>",
        "BATCH-P50>",
        "BATCH-P99>",
        "LOOP-P50>",
        "LOOP-P99>",
        "LONGEST>",
        "+LONGEST-AT",
        "STALLS>",
        "+PORTS",
    ]);
    for worker in &now.workers {
        let load = Load::of(worker, before);
        table.row(vec![
            worker.index.into(),
            or_dash(worker.cpu),
            worker.queues.into(),
            load.busy_cell(),
            worker.frames.into(),
            worker.batches.into(),
            or_dash(load.mean_batch()),
            or_dash(load.batch(50)),
            or_dash(load.batch(99)),
            load.loop_cell(50),
            load.loop_cell(99),
            load.longest_cell(),
            or_dash(worker.longest_at.as_ref()),
            workers::stalls_cell(worker),
            or_dash(workers::ports(worker)),
        ]);
    }
    if !now.workers.is_empty() {
        text.push('\n');
        let plain = Look {
            format: look.for_people(),
            columns: Vec::new(),
            sort: None,
            ..look.clone()
        };
        text.push_str(&View::table(&(), table, Vec::new()).print(&plain)?);
    }
    let mut view = View::text(now, String::new(), vec![now.version.clone()]);
    view.body = Body::Text(text);
    Ok(view)
}
