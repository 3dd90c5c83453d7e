//! Bad input: each is refused with a typed error that says what, why and what to do, `vswctl` prints it
//! on one screen with the documented exit code, and nothing has changed.

use crate::lab::{Daemon, Scratch, binary, ctl, ran};
use serde_json::{Value, json};
use vswitch_api::ApiError;

/// Exit codes of `vswctl`, as the README has them.
const FAILED: i32 = 1;
const USAGE: i32 = 2;
const UNREACHABLE: i32 = 3;
const NOT_FOUND: i32 = 4;
const CONFLICT: i32 = 6;

/// Commands that must fail: words, exit code, and what the error must say (what, and what to do).
const BAD: &[(&str, i32, &[&str])] = &[
    (
        "port add p --bridge br00 --kind mem",
        FAILED,
        &["no bridge \"br00\"", "did you mean \"br0\"?"],
    ),
    (
        "port add p --bridge br0 --kind mem --vlan 0",
        USAGE,
        &["\"0\" is no VLAN", "1 to 4094", "help:"],
    ),
    (
        "port add p --bridge br0 --kind mem --vlan 4095",
        USAGE,
        &["\"4095\" is no VLAN", "1 to 4094"],
    ),
    (
        "port add p --bridge br0 --kind mem --vlan 5000",
        USAGE,
        &["\"5000\" is no VLAN", "1 to 4094"],
    ),
    (
        "port add p --bridge br0 --kind mem --trunk 9-5",
        USAGE,
        &["9-5", "backwards", "help:"],
    ),
    (
        "port add vm1 --bridge br0 --kind mem",
        CONFLICT,
        &["already a port \"vm1\"", "port set vm1"],
    ),
    (
        "bridge add br0",
        CONFLICT,
        &["already a bridge \"br0\"", "help:"],
    ),
    (
        "port add sixteen-letters1 --bridge br0 --kind mem",
        FAILED,
        &["sixteen-letters1", "15", "help:"],
    ),
    (
        "port add a/b --bridge br0 --kind mem",
        FAILED,
        &["a/b", "help:"],
    ),
    (
        "port add p --bridge br0 --kind mam",
        FAILED,
        &["mam", "help:"],
    ),
    (
        "port add p --bridge br0 --kind nic --device lo",
        FAILED,
        &["loopback", "help:"],
    ),
    (
        "port add p --bridge br0 --kind nic --device vsw-nodev0",
        FAILED,
        &["vsw-nodev0", "help:"],
    ),
    (
        "port add p --bridge br0 --kind mem nosuch=1",
        FAILED,
        &["nosuch", "help:"],
    ),
    (
        "port set vm11 --vlan 5",
        NOT_FOUND,
        &["no port \"vm11\"", "did you mean \"vm1\"?"],
    ),
    ("port set vm1 --mtu 10", FAILED, &["10", "68"]),
    (
        "port del vm9",
        NOT_FOUND,
        &["no port \"vm9\"", "known: router, vm1, vm2"],
    ),
    ("bridge del br0", CONFLICT, &["in use by", "--cascade"]),
    ("bridge del brr", NOT_FOUND, &["no bridge \"brr\"", "br0"]),
    ("bridge set br0 --mtu 100000", FAILED, &["100000", "9216"]),
    (
        "bridge set br0 --ageing soon",
        FAILED,
        &["\"soon\"", "such as \"300s\""],
    ),
    (
        "vlan add vm1 4095",
        USAGE,
        &["\"4095\" is no VLAN", "1 to 4094"],
    ),
    ("vlan add vm1 0", USAGE, &["\"0\" is no VLAN", "1 to 4094"]),
    ("vlan del nobody 5", NOT_FOUND, &["nobody", "known:"]),
    (
        "fdb add 01:00:5e:00:00:01 vm1 --vlan 100",
        FAILED,
        &["01:00:5e:00:00:01", "help:"],
    ),
    (
        "fdb add 02:00:00:00:00:01 nobody",
        NOT_FOUND,
        &["nobody", "known:"],
    ),
    (
        "fdb del 02:00:00:00:00:01 --bridge br0 --vlan 100",
        NOT_FOUND,
        &["02:00:00:00:00:01"],
    ),
    (
        "trace nobody ffffffffffff02000000000188b5",
        NOT_FOUND,
        &["nobody", "known:"],
    ),
    ("drops nobody", NOT_FOUND, &["nobody", "known:"]),
    (
        "port set vm1 --vlan 200 --expect-generation 9",
        CONFLICT,
        &["generation 1", "help:"],
    ),
    (
        "api call io.vswitch.Switch.GetSate",
        FAILED,
        &["GetSate", "did you mean"],
    ),
    (
        "api call io.vswitch.Switsch.GetState",
        FAILED,
        &["io.vswitch.Switsch", "help:"],
    ),
    (
        "daemon log set vswitchd=lodu",
        USAGE,
        &["level", "use trace, debug"],
    ),
    ("bridge rename br1", USAGE, &["rename", "help:"]),
    ("add-br br1", USAGE, &["vswctl bridge add br1"]),
];

#[test]
fn each_bad_command_is_told_on_one_screen_and_changes_nothing() {
    let daemon = Daemon::start();
    let before = daemon.config();
    let mut wrong = Vec::new();
    for (line, code, said) in BAD {
        let words: Vec<&str> = line.split(' ').collect();
        let told = daemon.vswctl(&words);
        let lines = told.err.lines().count();
        let says = said.iter().all(|part| told.err.contains(part));
        if told.code != *code
            || !says
            || lines > 24
            || !told.out.is_empty()
            || !told.err.starts_with("error: ")
        {
            wrong.push(format!(
                "vswctl {line}: {}, wanted {code} and {said:?}\n{}{}",
                told.code, told.err, told.out
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(daemon.config(), before, "nothing has changed");
    assert_eq!(daemon.call("Switch.GetHealth", json!({}))["health"], "ok");
}

/// With `--json` the error is an object for programs, with the daemon's own parameters.
#[test]
fn errors_are_objects_with_json() {
    let daemon = Daemon::start();
    let told = daemon.vswctl(&["--json", "port", "set", "vm11", "vlan=5"]);
    let error: Value = serde_json::from_str(&told.err).expect("JSON");
    assert_eq!(
        (&error["error"], &error["exitCode"]),
        (&json!("io.vswitch.Switch.NotFound"), &json!(NOT_FOUND))
    );
    assert_eq!(
        error["parameters"]["known"],
        json!(["router", "vm1", "vm2"])
    );
}

#[test]
fn no_daemon_is_told_with_what_to_do() {
    let folder = Scratch::new();
    let told = ran(ctl(&binary("vswctl"), &folder.join("sock")).arg("status"));
    assert_eq!(told.code, UNREACHABLE);
    for part in ["not running", "help:", "--socket"] {
        assert!(told.err.contains(part), "{}", told.err);
    }
    let mut daemon = Daemon::start();
    daemon.signal("KILL");
    daemon.wait();
    let told = daemon.vswctl(&["status"]);
    assert_eq!(told.code, UNREACHABLE, "{}", told.err);
    assert!(told.err.contains("has ended"), "{}", told.err);
}

/// What the socket answers to calls that a client should not make: typed, with the parameter's name.
#[test]
fn calls_that_are_no_calls_of_ours_are_answered_with_typed_errors() {
    let daemon = Daemon::start();
    let wrong =
        |method: &str, parameters: Value| daemon.try_call(method, parameters).expect_err("refused");
    let parameter = |error: &ApiError| match error {
        ApiError::InvalidParameter { parameter, .. } => parameter.clone(),
        error => panic!("{error:?}"),
    };
    let error = wrong("io.vswitch.Switch.GetState", json!({"brige": "br0"}));
    assert_eq!(parameter(&error), "brige");
    assert!(
        error.hint().is_some_and(|hint| hint.contains("bridge")),
        "{error:?}"
    );
    let error = wrong(
        "io.vswitch.Switch.AddVlan",
        json!({"port": "vm1", "first": "5"}),
    );
    assert_eq!(parameter(&error), "first");
    let error = wrong(
        "io.vswitch.Switch.AddVlan",
        json!({"port": "vm1", "first": 70_000}),
    );
    assert_eq!(parameter(&error), "first");
    let error = wrong("io.vswitch.Switch.AddVlan", json!({"port": "vm1"}));
    assert_eq!(parameter(&error), "first");
    let error = wrong(
        "io.vswitch.Switch.AddVlan",
        json!({"port": "vm1", "first": 9, "last": 5}),
    );
    assert_eq!(parameter(&error), "last");
    let error = wrong("io.vswitch.Switch.AddBridge", json!([1]));
    assert_eq!(parameter(&error), "parameters");
    let error = wrong("io.vswitch.Switch.Nothing", json!({}));
    assert!(
        matches!(&error, ApiError::MethodNotFound { method, .. } if method == "io.vswitch.Switch.Nothing")
    );
    let error = wrong("io.example.Thing.Do", json!({}));
    assert!(
        matches!(&error, ApiError::InterfaceNotFound { interface } if interface == "io.example.Thing")
    );
    let error = wrong(
        "org.varlink.service.GetInterfaceDescription",
        json!({"interface": "io.vswitch.Nope"}),
    );
    assert!(
        matches!(&error, ApiError::InterfaceNotFound { interface } if interface == "io.vswitch.Nope")
    );
    let error = wrong("nothing", json!({}));
    assert!(
        matches!(&error, ApiError::MethodNotFound { hint: Some(_), .. }),
        "{error:?}"
    );
    let many =
        json!({"config": {"kind": "mem", "bridge": "br9", "vlan": 0, "mtu": 1}, "name": "p"});
    let ApiError::InvalidConfig { errors } = wrong("io.vswitch.Switch.AddPort", many) else {
        panic!("all that is wrong");
    };
    let mut paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        ["port.p.bridge", "port.p.mtu", "port.p.vlan"],
        "all of it"
    );
}
