//! Strangers' bytes in every protocol that the control side reads: LACPDUs and Markers, ARP and neighbour
//! discovery, IGMP and MLD (issue: 20,000 of each here, a million with `scripts/fuzz`). No panic, bounded
//! memory, and only such states as the protocol has.

mod bindings;
mod groups;
mod neighbours;
mod slow;
