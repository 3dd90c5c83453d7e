//! Configurations as users have them, and what is wrong with others.

use super::*;

/// The two of the seed document, byte for byte as printed, indentation, comment line and trailing comma
/// included.
const EXAMPLE_1: &str = include_str!("../../../../tests/data/seed/example-1.json");
const EXAMPLE_2: &str = include_str!("../../../../tests/data/seed/example-2.json");

fn read(value: Value) -> Result<NetConf, CniError> {
    NetConf::read(value, &Args::default(), Vec::new())
}

fn with(more: Value) -> Result<NetConf, CniError> {
    let mut all = json!({"cniVersion": "1.0.0", "name": "n", "type": "vswitch", "bridge": "br0"});
    let more = more.as_object().expect("an object").clone();
    all.as_object_mut().expect("an object").extend(more);
    read(all)
}

fn options(more: Value, default_pvid: u16) -> Value {
    let mac = "02:00:00:00:00:01".parse().expect("an address");
    let mut options = with(more)
        .expect("a configuration")
        .port_options(mac, default_pvid);
    let table = options.as_object_mut().expect("a table");
    assert_eq!(table.remove("bridge"), Some(json!("br0")));
    assert_eq!(table.remove("mac"), Some(json!("02:00:00:00:00:01")));
    options
}

/// S-11, S-12, X-10
#[test]
fn the_examples_of_the_seed_are_taken_as_printed() {
    for (text, name, bridge, vlan) in [
        (EXAMPLE_1, "vlan100", "mgmt-br", Some(100)),
        (EXAMPLE_2, "untagged-network", "oob-br", None),
    ] {
        let (raw, warnings) = parse(text.as_bytes()).expect(name);
        assert!(warnings[0].contains("no strict JSON"), "{warnings:?}");
        let config = NetConf::read(raw, &Args::default(), warnings).expect(name);
        assert_eq!(
            (config.name.as_str(), config.bridge.as_str(), config.vlan),
            (name, bridge, vlan)
        );
        assert_eq!(config.ipam, None);
        assert_eq!(config.warnings.len(), 1);
    }
}

/// features.md 3.2.4
#[test]
fn vlans_follow_the_bridge_plugin_and_nothing_leaks() {
    for (more, expected) in [
        (json!({}), json!({})),
        (json!({"vlan": 0}), json!({})),
        (json!({"vlan": 100}), json!({"vlan": 100})),
        (
            json!({"vlanTrunk": [{"id": 5}, {"minID": 10, "maxID": 20}]}),
            json!({"trunk": ["5", "10-20"], "native_vlan": 1}),
        ),
        (
            json!({"trunk": [{"id": 5}]}),
            json!({"trunk": ["5"], "native_vlan": 1}),
        ),
        (
            json!({"vlan": 7, "vlanTrunk": [{"id": 5, "minID": 10, "maxID": 20}]}),
            json!({"trunk": ["10-20", "5"], "native_vlan": 7}),
        ),
        (
            json!({"vlan": 100, "preserveDefaultVlan": true}),
            json!({"vlans": [{"vid": 100, "pvid": true, "untagged": true}, {"vid": 1, "untagged": true}]}),
        ),
        (json!({"preserveDefaultVlan": true}), json!({})),
    ] {
        assert_eq!(options(more.clone(), 1), expected, "{more}");
    }
    let trunk = json!({"vlanTrunk": [{"id": 5}]});
    assert_eq!(
        options(trunk, 0),
        json!({"trunk": ["5"]}),
        "a bridge without a default VLAN"
    );
}

#[test]
fn options_are_those_of_the_port() {
    assert_eq!(
        options(
            json!({"portIsolation": "true", "hairpinMode": true, "mtu": 1400}),
            1
        ),
        json!({"isolated": true, "hairpin": true, "mtu": 1400})
    );
    assert_eq!(
        options(json!({"macspoofchk": true}), 1),
        json!({"mac_spoof_check": true})
    );
    assert_eq!(
        options(json!({"macspoofchk": true, "guard": true}), 1),
        json!({"guard": true})
    );
    let bandwidth = json!({"runtimeConfig": {"bandwidth": {
        "ingressRate": 1000, "ingressBurst": 2000, "egressRate": 3000,
    }}});
    assert_eq!(
        options(bandwidth, 1),
        json!({"egress_rate": 1000, "egress_burst": 2000, "ingress_rate": 3000}),
        "towards the container is out of the switch"
    );
}

/// X-06
#[test]
fn the_runtimes_address_comes_before_all_others() {
    let mac = |n: u8| format!("02:00:00:00:00:0{n}");
    let args = Args { mac: Some(mac(3)) };
    let mut config = json!({
        "name": "n", "mac": mac(4), "args": {"cni": {"mac": mac(2)}}, "runtimeConfig": {"mac": mac(1)},
    });
    let mut expect = |n: u8, drop: &str| {
        let read = NetConf::read(config.clone(), &args, Vec::new()).expect("a configuration");
        assert_eq!(read.mac.map(|mac| mac.to_string()), Some(mac(n)));
        config.as_object_mut().expect("an object").remove(drop);
    };
    expect(1, "runtimeConfig");
    expect(2, "args");
    expect(3, "mac");
    assert_eq!(
        with(json!({"mac": mac(4)}))
            .expect("own")
            .mac
            .map(|m| m.to_string()),
        Some(mac(4))
    );
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (more, words) in [
        (json!({"vlan": 4095}), "invalid VLAN ID 4095"),
        (json!({"vlan": -1}), "invalid VLAN ID -1"),
        (json!({"vlanTrunk": [{"id": 0}]}), "id parameter 0"),
        (json!({"vlanTrunk": [{"minID": 9, "maxID": 2}]}), "greater"),
        (json!({"vlanTrunk": [{"minID": 9}]}), "without maxID"),
        (json!({"vlanTrunk": [{"maxID": 9}]}), "without minID"),
        (json!({"vlanTrunk": [{}]}), "empty"),
        (json!({"hairpinMode": true, "promiscMode": true}), "hairpin"),
        (
            json!({"disableContainerInterface": true, "ipam": {"type": "static"}}),
            "IPAM",
        ),
        (json!({"mtu": 20}), "mtu"),
        (json!({"mac": "01:00:00:00:00:01"}), "MAC"),
        (json!({"mac": "x"}), "MAC"),
        (json!({"mode": "sriov"}), "mode"),
        (json!({"queues": 500}), "queues"),
        (json!({"ipam": {"type": "../x"}}), "ipam"),
        (json!({"ipam": "static"}), "ipam"),
        (json!({"name": ""}), "name"),
    ] {
        let error = with(more).expect_err(words);
        assert_eq!(error.code, code::CONFIG, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    for more in [
        json!({"vlan": "100"}),
        json!({"isGateway": 5}),
        json!({"vlanTrunk": {}}),
    ] {
        assert_eq!(with(more).expect_err("another type").code, code::DECODE);
    }
    for bytes in [&b""[..], b"{", b"[]", b"\xff", b"{} x"] {
        assert_eq!(parse(bytes).expect_err("no JSON").code, code::DECODE);
    }
}

/// A pod must end, whatever its network's definition says by now.
#[test]
fn what_del_needs_is_read_from_anything() {
    for more in [
        json!({"vlan": 9999}),
        json!({"mode": 5}),
        json!({"ipam": "x"}),
        json!({"vlanTrunk": 7}),
    ] {
        let mut raw = json!({"name": "n", "bridge": "b"});
        raw.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        assert!(read(raw.clone()).is_err(), "{raw}");
        let config = NetConf::read_for_del(&raw).expect("enough");
        assert_eq!((config.name.as_str(), config.ipam), ("n", None));
        assert_eq!(config.raw, raw);
    }
    let raw = json!({"name": "n", "ipam": {"type": "host-local"}, "vlan": -5});
    assert_eq!(
        NetConf::read_for_del(&raw).expect("enough").ipam.as_deref(),
        Some("host-local")
    );
    assert_eq!(
        NetConf::read_for_del(&json!({})).expect_err("no name").code,
        code::CONFIG
    );
}

#[test]
fn options_of_others_are_told_and_ignored() {
    let config = with(json!({"deviceID": "0000:00:01.0", "unknown": 1, "ipam": {}})).expect("read");
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("deviceID"));
}

/// Whatever a user writes: an error or a configuration, never a panic.
#[test]
fn garbage_is_refused() {
    let mut seed = 9_u64;
    let good = EXAMPLE_1.as_bytes();
    for _ in 0..20_000 {
        let mut bytes = good.to_vec();
        for _ in 0..3 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(seed >> 33).unwrap_or(0) % bytes.len();
            bytes[at] = seed.to_be_bytes()[1];
        }
        if let Ok((raw, warnings)) = parse(&bytes) {
            let _read = NetConf::read(raw, &Args::default(), warnings);
        }
    }
}

/// interfaces.md 7: a TAP of several queues is asked for by their number, or as the reference plugin `tap` has it.
#[test]
fn several_queues_have_two_names() {
    for (more, queues) in [
        (json!({}), 1),
        (json!({"queues": 4}), 4),
        (json!({"multiQueue": true}), 2),
        (json!({"multiQueue": true, "queues": 4}), 4),
        (json!({"multiQueue": false}), 1),
    ] {
        assert_eq!(with(more.clone()).expect("good").queues, queues, "{more}");
    }
}
