//! Addresses: the plugin that the configuration names is run as the specification says.
//!
//! It gets the same environment and the same configuration, in strict JSON. Specification 1.1.0, section 4.

use crate::call::Call;
use crate::result::CniResult;
use crate::spec::{CniError, code};
use serde_json::Value;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The plugin's file in the folders of CNI_PATH.
fn find(plugin: &str, folders: &[PathBuf]) -> Result<PathBuf, CniError> {
    let is_program = |path: &Path| path.is_file();
    let found = folders
        .iter()
        .map(|folder| folder.join(plugin))
        .find(|path| is_program(path));
    found.ok_or_else(|| {
        let shown: Vec<String> = folders.iter().map(|f| f.display().to_string()).collect();
        CniError::new(
            code::CONFIG,
            format!("failed to find plugin \"{plugin}\" in path [{}]", shown.join(" ")),
            "field \"ipam\".\"type\"; the reference plugins come with package containernetworking-plugins",
        )
    })
}

/// The version that every address plugin of the last years speaks.
const OLDER: &str = "1.0.0";

/// Whether the plugin that the configuration names can be found.
///
/// # Errors
/// Code 7 with where it was looked for.
pub(crate) fn is_there(call: &Call) -> Result<(), CniError> {
    match &call.config.ipam {
        Some(plugin) => find(plugin, &call.env.path).map(drop),
        None => Ok(()),
    }
}

/// Runs the address plugin, if the configuration has one; what it printed.
///
/// A plugin that does not speak the configuration's version of the specification yet is asked in an older
/// one: results of any version are understood here.
///
/// # Errors
/// Its own error; or why it could not be run or understood.
pub(crate) fn run(call: &Call, verb: &str) -> Result<Option<Value>, CniError> {
    let Some(plugin) = &call.config.ipam else {
        return Ok(None);
    };
    let own = ask(call, plugin, verb, &call.config.raw);
    match own {
        Err(error) if error.code == code::VERSION && call.version > OLDER => {
            let mut older = call.config.raw.clone();
            older["cniVersion"] = OLDER.into();
            if let Some(previous) = older
                .get("prevResult")
                .and_then(|v| CniResult::read(v).ok())
            {
                older["prevResult"] = previous.write(OLDER);
            }
            ask(call, plugin, verb, &older)
        }
        other => other,
    }
}

fn ask(call: &Call, plugin: &str, verb: &str, config: &Value) -> Result<Option<Value>, CniError> {
    let path = find(plugin, &call.env.path)?;
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        CniError::new(
            code::IO,
            format!("{what} the IPAM plugin {}", path.display()),
            error.to_string(),
        )
    };
    let mut child = Command::new(&path)
        .env("CNI_COMMAND", verb)
        .env("CNI_CONTAINERID", &call.env.container_id)
        .env("CNI_NETNS", &call.env.netns)
        .env("CNI_IFNAME", &call.env.ifname)
        .env("CNI_ARGS", &call.env.args)
        .env(
            "CNI_PATH",
            std::env::join_paths(&call.env.path).unwrap_or_default(),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .map_err(|error| failed("cannot run", &error))?;
    let config = serde_json::to_vec(config).map_err(|error| failed("cannot ask", &error))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A plugin that does not read has its reasons; what it prints tells them.
        let _ = stdin.write_all(&config);
    }
    let output = child
        .wait_with_output()
        .map_err(|error| failed("cannot hear", &error))?;
    let said: Option<Value> = serde_json::from_slice(&output.stdout).ok();
    if output.status.success() {
        return Ok(said.or(Some(Value::Null)));
    }
    let told = said.unwrap_or_default();
    let number = told["code"]
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| *n > 0);
    let msg = match told["msg"].as_str() {
        Some(msg) => format!("{plugin}: {msg}"),
        None => format!(
            "the IPAM plugin {plugin} ended with {} and said nothing",
            output.status
        ),
    };
    let details = told["details"].as_str().unwrap_or_default();
    Err(CniError::new(number.unwrap_or(code::FAILED), msg, details))
}
