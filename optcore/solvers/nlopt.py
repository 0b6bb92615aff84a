"""Local solvers of NLopt, an optional library (extra `nlopt`).

Source of all: Johnson (2007), The NLopt nonlinear-optimization package, and the papers that it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.objective import Objective
from optcore.solvers.algorithm import Algorithm, SolverResult, register_algorithm

Vector = NDArray[np.float64]

#: What the return codes of NLopt mean.
MESSAGES = {
    1: "converged",
    2: "the value to stop at was reached",
    3: "ftol was reached",
    4: "xtol was reached",
    5: "maxeval was reached",
    6: "maxtime was reached",
    -1: "NLopt failed",
    -2: "NLopt was given invalid arguments",
    -3: "NLopt ran out of memory",
    -4: "NLopt stopped because of rounding errors",
    -5: "NLopt was stopped",
}
TIGHT = {
    "convergence_xtol_rel": 0.0,
    "convergence_xtol_abs": 0.0,
    "convergence_ftol_rel": 0.0,
    "convergence_ftol_abs": 0.0,
}


@dataclass(frozen=True)
class Nlopt(Algorithm):
    """What all solvers of NLopt share."""

    library: ClassVar[str] = "nlopt"
    extra: ClassVar[str | None] = "nlopt"
    supports_bounds: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = TIGHT
    code: ClassVar[str]  # name of the algorithm in the nlopt module

    convergence_xtol_rel: float = 1e-5
    convergence_xtol_abs: float = 0.0
    convergence_ftol_rel: float = 2e-9
    convergence_ftol_abs: float = 0.0
    stopping_maxfun: int = 1_000_000

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run NLopt. What the user's function raises passes through."""
        import nlopt

        fun, jac = objective.scalar_callables(jointly=self.asks_jointly)
        raised: list[BaseException] = []

        def evaluate(x: Vector, gradient: Vector) -> float:
            try:
                value = fun(x)
                if gradient.size:
                    gradient[:] = jac(x)
            except BaseException as error:
                raised.append(error)
                raise
            return float(value)

        solver = nlopt.opt(getattr(nlopt, self.code), x0.size)
        solver.set_min_objective(evaluate)
        solver.set_xtol_rel(self.convergence_xtol_rel)
        solver.set_xtol_abs(self.convergence_xtol_abs)
        solver.set_ftol_rel(self.convergence_ftol_rel)
        solver.set_ftol_abs(self.convergence_ftol_abs)
        solver.set_maxeval(self.stopping_maxfun)
        if bounds.any:
            solver.set_lower_bounds(bounds.lower)
            solver.set_upper_bounds(bounds.upper)
        return self._run(solver, x0, objective, raised)

    @staticmethod
    def _run(solver: Any, x0: Vector, objective: Objective, raised: list[BaseException]) -> SolverResult:
        failure: Exception | None = None
        try:
            x = np.asarray(solver.optimize(x0), dtype=np.float64)
        except Exception as error:  # noqa: BLE001  NLopt's failures, and what we raised, come as many types
            failure = error
        if raised:  # outside of the except clause, so that its cause stays what it was
            raise raised[0]
        if failure is not None:
            best = objective.best_x
            message = f"NLopt failed: {str(failure).strip() or 'generic failure, code -1'}"
            return SolverResult(x0 if best is None else best, success=False, message=message)
        code = int(solver.last_optimize_result())
        return SolverResult(x, success=code in (1, 2, 3, 4), message=MESSAGES.get(code, f"return code {code}"))


@register_algorithm
@dataclass(frozen=True)
class NloptLBFGSB(Nlopt):
    """Limited-memory BFGS of Luksan, with bounds: Liu & Nocedal (1989), Math. Programming 45."""

    name: ClassVar[str] = "nlopt_lbfgsb"
    code: ClassVar[str] = "LD_LBFGS"
    needs_jac: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = True


@register_algorithm
@dataclass(frozen=True)
class NloptSLSQP(Nlopt):
    """Sequential least-squares quadratic programming: Kraft (1994), ACM Trans. Math. Software 20(3)."""

    name: ClassVar[str] = "nlopt_slsqp"
    code: ClassVar[str] = "LD_SLSQP"
    needs_jac: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = True


@register_algorithm
@dataclass(frozen=True)
class NloptMMA(Nlopt):
    """The method of moving asymptotes: Svanberg (2002), SIAM J. Optim. 12(2)."""

    name: ClassVar[str] = "nlopt_mma"
    code: ClassVar[str] = "LD_MMA"
    needs_jac: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = True


@register_algorithm
@dataclass(frozen=True)
class NloptTNewton(Nlopt):
    """Preconditioned truncated Newton with restarts: Dembo & Steihaug (1983), Math. Programming 26."""

    name: ClassVar[str] = "nlopt_tnewton"
    code: ClassVar[str] = "LD_TNEWTON_PRECOND_RESTART"
    needs_jac: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = True


@register_algorithm
@dataclass(frozen=True)
class NloptBOBYQA(Nlopt):
    """Quadratic models in a trust region, without derivatives: Powell (2009), DAMTP 2009/NA06."""

    name: ClassVar[str] = "nlopt_bobyqa"
    code: ClassVar[str] = "LN_BOBYQA"


@register_algorithm
@dataclass(frozen=True)
class NloptNelderMead(Nlopt):
    """The downhill simplex with bounds: Nelder & Mead (1965), Computer Journal 7(4); Box (1965), same journal 8(1)."""

    name: ClassVar[str] = "nlopt_neldermead"
    code: ClassVar[str] = "LN_NELDERMEAD"


@register_algorithm
@dataclass(frozen=True)
class NloptSbplx(Nlopt):
    """Simplex searches in subspaces: Rowan (1990), PhD thesis, University of Texas at Austin."""

    name: ClassVar[str] = "nlopt_sbplx"
    code: ClassVar[str] = "LN_SBPLX"
