//! Tests of the contract: the texts are varlink, every method is a [`Request`] and the other way
//! round, the Rust types are the declared ones, and nothing that was released is lost.

use std::collections::{BTreeMap, BTreeSet};

use super::grammar::{Interface, Type, broken, broken_fields};
use super::{TEXTS, samples, text};
use crate::config::ConfigError;
use crate::error::ApiError;
use crate::request::Request;

fn interfaces() -> BTreeMap<String, Interface> {
    TEXTS
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Interface::parse(text)))
        .collect()
}

#[test]
fn the_texts_are_varlink_and_every_method_has_its_comment() {
    for (name, interface) in interfaces() {
        assert_eq!(interface.name, name);
        assert_eq!(interface.undeclared(), Vec::<&str>::new(), "{name}");
        for (method, (_, _, commented)) in &interface.methods {
            assert!(commented, "{name}.{method} says nothing about itself");
        }
        let text = text(&name).expect("served");
        assert!(
            text.starts_with('#')
                && text.ends_with('\n')
                && text.lines().all(|line| !line.ends_with(' ')),
            "{name}"
        );
    }
    assert_eq!(text("io.vswitch.None"), None);
}

#[test]
fn every_method_is_a_request_and_every_request_a_method() {
    let declared: BTreeSet<String> = interfaces()
        .iter()
        .flat_map(|(name, interface)| {
            interface
                .methods
                .keys()
                .map(move |method| format!("{name}.{method}"))
        })
        .collect();
    let decoded: BTreeSet<String> = Request::METHODS
        .iter()
        .map(|method| (*method).to_owned())
        .collect();
    assert_eq!(declared, decoded);
    assert_eq!(Request::METHODS.len(), decoded.len(), "a method twice");
}

#[test]
fn requests_have_the_declared_parameters() {
    let interfaces = interfaces();
    for method in Request::METHODS {
        let (interface, name) = method.rsplit_once('.').expect("qualified");
        let (declared, _, _) = &interfaces[interface].methods[name];
        let full = samples::parameters(method);
        let names: BTreeSet<&String> = full.as_object().expect("an object").keys().collect();
        assert_eq!(
            names,
            declared.keys().collect(),
            "{method}: the sample has every parameter"
        );
        interfaces[interface].holds(method, declared, &full);
        let request = Request::decode(method, &full).expect(method);
        assert_eq!(
            request.parameters(),
            full,
            "{method}: all are read and written"
        );
        for (parameter, kind) in declared {
            let mut less = full.clone();
            less.as_object_mut().expect("an object").remove(parameter);
            let optional = matches!(kind, Type::Maybe(_));
            assert_eq!(
                Request::decode(method, &less).is_ok(),
                optional,
                "{method}: {parameter} optional"
            );
            if optional {
                less[parameter] = serde_json::Value::Null;
                let null = Request::decode(method, &less);
                assert!(
                    null.is_ok(),
                    "{method}: {parameter} null is as if it were not there: {null:?}"
                );
            }
        }
    }
}

#[test]
fn replies_have_the_declared_fields() {
    let interfaces = interfaces();
    for method in Request::METHODS {
        let (interface, name) = method.rsplit_once('.').expect("qualified");
        let (_, declared, _) = &interfaces[interface].methods[name];
        let [full, bare] = samples::replies(method);
        interfaces[interface].holds(method, declared, &full);
        let names: BTreeSet<&String> = full.as_object().expect("an object").keys().collect();
        assert_eq!(
            names,
            declared.keys().collect(),
            "{method}: the full sample has every field"
        );
        interfaces[interface].holds(&format!("{method}, bare"), declared, &bare);
    }
}

/// Every error that Rust knows, with all parameters.
fn errors() -> Vec<ApiError> {
    let (text, hint) = (String::new, || Some(String::new()));
    vec![
        ApiError::InterfaceNotFound { interface: text() },
        ApiError::MethodNotFound {
            method: text(),
            hint: hint(),
        },
        ApiError::MethodNotImplemented { method: text() },
        ApiError::InvalidParameter {
            parameter: text(),
            message: text(),
            hint: hint(),
        },
        ApiError::PermissionDenied {
            message: text(),
            hint: hint(),
        },
        ApiError::ExpectedMore {},
        ApiError::NotFound {
            kind: text(),
            name: text(),
            known: vec![text()],
            hint: hint(),
        },
        ApiError::AlreadyExists {
            kind: text(),
            name: text(),
            hint: hint(),
        },
        ApiError::InUse {
            kind: text(),
            name: text(),
            users: vec![text()],
            hint: hint(),
        },
        ApiError::Protected {
            kind: text(),
            name: text(),
            reason: text(),
            hint: hint(),
        },
        ApiError::InvalidConfig {
            errors: vec![ConfigError::new("a", "b").hint("c")],
        },
        ApiError::Conflict {
            message: text(),
            expect_generation: Some(1),
            generation: 2,
            hint: hint(),
        },
        ApiError::Busy {
            message: text(),
            retry_after_ms: 5,
        },
        ApiError::SystemError {
            operation: text(),
            object: text(),
            errno: 5,
            errno_name: text(),
            hint: hint(),
        },
    ]
}

#[test]
fn errors_have_the_declared_parameters() {
    let interfaces = interfaces();
    let mut seen = BTreeSet::new();
    for error in errors() {
        let (qualified, parameters) = error.to_wire();
        let (interface, name) = qualified.rsplit_once('.').expect("qualified");
        let declared = interfaces[interface]
            .errors
            .get(name)
            .unwrap_or_else(|| panic!("{qualified} is not declared"));
        interfaces[interface].holds(&qualified, declared, &parameters);
        assert_eq!(
            parameters.as_object().expect("an object").len(),
            declared.len(),
            "{qualified}"
        );
        seen.insert(qualified);
    }
    let declared = interfaces.iter().flat_map(|(name, interface)| {
        interface
            .errors
            .keys()
            .map(move |error| format!("{name}.{error}"))
    });
    assert_eq!(declared.collect::<BTreeSet<_>>(), seen);
}

/// The goldens are the contract as it was released. Nothing of it may go or change its type;
/// what is added is copied there when it is released.
#[test]
fn nothing_released_is_lost() {
    let goldens = [
        include_str!("../../tests/goldens/org.varlink.service.varlink"),
        include_str!("../../tests/goldens/io.vswitch.Switch.varlink"),
        include_str!("../../tests/goldens/io.vswitch.Bond.varlink"),
        include_str!("../../tests/goldens/io.vswitch.Fdb.varlink"),
        include_str!("../../tests/goldens/io.vswitch.Stats.varlink"),
        include_str!("../../tests/goldens/io.vswitch.Debug.varlink"),
        include_str!("../../tests/goldens/io.vswitch.Daemon.varlink"),
    ];
    let mut lost = Vec::new();
    for old in goldens.map(Interface::parse) {
        let Some(new) = text(&old.name).map(Interface::parse) else {
            lost.push(format!("interface {} is gone", old.name));
            continue;
        };
        lost.extend(losses(&old, &new));
    }
    assert!(
        lost.is_empty(),
        "a breaking change needs a new interface name:\n{}",
        lost.join("\n")
    );
}

fn losses(old: &Interface, new: &Interface) -> Vec<String> {
    let mut lost = Vec::new();
    let mut gone =
        |kind: &str, name: &str| lost.push(format!("{kind} {}.{name} is gone", old.name));
    let missing = |present: bool| !present;
    old.types
        .keys()
        .filter(|name| missing(new.types.contains_key(*name)))
        .for_each(|name| gone("type", name));
    old.methods
        .keys()
        .filter(|name| missing(new.methods.contains_key(*name)))
        .for_each(|name| gone("method", name));
    old.errors
        .keys()
        .filter(|name| missing(new.errors.contains_key(*name)))
        .for_each(|name| gone("error", name));
    for (name, kind) in &old.types {
        lost.extend(
            new.types
                .get(name)
                .into_iter()
                .flat_map(|now| broken(name, kind, now)),
        );
    }
    for (name, (parameters, reply, _)) in &old.methods {
        if let Some((now, now_reply, _)) = new.methods.get(name) {
            lost.extend(broken_fields(&format!("{name}()"), parameters, now));
            lost.extend(broken_fields(&format!("{name} reply"), reply, now_reply));
        }
    }
    for (name, parameters) in &old.errors {
        lost.extend(
            new.errors
                .get(name)
                .into_iter()
                .flat_map(|now| broken_fields(name, parameters, now)),
        );
    }
    lost
}

/// The comparison sees every kind of breaking change, and none where there is none.
#[test]
fn breaking_changes_are_seen() {
    let base = "interface a.b\ntype T (x: int, e: (one, two))\nmethod M(p: T) -> (l: []string)\nerror E (why: ?string)\n";
    let old = Interface::parse(base);
    let after = |from: &str, to: &str| {
        assert!(base.contains(from), "{from}");
        losses(&old, &Interface::parse(&base.replace(from, to))).len()
    };
    assert_eq!(
        after("x: int", "x: int, y: ?int"),
        0,
        "an optional field may come"
    );
    assert_eq!(
        after("error E", "error F (a: int)\nerror E"),
        0,
        "an error may come"
    );
    assert_eq!(
        after("(one, two)", "(one, two, three)"),
        0,
        "a name may come"
    );
    for (from, to) in [
        ("x: int", "x: string"),
        ("x: int, ", ""),
        ("x: int", "x: ?int"),
        ("x: int", "x: int, y: int"),
        ("(one, two)", "(one)"),
        ("[]string", "[]int"),
        ("M(", "N("),
        ("error E", "error F"),
        ("why: ?string", "why: string"),
    ] {
        assert_eq!(after(from, to), 1, "{from} -> {to}");
    }
}

#[test]
fn the_grammar_refuses_what_is_no_varlink() {
    for bad in [
        "",
        "interface",
        "interface a.b\nmethod M() -> ",
        "interface a.b\nmethod M() -> (a)x",
        "interface a.b\ntype T (a: , b)",
        "interface a.b\ntype T (a: int, b)",
        "interface a.b\nmethod M() (a: int)",
        "interface a.b\ntype T (A: int)",
        "interface a.b\ntype T (a: ??int)",
        "interface a.b\nerror E (a: int)\nerror E (a: int)",
        "interface a.b\n%",
    ] {
        let parsed = std::panic::catch_unwind(|| Interface::parse(bad));
        assert!(parsed.is_err(), "{bad:?}");
    }
}
