//! What a configuration means once its short forms are spelt out: which bridge a port is on,
//! which VLANs it is in; and the way back, from an edited membership to the shortest form.
//!
//! Works on any configuration, also on one that `config::check` refuses: what contradicts
//! itself resolves to something, never to a panic. Pure; any thread.

use std::borrow::Cow;

use super::{Config, HostConfig, Membership, PortConfig, VlanRange, VlanSet};

impl Config {
    /// The bridge whose `uplink` is `port`.
    pub fn uplink_of(&self, port: &str) -> Option<&str> {
        let found = self
            .bridge
            .iter()
            .find(|(_, bridge)| bridge.uplink.as_deref() == Some(port));
        found.map(|(name, _)| name.as_str())
    }

    /// The bridge of a port or host port: what it says, or the bridge it is the uplink of; a member's is its
    /// bond's.
    pub fn bridge_of(&self, name: &str) -> Option<&str> {
        if let Some(host) = self.host.get(name) {
            return Some(host.bridge.as_str());
        }
        if let Some(bond) = self.bond_of(name).filter(|bond| *bond != name) {
            return self.bridge_of_port(bond);
        }
        self.bridge_of_port(name)
    }

    fn bridge_of_port(&self, name: &str) -> Option<&str> {
        let said = self.port.get(name).and_then(|port| port.bridge.as_deref());
        said.or_else(|| self.uplink_of(name))
    }

    /// Names of the ports and host ports on `bridge`, ascending within each kind.
    pub fn members_of(&self, bridge: &str) -> Vec<&str> {
        let uplink = self
            .bridge
            .get(bridge)
            .and_then(|bridge| bridge.uplink.as_deref());
        let ports = self
            .port
            .iter()
            .filter(|(name, port)| match port.bridge.as_deref() {
                Some(own) => own == bridge,
                None => uplink == Some(name.as_str()),
            });
        let hosts = self.host.iter().filter(|(_, host)| host.bridge == bridge);
        // A bond without a table of its own.
        let bond =
            uplink.filter(|name| self.bond.contains_key(*name) && !self.port.contains_key(*name));
        let mut names: Vec<&str> = ports.map(|(name, _)| name.as_str()).chain(bond).collect();
        names.sort_unstable();
        names.extend(hosts.map(|(name, _)| name.as_str()));
        names
    }

    /// The PVID that a port of `bridge` has when it says nothing; `None` for 0 or no bridge.
    fn default_pvid(&self, bridge: Option<&str>) -> Option<u16> {
        let bridge = self.bridge.get(bridge?)?;
        Some(bridge.default_pvid).filter(|vid| *vid != 0)
    }

    /// The VLAN membership of a port or host port; `None` if there is none of that name, or it is a member of
    /// a bond, whose VLANs are the bond's.
    pub fn membership_of(&self, name: &str) -> Option<Membership> {
        if self.bond_of(name).is_some() {
            return None;
        }
        let default = self.default_pvid(self.bridge_of(name));
        if let Some(port) = self.port_of(name) {
            let uplink = self
                .uplink_of(name)
                .and_then(|bridge| self.bridge.get(bridge));
            return Some(match uplink {
                Some(bridge) if port.says_no_vlans() && !bridge.vlans.is_empty() => {
                    Membership::trunk(
                        default.filter(|vid| bridge.vlans.contains(*vid)),
                        bridge.vlans.clone(),
                    )
                }
                _ => port.membership(default),
            });
        }
        self.host.get(name).map(|host| host.membership(default))
    }

    /// Writes a membership back in the shortest form that says it. Returns false if there is no
    /// port or host port of that name.
    ///
    /// An uplink keeps the form `bridge.NAME.vlans` when it had it and it still fits.
    pub fn set_membership(&mut self, name: &str, table: &Membership) -> bool {
        let default = self.default_pvid(self.bridge_of(name));
        let uplink = self.uplink_of(name).map(str::to_owned);
        if self.bond.contains_key(name) && !self.port.contains_key(name) {
            // What is said of a bond's VLANs needs a table; where nothing is, it stays as good as none.
            let bond = self.port_of(name).map(Cow::into_owned);
            self.port.extend(bond.map(|bond| (name.to_owned(), bond)));
        }
        if let Some(port) = self.port.get_mut(name) {
            if let Some(bridge) = uplink.and_then(|bridge| self.bridge.get_mut(&bridge))
                && !bridge.vlans.is_empty()
            {
                let listed = table.as_trunk().filter(|(native, tagged)| {
                    let fits = native.is_none_or(|vid| Some(vid) == default)
                        && (native.is_some() || default.is_none_or(|vid| !tagged.contains(vid)));
                    fits && (native.is_some() || !tagged.is_empty())
                });
                if let Some((native, tagged)) = listed {
                    bridge.vlans = tagged.clone();
                    if let Some(vid) = native {
                        bridge.vlans.insert(VlanRange::single(vid));
                    }
                    port.clear_vlans();
                    return true;
                }
                bridge.vlans = VlanSet::new();
            }
            port.set_membership(table, default);
            return true;
        }
        let Some(host) = self.host.get_mut(name) else {
            return false;
        };
        host.set_membership(table, default);
        true
    }
}

impl PortConfig {
    /// Whether none of the VLAN fields says anything.
    pub fn says_no_vlans(&self) -> bool {
        self.vlan.is_none()
            && self.native_vlan.is_none()
            && self.trunk.is_empty()
            && self.vlans.is_none()
    }

    /// The membership that the port's own fields say; `default` where they say nothing.
    pub fn membership(&self, default: Option<u16>) -> Membership {
        if let Some(entries) = &self.vlans {
            Membership::from_entries(entries)
        } else if let Some(vid) = self.vlan {
            Membership::access(vid)
        } else if self.says_no_vlans() {
            Membership::trunk(default, VlanSet::new())
        } else {
            Membership::trunk(self.native_vlan, self.trunk.clone())
        }
    }

    fn clear_vlans(&mut self) {
        self.vlan = None;
        self.native_vlan = None;
        self.trunk = VlanSet::new();
        self.vlans = None;
    }

    fn set_membership(&mut self, table: &Membership, default: Option<u16>) {
        self.clear_vlans();
        if *table == Membership::trunk(default, VlanSet::new()) {
            return;
        }
        match (table.as_access(), table.as_trunk()) {
            (Some(vid), _) => self.vlan = Some(vid),
            (None, Some((native, tagged))) if !tagged.is_empty() => {
                self.native_vlan = native;
                self.trunk = tagged.clone();
            }
            // Also the port that is in no VLAN at all: an empty list says so.
            _ => self.vlans = Some(table.to_entries()),
        }
    }
}

impl HostConfig {
    /// The membership that the host port's fields say; `default` is its bridge's.
    pub fn membership(&self, default: Option<u16>) -> Membership {
        match &self.vlans {
            Some(entries) => Membership::from_entries(entries),
            None => Membership::trunk(self.vlan.or(default), self.trunk.clone()),
        }
    }

    fn set_membership(&mut self, table: &Membership, default: Option<u16>) {
        self.vlan = None;
        self.trunk = VlanSet::new();
        self.vlans = None;
        match table.as_trunk() {
            Some((native, tagged)) if native == default || native.is_some() => {
                self.vlan = native.filter(|vid| Some(*vid) != default);
                self.trunk = tagged.clone();
            }
            _ => self.vlans = Some(table.to_entries()),
        }
    }
}
