//! Forwarding threads of a real daemon: how many, and how they wait.

use crate::lab::{Daemon, eventually};
use serde_json::json;
use vswitch_core::testing::station;
use vswitch_tests::{broadcast, plain};

/// B-02: with one worker and with more than this machine has CPUs, waiting in each of the three ways, by a
/// clock that runs: every frame put on a wire is forwarded, and all workers know what one of them learned.
#[test]
fn frames_are_forwarded_however_many_workers_wait_however() {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let ports: Vec<String> = (1..=6).map(|n| format!("p{n}")).collect();
    for poll in ["adaptive", "sleep", "busy"] {
        for workers in [1, cpus + 2] {
            let mut config = format!(
                "[daemon]\nworkers = {workers}\npoll = \"{poll}\"\nrebalance_interval = \"100ms\"\n\
                 [bridge.br0]\n"
            );
            for port in &ports {
                config += &format!("[port.{port}]\nbridge = \"br0\"\nkind = \"mem\"\n");
            }
            let daemon = Daemon::with_args(&config, &["--enable-mem-ports"]);
            for (number, port) in (1..).zip(&ports) {
                daemon.put(port, &broadcast(station(number)));
            }
            for port in &ports {
                assert_eq!(
                    daemon.take(port).len(),
                    ports.len() - 1,
                    "{poll}, {workers}"
                );
            }
            for (number, port) in (1..).zip(&ports) {
                let next = number % 6 + 1;
                let frame = plain(station(next), station(number));
                daemon.put_all(port, &vec![frame.clone(); 100]);
                let to = &ports[usize::try_from(next - 1).expect("small")];
                assert_eq!(
                    daemon.take(to),
                    vec![frame; 100],
                    "{poll}, {workers}: {port} to {to}"
                );
            }
            daemon.assert_conserved();
            let info = || daemon.call("Daemon.GetInfo", json!({}))["workers"].take();
            assert_eq!(info().as_array().map(Vec::len), Some(workers));
            // A worker notes its breath a moment after the wire is idle.
            eventually("all frames are counted", || {
                let told = info();
                let told = told.as_array().expect("workers").iter();
                told.filter_map(|w| w["frames"].as_u64()).sum::<u64>() == 606
            });
        }
    }
}
