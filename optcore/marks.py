"""What kind of function a user function is: scalar, least squares or likelihood.

A mark wraps a function, it doesn't change it. Functions without a mark are read by their return annotation
(`om.ScalarFunctionValue`, `om.LeastSquaresFunctionValue`, `om.LikelihoodFunctionValue`) and are scalar otherwise.
"""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

__all__ = [
    "FunctionValue",
    "Kind",
    "LeastSquaresFunctionValue",
    "LikelihoodFunctionValue",
    "ScalarFunctionValue",
    "kind_of",
    "least_squares",
    "likelihood",
    "scalar",
]

F = TypeVar("F", bound=Callable[..., Any])


class Kind(StrEnum):
    """What the value of a function means."""

    SCALAR = "scalar"  # the objective itself
    LEAST_SQUARES = "least_squares"  # residuals; the objective is the sum of their squares
    LIKELIHOOD = "likelihood"  # contributions; the objective is their sum


@dataclass(frozen=True)
class FunctionValue:
    """A value with information that the caller wants to keep beside it; only `value` is used."""

    value: Any
    info: dict[str, Any] | None = None


class ScalarFunctionValue(FunctionValue):
    """The value of a scalar function."""


class LeastSquaresFunctionValue(FunctionValue):
    """The residuals of a least-squares function."""


class LikelihoodFunctionValue(FunctionValue):
    """The contributions of a likelihood function."""


_ANNOTATIONS = {
    float: Kind.SCALAR,
    ScalarFunctionValue: Kind.SCALAR,
    LeastSquaresFunctionValue: Kind.LEAST_SQUARES,
    LikelihoodFunctionValue: Kind.LIKELIHOOD,
}
_ATTRIBUTE = "_optcore_kind"


def _mark(function: F, kind: Kind) -> F:
    if not callable(function):
        raise TypeError(f"om.mark.{kind} takes a function, but got {function!r}")

    @functools.wraps(function)
    def marked(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    setattr(marked, _ATTRIBUTE, kind.value)  # plain, so that a mark doesn't make workers import this package
    return typing.cast("F", marked)


def scalar(function: F) -> F:
    """Mark a function (or the derivative of one) whose value is the objective."""
    return _mark(function, Kind.SCALAR)


def least_squares(function: F) -> F:
    """Mark a function whose value are residuals, or the jacobian of such a function.

    >>> import numpy as np
    >>> import optcore as om
    >>> @om.mark.least_squares
    ... def residuals(x):
    ...     return x - np.array([1.0, 2.0])
    >>> om.minimize(residuals, np.zeros(2), "scipy_ls_lm").params.round(6)
    array([1., 2.])
    """
    return _mark(function, Kind.LEAST_SQUARES)


def likelihood(function: F) -> F:
    """Mark a function whose value are likelihood contributions, or the jacobian of such a function."""
    return _mark(function, Kind.LIKELIHOOD)


def kind_of(function: Callable[..., Any]) -> Kind:
    """The kind by mark, else by return annotation, else scalar.

    The annotation of a function that returns value and derivative is a tuple; its first entry decides.
    """
    kind = getattr(function, _ATTRIBUTE, None)
    if isinstance(function, functools.partial) and kind is None:
        return kind_of(function.func)
    if kind is not None:
        return Kind(kind)
    annotations = getattr(function, "__annotations__", None)
    if not annotations or "return" not in annotations:
        return Kind.SCALAR
    try:
        annotation = _resolved(annotations["return"], function)
    except (TypeError, NameError, AttributeError, SyntaxError):  # names that can't be resolved here, or no annotation
        return Kind.SCALAR
    if typing.get_origin(annotation) is tuple:
        annotation = (*typing.get_args(annotation), None)[0]
    return _ANNOTATIONS.get(typing.cast("type", annotation), Kind.SCALAR)


def _resolved(annotation: Any, function: Any) -> Any:
    """What a function's annotation stands for. Those of its params may hold names that only a type checker knows."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    alone = types.SimpleNamespace(__annotations__={"return": annotation})
    return typing.get_type_hints(alone, getattr(function, "__globals__", {}))["return"]
