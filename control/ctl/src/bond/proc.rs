//! A bond as the kernel's driver tells it in `/proc/net/bonding/NAME`, for scripts that read that (O-04).
//!
//! Lines, order and words are those of the driver's `bond_procfs.c` (Linux 6.x). What there is not here is
//! said as the driver says it where it has a word (`Duplex: Unknown`), and left out where it has none (churn
//! counts). Mode balance-slb is not the
//! kernel's, and stands in its place under its own name. Pure.

use serde_json::Value;
use vswitch_api::types::{Bond, BondMember, BondsReply, LacpEnd};

use crate::render::{View, clean};

pub(super) fn view(reply: &BondsReply) -> View {
    let texts: Vec<String> = reply.bonds.iter().map(text).collect();
    let names = reply.bonds.iter().map(|bond| bond.name.clone()).collect();
    View::text(&reply.bonds, texts.join("\n"), names)
}

/// The driver's words for a mode.
fn mode(mode: &str) -> &str {
    match mode {
        "balance-rr" => "load balancing (round-robin)",
        "active-backup" => "fault-tolerance (active-backup)",
        "balance-xor" => "load balancing (xor)",
        "broadcast" => "fault-tolerance (broadcast)",
        "802.3ad" => "IEEE 802.3ad Dynamic link aggregation",
        "balance-tlb" => "transmit load balancing",
        "balance-alb" => "adaptive load balancing",
        other => other,
    }
}

/// The driver's words for a link.
fn link(link: &str) -> &str {
    match link {
        "failing" => "going down",
        "returning" => "going back",
        other => other,
    }
}

fn churn(state: &str) -> &str {
    match state {
        "monitor" => "monitoring",
        other => other,
    }
}

const POLICIES: [&str; 6] = [
    "layer2",
    "layer3+4",
    "layer2+3",
    "encap2+3",
    "encap3+4",
    "vlan+srcmac",
];

struct Lines(String);

impl Lines {
    fn add(&mut self, line: &str) {
        self.0.push_str(&clean(line));
        self.0.push('\n');
    }
}

fn text(bond: &Bond) -> String {
    let option = |key: &str| match &bond.options[key] {
        Value::String(text) => text.clone(),
        Value::Bool(on) => if *on { "on" } else { "off" }.to_owned(),
        other => other.to_string(),
    };
    let mut out = Lines(String::new());
    let version = env!("CARGO_PKG_VERSION");
    out.add(&format!(
        "Ethernet Channel Bonding Driver: vswitch v{version}"
    ));
    out.add("");
    out.add(&format!("Bonding Mode: {}", mode(&bond.mode)));
    let is = |modes: &[&str]| modes.contains(&bond.mode.as_str());
    if is(&["802.3ad", "balance-xor", "balance-tlb", "balance-alb"]) {
        let policy = option("xmit_hash_policy");
        let number = POLICIES.iter().position(|known| *known == policy);
        let number = number.map_or_else(String::new, |number| format!(" ({number})"));
        out.add(&format!("Transmit Hash Policy: {policy}{number}"));
    }
    if is(&["active-backup", "balance-tlb", "balance-alb"]) {
        out.add(&match &bond.primary {
            Some(primary) => format!(
                "Primary Slave: {primary} (primary_reselect {})",
                option("primary_reselect")
            ),
            None => "Primary Slave: None".to_owned(),
        });
        let active = bond.active.as_deref().unwrap_or("None");
        out.add(&format!("Currently Active Slave: {active}"));
    }
    let up = if bond.state == "down" { "down" } else { "up" };
    out.add(&format!("MII Status: {up}"));
    let arp_interval = bond.options["arp_interval"].as_u64().unwrap_or(0);
    // Unsaid it is the driver's default, which excludes the other monitor.
    let miimon = if arp_interval == 0 { 100 } else { 0 };
    let miimon = bond.options["miimon"].as_u64().unwrap_or(miimon);
    out.add(&format!("MII Polling Interval (ms): {miimon}"));
    out.add(&format!("Up Delay (ms): {}", option("updelay")));
    out.add(&format!("Down Delay (ms): {}", option("downdelay")));
    let delay = option("peer_notif_delay");
    out.add(&format!("Peer Notification Delay (ms): {delay}"));
    if arp_interval > 0 {
        out.add(&format!("ARP Polling Interval (ms): {arp_interval}"));
        out.add(&format!("ARP Missed Max: {}", option("arp_missed_max")));
        let targets = targets(&bond.options["arp_ip_target"]);
        out.add(&format!("ARP IP target/s (n.n.n.n form):{targets}"));
        let targets = self::targets(&bond.options["ns_ip6_target"]);
        out.add(&format!("NS IPv6 target/s (xx::xx form):{targets}"));
    }
    lacp(bond, &option, &mut out);
    for member in &bond.members {
        slave(bond, member, bond.lacp.is_some(), &mut out);
    }
    out.0
}

/// Addresses of targets as the driver lists them, without their VLANs.
fn targets(list: &Value) -> String {
    let words = list.as_array().into_iter().flatten();
    let words = words.filter_map(|target| target.as_str()?.split_whitespace().next());
    let words: Vec<String> = words.map(|address| format!(" {address}")).collect();
    words.join(",")
}

fn lacp(bond: &Bond, option: &dyn Fn(&str) -> String, out: &mut Lines) {
    let Some(lacp) = &bond.lacp else {
        return;
    };
    out.add("");
    out.add("802.3ad info");
    out.add(&format!(
        "LACP active: {}",
        if lacp.active { "on" } else { "off" }
    ));
    out.add(&format!("LACP rate: {}", lacp.rate));
    out.add(&format!("Min links: {}", option("min_links")));
    out.add(&format!(
        "Aggregator selection policy (ad_select): {}",
        lacp.ad_select
    ));
    out.add(&format!("System priority: {}", lacp.system_priority));
    out.add(&format!("System MAC address: {}", lacp.system));
    let Some(aggregator) = lacp.aggregator else {
        out.add(&format!("bond {} has no active aggregator", bond.name));
        return;
    };
    let of = |member: &&BondMember| {
        let number = member.lacp.as_ref().and_then(|lacp| lacp.aggregator);
        number == Some(aggregator)
    };
    let key = bond.members.iter().find(of).and_then(|m| m.lacp.as_ref());
    let key = key.map_or(0, |lacp| lacp.actor.key);
    let partner = lacp.partner.clone().unwrap_or_else(nobody);
    out.add("Active Aggregator Info:");
    // After `clean`, which takes tabs for what they are not.
    for line in [
        format!("Aggregator ID: {aggregator}"),
        format!("Number of ports: {}", lacp.aggregator_ports),
        format!("Actor Key: {key}"),
        format!("Partner Key: {}", partner.key),
        format!("Partner Mac Address: {}", partner.system),
    ] {
        out.0.push('\t');
        out.add(&line);
    }
}

/// What the driver says of a partner that was not heard.
fn nobody() -> LacpEnd {
    LacpEnd {
        system: "00:00:00:00:00:00".to_owned(),
        ..LacpEnd::default()
    }
}

fn slave(bond: &Bond, member: &BondMember, speaks: bool, out: &mut Lines) {
    out.add("");
    out.add(&format!("Slave Interface: {}", member.name));
    // To the driver a member that its monitor gave up has no link.
    let status = match (member.link.as_str(), member.role.as_str()) {
        ("up", "down") => "down",
        (other, _) => link(other),
    };
    out.add(&format!("MII Status: {status}"));
    out.add(&match member.speed_mbps {
        Some(mbps) => format!("Speed: {mbps} Mbps"),
        None => "Speed: Unknown".to_owned(),
    });
    out.add("Duplex: Unknown");
    out.add(&format!("Link Failure Count: {}", member.failures));
    if let Some(mac) = &member.mac {
        out.add(&format!("Permanent HW addr: {mac}"));
    }
    let queue = bond.options["queue_id"][&member.name].as_u64().unwrap_or(0);
    out.add(&format!("Slave queue ID: {queue}"));
    let lacp = member.lacp.as_ref();
    let Some((lacp, aggregator)) = lacp.and_then(|lacp| Some((lacp, lacp.aggregator?))) else {
        if speaks {
            out.add("Aggregator ID: N/A");
        }
        return;
    };
    out.add(&format!("Aggregator ID: {aggregator}"));
    out.add(&format!("Actor Churn State: {}", churn(&lacp.actor_churn)));
    out.add(&format!(
        "Partner Churn State: {}",
        churn(&lacp.partner_churn)
    ));
    let partner = lacp.partner.clone().unwrap_or_else(nobody);
    for (whose, key, end) in [
        ("actor", "port", &lacp.actor),
        ("partner", "oper", &partner),
    ] {
        out.add(&format!("details {whose} lacp pdu:"));
        out.add(&format!("    system priority: {}", end.system_priority));
        out.add(&format!("    system mac address: {}", end.system));
        out.add(&format!("    {key} key: {}", end.key));
        out.add(&format!("    port priority: {}", end.port_priority));
        out.add(&format!("    port number: {}", end.port));
        out.add(&format!("    port state: {}", end.state));
    }
}
