"""What a history can be drawn against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError, unknown_name
from optcore.history import FUN, FUN_AND_JAC, JAC, History
from optcore.result import OptimizeResult

__all__ = ["AXES", "XAxis", "calls_so_far", "check_axis", "failures", "history_of", "positions", "refuse"]

XAxis = Literal["evaluations", "gradients", "batches", "seconds", "points"]

#: Titles by the name of the choice.
AXES: dict[str, str] = {
    "evaluations": "Number of evaluations",
    "gradients": "Number of evaluations / (n + 1)",
    "batches": "Number of batches (calls that could run at the same time)",
    "seconds": "Time in seconds",
    "points": "Number of points that the solver asked for",
}
assert tuple(AXES) == get_args(XAxis)

#: Arguments of other libraries and of older versions, and what to do instead.
ELSEWHERE = {
    "backend": "figures are plotly's; figure.to_image and figure.write_html turn them into files",
    "stack_multistart": "draw the results of several starts as one group: {'multistart': [result, ...]}",
    "show_exploration": "every evaluation is drawn",
    "log_scale": "it is called log_y",
    "log": "say log_x=True or log_y=True",
    "x": "it is called x_axis",
    "title": "use figure.update_layout(title='...')",
}


def refuse(function: Any, unknown: Mapping[str, Any]) -> None:
    """Raise InvalidInputError or UnknownNameError for arguments that a plot doesn't have; says what to use."""
    for name in unknown:
        if name in ELSEWHERE:
            raise InvalidInputError(f"{function.__name__} has no argument {name!r}: {ELSEWHERE[name]}")
        known = [known for known in function.__annotations__ if known not in ("unknown", "return")]
        raise unknown_name(f"argument of {function.__name__}", name, known)


def check_axis(x_axis: object) -> None:
    """Raise UnknownNameError for a choice that there isn't."""
    if x_axis not in AXES:
        raise unknown_name("x_axis", x_axis, AXES)


def history_of(result: object, name: str, x_axis: XAxis) -> History:
    """The history of a result that can be drawn against `x_axis`; errors call it by name."""
    if not isinstance(result, OptimizeResult):
        raise InvalidInputError(f"{name!r} must be a result of om.minimize or om.maximize, but is {result!r}")
    history = result.history
    if len(history) == 0:
        raise InvalidInputError(f"{name!r} has no history; optimize with collect_history=True")
    calls = result.n_fun_evals + result.n_jac_evals + result.n_fun_and_jac_evals
    if len(history) < calls and x_axis not in ("seconds", "points"):
        raise InvalidInputError(
            f"the history of {name!r} has {len(history)} of {calls} calls, so that it isn't known after how many "
            f"{x_axis} they were; use x_axis='seconds', or optimize with collect_history=True"
        )
    return history


def calls_so_far(history: History) -> NDArray[np.float64]:
    """How many calls of the objective had been made, up to and including each row, shape (k,)."""
    return np.asarray(np.cumsum(history.rows.task != JAC, dtype=np.float64))


def failures(history: History) -> NDArray[np.bool_]:
    """Which calls raised, or gave the solver a value that is not finite, shape (k,)."""
    task = history.rows.task
    failed = ((task == FUN) | (task == FUN_AND_JAC)) & ~np.isfinite(history.fun)
    failed[np.flatnonzero(history.failed)] = True  # of derivatives too
    return np.asarray(failed)


def positions(history: History, x_axis: XAxis) -> NDArray[np.float64]:
    """Where each row is on the axis, shape (k,), not decreasing.

    Evaluations are calls of fun and fun_and_jac, those for numerical derivatives included.
    """
    if x_axis == "evaluations":
        return calls_so_far(history)
    if x_axis == "gradients":
        return np.asarray(calls_so_far(history) / (history.n_free + 1))
    if x_axis == "batches":
        return np.cumsum(np.diff(history.batch, prepend=-1) != 0, dtype=np.float64)
    if x_axis == "points":
        return np.cumsum(history.asked, dtype=np.float64)
    # Calls of one batch may end in another order than they are listed in.
    return np.asarray(np.maximum.accumulate(history.stop_time))
