//! Which IP addresses are known of the stations on a bridge: those that configuration or a container
//! runtime gave them, and those that they speak of themselves ([`crate::bindings`]).
//!
//! Announcing an address is safe only if it is the station's. So what is configured counts where it names one
//! station and one address of a family, at one port; what another station was heard to claim does not; and
//! of a guarded port nothing but what the guard lets pass.

use super::Controller;
use crate::bindings::{self, FAMILY_MAX};
use crate::groups::Place;
use std::collections::BTreeMap;
use std::net::IpAddr;
use vswitch_base::{Instant, MacAddr, PortIndex, Vid};
use vswitch_core::punt::Punt;

/// What is configured of the ports of a bridge.
#[derive(Debug, Default)]
pub(super) struct Configured {
    ports: BTreeMap<PortIndex, Port>,
    /// Where an address is configured.
    places: BTreeMap<IpAddr, Vec<PortIndex>>,
}

#[derive(Debug, Default)]
struct Port {
    /// The one station that is behind it, where that is said.
    station: Option<MacAddr>,
    /// Its addresses.
    ips: Vec<IpAddr>,
    /// Those that the daemon itself gave to the node's device.
    own: bool,
    /// What its guard lets pass, where it has one.
    allowed: Option<Vec<IpAddr>>,
}

impl Controller {
    /// What is configured of the ports of a bridge.
    pub(super) fn configured(&self, bridge: &str) -> Configured {
        let mut found = Configured::default();
        for (name, wanted) in &self.view.ports {
            if wanted.bridge != bridge {
                continue;
            }
            let mut port = Port::default();
            if wanted.view.flags.host {
                let open = self.actual.ports.get(name);
                let given = open.map(|open| open.spec.device.addresses.iter());
                port.ips = given.into_iter().flatten().map(|c| c.address).collect();
                port.station = self.mac_of(name, wanted);
                port.own = true;
            } else if let Some(config) = self.config.port.get(name) {
                let said = config.mac.iter().chain(&config.guard_macs);
                let said: Vec<MacAddr> = said.map(|mac| MacAddr(mac.octets())).collect();
                port.station = match said[..] {
                    [] => wanted.spec.device.mac,
                    [one] => Some(one),
                    _ => None,
                };
                port.ips.clone_from(&config.guard_ips);
                port.allowed = config.guard.then(|| config.guard_ips.clone());
            }
            for ip in &port.ips {
                let places = found.places.entry(*ip).or_default();
                places.push(wanted.index);
            }
            found.ports.insert(wanted.index, port);
        }
        found
    }

    /// The IP addresses that are known of a station.
    pub(super) fn ips_of(
        &self,
        configured: &Configured,
        place: Place,
        now: Instant,
    ) -> Vec<IpAddr> {
        let port = configured.ports.get(&place.port);
        let family = |ips: &[IpAddr], v4: bool| ips.iter().filter(|ip| ip.is_ipv4() == v4).count();
        let mut known: Vec<IpAddr> = Vec::new();
        if let Some(port) = port.filter(|port| port.station == Some(place.mac)) {
            let counts = |ip: &&IpAddr| {
                port.own
                    || family(&port.ips, ip.is_ipv4()) == 1
                        && bindings::is_stations(**ip)
                        && !self.is_configured_elsewhere(configured, place, **ip)
                        && !self.bindings.is_anothers(place, **ip, now)
            };
            known.extend(port.ips.iter().filter(counts));
        }
        let allowed = port.and_then(|port| port.allowed.as_deref());
        for ip in self.bindings.of(place, now) {
            let passes = allowed
                .is_none_or(|allowed| family(allowed, ip.is_ipv4()) == 0 || allowed.contains(&ip));
            if passes
                && !known.contains(&ip)
                && family(&known, ip.is_ipv4()) < FAMILY_MAX
                && !self.is_configured_elsewhere(configured, place, ip)
            {
                known.push(ip);
            }
        }
        known
    }

    /// Whether the address is configured at another port in that VLAN, and not at this one.
    fn is_configured_elsewhere(&self, configured: &Configured, place: Place, ip: IpAddr) -> bool {
        let there = |vid: Option<Vid>, port: &PortIndex| {
            let view = self.snapshot.port(*port);
            view.is_some_and(|view| vid.is_none_or(|vid| view.vlans.contains(vid)))
        };
        let places = configured.places.get(&ip).map_or(&[][..], Vec::as_slice);
        let others = places.iter().filter(|port| **port != place.port);
        let others = others.filter(|port| there(place.vid, port)).count();
        others > 0
    }

    /// A station spoke of an IP address of its own.
    pub(super) fn hear_station(&mut self, punt: &Punt, now: Instant) {
        let Some(ip) = bindings::claim(&punt.bytes) else {
            return;
        };
        if let Some(mut place) = self.place_of(punt) {
            // Beyond a bond is one place, whatever the member.
            let port = self.snapshot.port(punt.port);
            place.port = port.map_or(punt.port, |port| port.logical);
            if place.port == punt.port {
                self.bindings.hear(place, ip, now);
            } else {
                self.bindings.hear_beyond(place, ip, now);
            }
        }
    }

    /// Who sent a frame, and where.
    pub(super) fn place_of(&self, punt: &Punt) -> Option<Place> {
        let [_, _, _, _, _, _, a, b, c, d, e, f] = *punt.bytes.first_chunk()?;
        let name = self.view.names.get(&punt.port)?;
        let bridge = self.view.bridges.get(&self.view.ports.get(name)?.bridge)?;
        Some(Place {
            bridge: bridge.index,
            port: punt.port,
            vid: punt.vid,
            mac: MacAddr([a, b, c, d, e, f]),
        })
    }
}
