"""Folders that are filled under another name beside their place, and what a death leaves of them.

Such a folder is called `.NAME.xxxxxxxx.tmp`. Whoever fills it holds a lock on it, which the system lets go of when the
process ends, however it ends. It also says in a file which machine, since when it was started, the lock is on: other
machines that share the disk may not see it.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from optcore_bench.claims import boot_of_machine, lock

__all__ = ["begun_folder", "remove_dead"]

#: Says which machine a folder is filled on; removed before the folder gets its name.
_WHERE = ".filled-on"
#: How long nothing may have been written to a folder of another machine's, or of an unknown one's.
_SILENT_SECONDS = 3600.0


@contextlib.contextmanager
def begun_folder(path: Path) -> Iterator[Path]:
    """A new folder beside a path, for what shall get its name.

    What dead processes left there of the same name is removed first.

    Args:
        path: the name that it will have.

    Yields:
        The folder. Whoever has filled it renames it within the block, by `finish`'s `rename`; it is removed at the end
        of the block if it is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_dead(path)
    begun, descriptor = _make(path)
    try:
        (begun / _WHERE).write_text(boot_of_machine(), encoding="utf-8")
        yield begun
    finally:
        shutil.rmtree(begun, ignore_errors=True)
        os.close(descriptor)


def rename(begun: Path, path: Path) -> None:
    """Give a filled folder its name.

    Raises:
        OSError: there is something at the path.
    """
    (begun / _WHERE).unlink(missing_ok=True)
    begun.rename(path)


def _make(path: Path) -> tuple[Path, int]:
    while True:
        begun = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            begun.mkdir()
            descriptor = os.open(begun, os.O_RDONLY | os.O_CLOEXEC)
        except (FileExistsError, FileNotFoundError):  # the name is taken, or somebody took it for a dead one's
            if not path.parent.is_dir():
                raise
            continue
        lock(descriptor)
        if _is_there(begun, descriptor):
            return begun, descriptor
        os.close(descriptor)


def _is_there(folder: Path, descriptor: int) -> bool:
    """Whether the opened folder still is what is found at its path."""
    try:
        return os.path.samestat(os.stat(folder), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def remove_dead(path: Path) -> list[Path]:
    """Remove folders that processes began beside a path and, since they have died, will not finish.

    A folder is dead if nobody holds its lock, and it was filled on this machine since this was started; one of another
    machine's, which may not show its locks here, only if nothing has been written to it for an hour. Where the file
    system knows no locks, nothing is removed.

    Args:
        path: what they were begun for.

    Returns:
        What was removed.
    """
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp")
    try:
        found = [path.parent / entry for entry in sorted(os.listdir(path.parent)) if name.fullmatch(entry)]
    except OSError:
        return []
    return [folder for folder in found if _remove_if_dead(folder)]


def _remove_if_dead(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:  # gone, or no folder, or somebody else's
        return False
    try:
        if not lock(descriptor, wait=False) or not (_was_here(folder) or _is_silent(folder)):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    finally:
        os.close(descriptor)


def _was_here(folder: Path) -> bool:
    try:
        return (folder / _WHERE).read_text(encoding="utf-8") == boot_of_machine()
    except (OSError, ValueError):
        return False


def _is_silent(folder: Path) -> bool:
    """Whether nothing has been written for long."""
    try:
        last = max(os.lstat(path).st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:  # something is being written just now
        return False
    return time.time() - last > _SILENT_SECONDS
