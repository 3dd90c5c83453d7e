//! Questions, answers and the cap.

use super::*;
use vswitch_base::{Duration, MacAddr};

/// P-10
#[test]
fn questions_are_answered_and_answers_are_not() {
    let question = MarkerPdu::new(1, MacAddr([2; 6]), 7);
    let mut marker = Marker::default();
    assert!(marker.handle(&question, Instant::ZERO));
    assert!(!marker.handle(&question.response(), Instant::ZERO));
    assert_eq!(marker.poll(), Some(question.response()));
    assert_eq!(marker.poll(), None);
}

/// P-10
#[test]
fn ten_answers_a_second() {
    let question = MarkerPdu::new(1, MacAddr([2; 6]), 7);
    let mut marker = Marker::default();
    let mut ask = |at| {
        let answered = marker.handle(&question, at);
        answered && marker.poll().is_some()
    };
    assert_eq!((0..30).filter(|_| ask(Instant::ZERO)).count(), 10);
    assert!(ask(Instant::ZERO + Duration::from_secs(1)));
}
