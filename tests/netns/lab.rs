//! Namespaces, switches and hosts of one test, removed when the test ends however it ends.
//!
//! Names carry the process id and a number, so tests and earlier runs do not meet. A host is a namespace
//! with one device; a switch is a `vswitchd` in a namespace of its own. All traffic stays among them.

use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Says loudly what is missing and fails: these tests must not pass by not running.
pub(crate) fn need_root() {
    assert!(
        rustix_is_root(),
        "the netns tier needs root for namespaces and devices: sudo scripts/ci.sh netns"
    );
}

fn rustix_is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

/// Runs a command and gives what it printed.
///
/// # Panics
/// When it fails, with everything it said.
pub(crate) fn run(line: &str) -> String {
    let output = sh(line);
    assert!(
        output.status.success(),
        "`{line}` failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command, whatever comes of it.
pub(crate) fn sh(line: &str) -> Output {
    Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .output()
        .expect("a shell")
}

/// Bytes of one TCP stream: 22,000 segments of MTU 1500.
const TCP_BYTES: u64 = 32 << 20;

/// What became of a stream.
#[derive(Debug)]
pub(crate) struct Tcp {
    /// Bytes that had arrived when the sender was done; some were still on their way.
    bytes: u64,
    /// Segments sent, without those sent again, as the sender's kernel counts them whatever offload
    /// carried them.
    segments: u64,
    /// Segments sent again.
    again: u64,
}

impl Tcp {
    /// Bytes that arrived.
    pub(crate) const fn arrived(&self) -> u64 {
        self.bytes
    }

    /// It got through, and at most one segment in fifty was sent again. A receiver whose queue runs
    /// over for a moment costs far less; a path that spoils or loses one kind of frame costs nearly
    /// all.
    pub(crate) const fn is_healthy(&self) -> bool {
        self.bytes > TCP_BYTES / 2 && self.again * 50 <= self.segments
    }
}

/// One test's playground.
pub(crate) struct Lab {
    prefix: String,
    folder: PathBuf,
    namespaces: Vec<String>,
}

impl Lab {
    /// An empty playground.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        need_root();
        let prefix = format!(
            "vt{}x{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(&prefix);
        fs::create_dir_all(&folder).expect("a folder for the test");
        Self {
            prefix,
            folder,
            namespaces: Vec::new(),
        }
    }

    /// A namespace; the name to use in commands.
    pub(crate) fn namespace(&mut self, name: &str) -> String {
        let full = format!("{}-{name}", self.prefix);
        self.namespaces.push(full.clone());
        run(&format!(
            "ip netns add {full} && ip -n {full} link set lo up"
        ));
        // Addresses are usable at once, and nobody looks for duplicates in our way.
        run(&format!(
            "ip netns exec {full} sysctl -qw net.ipv6.conf.default.accept_dad=0"
        ));
        full
    }

    /// The full name of a namespace made before.
    pub(crate) fn ns(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Two namespaces joined by a veth pair.
    pub(crate) fn veth(&self, ns_a: &str, dev_a: &str, ns_b: &str, dev_b: &str) {
        let (a, b) = (self.ns(ns_a), self.ns(ns_b));
        run(&format!(
            "ip link add {dev_a} netns {a} type veth peer name {dev_b} netns {b}"
        ));
    }

    /// A switch in `sw` that joins host `a` behind a veth, port `pa`, and host `b` behind a TAP, port `pb`;
    /// they reach each other. 10.0.0.1 and 10.0.0.2, MTU 1500.
    pub(crate) fn veth_and_tap(&mut self) -> Switch {
        for ns in ["sw", "a", "b"] {
            self.namespace(ns);
        }
        self.veth("sw", "pa", "a", "eth0");
        let b = self.ns("b");
        let switch = self.switch(
            "sw",
            &format!(
                "[bridge.br0]\n[port.pa]\nbridge = \"br0\"\nkind = \"nic\"\n\
                 [port.pb]\nbridge = \"br0\"\nkind = \"tap\"\nnetns = \"{b}\"\n"
            ),
        );
        self.address("a", "eth0", 1, 1500);
        self.address("b", "pb", 2, 1500);
        self.wait_ping("a", "10.0.0.2");
        switch
    }

    /// Gives a host's device its addresses: 10.0.0.N/24 and fd00::N/64.
    pub(crate) fn address(&self, host: &str, dev: &str, number: u8, mtu: u32) {
        let ns = self.ns(host);
        run(&format!(
            "ip -n {ns} link set {dev} mtu {mtu} && ip -n {ns} addr add 10.0.0.{number}/24 dev {dev} \
             && ip -n {ns} -6 addr add fd00::{number}/64 dev {dev} nodad && ip -n {ns} link set {dev} up"
        ));
    }

    /// Runs a command in a host; whether it succeeded.
    pub(crate) fn ok_in(&self, host: &str, line: &str) -> bool {
        sh(&format!("ip netns exec {} {line}", self.ns(host)))
            .status
            .success()
    }

    /// Waits until one host reaches the other.
    ///
    /// # Panics
    /// When none of fifteen requests was answered within its second.
    pub(crate) fn wait_ping(&self, host: &str, address: &str) {
        look(&format!("{host} reaches {address}"), 15, || {
            self.ok_in(host, &format!("ping -c 1 -W 1 {address}"))
        });
    }

    /// A file of this test, removed with it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// One TCP stream of [`TCP_BYTES`], or of what gets through in two minutes.
    ///
    /// # Panics
    /// When there is no connection.
    pub(crate) fn tcp(&self, client: &str, server: &str, address: &str) -> Tcp {
        self.tcp_of(client, server, address, &format!("-n {TCP_BYTES}"))
    }

    /// As [`Self::tcp`], one stream of what `iperf3` is told: `-t 5`, five seconds.
    pub(crate) fn tcp_of(&self, client: &str, server: &str, address: &str, amount: &str) -> Tcp {
        let server_line = format!(
            "ip netns exec {} timeout 120 iperf3 -s -1 -p 5201",
            self.ns(server)
        );
        let mut child = Command::new("sh")
            .args(["-c", &server_line])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("iperf3");
        let line = format!(
            "ip netns exec {} timeout 120 iperf3 -J -c {address} -p 5201 {amount}",
            self.ns(client)
        );
        let before = self.tcp_counts(client);
        let mut report = Value::Null;
        // The server needs a moment to listen.
        for _ in 0..50 {
            std::thread::sleep(Duration::from_millis(100));
            report = serde_json::from_slice(&sh(&line).stdout).unwrap_or(Value::Null);
            if report
                .get("end")
                .and_then(|end| end.get("sum_received"))
                .is_some()
            {
                break;
            }
        }
        let _ended = child.kill();
        let _reaped = child.wait();
        let bytes = report["end"]["sum_received"]["bytes"].as_u64();
        let after = self.tcp_counts(client);
        Tcp {
            bytes: bytes.unwrap_or_else(|| panic!("no TCP: {}", report["error"])),
            segments: after.segments - before.segments,
            again: after.again - before.again,
        }
    }

    /// Sends one frame, given in hexadecimal, by a device.
    pub(crate) fn send(&self, host: &str, dev: &str, frame: &str) {
        let code = format!(
            "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); \
             s.bind((\"{dev}\", 0)); s.send(bytes.fromhex(\"{frame}\"))"
        );
        run(&format!(
            "ip netns exec {} python3 -c '{code}'",
            self.ns(host)
        ));
    }

    /// tcpdump's line on the first frame of that filter that a device receives once `act` is done.
    ///
    /// # Panics
    /// When there is none.
    pub(crate) fn first_frame(
        &self,
        host: &str,
        dev: &str,
        filter: &str,
        act: impl Fn(),
    ) -> String {
        self.frames(host, dev, &["-c", "1", filter], act)
    }

    /// What tcpdump with those words, a number of frames among them, says of frames that a device receives once
    /// `act` is done.
    ///
    /// # Panics
    /// When there are not so many.
    pub(crate) fn frames(&self, host: &str, dev: &str, words: &[&str], act: impl Fn()) -> String {
        let log = self.file("first-frame.log");
        let child = Command::new("ip")
            .args(["netns", "exec", &self.ns(host), "timeout", "60", "tcpdump"])
            .args(["-i", dev, "-Q", "in", "-nn", "-e"])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("tcpdump");
        eventually("tcpdump listens", || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains("listening on"))
        });
        act();
        let output = child.wait_with_output().expect("its end");
        assert!(output.status.success(), "no frame of {words:?} on {dev}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What the kernel of a host counted of all its TCP so far.
    fn tcp_counts(&self, host: &str) -> Tcp {
        let text = run(&format!(
            "ip netns exec {} cat /proc/net/snmp",
            self.ns(host)
        ));
        let mut rows = text.lines().filter(|line| line.starts_with("Tcp:"));
        let mut row = || rows.next().expect("TCP counters").split_whitespace();
        let counts: HashMap<&str, &str> = row().zip(row()).collect();
        let count = |name: &str| counts[name].parse().expect("a number");
        Tcp {
            bytes: 0,
            segments: count("OutSegs"),
            again: count("RetransSegs"),
        }
    }

    /// Starts a switch in a namespace of that name, made before.
    pub(crate) fn switch(&self, name: &str, config: &str) -> Switch {
        let mut switch = Switch {
            ns: self.ns(name),
            folder: self.folder.join(name),
            child: None,
            enters_namespaces: true,
        };
        fs::create_dir_all(&switch.folder).expect("a folder for the switch");
        fs::write(switch.folder.join("vswitch.toml"), config).expect("its configuration");
        switch.start();
        switch
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for ns in &self.namespaces {
            sh(&format!("ip netns pids {ns} | xargs -r kill -9"));
            sh(&format!("ip netns del {ns}"));
        }
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// Looks 200 times, 50 ms apart, until it holds. Counted and not timed: a machine that stops for a
/// minute stops the switch as well.
///
/// # Panics
/// When it never did.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    look(what, 200, holds);
}

fn look(what: &str, times: u32, holds: impl Fn() -> bool) {
    for _ in 0..times {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{times} times it was not so: {what}");
}

/// A running `vswitchd`.
pub(crate) struct Switch {
    ns: String,
    folder: PathBuf,
    child: Option<Child>,
    /// Whether it keeps CAP_SYS_ADMIN when it is started again.
    pub(crate) enters_namespaces: bool,
}

impl Switch {
    fn binary() -> PathBuf {
        let folder = std::env::current_exe().expect("the test's own path");
        // target/PROFILE/deps/test -> target/PROFILE/vswitchd
        let path = folder
            .parent()
            .and_then(Path::parent)
            .expect("a target folder")
            .join("vswitchd");
        assert!(
            path.exists(),
            "no {}: cargo build -p vswitchd",
            path.display()
        );
        path
    }

    /// Starts it, as at first or again, and waits until all its devices are open.
    pub(crate) fn start(&mut self) {
        self.launch();
        // A veth end whose peer is still down lacks a carrier: a warning, not an error.
        eventually("the switch answers and all its devices are open", || {
            let health = self.try_call("io.vswitch.Switch.GetHealth", &json!({}));
            let problems = health
                .as_ref()
                .ok()
                .and_then(|h| h["parameters"]["problems"].as_array());
            problems.is_some_and(|all| all.iter().all(|p| p["severity"] == "warning"))
        });
    }

    /// Starts it where a device that it will miss has gone meanwhile, and waits until it answers.
    pub(crate) fn start_with_problems(&mut self) {
        self.launch();
        eventually("the switch answers", || {
            self.try_call("io.vswitch.Switch.GetHealth", &json!({}))
                .is_ok()
        });
    }

    fn launch(&mut self) {
        let log = fs::File::create(self.folder.join("log")).expect("a log");
        let child = Command::new("ip")
            .args(["netns", "exec", &self.ns])
            .args(match self.enters_namespaces {
                true => &["env"][..],
                false => &[
                    "setpriv",
                    "--bounding-set=-sys_admin",
                    "--inh-caps=-sys_admin",
                ],
            })
            .arg(Self::binary())
            .arg("--config")
            .arg(self.folder.join("vswitch.toml"))
            .arg("--socket")
            .arg(self.socket())
            .arg("--state-dir")
            .arg(self.folder.join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("vswitchd");
        self.child = Some(child);
    }

    /// Its control socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("sock")
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running switch").id()
    }

    /// Sends a signal, waits for the end; whether it ended with success. Before a TERM every frame must be
    /// accounted for.
    pub(crate) fn end(&mut self, signal: &str) -> bool {
        if signal == "TERM" {
            self.assert_conserved();
        }
        let mut child = self.child.take().expect("a running switch");
        run(&format!("kill -{signal} {}", child.id()));
        for _ in 0..750 {
            if let Some(status) = child.try_wait().expect("its status") {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _killed = child.kill();
        let _reaped = child.wait();
        panic!(
            "the switch did not end after SIG{signal}; its log:\n{}",
            self.log()
        );
    }

    fn try_call(&self, method: &str, parameters: &Value) -> io::Result<Value> {
        let mut stream = UnixStream::connect(self.socket())?;
        // Only so that a switch that never answers fails the test. 200 TAPs take their time.
        stream.set_read_timeout(Some(Duration::from_secs(300)))?;
        let call = json!({ "method": method, "parameters": parameters });
        stream.write_all(format!("{call}\0").as_bytes())?;
        // A stop and continue of this process interrupts a read; this one goes on.
        let mut bytes = Vec::new();
        io::BufReader::new(stream).read_until(0, &mut bytes)?;
        if bytes.pop() != Some(0) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Calls a method that succeeds; its parameters.
    ///
    /// # Panics
    /// When it answers with an error, or not at all.
    pub(crate) fn call(&self, method: &str, parameters: Value) -> Value {
        let reply = self
            .try_call(method, &parameters)
            .unwrap_or_else(|e| panic!("{method}: {e}; the switch's log:\n{}", self.log()));
        assert!(
            reply.get("error").is_none(),
            "{method} {parameters}: {reply}"
        );
        reply["parameters"].clone()
    }

    /// Calls a method that fails; the error and its parameters.
    ///
    /// # Panics
    /// When it succeeds.
    pub(crate) fn refused(&self, method: &str, parameters: Value) -> (String, Value) {
        let reply = self.try_call(method, &parameters).expect("an answer");
        let error = reply.get("error").and_then(Value::as_str);
        let error = error.unwrap_or_else(|| panic!("{method} {parameters} succeeded: {reply}"));
        (error.to_owned(), reply["parameters"].clone())
    }

    /// Frames dropped so far: a row for each port, reason and direction.
    pub(crate) fn drops(&self) -> Value {
        self.call("io.vswitch.Stats.Drops", json!({}))
    }

    /// Frames received by a port so far.
    pub(crate) fn frames_in(&self, port: &str) -> u64 {
        let reply = self.call("io.vswitch.Stats.Ports", json!({ "port": port }));
        reply["ports"][0]["framesIn"].as_u64().expect("a counter")
    }

    /// N-17: for each port frames in are accounted for, and copies made are copies sent or dropped.
    ///
    /// # Panics
    /// When a frame is unaccounted for.
    pub(crate) fn assert_conserved(&self) {
        // Frames in flight between two counters settle within a moment.
        eventually(
            "frames in = forwarded + drops + punts at every port",
            || {
                let reply = self.call("io.vswitch.Stats.Ports", json!({}));
                reply["ports"]
                    .as_array()
                    .expect("ports")
                    .iter()
                    .all(|port| {
                        let number = |key: &str| port[key].as_u64().unwrap_or(0);
                        let drops: u64 = port["drops"]
                            .as_array()
                            .expect("drops")
                            .iter()
                            .filter(|drop| drop["direction"] == "in")
                            .map(|drop| drop["frames"].as_u64().unwrap_or(0))
                            .sum();
                        number("framesIn")
                            == number("framesForwarded") + drops + number("framesPunted")
                    })
            },
        );
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        if self.child.is_some() && !std::thread::panicking() {
            self.assert_conserved();
        }
        if let Some(mut child) = self.child.take() {
            let _killed = child.kill();
            let _reaped = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("log of the switch:\n{}", self.log());
        }
    }
}
