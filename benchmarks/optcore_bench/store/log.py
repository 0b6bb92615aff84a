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

from optcore_bench.store.locks import lock

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


class Salvage(NamedTuple):
    """What of a log is whole."""

    frames: list[tuple[int, int]]  # offset and length of the payloads
    holes: list[tuple[int, int]]  # first byte and end of what is damaged between whole frames
    torn: int  # bytes at the end that are no whole frame

    @property
    def wholes(self) -> list[tuple[int, int]]:
        """First byte and end of the whole frames."""
        return [(offset - _HEADER.size, offset + length) for offset, length in self.frames]


def salvage(path: Path) -> Salvage:
    """Find all whole frames of a log, also those behind a damaged one, which `read_frames` does not reach.

    Args:
        path: the log.

    Returns:
        Where they are, and where there is anything else.
    """
    content = path.read_bytes()
    frames: list[tuple[int, int]] = []
    holes: list[tuple[int, int]] = []
    end = position = 0
    while position >= 0:
        found = _next_frame(content[position : position + _HEADER.size], position + _HEADER.size, len(content))
        offset = position + _HEADER.size
        if found is not None and zlib.crc32(memoryview(content)[offset : offset + found[0]]) == found[1]:
            if position > end:
                holes.append((end, position))
            frames.append((offset, found[0]))
            end = position = offset + found[0]
        else:
            position = content.find(_MAGIC, position + 1)
    return Salvage(frames, holes, len(content) - end)


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
            OSError: the disk is full, or similar. What was written of the frame is taken back where the system
                lets it; the log must not be used again.
        """
        whole = left = memoryview(frame(payload))
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(whole)
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

    def abandon(self) -> None:
        """Let go of a log after an error; one that holds no run is removed."""
        self.close(sync=False)
        if not self.size:
            with contextlib.suppress(OSError):
                self.path.unlink()

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
        lock(descriptor, fcntl.LOCK_EX)
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
