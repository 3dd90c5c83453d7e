//! The far end of a cable counts what came, tells what was flooded, and its TAP is bare.
#![cfg(feature = "testing")]

mod support;

use std::io::{Read, Write};
use support::{frame, in_namespace, until, veth};
use vswitch_io::wire::{Counter, Destination, plain_tap, sender};

#[test]
fn a_counter_counts_all_and_what_is_not_for_it() {
    in_namespace(|| {
        veth("a", "b");
        let open = |what| Counter::open("b", 0x88b5, what).expect("counter");
        let (all, foreign) = (
            open(Destination::Any),
            open(Destination::NotBeginningWith([2, 7])),
        );
        let wire = sender("a").expect("sender");
        for number in 0..300 {
            let mut bytes = frame(60, number);
            if number < 100 {
                bytes[..2].copy_from_slice(&[2, 7]);
            }
            assert_eq!(rustix::io::write(&wire, &bytes), Ok(60));
        }
        // Another EtherType is nobody's.
        let mut bytes = frame(60, 0);
        bytes[12..14].copy_from_slice(&[0x88, 0xb6]);
        assert_eq!(rustix::io::write(&wire, &bytes), Ok(60));
        let (mut frames, mut flooded) = (0, 0);
        until("the frames to be counted", || {
            frames += all.take().expect("count");
            flooded += foreign.take().expect("count");
            frames >= 300 && flooded >= 200
        });
        assert_eq!((frames, flooded), (300, 200));
        assert_eq!(all.take().expect("count"), 0, "taking resets");
    });
}

#[test]
fn a_plain_tap_carries_bare_frames_both_ways() {
    in_namespace(|| {
        let mut tap = plain_tap("t").expect("tap");
        std::fs::write("/proc/sys/net/ipv6/conf/t/disable_ipv6", "1").expect("sysctl");
        let link = vswitch_io::link::by_name("t")
            .expect("netlink")
            .expect("made");
        vswitch_io::link::set_up(link.ifindex, true).expect("up");
        let counter = Counter::open("t", 0x88b5, Destination::Any).expect("counter");
        let wire = sender("t").expect("sender");
        assert_eq!(rustix::io::write(&wire, &frame(77, 1)), Ok(77));
        let mut bytes = [0; 200];
        let len = tap.read(&mut bytes).expect("the frame sent");
        assert_eq!(&bytes[..len], frame(77, 1));
        assert_eq!(tap.write(&frame(60, 2)).expect("up"), 60);
        until("the frame written", || counter.take().expect("count") == 1);
    });
}
