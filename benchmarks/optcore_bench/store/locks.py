"""Locks that the system lets go of when a process ends, however it ends, and the machine that they are on."""

from __future__ import annotations

import errno
import fcntl
import platform
from functools import cache
from pathlib import Path

__all__ = ["boot_of_machine", "lock"]


def lock(descriptor: int, how: int) -> bool | None:
    """Lock an open file.

    Args:
        descriptor: of the file.
        how: as `fcntl.flock` takes it: LOCK_EX or LOCK_SH, with LOCK_NB to be told instead of to wait.

    Returns:
        True; False if another process holds it; None where the file system knows no locks.
    """
    try:
        fcntl.flock(descriptor, how)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True


@cache
def boot_of_machine() -> str:
    """Names this machine since it was started."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()
