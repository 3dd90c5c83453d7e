"""The switches that are compared: how each is started between its namespace hosts.

A stand is one switch in a namespace of its own with four hosts around it (`a` to `d`), each in its own
namespace. All stands of a run exist at once, so that measurements can take turns; the processes of those
that are not measured are stopped, so that they cost nothing.
"""

import os
import signal
import time
from pathlib import Path

from lab import Failed, process_seconds, run

HOSTS = "abcd"
# The number of host a in addresses; b is the next.
FIRST = 10
SUBNET = "10.98.0"
# Room for 100 k sources and as many destinations in every switch whose table is bounded.
TABLE = 262_144


class Stand:
    """A switch and its hosts."""

    # What devices the hosts have; stands are compared with those of the same kind.
    devices = "veth"
    # Which Debian package brings the switch.
    package = None
    hosts = HOSTS
    # Lines of work that say nothing about it, and the only ones it is for, when it is not for all.
    leaves_out = ()
    only = ()

    def __init__(self, name):
        self.name = name
        self.lab = None
        self.netns = {}
        self.device = {}
        # The processes that forward, and the cores that their threads had before we pinned them.
        self.processes = []
        self.cores = {}

    def missing(self):
        """Why the stand cannot be had here, or None."""
        return None

    def start(self, lab):
        self.lab = lab
        self.netns["sw"] = lab.netns(f"{self.name}-sw")
        for host in self.hosts:
            self.netns[host] = lab.netns(f"{self.name}-{host}")
        self.make()
        self.address()
        self.wait_until_forwarding()
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                self.cores[int(task.name)] = os.sched_getaffinity(int(task.name))

    def describe(self):
        """What it is, for the head of the table."""
        return self.__doc__.strip().splitlines()[0]

    def make(self):
        """Starts the switch and puts `device` into each host."""
        raise NotImplementedError

    def veths(self):
        """A veth pair for each host: `eth0` there, `p0`, `p1` .. in the switch's namespace."""
        lines = []
        for index, host in enumerate(self.hosts):
            lines.append(
                f"link add p{index} netns {self.netns['sw']} type veth"
                f" peer name eth0 netns {self.netns[host]}"
            )
            self.device[host] = "eth0"
        run("ip", "-batch", "-", text="\n".join(lines))
        ups = "\n".join(f"link set p{index} up" for index in range(len(self.hosts)))
        run("ip", "-n", self.netns["sw"], "-batch", "-", text=ups)

    def address(self):
        """Gives the hosts addresses, and each those of the others, so that nobody has to ask."""
        for host in self.hosts:
            self.address_host(host)

    def address_host(self, host):
        device, number = self.device[host], number_of(host)
        lines = [
            f"link set {device} address {mac_of(host)}",
            f"link set {device} up",
            f"addr add {SUBNET}.{number}/24 dev {device}",
        ]
        lines += [
            f"neigh replace {ip_of(other)} lladdr {mac_of(other)} dev {device} nud permanent"
            for other in self.hosts
            if other != host
        ]
        run("ip", "-n", self.netns[host], "-batch", "-", text="\n".join(lines))

    def wait_until_forwarding(self):
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if self.forwards("a", "b") and self.forwards("b", "a"):
                return
            self.check_alive()
            time.sleep(0.2)
        raise Failed(f"{self.name}: does not forward after 15 s{self.log_tail()}")

    def forwards(self, sender, receiver):
        counter = self.count(receiver)
        self.send(sender, receiver, seconds=1, count=3, rate=1000)
        time.sleep(0.05)
        return counter.finish()["frames"] > 0

    def send(self, sender, receiver, **options):
        """Sends to the end; returns what the tool says."""
        seconds = options.get("seconds", 2)
        return self.start_send(sender, receiver, **options).finish(timeout=seconds + 10)

    def start_send(self, sender, receiver, cpu=None, nicer=0, **options):
        arguments = ["send", "--dev", self.device[sender], "--from", number_of(sender)]
        if receiver is not None:
            arguments += ["--to", number_of(receiver)]
        for name, value in options.items():
            arguments += [f"--{name}", value]
        if cpu is not None:
            arguments += ["--cpu", cpu]
        return self.lab.start_traffic(self.netns[sender], *arguments, ready=False, nicer=nicer)

    def count(self, host, foreign=False):
        """Starts counting at a host."""
        apart = ["--host", number_of(host)] if foreign else []
        return self.lab.start_traffic(
            self.netns[host], "recv", "--dev", self.device[host], *apart
        )

    def pids(self):
        return [process.pid for process in self.processes]

    def cpu_seconds(self):
        return process_seconds(self.pids())

    def pin(self, core):
        """All its threads on one core; None: where they were when it started."""
        for pid in self.pids():
            for task in Path(f"/proc/{pid}/task").iterdir():
                thread = int(task.name)
                before = self.cores.get(thread, os.sched_getaffinity(0))
                try:
                    os.sched_setaffinity(thread, before if core is None else {core})
                except OSError:
                    pass  # a thread that has just ended

    def freeze(self):
        for process in self.processes:
            process.signal(signal.SIGSTOP)

    def thaw(self):
        for process in self.processes:
            process.signal(signal.SIGCONT)
        self.check_alive()

    def check_alive(self):
        if not all(process.alive() for process in self.processes):
            raise Failed(f"{self.name}: the switch has ended{self.log_tail()}")

    def spawn(self, *command, env=None):
        """Starts the switch's own process in its namespace, with a log."""
        path = self.lab.dir / f"{self.name}.log"
        with open(path, "ab") as log:
            process = self.lab.start(self.netns["sw"], *map(str, command), log=log, env=env)
        self.processes.append(process)
        return process

    def retry(self, step, seconds=10):
        """Tries a step until it works: what it needs is being started."""
        end = time.monotonic() + seconds
        while True:
            try:
                return step()
            except Failed as error:
                self.check_alive()
                if time.monotonic() > end:
                    raise Failed(f"{self.name}: {error}{self.log_tail()}") from None
                time.sleep(0.05)

    def prepare_udp(self):
        """Makes UDP between the hosts work, where it does not; returns what undoes it."""
        return lambda: None

    def log_tail(self):
        path = self.lab.dir / f"{self.name}.log"
        if not path.exists():
            return ""
        return "; its log ends:\n" + "\n".join(path.read_text(errors="replace").splitlines()[-8:])


def number_of(host):
    return FIRST + HOSTS.index(host)


def ip_of(host):
    return f"{SUBNET}.{number_of(host)}"


def mac_of(host):
    """The address of a host's device: among its addresses, but none that raw frames are sent to, so that
    the host's own stack lets go of those at once, one flow or many."""
    return f"02:{number_of(host):02x}:ff:00:00:00"


class Veth(Stand):
    """two hosts with a cable between them, the limit of any switch"""

    hosts = "ab"
    leaves_out = ("idle",)

    def make(self):
        run(
            "ip", "link", "add", "eth0", "netns", self.netns["a"],
            "type", "veth", "peer", "name", "eth0", "netns", self.netns["b"],
        )  # fmt: skip
        self.device = {"a": "eth0", "b": "eth0"}


class Bridge(Stand):
    """The kernel's bridge; `call_iptables` None leaves bridge-nf-call-iptables as the kernel has it."""

    SYSCTL = "/proc/sys/net/bridge/bridge-nf-call-iptables"

    def __init__(self, name, call_iptables=None):
        super().__init__(name)
        self.call_iptables = call_iptables

    leaves_out = ("idle",)

    def missing(self):
        if self.call_iptables is not None and not Path(self.SYSCTL).exists():
            return "this kernel has no br_netfilter: the kernel bridge is measured once"
        return None

    def make(self):
        self.veths()
        netns = self.netns["sw"]
        lines = ["link add br0 type bridge", "link set br0 up"]
        lines += [f"link set p{index} master br0" for index in range(len(self.hosts))]
        run("ip", "-n", netns, "-batch", "-", text="\n".join(lines))
        if self.call_iptables is not None:
            value = f"echo {self.call_iptables} >{self.SYSCTL}"
            run("sh", "-c", value, netns=netns)

    def describe(self):
        look = f"cat {self.SYSCTL} 2>/dev/null || echo absent"
        value = run("sh", "-c", look, netns=self.netns["sw"]).strip()
        how = "as the kernel has it" if self.call_iptables is None else "set by us"
        return f"the kernel's bridge, bridge-nf-call-iptables = {value}, {how}"


class Ours(Stand):
    """vswitchd, with `nic` ports over veth or `tap` ports in the hosts."""

    def __init__(self, name, binary, kind, daemon_lines):
        super().__init__(name)
        self.binary, self.kind, self.daemon_lines = binary, kind, daemon_lines
        self.devices = "tap" if kind == "tap" else "veth"

    def describe(self):
        return " ".join([f"{self.binary}, {self.kind} ports", *self.daemon_lines])

    def make(self):
        config = ["[daemon]", *self.daemon_lines, "[bridge.br0]", f"fdb_max = {TABLE}"]
        if self.kind == "nic":
            self.veths()
        for index, host in enumerate(self.hosts):
            config += [f"[port.p{index}]", 'bridge = "br0"', f'kind = "{self.kind}"']
            if self.kind == "tap":
                config += [f'netns = "{self.netns[host]}"']
                self.device[host] = f"p{index}"
        self.launch(config)
        if self.kind == "tap":
            self.wait_for_devices()

    def launch(self, config):
        """Starts the daemon on these lines of configuration."""
        folder = self.lab.dir / self.name
        folder.mkdir()
        (folder / "vswitch.toml").write_text("\n".join(config) + "\n")
        self.spawn(
            self.binary, "--config", folder / "vswitch.toml",
            "--socket", folder / "socket", "--state-dir", folder / "state",
        )  # fmt: skip

    def wait_for_devices(self):
        for host in self.hosts:
            look = ["link", "show", self.device[host]]
            self.retry(lambda: run("ip", "-n", self.netns[host], *look))


class OursWithTaps(Ours):
    """vswitchd with TAPS ports of kind `tap` and no hosts"""

    TAPS = 200
    hosts = ""

    def __init__(self, name, binary, daemon_lines):
        super().__init__(name, binary, "tap", daemon_lines)
        self.devices = "taps"

    def describe(self):
        return " ".join([f"{self.binary}, {self.TAPS} tap ports, no hosts", *self.daemon_lines])

    def make(self):
        config = ["[daemon]", *self.daemon_lines, "[bridge.br0]"]
        for index in range(self.TAPS):
            config += [f"[port.t{index}]", 'bridge = "br0"', 'kind = "tap"']
        self.launch(config)

    def wait_until_forwarding(self):
        """All devices are there, and up as those of running guests are."""
        ups = "\n".join(f"link set t{index} up" for index in range(self.TAPS))
        netns = self.netns["sw"]
        self.retry(lambda: run("ip", "-n", netns, "-batch", "-", text=ups), seconds=60)


class TapLoop(Stand):
    """one read and one write a frame between two TAPs"""

    devices = "tap"
    hosts = "ab"

    def make(self):
        self.device = {"a": "p0", "b": "p1"}
        self.processes.append(
            self.lab.start_traffic(self.netns["sw"], "tap-loop", "--a", "p0", "--b", "p1")
        )
        for host, device in self.device.items():
            run("ip", "-n", self.netns["sw"], "link", "set", device, "netns", self.netns[host])

