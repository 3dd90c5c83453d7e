"""Scenarios: learning, flooding, moves, port flags, the host as a port.

What it is: a topic of the scenario generator; pure descriptions, no answers.
"""

from scenario_kit import (
    A,
    B,
    BROADCAST,
    C,
    D,
    E,
    GROUP,
    HOST,
    NOBODY,
    Scenario,
    access,
    hybrid,
    tag,
    trunk,
)

FOUR = ("p1", "p2", "p3", "p4")


def plain(*names):
    """Ports without any setting of their own."""
    return {name: {} for name in names or FOUR}


def every_class(scenario, port, source, *tags):
    """A known, an unknown, a group, a broadcast and a host destination."""
    for destination, note in (
        (D, "known if p4 was heard"),
        (NOBODY, "unknown unicast"),
        (GROUP, "group"),
        (BROADCAST, "broadcast"),
        (HOST, "the host"),
    ):
        scenario.frame(port, destination, source, *tags, note=f"{port}: {note}")


def scenarios():
    """All scenarios of this topic."""
    yield from basics()
    yield from flags()
    yield from hosts()


def basics():
    """Learning, flooding, moving."""
    s = Scenario("learn-and-forward", "Addresses are learned; known ones go to one port.", plain())
    s.frame("p1", B, A, note="B unknown: flooded").frame("p2", A, B, note="A known")
    s.frame("p1", B, A, note="B known").frame("p3", A, C).frame("p4", C, D).frame("p1", D, A)
    s.frame("p1", A, A, note="to itself").frame("p1", A, E, note="a known address behind the same port")
    s.frame("p1", E, A, note="both behind p1").frame("p2", E, B)
    s.frame("p1", BROADCAST, A).frame("p2", GROUP, B).frame("p3", NOBODY, C)
    s.frame("p4", HOST, D).frame("host", A, HOST).frame("host", NOBODY, HOST).frame("host", BROADCAST, HOST)
    yield s.observe()

    s = Scenario("flood-classes", "Every destination class from every port.", plain())
    s.learn(p4=D)
    for port, source in zip(FOUR, (A, B, C, D)):
        every_class(s, port, source)
    every_class(s, "host", HOST)
    yield s

    s = Scenario("station-move", "An address follows its last frame; a move is per VLAN.", {
        "p1": hybrid(10, 20), "p2": hybrid(10, 20), "p3": hybrid(10, 20),
    })
    s.learn(p1=A).frame("p3", A, C, note="A on p1").frame("p2", NOBODY, A, note="A moves to p2")
    s.frame("p3", A, C, note="A on p2").frame("p1", C, A, note="back").frame("p3", A, C).observe()
    s.frame("p2", BROADCAST, A, tag(20), note="A in VLAN 20 is another entry").observe()
    s.frame("p3", A, C, note="VLAN 10: p1").frame("p3", A, C, tag(20), note="VLAN 20: p2")
    s.frame("p2", BROADCAST, A, tag(30), note="filtered: moves nothing").frame("p3", A, C)
    s.frame("p3", C, A, note="moves to p3, destination behind the same port").frame("p1", A, B)
    yield s.observe()

    s = Scenario("same-mac-two-vlans", "One address in two VLANs behind two ports.", {
        "p1": access(10), "p2": access(20), "p3": trunk(10, 20), "p4": trunk(10, 20),
    })
    s.learn(p1=A, p2=A).observe()
    s.frame("p3", A, C, tag(10)).frame("p3", A, C, tag(20)).frame("p4", C, D, tag(10)).frame("p4", C, D, tag(20))
    s.frame("p1", C, A).frame("p2", C, A).frame("p1", A, A).frame("p2", D, A)
    yield s.observe()

    s = Scenario("destination-equals-source", "Frames whose addresses agree.", plain("p1", "p2", "p3"))
    s.frame("p1", A, A, note="unknown until this frame").frame("p2", A, A, note="moves while sent to itself")
    s.frame("p3", A, C).frame("p1", HOST, HOST, note="the bridge's own address in both")
    yield s.observe()


def flags():
    """Port flags."""
    s = Scenario("hairpin", "A hairpin port gets its own frames back.", {
        "p1": {"hairpin": True, **hybrid(10, 20)}, "p2": hybrid(10, 20), "p3": hybrid(10, 20),
    })
    s.frame("p1", BROADCAST, A).frame("p1", BROADCAST, B).frame("p1", A, B, note="known, back out of p1")
    s.frame("p1", A, B, tag(20), note="unknown in 20").frame("p1", B, A, tag(20)).frame("p2", A, C)
    s.frame("p1", A, B, tag(10), note="tagged in, untagged back").frame("p1", GROUP, A).frame("p2", GROUP, C)
    s.frame("p1", A, A).do("port_set", port="p1", set={"hairpin": False}).frame("p1", A, B).frame("p1", BROADCAST, B)
    s.do("port_set", port="p1", set={"hairpin": True, "isolated": True}).frame("p1", A, B).frame("p1", BROADCAST, B)
    yield s

    s = Scenario("isolated", "Isolated ports reach only ports that are not.", {
        "p1": {"isolated": True}, "p2": {"isolated": True}, "p3": {}, "p4": {},
    })
    s.learn(p1=A, p2=B, p3=C, p4=D)
    for port, source in zip(FOUR, (A, B, C, D)):
        for destination in (A, B, C, D):
            if destination != source:
                s.frame(port, destination, source)
        every_class(s, port, source)
    every_class(s, "host", HOST)
    s.frame("host", A, HOST).do("port_set", port="p2", set={"isolated": False}).frame("p1", B, A).frame("p2", A, B)
    yield s

    s = Scenario("learning-off", "No address is learned from p1; it still gets frames.", {
        "p1": {"learning": False}, "p2": {}, "p3": {},
    })
    s.frame("p1", BROADCAST, A).frame("p2", A, B, note="still unknown").frame("p1", B, A).observe()
    s.frame("p2", BROADCAST, A, note="A is learned elsewhere").frame("p1", BROADCAST, A, note="must not move it")
    s.frame("p3", A, C).do("port_set", port="p1", set={"learning": True}).frame("p1", BROADCAST, A).frame("p3", A, C)
    s.do("port_set", port="p1", set={"learning": False}).frame("p3", A, C, note="what was learned stays")
    yield s.observe()

    for flag in ("flood", "mcast_flood", "bcast_flood"):
        name = flag.replace("_", "-") + "-off"
        s = Scenario(name, f"p3 has {flag} off; p4 is tagged and has it off too.", {
            "p1": hybrid(1, 10), "p2": hybrid(1, 10), "p3": {flag: False, **hybrid(1, 10)},
            "p4": {flag: False, **trunk(1, 10)},
        }, host=hybrid(1, 10))
        s.learn(p4=(D, tag(1)))
        for tags in ((), (tag(10),)):
            every_class(s, "p1", A, *tags)
            every_class(s, "p3", C, *tags)
            every_class(s, "host", HOST, *tags)
        s.frame("p1", C, A, note="p3 known: no flood").frame("p1", "33:33:00:00:00:01", A)
        s.do("port_set", port="p3", set={flag: True})
        every_class(s, "p1", A)
        yield s

    s = Scenario("all-floods-off", "A port that gets nothing but what is known to be there.", {
        "p1": {}, "p2": {"flood": False, "mcast_flood": False, "bcast_flood": False}, "p3": {},
    })
    every_class(s, "p1", A)
    s.frame("p2", BROADCAST, B, note="p2 itself floods out")
    s.frame("p1", B, A)
    every_class(s, "p2", B)
    every_class(s, "host", HOST)
    yield s

    s = Scenario("bpdu-guard", "BPDU guard while the bridge runs no spanning tree.", {
        "p1": {"bpdu_guard": True}, "p2": {}, "p3": {},
    })
    bpdu = bytes.fromhex("0180c2000000" + A.replace(":", "") + "0026424203000000000000" + "00" * 32)
    s.raw("p1", bpdu, note="a configuration BPDU").frame("p1", BROADCAST, A).frame("p2", A, B).raw("p2", bpdu)
    yield s.observe()


def hosts():
    """The bridge's own port."""
    s = Scenario("host-access", "The host is untagged in VLAN 10.", {
        "p1": access(10), "p2": access(20), "p3": trunk(10, 20),
    }, host=access(10))
    s.learn(p1=A, p2=B)
    s.frame("p1", HOST, A).frame("p2", HOST, B).frame("p3", HOST, C, tag(10)).frame("p3", HOST, C, tag(20))
    s.frame("p1", BROADCAST, A).frame("p2", BROADCAST, B).frame("p3", GROUP, C, tag(10, 5, 1)).frame("p3", GROUP, C, tag(20))
    s.frame("host", A, HOST).frame("host", C, HOST).frame("host", B, HOST, note="in another VLAN")
    s.frame("host", BROADCAST, HOST).frame("host", BROADCAST, HOST, tag(10)).frame("host", BROADCAST, HOST, tag(20))
    s.frame("host", BROADCAST, HOST, tag(0, 6), note="priority tag").frame("host", NOBODY, E, note="another source")
    s.frame("p1", E, A, note="an address heard from the host's side")
    yield s.observe()

    s = Scenario("host-trunk", "The host is tagged in 10 and 20, without PVID.", {
        "p1": access(10), "p2": access(20), "p3": trunk(10, 20, 30),
    }, host=trunk(10, 20))
    s.frame("p1", HOST, A).frame("p2", HOST, B).frame("p3", HOST, C, tag(30)).frame("p3", HOST, C, tag(20, 7, 1))
    s.frame("p1", BROADCAST, A).frame("p2", BROADCAST, B).frame("p3", BROADCAST, C, tag(30)).frame("p3", BROADCAST, C, tag(10, 3))
    for tags in ((), (tag(10),), (tag(20, 4, 1),), (tag(30),), (tag(0, 2),)):
        s.frame("host", BROADCAST, HOST, *tags).frame("host", A, HOST, *tags)
    s.frame("p1", HOST, A, tag(10)).frame("p3", HOST, C, tag(10), tag(99), note="an inner tag")
    yield s.observe()

    s = Scenario("host-not-member", "The host is in no VLAN that the ports use.", {
        "p1": access(10), "p2": access(10), "p3": access(1),
    }, host={"vlans": []})
    s.frame("p1", HOST, A).frame("p1", BROADCAST, A).frame("p3", HOST, C).frame("p3", BROADCAST, C)
    s.frame("host", BROADCAST, HOST).frame("host", A, HOST).frame("host", A, HOST, tag(10))
    s.do("vlan_add", port="host", vid=10, pvid=True, untagged=True).frame("p1", HOST, A).frame("p1", BROADCAST, A)
    s.frame("host", BROADCAST, HOST).do("vlan_del", port="host", vid=10).frame("p1", HOST, A).frame("host", A, HOST)
    yield s.observe()

    s = Scenario("host-promiscuous", "A promiscuous host sees what passes in its VLANs.", {
        "p1": access(10), "p2": access(10), "p3": access(20), "p4": access(20),
    }, host={"promisc": True, **hybrid(10, 30)})
    s.learn(p1=A, p2=B, p3=C, p4=D)
    s.frame("p1", B, A, note="known, not for the host").frame("p3", D, C, note="not its VLAN")
    every_class(s, "p1", A)
    every_class(s, "p3", C)
    yield s
