//! What operators see of a bond, and the active member that they choose.

use super::*;
use crate::bond::{Happened, LinkSeen, WantedBond};
use vswitch_api::config::BondConfig;
use vswitch_base::{Duration, MacAddr};
use vswitch_core::bond::Transmit;
use vswitch_lacp::{Config, Lacp, LinkState as LacpLink, MemberConfig, SystemId};

const WALL: WallClock = WallClock { unix_ns_at_zero: 0 };

fn second(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn bond(change: impl FnOnce(&mut BondConfig)) -> Bond {
    let mut config = BondConfig {
        mode: BondMode::ActiveBackup,
        members: ["a", "b"].map(str::to_owned).to_vec(),
        ..BondConfig::default()
    };
    change(&mut config);
    let indices = [PortIndex(1), PortIndex(2)];
    let members = config.members.iter().cloned().zip(indices).collect();
    Bond::new(&WantedBond { config, members })
}

fn links(bond: &mut Bond, running: [bool; 2], at: u64) -> Vec<Happened> {
    let seen = |member: &Member| LinkSeen {
        attached: true,
        running: running[usize::from(member.index.0) - 1],
        speed_mbps: Some(10_000),
        mac: Some(MacAddr([2, 0, 0, 0, 0, 1])),
        ..LinkSeen::default()
    };
    bond.update(seen, second(at))
}

/// Each member's link, role, failures and second since when.
fn told(bond: &Bond) -> Vec<(String, String, u64, String)> {
    let rows = bond.rows(WALL, second(100));
    rows.into_iter()
        .map(|row| {
            (
                row.link,
                row.role,
                row.failures,
                row.since[17..19].to_owned(),
            )
        })
        .collect()
}

fn row(link: &str, role: &str, failures: u64, since: &str) -> (String, String, u64, String) {
    (link.to_owned(), role.to_owned(), failures, since.to_owned())
}

#[test]
fn each_state_has_its_reason_and_its_beginning() {
    let mut bond = bond(|config| config.downdelay = 1000);
    assert_eq!((bond.state(), bond.since()), (BondState::Down, None));
    links(&mut bond, [true, true], 1);
    assert_eq!(
        (bond.state(), bond.since()),
        (BondState::Up, Some(second(1)))
    );
    assert_eq!(bond.why(), None);
    assert_eq!(
        told(&bond),
        [row("up", "active", 0, "01"), row("up", "standby", 0, "01")]
    );
    assert_eq!(bond.rows(WALL, second(1))[1].reason, "stands by for a");

    links(&mut bond, [false, true], 2);
    assert_eq!(bond.state(), BondState::Degraded);
    assert_eq!(
        bond.why().as_deref(),
        Some("a lost its link, and has until downdelay")
    );
    assert_eq!(told(&bond)[0], row("failing", "active", 0, "02"));
    links(&mut bond, [false, true], 3);
    assert_eq!(
        told(&bond),
        [row("down", "down", 1, "03"), row("up", "active", 0, "01")]
    );
    assert_eq!(bond.since(), Some(second(2)), "degraded all the time");

    links(&mut bond, [false, false], 4);
    links(&mut bond, [false, false], 5);
    assert_eq!(
        (bond.state(), bond.since()),
        (BondState::Down, Some(second(5)))
    );
    assert_eq!(
        bond.why().as_deref(),
        Some("no member can be used: a down, b down")
    );
    links(&mut bond, [true, true], 6);
    assert_eq!(
        told(&bond),
        [row("up", "active", 1, "06"), row("up", "standby", 1, "06")]
    );
}

/// K-14: it lasts until a link changes; then the bond chooses by its own rules.
#[test]
fn an_active_member_chosen_by_hand_stays_until_the_next_choice() {
    let mut bond = bond(|config| config.primary = Some("a".to_owned()));
    links(&mut bond, [true, true], 1);
    assert_eq!(bond.active_name().as_deref(), Some("a"));
    assert_eq!(bond.set_active("b"), Ok(Some("a".to_owned())));
    let happened = links(&mut bond, [true, true], 2);
    assert_eq!(
        happened,
        [Happened::Active {
            member: Some("b".to_owned()),
            before: Some("a".to_owned())
        }]
    );
    assert!(bond.take_moved(), "whoever is behind it is announced");
    assert_eq!(*bond.transmit(), Transmit::One(PortIndex(2)));
    links(&mut bond, [true, true], 3);
    assert!(bond.is_by_hand() && bond.active_name().as_deref() == Some("b"));

    links(&mut bond, [true, false], 4);
    assert!(!bond.is_by_hand() && bond.active_name().as_deref() == Some("a"));
    links(&mut bond, [true, true], 5);
    assert_eq!(bond.active_name().as_deref(), Some("a"));

    assert_eq!(bond.set_active("b"), Ok(Some("a".to_owned())));
    let wanted = bond.wanted().clone();
    bond.configure(&wanted);
    links(&mut bond, [true, true], 6);
    assert_eq!(bond.active_name().as_deref(), Some("a"), "configured anew");
}

/// A member that the monitor gave up has carrier and is lost all the same.
#[test]
fn a_silent_member_is_told_like_a_lost_one() {
    let mut bond = bond(|_| {});
    links(&mut bond, [true, true], 1);
    assert!(bond.set_active("b").is_ok());
    let silent = |why: Option<&str>| Happened::Monitor {
        member: "b".to_owned(),
        silent: why.map(str::to_owned),
    };
    bond.take_failure(&silent(Some("10.0.0.1 does not answer")));
    bond.members[1].silent = true;
    assert!(!bond.is_by_hand(), "the bond chooses again");
    let row = &bond.rows(WALL, second(2))[1];
    assert_eq!(
        (row.link.as_str(), row.role.as_str(), row.failures),
        ("up", "down", 1)
    );
    assert_eq!(bond.state(), BondState::Degraded);
    let refused = bond.set_active("b");
    assert!(matches!(refused, Err(NoChoice::Silent(_))), "{refused:?}");
    bond.take_failure(&silent(None));
    assert_eq!(
        bond.rows(WALL, second(3))[1].failures,
        1,
        "that it is heard again is no failure"
    );
}

#[test]
fn nobody_is_made_active_who_cannot_be() {
    let mut alone = bond(|_| {});
    links(&mut alone, [true, false], 1);
    assert_eq!(
        alone.set_active("b"),
        Err(NoChoice::Unusable(LinkState::Down))
    );
    let known = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(alone.set_active("c"), Err(NoChoice::Unknown(known)));
    for (mode, can) in [
        (BondMode::BalanceRr, false),
        (BondMode::BalanceXor, false),
        (BondMode::Broadcast, false),
        (BondMode::Lacp, false),
        (BondMode::BalanceSlb, false),
        (BondMode::BalanceTlb, true),
        (BondMode::BalanceAlb, true),
    ] {
        let mut bond = bond(|config| config.mode = mode);
        links(&mut bond, [true, true], 1);
        let chosen = bond.set_active("b");
        assert_eq!(chosen.is_ok(), can, "{mode}: {chosen:?}");
    }
}

#[test]
fn lacp_without_a_partner_says_what_is_missing() {
    let mut bond = bond(|config| config.mode = BondMode::Lacp);
    links(&mut bond, [true, true], 1);
    assert_eq!(bond.state(), BondState::Down);
    assert_eq!(bond.why().as_deref(), Some("LACP is being negotiated"));
    let lacp = bond.lacp_row().expect("it speaks");
    assert_eq!(
        (lacp.system.as_str(), lacp.verdict.as_str()),
        ("02:00:00:00:00:01", "negotiating")
    );
    assert_eq!(told(&bond)[0].1, "waiting");
    // Three seconds, and nobody answers: one member works without.
    for at in 2..6 {
        links(&mut bond, [true, true], at);
    }
    let lacp = bond.lacp_row().expect("it speaks");
    assert_eq!(
        (bond.state(), lacp.verdict.as_str()),
        (BondState::Degraded, "fallback")
    );
    let why = bond.why().expect("a reason");
    assert!(why.contains("a carries frames without LACP"), "{why}");
}

#[test]
fn a_member_of_lacp_is_told_with_letters_and_counters() {
    let config = |last| {
        Config::new(SystemId {
            priority: 7,
            mac: MacAddr([2, 0, 0, 0, 0, last]),
        })
    };
    let mut ends = [Lacp::new(config(1)), Lacp::new(config(2))];
    let member = PortIndex(1);
    let link = LacpLink {
        up: true,
        speed: 10_000,
        full_duplex: true,
    };
    let said = MemberConfig {
        number: 9,
        priority: 255,
        user_key: 0,
        enabled: true,
        aggregatable: true,
    };
    for end in &mut ends {
        end.add_member(member, said, link, second(1)).expect("new");
    }
    let status = ends[0].member(member).expect("a member");
    let row = lacp_member(&status, WALL, second(1));
    assert_eq!((row.partner, row.heard_ms), (None, None));
    for tenth in 10..100 {
        let now = Instant::ZERO + Duration::from_millis(tenth * 100);
        let [a, b] = &mut ends;
        a.handle_timeout(now);
        b.handle_timeout(now);
        while let Some((_, pdu)) = a.poll_transmit(now) {
            b.handle_pdu(member, &pdu, now).expect("well formed");
        }
        while let Some((_, pdu)) = b.poll_transmit(now) {
            a.handle_pdu(member, &pdu, now).expect("well formed");
        }
    }
    let status = ends[0].member(member).expect("a member");
    let heard = status.heard.expect("it was heard");
    let row = lacp_member(&status, WALL, heard + Duration::from_millis(400));
    assert_eq!(row.heard_ms, Some(400));
    assert_eq!(row.mux, "COLLECTING_DISTRIBUTING");
    assert_eq!(
        (row.receive.as_str(), row.selected.as_str()),
        ("CURRENT", "yes")
    );
    assert_eq!(
        (row.actor_churn.as_str(), row.aggregator),
        ("none", Some(9))
    );
    let partner = row.partner.expect("a partner");
    assert_eq!(
        (
            partner.system.as_str(),
            partner.system_priority,
            partner.port,
            partner.key
        ),
        ("02:00:00:00:00:02", 7, 9, 15)
    );
    assert_eq!(
        (partner.state, partner.state_letters.as_str()),
        (0x3d, "ASGCD---")
    );
    assert!(row.lacpdus_in > 0 && row.lacpdus_out > 0);
}
