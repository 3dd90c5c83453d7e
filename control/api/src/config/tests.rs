//! Tests of the configuration as a whole: round trips through JSON and TOML, and what short
//! forms mean.

use proptest::prelude::*;

use super::*;

fn config(toml: &str) -> Config {
    toml::from_str(toml).expect("a configuration")
}

const SEED: &str = r#"
[bridge.mgmt-br]
uplink = "ens1f0"
vlans = [1, 100]
[port.ens1f0]
kind = "nic"
[host.mgmt-br]
bridge = "mgmt-br"
addresses = ["192.168.10.11/24"]
gateway = "192.168.10.1"
[host."mgmt-br.100"]
bridge = "mgmt-br"
vlan = 100
[port.vm-db]
bridge = "mgmt-br"
kind = "tap"
vlan = 100
queues = 2
[port.vm-router]
bridge = "mgmt-br"
kind = "tap"
native_vlan = 1
trunk = [100, "200-299"]
[port.vm-odd]
bridge = "mgmt-br"
kind = "tap"
vlans = [{ vid = 5, pvid = true }, { vid = "10-12", untagged = true }]
"#;

fn set(text: &str) -> VlanSet {
    text.parse().expect("a VLAN set")
}

/// S-16, S-18, V-02, V-03, V-04
#[test]
fn short_forms_mean_their_memberships() {
    let config = config(SEED);
    assert_eq!(check(&config), vec![]);
    let of = |name: &str| config.membership_of(name).expect(name);
    assert_eq!(
        of("ens1f0"),
        Membership::trunk(Some(1), set("100")),
        "the uplink: 1 is the PVID"
    );
    assert_eq!(of("mgmt-br"), Membership::access(1));
    assert_eq!(of("mgmt-br.100"), Membership::access(100));
    assert_eq!(of("vm-db"), Membership::access(100));
    assert_eq!(
        of("vm-router"),
        Membership::trunk(Some(1), set("100,200-299"))
    );
    let odd = Membership {
        pvid: Some(5),
        untagged: set("10-12"),
        tagged: set("5"),
    };
    assert_eq!(of("vm-odd"), odd, "V-05: a PVID that is sent tagged");
    assert_eq!(
        config.bridge_of("ens1f0"),
        Some("mgmt-br"),
        "an uplink is on its bridge"
    );
    assert_eq!(config.members_of("mgmt-br").len(), 6);
    assert_eq!(config.membership_of("nobody"), None);
}

/// V-09: without a default PVID a port that says nothing is in no VLAN.
#[test]
fn a_bridge_without_default_pvid_gives_none() {
    let config = config("[bridge.b]\ndefault_pvid = 0\n[port.p]\nbridge = \"b\"\nkind = \"tap\"\n");
    assert_eq!(config.membership_of("p"), Some(Membership::default()));
}

#[test]
fn an_edited_membership_takes_its_shortest_form() {
    let mut config = config(SEED);
    let edit = |config: &mut Config, name: &str, edit: &dyn Fn(&mut Membership)| {
        let mut table = config.membership_of(name).expect(name);
        edit(&mut table);
        assert!(config.set_membership(name, &table));
        assert_eq!(
            config.membership_of(name),
            Some(table),
            "{name} means what was written"
        );
    };
    let vid = VlanRange::single;
    edit(&mut config, "ens1f0", &|table| {
        table.add(vid(200), false, false);
    });
    assert_eq!(
        config.bridge["mgmt-br"].vlans,
        set("1,100,200"),
        "the uplink keeps its form"
    );
    edit(&mut config, "ens1f0", &|table| {
        table.add(vid(300), true, true);
    });
    assert!(
        config.bridge["mgmt-br"].vlans.is_empty(),
        "two untagged VLANs do not fit the bridge's list"
    );
    assert!(config.port["ens1f0"].vlans.is_some());
    edit(&mut config, "vm-router", &|table| {
        table.remove(VlanRange {
            first: 100,
            last: 299,
        });
    });
    assert!(
        config.port["vm-router"].says_no_vlans(),
        "only the default PVID is left"
    );
    edit(&mut config, "vm-db", &|table| {
        table.remove(vid(100));
    });
    assert_eq!(
        config.port["vm-db"].vlans,
        Some(vec![]),
        "in no VLAN at all"
    );
    edit(&mut config, "mgmt-br", &|table| {
        table.add(vid(7), false, false);
    });
    assert_eq!(config.host["mgmt-br"].trunk, set("7"));
    edit(&mut config, "mgmt-br", &|table| {
        table.remove(vid(1));
    });
    assert!(
        config.host["mgmt-br"].vlans.is_some(),
        "a host port without PVID"
    );
    assert_eq!(check(&config), vec![]);
}

#[test]
fn a_default_value_writes_no_empty_field() {
    let json = serde_json::to_string(&Config::default()).expect("json");
    assert!(!json.contains("null") && !json.contains("[]"), "{json}");
}

fn vlan_set() -> impl Strategy<Value = VlanSet> {
    prop::collection::vec((1..=4094u16, 0..200u16), 0..4).prop_map(|ranges| {
        ranges
            .into_iter()
            .map(|(first, more)| VlanRange {
                first,
                last: (first + more).min(4094),
            })
            .collect()
    })
}

fn membership() -> impl Strategy<Value = Membership> {
    (
        vlan_set(),
        vlan_set(),
        prop::option::of((1..=4094u16, any::<bool>())),
    )
        .prop_map(|(untagged, tagged, pvid)| {
            let mut table = Membership::default();
            for (set, is_untagged) in [(untagged, true), (tagged, false)] {
                for range in set.ranges() {
                    table.add(*range, false, is_untagged);
                }
            }
            if let Some((vid, untagged)) = pvid {
                table.add(VlanRange::single(vid), true, untagged);
            }
            table
        })
}

fn any_config() -> impl Strategy<Value = Config> {
    let bridge = (
        any::<Option<[u8; 6]>>(),
        68..9216u32,
        any::<bool>(),
        0..4095u16,
        vlan_set(),
        any::<u64>(),
    )
        .prop_map(|(mac, mtu, flag, default_pvid, vlans, ns)| BridgeConfig {
            mac: mac.map(Mac),
            mtu,
            vlan_filtering: flag,
            default_pvid,
            vlans,
            ageing: if flag {
                Ageing::After(Timespan(std::time::Duration::from_nanos(ns | 1)))
            } else {
                Ageing::Never
            },
            fdb: vec![StaticEntry {
                mac: Mac::default(),
                vlan: None,
                port: "p".into(),
                kind: StaticKind::Local,
            }],
            ..BridgeConfig::default()
        });
    let port = (
        any::<Option<u16>>(),
        vlan_set(),
        prop::option::of(membership()),
        any::<bool>(),
        any::<u32>(),
    )
        .prop_map(|(vlan, trunk, vlans, flag, number)| PortConfig {
            bridge: flag.then(|| "b".to_owned()),
            vlan,
            trunk,
            vlans: vlans.map(|table| table.to_entries()),
            hairpin: flag,
            learning: !flag,
            owner: Some(number),
            state: if flag {
                StpState::Blocking
            } else {
                StpState::Forwarding
            },
            ..PortConfig::default()
        });
    let names = "[a-z][a-z0-9.-]{0,14}";
    (
        prop::collection::btree_map(names, bridge, 0..3),
        prop::collection::btree_map(names, port, 0..4),
    )
        .prop_map(|(bridge, port)| Config {
            bridge,
            port,
            ..Config::default()
        })
}

proptest! {
    #[test]
    fn a_configuration_survives_json_and_toml(config in any_config()) {
        let json = serde_json::to_string(&config).expect("json");
        prop_assert_eq!(&serde_json::from_str::<Config>(&json).expect("the same"), &config);
        let text = toml::to_string(&config).expect("toml");
        prop_assert_eq!(&toml::from_str::<Config>(&text).expect("the same"), &config);
        let _ = check(&config);
    }

    #[test]
    fn any_membership_can_be_written_and_means_the_same(table in membership(), name in prop::sample::select(vec!["ens1f0", "vm-db", "mgmt-br"])) {
        let mut config = config(SEED);
        prop_assert!(config.set_membership(name, &table));
        prop_assert_eq!(config.membership_of(name), Some(table));
        prop_assert_eq!(check(&config), vec![]);
    }
}
