//! Which IP addresses the stations on a bridge have, by their own word: what each said in ARP or
//! neighbour discovery, so that it can be announced with them after a failover.
//!
//! The latest word counts: an address that another station claims is no longer the first one's, whether that
//! station is behind a port of ours or beyond a bond. What was not repeated for [`LIFE`] counts no more.
//!
//! Every byte is a stranger's. Of one station at most [`FAMILY_MAX`] addresses of each family are kept, of
//! one port at most [`PORT_MAX`], of all at most [`TOTAL_MAX`]: the oldest goes of the station or port that
//! is full, and of the port that has most where all are, so that who says much takes nobody else's place.

use crate::groups::Place;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vswitch_base::{BridgeIndex, Duration, EtherView, Instant, MacAddr, PortIndex, Vid};
use vswitch_core::watch::{Neighbour, Speech};

/// Addresses of a family kept of one station: the newest.
pub const FAMILY_MAX: usize = 4;
/// Addresses kept of the stations of one port.
pub const PORT_MAX: usize = 1024;
/// Addresses kept of all stations.
pub const TOTAL_MAX: usize = 32_768;
/// An address that its station did not speak of for this long is no longer known to be its own: shorter than
/// DHCP leases usually are, after which it may be another's, and far longer than the minutes in which machines
/// that talk ask each other anew.
pub const LIFE: Duration = Duration::from_secs(1800);

/// What lies between the Ethernet addresses and the options of a neighbour message: EtherType, IPv6 header,
/// and type to target.
const OPTIONS_AT: usize = 14 + 40 + 24;
const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;

/// Where an address means one station.
type Area = (BridgeIndex, Option<Vid>);

/// Who has an address.
#[derive(Clone, Copy, Debug)]
struct Held {
    mac: MacAddr,
    port: PortIndex,
    at: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Bindings {
    held: BTreeMap<(Area, IpAddr), Held>,
    /// The same by station.
    stations: BTreeSet<(Area, MacAddr, IpAddr)>,
    /// The same by port, oldest first.
    ports: BTreeMap<PortIndex, BTreeSet<(Instant, Area, IpAddr)>>,
}

/// What an untagged frame of ARP or neighbour discovery claims for its source: its IP address. `None` where
/// it claims none, or is not sound.
#[must_use]
pub fn claim(frame: &[u8]) -> Option<IpAddr> {
    let view = EtherView::new(frame)?;
    let src = view.src().0;
    // A tag inside would make it somebody else's VLAN.
    let said = match frame.get(12..14)? {
        [0x08, 0x06] => Neighbour::parse(frame).filter(|_| frame.get(22..28) == Some(&src))?,
        [0x86, 0xdd] => {
            let said = Neighbour::parse(frame)?;
            let (wanted, may_lack) = match said.speech {
                Speech::Asks => (SOURCE_LINK, true),
                Speech::Answers => (TARGET_LINK, false),
            };
            let length = usize::from(u16::from_be_bytes([*frame.get(18)?, *frame.get(19)?]));
            let options = frame.get(OPTIONS_AT..(14 + 40 + length).max(OPTIONS_AT))?;
            match link_option(options, wanted) {
                Some(link) if link == src => said,
                None if may_lack => said,
                _ => return None,
            }
        }
        _ => return None,
    };
    is_stations(said.sender).then_some(said.sender)
}

/// The link-layer address of the first option of that type (RFC 4861, 4.6.1).
fn link_option(mut options: &[u8], wanted: u8) -> Option<[u8; 6]> {
    while let [kind, units, ..] = *options {
        let length = usize::from(units) * 8;
        let option = options.get(..length).filter(|_| length > 0)?;
        if kind == wanted {
            return option.get(2..8)?.try_into().ok();
        }
        options = options.get(length..)?;
    }
    None
}

/// Whether it is an address that a single station on a link can have.
#[must_use]
pub fn is_stations(ip: IpAddr) -> bool {
    match ip {
        // 0/8 is this host, 127/8 the loopback, 224/3 groups, reserved and broadcast (RFC 6890).
        IpAddr::V4(ip) => {
            let [first, ..] = Ipv4Addr::octets(&ip);
            !matches!(first, 0 | 127 | 224..)
        }
        IpAddr::V6(ip) => {
            !ip.is_unspecified()
                && ip != Ipv6Addr::LOCALHOST
                && !ip.is_multicast()
                && ip.to_ipv4_mapped().is_none()
        }
    }
}

impl Bindings {
    /// A station said that it has `ip`.
    pub fn hear(&mut self, place: Place, ip: IpAddr, now: Instant) {
        let area = (place.bridge, place.vid);
        self.forget(area, ip);
        let family = |other: &&IpAddr| other.is_ipv4() == ip.is_ipv4();
        let own: Vec<IpAddr> = self.of_station(area, place.mac).collect();
        if own.iter().filter(family).count() >= FAMILY_MAX {
            let at = |ip: &&IpAddr| self.held.get(&(area, **ip)).map(|held| held.at);
            if let Some(oldest) = own.iter().filter(family).min_by_key(at) {
                self.forget(area, *oldest);
            }
        }
        if self.of_port(place.port) >= PORT_MAX {
            self.forget_oldest(place.port);
        }
        if self.len() >= TOTAL_MAX {
            let most = self.ports.iter().max_by_key(|(_, held)| held.len());
            if let Some(port) = most.map(|(port, _)| *port) {
                self.forget_oldest(port);
            }
        }
        let held = Held {
            mac: place.mac,
            port: place.port,
            at: now,
        };
        self.held.insert((area, ip), held);
        self.stations.insert((area, place.mac, ip));
        let port = self.ports.entry(place.port).or_default();
        port.insert((now, area, ip));
    }

    /// The same, of what came in from beyond a bond: what a station on this side says comes back from there as
    /// well, and says nothing new.
    pub fn hear_beyond(&mut self, place: Place, ip: IpAddr, now: Instant) {
        let held = self.held.get(&((place.bridge, place.vid), ip));
        if held.is_none_or(|held| held.mac != place.mac || held.port == place.port) {
            self.hear(place, ip, now);
        }
    }

    /// The addresses of a station that is at that place, those first of which it spoke last.
    #[must_use]
    pub fn of(&self, place: Place, now: Instant) -> Vec<IpAddr> {
        let area = (place.bridge, place.vid);
        let own = self.of_station(area, place.mac);
        let mut known: Vec<(Instant, IpAddr)> = own
            .filter_map(|ip| {
                let held = self.held.get(&(area, ip))?;
                (held.port == place.port && now < held.at + LIFE).then_some((held.at, ip))
            })
            .collect();
        known.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        known.into_iter().map(|(_, ip)| ip).collect()
    }

    /// Whether another station than that one said last that it has the address.
    #[must_use]
    pub fn is_anothers(&self, place: Place, ip: IpAddr, now: Instant) -> bool {
        let held = self.held.get(&((place.bridge, place.vid), ip));
        held.is_some_and(|held| held.mac != place.mac && now < held.at + LIFE)
    }

    /// Forgets what was heard at ports that are gone.
    pub fn keep_ports(&mut self, is_there: impl Fn(PortIndex) -> bool) {
        let gone: Vec<PortIndex> = self.ports.keys().copied().collect();
        for port in gone.into_iter().filter(|port| !is_there(*port)) {
            while self.of_port(port) > 0 {
                self.forget_oldest(port);
            }
        }
    }

    /// How many addresses are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How many are kept of the stations of a port.
    #[must_use]
    pub fn of_port(&self, port: PortIndex) -> usize {
        self.ports.get(&port).map_or(0, BTreeSet::len)
    }

    fn of_station(&self, area: Area, mac: MacAddr) -> impl Iterator<Item = IpAddr> + '_ {
        let first = (area, mac, IpAddr::from([0; 4]));
        let all = self.stations.range(first..);
        all.take_while(move |(a, m, _)| (*a, *m) == (area, mac))
            .map(|(_, _, ip)| *ip)
    }

    fn forget(&mut self, area: Area, ip: IpAddr) {
        let Some(held) = self.held.remove(&(area, ip)) else {
            return;
        };
        self.stations.remove(&(area, held.mac, ip));
        if let Some(port) = self.ports.get_mut(&held.port) {
            port.remove(&(held.at, area, ip));
            if port.is_empty() {
                self.ports.remove(&held.port);
            }
        }
    }

    fn forget_oldest(&mut self, port: PortIndex) {
        let oldest = self.ports.get(&port).and_then(|held| held.first().copied());
        if let Some((_, area, ip)) = oldest {
            self.forget(area, ip);
        }
    }
}

#[cfg(test)]
mod tests;
