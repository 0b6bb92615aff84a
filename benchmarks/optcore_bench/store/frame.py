"""Histories that others recorded, as a source of results."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from optcore.errors import InvalidInputError, unknown_name
from optcore.history import TASKS, HistoryRows
from optcore_bench.store.record import RunRecord, StoredRun, best_column, canonical_json, prepare
from optcore_bench.store.schema import KEY, RUNS, TIMINGS
from optcore_bench.store.sources import stored_rows

_REQUIRED = ("problem", "algorithm", "evaluation", "fun")
_DEFAULTS: dict[str, Any] = {"suite": "", "derivative": "", "start": 1, "noise": ""}


class FrameSource:
    """Runs in memory, made from a data frame with one row an evaluation.

    Args:
        frame: see `optcore_bench.store.Results.from_frame`.

    Raises:
        InvalidInputError: a column is missing.
    """

    stem = "frame"

    def __init__(self, frame: pd.DataFrame) -> None:
        self.environments: dict[str, dict[str, str]] = {}
        if missing := [name for name in _REQUIRED if name not in frame.columns]:
            raise InvalidInputError(
                f"a data frame of histories needs the columns {', '.join(_REQUIRED)}; "
                f"this one lacks {', '.join(missing)}"
            )
        full = frame.assign(**{name: value for name, value in _DEFAULTS.items() if name not in frame.columns})
        groups = full.groupby(list(KEY), sort=False, observed=True, dropna=False)
        stored = [_stored(dict(zip(KEY, key, strict=True)), rows) for key, rows in groups]
        self._stored = {run.run["run_id"]: run for run in stored}
        self.runs = pa.Table.from_pylist([run.run for run in stored], schema=RUNS)
        self.timings = pa.Table.from_pylist([run.timings for run in stored], schema=TIMINGS)

    def n_rows(self, run_id: str) -> int:
        """Number of evaluations of a run."""
        return len(self._stored[run_id].task)

    def rows(
        self, table: str, run_ids: Sequence[str], columns: list[str] | None = None, *, plain: bool = True
    ) -> Iterator[Any]:
        """Rows of `history` or `clock` of some runs, in the order of `run_ids`."""
        for run_id in run_ids:
            yield from stored_rows(self._stored[run_id], table, columns, plain=plain)


def _stored(cell: dict[str, Any], group: pd.DataFrame) -> StoredRun:
    rows = group.sort_values("evaluation", kind="stable")
    fun = rows["fun"].to_numpy(np.float64)
    fun_true = rows["fun_true"].to_numpy(np.float64) if "fun_true" in rows and rows["fun_true"].notna().any() else None
    task = _tasks(rows)
    stop = rows["seconds"].to_numpy(np.float64) if "seconds" in rows else np.zeros(len(rows))
    batch = rows["batch"].to_numpy(np.int32) if "batch" in rows else np.arange(len(rows), dtype=np.int32)
    value = fun if fun_true is None else fun_true
    # A value that is not in the best so far of whoever recorded it was found outside the bounds.
    knows_best = "best" in rows and rows["best"].notna().any()
    feasible = value >= rows["best"].to_numpy(np.float64) if knows_best else None
    best = best_column(task, value, feasible)
    counts = {f"n_{name}_evals": int(np.count_nonzero(task == code)) for code, name in enumerate(TASKS)}
    # In `runs`, n_fun_evals counts every call of fun, those for derivatives too.
    counts["n_fun_evals"] += counts["n_numdiff_evals"]
    text = {name: str(cell[name]) for name in ("suite", "problem", "noise", "algorithm", "derivative")}
    run = {
        **text,
        **counts,
        "run_id": hashlib.sha256(canonical_json([text, int(cell["start"])]).encode()).hexdigest()[:16],
        "study": "",
        "problem_version": "",
        "n": int(rows["n"].iloc[0]) if "n" in rows else 0,
        "m": None,
        "algorithm_options": None,
        "derivative_options": None,
        "start": int(cell["start"]),
        "seed": 0,
        "status": "stopped",
        "message": "",
        "f_start": value[0],
        "f_opt": float(rows["f_opt"].iloc[0]) if "f_opt" in rows else None,
        "f_best": best[-1],
        "f_final": best[-1],
        "derivative_error": None,
        "n_batches": len(np.unique(batch)),
        "n_iterations": None,
        "environment": "",
    }
    start = np.concatenate([[0.0], stop[:-1]])
    history = HistoryRows(task, fun, batch, start, stop, np.zeros((len(rows), 0)), feasible)
    seconds = float(stop[-1]) if "seconds" in rows else None
    return prepare(RunRecord(run, {"seconds": seconds}, history, fun_true, keep_x=False))


def _tasks(rows: pd.DataFrame) -> NDArray[np.uint8]:
    if "task" not in rows:
        return np.zeros(len(rows), dtype=np.uint8)
    codes = {name: code for code, name in enumerate(TASKS)}
    for name in rows["task"].unique():
        if name not in codes:
            raise unknown_name("task", name, TASKS)
    return np.array([codes[name] for name in rows["task"]], dtype=np.uint8)
