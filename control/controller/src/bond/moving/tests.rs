//! Moves of buckets, with a partner that answers, does not, or is gone.

use super::*;
use vswitch_base::flow::HashPolicy;
use vswitch_core::bond::{Buckets, HashKey};

const A: PortIndex = PortIndex(1);
const B: PortIndex = PortIndex(2);
const C: PortIndex = PortIndex(3);

fn at(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn hashed(buckets: Buckets) -> Hashed {
    Hashed {
        key: HashKey::Flow(HashPolicy::Layer34),
        seed: 0,
        buckets,
        moving: None,
    }
}

/// Answers where it is told to.
#[derive(Default)]
struct Partner {
    answers: bool,
    asked: Vec<PortIndex>,
    open: BTreeSet<PortIndex>,
}

impl Ask for Partner {
    fn ask(&mut self, member: PortIndex, _now: Instant) -> bool {
        if self.answers {
            self.asked.push(member);
            self.open.insert(member);
        }
        self.answers
    }

    fn asks(&self, member: PortIndex) -> bool {
        self.open.contains(&member)
    }
}

fn partner(answers: bool) -> Partner {
    Partner {
        answers,
        ..Partner::default()
    }
}

/// A table of both, and the one after `C` joined.
fn joined() -> (Hashed, Hashed) {
    let two = Buckets::new(&[A, B]);
    let three = Buckets::update(&two, &[A, B, C]);
    (hashed(two), hashed(three))
}

const ALL: fn(PortIndex) -> bool = |_| true;

/// N-10, P-11: what moves waits until all workers hold it and each member that it leaves has answered.
#[test]
fn what_moves_waits_for_the_answers() {
    let (two, three) = joined();
    let (mut moving, mut partner) = (Moving::default(), partner(true));
    moving.follow(&two, &three, ALL, at(0));
    let held = moving.held().expect("some");
    for (bucket, held) in held.iter().enumerate() {
        let [was, is] = [&two, &three].map(|h| h.buckets.owners()[bucket]);
        assert_eq!(*held, was != is, "bucket {bucket}");
    }
    assert_eq!(moving.advance(&mut partner, ALL, at(0)), None);
    moving.published(Generation(7));
    moving.published(Generation(8));
    moving.observed(Generation(6));
    assert_eq!(moving.advance(&mut partner, ALL, at(1)), None);
    assert!(
        partner.asked.is_empty(),
        "a worker may still send by the old one"
    );
    moving.observed(Generation(7));
    assert_eq!(moving.advance(&mut partner, ALL, at(2)), None);
    assert_eq!(partner.asked, [A, B]);
    partner.open.remove(&A);
    assert_eq!(moving.advance(&mut partner, ALL, at(3)), None);
    assert!(moving.held().is_some());
    partner.open.remove(&B);
    let over = moving.advance(&mut partner, ALL, at(4)).expect("over");
    let expected = Moved {
        buckets: 85,
        of: 256,
        took: Duration::from_millis(4),
        order: Order::Answered,
    };
    assert_eq!(over, expected);
    assert_eq!((moving.held(), moving.poll_timeout()), (None, None));
}

/// N-10: a partner without a responder has a moment, one that falls silent the time of [`HOLD_MAX`]; neither
/// holds flows for ever, nor does a worker that stands still.
#[test]
fn nobody_is_waited_for_without_end() {
    let (two, three) = joined();
    let mut moving = Moving::default();
    moving.follow(&two, &three, ALL, at(0));
    moving.published(Generation(1));
    moving.observed(Generation(1));
    assert_eq!(moving.advance(&mut partner(false), ALL, at(1)), None);
    assert_eq!(moving.poll_timeout(), Some(at(6)));
    let over = moving.advance(&mut partner(false), ALL, at(6));
    assert_eq!(over.map(|over| over.order), Some(Order::Guarded));

    for observed in [0, 2] {
        let mut silent = partner(true);
        moving.follow(&two, &three, ALL, at(10));
        moving.published(Generation(2));
        moving.observed(Generation(observed));
        assert_eq!(moving.advance(&mut silent, ALL, at(11)), None);
        assert_eq!(moving.poll_timeout(), Some(at(210)));
        assert_eq!(moving.advance(&mut silent, ALL, at(209)), None);
        let over = moving.advance(&mut silent, ALL, at(210)).expect("over");
        assert_eq!(
            (over.order, over.severity()),
            (Order::Overdue, Severity::Warning)
        );
    }
}

/// features.md 3.3.9: after the loss of a link there is nothing to wait for, from the beginning or meanwhile.
#[test]
fn a_lost_link_is_not_waited_for() {
    let two = hashed(Buckets::new(&[A, B]));
    let one = hashed(Buckets::update(&two.buckets, &[B]));
    let mut moving = Moving::default();
    moving.follow(&two, &one, |m| m != A, at(0));
    assert_eq!(moving.held(), None);

    let (two, three) = joined();
    let mut partner = partner(true);
    moving.follow(&two, &three, ALL, at(0));
    moving.published(Generation(1));
    moving.observed(Generation(1));
    assert_eq!(moving.advance(&mut partner, ALL, at(1)), None);
    let over = moving.advance(&mut partner, |m| m == C, at(2));
    assert_eq!(over.map(|over| over.order), Some(Order::Lost));
}

/// N-10: one member can be asked and another cannot: both ways of waiting have to end, and until then nothing is
/// to be done, and nobody is called for nothing.
#[test]
fn an_answer_and_the_guard_are_both_waited_for() {
    struct Half(bool);
    impl Ask for Half {
        fn ask(&mut self, member: PortIndex, _now: Instant) -> bool {
            member == A
        }
        fn asks(&self, member: PortIndex) -> bool {
            member == A && self.0
        }
    }
    let (two, three) = joined();
    for late in [true, false] {
        let (mut moving, mut half) = (Moving::default(), Half(true));
        moving.follow(&two, &three, ALL, at(0));
        moving.published(Generation(1));
        moving.observed(Generation(1));
        assert_eq!(moving.advance(&mut half, ALL, at(1)), None);
        if late {
            assert_eq!(moving.advance(&mut half, ALL, at(6)), None);
            assert_eq!(moving.poll_timeout(), Some(at(200)));
            half.0 = false;
        } else {
            half.0 = false;
            assert_eq!(moving.advance(&mut half, ALL, at(2)), None);
            assert_eq!(moving.poll_timeout(), Some(at(6)));
        }
        let over = moving.advance(&mut half, ALL, at(7));
        assert_eq!(over.map(|over| over.order), Some(Order::Guarded));
    }
}

/// N-10: another hash moves any flow; where one member has them all, none.
#[test]
fn another_hash_holds_all_where_there_is_a_choice() {
    let mut moving = Moving::default();
    for (members, moves) in [(&[A, B][..], true), (&[A][..], false)] {
        let before = hashed(Buckets::new(members));
        let other = Hashed {
            key: HashKey::Flow(HashPolicy::Layer2),
            ..before.clone()
        };
        let seeded = Hashed {
            seed: 7,
            ..before.clone()
        };
        for after in [other, seeded] {
            moving.follow(&before, &after, ALL, at(0));
            let held = moving.held();
            assert_eq!(held.is_some_and(|held| held.iter().all(|h| *h)), moves);
            moving = Moving::default();
        }
    }
}

/// N-10: a change meanwhile adds to what is held, is told to the workers and asked anew, and the time that
/// frames have waited counts.
#[test]
fn a_second_change_joins_the_first() {
    let (two, three) = joined();
    let (mut moving, mut partner) = (Moving::default(), partner(true));
    moving.follow(&two, &three, ALL, at(0));
    moving.published(Generation(1));
    moving.observed(Generation(1));
    assert_eq!(moving.advance(&mut partner, ALL, at(1)), None);
    partner.open.clear();
    let first = moving.held().expect("some");
    let back = hashed(Buckets::update(&three.buckets, &[A, B]));
    moving.follow(&three, &back, ALL, at(50));
    let both = moving.held().expect("more");
    assert!(first.iter().zip(&both).all(|(first, both)| !first || *both));
    assert_eq!(moving.advance(&mut partner, ALL, at(51)), None);
    assert_eq!(partner.asked, [A, B], "not before the workers know");
    moving.published(Generation(2));
    moving.observed(Generation(2));
    assert_eq!(moving.advance(&mut partner, ALL, at(52)), None);
    assert_eq!(partner.asked, [A, B, A, B, C]);
    assert_eq!(moving.poll_timeout(), Some(at(200)));
    partner.open.clear();
    let over = moving.advance(&mut partner, ALL, at(53));
    assert_eq!(over.map(|over| over.order), Some(Order::Answered));
}
