//! Which CPU each worker is bound to.
//!
//! A process may be allowed fewer CPUs than the machine has (a cpuset, `taskset`, a container), and those
//! need not be numbered from 0. [`allowed`] asks the kernel for them, [`choose`] picks, [`bind`] binds the
//! calling thread.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs that this thread may run on, ascending; none when the kernel does not say, which it does not
/// on machines of more than 1,024.
pub(crate) fn allowed() -> Vec<usize> {
    sched_getaffinity(None).map_or_else(
        |_| Vec::new(),
        |set| {
            (0..CpuSet::MAX_CPU)
                .filter(|cpu| set.is_set(*cpu))
                .collect()
        },
    )
}

/// A CPU of its own for each of `workers` workers, from the last of `allowed` down, so that the first one
/// is left to everything else. Where there are too few for that, no worker is bound: the kernel's
/// scheduler then shares what there is.
pub(crate) fn choose(allowed: &[usize], workers: usize) -> Vec<Option<usize>> {
    if workers >= allowed.len() {
        return vec![None; workers];
    }
    allowed
        .iter()
        .rev()
        .take(workers)
        .copied()
        .map(Some)
        .collect()
}

/// Binds the calling thread to a CPU; a refusal (the cpuset shrank meanwhile) costs speed, not service.
pub(crate) fn bind(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    if let Err(error) = sched_setaffinity(None, &set) {
        tracing::warn!(cpu, %error, "cannot bind a worker to its CPU");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_get_the_last_cpus_that_are_allowed_and_the_first_is_left() {
        let all = [0, 1, 2, 3];
        for (allowed, workers, chosen) in [
            (&all[..], 1, vec![Some(3)]),
            (&all, 3, vec![Some(3), Some(2), Some(1)]),
            // A container on CPUs 8, 9 and 40 of a larger machine.
            (&[8, 9, 40], 1, vec![Some(40)]),
            (&[8, 9, 40], 2, vec![Some(40), Some(9)]),
            // As many workers as CPUs, or more: nobody is bound.
            (&all, 4, vec![None; 4]),
            (&all, 5, vec![None; 5]),
            (&[7], 1, vec![None]),
            (&[7], 2, vec![None; 2]),
            (&[], 2, vec![None; 2]),
        ] {
            assert_eq!(choose(allowed, workers), chosen, "{workers} on {allowed:?}");
        }
    }

    #[test]
    fn a_bound_thread_is_allowed_its_cpu_only() {
        let cpus = allowed();
        assert!(!cpus.is_empty(), "the kernel names the CPUs of this test");
        let last = *cpus.last().expect("not empty");
        let seen = std::thread::spawn(move || {
            bind(last);
            allowed()
        });
        assert_eq!(seen.join().expect("the bound thread"), [last]);
        assert_eq!(allowed(), cpus, "only that thread is bound");
    }
}
