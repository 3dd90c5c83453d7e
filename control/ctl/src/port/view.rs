//! What `vswctl port` prints: lists, details, counters. Pure.

use std::collections::HashMap;

use vswitch_api::types::{
    FrameDirection, OwnerKind, Port, PortCounters, PortVlans, PortsReply, State, VlanRange,
};

use crate::failure::Failure;
use crate::render::{Body, Cell, Facts, Format, Look, Style, Table, View, or_dash};
use crate::units;

/// A port's VLANs in few words: `pvid 1  tagged 100,200-299`.
pub(crate) fn vlan_words(vlans: &PortVlans) -> String {
    let join = |ranges: &[VlanRange]| {
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

pub(super) fn list(state: &State) -> View {
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

pub(super) fn show(state: &State, look: &Look) -> View {
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
    facts.maybe("txqueuelen", port.txqueuelen);
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
        (port.held == Some(true), "held until its guest speaks"),
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

/// What a port does in a second; `None`: it was not there at the reading before, or counts anew.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) frames_in: Option<f64>,
    pub(crate) frames_out: Option<f64>,
    pub(crate) bits_in: Option<f64>,
    pub(crate) bits_out: Option<f64>,
    pub(crate) drops: Option<f64>,
}

impl Rates {
    /// From two readings of a port, so many seconds apart.
    pub(crate) fn between(old: Option<&PortCounters>, now: &PortCounters, seconds: f64) -> Self {
        let grown = |field: fn(&PortCounters) -> u64| {
            old.and_then(|old| units::growth(field(old), field(now), seconds))
        };
        Self {
            frames_in: grown(|c| c.frames_in),
            frames_out: grown(|c| c.frames_out),
            bits_in: grown(|c| c.bytes_in).map(|bytes| bytes * 8.0),
            bits_out: grown(|c| c.bytes_out).map(|bytes| bytes * 8.0),
            drops: grown(dropped),
        }
    }

    /// Frames in both directions; 0 where nothing is known.
    pub(crate) fn frames(&self) -> f64 {
        self.frames_in.unwrap_or(0.0) + self.frames_out.unwrap_or(0.0)
    }

    /// The headings of [`Self::cells`].
    pub(crate) const COLUMNS: [&'static str; 5] =
        ["IN/S>", "OUT/S>", "RATE-IN>", "RATE-OUT>", "DROPS/S>"];

    /// For people.
    pub(crate) fn cells(&self) -> [Cell; 5] {
        let rate = |value: Option<f64>, unit| or_dash(value.map(|value| units::rate(value, unit)));
        let drops = match self.drops {
            Some(drops) if drops > 0.0 => Cell::new(Style::Warn, units::rate(drops, "pps")),
            other => rate(other, "pps"),
        };
        [
            rate(self.frames_in, "pps"),
            rate(self.frames_out, "pps"),
            rate(self.bits_in, "bit/s"),
            rate(self.bits_out, "bit/s"),
            drops,
        ]
    }
}

/// Counters as a table; with an earlier reading also rates; one port also its drops.
pub(super) fn stats(
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
        columns.extend(Rates::COLUMNS);
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
            let old = old.get(counters.port.as_str()).copied();
            row.extend(Rates::between(old, counters, seconds).cells());
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
            format: Format::Table,
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
            format: Format::Table,
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

    #[test]
    fn vlans_in_few_words() {
        let range = |first, last| VlanRange { first, last };
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
