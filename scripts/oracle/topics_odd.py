"""Scenarios: malformed frames, reserved addresses, sizes.

What it is: a topic of the scenario generator; pure descriptions, no answers.
"""

from scenario_kit import (
    A,
    B,
    BROADCAST,
    C,
    C_TAG,
    D,
    GROUP,
    HOST,
    NOBODY,
    S_TAG,
    Scenario,
    access,
    hybrid,
    mac,
    tag,
    trunk,
)

RESERVED = [f"01:80:c2:00:00:{last:02x}" for last in range(16)]
ZERO = "00:00:00:00:00:00"


def scenarios():
    """All scenarios of this topic."""
    yield from malformed()
    yield from reserved()
    yield from sizes()


def malformed():
    """Short frames and addresses that cannot be."""
    ports = {"p1": hybrid(10, 20), "p2": hybrid(10, 20), "p3": trunk(10, 20)}
    for name, bridge in (("truncated-tags", {}), ("truncated-tags-unfiltered", {"vlan_filtering": 0})):
        s = Scenario(name, "Frames that end inside or right after a tag.", ports, bridge=bridge)
        s.learn(p2=B)
        for length in range(14, 23):
            s.frame("p1", BROADCAST, A, tag(20, 1), length=length, note=f"C-tag, {length} bytes")
            s.frame("p1", B, A, tag(10), length=length, note=f"C-tag of the PVID, known, {length} bytes")
        for length in range(14, 22):
            s.frame("p1", BROADCAST, A, tag(20, tpid=S_TAG), length=length, note=f"S-tag, {length} bytes")
        for length in range(18, 26):
            s.frame("p3", BROADCAST, C, tag(10), tag(20), length=length, note=f"two tags, {length} bytes")
        yield s.observe()

    s = Scenario("runts", "Untagged frames far below 60 bytes.", ports)
    s.learn(p2=B)
    for length in (*range(14, 21), 59, 60, 61):
        s.frame("p1", BROADCAST, A, length=length).frame("p1", B, A, length=length)
    s.frame("p1", NOBODY, D, length=14, note="learned from 14 bytes").frame("p2", D, B).frame("host", BROADCAST, HOST, length=14)
    yield s.observe()

    s = Scenario("bad-sources", "Group, zero, broadcast and reserved source addresses.", {
        "p1": access(10), "p2": access(10), "p3": trunk(10),
    })
    s.learn(p2=B)
    for source in (ZERO, BROADCAST, GROUP, "01:80:c2:00:00:00", "01:80:c2:00:00:0e", "03:00:00:00:00:01", "33:33:00:00:00:01"):
        s.frame("p1", BROADCAST, source).frame("p1", B, source).frame("p3", B, source, tag(10)).frame("p1", RESERVED[14], source)
    yield s.observe()

    s = Scenario("zero-destination", "The zero destination is a legal unicast address.", {"p1": {}, "p2": {}, "p3": {"flood": False}})
    s.frame("p1", ZERO, A).frame("p2", ZERO, B).frame("host", ZERO, HOST).do("fdb_add", port="p2", mac=ZERO, vid=1).frame("p1", ZERO, A)
    yield s.observe()


def reserved():
    """The link-local group addresses and their neighbours."""
    def each(scenario, port, source, *tags):
        for destination in RESERVED:
            scenario.frame(port, destination, source, *tags)
        return scenario

    three = {"p1": {}, "p2": {}, "p3": {}}
    s = Scenario("reserved-default", "01-80-C2-00-00-00 to 0F with every mask 0.", three)
    yield each(s, "p1", A).observe()

    s = Scenario("reserved-bridge-mask", "A bridge mask that lets all it may through.", three, bridge={"group_fwd_mask": 0xFFF8})
    yield each(s, "p1", A)

    s = Scenario("reserved-port-mask", "Port masks: LACP through p1, all but PAUSE through p2.", {
        "p1": {"group_fwd_mask": 4}, "p2": {"group_fwd_mask": 0xFFFD}, "p3": {},
    }, bridge={"group_fwd_mask": 0x4000})
    yield each(each(each(s, "p1", A), "p2", B), "p3", C).observe()

    s = Scenario("reserved-mask-live", "The masks changed while frames pass.", three)
    lldp, slow = RESERVED[14], RESERVED[2]
    s.frame("p1", lldp, A).do("bridge_set", set={"group_fwd_mask": 0x4000}).frame("p1", lldp, A).frame("p1", slow, A)
    s.do("port_set", port="p1", set={"group_fwd_mask": 4}).frame("p1", slow, A).frame("p2", slow, B).frame("p1", lldp, A)
    s.do("bridge_set", set={"group_fwd_mask": 0}).frame("p1", lldp, A).do("bridge_set", set={"group_fwd_mask": 4})
    s.do("bridge_set", set={"group_fwd_mask": 2}).do("bridge_set", set={"group_fwd_mask": 1})
    s.do("port_set", port="p1", set={"group_fwd_mask": 2}).frame("p1", slow, A)
    yield s

    s = Scenario("reserved-tagged", "Reserved groups inside VLANs, masks open for LLDP.", {
        "p1": trunk(10), "p2": hybrid(10, 20), "p3": access(20),
    }, bridge={"group_fwd_mask": 0x4000})
    each(s, "p1", A, tag(10))
    s.frame("p1", RESERVED[14], A, note="untagged: no PVID").frame("p1", RESERVED[0], B, tag(20), note="filtered")
    s.frame("p1", RESERVED[3], C, tag(20), note="not forwarded and not of its VLAN").frame("p3", RESERVED[0], D)
    yield s.observe()

    s = Scenario("reserved-learning", "Whether a frame that stays at the port teaches its source.", {
        "p1": {}, "p2": {"learning": False}, "p3": {}, "p4": trunk(10),
    })
    for index, destination in enumerate((RESERVED[0], RESERVED[1], RESERVED[2], RESERVED[3], RESERVED[14])):
        s.frame("p1", destination, f"02:00:00:00:01:0{index}").frame("p2", destination, f"02:00:00:00:02:0{index}")
        s.frame("p4", destination, f"02:00:00:00:04:0{index}", note="untagged without PVID")
    yield s.observe()

    s = Scenario("reserved-filtering-off", "Reserved groups on a bridge without filtering.", three, bridge={"vlan_filtering": 0})
    each(s, "p1", A)
    for destination in (RESERVED[0], RESERVED[14]):
        s.frame("p2", destination, B, tag(10))
    yield s.observe()

    s = Scenario("reserved-from-host", "What the host itself sends to the reserved groups, masks closed and open.", {
        "p1": {}, "p2": {"mcast_flood": False}, "p3": access(20), "p4": hybrid(1, 20),
    }, host=hybrid(1, 20))
    each(s, "host", HOST)
    each(s, "host", HOST, tag(20))
    s.do("bridge_set", set={"group_fwd_mask": 0xFFF8})
    yield each(s, "host", HOST).observe()

    s = Scenario("groups-above-reserved", "Groups next to the reserved ones and vendors' control groups.", three)
    for destination in (
        "01:80:c2:00:00:10", "01:80:c2:00:00:20", "01:80:c2:00:00:21", "01:80:c2:00:00:2f", "01:80:c2:00:00:30",
        "01:80:c2:00:01:00", "01:80:c2:00:ff:ff", "01:80:c2:01:00:00", "01:80:c3:00:00:00", "00:80:c2:00:00:00",
        "01:00:0c:cc:cc:cc", "01:00:0c:cc:cc:cd", "01:00:0c:cd:cd:cd", "01:00:0c:00:00:00", "01:00:0c:cc:cc:c0",
        "00:e0:2b:00:00:00", "00:e0:2b:00:00:04", "01:1b:19:00:00:00", "01:00:5e:00:00:01", "01:00:5e:7f:ff:fa",
        "33:33:00:00:00:01", "33:33:ff:00:00:01", "03:00:00:00:00:01", "fe:ff:ff:ff:ff:ff", "ff:ff:ff:ff:ff:fe",
    ):
        s.frame("p1", destination, A)
    yield s.observe()


def sizes():
    """MTU rules."""
    s = Scenario("mtu-untagged", "p2 and p3 have MTU 100 and 200; untagged frames around the limits.", {
        "p1": {"mtu": 1500}, "p2": {"mtu": 100}, "p3": {"mtu": 200},
    })
    for length in (113, 114, 115, 117, 118, 119, 120, 213, 214, 215, 218, 219, 1514, 1515, 1518, 1519, 1600):
        s.frame("p1", BROADCAST, A, length=length, note=f"{length} bytes")
    s.frame("p2", BROADCAST, B, length=300, note="larger than its own MTU, on ingress")
    for length in (114, 118, 119):
        s.frame("p1", B, A, length=length, note=f"known, {length} bytes").frame("host", B, HOST, length=length)
    yield s.observe()

    s = Scenario("mtu-tagged", "The allowance for tags: in and out tagged or not.", {
        "p1": hybrid(10, 20), "p2": {"mtu": 100, **hybrid(10, 20)}, "p3": {"mtu": 100, **trunk(10, 20)}, "p4": {"mtu": 100, **access(20)},
    })
    for length in (114, 117, 118, 119, 121, 122, 123, 124, 126, 127):
        s.frame("p1", BROADCAST, A, tag(20), length=length, note=f"VLAN 20 tagged in, {length} bytes")
        s.frame("p1", BROADCAST, A, length=length, note=f"VLAN 10 untagged in, {length} bytes")
        s.frame("p1", BROADCAST, A, tag(20), tag(30), length=length, note=f"two tags in, {length} bytes")
        s.frame("p1", BROADCAST, A, tag(30, tpid=S_TAG), length=length, note=f"S-tag as payload, {length} bytes")
    yield s

    s = Scenario("mtu-unfiltered", "The tag allowance on a bridge without filtering.", {
        "p1": {}, "p2": {"mtu": 100}, "p3": {"mtu": 101},
    }, bridge={"vlan_filtering": 0})
    for length in (114, 115, 118, 119, 120, 122, 123, 124):
        s.frame("p1", BROADCAST, A, length=length).frame("p1", BROADCAST, A, tag(5), length=length)
        s.frame("p1", BROADCAST, A, tag(5, tpid=S_TAG), length=length)
    yield s

    s = Scenario("mtu-one-small", "A jumbo flood where one port is too small; the MTU changes.", {
        "p1": {"mtu": 9000}, "p2": {"mtu": 9000}, "p3": {"mtu": 1500},
    })
    s.frame("p1", BROADCAST, A, length=1514).frame("p1", BROADCAST, A, length=9014, note="p3 too small")
    s.learn(p3=C).frame("p1", C, A, length=1519, note="known behind p3, too large")
    s.do("port_set", port="p3", set={"mtu": 1600}).frame("p1", C, A, length=1519, note="now it fits")
    s.do("port_set", port="p3", set={"mtu": 1400}).frame("p1", C, A, length=1519)
    yield s

    s = Scenario("length-field", "802.3 frames whose length field lies.", {"p1": {}, "p2": {}, "p3": trunk(1)})
    for claimed in (0, 3, 38, 46, 1500):
        head = mac(BROADCAST) + mac(A)
        s.raw("p1", head + claimed.to_bytes(2, "big") + b"\xaa\xaa\x03\x00\x00\x0c\x01\x0b" + bytes(30))
        s.raw("p3", head + tag(1, 2, tpid=C_TAG) + claimed.to_bytes(2, "big") + b"\xff\xff" + bytes(30))
    yield s
