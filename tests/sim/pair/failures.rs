//! Every mode through every failure: what is lost is lost before the failure can be known, nothing comes twice,
//! and afterwards everybody is reached.
//!
//! | failure | what happens |
//! | --- | --- |
//! | carrier | a link loses its carrier, and has it again later |
//! | one way | a link loses what one side sends, and nobody sees it |
//! | flap | a carrier goes and comes ten times |
//! | slow partner | the other side's control thread stands still, or the links take 200 ms |
//! | restart | the other side's process ends without a word; its carriers stay |
//! | swapped | two cables change places, with carriers that go and come |
//! | swapped unseen | the same, and no carrier says so |

use super::rig::{DELAY, End, HOSTS, NOTICE, Rig, TICK, ms, stations};
use vswitch_api::config::{BondConfig, BondMode, LacpRate, OnOff, TlbSrc};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Failure {
    Carrier,
    OneWay(usize),
    Flap,
    SlowPartner,
    Restart,
    Swapped,
    SwappedUnseen,
}

const FAILURES: [Failure; 8] = [
    Failure::Carrier,
    Failure::OneWay(0),
    Failure::OneWay(1),
    Failure::Flap,
    Failure::SlowPartner,
    Failure::Restart,
    Failure::Swapped,
    Failure::SwappedUnseen,
];

/// Until an aggregate of the fast rate is up: the wait for others, and PDUs of both sides.
const JOINED: u64 = 2_000 + 1_000;
/// Until a partner that is silent is late, at the fast rate: of its last PDU, which may be a second old.
const LATE: u64 = 3_000;
/// Until every station has said something, at the pace of the rig.
const ALL_SPOKE: u64 = TICK * 6 * 2;
/// A frame in flight, there and back.
const ROUND: u64 = 2 * DELAY;

pub(super) fn config(mode: BondMode, change: impl FnOnce(&mut BondConfig)) -> BondConfig {
    let mut config = BondConfig {
        mode,
        members: ["a", "b", "c"].map(str::to_owned).to_vec(),
        lacp_rate: LacpRate::Fast,
        ..BondConfig::default()
    };
    change(&mut config);
    config
}

/// A rig in which everybody is reached, and since when.
struct Case {
    rig: Rig,
    mode: BondMode,
    coupled: bool,
    failure: Failure,
}

impl Case {
    fn new(
        mode: BondMode,
        coupled: bool,
        failure: Failure,
        change: &impl Fn(&mut BondConfig),
    ) -> Self {
        let here = config(mode, |config| {
            config.coupled_control = if coupled { OnOff::ON } else { OnOff::OFF };
            change(config);
        });
        let shared = matches!(
            mode,
            BondMode::ActiveBackup
                | BondMode::BalanceSlb
                | BondMode::BalanceTlb
                | BondMode::BalanceAlb
        );
        let there = (!shared).then_some(&here);
        let what = format!("{mode:?}, coupled {coupled}, {failure:?}");
        let mut rig = Rig::new(what, &here, there);
        rig.ip = here.tlb_src == TlbSrc::Rewrite;
        // A switch that knows of no bond and of no station floods, and for the grace after members came that
        // is let in by two (`shares.rs`).
        rig.quiet = shared;
        rig.run(ms(2_500));
        rig.quiet = false;
        rig.run(ms(2_500));
        rig.drain();
        for side in 0..2 {
            let refused = rig.ours(side).map_or(0, |ours| ours.refused);
            // Independent control sends only where the other side takes.
            assert!(coupled || refused == 0, "{refused} refused by {side}");
        }
        let mut case = Self {
            rig,
            mode,
            coupled,
            failure,
        };
        case.nothing_is_lost_for(1_000);
        case
    }

    /// Behind the bond there are stations of the other side alone.
    fn nobody_is_looked_for_on_the_wrong_side(&mut self) {
        let there: Vec<_> = HOSTS
            .into_iter()
            .flat_map(|host| stations(1, host))
            .collect();
        let rewrites = self.rig.ip;
        let ours = self.rig.ours(0).expect("a switch of ours");
        let uplink = ours.uplink();
        assert!(
            uplink.iter().all(|mac| there.contains(mac)),
            "{uplink:?} are behind the bond"
        );
        assert_eq!(ours.rewritten > 100, rewrites, "{}", ours.rewritten);
    }

    fn lacp(&self) -> bool {
        self.mode == BondMode::Lacp
    }

    fn beyond(&self) -> bool {
        matches!(self.rig.ends[1], End::Beyond(_))
    }

    fn nothing_is_lost_for(&mut self, span: u64) {
        let since = self.rig.now;
        self.rig.run(ms(span));
        self.rig.drain();
        let lost = self.rig.lost_since(since);
        assert!(
            lost.is_empty(),
            "{}: since {since:?}: {lost:#?}",
            self.rig.what()
        );
    }

    /// Lets time pass; what is said later than `bound` from now on is not lost, and before that only by a
    /// link that took it, or where the two sides' agreement is being made.
    /// How many frames are lost.
    fn lost_until(&mut self, bound: u64, agreement: bool, span: u64) -> usize {
        let since = self.rig.now;
        self.rig.run(ms(span));
        self.rig.drain();
        let all = self.rig.lost_since(since);
        for lost in &all {
            assert!(
                lost.at <= since + ms(bound),
                "{}: {} after it began: {lost:?}",
                self.rig.what(),
                (lost.at - since).as_nanos() / 1_000_000
            );
            assert!(
                lost.eaten || agreement,
                "{}: {} after it began a switch lost {lost:?}",
                self.rig.what(),
                (lost.at - since).as_nanos() / 1_000_000
            );
        }
        all.len()
    }

    /// What a link's return may cost: coupled control opens both directions at one end before the other.
    fn returns(&mut self) {
        let round = if self.lacp() && self.coupled {
            ROUND
        } else {
            0
        };
        let since = self.rig.now;
        self.rig.run(ms(2 * JOINED));
        self.rig.drain();
        let lost = self.rig.lost_since(since);
        let first = lost.iter().map(|lost| lost.at).min();
        assert!(
            first.is_none_or(|first| lost.iter().all(|lost| lost.at <= first + ms(round)))
                && (round > 0 || lost.is_empty()),
            "{}: a link came back: {lost:#?}",
            self.rig.what()
        );
    }

    fn fail(&mut self) {
        match self.failure {
            Failure::Carrier => {
                self.rig.set_carrier(0, false);
                self.lost_until(NOTICE, false, 4_000);
                self.rig.set_carrier(0, true);
                self.returns();
            }
            Failure::OneWay(side) => {
                self.rig.links[0].lossy[side] = true;
                let lost = if self.lacp() {
                    // Coupled control goes by the partner's SYNC alone, which it takes back when its partner is
                    // not only late but given up.
                    let late = if self.coupled { 2 * LATE } else { LATE };
                    self.lost_until(late + ROUND, true, 9_000)
                } else {
                    // Without a monitor nobody knows: only what that link took is lost.
                    self.lost_until(4_000, false, 4_000)
                };
                assert_eq!(lost > 0, self.mode != BondMode::Broadcast, "{lost} lost");
                self.rig.links[0].lossy[side] = false;
                self.returns();
            }
            Failure::Flap => {
                for _ in 0..10 {
                    self.rig.set_carrier(0, false);
                    self.lost_until(NOTICE, false, 130);
                    self.rig.set_carrier(0, true);
                    self.lost_until(0, false, 170);
                }
                self.returns();
            }
            Failure::SlowPartner => self.slow_partner(),
            Failure::Restart => {
                self.rig.restart(1, ms(1_000));
                let late = if self.lacp() { JOINED + 1_000 } else { 0 };
                self.lost_until(1_000 + late, true, 1_000 + 2 * JOINED);
            }
            Failure::Swapped => {
                self.rig.set_carrier(0, false);
                self.rig.set_carrier(1, false);
                self.lost_until(NOTICE, false, 300);
                self.rig.swap(0, 1);
                self.rig.set_carrier(0, true);
                self.rig.set_carrier(1, true);
                self.returns();
            }
            Failure::SwappedUnseen => {
                self.rig.swap(0, 1);
                let bound = if self.lacp() {
                    JOINED + 1_000
                } else if self.rig.ip {
                    // It may be long until a station's frame leaves by the active member: `lp_interval`.
                    1_000
                } else if self.beyond() {
                    ALL_SPOKE
                } else {
                    0
                };
                self.lost_until(bound, true, 2 * JOINED);
            }
        }
    }

    fn slow_partner(&mut self) {
        let now = self.rig.now;
        if let Some(partner) = self.rig.ours(1) {
            partner.stall(now + ms(1_500));
            // Less than what makes it late.
            self.nothing_is_lost_for(3_000);
            let now = self.rig.now;
            if let Some(partner) = self.rig.ours(1) {
                partner.stall(now + ms(8_000));
            }
            let bound = if self.lacp() { 8_000 + JOINED } else { 0 };
            self.lost_until(bound, self.lacp(), 8_000 + 2 * JOINED);
        }
        for link in &mut self.rig.links {
            link.delay = 200;
        }
        self.nothing_is_lost_for(3_000);
        for link in &mut self.rig.links {
            link.delay = DELAY;
        }
    }
}

fn through_everything(mode: BondMode, coupled: bool) {
    through_everything_with(mode, coupled, |_| {});
}

fn through_everything_with(mode: BondMode, coupled: bool, change: impl Fn(&mut BondConfig)) {
    for failure in FAILURES {
        let mut case = Case::new(mode, coupled, failure, &change);
        case.fail();
        case.nothing_is_lost_for(2_000);
        case.nobody_is_looked_for_on_the_wrong_side();
    }
}

///
#[test]
fn balance_rr() {
    through_everything(BondMode::BalanceRr, true);
}

/// A-01, N-02
#[test]
fn active_backup() {
    through_everything(BondMode::ActiveBackup, true);
}

///
#[test]
fn balance_xor() {
    through_everything(BondMode::BalanceXor, true);
}

///
#[test]
fn broadcast() {
    through_everything(BondMode::Broadcast, true);
}

/// A-04, P-03
#[test]
fn lacp() {
    through_everything(BondMode::Lacp, true);
}

/// A-04, P-07
#[test]
fn lacp_with_independent_control() {
    through_everything(BondMode::Lacp, false);
}

///
#[test]
fn balance_tlb() {
    through_everything(BondMode::BalanceTlb, true);
}

///
#[test]
fn balance_alb() {
    through_everything(BondMode::BalanceAlb, true);
}

/// K-22: from the members' addresses, by hash and by destination.
#[test]
fn rewritten_sources() {
    for mode in [BondMode::BalanceTlb, BondMode::BalanceAlb] {
        for dynamic in [OnOff::OFF, OnOff::ON] {
            through_everything_with(mode, true, |config| {
                config.tlb_src = TlbSrc::Rewrite;
                config.tlb_dynamic_lb = dynamic;
            });
        }
    }
}

/// N-01
#[test]
fn balance_slb() {
    through_everything(BondMode::BalanceSlb, true);
}
