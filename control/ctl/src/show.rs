//! `vswctl show`: bridges and their ports as a tree.

use vswitch_api::request::GetState;
use vswitch_api::types::{Port, State};

use crate::failure::Failure;
use crate::port::{state_cell, vlan_words};
use crate::render::{Format, Look, Style, Table, View};
use crate::session::{Session, Watch};
use crate::units;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this bridge
    bridge: Option<String>,
    #[command(flatten)]
    watch: Watch,
}

pub(crate) fn run(args: &Args, session: &mut Session<'_, '_>) -> Result<(), Failure> {
    session.show_watched(&args.watch, |session| {
        let state = session
            .call(GetState {
                bridge: args.bridge.clone(),
                port: None,
            })?
            .state;
        view(&state, &session.look)
    })
}

/// What distinguishes a port of its kind.
fn detail(port: &Port) -> String {
    let mut words = Vec::new();
    if port.uplink {
        words.push("uplink".to_owned());
    }
    words.extend(port.speed_mbps.map(units::speed));
    words.extend(port.addresses.iter().cloned());
    words.extend(port.netns.as_ref().map(|netns| format!("in {netns}")));
    words.extend(
        port.netdev
            .as_ref()
            .filter(|device| **device != port.name)
            .map(|device| format!("on {device}")),
    );
    if port.queues > 1 {
        words.push(format!("{} queues", port.queues));
    }
    words.join(" ")
}

/// Uplink first, then host ports, then the others; each by name.
fn order(port: &Port) -> (u8, &str) {
    let class = if port.uplink {
        0
    } else if port.kind == "host" {
        1
    } else {
        2
    };
    (class, &port.name)
}

fn branch(state_ports: &[&Port], vlan_filtering: bool, look: &Look) -> Result<String, Failure> {
    let mut table = Table::new(&["PORT", "KIND", "DETAIL", "STATE", "VLANS"]);
    let mut ports = state_ports.to_vec();
    ports.sort_by_key(|port| order(port));
    for (index, port) in ports.iter().enumerate() {
        let last = index + 1 == ports.len();
        let lead = if last {
            look.pick("└─ ", "`- ")
        } else {
            look.pick("├─ ", "|- ")
        };
        let vlans = if vlan_filtering {
            vlan_words(&port.vlans)
        } else {
            String::new()
        };
        let reason = port
            .reason
            .as_ref()
            .filter(|_| port.state != "up")
            .map_or_else(String::new, |why| format!("  ({why})"));
        table.row(vec![
            format!("{lead}{}", port.name).into(),
            port.kind.as_str().into(),
            detail(port).into(),
            state_cell(port),
            format!("{vlans}{reason}").into(),
        ]);
    }
    let plain = Look {
        headers: false,
        columns: Vec::new(),
        sort: None,
        format: Format::Table,
        ..look.clone()
    };
    View::table(&(), table, Vec::new()).print(&plain)
}

fn view(state: &State, look: &Look) -> Result<View, Failure> {
    let mut text = String::new();
    for bridge in &state.bridges {
        if !text.is_empty() {
            text.push('\n');
        }
        let aware = if bridge.vlan_filtering {
            "vlan-aware"
        } else {
            "vlan-unaware"
        };
        let head = look.paint(Style::Strong, &crate::render::clean(&bridge.name));
        text.push_str(&format!(
            "{head}   {aware}   mtu {}   fdb {}\n",
            bridge.mtu, bridge.fdb_entries
        ));
        let ports: Vec<&Port> = state
            .ports
            .iter()
            .filter(|port| port.bridge.as_deref() == Some(&bridge.name))
            .collect();
        text.push_str(&branch(&ports, bridge.vlan_filtering, look)?);
    }
    let loose: Vec<&Port> = state
        .ports
        .iter()
        .filter(|port| port.bridge.is_none())
        .collect();
    if !loose.is_empty() {
        text.push_str(if text.is_empty() {
            "(no bridge)\n"
        } else {
            "\n(no bridge)\n"
        });
        text.push_str(&branch(&loose, true, look)?);
    }
    if text.is_empty() {
        text.push_str("there is no bridge yet: vswctl bridge add NAME\n");
    }
    let names = state
        .bridges
        .iter()
        .map(|bridge| bridge.name.clone())
        .collect();
    Ok(View::text(state, text, names))
}
