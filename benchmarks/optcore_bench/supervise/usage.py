"""What a process uses: processor time and memory."""

from __future__ import annotations

import resource
import subprocess
import sys
from contextlib import suppress

__all__ = ["MAXRSS_UNIT", "cpu_seconds", "forget_peak", "peak_bytes", "resident_bytes"]

#: Bytes in a unit of `ru_maxrss`.
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
_PAGE = resource.getpagesize()


def cpu_seconds() -> float:
    """Processor time of this process so far, that of children it waited for included."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def forget_peak() -> None:
    """Let the peak of this process's resident set start again (Linux; elsewhere it stays that of its whole life)."""
    with suppress(OSError), open("/proc/self/clear_refs", "wb", buffering=0) as file:
        file.write(b"5")


def peak_bytes() -> int:
    """The largest resident set of this process, since `forget_peak` where that works."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT


def resident_bytes(pid: int) -> int:
    """The resident set of a process; 0 if it is gone.

    20 microseconds with /proc, some milliseconds without.
    """
    if sys.platform != "linux":
        return _resident_bytes_by_ps(pid)
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        return 0


def _resident_bytes_by_ps(pid: int) -> int:
    found = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=False)
    return int(found.stdout or 0) * 1024
