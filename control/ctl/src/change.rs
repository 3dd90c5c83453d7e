//! Changes: the options that every change has, `KEY=VALUE`, and what a change did.
//!
//! Options are edits of the configuration's own keys; the daemon judges them. Only what no
//! configuration can mean (VLAN 5000) is refused here. Pure but for the calls of its callers.

use serde_json::{Map, Value, json};
use vswitch_api::config::vlans::is_usable;
use vswitch_api::config::{BondConfig, BridgeConfig, HostConfig, PortConfig, VlanSet};
use vswitch_api::types::{Change, ChangeOp, ChangeReply, Impact};

use crate::config::drop_defaults;
use crate::failure::Failure;
use crate::render::{Cell, Look, Style, Table, View, to_json};
use crate::session::Session;

/// Options of every command that changes the configuration.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ChangeArgs {
    /// Change nothing; print what would be changed
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Refuse if the configuration's generation is another (exit code 6)
    #[arg(long, value_name = "N")]
    pub(crate) expect_generation: Option<u64>,
}

/// Keys whose values are text, even if they look like a number.
const TEXT_KEYS: [&str; 13] = [
    "ad_actor_system",
    "primary",
    "mac",
    "ageing",
    "uplink",
    "device",
    "bridge",
    "kind",
    "netns",
    "accept_frames",
    "state",
    "bpdu",
    "gateway",
];
/// Keys whose values are sets of VLANs.
const VLAN_SET_KEYS: [&str; 2] = ["trunk", "vlans"];
/// Keys whose values are one VLAN.
const VLAN_KEYS: [&str; 2] = ["vlan", "native_vlan"];
/// Keys whose values are lists of words.
const LIST_KEYS: [&str; 6] = [
    "addresses",
    "arp_ip_target",
    "guard_ips",
    "guard_macs",
    "members",
    "ns_ip6_target",
];
/// Keys whose values are a number for each member: `eth0:5,eth1:7`.
const MEMBER_KEYS: [&str; 3] = ["actor_port_prio", "prio", "queue_id"];

/// Options as the keys and values of a configuration table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options(Map<String, Value>);

impl Options {
    /// Adds the option if it is given.
    pub(crate) fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), Failure> {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), parse_value(key, value)?);
        }
        Ok(())
    }

    /// Adds a flag if it is given.
    pub(crate) fn flag(&mut self, key: &str, given: bool) {
        if given {
            self.0.insert(key.to_owned(), true.into());
        }
    }

    /// Adds `KEY=VALUE` words; `KEY=` puts a key back to its default.
    pub(crate) fn words(&mut self, words: &[String]) -> Result<(), Failure> {
        for word in words {
            let Some((key, value)) = word.split_once('=') else {
                return Err(Failure::usage(format!("\"{word}\" is no option: options are written KEY=VALUE"))
                    .help("for example mtu=9000, hairpin=on, trunk=100,200-299; KEY= puts a key back to its default"));
            };
            let key = key.trim().replace('-', "_");
            let value = if value.is_empty() {
                Value::Null
            } else {
                parse_value(&key, value)?
            };
            self.0.insert(key, value);
        }
        Ok(())
    }

    pub(crate) fn contains(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Puts a key back to its default, unless the line says something about it.
    pub(crate) fn reset(&mut self, key: &str) {
        self.0.entry(key.to_owned()).or_insert(Value::Null);
    }

    pub(crate) fn insert(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_value(self) -> Value {
        Value::Object(self.0)
    }
}

/// Whether a key of any object is a switch: on or off.
fn is_switch(key: &str) -> bool {
    let defaults = [
        to_json(&BondConfig::default()),
        to_json(&BridgeConfig::default()),
        to_json(&PortConfig::default()),
        to_json(&HostConfig::default()),
    ];
    defaults
        .iter()
        .any(|object| object.get(key).is_some_and(Value::is_boolean))
}

/// The value of an option as the configuration spells it.
fn parse_value(key: &str, text: &str) -> Result<Value, Failure> {
    if is_switch(key) {
        return match text {
            "on" | "true" | "yes" | "1" => Ok(true.into()),
            "off" | "false" | "no" | "0" => Ok(false.into()),
            _ => {
                Err(Failure::usage(format!("\"{text}\" is no value of {key}"))
                    .fact("known", "on, off"))
            }
        };
    }
    let structured = text.starts_with(['[', '{']);
    if VLAN_SET_KEYS.contains(&key) && !structured {
        return Ok(to_json(&vlan_set(&format!("option \"{key}\""), text)?));
    }
    if VLAN_KEYS.contains(&key) {
        return Ok(vid(&format!("option \"{key}\""), text)?.into());
    }
    if key == "default_pvid" && text != "0" {
        return Ok(vid(&format!("option \"{key}\""), text)?.into());
    }
    if LIST_KEYS.contains(&key) && !structured {
        return Ok(text.split(',').collect());
    }
    if MEMBER_KEYS.contains(&key) && !structured {
        return by_member(key, text);
    }
    if TEXT_KEYS.contains(&key) {
        return Ok(text.into());
    }
    Ok(serde_json::from_str(text).unwrap_or_else(|_| json!(text)))
}

/// `eth0:5,eth1:7` as a table.
fn by_member(key: &str, text: &str) -> Result<Value, Failure> {
    let pair = |word: &str| {
        let (member, number) = word.rsplit_once(':')?;
        let number: i64 = number.parse().ok()?;
        Some((member.to_owned(), Value::from(number)))
    };
    let pairs: Option<Map<String, Value>> = text.split(',').map(pair).collect();
    pairs.map(Value::Object).ok_or_else(|| {
        Failure::usage(format!("\"{text}\" is no value of {key}"))
            .help(format!("a number for each member: {key}=eth0:5,eth1:7"))
    })
}

fn no_vlan(text: &str, for_what: &str) -> Failure {
    Failure::usage(format!("\"{text}\" is no VLAN for {for_what}"))
        .fact(
            "why",
            "VLAN ids are 1 to 4094: 0 marks a frame without VLAN, 4095 is reserved by 802.1Q",
        )
        .help("a number such as 100")
}

/// One VLAN id.
pub(crate) fn vid(for_what: &str, text: &str) -> Result<u16, Failure> {
    text.parse()
        .ok()
        .filter(|vid| is_usable(*vid))
        .ok_or_else(|| no_vlan(text, for_what))
}

/// A set of VLAN ids: `100,200-299`.
pub(crate) fn vlan_set(for_what: &str, text: &str) -> Result<VlanSet, Failure> {
    let set: VlanSet = text.parse().map_err(|error| {
        Failure::usage(format!("\"{text}\" is no set of VLANs for {for_what}"))
            .fact("why", format!("{error}"))
            .help("numbers and ranges separated by commas: 100,200-299")
    })?;
    if let Some(wrong) = set
        .ranges()
        .iter()
        .flat_map(|range| [range.first, range.last])
        .find(|vid| !is_usable(*vid))
    {
        return Err(no_vlan(&wrong.to_string(), for_what));
    }
    Ok(set)
}

fn sign(op: ChangeOp) -> (Style, &'static str) {
    match op {
        ChangeOp::Add => (Style::Good, "+"),
        ChangeOp::Remove => (Style::Bad, "-"),
        ChangeOp::Change => (Style::Warn, "~"),
        ChangeOp::Replace => (Style::Warn, "!"),
    }
}

fn impact(impact: Impact) -> &'static str {
    match impact {
        Impact::None => "no interruption",
        Impact::PortFlap => "the port is away for a moment",
        Impact::LinkLoss => "the link goes down",
    }
}

/// A value in a line: `kind=tap bridge=br0` for an object.
pub(crate) fn brief(value: &Value) -> String {
    match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| format!("{key}={}", brief(value)))
            .collect::<Vec<_>>()
            .join(" "),
        Value::Array(items) => items.iter().map(brief).collect::<Vec<_>>().join(","),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The values of a change; of a whole object only what is not as by default.
fn what(change: &Change) -> String {
    let told = |value: &Value| {
        let mut value = value.clone();
        if let Value::Object(object) = &mut value {
            drop_defaults(object, change.path.split('.').next().unwrap_or_default());
        }
        brief(&value)
    };
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("{} -> {}", told(before), told(after)),
        (None, Some(value)) | (Some(value), None) => told(value),
        (None, None) => String::new(),
    }
}

/// Changes as lines: sign, path, values, impact.
pub(crate) fn change_lines(changes: &[Change], look: &Look) -> Result<String, Failure> {
    let mut table = Table::new(&["", "PATH", "CHANGE", "IMPACT"]);
    for change in changes {
        let (style, sign) = sign(change.op);
        table.row(vec![
            Cell::new(style, sign),
            change.path.as_str().into(),
            what(change).into(),
            impact(change.impact).into(),
        ]);
    }
    let plain = Look {
        headers: false,
        columns: Vec::new(),
        sort: None,
        format: crate::render::Format::Table,
        ..look.clone()
    };
    View::table(&Value::Null, table, Vec::new()).print(&plain)
}

/// What a change did, or would do.
pub(crate) fn view(reply: &ChangeReply, dry_run: bool, look: &Look) -> Result<View, Failure> {
    let mut text = change_lines(&reply.changes, look)?;
    let count = reply.changes.len();
    let plural = if count == 1 { "" } else { "s" };
    text.push_str(&match (dry_run, count) {
        (true, 0) => format!(
            "dry run: there would be nothing to change (generation {})\n",
            reply.generation
        ),
        (true, _) => format!(
            "dry run: {count} change{plural}, nothing was changed (generation {})\n",
            reply.generation
        ),
        (false, 0) => format!("nothing to change (generation {})\n", reply.generation),
        (false, _) => format!(
            "done: {count} change{plural}, generation {}\n",
            reply.generation
        ),
    });
    let names = reply
        .changes
        .iter()
        .map(|change| change.path.clone())
        .collect();
    Ok(View::text(reply, text, names))
}

/// Prints what a change did.
pub(crate) fn report(
    reply: &ChangeReply,
    dry_run: bool,
    session: &mut Session<'_, '_>,
) -> Result<(), Failure> {
    let view = view(reply, dry_run, &session.look)?;
    session.show(&view)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(words: &[&str]) -> Result<Value, Failure> {
        let mut options = Options::default();
        options.words(
            &words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>(),
        )?;
        Ok(options.into_value())
    }

    #[test]
    fn options_have_the_types_of_the_configuration() {
        let value = options(&[
            "mtu=9000",
            "hairpin=on",
            "trunk=100,200-299",
            "mac=52:54:00:00:00:01",
            "netns=7",
            "vlan-filtering=off",
            "mac-limit=",
        ]);
        assert_eq!(
            value.unwrap(),
            json!({"mtu": 9000, "hairpin": true, "trunk": [100, "200-299"], "mac": "52:54:00:00:00:01",
                   "netns": "7", "vlan_filtering": false, "mac_limit": null})
        );
    }

    #[test]
    fn options_of_bonds_are_those_of_the_kernel() {
        let value = options(&[
            "members=eth0,eth1",
            "mode=802.3ad",
            "lacp_rate=1",
            "lacp-active=off",
            "actor_port_prio=eth0:5,eth1:7",
            "prio=eth0:-5",
            "queue_id=eth1:2",
            "ad_actor_system=02:00:00:00:00:01",
            "min_links=",
            "arp_ip_target=10.0.0.1,10.7.0.1 vlan 7",
        ]);
        assert_eq!(
            value.unwrap(),
            json!({"members": ["eth0", "eth1"], "mode": "802.3ad", "lacp_rate": 1, "lacp_active": false,
                   "actor_port_prio": {"eth0": 5, "eth1": 7}, "prio": {"eth0": -5},
                   "queue_id": {"eth1": 2}, "ad_actor_system": "02:00:00:00:00:01", "min_links": null,
                   "arp_ip_target": ["10.0.0.1", "10.7.0.1 vlan 7"]})
        );
    }

    #[test]
    fn a_vlan_that_cannot_be_is_a_usage_error() {
        for word in [
            "vlan=0",
            "vlan=4095",
            "vlan=5000",
            "native-vlan=x",
            "trunk=1,4095",
            "trunk=9-2",
            "default_pvid=4095",
            "mtu",
            "hairpin=maybe",
            "prio=eth0",
            "prio=eth0:x",
            "lacp_active=maybe",
        ] {
            let failure = options(&[word]).unwrap_err();
            assert_eq!(failure.exit, crate::Exit::Usage, "{word}: {}", failure.what);
        }
        assert_eq!(
            options(&["default_pvid=0"]).unwrap(),
            json!({"default_pvid": 0})
        );
    }
}
