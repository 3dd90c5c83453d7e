//! Every state against every event.

use super::ChurnState::{Churn as Churned, Monitor, NoChurn};
use super::*;

/// P-09
#[test]
fn every_state_answers_every_event() {
    let states = [Monitor, NoChurn, Churned];
    for (restart, sync, expired, expected) in [
        (false, false, false, [None, Some(Monitor), None]),
        (false, false, true, [Some(Churned), Some(Monitor), None]),
        (false, true, false, [Some(NoChurn), None, Some(NoChurn)]),
        (false, true, true, [Some(NoChurn), None, Some(NoChurn)]),
        (true, false, false, [None, Some(Monitor), Some(Monitor)]),
        (true, true, true, [None, Some(Monitor), Some(Monitor)]),
    ] {
        let found = states.map(|s| s.next(restart, sync, expired));
        assert_eq!(
            found, expected,
            "restart {restart}, sync {sync}, timer {expired}"
        );
    }
}

/// P-09
#[test]
fn a_minute_out_of_sync_is_churn() {
    let mut churn = Churn::default();
    assert!(!churn.run(false, false, Instant::ZERO));
    let at = Instant::ZERO + CHURN_DETECTION_TIME;
    assert_eq!(churn.deadline(), Some(at));
    assert!(churn.run(false, false, at));
    assert_eq!((churn.state(), churn.deadline()), (Churned, None));
    assert!(churn.run(true, false, at));
    assert_eq!((churn.state(), churn.deadline()), (Monitor, None));
}
