//! What a daemon says of itself: how long it runs.

use crate::lab::Daemon;
use serde_json::json;
use std::time::Instant;

/// The clock of the daemon begins a second before the daemon does.
#[test]
fn the_uptime_is_that_of_the_daemon() {
    let before = Instant::now();
    let daemon = Daemon::start();
    let uptimes = || {
        ["Daemon.GetInfo", "Switch.GetHealth"].map(|method| {
            let reply = daemon.call(method, json!({}));
            reply["uptimeSeconds"].as_u64().expect("a number")
        })
    };
    let [info, health] = uptimes();
    assert_eq!(info, health);
    assert!(info <= before.elapsed().as_secs(), "{info}");
    daemon.warp(5_000);
    assert_eq!(uptimes(), [info + 5; 2]);
}
