"""DFO-LS, an optional library (extra `dfols`)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.marks import Kind
from optcore.objective import Objective
from optcore.solvers.algorithm import Algorithm, SolverResult, register_algorithm
from optcore.solvers.scipy_scalar import UNLIMITED, initial_radius


@register_algorithm
@dataclass(frozen=True)
class NagDFOLS(Algorithm):
    """Gauss-Newton on interpolated residuals, without derivatives.

    Cartis, Fiala, Marteau & Roberts (2019), ACM Trans. Math. Software 45(3).
    """

    name: ClassVar[str] = "nag_dfols"
    kind: ClassVar[Kind] = Kind.LEAST_SQUARES
    supports_bounds: ClassVar[bool] = True
    library: ClassVar[str] = "dfols"
    extra: ClassVar[str | None] = "dfols"
    tight: ClassVar[Mapping[str, float]] = {"convergence_minimal_trustregion_radius_tolerance": 1e-14}

    convergence_minimal_trustregion_radius_tolerance: float = 1e-8
    stopping_maxfun: int = UNLIMITED
    trustregion_initial_radius: float | None = None

    def solve(self, objective: Objective, x0: NDArray[np.float64], bounds: FlatBounds) -> SolverResult:
        """Run DFO-LS."""
        import dfols

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="dfols")
            result = dfols.solve(
                objective.residuals,
                x0,
                bounds=(np.maximum(bounds.lower, -1e20), np.minimum(bounds.upper, 1e20)) if bounds.any else None,
                rhobeg=initial_radius(self.trustregion_initial_radius, x0),
                rhoend=self.convergence_minimal_trustregion_radius_tolerance,
                maxfun=self.stopping_maxfun,
                do_logging=False,
            )
        return SolverResult(
            x0 if result.x is None else np.asarray(result.x, dtype=np.float64),
            success=result.flag == result.EXIT_SUCCESS,
            message=str(result.msg),
            claims={"nfev": int(result.nf), "status": int(result.flag)},
        )
