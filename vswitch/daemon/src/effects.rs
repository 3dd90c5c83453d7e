//! The effects thread: everything that can block.
//!
//! Devices are opened and closed here, addresses set, files written, handles dropped. Jobs come by a
//! channel and are done one after another, in order; each answers once. What keeps a device ours
//! ([`PortKeep`]) lives here, by port; dropping it gives the device back.

pub(crate) mod state;

use crate::effect_error::{io_error, port_error};
use crate::engine::Handles;
use crate::files::{self, Files};
use crate::reaper::{Reaper, Remains};
use crate::tx_queue::{self, SET_TX_QUEUE};
use crossbeam::channel::{Receiver, Sender, unbounded};
use hashbrown::HashMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use vswitch_api::config::{Cidr, Config};
use vswitch_base::PortIndex;
use vswitch_controller::{
    DeviceChange, Effect, EffectError, EffectId, EffectOutput, FoundState, OpenKind, OpenSpec,
    PortFacts,
};
use vswitch_core::mailbox::Retired;
use vswitch_core::testing::MemPort;
use vswitch_io::{
    HandedNic, HandedTap, IpPrefix, NetNs, NicSpec, OpenedPort, PortKeep, TapSpec, addr, handed,
    link, open_handed_nic, open_handed_tap, open_nic, open_tap,
};

/// Something for the thread to do.
#[expect(clippy::large_enum_variant, reason = "a handful wait at a time")]
#[derive(Debug)]
pub(crate) enum Job {
    /// An effect of the controller, with the descriptors that a port is to be opened with.
    Do(EffectId, Effect, Vec<OwnedFd>),
    /// Read the configuration files again: that of `--config`, or the default one.
    Load(Option<PathBuf>),
    /// Handles that the workers gave back: dropping them unmaps rings and closes sockets.
    Drop(Vec<Retired>),
    /// Descriptors that were handed over and are not needed any more.
    Close(Vec<OwnedFd>),
    /// End after what came before; devices that are still ours are given back.
    End,
}

/// What became of a job that is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An effect was performed, or failed.
    Effect(Done),
    /// The files were read, or what is wrong with them.
    Files(Result<(Config, Files), String>),
}

/// What became of an effect.
#[derive(Debug)]
pub(crate) struct Done {
    /// Which one.
    pub id: EffectId,
    /// For the controller.
    pub result: Result<EffectOutput, EffectError>,
    /// The queues and handles of a port that was opened.
    pub handles: Option<(PortIndex, Handles)>,
    /// What is not as it should be but did not fail.
    pub warnings: Vec<String>,
}

/// The control thread's end.
#[derive(Debug)]
pub(crate) struct Effects {
    jobs: Sender<Job>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
}

impl Effects {
    /// Starts the thread. `workers`: transmit handles to make for each port. `wake` is called after
    /// each answer.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        workers: u16,
        state_file: PathBuf,
        wake: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let (jobs, inbox) = unbounded();
        let (outbox, answers) = unbounded();
        let reaper = Reaper::start()?;
        let thread = std::thread::Builder::new()
            .name("effects".to_owned())
            .spawn(move || {
                let mut keeper = Keeper {
                    workers,
                    state_file,
                    keeps: HashMap::new(),
                    retired: HashMap::new(),
                    reaper,
                };
                while let Ok(job) = inbox.recv() {
                    let answer = match job {
                        Job::Do(id, effect, handed) => {
                            Answer::Effect(keeper.perform(id, effect, handed))
                        }
                        Job::Load(path) => Answer::Files(files::load_again(path.as_deref())),
                        Job::Drop(retired) => {
                            keeper.retire(retired);
                            continue;
                        }
                        Job::Close(descriptors) => {
                            drop(descriptors);
                            continue;
                        }
                        Job::End => break,
                    };
                    if outbox.send(answer).is_err() {
                        break;
                    }
                    wake();
                }
                keeper.give_everything_back();
            })?;
        Ok(Self {
            jobs,
            answers,
            thread: Some(thread),
        })
    }

    /// Hands a job over.
    pub(crate) fn post(&self, job: Job) {
        if self.jobs.send(job).is_err() {
            tracing::error!("the effects thread has ended");
        }
    }

    /// The next answer.
    #[must_use]
    pub(crate) fn take_answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    /// Ends the thread after what it has to do, and waits for it.
    pub(crate) fn end(&mut self) {
        self.post(Job::End);
        if let Some(thread) = self.thread.take() {
            // A panic has taken the process with it (panic = abort).
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Keeper {
    workers: u16,
    state_file: PathBuf,
    keeps: HashMap<PortIndex, Kept>,
    /// Queues and handles of ports that are about to be closed.
    retired: HashMap<PortIndex, Vec<Retired>>,
    reaper: Reaper,
}

/// What keeps a port's device.
struct Kept {
    name: String,
    keep: PortKeep,
    /// 0: unknown, in another namespace.
    ifindex: u32,
    /// Frames that might wait for the device before it was ours.
    tx_queue: Option<u32>,
    netns: Option<NetNs>,
    /// It was made for this port alone: nothing is put back, and nobody waits for its end.
    for_us: bool,
}

impl Keeper {
    fn perform(&mut self, id: EffectId, effect: Effect, handed: Vec<OwnedFd>) -> Done {
        let mut done = Done {
            id,
            result: Ok(EffectOutput::Done),
            handles: None,
            warnings: Vec::new(),
        };
        match effect {
            Effect::OpenPort { index, spec } => match self.open(index, &spec, handed) {
                Ok((facts, handles, warnings)) => {
                    done.result = Ok(EffectOutput::Opened(facts));
                    done.handles = Some((index, handles));
                    done.warnings = warnings;
                }
                Err(error) => done.result = Err(error),
            },
            Effect::ClosePort { index, delete } => done.result = self.close(index, delete),
            Effect::SetDevice { index, change } => done.result = self.set(index, &change),
            Effect::RestoreDevice(port) => done.result = state::restore(&port),
            Effect::SaveState(state) => {
                done.result = state::save(&self.state_file, &state)
                    .map(|()| EffectOutput::Done)
                    .map_err(|e| {
                        io_error(
                            "write the state file",
                            &self.state_file.display().to_string(),
                            &e,
                        )
                    });
            }
            Effect::AttachPort { .. }
            | Effect::DetachPort { .. }
            | Effect::Publish(_)
            | Effect::Send { .. }
            | Effect::CountVlans { .. } => {
                unreachable!("the control thread does these itself");
            }
        }
        done
    }

    fn open(
        &mut self,
        index: PortIndex,
        spec: &OpenSpec,
        handed: Vec<OwnedFd>,
    ) -> Result<(PortFacts, Handles, Vec<String>), EffectError> {
        if spec.kind == OpenKind::Mem {
            let port = MemPort::new(vswitch_core::port::TxCaps::ALL);
            let tx = (0..self.workers).map(|_| port.tx()).collect();
            let handles = Handles {
                rx: vec![port.rx()],
                tx,
                wire: Some(port),
            };
            let facts = PortFacts {
                mtu: spec.device.mtu.into(),
                running: true,
                ..PortFacts::default()
            };
            return Ok((facts, handles, Vec::new()));
        }
        if spec.kind == OpenKind::Bond {
            let handles = Handles {
                rx: Vec::new(),
                tx: Vec::new(),
                wire: None,
            };
            let facts = PortFacts {
                mtu: spec.device.mtu.into(),
                running: true,
                ..PortFacts::default()
            };
            return Ok((facts, handles, Vec::new()));
        }
        let mut netns = None;
        let opened = match &spec.kind {
            OpenKind::Nic {
                device,
                netns: Some(place),
                ..
            } => {
                let sockets = if handed.is_empty() {
                    handed::nic_sockets(&open_netns(place)?, self.workers)
                        .map_err(|e| io_error("enter the network namespace", place, &e))?
                } else {
                    handed
                };
                open_handed_nic(HandedNic {
                    name: device.clone(),
                    mac: spec.device.mac,
                    mtu: spec.device.mtu.into(),
                    workers: self.workers,
                    sockets,
                })
            }
            OpenKind::Nic {
                device, ring_slots, ..
            } => {
                let mut nic = NicSpec::new(device);
                nic.queues = spec.queues;
                nic.workers = self.workers;
                nic.ring_slots = ring_slots.unwrap_or(nic.ring_slots);
                nic.before = spec
                    .found
                    .as_ref()
                    .and_then(|found| serde_json::from_str(&found.0).ok());
                // A device with a larger MTU keeps it: the bridge's rule is about what leaves.
                let present = link::by_name(device).ok().flatten().map(|l| l.mtu);
                nic.mtu = present
                    .filter(|mtu| *mtu < spec.device.mtu.into())
                    .map(|_| spec.device.mtu.into());
                open_nic(&nic)
            }
            OpenKind::Tap {
                device, persistent, ..
            } if !handed.is_empty() => {
                let mut queues = handed.into_iter();
                let (Some(queue), None) = (queues.next(), queues.next()) else {
                    return Err(EffectError {
                        operation: format!("take over the TAP of {}", spec.name),
                        errno: 0,
                        errno_name: String::new(),
                        message: "one descriptor is needed, its queue".to_owned(),
                        hint: None,
                    });
                };
                open_handed_tap(HandedTap {
                    name: device.clone().unwrap_or_else(|| spec.name.clone()),
                    mac: spec.device.mac,
                    mtu: spec.device.mtu.into(),
                    workers: self.workers,
                    persistent: *persistent,
                    queue,
                })
            }
            OpenKind::Tap {
                device,
                netns: place,
                persistent,
                owner,
                group,
            } => {
                netns = place.as_deref().map(open_netns).transpose()?;
                let mut tap = self.tap_spec(spec);
                tap.name = device.clone().unwrap_or(tap.name);
                tap.persistent = *persistent;
                tap.owner = *owner;
                tap.group = *group;
                tap.netns = place.as_deref().map(open_netns).transpose()?;
                open_tap(&tap)
            }
            OpenKind::Host | OpenKind::Bond | OpenKind::Mem => open_tap(&self.tap_spec(spec)),
        };
        let OpenedPort {
            rx,
            tx,
            facts,
            keep,
            mut warnings,
            ..
        } = opened.map_err(|error| port_error(&error))?;
        if spec.kind == OpenKind::Host {
            for cidr in &spec.device.addresses {
                addr::add(facts.ifindex, prefix(cidr)).map_err(|e| {
                    io_error(&format!("give the address {cidr} to"), &spec.name, &e)
                })?;
            }
            if let Some(gateway) = spec.device.gateway
                && let Err(error) = addr::set_default_route(facts.ifindex, gateway)
            {
                warnings.push(format!("no default route by {gateway}: {error}"));
            }
        }
        let before = keep.before().and_then(|before| before.tx_queue);
        let wanted = spec.device.tx_queue.frames();
        let tx_queue = match facts.ifindex {
            // A device elsewhere is left as it is: its namespace need not be entered for that.
            0 => Ok(before),
            ifindex => within(netns.as_ref(), || tx_queue::begin(ifindex, before, wanted)),
        };
        let tx_queue = tx_queue.map_err(|e| io_error(SET_TX_QUEUE, &spec.name, &e))?;
        let found = keep
            .before()
            .and_then(|before| serde_json::to_string(before).ok());
        let told = PortFacts {
            ifindex: Some(facts.ifindex).filter(|ifindex| *ifindex != 0),
            mac: facts.mac,
            mtu: facts.mtu,
            running: facts.carrier || !matches!(spec.kind, OpenKind::Nic { .. }),
            speed_mbps: facts.speed_mbps,
            found: found.map(FoundState),
        };
        tracing::info!(
            port = spec.name,
            method = facts.method,
            memory = facts.memory_bytes,
            "port opened"
        );
        let handed = matches!(
            &spec.kind,
            OpenKind::Tap {
                device: Some(_),
                ..
            }
        );
        let kept = Kept {
            name: spec.name.clone(),
            keep,
            ifindex: facts.ifindex,
            tx_queue,
            netns,
            for_us: handed || spec.made_for_us,
        };
        self.keeps.insert(index, kept);
        let wire = None;
        Ok((told, Handles { rx, tx, wire }, warnings))
    }

    fn tap_spec(&self, spec: &OpenSpec) -> TapSpec {
        let mut tap = TapSpec::new(&spec.name);
        tap.mac = spec.device.mac;
        tap.mtu = Some(spec.device.mtu.into());
        tap.queues = spec.queues;
        tap.workers = self.workers;
        tap.up = spec.device.up;
        tap
    }

    fn close(&mut self, index: PortIndex, delete: bool) -> Result<EffectOutput, EffectError> {
        let handles = self.retired.remove(&index).unwrap_or_default();
        let Some(kept) = self.keeps.remove(&index) else {
            return Ok(EffectOutput::Done);
        };
        let Kept {
            name,
            keep,
            ifindex,
            netns,
            for_us,
            ..
        } = kept;
        let mortal = delete && keep.make_mortal().map_err(|error| port_error(&error))?;
        if delete && for_us && (mortal || netns.is_none()) {
            let device = Some(ifindex).filter(|_| !mortal);
            self.reaper.take(Remains {
                name,
                handles,
                keep,
                device,
            });
            return Ok(EffectOutput::Done);
        }
        drop(handles);
        keep.close().map_err(|error| port_error(&error))?;
        if delete && !mortal && ifindex != 0 {
            let gone = within(netns.as_ref(), || match link::by_index(ifindex)? {
                Some(_) => link::delete(ifindex),
                None => Ok(()),
            });
            gone.map_err(|e| io_error("delete the device of", &name, &e))?;
        }
        Ok(EffectOutput::Done)
    }

    fn set(&self, index: PortIndex, change: &DeviceChange) -> Result<EffectOutput, EffectError> {
        let Some(Kept {
            name,
            ifindex,
            tx_queue,
            netns,
            ..
        }) = self.keeps.get(&index)
        else {
            return Ok(EffectOutput::Done);
        };
        let ifindex = *ifindex;
        let set = |what: &str, work: &(dyn Fn() -> io::Result<()> + Sync)| {
            within(netns.as_ref(), work).map_err(|e| io_error(what, name, &e))
        };
        if let Some(mtu) = change.mtu {
            set("set the MTU of", &|| link::set_mtu(ifindex, mtu.into()))?;
        }
        let found = *tx_queue;
        if let Some(wanted) = change.tx_queue {
            set(SET_TX_QUEUE, &|| {
                tx_queue::change(ifindex, found, wanted.frames())
            })?;
        }
        if let Some(mac) = change.mac {
            set("set the address of", &|| link::set_mac(ifindex, mac))?;
        }
        if let Some(up) = change.up {
            set("switch", &|| link::set_up(ifindex, up))?;
        }
        if let Some(addresses) = &change.addresses {
            if let Some(gateway) = addresses.remove_gateway {
                set("take the default route from", &|| {
                    addr::remove_default_route(ifindex, gateway)
                })?;
            }
            for cidr in &addresses.remove {
                set("take an address from", &|| {
                    addr::remove(ifindex, prefix(cidr))
                })?;
            }
            for cidr in &addresses.add {
                set("give an address to", &|| addr::add(ifindex, prefix(cidr)))?;
            }
            if let Some(gateway) = addresses.add_gateway {
                set("give the default route to", &|| {
                    addr::set_default_route(ifindex, gateway)
                })?;
            }
        }
        Ok(EffectOutput::Done)
    }

    /// Keeps queues and handles until their port is closed, which follows.
    fn retire(&mut self, retired: Vec<Retired>) {
        for one in retired {
            let port = match &one {
                Retired::Queue(queue) => queue.id.port,
                Retired::Tx(port, _) => *port,
                Retired::Passed(_) | Retired::Sent(_) => continue,
            };
            self.retired.entry(port).or_default().push(one);
        }
    }

    fn give_everything_back(&mut self) {
        self.retired.clear();
        for (_, kept) in self.keeps.drain() {
            if let Err(error) = kept.keep.close() {
                tracing::warn!(
                    port = kept.name,
                    error = error.chain(),
                    "a device could not be put back"
                );
            }
        }
    }
}

fn within<T: Send>(
    netns: Option<&NetNs>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    match netns {
        Some(netns) => netns.run(work),
        None => work(),
    }
}

fn open_netns(place: &str) -> Result<NetNs, EffectError> {
    let path = if place.starts_with('/') {
        PathBuf::from(place)
    } else {
        Path::new("/run/netns").join(place)
    };
    NetNs::open(&path).map_err(|error| EffectError {
        hint: Some("`ip netns list` shows the namespaces that have a name".to_owned()),
        ..io_error(
            "open the network namespace",
            &path.display().to_string(),
            &error,
        )
    })
}

fn prefix(cidr: &Cidr) -> IpPrefix {
    // The text of one is the text of the other; a configured address has been checked.
    let text = cidr.to_string();
    let (addr, len) = text.split_once('/').unwrap_or((&text, "32"));
    IpPrefix {
        addr: addr.parse().unwrap_or_else(|_| IpAddr::from([0, 0, 0, 0])),
        len: len.parse().unwrap_or(32),
    }
}
