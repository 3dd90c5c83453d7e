//! Changes of LACP bonds that carry frames: what an operator may change costs nothing, or what an agreement
//! with the partner takes. And flows that change members for their load, in the modes that look at it.

use super::failures::config;
use super::rig::{DELAY, Rig, ms};
use vswitch_api::config::{BondConfig, BondMode, Goodbye, HashPolicy, LacpRate, OnOff, TlbSrc};
use vswitch_base::PortIndex;

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

/// K-22: beside a switch that knows nothing of the bond stations and flows go to the members that have less
/// to send, and come to rest; nothing is lost, nothing comes twice.
#[test]
fn flows_change_members_for_their_load_unnoticed() {
    for mode in [BondMode::BalanceTlb, BondMode::BalanceAlb] {
        for src in [TlbSrc::Pin, TlbSrc::Rewrite] {
            let here = config(mode, |config| config.tlb_src = src);
            let what = format!("{mode}, {src}");
            let mut rig = Rig::new(what.clone(), &here, None);
            rig.ip = src == TlbSrc::Rewrite;
            rig.quiet = true;
            rig.run(ms(4_000));
            rig.quiet = false;
            let owners = |rig: &mut Rig| {
                let ours = rig.ours(0).expect("a switch of ours");
                let buckets = ours.bond.transmit().buckets().expect("buckets");
                buckets.owners().to_vec()
            };
            let before = owners(&mut rig);
            let since = rig.now;
            let mut tables = vec![before.clone()];
            for _ in 0..4 {
                let ours = rig.ours(0).expect("a switch of ours");
                let load = ours.bond.loads().expect("measured").join();
                for (bucket, owner) in before.iter().enumerate() {
                    // Who had the first member is loud.
                    load.add(bucket, usize::from(*owner == PortIndex(11)) * 4_000_000);
                }
                rig.run(ms(10_000));
                tables.push(owners(&mut rig));
            }
            rig.drain();
            let lost = rig.lost_since(since);
            assert!(lost.is_empty(), "{what}: {lost:#?}");
            let moved = |pair: &[Vec<PortIndex>]| {
                let both = pair[0].iter().zip(&pair[1]);
                both.filter(|(was, is)| was != is).count()
            };
            let moves: Vec<usize> = tables.windows(2).map(moved).collect();
            assert!(moves[0] + moves[1] > 50, "{what}: {moves:?}");
            assert_eq!(moves[2..], [0, 0], "{what}: {moves:?}");
            let ours = rig.ours(0).expect("a switch of ours");
            let counted: u64 = ours.bond.loads().expect("measured").read().iter().sum();
            let said = 4 * 85 * 4_000_000;
            assert!(counted > said + 10_000, "{what}: {}", counted - said);
        }
    }
}
