//! The whole life of a configuration over the socket: made, looked at, changed, taken apart; by the
//! client of `vswitch-api` and by `vswctl`.

use crate::lab::{CONFIG, Daemon};
use serde_json::{Value, json};
use vswitch_api::ApiError;
use vswitch_api::client::ClientError;
use vswitch_api::config::Mac;
use vswitch_api::request::{
    AddBridge, AddPort, AddVlan, Apply, DelBridge, DelPort, DelVlan, FdbAdd, FdbDel, FdbFlush,
    FdbList, GetConfig, GetHealth, GetState, Method, Plan, SetBridge, SetPort,
};
use vswitch_api::types::{ChangeOp, ConfigSource, FdbKind, Health, Impact, OwnerKind, Port};

fn mac(text: &str) -> Mac {
    text.parse().expect("an address")
}

/// One daemon without objects, and one connection for everything.
struct Client(vswitch_api::client::Client);

impl Client {
    fn call<M: Method>(&mut self, method: M) -> M::Reply {
        let said = serde_json::to_value(&method).unwrap_or_default();
        let reply = self.0.call(&method);
        reply.unwrap_or_else(|error| panic!("{} {said}: {error:?}", M::NAME))
    }

    fn refused<M: Method>(&mut self, method: M) -> ApiError {
        match self.0.call(&method) {
            Err(ClientError::Refused(error)) => error,
            Err(error) => panic!("{}: {error}", M::NAME),
            Ok(_) => panic!("{} was not refused", M::NAME),
        }
    }

    fn port(&mut self, name: &str) -> Port {
        let state = self.call(GetState {
            port: Some(name.to_owned()),
            ..GetState::default()
        });
        state.state.ports.into_iter().next().expect("the port")
    }

    fn add_port(&mut self, name: &str, config: Value) -> u64 {
        let add = AddPort {
            name: name.to_owned(),
            config,
            ..AddPort::default()
        };
        self.call(add).generation
    }
}

#[test]
fn a_configuration_is_made_changed_and_taken_apart() {
    let daemon = Daemon::with("");
    let mut client = Client(daemon.client());
    let name = |name: &str| name.to_owned();

    // Made.
    let made = client.call(AddBridge {
        name: name("br0"),
        config: json!({"ageing": "60s"}),
        ..AddBridge::default()
    });
    assert_eq!(made.generation, 2);
    assert_eq!(
        (made.changes[0].op, made.changes[0].path.as_str()),
        (ChangeOp::Add, "bridge.br0")
    );
    assert_eq!(
        client.add_port("vm1", json!({"kind": "mem", "bridge": "br0", "vlan": 100})),
        3
    );
    let trunk =
        json!({"kind": "mem", "bridge": "br0", "trunk": [100, "200-299"], "native_vlan": 1});
    assert_eq!(client.add_port("up", trunk), 4);
    let state = client.call(GetState::default()).state;
    assert_eq!(state.bridges[0].ports, ["up", "vm1"]);
    assert_eq!(
        (state.generation, state.bridges[0].ageing.as_str()),
        (4, "60s")
    );
    let vm1 = client.port("vm1");
    assert_eq!((vm1.state.as_str(), vm1.vlans.pvid), ("up", Some(100)));
    assert_eq!(vm1.owner.kind, OwnerKind::Api);
    let health = client.call(GetHealth {});
    assert_eq!(
        (health.health, health.unsaved, health.ports_up),
        (Health::Ok, 3, 2)
    );

    // The same again is no error where it may exist, and one where it may not.
    let again = || AddBridge {
        name: "br0".to_owned(),
        config: json!({"ageing": "60s"}),
        ..AddBridge::default()
    };
    let may = AddBridge {
        may_exist: true,
        ..again()
    };
    assert_eq!(client.call(may).changes, []);
    let refused = client.refused(again());
    assert!(
        matches!(&refused, ApiError::AlreadyExists { kind, .. } if kind == "bridge"),
        "{refused:?}"
    );

    // Changed.
    let set = client.call(SetPort {
        name: name("vm1"),
        config: json!({"vlan": null, "trunk": [100], "hairpin": true, "enabled": false}),
        ..SetPort::default()
    });
    let told: Vec<_> = set
        .changes
        .iter()
        .map(|c| (c.path.as_str(), c.impact))
        .collect();
    assert!(
        told.contains(&("port.vm1.enabled", Impact::LinkLoss)),
        "{told:?}"
    );
    assert!(
        told.contains(&("port.vm1.hairpin", Impact::None)),
        "{told:?}"
    );
    let vm1 = client.port("vm1");
    assert_eq!(
        (vm1.state.as_str(), vm1.admin_up, vm1.flags.hairpin),
        ("down", false, true)
    );
    let back = json!({"enabled": null, "hairpin": null, "trunk": null, "vlan": 100});
    client.call(SetPort {
        name: name("vm1"),
        config: back,
        ..SetPort::default()
    });
    assert_eq!(client.port("vm1").state, "up");
    client.call(AddVlan {
        port: name("vm1"),
        first: 300,
        last: Some(310),
        ..AddVlan::default()
    });
    let tagged = client.port("vm1").vlans.tagged;
    assert_eq!(
        (tagged[0].first, tagged[0].last, tagged.len()),
        (300, 310, 1)
    );
    client.call(AddVlan {
        port: name("vm1"),
        first: 7,
        pvid: true,
        untagged: true,
        ..AddVlan::default()
    });
    assert_eq!(client.port("vm1").vlans.pvid, Some(7));
    client.call(DelVlan {
        port: name("vm1"),
        first: 305,
        ..DelVlan::default()
    });
    let tagged: Vec<_> = client
        .port("vm1")
        .vlans
        .tagged
        .iter()
        .map(|r| (r.first, r.last))
        .collect();
    assert_eq!(tagged, [(300, 304), (306, 310)]);
    client.call(SetBridge {
        name: name("br0"),
        config: json!({"mtu": 9000, "ageing": null}),
        ..SetBridge::default()
    });
    let bridge = client.call(GetState::default()).state.bridges.remove(0);
    assert_eq!((bridge.mtu, bridge.ageing.as_str()), (9000, "300s"));

    // Addresses.
    let station = mac("02:00:00:00:00:07");
    client.call(FdbAdd {
        mac: station,
        port: name("vm1"),
        vlan: Some(7),
        ..FdbAdd::default()
    });
    let entries = client.call(FdbList::default()).entries;
    assert_eq!(
        (entries[0].kind, entries[0].vlan, entries.len()),
        (FdbKind::Static, 7, 1)
    );
    assert_eq!(
        client.call(FdbFlush::default()).flushed,
        0,
        "configured ones stay"
    );
    let del = || FdbDel {
        bridge: "br0".to_owned(),
        mac: station,
        vlan: Some(7),
        ..FdbDel::default()
    };
    client.call(del());
    assert_eq!(client.call(FdbList::default()).entries, []);
    let refused = client.refused(del());
    assert!(
        matches!(&refused, ApiError::NotFound { kind, .. } if kind == "address"),
        "{refused:?}"
    );

    // Taken apart.
    let refused = client.refused(DelBridge {
        name: name("br0"),
        ..DelBridge::default()
    });
    assert!(
        matches!(&refused, ApiError::InUse { users, .. } if *users == ["up", "vm1"]),
        "{refused:?}"
    );
    client.call(DelPort {
        name: name("up"),
        ..DelPort::default()
    });
    let gone = client.call(DelBridge {
        name: name("br0"),
        cascade: true,
        ..DelBridge::default()
    });
    let paths: Vec<_> = gone.changes.iter().map(|c| c.path.as_str()).collect();
    assert_eq!(paths, ["bridge.br0", "port.vm1"]);
    let state = client.call(GetState::default()).state;
    assert_eq!((state.bridges.len(), state.ports.len()), (0, 0));
    let health = client.call(GetHealth {});
    assert_eq!(
        (health.unsaved, health.generation),
        (0, gone.generation),
        "as the file says again"
    );
}

/// A dry run and a plan say what would be, and nothing is; a change made for another state is refused.
#[test]
fn plans_and_dry_runs_change_nothing() {
    let daemon = Daemon::start();
    let mut client = Client(daemon.client());
    let before = client.call(GetConfig::default());
    let dry = client.call(DelPort {
        name: "vm1".to_owned(),
        dry_run: true,
        ..DelPort::default()
    });
    assert_eq!((dry.generation, dry.changes[0].op), (1, ChangeOp::Remove));
    let mut wanted = before.config.clone();
    wanted["port"]["vm2"]["vlan"] = json!(200);
    wanted["port"]["vm3"] = json!({"kind": "mem", "bridge": "br0"});
    let plan = client.call(Plan {
        config: wanted.clone(),
    });
    let told: Vec<_> = plan
        .changes
        .iter()
        .map(|c| (c.op, c.path.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (ChangeOp::Change, "port.vm2.vlan"),
            (ChangeOp::Add, "port.vm3")
        ]
    );
    assert_eq!(client.call(GetConfig::default()), before);
    let apply = |expect| Apply {
        config: wanted.clone(),
        expect_generation: Some(expect),
        ..Apply::default()
    };
    let refused = client.refused(apply(7));
    assert!(
        matches!(refused, ApiError::Conflict { generation: 1, .. }),
        "{refused:?}"
    );
    assert_eq!(client.call(GetConfig::default()), before);
    let applied = client.call(apply(1));
    assert_eq!((applied.generation, &applied.changes), (2, &plan.changes));
    let after = client.call(GetConfig::default());
    assert_eq!(after.config["port"]["vm3"]["kind"], "mem");
    let saved = client.call(GetConfig {
        source: Some(ConfigSource::Saved),
    });
    assert_eq!(saved.config, before.config, "the file is as it was");
    assert_eq!(
        std::fs::read_to_string(daemon.folder.join("vswitch.toml")).expect("the file"),
        CONFIG
    );
    // Half a configuration that is wrong is not half applied.
    let mut wrong = after.config.clone();
    wrong["port"]["vm4"] = json!({"kind": "mem", "bridge": "br0"});
    wrong["port"]["vm5"] = json!({"kind": "mem", "bridge": "br1"});
    let refused = client.refused(Apply {
        config: wrong,
        ..Apply::default()
    });
    assert!(
        matches!(&refused, ApiError::InvalidConfig { errors } if errors.len() == 1),
        "{refused:?}"
    );
    assert_eq!(client.call(GetConfig::default()), after);
}

/// The same life by commands.
#[test]
fn vswctl_makes_and_takes_apart_what_the_socket_does() {
    let daemon = Daemon::with("");
    for line in [
        "bridge add br0 --ageing 60s",
        "port add vm1 --bridge br0 --kind mem --vlan 100",
        "port add up --bridge br0 --kind mem --trunk 100,200-299 --native-vlan 1",
        "vlan add vm1 300-310",
        "vlan del vm1 305",
        "port set vm1 hairpin=true",
        "fdb add 02:00:00:00:00:07 vm1 --vlan 100",
    ] {
        daemon.ctl(line);
    }
    let shown = daemon.ctl("show");
    for word in ["br0", "vm1", "up", "100"] {
        assert!(shown.contains(word), "{word}:\n{shown}");
    }
    let vlans = daemon.ctl("vlan show");
    assert!(
        vlans.contains("300-304") || vlans.contains("304"),
        "{vlans}"
    );
    assert!(daemon.ctl("fdb show").contains("02:00:00:00:00:07"));
    let status: Value = serde_json::from_str(&daemon.ctl("status --json")).expect("JSON");
    assert_eq!(
        (&status["ports"], &status["health"]),
        (&json!(2), &json!("ok"))
    );
    let ports: Value = serde_json::from_str(&daemon.ctl("port list --json")).expect("JSON");
    assert_eq!(ports.as_array().map(Vec::len), Some(2), "{ports}");
    let config = daemon.ctl("config show --json");
    let config: Value = serde_json::from_str(&config).expect("JSON");
    let as_asked = daemon.config()["config"].clone();
    assert_eq!(config.get("config").unwrap_or(&config), &as_asked);
    for line in [
        "fdb del 02:00:00:00:00:07 --bridge br0 --vlan 100",
        "fdb flush br0",
        "port del up",
        "port del nobody --if-exists",
        "bridge del br0 --cascade",
    ] {
        daemon.ctl(line);
    }
    assert_eq!(
        daemon.call("Switch.GetState", json!({}))["state"]["bridges"],
        json!([])
    );
}

/// S-21: what the file protects is changed by the file alone.
#[test]
fn protected_objects_are_refused_and_stay() {
    let daemon = Daemon::start();
    let before = daemon.config();
    for (method, parameters) in [
        ("Switch.DelBridge", json!({"name": "mgmt"})),
        (
            "Switch.SetBridge",
            json!({"name": "mgmt", "config": {"mtu": 9000}}),
        ),
        ("Switch.Apply", json!({"config": {}})),
    ] {
        let refused = daemon.refused(method, parameters);
        let ApiError::Protected {
            kind, name, hint, ..
        } = &refused
        else {
            panic!("{method}: {refused:?}");
        };
        assert_eq!((kind.as_str(), name.as_str()), ("bridge", "mgmt"));
        assert!(
            hint.as_ref().is_some_and(|hint| hint.contains("file")),
            "{hint:?}"
        );
    }
    assert_eq!(daemon.config(), before);
    let told = daemon.vswctl(&["bridge", "del", "mgmt"]);
    assert_eq!(told.code, 5, "{}", told.err);
    daemon.ctl("port add vm9 --bridge mgmt --kind mem"); // Ports may come and go.
    daemon.ctl("port del vm9");
}
