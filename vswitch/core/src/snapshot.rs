//! A compiled configuration: immutable, indexed by dense numbers, read without a lock.
//!
//! The controller builds one for every change and publishes it whole; a worker uses one for at least a
//! batch. What is *learned* is not in here: a bridge refers to its [`Fdb`], which lives on across
//! snapshots. Everything that can be decided before a frame arrives is decided here, so that the
//! passes only look up: VLAN membership, who is flooded to, which flags are set.
//!
//! A bond is one logical [`PortView`] over member ports: [`PortView::logical`] is the step from member to
//! bond in pass 1, [`Snapshot::transmit`] the step from bond to member before pass 4.

use crate::bond::{Admits, Loads, Transmit};
use crate::fdb::Fdb;
use crate::police::Policer;
use crate::protect::Protection;
use crate::sync::Arc;
use crate::verdict::{Egress, FloodClass};
use crate::watch::Watched;
use vswitch_base::{BridgeIndex, Generation, Instant, MacAddr, PortIndex, Vid, VidSet};

/// Whether a port takes part (IEEE 802.1D states; no spanning tree drives them yet).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum PortState {
    /// Neither learns nor forwards.
    Disabled,
    /// Neither learns nor forwards; reserved addresses are still seen.
    Blocking,
    /// Learns, does not forward.
    Learning,
    /// Learns and forwards.
    #[default]
    Forwarding,
}

/// What may enter a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum AcceptFrames {
    /// Everything that the VLAN rules admit.
    #[default]
    All,
    /// Untagged and priority-tagged frames only.
    Untagged,
    /// Frames tagged with a VLAN only.
    Tagged,
}

/// What happens to spanning tree frames from a port (T-04, T-05).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BpduPolicy {
    /// Dropped and counted: a guest must not make the switch beyond the uplink shut our port.
    #[default]
    Contain,
    /// Handed to the control side, which disables the port.
    Guard,
    /// Handed to the control side, which notes who speaks; not forwarded.
    Listen,
    /// Flooded as any multicast (Linux with STP off).
    Forward,
}

/// Switches of a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches, named as in iproute2"
)]
pub struct PortFlags {
    /// May send back out of the port a frame came in by.
    pub hairpin: bool,
    /// Exchanges nothing with other isolated ports.
    pub isolated: bool,
    /// Source addresses are learned.
    pub learning: bool,
    /// The bridge's own port: its floods ignore `mcast_flood` and `bcast_flood` of others, as Linux's.
    pub host: bool,
    /// Slow protocols from here go to the control side: a port with a link partner.
    pub listens: bool,
    /// May give back what it was sent: a bond that the switch beyond need not know of
    /// ([`crate::guard`]).
    pub reflects: bool,
    /// Reports of group membership from here are copied to the control side ([`crate::groups`]).
    pub tells_groups: bool,
    /// What stations here say of their IP addresses is copied to the control side ([`crate::bindings`]).
    pub tells_neighbours: bool,
}

impl Default for PortFlags {
    fn default() -> Self {
        Self {
            hairpin: false,
            isolated: false,
            learning: true,
            host: false,
            listens: false,
            reflects: false,
            tells_groups: false,
            tells_neighbours: false,
        }
    }
}

/// The member by which a port's frames leave a bond.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Steer {
    /// The bond.
    pub bond: PortIndex,
    /// The member, which can send.
    pub member: PortIndex,
}

/// One port as the passes see it.
#[derive(Clone, Debug)]
pub struct PortView {
    /// The port that carries VLANs, state and addresses: itself, or the bond it is a member of.
    pub logical: PortIndex,
    /// What it lets in as a member of a bond; of other ports, everything.
    pub admits: Admits,
    /// What the monitor of its bond has to see of what it receives.
    pub watched: Option<Arc<Watched>>,
    /// The bridge it belongs to; a member's is its bond's.
    pub bridge: Option<BridgeIndex>,
    /// Disabled to forwarding.
    pub state: PortState,
    /// Switches.
    pub flags: PortFlags,
    /// Which frames may enter.
    pub accept: AcceptFrames,
    /// What it asks of the frames of its station; `None`: nothing.
    pub protection: Option<Arc<Protection>>,
    /// The members by which frames from here leave bonds, whatever their modes say.
    pub steers: Box<[Steer]>,
    /// How much may leave by it; `None`: any amount. The members of a bond have the bond's.
    pub egress_rate: Option<Policer>,
    /// Spanning tree frames.
    pub bpdu: BpduPolicy,
    /// Addresses 01-80-C2-00-00-0X that pass although reserved, a bit each: the bridge's mask and
    /// the port's own together. Bit 1 (MAC control) has no effect.
    pub group_fwd_mask: u16,
    /// [`FloodClass`] bits that this port is flooded with.
    pub floods: u8,
    /// VLAN of untagged frames; a member of `vlans` as well.
    pub pvid: Option<Vid>,
    /// Largest payload after the Ethernet header that may leave, bytes.
    pub mtu: u16,
    /// Learned addresses of another epoch are stale. Raised to forget all of a port's at once.
    pub epoch: u16,
    /// Most addresses that may be learned here (G-06); `u32::MAX` for no limit of its own.
    pub mac_limit: u32,
    /// VLANs that may enter and leave.
    pub vlans: VidSet,
    /// Of those, the ones that leave without a tag.
    pub untagged: VidSet,
}

impl PortView {
    /// A forwarding port of no bridge and no VLAN, MTU 1500.
    #[must_use]
    pub fn new(index: PortIndex) -> Self {
        Self {
            logical: index,
            admits: Admits::Everything,
            watched: None,
            bridge: None,
            state: PortState::Forwarding,
            flags: PortFlags::default(),
            accept: AcceptFrames::All,
            protection: None,
            steers: Box::default(),
            egress_rate: None,
            bpdu: BpduPolicy::Contain,
            group_fwd_mask: 0,
            floods: FloodClass::UnknownUnicast.bit()
                | FloodClass::Multicast.bit()
                | FloodClass::Broadcast.bit(),
            pvid: None,
            mtu: 1500,
            epoch: 0,
            mac_limit: u32::MAX,
            vlans: VidSet::EMPTY,
            untagged: VidSet::EMPTY,
        }
    }

    /// The member by which frames from here leave that bond, where that is not for its mode to say.
    #[inline]
    #[must_use]
    pub fn steer(&self, bond: PortIndex) -> Option<PortIndex> {
        let found = self.steers.iter().find(|steer| steer.bond == bond);
        found.map(|steer| steer.member)
    }

    /// How frames of `vid` leave this port: tagged or not; `None` when they may not.
    #[inline]
    #[must_use]
    pub fn egress_tagged(&self, vid: Vid) -> Option<bool> {
        self.vlans
            .contains(vid)
            .then(|| !self.untagged.contains(vid))
    }
}

/// A port in a flood set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FloodPort {
    /// Where, and whether tagged.
    pub egress: Egress,
    /// [`FloodClass`] bits that it takes.
    pub floods: u8,
    /// Its `isolated` flag.
    pub isolated: bool,
}

/// One bridge as the passes see it.
#[derive(Clone, Debug)]
pub struct BridgeView {
    /// Whether VLANs are told apart; if not, tags are payload and there is one shared table.
    pub vlan_filtering: bool,
    /// Whether anything is learned at all (`ageing = "off"` makes a hub).
    pub learning: bool,
    /// The bridge's own address.
    pub mac: MacAddr,
    /// Learned and static addresses.
    pub fdb: Arc<Fdb>,
    /// Whether a port of it may give back what it was sent.
    pub guarded: bool,
    /// For each VLAN 0 to 4095 (0: VLANs not filtered) the number of its flood set.
    flood_of_vid: Box<[u16]>,
    flood_sets: Vec<Box<[FloodPort]>>,
}

impl BridgeView {
    /// Ports that a flood in `vid` may reach; `None` is the one VLAN of a bridge that does not filter.
    #[inline]
    #[must_use]
    pub fn flood_ports(&self, vid: Option<Vid>) -> &[FloodPort] {
        let set = self.flood_of_vid[vid.map_or(0, |v| usize::from(v.get()))];
        &self.flood_sets[usize::from(set)]
    }
}

/// The whole switch, compiled.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Its number.
    pub generation: Generation,
    ports: Vec<Option<PortView>>,
    bridges: Vec<Option<BridgeView>>,
    /// By the bond's index; empty without bonds.
    bonds: Vec<Option<Transmit>>,
    /// By the bond's index, where its frames are measured.
    loads: Vec<Option<Arc<Loads>>>,
    looks_aside: bool,
}

impl Snapshot {
    /// Whether frames by some bond need more than its choice of members: they are steered, held, counted or sent
    /// from another source.
    #[inline]
    #[must_use]
    pub(crate) const fn looks_aside(&self) -> bool {
        self.looks_aside
    }

    /// The port; `None` when it is not part of this configuration.
    #[inline]
    #[must_use]
    pub fn port(&self, index: PortIndex) -> Option<&PortView> {
        self.ports.get(index.index())?.as_ref()
    }

    /// The bridge; `None` when it is not part of this configuration.
    #[inline]
    #[must_use]
    pub fn bridge(&self, index: BridgeIndex) -> Option<&BridgeView> {
        self.bridges.get(index.index())?.as_ref()
    }

    /// How that port chooses among its members, if it is a bond.
    #[inline]
    #[must_use]
    pub fn transmit(&self, index: PortIndex) -> Option<&Transmit> {
        self.bonds.get(index.index())?.as_ref()
    }

    /// Where bytes sent by that bond are counted, by bucket; `None`: they are not.
    #[must_use]
    pub fn loads(&self, index: PortIndex) -> Option<&Arc<Loads>> {
        self.loads.get(index.index())?.as_ref()
    }

    /// Gives buckets what the rates of this snapshot have earned up to `now`, before another one's count.
    pub fn settle_rates(&self, now: Instant) {
        for port in self.ports.iter().flatten() {
            let ingress = port.protection.as_ref().and_then(|p| p.rate.as_ref());
            for rate in ingress.into_iter().chain(&port.egress_rate) {
                rate.bucket.settle(rate.limit, now);
            }
        }
    }

    /// One more than the largest port index.
    #[must_use]
    pub fn port_slots(&self) -> usize {
        self.ports.len()
    }

    /// One more than the largest index of a bond that is measured.
    pub(crate) const fn loads_slots(&self) -> usize {
        self.loads.len()
    }

    /// All ports with their index.
    pub fn ports(&self) -> impl Iterator<Item = (PortIndex, &PortView)> {
        self.ports
            .iter()
            .enumerate()
            .filter_map(|(i, p)| Some((PortIndex(u16::try_from(i).ok()?), p.as_ref()?)))
    }

    /// All bridges with their index.
    pub fn bridges(&self) -> impl Iterator<Item = (BridgeIndex, &BridgeView)> {
        self.bridges
            .iter()
            .enumerate()
            .filter_map(|(i, b)| Some((BridgeIndex(u16::try_from(i).ok()?), b.as_ref()?)))
    }
}

/// Puts ports and bridges together and works out who floods to whom.
#[derive(Debug, Default)]
pub struct SnapshotBuilder {
    generation: Generation,
    ports: Vec<Option<PortView>>,
    bridges: Vec<Option<BridgeSpec>>,
    bonds: Vec<Option<Transmit>>,
    loads: Vec<Option<Arc<Loads>>>,
}

/// What the builder needs to know of a bridge.
#[derive(Clone, Debug)]
pub struct BridgeSpec {
    /// See [`BridgeView::vlan_filtering`].
    pub vlan_filtering: bool,
    /// See [`BridgeView::learning`].
    pub learning: bool,
    /// See [`BridgeView::mac`].
    pub mac: MacAddr,
    /// See [`BridgeView::fdb`].
    pub fdb: Arc<Fdb>,
}

impl SnapshotBuilder {
    /// A builder of the snapshot with that number.
    #[must_use]
    pub fn new(generation: Generation) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }

    /// Adds or replaces a port.
    pub fn port(&mut self, index: PortIndex, view: PortView) -> &mut Self {
        put(&mut self.ports, index.index(), view);
        self
    }

    /// Makes a port a bond that sends so.
    pub fn bond(&mut self, index: PortIndex, transmit: Transmit) -> &mut Self {
        put(&mut self.bonds, index.index(), transmit);
        self
    }

    /// Has the bytes that a bond sends counted by bucket, where it has buckets.
    pub fn measure(&mut self, index: PortIndex, loads: Arc<Loads>) -> &mut Self {
        put(&mut self.loads, index.index(), loads);
        self
    }

    /// Adds or replaces a bridge.
    pub fn bridge(&mut self, index: BridgeIndex, spec: BridgeSpec) -> &mut Self {
        put(&mut self.bridges, index.index(), spec);
        self
    }

    /// The snapshot. Flood sets hold ports that forward, in index order; VLANs with equal sets share
    /// one.
    #[must_use]
    pub fn build(&self) -> Snapshot {
        let bridges = (0u16..)
            .zip(&self.bridges)
            .map(|(i, spec)| {
                spec.as_ref()
                    .map(|spec| self.bridge_view(BridgeIndex(i), spec))
            })
            .collect();
        Snapshot {
            generation: self.generation,
            ports: self.ports.clone(),
            bridges,
            bonds: self.bonds.clone(),
            loads: self.loads.clone(),
            looks_aside: self.loads.iter().any(Option::is_some)
                || self
                    .ports
                    .iter()
                    .flatten()
                    .any(|port| !port.steers.is_empty())
                || self.bonds.iter().flatten().any(Transmit::looks_aside),
        }
    }

    fn bridge_view(&self, index: BridgeIndex, spec: &BridgeSpec) -> BridgeView {
        let members: Vec<(PortIndex, &PortView)> = (0u16..)
            .map(PortIndex)
            .zip(&self.ports)
            .filter_map(|(i, port)| Some((i, port.as_ref()?)))
            .filter(|(i, port)| {
                port.bridge == Some(index)
                    && port.logical == *i
                    && port.state == PortState::Forwarding
            })
            .collect();
        let guards = |port: &PortView| port.bridge == Some(index) && port.flags.reflects;
        let flood_port = |(i, port): &(PortIndex, &PortView), tagged| FloodPort {
            egress: Egress { port: *i, tagged },
            floods: port.floods,
            isolated: port.flags.isolated,
        };
        // Set 0 is empty: VLANs that nobody is in.
        let mut view = BridgeView {
            vlan_filtering: spec.vlan_filtering,
            learning: spec.learning,
            mac: spec.mac,
            fdb: Arc::clone(&spec.fdb),
            guarded: self.ports.iter().flatten().any(guards),
            flood_of_vid: vec![0; 4096].into_boxed_slice(),
            flood_sets: vec![Box::default()],
        };
        if !spec.vlan_filtering {
            view.flood_sets
                .push(members.iter().map(|m| flood_port(m, false)).collect());
            view.flood_of_vid[0] = 1;
            return view;
        }
        let mut numbers: hashbrown::HashMap<Vec<(PortIndex, bool)>, u16> =
            hashbrown::HashMap::new();
        // VLAN by VLAN over the members would be 4,094 x ports; most ports are in few VLANs.
        let mut of_vid: Vec<Vec<(PortIndex, bool)>> = vec![Vec::new(); 4096];
        for (i, port) in &members {
            for vid in port.vlans.iter() {
                of_vid[usize::from(vid.get())].push((*i, !port.untagged.contains(vid)));
            }
        }
        for (vid, set) in of_vid
            .into_iter()
            .enumerate()
            .filter(|(_, set)| !set.is_empty())
        {
            let next = u16::try_from(view.flood_sets.len()).unwrap_or(0);
            let number = *numbers.entry(set).or_insert_with_key(|set| {
                view.flood_sets.push(
                    set.iter()
                        .filter_map(|(i, tagged)| {
                            Some(flood_port(&(*i, self.ports[i.index()].as_ref()?), *tagged))
                        })
                        .collect(),
                );
                next
            });
            view.flood_of_vid[vid] = number;
        }
        view
    }
}

fn put<T>(slots: &mut Vec<Option<T>>, at: usize, value: T) {
    if slots.len() <= at {
        slots.resize_with(at + 1, || None);
    }
    slots[at] = Some(value);
}
