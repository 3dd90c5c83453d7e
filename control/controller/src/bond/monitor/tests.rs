//! Members beside a network that loses frames as a test wants it, in virtual time.

use super::*;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use vswitch_api::config::ArpAllTargets;

const A: PortIndex = PortIndex(1);
const B: PortIndex = PortIndex(2);
const C: PortIndex = PortIndex(3);
const OWN: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x99]);
const MEMBERS: [PortIndex; 3] = [A, B, C];

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn target(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

/// What gets through at a member.
#[derive(Clone, Copy, Debug)]
struct Path {
    link: bool,
    /// Out of the member.
    out: bool,
    /// Into it.
    into: bool,
}

const WHOLE: Path = Path {
    link: true,
    out: true,
    into: true,
};

/// A switch beyond that floods, with targets at it, and the monitor of a, b and c at its ports; the bond's
/// choice is its first good member that stays as long as it is good.
struct Net {
    monitor: Monitor,
    paths: BTreeMap<PortIndex, Path>,
    /// Whether each target answers.
    alive: Vec<bool>,
    /// Others that speak on the segment, every 100 ms.
    chatter: bool,
    frames_in: BTreeMap<PortIndex, u64>,
    active: Option<PortIndex>,
    /// Answers and reflected probes under way, with the member they come in by.
    coming: Vec<(PortIndex, Neighbour)>,
    told: Vec<Changed>,
    sent: Vec<(PortIndex, IpAddr)>,
    now: Instant,
}

impl Net {
    fn new(change: impl FnOnce(&mut BondConfig)) -> Self {
        let mut config = BondConfig {
            mode: BondMode::ActiveBackup,
            arp_interval: 1000,
            ..BondConfig::default()
        };
        config.arp_ip_target = ["10.0.0.1", "10.0.0.2"]
            .map(|ip| ip.parse().expect("a target"))
            .to_vec();
        change(&mut config);
        let now = Instant::ZERO + ms(100_000);
        let rules = Rules::of(&config).expect("an interval");
        let mut monitor = Monitor::new(rules, now);
        let asked = config.targets().into_iter().map(|target| Asked {
            target: target.ip,
            ip: Ipv4Addr::UNSPECIFIED.into(),
            mac: OWN,
            tag: None,
        });
        monitor.set_asked(asked.collect(), now);
        let alive = vec![true; monitor.asked().len()];
        let mut net = Self {
            monitor,
            paths: MEMBERS.into_iter().map(|m| (m, WHOLE)).collect(),
            alive,
            chatter: false,
            frames_in: BTreeMap::new(),
            active: None,
            coming: Vec::new(),
            told: Vec::new(),
            sent: Vec::new(),
            now,
        };
        net.update();
        net
    }

    fn update(&mut self) {
        let seen: Vec<Seen> = MEMBERS
            .iter()
            .map(|member| Seen {
                member: *member,
                link: self.paths[member].link,
                frames_in: self.frames_in.get(member).copied().unwrap_or(0),
            })
            .collect();
        let told = self.monitor.judge(&seen, self.now);
        self.told.extend(told);
        let usable = |m: &PortIndex| self.monitor.allows(*m) && self.paths[m].link;
        if !self.active.is_some_and(|active| usable(&active)) {
            self.active = MEMBERS.into_iter().find(usable);
        }
        self.monitor.settle(self.active, self.now);
        for (member, asked) in self.monitor.take_probes() {
            self.sent.push((member, asked.target));
            if self.paths[&member].out && self.paths[&member].link {
                self.flood(member, asked);
            }
        }
    }

    /// A probe reaches the switch beyond by a member: the others see it, the target answers to the member.
    fn flood(&mut self, from: PortIndex, asked: Asked) {
        let probe = Neighbour {
            speech: Speech::Asks,
            src: OWN,
            dst: MacAddr::BROADCAST,
            sender: asked.ip,
            target: asked.target,
        };
        let others = MEMBERS.into_iter().filter(|member| *member != from);
        self.coming.extend(others.map(|member| (member, probe)));
        let at = self
            .monitor
            .asked()
            .iter()
            .position(|a| a.target == asked.target);
        if at.is_some_and(|at| self.alive[at]) {
            let answer = Neighbour {
                speech: Speech::Answers,
                src: MacAddr([2, 0, 0, 0, 0, 1]),
                dst: OWN,
                sender: asked.target,
                target: asked.ip,
            };
            self.coming.push((from, answer));
        }
    }

    fn receive(&mut self, member: PortIndex, frame: &Neighbour) {
        if self.paths[&member].into && self.paths[&member].link {
            *self.frames_in.entry(member).or_default() += 1;
            if self.monitor.listens(member).is_some() {
                self.monitor.hear(member, frame, self.now);
            }
        }
    }

    /// Time passes, in steps of 10 ms; what was sent arrives one step later.
    fn pass(&mut self, span: u64) {
        for step in 0..span / 10 {
            self.now = self.now + ms(10);
            for (member, frame) in std::mem::take(&mut self.coming) {
                self.receive(member, &frame);
            }
            if self.chatter && step % 10 == 0 {
                let other = Neighbour {
                    speech: Speech::Asks,
                    src: MacAddr([2, 0, 0, 0, 0, 7]),
                    dst: MacAddr::BROADCAST,
                    sender: target(77),
                    target: target(1),
                };
                for member in MEMBERS {
                    self.receive(member, &other);
                }
            }
            self.update();
        }
    }

    fn set(&mut self, member: PortIndex, change: impl FnOnce(&mut Path)) {
        change(self.paths.get_mut(&member).expect("a member"));
    }

    /// How long until that holds, at most a minute.
    fn until(&mut self, holds: impl Fn(&Self) -> bool) -> u64 {
        for passed in 0..6000 {
            if holds(self) {
                return passed * 10;
            }
            self.pass(10);
        }
        panic!("never: {:?}", self.monitor);
    }

    fn good(&self) -> Vec<PortIndex> {
        let good = |m: &PortIndex| self.monitor.verdict(*m) == Verdict::Good;
        MEMBERS.into_iter().filter(good).collect()
    }
}

const WORDS: [ArpValidate; 7] = [
    ArpValidate::None,
    ArpValidate::Active,
    ArpValidate::Backup,
    ArpValidate::All,
    ArpValidate::Filter,
    ArpValidate::FilterActive,
    ArpValidate::FilterBackup,
];

/// W-03, K-08: with everything in order nobody is ever given up, whatever is validated, in every mode.
#[test]
fn a_network_in_order_is_left_alone() {
    for validate in WORDS {
        for mode in [
            BondMode::ActiveBackup,
            BondMode::BalanceRr,
            BondMode::BalanceXor,
            BondMode::Broadcast,
        ] {
            for (all, missed_max) in [(ArpAllTargets::Any, 1), (ArpAllTargets::All, 2)] {
                let mut net = Net::new(|config| {
                    (config.mode, config.arp_validate) = (mode, validate);
                    (config.arp_all_targets, config.arp_missed_max) = (all, missed_max);
                });
                net.pass(30_000);
                assert_eq!(net.good(), MEMBERS, "{mode} {validate} {all}");
                assert_eq!(net.told, [], "{mode} {validate} {all}");
                let senders = if mode == BondMode::ActiveBackup { 1 } else { 3 };
                // 31 ticks, two targets.
                assert_eq!(net.sent.len(), 62 * senders, "{mode}");
            }
        }
    }
}

/// W-03: a path that loses frames one way or both, with carrier, is left in time for the next member, whose
/// turn comes back when it is whole and the other fails.
#[test]
fn a_path_that_loses_frames_is_left_and_used_again() {
    for validate in WORDS {
        for (out, into) in [(false, false), (true, false), (false, true)] {
            let mut net = Net::new(|config| config.arp_validate = validate);
            net.pass(5_000);
            net.set(A, |path| (path.out, path.into) = (out, into));
            let took = net.until(|net| net.active == Some(B));
            // missed_max and a half, and as long until the next look; unvalidated up to one less.
            assert!((1_500..=3_600).contains(&took), "{validate}: {took} ms");
            assert_eq!(net.told.first().map(|told| told.member), Some(A));
            net.pass(10_000);
            assert_eq!(net.active, Some(B), "stays");
            // On standby it has to receive and no more.
            assert_eq!(net.good().contains(&A), into, "{validate}");
            net.set(A, |path| *path = WHOLE);
            let took = net.until(|net| net.good() == MEMBERS);
            assert!(took <= 2_100, "{validate}: good again after {took} ms");
            net.set(B, |path| path.out = false);
            net.until(|net| net.active == Some(A));
        }
    }
}

/// eve PR#5939: other hosts' broadcasts keep a dead path up where nothing is validated, and only there.
#[test]
fn chatter_fools_those_who_do_not_validate() {
    for validate in WORDS {
        let mut net = Net::new(|config| config.arp_validate = validate);
        net.chatter = true;
        net.pass(5_000);
        net.set(A, |path| path.out = false);
        net.pass(10_000);
        let moved = net.active != Some(A);
        assert_eq!(moved, validate.validates(true), "{validate}");
    }
}

/// K-09: one target of two is enough, or is not.
#[test]
fn one_answer_or_every_one() {
    for (all, lost) in [(ArpAllTargets::Any, false), (ArpAllTargets::All, true)] {
        let mut net = Net::new(|config| {
            (config.arp_validate, config.arp_all_targets) = (ArpValidate::All, all);
        });
        net.pass(5_000);
        net.alive[1] = false;
        net.pass(3_990);
        let told = net.told.first().cloned();
        assert_eq!(told.is_some(), lost, "{all}");
        if let Some(told) = told {
            let expected = "no ARP reply from 10.0.0.2 for 2 intervals";
            assert_eq!((told.member, told.silent.as_deref()), (A, Some(expected)));
        }
        net.alive[1] = true;
        net.until(|net| net.active.is_some() && net.good().contains(&net.active.unwrap_or(A)));
    }
}

/// K-10: how many intervals without an answer.
#[test]
fn a_member_is_given_up_after_missed_max() {
    for missed_max in [1, 2, 5, 255] {
        let mut net = Net::new(|config| {
            (config.arp_validate, config.arp_missed_max) = (ArpValidate::Active, missed_max);
        });
        net.pass(5_500);
        net.set(A, |path| path.into = false);
        // The last answer came 490 ms ago; it is stale half an interval after missed_max of them.
        let stale = u64::from(missed_max) * 1000 + 500 - 490;
        net.pass(stale);
        assert_eq!(net.active, Some(A), "{missed_max}");
        net.pass(500);
        assert_eq!(net.active, Some(B), "{missed_max}");
    }
}

/// With nobody answering, members are tried in turn, one an interval, and the first that is answered carries.
#[test]
fn one_member_after_the_other_is_tried() {
    let mut net = Net::new(|config| config.arp_validate = ArpValidate::All);
    net.pass(5_000);
    for member in MEMBERS {
        net.set(member, |path| path.out = false);
    }
    net.until(|net| net.good().is_empty());
    net.sent.clear();
    net.pass(12_000);
    let turns: Vec<PortIndex> = net.sent.iter().step_by(2).map(|(by, _)| *by).collect();
    assert_eq!(turns.len(), 12);
    for three in turns.windows(3) {
        let mut three = three.to_vec();
        three.sort_unstable();
        assert_eq!(three, MEMBERS, "{turns:?}");
    }
    assert_eq!(net.active, None);
    net.set(C, |path| path.out = true);
    let took = net.until(|net| net.active == Some(C));
    assert!(took <= 3_100, "at its next turn: {took} ms");
    net.pass(10_000);
    assert_eq!(
        (net.active, net.good().len()),
        (Some(C), 3),
        "the others see its probes"
    );
}

/// The loss of a link acts at once, and one that is back has to be heard first.
#[test]
fn a_link_that_returns_has_to_be_heard() {
    let mut net = Net::new(|config| config.arp_validate = ArpValidate::All);
    net.pass(5_000);
    net.set(A, |path| (path.link, path.into) = (false, false));
    net.pass(10);
    assert_eq!(net.active, Some(B));
    net.set(A, |path| path.link = true);
    net.pass(5_000);
    assert_eq!(net.good(), [B, C]);
    assert_eq!(
        net.monitor.why(A),
        Some("its link was lost, and it has not been heard since")
    );
    net.set(A, |path| path.into = true);
    net.until(|net| net.good() == MEMBERS);
}

/// Modes 0, 2 and 3: each member by itself.
#[test]
fn where_all_carry_each_has_to_send_and_hear() {
    for validate in WORDS {
        let mut net = Net::new(|config| {
            (config.mode, config.arp_validate) = (BondMode::BalanceXor, validate);
        });
        net.pass(5_000);
        net.set(B, |path| path.into = false);
        net.pass(4_000);
        assert_eq!(net.good(), [A, C], "{validate}");
        net.set(B, |path| path.into = true);
        net.pass(2_100);
        assert_eq!(net.good(), MEMBERS, "{validate}");
    }
}

/// N-07: rules and targets change while the members stay what they are.
#[test]
fn a_change_costs_no_member() {
    let mut net = Net::new(|config| config.arp_validate = ArpValidate::All);
    net.pass(10_000);
    let mut rules = net.monitor.rules;
    (rules.interval, rules.all_targets) = (ms(100), true);
    net.monitor.set_rules(rules, net.now);
    let mut asked = net.monitor.asked().to_vec();
    asked.push(Asked {
        target: target(3),
        ..asked[0]
    });
    net.alive.push(true);
    net.monitor.set_asked(asked, net.now);
    net.pass(10_000);
    assert_eq!((net.told.len(), net.active), (0, Some(A)));
}

/// What is an answer to us and what is not; a node with an address, and one without.
#[test]
fn an_answer_is_from_a_target_and_to_us() {
    let with = |target: &str, ip: &str| Asked {
        target: target.parse().expect("an address"),
        ip: ip.parse().expect("an address"),
        mac: OWN,
        tag: None,
    };
    let said = |speech, dst, sender: &str, target: &str| Neighbour {
        speech,
        src: MacAddr([2, 0, 0, 0, 0, 1]),
        dst,
        sender: sender.parse().expect("an address"),
        target: target.parse().expect("an address"),
    };
    use Speech::{Answers, Asks};
    let v4 = with("10.0.0.1", "10.0.0.7");
    let nobody = with("10.0.0.1", "0.0.0.0");
    let v6 = with("fd00::1", "fd00::7");
    let table = [
        (v4, said(Answers, OWN, "10.0.0.1", "10.0.0.7"), true),
        (
            v4,
            said(Asks, MacAddr::BROADCAST, "10.0.0.1", "10.0.0.7"),
            true,
        ),
        (
            v4,
            said(Asks, MacAddr::BROADCAST, "10.0.0.1", "10.0.0.1"),
            false,
        ),
        (v4, said(Answers, OWN, "10.0.0.2", "10.0.0.7"), false),
        (nobody, said(Answers, OWN, "10.0.0.1", "0.0.0.0"), true),
        (nobody, said(Answers, OWN, "10.0.0.1", "10.0.0.9"), true),
        (
            nobody,
            said(Asks, MacAddr::BROADCAST, "10.0.0.1", "0.0.0.0"),
            false,
        ),
        (
            nobody,
            said(Answers, MacAddr::BROADCAST, "10.0.0.1", "0.0.0.0"),
            false,
        ),
        (v6, said(Answers, OWN, "fd00::1", "fd00::7"), true),
        (v6, said(Answers, OWN, "fd00::1", "ff02::1"), true),
        (v6, said(Answers, OWN, "fd00::1", "fd00::8"), false),
        (v6, said(Asks, OWN, "fd00::1", "fd00::7"), false),
    ];
    for (asked, heard, answered) in table {
        assert_eq!(
            asked.is_answered_by(&heard),
            answered,
            "{asked:?} {heard:?}"
        );
    }
}

/// Whatever gets through when, the bond's active member is never one whose path has been dead for long while
/// another's was whole, and nobody is kept out for long whose path is whole.
#[test]
fn random_paths_end_with_a_member_that_works() {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for round in 0..70 {
        let validate = WORDS[usize::try_from(round % 7).expect("few")];
        let mut net = Net::new(|config| config.arp_validate = validate);
        for _ in 0..6 {
            for member in MEMBERS {
                let bits = draw(16);
                net.set(member, |path| {
                    path.link = bits & 3 != 0;
                    // Both ways alike: who does not validate would trust a path that only receives.
                    (path.out, path.into) = (bits & 4 != 0, bits & 4 != 0);
                });
            }
            net.pass(10 * (1 + draw(700)));
        }
        let whole = MEMBERS[usize::try_from(draw(3)).expect("few")];
        net.set(whole, |path| *path = WHOLE);
        net.pass(12_000);
        let active = net.active.expect("somebody works");
        let path = net.paths[&active];
        assert!(
            path.link && path.out && path.into,
            "{validate}: {:?}",
            net.monitor
        );
        assert!(net.good().contains(&whole), "{validate}: {:?}", net.monitor);
    }
}
