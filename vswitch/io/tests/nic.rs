//! `nic` ports on real veth pairs: rows I-01, I-02, I-03, I-04.

mod support;

use std::time::Duration;
use support::{
    DST, SENT_ONE, SRC, frame, in_namespace, receive, receive_for, send, send_all, take,
};
use support::{tx_frame, until, veth};
use vswitch_base::{Tag, Tci, Tpid};
use vswitch_core::frame::{TxList, VnetHdr};
use vswitch_core::port::TxCaps;
use vswitch_io::{NicSpec, OpenedPort, TapSpec, open_nic, open_tap};

fn open(name: &str) -> OpenedPort {
    open_nic(&NicSpec::new(name)).expect("open")
}

/// I-03: the outermost tag arrives beside the bytes, inner tags in band; both leave in band.
#[test]
fn tags_come_out_of_band_and_leave_in_band() {
    in_namespace(|| {
        veth("v0", "v1");
        let (mut a, mut b) = (open("v0"), open("v1"));
        let plain = frame(60, 1);
        let mut header = tx_frame(&plain, VnetHdr::NONE);
        header.header.push_tag(Tag {
            tpid: Tpid::Dot1q,
            tci: Tci(0x6064),
        });
        assert_eq!(send_all(&mut *a.tx[0], &[header]), SENT_ONE);
        let got = receive(&mut *b.rx[0], 1, |_| true);
        assert_eq!(got[0].tag, Some((0x8100, 0x6064)));
        assert_eq!(got[0].bytes, plain, "the bytes are those without the tag");

        let mut double = tx_frame(&plain, VnetHdr::NONE);
        double.header.push_tag(Tag {
            tpid: Tpid::Dot1ad,
            tci: Tci(7),
        });
        double.header.push_tag(Tag {
            tpid: Tpid::Dot1q,
            tci: Tci(8),
        });
        assert_eq!(send_all(&mut *a.tx[0], &[double]), SENT_ONE);
        let got = receive(&mut *b.rx[0], 1, |_| true);
        assert_eq!(got[0].tag, Some((0x88a8, 7)));
        assert_eq!(got[0].bytes[12..18], [0x81, 0, 0, 8, 0x88, 0xb5]);
        // VLAN 0 with priority 5 is a tag as well.
        let mut priority = tx_frame(&plain, VnetHdr::NONE);
        priority.header.push_tag(Tag {
            tpid: Tpid::Dot1q,
            tci: Tci(0xa000),
        });
        assert_eq!(send_all(&mut *a.tx[0], &[priority]), SENT_ONE);
        assert_eq!(
            receive(&mut *b.rx[0], 1, |_| true)[0].tag,
            Some((0x8100, 0xa000))
        );
        assert_eq!(
            take(&mut *a.rx[0]).expect("receive"),
            [],
            "we do not hear what we send"
        );
    });
}

/// A TCP frame of 64 KB with a partial checksum, as a guest's kernel would hand it over.
fn gso_frame() -> (Vec<u8>, VnetHdr) {
    let payload = 64_000_u16;
    let mut bytes = [DST.as_slice(), &SRC, &[8, 0]].concat();
    let total = 40 + payload;
    bytes.extend([0x45, 0]);
    bytes.extend(total.to_be_bytes());
    bytes.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend([
        0x10, 0, 0x20, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x10, 4, 0, 0, 0, 0, 0,
    ]);
    bytes.extend((0..payload).map(|i| i.to_be_bytes()[1]));
    let offload = VnetHdr {
        flags: VnetHdr::NEEDS_CSUM,
        gso_type: VnetHdr::GSO_TCPV4,
        hdr_len: 54,
        gso_size: 1448,
        csum_start: 34,
        csum_offset: 16,
    };
    (bytes, offload)
}

/// I-02: a 64 KB frame with its work undone crosses TAP, ring and veth whole, tagged too.
#[test]
fn a_segmentation_frame_passes_whole_with_its_header() {
    in_namespace(|| {
        veth("v0", "v1");
        let (mut a, mut b) = (open("v0"), open("v1"));
        let mut guest = open_tap(&TapSpec::new("t0")).expect("tap");
        let mut behind = open("t0");
        let (bytes, offload) = gso_frame();

        assert_eq!(send(&mut *guest.tx[0], &bytes, offload), SENT_ONE);
        let big = |frame: &support::Owned| frame.bytes.len() == bytes.len();
        let from_tap = receive(&mut *behind.rx[0], 1, big);
        assert_eq!(from_tap[0].bytes, bytes);
        assert!(from_tap[0].offload.is_gso() && from_tap[0].offload.needs_csum());
        assert_eq!(from_tap[0].offload.gso_size, 1448);
        assert_eq!(from_tap[0].offload.csum_start, 34);

        // On over the veth, with a tag, whose four bytes move the offsets.
        let mut tagged = tx_frame(&from_tap[0].bytes, from_tap[0].offload.shifted(12, 16));
        tagged.header.push_tag(Tag {
            tpid: Tpid::Dot1q,
            tci: Tci(100),
        });
        assert_eq!(send_all(&mut *a.tx[0], &[tagged]), SENT_ONE);
        let over_veth = receive(&mut *b.rx[0], 1, big);
        assert_eq!(over_veth[0].tag, Some((0x8100, 100)));
        assert_eq!(over_veth[0].bytes, bytes);
        assert_eq!(over_veth[0].offload.gso_size, 1448);
        assert_eq!(
            over_veth[0].offload.csum_start, 34,
            "counted from the bytes without the tag"
        );

        // And back to the guest.
        assert_eq!(send(&mut *behind.tx[0], &bytes, offload), SENT_ONE);
        let back = receive(&mut *guest.rx[0], 1, big);
        assert_eq!(back[0].bytes, bytes);
        assert_eq!(back[0].offload.gso_size, 1448);
    });
}

/// I-02: a frame that a device without segmentation refuses is told and not counted as lost, nothing
/// overtakes it, and what was learned of it is forgotten after a while.
#[test]
fn a_device_that_does_not_cut_tells_so() {
    in_namespace(|| {
        veth("v0", "v1");
        let done = std::process::Command::new("ethtool")
            .args(["-K", "v0", "tso", "off"])
            .status();
        assert!(done.expect("ethtool").success());
        let (mut a, mut b) = (open("v0"), open("v1"));
        let (bytes, offload) = gso_frame();
        let small = frame(60, 1);
        let plain = tx_frame(&small, VnetHdr::NONE);
        let batch = [plain, tx_frame(&bytes, offload), plain];
        let report = a.tx[0].send(TxList::all(&batch));
        assert!(report.uncut);
        assert_eq!((report.sent, report.full, report.errors), (1, 0, 0));
        assert_eq!(receive(&mut *b.rx[0], 1, |_| true)[0].bytes, small);

        let without = TxCaps {
            tso4: false,
            ..TxCaps::ALL
        };
        assert_eq!(a.tx[0].caps(), TxCaps::ALL);
        a.tx[0].learn_uncut(VnetHdr::GSO_TCPV4);
        let many: Vec<_> = std::iter::repeat_n(plain, 4_095).collect();
        assert_eq!(send_all(&mut *a.tx[0], &many).sent, 4_095);
        assert_eq!(a.tx[0].caps(), without);
        assert_eq!(send_all(&mut *a.tx[0], &[plain]).sent, 1);
        assert_eq!(a.tx[0].caps(), TxCaps::ALL, "it is tried again");
    });
}

/// I-01: every byte of every frame survives 300 turns of the ring, at all lengths, in order.
#[test]
fn the_ring_turns_three_hundred_times_without_changing_a_byte() {
    in_namespace(|| {
        veth("v0", "v1");
        let spec = NicSpec {
            ring_slots: 31,
            ..NicSpec::new("v1")
        };
        let (mut a, mut b) = (open("v0"), open_nic(&spec).expect("open"));
        let frames = 300 * 31;
        let mut seed = 0;
        while seed < frames {
            let burst: Vec<Vec<u8>> = (seed..(seed + 23).min(frames))
                .map(|seed| frame(60 + (seed as usize * 37) % 1455, seed))
                .collect();
            let out: Vec<_> = burst
                .iter()
                .map(|bytes| tx_frame(bytes, VnetHdr::NONE))
                .collect();
            let report = send_all(&mut *a.tx[0], &out);
            assert_eq!(
                (report.sent as usize, report.full, report.errors),
                (burst.len(), 0, 0)
            );
            let got = receive(&mut *b.rx[0], burst.len(), |_| true);
            for (sent, got) in burst.iter().zip(&got) {
                assert!(sent == &got.bytes, "frame {seed} changed on the way");
                assert_eq!((got.tag, got.offload), (None, VnetHdr::NONE));
            }
            assert_eq!(got.len(), burst.len());
            seed += 23;
        }
        assert_eq!(
            b.rx[0].take_losses(),
            vswitch_core::port::RxLosses::default()
        );
    });
}

/// I-01: a full ring loses frames, says how many, lends no slot twice and goes on afterwards.
#[test]
fn a_full_ring_counts_its_losses_and_recovers() {
    in_namespace(|| {
        veth("v0", "v1");
        const SLOTS: usize = 64;
        let spec = NicSpec {
            ring_slots: 64,
            slot_bytes: 4096,
            ..NicSpec::new("v1")
        };
        let (mut a, mut b) = (open("v0"), open_nic(&spec).expect("open"));
        let burst: Vec<Vec<u8>> = (0..100).map(|seed| frame(100, seed)).collect();
        let out: Vec<_> = burst
            .iter()
            .map(|bytes| tx_frame(bytes, VnetHdr::NONE))
            .collect();
        assert_eq!(send_all(&mut *a.tx[0], &out).sent, 100);
        let lost = 100 - SLOTS as u64;
        let mut counted = 0;
        until("the losses", || {
            counted += b.rx[0].take_losses().ring_full;
            counted == lost
        });
        // Lend everything without giving back: more does not come, and nothing comes twice.
        let mut batch = vswitch_core::frame::FrameBatch::new();
        b.rx[0].receive(&mut batch).expect("receive");
        let seen: Vec<Vec<u8>> = batch.iter().map(|frame| frame.bytes.to_vec()).collect();
        drop(batch);
        assert_eq!(seen, burst[..SLOTS]);
        assert_eq!(send(&mut *a.tx[0], &burst[80], VnetHdr::NONE), SENT_ONE);
        let mut batch = vswitch_core::frame::FrameBatch::new();
        b.rx[0].receive(&mut batch).expect("receive");
        assert!(batch.is_empty(), "lent slots are not lent again");
        drop(batch);
        b.rx[0].release();
        assert_eq!(send(&mut *a.tx[0], &burst[81], VnetHdr::NONE), SENT_ONE);
        assert_eq!(receive(&mut *b.rx[0], 1, |_| true)[0].bytes, burst[81]);
    });
}

/// A frame longer than its slot is counted and not delivered.
#[test]
fn a_frame_that_does_not_fit_its_slot_is_counted() {
    in_namespace(|| {
        veth("v0", "v1");
        let mut a = open("v0");
        let spec = NicSpec {
            slot_bytes: 512,
            ..NicSpec::new("v1")
        };
        let mut b = open_nic(&spec).expect("open");
        assert!(
            b.warnings.iter().any(|w| w.contains("512")),
            "{:?}",
            b.warnings
        );
        for len in [1000, 60, 1514, 100] {
            assert_eq!(send(&mut *a.tx[0], &frame(len, 1), VnetHdr::NONE), SENT_ONE);
        }
        let got = receive(&mut *b.rx[0], 2, |_| true);
        assert_eq!(
            got.iter().map(|f| f.bytes.len()).collect::<Vec<_>>(),
            [60, 100]
        );
        assert_eq!(b.rx[0].take_losses().truncated, 2);
    });
}

/// A frame that the device refuses is counted, as an error where the system says why and as full where
/// only the driver knows; those around it are sent.
#[test]
fn a_refused_frame_does_not_take_its_neighbours_with_it() {
    in_namespace(|| {
        veth("v0", "v1");
        let (mut a, mut b) = (open("v0"), open("v1"));
        let frames = [
            frame(60, 1),
            frame(3000, 2),
            frame(61, 3),
            frame(2000, 4),
            frame(62, 5),
        ];
        let out: Vec<_> = frames
            .iter()
            .map(|bytes| tx_frame(bytes, VnetHdr::NONE))
            .collect();
        let report = send_all(&mut *a.tx[0], &out);
        assert_eq!((report.sent, report.full, report.errors), (3, 1, 1));
        assert_eq!(report.last_errno, 90, "EMSGSIZE");
        let got = receive(&mut *b.rx[0], 3, |_| true);
        assert_eq!(
            got.iter().map(|f| f.bytes.len()).collect::<Vec<_>>(),
            [60, 61, 62]
        );
        // More than a batch in one call is sent all the same.
        let many: Vec<_> = std::iter::repeat_n(out[0], 150).collect();
        assert_eq!(send_all(&mut *a.tx[0], &many).sent, 150);
    });
}

/// Short and long frames come through a ring each and in the order in which they were sent, also after
/// the device was down; none of the long ones ends in a short slot.
#[test]
fn short_and_long_frames_keep_their_order() {
    in_namespace(|| {
        let (_, v1) = veth("v0", "v1");
        let (mut a, mut b) = (open("v0"), open("v1"));
        let (gso, offload) = gso_frame();
        let lengths = [60, 1514, gso.len(), 1000, gso.len(), gso.len(), 61, 60];
        for _ in 0..3 {
            for round in 0..40_u16 {
                let mut sent = Vec::new();
                for (n, len) in (0_u16..).zip(lengths) {
                    let mut bytes = gso[..len].to_vec();
                    // The IPv4 identification numbers the frames; a cut frame is of no protocol.
                    bytes[18..20].copy_from_slice(&(round * 16 + n).to_be_bytes());
                    if len < gso.len() {
                        bytes[12..14].copy_from_slice(&[0x88, 0xb5]);
                    }
                    sent.push(bytes);
                }
                let out: Vec<_> = sent
                    .iter()
                    .map(|bytes| {
                        let whole = bytes.len() == gso.len();
                        tx_frame(bytes, if whole { offload } else { VnetHdr::NONE })
                    })
                    .collect();
                let report = send_all(&mut *a.tx[0], &out);
                assert_eq!(report.sent as usize, out.len(), "{report:?}");
                let got = receive(&mut *b.rx[0], out.len(), |_| true);
                let numbers = |f: &support::Owned| (f.bytes.len(), f.bytes[18..20].to_vec());
                let expected: Vec<_> = out
                    .iter()
                    .map(|f| (f.wire_len(), f.rest[6..8].to_vec()))
                    .collect();
                assert_eq!(got.iter().map(numbers).collect::<Vec<_>>(), expected);
            }
            assert_eq!(b.rx[0].take_losses().truncated, 0);
            for up in [false, true] {
                vswitch_io::link::set_up(v1, up).expect("the device");
            }
            until("the carrier", || {
                let report = send(&mut *a.tx[0], &frame(60, 1), VnetHdr::NONE);
                report == SENT_ONE && !take(&mut *b.rx[0]).unwrap_or_default().is_empty()
            });
            while take(&mut *b.rx[0]).map_or(true, |got| !got.is_empty()) {}
        }
    });
}

/// The same while the receiver looks: whatever it sees of two rings that fill under its eyes is in order.
#[test]
fn short_and_long_frames_keep_their_order_under_the_eyes_of_the_receiver() {
    in_namespace(|| {
        veth("v0", "v1");
        let (mut a, mut b) = (open("v0"), open("v1"));
        let (gso, offload) = gso_frame();
        const FRAMES: u32 = 20_000;
        let sending = std::sync::atomic::AtomicBool::new(true);
        let (mut came, mut last, mut kinds) = (0, None, [0_u32; 2]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..FRAMES {
                    let is_long = number.wrapping_mul(2_654_435_761) >> 30 == 0;
                    let mut bytes = gso[..if is_long { 4000 } else { 60 }].to_vec();
                    bytes[16..18].copy_from_slice(&if is_long { [15, 146] } else { [0, 46] });
                    // In the place of the acknowledgement number.
                    bytes[42..46].copy_from_slice(&number.to_be_bytes());
                    let offload = if is_long { offload } else { VnetHdr::NONE };
                    assert_eq!(send(&mut *a.tx[0], &bytes, offload), SENT_ONE);
                    if number % 64 == 63 {
                        std::thread::sleep(Duration::from_micros(300));
                    }
                }
                sending.store(false, std::sync::atomic::Ordering::Release);
            });
            loop {
                let over = !sending.load(std::sync::atomic::Ordering::Acquire);
                let got = take(&mut *b.rx[0]).expect("receive");
                if over && got.is_empty() {
                    break;
                }
                for frame in got {
                    let number = u32::from_be_bytes(frame.bytes[42..46].try_into().expect("four"));
                    assert!(last < Some(number), "{number} after {last:?}");
                    last = Some(number);
                    kinds[usize::from(frame.bytes.len() > 60)] += 1;
                    came += 1;
                }
            }
        });
        let lost = b.rx[0].take_losses();
        assert_eq!(lost.truncated, 0);
        assert_eq!(came + u32::try_from(lost.ring_full).expect("few"), FRAMES);
        assert!(kinds.iter().all(|&n| n > 1000), "{kinds:?}");
    });
}

/// Several workers send on a device with one queue, plain frames and such with offloads in turn: each
/// worker's frames arrive in its order.
#[test]
fn workers_share_a_queue_and_keep_their_order() {
    in_namespace(|| {
        veth("v0", "v1");
        let spec = NicSpec {
            workers: 3,
            ..NicSpec::new("v0")
        };
        let mut a = open_nic(&spec).expect("open");
        assert!(a.warnings.is_empty(), "{:?}", a.warnings);
        let mut b = open("v1");
        let undone = VnetHdr {
            flags: VnetHdr::NEEDS_CSUM,
            csum_start: 34,
            csum_offset: 6,
            ..VnetHdr::NONE
        };
        let mut next = [0; 3];
        for round in 0..40_u32 {
            for (worker, tx) in (0_u32..).zip(&mut a.tx) {
                let seed = |n: u32| worker << 16 | round << 4 | n;
                let frames: Vec<_> = (0..16).map(|n| frame(60 + n as usize, seed(n))).collect();
                let out: Vec<_> = (0..)
                    .zip(&frames)
                    .map(|(n, bytes)| {
                        tx_frame(bytes, if n % 5 == 3 { undone } else { VnetHdr::NONE })
                    })
                    .collect();
                let report = send_all(&mut **tx, &out);
                assert_eq!(report.sent, 16, "{report:?}");
            }
            for got in receive(&mut *b.rx[0], 48, |_| true) {
                let (worker, number) = (usize::from(got.bytes[15]), &got.bytes[16..18]);
                let number = u16::from_be_bytes([number[0], number[1]]);
                assert_eq!(number, next[worker], "worker {worker}");
                next[worker] += 1;
            }
        }
        assert_eq!(next, [640; 3]);
    });
}

/// Another program's AF_XDP socket on the queue costs speed, not service.
#[test]
fn a_queue_that_another_has_is_sent_on_all_the_same() {
    in_namespace(|| {
        veth("v0", "v1");
        let (mut a, mut b) = (open("v0"), open("v1"));
        // Both at once is what a second daemon on the same device would be.
        let mut second = open("v0");
        assert!(
            second.warnings.iter().any(|w| w.contains("AF_XDP")),
            "{:?}",
            second.warnings
        );
        for tx in [&mut a.tx[0], &mut second.tx[0]] {
            assert_eq!(send(&mut **tx, &frame(60, 1), VnetHdr::NONE), SENT_ONE);
            assert_eq!(receive(&mut *b.rx[0], 1, support::ours).len(), 1);
        }
    });
}

/// While the device is down its frames are errors; nothing of them comes later.
#[test]
fn what_was_sent_to_a_device_that_is_down_does_not_come_later() {
    in_namespace(|| {
        let (v0, _) = veth("v0", "v1");
        let (mut a, mut b) = (open("v0"), open("v1"));
        vswitch_io::link::set_up(v0, false).expect("down");
        let stale: Vec<_> = (0..200).map(|n| frame(60, n)).collect();
        let out: Vec<_> = stale
            .iter()
            .map(|bytes| tx_frame(bytes, VnetHdr::NONE))
            .collect();
        for _ in 0..4 {
            let report = send_all(&mut *a.tx[0], &out);
            assert_eq!((report.sent, report.full, report.errors), (0, 0, 200));
            assert_eq!(report.last_errno, 100, "ENETDOWN");
        }
        vswitch_io::link::set_up(v0, true).expect("up");
        until("the device", || {
            send(&mut *a.tx[0], &frame(60, 777), VnetHdr::NONE) == SENT_ONE
        });
        let got = receive(&mut *b.rx[0], 1, support::ours);
        assert_eq!(got[0].bytes, frame(60, 777));
    });
}

/// I-04: several queues share the frames, each comes once.
#[test]
fn queues_of_one_port_share_its_flows() {
    in_namespace(|| {
        veth("v0", "v1");
        let mut a = open("v0");
        let spec = NicSpec {
            queues: 3,
            workers: 2,
            ring_slots: 512,
            slot_bytes: 2048,
            ..NicSpec::new("v1")
        };
        let mut b = open_nic(&spec).expect("open");
        assert_eq!((b.rx.len(), b.tx.len()), (3, 2));
        for port in 0..200_u16 {
            // UDP flows that differ by their port.
            let mut bytes = [DST.as_slice(), &SRC, &[8, 0]].concat();
            bytes.extend([
                0x45, 0, 0, 46, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
            ]);
            bytes.extend(port.to_be_bytes());
            bytes.extend([0, 9, 0, 26, 0, 0]);
            bytes.extend([0; 18]);
            assert_eq!(send(&mut *a.tx[0], &bytes, VnetHdr::NONE), SENT_ONE);
        }
        let mut counts = [0; 3];
        until("all 200", || {
            for (count, rx) in counts.iter_mut().zip(&mut b.rx) {
                *count += take(&mut **rx).expect("receive").len();
            }
            counts.iter().sum::<usize>() >= 200
        });
        assert_eq!(counts.iter().sum::<usize>(), 200);
        assert!(counts.iter().all(|&count| count > 0), "{counts:?}");
        assert_eq!(send(&mut *b.tx[1], &frame(60, 1), VnetHdr::NONE), SENT_ONE);
        assert!(receive_for(&mut *b.rx[0], Duration::from_millis(20)).is_empty());
    });
}

/// What a full device queue does not take is counted as such, at once, and nothing waits for it.
#[test]
fn a_full_device_queue_is_a_counted_drop() {
    in_namespace(|| {
        let mut unread = open_tap(&TapSpec::new("t0")).expect("tap");
        let mut port = open("t0");
        let bytes = frame(100, 1);
        let frames: Vec<_> = std::iter::repeat_n(tx_frame(&bytes, VnetHdr::NONE), 3000).collect();
        let report = send_all(&mut *port.tx[0], &frames);
        assert_eq!(
            (report.sent + report.full, report.errors),
            (3000, 0),
            "{report:?}"
        );
        assert!(report.sent >= 500 && report.full >= 1000, "{report:?}");
        let came = receive(&mut *unread.rx[0], report.sent as usize, support::ours);
        assert_eq!(
            came.len(),
            report.sent as usize,
            "what is counted as sent was sent"
        );
        assert_eq!(send(&mut *port.tx[0], &bytes, VnetHdr::NONE), SENT_ONE);
    });
}
