//! The kernel's choices replayed (K-20, K-21): the member that each frame of `tests/data/bond` left a real
//! Linux bond by is the one that our hash and a new table of buckets name, or whose turn it is.
//!
//! The frames came to the bond through a bridge, as a virtual machine's do; each is asked of ours with
//! its outermost tag in band and beside the bytes. The kernel that answered is named in the file; it knows
//! `vlan+srcmac` (Linux 5.12).
//!
//! One class is excepted, FCoE in Ethernet in GRE under the `encap` policies: where network headers are
//! aligned by two bytes of padding, as in User-mode Linux but not on x86-64 or arm64, the dissector takes the
//! tunnelled Ethernet header for the end of the frame when it looks for room for FCoE. We do what x86-64 does.

mod frames;

use std::collections::BTreeSet;
use std::path::Path;
use vswitch_base::PortIndex;
use vswitch_base::ether::{EtherView, InBandTag};
use vswitch_base::flow::{FlowView, HashPolicy, hash};
use vswitch_core::bond::{Buckets, RoundRobin};

/// What stands for a frame that the kernel dropped.
const LOST: u8 = b'-';

/// One policy and number of members, and the member of each frame.
struct Section {
    policy: HashPolicy,
    members: u16,
    digits: Vec<u8>,
}

/// One setting of balance-rr, and the member of each of the first frames.
struct Turns {
    packets_per_slave: u16,
    /// Members that can send, as digits.
    up: Vec<u8>,
    digits: Vec<u8>,
}

/// The recorded file.
struct Recorded {
    digest: u64,
    count: usize,
    sections: Vec<Section>,
    turns: Vec<Turns>,
}

fn read() -> Recorded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/bond/answers.txt");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("kernel "));
    let words: Vec<_> = lines.next().unwrap().split(' ').collect();
    let ["frames", count, digest] = words[..] else {
        panic!("no line of frames");
    };
    let mut sections: Vec<Section> = Vec::new();
    let mut turns: Vec<Turns> = Vec::new();
    for line in lines {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["answers", policy, members] => sections.push(Section {
                policy: policy.parse().unwrap(),
                members: members.parse().unwrap(),
                digits: Vec::new(),
            }),
            ["turns", each, up] => turns.push(Turns {
                packets_per_slave: each.parse().unwrap(),
                up: up.into(),
                digits: Vec::new(),
            }),
            _ => {
                let digits = match turns.last_mut() {
                    Some(turns) => &mut turns.digits,
                    None => &mut sections.last_mut().unwrap().digits,
                };
                digits.extend_from_slice(line.as_bytes());
            }
        }
    }
    Recorded {
        digest: u64::from_str_radix(digest, 16).unwrap(),
        count: count.parse().unwrap(),
        sections,
        turns,
    }
}

/// The kernel takes a tag off only when two bytes follow the inner EtherType, and drops the frame else.
fn is_cut_in_tag(frame: &[u8]) -> bool {
    matches!(frame[12..14], [0x81, 0x00] | [0x88, 0xa8]) && frame.len() < 20
}

/// The number of a frame, which has to be one, wherever its tag is.
fn hash_both_ways(policy: HashPolicy, frame: &[u8]) -> u32 {
    let in_band = hash(policy, frame, None, 0);
    if let Some(InBandTag::Tag(tag)) = EtherView::new(frame).map(|view| view.tag()) {
        let without = [&frame[..12], &frame[16..]].concat();
        assert_eq!(in_band, hash(policy, &without, Some(tag), 0), "{policy}");
    }
    in_band
}

/// Whether a GRE header for Ethernet, with up to four optional fields, is followed by FCoE's.
fn has_fcoe_in_gre(frame: &[u8]) -> bool {
    let is_gre = |at: &usize| frame[*at..].starts_with(&[0x65, 0x58]);
    let has_fcoe = |at: usize| {
        let kinds = (0..=4).filter_map(|fields| frame.get(at + 14 + 4 * fields..));
        kinds
            .into_iter()
            .any(|bytes| bytes.starts_with(&[0x89, 0x06]))
    };
    (0..frame.len()).filter(is_gre).any(has_fcoe)
}

/// K-20: as the kernel chose, in every policy.
#[test]
fn every_frame_leaves_by_the_member_that_the_kernel_chose() {
    let recorded = read();
    let frames = frames::corpus(recorded.count);
    assert!(frames.len() >= 10_000);
    assert_eq!(
        frames::digest(&frames),
        recorded.digest,
        "frames.rs and bond_frames.py make different frames"
    );
    let mut wrong = Vec::new();
    let mut excepted = BTreeSet::new();
    for policy in HashPolicy::ALL {
        let hashes: Vec<_> = frames.iter().map(|f| hash_both_ways(policy, f)).collect();
        for section in recorded.sections.iter().filter(|s| s.policy == policy) {
            assert_eq!(section.digits.len(), frames.len());
            let members: Vec<_> = (0..section.members).map(PortIndex).collect();
            let buckets = Buckets::new(&members);
            for ((digit, number), frame) in section.digits.iter().zip(&hashes).zip(&frames) {
                if *digit == LOST {
                    assert!(is_cut_in_tag(frame), "the kernel lost {frame:02x?}");
                } else if buckets.pick(*number) != Some(PortIndex(u16::from(*digit - b'0'))) {
                    if policy.name().starts_with("encap") && has_fcoe_in_gre(frame) {
                        excepted.insert(frame);
                    } else {
                        wrong.push((policy, section.members, frame));
                    }
                }
            }
        }
    }
    let few: Vec<_> = wrong.iter().take(5).collect();
    assert!(wrong.is_empty(), "{} differ: {few:02x?}", wrong.len());
    assert_eq!(excepted.len(), 3, "the excepted class is what it was");
}

/// K-21: member after member, with every number of frames in a row and with members that are down. The
/// recorder's settings follow one another on one bond, so the count goes on.
#[test]
fn every_frame_takes_the_turn_that_the_kernel_gave_it() {
    let recorded = read();
    let frames = frames::corpus(recorded.count);
    let frames = frames::turns(&frames);
    let mut round_robin = RoundRobin::new(1, 0);
    assert_eq!(recorded.turns.len(), 6);
    for turns in &recorded.turns {
        round_robin.set_packets_per_slave(turns.packets_per_slave);
        assert_eq!(turns.digits.len(), frames.len());
        for (digit, frame) in turns.digits.iter().zip(&frames) {
            let member = if FlowView::new(frame, None).unwrap().is_igmp() {
                // By the active member, the first, and no turn. Without monitoring it stays the active
                // one when it is down.
                Some(b'0').filter(|active| turns.up.contains(active))
            } else if is_cut_in_tag(frame) {
                None
            } else {
                let up = |member: &u8| turns.up.contains(member);
                round_robin.pick(b"012", up).copied()
            };
            let member = member.unwrap_or(LOST);
            assert_eq!(member, *digit, "{}", turns.packets_per_slave);
        }
    }
}

/// The corpus says something: it holds every policy with every number of members, and no member is
/// left out.
#[test]
fn the_recorded_choices_cover_all_policies_and_members() {
    let sections = read().sections;
    let names: BTreeSet<_> = sections
        .iter()
        .map(|s| (s.policy.number(), s.members))
        .collect();
    let expected: BTreeSet<_> = (0..6).flat_map(|p| [2, 3, 4, 7].map(|n| (p, n))).collect();
    assert_eq!(names, expected);
    for section in &sections {
        for member in 0..section.members {
            let digit = b'0' + u8::try_from(member).unwrap();
            let share = section.digits.iter().filter(|d| **d == digit).count();
            assert!(share * 2 > section.digits.len() / usize::from(section.members));
        }
    }
}
