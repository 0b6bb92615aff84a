"""Tables about solvers: what each solved at what cost, and who beat the best known value."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from optcore_bench.evaluations import Evaluations, HasTables, ReferenceValue, floats
from optcore_bench.study import TAUS

from .models import CostModel, JacCost, describe_cost, tau_label
from .tables import columns_of, cost_table

__all__ = ["improved", "summary_table"]


def summary_table(
    results: HasTables | Evaluations,
    taus: Sequence[float] = TAUS,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
) -> pd.DataFrame:
    """One row per solver and derivative strategy: how much it solved, at what cost, and how its runs ended.

    Args:
        results: as for `cost_table`.
        taus: accuracies of the convergence test.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.

    Returns:
        Index: the solver's label. Columns: `algorithm`, `derivative`, `problems` (rows of the cost table,
        those that were never run included), for each tau `solved_TAU` (count), `share_TAU` and
        `median_cost_TAU` (of the solved; NaN if none), one count per status that occurs, and
        `derivative_error` (median over problems).
    """
    evaluations = Evaluations.read(results)
    tables = {tau: cost_table(evaluations, tau, cost, jac_cost, f_opt) for tau in taus}
    runs = evaluations.runs[evaluations.runs["solver"].isin(columns_of(evaluations.runs))]
    groups = runs.groupby("solver", sort=False)
    summary = groups[["algorithm", "derivative"]].first()
    summary["problems"] = evaluations.runs["row"][evaluations.applicable].nunique()
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
    """Problems on which a run went below the best known value, and what adopting its value would change.

    Args:
        results: as for `cost_table`.
        tau: accuracy for which the changes are counted.

    Returns:
        One row per row of the cost table: `row, solver` (who found it), `f_opt, f_best, gain` (f_opt -
        f_best), `solved` (solvers that pass the test with f_opt) and `solved_if_adopted` (with f_best in its
        place).
    """
    evaluations = Evaluations.read(results)
    known = floats(evaluations.runs["f_opt"])
    frame = evaluations.runs.assign(f_opt=known, f_best=evaluations.run_best, gain=known - evaluations.run_best)
    frame = frame[frame["gain"] > 0].sort_values("gain", ascending=False, kind="stable")
    frame = frame.drop_duplicates("row").sort_index()
    out = frame[["row", "solver", "f_opt", "f_best", "gain"]].reset_index(drop=True)
    for name, reference in (("solved", "best_known"), ("solved_if_adopted", "compared")):
        table = cost_table(evaluations, tau, f_opt=reference)  # type: ignore[arg-type]
        out[name] = np.isfinite(table).sum(axis=1).reindex(out["row"]).to_numpy(dtype=int)
    out.attrs |= {"tau": float(tau)}
    return out
