"""Mean ranks over problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from optcore_bench.figures import order_of, solver_styles
from optcore_bench.profiles import performance_ratios
from optcore_bench.statistics.bootstrap import Bootstrap
from optcore_bench.statistics.drawing import dots
from optcore_bench.statistics.scores import best_shares
from optcore_bench.words import count

if TYPE_CHECKING:
    from optcore.plots.styles import LineStyle

__all__ = ["RankTable", "rank_table"]


@dataclass(frozen=True, eq=False)
class RankTable:
    """Mean ranks, 1 the best.

    Attributes:
        frame: columns `solver, rank, lower, upper, best_share`, in the order of the table: the mean rank over rows, its
            interval, and in which share of the replicates it was the lowest.
        ranks: the rank of each solver on each row.
        level: coverage of the intervals.
        order: labels of all solvers of the study, which decide how each is drawn.
    """

    frame: pd.DataFrame
    ranks: pd.DataFrame
    level: float
    order: tuple[str, ...] = ()

    def figure(self, styles: Mapping[str, LineStyle] | None = None) -> Any:
        """Draw them with their intervals, the best at the top.

        Args:
            styles: how to draw each solver; `solver_styles` by default.
        """
        ranked = self.frame.sort_values("rank", kind="stable")
        shown = ranked.assign(x=ranked["rank"], y=ranked["solver"])
        figure = dots(shown, styles or solver_styles(self.frame["solver"], self.order), list(ranked["solver"]))
        figure.update_layout(title_text=f"Mean rank, {self.level:.0%} intervals", showlegend=False)
        figure.update_xaxes(title_text=f"mean rank over {count(len(self.ranks), 'problem')}, 1 is the best")
        return figure


def rank_table(costs: pd.DataFrame, bootstrap: Bootstrap | None = None) -> RankTable:
    """Rank the solvers on each row by cost; equal costs share their mean rank, and so do all that failed.

    Mean ranks depend on who is compared, as performance profiles do.

    Args:
        costs: a cost table, inf where unsolved.
        bootstrap: how the intervals are made.

    >>> rank_table(pd.DataFrame({"a": [1.0, float("inf")], "b": [2.0, float("inf")]})).frame["rank"].tolist()
    [1.25, 1.75]
    """
    performance_ratios(costs)  # checks the costs
    bootstrap = bootstrap or Bootstrap()
    ranks = costs.rank(axis=1, method="average")
    samples = bootstrap.shares(costs, ranks.to_numpy(dtype=float))
    lower, upper = bootstrap.interval(samples)
    frame = pd.DataFrame(
        {
            "solver": costs.columns,
            "rank": ranks.mean().to_numpy(),
            "lower": lower,
            "upper": upper,
            "best_share": best_shares(-samples),
        }
    )
    return RankTable(frame, ranks, bootstrap.level, order_of(costs))
