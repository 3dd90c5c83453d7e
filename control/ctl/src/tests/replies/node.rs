//! The node of the tests: two bridges like those of the seed, their health, configuration and
//! daemon.

use serde_json::{Value, json};
use vswitch_api::config::VlanRange;
use vswitch_api::types::*;

use super::{NOW, clock};

fn ranges(text: &str) -> Vec<VlanRange> {
    text.parse::<vswitch_api::config::VlanSet>()
        .unwrap()
        .ranges()
        .to_vec()
}

fn port(name: &str, bridge: &str, kind: &str, pvid: Option<u16>, tagged: &str) -> Port {
    Port {
        name: name.into(),
        bridge: Some(bridge.into()),
        kind: kind.into(),
        netdev: Some(name.into()),
        ifindex: Some(7),
        mac: Some("02:00:00:00:00:07".into()),
        mtu: 1500,
        queues: 1,
        admin_up: true,
        state: "up".into(),
        vlans: PortVlans {
            pvid,
            untagged: pvid.map(VlanRange::single).into_iter().collect(),
            tagged: ranges(tagged),
        },
        flags: PortFlags {
            accept_frames: "all".into(),
            stp_state: "forwarding".into(),
            bpdu: "auto".into(),
            learning: true,
            flood: true,
            mcast_flood: true,
            bcast_flood: true,
            ..PortFlags::default()
        },
        fdb_entries: 3,
        since: "2026-11-24T06:59:00.000000Z".into(),
        ..Port::default()
    }
}

pub(super) fn state() -> State {
    let mut uplink = port("ens1f0", "mgmt-br", "nic", Some(1), "100,200-210");
    uplink.uplink = true;
    uplink.speed_mbps = Some(10_000);
    uplink.flags.bpdu = "listen".into();
    let mut host = port("mgmt-br", "mgmt-br", "host", Some(1), "");
    host.addresses = vec!["192.168.10.11/24".into()];
    let mut down = port("vm-web", "mgmt-br", "tap", Some(100), "");
    down.state = "lower-down".into();
    down.reason = Some("no guest has opened the TAP".into());
    down.owner.kind = OwnerKind::Api;
    down.flags.isolated = true;
    let mut db = port("vm-db", "mgmt-br", "tap", Some(100), "");
    db.netdev = Some("tap7".into());
    db.queues = 2;
    db.netns = Some("db".into());
    let plain = port("eth3", "oob-br", "nic", Some(1), "");
    let mut alone = port("spare", "", "tap", None, "");
    alone.bridge = None;
    alone.netdev = None;
    alone.state = "absent".into();
    alone.reason = Some("no such device".into());
    let bridge = |name: &str, uplink: Option<&str>, filtering, ports: &[&str]| Bridge {
        name: name.into(),
        mac: "02:00:00:00:00:01".into(),
        mtu: 1500,
        vlan_filtering: filtering,
        default_pvid: 1,
        ageing: "300s".into(),
        fdb_entries: u32::try_from(ports.len()).unwrap() * 10,
        fdb_max: 65_536,
        uplink: uplink.map(str::to_owned),
        protected: filtering,
        ports: ports.iter().map(|name| (*name).to_owned()).collect(),
        attached_vlans: filtering
            .then(|| VlanOwners {
                first: 100,
                last: 100,
                owners: vec!["vlan100/3f2a/net1".into()],
            })
            .into_iter()
            .collect(),
    };
    State {
        generation: 42,
        snapshot_time: NOW.into(),
        bridges: vec![
            bridge(
                "mgmt-br",
                Some("ens1f0"),
                true,
                &["ens1f0", "mgmt-br", "vm-db", "vm-web"],
            ),
            bridge("oob-br", None, false, &["eth3"]),
        ],
        ports: vec![uplink, plain, host, alone, db, down],
    }
}

pub(super) fn health() -> HealthReply {
    HealthReply {
        health: Health::Degraded,
        problems: vec![Event {
            sequence: 1,
            time: NOW.into(),
            kind: "port-down".into(),
            object: "port.vm-web".into(),
            severity: Severity::Warning,
            message: "down for 3 h".into(),
            detail: Some(
                json!({"reason": "no guest has opened the TAP", "hint": "start the guest, or vswctl port down vm-web"}),
            ),
        }],
        version: "0.1.0".into(),
        uptime_seconds: 273_600,
        generation: 42,
        unsaved: 3,
        bridges: 2,
        ports: 6,
        ports_up: 4,
        fdb_entries: 212,
        workers: 1,
    }
}

pub(super) fn config() -> Value {
    json!({
        "daemon": {"workers": "auto", "log": "info"},
        "bridge": {"mgmt-br": {"mtu": 1500, "uplink": "ens1f0", "vlans": [1, 100, "200-210"], "protected": true}},
        "port": {
            "ens1f0": {"kind": "nic", "hairpin": false, "isolated": false},
            "vm-db": {"bridge": "mgmt-br", "kind": "tap", "vlan": 100, "queues": 2, "mac": null},
        },
        "host": {"mgmt-br": {"bridge": "mgmt-br", "addresses": ["192.168.10.11/24"], "queues": 1}},
    })
}

/// Bounds from 1, and these counts for the first of them.
fn histogram(unit: u64, buckets: usize, counts: &[u64]) -> Vec<HistogramBucket> {
    let bucket = |at: usize| HistogramBucket {
        up_to: (at + 1 < buckets).then(|| unit << at),
        count: counts.get(at).copied().unwrap_or(0),
    };
    (0..buckets).map(bucket).collect()
}

/// Worker 0 is at work in each second, worker 1 did something once and stands still.
pub(super) fn info() -> DaemonInfo {
    let tick = clock::tick();
    let worker = |index: u32| {
        let work = if index == 0 { tick } else { 0 };
        WorkerInfo {
            index,
            cpu: Some(index),
            queues: 3,
            busy_ns: 12_000_000_000 + work * 400_000_000,
            idle_ns: 88_000_000_000 + tick * 1_000_000_000 - work * 400_000_000,
            batches: 10 + work * 50_000,
            frames: 320 + work * 700_000,
            batch_sizes: histogram(1, 14, &[5 + work * 1_000, 1, 0, 0, 2 + work * 49_000, 0, 2]),
            loop_times_ns: histogram(
                1_000,
                22,
                &[2, 5, 1, work * 49_900, 0, 1 + work * 100, 0, 1],
            ),
            longest_ns: Some(77_100),
            longest_at: Some(NOW.into()),
            stalls: Some(u64::from(index) * 2),
            stalled: Some(index == 1),
            ports: ["ens1f0", "vm-db"]
                .iter()
                .zip([1, 2])
                .map(|(port, queues)| WorkerPort {
                    port: (*port).to_owned(),
                    queues,
                })
                .collect(),
        }
    };
    DaemonInfo {
        version: "0.1.0".into(),
        pid: 4711,
        start_time: "2026-11-21T06:00:00.000000Z".into(),
        uptime_seconds: 273_600 + tick,
        snapshot_time: clock::time(tick),
        socket: "/run/vswitch/io.vswitch".into(),
        config_files: vec![
            "/etc/vswitch/vswitch.toml".into(),
            "/etc/vswitch/conf.d/vm.toml".into(),
        ],
        state_dir: Some("/run/vswitch".into()),
        log: "info".into(),
        workers: vec![worker(0), worker(1)],
        memory_bytes: 12_345_678,
    }
}
