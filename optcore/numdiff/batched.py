"""Functions that take many points at once: one call for a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidFunctionError, InvalidInputError
from optcore.functions import FlatFun
from optcore.numdiff.options import NumdiffOptions

__all__ = ["take_many", "together"]


class _Outcome(NamedTuple):
    value: Any
    error: BaseException | None
    start: float
    stop: float


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


def together(function: Any, points: NDArray[Any]) -> Iterator[_Outcome]:
    """Evaluate all points by one call. An exception is that of every point."""
    is_complex = points.dtype.kind == "c"
    start = perf_counter()
    try:
        answers = function.function.answers(points.copy(), function.kwargs)
    except Exception as error:  # noqa: BLE001  whatever a user function raises
        stop = perf_counter()
        yield from (_Outcome(None, error, start, stop) for _ in points)
        return
    stop = perf_counter()
    for answer in answers.astype(np.float64).tolist() if _are_numbers(answers) else answers:
        try:
            value = function.read_any(answer, is_complex=is_complex)
        except Exception as error:  # noqa: BLE001  what doesn't fit is the user's too
            yield _Outcome(None, error, start, stop)
        else:
            yield _Outcome(value, None, start, stop)


def _are_numbers(answers: NDArray[Any]) -> bool:
    return answers.ndim == 1 and answers.dtype == np.float64
