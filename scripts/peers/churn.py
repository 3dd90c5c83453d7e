"""What a soak does to a running switch every second: ports, configuration, captures, questions.

Each kind of change takes its turns by the number of the second, so that a failure can be found again. What one
second attached the next one takes away; between the two, `Churn.rest` leaves nothing but what was there at
the start, for samples that can be compared. Every change must succeed.
"""

import os
import signal
import time

from api import PATIENCE, Api
from lab import Failed, run
from switches import HOSTS, Ours

# Who may lose its device: flows from there may end early.
FLEETING = "c"


class Soaked(Ours):
    """vswitchd with two `nic` ports, two TAPs in their hosts' namespaces and the node's own port."""

    def __init__(self, binary):
        super().__init__("soak", binary, "nic", [])
        self.folder = None

    def make(self):
        self.veths()
        # The TAPs of c and d are the switch's; a spare pair is for a port that comes and goes.
        for index, host in enumerate(HOSTS):
            if host in "cd":
                run("ip", "-n", self.netns["sw"], "link", "del", f"p{index}")
                self.device[host] = f"p{index}"
        spare = ["x-nic", "type", "veth", "peer", "name", "x-far"]
        run("ip", "-n", self.netns["sw"], "link", "add", *spare)
        for device in ("x-nic", "x-far"):
            run("ip", "-n", self.netns["sw"], "link", "set", device, "up")
        self.devices_before = self.devices_now()
        config = ["[bridge.br0]", "vlan_stats = true", "[host.node]", 'bridge = "br0"']
        config += ['addresses = ["10.98.0.9/24"]']
        for index, host in enumerate(HOSTS):
            config += [f"[port.p{index}]", 'bridge = "br0"']
            if host in "cd":
                config += ['kind = "tap"', f'netns = "{self.netns[host]}"']
            else:
                config += ['kind = "nic"']
        self.launch(config)
        self.api = Api(self.lab.dir / self.name / "socket")
        for host in "cd":
            look = ["link", "show", self.device[host]]
            self.retry(lambda: run("ip", "-n", self.netns[host], *look))

    def devices_now(self):
        """Name, flags, MTU and promiscuity of each device of the switch's namespace."""
        lines = run("ip", "-d", "-o", "link", netns=self.netns["sw"]).splitlines()
        kept = {}
        for line in lines:
            words = line.split()
            wanted = ["mtu", "promiscuity", "allmulti"]
            values = {word: words[words.index(word) + 1] for word in wanted if word in words}
            flags = sorted(set(words[2].strip("<>").split(",")) - {"LOWER_UP", "NO-CARRIER"})
            kept[words[1].split("@")[0].rstrip(":")] = (flags, values)
        return kept

    def leftovers(self):
        """What is there, or is other than it was, after the daemon ended."""
        found = []
        now = self.devices_now()
        for name in sorted(self.devices_before.keys() | now.keys()):
            if self.devices_before.get(name) != now.get(name):
                found.append(f"{name}: {self.devices_before.get(name)} is now {now.get(name)}")
        for host in HOSTS:
            names = run("ip", "-o", "link", netns=self.netns[host]).splitlines()
            names = {line.split()[1].split("@")[0].rstrip(":") for line in names}
            found += [f"{name} in host {host}" for name in names - {"lo", "eth0"}]
        found += run("nft", "list", "tables", netns=self.netns["sw"], check=False).splitlines()
        return found


class Churn:
    """The changes; `errors` are those that failed."""

    def __init__(self, stand):
        self.stand, self.api = stand, stand.api
        self.base = self.api.call("Switch.GetConfig")["config"]
        self.second = 0
        self.attached = []
        self.captures = []
        self.captured = 0
        self.times = {}
        self.errors = []
        self.watch = self.api.stream("Switch.Watch")
        self.events = {}

    def step(self):
        """All of one second."""
        self.turn(self.attach, self.reattach)
        self.turn(self.configure)
        self.turn(self.capture)
        self.turn(self.ask)
        self.turn(self.listen)
        self.second += 1

    def rest(self):
        """Takes away what the last second brought."""
        self.turn(self.end_captures, self.detach)

    def end(self):
        """Puts the configuration back to what it was at the start."""
        self.rest()
        self.turn(lambda: self.call("Switch.Apply", config=self.base), self.listen)
        self.watch.close()

    def turn(self, *steps):
        for step in steps:
            try:
                step()
            except (Failed, OSError, ValueError) as error:
                self.errors.append(f"second {self.second}: {error}")

    def call(self, method, **parameters):
        start = time.monotonic()
        reply = self.api.call(method, **parameters)
        spent = time.monotonic() - start
        # An answer that is waited for so long is a failure: we were stopped, and the daemon perhaps too.
        if spent < PATIENCE:
            self.times.setdefault(method, []).append(spent)
        return reply

    # ---- ports

    def attach(self):
        number, kind = self.second, self.second % 5
        tap = {"bridge": "br0", "kind": "tap"}
        if kind == 0:
            self.add_port(f"x-tap{number % 100}", tap)
        elif kind == 1:
            self.add_port("x-nic", {"bridge": "br0", "kind": "nic"})
        elif kind == 2:
            # Moved to another namespace, and in another VLAN.
            self.add_port("x-far-tap", {**tap, "netns": self.stand.netns["d"], "vlan": 77})
        elif kind == 3:
            self.call("Switch.AddBridge", name="x-br", config={"fdb_max": 1000})
            self.attached.append(("DelBridge", {"name": "x-br", "cascade": True, "ifExists": True}))
            for port in ("x-one", "x-two"):
                self.call("Switch.AddPort", name=port, config={"bridge": "x-br", "kind": "tap"})
        else:
            larger = {**self.base, "port": {**self.base["port"]}}
            for port in range(8):
                larger["port"][f"x-many{port}"] = tap
            self.call("Switch.Apply", config=larger)
            self.attached.append(("Apply", {"config": self.base}))

    # What is to go may have gone already: the file does not know it.
    def add_port(self, name, config):
        self.call("Switch.AddPort", name=name, config=config)
        self.attached.append(("DelPort", {"name": name, "ifExists": True}))

    def detach(self):
        while self.attached:
            method, parameters = self.attached.pop()
            self.call(f"Switch.{method}", **parameters)

    def reattach(self):
        """Takes a port away that frames come and go by, and brings it back."""
        port = {3: "p1", 8: "p2"}.get(self.second % 10)
        if port is None:
            return
        self.call("Switch.DelPort", name=port)
        self.call("Switch.AddPort", name=port, config=self.base["port"][port])
        if port == "p2":
            self.stand.address_host(FLEETING)

    # ---- configuration

    def configure(self):
        number = self.second
        on = number // 10 % 2 == 0
        turns = [
            ("Switch.SetPort", {"name": "p0", "config": {"isolated": on}}),
            ("Switch.SetPort", {"name": "p0", "config": {"hairpin": on}}),
            ("Switch.SetPort", {"name": "p3", "config": {"mac_limit": 500 if on else None}}),
            ("Switch.SetPort", {"name": "p1", "config": {"mcast_flood": not on}}),
            ("Switch.SetBridge", {"name": "br0", "config": {"ageing": "30s" if on else None}}),
            ("Switch.SetBridge", {"name": "br0", "config": {"vlan_stats": on}}),
            ("Switch.SetBridge", {"name": "br0", "config": {"vlan_filtering": not on}}),
            ("Fdb.Flush", {"bridge": "br0"}),
        ]
        if number % 10 == 8:
            self.call("Switch.AddVlan", port="p3", first=200, last=240)
            self.call("Switch.DelVlan", port="p3", first=200, last=240)
        elif number % 10 == 9:
            # The file is another editor of the same configuration, and says what was at the start.
            os.kill(self.stand.pids()[0], signal.SIGHUP)
        else:
            method, parameters = turns[number % 10]
            self.call(method, **parameters)

    # ---- captures

    def capture(self):
        """One that is read and one whose client never reads."""
        ports = [f"p{index}" for index in range(len(HOSTS))]
        for shift, snaplen in ((0, 96), (1, 2000)):
            port = ports[(self.second + shift) % len(ports)]
            stream = self.api.stream("Debug.Capture", port=port, snaplen=snaplen)
            self.captures.append(stream)
            first = stream.message()
            if "error" in first:
                raise Failed(f"Capture {port}: {first}")

    def end_captures(self):
        captures, self.captures = self.captures, []
        for number, stream in enumerate(captures):
            if number == 0:
                replies = stream.waiting()
                self.captured += sum(len(reply["parameters"]["frames"]) for reply in replies)
            stream.close()

    # ---- questions

    def ask(self):
        for method in ("Switch.GetState", "Switch.GetHealth", "Stats.Ports", "Stats.Drops", "Daemon.GetInfo"):
            self.call(method)
        self.call("Fdb.List", bridge="br0")
        frame = "ffffffffffff" + "02000a000000" + "0800" + "00" * 46
        self.call("Debug.Trace", port="p0", frameHex=frame)

    def listen(self):
        """Reads the events; one that is an error counts as a failure."""
        for reply in self.watch.waiting():
            event = reply.get("parameters", {}).get("event")
            if event is None:
                continue
            self.events[event["kind"]] = self.events.get(event["kind"], 0) + 1
            if event["severity"] == "error":
                raise Failed(f"event {event['kind']} {event['object']}: {event['message']}")
