//! What the numbers of a port count.

use crate::{lan, trunk};
use vswitch_base::MacAddr;
use vswitch_core::testing::{MemFrame, dot1q, frame, station};
use vswitch_core::verdict::DropReason;
use vswitch_tests::{EXPERIMENTAL, broadcast, hear, plain, tagged};

/// O-01: frames and bytes of each direction, as they were on that port's wire.
#[test]
fn frames_and_bytes_are_those_of_the_wire() {
    let mut switch = lan(2);
    switch.add(3, trunk(3, &[10]));
    hear(&mut switch, 2, 2);
    let long = frame(station(2), station(1), &[], EXPERIMENTAL, 1_000);
    switch.inject(1, long);
    switch.inject(1, broadcast(station(1)));
    // The tag beside the bytes was on the wire as well.
    let stripped = MemFrame {
        stripped: Some(dot1q(10)),
        ..plain(station(2), station(3)).into()
    };
    switch.inject(3, stripped);
    let numbers = |port: u16| {
        let t = switch.totals(port);
        [t.frames_in, t.bytes_in, t.frames_out, t.bytes_out]
    };
    // Port 2 was heard once by a broadcast: 60 bytes to 1, 64 with its tag to 3.
    assert_eq!(numbers(1), [2, 1_060, 1, 60]);
    assert_eq!(numbers(2), [1, 60, 3, 1_000 + 60 + 60]);
    assert_eq!(numbers(3), [1, 64, 2, 64 + 64]);
}

/// O-01, O-02: what does not get through is counted where it was lost, with its reason, and not as
/// sent.
#[test]
fn drops_are_counted_apart_by_direction_and_reason() {
    let mut switch = lan(2);
    switch.wire(2).limit_room(1);
    switch.inject(1, broadcast(station(1)));
    switch.inject(1, broadcast(station(1)));
    switch.inject(1, tagged(MacAddr::BROADCAST, station(1), &[dot1q(99)]));
    let (from, to) = (switch.totals(1), switch.totals(2));
    assert_eq!((from.frames_in, from.frames_forwarded), (3, 2));
    assert_eq!((from.ingress_drops(), from.egress_drops()), (1, 0));
    assert_eq!(from.drops[DropReason::VlanNotAllowed.index()], 1);
    assert_eq!(
        (to.frames_out, to.ingress_drops(), to.egress_drops()),
        (1, 0, 1)
    );
    assert_eq!(to.drops[DropReason::TxFull.index()], 1);
}
