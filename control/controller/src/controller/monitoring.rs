//! The monitors of bonds under the controller: as whom targets are asked, probes on their way, and frames that
//! the workers overheard.
//!
//! A target is asked as the node, where a host port of the bond's bridge has an address in the target's network
//! and VLAN; otherwise without an address, from the bond's own.

use super::Controller;
use crate::bond::monitor::Asked;
use crate::bond::{Bond, WantedBond};
use crate::compile::Compiled;
use crate::probe;
use crate::registry::derived_mac;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use vswitch_api::config::Target;
use vswitch_base::{Instant, MacAddr, PortIndex, Vid};
use vswitch_core::watch::Neighbour;

impl Controller {
    /// Whom the monitor of a bond asks, and as whom.
    pub(super) fn asked_by(
        &self,
        name: &str,
        wanted: &WantedBond,
        own: Option<MacAddr>,
    ) -> Vec<Asked> {
        let own = own.unwrap_or_else(|| derived_mac(self.settings.machine, name));
        let targets = wanted.config.targets();
        let targets = targets.iter();
        targets
            .filter_map(|target| self.asked(&self.view, name, target, own))
            .collect()
    }

    fn asked(
        &self,
        view: &Compiled,
        bond: &str,
        target: &Target<IpAddr>,
        own: MacAddr,
    ) -> Option<Asked> {
        let port = view.ports.get(bond)?;
        let filtering = view.bridges.get(&port.bridge)?.spec.vlan_filtering;
        let said = target.vlan.and_then(|vid| Vid::new(vid).ok());
        let (vid, tag) = if filtering {
            let vid = said.or(port.view.pvid)?;
            (Some(vid), port.view.egress_tagged(vid)?.then_some(vid))
        } else {
            // Tags are payload there.
            (None, said)
        };
        let hosts = view.ports.iter().filter(|(_, host)| {
            host.view.flags.host
                && host.bridge == port.bridge
                && (!filtering || host.view.pvid == vid)
                && (filtering || tag.is_none())
        });
        let mut as_whom = hosts.filter_map(|(name, host)| {
            let addresses = host.spec.device.addresses.iter();
            let near = addresses.copied().find(|cidr| cidr.contains(target.ip))?;
            let near = Some(near.address).filter(|ip| *ip != target.ip)?;
            Some((near, self.mac_of(name, host)?))
        });
        let nobody = match target.ip {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let (ip, mac) = as_whom.next().unwrap_or((nobody, own));
        Some(Asked {
            target: target.ip,
            ip,
            mac,
            tag,
        })
    }

    /// Sends probes, each by its member.
    pub(super) fn send_probes(&mut self, probes: Vec<(PortIndex, Asked)>) {
        let mut frames: BTreeMap<PortIndex, Vec<Box<[u8]>>> = BTreeMap::new();
        for (member, asked) in probes {
            let of = frames.entry(member).or_default();
            of.push(probe::frame(&asked));
        }
        for (member, frames) in frames {
            self.send_by(member, frames);
        }
    }

    /// A member received a frame that its bond's monitor waits for.
    pub(super) fn hear_neighbour(&mut self, index: PortIndex, frame: &[u8], now: Instant) {
        let Some(heard) = Neighbour::parse(frame) else {
            return;
        };
        let has = |bond: &&mut Bond| bond.members().iter().any(|m| m.index == index);
        if let Some(bond) = self.bonds.values_mut().find(has) {
            bond.hear_neighbour(index, &heard, now);
        }
    }
}
