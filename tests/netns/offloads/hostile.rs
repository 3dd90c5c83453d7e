//! What a guest may write before a frame and should not: sent as the kernel does, or dropped and counted.
//!
//! Nothing panics, nothing stops, and the frame after it passes. Where we differ from the kernel is
//! listed, with the reason.

use super::lane::{DST, Form, Got, SRC, WAYS, behind};
use super::{Three, same};
use crate::lab::run;
use std::collections::BTreeSet;
use std::time::Duration;
use vswitch_core::testing::MemFrame;
use vswitch_tests::hostile::{self, Hostile};
use vswitch_tests::packets::tcp4_checksums_hold;

/// What the kernel sends and we drop, and why.
const DROPPED: [(&str, &str); 10] = [
    (
        "cut, nothing to sum",
        "virtio 5.1.6.2: with segments goes a checksum to complete",
    ),
    ("cut, sum said to be right", "the same"),
    (
        "segments of a byte",
        "1,365 segments are the smallest MSS; more multiplies our work",
    ),
    ("1,366 segments", "the same"),
    (
        "IP version 5",
        "EtherType and version contradict each other",
    ),
    ("first fragment", "a piece of a fragment is no packet"),
    ("later fragment", "the same"),
    (
        "8 extension headers",
        "the walk is bounded; more than one of each kind is not in honest use",
    ),
    ("100 extension headers", "the same"),
    (
        "jumbo payload",
        "segments would repeat the length of a jumbogram, which they are not",
    ),
];
/// What we send and the kernel drops, and why.
const SENT: [(&str, &str); 1] = [(
    "one segment, and options",
    "Linux counts TCP's options as payload where the frame comes in and not where it is cut, so it finds \
     one segment where it wanted two",
)];
/// What both send, but not the same, and why.
const OTHERWISE: [(&str, &str); 1] = [(
    "SCTP to be summed",
    "a virtio-net header names no CRC32c, so the kernel makes an Internet checksum of it, which every \
     receiver drops",
)];
/// The kernel that the lists were made with. Older ones look less closely at what comes in.
const LISTED_WITH: (u32, u32) = (6, 18);

fn kernel_version() -> (u32, u32) {
    let release = run("uname -r");
    let mut numbers = release
        .split(['.', '-'])
        .map_while(|part| part.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Untagged ways, to machines that finish nothing or the checksum: those that a kernel without VLAN
/// filtering serves, too.
fn untagged(answer: &[Vec<Got>]) -> Vec<&[Got]> {
    let ways = WAYS.iter().zip(answer);
    ways.filter(|(way, _)| way.form == Form::Untagged)
        .map(|(_, got)| &got[..])
        .collect()
}

fn sends(answer: &[&[Got]]) -> bool {
    answer.iter().any(|got| !got.is_empty())
}

/// I-02
#[test]
fn hostile_requests_are_treated_as_the_kernel_does_or_dropped_and_counted() {
    let mut three = Three::new();
    let listed = kernel_version() >= LISTED_WITH;
    let mut found = BTreeSet::new();
    for case in hostile::all(DST, SRC) {
        let Hostile { name, frame } = &case;
        let (drops, memory_drops) = (three.daemon.drops(), three.memory.drops());
        let kernel = three.kernel.lane.pass(Form::Untagged, frame);
        let daemon = three.daemon.pass_raw(Form::Untagged, frame);
        let memory = three.memory.pass_raw(Form::Untagged, frame);
        let dropped = three.daemon.drops() - drops;

        let memory = untagged(&memory);
        if !sends(&memory) {
            assert!(three.memory.drops() > memory_drops, "{name}: not counted");
        }
        let (kernel, daemon) = match (&kernel, &daemon) {
            (Ok(kernel), Ok(daemon)) => (untagged(kernel), untagged(daemon)),
            (kernel, daemon) => {
                // The entrances are the same kernel's.
                let errno = |answer: &std::io::Result<_>| {
                    answer.as_ref().err().and_then(std::io::Error::raw_os_error)
                };
                assert_eq!(errno(kernel), errno(daemon), "{name}");
                continue;
            }
        };
        for (ours, who) in [(&daemon, "the daemon"), (&memory, "the data plane")] {
            if OTHERWISE.iter().any(|(n, _)| n == name) {
                assert_ne!(ours, &kernel, "{who}: {name} is listed");
                assert_eq!(ours, &memory, "{name}");
            } else if sends(ours) == sends(&kernel) {
                for (expected, got) in kernel.iter().zip(ours) {
                    same(expected, got, || format!("{who}, {name}"));
                }
            } else if sends(ours) {
                assert!(SENT.iter().any(|(n, _)| n == name), "{who} sends: {name}");
                assert!(tcp4_checksums_hold(&ours[0][0].bytes), "{who}: {name}");
            } else {
                found.insert(*name);
            }
        }
        if !sends(&daemon) {
            assert!(dropped > 0, "{name}: the daemon drops and does not count");
        }
    }
    if listed {
        let known: BTreeSet<&str> = DROPPED.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, known, "what only we drop");
    }
}

/// I-02: the kernel stops the receive ring at UDP fragments; the port is opened anew by itself.
#[test]
fn a_port_that_a_guest_silenced_comes_back() {
    let mut three = Three::new();
    let MemFrame { bytes, offload, .. } = hostile::fragments(DST, SRC);
    let lane = three.daemon.lane();
    assert!(lane.passes(Form::Untagged));
    lane.throw(Form::Untagged, &offload, &bytes);
    // Small frames have a ring of their own, which goes on.
    let large = behind(None, &super::tcp(5_000, Some(1_400)));
    let back = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        lane.carries(Form::Untagged, &large)
    });
    assert!(back, "large frames pass again");
    // Its neighbours never noticed.
    assert!(lane.passes(Form::Tagged));
    three.agree_both(&super::tcp(5_000, Some(1_400)));
}
