//! GC: everything of a network goes that its runtime no longer knows.
//!
//! First what was written down, each with the whole DEL of its own configuration; then what the daemon has
//! and nobody wrote down; then host's ends of pairs that neither knows. Errors stop nothing and are told
//! together. Specification 1.1.0, section 4; features.md N-15.

use crate::call::Call;
use crate::daemon::{self, Daemon};
use crate::spec::{CniError, code};
use crate::verbs::del;
use crate::{ipam, pod, record};
use serde_json::Value;
use vswitch_api::request::CollectGarbage;
use vswitch_api::types::Attachment;
use vswitch_io::link;

/// Performs it.
///
/// # Errors
/// All that could not be removed.
pub(crate) fn run(call: &Call) -> Result<(), CniError> {
    let valid = valid(call)?;
    let mut switch = Daemon::connect(&daemon::socket(&call.config), true)
        .map_err(|error| daemon::explain(&error))?;
    let mut failures = Vec::new();
    let folder = record::folder(&call.config);
    del::settle_debts(&folder, &mut switch);
    let network = &call.config.name;
    let stale = |owner: &Attachment| owner.network == *network && !valid.contains(owner);
    for record in record::all(&folder)
        .into_iter()
        .filter(|record| stale(&record.attachment))
    {
        let undone = record
            .del_call()
            .and_then(|call| del::undo(&call, Some(&mut switch), Some("DEL")));
        if let Err(error) = undone {
            failures.push(format!("{}: {error}", record.attachment));
        }
    }
    let collect = CollectGarbage {
        network: network.clone(),
        valid: valid.clone(),
    };
    match switch.call(&collect, &[]) {
        Ok(reply) => failures.extend(reply.failed),
        Err(error) => failures.push(daemon::explain(&error).to_string()),
    }
    failures.extend(remove_orphans(network, &valid));
    if let Err(error) = ipam::run(call, "GC")
        && !is_unknown_verb(&error)
    {
        failures.push(error.to_string());
    }
    match failures.split_first() {
        None => Ok(()),
        Some((first, rest)) => Err(CniError::new(code::FAILED, first.as_str(), rest.join("; "))),
    }
}

/// Address plugins of before 1.1.0 have no GC: the DELs above have freed what they hold.
fn is_unknown_verb(error: &CniError) -> bool {
    let text = error.to_string();
    error.code == code::ENVIRONMENT
        || error.code == code::VERSION
        || text.contains("unknown CNI_COMMAND")
}

/// Host's ends that are marked as this network's and belong to nobody.
fn remove_orphans(network: &str, valid: &[Attachment]) -> Vec<String> {
    let mark = format!("{}{network}/", pod::MARK);
    let found = match vswitch_io::pod::marked(&mark) {
        Ok(found) => found,
        Err(error) => return vec![format!("cannot list network devices: {error}")],
    };
    let known: Vec<String> = valid
        .iter()
        .map(|owner| format!("{}{owner}", pod::MARK))
        .collect();
    let orphans = found
        .into_iter()
        .filter(|(.., alias)| !known.contains(alias));
    orphans
        .filter_map(|(name, ifindex, _)| {
            let error = link::delete(ifindex).err()?;
            Some(format!("cannot delete {name}: {error}"))
        })
        .collect()
}

/// `cni.dev/valid-attachments`.
fn valid(call: &Call) -> Result<Vec<Attachment>, CniError> {
    let wrong = |details: &str| {
        CniError::new(
            code::CONFIG,
            "\"cni.dev/valid-attachments\" cannot be read",
            details,
        )
    };
    let list = match call.config.raw.get("cni.dev/valid-attachments") {
        // Without it nothing is known to be stale; an empty list says that all of it is.
        None | Some(Value::Null) => return Err(wrong("it is missing: nothing was removed")),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong("it is no list")),
    };
    let read = |entry: &Value| {
        Some(Attachment {
            network: call.config.name.clone(),
            container_id: entry["containerID"].as_str()?.to_owned(),
            ifname: entry["ifname"].as_str()?.to_owned(),
        })
    };
    let all: Option<Vec<Attachment>> = list.iter().map(read).collect();
    all.ok_or_else(|| wrong("each entry has a \"containerID\" and an \"ifname\""))
}
