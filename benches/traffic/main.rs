//! `vswitch-traffic`: the ends of a measurement, run inside network namespaces by `scripts/bench-peers`.
//!
//! `send` and `recv` are raw frames of EtherType 0x88b5, which no stack sends or answers; `ping-pong` and
//! `echo` are UDP; `tap-loop` is the plainest forwarder between two TAPs, the baseline of ours. Each
//! prints one line of JSON when it ends. Those that wait for others (`recv`, `echo`, `tap-loop`) write
//! "ready" to standard error once they are, and end when their standard input does.
//!
//! Nothing here shares a line with the switch's own send and receive paths.
#![forbid(unsafe_code)]

mod frames;
mod ping;
mod recv;
mod send;
mod tap_loop;

use clap::{Parser, Subcommand};
use std::io::{self, Write};
use std::process::ExitCode;

/// IEEE 802: local experimental EtherType 1.
const MARKER: u16 = 0x88b5;

/// Sends, counts and echoes for measurements of a switch.
#[derive(Debug, Parser)]
#[command(name = "vswitch-traffic", version)]
struct Options {
    /// Run on this core only.
    #[arg(long, global = true, value_name = "CORE")]
    cpu: Option<usize>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Send frames as fast as possible or at a given rate.
    Send(send::Options),
    /// Count frames until standard input ends.
    Recv(recv::Options),
    /// Measure round trips of UDP datagrams.
    PingPong(ping::PingPong),
    /// Send UDP datagrams back until standard input ends.
    Echo(ping::Echo),
    /// Make two TAPs and copy frames between them, one read and one write a frame.
    TapLoop(tap_loop::Options),
}

fn main() -> ExitCode {
    let options = Options::parse();
    let run = || {
        if let Some(cpu) = options.cpu {
            pin(cpu)?;
        }
        match &options.what {
            What::Send(options) => send::run(options),
            What::Recv(options) => recv::run(options),
            What::PingPong(options) => ping::ping_pong(options),
            What::Echo(options) => ping::echo(options),
            What::TapLoop(options) => tap_loop::run(options),
        }
    };
    match run() {
        Ok(result) => {
            // A reader that went away has no use for the result.
            let _ = writeln!(io::stdout(), "{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "vswitch-traffic: {error}");
            ExitCode::FAILURE
        }
    }
}

fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= rustix::thread::CpuSet::MAX_CPU {
        return Err(io::Error::other(format!("there is no core {cpu}")));
    }
    let mut set = rustix::thread::CpuSet::new();
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| io::Error::other(format!("cannot run on core {cpu}: {error}")))
}

/// Says which operation on which device failed.
fn on<T>(device: &str, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{device}: {error}")))
}

/// Tells whoever started this that it may go on.
fn ready() {
    let _ = writeln!(io::stderr(), "ready");
}
