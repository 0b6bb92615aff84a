"""Small systems of nonlinear equations; each has a root, so its least value is 0."""

# ruff: noqa: D102 - LeastSquaresFunction documents the methods

from __future__ import annotations

from math import pi, sqrt
from typing import Any

import numpy as np

from optcore_problems.functions.optima import POWELL_BADLY_SCALED_ROOT
from optcore_problems.functions.references import MGH
from optcore_problems.least_squares import EXACT, LeastSquaresFunction, Matrix, Optimum, Sizes, Vector
from optcore_problems.namespace import per_column
from optcore_problems.problem import LocalOptimum

__all__ = [
    "Beale",
    "BrownBadlyScaled",
    "FreudensteinRoth",
    "HeartEight",
    "HelicalValley",
    "PowellBadlyScaled",
    "PowellSingular",
    "Rosenbrock",
    "Wood",
]


class Rosenbrock(LeastSquaresFunction):
    """r = (10 (x_2 - x_1^2), 1 - x_1). Minimum 0 at (1, 1)."""

    name = "rosenbrock"
    takes_columns = True
    sizes = Sizes.fixed(2, 2)
    reference = MGH + "1; Rosenbrock (1960), Comput. J. 3, 175-184"
    mgh = 1
    residual_class = "zero_residual"

    def start(self) -> Vector:
        return np.array([-1.2, 1.0])

    def residuals(self, x: Any, xp: Any) -> Any:
        x1, x2 = x[0], x[1]
        return xp.array([10.0 * (x2 - x1 * x1), 1.0 - x1])

    def jacobian(self, x: Vector) -> Matrix:
        return np.array([[-20.0 * x[0], 10.0], [-1.0, 0.0]])

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.ones(2))


class HelicalValley(LeastSquaresFunction):
    """r = (10 (x_3 - 10 theta), 10 (rho - 1), x_3) with rho, theta the polar coordinates of (x_1, x_2).

    theta is in turns and in [-1/4, 3/4): it jumps where x_1 = 0 and x_2 < 0. There it is -1/4, and 1/4 at the
    origin, as in MINPACK; the publication defines neither. Minimum 0 at (1, 0, 0).
    """

    name = "helical_valley"
    takes_columns = True
    sizes = Sizes.fixed(3, 3)
    reference = MGH + "7; Fletcher & Powell (1963), Comput. J. 6, 163-168"
    mgh = 7
    residual_class = "zero_residual"
    remarks = (
        "Where x_1 = 0, MINPACK's theta has the sign of x_2, BenDFO's Python code has 1/4 for x_2 of either sign, "
        "and optimagic 0.5.3 has 0 at the origin.",
        "CUTEst's HELIX has 0.15915494 for 1 / (2 pi), so its values differ in the eighth digit.",
    )

    def start(self) -> Vector:
        return np.array([-1.0, 0.0, 0.0])

    def residuals(self, x: Any, xp: Any) -> Any:
        x1, x2, x3 = x[0], x[1], x[2]
        rho = xp.sqrt(x1 * x1 + x2 * x2)
        return xp.array([10.0 * (x3 - 10.0 * _turns(x1, x2, xp)), 10.0 * (rho - 1.0), x3])

    def jacobian(self, x: Vector) -> Matrix:
        x1, x2, _ = x
        square = x1 * x1 + x2 * x2
        rho = np.sqrt(square)
        angular = 50.0 / (pi * square)
        return np.array([[angular * x2, -angular * x1, 10.0], [10.0 * x1 / rho, 10.0 * x2 / rho, 0.0], [0.0, 0.0, 1.0]])

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.array([1.0, 0.0, 0.0]))


def _turns(x1: Any, x2: Any, xp: Any) -> Any:
    """The angle of (x1, x2) in turns, in [-1/4, 3/4).

    `arctan2` knows no complex numbers, so the branch is chosen by the real parts. A denominator of zero in the
    branch that is not taken is made one: under JAX its NaN would spoil the derivative of the branch that is.
    """
    a, b = x1.real, x2.real
    on_axis = a == 0.0
    beside = xp.arctan(x2 / (x1 + on_axis)) / (2.0 * pi) + 0.5 * (a < 0.0)
    above = 0.25 - 0.5 * (b < 0.0) - xp.arctan(x1 / (x2 + (b == 0.0))) / (2.0 * pi)
    return xp.where(on_axis, above, beside)


class PowellSingular(LeastSquaresFunction):
    """r = (x_1 + 10 x_2, sqrt(5) (x_3 - x_4), (x_2 - 2 x_3)^2, sqrt(10) (x_1 - x_4)^2).

    Minimum 0 at the origin, where the jacobian has rank 2.
    """

    name = "powell_singular"
    takes_columns = True
    sizes = Sizes.fixed(4, 4)
    reference = MGH + "13; Powell (1962), Comput. J. 5, 147-151"
    mgh = 13
    residual_class = "zero_residual"

    def start(self) -> Vector:
        return np.array([3.0, -1.0, 0.0, 1.0])

    def residuals(self, x: Any, xp: Any) -> Any:
        x1, x2, x3, x4 = x[0], x[1], x[2], x[3]
        inner, outer = x2 - 2.0 * x3, x1 - x4
        return xp.array([x1 + 10.0 * x2, sqrt(5.0) * (x3 - x4), inner * inner, sqrt(10.0) * outer * outer])

    def jacobian(self, x: Vector) -> Matrix:
        x1, x2, x3, x4 = x
        inner, outer = 2.0 * (x2 - 2.0 * x3), 2.0 * sqrt(10.0) * (x1 - x4)
        return np.array(
            [
                [1.0, 10.0, 0.0, 0.0],
                [0.0, 0.0, sqrt(5.0), -sqrt(5.0)],
                [0.0, inner, -2.0 * inner, 0.0],
                [outer, 0.0, 0.0, -outer],
            ]
        )

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.zeros(4))


class FreudensteinRoth(LeastSquaresFunction):
    """r = (x_1 - 13 + ((5 - x_2) x_2 - 2) x_2, x_1 - 29 + ((x_2 + 1) x_2 - 14) x_2).

    Minimum 0 at (5, 4). Descent from the standard start ends in a local minimum: eliminating x_1 leaves
    r_1 - r_2 = 16 + 12 x_2 + 4 x_2^2 - 2 x_2^3, stationary at (2 - sqrt(22)) / 3; f is half its square there.
    """

    name = "freudenstein_roth"
    takes_columns = True
    sizes = Sizes.fixed(2, 2)
    reference = MGH + "2; Freudenstein & Roth (1963), J. ACM 10, 550-556"
    mgh = 2
    residual_class = "zero_residual"
    remarks = (
        "Collections that list the local minimum 48.98425 as the least value, as optimagic 0.5.3 does, count a "
        "solver that finds 0 as better than the optimum.",
    )

    def start(self) -> Vector:
        return np.array([0.5, -2.0])

    def residuals(self, x: Any, xp: Any) -> Any:
        x1, x2 = x[0], x[1]
        return xp.array([x1 - 13.0 + ((5.0 - x2) * x2 - 2.0) * x2, x1 - 29.0 + ((x2 + 1.0) * x2 - 14.0) * x2])

    def jacobian(self, x: Vector) -> Matrix:
        x2 = x[1]
        return np.array([[1.0, (10.0 - 3.0 * x2) * x2 - 2.0], [1.0, (3.0 * x2 + 2.0) * x2 - 14.0]])

    def optimum(self) -> Optimum:
        root = sqrt(22.0)
        local = LocalOptimum(48.98425367924001, ((53.0 - 4.0 * root) / 3.0, (2.0 - root) / 3.0))
        return Optimum(0.0, EXACT, np.array([5.0, 4.0]), (local,))


class PowellBadlyScaled(LeastSquaresFunction):
    """r = (10^4 x_1 x_2 - 1, exp(-x_1) + exp(-x_2) - 1.0001).

    Minimum 0 at (1.09815933e-5, 9.10614674), the other way round too: the variables differ by a factor 10^6.
    """

    name = "powell_badly_scaled"
    takes_columns = True
    sizes = Sizes.fixed(2, 2)
    reference = MGH + "3; Powell (1970), in Numerical Methods for Nonlinear Algebraic Equations (Rabinowitz), 87-114"
    mgh = 3
    residual_class = "zero_residual"

    def start(self) -> Vector:
        return np.array([0.0, 1.0])

    def residuals(self, x: Any, xp: Any) -> Any:
        x1, x2 = x[0], x[1]
        return xp.array([1e4 * x1 * x2 - 1.0, xp.exp(-x1) + xp.exp(-x2) - 1.0001])

    def jacobian(self, x: Vector) -> Matrix:
        x1, x2 = x
        return np.array([[1e4 * x2, 1e4 * x1], [-np.exp(-x1), -np.exp(-x2)]])

    def optimum(self) -> Optimum:
        small, large = POWELL_BADLY_SCALED_ROOT
        return Optimum(0.0, EXACT, np.array([small, large]), (LocalOptimum(0.0, (large, small)),))


class BrownBadlyScaled(LeastSquaresFunction):
    """r = (x_1 - 10^6, x_2 - 2 10^-6, x_1 x_2 - 2). Minimum 0 at (10^6, 2 10^-6)."""

    name = "brown_badly_scaled"
    takes_columns = True
    sizes = Sizes.fixed(2, 3)
    reference = MGH + "4; Brown, unpublished"
    mgh = 4
    residual_class = "zero_residual"

    def start(self) -> Vector:
        return np.ones(2)

    def residuals(self, x: Any, xp: Any) -> Any:
        x1, x2 = x[0], x[1]
        return xp.array([x1 - 1e6, x2 - 2e-6, x1 * x2 - 2.0])

    def jacobian(self, x: Vector) -> Matrix:
        return np.array([[1.0, 0.0], [0.0, 1.0], [x[1], x[0]]])

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.array([1e6, 2e-6]))


class Beale(LeastSquaresFunction):
    """r_i = y_i - x_1 (1 - x_2^i) with y = (1.5, 2.25, 2.625).

    Minimum 0 at (3, 1/2). A second minimum, 0.45200..., is at infinity: x_1 (1 - x_2) = 111 / 112, x_2 to 1 from above.
    """

    name = "beale"
    takes_columns = True
    sizes = Sizes.fixed(2, 3)
    reference = MGH + "5; Beale (1958), Princeton University technical report 25"
    mgh = 5
    residual_class = "zero_residual"

    def start(self) -> Vector:
        return np.ones(2)

    def residuals(self, x: Any, xp: Any) -> Any:
        x1, x2 = x[0], x[1]
        square = x2 * x2
        return xp.array([1.5 - x1 * (1.0 - x2), 2.25 - x1 * (1.0 - square), 2.625 - x1 * (1.0 - square * x2)])

    def jacobian(self, x: Vector) -> Matrix:
        x1, x2 = x
        square = x2 * x2
        return np.array([[x2 - 1.0, x1], [square - 1.0, 2.0 * x1 * x2], [square * x2 - 1.0, 3.0 * x1 * square]])

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.array([3.0, 0.5]), (LocalOptimum(0.4520089285714286),))


class Wood(LeastSquaresFunction):
    """Two of Rosenbrock's valleys, coupled.

    r = (10 (x_2 - x_1^2), 1 - x_1, sqrt(90) (x_4 - x_3^2), 1 - x_3, sqrt(10) (x_2 + x_4 - 2), (x_2 - x_4) / sqrt(10)).
    Minimum 0 at (1, 1, 1, 1). A saddle point near (-0.968, 0.947, -0.970, 0.951), f = 7.87697, slows solvers down.
    """

    name = "wood"
    takes_columns = True
    sizes = Sizes.fixed(4, 6)
    reference = MGH + "14; Colville (1968), IBM New York Scientific Center report 320-2949"
    mgh = 14
    residual_class = "zero_residual"

    def start(self) -> Vector:
        return np.array([-3.0, -1.0, -3.0, -1.0])

    def residuals(self, x: Any, xp: Any) -> Any:
        x1, x2, x3, x4 = x[0], x[1], x[2], x[3]
        return xp.array(
            [
                10.0 * (x2 - x1 * x1),
                1.0 - x1,
                sqrt(90.0) * (x4 - x3 * x3),
                1.0 - x3,
                sqrt(10.0) * (x2 + x4 - 2.0),
                (x2 - x4) / sqrt(10.0),
            ]
        )

    def jacobian(self, x: Vector) -> Matrix:
        ten, ninety = sqrt(10.0), sqrt(90.0)
        return np.array(
            [
                [-20.0 * x[0], 10.0, 0.0, 0.0],
                [-1.0, 0.0, 0.0, 0.0],
                [0.0, 0.0, -2.0 * ninety * x[2], ninety],
                [0.0, 0.0, -1.0, 0.0],
                [0.0, ten, 0.0, ten],
                [0.0, 1.0 / ten, 0.0, -1.0 / ten],
            ]
        )

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.ones(4))


class HeartEight(LeastSquaresFunction):
    """The dipole model of the heart with eight unknowns: two complex charges a, b at two complex places p, q.

    a = x_1 + i x_3, b = x_2 + i x_4, p = x_5 + i x_7, q = x_6 + i x_8; the residuals are the real and
    imaginary parts of a p^k + b q^k - c_k for k = 0 ... 3. Minimum 0: p and q are the roots of z^2 = s z - t,
    where s and t solve the linear equations c_(k+2) = s c_(k+1) - t c_k (Prony); a, b follow from k = 0, 1.
    """

    name = "heart_eight"
    takes_columns = True
    sizes = Sizes.fixed(8, 8)
    reference = "HEART8LS in CUTEst: Gould, Orban & Toint (2015), Comput. Optim. Appl. 60, 545-557"
    residual_class = "zero_residual"

    _MOMENTS = np.array([-0.69 - 0.044j, -1.57 - 1.31j, -2.65 + 2.0j, -12.6 + 9.48j])
    _TARGET = np.column_stack((_MOMENTS.real, _MOMENTS.imag)).ravel()

    def start(self) -> Vector:
        return np.array([-0.3, -0.39, 0.3, -0.344, -1.2, 2.69, 1.59, -1.5])

    def residuals(self, x: Any, xp: Any) -> Any:
        # Complex numbers as pairs of arrays, because x itself may be complex.
        re, im, p_re, p_im = x[0:2], x[2:4], x[4:6], x[6:8]
        moments = [re[0] + re[1], im[0] + im[1]]
        for _ in range(3):
            re, im = re * p_re - im * p_im, re * p_im + im * p_re
            moments += [re[0] + re[1], im[0] + im[1]]
        return xp.array(moments) - per_column(x, self._TARGET)

    def jacobian(self, x: Vector) -> Matrix:
        charge, place = x[0:2] + 1j * x[2:4], x[4:6] + 1j * x[6:8]
        by_charge = np.array([np.ones(2), place, place**2, place**3])
        by_place = np.array([np.zeros(2), charge, 2.0 * charge * place, 3.0 * charge * place**2])
        # A function of a + i b that is analytic has the derivative i f' with respect to b.
        complex_rows = np.concatenate((by_charge, 1j * by_charge, by_place, 1j * by_place), axis=1)
        J = np.empty((8, 8))
        J[0::2], J[1::2] = complex_rows.real, complex_rows.imag
        return J

    def optimum(self) -> Optimum:
        c0, c1, c2, c3 = self._MOMENTS
        s, t = np.linalg.solve([[c1, -c0], [c2, -c1]], [c2, c3])
        half = np.sqrt(s * s / 4.0 - t)
        p, q = s / 2.0 - half, s / 2.0 + half
        a, b = np.linalg.solve([[1.0, 1.0], [p, q]], [c0, c1])
        return Optimum(0.0, EXACT, np.array([a.real, b.real, a.imag, b.imag, p.real, q.real, p.imag, q.imag]))
