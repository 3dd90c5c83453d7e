//! balance-rr: members in turn, for one worker (K-21).
//!
//! Workers do not share the counter, as CPUs do not in Linux: each deals its own frames evenly, and none
//! waits for another. IGMP is not dealt but goes by the active member
//! ([`FlowView::is_igmp`](vswitch_base::flow::FlowView::is_igmp)); that is for the caller to see to.

/// Whose turn it is.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    /// Frames for a member before the next one has its turn; 0: any member, at random.
    packets_per_slave: u16,
    /// Frames so far; begins anew after 2^32, as the kernel's.
    frames: u32,
    /// Never 0.
    random: u32,
}

impl RoundRobin {
    /// A counter at its start. `packets_per_slave` is the kernel's option: 0 for a member at random, else
    /// how many frames go by one member in a row. Of `seed` only the random choice depends.
    #[must_use]
    pub const fn new(packets_per_slave: u16, seed: u32) -> Self {
        Self {
            packets_per_slave,
            frames: 0,
            random: if seed == 0 { 1 } else { seed },
        }
    }

    /// Another `packets_per_slave` from the next frame on; the count goes on.
    pub const fn set_packets_per_slave(&mut self, packets_per_slave: u16) {
        self.packets_per_slave = packets_per_slave;
    }

    /// The member for the next frame: the one whose turn it is among all members, able to send or not, or
    /// the next in order that can. `None` when none can; the turn passes all the same.
    #[inline]
    pub fn pick<'m, M>(
        &mut self,
        members: &'m [M],
        can_send: impl Fn(&M) -> bool,
    ) -> Option<&'m M> {
        let turn = self.turn();
        let count = u32::try_from(members.len()).ok()?;
        let (before, from) = members.split_at_checked(turn.checked_rem(count)? as usize)?;
        from.iter().chain(before).find(|member| can_send(member))
    }

    /// A number whose remainder by the count of members says whose turn it is. The first frame's count is
    /// one, so it goes by the second member where each has one frame, as in Linux.
    #[inline]
    const fn turn(&mut self) -> u32 {
        match self.packets_per_slave {
            0 => {
                self.random ^= self.random << 13;
                self.random ^= self.random >> 17;
                self.random ^= self.random << 5;
                self.random
            }
            each => {
                self.frames = self.frames.wrapping_add(1);
                self.frames / each as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: fn(&char) -> bool = |_| true;

    fn dealt(turns: &mut RoundRobin, members: &[char], can_send: fn(&char) -> bool) -> String {
        let picked = (0..12).map(|_| turns.pick(members, can_send).copied());
        picked.map(|member| member.unwrap_or('-')).collect()
    }

    /// K-21: in turns of `packets_per_slave`, past members that cannot send.
    #[test]
    fn members_take_turns() {
        for (each, members, can_send, expected) in [
            (1, &['a', 'b'][..], ALL, "babababababa"),
            (1, &['a', 'b', 'c'], ALL, "bcabcabcabca"),
            (3, &['a', 'b', 'c'], ALL, "aabbbcccaaab"),
            (u16::MAX, &['a', 'b'], ALL, "aaaaaaaaaaaa"),
            (1, &['a', 'b', 'c'], |m| *m != 'b', "ccaccaccacca"),
            (1, &['a', 'b', 'c'], |m| *m != 'c', "baabaabaabaa"),
            (1, &['a', 'b'], |_| false, "------------"),
            (1, &[], ALL, "------------"),
            (1, &['a'], ALL, "aaaaaaaaaaaa"),
        ] {
            let mut turns = RoundRobin::new(each, 0);
            assert_eq!(
                dealt(&mut turns, members, can_send),
                expected,
                "{each} {members:?}"
            );
        }
    }

    #[test]
    fn a_changed_option_counts_from_the_next_frame() {
        let mut turns = RoundRobin::new(1, 0);
        let members = ['a', 'b', 'c'];
        assert_eq!(dealt(&mut turns, &members, ALL), "bcabcabcabca");
        turns.set_packets_per_slave(4);
        assert_eq!(dealt(&mut turns, &members, ALL), "aaabbbbcccca");
    }

    #[test]
    fn at_random_each_gets_its_part_and_workers_differ() {
        let members = [0usize, 1, 2];
        let run = |seed| -> Vec<usize> {
            let mut turns = RoundRobin::new(0, seed);
            (0..3_000)
                .map(|_| *turns.pick(&members, |_| true).unwrap())
                .collect()
        };
        for seed in [0, 1, 77, u32::MAX] {
            let picked = run(seed);
            for member in members {
                let share = picked.iter().filter(|m| **m == member).count();
                assert!((900..=1_100).contains(&share), "{share} of 3000");
            }
        }
        assert_ne!(run(77), run(78));
    }

    #[test]
    fn the_count_begins_anew() {
        let mut turns = RoundRobin::new(2, 0);
        turns.frames = u32::MAX - 1;
        let picked: Vec<_> = (0..4)
            .map(|_| *turns.pick(&['a', 'b'], ALL).unwrap())
            .collect();
        assert_eq!(picked, ['b', 'a', 'a', 'b']);
    }
}
