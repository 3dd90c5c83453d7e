//! What the benches share: an allocator that counts, and a clock around a closure.
//!
//! A bench binary that links this crate counts every allocation of every thread. Single-threaded
//! benches may so assert that a stretch of code made none. Nothing here judges times.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "an allocator can be written in no other way")]
// SAFETY: every call is passed on unchanged to the system's allocator; counting touches no memory
// that it hands out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` by `alloc` or `realloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as for `dealloc`; the caller keeps the rest of the contract.
        unsafe { System.realloc(pointer, layout, len) }
    }
}

/// Allocations of this process so far.
#[must_use]
pub fn allocations() -> u64 {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Whether the benches are only to show that they run (`BENCH_SMOKE` is set).
#[must_use]
pub fn is_smoke() -> bool {
    std::env::var_os("BENCH_SMOKE").is_some()
}

/// Whether a measurement was asked for: all are, but for those whose name has none of the words on the
/// command line (`cargo ubench --bench forward -- "64 k"`).
#[must_use]
pub fn is_wanted(what: &str) -> bool {
    let mut words = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .peekable();
    words.peek().is_none() || words.any(|word| what.contains(&word))
}

/// Rounds of a measurement. Many short ones: on a machine that others use too, the least of them is
/// that of a round which nobody disturbed.
const ROUNDS: u32 = 100;

/// Runs `work` (which does `units` things a call) `calls` times in a hundred rounds after a warm-up
/// round and prints the least and the median ns per thing. Returns the least.
///
/// # Panics
/// When `work` allocates and `free` says that it must not.
#[expect(clippy::print_stdout, reason = "a bench reports")]
pub fn measure(what: &str, units: u32, calls: u32, free: bool, mut work: impl FnMut()) -> f64 {
    let calls = if is_smoke() { calls.min(100) } else { calls };
    let calls = calls.div_ceil(ROUNDS);
    let mut round = || {
        let before = allocations();
        let start = Instant::now();
        (0..calls).for_each(|_| work());
        let spent = start.elapsed().as_secs_f64() * 1e9;
        let made = allocations() - before;
        assert!(
            !free || made == 0,
            "{what}: {made} allocations in {calls} calls"
        );
        spent / f64::from(calls) / f64::from(units)
    };
    round();
    let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round()).collect();
    rounds.sort_by(f64::total_cmp);
    let (least, median) = (rounds[0], rounds[rounds.len() / 2]);
    println!("{what:<44} {least:8.1} .. {median:.1} ns");
    least
}
