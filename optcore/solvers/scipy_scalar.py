"""The local scalar minimizers of scipy.optimize that use gradients, with harmonised options.

Those that use values only are in scipy_derivative_free.py.

Option names and defaults are those that optimagic made common: `convergence_*` and `stopping_*`. scipy.optimize is
imported when a solver runs.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.objective import Objective
from optcore.solvers.algorithm import Algorithm, SolverResult, register_algorithm
from optcore.solvers.options import NUMBER, TOLERANCE, WHOLE, Rule
from optcore.solvers.options import UNLIMITED as UNLIMITED

Vector = NDArray[np.float64]
#: Below the square root of the smallest float, solvers divide by squares that have become 0.
NO_GRADIENT = 1e-100
_STOPPED_BY_CALLBACK = 3
RADIUS = "trustregion_initial_radius"


@dataclass(frozen=True)
class ScipyScalar(Algorithm):
    """What the methods of scipy.optimize.minimize share."""

    copies_x: ClassVar[bool] = True
    method: ClassVar[str]

    def scipy_options(self, x0: Vector) -> dict[str, Any]:
        """The options under scipy's own names, for a start of shape (n,)."""
        options = scipy_arguments(self)
        if RADIUS in self.library_names:
            options[self.library_names[RADIUS]] = initial_radius(getattr(self, RADIUS), x0)
        return options

    def arguments(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> tuple[Any, dict[str, Any]]:
        """The function and the further arguments of scipy.optimize.minimize, for a start of shape (n,)."""
        import scipy.optimize

        fun, jac = objective.scalar_callables(jointly=self.asks_jointly)
        arguments: dict[str, Any] = {"method": self.method, "options": self.scipy_options(x0)}
        if self.needs_jac:
            arguments["jac"] = jac
        if self.supports_bounds and bounds.any:
            arguments["bounds"] = scipy.optimize.Bounds(bounds.lower, bounds.upper)
        return fun, arguments

    def minimize(self, objective: Objective, x0: Vector, bounds: FlatBounds, fun: Any = None) -> Any:
        """Run scipy.optimize.minimize; its result.

        Args:
            objective: to be minimized.
            x0: the start, shape (n,).
            bounds: of the params.
            fun: called instead of what the objective offers; for global solvers, which count in it.
        """
        import scipy.optimize

        own, arguments = self.arguments(objective, x0, bounds)
        return scipy.optimize.minimize(own if fun is None else fun, x0, **arguments)

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run scipy.optimize.minimize."""
        return read_scipy_result(self.minimize(objective, x0, bounds))


def read_scipy_result(result: Any) -> SolverResult:
    """A SolverResult from scipy's OptimizeResult."""
    nit = result.get("nit")
    claims = {name: result[name] for name in ("nfev", "njev", "status") if name in result}
    message = result.message
    return SolverResult(
        x=np.atleast_1d(np.asarray(result.x, dtype=np.float64)),
        success=bool(result.success),
        message="; ".join(message) if isinstance(message, list) else str(message),
        n_iterations=None if nit is None else int(nit),
        claims=claims,
    )


def scipy_arguments(algorithm: Algorithm) -> dict[str, Any]:
    """The options under scipy's own names."""
    return {theirs: getattr(algorithm, ours) for ours, theirs in algorithm.library_names.items()}


def intervals(bounds: FlatBounds) -> list[tuple[float, float]]:
    """Bounds as scipy's global solvers take them."""
    return list(zip(bounds.lower.tolist(), bounds.upper.tolist(), strict=True))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without scipy's own warnings where it computes with infinite values, and with ever larger ones."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "invalid value|overflow", RuntimeWarning, module=r"scipy\.optimize\.")
        yield


def initial_radius(radius: float | None, x0: Vector) -> float:
    """The trust region to start with: a tenth of the largest param, and at least 0.1, unless it is given."""
    return 0.1 * max(float(np.max(np.abs(x0))), 1.0) if radius is None else radius


@register_algorithm
@dataclass(frozen=True)
class ScipyLBFGSB(ScipyScalar):
    """Limited-memory BFGS with bounds.

    Args:
        convergence_ftol_rel: stop when the value falls by less than this times max(|value|, 1), so that it is an
            absolute tolerance near zero; scipy's L-BFGS-B has no other.
        convergence_gtol_abs: stop when no entry of the gradient, projected onto the bounds, is larger than this.
        memory: another name of limited_memory_storage_length.

    References:
        Byrd, Lu, Nocedal & Zhu (1995), SIAM J. Sci. Comput. 16(5).
    """

    name: ClassVar[str] = "scipy_lbfgsb"
    method: ClassVar[str] = "L-BFGS-B"
    library_names: ClassVar[Mapping[str, str]] = {
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
    aliases: ClassVar[Mapping[str, str]] = {"memory": "limited_memory_storage_length"}

    convergence_ftol_rel: float = 2e-9
    convergence_gtol_abs: float = 1e-5
    stopping_maxfun: int = UNLIMITED
    stopping_maxiter: int = UNLIMITED
    limited_memory_storage_length: int = 10
    max_line_search_steps: int = 20
    memory: InitVar[int | None] = field(default=None, kw_only=True)


@register_algorithm
@dataclass(frozen=True)
class ScipyBFGS(ScipyScalar):
    """BFGS with a Wolfe line search.

    References:
        Nocedal & Wright (2006), Numerical Optimization, algorithm 6.1.
    """

    name: ClassVar[str] = "scipy_bfgs"
    method: ClassVar[str] = "BFGS"
    library_names: ClassVar[Mapping[str, str]] = {
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
    """Nonlinear conjugate gradients of Polak and Ribiere.

    References:
        Nocedal & Wright (2006), Numerical Optimization, section 5.2.
    """

    name: ClassVar[str] = "scipy_conjugate_gradient"
    method: ClassVar[str] = "CG"
    library_names: ClassVar[Mapping[str, str]] = {
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

    Args:
        convergence_xtol_rel: stop when the params change by less than this on average.

    References:
        Nocedal & Wright (2006), Numerical Optimization, section 7.1.
    """

    name: ClassVar[str] = "scipy_newton_cg"
    method: ClassVar[str] = "Newton-CG"
    library_names: ClassVar[Mapping[str, str]] = {
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
    """Sequential least-squares quadratic programming.

    References:
        Kraft (1988), DFVLR-FB 88-28.
    """

    name: ClassVar[str] = "scipy_slsqp"
    method: ClassVar[str] = "SLSQP"
    library_names: ClassVar[Mapping[str, str]] = {
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
    """Truncated Newton with bounds (TNC).

    Args:
        max_hess_evaluations_per_iteration: Hessian products (a gradient each) per iteration at most; -1: max(1,
            min(50, n / 2)), 0: the gradient is the direction.
        max_step_for_line_search: longest step of the line search, which may enlarge it; 0: 10.
        line_search_severity: how exact the line search is, below 1; -1: 0.25.
        finite_difference_precision: relative precision of the differences of gradients; 0: as rounding allows.
        criterion_rescale_factor: log10 of the factor between scalings of the value; 0: at each iteration, -1: 1.3.
        func_min_estimate: a value that the minimum is not below, about.

    References:
        Nash (1984), SIAM J. Numer. Anal. 21(4).
    """

    name: ClassVar[str] = "scipy_truncated_newton"
    method: ClassVar[str] = "TNC"
    library_names: ClassVar[Mapping[str, str]] = {
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

    rules: ClassVar[Mapping[str, Rule]] = {
        "max_hess_evaluations_per_iteration": WHOLE,
        "max_step_for_line_search": TOLERANCE,
        "line_search_severity": NUMBER,
        "finite_difference_precision": TOLERANCE,
        "criterion_rescale_factor": NUMBER,
        "func_min_estimate": NUMBER,
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
    """Trust-region interior point with a BFGS Hessian.

    Args:
        convergence_gtol_abs: stop when no entry of the gradient of the Lagrangian is larger than this.
        convergence_xtol_rel: stop when the radius of the trust region is below this.

    References:
        Byrd, Hribar & Nocedal (1999), SIAM J. Optim. 9(4).
    """

    name: ClassVar[str] = "scipy_trust_constr"
    method: ClassVar[str] = "trust-constr"
    library_names: ClassVar[Mapping[str, str]] = {
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

    def minimize(self, objective: Objective, x0: Vector, bounds: FlatBounds, fun: Any = None) -> Any:
        """Run it without its warnings about quasi-Newton updates, which tell a user nothing to act on."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="delta_grad == 0.0", category=UserWarning)
            result = super().minimize(objective, x0, bounds, fun)
        if result.status == _STOPPED_BY_CALLBACK:
            result.message = "the gradient is infinite"
        return result

    def arguments(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> tuple[Any, dict[str, Any]]:
        """As for all, and a stop where the gradient is infinite: it would go on for ever, without any further call."""
        fun, arguments = super().arguments(objective, x0, bounds)
        return fun, {**arguments, "callback": lambda _, state: not np.isfinite(state.grad).all()}
