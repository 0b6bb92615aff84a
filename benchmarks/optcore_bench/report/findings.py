"""What the numbers say, one sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from optcore_bench.costs import JacCost, cost_table, tau_label
from optcore_bench.evaluations import Evaluations
from optcore_bench.report.markup import counted

__all__ = ["FAILED", "findings"]

#: Statuses of runs that went wrong, as opposed to runs that ended before they solved their problem.
FAILED = ("error", "timeout", "crashed", "interrupted")
#: More names than this are counted, not listed.
MOST_NAMES = 8

WORDS: Mapping[JacCost, str] = {0: "is free", "measured": "costs what was measured", "n": "costs n evaluations"}


def findings(evaluations: Evaluations, taus: Sequence[float], default: float, prices: Sequence[JacCost]) -> list[str]:
    """Sentences for the first page.

    Args:
        evaluations: of the store, with at least one run that applies.
        taus: accuracies of the convergence test.
        default: the accuracy that most of them are about.
        prices: of a jacobian, those that the results allow.
    """
    tables = {price: cost_table(evaluations, default, jac_cost=price) for price in prices}
    costs = tables[prices[0]]
    said = [_most_solved(costs), *_other_taus(evaluations, taus, default), _first_half(tables)]
    unsolved = costs.index[~np.isfinite(costs).any(axis=1)]
    if len(unsolved):
        said.append(f"No solver solves {_names(list(unsolved))}.")
    said.append(_failed(evaluations.runs["status"]))
    if missing := costs.attrs["not_run"]:
        said.append(f"{counted(len(missing), 'pair has', 'pairs have')} no run in this store.")
    return said


def _names(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMES:
        return f"{', '.join(names[:MOST_NAMES])} and {len(names) - MOST_NAMES} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _leaders(values: pd.Series, best: float) -> str:
    first = [str(name) for name in values.index[values == best]]
    return _names(first) if len(first) <= 3 else f"{first[0]} and {len(first) - 1} others"


def _most_solved(costs: pd.DataFrame) -> str:
    solved = np.isfinite(costs).sum()
    return (
        f"At tau = {tau_label(costs.attrs['tau'])}, {solved.sum()} of {costs.size} pairs of problem and solver are "
        f"solved; most, {solved.max()} of {len(costs)}, by {_leaders(solved, solved.max())}."
    )


def _other_taus(evaluations: Evaluations, taus: Sequence[float], default: float) -> Iterator[str]:
    solved = pd.DataFrame({tau_label(tau): np.isfinite(cost_table(evaluations, tau)).sum() for tau in taus})
    label = tau_label(default)
    first = set(solved.index[solved[label] == solved[label].max()])
    other = [
        f"{_leaders(solved[tau], solved[tau].max())} at {tau} ({solved[tau].max()})"
        for tau in solved
        if not first & set(solved.index[solved[tau] == solved[tau].max()])
    ]
    if other:
        yield f"Who solves the most depends on tau: {'; '.join(other)}."


def _first_half(tables: Mapping[JacCost, pd.DataFrame]) -> str:
    """Which solver solves half of all problems first: failures count, where a median of the solved forgets them."""
    parts = []
    for price, costs in tables.items():
        # The lowest cost within which half of the rows are solved; inf where fewer are.
        half = costs.quantile(0.5, interpolation="higher")
        if np.isfinite(half.min()):
            parts.append(
                f"{_leaders(half, half.min())} where a jacobian {WORDS[price]} ({half.min():,.4g} evaluations)"
            )
    if not parts:
        return "No solver solves half of the problems."
    return f"Half of the problems are solved at the lowest cost by {', by '.join(parts)}."


def _failed(status: pd.Series) -> str:
    kinds = status[status.isin(FAILED)].value_counts()
    if kinds.empty:
        return "No run failed."
    parts = ", ".join(f"{name} {count}" for name, count in kinds.items())
    return f"{counted(int(kinds.sum()), 'run')} failed ({parts})."
