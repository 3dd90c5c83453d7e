//! Changes while frames flow: what a port or VLAN was told last holds from the next batch on.

use crate::{access, access_in, lan, trunk};
use vswitch_base::MacAddr;
use vswitch_core::mailbox::WorkerCommand;
use vswitch_core::queue::{QueueId, RxQueue};
use vswitch_core::snapshot::PortState;
use vswitch_core::testing::{MemSwitch, dot1q, station, vid};
use vswitch_core::verdict::DropReason;
use vswitch_core::worker::WorkerEvent;
use vswitch_tests::rng::Rng;
use vswitch_tests::{broadcast, dropped, hear, plain, ports_reached, sent, tagged};

/// V-01: VLANs come and go on a port; each frame is judged by what holds when it is received.
#[test]
fn vlans_change_between_two_batches() {
    let mut switch = lan(2);
    switch.add(3, trunk(3, &[]));
    let to_3 = |switch: &mut MemSwitch| {
        switch.inject(1, broadcast(station(1)));
        sent(switch)
            .into_iter()
            .find(|(port, _)| *port == 3)
            .map(|(_, bytes)| bytes)
    };
    assert_eq!(to_3(&mut switch), None);
    switch.change(3, |port| {
        port.vlans.insert(vid(10));
    });
    let with_tag = tagged(MacAddr::BROADCAST, station(1), &[dot1q(10)]);
    assert_eq!(to_3(&mut switch), Some(with_tag));
    switch.change(3, |port| {
        port.untagged.insert(vid(10));
    });
    assert_eq!(to_3(&mut switch), Some(broadcast(station(1))));
    switch.change(3, |port| {
        port.vlans.remove(vid(10));
    });
    assert_eq!(to_3(&mut switch), None);
}

/// B-01: frames waiting on the wire when their port leaves are nobody's; nothing is counted twice.
#[test]
fn a_port_leaves_and_returns_under_load() {
    let mut switch = lan(4);
    for round in 0..50 {
        for port in 1..=4 {
            hear(&mut switch, port, u32::from(port));
        }
        switch.wire(2).put(broadcast(station(2)));
        switch.remove(2);
        assert_eq!(
            ports_reached(&mut switch, 1, plain(station(2), station(1))),
            [3, 4],
            "{round}"
        );
        switch.add(2, access(2));
        let epoch = round + 1;
        switch.change(2, |port| port.epoch = epoch);
        assert_eq!(
            ports_reached(&mut switch, 1, plain(station(2), station(1))),
            [2, 3, 4]
        );
    }
}

/// A port that belongs to no bridge drops, counted, until it joins one.
#[test]
fn a_port_joins_and_leaves_a_bridge() {
    let mut switch = lan(2);
    switch.change(1, |port| port.bridge = None);
    assert!(ports_reached(&mut switch, 1, broadcast(station(1))).is_empty());
    assert_eq!(dropped(&switch, 1, DropReason::NoBridge), 1);
    switch.change(1, |port| port.bridge = Some(crate::BR));
    assert_eq!(ports_reached(&mut switch, 1, broadcast(station(1))), [2]);
}

/// Random frames and random changes: no panic, everything counted, and the filter always holds:
/// nothing leaves by a port that is not in the frame's VLAN.
#[test]
fn random_changes_under_load_never_leak_a_vlan() {
    let mut rng = Rng::from_env("reconfigure");
    let mut switch = lan(0);
    for port in 1..=6 {
        switch.add(port, access_in(port, 10 + port % 2 * 10));
    }
    for _ in 0..4_000 {
        let port = rng.pick(&[1, 2, 3, 4, 5, 6]);
        match rng.below(12) {
            0 => switch.change(port, |p| *p = access_in(port, rng.pick(&[10, 20]))),
            1 => switch.change(port, |p| *p = trunk(port, &[10, 20])),
            2 => switch.change(port, |p| p.flags.isolated ^= true),
            3 => switch.change(port, |p| p.epoch = p.epoch.wrapping_add(1)),
            4 => {
                let states = [
                    PortState::Disabled,
                    PortState::Blocking,
                    PortState::Learning,
                    PortState::Forwarding,
                    PortState::Forwarding,
                ];
                switch.change(port, |p| p.state = rng.pick(&states));
            }
            5 => {
                switch.remove(port);
                switch.add(port, access_in(port, 10));
            }
            _ => {
                // The source tells the VLAN: stations below 100 send in VLAN 10, others in 20.
                let v = rng.pick(&[10, 20]);
                let number = u32::try_from(rng.below(20)).unwrap() + u32::from(v) * 10;
                let dst = if rng.once_in(3) {
                    MacAddr::BROADCAST
                } else {
                    station(number + 1)
                };
                let view = switch
                    .snapshot()
                    .port(vswitch_base::PortIndex(port))
                    .unwrap();
                let frame = if view.pvid == Some(vid(v)) && rng.once_in(2) {
                    plain(dst, station(number))
                } else {
                    tagged(dst, station(number), &[dot1q(v)])
                };
                switch.inject(port, frame);
                for reached in switch.who_sent() {
                    let to = switch
                        .snapshot()
                        .port(vswitch_base::PortIndex(reached))
                        .unwrap();
                    assert!(to.vlans.contains(vid(v)), "VLAN {v} left by port {reached}");
                    assert_eq!(to.state, PortState::Forwarding);
                }
            }
        }
    }
    switch.assert_conserved();
}

/// I-10: a queue that fails is told once, does not stop the others, and works again when replaced.
#[test]
fn a_failing_queue_is_reported_and_replaced() {
    let mut switch = lan(3);
    switch.wire(1).fail(100);
    switch.inject(2, broadcast(station(2)));
    assert_eq!(
        switch.who_sent(),
        [1, 3],
        "the failed queue's port still sends"
    );
    let port = vswitch_base::PortIndex(1);
    let event = WorkerEvent::QueueFailed { port, errno: 100 };
    assert_eq!(switch.outbox.take_event(), Some(event));
    switch.inject(1, broadcast(station(1)));
    assert!(switch.who_sent().is_empty(), "not polled any more");
    assert_eq!(switch.outbox.take_event(), None, "told once");
    let rx = switch.wire(1).rx();
    let queue = RxQueue::new(QueueId { port, number: 0 }, rx);
    let mailbox = switch.mailbox();
    mailbox.post(WorkerCommand::RemoveQueues { port });
    mailbox.post(WorkerCommand::AddQueue(queue));
    switch.inject(2, broadcast(station(2)));
    assert_eq!(switch.who_sent(), [1, 2, 3]);
}
