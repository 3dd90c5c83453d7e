//! What differs between two configurations, and what making the difference true costs.
//!
//! One [`Change`] for each object that comes or goes and for each option that differs, with its path and
//! its impact, so that an operator sees before anything happens whether traffic will notice. Pure.

use serde_json::{Map, Value};
use vswitch_api::config::{Config, VlanRange, VlanSet};
use vswitch_api::text::path;
use vswitch_api::types::{Change, ChangeOp, Impact};

/// Options of a port whose change needs a new device or new queues.
const REOPENS: [&str; 8] = [
    "kind",
    "device",
    "queues",
    "ring_slots",
    "persistent",
    "owner",
    "group",
    "netns",
];

/// The changes that lead from `old` to `new`, in the order of the configuration.
#[must_use]
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let (old, new) = (tree(old), tree(new));
    let mut changes = Vec::new();
    for table in ["daemon", "bridge", "bond", "port", "host"] {
        let (before, after) = (table_of(&old, table), table_of(&new, table));
        if table == "daemon" {
            options(&path(&[table]), table, &before, &after, &mut changes);
            continue;
        }
        let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let at = path(&[table, name]);
            match (before.get(name), after.get(name)) {
                (None, Some(after)) => changes.push(Change {
                    op: ChangeOp::Add,
                    path: at,
                    before: None,
                    after: Some(after.clone()),
                    impact: Impact::None,
                }),
                (Some(before), None) => changes.push(Change {
                    op: ChangeOp::Remove,
                    path: at,
                    before: Some(before.clone()),
                    after: None,
                    impact: if table == "bridge" {
                        Impact::None
                    } else {
                        Impact::LinkLoss
                    },
                }),
                (Some(Value::Object(before)), Some(Value::Object(after))) => {
                    options(&at, table, before, after, &mut changes);
                }
                _ => {}
            }
        }
    }
    changes
}

/// What is legal but probably not meant, or takes effect later than its author may think.
#[must_use]
pub fn warnings(old: &Config, new: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if old.daemon != new.daemon {
        let text = "[daemon] is read when the daemon starts: changes there wait until then";
        warnings.push(text.to_owned());
    }
    for (name, bridge) in &new.bridge {
        let uplink = bridge
            .uplink
            .as_ref()
            .and_then(|uplink| new.membership_of(uplink));
        let Some(uplink) = uplink.filter(|_| bridge.vlan_filtering) else {
            continue;
        };
        for port in new.members_of(name) {
            let table = new.membership_of(port).unwrap_or_default();
            let both = table.untagged.ranges().iter().chain(table.tagged.ranges());
            let lacking: VlanSet = both
                .flat_map(|range| range.first..=range.last)
                .filter(|vid| !uplink.contains(*vid))
                .map(VlanRange::single)
                .collect();
            // A trunk of everything names what nobody uses as well.
            if !lacking.is_empty() && lacking.len() < 64 {
                warnings.push(format!(
                    "VLAN {lacking} of {port} is not on the uplink of bridge \"{name}\": its frames stay in this switch"
                ));
            }
        }
    }
    warnings
}

fn options(
    at: &str,
    table: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    changes: &mut Vec<Change>,
) {
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let (was, is) = (before.get(key), after.get(key));
        if was == is {
            continue;
        }
        let op = match (was, is) {
            (None, _) => ChangeOp::Add,
            (_, None) => ChangeOp::Remove,
            _ => ChangeOp::Change,
        };
        let impact = match (table, key.as_str()) {
            ("port", "enabled") if is == Some(&Value::Bool(false)) => Impact::LinkLoss,
            ("port", "state") if is.is_some_and(|state| state != "forwarding") => Impact::LinkLoss,
            // Its addresses are learned anew on the other bridge.
            ("port" | "host", "bridge") => Impact::PortFlap,
            ("port" | "host", key) if REOPENS.contains(&key) => Impact::PortFlap,
            _ => Impact::None,
        };
        let path = format!("{at}.{key}");
        changes.push(Change {
            op,
            path,
            before: was.cloned(),
            after: is.cloned(),
            impact,
        });
    }
}

fn tree(config: &Config) -> Value {
    // A configuration is plain data of strings, numbers and lists: it always is JSON.
    serde_json::to_value(config).unwrap_or_default()
}

fn table_of(tree: &Value, table: &str) -> Map<String, Value> {
    tree.get(table)
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vswitch_api::config::{BridgeConfig, PortConfig};

    fn config(vlan: u16, queues: u32) -> Config {
        let mut config = Config::default();
        config.bridge.insert("br0".into(), BridgeConfig::default());
        let port = PortConfig {
            bridge: Some("br0".into()),
            vlan: Some(vlan),
            queues,
            ..PortConfig::default()
        };
        config.port.insert("vm1".into(), port);
        config
    }

    #[test]
    fn each_option_is_a_change_of_its_own_with_its_cost() {
        assert_eq!(changes(&config(1, 1), &config(1, 1)), []);
        let found = changes(&config(1, 1), &config(100, 2));
        let told: Vec<(&str, Impact)> = found.iter().map(|c| (c.path.as_str(), c.impact)).collect();
        assert_eq!(
            told,
            [
                ("port.vm1.queues", Impact::PortFlap),
                ("port.vm1.vlan", Impact::None)
            ]
        );
        let gone = changes(&config(1, 1), &Config::default());
        let told: Vec<(&str, ChangeOp, Impact)> = gone
            .iter()
            .map(|c| (c.path.as_str(), c.op, c.impact))
            .collect();
        assert_eq!(
            told,
            [
                ("bridge.br0", ChangeOp::Remove, Impact::None),
                ("port.vm1", ChangeOp::Remove, Impact::LinkLoss),
            ]
        );
    }

    #[test]
    fn a_vlan_that_ends_at_the_uplink_is_warned_of() {
        let mut new = config(100, 1);
        assert_eq!(
            warnings(&new, &new),
            [] as [String; 0],
            "there is no uplink"
        );
        let uplink = PortConfig {
            kind: vswitch_api::config::PortKind::Nic,
            ..PortConfig::default()
        };
        new.port.insert("eth0".into(), uplink);
        let bridge = new.bridge.get_mut("br0").expect("br0");
        bridge.uplink = Some("eth0".into());
        let found = warnings(&new, &new);
        assert!(found[0].contains("VLAN 100 of vm1"), "{found:?}");
        let bridge = new.bridge.get_mut("br0").expect("br0");
        bridge.vlans = "1,100".parse().expect("VLANs");
        assert_eq!(warnings(&new, &new), [] as [String; 0]);
        let mut other = new.clone();
        other.daemon.log = "debug".into();
        assert!(warnings(&new, &other)[0].contains("[daemon]"));
    }
}
