"""The figures of a publication: their numbers, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from optcore_bench.costs import accuracy_table, cost_table, describe_cost, tau_label
from optcore_bench.evaluations import Evaluations
from optcore_bench.figures import (
    ProfilePlot,
    accuracy_profile_plot,
    cost_profile_plot,
    data_profile_plot,
    performance_profile_plot,
)
from optcore_bench.profiles import has_dimensions
from optcore_bench.publish.chosen import Subset, subsets
from optcore_bench.publish.layout import for_print
from optcore_bench.trajectories import ConvergencePlot, convergence
from optcore_bench.words import count

__all__ = ["PaperFigure", "publication_figures"]

#: More curves than these, and the shades of their quantiles would hide each other.
_SHADED = 3


@dataclass(frozen=True, eq=False)
class PaperFigure:
    """A figure for a paper.

    Attributes:
        name: of its files.
        caption: what it shows; names tau, f_L and the cost.
        plot: its numbers, with `.curves` and `.figure()`.
    """

    name: str
    caption: str
    plot: ProfilePlot | ConvergencePlot

    def to_csv(self) -> str:
        """The numbers of all curves: columns `solver, x, y`, exact; of quantiles also `lower` and `upper`."""
        return str(self.plot.curves.to_csv(index=False, lineterminator="\n"))

    def figure(self, width_cm: float) -> go.Figure:
        """The figure in the width of a column: a plotly figure that may be changed before it is written."""
        plot: Any = self.plot
        if isinstance(plot, ConvergencePlot) and plot.curves["solver"].nunique() > _SHADED:
            plot = replace(plot, curves=plot.curves[["solver", "x", "y"]])
        return for_print(plot.figure(), width_cm)


def publication_figures(evaluations: Evaluations, solvers: Sequence[str], tau: float) -> Iterator[PaperFigure]:
    """Profiles and convergence of all solvers where they are few, otherwise profiles of those that belong together.

    A performance profile is computed among the solvers that are drawn, since it depends on who is compared (Gould &
    Scott 2016, ACM Trans. Math. Softw. 43(2)).

    Args:
        evaluations: of the store.
        solvers: labels in the order of the study.
        tau: accuracy of the convergence test.
    """
    costs, gaps = cost_table(evaluations, tau), accuracy_table(evaluations)
    whole = convergence(evaluations)
    curves = whole.curves
    for subset in subsets(solvers):
        lines = pd.concat([curves[curves["solver"] == solver] for solver in subset.solvers], ignore_index=True)
        yield from _figures(subset, costs, gaps, replace(whole, curves=lines))


def _figures(subset: Subset, costs: pd.DataFrame, gaps: pd.DataFrame, lines: ConvergencePlot) -> Iterator[PaperFigure]:
    suffix = f"-{subset.name}" if subset.name else ""
    on = f"{subset.words} on {count(len(costs), 'problem')}"
    solved = f"solved at tau = {tau_label(costs.attrs['tau'])}, f_L {_reference(costs)}"
    cost = describe_cost("evaluations", 0)
    names = list(subset.solvers)
    if has_dimensions(costs):
        yield PaperFigure(
            f"data_profile{suffix}",
            f"Data profile, {on}: share {solved}, within x simplex gradients of n + 1 evaluations; cost: {cost}.",
            data_profile_plot(_part(costs, names)),
        )
    else:
        yield PaperFigure(
            f"cost_profile{suffix}",
            f"Share solved within a cost, {on}: share {solved}, at a cost of at most x; cost: {cost}.",
            cost_profile_plot(_part(costs, names)),
        )
    yield PaperFigure(
        f"performance_profile{suffix}",
        f"Performance profile, {on}: share {solved}, at a cost of at most x times the lowest among them; cost: {cost}.",
        performance_profile_plot(_part(costs, names)),
    )
    if subset.name:
        return  # of many groups profiles are enough; for the rest name the solvers
    yield PaperFigure(
        "accuracy_profile",
        f"Accuracy profile, {on}: share on which at least x digits of f_start - f_L were gained within the budget.",
        accuracy_profile_plot(_part(gaps, names)),
    )
    yield PaperFigure(
        "convergence",
        f"Convergence, {on}: median over the problems of the relative gap (f_best - f_L) / (f_start - f_L) against "
        f"{cost}; gaps below 1e-16 are drawn there.",
        lines,
    )


def _part(table: pd.DataFrame, solvers: list[str]) -> pd.DataFrame:
    part = table[solvers]
    part.attrs = table.attrs
    return part


def _reference(costs: pd.DataFrame) -> str:
    """Where f_L comes from, in words."""
    sources = list(costs.attrs["f_opt_source"].values())
    unknown = sum(source != "best known" for source in sources)
    if unknown == 0:
        return "the best known value"
    return f"the best known value, on {count(unknown, 'problem')} without one the best of these runs"
