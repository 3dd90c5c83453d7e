#!/usr/bin/python3 -I
"""Init process of a User-mode Linux guest.

What it is: process 1 of the guest that `scripts/kernel-oracle` boots, and what
the other guests' inits are made of. `live` mounts what is needed, loads
modules, does the work and writes `results.json` into the exchange directory;
the work here is to play every scenario there (see `bridge_lab.py`).

Guarantees: the guest always powers off; whatever goes wrong ends up as an
`error` text in the results, never as silence. Only this guest's own kernel is
touched. It uses the standard library alone and runs as the guest's root, which
needs no privilege on the host.

It does not judge: recording and comparing is the host side's work.
"""

import ctypes
import json
import os
import sys
import time
import traceback

LIBC = ctypes.CDLL(None, use_errno=True)
SYS_FINIT_MODULE = 313  # x86-64, the only architecture of User-mode Linux here
EXCHANGE_MOUNT = "/dev/exchange"  # /dev is the guest's own devtmpfs
# The module is needed (bridge links to it); the protocol must stay silent.
MODULE_OPTIONS = {"ipv6": "disable=1"}


def checked(what, outcome):
    """Raises `OSError` naming `what` when a libc call answered below zero."""
    if outcome < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return outcome


def mount(kind, target, options=""):
    """Mounts a file system of `kind` on `target`, which is created if absent."""
    if not os.path.isdir(target):
        os.makedirs(target)
    checked(
        f"mount {kind} on {target}",
        LIBC.mount(b"none", target.encode(), kind.encode(), 0, options.encode()),
    )


def load_module(modules_root, name):
    """Loads a module after those it depends on, as `modules.dep` says."""
    root = os.path.join(modules_root, os.uname().release)
    with open(os.path.join(root, "modules.dep"), encoding="ascii") as table:
        for line in table:
            path, _, needs = line.partition(":")
            if os.path.basename(path) == f"{name}.ko":
                break
        else:
            raise FileNotFoundError(f"module {name} is not listed in {root}/modules.dep")
    # modules.dep names the deepest dependency last.
    for relative in [*reversed(needs.split()), path]:
        stem = os.path.basename(relative).removesuffix(".ko")
        if os.path.isdir(f"/sys/module/{stem.replace('-', '_')}"):
            continue
        with open(os.path.join(root, relative), "rb") as module:
            options = MODULE_OPTIONS.get(stem, "").encode()
            outcome = LIBC.syscall(SYS_FINIT_MODULE, module.fileno(), options, 0)
            checked(f"load module {relative}", outcome)


def boot_argument(name):
    """The value of `name=` on the guest's kernel command line."""
    with open("/proc/cmdline", encoding="ascii") as line:
        for word in line.read().split():
            key, _, value = word.partition("=")
            if key == name:
                return value
    raise KeyError(f"kernel command line lacks {name}=")


def play_all():
    """Plays every scenario of the exchange directory; returns the results."""
    sys.path.insert(0, EXCHANGE_MOUNT)
    sys.dont_write_bytecode = True
    import bridge_lab  # beside this file in the exchange directory

    with open(f"{EXCHANGE_MOUNT}/scenarios.json", encoding="utf-8") as file:
        scenarios = json.load(file)
    results = {}
    for scenario in scenarios:
        try:
            results[scenario["name"]] = bridge_lab.play(scenario)
        except Exception:  # one bad scenario must not hide the others
            results[scenario["name"]] = {"error": traceback.format_exc()}
    return results


def prepare_and_do(modules, work):
    """Prepares the guest, does the work, writes its results or its error."""
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    mount("proc", "/proc")
    mount("sysfs", "/sys")
    mount("hostfs", EXCHANGE_MOUNT, boot_argument("oracle_exchange"))
    outcome = {"kernel": os.uname().release}
    try:
        for name in modules:
            load_module(boot_argument("oracle_modules"), name)
        outcome.update(work())
    except Exception:  # told to the host instead of a guest kernel panic
        outcome["error"] = traceback.format_exc()
    with open(f"{EXCHANGE_MOUNT}/results.json", "w", encoding="utf-8") as file:
        json.dump(outcome, file)


def live(modules, work):
    """The life of process 1: `work` returns entries of the results. Does not return."""
    try:
        prepare_and_do(modules, work)
    except BaseException:  # the console is the only witness left
        traceback.print_exc()
    sys.stdout.flush()
    os.sync()
    with open("/proc/sysrq-trigger", "w", encoding="ascii") as trigger:
        trigger.write("o")
    while True:
        time.sleep(1)  # process 1 may not end before the power is off


if __name__ == "__main__":
    live(("bridge", "tun"), lambda: {"results": play_all()})
