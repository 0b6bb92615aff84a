"""Made-up runs for the tests of the store. Every number is a function of the run's number."""

from __future__ import annotations

from typing import Any

import numpy as np

from optcore.history import HistoryRows
from optcore_bench.store import RunRecord, StoreWriter

STUDY = 'name = "made-up"\nproblems = ["made/up"]\n'
MANIFEST: dict[str, Any] = {"command": "pytest", "environment": {"python": "3"}}


def rows(k: int, n: int, seed: int = 0) -> HistoryRows:
    """k evaluations in n dimensions: a base point, then differences, in turns."""
    random = np.random.default_rng(seed)
    task = np.where(np.arange(k) % 4 == 0, 0, np.where(np.arange(k) % 4 == 3, 1, 3)).astype(np.uint8)
    fun = np.where(task == 1, np.nan, random.normal(size=k) + 100.0 / (1 + np.arange(k)))
    start = np.cumsum(random.uniform(1e-6, 1e-5, size=k))
    return HistoryRows(task, fun, (np.arange(k) // 4).astype(np.int32), start, start + 5e-7, random.normal(size=(k, n)))


def record(number: int = 0, k: int = 20, n: int = 3, **changes: Any) -> RunRecord:
    """A run; `changes` are columns of `runs`, or `history`, `fun_true`, `keep_x`, `timings`."""
    history = changes.pop("history", None) or rows(k, n, number)
    fun_true = changes.pop("fun_true", None)
    keep_x = changes.pop("keep_x", True)
    timings = changes.pop("timings", {"seconds": 0.25, "host": "here", "worker": "0", "started_at": 1.7e9 + number})
    run: dict[str, Any] = {
        "run_id": f"{number:016x}",
        "study": "made-up",
        "suite": "made",
        "problem": f"up{number % 7}",
        "problem_version": "1",
        "n": n,
        "m": None,
        "algorithm": f"solver{number // 7}",
        "algorithm_options": {"b": 1.0, "a": 2},
        "derivative": "forward",
        "derivative_options": {},
        "start": 1,
        "seed": 0,
        "noise": None,
        "status": "converged",
        "message": "done",
        "f_start": 1.5,
        "f_opt": 0.0,
        "f_best": 1e-300,
        "f_final": -0.0,
        "derivative_error": None,
        "n_fun_evals": len(history.fun),
        "n_jac_evals": 0,
        "n_fun_and_jac_evals": 0,
        "n_numdiff_evals": 0,
        "n_batches": 5,
        "n_iterations": 4,
        "environment": "0123456789ab",
    }
    return RunRecord(run | changes, timings, history, fun_true, keep_x)


def unknown_minimum(number: int, best: float) -> RunRecord:
    """A run of a problem without a best known value that begins at 10 and finds `best`."""
    entry = record(number, k=4, f_opt=None, f_start=10.0, f_best=best)
    entry.history.fun[:] = [10.0, 10.0, 10.0, best]
    entry.history.task[:] = 0
    return entry


def make_store(path: Any, records: Any, *, finish: bool = True, **options: Any) -> StoreWriter:
    """A store that holds the runs."""
    writer = StoreWriter(path, study=STUDY, manifest=MANIFEST, **options)
    for entry in records:
        writer.append(entry)
    if finish:
        writer.finish()
    else:
        writer.close()
    return writer
