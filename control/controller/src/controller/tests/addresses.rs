//! What a change does to the addresses that were learned: kept, moved along, or forgotten in time.

use super::{STATION, is_known, learn, small, small_rig, vid};
use crate::testing::{Rig, error, text};
use serde_json::json;
use vswitch_core::snapshot::PortState;

/// 3.1.3: VLAN removed from a port → forget (VLAN, port), after nobody can learn it again.
#[test]
fn leaving_a_vlan_forgets_its_addresses_and_no_others() {
    let mut rig = small_rig();
    learn(&rig, "eth0", 100, STATION);
    learn(&rig, "eth0", 200, STATION);
    rig.observes = false;
    rig.send(
        "io.vswitch.Switch.DelVlan",
        json!({"port": "eth0", "first": 200}),
    );
    let fdb = rig.snapshot.bridges().next().unwrap().1.fdb.clone();
    assert!(
        fdb.find(Some(vid(200)), STATION).is_some(),
        "workers may still learn it"
    );
    rig.observe();
    rig.observes = true;
    rig.run();
    assert!(fdb.find(Some(vid(200)), STATION).is_none());
    assert!(is_known(&rig, "eth0", 100, STATION));
}

#[test]
fn a_port_that_stops_forwarding_is_forgotten_at_once() {
    let mut rig = small_rig();
    learn(&rig, "vm1", 100, STATION);
    rig.call(
        "io.vswitch.Switch.SetPort",
        json!({"name": "vm1", "config": {"state": "blocking"}}),
    )
    .expect("done");
    assert!(!is_known(&rig, "vm1", 100, STATION));
    rig.call(
        "io.vswitch.Switch.SetPort",
        json!({"name": "vm1", "config": {"enabled": false}}),
    )
    .expect("done");
    let vm1 = rig.index("vm1");
    assert!(!rig.open[&vm1].settings.up);
    assert_eq!(rig.snapshot.port(vm1).unwrap().state, PortState::Disabled);
    assert_eq!(rig.port("vm1").state, "down");
    assert_eq!(rig.health().problems.len(), 0, "as the operator wants it");
}

#[test]
fn a_port_with_a_new_device_begins_without_addresses() {
    let mut rig = small_rig();
    learn(&rig, "vm1", 100, STATION);
    learn(&rig, "eth0", 200, STATION);
    rig.call(
        "io.vswitch.Switch.SetPort",
        json!({"name": "vm1", "config": {"queues": 2}}),
    )
    .expect("done");
    assert!(!is_known(&rig, "vm1", 100, STATION));
    assert!(is_known(&rig, "eth0", 200, STATION));
}

#[test]
fn a_resized_table_keeps_addresses_and_a_refused_resize_keeps_the_table() {
    let mut rig = small_rig();
    learn(&rig, "vm1", 100, STATION);
    let table = |rig: &Rig| rig.snapshot.bridges().next().unwrap().1.fdb.clone();
    let old = table(&rig);
    let mut config = small();
    config["bridge"]["br0"]["fdb_max"] = json!(100);
    config["port"]["vm2"] = json!({"kind": "tap", "bridge": "br0"});
    rig.fault = Box::new(|effect| text(effect).starts_with("open vm2").then(|| error(16)));
    assert!(
        rig.call("io.vswitch.Switch.Apply", json!({"config": config}))
            .is_err()
    );
    assert!(std::sync::Arc::ptr_eq(&table(&rig), &old));
    rig.call(
        "io.vswitch.Switch.SetBridge",
        json!({"name": "br0", "config": {"fdb_max": 100}}),
    )
    .expect("done");
    assert_eq!(table(&rig).learned_max(), 100);
    assert!(is_known(&rig, "vm1", 100, STATION));
    let own = rig.port("br0").mac.expect("an address").parse().unwrap();
    assert!(
        table(&rig).find(Some(vid(1)), own).is_some(),
        "its own address moved along"
    );
}
