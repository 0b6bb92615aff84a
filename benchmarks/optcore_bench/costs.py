"""What it cost each solver to solve each problem: the table that all profiles are made of.

A run has solved its problem at the first evaluation that the solver asked for with
f(x) <= f_L + tau (f_start - f_L), f the noise-free value (More & Wild 2009, SIAM J. Optim. 20(1), eq. (2.2)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore.history import FUN, FUN_AND_JAC, JAC, NUMDIFF

from .evaluations import Evaluations, Floats, HasTables, Ints, ReferenceValue, floats
from .study import TAUS

__all__ = [
    "CostModel",
    "VirtualClock",
    "accuracy_table",
    "cost_at",
    "cost_table",
    "describe_cost",
    "dimensions",
    "improved",
    "summary_table",
    "tau_label",
]

JacCost = float | Literal["n", "measured"]


@dataclass(frozen=True)
class VirtualClock:
    """Replays the stored batches of a run: the time it would have taken on a machine that was never asked.

    The calls of a batch are made in plan order, `cores` at a time; such a round lasts as long as its longest
    call, and `overhead_seconds` pass once a batch. A run is charged for its rounds up to and including the
    one that solved the problem: on one core that is `fun_seconds` times the evaluations, on many cores times
    the batches.

    Args:
        fun_seconds: how long one evaluation of the objective takes.
        jac_seconds: how long one call of the jacobian takes; a call for both takes the sum.
        cores: how many calls run at the same time.
        overhead_seconds: what sending out a batch and collecting its answers takes.
    """

    fun_seconds: float
    jac_seconds: float
    cores: int
    overhead_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name in ("fun_seconds", "jac_seconds", "overhead_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InvalidInputError(f"{name} must be a finite number >= 0, not {value!r}")
        if isinstance(self.cores, bool) or int(self.cores) != self.cores or self.cores < 1:
            raise InvalidInputError(f"cores must be a whole number >= 1, not {self.cores!r}")


CostModel = Literal["evaluations", "gradients", "batches", "seconds"] | VirtualClock


def cost_table(
    results: HasTables | Evaluations,
    tau: float = 1e-5,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
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
        f_opt: f_L is the best known value (where there is none: the best of the compared runs), or
            "compared".

    Returns:
        One row per problem and start (`suite/problem`, `suite/problem#2`), one column per `"algorithm
        [derivative]"` with any run that applies. `attrs`: `tau`, `cost` (words), `model`, `f_opt` (the
        option), `f_opt_source` (row -> source), `n` (row -> dimension), `solvers` (all of the study, in its
        order), `not_run` and `not_assessable` (rows whose start or f_L isn't finite, so that nothing solves
        them).

    Raises:
        InvalidInputError: an option isn't one of the above, two runs fall into one cell, or a jacobian has no
            measured price.
    """
    evaluations = Evaluations.read(results)
    _check_tau(tau)
    targets = evaluations.targets(tau, f_opt)
    hits = evaluations.first_hits(targets)
    costs = np.full(len(hits), np.inf)
    solved = np.flatnonzero(hits >= 0)
    costs[solved] = cost_at(evaluations, hits[solved], cost, jac_cost)
    table = _pivot(evaluations, costs)
    rows = evaluations.runs["row"][evaluations.applicable]
    table.attrs |= {
        "tau": float(tau),
        "cost": describe_cost(cost, jac_cost),
        "model": cost if isinstance(cost, str) else "virtual",
        "f_opt": f_opt,
        "f_opt_source": dict(zip(rows, evaluations.reference(f_opt)[1][evaluations.applicable], strict=True)),
        "not_assessable": list(dict.fromkeys(rows[np.isnan(targets[evaluations.applicable])])),
    }
    return table


def accuracy_table(
    results: HasTables | Evaluations,
    budget: float = math.inf,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
) -> pd.DataFrame:
    """What is left of f_start - f_L after a fixed budget: (f_best - f_L) / (f_start - f_L).

    Args:
        results: as for `cost_table`.
        budget: what may be spent, in units of `cost`; everything that was spent by default.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.

    Returns:
        Rows and columns of `cost_table`. 1 is the start (also for runs without a value), 0 is f_L, negative
        is better than f_L; where f_start <= f_L: 0 if f_L was reached, else inf.
    """
    evaluations = Evaluations.read(results)
    rows = evaluations.improvements
    rows = rows[cost_at(evaluations, rows, cost, jac_cost) <= budget] if math.isfinite(budget) else rows
    gaps = np.ones(len(evaluations.runs))
    # Improvements of a run come in order: the last assignment is the best value within the budget.
    gaps[evaluations.run[rows]] = relative_gaps(evaluations, rows, f_opt)
    table = _pivot(evaluations, gaps, missing=1.0)
    table.attrs |= {"budget": float(budget), "cost": describe_cost(cost, jac_cost), "f_opt": f_opt}
    return table


def relative_gaps(evaluations: Evaluations, rows: Ints, f_opt: ReferenceValue) -> Floats:
    """(f_best - f_L) / (f_start - f_L) at some evaluations; 0 or inf where f_start <= f_L; 1 where not defined."""
    run = evaluations.run[rows]
    f_low = evaluations.reference(f_opt)[0][run]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        above, scale = evaluations.best[rows] - f_low, evaluations.f_start()[run] - f_low
        gaps = np.where(scale > 0, above / scale, np.where(above <= 0, 0.0, np.inf))
    return np.where(np.isnan(scale) | np.isnan(above), 1.0, gaps)


def dimensions(results: HasTables | Evaluations) -> pd.Series:
    """Number of parameters of each row of `cost_table`; what `data_profile` divides by, plus one."""
    evaluations = Evaluations.read(results)
    frame = evaluations.runs.assign(n=evaluations.dimension())[evaluations.applicable]
    return frame.groupby("row", sort=False)["n"].first().rename("n")


def summary_table(
    results: HasTables | Evaluations,
    taus: Sequence[float] = TAUS,
    cost: CostModel = "evaluations",
    jac_cost: JacCost = 0,
    f_opt: ReferenceValue = "best_known",
) -> pd.DataFrame:
    """One row per solver and derivative strategy: how much it solved, at what cost, and how its runs ended.

    Args:
        results: as for `cost_table`.
        taus: accuracies of the convergence test.
        cost: as for `cost_table`.
        jac_cost: as for `cost_table`.
        f_opt: as for `cost_table`.

    Returns:
        Index: the solver's label. Columns: `algorithm`, `derivative`, `problems` (rows of the cost table,
        those that were never run included), for each tau `solved_TAU` (count), `share_TAU` and
        `median_cost_TAU` (of the solved; NaN if none), one count per status that occurs, and
        `derivative_error` (median over problems).
    """
    evaluations = Evaluations.read(results)
    tables = {tau: cost_table(evaluations, tau, cost, jac_cost, f_opt) for tau in taus}
    runs = evaluations.runs[evaluations.runs["solver"].isin(_columns(evaluations))]
    groups = runs.groupby("solver", sort=False)
    summary = groups[["algorithm", "derivative"]].first()
    summary["problems"] = evaluations.runs["row"][evaluations.applicable].nunique()
    for tau, table in tables.items():
        solved = table.replace(np.inf, np.nan)
        summary[f"solved_{tau_label(tau)}"] = solved.notna().sum()
        summary[f"share_{tau_label(tau)}"] = solved.notna().mean()
        summary[f"median_cost_{tau_label(tau)}"] = solved.median()
    statuses = pd.crosstab(runs["solver"], runs["status"])
    summary = summary.join(statuses).join(groups["derivative_error"].median())
    summary.attrs |= {"cost": describe_cost(cost, jac_cost), "f_opt": f_opt}
    return summary


def improved(results: HasTables | Evaluations, tau: float = 1e-5) -> pd.DataFrame:
    """Problems on which a run went below the best known value, and what adopting its value would change.

    Args:
        results: as for `cost_table`.
        tau: accuracy for which the changes are counted.

    Returns:
        One row per row of the cost table: `row, solver` (who found it), `f_opt, f_best, gain` (f_opt -
        f_best), `solved` (solvers that pass the test with f_opt) and `solved_if_adopted` (with f_best in its
        place).
    """
    evaluations = Evaluations.read(results)
    known = floats(evaluations.runs["f_opt"])
    frame = evaluations.runs.assign(f_opt=known, f_best=evaluations.run_best, gain=known - evaluations.run_best)
    frame = frame[frame["gain"] > 0].sort_values("gain", ascending=False, kind="stable")
    frame = frame.drop_duplicates("row").sort_index()
    out = frame[["row", "solver", "f_opt", "f_best", "gain"]].reset_index(drop=True)
    for name, reference in (("solved", "best_known"), ("solved_if_adopted", "compared")):
        table = cost_table(evaluations, tau, f_opt=reference)  # type: ignore[arg-type]
        out[name] = np.isfinite(table).sum(axis=1).reindex(out["row"]).to_numpy(dtype=int)
    out.attrs |= {"tau": float(tau)}
    return out


def tau_label(tau: float) -> str:
    """Shortest exact spelling of an accuracy.

    >>> [tau_label(tau) for tau in (0.1, 1e-5, 2.5e-10, 0)]
    ['1e-1', '1e-5', '2.5e-10', '0']
    """
    return "0" if tau == 0 else np.format_float_scientific(tau, trim="-", exp_digits=1)


def describe_cost(cost: CostModel, jac_cost: JacCost = 0) -> str:
    """The cost in words, for axes and tables.

    >>> describe_cost("evaluations", "n")
    'evaluations (a jacobian counts as n)'
    >>> describe_cost(VirtualClock(0.1, 0.2, cores=8))
    'seconds at 0.1 s an evaluation, 0.2 s a jacobian, 8 cores'
    """
    if isinstance(cost, VirtualClock):
        overhead = f", {cost.overhead_seconds:g} s overhead a batch" if cost.overhead_seconds else ""
        cores = "1 core" if cost.cores == 1 else f"{cost.cores} cores"
        calls = f"{cost.fun_seconds:g} s an evaluation, {cost.jac_seconds:g} s a jacobian"
        return f"seconds at {calls}, {cores}{overhead}"
    jacobian = {"n": "counts as n", "measured": "counts as measured", 0: "is free"}
    suffix = f" (a jacobian {jacobian.get(jac_cost, f'counts as {jac_cost}')})"
    words = {
        "evaluations": "evaluations" + suffix,
        "gradients": "evaluations / (n + 1)" + suffix,
        "batches": "batches of simultaneous calls",
        "seconds": "seconds by the clock",
    }
    return words[_check_cost(cost)]


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
        _check_no_jac_cost(jac_cost, "a VirtualClock has jac_seconds instead")
        return _virtual_seconds(evaluations, rows, cost)
    if _check_cost(cost) in ("evaluations", "gradients"):
        calls = _calls(evaluations, rows, jac_cost)
        return calls if cost == "evaluations" else calls / (1 + _known_dimension(evaluations, rows))
    _check_no_jac_cost(jac_cost, f"cost={cost!r} takes none")
    if cost == "batches":
        return evaluations.count(evaluations.first_of_batch, rows).astype(float)
    seconds = evaluations.clock()[1][rows]
    if np.isnan(seconds).any():
        run = evaluations.runs["run_id"].iloc[evaluations.run[rows][np.isnan(seconds)][0]]
        raise InvalidInputError(f"run {run!r} has no clock; use another cost, e.g. 'evaluations'")
    return seconds


def _calls(evaluations: Evaluations, rows: Ints, jac_cost: JacCost) -> Floats:
    """Evaluations of the objective plus the price of jacobians; integers are summed, so it is exact."""
    task = evaluations.task
    total = evaluations.count(task != JAC, rows).astype(float)
    if isinstance(jac_cost, str) or jac_cost != 0:
        for kind, price in zip((JAC, FUN_AND_JAC), _jac_prices(evaluations, rows, jac_cost), strict=True):
            calls = evaluations.count(task == kind, rows)
            if jac_cost == "n":
                _known_dimension(evaluations, rows[calls > 0])
            _check_priced(evaluations, rows[(calls > 0) & np.isnan(price)])
            total += np.where(calls > 0, price * calls, 0.0)
    return total


def _check_priced(evaluations: Evaluations, unpriced: Ints) -> None:
    """Refuse a price that wasn't measured: 0 in its place would make these solvers look cheap."""
    if unpriced.size:
        run = evaluations.runs.iloc[evaluations.run[unpriced[0]]]
        raise InvalidInputError(
            f"the jacobians of {run['solver']!r} on {run['row']!r} have no measured price: the clock holds no "
            "evaluation of fun alone for that problem, or none of its jacobians; use jac_cost='n' or a number"
        )


def _jac_prices(evaluations: Evaluations, rows: Ints, jac_cost: float | str) -> tuple[Floats, Floats]:
    """Price in evaluations of the jacobian in calls of jac and of fun_and_jac, for each of `rows`."""
    if jac_cost == "n":
        n = evaluations.dimension()[evaluations.run[rows]]
        return n, n
    if jac_cost == "measured":
        jac, both = _measured_prices(evaluations)
        run = evaluations.run[rows]
        return jac[run], both[run]
    price = math.nan if isinstance(jac_cost, str) else float(jac_cost)
    if not (math.isfinite(price) and price >= 0):
        raise InvalidInputError(f"jac_cost must be a finite number >= 0, 'n' or 'measured', not {jac_cost!r}")
    prices = np.full(rows.size, price)
    return prices, prices


def _measured_prices(evaluations: Evaluations) -> tuple[Floats, Floats]:
    """Median time of jacobians over median time of evaluations, by problem and strategy, shapes (R,).

    An evaluation's time is pooled over all runs of the problem, a jacobian's over the runs with the same
    strategy. NaN where either wasn't timed.
    """
    start, stop = evaluations.clock()
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


def _virtual_seconds(evaluations: Evaluations, rows: Ints, clock: VirtualClock) -> Floats:
    task, first = evaluations.task, evaluations.first_of_batch
    position = np.arange(task.size)
    in_batch = position - np.maximum.accumulate(np.where(first, position, 0))
    new_round = first | (in_batch % int(clock.cores) == 0)
    begins = np.flatnonzero(new_round)
    if begins.size == 0:
        return np.zeros(rows.size)

    def rounds_with(calls: NDArray[np.bool_]) -> Ints:
        event = np.zeros(task.size, dtype=bool)
        event[begins] = np.logical_or.reduceat(calls, begins)
        return evaluations.count(event, rows)

    # A round with a call for both lasts fun + jac seconds, another one with a jacobian the longer of the two.
    both, jac = task == FUN_AND_JAC, task == JAC
    n_both, n_jac = rounds_with(both), rounds_with(both | jac)
    n_with_fun = rounds_with(both | (task != JAC))
    n_all = evaluations.count(new_round, rows)
    n_jac_only = n_all - n_with_fun
    n_mixed = n_jac - n_both - n_jac_only
    n_fun_only = n_all - n_jac
    longest = max(clock.fun_seconds, clock.jac_seconds)
    return np.asarray(
        n_fun_only * clock.fun_seconds
        + n_jac_only * clock.jac_seconds
        + n_mixed * longest
        + n_both * (clock.fun_seconds + clock.jac_seconds)
        + evaluations.count(first, rows) * clock.overhead_seconds
    )


def _columns(evaluations: Evaluations) -> list[str]:
    return list(dict.fromkeys(evaluations.runs["solver"][evaluations.applicable]))


def _pivot(evaluations: Evaluations, values: Floats, missing: float = np.inf) -> pd.DataFrame:
    """Rows and columns in the order of the runs; a pair that can't be or wasn't run gets `missing`."""
    frame = evaluations.runs[["row", "solver"]].assign(value=values)[evaluations.applicable]
    twice = frame.duplicated(["row", "solver"])
    if twice.any():
        row, solver, _ = frame[twice].iloc[0]
        raise InvalidInputError(
            f"{solver!r} has more than one run of {row!r}: the results mix studies, seeds or options; "
            "filter the runs first, or give the algorithms different names"
        )
    rows, columns = list(dict.fromkeys(frame["row"])), _columns(evaluations)
    table = frame.pivot(index="row", columns="solver", values="value").reindex(index=rows, columns=columns)
    asked = set(zip(evaluations.runs["row"], evaluations.runs["solver"], strict=True))
    table = table.fillna(missing).rename_axis(index="problem", columns="solver").astype(float)
    table.attrs["not_run"] = [(row, column) for row in rows for column in columns if (row, column) not in asked]
    table.attrs["n"] = dimensions(evaluations).to_dict()
    table.attrs["solvers"] = evaluations.solvers
    return table


def _known_dimension(evaluations: Evaluations, rows: Ints) -> Floats:
    n = evaluations.dimension()[evaluations.run[rows]]
    if np.isnan(n).any():
        row = evaluations.runs["row"].iloc[evaluations.run[rows][np.isnan(n)][0]]
        raise InvalidInputError(f"the dimension n of {row!r} isn't known; give it in the column n of the runs")
    return n


def _check_tau(tau: float) -> None:
    if not 0 <= tau < 1:
        raise InvalidInputError(f"tau must be in [0, 1), not {tau!r}")


def _check_cost(cost: object) -> str:
    if cost not in ("evaluations", "gradients", "batches", "seconds"):
        raise InvalidInputError(
            f"cost must be 'evaluations', 'gradients', 'batches', 'seconds' or a VirtualClock, not {cost!r}"
        )
    return str(cost)


def _check_no_jac_cost(jac_cost: JacCost, why: str) -> None:
    if isinstance(jac_cost, str) or jac_cost != 0:
        raise InvalidInputError(f"jac_cost={jac_cost!r} is for costs that count evaluations; {why}")
