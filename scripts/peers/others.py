"""Open vSwitch and VDE, run privately: own folders, databases and sockets, own namespaces.

Nothing that these packages start for the whole system is used or touched.
"""

import os
import shutil
from pathlib import Path

from lab import run
from switches import TABLE, Stand


def missing_program(programs, package):
    """Which program is not there and what brings it, or None."""
    for program in programs:
        if not shutil.which(program, path=search_path()):
            return f"no {program} here; to measure it: apt-get install {package}"
    return None


def search_path():
    """Daemons are where an unprivileged shell does not look."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class Ovs(Stand):
    """Open vSwitch, userspace datapath (datapath_type netdev) on AF_PACKET."""

    PROGRAMS = ("ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl")
    SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")

    def __init__(self, name, tso):
        super().__init__(name)
        self.tso = tso
        if tso:
            self.only = ("tcp1", "tcp4")

    def missing(self):
        why = missing_program(self.PROGRAMS, "openvswitch-switch")
        if why is None and not self.SCHEMA.exists():
            why = f"no {self.SCHEMA}; to measure it: apt-get install openvswitch-switch"
        return why

    def describe(self):
        version = run("ovs-vswitchd", "--version").splitlines()[0].split()[-1]
        how = "userspace-tso-enable" if self.tso else "default offloads; UDP round trip with tx off"
        return f"Open vSwitch {version}, datapath_type netdev on AF_PACKET, {how}"

    def make(self):
        self.veths()
        folder = self.lab.dir / self.name
        folder.mkdir()
        database, socket = folder / "conf.db", f"unix:{folder}/db.sock"
        environment = {
            **os.environ,
            "PATH": search_path(),
            **{f"OVS_{name}DIR": str(folder) for name in ("RUN", "DB", "LOG", "SYSCONF")},
        }
        run("ovsdb-tool", "create", str(database), str(self.SCHEMA), env=environment)
        server = self.spawn(
            "ovsdb-server", database, f"--remote=p{socket}", f"--unixctl={folder}/db.ctl",
            "--no-chdir", env=environment,
        )  # fmt: skip
        # Only what forwards is stopped between turns and counted.
        self.processes.remove(server)

        def control(*arguments):
            command = ["ovs-vsctl", f"--db={socket}", "--no-wait", "--timeout=5", *arguments]
            run(*command, env=environment, netns=self.netns["sw"])

        self.retry(lambda: control("init"))
        if self.tso:
            control("set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true")
        control("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev",
                f"other-config:mac-table-size={TABLE}")  # fmt: skip
        for index in range(len(self.hosts)):
            control("add-port", "br0", f"p{index}")
        self.spawn(
            "ovs-vswitchd", socket, f"--unixctl={folder}/switch.ctl", "--no-chdir",
            "--log-file", env=environment,
        )  # fmt: skip

    def prepare_udp(self):
        """Without TSO, it forwards frames with unfinished checksums unfinished."""
        if not self.tso:
            self.offload("off")
        return lambda: None if self.tso else self.offload("on")

    def offload(self, value):
        for host in self.hosts:
            run("ethtool", "-K", self.device[host], "tx", value, netns=self.netns[host])


class Vde(Stand):
    """VDE: vde_switch with its own TAPs, moved into the hosts (vde_pcapplug on veth hears itself)"""

    def missing(self):
        return missing_program(["vde_switch"], "vde2")

    def make(self):
        taps = []
        for index, host in enumerate(self.hosts):
            taps += ["--tap", f"p{index}"]
            self.device[host] = f"p{index}"
        self.spawn(
            "vde_switch", "--sock", self.lab.dir / f"{self.name}.ctl", "--numports", 8,
            "--hashsize", TABLE // 2, *taps, env={**os.environ, "PATH": search_path()},
        )  # fmt: skip
        for index, host in enumerate(self.hosts):
            move = ["link", "set", f"p{index}", "netns", self.netns[host]]
            self.retry(lambda move=move: run("ip", "-n", self.netns["sw"], *move))

