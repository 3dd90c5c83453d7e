//! The table under a scheduler that tries the bad moments (shuttle, PCT). Run by
//! `scripts/schedule-tests.sh`, which also demands that they fail on the mutants named here.

use super::*;
use crate::sync::Arc;

const RUNS: usize = 5_000;

fn source(port: u16) -> Source {
    Source {
        port: PortIndex(port),
        epoch: 0,
        mac_limit: u32::MAX,
    }
}

fn mac(number: u64) -> MacAddr {
    MacAddr::from_u64(0x0200_0000_0000 | number)
}

/// B-02: workers learn together without waiting. Kills the mutant `no_second_look`.
#[test]
fn schedule_two_workers_learn_one_address_once() {
    let body = || {
        let fdb = Arc::new(Fdb::new(1, 7));
        let other = Arc::clone(&fdb);
        let second = shuttle::thread::spawn(move || {
            other.learn(None, mac(1), source(2), 1, |_, _| true);
        });
        fdb.learn(None, mac(1), source(1), 1, |_, _| true);
        second.join().unwrap();
        assert_eq!(fdb.stats().entries, 1);
        assert_eq!(fdb.stats().evicted, 0);
        assert_eq!(fdb.entries().count(), 1);
    };
    crate::sync::explore(body, RUNS);
}

/// B-02: a look-up without a lock is never wrong. Kills the mutant `no_reuse_check`.
#[test]
fn schedule_a_reused_slot_never_answers_for_another_address() {
    let body = || {
        let fdb = Arc::new(Fdb::new(1, 7));
        fdb.learn(None, mac(1), source(1), 1, |_, _| true);
        let other = Arc::clone(&fdb);
        let writer = shuttle::thread::spawn(move || {
            other.remove(None, mac(1));
            other.learn(None, mac(2), source(2), 1, |_, _| true);
        });
        let port = fdb.find(None, mac(1)).map(|hit| hit.port.0);
        assert!(matches!(port, None | Some(1)), "{port:?}");
        writer.join().unwrap();
    };
    crate::sync::explore(body, RUNS);
}
