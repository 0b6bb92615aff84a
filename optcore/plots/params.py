"""The params along an optimization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import optree
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore.history import History
from optcore.plots.axes import AXES, XAxis, calls_so_far, check_axis, failures, history_of, positions, refuse
from optcore.plots.curves import Curve, Curves
from optcore.plots.figure import Figure
from optcore.result import OptimizeResult
from optcore.tree import Converter

__all__ = ["params_curves", "params_plot"]

_IN_LEGEND = 14  # so many lines of text are beside a figure of the usual height
_EPS = float(np.finfo(np.float64).eps)


def params_plot(
    result: OptimizeResult,
    *,
    selector: Any = None,
    x_axis: XAxis = "evaluations",
    log_x: bool = False,
    log_y: bool = False,
    x_opt: Any = None,
    max_evaluations: int | None = None,
    template: Any = None,
    palette: Sequence[str] | str | None = None,
    **unknown: Any,
) -> Figure:
    """The params at the points that the solver asked for, one line per param.

    Of more than 14 params those that moved most have colours and are in the legend; the rest is grey, and named under
    the pointer. Calls that raised or whose value was not finite have a stroke at the foot of the figure.

    Args:
        result: one result.
        selector: takes params and returns the part of them to draw; everything by default.
        x_axis: as for `criterion_plot`.
        log_x: logarithmic horizontal axis.
        log_y: logarithmic vertical axis.
        x_opt: known params, structured as params; draws the absolute distance of each param to them.
        max_evaluations: leave out what came after so many evaluations.
        template: plotly's template, by name or itself; "simple_white" by default.
        palette: a colour, or colours that are used in turn.
        **unknown: refused, with what to use instead.

    Returns:
        A plotly figure; long histories are thinned out to what can be seen.

    Raises:
        InvalidInputError: there is nothing to draw, or x_opt doesn't look like params.
        UnknownNameError: an x_axis or an argument that doesn't exist.

    >>> import optcore as om
    >>> start = {"level": 1.0, "slopes": np.ones(2)}
    >>> result = om.minimize(lambda p: p["level"] ** 2 + float(p["slopes"] @ p["slopes"]), start, "scipy_bfgs")
    >>> [trace.name for trace in om.params_plot(result, selector=lambda p: p["slopes"]).data]
    ['slopes[0]', 'slopes[1]']
    """
    refuse(params_plot, unknown)
    curves = params_curves(result, selector=selector, x_axis=x_axis, x_opt=x_opt, max_evaluations=max_evaluations)
    return curves.figure(log_x=log_x, log_y=log_y, template=template, palette=palette)


def params_curves(
    result: OptimizeResult,
    *,
    selector: Any = None,
    x_axis: XAxis = "evaluations",
    x_opt: Any = None,
    max_evaluations: int | None = None,
) -> Curves:
    """The numbers of `params_plot`, which has the same arguments; `.figure()` draws them."""
    check_axis(x_axis)
    history = history_of(result, "result", x_axis)
    chosen = _chosen(history, selector)
    shown, failed = history.asked, failures(history)
    if max_evaluations is not None:
        counted = calls_so_far(history) <= max_evaluations
        shown, failed = shown & counted, failed & counted
    points = history.flat_params[shown][:, chosen]
    y_title, floor = "Param value", None
    if x_opt is not None:
        optimum = history.flatten(x_opt)[chosen]
        points = np.abs(points - optimum)
        y_title, floor = "Distance to the known params, |x - x*|", _EPS * max(1.0, *np.abs(optimum))
    x, names = positions(history, x_axis), [history.names[i] for i in chosen]
    no_numdiff = np.zeros(len(points), dtype=bool)
    curves = tuple(Curve(name, None, x[shown], points[:, i], no_numdiff) for i, name in enumerate(names))
    return Curves(curves, AXES[x_axis], y_title, floor, _most_moved(names, points), x[failed])


def _chosen(history: History, selector: Any) -> list[int]:
    """Columns of flat_params that the selector takes, in the order of its answer."""
    n = len(history.names)
    if selector is None:
        return list(range(n))
    # Params whose entries are their own column numbers, as floats.
    selected = selector(history.unflatten(np.arange(n, dtype=float)))
    columns = [] if not optree.tree_leaves(selected) else Converter(selected).start.tolist()
    if not columns:
        raise InvalidInputError(f"selector must return a part of params, but returned {selected!r}")
    if not set(columns) <= set(range(n)) or len(set(columns)) < len(columns):
        raise InvalidInputError("selector must return a part of params as it is, not something computed from them")
    return [int(column) for column in columns]


def _most_moved(names: Sequence[str], points: NDArray[np.float64]) -> frozenset[str] | None:
    """The names for the legend; None where there is place for all."""
    if len(names) <= _IN_LEGEND or len(points) == 0:
        return None
    moved = np.ptp(points, axis=0)
    return frozenset(names[i] for i in np.argsort(-moved, kind="stable")[:_IN_LEGEND])
