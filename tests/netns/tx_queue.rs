//! The length of a device's transmit queue, as the kernel tells it.

use crate::lab::{Lab, run};
use serde_json::{Value, json};

/// What the kernel says of a device.
fn length(ns: &str, dev: &str) -> u64 {
    let link = run(&format!("ip -n {ns} -j link show {dev}"));
    let link: Value = serde_json::from_str(&link).expect("JSON");
    // iproute2 does not print a length of 0.
    link[0]["txqlen"].as_u64().unwrap_or(0)
}

/// K-42: a bond says it for its members, a member for itself; it is changed live, and what was there is put
/// back when the key, the port or the daemon goes, after kill -9 as well.
#[test]
fn the_length_of_transmit_queues_is_set_and_put_back() {
    let mut lab = Lab::new();
    for ns in ["sw", "a", "b"] {
        lab.namespace(ns);
    }
    for n in [0, 1] {
        lab.veth("sw", &format!("e{n}"), "a", &format!("eth{n}"));
    }
    let (sw, b) = (lab.ns("sw"), lab.ns("b"));
    run(&format!("ip -n {sw} link set e0 txqueuelen 321"));
    let others = length(&sw, "e1");
    let mut switch = lab.switch(
        "sw",
        &format!(
            "[bridge.br0]\nuplink = \"bond0\"\n\
             [bond.bond0]\nmode = \"active-backup\"\nmembers = [\"e0\", \"e1\"]\n\
             [port.bond0]\nkind = \"bond\"\ntxqueuelen = 50\n\
             [port.e1]\nkind = \"nic\"\ntxqueuelen = 0\n\
             [port.pb]\nbridge = \"br0\"\nkind = \"tap\"\nnetns = \"{b}\"\ntxqueuelen = 60\n\
             [host.br0]\nbridge = \"br0\"\ntxqueuelen = 70\n"
        ),
    );
    let all = || ["e0", "e1", "br0"].map(|dev| length(&sw, dev));
    assert_eq!((all(), length(&b, "pb")), ([50, 0, 70], 60));
    let set = |switch: &crate::lab::Switch, port: &str, frames: Value| {
        let config = json!({"name": port, "config": {"txqueuelen": frames}});
        switch.call("io.vswitch.Switch.SetPort", config);
    };
    set(&switch, "bond0", json!(51));
    set(&switch, "pb", json!(61));
    assert_eq!((all(), length(&b, "pb")), ([51, 0, 70], 61));
    set(&switch, "pb", Value::Null);
    set(&switch, "bond0", Value::Null);
    assert_eq!((all(), length(&b, "pb")), ([321, 0, 70], 1000));
    let state = switch.call("io.vswitch.Switch.GetState", json!({"port": "e1"}));
    assert_eq!(state["state"]["ports"][0]["txqueuelen"], 0, "{state}");
    let (_, wrong) = switch.refused(
        "io.vswitch.Switch.SetPort",
        json!({"name": "pb", "config": {"txqueuelen": 0}}),
    );
    assert!(wrong.to_string().contains("port.pb.txqueuelen"), "{wrong}");

    assert!(!switch.end("KILL"));
    switch.start();
    assert_eq!(all(), [50, 0, 70]);
    let bond = json!({"bond": "bond0", "member": "e1"});
    switch.call("io.vswitch.Bond.DelMember", bond);
    assert_eq!(length(&sw, "e1"), others);
    assert!(switch.end("TERM"), "{}", switch.log());
    assert_eq!([length(&sw, "e0"), length(&sw, "e1")], [321, others]);
}
