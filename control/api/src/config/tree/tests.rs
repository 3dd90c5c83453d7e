//! Tests of the strict reader: every error at its path, in an operator's words.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// All errors of a tree, one a line.
fn errors(tree: &Value) -> String {
    match config(tree) {
        Ok(_) => String::new(),
        Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
    }
}

#[test]
fn all_errors_of_all_objects_come_at_once() {
    let text = errors(&json!({
        "brigde": {},
        "bridge": {"b": {"mut": 1500, "ageing": 300, "vlans": [1, "x", 70000]}},
        "port": {"p": {"kind": "veht", "vlan": "100", "lerning": false, "queues": -1}, "q": {}},
        "daemon": {"poll": "adaptiv"},
        "host": 5,
    }));
    for expected in [
        "brigde: unknown table \"brigde\" (did you mean \"bridge\"?)",
        "bridge.b.mut: unknown key \"mut\" (did you mean \"mtu\"?)",
        "bridge.b.ageing: invalid type: integer `300`, expected a duration in quotes",
        "bridge.b.vlans[1]: \"x\" is no VLAN id",
        "bridge.b.vlans[2]: 70000 is no VLAN id: VLAN ids are 1 to 4094",
        "port.p.kind: \"veht\" is no value that is known here (one of: nic, tap, bond, mem)",
        "port.p.vlan: invalid type: string \"100\", expected a VLAN id from 1 to 4094, without quotes",
        "port.p.lerning: unknown key \"lerning\" (did you mean \"learning\"?)",
        "port.p.queues: invalid value: integer `-1`, expected a whole number from 0 to 4294967295",
        "port.q: this port does not say its kind",
        "daemon.poll: \"adaptiv\" is no value that is known here (did you mean \"adaptive\"?",
        "host: this is a table of named objects, not a number (write [host.NAME])",
    ] {
        assert!(text.contains(expected), "{expected}\nis missing in\n{text}");
    }
    assert_eq!(text.lines().count(), 12, "{text}");
}

#[test]
fn lists_of_tables_point_at_the_element_and_its_key() {
    let text = errors(&json!({
        "bridge": {"b": {"fdb": [
            {"mac": "02:00:00:00:00:01", "port": "p"},
            {"mac": "02:00:00:00:00:02", "prot": "p"},
            {"port": "p"},
        ]}},
        "port": {"p": {"kind": "tap", "vlans": [{"vid": "9-3"}, {"vid": 5, "pvid": 1}]}},
    }));
    for expected in [
        "bridge.b.fdb[1].prot: unknown key \"prot\" (did you mean \"port\"?)",
        "bridge.b.fdb[2]: \"mac\" is missing",
        "port.p.vlans[0]: the VLAN range \"9-3\" runs backwards",
        "port.p.vlans[1]: invalid type: integer `1`, expected true or false",
    ] {
        assert!(text.contains(expected), "{expected}\nis missing in\n{text}");
    }
}

#[test]
fn single_objects_are_read_with_their_path() {
    assert_eq!(bridge("b", &Value::Null), Ok(BridgeConfig::default()));
    let errors = port("vm 1", &json!({"kind": "tap", "brigde": "b"})).expect_err("unknown key");
    assert_eq!(errors[0].path, "port.\"vm 1\".brigde");
    assert!(host("h", &json!([])).is_err());
}

#[test]
fn a_flood_of_errors_is_cut() {
    let fields: Map<String, Value> = (0..5000).map(|n| (format!("k{n}"), Value::Null)).collect();
    let errors = bridge("b", &Value::Object(fields)).expect_err("unknown keys");
    assert_eq!(errors.len(), ERRORS_MAX);
    let long = "x".repeat(100_000);
    let errors = bridge("b", &json!({ "mtu": long, long.clone(): 1 })).expect_err("two errors");
    assert!(errors.iter().all(|error| error.message.len() < 400));
}

fn any_tree() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "daemon",
        "bridge",
        "port",
        "host",
        "b",
        "kind",
        "tap",
        "vlan",
        "vlans",
        "trunk",
        "mtu",
        "fdb",
        "mac",
        "workers",
        "auto",
        "addresses",
        "1-5",
        "vid",
        "`, expected `",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..5000u16).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(word.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_tree_is_read_or_refused(tree in any_tree()) {
        match config(&tree) {
            Ok(config) => drop(crate::config::check(&config)),
            Err(errors) => prop_assert!(!errors.is_empty()),
        }
    }

    #[test]
    fn what_is_read_strictly_is_what_serde_reads(tree in any_tree()) {
        if let Ok(config) = config(&tree) {
            prop_assert_eq!(serde_json::from_value::<Config>(tree).expect("also readable"), config);
        }
    }
}
