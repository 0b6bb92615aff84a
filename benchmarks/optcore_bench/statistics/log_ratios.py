"""Two solvers, problem by problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from optcore.errors import InvalidInputError, unknown_name
from optcore_bench.figures import base_layout, order_of, plain, solver_styles
from optcore_bench.profiles import log_ratio_profile

if TYPE_CHECKING:
    from optcore.plots.styles import LineStyle

__all__ = ["LogRatioPlot", "log_ratio_plot"]


@dataclass(frozen=True, eq=False)
class LogRatioPlot:
    """Who was cheaper on each problem, and by how much.

    Attributes:
        frame: columns `solver, x, y`: the winner, the share of problems up to here, log2(first cost / second cost).
        solvers: the two.
        cost: in words, with tau.
        order: labels of all solvers of the study, which decide how each is drawn.
    """

    frame: pd.DataFrame
    solvers: tuple[str, str]
    cost: str
    order: tuple[str, ...] = ()

    def figure(self, styles: Mapping[str, LineStyle] | None = None) -> Any:
        """Draw it: a bar a problem in the colour of the winner, sorted.

        Args:
            styles: how to draw each solver; `solver_styles` by default.
        """
        styles = styles or solver_styles(self.solvers, self.order)
        figure = go.Figure(layout=base_layout())
        position = np.arange(1, len(self.frame) + 1)
        winner = self.frame["solver"].to_numpy()
        for solver in self.solvers:
            mine = winner == solver
            figure.add_trace(
                go.Bar(
                    x=position[mine],
                    y=self.frame["y"].to_numpy()[mine],
                    name=f"{plain(solver)} cheaper: {int(mine.sum())} of {len(winner)}",
                    marker_color=styles[solver].color,
                )
            )
        figure.update_layout(title_text="Log-ratio profile", bargap=0.1)
        figure.update_xaxes(title_text="problems, sorted", range=[0.4, len(winner) + 0.6])
        figure.update_yaxes(title_text=f"log2 ({plain(self.solvers[0])} / {plain(self.solvers[1])})<br>{self.cost}")
        return figure


def log_ratio_plot(costs: pd.DataFrame, first: str | None = None, second: str | None = None) -> LogRatioPlot:
    """Log-ratio profile of two solvers.

    Args:
        costs: a cost table.
        first: a column of it; the first by default.
        second: another; the second by default.

    >>> costs = pd.DataFrame({"a": [1.0, 8.0], "b": [4.0, 2.0]})
    >>> log_ratio_plot(costs).frame.values.tolist()
    [['a', 0.5, -2.0], ['b', 1.0, 2.0]]
    """
    names = list(map(str, costs.columns))
    if len(names) < 2:
        raise InvalidInputError(f"a log-ratio profile compares 2 solvers; the table has {len(names)}")
    pair = (names[0] if first is None else str(first), names[1] if second is None else str(second))
    for name in pair:
        if name not in names:
            raise unknown_name("solver", name, names)
    if pair[0] == pair[1]:
        raise InvalidInputError(f"a log-ratio profile compares 2 solvers, not {pair[0]!r} with itself")
    tau = costs.attrs.get("tau")
    words = costs.attrs.get("cost", "cost") + ("" if tau is None else f", tau = {tau:g}")
    return LogRatioPlot(
        log_ratio_profile(costs.iloc[:, [names.index(name) for name in pair]]), pair, words, order_of(costs)
    )
