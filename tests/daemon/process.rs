//! The program: how it starts, ends and takes over, what it says of a broken configuration, and SIGHUP.

use crate::lab::{CONFIG, Daemon, Scratch, eventually, ran};
use serde_json::{Value, json};
use std::os::unix::net::UnixStream;
use vswitch_api::request::Watch;

#[test]
fn it_ends_with_success_when_told_and_leaves_nothing() {
    for signal in ["TERM", "INT"] {
        let mut daemon = Daemon::start();
        let mut watcher = daemon.client();
        let mut replies = Daemon::follow(&mut watcher, &Watch::default());
        assert!(replies.next().is_some_and(|reply| reply.is_ok()));
        daemon.ctl("port del vm2");
        daemon.signal(signal);
        assert_eq!(daemon.wait().code(), Some(0), "SIG{signal}");
        assert!(!daemon.socket().exists(), "the socket is gone");
        let last = std::iter::from_fn(|| replies.next()).last();
        assert!(
            last.is_some_and(|reply| reply.is_err()),
            "the stream has ended"
        );
        let log = daemon.log();
        assert!(log.contains("ending") && !log.contains("ERROR"), "{log}");
        assert!(!log.contains('\u{1b}'), "no colours in a file");
    }
}

#[test]
fn a_second_daemon_on_the_same_socket_is_refused() {
    let daemon = Daemon::start();
    let told = ran(daemon.folder.vswitchd().arg("--enable-mem-ports"));
    assert_eq!(told.code, 1);
    for part in ["error: ", "another vswitchd is running", "--socket"] {
        assert!(told.err.contains(part), "{}", told.err);
    }
    assert_eq!(
        daemon.call("Switch.GetHealth", json!({}))["health"],
        "ok",
        "the first goes on"
    );
    let folder = Scratch::new();
    let file = folder.write("sock", "not a socket\n");
    let told = ran(&mut folder.vswitchd());
    assert_eq!(told.code, 1);
    assert!(told.err.contains("no socket"), "{}", told.err);
    assert_eq!(
        std::fs::read_to_string(file).expect("the file"),
        "not a socket\n"
    );
}

#[test]
fn the_socket_of_a_killed_daemon_is_taken_over() {
    let mut daemon = Daemon::start();
    daemon.ctl("port add vm3 --bridge br0 --kind mem");
    daemon.signal("KILL");
    daemon.wait();
    assert!(daemon.socket().exists(), "left behind");
    assert!(UnixStream::connect(daemon.socket()).is_err(), "and dead");
    daemon.run(&["--enable-mem-ports"]);
    let health = daemon.call("Switch.GetHealth", json!({}));
    assert_eq!(
        (&health["health"], &health["ports"]),
        (&json!("ok"), &json!(3)),
        "as the file says"
    );
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(!daemon.socket().exists());
}

/// Where an error is, as it is printed: file, line and column, a caret, what to do.
fn assert_told(text: &str, place: &str, parts: &[&str]) {
    for part in [place, "^", "help"].iter().chain(parts) {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn a_broken_file_is_told_with_its_places_and_nothing_is_started() {
    let folder = Scratch::new();
    let check = |text: &str| {
        let file = folder.write("vswitch.toml", text);
        ran(folder
            .vswitchd()
            .args(["--enable-mem-ports", "--check", "--config"])
            .arg(file))
    };
    let right = check(CONFIG);
    assert_eq!((right.code, right.err.as_str()), (0, ""), "{}", right.out);
    assert!(right.out.contains("2 bridges, 3 ports"), "{}", right.out);
    let wrong = check(
        "[bridge.br0]\nmtu = 1500\n\n[port.vm1]\nbrigde = \"br0\"\nkind = \"mem\"\nvlan = 5000\n",
    );
    assert_eq!((wrong.code, wrong.out.as_str()), (1, ""), "{}", wrong.err);
    assert_told(
        &wrong.err,
        "vswitch.toml:5:1",
        &["brigde", "did you mean \"bridge\"?"],
    );
    let wrong =
        check("[bridge.br0]\n[port.vm1]\nbridge = \"br1\"\nkind = \"mem\"\nvlan = 5000\nmtu = 1\n");
    assert_eq!(wrong.code, 1);
    assert_told(&wrong.err, "vswitch.toml:3:", &["no bridge \"br1\"", "br0"]);
    assert_told(
        &wrong.err,
        "vswitch.toml:5:",
        &["no VLAN 5000", "1 to 4094"],
    );
    assert_told(&wrong.err, "vswitch.toml:6:", &["68"]);
    let wrong = check("[bridge.br0\nmtu = 1500\n");
    assert_eq!(wrong.code, 1);
    assert!(
        wrong.err.contains("vswitch.toml:1:") && wrong.err.contains("no TOML"),
        "{}",
        wrong.err
    );
    // The same without --check, and it does not start.
    let file = folder.write("vswitch.toml", "[port.vm1]\nkind = \"mam\"\n");
    let wrong = ran(folder.vswitchd().arg("--config").arg(file));
    assert_eq!(wrong.code, 1);
    assert_told(&wrong.err, "vswitch.toml:2:", &["mam"]);
    assert!(!folder.join("sock").exists());
    // What only the start shows has its place too.
    let file = folder.write("vswitch.toml", CONFIG);
    let wrong = ran(folder.vswitchd().arg("--config").arg(file));
    assert_eq!(wrong.code, 1);
    assert_told(&wrong.err, "vswitch.toml:9:", &["--enable-mem-ports"]);
    let wrong = ran(folder
        .vswitchd()
        .arg("--config")
        .arg(folder.join("none.toml")));
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("none.toml"), "{}", wrong.err);
    assert_eq!(ran(folder.vswitchd().arg("--nonsense")).code, 2, "usage");
}

/// SIGHUP: what the file says becomes the running configuration, all of it or nothing.
#[test]
fn sighup_applies_the_file_again() {
    let daemon = Daemon::start();
    daemon.ctl("port add vm3 --bridge br0 --kind mem");
    assert_eq!(daemon.call("Switch.GetHealth", json!({}))["unsaved"], 1);
    let reload = |text: &str, said: &str| {
        let before = daemon.log().matches(said).count();
        daemon.folder.write("vswitch.toml", text);
        daemon.signal("HUP");
        eventually(said, || daemon.log().matches(said).count() > before);
    };
    let applied = "configuration files were applied";
    let refused = "configuration files were not applied";

    // Also what is protected; and what the file does not say is gone.
    let other = CONFIG.replace("[bridge.mgmt]\n", "[bridge.mgmt]\nmtu = 9000\n");
    reload(&other, applied);
    let state = daemon.call("Switch.GetState", json!({}))["state"].clone();
    let ports: Vec<&Value> = state["ports"]
        .as_array()
        .expect("ports")
        .iter()
        .map(|p| &p["name"])
        .collect();
    assert_eq!(ports, ["router", "vm1", "vm2"]);
    assert_eq!(
        (&state["bridges"][1]["mtu"], &state["generation"]),
        (&json!(9000), &json!(3))
    );
    assert_eq!(daemon.call("Switch.GetHealth", json!({}))["unsaved"], 0);
    let saved = daemon.call("Switch.GetConfig", json!({"source": "saved"}));
    assert_eq!(saved, daemon.config());

    // A broken one changes nothing, and the log has the place.
    let mut events = daemon.client();
    let watch = Watch {
        kinds: Some(vec!["config".to_owned()]),
        ..Watch::default()
    };
    let mut events = Daemon::follow(&mut events, &watch);
    assert!(events.next().is_some_and(|first| first.is_ok()));
    reload(&other.replace("vlan = 100", "vlan = 5000"), refused);
    assert_told(&daemon.log(), "vswitch.toml:17:8", &["no VLAN 5000"]);
    let event = events
        .next()
        .expect("a reply")
        .expect("an event")
        .event
        .expect("an event");
    assert!(event.message.contains("5000"), "{}", event.message);
    assert_eq!(daemon.config(), saved);
    // So does one that only the machine's devices show to be wrong.
    reload(
        &format!("{other}\n[port.lo]\nbridge = \"br0\"\nkind = \"nic\"\n"),
        refused,
    );
    assert_told(&daemon.log(), "vswitch.toml:24:", &["loopback"]);
    reload("[bridge", refused);
    assert_eq!(daemon.config(), saved);
    std::fs::remove_file(daemon.folder.join("vswitch.toml")).expect("removed");
    let before = daemon.log().matches(refused).count();
    daemon.signal("HUP");
    eventually("a file that is gone is told", || {
        daemon.log().matches(refused).count() > before
    });
    assert_eq!(daemon.config(), saved);

    // And the way back; frames pass all the while.
    reload(CONFIG, applied);
    daemon.put(
        "vm1",
        &vswitch_tests::broadcast(vswitch_core::testing::station(1)),
    );
    assert_eq!(daemon.reached(&["router", "vm2"]), ["router", "vm2"]);
    daemon.assert_conserved();
}

/// A second file that says the same object is an error that names both.
#[test]
fn files_of_the_folder_are_read_and_named() {
    let folder = Scratch::new();
    std::fs::create_dir(folder.join("conf.d")).expect("a folder");
    folder.write(
        "conf.d/10-vm1.toml",
        "[port.vm1]\nbridge = \"br0\"\nkind = \"mem\"\n",
    );
    let file = folder.write("vswitch.toml", "[bridge.br0]\n");
    let check = || {
        ran(folder
            .vswitchd()
            .args(["--enable-mem-ports", "--check", "--config"])
            .arg(&file))
    };
    assert_eq!(
        (check().code, check().out.contains("1 port")),
        (0, true),
        "{:?}",
        check()
    );
    folder.write(
        "conf.d/20-again.toml",
        "[port.vm1]\nkind = \"tap\"\nbridge = \"br0\"\n",
    );
    let wrong = check();
    assert_eq!(wrong.code, 1);
    assert_told(&wrong.err, "20-again.toml:1:", &["10-vm1.toml"]);
}

/// Hundreds of ports need more descriptors than a program has at its start.
#[test]
fn it_allows_itself_as_many_descriptors_as_it_may_have() {
    let daemon = Daemon::with_open_files(200);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid()));
    let limits = limits.expect("its limits");
    let row = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"));
    let [soft, hard] = [0, 1].map(|n| row.and_then(|row| row.split_whitespace().nth(n)));
    assert_eq!(soft, hard, "{limits}");
    assert_ne!(soft, Some("200"), "this machine allows enough to tell");
}
