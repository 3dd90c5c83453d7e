//! The network configuration: every field of the reference `bridge` plugin, those of ovs-cni that fit, ours.
//!
//! Keys that nobody knows are ignored, as the specification wants it of plugins; keys of other plugins that
//! a user may count on are told in a warning. Pure. features.md and 3.2.4, interfaces.md 7.

use crate::args::Args;
use crate::spec::{CniError, code};
use crate::tolerant;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

/// The bridge of a configuration that names none, as in the reference plugin.
const DEFAULT_BRIDGE: &str = "cni0";
/// The user and group that a hypervisor's TAP belongs to unless told otherwise: qemu in KubeVirt's pods.
const GUEST_USER: u32 = 107;
/// Options of ovs-cni that have no meaning here.
const WITHOUT_MEANING: [&str; 6] = [
    "deviceID",
    "ofport_request",
    "interface_type",
    "link_state_check_retries",
    "link_state_check_interval",
    "configuration_path",
];

/// One entry of `vlanTrunk`: `{id}` or `{minID, maxID}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trunk {
    id: Option<i64>,
    #[serde(rename = "minID")]
    min_id: Option<i64>,
    #[serde(rename = "maxID")]
    max_id: Option<i64>,
}

/// The fields as they come.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fields {
    name: String,
    bridge: String,
    #[serde(deserialize_with = "flag")]
    is_gateway: bool,
    #[serde(deserialize_with = "flag")]
    is_default_gateway: bool,
    #[serde(deserialize_with = "flag")]
    force_address: bool,
    #[serde(deserialize_with = "flag")]
    ip_masq: bool,
    mtu: i64,
    #[serde(deserialize_with = "flag")]
    hairpin_mode: bool,
    #[serde(deserialize_with = "flag")]
    promisc_mode: bool,
    vlan: i64,
    vlan_trunk: Vec<Trunk>,
    trunk: Vec<Trunk>,
    #[serde(deserialize_with = "flag")]
    preserve_default_vlan: bool,
    #[serde(deserialize_with = "flag")]
    macspoofchk: bool,
    #[serde(deserialize_with = "flag")]
    enabledad: bool,
    #[serde(deserialize_with = "flag")]
    disable_container_interface: bool,
    #[serde(deserialize_with = "flag")]
    port_isolation: bool,
    mac: String,
    mode: String,
    queues: i64,
    #[serde(deserialize_with = "flag")]
    multi_queue: bool,
    owner: Option<u32>,
    group: Option<u32>,
    socket: Option<String>,
    #[serde(rename = "socket_file")]
    socket_file: Option<String>,
    #[serde(deserialize_with = "flag")]
    hold_until_guest: bool,
    #[serde(deserialize_with = "flag")]
    guard: bool,
    ipam: Value,
    dns: Value,
    runtime_config: Runtime,
    args: Value,
}

/// `runtimeConfig`: what the runtime passes for the capabilities that the configuration has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Runtime {
    mac: String,
    bandwidth: Option<Bandwidth>,
}

/// Bits a second and bits; ingress is towards the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Bandwidth {
    pub(crate) ingress_rate: u64,
    pub(crate) ingress_burst: u64,
    pub(crate) egress_rate: u64,
    pub(crate) egress_burst: u64,
}

/// Reads `true`, and `"true"` as documentation of the reference plugin shows it.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(false),
        Value::Bool(on) => Ok(on),
        Value::String(text) if text == "true" => Ok(true),
        Value::String(text) if text == "false" || text.is_empty() => Ok(false),
        other => Err(serde::de::Error::custom(format!(
            "{other} is neither true nor false"
        ))),
    }
}

/// How the pod's interface is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// What the daemon prefers.
    Auto,
    /// See [`vswitch_api::types::AttachMode`].
    Fixed(vswitch_api::types::AttachMode),
}

/// A configuration, checked.
#[derive(Clone, Debug)]
pub(crate) struct NetConf {
    /// As it came, in strict JSON: what the address plugin gets.
    pub(crate) raw: Value,
    pub(crate) name: String,
    pub(crate) bridge: String,
    pub(crate) is_gateway: bool,
    pub(crate) is_default_gateway: bool,
    pub(crate) force_address: bool,
    pub(crate) ip_masq: bool,
    pub(crate) mtu: Option<u32>,
    pub(crate) hairpin: bool,
    pub(crate) vlan: Option<u16>,
    /// Tagged VLANs, first to last.
    pub(crate) trunk: Vec<(u16, u16)>,
    pub(crate) preserve_default_vlan: bool,
    pub(crate) mac_spoof_check: bool,
    pub(crate) guard: bool,
    pub(crate) settle: bool,
    pub(crate) leave_down: bool,
    pub(crate) isolated: bool,
    pub(crate) hold_until_guest: bool,
    pub(crate) mac: Option<vswitch_base::MacAddr>,
    pub(crate) mode: Mode,
    pub(crate) queues: u16,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    pub(crate) socket: Option<String>,
    pub(crate) bandwidth: Option<Bandwidth>,
    /// The plugin that gives addresses.
    pub(crate) ipam: Option<String>,
    pub(crate) dns: Value,
    /// What its author may not have meant.
    pub(crate) warnings: Vec<String>,
}

/// Reads the bytes on standard input.
///
/// # Errors
/// Code 6.
pub(crate) fn parse(bytes: &[u8]) -> Result<(Value, Vec<String>), CniError> {
    let undecodable = |why: String| {
        CniError::new(
            code::DECODE,
            "the network configuration is no JSON object",
            why,
        )
    };
    let text = std::str::from_utf8(bytes).map_err(|error| undecodable(error.to_string()))?;
    let (strict, changed) = tolerant::strict(text);
    let value: Value =
        serde_json::from_str(&strict).map_err(|error| undecodable(error.to_string()))?;
    if !value.is_object() {
        return Err(undecodable("it begins with no \"{\"".to_owned()));
    }
    let warnings = if changed {
        vec![
            "the network configuration is no strict JSON: comments and trailing commas were left out; other \
             programs may refuse it"
                .to_owned(),
        ]
    } else {
        Vec::new()
    };
    Ok((value, warnings))
}

impl NetConf {
    /// Reads and checks a configuration together with the arguments of the call.
    ///
    /// # Errors
    /// Code 6 for a field of another type, 7 for a value that cannot be, with the field's name.
    pub(crate) fn read(raw: Value, args: &Args, warnings: Vec<String>) -> Result<Self, CniError> {
        let fields = Fields::deserialize(&raw).map_err(|error| {
            CniError::new(
                code::DECODE,
                "the network configuration cannot be read",
                error.to_string(),
            )
        })?;
        let wrong = |msg: String, details: &str| CniError::new(code::CONFIG, msg, details);
        if fields.name.is_empty() {
            return Err(wrong(
                "\"name\" is missing".to_owned(),
                "every network has a name",
            ));
        }
        if fields.hairpin_mode && fields.promisc_mode {
            return Err(wrong(
                "cannot set hairpin mode and promiscuous mode at the same time".to_owned(),
                "leave promiscMode out: a port of a switch hears everything that is for it",
            ));
        }
        let ipam = ipam_type(&fields.ipam)?;
        if fields.disable_container_interface && ipam.is_some() {
            return Err(wrong(
                "cannot use IPAM when the container's interface is disabled".to_owned(),
                "leave out \"ipam\" or \"disableContainerInterface\"",
            ));
        }
        let mtu = match fields.mtu {
            0 => None,
            mtu => Some(
                u32::try_from(mtu)
                    .ok()
                    .filter(|mtu| (68..=65535).contains(mtu))
                    .ok_or_else(|| {
                        wrong(
                            format!("invalid mtu {mtu}"),
                            "68 to the bridge's MTU, or leave it out",
                        )
                    })?,
            ),
        };
        let mut told = warnings;
        for key in WITHOUT_MEANING {
            if raw.get(key).is_some() {
                told.push(format!(
                    "\"{key}\" has no meaning for this plugin and is ignored"
                ));
            }
        }
        let mode = mode(&fields.mode)?;
        let queues = match fields.queues {
            // The number is the hypervisor's; that there are several is the device's.
            0 => 1 + u16::from(fields.multi_queue),
            queues => u16::try_from(queues)
                .ok()
                .filter(|queues| (1..=255).contains(queues))
                .ok_or_else(|| wrong(format!("invalid queues {queues}"), "1 to 255"))?,
        };
        let trunk = if fields.vlan_trunk.is_empty() {
            &fields.trunk
        } else {
            &fields.vlan_trunk
        };
        Ok(Self {
            name: fields.name,
            bridge: if fields.bridge.is_empty() {
                DEFAULT_BRIDGE.to_owned()
            } else {
                fields.bridge
            },
            is_gateway: fields.is_gateway || fields.is_default_gateway,
            is_default_gateway: fields.is_default_gateway,
            force_address: fields.force_address,
            ip_masq: fields.ip_masq,
            mtu,
            hairpin: fields.hairpin_mode,
            vlan: vlan(fields.vlan)?,
            trunk: trunks(trunk)?,
            preserve_default_vlan: fields.preserve_default_vlan,
            mac_spoof_check: fields.macspoofchk,
            guard: fields.guard,
            settle: fields.enabledad,
            leave_down: fields.disable_container_interface,
            isolated: fields.port_isolation,
            hold_until_guest: fields.hold_until_guest,
            mac: mac(&fields.mac, &fields.runtime_config.mac, &fields.args, args)?,
            mode,
            queues,
            owner: fields.owner.unwrap_or(GUEST_USER),
            group: fields.group.unwrap_or(GUEST_USER),
            socket: fields.socket.or(fields.socket_file),
            bandwidth: fields.runtime_config.bandwidth,
            ipam,
            dns: if fields.dns.is_null() {
                json!({})
            } else {
                fields.dns
            },
            warnings: told,
            raw,
        })
    }

    /// Reads what DEL needs and no more: what was wrong with a configuration, or has become wrong since, must
    /// not keep a pod from ending.
    ///
    /// # Errors
    /// Code 7 without a name: it says which network is meant.
    pub(crate) fn read_for_del(raw: &Value) -> Result<Self, CniError> {
        let mut bare = Map::new();
        for key in ["cniVersion", "name", "bridge", "socket", "socket_file"] {
            if let Some(value) = raw.get(key).filter(|value| value.is_string()) {
                bare.insert(key.to_owned(), value.clone());
            }
        }
        let mut config = Self::read(bare.into(), &Args::default(), Vec::new())?;
        config.ipam = ipam_type(&raw["ipam"]).unwrap_or(None);
        config.raw = raw.clone();
        Ok(config)
    }

    /// The options of the port, in the words of the daemon's configuration. `default_pvid` is the bridge's.
    pub(crate) fn port_options(&self, mac: vswitch_base::MacAddr, default_pvid: u16) -> Value {
        let mut options = Map::new();
        let mut set = |key: &str, value: Value| options.insert(key.to_owned(), value);
        set("bridge", self.bridge.as_str().into());
        set("mac", mac.to_string().into());
        let native = self
            .vlan
            .or_else(|| Some(default_pvid).filter(|vid| *vid != 0));
        let ranges = self.trunk.iter().map(|(first, last)| {
            if first == last {
                first.to_string()
            } else {
                format!("{first}-{last}")
            }
        });
        let keeps = self.preserve_default_vlan
            && default_pvid != 0
            && self.vlan.is_some_and(|vlan| vlan != default_pvid);
        if keeps {
            // As the kernel's bridge has it: both untagged, one of them the PVID.
            let mut vlans = vec![
                json!({"vid": self.vlan, "pvid": true, "untagged": true}),
                json!({"vid": default_pvid, "untagged": true}),
            ];
            vlans.extend(ranges.map(|vid| json!({ "vid": vid })));
            set("vlans", vlans.into());
        } else if self.trunk.is_empty() {
            if let Some(vlan) = self.vlan {
                set("vlan", vlan.into());
            }
        } else {
            set("trunk", ranges.collect::<Vec<_>>().into());
            if let Some(native) = native {
                set("native_vlan", native.into());
            }
        }
        if let Some(mtu) = self.mtu {
            set("mtu", mtu.into());
        }
        for (key, on) in [
            ("isolated", self.isolated),
            ("hairpin", self.hairpin),
            ("mac_spoof_check", self.mac_spoof_check && !self.guard),
            ("guard", self.guard),
            ("hold_until_guest", self.hold_until_guest),
        ] {
            if on {
                set(key, true.into());
            }
        }
        if let Some(bandwidth) = self.bandwidth {
            // Towards the container is out of the switch.
            for (key, value) in [
                ("egress_rate", bandwidth.ingress_rate),
                ("egress_burst", bandwidth.ingress_burst),
                ("ingress_rate", bandwidth.egress_rate),
                ("ingress_burst", bandwidth.egress_burst),
            ] {
                if value != 0 {
                    set(key, value.into());
                }
            }
        }
        options.into()
    }
}

/// The plugin that gives addresses; none for nothing and for `{}`.
fn ipam_type(ipam: &Value) -> Result<Option<String>, CniError> {
    let error = |details: &str| CniError::new(code::CONFIG, "\"ipam\" names no plugin", details);
    match ipam {
        Value::Null => Ok(None),
        Value::Object(fields) => match fields.get("type") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(name)) if name.is_empty() => Ok(None),
            Some(Value::String(name)) if name.contains('/') => Err(error(
                "its \"type\" is the name of a file in CNI_PATH, without folders",
            )),
            Some(Value::String(name)) => Ok(Some(name.clone())),
            Some(_) => Err(error("its \"type\" is a text such as \"host-local\"")),
        },
        _ => Err(error(
            "it is an object such as {\"type\": \"host-local\"}, or left out",
        )),
    }
}

fn mode(text: &str) -> Result<Mode, CniError> {
    use vswitch_api::types::AttachMode;
    match text {
        "" | "auto" => Ok(Mode::Auto),
        "veth" => Ok(Mode::Fixed(AttachMode::Veth)),
        "tap" => Ok(Mode::Fixed(AttachMode::Tap)),
        "tap-guest" => Ok(Mode::Fixed(AttachMode::TapGuest)),
        other => Err(CniError::new(
            code::CONFIG,
            format!("unknown mode \"{other}\""),
            "auto, veth, tap or tap-guest",
        )),
    }
}

fn vlan(vlan: i64) -> Result<Option<u16>, CniError> {
    match u16::try_from(vlan) {
        Ok(0) => Ok(None),
        Ok(vid @ 1..=4094) => Ok(Some(vid)),
        _ => Err(CniError::new(
            code::CONFIG,
            format!("invalid VLAN ID {vlan} (must be between 0 and 4094)"),
            "field \"vlan\"; 0 stands for the bridge's default VLAN",
        )),
    }
}

fn trunks(entries: &[Trunk]) -> Result<Vec<(u16, u16)>, CniError> {
    let wrong = |msg: String| {
        CniError::new(
            code::CONFIG,
            msg,
            "field \"vlanTrunk\": entries are {\"id\": 100} or {\"minID\": 200, \"maxID\": 299}",
        )
    };
    let id = |what: &str, id: i64| {
        u16::try_from(id)
            .ok()
            .filter(|id| (1..=4094).contains(id))
            .ok_or_else(|| wrong(format!("incorrect trunk {what} parameter {id} (1 to 4094)")))
    };
    let mut found = Vec::new();
    for entry in entries {
        match (entry.min_id, entry.max_id) {
            (Some(first), Some(last)) => {
                let (first, last) = (id("minID", first)?, id("maxID", last)?);
                if first > last {
                    return Err(wrong(format!("minID {first} is greater than maxID {last}")));
                }
                found.push((first, last));
            }
            (None, None) => {}
            (Some(_), None) => return Err(wrong("minID without maxID".to_owned())),
            (None, Some(_)) => return Err(wrong("maxID without minID".to_owned())),
        }
        if let Some(single) = entry.id {
            let single = id("id", single)?;
            found.push((single, single));
        } else if entry.min_id.is_none() {
            return Err(wrong("an entry is empty".to_owned()));
        }
    }
    Ok(found)
}

/// The address asked for: the runtime's word before that of `args.cni`, that before CNI_ARGS, those before
/// the configuration's own.
fn mac(
    own: &str,
    runtime: &str,
    args_in_config: &Value,
    args: &Args,
) -> Result<Option<vswitch_base::MacAddr>, CniError> {
    let in_config = args_in_config["cni"]["mac"].as_str().unwrap_or_default();
    let from_args = args.mac.as_deref().unwrap_or_default();
    let all = [
        ("runtimeConfig.mac", runtime),
        ("args.cni.mac", in_config),
        ("CNI_ARGS MAC", from_args),
        ("mac", own),
    ];
    let Some((field, text)) = all.iter().find(|(_, text)| !text.is_empty()) else {
        return Ok(None);
    };
    let wrong = |why: &str| {
        CniError::new(
            code::CONFIG,
            format!("invalid MAC address \"{text}\""),
            format!("{field}: {why}"),
        )
    };
    let mac: vswitch_base::MacAddr = text
        .parse()
        .map_err(|_| wrong("it is written like 52:54:00:12:34:56"))?;
    if mac.is_multicast() || mac.0 == [0; 6] {
        return Err(wrong("it is no address of a station"));
    }
    Ok(Some(mac))
}

#[cfg(test)]
mod tests;
