//! How many cases the fuzz tests run, and damage to bytes that were well-formed.
//!
//! Set `VSWITCH_FUZZ` to a number for more cases than CI has time for; `scripts/fuzz` does.

use crate::rng::Rng;

/// Cases where nothing is said.
const CASES: usize = 20_000;

/// Cases of each test.
///
/// # Panics
/// When `VSWITCH_FUZZ` is no number: a soak that runs less than was asked for proves nothing.
#[must_use]
pub fn cases() -> usize {
    std::env::var("VSWITCH_FUZZ").map_or(CASES, |said| {
        said.parse().expect("VSWITCH_FUZZ is a number of cases")
    })
}

/// Changes some bytes, or the length, or nothing.
pub fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.pick(&[0, 0, 1, 1, 2, 8]) {
        if !bytes.is_empty() {
            let at = rng.below(bytes.len());
            bytes[at] = match rng.below(4) {
                0 => bytes[at] ^ 1 << rng.below(8),
                1 => rng.pick(&[0, 1, 0x7f, 0x80, 0xff]),
                _ => rng.byte(),
            };
        }
    }
    match rng.below(12) {
        0 => bytes.truncate(rng.below(bytes.len() + 1)),
        1 => bytes.resize(bytes.len() + rng.below(64), rng.byte()),
        _ => {}
    }
}
