//! Bonds under the controller: opened, published, failing over, changed while they carry, taken away.

use super::{STATION, vid};
use crate::facts::{Link, LinkEvent};
use crate::testing::{Rig, nic};
use serde_json::{Value, json};
use vswitch_base::{Duration, PortIndex};
use vswitch_core::bond::{Admits, Hashed, Transmit};
use vswitch_core::fdb::FdbKey;
use vswitch_core::snapshot::PortState;

/// The uplink of br0 is bond0 of two NICs; a machine's port beside it.
fn bonded() -> Value {
    json!({
        "bridge": { "br0": { "uplink": "bond0", "vlans": [1, 100], "mtu": 9000 } },
        "bond": { "bond0": { "mode": "active-backup", "members": ["eth0", "eth1"] } },
        "port": { "vm1": { "kind": "tap", "bridge": "br0", "vlan": 100 } },
    })
}

fn rig() -> Rig {
    Rig::new(bonded(), &[nic("eth0", 5), nic("eth1", 6)])
}

fn transmit(rig: &Rig) -> Transmit {
    let bond = rig.index("bond0");
    rig.snapshot.transmit(bond).expect("a bond").clone()
}

/// Whether flows go by these members and no others.
fn has(hashed: &Hashed, members: &[PortIndex]) -> bool {
    let owners = hashed.buckets.owners();
    owners.iter().all(|owner| members.contains(owner))
        && members.iter().all(|member| owners.contains(member))
}

fn carrier(rig: &mut Rig, device: &str, carrier: bool) {
    let link = rig.links[device].clone();
    rig.link(LinkEvent::Present(Link { carrier, ..link }));
}

fn apply(rig: &mut Rig, config: &Value) {
    rig.call("io.vswitch.Switch.Apply", json!({ "config": config }))
        .expect("taken");
}

/// K-25: frames of a port leave by the member that its operator chose, in any mode that knows of no stations, while
/// that member can send; both numbers change live.
#[test]
fn a_port_is_steered_to_a_member_while_that_can_send() {
    let mut rig = rig();
    let [bond, eth0, eth1, vm1] = ["bond0", "eth0", "eth1", "vm1"].map(|name| rig.index(name));
    let steer = |rig: &Rig| rig.snapshot.port(vm1).expect("published").steer(bond);
    assert_eq!(steer(&rig), None);
    let mut config = bonded();
    config["bond"]["bond0"]["queue_id"] = json!({ "eth0": 1, "eth1": 2 });
    config["port"]["vm1"]["queue_mapping"] = json!(2);
    apply(&mut rig, &config);
    assert_eq!(steer(&rig), Some(eth1));
    carrier(&mut rig, "eth1", false);
    assert_eq!(steer(&rig), None, "as the mode has it");
    carrier(&mut rig, "eth1", true);
    assert_eq!(steer(&rig), Some(eth1));
    for (mode, steered) in [
        ("balance-rr", true),
        ("balance-xor", true),
        ("broadcast", true),
        ("balance-slb", false),
        ("balance-tlb", false),
    ] {
        config["bond"]["bond0"]["mode"] = json!(mode);
        apply(&mut rig, &config);
        assert_eq!(steer(&rig).is_some(), steered, "{mode}");
    }
    config["bond"]["bond0"]["tlb_src"] = json!("rewrite");
    config["port"]["vm1"]["queue_mapping"] = json!(1);
    apply(&mut rig, &config);
    assert_eq!(steer(&rig), Some(eth0));
    config["port"]["vm1"]["queue_mapping"] = json!(7);
    apply(&mut rig, &config);
    assert_eq!(steer(&rig), None, "no member's");
}

/// A-01, S-10
#[test]
fn a_bond_is_the_uplink_and_its_members_are_opened() {
    let mut rig = rig();
    let state = rig.state();
    let rows: Vec<_> = state
        .ports
        .iter()
        .map(|p| {
            (
                p.name.as_str(),
                p.kind.as_str(),
                p.state.as_str(),
                p.bond.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("bond0", "bond", "up", None),
            ("eth0", "nic", "up", Some("bond0")),
            ("eth1", "nic", "up", Some("bond0")),
            ("vm1", "tap", "up", None),
        ]
    );
    let [bond, eth0, eth1] = ["bond0", "eth0", "eth1"].map(|name| rig.index(name));
    assert_eq!(transmit(&rig), Transmit::One(eth0));
    let view = rig.snapshot.port(eth1).expect("published");
    assert_eq!((view.logical, view.admits.clone()), (bond, Admits::Nothing));
    assert_eq!(
        rig.snapshot.port(eth0).expect("published").admits,
        Admits::Everything
    );
    let view = rig.snapshot.port(bond).expect("published");
    assert_eq!(view.vlans.iter().count(), 2, "VLANs are the bond's");
    assert_eq!(
        rig.open[&eth0].settings.mtu, 9000,
        "and the MTU its members'"
    );
    let reasons = ["eth0", "eth1"].map(|name| rig.port(name).reason.unwrap_or_default());
    assert_eq!(reasons, ["carries frames of bond0", "on standby in bond0"]);
    assert_eq!(state.bridges[0].ports, ["bond0", "vm1"]);
}

/// W-01: the loss of carrier is one publication, whatever else is going on.
#[test]
fn a_lost_link_moves_the_bond_at_once() {
    let mut rig = rig();
    let [bond, eth0, eth1] = ["bond0", "eth0", "eth1"].map(|name| rig.index(name));
    let epoch = rig.snapshot.port(bond).expect("published").epoch;
    let generation = rig.generation();
    carrier(&mut rig, "eth0", false);
    assert_eq!(transmit(&rig), Transmit::One(eth1));
    assert_eq!(rig.generation(), generation.next(), "one publication");
    let view = rig.snapshot.port(bond).expect("published");
    assert_eq!(
        (view.state, view.epoch),
        (PortState::Forwarding, epoch),
        "addresses stay"
    );
    let told = rig.events_of("bond-active");
    let last = told.last().expect("an event");
    assert_eq!(last.message, "bond0 goes by eth1 now, no longer by eth0");
    carrier(&mut rig, "eth1", false);
    assert_eq!(transmit(&rig), Transmit::Nobody);
    let view = rig.snapshot.port(bond).expect("published");
    assert_eq!(view.state, PortState::Disabled);
    assert_ne!(view.epoch, epoch, "who was behind it may be anywhere");
    let row = rig.port("bond0");
    assert_eq!(row.state, "lower-down");
    let reason = row.reason.expect("a reason");
    assert_eq!(reason, "no member can be used: eth0 down, eth1 down");
    carrier(&mut rig, "eth0", true);
    assert_eq!(
        (transmit(&rig), rig.port("bond0").state.as_str()),
        (Transmit::One(eth0), "up")
    );
}

/// K-03: time alone moves a bond on.
#[test]
fn delays_run_by_themselves() {
    let mut config = bonded();
    config["bond"]["bond0"]["downdelay"] = json!(200);
    let mut rig = Rig::new(config, &[nic("eth0", 5), nic("eth1", 6)]);
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| rig.index(name));
    carrier(&mut rig, "eth0", false);
    assert_eq!(transmit(&rig), Transmit::One(eth0));
    rig.pass(Duration::from_millis(199));
    assert_eq!(transmit(&rig), Transmit::One(eth0));
    rig.pass(Duration::from_millis(1));
    assert_eq!(transmit(&rig), Transmit::One(eth1));
}

/// N-07: mode, options and members change while the others carry on.
#[test]
fn everything_about_a_bond_changes_live() {
    let mut rig = rig();
    let [eth0, eth1] = ["eth0", "eth1"].map(|name| rig.index(name));
    let mut config = bonded();
    config["bond"]["bond0"] = json!({
        "mode": 2, "members": ["eth0", "eth1"], "xmit_hash_policy": "layer3+4",
    });
    rig.take_log();
    apply(&mut rig, &config);
    assert!(matches!(transmit(&rig), Transmit::Hashed(hashed) if has(&hashed, &[eth0, eth1])));
    let log = rig.take_log();
    assert!(
        log.iter().all(|e| e.starts_with("publish")),
        "nothing is opened anew: {log:?}"
    );
    // A member leaves: first no frame goes by it, then it is closed.
    config["bond"]["bond0"]["members"] = json!(["eth1"]);
    apply(&mut rig, &config);
    assert!(matches!(transmit(&rig), Transmit::Hashed(hashed) if has(&hashed, &[eth1])));
    assert!(!rig.open.contains_key(&eth0));
    // And comes back, before the other.
    config["bond"]["bond0"]["members"] = json!(["eth0", "eth1"]);
    config["bond"]["bond0"]["mode"] = json!("broadcast");
    apply(&mut rig, &config);
    let eth0 = rig.index("eth0");
    assert_eq!(transmit(&rig), Transmit::Copies([eth0, eth1].into()));
    // Without the bond its NIC is a port like any other.
    let mut plain = bonded();
    plain["bond"] = json!({});
    plain["bridge"]["br0"]["uplink"] = json!("eth0");
    plain["port"]["eth0"] = json!({"kind": "nic"});
    apply(&mut rig, &plain);
    let view = rig.snapshot.port(rig.index("eth0")).expect("published");
    assert_eq!(
        (view.logical, view.admits.clone()),
        (rig.index("eth0"), Admits::Everything)
    );
    assert!(
        rig.snapshot
            .ports()
            .all(|(i, _)| rig.snapshot.transmit(i).is_none())
    );
    assert_eq!(rig.open.len(), 2, "eth0 and vm1");
}

/// I-10: a member that is absent is no trouble of the others.
#[test]
fn a_bond_works_with_the_members_there_are() {
    let mut rig = Rig::new(bonded(), &[nic("eth1", 6)]);
    // The rig opens whatever it is asked to; a device that is away shows in its link only.
    rig.link(LinkEvent::Gone { ifindex: 6 });
    assert_eq!(rig.port("eth1").state, "absent");
    let eth0 = rig.index("eth0");
    assert_eq!(transmit(&rig), Transmit::One(eth0));
    rig.link(LinkEvent::Present(nic("eth1", 60)));
    assert_eq!(rig.port("eth1").state, "up");
    assert_eq!(transmit(&rig), Transmit::One(eth0));
    let open: Vec<PortIndex> = rig.open.keys().copied().collect();
    assert_eq!(open.len(), 4);
}

/// N-02: the other side of a bond may give back what it was sent, and that a pinned address came back is told
/// with member and VLAN, within a second, once a minute.
#[test]
fn a_pinned_address_that_comes_back_by_a_bond_is_an_alarm() {
    let mut config = bonded();
    config["bridge"]["br0"]["fdb"] = json!([
        { "mac": STATION.to_string(), "vlan": 100, "port": "vm1" }
    ]);
    let mut rig = Rig::new(config, &[nic("eth0", 5), nic("eth1", 6)]);
    let reflects = ["bond0", "vm1"].map(|name| {
        let view = rig.snapshot.port(rig.index(name));
        view.expect("published").flags.reflects
    });
    assert_eq!(reflects, [true, false]);
    let reflect = |rig: &Rig| {
        let (_, bridge) = rig.snapshot.bridges().next().expect("a bridge");
        let vlan = Some(vid(100));
        let hit = bridge.fdb.find(vlan, STATION).expect("pinned");
        let key = FdbKey::new(vlan, STATION.word());
        let now_s = rig.now.as_secs_u32();
        bridge
            .fdb
            .note_reflected(hit, key, rig.index("eth1"), now_s);
    };
    for _ in 0..5 {
        reflect(&rig);
        rig.pass(Duration::from_secs(1));
        assert_eq!(rig.events_of("loop-alarm").len(), 1);
    }
    let told = &rig.events_of("loop-alarm")[0];
    assert_eq!(told.object, "bridge.br0");
    let mac = STATION.to_string();
    for part in [mac.as_str(), "vm1's", "came in by eth1 in VLAN 100"] {
        assert!(told.message.contains(part), "{}", told.message);
    }
    let kinds = |rig: &mut Rig| -> Vec<String> {
        let problems = rig.health().problems.into_iter();
        problems.map(|problem| problem.kind).collect()
    };
    assert_eq!(kinds(&mut rig), ["loop-alarm"]);
    rig.pass(Duration::from_secs(61));
    assert_eq!(kinds(&mut rig), [""; 0]);
    reflect(&rig);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.events_of("loop-alarm").len(), 2);
}
