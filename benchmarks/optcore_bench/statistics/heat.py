"""Problems x solvers at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.profiles import digits_gained, performance_ratios
from optcore_bench.statistics.drawing import matrix

__all__ = ["HeatMap", "cost_heat_map", "digits_heat_map"]

#: Where colours end: factors beyond 100 are not told apart.
_MOST = 2.0


@dataclass(frozen=True, eq=False)
class HeatMap:
    """A table to be drawn with a colour in each cell.

    Attributes:
        table: problems by solvers.
        kind: "cost": the table holds costs, inf where unsolved; "digits": digits gained.
        title: what it shows.
    """

    table: pd.DataFrame
    kind: str
    title: str

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers, one row a cell: columns `problem, solver, value`."""
        table = self.table.rename_axis(index="problem", columns="solver")
        return table.stack().rename("value").reset_index()

    def figure(self, styles: object = None) -> Any:
        """Draw it: unsolved cells stay blank.

        Args:
            styles: not used; there is one colour scale for all.
        """
        del styles
        if self.kind == "cost":
            with np.errstate(divide="ignore"):
                shown = np.log10(performance_ratios(self.table)).replace(np.inf, np.nan)
            bar, options = "times the cheapest, powers of ten", {"zmin": 0.0, "zmax": _MOST, "colorscale": "Cividis"}
        else:
            shown, bar, options = self.table, "digits", {"zmin": 0.0, "zmax": 16.0, "colorscale": "Cividis_r"}
        figure = matrix(
            shown,
            colorbar={"title": {"text": bar, "side": "right"}},
            customdata=self.table.to_numpy(),
            hovertemplate=f"%{{x}} on %{{y}}: {self.kind} %{{customdata:.4g}}<extra></extra>",
            **options,
        )
        figure.update_layout(title_text=self.title)
        return figure


def cost_heat_map(costs: pd.DataFrame) -> HeatMap:
    """Costs, coloured by their ratio to the cheapest solver of the problem.

    Args:
        costs: a cost table.
    """
    performance_ratios(costs)  # checks the costs
    tau = costs.attrs.get("tau")
    accuracy = "" if tau is None else f", tau = {tau:g}"
    return HeatMap(costs, "cost", f"Cost of each problem over the lowest: {costs.attrs.get('cost', 'cost')}{accuracy}")


def digits_heat_map(gaps: pd.DataFrame, max_digits: float = 16.0) -> HeatMap:
    """Digits gained, -log10 (f_best - f_L) / (f_start - f_L), between 0 and `max_digits`.

    Args:
        gaps: see `accuracy_table`.
        max_digits: exact solutions have as many.
    """
    if gaps.empty:
        raise InvalidInputError(f"there is nothing to draw: the table is {gaps.shape}")
    return HeatMap(digits_gained(gaps, max_digits), "digits", "Digits gained on each problem")
