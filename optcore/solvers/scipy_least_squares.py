"""The least-squares solvers of scipy.optimize, with harmonised options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError
from optcore.marks import Kind
from optcore.objective import Objective
from optcore.solvers.algorithm import Algorithm, SolverResult, register_algorithm
from optcore.solvers.options import UNLIMITED
from optcore.solvers.scipy_scalar import read_scipy_result

EPS = float(np.finfo(np.float64).eps)
TIGHT = {"convergence_ftol_rel": EPS, "convergence_gtol_rel": EPS, "convergence_xtol_rel": EPS}


@dataclass(frozen=True)
class ScipyLeastSquares(Algorithm):
    """What the methods of scipy.optimize.least_squares share."""

    kind: ClassVar[Kind] = Kind.LEAST_SQUARES
    needs_jac: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = TIGHT
    library_names: ClassVar[Mapping[str, str]] = {
        "convergence_ftol_rel": "ftol",
        "convergence_gtol_rel": "gtol",
        "convergence_xtol_rel": "xtol",
        "stopping_maxfun": "max_nfev",
    }
    method: ClassVar[str]

    convergence_ftol_rel: float = 2e-9
    convergence_gtol_rel: float = 1e-8
    convergence_xtol_rel: float = 1e-8
    stopping_maxfun: int = UNLIMITED

    def scipy_options(self) -> dict[str, Any]:
        """Further arguments of scipy.optimize.least_squares."""
        return {}

    def solve(self, objective: Objective, x0: NDArray[np.float64], bounds: FlatBounds) -> SolverResult:
        """Run scipy.optimize.least_squares."""
        return self.run(objective.residuals, objective.jacobian, x0, bounds)

    def run(
        self,
        residuals: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        jacobian: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        x0: NDArray[np.float64],
        bounds: FlatBounds,
    ) -> SolverResult:
        """Hand functions of flat vectors to scipy."""
        import scipy.optimize

        result = scipy.optimize.least_squares(
            residuals,
            x0,
            jac=jacobian,
            method=self.method,
            bounds=(bounds.lower, bounds.upper) if bounds.any else (-np.inf, np.inf),
            **{theirs: getattr(self, ours) for ours, theirs in ScipyLeastSquares.library_names.items()},
            **self.scipy_options(),
        )
        return read_scipy_result(result)


@register_algorithm
@dataclass(frozen=True)
class ScipyLSLM(ScipyLeastSquares):
    """Levenberg-Marquardt of MINPACK.

    Args:
        convergence_gtol_rel: stop when the cosine of the angle between the residuals and every column of the jacobian
            is at most this.

    References:
        More (1978), Numerical Analysis, Lecture Notes in Mathematics 630.
    """

    name: ClassVar[str] = "scipy_ls_lm"
    method: ClassVar[str] = "lm"

    def solve(self, objective: Objective, x0: NDArray[np.float64], bounds: FlatBounds) -> SolverResult:
        """Run MINPACK; it needs at least as many residuals as params."""
        if objective.m is not None and objective.m < objective.n:
            raise InvalidInputError(
                f"scipy_ls_lm needs at least as many residuals as params, but there are {objective.m} residuals and "
                f"{objective.n} params; use scipy_ls_trf"
            )
        padded = _Padded(objective)
        result = self.run(padded.residuals, padded.jacobian, np.append(x0, 0.0), bounds)
        return replace(result, x=result.x[:-1])


@dataclass(frozen=True)
class _Padded:
    """The same least-squares problem with one more param, z, and one more residual, tiny * z.

    In scipy 1.17 lmder (its qrfac, where it recomputes the norms of columns) reads one number past the end of the
    jacobian, so that its path depends on what lies in memory there and the same call may give different results. The
    last column is now that of z: its norm never changes, so it is never recomputed, it is never a pivot, z stays 0,
    and all that the user's params see is the same, bit by bit, as with a zero past the end.
    """

    objective: Objective

    tiny: ClassVar[float] = 1e-150

    def residuals(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.append(self.objective.residuals(x[:-1]), self.tiny * x[-1])

    def jacobian(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        given = self.objective.jacobian(x[:-1])
        padded = np.zeros((given.shape[0] + 1, given.shape[1] + 1))
        padded[:-1, :-1] = given
        padded[-1, -1] = self.tiny
        return padded


@dataclass(frozen=True)
class ScipyTrustRegionLeastSquares(ScipyLeastSquares):
    """What the two trust-region methods share."""

    supports_bounds: ClassVar[bool] = True
    library_names: ClassVar[Mapping[str, str]] = {
        **ScipyLeastSquares.library_names,
        "tr_solver_options": "tr_options",
    }

    tr_solver: Literal["exact", "lsmr"] | None = None
    tr_solver_options: Mapping[str, Any] | None = None

    @property
    def takes_sparse(self) -> bool:
        """The exact solver works on dense jacobians only; by default scipy takes "lsmr" for sparse ones."""
        return self.tr_solver != "exact"

    def scipy_options(self) -> dict[str, Any]:
        """Further arguments of scipy.optimize.least_squares."""
        return {"tr_solver": self.tr_solver, "tr_options": dict(self.tr_solver_options or {})}


@register_algorithm
@dataclass(frozen=True)
class ScipyLSTRF(ScipyTrustRegionLeastSquares):
    """Trust-region reflective.

    Args:
        convergence_gtol_rel: stop when no entry of the gradient, scaled by the distance to the bounds, is larger than
            this; absolute, in spite of its name.

    References:
        Branch, Coleman & Li (1999), SIAM J. Sci. Comput. 21(1).
    """

    name: ClassVar[str] = "scipy_ls_trf"
    method: ClassVar[str] = "trf"


@register_algorithm
@dataclass(frozen=True)
class ScipyLSDogbox(ScipyTrustRegionLeastSquares):
    """Dogleg in rectangular trust regions.

    Args:
        convergence_gtol_rel: stop when no entry of the gradient, for params not at a bound, is larger than this;
            absolute, in spite of its name.

    References:
        Voglis & Lagaris (2004), WSEAS International Conference on Applied Mathematics.
    """

    name: ClassVar[str] = "scipy_ls_dogbox"
    method: ClassVar[str] = "dogbox"
