//! Which multicast groups the stations on a bridge have joined, from their own reports (N-06).
//!
//! A switch beyond that snoops sends a group's frames only where it heard a report for it. After a failover
//! that is the wrong link until the next general query, up to two minutes later; so what a station reported
//! is kept, and said again on the link that took over, in the station's name and in the version of the
//! protocol that it spoke. This is not snooping: frames go where they went.
//!
//! Reports are strangers' bytes: what has a wrong length, checksum or form is not heard; there is a bound to
//! what is kept of each port ([`PORT_MAX`]), and what was not reported for [`LIFE`] is forgotten
//! (RFC 3376, 8.4).

mod wire;

use crate::announcement::Announcement;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use vswitch_base::{BridgeIndex, Duration, Instant, MacAddr, PortIndex, Vid};
pub use wire::{Record, RecordKind, Report, Version, report};

/// Memberships kept of one port.
pub const PORT_MAX: usize = 512;
/// Sources kept of one membership; with more, all are taken.
pub const SOURCES_MAX: usize = 16;
/// A membership that is not reported for this long is over.
pub const LIFE: Duration = Duration::from_secs(260);

/// A station's place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The bridge.
    pub bridge: BridgeIndex,
    /// The port.
    pub port: PortIndex,
    /// The VLAN; `None` where VLANs are not filtered.
    pub vid: Option<Vid>,
    /// The station.
    pub mac: MacAddr,
}

/// What a station wants of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Membership {
    version: Version,
    /// The station's address in its reports.
    ip: IpAddr,
    /// Whether `sources` are those that it does not want.
    exclude: bool,
    sources: BTreeSet<IpAddr>,
    at: Instant,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Groups {
    joined: BTreeMap<(Place, IpAddr), Membership>,
}

/// Something to say again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejoin {
    /// Whose.
    pub place: Place,
    /// The frame.
    pub said: Announcement,
}

impl Groups {
    /// Takes a frame of a station, from its EtherType on; whether it was a report.
    pub fn hear(&mut self, place: Place, rest: &[u8], now: Instant) -> bool {
        let Some(report) = report(rest) else {
            return false;
        };
        for record in &report.records {
            self.take(place, &report, record, now);
        }
        true
    }

    fn take(&mut self, place: Place, report: &Report, record: &Record, now: Instant) {
        if !wire::is_worth(record.group) {
            return;
        }
        let key = (place, record.group);
        if !self.joined.contains_key(&key) && self.of_port(place) >= PORT_MAX {
            // Rarely: who is full may have old ones.
            self.forget_old(now);
        }
        let known = self.joined.remove(&key).filter(|m| now < m.at + LIFE);
        let fresh = known.is_none();
        let (mut exclude, mut sources) =
            known.map_or((false, BTreeSet::new()), |m| (m.exclude, m.sources));
        let named: BTreeSet<IpAddr> = record.sources.iter().copied().collect();
        match record.kind {
            RecordKind::Include => (exclude, sources) = (false, named),
            RecordKind::Exclude => (exclude, sources) = (true, named),
            // What it takes more, or no longer.
            RecordKind::Allow if exclude => sources.retain(|source| !named.contains(source)),
            RecordKind::Block if !exclude => sources.retain(|source| !named.contains(source)),
            RecordKind::Allow | RecordKind::Block => sources.extend(named),
        }
        if sources.len() > SOURCES_MAX {
            (exclude, sources) = (true, BTreeSet::new());
        }
        let left = !exclude && sources.is_empty();
        if left || fresh && self.of_port(place) >= PORT_MAX {
            return;
        }
        let membership = Membership {
            version: report.version,
            ip: report.from,
            exclude,
            sources,
            at: now,
        };
        self.joined.insert(key, membership);
    }

    fn of_port(&self, place: Place) -> usize {
        let first = Place {
            vid: None,
            mac: MacAddr::ZERO,
            ..place
        };
        let from = (first, IpAddr::from([0; 4]));
        let same = |((other, _), _): &(&(Place, IpAddr), &Membership)| other.port == place.port;
        self.joined.range(from..).take_while(same).count()
    }

    fn forget_old(&mut self, now: Instant) {
        self.joined.retain(|_, m| now < m.at + LIFE);
    }

    /// Forgets what was heard at ports that are gone.
    pub fn keep_ports(&mut self, is_there: impl Fn(PortIndex) -> bool) {
        self.joined.retain(|(place, _), _| is_there(place.port));
    }

    /// How many memberships are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.joined.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.joined.is_empty()
    }

    /// What stations on that bridge said, to be said again.
    pub fn rejoin(&mut self, bridge: BridgeIndex, now: Instant) -> Vec<Rejoin> {
        self.forget_old(now);
        let joined = self
            .joined
            .iter()
            .filter(|((place, _), _)| place.bridge == bridge);
        let rejoin = |((place, group), m): (&(Place, IpAddr), &Membership)| {
            let sources: Vec<IpAddr> = m.sources.iter().copied().collect();
            let said = wire::compose(place.mac, m.version, m.ip, *group, m.exclude, &sources)?;
            Some(Rejoin {
                place: *place,
                said,
            })
        };
        joined.filter_map(rejoin).collect()
    }
}

#[cfg(test)]
mod tests;
