"""Memory that two processes map: the child records into it, the supervisor reads it, whatever became of the child."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from contextlib import suppress

__all__ = ["SharedFile", "new_file"]

_FIRST_SIZE = 1 << 20
_ROUND = 1 << 16
_HEADER_SIZE = 64


def new_file(*, anonymous: bool) -> int:
    """Descriptor of a new file without a name, of a megabyte that takes no space until it is written to.

    Args:
        anonymous: in memory (Linux only), instead of in the folder for temporary files.
    """
    if anonymous and sys.platform == "linux":
        import fcntl

        fd = os.memfd_create("optcore-run", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # Reading a mapping beyond the end of its file kills the reader. Nothing in the child can do that to us.
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    else:
        fd, path = tempfile.mkstemp(prefix="optcore-run-")
        os.unlink(path)
    os.ftruncate(fd, _FIRST_SIZE)
    return fd


class SharedFile:
    """A growing file mapped into memory; `optcore.history.Memory` for the child, a view of the same for the supervisor.

    Each process has an object of its own for the same file. Growing maps the file anew; older mappings, and arrays on
    them, stay valid and show the same bytes.

    Args:
        fd: descriptor of the file; stays the caller's to close.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self._older: list[mmap.mmap] = []

    def reserve(self, size: int) -> mmap.mmap:
        """The writable mapping, after the file was made large enough for `size` bytes."""
        if size > len(self._map):
            size = -(-size // _ROUND) * _ROUND
            if os.fstat(self._fd).st_size < size:
                os.ftruncate(self._fd, size)
            # A page counts as resident only where it was touched, so that without the older mappings less would be
            # resident than `touched` says, and the limit on memory would let that much more pass.
            self._older.append(self._map)
            self._map = mmap.mmap(self._fd, os.fstat(self._fd).st_size)
        return self._map

    def current(self) -> mmap.mmap:
        """The mapping of the whole file, also where the other process made it larger."""
        return self.reserve(self.size)

    def clear(self) -> None:
        """Forget what was recorded: without its header no row of an earlier run can be read as one of the next."""
        self._map[:_HEADER_SIZE] = bytes(_HEADER_SIZE)

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self._fd).st_size

    @property
    def touched(self) -> int:
        """Bytes that were ever written to, in whole pages: what the file contributes to resident memory."""
        return os.fstat(self._fd).st_blocks * 512

    def close(self) -> None:
        """Drop the mappings; arrays that still look at one keep it alive."""
        for mapping in (*self._older, self._map):
            with suppress(BufferError):
                mapping.close()
