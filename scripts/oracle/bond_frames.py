"""The frames that the bonding oracle sends, made from a seed.

What it is: the twin of `tests/sim/bond/frames.rs`. Both make the same frames,
byte for byte, so that only the kernel's answers have to be kept; a digest of
all frames is kept with them, and whoever reads the answers compares it.

Guarantees: every frame has 14 to 1,514 bytes, a unicast source and no address
that a bridge would keep to itself. Draws are made in the order of the lines:
a change here is a change there, and calls for recording anew.
"""

SEED = 0x76737769746368
COUNT = 10_080
TURNS_COUNT = 480
LENGTH_MAX = 1514

ICMP_TYPES = [0, 3, 4, 5, 8, 11, 12, 13, 14, 17]
ICMPV6_TYPES = [1, 2, 3, 4, 128, 129, 133, 135, 136, 3]
PORTED = [6, 17, 33, 50, 51, 132, 136]
GRE_FLAGS = [0x0000, 0x2000, 0x8000, 0xB000, 0x1000, 0x3001, 0x3081, 0x4000, 0x0002, 0x0001]
GRE_KINDS = [0x0800, 0x86DD, 0x6558, 0x880B, 0x8847, 0x88BE, 0x8100]
KNOWN = [0x88CA, 0x8906, 0x4305, 0x88F7, 0x88FB, 0x892F, 0x8035, 0x8847]
DEPTH_MAX = 3


class Random:
    """Knuth's 64-bit linear congruential generator; the upper half is the draw."""

    def __init__(self, seed):
        self.state = seed

    def draw(self):
        """A number of 32 bits."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & 0xFFFFFFFFFFFFFFFF
        return self.state >> 32

    def below(self, bound):
        """A number from 0 to `bound` - 1."""
        return self.draw() % bound

    def one_in(self, n):
        """True once in `n` times."""
        return self.below(n) == 0

    def bytes(self, count):
        """That many bytes, one a draw."""
        return bytes(self.draw() & 0xFF for _ in range(count))

    def pick(self, choices):
        """One of them."""
        return choices[self.below(len(choices))]


def u16(number):
    """A number as two bytes on the wire."""
    return number.to_bytes(2, "big")


def frame(random):
    """A whole frame."""
    first = random.pick([0x02, 0x02, 0x02, 0x33])
    destination = bytes([first]) + random.bytes(5)
    source = b"\x02" + random.bytes(5)
    kind, payload = random_packet(random, 0)
    tags = random.below(8)
    if tags in (1, 3):
        kind, payload = tagged(random, 0x8100, kind, payload)
    if tags == 2:
        kind, payload = tagged(random, 0x88A8, kind, payload)
    if tags == 3:
        kind, payload = tagged(random, random.pick([0x8100, 0x88A8]), kind, payload)
    whole = (destination + source + u16(kind) + payload)[:LENGTH_MAX]
    if random.one_in(8):
        whole = whole[: 14 + random.below(len(whole) - 13)]
    return whole


def tagged(random, tpid, kind, payload):
    """A packet behind a tag."""
    return tpid, random.bytes(2) + u16(kind) + payload


def random_packet(random, depth):
    """An EtherType and what follows it."""
    choice = random.below(20)
    if depth > DEPTH_MAX:
        return 0x0800, random.bytes(24)
    if choice < 8:
        return 0x0800, ipv4(random, depth)
    if choice < 13:
        return 0x86DD, ipv6(random, depth)
    if choice == 13:
        return 0x0806, b"\x00\x01\x08\x00\x06\x04\x00\x01" + random.bytes(20)
    if choice == 14:
        count = random.below(3) + 1
        labels = random.bytes(4 * count)
        return 0x8847, labels + ipv4(random, depth + 1)
    if choice == 15:
        return 0x8864, pppoe(random, depth)
    if choice == 16:
        return known(random, depth)
    if choice == 17:
        return random.below(0x600), random.bytes(46)
    if choice == 18:
        kind, payload = random_packet(random, depth + 1)
        return tagged(random, random.pick([0x8100, 0x88A8]), kind, payload)
    return 0x9000 + random.below(0x100), random.bytes(46)


def ipv4(random, depth):
    """An IPv4 packet: mostly whole and plain, sometimes a fragment, with options or a lie in its length."""
    words = 5
    if random.one_in(8):
        words = random.below(16)
    fragment = 0
    choice = random.below(10)
    if choice == 0:
        fragment = 0x2000
    if choice == 1:
        fragment = random.below(0x1FFF) + 1
    if choice == 2:
        fragment = 0x4000
    protocol, payload = transport(random, False, depth)
    addresses = random.bytes(8)
    options = random.bytes(4 * max(words - 5, 0))
    head = bytes([0x40 | words, 0, 2, 0, 0, 1]) + u16(fragment) + bytes([64, protocol, 0, 0])
    return head + addresses + options + payload


def ipv6(random, depth):
    """An IPv6 packet, sometimes with extension headers."""
    label = random.bytes(3)
    protocol, payload = transport(random, True, depth)
    if random.one_in(4):
        for _ in range(random.below(3) + 1):
            protocol, payload = extended(random, random.pick([0, 43, 60, 44]), protocol, payload)
    elif random.one_in(20):
        for _ in range(random.below(8) + 10):
            protocol, payload = extended(random, 60, protocol, payload)
    addresses = random.bytes(32)
    return bytes([0x60]) + label + bytes([2, 0, protocol, 64]) + addresses + payload


def extended(random, header, protocol, payload):
    """A packet behind an extension header."""
    units = 0
    if header != 44 and random.one_in(4):
        units = 1
    content = random.bytes(6 + 8 * units)
    if header == 44 and random.one_in(2):
        content = bytes(6)
    return header, bytes([protocol, 0 if header == 44 else units]) + content + payload


def transport(random, v6, depth):
    """A protocol's number and its packet."""
    choice = random.below(24)
    if choice < 8:
        return random.pick([6, 17]), random.bytes(20)
    if choice < 11:
        return random.pick(PORTED), random.bytes(16)
    if choice < 14:
        return icmp(random, v6, depth)
    if choice == 14:
        return random.below(256), random.bytes(20)
    if choice == 15:
        inside = random.bytes(14) + ipv4(random, depth + 1)
        return 17, random.bytes(2) + u16(4789) + random.bytes(12) + inside
    if choice < 19:
        return 47, gre(random, depth)
    if choice == 19:
        return 137, random.bytes(4) + ipv4(random, depth + 1)
    if choice == 20 and random.one_in(8):
        packet = ipv4(random, DEPTH_MAX + 1)
        for _ in range(random.below(8) + 10):
            packet = bytes([0x45, 0, 2, 0, 0, 1, 0, 0, 64, 4, 0, 0]) + random.bytes(8) + packet
        return 4, packet
    if depth >= DEPTH_MAX:
        return 17, random.bytes(8)
    if choice < 22:
        return 4, ipv4(random, depth + 1)
    return 41, ipv6(random, depth + 1)


def icmp(random, v6, depth):
    """ICMP of a type that has an identifier, tells of another packet, or neither."""
    protocol = 58 if v6 else 1
    if random.one_in(16):
        protocol = 59 - protocol
    kind = random.pick(ICMPV6_TYPES if v6 else ICMP_TYPES)
    if random.one_in(8):
        kind = random.below(256)
    head = bytes([kind, random.below(4)]) + random.bytes(2)
    if random.one_in(8):
        head += bytes(4)
    else:
        head += random.bytes(4)
    if depth >= DEPTH_MAX or random.one_in(4):
        return protocol, head + random.bytes(8)
    return protocol, head + (ipv6(random, depth + 1) if v6 else ipv4(random, depth + 1))


def gre(random, depth):
    """GRE of versions 0 to 2, with and without optional fields, around most things."""
    flags = 0
    if random.one_in(2):
        flags = random.pick(GRE_FLAGS)
    kind = random.pick(GRE_KINDS)
    if flags & 7 == 1 and not random.one_in(4):
        kind = 0x880B
    fields = 0
    for flag in (0x8000, 0x2000, 0x1000):
        if flags & flag:
            fields += 4
    if flags & 0x0081 == 0x0081:
        fields += 4
    head = u16(flags) + u16(kind) + random.bytes(fields)
    if depth >= DEPTH_MAX:
        return head + random.bytes(30)
    if kind == 0x6558:
        addresses = random.bytes(12)
        inner, payload = random_packet(random, depth + 1)
        return head + addresses + u16(inner) + payload
    if kind == 0x880B:
        number = random.pick([0x21, 0x57, 0xC021])
        head += b"\xff\x03" + u16(number)
        return head + (ipv6(random, depth + 1) if number == 0x57 else ipv4(random, depth + 1))
    if kind == 0x8100:
        inner, payload = random_packet(random, depth + 1)
        return head + random.bytes(2) + u16(inner) + payload
    return head + (ipv6(random, depth + 1) if kind == 0x86DD else ipv4(random, depth + 1))


def pppoe(random, depth):
    """A PPPoE session's packet, now and then a wrong one."""
    version = 0x11
    if random.one_in(8):
        version = random.below(256)
    code = 0
    if random.one_in(8):
        code = random.below(256)
    number = random.pick([0x21, 0x57, 0x281, 0x283, 0xC021, 0x2145, 0x100])
    head = bytes([version, code]) + random.bytes(4) + u16(number)
    return head + (ipv6(random, depth + 1) if number == 0x57 else ipv4(random, depth + 1))


def known(random, depth):
    """A protocol that the kernel's flow dissector knows by its EtherType."""
    kind = random.pick(KNOWN)
    if kind == 0x88CA:
        # Bit 27 of TIPC's first word apart: a keep-alive packet goes by a random number.
        first = random.bytes(1)[0] & 0xF7
        return kind, bytes([first]) + random.bytes(31)
    if kind == 0x4305:
        head = bytes([random.pick([0x40, 0x40, 0x40, 1]), random.pick([15, 15, 15, 14])])
        fields = random.bytes(20)
        inner, payload = random_packet(random, depth + 1)
        return kind, head + fields + u16(inner) + payload
    if kind in (0x88FB, 0x892F):
        fields = random.bytes(4)
        inner, payload = random_packet(random, depth + 1)
        return kind, fields + u16(inner) + payload
    return kind, random.bytes(50)


def corpus():
    """All frames, in order."""
    random = Random(SEED)
    return [frame(random) for _ in range(COUNT)]


def turns(frames):
    """What a bond in mode balance-rr is asked about: the first frames, an IGMP report after each sixteen, every
    other one tagged."""
    addresses = b"\x01\x00\x5e\x00\x00\x16\x02\x00\x00\x00\x00\x01"
    packet = bytes([0x46, 0xC0, 0, 40, 0, 0, 0x40, 0, 1, 2]) + bytes(30)
    chosen = []
    for at, whole in enumerate(frames[:TURNS_COUNT]):
        chosen.append(whole)
        if at % 32 == 15:
            chosen.append(addresses + b"\x08\x00" + packet)
        if at % 32 == 31:
            chosen.append(addresses + b"\x81\x00\x00\x05\x08\x00" + packet)
    return chosen


def digest(frames):
    """64-bit FNV-1a over all frames, each with its length before it."""
    value = 0xCBF29CE484222325
    for whole in frames:
        for byte in u16(len(whole)) + whole:
            value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
