//! Random configurations, failures, devices that come and go, slow workers: whatever happened, once
//! nothing fails any more the switch is what the configuration says (house.md 4.9: compile ∘ delta
//! reaches the target from any state). The contract of the effects is asserted at every step by
//! `testing.rs`.

use crate::facts::{Link, LinkEvent};
use crate::testing::{Rig, config, error, nic};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::cell::Cell;
use std::rc::Rc;
use vswitch_base::Duration;
use vswitch_core::bond::Transmit;
use vswitch_core::worker::WorkerEvent;

#[derive(Clone, Debug)]
enum Act {
    Apply(Value),
    Reload(Value),
    /// The next that many effects fail with the chance of one in so many.
    Fail(u32),
    Carrier(usize, bool),
    SetUp(usize, bool),
    Vanish(usize),
    Appear(usize),
    QueueFails(u16, i32),
    Workers(bool),
    Keep(Option<&'static str>),
    Pass(u64),
}

const NICS: [&str; 2] = ["eth0", "eth1"];

fn port() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![
        Just(json!({"kind": "tap"})),
        Just(json!({"kind": "tap", "persistent": true})),
        Just(json!({"kind": "tap", "netns": "red"})),
        Just(json!({"kind": "mem"})),
    ];
    let vlans = prop_oneof![
        Just(json!({})),
        (1_u16..4).prop_map(|vlan| json!({ "vlan": vlan })),
        Just(json!({"trunk": [2, 3], "native_vlan": 1})),
        Just(json!({"trunk": [3]})),
    ];
    (
        kind,
        vlans,
        1..3_u32,
        any::<bool>(),
        prop_oneof![Just(1500_u32), Just(1400)],
        0..2_usize,
    )
        .prop_map(|(mut port, vlans, queues, enabled, mtu, bridge)| {
            for (key, value) in vlans.as_object().expect("an object") {
                port[key] = value.clone();
            }
            port["queues"] = json!(queues);
            port["enabled"] = json!(enabled);
            port["mtu"] = json!(mtu);
            port["bridge"] = json!(["br0", "br1"][bridge]);
            port
        })
}

/// Two bridges; a bond of one or both NICs, or none; up to three TAPs, up to two NIC ports (their devices may be swapped), up to two hosts.
fn configuration() -> impl Strategy<Value = Value> {
    let taps = proptest::collection::btree_map("vm[123]", port(), 0..3);
    let nics =
        proptest::collection::btree_map("n[12]", (0..2_usize, any::<bool>(), any::<bool>()), 0..3);
    let hosts = proptest::collection::btree_map("h[12]|br0", 0..3_u16, 0..3);
    let bridge = (
        any::<bool>(),
        prop_oneof![Just(64), Just(128)],
        any::<bool>(),
        prop_oneof![Just(1500), Just(9000)],
    );
    let bond = (
        any::<bool>(),
        prop_oneof![
            Just("balance-rr"),
            Just("active-backup"),
            Just("balance-xor")
        ],
        proptest::sample::subsequence(vec!["eth0", "eth1"], 1..=2),
        prop_oneof![Just(0), Just(50)],
    );
    (taps, nics, hosts, bridge, bond).prop_map(|(taps, nics, hosts, bridge, bond)| {
        let (filtering, fdb_max, stats, mtu) = bridge;
        let bridge = json!({"vlan_filtering": filtering, "fdb_max": fdb_max, "vlan_stats": stats, "mtu": mtu});
        let mut config = json!({"bridge": {"br0": bridge, "br1": {}}, "port": taps, "host": {}});
        let mut used = Vec::new();
        let (bonded, mode, members, delay) = bond;
        if bonded {
            used.extend(members.iter().filter_map(|m| NICS.iter().position(|n| n == m)));
            config["bond"]["b0"] = json!({"mode": mode, "members": members, "updelay": delay, "downdelay": delay});
            config["port"]["b0"] = json!({"kind": "bond", "bridge": "br0"});
        }
        for (name, (device, enabled, hairpin)) in nics {
            if !used.contains(&device) {
                used.push(device);
                config["port"][name] = json!({
                    "kind": "nic", "device": NICS[device], "bridge": "br0",
                    "enabled": enabled, "hairpin": hairpin,
                });
            }
        }
        for (name, vlan) in hosts {
            config["host"][&name] = json!({"bridge": "br0", "addresses": [format!("10.0.{}.1/24", name.len() + usize::from(name.as_bytes()[1]))]});
            if vlan > 0 {
                config["host"][&name]["vlan"] = json!(vlan);
            }
        }
        config
    })
}

fn act() -> impl Strategy<Value = Act> {
    let keep = prop_oneof![
        Just(None),
        Just(Some("open")),
        Just(Some("close")),
        Just(Some("set"))
    ];
    prop_oneof![
        6 => configuration().prop_map(Act::Apply),
        1 => configuration().prop_map(Act::Reload),
        3 => (0..4_u32).prop_map(Act::Fail),
        1 => (0..2_usize, any::<bool>()).prop_map(|(i, on)| Act::Carrier(i, on)),
        1 => (0..2_usize, any::<bool>()).prop_map(|(i, on)| Act::SetUp(i, on)),
        1 => (0..2_usize).prop_map(Act::Vanish),
        1 => (0..2_usize).prop_map(Act::Appear),
        2 => (0..6_u16, prop_oneof![Just(5), Just(19), Just(100)]).prop_map(|(p, e)| Act::QueueFails(p, e)),
        2 => any::<bool>().prop_map(Act::Workers),
        2 => keep.prop_map(Act::Keep),
        2 => (0..20_000_u64).prop_map(Act::Pass),
    ]
}

struct World {
    rig: Rig,
    fail_one_in: Rc<Cell<u32>>,
    next_ifindex: u32,
}

impl World {
    fn new(start: Value) -> Self {
        let fail_one_in = Rc::new(Cell::new(0));
        let chance = Rc::clone(&fail_one_in);
        let mut dice = 0x9e37_79b9_u32;
        let fault = Box::new(move |effect: &crate::Effect| {
            if matches!(effect, crate::Effect::Publish(_)) || chance.get() == 0 {
                return None;
            }
            dice ^= dice << 13;
            dice ^= dice >> 17;
            dice ^= dice << 5;
            dice.is_multiple_of(chance.get())
                .then(|| error([16, 19, 22][dice as usize % 3]))
        });
        let links = [nic("eth0", 5), nic("eth1", 6)];
        let rig = Rig::with(start, &links, crate::AttachedState::default(), fault);
        Self {
            rig,
            fail_one_in,
            next_ifindex: 100,
        }
    }

    fn act(&mut self, act: Act) {
        let rig = &mut self.rig;
        match act {
            Act::Apply(config) => {
                _ = rig.send("io.vswitch.Switch.Apply", json!({ "config": config }));
            }
            Act::Reload(value) => {
                // Refused is as good: the property is about what is taken.
                rig.controller.handle_reload(config(value), rig.now);
                rig.run();
            }
            Act::Fail(one_in) => self.fail_one_in.set(one_in),
            Act::Carrier(i, carrier) => {
                if let Some(link) = rig.links.get(NICS[i]).cloned() {
                    rig.link(LinkEvent::Present(Link { carrier, ..link }));
                }
            }
            Act::SetUp(i, admin_up) => {
                if let Some(link) = rig.links.get(NICS[i]).cloned() {
                    rig.link(LinkEvent::Present(Link { admin_up, ..link }));
                }
            }
            Act::Vanish(i) => {
                if let Some(link) = rig.links.get(NICS[i]).cloned() {
                    rig.link(LinkEvent::Gone {
                        ifindex: link.ifindex,
                    });
                }
            }
            Act::Appear(i) => {
                if !rig.links.contains_key(NICS[i]) {
                    self.next_ifindex += 1;
                    rig.link(LinkEvent::Present(nic(NICS[i], self.next_ifindex)));
                }
            }
            Act::QueueFails(port, errno) => {
                let port = vswitch_base::PortIndex(port);
                rig.controller
                    .handle_worker_event(WorkerEvent::QueueFailed { port, errno }, rig.now);
                rig.run();
            }
            Act::Workers(observe) => {
                rig.observes = observe;
                rig.run();
            }
            Act::Keep(keep) => {
                rig.let_go();
                rig.keep = keep;
            }
            Act::Pass(ms) => rig.pass(Duration::from_millis(ms)),
        }
    }

    /// Nothing fails any more, every device is there, everybody follows, and time passes.
    fn calm(&mut self) {
        self.fail_one_in.set(0);
        self.rig.observes = true;
        self.rig.let_go();
        for i in 0..2 {
            self.act(Act::Appear(i));
            self.act(Act::SetUp(i, true));
            self.act(Act::Carrier(i, true));
        }
        self.rig.pass(Duration::from_secs(120));
    }

    /// The switch is what the configuration says, no more and no less.
    fn check(&mut self) {
        let rig = &mut self.rig;
        assert!(rig.controller.is_idle(), "{:?}", rig.controller);
        let facts = crate::facts::Facts::new(0, true);
        let mut registry = crate::registry::Registry::new(0);
        let config = rig.controller.config().clone();
        let wanted = crate::compile::compile(&config, &mut registry, &facts).expect("it runs");
        let state = rig.state();
        assert_eq!(rig.open.len(), wanted.ports.len());
        assert_eq!(rig.snapshot.ports().count(), wanted.ports.len());
        for (name, port) in &wanted.ports {
            let index = rig.index(name);
            let device = &rig.open[&index];
            assert!(
                device.attached && device.spec.is_same_device(&port.spec),
                "{name}"
            );
            let sorted = |settings: &crate::DeviceSettings| {
                let mut settings = settings.clone();
                settings.addresses.sort();
                settings
            };
            assert_eq!(
                sorted(&device.settings),
                sorted(&port.spec.device),
                "{name}"
            );
            let view = rig.snapshot.port(index).expect("published");
            let logical = &wanted.names[&port.view.logical];
            assert_eq!(view.logical, rig.index(logical), "{name}");
            assert_eq!(
                (&view.vlans, view.pvid, view.mtu),
                (&port.view.vlans, port.view.pvid, port.view.mtu)
            );
            assert_eq!(view.state, port.view.state, "{name}");
            let row = state
                .ports
                .iter()
                .find(|row| row.name == *name)
                .expect("a row");
            assert_eq!(
                row.state,
                if port.enabled { "up" } else { "down" },
                "{name}: {:?}",
                row.reason
            );
        }
        for (name, bond) in &wanted.bonds {
            let transmit = rig.snapshot.transmit(rig.index(name)).expect("a bond");
            let senders = transmit.members();
            let members: Vec<_> = bond.members.iter().map(|(m, _)| rig.index(m)).collect();
            let one = matches!(transmit, Transmit::One(_));
            assert!(
                senders.iter().all(|index| members.contains(index)),
                "{name}"
            );
            assert!(
                one || members.iter().all(|m| senders.contains(m)),
                "{name}: {transmit:?}"
            );
        }
        for (name, bridge) in &wanted.bridges {
            let index = rig.controller.view.bridges[name].index;
            let view = rig.snapshot.bridge(index).expect("published");
            assert_eq!(view.fdb.learned_max(), bridge.spec.fdb.learned_max());
            let pins = wanted.pins_of(name, |_, port| port.spec.device.mac);
            let kept: Vec<_> = view.fdb.entries().map(|e| (e.vid, e.mac)).collect();
            assert_eq!(kept.len(), pins.len(), "{name}");
            assert!(kept.iter().all(|key| pins.contains_key(key)), "{name}");
        }
        let saved: Vec<&String> = rig.saved.ports.iter().map(|port| &port.name).collect();
        assert_eq!(saved, wanted.ports.keys().collect::<Vec<_>>());
        let answered = rig.replies.len();
        rig.replies.clear();
        assert!(answered < 1000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn after_any_storm_the_switch_is_what_the_configuration_says(
        start in configuration(),
        acts in proptest::collection::vec(act(), 0..30),
    ) {
        let mut world = World::new(start);
        for act in acts {
            world.act(act);
        }
        world.calm();
        world.check();
        world.rig.controller.handle_stop(world.rig.now);
        world.rig.run();
        prop_assert!(world.rig.controller.is_stopped() && world.rig.open.is_empty());
    }
}
