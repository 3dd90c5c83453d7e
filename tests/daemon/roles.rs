//! Who may call what: other users at the other end of the socket. Tried as root, because only root can
//! be somebody else; an ordinary user's own daemon is tried everywhere else.

use crate::lab::{CONFIG, Daemon, Ran, binary, can_be_others, ran};
use std::process::Command;

/// A group that every system has and the tester's daemon does not need: the one that may look.
const MONITORS: &str = "users";

/// Runs `vswctl` as user and group `nobody`, in these groups besides.
fn as_nobody(daemon: &Daemon, groups: &str, words: &[&str]) -> Ran {
    // The build's folder may be closed to others.
    let program = daemon.folder.join("vswctl");
    if !program.exists() {
        std::fs::copy(binary("vswctl"), &program).expect("a copy of vswctl");
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup"]);
    if groups.is_empty() {
        command.arg("--clear-groups");
    } else {
        command.args(["--groups", groups]);
    }
    command
        .arg(program)
        .arg("--socket")
        .arg(daemon.socket())
        .args(words);
    command.env("LC_ALL", "C").env_remove("VSWITCH_SOCKET");
    for _ in 0..100 {
        let told = ran(&mut command);
        // A program that was just copied is busy while another test's child holds its descriptor.
        if !told.err.contains("Text file busy") {
            return told;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("vswctl stays busy");
}

/// Without a group that may look, the socket itself is closed to others.
#[test]
fn a_stranger_cannot_open_the_socket() {
    if !can_be_others("a stranger at the socket") {
        return;
    }
    let config = format!(
        "[daemon]\nadmin_group = \"no-such-group\"\nmonitor_group = \"no-such-group\"\n{CONFIG}"
    );
    let daemon = Daemon::with(&config);
    let told = as_nobody(&daemon, "", &["status"]);
    assert_eq!(told.code, 5, "{}{}", told.out, told.err);
    for part in ["you may not open", "help:", "root"] {
        assert!(told.err.contains(part), "{}", told.err);
    }
}

/// With one, everybody can open it, and the caller's groups decide.
#[test]
fn roles_decide_what_a_caller_may_do() {
    if !can_be_others("roles") {
        return;
    }
    let config =
        format!("[daemon]\nmonitor_group = \"{MONITORS}\"\nadmin_group = \"daemon\"\n{CONFIG}");
    let daemon = Daemon::with(&config);
    let before = daemon.config();
    let change = ["port", "del", "vm1"];

    // Nobody in particular: introspection.
    let told = as_nobody(&daemon, "", &["api", "list"]);
    assert_eq!(told.code, 0, "{}", told.err);
    for words in [&["status"][..], &change] {
        let told = as_nobody(&daemon, "", words);
        assert_eq!(told.code, 5, "{words:?}: {}{}", told.out, told.err);
        for part in [
            "not permitted",
            "user 65534 may not call io.vswitch.Switch.",
            "usermod -aG",
        ] {
            assert!(told.err.contains(part), "{words:?}: {}", told.err);
        }
    }
    // One who may look, and not change, and not see other people's traffic.
    for words in [&["status"][..], &["show"], &["fdb", "show"], &["drops"]] {
        let told = as_nobody(&daemon, MONITORS, words);
        assert_eq!(told.code, 0, "{words:?}: {}", told.err);
    }
    for words in [
        &change[..],
        &["capture", "vm1", "-c", "1"],
        &["fdb", "flush", "br0"],
        &["daemon", "log", "set", "debug"],
        &[
            "api",
            "call",
            "io.vswitch.Debug.WarpClock",
            "{\"milliseconds\":1}",
        ],
        &[
            "api",
            "call",
            "io.vswitch.Debug.TakeFrames",
            "{\"port\":\"vm1\"}",
        ],
    ] {
        let told = as_nobody(&daemon, MONITORS, words);
        assert_eq!(told.code, 5, "{words:?}: {}{}", told.out, told.err);
        assert!(
            told.err.contains("usermod -aG daemon"),
            "{words:?}: {}",
            told.err
        );
    }
    assert_eq!(daemon.config(), before, "nothing has changed");
    // One who may.
    let told = as_nobody(&daemon, "daemon", &change);
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(daemon.config()["config"]["port"].get("vm1").is_none());
    let log = daemon.log();
    assert!(
        log.contains("generation 2 by user 65534 (process "),
        "{log}"
    );
}
