//! Requests that no stack makes: offload headers that contradict their frame or ask for too much.
//!
//! A guest may write anything before a frame. Each [`Hostile`] is one way of lying, or of being odd
//! without lying, with a name for failure messages.

use crate::unfinished::{Network, Transport, Unfinished};
use vswitch_base::{MacAddr, Tag, Tci, Tpid};
use vswitch_core::frame::VnetHdr;
use vswitch_core::testing::{MemFrame, dot1q};

/// One hostile frame.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// What is wrong with it.
    pub name: &'static str,
    /// The frame, from the destination address on, without a VLAN's tag.
    pub frame: MemFrame,
}

/// Payload of the frames that are to be cut.
const PAYLOAD: usize = 5_000;
/// And of their segments.
const MSS: u16 = 1_400;

/// Every kind, from `src` to `dst`.
#[must_use]
pub fn all(dst: MacAddr, src: MacAddr) -> Vec<Hostile> {
    let v4 = Unfinished::tcp4(dst, src, PAYLOAD, Some(MSS));
    let v6 = Unfinished::tcp6(dst, src, PAYLOAD, Some(MSS));
    let whole = Unfinished::tcp4(dst, src, 500, None);
    let mut list = List(Vec::new());
    checksum_places(&mut list, &v4, &whole);
    types_and_sizes(&mut list, &v4, &v6);
    packets(&mut list, &v4, &v6, &whole);
    extensions(&mut list, &v6);
    tags(&mut list, &v4);
    list.0
}

/// UDP to be cut into IP fragments, which old guests ask for: not in [`all`], since the kernel stops a
/// receive ring at it.
#[must_use]
pub fn fragments(dst: MacAddr, src: MacAddr) -> MemFrame {
    let udp = Unfinished::tcp4(dst, src, PAYLOAD, Some(1_480)).udp();
    let mut frame = udp.frame();
    frame.offload.gso_type = VnetHdr::GSO_UDP;
    frame
}

struct List(Vec<Hostile>);

impl List {
    /// `base` with a change of its header.
    fn header(&mut self, name: &'static str, base: &Unfinished, change: impl Fn(&mut VnetHdr)) {
        let mut frame = base.frame();
        change(&mut frame.offload);
        self.0.push(Hostile { name, frame });
    }

    /// `base` with a change of its bytes; places count from the network header.
    fn bytes(&mut self, name: &'static str, base: &Unfinished, change: impl Fn(&mut [u8])) {
        let mut frame = base.frame();
        change(&mut frame.bytes[base.l3()..]);
        self.0.push(Hostile { name, frame });
    }

    /// `base`, cut off.
    fn shorter(&mut self, name: &'static str, base: &Unfinished, len: usize) {
        let mut frame = base.frame();
        frame.bytes.truncate(len);
        self.0.push(Hostile { name, frame });
    }

    fn frame(&mut self, name: &'static str, frame: &Unfinished) {
        let frame = frame.frame();
        self.0.push(Hostile { name, frame });
    }
}

fn checksum_places(list: &mut List, v4: &Unfinished, whole: &Unfinished) {
    let len = u16::try_from(whole.frame().bytes.len()).expect("a short frame");
    list.header("sum behind the frame", whole, |o| o.csum_start = len + 40);
    list.header("sum at the end of the frame", whole, |o| o.csum_start = len);
    list.header("sum stored behind the frame", whole, |o| {
        o.csum_offset = len;
    });
    list.header("sum in the last byte", whole, |o| {
        o.csum_start = len - 17;
    });
    list.header("sum of the addresses", whole, |o| o.csum_start = 0);
    list.header("sum starts with the EtherType", whole, |o| {
        o.csum_start = 12;
    });
    list.header("sum as far as 16 bits go", whole, |o| {
        o.csum_start = u16::MAX;
        o.csum_offset = u16::MAX;
    });
    list.header("sum of the payload", whole, |o| {
        o.csum_start = 100;
        o.csum_offset = 20;
    });
    list.header("cut, sum starts two bytes on", v4, |o| o.csum_start += 2);
    list.header("cut, sum stored elsewhere", v4, |o| o.csum_offset = 6);
    list.header("cut, nothing to sum", v4, |o| o.flags = 0);
    list.header("cut, sum said to be right", v4, |o| {
        o.flags = VnetHdr::DATA_VALID;
    });
}

fn types_and_sizes(list: &mut List, v4: &Unfinished, v6: &Unfinished) {
    let udp = v4.clone().udp();
    list.header("segments of nothing", v4, |o| o.gso_size = 0);
    list.header("segments of a byte", v4, |o| o.gso_size = 1);
    list.header("segments of 64 KB", v4, |o| o.gso_size = u16::MAX);
    list.header("TCPv6 on IPv4", v4, |o| o.gso_type = VnetHdr::GSO_TCPV6);
    list.header("TCPv4 on IPv6", v6, |o| o.gso_type = VnetHdr::GSO_TCPV4);
    list.header("UDP on TCP", v4, |o| o.gso_type = VnetHdr::GSO_UDP_L4);
    list.header("TCP on UDP", &udp, |o| o.gso_type = VnetHdr::GSO_TCPV4);
    list.header("type 2", v4, |o| o.gso_type = 2);
    list.header("type 127", v4, |o| o.gso_type = 127);
    list.header("ECN alone", v4, |o| o.gso_type = VnetHdr::GSO_ECN);
    list.header("ECN with UDP", &udp, |o| o.gso_type |= VnetHdr::GSO_ECN);
    list.header("headers of no length", v4, |o| o.hdr_len = 0);
    list.header("headers of 7 bytes", v4, |o| o.hdr_len = 7);
    list.header("headers as long as the frame", v4, |o| {
        o.hdr_len = 54 + 5_000;
    });
    list.header("headers longer than the frame", v4, |o| o.hdr_len = 9_000);
    let many = |base: &Unfinished, count: usize| Unfinished {
        payload: vec![7; count],
        mss: Some(1),
        ..base.clone()
    };
    list.frame("129 datagrams", &many(&udp, 129));
    list.frame("1,366 segments", &many(v4, 1_366));
}

fn packets(list: &mut List, v4: &Unfinished, v6: &Unfinished, whole: &Unfinished) {
    let udp = v4.clone().udp();
    list.bytes("TCP header of 16 bytes", v4, |ip| ip[20 + 12] = 0x40);
    list.bytes("IP header of 16 bytes", v4, |ip| ip[0] = 0x44);
    list.bytes("IP header of 60 bytes", v4, |ip| ip[0] = 0x4f);
    list.bytes("IP version 5", v4, |ip| ip[0] = 0x55);
    list.shorter("frame ends in its TCP header", v4, 50);
    list.shorter("frame ends in its IP header", v4, 30);
    list.shorter("frame ends in its EtherType", v4, 13);
    list.bytes("first fragment", v4, |ip| ip[6] = 0x20);
    list.bytes("later fragment", v4, |ip| ip[7] = 1);
    list.bytes("IP of no length", v4, |ip| ip[2..4].fill(0));
    list.bytes("IP longer than its frame", v4, |ip| ip[2..4].fill(0xff));
    list.bytes("UDP of no length", &udp, |ip| ip[24..26].fill(0));
    list.bytes("UDP longer than its frame", &udp, |ip| {
        ip[24..26].fill(0xff);
    });
    list.bytes("ICMP to be cut as TCP", v4, |ip| ip[9] = 1);
    list.bytes("IPv6 of no length", v6, |ip| ip[4..6].fill(0));
    let mut arp = v4.frame();
    arp.bytes[12..14].copy_from_slice(&[8, 6]);
    list.0.push(Hostile {
        name: "ARP to be cut",
        frame: arp,
    });
    // TCP options make Linux call one segment two; it then finds one and drops it.
    list.frame(
        "one segment, and options",
        &Unfinished {
            payload: vec![7; usize::from(MSS)],
            transport: Transport::Tcp {
                sequence: 1,
                reserved: 0,
                flags: 0x10,
                options: vec![1; 12],
            },
            ..v4.clone()
        },
    );
    let mut sctp = whole.frame();
    sctp.bytes[14 + 9] = 132;
    sctp.offload.csum_offset = 8;
    list.0.push(Hostile {
        name: "SCTP to be summed",
        frame: sctp,
    });
}

fn extensions(list: &mut List, v6: &Unfinished) {
    let with = |extensions: Vec<(u8, Vec<u8>)>| Unfinished {
        network: Network::V6 {
            flow: 0,
            extensions,
        },
        ..v6.clone()
    };
    // A PadN option fills the header.
    let options = |number: u8| (number, vec![0, 1, 4, 0, 0, 0, 0]);
    list.frame("7 extension headers", &with(vec![options(60); 7]));
    list.frame("8 extension headers", &with(vec![options(60); 8]));
    list.frame("100 extension headers", &with(vec![options(60); 100]));
    list.frame("hop-by-hop options twice", &with(vec![options(0); 2]));
    list.frame("fragment header", &with(vec![(44, vec![0; 7])]));
    list.frame(
        "jumbo payload",
        &with(vec![(0, vec![0, 0xc2, 4, 0, 1, 0, 0])]),
    );
    let mut endless = with(vec![options(60)]).frame();
    endless.bytes[14 + 40] = 60;
    endless.bytes[14 + 40 + 1] = 255;
    list.0.push(Hostile {
        name: "extension header longer than what is behind it",
        frame: endless,
    });
    let mut nothing = with(vec![options(60)]).frame();
    nothing.bytes[14 + 40] = 59;
    list.0.push(Hostile {
        name: "no next header",
        frame: nothing,
    });
}

fn tags(list: &mut List, v4: &Unfinished) {
    let service = Tag {
        tpid: Tpid::Dot1ad,
        tci: Tci(5),
    };
    let with = |tags: Vec<Tag>| Unfinished { tags, ..v4.clone() };
    list.frame("3 tags", &with(vec![service, dot1q(6), dot1q(7)]));
    list.frame("6 tags", &with(vec![service; 6]));
    list.frame("7 tags", &with(vec![service; 7]));
    list.frame("8 tags", &with(vec![service; 8]));
    list.frame("9 tags", &with(vec![service; 9]));
    list.frame("20 tags", &with(vec![service; 20]));
}
