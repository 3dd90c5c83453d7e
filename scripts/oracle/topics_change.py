"""Scenarios: ports and VLANs that come and go while stations are known.

What it is: a topic of the scenario generator; pure descriptions, no answers.
"""

from scenario_kit import A, B, BROADCAST, C, D, HOST, NOBODY, Scenario, access, hybrid, tag, trunk


def scenarios():
    """All scenarios of this topic."""
    for operation, name, about in (
        ("carrier", "carrier-lost", "A port without carrier: its addresses are forgotten at once."),
        ("admin", "port-down", "A port set down: its addresses are forgotten at once."),
    ):
        s = Scenario(name, about, {"p1": hybrid(10, 20), "p2": hybrid(10, 20), "p3": hybrid(10, 20)})
        s.learn(p1=A, p2=B, p3=C).learn(p2=(B, tag(20)))
        s.do("fdb_add", port="p2", mac=D, vid=10).frame("p1", B, A).do(operation, port="p2", up=False).observe()
        s.frame("p1", B, A, note="B forgotten: flooded").frame("p1", BROADCAST, A).frame("p1", D, A, note="static behind it")
        s.frame("p2", BROADCAST, B, note="sent by the port that is down").frame("p3", B, C, tag(20)).observe()
        s.do(operation, port="p2", up=True).frame("p1", B, A).frame("p2", A, B).frame("p1", B, A).frame("p1", D, A)
        yield s.observe()

    s = Scenario("port-leaves", "A port taken out of the bridge.", {"p1": {}, "p2": {}, "p3": {}})
    s.learn(p1=A, p2=B, p3=C).do("fdb_add", port="p2", mac=D, vid=1).do("detach", port="p2").observe()
    s.frame("p1", B, A).frame("p2", A, B, note="outside now").frame("p1", BROADCAST, A).frame("p1", D, A)
    yield s.observe()

    s = Scenario("vlan-removed", "A VLAN taken from a port: its addresses there go, others stay.", {
        "p1": hybrid(10, 20), "p2": hybrid(10, 20), "p3": hybrid(10, 20),
    })
    s.learn(p1=A, p2=B, p3=C).learn(p1=(A, tag(20)), p2=(B, tag(20)))
    s.do("fdb_add", port="p2", mac=D, vid=20).do("vlan_del", port="p2", vid=20).observe()
    s.frame("p1", B, A, tag(20), note="unknown, and p2 is no member").frame("p1", D, A, tag(20)).frame("p2", BROADCAST, B, tag(20))
    s.frame("p1", B, A, note="VLAN 10 untouched").do("vlan_add", port="p2", vid=20).observe().frame("p1", D, A, tag(20)).frame("p2", A, B, tag(20))
    s.do("vlan_del", port="p2", vid=10).observe().frame("p2", BROADCAST, B, note="no PVID left").frame("p1", B, A).frame("p1", BROADCAST, A)
    yield s.observe()

    s = Scenario("pvid-moves", "The PVID passes from VLAN to VLAN.", {"p1": hybrid(10, 20), "p2": trunk(10, 20, 30), "p3": access(20)})
    s.frame("p1", BROADCAST, A).do("vlan_add", port="p1", vid=20, pvid=True, untagged=True).observe().frame("p1", BROADCAST, A).frame("p2", A, B, tag(10))
    s.do("vlan_add", port="p1", vid=20).observe().frame("p1", BROADCAST, A, note="adding again without PVID").frame("p3", A, C)
    s.do("vlan_add", port="p1", vid=30, pvid=True).frame("p1", BROADCAST, A).do("vlan_del", port="p1", vid=30).frame("p1", BROADCAST, A)
    yield s.observe()

    s = Scenario("untagged-toggles", "The untagged flag given and taken on a live port.", {"p1": access(10), "p2": access(10), "p3": trunk(10)})
    s.learn(p1=A, p2=B).do("vlan_add", port="p2", vid=10, pvid=True).frame("p1", B, A, note="now tagged").frame("p2", A, B, tag(10))
    s.do("vlan_add", port="p2", vid=10, untagged=True).observe().frame("p1", B, A).frame("p2", A, B, note="PVID lost?")
    s.do("vlan_add", port="p3", vid=10, pvid=True, untagged=True).frame("p3", A, C).frame("p1", C, A)
    yield s.observe()

    s = Scenario("ranges-live", "Ranges added and removed, overlapping what is there.", {"p1": trunk("100-110"), "p2": trunk("100-110"), "p3": hybrid(5, 105)})
    s.frame("p1", BROADCAST, A, tag(105)).do("vlan_del", port="p2", vid="103-106").observe().frame("p1", BROADCAST, A, tag(105)).frame("p1", BROADCAST, A, tag(102))
    s.do("vlan_add", port="p2", vid="105-200").observe().frame("p1", BROADCAST, A, tag(106)).frame("p2", A, B, tag(104)).frame("p2", A, B, tag(150))
    s.do("vlan_add", port="p1", vid="140-160", untagged=True).frame("p2", A, B, tag(150)).do("vlan_del", port="p1", vid="1-4094").frame("p2", NOBODY, B, tag(150))
    yield s.observe()

    s = Scenario("flags-live", "Flags changed between frames.", {"p1": {}, "p2": {}, "p3": {}})
    s.learn(p1=A, p2=B, p3=C)
    for flag, off in (("flood", False), ("mcast_flood", False), ("bcast_flood", False), ("isolated", True), ("learning", False), ("hairpin", True)):
        s.do("port_set", port="p2", set={flag: off})
        s.frame("p1", NOBODY, A).frame("p1", BROADCAST, A).frame("p2", BROADCAST, B).frame("p1", B, A).frame("p2", HOST, B)
        s.do("port_set", port="p2", set={flag: not off})
    yield s.observe()
