"""How much still changed in the end: convergence measures that don't depend on what a solver says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from optcore.history import History

__all__ = ["convergence_report"]

#: Below this |fun| or |param| a relative change is relative to this.
_LEAST_SCALE = 0.1
_SPANS = {"one_step": 2, "five_steps": 6}  # so many accepted points are looked at


def convergence_report(history: History) -> dict[str, dict[str, float]] | None:
    """Changes of fun and params over the last step and the last five steps between accepted points.

    A point is accepted if the solver asked for it and its value is at least as good as all before. Steps of params
    are Euclidean lengths, the longest distance to the last point counts; relative ones are in units of the last
    value, or of 0.1 where that is smaller (for params: entry by entry). The smaller, the stronger is the convergence;
    as a rule 1e-8 relative is what double precision gives for params where fun is smooth.

    Args:
        history: what was evaluated.

    Returns:
        `{"one_step": ..., "five_steps": ...}`, each with `relative_criterion_change`, `relative_params_change`,
        `absolute_criterion_change` and `absolute_params_change`; fewer than five steps where there are fewer. None
        with less than two accepted points.

    >>> import optcore as om
    >>> result = om.minimize(lambda x: float(x @ x), np.array([3.0, 4.0]), "scipy_lbfgsb")
    >>> f"{result.convergence_report['five_steps']['absolute_criterion_change']:.3f}"
    '25.000'
    """
    best = history.monotone_fun
    accepted = history.asked & (history.fun == best)  # never where fun is NaN
    if np.count_nonzero(accepted) < 2:
        return None
    last = np.flatnonzero(accepted)[-max(_SPANS.values()) :]
    values, points = history.fun[last], history.flat_params[last]
    return {name: _changes(values[-span:], points[-span:]) for name, span in _SPANS.items()}


def _changes(values: NDArray[np.float64], points: NDArray[np.float64]) -> dict[str, float]:
    """Changes from values, shape (k,), and points, shape (k, n), to the last of them."""
    with np.errstate(all="ignore"):  # a change that can't be told (inf - inf) is NaN, one beyond floats inf
        fun = abs(values[-1] - values[0])
        steps = points - points[-1]
        relative = steps / np.maximum(np.abs(points[-1]), _LEAST_SCALE)
        changes = {
            "relative_criterion_change": fun / max(abs(values[-1]), _LEAST_SCALE),
            "relative_params_change": np.linalg.norm(relative, axis=1).max(),
            "absolute_criterion_change": fun,
            "absolute_params_change": np.linalg.norm(steps, axis=1).max(),
        }
    return {name: float(change) for name, change in changes.items()}
