"""Checking a store against itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from optcore.history import TASKS
from optcore_bench.store.compact import read_manifest
from optcore_bench.store.digest import DIGEST_DEFINITION, history_hash, store_digest
from optcore_bench.store.log import unread_bytes
from optcore_bench.store.schema import StoreError
from optcore_bench.store.selection import Selection, merged_rows, read_consistently, select
from optcore_bench.store.sources import Source, stretches
from optcore_bench.store.writer import store_path


def verify(path: str | os.PathLike[str]) -> list[str]:
    """Read all of a store and hash it again.

    Every page is compared with its checksum, every run's evaluations with its `history_hash`, the clock's
    rows with the history's, and the runs of a finished store with the digest in its manifest.

    Args:
        path: the store.

    Returns:
        One sentence for each thing that is wrong; empty for a sound store.

    Raises:
        StoreNotFoundError: there is no store.
        StoreVersionError: a newer optcore wrote it.
    """
    root = store_path(path)
    manifest = read_manifest(root)
    try:
        found = read_consistently(root, lambda sources: list(_differences(sources, select(sources), manifest)))
    except StoreError as error:
        return [str(error)]
    return found + list(_torn_logs(root))


def _torn_logs(root: Path) -> Iterator[str]:
    for log in sorted((root / "log").glob("*.log")):
        if left := unread_bytes(log):
            yield f"'{log}' ends in {left} bytes that are no finished run: a process was killed writing them"


def _differences(sources: list[Source], selection: Selection, manifest: dict[str, Any]) -> Iterator[str]:
    hashes = dict(zip(*(selection.runs.column(name).to_pylist() for name in ("run_id", "history_hash")), strict=True))
    empty = history_hash(np.zeros(0, "u1"), np.zeros(0, "i4"), np.zeros(0), None, None)
    seen = {run_id: (size, value) for run_id, size, value in _hashes(sources, selection)}
    clocked = dict.fromkeys(hashes, 0)
    for rows in merged_rows(sources, selection.order, "clock", ["run_id"]):
        for entry in rows.column("run_id").value_counts().to_pylist():
            clocked[entry["values"]] += entry["counts"]
    for run_id, expected in hashes.items():
        size, value = seen.get(run_id, (0, empty))
        if value != expected:
            yield f"the history of run {run_id!r} has hash {value[:12]}, but {expected[:12]} was recorded"
        if clocked[run_id] != size:
            yield f"run {run_id!r} has {size} evaluations, but {clocked[run_id]} times of the clock"
    rows = (row for batch in selection.runs.to_batches(max_chunksize=1000) for row in batch.to_pylist())
    if manifest.get("digest") is not None and manifest.get("digest_definition") == DIGEST_DEFINITION:
        digest = store_digest(rows).value
        if digest != manifest["digest"]:
            yield f"the runs have digest {digest[:12]}, but the manifest says {manifest['digest'][:12]}"


def _hashes(sources: list[Source], selection: Selection) -> Iterator[tuple[str, int, str]]:
    """run_id, number of rows and hash of each run that has evaluations."""
    tables = (part for rows in merged_rows(sources, selection.order, "history", plain=False) for part in _by_run(rows))
    for run_id, parts in groupby(tables, key=lambda part: part[0]):
        rows = pa.concat_tables([part for _, part in parts])
        task = pc.index_in(rows.column("task").cast(pa.string()), pa.array(TASKS)).to_numpy().astype(np.uint8)
        batch = rows.column("batch").to_numpy()
        value = history_hash(
            task, batch, rows.column("fun").to_numpy(), _optional(rows.column("fun_true")), _points(rows)
        )
        yield run_id, rows.num_rows, value


def _by_run(rows: Any) -> Iterator[tuple[str, Any]]:
    first = 0
    for run_id, size in stretches(rows.column("run_id").combine_chunks()):
        yield run_id, rows.slice(first, size)
        first += size


def _optional(column: Any) -> NDArray[np.float64] | None:
    return None if column.null_count == len(column) else column.to_numpy()


def _points(rows: Any) -> NDArray[np.float64] | None:
    column = rows.column("x").combine_chunks()
    if column.null_count == len(column):
        return None
    values = np.asarray(column.flatten().to_numpy(zero_copy_only=False))
    return values.reshape(rows.num_rows, values.size // rows.num_rows)
