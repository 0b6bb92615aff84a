"""Who leads: at which accuracy, within which budget, by how many problems, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from optcore_bench.conclusions.model import Finding
from optcore_bench.costs import tau_label
from optcore_bench.profiles import has_dimensions, simplex_gradients
from optcore_bench.statistics import Bootstrap
from optcore_bench.statistics.of_store import StoreStatistics
from optcore_bench.words import count, interval, names, quantity, share, whole_interval

__all__ = ["BUDGETS", "cheapest", "overall", "scope", "solved"]

#: Simplex gradients, n + 1 evaluations each, within which solvers are compared; and all that was spent.
BUDGETS = (1.0, 10.0, 100.0, np.inf)


def scope(statistics: StoreStatistics, taus: Sequence[float]) -> Iterator[Finding]:
    """How much there is to conclude from."""
    costs, bootstrap = statistics.costs(taus[0]), statistics.bootstrap
    groups = int(bootstrap.groups(costs).max()) + 1
    runs = int(statistics.evaluations.applicable.sum())
    source = (
        f", which {'comes' if len(costs) == 1 else 'come'} from {count(groups, 'function')}"
        if bootstrap.clusters != "rows"
        else ""
    )
    yield Finding(
        "scope",
        caution=False,
        sentence=f"{count(costs.shape[1], 'solver')} on {count(len(costs), 'problem')}{source}.",
        frame=pd.DataFrame(
            {"solvers": [costs.shape[1]], "problems": [len(costs)], "functions": [groups], "runs": [runs]}
        ),
    )


def solved(statistics: StoreStatistics, taus: Sequence[float]) -> Iterator[Finding]:
    """For each tau who solves the most problems with all that was spent ("solved"), and within less ("early")."""
    bootstrap = statistics.bootstrap
    for tau, costs in statistics.tables(taus).items():
        leads = [_lead(costs, budget, bootstrap) | {"tau": tau} for budget in _budgets(costs)]
        everything = leads[-1]
        start = f"At tau = {tau_label(tau)}"
        if everything["solved"] == 0:
            words = f"{start} nobody solves any problem."
            yield Finding("solved", caution=False, sentence=words, frame=pd.DataFrame([everything]))
            continue
        words = f"{start} most problems are solved by {_lead_in_words(everything, costs, bootstrap.level)}."
        yield Finding("solved", caution=False, sentence=words, frame=pd.DataFrame([everything]))
        early = [row for row in leads[:-1] if row["solved"] > 0]
        if early:
            clauses = [
                f"within {count(int(row['budget']), 'simplex gradient')} by "
                f"{_lead_in_words(row, costs, bootstrap.level)}"
                for row in early
            ]
            words = f"{start} most are solved {'; '.join(clauses)}."
            yield Finding("early", caution=False, sentence=words, frame=pd.DataFrame(early))


def _budgets(costs: pd.DataFrame) -> list[float]:
    """Budgets that change something, where their unit is that of the costs and n is known; the whole one is last."""
    if costs.attrs.get("model") != "evaluations" or not has_dimensions(costs):
        return [np.inf]
    everything = _within(costs, np.inf)
    return [budget for budget in BUDGETS if np.isinf(budget) or (_within(costs, budget) != everything).any()]


def _within(costs: pd.DataFrame, budget: float) -> Any:
    """Whether each row was solved within a budget of simplex gradients, shape of the table."""
    if np.isinf(budget):
        return np.isfinite(costs.to_numpy(dtype=float))
    return simplex_gradients(costs).to_numpy() <= budget


def _lead(costs: pd.DataFrame, budget: float, bootstrap: Bootstrap) -> dict[str, Any]:
    """Who leads within a budget, and by how much."""
    inside = _within(costs, budget).astype(float)
    total = inside.sum(axis=0)
    order = list(map(str, costs.columns))
    first = _first(order, total)
    rest = [i for i, number in enumerate(total) if number < total.max()]
    row: dict[str, Any] = {
        "budget": budget,
        "leader": first[0],
        "tied": len(first),
        "leaders": ", ".join(first),
        "solved": int(total.max()),
        "second": "",
        "ahead_by": 0,
        "lower": 0.0,
        "upper": 0.0,
        "settled": False,
        "within_band": 0,
        "others": len(rest),
    }
    if not rest or total.max() == 0:
        return row
    best = order.index(first[0])
    ahead = bootstrap.shares(costs, inside[:, [best]] - inside) * len(costs)
    lower, upper = bootstrap.interval(ahead)
    second = max(rest, key=lambda i: (total[i], -i))
    return row | {
        "second": order[second],
        "ahead_by": int(total[best] - total[second]),
        "lower": float(lower[second]),
        "upper": float(upper[second]),
        "settled": bool(lower[second] > 0),
        "within_band": int(sum(lower[i] <= 0 for i in rest)),
    }


def _first(solvers: Sequence[str], numbers: Any) -> list[str]:
    """Those with the highest number."""
    return [name for name, number in zip(solvers, numbers, strict=True) if number == numbers.max()]


def _lead_in_words(row: Mapping[str, Any], costs: pd.DataFrame, level: float) -> str:
    first = _first(list(map(str, costs.columns)), _within(costs, row["budget"]).sum(axis=0))
    if len(first) == costs.shape[1] > 1:
        return f"all of them, {row['solved']} of {len(costs)} each"
    words = f"{names(first)}, {row['solved']} of {len(costs)}{' each' if len(first) > 1 else ''}"
    if row["second"]:
        between = whole_interval(row["lower"], row["upper"])
        words += f" ({row['ahead_by']} more than {row['second']}, {100 * level:g} % interval {between}"
        if not row["settled"]:
            words += f": not settled, {row['within_band']} of {count(row['others'], 'other')} within the band"
        words += ")"
    return words


def overall(statistics: StoreStatistics, taus: Sequence[float]) -> Iterator[Finding]:
    """Who has the largest area under the data profile, all tau together."""
    costs = statistics.costs(taus[0])
    if costs.shape[1] < 2 or costs.attrs.get("model") != "evaluations" or not has_dimensions(costs):
        return
    scores = statistics.scores(taus)
    ranked = scores.frame.sort_values("score", ascending=False, kind="stable").reset_index(drop=True)
    best = ranked.iloc[0]
    if best["score"] == 0:
        return  # nobody solves anything
    low, high = scores.limits
    over = f"Over all tau, and budgets from {low:g} to {high:g} simplex gradients,"
    first = _first(list(map(str, ranked["solver"])), ranked["score"])
    if len(first) > 1:
        words = (
            f"{over} {names(first)} have the same area under the data profile, {quantity(best['score'])}, and nobody a "
            "larger one."
        )
        yield Finding("area", caution=False, sentence=words, frame=ranked)
        return
    words = (
        f"{over} {best['solver']} has the largest area under the data profile, {quantity(best['score'])} "
        f"({interval(best['lower'], best['upper'])}"
    )
    times = f"in {share(round(1000 * best['best_share']), 1000)} of the resampled suites"
    settled = best["best_share"] >= scores.level
    words += f"), also {times}; next " if settled else f"), but only {times}: not settled; next "
    words += f"is {ranked.loc[1, 'solver']} with {quantity(ranked.loc[1, 'score'])}."
    yield Finding("area", caution=False, sentence=words, frame=ranked)


def cheapest(statistics: StoreStatistics, tau: float) -> Iterator[Finding]:
    """The two solvers that win the most rows against each other."""
    costs = statistics.costs(tau)
    if costs.shape[1] < 2 or not np.isfinite(costs.to_numpy()).any():
        return
    pairs = statistics.pairs(tau)
    lead = pairs.frame.assign(lead=pairs.frame["wins"] - pairs.frame["losses"])
    beaten = lead.groupby("solver", sort=False)["lead"].agg(lambda leads: int((leads > 0).sum()))
    # The one that beats the most others, and of those the one that comes nearest to it.
    best = str(beaten.idxmax())
    against = lead[lead["solver"] == best].sort_values("lead", kind="stable")
    row = against.iloc[0]
    factor = 2.0 ** row["median_log2"]
    clear = row["upper"] < 0 or row["lower"] > 0
    at = f"At tau = {tau_label(costs.attrs['tau'])},"
    who = f"{best} is the cheaper one against {beaten[best]} of {count(costs.shape[1] - 1, 'other')}; nearest comes"
    if beaten[best] == 0:
        who = f"no solver is the cheaper one against any other; {best} against"
    words = (
        f"{at} {who} {row['other']}: "
        f"{count(row['wins'], 'win')}, {count(row['ties'], 'tie')}, {count(row['losses'], 'loss', 'losses')}, "
        f"median cost ratio {quantity(factor)} "
        f"({interval(2.0 ** row['lower'], 2.0 ** row['upper'])}){'' if clear else ', not settled'}."
    )
    if factor in (0, np.inf):
        words += " A ratio of 0 or infinite: only one of the two solves such a problem."
    yield Finding("cost", caution=False, sentence=words, frame=against.reset_index(drop=True))
