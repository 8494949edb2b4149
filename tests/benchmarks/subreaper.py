"""Runs a command, adopts all its orphans and reports the CPU time of the whole process tree.

Started as a script by `measure`, so that it can wait for everything that the command leaves behind:
`getrusage` knows only descendants that somebody waited for, and a double fork escapes the command.
A process whose parent ignores SIGCHLD is the one that Linux still does not charge to anybody.
"""

import ctypes
import json
import os
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def run_and_reap(command: list[str]) -> dict[str, float]:
    """Exit code, wall seconds of the command and CPU seconds of it and all its descendants.

    Returns when the last descendant has ended. Raises OSError if this system has no subreapers.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this process cannot become a subreaper")
    started = time.monotonic()
    main_process = os.posix_spawnp(command[0], command, os.environ)
    exit_code, wall_s, cpu_s = -1, 0.0, 0.0
    while True:
        try:
            process, status, usage = os.wait4(-1, 0)
        except ChildProcessError:
            return {"exit_code": exit_code, "wall_s": wall_s, "cpu_s": cpu_s}
        cpu_s += usage.ru_utime + usage.ru_stime
        if process == main_process:
            exit_code = os.waitstatus_to_exitcode(status)
            wall_s = time.monotonic() - started


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(run_and_reap(sys.argv[2:])))
