//! Phrases of other tools and what they are told.

use super::*;

fn told(line: &str) -> Option<String> {
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    let failure = translate(&words)?;
    assert_eq!(failure.exit, crate::Exit::Usage);
    Some(match failure.help.first() {
        Some(help) => help.clone(),
        None => failure.facts[0].1.clone(),
    })
}

#[test]
fn foreign_phrases_are_understood() {
    for (theirs, ours) in [
        ("add-br x", "bridge add x"),
        ("--may-exist add-br x", "bridge add x"),
        ("ovs-vsctl add-br x", "bridge add x"),
        ("--socket /run/s add-br x", "bridge add x"),
        ("-o json --socket=/run/s -q add-br x", "bridge add x"),
        ("del-br x", "bridge del x"),
        ("list-br", "bridge list"),
        (
            "add-port br0 p tag=100",
            "port add p --bridge br0 --vlan 100",
        ),
        (
            "add-port br0 p trunks=[100,200]",
            "port add p --bridge br0 --trunk 100,200",
        ),
        ("del-port br0 p", "port del p"),
        ("del-port p", "port del p"),
        ("list-ports br0", "port list --bridge br0"),
        ("set port p tag=7", "port set p --vlan 7"),
        ("ovs-appctl fdb/show br0", "fdb show br0"),
        ("fdb/flush br0", "fdb flush br0"),
        ("ofproto/trace br0 in_port=p", "trace PORT FRAME"),
        ("vlog/set bond:dbg", "daemon log set bond=debug"),
        ("dpif-netdev/pmd-perf-show", "daemon info"),
        ("brctl addbr x", "bridge add x"),
        ("addif br0 p", "port add p --bridge br0"),
        ("delif br0 p", "port del p"),
        ("showmacs br0", "fdb show br0"),
        ("setageing br0 60", "bridge set br0 --ageing 60s"),
        (
            "bridge vlan add vid 100 dev p pvid untagged",
            "vlan add vid 100 dev p pvid untagged",
        ),
        ("bridge vlan del vid 100 dev p", "vlan del vid 100 dev p"),
        ("bridge vlan show dev p", "vlan show dev p"),
        ("bridge vlan", "vlan show"),
        ("bridge fdb show dev p", "fdb show --iproute2 dev p"),
        (
            "bridge fdb add 02:00:00:00:00:01 dev p master static vlan 5",
            "fdb add 02:00:00:00:00:01 dev p vlan 5",
        ),
        ("bridge link set dev p hairpin on", "port set p hairpin=on"),
        ("bridge monitor fdb", "fdb watch"),
        ("link add x type bridge", "bridge add x"),
        ("ip link add name x type bridge", "bridge add x"),
        ("link set p master br0", "port add p --bridge br0"),
        ("ip link set dev p up", "port up p"),
        ("link set p nomaster", "port del p"),
        ("link set p mtu 9000", "port set p --mtu 9000"),
        ("link show", "port list"),
        (
            "add-bond br0 b p1 p2 lacp=active",
            "bond add b --bridge br0 --members p1,p2",
        ),
        ("add-bond-iface b p3", "bond add-member b p3"),
        ("del-bond-iface b p3", "bond del-member b p3"),
        ("ifenslave b p3", "bond add-member b p3"),
        ("ovs-appctl bond/show b", "bond show b"),
        ("bond/list", "bond list"),
        ("bond/set-active-member b p1", "bond set-active b p1"),
        ("bond/set-active-slave b p1", "bond set-active b p1"),
        ("bond/hash 52:54:00:00:00:01", "bond hash BOND FRAME"),
        ("lacp/show", "lacp show"),
        ("ovs-appctl lacp/show-stats b", "lacp show b --stats"),
        (
            "tuntap add dev t mode tap",
            "port add t --bridge BRIDGE --kind tap",
        ),
    ] {
        assert_eq!(
            told(theirs).as_deref(),
            Some(format!("use: vswctl {ours}").as_str()),
            "{theirs}"
        );
    }
    assert_eq!(told("ovs-vsctl show").as_deref(), Some("use: vswctl show"));
    assert_eq!(
        told("tcpdump -i p").as_deref(),
        Some("use: vswctl capture p")
    );
    assert_eq!(
        told("ip link add name b type bond mode 802.3ad lacp_rate fast").as_deref(),
        Some("use: vswctl bond add b --bridge BRIDGE --members A,B mode=802.3ad lacp_rate=fast")
    );
    assert_eq!(told("showstp br0").as_deref(), Some(NO_STP));
    assert_eq!(told("statsu"), None);
}

/// What is advised must be a command: every answer whose words are all given parses.
#[test]
fn advice_is_understood_by_the_command_itself() {
    use clap::Parser as _;
    for theirs in [
        "add-br x",
        "add-port br0 p tag=100",
        "bridge vlan add vid 100 dev p",
        "bridge fdb show dev p",
        "setageing br0 60",
        "bridge link set dev p hairpin on",
        "ip link set dev p up",
        "vlog/set bond:dbg",
        "fdb/flush",
        "tcpdump -i p",
        "bridge monitor fdb",
        "add-bond br0 b p1 p2",
        "ifenslave b p3",
        "bond/set-active-member b p1",
        "lacp/show-stats b",
    ] {
        let help = told(theirs).unwrap();
        let line = help.strip_prefix("use: ").unwrap();
        assert!(
            crate::args::Cli::try_parse_from(line.split(' ')).is_ok(),
            "{line}"
        );
    }
}
