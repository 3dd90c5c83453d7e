//! Ports that are held until their guest speaks.

use super::small;
use crate::testing::{Rig, nic};
use serde_json::json;
use vswitch_core::worker::WorkerEvent;

/// N-03: a held port is open when its guest spoke, across changes, until its device is opened anew.
#[test]
fn a_held_port_is_open_until_its_device_is_opened_anew() {
    let mut config = small();
    config["port"]["vm1"]["hold_until_guest"] = json!(true);
    let mut rig = Rig::new(config.clone(), &[nic("eth0", 3)]);
    let port = rig.index("vm1");
    assert_eq!(rig.port("vm1").held, Some(true));
    assert_eq!(rig.port("eth0").held, None);
    let gate = |rig: &Rig| {
        let view = rig.controller.snapshot().port(port).expect("vm1");
        let protection = view.protection.as_deref().expect("a protection");
        protection.gate.clone().expect("a gate")
    };
    assert!(gate(&rig).open(), "as a worker does");
    let spoke = WorkerEvent::StationSpoke { port };
    rig.controller.handle_worker_event(spoke, rig.now);
    let told = rig.events_of("port-open");
    assert_eq!(told.len(), 1);
    assert!(told[0].message.contains("vm1 is open"), "{told:?}");
    assert_eq!(rig.port("vm1").held, Some(false));
    // Another rate, and whatever else changes: it stays open.
    config["port"]["vm1"]["ingress_rate"] = json!("1G");
    rig.call("io.vswitch.Switch.Apply", json!({ "config": config }))
        .expect("applied");
    assert!(gate(&rig).is_open());
    let bucket = |rig: &Rig| {
        let view = rig.controller.snapshot().port(port).expect("vm1");
        let protection = view.protection.as_deref().expect("a protection");
        protection.rate.clone().expect("a rate").bucket
    };
    let before = bucket(&rig);
    config["port"]["vm1"]["ingress_rate"] = json!("2G");
    rig.call("io.vswitch.Switch.Apply", json!({ "config": config }))
        .expect("applied");
    assert!(std::sync::Arc::ptr_eq(&before, &bucket(&rig)));
    config["port"]["vm1"]["queues"] = json!(2);
    rig.call("io.vswitch.Switch.Apply", json!({ "config": config }))
        .expect("applied");
    assert_eq!(rig.port("vm1").held, Some(true), "opened anew");
    // A word from before is none now.
    rig.controller.handle_worker_event(spoke, rig.now);
    assert_eq!(rig.events_of("port-open").len(), 1);
}
