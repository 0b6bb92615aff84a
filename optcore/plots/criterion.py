"""The objective along optimizations."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore.history import NUMDIFF
from optcore.plots.axes import AXES, XAxis, calls_so_far, check_axis, failures, history_of, positions, refuse
from optcore.plots.curves import Curve, Curves
from optcore.plots.figure import Figure
from optcore.result import OptimizeResult

__all__ = ["criterion_curves", "criterion_plot"]

Results = (
    OptimizeResult
    | Mapping[str, OptimizeResult | Sequence[OptimizeResult]]
    | Sequence[OptimizeResult]
    | Sequence[Sequence[OptimizeResult]]
)
_EPS = float(np.finfo(np.float64).eps)


def criterion_plot(
    results: Results,
    *,
    names: Sequence[str] | None = None,
    groups: Mapping[str, str] | Sequence[str] | None = None,
    x_axis: XAxis = "evaluations",
    monotone: bool = False,
    log_x: bool = False,
    log_y: bool = False,
    f_opt: float | Mapping[str, float] | Sequence[float] | None = None,
    show_numdiff: bool = False,
    max_evaluations: int | None = None,
    template: Any = None,
    palette: Sequence[str] | str | None = None,
    **unknown: Any,
) -> Figure:
    """The objective at the points that solvers asked for, one line per result.

    Evaluations are calls of fun and fun_and_jac, those for numerical derivatives included: a gradient by forward
    differences moves the line n + 1 to the right. `x_axis="points"` leaves them out. Calls that raised or whose value
    was not finite have no point, but a stroke at the foot of the figure; the legend counts them.

    Args:
        results: a result, a dict of them by name, or a list. Lists of results within a dict or a list are groups,
            drawn in one colour: several starts of an algorithm, for instance.
        names: names for a list of results, or of groups.
        groups: names of groups by the name of the result, or in the order of the results.
        x_axis: "evaluations"; "gradients", which are evaluations / (n + 1); "batches" of calls that could run at the
            same time; "seconds" of wall time; or "points" that the solver asked for, whatever derivatives cost.
        monotone: draw the best value so far instead of each value.
        log_x: logarithmic horizontal axis.
        log_y: logarithmic vertical axis.
        f_opt: a known optimum, one for all, or by name or in order; draws the distance to it. On a logarithmic axis a
            distance of 0 is drawn at the rounding error of f_opt.
        show_numdiff: draw the evaluations for numerical derivatives too, with small marks where they are few.
        max_evaluations: leave out what came after so many evaluations, whatever the axis is.
        template: plotly's template, by name or itself; "simple_white" by default.
        palette: a colour, or colours that are used in turn.
        **unknown: refused, with what to use instead.

    Returns:
        A plotly figure; long histories are thinned out to what can be seen.

    Raises:
        InvalidInputError: there is nothing to draw, or arguments that don't fit the results.
        UnknownNameError: an x_axis or an argument that doesn't exist.

    >>> import optcore as om
    >>> starts = {"near": np.ones(2), "far": np.full(2, 9.0)}
    >>> results = {name: om.minimize(lambda x: float(x @ x), x, "scipy_neldermead") for name, x in starts.items()}
    >>> [trace.name for trace in om.criterion_plot(results, log_y=True, f_opt=0).data]
    ['near', 'far']
    """
    refuse(criterion_plot, unknown)
    curves = criterion_curves(
        results,
        names=names,
        groups=groups,
        x_axis=x_axis,
        monotone=monotone,
        f_opt=f_opt,
        show_numdiff=show_numdiff,
        max_evaluations=max_evaluations,
    )
    return curves.figure(log_x=log_x, log_y=log_y, template=template, palette=palette)


def criterion_curves(
    results: Results,
    *,
    names: Sequence[str] | None = None,
    groups: Mapping[str, str] | Sequence[str] | None = None,
    x_axis: XAxis = "evaluations",
    monotone: bool = False,
    f_opt: float | Mapping[str, float] | Sequence[float] | None = None,
    show_numdiff: bool = False,
    max_evaluations: int | None = None,
) -> Curves:
    """The numbers of `criterion_plot`, which has the same arguments; `.figure()` draws them.

    >>> import optcore as om
    >>> result = om.minimize(lambda x: float(x @ x), np.ones(2), "scipy_lbfgsb")
    >>> criterion_curves(result, monotone=True).to_frame()[["x", "y"]].round(3).values.tolist()
    [[1.0, 2.0], [4.0, 0.172], [7.0, 0.0]]
    """
    check_axis(x_axis)
    if show_numdiff and x_axis == "points":
        raise InvalidInputError(
            "show_numdiff=True has no place on the axis 'points', which counts what the solver asked for; "
            "use x_axis='evaluations'"
        )
    named = _with_groups(_named(results, names), groups)
    optima = _optima(f_opt, [entry.name for entry in named])
    curves = tuple(
        _curve(entry, optimum, x_axis, monotone=monotone, show_numdiff=show_numdiff, max_evaluations=max_evaluations)
        for entry, optimum in zip(named, optima, strict=True)
    )
    return Curves(
        curves,
        x_title=AXES[x_axis],
        y_title=_y_title([entry.result.direction for entry in named], monotone=monotone, distance=f_opt is not None),
        floor=None if f_opt is None else _EPS * max(1.0, *map(abs, optima)),
    )


class _Named(NamedTuple):
    name: str
    group: str | None
    result: OptimizeResult


def _curve(
    entry: _Named,
    optimum: float,
    x_axis: XAxis,
    *,
    monotone: bool,
    show_numdiff: bool,
    max_evaluations: int | None,
) -> Curve:
    history = history_of(entry.result, entry.name, x_axis)
    numdiff = history.rows.task == NUMDIFF
    shown, failed = history.asked | numdiff if show_numdiff else history.asked, failures(history)
    if max_evaluations is not None:
        counted = calls_so_far(history) <= max_evaluations
        shown, failed = shown & counted, failed & counted
    values, x = history.monotone_fun if monotone else history.fun, positions(history, x_axis)
    return Curve(
        name=entry.name,
        group=entry.group,
        x=x[shown],
        y=_distance(values[shown], optimum, entry.result.direction),
        numdiff=numdiff[shown],
        failed=x[failed],
    )


def _distance(values: NDArray[np.float64], optimum: float, direction: str) -> NDArray[np.float64]:
    if math.isnan(optimum):
        return values
    return optimum - values if direction == "maximize" else values - optimum


def _y_title(directions: Sequence[str], *, monotone: bool, distance: bool) -> str:
    if not distance:
        return "Best criterion value so far" if monotone else "Criterion value"
    signs = {"minimize": "f - f*", "maximize": "f* - f"}
    title = f"Distance to the optimum, {' or '.join(signs[direction] for direction in sorted(set(directions)))}"
    return f"{title}, smallest so far" if monotone else title


def _named(results: Any, names: Sequence[str] | None) -> list[_Named]:
    """Every result with its name and group, errors for what isn't one left to later."""
    if isinstance(results, OptimizeResult):
        results = [results]
    if isinstance(results, Mapping):
        if names is not None:
            raise InvalidInputError("names are for a list of results; the keys of a dict are its names")
        given = {str(name): result for name, result in results.items()}
    elif isinstance(results, Sequence) and not isinstance(results, str):
        if names is None:
            names = [str(i) for i in range(len(results))]
        if len(names) != len(results):
            raise InvalidInputError(f"there are {len(results)} results, but {len(names)} names: {list(names)!r}")
        if len(set(names)) != len(names):
            raise InvalidInputError(f"names must differ, but are {list(names)!r}; give results of one kind as a group")
        given = dict(zip(map(str, names), results, strict=True))
    else:
        raise InvalidInputError(f"results must be a result, a dict or a list of results, but are {results!r}")
    named = [entry for name, value in given.items() for entry in _members(name, value)]
    if not named:
        raise InvalidInputError("there is nothing to draw: results are empty")
    return named


def _members(name: str, value: Any) -> list[_Named]:
    """A result, or the results of a group."""
    if isinstance(value, Mapping):
        return [_Named(f"{name}: {key}", name, result) for key, result in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_Named(f"{name} #{i}" if len(value) > 1 else name, name, result) for i, result in enumerate(value, 1)]
    return [_Named(name, None, value)]


def _with_groups(named: list[_Named], groups: Mapping[str, str] | Sequence[str] | None) -> list[_Named]:
    if groups is None:
        return named
    if any(entry.group is not None for entry in named):
        raise InvalidInputError("groups are given twice: by groups= and by lists of results within results")
    names = [entry.name for entry in named]
    labels = by_name(groups, names, "groups")
    return [entry._replace(group=str(label)) for entry, label in zip(named, labels, strict=True)]


def by_name(given: Mapping[str, Any] | Sequence[Any], names: Sequence[str], what: str) -> list[Any]:
    """One entry for each name, from a dict by name or a list in order."""
    if isinstance(given, Mapping):
        if missing := [name for name in names if name not in given]:
            raise InvalidInputError(f"{what} lack an entry for {missing[0]!r}; they have {', '.join(map(repr, given))}")
        return [given[name] for name in names]
    entries = [given] if isinstance(given, str) else list(given)
    if len(entries) != len(names):
        raise InvalidInputError(f"there are {len(names)} results, but {len(entries)} {what}: {entries!r}")
    return entries


def _optima(f_opt: Any, names: Sequence[str]) -> list[float]:
    """The known optimum of each result; NaN where none is to be subtracted."""
    if f_opt is None:
        return [math.nan] * len(names)
    given = [f_opt] * len(names) if isinstance(f_opt, numbers.Real) else by_name(f_opt, names, "f_opt")
    for name, optimum in zip(names, given, strict=True):
        if not (isinstance(optimum, numbers.Real) and math.isfinite(optimum)):
            raise InvalidInputError(f"f_opt of {name!r} must be a finite number, but is {optimum!r}")
    return [float(optimum) for optimum in given]
