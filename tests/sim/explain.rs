//! What `explain` tells of a frame is what then happens to it (N-17, O-03): random configurations,
//! random histories, random frames.

use crate::BR;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use vswitch_base::{MacAddr, PortIndex, Tag, Tci, Tpid, Vid};
use vswitch_core::explain::{Step, explain};
use vswitch_core::fdb::{EntryKind, Fdb};
use vswitch_core::frame::Frame;
use vswitch_core::police::{Limit, Policer};
use vswitch_core::protect::{Claims, Protection};
use vswitch_core::snapshot::{AcceptFrames, BpduPolicy, PortFlags, PortState, PortView};
use vswitch_core::testing::{MemFrame, MemSwitch, frame, station, vid};
use vswitch_core::verdict::{DropReason, PuntReason, Verdict};
use vswitch_tests::{EXPERIMENTAL, group, reserved};

const PORTS: u16 = 5;

fn a_vid() -> impl Strategy<Value = Vid> {
    prop_oneof![Just(vid(10)), Just(vid(20)), Just(vid(30))]
}

fn a_view(number: u16) -> impl Strategy<Value = PortView> {
    let state = prop_oneof![
        1 => Just(PortState::Disabled),
        1 => Just(PortState::Blocking),
        1 => Just(PortState::Learning),
        6 => Just(PortState::Forwarding),
    ];
    let accept = prop_oneof![
        4 => Just(AcceptFrames::All),
        1 => Just(AcceptFrames::Untagged),
        1 => Just(AcceptFrames::Tagged),
    ];
    let bpdu = prop_oneof![
        Just(BpduPolicy::Contain),
        Just(BpduPolicy::Guard),
        Just(BpduPolicy::Listen),
        Just(BpduPolicy::Forward),
    ];
    let flags = (0..4u8, 0..3u8, 0..6u8, 0..5u8, any::<[bool; 4]>()).prop_map(
        |(h, i, l, s, [listens, reflects, tells_groups, tells_neighbours])| PortFlags {
            hairpin: h == 0,
            isolated: i == 0,
            learning: l != 0,
            host: s == 0,
            listens,
            reflects,
            tells_groups,
            tells_neighbours,
        },
    );
    let vlans = prop::collection::vec((a_vid(), any::<bool>()), 0..4);
    let mtu = prop_oneof![4 => Just(1_500u16), 1 => Just(50), 1 => Just(46)];
    let limit = prop_oneof![6 => Just(u32::MAX), 1 => Just(0), 1 => Just(1)];
    let floods = prop_oneof![4 => Just(7u8), 1 => 0..8u8];
    let member = prop_oneof![12 => Just(true), 1 => Just(false)];
    let first = (state, accept, bpdu, flags, vlans);
    let second = (
        proptest::option::weighted(0.8, a_vid()),
        mtu,
        limit,
        floods,
        any::<u16>(),
        member,
        a_protection(),
    );
    (first, second).prop_map(move |((state, accept, bpdu, flags, vlans), second)| {
        let (pvid, mtu, mac_limit, floods, group_fwd_mask, member, protection) = second;
        let mut view = PortView::new(PortIndex(number));
        view.bridge = member.then_some(BR);
        (view.state, view.accept, view.bpdu, view.flags) = (state, accept, bpdu, flags);
        (view.pvid, view.mtu, view.mac_limit) = (pvid, mtu, mac_limit);
        (view.floods, view.group_fwd_mask) = (floods, group_fwd_mask);
        // The same rate in and out, where there is one, of a bucket each.
        let rate = protection.as_ref().and_then(|p| p.rate.as_ref());
        view.egress_rate = rate.map(|rate| Policer {
            limit: rate.limit,
            bucket: Arc::default(),
        });
        view.protection = protection.map(Arc::new);
        for (vid, untagged) in vlans {
            view.vlans.insert(vid);
            if untagged {
                view.untagged.insert(vid);
            }
        }
        if let Some(pvid) = pvid {
            view.vlans.insert(pvid);
        }
        view
    })
}

fn a_protection() -> impl Strategy<Value = Option<Protection>> {
    let macs = prop::collection::vec(a_station().prop_map(MacAddr::word), 0..4);
    let claims = any::<bool>().prop_map(|judged| judged.then(Claims::default));
    // As good as nothing, one small frame, or any: the bucket is another in each test.
    let bursts = prop_oneof![4 => Just(None), 1 => Just(Some(1)), 1 => Just(Some(600))];
    let rate = bursts.prop_map(|burst| {
        let bucket = Arc::default();
        let limit = burst.map(|burst| Limit { rate: 1, burst });
        limit.map(|limit| Policer { limit, bucket })
    });
    let gate = proptest::option::weighted(0.2, Just(()));
    let gate = gate.prop_map(|held| held.map(|()| Arc::default()));
    let parts = (macs, any::<bool>(), claims, rate, gate);
    let protection = parts.prop_map(|(macs, spoof_check, claims, rate, gate)| Protection {
        gate,
        rate,
        macs: macs.into(),
        spoof_check,
        claims,
    });
    proptest::option::weighted(0.3, protection)
}

fn a_tag() -> impl Strategy<Value = Tag> {
    let vids = prop_oneof![
        Just(0u16),
        Just(10),
        Just(20),
        Just(30),
        Just(4095),
        0..4096u16
    ];
    let tpid = prop_oneof![4 => Just(Tpid::Dot1q), 1 => Just(Tpid::Dot1ad)];
    (tpid, vids, 0..16u16).prop_map(|(tpid, v, upper)| Tag {
        tpid,
        tci: Tci(upper << 12 | v),
    })
}

fn a_station() -> impl Strategy<Value = MacAddr> {
    (1..6u32).prop_map(station)
}

fn a_frame() -> impl Strategy<Value = MemFrame> {
    let dst = prop_oneof![
        6 => a_station(),
        2 => Just(MacAddr::BROADCAST),
        1 => (0..4u8).prop_map(group),
        2 => (0..16u8).prop_map(reserved),
        1 => Just(MacAddr::ZERO),
    ];
    let src = prop_oneof![12 => a_station(), 1 => Just(MacAddr::ZERO), 1 => Just(group(1))];
    let tags = prop::collection::vec(a_tag(), 0..3);
    let len = prop_oneof![1 => 0..14usize, 1 => 14..20usize, 6 => 40..80usize];
    (
        dst,
        src,
        tags,
        proptest::option::weighted(0.3, a_tag()),
        len,
    )
        .prop_map(|(dst, src, tags, stripped, len)| {
            let mut bytes = frame(dst, src, &tags, EXPERIMENTAL, len);
            bytes.truncate(len);
            MemFrame {
                bytes,
                stripped,
                ..MemFrame::default()
            }
        })
}

fn pinned() -> impl Strategy<Value = (Vid, MacAddr, u16, EntryKind)> {
    let kind = prop_oneof![Just(EntryKind::Static), Just(EntryKind::Local)];
    (a_vid(), a_station(), 1..PORTS + 2, kind)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// N-17
    #[test]
    fn explain_tells_what_then_happens(
        views in (a_view(1), a_view(2), a_view(3), a_view(4), a_view(5)),
        filtering in prop::bool::weighted(0.8),
        learning in prop::bool::weighted(0.9),
        pins in prop::collection::vec(pinned(), 0..3),
        history in prop::collection::vec((1..=PORTS, a_frame()), 0..12),
        flushed in 0..=PORTS,
        last in prop::collection::vec((1..=PORTS, a_frame()), 1..6),
    ) {
        let mut switch = MemSwitch::new();
        switch.bridge(0, |bridge| {
            bridge.fdb = Arc::new(Fdb::new(256, 1));
            (bridge.vlan_filtering, bridge.learning) = (filtering, learning);
        });
        let (a, b, c, d, e) = views;
        for (number, view) in (1..).zip([a, b, c, d, e]) {
            switch.add(number, view);
        }
        for (v, mac, port, kind) in pins {
            switch.fdb(0).pin(filtering.then_some(v), mac, PortIndex(port), kind).unwrap();
        }
        for (port, frame) in history {
            switch.inject(port, frame);
        }
        if flushed > 0 {
            switch.change(flushed, |port| port.epoch += 1);
        }
        for (port, frame) in last {
            agree(&mut switch, port, frame)?;
        }
    }
}

fn agree(switch: &mut MemSwitch, ingress: u16, injected: MemFrame) -> Result<(), TestCaseError> {
    drop(switch.take_sent());
    while switch.outbox.punts.take().is_some() {}
    let frame = Frame {
        bytes: &injected.bytes,
        stripped: injected.stripped,
        offload: injected.offload,
    };
    let told = explain(switch.snapshot(), PortIndex(ingress), &frame, switch.now);
    let entries: BTreeSet<_> = switch.fdb(0).entries().map(|e| format!("{e:?}")).collect();
    let again = explain(switch.snapshot(), PortIndex(ingress), &frame, switch.now);
    prop_assert_eq!(&told.steps, &again.steps, "explaining changes nothing");
    let after: BTreeSet<_> = switch.fdb(0).entries().map(|e| format!("{e:?}")).collect();
    prop_assert_eq!(entries, after, "explaining changes nothing");

    let before: Vec<_> = (1..=PORTS).map(|port| switch.totals(port)).collect();
    switch.inject(ingress, injected);
    let at = usize::from(ingress) - 1;
    let now: Vec<_> = (1..=PORTS).map(|port| switch.totals(port)).collect();

    let copies: BTreeSet<u16> = told
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Out { egress } => Some(egress.port.0),
            _ => None,
        })
        .collect();
    let sent = switch.take_sent();
    for frames in sent.values() {
        prop_assert_eq!(frames.len(), 1);
    }
    prop_assert_eq!(copies, sent.keys().copied().collect(), "{:?}", told);
    for step in &told.steps {
        if let (Step::Out { egress }, Some(class)) = (step, told.classified) {
            let bytes = &sent[&egress.port.0][0].bytes;
            prop_assert_eq!(&bytes[..6], &class.dst.mac().0[..]);
            if egress.tagged {
                let tci = u16::from_be_bytes([bytes[14], bytes[15]]);
                prop_assert_eq!((&bytes[12..14], tci), (&[0x81, 0][..], class.tci.0));
            }
        }
    }

    let ingress_drop =
        |reason: DropReason| now[at].drops[reason.index()] - before[at].drops[reason.index()];
    let egress_drops = |reason: DropReason| -> u64 {
        let drops = |i: usize| now[i].drops[reason.index()] - before[i].drops[reason.index()];
        (0..before.len()).map(drops).sum()
    };
    let punted =
        |reason: PuntReason| now[at].punts[reason.index()] - before[at].punts[reason.index()];
    match told.verdict {
        Verdict::Forward(_) | Verdict::Flood(_) => {
            prop_assert!(!sent.is_empty());
            prop_assert_eq!(now[at].frames_forwarded, before[at].frames_forwarded + 1);
        }
        Verdict::Drop(reason) if reason.is_egress() => prop_assert!(egress_drops(reason) > 0),
        Verdict::Drop(reason) => prop_assert_eq!(ingress_drop(reason), 1, "{:?}", told),
        Verdict::Punt(reason) => prop_assert_eq!(punted(reason), 1),
    }
    Ok(())
}
