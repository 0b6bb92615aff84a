"""Run times as COCO sees them: their distribution over problems and targets, and the expected one with restarts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.costs import CostModel, JacCost, cost_at, cost_table, describe_cost, read_taus
from optcore_bench.evaluations import Evaluations, HasTables, ReferenceValue
from optcore_bench.figures import order_of, solver_styles
from optcore_bench.statistics.bootstrap import Bootstrap
from optcore_bench.statistics.clusters import rows_by_problem
from optcore_bench.statistics.drawing import dots
from optcore_bench.study import TAUS

if TYPE_CHECKING:
    from optcore.plots.styles import LineStyle

__all__ = ["ExpectedRunTimes", "expected_run_times", "restarted", "run_times", "spent_table"]


def run_times(
    results: HasTables | Evaluations,
    taus: Sequence[float] = TAUS,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
) -> pd.DataFrame:
    """Costs of all (problem, target) pairs: the cost tables of several tau below each other.

    `ecdf_bands` of it is the run time distribution, `area_scores` of it the score over all tau.

    Args:
        results: as for `cost_table`.
        taus: the targets.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.

    Returns:
        Rows of the cost table once for each tau, `attrs` with `taus`, `cost` and `n`.
    """
    taus = read_taus(taus)
    evaluations = Evaluations.read(results)
    return pool({tau: cost_table(evaluations, tau, cost, jac_cost, f_opt) for tau in taus})


def pool(tables: Mapping[float, pd.DataFrame]) -> pd.DataFrame:
    """Cost tables of several tau below each other; see `run_times`."""
    first = next(iter(tables.values()))
    # Without attrs, which pandas can't compare where they hold arrays.
    pooled = pd.concat([pd.DataFrame(table.to_numpy(), table.index, table.columns) for table in tables.values()])
    pooled.attrs = {key: first.attrs[key] for key in ("cost", "model", "n", "solvers")}
    pooled.attrs["taus"] = tuple(float(tau) for tau in tables)
    return pooled


def spent_table(
    results: HasTables | Evaluations, cost: CostModel = "evaluations", jac_cost: JacCost = 0
) -> pd.DataFrame:
    """What each run cost in all, whether it solved its problem or not.

    Args:
        results: as for `cost_table`.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.

    Returns:
        Rows and columns of the cost table; NaN where there is no run, 0 where it made no evaluation.
    """
    evaluations = Evaluations.read(results)
    total = np.zeros(len(evaluations.runs))
    some = np.flatnonzero(np.diff(evaluations.offsets) > 0)
    total[some] = cost_at(evaluations, evaluations.offsets[some + 1] - 1, cost, jac_cost)
    table = evaluations.cells.table(total, missing=np.nan)
    table.attrs = {"cost": describe_cost(cost, jac_cost), "solvers": evaluations.solvers}
    return table


@dataclass(frozen=True, eq=False)
class ExpectedRunTimes:
    """Expected run times, with the runs that they come from.

    Attributes:
        frame: columns `group, solver, runs, successes, ert, lower, upper`; ert is inf where no run succeeded.
        cost: what a run time counts, in words.
        tau: accuracy of the convergence test; None where unknown.
        level: coverage of the intervals.
        order: labels of all solvers of the study, which decide how each is drawn.
    """

    frame: pd.DataFrame
    cost: str
    tau: float | None
    level: float
    order: tuple[str, ...] = ()

    def figure(self, styles: Mapping[str, LineStyle] | None = None) -> Any:
        """Draw them: a row a group, a mark a solver; solvers that never succeeded have none.

        Args:
            styles: how to draw each solver; `solver_styles` by default.
        """
        shown = self.frame[np.isfinite(self.frame["ert"])].rename(columns={"ert": "x", "group": "y"})
        accuracy = "" if self.tau is None else f" to tau = {self.tau:g}"
        figure = dots(
            shown, styles or solver_styles(self.frame["solver"], self.order), list(dict.fromkeys(self.frame["group"]))
        )
        figure.update_layout(title_text=f"Expected run time{accuracy}, {self.level:.0%} intervals")
        figure.update_xaxes(title_text=f"expected {self.cost}", type="log", exponentformat="power")
        return figure


def expected_run_times(
    costs: pd.DataFrame,
    spent: pd.DataFrame,
    by: pd.Series | str = "problem",
    bootstrap: Bootstrap | None = None,
) -> ExpectedRunTimes:
    """What is spent until a solver that is restarted until it succeeds has done so, on average.

    The sum over all runs of what they spent (up to the first hit, or in all where they failed), over the number of runs
    that succeeded.

    Args:
        costs: a cost table, inf where unsolved.
        spent: what each run cost in all, see `spent_table`; NaN where there is no run, which doesn't count.
        by: groups of rows by row: "problem" takes all starts of a problem together, "all" everything.
        bootstrap: how the intervals are made: functions are drawn, or single runs in groups of only one function.

    Raises:
        InvalidInputError: the tables don't fit each other, or a row has no group.

    References:
        Hansen, Auger, Brockhoff & Tusar (2022), IEEE Trans. Evol. Comput. 26(6), and arXiv:1605.03560.

    >>> costs = pd.DataFrame({"a": [10.0, np.inf]}, index=["s/p", "s/p#2"])
    >>> spent = pd.DataFrame({"a": [12.0, 30.0]}, index=["s/p", "s/p#2"])
    >>> expected_run_times(costs, spent).frame[["group", "runs", "successes", "ert"]].values.tolist()
    [['s/p', 2, 1, 40.0]]
    """
    if not (costs.index.equals(spent.index) and costs.columns.equals(spent.columns)):
        raise InvalidInputError("costs and spent must have the same rows and columns; make both from the same results")
    bootstrap = bootstrap or Bootstrap()
    group = _groups(costs, by)
    done = np.isfinite(costs.to_numpy(dtype=float)) & spent.notna().to_numpy()
    used = np.where(done, costs.to_numpy(dtype=float), spent.fillna(0.0).to_numpy(dtype=float))
    ran = spent.notna().to_numpy()
    function = bootstrap.groups(costs)
    frames = []
    for name in dict.fromkeys(group):
        rows = np.flatnonzero(group == name)
        of_function = pd.factorize(function[rows])[0]
        weights = bootstrap.weights_of(of_function if of_function.max() else np.arange(rows.size))
        with np.errstate(divide="ignore", invalid="ignore"):
            samples = (weights @ used[rows]) / (weights @ done[rows])
            ert = used[rows].sum(axis=0) / done[rows].sum(axis=0)
        lower, upper = bootstrap.interval(np.where(np.isnan(samples), np.inf, samples))
        frames.append(
            pd.DataFrame(
                {
                    "group": name,
                    "solver": costs.columns,
                    "runs": ran[rows].sum(axis=0),
                    "successes": done[rows].sum(axis=0),
                    "ert": np.where(done[rows].any(axis=0), ert, math.inf),
                    "lower": lower,
                    "upper": upper,
                }
            )
        )
    frame = pd.concat(frames, ignore_index=True)
    return ExpectedRunTimes(
        frame, costs.attrs.get("cost", "cost"), costs.attrs.get("tau"), bootstrap.level, order_of(costs)
    )


def _groups(costs: pd.DataFrame, by: pd.Series | str) -> Any:
    if costs.empty:
        raise InvalidInputError(f"there are no runs: the table of costs is {costs.shape}")
    if isinstance(by, str):
        if by not in ("problem", "all"):
            raise InvalidInputError(f"by must be 'problem', 'all' or a Series by row, not {by!r}")
        return np.full(len(costs), "all problems") if by == "all" else rows_by_problem(costs).to_numpy()
    named = by.reindex(costs.index)
    if named.isna().any():
        raise InvalidInputError(f"by has no group for the row {costs.index[named.isna()][0]!r}")
    return named.to_numpy()


def restarted(costs: pd.DataFrame, spent: pd.DataFrame, samples: int = 100, seed: int = 0) -> pd.DataFrame:
    """Run times of solvers that are restarted until they succeed, simulated from the starts of each problem.

    A simulated run draws runs of the same problem with replacement until one has succeeded, and costs what they cost
    together. Where every run succeeded these are the runs, where none did they are inf.

    Args:
        costs: a cost table, inf where unsolved.
        spent: what each run cost in all, see `spent_table`.
        samples: simulated runs per problem and solver.
        seed: of the draws.

    Returns:
        A cost table with `samples` rows a problem, for `ecdf_bands`.

    References:
        Hansen et al. (2016), arXiv:1605.03560, on simulated restarts.
    """
    if samples < 1:
        raise InvalidInputError(f"samples must be >= 1, not {samples!r}")
    rng = np.random.default_rng(seed)
    group = _groups(costs, "problem")
    names = list(dict.fromkeys(group))
    out = np.full((len(names), samples, costs.shape[1]), np.inf)
    for i, name in enumerate(names):
        rows = np.flatnonzero(group == name)
        for j in range(costs.shape[1]):
            cost, total = (table.iloc[rows, j].to_numpy(dtype=float) for table in (costs, spent))
            good, bad = cost[np.isfinite(cost)], total[~np.isfinite(cost) & ~np.isnan(total)]
            if good.size:
                out[i, :, j] = _simulated(good, bad, samples, rng)
    table = pd.DataFrame(
        out.reshape(-1, costs.shape[1]),
        index=pd.Index(np.repeat(names, samples), name="problem"),
        columns=costs.columns,
    )
    table.attrs = dict(costs.attrs)
    return table


def _simulated(good: Any, bad: Any, samples: int, rng: np.random.Generator) -> Any:
    """Costs of simulated runs: a random number of failures, each drawn from the failed runs, then a success."""
    failures = rng.geometric(good.size / (good.size + bad.size), size=samples) - 1
    total = good[rng.integers(good.size, size=samples)].copy()
    if bad.size:
        drawn = bad[rng.integers(bad.size, size=int(failures.sum()))]
        np.add.at(total, np.repeat(np.arange(samples), failures), drawn)
    return total
