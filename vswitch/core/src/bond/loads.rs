//! How much a bond sends, by bucket: what its control side deals members' parts by (features.md 3.4.3, 3.4.6).
//!
//! Each worker adds to a table of its own, on lines that nobody else writes, and only for bonds that ask for it.
//! The control side adds the tables up. A worker joins when a snapshot names a bond's loads, never while frames
//! are handled.

use super::buckets::BUCKETS_MAX;
use crate::counters::Counter;
use crate::sync::{Arc, Mutex};
use std::sync::PoisonError;

/// Bytes by bucket.
pub type Bytes = [u64; BUCKETS_MAX];

/// What one worker sent. Frames of no bucket count nowhere.
#[derive(Debug)]
#[repr(align(64))]
pub struct Load([Counter; BUCKETS_MAX]);

impl Load {
    /// Adds a frame of so many bytes. Only from the thread that joined.
    #[inline]
    pub fn add(&self, bucket: usize, bytes: usize) {
        if let Some(counter) = self.0.get(bucket) {
            counter.add(bytes as u64);
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Loads(Mutex<Vec<Arc<Load>>>);

impl Loads {
    /// A table for one more thread.
    #[must_use]
    pub fn join(&self) -> Arc<Load> {
        let own = Arc::new(Load(std::array::from_fn(|_| Counter::default())));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::clone(&own));
        own
    }

    /// Bytes that all threads have sent so far.
    #[must_use]
    pub fn read(&self) -> Bytes {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::array::from_fn(|bucket| {
            let each = all.iter().map(|load| load.0[bucket].read());
            each.fold(0, u64::wrapping_add)
        })
    }
}

/// A bond's loads, and a worker's own.
#[derive(Debug)]
pub(crate) struct Joined {
    of: Arc<Loads>,
    pub(crate) own: Arc<Load>,
}

impl Joined {
    /// What the worker has of a bond's loads that a snapshot names, after what it had before.
    pub(crate) fn follow(before: Option<Self>, loads: Option<&Arc<Loads>>) -> Option<Self> {
        let loads = loads?;
        before
            .filter(|joined| Arc::ptr_eq(&joined.of, loads))
            .or_else(|| {
                Some(Self {
                    own: loads.join(),
                    of: Arc::clone(loads),
                })
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_add_up_and_a_worker_joins_once() {
        let loads = Arc::new(Loads::default());
        let one = Joined::follow(None, Some(&loads)).expect("joined");
        let other = loads.join();
        one.own.add(3, 100);
        other.add(3, 20);
        other.add(255, 7);
        other.add(256, 9);
        let one = Joined::follow(Some(one), Some(&loads)).expect("joined");
        one.own.add(3, 1);
        let read = loads.read();
        assert_eq!((read[3], read[255]), (121, 7));
        assert_eq!(read.iter().sum::<u64>(), 128);
        assert_eq!(loads.0.lock().expect("sound").len(), 2);
        assert!(Joined::follow(Some(one), None).is_none());
    }
}
