"""A picture of a problem: its values on a plane through the start and the best known point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from optcore_bench.figures import base_layout
from optcore_problems import Problem

__all__ = ["Landscape", "landscape"]

Array = NDArray[np.float64]

#: Of the distance between start and best known point, how much is shown beyond them.
_MARGIN = 0.35
#: Heights so far below or above that of the start are not told apart.
_DECADES_BELOW, _DECADES_ABOVE = 16, 3


@dataclass(frozen=True, eq=False)
class Landscape:
    """Values of a problem on a plane, or on a line where it has one variable.

    Attributes:
        title: the problem.
        x, y: coordinates of the grid, shape (k,); y is None for a line.
        height: log10 of f minus the lowest value shown or known, shape (k, k) with a row for each y, or (k,); at
            most three decades above that of the start, so that what is around it can be seen.
            NaN where f isn't finite.
        points: named points and their coordinates: the start, the best known point, local minima.
        x_title, y_title: what the coordinates are.
    """

    title: str
    x: Array
    y: Array | None
    height: Array
    points: dict[str, tuple[float, float]]
    x_title: str
    y_title: str

    def figure(self) -> go.Figure:
        """Draw it: contours on a plane, a curve on a line, points with their names."""
        figure = go.Figure(layout=base_layout())
        if self.y is None:
            figure.add_trace(go.Scatter(x=self.x, y=self.height, mode="lines", showlegend=False, hoverinfo="x+y"))
        else:
            figure.add_trace(
                go.Contour(
                    x=self.x,
                    y=self.y,
                    z=self.height,
                    colorscale="Cividis",
                    ncontours=24,
                    line={"width": 0.6},
                    colorbar={"title": {"text": "log10 (f - lowest)", "side": "right"}},
                )
            )
        symbols = {"start": "circle", "best known": "star"}
        for name, (a, b) in self.points.items():
            figure.add_trace(
                go.Scatter(
                    x=[a],
                    y=[b],
                    name=name,
                    mode="markers",
                    marker={
                        "symbol": symbols.get(name, "diamond"),
                        "size": 13 if name == "best known" else 10,
                        "color": "#D55E00",
                        "line": {"color": "white", "width": 1.5},
                    },
                )
            )
        figure.update_layout(title_text=self.title, legend={"orientation": "h", "y": -0.18, "x": 0})
        figure.update_xaxes(title_text=self.x_title)
        figure.update_yaxes(title_text=self.y_title)
        return figure


def landscape(problem: Problem, size: int = 121, seed: int = 0) -> Landscape:
    """The values of a problem around its start and its best known point.

    With two variables the axes are these. With more, the plane holds the start, the best known point and a direction
    that is drawn at random; where no best known point exists, the plane is spanned by the gradient at the start, or
    by two directions at random where there is none either.

    Args:
        problem: the problem.
        size: points along each axis.
        seed: of the random directions.

    >>> from optcore_problems import get_problem
    >>> picture = landscape(get_problem("more_wild/rosenbrock"), size=11)
    >>> picture.height.shape, sorted(picture.points)
    ((11, 11), ['best known', 'start'])
    """
    if problem.n == 1:
        return _line(problem, size)
    axes = _Axes.of(problem, seed)
    points = _points(problem)
    a = _range([place[0] for place in points.values()], size)
    b = _range([place[1] for place in points.values()], size) if problem.n == 2 else _range([-0.5, 0.5], size)
    values = problem.fun_batch(axes.points(a, b)).reshape(size, size)
    return Landscape(problem.full_name, a, b, _height(values, problem), points, *axes.titles)


def _line(problem: Problem, size: int) -> Landscape:
    known = {name: x[0] for name, x in _known(problem).items()}
    x = _range(list(known.values()), size)
    values = problem.fun_batch(x[:, None])
    at = problem.fun_batch(np.array(list(known.values()))[:, None])
    everything = np.concatenate([values, at])
    height = _height(everything, problem)
    points = dict(zip(known, zip(known.values(), height[size:].tolist(), strict=True), strict=True))
    return Landscape(problem.full_name, x, None, height[:size], points, "x", "log10 (f - lowest)")


def _known(problem: Problem) -> dict[str, Array]:
    """The points that have names."""
    known = {"start": problem.start}
    if problem.x_opt is not None:
        known["best known"] = problem.x_opt
    for i, local in enumerate(problem.local_optima):
        if local.x is not None:
            known[f"minimum {i + 2}, f = {local.f:.4g}"] = np.array(local.x)
    return known


def _points(problem: Problem) -> dict[str, tuple[float, float]]:
    """Where they are on the plane; with more than two variables only two are on it."""
    if problem.n == 2:
        return {name: (float(x[0]), float(x[1])) for name, x in _known(problem).items()}
    points = {"start": (0.0, 0.0)}
    if problem.x_opt is not None and np.any(problem.x_opt != problem.start):
        points["best known"] = (1.0, 0.0)
    return points


@dataclass(frozen=True, eq=False)
class _Axes:
    """A plane: origin + a first + b second."""

    origin: Array
    first: Array
    second: Array
    titles: tuple[str, str]

    @classmethod
    def of(cls, problem: Problem, seed: int) -> _Axes:
        n = problem.n
        if n == 2:
            return cls(np.zeros(2), np.eye(2)[0], np.eye(2)[1], ("x<sub>1</sub>", "x<sub>2</sub>"))
        generator = np.random.default_rng(seed)
        if problem.x_opt is not None and np.any(problem.x_opt != problem.start):
            first, title = problem.x_opt - problem.start, "from the start (0) to the best known point (1)"
        else:
            first, title = _downhill(problem, generator), "down the gradient from the start"
        # At random, but of the scale that each variable has, and at a right angle to the first in that scale.
        scale = np.maximum(np.abs(problem.start), np.abs(first)) + 1e-8 * np.linalg.norm(first)
        second = generator.standard_normal(n)
        unit = first / scale
        second -= unit * (unit @ second) / (unit @ unit)
        second *= np.linalg.norm(unit) / np.linalg.norm(second)
        return cls(problem.start, first, second * scale, (title, "across, at random"))

    def points(self, a: Array, b: Array) -> Array:
        """The grid's points, a row each, a running fastest: shape (len(b) len(a), n)."""
        grid = self.origin + b[:, None, None] * self.second + a[None, :, None] * self.first
        return np.asarray(grid.reshape(-1, self.origin.size))


def _downhill(problem: Problem, generator: np.random.Generator) -> Array:
    size = max(1.0, float(np.linalg.norm(problem.start)))
    way = -problem.gradient(problem.start) if problem.has_gradient else generator.standard_normal(problem.n)
    length = float(np.linalg.norm(way))
    if not (np.isfinite(length) and length):
        way = generator.standard_normal(problem.n)
        length = float(np.linalg.norm(way))
    return np.asarray(way * (size / length))


def _range(places: Sequence[float], size: int) -> Array:
    low, high = min(places), max(places)
    width = (high - low) or max(1.0, abs(high))
    return np.linspace(low - _MARGIN * width, high + _MARGIN * width, size)


def _lowest(values: Array, problem: Problem) -> float:
    finite = values[np.isfinite(values)]
    found = [float(finite.min())] if finite.size else []
    return min([*found, *([] if problem.f_opt is None else [problem.f_opt])], default=0.0)


def _height(values: Array, problem: Problem) -> Array:
    """log10 above the lowest value, within the decades around the start's height that tell something."""
    lowest = _lowest(values, problem)
    above = np.where(np.isfinite(values), values, np.nan) - lowest
    size = problem.f_start - lowest
    if not (np.isfinite(size) and size > 0):
        size = float(np.nanmedian(above)) if np.isfinite(above).any() else 1.0
    size = max(size, np.finfo(float).tiny * 1e20)
    return np.asarray(np.log10(np.clip(above, size * 10.0**-_DECADES_BELOW, size * 10.0**_DECADES_ABOVE)))
