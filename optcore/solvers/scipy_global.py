"""The global minimizers of scipy.optimize that only sample, with harmonised options; see also scipy_hybrid.py.

All search within bounds, and all points lie within them. Differential evolution is seeded, with 0 unless asked
otherwise, so that the same call gives the same result; `seed=None` gives another one each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.objective import Objective
from optcore.solvers.algorithm import Algorithm, SolverResult, register_algorithm
from optcore.solvers.options import (
    CALLABLE,
    COUNT,
    SWITCH,
    UNLIMITED,
    Rule,
    one_of,
    or_none,
    within,
)
from optcore.solvers.scipy_scalar import intervals, read_scipy_result, scipy_arguments

Vector = NDArray[np.float64]
#: Points of a grid, at most: scipy keeps all of them.
LARGEST_GRID = 10_000_000


def _read_mutation(value: Any) -> Any:
    """A weight of differences, or the range of weights, as scipy takes them; None if it is neither."""
    pair = value if isinstance(value, (list, tuple)) else (value, value)
    numbers = [v for v in pair if isinstance(v, (int, float)) and not isinstance(v, bool) and 0 <= v < 2]
    if len(pair) != 2 or len(numbers) != 2:
        return None
    return tuple(value) if isinstance(value, list) else value


def _only(value: float) -> slice:
    """An axis of a grid with one point."""
    return slice(value, np.nextafter(value, np.inf), 1.0)


@register_algorithm
@dataclass(frozen=True)
class ScipyBrute(Algorithm):
    """All points of a grid that reaches from bound to bound.

    Its points do not depend on the start.

    Args:
        n_grid_points: points along each param, so that there are n_grid_points^n.
        polishing_function: a local solver that begins at the best point of the grid and calls what it is given, such as
            scipy.optimize.fmin; None: the best point of the grid is the result.

    References:
        The documentation of scipy.optimize.brute.
    """

    name: ClassVar[str] = "scipy_brute"
    supports_bounds: ClassVar[bool] = True
    needs_bounds: ClassVar[bool] = True
    is_global: ClassVar[bool] = True
    library_names: ClassVar[Mapping[str, str]] = {"n_grid_points": "Ns", "polishing_function": "finish"}
    rules: ClassVar[Mapping[str, Rule]] = {"n_grid_points": COUNT, "polishing_function": or_none(CALLABLE)}

    n_grid_points: int = 20
    polishing_function: Callable[..., Any] | None = None

    def misfit(self, bounds: FlatBounds, names: Callable[[], Sequence[str]]) -> str | None:
        """Why it can't work on params with these bounds and names, and what to do; None if it can."""
        n = int((bounds.lower < bounds.upper).sum())
        if self.n_grid_points**n > LARGEST_GRID:
            return (
                f"{self.name} would evaluate {self.n_grid_points}^{n} points, more than {LARGEST_GRID:,}; lower "
                "n_grid_points or use another global solver, such as scipy_direct"
            )
        return super().misfit(bounds, names)

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:  # noqa: ARG002
        """Run scipy.optimize.brute."""
        import scipy.optimize

        x = scipy.optimize.brute(
            lambda x: objective.value(np.array(x, dtype=np.float64, ndmin=1)),
            ranges=[(low, high) if low < high else _only(low) for low, high in intervals(bounds)],
            **scipy_arguments(self),
        )
        n = int((bounds.lower < bounds.upper).sum())
        points = f"all {self.n_grid_points**n} points of the grid were evaluated"
        return SolverResult(np.array(x, dtype=np.float64, ndmin=1), success=True, message=points)


@register_algorithm
@dataclass(frozen=True)
class ScipyDifferentialEvolution(Algorithm):
    """A population whose members are recombined with differences of others.

    The start is a member of the first population. The polishing at the end is scipy's, with L-BFGS-B and differences
    of its own: those calls count as calls of the function, and a jac is not used.

    Args:
        strategy: how members are recombined, in scipy's words.
        population_size_multiplier: members of the population per param.
        convergence_ftol_rel: stop when the values of the population deviate by less than this, relative to their mean
            (together with convergence_ftol_abs).
        convergence_ftol_abs: stop when the values of the population deviate by less than this.
        mutation_constant: the weight of the differences, or its range, from which it is drawn anew each generation.
        recombination_constant: the probability that an entry is taken from the recombination.
        sampling_method: how the first population is spread, in scipy's words.
        polish: search locally from the best member at the end.

    References:
        Storn & Price (1997), J. Global Optim. 11(4).
    """

    name: ClassVar[str] = "scipy_differential_evolution"
    supports_bounds: ClassVar[bool] = True
    needs_bounds: ClassVar[bool] = True
    is_global: ClassVar[bool] = True
    is_deterministic: ClassVar[bool] = False
    tight: ClassVar[Mapping[str, float]] = {
        "convergence_ftol_rel": 0.0,
        "convergence_ftol_abs": 0.0,
        "stopping_maxiter": UNLIMITED,
    }
    library_names: ClassVar[Mapping[str, str]] = {
        "strategy": "strategy",
        "stopping_maxiter": "maxiter",
        "population_size_multiplier": "popsize",
        "convergence_ftol_rel": "tol",
        "convergence_ftol_abs": "atol",
        "mutation_constant": "mutation",
        "recombination_constant": "recombination",
        "sampling_method": "init",
        "polish": "polish",
        "seed": "rng",
    }
    rules: ClassVar[Mapping[str, Rule]] = {
        "strategy": one_of(
            *("best1bin", "best1exp", "rand1bin", "rand1exp", "rand2bin", "rand2exp", "randtobest1bin"),
            *("randtobest1exp", "currenttobest1bin", "currenttobest1exp", "best2exp", "best2bin"),
        ),
        "population_size_multiplier": COUNT,
        "mutation_constant": Rule("a number of at least 0 and below 2, or a pair of them", _read_mutation),
        "recombination_constant": within(0, 1),
        "sampling_method": one_of("latinhypercube", "sobol", "halton", "random"),
        "polish": SWITCH,
    }

    strategy: str = "best1bin"
    stopping_maxiter: int = 1000
    population_size_multiplier: int = 15
    convergence_ftol_rel: float = 0.01
    convergence_ftol_abs: float = 1e-8
    mutation_constant: float | tuple[float, float] = (0.5, 1.0)
    recombination_constant: float = 0.7
    sampling_method: Literal["latinhypercube", "sobol", "halton", "random"] = "latinhypercube"
    polish: bool = True
    seed: int | None = 0

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run scipy.optimize.differential_evolution."""
        import scipy.optimize

        result = scipy.optimize.differential_evolution(
            lambda x: objective.value(np.ascontiguousarray(x, dtype=np.float64)),
            intervals(bounds),
            x0=x0,
            **scipy_arguments(self),
        )
        return read_scipy_result(result)


@register_algorithm
@dataclass(frozen=True)
class ScipyDIRECT(Algorithm):
    """Dividing rectangles: the most promising of ever smaller boxes are divided again.

    Its points do not depend on the start.

    Args:
        convergence_ftol_rel: by how much, relative to the best value, a box must promise to be better to be divided;
            the smaller, the more local. No criterion of convergence, in spite of its name.
        convergence_minimum_criterion_value: stop at a point with this value; minus infinity: it is not known.
        volume_hyperrectangle_tolerance: stop when the box with the best value has at most this part of the volume.
        length_hyperrectangle_tolerance: stop when the longest side of that box (half its diagonal, where not locally
            biased) is at most this part of the whole.

    References:
        Jones, Perttunen & Stuckman (1993), J. Optim. Theory Appl. 79(1); Gablonsky & Kelley (2001), J. Global Optim.
        21(1), for `locally_biased`.
    """

    name: ClassVar[str] = "scipy_direct"
    supports_bounds: ClassVar[bool] = True
    needs_bounds: ClassVar[bool] = True
    needs_room: ClassVar[bool] = True
    is_global: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {
        "volume_hyperrectangle_tolerance": 0.0,
        "length_hyperrectangle_tolerance": 0.0,
        "stopping_maxiter": UNLIMITED,
    }
    library_names: ClassVar[Mapping[str, str]] = {
        "convergence_ftol_rel": "eps",
        "stopping_maxfun": "maxfun",
        "stopping_maxiter": "maxiter",
        "locally_biased": "locally_biased",
        "convergence_minimum_criterion_value": "f_min",
        "convergence_minimum_criterion_tolerance": "f_min_rtol",
        "volume_hyperrectangle_tolerance": "vol_tol",
        "length_hyperrectangle_tolerance": "len_tol",
    }
    rules: ClassVar[Mapping[str, Rule]] = {
        "volume_hyperrectangle_tolerance": within(0, 1),
        "length_hyperrectangle_tolerance": within(0, 1),
        "convergence_minimum_criterion_tolerance": within(0, 1),
    }

    convergence_ftol_rel: float = 2e-9
    stopping_maxfun: int = UNLIMITED
    stopping_maxiter: int = 1000
    locally_biased: bool = True
    convergence_minimum_criterion_value: float = -np.inf
    convergence_minimum_criterion_tolerance: float = 1e-4
    volume_hyperrectangle_tolerance: float = 1e-16
    length_hyperrectangle_tolerance: float = 1e-6

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:  # noqa: ARG002
        """Run scipy.optimize.direct. It allocates memory for as many boxes as it may evaluate points."""
        import scipy.optimize

        arguments = scipy_arguments(self)
        budget = objective.evaluator.max_evaluations
        if budget is not None:
            arguments["maxfun"] = min(arguments["maxfun"], budget + 1)
        result = scipy.optimize.direct(
            lambda x: objective.value(np.ascontiguousarray(x, dtype=np.float64)),
            scipy.optimize.Bounds(bounds.lower, bounds.upper),
            **arguments,
        )
        return read_scipy_result(result)
