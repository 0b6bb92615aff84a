"""Turning logs into segments, and segments into one.

A file is written under a temporary name that starts with a dot, brought to the disk, renamed, and the folder
is brought to the disk; the file in `runs` comes last and makes the segment count (see
`optcore_bench.store.sources`). Only then is removed what it replaces. A lock on the store's folder itself,
which leaves no file behind, lets one process at a time do any of this.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from optcore_bench.store.digest import DIGEST_DEFINITION, Digest, store_digest
from optcore_bench.store.files import locked, replace_file
from optcore_bench.store.locks import lock
from optcore_bench.store.schema import INDEX, ROW_GROUP_ROWS, parquet_writer
from optcore_bench.store.selection import Selection, merged_rows, plain_rows, select
from optcore_bench.store.sources import (
    INDEX_FILE,
    SEGMENT_NAME,
    LogSource,
    Segment,
    Source,
    list_contents,
    list_segments,
    run_ids_of,
)

_ROW_GROUP_BYTES = 32 * 2**20


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
            write_segment(root, [source], select([source], one_per_cell=False), [log.stem])
        log.unlink()


class Compacted(NamedTuple):
    """What compaction left."""

    selection: Selection
    stem: str  # name of the segment
    digest: Digest | None  # None where nothing changed: it takes longer than all the rest then
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
        free = [path for path in logs if stack.enter_context(owned(path))]
        sources: list[Source] = [*segments, *(LogSource(path) for path in free)]
        selection = select(sources, wanted)
        changed = len(segments) != 1 or any(source.runs.num_rows for source in sources[1:]) or bool(selection.dropped)
        digest = store_digest(plain_rows(selection.runs)) if changed else None
        if changed:
            replaces = [*list_segments(root), *(path.stem for path in free)]
            stem = write_segment(root, sources, selection, replaces, digest)
            contents = list_contents(root)
        else:
            stem = contents.segments[0]
        write_index(root, stem, sources, selection, force=changed)
        known = frozenset().union(*(source.runs.column("run_id").to_pylist() for source in sources))
        _clean(root, (*contents.dead, *free, *(path for path in contents.orphans if is_leftover(path, known))))
    return Compacted(selection, stem, digest, changed, complete=len(free) == len(logs))


def is_leftover(path: Path, known: frozenset[str]) -> bool:
    """Whether a file of a segment that never came to count holds nothing that is not stored elsewhere.

    Args:
        path: a file in `history`, `clock` or `timings` without its like in `runs`.
        known: ids of the runs that are stored.

    Returns:
        False where it holds other runs, or can't be read: then its file in `runs` may have been lost.
    """
    ids = run_ids_of(path)
    return ids is not None and ids <= known


@contextlib.contextmanager
def owned(log: Path) -> Iterator[bool]:
    """Lock a log; False where a process is appending to it, and where the file system knows no locks."""
    descriptor = os.open(log, os.O_RDONLY)
    try:
        yield bool(lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))
    finally:
        os.close(descriptor)


def _clean(root: Path, paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # missing, or a process still appends to a log
        (root / "log").rmdir()


def write_segment(
    root: Path, sources: Sequence[Source], selection: Selection, replaces: list[str], digest: Digest | None = None
) -> str:
    """Write a segment; it counts as soon as this returns.

    Args:
        root: the store.
        sources: where the runs are.
        selection: which runs.
        replaces: names of the logs and segments that it stands for.
        digest: of the runs, which the file in `runs` then keeps as a witness beside the manifest.

    Returns:
        The name of the segment.
    """
    numbers = [int(found[1]) for found in map(SEGMENT_NAME.fullmatch, list_segments(root)) if found]
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
        **({} if digest is None else {"digest": digest.value, "digest_definition": DIGEST_DEFINITION}),
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


def write_index(root: Path, stem: str, sources: Sequence[Source], selection: Selection, *, force: bool) -> None:
    """Write where the rows of each run are in the segment; readers can do without.

    Args:
        root: the store.
        stem: name of the segment.
        sources: where the sizes of the runs are known.
        selection: the runs in the order of the segment.
        force: replace an index that is there.
    """
    path = root / "derived" / INDEX_FILE
    if path.exists() and not force:
        return
    sizes = [sources[position].n_rows(run_id) for position, run_id in selection.order]
    first = np.cumsum([0, *sizes], dtype=np.int64)[:-1]
    columns = [selection.runs.column("run_id"), pa.array(first), pa.array(sizes, pa.int64())]
    _write_table(path, "derived", [pa.Table.from_arrays(columns, schema=INDEX)], {"of": stem})
