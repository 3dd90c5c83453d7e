"""Holds one thread of another process until standard input ends, as a debugger does.

Prints "held" when the thread stands. Ends with 77 when this user may not do that to the process, with 1
when there is no such thread.

    hold_thread.py PROCESS THREAD_NAME
"""

import ctypes
import errno
import os
import sys
from pathlib import Path

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000  # waitpid: threads too


def main() -> int:
    process, name = sys.argv[1:]
    names = {int(t.name): (t / "comm").read_text().strip() for t in Path(f"/proc/{process}/task").iterdir()}
    thread = next((number for number, known in names.items() if known == name), None)
    if thread is None:
        print(f"no thread {name}: {names}", file=sys.stderr)
        return 1
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    for request in (PTRACE_SEIZE, PTRACE_INTERRUPT):
        if libc.ptrace(request, thread, None, None) != 0:
            code = ctypes.get_errno()
            print(os.strerror(code), file=sys.stderr)
            return 77 if code in (errno.EPERM, errno.ENOSYS) else 1
    os.waitpid(thread, WALL)
    print("held", flush=True)
    sys.stdin.read()
    libc.ptrace(PTRACE_DETACH, thread, None, None)
    return 0


sys.exit(main())
