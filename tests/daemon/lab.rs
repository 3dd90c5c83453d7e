//! A real `vswitchd` of one test: private folder, socket and state, ports of memory, ended with the test.
//!
//! The clock stands from the start, so that nothing happens by time unless the test says so. Reached by
//! the client of `vswitch-api`, by bytes on the socket, and by the real `vswctl`.

use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vswitch_api::ApiError;
use vswitch_api::client::{Client, ClientError, Replies};
use vswitch_api::request::Method;
use vswitch_api::types::PortCounters;
use vswitch_tests::hex;

/// Longer than anything here takes, also on a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Two bridges: `br0` with three ports of memory, and `mgmt`, which only the file may change.
pub(crate) const CONFIG: &str = r#"
[bridge.br0]

[bridge.mgmt]
protected = true

[port.router]
bridge = "br0"
kind = "mem"
native_vlan = 1
trunk = [100, "200-299"]

[port.vm1]
bridge = "br0"
kind = "mem"
vlan = 100

[port.vm2]
bridge = "br0"
kind = "mem"
vlan = 100
"#;

/// A program of ours, built beside this test.
pub(crate) fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("the test's own path");
    // target/PROFILE/deps/test -> target/PROFILE/NAME
    let folder = own.parent().and_then(Path::parent);
    let path = folder.expect("a target folder").join(name);
    assert!(
        path.exists(),
        "no {}: cargo build -p {name}",
        path.display()
    );
    path
}

/// Whether another user can be tried; else it is said where the harness does not hide it.
pub(crate) fn can_be_others(what: &str) -> bool {
    let root =
        fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if !root {
        let _told = writeln!(
            std::io::stderr(),
            "SKIPPED: {what}: only root can be another user"
        );
    }
    root
}

/// Tries until it holds.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A folder of one test that other users may enter; removed with it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vswitch-daemon-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a folder of the test");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        Self(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and gives its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, text).expect("a file of the test");
        path
    }

    /// `vswitchd` with everything it touches in this folder.
    pub(crate) fn vswitchd(&self) -> Command {
        let mut command = Command::new(binary("vswitchd"));
        command.arg("--socket").arg(self.join("sock"));
        command.arg("--state-dir").arg(self.join("state"));
        command.stdin(Stdio::null());
        command
    }

    /// The same where at most `files` descriptors may be open unless it asks for more.
    pub(crate) fn vswitchd_with_open_files(&self, files: u32) -> Command {
        let plain = self.vswitchd();
        let mut command = Command::new("sh");
        let line = format!("ulimit -S -n {files} && exec \"$0\" \"$@\"");
        command.arg("-c").arg(line).arg(plain.get_program());
        command.args(plain.get_args()).stdin(Stdio::null());
        command
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _removed = fs::remove_dir_all(&self.0);
    }
}

/// What a command printed and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command to its end.
///
/// # Panics
/// When it does not end within [`PATIENCE`]: a daemon that should not have started.
pub(crate) fn ran(command: &mut Command) -> Ran {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program");
    let out = child.stdout.take().map(collect);
    let err = child.stderr.take().map(collect);
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("its status") {
            break Some(status);
        }
        if begun.elapsed() > PATIENCE {
            let _killed = child.kill();
            let _reaped = child.wait();
            break None;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = |from: Option<JoinHandle<String>>| from.and_then(|t| t.join().ok());
    let (out, err) = (text(out).unwrap_or_default(), text(err).unwrap_or_default());
    let status = status.unwrap_or_else(|| panic!("{command:?} does not end:\n{out}{err}"));
    Ran {
        code: status.code().unwrap_or(-1),
        out,
        err,
    }
}

/// Reads all that comes, so that nothing waits for us to read.
fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _read = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A running `vswitchd`.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) folder: Scratch,
    child: Option<Child>,
}

impl Daemon {
    /// One with [`CONFIG`].
    pub(crate) fn start() -> Self {
        Self::with(CONFIG)
    }

    /// One with this configuration file, and its clock stopped.
    pub(crate) fn with(config: &str) -> Self {
        let daemon = Self::with_args(config, &["--enable-mem-ports"]);
        daemon.warp(0);
        daemon
    }

    /// One whose clock runs.
    pub(crate) fn with_args(config: &str, args: &[&str]) -> Self {
        let folder = Scratch::new();
        folder.write("vswitch.toml", config);
        let mut daemon = Self {
            folder,
            child: None,
        };
        daemon.run(args);
        daemon
    }

    /// One without objects that starts with so few descriptors.
    pub(crate) fn with_open_files(files: u32) -> Self {
        let folder = Scratch::new();
        folder.write("vswitch.toml", "");
        let command = folder.vswitchd_with_open_files(files);
        let mut daemon = Self {
            folder,
            child: None,
        };
        daemon.run_command(command, &[]);
        daemon
    }

    /// Starts the program, as at first or again.
    pub(crate) fn run(&mut self, args: &[&str]) {
        self.run_command(self.folder.vswitchd(), args);
    }

    fn run_command(&mut self, mut command: Command, args: &[&str]) {
        let log = fs::File::create(self.folder.join("log")).expect("a log");
        command
            .arg("--config")
            .arg(self.folder.join("vswitch.toml"))
            .args(args);
        let child = command.stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.expect("vswitchd"));
        eventually("the daemon answers and its ports are open", || {
            let ended = self.child.as_mut().expect("started").try_wait();
            assert!(
                matches!(ended, Ok(None)),
                "the daemon ended: {ended:?}\n{}",
                self.log()
            );
            let Ok(mut client) = Client::connect(&self.socket(), PATIENCE) else {
                return false;
            };
            let health = client.call_raw("io.vswitch.Switch.GetHealth", json!({}));
            let health = health.expect("its health");
            health["portsUp"] == health["ports"]
        });
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("sock")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running daemon").id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.pid())])
            .status();
        assert!(kill.expect("sh").success(), "the daemon is there");
    }

    /// Waits for the end of the program.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running daemon");
        let mut status = None;
        eventually("the daemon ends", || {
            status = child.try_wait().expect("its status");
            status.is_some()
        });
        status.expect("waited for")
    }

    /// A connection of the client of `vswitch-api`.
    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket(), PATIENCE).expect("a connection")
    }

    /// A call with several replies; each is waited for at most [`PATIENCE`].
    pub(crate) fn follow<'c, M: Method>(client: &'c mut Client, method: &M) -> Follow<'c, M> {
        Follow(client.call_more(method).expect("a stream"))
    }

    /// A connection for bytes.
    pub(crate) fn stream(&self) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    /// Calls a method on a connection of its own.
    pub(crate) fn try_call(&self, method: &str, parameters: Value) -> Result<Value, ApiError> {
        match self.client().call_raw(method, parameters) {
            Ok(reply) => Ok(reply),
            Err(ClientError::Refused(error)) => Err(error),
            Err(error) => panic!("{method}: {error}\n{}", self.log()),
        }
    }

    /// Calls a method of `io.vswitch` that succeeds.
    pub(crate) fn call(&self, method: &str, parameters: Value) -> Value {
        let shown = parameters.to_string();
        self.try_call(&format!("io.vswitch.{method}"), parameters)
            .unwrap_or_else(|error| panic!("{method} {shown}: {error:?}"))
    }

    /// Calls a method of `io.vswitch` that is refused.
    pub(crate) fn refused(&self, method: &str, parameters: Value) -> ApiError {
        let shown = parameters.to_string();
        match self.try_call(&format!("io.vswitch.{method}"), parameters) {
            Ok(reply) => panic!("{method} {shown} succeeded: {reply}"),
            Err(error) => error,
        }
    }

    /// The real `vswctl`.
    pub(crate) fn vswctl(&self, words: &[&str]) -> Ran {
        ran(ctl(&binary("vswctl"), &self.socket()).args(words))
    }

    /// `vswctl` of a line of words, which succeeds; what it printed.
    pub(crate) fn ctl(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let done = self.vswctl(&words);
        assert_eq!(done.code, 0, "vswctl {line}: {}{}", done.out, done.err);
        done.out
    }

    /// Sets the clock forward.
    pub(crate) fn warp(&self, milliseconds: u64) {
        self.call("Debug.WarpClock", json!({ "milliseconds": milliseconds }));
    }

    /// Sets the clock forward as it would have passed: a second at a time.
    pub(crate) fn pass(&self, seconds: u64) {
        let mut client = self.client();
        for _ in 0..seconds {
            let second = json!({ "milliseconds": 1000 });
            client
                .call_raw("io.vswitch.Debug.WarpClock", second)
                .expect("the clock");
        }
    }

    /// A frame comes in by a port; all is done with it when this returns.
    pub(crate) fn put(&self, port: &str, frame: &[u8]) {
        self.put_all(port, &[frame.to_vec()]);
    }

    /// Several do.
    pub(crate) fn put_all(&self, port: &str, frames: &[Vec<u8>]) {
        let frames: Vec<String> = frames.iter().map(|frame| hex::encode(frame)).collect();
        self.call("Debug.PutFrames", json!({ "port": port, "frames": frames }));
    }

    /// What left by a port since the last look.
    pub(crate) fn take(&self, port: &str) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let reply = self.call("Debug.TakeFrames", json!({ "port": port }));
            let frames = reply["frames"].as_array().expect("frames");
            if frames.is_empty() {
                return all;
            }
            let bytes = |frame: &Value| hex::decode(frame.as_str()?);
            all.extend(frames.iter().map(|frame| bytes(frame).expect("hex")));
        }
    }

    /// The ports, among these, that something left by since the last look.
    pub(crate) fn reached<'p>(&self, ports: &[&'p str]) -> Vec<&'p str> {
        let left = |port: &&&str| !self.take(port).is_empty();
        ports.iter().filter(left).copied().collect()
    }

    /// The counters of a port.
    pub(crate) fn counters(&self, port: &str) -> PortCounters {
        let mut reply = self.call("Stats.Ports", json!({ "port": port }));
        serde_json::from_value(reply["ports"][0].take()).expect("counters")
    }

    /// N-17: at each port frames in = forwarded + drops + punts.
    pub(crate) fn assert_conserved(&self) {
        let mut reply = self.call("Stats.Ports", json!({}));
        let ports: Vec<PortCounters> =
            serde_json::from_value(reply["ports"].take()).expect("counters");
        for port in ports {
            let drops = port.drops.iter();
            let dropped: u64 = drops
                .filter(|drop| drop.direction == vswitch_api::types::FrameDirection::In)
                .map(|drop| drop.frames)
                .sum();
            let accounted = port.frames_forwarded + port.frames_punted + dropped;
            assert_eq!(port.frames_in, accounted, "{port:?}");
        }
    }

    /// What runs, to see that a refused change changed nothing.
    pub(crate) fn config(&self) -> Value {
        self.call("Switch.GetConfig", json!({}))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _killed = child.kill();
            let _reaped = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("log of the daemon:\n{}", self.log());
        }
    }
}

/// The replies of a stream.
#[derive(Debug)]
pub(crate) struct Follow<'c, M>(Replies<'c, M>);

impl<M: Method> Iterator for Follow<'_, M> {
    type Item = Result<M::Reply, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.set_wait(Some(PATIENCE));
        self.0.next()
    }
}

/// `vswctl` for a socket, with nothing of the tester's environment.
pub(crate) fn ctl(program: &Path, socket: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_remove("VSWITCH_SOCKET").env("LC_ALL", "C");
    command.arg("--socket").arg(socket).stdin(Stdio::null());
    command
}
