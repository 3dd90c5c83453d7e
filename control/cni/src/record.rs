//! Intent records: what an ADD is about to make, written down before anything is made.
//!
//! One file for each attachment in the folder `cni` beside the control socket (`/run/vswitch/cni`), removed as
//! DEL's last step. An ADD or DEL that was
//! killed can so be undone wholly: with the configuration it had, also by a runtime that has forgotten it
//! (features.md N-15). The folder does not survive the machine: neither does anything that records speak of.

use crate::call::Call;
use crate::config::NetConf;
use crate::daemon;
use crate::spec::{self, CniError, Env, Verb, code};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use vswitch_api::types::Attachment;

/// One record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    /// Whose.
    pub(crate) attachment: Attachment,
    /// The namespace, as the runtime named it.
    netns: String,
    /// `CNI_ARGS`.
    args: String,
    /// `CNI_PATH`.
    path: Vec<PathBuf>,
    /// The configuration, in strict JSON.
    config: Value,
    /// Everything is undone but that the daemon, which was away, has not been told.
    #[serde(default)]
    pub(crate) detach_pending: bool,
}

/// The folder of a network's records.
pub(crate) fn folder(config: &NetConf) -> PathBuf {
    daemon::socket(config).with_file_name("cni")
}

fn file_of(folder: &Path, attachment: &Attachment) -> PathBuf {
    folder.join(format!("{}.json", attachment.port_name()))
}

fn failed(what: &str, path: &Path, error: &io::Error) -> CniError {
    CniError::new(
        code::IO,
        format!("cannot {what} {}", path.display()),
        error.to_string(),
    )
}

impl Record {
    pub(crate) fn of(call: &Call) -> Self {
        Self {
            attachment: call.attachment(),
            netns: call.env.netns.clone(),
            args: call.env.args.clone(),
            path: call.env.path.clone(),
            config: call.config.raw.clone(),
            detach_pending: false,
        }
    }

    /// The same, of which only the daemon has still to be told.
    pub(crate) fn into_debt(self) -> Self {
        Self {
            detach_pending: true,
            ..self
        }
    }

    /// Writes it down; it is whole at every moment.
    ///
    /// # Errors
    /// What the file system said.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), CniError> {
        let path = file_of(folder, &self.attachment);
        let text = serde_json::to_vec(self).unwrap_or_default();
        let write = || {
            std::fs::create_dir_all(folder)?;
            let draft = path.with_extension(format!("new{}", std::process::id()));
            std::fs::write(&draft, text)?;
            std::fs::rename(&draft, &path)
        };
        write().map_err(|error| failed("write", &path, &error))
    }

    /// The call of DEL that undoes what is recorded.
    ///
    /// # Errors
    /// The configuration, which was good once, no longer is.
    pub(crate) fn del_call(&self) -> Result<Call, CniError> {
        let env = Env {
            container_id: self.attachment.container_id.clone(),
            netns: self.netns.clone(),
            ifname: self.attachment.ifname.clone(),
            args: self.args.clone(),
            path: self.path.clone(),
        };
        let config = NetConf::read_for_del(&self.config)?;
        let said = self.config["cniVersion"].as_str();
        Ok(Call {
            version: spec::version(said, Verb::Del)?,
            env,
            config,
        })
    }
}

/// The record of an attachment.
pub(crate) fn read(folder: &Path, attachment: &Attachment) -> Option<Record> {
    let bytes = std::fs::read(file_of(folder, attachment)).ok()?;
    let record: Record = serde_json::from_slice(&bytes).ok()?;
    (record.attachment == *attachment).then_some(record)
}

/// All records that can be read.
pub(crate) fn all(folder: &Path) -> Vec<Record> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "json"));
    files
        .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
        .collect()
}

/// Removes a record; one that is not there is a success.
///
/// # Errors
/// What the file system said.
pub(crate) fn remove(folder: &Path, attachment: &Attachment) -> Result<(), CniError> {
    let path = file_of(folder, attachment);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", &path, &error))
        }
        _ => Ok(()),
    }
}
