//! A scenario's bridge on a [`MemSwitch`]: ports and tables as a control plane would set them up.
//!
//! Pure translation: VLAN tables into port views, commands into what they mean for views and FDB.
//! It decides nothing about frames. For the oracle test only.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use vswitch_base::{Duration, MacAddr, PortIndex, Tag, Tci, Tpid, Vid};
use vswitch_core::fdb::{Entry, EntryKind, Fdb, Source};
use vswitch_core::snapshot::{BpduPolicy, PortState, PortView};
use vswitch_core::testing::{MemFrame, MemSwitch};
use vswitch_core::verdict::FloodClass;
use vswitch_tests::hex;

use crate::BR;

/// The bridge's own port.
const HOST: u16 = 5;

/// A scenario file.
#[derive(Deserialize)]
pub(super) struct Scenario {
    bridge: BridgeKeys,
    ports: BTreeMap<String, PortKeys>,
    #[serde(default)]
    host: PortKeys,
    pub(super) steps: Vec<Step>,
}

/// Keys of a bridge; absent ones are not changed.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BridgeKeys {
    vlan_filtering: Option<u8>,
    default_pvid: Option<u16>,
    group_fwd_mask: Option<u16>,
    ageing_ms: Option<u64>,
    vlan_protocol: Option<String>,
}

/// Keys of a port.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PortKeys {
    vlans: Option<Vec<VlanKeys>>,
    hairpin: Option<bool>,
    isolated: Option<bool>,
    bpdu_guard: Option<bool>,
    learning: Option<bool>,
    flood: Option<bool>,
    mcast_flood: Option<bool>,
    bcast_flood: Option<bool>,
    group_fwd_mask: Option<u16>,
    mtu: Option<u16>,
    mac: Option<String>,
    promisc: Option<bool>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct VlanKeys {
    vid: Vids,
    #[serde(default)]
    pvid: bool,
    #[serde(default)]
    untagged: bool,
}

/// One VLAN or `"first-last"`.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Vids {
    One(u16),
    Range(String),
}

impl Vids {
    fn each(&self) -> impl Iterator<Item = Vid> {
        let (first, last) = match self {
            Self::One(vid) => (*vid, *vid),
            Self::Range(text) => {
                let (first, last) = text.split_once('-').expect("first-last");
                (first.parse().unwrap(), last.parse().unwrap())
            }
        };
        (first..=last).map(|vid| Vid::new(vid).expect("a VLAN"))
    }
}

/// One step.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(super) enum Step {
    Frame {
        port: String,
        hex: String,
    },
    VlanAdd {
        port: String,
        vid: Vids,
        #[serde(default)]
        pvid: bool,
        #[serde(default)]
        untagged: bool,
    },
    VlanDel {
        port: String,
        vid: Vids,
    },
    FdbAdd {
        port: String,
        mac: String,
        vid: u16,
        kind: Option<String>,
    },
    FdbDel {
        mac: String,
        vid: u16,
    },
    FdbFlush {
        port: Option<String>,
        vid: Option<u16>,
    },
    PortSet {
        port: String,
        set: PortKeys,
    },
    BridgeSet {
        set: BridgeKeys,
    },
    #[serde(alias = "admin")]
    Carrier {
        port: String,
        up: bool,
    },
    Detach {
        port: String,
    },
    Wait {
        ms: u64,
    },
    Observe {},
}

/// The switch under test and what its control side would remember.
pub(super) struct Model {
    switch: MemSwitch,
    /// Views by number; of the host under [`HOST`].
    views: BTreeMap<u16, PortView>,
    /// Masks of the ports alone.
    masks: BTreeMap<u16, u16>,
    bridge_mask: u16,
    default_pvid: Option<Vid>,
    ageing_ms: u64,
    host_mac: MacAddr,
    own: Vec<MacAddr>,
    strip: bool,
}

fn number(port: &str) -> u16 {
    match port.strip_prefix('p') {
        Some(digits) => digits.parse().expect("p1 to p4"),
        None => HOST,
    }
}

fn name(port: u16) -> String {
    if port == HOST {
        "host".to_owned()
    } else {
        format!("p{port}")
    }
}

fn mac(text: &str) -> MacAddr {
    text.parse().expect("a MAC address")
}

impl Model {
    pub(super) fn new(scenario: &Scenario, strip: bool) -> Self {
        let default_pvid = Vid::new(scenario.bridge.default_pvid.unwrap_or(1)).ok();
        let host_mac = mac(scenario.host.mac.as_deref().unwrap_or("02:00:00:00:b0:00"));
        let mut model = Self {
            switch: MemSwitch::new(),
            views: BTreeMap::new(),
            masks: BTreeMap::new(),
            bridge_mask: 0,
            default_pvid,
            ageing_ms: 300_000,
            host_mac,
            own: vec![host_mac],
            strip,
        };
        // Small: the test looks through the whole table often.
        model
            .switch
            .bridge(0, |bridge| bridge.fdb = Arc::new(Fdb::new(256, 7)));
        for (port, keys) in scenario.ports.iter().map(|(p, k)| (number(p), k)) {
            model.add(port, keys);
            let given = keys.mac.as_deref().map(mac);
            model
                .own
                .push(given.unwrap_or_else(|| MacAddr([2, 0, 0, 0, 0xb0, port.to_le_bytes()[0]])));
        }
        model.add(HOST, &scenario.host);
        model.set_bridge(&scenario.bridge);
        model
    }

    fn add(&mut self, port: u16, keys: &PortKeys) {
        let mut view = PortView::new(PortIndex(port));
        view.bridge = Some(BR);
        // The kernel's bridge runs no spanning tree and lets its frames pass.
        view.bpdu = BpduPolicy::Forward;
        if port == HOST {
            view.flags.host = true;
            view.flags.learning = false;
            view.mtu = u16::MAX;
            if keys.promisc != Some(true) {
                view.floods &= !FloodClass::UnknownUnicast.bit();
            }
        }
        match (&keys.vlans, self.default_pvid) {
            (Some(vlans), _) => {
                for vlan in vlans {
                    for vid in vlan.vid.each() {
                        join(&mut view, vid, vlan.pvid, vlan.untagged);
                    }
                }
            }
            (None, Some(pvid)) => join(&mut view, pvid, true, true),
            (None, None) => {}
        }
        self.masks.insert(port, 0);
        self.switch.add(port, view.clone());
        self.views.insert(port, view);
        self.set_port(port, keys);
    }

    fn set_port(&mut self, port: u16, keys: &PortKeys) {
        let view = self.views.get_mut(&port).unwrap();
        view.flags.hairpin = keys.hairpin.unwrap_or(view.flags.hairpin);
        view.flags.isolated = keys.isolated.unwrap_or(view.flags.isolated);
        view.flags.learning = keys.learning.unwrap_or(view.flags.learning);
        view.mtu = keys.mtu.unwrap_or(view.mtu);
        if keys.bpdu_guard == Some(true) {
            view.bpdu = BpduPolicy::Guard;
        }
        let classes = [
            (keys.flood, FloodClass::UnknownUnicast),
            (keys.mcast_flood, FloodClass::Multicast),
            (keys.bcast_flood, FloodClass::Broadcast),
        ];
        for (on, class) in classes.into_iter().filter_map(|(on, c)| Some((on?, c))) {
            view.floods = if on {
                view.floods | class.bit()
            } else {
                view.floods & !class.bit()
            };
        }
        if let Some(mask) = keys.group_fwd_mask {
            self.masks.insert(port, mask);
        }
        self.apply(port);
    }

    fn set_bridge(&mut self, keys: &BridgeKeys) {
        // 802.1ad bridges are not ours; the answers of theirs are listed.
        let _ = &keys.vlan_protocol;
        self.bridge_mask = keys.group_fwd_mask.unwrap_or(self.bridge_mask);
        self.ageing_ms = keys.ageing_ms.unwrap_or(self.ageing_ms);
        let (filtering, learning) = (keys.vlan_filtering, self.ageing_ms > 0);
        self.switch.bridge(0, |bridge| {
            bridge.vlan_filtering = filtering.map_or(bridge.vlan_filtering, |on| on == 1);
            bridge.learning = learning;
        });
        let ports: Vec<u16> = self.views.keys().copied().collect();
        if let Some(pvid) = keys.default_pvid.map(|vid| Vid::new(vid).ok()) {
            let former = std::mem::replace(&mut self.default_pvid, pvid);
            for port in &ports {
                let view = self.views.get_mut(port).unwrap();
                // Ports that still have the former default; where there was none, all.
                let follows =
                    former.is_none_or(|old| view.pvid == Some(old) && view.untagged.contains(old));
                if !follows || pvid.is_some_and(|new| view.vlans.contains(new)) {
                    continue;
                }
                if let Some(old) = former {
                    leave(view, old);
                }
                if let Some(new) = pvid {
                    join(view, new, true, true);
                }
                if former.is_some() {
                    self.forget(*port, former);
                }
            }
        }
        for port in ports {
            self.apply(port);
        }
    }

    /// Brings a changed view into use, and the host's address into the VLANs that the host is in.
    fn apply(&mut self, port: u16) {
        let mut view = self.views[&port].clone();
        view.group_fwd_mask = self.bridge_mask | self.masks[&port];
        self.switch.change(port, |current| *current = view.clone());
        if port == HOST {
            let fdb = self.switch.fdb(0);
            fdb.flush(|e| e.kind == EntryKind::Local && e.mac == self.host_mac);
            for vid in view.vlans.iter().map(Some).chain([None]) {
                fdb.pin(vid, self.host_mac, PortIndex(HOST), EntryKind::Local)
                    .unwrap();
            }
        }
    }

    /// Learned addresses of a port, of one VLAN or all.
    fn forget(&self, port: u16, vid: Option<Vid>) {
        self.switch.fdb(0).flush(|e| {
            e.kind == EntryKind::Learned && e.port.0 == port && (vid.is_none() || e.vid == vid)
        });
    }

    pub(super) fn obey(&mut self, step: &Step) {
        match step {
            Step::VlanAdd {
                port,
                vid,
                pvid,
                untagged,
            } => {
                let port = number(port);
                for vid in vid.each() {
                    join(self.views.get_mut(&port).unwrap(), vid, *pvid, *untagged);
                }
                self.apply(port);
            }
            Step::VlanDel { port, vid } => {
                let port = number(port);
                for vid in vid.each() {
                    leave(self.views.get_mut(&port).unwrap(), vid);
                    self.forget(port, Some(vid));
                }
                self.apply(port);
            }
            Step::FdbAdd {
                port,
                mac: address,
                vid,
                kind,
            } => {
                let (vid, address, port) =
                    (Vid::new(*vid).ok(), mac(address), PortIndex(number(port)));
                let fdb = self.switch.fdb(0);
                fdb.remove(vid, address);
                let pinned = match kind.as_deref() {
                    Some("dynamic") => {
                        let source = Source {
                            port,
                            epoch: self.views[&port.0].epoch,
                            mac_limit: u32::MAX,
                        };
                        fdb.learn(
                            vid,
                            address,
                            source,
                            self.switch.now.as_secs_u32(),
                            |_, _| true,
                        );
                        return;
                    }
                    Some("local") => EntryKind::Local,
                    _ => EntryKind::Static,
                };
                fdb.pin(vid, address, port, pinned).unwrap();
            }
            Step::FdbDel { mac: address, vid } => {
                assert!(self.switch.fdb(0).remove(Vid::new(*vid).ok(), mac(address)));
            }
            Step::FdbFlush { port, vid } => {
                let (port, vid) = (
                    port.as_deref().map(number),
                    vid.and_then(|v| Vid::new(v).ok()),
                );
                self.switch.fdb(0).flush(|e| {
                    e.kind != EntryKind::Local
                        && port.is_none_or(|p| e.port.0 == p)
                        && (vid.is_none() || e.vid == vid)
                });
            }
            Step::PortSet { port, set } => self.set_port(number(port), set),
            Step::BridgeSet { set } => self.set_bridge(set),
            Step::Carrier { port, up } => {
                let port = number(port);
                let view = self.views.get_mut(&port).unwrap();
                view.state = if *up {
                    PortState::Forwarding
                } else {
                    PortState::Disabled
                };
                view.epoch += u16::from(!*up);
                self.apply(port);
            }
            Step::Detach { port } => {
                let port = number(port);
                self.views.remove(&port);
                self.switch.remove(port);
                self.switch.fdb(0).flush(|e| e.port.0 == port);
            }
            Step::Wait { ms } => {
                self.switch.now = self.switch.now + Duration::from_millis(*ms);
                let seconds = u32::try_from(self.ageing_ms / 1000).unwrap();
                let current = |port: PortIndex, epoch| {
                    self.views.get(&port.0).is_some_and(|v| v.epoch == epoch)
                };
                self.switch
                    .fdb(0)
                    .sweep(self.switch.now.as_secs_u32(), Some(seconds), current);
            }
            Step::Frame { .. } | Step::Observe {} => unreachable!("not commands"),
        }
    }

    /// Injects a frame; what left, by port.
    pub(super) fn frame(&mut self, port: &str, text: &str) -> BTreeMap<String, Vec<String>> {
        let mut frame = MemFrame::from(hex::decode(text).expect("hexadecimal"));
        if self.strip {
            strip(&mut frame);
        }
        // Nothing arrives from a port that left.
        if self.views.contains_key(&number(port)) {
            self.switch.inject(number(port), frame);
        }
        let sent = self.switch.take_sent();
        sent.into_iter()
            .map(|(port, frames)| {
                (
                    name(port),
                    frames.iter().map(|f| hex::encode(&f.bytes)).collect(),
                )
            })
            .collect()
    }

    /// The table as the recordings have it.
    pub(super) fn fdb(&self) -> Vec<(u16, String, String, String)> {
        let is_current = |e: &Entry| {
            let port = self.views.get(&e.port.0);
            e.kind != EntryKind::Learned || port.is_some_and(|p| p.epoch == e.epoch)
        };
        let mut rows: Vec<_> = self
            .switch
            .fdb(0)
            .entries()
            .filter(|e| is_current(e) && !self.own.contains(&e.mac))
            .map(|e| {
                let kind = match e.kind {
                    EntryKind::Learned => "dynamic",
                    EntryKind::Static => "static",
                    EntryKind::Local => "permanent",
                };
                let vid = e.vid.map_or(0, Vid::get);
                (vid, e.mac.to_string(), name(e.port.0), kind.to_owned())
            })
            .collect();
        rows.sort();
        rows
    }

    /// The VLAN tables as the recordings have them: they show that this model is the kernel's.
    pub(super) fn vlans(&self) -> BTreeMap<String, Vec<String>> {
        let tables = self
            .views
            .iter()
            .map(|(port, view)| (name(*port), table(view)));
        tables.filter(|(_, table)| !table.is_empty()).collect()
    }
}

fn join(view: &mut PortView, vid: Vid, pvid: bool, untagged: bool) {
    view.vlans.insert(vid);
    if untagged {
        view.untagged.insert(vid);
    } else {
        view.untagged.remove(vid);
    }
    if pvid {
        view.pvid = Some(vid);
    } else if view.pvid == Some(vid) {
        view.pvid = None;
    }
}

fn leave(view: &mut PortView, vid: Vid) {
    view.vlans.remove(vid);
    view.untagged.remove(vid);
    view.pvid = view.pvid.filter(|pvid| *pvid != vid);
}

/// `"10-20 untagged"`: neighbours with equal flags together.
fn table(view: &PortView) -> Vec<String> {
    let mut runs: Vec<(u16, u16, &str)> = Vec::new();
    for vid in view.vlans.iter() {
        let flags = match (view.pvid == Some(vid), view.untagged.contains(vid)) {
            (true, true) => " pvid untagged",
            (true, false) => " pvid",
            (false, true) => " untagged",
            (false, false) => "",
        };
        match runs.last_mut() {
            Some((_, last, same)) if *last + 1 == vid.get() && *same == flags => *last += 1,
            _ => runs.push((vid.get(), vid.get(), flags)),
        }
    }
    runs.iter()
        .map(|(first, last, flags)| {
            if first == last {
                format!("{first}{flags}")
            } else {
                format!("{first}-{last}{flags}")
            }
        })
        .collect()
}

/// Takes a whole outer tag out of band, as the kernel does before a packet socket sees the frame.
fn strip(frame: &mut MemFrame) {
    let [kind @ .., a, b] = [12, 13, 14, 15].map(|i| frame.bytes.get(i).copied().unwrap_or(0));
    let tpid = Tpid::from_ether_type(u16::from_be_bytes(kind));
    if let (Some(tpid), true) = (tpid, frame.bytes.len() >= 18) {
        frame.stripped = Some(Tag {
            tpid,
            tci: Tci(u16::from_be_bytes([a, b])),
        });
        frame.bytes.drain(12..16);
    }
}
