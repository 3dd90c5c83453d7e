"""The frames of a soak: several hosts send as fast as they can, for as long as it takes.

A sender runs for some seconds and is then started again with the same frames, so that one whose device went
away with its port comes back by itself.
"""

import subprocess

from churn import FLEETING
from lab import Failed
from switches import ip_of
from works import LARGE, SMALL

# Seconds of one sender.
STRETCH = 5
# Of more programs than cores the switch comes first: senders that it waits for are no load.
NICER = 5
FLOWS = [
    # From, to (nobody: all), and the frames.
    ("a", "b", {"size": SMALL}),
    ("c", "d", {"size": LARGE}),
    ("b", "c", {"size": SMALL, "sources": 1000, "destinations": 1000}),
    ("d", "a", {"size": 500, "rate": 20_000, "pace": "sleep", "batch": 16}),
    ("a", None, {"size": SMALL, "rate": 500, "pace": "sleep", "batch": 8}),
]


class Flow:
    """One sender, started again and again."""

    def __init__(self, stand, sender, receiver, frames):
        self.stand, self.sender, self.receiver, self.frames = stand, sender, receiver, frames
        self.name = f"{sender} to {receiver or 'all'}, {frames['size']} bytes"
        self.offered = self.ended_early = 0
        self.process = None

    def tend(self, errors):
        """Starts the sender where it does not run."""
        if self.process is not None and self.process.alive():
            return
        self.collect(errors)
        self.process = self.stand.start_send(
            self.sender, self.receiver, seconds=STRETCH, nicer=NICER, **self.frames
        )

    def collect(self, errors):
        process, self.process = self.process, None
        if process is None:
            return
        self.stand.lab.forget(process)
        try:
            self.offered += process.finish()["offered"]
        except (Failed, ValueError) as error:
            self.ended_early += 1
            if self.sender not in FLEETING:
                errors.append(f"flow {self.name}: {error}")

    def stop(self, errors):
        """Waits for the sender to end by itself."""
        if self.process is None:
            return
        try:
            self.process.popen.wait(timeout=STRETCH + 30)
        except subprocess.TimeoutExpired:
            errors.append(f"flow {self.name}: the sender does not end")
            self.process.kill()
            self.process = None
            return
        self.collect(errors)


class Tcp:
    """TCP between a and d, again and again. A connection that cannot be had under this load is no error."""

    def __init__(self, stand):
        self.stand = stand
        self.name = "TCP, d to a"
        self.runs = 0
        server = ["iperf3", "-s", "-B", ip_of("a"), "--logfile", "/dev/null"]
        self.server = stand.lab.start(stand.netns["a"], *server, nicer=NICER)
        self.client = None

    def tend(self, errors):
        if self.client is not None and self.client.alive():
            return
        self.stop(errors)
        if not self.server.alive():
            errors.append(f"{self.name}: the server ended")
            return
        limit = str(STRETCH + 10)
        command = ["timeout", limit, "iperf3", "-c", ip_of("a"), "-t", str(STRETCH), "--logfile", "/dev/null"]
        self.client = self.stand.lab.start(self.stand.netns["d"], *command, nicer=NICER)
        self.runs += 1

    def stop(self, _errors):
        if self.client is not None:
            self.stand.lab.forget(self.client)
            self.client.kill()
            self.client = None
