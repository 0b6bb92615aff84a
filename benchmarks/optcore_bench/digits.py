"""How many digits of certified estimates the runs of a store found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from optcore.errors import OptcoreError
from optcore_bench.evaluations import solver_label
from optcore_problems import Certified, get_problem

if TYPE_CHECKING:
    import pandas as pd

    from optcore_bench.store import Results

__all__ = ["digits_table", "median_digits"]

_RUN_COLUMNS = ["run_id", "suite", "problem", "start", "noise", "algorithm", "derivative", "status"]


def digits_table(results: Results, runs: pd.DataFrame | None = None) -> pd.DataFrame:
    """The right digits of each run's best point, for problems whose solution somebody certifies.

    The best point is the first one that the solver asked for with the least value, without noise. Its digits are
    `Certified.digits`: the log relative error of the worst parameter, at most the digits that were certified.

    Args:
        results: a store.
        runs: rows of `results.runs` to look at; all by default.

    Returns:
        One row a run of a certified problem in the order of the runs, pairs that can't be left out: the columns
        `run_id, suite, problem, start, noise, algorithm, derivative, status, f_best`, `digits`, and
        `certified_digits`, how many there could be. `digits` is NaN where the run has no point, the study didn't
        keep x, or the run is of another version of the problem.

    Example:
        >>> import tempfile
        >>> import optcore_bench as ob
        >>> study = ob.Study("fits", problems="nist_strd/misra1a_start2", algorithms="scipy_ls_trf")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = digits_table(ob.run_study(study, store=folder, n_jobs=1))
        >>> [(row.algorithm, row.derivative, int(row.digits)) for row in table.itertuples()]
        [('scipy_ls_trf', 'analytic', 11)]
    """
    runs = results.runs if runs is None else runs
    runs = runs[runs["status"] != "not_applicable"]
    names = runs[["suite", "problem"]].drop_duplicates()
    certified = {
        (suite, problem): found
        for suite, problem in zip(names["suite"], names["problem"], strict=True)
        if (found := _certified(suite, problem)) is not None
    }
    is_certified = [key in certified for key in zip(runs["suite"], runs["problem"], strict=True)]
    table = runs.loc[is_certified, [*_RUN_COLUMNS, "problem_version", "f_best"]].reset_index(drop=True)
    points = _best_points(results, list(table["run_id"]))
    digits, possible = [], []
    for row in table.itertuples():
        version, of = certified[row.suite, row.problem]
        digits.append(_digits(of, points.get(row.run_id)) if row.problem_version == version else np.nan)
        possible.append(of.n_digits)
    return table.drop(columns="problem_version").assign(
        digits=np.array(digits, dtype=float), certified_digits=np.array(possible, dtype=np.int64)
    )


def median_digits(results: Results) -> pd.Series:
    """The median of `digits_table` by solver, `"algorithm [derivative]"`; empty without a certified problem."""
    table = digits_table(results)
    solver = [solver_label(a, d) for a, d in zip(table["algorithm"], table["derivative"], strict=True)]
    medians: pd.Series = table.groupby(solver)["digits"].median()
    return medians


def _certified(suite: str, problem: str) -> tuple[str, Certified] | None:
    """The version of the problem and what is certified of it; None for problems that no suite here holds."""
    try:
        found = get_problem(f"{suite}/{problem}")
    except (OptcoreError, ImportError):  # a suite of somebody else's, or one whose library isn't installed here
        return None
    return None if found.certified is None else (found.version, found.certified)


def _best_points(results: Results, run_ids: list[str]) -> dict[str, Any]:
    """By run, the first point that has the run's least value; runs without one are left out."""
    if not run_ids:
        return {}
    history = results.history(run_id=run_ids, columns=["run_id", "best", "x"])
    lowest = history.dropna(subset=["best"]).groupby("run_id", observed=True)["best"].idxmin()
    best = history.loc[lowest]
    return {str(run_id): x for run_id, x in zip(best["run_id"], best["x"], strict=True) if x is not None}


def _digits(certified: Certified, x: Any) -> float:
    return float("nan") if x is None or len(x) != certified.params.size else certified.digits(x)
