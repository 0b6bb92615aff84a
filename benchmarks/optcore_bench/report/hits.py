"""What it took each solver to solve each problem, as whole numbers from which the page computes costs of its own.

The time of a run until it solved its problem, in units of an evaluation, is linear in the price W of a jacobian on
either side of W = 1: `p + W q` up to there, `r + W s` beyond, where a round that holds both kinds of calls lasts as
long as the jacobian. p + q = r + s, since both are right at W = 1; so three numbers say it all, for each number of
cores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError
from optcore_bench.costs import HitCounts, cost_at
from optcore_bench.evaluations import Evaluations, Floats, Ints
from optcore_bench.report.curves import numbers

__all__ = ["core_counts", "hit_data", "measured_prices", "own_time"]

#: More cores than this are not asked about one by one.
MOST_CORES = 1024

Counts = list[int]


def core_counts(evaluations: Evaluations) -> list[int]:
    """Powers of two, up to the first that runs the largest batch of these results in one round.

    Args:
        evaluations: of the store.
    """
    batches = np.cumsum(evaluations.first_of_batch)
    largest = int(np.bincount(batches).max(initial=1))
    cores = [1]
    while cores[-1] < min(largest, MOST_CORES):
        cores.append(2 * cores[-1])
    return cores


def hit_data(
    hits: Iterable[HitCounts],
    cores: Sequence[int],
    solvers: Sequence[str],
    problems: Sequence[str],
) -> list[list[list[dict[str, Counts | int] | None]]]:
    """Counts at the first hit for each tau, solver and number of cores.

    Args:
        hits: counts at each tau.
        cores: numbers of cores, ascending.
        solvers: columns of the cost table.
        problems: its rows.

    Returns:
        `[tau][solver][cores]` as `{"p": [...], "q": [...], "s": [...]}` by problem, p = -1 where not solved. 0
        stands for a list of zeros; without "s" it is q; null is the same as with fewer cores.
    """
    found = []
    for one in hits:
        solved = one.frame[one.frame["solved"]]
        cell = pd.Index(solvers).get_indexer(solved["solver"]), pd.Index(problems).get_indexer(solved["row"])
        rounds = one.rounds(cores).loc[solved.index]
        by_cores = [_counts(rounds[count], cell, (len(solvers), len(problems))) for count in cores]
        found.append([_shortened([table[s] for table in by_cores]) for s in range(len(solvers))])
    return found


def _counts(rounds: pd.DataFrame, cell: tuple[Ints, Ints], shape: tuple[int, int]) -> Ints:
    """p, q and s, shape (solvers, 3, problems)."""
    fun, jac, longer, both = (rounds[kind].to_numpy() for kind in ("fun", "jac", "longer", "sum"))
    out = np.tile(np.array([-1, 0, 0])[None, :, None], (shape[0], 1, shape[1]))
    for k, values in enumerate((fun + longer + both, jac + both, jac + longer + both)):
        out[cell[0], k, cell[1]] = values
    return out


def _shortened(by_cores: list[Ints]) -> list[dict[str, Counts | int] | None]:
    short: list[dict[str, Counts | int] | None] = []
    for i, (p, q, s) in enumerate(by_cores):
        if i and np.array_equal(by_cores[i], by_cores[i - 1]):
            short.append(None)
            continue
        entry: dict[str, Counts | int] = {"p": p.tolist(), "q": _list(q)}
        if not np.array_equal(q, s):
            entry["s"] = _list(s)
        short.append(entry)
    return short


def _list(values: Ints) -> Counts | int:
    return values.tolist() if values.any() else 0


def own_time(
    evaluations: Evaluations, hits: Iterable[HitCounts]
) -> dict[str, list[list[float | int | None]] | list[list[Counts]]] | None:
    """The time that solvers themselves took, so that the page can add it as `VirtualClock` adds a measured overhead.

    Args:
        evaluations: of the store.
        hits: counts at each tau.

    Returns:
        `seconds[solver][problem]` that a run spent outside of calls, per batch, null where there is no run; and
        `batches[tau][solver][problem]` up to the first hit, 0 where not solved. None where some run has no clock.
    """
    cells = evaluations.cells
    ran = cells.used & (np.diff(evaluations.offsets) > 0)
    try:
        overhead = np.where(ran, evaluations.overhead, 0.0)
    except InvalidInputError:
        return None
    if np.isnan(overhead).any():
        return None
    batches = []
    for one in hits:
        table = np.zeros((len(cells.columns), len(cells.rows)), dtype=np.int64)
        table[cells.column, cells.row] = one.frame["batches"].where(one.frame["solved"], 0)
        batches.append(table.tolist())
    return {"seconds": [numbers(column) for column in cells.table(overhead, np.nan).to_numpy().T], "batches": batches}


def measured_prices(evaluations: Evaluations) -> Floats | None:
    """What a jacobian was measured to cost, in evaluations, shape (R,); NaN for runs without one.

    None where some jacobian has no measured price: half a bracket would mislead.
    """
    last = (evaluations.offsets[1:] - 1)[np.diff(evaluations.offsets) > 0]
    try:
        measured = cost_at(evaluations, last, "evaluations", "measured")
    except InvalidInputError:
        return None
    free, priced = (cost_at(evaluations, last, "evaluations", price) for price in (0, 1))
    prices = np.full(len(evaluations.runs), np.nan)
    with np.errstate(invalid="ignore"):
        prices[evaluations.run[last]] = (measured - free) / (priced - free)
    return prices
