"""Curves fitted to data or to other curves; one size each, or any number of residuals."""

# ruff: noqa: D102, ARG002 - LeastSquaresFunction documents the methods and sets their arguments

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from optcore_problems.functions.optima import (
    BARD,
    BIGGS_EXP6_LOCAL,
    BROWN_DENNIS,
    GAUSSIAN,
    JENNRICH_SAMPSON,
    KOWALIK_OSBORNE,
    MEYER,
)
from optcore_problems.functions.references import MGH
from optcore_problems.least_squares import (
    EXACT,
    UNKNOWN,
    LeastSquaresFunction,
    Matrix,
    Optimum,
    Sizes,
    Vector,
)
from optcore_problems.problem import LocalOptimum

__all__ = [
    "Bard",
    "BiggsExp6",
    "Box3D",
    "BrownDennis",
    "Curve",
    "Gaussian",
    "GulfRD",
    "JennrichSampson",
    "KowalikOsborne",
    "Meyer",
]


class Curve(LeastSquaresFunction):
    """A function whose residuals differ by their data only, which are constants of shape (m,)."""

    takes_columns = True

    @abstractmethod
    def curve(self, x: Any, xp: Any) -> Any:
        """The residuals along the last axis: entries x[i] are numbers, or have shape (k, 1) for many points."""

    def residuals(self, x: Any, xp: Any) -> Any:
        return self.curve(x, xp) if x.ndim == 1 else self.curve(x[:, :, None], xp).T


class Bard(Curve):
    """r_i = y_i - (x_1 + u_i / (v_i x_2 + w_i x_3)) with u_i = i, v_i = 16 - i, w_i = min(u_i, v_i).

    A second minimum, 17.4286..., is where x_2 and x_3 go to minus infinity and x_1 to the mean of y.
    """

    name = "bard"
    sizes = Sizes.fixed(3, 15)
    reference = MGH + "8; Bard (1970), SIAM J. Numer. Anal. 7, 157-186"
    mgh = 8
    residual_class = "nonzero_residual"
    remarks = ("The least value printed for starts far away, 17.4286, is the infimum at infinity.",)

    _Y = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])
    _U = np.arange(1.0, 16.0)
    _V = 16.0 - _U
    _W = np.minimum(_U, _V)

    def start(self) -> Vector:
        return np.ones(3)

    def curve(self, x: Any, xp: Any) -> Any:
        return self._Y - (x[0] + self._U / (self._V * x[1] + self._W * x[2]))

    def jacobian(self, x: Vector) -> Matrix:
        slope = self._U / (self._V * x[1] + self._W * x[2]) ** 2
        return np.stack((np.full(15, -1.0), slope * self._V, slope * self._W), axis=1)

    def optimum(self) -> Optimum:
        return BARD


class KowalikOsborne(Curve):
    """r_i = y_i - x_1 (u_i^2 + u_i x_2) / (u_i^2 + u_i x_3 + x_4).

    A second minimum, 1.02734e-3, is at infinity: x_1 and x_3, x_4 there grow together with x_2 = -14.07...
    """

    name = "kowalik_osborne"
    sizes = Sizes.fixed(4, 11)
    reference = MGH + "15; Kowalik & Osborne (1968), Methods for Unconstrained Optimization Problems"
    mgh = 15
    residual_class = "nonzero_residual"
    remarks = (
        "CUTEst's KOWOSB has u_11 = 0.0624 for 0.0625, so its values differ in the fourth digit, and gives the "
        "minimum at infinity, 1.02734e-3, as its solution.",
    )

    _Y = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
    _U = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])

    def start(self) -> Vector:
        return np.array([0.25, 0.39, 0.415, 0.39])

    def curve(self, x: Any, xp: Any) -> Any:
        u = self._U
        return self._Y - x[0] * (u * (u + x[1])) / (u * (u + x[2]) + x[3])

    def jacobian(self, x: Vector) -> Matrix:
        u = self._U
        above, below = u * (u + x[1]), u * (u + x[2]) + x[3]
        ratio, bend = above / below, x[0] * above / below**2
        return np.stack((-ratio, -x[0] * u / below, u * bend, bend), axis=1)

    def optimum(self) -> Optimum:
        return KOWALIK_OSBORNE


class Meyer(Curve):
    """r_i = x_1 exp(x_2 / (45 + 5 i + x_3)) - y_i.

    The resistance of a thermistor by temperature; x_1 and x_2 differ by a factor 10^6.
    """

    name = "meyer"
    sizes = Sizes.fixed(3, 16)
    reference = MGH + "10; Meyer (1970), in Nonlinear Programming (Rosen, Mangasarian & Ritter), 465-486"
    mgh = 10
    residual_class = "nonzero_residual"

    _Y = np.array([
        34780.0, 28610.0, 23650.0, 19630.0, 16370.0, 13720.0, 11540.0, 9744.0,
        8261.0, 7030.0, 6005.0, 5147.0, 4427.0, 3820.0, 3307.0, 2872.0,
    ])  # fmt: skip
    _T = 45.0 + 5.0 * np.arange(1.0, 17.0)

    def start(self) -> Vector:
        return np.array([0.02, 4000.0, 250.0])

    def curve(self, x: Any, xp: Any) -> Any:
        return x[0] * xp.exp(x[1] / (self._T + x[2])) - self._Y

    def jacobian(self, x: Vector) -> Matrix:
        shifted = self._T + x[2]
        growth = np.exp(x[1] / shifted)
        slope = x[0] * growth / shifted
        return np.stack((growth, slope, -slope * x[1] / shifted), axis=1)

    def optimum(self) -> Optimum:
        return MEYER


class Box3D(Curve):
    """r_i = exp(-t_i x_1) - exp(-t_i x_2) - x_3 (exp(-t_i) - exp(-10 t_i)) with t_i = i / 10.

    Minimum 0 at (1, 10, 1), at (10, 1, -1) and wherever x_1 = x_2 and x_3 = 0.
    """

    name = "box_3d"
    sizes = Sizes(3, 3, lambda _: 10, "n = 3, m >= 3 (10 unless given)", any_m=True)
    reference = MGH + "12; Box (1966), Comput. J. 9, 67-77"
    mgh = 12
    residual_class = "zero_residual"
    remarks = ("CUTEst's BOX3 starts at (0, 10, 1), and so at another value.",)

    def _prepare(self) -> None:
        self._minus_t = np.arange(1.0, self.m + 1) / -10.0
        self._difference = np.exp(self._minus_t) - np.exp(10.0 * self._minus_t)

    def start(self) -> Vector:
        return np.array([0.0, 10.0, 20.0])

    def curve(self, x: Any, xp: Any) -> Any:
        return xp.exp(self._minus_t * x[0]) - xp.exp(self._minus_t * x[1]) - x[2] * self._difference

    def jacobian(self, x: Vector) -> Matrix:
        t = self._minus_t
        return np.stack((t * np.exp(t * x[0]), -t * np.exp(t * x[1]), -self._difference), axis=1)

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.array([1.0, 10.0, 1.0]), (LocalOptimum(0.0, (10.0, 1.0, -1.0)),))


class JennrichSampson(Curve):
    """r_i = 2 + 2 i - (exp(i x_1) + exp(i x_2)). The minimum has x_1 = x_2."""

    name = "jennrich_sampson"
    sizes = Sizes(2, 2, lambda _: 10, "n = 2, m >= 2 (10 unless given)", any_m=True)
    reference = MGH + "6; Jennrich & Sampson (1968), Technometrics 10, 63-72"
    mgh = 6
    residual_class = "nonzero_residual"

    def _prepare(self) -> None:
        self._i = np.arange(1.0, self.m + 1)
        self._target = 2.0 + 2.0 * self._i

    def start(self) -> Vector:
        return np.array([0.3, 0.4])

    def curve(self, x: Any, xp: Any) -> Any:
        return self._target - (xp.exp(self._i * x[0]) + xp.exp(self._i * x[1]))

    def jacobian(self, x: Vector) -> Matrix:
        i = self._i[:, None]
        return -i * np.exp(i * x)

    def optimum(self) -> Optimum:
        return JENNRICH_SAMPSON if self.m == 10 else UNKNOWN


class BrownDennis(Curve):
    """r_i = (x_1 + t_i x_2 - exp(t_i))^2 + (x_3 + x_4 sin(t_i) - cos(t_i))^2 with t_i = i / 5."""

    name = "brown_dennis"
    sizes = Sizes(4, 4, lambda _: 20, "n = 4, m >= 4 (20 unless given)", any_m=True)
    reference = MGH + "16; Brown & Dennis (1971), Yale University report 71-11"
    mgh = 16
    residual_class = "nonzero_residual"
    remarks = ("The start's last entry is -1 in the publication, in MINPACK and in CUTEst, and +1 in funconstrain.",)

    def _prepare(self) -> None:
        self._t = np.arange(1.0, self.m + 1) / 5.0
        self._exp, self._sin, self._cos = np.exp(self._t), np.sin(self._t), np.cos(self._t)

    def start(self) -> Vector:
        return np.array([25.0, 5.0, -5.0, -1.0])

    def curve(self, x: Any, xp: Any) -> Any:
        growth, wave = self._parts(x)
        return growth * growth + wave * wave

    def jacobian(self, x: Vector) -> Matrix:
        growth, wave = self._parts(x)
        growth, wave = 2.0 * growth, 2.0 * wave
        return np.stack((growth, self._t * growth, wave, self._sin * wave), axis=1)

    def optimum(self) -> Optimum:
        return BROWN_DENNIS if self.m == 20 else UNKNOWN

    def _parts(self, x: Any) -> tuple[Any, Any]:
        return x[0] + self._t * x[1] - self._exp, x[2] + self._sin * x[3] - self._cos


class Gaussian(Curve):
    """r_i = x_1 exp(-x_2 (t_i - x_3)^2 / 2) - y_i with t_i = (8 - i) / 2: the normal density, rounded to 4 digits."""

    name = "gaussian"
    sizes = Sizes.fixed(3, 15)
    reference = MGH + "9; More, Garbow & Hillstrom, unpublished"
    mgh = 9
    residual_class = "nonzero_residual"

    _RISING = (0.0009, 0.0044, 0.0175, 0.0540, 0.1295, 0.2420, 0.3521)
    _Y = np.array([*_RISING, 0.3989, *reversed(_RISING)])
    _T = np.arange(7.0, -8.0, -1.0) / 2.0

    def start(self) -> Vector:
        return np.array([0.4, 1.0, 0.0])

    def curve(self, x: Any, xp: Any) -> Any:
        distance = self._T - x[2]
        return x[0] * xp.exp(-0.5 * x[1] * distance * distance) - self._Y

    def jacobian(self, x: Vector) -> Matrix:
        distance = self._T - x[2]
        bell = np.exp(-0.5 * x[1] * distance * distance)
        slope = x[0] * bell * distance
        return np.stack((bell, -0.5 * slope * distance, x[1] * slope), axis=1)

    def optimum(self) -> Optimum:
        return GAUSSIAN


class GulfRD(Curve):
    """r_i = exp(-|y_i - x_2|^x_3 / x_1) - t_i with t_i = i / 100 and y_i = 25 + (-50 log(t_i))^(2/3).

    Minimum 0 at (50, 25, 1.5). Research and development of the Gulf company: a Weibull distribution. Where x_2 is
    one of the y_i, r_i has a derivative for x_3 > 1 only.
    """

    name = "gulf_rd"
    sizes = Sizes(3, 3, lambda _: 99, "n = 3, m = 3 ... 100 (99 unless given)", any_m=True, m_max=100)
    reference = MGH + "11; Cox (1969), Gulf Research and Development report"
    mgh = 11
    residual_class = "zero_residual"
    remarks = (
        "The publication prints |y_i m i x_2|^x_3: a misprint, the m i for a minus, as funconstrain, CUTEst's GULF "
        "and the minimum at (50, 25, 1.5) show; NLSProblems.jl computes what is printed.",
    )

    def _prepare(self) -> None:
        self._t = np.arange(1.0, self.m + 1) / 100.0
        self._y = 25.0 + (-50.0 * np.log(self._t)) ** (2.0 / 3.0)

    def start(self) -> Vector:
        return np.array([5.0, 2.5, 0.15])

    def curve(self, x: Any, xp: Any) -> Any:
        signed = self._y - x[1]
        side = signed.real
        # No abs, which knows no complex derivative; a base of zero, whose logarithm is infinite, is made one.
        distance = xp.where(side < 0.0, -signed, signed) + (side == 0.0)
        power = xp.where(side == 0.0, 0.0 ** x[2].real, distance ** x[2])
        return xp.exp(-power / x[0]) - self._t

    def jacobian(self, x: Vector) -> Matrix:
        signed = self._y - x[1]
        is_on = signed == 0.0
        distance = np.abs(signed) + is_on
        scaled = np.where(is_on, 0.0, distance ** x[2]) / x[0]
        decay = np.exp(-scaled) * scaled
        return np.stack((decay / x[0], decay * x[2] * np.sign(signed) / distance, -decay * np.log(distance)), axis=1)

    def optimum(self) -> Optimum:
        return Optimum(0.0, EXACT, np.array([50.0, 25.0, 1.5]))


class BiggsExp6(Curve):
    """r_i = x_3 exp(-t_i x_1) - x_4 exp(-t_i x_2) + x_6 exp(-t_i x_5) - y_i with t_i = i / 10.

    y_i = exp(-t_i) - 5 exp(-10 t_i) + 3 exp(-4 t_i). Minimum 0 at (1, 10, 1, 5, 4, 3) and at the points that exchange
    its exponentials. At the start two pairs of columns of the jacobian are equal, so the first step of a method that
    solves with it is decided by rounding.
    """

    name = "biggs_exp6"
    sizes = Sizes(6, 6, lambda _: 13, "n = 6, m >= 6 (13 unless given)", any_m=True)
    reference = MGH + "18; Biggs (1971), J. Inst. Math. Appl. 8, 315-327"
    mgh = 18
    residual_class = "zero_residual"
    remarks = (
        "The publication prints 5.65565e-3 for m = 13 beside the least value, 0: there x_1 = x_5, and only x_3 + x_6 "
        "is determined; where x_3 and x_6 have the same sign, it is no minimum but a saddle point.",
    )

    def _prepare(self) -> None:
        self._minus_t = np.arange(1.0, self.m + 1) / -10.0
        t = self._minus_t
        self._y = np.exp(t) - 5.0 * np.exp(10.0 * t) + 3.0 * np.exp(4.0 * t)

    def start(self) -> Vector:
        return np.array([1.0, 2.0, 1.0, 1.0, 1.0, 1.0])

    def curve(self, x: Any, xp: Any) -> Any:
        t = self._minus_t
        return x[2] * xp.exp(t * x[0]) - x[3] * xp.exp(t * x[1]) + x[5] * xp.exp(t * x[4]) - self._y

    def jacobian(self, x: Vector) -> Matrix:
        t = self._minus_t
        first, second, third = np.exp(t * x[0]), np.exp(t * x[1]), np.exp(t * x[4])
        return np.stack((t * x[2] * first, -t * x[3] * second, first, -second, t * x[5] * third, third), axis=1)

    def optimum(self) -> Optimum:
        local = (BIGGS_EXP6_LOCAL,) if self.m == 13 else ()
        return Optimum(0.0, EXACT, np.array([1.0, 10.0, 1.0, 5.0, 4.0, 3.0]), local)
