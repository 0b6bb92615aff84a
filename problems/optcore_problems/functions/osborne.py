"""Osborne's two exponential fits to measured data."""

# ruff: noqa: D102 - LeastSquaresFunction documents the methods

from __future__ import annotations

from typing import Any

import numpy as np

from optcore_problems.functions.curves import Curve
from optcore_problems.functions.optima import OSBORNE_1, OSBORNE_2
from optcore_problems.functions.references import MGH
from optcore_problems.least_squares import LeastSquaresFunction, Matrix, Optimum, Sizes, Vector

__all__ = ["Osborne1", "Osborne2"]

OSBORNE = "; Osborne (1972), in Numerical Methods for Non-linear Optimization (Lootsma), 171-189"


class Osborne1(Curve):
    """r_i = y_i - (x_1 + x_2 exp(-t_i x_4) + x_3 exp(-t_i x_5)) with t_i = 10 (i - 1)."""

    name = "osborne_1"
    sizes = Sizes.fixed(5, 33)
    reference = MGH + "17" + OSBORNE
    mgh = 17
    residual_class = "nonzero_residual"
    remarks = (
        "The start's third entry is -1 in the publication, in MINPACK and in CUTEst, and 1 in BenDFO, in optimagic "
        "and so in the suite more_wild.",
    )

    _Y = np.array([
        0.844, 0.908, 0.932, 0.936, 0.925, 0.908, 0.881, 0.850, 0.818, 0.784, 0.751,
        0.718, 0.685, 0.658, 0.628, 0.603, 0.580, 0.558, 0.538, 0.522, 0.506, 0.490,
        0.478, 0.467, 0.457, 0.448, 0.438, 0.431, 0.424, 0.420, 0.414, 0.411, 0.406,
    ])  # fmt: skip
    _MINUS_T = -10.0 * np.arange(33.0)

    def start(self) -> Vector:
        return np.array([0.5, 1.5, -1.0, 0.01, 0.02])

    def curve(self, x: Any, xp: Any) -> Any:
        return self._Y - (x[0] + x[1] * xp.exp(self._MINUS_T * x[3]) + x[2] * xp.exp(self._MINUS_T * x[4]))

    def jacobian(self, x: Vector) -> Matrix:
        slow, fast = np.exp(self._MINUS_T * x[3]), np.exp(self._MINUS_T * x[4])
        by_rate = -self._MINUS_T * np.stack((x[1] * slow, x[2] * fast))
        return np.stack((np.full(33, -1.0), -slow, -fast, by_rate[0], by_rate[1]), axis=1)

    def optimum(self) -> Optimum:
        return OSBORNE_1


class Osborne2(LeastSquaresFunction):
    """A decay and three peaks: r_i = y_i - (x_1 exp(-t_i x_5) + p_2 + p_3 + p_4) with t_i = (i - 1) / 10.

    p_k = x_k exp(-(t_i - x_(k+7))^2 x_(k+4)). Where the peaks lie outside of the data, f doesn't depend on them: its
    infimum there is 1.78981.
    """

    name = "osborne_2"
    takes_columns = True
    sizes = Sizes.fixed(11, 65)
    reference = MGH + "19" + OSBORNE
    mgh = 19
    residual_class = "nonzero_residual"
    remarks = (
        "CUTEst's OSBORNEB has t_i = (i + 1) / 10, so its values differ; the least value doesn't, since parameters "
        "make up for the shift.",
    )

    _Y = np.array([
        1.366, 1.191, 1.112, 1.013, 0.991, 0.885, 0.831, 0.847, 0.786, 0.725, 0.746, 0.679, 0.608,
        0.655, 0.616, 0.606, 0.602, 0.626, 0.651, 0.724, 0.649, 0.649, 0.694, 0.644, 0.624, 0.661,
        0.612, 0.558, 0.533, 0.495, 0.500, 0.423, 0.395, 0.375, 0.372, 0.391, 0.396, 0.405, 0.428,
        0.429, 0.523, 0.562, 0.607, 0.653, 0.672, 0.708, 0.633, 0.668, 0.645, 0.632, 0.591, 0.559,
        0.597, 0.625, 0.739, 0.710, 0.729, 0.720, 0.636, 0.581, 0.428, 0.292, 0.162, 0.098, 0.054,
    ])  # fmt: skip
    _T = np.arange(65.0) / 10.0

    def start(self) -> Vector:
        return np.array([1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5])

    def residuals(self, x: Any, xp: Any) -> Any:
        if x.ndim == 2:
            return self._columns(x, xp)
        distance = self._T - x[8:11, None]
        peaks = xp.exp(-x[5:8, None] * distance * distance)
        return self._Y - (x[0] * xp.exp(-x[4] * self._T) + x[1:4] @ peaks)

    def _columns(self, x: Any, xp: Any) -> Any:
        """The residuals at many points; @ over the peaks, which one point has, would mix them."""
        x = x[:, None]
        distance = self._T[:, None] - x[8:11]
        peaks = x[1:4] * xp.exp(-x[5:8] * distance * distance)
        return self._Y[:, None] - (x[0] * xp.exp(-x[4] * self._T[:, None]) + peaks.sum(axis=0))

    def jacobian(self, x: Vector) -> Matrix:
        decay = np.exp(-x[4] * self._T)
        distance = self._T - x[8:11, None]
        peaks = np.exp(-x[5:8, None] * distance**2)
        weighted = x[1:4, None] * peaks
        by_center = -2.0 * x[5:8, None] * distance * weighted
        rows = (-decay[None], -peaks, x[0] * self._T[None] * decay, distance**2 * weighted, by_center)
        return np.ascontiguousarray(np.concatenate(rows).T)

    def optimum(self) -> Optimum:
        return OSBORNE_2
