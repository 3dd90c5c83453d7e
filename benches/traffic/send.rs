//! `send`: raw frames through `sendmmsg`, at full rate or paced.
//!
//! Paced by spinning, a burst leaves when it is due; paced by sleeping, the sender costs next to nothing
//! between bursts, for measurements of the whole machine's time. What the device refuses is counted and
//! not sent again: the frames offered are those sent and those refused.

use crate::frames::{Frames, Shape};
use crate::on;
use clap::{Args, ValueEnum};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, sendmmsg};
use serde_json::{Value, json};
use std::io::{self, IoSlice};
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Frames of one system call, and so of one burst, unless the rate wants fewer.
const BATCH_MAX: u16 = 256;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The device to send on.
    #[arg(long)]
    dev: String,
    #[command(flatten)]
    shape: Shape,
    /// Send for so long.
    #[arg(long, default_value_t = 2.0, value_name = "S")]
    seconds: f64,
    /// End after so many frames, if that is sooner.
    #[arg(long, value_name = "FRAMES")]
    count: Option<u64>,
    /// Frames a second; without it as many as go.
    #[arg(long, value_name = "PPS")]
    rate: Option<f64>,
    /// How to wait for the next burst.
    #[arg(long, value_enum, default_value_t = Pace::Spin)]
    pace: Pace,
    /// Frames of a system call.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=i64::from(BATCH_MAX)))]
    batch: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Pace {
    Spin,
    Sleep,
}

/// What became of the frames.
#[derive(Default)]
struct Tally {
    sent: u64,
    refused: u64,
}

pub(crate) fn run(options: &Options) -> io::Result<Value> {
    let valid = |x: f64| x.is_finite() && x > 0.0;
    if !valid(options.seconds) || !options.rate.is_none_or(valid) {
        return Err(io::Error::other("--seconds and --rate must be above zero"));
    }
    let socket = on(&options.dev, vswitch_io::wire::sender(&options.dev))?;
    let mut frames = Frames::new(&options.shape, usize::from(options.batch));
    // A sleep of 100 us is to be that, not 150.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
    let mut tally = Tally::default();
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(options.seconds);
    let mut now = start;
    loop {
        let offered = tally.sent + tally.refused;
        if now >= end || options.count.is_some_and(|count| offered >= count) {
            break;
        }
        if let Some(rate) = options.rate {
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52 frames")]
            let due = start + Duration::from_secs_f64(offered as f64 / rate);
            if due > now {
                match options.pace {
                    Pace::Spin => std::hint::spin_loop(),
                    Pace::Sleep => std::thread::sleep(due - now),
                }
                now = Instant::now();
                continue;
            }
        }
        let left = options.count.map_or(u64::MAX, |count| count - offered);
        let take = usize::try_from(left).map_or(usize::MAX, |left| left);
        let batch = frames.batch();
        send_all(&socket, &batch[..batch.len().min(take)], &mut tally)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", options.dev)))?;
        if !frames.is_one_flow() {
            frames.move_on();
        }
        now = Instant::now();
    }
    let seconds = (now - start).as_secs_f64();
    let offered = tally.sent + tally.refused;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 frames")]
    let pps = offered as f64 / seconds;
    Ok(json!({
        "tool": "send", "offered": offered, "sent": tally.sent, "refused": tally.refused,
        "seconds": seconds, "pps": pps, "cpu_seconds": cpu_seconds(),
    }))
}

/// CPU time of this process, what the kernel did in its name included.
fn cpu_seconds() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(spent).map_or(0.0, |spent| spent.as_secs_f64())
}

/// Offers each frame once.
fn send_all(socket: impl AsFd, frames: &[Vec<u8>], tally: &mut Tally) -> io::Result<()> {
    let parts: Vec<_> = frames.iter().map(|frame| [IoSlice::new(frame)]).collect();
    let mut controls: Vec<_> = frames
        .iter()
        .map(|_| SendAncillaryBuffer::default())
        .collect();
    let mut messages: Vec<_> = parts
        .iter()
        .zip(&mut controls)
        .map(|(part, control)| MMsgHdr::new(part, control))
        .collect();
    let mut next = 0;
    while next < messages.len() {
        match sendmmsg(&socket, &mut messages[next..], SendFlags::DONTWAIT) {
            Ok(sent) => {
                tally.sent += sent as u64;
                next += sent;
            }
            Err(rustix::io::Errno::INTR) => {}
            // The queue behind the device is full, or it dropped the frame.
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::NOBUFS) => {
                tally.refused += 1;
                next += 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
