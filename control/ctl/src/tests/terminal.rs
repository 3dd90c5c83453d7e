//! What depends on the reader: a terminal, a pipe that closes, looking again and again.

use std::path::Path;
use std::time::Duration;

use super::{Calls, Canned, replies, split};
use crate::{Exit, Link, World, run};

#[test]
fn a_terminal_with_utf8_and_colours_gets_drawings() {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let connect = |_: &Path, _: Duration| Ok(Box::new(Canned(Calls::default())) as Box<dyn Link>);
    let mut world = World {
        out: &mut out,
        err: &mut err,
        terminal: true,
        color_wanted: true,
        utf8: true,
        connect: &connect,
    };
    assert_eq!(run(split("vswctl show oob-br"), &mut world), Exit::Done);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        "\u{1b}[1moob-br\u{1b}[0m   vlan-unaware   mtu 1500   fdb 10\n└─ eth3  nic    \u{1b}[32mup\u{1b}[0m\n"
    );
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut world = World {
        out: &mut out,
        err: &mut err,
        terminal: true,
        color_wanted: true,
        utf8: true,
        connect: &connect,
    };
    assert_eq!(
        run(
            split("vswctl show oob-br --color never --ascii"),
            &mut world
        ),
        Exit::Done
    );
    assert!(out.is_ascii() && !out.contains(&0x1b));
}

/// A reader that goes away ends even `--watch` quietly.
#[test]
fn a_broken_pipe_ends_quietly() {
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for line in [
        "show",
        "show -w",
        "top",
        "monitor",
        "capture vm-db",
        "capture vm-db -w -",
        "fdb watch",
        "completion bash",
        "--help",
    ] {
        let mut err = Vec::new();
        let connect =
            |_: &Path, _: Duration| Ok(Box::new(Canned(Calls::default())) as Box<dyn Link>);
        let mut world = World {
            out: &mut Gone,
            err: &mut err,
            terminal: false,
            color_wanted: false,
            utf8: false,
            connect: &connect,
        };
        let exit = run(
            std::iter::once("vswctl".into()).chain(split(line)),
            &mut world,
        );
        assert_eq!(
            (exit, String::from_utf8(err).unwrap().as_str()),
            (Exit::Done, ""),
            "{line}"
        );
    }
}

/// `--watch` prints again; rates come from the difference of two answers.
#[test]
fn watching_tells_rates() {
    struct Enough(Vec<u8>, usize);
    impl std::io::Write for Enough {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if self.1 == 0 {
                return Err(std::io::ErrorKind::BrokenPipe.into());
            }
            self.1 -= 1;
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    replies::clock::reset();
    let mut out = Enough(Vec::new(), 2);
    let mut err = Vec::new();
    let connect = |_: &Path, _: Duration| Ok(Box::new(Canned(Calls::default())) as Box<dyn Link>);
    let mut world = World {
        out: &mut out,
        err: &mut err,
        terminal: false,
        color_wanted: false,
        utf8: false,
        connect: &connect,
    };
    let exit = run(split("vswctl drops -w --interval 1"), &mut world);
    assert_eq!(exit, Exit::Done);
    let text = String::from_utf8(out.0).unwrap();
    let looks: Vec<&str> = text.split("\n\n").collect();
    assert_eq!(looks.len(), 2, "{text}");
    assert!(!looks[0].contains("RATE"), "{text}");
    assert!(
        looks[1].contains("RATE") && looks[1].contains("50 pps"),
        "{text}"
    );
}
