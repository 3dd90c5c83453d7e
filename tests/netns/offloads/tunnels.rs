//! Packets in packets: what a pod's VXLAN device makes of a large frame, cut by the kernel and by us.
//!
//! ```text
//!   pod: packet socket ─ vxlan ─ eth0 ─ veth ─ kernel bridge ─ TAP ─ machine
//!   pod: packet socket ─ vxlan ─ eth0 ─ veth ─ vswitchd ────── TAP ─ machine
//! ```
//!
//! The pods are twins, so their kernels make the same frames but for the outer identification, which
//! each network namespace counts for itself.

use super::lane::{DST, Got, SRC, until_marker};
use super::same;
use crate::lab::{Lab, Switch, run, sh};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use vswitch_base::EtherType;
use vswitch_core::frame::{TxFrame, TxHeader, TxList};
use vswitch_core::offload::Finisher;
use vswitch_core::port::TxCaps;
use vswitch_core::testing::{MemFrame, frame, station};
use vswitch_io::wire::{Machine, sender};
use vswitch_io::{NetNs, NicSpec, OpenedPort, open_nic};
use vswitch_tests::packets::checksum;
use vswitch_tests::unfinished::{ACK, CWR, Network, PSH, Unfinished};

/// Only a failing test waits so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Our switch between a pod and a machine.
const SWITCH: &str = "[daemon]\nworkers = 1\n[bridge.br0]\nmtu = 1600\n\
     [port.pod]\nbridge = \"br0\"\nkind = \"nic\"\n[port.out]\nbridge = \"br0\"\nkind = \"nic\"\n";

/// A pod whose VXLAN device is the test's, and the machine that gets what it sends.
struct Pod {
    vxlan: OpenedPort,
    wire: File,
    machine: Machine,
    markers: u32,
}

impl Pod {
    /// A pod behind device `pod` of namespace `switch`, and a TAP `out` there.
    fn new(lab: &mut Lab, switch: &str, vxlan: &str) -> Self {
        let pod = lab.namespace(&format!("pod-{switch}"));
        for ns in [&pod, &lab.ns(switch)] {
            run(&format!(
                "ip netns exec {ns} sysctl -qw net.ipv6.conf.default.router_solicitations=0 \
                 net.ipv6.conf.default.addr_gen_mode=1"
            ));
        }
        lab.veth(switch, "pod", &format!("pod-{switch}"), "eth0");
        let at_switch = NetNs::open(&Path::new("/run/netns").join(lab.ns(switch)));
        let machine = at_switch
            .expect("a namespace")
            .run(|| Machine::open("out", TxCaps::NONE))
            .expect("a TAP");
        run(&format!(
            "ip -n {0} link set out mtu 1600 txqueuelen 4096 up && ip -n {0} link set pod mtu 1600 up",
            lab.ns(switch)
        ));
        run(&format!(
            "ip -n {pod} link set eth0 mtu 1600 address {SRC} up && \
             ip -n {pod} addr add 10.1.0.1/24 dev eth0 && \
             ip -n {pod} addr add fd01::1/64 dev eth0 nodad && \
             ip -n {pod} neigh add 10.1.0.2 lladdr {DST} dev eth0 && \
             ip -n {pod} neigh add fd01::2 lladdr {DST} dev eth0 && \
             ip -n {pod} link add vx type vxlan id 7 dev eth0 dstport 4789 {vxlan} && \
             ip -n {pod} link set vx mtu 1450 up"
        ));
        let open = || {
            let wire = sender("eth0")?;
            Ok((open_nic(&NicSpec::new("vx")).expect("the device"), wire))
        };
        let pod = NetNs::open(&Path::new("/run/netns").join(pod)).expect("a namespace");
        let (vxlan, wire) = pod.run(open).expect("the pod's devices");
        Self {
            vxlan,
            wire: File::from(wire),
            machine,
            markers: 0,
        }
    }

    /// Sends a frame into the tunnel and gives what leaves the switch.
    fn pass(&mut self, inner: &Unfinished) -> Vec<Got> {
        let frame_in = inner.frame();
        let (addresses, rest) = frame_in.bytes.split_first_chunk().expect("addresses");
        let out = TxFrame {
            header: TxHeader::new(addresses),
            rest,
            offload: frame_in.offload,
        };
        let report = self.vxlan.tx[0].send(TxList::all(&[out]));
        assert_eq!((report.sent, report.uncut), (1, false), "{report:?}");
        self.until_marker()
    }

    /// The next `count` frames for the peer that leave the switch: for those that wait on their way, while
    /// a marker would overtake them.
    fn take(&mut self, count: usize) -> Vec<Got> {
        let mut all = Vec::new();
        while all.len() < count {
            let next = self.machine.receive(PATIENCE).expect("a TAP that lives");
            let Some((offload, bytes)) = next else {
                panic!("no more after {all:?}");
            };
            if bytes.starts_with(&DST.0) {
                all.push(Got::new(&offload, bytes));
            }
        }
        all
    }

    /// What leaves the switch before a marker.
    fn until_marker(&mut self) -> Vec<Got> {
        self.markers += 1;
        let mut marker = frame(super::lane::MARKER, SRC, &[], EtherType(0x88b5), 70);
        marker.extend(self.markers.to_be_bytes());
        self.wire.write_all(&marker).expect("a marker");
        let (got, marked) = until_marker(&mut self.machine, self.markers, PATIENCE);
        assert!(marked, "no marker after {got:?}");
        // What the pod's stack says of itself goes to others.
        let to_peer = |got: &Got| got.bytes.starts_with(&DST.0);
        got.into_iter().filter(to_peer).collect()
    }
}

/// The kernel's switch and ours, each with its pod.
fn twins(lab: &mut Lab, vxlan: &str) -> (Pod, Pod, Switch) {
    let kernel = lab.namespace("kernel");
    lab.namespace("switch");
    let by_kernel = Pod::new(lab, "kernel", vxlan);
    sh(&format!(
        "ip netns exec {kernel} sysctl -qw net.bridge.bridge-nf-call-iptables=0 \
         net.bridge.bridge-nf-call-ip6tables=0"
    ));
    run(&format!(
        "ip -n {kernel} link add br0 type bridge mcast_snooping 0 && \
         ip -n {kernel} link set pod master br0 && ip -n {kernel} link set out master br0 && \
         ip -n {kernel} link set br0 up"
    ));
    let by_us = Pod::new(lab, "switch", vxlan);
    let switch = lab.switch("switch", SWITCH);
    (by_kernel, by_us, switch)
}

/// Sets the outer identification to how many segments were before, and the sum that it changes to zero,
/// after looking at it.
fn without_base(mut frames: Vec<Got>) -> Vec<Got> {
    let mut base = None;
    for Got { bytes, .. } in &mut frames {
        if bytes[12..14] != [8, 0] {
            continue;
        }
        let ip = &mut bytes[14..34];
        assert_eq!(checksum(ip, 0), 0, "the outer header's checksum");
        let id = u16::from_be_bytes([ip[4], ip[5]]);
        let counted = id.wrapping_sub(*base.get_or_insert(id));
        ip[4..6].copy_from_slice(&counted.to_be_bytes());
        ip[10..12].fill(0);
    }
    frames
}

/// I-02
#[test]
fn frames_in_a_tunnel_are_cut_as_the_kernel_does() {
    for vxlan in [
        "local 10.1.0.1 remote 10.1.0.2",
        "local 10.1.0.1 remote 10.1.0.2 udpcsum",
        "local fd01::1 remote fd01::2",
    ] {
        let mut lab = Lab::new();
        let (mut by_kernel, mut by_us, switch) = twins(&mut lab, vxlan);
        let (dst, src) = (station(0x1d), station(0x15));
        for payload in [1_399, 1_400, 5_000, 60_001] {
            for frame in [
                Unfinished::tcp4(dst, src, payload, Some(1_398)),
                super::with(
                    Unfinished::tcp6(dst, src, payload, Some(1_366)),
                    ACK | PSH | CWR,
                    &[1; 12],
                ),
                Unfinished::tcp4(dst, src, 700, None),
            ] {
                let expected = without_base(by_kernel.pass(&frame));
                let got = without_base(by_us.pass(&frame));
                same(&expected, &got, || format!("vxlan {vxlan}: {frame:?}"));
                assert!(!got.is_empty(), "vxlan {vxlan}: {frame:?} is lost");
                assert!(got.iter().all(|got| got.sum.is_none() && got.gso.is_none()));
            }
        }
        switch.assert_conserved();
    }
}

/// I-02: what generic receive offload puts together out of a tunnel is taken apart again, unchanged.
#[test]
fn what_a_port_s_receive_offload_joins_leaves_as_it_came() {
    let mut lab = Lab::new();
    lab.namespace("switch");
    let mut pod = Pod::new(&mut lab, "switch", "local 10.1.0.1 remote 10.1.0.2");
    let switch = lab.switch("switch", SWITCH);
    // A veth joins only what comes from a device that does not cut; across polls, because each frame of
    // a sender on this CPU would be a poll of its own.
    run(&format!(
        "ip netns exec {} ethtool -K eth0 tso off",
        lab.ns("pod-switch")
    ));
    run(&format!(
        "ip netns exec {} sh -c 'echo 20000000 > /sys/class/net/pod/gro_flush_timeout'",
        lab.ns("switch")
    ));
    let netns = NetNs::open(&Path::new("/run/netns").join(lab.ns("pod-switch")));
    let eth0 = netns
        .expect("a namespace")
        .run(|| Ok(open_nic(&NicSpec::new("eth0")).expect("the device")));
    let mut eth0 = eth0.expect("the namespace");
    for inner in [
        Unfinished::tcp4(DST, SRC, 20 * 1_400, Some(1_400)),
        Unfinished::tcp6(DST, SRC, 20 * 1_400, Some(1_400)),
    ] {
        let whole = in_ip(&inner);
        let (addresses, rest) = whole.bytes.split_first_chunk().expect("addresses");
        let whole = TxFrame {
            header: TxHeader::new(addresses),
            rest,
            offload: whole.offload,
        };
        let mut finisher = Finisher::new();
        let segments = finisher.finish(&whole, TxCaps::NONE).expect("a tunnel");
        let segments: Vec<TxFrame<'_>> = segments.collect();
        let before = switch.frames_in("pod");
        let report = eth0.tx[0].send(TxList::all(&segments));
        assert_eq!(report.sent, 20);
        let got = pod.take(20);
        let sent: Vec<Got> = segments
            .iter()
            .map(|s| Got::new(&s.offload, &[s.header.as_slice(), s.rest].concat()))
            .collect();
        same(&sent, &got, || format!("{inner:?}"));
        let joined = switch.frames_in("pod") - before;
        assert!(joined < 15, "nothing was joined: {joined} frames came in");
    }
}

/// An IP packet in IPv4, with the offload header that receive offload would give it.
fn in_ip(inner: &Unfinished) -> MemFrame {
    let frame = inner.frame();
    let packet = &frame.bytes[inner.l3()..];
    let protocol = match inner.network {
        Network::V4 { .. } => 4,
        Network::V6 { .. } => 41,
    };
    let mut bytes = [&frame.bytes[..12], &[8, 0, 0x45, 0]].concat();
    bytes.extend(
        u16::try_from(20 + packet.len())
            .expect("an IP packet")
            .to_be_bytes(),
    );
    bytes.extend([0, 9, 0x40, 0, 64, protocol, 0, 0, 10, 1, 0, 1, 10, 1, 0, 2]);
    let sum = checksum(&bytes[14..], 0).to_be_bytes();
    bytes[24..26].copy_from_slice(&sum);
    bytes.extend(packet);
    let mut offload = frame.offload;
    offload.csum_start += 20;
    MemFrame {
        bytes,
        stripped: None,
        offload,
    }
}

/// I-02: TCP with default offloads in a pod's tunnel, to another pod's, over veth and TAP.
#[test]
fn tcp_passes_in_a_tunnel() {
    let mut lab = Lab::new();
    for ns in ["sw", "a", "b", "c"] {
        lab.namespace(ns);
    }
    lab.veth("sw", "pa", "a", "eth0");
    lab.veth("sw", "pb", "b", "eth0");
    let c = lab.ns("c");
    let nic = |port: &str| format!("[port.{port}]\nbridge = \"br0\"\nkind = \"nic\"\n");
    let switch = lab.switch(
        "sw",
        &format!(
            "[bridge.br0]\nmtu = 1600\n{}{}[port.pc]\nbridge = \"br0\"\nkind = \"tap\"\nnetns = \"{c}\"\n",
            nic("pa"),
            nic("pb")
        ),
    );
    for (number, (host, dev)) in (1..).zip([("a", "eth0"), ("b", "eth0"), ("c", "pc")]) {
        lab.address(host, dev, number, 1_600);
        let ns = lab.ns(host);
        run(&format!(
            "ip -n {ns} link add vx type vxlan id 7 dev {dev} dstport 4789 group 239.1.1.1 && \
             ip -n {ns} addr add 10.2.0.{number}/24 dev vx && ip -n {ns} link set vx mtu 1500 up"
        ));
    }
    lab.wait_ping("a", "10.2.0.2");
    lab.wait_ping("a", "10.2.0.3");
    for (client, server, address) in [
        ("a", "b", "10.2.0.2"),
        ("a", "c", "10.2.0.3"),
        ("c", "a", "10.2.0.1"),
    ] {
        let tcp = lab.tcp(client, server, address);
        assert!(tcp.is_healthy(), "{client} to {address}: {tcp:?}");
    }
    switch.assert_conserved();
}
