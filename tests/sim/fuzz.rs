//! 200,000 random and mutated frames of any length through ports of every kind: no panic, no frame
//! lost or counted twice, nothing grows, and nothing leaves that its device could not send.

use crate::{BR, trunk};
use std::sync::Arc;
use vswitch_base::{BridgeIndex, MacAddr, PortIndex, Tag, Tci, Tpid};
use vswitch_core::fdb::Fdb;
use vswitch_core::frame::{TxFrame, TxHeader, VnetHdr};
use vswitch_core::offload::needs_finishing;
use vswitch_core::port::TxCaps;
use vswitch_core::snapshot::{AcceptFrames, BpduPolicy, PortView};
use vswitch_core::testing::{MemFrame, MemSwitch, frame, station, vid};
use vswitch_tests::packets::tcp4;
use vswitch_tests::rng::Rng;
use vswitch_tests::{EXPERIMENTAL, group, reserved};

const FRAMES: usize = 200_000;
/// Injected before the worker runs: several batches, and one that is not full.
const BURST: usize = 150;
const LEARNED_MAX: u32 = 1_024;

fn caps(number: u16) -> TxCaps {
    let bit = |b: u16| number >> b & 1 != 0;
    TxCaps {
        checksum: bit(0),
        tso4: bit(1),
        tso6: bit(2),
        uso: bit(3),
    }
}

/// Ports 0 to 15 with every combination of capabilities; 12 to 15 on a bridge without filtering.
fn switch_of_all_kinds() -> MemSwitch {
    let mut switch = MemSwitch::new();
    switch.bridge(0, |bridge| bridge.fdb = Arc::new(Fdb::new(LEARNED_MAX, 5)));
    switch.bridge(1, |bridge| {
        bridge.fdb = Arc::new(Fdb::new(LEARNED_MAX, 6));
        bridge.vlan_filtering = false;
    });
    for number in 0..16 {
        let mut view = match number % 4 {
            0 => PortView::access(PortIndex(number), BR, vid(10)),
            1 => trunk(number, &[10, 20]),
            2 => PortView::access(PortIndex(number), BR, vid(20)),
            _ => {
                let mut hybrid = trunk(number, &[10, 20, 4094]);
                hybrid.pvid = Some(vid(10));
                hybrid.untagged.insert(vid(20));
                hybrid
            }
        };
        if number >= 12 {
            view.bridge = Some(BridgeIndex(1));
        }
        view.mtu = [1_500, 9_000, 65_535, 600][usize::from(number) / 4];
        view.mac_limit = if number == 5 { 16 } else { u32::MAX };
        view.group_fwd_mask = if number == 6 { 0xfffc } else { 0 };
        view.flags.hairpin = number == 7;
        view.flags.listens = number == 8;
        view.flags.isolated = number == 9 || number == 10;
        view.accept = if number == 4 {
            AcceptFrames::Untagged
        } else {
            AcceptFrames::All
        };
        view.bpdu = [
            BpduPolicy::Contain,
            BpduPolicy::Listen,
            BpduPolicy::Guard,
            BpduPolicy::Forward,
        ][usize::from(number) % 4];
        switch.add_with(number, view, caps(number));
    }
    switch
}

fn any_tag(rng: &mut Rng) -> Tag {
    let tpid = if rng.once_in(4) {
        Tpid::Dot1ad
    } else {
        Tpid::Dot1q
    };
    let tci = if rng.once_in(2) {
        rng.word()
    } else {
        rng.pick(&[0, 10, 20, 4094, 4095])
    };
    Tag {
        tpid,
        tci: Tci(tci),
    }
}

fn any_address(rng: &mut Rng) -> MacAddr {
    match rng.below(8) {
        0 => MacAddr::BROADCAST,
        1 => group(rng.byte()),
        2 => reserved(rng.byte() & 15),
        3 => MacAddr::from_u64(rng.bits() >> 16),
        _ => station(u32::from(rng.byte())),
    }
}

fn any_len(rng: &mut Rng) -> usize {
    match rng.below(60) {
        0 => rng.below(70_001),
        1..=6 => rng.below(64),
        _ => rng.below(2_049),
    }
}

fn any_offload(rng: &mut Rng) -> VnetHdr {
    VnetHdr {
        flags: rng.byte() & if rng.once_in(2) { 1 } else { 0xff },
        gso_type: rng.pick(&[0, 0, 1, 3, 4, 5, 0x80, 0x81, 0x85, 9]),
        hdr_len: rng.word(),
        gso_size: if rng.once_in(2) {
            rng.word()
        } else {
            rng.pick(&[0, 1, 8, 536, 1_460])
        },
        csum_start: if rng.once_in(3) {
            rng.word()
        } else {
            rng.pick(&[14, 34, 38, 54, 58])
        },
        csum_offset: if rng.once_in(3) {
            rng.word()
        } else {
            rng.pick(&[6, 16])
        },
    }
}

/// Random bytes; a well-formed frame; a TCP packet with an honest request; then, often, damage.
fn any_frame(rng: &mut Rng) -> MemFrame {
    let (dst, src) = (any_address(rng), station(rng.word().into()));
    let tags: Vec<Tag> = (0..rng.pick(&[0, 0, 1, 1, 2]))
        .map(|_| any_tag(rng))
        .collect();
    let mut made = match rng.below(5) {
        0 => {
            let mut bytes = vec![0; any_len(rng)];
            rng.fill(&mut bytes);
            MemFrame::from(bytes)
        }
        1 | 2 => {
            let payload = any_len(rng).min(65_000);
            let mss = rng.pick(&[None, Some(1_460), Some(536), Some(8_948)]);
            tcp4(dst, src, &tags, payload, mss)
        }
        _ => {
            let mut bytes = frame(dst, src, &tags, EXPERIMENTAL, 60);
            let len = any_len(rng);
            bytes.resize(len, 0xa5);
            MemFrame::from(bytes)
        }
    };
    if rng.once_in(3) {
        made.stripped = Some(any_tag(rng));
    }
    if rng.once_in(6) {
        made.offload = any_offload(rng);
    }
    for _ in 0..rng.pick(&[0, 0, 0, 1, 3]) {
        if !made.bytes.is_empty() {
            let at = rng.below(made.bytes.len().min(80));
            made.bytes[at] = rng.byte();
        }
    }
    if rng.once_in(10) {
        made.bytes.truncate(rng.below(made.bytes.len() + 1));
    }
    made
}

/// N-17, B-15, I-02
#[test]
fn random_frames_do_no_harm() {
    let mut rng = Rng::from_env("fuzz");
    let mut switch = switch_of_all_kinds();
    let memory = switch.fdb(0).memory_bytes();
    for burst in 0..FRAMES / BURST + 1 {
        for _ in 1..BURST {
            let port = u16::try_from(rng.below(16)).unwrap();
            switch.wire(port).put(any_frame(&mut rng));
        }
        let port = u16::try_from(rng.below(16)).unwrap();
        let last = any_frame(&mut rng);
        switch.inject(port, last);
        for (port, frames) in switch.take_sent() {
            let mtu = switch.snapshot().port(PortIndex(port)).unwrap().mtu;
            frames.iter().for_each(|frame| may_leave(port, mtu, frame));
        }
        if burst % 64 == 0 {
            switch.assert_conserved();
            while switch.outbox.punts.take().is_some() {}
        }
    }
    for bridge in [0, 1] {
        let stats = switch.fdb(bridge).stats();
        assert!(stats.entries <= LEARNED_MAX, "{stats:?}");
        assert!(stats.evicted > 0, "the table was full: {stats:?}");
        assert_eq!(switch.fdb(bridge).memory_bytes(), memory);
    }
    let total: u64 = (0..16).map(|port| switch.totals(port).frames_in).sum();
    assert!(total >= FRAMES as u64);
    for port in 0..16 {
        let totals = switch.totals(port);
        assert!(
            totals.frames_out > 0 && totals.ingress_drops() > 0,
            "port {port} took part"
        );
    }
}

/// What a device is handed it can send: offsets inside the frame, nothing left to do beyond its
/// capabilities, no more bytes than its MTU unless it cuts.
fn may_leave(port: u16, mtu: u16, frame: &MemFrame) {
    let len = frame.bytes.len();
    assert!(len >= 14, "port {port}: {len} bytes");
    let hdr = frame.offload;
    if hdr.needs_csum() || hdr.is_gso() {
        assert!(hdr.is_plausible(len), "port {port}: {hdr:?} of {len} bytes");
    }
    let (addresses, rest) = frame.bytes.split_first_chunk().unwrap();
    let whole = TxFrame {
        header: TxHeader::new(addresses),
        rest,
        offload: hdr,
    };
    assert!(!needs_finishing(&whole, caps(port)), "port {port}: {hdr:?}");
    if !hdr.is_gso() {
        assert!(
            len <= usize::from(mtu) + 14 + Tag::LEN,
            "port {port}: {len} bytes, MTU {mtu}"
        );
    }
}
