"""What each run had spent when it solved its problem: all that any cost is made of, without the history."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore.history import FUN, FUN_AND_JAC, JAC, NUMDIFF
from optcore_bench.evaluations import Bools, Evaluations, Floats, HasTables, Ints, ReferenceValue

from .counting import Calls, check_timed, measured_overhead, median_prices, overhead_of, priced
from .criteria import Basis, SolvedBy, judge
from .models import CostModel, JacCost, check_cost, check_jac_cost, check_no_jac_cost, describe_cost
from .rounds import BatchCounts, RoundCounts, batch_counts, charge, longest_calls
from .tables import Cells
from .virtual import VirtualClock

__all__ = ["CORES", "HitCounts", "hit_counts"]

#: Numbers of cores that `HitCounts.rounds` tells of unless asked otherwise.
CORES = (1, 2, 4, 8, 16, 32, 64)
#: How a run ends that might have gone on.
CUT_OFF = ("budget_evaluations", "budget_seconds", "timeout")
#: What a round holds, in the order in which `HitCounts.rounds` has its columns.
ROUND_KINDS = {(1, 0, 0): "fun", (0, 1, 0): "jac", (1, 1, 0): "longer", (0, 0, 1): "sum"}


@dataclass(frozen=True, eq=False)
class HitCounts:
    """Counts at the evaluation that solved, or of the whole run where nothing did; made by `hit_counts`.

    Every cost of `cost_table` follows from them exactly, see `costs`; they are small (one row a run) where a
    history is large.

    Attributes:
        frame: one row a run that applies: `run_id, row, solver, suite, problem, start, derivative, n, status`
            (of the runs), `solved`, `cut_off` (ended by a budget or a time-out before it solved, so that it
            might have with a larger one), and the counts `evaluations` (of the objective: fun, numdiff and
            fun_and_jac), `jacobians` (jac and fun_and_jac), `fun`, `numdiff`, `jac`, `fun_and_jac`, `batches`.
        attrs: of the cost table: `tau`, `f_opt`, `f_opt_source`, `not_assessable`, ...
        runs: all runs, as in `Evaluations.runs`.
    """

    frame: pd.DataFrame
    attrs: dict[str, Any]
    runs: pd.DataFrame = field(repr=False)
    _batches: BatchCounts = field(repr=False)
    _prices: tuple[Floats, Floats] | None = field(repr=False)
    _seconds: Floats | None = field(repr=False)
    _overhead: Floats | None = field(repr=False)

    def costs(
        self,
        cost: CostModel = "evaluations",
        jac_cost: JacCost = 0,
        *,
        cores: int | None = None,
        fun_seconds: float | None = None,
        jac_seconds: float = 0.0,
        overhead_seconds: float | Literal["measured"] = 0.0,
        spread: float = 0.0,
    ) -> pd.DataFrame:
        """The table that `cost_table` makes with the same options, to the last bit and with the same attrs.

        Args:
            cost: as for `cost_table`; a `VirtualClock` may have any number of cores.
            jac_cost: as for `cost_table`.
            cores: with `fun_seconds`: short for `cost=VirtualClock(fun_seconds, jac_seconds, cores, ...)`.
            fun_seconds: see `VirtualClock`; likewise the rest.
            jac_seconds: see `VirtualClock`.
            overhead_seconds: see `VirtualClock`.
            spread: see `VirtualClock`.

        Raises:
            InvalidInputError: as for `cost_table`; or the clock is needed and wasn't read.
        """
        if fun_seconds is not None or cores is not None:
            if cost != "evaluations":
                raise InvalidInputError(f"give cost={cost!r} or fun_seconds and cores, not both")
            fun_seconds, cores = 1.0 if fun_seconds is None else fun_seconds, 1 if cores is None else cores
            cost = VirtualClock(fun_seconds, jac_seconds, cores, overhead_seconds, spread)
        costs = np.full(len(self.runs), np.inf)
        costs[self.cells.used] = self.solved_costs(cost, jac_cost)
        table = self.cells.table(costs)
        model = cost if isinstance(cost, str) else "virtual"
        table.attrs |= self.attrs | {"cost": describe_cost(cost, jac_cost), "model": model}
        return table

    def solved_costs(self, cost: CostModel = "evaluations", jac_cost: JacCost = 0) -> Floats:
        """Cost of each run of `frame`, inf where it didn't solve, shape (r,): the cells of the cost table."""
        solved = np.flatnonzero(self.frame["solved"])
        costs = np.full(len(self.frame), np.inf)
        costs[solved] = self._spent(solved, cost, jac_cost)
        return costs

    def spent(self, cost: CostModel = "evaluations", jac_cost: JacCost = 0) -> Floats:
        """What each run of `frame` had spent when it solved, or in the end where it didn't, shape (r,)."""
        return self._spent(np.arange(len(self.frame)), cost, jac_cost)

    def _spent(self, chosen: Ints, cost: CostModel, jac_cost: JacCost) -> Floats:
        frame = self.frame.iloc[chosen]
        if isinstance(cost, VirtualClock):
            check_no_jac_cost(jac_cost, "a VirtualClock has jac_seconds instead")
            measured = None if self._overhead is None else self._overhead[chosen]
            overhead = frame["batches"].to_numpy() * overhead_of(cost, self.frame, chosen, measured)
            return np.asarray(self.round_counts(int(cost.cores)).seconds(cost)[chosen] + overhead)
        if check_cost(cost) in ("evaluations", "gradients"):
            check_jac_cost(jac_cost)
            if jac_cost == "measured" and self._prices is None:
                raise InvalidInputError("these counts were made without prices; use hit_counts(..., clock=True)")
            prices = None
            if jac_cost == "measured" and self._prices is not None:
                prices = self._prices[0][chosen], self._prices[1][chosen]
            counts = (frame[name].to_numpy() for name in ("evaluations", "jac", "fun_and_jac"))
            return priced(Calls(self.frame, chosen, *counts), cost, jac_cost, prices)
        check_no_jac_cost(jac_cost, f"cost={cost!r} takes none")
        if cost == "batches":
            return np.asarray(frame["batches"], dtype=float)
        if self._seconds is None:
            raise InvalidInputError("these counts were made without the clock; use hit_counts(..., clock=True)")
        return check_timed(self.frame, chosen, self._seconds[chosen])

    def round_counts(self, cores: int) -> RoundCounts:
        """Rounds of each run of `frame` on some cores by what they held, any number of cores."""
        if cores not in self._rounds:
            self._rounds[cores] = charge(self._batches, cores)
        return self._rounds[cores]

    @cached_property
    def cells(self) -> Cells:
        """Where the runs stand in the cost table."""
        return Cells.of(self.runs)

    @cached_property
    def _rounds(self) -> dict[int, RoundCounts]:
        return {}

    def rounds(self, cores: int | Iterable[int] = CORES) -> pd.DataFrame:
        """Rounds of each run on some cores, by what decides how long they last on a clock without spread.

        Args:
            cores: one number of cores or several.

        Returns:
            Index: that of `frame`. Columns: (cores, kind), kind one of `fun` (lasts `fun_seconds`), `jac`
            (`jac_seconds`), `longer` (the longer of both: some calls of each) and `sum` (both: a call of
            fun_and_jac). What a run takes is their sum plus `batches` times `overhead_seconds`.
        """
        columns = {}
        for c in [cores] if isinstance(cores, int) else cores:
            found = self.round_counts(VirtualClock(1.0, 1.0, c).cores)
            for key, name in ROUND_KINDS.items():
                chosen = [longest_calls(calls) == key for calls in found.rounds]
                columns[c, name] = found.counts[:, chosen].sum(axis=1)
        frame = pd.DataFrame(columns, index=self.frame.index)
        return frame.rename_axis(columns=["cores", "kind"])


def hit_counts(
    results: HasTables | Evaluations,
    tau: float = 1e-5,
    f_opt: ReferenceValue = "best_known",
    *,
    clock: bool = False,
    basis: Basis = "history",
    solved_by: SolvedBy = "f",
    problems: Iterable[Any] | None = None,
) -> HitCounts:
    """Count once what each run had spent when it solved its problem; then any cost is a sum.

    Args:
        results: as for `cost_table`.
        tau: as for `cost_table`.
        f_opt: as for `cost_table`.
        clock: read the clock too, for `cost="seconds"`, `jac_cost="measured"` and a measured overhead.
        basis: as for `cost_table`, as the rest.
        solved_by: as for `cost_table`.
        problems: as for `cost_table`.

    Returns:
        The counts; `.costs(...)` equals `cost_table(results, tau, ...)`.

    Raises:
        InvalidInputError: as for `cost_table`.

    Example:
        >>> from optcore_bench import Results, hit_counts
        >>> frame = pd.DataFrame({"problem": "a", "algorithm": "mine", "evaluation": range(5), "n": 2,
        ...                       "fun": [9.0, 9.1, 9.2, 0.0, 0.1], "f_opt": 0.0, "batch": [0, 0, 0, 1, 1],
        ...                       "task": ["fun", "numdiff", "numdiff", "fun", "numdiff"]})
        >>> hits = hit_counts(Results.from_frame(frame))
        >>> hits.frame[["solver", "solved", "evaluations", "numdiff", "batches"]].values.tolist()
        [['mine', True, 4, 2, 2]]
        >>> hits.costs(fun_seconds=0.5, cores=2).loc["a", "mine"]
        np.float64(1.5)
    """
    evaluations = Evaluations.read(results)
    judgement = judge(evaluations, tau, f_opt, basis, solved_by, problems)
    use = np.flatnonzero(evaluations.applicable)
    charged = judgement.charged[use]
    rows = np.where(charged >= 0, charged, evaluations.offsets[use + 1] - 1)
    begun = rows >= evaluations.offsets[use]
    prices = seconds = overhead = None
    if clock:
        times = evaluations.clock()
        overhead = measured_overhead(evaluations, times)[use]
        jac, both = median_prices(evaluations, times)
        prices = jac[use], both[use]
        seconds = _spread(times[1][rows[begun]], begun, 0.0)
    return HitCounts(
        _frame(evaluations, use, charged >= 0, rows, begun),
        judgement.attrs,
        evaluations.runs,
        batch_counts(evaluations.batches, rows, use, begun),
        prices,
        seconds,
        overhead,
    )


def _frame(evaluations: Evaluations, use: Ints, solved: Bools, rows: Ints, begun: Bools) -> pd.DataFrame:
    names = {"fun": FUN, "numdiff": NUMDIFF, "jac": JAC, "fun_and_jac": FUN_AND_JAC}
    events = {name: evaluations.task == task for name, task in names.items()} | {"batches": evaluations.first_of_batch}
    count = {name: _spread(evaluations.count(which, rows[begun]), begun, 0) for name, which in events.items()}
    columns = ["run_id", "row", "solver", "suite", "problem", "start", "derivative", "n", "status"]
    frame = evaluations.runs[columns].iloc[use].reset_index(drop=True)
    frame = frame.assign(solved=solved, cut_off=~solved & frame["status"].isin(CUT_OFF).to_numpy())
    return frame.assign(
        evaluations=count["fun"] + count["numdiff"] + count["fun_and_jac"],
        jacobians=count["jac"] + count["fun_and_jac"],
        **count,
    )


def _spread(values: Any, where: Bools, other: float) -> Any:
    out = np.full(where.size, other, dtype=values.dtype)
    out[where] = values
    return out
