//! `vswitch-cni`: the CNI plugin.
//!
//! | module | holds |
//! | --- | --- |
//! | [`spec`], [`result`], [`args`] | the specification's environment, versions, errors, results |
//! | [`config`], [`tolerant`] | the network configuration, and JSON as people write it |
//! | [`call`], [`verbs`] | one call; ADD, DEL, CHECK, GC, STATUS |
//! | [`daemon`], [`pod`], [`ipam`], [`gateway`] | whom it works with: the switch, the pod's namespace, the address plugin, the node |
//! | [`record`], [`fault`] | what is written down so that nothing is left; where it can be made to die |
//! | [`install`], [`stand_in`] | the file in its place; in place of the plugin `bridge` |
//!
//! One call, one process: it reads its environment and standard input, prints one JSON object on standard output
//! and ends. Nothing it reads can make it panic. Specification:
//! <https://github.com/containernetworking/cni/blob/spec-v1.1.0/SPEC.md>.
#![forbid(unsafe_code)]

mod args;
mod call;
mod config;
mod daemon;
mod fault;
mod gateway;
mod install;
mod ipam;
mod pod;
mod record;
mod result;
mod spec;
mod stand_in;
mod tolerant;
mod verbs;

use args::Args;
use call::Call;
use serde_json::{Value, json};
use spec::{CniError, Verb, code};
use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::process::ExitCode;

/// A configuration is at most this long.
const CONFIG_MAX: u64 = 1 << 20;

const HELP: &str = "\
vswitch-cni: the CNI plugin of vswitch. A container runtime runs it; by hand:

  vswitch-cni install [--dest DIR] [--as-bridge]   put it among the plugins (default /opt/cni/bin)
  vswitch-cni uninstall [--dest DIR]               take it away, put the plugin \"bridge\" back
  vswitch-cni faults                               steps after which VSWITCH_CNI_FAULT can make it die
  vswitch-cni version

As a plugin: CNI_COMMAND=ADD|DEL|CHECK|GC|STATUS|VERSION, the network configuration on standard input.
The port of a pod by hand: vswctl attach, vswctl attachment list.
";

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let program = words
        .first()
        .map_or_else(String::new, |word| word.to_string_lossy().into_owned());
    if std::env::var_os("CNI_COMMAND").is_none() && words.len() > 1 {
        return by_hand(&words[1..]);
    }
    if std::env::var_os("CNI_COMMAND").is_none() {
        return print(HELP, ExitCode::from(2));
    }
    let mut input = Vec::new();
    let read = std::io::stdin()
        .take(CONFIG_MAX + 1)
        .read_to_end(&mut input);
    let outcome = match read {
        Ok(_) if input.len() as u64 > CONFIG_MAX => Err(CniError::new(
            code::DECODE,
            "the network configuration is too long",
            format!("at most {CONFIG_MAX} bytes are read"),
        )),
        Ok(_) => answer(&program, &input),
        Err(error) => Err(CniError::new(
            code::IO,
            "cannot read the network configuration from standard input",
            error.to_string(),
        )),
    };
    match outcome {
        Ok(None) => ExitCode::SUCCESS,
        Ok(Some(value)) => print(&format!("{value}\n"), ExitCode::SUCCESS),
        Err(error) => {
            say(&error);
            let text = serde_json::to_string(&error).unwrap_or_default();
            print(&format!("{text}\n"), ExitCode::FAILURE)
        }
    }
}

fn print(text: &str, code: ExitCode) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}

/// One line for the runtime's log. Nobody may be listening: that must not end a call halfway.
pub(crate) fn say(text: &dyn std::fmt::Display) {
    let _nobody_hears = writeln!(std::io::stderr(), "vswitch-cni: {text}");
}

fn by_hand(words: &[OsString]) -> ExitCode {
    let command = words[0].to_string_lossy();
    let outcome = match command.as_ref() {
        "install" | "uninstall" => install::run(&command, &words[1..]),
        "faults" => {
            let lines = fault::STEPS.map(|(name, what)| format!("{name:<14}  {what}\n"));
            Ok(lines.concat())
        }
        "version" | "--version" | "-V" => {
            Ok(format!("vswitch-cni {}\n", env!("CARGO_PKG_VERSION")))
        }
        "help" | "--help" | "-h" => Ok(HELP.to_owned()),
        other => Err(format!("unknown command \"{other}\"; vswitch-cni --help")),
    };
    match outcome {
        Ok(text) => print(&text, ExitCode::SUCCESS),
        Err(why) => {
            say(&why);
            ExitCode::from(2)
        }
    }
}

/// What to print for a call, if anything.
fn answer(program: &str, input: &[u8]) -> Result<Option<Value>, CniError> {
    let (verb, env) = spec::environment(&|name| std::env::var(name).ok())?;
    let (raw, warnings) = config::parse(input)?;
    let said = raw
        .get("cniVersion")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let told = said.clone().unwrap_or_else(|| spec::VERSIONS[0].to_owned());
    let in_version = |error: CniError| error.in_version(&told);
    if verb == Verb::Version {
        // Nothing else of the configuration counts: what runtimes send with it need not be a network.
        return Ok(Some(
            json!({ "cniVersion": told, "supportedVersions": spec::VERSIONS }),
        ));
    }
    // Before anything is checked: the reference plugin may take what this one refuses.
    if stand_in::is_bridge(program) && !stand_in::is_ours(&raw, &env, verb) {
        return Err(in_version(stand_in::hand_on(program, input)));
    }
    let version = spec::version(said.as_deref(), verb).map_err(in_version)?;
    let config = if verb == Verb::Del {
        config::NetConf::read_for_del(&raw)
    } else {
        Args::read(&env.args).and_then(|args| config::NetConf::read(raw, &args, warnings))
    };
    let config = config.map_err(in_version)?;
    let call = Call {
        version,
        env,
        config,
    };
    for warning in &call.config.warnings {
        say(&format!("network \"{}\": {warning}", call.config.name));
    }
    let done = match verb {
        Verb::Add => verbs::add::run(&call).map(Some),
        Verb::Del => verbs::del::run(&call).map(|()| None),
        Verb::Check => verbs::check::run(&call).map(|()| None),
        Verb::Gc => verbs::gc::run(&call).map(|()| None),
        Verb::Status | Verb::Version => verbs::status::run(&call).map(|()| None),
    };
    done.map_err(in_version)
}
