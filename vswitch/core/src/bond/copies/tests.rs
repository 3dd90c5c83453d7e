//! The table against the rule: once if any member brings it, as often as it was sent.

use super::*;
use crate::ingress::classify;
use crate::snapshot::{BridgeSpec, PortView, SnapshotBuilder};
use crate::sync::Arc;
use crate::testing::{dot1q, frame, station, vid};
use proptest::prelude::*;
use std::collections::VecDeque;
use vswitch_base::{BridgeIndex, EtherType, Generation, PortIndex, Tag};

/// How often `members` are let in with a frame each, all at once.
fn let_in(copies: &Copies, hash: u64, members: &[u8], now: u16) -> usize {
    let ask = |member: &&u8| copies.lets_in(hash, 1 << **member, 0b111, Moment(now));
    members.iter().filter(ask).count()
}

/// N-21
#[test]
fn a_frame_is_let_in_once_whoever_is_first() {
    let copies = Copies::default();
    for (hash, order) in [(1, [0, 1, 2]), (2, [2, 0, 1]), (3, [1, 2, 0])] {
        assert_eq!(let_in(&copies, hash, &order, 0), 1);
        assert_eq!(let_in(&copies, hash, &order, 1), 1, "sent again");
    }
    assert_eq!(let_in(&copies, 4, &[1], 0), 1, "by one member alone");
}

/// N-21: a guest may send equal frames; a member that is ahead, or behind, makes no difference.
#[test]
fn equal_frames_are_let_in_as_often_as_they_were_sent() {
    let copies = Copies::default();
    assert_eq!(let_in(&copies, 9, &[0, 0, 0, 1, 1, 1, 2, 2, 2], 0), 3);
    assert_eq!(let_in(&copies, 8, &[0, 1, 1, 1, 0, 0, 2, 2, 2], 0), 3);
    // More of it than a bucket has room for, and one member only.
    assert_eq!(let_in(&copies, 7, &[1; 100], 0), 100);
}

/// A copy that never came is not owed for ever.
#[test]
fn debts_are_forgotten() {
    for start in [0, 30_000, u16::MAX - 3] {
        let copies = Copies::default();
        assert_eq!(let_in(&copies, 5, &[0], start), 1);
        let later = |ms| start.wrapping_add(ms);
        assert_eq!(let_in(&copies, 5, &[1], later(WINDOW_MS)), 0);
        assert_eq!(let_in(&copies, 5, &[2], later(WINDOW_MS + 1)), 1);
        // A worker whose breath began before the other's.
        assert_eq!(let_in(&copies, 6, &[0], later(100)), 1);
        assert_eq!(let_in(&copies, 6, &[1], later(95)), 0);
    }
}

/// A full bucket keeps what is still owed.
#[test]
fn paid_debts_make_room_first() {
    let copies = Copies::with_buckets(1);
    let print = |number: u64| number << PRINT_SHIFT;
    assert_eq!(let_in(&copies, print(1), &[0], 0), 1);
    for number in 2..100 {
        assert_eq!(let_in(&copies, print(number), &[0, 1, 2], 1), 1);
    }
    assert_eq!(let_in(&copies, print(1), &[1, 2], 2), 0, "still owed");
    // More open debts than words: the oldest goes.
    for number in 100..109 {
        assert_eq!(
            let_in(&copies, print(number), &[0], 3 + (number % 100) as u16),
            1
        );
    }
    assert_eq!(let_in(&copies, print(100), &[1], 12), 1, "displaced");
    assert_eq!(let_in(&copies, print(108), &[1], 12), 0);
}

#[test]
fn asking_changes_nothing() {
    let copies = Copies::default();
    assert!(copies.would_let_in(1, 1, Moment(0)));
    assert!(copies.would_let_in(1, 2, Moment(0)));
    assert!(copies.lets_in(1, 1, 3, Moment(0)));
    for _ in 0..2 {
        assert!(copies.would_let_in(1, 1, Moment(0)));
        assert!(!copies.would_let_in(1, 2, Moment(0)));
    }
}

/// Sixteen members can be told apart; others are not let in at all.
#[test]
fn members_are_numbered() {
    let copies = Arc::new(Copies::default());
    assert!(Once::new(&copies, 15, 64).is_some_and(|once| once.members == u16::MAX));
    assert_eq!(Once::new(&copies, 16, 64), None);
    let [a, b] = [0, 1].map(|member| Once::new(&copies, member, 2));
    assert!(a == Once::new(&copies, 0, 2) && a != b);
    assert_ne!(
        a,
        Once::new(&Arc::new(Copies::default()), 0, 2),
        "another bond's"
    );
}

/// What of a frame counts: all of it, and its VLAN, wherever the tag is.
#[test]
fn frames_are_told_apart_by_everything() {
    let bridge = BridgeIndex(0);
    let view = PortView::trunk(PortIndex(1), bridge, &[vid(10), vid(11)]);
    let spec = BridgeSpec {
        vlan_filtering: true,
        learning: true,
        mac: station(99),
        fdb: Arc::new(crate::fdb::Fdb::new(1, 1)),
    };
    let snapshot = SnapshotBuilder::new(Generation(1))
        .bridge(bridge, spec)
        .build();
    let copies = Copies::default();
    let hash = |bytes: &[u8], stripped: Option<Tag>| {
        let frame = Frame {
            bytes,
            stripped,
            offload: crate::frame::VnetHdr::NONE,
        };
        let class = classify(&frame, &view, snapshot.bridge(bridge).unwrap());
        assert_eq!(class.verdict, None);
        copies.hash(&frame, &class)
    };
    let make = |tags: &[Tag]| frame(station(2), station(1), tags, EtherType::IPV4, 200);
    let untagged = make(&[]);
    let mut in_band = make(&[dot1q(10)]);
    in_band.resize(204, 0);
    let ten = hash(&untagged, Some(dot1q(10)));
    assert_eq!(ten, hash(&in_band, None), "in band");
    assert_ne!(ten, hash(&untagged, Some(dot1q(11))), "another VLAN");
    assert_ne!(
        ten,
        hash(&untagged, Some(dot1q(0x2000 | 10))),
        "another priority"
    );
    assert_ne!(ten, hash(&untagged[..199], Some(dot1q(10))), "shorter");
    for at in (0..200).filter(|at| *at != 6) {
        let mut other = untagged.clone();
        other[at] ^= 2;
        assert_ne!(ten, hash(&other, Some(dot1q(10))), "byte {at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// N-21: frames, equal ones among them, sent by all members of which each loses some and is late as it
    /// likes: as often as any member brings it.
    #[test]
    fn each_frame_is_let_in_as_often_as_any_member_brings_it(
        sent in prop::collection::vec(0..4usize, 1..9),
        lost in prop::collection::vec(0..8u8, 9),
        order in prop::collection::vec(0..3u8, 60),
    ) {
        let copies = Copies::default();
        let mut members: [VecDeque<usize>; 3] = [0, 1, 2].map(|member| {
            let kept = sent.iter().zip(&lost).filter(|(_, lost)| **lost != member);
            kept.map(|(frame, _)| *frame).collect()
        });
        let most: [usize; 4] = std::array::from_fn(|number| {
            let of = |queue: &VecDeque<usize>| queue.iter().filter(|f| **f == number).count();
            members.iter().map(of).max().unwrap_or(0)
        });
        let mut count = [0; 4];
        for member in order.into_iter().chain((0..3).cycle().take(27)) {
            if let Some(frame) = members[usize::from(member)].pop_front() {
                count[frame] += let_in(&copies, frame as u64, &[member], 0);
            }
        }
        prop_assert!(members.iter().all(VecDeque::is_empty));
        prop_assert_eq!(count, most);
    }
}
