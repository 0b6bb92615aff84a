"""What an evaluation had cost its run: counts along the history, and prices of jacobians."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore.history import FUN, FUN_AND_JAC, JAC, NUMDIFF
from optcore_bench.evaluations import Evaluations, Floats, Ints, floats

from .models import CostModel, JacCost, check_cost, check_jac_cost, check_no_jac_cost
from .rounds import rounds_up_to
from .virtual import VirtualClock

__all__ = ["Calls", "check_timed", "cost_at", "measured_overhead", "median_prices", "overhead_of", "priced"]


@dataclass(frozen=True, eq=False)
class Calls:
    """Calls of the user's functions that some runs, or parts of them, made.

    Attributes:
        runs: all runs, with `row`, `solver` and `n`.
        run: position in them of each that is asked about.
        evaluations: of the objective: fun, fun_and_jac and those for numerical derivatives.
        jac: of the jacobian alone.
        fun_and_jac: of both at once.
    """

    runs: pd.DataFrame
    run: Ints
    evaluations: Ints
    jac: Ints
    fun_and_jac: Ints


def cost_at(evaluations: Evaluations, rows: Ints, cost: CostModel, jac_cost: JacCost = 0) -> Floats:
    """What each of some evaluations had cost its run, itself included.

    Args:
        evaluations: all of them.
        rows: positions of the evaluations asked about.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.

    Returns:
        The costs in units of `cost`, in the order of `rows`.
    """
    if isinstance(cost, VirtualClock):
        check_no_jac_cost(jac_cost, "a VirtualClock has jac_seconds instead")
        rounds = rounds_up_to(evaluations, rows, int(cost.cores), sizes=cost.spread > 0)
        overhead = evaluations.overhead[evaluations.run[rows]] if cost.overhead_seconds == "measured" else None
        batches = evaluations.count(evaluations.first_of_batch, rows)
        return rounds.seconds(cost) + batches * overhead_of(cost, evaluations.runs, evaluations.run[rows], overhead)
    if check_cost(cost) in ("evaluations", "gradients"):
        check_jac_cost(jac_cost)
        run = evaluations.run[rows]
        calls = _calls(evaluations, rows, run, count_jacobians=isinstance(jac_cost, str) or jac_cost != 0)
        measured = evaluations.prices if jac_cost == "measured" else None
        return priced(calls, cost, jac_cost, None if measured is None else (measured[0][run], measured[1][run]))
    check_no_jac_cost(jac_cost, f"cost={cost!r} takes none")
    if cost == "batches":
        return evaluations.count(evaluations.first_of_batch, rows).astype(float)
    return check_timed(evaluations.runs, evaluations.run[rows], evaluations.clock()[1][rows])


def measured_overhead(evaluations: Evaluations, clock: tuple[Floats, Floats]) -> Floats:
    """Seconds a batch that each run spent outside of calls: solver, sending out, collecting; shape (R,).

    It is the end of the last call, less the time from the first start to the last stop of each batch, over the
    number of batches. NaN where no clock ran.

    Args:
        evaluations: all of them.
        clock: start and stop of each, `evaluations.clock()`.
    """
    start, stop = clock
    first = np.flatnonzero(evaluations.first_of_batch)
    if first.size == 0:
        return np.full(len(evaluations.runs), np.nan)
    busy = np.maximum.reduceat(stop, first) - np.minimum.reduceat(start, first)
    run = evaluations.run[first]
    batches = np.bincount(run, minlength=len(evaluations.runs))
    spent = np.bincount(run, weights=busy, minlength=len(evaluations.runs))
    end = np.full(len(evaluations.runs), np.nan)
    some = np.diff(evaluations.offsets) > 0
    end[some] = np.maximum.reduceat(stop, evaluations.offsets[:-1][some])
    return np.maximum(end - spent, 0.0) / np.maximum(batches, 1)


def overhead_of(clock: VirtualClock, runs: pd.DataFrame, chosen: Ints, measured: Floats | None) -> float | Floats:
    """Overhead a batch of a clock: a number, or that of each of the chosen runs."""
    if not isinstance(clock.overhead_seconds, str):
        return clock.overhead_seconds
    if measured is None:
        raise InvalidInputError("these counts were made without the clock; use hit_counts(..., clock=True)")
    return check_timed(runs, chosen, measured)


def check_timed(runs: pd.DataFrame, chosen: Ints, seconds: Floats) -> Floats:
    """Readings of the clock of chosen runs, if there are some of each."""
    if np.isnan(seconds).any():
        run = runs["run_id"].iloc[chosen[np.isnan(seconds)][0]]
        raise InvalidInputError(f"run {run!r} has no clock; use another cost, e.g. 'evaluations'")
    return seconds


def _calls(evaluations: Evaluations, rows: Ints, run: Ints, *, count_jacobians: bool) -> Calls:
    task, none = evaluations.task, np.zeros(rows.size, dtype=np.int64)
    jac, both = (evaluations.count(task == k, rows) if count_jacobians else none for k in (JAC, FUN_AND_JAC))
    return Calls(evaluations.runs, run, evaluations.count(task != JAC, rows), jac, both)


def priced(calls: Calls, cost: str, jac_cost: JacCost, measured: tuple[Floats, Floats] | None = None) -> Floats:
    """Evaluations of the objective plus the price of jacobians; integers are summed, so it is exact.

    Args:
        calls: what was called.
        cost: "evaluations" or "gradients".
        jac_cost: as for `cost_table`.
        measured: price in evaluations of the jacobian in calls of jac and of fun_and_jac, for each of `calls`;
            NaN where there is none. For "measured".
    """
    total = calls.evaluations.astype(float)
    n = floats(calls.runs["n"])[calls.run] if len(calls.run) else total
    n = np.where(n >= 1, n, np.nan)
    if isinstance(jac_cost, str) or jac_cost != 0:
        if jac_cost == "n":
            _check_dimension(calls, np.isnan(n) & (calls.jac + calls.fun_and_jac > 0))
        by_kind = measured if measured is not None else (n, n) if jac_cost == "n" else 2 * (float(jac_cost),)
        for count, price in zip((calls.jac, calls.fun_and_jac), by_kind, strict=True):
            _check_priced(calls, (count > 0) & np.isnan(price))
            total += np.where(count > 0, price * count, 0.0)
    if cost == "gradients":
        _check_dimension(calls, np.isnan(n))
        return np.asarray(total / (1 + n))
    return total


def _check_dimension(calls: Calls, unknown: NDArray[np.bool_]) -> None:
    if unknown.any():
        row = calls.runs["row"].iloc[calls.run[unknown][0]]
        raise InvalidInputError(f"the dimension n of {row!r} isn't known; give it in the column n of the runs")


def _check_priced(calls: Calls, unpriced: NDArray[np.bool_]) -> None:
    """Refuse a price that wasn't measured: 0 in its place would make these solvers look cheap."""
    if unpriced.any():
        run = calls.runs.iloc[calls.run[unpriced][0]]
        raise InvalidInputError(
            f"the jacobians of {run['solver']!r} on {run['row']!r} have no measured price: the clock holds no "
            "evaluation of fun alone for that problem, or none of its jacobians; use jac_cost='n' or a number"
        )


def median_prices(evaluations: Evaluations, clock: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Median time of jacobians over median time of evaluations, by problem and strategy, shapes (R,).

    An evaluation's time is pooled over all runs of the problem, a jacobian's over the runs with the same
    strategy. NaN where either wasn't timed.

    Args:
        evaluations: all of them.
        clock: start and stop of each, `evaluations.clock()`.

    Returns:
        Prices in evaluations of the jacobian in calls of jac, and of that in calls of fun_and_jac.
    """
    start, stop = clock
    problem = evaluations.problem
    pairs = evaluations.runs.assign(problem=problem).groupby(["problem", "derivative"], dropna=False)
    strategy = np.asarray(pairs.ngroup(), dtype=np.int64)

    def median_seconds(tasks: tuple[int, ...], group: NDArray[np.int64]) -> Floats:
        chosen = np.isin(evaluations.task, tasks)
        seconds = pd.Series((stop - start)[chosen]).groupby(group[evaluations.run[chosen]]).median()
        return np.asarray(seconds.reindex(group), dtype=float)

    fun = median_seconds((FUN, NUMDIFF), problem)
    fun = np.where(fun > 0, fun, np.nan)
    jac = median_seconds((JAC,), strategy) / fun
    both = median_seconds((FUN_AND_JAC,), strategy) / fun - 1
    return jac, np.maximum(both, 0)
