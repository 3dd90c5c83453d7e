//! Frames written as text, for `vswctl trace`: `dst ff:ff:ff:ff:ff:ff arp who-has 10.0.0.1`.
//!
//! A frame is hex, or words: addresses, VLAN tags from outside to inside, then one payload.
//! What is not said has a documented default, so a short text is a whole frame with right
//! checksums. Pure; any text gives a frame or an error with examples, and no frame is longer
//! than [`FRAME_MAX`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::slice::Iter;

use etherparse::{
    ArpEthIpv4Packet, ArpOperation, ArpPacket, IpNumber, PacketBuilder, PacketBuilderStep,
};
use vswitch_api::hex;
use vswitch_base::MacAddr;

use crate::failure::Failure;

/// The longest frame that can be traced: what one call carries.
pub(crate) const FRAME_MAX: usize = 65_535;
/// The shortest frame on a wire, without its checksum; shorter ones are filled with zeroes.
const FRAME_MIN: usize = 60;
/// The most VLAN tags of one frame: more than any switch looks at.
const TAGS_MAX: usize = 8;
/// The source where none is said: administered locally, so nobody's.
const DEFAULT_SOURCE: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// The destination where none is said and the payload does not tell.
const DEFAULT_DESTINATION: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const DEFAULT_IPV4: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
const DEFAULT_IPV6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2),
];
/// IEEE 802 local experimental ethertype 1.
const EXPERIMENTAL: u16 = 0x88b5;

/// What the help and every error show.
pub(crate) const GRAMMAR: &str = "\
A frame is hex (ffffffffffff020000000001...), or words:
  [src MAC] [dst MAC] [vlan VID [pcp 0-7] [tpid 0x88a8]]... PAYLOAD [len BYTES]
with one PAYLOAD of
  arp who-has IP [tell IP]          arp is-at MAC [ip IP]
  ipv4|ipv6 [from IP] [to IP] [ttl N] [udp|tcp [sport N] [dport N] [syn]] [icmp]
  lacp   bpdu   lldp   type 0xNNNN [payload HEX]";

/// Examples below an error.
const EXAMPLES: &str = "\
vswctl trace vm1 'dst ff:ff:ff:ff:ff:ff arp who-has 10.0.0.1'
vswctl trace vm1 'src 52:54:00:00:00:01 dst 52:54:00:00:00:02 vlan 100 ipv4 udp dport 53'
vswctl trace vm1 ffffffffffff52540000000108060001080006040001...";

fn wrong(what: impl Into<String>) -> Failure {
    Failure::usage(format!("this is no frame: {}", what.into()))
        .help(EXAMPLES)
        .help("vswctl trace --help has the grammar")
}

/// The bytes of a frame from hex or words.
///
/// # Errors
///
/// What is wrong with the text, with examples.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, Failure> {
    let compact: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if compact.is_empty() {
        return Err(wrong("it is empty"));
    }
    let hexlike = compact
        .chars()
        .all(|c| c.is_ascii_hexdigit() || c == ' ' || c == ':');
    let digits = compact.chars().filter(char::is_ascii_hexdigit).count();
    if hexlike && digits >= 2 {
        return match hex::decode(&compact, FRAME_MAX) {
            Some(bytes) => Ok(bytes),
            None if digits % 2 == 1 => Err(wrong(format!(
                "{digits} hex digits are no whole number of bytes"
            ))),
            None => Err(wrong(format!(
                "the hex has halves of bytes or more than {FRAME_MAX} bytes"
            ))),
        };
    }
    let words: Vec<&str> = compact.split(' ').collect();
    Words {
        words: words.iter(),
    }
    .frame()
}

/// What the words said so far.
#[derive(Default)]
struct Header {
    src: Option<MacAddr>,
    dst: Option<MacAddr>,
    tags: Vec<(u16, u16)>,
    len: Option<usize>,
}

/// A payload: its ethertype (or none for LLC), bytes, and where it is usually sent.
struct Payload {
    ether_type: Option<u16>,
    bytes: Vec<u8>,
    dst: Option<MacAddr>,
}

struct Words<'a> {
    words: Iter<'a, &'a str>,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.as_slice().first().copied()
    }

    fn value(&mut self, of: &str) -> Result<&'a str, Failure> {
        self.words
            .next()
            .copied()
            .ok_or_else(|| wrong(format!("behind \"{of}\" the value is missing")))
    }

    fn mac(&mut self, of: &str) -> Result<MacAddr, Failure> {
        let text = self.value(of)?;
        match text {
            "broadcast" => Ok(MacAddr::BROADCAST),
            _ => text.parse().map_err(|_| {
                wrong(format!(
                    "\"{text}\" behind \"{of}\" is no address such as 52:54:00:00:00:01"
                ))
            }),
        }
    }

    fn number(&mut self, of: &str, most: u32) -> Result<u32, Failure> {
        let text = self.value(of)?;
        let number = match text.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => text.parse().ok(),
        };
        number.filter(|number| *number <= most).ok_or_else(|| {
            wrong(format!(
                "\"{text}\" behind \"{of}\" is no number up to {most}"
            ))
        })
    }

    fn short(&mut self, of: &str) -> Result<u16, Failure> {
        self.number(of, u32::from(u16::MAX))
            .map(|number| u16::try_from(number).unwrap_or(u16::MAX))
    }

    fn ip<T: std::str::FromStr>(&mut self, of: &str, kind: &str) -> Result<T, Failure> {
        let text = self.value(of)?;
        text.parse()
            .map_err(|_| wrong(format!("\"{text}\" behind \"{of}\" is no {kind} address")))
    }

    fn frame(mut self) -> Result<Vec<u8>, Failure> {
        let mut header = Header::default();
        let mut payload = None;
        while let Some(word) = self.words.next().copied() {
            match word {
                "src" => header.src = Some(self.mac(word)?),
                "dst" => header.dst = Some(self.mac(word)?),
                "len" => header.len = Some(self.number(word, u32::from(u16::MAX))? as usize),
                "vlan" => header.tags.push(self.tag()?),
                _ => {
                    let next = self.payload(word, &header)?;
                    if payload.replace(next).is_some() {
                        return Err(wrong(format!("\"{word}\" is a second payload")));
                    }
                }
            }
        }
        if header.tags.len() > TAGS_MAX {
            return Err(wrong(format!("it has more than {TAGS_MAX} tags")));
        }
        build(&header, payload)
    }

    /// VID and, behind it, priority and tag type.
    fn tag(&mut self) -> Result<(u16, u16), Failure> {
        // 0 and 4095 are no VLANs, but frames with them exist, and what becomes of them is a
        // good question.
        let mut tci = u16::try_from(self.number("vlan", 4095)?).unwrap_or(0);
        let mut tpid = 0x8100;
        loop {
            match self.peek() {
                Some("pcp") => {
                    self.words.next();
                    tci |= u16::try_from(self.number("pcp", 7)?).unwrap_or(0) << 13;
                }
                Some("dei") => {
                    self.words.next();
                    tci |= 0x1000;
                }
                Some("tpid") => {
                    self.words.next();
                    tpid = self.short("tpid")?;
                }
                _ => return Ok((tpid, tci)),
            }
        }
    }

    fn payload(&mut self, word: &str, header: &Header) -> Result<Payload, Failure> {
        match word {
            "arp" => self.arp(header.src.unwrap_or(DEFAULT_SOURCE)),
            "ipv4" | "ip" => self.ipv4(),
            "ipv6" | "ip6" => self.ipv6(),
            // A LACPDU of version 1 with actor and partner all zero (features.md 3.3).
            "lacp" => Ok(Payload {
                ether_type: Some(0x8809),
                bytes: [
                    &[1_u8, 1, 1, 20][..],
                    &[0; 18],
                    &[2, 20],
                    &[0; 18],
                    &[3, 16],
                    &[0; 14],
                    &[0; 52],
                ]
                .concat(),
                dst: Some(MacAddr::SLOW_PROTOCOLS),
            }),
            // LLC 42-42-03 and a configuration BPDU of all zeroes.
            "bpdu" | "stp" => Ok(Payload {
                ether_type: None,
                bytes: [&[0x42_u8, 0x42, 0x03][..], &[0; 35]].concat(),
                dst: Some(MacAddr::BRIDGE_GROUP),
            }),
            // Chassis and port of one address, two minutes to live, end.
            "lldp" => Ok(Payload {
                ether_type: Some(0x88cc),
                bytes: [&[
                    2_u8, 7, 4, 2, 0, 0, 0, 0, 1, 4, 7, 3, 2, 0, 0, 0, 0, 1, 6, 2, 0, 120, 0, 0,
                ][..]]
                .concat(),
                dst: Some(MacAddr::LLDP_NEAREST_BRIDGE),
            }),
            "type" => {
                let ether_type = self.short("type")?;
                Ok(Payload {
                    ether_type: Some(ether_type),
                    bytes: self.raw()?,
                    dst: None,
                })
            }
            _ => {
                const KNOWN: [&str; 13] = [
                    "src", "dst", "vlan", "len", "arp", "ipv4", "ipv6", "lacp", "bpdu", "lldp",
                    "type", "pcp", "payload",
                ];
                let mut failure = wrong(format!("\"{word}\" is not understood here"));
                if let Some(near) = vswitch_api::text::nearest(word, KNOWN) {
                    failure.help.insert(0, format!("did you mean \"{near}\"?"));
                }
                Err(failure)
            }
        }
    }

    /// `payload HEX`, if it is there.
    fn raw(&mut self) -> Result<Vec<u8>, Failure> {
        if self.peek() != Some("payload") {
            return Ok(Vec::new());
        }
        self.words.next();
        let text = self.value("payload")?;
        hex::decode(text, FRAME_MAX)
            .ok_or_else(|| wrong(format!("\"{text}\" behind \"payload\" is no hex")))
    }

    fn arp(&mut self, src: MacAddr) -> Result<Payload, Failure> {
        let (mut sender, mut target) = (None, None);
        let operation = match self.value("arp")? {
            "who-has" => {
                target = Some(self.ip("who-has", "IPv4")?);
                ArpOperation::REQUEST
            }
            "is-at" => ArpOperation::REPLY,
            other => {
                return Err(wrong(format!(
                    "\"{other}\" behind \"arp\" is neither who-has nor is-at"
                )));
            }
        };
        let mut sender_mac = src;
        if operation == ArpOperation::REPLY {
            sender_mac = self.mac("is-at")?;
        }
        loop {
            match self.peek() {
                Some(word @ ("tell" | "ip" | "from")) => {
                    self.words.next();
                    sender = Some(self.ip(word, "IPv4")?);
                }
                Some("to") => {
                    self.words.next();
                    target = Some(self.ip("to", "IPv4")?);
                }
                _ => break,
            }
        }
        let [default_sender, default_target] = DEFAULT_IPV4;
        let packet = ArpPacket::from(ArpEthIpv4Packet {
            operation,
            sender_mac: sender_mac.0,
            sender_ipv4: sender.unwrap_or(default_sender).octets(),
            target_mac: [0; 6],
            target_ipv4: target.unwrap_or(default_target).octets(),
        });
        let dst = (operation == ArpOperation::REQUEST).then_some(MacAddr::BROADCAST);
        Ok(Payload {
            ether_type: Some(0x0806),
            bytes: packet.to_bytes().to_vec(),
            dst,
        })
    }

    /// `from`, `to` and `ttl` behind `ipv4` and `ipv6`.
    fn addresses<T: std::str::FromStr>(
        &mut self,
        defaults: [T; 2],
        kind: &str,
    ) -> Result<(T, T, u8), Failure> {
        let [mut from, mut to] = defaults;
        let mut ttl = 64;
        loop {
            match self.peek() {
                Some("from") => {
                    self.words.next();
                    from = self.ip("from", kind)?;
                }
                Some("to") => {
                    self.words.next();
                    to = self.ip("to", kind)?;
                }
                Some("ttl") => {
                    self.words.next();
                    ttl = u8::try_from(self.number("ttl", 255)?).unwrap_or(u8::MAX);
                }
                _ => return Ok((from, to, ttl)),
            }
        }
    }

    fn ipv4(&mut self) -> Result<Payload, Failure> {
        let (from, to, ttl) = self.addresses(DEFAULT_IPV4, "IPv4")?;
        let bytes = self.transport(PacketBuilder::ipv4(from.octets(), to.octets(), ttl), false)?;
        Ok(Payload {
            ether_type: Some(0x0800),
            bytes,
            dst: group_address(to.into()),
        })
    }

    fn ipv6(&mut self) -> Result<Payload, Failure> {
        let (from, to, ttl) = self.addresses(DEFAULT_IPV6, "IPv6")?;
        let bytes = self.transport(PacketBuilder::ipv6(from.octets(), to.octets(), ttl), true)?;
        Ok(Payload {
            ether_type: Some(0x86dd),
            bytes,
            dst: group_address(to.into()),
        })
    }

    /// The IP packet with what stands behind its addresses.
    fn transport(
        &mut self,
        ip: PacketBuilderStep<etherparse::IpHeaders>,
        v6: bool,
    ) -> Result<Vec<u8>, Failure> {
        let protocol = self
            .peek()
            .filter(|word| matches!(*word, "udp" | "tcp" | "icmp" | "icmp6"));
        if protocol.is_some() {
            self.words.next();
        }
        let (mut sport, mut dport, mut syn) = (49_152, 7, false); // A dynamic port; echo.
        while let Some(word) = self
            .peek()
            .filter(|_| matches!(protocol, Some("udp" | "tcp")))
        {
            match word {
                "sport" => {
                    self.words.next();
                    sport = self.short("sport")?;
                }
                "dport" => {
                    self.words.next();
                    dport = self.short("dport")?;
                }
                "syn" => {
                    self.words.next();
                    syn = true;
                }
                _ => break,
            }
        }
        let payload = self.raw()?;
        let mut bytes = Vec::new();
        let written = match protocol {
            Some("udp") => ip.udp(sport, dport).write_to_vec(&mut bytes, &payload),
            Some("tcp") => {
                let tcp = ip.tcp(sport, dport, 1, 65_535);
                let tcp = if syn { tcp.syn() } else { tcp.ack(1) };
                tcp.write_to_vec(&mut bytes, &payload)
            }
            Some(_) if v6 => ip
                .icmpv6_echo_request(1, 1)
                .write_to_vec(&mut bytes, &payload),
            Some(_) => ip
                .icmpv4_echo_request(1, 1)
                .write_to_vec(&mut bytes, &payload),
            None => {
                // Protocol 253: for experiments (RFC 3692).
                ip.write_to_vec(&mut bytes, IpNumber(253), &payload)
            }
        };
        match written {
            Ok(()) => Ok(bytes),
            Err(error) => Err(wrong(format!("its payload does not fit: {error}"))),
        }
    }
}

/// Where a packet to a group is sent on Ethernet (RFC 1112, RFC 2464).
fn group_address(to: IpAddr) -> Option<MacAddr> {
    match to {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some(MacAddr::BROADCAST),
        IpAddr::V4(to) if to.is_multicast() => {
            let [_, b, c, d] = to.octets();
            Some(MacAddr([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
        }
        IpAddr::V6(to) if to.is_multicast() => {
            let [.., a, b, c, d] = to.octets();
            Some(MacAddr([0x33, 0x33, a, b, c, d]))
        }
        _ => None,
    }
}

fn build(header: &Header, payload: Option<Payload>) -> Result<Vec<u8>, Failure> {
    let payload = payload.unwrap_or(Payload {
        ether_type: Some(EXPERIMENTAL),
        bytes: Vec::new(),
        dst: None,
    });
    let dst = header.dst.or(payload.dst).unwrap_or(DEFAULT_DESTINATION);
    let mut bytes = Vec::with_capacity(64 + payload.bytes.len());
    bytes.extend_from_slice(&dst.0);
    bytes.extend_from_slice(&header.src.unwrap_or(DEFAULT_SOURCE).0);
    for (tpid, tci) in &header.tags {
        bytes.extend_from_slice(&tpid.to_be_bytes());
        bytes.extend_from_slice(&tci.to_be_bytes());
    }
    // Without an ethertype the field is the length of what follows.
    let field = payload
        .ether_type
        .unwrap_or_else(|| u16::try_from(payload.bytes.len()).unwrap_or(0));
    bytes.extend_from_slice(&field.to_be_bytes());
    bytes.extend_from_slice(&payload.bytes);
    let least = FRAME_MIN + 4 * header.tags.len();
    let wanted = header.len.unwrap_or_else(|| bytes.len().max(least));
    if wanted < bytes.len() {
        return Err(wrong(format!(
            "len {wanted} is less than the {} bytes that were said",
            bytes.len()
        )));
    }
    if wanted > FRAME_MAX {
        return Err(wrong(format!("it has more than {FRAME_MAX} bytes")));
    }
    bytes.resize(wanted, 0);
    Ok(bytes)
}

#[cfg(test)]
mod tests;
