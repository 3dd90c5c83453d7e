"""Building blocks of the scenario generator: frames, tags, scenarios.

What it is: the vocabulary in which the `topics_*.py` files describe what to
ask a kernel bridge. Pure; used by `generate.py` only.

Guarantees: the same calls give the same bytes. Every frame of a scenario
carries its own number in the payload, so that an output names its cause.
"""

import struct

ETHERTYPE = 0x88B5  # IEEE 802 local experimental: no stack answers it
C_TAG = 0x8100
S_TAG = 0x88A8
BROADCAST = "ff:ff:ff:ff:ff:ff"
GROUP = "01:00:5e:01:02:03"
HOST = "02:00:00:00:b0:00"  # the bridge's own address in every scenario
# Stations, and an address nobody has.
A, B, C, D, E = (f"02:00:00:00:00:0{letter}" for letter in "abcde")
NOBODY = "02:00:00:00:00:99"


def mac(text):
    """Six bytes of a colon-separated address."""
    return bytes.fromhex(text.replace(":", ""))


def tag(vid, pcp=0, dei=0, tpid=C_TAG):
    """A VLAN tag; `vid` 0–4095, `pcp` 0–7, `dei` 0–1."""
    return struct.pack("!HH", tpid, pcp << 13 | dei << 12 | vid)


def access(vid):
    """The VLAN table of an access port."""
    return {"vlans": [{"vid": vid, "pvid": True, "untagged": True}]}


def trunk(*vids):
    """The VLAN table of a port that is a tagged member and has no PVID."""
    return {"vlans": [{"vid": vid} for vid in vids]}


def hybrid(native, *vids):
    """Untagged in `native`, tagged in `vids`."""
    return {"vlans": access(native)["vlans"] + trunk(*vids)["vlans"]}


class Scenario:
    """One scenario under construction; `steps` in the order they happen."""

    def __init__(self, name, about, ports, bridge=None, host=None):
        self.name = name
        self.about = about
        self.bridge = bridge or {}
        self.ports = ports
        self.host = host
        self.steps = []

    def frame(self, port, dst, src, *tags, note=None, length=None, ethertype=ETHERTYPE):
        """Injects a frame; `length` counts all its bytes, tags included."""
        head = mac(dst) + mac(src) + b"".join(tags) + struct.pack("!H", ethertype)
        body = b"#%04d" % len(self.steps) + b"kernel oracle"
        if length is not None:
            body = (body + bytes(range(256)) * (length // 256 + 1))[: max(0, length - len(head))]
            head = head[:length]
        return self.raw(port, head + body, note)

    def raw(self, port, data, note=None):
        """Injects exactly these bytes."""
        step = {"op": "frame", "port": port, "hex": data.hex()}
        self.steps.append({**step, "note": note} if note else step)
        return self

    def do(self, op, **values):
        """Appends a configuration step."""
        self.steps.append({"op": op, **values})
        return self

    def observe(self):
        """Asks for the address and VLAN tables."""
        return self.do("observe")

    def learn(self, **stations):
        """Each `port=address` (or `port=(address, tag)`) says hello to nobody."""
        for port, station in stations.items():
            address, *tags = station if isinstance(station, tuple) else (station,)
            self.frame(port, BROADCAST, address, *tags, note=f"{port} is heard")
        return self

    def document(self):
        """The scenario as plain data."""
        parts = {"name": self.name, "about": self.about, "bridge": self.bridge, "ports": self.ports}
        if self.host is not None:
            parts["host"] = self.host
        return {**parts, "steps": self.steps}
