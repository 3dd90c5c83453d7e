//! `vswctl port`: attachments to the outside, listed, shown, made, changed, counted.

use std::collections::HashMap;
use std::path::Path;

use vswitch_api::request::{AddPort, DelPort, GetState, SetPort, StatsPorts};
use vswitch_api::types::{
    FrameDirection, OwnerKind, Port, PortCounters, PortVlans, PortsReply, State,
};

use crate::bridge::nothing_to_set;
use crate::change::{ChangeArgs, Options, report};
use crate::failure::Failure;
use crate::render::{Body, Cell, Facts, Look, Style, Table, View, or_dash};
use crate::session::{Session, Watch};
use crate::units;

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

/// A port's VLANs in few words: `pvid 1  tagged 100,200-299`.
pub(crate) fn vlan_words(vlans: &PortVlans) -> String {
    let join = |ranges: &[vswitch_api::types::VlanRange]| {
        ranges
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(",")
    };
    let mut words = Vec::new();
    if let Some(pvid) = vlans.pvid {
        words.push(format!("pvid {pvid}"));
    }
    // The usual case, untagged in the PVID and nowhere else, needs no word of its own.
    let usual = vlans.untagged.len() == 1
        && vlans
            .untagged
            .iter()
            .all(|range| range.first == range.last && Some(range.first) == vlans.pvid);
    if !vlans.untagged.is_empty() && !usual {
        words.push(format!("untagged {}", join(&vlans.untagged)));
    }
    if !vlans.tagged.is_empty() {
        words.push(format!("tagged {}", join(&vlans.tagged)));
    }
    words.join("  ")
}

/// The state with the colour of its meaning.
pub(crate) fn state_cell(port: &Port) -> Cell {
    let style = match port.state.as_str() {
        "up" => Style::Good,
        "down" if !port.admin_up => Style::Dim,
        _ => Style::Bad,
    };
    Cell::new(style, &port.state)
}

const fn owner(port: &Port) -> &'static str {
    match port.owner.kind {
        OwnerKind::Static => "static",
        OwnerKind::Api => "api",
        OwnerKind::Cni => "cni",
    }
}

fn names(state: &State) -> Vec<String> {
    state.ports.iter().map(|port| port.name.clone()).collect()
}

fn list(state: &State) -> View {
    let columns = [
        "NAME", "BRIDGE", "KIND", "STATE", "MTU>", "FDB>", "VLANS", "+DEVICE", "+MAC", "+QUEUES>",
        "+SPEED", "+OWNER", "+FOR", "+REASON",
    ];
    let mut table = Table::new(&columns);
    for port in &state.ports {
        table.row(vec![
            Cell::new(Style::Strong, &port.name),
            or_dash(port.bridge.as_ref()),
            port.kind.as_str().into(),
            state_cell(port),
            port.mtu.into(),
            port.fdb_entries.into(),
            vlan_words(&port.vlans).into(),
            or_dash(port.netdev.as_ref()),
            or_dash(port.mac.as_ref()),
            port.queues.into(),
            or_dash(port.speed_mbps.map(units::speed)),
            owner(port).into(),
            or_dash(units::age(&port.since, &state.snapshot_time)),
            or_dash(port.reason.as_ref()),
        ]);
    }
    View::table(&state.ports, table, names(state))
}

fn show(state: &State, look: &Look) -> View {
    let mut text = String::new();
    for port in &state.ports {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&look.paint(Style::Strong, &port.name));
        text.push('\n');
        text.push_str(&facts(port, &state.snapshot_time).text(look, "  "));
    }
    if state.ports.is_empty() {
        text.push_str("there is no port: vswctl port add NAME --bridge BRIDGE\n");
    }
    View::text(&state.ports, text, names(state))
}

fn facts(port: &Port, now: &str) -> Facts {
    let mut facts = Facts::default();
    let since = units::age(&port.since, now).map_or_else(String::new, |age| format!(" for {age}"));
    let reason = port
        .reason
        .as_ref()
        .map_or_else(String::new, |reason| format!(": {reason}"));
    let admin = if port.admin_up { "" } else { " (switched off)" };
    let style = if port.state == "up" {
        Style::Good
    } else {
        Style::Bad
    };
    facts.add(
        "state",
        Cell::new(style, format!("{}{admin}{since}{reason}", port.state)),
    );
    facts.add("bridge", port.bridge.as_deref().unwrap_or("none"));
    facts.maybe("bond", port.bond.as_deref());
    facts.add(
        "kind",
        if port.uplink {
            format!("{}, the bridge's uplink", port.kind)
        } else {
            port.kind.clone()
        },
    );
    let index = port
        .ifindex
        .map_or_else(String::new, |index| format!(" (index {index})"));
    facts.maybe(
        "device",
        port.netdev
            .as_ref()
            .map(|device| format!("{device}{index}")),
    );
    facts.maybe("namespace", port.netns.as_deref());
    facts.maybe("address", port.mac.as_deref());
    if !port.addresses.is_empty() {
        facts.add("ip", port.addresses.join(", "));
    }
    facts.add("mtu", port.mtu);
    facts.add("queues", port.queues);
    facts.maybe("speed", port.speed_mbps.map(units::speed));
    let words = vlan_words(&port.vlans);
    facts.add(
        "vlans",
        if words.is_empty() {
            "none".to_owned()
        } else {
            words
        },
    );
    facts.add("learned", port.fdb_entries);
    facts.maybe("limit", port.flags.mac_limit);
    let flags = &port.flags;
    facts.add(
        "frames",
        format!(
            "accepted {}, spanning tree {}, bpdu {}",
            flags.accept_frames, flags.stp_state, flags.bpdu
        ),
    );
    let unusual = [
        (flags.hairpin, "hairpin"),
        (flags.isolated, "isolated"),
        (!flags.learning, "no learning"),
        (!flags.flood, "no flood"),
        (!flags.mcast_flood, "no mcast_flood"),
        (!flags.bcast_flood, "no bcast_flood"),
    ];
    let unusual: Vec<&str> = unusual
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, name)| *name)
        .collect();
    if !unusual.is_empty() {
        facts.add("flags", unusual.join(", "));
    }
    if flags.group_fwd_mask != 0 {
        facts.add("group mask", format!("{:#06x}", flags.group_fwd_mask));
    }
    facts.add("owner", owner(port));
    facts
}

fn dropped(counters: &PortCounters) -> u64 {
    counters
        .drops
        .iter()
        .map(|drop| drop.frames)
        .fold(0, u64::saturating_add)
}

/// Counters as a table; with an earlier reading also rates; one port also its drops.
fn stats(
    now: &PortsReply,
    before: Option<&PortsReply>,
    one: bool,
    look: &Look,
) -> Result<View, Failure> {
    let seconds =
        before.and_then(|before| units::seconds_between(&before.snapshot_time, &now.snapshot_time));
    let old: HashMap<&str, &PortCounters> = before
        .iter()
        .flat_map(|before| &before.ports)
        .map(|counters| (counters.port.as_str(), counters))
        .collect();
    let mut columns = vec![
        "PORT",
        "IN>",
        "BYTES-IN>",
        "OUT>",
        "BYTES-OUT>",
        "FORWARDED>",
        "PUNTED>",
        "DROPS>",
    ];
    if seconds.is_some() {
        columns.extend(["IN/S>", "OUT/S>", "RATE-IN>", "RATE-OUT>"]);
    }
    let mut table = Table::new(&columns);
    for counters in &now.ports {
        let drops = dropped(counters);
        let mut row: Vec<Cell> = vec![
            Cell::new(Style::Strong, &counters.port),
            counters.frames_in.into(),
            units::bytes(counters.bytes_in).into(),
            counters.frames_out.into(),
            units::bytes(counters.bytes_out).into(),
            counters.frames_forwarded.into(),
            counters.frames_punted.into(),
            Cell::new(
                if drops > 0 { Style::Warn } else { Style::Plain },
                drops.to_string(),
            ),
        ];
        if let Some(seconds) = seconds {
            let old = old.get(counters.port.as_str());
            let grown = |field: fn(&PortCounters) -> u64| {
                old.and_then(|old| units::growth(field(old), field(counters), seconds))
            };
            row.push(or_dash(
                grown(|c| c.frames_in).map(|rate| units::rate(rate, "pps")),
            ));
            row.push(or_dash(
                grown(|c| c.frames_out).map(|rate| units::rate(rate, "pps")),
            ));
            row.push(or_dash(
                grown(|c| c.bytes_in).map(|rate| units::rate(rate * 8.0, "bit/s")),
            ));
            row.push(or_dash(
                grown(|c| c.bytes_out).map(|rate| units::rate(rate * 8.0, "bit/s")),
            ));
        }
        table.row(row);
    }
    let names = now
        .ports
        .iter()
        .map(|counters| counters.port.clone())
        .collect();
    let mut view = View::table(&now, table, names);
    if one && now.ports.iter().any(|counters| !counters.drops.is_empty()) {
        let mut text = view.print(&Look {
            format: crate::render::Format::Table,
            ..look.clone()
        })?;
        text.push('\n');
        let mut drops = Table::new(&["DROPPED", "DIR", "FRAMES>"]);
        for drop in now.ports.iter().flat_map(|counters| &counters.drops) {
            drops.row(vec![
                drop.reason.as_str().into(),
                direction(drop.direction).into(),
                drop.frames.into(),
            ]);
        }
        let plain = Look {
            columns: Vec::new(),
            sort: None,
            format: crate::render::Format::Table,
            ..look.clone()
        };
        text.push_str(&View::table(&(), drops, Vec::new()).print(&plain)?);
        view.body = Body::Text(text);
    }
    Ok(view)
}

/// `in` or `out`.
pub(crate) const fn direction(direction: FrameDirection) -> &'static str {
    match direction {
        FrameDirection::In => "in",
        FrameDirection::Out => "out",
    }
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

    #[test]
    fn vlans_in_few_words() {
        let range = |first, last| vswitch_api::types::VlanRange { first, last };
        let access = PortVlans {
            pvid: Some(100),
            untagged: vec![range(100, 100)],
            tagged: vec![],
        };
        assert_eq!(vlan_words(&access), "pvid 100");
        let trunk = PortVlans {
            pvid: None,
            untagged: vec![],
            tagged: vec![range(1, 4), range(9, 9)],
        };
        assert_eq!(vlan_words(&trunk), "tagged 1-4,9");
        let odd = PortVlans {
            pvid: Some(5),
            untagged: vec![range(6, 6)],
            tagged: vec![range(5, 5)],
        };
        assert_eq!(vlan_words(&odd), "pvid 5  untagged 6  tagged 5");
        assert_eq!(vlan_words(&PortVlans::default()), "");
    }
}
