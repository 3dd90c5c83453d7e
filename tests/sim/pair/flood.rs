//! A member at whose wire a stranger sends slow protocol frames as fast as it can: the LACP of the others does not
//! notice, nor does the control thread.

use super::failures::config;
use super::rig::{MEMBERS, Rig, ms};
use vswitch_api::config::BondMode;
use vswitch_base::{MacAddr, PortIndex};
use vswitch_controller::bond::negotiation::frame;
use vswitch_core::punt::{BURST, PER_SECOND};
use vswitch_core::testing::station;
use vswitch_core::verdict::{DropReason, PuntReason};
use vswitch_lacp::{Key, Lacpdu, MarkerPdu, ParticipantInfo, PortId, PortState, SystemId};

/// Frames that come in before the worker looks, and how often that happens: 20,000 frames a second.
const AT_ONCE: u32 = 200;
const EVERY: u64 = 10;
const SECONDS: u64 = 10;

/// LACPDUs of many systems that want all kinds of things, and Markers to be answered.
fn hostile(number: u32) -> Vec<u8> {
    let [last, key, ..] = number.to_le_bytes();
    let actor = ParticipantInfo {
        system: SystemId {
            priority: 1,
            mac: station(0xf000 + number % 1_000),
        },
        key: Key(u16::from(key)),
        port: PortId {
            priority: 1,
            number: u16::from(last),
        },
        state: PortState(last),
    };
    let payload = if number.is_multiple_of(3) {
        MarkerPdu::new(1, MacAddr([2; 6]), number).emit()
    } else {
        Lacpdu::new(actor, ParticipantInfo::default()).emit()
    };
    frame(station(0xf000), &payload).into_vec()
}

/// P-10, P-12: issue "a hostile flood of PDUs does not starve others".
#[test]
fn a_flood_at_one_member_starves_no_other() {
    let config = config(BondMode::Lacp, |_| {});
    let mut rig = Rig::new("flood".to_owned(), &config, Some(&config));
    rig.run(ms(5_000));
    rig.drain();
    let others = |rig: &mut Rig| {
        for side in 0..2 {
            let now = rig.now;
            let ours = rig.ours(side).expect("a switch of ours");
            let lacp = ours.bond.negotiation().expect("mode 802.3ad").lacp();
            for member in &MEMBERS[1..] {
                let status = lacp.member(PortIndex(*member)).expect("a member");
                let open = (status.collecting, status.distributing);
                assert_eq!(open, (true, true), "{side} {member} at {now:?}: {status:?}");
            }
        }
    };
    others(&mut rig);
    let before = rig.ours(0).expect("ours").switch.totals(MEMBERS[0]);
    let mut number = 0;
    for _ in 0..SECONDS * 1_000 / EVERY {
        let frames = (number..number + AT_ONCE).map(hostile).collect();
        number += AT_ONCE;
        rig.forge(0, 0, frames);
        rig.run(ms(EVERY));
        others(&mut rig);
    }
    let totals = rig.ours(0).expect("ours").switch.totals(MEMBERS[0]);
    let slow = PuntReason::SlowProtocol.index();
    let heard = totals.punts[slow] - before.punts[slow];
    let pace = u64::from(BURST) + u64::from(PER_SECOND) * SECONDS;
    assert!(
        heard <= pace,
        "{heard} of {number} frames reached the control thread"
    );
    let full = DropReason::PuntQueueFull.index();
    assert!(totals.drops[full] - before.drops[full] >= u64::from(number) - pace);
    // And when it is over, the member that was flooded is one of them again.
    rig.run(ms(8_000));
    rig.drain();
    let since = rig.now;
    rig.run(ms(1_000));
    rig.drain();
    assert!(rig.lost_since(since).is_empty());
    let all = rig.ours(0).expect("ours").bond.transmit().members();
    assert_eq!(all, MEMBERS.map(PortIndex));
}
