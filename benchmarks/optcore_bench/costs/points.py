"""Convergence by the points themselves: distance to a solution, or size of the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from optcore.errors import InvalidInputError, OptcoreError
from optcore.history import FUN, FUN_AND_JAC
from optcore_bench.evaluations import Bools, Evaluations, Floats, Ints

__all__ = ["first_close"]

#: Size of what has to become small, at one point.
Measure = Callable[[Floats], float]


def first_close(evaluations: Evaluations, tau: float, kind: str, problems: Iterable[Any] | None) -> tuple[Ints, Bools]:
    """The first evaluation of each run at which a measure was at most tau times what it was at the first point.

    Args:
        evaluations: all of them, with their points.
        tau: accuracy.
        kind: "x" for the distance to x_opt, "gradient" for the norm of the gradient; with bounds, that of
            x - P(x - g), P the projection on them.
        problems: where x_opt and gradients come from; None for those of the study.

    Returns:
        Position of the evaluation or -1, shape (R,); and where the measure is defined, shape (R,).

    Raises:
        InvalidInputError: points were not stored, or a problem isn't known.
    """
    known = _known(evaluations, problems)
    points = evaluations.points()
    asked = np.isin(evaluations.task, (FUN, FUN_AND_JAC))
    charged = np.full(len(evaluations.runs), -1, dtype=np.int64)
    assessable = np.zeros(len(evaluations.runs), dtype=bool)
    measures: dict[tuple[str, str], Measure | None] = {}
    for r in np.flatnonzero(evaluations.applicable):
        key = _key(evaluations.runs.iloc[r])
        if key not in measures:
            measures[key] = _measure(kind, _problem(known, key))
        measure = measures[key]
        here = evaluations.offsets[r] + np.flatnonzero(asked[evaluations.offsets[r] : evaluations.offsets[r + 1]])
        if measure is None or here.size == 0:
            continue
        missing = [i for i in here if points[i] is None]
        if missing:
            raise InvalidInputError(
                f"run {evaluations.runs['run_id'].iloc[r]!r} has no points: its study has keep_x = false; "
                "use solved_by='f'"
            )
        charged[r], assessable[r] = _first(measure, points, here, tau)
    return charged, assessable


def _first(measure: Measure, points: Any, here: Ints, tau: float) -> tuple[int, bool]:
    with np.errstate(all="ignore"):
        limit = tau * measure(np.asarray(points[here[0]], dtype=float))
        if not np.isfinite(limit):
            return -1, False
        close = (int(i) for i in here if measure(np.asarray(points[i], dtype=float)) <= limit)
        return next(close, -1), True


def _measure(kind: str, problem: Any) -> Measure | None:
    if kind == "x":
        solution = problem.x_opt
        return None if solution is None else lambda x: float(np.linalg.norm(x - solution))
    if not problem.has_gradient:
        return None
    bounds = problem.bounds

    def projected(x: Floats) -> float:
        step = problem.gradient(x)
        if bounds is not None:
            step = x - np.clip(x - step, bounds.lower, bounds.upper)
        return float(np.linalg.norm(step))

    return projected


def _key(run: Any) -> tuple[str, str]:
    suite = run["suite"]
    return suite if isinstance(suite, str) else "", run["problem"]


def _problem(known: Mapping[tuple[str, str], Any], key: tuple[str, str]) -> Any:
    if key not in known:
        name = "/".join(part for part in key if part)
        raise InvalidInputError(f"the points and derivatives of {name!r} aren't known here; give it in problems=[...]")
    return known[key]


def _known(evaluations: Evaluations, problems: Iterable[Any] | None) -> dict[tuple[str, str], Any]:
    """Problems by suite and name, without noise."""
    if problems is None:
        problems = _of_study(getattr(evaluations.source, "study", None))
    return {(problem.suite, problem.name): problem.clean for problem in problems}


def _of_study(study: Any) -> list[Any]:
    """Problems of a study as stores keep it; none where it can't be read any more."""
    from optcore_bench.study import Study

    try:
        read = Study(**study) if isinstance(study, Mapping) and study else study
        return read.resolve_problems() if isinstance(read, Study) else []
    except (OptcoreError, TypeError):
        return []
