"""The lines of work: what is measured, on which devices, and what each figure means.

A work takes a stand that is awake and the settings of the run, and returns figures by name. All hold the
sender on `settings.sender` and the switch on `settings.switch` unless they say that nothing is pinned.
"""

import json
import time
from dataclasses import dataclass
from typing import Callable

from lab import Cpu, Failed, run
from switches import ip_of

# 64 and 1,514 bytes in the usual way of speaking: the first with its check sequence, which no
# packet socket has, the second without.
SMALL, LARGE = 60, 1514
# What a rate may lose and still count as carried.
LOSS_MAX = 0.005
# Frames that are on their way when the sender ends arrive within this.
DRAIN = 0.15
# Frames a second at which CPU time is measured, and at which addresses are learned.
CPU_RATE, LEARN_RATE = 100_000, 25_000
# Round trips a second of the pair of hosts beside a saturated port.
PING_RATE = 1000
ADDRESSES = 100_000
TEACH_MAX = 3


@dataclass
class Settings:
    """What holds for all measurements of a run; cores are None where nothing is pinned."""

    seconds: float
    sender: int | None
    switch: int | None


@dataclass
class Work:
    """A line of the table. `base` names the stand that ratios are to."""

    name: str
    title: str
    unit: str
    measure: Callable
    digits: int = 0
    devices: str = "veth"
    base: str = "bridge"
    fewer_is_better: bool = False
    needs: str = "ab"
    goal: str = ""
    quick: bool = False


def deliver(stand, settings, sender="a", receivers="b", seconds=None, **options):
    """Sends and counts: frames offered, frames that arrived, seconds."""
    counters = {host: stand.count(host) for host in receivers}
    options.setdefault("seconds", seconds or settings.seconds)
    to = receivers if len(receivers) == 1 else None
    sent = stand.send(sender, to, cpu=settings.sender, **options)
    time.sleep(DRAIN)
    arrived = sum(counter.finish()["frames"] for counter in counters.values())
    return sent["offered"], arrived, sent["seconds"]


def introduce(stand, host="b", to="a"):
    """Lets the switch learn where a host is."""
    stand.send(host, to, seconds=1, count=3, rate=3000)


def delivered(size):
    def measure(stand, settings):
        introduce(stand)
        offered, arrived, seconds = deliver(stand, settings, size=size)
        return {"value": arrived / seconds / 1e3, "offered": offered / seconds / 1e3}

    return measure


def carried(size):
    """The highest rate of which at most LOSS_MAX is lost, by halving the interval."""

    def try_rate(stand, settings, rate):
        options = {"size": size, "batch": 16}
        if rate is not None:
            options["rate"] = int(rate)
        seconds = min(1.0, settings.seconds)
        # Others use this machine too: one disturbed try is not the switch's limit.
        for _ in range(2):
            offered, arrived, spent = deliver(stand, settings, seconds=seconds, **options)
            if arrived >= offered * (1 - LOSS_MAX):
                return offered / spent, True
        return arrived / spent, False

    def measure(stand, settings):
        introduce(stand)
        full, passed = try_rate(stand, settings, None)
        if passed:
            return {"value": full / 1e3, "sender_limited": 1}
        # Overload can cost more than it brings: the answer may be above what was delivered.
        low, high, best = 0.0, full * 1.5, 0.0
        for _ in range(7):
            rate = (low + high) / 2
            reached, passed = try_rate(stand, settings, rate)
            if passed:
                best, low = max(best, reached), rate
                if reached < rate * 0.97:
                    break  # the sender's limit
            else:
                high = rate
        return {"value": best / 1e3}

    return measure


def tcp(streams):
    """Nothing but the switch is pinned: the hosts' ends are two programs more for two cores."""

    def measure(stand, settings):
        server = stand.lab.start(stand.netns["b"], "iperf3", "-s", "-1", "-B", ip_of("b"))
        try:
            time.sleep(0.3)
            seconds = max(1, round(settings.seconds))
            command = [
                "timeout", str(seconds + 8), "iperf3", "-J", "-c", ip_of("b"),
                "-t", str(seconds), "-P", str(streams), "--connect-timeout", "2000",
            ]  # fmt: skip
            netns = stand.netns["a"]
            bits = parse_iperf(run(*command, netns=netns, check=False, timeout=seconds + 20))
            return {"value": bits / 1e9}
        finally:
            server.kill()

    return measure


def parse_iperf(text):
    """Bits a second that arrived; none when there was no connection, as without working checksums."""
    try:
        return json.loads(text)["end"]["sum_received"]["bits_per_second"]
    except (ValueError, KeyError):
        return 0.0


def round_trip(stand, settings):
    """Both hosts on the sender's core, as two programs of one machine, the switch on the other."""
    undo = stand.prepare_udp()
    try:
        return ping(stand, settings)
    finally:
        undo()


def ping(stand, settings, host="a", other="b", rate=None, realtime=False):
    pin = [] if settings.sender is None else ["--cpu", settings.sender]
    to = f"{ip_of(other)}:7"
    echo = stand.lab.start_traffic(
        stand.netns[other], "echo", "--bind", to, *pin, realtime=realtime
    )
    arguments = ["ping-pong", "--to", to, "--seconds", settings.seconds, *pin]
    if rate is not None:
        arguments += ["--rate", rate]
    client = stand.lab.start_traffic(
        stand.netns[host], *arguments, ready=False, realtime=realtime
    )
    result = client.finish(timeout=settings.seconds + 10)
    echo.finish()
    if not result["trips"]:
        raise Failed("no reply came")
    return {"value": result["p50_us"], "p99": result["p99_us"], "lost": result["lost"]}


def cpu_time(stand, settings):
    """All that the machine spends on the frames, above what it spends with every switch stopped.

    `procs` is the same by another account, which other work on the machine does not blur: the CPU time
    of the sender and of the switch's processes, with what the kernel does in their name.
    """
    introduce(stand)
    stand.freeze()
    idle = Cpu()
    time.sleep(settings.seconds)
    background = idle.spent()
    stand.thaw()
    counter = stand.count("b")
    switch, busy = stand.cpu_seconds(), Cpu()
    sent = stand.send(
        "a", "b", cpu=settings.sender, seconds=settings.seconds, rate=CPU_RATE, pace="sleep", batch=8
    )
    spent, wall = busy.spent()
    switch = stand.cpu_seconds() - switch
    time.sleep(DRAIN)
    arrived = counter.finish()["frames"]
    if arrived < 0.8 * sent["offered"]:
        raise Failed(f"only {arrived} of {sent['offered']} frames arrived at {CPU_RATE} a second")
    return {
        "value": (spent - background[0] / background[1] * wall) / (arrived / 1e6),
        "procs": (switch + sent["cpu_seconds"]) / (arrived / 1e6),
    }


def round_trip_beside_load(stand, settings):
    """PING_RATE round trips a second from c to d, while 64-byte frames from a to b come as fast as they go.

    Datagrams leave when they are due, whatever became of those before. Their two ends go before the
    sender of the load, which has the same core: what is measured is how long the switch lets a quiet
    port wait, not how the hosts' programs share a core. `load` is what b got, in thousands a second.
    """
    introduce(stand)
    undo = stand.prepare_udp()
    counter = stand.count("b")
    time_of_load = settings.seconds + 1.5
    load = stand.start_send("a", "b", cpu=settings.sender, size=SMALL, seconds=time_of_load)
    try:
        time.sleep(0.3)
        figures = ping(stand, settings, "c", "d", rate=PING_RATE, realtime=True)
        if not load.alive():
            raise Failed("the load ended before the round trips")
    finally:
        sent = load.finish(timeout=settings.seconds + 10)
        arrived = counter.finish()["frames"]
        undo()
    return {**figures, "load": arrived / sent["seconds"] / 1e3}


def both_ways(stand, settings):
    """A sender on each core; nothing of the switch is pinned by us."""
    introduce(stand)
    introduce(stand, "a", "b")
    stand.pin(None)
    counters = [stand.count("a"), stand.count("b")]
    senders = [
        stand.start_send("a", "b", cpu=settings.sender, seconds=settings.seconds),
        stand.start_send("b", "a", cpu=settings.switch, seconds=settings.seconds),
    ]
    sent = [sender.finish(timeout=settings.seconds + 10) for sender in senders]
    time.sleep(DRAIN)
    arrived = sum(counter.finish()["frames"] for counter in counters)
    return {"value": arrived / max(s["seconds"] for s in sent) / 1e3}


def idle(stand, settings):
    """CPU time of the switch's own processes without traffic, in per cent of a core."""
    time.sleep(0.5)
    before, start = stand.cpu_seconds(), time.monotonic()
    time.sleep(settings.seconds)
    spent = stand.cpu_seconds() - before
    return {"value": 100 * spent / (time.monotonic() - start)}


def teach(stand, host, to):
    """Sends from each address of a host, again while frames are lost: what is lost teaches nothing."""
    for _ in range(TEACH_MAX):
        counter = stand.count(to)
        sent = stand.send(
            host, to, sources=ADDRESSES, count=ADDRESSES, rate=LEARN_RATE, pace="sleep", batch=16,
            seconds=2 * ADDRESSES / LEARN_RATE,
        )  # fmt: skip
        time.sleep(DRAIN)
        if counter.finish()["frames"] >= sent["offered"]:
            return


def many_addresses(stand, settings):
    """Both sides' addresses are taught slowly; then what a third host sees was flooded."""
    teach(stand, "b", "a")
    teach(stand, "a", "b")
    third = stand.count("c", foreign=True) if "c" in stand.hosts else None
    offered, arrived, seconds = deliver(
        stand, settings, sources=ADDRESSES, destinations=ADDRESSES
    )
    flooded = third.finish()["foreign"] if third else 0
    one = delivered(SMALL)(stand, settings)["value"]
    rate = arrived / seconds / 1e3
    return {"value": rate, "of_one_flow": rate / one, "flooded_%": 100 * flooded / offered}


def broadcast(stand, settings):
    _, arrived, seconds = deliver(stand, settings, receivers="bcd")
    return {"value": arrived / seconds / 1e3}


WORKS = [
    Work("pps64", "64-byte frames delivered, one flow", "kpps", delivered(SMALL), quick=True,
         goal=">= 1.45"),
    Work("ndr64", "64-byte frames, highest rate with at most 0.5 % lost", "kpps", carried(SMALL),
         goal=">= 1.4"),
    Work("pps1514", "1,514-byte frames delivered, one flow", "kpps", delivered(LARGE), quick=True),
    Work("ndr1514", "1,514-byte frames, highest rate with at most 0.5 % lost", "kpps",
         carried(LARGE), goal=">= 1.3"),
    Work("tap64", "64-byte frames delivered between two TAPs, one flow", "kpps", delivered(SMALL),
         devices="tap", base="tap-loop", goal=">= 1.4"),
    Work("tcp1", "TCP, one stream, default offloads", "Gb/s", tcp(1), digits=2, quick=True,
         devices="any", goal=">= 0.95"),
    Work("tcp4", "TCP, four streams, default offloads", "Gb/s", tcp(4), digits=2, devices="any",
         goal=">= 0.85"),
    Work("rtt", "round trip of a 64-byte UDP frame, p50", "us", round_trip, digits=1,
         fewer_is_better=True, quick=True, goal="<= 2.4, p99 <= 3.4"),
    Work("rtt-loaded", "p50 of 1,000 round trips a second beside a pair saturated with 64-byte frames",
         "us", round_trip_beside_load, digits=1, fewer_is_better=True, needs="abcd",
         goal="p99 < 1000 us"),
    Work("cpu", "CPU seconds of the machine per million frames at 100 kpps", "s", cpu_time,
         digits=2, fewer_is_better=True, quick=True, goal="<= 1.6"),
    Work("both64", "64-byte frames both ways at once, sum delivered", "kpps", both_ways,
         goal=">= 0.65"),
    Work("idle", "CPU of the idle switch, of one core", "%", idle, digits=2, fewer_is_better=True,
         base="", goal="< 1"),
    Work("idle200", "the same with 200 TAP ports", "%", idle, digits=2, fewer_is_better=True, base="",
         needs="", devices="taps", goal="< 1"),
    Work("mac100k", "64-byte frames delivered, 100 k sources and 100 k destinations", "kpps",
         many_addresses, goal="of_one_flow >= 0.9, flooded 0"),
    Work("broadcast", "broadcast to three receivers, copies delivered", "kpps", broadcast,
         needs="abcd", goal=">= 1.5"),
]  # fmt: skip
