//! Our lines against those of the real tool about a real kernel bridge, byte for byte.

use std::path::PathBuf;

use super::*;

fn golden(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/bridge")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// One bridge of `config.json`: what was configured in the kernel, as our reply types.
struct Scenario {
    name: String,
    ports: Vec<Port>,
    fdb: Vec<FdbEntry>,
}

fn number(value: &Value) -> u16 {
    u16::try_from(value.as_u64().unwrap()).unwrap()
}

fn scenarios() -> Vec<Scenario> {
    let config: Value = serde_json::from_str(&golden("config.json")).unwrap();
    config.as_array().unwrap().iter().map(scenario).collect()
}

fn scenario(config: &Value) -> Scenario {
    let port = |port: &Value| {
        let mut vlans = PortVlans::default();
        for entry in port["vlans"].as_array().unwrap() {
            let first = number(&entry["vid"]);
            let last = entry.get("last").map_or(first, number);
            if entry["pvid"] == true {
                vlans.pvid = Some(first);
            }
            let set = if entry["untagged"] == true {
                &mut vlans.untagged
            } else {
                &mut vlans.tagged
            };
            set.push(VlanRange { first, last });
        }
        Port {
            name: port["name"].as_str().unwrap().to_owned(),
            vlans,
            ..Port::default()
        }
    };
    let entry = |entry: &Value| FdbEntry {
        bridge: config["bridge"].as_str().unwrap().to_owned(),
        mac: entry["mac"].as_str().unwrap().to_owned(),
        vlan: number(&entry["vlan"]),
        port: entry["port"].as_str().unwrap().to_owned(),
        kind: serde_json::from_value(entry["kind"].clone()).unwrap(),
        ..FdbEntry::default()
    };
    Scenario {
        name: config["scenario"].as_str().unwrap().to_owned(),
        ports: config["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(port)
            .collect(),
        fdb: config["fdb"]
            .as_array()
            .unwrap()
            .iter()
            .map(entry)
            .collect(),
    }
}

fn options(command: &str, layout: Layout) -> VlanOptions {
    VlanOptions {
        layout,
        compress: command.starts_with("compressed"),
        vid: match command {
            "vid" => Some(100),
            "compressed-vid" => Some(101),
            _ => None,
        },
    }
}

/// S-15 (a): both layouts.
#[test]
fn vlans_are_printed_as_both_layouts_of_the_tool_print_them() {
    let mut compared = 0;
    for scenario in scenarios() {
        let ports: Vec<&Port> = scenario.ports.iter().collect();
        for (layout, tool) in [(Layout::Legacy, "v4.10.0"), (Layout::Current, "v6.1.0")] {
            for command in ["show", "compressed", "vid", "compressed-vid"] {
                let name = format!("{}.{tool}.{command}.txt", scenario.name);
                assert_eq!(
                    vlan_text(&ports, options(command, layout), true),
                    golden(&name),
                    "{name}"
                );
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 3 * 2 * 4);
}

/// S-15 (b): JSON of the same shape; keys in the same order, so equal as text too.
#[test]
fn vlans_in_json_are_those_of_the_tool() {
    for scenario in scenarios() {
        let ports: Vec<&Port> = scenario.ports.iter().collect();
        for (command, file) in [("show", "json"), ("compressed", "compressed-json")] {
            let name = format!("{}.v6.1.0.{file}.txt", scenario.name);
            let theirs: Value = serde_json::from_str(&golden(&name)).unwrap();
            assert_eq!(
                vlan_json(&ports, options(command, Layout::Current)),
                theirs,
                "{name}"
            );
        }
    }
}

/// S-15: the listing of the seed, which is of the layout with tabs. Its document widened the
/// gap before the numbers by three spaces and spelled the leading tab as spaces; the columns,
/// lines and words are the tool's.
#[test]
fn the_listing_of_the_seed_is_reproduced() {
    let seed =
        "port\t   vlan ids\noob-bo\t   1 PVID Egress Untagged\n           100\n           200\n";
    let bo = Port {
        name: "oob-bo".to_owned(),
        vlans: PortVlans {
            pvid: Some(1),
            untagged: vec![VlanRange::single(1)],
            tagged: vec![VlanRange::single(100), VlanRange::single(200)],
        },
        ..Port::default()
    };
    let ours = vlan_text(
        &[&bo],
        VlanOptions {
            layout: Layout::Legacy,
            ..VlanOptions::default()
        },
        true,
    );
    assert_eq!(
        ours,
        "port\tvlan ids\noob-bo\t 1 PVID Egress Untagged\n\t 100\n\t 200\n\n"
    );
    let words = |text: &str| {
        let lines = text.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| {
                line.split_whitespace()
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(words(&ours), words(seed));
    // The same columns: numbers stand under each other, behind one tab stop.
    let column = |line: &str| {
        let mut at = 0;
        for c in line.chars() {
            match c {
                '\t' => at = (at / 8 + 1) * 8,
                c if c.is_ascii_digit() => return at,
                _ => at += 1,
            }
        }
        at
    };
    let columns = |text: &str, widened: usize| {
        text.lines()
            .skip(1)
            .filter(|line| !line.is_empty())
            .map(|line| column(line) - widened)
            .collect::<Vec<_>>()
    };
    assert_eq!(columns(&ours, 1), [8, 8, 8]);
    assert_eq!(columns(seed, 3), [8, 8, 8]);
}

/// The kernel's own entries (each port's address in each VLAN) have no counterpart here; every
/// entry that was configured in both must read the same.
#[test]
fn addresses_are_printed_as_the_tool_prints_them() {
    let mut compared = 0;
    for scenario in scenarios() {
        let theirs = golden(&format!("{}.v6.1.0.fdb.txt", scenario.name));
        let json: Value =
            serde_json::from_str(&golden(&format!("{}.v6.1.0.fdb-json.txt", scenario.name)))
                .unwrap();
        for (line, object) in fdb_text(&scenario.fdb)
            .lines()
            .zip(fdb_json(&scenario.fdb).as_array().unwrap())
        {
            assert!(
                theirs.lines().any(|theirs| theirs == line),
                "{line:?} is not in\n{theirs}"
            );
            assert!(
                json.as_array().unwrap().contains(object),
                "{object} is not in\n{json}"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 6);
}

#[test]
fn a_whole_trunk_is_one_row_and_an_end_of_range_does_not_overflow() {
    let all = Port {
        name: "t".to_owned(),
        vlans: PortVlans {
            pvid: None,
            untagged: vec![],
            tagged: vec![VlanRange {
                first: 1,
                last: 4094,
            }],
        },
        ..Port::default()
    };
    let options = VlanOptions {
        compress: true,
        ..VlanOptions::default()
    };
    assert_eq!(
        vlan_text(&[&all], options, false),
        "t                 1-4094\n"
    );
    let odd = PortVlans {
        tagged: vec![VlanRange {
            first: 65_534,
            last: u16::MAX,
        }],
        ..PortVlans::default()
    };
    assert_eq!(rows(&odd, options).len(), 1);
}
