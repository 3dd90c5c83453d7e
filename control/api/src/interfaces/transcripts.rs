//! The transcripts and tables of `control/PROTOCOL.md` against the types: documentation that is
//! wrong is a failed test.

use std::collections::BTreeSet;

use super::TEXTS;
use super::grammar::Interface;
use crate::request::{Answers, Request, Role};
use crate::varlink::{Call, Reply};

const PAGE: &str = include_str!("../../../PROTOCOL.md");

/// Holds that one reply is declared: the right type, or an error that there is.
fn holds(call: &Call, line: &str) -> bool {
    let reply = Reply::parse(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(
        serde_json::to_string(&reply).expect("JSON"),
        line,
        "as the daemon writes it"
    );
    assert!(
        call.more || !reply.continues,
        "several replies to one call: {line}"
    );
    let name = reply.error.as_deref().unwrap_or(call.method.as_str());
    let (interface, name) = name.rsplit_once('.').expect("qualified");
    let text = super::text(interface).unwrap_or_else(|| panic!("{interface} is no interface"));
    let interface = Interface::parse(text);
    if reply.error.is_none() {
        interface.holds(&call.method, &interface.methods[name].1, &reply.parameters);
        assert!(call.request().is_ok(), "{call:?}");
    } else {
        interface.holds(name, &interface.errors[name], &reply.parameters);
        // What the decoder refuses, it refuses with these very words.
        if let Err(error) = call.request() {
            assert_eq!(Reply::error(&error), reply, "{line}");
        }
    }
    reply.continues
}

#[test]
fn every_transcript_is_true_to_the_types() {
    let (mut calls, mut replies) = (0, 0);
    for block in PAGE.split("```transcript\n").skip(1) {
        let block = block.split("```").next().expect("a block");
        let mut call: Option<Call> = None;
        let mut continues = false;
        for line in block.lines() {
            if let Some(text) = line.strip_prefix("C: ") {
                assert!(!continues, "calls behind a stream are not shown: {line}");
                call = Some(
                    Call::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}")),
                );
                calls += 1;
            } else {
                let text = line
                    .strip_prefix("S: ")
                    .unwrap_or_else(|| panic!("neither C nor S: {line}"));
                continues = holds(call.as_ref().expect("a call first"), text);
                replies += 1;
            }
        }
    }
    assert!(
        calls >= 20 && replies >= calls,
        "the page has its transcripts: {calls} {replies}"
    );
}

/// Rows of a table whose first cell is code, as cells.
fn rows(prefix: &str) -> Vec<Vec<&str>> {
    let rows = PAGE
        .lines()
        .filter(|line| line.starts_with(&format!("| `{prefix}")));
    rows.map(|row| {
        row.split('|')
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect()
    })
    .collect()
}

#[test]
fn the_tables_are_complete() {
    let mut listed = Vec::new();
    let mut errors = BTreeSet::new();
    for row in rows("org.varlink.").into_iter().chain(rows("io.vswitch.")) {
        let name = row[0].trim_matches('`');
        let Some(method) = Request::METHODS.iter().find(|method| **method == name) else {
            errors.insert(name.to_owned());
            continue;
        };
        let request = Request::decode(method, &super::samples::parameters(method)).expect(method);
        let role = match request.role() {
            Role::Anyone => "anyone",
            Role::Monitor => "monitor",
            Role::Admin => "admin",
        };
        let answers = match request.answers() {
            Answers::Once => "once",
            Answers::Pages => "pages",
            Answers::Stream => "stream",
        };
        assert_eq!(row[1..], [role, answers], "{name}");
        listed.push(name);
    }
    assert_eq!(listed, Request::METHODS, "every method, in order");
    let declared = TEXTS.iter().flat_map(|(name, text)| {
        let interface = Interface::parse(text);
        interface
            .errors
            .into_keys()
            .map(move |error| format!("{name}.{error}"))
    });
    assert_eq!(errors, declared.collect(), "every error");
}
