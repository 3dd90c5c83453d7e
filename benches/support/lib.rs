//! What the benches share: an allocator that counts, and criterion around a closure.
//!
//! A bench binary that links this crate counts every allocation of every thread. Single-threaded
//! benches may so assert that a stretch of code made none. Nothing here judges times.

mod sink;

pub use sink::Sink;

use criterion::Criterion;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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
/// command line (`cargo ubench --bench forward -- "64 k"`). Criterion filters too; this spares making
/// what is not measured.
#[must_use]
pub fn is_wanted(what: &str) -> bool {
    let mut words = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .peekable();
    words.peek().is_none() || words.any(|word| what.contains(&word))
}

/// Calls over which allocations are counted.
const COUNTED_CALLS: u32 = 100;

/// Measures `work`, which does `units` things a call, with criterion: times are those of one thing.
///
/// # Panics
/// When `work` allocates and `free` says that it must not.
pub fn measure(what: &str, units: u32, free: bool, mut work: impl FnMut()) {
    if !is_wanted(what) {
        return;
    }
    work();
    let before = allocations();
    (0..COUNTED_CALLS).for_each(|_| work());
    let made = allocations() - before;
    assert!(
        !free || made == 0,
        "{what}: {made} allocations in {COUNTED_CALLS} calls"
    );
    let mut criterion = Criterion::default();
    if is_smoke() {
        criterion = criterion
            .sample_size(10)
            .warm_up_time(Duration::from_millis(1))
            .measurement_time(Duration::from_millis(10))
            .without_plots();
    }
    criterion
        .configure_from_args()
        .bench_function(what, |bencher| {
            // Criterion counts iterations; one of ours is one thing, done `units` at a time.
            bencher.iter_custom(|things| {
                let calls = things.div_ceil(units.into());
                let start = Instant::now();
                (0..calls).for_each(|_| work());
                let done = (calls * u64::from(units)) as f64;
                start.elapsed().mul_f64(things as f64 / done)
            });
        });
}
