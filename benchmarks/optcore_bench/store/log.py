"""The log: where a finished run is safe the moment `append` returns.

A log belongs to one process. It is a sequence of frames, each one finished run:

    magic  4 bytes  b"OCL1"
    length 8 bytes  of the payload, unsigned, little-endian
    crc32  4 bytes  of the payload
    payload         see `optcore_bench.store.record`

A frame goes to the file with one write, so a killed process leaves whole frames and at most one torn one at
the end. The reader stops at the first frame that is torn or damaged. Nobody appends to a log that another
process began, so what stands behind a torn frame is never anything that `append` had promised to keep.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEADER = struct.Struct("<4sQI")
_MAGIC = b"OCL1"
_SYNC_SECONDS = 1.0


class Frame(NamedTuple):
    """One frame of a log: where its payload is, and the payload."""

    offset: int
    payload: bytes


def frame(payload: bytes) -> bytes:
    """The bytes of a frame."""
    return _HEADER.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload


def read_frames(path: Path) -> Iterator[Frame]:
    """The frames of a log up to the first that is torn or damaged.

    Args:
        path: the log, which another process may be appending to.

    Yields:
        One frame after the other.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        while (found := _next_frame(file.read(_HEADER.size), file.tell(), size)) is not None:
            length, crc = found
            offset = file.tell()
            payload = file.read(length)
            if len(payload) < length or zlib.crc32(payload) != crc:
                return
            yield Frame(offset, payload)


def _next_frame(header: bytes, offset: int, size: int) -> tuple[int, int] | None:
    """Length and checksum of the payload at `offset`, or None if the header is no header of a whole frame."""
    if len(header) < _HEADER.size:
        return None
    magic, length, crc = _HEADER.unpack(header)
    if magic != _MAGIC or offset + length > size:
        return None
    return length, crc


def unread_bytes(path: Path) -> int:
    """How many bytes at the end of a log are no whole frames: a torn write, or damage."""
    end = 0
    for found in read_frames(path):
        end = found.offset + len(found.payload)
    return path.stat().st_size - end


def try_lock(descriptor: int) -> bool:
    """Lock an open file if nobody else holds it. False too where the file system knows no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


class LogWriter:
    """A new log in a folder, locked for as long as it is open. Only one thread may write at a time.

    Args:
        folder: where the log is made; the folder is made too.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self._descriptor = _create(folder)
        self.size = 0
        self._synced_at = time.monotonic()

    def append(self, payload: bytes) -> None:
        """Write one frame; on return it survives the end of this process, however that comes.

        The disk is told to make it survive a power cut at most once a second, and at `close`.

        Args:
            payload: bytes of the frame.

        Raises:
            OSError: the disk is full, or similar. The log may end in a torn frame then and must not be used
                again.
        """
        left = memoryview(frame(payload))
        self.size += len(left)
        while left:
            left = left[os.write(self._descriptor, left) :]
        now = time.monotonic()
        if now - self._synced_at > _SYNC_SECONDS:
            _sync(self._descriptor)
            self._synced_at = now

    def close(self, *, sync: bool = True) -> None:
        """Bring the log to the disk and let go of it.

        Args:
            sync: False where the log was copied or is known to be broken, or belongs to the parent process.
        """
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        try:
            if sync:
                _sync(descriptor)
        finally:
            os.close(descriptor)

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            os.close(self._descriptor)


def _create(folder: Path) -> tuple[Path, int]:
    while True:
        path = folder / f"{secrets.token_hex(8)}.log"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            folder.mkdir(exist_ok=True)
            continue
        # A process that compacts the store may have taken the file, not yet locked, for a dead one.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            sync_folder(folder)
            return path, descriptor
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    getattr(os, "fdatasync", os.fsync)(descriptor)


def sync_folder(folder: Path) -> None:
    """Make new names in a folder survive a power cut, where the system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
