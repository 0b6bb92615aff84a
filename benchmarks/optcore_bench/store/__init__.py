"""The store: runs and every evaluation in Parquet, safe from kill -9, with a digest of what no clock decided.

A store is a folder: `study.toml`, `manifest.json`, and one Parquet file in each of `runs`, `history`,
`timings`, `clock` and `derived` once it is finished. Before, finished runs are in `log` and in segments of
these tables. The files of solvers of the user's own are kept in `sources`.

Example:
    >>> import tempfile, numpy as np
    >>> from optcore.history import HistoryRows
    >>> column = np.array([3.0, 1.0])
    >>> task, batch = np.zeros(2, "u1"), np.arange(2, dtype="i4")
    >>> rows = HistoryRows(task, column, batch, start=column, stop=column, x=np.ones((2, 3)))
    >>> run = dict.fromkeys(["study", "suite", "problem", "problem_version", "algorithm", "derivative"], "a")
    >>> run |= dict.fromkeys(["noise", "message", "algorithm_options", "derivative_options", "m", "f_start"])
    >>> run |= dict.fromkeys(["f_opt", "f_best", "f_final", "derivative_error", "n_iterations"])
    >>> run |= dict.fromkeys(["n_jac_evals", "n_fun_and_jac_evals", "n_numdiff_evals", "seed", "start"], 0)
    >>> run |= {"run_id": "6f1d", "n": 3, "n_fun_evals": 2, "n_batches": 2}
    >>> run |= {"status": "converged", "environment": "04a1"}
    >>> folder = tempfile.TemporaryDirectory()
    >>> with StoreWriter(f"{folder.name}/store", study='name = "example"', manifest={}) as writer:
    ...     writer.append(RunRecord(run, {"seconds": 0.1}, rows))
    ...     writer.finish()
    0
    >>> Results(f"{folder.name}/store").history(run_id="6f1d")[["evaluation", "task", "fun", "best"]]
       evaluation task  fun  best
    0           0  fun  3.0   3.0
    1           1  fun  1.0   1.0
    >>> folder.cleanup()
"""

from __future__ import annotations

from optcore_bench.store.check import Finding, check, repair, verify
from optcore_bench.store.digest import DIGEST_DEFINITION, Digest, history_hash, store_digest
from optcore_bench.store.record import RunRecord
from optcore_bench.store.results import Results
from optcore_bench.store.schema import (
    KEY,
    SCHEMA_VERSION,
    STATUSES,
    DamagedStoreError,
    StoreError,
    StoreNotFoundError,
    StoreVersionError,
    StoreWriteError,
)
from optcore_bench.store.writer import StoreWriter, stored_run_ids

__all__ = [
    "DIGEST_DEFINITION",
    "KEY",
    "SCHEMA_VERSION",
    "STATUSES",
    "DamagedStoreError",
    "Digest",
    "Finding",
    "Results",
    "RunRecord",
    "StoreError",
    "StoreNotFoundError",
    "StoreVersionError",
    "StoreWriteError",
    "StoreWriter",
    "check",
    "history_hash",
    "repair",
    "store_digest",
    "stored_run_ids",
    "verify",
]
