"""Minuit2 through iminuit, an optional library (extra `iminuit`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError
from optcore.objective import Objective
from optcore.solvers.algorithm import Algorithm, SolverResult, register_algorithm
from optcore.solvers.scipy_scalar import UNLIMITED

Vector = NDArray[np.float64]

#: Minuit's distance is this share of the tolerance that it is given.
_SHARE = 0.002


@register_algorithm
@dataclass(frozen=True)
class IminuitMigrad(Algorithm):
    """MIGRAD of Minuit2, a variable-metric method of high-energy physics that watches its estimate of the Hessian.

    It always gets a gradient from us, by differences where none is given. Within bounds Minuit works with transformed
    params.

    Args:
        convergence_ftol_abs: stop when the estimated vertical distance to the minimum is below this; 2e-4 is Minuit's
            own default, and below some 1e-10 it refuses to go.
        n_restarts: how often it may start, after a simplex search, where it didn't converge; 1: once.
        strategy: 0 spends less on the Hessian, 2 more.

    References:
        James & Roos (1975), Computer Physics Communications 10(6); Davidon (1959), ANL-5990; Fletcher (1970), Computer
        Journal 13(3).
    """

    name: ClassVar[str] = "iminuit_migrad"
    needs_jac: ClassVar[bool] = True
    supports_bounds: ClassVar[bool] = True
    library: ClassVar[str] = "iminuit"
    extra: ClassVar[str | None] = "iminuit"
    tight: ClassVar[Mapping[str, float]] = {"convergence_ftol_abs": 0.0}

    convergence_ftol_abs: float = 2e-4
    stopping_maxfun: int = UNLIMITED
    n_restarts: int = 1
    strategy: Literal[0, 1, 2] = 1

    def __post_init__(self, *given: Any) -> None:
        """Check the options."""
        super().__post_init__(*given)
        if self.strategy not in (0, 1, 2):
            raise InvalidInputError(f"strategy of iminuit_migrad must be 0, 1 or 2, but is {self.strategy!r}")
        if self.n_restarts < 1:
            raise InvalidInputError(
                f"n_restarts of iminuit_migrad must be at least 1 (a single run), but is {self.n_restarts!r}"
            )

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run MIGRAD."""
        from iminuit import Minuit

        def within(x: Vector) -> Vector:
            """Transformed params come back with rounding."""
            return np.clip(x, bounds.lower, bounds.upper)

        minuit = Minuit(lambda x: objective.value(within(x)), x0, grad=lambda x: objective.gradient(within(x)))
        if bounds.any:
            minuit.limits = list(zip(bounds.lower, bounds.upper, strict=True))
            minuit.fixed = list(bounds.lower == bounds.upper)
        minuit.strategy = self.strategy
        minuit.tol = self.convergence_ftol_abs / _SHARE
        minuit.migrad(ncall=self.stopping_maxfun, iterate=self.n_restarts)
        return SolverResult(
            within(np.array(minuit.values, dtype=np.float64)),
            success=bool(minuit.valid),
            message=_message(minuit.fmin),
            claims={"nfev": int(minuit.nfcn), "njev": int(minuit.ngrad), "edm": float(minuit.fmin.edm)},
        )


def _message(fmin: Any) -> str:
    """How it ended, in words."""
    if fmin.is_valid:
        return "the estimated distance to the minimum is below the tolerance"
    reasons = {
        "the limit on function calls was reached": fmin.has_reached_call_limit,
        "the estimated distance to the minimum is above the tolerance": fmin.is_above_max_edm,
        "the estimate of the Hessian failed": fmin.hesse_failed,
        "a param is at its limit": fmin.has_parameters_at_limit,
    }
    found = [reason for reason, applies in reasons.items() if applies]
    return f"no valid minimum: {', '.join(found) or 'MIGRAD failed'}"
