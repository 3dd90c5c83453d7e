//! Flows that leave by any member, from the member's own address (`tlb_src = "rewrite"` in balance-tlb and
//! balance-alb; features.md 3.4.6).
//!
//! The switch beyond knows nothing of the bond and learns every station by the active member, so nothing else may
//! leave from a station's address: where another member sends a frame, its source becomes that
//! member's. Who answers goes by ARP and neighbour discovery, which name the station, leave by the active
//! member, and are not touched.
//!
//! Received is by the active member alone. Its own kind of echo is what another member sent: that is known by
//! its source ([`Admits::Strangers`](super::Admits::Strangers)).

use super::Buckets;
use vswitch_base::flow::{FlowView, HashPolicy};
use vswitch_base::{MacWord, PortIndex};

/// What of a frame decides its member, and which frames the active member keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Balance {
    /// Its flow (balance-tlb).
    Flow(HashPolicy),
    /// Its flow, with the exceptions of balance-alb.
    Adaptive(HashPolicy),
    /// The destination's IP address, with those exceptions (balance-alb that measures load).
    Destination,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rewritten {
    /// Who sends what is not balanced, and lets everything in. From here frames leave as they are.
    pub active: PortIndex,
    /// What decides the member.
    pub balance: Balance,
    /// As [`Hashed::seed`](super::Hashed::seed).
    pub seed: u32,
    /// Who has which numbers: the active member, and any of `sources`.
    pub buckets: Buckets,
    /// From which address each other member sends.
    pub sources: Box<[(PortIndex, MacWord)]>,
}

impl Rewritten {
    /// The number of a frame: its member is who has that number's bucket. `None`: it is the active one.
    #[inline]
    #[must_use]
    pub fn number(&self, flow: &FlowView<'_>) -> Option<u32> {
        match self.balance {
            Balance::Flow(policy) => flow.is_balanced().then(|| flow.hash(policy, self.seed)),
            Balance::Adaptive(policy) => {
                let balanced = flow.is_balanced_adaptively();
                balanced.then(|| flow.hash(policy, self.seed))
            }
            Balance::Destination => {
                let balanced = flow.is_balanced_adaptively();
                balanced.then(|| flow.destination(self.seed))
            }
        }
    }

    /// The member that sends a frame, as it leaves.
    #[inline(never)]
    #[must_use]
    pub fn pick(&self, flow: Option<&FlowView<'_>>) -> PortIndex {
        let number = flow.and_then(|flow| self.number(flow));
        let picked = number.and_then(|number| self.buckets.pick(number));
        picked.unwrap_or(self.active)
    }

    /// The address that a frame's source becomes when that member sends it; `None`: it stays.
    #[inline]
    #[must_use]
    pub fn source(&self, member: PortIndex) -> Option<MacWord> {
        let mut sources = self.sources.iter();
        let found = sources.find(|(other, _)| *other == member);
        found.map(|(_, source)| *source)
    }
}
