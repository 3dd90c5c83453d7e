//! Bonds that send from their members' addresses: whose address is whose, who lets what in, who is announced.

use super::*;
use vswitch_api::config::TlbSrc;
use vswitch_base::MacWord;
use vswitch_core::bond::{Balance, Rewritten};

const MODES: [BondMode; 2] = [BondMode::BalanceTlb, BondMode::BalanceAlb];

fn mac(last: u8) -> MacWord {
    MacAddr([2, 0, 0, 0, 0, last]).word()
}

/// Three links, of the addresses 1, 2 and 3.
fn bench(change: impl FnOnce(&mut BondConfig)) -> Bench {
    let mut bench = Bench::new(|config| {
        (config.mode, config.tlb_src) = (BondMode::BalanceTlb, TlbSrc::Rewrite);
        change(config);
    });
    for (last, seen) in (1..).zip(&mut bench.seen) {
        seen.mac = Some(mac(last).mac());
        seen.speed_mbps = Some(10_000);
    }
    bench.links([true; 3]);
    bench
}

fn sends(bench: &Bench) -> Rewritten {
    match bench.bond.transmit() {
        Transmit::Rewritten(rewritten) => rewritten.clone(),
        other => panic!("{other:?}"),
    }
}

/// K-22: what decides the member, mode by mode, and who may be chosen.
#[test]
fn flows_leave_by_all_members() {
    for (mode, dynamic, expected) in [
        (MODES[0], OnOff::ON, Balance::Flow(Flow::Layer34)),
        (MODES[0], OnOff::OFF, Balance::Flow(Flow::Layer34)),
        (MODES[1], OnOff::ON, Balance::Destination),
        (MODES[1], OnOff::OFF, Balance::Adaptive(Flow::Layer34)),
    ] {
        let bench = bench(|config| {
            (config.mode, config.tlb_dynamic_lb) = (mode, dynamic);
            config.xmit_hash_policy = vswitch_api::config::HashPolicy::Layer34;
        });
        let by = sends(&bench);
        assert_eq!((by.active, by.balance), (A, expected), "{mode}");
        assert_eq!(by.buckets, Buckets::new(&[A, B, C]), "{mode}");
    }
}

/// the active member has the bond's address, whoever that is; the one whose that was has the active one's
/// in exchange; a member without an address, or with one that another has, sends nothing.
#[test]
fn no_two_members_send_from_one_address() {
    let mut bench = bench(|_| {});
    let sources = |bench: &Bench| sends(bench).sources.to_vec();
    assert_eq!(sources(&bench), [(B, mac(2)), (C, mac(3))]);
    bench.bond.set_active("b").expect("taken");
    bench.update();
    assert_eq!(sends(&bench).active, B);
    assert_eq!(sources(&bench), [(A, mac(2)), (C, mac(3))]);
    assert_eq!(
        bench.bond.taught(),
        [(B, mac(1)), (A, mac(2)), (C, mac(3))].map(|(m, mac)| (m, mac.mac()))
    );
    bench.seen[2].mac = None;
    bench.update();
    assert_eq!(sources(&bench), [(A, mac(2))]);
    assert!(!sends(&bench).buckets.owners().contains(&C));
    bench.seen[2].mac = Some(mac(2).mac());
    bench.update();
    assert_eq!(sources(&bench), [(A, mac(2))]);
}

/// K-19, N-02: one member lets in all but what another one sent.
#[test]
fn the_active_member_lets_in_all_but_the_bonds_own() {
    for mode in MODES {
        let strangers = Some(Admits::Strangers([mac(1), mac(2), mac(3)].into()));
        let mut open = bench(|config| (config.mode, config.all_slaves_active) = (mode, OnOff::ON));
        assert_eq!(open.bond.admits(C), strangers);
        open.links([true, false, true]);
        let mut bench = bench(|config| config.mode = mode);
        assert!(bench.bond.reflects());
        let nothing = Some(Admits::Nothing);
        for (links, expected) in [
            ([true, true, true], [&strangers, &nothing, &nothing]),
            ([false, true, true], [&nothing, &strangers, &nothing]),
            ([true, true, true], [&nothing, &strangers, &nothing]),
        ] {
            bench.links(links);
            let admits = [A, B, C].map(|member| bench.bond.admits(member));
            assert_eq!(admits.each_ref(), expected, "{mode} {links:?}");
        }
    }
}

/// N-05: everybody is announced when another member lets things in, and not when one that only sent goes.
#[test]
fn stations_are_announced_when_the_active_member_changes() {
    let mut bench = bench(|_| {});
    assert!(bench.bond.take_moved(), "from nothing");
    bench.links([true, true, false]);
    assert!(!bench.bond.take_moved());
    let told = bench.links([false, true, true]);
    assert!(bench.bond.take_moved());
    let active = Happened::Active {
        member: Some("b".to_owned()),
        before: Some("a".to_owned()),
    };
    assert!(told.contains(&active), "{told:?}");
    bench.links([true, true, true]);
    assert!(!bench.bond.take_moved(), "b stays");
    bench.bond.set_active("c").expect("taken");
    bench.update();
    assert!(bench.bond.take_moved(), "by hand");
    // And where another kind of bond becomes one.
    let mut wanted = bench.bond.wanted().clone();
    wanted.config.tlb_src = TlbSrc::Pin;
    bench.bond.configure(&wanted);
    bench.update();
    assert!(matches!(bench.bond.admits(A), Some(Admits::Share(_))));
    assert!(bench.bond.take_moved());
    wanted.config.tlb_src = TlbSrc::Rewrite;
    bench.bond.configure(&wanted);
    bench.update();
    assert!(bench.bond.take_moved());
}

#[test]
fn operators_see_who_sends_from_which_address() {
    let bench = bench(|_| {});
    let wall = crate::wall::WallClock::default();
    let rows = bench.bond.rows(wall, bench.now).into_iter();
    let told: Vec<(String, String)> = rows.map(|row| (row.role, row.reason)).collect();
    let expected = [
        ("active", "carries flows, and lets in what comes"),
        ("carrying", "carries flows, as from 02:00:00:00:00:02"),
        ("carrying", "carries flows, as from 02:00:00:00:00:03"),
    ];
    assert_eq!(told, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
}
