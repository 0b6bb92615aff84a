"""Files are written whole and renamed: a reader never sees half of one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["check_folder", "replacing"]


def check_folder(path: str | os.PathLike[str]) -> None:
    """Whether a file can be made at a path, to be asked before long work.

    Raises:
        FileNotFoundError: the folder doesn't exist; says to make it.
    """
    goal = Path(path)
    if not goal.parent.is_dir():
        raise FileNotFoundError(f"there is no folder '{goal.parent}' to write '{goal.name}' into; make it first")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside `path` to write to, which takes its place in the end; if writing fails nothing is left behind.

    Args:
        path: the file to make, or to replace.

    Raises:
        FileNotFoundError: the folder doesn't exist; says to make it.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "a.txt") as beside:
    ...         _ = beside.write_text("whole")
    ...     (Path(folder) / "a.txt").read_text()
    'whole'
    """
    goal = Path(path)
    check_folder(goal)
    beside = goal.with_name(f".{goal.name}.{os.getpid()}.part")
    try:
        yield beside
    except PermissionError as error:
        if error.filename != str(beside):
            raise
        raise PermissionError(error.errno, error.strerror, str(goal)) from error
    else:
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(goal)
    finally:
        beside.unlink(missing_ok=True)
