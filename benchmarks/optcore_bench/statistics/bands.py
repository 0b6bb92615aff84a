"""Profiles with a band: how much of a curve's height is due to which functions happen to be in the suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optcore.errors import unknown_name
from optcore_bench.figures import (
    ProfilePlot,
    accuracy_profile_plot,
    data_profile_plot,
    order_of,
    performance_profile_plot,
    shade,
    solver_styles,
)
from optcore_bench.profiles import digits_gained, ecdf, performance_ratios, simplex_gradients
from optcore_bench.statistics.bootstrap import Bootstrap, Floats
from optcore_bench.words import count

if TYPE_CHECKING:
    from optcore.plots.styles import LineStyle

__all__ = ["BandPlot", "accuracy_bands", "data_profile_bands", "ecdf_bands", "performance_bands"]

#: More shades than this hide each other.
_MOST_BANDS = 6


@dataclass(frozen=True, eq=False)
class BandPlot(ProfilePlot):
    """A profile whose `curves` have the columns `lower` and `upper` too.

    Attributes:
        level: coverage of the bands, pointwise: at each x, not of the whole curve at once.
        functions: how many groups of rows were resampled.
        log: x axis in powers of ten.
    """

    level: float = 0.95
    functions: int = 0
    log: bool = False

    def figure(self, styles: Mapping[str, LineStyle] | None = None, bands: Iterable[str] | None = None) -> Any:
        """Draw it: a line per solver and its band as a shade of the same colour.

        Args:
            styles: how to draw each solver; `solver_styles` by default.
            bands: solvers whose band is drawn; by default all where there are at most six, and none of more, which
                would hide each other.

        Raises:
            UnknownNameError: a solver that isn't there.
        """
        shaded = self._shaded(bands)
        styles = styles or solver_styles(self.curves["solver"], self.order)
        figure = super().figure(styles)
        extended = self._extended()
        for solver in shaded:
            curve = extended[extended["solver"] == solver]
            figure.add_trace(step_shade(curve, str(solver), styles[str(solver)].color))
        for trace in figure.data:
            trace.legendgroup = trace.name
        if shaded:
            words = f"{self.title}, {100 * self.level:g} % bands by bootstrap over {count(self.functions, 'function')}"
            figure.update_layout(title_text=words)
        if self.log:
            figure.update_xaxes(type="log", exponentformat="power")
        return figure

    def _shaded(self, bands: Iterable[str] | None) -> list[str]:
        names = list(dict.fromkeys(map(str, self.curves["solver"])))
        if bands is None:
            return names if len(names) <= _MOST_BANDS else []
        asked = list(bands)
        for name in asked:
            if name not in names:
                raise unknown_name("solver", name, names)
        return asked

    def _extended(self) -> pd.DataFrame:
        extended = super()._extended()
        return extended[extended["x"] > 0] if self.log else extended


def step_shade(curve: pd.DataFrame, solver: str, color: str) -> dict[str, Any]:
    """The area between `lower` and `upper` of right-continuous steps as a plotly trace."""
    x = np.repeat(curve["x"].to_numpy(), 2)[1:]
    lower, upper = (np.repeat(curve[name].to_numpy(), 2)[:-1] for name in ("lower", "upper"))
    return shade(x, lower, upper, solver, color, opacity=0.14)


def performance_bands(costs: pd.DataFrame, bootstrap: Bootstrap | None = None) -> BandPlot:
    """Performance profile with pointwise bands.

    A problem's ratios don't depend on which other problems are drawn, so that the ratios are resampled.

    Args:
        costs: a cost table, as for `performance_profile`.
        bootstrap: how functions are drawn.

    Returns:
        The numbers, with `.figure()`: the curves of `performance_profile`, with `lower` and `upper`.

    >>> costs = pd.DataFrame({"a": [10.0, 20.0], "b": [20.0, np.inf]}, index=["p", "q"])
    >>> performance_bands(costs).frame.round(2).values.tolist()
    [['a', 1.0, 1.0, 1.0, 1.0], ['b', 1.0, 0.0, 0.0, 0.0], ['b', 2.0, 0.5, 0.0, 1.0]]
    """
    plot = performance_profile_plot(costs)
    return _with_bands(plot, performance_ratios(costs), bootstrap or Bootstrap())


def data_profile_bands(costs: pd.DataFrame, n: pd.Series | None = None, bootstrap: Bootstrap | None = None) -> BandPlot:
    """Data profile with pointwise bands.

    Args:
        costs: a cost table in evaluations, as for `data_profile`.
        n: number of parameters by row; by default what `cost_table` left in `attrs`.
        bootstrap: how functions are drawn.

    Returns:
        The numbers, with `.figure()`: the curves of `data_profile`, with `lower` and `upper`.
    """
    return _with_bands(data_profile_plot(costs, n), simplex_gradients(costs, n), bootstrap or Bootstrap())


def ecdf_bands(costs: pd.DataFrame, bootstrap: Bootstrap | None = None) -> BandPlot:
    """Empirical distribution of run times with pointwise bands, on a logarithmic axis.

    Rows may pool several accuracies, as `run_times` does: they are resampled by function.

    Args:
        costs: as for `ecdf`.
        bootstrap: how functions are drawn.
    """
    taus = costs.attrs.get("taus")
    targets = ""
    if taus:
        targets = f",<br>{count(len(taus), 'target')} a problem, tau = {max(taus):g} to {min(taus):g}"
    plot = ProfilePlot(
        curves=ecdf(costs),
        title="Run times, ECDF",
        x_title=f"cost: {costs.attrs.get('cost', 'as given')}",
        y_title=f"share of problems and targets reached{targets}",
        order=order_of(costs),
    )
    return replace(_with_bands(plot, costs, bootstrap or Bootstrap()), log=True)


def accuracy_bands(gaps: pd.DataFrame, bootstrap: Bootstrap | None = None, max_digits: float = 16.0) -> BandPlot:
    """Accuracy profile with pointwise bands.

    Args:
        gaps: as for `accuracy_profile`.
        bootstrap: how functions are drawn.
        max_digits: as for `accuracy_profile`.
    """
    plot = accuracy_profile_plot(gaps, max_digits)
    # More than x digits is what isn't at most x.
    return _with_bands(plot, digits_gained(gaps, max_digits), bootstrap or Bootstrap(), falling=True)


def _with_bands(plot: ProfilePlot, values: pd.DataFrame, bootstrap: Bootstrap, *, falling: bool = False) -> BandPlot:
    """Add `lower` and `upper`; the curve of a solver is the share of rows with value <= x, or > x if falling."""
    weights = bootstrap.weights(values)
    total = weights.sum(axis=1, keepdims=True)
    curves = []
    for solver, curve in plot.curves.groupby("solver", sort=False):
        column = values.iloc[:, list(map(str, values.columns)).index(str(solver))].to_numpy(dtype=float)
        shares = _shares(weights, column, curve["x"].to_numpy()) / total
        lower, upper = bootstrap.interval(1 - shares if falling else shares)
        curves.append(curve.assign(lower=lower, upper=upper))
    return BandPlot(
        order=plot.order,
        curves=pd.concat(curves, ignore_index=True),
        title=plot.title,
        x_title=plot.x_title,
        y_title=plot.y_title,
        log2=plot.log2,
        level=bootstrap.level,
        functions=int(bootstrap.groups(values).max()) + 1,
    )


def _shares(weights: Floats, column: Floats, x: Floats) -> Floats:
    """Weight of the rows with value <= x in each replicate, shape (replicates, len(x)); x ascends."""
    order = np.argsort(column, kind="stable")
    total = np.cumsum(weights[:, order], axis=1)
    rows = np.searchsorted(column[order], x, side="right")
    return np.where(rows > 0, total[:, rows - 1], 0.0)
