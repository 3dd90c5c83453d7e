//! `vswitchd`: the switch daemon. Arguments, logging, configuration; then the control thread.
//!
//! Exit codes: 0 ended as told, 1 could not start or the configuration is wrong, 2 usage.
#![forbid(unsafe_code)]

mod access;
mod captures;
mod carriers;
mod clock;
mod control_thread;
mod cpus;
mod effect_error;
mod effects;
mod engine;
mod files;
mod links;
mod loop_stats;
mod patience;
mod reaper;
mod server;
mod signals;
mod tx_queue;
mod watchdog;
mod wires;
mod worker_thread;

use clap::Parser;
use clock::Clock;
use std::hash::{BuildHasher, Hasher};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::UNIX_EPOCH;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};
use vswitch_controller::Settings;

/// A userspace virtual switch: MAC-learning 802.1Q bridges between NICs, TAPs and the node itself.
#[derive(Clone, Debug, Parser)]
#[command(name = "vswitchd", version)]
pub(crate) struct Options {
    /// Configuration file. Without it /etc/vswitch/vswitch.toml is read, and where there is none the
    /// switch starts without bridges. SIGHUP reads it again and applies it, or says what is wrong with it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The control socket.
    #[arg(long, value_name = "PATH", default_value = "/run/vswitch/io.vswitch")]
    socket: PathBuf,
    /// Where it is written down what is attached, so that a restart can put devices back.
    #[arg(long, value_name = "DIR", default_value = "/run/vswitch")]
    state_dir: PathBuf,
    /// Log level, or levels by module: "info", "warn,vswitchd::server=debug". Wins over the file's.
    #[arg(long, value_name = "FILTER")]
    log_level: Option<String>,
    /// Check the configuration, say what is wrong with it, and end.
    #[arg(long)]
    check: bool,
    /// Allow ports of kind "mem", which have no device, and the methods to reach their wires and to set
    /// the clock: for tests.
    #[arg(long)]
    enable_mem_ports: bool,
}

/// Changes what is logged while the daemon runs.
pub(crate) struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    text: Mutex<String>,
}

impl LogHandle {
    /// Logs what `filter` says from now on.
    ///
    /// # Errors
    /// What is wrong with the filter.
    pub(crate) fn set(&self, filter: &str) -> Result<(), String> {
        let parsed = EnvFilter::try_new(filter).map_err(|error| {
            format!("{error}; use trace, debug, info, warn, error, or module=level")
        })?;
        self.filter
            .reload(parsed)
            .map_err(|error| error.to_string())?;
        if let Ok(mut text) = self.text.lock() {
            filter.clone_into(&mut text);
        }
        Ok(())
    }

    /// The filter in force.
    #[must_use]
    pub(crate) fn current(&self) -> String {
        self.text
            .lock()
            .map(|text| text.clone())
            .unwrap_or_default()
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let (config, files) = match files::load(options.config.as_deref()) {
        Ok(loaded) => loaded,
        Err(text) => return fail(&text),
    };
    if options.check {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let said = format!(
            "the configuration is right: {}, {}, {}",
            count(config.bridge.len(), "bridge"),
            count(config.port.len(), "port"),
            count(config.host.len(), "host port")
        );
        return tell(&said);
    }
    let level = options
        .log_level
        .clone()
        .unwrap_or_else(|| config.daemon.log.clone());
    let log = match start_log(&level) {
        Ok(log) => log,
        Err(text) => return fail(&text),
    };
    allow_open_files();
    match control_thread::run(options, config, files, log) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fail(&text),
    }
}

/// Allows as many descriptors as this process may have. Each port needs some for every worker, so the
/// 1,024 that are usual at the start are spent by a few hundred TAPs, or fewer where cores are many.
fn allow_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(?current, %error, "cannot raise the limit of open files: many ports may not open");
    }
}

fn start_log(level: &str) -> Result<LogHandle, String> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| format!("error: log filter {level:?}: {error}"))?;
    let (layer, handle) = reload::Layer::new(filter);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::registry()
        .with(layer)
        .with(
            tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(colour)
                .with_target(false),
        )
        .init();
    Ok(LogHandle {
        filter: handle,
        text: Mutex::new(level.to_owned()),
    })
}

/// What does not change in a run.
fn settings(options: &Options, clock: &Clock, workers: usize, state_file: &Path) -> Settings {
    let zero = clock
        .wall(vswitch_base::Instant::ZERO)
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Settings {
        hash_seed: std::hash::RandomState::new().build_hasher().finish(),
        machine: machine_number(),
        mem_ports: options.enable_mem_ports,
        workers: u32::try_from(workers).unwrap_or(u32::MAX),
        enters_namespaces: enters_namespaces(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        unix_ns_at_zero: u64::try_from(zero.as_nanos()).unwrap_or(u64::MAX),
        recovered: effects::state::recovered(state_file),
    }
}

/// Whether this process may enter network namespaces.
fn enters_namespaces() -> bool {
    let sets = rustix::thread::capabilities(None);
    sets.is_ok_and(|sets| {
        sets.effective
            .contains(rustix::thread::CapabilitySet::SYS_ADMIN)
    })
}

/// A number of this machine and network namespace that stays the same: FNV-1a of its id.
fn machine_number() -> u64 {
    let id = std::fs::read("/etc/machine-id").unwrap_or_default();
    let host = rustix::system::uname();
    let netns = std::fs::read_link("/proc/self/ns/net").unwrap_or_default();
    let bytes = id
        .iter()
        .chain(host.nodename().to_bytes())
        .chain(netns.as_os_str().as_encoded_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Memory that is really there, from the kernel's account of this process.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

fn tell(text: &str) -> ExitCode {
    use std::io::Write;
    // A closed pipe is the reader's choice, not a failure of the check.
    let _ = writeln!(std::io::stdout(), "{text}");
    ExitCode::SUCCESS
}

fn fail(text: &str) -> ExitCode {
    use std::io::Write;
    let text = if text.starts_with("error") {
        text.to_owned()
    } else {
        format!("error: {text}")
    };
    let _ = writeln!(std::io::stderr(), "{text}");
    ExitCode::FAILURE
}
