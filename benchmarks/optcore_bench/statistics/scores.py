"""One number a solver: the area under its profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.figures import order_of, solver_styles
from optcore_bench.profiles import performance_ratios, simplex_gradients
from optcore_bench.statistics.bootstrap import Bootstrap, Floats
from optcore_bench.statistics.drawing import dots

if TYPE_CHECKING:
    from optcore.plots.styles import LineStyle

__all__ = ["LIMITS", "AreaScores", "area_scores"]

Kind = Literal["performance", "data"]

#: Between which x the area is taken: ratios to the cheapest solver, and simplex gradients.
LIMITS: dict[str, tuple[float, float]] = {"performance": (1.0, 128.0), "data": (0.1, 200.0)}


@dataclass(frozen=True, eq=False)
class AreaScores:
    """Areas under profiles.

    Attributes:
        frame: columns `solver, score, lower, upper, best_share`, in the order of the table: the area, its interval,
            and in which share of the replicates the solver had the largest one (ties share).
        kind: of the profile.
        limits: the range of x.
        level: coverage of the intervals.
        order: labels of all solvers of the study, which decide how each is drawn.
    """

    frame: pd.DataFrame
    kind: Kind
    limits: tuple[float, float]
    level: float
    order: tuple[str, ...] = ()

    def figure(self, styles: Mapping[str, LineStyle] | None = None) -> Any:
        """Draw them with their intervals, the best at the top.

        Args:
            styles: how to draw each solver; `solver_styles` by default.
        """
        styles = styles or solver_styles(self.frame["solver"], self.order)
        ranked = self.frame.sort_values("score", ascending=False, kind="stable")
        shown = ranked.assign(x=ranked["score"], y=ranked["solver"])
        figure = dots(shown, styles, list(ranked["solver"]))
        low, high = self.limits
        unit = "times the lowest cost" if self.kind == "performance" else "simplex gradients"
        figure.update_layout(title_text=f"Area under the {self.kind} profile", showlegend=False)
        figure.update_xaxes(title_text=f"area in log x from {low:g} to {high:g} {unit}, 1 = all at once")
        return figure


def area_scores(
    costs: pd.DataFrame,
    kind: Kind = "data",
    n: pd.Series | None = None,
    limits: tuple[float, float] | None = None,
    bootstrap: Bootstrap | None = None,
) -> AreaScores:
    """Area under a performance or data profile over log x, normalised to 0 .. 1.

    1 is a solver that solves everything at the left end of the range or before it, 0 one that solves nothing up to its
    right end. A row solved at x counts for (log high - log x) / (log high - log low), cut to 0 .. 1; so the area is a
    mean over rows, and rows of several tau may be pooled, as `run_times` does.

    Args:
        costs: a cost table; for "data" in evaluations.
        kind: of the profile. The area under performance profiles depends on who is compared.
        n: number of parameters by row, for "data"; by default what `cost_table` left in `attrs`.
        limits: range of x; `LIMITS[kind]` by default.
        bootstrap: how the intervals are made.

    Raises:
        InvalidInputError: as for the profiles; or limits that don't rise.

    >>> costs = pd.DataFrame({"a": [1.0, 1.0], "b": [128.0, 1.0]}, index=["p", "q"])
    >>> area_scores(costs, "performance").frame["score"].tolist()
    [1.0, 0.5]
    """
    if kind not in LIMITS:
        raise InvalidInputError(f"kind must be 'performance' or 'data', not {kind!r}")
    low, high = LIMITS[kind] if limits is None else limits
    if not 0 < low < high < np.inf:
        raise InvalidInputError(f"limits must be 0 < low < high, not {limits!r}")
    bootstrap = bootstrap or Bootstrap()
    areas = row_areas(_positions(costs, kind, n), low, high)
    score = areas.mean(axis=0)
    samples = bootstrap.shares(costs, areas)
    lower, upper = bootstrap.interval(samples)
    frame = pd.DataFrame(
        {"solver": costs.columns, "score": score, "lower": lower, "upper": upper, "best_share": best_shares(samples)}
    )
    return AreaScores(frame, kind, (low, high), bootstrap.level, order_of(costs))


def row_areas(positions: Floats, low: float, high: float) -> Floats:
    """What each row adds to the area, times the number of rows, shape as `positions`; inf adds nothing."""
    with np.errstate(divide="ignore"):
        share = (np.log(high) - np.log(positions)) / (np.log(high) - np.log(low))
    return np.asarray(np.clip(share, 0.0, 1.0))


def best_shares(samples: Floats) -> Floats:
    """In which share of the replicates each solver is the highest; ties share it.

    Args:
        samples: shape (replicates, solvers).
    """
    highest = samples == samples.max(axis=1, keepdims=True)
    return np.asarray((highest / highest.sum(axis=1, keepdims=True)).mean(axis=0))


def _positions(costs: pd.DataFrame, kind: Kind, n: pd.Series | None) -> Floats:
    positions = performance_ratios(costs) if kind == "performance" else simplex_gradients(costs, n)
    return np.asarray(positions, dtype=float)
