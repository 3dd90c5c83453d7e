//! From any state, a pair comes to work within the standard's times.

extern crate std;

use super::super::*;
use super::pair::{Pair, at, system};
use crate::info::{Key, PortId};
use crate::mux::MuxState;
use crate::periodic::PeriodicState;
use crate::receive::ReceiveState;
use proptest::collection::vec;
use proptest::prelude::*;
use std::vec::Vec;
use vswitch_base::MacAddr;

/// Nothing that a partner wrongly believes of us outlives the long timeout, the short one after it, and
/// the wait for others; a PDU of the slow rate is 30 s away at most.
const SETTLED_MS: u64 = 90_000 + 3_000 + 30_000 + 2_000 + 1_000;

/// What one member is made to believe.
#[derive(Clone, Debug)]
struct Belief {
    receive: usize,
    periodic: usize,
    mux: usize,
    selected: usize,
    aggregator: Option<u16>,
    partner: (u8, u16, u16, u8),
    ready: bool,
}

fn belief() -> impl Strategy<Value = Belief> {
    let partner = (0..4_u8, 0..3_u16, 0..4_u16, any::<u8>());
    let machines = (0..5_usize, 0..4_usize, 0..6_usize, 0..3_usize);
    (machines, prop::option::of(1..4_u16), partner, any::<bool>()).prop_map(
        |((receive, periodic, mux, selected), aggregator, partner, ready)| Belief {
            receive,
            periodic,
            mux,
            selected,
            aggregator,
            partner,
            ready,
        },
    )
}

fn scramble(port: &mut LacpPort, belief: &Belief, now: Instant) {
    use {MuxState as M, PeriodicState as P, ReceiveState as R};
    let vars = &mut port.vars;
    let (last, key, number, state) = belief.partner;
    vars.selected = [Selected::Unselected, Selected::Selected, Selected::Standby][belief.selected];
    let periodic = [
        P::NoPeriodic,
        P::FastPeriodic,
        P::SlowPeriodic,
        P::PeriodicTx,
    ];
    port.periodic.enter(periodic[belief.periodic], vars, now);
    let mux = [
        M::Detached,
        M::Waiting,
        M::Attached,
        M::Collecting,
        M::Distributing,
        M::CollectingDistributing,
    ];
    port.mux.enter(mux[belief.mux], vars, now);
    let receive = [
        R::PortDisabled,
        R::Expired,
        R::LacpDisabled,
        R::Defaulted,
        R::Current,
    ];
    port.receive.enter(receive[belief.receive], vars, None, now);
    vars.partner = ParticipantInfo {
        system: SystemId {
            priority: 65535,
            mac: MacAddr([2, 0, 0, 0, 0, last]),
        },
        key: Key(key * 15),
        port: PortId {
            priority: 255,
            number,
        },
        state: PortState(state),
    };
    vars.ready = belief.ready;
    port.aggregator = belief.aggregator;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// P-03, P-04, P-06, P-07, P-12
    #[test]
    fn a_pair_converges_from_any_state(
        beliefs in vec(belief(), 6),
        flags in any::<[u8; 2]>(),
        delay in 1..200_u64,
        before in 0..5_000_u64,
    ) {
        let mut configs = [1, 2].map(|last| Config::new(system(last)));
        for (config, flags) in configs.iter_mut().zip(flags) {
            config.fast = flags & 1 != 0;
            config.coupled = flags & 2 != 0;
            config.max_links = u16::from(flags >> 2 & 3);
        }
        configs[0].active = flags[0] & 16 != 0;
        let mut pair = Pair::new(configs, 3);
        pair.delay = delay;
        pair.run(before);
        let now = pair.now;
        for (side, beliefs) in pair.sides.iter_mut().zip(beliefs.chunks(3)) {
            for (port, belief) in side.ports.values_mut().zip(beliefs) {
                scramble(port, belief, now);
            }
            let all: Vec<PortIndex> = side.ports.keys().copied().collect();
            side.dirty.extend(all);
            side.settle(now);
        }
        pair.run(SETTLED_MS);
        let limit = |config: &Config| if config.max_links == 0 { 3 } else { usize::from(config.max_links) };
        let links = limit(&configs[0]).min(limit(&configs[1]));
        for side in 0..2 {
            prop_assert_eq!(pair.open(side), (links, links), "{:#?}", pair.status(side));
        }
        pair.assert_no_hole();
    }

    /// P-03, P-12
    #[test]
    fn a_pair_converges_after_any_trouble(
        trouble in vec((0..6_u8, 0..2_usize, 0..3_usize, 0..20_000_u64), 0..12),
        fast in any::<bool>(),
    ) {
        let configs = [1, 2].map(|last| Config { fast, ..Config::new(system(last)) });
        let mut pair = Pair::new(configs, 3);
        for (what, side, port, time) in trouble {
            let index = PortIndex(u16::try_from(port).unwrap_or(0));
            let link = |up| LinkState { up, ..super::pair::LINK };
            let now = pair.now;
            match what {
                0 => pair.lost[side][port] = true,
                1 => pair.lost[side][port] = false,
                2 => pair.sides[side].handle_link(index, link(false), now),
                3 => pair.sides[side].handle_link(index, link(true), now),
                4 => pair.restart(side),
                _ => pair.wires.rotate_left(1),
            }
            pair.run(time);
        }
        let now = pair.now.max(at(0));
        for side in 0..2 {
            pair.lost[side].fill(false);
            for port in 0..3 {
                pair.sides[side].handle_link(PortIndex(port), super::pair::LINK, now);
            }
        }
        pair.run(SETTLED_MS);
        for side in 0..2 {
            prop_assert_eq!(pair.open(side), (3, 3), "{:#?}", pair.status(side));
        }
        pair.assert_no_hole();
    }
}
