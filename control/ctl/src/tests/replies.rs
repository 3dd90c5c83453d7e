//! What the daemon of the tests answers: a node like that of the seed, in fixed reply types.

mod attachments;
mod bonds;
mod node;

use serde_json::{Value, json};
use vswitch_api::config::ConfigError;
use vswitch_api::error::ApiError;
use vswitch_api::types::*;

use crate::render::to_json;
use node::{config, health, info, state};

/// The time of the daemon: one second passes with each answer that tells it.
pub(crate) mod clock {
    use std::cell::Cell;

    thread_local!(static SECONDS: Cell<u64> = const { Cell::new(0) });

    pub(crate) fn reset() {
        SECONDS.set(0);
    }

    pub(super) fn tick() -> u64 {
        SECONDS.set(SECONDS.get() + 1);
        SECONDS.get() - 1
    }

    /// As the daemon tells it.
    pub(super) fn time(tick: u64) -> String {
        format!("2026-11-24T10:00:{tick:02}.000000Z")
    }
}

const NOW: &str = "2026-11-24T10:00:00.000000Z";

fn known(names: &[&str], kind: &str, name: &str) -> Result<(), ApiError> {
    if names.contains(&name) {
        Ok(())
    } else {
        Err(ApiError::not_found(kind, name, names.iter().copied()))
    }
}

const BRIDGES: [&str; 2] = ["mgmt-br", "oob-br"];
const PORTS: [&str; 6] = ["ens1f0", "eth3", "mgmt-br", "spare", "vm-db", "vm-web"];

fn get_state(parameters: &Value) -> Result<Value, ApiError> {
    let mut state = state();
    if let Some(wanted) = parameters["bridge"].as_str() {
        known(&BRIDGES, "bridge", wanted)?;
        state.bridges.retain(|bridge| bridge.name == wanted);
        state
            .ports
            .retain(|port| port.bridge.as_deref() == Some(wanted));
    }
    if let Some(wanted) = parameters["port"].as_str() {
        known(&PORTS, "port", wanted)?;
        state.ports.retain(|port| port.name == wanted);
        let bridge = state.ports[0].bridge.clone();
        state
            .bridges
            .retain(|candidate| Some(&candidate.name) == bridge.as_ref());
    }
    Ok(to_json(&StateReply { state }))
}

/// The failures that names ask for.
fn refuse(parameters: &Value) -> Result<(), ApiError> {
    let hint = |text: &str| Some(text.to_owned());
    match parameters["name"].as_str().unwrap_or_default() {
        "busy" => Err(ApiError::Busy {
            message: "another change is under way".into(),
            retry_after_ms: 1500,
        }),
        "protected" => Err(ApiError::Protected {
            kind: "port".into(),
            name: "protected".into(),
            reason: "bridge mgmt-br is protected in the configuration".into(),
            hint: hint("change /etc/vswitch/vswitch.toml, then: vswctl config apply"),
        }),
        "conflict" => Err(ApiError::InUse {
            kind: "port".into(),
            name: "conflict".into(),
            users: vec!["bridge mgmt-br".into()],
            hint: None,
        }),
        "stale" => Err(ApiError::Conflict {
            message: "the configuration is of generation 44, not 42".into(),
            expect_generation: Some(42),
            generation: 44,
            hint: hint("look at it again: vswctl show"),
        }),
        "denied" => Err(ApiError::permission(
            "uid 1000 may look but not change",
            "vswitch",
        )),
        "wrong" => Err(vec![
            ConfigError::new("port.wrong.mtu", "9500 is more than the bridge's 1500")
                .hint("raise bridge.mgmt-br.mtu first"),
            ConfigError::new("port.wrong.netns", "a nic cannot be moved"),
        ]
        .into()),
        "broken" => Err(ApiError::system(
            "open TAP",
            "port broken",
            &std::io::Error::from_raw_os_error(16),
            hint("another program has it open: fuser /dev/net/tun"),
        )),
        "strange" => Err(ApiError::Other {
            name: "io.vswitch.Bond.Odd".into(),
            parameters: json!({"hint": "upgrade vswctl"}),
        }),
        _ => Ok(()),
    }
}

fn changed(parameters: &Value, path: String, op: ChangeOp) -> Result<Vec<Value>, ApiError> {
    let dry_run = parameters["dryRun"] == true;
    let value = Some(parameters["config"].clone()).filter(|config| !config.is_null());
    let (before, after) = match op {
        ChangeOp::Remove => (None, None),
        ChangeOp::Change => (Some(json!(100)), Some(json!(200))),
        _ => (None, value),
    };
    let impact = if op == ChangeOp::Change {
        Impact::PortFlap
    } else {
        Impact::None
    };
    let reply = ChangeReply {
        generation: if dry_run { 42 } else { 43 },
        changes: vec![Change {
            op,
            path,
            before,
            after,
            impact,
        }],
    };
    Ok(vec![to_json(&reply)])
}

fn entries() -> Vec<FdbEntry> {
    let entry = |mac: &str, vlan, port: &str, kind, seen| FdbEntry {
        bridge: "mgmt-br".into(),
        mac: mac.into(),
        vlan,
        port: port.into(),
        kind,
        seen_seconds: seen,
        used_seconds: None,
        hits: Some(9),
        ips: Vec::new(),
    };
    vec![
        entry("00:1c:73:aa:00:01", 1, "ens1f0", FdbKind::Dynamic, Some(3)),
        entry("52:54:00:9a:11:02", 100, "vm-db", FdbKind::Static, None),
        entry("02:00:00:00:00:01", 1, "mgmt-br", FdbKind::Local, None),
        FdbEntry {
            bridge: "oob-br".into(),
            ..entry("52:54:00:00:00:0f", 0, "eth3", FdbKind::Dynamic, Some(130))
        },
    ]
}

fn fdb_list(parameters: &Value) -> Vec<Value> {
    let mut entries = entries();
    let is = |key: &str, value: &Value| parameters[key].is_null() || parameters[key] == *value;
    entries.retain(|entry| {
        is("bridge", &json!(entry.bridge))
            && is("port", &json!(entry.port))
            && is("vlan", &json!(entry.vlan))
            && is("mac", &json!(entry.mac))
    });
    let (first, second) = entries.split_at(entries.len().min(2));
    [first, second]
        .iter()
        .map(|page| {
            to_json(&FdbPage {
                entries: page.to_vec(),
                truncated: false,
            })
        })
        .collect()
}

fn fdb_watch() -> Vec<Value> {
    let event = |op, index: usize, from: Option<&str>, lost| {
        to_json(&FdbEvent {
            time: "2026-11-24T10:00:01.250000Z".into(),
            op,
            entry: op.and_then(|_| entries().get(index).cloned()),
            from_port: from.map(str::to_owned),
            lost,
        })
    };
    vec![
        event(Some(FdbOp::Present), 0, None, 0),
        event(Some(FdbOp::Learned), 3, None, 0),
        event(Some(FdbOp::Moved), 0, Some("vm-web"), 0),
        event(None, 0, None, 17),
        event(Some(FdbOp::Aged), 0, None, 2),
    ]
}

fn stats(parameters: &Value) -> Result<Vec<Value>, ApiError> {
    let wanted = parameters["port"].as_str();
    wanted.map_or(Ok(()), |port| known(&PORTS, "port", port))?;
    let tick = clock::tick();
    let counters = |port: &str, frames| PortCounters {
        port: port.into(),
        bridge: Some("mgmt-br".into()),
        frames_in: frames,
        bytes_in: frames * 1000,
        frames_out: frames / 2,
        bytes_out: frames * 64,
        frames_forwarded: frames - 6,
        frames_punted: 2,
        drops: vec![
            DropCount {
                reason: "vlan-not-allowed".into(),
                direction: FrameDirection::In,
                frames: 4,
            },
            DropCount {
                reason: "tx-full".into(),
                direction: FrameDirection::Out,
                frames: 1 + tick * 3,
            },
        ],
    };
    let mut ports = vec![
        counters("ens1f0", 1_234_567 + tick * 120),
        counters("vm-db", 1_000 + tick * 700_000),
    ];
    ports.retain(|counters| wanted.is_none_or(|port| counters.port == port));
    Ok(vec![to_json(&PortsReply {
        snapshot_time: clock::time(tick),
        ports,
    })])
}

fn drops(parameters: &Value) -> Vec<Value> {
    let tick = clock::tick();
    let row = |reason: &str, port: &str, direction, frames, means: &str| DropRow {
        reason: reason.into(),
        port: port.into(),
        direction,
        frames,
        means: means.into(),
    };
    let mut drops = vec![
        row(
            "vlan-not-allowed",
            "ens1f0",
            FrameDirection::In,
            18_211 + 50 * tick,
            "tag is not in the port's VLAN set: vswctl vlan add VID dev PORT",
        ),
        row(
            "tx-full",
            "vm-db",
            FrameDirection::Out,
            902,
            "the device's queue was full: its reader is too slow",
        ),
    ];
    drops.retain(|drop| {
        let is = |key: &str, value: &str| parameters[key].is_null() || parameters[key] == value;
        is("port", &drop.port) && is("reason", &drop.reason)
    });
    vec![to_json(&DropsReply {
        snapshot_time: clock::time(tick),
        drops,
    })]
}

fn events() -> Vec<Value> {
    let event = |sequence, kind: &str, severity, message: &str| Event {
        sequence,
        time: format!("2026-11-24T10:00:0{sequence}.000000Z"),
        kind: kind.into(),
        object: "port.vm-web".into(),
        severity,
        message: message.into(),
        detail: None,
    };
    let reply = |event| {
        to_json(&WatchReply {
            state: None,
            event: Some(event),
        })
    };
    vec![
        to_json(&WatchReply {
            state: Some(state()),
            event: None,
        }),
        reply(event(
            1,
            "port-down",
            Severity::Warning,
            "no guest has opened the TAP",
        )),
        reply(event(
            2,
            "port-up",
            Severity::Info,
            "a guest opened the TAP \u{1b}[31m",
        )),
    ]
}

fn trace(parameters: &Value) -> Result<Vec<Value>, ApiError> {
    known(
        &PORTS,
        "port",
        parameters["port"].as_str().unwrap_or_default(),
    )?;
    let step = |stage: &str, object: &str, text: &str, reason: Option<&str>| TraceStep {
        stage: stage.into(),
        object: Some(object.to_owned()).filter(|object| !object.is_empty()),
        text: text.into(),
        reason: reason.map(str::to_owned),
    };
    // The tag of VLAN 300 in the frame.
    let reply = if parameters["frameHex"]
        .as_str()
        .unwrap_or_default()
        .contains("8100012c")
    {
        TraceReply {
            steps: vec![
                step("in", "vm-db", "tagged: VLAN 300", None),
                step(
                    "drop",
                    "vm-db",
                    "VLAN 300 is not in the port's set",
                    Some("vlan-not-allowed"),
                ),
            ],
            verdict: "drop".into(),
            reason: Some("vlan-not-allowed".into()),
            copies: vec![],
        }
    } else {
        TraceReply {
            steps: vec![
                step("in", "vm-db", "untagged: VLAN 100 (pvid)", None),
                step(
                    "learn",
                    "02:00:00:00:00:01",
                    "VLAN 100 would be learned",
                    None,
                ),
                step("find", "ff:ff:ff:ff:ff:ff", "broadcast: flood", None),
                step("out", "ens1f0", "tagged 100", None),
                step("out", "vm-web", "untagged", None),
                step("skip", "mgmt-br", "not in VLAN 100", Some("egress-vlan")),
            ],
            verdict: "flood".into(),
            reason: None,
            copies: vec![
                TraceCopy {
                    port: "ens1f0".into(),
                    tag: Some(100),
                },
                TraceCopy {
                    port: "vm-web".into(),
                    tag: None,
                },
            ],
        }
    };
    Ok(vec![to_json(&reply)])
}

fn capture() -> Vec<Value> {
    let frame = |direction, text: &str, verdict: Option<&str>, reason: Option<&str>| {
        let bytes = crate::frame_text::parse(text).unwrap();
        CapturedFrame {
            time_ns: 1_795_442_531_000_250_001,
            port: "vm-db".into(),
            direction,
            length: u32::try_from(bytes.len()).unwrap(),
            frame_hex: vswitch_api::hex::encode(&bytes),
            verdict: verdict.map(str::to_owned),
            reason: reason.map(str::to_owned),
        }
    };
    let replies = [
        CaptureReply::default(),
        CaptureReply {
            frames: vec![
                frame(
                    FrameDirection::In,
                    "arp who-has 10.0.0.1 tell 10.0.0.2",
                    Some("flood"),
                    None,
                ),
                frame(
                    FrameDirection::Out,
                    "vlan 100 ipv4 udp dport 53",
                    None,
                    None,
                ),
            ],
            lost: 0,
        },
        CaptureReply {
            frames: vec![frame(
                FrameDirection::In,
                "vlan 300 ipv6 icmp",
                Some("drop"),
                Some("vlan-not-allowed"),
            )],
            lost: 3,
        },
    ];
    replies.iter().map(to_json).collect()
}

/// The answers of a method.
pub(crate) fn answer(method: &str, parameters: &Value) -> Result<Vec<Value>, ApiError> {
    refuse(parameters)?;
    let name = parameters["name"].as_str().unwrap_or_default();
    let port = parameters["port"].as_str().unwrap_or_default();
    if let Some(verb) = method.strip_prefix("io.vswitch.Port.") {
        return attachments::answer(verb, parameters);
    }
    if let Some(verb) = method.strip_prefix("io.vswitch.Bond.") {
        return bonds::answer(verb, parameters);
    }
    Ok(
        match method.rsplit_once('.').map_or(method, |(_, name)| name) {
            "GetHealth" => vec![to_json(&health())],
            "GetState" => vec![get_state(parameters)?],
            "GetConfig" => vec![to_json(&ConfigReply {
                config: config(),
                generation: 42,
            })],
            "Watch" if method.contains(".Fdb.") => fdb_watch(),
            "Watch" => events(),
            "AddBridge" => return changed(parameters, format!("bridge.{name}"), ChangeOp::Add),
            "SetBridge" | "SetPort" => {
                return changed(parameters, format!("port.{name}.vlan"), ChangeOp::Change);
            }
            "AddPort" => {
                if let Some(bridge) = parameters["config"]["bridge"]
                    .as_str()
                    .filter(|bridge| *bridge != "b")
                {
                    known(&BRIDGES, "bridge", bridge)?;
                }
                return changed(parameters, format!("port.{name}"), ChangeOp::Add);
            }
            "DelBridge" | "DelPort" => {
                if name == "vm-bd" {
                    known(&PORTS, "port", name)?;
                }
                return changed(parameters, format!("port.{name}"), ChangeOp::Remove);
            }
            "AddVlan" | "DelVlan" => {
                known(&PORTS, "port", port)?;
                return changed(parameters, format!("port.{port}.vlans"), ChangeOp::Change);
            }
            "List" => fdb_list(parameters),
            "Add" | "Del" => {
                return changed(parameters, "bridge.mgmt-br.fdb".into(), ChangeOp::Change);
            }
            "Flush" => vec![to_json(&FdbFlushed { flushed: 7 })],
            "Ports" => stats(parameters)?,
            "Drops" => drops(parameters),
            "Vlans" => {
                let vlans = vec![VlanCounters {
                    bridge: "mgmt-br".into(),
                    port: Some("vm-db".into()),
                    vlan: 100,
                    frames_in: 5,
                    bytes_in: 500,
                    frames_out: 6,
                    bytes_out: 6_000,
                }];
                let vlans = if port == "vm-web" { Vec::new() } else { vlans };
                vec![to_json(&VlansReply {
                    snapshot_time: NOW.into(),
                    vlans,
                })]
            }
            "Trace" => trace(parameters)?,
            "Capture" => capture(),
            "GetInfo" if method.contains("Daemon") => vec![to_json(&info())],
            "SetLogLevel" => vec![json!({})],
            _ => {
                return Err(ApiError::MethodNotFound {
                    method: method.into(),
                    hint: None,
                });
            }
        },
    )
}
