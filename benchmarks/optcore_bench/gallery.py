"""Every figure of a store by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.costs import CostModel, JacCost, VirtualClock, accuracy_table, cost_table, tau_label
from optcore_bench.evaluations import Evaluations, HasTables, ReferenceValue
from optcore_bench.profiles import dimensions_of
from optcore_bench.statistics import (
    Bootstrap,
    accuracy_bands,
    area_scores,
    cost_heat_map,
    data_profile_bands,
    derivative_errors,
    digits_heat_map,
    ecdf_bands,
    expected_run_times,
    flips,
    log_ratio_plot,
    order_changes,
    over_starts,
    pairwise_table,
    performance_bands,
    rank_table,
    run_times,
    spent_table,
)
from optcore_bench.study import TAUS
from optcore_bench.trajectories import convergence

__all__ = ["Plot", "all_figures"]

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
    costs = cost_table(evaluations, tau, jac_cost=jac_cost, f_opt=f_opt)
    bootstrap = bootstrap or Bootstrap()
    figures: dict[str, Plot] = {}
    figures |= _profiles(evaluations, costs, jac_cost, f_opt, bootstrap)
    figures |= _tables(evaluations, costs, jac_cost, f_opt, bootstrap)
    if curves:
        figures |= _convergence(evaluations, costs, jac_cost, f_opt, problem)
    return figures


def _profiles(
    evaluations: Evaluations, costs: pd.DataFrame, jac_cost: JacCost, f_opt: ReferenceValue, bootstrap: Bootstrap
) -> dict[str, Plot]:
    """Curves of shares."""
    pooled = run_times(evaluations, TAUS, jac_cost=jac_cost, f_opt=f_opt)
    figures: dict[str, Plot] = {"performance_profile": performance_bands(costs, bootstrap)}
    if _has_dimensions(costs):
        figures["data_profile"] = data_profile_bands(costs, bootstrap=bootstrap)
    figures["accuracy_profile"] = accuracy_bands(accuracy_table(evaluations, f_opt=f_opt), bootstrap)
    if costs.shape[1] > 1:
        figures["log_ratio_profile"] = log_ratio_plot(costs, *_two_best(costs))
    figures["run_times"] = ecdf_bands(pooled, bootstrap)
    if _has_dimensions(costs):
        figures["scores"] = area_scores(pooled, "data", pd.Series(costs.attrs["n"], dtype=float), bootstrap=bootstrap)
    return figures


def _tables(
    evaluations: Evaluations, costs: pd.DataFrame, jac_cost: JacCost, f_opt: ReferenceValue, bootstrap: Bootstrap
) -> dict[str, Plot]:
    """Comparisons of solvers, and problems by solvers."""
    spent = spent_table(evaluations, jac_cost=jac_cost)
    figures: dict[str, Plot] = {"expected_run_times": expected_run_times(costs, spent, bootstrap=bootstrap)}
    if costs.shape[1] > 1:
        figures["ranks"] = rank_table(costs, bootstrap)
        figures["pairs"] = pairwise_table(costs, bootstrap)
        figures["flips"] = flips(costs)
        tables = {
            tau_label(tau): cost_table(evaluations, tau, jac_cost=jac_cost, f_opt=f_opt)
            for tau in sorted({*TAUS, costs.attrs["tau"]}, reverse=True)
        }
        figures["order_by_tau"] = order_changes(tables)
    figures["costs_by_problem"] = cost_heat_map(costs)
    figures["digits_by_problem"] = digits_heat_map(accuracy_table(evaluations, f_opt=f_opt))
    starts = over_starts(costs, evaluations)
    if (starts.frame["starts"] > 1).any():
        figures["over_starts"] = starts
    errors = derivative_errors(evaluations, costs.attrs["tau"], jac_cost=jac_cost, f_opt=f_opt)
    if len(errors.frame):
        figures["derivative_errors"] = errors
    return figures


def _convergence(
    evaluations: Evaluations, costs: pd.DataFrame, jac_cost: JacCost, f_opt: ReferenceValue, problem: str | None
) -> dict[str, Plot]:
    """Convergence of one problem and of all, against everything that can be on the axis."""
    one = _shown(costs) if problem is None else problem
    models: dict[str, tuple[CostModel, JacCost]] = {
        "evaluations": ("evaluations", jac_cost),
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


def _has_dimensions(costs: pd.DataFrame) -> bool:
    return bool((dimensions_of(costs) >= 1).all())


def _two_best(costs: pd.DataFrame) -> tuple[str, str]:
    """The two solvers with the lowest mean ranks."""
    ranks = costs.rank(axis=1).mean()
    first, second = ranks.sort_values(kind="stable").index[:2]
    return str(first), str(second)


def _shown(costs: pd.DataFrame) -> str:
    """A problem on which there is the most to see: the first one that the most solvers solve."""
    solved = np.isfinite(costs.to_numpy(dtype=float)).sum(axis=1)
    return str(costs.index[int(solved.argmax())])
