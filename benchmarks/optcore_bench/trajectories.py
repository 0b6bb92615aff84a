"""How fast the best value falls: one problem, or the median and quantiles over many.

The measure is the relative gap (f_best - f_L) / (f_start - f_L), which the convergence test compares with
tau: 1 at the start, 0 at the reference value f_L.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError, unknown_name
from optcore_bench.words import count

from .costs import CostModel, JacCost, cost_at, describe_cost, relative_gaps
from .evaluations import Evaluations, Floats, HasTables, ReferenceValue

if TYPE_CHECKING:
    from optcore.plots.styles import LineStyle

__all__ = ["ConvergencePlot", "StepCurve", "convergence", "failure_costs", "median_curve", "step_curves", "thin_steps"]

#: Smallest gap that a logarithmic axis shows; exact solutions are drawn here.
FLOOR = 1e-16


@dataclass(frozen=True, eq=False)
class ConvergencePlot:
    """Convergence of several solvers.

    Attributes:
        curves: columns `solver, x, y`, right-continuous steps; y the relative gap. For several problems also
            `lower` and `upper`, the quantiles.
        title: the problem, or how many.
        x_title: the cost.
        y_title: the measure.
        order: labels of all solvers of the study, which decide how each is drawn.
        failures: of one problem: the costs x at which calls of a solver gave no value.
    """

    curves: pd.DataFrame
    title: str
    x_title: str
    y_title: str
    order: tuple[str, ...] = ()
    failures: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers, as `curves`."""
        return self.curves

    def figure(self, styles: Mapping[str, LineStyle] | None = None) -> Any:
        """Draw it with a logarithmic y axis; gaps below 1e-16 are drawn there.

        Args:
            styles: how to draw each solver; `solver_styles` by default.

        Returns:
            A plotly figure: one line per solver and, for several problems, its quantiles as a shade. Where calls gave
            no value there are short strokes at the foot of the figure of one problem, which the legend counts.
        """
        from optcore.plots.curves import strokes

        from .figures import line_figure, shade, solver_styles

        styles = styles or solver_styles(self.curves["solver"], self.order)
        shown = self.curves.copy()
        for name in shown.columns.intersection(["y", "lower", "upper"]):
            shown[name] = shown[name].clip(lower=FLOOR)
        figure = line_figure(shown, styles, unit=self.x_title)
        if "lower" in shown:
            for solver, curve in shown.groupby("solver", sort=False):
                x, lower, upper = (curve[name].to_numpy() for name in ("x", "lower", "upper"))
                figure.add_trace(shade(x, lower, upper, str(solver), styles[str(solver)].color, opacity=0.12))
        for row, (solver, x) in enumerate(self.failures.items()):
            figure.add_shape(strokes(x, solver, styles[solver].color, row))
        figure.update_layout(title_text=self.title)
        figure.update_xaxes(title_text=self.x_title, rangemode="tozero")
        figure.update_yaxes(title_text=self.y_title, type="log", exponentformat="power", dtick=1)
        lowest = np.floor(np.log10(shown["y"].min())) if len(shown) else -1.0
        figure.update_yaxes(dtick=max(1, int(np.ceil(-lowest / 8))))
        return figure


def convergence(
    results: HasTables | Evaluations,
    problem: str | Iterable[str] | None = None,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
    quantiles: tuple[float, float] = (0.25, 0.75),
    max_points: int = 200,
) -> ConvergencePlot:
    """Convergence on one problem, or the median over several.

    Args:
        results: as for `cost_table`.
        problem: a row of the cost table (`suite/problem`), several of them, or None for all. One name gives
            the curves of that problem, anything else the median over problems at every cost.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.
        quantiles: the lower and the upper quantile over problems.
        max_points: curves with more steps are thinned; what goes is too small to be seen.

    Returns:
        The numbers, with `.figure()`. A run that ended keeps its best value; one without any value stays at
        1.

    Raises:
        InvalidInputError: there is nothing to draw, or a quantile isn't between 0 and 1.
        UnknownNameError: there is no such problem.
    """
    low, high = quantiles
    if not 0 <= low <= high <= 1:
        raise InvalidInputError(f"quantiles must be 0 <= lower <= upper <= 1, not {quantiles!r}")
    evaluations = Evaluations.read(results)
    runs = evaluations.runs[evaluations.applicable]
    names = _problems(runs, problem)
    one = isinstance(problem, str)
    curves = step_curves(evaluations, cost, jac_cost, f_opt)
    solvers = list(dict.fromkeys(runs["solver"][runs["row"].isin(names)]))
    frames = []
    for solver in solvers:
        steps = [curves[row, solver] for row in names if (row, solver) in curves]
        frame = _one(steps[0], max_points) if one else median_curve(steps, quantiles, max_points)
        frames.append(frame.assign(solver=solver))
    failed = failure_costs(evaluations, cost, jac_cost) if one else {}
    columns = ["solver", "x", "y"] if one else ["solver", "x", "y", "lower", "upper"]
    return ConvergencePlot(
        curves=pd.concat(frames, ignore_index=True)[columns],
        title=names[0] if one else f"{count(len(names), 'problem')}: median, quantiles {low:g} to {high:g}",
        x_title=describe_cost(cost, jac_cost),
        y_title="(f_best - f_L) / (f_start - f_L)",
        order=evaluations.solvers,
        failures={solver: failed[names[0], solver] for solver in solvers if (names[0], solver) in failed},
    )


def failure_costs(
    evaluations: Evaluations, cost: CostModel = "evaluations", jac_cost: JacCost = 0
) -> dict[tuple[str, str], Floats]:
    """The costs at which calls gave no value, by row and column of the cost table; nothing for runs without such calls.

    Args:
        evaluations: of a store.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
    """
    rows = np.flatnonzero(evaluations.failed)
    if not rows.size:
        return {}
    x, run = cost_at(evaluations, rows, cost, jac_cost), evaluations.run[rows]
    which, first = np.unique(run, return_index=True)
    names = list(zip(evaluations.runs["row"], evaluations.runs["solver"], strict=True))
    return {names[i]: np.sort(part) for i, part in zip(which, np.split(x, first[1:]), strict=True)}


def _problems(runs: pd.DataFrame, problem: str | Iterable[str] | None) -> list[str]:
    known = list(dict.fromkeys(runs["row"]))
    names = known if problem is None else [problem] if isinstance(problem, str) else list(problem)
    if not names:
        raise InvalidInputError("there is no problem to draw: the results have no run that applies")
    for name in names:
        if name not in known:
            raise unknown_name("problem", name, known)
    return names


class StepCurve(NamedTuple):
    """How one run improved: right-continuous steps.

    Attributes:
        x: cost at each improvement, shape (k,).
        y: relative gap from there on, shape (k,).
        total: cost of the whole run.
    """

    x: Floats
    y: Floats
    total: float


def step_curves(
    results: HasTables | Evaluations,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
) -> dict[tuple[str, str], StepCurve]:
    """The exact convergence of every run, by row and column of the cost table.

    Args:
        results: as for `cost_table`.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.
    """
    evaluations = Evaluations.read(results)
    runs, rows = evaluations.runs, evaluations.improvements
    y, total = relative_gaps(evaluations, rows, f_opt), np.zeros(len(runs))
    some = np.flatnonzero(np.diff(evaluations.offsets) > 0)
    # In one go, since the clock takes long to read.
    x = cost_at(evaluations, np.concatenate([rows, evaluations.offsets[some + 1] - 1]), cost, jac_cost)
    x, total[some] = x[: rows.size], x[rows.size :]
    cuts = np.searchsorted(evaluations.run[rows], np.arange(len(runs) + 1))
    names = list(zip(runs["row"], runs["solver"], strict=True))
    return {
        names[i]: StepCurve(x[cuts[i] : cuts[i + 1]], y[cuts[i] : cuts[i + 1]], float(total[i]))
        for i in np.flatnonzero(evaluations.applicable)
    }


def _one(steps: StepCurve, max_points: int) -> pd.DataFrame:
    x, y, total = steps
    if x.size == 0:
        return pd.DataFrame({"x": [0.0, total], "y": [1.0, 1.0]})
    x, y = np.append(x, total), np.append(y, y[-1])
    keep = thin_steps(x, y, max_points)
    return pd.DataFrame({"x": x[keep], "y": y[keep]})


def median_curve(curves: list[StepCurve], quantiles: tuple[float, float], max_points: int) -> pd.DataFrame:
    """Median and quantiles at up to `max_points` costs, exact there: the last gap up to each cost counts."""
    grid = np.unique(np.concatenate([[0.0], *(np.append(x, total) for x, _, total in curves)]))
    if grid.size > max_points:
        grid = grid[np.unique(np.linspace(0, grid.size - 1, max_points).round().astype(int))]
    gaps = np.array([np.append(1.0, y)[np.searchsorted(x, grid, side="right")] for x, y, _ in curves])
    gaps.sort(axis=0)
    # Quantiles are values that occur: interpolation would mix 0 and inf to NaN.
    low, high = np.quantile(np.arange(len(gaps)), quantiles, method="inverted_cdf").astype(int)
    half = len(gaps) // 2
    middle = gaps[half] if len(gaps) % 2 else (gaps[half - 1] + gaps[half]) / 2
    lines = np.array([middle, gaps[low], gaps[high]])
    new = np.ones(grid.size, dtype=bool)
    with np.errstate(invalid="ignore"):
        new[1:-1] = (np.diff(lines)[:, :-1] != 0).any(axis=0)
    return pd.DataFrame(dict(zip(("x", "y", "lower", "upper"), [grid, *lines], strict=True)))[new]


def thin_steps(x: Floats, y: Floats, max_points: int = 200) -> Any:
    """Which points of a falling step function to keep, so that nobody sees that some are gone.

    The visible range of log10 y is cut into as many equal levels as points are wanted; the first point on
    each level stays, so that the kept points are exact and the line is never off by more than one level.
    First and last stay.

    Args:
        x: where the steps are, ascending, shape (k,).
        y: values from there on, not increasing, shape (k,).
        max_points: at least 3.

    Returns:
        Positions to keep, ascending; all of them where k <= max_points.
    """
    if x.size <= max_points:
        return np.arange(x.size)
    height = np.log10(np.clip(y, FLOOR, 1e300))
    span = max(height[0] - height.min(), 1e-12)
    level = np.floor((height[0] - height) / span * (max_points - 3))
    new = np.concatenate([[True], level[1:] > np.maximum.accumulate(level)[:-1]])
    new[-1] = True
    return np.flatnonzero(new)
