"""Namespaces, processes and CPU time of a measurement.

Everything made here has the prefix of this run and is removed by `Lab.close`, whatever happened; what a
run that was killed left behind is removed by the next. Processes die with this one.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

PREFIX = "vbp"
LIBC = ctypes.CDLL(None, use_errno=True)
AUTOGROUP = "/proc/self/autogroup"
PR_SET_PDEATHSIG, CLONE_NEWNET = 1, 0x40000000


class Failed(Exception):
    """A step that did not work; the text says which and why."""


def child_setup(netns, realtime=False, nicer=0):
    """What a child does before exec: enter its namespace, and not outlive a parent that is killed.

    Where `realtime` is set it goes before all others on its core; `nicer` is by how much its priority is
    below ours.

    `ip netns exec` would mount a /sys besides, which can wait for seconds while namespaces are removed.
    """

    def setup():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if nicer:
            os.nice(nicer)
        # Where the kernel groups processes by session, a priority counts only within its group.
        if os.getsid(0) == os.getpid() and os.path.exists(AUTOGROUP):
            with open(AUTOGROUP, "w", encoding="ascii") as file:
                file.write(str(os.getpriority(os.PRIO_PROCESS, 0)))
        if netns is not None:
            with open(f"/run/netns/{netns}", "rb") as file:
                if LIBC.setns(file.fileno(), CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"cannot enter namespace {netns}")
        if realtime:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))

    return setup


def run(*command, netns=None, text=None, check=True, env=None, timeout=60):
    """Runs a command to its end and returns what it printed."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=timeout, check=False,
        env=env, start_new_session=True, preexec_fn=child_setup(netns),
    )  # fmt: skip
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def allowed_cores():
    return sorted(os.sched_getaffinity(0))


class Cpu:
    """CPU seconds of the whole machine that were not idle, between two looks.

    Idle time is what a kernel that stops its tick counts exactly; what a hypervisor took is left out.
    """

    def __init__(self):
        self.start, self.idle = time.monotonic(), self._idle()

    @staticmethod
    def _idle():
        with open("/proc/stat", encoding="ascii") as file:
            fields = [int(x) for x in file.readline().split()[1:]]
        return (fields[3] + fields[4] + fields[7]) / os.sysconf("SC_CLK_TCK")

    def spent(self):
        """(CPU seconds, wall seconds) since the start."""
        wall = time.monotonic() - self.start
        return wall * os.cpu_count() - (self._idle() - self.idle), wall


def process_seconds(pids):
    """CPU seconds that the threads of these processes have had so far."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Process:
    """A running command; `finish` ends its standard input and reads its one line of JSON."""

    def __init__(self, command, netns=None, log=None, ready=None, env=None, realtime=False, nicer=0):
        self.command = command
        out = log or subprocess.PIPE
        self.popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.STDOUT if log else subprocess.PIPE,
            text=True,
            env=env,
            start_new_session=True,
            preexec_fn=child_setup(netns, realtime, nicer),
        )
        if ready:
            line = self.popen.stderr.readline().strip()
            if line != ready:
                rest = self.popen.stderr.read()
                self.kill()
                raise Failed(f"{' '.join(command)}: {line} {rest}".strip())

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def finish(self, timeout=10):
        """Ends standard input, waits for the end, returns the JSON."""
        try:
            out, err = self.popen.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{' '.join(self.command)}: did not end in {timeout:.0f} s") from None
        if self.popen.returncode != 0:
            raise Failed(f"{' '.join(self.command)}: {(err or out).strip()}")
        return json.loads(out)

    def signal(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream:
                stream.close()

    def stop(self):
        """Asks it to end; kills it when it has not after three seconds."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(timeout=3)
        except subprocess.TimeoutExpired:
            pass
        self.kill()


class Lab:
    """What a run made, and the programs it uses."""

    def __init__(self, traffic):
        self.prefix = f"{PREFIX}{os.getpid()}"
        self.traffic = traffic
        self.namespaces = []
        self.processes = []
        remove_leftovers()
        self.dir = Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))

    def netns(self, name):
        """Makes a namespace that says nothing unasked, and returns its full name."""
        full = f"{self.prefix}-{name}"
        self.namespaces.append(full)
        run("ip", "netns", "add", full)
        quiet = "echo 1 >/proc/sys/net/ipv6/conf/{}/disable_ipv6\n"
        run("sh", netns=full, text=quiet.format("all") + quiet.format("default"))
        run("ip", "-n", full, "link", "set", "lo", "up")
        return full

    def start(self, netns, *command, **options):
        """Starts a command in a namespace; the options are those of `Process`."""
        process = Process(command, netns=netns, **options)
        self.processes.append(process)
        return process

    def start_traffic(self, netns, *arguments, ready=True, **options):
        told = "ready" if ready else None
        return self.start(netns, str(self.traffic), *map(str, arguments), ready=told, **options)

    def forget(self, process):
        """It is the caller's from now on."""
        self.processes.remove(process)

    def close(self):
        """Ends and removes all of it."""
        for process in reversed(self.processes):
            if process.alive():
                process.signal(signal.SIGCONT)
                process.signal(signal.SIGTERM)
        for process in reversed(self.processes):
            process.stop()
        for netns in self.namespaces:
            remove_netns(netns)
        shutil.rmtree(self.dir, ignore_errors=True)


def remove_netns(netns):
    for pid in run("ip", "netns", "pids", netns, check=False).split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    run("ip", "netns", "del", netns, check=False)


def remove_leftovers():
    """Removes the namespaces and folders of runs that were killed."""

    def is_dead(name):
        digits = name.removeprefix(PREFIX).split("-")[0]
        return name.startswith(PREFIX) and digits.isdigit() and not Path(f"/proc/{digits}").exists()

    known = Path("/run/netns")
    for netns in known.iterdir() if known.exists() else ():
        if is_dead(netns.name):
            remove_netns(netns.name)
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        if is_dead(folder.name):
            shutil.rmtree(folder, ignore_errors=True)
