"""f_L where no best known value is: frozen when a study finishes, so that later runs don't change old verdicts.

`STORE/derived/reference.parquet` holds the best value that the runs of each such problem had found, and who found
it. `cost_table` and all that follows from it uses that value; runs that are added later and beat it are listed by
`improved`, with what adopting their value would change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from optcore_bench.evaluations import applicable, floats, solver_label
from optcore_bench.store.reference import REFERENCE, frozen_in, write_reference

__all__ = ["freeze_reference", "read_reference"]

_COLUMNS = REFERENCE.names


def freeze_reference(results: Any) -> pd.DataFrame:
    """Write down f_L of the problems without a best known value; what is frozen already stays as it is.

    Args:
        results: a store.

    Returns:
        What is frozen now: `suite, problem, n, f_opt`, and `solver` and `run_id` of the run that found it.
    """
    before = read_reference(results)
    best = _best_of_runs(results.runs)
    new = best if before is None else best[~_keys(best).isin(_keys(before))]
    frame = new if before is None or before.empty else before if new.empty else pd.concat([before, new])
    frame = frame.reset_index(drop=True)
    if len(new) and (folder := _folder(results)) is not None:
        write_reference(folder, pa.Table.from_pandas(frame[_COLUMNS], schema=REFERENCE, preserve_index=False))
    return frame


def read_reference(results: Any) -> pd.DataFrame | None:
    """What is frozen in a store, None where nothing is."""
    folder = _folder(results)
    table = None if folder is None else frozen_in(folder)
    return None if table is None else table.to_pandas()


def frozen_values(results: Any, runs: pd.DataFrame) -> tuple[Any, Any]:
    """The frozen f_L of each run and the solver that found it; NaN and None where there is none, shapes (R,)."""
    frame = read_reference(results)
    if frame is None:
        return np.full(len(runs), np.nan), np.full(len(runs), None, dtype=object)
    found = frame.set_index(_keys(frame)).reindex(_keys(runs))
    return found["f_opt"].to_numpy(dtype=float), found["solver"].to_numpy(dtype=object)


def _best_of_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The best run of each problem of which no value is known."""
    use = applicable(runs) & ~np.isfinite(floats(runs["f_opt"])) & np.isfinite(floats(runs["f_best"]))
    frame = runs[use].assign(value=floats(runs["f_best"])[use], key=_keys(runs)[use])
    frame = frame.sort_values("value", kind="stable").drop_duplicates("key").sort_index()
    labels = [solver_label(a, d) for a, d in zip(frame["algorithm"], frame["derivative"], strict=True)]
    frame = frame.assign(f_opt=frame["value"], solver=pd.Series(labels, index=frame.index, dtype=object))
    frame["n"] = floats(frame["n"])
    return frame[_COLUMNS].reset_index(drop=True)


def _keys(frame: pd.DataFrame) -> pd.Series:
    n = floats(frame["n"])
    parts = zip(frame["suite"], frame["problem"], n, strict=True)
    return pd.Series(
        [f"{s if isinstance(s, str) else ''}/{p}/{k:.0f}" for s, p, k in parts], index=frame.index, dtype=object
    )


def _folder(results: Any) -> Path | None:
    """Where the files of a store are; None for what is in memory only."""
    folder = getattr(results, "folder", None)
    return folder if isinstance(folder, Path) and folder.is_dir() else None
