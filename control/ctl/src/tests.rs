//! Every command in one process, with answers of fixed reply types in the daemon's place.
//!
//! What a command prints is compared with `tests/golden/commands/<noun>.txt`; `UPDATE=1`
//! writes them anew, to be reviewed as a diff.

mod replies;
mod terminal;

use std::cell::RefCell;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;

use crate::{ClientError, Exit, Link, World, run};

/// What was asked of the daemon: methods and parameters.
pub(crate) type Calls = Rc<RefCell<Vec<(String, Value)>>>;

/// Answers every method from [`replies`].
struct Canned(Calls);

impl Link for Canned {
    fn call(&mut self, method: &str, parameters: Value) -> Result<Value, ClientError> {
        self.0
            .borrow_mut()
            .push((method.to_owned(), parameters.clone()));
        let mut answers = replies::answer(method, &parameters).map_err(ClientError::Refused)?;
        Ok(answers.remove(0))
    }

    fn stream(
        &mut self,
        method: &str,
        parameters: Value,
        each: &mut dyn FnMut(Value) -> bool,
    ) -> Result<(), ClientError> {
        self.0
            .borrow_mut()
            .push((method.to_owned(), parameters.clone()));
        for answer in replies::answer(method, &parameters).map_err(ClientError::Refused)? {
            if !each(answer) {
                break;
            }
        }
        Ok(())
    }
}

/// What a command line did.
pub(crate) struct Ran {
    pub(crate) exit: Exit,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
    pub(crate) calls: Vec<(String, Value)>,
}

impl Ran {
    fn text(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }
}

/// Splits as a shell does, single quotes only.
fn split(line: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    let mut word = None;
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_with(String::new);
            }
            ' ' if !quoted => words.extend(word.take()),
            c => word.get_or_insert_with(String::new).push(c),
        }
    }
    words.extend(word);
    words.into_iter().map(OsString::from).collect()
}

/// Runs one line.
pub(crate) fn vswctl(line: &str) -> Ran {
    let calls = Calls::default();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let shared = Rc::clone(&calls);
    let connect =
        move |_: &Path, _: Duration| Ok(Box::new(Canned(Rc::clone(&shared))) as Box<dyn Link>);
    let mut world = World {
        out: &mut out,
        err: &mut err,
        terminal: false,
        color_wanted: false,
        utf8: false,
        connect: &connect,
    };
    let words = std::iter::once("vswctl".into()).chain(split(line));
    let exit = run(words, &mut world);
    let calls = calls.borrow().clone();
    Ran {
        exit,
        out,
        err: String::from_utf8(err).unwrap(),
        calls,
    }
}

/// Compares what the lines print with the golden of a noun.
fn golden(noun: &str, lines: &[&str]) {
    let mut text = String::new();
    for line in lines {
        replies::clock::reset();
        let ran = vswctl(line);
        let code = ran.exit.code();
        let exit = if code == 0 {
            String::new()
        } else {
            format!("[exit code {code}]\n")
        };
        text.push_str(&format!(
            "$ vswctl {line}\n{}{}{exit}\n",
            ran.text(),
            ran.err
        ));
    }
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/commands/{noun}.txt"));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (ours, theirs)) in text.lines().zip(wanted.lines()).enumerate() {
        assert_eq!(ours, theirs, "{}:{}", path.display(), number + 1);
    }
    assert_eq!(
        text.len(),
        wanted.len(),
        "{} ends otherwise",
        path.display()
    );
}

#[test]
fn status() {
    golden(
        "status",
        &[
            "status",
            "status -j",
            "status -o jsonl",
            "status -q",
            "status -o name",
        ],
    );
}

#[test]
fn show() {
    golden(
        "show",
        &[
            "show",
            "show mgmt-br",
            "show mgmt-bro",
            "show mgmt-bro -j",
            "show mgmt-bro -q",
            "show mgmt-br -o name",
        ],
    );
}

#[test]
fn bridge() {
    golden(
        "bridge",
        &[
            "bridge list",
            "bridge list -o wide",
            "bridge list -o name",
            "bridge list --no-headers --columns name,fdb --sort fdb",
            "bridge list --columns nam",
            "bridge show mgmt-br",
            "bridge add new-br --uplink eth9 --mtu 9000 vlan-stats=on",
            "bridge add new-br ageing=300s mtu=1500 fdb-max=100",
            "bridge add new-br --dry-run -j",
            "bridge set mgmt-br --ageing 60s",
            "bridge set mgmt-br",
            "bridge set mgmt-br mtu",
            "bridge del mgmt-br --cascade",
            "br ls",
            "bridge",
        ],
    );
}

#[test]
fn port() {
    golden(
        "port",
        &[
            "port list",
            "port list -o wide",
            "port list --bridge mgmt-br -o jsonl",
            "port show vm-db",
            "port show",
            "port add vm2 --bridge mgmt-br --kind tap --vlan 100",
            "port add vm2 --bridge mgmt-bro --kind tap",
            "port add vm2 --bridge mgmt-br --vlan 5000",
            "port set vm-db --trunk 100,200-299 --native-vlan 1",
            "port set vm-db",
            "port del vm-bd",
            "port up vm-db",
            "port down vm-db --expect-generation 41",
            "port stats",
            "port stats vm-db",
            "port stats vm-db -j",
        ],
    );
}

#[test]
fn attachments() {
    golden(
        "attachment",
        &[
            "attachment list",
            "attachment ls -o wide",
            "attachment list --network vlan100 -j",
            "attachment list -o name",
            "attach vlan100/9c/net1 --bridge mgmt-br --device veth9 --vlan 100 isolated=on",
            "attach vlan100/3f2a/net1 --bridge mgmt-br --device pod0",
            "attach vlan100/9c/net1 --bridge mgmt-bro --device veth9",
            "attach vlan100/9c --bridge mgmt-br --device veth9",
            "attach vlan100/9c/net1 --bridge mgmt-br --device veth9 --vlan 5000",
            "attachment check vlan100/3f2a/net1",
            "attachment check vlan100/77aa/net1",
            "detach vlan100/77aa/net1",
            "detach vlan100/9c/net1",
            "detach vlan100/9c/net1 --if-exists",
            "attachment gc vlan100",
            "attachment gc vlan100 3f2a/net1",
            "attachment gc vlan100 3f2a",
        ],
    );
}

#[test]
fn bond_and_lacp() {
    golden(
        "bond",
        &[
            "bond list",
            "bond list -o wide",
            "bond ls -o name",
            "bond show",
            "bond show mgmt-bo -o wide",
            "bond show mgmt-b",
            "bond show mgmt-bo -j",
            "bond show --proc",
            "bond add new-bo --bridge mgmt-br --mode 802.3ad --members eth5,eth6 lacp-rate=fast prio=eth5:7",
            "bond add new-bo --bridge mgmt-br --members eth5 -n",
            "bond set mgmt-bo --mode 1 updelay=",
            "bond set mgmt-bo",
            "bond set mgmt-bo prio=eth0",
            "bond del mgmt-bo",
            "bond add-member mgmt-bo eth7",
            "bond del-member mgmt-bo ens1f1 --expect-generation 41",
            "bond set-active mgmt-bo ens1f1",
            "bond set-active mgmt-bo",
            "bond hash oob-bo ipv4 udp dport 53",
            "bond hash mgmt-bo arp who-has 1.2.3.4",
            "bond",
        ],
    );
    golden(
        "lacp",
        &[
            "lacp show",
            "lacp show oob-bo -o wide",
            "lacp show --stats",
            "lacp show oob-bo -o name",
            "lacp show mgmt-bo",
            "lacp show oob-b",
        ],
    );
}

#[test]
fn vlan() {
    golden(
        "vlan",
        &[
            "vlan show",
            "vlan show dev ens1f0",
            "vlan show ens1f0 --layout legacy",
            "-c vlan show dev ens1f0 --layout legacy",
            "vlan show -compressvlans ens1f0",
            "vlan show vid 205",
            "vlan show dev ens1f0 -compressvlans -j",
            "vlan show ens1f0 -c",
            "vlan add vm-db 300",
            "vlan add dev vm-db vid 100 pvid untagged",
            "vlan add vm-db 1,200-299 -n",
            "vlan add vm-db 0",
            "vlan add vm-db",
            "vlan del vm-bd 100",
            "vlan del vid 100 dev vm-db",
            "vlan stats",
            "vlan stats vm-web",
        ],
    );
}

#[test]
fn fdb() {
    golden(
        "fdb",
        &[
            "fdb show",
            "fdb show mgmt-br -o wide",
            "fdb show br mgmt-br dev vm-db vlan 100",
            "fdb show -j",
            "fdb show --iproute2",
            "fdb show --iproute2 -o jsonl",
            "fdb show --vlan 4095",
            "fdb show --mac zz",
            "fdb add 52:54:00:00:00:09 vm-db vlan 100",
            "fdb add 52:54:00:00:00:09",
            "fdb del 52:54:00:9a:11:02 vlan 100",
            "fdb del 52:54:00:9a:11:99",
            "fdb flush",
            "fdb flush mgmt-br --port vm-db",
            "fdb flush --all",
            "fdb watch",
            "fdb watch --present mgmt-br",
            "fdb watch -j",
        ],
    );
}

#[test]
fn trace() {
    golden(
        "trace",
        &[
            "trace vm-db 'dst ff:ff:ff:ff:ff:ff arp who-has 10.100.0.1'",
            "trace vm-db dst ff:ff:ff:ff:ff:ff vlan 300 arp who-has 10.100.0.1",
            "trace vm-db 'dts ff:ff:ff:ff:ff:ff'",
            "trace vm-db 012",
            "trace vm-db",
            "trace vm-bd arp who-has 1.2.3.4",
        ],
    );
}

#[test]
fn drops_and_monitor() {
    golden(
        "drops",
        &["drops", "drops vm-db --reason tx-full -j", "drops nothing"],
    );
    golden(
        "monitor",
        &["monitor", "monitor port-down -c 1", "monitor -j"],
    );
}

#[test]
fn capture() {
    golden(
        "capture",
        &[
            "capture vm-db",
            "capture vm-db --drops -c 1",
            "capture any -j",
            "capture vm-db --snaplen 13",
        ],
    );
    let ran = vswctl("capture vm-db -w -");
    assert_eq!(ran.exit, Exit::Done);
    assert_eq!(ran.out[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    assert_eq!(ran.err, "3 frames were lost: this reader is too slow\n");
}

#[test]
fn config_and_daemon() {
    golden(
        "config",
        &[
            "config show",
            "config show --saved -j",
            "config show --all",
            "config check /nonexistent/vswitch.toml",
        ],
    );
    golden(
        "daemon",
        &[
            "daemon info",
            "daemon info -o wide",
            "daemon info -o jsonl",
            "daemon log",
            "daemon log set debug",
            "daemon log -j",
        ],
    );
}

/// O-08: the load of threads and ports, once and again.
#[test]
fn top() {
    golden(
        "top",
        &[
            "top --once",
            "top -n 2 --interval 1 --columns port,in/s",
            "top -c 1 --json",
            "top --once -c 1",
            "top -c 0",
        ],
    );
}

#[test]
fn errors() {
    golden(
        "errors",
        &[
            "",
            "statsu",
            "bridge lsit",
            "bridge list --joson",
            "port list extra",
            "show -o yaml",
            "port del busy",
            "port del protected",
            "port del conflict",
            "port del denied",
            "port del wrong",
            "port del broken",
            "port del strange",
            "port del stale",
            "port del stale -j",
            "port del denied --json",
        ],
    );
}

/// What a change asks of the daemon.
#[test]
fn commands_become_requests() {
    use serde_json::json;
    for (line, method, parameters) in [
        (
            "port up vm-db",
            "SetPort",
            json!({"name": "vm-db", "config": {"enabled": true}}),
        ),
        (
            "port down vm-db -n",
            "SetPort",
            json!({"name": "vm-db", "config": {"enabled": false}, "dryRun": true}),
        ),
        (
            "bridge add b --may-exist",
            "AddBridge",
            json!({"name": "b", "config": {}, "mayExist": true}),
        ),
        (
            "bridge del b --if-exists",
            "DelBridge",
            json!({"name": "b", "ifExists": true}),
        ),
        (
            "port add vm9 -b b -k tap --trunk 5,7-9 --native-vlan 1 --isolated mtu=1400",
            "AddPort",
            json!({"name": "vm9", "config": {"bridge": "b", "kind": "tap", "trunk": [5, "7-9"], "native_vlan": 1, "isolated": true, "mtu": 1400}}),
        ),
        (
            "vlan add vm-db 7 untagged",
            "AddVlan",
            json!({"port": "vm-db", "first": 7, "untagged": true}),
        ),
        (
            "vlan add vm-db 7-9",
            "AddVlan",
            json!({"port": "vm-db", "first": 7, "last": 9}),
        ),
        (
            "vlan del dev vm-db vid 7",
            "DelVlan",
            json!({"port": "vm-db", "first": 7}),
        ),
        (
            "port del vm-db --expect-generation 41",
            "DelPort",
            json!({"name": "vm-db", "expectGeneration": 41}),
        ),
    ] {
        let ran = vswctl(line);
        assert_eq!(ran.exit, Exit::Done, "{line}: {}", ran.err);
        assert_eq!(
            ran.calls.last().unwrap(),
            &(format!("io.vswitch.Switch.{method}"), parameters),
            "{line}"
        );
    }
    let ran = vswctl("trace vm-db --vlan 7 --pcp 3 0123");
    assert_eq!(
        ran.calls[0].1,
        json!({"port": "vm-db", "frameHex": "0123", "vlan": 7, "pcp": 3})
    );
    let ran = vswctl("capture any --dir out --drops --snaplen 64 -c 1");
    assert_eq!(
        ran.calls[0].1,
        json!({"direction": "out", "snaplen": 64, "drops": true, "limit": 1})
    );
}

/// A set of several ranges is several changes, each based on the one before.
#[test]
fn ranges_follow_each_other() {
    let ran = vswctl("vlan add vm-db 1,5-7,9");
    let generations: Vec<Value> = ran
        .calls
        .iter()
        .map(|(_, parameters)| parameters["expectGeneration"].clone())
        .collect();
    assert_eq!(generations, [Value::Null, 43.into(), 43.into()]);
}

#[test]
fn completions_and_pages_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = vswctl(&format!("completion {shell}")).text();
        for word in ["status", "compressvlans", "snaplen", "flush"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let page = vswctl("man").text();
    assert!(
        page.contains(".TH")
            && page.contains("Exit codes")
            && page.contains("daemon is unreachable"),
        "{page}"
    );
    for noun in [
        "status",
        "show",
        "bridge",
        "port",
        "vlan",
        "fdb",
        "trace",
        "drops",
        "top",
        "monitor",
        "capture",
        "config",
        "daemon",
        "api",
        "completion",
    ] {
        assert!(
            vswctl(&format!("man {noun}")).text().contains("SYNOPSIS"),
            "{noun}"
        );
    }
    assert_eq!(vswctl("man nuon").exit, Exit::NotFound);
}

#[test]
fn help_tells_the_exit_codes() {
    let ran = vswctl("--help");
    assert_eq!(ran.exit, Exit::Done);
    for code in [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Unreachable,
        Exit::NotFound,
        Exit::Permission,
        Exit::Conflict,
        Exit::Degraded,
    ] {
        assert!(
            ran.text().contains(&format!("\n  {}  ", code.code())),
            "{code:?}"
        );
    }
}
