//! CHECK: whether what ADD made is still there, in the pod and in the daemon.

use crate::call::Call;
use crate::daemon::{self, Daemon};
use crate::result::CniResult;
use crate::spec::{CniError, code};
use crate::{ipam, pod};
use vswitch_api::request::CheckAttachment;

/// Performs it.
///
/// # Errors
/// Everything that is not as ADD left it.
pub(crate) fn run(call: &Call) -> Result<(), CniError> {
    let previous = call.config.raw.get("prevResult").filter(|v| !v.is_null());
    let Some(previous) = previous else {
        return Err(CniError::new(
            code::CONFIG,
            "CHECK needs prevResult",
            "the runtime passes the result of ADD in the configuration",
        ));
    };
    let previous = CniResult::read(previous)
        .map_err(|why| CniError::new(code::DECODE, "could not parse prevResult", why))?;
    let netns = pod::namespace(call)?;
    let mut problems = Vec::new();
    match pod::look(call, &netns)? {
        None => problems.push(format!(
            "interface {} is not in {}",
            call.env.ifname, call.env.netns
        )),
        Some(seen) => compare(call, &previous, &seen, &mut problems),
    }
    let socket = daemon::socket(&call.config);
    let check = CheckAttachment {
        attachment: call.attachment(),
    };
    let said = Daemon::connect(&socket, true).and_then(|mut switch| switch.call(&check, &[]));
    problems.extend(said.map_err(|error| daemon::explain(&error))?.problems);
    if let Err(error) = ipam::run(call, "CHECK") {
        problems.push(error.to_string());
    }
    match problems.split_first() {
        None => Ok(()),
        Some((first, rest)) => Err(CniError::new(code::CHECK, first.as_str(), rest.join("; "))),
    }
}

fn compare(call: &Call, previous: &CniResult, seen: &pod::Seen, problems: &mut Vec<String>) {
    let name = &call.env.ifname;
    let ours = previous
        .interfaces
        .iter()
        .find(|interface| interface.name == *name && !interface.sandbox.is_empty());
    let Some(ours) = ours else {
        problems.push(format!("prevResult has no interface {name} with a sandbox"));
        return;
    };
    if ours.sandbox != call.env.netns {
        problems.push(format!(
            "prevResult says that {name} is in {}, CNI_NETNS is {}",
            ours.sandbox, call.env.netns
        ));
    }
    let mac = seen.mac.map(|mac| mac.to_string()).unwrap_or_default();
    if !ours.mac.is_empty() && !ours.mac.eq_ignore_ascii_case(&mac) {
        problems.push(format!(
            "{name} has address {mac}, prevResult says {}",
            ours.mac
        ));
    }
    if let Some(mtu) = ours.mtu.filter(|mtu| *mtu != seen.mtu) {
        problems.push(format!(
            "{name} has MTU {}, prevResult says {mtu}",
            seen.mtu
        ));
    }
    if !seen.up && !call.config.leave_down {
        problems.push(format!("{name} is down"));
    }
    for ip in &previous.ips {
        if !seen.addresses.contains(&ip.address) {
            problems.push(format!("{name} has not address {}", ip.address));
        }
    }
    for route in &previous.routes {
        let there = seen.routes.iter().any(|(to, gateway)| {
            *to == route.to && (route.gateway.is_none() || *gateway == route.gateway)
        });
        if !there {
            problems.push(format!("{name} has no route to {}", route.to));
        }
    }
}
