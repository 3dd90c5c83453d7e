//! House rules that lints cannot hold: where `unsafe` may stand, who may depend on whom, headers,
//! lengths, clocks, and that every drop reason is documented and tested.
//!
//! Reads the tree it was built from and nothing else. Each test names every offender at once.

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use vswitch_core::verdict::{DropReason, PuntReason};

/// Lines of a file that is not a test.
const LINES_MAX: usize = 600;
/// Files over the limit that wait to be divided. They may not grow beyond this; add none.
const TOO_LONG: &[(&str, usize)] = &[
    ("control/controller/src/controller/jobs.rs", 700),
    ("control/controller/src/controller/status.rs", 700),
];
/// Who may ask the system for the time: threads, devices, and what measures or tests them.
/// The blocking client of the socket has deadlines of its own.
const CLOCKS: &[&str] = &[
    "vswitch/daemon/",
    "vswitch/io/",
    "control/api/src/client",
    // The plugin is a blocking program of one call, with deadlines.
    "control/cni/",
    "tests/",
    "benches/",
];
/// Crates of ours that each crate may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("vswitch/base", &[]),
    ("vswitch/core", &["base"]),
    ("vswitch/lacp", &["base"]),
    ("vswitch/io", &["base", "core"]),
    (
        "vswitch/daemon",
        &["base", "core", "io", "lacp", "api", "controller"],
    ),
    ("control/api", &["base"]),
    ("control/controller", &["base", "core", "lacp", "api"]),
    ("control/ctl", &["base", "api"]),
    ("control/cni", &["base", "api", "io"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every Rust file of the project with its text, by path from the root.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for top in ["vswitch", "control", "tests", "benches"] {
        collect(&root(), Path::new(top), &mut found);
    }
    assert!(found.len() > 50, "the tree is there");
    found
}

fn collect(root: &Path, at: &Path, found: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(root.join(at)) else {
        return;
    };
    for entry in entries.map(Result::unwrap) {
        let path = at.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            collect(root, &path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(root.join(&path)).unwrap();
            found.insert(path.to_str().unwrap().to_owned(), text);
        }
    }
}

/// Lines without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
}

fn none(what: &str, offenders: &[String]) {
    assert!(
        offenders.is_empty(),
        "{what}:\n  {}",
        offenders.join("\n  ")
    );
}

#[test]
fn every_file_says_what_it_is() {
    let bare: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| {
            let header: String = text.lines().take_while(|l| l.starts_with("//!")).collect();
            header.len() < 20
        })
        .map(|(path, _)| path)
        .collect();
    none("files without a module header", &bare);
}

#[test]
fn files_are_short() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| !path.contains("/tests"))
        .map(|(path, text)| (text.lines().count(), path))
        .filter(|(lines, path)| {
            let allowed = TOO_LONG.iter().find(|(p, _)| p == path);
            *lines > allowed.map_or(LINES_MAX, |(_, max)| *max)
        })
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    none("a file that wants more is two ideas", &long);
}

#[test]
fn unsafe_stays_where_the_system_calls_are() {
    let wild: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| {
            !path.starts_with("vswitch/io/src/sys/") && !path.starts_with("benches/")
        })
        .filter(|(_, text)| {
            code(text).any(|line| {
                ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"]
                    .iter()
                    .any(|word| {
                        line.trim_start().starts_with(word) || line.contains(&format!(" {word}"))
                    })
                    && !line.contains('"')
            })
        })
        .map(|(path, _)| path)
        .collect();
    none("unsafe outside io/src/sys", &wild);
}

#[test]
fn only_the_shell_asks_for_the_time() {
    let early: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| !CLOCKS.iter().any(|dir| path.starts_with(dir)))
        .filter(|(_, text)| {
            code(text)
                .any(|line| line.contains("Instant::now(") || line.contains("SystemTime::now("))
        })
        .map(|(path, _)| path)
        .collect();
    none("a clock where time is an argument", &early);
}

#[test]
fn crates_depend_along_the_arrows() {
    let mut wrong = Vec::new();
    for (dir, may) in ARROWS {
        let Ok(text) = fs::read_to_string(root().join(dir).join("Cargo.toml")) else {
            continue;
        };
        let manifest: toml::Table = text.parse().unwrap();
        let none = toml::Table::new();
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        for name in dependencies.unwrap_or(&none).keys() {
            if let Some(ours) = name.strip_prefix("vswitch-")
                && !may.contains(&ours)
            {
                wrong.push(format!("{dir} on {name}"));
            }
        }
    }
    none("dependencies against the arrows", &wrong);
}

#[test]
fn every_crate_keeps_the_lints() {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap().iter();
    let lax: Vec<_> = members
        .map(|member| member.as_str().unwrap().to_owned())
        .filter(|member| {
            let text = fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
            !text.contains("[lints]\nworkspace = true")
        })
        .collect();
    none("crates without the workspace's lints", &lax);
}

/// N-17: the architecture's table is the set, word for word, each reason where it is counted.
#[test]
fn every_reason_is_documented() {
    let text = fs::read_to_string(root().join("vswitch/ARCHITECTURE.md")).unwrap();
    let rows: BTreeSet<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let drops = DropReason::ALL.iter().map(|r| {
        let at = if r.is_egress() { "egress" } else { "ingress" };
        format!("| `{}` | {at} | {} |", r.name(), r.meaning())
    });
    let punts = PuntReason::ALL
        .iter()
        .map(|r| format!("| `{}` | {} |", r.name(), r.meaning()));
    let missing: Vec<_> = drops
        .chain(punts)
        .filter(|row| !rows.contains(row.as_str()))
        .collect();
    none("rows that vswitch/ARCHITECTURE.md lacks", &missing);
}

/// N-17: no reason without a test that names it.
#[test]
fn every_reason_is_tested() {
    let tests: String = sources()
        .into_iter()
        .filter(|(path, _)| path.contains("tests") && !path.starts_with("tests/tidy"))
        .map(|(_, text)| text)
        .collect();
    let drops = DropReason::ALL.iter().map(|r| format!("DropReason::{r:?}"));
    let punts = PuntReason::ALL.iter().map(|r| format!("PuntReason::{r:?}"));
    let untested: Vec<_> = drops
        .chain(punts)
        .filter(|name| !tests.contains(name))
        .collect();
    none("reasons that no test names", &untested);
}
