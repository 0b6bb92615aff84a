"""The local scalar minimizers of scipy.optimize that use values only, with harmonised options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from optcore.bounds import FlatBounds
from optcore.objective import Objective
from optcore.solvers.algorithm import register_algorithm
from optcore.solvers.options import UNLIMITED
from optcore.solvers.scipy_scalar import ScipyScalar, Vector, quiet


@register_algorithm
@dataclass(frozen=True)
class ScipyNelderMead(ScipyScalar):
    """The downhill simplex.

    Args:
        convergence_ftol_abs: stop when the values at the corners differ by no more than this (and the params, too).
        convergence_xtol_abs: stop when the params at the corners differ by no more than this (and the values, too).

    References:
        Nelder & Mead (1965), Computer Journal 7(4); Gao & Han (2012), Comput. Optim. Appl. 51(1), for `adaptive`.
    """

    name: ClassVar[str] = "scipy_neldermead"
    method: ClassVar[str] = "Nelder-Mead"
    library_names: ClassVar[Mapping[str, str]] = {
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
    """Conjugate directions without derivatives.

    Args:
        convergence_xtol_rel: relative precision of the line searches.

    References:
        Powell (1964), Computer Journal 7(2).
    """

    name: ClassVar[str] = "scipy_powell"
    method: ClassVar[str] = "Powell"
    library_names: ClassVar[Mapping[str, str]] = {
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

    def minimize(self, objective: Objective, x0: Vector, bounds: FlatBounds, fun: Any = None) -> Any:
        """Run it without scipy's warnings; its line searches compute with infinite values."""
        with quiet():
            return super().minimize(objective, x0, bounds, fun)


@register_algorithm
@dataclass(frozen=True)
class ScipyCOBYLA(ScipyScalar):
    """Linear models on a simplex, without derivatives.

    Args:
        convergence_xtol_rel: stop when the radius of the trust region is at this; not relative, in spite of its name.

    References:
        Powell (1994), Mathematics and its Applications 275.
    """

    name: ClassVar[str] = "scipy_cobyla"
    method: ClassVar[str] = "COBYLA"
    copies_x: ClassVar[bool] = False
    library_names: ClassVar[Mapping[str, str]] = {
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
    """Quadratic models in a trust region, without derivatives.

    Args:
        convergence_xtol_abs: stop when the radius of the trust region is at this.

    References:
        Ragonneau (2022), PhD thesis, Hong Kong Polytechnic University.
    """

    name: ClassVar[str] = "scipy_cobyqa"
    method: ClassVar[str] = "COBYQA"
    copies_x: ClassVar[bool] = False
    library_names: ClassVar[Mapping[str, str]] = {
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
