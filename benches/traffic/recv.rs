//! `recv`: counts the frames that arrive, without reading them.

use crate::frames::beginning;
use crate::{MARKER, on, ready};
use clap::Args;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::io;
use std::time::{Duration, Instant};
use vswitch_io::wire::{Counter, Destination};

/// Between two looks at the counters: they have 32 bits.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The device to count on.
    #[arg(long)]
    dev: String,
    /// Count apart what is not addressed to the host of this number: what was flooded here.
    #[arg(long, value_name = "HOST")]
    host: Option<u8>,
    /// End after so long, instead of when standard input ends.
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
}

pub(crate) fn run(options: &Options) -> io::Result<Value> {
    let open = |what| on(&options.dev, Counter::open(&options.dev, MARKER, what));
    let all = open(Destination::Any)?;
    let foreign = options
        .host
        .map(|host| open(Destination::NotBeginningWith(beginning(host))))
        .transpose()?;
    ready();
    let start = Instant::now();
    let end = match options.seconds {
        Some(seconds) if seconds.is_finite() && seconds > 0.0 => {
            Some(start + Duration::from_secs_f64(seconds))
        }
        Some(_) => return Err(io::Error::other("--seconds must be above zero")),
        None => None,
    };
    let (mut frames, mut flooded) = (0, 0);
    let mut per_second = Vec::new();
    loop {
        let now = Instant::now();
        let wait = end.map_or(LOOK, |end| LOOK.min(end.saturating_duration_since(now)));
        let over = match end {
            Some(end) => {
                std::thread::sleep(wait);
                Instant::now() >= end
            }
            None => stdin_ended(wait)?,
        };
        let arrived = all.take()?;
        frames += arrived;
        flooded += foreign.as_ref().map_or(Ok(0), Counter::take)?;
        per_second.push(arrived);
        if over {
            break;
        }
    }
    Ok(json!({
        "tool": "recv", "frames": frames, "foreign": options.host.map(|_| flooded),
        "seconds": start.elapsed().as_secs_f64(), "per_second": per_second,
    }))
}

/// Waits at most so long for the end of standard input.
fn stdin_ended(wait: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    let timeout = Timespec::try_from(wait).map_err(io::Error::other)?;
    let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
    match poll(&mut fds, Some(&timeout)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
        Ok(_) => Ok(io::Read::read(&mut stdin.lock(), &mut [0; 64])? == 0),
        Err(error) => Err(error.into()),
    }
}
