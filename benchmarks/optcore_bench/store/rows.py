"""Rows of `history` and `clock` out of runs that are in memory, as Arrow tables of bounded size.

Runs are joined to tables of about a row group before Arrow sees them: a table for each run costs more than the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from optcore.history import TASKS
from optcore_bench.store.record import StoredRun, best_column
from optcore_bench.store.schema import CLOCK, HISTORY, ROW_GROUP_ROWS

#: Arrow's lists count their entries with 32 bits, and a chunk is held in memory: cut runs of many long x.
_CHUNK_ENTRIES = 4_000_000
_TASK_NAMES = pa.array(TASKS)


def history_tables(runs: Iterable[StoredRun]) -> Iterator[Any]:
    """The rows of `history` of some runs, one run after the other, as Arrow tables of bounded size."""
    for batch in _batches(runs):
        if len(batch) == 1:
            yield from _pieces(batch[0])
        else:
            yield _history(batch, np.concatenate([_evaluations(run) for run in batch]))


def _pieces(run: StoredRun) -> Iterator[Any]:
    """A run that may be long."""
    per_piece = max(1, _CHUNK_ENTRIES // _entries(run))
    evaluation = _evaluations(run)
    best = _best(run)
    for first in range(0, len(run.task), per_piece):
        rows = slice(first, first + per_piece)
        piece = run._replace(
            task=run.task[rows],
            batch=run.batch[rows],
            fun=run.fun[rows],
            fun_true=None if run.fun_true is None else run.fun_true[rows],
            x=None if run.x is None else run.x[rows],
        )
        yield _history([piece], evaluation[rows], best[rows])


def _batches(runs: Iterable[StoredRun]) -> Iterator[list[StoredRun]]:
    """Consecutive runs whose columns are null alike, about as many as fill a row group."""
    batch: list[StoredRun] = []
    filled = 0.0
    for run in runs:
        size = len(run.task) * max(1 / ROW_GROUP_ROWS, _entries(run) / _CHUNK_ENTRIES)
        if batch and (_nulls(run) != _nulls(batch[0]) or size >= 1):
            yield batch
            batch, filled = [], 0.0
        batch.append(run)
        filled += size
        if filled >= 1:
            yield batch
            batch, filled = [], 0.0
    if batch:
        yield batch


def _nulls(run: StoredRun) -> tuple[bool, bool]:
    return run.fun_true is None, run.x is None


def _entries(run: StoredRun) -> int:
    """Numbers in a row."""
    return max(8, 0 if run.x is None else run.x.shape[1])


def _evaluations(run: StoredRun) -> NDArray[np.int32]:
    return np.arange(len(run.task), dtype=np.int32)


def _best(run: StoredRun) -> NDArray[np.float64]:
    return best_column(run.task, run.fun if run.fun_true is None else run.fun_true, run.feasible)


def _history(runs: Sequence[StoredRun], evaluation: NDArray[np.int32], best: NDArray[np.float64] | None = None) -> Any:
    def joined(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(run, name) for run in runs])

    noiseless, without_x = _nulls(runs[0])
    columns = [
        _run_ids(runs),
        pa.array(evaluation),
        _TASK_NAMES.take(pa.array(joined("task"))),
        pa.array(joined("batch")),
        pa.array(joined("fun")),
        pa.nulls(len(evaluation), pa.float64()) if noiseless else pa.array(joined("fun_true")),
        pa.array(np.concatenate([_best(run) for run in runs]) if best is None else best),
        pa.nulls(len(evaluation), HISTORY.field("x").type) if without_x else _lists([run.x for run in runs]),
    ]
    return pa.Table.from_arrays(columns, schema=HISTORY)


def clock_tables(runs: Iterable[StoredRun]) -> Iterator[Any]:
    """The rows of `clock` of some runs, one run after the other, as Arrow tables."""
    for batch in _batches(runs):
        evaluation = np.concatenate([_evaluations(run) for run in batch])
        if len(evaluation):
            clocks = (np.concatenate([getattr(run, name) for run in batch]) for name in ("start", "stop"))
            columns = [_run_ids(batch), pa.array(evaluation), *(pa.array(clock) for clock in clocks)]
            yield pa.Table.from_arrays(columns, schema=CLOCK)


def _run_ids(runs: Sequence[StoredRun]) -> Any:
    places = np.repeat(np.arange(len(runs)), [len(run.task) for run in runs])
    return pa.array([run.run["run_id"] for run in runs], pa.string()).take(pa.array(places))


def _lists(points: Sequence[NDArray[np.float64] | None]) -> Any:
    """Points of one run after the other as lists; those of a run have one length."""
    arrays = [x for x in points if x is not None]
    lengths = np.repeat([x.shape[1] for x in arrays], [x.shape[0] for x in arrays])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    values = np.concatenate([x.reshape(-1) for x in arrays])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values), type=HISTORY.field("x").type)
