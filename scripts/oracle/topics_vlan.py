"""Scenarios: VLAN classification, ingress filter, egress tagging.

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
    tag,
    trunk,
)


def scenarios():
    """All scenarios of this topic."""
    yield from members()
    yield from tags_kept()
    yield from edges()
    yield from stacked()


def members():
    """Kinds of membership."""
    s = Scenario("access-ports", "Two VLANs of access ports never meet.", {
        "p1": access(10), "p2": access(10), "p3": access(20), "p4": access(20),
    })
    s.learn(p1=A, p2=B, p3=C, p4=D)
    for port, source in (("p1", A), ("p2", B), ("p3", C), ("p4", D)):
        for destination in (A, B, C, D, NOBODY, GROUP):
            if destination != source:
                s.frame(port, destination, source)
    yield s.observe()

    s = Scenario("access-own-tag", "Tagged frames on access ports: own VLAN, another, none.", {
        "p1": access(10), "p2": access(10), "p3": access(20), "p4": trunk(10, 20),
    })
    s.frame("p1", BROADCAST, A, tag(10), note="its own VLAN's tag").frame("p2", A, B, tag(10, 5))
    s.frame("p1", BROADCAST, C, tag(20), note="another VLAN: filtered").frame("p4", C, D, tag(10), note="C not learned")
    s.frame("p4", C, D, tag(20)).frame("p3", BROADCAST, D, tag(20)).frame("p3", A, D, tag(10)).frame("p1", B, A, tag(10, 0, 1))
    yield s.observe()

    s = Scenario("trunk-to-trunk", "Tagged members without a PVID.", {
        "p1": trunk("10-20", 4094), "p2": trunk(10, 20, 4094), "p3": trunk(20), "p4": access(20),
    })
    for vid in (10, 15, 20, 21, 4094):
        s.frame("p1", BROADCAST, A, tag(vid)).frame("p2", A, B, tag(vid)).frame("p3", A, C, tag(vid))
    s.frame("p1", BROADCAST, A, note="untagged: no PVID").frame("p1", BROADCAST, A, tag(0), note="priority: no PVID")
    s.frame("p4", A, D).frame("p4", B, D)
    yield s.observe()

    s = Scenario("hybrid", "A native VLAN beside tagged ones.", {
        "p1": hybrid(10, 20, 30), "p2": hybrid(20, 10, 30), "p3": trunk(10, 20, 30), "p4": access(30),
    })
    for port, source in (("p1", A), ("p2", B), ("p3", C), ("p4", D)):
        for tags in ((), (tag(10),), (tag(20),), (tag(30),), (tag(40),), (tag(0, 3),)):
            s.frame(port, BROADCAST, source, *tags)
    s.frame("p1", B, A).frame("p1", B, A, tag(20)).frame("p4", A, D).frame("p2", A, B, tag(10))
    yield s.observe()

    s = Scenario("native-tagged", "A PVID that leaves tagged.", {
        "p1": {"vlans": [{"vid": 10, "pvid": True}]}, "p2": {"vlans": [{"vid": 10, "pvid": True}, {"vid": 20}]},
        "p3": access(10),
    })
    s.frame("p1", BROADCAST, A).frame("p1", BROADCAST, A, tag(10)).frame("p2", A, B).frame("p3", A, C)
    s.frame("p3", BROADCAST, C, tag(0, 7)).frame("p1", C, A, tag(0, 4, 1)).frame("p2", BROADCAST, B, tag(20))
    yield s.observe()

    s = Scenario("no-pvid", "Ports without PVID take nothing untagged, whatever they are members of.", {
        "p1": {"vlans": [{"vid": 10, "untagged": True}]}, "p2": access(10), "p3": {"vlans": []}, "p4": trunk(10),
    })
    s.frame("p1", BROADCAST, A).frame("p1", BROADCAST, A, tag(0, 5)).frame("p1", BROADCAST, B, tag(10))
    s.frame("p2", BROADCAST, C, note="reaches p1 untagged").frame("p2", A, C, note="A was never learned").frame("p2", B, C)
    s.frame("p3", BROADCAST, D).frame("p3", BROADCAST, D, tag(1)).frame("p3", BROADCAST, D, tag(10)).frame("p4", BROADCAST, D)
    yield s.observe()

    s = Scenario("several-untagged", "Several VLANs leave one port untagged (asymmetric VLANs).", {
        "p1": {"vlans": [{"vid": 10, "pvid": True, "untagged": True}, {"vid": 30, "untagged": True}]},
        "p2": {"vlans": [{"vid": 20, "pvid": True, "untagged": True}, {"vid": 30, "untagged": True}]},
        "p3": {"vlans": [{"vid": "10-20", "untagged": True}, {"vid": 30, "pvid": True, "untagged": True}]},
        "p4": trunk(10, 20, 30),
    })
    s.learn(p1=A, p2=B, p3=C)
    s.frame("p1", C, A, note="C is in 30: unknown in 10").frame("p2", C, B).frame("p3", A, C).frame("p3", B, C)
    s.frame("p1", B, A).frame("p4", A, D, tag(30)).frame("p4", A, D, tag(10)).frame("p3", BROADCAST, C, tag(15))
    yield s.observe()

    s = Scenario("default-pvid-0", "A bridge without default VLAN: unconfigured ports are mute.", {
        "p1": {}, "p2": {}, "p3": access(10), "p4": access(10),
    }, bridge={"default_pvid": 0})
    s.frame("p1", BROADCAST, A).frame("p2", BROADCAST, B, tag(1)).frame("p3", BROADCAST, C).frame("p4", C, D)
    s.frame("host", BROADCAST, HOST).frame("p1", HOST, A)
    s.do("vlan_add", port="p1", vid=10, pvid=True, untagged=True).frame("p1", BROADCAST, A)
    s.do("bridge_set", set={"default_pvid": 7}).frame("p2", BROADCAST, B).frame("p1", BROADCAST, A).observe()
    s.do("bridge_set", set={"default_pvid": 0}).frame("p2", BROADCAST, B)
    yield s.observe()

    s = Scenario("default-pvid-100", "Unconfigured ports are in the bridge's default VLAN.", {
        "p1": {}, "p2": {}, "p3": trunk(1, 100), "p4": access(1),
    }, bridge={"default_pvid": 100})
    s.frame("p1", BROADCAST, A).frame("p2", A, B).frame("p3", A, C, tag(100)).frame("p3", BROADCAST, C, tag(1)).frame("p4", BROADCAST, D)
    s.frame("host", BROADCAST, HOST).do("bridge_set", set={"default_pvid": 200}).observe().frame("p1", BROADCAST, A).frame("p3", A, C, tag(100))
    yield s.observe()


def tags_kept():
    """Priority bits."""
    s = Scenario("priority-tag", "VID 0: the PVID's VLAN, the priority bits kept.", {
        "p1": access(10), "p2": trunk(10), "p3": access(10), "p4": {"vlans": [{"vid": 10, "pvid": True}]},
    })
    for pcp in range(8):
        s.frame("p1", BROADCAST, A, tag(0, pcp, pcp & 1))
    s.frame("p4", A, D, tag(0, 6)).frame("p3", D, C, tag(0, 1, 1)).frame("p2", BROADCAST, B, tag(0, 1), note="no PVID")
    s.frame("p1", BROADCAST, A, tag(0, 3), tag(10, 2), note="an inner tag after the priority tag")
    yield s.observe()

    s = Scenario("pcp-and-dei", "Priority and drop eligibility from trunk to trunk and to access.", {
        "p1": trunk(10, 20), "p2": trunk(10, 20), "p3": access(10),
    }, host=trunk(10))
    for pcp in range(8):
        for dei in (0, 1):
            s.frame("p1", BROADCAST, A, tag(10, pcp, dei))
    s.frame("p2", A, B, tag(20, 7, 1)).frame("p2", A, B, tag(10, 7, 1)).frame("p3", A, C, tag(10, 5, 1)).frame("p3", A, C)
    yield s

    s = Scenario("ingress-filter-learns-not", "A filtered frame leaves no trace.", {
        "p1": access(10), "p2": trunk(10, 20), "p3": trunk(10, 20), "p4": trunk(30),
    })
    s.frame("p1", BROADCAST, A, tag(20), note="filtered").frame("p2", A, B, tag(20)).frame("p2", A, B, tag(10)).observe()
    s.frame("p4", BROADCAST, B, tag(10), note="filtered: B stays on p2").frame("p3", B, C, tag(10)).frame("p4", BROADCAST, C)
    s.frame("p4", HOST, C, tag(0)).frame("p3", NOBODY, C, tag(30)).frame("p2", C, B, tag(10))
    yield s.observe()


def edges():
    """VLAN numbers at their limits."""
    everything = {"vlans": [{"vid": "1-4094"}]}
    s = Scenario("vid-edges", "VIDs 0, 1, 4094 and 4095 in frames and in the configuration.", {
        "p1": everything, "p2": everything, "p3": access(4094), "p4": access(1),
    })
    for vid in (0, 1, 2, 4093, 4094, 4095):
        s.frame("p1", BROADCAST, A, tag(vid)).frame("p3", BROADCAST, C, tag(vid)).frame("p4", BROADCAST, D, tag(vid))
    for vid in (0, 4095, 5000, "10-5", "4090-4095"):
        s.do("vlan_add", port="p3", vid=vid)
    s.do("vlan_add", port="p3", vid="10-12", pvid=True).do("vlan_del", port="p3", vid=77)
    s.do("fdb_add", port="p3", mac=B, vid=4095).do("fdb_add", port="p3", mac=B, vid=88)
    s.do("bridge_set", set={"default_pvid": 4095}).do("bridge_set", set={"group_fwd_mask": 7})
    s.do("port_set", port="p1", set={"group_fwd_mask": 2}).frame("p3", BROADCAST, C).frame("p1", C, A, tag(4094))
    yield s.observe()

    s = Scenario("vid-4095-on-access", "VID 4095 on ports with and without PVID, filtering off too.", {
        "p1": access(10), "p2": access(10), "p3": trunk(10),
    })
    s.frame("p1", BROADCAST, A, tag(4095)).frame("p3", BROADCAST, C, tag(4095, 7, 1)).frame("p2", A, B)
    s.do("bridge_set", set={"vlan_filtering": 0}).frame("p1", BROADCAST, A, tag(4095)).frame("p3", A, C, tag(4095))
    yield s.observe()


def stacked():
    """More than one tag, and tags of another protocol."""
    s = Scenario("s-tag-on-c-bridge", "An 802.1ad tag is payload for an 802.1Q bridge.", {
        "p1": trunk(10), "p2": hybrid(20, 10), "p3": access(10), "p4": trunk(10, 20),
    })
    for port, source in (("p1", A), ("p2", B), ("p3", C)):
        s.frame(port, BROADCAST, source, tag(10, 3, 1, S_TAG))
        s.frame(port, BROADCAST, source, tag(20, tpid=S_TAG), tag(10))
        s.frame(port, BROADCAST, source, tag(10), tag(20, tpid=S_TAG))
        s.frame(port, BROADCAST, source, tag(10, tpid=0x9100))
        s.frame(port, BROADCAST, source, tag(0, 5, tpid=S_TAG))
    s.frame("p2", C, B, tag(10, tpid=S_TAG)).frame("p4", B, D, tag(20))
    yield s.observe()

    s = Scenario("double-tags", "The outer tag decides; the inner one is payload.", {
        "p1": trunk(10, 20), "p2": access(10), "p3": access(20), "p4": trunk(10, 20),
    }, host=hybrid(10, 20))
    for outer, inner in ((10, 20), (20, 10), (10, 10), (10, 99), (10, 0), (0, 10)):
        s.frame("p1", BROADCAST, A, tag(outer, 1), tag(inner, 2)).frame("p2", BROADCAST, B, tag(outer), tag(inner))
    s.frame("p1", BROADCAST, A, tag(10), tag(20), tag(30), note="three tags").frame("p4", HOST, D, tag(10), tag(20))
    s.frame("p3", HOST, C, tag(20), tag(10, 7)).frame("p4", A, D, tag(20, 3), tag(10))
    yield s.observe()

    s = Scenario("provider-bridge", "A bridge of the 802.1ad protocol: C-tags are payload.", {
        "p1": access(100), "p2": trunk(100, 200), "p3": hybrid(200, 100), "p4": access(200),
    }, bridge={"vlan_protocol": "802.1ad"})
    for tags in ((), (tag(100),), (tag(5, 3, 1),), (tag(100, tpid=S_TAG),), (tag(0, 6, tpid=S_TAG),), (tag(200, tpid=S_TAG), tag(7))):
        s.frame("p1", BROADCAST, A, *tags).frame("p2", BROADCAST, B, *tags).frame("p3", BROADCAST, C, *tags)
    s.frame("p2", A, B, tag(100, 5, 1, S_TAG), tag(30, 2)).frame("p1", B, A, tag(30, 2)).frame("p4", C, D, tag(9))
    for last in range(16):
        s.frame("p1", f"01:80:c2:00:00:{last:02x}", A)
    yield s.observe()

    s = Scenario("filtering-off", "Without filtering tags are payload and there is one address table.", {
        "p1": access(10), "p2": access(20), "p3": trunk(10), "p4": {"vlans": []},
    }, bridge={"vlan_filtering": 0})
    s.learn(p1=A, p2=(B, tag(20)), p3=(C, tag(10)), p4=D).observe()
    for tags in ((), (tag(10, 5, 1),), (tag(77),), (tag(0, 3),), (tag(10, tpid=S_TAG),), (tag(1), tag(2))):
        s.frame("p1", BROADCAST, A, *tags).frame("p2", A, B, *tags).frame("p3", HOST, C, *tags).frame("host", D, HOST, *tags)
    s.frame("p2", BROADCAST, A, tag(10), note="A moves whatever its tag").frame("p4", A, D)
    yield s.observe()

    s = Scenario("filtering-toggled", "Filtering switched off and on while stations are known.", {
        "p1": access(10), "p2": access(20), "p3": trunk(10, 20),
    })
    s.learn(p1=A, p2=B, p3=(C, tag(10))).observe()
    s.do("bridge_set", set={"vlan_filtering": 0}).observe().frame("p1", B, A).frame("p2", A, B).frame("p3", A, C, tag(10)).observe()
    s.do("bridge_set", set={"vlan_filtering": 1}).observe().frame("p1", B, A).frame("p3", A, C, tag(10)).frame("p2", C, B)
    yield s.observe()

    s = Scenario("tag-bytes-untouched", "Payload behind tags survives, odd ethertypes included.", {
        "p1": access(10), "p2": trunk(10), "p3": access(10),
    })
    for ethertype in (0x0800, 0x86DD, 0x0806, 0x8863, 0x0000, 0x0026, 0x05DC, 0x05DD, 0x0600, 0xFFFF, C_TAG + 1):
        s.frame("p1", BROADCAST, A, ethertype=ethertype).frame("p2", A, B, tag(10, 1), ethertype=ethertype)
    yield s
