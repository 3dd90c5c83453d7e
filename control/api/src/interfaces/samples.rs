//! One full and one bare example of every call and reply, to hold the Rust types against the
//! interface texts. For tests only.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::request::{Method, Request};
use crate::types::*;

/// Every parameter that a method has.
pub(super) fn parameters(method: &str) -> Value {
    let mac = "02:00:00:00:00:01";
    let change = json!({"expectGeneration": 7, "dryRun": true});
    let with = |mut more: Value| {
        let (all, change) = (
            more.as_object_mut().expect("an object"),
            change.as_object().expect("an object"),
        );
        all.extend(change.clone());
        more
    };
    let short = method.strip_prefix("io.vswitch.").unwrap_or(method);
    match short {
        "org.varlink.service.GetInterfaceDescription" => json!({"interface": "io.vswitch.Fdb"}),
        "Switch.GetState" => json!({"bridge": "b", "port": "p"}),
        "Switch.Watch" => json!({"kinds": ["port-up"], "sinceSequence": 5}),
        "Switch.GetConfig" => json!({"source": "saved"}),
        "Switch.Plan" => json!({"config": {}}),
        "Switch.Apply" => with(json!({"config": {}})),
        "Switch.AddBridge" | "Switch.AddPort" => {
            with(json!({"name": "x", "config": {"mtu": 1500}, "mayExist": true}))
        }
        "Switch.SetBridge" | "Switch.SetPort" => {
            with(json!({"name": "x", "config": {"mtu": 1500}}))
        }
        "Switch.DelBridge" => with(json!({"name": "x", "cascade": true, "ifExists": true})),
        "Switch.DelPort" => with(json!({"name": "x", "ifExists": true})),
        "Switch.AddVlan" => {
            with(json!({"port": "p", "first": 5, "last": 9, "pvid": true, "untagged": true}))
        }
        "Switch.DelVlan" => with(json!({"port": "p", "first": 5, "last": 9})),
        "Bond.List" => json!({"bond": "bond0"}),
        "Bond.Add" => {
            with(json!({"name": "x", "config": {"mode": 1}, "bridge": "b", "mayExist": true}))
        }
        "Bond.Set" => with(json!({"name": "x", "config": {"mode": 1}})),
        "Bond.Del" => with(json!({"name": "x", "ifExists": true})),
        "Bond.AddMember" | "Bond.DelMember" => with(json!({"bond": "x", "member": "p"})),
        "Bond.SetActive" => json!({"bond": "x", "member": "p"}),
        "Bond.Hash" => {
            json!({"bond": "x", "frameHex": "00", "vlan": 5, "policy": "layer3+4"})
        }
        "Port.Attach" => json!({
            "attachment": attachment(), "mode": "tap", "device": "net1",
            "netns": "/run/netns/x", "config": {"bridge": "b"}, "descriptors": 1,
        }),
        "Port.Detach" | "Port.Check" => json!({"attachment": attachment()}),
        "Port.CollectGarbage" => json!({"network": "n", "valid": [attachment()]}),
        "Port.Ready" => json!({"bridge": "b"}),
        "Port.List" => json!({"network": "n"}),
        "Fdb.List" | "Fdb.Flush" => json!({"bridge": "b", "port": "p", "vlan": 5, "mac": mac}),
        "Fdb.Add" => {
            with(json!({"bridge": "b", "mac": mac, "vlan": 5, "port": "p", "kind": "local"}))
        }
        "Fdb.Del" => with(json!({"bridge": "b", "mac": mac, "vlan": 5})),
        "Fdb.Watch" => json!({"bridge": "b", "port": "p"}),
        "Stats.Ports" => json!({"port": "p"}),
        "Stats.Drops" => json!({"port": "p", "reason": "no-pvid"}),
        "Stats.Vlans" => json!({"bridge": "b", "port": "p", "vlan": 5}),
        "Debug.Trace" => json!({"port": "p", "frameHex": "00", "vlan": 5, "pcp": 7}),
        "Debug.Capture" => {
            json!({"port": "p", "direction": "out", "snaplen": 96, "drops": true, "limit": 10})
        }
        "Debug.PutFrames" => json!({"port": "p", "frames": ["00", "01"]}),
        "Debug.TakeFrames" => json!({"port": "p"}),
        "Debug.WarpClock" => json!({"milliseconds": 300_000}),
        "Daemon.SetLogLevel" => json!({"level": "debug"}),
        _ => json!({}),
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn port() -> Port {
    let range = VlanRange { first: 5, last: 9 };
    Port {
        name: text("vm1"),
        bridge: Some(text("br0")),
        bond: Some(text("bond0")),
        netdev: Some(text("vm1")),
        ifindex: Some(7),
        netns: Some(text("guest")),
        mac: Some(text("02:00:00:00:00:01")),
        reason: Some(text("no carrier")),
        held: Some(true),
        speed_mbps: Some(10_000),
        vlans: PortVlans {
            pvid: Some(5),
            untagged: vec![range],
            tagged: vec![range],
        },
        flags: PortFlags {
            mac_limit: Some(9),
            ..PortFlags::default()
        },
        addresses: vec![text("192.168.10.11/24")],
        owner: Owner {
            kind: OwnerKind::Cni,
        },
        ..Port::default()
    }
}

fn state() -> State {
    let bridge = Bridge {
        uplink: Some(text("eth0")),
        ports: vec![text("vm1")],
        attached_vlans: vec![VlanOwners {
            owners: vec![text("n/c/net1")],
            ..VlanOwners::default()
        }],
        ..Bridge::default()
    };
    State {
        bridges: vec![bridge],
        ports: vec![port()],
        ..State::default()
    }
}

fn event() -> Event {
    Event {
        detail: Some(json!({"port": "vm1"})),
        severity: Severity::Warning,
        ..Event::default()
    }
}

fn change() -> Change {
    Change {
        op: ChangeOp::Replace,
        path: text("port.vm1"),
        before: Some(json!({"mtu": 1500})),
        after: Some(json!({"mtu": 9000})),
        impact: Impact::PortFlap,
    }
}

fn attachment() -> Attachment {
    Attachment {
        network: text("n"),
        container_id: text("c"),
        ifname: text("net1"),
    }
}

fn bond() -> Bond {
    let lacp = LacpMember {
        partner: Some(LacpEnd::default()),
        aggregator: Some(1),
        heard_ms: Some(400),
        ..LacpMember::default()
    };
    let member = BondMember {
        speed_mbps: Some(10_000),
        load_bps: Some(8_000),
        mac: Some(text("02:00:00:00:00:01")),
        lacp: Some(lacp),
        ..BondMember::default()
    };
    Bond {
        bridge: Some(text("br0")),
        reason: Some(text("the link of eth1 is down")),
        active: Some(text("eth0")),
        primary: Some(text("eth0")),
        options: json!({"mode": "802.3ad"}),
        members: vec![member],
        lacp: Some(LacpBond {
            aggregator: Some(1),
            partner: Some(LacpEnd::default()),
            ..LacpBond::default()
        }),
        findings: vec![BondFinding {
            members: vec![text("eth1")],
            ..BondFinding::default()
        }],
        ..Bond::default()
    }
}

fn entry() -> FdbEntry {
    FdbEntry {
        kind: FdbKind::Static,
        seen_seconds: Some(1),
        used_seconds: Some(2),
        hits: Some(3),
        ips: vec!["10.0.0.1".to_owned()],
        ..FdbEntry::default()
    }
}

/// A full and a bare reply of a method, as JSON, each read back as the method's reply type.
pub(super) fn replies(method: &str) -> [Value; 2] {
    /// Holds that the values are of the type that this request's method answers with.
    fn both<M: Method>(full: M::Reply, bare: M::Reply) -> [Value; 2]
    where
        M::Reply: PartialEq + std::fmt::Debug + DeserializeOwned,
    {
        [full, bare].map(|reply| {
            let value = serde_json::to_value(&reply).expect("JSON");
            assert_eq!(
                serde_json::from_value::<M::Reply>(value.clone()).expect("the same"),
                reply,
                "{}",
                M::NAME
            );
            value
        })
    }
    use crate::request as r;
    let changed = ChangeReply {
        generation: 8,
        changes: vec![change()],
    };
    let none = ChangeReply::default;
    match Request::decode(method, &parameters(method)).expect(method) {
        Request::GetInfo(_) => both::<r::GetInfo>(ServiceInfo::current(), ServiceInfo::default()),
        Request::GetInterfaceDescription(_) => {
            let full = InterfaceDescription {
                description: text("interface a.b"),
            };
            both::<r::GetInterfaceDescription>(full, InterfaceDescription::default())
        }
        Request::GetHealth(_) => {
            let full = HealthReply {
                health: Health::Degraded,
                problems: vec![event()],
                ..HealthReply::default()
            };
            both::<r::GetHealth>(full, HealthReply::default())
        }
        Request::GetState(_) => {
            both::<r::GetState>(StateReply { state: state() }, StateReply::default())
        }
        Request::Watch(_) => both::<r::Watch>(
            WatchReply {
                state: Some(state()),
                event: Some(event()),
            },
            WatchReply::default(),
        ),
        Request::GetConfig(_) => {
            let bare = ConfigReply {
                config: json!({}),
                generation: 0,
            };
            both::<r::GetConfig>(
                ConfigReply {
                    config: json!({"daemon": {}}),
                    generation: 7,
                },
                bare,
            )
        }
        Request::Plan(_) => {
            let full = PlanReply {
                changes: vec![change()],
                warnings: vec![text("look")],
            };
            both::<r::Plan>(full, PlanReply::default())
        }
        Request::Apply(_) => both::<r::Apply>(changed, none()),
        Request::AddBridge(_) => both::<r::AddBridge>(changed, none()),
        Request::SetBridge(_) => both::<r::SetBridge>(changed, none()),
        Request::DelBridge(_) => both::<r::DelBridge>(changed, none()),
        Request::AddPort(_) => both::<r::AddPort>(changed, none()),
        Request::SetPort(_) => both::<r::SetPort>(changed, none()),
        Request::DelPort(_) => both::<r::DelPort>(changed, none()),
        Request::AddVlan(_) => both::<r::AddVlan>(changed, none()),
        Request::DelVlan(_) => both::<r::DelVlan>(changed, none()),
        Request::BondList(_) => both::<r::BondList>(
            BondsReply {
                bonds: vec![bond()],
                ..BondsReply::default()
            },
            BondsReply::default(),
        ),
        Request::BondAdd(_) => both::<r::BondAdd>(changed, none()),
        Request::BondSet(_) => both::<r::BondSet>(changed, none()),
        Request::BondDel(_) => both::<r::BondDel>(changed, none()),
        Request::BondAddMember(_) => both::<r::BondAddMember>(changed, none()),
        Request::BondDelMember(_) => both::<r::BondDelMember>(changed, none()),
        Request::BondSetActive(_) => {
            let full = SetActiveReply {
                before: Some(text("eth0")),
            };
            both::<r::BondSetActive>(full, SetActiveReply::default())
        }
        Request::BondHash(_) => {
            let full = HashReply {
                members: vec![text("eth0")],
                policy: Some(text("layer3+4")),
                hash: Some(5),
                bucket: Some(5),
                buckets: Some(64),
                ..HashReply::default()
            };
            both::<r::BondHash>(full, HashReply::default())
        }
        Request::Attach(_) => {
            let full = AttachReply {
                mac: Some(text("02:00:00:00:00:01")),
                warnings: vec![text("w")],
                ..AttachReply::default()
            };
            both::<r::Attach>(full, AttachReply::default())
        }
        Request::Detach(_) => {
            both::<r::Detach>(DetachReply { detached: true }, DetachReply::default())
        }
        Request::CheckAttachment(_) => {
            let full = CheckReply {
                problems: vec![text("p")],
                ..CheckReply::default()
            };
            both::<r::CheckAttachment>(full, CheckReply::default())
        }
        Request::CollectGarbage(_) => {
            let full = GarbageReply {
                removed: vec![attachment()],
                failed: vec![text("f")],
            };
            both::<r::CollectGarbage>(full, GarbageReply::default())
        }
        Request::Ready(_) => {
            let full = ReadyReply {
                reason: Some(text("r")),
                mac: Some(text("02:00:00:00:00:01")),
                mtu: Some(1500),
                default_pvid: Some(1),
                modes: vec![text("tap")],
                ..ReadyReply::default()
            };
            both::<r::Ready>(full, ReadyReply::default())
        }
        Request::ListAttachments(_) => {
            let one = Attached {
                attachment: attachment(),
                netns: Some(text("/run/netns/x")),
                reason: Some(text("r")),
                ..Attached::default()
            };
            let full = AttachmentsReply {
                attachments: vec![one],
            };
            both::<r::ListAttachments>(full, AttachmentsReply::default())
        }
        Request::FdbAdd(_) => both::<r::FdbAdd>(changed, none()),
        Request::FdbDel(_) => both::<r::FdbDel>(changed, none()),
        Request::FdbList(_) => both::<r::FdbList>(
            FdbPage {
                entries: vec![entry()],
                truncated: true,
            },
            FdbPage::default(),
        ),
        Request::FdbFlush(_) => {
            both::<r::FdbFlush>(FdbFlushed { flushed: 5 }, FdbFlushed::default())
        }
        Request::FdbWatch(_) => {
            let full = FdbEvent {
                op: Some(FdbOp::Moved),
                entry: Some(entry()),
                from_port: Some(text("vm2")),
                ..FdbEvent::default()
            };
            both::<r::FdbWatch>(full, FdbEvent::default())
        }
        Request::StatsPorts(_) => {
            let drops = vec![DropCount {
                direction: FrameDirection::Out,
                ..DropCount::default()
            }];
            let row = PortCounters {
                bridge: Some(text("br0")),
                drops,
                ..PortCounters::default()
            };
            both::<r::StatsPorts>(
                PortsReply {
                    ports: vec![row],
                    ..PortsReply::default()
                },
                PortsReply::default(),
            )
        }
        Request::StatsDrops(_) => {
            let full = DropsReply {
                drops: vec![DropRow::default()],
                ..DropsReply::default()
            };
            both::<r::StatsDrops>(full, DropsReply::default())
        }
        Request::StatsVlans(_) => {
            let row = VlanCounters {
                port: Some(text("vm1")),
                ..VlanCounters::default()
            };
            both::<r::StatsVlans>(
                VlansReply {
                    vlans: vec![row],
                    ..VlansReply::default()
                },
                VlansReply::default(),
            )
        }
        Request::Trace(_) => {
            let step = TraceStep {
                object: Some(text("vm1")),
                reason: Some(text("no-pvid")),
                ..TraceStep::default()
            };
            let copies = vec![TraceCopy {
                port: text("vm2"),
                tag: Some(100),
            }];
            let full = TraceReply {
                steps: vec![step],
                reason: Some(text("no-pvid")),
                copies,
                ..TraceReply::default()
            };
            both::<r::Trace>(full, TraceReply::default())
        }
        Request::Capture(_) => {
            let frame = CapturedFrame {
                verdict: Some(text("drop")),
                reason: Some(text("no-pvid")),
                ..CapturedFrame::default()
            };
            both::<r::Capture>(
                CaptureReply {
                    frames: vec![frame],
                    lost: 1,
                },
                CaptureReply::default(),
            )
        }
        Request::PutFrames(_) => both::<r::PutFrames>(Done {}, Done {}),
        Request::TakeFrames(_) => {
            let full = FramesReply {
                frames: vec![text("00")],
            };
            both::<r::TakeFrames>(full, FramesReply::default())
        }
        Request::WarpClock(_) => both::<r::WarpClock>(ClockReply::default(), ClockReply::default()),
        Request::DaemonGetInfo(_) => {
            let worker = WorkerInfo {
                cpu: Some(1),
                batch_sizes: vec![HistogramBucket {
                    up_to: Some(1),
                    count: 5,
                }],
                loop_times_ns: vec![HistogramBucket::default()],
                longest_ns: Some(7),
                longest_at: Some(text("2026-11-24T17:26:47.287Z")),
                stalls: Some(1),
                stalled: Some(true),
                ports: vec![WorkerPort {
                    port: text("vm1"),
                    queues: 2,
                }],
                ..WorkerInfo::default()
            };
            let full = DaemonInfo {
                workers: vec![worker],
                state_dir: Some(text("/run/vswitch")),
                ..DaemonInfo::default()
            };
            both::<r::DaemonGetInfo>(full, DaemonInfo::default())
        }
        Request::SetLogLevel(_) => both::<r::SetLogLevel>(Done {}, Done {}),
    }
}
