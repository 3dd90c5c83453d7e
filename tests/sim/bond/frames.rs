//! The frames that a kernel bond was asked about, made from a seed.
//!
//! The twin of `scripts/oracle/bond_frames.py`: byte for byte the same frames, which [`digest`] proves
//! against the recorded one. Draws are made in the order of the lines: a change here is a change there,
//! and calls for recording anew.

const SEED: u64 = 0x0076_7377_6974_6368;
const LENGTH_MAX: usize = 1514;
const DEPTH_MAX: u32 = 3;

const ICMP_TYPES: [u8; 10] = [0, 3, 4, 5, 8, 11, 12, 13, 14, 17];
const ICMPV6_TYPES: [u8; 10] = [1, 2, 3, 4, 128, 129, 133, 135, 136, 3];
const PORTED: [u8; 7] = [6, 17, 33, 50, 51, 132, 136];
const GRE_FLAGS: [u16; 10] = [
    0x0000, 0x2000, 0x8000, 0xb000, 0x1000, 0x3001, 0x3081, 0x4000, 0x0002, 0x0001,
];
const GRE_KINDS: [u16; 7] = [0x0800, 0x86dd, 0x6558, 0x880b, 0x8847, 0x88be, 0x8100];
const KNOWN: [u16; 8] = [
    0x88ca, 0x8906, 0x4305, 0x88f7, 0x88fb, 0x892f, 0x8035, 0x8847,
];

/// Knuth's 64-bit linear congruential generator; the upper half is the draw.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        u32::try_from(self.0 >> 32).unwrap()
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.draw() % bound
    }

    fn byte_below(&mut self, bound: u32) -> u8 {
        u8::try_from(self.below(bound)).unwrap()
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.draw().to_le_bytes()[0]).collect()
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        let at = self.below(u32::try_from(choices.len()).unwrap());
        choices[at as usize]
    }
}

/// The first `count` frames.
pub(super) fn corpus(count: usize) -> Vec<Vec<u8>> {
    let mut random = Random(SEED);
    (0..count).map(|_| frame(&mut random)).collect()
}

/// What a bond in mode balance-rr was asked about: the first 480 frames, an IGMP report after each sixteen,
/// every other one tagged.
pub(super) fn turns(frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let addresses = [1, 0, 0x5e, 0, 0, 0x16, 2, 0, 0, 0, 0, 1];
    let header = [0x46, 0xc0, 0, 40, 0, 0, 0x40, 0, 1, 2];
    let mut chosen = Vec::new();
    for (at, frame) in frames.iter().take(480).enumerate() {
        chosen.push(frame.clone());
        let kind: &[u8] = match at % 32 {
            15 => &[8, 0],
            31 => &[0x81, 0, 0, 5, 8, 0],
            _ => continue,
        };
        chosen.push(join(&[&addresses, kind, &header, &[0; 30]]));
    }
    chosen
}

/// 64-bit FNV-1a over all frames, each with its length before it.
pub(super) fn digest(frames: &[Vec<u8>]) -> u64 {
    let step = |value: u64, byte: &u8| (value ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    frames.iter().fold(0xcbf2_9ce4_8422_2325, |value, frame| {
        let len = u16::try_from(frame.len()).unwrap().to_be_bytes();
        len.iter().chain(frame).fold(value, step)
    })
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn frame(random: &mut Random) -> Vec<u8> {
    let first = random.pick(&[0x02, 0x02, 0x02, 0x33]);
    let destination = random.bytes(5);
    let source = random.bytes(5);
    let (mut kind, mut payload) = random_packet(random, 0);
    let tags = random.below(8);
    if matches!(tags, 1 | 3) {
        (kind, payload) = tagged(random, 0x8100, kind, &payload);
    }
    if tags == 2 {
        (kind, payload) = tagged(random, 0x88a8, kind, &payload);
    }
    if tags == 3 {
        let tpid = random.pick(&[0x8100, 0x88a8]);
        (kind, payload) = tagged(random, tpid, kind, &payload);
    }
    let kind = kind.to_be_bytes();
    let mut whole = join(&[&[first], &destination, &[0x02], &source, &kind, &payload]);
    whole.truncate(LENGTH_MAX);
    if random.one_in(8) {
        let most = u32::try_from(whole.len() - 13).unwrap();
        whole.truncate(14 + random.below(most) as usize);
    }
    whole
}

fn tagged(random: &mut Random, tpid: u16, kind: u16, payload: &[u8]) -> (u16, Vec<u8>) {
    let tci = random.bytes(2);
    (tpid, join(&[&tci, &kind.to_be_bytes(), payload]))
}

/// An EtherType and what follows it.
fn random_packet(random: &mut Random, depth: u32) -> (u16, Vec<u8>) {
    let choice = random.below(20);
    if depth > DEPTH_MAX {
        return (0x0800, random.bytes(24));
    }
    match choice {
        0..8 => (0x0800, ipv4(random, depth)),
        8..13 => (0x86dd, ipv6(random, depth)),
        13 => (
            0x0806,
            join(&[&[0, 1, 8, 0, 6, 4, 0, 1], &random.bytes(20)]),
        ),
        14 => {
            let count = random.below(3) as usize + 1;
            let labels = random.bytes(4 * count);
            (0x8847, join(&[&labels, &ipv4(random, depth + 1)]))
        }
        15 => (0x8864, pppoe(random, depth)),
        16 => known(random, depth),
        17 => {
            let length = random.below(0x600);
            (u16::try_from(length).unwrap(), random.bytes(46))
        }
        18 => {
            let (kind, payload) = random_packet(random, depth + 1);
            let tpid = random.pick(&[0x8100, 0x88a8]);
            tagged(random, tpid, kind, &payload)
        }
        _ => {
            let kind = 0x9000 + random.below(0x100);
            (u16::try_from(kind).unwrap(), random.bytes(46))
        }
    }
}

/// Mostly whole and plain, sometimes a fragment, with options or a lie in its length.
fn ipv4(random: &mut Random, depth: u32) -> Vec<u8> {
    let mut words = 5;
    if random.one_in(8) {
        words = random.byte_below(16);
    }
    let fragment = match random.below(10) {
        0 => 0x2000,
        1 => u16::try_from(random.below(0x1fff) + 1).unwrap(),
        2 => 0x4000,
        _ => 0,
    };
    let (protocol, payload) = transport(random, false, depth);
    let addresses = random.bytes(8);
    let options = random.bytes(usize::from(4 * words.saturating_sub(5)));
    join(&[
        &[0x40 | words, 0, 2, 0, 0, 1],
        &fragment.to_be_bytes(),
        &[64, protocol, 0, 0],
        &addresses,
        &options,
        &payload,
    ])
}

fn ipv6(random: &mut Random, depth: u32) -> Vec<u8> {
    let label = random.bytes(3);
    let (mut protocol, mut payload) = transport(random, true, depth);
    if random.one_in(4) {
        for _ in 0..=random.below(3) {
            let header = random.pick(&[0, 43, 60, 44]);
            (protocol, payload) = extended(random, header, protocol, &payload);
        }
    } else if random.one_in(20) {
        for _ in 0..random.below(8) + 10 {
            (protocol, payload) = extended(random, 60, protocol, &payload);
        }
    }
    let addresses = random.bytes(32);
    join(&[&[0x60], &label, &[2, 0, protocol, 64], &addresses, &payload])
}

/// A packet behind an extension header.
fn extended(random: &mut Random, header: u8, protocol: u8, payload: &[u8]) -> (u8, Vec<u8>) {
    let units = u8::from(header != 44 && random.one_in(4));
    let mut content = random.bytes(6 + 8 * usize::from(units));
    if header == 44 && random.one_in(2) {
        content = vec![0; 6];
    }
    (header, join(&[&[protocol, units], &content, payload]))
}

/// A protocol's number and its packet.
fn transport(random: &mut Random, v6: bool, depth: u32) -> (u8, Vec<u8>) {
    let choice = random.below(24);
    match choice {
        0..8 => return (random.pick(&[6, 17]), random.bytes(20)),
        8..11 => return (random.pick(&PORTED), random.bytes(16)),
        11..14 => return icmp(random, v6, depth),
        14 => return (random.byte_below(256), random.bytes(20)),
        15 => {
            let ethernet = random.bytes(14);
            let inside = ipv4(random, depth + 1);
            let source = random.bytes(2);
            let rest = random.bytes(12);
            let vxlan = 4789u16.to_be_bytes();
            return (17, join(&[&source, &vxlan, &rest, &ethernet, &inside]));
        }
        16..19 => return (47, gre(random, depth)),
        19 => {
            let label = random.bytes(4);
            return (137, join(&[&label, &ipv4(random, depth + 1)]));
        }
        20 if random.one_in(8) => {
            let mut packet = ipv4(random, DEPTH_MAX + 1);
            for _ in 0..random.below(8) + 10 {
                let addresses = random.bytes(8);
                let head = [0x45, 0, 2, 0, 0, 1, 0, 0, 64, 4, 0, 0];
                packet = join(&[&head, &addresses, &packet]);
            }
            return (4, packet);
        }
        _ => {}
    }
    if depth >= DEPTH_MAX {
        (17, random.bytes(8))
    } else if choice < 22 {
        (4, ipv4(random, depth + 1))
    } else {
        (41, ipv6(random, depth + 1))
    }
}

fn ip(random: &mut Random, v6: bool, depth: u32) -> Vec<u8> {
    if v6 {
        ipv6(random, depth)
    } else {
        ipv4(random, depth)
    }
}

/// Of a type that has an identifier, tells of another packet, or neither.
fn icmp(random: &mut Random, v6: bool, depth: u32) -> (u8, Vec<u8>) {
    let mut protocol = if v6 { 58 } else { 1 };
    if random.one_in(16) {
        protocol = 59 - protocol;
    }
    let mut kind = random.pick(if v6 { &ICMPV6_TYPES } else { &ICMP_TYPES });
    if random.one_in(8) {
        kind = random.byte_below(256);
    }
    let code = random.byte_below(4);
    let checksum = random.bytes(2);
    let rest = if random.one_in(8) {
        vec![0; 4]
    } else {
        random.bytes(4)
    };
    let told = if depth >= DEPTH_MAX || random.one_in(4) {
        random.bytes(8)
    } else {
        ip(random, v6, depth + 1)
    };
    (protocol, join(&[&[kind, code], &checksum, &rest, &told]))
}

/// Of versions 0 to 2, with and without optional fields, around most things.
fn gre(random: &mut Random, depth: u32) -> Vec<u8> {
    let mut flags = 0u16;
    if random.one_in(2) {
        flags = random.pick(&GRE_FLAGS);
    }
    let mut kind = random.pick(&GRE_KINDS);
    if flags & 7 == 1 && !random.one_in(4) {
        kind = 0x880b;
    }
    let present = [0x8000, 0x2000, 0x1000, 0x0081];
    let fields = present.iter().filter(|flag| flags & **flag == **flag);
    let fields = random.bytes(4 * fields.count());
    let head = join(&[&flags.to_be_bytes(), &kind.to_be_bytes(), &fields]);
    if depth >= DEPTH_MAX {
        return join(&[&head, &random.bytes(30)]);
    }
    match kind {
        0x6558 => {
            let addresses = random.bytes(12);
            let (inner, payload) = random_packet(random, depth + 1);
            join(&[&head, &addresses, &inner.to_be_bytes(), &payload])
        }
        0x880b => {
            let number = random.pick(&[0x21u16, 0x57, 0xc021]);
            let inner = ip(random, number == 0x57, depth + 1);
            join(&[&head, &[0xff, 0x03], &number.to_be_bytes(), &inner])
        }
        0x8100 => {
            let (inner, payload) = random_packet(random, depth + 1);
            let tci = random.bytes(2);
            join(&[&head, &tci, &inner.to_be_bytes(), &payload])
        }
        _ => join(&[&head, &ip(random, kind == 0x86dd, depth + 1)]),
    }
}

/// A session's packet, now and then a wrong one.
fn pppoe(random: &mut Random, depth: u32) -> Vec<u8> {
    let mut version = 0x11;
    if random.one_in(8) {
        version = random.byte_below(256);
    }
    let mut code = 0;
    if random.one_in(8) {
        code = random.byte_below(256);
    }
    let number = random.pick(&[0x21u16, 0x57, 0x281, 0x283, 0xc021, 0x2145, 0x100]);
    let session = random.bytes(4);
    let inner = ip(random, number == 0x57, depth + 1);
    join(&[&[version, code], &session, &number.to_be_bytes(), &inner])
}

/// A protocol that the kernel's flow dissector knows by its EtherType.
fn known(random: &mut Random, depth: u32) -> (u16, Vec<u8>) {
    let kind = random.pick(&KNOWN);
    match kind {
        0x88ca => {
            // Bit 27 of TIPC's first word apart: a keep-alive packet goes by a random number.
            let mut packet = random.bytes(32);
            packet[0] &= 0xf7;
            (kind, packet)
        }
        0x4305 => {
            let packet_type = random.pick(&[0x40, 0x40, 0x40, 1]);
            let version = random.pick(&[15, 15, 15, 14]);
            let fields = random.bytes(20);
            let (inner, payload) = random_packet(random, depth + 1);
            let head = [packet_type, version];
            (
                kind,
                join(&[&head, &fields, &inner.to_be_bytes(), &payload]),
            )
        }
        0x88fb | 0x892f => {
            let fields = random.bytes(4);
            let (inner, payload) = random_packet(random, depth + 1);
            (kind, join(&[&fields, &inner.to_be_bytes(), &payload]))
        }
        _ => (kind, random.bytes(50)),
    }
}
