//! The text layouts and the JSON of iproute2's `bridge vlan show` and `bridge fdb show`.
//!
//! Two layouts of VLANs: the current one, in columns 16 wide, and the one with tabs that
//! iproute2 had before 5.7 and that older manuals show. Guaranteed byte for byte by goldens
//! recorded from the tool itself (`tests/golden/bridge`, `scripts/record-bridge-goldens`),
//! with one kernel's habit that is kept on purpose: JSON has an empty `flags` for ranges but
//! none for single VLANs. Pure. Implements features.md S-15 and 3.12.

use serde_json::{Map, Value, json};
use vswitch_api::types::{FdbEntry, FdbKind, Port, PortVlans, VlanRange};

/// Which iproute2 to print like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Layout {
    /// Columns 16 wide, `vlan-id`: iproute2 5.7 and later
    #[default]
    Current,
    /// Tabs, `vlan ids`: iproute2 before 5.7
    Legacy,
}

/// One row: a VLAN, or VLANs that differ in nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    range: VlanRange,
    pvid: bool,
    untagged: bool,
}

impl Row {
    fn flags(self) -> Vec<&'static str> {
        let flags = [(self.pvid, "PVID"), (self.untagged, "Egress Untagged")];
        flags
            .iter()
            .filter(|(set, _)| *set)
            .map(|(_, name)| *name)
            .collect()
    }

    fn text(self) -> String {
        let mut text = self.range.to_string();
        for flag in self.flags() {
            text.push(' ');
            text.push_str(flag);
        }
        text
    }

    fn json(self) -> Value {
        let mut object = Map::new();
        object.insert("vlan".into(), self.range.first.into());
        let single = self.range.first == self.range.last;
        if !single {
            object.insert("vlanEnd".into(), self.range.last.into());
        }
        if !(single && self.flags().is_empty()) {
            object.insert("flags".into(), json!(self.flags()));
        }
        Value::Object(object)
    }
}

/// How VLANs are shown.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct VlanOptions {
    pub(crate) layout: Layout,
    /// Neighbours that differ in nothing are one row: `100-110`.
    pub(crate) compress: bool,
    /// Only the rows that hold this VLAN.
    pub(crate) vid: Option<u16>,
}

/// The rows of a port, ascending.
fn rows(vlans: &PortVlans, options: VlanOptions) -> Vec<Row> {
    let pieces = |ranges: &[VlanRange], untagged| {
        let singles = ranges.iter().flat_map(|range| range.first..=range.last);
        singles.map(move |vid| (vid, untagged)).collect::<Vec<_>>()
    };
    let mut vids = pieces(&vlans.tagged, false);
    vids.extend(pieces(&vlans.untagged, true));
    vids.sort_unstable();
    vids.dedup_by_key(|(vid, _)| *vid);
    let mut rows: Vec<Row> = Vec::new();
    for (vid, untagged) in vids {
        let pvid = vlans.pvid == Some(vid);
        match rows.last_mut() {
            Some(last)
                if options.compress
                    && last.range.last.checked_add(1) == Some(vid)
                    && (last.pvid, last.untagged) == (pvid, untagged) =>
            {
                last.range.last = vid;
            }
            _ => rows.push(Row {
                range: VlanRange::single(vid),
                pvid,
                untagged,
            }),
        }
    }
    if let Some(vid) = options.vid {
        rows.retain(|row| row.range.contains(vid));
    }
    rows
}

/// What `bridge vlan show` prints.
pub(crate) fn vlan_text(ports: &[&Port], options: VlanOptions, headers: bool) -> String {
    let mut text = String::new();
    if headers {
        text.push_str(match options.layout {
            // The column of numbers is nine wide, with nothing behind it.
            Layout::Current => "port              vlan-id  \n",
            Layout::Legacy => "port\tvlan ids\n",
        });
    }
    for port in ports {
        let rows = rows(&port.vlans, options);
        match options.layout {
            Layout::Current => push_current(&mut text, &port.name, &rows),
            Layout::Legacy => push_legacy(&mut text, &port.name, &rows, options.vid.is_some()),
        }
    }
    text
}

fn push_current(text: &mut String, name: &str, rows: &[Row]) {
    for (index, row) in rows.iter().enumerate() {
        let name = if index == 0 { name } else { "" };
        text.push_str(&format!("{name:<16}  {}\n", row.text()));
    }
}

/// With a filter each row names its port; without, a port ends with an empty line, unless it is
/// in no VLAN at all.
fn push_legacy(text: &mut String, name: &str, rows: &[Row], filtered: bool) {
    if rows.is_empty() {
        if !filtered {
            text.push_str(&format!("{name}\tNone\n"));
        }
        return;
    }
    for (index, row) in rows.iter().enumerate() {
        let name = if index == 0 || filtered { name } else { "" };
        text.push_str(&format!("{name}\t {}\n", row.text()));
    }
    if !filtered {
        text.push('\n');
    }
}

/// What `bridge -j vlan show` prints: ports without a VLAN are left out.
pub(crate) fn vlan_json(ports: &[&Port], options: VlanOptions) -> Value {
    let with_rows = ports.iter().map(|port| (port, rows(&port.vlans, options)));
    let ports = with_rows.filter(|(_, rows)| !rows.is_empty()).map(|(port, rows)| {
        json!({"ifname": port.name, "vlans": rows.into_iter().map(Row::json).collect::<Vec<_>>()})
    });
    ports.collect()
}

/// The state that iproute2 prints for a kind of entry.
const fn state(kind: FdbKind) -> &'static str {
    match kind {
        FdbKind::Dynamic => "",
        FdbKind::Static => "static",
        FdbKind::Local => "permanent",
    }
}

/// What `bridge fdb show` prints.
pub(crate) fn fdb_text(entries: &[FdbEntry]) -> String {
    let line = |entry: &FdbEntry| {
        let vlan = if entry.vlan == 0 {
            String::new()
        } else {
            format!("vlan {} ", entry.vlan)
        };
        format!(
            "{} dev {} {vlan}master {} {}\n",
            entry.mac,
            entry.port,
            entry.bridge,
            state(entry.kind)
        )
    };
    entries.iter().map(line).collect()
}

/// What `bridge -j fdb show` prints.
pub(crate) fn fdb_json(entries: &[FdbEntry]) -> Value {
    let object = |entry: &FdbEntry| {
        let mut object = Map::new();
        object.insert("mac".into(), json!(entry.mac));
        object.insert("ifname".into(), json!(entry.port));
        if entry.vlan != 0 {
            object.insert("vlan".into(), json!(entry.vlan));
        }
        object.insert("flags".into(), json!([]));
        object.insert("master".into(), json!(entry.bridge));
        object.insert("state".into(), json!(state(entry.kind)));
        Value::Object(object)
    };
    entries.iter().map(object).collect()
}

#[cfg(test)]
mod tests;
