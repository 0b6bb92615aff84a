"""Functions that take many points at once: one call for a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, InvalidInputError
from optcore.functions import FlatFun
from optcore.marks import Kind
from optcore.numdiff.options import NumdiffOptions

__all__ = ["take_many", "together"]


class _Many:
    """A user function of points of shape (k, n), called with one of shape (n,)."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, x: NDArray[Any], **kwargs: Any) -> Any:
        return self.answers(x[None], kwargs)[0]

    def answers(self, points: NDArray[Any], kwargs: dict[str, Any]) -> NDArray[Any]:
        """The answers, shape (k, ...), for points of shape (k, n)."""
        answers = np.asarray(self.function(points, **kwargs))
        if answers.shape[:1] != (len(points),):
            raise InvalidFunctionError(
                f"with batch_evaluator='batch' fun gets params of shape {points.shape} and must return one value, or "
                f"one row of values, for each of the {len(points)} rows, but returned shape {answers.shape}"
            )
        return answers


def take_many(function: FlatFun, options: NumdiffOptions, *, is_vector: bool) -> None:
    """Prepare a function that takes many points at once, if the options say that it does, for calls with one.

    Raises:
        InvalidInputError: params are not a vector.
    """
    if options.batch_evaluator != "batch" or isinstance(function.function, _Many):
        return
    if not is_vector:
        raise InvalidInputError(
            "batch_evaluator='batch' needs params that are a 1-d numpy array, since fun gets an array of shape (k, n)"
        )
    function.function = _Many(function.function)


def together(
    function: FlatFun, points: NDArray[Any]
) -> tuple[Sequence[Any] | NDArray[Any], Sequence[float] | NDArray[Any]]:
    """Outputs and scalar values at all points, by one call; an answer that doesn't fit is an exception among them."""
    answers = function.function.answers(points, function.kwargs)  # type: ignore[attr-defined]  # it is a _Many
    if answers.ndim == 1 and answers.dtype == np.float64 and function.kind is Kind.SCALAR:
        return answers, answers
    is_complex = points.dtype.kind == "c"
    outputs, values = [], []
    for answer in answers.tolist() if answers.ndim == 1 and answers.dtype == np.float64 else answers:
        try:
            output, value = function.read_any(answer, is_complex=is_complex)
        except Exception as error:  # noqa: BLE001  what doesn't fit is the user's too
            output, value = error, float("nan")
        outputs.append(output)
        values.append(value)
    return outputs, values
