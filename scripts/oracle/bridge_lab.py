"""One kernel bridge with TAP ports: built from a scenario, played, observed.

What it is: the part of the guest that knows the scenario format (described in
`tests/data/oracle/README.md`). Runs only inside the guest of
`scripts/kernel-oracle`, single-threaded.

Guarantees: ports are TAP devices held by this process, so what is written is
what the bridge port receives and what is read is what the bridge sent, tags in
band. A frame that nobody injected is an error of the scenario, not a result.
Every device is gone when `play` returns.

It does not decide what is right; it writes down what the kernel did.
"""

import contextlib
import fcntl
import json
import os
import select
import struct
import subprocess
import time

import host_port

BRIDGE = "br0"
BRIDGE_MAC = "02:00:00:00:b0:00"
PORT_NAMES = ("p1", "p2", "p3", "p4")
# The kernel delivers within the write, so this is slack; a frame later than that
# is reported as one nobody injected, never counted for another frame.
SETTLE_MILLISECONDS = 5
HOST_MTU = 65535  # the host's end limits nothing; the ports' MTUs are the subject
STATE_SECONDS = 5.0  # carrier changes reach the bridge after up to a second
FLAG_WORDS = {
    "hairpin": "hairpin",
    "isolated": "isolated",
    "learning": "learning",
    "flood": "flood",
    "mcast_flood": "mcast_flood",
    "bcast_flood": "bcast_flood",
    "bpdu_guard": "guard",
}
TUNSETIFF = 0x400454CA
TUNSETCARRIER = 0x400454E2
IFF_TAP_NO_PI = 0x1002


class Refused(Exception):
    """The kernel refused a configuration command."""


def run(words):
    """Runs an iproute2 command; raises `Refused` with its message."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused(f"{' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def run_batch(tool, lines):
    """Runs many commands of one tool in one process, stopping at a refusal."""
    if not lines:
        return
    text = "\n".join(" ".join(line) for line in lines) + "\n"
    words = [tool, "-batch", "-"]
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Refused(f"{tool} batch:\n{text}{done.stderr.strip()}")


def vlan_words(verb, device, entry):
    """Words of a `bridge vlan` command for one entry of a scenario."""
    words = ["vlan", verb, "dev", device, "vid", str(entry["vid"])]
    if verb == "add":
        words += [flag for flag in ("pvid", "untagged") if entry.get(flag)]
    return words + (["self"] if device == BRIDGE else [])


def bridge_words(options):
    """Words after `type bridge` for the options of a scenario."""
    words = []
    for key, value in options.items():
        if key == "default_pvid":
            words += ["vlan_default_pvid", str(value)]
        elif key == "ageing_ms":
            words += ["ageing_time", str(value // 10)]  # the kernel takes 1/100 s
        elif key in ("vlan_filtering", "group_fwd_mask"):
            words += [key, str(int(value))]
        elif key == "vlan_protocol":
            words += [key, value]
        else:
            raise ValueError(f"unknown bridge option {key!r}")
    return words


def port_commands(name, settings):
    """The `bridge` and `ip` command lines for port settings of a scenario."""
    bridge_lines, ip_lines, flags = [], [], []
    for key, value in settings.items():
        if key in FLAG_WORDS:
            flags += [FLAG_WORDS[key], "on" if value else "off"]
        elif key == "group_fwd_mask":
            words = ["link", "set", "dev", name, "type", "bridge_slave"]
            ip_lines.append([*words, "group_fwd_mask", str(value)])
        elif key == "mtu":
            ip_lines.append(["link", "set", "dev", name, "mtu", str(value)])
        elif key not in ("mac", "vlans"):
            raise ValueError(f"unknown port setting {key!r}")
    if flags:
        bridge_lines.append(["link", "set", "dev", name, *flags])
    return bridge_lines, ip_lines


class Lab:
    """A bridge with its TAP ports and the host's end. Use as a context."""

    def __init__(self, scenario):
        self.taps = {}
        self.down = set()
        self.default_pvid = scenario.get("bridge", {}).get("default_pvid", 1)
        self.ports = scenario["ports"]
        self.host = scenario.get("host", {})
        self.bridge_mac = self.host.get("mac", BRIDGE_MAC)
        self.own_macs = {self.bridge_mac}
        self.host_socket = None
        self.build({"vlan_filtering": 1, **scenario.get("bridge", {})})

    def build(self, options):
        """Creates devices, sets VLANs and flags, waits until all forward."""
        first = ["link", "add", "name", BRIDGE, "address", self.bridge_mac, "type", "bridge"]
        first += ["mcast_snooping", "0", "stp_state", "0", "forward_delay", "0"]
        ip_lines = [first + bridge_words(options)]
        bridge_lines, late_lines = [], []
        for name, settings in self.ports.items():
            if name not in PORT_NAMES:
                raise ValueError(f"port {name!r} is none of {PORT_NAMES}")
            self.open_tap(name)
            mac = settings.get("mac", BRIDGE_MAC[:-1] + name[1:])
            self.own_macs.add(mac)
            ip_lines.append(["link", "set", "dev", name, "address", mac])
            ip_lines.append(["link", "set", "dev", name, "master", BRIDGE])
            bridge_lines += self.vlan_lines(name, settings)
            of_bridge, of_ip = port_commands(name, settings)
            bridge_lines += of_bridge
            late_lines += of_ip
        bridge_lines += self.vlan_lines(BRIDGE, self.host)
        late_lines.append(["link", "set", "dev", BRIDGE, "mtu", str(HOST_MTU)])
        if self.host.get("promisc"):
            late_lines.append(["link", "set", "dev", BRIDGE, "promisc", "on"])
        late_lines += [["link", "set", "dev", name, "up"] for name in [*self.ports, BRIDGE]]
        run_batch("ip", ip_lines)
        run_batch("bridge", bridge_lines)
        run_batch("ip", late_lines)
        for name in self.ports:
            self.wait_state(name, forwarding=True)
        self.host_socket = host_port.HostPort(BRIDGE)
        self.collect()  # whatever the devices said while coming up

    def vlan_lines(self, device, settings):
        """Commands that replace the default VLAN by the scenario's table."""
        if "vlans" not in settings:
            return []
        lines = []
        if self.default_pvid:
            lines.append(vlan_words("del", device, {"vid": self.default_pvid}))
        return lines + [vlan_words("add", device, entry) for entry in settings["vlans"]]

    def open_tap(self, name):
        """Creates the TAP device of a port and keeps its descriptor."""
        tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        self.taps[name] = tap
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))

    def wait_state(self, name, forwarding):
        """Waits until the bridge sees the port as forwarding (or disabled)."""
        wanted = "3" if forwarding else "0"
        until = time.monotonic() + STATE_SECONDS
        while True:
            with open(f"/sys/class/net/{name}/brport/state", encoding="ascii") as file:
                state = file.read().strip()
            if state == wanted:
                return
            if time.monotonic() > until:
                raise TimeoutError(f"port {name} stays in state {state}, not {wanted}")
            time.sleep(0.01)

    def inject(self, port, frame):
        """Sends a frame into the bridge; returns frames out, by port."""
        early = self.collect(settle=False)
        if early:
            raise RuntimeError(f"frames nobody injected: {early}")
        if port == "host":
            self.host_socket.send(frame)
        else:
            try:
                os.write(self.taps[port], frame)
            except OSError:
                if port not in self.down:
                    raise
        return self.collect()

    def collect(self, settle=True):
        """Reads all ports until they are quiet; returns hex frames by port."""
        frames = {name: [] for name in [*self.taps, "host"]}
        readers = {tap: name for name, tap in self.taps.items()}
        readers[self.host_socket.fileno()] = "host"
        poll = select.poll()
        for descriptor in readers:
            poll.register(descriptor, select.POLLIN)
        while True:
            ready = poll.poll(SETTLE_MILLISECONDS if settle else 0)
            ready = [descriptor for descriptor, event in ready if event & select.POLLIN]
            if not ready:
                return {name: found for name, found in frames.items() if found}
            for descriptor in ready:
                name = readers[descriptor]
                if name == "host":
                    frame = self.host_socket.receive()
                else:
                    frame = os.read(descriptor, 65536)
                frames[name].append(frame.hex())

    def observe(self):
        """The addresses and VLANs as the kernel lists them, host MACs left out."""
        addresses = []
        for entry in json.loads(run(["bridge", "-j", "fdb", "show", "br", BRIDGE]) or "[]"):
            state = entry.get("state") or "dynamic"
            own = state == "permanent" and entry["mac"] in self.own_macs
            if "master" not in entry or own:
                continue
            port = "host" if entry["ifname"] == BRIDGE else entry["ifname"]
            addresses.append([entry.get("vlan", 0), entry["mac"], port, state])
        vlans = {}
        for table in json.loads(run(["bridge", "-j", "vlan", "show"]) or "[]"):
            name = "host" if table["ifname"] == BRIDGE else table["ifname"]
            vlans[name] = vlan_texts(table["vlans"])
        order = [name for name in [*PORT_NAMES, "host"] if name in vlans]
        return {"fdb": sorted(addresses), "vlans": {name: vlans[name] for name in order}}

    def close(self):
        """Removes every device."""
        if self.host_socket:
            self.host_socket.close()
        with contextlib.suppress(Refused):  # absent when building it failed
            run(["ip", "link", "del", "dev", BRIDGE])
        for tap in self.taps.values():
            os.close(tap)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.close()


def vlan_texts(entries):
    """`10`, `10-20`, with ` pvid` and ` untagged`; equal neighbours are joined."""
    words = {"PVID": " pvid", "Egress Untagged": " untagged"}
    ranges = []
    for entry in entries:
        first, last = entry["vlan"], entry.get("vlanEnd", entry["vlan"])
        flags = "".join(words[flag] for flag in entry.get("flags", []))
        if ranges and ranges[-1][1] + 1 == first and ranges[-1][2] == flags:
            ranges[-1][1] = last
        else:
            ranges.append([first, last, flags])
    return [f"{a}{f'-{b}' if b != a else ''}{flags}" for a, b, flags in ranges]


def device_of(port):
    """The device that a scenario's port name stands for."""
    return BRIDGE if port == "host" else port


def configure(lab, step):
    """Carries out one configuration step; raises `Refused`."""
    operation, port = step["op"], step.get("port")
    if operation in ("vlan_add", "vlan_del"):
        run(["bridge", *vlan_words(operation[5:], device_of(port), step)])
    elif operation in ("fdb_add", "fdb_del"):
        words = ["bridge", "fdb", "replace" if operation == "fdb_add" else "del"]
        words += [step["mac"], "dev", device_of(port), "self" if port == "host" else "master"]
        if operation == "fdb_add":
            words += [step.get("kind", "static"), *(["sticky"] if step.get("sticky") else [])]
        words += ["vlan", str(step["vid"])] if "vid" in step else []
        run(words)
    elif operation == "fdb_flush":
        words = ["bridge", "fdb", "flush", "dev", BRIDGE]
        words += ["brport", port] if port else []
        run(words + (["vlan", str(step["vid"])] if "vid" in step else []))
    elif operation == "port_set":
        of_bridge, of_ip = port_commands(port, step["set"])
        run_batch("bridge", of_bridge)
        run_batch("ip", of_ip)
    elif operation == "bridge_set":
        run(["ip", "link", "set", "dev", BRIDGE, "type", "bridge", *bridge_words(step["set"])])
    elif operation in ("admin", "carrier"):
        if operation == "admin":
            (lab.down.discard if step["up"] else lab.down.add)(port)
            run(["ip", "link", "set", "dev", port, "up" if step["up"] else "down"])
        else:
            fcntl.ioctl(lab.taps[port], TUNSETCARRIER, struct.pack("i", int(step["up"])))
        lab.wait_state(port, forwarding=step["up"])
    elif operation == "detach":
        run(["ip", "link", "set", "dev", port, "nomaster"])
    elif operation == "wait":
        time.sleep(step["ms"] / 1000)
    else:
        raise ValueError(f"unknown step {operation!r}")


def play(scenario):
    """Plays a scenario; returns one outcome per step and the final tables."""
    outcomes = []
    with Lab(scenario) as lab:
        for step in scenario["steps"]:
            if step["op"] == "frame":
                frame = bytes.fromhex(step["hex"])
                outcomes.append({"out": lab.inject(step["port"], frame)})
            elif step["op"] == "observe":
                outcomes.append(lab.observe())
            else:
                try:
                    configure(lab, step)
                    outcomes.append({"accepted": True})
                except Refused as refusal:
                    outcomes.append({"accepted": False, "why": str(refusal)})
        return {"steps": outcomes, "end": lab.observe()}
