//! LACPDUs and Markers, honest, forged and damaged, into a bond that speaks LACP.

use std::collections::{BTreeMap, VecDeque};
use vswitch_api::config::{BondConfig, BondMode, LacpRate, OnOff};
use vswitch_base::{Duration, Instant, MacAddr, PortIndex};
use vswitch_controller::bond::{Bond, LinkSeen, WantedBond};
use vswitch_core::bond::Admits;
use vswitch_core::testing::station;
use vswitch_lacp::mux::MuxState;
use vswitch_lacp::receive::ReceiveState;
use vswitch_lacp::variables::Selected;
use vswitch_lacp::{
    Key, Lacpdu, MarkerPdu, MemberStatus, ParticipantInfo, PortId, PortState, SystemId,
};
use vswitch_tests::fuzz::{cases, damage};
use vswitch_tests::rng::Rng;

const MEMBERS: [PortIndex; 3] = [PortIndex(11), PortIndex(12), PortIndex(13)];
/// LACPDUs, and with them answers to Markers, of one member in a second (802.1AX 6.4.16, 802.3 57A.1).
const LACPDUS: usize = 3;
const SLOW: usize = 10;

fn wanted(rng: &mut Rng) -> WantedBond {
    let some = |bit: bool| if bit { OnOff::ON } else { OnOff::OFF };
    let config = BondConfig {
        mode: BondMode::Lacp,
        members: ["a", "b", "c"].map(str::to_owned).to_vec(),
        lacp_rate: if rng.once_in(2) {
            LacpRate::Fast
        } else {
            LacpRate::Slow
        },
        coupled_control: some(rng.once_in(2)),
        lacp_strict: some(rng.once_in(4)),
        lacp_fallback_ab: some(!rng.once_in(4)),
        lacp_active: some(!rng.once_in(4)),
        max_links: rng.pick(&[0, 0, 1, 2]),
        min_links: rng.pick(&[0, 0, 2]),
        ..BondConfig::default()
    };
    let members = config.members.iter().cloned().zip(MEMBERS).collect();
    WantedBond { config, members }
}

/// The bond, its links and all that it sent in the last second.
struct Bench {
    bond: Bond,
    up: [bool; 3],
    now: Instant,
    sent: BTreeMap<PortIndex, VecDeque<(Instant, bool)>>,
    /// States seen: each must be, so that a check of them means something.
    seen: BTreeMap<&'static str, usize>,
}

impl Bench {
    fn update(&mut self) {
        let up = self.up;
        let seen = |at: usize| LinkSeen {
            attached: true,
            running: up[at],
            speed_mbps: Some(10_000),
            mac: Some(station(0xa0)),
            ..LinkSeen::default()
        };
        self.bond.update(
            |m| seen(usize::from(m.index.0) - usize::from(MEMBERS[0].0)),
            self.now,
        );
        for (member, payload) in self.bond.take_slow() {
            let lacp = payload[0] == 1;
            let sent = self.sent.entry(member).or_default();
            sent.push_back((self.now, lacp));
            let second = Duration::from_secs(1);
            sent.retain(|(at, _)| self.now - *at < second);
            let lacpdus = sent.iter().filter(|(_, lacp)| *lacp).count();
            let answers = sent.len() - lacpdus;
            assert!(lacpdus <= LACPDUS, "{lacpdus} LACPDUs in a second");
            // A window of the responder's begins with a question, so that two may meet in a second.
            assert!(answers <= 2 * SLOW, "{answers} answers in a second");
        }
    }

    fn status(&self, member: PortIndex) -> Option<MemberStatus> {
        self.bond.negotiation()?.lacp().member(member)
    }

    /// Only what the standard has, and the passes do what the machines say.
    fn check(&mut self) {
        let lacp = self.bond.negotiation().expect("mode 802.3ad").lacp();
        let senders = self.bond.transmit().members();
        let fell_back = self.bond.negotiation().is_some_and(|n| n.fell_back());
        let mut fallen = 0;
        for (at, member) in MEMBERS.into_iter().enumerate() {
            let status = lacp.member(member).expect("a member");
            let by_mux = (status.mux.collects(), status.mux.distributes());
            let what = format!("{member:?}: {status:?}");
            let fallback = (status.collecting, status.distributing) != by_mux;
            fallen += usize::from(fallback);
            assert!(!fallback || fell_back, "{what}");
            assert!(!status.distributing || status.collecting, "{what}");
            let said = status.actor.state;
            assert_eq!(by_mux.0, said.contains(PortState::COLLECTING), "{what}");
            assert_eq!(by_mux.1, said.contains(PortState::DISTRIBUTING), "{what}");
            if by_mux.0 {
                assert_eq!(status.selected, Selected::Selected, "{what}");
                assert!(said.contains(PortState::SYNCHRONIZATION), "{what}");
                let partner = status.partner.state;
                assert!(partner.contains(PortState::SYNCHRONIZATION), "{what}");
                assert!(self.up[at], "without a link: {what}");
            }
            assert_eq!(
                status.selected == Selected::Unselected,
                status.aggregator.is_none(),
                "{what}"
            );
            let open = self.bond.admits(member) == Some(Admits::Everything);
            // From its own SYNC on: a partner with coupled control sends as soon as it hears that.
            let in_sync = status.mux == MuxState::Attached
                && status.receive == ReceiveState::Current
                && status.actor.state.contains(PortState::SYNCHRONIZATION);
            assert_eq!(open, status.collecting || in_sync, "{what}");
            assert!(
                !senders.contains(&member) || status.distributing,
                "sends: {what}"
            );
            let name = match status.mux {
                MuxState::Detached => "detached",
                MuxState::Waiting => "waiting",
                MuxState::Attached => "attached",
                MuxState::Collecting => "collecting",
                MuxState::Distributing => "distributing",
                MuxState::CollectingDistributing => "both",
            };
            *self.seen.entry(name).or_default() += 1;
        }
        assert!(fallen <= 1, "one member works without LACP at most");
    }

    /// What a partner would say that answers, with some of it forged.
    fn lacpdu(&self, rng: &mut Rng, member: PortIndex) -> Vec<u8> {
        let ours = self
            .status(member)
            .map_or_else(ParticipantInfo::default, |s| s.actor);
        let number = if rng.once_in(8) { rng.word() } else { member.0 };
        let any = rng.byte();
        let actor = ParticipantInfo {
            system: SystemId {
                priority: 32_768,
                mac: station(rng.pick(&[0xb0, 0xb0, 0xb0, 0xb1, 0xa0])),
            },
            key: Key(rng.pick(&[7, 7, 7, 8])),
            port: PortId {
                priority: 255,
                number,
            },
            state: PortState(rng.pick(&[0x3f, 0x3d, 0x0f, 0x07, 0x1f, any])),
        };
        let mut partner = ours;
        if rng.once_in(6) {
            partner.state = PortState(rng.byte());
        }
        if rng.once_in(16) {
            partner.key = Key(rng.word());
        }
        Lacpdu::new(actor, partner).emit().to_vec()
    }
}

fn payload(bench: &Bench, rng: &mut Rng, member: PortIndex) -> Vec<u8> {
    let mut bytes = match rng.below(12) {
        0 => {
            let mut bytes = vec![0; rng.below(200)];
            rng.fill(&mut bytes);
            bytes
        }
        1 => MarkerPdu::new(rng.word(), MacAddr::from_u64(rng.bits() >> 16), 3)
            .emit()
            .to_vec(),
        _ => bench.lacpdu(rng, member),
    };
    if rng.once_in(3) {
        damage(rng, &mut bytes);
    }
    bytes
}

/// P-09, P-10, P-12, P-13: whatever a partner says, the states are the standard's and answers bounded.
#[test]
fn no_slow_protocol_frame_leads_astray() {
    let mut rng = Rng::from_env("slow protocols");
    let wanted_first = wanted(&mut rng);
    let mut bench = Bench {
        bond: Bond::new(&wanted_first),
        up: [true; 3],
        now: Instant::ZERO + Duration::from_secs(1),
        sent: BTreeMap::new(),
        seen: BTreeMap::new(),
    };
    bench.update();
    for case in 0..cases() {
        let member = rng.pick(&MEMBERS);
        let bytes = payload(&bench, &mut rng, member);
        assert!(bench.bond.hear(member, &bytes, bench.now));
        bench.update();
        bench.check();
        match rng.below(64) {
            0 => bench.up[rng.below(3)] ^= true,
            1 => bench.up = [true; 3],
            2 if case % 4 == 0 => bench.bond.configure(&wanted(&mut rng)),
            _ => {}
        }
        // Mostly a flood, now and then long enough for every timer; every timer on the way is kept.
        let span = match rng.below(200) {
            0 => 100_000,
            1..=9 => rng.below(4_000),
            10..=100 => rng.below(300),
            _ => 0,
        };
        let end = bench.now + Duration::from_millis(u64::try_from(span).unwrap_or(0));
        while let Some(at) = bench.bond.poll_timeout().filter(|at| *at <= end) {
            let late = at <= bench.now;
            bench.now = bench.now.max(at);
            bench.update();
            bench.check();
            let next = bench.bond.poll_timeout();
            assert!(
                !late || next.is_none_or(|next| next > bench.now),
                "due again at once: {next:?} at {:?}",
                bench.now
            );
        }
        bench.now = end;
    }
    for state in [
        "detached",
        "waiting",
        "attached",
        "collecting",
        "distributing",
        "both",
    ] {
        assert!(
            bench.seen.contains_key(state),
            "nobody was {state}: {:?}",
            bench.seen
        );
    }
}
