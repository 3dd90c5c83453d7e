"""Boots User-mode Linux as a process: finds the kernel, starts a guest, ends all of it.

What it is: the host side that `scripts/kernel-oracle`, `scripts/bond-oracle` and
`scripts/bond-lab` share; what a guest does is its init's affair.

Guarantees: no root and no KVM is needed; the guest sees this machine's file
system read-only except its exchange directory; none of its processes outlives
`Guest.end`. What is not installed is told by `Missing`, with its package.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

HELPERS = Path(__file__).resolve().parent
# The exit code of a script that cannot run here.
MISSING = 77
# Where the guest leaves what it has to say, in its exchange directory.
RESULTS = "results.json"


class Missing(Exception):
    """Something that has to be installed first."""


class GuestFailed(Exception):
    """A guest did not come to its end; the text says what it left."""


def find_kernel():
    """The User-mode Linux binary and its modules; raises `Missing`."""
    kernel = shutil.which(os.environ.get("UML_KERNEL", "linux.uml"))
    modules = Path(os.environ.get("UML_MODULES", "/usr/lib/uml/modules"))
    if kernel is None or not modules.is_dir():
        raise Missing(
            "User-mode Linux is not installed. On Debian: apt-get install user-mode-linux. "
            "Or point UML_KERNEL at a linux.uml and UML_MODULES at its modules directory."
        )
    return kernel, modules.resolve()


def need_tools(*tools):
    """Raises `Missing` unless the guest finds these tools of iproute2."""
    for tool in tools:
        if not any(Path(d, tool).exists() for d in ("/usr/sbin", "/usr/bin", "/sbin", "/bin")):
            raise Missing(f"the guest needs {tool!r}. On Debian: apt-get install iproute2.")


def need_module(modules, path):
    """Raises `Missing` unless the kernel has this module (a path below its `kernel`)."""
    if not list(modules.glob(f"*/kernel/{path}.ko")):
        raise Missing(f"no module {path} in {modules}")


def preload_for_this_cpu(directory):
    """Builds the shim that UML needs on CPUs with AMX; environment to add."""
    if "amx_tile" not in Path("/proc/cpuinfo").read_text(encoding="ascii"):
        return {}
    compiler = shutil.which("cc")
    if compiler is None:
        raise Missing("this CPU has AMX, so a shim must be compiled for User-mode Linux: apt-get install gcc.")
    shim = directory / "xstate_shim.so"
    source = HELPERS / "xstate_shim.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", shim, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(shim)}


class Guest:
    """A running guest.

    `exchange` is a directory of its own, which it can read, write and mount; the program `init`, which becomes its
    process 1, and `files` are copied there. `words` are further boot arguments; `environment` is that of the
    process on the host, and `setup` runs there before the kernel does.
    """

    def __init__(self, exchange, init, files=(), words=(), environment=None, setup=None):
        self.exchange = exchange
        kernel, modules = find_kernel()
        for file in files:
            shutil.copy(file, exchange)
        # Not under its own name: a script that is its own guest's init runs as a copy.
        shutil.copy(init, exchange / "init")
        (exchange / "init").chmod(0o755)
        command = [kernel, "mem=256M", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"]
        command += [f"uml_dir={exchange}/", "con=null", "con0=null,fd:1", "ssl=null", "quiet"]
        command += [f"init={exchange}/init", f"oracle_exchange={exchange}", f"oracle_modules={modules}"]
        with open(exchange / "console", "wb") as console:
            self.process = subprocess.Popen(
                [*command, *words], stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                env=environment, start_new_session=True, preexec_fn=setup,
            )  # fmt: skip

    def wait(self, seconds):
        """Waits for its end, at most so long, ends it anyway and returns its results; raises `GuestFailed`."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass  # told below: there are no results then
        finally:
            self.end()
        try:
            results = json.loads((self.exchange / RESULTS).read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            raise GuestFailed(f"no results within {seconds} s; its console said:\n{self.console()}") from None
        if "error" in results:
            raise GuestFailed(results["error"])
        return results

    def alive(self):
        """Whether it runs."""
        return self.process.poll() is None

    def console(self):
        """What its kernel and its init printed so far."""
        return (self.exchange / "console").read_text(errors="replace")

    def end(self):
        """Ends it without ceremony: UML's own helper processes share its session, and none may stay."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
