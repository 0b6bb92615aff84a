"""What an exact derivative is worth: its error against what it costs to solve problems with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optcore_bench.costs import CostModel, JacCost, cost_table
from optcore_bench.evaluations import Evaluations, HasTables, ReferenceValue
from optcore_bench.figures import solver_styles
from optcore_bench.statistics.drawing import dots

if TYPE_CHECKING:
    from optcore.plots.styles import LineStyle

__all__ = ["DerivativeErrors", "derivative_errors"]

#: Where exact derivatives are drawn.
_FLOOR = 1e-17


@dataclass(frozen=True, eq=False)
class DerivativeErrors:
    """Error and cost of derivative strategies.

    Attributes:
        frame: columns `solver, algorithm, derivative, error, error_lower, error_upper` (median and quartiles over
            problems of the relative error at the start), `ratio, lower, upper` (median and quartiles of the cost over
            that of the algorithm's cheapest strategy on the problem, inf where unsolved) and `rows`, the problems that
            any strategy of the algorithm solved.
        cost: in words, with tau.
        order: labels of all solvers of the study, which decide how each is drawn.
    """

    frame: pd.DataFrame
    cost: str
    order: tuple[str, ...] = ()

    def figure(self, styles: Mapping[str, LineStyle] | None = None) -> Any:
        """Draw them: right is costly, up is inexact; errors of 0 are drawn at 1e-17.

        Args:
            styles: how to draw each solver; `solver_styles` by default.
        """
        styles = styles or solver_styles(self.frame["solver"], self.order)
        shown = self.frame[np.isfinite(self.frame["ratio"]) & self.frame["error"].notna()]
        figure = dots(shown.assign(x=shown["ratio"], y=shown["error"].clip(lower=_FLOOR)), styles, [])
        for trace in figure.data:
            trace.y = [float(value) for value in trace.y]
        figure.update_layout(title_text="Error of derivatives against what solving costs with them", height=460)
        figure.update_xaxes(
            title_text=f"cost over that of the algorithm's cheapest strategy<br>{self.cost}", type="log"
        )
        figure.update_yaxes(
            title_text="relative error of the derivative at the start",
            type="log",
            exponentformat="power",
            autorange=True,
            range=None,
            categoryarray=None,
            categoryorder=None,
            tickmode="auto",
            dtick=None,
        )
        return figure


def derivative_errors(
    results: HasTables | Evaluations,
    tau: float = 1e-5,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
) -> DerivativeErrors:
    """Compare the derivative strategies of each algorithm: how exact they are, and what solving costs with them.

    Args:
        results: as for `cost_table`.
        tau: as for `cost_table`.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.

    Returns:
        One row for each solver with a derivative whose error is known; no row where no error is.
    """
    evaluations = Evaluations.read(results)
    return errors_of(evaluations, cost_table(evaluations, tau, cost, jac_cost, f_opt))


def errors_of(evaluations: Evaluations, costs: pd.DataFrame) -> DerivativeErrors:
    """The same from a cost table that there is."""
    runs = evaluations.runs[evaluations.applicable]
    rows = []
    for algorithm, group in runs.groupby("algorithm", sort=False):
        table = costs[[name for name in costs.columns if name in set(group["solver"])]]
        best = table.min(axis=1)
        ratios = table[np.isfinite(best)].div(best[np.isfinite(best)], axis=0)
        for solver, part in group.groupby("solver", sort=False):
            errors = part["derivative_error"].dropna().to_numpy(dtype=float)
            if errors.size and len(ratios):
                error, ratio = (_quartiles(values) for values in (errors, ratios[solver].to_numpy(dtype=float)))
                rows.append((solver, algorithm, part["derivative"].iloc[0], *error, *ratio, len(ratios)))
    columns = ["solver", "algorithm", "derivative", "error", "error_lower", "error_upper", "ratio", "lower", "upper"]
    words = f"{costs.attrs['cost']}, tau = {costs.attrs['tau']:g}"
    return DerivativeErrors(pd.DataFrame(rows, columns=[*columns, "rows"]), words, evaluations.solvers)


def _quartiles(values: Any) -> tuple[float, float, float]:
    """Median and quartiles; values that occur, so that inf does no harm."""
    lower, middle, upper = np.quantile(values, [0.25, 0.5, 0.75], method="inverted_cdf")
    return float(middle), float(lower), float(upper)
