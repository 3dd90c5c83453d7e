//! ns per hash of a frame by each policy: a plain TCP frame, and what the `encap` policies open.

use std::hint::black_box;
use vswitch_base::flow::{HashPolicy, hash};
use vswitch_benches::measure;

/// An IPv4 packet of this protocol without options.
fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = [
        0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
    ];
    [&header[..], payload].concat()
}

fn ethernet(kind: u16, payload: &[u8]) -> Vec<u8> {
    let addresses = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    [&addresses[..], &kind.to_be_bytes(), payload].concat()
}

fn main() {
    let tcp = ipv4(
        6,
        &[0x9c, 0x40, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x10, 0, 0],
    );
    let v6 = [&[0x60, 0, 0, 0, 0, 16, 6, 64][..], &[7; 32], &tcp[20..]].concat();
    let gre = ipv4(
        47,
        &[&[0, 0, 0x65, 0x58][..], &ethernet(0x0800, &tcp)].concat(),
    );
    let plain = ethernet(0x0800, &tcp);
    let frames = [
        ("TCP", plain.clone()),
        (
            "tagged TCP",
            ethernet(0x8100, &[&[0, 10][..], &plain[12..]].concat()),
        ),
        ("TCP over IPv6", ethernet(0x86dd, &v6)),
        ("TCP in Ethernet in GRE", ethernet(0x0800, &gre)),
    ];
    for (name, frame) in &frames {
        for policy in HashPolicy::ALL {
            measure(&format!("{policy}, {name}"), 1, true, || {
                black_box(hash(black_box(policy), black_box(frame), None, 0));
            });
        }
    }
}
