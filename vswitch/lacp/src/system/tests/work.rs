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

/// What has nothing due does not run, and a PDU runs its own member only.
#[test]
fn work_is_that_of_the_member_concerned() {
    let configs = [1, 2].map(|last| Config::new(system(last)));
    let mut pair = Pair::new(configs, 64);
    pair.run(10_000);
    let pdu = Lacpdu::new(pair.status(1)[0].actor, pair.status(0)[0].actor);
    let now = pair.now;
    let lacp = &mut pair.sides[0];
    let before = lacp.steps();
    lacp.handle_timeout(now);
    assert_eq!(lacp.steps() - before, 0);
    lacp.handle_lacpdu(PortIndex(0), pdu, now);
    assert!(
        lacp.steps() - before <= 4,
        "{} steps",
        lacp.steps() - before
    );
}
