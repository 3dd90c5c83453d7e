//! A captured frame in one line, as `vswctl capture` prints it.
//!
//! Truncated and broken frames give a shorter line, never a panic. Pure.

use etherparse::{
    ArpHardwareId, ArpOperation, EtherType, LaxLinkExtSlice, LaxNetSlice, LaxSlicedPacket,
    TransportSlice,
};
use vswitch_base::MacAddr;

/// Source, destination, tags and payload of the bytes of a frame.
pub(crate) fn describe(bytes: &[u8]) -> String {
    let (Some(dst), Some(src)) = (
        MacAddr::from_prefix(bytes),
        bytes.get(6..).and_then(MacAddr::from_prefix),
    ) else {
        return format!("runt of {} bytes", bytes.len());
    };
    let mut text = format!("{src} > {dst}");
    let Ok(packet) = LaxSlicedPacket::from_ethernet(bytes) else {
        return text;
    };
    for tag in &packet.link_exts {
        if let LaxLinkExtSlice::Vlan(tag) = tag {
            text.push_str(&format!(" vlan {}", tag.vlan_identifier().value()));
            if tag.priority_code_point().value() > 0 {
                text.push_str(&format!(" pcp {}", tag.priority_code_point().value()));
            }
        }
    }
    text.push(' ');
    text.push_str(&payload(&packet, bytes));
    text
}

fn payload(packet: &LaxSlicedPacket<'_>, bytes: &[u8]) -> String {
    match &packet.net {
        Some(LaxNetSlice::Arp(arp)) => arp_line(arp),
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let (from, to) = (
                header.source_addr().to_string(),
                header.destination_addr().to_string(),
            );
            let fragment = if ip.payload().fragmented {
                " fragment"
            } else {
                ""
            };
            format!(
                "IPv4 {}{fragment}",
                transport(packet, &from, &to, ip.payload_ip_number().0)
            )
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let from = format!("[{}]", header.source_addr());
            let to = format!("[{}]", header.destination_addr());
            let fragment = if ip.payload().fragmented {
                " fragment"
            } else {
                ""
            };
            format!(
                "IPv6 {}{fragment}",
                transport(packet, &from, &to, ip.payload().ip_number.0)
            )
        }
        None => other(packet, bytes),
    }
}

fn arp_line(arp: &etherparse::ArpPacketSlice<'_>) -> String {
    let ip = |bytes: &[u8]| {
        <[u8; 4]>::try_from(bytes)
            .ok()
            .map(std::net::Ipv4Addr::from)
    };
    let known =
        arp.hw_addr_type() == ArpHardwareId::ETHERNET && arp.proto_addr_type() == EtherType::IPV4;
    match (
        known,
        ip(arp.sender_protocol_addr()),
        ip(arp.target_protocol_addr()),
    ) {
        (true, Some(sender), Some(target)) if arp.operation() == ArpOperation::REQUEST => {
            format!("ARP who-has {target} tell {sender}")
        }
        (true, Some(sender), Some(_)) if arp.operation() == ArpOperation::REPLY => {
            let at = MacAddr::from_prefix(arp.sender_hw_addr())
                .map_or_else(String::new, |mac| mac.to_string());
            format!("ARP {sender} is-at {at}")
        }
        _ => format!("ARP operation {}", arp.operation().0),
    }
}

fn transport(packet: &LaxSlicedPacket<'_>, from: &str, to: &str, protocol: u8) -> String {
    match &packet.transport {
        Some(TransportSlice::Udp(udp)) => {
            format!(
                "{from}:{} > {to}:{} UDP",
                udp.source_port(),
                udp.destination_port()
            )
        }
        Some(TransportSlice::Tcp(tcp)) => {
            let flags = [
                (tcp.syn(), 'S'),
                (tcp.fin(), 'F'),
                (tcp.rst(), 'R'),
                (tcp.psh(), 'P'),
                (tcp.ack(), '.'),
            ];
            let flags: String = flags
                .iter()
                .filter(|(set, _)| *set)
                .map(|(_, flag)| *flag)
                .collect();
            format!(
                "{from}:{} > {to}:{} TCP [{flags}]",
                tcp.source_port(),
                tcp.destination_port()
            )
        }
        Some(TransportSlice::Icmpv4(icmp)) => {
            format!(
                "{from} > {to} ICMP {}",
                icmp_words(icmp.type_u8(), icmp.code_u8(), (8, 0))
            )
        }
        Some(TransportSlice::Icmpv6(icmp)) => {
            format!(
                "{from} > {to} ICMPv6 {}",
                icmp_words(icmp.type_u8(), icmp.code_u8(), (128, 129))
            )
        }
        _ => format!("{from} > {to} protocol {protocol}"),
    }
}

fn icmp_words(kind: u8, code: u8, (request, reply): (u8, u8)) -> String {
    match kind {
        kind if kind == request => "echo request".to_owned(),
        kind if kind == reply => "echo reply".to_owned(),
        135 if request == 128 => "neighbour solicitation".to_owned(),
        136 if request == 128 => "neighbour advertisement".to_owned(),
        _ => format!("type {kind} code {code}"),
    }
}

/// Frames without IP or ARP, by their ethertype or LLC header.
fn other(packet: &LaxSlicedPacket<'_>, bytes: &[u8]) -> String {
    let tags = packet
        .link_exts
        .iter()
        .filter(|tag| matches!(tag, LaxLinkExtSlice::Vlan(_)))
        .count();
    let at = 12 + 4 * tags;
    let Some(&[high, low]) = bytes.get(at..at + 2) else {
        return "cut off".to_owned();
    };
    match u16::from_be_bytes([high, low]) {
        length @ 0..0x600 if bytes.get(at + 2..at + 4) == Some(&[0x42, 0x42]) => {
            format!("STP BPDU length {length}")
        }
        length @ 0..0x600 => format!("LLC length {length}"),
        0x0800 => "IPv4 broken".to_owned(),
        0x86dd => "IPv6 broken".to_owned(),
        0x0806 => "ARP broken".to_owned(),
        0x8809 => match bytes.get(at + 2) {
            Some(1) => "LACP".to_owned(),
            Some(2) => "Marker".to_owned(),
            _ => "slow protocol".to_owned(),
        },
        0x88cc => "LLDP".to_owned(),
        0x8035 => "RARP".to_owned(),
        ether_type => format!("ethertype {ether_type:#06x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        describe(&crate::frame_text::parse(text).unwrap())
    }

    #[test]
    fn frames_are_told_in_a_line() {
        let head = "02:00:00:00:00:01 > 02:00:00:00:00:02";
        for (text, line) in [
            (
                "arp who-has 10.0.0.1 tell 10.0.0.2",
                "02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff ARP who-has 10.0.0.1 tell 10.0.0.2"
                    .to_owned(),
            ),
            (
                "vlan 100 pcp 5 ipv4 from 10.0.0.1 to 10.0.0.2 udp sport 5 dport 53",
                format!("{head} vlan 100 pcp 5 IPv4 10.0.0.1:5 > 10.0.0.2:53 UDP"),
            ),
            (
                "vlan 7 vlan 8 ipv6 tcp syn",
                format!("{head} vlan 7 vlan 8 IPv6 [2001:db8::1]:49152 > [2001:db8::2]:7 TCP [S]"),
            ),
            (
                "ipv4 icmp",
                format!("{head} IPv4 192.0.2.1 > 192.0.2.2 ICMP echo request"),
            ),
            (
                "ipv4",
                format!("{head} IPv4 192.0.2.1 > 192.0.2.2 protocol 253"),
            ),
            (
                "lacp",
                "02:00:00:00:00:01 > 01:80:c2:00:00:02 LACP".to_owned(),
            ),
            (
                "bpdu",
                "02:00:00:00:00:01 > 01:80:c2:00:00:00 STP BPDU length 38".to_owned(),
            ),
            ("type 0x1234", format!("{head} ethertype 0x1234")),
        ] {
            assert_eq!(told(text), line, "{text}");
        }
    }

    #[test]
    fn a_frame_cut_anywhere_is_told_without_a_panic() {
        for text in [
            "vlan 9 arp who-has 1.2.3.4",
            "ipv4 udp",
            "ipv6 tcp",
            "vlan 1 vlan 2 ipv6 icmp",
            "bpdu",
            "lldp",
            "type 0x88a8 payload 8100",
        ] {
            let bytes = crate::frame_text::parse(text).unwrap();
            for cut in 0..=bytes.len() {
                assert!(!describe(&bytes[..cut]).is_empty());
            }
        }
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let bytes: Vec<u8> = state
                .to_le_bytes()
                .iter()
                .chain(&(state >> 7).to_le_bytes())
                .copied()
                .cycle()
                .take((state % 80) as usize)
                .collect();
            assert!(!describe(&bytes).is_empty());
        }
    }
}
