"""Functions for any number of variables whose jacobians are sparse.

Jacobians are filled row by row into places that are known beforehand, so residuals and jacobians take time and memory
in proportion to the number of variables.
"""

# ruff: noqa: D102 - LeastSquaresFunction documents the methods

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from math import sqrt
from typing import Any

import numpy as np

from optcore_problems.functions.references import MGH
from optcore_problems.functions.roots import optimum_at_root
from optcore_problems.functions.structure import SparseFunction, Structure, band, copy_windows
from optcore_problems.least_squares import EXACT, Matrix, Optimum, Sizes, Vector
from optcore_problems.namespace import interleaved, less
from optcore_problems.problem import LocalOptimum

__all__ = [
    "BroydenBanded",
    "BroydenTridiagonal",
    "ExtendedPowellSingular",
    "ExtendedRosenbrock",
    "VariablyDimensioned",
]

SPEDICATO = "; Spedicato (1975), CISE report N-175, Milano"


class ExtendedRosenbrock(SparseFunction):
    """r_(2i-1) = 10 (x_(2i) - x_(2i-1)^2), r_(2i) = 1 - x_(2i-1): n/2 copies of Rosenbrock's function.

    i = 1 ... n/2. Minimum 0 at (1, ..., 1).
    """

    name = "ext_rosenbrock"
    sizes = Sizes(2, None, lambda n: n, "n = 2, 4, 6, ..., m = n", at_least=lambda n: n + n % 2)
    reference = MGH + "21" + SPEDICATO
    mgh = 21

    def start(self) -> Vector:
        return np.tile([-1.2, 1.0], self.n // 2)

    def residuals(self, x: Any, xp: Any) -> Any:
        first = x[::2]
        bend = first * first
        bend -= x[1::2]
        bend *= -10.0
        return interleaved((bend, 1.0 - first), xp)

    def _structure(self) -> Structure:
        return _blocks(self.n, [[0, 1], [0, -1]])

    def _entries(self, x: Vector) -> Vector:
        data = np.empty((self.n // 2, 3))
        data[:, 0] = -20.0 * x[::2]
        data[:, 1] = 10.0
        data[:, 2] = -1.0
        return data.ravel()

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.ones(self.n))


class ExtendedPowellSingular(SparseFunction):
    """n/4 copies of Powell's singular function, each of four variables a, b, c, d.

    r = (a + 10 b, sqrt(5) (c - d), (b - 2 c)^2, sqrt(10) (a - d)^2). Minimum 0 at 0, where the jacobian has half
    of the full rank.
    """

    name = "ext_powell_singular"
    sizes = Sizes(4, None, lambda n: n, "n = 4, 8, 12, ..., m = n", at_least=lambda n: n + -n % 4)
    reference = MGH + "22" + SPEDICATO
    mgh = 22

    def start(self) -> Vector:
        return np.tile([3.0, -1.0, 0.0, 1.0], self.n // 4)

    def residuals(self, x: Any, xp: Any) -> Any:
        a, b, c, d = (x[i::4] for i in range(4))
        sums, differences, e, f = 10.0 * b, c - d, -2.0 * c, a - d
        sums += a
        differences *= sqrt(5.0)
        e += b
        e *= e
        f *= f
        f *= sqrt(10.0)
        return interleaved((sums, differences, e, f), xp)

    def _structure(self) -> Structure:
        return _blocks(self.n, [[0, 1], [2, 3], [1, 2], [0, 3]])

    def _entries(self, x: Vector) -> Vector:
        data = self._constants.copy()
        e, f = -2.0 * x[2::4], x[::4] - x[3::4]
        e += x[1::4]
        f *= 2.0 * sqrt(10.0)
        np.multiply(e, 2.0, out=data[:, 4])
        np.multiply(e, -4.0, out=data[:, 5])
        data[:, 6] = f
        np.negative(f, out=data[:, 7])
        return data.ravel()

    @cached_property
    def _constants(self) -> Matrix:
        """The entries of each block; those that x decides are zero."""
        return np.tile([1.0, 10.0, sqrt(5.0), -sqrt(5.0), 0.0, 0.0, 0.0, 0.0], (self.n // 4, 1))

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.zeros(self.n))


class VariablyDimensioned(SparseFunction):
    """r_i = x_i - 1 for i <= n, r_(n+1) = s, r_(n+2) = s^2 with s = sum_j j (x_j - 1). Minimum 0 at (1, ..., 1).

    The jacobian has a diagonal and two full rows below it, so every pair of columns meets: differences along colours
    need as many evaluations as any others.
    """

    name = "variably_dimensioned"
    sizes = Sizes(1, None, lambda n: n + 2, "n >= 1, m = n + 2")
    reference = MGH + "25"
    mgh = 25

    def _prepare(self) -> None:
        self._weights = np.arange(1.0, self.n + 1)

    def start(self) -> Vector:
        return 1.0 - self._weights / self.n

    def residuals(self, x: Any, xp: Any) -> Any:
        d = x - 1.0
        s = (self._weights @ d)[None]
        return xp.concatenate((d, s, s * s))

    def _structure(self) -> Structure:
        i = np.arange(self.n, dtype=np.int32)
        ends = np.array([2 * self.n, 3 * self.n], dtype=np.int32)
        return Structure(np.concatenate((i, i, i)), np.concatenate((i, [self.n], ends), dtype=np.int32), self.n)

    def _entries(self, x: Vector) -> Vector:
        data = np.empty((3, self.n))
        data[0] = 1.0
        data[1] = self._weights
        np.multiply(self._weights, 2.0 * (self._weights @ (x - 1.0)), out=data[2])
        return data.ravel()

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.ones(self.n))


class BroydenTridiagonal(SparseFunction):
    """r_i = (3 - 2 x_i) x_i - x_(i-1) - 2 x_(i+1) + 1 with x_0 = x_(n+1) = 0. Minimum 0.

    With many variables there are other strict minima, in which some neighbours leave the solution's level: 0.7125 with
    the last ten of them, where scalar solvers end from the start with n = 1000, and 1.0249 with a score inside.
    """

    name = "broyden_tridiagonal"
    sizes = Sizes(1, None, lambda n: n, "n >= 1, m = n")
    reference = MGH + "30; Broyden (1965), Math. Comp. 19, 577-593"
    mgh = 30
    #: From so many variables on; found by Newton's method for the gradient, with a positive definite hessian.
    _LOCAL = ((30, LocalOptimum(0.7125279095860828)), (100, LocalOptimum(1.024916577439663)))

    def start(self) -> Vector:
        return np.full(self.n, -1.0)

    def residuals(self, x: Any, xp: Any) -> Any:
        y = 2.0 * x - 1.0  # so that 3 - 2 x_i = 2 - y_i and 1 - 2 x_(i+1) = -y_(i+1)
        r = 2.0 - y
        r *= x
        r = less(r, np.s_[:-1], y[1:], xp)
        r = less(r, np.s_[-1:], -1.0, xp)
        return less(r, np.s_[1:], x[:-1], xp)

    def _structure(self) -> Structure:
        return band(self.n, 1, 1)

    def _entries(self, x: Vector) -> Vector:
        data = np.empty((self.n, 3))
        data[:, 0] = -1.0
        data[:, 1] = 3.0 - 4.0 * x
        data[:, 2] = -2.0
        return data.ravel()[1:-1]

    def optimum(self) -> Optimum:
        known = optimum_at_root(self)
        return replace(known, local=tuple(local for n, local in self._LOCAL if self.n >= n))


class BroydenBanded(SparseFunction):
    """r_i = x_i (2 + 5 x_i^2) + 1 - sum_j x_j (1 + x_j), over the five j before i and the one after. Minimum 0."""

    name = "broyden_banded"
    sizes = Sizes(1, None, lambda n: n, "n >= 1, m = n")
    reference = MGH + "31; Broyden (1971), Math. Comp. 25, 285-294"
    mgh = 31
    remarks = (
        "CUTEst's BROYDNBD leaves out the 1, has squares for cubes and cubes for squares in most of its rows, and "
        "starts at (1, ..., 1).",
    )

    def start(self) -> Vector:
        return np.full(self.n, -1.0)

    def residuals(self, x: Any, xp: Any) -> Any:
        squares = x * x
        r = 5.0 * squares
        r += 2.0
        r *= x
        r += 1.0
        g = squares
        g += x
        for k in range(1, min(6, self.n)):
            r = less(r, np.s_[k:], g[:-k], xp)
        return less(r, np.s_[:-1], g[1:], xp)

    def _structure(self) -> Structure:
        return band(self.n, 5, 1)

    @cached_property
    def _edge(self) -> tuple[int, int, Any, Any]:
        """Where the entries of the rows with seven of them begin and end; the other entries; those on the diagonal."""
        places = self._places
        first, last = (20, places.size - 6) if self.n >= 7 else (0, 0)
        diagonal = places.diagonal
        is_outside = (diagonal < first) | (diagonal >= last)
        return first, last, np.r_[:first, last : places.size], diagonal[is_outside]

    def _entries(self, x: Vector) -> Vector:
        first, last, edge, edge_diagonal = self._edge
        beside = -2.0 * x
        beside -= 1.0
        diagonal = x * x
        diagonal *= 15.0
        diagonal += 2.0
        data = np.empty(self._places.size)
        copy_windows(beside, data[first:last].reshape(-1, 7))
        data[edge] = beside[self._places.indices[edge]]
        data[first + 5 : last : 7] = diagonal[5:-1]
        data[edge_diagonal] = diagonal[self._places.indices[edge_diagonal]]
        return data

    def optimum(self) -> Optimum:
        return optimum_at_root(self)


def _blocks(n: int, rows: list[list[int]]) -> Structure:
    """A block diagonal structure from the columns of one block's rows; -1 is none."""
    columns = np.array(rows)
    block = np.arange(0, n, len(rows))[:, None, None]
    return Structure.of_rows(np.where(columns < 0, n, columns + block).reshape(n, -1), n)
