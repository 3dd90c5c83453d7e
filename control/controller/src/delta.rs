//! From what is open to what is wanted: the order of effects.
//!
//! Order is data (house.md 4.6). A port that comes is opened and attached before the snapshot that
//! names it; a port that leaves is forgotten by a snapshot that every worker has observed before its
//! queues are taken back and its device is closed. So no frame is staged for a port that cannot send,
//! and no queue is closed under a worker.
//!
//! ```text
//!   open new ─ attach ─┬────────────────────────────────────────────────┬─ raise MTUs ─ PUBLISH target
//!                      └ publish without ─ observed ─ detach ─ close     │    ─ lower MTUs, addresses
//!                          those that change ─ open again ─ attach ──────┘    ─ observed ─ forget
//!                                                                              ─ detach, close old ─ save
//! ```
//!
//! MTUs rise at NICs first, then at ports, and fall the other way (features.md 3.11): at no moment does
//! a port promise what the way out cannot carry.
//!
//! Pure. Starts from any state: after a failure the same function leads back.

use crate::actual::{Actual, ActualPort};
use crate::compile::{Compiled, WantedPort};
use crate::effect::{DeviceChange, Effect, OpenKind, OpenSpec};
use std::collections::{BTreeMap, BTreeSet};
use vswitch_base::PortIndex;

/// One step of a plan. A step begins when everything before it is done.
#[derive(Clone, Debug)]
pub enum Stage {
    /// Effects that need no order among themselves.
    Do(Vec<Effect>),
    /// Publish what was published last, without these ports.
    PublishWithout(BTreeSet<String>),
    /// Publish the target.
    PublishTarget,
    /// Wait until every worker uses what was published last.
    AwaitObserved,
    /// Forget addresses that the target has no place for.
    Forget,
    /// Write down what is attached.
    Save,
}

/// What besides the target decides.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// Wanted ports that are not to be opened now: their device is away, or a retry is not due.
    pub hold: BTreeSet<String>,
    /// Open ports whose device has to be given up although it is wanted: gone, or its queue failed.
    pub lost: BTreeSet<String>,
    /// Former states of devices that an earlier daemon left changed, by port.
    pub found: BTreeMap<String, crate::effect::FoundState>,
    /// Ports that are opened with the descriptors of a call, and the calls.
    pub handed: BTreeMap<String, u64>,
    /// Whether persistent TAPs that are no longer wanted stay: the daemon is ending.
    pub keep_persistent: bool,
}

/// The stages that lead from `actual` to `target`. Without a difference in devices it is a publication
/// alone.
#[must_use]
pub fn delta(actual: &Actual, target: &Compiled, conditions: &Conditions) -> Vec<Stage> {
    let plan = Sorted::new(actual, target, conditions);
    let mut stages = Vec::new();
    let open = |names: &[&str]| -> Vec<Effect> {
        names
            .iter()
            .filter_map(|name| Some(open_effect(target.ports.get(*name)?, conditions)))
            .collect()
    };
    let attach = |names: &[&str]| -> Vec<Effect> {
        let indices = names
            .iter()
            .filter_map(|name| Some(target.ports.get(*name)?.index));
        indices.map(|index| Effect::AttachPort { index }).collect()
    };
    push(&mut stages, open(&plan.join_at_once));
    if !plan.join_at_once.is_empty() {
        // Before anything is forwarded: after a crash the next daemon must know what to put back.
        stages.push(Stage::Save);
    }
    push(&mut stages, attach(&plan.join_at_once));
    if !plan.leave_first.is_empty() {
        stages.push(Stage::PublishWithout(
            plan.leave_first.iter().map(|(n, _)| (*n).clone()).collect(),
        ));
        stages.push(Stage::AwaitObserved);
        push_leave(&mut stages, &plan.leave_first, target, conditions);
        push(&mut stages, open(&plan.join_after));
        if !plan.join_after.is_empty() {
            stages.push(Stage::Save);
        }
        push(&mut stages, attach(&plan.join_after));
    }
    for change in [&plan.raise_nics, &plan.raise_others] {
        push(&mut stages, change.clone());
    }
    push(&mut stages, plan.count.clone());
    stages.push(Stage::PublishTarget);
    for change in [&plan.set_others, &plan.set_nics] {
        push(&mut stages, change.clone());
    }
    stages.push(Stage::AwaitObserved);
    stages.push(Stage::Forget);
    push_leave(&mut stages, &plan.leave_last, target, conditions);
    if !plan.leave_first.is_empty() || !plan.leave_last.is_empty() {
        stages.push(Stage::Save);
    }
    stages
}

fn push(stages: &mut Vec<Stage>, effects: Vec<Effect>) {
    if !effects.is_empty() {
        stages.push(Stage::Do(effects));
    }
}

fn push_leave(
    stages: &mut Vec<Stage>,
    leave: &[(&String, &ActualPort)],
    target: &Compiled,
    conditions: &Conditions,
) {
    let attached = leave.iter().filter(|(_, port)| port.attached);
    push(
        stages,
        attached
            .map(|(_, port)| Effect::DetachPort { index: port.index })
            .collect(),
    );
    let close = leave.iter().map(|(name, port)| {
        // Only what is ours and outlives us needs deleting, never a device that was there before us. A TAP
        // that is wanted again under the same name stays for whoever has it open.
        let again = target.ports.get(*name).is_some_and(|w| {
            is_made_for_us(&w.spec) && device_key(&w.spec) == device_key(&port.spec)
        });
        Effect::ClosePort {
            index: port.index,
            delete: is_made_for_us(&port.spec) && !again && !conditions.keep_persistent,
        }
    });
    push(stages, close.collect());
}

fn open_effect(wanted: &WantedPort, conditions: &Conditions) -> Effect {
    let mut spec = wanted.spec.clone();
    spec.found = conditions.found.get(&spec.name).cloned();
    spec.handed = conditions.handed.get(&spec.name).copied();
    Effect::OpenPort {
        index: wanted.index,
        spec,
    }
}

/// Ports by what has to happen with them.
#[derive(Default)]
struct Sorted<'a> {
    /// Come, and nothing is in the way.
    join_at_once: Vec<&'a str>,
    /// Leave before others can come: they change their device, or free one.
    leave_first: Vec<(&'a String, &'a ActualPort)>,
    join_after: Vec<&'a str>,
    leave_last: Vec<(&'a String, &'a ActualPort)>,
    raise_nics: Vec<Effect>,
    raise_others: Vec<Effect>,
    set_nics: Vec<Effect>,
    set_others: Vec<Effect>,
    count: Vec<Effect>,
}

impl<'a> Sorted<'a> {
    fn new(actual: &'a Actual, target: &'a Compiled, conditions: &Conditions) -> Self {
        let mut sorted = Self::default();
        let mut stays = BTreeSet::new();
        for (name, port) in &actual.ports {
            let same = target.ports.get(name).filter(|wanted| {
                wanted.index == port.index && wanted.spec.is_same_device(&port.spec)
            });
            match same {
                Some(wanted) if port.attached && !conditions.lost.contains(name) => {
                    stays.insert(name.as_str());
                    sorted.sort_change(port, wanted);
                }
                _ => sorted.leave_last.push((name, port)),
            }
        }
        let joins: Vec<&str> = target
            .ports
            .keys()
            .map(String::as_str)
            .filter(|name| !stays.contains(name) && !conditions.hold.contains(*name))
            .collect();
        let taken: BTreeSet<_> = joins
            .iter()
            .filter_map(|n| device_key(&target.ports[*n].spec))
            .collect();
        let (first, last) = std::mem::take(&mut sorted.leave_last)
            .into_iter()
            .partition(|(name, port)| {
                target.ports.contains_key(*name)
                    || device_key(&port.spec).is_some_and(|key| taken.contains(&key))
            });
        (sorted.leave_first, sorted.leave_last) = (first, last);
        let freed: BTreeSet<_> = sorted
            .leave_first
            .iter()
            .filter_map(|(_, p)| device_key(&p.spec))
            .collect();
        for name in joins {
            let waits = actual.ports.contains_key(name)
                || device_key(&target.ports[name].spec).is_some_and(|key| freed.contains(&key));
            if waits {
                sorted.join_after.push(name);
            } else {
                sorted.join_at_once.push(name);
            }
            sorted.count_vlans(&target.ports[name], None);
        }
        sorted
    }

    fn sort_change(&mut self, port: &ActualPort, wanted: &WantedPort) {
        self.count_vlans(wanted, Some(port));
        let change = DeviceChange::between(&port.spec.device, &wanted.spec.device);
        if change.is_empty() {
            return;
        }
        let nic = matches!(port.spec.kind, OpenKind::Nic { .. });
        let raise = change.mtu.is_some_and(|mtu| mtu > port.spec.device.mtu);
        let list = match (raise, nic) {
            (true, true) => &mut self.raise_nics,
            (true, false) => &mut self.raise_others,
            (false, true) => &mut self.set_nics,
            (false, false) => &mut self.set_others,
        };
        list.push(Effect::SetDevice {
            index: port.index,
            change,
        });
    }

    fn count_vlans(&mut self, wanted: &WantedPort, now: Option<&ActualPort>) {
        let Some(vids) = &wanted.counted_vlans else {
            return;
        };
        if now.is_none_or(|port| vids.iter().any(|vid| !port.counted.contains(vid))) {
            self.count.push(Effect::CountVlans {
                index: wanted.index,
                vids: vids.clone(),
            });
        }
    }
}

/// Two ports with equal keys cannot be open at once.
fn device_key(spec: &OpenSpec) -> Option<(Option<&str>, &str)> {
    Some((spec.netns(), spec.device_name()?))
}

/// Whether the device was made for this port and outlives us.
const fn is_made_for_us(spec: &OpenSpec) -> bool {
    match spec.kind {
        OpenKind::Tap { persistent, .. } => persistent,
        OpenKind::Nic { .. } => spec.made_for_us,
        OpenKind::Host | OpenKind::Bond | OpenKind::Mem => false,
    }
}

/// The port that an effect is about, where it is about one.
#[must_use]
pub const fn port_of(effect: &Effect) -> Option<PortIndex> {
    match effect {
        Effect::OpenPort { index, .. }
        | Effect::AttachPort { index }
        | Effect::DetachPort { index }
        | Effect::ClosePort { index, .. }
        | Effect::SetDevice { index, .. }
        | Effect::CountVlans { index, .. } => Some(*index),
        Effect::Publish(_)
        | Effect::Send { .. }
        | Effect::RestoreDevice(_)
        | Effect::SaveState(_) => None,
    }
}
#[cfg(test)]
mod tests;
