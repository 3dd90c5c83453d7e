"""Scenarios: static addresses, flushing, ageing, the bridge's own addresses.

What it is: a topic of the scenario generator; pure descriptions, no answers.
"""

from scenario_kit import A, B, BROADCAST, C, D, E, GROUP, HOST, NOBODY, Scenario, access, hybrid, tag, trunk


def scenarios():
    """All scenarios of this topic."""
    yield from static()
    yield from leaving()
    yield from own()


def static():
    """Entries that the operator made."""
    s = Scenario("static-entries", "Static addresses stay where they were put.", {
        "p1": hybrid(10, 20), "p2": hybrid(10, 20), "p3": hybrid(10, 20),
    })
    s.do("fdb_add", port="p2", mac=B, vid=10).observe()
    s.frame("p1", B, A, note="known though never heard").frame("p1", B, A, tag(20), note="not in VLAN 20")
    s.frame("p3", BROADCAST, B, note="B speaks elsewhere: a static entry that moves?").frame("p1", B, A).observe()
    s.do("fdb_add", port="p3", mac=A, vid=10, sticky=True).frame("p1", BROADCAST, A, note="sticky does not move").frame("p2", A, B).observe()
    s.do("fdb_add", port="p1", mac=C, vid=10, kind="dynamic").frame("p2", C, B).frame("p3", BROADCAST, C).frame("p2", C, B)
    s.do("fdb_del", port="p3", mac=A, vid=10).frame("p2", A, B, note="forgotten").frame("p1", BROADCAST, A).frame("p2", A, B)
    s.do("fdb_del", port="p1", mac=NOBODY, vid=10).do("fdb_add", port="p2", mac=GROUP, vid=10).frame("p1", GROUP, A)
    yield s.observe()

    s = Scenario("static-unreachable", "Static addresses behind ports that cannot deliver.", {
        "p1": access(10), "p2": access(10), "p3": {"isolated": True, **access(10)}, "p4": {"isolated": True, **access(10)},
    })
    s.do("fdb_add", port="p2", mac=B, vid=10).do("fdb_add", port="p2", mac=C, vid=20)
    s.do("fdb_add", port="p4", mac=D, vid=10).frame("p3", D, E, note="isolated both").frame("p1", D, A)
    s.do("admin", port="p2", up=False).frame("p1", B, A, note="static behind a port that is down").observe()
    s.do("admin", port="p2", up=True).frame("p1", B, A).do("vlan_del", port="p2", vid=10).observe().frame("p1", B, A)
    yield s.observe()

    s = Scenario("local-entries", "Permanent entries: addresses of the host that are not its MAC.", {
        "p1": access(10), "p2": access(10), "p3": access(20),
    }, host=hybrid(10, 20))
    s.do("fdb_add", port="p2", mac=B, vid=10, kind="local").frame("p1", B, A, note="local on p2: to the host")
    s.do("fdb_add", port="host", mac=C, vid=20, kind="local").frame("p3", C, D).frame("p1", C, A, note="VLAN 10: unknown")
    s.frame("p3", BROADCAST, C, note="a local address as source").frame("p1", BROADCAST, B).frame("p2", BROADCAST, B)
    yield s.observe()


def leaving():
    """How entries go away."""
    s = Scenario("flush", "Flushing by port, by VLAN, altogether; static entries included or not.", {
        "p1": hybrid(10, 20), "p2": hybrid(10, 20), "p3": hybrid(10, 20),
    })

    def fill():
        s.learn(p1=A, p2=B, p3=C).learn(p1=(A, tag(20)), p2=(B, tag(20)))
        s.do("fdb_add", port="p2", mac=E, vid=10)

    fill()
    s.do("fdb_flush", port="p1").observe().frame("p3", A, C).frame("p3", B, C)
    fill()
    s.do("fdb_flush", vid=20).observe().frame("p3", A, C, tag(20)).frame("p3", A, C)
    fill()
    s.do("fdb_flush", port="p2", vid=10).observe()
    fill()
    s.do("fdb_flush").observe().frame("p3", A, C).frame("p3", E, C)
    yield s

    s = Scenario("ageing", "An address is forgotten after the ageing time, refreshed by each frame.", {"p1": {}, "p2": {}, "p3": {}}, bridge={"ageing_ms": 2000})
    s.learn(p1=A, p2=B).do("fdb_add", port="p2", mac=E, vid=1).frame("p3", A, C)
    for _ in range(3):
        s.do("wait", ms=1000).frame("p1", BROADCAST, A, note="A refreshed, B and C silent")
    s.do("wait", ms=1000).observe().frame("p3", A, D).frame("p3", B, D, note="B forgotten").frame("p1", E, A, note="static stays")
    s.do("wait", ms=5000).observe().frame("p3", A, D)
    yield s

    s = Scenario("ageing-zero", "Ageing time 0: nothing is learned.", {"p1": {}, "p2": {}, "p3": {}}, bridge={"ageing_ms": 0})
    s.learn(p1=A).frame("p2", A, B).do("fdb_add", port="p3", mac=C, vid=1).frame("p1", C, A).observe()
    s.do("bridge_set", set={"ageing_ms": 300000}).learn(p1=A).frame("p2", A, B)
    yield s.observe()


def own():
    """The bridge's own address and its ports'."""
    s = Scenario("own-address", "The bridge's MAC as destination and as a forged source.", {
        "p1": hybrid(1, 10), "p2": hybrid(1, 10), "p3": hybrid(1, 10),
    }, host=hybrid(1, 10))
    s.learn(p1=A, p2=B)
    s.frame("p1", HOST, A).frame("p1", HOST, A, tag(10)).frame("p1", BROADCAST, HOST, note="forged").frame("p2", HOST, B)
    s.frame("p1", B, HOST, tag(10), note="forged, tagged").frame("p2", HOST, B, tag(10)).frame("host", A, HOST)
    s.frame("host", HOST, HOST, note="the host to itself").frame("p1", HOST, A, tag(20), note="filtered")
    yield s.observe()

    port_mac = "02:00:00:00:b0:02"
    s = Scenario("port-address", "A port device's own MAC is the host's too.", {"p1": {}, "p2": {}, "p3": {}})
    s.frame("p1", port_mac, A, note="p2's MAC").frame("p2", port_mac, B, note="on the port itself").frame("p3", BROADCAST, port_mac)
    s.frame("p1", port_mac, A)
    yield s.observe()

    s = Scenario("own-address-changes-vlan", "The host leaves and joins VLANs while addressed.", {
        "p1": hybrid(1, 10), "p2": hybrid(1, 10), "p3": trunk(1, 10),
    })
    s.frame("p1", HOST, A).frame("p1", HOST, A, tag(10), note="the host is not in 10").frame("p1", BROADCAST, A, tag(10))
    s.do("vlan_add", port="host", vid=10).frame("p1", HOST, A, tag(10)).do("vlan_del", port="host", vid=1).frame("p1", HOST, A)
    s.frame("host", BROADCAST, HOST).frame("host", A, HOST, tag(10))
    yield s.observe()
