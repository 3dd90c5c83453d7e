"""Traffic through a bond that shows what a link's failure costs.

What it is: pings at 10 ms and TCP streams that the far end echoes, from a
namespace, in one thread. Every ping is remembered, so that any stretch of time
can be asked afterwards: how many were lost, how many came back more than once.
Every byte that comes back is compared with what was sent.

Guarantees: a sender that is late (a busy machine) loses nothing, as pings are
counted by number and not by time; `Traffic.close` ends the thread.
"""

import os
import select
import socket
import struct
import threading
import time

ECHO_PORT = 7
PING_SECONDS = 0.01
STREAM_SECONDS = 0.02
STREAMS = 8
CHUNK = 2048
# Bytes of a stream that may be under way; beyond that it waits.
UNDER_WAY = 32 * 1024
ICMP_ECHO, ICMP_REPLY = 8, 0
HEAD = struct.Struct("!BBHHH")
PAYLOAD = bytes(range(48))
# Its length is no power of two: bytes that are out of place do not fit.
PATTERN = bytes(range(251)) * (CHUNK // 251 + 2)
CLONE_NEWNET = 0x40000000


def checksum(data):
    """RFC 1071; the data have an even length."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Pings:
    """One ping after the other, and what became of each."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self.socket.setblocking(False)
        self.ident = os.getpid() & 0xFFFF
        # How many answers each ping has had.
        self.answers = []

    def send(self):
        """The next one. One that this machine cannot send is a lost one."""
        number = len(self.answers) & 0xFFFF
        head = HEAD.pack(ICMP_ECHO, 0, 0, self.ident, number)
        head = HEAD.pack(ICMP_ECHO, 0, checksum(head + PAYLOAD), self.ident, number)
        self.answers.append(0)
        try:
            self.socket.sendto(head + PAYLOAD, (self.address, 0))
        except OSError:
            pass

    def receive(self):
        """Notes an answer."""
        packet = self.socket.recv(2048)
        kind, _, _, ident, number = HEAD.unpack_from(packet, (packet[0] & 15) * 4)
        if kind != ICMP_REPLY or ident != self.ident:
            return
        # The last ping that had these 16 bits.
        newest = len(self.answers) - 1
        index = newest - ((newest - number) & 0xFFFF)
        if index >= 0:
            self.answers[index] += 1


class Stream:
    """A TCP connection whose far end echoes."""

    def __init__(self, address, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind(("", port))
        self.socket.settimeout(10)
        self.socket.connect((address, ECHO_PORT))
        self.socket.setblocking(False)
        self.sent = self.echoed = 0
        self.broken = None

    def send(self):
        """The next bytes, unless enough are under way."""
        if self.broken or self.sent - self.echoed > UNDER_WAY:
            return
        start = self.sent % 251
        try:
            self.sent += self.socket.send(PATTERN[start : start + CHUNK])
        except BlockingIOError:
            pass
        except OSError as error:
            self.broken = str(error)

    def receive(self):
        """Compares what came back."""
        try:
            data = self.socket.recv(CHUNK)
        except OSError as error:
            self.broken = str(error)
            return
        start = self.echoed % 251
        if not data:
            self.broken = "the far end closed it"
        elif data != PATTERN[start : start + len(data)]:
            self.broken = f"other bytes came back at {self.echoed}"
        self.echoed += len(data)


def in_namespace(netns, libc, make):
    """What `make` returns, called in a network namespace: sockets stay in that of their birth."""
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{netns}", "rb") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(f"cannot enter namespace {netns}")
        try:
            return make()
        finally:
            if libc.setns(home.fileno(), CLONE_NEWNET) != 0:
                raise OSError(f"cannot leave namespace {netns}")


class Traffic:
    """Pings, and from `start_streams` on streams, until `close`."""

    def __init__(self, netns, address, libc):
        self.netns, self.address, self.libc = netns, address, libc
        self.pings = in_namespace(netns, libc, lambda: Pings(address))
        self.streams = []
        self.ended = False
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def start_streams(self, first_port):
        """Connects; source ports follow one another, so that a hash of ports spreads them."""

        def connect():
            return [Stream(self.address, first_port + n) for n in range(STREAMS)]

        self.streams = in_namespace(self.netns, self.libc, connect)

    def _work(self):
        ping_at = stream_at = time.monotonic()
        while not self.ended:
            now = time.monotonic()
            if now >= ping_at:
                self.pings.send()
                # What was missed is not made up for: a burst would be other traffic.
                ping_at = max(ping_at + PING_SECONDS, now)
            if now >= stream_at:
                for stream in self.streams:
                    stream.send()
                stream_at = max(stream_at + STREAM_SECONDS, now)
            sources = {stream.socket: stream for stream in self.streams if not stream.broken}
            sources[self.pings.socket] = self.pings
            until = max(0.0, min(ping_at, stream_at) - time.monotonic())
            for ready in select.select(list(sources), [], [], until)[0]:
                sources[ready].receive()

    def mark(self):
        """The number of the next ping: a point of time."""
        return len(self.pings.answers)

    def sent(self):
        """Bytes that each stream has sent so far."""
        return [stream.sent for stream in self.streams]

    def behind(self, sent):
        """The streams of which not all of `sent` has come back, as text; empty when all has."""
        told = []
        for number, (stream, bytes_sent) in enumerate(zip(self.streams, sent)):
            if stream.broken:
                told.append(f"connection {number} broke: {stream.broken}")
            elif stream.echoed < bytes_sent:
                told.append(f"connection {number} stands at {stream.echoed} of {bytes_sent} bytes")
        return "; ".join(told)

    def between(self, start, end):
        """Of the pings of that time: how many, lost, most of them lost in a row, answers too many."""
        answers = self.pings.answers[start:end]
        longest = run = 0
        for count in answers:
            run = 0 if count else run + 1
            longest = max(longest, run)
        return {
            "pings": len(answers),
            "lost": answers.count(0),
            "longest": longest,
            "twice": sum(count - 1 for count in answers if count),
        }

    def close(self):
        """Ends all of it."""
        self.ended = True
        self.thread.join()
        for source in (self.pings, *self.streams):
            source.socket.close()
