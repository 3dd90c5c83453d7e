//! Changes of configuration: order, rollback, refusals, the queue, the end.

use super::{STATION, is_known, learn, small, small_rig, vid};
use crate::effect::{AttachedPort, AttachedState, Effect, FoundState};
use crate::testing::{Rig, error, nic, text};
use serde_json::json;
use vswitch_api::ApiError;
use vswitch_base::Duration;

#[test]
fn at_start_devices_are_opened_before_the_snapshot_that_names_them() {
    let mut rig = small_rig();
    let log = rig.take_log();
    assert_eq!(
        log,
        [
            "open br0",
            "open eth0",
            "open vm1",
            "save",
            "attach 2",
            "attach 0",
            "attach 1",
            "publish [0 1 2]"
        ]
    );
    assert!(rig.state().ports.iter().all(|port| port.state == "up"));
    assert_eq!(rig.saved.ports.len(), 3);
    assert!(rig.controller.is_idle());
    let health = rig.health();
    assert_eq!(
        (health.ports, health.ports_up, health.problems.len()),
        (3, 3, 0)
    );
}

#[test]
fn a_port_leaves_only_after_every_worker_has_forgotten_it() {
    let mut rig = small_rig();
    rig.take_log();
    rig.observes = false;
    let id = rig.send("io.vswitch.Switch.DelPort", json!({"name": "vm1"}));
    assert_eq!(rig.take_log(), ["publish [0 2]"]);
    assert!(rig.take(id).is_empty(), "not answered before it is done");
    rig.observe();
    rig.run();
    assert_eq!(rig.take_log(), ["detach 1", "close 1", "save"]);
    assert_eq!(
        rig.take(id)[0].result.as_ref().expect("done")["generation"],
        2
    );
    assert!(rig.saved.ports.iter().all(|port| port.name != "vm1"));
}

#[test]
fn a_port_that_cannot_be_opened_is_refused_with_the_cause_and_leaves_no_trace() {
    let mut rig = small_rig();
    rig.take_log();
    rig.fault = Box::new(|effect| text(effect).starts_with("open vm2").then(|| error(16)));
    let add = json!({"name": "vm2", "config": {"kind": "tap", "bridge": "br0"}});
    let refused = rig
        .call("io.vswitch.Switch.AddPort", add.clone())
        .expect_err("refused");
    let ApiError::SystemError {
        operation,
        object,
        errno,
        errno_name,
        ..
    } = refused
    else {
        panic!("{refused}")
    };
    assert_eq!(
        (
            operation.as_str(),
            object.as_str(),
            errno,
            errno_name.as_str()
        ),
        ("open device", "port vm2", 16, "EBUSY")
    );
    assert_eq!(rig.controller.generation(), 1);
    assert!(
        rig.state()
            .ports
            .iter()
            .all(|port| port.name != "vm2" && port.state == "up")
    );
    rig.fault = Box::new(|_| None);
    assert!(
        rig.call("io.vswitch.Switch.AddPort", add).is_ok(),
        "the name is free again"
    );
    assert_eq!(rig.port("vm2").state, "up");
}

#[test]
fn a_change_that_fails_half_way_is_undone_wholly() {
    let mut rig = small_rig();
    learn(&rig, "eth0", 100, STATION);
    rig.take_log();
    let mut config = small();
    config["port"]["vm1"]["queues"] = json!(2);
    config["port"]["vm2"] = json!({"kind": "tap", "bridge": "br0"});
    config["bridge"]["br0"]["fdb"] = json!([{"mac": "02:00:00:00:00:99", "port": "eth0"}]);
    // vm2 comes, vm1 leaves to come back with two queues, and that fails once.
    let mut once = true;
    rig.fault = Box::new(move |effect| match effect {
        Effect::OpenPort { spec, .. } if spec.name == "vm1" && std::mem::take(&mut once) => {
            Some(error(12))
        }
        _ => None,
    });
    let refused = rig
        .call("io.vswitch.Switch.Apply", json!({"config": config}))
        .expect_err("no memory");
    assert!(
        matches!(refused, ApiError::SystemError { errno: 12, .. }),
        "{refused}"
    );
    let names: Vec<String> = rig.open.values().map(|d| d.spec.name.clone()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let vm1 = rig
        .open
        .values()
        .find(|d| d.spec.name == "vm1")
        .expect("reopened");
    assert!(
        vm1.attached && vm1.spec.queues == 1,
        "with the queues it had"
    );
    assert!(rig.state().ports.iter().all(|port| port.state == "up"));
    let bridge = rig.snapshot.bridges().next().expect("a bridge").1;
    assert!(
        bridge
            .fdb
            .find(Some(vid(1)), "02:00:00:00:00:99".parse().unwrap())
            .is_none()
    );
    assert!(
        is_known(&rig, "eth0", 100, STATION),
        "who was not concerned keeps its addresses"
    );
    assert_eq!(rig.controller.generation(), 1);
}

#[test]
fn all_errors_are_reported_and_nothing_happens() {
    let mut rig = small_rig();
    rig.take_log();
    let mut config = small();
    config["port"]["vm1"]["vlan"] = json!(4095);
    config["port"]["vm2"] = json!({"kind": "tap", "bridge": "br1"});
    config["bridge"]["br0"]["mtu"] = json!(20);
    let refused = rig
        .call("io.vswitch.Switch.Apply", json!({"config": config}))
        .expect_err("wrong");
    let ApiError::InvalidConfig { errors } = refused else {
        panic!("{refused}")
    };
    let paths: Vec<&str> = errors.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        ["bridge.br0.mtu", "port.vm1.vlan", "port.vm2.bridge"]
    );
    assert!(rig.take_log().is_empty());
}

/// S-22
#[test]
fn a_device_that_the_kernel_bridges_is_refused_by_name() {
    let enslaved = crate::facts::Link {
        master: Some("virbr0".into()),
        ..nic("eth1", 6)
    };
    let mut rig = Rig::new(small(), &[nic("eth0", 5), enslaved]);
    let add = json!({"name": "eth1", "config": {"kind": "nic", "bridge": "br0"}});
    let mut tried = add.clone();
    tried["dryRun"] = json!(true);
    rig.call("io.vswitch.Switch.AddPort", tried)
        .expect_err("also when only tried out");
    let refused = rig
        .call("io.vswitch.Switch.AddPort", add)
        .expect_err("enslaved");
    let ApiError::InvalidConfig { errors } = refused else {
        panic!("{refused}")
    };
    assert_eq!(errors[0].path, "port.eth1");
    assert!(errors[0].message.contains("virbr0"), "{}", errors[0]);
    assert!(
        errors[0]
            .hint
            .as_deref()
            .is_some_and(|h| h.contains("nomaster"))
    );
}

/// S-21, C-09
#[test]
fn protected_objects_are_refused_by_api_and_changed_by_the_file() {
    let mut config = small();
    config["bridge"]["br0"]["protected"] = json!(true);
    let mut rig = Rig::new(config.clone(), &[nic("eth0", 5)]);
    let before = rig.state();
    for (method, parameters) in [
        (
            "io.vswitch.Switch.DelBridge",
            json!({"name": "br0", "cascade": true}),
        ),
        (
            "io.vswitch.Switch.SetBridge",
            json!({"name": "br0", "config": {"mtu": 9000}}),
        ),
        (
            "io.vswitch.Switch.SetPort",
            json!({"name": "eth0", "config": {"enabled": false}}),
        ),
        ("io.vswitch.Switch.DelPort", json!({"name": "br0"})),
        (
            "io.vswitch.Switch.DelVlan",
            json!({"port": "eth0", "first": 1}),
        ),
    ] {
        let refused = rig.call(method, parameters).expect_err("protected");
        assert!(
            matches!(refused, ApiError::Protected { .. }),
            "{method}: {refused}"
        );
    }
    assert_eq!(rig.state().ports, before.ports);
    let vm2 = json!({"name": "vm2", "config": {"kind": "tap", "bridge": "br0"}});
    rig.call("io.vswitch.Switch.AddPort", vm2)
        .expect("ports may come");
    config["bridge"]["br0"]["mtu"] = json!(9000);
    rig.controller
        .handle_reload(crate::testing::config(config), rig.now);
    rig.run();
    let told = rig
        .controller
        .poll_reload()
        .expect("done")
        .expect("applied");
    assert_eq!((told.generation, told.changes.len()), (3, 2));
    assert_eq!(rig.controller.poll_reload(), None, "told once");
    assert_eq!(rig.state().bridges[0].mtu, 9000);
    assert_eq!(rig.health().unsaved, 0, "what the file says is saved");
}

#[test]
fn a_reload_that_fails_changes_nothing_and_says_so() {
    let mut rig = small_rig();
    let mut config = small();
    config["port"]["vm9"] = json!({"kind": "tap", "bridge": "br0"});
    rig.fault = Box::new(|effect| text(effect).starts_with("open vm9").then(|| error(1)));
    rig.controller
        .handle_reload(crate::testing::config(config), rig.now);
    rig.run();
    let told = rig.controller.poll_reload().expect("done");
    assert!(
        matches!(told, Err(ApiError::SystemError { .. })),
        "{told:?}"
    );
    assert_eq!(rig.controller.generation(), 1);
    let told = rig.events_of("config").pop().expect("an event");
    assert!(
        told.message.contains("vm9") && told.message.contains("EPERM"),
        "{}",
        told.message
    );
    let wrong = crate::testing::config(json!({"port": {"vm9": {"kind": "tap", "bridge": "br7"}}}));
    rig.controller.handle_reload(wrong, rig.now);
    rig.run();
    let told = rig.controller.poll_reload().expect("done");
    let Err(ApiError::InvalidConfig { errors }) = told else {
        panic!("{told:?}");
    };
    assert_eq!(errors[0].path, "port.vm9.bridge");
    rig.controller
        .handle_reload_unreadable("error: this is no TOML\n  more", rig.now);
    let told = rig.events_of("config").pop().expect("an event");
    assert!(
        told.message.ends_with(": this is no TOML"),
        "{}",
        told.message
    );
    assert_eq!(rig.controller.poll_reload(), None);
    assert_eq!(rig.controller.generation(), 1);
}

#[test]
fn a_change_made_for_another_generation_is_a_conflict() {
    let mut rig = small_rig();
    let set = |generation: u64| json!({"name": "vm1", "config": {"vlan": 200}, "expectGeneration": generation});
    let refused = rig
        .call("io.vswitch.Switch.SetPort", set(7))
        .expect_err("another generation");
    assert!(matches!(
        refused,
        ApiError::Conflict {
            expect_generation: Some(7),
            generation: 1,
            ..
        }
    ));
    let done = rig.call("io.vswitch.Switch.SetPort", set(1)).expect("done");
    assert_eq!(done["generation"], 2);
    assert!(
        rig.call("io.vswitch.Switch.SetPort", set(1)).is_err(),
        "once only"
    );
}

#[test]
fn a_dry_run_says_what_would_change_and_changes_nothing() {
    let mut rig = small_rig();
    rig.take_log();
    let set = json!({"name": "vm1", "config": {"vlan": 200, "queues": 4}, "dryRun": true});
    let plan = rig.call("io.vswitch.Switch.SetPort", set).expect("a plan");
    assert_eq!(plan["generation"], 1);
    let changes = plan["changes"].as_array().expect("changes");
    assert_eq!(changes[0]["path"], "port.vm1.queues");
    assert_eq!(changes[0]["impact"], "port-flap");
    assert_eq!(
        (&changes[1]["before"], &changes[1]["after"]),
        (&json!(100), &json!(200))
    );
    assert!(rig.take_log().is_empty());
    // What would be refused is refused when tried out, too.
    let set = json!({"name": "vm1", "config": {"vlan": 4095}, "dryRun": true});
    assert!(rig.call("io.vswitch.Switch.SetPort", set).is_err());
}

#[test]
fn changes_wait_for_each_other_and_the_queue_is_bounded() {
    let mut rig = small_rig();
    rig.keep = Some("open");
    let add =
        |i: usize| json!({"name": format!("p{i}"), "config": {"kind": "tap", "bridge": "br0"}});
    let ids: Vec<_> = (0..=super::super::QUEUE_MAX)
        .map(|i| rig.send("io.vswitch.Switch.AddPort", add(i)))
        .collect();
    assert!(rig.replies.is_empty());
    let refused = rig
        .call("io.vswitch.Switch.AddPort", add(999))
        .expect_err("full");
    assert!(matches!(refused, ApiError::Busy { .. }));
    assert_eq!(
        rig.state().generation,
        1,
        "reads are answered all the while"
    );
    rig.let_go();
    for (i, id) in ids.into_iter().enumerate() {
        let reply = rig.take(id).remove(0);
        assert_eq!(reply.result.expect("done")["generation"], i + 2);
    }
    assert!(rig.controller.is_idle());
}

/// I-09: features.md 3.11
#[test]
fn mtus_rise_at_the_nic_first_and_fall_there_last() {
    let mut rig = small_rig();
    let (eth0, vm1) = (rig.index("eth0").0, rig.index("vm1").0);
    rig.take_log();
    let set = |mtu: u16| json!({"name": "br0", "config": {"mtu": mtu}});
    rig.call("io.vswitch.Switch.SetBridge", set(9000))
        .expect("raised");
    let log = rig.take_log();
    let at = |what: &str| {
        log.iter()
            .position(|l| l.starts_with(what))
            .expect("in the log")
    };
    assert!(at(&format!("set {eth0} mtu 9000")) < at(&format!("set {vm1} mtu 9000")));
    assert!(at(&format!("set {vm1} mtu 9000")) < at("publish"));
    assert_eq!(rig.snapshot.port(rig.index("vm1")).unwrap().mtu, 9000);
    rig.call("io.vswitch.Switch.SetBridge", set(1400))
        .expect("lowered");
    let log = rig.take_log();
    let at = |what: &str| {
        log.iter()
            .position(|l| l.starts_with(what))
            .expect("in the log")
    };
    assert!(at("publish") < at(&format!("set {vm1} mtu 1400")));
    assert!(at(&format!("set {vm1} mtu 1400")) < at(&format!("set {eth0} mtu 1400")));
}

#[test]
fn a_failed_mtu_is_undone_everywhere() {
    let mut rig = small_rig();
    let vm1 = rig.index("vm1").0;
    rig.fault = Box::new(move |effect| {
        text(effect)
            .starts_with(&format!("set {vm1} mtu 9000"))
            .then(|| error(22))
    });
    let set = json!({"name": "br0", "config": {"mtu": 9000}});
    assert!(rig.call("io.vswitch.Switch.SetBridge", set).is_err());
    assert!(rig.open.values().all(|device| device.settings.mtu == 1500));
    assert!(rig.snapshot.ports().all(|(_, port)| port.mtu == 1500));
}

/// S-18: what the daemon sets it also takes away.
#[test]
fn addresses_of_a_host_port_change_in_place() {
    let mut config = small();
    config["host"]["br0"]["addresses"] = json!(["10.0.0.1/24", "10.0.1.1/24"]);
    config["host"]["br0"]["gateway"] = json!("10.0.0.254");
    let mut rig = Rig::new(config, &[nic("eth0", 5)]);
    rig.take_log();
    let change = json!({"name": "br0", "config": {"addresses": ["10.0.1.1/24", "10.0.2.1/24"], "gateway": "10.0.2.254"}});
    rig.call("io.vswitch.Switch.SetPort", change).expect("done");
    let host = &rig.open[&rig.index("br0")].settings;
    let addresses: Vec<String> = host.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.1.1/24", "10.0.2.1/24"]);
    assert_eq!(host.gateway, Some("10.0.2.254".parse().unwrap()));
    assert!(
        rig.take_log()
            .iter()
            .all(|l| !l.starts_with("open") && !l.starts_with("close"))
    );
}

/// V-17
#[test]
fn vlans_are_counted_where_the_bridge_says_so() {
    let mut rig = small_rig();
    let vm1 = rig.index("vm1").0;
    rig.take_log();
    rig.call(
        "io.vswitch.Switch.SetBridge",
        json!({"name": "br0", "config": {"vlan_stats": true}}),
    )
    .expect("done");
    let log = rig.take_log();
    assert!(log.contains(&format!("count {vm1} {{100}}")), "{log:?}");
    rig.call(
        "io.vswitch.Switch.AddVlan",
        json!({"port": "vm1", "first": 300}),
    )
    .expect("done");
    let log = rig.take_log();
    assert_eq!(
        log[0],
        format!("count {vm1} {{100, 300}}"),
        "only what is new, before it is published"
    );
    assert_eq!(log.len(), 2, "{log:?}");
}

#[test]
fn at_the_end_everything_is_given_back_and_persistent_taps_stay() {
    let mut config = small();
    config["port"]["vm1"]["persistent"] = json!(true);
    let mut rig = Rig::new(config, &[nic("eth0", 5)]);
    rig.take_log();
    rig.keep = Some("close");
    rig.controller.handle_stop(rig.now);
    rig.run();
    assert!(!rig.controller.is_stopped());
    let refused = rig
        .call("io.vswitch.Switch.DelPort", json!({"name": "vm1"}))
        .expect_err("too late");
    assert!(matches!(refused, ApiError::Busy { .. }));
    rig.let_go();
    assert!(rig.controller.is_stopped() && rig.open.is_empty());
    assert!(rig.take_log().iter().all(|l| !l.contains("delete")));
    assert!(rig.saved.ports.is_empty());
}

#[test]
fn what_a_killed_daemon_left_is_handed_over_or_put_back() {
    let left = |name: &str, ifindex| AttachedPort {
        name: name.into(),
        kind: "nic".into(),
        device: Some(name.into()),
        netns: None,
        ifindex: Some(ifindex),
        persistent: false,
        found: Some(FoundState(format!("state of {name}"))),
    };
    let recovered = AttachedState {
        ports: vec![left("eth0", 5), left("eth1", 6), left("eth2", 7)],
        ..AttachedState::default()
    };
    // eth2 is another device by now: what was written down is not true of it.
    let links = [nic("eth0", 5), nic("eth1", 6), nic("eth2", 70)];
    let mut rig = Rig::with(small(), &links, recovered, Box::new(|_| None));
    let log = rig.take_log();
    assert!(log.contains(&"restore eth1".to_owned()), "{log:?}");
    assert!(!log.contains(&"restore eth2".to_owned()), "{log:?}");
    let eth0 = &rig.open[&rig.index("eth0")];
    assert_eq!(eth0.spec.found, Some(FoundState("state of eth0".into())));
    let saved = rig
        .saved
        .ports
        .iter()
        .find(|port| port.name == "eth0")
        .expect("saved");
    assert_eq!(
        saved.found,
        Some(FoundState("state of eth0".into())),
        "not the state we made"
    );
}

#[test]
fn a_worker_that_does_not_follow_is_reported() {
    let mut rig = small_rig();
    rig.observes = false;
    rig.send(
        "io.vswitch.Switch.AddVlan",
        json!({"port": "vm1", "first": 300}),
    );
    rig.pass(Duration::from_secs(4));
    assert!(rig.health().problems.is_empty());
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.health().problems[0].kind, "workers");
    rig.observe();
    rig.run();
    assert!(rig.health().problems.is_empty());
    assert_eq!(rig.events_of("workers").len(), 2);
}
