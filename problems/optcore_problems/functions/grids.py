"""Boundary value problems by differences or sums at points of an interval or a square."""

# ruff: noqa: D102 - LeastSquaresFunction documents the methods

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np

from optcore_problems.functions.references import CUTEST, MGH
from optcore_problems.functions.roots import optimum_at_root
from optcore_problems.functions.structure import SparseFunction, Structure, band, five_points
from optcore_problems.least_squares import (
    EXACT,
    LeastSquaresFunction,
    Matrix,
    Optimum,
    Sizes,
    Vector,
    refuse_dense,
)
from optcore_problems.namespace import less, per_column

__all__ = ["Bratu2D", "DiscreteBoundaryValue", "DiscreteIntegral"]


class _OnGrid(LeastSquaresFunction):
    """Functions of values at the points t_i = i h, h = 1 / (n + 1), of the unit interval."""

    residual_class = "zero_residual"
    takes_columns = True

    def _prepare(self) -> None:
        self._h = 1.0 / (self.n + 1)
        self._t = np.arange(1.0, self.n + 1) * self._h
        self._shift = self._t + 1.0

    def start(self) -> Vector:
        return self._t * (self._t - 1.0)

    def optimum(self) -> Optimum:
        return optimum_at_root(self)


class DiscreteBoundaryValue(_OnGrid, SparseFunction):
    """u'' = (u + t + 1)^3 / 2, u(0) = u(1) = 0, by differences at n points inside.

    r_i = 2 x_i - x_(i-1) - x_(i+1) + h^2 (x_i + t_i + 1)^3 / 2 with t_i = i h, h = 1 / (n + 1), x_0 = x_(n+1) = 0. Its
    only zero has no closed form: the minimum is 0.
    """

    name = "discrete_boundary_value"
    sizes = Sizes(1, None, lambda n: n, "n >= 1, m = n")
    reference = MGH + "28; More & Cosnard (1979), ACM Trans. Math. Softw. 5(1), 64-85"
    mgh = 28

    def residuals(self, x: Any, xp: Any) -> Any:
        u = x + per_column(x, self._shift)
        r = u * u
        r *= u
        r *= 0.5 * self._h**2
        r += 2.0 * x
        r = less(r, np.s_[1:], x[:-1], xp)
        return less(r, np.s_[:-1], x[1:], xp)

    def _structure(self) -> Structure:
        return band(self.n, 1, 1)

    def _entries(self, x: Vector) -> Vector:
        u = x + self._shift
        u *= u
        u *= 1.5 * self._h**2
        data = np.full((self.n, 3), -1.0)
        np.add(u, 2.0, out=data[:, 1])
        return data.ravel()[1:-1]


class DiscreteIntegral(_OnGrid):
    """x(t) + int k(s, t) (x(s) + s + 1)^3 ds / 2 = 0 by a sum over n points, k Green's function of the interval.

    r_i = x_i + h ((1 - t_i) sum_(j <= i) t_j u_j^3 + t_i sum_(j > i) (1 - t_j) u_j^3) / 2 with u_j = x_j + t_j + 1,
    t_j = j h, h = 1 / (n + 1). The same continuous problem as discrete_boundary_value; the jacobian is dense. Its zero
    has no closed form: the minimum is 0.
    """

    name = "discrete_integral"
    sizes = Sizes(1, None, lambda n: n, "n >= 1, m = n")
    reference = MGH + "29; More & Cosnard (1979), ACM Trans. Math. Softw. 5(1), 64-85"
    mgh = 29
    remarks = (
        "cminpack's jacobian of it, at commit 32d343a, is the unit matrix: its minimum of two numbers is one of ints.",
    )

    def residuals(self, x: Any, xp: Any) -> Any:  # noqa: ARG002  methods of arrays are enough
        t = per_column(x, self._t)
        u = x + per_column(x, self._shift)
        cubes = 0.5 * self._h * u * u * u
        # With S and T the sums of u_j^3 and t_j u_j^3 over j <= i, the sums of the definition are T_i and
        # (S_n - T_n) - (S_i - T_i): in proportion to n, not to n^2.
        S, T = cubes.cumsum(axis=0), (t * cubes).cumsum(axis=0)
        return x + T + t * (S[-1] - T[-1] - S)

    def jacobian(self, x: Vector) -> Matrix:
        t = self._t
        refuse_dense(self)
        kernel = np.minimum.outer(t, t)
        kernel *= 1.0 - np.maximum.outer(t, t)
        kernel *= 1.5 * self._h * (x + self._shift) ** 2
        kernel[np.diag_indices(self.n)] += 1.0
        return kernel


def _square(n: int) -> int:
    """The smallest square that isn't below n."""
    return (isqrt(n - 1) + 1) ** 2


class Bratu2D(SparseFunction):
    """-Laplacian u = 4 exp(u) on the unit square, u = 0 on its boundary, by five points at k^2 = n of them inside.

    r = 4 u - (u of the four neighbours) - h^2 4 exp(u) with h = 1 / (k + 1), the unknowns line by line. The factor 4 is
    below the critical one, 6.8, beyond which there is no solution; here there are two, and the start, u = 0, leads to
    the lower one. None has a closed form: the minimum is 0.
    """

    name = "bratu_2d"
    sizes = Sizes(4, None, lambda n: n, "n = 4, 9, 16, ..., a square, m = n", at_least=_square)
    reference = (
        "More (1990), A collection of nonlinear model problems, Lect. Appl. Math. 26, 723-762, problem 3; "
        "as BRATU2D " + CUTEST
    )

    def _prepare(self) -> None:
        self._k = isqrt(self.n)
        self._factor = 4.0 / (self._k + 1) ** 2

    def start(self) -> Vector:
        return np.zeros(self.n)

    def residuals(self, x: Any, xp: Any) -> Any:
        u = x.reshape(self._k, self._k, *x.shape[1:])
        r = xp.exp(u)
        r *= -self._factor
        r += 4.0 * u
        r = less(r, np.s_[1:], u[:-1], xp)
        r = less(r, np.s_[:-1], u[1:], xp)
        r = less(r, np.s_[:, 1:], u[:, :-1], xp)
        r = less(r, np.s_[:, :-1], u[:, 1:], xp)
        return r.reshape(x.shape)

    def _structure(self) -> Structure:
        return five_points(self._k)

    def _entries(self, x: Vector) -> Vector:
        k = self._k
        diagonal = 4.0 - self._factor * np.exp(x)
        data = np.full(self._places.size, -1.0)
        # A point has five entries, one less at each side of the square: the diagonal is every fifth of a line inside,
        # every fourth of the first and of the last one.
        first, inside, last = np.split(data, [4 * k - 2, data.size - (4 * k - 2)])
        first[::4] = diagonal[:k]
        inside.reshape(k - 2, 5 * k - 2)[:, 1::5] = diagonal[k:-k].reshape(k - 2, k)
        last[1::4] = diagonal[-k:]
        return data

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT)
