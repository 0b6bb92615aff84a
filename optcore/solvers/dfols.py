"""DFO-LS, an optional library (extra `dfols`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore.marks import Kind
from optcore.objective import Objective
from optcore.solvers._nag import NAG, RESETS, asked
from optcore.solvers.algorithm import register_algorithm

#: Keys of `trustregion_fast_start_options` -> the library's.
FAST_START = {
    "min_initial_points": "growing.ndirs_initial",
    "min_inital_points": "growing.ndirs_initial",  # as optimagic spells it
    "method": "method",
    "scale_of_trustregion_step_perturbation": "growing.delta_scale_new_dirns",
    "scale_of_jacobian_components_perturbation": "growing.full_rank.scale_factor",
    "floor_of_jacobian_singular_values": "growing.full_rank.svd_scale_factor",
    "jacobian_max_condition_number": "growing.full_rank.svd_max_jac_cond",
    "geometry_improving_steps": "growing.do_geom_steps",
    "safety_steps": "growing.safety.do_safety_step",
    "shrink_upper_radius_in_safety_steps": "growing.safety.reduce_delta",
    "full_geometry_improving_step": "growing.safety.full_geom_step",
    "reset_trustregion_radius_after_fast_start": "growing.reset_delta",
    "reset_min_trustregion_radius_after_fast_start": "growing.reset_rho",
    "shrinking_factor_not_successful": "growing.gamma_dec",
    "n_extra_search_directions_per_iteration": "growing.num_new_dirns_each_iter",
}
_PER_SOFT_RESET = "n_extra_interpolation_points_per_soft_reset"
_PER_HARD_RESET = "n_extra_interpolation_points_per_hard_reset"


@register_algorithm
@dataclass(frozen=True)
class NagDFOLS(NAG):
    """Gauss-Newton on interpolated residuals, without derivatives.

    Args:
        convergence_criterion_value: stop when the sum of squares falls to this.
        convergence_ftol_scaled: stop when the sum of squares falls to this times the one at the start.
        trustregion_fast_start_options: table of options for the phase in which the first model grows; None: none.
        trustregion_method_to_replace_extra_points: how further points are replaced after successful steps:
            'geometry_improving', 'momentum', or None.
        trustregion_n_extra_points_to_replace_successful: further points that are replaced after a successful step.

    References:
        Cartis, Fiala, Marteau & Roberts (2019), ACM Trans. Math. Software 45(3).
    """

    name: ClassVar[str] = "nag_dfols"
    kind: ClassVar[Kind] = Kind.LEAST_SQUARES
    library: ClassVar[str] = "dfols"
    extra: ClassVar[str | None] = "dfols"
    tight: ClassVar[Mapping[str, float]] = {**NAG.tight, "convergence_criterion_value": 0.0}
    resets: ClassVar[Mapping[str, str]] = RESETS | {
        "reuse_criterion_value_at_hard_reset": "restarts.hard.use_old_rk",
        "auto_detect_min_jacobian_increase": "restarts.auto_detect.min_chgJ_slope",
        "max_interpolation_points": "restarts.max_npt",
        _PER_SOFT_RESET: "restarts.increase_npt_amt",
        _PER_HARD_RESET: "restarts.hard.increase_ndirs_initial_amt",
        "n_additional_extra_points_to_replace_per_reset": "regression.increase_num_extra_steps_with_restart",
    }

    convergence_criterion_value: float = 1e-12
    convergence_ftol_scaled: float = 0.0
    trustregion_fast_start_options: Mapping[str, Any] | None = None
    trustregion_method_to_replace_extra_points: Literal["geometry_improving", "momentum"] | None = "geometry_improving"
    trustregion_n_extra_points_to_replace_successful: int = 0

    def user_params(self) -> dict[str, Any]:
        """The options in the library's words."""
        method = self.trustregion_method_to_replace_extra_points
        if method is not None:
            self.choice("trustregion_method_to_replace_extra_points", method, ("geometry_improving", "momentum"))
        return (
            super().user_params()
            | self._extra_points()
            | self._fast_start()
            | {
                "model.abs_tol": self.convergence_criterion_value,
                "model.rel_tol": self.convergence_ftol_scaled,
                "regression.num_extra_steps": self.trustregion_n_extra_points_to_replace_successful,
                "regression.momentum_extra_steps": method == "momentum",
            }
        )

    def _extra_points(self) -> dict[str, Any]:
        """How the interpolation set grows at resets: the library counts from what a soft reset adds."""
        given = self.trustregion_reset_options or {}
        soft, hard = given.get(_PER_SOFT_RESET, 0), given.get(_PER_HARD_RESET, 0)
        if hard < soft and _PER_HARD_RESET in given:
            raise InvalidInputError(
                f"{_PER_HARD_RESET} of nag_dfols must be at least {_PER_SOFT_RESET}, but {hard} is below {soft}"
            )
        return {
            "restarts.increase_npt": soft > 0,
            self.resets[_PER_SOFT_RESET]: soft,
            self.resets[_PER_HARD_RESET]: max(hard - soft, 0),
        }

    def _fast_start(self) -> dict[str, Any]:
        given = self.nested("trustregion_fast_start_options", FAST_START)
        method = given.pop("method", "auto")
        self.choice("method in trustregion_fast_start_options", method, ("auto", "jacobian", "trustregion"))
        if method == "auto":  # the library decides by the number of residuals
            return given
        return given | {
            "growing.full_rank.use_full_rank_interp": method == "jacobian",
            "growing.perturb_trust_region_step": method == "trustregion",
        }

    def ask(self, objective: Objective) -> Callable[[NDArray[np.float64]], Any]:
        """The residuals."""
        return asked(objective.residuals, objective, self.noise_n_evals_per_point)
