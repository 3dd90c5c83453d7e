//! The CNI plugin with the real daemon, the reference plugins of Debian and pods that are namespaces.

mod addresses;
mod faults;
mod pods;
mod reference;
mod wire;

use crate::lab::{Lab, Switch, run};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where Debian's containernetworking-plugins puts the reference plugins.
const REFERENCE: &str = "/usr/lib/cni";

/// A node with a switch, and the plugin as a runtime calls it there.
pub(crate) struct Node {
    // Ends before its namespaces.
    pub(crate) switch: Switch,
    pub(crate) lab: Lab,
}

/// Says loudly what is missing.
fn need_reference() {
    assert!(
        Path::new(REFERENCE).join("host-local").exists(),
        "no reference plugins in {REFERENCE}: apt-get install containernetworking-plugins (scripts/ci.sh packages)"
    );
}

impl Node {
    /// A node with an uplink `ul0` to the namespace `wire`, device `eth0`, and the pods named.
    pub(crate) fn new(pods: &[&str]) -> Self {
        Self::with(
            pods,
            "[bridge.br0]\nuplink = \"ul0\"\n[port.ul0]\nkind = \"nic\"\n",
        )
    }

    pub(crate) fn with(pods: &[&str], config: &str) -> Self {
        need_reference();
        let mut lab = Lab::new();
        for ns in ["sw", "wire"] {
            lab.namespace(ns);
        }
        lab.veth("sw", "ul0", "wire", "eth0");
        run(&format!("ip -n {} link set eth0 up", lab.ns("wire")));
        for pod in pods {
            lab.namespace(pod);
        }
        let switch = lab.switch("sw", config);
        Self { lab, switch }
    }

    /// The seed's topology: two bridges, their uplinks `ul0` and `ul1` to `eth0` and `eth1` of `wire`.
    pub(crate) fn seed(pods: &[&str], config: &str) -> Self {
        need_reference();
        let mut lab = Lab::new();
        for ns in ["sw", "wire"] {
            lab.namespace(ns);
        }
        for (ours, theirs) in [("ul0", "eth0"), ("ul1", "eth1")] {
            lab.veth("sw", ours, "wire", theirs);
            run(&format!("ip -n {} link set {theirs} up", lab.ns("wire")));
        }
        for pod in pods {
            lab.namespace(pod);
        }
        let switch = lab.switch("sw", config);
        Self { lab, switch }
    }

    pub(crate) fn binary() -> PathBuf {
        let test = std::env::current_exe().expect("the test's own path");
        let folder = test
            .parent()
            .and_then(Path::parent)
            .expect("a target folder");
        let path = folder.join("vswitch-cni");
        assert!(
            path.exists(),
            "no {}: cargo build -p vswitch-cni",
            path.display()
        );
        path
    }

    /// The path by which a runtime names the namespace of a pod.
    pub(crate) fn netns(&self, pod: &str) -> String {
        format!("/run/netns/{}", self.lab.ns(pod))
    }

    /// Calls a plugin on the node; `more`: further variables.
    pub(crate) fn call_of(
        &self,
        program: &Path,
        verb: &str,
        pod: &str,
        ifname: &str,
        config: &[u8],
        more: &[(&str, &str)],
    ) -> Output {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.lab.ns("sw")])
            .arg(program)
            .env("CNI_COMMAND", verb)
            .env("CNI_CONTAINERID", format!("id-{pod}"))
            .env("CNI_NETNS", self.netns(pod))
            .env("CNI_IFNAME", ifname)
            .env("CNI_PATH", REFERENCE)
            .env("VSWITCH_SOCKET", self.switch.socket())
            .envs(more.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the plugin");
        // A plugin may end without reading.
        let _told = child.stdin.take().expect("a pipe").write_all(config);
        child.wait_with_output().expect("its end")
    }

    /// Calls our plugin.
    pub(crate) fn call(&self, verb: &str, pod: &str, ifname: &str, config: &Value) -> Output {
        let config = config.to_string();
        self.call_of(&Self::binary(), verb, pod, ifname, config.as_bytes(), &[])
    }

    /// Calls our plugin, which succeeds; what it printed.
    pub(crate) fn done(&self, verb: &str, pod: &str, ifname: &str, config: &Value) -> Value {
        let output = self.call(verb, pod, ifname, config);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{verb} {config}: {text}{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.switch.log()
        );
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// Calls our plugin, which fails; its error.
    pub(crate) fn refused(&self, verb: &str, pod: &str, ifname: &str, config: &Value) -> Value {
        let output = self.call(verb, pod, ifname, config);
        assert!(!output.status.success(), "{verb} {config} succeeded");
        serde_json::from_slice(&output.stdout).expect("an error object")
    }

    /// The folder of intent records.
    pub(crate) fn records(&self) -> PathBuf {
        self.lab.file("sw").join("cni")
    }

    /// Everything that attachments leave traces in: ports, devices of the node, records, addresses.
    pub(crate) fn traces(&self) -> Vec<String> {
        let attachments = self.switch.call("io.vswitch.Port.List", json!({}));
        let attachments = attachments["attachments"]
            .as_array()
            .expect("a list")
            .iter();
        let mut all: Vec<String> = attachments
            .map(|one| format!("attachment {}", one["attachment"]["containerId"]))
            .collect();
        let links = run(&format!("ip -n {} -o link", self.lab.ns("sw")));
        let pods = links.lines().filter(|line| line.contains(": pod"));
        all.extend(pods.map(|line| format!("link {line}")));
        let files = |folder: PathBuf| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            entries.map(|e| e.file_name().to_string_lossy().into_owned())
        };
        all.extend(files(self.records()).map(|name| format!("record {name}")));
        let reserved = files(self.lab.file("ipam").join("net"));
        all.extend(
            reserved
                .filter(|name| {
                    name.contains('.') && !name.starts_with("last_reserved") && name != "lock"
                })
                .map(|name| format!("address {name}")),
        );
        all
    }

    /// Interfaces of a pod but its loopback.
    pub(crate) fn interfaces(&self, pod: &str) -> Vec<String> {
        let links = run(&format!("ip -n {} -br link", self.lab.ns(pod)));
        let names = links
            .lines()
            .filter_map(|line| line.split([' ', '@']).next());
        names
            .filter(|name| *name != "lo")
            .map(str::to_owned)
            .collect()
    }

    /// VLANs that the uplink carries tagged.
    pub(crate) fn uplink_vlans(&self) -> Value {
        let state = self
            .switch
            .call("io.vswitch.Switch.GetState", json!({"port": "ul0"}));
        state["state"]["ports"][0]["vlans"]["tagged"].clone()
    }
}

/// A network of our plugin.
pub(crate) fn network(more: Value) -> Value {
    let mut config = json!({
        "cniVersion": "1.0.0", "name": "net", "type": "vswitch", "bridge": "br0",
    });
    let Value::Object(more) = more else {
        panic!("an object");
    };
    config.as_object_mut().expect("an object").extend(more);
    config
}

/// `host-local` of 10.9.0.0/24 that keeps its notes in the test's folder.
pub(crate) fn host_local(node: &Node) -> Value {
    json!({
        "type": "host-local", "dataDir": node.lab.file("ipam"),
        "ranges": [[{"subnet": "10.9.0.0/24"}]],
    })
}
