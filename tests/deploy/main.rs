//! The Kubernetes manifests against the programs: every command line, path, configuration and network definition
//! in them is given to the real binaries. No privileges, no cluster.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../control/deploy")
}

fn binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test
        .parent()
        .and_then(Path::parent)
        .expect("a target folder");
    let path = folder.join(name);
    assert!(
        path.exists(),
        "no {}: cargo build -p vswitchd -p vswctl -p vswitch-cni",
        path.display()
    );
    path
}

/// All documents of a file.
fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let parts = text.split("\n---\n");
    let parse = |part: &str| {
        serde_yaml_ng::from_str(part).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    parts.map(parse).collect()
}

/// What a kustomization makes: its resources, those of its bases, with its patches applied.
fn built(folder: &Path) -> Vec<Value> {
    let kustomization = documents(&folder.join("kustomization.yaml")).remove(0);
    let mut all = Vec::new();
    for resource in kustomization["resources"].as_array().expect("resources") {
        let path = folder.join(resource.as_str().expect("a path"));
        assert!(path.exists(), "{} is not there", path.display());
        all.extend(if path.is_dir() {
            built(&path)
        } else {
            documents(&path)
        });
    }
    for patch in kustomization["patches"].as_array().into_iter().flatten() {
        let text = patch["patch"].as_str().expect("a patch");
        let what: Value = serde_yaml_ng::from_str(text).expect("a patch is YAML");
        if what["$patch"] == "delete" {
            let before = all.len();
            all.retain(|one| {
                one["kind"] != what["kind"] || one["metadata"]["name"] != what["metadata"]["name"]
            });
            assert_eq!(all.len() + 1, before, "{text}");
            continue;
        }
        let target = &patch["target"];
        let of = |one: &&mut Value| {
            one["kind"] == target["kind"] && one["metadata"]["name"] == target["name"]
        };
        let one = all
            .iter_mut()
            .find(of)
            .unwrap_or_else(|| panic!("no {target} to patch"));
        for operation in what.as_array().expect("operations") {
            assert_eq!(operation["op"], "replace");
            let at = operation["path"].as_str().expect("a path");
            let place = one
                .pointer_mut(at)
                .unwrap_or_else(|| panic!("no {at} to replace"));
            *place = operation["value"].clone();
        }
    }
    all
}

fn overlays() -> Vec<(String, Vec<Value>)> {
    let folders = ["base", "overlays/kubevirt", "overlays/harvester"];
    folders
        .map(|name| (name.to_owned(), built(&deploy().join(name))))
        .to_vec()
}

fn only<'v>(all: &'v [Value], kind: &str) -> &'v Value {
    let mut found = all.iter().filter(|one| one["kind"] == kind);
    let first = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    first
}

fn words(value: &Value) -> Vec<String> {
    let list = value.as_array().expect("a command");
    list.iter()
        .map(|word| word.as_str().expect("a word").to_owned())
        .collect()
}

/// Where the image has its programs.
fn image() -> BTreeMap<String, String> {
    let text = fs::read_to_string(deploy().join("Containerfile")).expect("the Containerfile");
    let copies = text.lines().filter_map(|line| line.strip_prefix("COPY "));
    copies
        .map(|line| {
            let (from, to) = line.split_once(' ').expect("from and to");
            let name = from.rsplit('/').next().expect("a name");
            (to.to_owned(), name.to_owned())
        })
        .collect()
}

/// Runs a container's command with the real program, some words replaced.
fn run(command: &[String], replaced: &[(&str, &Path)]) -> Output {
    let name = &image()[&command[0]];
    let words = command[1..].iter().map(|word| {
        let found = replaced.iter().find(|(from, _)| from == word);
        found.map_or_else(|| PathBuf::from(word), |(_, to)| to.to_path_buf())
    });
    Command::new(binary(name))
        .args(words)
        .env_remove("CNI_COMMAND")
        .stdin(Stdio::null())
        .output()
        .expect("the program")
}

fn scratch(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("vswitch-deploy-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn every_file_is_used_and_every_object_is_whole() {
    for (name, all) in overlays() {
        assert!(!all.is_empty());
        for one in &all {
            assert!(
                one["apiVersion"].is_string() && one["kind"].is_string(),
                "{name}: {one}"
            );
            assert!(one["metadata"]["name"].is_string(), "{name}: {one}");
        }
        let daemon_set = only(&all, "DaemonSet");
        let pod = &daemon_set["spec"]["template"];
        assert_eq!(
            daemon_set["spec"]["selector"]["matchLabels"],
            pod["metadata"]["labels"]
        );
        let spec = &pod["spec"];
        assert_eq!(
            spec["automountServiceAccountToken"], false,
            "it never talks to the API server"
        );
        let volumes: Vec<&str> = spec["volumes"]
            .as_array()
            .expect("volumes")
            .iter()
            .filter_map(|v| v["name"].as_str())
            .collect();
        for container in ["initContainers", "containers"]
            .iter()
            .flat_map(|key| spec[key].as_array().expect("containers"))
        {
            for mount in container["volumeMounts"].as_array().expect("mounts") {
                let wanted = mount["name"].as_str().expect("a name");
                assert!(volumes.contains(&wanted), "{name}: no volume {wanted}");
            }
        }
        let config_map = spec["volumes"]
            .as_array()
            .and_then(|all| all.iter().find(|v| v["name"] == "config"));
        assert_eq!(
            config_map.expect("its configuration")["configMap"]["name"],
            only(&all, "ConfigMap")["metadata"]["name"]
        );
    }
}

#[test]
fn the_daemon_takes_its_command_line_and_configuration() {
    for (name, all) in overlays() {
        let folder = scratch("daemon");
        let file = folder.join("vswitch.toml");
        let text = only(&all, "ConfigMap")["data"]["vswitch.toml"]
            .as_str()
            .expect("a configuration");
        fs::write(&file, text).expect("written");
        let container = &only(&all, "DaemonSet")["spec"]["template"]["spec"]["containers"][0];
        let mut command = words(&container["command"]);
        let socket = command
            .iter()
            .position(|word| word == "--socket")
            .map(|at| command[at + 1].clone());
        assert_eq!(
            socket.as_deref(),
            Some(vswitch_api::client::SOCKET),
            "where the plugin looks for it"
        );
        command.push("--check".to_owned());
        let output = run(&command, &[("/etc/vswitch/vswitch.toml", &file)]);
        assert!(output.status.success(), "{name}: {output:?}");
        let mounted = |path: &str| {
            let mounts = container["volumeMounts"].as_array().expect("mounts");
            mounts.iter().any(|mount| mount["mountPath"] == path)
        };
        for path in ["/etc/vswitch", "/run/vswitch", "/dev/net/tun"] {
            assert!(mounted(path), "{name}: {path}");
        }
        for probe in ["readinessProbe", "livenessProbe"] {
            // No daemon: unreachable, and not a command line that nobody understands.
            let nowhere = folder.join("nowhere");
            let socket = [(vswitch_api::client::SOCKET, nowhere.as_path())];
            let output = run(&words(&container[probe]["exec"]["command"]), &socket);
            assert_eq!(output.status.code(), Some(3), "{name} {probe}: {output:?}");
        }
        fs::remove_dir_all(folder).expect("removed");
    }
}

#[test]
fn the_plugin_installs_itself_as_the_manifests_say() {
    for (name, all) in overlays() {
        let folder = scratch("install");
        fs::write(folder.join("bridge"), "the plugin that was there").expect("written");
        let container = &only(&all, "DaemonSet")["spec"]["template"]["spec"]["initContainers"][0];
        let command = words(&container["command"]);
        let mount = container["volumeMounts"][0]["mountPath"]
            .as_str()
            .expect("a folder");
        for _ in 0..2 {
            let output = run(&command, &[(mount, &folder)]);
            assert!(output.status.success(), "{name}: {output:?}");
        }
        let same = |file: &str| {
            fs::read(folder.join(file)).expect(file)
                == fs::read(binary("vswitch-cni")).expect("the plugin")
        };
        assert!(same("vswitch"), "{name}");
        let stands_in = command.iter().any(|word| word == "--as-bridge");
        assert_eq!(stands_in, name.ends_with("harvester"), "off by default");
        assert_eq!(same("bridge"), stands_in, "{name}");
        let output = Command::new(binary("vswitch-cni"))
            .args(["uninstall", "--dest"])
            .arg(&folder)
            .output();
        assert!(output.expect("the plugin").status.success());
        let left: Vec<_> = fs::read_dir(&folder)
            .expect("a folder")
            .flatten()
            .map(|e| e.file_name())
            .collect();
        assert_eq!(left, ["bridge"], "{name}");
        assert_eq!(
            fs::read(folder.join("bridge")).expect("it"),
            b"the plugin that was there",
            "put back"
        );
        fs::remove_dir_all(folder).expect("removed");
    }
}

#[test]
fn the_networks_are_ones_that_the_plugin_understands_on_bridges_that_there_are() {
    for (name, all) in overlays() {
        let text = only(&all, "ConfigMap")["data"]["vswitch.toml"]
            .as_str()
            .expect("a configuration");
        let config: toml::Value = toml::from_str(text).expect("TOML");
        let networks = all
            .iter()
            .filter(|one| one["kind"] == "NetworkAttachmentDefinition");
        let mut count = 0;
        for network in networks {
            count += 1;
            let list: Value =
                serde_json::from_str(network["spec"]["config"].as_str().expect("text"))
                    .expect("strict JSON");
            assert_eq!(list["name"], network["metadata"]["name"], "{name}");
            let mut plugin = list["plugins"][0].clone();
            assert_eq!(plugin["type"], "vswitch");
            let bridge = plugin["bridge"].as_str().expect("a bridge");
            assert!(
                config["bridge"].get(bridge).is_some(),
                "{name}: no bridge {bridge} in the configuration"
            );
            // As a runtime hands it over; with no daemon there the plugin says so, and nothing about the network.
            plugin["name"] = list["name"].clone();
            plugin["cniVersion"] = list["cniVersion"].clone();
            plugin["socket"] = json!("/nowhere/at/all");
            let mut child = Command::new(binary("vswitch-cni"))
                .env("CNI_COMMAND", "STATUS")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("the plugin");
            let text = plugin.to_string();
            child
                .stdin
                .take()
                .expect("a pipe")
                .write_all(text.as_bytes())
                .expect("read");
            let output = child.wait_with_output().expect("its end");
            let error: Value = serde_json::from_slice(&output.stdout).expect("an error");
            assert_eq!(error["code"], 50, "{name}: {error}");
        }
        assert!(count > 0, "{name}");
    }
}
