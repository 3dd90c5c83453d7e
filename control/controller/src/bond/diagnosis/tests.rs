//! Each rule with a member that it is about, and that a sound bond has nothing said of it.

use super::*;
use vswitch_base::{Duration, Instant, MacAddr, PortIndex};
use vswitch_lacp::{
    Config, Lacp, Lacpdu, LinkState, MemberConfig, ParticipantInfo, PortId, SystemId,
};

const NAMES: [&str; 2] = ["eth0", "eth1"];
const OURS: MacAddr = MacAddr([0x0c, 0x42, 0xa1, 0, 0, 1]);
const LEAF1: MacAddr = MacAddr([0, 0x1c, 0x73, 0xaa, 0, 1]);
const LEAF4: MacAddr = MacAddr([0, 0x1c, 0x73, 0xbb, 0, 7]);
const IN_SYNC: PortState = PortState(0x3d);

/// Two members with links, and what they hear.
struct Bench {
    config: BondConfig,
    lacp: Lacp,
    now: Instant,
    speeds: [u32; 2],
}

impl Bench {
    fn new(config: BondConfig) -> Self {
        let system = SystemId {
            priority: 65_535,
            mac: OURS,
        };
        let mut lacp = Lacp::new(Config {
            active: config.lacp_active.0,
            min_links: u16::try_from(config.min_links).expect("small"),
            ..Config::new(system)
        });
        let now = Instant::ZERO + Duration::from_secs(1);
        for number in [1, 2] {
            let member = MemberConfig {
                number,
                priority: 255,
                user_key: 0,
                enabled: true,
                aggregatable: true,
            };
            let link = LinkState {
                up: true,
                speed: 10_000,
                full_duplex: true,
            };
            let index = PortIndex(number);
            lacp.add_member(index, member, link, now).expect("new");
        }
        Self {
            config,
            lacp,
            now,
            speeds: [10_000; 2],
        }
    }

    /// LACP with all defaults.
    fn lacp() -> Self {
        Self::new(BondConfig {
            mode: BondMode::Lacp,
            ..BondConfig::default()
        })
    }

    /// A member hears that system, with that key and state, which knows us.
    fn hear(&mut self, member: u16, mac: MacAddr, key: u16, state: PortState) {
        let index = PortIndex(member);
        let ours = self.lacp.member(index).expect("a member").actor;
        let theirs = ParticipantInfo {
            system: SystemId { priority: 1, mac },
            key: Key(key),
            port: PortId {
                priority: 255,
                number: member,
            },
            state,
        };
        let pdu = Lacpdu::new(theirs, ours);
        self.lacp.handle_lacpdu(index, pdu, self.now);
    }

    fn pass(&mut self, seconds: u64) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(at) = self.lacp.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.lacp.handle_timeout(self.now);
            while self.lacp.poll_transmit(self.now).is_some() {}
        }
        self.now = end;
    }

    fn found(&self) -> Vec<BondFinding> {
        let speaks = self.config.mode == BondMode::Lacp;
        let seen = [0, 1].map(|at| Seen {
            name: NAMES[at],
            usable: true,
            speed_mbps: Some(self.speeds[at]),
            lacp: self
                .lacp
                .member(PortIndex(u16::try_from(at).expect("small") + 1))
                .filter(|_| speaks),
            unasked: !speaks && at == 1,
        });
        let verdict = speaks.then(|| self.lacp.verdict());
        diagnose(&self.config, verdict, &seen)
    }

    /// Kinds and members of what is found.
    fn kinds(&self) -> Vec<(String, Vec<String>)> {
        let found = self.found();
        for finding in &found {
            assert!(!finding.hint.is_empty() && finding.severity != Severity::Info);
            assert!(!finding.message.contains('\n') && !finding.message.is_empty());
        }
        found.into_iter().map(|f| (f.kind, f.members)).collect()
    }
}

fn kinds(list: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    let owned = |members: &[&str]| members.iter().map(|m| (*m).to_owned()).collect();
    list.iter()
        .map(|(kind, members)| ((*kind).to_owned(), owned(members)))
        .collect()
}

#[test]
fn of_a_sound_bond_nothing_is_said() {
    let mut bench = Bench::lacp();
    for _ in 0..4 {
        bench.hear(1, LEAF1, 32, IN_SYNC);
        bench.hear(2, LEAF1, 32, IN_SYNC);
        bench.pass(25);
    }
    assert!(bench.lacp.verdict().is_up());
    assert_eq!(bench.kinds(), []);
}

#[test]
fn nothing_is_said_while_it_may_still_come() {
    let mut bench = Bench::lacp();
    bench.pass(1);
    assert_eq!(bench.kinds(), []);
}

/// S-24: the cables end on two switches.
#[test]
fn members_that_hear_different_systems_are_miscabled() {
    let mut bench = Bench::lacp();
    bench.hear(1, LEAF1, 32, IN_SYNC);
    bench.hear(2, LEAF4, 32, IN_SYNC);
    assert_eq!(bench.kinds(), kinds(&[("miscabled", &["eth0", "eth1"])]));
    let found = bench.found();
    assert_eq!(
        found[0].message,
        "the members lead to 2 systems: eth0 hears 00:1c:73:aa:00:01; eth1 hears 00:1c:73:bb:00:07"
    );
    assert!(found[0].hint.contains("MLAG"));
}

#[test]
fn one_system_with_two_keys_has_two_lags() {
    let mut bench = Bench::lacp();
    bench.hear(1, LEAF1, 32, IN_SYNC);
    bench.hear(2, LEAF1, 33, IN_SYNC);
    assert_eq!(bench.kinds(), kinds(&[("partner-keys", &["eth0", "eth1"])]));
    let text = &bench.found()[0].message;
    assert!(text.contains("eth1 hears key 33"), "{text}");
}

#[test]
fn a_silent_partner_is_told_by_what_can_be_done_about_it() {
    let mut bench = Bench::lacp();
    bench.pass(10);
    assert_eq!(bench.kinds(), kinds(&[("no-partner", &["eth0", "eth1"])]));
    bench.config.lacp_active.0 = false;
    assert_eq!(bench.kinds(), kinds(&[("passive", &["eth0", "eth1"])]));

    let mut bench = Bench::lacp();
    bench.hear(1, LEAF1, 32, IN_SYNC);
    bench.hear(2, LEAF1, 32, IN_SYNC);
    // The long timeout, and a part of the three seconds after it.
    bench.pass(91);
    let both = [
        ("partner-late", &["eth0"] as &[&str]),
        ("partner-late", &["eth1"]),
    ];
    assert_eq!(bench.kinds(), kinds(&both));
}

#[test]
fn a_member_that_hears_this_very_system_is_a_loop() {
    let mut bench = Bench::lacp();
    bench.hear(1, LEAF1, 32, IN_SYNC);
    bench.hear(2, OURS, 15, IN_SYNC);
    bench.pass(10);
    assert_eq!(bench.kinds(), kinds(&[("loopback", &["eth1"])]));
    assert_eq!(bench.found()[0].severity, Severity::Error);
}

#[test]
fn a_partner_that_stands_alone_is_told() {
    let mut bench = Bench::lacp();
    bench.hear(
        1,
        LEAF1,
        32,
        PortState(IN_SYNC.0 & !PortState::AGGREGATION.0),
    );
    bench.hear(
        2,
        LEAF1,
        32,
        PortState(IN_SYNC.0 & !PortState::AGGREGATION.0),
    );
    let both = [
        ("partner-individual", &["eth0"] as &[&str]),
        ("partner-individual", &["eth1"]),
    ];
    assert_eq!(bench.kinds(), kinds(&both));
}

#[test]
fn a_minute_out_of_sync_is_churn() {
    let mut bench = Bench::lacp();
    let waiting = PortState(0x05);
    for _ in 0..4 {
        bench.hear(1, LEAF1, 32, IN_SYNC);
        bench.hear(2, LEAF1, 32, waiting);
        bench.pass(20);
    }
    assert_eq!(bench.kinds(), kinds(&[("churn", &["eth1"])]));
    assert!(bench.found()[0].message.starts_with("the partner of eth1"));
}

#[test]
fn too_few_links_keep_the_bond_down() {
    let mut bench = Bench::new(BondConfig {
        mode: BondMode::Lacp,
        min_links: 2,
        ..BondConfig::default()
    });
    for _ in 0..2 {
        bench.hear(1, LEAF1, 32, IN_SYNC);
        bench.hear(2, LEAF1, 32, PortState(0x05));
        bench.pass(5);
    }
    assert_eq!(bench.kinds(), kinds(&[("min-links", &[])]));
    assert!(
        bench.found()[0]
            .message
            .contains("1 of at least 2 members carry frames")
    );
}

#[test]
fn speeds_matter_where_members_have_equal_parts() {
    for (mode, key_policy, told) in [
        (BondMode::BalanceXor, KeyPolicy::Speed, true),
        (BondMode::BalanceRr, KeyPolicy::Speed, true),
        (BondMode::ActiveBackup, KeyPolicy::Speed, false),
        (BondMode::BalanceTlb, KeyPolicy::Speed, false),
        (BondMode::Lacp, KeyPolicy::Speed, true),
        (BondMode::Lacp, KeyPolicy::Fixed, false),
    ] {
        let mut bench = Bench::new(BondConfig {
            mode,
            key_policy,
            ..BondConfig::default()
        });
        bench.speeds = [10_000, 1_000];
        let found = bench.found();
        let speeds: Vec<_> = found.iter().filter(|f| f.kind == "speeds").collect();
        assert_eq!(speeds.len(), usize::from(told), "{mode}");
        if told {
            let text = &speeds[0].message;
            assert!(
                text.contains("eth1 1000 Mbit/s; eth0 10000 Mbit/s"),
                "{text}"
            );
        }
    }
}

/// S-24: a LAG with LACP on the switch, and a mode without it here.
#[test]
fn lacp_on_a_bond_that_does_not_speak_it_is_told() {
    let bench = Bench::new(BondConfig {
        mode: BondMode::BalanceXor,
        ..BondConfig::default()
    });
    assert_eq!(bench.kinds(), kinds(&[("lacp-unasked", &["eth1"])]));
    let text = &bench.found()[0].message;
    assert!(
        text.contains("eth1 speaks LACP") && text.contains("balance-xor"),
        "{text}"
    );
}

/// S-24: the same partner key on two bonds.
#[test]
fn one_lag_of_the_switch_for_two_bonds_is_told() {
    let partner = |member, mac, key| Partner {
        member,
        system: SystemId { priority: 1, mac },
        key: Key(key),
    };
    let own = [partner("eth0", LEAF1, 32)];
    let other = |mac, key| vec![("oob-bo", vec![partner("eth2", mac, key)])];
    let found = shared(&own, &other(LEAF1, 32));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].kind, "partner-shared");
    assert!(found[0].message.contains("eth2 of bond oob-bo"));
    assert_eq!(shared(&own, &other(LEAF1, 33)), []);
    assert_eq!(shared(&own, &other(LEAF4, 32)), []);
}
