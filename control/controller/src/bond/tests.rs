//! The bond's states as a table, the choice of the active member, and what the passes are told.

mod balancing;
mod rewriting;

use super::*;
use vswitch_api::config::{BondConfig, OnOff};
use vswitch_base::flow::HashPolicy as Flow;
use vswitch_core::bond::{Admits, Buckets, HashKey, Hashed, Turns};

const A: PortIndex = PortIndex(1);
const B: PortIndex = PortIndex(2);
const C: PortIndex = PortIndex(3);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A bond of a, b and c under test, on a clock of its own.
struct Bench {
    bond: Bond,
    seen: [LinkSeen; 3],
    now: Instant,
}

impl Bench {
    fn new(change: impl FnOnce(&mut BondConfig)) -> Self {
        let now = Instant::ZERO + ms(1000);
        let mut config = BondConfig {
            mode: BondMode::ActiveBackup,
            members: ["a", "b", "c"].map(str::to_owned).to_vec(),
            ..BondConfig::default()
        };
        change(&mut config);
        let members = [A, B, C];
        let members = config.members.iter().cloned().zip(members).collect();
        Self {
            bond: Bond::new(&WantedBond { config, members }),
            seen: [LinkSeen::default(); 3],
            now,
        }
    }

    /// All three attached, with these links.
    fn links(&mut self, running: [bool; 3]) -> Vec<Happened> {
        for (seen, running) in self.seen.iter_mut().zip(running) {
            (seen.attached, seen.running) = (true, running);
        }
        self.update()
    }

    fn update(&mut self) -> Vec<Happened> {
        let seen = self.seen;
        let at = |member: &Member| seen[usize::from(member.index.0) - 1];
        self.bond.update(at, self.now)
    }

    /// Time passes; the bond is asked whenever it wants to be.
    fn pass(&mut self, span: Duration) -> Vec<Happened> {
        let end = self.now + span;
        let mut happened = Vec::new();
        while let Some(at) = self.bond.poll_timeout().filter(|at| *at <= end) {
            self.now = at;
            happened.extend(self.update());
            assert!(self.bond.poll_timeout().is_none_or(|next| next > at));
        }
        self.now = end;
        happened
    }

    fn states(&self) -> [LinkState; 3] {
        [0, 1, 2].map(|i| self.bond.members()[i].state)
    }

    fn active(&self) -> Option<PortIndex> {
        match self.bond.transmit() {
            Transmit::One(member) => Some(*member),
            Transmit::Nobody => None,
            other => panic!("{other:?}"),
        }
    }
}

/// W-02, K-03: every state and every event, with both delays and without.
#[test]
fn a_link_goes_through_its_states() {
    use LinkState::{Down, Failing, Returning, Up};
    // Delays in ms, the link's history (lost or there, and ms that pass), and where that leads. Another
    // member stays up, so that nothing is hurried.
    type Row = (u32, u32, &'static [(bool, u64)], LinkState);
    let table: [Row; 12] = [
        (0, 0, &[(true, 0)], Up),
        (0, 0, &[(true, 0), (false, 0)], Down),
        (0, 200, &[(true, 0)], Up),
        (0, 200, &[(true, 0), (false, 199)], Failing),
        (0, 200, &[(true, 0), (false, 200)], Down),
        (0, 200, &[(true, 0), (false, 199), (true, 0)], Up),
        (
            0,
            200,
            &[(true, 0), (false, 199), (true, 0), (false, 199)],
            Failing,
        ),
        (300, 0, &[(true, 299)], Returning),
        (300, 0, &[(true, 300)], Up),
        (300, 0, &[(true, 299), (false, 0)], Down),
        (300, 0, &[(true, 299), (false, 0), (true, 299)], Returning),
        (
            300,
            200,
            &[(true, 300), (false, 200), (true, 100), (false, 0)],
            Down,
        ),
    ];
    for (updelay, downdelay, history, expected) in table {
        let mut bench = Bench::new(|config| {
            (config.updelay, config.downdelay) = (updelay, downdelay);
        });
        bench.links([true, false, false]);
        bench.pass(ms(1000));
        for (running, span) in history {
            bench.links([true, *running, false]);
            bench.pass(ms(*span));
        }
        let state = bench.states()[1];
        assert_eq!(
            state, expected,
            "up {updelay} down {downdelay}: {history:?}"
        );
    }
}

/// K-03
#[test]
fn updelay_is_not_waited_for_when_there_is_nobody_else() {
    let mut bench = Bench::new(|config| config.updelay = 300);
    bench.links([false, true, true]);
    assert_eq!(bench.active(), Some(B), "the first of two that wait alike");
    assert_eq!(bench.states()[2], LinkState::Returning, "and only that one");
    bench.links([false, false, true]);
    assert_eq!(bench.active(), Some(C));
    let told = bench.links([true, false, false]);
    assert_eq!(bench.active(), Some(A));
    let active = Happened::Active {
        member: Some("a".to_owned()),
        before: Some("c".to_owned()),
    };
    assert!(told.contains(&active), "{told:?}");
}

/// a member that fails is still used while `downdelay` runs; a port that is taken away is not.
#[test]
fn a_failing_member_carries_on_and_one_that_is_taken_away_does_not() {
    let mut bench = Bench::new(|config| config.downdelay = 500);
    bench.links([true, true, true]);
    bench.links([false, true, true]);
    assert_eq!(
        (bench.active(), bench.states()[0]),
        (Some(A), LinkState::Failing)
    );
    bench.seen[0] = LinkSeen::default();
    bench.update();
    assert_eq!(
        (bench.active(), bench.states()[0]),
        (Some(B), LinkState::Down)
    );
}

/// K-11, K-12
#[test]
fn the_primary_comes_back_as_primary_reselect_says() {
    let speeds = |bench: &mut Bench, a, b| {
        bench.seen[0].speed_mbps = Some(a);
        bench.seen[1].speed_mbps = Some(b);
    };
    for (reselect, slow_returns, fast_returns) in [
        (PrimaryReselect::Always, B, B),
        (PrimaryReselect::Better, A, B),
        (PrimaryReselect::Failure, A, A),
    ] {
        for (b, expected) in [(1000, slow_returns), (25_000, fast_returns)] {
            let mut bench = Bench::new(|config| {
                (config.primary, config.primary_reselect) = (Some("b".to_owned()), reselect);
            });
            speeds(&mut bench, 10_000, b);
            bench.links([true, true, true]);
            assert_eq!(bench.active(), Some(B), "at first the primary");
            bench.links([true, false, true]);
            assert_eq!(bench.active(), Some(A));
            bench.links([true, true, true]);
            assert_eq!(bench.active(), Some(expected), "{reselect}, {b} Mbit/s");
        }
    }
}

/// without a primary nothing moves when a member returns (features.md 3.4.2, quirk).
#[test]
fn without_a_primary_the_active_member_stays() {
    let mut bench = Bench::new(|_| {});
    bench.links([true, true, true]);
    bench.links([false, true, true]);
    bench.links([true, true, true]);
    assert_eq!(bench.active(), Some(B));
    let admits = [A, B, C].map(|member| bench.bond.admits(member));
    let nothing = Some(Admits::Nothing);
    assert_eq!(admits, [nothing.clone(), Some(Admits::Everything), nothing]);
    assert_eq!(bench.bond.admits(PortIndex(9)), None, "not a member");
}

/// K-19, K-20, K-21
#[test]
fn each_mode_tells_the_passes_who_sends() {
    let at = |mode: BondMode| {
        let mut bench = Bench::new(|config| {
            config.mode = mode;
            config.packets_per_slave = 7;
            config.hash_seed = 3;
            config.xmit_hash_policy = vswitch_api::config::HashPolicy::Layer34;
            config.all_slaves_active = OnOff(mode == BondMode::ActiveBackup);
        });
        bench.links([false, true, true]);
        let open = [A, B, C].map(|member| bench.bond.admits(member));
        let is_open = |admits: &Option<Admits>| match admits {
            Some(Admits::Once(_)) => mode == BondMode::Broadcast,
            admits => *admits == Some(Admits::Everything) && mode != BondMode::Broadcast,
        };
        assert!(open.iter().all(is_open), "{mode}: {open:?}");
        bench.bond.transmit().clone()
    };
    let both = [B, C];
    assert_eq!(at(BondMode::ActiveBackup), Transmit::One(B));
    assert_eq!(at(BondMode::Broadcast), Transmit::Copies(both.into()));
    let turns = Turns {
        members: [(A, false), (B, true), (C, true)].into(),
        packets_per_slave: 7,
        groups: B,
    };
    assert_eq!(at(BondMode::BalanceRr), Transmit::Turns(turns));
    let hashed = Hashed {
        key: HashKey::Flow(Flow::Layer34),
        seed: 3,
        buckets: Buckets::new(&both),
        moving: None,
    };
    assert_eq!(at(BondMode::BalanceXor), Transmit::Hashed(hashed));
}

/// N-21: members of a broadcast bond ask one table, which lives as long as the mode.
#[test]
fn members_of_a_broadcast_bond_share_a_table() {
    let mut bench = Bench::new(|config| config.mode = BondMode::Broadcast);
    bench.links([true, true, true]);
    let admits = |bench: &Bench| [A, B].map(|member| bench.bond.admits(member));
    let before = admits(&bench);
    assert_ne!(before[0], before[1]);
    bench.links([true, false, true]);
    let mut wanted = bench.bond.wanted().clone();
    wanted.config.updelay = 100;
    bench.bond.configure(&wanted);
    assert_eq!(admits(&bench), before);
    wanted.config.mode = BondMode::BalanceXor;
    bench.bond.configure(&wanted);
    assert_eq!(admits(&bench), [const { Some(Admits::Everything) }; 2]);
    // Of more than sixteen members the rest bring nothing.
    wanted.config.mode = BondMode::Broadcast;
    wanted.members = (1..=20).map(|i| (format!("p{i}"), PortIndex(i))).collect();
    bench.bond.configure(&wanted);
    let of = |number| bench.bond.admits(PortIndex(number));
    assert!(matches!(of(16), Some(Admits::Once(_))));
    assert_eq!(of(17), Some(Admits::Nothing));
}

/// N-07: the configuration changes and the members keep their links.
#[test]
fn a_change_of_configuration_keeps_what_is_known_of_links() {
    let mut bench = Bench::new(|config| config.updelay = 1000);
    bench.links([true, true, false]);
    bench.pass(ms(1000));
    let mut wanted = bench.bond.wanted().clone();
    wanted.config.mode = BondMode::BalanceXor;
    wanted.members.remove(0);
    bench.bond.configure(&wanted);
    bench.update();
    let states: Vec<_> = bench.bond.members().iter().map(|m| m.state).collect();
    assert_eq!(states, [LinkState::Up, LinkState::Down]);
    let Transmit::Hashed(hashed) = bench.bond.transmit() else {
        panic!("{:?}", bench.bond);
    };
    assert!(hashed.buckets.owners().iter().all(|owner| *owner == B));
    bench.links([false, false, false]);
    assert!(!bench.bond.carries());
    assert_eq!(
        bench.bond.why_down(),
        "no member can be used: b down, c down"
    );
}

/// N-10: what a member that fails had is shared out, and nothing else moves. Members that came up together
/// are chosen as the kernel does.
#[test]
fn flows_move_only_where_they_must() {
    let mut bench = Bench::new(|config| config.mode = BondMode::BalanceXor);
    let owners = |bench: &Bench| match bench.bond.transmit() {
        Transmit::Hashed(hashed) => hashed.buckets.owners().to_vec(),
        other => panic!("{other:?}"),
    };
    bench.links([true, true, true]);
    let before = owners(&bench);
    assert_eq!(before, Buckets::new(&[A, B, C]).owners());
    bench.links([true, false, true]);
    let after = owners(&bench);
    for (old, new) in before.iter().zip(&after) {
        assert!(old == new || *old == B && *new != B);
    }
}

/// N-01: each station by one member, groups let in by the designated one; in the modes
/// that balance by load parts are as speeds, and the kernel's order of preference says who is designated.
#[test]
fn stations_have_their_member_where_the_other_side_knows_nothing() {
    let share = |bench: &Bench, member| match bench.bond.admits(member) {
        Some(Admits::Share(share)) => share,
        other => panic!("{other:?}"),
    };
    for mode in [
        BondMode::BalanceSlb,
        BondMode::BalanceTlb,
        BondMode::BalanceAlb,
    ] {
        let mut bench = Bench::new(|config| {
            config.mode = mode;
            config.prio = [("b".to_owned(), 5)].into();
        });
        bench.seen[0].speed_mbps = Some(30_000);
        bench.seen[1].speed_mbps = Some(10_000);
        bench.seen[2].speed_mbps = Some(10_000);
        bench.links([true, true, true]);
        assert!(bench.bond.take_moved(), "from nothing");
        let shares = [A, B, C].map(|member| share(&bench, member));
        assert_eq!(
            shares.clone().map(|share| share.groups),
            [false, true, false],
            "{mode}"
        );
        let has = |share: &vswitch_core::bond::Share| share.stations.iter().filter(|s| **s).count();
        let parts = shares.clone().map(|share| has(&share));
        match mode {
            BondMode::BalanceSlb => assert_eq!(parts, [85, 85, 85]),
            _ => assert_eq!(parts, [153, 51, 51]),
        }
        // The designated member goes: another lets groups in, what it had is shared out and heard again.
        bench.links([true, false, true]);
        assert!(bench.bond.take_moved());
        assert!(share(&bench, A).groups || share(&bench, C).groups);
        assert_eq!(has(&share(&bench, B)), parts[1], "for a while");
        let both = has(&share(&bench, A)) + has(&share(&bench, C));
        assert_eq!(both, 255);
        assert!(bench.bond.poll_timeout().is_some());
        bench.pass(ms(2_000));
        assert_eq!(has(&share(&bench, B)), 0);
        assert!(!bench.bond.take_moved(), "nothing moved when that ended");
    }
}

/// K-13: the priority decides where no member is preferred by name; equals stay.
#[test]
fn priorities_decide_where_nobody_is_named() {
    use PrimaryReselect::{Always, Better, Failure};
    let ups = [true, true, true];
    for (reselect, prio, primary, expected) in [
        (Always, [0, 0, 0], None, B),
        (Always, [0, 0, 9], None, C),
        (Always, [9, 0, 9], None, A),
        (Always, [-1, -3, -1], None, A),
        (Failure, [9, 0, 9], None, B),
        (Better, [9, 0, 9], None, B),
        (Always, [0, 0, 9], Some("a"), A),
    ] {
        let mut bench = Bench::new(|config| {
            config.primary_reselect = reselect;
            config.primary = primary.map(str::to_owned);
            let names = ["a", "b", "c"].map(str::to_owned);
            config.prio = names.into_iter().zip(prio).collect();
        });
        bench.links([false, true, false]);
        bench.links(ups);
        let case = (reselect, prio, primary);
        assert_eq!(bench.active(), Some(expected), "{case:?}");
        bench.links([expected != A, expected != B, expected != C]);
        assert_ne!(bench.active(), Some(expected), "{case:?}");
    }
}

/// K-15, K-40: the address that the bond speaks from.
#[test]
fn a_bond_speaks_from_its_address_or_from_that_of_its_active_member() {
    use vswitch_api::config::{FailOverMac, Mac};
    let own = [2, 0, 0, 0, 0, 9];
    for (said, mac, first, then) in [
        (FailOverMac::None, None, 1, 1),
        (FailOverMac::Follow, None, 1, 1),
        (FailOverMac::Active, None, 1, 2),
        (FailOverMac::None, Some(Mac(own)), 9, 9),
        (FailOverMac::Active, Some(Mac(own)), 1, 2),
    ] {
        let mut bench = Bench::new(|config| (config.fail_over_mac, config.mac) = (said, mac));
        for (number, seen) in (1..).zip(&mut bench.seen) {
            seen.mac = Some(MacAddr([2, 0, 0, 0, 0, number]));
        }
        bench.links([true, true, true]);
        let last = |bench: &Bench| bench.bond.address().map(|mac| mac.0[5]);
        assert_eq!(last(&bench), Some(first), "{said} {mac:?}");
        bench.links([false, true, true]);
        assert_eq!(last(&bench), Some(then), "{said} {mac:?}");
    }
}
