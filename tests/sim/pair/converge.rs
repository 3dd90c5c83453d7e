//! LACP between two switches after any history of links, forged PDUs, restarts and changes at both sides: once the
//! links are quiet, all of them carry frames both ways within twice the timeout, the wait for others and, where
//! both sides had given up the link, the slow period at which an active one still asks.
//!
//! `vswitch_lacp` has the same for any state of its machines; here everything around them takes part.

use super::failures::config;
use super::rig::{Rig, ms};
use proptest::prelude::*;
use vswitch_api::config::{BondConfig, BondMode, Goodbye, LacpRate, OnOff};
use vswitch_base::PortIndex;
use vswitch_controller::bond::negotiation::frame;
use vswitch_core::testing::station;
use vswitch_lacp::variables::{
    AGGREGATE_WAIT_TIME, FAST_PERIODIC_TIME, LONG_TIMEOUT_TIME, SHORT_TIMEOUT_TIME,
    SLOW_PERIODIC_TIME,
};
use vswitch_lacp::{Key, Lacpdu, ParticipantInfo, PortId, PortState, SystemId};

/// What an operator said of a side.
fn said() -> impl Strategy<Value = BondConfig> {
    let bits = any::<[bool; 6]>();
    (bits, 0..4_u32, 0..3_usize).prop_map(|(bits, max_links, goodbye)| {
        let on = |bit: bool| if bit { OnOff::ON } else { OnOff::OFF };
        config(BondMode::Lacp, |config| {
            if bits[0] {
                config.lacp_rate = LacpRate::Slow;
            }
            config.coupled_control = on(bits[1]);
            config.lacp_active = on(bits[2]);
            config.lacp_strict = on(bits[3]);
            config.lacp_fallback_ab = on(bits[4]);
            config.max_links = max_links;
            config.ad_user_port_key = if bits[5] { 5 } else { 0 };
            config.lacp_goodbye =
                [Goodbye::Silent, Goodbye::OutOfSync, Goodbye::Individual][goodbye];
        })
    })
}

#[derive(Clone, Debug)]
enum Op {
    Carrier(usize, bool),
    Lossy(usize, usize, bool),
    Delay(usize, u64),
    Swap(usize, usize),
    Restart(usize, u64),
    Stall(usize, u64),
    Configure(usize, Box<BondConfig>),
    /// At a side's member: system, key, port and state of its sender, and what that believes of us.
    Forge(usize, usize, (u32, u16, u16, u8), bool),
}

fn an_op() -> impl Strategy<Value = Op> {
    let (side, link) = (0..2_usize, 0..3_usize);
    let forged = (0..4_u32, 0..3_u16, 0..4_u16, any::<u8>());
    prop_oneof![
        3 => (link.clone(), any::<bool>()).prop_map(|(l, up)| Op::Carrier(l, up)),
        3 => (link.clone(), side.clone(), any::<bool>()).prop_map(|(l, s, on)| Op::Lossy(l, s, on)),
        1 => (link.clone(), 1..500_u64).prop_map(|(l, delay)| Op::Delay(l, delay)),
        2 => (link.clone(), link.clone()).prop_map(|(a, b)| Op::Swap(a, b)),
        1 => (side.clone(), 1..3_000_u64).prop_map(|(s, time)| Op::Restart(s, time)),
        1 => (side.clone(), 1..9_000_u64).prop_map(|(s, time)| Op::Stall(s, time)),
        2 => (side.clone(), said()).prop_map(|(s, said)| Op::Configure(s, Box::new(said))),
        4 => (side, link, forged, any::<bool>()).prop_map(|(s, l, f, knows)| Op::Forge(s, l, f, knows)),
    ]
}

fn forge(rig: &mut Rig, side: usize, member: usize, sender: (u32, u16, u16, u8), knows: bool) {
    let (system, key, number, state) = sender;
    let index = PortIndex(super::rig::MEMBERS[member]);
    let actor = ParticipantInfo {
        system: SystemId {
            priority: 65_535,
            mac: station(0xf0 + system),
        },
        key: Key(key),
        port: PortId {
            priority: 255,
            number,
        },
        state: PortState(state),
    };
    let ours = rig.ours(side).expect("a switch of ours");
    let lacp = ours
        .bond
        .negotiation()
        .map(|negotiation| negotiation.lacp());
    let status = lacp.and_then(|lacp| lacp.member(index));
    let partner = status.filter(|_| knows).map(|status| status.actor);
    let pdu = Lacpdu::new(actor, partner.unwrap_or_default()).emit();
    rig.forge(side, member, vec![frame(station(0xf0), &pdu).into_vec()]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// P-03, P-04, P-06, P-07, P-12; features.md 5
    #[test]
    fn both_sides_carry_on_all_links_whatever_was_before(
        first in [said(), said()],
        history in prop::collection::vec((an_op(), 0..4_000_u64), 0..16),
        active in 0..2_usize,
    ) {
        let mut configs = first;
        let mut rig = Rig::new(format!("{history:?}"), &configs[0], Some(&configs[1]));
        rig.quiet = true;
        for (op, time) in history {
            match op {
                Op::Carrier(link, up) => rig.set_carrier(link, up),
                Op::Lossy(link, side, on) => rig.links[link].lossy[side] = on,
                Op::Delay(link, delay) => rig.links[link].delay = delay,
                Op::Swap(a, b) => rig.swap(a, b),
                Op::Restart(side, time) => rig.restart(side, ms(time)),
                Op::Stall(side, time) => {
                    let until = rig.now + ms(time);
                    rig.ours(side).expect("a switch of ours").stall(until);
                }
                Op::Configure(side, said) => {
                    configs[side] = *said;
                    rig.configure(side, &configs[side]);
                }
                Op::Forge(side, member, sender, knows) => forge(&mut rig, side, member, sender, knows),
            }
            rig.run(ms(time));
        }
        // Who stalls or begins is there again, then all links are as they should be.
        rig.run(ms(9_000));
        configs[active].lacp_active = OnOff::ON;
        rig.configure(active, &configs[active]);
        for link in 0..3 {
            (rig.links[link].lossy, rig.links[link].delay) = ([false; 2], 1);
            rig.set_carrier(link, true);
        }
        let slow = configs.iter().any(|config| config.lacp_rate == LacpRate::Slow);
        let timeout = if slow { LONG_TIMEOUT_TIME } else { SHORT_TIMEOUT_TIME };
        for span in [timeout, timeout, SLOW_PERIODIC_TIME, AGGREGATE_WAIT_TIME, FAST_PERIODIC_TIME] {
            rig.run(span);
        }

        let limit = |config: &BondConfig| if config.max_links == 0 { 3 } else { config.max_links };
        let links = limit(&configs[0]).min(limit(&configs[1]));
        for side in 0..2 {
            let ours = rig.ours(side).expect("a switch of ours");
            let lacp = ours.bond.negotiation().expect("mode 802.3ad").lacp();
            let status: Vec<_> = lacp.members().filter_map(|m| lacp.member(m)).collect();
            let open = status.iter().filter(|s| s.collecting && s.distributing).count();
            let any = status.iter().filter(|s| s.collecting || s.distributing).count();
            let links = usize::try_from(links).expect("three at most");
            prop_assert_eq!((open, any), (links, links), "{}: {:#?}", side, status);
            prop_assert_eq!(ours.bond.transmit().members().len(), links);
        }
        rig.drain();
        let since = rig.now;
        rig.run(ms(1_000));
        rig.drain();
        prop_assert!(rig.lost_since(since).is_empty(), "{:#?}", rig.lost_since(since));
    }
}
