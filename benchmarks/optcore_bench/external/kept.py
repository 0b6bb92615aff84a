"""The files of solvers, kept in the store of their runs: STORE/sources/ID/my_solver.py and what it imports from beside.

ID is the beginning of the file's SHA-256. A stored study whose file is gone from its place is read with the copy.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from optcore_bench.external.interpreter import Interpreter
from optcore_bench.external.place import Place, sources_of
from optcore_bench.store.files import explained, file_sum, replace_file
from optcore_bench.store.manifest import SOURCES

__all__ = ["keep_sources", "with_kept_source"]

_ID_DIGITS = 16


def keep_sources(root: Path, algorithms: Iterable[Any]) -> None:
    """Copy the files of solvers into a store.

    Args:
        root: the store.
        algorithms: what the entries of a study have as their algorithm; others than files are passed over.

    Raises:
        StoreWriteError: the disk is full, or the store may not be written.
    """
    for algorithm in algorithms:
        solver = algorithm.solver if isinstance(algorithm, Interpreter) else algorithm
        if not isinstance(solver, Place) or not solver.is_file:
            continue
        folder = root / SOURCES / solver.sha256[:_ID_DIGITS]
        for name, source in sources_of(Path(solver.where)).items():
            copy = folder / name
            if not copy.exists() or copy.read_bytes() != source:
                with explained(root):
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    replace_file(copy, functools.partial(_write, source))


def _write(source: bytes, path: Path) -> None:
    path.write_bytes(source)


def with_kept_source(entry: Any, root: Path) -> Any:
    """An entry of a stored study's `algorithms`; where its file is gone, with the path of the copy in the store.

    Args:
        entry: as TOML has it.
        root: the store.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("path"), str) or "sha256" not in entry:
        return entry
    where, _, name = entry["path"].rpartition(":")
    sha256 = str(entry["sha256"])
    copy = root / SOURCES / sha256[:_ID_DIGITS] / Path(where).name
    if Path(where).exists():
        return entry
    with contextlib.suppress(OSError):
        if file_sum(copy) == sha256:
            return {**entry, "path": f"{copy.resolve()}:{name}"}
    return entry
