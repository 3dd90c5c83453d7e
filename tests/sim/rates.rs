//! Rates of ports on virtual time: the long run, the burst, others' peace, and a change while frames flow.

use crate::{access, lan};
use std::sync::Arc;
use vswitch_base::{Duration, MacAddr};
use vswitch_core::police::{Bucket, Limit, Policer};
use vswitch_core::protect::Protection;
use vswitch_core::testing::{MemSwitch, frame, station};
use vswitch_core::verdict::DropReason;
use vswitch_tests::{EXPERIMENTAL, dropped, hear};

/// 100 Mbit/s, and the burst that a port has by itself.
const LIMIT: Limit = Limit {
    rate: 100_000_000,
    burst: 10_000_000,
};

fn policer(limit: Limit, bucket: &Arc<Bucket>) -> Policer {
    let bucket = Arc::clone(bucket);
    Policer { limit, bucket }
}

pub(crate) fn ingress(limit: Limit, bucket: &Arc<Bucket>) -> Arc<Protection> {
    Arc::new(Protection {
        rate: Some(policer(limit, bucket)),
        ..Protection::default()
    })
}

/// Sends so many frames of 1,250 bytes (10,000 bits) from station 1 to station 2, a millisecond apart in groups.
fn send(switch: &mut MemSwitch, millis: u64, each: u32) -> usize {
    let mut passed = 0;
    for _ in 0..millis {
        switch.now = switch.now + Duration::from_millis(1);
        let wire = switch.wire(1).clone();
        for _ in 1..each {
            wire.put(frame(station(2), station(1), &[], EXPERIMENTAL, 1_250));
        }
        switch.inject(1, frame(station(2), station(1), &[], EXPERIMENTAL, 1_250));
        passed += switch.wire(2).take_all().len();
    }
    passed
}

fn two() -> MemSwitch {
    let mut switch = lan(3);
    hear(&mut switch, 2, 2);
    let _ = switch.take_sent();
    switch
}

/// twice the rate for ten seconds: the rate passes within 2 %, and the burst once.
#[test]
fn the_long_run_is_the_rate_and_the_burst_comes_once() {
    for out in [false, true] {
        let mut switch = two();
        let bucket = Arc::default();
        if out {
            switch.change(2, |port| port.egress_rate = Some(policer(LIMIT, &bucket)));
        } else {
            switch.change(1, |port| port.protection = Some(ingress(LIMIT, &bucket)));
        }
        let first = send(&mut switch, 1, 2_000);
        assert_eq!(first, 1_000, "ten megabits at once");
        let passed = send(&mut switch, 10_000, 20);
        assert!((98_000..=102_000).contains(&passed), "{passed}");
        let (port, reason) = if out {
            (2, DropReason::PolicedOut)
        } else {
            (1, DropReason::PolicedIn)
        };
        let drops = usize::try_from(dropped(&switch, port, reason)).unwrap();
        assert_eq!(drops, 2_000 + 200_000 - first - passed);
        // Idle for long: the burst again, and no more.
        switch.now = switch.now + Duration::from_secs(3_600);
        assert_eq!(send(&mut switch, 1, 3_000), 1_000);
    }
}

/// below its rate a port loses nothing, and others have no part in it.
#[test]
fn below_the_rate_nothing_is_lost_and_others_are_untouched() {
    let mut switch = two();
    let bucket = Arc::default();
    switch.change(1, |port| {
        port.protection = Some(ingress(LIMIT, &bucket));
        port.egress_rate = Some(policer(LIMIT, &Arc::default()));
    });
    assert_eq!(send(&mut switch, 1_000, 10), 10_000);
    // Port 2 sends far more to port 3 than port 1 might, and a flood reaches who has room.
    hear(&mut switch, 3, 3);
    let _ = switch.take_sent();
    for _ in 0..5_000 {
        switch.inject(2, frame(station(3), station(2), &[], EXPERIMENTAL, 1_250));
    }
    assert_eq!(switch.wire(3).take_all().len(), 5_000);
    for _ in 0..2_000 {
        switch.inject(
            2,
            frame(MacAddr::BROADCAST, station(2), &[], EXPERIMENTAL, 1_250),
        );
    }
    assert_eq!(switch.wire(3).take_all().len(), 2_000);
    // A thousand, but for the bits of the frame by which station 3 was heard.
    assert_eq!(switch.wire(1).take_all().len(), 999);
    assert_eq!(dropped(&switch, 1, DropReason::PolicedOut), 1_001);
}

/// a spoofed or refused frame takes no room; what is dropped for want of room teaches nothing.
#[test]
fn what_is_dropped_before_takes_no_room() {
    let mut switch = two();
    let bucket = Arc::default();
    let limit = Limit {
        rate: 1_000,
        burst: 10_000,
    };
    let protection = Protection {
        macs: [station(1).word(), station(5).word()].into(),
        spoof_check: true,
        ..Protection::clone(&ingress(limit, &bucket))
    };
    switch.change(1, |port| port.protection = Some(Arc::new(protection)));
    for _ in 0..10 {
        switch.inject(1, frame(station(2), station(7), &[], EXPERIMENTAL, 1_250));
    }
    assert_eq!(send(&mut switch, 1, 2), 1);
    switch.inject(1, frame(station(2), station(5), &[], EXPERIMENTAL, 1_250));
    assert_eq!(dropped(&switch, 1, DropReason::PolicedIn), 2);
    let known = switch
        .fdb(0)
        .find(Some(vswitch_core::testing::vid(10)), station(5));
    assert!(known.is_none());
}

/// Q-05, S-48: a change keeps the level and loses no frame.
#[test]
fn a_changed_rate_finds_the_level_as_it_is() {
    let mut switch = two();
    let bucket = Arc::default();
    let set = |switch: &mut MemSwitch, limit: Option<Limit>| {
        switch.snapshot().settle_rates(switch.now);
        switch.change(1, |port| {
            port.protection = limit.map(|limit| ingress(limit, &bucket));
        });
    };
    set(&mut switch, Some(LIMIT));
    assert_eq!(send(&mut switch, 1, 600), 600);
    let slow = Limit {
        rate: 10_000_000,
        ..LIMIT
    };
    switch.now = switch.now + Duration::from_millis(10);
    set(&mut switch, Some(slow));
    assert_eq!(
        send(&mut switch, 1, 1_000),
        400 + 100 + 1,
        "what was left, ten milliseconds of the former rate, and one of this"
    );
    // Changed after each millisecond, to and fro: what passes is the mean of the two.
    let mut passed = 0;
    for round in 0..1_000 {
        set(&mut switch, Some(if round % 2 == 0 { LIMIT } else { slow }));
        passed += send(&mut switch, 1, 20);
    }
    assert!((5_390..=5_610).contains(&passed), "{passed}");
    set(&mut switch, None);
    assert_eq!(send(&mut switch, 10, 100), 1_000);
}

/// a frame that stands for segments has the bits of all its bytes, and passes or not as a whole.
#[test]
fn uncut_segments_count_whole() {
    let mut switch = two();
    let limit = Limit {
        rate: 1_000,
        burst: 528_000,
    };
    switch.change(2, |port| {
        port.egress_rate = Some(policer(limit, &Arc::default()));
    });
    let segments =
        || vswitch_tests::packets::tcp4(station(2), station(1), &[], 60_000, Some(1_448));
    switch.inject(1, segments());
    switch.inject(1, segments());
    assert_eq!(switch.wire(2).take_all().len(), 1);
    assert_eq!(dropped(&switch, 2, DropReason::PolicedOut), 1);
    switch.inject(1, frame(station(2), station(1), &[], EXPERIMENTAL, 1_400));
    assert_eq!(switch.wire(2).take_all().len(), 1, "in what is left");
}

/// the members of a bond share its rate.
#[test]
fn members_of_a_bond_share_its_rate() {
    use vswitch_core::bond::{Admits, Transmit};
    let mut switch = two();
    let bucket = Arc::default();
    let members = [vswitch_base::PortIndex(11), vswitch_base::PortIndex(12)];
    for member in members {
        switch.add_member(member.0, 10, Admits::Everything);
        switch.change(member.0, |port| {
            port.egress_rate = Some(policer(LIMIT, &bucket));
        });
    }
    switch.bond(10, access(10), Transmit::Copies(members.into()));
    let _ = switch.take_sent();
    for _ in 0..2_000 {
        switch.inject(1, frame(station(99), station(1), &[], EXPERIMENTAL, 1_250));
    }
    let sent: Vec<usize> = [11, 12]
        .map(|port| switch.wire(port).take_all().len())
        .into();
    assert_eq!(sent.iter().sum::<usize>(), 1_000, "{sent:?}");
}
