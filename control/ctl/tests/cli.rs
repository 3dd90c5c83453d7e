//! The command as a process: exit codes, a daemon of the test on a real socket, a closed pipe.
//!
//! The daemon is a thread that speaks varlink with the codec of `vswitch-api`. Runs without
//! privileges; as root, "no permission" is tried as another user.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use vswitch_api::error::ApiError;
use vswitch_api::request::Request;
use vswitch_api::types::{
    CaptureReply, CapturedFrame, FdbEntry, FdbPage, Health, HealthReply, State, StateReply,
};
use vswitch_api::varlink::{Call, MessageReader, Reply, encode};

/// A directory of one test; removed when it goes away.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vswctl-cli-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A directory that stays behind in the temporary directory harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn vswctl(socket: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vswctl"));
    command
        .arg("--socket")
        .arg(socket)
        .args(words)
        .env_remove("VSWITCH_SOCKET")
        .env("LC_ALL", "C");
    command
}

/// A program that was just copied can be "busy" while another test's child still holds its
/// descriptor between fork and exec: a moment later it is not.
fn output(command: &mut Command) -> Output {
    for _ in 0..100 {
        match command.output() {
            Err(error) if error.kind() == std::io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            other => return other.unwrap(),
        }
    }
    command.output().unwrap()
}

fn run(mut command: Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = output(&mut command);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        status.code().expect("ended by itself"),
        text(stdout),
        text(stderr),
    )
}

/// What the daemon of a test does with a call.
enum Answer {
    Replies(Vec<Reply>),
    /// Bytes as they are, then hang up.
    Bytes(Vec<u8>),
}

/// A daemon that serves every connection until the test's process ends.
fn daemon(socket: &Path, answer: impl Fn(&Request) -> Answer + Send + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), &answer);
        }
    });
}

fn serve(mut stream: UnixStream, answer: &impl Fn(&Request) -> Answer) {
    let mut reader = MessageReader::default();
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        let mut input = &chunk[..count];
        while let Some(message) = reader.next_message(&mut input).unwrap() {
            let answer = match Call::parse(&message).unwrap().request() {
                Ok(request) => answer(&request),
                Err(error) => Answer::Replies(vec![Reply::error(&error)]),
            };
            // A client may leave before it has everything: that is its right.
            match answer {
                Answer::Replies(replies) => {
                    for reply in replies {
                        if stream.write_all(&encode(&reply).unwrap()).is_err() {
                            return;
                        }
                    }
                }
                Answer::Bytes(bytes) => {
                    let _ = stream.write_all(&bytes);
                    return;
                }
            }
        }
    }
}

fn one(reply: &impl serde::Serialize) -> Answer {
    Answer::Replies(vec![Reply::last(reply)])
}

#[test]
fn without_a_daemon_the_exit_code_is_3_and_says_where() {
    let scratch = Scratch::new();
    let socket = scratch.join("io.vswitch");
    let (code, out, err) = run(vswctl(&socket, &["status"]));
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(
        err.starts_with(&format!("error: there is no socket {}: ", socket.display())),
        "{err}"
    );
    assert!(
        err.contains("help: start it") && err.contains("vswitchd --config"),
        "{err}"
    );

    drop(UnixListener::bind(&socket).unwrap()); // The file stays, nobody listens.
    let (code, _, err) = run(vswctl(&socket, &["status"]));
    assert_eq!(code, 3);
    assert!(err.contains("error: nobody listens on"), "{err}");

    let (code, out, err) = run(vswctl(&socket, &["port", "list", "--json"]));
    assert_eq!((code, out.as_str()), (3, ""));
    let object: Value = serde_json::from_str(&err).unwrap();
    assert_eq!(object["error"], "vswctl.Unreachable");
    assert_eq!(object["exitCode"], 3);

    let (code, _, err) = run(vswctl(&socket, &["-q", "status"]));
    assert_eq!((code, err.lines().count()), (3, 1), "{err}");
}

#[test]
fn without_permission_the_exit_code_is_5_and_names_the_group() {
    let scratch = Scratch::new();
    let socket = scratch.join("io.vswitch");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o600)).unwrap();
    let mut command = vswctl(&socket, &["status"]);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        // Nobody may not read the build directory: the program goes where it may.
        let program = scratch.join("vswctl");
        fs::copy(env!("CARGO_BIN_EXE_vswctl"), &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let mut other = Command::new(program);
        other
            .args(command.get_args())
            .env("LC_ALL", "C")
            .current_dir("/")
            .uid(65_534)
            .gid(65_534);
        command = other;
    } else {
        fs::set_permissions(&socket, Permissions::from_mode(0o000)).unwrap();
    }
    let (code, _, err) = run(command);
    assert_eq!(code, 5, "{err}");
    assert!(
        err.contains("error: you may not open") && err.contains("usermod -aG vswitch"),
        "{err}"
    );
}

#[test]
fn the_daemons_answers_and_refusals_are_printed() {
    let scratch = Scratch::new();
    let socket = scratch.join("io.vswitch");
    daemon(&socket, |request| match request {
        Request::GetHealth(_) => one(&HealthReply {
            health: Health::Failed,
            ..HealthReply::default()
        }),
        Request::GetState(state) if state.bridge.is_none() => one(&StateReply {
            state: State {
                generation: 1,
                ..State::default()
            },
        }),
        Request::GetState(_) => Answer::Replies(vec![Reply::error(&ApiError::not_found(
            "bridge",
            "br1",
            ["br0"],
        ))]),
        Request::FdbList(_) => {
            let page = |mac: &str| FdbPage {
                entries: vec![FdbEntry {
                    mac: mac.to_owned(),
                    ..FdbEntry::default()
                }],
                truncated: false,
            };
            Answer::Replies(vec![
                Reply::continues(&page("02:00:00:00:00:01")),
                Reply::last(&page("02:00:00:00:00:02")),
            ])
        }
        _ => Answer::Replies(vec![Reply::error(&ApiError::permission(
            "uid 7 may not",
            "vswitch",
        ))]),
    });
    let (code, out, _) = run(vswctl(&socket, &["status"]));
    assert_eq!(code, 7);
    assert!(out.contains("FAILED"), "{out}");
    assert_eq!(
        run(vswctl(&socket, &["status", "-q"])),
        (7, String::new(), String::new())
    );
    let (code, out, _) = run(vswctl(&socket, &["show"]));
    assert_eq!(
        (code, out.as_str()),
        (0, "there is no bridge yet: vswctl bridge add NAME\n")
    );
    let (code, _, err) = run(vswctl(&socket, &["show", "br1"]));
    assert_eq!(code, 4);
    assert!(
        err.contains("did you mean \"br0\"?") && err.contains("show br0"),
        "{err}"
    );
    let (code, out, _) = run(vswctl(&socket, &["fdb", "show", "-o", "name"]));
    assert_eq!(
        (code, out.as_str()),
        (0, "02:00:00:00:00:01\n02:00:00:00:00:02\n")
    );
    let (code, _, err) = run(vswctl(&socket, &["bridge", "add", "b"]));
    assert_eq!(code, 5, "{err}");
    let (code, _, err) = run(vswctl(
        &socket,
        &["api", "call", "io.vswitch.Switch.GetStat"],
    ));
    assert_eq!(code, 1);
    assert!(
        err.contains("did you mean \"io.vswitch.Switch.GetState\"?"),
        "{err}"
    );
    let (code, out, _) = run(vswctl(
        &socket,
        &["api", "call", "io.vswitch.Switch.GetState"],
    ));
    assert_eq!(
        (
            code,
            serde_json::from_str::<Value>(&out).unwrap()["state"]["generation"].as_u64()
        ),
        (0, Some(1))
    );
    let mut by_environment = Command::new(env!("CARGO_BIN_EXE_vswctl"));
    by_environment.arg("show").env("VSWITCH_SOCKET", &socket);
    assert_eq!(run(by_environment).0, 0);
}

#[test]
fn a_daemon_that_talks_nonsense_or_hangs_up_is_unreachable() {
    let wrong: [(&[u8], &str); 6] = [
        (b"", "the connection broke"),
        (b"{\"parameters\":", "the connection broke"),
        (&[b'['; 100_000], "the connection broke"),
        (b"no json\0", "no vswitchd of this version"),
        (b"7\0", "no vswitchd of this version"),
        (
            b"{\"parameters\":{\"state\":7,\"entries\":7}}\0",
            "no vswitchd of this version",
        ),
    ];
    for (bytes, says) in wrong {
        let scratch = Scratch::new();
        let socket = scratch.join("io.vswitch");
        daemon(&socket, |_| Answer::Bytes(bytes.to_vec()));
        for words in [&["status"][..], &["monitor"], &["fdb", "show"]] {
            let (code, _, err) = run(vswctl(&socket, words));
            assert_eq!(code, 3, "{err}");
            assert!(err.contains(says) && err.contains("help: "), "{err}");
        }
    }
}

/// A daemon that took the call and says nothing.
#[test]
fn an_answer_is_not_waited_for_without_end() {
    let scratch = Scratch::new();
    let socket = scratch.join("io.vswitch");
    let _listener = UnixListener::bind(&socket).unwrap(); // Connections wait to be accepted.
    let (code, _, err) = run(vswctl(&socket, &["status", "--timeout", "1"]));
    assert_eq!(code, 3, "{err}");
    assert!(
        err.contains("no answer within 1 s") && err.contains("--timeout"),
        "{err}"
    );
}

#[test]
fn a_capture_is_written_to_a_file() {
    let scratch = Scratch::new();
    let socket = scratch.join("io.vswitch");
    daemon(&socket, |_| {
        let frame = CapturedFrame {
            time_ns: 1_795_442_531_000_000_000,
            port: "vm1".to_owned(),
            length: 14,
            frame_hex: "ffffffffffff02000000000188b5".to_owned(),
            ..CapturedFrame::default()
        };
        let frames = CaptureReply {
            frames: vec![frame; 3],
            lost: 0,
        };
        Answer::Replies(vec![
            Reply::continues(&CaptureReply::default()),
            Reply::continues(&frames),
        ])
    });
    let file = scratch.join("vm1.pcapng");
    let name = file.to_str().unwrap();
    let (code, out, err) = run(vswctl(&socket, &["capture", "vm1", "-w", name, "-c", "2"]));
    assert_eq!(
        (code, out.as_str(), err),
        (0, "", format!("2 frames in {name}\n"))
    );
    let bytes = fs::read(&file).unwrap();
    assert_eq!(bytes[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    let frame = [
        0xff_u8, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x88, 0xb5,
    ];
    assert_eq!(
        bytes.windows(14).filter(|window| *window == frame).count(),
        2
    );
    let (code, _, err) = run(vswctl(
        &socket,
        &["capture", "vm1", "-w", "/nonexistent/file"],
    ));
    assert_eq!(code, 4, "{err}");
}

#[test]
fn wrong_lines_are_exit_code_2_and_one_screen() {
    let nowhere = Path::new("/nonexistent");
    for words in [
        &["statsu"][..],
        &["bridge"],
        &["bridge", "add"],
        &["add-br", "x"],
        &["vlan", "add", "p", "0"],
        &["vlan", "add", "p", "4095"],
        &["vlan", "add", "p", "5000"],
        &["port", "add", "p", "--vlan", "5000"],
        &["trace", "p", "nonsense"],
        &["completion", "powershell"],
        &["--nonsense"],
        &["capture", "p", "--snaplen", "0"],
    ] {
        let (code, out, err) = run(vswctl(nowhere, words));
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {err}");
        assert!(
            err.starts_with("error: ") && err.contains("help: "),
            "{words:?}: {err}"
        );
        assert!(err.lines().count() <= 24, "{words:?}: {err}");
        let (code, _, err) = run(vswctl(nowhere, &[&["--json"], words].concat()));
        assert_eq!(code, 2);
        assert_eq!(
            serde_json::from_str::<Value>(&err).unwrap()["exitCode"],
            2,
            "{words:?}: {err}"
        );
    }
}

#[test]
fn a_configuration_is_checked_without_a_daemon() {
    let scratch = Scratch::new();
    let file = scratch.join("vswitch.toml");
    let check = || {
        run(vswctl(
            Path::new("/nonexistent"),
            &["config", "check", file.to_str().unwrap()],
        ))
    };
    fs::write(
        &file,
        "[bridge.br0]\n\n[port.vm1]\nbridge = \"br0\"\nkind = \"tap\"\nvlan = 100\n",
    )
    .unwrap();
    let (code, out, err) = check();
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.ends_with("vswitch.toml: right: 1 bridges, 1 ports, 0 host ports\n"),
        "{out}"
    );
    fs::write(
        &file,
        "[bridge.br0]\n\n[port.vm1]\nbridge = \"br0\"\nkind = \"tap\"\nvlan = 5000\n",
    )
    .unwrap();
    let (code, _, err) = check();
    assert_eq!(code, 1);
    assert!(
        err.contains("vswitch.toml:6:8") && err.contains("^^^^"),
        "{err}"
    );
    fs::write(&file, "[bridge.br0\n").unwrap();
    assert_eq!(check().0, 1);
}

/// `vswctl … | head -c 1`: no word on standard error, no panic.
#[test]
fn a_reader_that_goes_away_is_no_error() {
    for shell in ["bash", "zsh", "fish"] {
        let mut child = vswctl(Path::new("/nonexistent"), &["completion", shell])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (output.status.code(), output.stderr.as_slice()),
            (Some(0), &b""[..])
        );
    }
}

#[test]
fn completions_are_scripts_that_their_shells_can_read() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = run(vswctl(Path::new("/nonexistent"), &["completion", shell]));
        assert_eq!(code, 0);
        assert!(script.contains("vswctl"));
        let file = scratch.join(shell);
        fs::write(&file, script).unwrap();
        match Command::new(shell).arg("-n").arg(&file).output() {
            Ok(output) => assert!(
                output.status.success(),
                "{shell}: {}",
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(_) => eprintln!("{shell} is not installed: its script was made but not read"),
        }
    }
}

#[test]
fn manual_pages_are_written_into_a_folder() {
    let scratch = Scratch::new();
    let (code, _, err) = run(vswctl(
        Path::new("/nonexistent"),
        &["man", "--dir", scratch.0.to_str().unwrap()],
    ));
    assert_eq!(code, 0, "{err}");
    for page in ["vswctl.8", "vswctl-vlan.8", "vswctl-capture.8"] {
        assert!(
            fs::read_to_string(scratch.join(page))
                .unwrap()
                .contains(".SH NAME"),
            "{page}"
        );
    }
}
