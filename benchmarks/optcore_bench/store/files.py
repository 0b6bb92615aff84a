"""Files that are written whole or not at all, one process at a time, and what is said where they can't be."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from optcore_bench.store.locks import lock
from optcore_bench.store.log import sync_folder
from optcore_bench.store.schema import StoreWriteError, no_store

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_CHUNK = 2**20


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the lock of a store.

    Where the file system knows no locks, this goes on without one; nothing that counts gets lost by that.

    Args:
        root: the store.
    """
    try:
        descriptor = os.open(root, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        raise no_store(root) from None
    try:
        lock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Make or replace a file so that readers see the old one or the new one, also after a power cut.

    Args:
        path: the file; its folder is made where missing.
        write: writes the file at the path that it gets.
    """
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write(temporary)
        descriptor = os.open(temporary, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def replace_text(path: Path, text: str) -> None:
    """As `replace_file`, for a text."""
    replace_file(path, lambda temporary: _write_text(temporary, text))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def file_sum(path: Path) -> str:
    """SHA-256 of a file's bytes, as `sha256sum` prints it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def explained(root: Path, kept: str = "finished runs are stored") -> Iterator[None]:
    """Turn the error of a full disk or of a folder that may not be written into a sentence with the remedy.

    Args:
        root: the store, for the message.
        kept: what is safe in spite of a full disk.

    Raises:
        StoreWriteError: instead of an OSError of these kinds; others pass.
    """
    try:
        yield
    except StoreWriteError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            remedy = f"{kept}: make room, and the same command goes on"
        elif error.errno in _FORBIDDEN:
            remedy = "make it writable, or give another --store"
        else:
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        told = StoreWriteError(f"the store '{root}' can't be written ({reason}); {remedy}")
        told.errno = error.errno
        raise told from error
