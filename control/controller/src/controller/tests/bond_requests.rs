//! The methods of `io.vswitch.Bond` under the controller.

use crate::facts::{Link, LinkEvent};
use crate::testing::{Rig, nic};
use serde_json::{Value, json};
use vswitch_api::ApiError;
use vswitch_api::types::{BondsReply, HashReply, Health, Severity};
use vswitch_core::bond::Transmit;
use vswitch_core::punt::Punt;
use vswitch_core::verdict::PuntReason;

/// Broadcast ARP of a machine, as it leaves.
const FRAME: &str = "ffffffffffff52540000000108060001";

fn rig(options: Value) -> Rig {
    let mut bond = json!({ "mode": "active-backup", "members": ["eth0", "eth1"] });
    let Value::Object(options) = options else {
        panic!("options are a table");
    };
    bond.as_object_mut().expect("a table").extend(options);
    let config = json!({
        "bridge": { "br0": { "uplink": "bond0" } },
        "bond": { "bond0": bond },
        "port": { "vm1": { "kind": "tap", "bridge": "br0" } },
    });
    Rig::new(config, &[nic("eth0", 5), nic("eth1", 6), nic("eth2", 7)])
}

fn call(rig: &mut Rig, verb: &str, parameters: Value) -> Result<Value, ApiError> {
    rig.call(&format!("io.vswitch.Bond.{verb}"), parameters)
}

fn list(rig: &mut Rig) -> BondsReply {
    let reply = call(rig, "List", json!({})).expect("a list");
    serde_json::from_value(reply).expect("bonds")
}

fn hash(rig: &mut Rig, more: Value) -> Result<HashReply, ApiError> {
    let mut parameters = json!({ "bond": "bond0", "frameHex": FRAME });
    let Value::Object(more) = more else {
        panic!("a table");
    };
    parameters.as_object_mut().expect("a table").extend(more);
    let reply = call(rig, "Hash", parameters)?;
    Ok(serde_json::from_value(reply).expect("a hash"))
}

fn carrier(rig: &mut Rig, device: &str, carrier: bool) {
    let link = rig.links[device].clone();
    rig.link(LinkEvent::Present(Link { carrier, ..link }));
}

#[test]
fn bonds_are_listed_with_what_they_do() {
    let mut rig = rig(json!({ "primary": "eth1", "updelay": 0 }));
    let bond = list(&mut rig).bonds.remove(0);
    assert_eq!(
        (
            bond.name.as_str(),
            bond.bridge.as_deref(),
            bond.mode.as_str()
        ),
        ("bond0", Some("br0"), "active-backup")
    );
    assert_eq!((bond.state.as_str(), bond.reason), ("up", None));
    assert_eq!(
        (bond.active.as_deref(), bond.primary.as_deref()),
        (Some("eth1"), Some("eth1"))
    );
    assert_eq!(
        (&bond.options["updelay"], &bond.options["num_grat_arp"]),
        (&json!(0), &json!(1))
    );
    let roles: Vec<&str> = bond.members.iter().map(|m| m.role.as_str()).collect();
    assert_eq!(roles, ["standby", "active"]);
    assert_eq!((bond.lacp, bond.findings), (None, vec![]));

    carrier(&mut rig, "eth0", false);
    let bond = list(&mut rig).bonds.remove(0);
    assert_eq!(bond.state, "degraded");
    assert_eq!(bond.reason.as_deref(), Some("eth0 has no link"));
    assert_eq!((bond.members[0].failures, bond.members[1].failures), (1, 0));
    let unknown = call(&mut rig, "List", json!({ "bond": "bond9" }));
    assert!(matches!(unknown, Err(ApiError::NotFound { .. })));
}

/// K-14
#[test]
fn the_active_member_is_chosen_at_once() {
    let mut rig = rig(json!({}));
    let (bond, eth1) = (rig.index("bond0"), rig.index("eth1"));
    let set = |member: &str| json!({ "bond": "bond0", "member": member });
    let reply = call(&mut rig, "SetActive", set("eth1")).expect("it can be");
    assert_eq!(reply, json!({ "before": "eth0" }));
    assert_eq!(rig.snapshot.transmit(bond), Some(&Transmit::One(eth1)));
    assert!(list(&mut rig).bonds[0].by_hand);
    let told = rig.events_of("bond-active");
    let last = told.last().expect("an event");
    assert_eq!(last.message, "bond0 goes by eth1 now, no longer by eth0");

    let refused = call(&mut rig, "SetActive", set("eth7")).expect_err("unknown");
    assert!(matches!(refused, ApiError::NotFound { .. }), "{refused}");
    carrier(&mut rig, "eth0", false);
    let refused = call(&mut rig, "SetActive", set("eth0")).expect_err("no link");
    assert!(
        refused.to_string().contains("its link is down"),
        "{refused}"
    );
}

#[test]
fn a_mode_without_an_active_member_says_so() {
    let mut rig = rig(json!({ "mode": "balance-xor" }));
    let set = json!({ "bond": "bond0", "member": "eth1" });
    let refused = call(&mut rig, "SetActive", set).expect_err("no mode for that");
    assert!(refused.to_string().contains("balance-xor"), "{refused}");
    assert!(
        refused
            .hint()
            .is_some_and(|hint| hint.contains("active-backup"))
    );
}

#[test]
fn a_frame_is_told_its_member_and_bucket() {
    let mut rig = rig(json!({ "mode": "balance-xor" }));
    // Layer 2: the addresses' last bytes and the EtherType's, as the kernel's driver mixes them.
    let told = hash(&mut rig, json!({})).expect("a member");
    let buckets = told.buckets.expect("a count");
    assert_eq!(told.policy.as_deref(), Some("layer2"));
    assert_eq!(told.bucket, told.hash.map(|hash| hash % buckets));
    assert_eq!((told.members.len(), told.chosen.as_str()), (1, "hash"));
    let other = hash(&mut rig, json!({ "policy": "vlan+srcmac", "vlan": 5 })).expect("a member");
    assert_eq!(other.policy.as_deref(), Some("vlan+srcmac"));
    let again = hash(&mut rig, json!({ "policy": "vlan+srcmac", "vlan": 6 })).expect("a member");
    assert_ne!(other.hash, again.hash, "the VLAN counts");

    let tagged = "ffffffffffff525400000001".to_owned() + "8100000508060001";
    let in_band = json!({ "policy": "vlan+srcmac", "frameHex": tagged });
    assert_eq!(hash(&mut rig, in_band).expect("a member"), other);

    // The passes agree.
    let trace = json!({ "port": "vm1", "frameHex": FRAME });
    let trace = rig.call("io.vswitch.Debug.Trace", trace).expect("a trace");
    let steps = trace["steps"].as_array().expect("steps");
    let by = steps.iter().find(|step| step["stage"] == "by").expect("by");
    assert_eq!(by["object"], json!(told.members[0]));

    for (wrong, parameter) in [
        (json!({ "policy": "layer5" }), "policy"),
        (json!({ "vlan": 4095 }), "vlan"),
        (json!({ "frameHex": "0011" }), "frameHex"),
        (json!({ "frameHex": "xy" }), "frameHex"),
    ] {
        let error = hash(&mut rig, wrong.clone()).expect_err("wrong");
        assert!(
            matches!(&error, ApiError::InvalidParameter { parameter: p, .. } if p == parameter),
            "{wrong}: {error}"
        );
    }
}

#[test]
fn modes_without_a_hash_tell_how_they_choose() {
    for (mode, chosen, members) in [
        ("active-backup", "active", 1),
        ("balance-rr", "turn", 2),
        ("broadcast", "all", 2),
        ("802.3ad", "nobody", 0),
    ] {
        let mut rig = rig(json!({ "mode": mode }));
        let told = hash(&mut rig, json!({})).expect("an answer");
        assert_eq!(
            (told.chosen.as_str(), told.members.len()),
            (chosen, members),
            "{mode}"
        );
        let error = hash(&mut rig, json!({ "policy": "layer2" })).expect_err("no hash");
        assert!(error.to_string().contains(mode), "{error}");
    }
    let mut rig = rig(json!({ "mode": "balance-slb" }));
    assert_eq!(
        hash(&mut rig, json!({})).expect("one").policy.as_deref(),
        Some("station")
    );
}

#[test]
fn members_come_and_go_while_it_carries() {
    let mut rig = rig(json!({}));
    let member = |name: &str| json!({ "bond": "bond0", "member": name });
    call(&mut rig, "AddMember", member("eth2")).expect("taken");
    call(&mut rig, "DelMember", member("eth0")).expect("taken");
    let bond = list(&mut rig).bonds.remove(0);
    let names: Vec<&str> = bond.members.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(
        (names, bond.active.as_deref()),
        (vec!["eth1", "eth2"], Some("eth1"))
    );
    let dry = json!({ "name": "bond0", "config": { "mode": 2 }, "dryRun": true });
    let planned = call(&mut rig, "Set", dry).expect("a plan");
    assert_eq!(planned["changes"][0]["path"], json!("bond.bond0.mode"));
    assert_eq!(
        list(&mut rig).bonds[0].mode,
        "active-backup",
        "nothing was done"
    );
    let set = json!({ "name": "bond0", "config": { "mode": "balance-xor" } });
    call(&mut rig, "Set", set).expect("taken");
    assert_eq!(list(&mut rig).bonds[0].mode, "balance-xor");
}

/// S-24: the switch has a LAG with LACP, and this bond does not speak it.
#[test]
fn lacp_that_nobody_here_speaks_is_a_problem_of_the_bond() {
    let mut rig = rig(json!({ "mode": "balance-xor" }));
    assert_eq!(rig.health().health, Health::Ok);
    let pdu = vswitch_lacp::Lacpdu::new(Default::default(), Default::default());
    let mut frame = vec![
        0x01, 0x80, 0xc2, 0, 0, 2, 0, 0x1c, 0x73, 0, 0, 1, 0x88, 0x09,
    ];
    frame.extend(pdu.emit());
    let punt = Punt {
        port: rig.index("eth1"),
        reason: PuntReason::SlowProtocol,
        vid: None,
        at: rig.now,
        bytes: frame.iter().copied().collect(),
    };
    let now = rig.now;
    rig.controller.handle_punt(&punt, now);
    rig.run();
    let health = rig.health();
    assert_eq!(health.health, Health::Degraded);
    let problem = &health.problems[0];
    assert_eq!(
        (problem.kind.as_str(), problem.object.as_str()),
        ("bond", "bond.bond0")
    );
    assert_eq!(problem.severity, Severity::Warning);
    assert!(
        problem.message.contains("eth1 speaks LACP"),
        "{}",
        problem.message
    );
    let detail = problem.detail.as_ref().expect("a hint");
    assert!(detail["hint"].is_string());
}
