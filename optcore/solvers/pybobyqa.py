"""Py-BOBYQA, an optional library (extra `pybobyqa`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError
from optcore.objective import Objective
from optcore.solvers._nag import NAG, RESETS, asked
from optcore.solvers.algorithm import register_algorithm


@register_algorithm
@dataclass(frozen=True)
class NagPyBOBYQA(NAG):
    """Quadratic models in a trust region, without derivatives, robust to noise; with restarts it looks further.

    Args:
        convergence_criterion_value: stop at a point with a value of at most this; None: it is not known.
        seek_global_optimum: look for a global optimum by restarts, within finite bounds of all params.
        trustregion_minimum_change_hessian_for_underdetermined_interpolation: where points are few, change the Hessian
            of the model as little as possible, or else make it as small as possible.

    References:
        Cartis, Fiala, Marteau & Roberts (2019), ACM Trans. Math. Software 45(3); for `seek_global_optimum` Cartis,
        Roberts & Sheridan-Methven (2022), Optimization 71(8); the method: Powell (2009), DAMTP 2009/NA06.
    """

    name: ClassVar[str] = "nag_pybobyqa"
    library: ClassVar[str] = "pybobyqa"
    extra: ClassVar[str | None] = "pybobyqa"
    resets: ClassVar[Mapping[str, str]] = RESETS | {
        "reuse_criterion_value_at_hard_reset": "restarts.hard.use_old_fk",
        "auto_detect_min_jacobian_increase": "restarts.auto_detect.min_chg_model_slope",
        "max_unsuccessful_resets": "restarts.max_unsuccessful_restarts_total",
        "trust_region_scaling_at_unsuccessful_reset": "restarts.rhobeg_scale_after_unsuccessful_restart",
    }
    spellings: ClassVar[Mapping[str, str]] = {
        "stopping_max_criterion_evaluations": "stopping_maxfun",
        "trustregion_minimum_change_hession_for_underdetermined_interpolation": (
            "trustregion_minimum_change_hessian_for_underdetermined_interpolation"
        ),
    }

    convergence_criterion_value: float | None = None
    seek_global_optimum: bool = False
    trustregion_minimum_change_hessian_for_underdetermined_interpolation: bool = True

    def user_params(self) -> dict[str, Any]:
        """The options in the library's words."""
        target = self.convergence_criterion_value
        return super().user_params() | {
            "model.abs_tol": -np.inf if target is None else target,
            "interpolation.minimum_change_hessian": (
                self.trustregion_minimum_change_hessian_for_underdetermined_interpolation
            ),
        }

    def ask(self, objective: Objective) -> Callable[[NDArray[np.float64]], Any]:
        """The value."""
        return asked(objective.value, objective, self.noise_n_evals_per_point)

    def arguments(self, bounds: FlatBounds) -> dict[str, Any]:
        """Whether to look for a global optimum, which takes a box to look in."""
        if self.seek_global_optimum and not (np.isfinite(bounds.lower) & np.isfinite(bounds.upper)).all():
            raise InvalidInputError("nag_pybobyqa seeks a global optimum only within finite bounds of all params")
        return {"seek_global_minimum": self.seek_global_optimum}
