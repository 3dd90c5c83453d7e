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
pub mod copies;
pub mod held;
pub mod loads;
pub mod rewriting;
pub mod round_robin;

pub use buckets::Buckets;
pub use copies::{Copies, Once};
pub use held::Held;
pub use loads::Loads;
pub use rewriting::{Balance, Rewritten};
pub use round_robin::RoundRobin;

use crate::verdict::DropReason;
use vswitch_base::flow::{FlowView, HashPolicy};
use vswitch_base::{EtherType, MacWord, PortIndex, Tci, Vid};

/// How a bond chooses the members that send a frame. No list is empty: a bond without members that can
/// send is [`Transmit::Nobody`], and its state is not forwarding.
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
    /// Flows by any, from the members' own addresses, and what is no flow by the active one (balance-tlb and
    /// balance-alb that rewrite).
    Rewritten(Rewritten),
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
    /// By bucket, whether its frames wait because it has just come from another member; `None`: none do.
    pub moving: Option<Box<[bool]>>,
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

/// How a bond came to choose a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Chosen {
    /// It is the active one.
    Active,
    /// It may be its turn: the count is each worker's own.
    Turn,
    /// The frame's hash falls on it.
    Hash,
    /// The port that the frame came in by says so.
    Steered,
    /// Every member sends a copy.
    All,
}

/// What a member lets in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Admits {
    /// Everything: the member takes part, and the switch beyond sends each frame once.
    #[default]
    Everything,
    /// Only what is for the link itself (slow protocols): a standby member, or one that does not collect.
    Nothing,
    /// What no other member has brought yet: members that each get a copy (broadcast).
    Once(Once),
    /// Its share: members of a bond that the switch beyond does not know of (balance-slb).
    Share(Share),
    /// Everything but what has one of these sources: the members' own, from which the others send.
    Strangers(Box<[MacWord]>),
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
    /// Buckets that moved a moment ago; `None`: none did.
    pub handover: Option<Handover>,
}

/// Buckets that two members let in: what the switch beyond floods meanwhile comes by both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handover {
    /// By bucket.
    pub buckets: Box<[bool]>,
    /// What tells the copies.
    pub once: Once,
}

impl Admits {
    /// Whether a frame to that station, or group, from that address may be let in: where each frame counts
    /// ([`Once`]) there is more to ask.
    #[inline]
    #[must_use]
    pub fn takes(&self, to: Station, from: MacWord) -> bool {
        let dst = to.mac;
        match self {
            Self::Everything | Self::Once(_) => true,
            Self::Nothing => false,
            Self::Strangers(ours) => !ours.contains(&from),
            Self::Share(share) if dst.is_multicast() => share.groups,
            Self::Share(share) => share.is_of(to, &share.stations),
        }
    }

    /// What tells whether another member has brought a frame to that station, or group, already; `None` where
    /// none does.
    #[inline]
    pub(crate) fn counts(&self, to: Station) -> Option<&Once> {
        match self {
            Self::Everything | Self::Nothing | Self::Strangers(_) => None,
            Self::Once(once) => Some(once),
            Self::Share(share) => {
                let handover = share.handover.as_ref()?;
                let told = !to.mac.is_multicast() && share.is_of(to, &handover.buckets);
                told.then_some(&handover.once)
            }
        }
    }
}

impl Share {
    fn is_of(&self, to: Station, buckets: &[bool]) -> bool {
        let number = to.number(self.seed) as usize;
        let bucket = number.checked_rem(buckets.len());
        bucket.is_some_and(|bucket| buckets[bucket])
    }
}

impl Admits {
    /// Whether what the bond sends comes back even where all is well: the switch beyond floods to a member
    /// what another one sent.
    #[must_use]
    pub const fn expects_echoes(&self) -> bool {
        matches!(self, Self::Share(_) | Self::Strangers(_))
    }

    /// Why a frame that it does not take is dropped.
    #[must_use]
    pub const fn refusal(&self) -> DropReason {
        match self {
            Self::Share(_) => DropReason::BondShare,
            Self::Once(_) => DropReason::BondDuplicate,
            Self::Strangers(_) => DropReason::BondReflected,
            Self::Everything | Self::Nothing => DropReason::BondInactive,
        }
    }
}

impl Hashed {
    /// The number of a frame: its member is who has that number's bucket.
    #[inline]
    pub fn number<'f>(&self, station: Station, flow: impl FnOnce() -> Option<FlowView<'f>>) -> u32 {
        match self.key {
            HashKey::Station => station.number(self.seed),
            HashKey::Flow(policy) => flow().map_or(0, |flow| flow.hash(policy, self.seed)),
        }
    }
}

impl Hashed {
    /// The member that a frame is to leave by and for which it has to wait; `None`: it may leave.
    #[inline]
    pub fn waits_for<'f>(
        &self,
        station: Station,
        flow: impl FnOnce() -> Option<FlowView<'f>>,
    ) -> Option<PortIndex> {
        let moving = self.moving.as_ref()?;
        let number = self.number(station, flow);
        let bucket = (number as usize).checked_rem(moving.len())?;
        moving[bucket].then(|| self.buckets.pick(number)).flatten()
    }
}

impl Transmit {
    /// The members that send a frame. `flow` is the frame as it leaves, asked for where it matters; `turn`
    /// is this worker's count for the bond.
    #[inline]
    pub fn each<'f>(
        &self,
        station: Station,
        flow: impl FnOnce() -> Option<FlowView<'f>>,
        turn: &mut RoundRobin,
        mut send: impl FnMut(PortIndex),
    ) {
        match self {
            Self::Nobody => {}
            Self::One(member) => send(*member),
            Self::Copies(members) => members.iter().copied().for_each(send),
            Self::Hashed(hashed) => {
                let number = hashed.number(station, flow);
                hashed.buckets.pick(number).into_iter().for_each(send);
            }
            Self::Rewritten(rewritten) => send(rewritten.pick(flow().as_ref())),
            Self::Turns(turns) => {
                if flow().is_some_and(|flow| flow.is_igmp()) {
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
    /// The members that may be named by [`Self::each`]; each once, in no order that counts.
    #[must_use]
    pub fn members(&self) -> Vec<PortIndex> {
        let mut members = match self {
            Self::Nobody => Vec::new(),
            Self::One(member) => vec![*member],
            Self::Turns(turns) => {
                let can_send = turns.members.iter().filter(|(_, can_send)| *can_send);
                can_send.map(|(member, _)| *member).collect()
            }
            Self::Hashed(hashed) => hashed.buckets.owners().to_vec(),
            Self::Rewritten(rewritten) => {
                let mut members = rewritten.buckets.owners().to_vec();
                members.push(rewritten.active);
                members
            }
            Self::Copies(members) => members.to_vec(),
        };
        members.sort_unstable();
        members.dedup();
        members
    }

    /// How the members that [`Self::each`] names were chosen; of [`Self::Rewritten`], where it was no case for
    /// the active one.
    #[must_use]
    pub const fn why(&self) -> Chosen {
        match self {
            Self::Nobody | Self::One(_) => Chosen::Active,
            Self::Turns(_) => Chosen::Turn,
            Self::Hashed(_) | Self::Rewritten(_) => Chosen::Hash,
            Self::Copies(_) => Chosen::All,
        }
    }

    /// Whether its frames need more than the choice of a member.
    pub(crate) const fn looks_aside(&self) -> bool {
        match self {
            Self::Hashed(hashed) => hashed.moving.is_some(),
            Self::Rewritten(_) => true,
            _ => false,
        }
    }

    /// The address that a frame's source becomes when that member sends it; `None`: it stays.
    #[inline]
    #[must_use]
    pub fn source(&self, member: PortIndex) -> Option<MacWord> {
        match self {
            Self::Rewritten(rewritten) => rewritten.source(member),
            _ => None,
        }
    }

    /// Who has which flows, where members are chosen by hash.
    #[must_use]
    pub const fn buckets(&self) -> Option<&Buckets> {
        match self {
            Self::Hashed(hashed) => Some(&hashed.buckets),
            Self::Rewritten(rewritten) => Some(&rewritten.buckets),
            _ => None,
        }
    }
}

/// A station in a VLAN, as the link sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Station {
    /// The VLAN; `None` where its frames are untagged on the link.
    pub vid: Option<Vid>,
    /// Its address.
    pub mac: MacWord,
}

impl Station {
    #[inline]
    fn number(self, seed: u32) -> u32 {
        let [a, b, c, d, e, f] = self.mac.mac().0;
        let flow = FlowView {
            addresses: &[0, 0, 0, 0, 0, 0, a, b, c, d, e, f],
            tag: self.vid.map(|vid| Tci::default().with_vid(vid)),
            kind: EtherType(0),
            payload: &[],
        };
        flow.hash(HashPolicy::VlanSrcmac, seed)
    }
}
