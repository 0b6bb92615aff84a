"""Convergence curves for the page: one of each run, and the median over problems of each solver."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from optcore.errors import InvalidInputError
from optcore_bench.costs import CostModel, JacCost, describe_cost
from optcore_bench.evaluations import Evaluations, Floats
from optcore_bench.trajectories import FLOOR, StepCurve, failure_costs, median_curve, step_curves, thin_steps

__all__ = ["curve_data", "numbers"]

#: Keys in the page, and what they mean for `cost_table`.
COSTS: dict[str, tuple[CostModel, JacCost]] = {
    "jac0": ("evaluations", 0),
    "measured": ("evaluations", "measured"),
    "jacn": ("evaluations", "n"),
    "batches": ("batches", 0),
    "seconds": ("seconds", 0),
}
#: All curves together have at most about so many points, so that the page opens quickly.
MOST_POINTS = 400_000
#: Of a run with more failed calls some are marked, as evenly as they are.
_MOST_MARKS = 60


def curve_data(
    evaluations: Evaluations, problems: Sequence[str], solvers: Sequence[str], max_points: int = 200
) -> dict[str, Any]:
    """All convergence curves.

    Args:
        evaluations: of the store.
        problems: rows of the cost table.
        solvers: its columns.
        max_points: most points of one curve; fewer where there are many curves.

    Returns:
        JSON-able: `costs` (key and title of each x), `problems[i][j]` with `x` for each cost and `y`, and where calls
        gave no value `failures`, their number, and `failed`, where they were, for each cost; `all[key][j]` with
        `x, y, lower, upper`; null where there is no run.
    """
    curves = {}
    for key, model in COSTS.items():
        try:
            curves[key] = step_curves(evaluations, *model)
        except InvalidInputError:
            continue  # no clock, or no n: the page offers what there is
    failed = [failure_costs(evaluations, *COSTS[key]) for key in curves]
    points = max(12, min(max_points, MOST_POINTS // max(1, len(problems) * len(solvers))))
    return {
        "costs": [{"key": key, "title": describe_cost(*COSTS[key])} for key in curves],
        "problems": [
            [
                _curve([by[p, s] for by in curves.values() if (p, s) in by], points, [by.get((p, s)) for by in failed])
                for s in solvers
            ]
            for p in problems
        ],
        "all": {
            key: [_median([c for p in problems if (c := by.get((p, s)))], max_points) for s in solvers]
            for key, by in curves.items()
        },
    }


def _curve(by_cost: list[StepCurve], max_points: int, failed: list[Floats | None]) -> dict[str, Any] | None:
    """One run's steps: y once, x for each cost. The same points stay for all costs, chosen by y alone."""
    if not by_cost:
        return None
    marks: dict[str, Any] = {}
    if failed[0] is not None:
        kept = np.unique(np.linspace(0, failed[0].size - 1, _MOST_MARKS).round().astype(int))
        marks = {"failures": failed[0].size, "failed": [numbers(x[kept]) for x in failed if x is not None]}
    if by_cost[0].x.size == 0:
        return {"x": [numbers([0.0, c.total]) for c in by_cost], "y": [1, 1], **marks}
    y = np.append(by_cost[0].y, by_cost[0].y[-1])
    keep = thin_steps(np.append(by_cost[0].x, by_cost[0].total), y, max_points)
    x = [numbers(np.append(c.x, c.total)[keep]) for c in by_cost]
    return {"x": x, "y": numbers(np.minimum(np.maximum(y[keep], FLOOR), 1e300), 4), **marks}


def _median(curves: list[StepCurve], max_points: int) -> dict[str, Any] | None:
    if not curves:
        return None
    frame = median_curve(curves, (0.25, 0.75), max_points)
    x = {"x": numbers(frame["x"])}
    gaps = {name: frame[name].to_numpy() for name in ("y", "lower", "upper")}
    return x | {name: numbers(np.minimum(np.maximum(gap, FLOOR), 1e300), 4) for name, gap in gaps.items()}


def numbers(values: ArrayLike, digits: int = 6) -> list[float | int | None]:
    """Whole numbers as ints, the rest with some digits; inf and NaN as null.

    >>> numbers([1.0, 0.123456789, float("inf")], 4)
    [1, 0.1235, None]
    """
    given = np.asarray(values, dtype=float)
    whole = np.isfinite(given) & (given == np.floor(given)) & (np.abs(given) < 2**53)
    if whole.all():
        return given.astype(np.int64).tolist()  # type: ignore[no-any-return]
    return [
        int(v) if is_whole else float(f"{v:.{digits}g}") if math.isfinite(v) else None
        for v, is_whole in zip(given.tolist(), whole.tolist(), strict=True)
    ]
