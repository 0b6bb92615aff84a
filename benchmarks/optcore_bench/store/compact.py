"""Turning logs into segments, and segments into one.

A file is written under a temporary name that starts with a dot, brought to the disk, renamed, and the folder
is brought to the disk; the file in `runs` comes last and makes the segment count (see
`optcore_bench.store.sources`). Only then is removed what it replaces. A lock on the store's folder itself,
which leaves no file behind, lets one process at a time do any of this.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from optcore_bench.store.log import sync_folder, try_lock
from optcore_bench.store.schema import INDEX, ROW_GROUP_ROWS, check_version, no_store, parquet_writer
from optcore_bench.store.selection import Selection, merged_rows, select
from optcore_bench.store.sources import INDEX_FILE, LogSource, Segment, Source, list_contents

_ROW_GROUP_BYTES = 32 * 2**20
_STEM = re.compile(r"part-(\d+)-")


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
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
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


def read_manifest(root: Path) -> dict[str, Any]:
    """What `manifest.json` says.

    Args:
        root: the store.

    Returns:
        The manifest.

    Raises:
        StoreNotFoundError: there is none.
        StoreVersionError: a newer optcore wrote it.
        DamagedStoreError: it is no manifest.
    """
    path = root / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise no_store(root) from None
    except (OSError, ValueError):
        manifest = {}
    check_version(manifest.get("schema") if isinstance(manifest, dict) else None, path)
    return dict(manifest)


def write_manifest(root: Path, manifest: dict[str, Any]) -> None:
    """Replace `manifest.json`.

    Args:
        root: the store.
        manifest: what it shall say.
    """
    replace_text(root / "manifest.json", json.dumps(manifest, indent=2, default=str) + "\n")


def rotate(root: Path, log: Path) -> None:
    """Turn a log that its process is done with into a segment, and remove it.

    Args:
        root: the store.
        log: the log, which the caller has closed.
    """
    with locked(root):
        if not log.exists():  # whoever finished the store meanwhile took it
            return
        source = LogSource(log)
        if source.runs.num_rows:
            # Which of two runs of one cell stays is decided at the end, where the study's run ids are known.
            _write_segment(root, [source], select([source], one_per_cell=False), [log.stem])
        log.unlink()


class Compacted(NamedTuple):
    """What compaction left."""

    selection: Selection
    changed: bool  # whether a file of the tables had to be written
    complete: bool  # whether no log is left that a process holds open


def compact(root: Path, wanted: Collection[str] | None = None) -> Compacted:
    """Bring a store to one file in each table. Logs that a process still holds open are left as they are.

    Args:
        root: the store, locked by the caller.
        wanted: run ids that win over others of the same cell.

    Returns:
        What the segment holds, and what had to be done and left undone.
    """
    contents = list_contents(root)
    segments = [Segment(root, stem) for stem in contents.segments]
    with contextlib.ExitStack() as stack:
        logs = [root / "log" / f"{stem}.log" for stem in contents.logs]
        free = [path for path in logs if stack.enter_context(_owned(path))]
        sources: list[Source] = [*segments, *(LogSource(path) for path in free)]
        selection = select(sources, wanted)
        changed = len(segments) != 1 or any(source.runs.num_rows for source in sources[1:]) or bool(selection.dropped)
        if changed:
            stem = _write_segment(root, sources, selection, [*_stems(root), *(path.stem for path in free)])
            contents = list_contents(root)
        else:
            stem = contents.segments[0]
        _write_index(root, stem, sources, selection, force=changed)
        _clean(root, (*contents.dead, *free))
    return Compacted(selection, changed, complete=len(free) == len(logs))


@contextlib.contextmanager
def _owned(log: Path) -> Iterator[bool]:
    """Lock a log; False where a process is appending to it."""
    descriptor = os.open(log, os.O_RDONLY)
    try:
        yield try_lock(descriptor)
    finally:
        os.close(descriptor)


def _stems(root: Path) -> list[str]:
    return sorted(path.stem for path in (root / "runs").glob("*.parquet") if not path.name.startswith("."))


def _clean(root: Path, paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # missing, or a process still appends to a log
        (root / "log").rmdir()


def _write_segment(root: Path, sources: Sequence[Source], selection: Selection, replaces: list[str]) -> str:
    """Write a segment; it counts as soon as this returns.

    Args:
        root: the store.
        sources: where the runs are.
        selection: which runs.
        replaces: names of the logs and segments that it stands for.

    Returns:
        The name of the segment.
    """
    numbers = [int(found[1]) for found in map(_STEM.match, _stems(root)) if found]
    generation = 1 + max(numbers, default=0)
    stem = f"part-{generation:04d}-{secrets.token_hex(3)}"
    for table in ("history", "clock"):
        rows = merged_rows(sources, selection.order, table)
        _write_table(root / table / f"{stem}.parquet", table, _row_groups(rows))
    _write_table(root / "timings" / f"{stem}.parquet", "timings", [selection.timings])
    environments: dict[str, dict[str, str]] = {}
    for source in sources:
        environments |= source.environments
    used = set(selection.runs.column("environment").to_pylist())
    metadata = {
        "replaces": replaces,
        "environments": {name: value for name, value in environments.items() if name in used},
    }
    _write_table(root / "runs" / f"{stem}.parquet", "runs", [selection.runs], metadata)
    return stem


def _write_table(path: Path, table: str, tables: Iterable[Any], metadata: dict[str, Any] | None = None) -> None:
    def write(temporary: Path) -> None:
        with parquet_writer(temporary, table, metadata) as writer:
            for rows in tables:
                writer.write_table(rows, row_group_size=max(1, rows.num_rows))

    replace_file(path, write)


def _row_groups(tables: Iterable[Any]) -> Iterator[Any]:
    """Gather tables to row groups of about `ROW_GROUP_ROWS` rows, or of 32 MiB where x is long."""
    waiting: list[Any] = []
    rows = size = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        size += table.nbytes
        if rows >= ROW_GROUP_ROWS or size >= _ROW_GROUP_BYTES:
            yield pa.concat_tables(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting)


def _write_index(root: Path, stem: str, sources: Sequence[Source], selection: Selection, *, force: bool) -> None:
    """Write where the rows of each run are in the segment; readers can do without."""
    path = root / "derived" / INDEX_FILE
    if path.exists() and not force:
        return
    sizes = [sources[position].n_rows(run_id) for position, run_id in selection.order]
    first = np.cumsum([0, *sizes], dtype=np.int64)[:-1]
    columns = [selection.runs.column("run_id"), pa.array(first), pa.array(sizes, pa.int64())]
    _write_table(path, "derived", [pa.Table.from_arrays(columns, schema=INDEX)], {"of": stem})
