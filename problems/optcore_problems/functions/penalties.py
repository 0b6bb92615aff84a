"""Penalty functions: a small pull towards a point, and one large residual that holds x on a sphere."""

# ruff: noqa: D102 - LeastSquaresFunction documents the methods

from __future__ import annotations

from math import acos, cos, sqrt
from typing import Any

import numpy as np

from optcore_problems.functions.optima import PENALTY_2
from optcore_problems.functions.references import MGH
from optcore_problems.least_squares import UNKNOWN, LeastSquaresFunction, Matrix, Optimum, Sizes, Vector
from optcore_problems.namespace import per_column

__all__ = ["Penalty1", "Penalty2"]

GILL = "; Gill, Murray & Pitfield (1972), National Physical Laboratory report NAC 11"

#: Weight of the pull, the a of the publication.
_PULL = 1e-5


class Penalty1(LeastSquaresFunction):
    """r_i = sqrt(a) (x_i - 1) for i <= n, r_(n+1) = sum_j x_j^2 - 1/4, with a = 10^-5.

    At the minimum all x_j are equal, to the largest root of 2 n s^3 - (1/2 - a) s - a.
    """

    name = "penalty_1"
    takes_columns = True
    sizes = Sizes(1, None, lambda n: n + 1, "n >= 1, m = n + 1")
    reference = MGH + "23" + GILL
    mgh = 23
    residual_class = "nonzero_residual"

    def start(self) -> Vector:
        return np.arange(1.0, self.n + 1)

    def residuals(self, x: Any, xp: Any) -> Any:
        return xp.concatenate((sqrt(_PULL) * (x - 1.0), (x * x).sum(axis=0, keepdims=True) - 0.25))

    def jacobian(self, x: Vector) -> Matrix:
        J = np.zeros((self.m, self.n))
        J[np.diag_indices(self.n)] = sqrt(_PULL)
        J[-1] = 2.0 * x
        return J

    def optimum(self) -> Optimum:
        # s^3 = p s + q by Vieta; the last residual at the minimum follows from the gradient, without cancellation.
        n, p, q = self.n, (0.5 - _PULL) / (2.0 * self.n), _PULL / (2.0 * self.n)
        s = 2.0 * sqrt(p / 3.0) * cos(acos(1.5 * q / p * sqrt(3.0 / p)) / 3.0)
        outside = _PULL * (1.0 - s) / (2.0 * s)
        return Optimum(n * _PULL * (s - 1.0) ** 2 + outside**2, "closed form", np.full(n, s))


class Penalty2(LeastSquaresFunction):
    """r_1 = x_1 - 1/5, pulls towards exponentials, and r_2n = sum_j (n - j + 1) x_j^2 - 1.

    For i = 2 ... n, r_i = sqrt(a) (exp(x_i / 10) + exp(x_(i-1) / 10) - y_i) with y_i = exp(i / 10) + exp((i-1) / 10),
    and r_(n-1+i) = sqrt(a) (exp(x_i / 10) - exp(-1/10)); a = 10^-5.
    """

    name = "penalty_2"
    takes_columns = True
    sizes = Sizes(1, None, lambda n: 2 * n, "n >= 1, m = 2 n")
    reference = MGH + "24" + GILL
    mgh = 24
    residual_class = "nonzero_residual"
    remarks = ("NLSProblems.jl has y_(i-1) for y_i.",)

    def _prepare(self) -> None:
        grown = np.exp(np.arange(1.0, self.n + 1) / 10.0)
        self._y = grown[1:] + grown[:-1]
        self._floor = np.exp(-0.1)
        self._weights = np.arange(self.n, 0.0, -1.0)

    def start(self) -> Vector:
        return np.full(self.n, 0.5)

    def residuals(self, x: Any, xp: Any) -> Any:
        grown = xp.exp(x / 10.0)
        pairs = grown[1:] + grown[:-1] - per_column(x, self._y)
        on_sphere = (per_column(x, self._weights) * x * x).sum(axis=0, keepdims=True) - 1.0
        pull = sqrt(_PULL)
        return xp.concatenate((x[:1] - 0.2, pull * pairs, pull * (grown[1:] - self._floor), on_sphere))

    def jacobian(self, x: Vector) -> Matrix:
        n, i = self.n, np.arange(1, self.n)
        slope = sqrt(_PULL) / 10.0 * np.exp(x / 10.0)
        J = np.zeros((self.m, n))
        J[0, 0] = 1.0
        J[i, i] = J[n - 1 + i, i] = slope[1:]
        J[i, i - 1] = slope[:-1]
        J[-1] = 2.0 * self._weights * x
        return J

    def optimum(self) -> Optimum:
        return PENALTY_2.get(self.n, UNKNOWN)
