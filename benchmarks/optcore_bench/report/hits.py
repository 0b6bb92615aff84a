"""What it took each solver to solve each problem, as whole numbers from which the page computes costs of its own.

The time of a run until it solved its problem, in units of an evaluation, is linear in the price W of a jacobian on
either side of W = 1: `p + W q` up to there, `r + W s` beyond, where a round that holds both kinds of calls lasts as
long as the jacobian. p + q = r + s, since both are right at W = 1; so three numbers say it all, for each number of
cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from optcore.errors import InvalidInputError
from optcore_bench.costs import VirtualClock, cost_at
from optcore_bench.evaluations import Evaluations, Floats, Ints

__all__ = ["core_counts", "hit_data", "measured_prices"]

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


def hit_data(evaluations: Evaluations, taus: Sequence[float], cores: Sequence[int], cells: Ints, size: int) -> Any:
    """Counts at the first hit for each tau, solver and number of cores.

    Args:
        evaluations: of the store.
        taus: accuracies.
        cores: numbers of cores, ascending.
        cells: `solver * problems + problem` of each run, -1 for runs that don't apply, shape (R,).
        size: how many problems there are.

    Returns:
        `[tau][solver][cores]` as `{"p": [...], "q": [...], "s": [...]}` by problem, p = -1 where not solved. 0
        stands for a list of zeros; without "s" it is q; null is the same as with fewer cores.
    """
    hits = [evaluations.first_hits(evaluations.targets(tau, "best_known")) for tau in taus]
    rows = np.concatenate([hit[(hit >= 0) & (cells >= 0)] for hit in hits])
    where = np.concatenate([t * (cells.max() + 1) + cells[(h >= 0) & (cells >= 0)] for t, h in enumerate(hits)])
    shape = (len(taus), -(-(int(cells.max()) + 1) // size), size)
    tables = [_counts(evaluations, rows, where, shape, count) for count in cores]
    return [[_shortened([table[t, s] for table in tables]) for s in range(shape[1])] for t in range(shape[0])]


def _counts(evaluations: Evaluations, rows: Ints, where: Ints, shape: tuple[int, ...], cores: int) -> Ints:
    """p, q and s, shape (taus, solvers, 3, problems)."""
    p, s, both = (
        cost_at(evaluations, rows, VirtualClock(fun, jac, cores)).astype(np.int64)
        for fun, jac in ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
    )
    out = np.full((3, int(np.prod(shape))), [[-1], [0], [0]], dtype=np.int64)
    out[:, where] = p, both - p, s
    return np.moveaxis(out.reshape(3, *shape), 0, 2)


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
