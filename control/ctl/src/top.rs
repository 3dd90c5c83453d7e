//! `vswctl top`: what threads and ports do right now, again and again.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use vswitch_api::request::{DaemonGetInfo, StatsPorts};
use vswitch_api::types::{DaemonInfo, PortCounters, PortsReply};

use crate::failure::Failure;
use crate::port::Rates;
use crate::render::{Body, Cell, Look, Style, Table, View, or_dash};
use crate::session::Session;
use crate::units;
use crate::workers::{Load, stalls_cell};

/// Rows of ports unless told otherwise: threads and ports then fit on a screen.
const ROWS: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// End after this many looks
    #[arg(short = 'c', visible_short_alias = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// One look, the same as -c 1
    #[arg(long, conflicts_with = "count")]
    once: bool,
    /// Seconds from one look to the next; the first comes after one second
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    interval: u64,
    /// At most this many ports, 0: all; JSON has all
    #[arg(long, value_name = "N", default_value_t = ROWS)]
    ports: usize,
}

/// The time before the first look, which needs a reading to compare with.
const FIRST: Duration = Duration::from_secs(1);

/// The counters of one moment.
struct Reading {
    info: DaemonInfo,
    ports: PortsReply,
}

impl Reading {
    fn take(session: &mut Session<'_, '_>) -> Result<Self, Failure> {
        Ok(Self {
            info: session.call(DaemonGetInfo::default())?,
            ports: session.call(StatsPorts::default())?,
        })
    }
}

pub(crate) fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let times = if args.once { Some(1) } else { args.count };
    let mut before = Reading::take(session)?;
    std::thread::sleep(FIRST);
    session.show_again(args.interval, times, |session| {
        let now = Reading::take(session)?;
        let top = Top::between(&before, &now);
        before = now;
        top.view(args.ports, &session.look)
    })
}

/// One look, as JSON has it: whole numbers in base units.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Top {
    snapshot_time: String,
    uptime_seconds: u64,
    workers: Vec<Worker>,
    ports: Vec<Port>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Worker {
    index: u32,
    cpu: Option<u32>,
    queues: u32,
    busy_percent: Option<u64>,
    frames_per_second: Option<u64>,
    batches_per_second: Option<u64>,
    loop_p50_ns: Option<u64>,
    loop_p99_ns: Option<u64>,
    longest_ns: Option<u64>,
    stalls: Option<u64>,
    stalled: Option<bool>,
    #[serde(skip)]
    load: Load,
    #[serde(skip)]
    stalls_cell: Cell,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Port {
    port: String,
    bridge: Option<String>,
    frames_in_per_second: Option<u64>,
    frames_out_per_second: Option<u64>,
    bits_in_per_second: Option<u64>,
    bits_out_per_second: Option<u64>,
    drops_per_second: Option<u64>,
    #[serde(skip)]
    rates: Rates,
}

/// A rate as a whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is made of counters, and rounded on purpose"
)]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

impl Top {
    /// What happened from one reading to another: ports by their frames, most first.
    fn between(before: &Reading, now: &Reading) -> Self {
        let worker = |worker: &vswitch_api::types::WorkerInfo| {
            let load = Load::of(worker, Some(&before.info));
            let rates = load.per_second();
            Worker {
                index: worker.index,
                cpu: worker.cpu,
                queues: worker.queues,
                busy_percent: load.busy_percent(),
                frames_per_second: rates.map(|(frames, _)| whole(frames)),
                batches_per_second: rates.map(|(_, batches)| whole(batches)),
                loop_p50_ns: load.loop_ns(50),
                loop_p99_ns: load.loop_ns(99),
                longest_ns: load.longest_ns(),
                stalls: worker.stalls,
                stalled: worker.stalled,
                load,
                stalls_cell: stalls_cell(worker),
            }
        };
        let seconds = units::seconds_between(&before.ports.snapshot_time, &now.ports.snapshot_time);
        let old: HashMap<&str, &PortCounters> = before
            .ports
            .ports
            .iter()
            .map(|counters| (counters.port.as_str(), counters))
            .collect();
        let port = |counters: &PortCounters| {
            let old = old.get(counters.port.as_str()).copied();
            let rates = seconds.map_or_else(Rates::default, |seconds| {
                Rates::between(old, counters, seconds)
            });
            Port {
                port: counters.port.clone(),
                bridge: counters.bridge.clone(),
                frames_in_per_second: rates.frames_in.map(whole),
                frames_out_per_second: rates.frames_out.map(whole),
                bits_in_per_second: rates.bits_in.map(whole),
                bits_out_per_second: rates.bits_out.map(whole),
                drops_per_second: rates.drops.map(whole),
                rates,
            }
        };
        let mut ports: Vec<Port> = now.ports.ports.iter().map(port).collect();
        ports.sort_by(|a, b| {
            let busier = b.rates.frames().total_cmp(&a.rates.frames());
            busier.then_with(|| a.port.cmp(&b.port))
        });
        Self {
            snapshot_time: now.ports.snapshot_time.clone(),
            uptime_seconds: now.info.uptime_seconds,
            workers: now.info.workers.iter().map(worker).collect(),
            ports,
        }
    }

    /// Threads, then at most this many ports (0: all).
    fn view(&self, rows: usize, look: &Look) -> Result<View, Failure> {
        let names = self.ports.iter().map(|port| port.port.clone()).collect();
        let people = Look {
            format: look.for_people(),
            ..look.clone()
        };
        let threads = Look {
            columns: Vec::new(),
            sort: None,
            ..people.clone()
        };
        let shown = if rows == 0 { self.ports.len() } else { rows };
        let mut text = self.summary();
        text.push('\n');
        text.push_str(&View::table(&(), self.workers_table(), Vec::new()).print(&threads)?);
        text.push('\n');
        text.push_str(&View::table(&(), self.ports_table(shown), Vec::new()).print(&people)?);
        if shown < self.ports.len() {
            let all = self.ports.len();
            text.push_str(&format!("{shown} of {all} ports; --ports 0 shows all\n"));
        }
        let mut view = View::text(self, String::new(), names);
        view.body = Body::Text(text);
        Ok(view)
    }

    fn summary(&self) -> String {
        let sum = |of: fn(&Rates) -> Option<f64>| {
            let rates = self.ports.iter().filter_map(|port| of(&port.rates));
            units::rate(rates.sum(), "pps")
        };
        format!(
            "{}   up {}   in {}   out {}   drops {}\n",
            units::clock(&self.snapshot_time),
            units::duration(self.uptime_seconds),
            sum(|rates| rates.frames_in),
            sum(|rates| rates.frames_out),
            sum(|rates| rates.drops),
        )
    }

    fn workers_table(&self) -> Table {
        let mut table = Table::new(&[
            "WORKER>",
            "CPU>",
            "QUEUES>",
            "BUSY>",
            "FRAMES/S>",
            "BATCH>",
            "LOOP-P50>",
            "LOOP-P99>",
            "LONGEST>",
            "STALLS>",
        ]);
        for worker in &self.workers {
            let frames = worker.load.per_second().map(|(frames, _)| frames);
            table.row(vec![
                worker.index.into(),
                or_dash(worker.cpu),
                worker.queues.into(),
                worker.load.busy_cell(),
                or_dash(frames.map(|rate| units::rate(rate, "pps"))),
                or_dash(worker.load.mean_batch()),
                worker.load.loop_cell(50),
                worker.load.loop_cell(99),
                worker.load.longest_cell(),
                worker.stalls_cell.clone(),
            ]);
        }
        table
    }

    fn ports_table(&self, rows: usize) -> Table {
        let mut columns = vec!["PORT", "BRIDGE"];
        columns.extend(Rates::COLUMNS);
        let mut table = Table::new(&columns);
        for port in self.ports.iter().take(rows) {
            let mut row = vec![
                Cell::new(Style::Strong, &port.port),
                or_dash(port.bridge.as_ref()),
            ];
            row.extend(port.rates.cells());
            table.row(row);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(time: &str, ports: &[(&str, u64)]) -> Reading {
        let counters = |(port, frames): &(&str, u64)| PortCounters {
            port: (*port).to_owned(),
            frames_in: *frames,
            ..PortCounters::default()
        };
        Reading {
            info: DaemonInfo::default(),
            ports: PortsReply {
                snapshot_time: format!("2026-11-24T10:00:{time}Z"),
                ports: ports.iter().map(counters).collect(),
            },
        }
    }

    fn order(before: &Reading, now: &Reading) -> Vec<(String, Option<u64>)> {
        let ports = Top::between(before, now).ports.into_iter();
        ports
            .map(|port| (port.port, port.frames_in_per_second))
            .collect()
    }

    #[test]
    fn the_busiest_port_comes_first_and_a_new_one_last() {
        let before = reading("00", &[("a", 1_000), ("b", 10), ("c", 10), ("gone", 5)]);
        let now = reading("02", &[("a", 1_002), ("b", 30), ("c", 30), ("new", 9_000)]);
        let rows = [
            ("b", Some(10)),
            ("c", Some(10)),
            ("a", Some(1)),
            ("new", None),
        ];
        let wanted = rows.map(|(name, rate)| (name.to_owned(), rate));
        assert_eq!(order(&before, &now), wanted);
    }

    #[test]
    fn a_clock_that_stands_and_another_daemon_have_no_rates() {
        let (few, many) = ([("a", 1)], [("a", 5)]);
        for (before, now) in [
            (reading("02", &few), reading("02", &many)),
            (reading("02", &few), reading("01", &many)),
            (reading("00", &many), reading("02", &few)),
        ] {
            assert_eq!(order(&before, &now), [("a".to_owned(), None)]);
        }
    }

    #[test]
    fn only_so_many_ports_are_shown_and_it_is_told() {
        let before = reading("00", &[("a", 0), ("b", 0), ("c", 0)]);
        let now = reading("01", &[("a", 1), ("b", 2), ("c", 3)]);
        let top = Top::between(&before, &now);
        let text = |rows| {
            top.view(rows, &Look::plain())
                .unwrap()
                .print(&Look::plain())
        };
        let two = text(2).unwrap();
        assert!(two.contains("\nc ") && two.contains("\nb "), "{two}");
        assert!(!two.contains("\na ") && two.ends_with("2 of 3 ports; --ports 0 shows all\n"));
        for rows in [0, 3, 20] {
            let all = text(rows).unwrap();
            assert!(all.contains("\na ") && !all.contains(" of 3 "), "{all}");
        }
        let json = top.view(1, &Look::plain()).unwrap().json;
        assert_eq!(
            json["ports"].as_array().map(Vec::len),
            Some(3),
            "JSON has all"
        );
    }
}
