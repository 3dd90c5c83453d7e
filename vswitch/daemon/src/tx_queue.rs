//! How many frames may wait for a port's device to send them (`txqueuelen`, K-42): the kernel's queueing
//! discipline holds as many, and a TAP's queue to its reader is as long.
//!
//! In the namespace of the device; effects thread.

use std::io;
use vswitch_io::link;

/// What failed, for an error.
pub(crate) const SET_TX_QUEUE: &str = "set the txqueuelen of";

/// Gives the device of a port that was opened its wanted length, or what it had before it was ours, which an
/// earlier run may have changed. Returns what it had; `before` where the earlier run wrote that down.
///
/// # Errors
/// What netlink answered.
pub(crate) fn begin(
    ifindex: u32,
    before: Option<u32>,
    wanted: Option<u32>,
) -> io::Result<Option<u32>> {
    let now = link::by_index(ifindex)?.map(|link| link.tx_queue);
    let found = before.or(now);
    if let Some(frames) = wanted.or(found).filter(|frames| now != Some(*frames)) {
        link::set_tx_queue(ifindex, frames)?;
    }
    Ok(found)
}

/// Changes the length on an open port; without `wanted` back to what was found.
///
/// # Errors
/// What netlink answered.
pub(crate) fn change(ifindex: u32, found: Option<u32>, wanted: Option<u32>) -> io::Result<()> {
    match wanted.or(found) {
        Some(frames) if ifindex != 0 => link::set_tx_queue(ifindex, frames),
        _ => Ok(()),
    }
}
