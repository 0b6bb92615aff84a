"""What it cost each solver to solve each problem: the table that all profiles are made of.

A run has solved its problem at the first evaluation that the solver asked for with
f(x) <= f_L + tau (f_start - f_L), f the noise-free value (More & Wild 2009, SIAM J. Optim. 20(1), eq. (2.2)).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.evaluations import Bools, Evaluations, Floats, HasTables, Ints, ReferenceValue, applicable, floats

from .counting import cost_at
from .criteria import Basis, SolvedBy, check_basis, judge
from .models import CostModel, JacCost, describe_cost

__all__ = ["Cells", "accuracy_table", "cost_table", "dimensions", "relative_gaps"]


def cost_table(
    results: HasTables | Evaluations,
    tau: float = 1e-5,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
    *,
    basis: Basis = "history",
    solved_by: SolvedBy = "f",
    problems: Iterable[Any] | None = None,
) -> pd.DataFrame:
    """Cost of each solver on each problem until the convergence test first holds; inf where it never does.

    Args:
        results: a store, anything with its tables `runs` and `history()`, or `Evaluations` read from one.
        tau: accuracy of the convergence test, 0 <= tau < 1, relative to f_start - f_L.
        cost: "evaluations" counts all calls of the objective (fun, fun_and_jac and those for numerical
            derivatives) up to and including the one that solved; "gradients" divides that by n + 1; "batches"
            counts the groups of calls that could run at the same time; "seconds" is the clock's reading; a
            `VirtualClock` replays the run.
        jac_cost: what each call of jac, and the jacobian in fun_and_jac, costs in evaluations: a number, "n",
            or "measured" (the median time of such calls of the problem over the median time of an evaluation
            of fun alone; needs a clock that timed some of each). For "evaluations" and "gradients".
        f_opt: f_L is the best known value (where there is none: the one that was frozen in the store, or else
            the best of the compared runs), or "compared".
        basis: "history": a run has solved at the first evaluation that passes the test; "output": the point that
            the solver returned has to pass (its value `f_final`), and all that it spent counts.
        solved_by: "f": the test above. "x": ||x - x_opt|| <= tau ||x_1 - x_opt||, x_1 the first point that the run
            asked for; other solutions than x_opt don't count. "gradient": ||g(x)|| <= tau ||g(x_1)||, g the
            problem's gradient in closed form without noise; where there are bounds, x - P(x - g(x)) with P the
            projection on them takes its place. Both look at all points that the solver asked for.
        problems: Problems with x_opt and gradient for `solved_by`; those of the study by default.

    Returns:
        One row per problem and start (`suite/problem`, `suite/problem#2`), one column per `"algorithm
        [derivative]"` with any run that applies. `attrs`: `tau`, `cost` (words), `model`, `f_opt` (the
        option), `f_opt_source` (row -> source), `n` (row -> dimension), `solvers` (all of the study, in its
        order), `basis`, `solved_by`, `not_run`, `not_assessable` (rows whose start or f_L isn't finite, or
        without x_opt or gradient where they are asked for, so that nothing solves them) and `degenerate` (rows
        on which tau says little, see `degenerate_rows`).

    Raises:
        InvalidInputError: an option isn't one of the above, two runs fall into one cell, a jacobian has no
            measured price, or points were not stored.
    """
    evaluations = Evaluations.read(results)
    judgement = judge(evaluations, tau, f_opt, basis, solved_by, problems)
    costs = np.full(len(evaluations.runs), np.inf)
    solved = np.flatnonzero(judgement.solved)
    costs[solved] = cost_at(evaluations, judgement.charged[solved], cost, jac_cost)
    table = evaluations.cells.table(costs)
    model = cost if isinstance(cost, str) else "virtual"
    table.attrs |= judgement.attrs | {"cost": describe_cost(cost, jac_cost), "model": model}
    return table


def accuracy_table(
    results: HasTables | Evaluations,
    budget: float = math.inf,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
    *,
    basis: Basis = "history",
) -> pd.DataFrame:
    """What is left of f_start - f_L after a fixed budget: (f_best - f_L) / (f_start - f_L).

    Args:
        results: as for `cost_table`.
        budget: what may be spent, in units of `cost`; everything that was spent by default.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.
        basis: "history": f_best is the best value that the solver asked for within the budget; "output": the value
            of the point that it returned, whatever it spent.

    Returns:
        Rows and columns of `cost_table`. 1 is the start (also for runs without a value), 0 is f_L, negative
        is better than f_L; where f_start <= f_L: 0 if f_L was reached, else inf.

    Raises:
        InvalidInputError: an option isn't one of the above, or a returned point is asked for within a budget.
    """
    evaluations = Evaluations.read(results)
    check_basis(basis)
    if basis == "output" and math.isfinite(budget):
        raise InvalidInputError(f"basis='output' is about whole runs; budget={budget!r} needs basis='history'")
    gaps = np.ones(len(evaluations.runs))
    if basis == "output":
        gaps = _gaps(evaluations.f_final(), evaluations, np.arange(len(gaps)), f_opt)
    else:
        rows = evaluations.improvements
        rows = rows[cost_at(evaluations, rows, cost, jac_cost) <= budget] if math.isfinite(budget) else rows
        # Improvements of a run come in order: the last assignment is the best value within the budget.
        gaps[evaluations.run[rows]] = relative_gaps(evaluations, rows, f_opt)
    table = evaluations.cells.table(gaps, missing=1.0)
    table.attrs |= {"budget": float(budget), "cost": describe_cost(cost, jac_cost), "f_opt": f_opt, "basis": basis}
    table.attrs["solvers"] = evaluations.solvers
    return table


def relative_gaps(evaluations: Evaluations, rows: Ints, f_opt: ReferenceValue) -> Floats:
    """(f_best - f_L) / (f_start - f_L) at some evaluations; 0 or inf where f_start <= f_L; 1 where not defined."""
    return _gaps(evaluations.best[rows], evaluations, evaluations.run[rows], f_opt)


def _gaps(values: Floats, evaluations: Evaluations, run: Ints, f_opt: ReferenceValue) -> Floats:
    f_low = evaluations.reference(f_opt)[0][run]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        above, scale = values - f_low, evaluations.f_start()[run] - f_low
        gaps = np.where(scale > 0, above / scale, np.where(above <= 0, 0.0, np.inf))
    return np.where(np.isnan(scale) | np.isnan(above), 1.0, gaps)


def dimensions(results: HasTables | Evaluations) -> pd.Series:
    """Number of parameters of each row of `cost_table`; what `data_profile` divides by, plus one."""
    return _dimensions(Evaluations.read(results).runs)


def _dimensions(runs: pd.DataFrame) -> pd.Series:
    n = floats(runs["n"])
    frame = runs[["row"]].assign(n=np.where(n >= 1, n, np.nan))[applicable(runs)]
    return frame.groupby("row", sort=False)["n"].first().rename("n")


@dataclass(frozen=True, eq=False)
class Cells:
    """Where the runs stand in a cost table: rows and columns are in the order of the runs.

    Attributes:
        rows: names of the rows.
        columns: labels of the solvers with any run that applies.
        used: which runs apply, shape (R,).
        row: the row of each run that applies, shape (r,).
        column: its column, shape (r,).
        not_run: pairs of row and column without a run.
        n: number of parameters by row.
    """

    rows: list[str]
    columns: list[str]
    used: Bools
    row: Ints
    column: Ints
    not_run: list[tuple[str, str]]
    n: dict[str, float]

    @classmethod
    def of(cls, runs: pd.DataFrame) -> Cells:
        """Find the cell of each run.

        Args:
            runs: `Evaluations.runs`.

        Raises:
            InvalidInputError: two runs fall into one cell.
        """
        used = applicable(runs)
        frame = runs[["row", "solver"]][used]
        twice = frame.duplicated()
        if twice.any():
            row, solver = frame[twice].iloc[0]
            raise InvalidInputError(
                f"{solver!r} has more than one run of {row!r}: the results mix studies, seeds or options; "
                "filter the runs first, or give the algorithms different names"
            )
        (row, rows), (column, columns) = (pd.factorize(frame[name]) for name in ("row", "solver"))
        asked = set(zip(runs["row"], runs["solver"], strict=True))
        return cls(
            list(rows),
            list(columns),
            used,
            row,
            column,
            [(r, c) for r in rows for c in columns if (r, c) not in asked],
            _dimensions(runs).to_dict(),
        )

    def table(self, values: Floats, missing: float = np.inf) -> pd.DataFrame:
        """A table with a value of each run; a pair that can't be or wasn't run gets `missing`.

        Args:
            values: one for each run, shape (R,).
            missing: where there is none.

        Returns:
            The table, with `not_run` and `n` in its `attrs`.
        """
        cells = np.full((len(self.rows), len(self.columns)), missing)
        cells[self.row, self.column] = values[self.used]
        index, columns = pd.Index(self.rows, name="problem"), pd.Index(self.columns, name="solver")
        table = pd.DataFrame(cells, index, columns)
        table.attrs |= {"not_run": list(self.not_run), "n": dict(self.n)}
        return table
