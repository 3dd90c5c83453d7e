//! `vswctl config`: the configuration shown, checked, compared, applied.
//!
//! Files are read here, with the reader of the daemon, so that errors show the line and a
//! caret; what goes to the daemon is the whole configuration as JSON.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use vswitch_api::config::file::{LoadError, load};
use vswitch_api::config::{BondConfig, BridgeConfig, Config, DaemonConfig, HostConfig, PortConfig};
use vswitch_api::request::{Apply, GetConfig, Plan};
use vswitch_api::types::{ConfigSource, PlanReply};

use crate::change::{ChangeArgs, change_lines, report};
use crate::failure::{Exit, Failure};
use crate::render::{Look, Style, View, clean, to_json};
use crate::session::Session;

/// Where the daemon looks unless told otherwise.
const DEFAULT_FILE: &str = "/etc/vswitch/vswitch.toml";

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The configuration by which the switch works, as TOML
    Show {
        /// What the files said when the daemon last read them
        #[arg(long)]
        saved: bool,
        /// Also options that have their default value
        #[arg(long)]
        all: bool,
    },
    /// Check a file and the folder conf.d beside it; needs no daemon
    Check {
        /// The file
        #[arg(default_value = DEFAULT_FILE)]
        file: PathBuf,
    },
    /// What applying a file would change
    Diff {
        /// The file; conf.d beside it belongs to it
        #[arg(default_value = DEFAULT_FILE)]
        file: PathBuf,
    },
    /// Make a file the running configuration: all of it or nothing
    Apply {
        /// The file; conf.d beside it belongs to it
        #[arg(default_value = DEFAULT_FILE)]
        file: PathBuf,
        #[command(flatten)]
        change: ChangeArgs,
    },
}

pub(crate) fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::Show { saved, all } => {
            let source = saved.then_some(ConfigSource::Saved);
            let reply = session.call(GetConfig { source })?;
            let text = toml_text(&reply.config, all)?;
            session.show(&View::text(&reply.config, text, Vec::new()))
        }
        Command::Check { file } => {
            let (config, files) = read(&file)?;
            let names: Vec<String> = files
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            let text = format!(
                "{}: right: {} bridges, {} ports, {} host ports\n",
                clean(&names.join(", ")),
                config.bridge.len(),
                config.port.len(),
                config.host.len()
            );
            session.show(&View::text(
                &serde_json::json!({"files": names, "config": config}),
                text,
                names,
            ))
        }
        Command::Diff { file } => {
            let (config, _) = read(&file)?;
            let reply = session.call(Plan {
                config: to_json(&config),
            })?;
            let view = plan(&reply, &session.look)?;
            session.show(&view)
        }
        Command::Apply {
            file,
            change:
                ChangeArgs {
                    dry_run,
                    expect_generation,
                },
        } => {
            let (config, _) = read(&file)?;
            let reply = session.call(Apply {
                config: to_json(&config),
                expect_generation,
                dry_run,
            })?;
            report(&reply, dry_run, session)
        }
    }
}

/// Reads a file with what belongs to it.
fn read(path: &Path) -> Result<(Config, Vec<PathBuf>), Failure> {
    load(path).map_err(|error| match error {
        LoadError::Io { path, source } => {
            Failure::file("read", &path, &source).help("name the file: vswctl config check FILE")
        }
        LoadError::Wrong(errors) => {
            let count = errors.errors.len();
            let plural = if count == 1 { "" } else { "s" };
            let mut failure = Failure::new(
                Exit::Failed,
                "vswctl.Config",
                format!("the configuration has {count} error{plural}"),
            );
            failure.parameters = serde_json::json!({"errors": errors.errors});
            failure.below = Some(errors.to_string());
            failure
        }
    })
}

/// What a plan would change, with its warnings.
fn plan(reply: &PlanReply, look: &Look) -> Result<View, Failure> {
    let mut text = change_lines(&reply.changes, look)?;
    if reply.changes.is_empty() {
        text.push_str("no difference\n");
    }
    for warning in &reply.warnings {
        text.push_str(&format!(
            "{} {}\n",
            look.paint(Style::Warn, "warning:"),
            clean(warning)
        ));
    }
    let names = reply
        .changes
        .iter()
        .map(|change| change.path.clone())
        .collect();
    Ok(View::text(reply, text, names))
}

/// The configuration as a file spells it; without options that have their default, unless
/// `all`, so that what is left is what someone wanted.
fn toml_text(config: &Value, all: bool) -> Result<String, Failure> {
    let mut config = config.clone();
    drop_nulls(&mut config);
    if let (false, Value::Object(tables)) = (all, &mut config) {
        for table in ["bridge", "bond", "port", "host"] {
            if let Some(Value::Object(objects)) = tables.get_mut(table) {
                objects
                    .values_mut()
                    .filter_map(Value::as_object_mut)
                    .for_each(|object| drop_defaults(object, table));
            }
        }
        if let Some(Value::Object(daemon)) = tables.get_mut("daemon") {
            drop_defaults(daemon, "daemon");
            if daemon.is_empty() {
                tables.remove("daemon");
            }
        }
    }
    toml::to_string(&config).map_err(|error| {
        Failure::new(
            Exit::Failed,
            "vswctl.Config",
            format!("cannot write the configuration as TOML: {error}"),
        )
        .help("vswctl config show --json")
    })
}

/// TOML has no null; an option without a value is left out.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// Takes out of an object of a table what it has by default; what is left is what someone
/// wanted, and what a file must say.
pub(crate) fn drop_defaults(object: &mut Map<String, Value>, table: &str) {
    let default = match table {
        "bridge" => to_json(&BridgeConfig::default()),
        "bond" => to_json(&BondConfig::default()),
        "port" => to_json(&PortConfig::default()),
        "host" => to_json(&HostConfig::default()),
        "daemon" => to_json(&DaemonConfig::default()),
        _ => return,
    };
    object.retain(|key, value| {
        matches!(key.as_str(), "kind" | "bridge" | "mode") || default.get(key) != Some(value)
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use vswitch_api::config::file::{Source, parse};

    const FILE: &str = "[daemon]\nlog = \"warn\"\n\n[bridge.br0]\nmtu = 9000\nuplink = \"eth1\"\nvlans = [1, \"100-110\"]\n\n\
        [port.eth1]\nkind = \"nic\"\n\n[port.vm1]\nbridge = \"br0\"\nkind = \"tap\"\nvlan = 100\n\n[host.br0]\nbridge = \"br0\"\n\n\
        [bridge.br1]\nuplink = \"bond0\"\n\n[bond.bond0]\nmode = \"active-backup\"\nmembers = [\"eth2\", \"eth3\"]\nprimary = \"eth3\"\n";

    fn config(text: &str) -> Config {
        parse(&[Source {
            name: "f".into(),
            text: text.into(),
        }])
        .unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn what_is_shown_is_read_back_as_the_same() {
        let wanted = config(FILE);
        for all in [false, true] {
            let text = toml_text(&to_json(&wanted), all).unwrap();
            assert_eq!(config(&text), wanted, "{text}");
            assert_eq!(text.contains("hairpin"), all, "{text}");
            assert_eq!(text.contains("updelay"), all, "{text}");
        }
    }
}
