//! A thousand ports on one bridge: attach, forward, flood, go away.

use crate::{access, lan};
use vswitch_base::PortIndex;
use vswitch_core::testing::station;
use vswitch_tests::{broadcast, hear, plain, ports_reached};

const PORTS: u16 = 1_000;

/// B-16
#[test]
fn a_thousand_ports_attach_forward_flood_and_go_away() {
    let mut switch = lan(0);
    for number in 1..=PORTS {
        switch.add(number, access(number));
    }
    for number in 1..=PORTS {
        hear(&mut switch, number, number.into());
    }
    assert_eq!(switch.fdb(0).stats().entries, u32::from(PORTS));
    for number in 1..=PORTS {
        let to = number % PORTS + 1;
        let frame = plain(station(to.into()), station(number.into()));
        assert_eq!(ports_reached(&mut switch, number, frame), [to]);
    }
    let flooded = ports_reached(&mut switch, 500, broadcast(station(500)));
    assert!(flooded.into_iter().eq((1..=PORTS).filter(|n| *n != 500)));

    for number in 1..PORTS {
        switch.remove(number);
    }
    let snapshot = switch.snapshot();
    assert_eq!(
        snapshot.ports().map(|(i, _)| i).collect::<Vec<_>>(),
        [PortIndex(PORTS)]
    );
    let left = switch
        .fdb(0)
        .sweep(switch.now.as_secs_u32(), None, |port, epoch| {
            snapshot.port(port).is_some_and(|p| p.epoch == epoch)
        });
    assert_eq!(
        left,
        usize::from(PORTS) - 1,
        "addresses go with their ports"
    );
}
