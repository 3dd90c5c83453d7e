#!/usr/bin/python3 -I
"""The far end of the switch's bond: a bond of the Linux driver, in a guest.

What it is: process 1 of the guest that `scripts/bond-lab` boots. It does what
the host asks, one request at a time (`BondEnd`), while it echoes what comes by
TCP. Requests and answers are files `ask0`, `answer0`, `ask1` .. of the exchange
directory: each is there whole or not at all.

A NIC of the guest is one end of a veth pair `s0`, `s1`, whose other end `w0`,
`w1` is wired frame by frame to the NIC `vec0`, `vec1` of User-mode Linux. The
NICs of User-mode Linux tell neither speed nor duplex, without which the driver
does not aggregate in mode 802.3ad, and never lose their carrier; a veth has
both: who sets `w0` down has pulled the cable.

It judges nothing: that is the host's work.
"""

import fcntl
import json
import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))

import guest  # noqa: E402

MODULES = ("veth", "bonding", "sch_ingress", "cls_matchall", "act_mirred", "act_gact")
MEMBERS = (0, 1)
ECHO_PORT = 7
POLL_SECONDS = 0.01  # a tick of this kernel
NOTICE_SECONDS = 10
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
IFREQ = struct.Struct("16sH14x")


def run(*words):
    """Runs a command; an error tells its words."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")


def set_up(device, up):
    """Sets a device up or down; at once, which a command would not be."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ask:
        _, flags = IFREQ.unpack(fcntl.ioctl(ask, SIOCGIFFLAGS, IFREQ.pack(device.encode(), 0)))
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(ask, SIOCSIFFLAGS, IFREQ.pack(device.encode(), flags))


def direct(device, *action):
    """What becomes of all that arrives at a device."""
    # There is one filter, which a matchall cannot be changed for: none lets nothing pass either.
    run("tc", "filter", "del", "dev", device, "ingress")
    run("tc", "filter", "add", "dev", device, "ingress", "matchall", "action", *action)


class Echo(socketserver.BaseRequestHandler):
    """Sends back what comes, for as long as the connection lives."""

    def handle(self):
        try:
            while data := self.request.recv(1 << 16):
                self.request.sendall(data)
        except OSError:
            pass  # the host has gone: it knows best


class EchoServer(socketserver.ThreadingTCPServer):
    """One thread a connection."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64


class BondEnd:
    """What can be asked of the guest; each method is a request of that name."""

    def __init__(self):
        self.off = False
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "del", "bond0")  # the one that the module makes itself
        for n in MEMBERS:
            run("ip", "link", "add", f"s{n}", "type", "veth", "peer", "name", f"w{n}")
            for device in (f"vec{n}", f"w{n}"):
                # Only the bond has a voice here.
                run("ip", "link", "set", device, "arp", "off", "up")
                run("tc", "qdisc", "add", "dev", device, "clsact")
            self.speak(n)

    def bond(self, address, *options):
        """Makes the bond anew with these options (words of `ip link`), both members and an address."""
        if Path("/proc/net/bonding/bond0").exists():
            run("ip", "link", "del", "bond0")
        run("ip", "link", "add", "bond0", "type", "bond", *options)
        for n in MEMBERS:
            set_up(f"w{n}", True)
            run("ip", "link", "set", f"s{n}", "down")
            run("ip", "link", "set", f"s{n}", "master", "bond0")
        run("ip", "link", "set", "bond0", "up")
        run("ip", "address", "add", address, "dev", "bond0")

    def cable(self, member, there):
        """Pulls a member's cable or puts it back; the host sees to its other end.

        Answers when the driver has noticed: after how many milliseconds, or None when it does not.
        """
        status = Path(f"/sys/class/net/s{member}/bonding_slave/mii_status")
        wanted, start = "up" if there else "down", time.monotonic()
        set_up(f"w{member}", there)
        while status.read_text(encoding="ascii").strip() != wanted:
            if time.monotonic() > start + NOTICE_SECONDS:
                return None
            time.sleep(POLL_SECONDS)
        return round(1000 * (time.monotonic() - start))

    def mute(self, member):
        """Loses all frames of a member, both ways; its carrier stays."""
        for device in (f"vec{member}", f"w{member}"):
            direct(device, "drop")

    def speak(self, member):
        """Ends that."""
        for device, other in ((f"vec{member}", f"w{member}"), (f"w{member}", f"vec{member}")):
            direct(device, "mirred", "egress", "redirect", "dev", other)

    def look(self):
        """What the driver says of the bond, and frames of each member: received, sent."""

        def count(member, way):
            return int(Path(f"/sys/class/net/s{member}/statistics/{way}_packets").read_text(encoding="ascii"))

        return {
            "proc": Path("/proc/net/bonding/bond0").read_text(encoding="ascii"),
            "frames": [[count(n, "rx"), count(n, "tx")] for n in MEMBERS],
        }

    def power_off(self):
        """Ends the guest."""
        self.off = True


def serve(end):
    """Answers requests until one of them ends the guest."""
    server = EchoServer(("", ECHO_PORT), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    exchange, number = Path(guest.EXCHANGE_MOUNT), 0
    while not end.off:
        ask = exchange / f"ask{number}"
        if not ask.exists():
            time.sleep(POLL_SECONDS)
            continue
        name, *arguments = json.loads(ask.read_text(encoding="utf-8"))
        try:
            answer = {"answer": getattr(end, name)(*arguments)}
        except (OSError, RuntimeError) as error:
            answer = {"error": f"{name}: {error}"}
        draft = exchange / "draft"
        draft.write_text(json.dumps(answer), encoding="utf-8")
        os.rename(draft, exchange / f"answer{number}")
        number += 1
    return {}


if __name__ == "__main__":
    guest.live(MODULES, lambda: serve(BondEnd()))
