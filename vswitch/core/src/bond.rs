//! A bond as the passes see it: one logical port whose frames travel by several members.
//!
//! VLANs, state and learned addresses are the bond's; a member has queues and counters and nothing else.
//! Which member sends what, and which lets in what, is worked out by the control side (bonding mode,
//! LACP, link monitoring) and published with the snapshot: the passes know no protocol, and no mode by
//! its name. The rules are those of features.md 3.4 and 3.7.
//!
//! ```text
//!   in    member ──admits?──► bond: VLAN, learning, forwarding
//!   out   bond ──transmit──► one member, each in turn, by hash, or all
//! ```

pub mod buckets;
pub mod round_robin;

pub use buckets::{Buckets, Remap};
pub use round_robin::RoundRobin;

use crate::explain::Chosen;
use crate::frame::Frame;
use crate::ingress::Classified;
use crate::snapshot::PortView;
use crate::verdict::{DropReason, Verdict};
use vswitch_base::flow::{FlowView, HashPolicy};
use vswitch_base::{EtherType, MacAddr, MacWord, PortIndex, Tag, Tci, Tpid, Vid};

/// How a bond chooses the members that send a frame. No list is empty: a bond without members that can
/// send is [`Transmit::Nobody`], and its state is not forwarding.
#[expect(
    clippy::large_enum_variant,
    reason = "one for each bond of a snapshot, and a box would cost each frame a look into memory"
)]
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Transmit {
    /// No member can send.
    #[default]
    Nobody,
    /// The one that is active (active-backup).
    One(PortIndex),
    /// Each in its turn (balance-rr).
    Turns(Turns),
    /// The one that the frame's hash falls on (balance-xor, 802.3ad, balance-slb).
    Hashed(Hashed),
    /// Every one, a copy each (broadcast).
    Copies(Box<[PortIndex]>),
}

/// Members in turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turns {
    /// All of them, in the order of the configuration, and whether each can send: one that cannot leaves its
    /// turn to the next.
    pub members: Box<[(PortIndex, bool)]>,
    /// Frames in a row for each, 1 to 65535; 0: a member at random for each.
    pub packets_per_slave: u16,
    /// Where IGMP goes: a report and the leave that follows it must not overtake each other, nor reach
    /// the switch by two ports.
    pub groups: PortIndex,
}

/// Members by hash.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hashed {
    /// What is hashed.
    pub key: HashKey,
    /// Mixed into the hash (OVS's `bond-hash-basis`); 0 gives the kernel's choice.
    pub seed: u32,
    /// Who has which numbers.
    pub buckets: Buckets,
}

/// What of a frame decides its member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HashKey {
    /// Its flow, as the kernel's driver sees a frame that is about to leave.
    Flow(HashPolicy),
    /// Its VLAN and source address, whatever its priority: all that a station sends leaves by one member,
    /// where [`Share`] expects what is sent to it.
    Station,
}

/// What a member lets in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Admits {
    /// Everything: the member takes part, and the switch beyond sends each frame once.
    #[default]
    Everything,
    /// Only what is for the link itself (slow protocols): a standby member, or one that does not collect.
    Nothing,
    /// Frames to single stations, no groups: a standby member of balance-alb.
    Unicast,
    /// Its share: members of a bond that the switch beyond does not know of (balance-slb).
    Share(Share),
}

/// The share of a member of a bond whose other side floods to every member. A unicast frame is let in by
/// the member by which its destination sends, groups by one member: so each frame arrives once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// Whether groups are this member's.
    pub groups: bool,
    /// As [`Hashed::seed`].
    pub seed: u32,
    /// By bucket of [`Hashed::buckets`], whether frames for its stations are let in. For a while after a
    /// bucket moved to another member both say so.
    pub stations: Box<[bool]>,
}

impl Admits {
    /// Whether a frame to `dst` in the VLAN `vid` (`None`: it is untagged on the link) is let in.
    #[inline]
    #[must_use]
    pub fn takes(&self, vid: Option<Vid>, dst: MacWord) -> bool {
        match self {
            Self::Everything => true,
            Self::Nothing => false,
            Self::Unicast => !dst.is_multicast(),
            Self::Share(share) if dst.is_multicast() => share.groups,
            Self::Share(share) => {
                let number = station_hash(vid, dst.mac(), share.seed) as usize;
                let bucket = number.checked_rem(share.stations.len());
                bucket.is_some_and(|bucket| share.stations[bucket])
            }
        }
    }
}

impl Admits {
    /// Turns a classified frame away that the member does not let in, before anything is learned from it.
    /// What is for the link itself is settled already and stays so.
    #[inline]
    pub(crate) fn judge(&self, class: &mut Classified, bond: &PortView) {
        let vid = class.vid.filter(|vid| !bond.untagged.contains(*vid));
        if !self.takes(vid, class.dst) {
            class.learnable = false;
            if class.verdict.is_none() {
                class.verdict = Some(Verdict::Drop(self.refusal()));
            }
        }
    }

    const fn refusal(&self) -> DropReason {
        match self {
            Self::Share(_) => DropReason::BondShare,
            Self::Everything | Self::Nothing | Self::Unicast => DropReason::BondInactive,
        }
    }
}

impl Transmit {
    /// The members that send a frame which leaves tagged or not; `turn` is this worker's count for the bond.
    #[inline]
    pub fn each(
        &self,
        frame: &Frame<'_>,
        class: &Classified,
        tagged: bool,
        turn: &mut RoundRobin,
        mut send: impl FnMut(PortIndex),
    ) {
        match self {
            Self::Nobody => {}
            Self::One(member) => send(*member),
            Self::Copies(members) => members.iter().copied().for_each(send),
            Self::Hashed(hashed) => {
                let number = hashed.number(frame, class, tagged);
                hashed.buckets.pick(number).into_iter().for_each(send);
            }
            Self::Turns(turns) => {
                let flow = leaving(frame, class, tagged);
                if flow.is_some_and(|flow| flow.is_igmp()) {
                    return send(turns.groups);
                }
                turn.set_packets_per_slave(turns.packets_per_slave);
                let picked = turn.pick(&turns.members, |(_, can_send)| *can_send);
                picked.into_iter().for_each(|(member, _)| send(*member));
            }
        }
    }
}

impl Transmit {
    /// How the members that [`Self::each`] names were chosen.
    #[must_use]
    pub const fn why(&self) -> Chosen {
        match self {
            Self::Nobody | Self::One(_) => Chosen::Active,
            Self::Turns(_) => Chosen::Turn,
            Self::Hashed(_) => Chosen::Hash,
            Self::Copies(_) => Chosen::All,
        }
    }
}

impl Hashed {
    #[inline]
    fn number(&self, frame: &Frame<'_>, class: &Classified, tagged: bool) -> u32 {
        match self.key {
            HashKey::Station => {
                let vid = class.vid.filter(|_| tagged);
                station_hash(vid, class.src.mac(), self.seed)
            }
            HashKey::Flow(policy) => {
                let flow = leaving(frame, class, tagged);
                flow.map_or(0, |flow| flow.hash(policy, self.seed))
            }
        }
    }
}

/// A classified frame as it leaves; `None` for one that is too short to be sent.
#[inline]
fn leaving<'f>(frame: &Frame<'f>, class: &Classified, tagged: bool) -> Option<FlowView<'f>> {
    let outer = tagged.then_some(Tag {
        tpid: Tpid::Dot1q,
        tci: class.tci,
    });
    let rest = frame.bytes.get(usize::from(class.cut)..)?;
    FlowView::leaving(frame.bytes.first_chunk()?, outer.or(class.inner), rest)
}

/// The hash of a station in a VLAN; `None` where its frames are untagged on the link.
#[inline]
fn station_hash(vid: Option<Vid>, mac: MacAddr, seed: u32) -> u32 {
    let [a, b, c, d, e, f] = mac.0;
    let station = FlowView {
        addresses: &[0, 0, 0, 0, 0, 0, a, b, c, d, e, f],
        tag: vid.map(|vid| Tci::default().with_vid(vid)),
        kind: EtherType(0),
        payload: &[],
    };
    station.hash(HashPolicy::VlanSrcmac, seed)
}
