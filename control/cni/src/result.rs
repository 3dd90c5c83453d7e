//! Results of ADD in every version of the specification, read and written. Pure.
//!
//! Up to 0.2.0 a result is `ip4` and `ip6`; from 0.3.0 on lists of interfaces, addresses and routes, until
//! 0.4.0 with the family of each address, from 1.1.0 on with an interface's MTU.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::net::IpAddr;
use vswitch_io::IpPrefix;

/// An interface that was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Interface {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) mac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mtu: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) sandbox: String,
}

/// An address that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ip {
    pub(crate) address: IpPrefix,
    pub(crate) gateway: Option<IpAddr>,
    /// Which of the interfaces has it.
    pub(crate) interface: Option<usize>,
}

/// A route that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) to: IpPrefix,
    pub(crate) gateway: Option<IpAddr>,
    /// What else is said of it: mtu, advmss, priority, table, scope.
    pub(crate) more: Map<String, Value>,
}

/// What ADD tells, whatever the version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CniResult {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) ips: Vec<Ip>,
    pub(crate) routes: Vec<Route>,
    pub(crate) dns: Value,
}

/// Reads `10.0.0.1/24`.
pub(crate) fn prefix(text: &str) -> Option<IpPrefix> {
    let (addr, len) = text.split_once('/')?;
    let addr: IpAddr = addr.parse().ok()?;
    let len: u8 = len.parse().ok()?;
    let most = if addr.is_ipv4() { 32 } else { 128 };
    (len <= most).then_some(IpPrefix { addr, len })
}

impl CniResult {
    /// Reads a result of any version.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        let Some(object) = value.as_object() else {
            return Err("it is no object".to_owned());
        };
        let mut result = Self {
            dns: object.get("dns").cloned().unwrap_or_else(|| json!({})),
            ..Self::default()
        };
        if let Some(interfaces) = object.get("interfaces").filter(|v| !v.is_null()) {
            result.interfaces =
                Vec::deserialize(interfaces).map_err(|error| format!("interfaces: {error}"))?;
        }
        for entry in list(object, "ips")? {
            result.ips.push(Ip {
                address: address(entry, "address")?,
                gateway: gateway(entry, "gateway")?,
                interface: entry["interface"]
                    .as_u64()
                    .and_then(|i| usize::try_from(i).ok()),
            });
        }
        for entry in list(object, "routes")? {
            result.routes.push(route(entry)?);
        }
        for old in ["ip4", "ip6"] {
            let Some(entry) = object.get(old).filter(|v| v.is_object()) else {
                continue;
            };
            result.ips.push(Ip {
                address: address(entry, "ip")?,
                gateway: gateway(entry, "gateway")?,
                interface: None,
            });
            let routes = entry["routes"].as_array().into_iter().flatten();
            for entry in routes {
                result.routes.push(route(entry)?);
            }
        }
        Ok(result)
    }

    /// Writes it in a version of the specification.
    pub(crate) fn write(&self, version: &str) -> Value {
        if matches!(version, "0.1.0" | "0.2.0") {
            return self.write_old(version);
        }
        let with_family = matches!(version, "0.3.0" | "0.3.1" | "0.4.0");
        let interfaces = self.interfaces.iter().map(|interface| Interface {
            mtu: interface.mtu.filter(|_| version == "1.1.0"),
            ..interface.clone()
        });
        let ips = self.ips.iter().map(|ip| {
            let mut entry = json!({ "address": ip.address.to_string() });
            if with_family {
                entry["version"] = if ip.address.addr.is_ipv4() { "4" } else { "6" }.into();
            }
            if let Some(gateway) = ip.gateway {
                entry["gateway"] = gateway.to_string().into();
            }
            if let Some(interface) = ip.interface {
                entry["interface"] = interface.into();
            }
            entry
        });
        let mut value = json!({ "cniVersion": version });
        value["interfaces"] = interfaces.map(|i| json!(i)).collect();
        let ips: Vec<Value> = ips.collect();
        if !ips.is_empty() {
            value["ips"] = ips.into();
        }
        if !self.routes.is_empty() {
            let routes = self.routes.iter();
            value["routes"] = routes
                .map(|route| route.write(version == "1.1.0"))
                .collect();
        }
        value["dns"] = if self.dns.is_null() {
            json!({})
        } else {
            self.dns.clone()
        };
        value
    }

    fn write_old(&self, version: &str) -> Value {
        let mut value = json!({ "cniVersion": version });
        for (key, v4) in [("ip4", true), ("ip6", false)] {
            let Some(ip) = self.ips.iter().find(|ip| ip.address.addr.is_ipv4() == v4) else {
                continue;
            };
            let mut entry = json!({ "ip": ip.address.to_string() });
            if let Some(gateway) = ip.gateway {
                entry["gateway"] = gateway.to_string().into();
            }
            let routes = self
                .routes
                .iter()
                .filter(|route| route.to.addr.is_ipv4() == v4);
            let routes: Vec<Value> = routes.map(|route| route.write(false)).collect();
            if !routes.is_empty() {
                entry["routes"] = routes.into();
            }
            value[key] = entry;
        }
        value["dns"] = if self.dns.is_null() {
            json!({})
        } else {
            self.dns.clone()
        };
        value
    }
}

impl Route {
    fn write(&self, with_more: bool) -> Value {
        let mut entry = json!({ "dst": self.to.to_string() });
        if let Some(gateway) = self.gateway {
            entry["gw"] = gateway.to_string().into();
        }
        if with_more {
            for (key, value) in &self.more {
                entry[key] = value.clone();
            }
        }
        entry
    }

    /// A number that is said of it.
    pub(crate) fn number(&self, key: &str) -> Option<u32> {
        self.more
            .get(key)?
            .as_u64()
            .and_then(|n| u32::try_from(n).ok())
    }
}

fn list<'v>(object: &'v Map<String, Value>, key: &str) -> Result<&'v [Value], String> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(entries)) => Ok(entries),
        Some(_) => Err(format!("\"{key}\" is no list")),
    }
}

fn address(entry: &Value, key: &str) -> Result<IpPrefix, String> {
    let text = entry[key].as_str().unwrap_or_default();
    prefix(text).ok_or_else(|| format!("\"{text}\" is no address with a prefix length"))
}

fn gateway(entry: &Value, key: &str) -> Result<Option<IpAddr>, String> {
    match entry[key].as_str() {
        None | Some("") => Ok(None),
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| format!("\"{text}\" is no gateway")),
    }
}

fn route(entry: &Value) -> Result<Route, String> {
    let to = address(entry, "dst").map_err(|error| format!("routes: {error}"))?;
    let gateway = gateway(entry, "gw").map_err(|error| format!("routes: {error}"))?;
    let mut more = entry.as_object().cloned().unwrap_or_default();
    more.retain(|key, _| {
        matches!(
            key.as_str(),
            "mtu" | "advmss" | "priority" | "table" | "scope"
        )
    });
    Ok(Route { to, gateway, more })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Value {
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": "br0", "mac": "02:00:00:00:00:01"},
                {"name": "eth0", "mac": "02:00:00:00:00:02", "mtu": 1400, "sandbox": "/run/netns/x"},
            ],
            "ips": [
                {"address": "10.1.0.5/16", "gateway": "10.1.0.1", "interface": 1},
                {"address": "fd00::5/64", "interface": 1},
            ],
            "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "gw": "fd00::1", "mtu": 1300}],
            "dns": {"nameservers": ["10.1.0.1"]},
        })
    }

    #[test]
    fn each_version_is_written_as_it_is_read() {
        let result = CniResult::read(&full()).expect("a result");
        assert_eq!(result.write("1.1.0"), full());
        let one = result.write("1.0.0");
        assert_eq!(one["interfaces"][1].get("mtu"), None);
        assert_eq!(one["ips"][0].get("version"), None);
        let three = result.write("0.3.1");
        assert_eq!(
            (&three["ips"][0]["version"], &three["ips"][1]["version"]),
            (&json!("4"), &json!("6"))
        );
        assert_eq!(three["routes"][1], json!({"dst": "::/0", "gw": "fd00::1"}));
        let two = result.write("0.2.0");
        assert_eq!(
            two,
            json!({
                "cniVersion": "0.2.0",
                "ip4": {"ip": "10.1.0.5/16", "gateway": "10.1.0.1", "routes": [{"dst": "0.0.0.0/0"}]},
                "ip6": {"ip": "fd00::5/64", "routes": [{"dst": "::/0", "gw": "fd00::1"}]},
                "dns": {"nameservers": ["10.1.0.1"]},
            })
        );
        let back = CniResult::read(&two).expect("an old one");
        assert_eq!((back.ips.len(), back.routes.len()), (2, 2));
        let bare = CniResult::default().write("0.3.1");
        assert_eq!(
            bare,
            json!({"cniVersion": "0.3.1", "interfaces": [], "dns": {}})
        );
    }

    #[test]
    fn what_is_no_result_is_told() {
        for (value, words) in [
            (json!([]), "no object"),
            (json!({"ips": {}}), "no list"),
            (json!({"ips": [{"address": "10.0.0.1"}]}), "prefix"),
            (json!({"ips": [{"address": "10.0.0.1/33"}]}), "prefix"),
            (
                json!({"ips": [{"address": "10.0.0.1/8", "gateway": "x"}]}),
                "gateway",
            ),
            (json!({"routes": [{"dst": "x"}]}), "routes"),
            (json!({"interfaces": [5]}), "interfaces"),
        ] {
            let error = CniResult::read(&value).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }
}
