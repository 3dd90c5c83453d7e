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
        const SLOTS: usize = 62;
        let spec = NicSpec {
            ring_slots: 62,
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

/// A frame that the device refuses is counted as an error; those around it are sent.
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
        assert_eq!((report.sent, report.full, report.errors), (3, 0, 2));
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
