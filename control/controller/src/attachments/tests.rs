//! What runs is the operator's configuration with the attachments in it; an uplink is always in the union
//! of the VLANs that are wanted of it.

use super::*;
use serde_json::{Value, json};

fn operator(vlans: &[u16]) -> Config {
    let config = json!({
        "bridge": { "br0": { "uplink": "eth0", "vlans": vlans }, "lone": {} },
        "port": {
            "eth0": { "kind": "nic" },
            "vm1": { "kind": "tap", "bridge": "br0", "vlan": 7 },
        },
    });
    tree::config(&config).expect("a configuration")
}

fn attach(container: &str, config: Value) -> Attach {
    Attach {
        attachment: Attachment {
            network: "net".into(),
            container_id: container.into(),
            ifname: "eth0".into(),
        },
        mode: AttachMode::Veth,
        device: "pod0".into(),
        config,
        ..Attach::default()
    }
}

fn record(container: &str, config: Value) -> Record {
    Record::read(&attach(container, config)).expect("a record")
}

fn uplink(config: &Config) -> String {
    let table = config.membership_of("eth0").expect("the uplink");
    format!("{:?} {} {}", table.pvid, table.untagged, table.tagged)
}

#[test]
fn a_port_stands_for_each_attachment_and_nothing_else_changes() {
    let operator = operator(&[1, 100]);
    let mut all = Attachments::default();
    assert_eq!(all.merge(&operator), operator);
    all.insert(record(
        "a",
        json!({"bridge": "br0", "vlan": 100, "isolated": true}),
    ));
    let merged = all.merge(&operator);
    let name = all.iter().next().expect("one").attachment.port_name();
    let port = &merged.port[&name];
    assert_eq!(
        (port.kind, port.vlan, port.isolated),
        (PortKind::Nic, Some(100), true)
    );
    assert_eq!(port.device.as_deref(), Some("pod0"));
    let mut without = merged.clone();
    without.port.remove(&name);
    assert_eq!(without, operator, "VLAN 100 is on the uplink already");
    assert_eq!(vswitch_api::config::check(&merged), []);
}

/// N-08, S-20, S-43
#[test]
fn the_uplink_carries_the_union_and_never_more() {
    let operator = operator(&[100]);
    assert_eq!(uplink(&operator), "None  100");
    let mut all = Attachments::default();
    all.insert(record("a", json!({"bridge": "br0", "vlan": 200})));
    all.insert(record("b", json!({"bridge": "br0", "vlan": 200})));
    all.insert(record(
        "c",
        json!({"bridge": "br0", "trunk": ["100", "300-302"]}),
    ));
    all.insert(record("d", json!({"bridge": "br0"})));
    all.insert(record("e", json!({"bridge": "lone", "vlan": 900})));
    let merged = all.merge(&operator);
    assert_eq!(
        uplink(&merged),
        "None  100,200,300-302",
        "not the default VLAN, not the VLAN of an operator's port, not another bridge's"
    );
    let owners = all.vlan_owners(&merged, "br0");
    let rows: Vec<String> = owners
        .iter()
        .map(|row| format!("{}-{} {}", row.first, row.last, row.owners.join(" ")))
        .collect();
    assert_eq!(
        rows,
        [
            "100-100 net/c/eth0",
            "200-200 net/a/eth0 net/b/eth0",
            "300-302 net/c/eth0"
        ]
    );
    assert!(all.remove(&record("a", json!({"bridge": "br0"})).attachment));
    assert_eq!(uplink(&all.merge(&operator)), "None  100,200,300-302");
    assert!(all.remove(&record("b", json!({"bridge": "br0"})).attachment));
    assert!(all.remove(&record("c", json!({"bridge": "br0"})).attachment));
    assert_eq!(
        uplink(&all.merge(&operator)),
        "None  100",
        "the operator's own stays"
    );
}

/// Whatever comes and goes in whatever order.
#[test]
fn any_order_ends_in_the_same_union() {
    let operator = operator(&[1, 100]);
    let mut seed = 7_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    let mut all = Attachments::default();
    let mut wanted: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..500 {
        let container = format!("c{}", random(12));
        let vid = 2 + random(8);
        let one = record(&container, json!({"bridge": "br0", "vlan": vid}));
        if random(2) == 0 {
            all.insert(one);
            wanted.insert(container, vid);
        } else {
            assert_eq!(
                all.remove(&one.attachment),
                wanted.remove(&container).is_some()
            );
        }
        let table = all
            .merge(&operator)
            .membership_of("eth0")
            .expect("the uplink");
        for vid in 2..=100_u16 {
            let needed = vid == 100 || wanted.values().any(|v| *v == u64::from(vid));
            assert_eq!(table.tagged.contains(vid), needed, "VLAN {vid}");
        }
        assert_eq!(table.pvid, Some(1));
    }
}

#[test]
fn an_uplink_that_said_nothing_keeps_its_own_vlan() {
    let mut operator = operator(&[1]);
    operator.bridge.get_mut("br0").expect("br0").vlans = VlanSet::new();
    assert_eq!(uplink(&operator), "Some(1) 1 ");
    let mut all = Attachments::default();
    all.insert(record("a", json!({"bridge": "br0", "vlan": 200})));
    assert_eq!(uplink(&all.merge(&operator)), "Some(1) 1 200");
    operator.bridge.get_mut("br0").expect("br0").vlan_filtering = false;
    assert_eq!(
        uplink(&all.merge(&operator)),
        "Some(1) 1 ",
        "no VLANs there"
    );
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let good = json!({"bridge": "br0"});
    let cases: [(&str, Attach, &str); 8] = [
        ("no bridge", attach("a", json!({})), "\"bridge\" is missing"),
        ("no object", attach("a", json!([])), "an object"),
        (
            "a kind",
            attach("a", json!({"bridge": "b", "kind": "tap"})),
            "follows from the mode",
        ),
        (
            "a typo",
            attach("a", json!({"bridge": "b", "vlna": 5})),
            "vlan",
        ),
        ("no container", attach("", good.clone()), "at least one"),
        (
            "a control character",
            attach("a\n", good.clone()),
            "control",
        ),
        (
            "a veth elsewhere",
            Attach {
                netns: Some("/run/netns/x".into()),
                ..attach("a", good.clone())
            },
            "own namespace",
        ),
        (
            "a TAP nowhere",
            Attach {
                mode: AttachMode::Tap,
                ..attach("a", good)
            },
            "find it again",
        ),
    ];
    for (what, attach, words) in cases {
        let error = Record::read(&attach).expect_err(what);
        assert!(error.to_string().contains(words), "{what}: {error}");
    }
}

#[test]
fn records_survive_being_written_down() {
    let mut tap = attach(
        "a",
        json!({"bridge": "br0", "mac": "02:00:00:00:00:01", "vlan": 5}),
    );
    (tap.mode, tap.netns) = (AttachMode::Tap, Some("/run/netns/x".into()));
    let record = Record::read(&tap).expect("a record");
    let text = serde_json::to_string(&record).expect("JSON");
    let again: Record = serde_json::from_str(&text).expect("the same");
    assert_eq!(again, record);
    assert_eq!(again.port().attached, Some(AttachMode::Tap));
    assert!(again.port().persistent && again.port().mac.is_some());
}
