"""Folders that are filled under another name beside their place, and what a death leaves of them.

Such a folder is called `.NAME.xxxxxxxx.tmp`. Whoever fills it holds a lock on a file in it, which the system lets go of
when the process ends, however it ends. The file says on which machine, since when this was started, the lock is: others
that share the disk may not see it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from optcore_bench.store.locks import boot_of_machine, lock

__all__ = ["begun_folder", "remove_dead", "rename"]

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
        The folder. Whoever has filled it gives it its name within the block, see `rename`; if it still is there at the
        end of the block, it is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_dead(path)
    begun = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    begun.mkdir()
    descriptor = -1
    try:
        descriptor = os.open(begun / _WHERE, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        lock(descriptor, fcntl.LOCK_EX)
        os.write(
            descriptor, boot_of_machine().encode()
        )  # only now, so that an unlocked file that says it is a dead one's
        yield begun
    finally:
        shutil.rmtree(begun, ignore_errors=True)
        if descriptor >= 0:
            os.close(descriptor)


def rename(begun: Path, path: Path) -> None:
    """Give a filled folder its name.

    Raises:
        OSError: there is something at the path.
    """
    (begun / _WHERE).unlink(missing_ok=True)
    begun.rename(path)


def remove_dead(path: Path) -> list[Path]:
    """Remove folders that processes began beside a path and, since they have died, will not finish.

    A folder is dead if nobody holds its lock, and it was filled on this machine since this was started; one of another
    machine's, which may not show its locks here, only if nothing has been written to it for an hour. Where the file
    system knows no locks, those that say where they were filled are left.

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
    if not folder.is_dir() or folder.is_symlink():
        return False
    try:
        descriptor = os.open(folder / _WHERE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # of an earlier version, or its process died, or is, between two steps
        descriptor = -1
    here = False
    try:
        if descriptor >= 0:
            if not lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                return False
            here = os.read(descriptor, 200).decode(errors="replace") == boot_of_machine()
        if not here and not _is_silent(folder):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def _is_silent(folder: Path) -> bool:
    """Whether nothing has been written for long."""
    try:
        last = max(os.lstat(path).st_mtime for path in (folder, *folder.rglob("*")))
    except OSError:  # something is being written just now
        return False
    return time.time() - last > _SILENT_SECONDS
