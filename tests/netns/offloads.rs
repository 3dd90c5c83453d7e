//! Checksums and segments that a sender left to do, finished by the kernel and by us: the same frames,
//! byte for byte.
//!
//! The same unfinished frame goes three ways to machines that can finish nothing, checksums, or all:
//!
//! ```text
//!   machine ─ TAP ─ kernel bridge ──────────────── TAP ─ machine    the kernel cuts and sums
//!   machine ─ TAP ─ AF_PACKET ─ vswitchd ─ AF_PACKET ─ TAP ─ machine    we cut, the kernel sums
//!   ports of memory, the data plane between them                       we cut and sum
//! ```
//!
//! Where they differ, and why:
//!
//! * A TCP segment whose checksum is 0 is spelled 0 by the kernel when it cuts, and 0xffff when it
//!   completes a checksum. The daemon cuts for a device that sums, or whose kernel does, so its segments
//!   are completed: 0xffff. Both are the same sum (RFC 1071), and no receiver tells them apart.
//! * Frames of 64 KB and more are cut for every device by the kernel (`gso_max_size`), and a request to
//!   cut what is one segment is forgotten at its entrance; ports of memory get both as they are.
//!
//! | module | what |
//! | --- | --- |
//! | [`lane`] | machines, ways and markers |
//! | [`kernel`], [`ours`] | the three switches |
//! | [`hostile`] | frames that contradict their requests |
//! | [`pairs`] | every kind of port to every other, whole and cut, and the MTU |
//! | [`tunnels`] | frames in a pod's VXLAN |

mod hostile;
mod kernel;
mod lane;
mod ours;
mod pairs;
mod tunnels;

use crate::lab::Lab;
use kernel::Kernel;
use lane::{DST, FORMS, Form, Got, MTU, SRC, WAYS, behind};
use ours::{Daemon, Memory};
use vswitch_base::{Tag, Tci, Tpid};
use vswitch_core::port::TxCaps;
use vswitch_core::testing::dot1q;
use vswitch_tests::rng::Rng;
use vswitch_tests::unfinished::{ACK, CWR, ECE, FIN, Network, PSH, Transport, Unfinished};

/// Random frames, each sent once tagged or untagged.
const RANDOM: usize = 1_000;
/// Always the same: a difference must not come and go.
const SEED: u64 = 0x0ff1_0ad5;

/// The three switches.
struct Three {
    kernel: Kernel,
    daemon: Daemon,
    memory: Memory,
    /// TCP checksums of zero that the daemon's segments spelled 0xffff.
    respelled: usize,
    /// Before the namespaces of the others go.
    _lab: Lab,
}

impl Three {
    fn new() -> Self {
        let mut lab = Lab::new();
        Self {
            kernel: Kernel::new(&mut lab),
            daemon: Daemon::new(&mut lab),
            memory: Memory::new(),
            respelled: 0,
            _lab: lab,
        }
    }

    /// Sends a frame through all three and gives the kernel's answer.
    ///
    /// # Panics
    /// When one of ours is not the same.
    fn agree(&mut self, form: Form, frame: &Unfinished) -> Vec<Vec<Got>> {
        let kernel = self.kernel.pass(form, frame);
        let daemon = self.daemon.pass(form, frame);
        let memory = self.memory.pass(form, frame);
        let kernel = kernel.unwrap_or_else(|e| panic!("the kernel refuses {frame:?}: {e}"));
        let mut daemon = daemon.unwrap_or_else(|e| panic!("the kernel refuses {frame:?}: {e}"));
        self.respelled += respell(form, frame, &kernel, &mut daemon);
        for (answer, who) in [(&daemon, "the daemon"), (&memory, "the data plane")] {
            for (way, (expected, got)) in WAYS.iter().zip(kernel.iter().zip(answer)) {
                // Ports of memory take whole what a device would not, and as it is.
                let as_it_is = !is_cut_by_devices(frame) && way.caps == TxCaps::ALL;
                if who == "the data plane" && as_it_is {
                    continue;
                }
                same(expected, got, || {
                    format!("{who}, in {form:?}, out {way:?}: {frame:?}")
                });
            }
        }
        kernel
    }

    /// The same for both ways of tagging.
    fn agree_both(&mut self, frame: &Unfinished) {
        for form in FORMS {
            let answer = self.agree(form, frame);
            assert!(
                answer.iter().all(|got| !got.is_empty()),
                "{frame:?} is lost"
            );
        }
    }
}

/// The first of the listed differences, undone: see [`self`]. How often it was found.
fn respell(form: Form, frame: &Unfinished, kernel: &[Vec<Got>], daemon: &mut [Vec<Got>]) -> usize {
    if frame.mss.is_none() || frame.transport == Transport::Udp {
        return 0;
    }
    let mut found = 0;
    for (way, (expected, got)) in WAYS.iter().zip(kernel.iter().zip(daemon)) {
        let at = behind(form.tag_on(way.form), frame).offload.csum_start + 16;
        let place = usize::from(at)..usize::from(at) + 2;
        for (expected, got) in expected.iter().zip(got) {
            let spelled = (
                expected.bytes.get(place.clone()),
                got.bytes.get(place.clone()),
            );
            if spelled == (Some(&[0, 0]), Some(&[0xff, 0xff])) && got.sum.is_none() {
                got.bytes[place.clone()].fill(0);
                found += 1;
            }
        }
    }
    found
}

/// Whether devices that cut get the frame whole. Linux cuts frames of 64 KB for each (`gso_max_size`) and
/// takes a request to cut what is one segment for none.
fn is_cut_by_devices(frame: &Unfinished) -> bool {
    let fits = frame.data() + frame.payload.len() + Tag::LEN <= usize::from(u16::MAX);
    fits && frame.mss.is_none_or(|mss| frame.payload.len() > mss.into())
}

fn same(expected: &[Got], got: &[Got], what: impl Fn() -> String) {
    for (i, (expected, got)) in expected.iter().zip(got).enumerate() {
        let differing = expected
            .bytes
            .iter()
            .zip(&got.bytes)
            .position(|(a, b)| a != b);
        assert!(
            expected == got,
            "{}\nframe {i}, first different byte {differing:?}\nkernel {expected:?}\nours   {got:?}",
            what()
        );
    }
    assert_eq!(expected.len(), got.len(), "{}: number of frames", what());
}

fn tcp(payload: usize, mss: Option<u16>) -> Unfinished {
    Unfinished::tcp4(DST, SRC, payload, mss)
}

fn tcp6(payload: usize, mss: Option<u16>) -> Unfinished {
    Unfinished::tcp6(DST, SRC, payload, mss)
}

/// The same with other TCP options and flags.
fn with(frame: Unfinished, new_flags: u8, new_options: &[u8]) -> Unfinished {
    let transport = Transport::Tcp {
        sequence: u32::MAX - 1_500,
        reserved: 0,
        flags: new_flags,
        options: new_options.to_vec(),
    };
    Unfinished { transport, ..frame }
}

/// I-02: each part of a header that cutting changes or must not change, and sizes around one segment.
#[test]
fn frames_are_finished_as_the_kernel_does() {
    const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut three = Three::new();
    let uso = three.kernel.lane.uso;
    let mut frames = Vec::new();
    for base in [tcp, tcp6] {
        // Only a checksum to complete; with an odd number of bytes, with none.
        for payload in [0, 1, 2, 3, 555, 1_400] {
            frames.push(base(payload, None));
            frames.push(base(payload, None).udp());
        }
        // Around one segment and around several; an odd last one; the longest packet.
        for payload in [1_449, 1_450, 2_895, 2_896, 2_897, 5_001, 65_000] {
            frames.push(base(payload, Some(1_448)));
            if uso {
                frames.push(base(payload, Some(1_448)).udp());
            }
        }
        // Segments of odd length: checksums of the parts at odd offsets.
        frames.push(base(1_000, Some(333)));
        // Timestamps and flags of the first, the last, and all segments.
        for flags in [ACK, ACK | FIN, ACK | PSH, ACK | CWR, ACK | ECE | CWR, 0xff] {
            frames.push(with(base(4_000, Some(1_400)), flags, &TIMESTAMPS));
            frames.push(Unfinished {
                ecn: true,
                ..with(base(4_000, Some(1_400)), flags, &TIMESTAMPS)
            });
        }
        frames.push(with(base(4_000, Some(1_400)), ACK, &[1; 40]));
    }
    // IPv4: options, identifications that wrap, with and without "do not fragment".
    for (id, fragment) in [(0, 0x4000), (0xffff, 0x4000), (0xfffe, 0), (7, 0x8000)] {
        for options in [0, 4, 40] {
            let network = Network::V4 {
                tos: 0xff,
                id,
                fragment,
                options: vec![1; options],
                checksum: None,
            };
            frames.push(Unfinished {
                network,
                ..tcp(5_000, Some(1_300))
            });
        }
    }
    // IPv6: extension headers, alone and all.
    let padded = |len: usize| {
        let mut body = vec![0; len - 1];
        body[0] = u8::try_from(len / 8 - 1).unwrap();
        body[1] = 1;
        body[2] = u8::try_from(len - 4).unwrap();
        body
    };
    let (hop, to, route) = ((0, padded(16)), (60, padded(8)), (43, vec![0; 7]));
    for extensions in [
        vec![hop.clone()],
        vec![to.clone()],
        vec![route.clone()],
        vec![hop, to.clone(), route, to],
    ] {
        let network = Network::V6 {
            flow: 0x0fff_ffff,
            extensions,
        };
        for (payload, mss) in [(800, None), (5_000, Some(1_300))] {
            let frame = Unfinished {
                network: network.clone(),
                ..tcp6(payload, mss)
            };
            if uso || mss.is_none() {
                frames.push(frame.clone().udp());
            }
            frames.push(frame);
        }
    }
    // Tags behind the VLAN's: a customer's and a provider's.
    let service = Tag {
        tpid: Tpid::Dot1ad,
        tci: Tci(0x0123),
    };
    for tags in [vec![service], vec![service, dot1q(77)]] {
        frames.push(Unfinished {
            tags: tags.clone(),
            ..tcp(5_000, Some(1_300))
        });
        frames.push(Unfinished {
            tags,
            ..tcp6(500, None)
        });
    }
    for frame in &frames {
        three.agree_both(frame);
    }
    assert_eq!(three.respelled, 0, "none of them has a checksum of zero");
}

/// I-02: small segments, as many as a frame of 64 KB gives at the smallest MSS.
#[test]
fn very_many_segments_are_cut_as_the_kernel_does() {
    let mut three = Three::new();
    for (payload, mss) in [(65_000, 536), (60_000, 88), (65_000, 48)] {
        let answer = three.agree(Form::Untagged, &tcp(payload, Some(mss)));
        assert_eq!(answer[0].len(), payload.div_ceil(mss.into()));
    }
    if three.kernel.lane.uso {
        let answer = three.agree(Form::Tagged, &tcp6(128 * 100, Some(100)).udp());
        assert_eq!(answer[1].len(), 128);
    }
}

/// I-02: what is one segment already is only completed, an unfinished IP header left as it is.
#[test]
fn frames_of_one_segment_are_completed_as_the_kernel_does() {
    let mut three = Three::new();
    for payload in [0, 1, 999, 1_000] {
        for frame in [tcp(payload, Some(1_000)), tcp6(payload, Some(1_000))] {
            three.agree_both(&frame);
            if three.kernel.lane.uso {
                three.agree_both(&frame.udp());
            }
        }
    }
    let mut unsummed = tcp(1_000, Some(1_000));
    if let Network::V4 { checksum, .. } = &mut unsummed.network {
        *checksum = Some(0);
    }
    three.agree_both(&unsummed);
}

/// I-02
#[test]
fn random_frames_are_finished_as_the_kernel_does() {
    let mut three = Three::new();
    let uso = three.kernel.lane.uso;
    let mut rng = Rng::new(SEED);
    for i in 0..RANDOM {
        let frame = Unfinished::random(&mut rng, DST, SRC, MTU as usize, uso);
        let form = rng.pick(&FORMS);
        let answer = three.agree(form, &frame);
        let counts: Vec<usize> = answer.iter().map(Vec::len).collect();
        assert!(
            counts.iter().all(|n| *n > 0),
            "frame {i}: {counts:?} of {frame:?}"
        );
    }
}

/// I-02: a checksum of zero is written as UDP wants it, and as the kernel does for TCP: 0xffff for a
/// frame that is completed, 0 for a segment.
#[test]
fn checksums_of_zero_are_spelled_as_the_kernel_does() {
    let mut three = Three::new();
    let uso = three.kernel.lane.uso;
    for base in [tcp, tcp6] {
        for (payload, mss) in [(400, None), (400, Some(200))] {
            for udp in [false, true] {
                if udp && mss.is_some() && !uso {
                    continue;
                }
                let mut frame = base(payload, mss);
                if udp {
                    frame = frame.udp();
                }
                frame.payload = vec![0; payload];
                // What the first segment's sum lacks to zero is its checksum.
                let answer = three.agree(Form::Untagged, &frame);
                assert_eq!(three.respelled, 0);
                let at = frame.l4() + if udp { 6 } else { 16 };
                let checksum = &answer[0][0].bytes[at..at + 2];
                frame.payload[..2].copy_from_slice(checksum);
                let answer = three.agree(Form::Untagged, &frame);
                let spelled =
                    u16::from_be_bytes([answer[0][0].bytes[at], answer[0][0].bytes[at + 1]]);
                let segment_of_tcp = !udp && mss.is_some();
                assert_eq!(
                    spelled,
                    if segment_of_tcp { 0 } else { 0xffff },
                    "{frame:?}"
                );
                // The ways to machines that finish nothing: untagged and tagged.
                let ways = if segment_of_tcp { 2 } else { 0 };
                assert_eq!(std::mem::take(&mut three.respelled), ways, "{frame:?}");
            }
        }
    }
}
