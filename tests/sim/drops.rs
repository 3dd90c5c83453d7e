//! Every drop reason is produced by a test and counted where its kind says (N-17).

use crate::protect::{lie, of_guest, of_station};
use crate::{BR, access, lan, trunk};
use std::collections::BTreeSet;
use std::sync::Arc;
use vswitch_base::{MacAddr, PortIndex};
use vswitch_core::bond::{Admits, Copies, Once, Share, Transmit};
use vswitch_core::frame::{FrameBatch, VnetHdr};
use vswitch_core::mailbox::WorkerCommand;
use vswitch_core::police::{Limit, Policer};
use vswitch_core::port::{PortRx, PortTx, RxLosses, TxCaps, TxReport};
use vswitch_core::protect::Protection;
use vswitch_core::queue::{QueueId, RxQueue};
use vswitch_core::snapshot::{AcceptFrames, PortState, PortView};
use vswitch_core::testing::{MemFrame, MemSwitch, dot1q, frame, station, vid};
use vswitch_core::verdict::DropReason;
use vswitch_tests::packets::tcp4;
use vswitch_tests::{broadcast, dropped, hear, plain, reserved, tagged};

/// A rate that lets nothing pass.
const NOTHING: Limit = Limit { rate: 1, burst: 1 };

/// Makes a switch drop one frame, or one copy, for `reason`; returns it with the port that counts.
///
/// A match without a catch-all: a new reason does not compile before it has a producer here.
fn produce(reason: DropReason) -> (MemSwitch, u16) {
    let mut switch = lan(2);
    hear(&mut switch, 2, 2);
    let to_2 = || plain(station(2), station(1));
    let counted_at = match reason {
        DropReason::Runt => inject(&mut switch, vec![1; 13]),
        DropReason::RxRingFull | DropReason::RxTruncated => {
            let (port, number) = (PortIndex(1), 1);
            let rx = Box::new(LosingQueue(RxLosses {
                ring_full: u64::from(reason == DropReason::RxRingFull),
                truncated: u64::from(reason == DropReason::RxTruncated),
            }));
            let queue = RxQueue::new(QueueId { port, number }, rx);
            switch.mailbox().post(WorkerCommand::AddQueue(queue));
            switch.worker.poll(switch.now);
            switch.worker.collect_losses();
            1
        }
        DropReason::BadOffload => inject(
            &mut switch,
            MemFrame {
                offload: VnetHdr {
                    flags: VnetHdr::NEEDS_CSUM,
                    csum_start: 60,
                    ..VnetHdr::NONE
                },
                ..to_2().into()
            },
        ),
        DropReason::SourceInvalid => inject(&mut switch, plain(station(2), MacAddr::ZERO)),
        DropReason::TagTruncated => {
            let cut = tagged(MacAddr::BROADCAST, station(1), &[dot1q(10)])[..15].to_vec();
            inject(&mut switch, cut)
        }
        DropReason::NoBridge => {
            switch.change(1, |port| port.bridge = None);
            inject(&mut switch, to_2())
        }
        DropReason::PortBlocked => {
            switch.change(1, |port| port.state = PortState::Blocking);
            inject(&mut switch, to_2())
        }
        DropReason::PortLearning => {
            switch.change(1, |port| port.state = PortState::Learning);
            inject(&mut switch, to_2())
        }
        DropReason::MacControl => inject(&mut switch, plain(reserved(1), station(1))),
        DropReason::BpduContained => inject(&mut switch, plain(reserved(0), station(1))),
        DropReason::ReservedAddress => inject(&mut switch, plain(reserved(14), station(1))),
        DropReason::VlanReserved => {
            inject(&mut switch, tagged(station(2), station(1), &[dot1q(4095)]))
        }
        DropReason::FrameTypeRefused => {
            switch.change(1, |port| port.accept = AcceptFrames::Tagged);
            inject(&mut switch, to_2())
        }
        DropReason::NoPvid => {
            switch.change(1, |port| port.pvid = None);
            inject(&mut switch, to_2())
        }
        DropReason::VlanNotAllowed => {
            inject(&mut switch, tagged(station(2), station(1), &[dot1q(11)]))
        }
        DropReason::MacSpoof => {
            switch.change(1, |port| port.protection = Some(of_station(1)));
            inject(&mut switch, plain(station(2), station(3)))
        }
        DropReason::ArpSpoof
        | DropReason::NdSpoof
        | DropReason::IpSpoof
        | DropReason::DhcpServer
        | DropReason::RaGuard => {
            switch.change(1, |port| port.protection = Some(of_guest(1)));
            inject(&mut switch, lie(reason, &[]))
        }
        DropReason::Held => {
            let protection = Protection {
                gate: Some(Arc::default()),
                ..Protection::default()
            };
            switch.change(1, |port| port.protection = Some(Arc::new(protection)));
            inject(&mut switch, to_2())
        }
        DropReason::PolicedIn => {
            switch.change(1, |port| {
                port.protection = Some(crate::rates::ingress(NOTHING, &Arc::default()));
            });
            inject(&mut switch, to_2())
        }
        DropReason::MacLimit => {
            switch.change(1, |port| port.mac_limit = 0);
            inject(&mut switch, to_2())
        }
        DropReason::SamePort => {
            hear(&mut switch, 1, 9);
            inject(&mut switch, plain(station(9), station(1)))
        }
        DropReason::Isolated => {
            switch.change(1, |port| port.flags.isolated = true);
            switch.change(2, |port| port.flags.isolated = true);
            inject(&mut switch, to_2())
        }
        DropReason::EgressVlan => {
            switch.change(2, |port| *port = trunk(2, &[20]));
            inject(&mut switch, to_2())
        }
        DropReason::EgressBlocked => {
            switch.change(2, |port| port.state = PortState::Disabled);
            inject(&mut switch, to_2())
        }
        DropReason::PuntQueueFull => {
            switch.change(1, |port| port.flags.listens = true);
            for _ in 0..vswitch_core::punt::BURST {
                switch.inject(1, plain(reserved(2), station(1)));
            }
            inject(&mut switch, plain(reserved(2), station(1)))
        }
        DropReason::BondInactive => {
            let member = bond_member(&mut switch, Admits::Nothing);
            switch.inject(member, broadcast(station(7)));
            member
        }
        DropReason::BondShare => {
            let share = Share {
                groups: false,
                seed: 0,
                stations: [true].into(),
                handover: None,
            };
            let member = bond_member(&mut switch, Admits::Share(share));
            switch.inject(member, broadcast(station(7)));
            member
        }
        DropReason::BondDuplicate => {
            let copies = Arc::new(Copies::default());
            let once = |member| Admits::Once(Once::new(&copies, member, 2).unwrap());
            let member = bond_member(&mut switch, once(0));
            switch.add_member(12, 10, once(1));
            switch.inject(12, broadcast(station(7)));
            switch.inject(member, broadcast(station(7)));
            member
        }
        DropReason::BondReflected => {
            let member = bond_member(&mut switch, Admits::Everything);
            switch.change(10, |bond| bond.flags.reflects = true);
            switch.inject(1, broadcast(station(1)));
            switch.inject(member, broadcast(station(1)));
            member
        }
        DropReason::NoEgress => {
            switch.remove(2);
            inject(&mut switch, broadcast(station(1)))
        }
        DropReason::TxOversize => {
            let large = frame(
                station(2),
                station(1),
                &[],
                vswitch_tests::EXPERIMENTAL,
                1_515,
            );
            switch.inject(1, large);
            2
        }
        DropReason::PolicedOut => {
            let bucket = Arc::default();
            let limit = NOTHING;
            switch.change(2, |port| {
                port.egress_rate = Some(Policer { limit, bucket });
            });
            switch.inject(1, to_2());
            2
        }
        DropReason::TxFull => {
            switch.wire(2).limit_room(0);
            switch.inject(1, to_2());
            2
        }
        DropReason::TxError => {
            set_tx(&mut switch, Some(Box::new(RefusingDevice)));
            switch.inject(1, to_2());
            2
        }
        DropReason::TxDown => {
            set_tx(&mut switch, None);
            switch.inject(1, to_2());
            2
        }
        DropReason::TxOffload => {
            switch.add_with(3, access(3), TxCaps::NONE);
            let mut lying = tcp4(MacAddr::BROADCAST, station(1), &[], 100, Some(50));
            // A type that the packet is not.
            lying.offload.gso_type = VnetHdr::GSO_TCPV6;
            switch.remove(2);
            switch.inject(1, lying);
            3
        }
    };
    (switch, counted_at)
}

/// Adds a bond of one member; the member's number.
fn bond_member(switch: &mut MemSwitch, admits: Admits) -> u16 {
    switch.add_member(11, 10, admits);
    switch.bond(10, access(10), Transmit::One(PortIndex(11)));
    11
}

fn inject(switch: &mut MemSwitch, frame: impl Into<MemFrame>) -> u16 {
    switch.inject(1, frame);
    1
}

/// Replaces the way out of port 2, keeping its numbers.
fn set_tx(switch: &mut MemSwitch, tx: Option<Box<dyn PortTx>>) {
    let counters = switch.counters(2);
    let port = PortIndex(2);
    switch
        .mailbox()
        .post(WorkerCommand::SetTx { port, tx, counters });
}

#[derive(Debug)]
struct LosingQueue(RxLosses);

impl PortRx for LosingQueue {
    fn receive<'a>(&'a mut self, _batch: &mut FrameBatch<'a>) -> std::io::Result<()> {
        Ok(())
    }

    fn release(&mut self) {}

    fn ready_fds(&self) -> vswitch_core::port::ReadyFds {
        [None; 2]
    }

    fn take_losses(&mut self) -> RxLosses {
        std::mem::take(&mut self.0)
    }
}

#[derive(Debug)]
struct RefusingDevice;

impl PortTx for RefusingDevice {
    fn send(&mut self, frames: vswitch_core::frame::TxList<'_>) -> TxReport {
        TxReport {
            errors: u32::try_from(frames.len()).unwrap(),
            last_errno: 22,
            ..TxReport::default()
        }
    }

    fn caps(&self) -> TxCaps {
        TxCaps::ALL
    }
}

/// O-02, N-17
#[test]
fn every_reason_is_produced_and_counted_once() {
    for reason in DropReason::ALL {
        let (switch, port) = produce(*reason);
        assert_eq!(dropped(&switch, port, *reason), 1, "{}", reason.name());
        let totals = switch.totals(port);
        let others = if reason.is_egress() {
            totals.egress_drops()
        } else {
            totals.ingress_drops()
        };
        assert_eq!(others, 1, "{}: and nothing else", reason.name());
        switch.assert_conserved();
    }
}

/// N-17: names are what the CLI, metrics and goldens print; meanings tell an operator what to do.
#[test]
fn reasons_have_stable_distinct_names() {
    let names: BTreeSet<&str> = DropReason::ALL.iter().map(|r| r.name()).collect();
    assert_eq!(names.len(), DropReason::COUNT);
    for reason in DropReason::ALL {
        let name = reason.name();
        assert!(
            name.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
            "{name}"
        );
        assert!(reason.meaning().len() > 10, "{name}");
        assert_eq!(DropReason::ALL[reason.index()], *reason);
    }
}

/// N-17: a device that takes part of a batch: what it took is out, the rest is counted.
#[test]
fn a_full_device_drops_the_rest_of_the_batch() {
    let mut switch = MemSwitch::new();
    switch.add(1, access(1));
    switch.add(2, PortView::access(PortIndex(2), BR, vid(10)));
    switch.wire(2).limit_room(10);
    let wire = switch.wire(1).clone();
    for _ in 0..29 {
        wire.put(broadcast(station(1)));
    }
    switch.inject(1, broadcast(station(1)));
    let totals = switch.totals(2);
    assert_eq!((totals.frames_out, totals.bytes_out), (10, 600));
    assert_eq!(totals.drops[DropReason::TxFull.index()], 20);
}
