"""What DFO-LS and Py-BOBYQA share: their options, with names that say what they do, and how they are run.

Both build models by interpolation and need no derivatives. The options are explained where the libraries do, in
their chapters "Advanced Usage"; each has here the name and default that optimagic gave it.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError, unknown_name
from optcore.objective import Objective
from optcore.solvers._box import Box
from optcore.solvers._random import Stream
from optcore.solvers.algorithm import Algorithm, SolverResult
from optcore.solvers.scipy_scalar import UNLIMITED, initial_radius

Vector = NDArray[np.float64]
Samples = int | Callable[..., int] | None

#: What the libraries take for infinity.
_FAR = 1e20
#: Two initial radii must fit between bounds; with exactly two, interpolation fails by rounding.
_FITTING_SHARE = 0.49
#: Of the initial radius: where a box leaves no room for both, the final radius is at most this share of it.
_FINAL_SHARE = 1e-2

#: Our name of an option -> the library's.
PARAMS = {
    "clip_criterion_if_overflowing": "general.check_objfun_for_overflow",
    "convergence_noise_corrected_criterion_tolerance": "noise.scale_factor_for_quit",
    "interpolation_rounding_error": "general.rounding_error_constant",
    "noise_additive_level": "noise.additive_noise_level",
    "noise_multiplicative_level": "noise.multiplicative_noise_level",
    "random_directions_orthogonal": "init.random_directions_make_orthogonal",
    "threshold_for_safety_step": "general.safety_step_thresh",
    "trustregion_expansion_factor_successful": "tr_radius.gamma_inc",
    "trustregion_expansion_factor_very_successful": "tr_radius.gamma_inc_overline",
    "trustregion_precondition_interpolation": "interpolation.precondition",
    "trustregion_shrinking_factor_lower_radius": "tr_radius.alpha1",
    "trustregion_shrinking_factor_not_successful": "tr_radius.gamma_dec",
    "trustregion_shrinking_factor_upper_radius": "tr_radius.alpha2",
    "trustregion_threshold_successful": "tr_radius.eta1",
    "trustregion_threshold_very_successful": "tr_radius.eta2",
}
SLOW_PROGRESS = {
    "threshold_to_characterize_as_slow": "slow.thresh_for_slow",
    "max_insufficient_improvements": "slow.max_slow_iters",
    "comparison_period": "slow.history_for_slow",
}
RESETS = {
    "use_resets": "restarts.use_restarts",
    "minimal_trustregion_radius_tolerance_scaling_at_reset": "restarts.rhoend_scale",
    "reset_type": "restarts.use_soft_restarts",
    "move_center_at_soft_reset": "restarts.soft.move_xk",
    "points_to_replace_at_soft_reset": "restarts.soft.num_geom_steps",
    "max_iterations_without_new_best_after_soft_reset": "restarts.soft.max_fake_successful_steps",
    "max_consecutive_unsuccessful_resets": "restarts.max_unsuccessful_restarts",
    "auto_detect": "restarts.auto_detect",
    "auto_detect_history": "restarts.auto_detect.history",
    "auto_detect_min_correlations": "restarts.auto_detect.min_correl",
}


@dataclass(frozen=True)
class NAG(Algorithm):
    """Options of both, and how they are run.

    Params that their bounds fix are kept out of the model. The initial trust region is made to fit into the box:
    the libraries want at least two radii between bounds. A start closer to a bound than a radius is moved by them.
    Where directions are random they come from a stream of their own, seeded by `seed`.

    Args:
        clip_criterion_if_overflowing: replace values that overflow by large ones.
        convergence_noise_corrected_criterion_tolerance: where a level of noise is given, stop when the values of all
            points are within this times the noise; 0: don't.
        convergence_slow_progress: table of options that say when progress is slow; None: the library's defaults.
        initial_directions: 'coordinate' or 'random', for the first points.
        interpolation_rounding_error: constant for rounding errors in the interpolation.
        noise_additive_level: size of the noise of the function, absolute; None: there is none.
        noise_multiplicative_level: size of the noise of the function, relative to the value; None: there is none.
        noise_n_evals_per_point: evaluations at one point that are averaged: a number, or a function of
            upper_trustregion_radius, lower_trustregion_radius, n_iterations and n_resets; None: 1.
        random_directions_orthogonal: make random directions orthogonal to each other.
        seed: seed of the random numbers.
        threshold_for_safety_step: steps shorter than this times the lower radius are not evaluated; the points are
            improved instead.
        trustregion_expansion_factor_successful: growth of the radius after a successful step.
        trustregion_expansion_factor_very_successful: growth of the radius, by length of step, after a very successful
            one.
        trustregion_initial_radius: the first radius; None: a tenth of the largest param, and at least 0.1, less where
            a box is narrower.
        trustregion_n_interpolation_points: points that the model interpolates; None: the library's choice.
        trustregion_precondition_interpolation: scale the linear systems of the interpolation.
        trustregion_reset_options: table of options for restarts; None: the library's defaults.
        trustregion_shrinking_factor_lower_radius: by which the lower radius shrinks; None: the library's choice.
        trustregion_shrinking_factor_not_successful: by which the radius shrinks after an unsuccessful step; None: the
            library's choice.
        trustregion_shrinking_factor_upper_radius: by which the upper radius shrinks, relative to the lower one, when
            that one does; None: the library's choice.
        trustregion_threshold_successful: part of the predicted fall from which on a step is successful.
        trustregion_threshold_very_successful: part of the predicted fall from which on a step is very successful.
    """

    supports_bounds: ClassVar[bool] = True
    tight: ClassVar[Mapping[str, float]] = {"convergence_minimal_trustregion_radius_tolerance": 1e-14}
    resets: ClassVar[Mapping[str, str]] = RESETS

    clip_criterion_if_overflowing: bool = True
    convergence_minimal_trustregion_radius_tolerance: float = 1e-8
    convergence_noise_corrected_criterion_tolerance: float = 1.0
    convergence_slow_progress: Mapping[str, Any] | None = None
    initial_directions: Literal["coordinate", "random"] = "coordinate"
    interpolation_rounding_error: float = 0.1
    noise_additive_level: float | None = None
    noise_multiplicative_level: float | None = None
    noise_n_evals_per_point: Samples = None
    random_directions_orthogonal: bool = True
    seed: int = 0
    stopping_maxfun: int = UNLIMITED
    threshold_for_safety_step: float = 0.5
    trustregion_expansion_factor_successful: float = 2.0
    trustregion_expansion_factor_very_successful: float = 4.0
    trustregion_initial_radius: float | None = None
    trustregion_n_interpolation_points: int | None = None
    trustregion_precondition_interpolation: bool = True
    trustregion_reset_options: Mapping[str, Any] | None = None
    trustregion_shrinking_factor_lower_radius: float | None = None
    trustregion_shrinking_factor_not_successful: float | None = None
    trustregion_shrinking_factor_upper_radius: float | None = None
    trustregion_threshold_successful: float = 0.1
    trustregion_threshold_very_successful: float = 0.7

    def __post_init__(self, *given: Any) -> None:
        """Check the options."""
        super().__post_init__(*given)
        if self.noise_additive_level is not None and self.noise_multiplicative_level is not None:
            raise InvalidInputError(
                f"{self.name} takes noise_additive_level or noise_multiplicative_level, not both; leave one out"
            )
        self.choice("initial_directions", self.initial_directions, ("coordinate", "random"))
        self.user_params()  # refuses what it can't read

    @property
    def is_noisy(self) -> bool:
        """Whether the function is said to be noisy, which changes the defaults of the libraries."""
        return bool(self.noise_additive_level or self.noise_multiplicative_level)

    def user_params(self) -> dict[str, Any]:
        """The options in the library's words; what isn't given has the library's default, which may depend on n."""
        params = {theirs: getattr(self, ours) for ours, theirs in PARAMS.items()}
        params["noise.quit_on_noise_level"] = self.is_noisy and self.convergence_noise_corrected_criterion_tolerance > 0
        params["init.random_initial_directions"] = self.initial_directions == "random"
        params["slow.thresh_for_slow"] = 1e-8
        params |= self.nested("convergence_slow_progress", SLOW_PROGRESS)
        resets = self.nested("trustregion_reset_options", self.resets)
        soft = self.resets["reset_type"]
        if soft in resets:
            self.choice("reset_type", resets[soft], ("soft", "hard"))
            resets[soft] = resets[soft] == "soft"
        return {**params, **resets}

    def nested(self, option: str, known: Mapping[str, str]) -> dict[str, Any]:
        """An option that is a table, in the library's words."""
        given = getattr(self, option)
        if given is None:
            return {}
        if not isinstance(given, Mapping):
            raise InvalidInputError(f"{option} of {self.name} must be a dict, but is {given!r}")
        for name in given:
            if name not in known:
                raise unknown_name(f"key of {option} of {self.name}", name, known)
        return {known[name]: value for name, value in given.items()}

    def choice(self, option: str, value: Any, choices: tuple[str, ...]) -> None:
        """Refuse a value that isn't one of these."""
        if value not in choices:
            raise InvalidInputError(
                f"{option} of {self.name} must be one of {', '.join(map(repr, choices))}, but is {value!r}"
            )

    def ask(self, objective: Objective) -> Callable[[Vector], Any]:
        """What the library minimizes."""
        raise NotImplementedError

    def arguments(self, bounds: FlatBounds) -> dict[str, Any]:  # noqa: ARG002  one of them looks at it
        """Further arguments of the library's solve."""
        return {}

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run the library on the params that their bounds don't fix."""
        box = Box(x0, bounds)
        if not box.free.any():
            return SolverResult(x0, success=True, message="all params are fixed by their bounds")
        library = importlib.import_module(self.library)
        ask, stream = self.ask(objective), Stream(self.seed)
        lower, upper = np.maximum(box.bounds.lower, -_FAR), np.minimum(box.bounds.upper, _FAR)
        radius, final_radius = self._radii(box.start, float((upper - lower).min()))
        with stream.in_solver(), warnings.catch_warnings():
            # Numerical noise of the libraries' own, the remark that a budget is small, and what scipy says of an
            # interpolation that fails, which the libraries handle.
            warnings.filterwarnings("ignore", category=RuntimeWarning, module=self.library)
            warnings.filterwarnings("ignore", category=RuntimeWarning, message=".*([Ss]ingular|[Ii]ll-conditioned)")
            result = library.solve(
                stream.in_user(lambda z: ask(box.expand_within(z))),
                box.start,
                bounds=(lower, upper) if bounds.any else None,
                npt=self.trustregion_n_interpolation_points,
                rhobeg=radius,
                rhoend=final_radius,
                maxfun=self.stopping_maxfun,
                nsamples=self._samples(),
                objfun_has_noise=self.is_noisy,
                do_logging=False,
                user_params={"logging.save_diagnostic_info": True, "logging.save_poisedness": False}
                | self.user_params(),
                **self.arguments(bounds),
            )
        if result.flag == result.EXIT_INPUT_ERROR:
            raise InvalidInputError(f"{self.name} can't use what it was given: {result.msg}")
        return SolverResult(
            box.expand_within(np.asarray(result.x, dtype=np.float64)),
            success=bool(result.flag == result.EXIT_SUCCESS),
            message=str(result.msg),
            n_iterations=None if result.diagnostic_info is None else len(result.diagnostic_info),
            claims={"nfev": int(result.nf), "status": int(result.flag)},
        )

    def _radii(self, start: Vector, narrowest: float) -> tuple[float, float]:
        """The initial and the final radius of the trust region, for the narrowest distance between two bounds."""
        final = self.convergence_minimal_trustregion_radius_tolerance
        if self.trustregion_initial_radius is not None:
            return self.trustregion_initial_radius, final
        radius = min(initial_radius(None, start), _FITTING_SHARE * narrowest)
        return radius, final if final < radius else _FINAL_SHARE * radius

    def _samples(self) -> Callable[..., int] | None:
        """How often to evaluate at one point, in the form that the libraries take."""
        samples = self.noise_n_evals_per_point
        if samples is None:
            return None
        if not callable(samples):
            return lambda *_: samples
        return lambda delta, rho, iterations, resets: samples(
            upper_trustregion_radius=delta,
            lower_trustregion_radius=rho,
            n_iterations=iterations,
            n_resets=resets,
        )


def asked(ask: Callable[[Vector], Any], objective: Objective, samples: Samples) -> Callable[[Vector], Any]:
    """The same question; asked anew each time where several answers at one point are to be averaged."""
    if samples is None:
        return ask

    def anew(x: Vector) -> Any:
        objective.forget()
        return ask(x)

    return anew
