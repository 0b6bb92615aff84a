"""The trust-region methods of scipy.optimize that need second derivatives.

Second derivatives are differences of gradients, so that these solvers take the same functions as all others: one more
gradient for a product of the Hessian and a vector, n more for the whole Hessian. Where gradients are numerical, too,
second derivatives hold a few digits only and cost n + 1 times as much; quasi-Newton methods are better there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.objective import Objective
from optcore.solvers.algorithm import register_algorithm
from optcore.solvers.options import SWITCH, UNLIMITED, Rule
from optcore.solvers.scipy_scalar import NO_GRADIENT, RADIUS, ScipyScalar, initial_radius

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


class GradientDifferences:
    """Second derivatives at x as differences of gradients.

    Args:
        gradient: of a vector of shape (n,).
        step: relative to 1 + |x|.
    """

    def __init__(self, gradient: Callable[[Vector], Vector], step: float) -> None:
        self._gradient = gradient
        self._step = step
        self._x = b""
        self._base = np.zeros(0)

    def _base_at(self, x: Vector) -> Vector:
        """The gradient at x; asked for once, however many products are taken there."""
        if (data := x.tobytes()) != self._x:
            self._x, self._base = data, self._gradient(x)
        return self._base

    def product(self, x: Vector, p: Vector) -> Vector:
        """The Hessian at x times p, shape (n,). Costs one gradient beside the one at x."""
        base = self._base_at(x)
        length = float(np.linalg.norm(p))
        if not 0 < length < np.inf:
            return np.zeros_like(p)
        h = self._step * (1.0 + float(np.linalg.norm(x))) / length
        return _or_identity((self._gradient(x + h * p) - base) / h, p)

    def matrix(self, x: Vector) -> Matrix:
        """The Hessian at x, shape (n, n), symmetrised. Costs n gradients beside the one at x."""
        base = self._base_at(x)
        hessian = np.empty((x.size, x.size))
        for i in range(x.size):
            moved = x.copy()
            moved[i] += self._step * (1.0 + abs(x[i]))
            hessian[i] = (self._gradient(moved) - base) / (moved[i] - x[i])
        return _or_identity((hessian + hessian.T) / 2, np.eye(x.size))


def _or_identity(derivative: NDArray[np.float64], identity: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the identity would give, where gradients were not finite: the next step is one of steepest descent."""
    return derivative if np.isfinite(derivative).all() else identity


@dataclass(frozen=True)
class ScipyTrustRegion(ScipyScalar):
    """What the methods share."""

    library_names: ClassVar[Mapping[str, str]] = {
        "convergence_gtol_abs": "gtol",
        "stopping_maxiter": "maxiter",
        "trustregion_initial_radius": "initial_trust_radius",
        "trustregion_max_radius": "max_trust_radius",
        "trustregion_acceptance": "eta",
    }
    needs_jac: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_gtol_abs": NO_GRADIENT}
    by_products: ClassVar[bool]  # of the Hessian and vectors, not by the Hessian itself

    convergence_gtol_abs: float = 1e-5
    stopping_maxiter: int = UNLIMITED
    trustregion_initial_radius: float | None = None
    trustregion_max_radius: float | None = None
    trustregion_acceptance: float = 0.15
    hessian_step: float | None = None

    def scipy_options(self, x0: Vector) -> dict[str, Any]:
        """The options under scipy's own names, for a start of shape (n,)."""
        options = super().scipy_options(x0)
        if self.trustregion_max_radius is None:
            radius = initial_radius(getattr(self, RADIUS), x0)
            options["max_trust_radius"] = 1000.0 * max(radius, 1.0)
        return options

    def arguments(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> tuple[Any, dict[str, Any]]:
        """The function and the further arguments of scipy.optimize.minimize, second derivatives among them."""
        fun, arguments = super().arguments(objective, x0, bounds)
        step = objective.derivative_precision**0.5 if self.hessian_step is None else self.hessian_step
        differences = GradientDifferences(arguments["jac"], step)
        if self.by_products:
            return fun, {**arguments, "hessp": differences.product}
        return fun, {**arguments, "hess": differences.matrix}


@register_algorithm
@dataclass(frozen=True)
class ScipyTrustNCG(ScipyTrustRegion):
    """Newton's method in a trust region, its steps by conjugate gradients (Steihaug). A gradient per product.

    References:
        Nocedal & Wright (2006), Numerical Optimization, algorithm 7.2; Steihaug (1983), SIAM J. Numer. Anal. 20(3).
    """

    name: ClassVar[str] = "scipy_trust_ncg"
    method: ClassVar[str] = "trust-ncg"
    by_products: ClassVar[bool] = True


@register_algorithm
@dataclass(frozen=True)
class ScipyTrustKrylov(ScipyTrustRegion):
    """Newton's method in a trust region, its steps nearly exact by a Lanczos process. A gradient per product.

    Args:
        inexact: solve the subproblems less exactly: fewer products, more iterations.

    References:
        Gould, Lucidi, Roma & Toint (1999), SIAM J. Optim. 9(2); Lenders, Kirches & Potschka (2018), Optim. Methods
        Softw. 33(3).
    """

    name: ClassVar[str] = "scipy_trust_krylov"
    method: ClassVar[str] = "trust-krylov"
    library_names: ClassVar[Mapping[str, str]] = {**ScipyTrustRegion.library_names, "inexact": "inexact"}
    rules: ClassVar[Mapping[str, Rule]] = {"inexact": SWITCH}
    by_products: ClassVar[bool] = True

    inexact: bool = True


@register_algorithm
@dataclass(frozen=True)
class ScipyTrustExact(ScipyTrustRegion):
    """Newton's method in a trust region, its steps nearly exact by factorisations. n gradients per Hessian.

    References:
        Conn, Gould & Toint (2000), Trust Region Methods, SIAM, section 7.3; More & Sorensen (1983), SIAM J. Sci.
        Stat. Comput. 4(3).
    """

    name: ClassVar[str] = "scipy_trust_exact"
    method: ClassVar[str] = "trust-exact"
    by_products: ClassVar[bool] = False


@register_algorithm
@dataclass(frozen=True)
class ScipyDogleg(ScipyTrustRegion):
    """Newton's method in a trust region, its steps along a dogleg. n gradients per Hessian.

    It stops, without success, where the Hessian is not positive definite: for convex functions.

    References:
        Nocedal & Wright (2006), Numerical Optimization, section 4.1; Powell (1970), in Nonlinear Programming.
    """

    name: ClassVar[str] = "scipy_dogleg"
    method: ClassVar[str] = "dogleg"
    by_products: ClassVar[bool] = False
