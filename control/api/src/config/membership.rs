//! The VLAN membership of one port: which VLANs it is in, which leave untagged, and which one
//! untagged frames enter. With the edits of `bridge vlan add|del` (features.md 3.2.3).
//!
//! Guarantees: no VLAN id is both tagged and untagged. A PVID need not be a member (Linux
//! allows neither, and every edit here keeps it a member). Pure values; any thread.

use super::PortVlan;
use super::vlans::{VlanRange, VlanSet};

/// The full VLAN table of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// The VLAN of untagged and priority-tagged frames on ingress; `None`: they are dropped.
    pub pvid: Option<u16>,
    /// VLANs whose frames leave without a tag.
    pub untagged: VlanSet,
    /// VLANs whose frames leave with their tag.
    pub tagged: VlanSet,
}

impl Membership {
    /// An access port: one VLAN, untagged in and out.
    pub fn access(vid: u16) -> Self {
        Self {
            pvid: Some(vid),
            untagged: VlanRange::single(vid).into(),
            tagged: VlanSet::new(),
        }
    }

    /// A trunk of tagged VLANs, with at most one native VLAN that is untagged in and out.
    pub fn trunk(native: Option<u16>, tagged: VlanSet) -> Self {
        let mut table = native.map_or_else(Self::default, Self::access);
        table.tagged = tagged;
        if let Some(native) = native {
            table.tagged.remove(VlanRange::single(native));
        }
        table
    }

    /// The table of a list of `{vid, pvid, untagged}`. Of two entries for one VLAN, and of two
    /// PVIDs, the later wins, as it does for two `bridge vlan add`; `config::check` refuses both.
    pub fn from_entries(entries: &[PortVlan]) -> Self {
        let mut table = Self::default();
        for entry in entries {
            table.add(entry.vid, entry.pvid, entry.untagged);
        }
        table
    }

    /// The table as a list of `{vid, pvid, untagged}`, ascending by VLAN id.
    pub fn to_entries(&self) -> Vec<PortVlan> {
        let mut entries = Vec::new();
        let sets = [(&self.untagged, true), (&self.tagged, false)];
        for (set, untagged) in sets {
            for range in set.ranges() {
                let mut rest = VlanSet::from(*range);
                if let Some(pvid) = self.pvid.filter(|pvid| range.contains(*pvid)) {
                    let vid = VlanRange::single(pvid);
                    rest.remove(vid);
                    entries.push(PortVlan {
                        vid,
                        pvid: true,
                        untagged,
                    });
                }
                entries.extend(rest.ranges().iter().map(|vid| PortVlan {
                    vid: *vid,
                    pvid: false,
                    untagged,
                }));
            }
        }
        entries.sort_by_key(|entry| entry.vid);
        entries
    }

    /// Whether frames of `vid` may enter and leave by this port.
    pub fn contains(&self, vid: u16) -> bool {
        self.untagged.contains(vid) || self.tagged.contains(vid)
    }

    /// Adds VLANs as `bridge vlan add` does: what was said before about these VLANs is
    /// replaced; with `pvid` the (last) VLAN becomes the PVID, and adding the present PVID
    /// again without `pvid` leaves the port without one.
    pub fn add(&mut self, range: VlanRange, pvid: bool, untagged: bool) {
        self.remove(range);
        if untagged {
            self.untagged.insert(range);
        } else {
            self.tagged.insert(range);
        }
        if pvid {
            self.pvid = Some(range.last);
        }
    }

    /// Takes VLANs away; taking the PVID away leaves the port without a PVID. Returns whether
    /// the port was in any of them.
    pub fn remove(&mut self, range: VlanRange) -> bool {
        let before = self.untagged.len() + self.tagged.len();
        self.untagged.remove(range);
        self.tagged.remove(range);
        if self.pvid.is_some_and(|pvid| range.contains(pvid)) {
            self.pvid = None;
        }
        before != self.untagged.len() + self.tagged.len()
    }

    /// `Some(vid)` if this is an access port: the PVID, untagged, and nothing else.
    pub fn as_access(&self) -> Option<u16> {
        self.pvid.filter(|vid| *self == Self::access(*vid))
    }

    /// `Some((native, tagged))` if this is a trunk: the only untagged VLAN is the PVID.
    pub fn as_trunk(&self) -> Option<(Option<u16>, &VlanSet)> {
        let untagged = self
            .pvid
            .map_or_else(VlanSet::new, |vid| VlanRange::single(vid).into());
        (self.untagged == untagged).then_some((self.pvid, &self.tagged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> VlanSet {
        text.parse().expect("a VLAN set")
    }

    /// V-02, V-03, V-04, V-06
    #[test]
    fn access_trunk_and_hybrid_are_recognised() {
        assert_eq!(Membership::access(100).as_access(), Some(100));
        let trunk = Membership::trunk(Some(1), set("1,100-200"));
        assert_eq!(
            trunk.tagged,
            set("100-200"),
            "the native VLAN is not tagged as well"
        );
        assert_eq!(trunk.as_trunk(), Some((Some(1), &set("100-200"))));
        assert_eq!(trunk.as_access(), None);
        let no_pvid = Membership::trunk(None, set("5"));
        assert_eq!(no_pvid.as_trunk(), Some((None, &set("5"))));
        let mut hybrid = trunk;
        hybrid.add(VlanRange::single(300), false, true);
        assert_eq!(hybrid.as_trunk(), None, "two VLANs leave untagged");
    }

    /// features.md 3.2.3: adding with PVID moves it; removing the PVID VLAN leaves none.
    #[test]
    fn edits_follow_bridge_vlan() {
        let mut table = Membership::access(1);
        table.add(VlanRange::single(100), true, true);
        assert_eq!(
            (table.pvid, table.untagged.clone()),
            (Some(100), set("1,100"))
        );
        table.add(VlanRange::single(100), false, false);
        assert_eq!((table.pvid, table.tagged.clone()), (None, set("100")));
        assert!(table.remove(VlanRange {
            first: 50,
            last: 150
        }));
        assert!(!table.remove(VlanRange {
            first: 50,
            last: 150
        }));
        assert_eq!(table.untagged, set("1"));
    }

    #[test]
    fn entries_round_trip() {
        let mut table = Membership::trunk(Some(20), set("10-30,40"));
        table.add(
            VlanRange {
                first: 100,
                last: 110,
            },
            false,
            true,
        );
        assert_eq!(Membership::from_entries(&table.to_entries()), table);
        table.pvid = Some(105);
        assert_eq!(Membership::from_entries(&table.to_entries()), table);
    }
}
