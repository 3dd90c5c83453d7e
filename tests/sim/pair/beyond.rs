//! A switch that learns, floods, forgets a port that lost its carrier, and knows of no bond.

use super::rig::{HOSTS, MEMBERS, Out};
use std::collections::BTreeMap;

#[derive(Default)]
pub(super) struct Beyond {
    table: BTreeMap<[u8; 6], u16>,
    up: [bool; 3],
}

impl Beyond {
    pub(super) fn see(&mut self, member: usize, running: bool) {
        self.up[member] = running;
        if !running {
            self.table.retain(|_, port| *port != MEMBERS[member]);
        }
    }

    /// It forgets everybody and is gone until it sees a link.
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_there(&self) -> bool {
        self.up.iter().any(|up| *up)
    }

    pub(super) fn take(&mut self, from: u16, bytes: &[u8]) -> Vec<Out> {
        let [dst, src]: [[u8; 6]; 2] = [0, 6].map(|at| bytes[at..at + 6].try_into().unwrap());
        if dst[..5] == [1, 0x80, 0xc2, 0, 0] {
            return Vec::new();
        }
        self.table.insert(src, from);
        let known = self.table.get(&dst).copied().filter(|_| dst[0] & 1 == 0);
        let open = MEMBERS.iter().zip(self.up).filter(|(_, up)| *up);
        let all = HOSTS.into_iter().chain(open.map(|(port, _)| *port));
        let to: Vec<u16> = known.map_or_else(|| all.collect(), |port| vec![port]);
        let to = to.into_iter().filter(|port| *port != from);
        to.map(|port| (port, bytes.to_vec())).collect()
    }
}
