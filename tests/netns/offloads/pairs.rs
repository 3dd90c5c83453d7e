//! Every pair of port kinds: what comes in unfinished arrives whole where the far end takes it, and as
//! segments where it does not; what does not fit the MTU when it is cut is dropped.
//!
//! The far ends are the other end of a veth pair, and the devices of TAPs, in their hosts and on the
//! node. Each sends and receives by a packet socket with a virtio-net header.

use super::lane::{FORMS, Form, Got, SRC, VLAN, behind, knows_udp_segmentation};
use super::{is_cut_by_devices, same};
use crate::lab::{Lab, Switch, run};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use vswitch_base::{EtherType, MacAddr, Tag};
use vswitch_core::frame::{Frame, FrameBatch, TxFrame, TxHeader, TxList};
use vswitch_core::offload::Finisher;
use vswitch_core::port::TxCaps;
use vswitch_core::testing::{MemFrame, frame};
use vswitch_io::{NetNs, NicSpec, OpenedPort, open_nic};
use vswitch_tests::unfinished::Unfinished;

/// To all, the node among them.
const DST: MacAddr = MacAddr::BROADCAST;
/// The EtherType of markers.
const MARKER: EtherType = EtherType(0x88b5);
/// Looks at the ring, a millisecond apart, before a marker counts as lost: a minute.
const LOOKS: u32 = 60_000;

/// The far end of a port.
struct End {
    /// The port's name: its kind and form.
    port: String,
    form: Form,
    opened: OpenedPort,
    received: Vec<MemFrame>,
}

impl End {
    fn open(netns: &str, device: &str, port: &str, form: Form) -> Self {
        let netns = NetNs::open(&Path::new("/run/netns").join(netns)).expect("a namespace");
        let spec = NicSpec {
            // What was cut is to be seen as it was cut.
            gro: false,
            ..NicSpec::new(device)
        };
        let opened = netns.run(|| Ok(open_nic(&spec).expect("the far end")));
        Self {
            port: port.to_owned(),
            form,
            opened: opened.expect("the namespace"),
            received: Vec::new(),
        }
    }

    fn send(&mut self, frame: &MemFrame) {
        let (addresses, rest) = frame.bytes.split_first_chunk().expect("addresses");
        let out = TxFrame {
            header: TxHeader::new(addresses),
            rest,
            offload: frame.offload,
        };
        let report = self.opened.tx[0].send(TxList::all(&[out]));
        assert_eq!((report.sent, report.uncut), (1, false), "{report:?}");
    }

    /// Frames that came before a marker.
    fn until_marker(&mut self, number: u32) -> Vec<MemFrame> {
        for _ in 0..LOOKS {
            let rx = &mut self.opened.rx[0];
            let mut batch = FrameBatch::new();
            rx.receive(&mut batch).expect("a device that lives");
            self.received.extend(batch.iter().map(in_band));
            drop(batch);
            rx.release();
            let mut frames = self.received.iter();
            if let Some(at) = frames.position(|f| is_marker(f, number)) {
                let mut got: Vec<MemFrame> = self.received.drain(..=at).collect();
                got.retain(|frame| frame.bytes[6..12] == SRC.0 && !is_any_marker(frame));
                return got;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("{}: no marker after {:?}", self.port, self.received);
    }
}

/// A received frame with its tag in its place.
fn in_band(frame: &Frame<'_>) -> MemFrame {
    let Some(tag) = frame.stripped else {
        return MemFrame {
            bytes: frame.bytes.to_vec(),
            stripped: None,
            offload: frame.offload,
        };
    };
    let (addresses, rest) = frame.bytes.split_first_chunk().expect("addresses");
    let header = TxHeader::with_tags(addresses, Some(tag), None);
    MemFrame {
        bytes: [header.as_slice(), rest].concat(),
        stripped: None,
        offload: frame.offload.shifted(12, 12 + Tag::LEN),
    }
}

fn is_any_marker(frame: &MemFrame) -> bool {
    let at = if frame.bytes.get(12..14) == Some(&[0x81, 0]) {
        16
    } else {
        12
    };
    frame.bytes.get(at..at + 2) == Some(&MARKER.0.to_be_bytes())
}

fn is_marker(frame: &MemFrame, number: u32) -> bool {
    is_any_marker(frame) && frame.bytes.ends_with(&number.to_be_bytes())
}

/// A switch with a port of each kind and form, and their far ends.
struct Pairs {
    ends: Vec<End>,
    switch: Switch,
    markers: u32,
    uso: bool,
    lab: Lab,
}

impl Pairs {
    fn new() -> Self {
        let mut lab = Lab::new();
        for ns in ["sw", "far"] {
            let ns = lab.namespace(ns);
            run(&format!(
                "ip netns exec {ns} sysctl -qw net.ipv6.conf.default.disable_ipv6=1"
            ));
        }
        let far = lab.ns("far");
        let mut config = "[daemon]\nworkers = 1\n[bridge.br0]\n".to_owned();
        for (letter, vlan) in [
            ('u', format!("vlan = {VLAN}")),
            ('t', format!("trunk = [{VLAN}]")),
        ] {
            lab.veth(
                "sw",
                &format!("veth{letter}"),
                "far",
                &format!("eth{letter}"),
            );
            run(&format!("ip -n {far} link set eth{letter} up"));
            config += &format!(
                "[port.veth{letter}]\nkind = \"nic\"\nbridge = \"br0\"\n{vlan}\n\
                 [port.tap{letter}]\nkind = \"tap\"\nnetns = \"{far}\"\nbridge = \"br0\"\n{vlan}\n\
                 [host.host{letter}]\nbridge = \"br0\"\n{vlan}\n"
            );
        }
        let switch = lab.switch("sw", &config);
        let sw = lab.ns("sw");
        let mut ends = Vec::new();
        for (letter, form) in ['u', 't'].into_iter().zip(FORMS) {
            for (netns, device, port) in [
                (&far, "eth", "veth"),
                (&far, "tap", "tap"),
                (&sw, "host", "host"),
            ] {
                let (device, port) = (format!("{device}{letter}"), format!("{port}{letter}"));
                ends.push(End::open(netns, &device, &port, form));
            }
        }
        Self {
            ends,
            switch,
            markers: 0,
            uso: knows_udp_segmentation(&lab, "far"),
            lab,
        }
    }

    /// Sends a frame by each end in turn, and has `check` look at what every other end got.
    fn exchange(&mut self, unfinished: &Unfinished, check: impl Fn(&End, &End, &[MemFrame])) {
        for from in 0..self.ends.len() {
            self.markers += 1;
            let number = self.markers;
            let sender = &mut self.ends[from];
            let form = sender.form;
            sender.send(&behind(form.tag(), unfinished));
            let tags: Vec<Tag> = form.tag().into_iter().collect();
            let mut marker = frame(DST, SRC, &tags, MARKER, 60);
            marker.extend(number.to_be_bytes());
            sender.send(&marker.into());
            for to in (0..self.ends.len()).filter(|to| *to != from) {
                let got = self.ends[to].until_marker(number);
                check(&self.ends[from], &self.ends[to], &got);
            }
        }
    }

    /// Copies that were too large for a port, so far.
    fn oversize(&self, port: &str) -> u64 {
        let parameters = json!({"port": port, "reason": "tx-oversize"});
        let reply = self.switch.call("io.vswitch.Stats.Drops", parameters);
        let rows = reply["drops"].as_array().expect("rows");
        rows.iter().filter_map(|row| row["frames"].as_u64()).sum()
    }
}

/// Frames of each type of segmentation that the kernel knows, and of none, with segments for that MTU.
fn frames(pairs: &Pairs, mtu: usize) -> Vec<Unfinished> {
    let tcp4 = |payload, mss| Unfinished::tcp4(DST, SRC, payload, mss);
    let tcp6 = |payload, mss| Unfinished::tcp6(DST, SRC, payload, mss);
    let mss = |headers: usize| u16::try_from(mtu - headers).ok();
    let mut frames = vec![
        tcp4(mtu - 40, None),
        tcp6(500, None).udp(),
        tcp4(60_000, mss(40)),
        Unfinished {
            ecn: true,
            ..tcp4(9_001, mss(40))
        },
        tcp6(60_000, mss(60)),
    ];
    if pairs.uso {
        frames.push(tcp4(40_000, mss(28)).udp());
        frames.push(tcp6(40_000, mss(48)).udp());
    }
    frames
}

fn of_devices(frame: &MemFrame) -> Got {
    Got::new(&frame.offload, &frame.bytes)
}

/// I-02, I-05, S-04
#[test]
fn large_frames_arrive_whole_between_all_kinds_of_ports() {
    let mut pairs = Pairs::new();
    for unfinished in frames(&pairs, 1_500) {
        assert!(is_cut_by_devices(&unfinished));
        pairs.exchange(&unfinished, |from, to, got| {
            let way = || format!("{} to {}: {unfinished:?}", from.port, to.port);
            let expected = behind(from.form.tag_on(to.form), &unfinished);
            let got_all: Vec<Got> = got.iter().map(of_devices).collect();
            same(&[of_devices(&expected)], &got_all, way);
            // A hint, but one that readers take memory by: the headers are within it.
            if got[0].offload.is_gso() {
                let headers = usize::from(got[0].offload.hdr_len);
                let data = usize::from(expected.offload.hdr_len);
                assert!(
                    (data..=got[0].bytes.len()).contains(&headers),
                    "{}: {headers}",
                    way()
                );
            }
        });
    }
}

/// I-02: a device that does not cut, or not even sum, gets what it can send; all others whole frames.
#[test]
fn large_frames_leave_as_segments_where_the_device_does_not_cut() {
    const CUTS_NOT: TxCaps = TxCaps {
        checksum: true,
        ..TxCaps::NONE
    };
    let mut pairs = Pairs::new();
    let sw = pairs.lab.ns("sw");
    for (features, caps) in [
        ("tso off tx-udp-segmentation off", CUTS_NOT),
        ("tx off", TxCaps::NONE),
    ] {
        for device in ["vethu", "vetht"] {
            run(&format!(
                "ip netns exec {sw} ethtool -K {device} {features}"
            ));
        }
        for unfinished in frames(&pairs, 1_500) {
            pairs.exchange(&unfinished, |from, to, got| {
                let got: Vec<Got> = got.iter().map(of_devices).collect();
                let way = || format!("{} to {}, {features}: {unfinished:?}", from.port, to.port);
                let whole = behind(from.form.tag_on(to.form), &unfinished);
                let caps = if to.port.starts_with("veth") {
                    caps
                } else {
                    TxCaps::ALL
                };
                same(&finished(&whole, caps), &got, way);
            });
        }
    }
}

/// What our own finisher makes of a frame, which other tests compare with the kernel.
fn finished(frame: &MemFrame, caps: TxCaps) -> Vec<Got> {
    let (addresses, rest) = frame.bytes.split_first_chunk().expect("addresses");
    let whole = TxFrame {
        header: TxHeader::new(addresses),
        rest,
        offload: frame.offload,
    };
    let mut finisher = Finisher::new();
    let segments = finisher.finish(&whole, caps).expect("an honest frame");
    segments
        .map(|s| Got::new(&s.offload, &[s.header.as_slice(), s.rest].concat()))
        .collect()
}

/// I-02, I-09, L-06: the largest segment decides, for every kind of port, whatever its far end takes.
#[test]
fn frames_whose_segments_do_not_fit_are_dropped_and_counted() {
    let mut pairs = Pairs::new();
    let before: Vec<u64> = pairs
        .ends
        .iter()
        .map(|end| pairs.oversize(&end.port))
        .collect();
    let mut sent = 0;
    for mut unfinished in frames(&pairs, 1_501) {
        if unfinished.mss.is_none() {
            continue; // The sender's own device refuses it.
        }
        sent += 1;
        pairs.exchange(&unfinished, |from, to, got| {
            assert!(
                got.is_empty(),
                "{} to {}: {unfinished:?}",
                from.port,
                to.port
            );
        });
        // The tag is not counted, nor is anything but the largest segment.
        unfinished.mss = unfinished.mss.map(|mss| mss - 1);
        pairs.exchange(&unfinished, |from, to, got| {
            assert_eq!(got.len(), 1, "{} to {}: {unfinished:?}", from.port, to.port);
            assert!(got[0].offload.is_gso());
        });
    }
    // Once for each of the other ends.
    let others = u64::try_from(pairs.ends.len() - 1).expect("five");
    for (end, before) in pairs.ends.iter().zip(before) {
        assert_eq!(
            pairs.oversize(&end.port) - before,
            sent * others,
            "{}",
            end.port
        );
    }
    pairs.switch.assert_conserved();
}

/// I-02, S-04: a stack with default offloads reaches a host behind a device that does not cut.
#[test]
fn tcp_passes_a_device_that_does_not_cut() {
    let mut lab = Lab::new();
    let switch = lab.veth_and_tap();
    let sw = lab.ns("sw");
    for features in ["tso off tx-udp-segmentation off", "tx off"] {
        run(&format!("ip netns exec {sw} ethtool -K pa {features}"));
        for address in ["10.0.0.1", "fd00::1"] {
            let tcp = lab.tcp("b", "a", address);
            assert!(tcp.is_healthy(), "{features}, to {address}: {tcp:?}");
        }
    }
    switch.assert_conserved();
}
