//! Selection by tables: which aggregator, which ports.

use super::*;
use crate::port::{LinkState, MemberConfig};
use vswitch_base::MacAddr;

/// A member that is up: number, speed, priority, partner (0 for none).
fn port(number: u16, speed: u32, priority: u16, partner: u8) -> (PortIndex, LacpPort) {
    let config = MemberConfig {
        number,
        priority,
        user_key: 0,
        enabled: true,
        aggregatable: true,
    };
    let link = LinkState {
        up: true,
        speed,
        full_duplex: true,
    };
    let mut port = LacpPort::new(config, link);
    port.apply(
        SystemId {
            priority: 5,
            mac: MacAddr([2; 6]),
        },
        PortState(1),
        true,
        false,
    );
    port.vars.begin = false;
    if partner != 0 {
        port.vars.partner.system = SystemId {
            priority: 9,
            mac: MacAddr([partner; 6]),
        };
        port.vars.partner.port = PortId {
            priority: 1000 - number,
            number,
        };
        port.vars.partner.state = PortState::AGGREGATION;
    }
    (PortIndex(number), port)
}

type Four = [(u32, u16, u8); 4];

fn run(
    ports: Four,
    active: Option<u16>,
    policy: Policy,
) -> (Option<u16>, [Selected; 4], [Option<u16>; 4]) {
    let numbered = (1..).zip(ports);
    let mut ports: BTreeMap<_, _> = numbered
        .map(|(number, (speed, priority, partner))| port(number, speed, priority, partner))
        .collect();
    if active.is_some() {
        select(&mut ports, active, policy, &mut BTreeSet::new());
        for port in ports.values_mut().filter(|port| port.aggregator == active) {
            port.mux.enter(
                MuxState::CollectingDistributing,
                &mut port.vars,
                vswitch_base::Instant::ZERO,
            );
        }
    }
    let chosen = select(&mut ports, active, policy, &mut BTreeSet::new());
    let of = |number| &ports[&PortIndex(number)];
    (
        chosen,
        [1, 2, 3, 4].map(|n| of(n).vars.selected),
        [1, 2, 3, 4].map(|n| of(n).aggregator),
    )
}

/// P-05, K-28
#[test]
fn the_policy_chooses_among_aggregators() {
    use AdSelect::{Bandwidth, Count, PortPriority, Stable};
    let mixed = [
        (1_000, 10, 7),
        (1_000, 10, 7),
        (1_000, 10, 7),
        (10_000, 255, 7),
    ];
    let alone = [
        (1_000, 10, 0),
        (1_000, 10, 7),
        (40_000, 10, 0),
        (1_000, 10, 0),
    ];
    let equal = [
        (1_000, 10, 7),
        (1_000, 10, 7),
        (1_000, 10, 8),
        (1_000, 10, 8),
    ];
    for (what, ports, active, ad_select, chosen) in [
        ("three slow or one fast", mixed, None, Stable, 4),
        ("three slow or one fast", mixed, None, Bandwidth, 4),
        ("three slow or one fast", mixed, None, Count, 1),
        ("three slow or one fast", mixed, None, PortPriority, 4),
        ("the one in use stays", mixed, Some(1), Stable, 1),
        ("the one in use does not stay", mixed, Some(1), Bandwidth, 4),
        ("a partner is better than none", alone, None, Bandwidth, 2),
        (
            "a partner is better than the one in use",
            alone,
            Some(3),
            Stable,
            2,
        ),
        ("a tie: the first", equal, None, Count, 1),
        ("a tie: the one in use", equal, Some(3), Count, 3),
    ] {
        let policy = Policy {
            ad_select,
            max_links: 0,
        };
        assert_eq!(
            run(ports, active, policy).0,
            Some(chosen),
            "{what}, {ad_select:?}"
        );
    }
}

/// P-05
#[test]
fn ports_share_an_aggregator_by_key_and_partner() {
    let policy = Policy {
        ad_select: AdSelect::Stable,
        max_links: 0,
    };
    for (ports, aggregators) in [
        (
            [(10, 1, 7), (10, 1, 7), (10, 1, 7), (10, 1, 7)],
            [1, 1, 1, 1],
        ),
        (
            [(10, 1, 7), (10, 1, 8), (10, 1, 7), (10, 1, 8)],
            [1, 2, 1, 2],
        ),
        (
            [(10, 1, 7), (100, 1, 7), (10, 1, 7), (100, 1, 7)],
            [1, 2, 1, 2],
        ),
        (
            [(10, 1, 0), (10, 1, 0), (10, 1, 7), (10, 1, 7)],
            [1, 2, 3, 3],
        ),
    ] {
        assert_eq!(run(ports, None, policy).2, aggregators.map(Some));
    }
}

/// P-08, K-39: here the partner's priority is lower, so ours decides; the tie is broken by the number.
#[test]
fn the_best_ports_work_and_the_others_stand_by() {
    let (on, by) = (Selected::Selected, Selected::Standby);
    let ports = [(10, 9, 7), (10, 5, 7), (10, 9, 7), (10, 7, 7)];
    for (max_links, expected) in [
        (0, [on, on, on, on]),
        (1, [by, on, by, by]),
        (2, [by, on, by, on]),
        (3, [on, on, by, on]),
        (9, [on, on, on, on]),
    ] {
        let policy = Policy {
            ad_select: AdSelect::Stable,
            max_links,
        };
        assert_eq!(run(ports, None, policy).1, expected, "{max_links}");
    }
}

/// P-08: both ends look at the ports of the system that has priority.
#[test]
fn the_partner_decides_when_it_has_priority() {
    let mut ports = BTreeMap::from([port(1, 10, 1, 7), port(2, 10, 2, 7)]);
    for port in ports.values_mut() {
        port.vars.partner.system.priority = 1;
    }
    let policy = Policy {
        ad_select: AdSelect::Stable,
        max_links: 1,
    };
    select(&mut ports, None, policy, &mut BTreeSet::new());
    assert_eq!(ports[&PortIndex(1)].vars.selected, Selected::Standby);
    assert_eq!(ports[&PortIndex(2)].vars.selected, Selected::Selected);
}

/// P-05: a port that belongs elsewhere lets go of its aggregator before it has another.
#[test]
fn a_port_changes_its_aggregator_only_when_detached() {
    let now = vswitch_base::Instant::ZERO;
    let policy = Policy {
        ad_select: AdSelect::Stable,
        max_links: 0,
    };
    let mut ports = BTreeMap::from([port(1, 10, 1, 7), port(2, 10, 1, 7)]);
    let mut changed = BTreeSet::new();
    select(&mut ports, None, policy, &mut changed);
    for port in ports.values_mut() {
        port.mux.enter(MuxState::Attached, &mut port.vars, now);
    }
    let second = ports.get_mut(&PortIndex(2)).unwrap();
    second.vars.partner.system.priority = 3;
    second.vars.selected = Selected::Unselected;
    changed.clear();
    select(&mut ports, Some(1), policy, &mut changed);
    let second = ports.get_mut(&PortIndex(2)).unwrap();
    assert_eq!(
        (second.aggregator, second.vars.selected),
        (None, Selected::Unselected)
    );
    assert!(changed.contains(&PortIndex(2)));
    second.mux.enter(MuxState::Detached, &mut second.vars, now);
    select(&mut ports, Some(1), policy, &mut changed);
    assert_eq!(ports[&PortIndex(2)].aggregator, Some(2));
    assert_eq!(ports[&PortIndex(2)].vars.selected, Selected::Standby);
}
