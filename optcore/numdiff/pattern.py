"""What is known of the pattern of a jacobian: given, or found out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.numdiff.calls import Calls
from optcore.numdiff.sparse import Pattern, read_pattern, refuse_numbers

__all__ = ["SparsePart"]

Vector = NDArray[np.float64]
#: A found pattern is compared with a real difference at every so many derivatives.
CHECK_EVERY = 10


class SparsePart:
    """The pattern of one function's jacobian.

    Args:
        given: a matrix, or "detect".
        n: number of params.

    Attributes:
        pattern: None as long as it isn't known.
    """

    def __init__(self, given: Any, n: int) -> None:
        self._detects = isinstance(given, str)
        self._n = n
        self.pattern: Pattern | None = None if self._detects else read_pattern(given, n)
        self._seen: NDArray[np.bool_] | None = None
        self._age = 0

    def probe(self, x: Vector, calls: Calls) -> bool:
        """Put NaN into one param after the other and see which values become NaN; whether nothing failed.

        Functions that sort or compare hide dependence from it, and those that raise hide all: what the first jacobian
        shows is added, and checks follow.
        """
        points = np.tile(x, (self._n, 1))
        np.fill_diagonal(points, np.nan)
        with np.errstate(invalid="ignore"):
            values = calls.round(points, "probe", with_base=True, keep_errors=True)
        if values is None:
            return False
        refuse_numbers(np.ndim(calls.base))
        seen = np.isnan(values.reshape(self._n, -1))
        seen[list(calls.raised)] = False
        self._seen = seen.T
        return True

    def learn(self, jacobian: NDArray[np.float64]) -> Pattern:
        """The pattern, now that a dense jacobian, shape (m, n), is known too."""
        assert self._seen is not None
        self.pattern = read_pattern(self._seen | (jacobian != 0), self._n)
        self._age = 0
        return self.pattern

    def forget(self) -> None:
        """The pattern turned out to be wrong."""
        self.pattern = None

    def check_direction(self, x: Vector, h: Vector) -> Vector | None:
        """A move of all params by which to compare the jacobian with a real difference; None if there is no need."""
        if not self._detects:
            return None
        self._age += 1
        if self._age % CHECK_EVERY:
            return None
        weight = 0.5 + 0.5 * np.modf(np.arange(1, x.size + 1) * 0.6180339887498949)[0]
        size = np.maximum(np.abs(x), 0.1) * np.finfo(float).eps ** 0.5
        move: Vector = np.where(h < 0, -1.0, 1.0) * np.where(h == 0, 0.0, size) * weight
        return move

    @staticmethod
    def agrees(jacobian: Any, move: Vector, moved: Any, base: Any, eps: float) -> bool:
        """Whether a jacobian, shape (m, n), explains the change of values along a move, shape (n,)."""
        real = np.asarray(moved) - np.real(base)
        size = abs(jacobian) @ np.abs(move)
        rounding = 100 * eps * np.maximum(np.abs(np.real(base)), np.max(np.abs(np.real(base)), initial=0.0))
        return bool((np.abs(real - jacobian @ move) <= 1e-2 * (size + np.abs(real)) + rounding).all())
