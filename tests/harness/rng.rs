//! Repeatable randomness: every run prints its seed, and a seed makes the same run again.
//!
//! Set `VSWITCH_SEED` to a number to repeat a run.

use std::time::{SystemTime, UNIX_EPOCH};

/// A splitmix64 generator: short, fast, good enough to choose test inputs.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// The generator of that seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A generator with the seed of `VSWITCH_SEED`, or one from the clock, which it prints.
    #[must_use]
    #[expect(
        clippy::print_stdout,
        reason = "the harness shows it when the test fails"
    )]
    pub fn from_env(what: &str) -> Self {
        let given = std::env::var("VSWITCH_SEED")
            .ok()
            .and_then(|s| s.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(1, |d| d.as_secs() << 20 ^ u64::from(d.subsec_nanos()))
        });
        println!("{what}: repeat with VSWITCH_SEED={seed}");
        Self(seed)
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.bits() % end as u64).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// When there are none.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A byte.
    pub fn byte(&mut self) -> u8 {
        self.bits().to_le_bytes()[0]
    }

    /// Sixteen bits.
    pub fn word(&mut self) -> u16 {
        let [a, b, ..] = self.bits().to_le_bytes();
        u16::from_le_bytes([a, b])
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let random = self.bits().to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
    }
}
