"""Three linear functions: full rank, rank one, and rank one with zero rows and columns."""

# ruff: noqa: D102, ARG002 - LeastSquaresFunction documents the methods and sets their arguments

from __future__ import annotations

from typing import Any

import numpy as np

from optcore_problems.functions.references import MGH
from optcore_problems.least_squares import (
    EXACT,
    LeastSquaresFunction,
    Matrix,
    Optimum,
    Sizes,
    Vector,
    refuse_dense,
)
from optcore_problems.namespace import per_column

__all__ = ["LinearFullRank", "LinearRank1", "LinearRank1Zero"]


class LinearFullRank(LeastSquaresFunction):
    """r_i = x_i - (2/m) sum_j x_j - 1 for i <= n, without x_i for i > n. Minimum m - n at -(1, ..., 1)."""

    name = "linear_full_rank"
    sizes = Sizes(1, None, lambda n: 5 * n, "n >= 1, m >= n (5 n unless given)", any_m=True)
    reference = MGH + "32"
    mgh = 32
    residual_class = "linear"
    takes_columns = True

    def _prepare(self) -> None:
        self._scale = 2.0 / self.m

    def start(self) -> Vector:
        return np.ones(self.n)

    def residuals(self, x: Any, xp: Any) -> Any:
        padding = xp.zeros((self.m - self.n, *x.shape[1:]), x.dtype)
        return xp.concatenate((x, padding)) - (self._scale * x.sum(axis=0) + 1.0)

    def jacobian(self, x: Vector) -> Matrix:
        refuse_dense(self)
        J = np.full((self.m, self.n), -self._scale)
        J[np.diag_indices(self.n)] += 1.0
        return J

    def optimum(self) -> Optimum:
        return Optimum(float(self.m - self.n), EXACT, np.full(self.n, -1.0))


class _RankOne(LeastSquaresFunction):
    """r = a (b'x) - 1; what differs is a, shape (m,), and b, shape (n,)."""

    residual_class = "linear"
    takes_columns = True
    _rows: Vector
    _columns: Vector

    def start(self) -> Vector:
        return np.ones(self.n)

    def residuals(self, x: Any, xp: Any) -> Any:
        return per_column(x, self._rows) * (self._columns @ x) - 1.0

    def jacobian(self, x: Vector) -> Matrix:
        refuse_dense(self)
        return np.outer(self._rows, self._columns)

    def _shortest(self, level: float) -> Vector:
        """The shortest of the minimizers, which are all x with b'x = level."""
        return self._columns * (level / float(self._columns @ self._columns))


class LinearRank1(_RankOne):
    """r_i = i sum_j j x_j - 1. Minimum m (m - 1) / (2 (2 m + 1)) wherever sum_j j x_j = 3 / (2 m + 1)."""

    name = "linear_rank1"
    sizes = Sizes(1, None, lambda n: 5 * n, "n >= 1, m >= n (5 n unless given)", any_m=True)
    reference = MGH + "33"
    mgh = 33

    def _prepare(self) -> None:
        self._rows = np.arange(1.0, self.m + 1)
        self._columns = np.arange(1.0, self.n + 1)

    def optimum(self) -> Optimum:
        m = self.m
        return Optimum(m * (m - 1) / (2 * (2 * m + 1)), "closed form", self._shortest(3 / (2 * m + 1)))


class LinearRank1Zero(_RankOne):
    """r_i = (i - 1) sum_j j x_j - 1 with 1 < j < n, and r_1 = r_m = -1.

    Minimum (m^2 + 3 m - 6) / (2 (2 m - 3)) wherever the sum is 3 / (2 m - 3).
    """

    name = "linear_rank1_zero"
    sizes = Sizes(3, None, lambda n: 5 * n, "n >= 3, m >= n (5 n unless given)", any_m=True)
    reference = MGH + "34"
    mgh = 34

    def _prepare(self) -> None:
        self._rows = np.arange(0.0, self.m)
        self._rows[-1] = 0.0
        self._columns = np.arange(1.0, self.n + 1)
        self._columns[[0, -1]] = 0.0

    def optimum(self) -> Optimum:
        m = self.m
        return Optimum((m * m + 3 * m - 6) / (2 * (2 * m - 3)), "closed form", self._shortest(3 / (2 * m - 3)))
