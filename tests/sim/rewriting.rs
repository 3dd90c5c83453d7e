//! A bond that sends flows from its members' addresses: what becomes of a frame on the wire, what stays as it is,
//! and what of it comes back (features.md 3.4.6, 3.4.7).
//!
//! Ports 1 and 2 are hosts' ports of VLAN 10; 11, the active one, and 12 and 13 the members of bond 10.

use crate::lan;
use vswitch_base::flow::HashPolicy;
use vswitch_base::{MacAddr, PortIndex};
use vswitch_core::bond::{Admits, Balance, Buckets, Chosen, Rewritten, Transmit};
use vswitch_core::explain::{Step, explain};
use vswitch_core::frame::{Frame, VnetHdr};
use vswitch_core::testing::{MemFrame, MemSwitch, dot1q, station};
use vswitch_core::verdict::DropReason;
use vswitch_tests::packets::tcp4;
use vswitch_tests::{dropped, hear, plain, tagged};

const BOND: u16 = 10;
const MEMBERS: [u16; 3] = [11, 12, 13];

fn own(member: u16) -> MacAddr {
    station(0xb000 + u32::from(member))
}

fn bonded(balance: Balance, members: &[u16]) -> MemSwitch {
    let mut switch = lan(2);
    let ours = MEMBERS.map(|member| own(member).word());
    let strangers = Admits::Strangers(ours.into());
    for (number, admits) in MEMBERS
        .into_iter()
        .zip([strangers, Admits::Nothing, Admits::Nothing])
    {
        switch.add_member(number, BOND, admits);
    }
    let members: Vec<PortIndex> = members.iter().map(|member| PortIndex(*member)).collect();
    let mut view = crate::trunk(BOND, &[10]);
    view.flags.reflects = true;
    let others = MEMBERS.into_iter().filter(|member| *member != 11);
    let transmit = Transmit::Rewritten(Rewritten {
        active: PortIndex(11),
        balance,
        seed: 0,
        buckets: Buckets::new(&members),
        sources: others.map(|m| (PortIndex(m), own(m).word())).collect(),
    });
    switch.bond(BOND, view, transmit);
    switch
}

/// What left by members for a frame of port 1: the member, and the frame.
fn sent(switch: &mut MemSwitch, frame: impl Into<MemFrame>) -> (u16, MemFrame) {
    drop(switch.take_sent());
    switch.inject(1, frame);
    let sent = switch.take_sent().into_iter();
    let mut by = sent.filter(|(port, _)| *port > BOND);
    let (member, frames) = by.next().expect("one member");
    assert!(by.next().is_none() && frames.len() == 1);
    (member, frames.into_iter().next().expect("one frame"))
}

fn source(frame: &MemFrame) -> MacAddr {
    MacAddr(frame.bytes[6..12].try_into().expect("an address"))
}

fn to(last: u8) -> Vec<u8> {
    let mut frame = tcp4(station(900), station(1), &[], 100, None).bytes;
    frame[14 + 19] = last;
    frame
}

/// by all bytes of the destination's address; a station's flows by all members, from each one's address, and
/// nothing else of a frame changes, its unfinished checksum and its segments included.
#[test]
fn a_flow_leaves_from_the_address_of_its_member() {
    let mut switch = bonded(Balance::Destination, &MEMBERS);
    hear(&mut switch, 1, 1);
    for last in 0..=255 {
        let number = usize::from(10 ^ last);
        let (member, frame) = sent(&mut switch, to(last));
        assert_eq!(member, MEMBERS[number % 255 % 3], "to 10.0.0.{last}");
        let expected = if member == 11 {
            station(1)
        } else {
            own(member)
        };
        assert_eq!(source(&frame), expected);
        let mut plain = tagged_as_sent(&to(last));
        plain[6..12].copy_from_slice(&expected.0);
        assert_eq!(frame.bytes, plain);
    }
    let mut whole = tcp4(station(900), station(1), &[], 9_000, Some(1_448));
    whole.bytes[14 + 19] = 2;
    let offload = whole.offload;
    let (member, frame) = sent(&mut switch, whole);
    assert_ne!(member, 11);
    assert_eq!(source(&frame), own(member));
    assert_eq!(frame.offload, offload.shifted(12, 16), "for the tag alone");
    assert_ne!(frame.offload, VnetHdr::NONE);
}

/// The bytes of an untagged frame of VLAN 10 on the bond's trunk.
fn tagged_as_sent(bytes: &[u8]) -> Vec<u8> {
    [&bytes[..12], &[0x81, 0, 0, 10], &bytes[12..]].concat()
}

/// by the policy, and only what is unicast IP; the others leave by the active member as they are.
#[test]
fn what_binds_addresses_leaves_by_the_active_member_untouched() {
    let mut switch = bonded(Balance::Flow(HashPolicy::Layer34), &[12, 13]);
    hear(&mut switch, 1, 1);
    for last in 0..20 {
        let (member, frame) = sent(&mut switch, to(last));
        assert!(member != 11 && source(&frame) == own(member));
    }
    let kind = |kind: u16, dst| {
        let mut bytes = plain(dst, station(1));
        bytes[12..14].copy_from_slice(&kind.to_be_bytes());
        bytes
    };
    let mut solicitation = kind(0x86dd, station(900));
    (solicitation[20], solicitation[54]) = (58, 135);
    for bytes in [
        kind(0x0806, MacAddr::BROADCAST),
        kind(0x0806, station(900)),
        kind(0x0800, MacAddr::BROADCAST),
        kind(0x0800, MacAddr([1, 0, 0x5e, 0, 0, 251])),
        kind(0x88b5, station(900)),
        solicitation,
    ] {
        let (member, frame) = sent(&mut switch, bytes.clone());
        assert_eq!((member, frame.bytes), (11, tagged_as_sent(&bytes)));
    }
}

/// N-02: a destination that nobody knows is flooded by the switch beyond too: what comes back of it by the active
/// member is known by its source, reaches nobody twice, and no member is taken for a station out there.
#[test]
fn what_another_member_sent_does_not_come_back_in() {
    let mut switch = bonded(Balance::Destination, &MEMBERS);
    hear(&mut switch, 1, 1);
    let before = switch.fdb(0).entries().count();
    let (member, frame) = sent(&mut switch, to(2));
    assert_ne!(member, 11);
    for back in MEMBERS {
        switch.inject(back, frame.clone());
        assert_eq!(switch.who_sent(), &[] as &[u16], "by {back}");
    }
    assert_eq!(switch.fdb(0).entries().count(), before);
    assert_eq!(dropped(&switch, 11, DropReason::BondReflected), 1);
    assert_eq!(dropped(&switch, 12, DropReason::BondInactive), 1);
    // Answers come to the station's address, by the active member alone.
    let answer = tagged(station(1), station(900), &[dot1q(10)]);
    for (by, reached) in [(11, &[1][..]), (12, &[])] {
        switch.inject(by, answer.clone());
        assert_eq!(switch.who_sent(), reached, "by {by}");
    }
}

/// Several frames of a batch, to several ports: each copy has the source that it should have.
#[test]
fn a_batch_is_composed_once_for_ports_and_once_for_the_bond() {
    let mut switch = bonded(Balance::Destination, &MEMBERS);
    for last in 0..64 {
        switch.wire(1).put(to(last));
    }
    switch.inject(1, to(64));
    let mut sent = switch.take_sent();
    let flooded = sent.remove(&2).expect("unknown: flooded");
    assert_eq!(flooded.len(), 65);
    assert!(flooded.iter().all(|frame| source(frame) == station(1)));
    for (member, frames) in sent {
        assert!(frames.len() > 15, "{member}: {}", frames.len());
        let expected = if member == 11 {
            station(1)
        } else {
            own(member)
        };
        assert!(frames.iter().all(|frame| source(frame) == expected));
    }
}

/// O-03
#[test]
fn explain_says_the_member_and_the_source() {
    let mut switch = bonded(Balance::Destination, &[12]);
    hear(&mut switch, 1, 1);
    let told = |bytes: &[u8]| {
        let told = explain(
            switch.snapshot(),
            PortIndex(1),
            &Frame::new(bytes),
            switch.now,
        );
        let by = |step: &Step| matches!(step, Step::By { .. });
        told.steps.into_iter().find(by)
    };
    let by = |member, why, source| {
        Some(Step::By {
            member: PortIndex(member),
            why,
            source,
        })
    };
    assert_eq!(told(&to(1)), by(12, Chosen::Hash, Some(own(12))));
    let plain = plain(station(900), station(1));
    assert_eq!(told(&plain), by(11, Chosen::Active, None));
}
