"""The global minimizers of scipy.optimize that search locally, too, with harmonised options.

The local solver is any of the local ones here, with its options, and asks for derivatives like that one alone: the
user's jac, or numerical ones. Random solvers are seeded, with 0 unless asked otherwise, so that the same call gives
the same result; `seed=None` gives another one each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.objective import Objective
from optcore.solvers.algorithm import SolverResult, register_algorithm
from optcore.solvers.options import (
    CALLABLE,
    COUNT,
    NUMBER,
    POSITIVE,
    SWITCH,
    TOLERANCE,
    UNLIMITED,
    Rule,
    between,
    one_of,
    or_none,
    within,
)
from optcore.solvers.scipy_local_search import Search, WithLocalSearch
from optcore.solvers.scipy_scalar import intervals, read_scipy_result, scipy_arguments

Vector = NDArray[np.float64]


@register_algorithm
@dataclass(frozen=True)
class ScipyBasinhopping(WithLocalSearch):
    """Random steps from one local minimum to the next, each accepted with a probability that falls with the value.

    Needs no bounds; where there are some, the local searches begin within them.

    Args:
        n_local_optimizations: local searches after the first one.
        temperature: typical difference between the values of neighbouring minima.
        stepsize: largest random step of a param, to begin with.
        interval: the step size is adapted every so many steps.
        target_accept_rate: part of the steps that the step size is adapted to.
        stepwise_factor: by which the step size is adapted.
        convergence_n_unchanged_iterations: stop when the best value is the same for so many steps; None: never.
        take_step: a function of the params, shape (n,), that gives the params after a random step, instead of that
            with `stepsize`.
        accept_test: a function of f_new, x_new, f_old and x_old that says whether a step may be accepted at all.

    References:
        Wales & Doye (1997), J. Phys. Chem. A 101(28).
    """

    name: ClassVar[str] = "scipy_basinhopping"
    is_deterministic: ClassVar[bool] = False
    tight: ClassVar[Mapping[str, float]] = {"n_local_optimizations": UNLIMITED}
    library_names: ClassVar[Mapping[str, str]] = {
        "n_local_optimizations": "niter",
        "temperature": "T",
        "stepsize": "stepsize",
        "interval": "interval",
        "target_accept_rate": "target_accept_rate",
        "stepwise_factor": "stepwise_factor",
        "convergence_n_unchanged_iterations": "niter_success",
        "take_step": "take_step",
        "accept_test": "accept_test",
        "seed": "rng",
    }
    rules: ClassVar[Mapping[str, Rule]] = {
        "n_local_optimizations": COUNT,
        "temperature": TOLERANCE,
        "stepsize": POSITIVE,
        "interval": COUNT,
        "target_accept_rate": between(0, 1),
        "stepwise_factor": between(0, 1),
        "convergence_n_unchanged_iterations": or_none(COUNT),
        "take_step": or_none(CALLABLE),
        "accept_test": or_none(CALLABLE),
    }

    n_local_optimizations: int = 100
    temperature: float = 1.0
    stepsize: float = 0.5
    interval: int = 50
    target_accept_rate: float = 0.5
    stepwise_factor: float = 0.9
    convergence_n_unchanged_iterations: int | None = None
    take_step: Callable[[Vector], Vector] | None = None
    accept_test: Callable[..., bool] | None = None
    seed: int | None = 0

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run scipy.optimize.basinhopping."""
        import scipy.optimize

        search = Search(objective, self.local, bounds)
        result = scipy.optimize.basinhopping(
            search.value, x0, minimizer_kwargs={"method": search.method}, **scipy_arguments(self)
        )
        return read_scipy_result(result)


@register_algorithm
@dataclass(frozen=True)
class ScipySHGO(WithLocalSearch):
    """Simplicial homology: local searches from the minima of a graph of sampled points.

    Its points do not depend on the start.

    Args:
        n_sampling_points: points that are sampled in each iteration.
        n_simplex_iterations: iterations; without effect where another limit is given.
        sampling_method: 'simplicial', 'halton' or 'sobol'.
        stopping_maxfun: stop after so many sampled points; None: no limit.
        stopping_maxiter: stop after so many iterations; None: no limit.
        max_sampling_evaluations: stop after so many sampled points, infeasible ones included; None: no limit.
        convergence_minimum_criterion_value: stop at a point with this value; None: it is not known.
        minimum_homology_group_rank_differential: stop when an iteration finds no more new minima than this; None: no
            limit.
        symmetry: the function is the same for any order of the params.
        minimize_every_iteration: search locally in every iteration, not only after the last one.
        max_local_minimizations_per_iteration: local searches in each iteration, from the best points on; None: all.
        infinity_constraints: treat infinite values as points that aren't there.

    References:
        Endres, Sandrock & Focke (2018), J. Global Optim. 72(2).
    """

    name: ClassVar[str] = "scipy_shgo"
    needs_bounds: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"stopping_maxfun": UNLIMITED}
    library_names: ClassVar[Mapping[str, str]] = {
        "n_sampling_points": "n",
        "n_simplex_iterations": "iters",
        "sampling_method": "sampling_method",
        "stopping_maxfun": "maxfev",
        "stopping_maxiter": "maxiter",
        "max_sampling_evaluations": "maxev",
        "convergence_minimum_criterion_value": "f_min",
        "convergence_minimum_criterion_tolerance": "f_tol",
        "minimum_homology_group_rank_differential": "minhgrd",
        "symmetry": "symmetry",
        "minimize_every_iteration": "minimize_every_iter",
        "max_local_minimizations_per_iteration": "local_iter",
        "infinity_constraints": "infty_constraints",
    }
    rules: ClassVar[Mapping[str, Rule]] = {
        "n_sampling_points": COUNT,
        "n_simplex_iterations": COUNT,
        "sampling_method": one_of("simplicial", "halton", "sobol"),
        "stopping_maxfun": or_none(COUNT),
        "stopping_maxiter": or_none(COUNT),
        "max_sampling_evaluations": or_none(COUNT),
        "convergence_minimum_criterion_value": or_none(NUMBER),
        "minimum_homology_group_rank_differential": or_none(COUNT),
        "symmetry": SWITCH,
        "minimize_every_iteration": SWITCH,
        "max_local_minimizations_per_iteration": or_none(COUNT),
        "infinity_constraints": SWITCH,
    }

    n_sampling_points: int = 128
    n_simplex_iterations: int = 1
    sampling_method: Literal["simplicial", "halton", "sobol"] = "simplicial"
    stopping_maxfun: int | None = None
    stopping_maxiter: int | None = None
    max_sampling_evaluations: int | None = None
    convergence_minimum_criterion_value: float | None = None
    convergence_minimum_criterion_tolerance: float = 1e-4
    minimum_homology_group_rank_differential: int | None = None
    symmetry: bool = False
    minimize_every_iteration: bool = True
    max_local_minimizations_per_iteration: int | None = None
    infinity_constraints: bool = True

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run scipy.optimize.shgo."""
        import scipy.optimize

        search = Search(objective, self.local, bounds)
        options = {name: value for name, value in scipy_arguments(self).items() if value is not None}
        own = {name: options.pop(name) for name in ("n", "iters", "sampling_method")}
        result = scipy.optimize.shgo(
            search.value, intervals(bounds), minimizer_kwargs={"method": search.method}, options=options, **own
        )
        if result.x is None:  # no sampled point had a finite value
            return SolverResult(x0, success=False, message=str(result.message))
        return read_scipy_result(result)


@register_algorithm
@dataclass(frozen=True)
class ScipyDualAnnealing(WithLocalSearch):
    """Generalized simulated annealing, with local searches from where it gets better.

    Args:
        initial_temperature: the higher, the farther the first steps.
        restart_temperature_ratio: begin anew when the temperature is at this part of the first one.
        visit: shape of the distribution of steps; the higher, the heavier its tails.
        accept: how hardly worse points are accepted; the lower, the harder.
        no_local_search: anneal only.

    References:
        Xiang, Sun, Fan & Gong (1997), Physics Letters A 233(3); Tsallis & Stariolo (1996), Physica A 233(1-2).
    """

    name: ClassVar[str] = "scipy_dual_annealing"
    needs_bounds: ClassVar[bool] = True
    needs_room: ClassVar[bool] = True
    is_deterministic: ClassVar[bool] = False
    tight: ClassVar[Mapping[str, float]] = {"stopping_maxiter": UNLIMITED}
    library_names: ClassVar[Mapping[str, str]] = {
        "stopping_maxiter": "maxiter",
        "stopping_maxfun": "maxfun",
        "initial_temperature": "initial_temp",
        "restart_temperature_ratio": "restart_temp_ratio",
        "visit": "visit",
        "accept": "accept",
        "no_local_search": "no_local_search",
        "seed": "rng",
    }
    rules: ClassVar[Mapping[str, Rule]] = {
        "initial_temperature": between(0.01, 50_001),
        "restart_temperature_ratio": between(0, 1),
        "visit": between(1, 3),
        "accept": within(-1e4, -5),
        "no_local_search": SWITCH,
    }

    stopping_maxiter: int = 1000
    stopping_maxfun: int = UNLIMITED
    initial_temperature: float = 5230.0
    restart_temperature_ratio: float = 2e-5
    visit: float = 2.62
    accept: float = -5.0
    no_local_search: bool = False
    seed: int | None = 0

    @property
    def uses_local_search(self) -> bool:
        """Whether the local solver is used at all."""
        return not self.no_local_search

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run scipy.optimize.dual_annealing."""
        import scipy.optimize

        search = Search(objective, self.local, bounds)
        result = scipy.optimize.dual_annealing(
            search.value, intervals(bounds), minimizer_kwargs={"method": search.method}, x0=x0, **scipy_arguments(self)
        )
        return read_scipy_result(result)
