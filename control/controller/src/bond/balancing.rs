//! The load of a bond that balances by it: when it is looked at, what of the past counts, and for whom the table in
//! use was made. What becomes of the table is [`dealing`]'s.

use super::{Bond, Happened, dealing};
use std::sync::Arc;
use vswitch_api::config::BondMode;
use vswitch_base::{Instant, PortIndex, Timer};
use vswitch_core::bond::buckets::BUCKETS_MAX;
use vswitch_core::bond::loads::Bytes;
use vswitch_core::bond::{Buckets, Loads, Transmit};

/// Where nothing was sent.
const NONE: Bytes = [0; BUCKETS_MAX];

/// See the module.
#[derive(Debug, Default)]
pub struct Balancing {
    /// Where the workers count.
    loads: Option<Arc<Loads>>,
    /// The members that the table is for, with their speeds.
    of: Vec<(PortIndex, u32)>,
    /// How many buckets there were: with another number of them what was sent is of others.
    count: usize,
    /// What had been sent at the last look; `None`: what is sent is of other buckets now.
    read: Option<Box<Bytes>>,
    /// What was sent between the last two looks.
    sent: Option<Box<Bytes>>,
    /// What counts of the time before.
    past: Option<Box<Bytes>>,
    next: Timer,
}

impl Balancing {
    /// When [`Bond::update`] has to be called though no link changed.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.next.deadline()
    }

    /// Flows have other buckets from now on: what they sent so far says nothing.
    pub(super) fn forget(&mut self) {
        (self.read, self.sent, self.past) = (None, None, None);
    }

    /// What was sent since the last look; `None`: there was none.
    fn look(&mut self) -> Option<Bytes> {
        let all = self.loads.as_ref()?.read();
        let before = self.read.replace(Box::new(all))?;
        let sent = std::array::from_fn(|bucket| all[bucket].wrapping_sub(before[bucket]));
        self.sent = Some(Box::new(sent));
        Some(sent)
    }

    /// That, and what counts of the time before, which halves each time.
    fn with_past(&mut self, sent: &Bytes) -> Bytes {
        let past = self.past.as_deref().unwrap_or(&NONE);
        let all: Bytes = std::array::from_fn(|bucket| past[bucket].saturating_add(sent[bucket]));
        self.past = Some(Box::new(all.map(|bytes| bytes / 2)));
        all
    }
}

impl Bond {
    /// Whether members' parts are as their speeds and as what is sent.
    pub(super) const fn is_measured(&self) -> bool {
        let config = &self.wanted.config;
        matches!(config.mode, BondMode::BalanceTlb | BondMode::BalanceAlb)
            && config.tlb_dynamic_lb.0
    }

    /// Where what it sends is counted, by bucket; `None`: it is not.
    #[must_use]
    pub const fn loads(&self) -> Option<&Arc<Loads>> {
        self.balancing.loads.as_ref()
    }

    /// The table that is to be used on, or instead, for the load; `None`: it has to be made anew, for other
    /// members. The members' states are those of now, and how it sends is as before.
    pub(super) fn balance(&mut self, now: Instant) -> Option<Buckets> {
        if !self.is_measured() {
            self.balancing = Balancing::default();
            return None;
        }
        let members = self.weighted(&self.carriers());
        let rewrites = self.rewrites();
        let count = self.transmit.buckets().map_or(0, Buckets::count);
        let balancing = &mut self.balancing;
        if std::mem::replace(&mut balancing.count, count) != count {
            balancing.forget();
        }
        balancing.loads.get_or_insert_default();
        let same = balancing.of == members;
        balancing.of = members;
        let due = balancing.next.poll_expiration(now);
        if due || balancing.next.deadline().is_none() {
            balancing.next.set(now + dealing::INTERVAL);
        }
        let sent = due.then(|| balancing.look()).flatten();
        let table = self.transmit.buckets().filter(|_| same)?;
        let Some(sent) = sent else {
            return Some(table.clone());
        };
        let dealt = if rewrites {
            dealing::deal(table, &sent, &balancing.of)
        } else {
            let sent = balancing.with_past(&sent);
            dealing::shift(table, &sent, &balancing.of)
        };
        Some(dealt.unwrap_or_else(|| table.clone()))
    }

    /// What the load moved, after it sent as `before`.
    pub(super) fn balanced(&self, before: &Transmit) -> Option<Happened> {
        let (was, is) = (before.buckets()?, self.transmit.buckets()?);
        let buckets = is.moved_since(was)?.count();
        (buckets > 0).then(|| Happened::Balanced {
            buckets,
            of: is.count(),
        })
    }

    /// Bits a second that the buckets sent lately that are a member's now; `None`: nobody counts.
    pub(super) fn load_bps(&self, member: PortIndex) -> Option<u64> {
        let sent = self.balancing.sent.as_deref()?;
        let owners = self.transmit.buckets()?.owners().iter().zip(sent);
        let of = owners.filter(|(owner, _)| **owner == member);
        let bytes = of.fold(0u64, |all, (_, bytes)| all.saturating_add(*bytes));
        Some(bytes.saturating_mul(8) / dealing::INTERVAL.as_secs())
    }
}
