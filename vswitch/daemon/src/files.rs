//! The configuration files: read at start and again on SIGHUP, with what is needed to say what is wrong
//! in them.
//!
//! Reading blocks: at start it is the main thread's work, later the effects thread's.

use std::path::{Path, PathBuf};
use vswitch_api::config::file::{self, Source};
use vswitch_api::config::{Config, ConfigError};

/// Where the configuration is looked for when `--config` is not given.
const DEFAULT_CONFIG: &str = "/etc/vswitch/vswitch.toml";

/// The files of a configuration and what is in them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files {
    /// Their names, in the order in which they were read; none: there was no file.
    pub paths: Vec<PathBuf>,
    sources: Vec<Source>,
}

impl Files {
    /// Errors that were found after reading (a device belongs to another), each with its place.
    #[must_use]
    pub(crate) fn explain(&self, errors: Vec<ConfigError>) -> String {
        file::explain(&self.sources, errors).to_string()
    }
}

/// The configuration of `path`, else of the default file, else none.
///
/// # Errors
/// Everything that is wrong, with file, line and caret.
pub(crate) fn load(path: Option<&Path>) -> Result<(Config, Files), String> {
    let path = match path {
        Some(path) => path,
        None if Path::new(DEFAULT_CONFIG).exists() => Path::new(DEFAULT_CONFIG),
        None => return Ok((Config::default(), Files::default())),
    };
    let (sources, paths) = file::sources(path).map_err(|error| error.to_string())?;
    let config = file::parse(&sources).map_err(|error| error.to_string())?;
    Ok((config, Files { paths, sources }))
}

/// As [`load`], while a switch runs: no file is no wish for a switch without bridges.
///
/// # Errors
/// As [`load`], and when there is no file.
pub(crate) fn load_again(path: Option<&Path>) -> Result<(Config, Files), String> {
    let loaded = load(path)?;
    if loaded.1.paths.is_empty() {
        return Err(format!("error: there is no {DEFAULT_CONFIG}"));
    }
    Ok(loaded)
}
