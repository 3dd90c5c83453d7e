//! `tap-loop`: two TAPs and a thread for each way, one `read` and one `write` a frame.
//!
//! The least that any userspace switch between TAPs must beat. Whoever started it moves the devices to
//! where they are wanted; they end with this process.

use crate::{on, ready};
use clap::Args;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// More than any frame of a TAP without offloads.
const FRAME_MAX: usize = 1 << 16;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The one TAP.
    #[arg(long)]
    a: String,
    /// The other.
    #[arg(long)]
    b: String,
}

#[derive(Debug, Default)]
struct Way {
    read: AtomicU64,
    refused: AtomicU64,
}

pub(crate) fn run(options: &Options) -> io::Result<Value> {
    let open = |name: &str| on(name, vswitch_io::wire::plain_tap(name)).map(Arc::new);
    let (a, b) = (open(&options.a)?, open(&options.b)?);
    let ways: [Arc<Way>; 2] = Default::default();
    // Joined by the end of the process: nothing but a frame wakes a blocked read.
    for (way, from, to) in [(&ways[0], &a, &b), (&ways[1], &b, &a)] {
        let (way, from, to) = (Arc::clone(way), Arc::clone(from), Arc::clone(to));
        std::thread::spawn(move || copy(&from, &to, &way));
    }
    ready();
    let mut bytes = [0; 64];
    while matches!(io::stdin().read(&mut bytes), Ok(1..)) {}
    let tell = |way: &Way| {
        json!({
            "read": way.read.load(Ordering::Relaxed), "refused": way.refused.load(Ordering::Relaxed),
        })
    };
    Ok(json!({ "tool": "tap-loop", "a_to_b": tell(&ways[0]), "b_to_a": tell(&ways[1]) }))
}

fn copy(mut from: &File, mut to: &File, way: &Way) {
    let mut frame = vec![0; FRAME_MAX];
    loop {
        match from.read(&mut frame) {
            Ok(len) => {
                way.read.fetch_add(1, Ordering::Relaxed);
                if to.write_all(&frame[..len]).is_err() {
                    way.refused.fetch_add(1, Ordering::Relaxed);
                }
            }
            // A device that is down for a moment, while it is moved, is not read from but not lost.
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
}
