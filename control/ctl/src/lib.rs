//! `vswctl`: the operator's command for `vswitchd`.
//!
//! | module | holds |
//! | --- | --- |
//! | [`args`] | the command tree; global options |
//! | [`foreign`] | what to say to words of `ovs-vsctl`, `brctl`, `bridge`, `ip` and to typos |
//! | [`failure`] | errors, exit codes |
//! | [`render`], [`units`] | tables and JSON from one value; numbers and times for people |
//! | [`link`] | the daemon behind a trait, so that tests answer in its place |
//! | [`workers`] | what a forwarding thread did between two readings |
//! | `status`, `show`, `bridge`, `port`, `attachment`, `bond`, `lacp`, `vlan`, `fdb`, `trace`, `drops`, … | one file a noun |
//! | [`iproute2`] | the text layouts and JSON of iproute2's `bridge` |
//! | [`frame_text`], [`frame_line`], [`pcapng`] | frames: read from text, told in a line, written to files |
//!
//! Guarantees: it changes nothing but through the control socket; every failure is one screen
//! with a documented exit code; bytes from the socket, a file or the command line never panic;
//! a reader that goes away ends it quietly. One thread. Implements interfaces.md §5.
#![forbid(unsafe_code)]

mod api;
mod args;
mod attachment;
mod bond;
mod bridge;
mod capture;
mod change;
mod config;
mod daemon;
mod drops;
mod failure;
mod fdb;
mod foreign;
mod frame_line;
mod frame_text;
mod iproute2;
mod lacp;
mod link;
mod monitor;
mod pcapng;
mod port;
mod render;
mod session;
mod shell;
mod show;
mod status;
mod top;
mod trace;
mod units;
mod vlan;
mod workers;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

pub use failure::Exit;
pub use link::{Link, connect};
pub use vswitch_api::client::ClientError;

/// How a connection to the daemon is made.
pub type Connect = dyn Fn(&Path, Duration) -> Result<Box<dyn Link>, ClientError>;

/// What the command works on: its streams and the way to the daemon.
pub struct World<'a> {
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard error.
    pub err: &'a mut dyn Write,
    /// Whether the output is a terminal.
    pub terminal: bool,
    /// Whether the terminal and the environment (`NO_COLOR`, `CLICOLOR_FORCE`) want colours.
    pub color_wanted: bool,
    /// Whether the locale shows characters outside ASCII.
    pub utf8: bool,
    /// Connects to the daemon; [`connect`], or what a test has in its place.
    pub connect: &'a Connect,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("terminal", &self.terminal)
            .finish_non_exhaustive()
    }
}

/// Runs one command line, its first word being the program's name.
pub fn run(line: impl IntoIterator<Item = OsString>, world: &mut World<'_>) -> Exit {
    args::run(line, world)
}

#[cfg(test)]
mod tests;
