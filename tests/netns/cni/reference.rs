//! The reference plugin `bridge` of Debian and ours, side by side: same input, same kind of answer, or a
//! difference that is listed here with its reason.
//!
//! Both are asked in one node: the reference plugin with a kernel bridge of its own, ours with the switch's.
//! Compared are whether the call succeeds, the class of the exit code, the shape of the result (which keys, how
//! many interfaces and addresses, which addresses), and what is in the pod afterwards.

use super::{Node, REFERENCE};
use crate::lab::{eventually, run};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Output;

/// Where the two differ, and why.
#[derive(Clone, Copy, PartialEq)]
enum Differs {
    No,
    /// The reference plugin refuses what ours takes.
    OursTakes(&'static str),
    /// Ours refuses what the reference plugin takes.
    OursRefuses(&'static str),
}
use Differs::{No, OursRefuses, OursTakes};

impl Differs {
    /// The versions before 0.3.0 have no form for a result without addresses.
    fn in_version(self, version: &str, ours: &Value) -> Self {
        let bare = ours.is_object() && ours.get("ip4").is_none() && ours.get("code").is_none();
        if self == No && version == "0.2.0" && bare {
            return OursTakes("the reference plugin fails to write a result without addresses");
        }
        self
    }
}

struct Pair {
    node: Node,
    reference: PathBuf,
}

/// What one plugin made of a call.
struct Made {
    output: Output,
    value: Value,
}

impl Pair {
    fn new() -> Self {
        let config = "[bridge.br0]\nuplink = \"ul0\"\n[port.ul0]\nkind = \"nic\"\n[host.br0]\nbridge = \"br0\"\n";
        let node = Node::with(&["ours", "theirs"], config);
        // The kernel's bridge of the reference plugin is in the same namespace, under another name.
        let reference = PathBuf::from(REFERENCE).join("bridge");
        Self { node, reference }
    }

    /// The same configuration for ours and for theirs: the bridge has another name, addresses another place.
    fn both(&self, config: &Value) -> (Vec<u8>, Vec<u8>) {
        let place = |mut config: Value, bridge: &str| {
            if config.get("bridge").is_none() {
                config["bridge"] = bridge.into();
            }
            if config["ipam"]["type"] == "host-local" {
                config["ipam"]["dataDir"] = json!(self.node.lab.file(&format!("ipam-{bridge}")));
            }
            config.to_string().into_bytes()
        };
        (place(config.clone(), "br0"), place(config.clone(), "kbr0"))
    }

    fn call(&self, verb: &str, config: &Value, more: &[(&str, &str)]) -> (Made, Made) {
        let (ours, theirs) = self.both(config);
        let made = |output: Output| {
            let value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            Made { output, value }
        };
        let binary = Node::binary();
        (
            made(
                self.node
                    .call_of(&binary, verb, "ours", "eth0", &ours, more),
            ),
            made(
                self.node
                    .call_of(&self.reference, verb, "theirs", "eth0", &theirs, more),
            ),
        )
    }

    /// Addresses and routes of a pod's interface; `mac` as well.
    fn pod(&self, pod: &str) -> Value {
        let ns = self.node.lab.ns(pod);
        let show = |what: &str| -> Value {
            let text = run(&format!("ip -n {ns} -j {what}"));
            serde_json::from_str(&text).unwrap_or(Value::Null)
        };
        let link = show("link show");
        let eth0 = link
            .as_array()
            .and_then(|all| all.iter().find(|l| l["ifname"] == "eth0").cloned());
        let Some(eth0) = eth0 else {
            return Value::Null;
        };
        let addresses = show("addr show dev eth0");
        let addresses: Vec<String> = addresses[0]["addr_info"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|a| a["scope"] == "global")
            .map(|a| format!("{}/{}", a["local"].as_str().unwrap_or("?"), a["prefixlen"]))
            .collect();
        let routes = show("route show default");
        json!({
            "mtu": eth0["mtu"], "up": eth0["flags"].as_array().is_some_and(|f| f.contains(&json!("UP"))),
            "addresses": addresses, "default": routes[0]["gateway"],
        })
    }
}

/// The shape of a result: names, numbers and places of this machine are left out.
fn shape(value: &Value) -> Value {
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<String> = value
            .as_object()
            .into_iter()
            .flat_map(|o| o.keys().cloned())
            .collect();
        keys.sort();
        keys
    };
    let each = |key: &str| -> Vec<Vec<String>> {
        value[key]
            .as_array()
            .into_iter()
            .flatten()
            .map(keys)
            .collect()
    };
    let addresses = value["ips"].as_array().into_iter().flatten();
    let addresses: Vec<Value> = addresses
        .map(|ip| json!([ip["address"], ip["gateway"], ip["version"], ip["interface"]]))
        .collect();
    json!({
        "keys": keys(value), "interfaces": each("interfaces"), "ips": each("ips"), "addresses": addresses,
        "routes": value["routes"], "ip4": value["ip4"], "version": value["cniVersion"],
    })
}

fn host_local() -> Value {
    json!({"type": "host-local", "ranges": [[{"subnet": "10.9.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]})
}

/// Success and shape of every input of features.md 2.17 and 3.10.
#[test]
fn ours_answers_as_the_reference_plugin_does() {
    let pair = Pair::new();
    let addresses =
        json!([{"address": "10.9.7.5/24", "gateway": "10.9.7.1"}, {"address": "fd00:9::5/64"}]);
    let fixed =
        json!({"type": "static", "addresses": addresses, "routes": [{"dst": "10.0.0.0/8"}]});
    // Its own default route would be in the way of the reference plugin's.
    let mut without_routes = host_local();
    without_routes
        .as_object_mut()
        .expect("an object")
        .remove("routes");
    let cases: Vec<(&str, Value, Differs)> = vec![
        ("nothing but a bridge", json!({}), No),
        ("an empty ipam", json!({"ipam": {}}), No),
        ("host-local", json!({"ipam": host_local()}), No),
        ("static, both families", json!({"ipam": fixed}), No),
        (
            "a gateway",
            json!({"isGateway": true, "ipam": host_local()}),
            No,
        ),
        (
            "a default gateway",
            json!({"isDefaultGateway": true, "ipam": without_routes}),
            No,
        ),
        (
            "a VLAN",
            json!({"vlan": 100, "ipam": host_local()}),
            OursTakes(
                "a kernel without VLAN filtering in its bridge has no VLANs for the reference plugin",
            ),
        ),
        ("VLAN 0", json!({"vlan": 0}), No),
        (
            "a trunk",
            json!({"vlanTrunk": [{"id": 5}, {"minID": 10, "maxID": 12}]}),
            OursTakes("the reference plugin of Debian 12 (1.1.1) has no vlanTrunk and ignores it"),
        ),
        ("an MTU", json!({"mtu": 1400}), No),
        ("promiscuous", json!({"promiscMode": true}), No),
        ("hairpin", json!({"hairpinMode": true}), No),
        ("isolated", json!({"portIsolation": true}), No),
        ("isolated as a text", json!({"portIsolation": "true"}), No),
        (
            "an address of the runtime",
            json!({
                "capabilities": {"mac": true}, "runtimeConfig": {"mac": "02:00:00:00:00:77"},
            }),
            No,
        ),
        (
            "a check of source addresses",
            json!({"macspoofchk": true, "ipam": fixed}),
            No,
        ),
        (
            "bandwidth, which is another plugin's there",
            json!({
                "runtimeConfig": {"bandwidth": {"ingressRate": 0, "egressRate": 0}}, "ipam": fixed,
            }),
            No,
        ),
        ("enabledad", json!({"enabledad": true, "ipam": fixed}), No),
        (
            "masquerading",
            json!({"ipMasq": true, "ipam": host_local()}),
            OursRefuses("a switch does not rewrite addresses; refused by name, code 2"),
        ),
        ("VLAN 5000", json!({"vlan": 5000}), No),
        ("VLAN -1", json!({"vlan": -1}), No),
        (
            "hairpin and promiscuous",
            json!({"hairpinMode": true, "promiscMode": true}),
            No,
        ),
        (
            "a bad address",
            json!({"runtimeConfig": {"mac": "nonsense"}}),
            No,
        ),
        (
            "an unknown bridge",
            json!({"bridge": "no-such-br"}),
            OursRefuses(
                "the reference plugin makes a bridge of any name; a switch's bridges are configured",
            ),
        ),
        (
            "an unknown address plugin",
            json!({"ipam": {"type": "no-such"}}),
            No,
        ),
        (
            "a static address that is none",
            json!({"ipam": {"type": "static", "addresses": [{"address": "x"}]}}),
            No,
        ),
        (
            "a version of the future",
            json!({"cniVersion": "9.0.0"}),
            No,
        ),
        ("a VLAN that is a text", json!({"vlan": "100"}), No),
        ("no name", json!({"name": ""}), No),
    ];
    // Its own default route would be in the way of the reference plugin's.
    let mut without_routes = host_local();
    without_routes
        .as_object_mut()
        .expect("an object")
        .remove("routes");
    let mut wrong = Vec::new();
    // The reference plugin fails to give a bridge its address that has never had one.
    let first = json!({"cniVersion": "1.0.0", "name": "first", "type": "x", "isGateway": true, "ipam": host_local()});
    for _ in 0..2 {
        pair.call("ADD", &first, &[]);
        pair.call("DEL", &first, &[]);
    }
    for version in ["0.2.0", "0.3.1", "0.4.0", "1.0.0"] {
        for (what, more, differs) in &cases {
            let mut config =
                json!({"cniVersion": version, "name": "net", "type": "x", "mode": "veth"});
            config
                .as_object_mut()
                .expect("an object")
                .extend(more.as_object().expect("an object").clone());
            let at = format!("CNI {version}, {what}");
            let (ours, theirs) = pair.call("ADD", &config, &[]);
            let (good, reference) = (ours.output.status.success(), theirs.output.status.success());
            let told = format!("{at}\nours: {}\ntheirs: {}", ours.value, theirs.value);
            let kind = differs.in_version(version, &ours.value);
            let mut expect = |holds: bool, what: &str| {
                if !holds {
                    wrong.push(format!("{what}: {told}"));
                }
            };
            match kind {
                No => expect(good == reference, "one succeeds"),
                OursTakes(why) => expect(good, why),
                OursRefuses(why) => expect(!good, why),
            }
            if good && reference && !matches!(kind, OursRefuses(_)) {
                let (a, b) = (shape(&ours.value), shape(&theirs.value));
                expect(a == b, &format!("shapes {a} {b}"));
                let (a, b) = (pair.pod("ours"), pair.pod("theirs"));
                expect(a == b, &format!("pods {a} {b}"));
            }
            if !good {
                expect(
                    ours.value["code"].as_u64().is_some_and(|code| code > 0),
                    "a code",
                );
                expect(
                    ours.value["msg"].is_string() && ours.value["cniVersion"].is_string(),
                    "a text",
                );
                expect(pair.node.interfaces("ours").is_empty(), "something is left");
            }
            // Twice: what is in use is refused, and stays.
            if good && reference {
                let (ours, theirs) = pair.call("ADD", &config, &[]);
                assert!(
                    !ours.output.status.success() && !theirs.output.status.success(),
                    "{at}"
                );
                assert_eq!(pair.node.interfaces("ours"), ["eth0"], "{at}");
                if !["0.2.0", "0.3.1"].contains(&version) {
                    config["prevResult"] = ours.value.clone();
                }
            }
            config
                .as_object_mut()
                .expect("an object")
                .remove("prevResult");
            for again in 0..2 {
                let (ours, theirs) = pair.call("DEL", &config, &[]);
                // A pod must end, whatever its network's definition says: ours succeeds where theirs complains.
                if !ours.output.status.success() && theirs.output.status.success() {
                    wrong.push(format!(
                        "{at}, DEL {again}: {:?} {:?}",
                        ours.output, theirs.output
                    ));
                }
            }
            for pod in ["ours", "theirs"] {
                run(&format!(
                    "ip -n {} link del eth0 2>/dev/null || true",
                    pair.node.lab.ns(pod)
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// Calls that are wrong before a configuration counts.
#[test]
fn ours_refuses_what_the_reference_plugin_refuses() {
    let pair = Pair::new();
    let good = json!({"cniVersion": "1.0.0", "name": "net", "type": "x"});
    for (what, verb, more) in [
        ("no container", "ADD", vec![("CNI_CONTAINERID", "")]),
        ("no interface", "ADD", vec![("CNI_IFNAME", "")]),
        ("no namespace", "ADD", vec![("CNI_NETNS", "")]),
        (
            "a namespace that is none",
            "ADD",
            vec![("CNI_NETNS", "/no/such/ns")],
        ),
        (
            "a file that is no namespace",
            "ADD",
            vec![("CNI_NETNS", "/etc/passwd")],
        ),
        (
            "a container's name that cannot be",
            "ADD",
            vec![("CNI_CONTAINERID", "a/b")],
        ),
        (
            "an interface's name that cannot be",
            "ADD",
            vec![("CNI_IFNAME", "a-name-with-16-c")],
        ),
        ("no such verb", "PLUG", vec![]),
        (
            "arguments that are none",
            "ADD",
            vec![("CNI_ARGS", "nonsense")],
        ),
        ("unknown arguments", "ADD", vec![("CNI_ARGS", "A=b")]),
        ("CHECK without a result", "CHECK", vec![]),
    ] {
        let (ours, theirs) = pair.call(verb, &good, &more);
        assert!(
            !theirs.output.status.success(),
            "{what}: the reference plugin takes it"
        );
        assert!(!ours.output.status.success(), "{what}");
        let (code, reference) = (&ours.value["code"], &theirs.value["code"]);
        // Codes of 100 and above are each plugin's own; the specification's are the same, but for 8, which the
        // reference plugin has no word for.
        let specified = |code: &Value| code.as_u64().is_some_and(|c| c < 100 && c != 8);
        if specified(code) && specified(reference) {
            assert_eq!(code, reference, "{what}: {} {}", ours.value, theirs.value);
        }
    }
    for (what, verb, more) in [
        ("DEL without a namespace", "DEL", vec![("CNI_NETNS", "")]),
        (
            "DEL of a namespace that is gone",
            "DEL",
            vec![("CNI_NETNS", "/run/netns/gone")],
        ),
        (
            "arguments to be ignored",
            "DEL",
            vec![("CNI_ARGS", "IgnoreUnknown=1;A=b")],
        ),
        ("VERSION", "VERSION", vec![]),
    ] {
        let (ours, theirs) = pair.call(verb, &good, &more);
        assert!(
            theirs.output.status.success(),
            "{what}: {:?}",
            theirs.output
        );
        assert!(ours.output.status.success(), "{what}: {:?}", ours.output);
        for version in theirs.value["supportedVersions"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let all = ours.value["supportedVersions"]
                .as_array()
                .expect("versions");
            assert!(all.contains(version), "{version}");
        }
    }
    for bytes in [&b""[..], b"{", b"[]", b"\"text\"", b"\xff\xfe"] {
        for program in [Node::binary(), pair.reference.clone()] {
            let output = pair
                .node
                .call_of(&program, "ADD", "ours", "eth0", bytes, &[]);
            assert!(!output.status.success(), "{program:?} {bytes:?}");
            let error: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
            assert!(error["code"].is_u64(), "{program:?} {bytes:?}: {error}");
        }
    }
    assert_eq!(pair.node.traces(), [] as [String; 0]);
}

/// Leases of one DHCP server by both plugins, each through its own bridge.
#[test]
fn both_get_their_addresses_by_dhcp() {
    let pair = Pair::new();
    let sw = pair.node.lab.ns("sw");
    run(&format!("ip -n {sw} addr add 10.9.8.1/24 dev br0"));
    run(&format!(
        "ip -n {sw} link add kbr0 type bridge && ip -n {sw} addr add 10.9.7.1/24 dev kbr0 && \
         ip -n {sw} link set kbr0 up"
    ));
    let socket = pair.node.lab.file("dhcp.sock");
    let lines = [
        format!(
            "dnsmasq -k --port=0 --no-ping --conf-file=/dev/null --user=root --bind-interfaces --interface=br0 \
             --interface=kbr0 --dhcp-range=10.9.8.50,10.9.8.60,1h --dhcp-range=10.9.7.50,10.9.7.60,1h \
             --dhcp-leasefile={0}/leases --pid-file={0}/dnsmasq",
            pair.node.lab.file("sw").display()
        ),
        format!(
            "{REFERENCE}/dhcp daemon -timeout 30s -socketpath {}",
            socket.display()
        ),
    ];
    // They end with the namespace of the lab.
    let _helpers = lines.map(|line| {
        let mut words = vec!["netns", "exec", sw.as_str()];
        words.extend(line.split_whitespace());
        let quiet = std::process::Stdio::null;
        let child = std::process::Command::new("ip")
            .args(words)
            .stdout(quiet())
            .stderr(quiet())
            .spawn();
        child.expect("dnsmasq and the DHCP plugin's daemon")
    });
    eventually("the DHCP plugin's daemon listens", || socket.exists());
    let config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "x", "mode": "veth",
        "ipam": {"type": "dhcp", "daemonSocketPath": socket},
    });
    let (ours, theirs) = pair.call("ADD", &config, &[]);
    for (made, network) in [(&ours, "10.9.8.5"), (&theirs, "10.9.7.5")] {
        let address = made.value["ips"][0]["address"].as_str().unwrap_or_default();
        assert!(address.starts_with(network), "{:?}", made.output);
    }
    // Apart from the two networks the results are of one shape.
    let bare = |made: &Made| {
        let mut shape = shape(&made.value);
        shape["addresses"] = Value::Null;
        shape["routes"] = json!(shape["routes"].is_array());
        shape
    };
    assert_eq!(
        bare(&ours),
        bare(&theirs),
        "{} {}",
        ours.value,
        theirs.value
    );
    let (ours, theirs) = pair.call("DEL", &config, &[]);
    assert!(ours.output.status.success() && theirs.output.status.success());
    assert_eq!(pair.node.traces(), [] as [String; 0]);
}

/// What only ours understands: network definitions as people write them, and verbs of CNI 1.1.0.
#[test]
fn ours_takes_more_where_the_specification_has_more() {
    let pair = Pair::new();
    let example = "# Example 1\n{ \"cniVersion\": \"0.3.1\", \"name\": \"vlan100\", \"type\": \"bridge\", \
                   \"bridge\": \"br0\", \"promiscMode\": true, \"vlan\": 100, }\n";
    for (program, taken) in [(Node::binary(), true), (pair.reference.clone(), false)] {
        let output = pair
            .node
            .call_of(&program, "ADD", "ours", "eth0", example.as_bytes(), &[]);
        assert_eq!(output.status.success(), taken, "{program:?}: {output:?}");
    }
    let output = pair.node.call_of(
        &Node::binary(),
        "DEL",
        "ours",
        "eth0",
        example.as_bytes(),
        &[],
    );
    assert!(output.status.success(), "{output:?}");
    let newest = json!({
        "cniVersion": "1.1.0", "name": "net", "type": "x", "cni.dev/valid-attachments": [],
    });
    for verb in ["STATUS", "GC"] {
        let (ours, theirs) = pair.call(verb, &newest, &[]);
        assert!(ours.output.status.success(), "{verb}: {:?}", ours.output);
        assert!(
            !theirs.output.status.success(),
            "{verb}: the reference plugin of Debian 12 has it now"
        );
    }
    assert_eq!(pair.node.traces(), [] as [String; 0]);
}
