//! The kernel's answers replayed: every scenario of `tests/data/oracle` runs through a [`MemSwitch`]
//! and is compared, step by step, with what a real bridge did.
//!
//! Guarantees: a difference that `differences.json` does not name fails, and so does a named one that
//! does not occur. Each named difference has a reason. A scenario runs twice, with tags in band and
//! with the outer tag handed over beside the bytes, as packet sockets do; both must differ from the
//! kernel in the same steps.
//!
//! Does not judge the control side: what the kernel refused is not done here either, and the effects
//! of commands on ports and table are those of `oracle/model.rs`.

mod model;

use model::{Model, Step};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The recorded answers.
#[derive(Deserialize)]
struct Answers {
    steps: Vec<Answer>,
    end: Answer,
}

/// What a step led to; what its kind does not have is absent.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(default)]
struct Answer {
    accepted: Option<bool>,
    out: BTreeMap<String, Vec<String>>,
    fdb: Vec<(u16, String, String, String)>,
    vlans: BTreeMap<String, Vec<String>>,
}

/// The list of what we do otherwise.
#[derive(Deserialize)]
struct Differences {
    /// Why, by a short name.
    reasons: BTreeMap<String, String>,
    /// Scenario, then name of a reason, then steps; the number of steps stands for the end.
    differences: BTreeMap<String, BTreeMap<String, Vec<usize>>>,
}

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/oracle")
}

fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn scenarios() -> BTreeSet<String> {
    std::fs::read_dir(data())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".expected.json")?.to_owned()))
        .collect()
}

/// Steps in which the switch differs from the kernel, each with both answers as text.
fn replay(name: &str, strip: bool) -> BTreeMap<usize, String> {
    let scenario: model::Scenario = read(&data().join(format!("{name}.json")));
    let answers: Answers = read(&data().join(format!("{name}.expected.json")));
    assert_eq!(scenario.steps.len(), answers.steps.len(), "{name}");
    let mut model = Model::new(&scenario, strip);
    let mut found = BTreeMap::new();
    let mut compare = |at: usize, ours: Answer, kernel: &Answer| {
        if ours != *kernel {
            found.insert(at, format!("  kernel {kernel:?}\n  ours   {ours:?}"));
        }
    };
    for (at, (step, kernel)) in scenario.steps.iter().zip(&answers.steps).enumerate() {
        match step {
            Step::Frame { port, hex, .. } => {
                let out = model.frame(port, hex);
                compare(
                    at,
                    Answer {
                        out,
                        ..Answer::default()
                    },
                    kernel,
                );
            }
            Step::Observe {} => compare(at, observed(&model), kernel),
            other if kernel.accepted == Some(true) => model.obey(other),
            _ => {}
        }
    }
    compare(scenario.steps.len(), observed(&model), &answers.end);
    found
}

fn observed(model: &Model) -> Answer {
    Answer {
        fdb: model.fdb(),
        vlans: model.vlans(),
        ..Answer::default()
    }
}

/// B-01, B-06, B-07, B-08, B-09, B-15, V-01, V-02, V-03, V-04, V-06, V-07, V-08, V-09, V-10, F-01, F-03,
/// F-05, F-12, F-15, L-06, G-01: as a real bridge, but where `differences.json` says.
#[test]
fn the_switch_does_what_the_kernel_did() {
    let listed: Differences = read(&data().join("differences.json"));
    let names = scenarios();
    assert!(names.len() > 50, "the recorded scenarios are there");
    let (mut complaints, mut used) = (String::new(), BTreeSet::new());
    for name in &names {
        let mut expected = BTreeMap::new();
        for (reason, steps) in listed.differences.get(name).into_iter().flatten() {
            assert!(
                listed.reasons.contains_key(reason),
                "{name}: no reason {reason}"
            );
            used.insert(reason);
            for step in steps {
                let twice = expected.insert(*step, reason);
                assert_eq!(twice, None, "{name}: step {step} is listed twice");
            }
        }
        for strip in [false, true] {
            let found = replay(name, strip);
            for (step, what) in &found {
                if !expected.contains_key(step) {
                    let _ = writeln!(
                        complaints,
                        "{name} step {step} (stripped: {strip}) is not listed:\n{what}"
                    );
                }
            }
            for (step, reason) in &expected {
                if !found.contains_key(step) {
                    let _ = writeln!(
                        complaints,
                        "{name} step {step} (stripped: {strip}) does not differ: {reason}"
                    );
                }
            }
        }
    }
    for name in listed.differences.keys() {
        assert!(
            names.contains(name),
            "a difference of {name}, which is no scenario"
        );
    }
    // The page that people read has the same words.
    let page = std::fs::read_to_string(data().join("README.md")).unwrap();
    let page: Vec<&str> = page.split_whitespace().collect();
    let page = page.join(" ");
    for (name, reason) in &listed.reasons {
        let told = page.contains(&format!("- **{name}**: {reason}"));
        assert!(told, "tests/data/oracle/README.md lacks {name}: {reason}");
    }
    let idle: Vec<_> = listed
        .reasons
        .keys()
        .filter(|r| !used.contains(r))
        .collect();
    assert!(idle.is_empty(), "reasons of nothing: {idle:?}");
    assert!(complaints.is_empty(), "{complaints}");
}
