"""The numbers of a report, as plain lists and dicts for the page's script.

The page holds cost tables, not profiles: its script makes the profiles from them, so that they can be drawn
again for the solvers that the reader picks. A performance profile depends on who is compared (Gould & Scott
2016).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from optcore.errors import InvalidInputError
from optcore_bench.convergence import FLOOR, StepCurve, median_curve, step_curves, thin_steps
from optcore_bench.costs import CostModel, JacCost, cost_table, describe_cost, dimensions, tau_label
from optcore_bench.evaluations import Evaluations
from optcore_bench.figures import base_layout, solver_styles

__all__ = ["available_costs", "page_data"]

#: Keys in the page, what they mean for `cost_table`, and whether division by n + 1 makes sense.
COSTS: dict[str, tuple[CostModel, JacCost, bool]] = {
    "jac0": ("evaluations", 0, True),
    "measured": ("evaluations", "measured", True),
    "jacn": ("evaluations", "n", True),
    "batches": ("batches", 0, False),
}


def available_costs(evaluations: Evaluations) -> list[str]:
    """Keys of the cost models that these results allow: a jacobian's measured price needs a clock that timed both."""
    try:
        step_curves(evaluations, *COSTS["measured"][:2])
    except InvalidInputError:
        return [key for key in COSTS if key != "measured"]
    return list(COSTS)


def page_data(evaluations: Evaluations, taus: Sequence[float], max_points: int = 200) -> dict[str, Any]:
    """Everything that the page draws.

    Args:
        evaluations: of the store, with at least one run that applies.
        taus: accuracies to choose from.
        max_points: most points of one convergence curve.

    Returns:
        JSON-able: null stands for inf, that is, not solved.
    """
    keys = available_costs(evaluations)
    first = cost_table(evaluations)
    styles = solver_styles(first.columns, evaluations.solvers)
    labels = evaluations.runs.drop_duplicates("solver").set_index("solver")
    n = dimensions(evaluations).reindex(first.index)
    return {
        "solvers": [
            {
                "label": s,
                "algorithm": str(labels.at[s, "algorithm"]),
                "derivative": _text(labels.at[s, "derivative"]),
            }
            | styles[s]._asdict()
            for s in first.columns
        ],
        "problems": list(first.index),
        "n": _numbers(n.to_numpy(dtype=float)),
        "taus": [tau_label(tau) for tau in taus],
        "costs": [{"key": k, "title": describe_cost(*COSTS[k][:2]), "perGradient": COSTS[k][2]} for k in keys],
        "tables": {key: {tau_label(tau): _table(evaluations, tau, key) for tau in taus} for key in keys},
        "convergence": _convergence(evaluations, keys, list(first.index), list(first.columns), max_points),
        "layout": base_layout(),
    }


def _table(evaluations: Evaluations, tau: float, key: str) -> list[list[float | None]]:
    cost, jac_cost, _ = COSTS[key]
    return [_numbers(row) for row in cost_table(evaluations, tau, cost, jac_cost).to_numpy()]


def _convergence(
    evaluations: Evaluations, keys: list[str], problems: list[str], solvers: list[str], max_points: int
) -> dict[str, Any]:
    curves = {key: step_curves(evaluations, *COSTS[key][:2]) for key in keys}
    return {
        "problems": [
            [_curve([curves[key].get((problem, solver)) for key in keys], max_points) for solver in solvers]
            for problem in problems
        ],
        "all": {
            key: [
                _median([c for problem in problems if (c := curves[key].get((problem, solver)))], max_points)
                for solver in solvers
            ]
            for key in keys
        },
    }


def _curve(by_cost: list[StepCurve | None], max_points: int) -> dict[str, Any] | None:
    """One run's steps: y once, x for each cost. The same points stay for all costs, chosen by y alone."""
    known = [curve for curve in by_cost if curve is not None]
    if not known:
        return None
    if known[0].x.size == 0:
        return {"x": [_numbers(np.array([0.0, c.total])) for c in known], "y": [1.0, 1.0]}
    x = [np.append(c.x, c.total) for c in known]
    y = np.append(known[0].y, known[0].y[-1])
    keep = thin_steps(x[0], y, max_points)
    return {"x": [_numbers(each[keep]) for each in x], "y": _numbers(np.clip(y[keep], FLOOR, 1e300))}


def _median(curves: list[StepCurve], max_points: int) -> dict[str, Any] | None:
    if not curves:
        return None
    frame = median_curve(curves, (0.25, 0.75), max_points)
    return {name: _numbers(np.clip(frame[name].to_numpy(), 0 if name == "x" else FLOOR, 1e300)) for name in frame}


def _numbers(values: Any) -> list[float | None]:
    """Whole numbers as ints, the rest with six digits; inf and NaN as null."""
    return [
        None if not math.isfinite(v) else int(v) if v == int(v) and abs(v) < 2**53 else float(f"{v:.6g}")
        for v in np.asarray(values, dtype=float).tolist()
    ]


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)
