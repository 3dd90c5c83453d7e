//! Flows that move between links of different length: none of their frames overtakes an earlier one where the
//! partner answers Markers, and some do where it does not, so that the rig can tell.

use super::failures::config;
use super::rig::{Rig, ms};
use vswitch_api::config::{BondConfig, BondMode, HashPolicy};
use vswitch_controller::bond::moving::Order;

/// What the long links take, and the short one.
const LONG: u64 = 60;

/// Two LACP bonds of ours over two long links and a short one, whose hosts say a frame each millisecond.
fn rig(what: &str, config: &BondConfig, markers: bool) -> Rig {
    let mut rig = Rig::new(what.to_owned(), config, Some(config));
    rig.no_markers = !markers;
    rig.links[0].delay = LONG;
    rig.links[1].delay = LONG;
    rig.tick = ms(1);
    rig
}

fn lacp() -> BondConfig {
    config(BondMode::Lacp, |_| {})
}

fn moves(rig: &mut Rig, side: usize) -> Vec<Order> {
    std::mem::take(&mut rig.ours(side).expect("ours").moves)
}

/// N-10, P-11: a short link returns and gets its share of the flows.
#[test]
fn no_frame_overtakes_another_when_a_link_returns() {
    for markers in [true, false] {
        let mut rig = rig("a link returns", &lacp(), markers);
        rig.set_carrier(2, false);
        rig.run(ms(5_000));
        let (before, since) = (rig.overtaken, rig.now);
        for side in 0..2 {
            moves(&mut rig, side);
        }
        rig.set_carrier(2, true);
        rig.run(ms(5_000));
        let overtaken = rig.overtaken - before;
        for side in 0..2 {
            let orders = moves(&mut rig, side);
            let expected = if markers {
                Order::Answered
            } else {
                Order::Guarded
            };
            assert!(!orders.is_empty(), "nothing moved");
            assert!(orders.iter().all(|order| *order == expected), "{orders:?}");
        }
        assert_eq!(overtaken == 0, markers, "{overtaken} overtaken");
        rig.drain();
        assert!(rig.lost_since(since + ms(1_000)).is_empty());
    }
}

/// N-10, K-20, K-38: another hash sends any flow otherwise.
#[test]
fn no_frame_overtakes_another_when_the_hash_changes() {
    let changes: [fn(&mut BondConfig); 2] = [
        |c| c.xmit_hash_policy = HashPolicy::VlanSrcmac,
        |c| c.hash_seed = 77,
    ];
    for markers in [true, false] {
        let mut overtaken = 0;
        for change in changes {
            let mut rig = rig("another hash", &lacp(), markers);
            rig.run(ms(5_000));
            let (before, since) = (rig.overtaken, rig.now);
            let mut after = lacp();
            change(&mut after);
            rig.configure(0, &after);
            rig.run(ms(2_000));
            overtaken += rig.overtaken - before;
            rig.drain();
            assert!(rig.lost_since(since).is_empty(), "a frame was lost");
        }
        assert_eq!(overtaken == 0, markers, "{overtaken} overtaken");
    }
}
