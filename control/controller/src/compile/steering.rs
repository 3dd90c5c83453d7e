//! Frames of a port that leave bonds by a member of the operator's choice (`queue_mapping`, `queue_id`).

use super::Compiled;
use crate::bond::Bond;
use std::collections::BTreeMap;
use vswitch_core::snapshot::Steer;

/// By which members frames with that `queue_mapping` leave bonds.
pub(super) fn steers(
    compiled: &Compiled,
    queue_mapping: u16,
    bonds: &BTreeMap<String, Bond>,
) -> Box<[Steer]> {
    let steer = |(name, bond): (&String, &Bond)| {
        let member = bond.steered(queue_mapping)?;
        let bond = compiled.ports.get(name)?.index;
        Some(Steer { bond, member })
    };
    bonds.iter().filter_map(steer).collect()
}
