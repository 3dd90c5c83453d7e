//! Tests of decoding: methods, parameters, and the words of what is refused.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::types::VlanRange;

fn refused(method: &str, parameters: &Value) -> ApiError {
    Request::decode(method, parameters).expect_err("must be refused")
}

#[test]
fn unknown_interfaces_and_methods_are_told_apart() {
    assert_eq!(
        refused("io.vswitch.Lldp.List", &json!({})),
        ApiError::InterfaceNotFound {
            interface: "io.vswitch.Lldp".into()
        }
    );
    let error = refused("io.vswitch.Switch.GetSate", &json!({}));
    assert_eq!(
        error.hint(),
        Some("did you mean \"io.vswitch.Switch.GetState\"?")
    );
    for nonsense in ["", ".", "GetState", "io.vswitch.Switch.", "\u{0}.x"] {
        let error = refused(nonsense, &json!({}));
        assert!(
            matches!(
                error,
                ApiError::MethodNotFound { .. } | ApiError::InterfaceNotFound { .. }
            ),
            "{error}"
        );
    }
}

#[test]
fn a_wrong_parameter_is_named() {
    let parameter = |parameters: Value| match refused("io.vswitch.Switch.AddVlan", &parameters) {
        ApiError::InvalidParameter {
            parameter,
            message,
            hint,
        } => (parameter, format!("{message} {}", hint.unwrap_or_default())),
        other => panic!("{other}"),
    };
    assert_eq!(
        parameter(json!({"first": 1})),
        ("port".to_owned(), "\"port\" is missing ".to_owned())
    );
    let (name, message) = parameter(json!({"port": "p", "first": 1, "untaged": true}));
    assert_eq!(
        (name.as_str(), message.as_str()),
        (
            "untaged",
            "unknown key \"untaged\" did you mean \"untagged\"?"
        )
    );
    let (name, message) = parameter(json!({"port": "p", "first": "1"}));
    assert_eq!(name, "first", "{message}");
    let (name, message) = parameter(json!({"port": "p", "first": 1, "last": 99999}));
    assert_eq!(
        (name.as_str(), message.contains("0 to 65535")),
        ("last", true),
        "{message}"
    );
    assert_eq!(parameter(json!([])).0, "parameters");
    assert_eq!(parameter(Value::Null).0, "parameters");
    assert_eq!(
        parameter(json!(["p", 1])).0,
        "parameters",
        "a list is no parameter object"
    );
}

#[test]
fn vlan_ranges_are_checked() {
    let range = |first: u16, last: Option<u16>, pvid: bool| {
        AddVlan {
            port: "p".into(),
            first,
            last,
            pvid,
            ..AddVlan::default()
        }
        .range()
    };
    assert_eq!(range(5, None, true), Ok(VlanRange::single(5)));
    for bad in [
        range(0, None, false),
        range(4095, None, false),
        range(5, Some(5000), false),
        range(9, Some(3), false),
        range(3, Some(9), true),
    ] {
        assert!(bad.is_err());
    }
    let error = range(5000, None, false).expect_err("no VLAN");
    assert_eq!(
        error.to_string(),
        "the configuration has 1 error: port.p.vlan: there is no VLAN 5000 (VLAN ids are 1 to 4094)"
    );
}

#[test]
fn apply_reads_its_configuration_strictly() {
    let Ok(Request::Apply(apply)) = Request::decode(
        "io.vswitch.Switch.Apply",
        &json!({"config": {"bridge": {"b": {"mut": 1, "fdb_max": "x"}}}}),
    ) else {
        panic!("the call itself is good");
    };
    let Err(ApiError::InvalidConfig { errors }) = apply.config() else {
        panic!("two errors");
    };
    assert_eq!(errors.len(), 2);
}

#[test]
fn roles_follow_what_a_method_does() {
    for method in Request::METHODS {
        let request = Request::decode(method, &sample(method)).expect(method);
        assert_eq!(request.method(), *method);
        let verb = method.rsplit('.').next().unwrap_or_default();
        let changes = [
            "Apply", "Add", "Set", "Del", "Flush", "Capture", "Put", "Take", "Warp", "Attach",
            "Detach", "Collect",
        ]
        .iter()
        .any(|prefix| verb.starts_with(prefix));
        let role = if method.starts_with("org.varlink") {
            Role::Anyone
        } else if changes {
            Role::Admin
        } else {
            Role::Monitor
        };
        assert_eq!(request.role(), role, "{method}");
        assert_eq!(
            Request::decode(method, &request.parameters()),
            Ok(request),
            "{method}"
        );
    }
}

/// Parameters that are enough for every method: what each requires.
fn sample(method: &str) -> Value {
    let attachment = json!({"network": "n", "containerId": "c", "ifname": "i"});
    match method
        .rsplit_once(".")
        .map(|(interface, verb)| (interface.rsplit('.').next().unwrap_or_default(), verb))
    {
        Some(("service", "GetInterfaceDescription")) => json!({"interface": "io.vswitch.Fdb"}),
        Some(("Switch", "Plan" | "Apply")) => json!({"config": {}}),
        Some(("Switch", "SetBridge" | "SetPort")) => json!({"name": "x", "config": {}}),
        Some(("Switch", "AddBridge" | "AddPort" | "DelBridge" | "DelPort")) => json!({"name": "x"}),
        Some(("Switch", "AddVlan" | "DelVlan")) => json!({"port": "x", "first": 5}),
        Some(("Bond", "Add" | "Del")) => json!({"name": "x"}),
        Some(("Bond", "Set")) => json!({"name": "x", "config": {}}),
        Some(("Bond", "AddMember" | "DelMember" | "SetActive")) => {
            json!({"bond": "x", "member": "p"})
        }
        Some(("Bond", "Hash")) => json!({"bond": "x", "frameHex": "00"}),
        Some(("Port", "Attach")) => {
            json!({"attachment": attachment, "mode": "veth", "device": "d", "config": {}})
        }
        Some(("Port", "Detach" | "Check")) => json!({"attachment": attachment}),
        Some(("Port", "CollectGarbage")) => json!({"network": "n", "valid": []}),
        Some(("Fdb", "Add")) => json!({"mac": "02:00:00:00:00:01", "port": "x"}),
        Some(("Fdb", "Del")) => json!({"mac": "02:00:00:00:00:01", "bridge": "b"}),
        Some(("Debug", "Trace")) => json!({"port": "x", "frameHex": "00"}),
        Some(("Debug", "PutFrames")) => json!({"port": "x", "frames": []}),
        Some(("Debug", "TakeFrames")) => json!({"port": "x"}),
        Some(("Debug", "WarpClock")) => json!({"milliseconds": 0}),
        Some(("Daemon", "SetLogLevel")) => json!({"level": "debug"}),
        _ => json!({}),
    }
}

proptest! {
    #[test]
    fn any_parameters_are_read_or_refused(
        method in prop::sample::select(Request::METHODS),
        keys in prop::collection::vec(prop::sample::select(vec!["name", "port", "config", "first", "last", "mac", "vlan", "dryRun", "limit", "x"]), 0..5),
        values in prop::collection::vec(prop_oneof![
            Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from), Just(json!({})), Just(json!(["a"])),
        ], 5),
    ) {
        let parameters: Value = keys.iter().map(|key| (*key).to_owned()).zip(values).collect::<Map<_, _>>().into();
        match Request::decode(method, &parameters) {
            Ok(request) => prop_assert_eq!(Request::decode(method, &request.parameters()), Ok(request)),
            Err(error) => {
                let named = matches!(&error, ApiError::InvalidParameter { parameter, .. } if !parameter.is_empty());
                prop_assert!(named, "{}", error);
            }
        }
    }

    #[test]
    fn any_method_name_is_answered(method in "\\PC{0,60}") {
        let answer = Request::decode(&method, &Value::Object(Map::new()));
        prop_assert!(answer.is_err());
    }
}
