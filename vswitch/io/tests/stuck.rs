//! A frame that the kernel cannot hand over stops a receive ring for good: it is told, and opening anew
//! helps.
#![cfg(feature = "testing")]

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::{
    frame, in_namespace, ours, receive, receive_for, send_all, take, tx_frame, until, veth,
};
use vswitch_core::frame::VnetHdr;
use vswitch_core::port::{QUEUE_STUCK, TxCaps};
use vswitch_io::wire::Machine;
use vswitch_io::{NicSpec, link, open_nic};

/// 3,000 bytes of UDP that a guest wants to be cut into IP fragments.
fn fragments() -> (Vec<u8>, VnetHdr) {
    let mut bytes = frame(14, 0);
    bytes.truncate(12);
    bytes.extend([8, 0, 0x45, 0, 0x0b, 0xd4, 0, 1, 0, 0, 64, 17, 0, 0]);
    bytes.extend([10, 0, 0, 1, 10, 0, 0, 2, 0, 9, 0, 9, 0x0b, 0xc0, 0, 0]);
    bytes.resize(14 + 20 + 8 + 3_000, 7);
    let offload = VnetHdr {
        flags: VnetHdr::NEEDS_CSUM,
        gso_type: VnetHdr::GSO_UDP,
        hdr_len: 42,
        gso_size: 1_480,
        csum_start: 34,
        csum_offset: 6,
    };
    (bytes, offload)
}

/// I-02: a guest's UDP fragments do not silence its port for good.
#[test]
fn a_ring_that_stopped_is_told_and_a_new_one_goes_on() {
    // One ring, and two of which the one for long frames stops.
    stops(&NicSpec {
        slot_bytes: 4096,
        ring_slots: 62,
        ..NicSpec::new("t0")
    });
    stops(&NicSpec::new("t0"));
}

fn stops(spec: &NicSpec) {
    in_namespace(|| {
        let machine = Machine::open("t0", TxCaps::NONE).expect("a TAP");
        std::fs::write("/proc/sys/net/ipv6/conf/t0/disable_ipv6", "1").expect("sysctl");
        let found = link::by_name("t0").expect("netlink").expect("just made");
        link::set_up(found.ifindex, true).expect("up");
        let mut port = open_nic(spec).expect("open");
        let say = |number| {
            machine
                .send(&VnetHdr::NONE, &frame(3_000, number))
                .expect("sent");
        };
        // Losses of a ring that was full are no reason.
        (0..200).for_each(say);
        assert!(port.rx[0].take_losses().ring_full > 0);
        receive(&mut *port.rx[0], 60, ours);
        port.rx[0].take_losses();
        assert!(take(&mut *port.rx[0]).is_ok());

        let (bytes, offload) = fragments();
        machine.send(&offload, &bytes).expect("taken by the kernel");
        say(1);
        if !receive_for(&mut *port.rx[0], Duration::from_millis(50)).is_empty() {
            // A kernel that drops such a frame and goes on.
            return;
        }
        // Also where short frames, in a ring of their own, never let up.
        let keep_busy = || {
            machine.send(&VnetHdr::NONE, &frame(60, 4)).expect("sent");
        };
        until("the ring to be found stuck", || {
            say(2);
            keep_busy();
            port.rx[0].take_losses();
            take(&mut *port.rx[0]).is_err()
        });
        keep_busy();
        let error = take(&mut *port.rx[0]).expect_err("again and again");
        assert_eq!(error.raw_os_error(), Some(QUEUE_STUCK));
        drop((port.rx, port.tx));
        port.keep.close().expect("given back");

        let mut again = open_nic(spec).expect("open");
        say(3);
        assert_eq!(
            receive(&mut *again.rx[0], 1, ours)[0].bytes,
            frame(3_000, 3)
        );
    });
}

/// I-01: a port that is opened under full load and overrun is not taken for stuck.
#[test]
fn a_ring_that_was_overrun_is_not_stuck() {
    in_namespace(|| {
        veth("v0", "v1");
        let over = AtomicBool::new(false);
        let mut a = open_nic(&NicSpec::new("v0")).expect("open");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let bytes = frame(60, 1);
                let burst = [tx_frame(&bytes, VnetHdr::NONE); 64];
                while !over.load(Ordering::Relaxed) {
                    send_all(&mut *a.tx[0], &burst);
                }
            });
            for _ in 0..8 {
                let mut b = open_nic(&NicSpec::new("v1")).expect("open");
                for _ in 0..5 {
                    until("frames", || {
                        !take(&mut *b.rx[0]).expect("not stuck").is_empty()
                    });
                    b.rx[0].take_losses();
                }
                take(&mut *b.rx[0]).expect("not stuck");
                drop((b.rx, b.tx));
                b.keep.close().expect("given back");
            }
            over.store(true, Ordering::Relaxed);
        });
    });
}
