//! ns per look-up that finds, that does not, per known source, and per new address.

use std::hint::black_box;
use vswitch_base::{PortIndex, Vid};
use vswitch_benches::measure;
use vswitch_core::fdb::{Fdb, Source};
use vswitch_core::testing::station;

fn main() {
    let ten = Vid::new(10).ok();
    let source = Source {
        port: PortIndex(1),
        epoch: 0,
        mac_limit: u32::MAX,
    };
    for (addresses, name) in [(1_000, "1 k"), (64_000, "64 k"), (1_000_000, "1 M")] {
        let fdb = Fdb::new(addresses, 7);
        (0..addresses).for_each(|n| {
            fdb.learn(ten, station(n), source, 1, |_, _| true);
        });
        let mut random = 1u32;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 8) % addresses
        };
        measure(&format!("find, {name} addresses"), 1, true, || {
            black_box(fdb.find(ten, station(next())));
        });
        measure(&format!("find nothing, {name} addresses"), 1, true, || {
            black_box(fdb.find(ten, station(next() | 1 << 30)));
        });
        measure(
            &format!("learn a known one, {name} addresses"),
            1,
            true,
            || {
                black_box(fdb.learn(ten, station(next()), source, 1, |_, _| true));
            },
        );
        let mut new = 1 << 30;
        measure(
            &format!("learn a new one when full, {name} addresses"),
            1,
            true,
            || {
                new += 1;
                black_box(fdb.learn(ten, station(new), source, 1, |_, _| true));
            },
        );
    }
}
