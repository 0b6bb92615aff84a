"""Systems for any number of variables: Brown's, trigonometric, bdqrtic, cube, Mancino's."""

# ruff: noqa: D102 - LeastSquaresFunction documents the methods

from __future__ import annotations

from typing import Any

import numpy as np

from optcore_problems.functions.optima import BDQRTIC, MANCINO_ROOTS, TRIGONOMETRIC_LOCAL
from optcore_problems.functions.references import CUTEST, MGH
from optcore_problems.least_squares import (
    EXACT,
    UNKNOWN,
    LeastSquaresFunction,
    Matrix,
    Optimum,
    Sizes,
    Vector,
    refuse_dense,
)
from optcore_problems.namespace import per_column
from optcore_problems.problem import LocalOptimum

__all__ = ["Bdqrtic", "BrownAlmostLinear", "Cube", "Mancino", "Trigonometric"]


class BrownAlmostLinear(LeastSquaresFunction):
    """r_i = x_i + sum_j x_j - (n + 1) for i < n, r_n = prod_j x_j - 1.

    Minimum 0 at (1, ..., 1) and at (a, ..., a, a^(1-n)) for other roots a of n a^n - (n + 1) a^(n-1) + 1.
    The value 1 at (0, ..., 0, n + 1) is no strict minimum, but all the same where many solvers end.
    """

    name = "brown_almost_linear"
    takes_columns = True
    sizes = Sizes(2, None, lambda n: n, "n >= 2, m = n")
    reference = MGH + "27; Brown (1969), SIAM J. Numer. Anal. 6, 560-569"
    mgh = 27
    residual_class = "zero_residual"
    remarks = (
        "The value 1 that is printed beside 0 is where solvers end for n = 10; it is no strict minimum.",
        "CUTEst's BROWNAL, as S2MPJ translates it, has the product of the first ten variables only, whatever n is.",
    )

    def start(self) -> Vector:
        return np.full(self.n, 0.5)

    def residuals(self, x: Any, xp: Any) -> Any:
        total = x.sum(axis=0) - (self.n + 1.0)
        return xp.concatenate((x[:-1] + total, x.prod(axis=0, keepdims=True) - 1.0))

    def jacobian(self, x: Vector) -> Matrix:
        refuse_dense(self)
        J = np.ones((self.n, self.n))
        J[np.diag_indices(self.n)] = 2.0
        # The products of all others, without a division: an entry may be zero.
        J[-1, 0] = 1.0
        np.cumprod(x[:-1], out=J[-1, 1:])
        J[-1, :-1] *= np.cumprod(x[:0:-1])[::-1]
        return J

    def optimum(self) -> Optimum:
        attractor = (0.0,) * (self.n - 1) + (self.n + 1.0,)
        return Optimum(0.0, EXACT, np.ones(self.n), (LocalOptimum(1.0, attractor),))


class Trigonometric(LeastSquaresFunction):
    """r_i = n - sum_j cos(x_j) + i (1 - cos(x_i)) - sin(x_i).

    Minimum 0 at the origin and at other points. Descent from the standard start ends in a local minimum for many n.
    """

    name = "trigonometric"
    takes_columns = True
    sizes = Sizes(1, None, lambda n: n, "n >= 1, m = n")
    reference = MGH + "26; Spedicato (1975), CISE report N-175, Milano"
    mgh = 26
    residual_class = "zero_residual"
    remarks = (
        "CUTEst's ARGTRIG has i sin(x_i) for sin(x_i), and TRIGON1 is another function.",
        "The publication gives 0 as the least value; from its start, descent ends at 2.79506e-5 for n = 10.",
    )

    def _prepare(self) -> None:
        self._i = np.arange(1.0, self.n + 1)

    def start(self) -> Vector:
        return np.full(self.n, 1.0 / self.n)

    def residuals(self, x: Any, xp: Any) -> Any:
        half = xp.sin(0.5 * x)
        below_one = 2.0 * half * half  # 1 - cos(x) without cancellation
        return below_one.sum(axis=0) + per_column(x, self._i) * below_one - xp.sin(x)

    def jacobian(self, x: Vector) -> Matrix:
        sin = np.sin(x)
        J = np.tile(sin, (self.n, 1))
        J[np.diag_indices(self.n)] += self._i * sin - np.cos(x)
        return J

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.zeros(self.n), TRIGONOMETRIC_LOCAL.get(self.n, ()))


class Bdqrtic(LeastSquaresFunction):
    """r_i = 3 - 4 x_i and r_(n-4+i) = x_i^2 + 2 x_(i+1)^2 + 3 x_(i+2)^2 + 4 x_(i+3)^2 + 5 x_n^2.

    i = 1 ... n - 4.
    """

    name = "bdqrtic"
    takes_columns = True
    sizes = Sizes(5, None, lambda n: 2 * (n - 4), "n >= 5, m = 2 (n - 4)")
    reference = "Conn, Gould, Lescrenier & Toint (1994), as BDQRTIC " + CUTEST
    residual_class = "nonzero_residual"

    def start(self) -> Vector:
        return np.ones(self.n)

    def residuals(self, x: Any, xp: Any) -> Any:
        k = self.n - 4
        s = x * x
        quartic = s[:k] + 2.0 * s[1 : k + 1] + 3.0 * s[2 : k + 2] + 4.0 * s[3 : k + 3] + 5.0 * s[-1]
        return xp.concatenate((3.0 - 4.0 * x[:k], quartic))

    def jacobian(self, x: Vector) -> Matrix:
        k = self.n - 4
        i = np.arange(k)
        J = np.zeros((2 * k, self.n))
        J[i, i] = -4.0
        for offset in range(4):
            J[k + i, i + offset] = 2.0 * (offset + 1) * x[offset : k + offset]
        J[k:, -1] = 10.0 * x[-1]
        return J

    def optimum(self) -> Optimum:
        return BDQRTIC.get(self.n, UNKNOWN)

    def pattern(self) -> Any:
        """The pattern of the jacobian: two bands and a full last column in the lower half."""
        k = self.n - 4
        i = np.arange(k)
        rows = np.concatenate((i, *([k + i] * 5)))
        columns = np.concatenate((i, i, i + 1, i + 2, i + 3, np.full(k, self.n - 1)))
        return _pattern(rows, columns, (self.m, self.n))


class Cube(LeastSquaresFunction):
    """r_1 = x_1 - 1, r_i = 10 (x_i - x_(i-1)^3). Minimum 0 at (1, ..., 1), down a curved valley."""

    name = "cube"
    takes_columns = True
    sizes = Sizes(2, None, lambda n: n, "n >= 2, m = n")
    reference = "Leon (1966), Recent Advances in Optimization Techniques, 23-46; as CUBE " + CUTEST
    residual_class = "zero_residual"

    def start(self) -> Vector:
        return np.full(self.n, 0.5)

    def residuals(self, x: Any, xp: Any) -> Any:
        before = x[:-1]
        return xp.concatenate((x[:1] - 1.0, 10.0 * (x[1:] - before * before * before)))

    def jacobian(self, x: Vector) -> Matrix:
        i = np.arange(1, self.n)
        J = np.zeros((self.n, self.n))
        J[0, 0] = 1.0
        J[i, i] = 10.0
        J[i, i - 1] = -30.0 * x[:-1] ** 2
        return J

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.ones(self.n))

    def pattern(self) -> Any:
        """The pattern of the jacobian: the diagonal and the one below."""
        i = np.arange(self.n)
        return _pattern(np.concatenate((i, i[1:])), np.concatenate((i, i[:-1])), (self.n, self.n))


class Mancino(LeastSquaresFunction):
    """r_i = 1400 x_i + (i - 50)^3 + sum_j v_ij (sin(log v_ij)^5 + cos(log v_ij)^5).

    v_ij = sqrt(x_i^2 + i / j). The constants are those of 100 variables whatever n is. As in More & Wild
    (2009), every r_i depends on x_i alone, so the jacobian is diagonal; CUTEst's MANCINO has x_j in v_ij and
    leaves out j = i. |r_i - 1400 x_i| grows no faster than n |x_i|, so for n < 1400 every r_i has a zero.
    """

    name = "mancino"
    takes_columns = True
    sizes = Sizes(2, None, lambda n: n, "n >= 2, m = n")
    reference = "Spedicato (1975), CISE report N-175, Milano; nprob 21 of More & Wild (2009)"
    residual_class = "zero_residual"
    remarks = (
        "The factor of the start is -8.710996e-4 in BenDFO, and rounded to -8.7110e-4 in optimagic 0.5.3.",
        "CUTEst's MANCINO has x_j for x_i in v_ij and leaves out j = i, so it is another function.",
    )

    def _prepare(self) -> None:
        i = np.arange(1.0, self.n + 1)
        self._ratios = i[:, None] / i
        self._cubes = (i - 50.0) ** 3

    def start(self) -> Vector:
        return -8.710996e-4 * np.asarray(self._cubes + self._sums(np.zeros(self.n), np))

    def residuals(self, x: Any, xp: Any) -> Any:
        return 1400.0 * x + per_column(x, self._cubes) + self._sums(x, xp)

    def jacobian(self, x: Vector) -> Matrix:
        v, sin, cos = self._waves(x, np)
        sin3, cos3 = sin * sin * sin, cos * cos * cos
        slope = sin3 * sin * sin + cos3 * cos * cos + 5.0 * sin * cos * (sin3 - cos3)
        return np.diag(1400.0 + x * (slope / v).sum(axis=1))

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, MANCINO_ROOTS.get(self.n)) if self.n < 1400 else UNKNOWN

    def pattern(self) -> Any:
        """The pattern of the jacobian: the diagonal."""
        i = np.arange(self.n)
        return _pattern(i, i, (self.n, self.n))

    def _waves(self, x: Any, xp: Any) -> tuple[Any, Any, Any]:
        ratios = self._ratios if x.ndim == 1 else self._ratios[..., None]
        v = xp.sqrt((x * x)[:, None] + ratios)
        logs = xp.log(v)
        return v, xp.sin(logs), xp.cos(logs)

    def _sums(self, x: Any, xp: Any) -> Any:
        v, sin, cos = self._waves(x, xp)
        sin2, cos2 = sin * sin, cos * cos  # powers of negative numbers by multiplication: ten times as fast
        return (v * (sin2 * sin2 * sin + cos2 * cos2 * cos)).sum(axis=1)


def _pattern(rows: Any, columns: Any, shape: tuple[int, int]) -> Any:
    from scipy.sparse import csr_array

    return csr_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=shape)
