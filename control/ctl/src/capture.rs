//! `vswctl capture`: frames as they pass a port, one a line or as pcapng.
//!
//! A file is complete up to its last frame whenever the command is ended. Frames that were
//! lost because this side read too slowly are told on standard error, not hidden.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use vswitch_api::hex;
use vswitch_api::request::Capture;
use vswitch_api::types::{CaptureDirection, CapturedFrame};

use crate::failure::Failure;
use crate::frame_line::describe;
use crate::pcapng::{Packet, Writer};
use crate::port::direction;
use crate::render::{Look, Style, clean, to_json};
use crate::session::Session;
use crate::units;

/// The most bytes of one frame that can be asked for.
const SNAPLEN_MAX: u32 = 65_535;

/// Which way a frame goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Dir {
    /// Into the switch
    In,
    /// Out of the switch
    Out,
    /// Both
    #[default]
    Both,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The port; any: all ports
    port: String,
    /// Write pcapng into this file, or to standard output (-)
    #[arg(short, long, value_name = "FILE|-")]
    write: Option<PathBuf>,
    /// Which frames, seen from the switch
    #[arg(long, value_enum, value_name = "DIR", default_value_t)]
    dir: Dir,
    /// Only dropped frames, with the reason
    #[arg(long)]
    drops: bool,
    /// The first bytes of each frame only
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(14..=i64::from(SNAPLEN_MAX)))]
    snaplen: Option<u32>,
    /// End after this many frames
    #[arg(short = 'c', long, value_name = "N")]
    count: Option<u64>,
}

pub(crate) fn run(args: Args, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    let request = Capture {
        port: Some(args.port).filter(|port| port != "any"),
        direction: Some(match args.dir {
            Dir::In => CaptureDirection::In,
            Dir::Out => CaptureDirection::Out,
            Dir::Both => CaptureDirection::Both,
        }),
        snaplen: args.snaplen,
        drops: args.drops,
        limit: args.count,
    };
    let snaplen = args.snaplen.unwrap_or(SNAPLEN_MAX);
    let mut sink = match args.write {
        None => Sink::Lines,
        Some(path) if path.as_os_str() == "-" => {
            Sink::Standard(Writer::new(Collected::default(), snaplen)?)
        }
        Some(path) => {
            let file =
                File::create(&path).map_err(|error| Failure::file("write", &path, &error))?;
            let writer = Writer::new(file, snaplen)
                .map_err(|error| Failure::file("write", &path, &error))?;
            Sink::File(path, writer)
        }
    };
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut written = 0_u64;
    let result = session.stream(request, |session, reply| {
        if reply.lost > 0 {
            warn(
                session,
                &format!("{} frames were lost: this reader is too slow", reply.lost),
            );
        }
        for frame in reply
            .frames
            .iter()
            .take(usize::try_from(left).unwrap_or(usize::MAX))
        {
            sink.frame(frame, session)?;
            written += 1;
            left -= 1;
        }
        sink.flush(session)?;
        Ok(left > 0)
    });
    if result.is_ok()
        && let Sink::File(path, _) = &sink
    {
        warn(session, &format!("{written} frames in {}", path.display()));
    }
    result
}

/// A remark for people; standard output is for frames.
fn warn(session: &mut Session<'_, '_>, text: &str) {
    if !session.quiet {
        let line = format!("{}\n", session.look.paint(Style::Dim, &clean(text)));
        // A remark that cannot be made is no reason to end.
        let _ = session.world.err.write_all(line.as_bytes());
    }
}

/// Bytes on their way to standard output.
#[derive(Default)]
struct Collected(Vec<u8>);

impl Write for Collected {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Where frames go.
enum Sink {
    Lines,
    Standard(Writer<Collected>),
    File(PathBuf, Writer<File>),
}

impl Sink {
    fn frame(
        &mut self,
        frame: &CapturedFrame,
        session: &mut Session<'_, '_>,
    ) -> Result<(), Failure> {
        let bytes = hex::decode(&frame.frame_hex, SNAPLEN_MAX as usize).unwrap_or_default();
        let comment = frame
            .reason
            .as_ref()
            .map(|reason| format!("{}: {reason}", frame.verdict.as_deref().unwrap_or("drop")));
        let packet = Packet {
            port: &frame.port,
            time_ns: frame.time_ns,
            direction: frame.direction,
            length: frame.length,
            bytes: &bytes,
            comment: comment.as_deref(),
        };
        match self {
            Self::Lines if session.look.json => session.print(&format!("{}\n", to_json(frame))),
            Self::Lines => session.print(&line(frame, &bytes, &session.look)),
            Self::Standard(writer) => Ok(writer.write(&packet)?),
            Self::File(path, writer) => writer
                .write(&packet)
                .map_err(|error| Failure::file("write", path, &error)),
        }
    }

    fn flush(&mut self, session: &mut Session<'_, '_>) -> Result<(), Failure> {
        match self {
            Self::Lines => Ok(()),
            Self::Standard(writer) => {
                let bytes = writer.take();
                session.world.out.write_all(&bytes)?;
                Ok(session.world.out.flush()?)
            }
            Self::File(path, writer) => writer
                .flush()
                .map_err(|error| Failure::file("write", path, &error)),
        }
    }
}

impl Writer<Collected> {
    /// What was written since the last time.
    fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.inner().0)
    }
}

/// Time, direction, port, frame, length and, for what was not forwarded, why.
fn line(frame: &CapturedFrame, bytes: &[u8], look: &Look) -> String {
    let why = match (&frame.verdict, &frame.reason) {
        (Some(verdict), Some(reason)) => {
            look.paint(Style::Bad, &clean(&format!("  [{verdict} {reason}]")))
        }
        _ => String::new(),
    };
    format!(
        "{} {:<3} {} {} len {}{why}\n",
        units::time_of_day(frame.time_ns),
        direction(frame.direction),
        look.paint(Style::Strong, &clean(&frame.port)),
        describe(bytes),
        frame.length,
    )
}
