"""Scenarios: random bridges, random frames, from fixed seeds.

What it is: a topic of the scenario generator. Each seed gives a bridge whose
ports, flags and VLAN tables are drawn at random, and traffic between few
addresses in few VLANs, so that known destinations, moves, filtered frames and
changes of the configuration meet each other.
"""

import random

from scenario_kit import A, B, BROADCAST, C, C_TAG, D, GROUP, HOST, NOBODY, S_TAG, Scenario, tag

SEEDS = range(1, 9)
FRAMES = 60
VIDS = (1, 10, 20, 4094)
STATIONS = (A, B, C, D)
DESTINATIONS = (*STATIONS, HOST, NOBODY, BROADCAST, GROUP, "01:80:c2:00:00:0e", "01:80:c2:00:00:00")


def random_table(dice):
    """A VLAN table; at most one PVID."""
    vids = dice.sample(VIDS, dice.randint(1, len(VIDS)))
    pvid = dice.choice([*vids, None])
    table = []
    for vid in sorted(vids):
        entry = {"vid": vid}
        if vid == pvid:
            entry["pvid"] = True
        if dice.random() < (0.8 if vid == pvid else 0.2):
            entry["untagged"] = True
        table.append(entry)
    return table


def random_port(dice):
    """Settings of a port; every flag is at its default most of the time."""
    settings = {"vlans": random_table(dice)} if dice.random() < 0.9 else {}
    for flag, usual in (
        ("hairpin", False),
        ("isolated", False),
        ("learning", True),
        ("flood", True),
        ("mcast_flood", True),
        ("bcast_flood", True),
    ):
        if dice.random() < 0.12:
            settings[flag] = not usual
    if dice.random() < 0.2:
        settings["mtu"] = 100
    if dice.random() < 0.2:
        settings["group_fwd_mask"] = dice.choice((1, 4, 0x4000, 0xFFFD))
    return settings


def random_tags(dice):
    """None, one or two tags, most often of a VLAN that is in use."""
    tags = []
    for _ in range(dice.choice((0, 1, 1, 1, 2))):
        vid = dice.choice((*VIDS, *VIDS, 0, 77, 4095))
        tpid = S_TAG if dice.random() < 0.08 else C_TAG
        tags.append(tag(vid, dice.randrange(8), dice.randrange(2), tpid))
    return tags


def random_change(dice, scenario, ports):
    """One configuration step."""
    port = dice.choice(ports)
    kind = dice.randrange(5)
    if kind == 0:
        scenario.do("vlan_add", port=port, vid=dice.choice(VIDS), pvid=dice.random() < 0.4, untagged=dice.random() < 0.5)
    elif kind == 1:
        scenario.do("vlan_del", port=port, vid=dice.choice(VIDS))
    elif kind == 2:
        flag = dice.choice(("hairpin", "isolated", "learning", "flood", "mcast_flood", "bcast_flood"))
        scenario.do("port_set", port=port, set={flag: dice.random() < 0.5})
    elif kind == 3:
        scenario.do("fdb_add", port=port, mac=dice.choice(STATIONS), vid=dice.choice(VIDS))
    else:
        scenario.do("fdb_flush", port=port)
    scenario.observe()


def scenarios():
    """One scenario per seed."""
    for seed in SEEDS:
        dice = random.Random(seed)
        ports = ["p1", "p2", "p3", "p4"][: dice.randint(3, 4)]
        bridge = {"vlan_filtering": 0} if seed == 8 else {}
        if dice.random() < 0.4:
            bridge["group_fwd_mask"] = 0x4000
        host = {"vlans": random_table(dice)} if dice.random() < 0.8 else {}
        tables = {name: random_port(dice) for name in ports}
        about = f"Random bridge and traffic, seed {seed}."
        s = Scenario(f"random-{seed}", about, tables, bridge=bridge, host=host)
        for number in range(FRAMES):
            if number % 12 == 11:
                random_change(dice, s, ports)
            port = dice.choice([*ports, *ports, "host"])
            source = HOST if port == "host" else dice.choice(STATIONS)
            length = dice.choice((None, None, None, None, None, None, 18, 118, 119, 122))
            s.frame(port, dice.choice(DESTINATIONS), source, *random_tags(dice), length=length)
        yield s.observe()
