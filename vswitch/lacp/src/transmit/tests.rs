//! The cap, on virtual time.

use super::*;
use vswitch_base::Duration;

/// P-12
#[test]
fn three_leave_in_a_second_and_the_fourth_waits() {
    let mut vars = Variables {
        port_enabled: true,
        lacp_enabled: true,
        ..Variables::default()
    };
    let mut machine = Transmit::default();
    assert!(!machine.run(&mut vars, Instant::ZERO), "no need");
    let mut left = 0;
    for ms in 0..3_000 {
        vars.ntt = true;
        left += u32::from(machine.run(&mut vars, Instant::ZERO + Duration::from_millis(ms)));
    }
    assert_eq!(left, 9);
}

/// P-12
#[test]
fn a_port_that_may_not_speak_has_no_need() {
    for (port_enabled, lacp_enabled) in [(false, true), (true, false), (false, false)] {
        let mut vars = Variables {
            port_enabled,
            lacp_enabled,
            ntt: true,
            ..Variables::default()
        };
        assert!(!Transmit::default().run(&mut vars, Instant::ZERO));
        assert!(!vars.ntt);
    }
}
