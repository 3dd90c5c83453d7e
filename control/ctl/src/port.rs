//! `vswctl port`: attachments to the outside, listed, shown, made, changed, counted.

mod view;

use std::path::Path;

use vswitch_api::request::{AddPort, DelPort, GetState, SetPort, StatsPorts};
use vswitch_api::types::PortsReply;

use crate::bridge::nothing_to_set;
use crate::change::{ChangeArgs, Options, report};
use crate::failure::Failure;
use crate::session::{Session, Watch};

pub(crate) use view::{Rates, direction, state_cell, vlan_words};
use view::{list, show, stats};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// All ports, one a line
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this bridge
        #[arg(long, short)]
        bridge: Option<String>,
        #[command(flatten)]
        watch: Watch,
    },
    /// One port, or all, in detail
    Show {
        /// Only this one
        port: Option<String>,
        #[command(flatten)]
        watch: Watch,
    },
    /// A new port
    Add {
        #[command(flatten)]
        edit: Edit,
        /// It is no error if the port is there already with these options
        #[arg(long)]
        may_exist: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Change options of a port
    Set {
        #[command(flatten)]
        edit: Edit,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Take a port away
    #[command(visible_aliases = ["rm", "delete"])]
    Del {
        /// The port
        port: String,
        /// It is no error if there is no such port
        #[arg(long)]
        if_exists: bool,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Switch a port on
    Up {
        /// The port
        port: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Switch a port off
    Down {
        /// The port
        port: String,
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Counters: every frame that came in is forwarded, punted or dropped for a reason
    Stats {
        /// Only this port, with its drops by reason
        port: Option<String>,
        #[command(flatten)]
        watch: Watch,
    },
}

/// A port and its options.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Edit {
    /// The port
    port: String,
    /// The bridge
    #[arg(long, short)]
    bridge: Option<String>,
    /// What it is made of: nic, tap. For a new port: nic if --device is given or there is a
    /// network device of the port's name, else tap
    #[arg(long, short)]
    kind: Option<String>,
    /// The network device of a nic; default: the port's name
    #[arg(long)]
    device: Option<String>,
    /// Access port: the one VLAN
    #[arg(long, value_name = "VLAN")]
    vlan: Option<String>,
    /// Trunk: the tagged VLANs, such as 100,200-299
    #[arg(long, value_name = "SET")]
    trunk: Option<String>,
    /// Trunk: the VLAN of untagged frames
    #[arg(long, value_name = "VLAN")]
    native_vlan: Option<String>,
    /// Bytes of payload
    #[arg(long, value_name = "BYTES")]
    mtu: Option<String>,
    /// Frames that may wait for the device to send them
    #[arg(long, value_name = "FRAMES")]
    txqueuelen: Option<String>,
    /// The address of a TAP's device
    #[arg(long)]
    mac: Option<String>,
    /// The network namespace that a TAP is moved into
    #[arg(long, value_name = "NAME|PATH")]
    netns: Option<String>,
    /// Receive queues, 1 to 64
    #[arg(long, value_name = "N")]
    queues: Option<String>,
    /// It may not talk to other isolated ports
    #[arg(long)]
    isolated: bool,
    /// A frame may leave by the port it came in
    #[arg(long)]
    hairpin: bool,
    /// The TAP outlives the daemon
    #[arg(long)]
    persistent: bool,
    /// Any option of [port.NAME] in the configuration; KEY= puts it back to its default
    #[arg(value_name = "KEY=VALUE")]
    options: Vec<String>,
}

impl Edit {
    fn options(&self) -> Result<Options, Failure> {
        let mut options = Options::default();
        let given = [
            ("bridge", &self.bridge),
            ("kind", &self.kind),
            ("device", &self.device),
            ("vlan", &self.vlan),
            ("trunk", &self.trunk),
            ("native_vlan", &self.native_vlan),
            ("mtu", &self.mtu),
            ("txqueuelen", &self.txqueuelen),
            ("mac", &self.mac),
            ("netns", &self.netns),
            ("queues", &self.queues),
        ];
        for (key, value) in given {
            options.set(key, value.as_deref())?;
        }
        options.flag("isolated", self.isolated);
        options.flag("hairpin", self.hairpin);
        options.flag("persistent", self.persistent);
        options.words(&self.options)?;
        Ok(options)
    }

    /// For a new port: with its kind.
    fn new_port(&self, exists: impl Fn(&str) -> bool) -> Result<Options, Failure> {
        let mut options = self.options()?;
        if !options.contains("kind") {
            let nic = options.contains("device") || exists(&self.port);
            options.insert("kind", if nic { "nic" } else { "tap" });
        }
        Ok(options)
    }

    /// For a port that is there: one way of saying VLANs takes the place of the other.
    fn changes(&self) -> Result<Options, Failure> {
        let mut options = self.options()?;
        let access = options.contains("vlan");
        let trunk = options.contains("trunk") || options.contains("native_vlan");
        if access && !trunk {
            options.reset("trunk");
            options.reset("native_vlan");
        }
        if trunk && !access {
            options.reset("vlan");
        }
        if access || trunk {
            options.reset("vlans");
        }
        Ok(options)
    }
}

/// Whether this network namespace has a device of this name.
fn device_exists(name: &str) -> bool {
    vswitch_api::config::check_name("port", name).is_ok()
        && Path::new("/sys/class/net").join(name).exists()
}

pub(crate) fn run(command: Command, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    match command {
        Command::List { bridge, watch } => session.show_watched(&watch, |session| {
            let state = session
                .call(GetState {
                    bridge: bridge.clone(),
                    port: None,
                })?
                .state;
            Ok(list(&state))
        }),
        Command::Show { port, watch } => session.show_watched(&watch, |session| {
            let state = session
                .call(GetState {
                    bridge: None,
                    port: port.clone(),
                })?
                .state;
            Ok(show(&state, &session.look))
        }),
        Command::Add {
            edit,
            may_exist,
            change:
                ChangeArgs {
                    dry_run,
                    expect_generation,
                },
        } => {
            let config = edit.new_port(device_exists)?.into_value();
            let request = AddPort {
                name: edit.port,
                config,
                may_exist,
                expect_generation,
                dry_run,
            };
            report(&session.call(request)?, dry_run, session)
        }
        Command::Set { edit, change } => {
            let options = edit.changes()?;
            if options.is_empty() {
                return Err(nothing_to_set("port", &edit.port));
            }
            set(edit.port, options, &change, session)
        }
        Command::Up { port, change } => enable(port, true, &change, session),
        Command::Down { port, change } => enable(port, false, &change, session),
        Command::Del {
            port,
            if_exists,
            change:
                ChangeArgs {
                    dry_run,
                    expect_generation,
                },
        } => {
            let request = DelPort {
                name: port,
                if_exists,
                expect_generation,
                dry_run,
            };
            report(&session.call(request)?, dry_run, session)
        }
        Command::Stats { port, watch } => {
            let mut before: Option<PortsReply> = None;
            session.show_watched(&watch, |session| {
                let now = session.call(StatsPorts { port: port.clone() })?;
                let view = stats(&now, before.as_ref(), port.is_some(), &session.look)?;
                before = Some(now);
                Ok(view)
            })
        }
    }
}

fn enable(
    port: String,
    up: bool,
    change: &ChangeArgs,
    session: &mut Session<'_, '_>,
) -> Result<(), Failure> {
    let mut options = Options::default();
    options.insert("enabled", up);
    set(port, options, change, session)
}

fn set(
    name: String,
    options: Options,
    change: &ChangeArgs,
    session: &mut Session<'_, '_>,
) -> Result<(), Failure> {
    let ChangeArgs {
        dry_run,
        expect_generation,
    } = *change;
    let request = SetPort {
        name,
        config: options.into_value(),
        expect_generation,
        dry_run,
    };
    report(&session.call(request)?, dry_run, session)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use serde_json::json;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        edit: Edit,
    }

    fn edit(line: &str) -> Edit {
        Line::parse_from(std::iter::once("port").chain(line.split(' '))).edit
    }

    #[test]
    fn the_kind_of_a_new_port_follows_from_what_there_is() {
        let kind = |line: &str, exists: bool| {
            edit(line).new_port(|_| exists).unwrap().into_value()["kind"].clone()
        };
        assert_eq!(kind("vm1 --bridge b", false), "tap");
        assert_eq!(kind("eth1 --bridge b", true), "nic");
        assert_eq!(kind("p --device eth1", false), "nic");
        assert_eq!(kind("eth1 --kind tap", true), "tap");
        assert_eq!(kind("eth1 kind=mem", true), "mem");
        assert!(!device_exists("../../etc"), "a name is no path");
    }

    #[test]
    fn access_takes_the_place_of_trunk_and_back() {
        assert_eq!(
            edit("p --vlan 5").changes().unwrap().into_value(),
            json!({"vlan": 5, "trunk": null, "native_vlan": null, "vlans": null})
        );
        assert_eq!(
            edit("p --trunk 5,7-9 mtu=").changes().unwrap().into_value(),
            json!({"trunk": [5, "7-9"], "vlan": null, "vlans": null, "mtu": null})
        );
        assert_eq!(
            edit("p isolated=off").changes().unwrap().into_value(),
            json!({"isolated": false})
        );
    }
}
