//! IGMP (RFC 1112, 2236, 3376) and MLD (RFC 2710, 3810) reports, read and written.

use crate::announcement::{Announcement, internet_checksum as sum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vswitch_base::{EtherType, MacAddr};

const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
/// To whom version 3 of IGMP and version 2 of MLD report.
const ALL_IGMP3: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 22);
const ALL_MLD2: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// The router alert, as an option of IPv4 (RFC 2113) and as a whole header of IPv6 (RFC 2711).
const ALERT4: [u8; 4] = [0x94, 4, 0, 0];
const ALERT6: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];

/// The protocol and version that a station speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// RFC 1112.
    Igmp1,
    /// RFC 2236.
    Igmp2,
    /// RFC 3376.
    Igmp3,
    /// RFC 2710.
    Mld1,
    /// RFC 3810.
    Mld2,
}

/// What a record says; `IS_` and `TO_` are as one here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordKind {
    /// These sources and no others.
    Include,
    /// All sources but these.
    Exclude,
    /// These as well.
    Allow,
    /// These no longer.
    Block,
}

/// What a station wants of one group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// What it says.
    pub kind: RecordKind,
    /// Of which group.
    pub group: IpAddr,
    /// The sources.
    pub sources: Vec<IpAddr>,
}

/// A report, a leave or a done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The version it is written in.
    pub version: Version,
    /// The sender.
    pub from: IpAddr,
    /// What it says.
    pub records: Vec<Record>,
}

/// Whether a switch may keep a group from somebody: not those of the link itself (RFC 4541, 2.1.2 and 3).
pub(super) fn is_worth(group: IpAddr) -> bool {
    match group {
        IpAddr::V4(group) => group.is_multicast() && group.octets()[..3] != [224, 0, 0],
        IpAddr::V6(group) => {
            let node = group.octets()[1] & 0xf <= 1;
            let all_nodes = group == Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
            group.is_multicast() && !node && !all_nodes
        }
    }
}

/// Reads a frame from its EtherType on; `None` for what is no report or is broken.
#[must_use]
pub fn report(rest: &[u8]) -> Option<Report> {
    let (kind, packet) = rest.split_first_chunk::<2>()?;
    match *kind {
        IPV4 => igmp(packet),
        IPV6 => mld(packet),
        _ => None,
    }
}

fn v4(bytes: &[u8]) -> Option<IpAddr> {
    Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).into())
}

fn v6(bytes: &[u8]) -> Option<IpAddr> {
    Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?).into())
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at + 2)?;
    Some(usize::from(u16::from_be_bytes([bytes[0], bytes[1]])))
}

fn igmp(packet: &[u8]) -> Option<Report> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    let fits = packet.first()? >> 4 == 4 && header >= 20;
    let whole = packet.get(..number(packet, 2)?)?;
    let fragment = number(packet, 6)? & 0x3fff;
    if !fits || fragment != 0 || *packet.get(9)? != 2 {
        return None;
    }
    let message = whole.get(header..)?;
    if message.len() < 8 || sum(&[message]) != 0 {
        return None;
    }
    let one = |kind| {
        let group = v4(message.get(4..)?)?;
        Some(vec![Record {
            kind,
            group,
            sources: Vec::new(),
        }])
    };
    let (version, records) = match message[0] {
        0x12 => (Version::Igmp1, one(RecordKind::Exclude)?),
        0x16 => (Version::Igmp2, one(RecordKind::Exclude)?),
        0x17 => (Version::Igmp2, one(RecordKind::Include)?),
        0x22 => (Version::Igmp3, records(message, 4, v4)?),
        _ => return None,
    };
    Some(Report {
        version,
        from: v4(packet.get(12..)?)?,
        records,
    })
}

fn mld(packet: &[u8]) -> Option<Report> {
    if packet.first()? >> 4 != 6 {
        return None;
    }
    let body = packet.get(40..40 + number(packet, 4)?)?;
    // Behind hop-by-hop options, of which one is the router alert.
    let message = match *packet.get(6)? {
        58 => body,
        0 if *body.first()? == 58 => body.get((usize::from(*body.get(1)?) + 1) * 8..)?,
        _ => return None,
    };
    let (from, to) = (packet.get(8..24)?, packet.get(24..40)?);
    let length = u32::try_from(message.len()).ok()?.to_be_bytes();
    let whole: [&[u8]; 5] = [from, to, &length, &[0, 0, 0, 58], message];
    if message.len() < 8 || sum(&whole) != 0 {
        return None;
    }
    let one = |kind| {
        let group = v6(message.get(8..)?)?;
        Some(vec![Record {
            kind,
            group,
            sources: Vec::new(),
        }])
    };
    let (version, records) = match message[0] {
        131 => (Version::Mld1, one(RecordKind::Exclude)?),
        132 => (Version::Mld1, one(RecordKind::Include)?),
        143 => (Version::Mld2, records(message, 16, v6)?),
        _ => return None,
    };
    Some(Report {
        version,
        from: v6(from)?,
        records,
    })
}

/// Group records, which both protocols write alike but for the size of an address. Kinds that do not exist
/// are passed over (RFC 3376, 4.2.12).
fn records(message: &[u8], size: usize, read: fn(&[u8]) -> Option<IpAddr>) -> Option<Vec<Record>> {
    let mut rest = message.get(8..)?;
    let mut records = Vec::new();
    for _ in 0..number(message, 6)? {
        let kind = match *rest.first()? {
            1 | 3 => Some(RecordKind::Include),
            2 | 4 => Some(RecordKind::Exclude),
            5 => Some(RecordKind::Allow),
            6 => Some(RecordKind::Block),
            _ => None,
        };
        let extra = usize::from(*rest.get(1)?) * 4;
        let count = number(rest, 2)?;
        let group = read(rest.get(4..)?)?;
        let sources = rest.get(4 + size..4 + size + count * size)?;
        let sources = sources.chunks_exact(size).filter_map(read).collect();
        if let Some(kind) = kind {
            records.push(Record {
                kind,
                group,
                sources,
            });
        }
        rest = rest.get(4 + size + count * size + extra..)?;
    }
    Some(records)
}

/// A report of one membership in the station's name; `None` where addresses are of two families.
pub(super) fn compose(
    mac: MacAddr,
    version: Version,
    from: IpAddr,
    group: IpAddr,
    exclude: bool,
    sources: &[IpAddr],
) -> Option<Announcement> {
    let record = || {
        let count = u16::try_from(sources.len()).unwrap_or(0).to_be_bytes();
        let mut record = vec![if exclude { 2 } else { 1 }, 0, count[0], count[1]];
        for address in [group].iter().chain(sources) {
            match address {
                IpAddr::V4(address) => record.extend_from_slice(&address.octets()),
                IpAddr::V6(address) => record.extend_from_slice(&address.octets()),
            }
        }
        record
    };
    match (version, from, group) {
        (Version::Igmp1 | Version::Igmp2, IpAddr::V4(from), IpAddr::V4(group)) => {
            let kind = if version == Version::Igmp1 {
                0x12
            } else {
                0x16
            };
            let [a, b, c, d] = group.octets();
            Some(packet4(mac, from, group, vec![kind, 0, 0, 0, a, b, c, d]))
        }
        (Version::Igmp3, IpAddr::V4(from), IpAddr::V4(_)) => {
            let message = [vec![0x22, 0, 0, 0, 0, 0, 0, 1], record()].concat();
            Some(packet4(mac, from, ALL_IGMP3, message))
        }
        (Version::Mld1, IpAddr::V6(from), IpAddr::V6(group)) => {
            let mut message = vec![131, 0, 0, 0, 0, 0, 0, 0];
            message.extend_from_slice(&group.octets());
            Some(packet6(mac, from, group, message))
        }
        (Version::Mld2, IpAddr::V6(from), IpAddr::V6(_)) => {
            let message = [vec![143, 0, 0, 0, 0, 0, 0, 1], record()].concat();
            Some(packet6(mac, from, ALL_MLD2, message))
        }
        _ => None,
    }
}

fn packet4(mac: MacAddr, from: Ipv4Addr, to: Ipv4Addr, mut message: Vec<u8>) -> Announcement {
    let checksum = sum(&[&message]).to_be_bytes();
    message[2..4].copy_from_slice(&checksum);
    let length = u16::try_from(24 + message.len()).unwrap_or(0).to_be_bytes();
    let mut header = vec![0x46, 0xc0, length[0], length[1], 0, 0, 0, 0, 1, 2, 0, 0];
    header.extend_from_slice(&from.octets());
    header.extend_from_slice(&to.octets());
    header.extend_from_slice(&ALERT4);
    let checksum = sum(&[&header]).to_be_bytes();
    header[10..12].copy_from_slice(&checksum);
    let [_, b, c, d] = to.octets();
    let dst = MacAddr([1, 0, 0x5e, b & 0x7f, c, d]);
    Announcement::new(dst, mac, EtherType(0x0800), &[&header, &message])
}

fn packet6(mac: MacAddr, from: Ipv6Addr, to: Ipv6Addr, mut message: Vec<u8>) -> Announcement {
    let length = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
    let (from, to) = (from.octets(), to.octets());
    let checksum = sum(&[&from, &to, &length, &[0, 0, 0, 58], &message]).to_be_bytes();
    message[2..4].copy_from_slice(&checksum);
    let length = u16::try_from(ALERT6.len() + message.len())
        .unwrap_or(0)
        .to_be_bytes();
    // Next header: hop-by-hop options; hop limit 1.
    let header = [0x60, 0, 0, 0, length[0], length[1], 0, 1];
    let dst = MacAddr([0x33, 0x33, to[12], to[13], to[14], to[15]]);
    let parts: [&[u8]; 5] = [&header, &from, &to, &ALERT6, &message];
    Announcement::new(dst, mac, EtherType(0x86dd), &parts)
}
