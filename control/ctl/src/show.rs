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
    let is_member = |port: &&Port| port.bond.is_some();
    let (members, mut ports): (Vec<&Port>, Vec<&Port>) =
        state_ports.iter().copied().partition(is_member);
    ports.sort_by_key(|port| order(port));
    let mut rows: Vec<(String, &Port)> = Vec::new();
    let lead = |last| match last {
        true => look.pick("└─ ", "`- "),
        false => look.pick("├─ ", "|- "),
    };
    for (index, port) in ports.iter().enumerate() {
        let last = index + 1 == ports.len();
        rows.push((lead(last).to_owned(), port));
        // A bond's members beneath it.
        let of = |member: &&&Port| member.bond.as_deref() == Some(port.name.as_str());
        let own: Vec<&&Port> = members.iter().filter(of).collect();
        let stem = if last {
            "   "
        } else {
            look.pick("│  ", "|  ")
        };
        for (at, member) in own.iter().enumerate() {
            rows.push((format!("{stem}{}", lead(at + 1 == own.len())), member));
        }
    }
    for (lead, port) in rows {
        let vlans = if vlan_filtering {
            vlan_words(&port.vlans)
        } else {
            String::new()
        };
        let reason = port
            .reason
            .as_ref()
            .filter(|_| port.state != "up" || port.bond.is_some())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_bond_stand_beneath_it_with_what_they_do() {
        let port = |name: &str, bond: Option<&str>, reason: Option<&str>| Port {
            name: name.to_owned(),
            kind: if bond.is_some() { "nic" } else { "bond" }.to_owned(),
            bond: bond.map(str::to_owned),
            reason: reason.map(str::to_owned),
            state: "up".to_owned(),
            uplink: name == "bond0",
            ..Port::default()
        };
        let ports = [
            port("a1", Some("bond0"), Some("carries frames of bond0")),
            port("b1", Some("bond1"), None),
            port("bond0", None, None),
            port("bond1", None, None),
            port("z1", Some("bond0"), Some("on standby in bond0")),
        ];
        let ports: Vec<&Port> = ports.iter().collect();
        let text = branch(&ports, false, &Look::plain()).expect("a tree");
        let words: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            words,
            [
                "├─ bond0 bond uplink up",
                "│ ├─ a1 nic up (carries frames of bond0)",
                "│ └─ z1 nic up (on standby in bond0)",
                "└─ bond1 bond up",
                "└─ b1 nic up",
            ]
        );
    }
}
