"""What the numbers say, one sentence each: the findings of a store, and what a jacobian is worth in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from optcore_bench.conclusions.make import findings_of
from optcore_bench.costs import HitCounts, break_even
from optcore_bench.report.markup import Raw, element
from optcore_bench.statistics.of_store import StoreStatistics
from optcore_bench.words import count as counted

__all__ = ["pair_to_compare", "said"]


def said(statistics: StoreStatistics, taus: Sequence[float], default: float, pair: tuple[str, str] | None) -> str:
    """The findings as HTML: those about the default accuracy first, those that limit the others last.

    Args:
        statistics: of the store, with at least one run that applies.
        taus: accuracies of the convergence test.
        default: the accuracy that single sentences are about.
        pair: two solvers, from `pair_to_compare`, for what a jacobian is worth.
    """
    found = findings_of(statistics, taus)
    first: list[str] = []
    other: list[str] = []
    for item in found.results:
        about = item.frame["tau"].iloc[0] if "tau" in item.frame and item.kind in ("solved", "early") else default
        (first if about == default else other).append(item.sentence)
    if pair is not None and (price := _price_of_jacobian(statistics.hits(default), pair)) is not None:
        first.append(price)
    parts = [_list(first)]
    if other:
        parts.append(element("details", element("summary", "At other accuracies"), _list(other)))
    if found.cautions:
        parts += [
            element("h3", "What must not be concluded"),
            _list(item.sentence for item in found.cautions),
        ]
    return "".join(parts)


def _list(sentences: Iterable[str]) -> Raw:
    return element("ul", *(element("li", sentence) for sentence in sentences), class_="findings")


def _price_of_jacobian(hits: HitCounts, pair: tuple[str, str]) -> str | None:
    found = break_even(hits, *pair)
    if found.total["n"] is None:
        return found.sentence("evaluations") if found.both else None
    wins = found.cheaper(1.0)
    cheaper = f" Where a jacobian costs n evaluations, it is cheaper on {wins} of the {counted(found.both, 'problem')}."
    return found.sentence("n") + cheaper


def pair_to_compare(hits: HitCounts) -> tuple[str, str] | None:
    """Two solvers of one algorithm, the first without jacobians: of the algorithm that solves the most with them.

    Forward differences are preferred. None where no algorithm was run both with jacobians and without.
    """
    groups = hits.frame.groupby("solver", sort=False)
    solvers = pd.DataFrame({"solved": groups["solved"].sum(), "uses": groups["jacobians"].sum() > 0})
    solvers["derivative"] = groups["derivative"].first()
    algorithm = hits.runs.drop_duplicates("solver").set_index("solver")["algorithm"]
    solvers["algorithm"] = algorithm.reindex(solvers.index)
    for b in solvers.index[solvers["uses"]][np.argsort(-solvers["solved"][solvers["uses"]], kind="stable")]:
        alike = solvers[(solvers["algorithm"] == solvers.at[b, "algorithm"]) & ~solvers["uses"]]
        if len(alike):
            forward = alike.index[alike["derivative"] == "forward"]
            return str((forward if len(forward) else alike.index)[0]), str(b)
    return None
