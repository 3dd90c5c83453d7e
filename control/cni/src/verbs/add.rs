//! ADD: the pod gets its interface, or nothing is left.
//!
//! ```text
//! ready? ─ namespace ─ record ─ device ─ up ─ attach ─ addresses ─ bindings ─ announce ─ result
//!                        └────────── on failure: all of it undone by DEL, then the error ──────────┘
//! ```

use crate::call::Call;
use crate::config::Mode;
use crate::daemon::{self, Daemon};
use crate::fault::passed;
use crate::pod::{self, Made};
use crate::record::{self, Record};
use crate::result::{CniResult, Interface};
use crate::spec::{CniError, code};
use crate::verbs::del;
use crate::{gateway, ipam};
use serde_json::Value;
use std::os::fd::{AsFd, BorrowedFd};
use vswitch_api::request::{Attach, Ready};
use vswitch_api::types::{AttachMode, ReadyReply};
use vswitch_io::NetNs;

/// Performs it; what is printed.
///
/// # Errors
/// Why it failed; everything is as it was then.
pub(crate) fn run(call: &Call) -> Result<Value, CniError> {
    let mut switch = Daemon::connect(&daemon::socket(&call.config), true)
        .map_err(|error| daemon::explain(&error))?;
    let folder = record::folder(&call.config);
    del::settle_debts(&folder, &mut switch);
    let ready = Ready {
        bridge: Some(call.config.bridge.clone()),
    };
    let ready = switch
        .call(&ready, &[])
        .map_err(|error| daemon::explain(&error))?;
    if !ready.ready {
        let why = ready.reason.unwrap_or_default();
        return Err(CniError::new(code::LATER, "vswitchd is not ready", why));
    }
    gateway::allowed(call, &mut switch)?;
    let mode = mode(call, &ready)?;
    let netns = pod::namespace(call)?;
    let mtu = mtu(call, &ready)?;
    ipam::is_there(call)?;
    // Before the record: that of an earlier ADD of the same attachment stays as it is.
    pod::is_free(call, &netns)?;
    Record::of(call).write(&folder)?;
    passed("add-recorded");
    let made = match pod::make(call, &netns, mode, mtu, ready.workers) {
        Ok(made) => made,
        Err(error) => {
            // Whatever has the interface's name is not ours to remove.
            let _not_there = record::remove(&folder, &call.attachment());
            return Err(error);
        }
    };
    passed("add-device");
    let mut reserved = false;
    let done = finish(
        call,
        &mut switch,
        &netns,
        &made,
        mode,
        mtu,
        &ready,
        &mut reserved,
    );
    done.inspect_err(|_| {
        // An address plugin whose ADD failed has given nothing, unless it died: asked in any case, believed only
        // where it had given something.
        let ipam = reserved.then_some("DEL");
        if !reserved {
            let _perhaps_nothing_to_free = ipam::run(call, "DEL");
        }
        if let Err(left) = del::undo(call, Some(&mut switch), ipam) {
            crate::say(&format!("not everything could be undone: {left}"));
        }
    })
}

/// What the pod's interface is made of.
fn mode(call: &Call, ready: &ReadyReply) -> Result<AttachMode, CniError> {
    match call.config.mode {
        Mode::Fixed(mode) => Ok(mode),
        Mode::Auto => match ready.modes.first().map(String::as_str) {
            Some("tap") => Ok(AttachMode::Tap),
            Some("veth") => Ok(AttachMode::Veth),
            other => Err(CniError::new(
                code::FAILED,
                format!("vswitchd prefers a mode that this plugin does not know: {other:?}"),
                "are plugin and daemon of one version?",
            )),
        },
    }
}

fn mtu(call: &Call, ready: &ReadyReply) -> Result<u32, CniError> {
    let most = ready.mtu.unwrap_or(1500);
    match call.config.mtu {
        Some(mtu) if mtu > most => Err(CniError::new(
            code::CONFIG,
            format!(
                "mtu {mtu} is greater than that of bridge {}, {most}",
                call.config.bridge
            ),
            "lower it, or raise the bridge's first",
        )),
        Some(mtu) => Ok(mtu),
        None => Ok(most),
    }
}

/// From the device on; `reserved`: the address plugin has given addresses.
#[expect(
    clippy::too_many_arguments,
    reason = "what was found out before anything was made"
)]
fn finish(
    call: &Call,
    switch: &mut Daemon,
    netns: &NetNs,
    made: &Made,
    mode: AttachMode,
    mtu: u32,
    ready: &ReadyReply,
    reserved: &mut bool,
) -> Result<Value, CniError> {
    let mac = call.mac();
    // Before it is attached: a port that has carrier when it is opened forwards when ADD is answered.
    let ifindex = pod::switch_on(call, netns)?;
    passed("add-up");
    let descriptors: Vec<BorrowedFd<'_>> = made.descriptors.iter().map(AsFd::as_fd).collect();
    let default_pvid = ready.default_pvid.unwrap_or(0);
    let mut attach = Attach {
        attachment: call.attachment(),
        mode,
        device: made.device.clone(),
        netns: (mode != AttachMode::Veth).then(|| call.env.netns.clone()),
        config: call.config.port_options(mac, default_pvid),
        descriptors: u32::try_from(descriptors.len())
            .ok()
            .filter(|count| *count > 0),
    };
    let attached = switch
        .call(&attach, &descriptors)
        .map_err(|error| daemon::explain(&error))?;
    for warning in &attached.warnings {
        crate::say(&format!("{}: {warning}", call.attachment()));
    }
    passed("add-attached");
    let given = ipam::run(call, "ADD")?;
    *reserved = given.is_some();
    let mut result = match given {
        None => CniResult::default(),
        Some(said) => CniResult::read(&said).map_err(|why| {
            CniError::new(
                code::DECODE,
                "what the IPAM plugin printed is no result",
                why,
            )
        })?,
    };
    if call.config.ipam.is_some() && result.ips.is_empty() {
        let msg = "IPAM plugin returned missing IP config";
        return Err(CniError::new(code::FAILED, msg, "it gave no address"));
    }
    passed("add-ipam");
    result.interfaces = interfaces(call, made, ready, mtu);
    for ip in &mut result.ips {
        ip.interface = Some(result.interfaces.len() - 1);
    }
    gateway::complete(call, &mut result);
    pod::address(call, netns, ifindex, &result)?;
    gateway::serve(call, switch, &result)?;
    passed("add-addressed");
    if call.config.guard && !result.ips.is_empty() {
        let ips: Vec<String> = result
            .ips
            .iter()
            .map(|ip| ip.address.addr.to_string())
            .collect();
        attach.config["guard_ips"] = ips.into();
        attach.descriptors = None;
        switch
            .call(&attach, &[])
            .map_err(|error| daemon::explain(&error))?;
    }
    passed("add-guarded");
    if !call.config.leave_down {
        pod::announce(netns, ifindex, mac, &result.ips);
    }
    passed("add-announced");
    if result.dns.as_object().is_none_or(serde_json::Map::is_empty) {
        result.dns = call.config.dns.clone();
    }
    Ok(result.write(call.version))
}

/// Bridge, host's end if there is one, pod's interface: in the order of the reference plugin.
fn interfaces(call: &Call, made: &Made, ready: &ReadyReply, mtu: u32) -> Vec<Interface> {
    let mut interfaces = vec![Interface {
        name: call.config.bridge.clone(),
        mac: ready.mac.clone().unwrap_or_default(),
        ..Interface::default()
    }];
    if let Some((name, mac)) = &made.host_end {
        interfaces.push(Interface {
            name: name.clone(),
            mac: mac.to_string(),
            mtu: Some(mtu),
            ..Interface::default()
        });
    }
    interfaces.push(Interface {
        name: call.env.ifname.clone(),
        mac: call.mac().to_string(),
        mtu: Some(mtu),
        sandbox: call.env.netns.clone(),
    });
    interfaces
}
