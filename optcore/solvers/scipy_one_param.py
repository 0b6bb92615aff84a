"""The minimizers of scipy.optimize for functions of one number, with harmonised options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.objective import Objective
from optcore.solvers.algorithm import Algorithm, SolverResult, register_algorithm
from optcore.solvers.options import POSITIVE, UNLIMITED, Rule, or_none
from optcore.solvers.scipy_scalar import initial_radius, quiet, read_scipy_result, scipy_arguments

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class ScipyOneParam(Algorithm):
    """What the methods of scipy.optimize.minimize_scalar share."""

    method: ClassVar[str]

    def misfit(self, bounds: FlatBounds, names: Callable[[], Sequence[str]]) -> str | None:
        """Why it can't work on params with these bounds and names, and what to do; None if it can."""
        if bounds.lower.size != 1:
            return (
                f"{self.name} minimizes functions of one number, but there are {bounds.lower.size} params; use a "
                "solver for several, such as scipy_neldermead"
            )
        return super().misfit(bounds, names)

    def where(self, x0: Vector, bounds: FlatBounds) -> dict[str, Any]:
        """Where to search, as scipy takes it."""
        raise NotImplementedError

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run scipy.optimize.minimize_scalar."""
        import scipy.optimize

        with quiet():
            result = scipy.optimize.minimize_scalar(
                lambda x: objective.value(np.array([x], dtype=np.float64)),
                method=self.method,
                options=scipy_arguments(self),
                **self.where(x0, bounds),
            )
        result.message = " ".join(str(result.message).split())
        return read_scipy_result(result)


@dataclass(frozen=True)
class ScipyBracketing(ScipyOneParam):
    """What the methods share that begin with a search for a bracket of the minimum."""

    library_names: ClassVar[Mapping[str, str]] = {"convergence_xtol_rel": "xtol", "stopping_maxiter": "maxiter"}
    rules: ClassVar[Mapping[str, Rule]] = {"initial_step": or_none(POSITIVE)}

    convergence_xtol_rel: float = 1e-8
    stopping_maxiter: int = UNLIMITED
    initial_step: float | None = None

    def where(self, x0: Vector, bounds: FlatBounds) -> dict[str, Any]:  # noqa: ARG002  it takes none
        """The first two points of the search for a bracket."""
        start = float(x0[0])
        return {"bracket": (start, start + initial_radius(self.initial_step, x0))}


@register_algorithm
@dataclass(frozen=True)
class ScipyBrent(ScipyBracketing):
    """Parabolas through three points, and golden sections where they fail, for functions of one number.

    Args:
        initial_step: from the start to the second point of the search for a bracket, which goes downhill from there;
            None: a tenth of the start, and at least 0.1.

    References:
        Brent (1973), Algorithms for Minimization without Derivatives, chapter 5.
    """

    name: ClassVar[str] = "scipy_brent"
    method: ClassVar[str] = "brent"
    tight: ClassVar[Mapping[str, float]] = {"convergence_xtol_rel": 0.0}


@register_algorithm
@dataclass(frozen=True)
class ScipyGolden(ScipyBracketing):
    """Golden sections of a bracket, for functions of one number.

    Args:
        initial_step: from the start to the second point of the search for a bracket, which goes downhill from there;
            None: a tenth of the start, and at least 0.1.

    References:
        Kiefer (1953), Proc. Amer. Math. Soc. 4(3).
    """

    name: ClassVar[str] = "scipy_golden"
    method: ClassVar[str] = "golden"
    tight: ClassVar[Mapping[str, float]] = {"convergence_xtol_rel": 1e-15}


@register_algorithm
@dataclass(frozen=True)
class ScipyBounded(ScipyOneParam):
    """Brent's method between two bounds, for functions of one number. Its points do not depend on the start.

    References:
        Forsythe, Malcolm & Moler (1977), Computer Methods for Mathematical Computations, section 8.2.
    """

    name: ClassVar[str] = "scipy_bounded"
    method: ClassVar[str] = "bounded"
    library_names: ClassVar[Mapping[str, str]] = {"convergence_xtol_abs": "xatol", "stopping_maxiter": "maxiter"}
    supports_bounds: ClassVar[bool] = True
    needs_bounds: ClassVar[bool] = True
    needs_room: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_xtol_abs": 0.0}

    convergence_xtol_abs: float = 1e-8
    stopping_maxiter: int = UNLIMITED

    def where(self, x0: Vector, bounds: FlatBounds) -> dict[str, Any]:  # noqa: ARG002  it does without
        """The interval."""
        return {"bounds": (float(bounds.lower[0]), float(bounds.upper[0]))}
