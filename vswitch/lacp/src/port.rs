//! One member: one of each machine, run in a fixed order until none moves.
//!
//! The order is the standard's: receive, periodic, mux, churn; then the Marker generator. Selection stands outside, since it looks at
//! all members; transmission is asked for by the caller. A run is bounded: the longest way through
//! the states without new input is shorter than [`ROUNDS`].

use crate::churn::Churn;
use crate::generator::Generator;
use crate::info::{Key, ParticipantInfo, PortId, PortState, SystemId};
use crate::marker::Marker;
use crate::mux::Mux;
use crate::pdu::Lacpdu;
use crate::periodic::Periodic;
use crate::receive::{Receive, ReceiveState};
use crate::transmit::Transmit;
use crate::variables::Variables;
use vswitch_base::Instant;

/// Rounds after which a port must have come to rest.
pub const ROUNDS: u32 = 12;

/// What the link of a member is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkState {
    /// It has carrier.
    pub up: bool,
    /// Speed in Mbit/s, 0 when unknown.
    pub speed: u32,
    /// Full duplex; without it the link has no LACP.
    pub full_duplex: bool,
}

/// What an operator says of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberConfig {
    /// Number of the port on the wire: 1 or more, unique in the system.
    pub number: u16,
    /// Priority, lower is better (K-32).
    pub priority: u16,
    /// The administrator's part of the key, 0 to 1023 (K-31); of more, the low ten bits.
    pub user_key: u16,
    /// Takes part.
    pub enabled: bool,
    /// May be aggregated; otherwise the link is individual.
    pub aggregatable: bool,
}

/// Counters of a member, since it was added (P-20).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// LACPDUs received that were well formed.
    pub lacpdu_rx: u64,
    /// LACPDUs sent.
    pub lacpdu_tx: u64,
    /// Slow protocol frames with an unknown subtype.
    pub unknown_rx: u64,
    /// Malformed frames.
    pub illegal_rx: u64,
    /// LACPDUs that came from this very system.
    pub loopback_rx: u64,
    /// Marker questions sent.
    pub marker_tx: u64,
    /// Marker questions received.
    pub marker_rx: u64,
    /// Marker answers sent.
    pub marker_response_tx: u64,
    /// Marker answers received.
    pub marker_response_rx: u64,
}

/// Speed as the key has it.
const fn speed_code(speed: u32) -> u16 {
    match speed {
        1 => 1,
        10 => 2,
        100 => 3,
        1_000 => 4,
        2_500 => 5,
        5_000 => 6,
        10_000 => 7,
        14_000 => 8,
        20_000 => 9,
        25_000 => 10,
        40_000 => 11,
        50_000 => 12,
        56_000 => 13,
        100_000 => 14,
        200_000 => 15,
        400_000 => 16,
        800_000 => 17,
        _ => 0,
    }
}

/// Ten bits of the user, five of the speed, one of full duplex. With `fixed` the speed has no part.
#[must_use]
pub const fn key_of(user_key: u16, link: LinkState, fixed: bool) -> Key {
    let speed = if fixed { 0 } else { speed_code(link.speed) };
    Key((user_key & 0x3ff) << 6 | speed << 1 | link.full_duplex as u16)
}

/// A member and its machines.
#[derive(Clone, Debug)]
pub struct LacpPort {
    pub(crate) config: MemberConfig,
    pub(crate) link: LinkState,
    /// What the machines share.
    pub(crate) vars: Variables,
    pub(crate) receive: Receive,
    pub(crate) periodic: Periodic,
    pub(crate) mux: Mux,
    pub(crate) transmit: Transmit,
    pub(crate) actor_churn: Churn,
    pub(crate) partner_churn: Churn,
    pub(crate) marker: Marker,
    pub(crate) generator: Generator,
    pub(crate) counters: Counters,
    /// Number of the aggregator; `None` without one.
    pub(crate) aggregator: Option<u16>,
    /// When the mux entered its state.
    pub(crate) since: Instant,
    /// When a LACPDU of another system came last.
    pub(crate) heard: Option<Instant>,
}

impl LacpPort {
    /// A member before its first run, at BEGIN.
    #[must_use]
    pub fn new(config: MemberConfig, link: LinkState) -> Self {
        let begin = true;
        Self {
            config,
            link,
            vars: Variables {
                begin,
                ..Variables::default()
            },
            receive: Receive::default(),
            periodic: Periodic::default(),
            mux: Mux::default(),
            transmit: Transmit::default(),
            actor_churn: Churn::default(),
            partner_churn: Churn::default(),
            marker: Marker::default(),
            generator: Generator::default(),
            counters: Counters::default(),
            aggregator: None,
            since: Instant::ZERO,
            heard: None,
        }
    }

    /// Writes what configuration and link say into the variables. Another identity or key withdraws
    /// the selection; anything else only asks for a PDU.
    pub(crate) fn apply(&mut self, system: SystemId, bits: PortState, coupled: bool, fixed: bool) {
        let configured = PortState::ACTIVITY | PortState::TIMEOUT | PortState::AGGREGATION;
        let lacp = self.link.full_duplex;
        let aggregation = if self.config.aggregatable && lacp {
            PortState::AGGREGATION.0
        } else {
            0
        };
        let kept = self.vars.actor.state.0 & !configured.0;
        let actor = ParticipantInfo {
            system,
            key: key_of(self.config.user_key, self.link, fixed),
            port: PortId {
                priority: self.config.priority,
                number: self.config.number,
            },
            state: PortState(kept | bits.0 | aggregation),
        };
        let before = self.vars.actor;
        let aggregates = |info: &ParticipantInfo| info.state.contains(PortState::AGGREGATION);
        if (
            actor.system,
            actor.key,
            actor.port.number,
            aggregates(&actor),
        ) != (
            before.system,
            before.key,
            before.port.number,
            aggregates(&before),
        ) {
            self.vars.selected = crate::variables::Selected::Unselected;
        }
        self.vars.ntt |= actor != before;
        self.vars.actor = actor;
        self.vars.coupled = coupled;
        self.vars.lacp_enabled = lacp;
        self.vars.port_enabled = self.link.up && self.config.enabled;
    }

    /// Runs the machines until none moves; returns the rounds that it took, one at least.
    pub fn run(&mut self, mut pdu: Option<Lacpdu>, now: Instant) -> u32 {
        for round in 1..=ROUNDS {
            let vars = &mut self.vars;
            let mut moved = self.receive.run(vars, &mut pdu, now);
            moved |= self.periodic.run(vars, now);
            let mux = self.mux.state();
            moved |= self.mux.run(vars, now);
            if self.mux.state() != mux {
                self.since = now;
            }
            let restart = vars.begin || !vars.port_enabled;
            let sync = |info: &ParticipantInfo| info.state.contains(PortState::SYNCHRONIZATION);
            moved |= self.actor_churn.run(restart, sync(&vars.actor), now);
            moved |= self.partner_churn.run(restart, sync(&vars.partner), now);
            let sends = self.mux.state().distributes();
            moved |= self.generator.run(sends, &vars.partner, now);
            vars.begin = false;
            if !moved {
                return round;
            }
        }
        debug_assert!(false, "the machines did not come to rest");
        ROUNDS
    }

    /// When a timer of the machines fires.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [
            self.receive.deadline(),
            self.periodic.deadline(),
            self.mux.deadline(),
            self.actor_churn.deadline(),
            self.partner_churn.deadline(),
            self.generator.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What a PDU says now.
    #[must_use]
    pub const fn pdu(&self) -> Lacpdu {
        Lacpdu::new(self.vars.actor, self.vars.partner)
    }

    /// Whether nobody speaks LACP on the link, as far as was waited for.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.vars.port_enabled
            && matches!(
                self.receive.state(),
                ReceiveState::Defaulted | ReceiveState::LacpDisabled
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// K-31
    #[test]
    fn keys_are_those_of_the_table() {
        for (user, speed, full_duplex, key) in [
            (0, 1_000, true, 9),
            (0, 10_000, true, 15),
            (0, 25_000, true, 21),
            (0, 40_000, true, 23),
            (0, 100_000, true, 29),
            (0, 100, false, 6),
            (1, 0, true, 65),
            (1023, 800_000, true, 0xffe3),
            (1024, 7, true, 1),
        ] {
            let link = LinkState {
                up: true,
                speed,
                full_duplex,
            };
            assert_eq!(key_of(user, link, false), Key(key), "{user} {speed}");
            assert_eq!(
                key_of(user, link, true).0,
                (key & 0xffc0) | u16::from(full_duplex)
            );
        }
    }
}
