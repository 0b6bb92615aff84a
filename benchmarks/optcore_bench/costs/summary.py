"""Tables about solvers: what each solved at what cost, and who beat the best known value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optcore_bench.evaluations import Evaluations, HasTables, ReferenceValue
from optcore_bench.study import TAUS

from .criteria import Basis, SolvedBy
from .models import CostModel, JacCost, describe_cost, tau_label
from .tables import cost_table

__all__ = ["improved", "summary_table"]

_REFERENCES: tuple[ReferenceValue, ...] = ("best_known", "compared")


def summary_table(
    results: HasTables | Evaluations,
    taus: Sequence[float] = TAUS,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
    *,
    basis: Basis = "history",
    solved_by: SolvedBy = "f",
    problems: Iterable[Any] | None = None,
) -> pd.DataFrame:
    """One row per solver and derivative strategy: how much it solved, at what cost, and how its runs ended.

    Args:
        results: as for `cost_table`.
        taus: accuracies of the convergence test.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.
        basis: as for `cost_table`.
        solved_by: as for `cost_table`.
        problems: as for `cost_table`.

    Returns:
        Index: the solver's label. Columns: `algorithm`, `derivative`, `problems` (rows of the cost table,
        those that were never run included), for each tau `solved_TAU` (count), `share_TAU` and
        `median_cost_TAU` (of the solved; NaN if none), one count per status that occurs, and
        `derivative_error` (median over problems).
    """
    evaluations = Evaluations.read(results)
    given = None if problems is None else list(problems)
    options: dict[str, Any] = {"basis": basis, "solved_by": solved_by, "problems": given}
    tables = {tau: cost_table(evaluations, tau, cost, jac_cost, f_opt, **options) for tau in taus}
    runs = evaluations.runs[evaluations.runs["solver"].isin(evaluations.cells.columns)]
    groups = runs.groupby("solver", sort=False)
    summary = groups[["algorithm", "derivative"]].first()
    summary["problems"] = len(evaluations.cells.rows)
    for tau, table in tables.items():
        solved = table.replace(np.inf, np.nan)
        summary[f"solved_{tau_label(tau)}"] = solved.notna().sum()
        summary[f"share_{tau_label(tau)}"] = solved.notna().mean()
        summary[f"median_cost_{tau_label(tau)}"] = solved.median()
    statuses = pd.crosstab(runs["solver"], runs["status"])
    summary = summary.join(statuses).join(groups["derivative_error"].median())
    summary.attrs |= {"cost": describe_cost(cost, jac_cost), "f_opt": f_opt}
    return summary


def improved(results: HasTables | Evaluations, tau: float = 1e-5) -> pd.DataFrame:
    """Problems on which a run went below the f_L in use, and what adopting its value would change.

    The f_L in use is the best known value or, where none is known, the one that was frozen in the store when its
    study finished.

    Args:
        results: as for `cost_table`.
        tau: accuracy for which the changes are counted.

    Returns:
        One row per row of the cost table: `row, solver` (who found it), `f_opt, f_best, gain` (f_opt -
        f_best), `source` (of f_opt), `solved` (how many solvers pass the test with f_opt), `solved_if_adopted`
        (with f_best in its place) and `would_fail` (which ones would no longer pass, joined by commas).
    """
    evaluations = Evaluations.read(results)
    low, source = evaluations.reference("best_known")
    known = np.where(source == "best of the compared runs", np.nan, low)
    frame = evaluations.runs.assign(
        source=source, f_opt=known, f_best=evaluations.run_best, gain=known - evaluations.run_best
    )
    frame = frame[frame["gain"] > 0].sort_values("gain", ascending=False, kind="stable")
    frame = frame.drop_duplicates("row").sort_index()
    out = frame[["row", "solver", "f_opt", "f_best", "gain", "source"]].reset_index(drop=True)
    now, then = (np.isfinite(cost_table(evaluations, tau, f_opt=f)).loc[out["row"]] for f in _REFERENCES)
    out["solved"], out["solved_if_adopted"] = (table.sum(axis=1).to_numpy(dtype=int) for table in (now, then))
    lost = (now & ~then).to_numpy()
    out["would_fail"] = pd.Series([", ".join(now.columns[row]) for row in lost], dtype=object)
    out.attrs |= {"tau": float(tau)}
    return out
