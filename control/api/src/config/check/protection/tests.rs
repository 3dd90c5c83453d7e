//! What the protection of a port may say, by the path and the words that an operator sees.

use crate::config::{Config, PortConfig, check};

/// The errors of `[port.NAME]` of a bridge `br0` whose uplink is a bond of `m0`, printed one a line.
fn errors_of(name: &str, fields: &str) -> String {
    let text = format!(
        "[bridge.br0]\nuplink = \"up\"\n[bond.up]\nmembers = [\"m0\"]\n[port.{name}]\n{fields}\n"
    );
    let config = toml::from_str(&text).expect("a configuration of the right types");
    let errors = check(&config);
    errors.iter().map(|error| format!("{error}\n")).collect()
}

fn tap(fields: &str) -> String {
    errors_of(
        "vm1",
        &format!("kind = \"tap\"\nbridge = \"br0\"\n{fields}"),
    )
}

fn nic(fields: &str) -> String {
    errors_of(
        "eth1",
        &format!("kind = \"nic\"\nbridge = \"br0\"\n{fields}"),
    )
}

const MAC: &str = "mac = \"52:54:00:00:00:01\"";

#[test]
fn a_check_needs_an_address() {
    assert_eq!(tap(&format!("mac_spoof_check = true\n{MAC}")), "");
    let list =
        "mac_spoof_check = true\nguard_macs = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]";
    assert_eq!(tap(list), "");
    assert_eq!(
        tap("mac_spoof_check = true"),
        "port.vm1.mac_spoof_check: the station's address is not known (add mac = \"52:54:00:..\", the \
         address of the machine behind the port, or guard_macs = [..] for several)\n"
    );
    assert!(
        tap("guard_macs = [\"52:54:00:00:00:01\"]").contains("nothing asks for these addresses")
    );
}

#[test]
fn a_nic_port_has_an_address_where_it_is_asked_for() {
    assert!(nic(MAC).contains("a port of kind nic has no \"mac\""));
    assert_eq!(nic(&format!("mac_spoof_check = true\n{MAC}")), "");
}

#[test]
fn addresses_are_a_station_s_each_once_and_few() {
    let list = |macs: &str| {
        tap(&format!(
            "mac_spoof_check = true\n{MAC}\nguard_macs = [{macs}]"
        ))
    };
    assert!(list("\"52:54:00:00:00:01\"").contains("is said twice"));
    assert!(list("\"01:54:00:00:00:01\"").contains("is a group address"));
    let many = |count: u32| -> String {
        let mac = |number| format!("\"52:54:00:00:01:{number:02x}\",");
        (0..count).map(mac).collect()
    };
    assert_eq!(list(&many(15)), "");
    assert!(list(&many(16)).contains("a port has 16 own addresses at most"));
}

#[test]
fn a_port_that_leads_to_many_is_not_held_to_one() {
    let fields = "mac_spoof_check = true\nguard_macs = [\"52:54:00:00:00:01\"]";
    let bond = errors_of("up", &format!("kind = \"bond\"\n{fields}"));
    assert!(
        bond.contains("port.up.mac_spoof_check: this port is a bond"),
        "{bond}"
    );
    let member = errors_of("m0", &format!("kind = \"nic\"\n{fields}"));
    assert!(member.contains("a member of a bond"), "{member}");
    let mut config = Config::default();
    let bridge = crate::config::BridgeConfig {
        uplink: Some("eth0".into()),
        ..Default::default()
    };
    config.bridge.insert("br0".into(), bridge);
    let port = PortConfig {
        kind: crate::config::PortKind::Nic,
        mac_spoof_check: true,
        guard_macs: vec!["52:54:00:00:00:01".parse().expect("an address")],
        ..Default::default()
    };
    config.port.insert("eth0".into(), port);
    assert!(check(&config)[0].message.contains("its bridge's uplink"));
}

#[test]
fn a_guard_knows_its_addresses() {
    let guard = |ips: &str| tap(&format!("guard = true\n{MAC}\nguard_ips = [{ips}]"));
    assert_eq!(guard("\"10.0.0.7\", \"2001:db8::7\", \"fe80::7\""), "");
    assert!(guard("\"10.0.0.7\", \"10.0.0.7\"").contains("is said twice"));
    assert!(guard("\"0.0.0.0\"").contains("is no station's address"));
    assert!(guard("\"ff02::1\"").contains("is no station's address"));
    let many: String = (0..65).map(|n| format!("\"10.0.1.{n}\",")).collect();
    assert!(guard(&many).contains("a port has 64 at most"));
    assert!(tap("guard = true").contains("port.vm1.guard: the station's address is not known"));
    let alone = tap("guard_ips = [\"10.0.0.7\"]");
    assert!(alone.contains("add guard = true"), "{alone}");
}

#[test]
fn rates_have_room_for_the_largest_frame() {
    assert_eq!(
        tap("ingress_rate = \"100M\"\negress_rate = 5000\negress_burst = \"1M\""),
        ""
    );
    let out = tap("ingress_rate = 10\negress_rate = \"1G\"\negress_burst = \"527k\"");
    assert!(
        out.contains("ingress_rate = 10 is out of range (from 1k to 1T)"),
        "{out}"
    );
    assert!(
        out.contains("egress_burst = 527k is out of range (from 528k to 16G)"),
        "{out}"
    );
    assert!(tap("ingress_burst = \"1M\"").contains("add ingress_rate"));
    let bond = errors_of(
        "up",
        "kind = \"bond\"\nbridge = \"br0\"\negress_rate = \"1G\"",
    );
    assert_eq!(bond, "");
    let member = errors_of("m0", "kind = \"nic\"\negress_rate = \"1G\"");
    assert!(member.contains("whose \"egress_rate\" counts"), "{member}");
}

#[test]
fn a_held_port_may_wait_for_whom_it_does_not_know() {
    assert_eq!(tap("hold_until_guest = true"), "");
    assert_eq!(nic(&format!("hold_until_guest = true\n{MAC}")), "");
    let bond = errors_of("up", "kind = \"bond\"\nhold_until_guest = true");
    assert!(
        bond.contains("port.up.hold_until_guest: this port is a bond"),
        "{bond}"
    );
}
