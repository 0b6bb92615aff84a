"""Every figure of a store by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.costs import CostModel, JacCost, VirtualClock
from optcore_bench.evaluations import Evaluations, HasTables, ReferenceValue
from optcore_bench.profiles import has_dimensions
from optcore_bench.statistics import (
    Bootstrap,
    accuracy_bands,
    cost_heat_map,
    data_profile_bands,
    digits_heat_map,
    ecdf_bands,
    expected_run_times,
    log_ratio_plot,
    over_starts,
    performance_bands,
    rank_table,
    rows_by_problem,
    spent_table,
)
from optcore_bench.statistics.derivative_errors import errors_of
from optcore_bench.statistics.of_store import StoreStatistics
from optcore_bench.study import TAUS
from optcore_bench.trajectories import convergence

__all__ = ["Plot", "all_figures", "figures_of"]

#: The clock of the figure in virtual time: an evaluation takes a second, a jacobian too, on eight cores.
CLOCK = VirtualClock(fun_seconds=1.0, jac_seconds=1.0, cores=8)


class Plot(Protocol):
    """Numbers that can be drawn."""

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers."""
        ...

    def figure(self, styles: Mapping[str, Any] | None = None) -> Any:
        """A plotly figure of them."""
        ...


def all_figures(
    results: HasTables | Evaluations,
    tau: float = 1e-5,
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
    problem: str | None = None,
    bootstrap: Bootstrap | None = None,
    *,
    curves: bool = True,
) -> dict[str, Plot]:
    """Everything that there is to see in a store: figures by name, each with its numbers.

    Args:
        results: as for `cost_table`.
        tau: accuracy of the convergence test, for figures of one.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.
        problem: whose convergence is drawn; by default the first that all solvers solve, or the first.
        bootstrap: how bands and intervals are made.
        curves: False leaves out convergence, whose curves take the longest.

    Returns:
        Objects with `.frame` and `.figure()`, in the order in which they should be looked at. What the results don't
        allow isn't there: pairs with a single solver, seconds without a clock, quartiles with a single start.

    Raises:
        InvalidInputError: no run applies, so that there is nothing to draw.

    Example:
        >>> from pathlib import Path
        >>> def save(results, folder: Path) -> None:
        ...     for name, plot in all_figures(results).items():
        ...         plot.frame.to_csv(folder / f"{name}.csv", index=False)
        ...         plot.figure().write_html(folder / f"{name}.html")
    """
    evaluations = Evaluations.read(results)
    if not evaluations.applicable.any():
        raise InvalidInputError("there is nothing to draw: the results have no run that applies")
    statistics = StoreStatistics.of(evaluations, "evaluations", jac_cost, f_opt, bootstrap)
    return figures_of(statistics, tau, problem, curves=curves)


def figures_of(
    statistics: StoreStatistics, tau: float, problem: str | None = None, *, curves: bool = True
) -> dict[str, Plot]:
    """The figures of `all_figures`, with statistics that others may have asked for before.

    Args:
        statistics: of the store, costs in evaluations.
        tau: as for `all_figures`, as the rest.
        problem: as for `all_figures`.
        curves: as for `all_figures`.
    """
    figures = _profiles(statistics, tau) | _tables(statistics, tau)
    if curves:
        figures |= _convergence(statistics, tau, problem)
    return figures


def _profiles(statistics: StoreStatistics, tau: float) -> dict[str, Plot]:
    """Curves of shares."""
    costs, bootstrap = statistics.costs(tau), statistics.bootstrap
    figures: dict[str, Plot] = {"performance_profile": performance_bands(costs, bootstrap)}
    if has_dimensions(costs):
        figures["data_profile"] = data_profile_bands(costs, bootstrap=bootstrap)
    figures["accuracy_profile"] = accuracy_bands(statistics.gaps(), bootstrap)
    if costs.shape[1] > 1:
        figures["log_ratio_profile"] = log_ratio_plot(costs, *_two_best(costs))
    figures["run_times"] = ecdf_bands(statistics.pooled(TAUS), bootstrap)
    if has_dimensions(costs):
        figures["scores"] = statistics.scores(TAUS)
    return figures


def _tables(statistics: StoreStatistics, tau: float) -> dict[str, Plot]:
    """Comparisons of solvers, and problems by solvers."""
    evaluations, costs, bootstrap = statistics.evaluations, statistics.costs(tau), statistics.bootstrap
    spent = spent_table(evaluations, jac_cost=statistics.jac_cost)
    figures: dict[str, Plot] = {"expected_run_times": expected_run_times(costs, spent, bootstrap=bootstrap)}
    if costs.shape[1] > 1:
        figures["ranks"] = rank_table(costs, bootstrap)
        figures["pairs"] = statistics.pairs(tau)
        figures["flips"] = statistics.flips(tau)
        figures["order_by_tau"] = statistics.changes(sorted({*TAUS, float(tau)}, reverse=True))
    figures["costs_by_problem"] = cost_heat_map(costs)
    figures["digits_by_problem"] = digits_heat_map(statistics.gaps())
    if rows_by_problem(costs).duplicated().any():
        figures["over_starts"] = over_starts(costs, evaluations)
    errors = errors_of(evaluations, costs)
    if len(errors.frame):
        figures["derivative_errors"] = errors
    return figures


def _convergence(statistics: StoreStatistics, tau: float, problem: str | None) -> dict[str, Plot]:
    """Convergence of one problem and of all, against everything that can be on the axis."""
    evaluations, f_opt = statistics.evaluations, statistics.f_opt
    one = _shown(statistics.costs(tau)) if problem is None else problem
    models: dict[str, tuple[CostModel, JacCost]] = {
        "evaluations": ("evaluations", statistics.jac_cost),
        "batches": ("batches", 0),
        "seconds": ("seconds", 0),
        "virtual_time": (CLOCK, 0),
    }
    figures: dict[str, Plot] = {}
    for name, (cost, price) in models.items():
        try:
            figures[f"convergence_{name}"] = convergence(evaluations, None, cost, price, f_opt)
        except InvalidInputError:
            if name != "seconds":  # where no clock ran
                raise
            continue
        if name == "evaluations":
            figures["convergence_one_problem"] = convergence(evaluations, one, cost, price, f_opt)
    return figures


def _two_best(costs: pd.DataFrame) -> tuple[str, str]:
    """The two solvers with the lowest mean ranks."""
    ranks = costs.rank(axis=1).mean()
    first, second = ranks.sort_values(kind="stable").index[:2]
    return str(first), str(second)


def _shown(costs: pd.DataFrame) -> str:
    """A problem on which there is the most to see: the first one that the most solvers solve."""
    solved = np.isfinite(costs.to_numpy(dtype=float)).sum(axis=1)
    return str(costs.index[int(solved.argmax())])
