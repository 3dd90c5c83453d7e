//! Rows of the feature map: what this release claims has a test that says so, or a line that admits it.
//!
//! `tests/data/rows` lists what is claimed, `tests/data/exceptions` the gaps. A test says which rows it
//! proves in the doc comment above it (`/// V-02, V-03: ..`); a range counts for nothing, since nobody
//! reads a range as a promise of each. Comments elsewhere (modules, helpers) do not count either.

use crate::{none, root, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Lines of a list, without comments, at the first space.
fn list(name: &str) -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("tests/data").join(name)).unwrap();
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (row, rest) = line.split_once(' ').unwrap_or((line, ""));
            assert!(is_row(row), "{name}: no row: {line}");
            assert!(rest.len() > 10, "{name}: says nothing: {line}");
            (row.to_owned(), rest.to_owned())
        })
        .collect()
}

/// A capital, a dash, two digits.
fn is_row(word: &str) -> bool {
    matches!(word.as_bytes(), [b'A'..=b'Z', b'-', a, b] if a.is_ascii_digit() && b.is_ascii_digit())
}

/// Rows named in a line of a comment. Of `V-02..V-06`, `V-02 .. V-06` and `B-01 to B-09` none is.
fn rows_of(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line
        .split(|c: char| c.is_whitespace() || ",;:()".contains(c))
        .filter(|word| !word.is_empty())
        .collect();
    let joins = |at: Option<usize>| {
        let word = at.and_then(|at| words.get(at));
        matches!(word, Some(&(".." | "to")))
    };
    let single = |at: usize| !joins(at.checked_sub(1)) && !joins(Some(at + 1));
    let rows = words.iter().enumerate();
    rows.filter(|(at, word)| is_row(word) && single(*at))
        .map(|(_, word)| *word)
        .collect()
}

#[test]
fn ranges_name_no_row() {
    assert_eq!(
        rows_of("B-01, V-02: from V to W (F-10)"),
        ["B-01", "V-02", "F-10"]
    );
    for range in ["V-02..V-06", "V-02 .. V-06", "B-01 to B-09"] {
        assert!(rows_of(range).is_empty(), "{range}");
    }
}

/// Rows by the doc comments of tests, with the tests that name them.
fn proven() -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (path, text) in sources() {
        let (mut rows, mut is_test) = (BTreeSet::new(), false);
        for line in text.lines().map(str::trim) {
            if let Some(comment) = line.strip_prefix("/// ") {
                rows.extend(rows_of(comment).into_iter().map(str::to_owned));
            } else if line.starts_with("#[") {
                is_test |= line == "#[test]";
            } else {
                if is_test && line.starts_with("fn ") {
                    for row in &rows {
                        let test = format!("{path}: {line}");
                        found.entry(row.clone()).or_default().push(test);
                    }
                }
                rows.clear();
                is_test = false;
            }
        }
    }
    found
}

/// Every claimed row is claimed once, and proven or admitted; what is admitted is claimed.
#[test]
fn every_claimed_row_is_proven_or_admitted() {
    let claimed = list("rows");
    let ids: BTreeSet<&str> = claimed.iter().map(|(row, _)| row.as_str()).collect();
    assert_eq!(ids.len(), claimed.len(), "a row is claimed twice");
    let (exceptions, proven) = (list("exceptions"), proven());
    let mut wrong = Vec::new();
    for (row, words) in &claimed {
        let missing = exceptions.iter().find(|(of, _)| of == row);
        let missing = missing.and_then(|(_, why)| why.split_once(' '));
        let complaint = match (missing.map(|(much, _)| much), proven.get(row)) {
            (None | Some("part"), Some(_)) | (Some("all"), None) => continue,
            (None, None) => "neither a test nor an exception".to_owned(),
            (Some("part"), None) => "no test of the part that is there".to_owned(),
            (Some("all"), Some(tests)) => format!("an exception, and tests: {tests:?}"),
            (Some(other), _) => format!("\"{other}\" is neither part nor all"),
        };
        wrong.push(format!("{row} ({words}): {complaint}"));
    }
    let strangers = exceptions
        .iter()
        .filter(|(row, _)| !ids.contains(row.as_str()));
    wrong.extend(strangers.map(|(row, _)| format!("{row}: an exception from nothing claimed")));
    none("tests/data/rows and tests/data/exceptions", &wrong);
}
