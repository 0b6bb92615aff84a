"""The local scalar minimizers of scipy.optimize, with harmonised options.

Option names and defaults are those that optimagic made common: `convergence_*` and `stopping_*`. scipy.optimize is
imported when a solver runs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.objective import Objective
from optcore.solvers.algorithm import Algorithm, SolverResult, register_algorithm

Vector = NDArray[np.float64]
UNLIMITED = 1_000_000
#: Below the square root of the smallest float, solvers divide by squares that have become 0.
NO_GRADIENT = 1e-100
RADIUS = "trustregion_initial_radius"


@dataclass(frozen=True)
class ScipyScalar(Algorithm):
    """What the methods of scipy.optimize.minimize share."""

    copies_x: ClassVar[bool] = True
    method: ClassVar[str]
    scipy_names: ClassVar[Mapping[str, str]]  # our name of an option -> scipy's

    def scipy_options(self, x0: Vector) -> dict[str, Any]:
        """The options under scipy's own names, for a start of shape (n,)."""
        options = {theirs: getattr(self, ours) for ours, theirs in self.scipy_names.items()}
        if RADIUS in self.scipy_names:
            options[self.scipy_names[RADIUS]] = initial_radius(getattr(self, RADIUS), x0)
        return options

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run scipy.optimize.minimize."""
        import scipy.optimize

        fun, jac = objective.scalar_callables(jointly=self.asks_jointly)
        arguments: dict[str, Any] = {"method": self.method, "options": self.scipy_options(x0)}
        if self.needs_jac:
            arguments["jac"] = jac
        if self.supports_bounds and bounds.any:
            arguments["bounds"] = scipy.optimize.Bounds(bounds.lower, bounds.upper)
        return read_scipy_result(scipy.optimize.minimize(fun, x0, **arguments))


def read_scipy_result(result: Any) -> SolverResult:
    """A SolverResult from scipy's OptimizeResult."""
    nit = result.get("nit")
    claims = {name: result[name] for name in ("nfev", "njev", "status") if name in result}
    return SolverResult(
        x=np.atleast_1d(np.asarray(result.x, dtype=np.float64)),
        success=bool(result.success),
        message=str(result.message),
        n_iterations=None if nit is None else int(nit),
        claims=claims,
    )


def initial_radius(radius: float | None, x0: Vector) -> float:
    """The trust region to start with: a tenth of the largest param, and at least 0.1, unless it is given."""
    return 0.1 * max(float(np.max(np.abs(x0))), 1.0) if radius is None else radius


@register_algorithm
@dataclass(frozen=True)
class ScipyLBFGSB(ScipyScalar):
    """Limited-memory BFGS with bounds: Byrd, Lu, Nocedal & Zhu (1995), SIAM J. Sci. Comput. 16(5)."""

    name: ClassVar[str] = "scipy_lbfgsb"
    method: ClassVar[str] = "L-BFGS-B"
    scipy_names: ClassVar[Mapping[str, str]] = {
        "convergence_ftol_rel": "ftol",
        "convergence_gtol_abs": "gtol",
        "stopping_maxfun": "maxfun",
        "stopping_maxiter": "maxiter",
        "limited_memory_storage_length": "maxcor",
        "max_line_search_steps": "maxls",
    }
    never_returns: ClassVar[bool] = True  # one step of its line search, one value, one gradient
    needs_jac: ClassVar[bool] = True
    supports_bounds: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_ftol_rel": 0.0, "convergence_gtol_abs": NO_GRADIENT}

    convergence_ftol_rel: float = 2e-9
    convergence_gtol_abs: float = 1e-5
    stopping_maxfun: int = UNLIMITED
    stopping_maxiter: int = UNLIMITED
    limited_memory_storage_length: int = 10
    max_line_search_steps: int = 20


@register_algorithm
@dataclass(frozen=True)
class ScipyBFGS(ScipyScalar):
    """BFGS with a Wolfe line search: Nocedal & Wright (2006), algorithm 6.1."""

    name: ClassVar[str] = "scipy_bfgs"
    method: ClassVar[str] = "BFGS"
    scipy_names: ClassVar[Mapping[str, str]] = {
        "convergence_gtol_abs": "gtol",
        "convergence_xtol_rel": "xrtol",
        "stopping_maxiter": "maxiter",
        "norm": "norm",
        "armijo_condition": "c1",
        "curvature_condition": "c2",
    }
    needs_jac: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_gtol_abs": NO_GRADIENT, "convergence_xtol_rel": 0.0}

    convergence_gtol_abs: float = 1e-5
    convergence_xtol_rel: float = 1e-5
    stopping_maxiter: int = UNLIMITED
    norm: float = np.inf
    armijo_condition: float = 1e-4
    curvature_condition: float = 0.9


@register_algorithm
@dataclass(frozen=True)
class ScipyConjugateGradient(ScipyScalar):
    """Nonlinear conjugate gradients of Polak and Ribiere: Nocedal & Wright (2006), section 5.2."""

    name: ClassVar[str] = "scipy_conjugate_gradient"
    method: ClassVar[str] = "CG"
    scipy_names: ClassVar[Mapping[str, str]] = {
        "convergence_gtol_abs": "gtol",
        "stopping_maxiter": "maxiter",
        "norm": "norm",
    }
    needs_jac: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_gtol_abs": NO_GRADIENT}

    convergence_gtol_abs: float = 1e-5
    stopping_maxiter: int = UNLIMITED
    norm: float = np.inf


@register_algorithm
@dataclass(frozen=True)
class ScipyNewtonCG(ScipyScalar):
    """Newton's method, its systems solved by conjugate gradients with Hessian products from gradient differences.

    Nocedal & Wright (2006), section 7.1.
    """

    name: ClassVar[str] = "scipy_newton_cg"
    method: ClassVar[str] = "Newton-CG"
    scipy_names: ClassVar[Mapping[str, str]] = {
        "convergence_xtol_rel": "xtol",
        "stopping_maxiter": "maxiter",
    }
    needs_jac: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_xtol_rel": 1e-15}

    convergence_xtol_rel: float = 1e-5
    stopping_maxiter: int = UNLIMITED


@register_algorithm
@dataclass(frozen=True)
class ScipySLSQP(ScipyScalar):
    """Sequential least-squares quadratic programming: Kraft (1988), DFVLR-FB 88-28."""

    name: ClassVar[str] = "scipy_slsqp"
    method: ClassVar[str] = "SLSQP"
    scipy_names: ClassVar[Mapping[str, str]] = {
        "convergence_ftol_abs": "ftol",
        "stopping_maxiter": "maxiter",
    }
    needs_jac: ClassVar[bool] = True
    supports_bounds: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_ftol_abs": 1e-16}

    convergence_ftol_abs: float = 1e-8
    stopping_maxiter: int = UNLIMITED


@register_algorithm
@dataclass(frozen=True)
class ScipyTruncatedNewton(ScipyScalar):
    """Truncated Newton with bounds (TNC): Nash (1984), SIAM J. Numer. Anal. 21(4)."""

    name: ClassVar[str] = "scipy_truncated_newton"
    method: ClassVar[str] = "TNC"
    scipy_names: ClassVar[Mapping[str, str]] = {
        "convergence_ftol_abs": "ftol",
        "convergence_xtol_abs": "xtol",
        "convergence_gtol_abs": "gtol",
        "stopping_maxfun": "maxfun",
        "max_hess_evaluations_per_iteration": "maxCGit",
        "max_step_for_line_search": "stepmx",
        "line_search_severity": "eta",
        "finite_difference_precision": "accuracy",
        "criterion_rescale_factor": "rescale",
        "func_min_estimate": "minfev",
    }
    needs_jac: ClassVar[bool] = True
    supports_bounds: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {
        "convergence_ftol_abs": 0.0,
        "convergence_xtol_abs": 0.0,
        "convergence_gtol_abs": NO_GRADIENT,
    }

    convergence_ftol_abs: float = 0.0
    convergence_xtol_abs: float = 0.0
    convergence_gtol_abs: float = 1e-5
    stopping_maxfun: int = UNLIMITED
    max_hess_evaluations_per_iteration: int = -1
    max_step_for_line_search: float = 0.0
    line_search_severity: float = -1.0
    finite_difference_precision: float = 0.0
    criterion_rescale_factor: float = -1.0
    func_min_estimate: float = 0.0


@register_algorithm
@dataclass(frozen=True)
class ScipyTrustConstr(ScipyScalar):
    """Trust-region interior point with a BFGS Hessian: Byrd, Hribar & Nocedal (1999), SIAM J. Optim. 9(4)."""

    name: ClassVar[str] = "scipy_trust_constr"
    method: ClassVar[str] = "trust-constr"
    scipy_names: ClassVar[Mapping[str, str]] = {
        "convergence_gtol_abs": "gtol",
        "convergence_xtol_rel": "xtol",
        "stopping_maxiter": "maxiter",
        "trustregion_initial_radius": "initial_tr_radius",
    }
    needs_jac: ClassVar[bool] = True
    supports_bounds: ClassVar[bool] = True
    asks_jointly: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_gtol_abs": 1e-16, "convergence_xtol_rel": 1e-16}

    convergence_gtol_abs: float = 1e-8
    convergence_xtol_rel: float = 1e-5
    stopping_maxiter: int = UNLIMITED
    trustregion_initial_radius: float | None = None

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run it without its warnings about quasi-Newton updates, which tell a user nothing to act on."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="delta_grad == 0.0", category=UserWarning)
            return super().solve(objective, x0, bounds)


@register_algorithm
@dataclass(frozen=True)
class ScipyNelderMead(ScipyScalar):
    """The downhill simplex: Nelder & Mead (1965), Computer Journal 7(4)."""

    name: ClassVar[str] = "scipy_neldermead"
    method: ClassVar[str] = "Nelder-Mead"
    scipy_names: ClassVar[Mapping[str, str]] = {
        "convergence_ftol_abs": "fatol",
        "convergence_xtol_abs": "xatol",
        "stopping_maxfun": "maxfev",
        "stopping_maxiter": "maxiter",
        "adaptive": "adaptive",
    }
    supports_bounds: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_ftol_abs": 0.0, "convergence_xtol_abs": 0.0}

    convergence_ftol_abs: float = 1e-8
    convergence_xtol_abs: float = 1e-8
    stopping_maxfun: int = UNLIMITED
    stopping_maxiter: int = UNLIMITED
    adaptive: bool = False


@register_algorithm
@dataclass(frozen=True)
class ScipyPowell(ScipyScalar):
    """Conjugate directions without derivatives: Powell (1964), Computer Journal 7(2)."""

    name: ClassVar[str] = "scipy_powell"
    method: ClassVar[str] = "Powell"
    scipy_names: ClassVar[Mapping[str, str]] = {
        "convergence_xtol_rel": "xtol",
        "convergence_ftol_rel": "ftol",
        "stopping_maxfun": "maxfev",
        "stopping_maxiter": "maxiter",
    }
    supports_bounds: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_ftol_rel": 0.0, "convergence_xtol_rel": 1e-12}

    convergence_xtol_rel: float = 1e-5
    convergence_ftol_rel: float = 2e-9
    stopping_maxfun: int = UNLIMITED
    stopping_maxiter: int = UNLIMITED


@register_algorithm
@dataclass(frozen=True)
class ScipyCOBYLA(ScipyScalar):
    """Linear models on a simplex, without derivatives: Powell (1994), Math. and its Applications 275."""

    name: ClassVar[str] = "scipy_cobyla"
    method: ClassVar[str] = "COBYLA"
    copies_x: ClassVar[bool] = False
    scipy_names: ClassVar[Mapping[str, str]] = {
        "convergence_xtol_rel": "tol",
        "stopping_maxiter": "maxiter",
        "trustregion_initial_radius": "rhobeg",
    }
    supports_bounds: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_xtol_rel": 1e-14}

    convergence_xtol_rel: float = 1e-5
    stopping_maxiter: int = UNLIMITED
    trustregion_initial_radius: float | None = None


@register_algorithm
@dataclass(frozen=True)
class ScipyCOBYQA(ScipyScalar):
    """Quadratic models in a trust region, without derivatives: Ragonneau (2022), PhD thesis, Hong Kong PolyU."""

    name: ClassVar[str] = "scipy_cobyqa"
    method: ClassVar[str] = "COBYQA"
    copies_x: ClassVar[bool] = False
    scipy_names: ClassVar[Mapping[str, str]] = {
        "convergence_xtol_abs": "final_tr_radius",
        "stopping_maxfun": "maxfev",
        "stopping_maxiter": "maxiter",
        "trustregion_initial_radius": "initial_tr_radius",
    }
    supports_bounds: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_xtol_abs": 1e-14}

    convergence_xtol_abs: float = 1e-6
    stopping_maxfun: int = UNLIMITED
    stopping_maxiter: int = UNLIMITED
    trustregion_initial_radius: float | None = None
