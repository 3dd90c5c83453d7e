//! What each member lets in on a bond whose other side knows nothing of it (N-01, features.md 3.7).
//!
//! Every station sends by the member that its bucket belongs to, so that is where the switch beyond learns
//! it and where frames for it are let in; what the switch floods to all members is let in once. Groups are
//! let in by one member, the designated one.
//!
//! For [`GRACE`] after a bucket moved, the member that had it lets frames in as well: the switch sends there
//! until it hears the station, or its announcement, by the new one. What it floods meanwhile comes by both, and
//! is let in once.

use std::collections::BTreeMap;
use vswitch_base::{Duration, Instant, PortIndex};
use vswitch_core::bond::{Admits, Buckets, Handover, Hashed, Once, Share};

/// How long the member that lost a bucket still lets frames in for it.
pub const GRACE: Duration = Duration::from_secs(2);

/// Buckets that moved a moment ago.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    /// By bucket: who had it, and until when it counts.
    former: BTreeMap<usize, (PortIndex, Instant)>,
}

impl Shares {
    /// Takes in that buckets belong to others now; whether any does.
    pub fn follow(
        &mut self,
        before: Option<&Buckets>,
        after: Option<&Buckets>,
        now: Instant,
    ) -> bool {
        self.former.retain(|_, (_, until)| now < *until);
        let (Some(before), Some(after)) = (before, after) else {
            self.former.clear();
            return before.is_some() != after.is_some();
        };
        let Some(moved) = after.moved_since(before) else {
            // Other buckets altogether: nobody knows who had which.
            self.former.clear();
            return true;
        };
        let mut any = false;
        for moved in moved {
            any = true;
            self.former.insert(moved.bucket, (moved.from, now + GRACE));
        }
        any
    }

    /// When [`Self::follow`] has to be called though no bucket moved.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.former.values().map(|(_, until)| *until).min()
    }

    /// What a member lets in; `once` tells the copies that other members bring from what it brings.
    #[must_use]
    pub fn admits(
        &self,
        member: PortIndex,
        hashed: &Hashed,
        designated: bool,
        once: Option<Once>,
    ) -> Admits {
        let has = |(bucket, owner): (usize, &PortIndex)| {
            let had = self
                .former
                .get(&bucket)
                .is_some_and(|(from, _)| *from == member);
            *owner == member || had
        };
        let owners = hashed.buckets.owners().iter().enumerate();
        let stations: Box<[bool]> = owners.map(has).collect();
        let handover = once.filter(|_| !self.former.is_empty());
        Admits::Share(Share {
            groups: designated,
            seed: hashed.seed,
            handover: handover.map(|once| Handover {
                buckets: (0..stations.len())
                    .map(|b| self.former.contains_key(&b))
                    .collect(),
                once,
            }),
            stations,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vswitch_core::bond::HashKey;

    const A: PortIndex = PortIndex(1);
    const B: PortIndex = PortIndex(2);

    fn hashed(buckets: &Buckets) -> Hashed {
        Hashed {
            key: HashKey::Station,
            seed: 0,
            buckets: buckets.clone(),
            moving: None,
        }
    }

    /// Of member 0 or 1.
    fn once(member: usize) -> Option<Once> {
        Once::new(&std::sync::Arc::default(), member, 2)
    }

    fn handed_over(admits: Admits) -> Option<Vec<bool>> {
        match admits {
            Admits::Share(share) => share.handover.map(|h| h.buckets.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    fn share(admits: Admits) -> (bool, Vec<bool>) {
        match admits {
            Admits::Share(share) => (share.groups, share.stations.to_vec()),
            other => panic!("{other:?}"),
        }
    }

    /// N-01: of any frame, exactly one member lets it in while nothing moves, and for a while after a move
    /// the former one as well.
    #[test]
    fn each_bucket_has_one_member_and_for_a_while_its_former_one() {
        let both = Buckets::new(&[A, B]);
        let alone = Buckets::update(&both, &[B]);
        let mut shares = Shares::default();
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        assert!(shares.follow(None, Some(&both), at(0)));
        let (groups, a) = share(shares.admits(A, &hashed(&both), true, None));
        let (other, b) = share(shares.admits(B, &hashed(&both), false, None));
        assert_eq!((groups, other), (true, false));
        assert!(a.iter().zip(&b).all(|(a, b)| a != b));

        assert!(shares.follow(Some(&both), Some(&alone), at(100)));
        let (_, b) = share(shares.admits(B, &hashed(&alone), true, once(1)));
        assert!(b.iter().all(|has| *has), "all are b's at once");
        assert_eq!(
            share(shares.admits(A, &hashed(&alone), false, once(0))).1,
            a,
            "and still a's"
        );
        for member in [A, B] {
            let told = shares.admits(member, &hashed(&alone), false, once(0));
            assert_eq!(
                handed_over(told).as_ref(),
                Some(&a),
                "their copies are told"
            );
        }
        assert_eq!(shares.poll_timeout(), Some(at(2_100)));
        assert!(!shares.follow(Some(&alone), Some(&alone), at(2_100)));
        let (_, a) = share(shares.admits(A, &hashed(&alone), false, once(0)));
        assert!(a.iter().all(|has| !has), "no longer");
        let told = shares.admits(B, &hashed(&alone), false, once(0));
        assert_eq!(handed_over(told), None);
        assert_eq!(shares.poll_timeout(), None);
    }
}
