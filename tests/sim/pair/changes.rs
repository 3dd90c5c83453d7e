//! Changes of LACP bonds that carry frames: what an operator may change costs nothing, or what an agreement
//! with the partner takes.

use super::failures::config;
use super::rig::{DELAY, Rig, ms};
use vswitch_api::config::{BondConfig, BondMode, Goodbye, HashPolicy, LacpRate, OnOff};

type Change = fn(&mut BondConfig);

/// What is changed at one side, and for how many milliseconds from then on frames may be lost.
const CHANGES: &[(&str, Change, u64)] = &[
    ("the slow rate", |c| c.lacp_rate = LacpRate::Slow, 0),
    ("passive", |c| c.lacp_active = OnOff::OFF, 0),
    ("independent control", |c| c.coupled_control = OnOff::OFF, 0),
    (
        "another hash",
        |c| c.xmit_hash_policy = HashPolicy::Layer34,
        0,
    ),
    ("min_links", |c| c.min_links = 2, 0),
    ("strict", |c| c.lacp_strict = OnOff::ON, 0),
    // The partner sends by the link until it has heard that it is left.
    ("two links", |c| c.max_links = 2, DELAY),
    ("a member less", |c| drop(c.members.pop()), DELAY),
    // A key is of the aggregate: it is made anew.
    ("another key", |c| c.ad_user_port_key = 7, 3_000),
];

/// K-24 to K-27, K-33, K-35, K-39, P-18, N-19
#[test]
fn changes_cost_no_more_than_an_agreement() {
    for (what, change, bound) in CHANGES {
        let before = config(BondMode::Lacp, |config| {
            config.lacp_goodbye = Goodbye::OutOfSync;
        });
        let mut after = before.clone();
        change(&mut after);
        let mut rig = Rig::new((*what).to_owned(), &before, Some(&before));
        rig.run(ms(5_000));
        rig.drain();
        for (config, back) in [(&after, false), (&before, true)] {
            let since = rig.now;
            rig.configure(0, config);
            rig.run(ms(7_000));
            rig.drain();
            // What comes back comes back as a link does: coupled control may open one end first.
            let bound = if back {
                (*bound).max(2 * DELAY)
            } else {
                *bound
            };
            let lost = rig.lost_since(since);
            let first = lost.first().map(|lost| lost.at);
            assert!(
                lost.iter()
                    .all(|lost| Some(lost.at) <= first.map(|first| first + ms(bound))),
                "{what}, back {back}, since {since:?}: {lost:#?}"
            );
            assert!(bound > 0 || lost.is_empty(), "{what}: {lost:#?}");
        }
    }
}
