//! Pods on the switch: every mode, every verb, addresses, gateways, a daemon that is away.

use super::{Node, host_local, network};
use crate::lab::{eventually, run};
use serde_json::{Value, json};

/// S-09: two pods reach each other, in every mode that a container can use; CHECK finds
/// nothing; nothing is left.
#[test]
fn pods_reach_each_other_in_every_mode() {
    for (mode, version) in [("veth", "1.1.0"), ("tap", "0.4.0")] {
        let node = Node::new(&["a", "b"]);
        let config = network(json!({
            "cniVersion": version, "mode": mode, "vlan": 100, "ipam": host_local(&node),
        }));
        let mut results = Vec::new();
        for pod in ["a", "b"] {
            results.push(node.done("ADD", pod, "eth0", &config));
        }
        // it forwards when ADD is answered.
        let state = node.switch.call("io.vswitch.Port.List", json!({}));
        for one in state["attachments"].as_array().expect("attachments") {
            assert_eq!(one["state"], "up", "{mode}: {state}");
        }
        assert!(
            !node.switch.log().contains("lower-down"),
            "{mode}: {}",
            node.switch.log()
        );
        let first = &results[0];
        let interfaces = first["interfaces"].as_array().expect("interfaces");
        assert_eq!(
            interfaces.len(),
            if mode == "veth" { 3 } else { 2 },
            "{first}"
        );
        assert_eq!(interfaces[0]["name"], "br0");
        let own = interfaces.last().expect("the pod's");
        assert_eq!(
            (&own["name"], &own["sandbox"]),
            (&json!("eth0"), &json!(node.netns("a")))
        );
        assert_eq!(first["ips"][0]["interface"], interfaces.len() - 1);
        assert_eq!(first["ips"][0]["address"], "10.9.0.2/24");
        node.lab.wait_ping("a", "10.9.0.3");
        let tcp = node.lab.tcp("a", "b", "10.9.0.3");
        assert!(tcp.is_healthy(), "{mode}: {tcp:?}");
        assert_eq!(
            node.uplink_vlans(),
            json!([{"first": 100, "last": 100}]),
            "N-08"
        );
        let mut check = config.clone();
        check["prevResult"] = first.clone();
        assert_eq!(node.done("CHECK", "a", "eth0", &check), Value::Null);
        let ns = node.lab.ns("a");
        run(&format!("ip -n {ns} addr flush dev eth0"));
        let error = node.refused("CHECK", "a", "eth0", &check);
        assert!(
            error["msg"]
                .as_str()
                .is_some_and(|m| m.contains("10.9.0.2")),
            "{error}"
        );
        for pod in ["a", "b", "a"] {
            node.done("DEL", pod, "eth0", &config);
            assert_eq!(node.interfaces(pod), [] as [String; 0], "{mode}");
        }
        assert_eq!(node.traces(), [] as [String; 0], "{mode}");
        assert_eq!(node.uplink_vlans(), json!([]));
    }
}

/// A hypervisor's TAP: it is there with its owner, the switch sits on it, frames flow both ways.
#[test]
fn a_guest_that_opens_the_tap_is_on_the_switch() {
    let node = Node::new(&["a", "vm"]);
    let config = network(json!({"mode": "tap-guest", "owner": 0, "group": 0}));
    let result = node.done("ADD", "vm", "net1", &config);
    node.done("ADD", "a", "eth0", &network(json!({"mode": "veth"})));
    let (vm, a) = (node.lab.ns("vm"), node.lab.ns("a"));
    let text = run(&format!("ip -n {vm} -d link show net1"));
    assert!(
        text.contains("tun type tap") && text.contains("persist on"),
        "{text}"
    );
    assert_eq!(result["interfaces"][1]["name"], "net1");
    run(&format!("ip -n {a} addr add 10.9.1.2/24 dev eth0"));
    // The guest: a program that opens the TAP and answers ARP and echo requests is a kernel stack's
    // work; what it sends and hears is enough here.
    let guest = "
import fcntl, struct, os, sys
tap = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH22x', b'net1', 0x0002 | 0x1000))
mac = bytes.fromhex(sys.argv[1].replace(':', ''))
while True:
    frame = os.read(tap, 2048)
    if frame[12:14] == b'\\x08\\x06' and frame[20:22] == b'\\x00\\x01' and frame[38:42] == bytes([10, 9, 1, 9]):
        os.write(tap, frame[6:12] + mac + frame[12:20] + b'\\x00\\x02' + mac + frame[38:42] + frame[22:32])
    elif frame[:6] == mac and frame[23] == 1:
        head = bytearray(frame)
        head[0:6], head[6:12] = frame[6:12], mac
        head[26:30], head[30:34] = frame[30:34], frame[26:30]
        head[34] = 0
        total = (head[36] << 8 | head[37]) + 0x0800
        total = (total & 0xffff) + (total >> 16)
        head[36], head[37] = total >> 8, total & 255
        os.write(tap, bytes(head))
";
    let file = node.lab.file("guest.py");
    std::fs::write(&file, guest).expect("the guest's program");
    let mac = result["interfaces"][1]["mac"].as_str().expect("an address");
    let mut child = std::process::Command::new("ip")
        .args(["netns", "exec", &vm, "python3"])
        .arg(&file)
        .arg(mac)
        .spawn()
        .expect("the guest");
    node.lab.wait_ping("a", "10.9.1.9");
    let _killed = child.kill();
    let _reaped = child.wait();
    for (pod, ifname) in [("vm", "net1"), ("a", "eth0")] {
        node.done("DEL", pod, ifname, &config);
    }
    assert_eq!(node.interfaces("vm"), [] as [String; 0]);
    assert_eq!(node.traces(), [] as [String; 0]);
}

/// S-09: several attachments of one pod, given back in any order; names that are taken; what is not there.
#[test]
fn a_pod_may_have_several_and_errors_say_what_is_wrong() {
    let node = Node::new(&["a"]);
    let config = network(json!({}));
    for ifname in ["net1", "net2", "net3"] {
        node.done("ADD", "a", ifname, &config);
    }
    let error = node.refused("ADD", "a", "net2", &config);
    assert_eq!(error["code"], 101, "{error}");
    assert_eq!(
        node.interfaces("a").len(),
        3,
        "the one that was there is not touched"
    );
    for ifname in ["net2", "net3", "net1"] {
        node.done("DEL", "a", ifname, &config);
    }
    assert_eq!(node.traces(), [] as [String; 0]);
    let down = network(json!({"disableContainerInterface": true}));
    node.done("ADD", "a", "net1", &down);
    let link = run(&format!("ip -n {} -br link show net1", node.lab.ns("a")));
    assert!(link.contains("DOWN"), "{link}");
    node.done("DEL", "a", "net1", &down);
    let unknown = node.refused("ADD", "a", "net1", &network(json!({"bridge": "br1"})));
    assert_eq!(unknown["code"], 7);
    assert!(
        unknown["details"]
            .as_str()
            .is_some_and(|d| d.contains("br0")),
        "{unknown}"
    );
    for (more, code) in [
        (json!({"vlan": 5000}), 7),
        (json!({"cniVersion": "9.9.9"}), 1),
        (json!({"ipam": {"type": "no-such-plugin"}}), 7),
        (
            json!({"ipam": {"type": "static", "addresses": [{"address": "x"}]}}),
            999,
        ),
        (json!({"mtu": 9000}), 7),
        (json!({"isGateway": true, "ipam": host_local(&node)}), 7),
        (json!({"ipMasq": true}), 2),
    ] {
        let error = node.refused("ADD", "a", "net1", &network(more.clone()));
        assert_eq!(error["code"], code, "{more}: {error}");
        assert_eq!(node.interfaces("a"), [] as [String; 0], "{more}");
        assert_eq!(node.traces(), [] as [String; 0], "{more}");
    }
    let error = node.refused("ADD", "nowhere", "net1", &config);
    assert_eq!(error["code"], 8, "{error}");
    let error = node.refused("ADD", "sw", "net1", &config);
    assert_eq!(error["code"], 8, "the node's own: {error}");
    assert_eq!(node.traces(), [] as [String; 0]);
}

/// The node as the pods' router: `isDefaultGateway` by the node's own interface on the bridge.
#[test]
fn the_node_can_be_the_gateway() {
    let config = "[bridge.br0]\nuplink = \"ul0\"\n[port.ul0]\nkind = \"nic\"\n[host.br0]\nbridge = \"br0\"\n";
    let node = Node::with(&["a"], config);
    let network = network(json!({"isDefaultGateway": true, "ipam": host_local(&node)}));
    let result = node.done("ADD", "a", "eth0", &network);
    assert_eq!(result["ips"][0]["gateway"], "10.9.0.1", "{result}");
    node.lab.wait_ping("a", "10.9.0.1");
    let routes = run(&format!("ip -n {} route", node.lab.ns("a")));
    assert!(routes.contains("default via 10.9.0.1"), "{routes}");
    node.done("DEL", "a", "eth0", &network);
    assert_eq!(node.traces(), [] as [String; 0]);
}

/// A pod never hangs because the daemon is away, and the daemon forgets the port when it is back.
#[test]
fn a_pod_ends_without_the_daemon_and_the_debt_is_paid() {
    for mode in ["veth", "tap"] {
        let mut node = Node::new(&["a", "b"]);
        let config = network(json!({"mode": mode, "ipam": host_local(&node)}));
        node.done("ADD", "a", "eth0", &config);
        assert!(!node.switch.end("KILL"));
        assert_eq!(
            node.refused(
                "STATUS",
                "a",
                "eth0",
                &json!({
                    "cniVersion": "1.1.0", "name": "net", "type": "vswitch", "bridge": "br0",
                })
            )["code"],
            50
        );
        node.done("DEL", "a", "eth0", &config);
        assert_eq!(node.interfaces("a"), [] as [String; 0]);
        node.switch.start_with_problems();
        assert_eq!(
            node.traces().len(),
            2,
            "{mode}: the attachment and the debt: {:?}",
            node.traces()
        );
        node.done("ADD", "b", "eth0", &config);
        node.done("DEL", "b", "eth0", &config);
        assert_eq!(node.traces(), [] as [String; 0], "{mode}");
    }
}

/// N-09, C-06: a daemon that is killed and comes back serves the pods that are there.
#[test]
fn pods_outlive_the_daemon() {
    for mode in ["veth", "tap"] {
        let mut node = Node::new(&["a", "b"]);
        let config = network(json!({"mode": mode, "vlan": 7, "ipam": host_local(&node)}));
        for pod in ["a", "b"] {
            node.done("ADD", pod, "eth0", &config);
        }
        node.lab.wait_ping("a", "10.9.0.3");
        for signal in ["KILL", "TERM"] {
            node.switch.end(signal);
            node.switch.start();
            node.lab.wait_ping("a", "10.9.0.3");
        }
        // After a boot of the machine nothing of an earlier one is believed.
        node.switch.end("KILL");
        let state = node.lab.file("sw").join("state/attached.json");
        let text = std::fs::read_to_string(&state).expect("the state file");
        let mut written: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(
            written["attachments"].as_array().map(Vec::len),
            Some(2),
            "{written}"
        );
        written["boot"] = "another".into();
        std::fs::write(&state, written.to_string()).expect("written");
        node.switch.start();
        let list = node.switch.call("io.vswitch.Port.List", json!({}));
        assert_eq!(list["attachments"], json!([]), "{mode}");
        for pod in ["a", "b"] {
            node.done("DEL", pod, "eth0", &config);
        }
        assert_eq!(node.traces(), [] as [String; 0], "{mode}");
        eventually("the devices are gone", || {
            node.interfaces("a").is_empty() && node.interfaces("b").is_empty()
        });
    }
}

/// a runtime's other questions; pods that died without DEL are collected.
#[test]
fn garbage_is_collected_and_the_state_is_told() {
    let mut node = Node::new(&["a", "b", "c"]);
    let config = network(json!({"cniVersion": "1.1.0", "mode": "veth", "ipam": host_local(&node)}));
    for pod in ["a", "b", "c"] {
        node.done("ADD", pod, "eth0", &config);
    }
    assert_eq!(node.done("STATUS", "a", "eth0", &config), Value::Null);
    // b's namespace goes without a DEL, as at a crash of the node's runtime.
    run(&format!("ip netns del {}", node.lab.ns("b")));
    let mut gc = config.clone();
    gc["cni.dev/valid-attachments"] = json!([{"containerID": "id-a", "ifname": "eth0"}]);
    node.done("GC", "", "", &gc);
    assert_eq!(
        node.interfaces("c"),
        [] as [String; 0],
        "not valid: it goes"
    );
    let traces = node.traces();
    assert_eq!(traces.len(), 4, "{traces:?}");
    assert!(
        traces.contains(&"attachment \"id-a\"".to_owned()),
        "{traces:?}"
    );
    assert!(
        traces.contains(&"address 10.9.0.2".to_owned()),
        "{traces:?}"
    );
    let wire = node.lab.ns("wire");
    run(&format!("ip -n {wire} link set eth0 down"));
    eventually("STATUS tells that the uplink is down", || {
        let output = node.call("STATUS", "a", "eth0", &config);
        let error: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        error["code"] == 51
    });
    gc["cni.dev/valid-attachments"] = json!([]);
    node.done("GC", "", "", &gc);
    assert_eq!(node.traces(), [] as [String; 0]);
    assert!(node.switch.end("TERM"));
}

/// an ADD that fails because the name is in use, and the DEL that runtimes send after it, touch nothing that
/// is another's, and nothing that an earlier ADD of the same attachment wrote down.
#[test]
fn what_is_in_use_stays_whole() {
    let node = Node::new(&["a"]);
    let config = network(json!({"cniVersion": "1.1.0", "mode": "veth", "ipam": host_local(&node)}));
    node.done("ADD", "a", "eth0", &config);
    let before = node.traces();
    assert_eq!(before.len(), 4, "{before:?}");
    assert_eq!(node.refused("ADD", "a", "eth0", &config)["code"], 101);
    assert_eq!(node.traces(), before);
    // Another network, the same name in the pod.
    let mut other = config.clone();
    other["name"] = json!("other");
    assert_eq!(node.refused("ADD", "a", "eth0", &other)["code"], 101);
    node.done("DEL", "a", "eth0", &other);
    assert_eq!(node.traces(), before);
    assert_eq!(node.interfaces("a"), ["eth0"], "not its own");
    // The record still knows what the address plugin gave.
    let mut gc = config.clone();
    gc["cni.dev/valid-attachments"] = json!([]);
    node.done("GC", "", "", &gc);
    assert_eq!(node.traces(), [] as [String; 0]);
    assert_eq!(node.interfaces("a"), [] as [String; 0]);
}

/// G-02, G-03, N-14: a pod that lies about who it is is not heard; what IPAM gave it is what it may say.
#[test]
fn a_pod_that_lies_is_not_heard() {
    let node = Node::new(&["a", "b"]);
    let honest = network(json!({"mode": "veth", "ipam": host_local(&node)}));
    node.done("ADD", "b", "eth0", &honest);
    for (mode, option) in [
        ("veth", "macspoofchk"),
        ("tap", "macspoofchk"),
        ("veth", "guard"),
        ("tap", "guard"),
    ] {
        let mut config = network(json!({"mode": mode, "ipam": host_local(&node)}));
        config[option] = true.into();
        let result = node.done("ADD", "a", "eth0", &config);
        node.lab.wait_ping("a", "10.9.0.2");
        let a = node.lab.ns("a");
        // Another address of its own making: ARP for it is not believed, and no answer comes.
        run(&format!("ip -n {a} addr add 10.9.0.77/24 dev eth0"));
        let lied = node
            .lab
            .ok_in("a", "ping -c 2 -i 0.2 -W 1 -I 10.9.0.77 10.9.0.2");
        assert_eq!(
            lied,
            option == "macspoofchk",
            "{mode} {option}: the IP address"
        );
        run(&format!(
            "ip -n {a} link set eth0 down && ip -n {a} link set eth0 address 02:00:00:00:66:66 up"
        ));
        assert!(
            !node.lab.ok_in("a", "ping -c 2 -i 0.2 -W 1 10.9.0.2"),
            "{mode} {option}: the MAC address"
        );
        let drops = node.switch.drops().to_string();
        assert!(drops.contains("mac-spoof"), "{drops}");
        assert_eq!(
            drops.contains("arp-spoof") || drops.contains("ip-spoof"),
            option == "guard",
            "{drops}"
        );
        let mac = result["interfaces"]
            .as_array()
            .and_then(|all| all.last().cloned())
            .expect("the pod's")["mac"]
            .clone();
        let mac = mac.as_str().expect("an address");
        run(&format!(
            "ip -n {a} link set eth0 down && ip -n {a} link set eth0 address {mac} up"
        ));
        node.lab.wait_ping("a", "10.9.0.2");
        node.done("DEL", "a", "eth0", &config);
    }
    node.done("DEL", "b", "eth0", &honest);
    assert_eq!(node.traces(), [] as [String; 0]);
}

/// the bandwidth that a runtime asks for is policed at the port, towards the pod and from it.
#[test]
fn a_pod_gets_no_more_than_its_bandwidth() {
    let node = Node::new(&["a", "b"]);
    let config = |bandwidth: Value| {
        network(json!({
            "mode": "veth", "capabilities": {"bandwidth": true}, "ipam": host_local(&node),
            "runtimeConfig": {"bandwidth": bandwidth},
        }))
    };
    let free = network(json!({"mode": "veth", "ipam": host_local(&node)}));
    node.done("ADD", "b", "eth0", &free);
    for (rates, from, to, reason) in [
        (
            json!({"ingressRate": 20_000_000, "ingressBurst": 2_000_000}),
            "b",
            "a",
            "policed-out",
        ),
        (
            json!({"egressRate": 20_000_000, "egressBurst": 2_000_000}),
            "a",
            "b",
            "policed-in",
        ),
    ] {
        let limited = config(rates);
        let result = node.done("ADD", "a", "eth0", &limited);
        let address = |pod: &str| match pod {
            "a" => result["ips"][0]["address"]
                .as_str()
                .and_then(|a| a.split('/').next())
                .expect("an address")
                .to_owned(),
            _ => "10.9.0.2".to_owned(),
        };
        node.lab.wait_ping(from, &address(to));
        let tcp = node.lab.tcp_of(from, to, &address(to), "-t 3");
        // 20 Mbit/s for three seconds, and the burst, are 7.75 MB; without a limit it would be gigabytes.
        assert!(tcp.arrived() < 12_000_000, "{reason}: {tcp:?}");
        assert!(tcp.arrived() > 1_000_000, "{reason}: {tcp:?}");
        assert!(node.switch.drops().to_string().contains(reason), "{reason}");
        node.done("DEL", "a", "eth0", &limited);
    }
    node.done("DEL", "b", "eth0", &free);
    assert_eq!(node.traces(), [] as [String; 0]);
}

/// N-03: at a migration's target nothing of the pod counts until its guest speaks with its own address.
#[test]
fn a_pod_is_held_until_its_guest_speaks() {
    let node = Node::new(&["a", "b"]);
    let free = network(json!({"mode": "veth", "ipam": host_local(&node)}));
    node.done("ADD", "b", "eth0", &free);
    for mode in ["veth", "tap"] {
        let config = network(json!({"mode": mode, "holdUntilGuest": true}));
        let result = node.done("ADD", "a", "eth0", &config);
        let interfaces = result["interfaces"].as_array().expect("interfaces");
        let mac = interfaces.last().expect("the pod's")["mac"]
            .as_str()
            .expect("an address");
        let frame = |from: &str| {
            format!(
                "ffffffffffff{}88b5{}",
                from.replace(':', ""),
                "00".repeat(46)
            )
        };
        // What the pod's own kernel may say before the guest is there, then the guest.
        let heard = node.lab.first_frame("b", "eth0", "ether proto 0x88b5", || {
            for _ in 0..3 {
                node.lab.send("a", "eth0", &frame("02:00:00:00:12:34"));
            }
            node.lab.send("a", "eth0", &frame(mac));
        });
        assert!(heard.contains(mac), "{mode}: {heard}");
        assert!(node.switch.drops().to_string().contains("held"), "{mode}");
        let heard = node.lab.first_frame("b", "eth0", "ether proto 0x88b5", || {
            node.lab.send("a", "eth0", &frame("02:00:00:00:12:34"));
        });
        assert!(
            heard.contains("02:00:00:00:12:34"),
            "{mode}: open from then on: {heard}"
        );
        node.done("DEL", "a", "eth0", &config);
    }
    node.done("DEL", "b", "eth0", &free);
    assert_eq!(node.traces(), [] as [String; 0]);
}

/// The daemon needs no CAP_SYS_ADMIN: the plugin enters namespaces. `auto` is then what comes back by itself.
#[test]
fn a_daemon_that_may_not_enter_namespaces_serves_every_mode() {
    let mut node = Node::new(&["a", "b", "vm"]);
    node.switch.end("TERM");
    node.switch.enters_namespaces = false;
    node.switch.start();
    let ready = node
        .switch
        .call("io.vswitch.Port.Ready", json!({"bridge": "br0"}));
    assert_eq!(ready["modes"], json!(["veth"]));
    for (pod, mode) in [("a", "auto"), ("b", "tap"), ("vm", "tap-guest")] {
        let config = network(json!({
            "mode": mode, "owner": 0, "group": 0, "ipam": host_local(&node),
        }));
        node.done("ADD", pod, "eth0", &config);
    }
    let list = node.switch.call("io.vswitch.Port.List", json!({}));
    let all = list["attachments"].as_array().expect("a list");
    assert!(all.iter().all(|one| one["state"] == "up"), "{list}");
    node.lab.wait_ping("a", "10.9.0.3");
    // The pair comes back by itself, the TAP waits for a daemon that finds it.
    node.switch.end("KILL");
    node.switch.start_with_problems();
    let state = |container: &str| {
        let list = node.switch.call("io.vswitch.Port.List", json!({}));
        let all = list["attachments"].as_array().cloned().unwrap_or_default();
        let one = all
            .into_iter()
            .find(|one| one["attachment"]["containerId"] == container);
        one.map(|one| format!("{} {}", one["state"], one["reason"]))
            .unwrap_or_default()
    };
    eventually("the pair is back", || state("id-a").starts_with("\"up\""));
    assert!(
        state("id-b").contains("permi") || state("id-b").contains("EPERM"),
        "{}",
        state("id-b")
    );
    for pod in ["a", "b", "vm"] {
        node.done(
            "DEL",
            pod,
            "eth0",
            &network(json!({"ipam": host_local(&node)})),
        );
        assert_eq!(node.interfaces(pod), [] as [String; 0], "{pod}");
    }
    assert_eq!(node.traces(), [] as [String; 0]);
}
