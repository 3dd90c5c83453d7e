//! Bounds of work, counted in steps.

extern crate std;

use super::super::*;
use super::pair::{Pair, system};

/// P-12: all partners fall silent at once; each timer costs its member a few rounds and no more.
#[test]
fn sixty_four_members_through_a_storm_of_timeouts() {
    let configs = [1, 2].map(|last| Config {
        fast: true,
        ..Config::new(system(last))
    });
    let mut pair = Pair::new(configs, 64);
    pair.run(10_000);
    assert_eq!(pair.open(0), (64, 64));
    let before = pair.sides[0].steps();
    pair.run(10_000);
    let quiet = pair.sides[0].steps() - before;
    // A second brings a member one PDU and one timer, at three rounds each at most, and a PDU runs
    // its member once more to look at it.
    assert!(quiet <= 64 * 11 * 8, "{quiet} steps of a quiet bond");
    pair.lost[1].fill(true);
    let before = pair.sides[0].steps();
    pair.run(10_000);
    let storm = pair.sides[0].steps() - before;
    assert!(storm <= 64 * 120, "{storm} steps of a storm");
    assert!(
        pair.status(0)
            .iter()
            .all(|s| s.receive.name() == "DEFAULTED")
    );
}
