"""The pair of convergence curves of a row: before and after."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.comparison.verdict import RowComparison
from optcore_bench.costs import describe_cost
from optcore_bench.evaluations import HasTables
from optcore_bench.trajectories import ConvergencePlot, StepCurve, step_curves, thin_steps

if TYPE_CHECKING:
    from optcore_bench.comparison.comparison import Comparison

__all__ = ["CurvePair", "check_histories", "curve_pair"]

_POINTS = 400


@dataclass(frozen=True, eq=False)
class CurvePair:
    """Convergence of a row on both sides.

    Attributes:
        curves: columns `solver` ("old", "new"), `x` (cost), `y` (relative gap), right-continuous steps.
        title: the row and its words.
        x_title: the cost.
        tau: the accuracy at which a row counts as solved.
    """

    curves: pd.DataFrame
    title: str
    x_title: str
    tau: float

    def figure(self) -> Any:
        """Both curves, and a line at tau, as a plotly figure."""
        plot = ConvergencePlot(self.curves, self.title, self.x_title, "(f_best - f_L) / (f_start - f_L)")
        figure = plot.figure()
        if self.tau > 0:
            figure.add_hline(y=self.tau, line={"dash": "dot", "width": 1}, annotation_text=f"tau = {self.tau:g}")
        return figure


class _Part:
    """One run as tables. Where a source can choose, as stores can, its evaluations alone are read."""

    def __init__(self, source: HasTables, run_id: str) -> None:
        self._read: Callable[..., pd.DataFrame] = source.history
        self._run_id = run_id
        self.runs = source.runs[source.runs["run_id"] == run_id]

    def history(self, columns: list[str] | None = None) -> pd.DataFrame:
        if "run_id" in inspect.signature(self._read).parameters:
            return self._read(run_id=self._run_id, columns=columns)
        history = self._read()
        return history[history["run_id"] == self._run_id]


def check_histories(comparison: Comparison) -> None:
    """See whether curves can be drawn.

    Raises:
        InvalidInputError: rows are medians, or a side has no histories (a baseline, a published table).
    """
    if comparison.robust:
        raise InvalidInputError("medians over starts have no curves; compare without robust mode, or draw one start")
    for side in (comparison.old, comparison.new):
        if side.source is None:
            raise InvalidInputError(f"{side.name!r} holds costs without histories; compare stores to see curves")


def curve_pair(comparison: Comparison, row: RowComparison) -> CurvePair:
    """Read the histories of a row on both sides.

    Raises:
        InvalidInputError: there are none.
    """
    check_histories(comparison)
    gate = comparison.gate
    parts: dict[str, _Part] = {}
    for name, side, one in (("old", comparison.old, row.old), ("new", comparison.new, row.new)):
        if one is None:
            continue
        parts[name] = _Part(side.source, one.run_id)
    floor = _floor([part.runs.iloc[0] for part in parts.values()])
    frames = []
    for name, part in parts.items():
        part.runs = part.runs.assign(f_opt=floor)
        (curve,) = step_curves(part, gate.cost, gate.jac_cost).values()
        frames.append(_frame(curve).assign(solver=name))
    return CurvePair(
        curves=pd.concat(frames, ignore_index=True)[["solver", "x", "y"]],
        title=str(row),
        x_title=describe_cost(gate.cost, gate.jac_cost),
        tau=gate.tau,
    )


def _floor(runs: list[pd.Series]) -> float:
    """The best value of both sides where the problem has no best known one; NaN where there is neither."""
    known = [float(run["f_opt"]) for run in runs if pd.notna(run["f_opt"])]
    return known[0] if known else min((float(run["f_best"]) for run in runs if pd.notna(run["f_best"])), default=np.nan)


def _frame(curve: StepCurve) -> pd.DataFrame:
    if curve.x.size == 0:
        return pd.DataFrame({"x": [0.0, curve.total], "y": [1.0, 1.0]})
    keep = thin_steps(curve.x, curve.y, _POINTS)
    x, y = curve.x[keep].tolist(), curve.y[keep].tolist()
    return pd.DataFrame({"x": [*x, curve.total], "y": [*y, y[-1]]})
