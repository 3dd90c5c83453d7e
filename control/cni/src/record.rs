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
}

/// The folder of a network's records.
pub(crate) fn folder(config: &NetConf) -> PathBuf {
    daemon::socket(config).with_file_name("cni")
}

/// What the file of a record is called after the port's name.
const RECORD: &str = "json";
/// And that of a debt: by its name, so that nobody reads hundreds of records to find that there is none.
const DEBT: &str = "debt";

fn file_of(folder: &Path, attachment: &Attachment, kind: &str) -> PathBuf {
    folder.join(format!("{}.{kind}", attachment.port_name()))
}

fn unlink(path: &Path) -> Result<(), CniError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(failed("remove", path, &error))
        }
        _ => Ok(()),
    }
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
        }
    }

    /// Writes it down; it is whole at every moment. A debt of the same attachment is void.
    ///
    /// # Errors
    /// What the file system said.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), CniError> {
        self.write_as(folder, RECORD)?;
        unlink(&file_of(folder, &self.attachment, DEBT))
    }

    /// Writes down that everything is undone but that the daemon, which was away, has to be told. It takes the
    /// record's place.
    ///
    /// # Errors
    /// What the file system said.
    pub(crate) fn owe(&self, folder: &Path) -> Result<(), CniError> {
        self.write_as(folder, DEBT)?;
        unlink(&file_of(folder, &self.attachment, RECORD))
    }

    fn write_as(&self, folder: &Path, kind: &str) -> Result<(), CniError> {
        let path = file_of(folder, &self.attachment, kind);
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
            own_netns: false,
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

/// The record of an attachment, or its debt.
pub(crate) fn read(folder: &Path, attachment: &Attachment) -> Option<Record> {
    let mut found = [RECORD, DEBT]
        .into_iter()
        .filter_map(|kind| read_file(&file_of(folder, attachment, kind)));
    found.find(|record| record.attachment == *attachment)
}

/// All records that can be read.
pub(crate) fn all(folder: &Path) -> Vec<Record> {
    of_kind(folder, RECORD)
}

/// What the daemon has still to be told, see [`Record::owe`].
pub(crate) fn debts(folder: &Path) -> Vec<Record> {
    of_kind(folder, DEBT)
}

fn of_kind(folder: &Path, kind: &str) -> Vec<Record> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let files = files.filter(|path| path.extension().is_some_and(|e| e == kind));
    files.filter_map(|path| read_file(&path)).collect()
}

fn read_file(path: &Path) -> Option<Record> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Removes a record and a debt; one that is not there is a success.
///
/// # Errors
/// What the file system said.
pub(crate) fn remove(folder: &Path, attachment: &Attachment) -> Result<(), CniError> {
    unlink(&file_of(folder, attachment, RECORD))?;
    unlink(&file_of(folder, attachment, DEBT))
}
