"""Solvers two by two: what no third solver can change."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore_bench.profiles import performance_ratios
from optcore_bench.statistics.bootstrap import Bootstrap, Floats, weighted_medians
from optcore_bench.statistics.drawing import matrix

__all__ = ["PairwiseTable", "pairwise_table"]

#: Where the colours of a matrix of log2 ratios end: factors beyond 8 are not told apart.
_MOST = 3.0


@dataclass(frozen=True, eq=False)
class PairwiseTable:
    """Wins and ratios of all pairs.

    Attributes:
        frame: one row for each ordered pair, columns `solver, other`; `wins, ties, losses, neither`: rows that the one
            solved more cheaply (or alone), at the same cost, more expensively, and that neither solved;
            `median_log2, lower, upper`: the median over rows that at least one of them solved of log2(cost of `solver`
            / cost of `other`), -inf or inf where only one did, and its interval; `more_solved, more_solved_lower,
            more_solved_upper`: how many rows more `solver` solved, and its interval.
        level: coverage of the intervals.
        title: cost and tau.
    """

    frame: pd.DataFrame
    level: float
    title: str

    def of(self, solver: str, other: str) -> Any:
        """The row of a pair.

        Raises:
            InvalidInputError: there is no such pair.
        """
        found = self.frame[(self.frame["solver"] == solver) & (self.frame["other"] == other)]
        if found.empty:
            known = list(self.frame["solver"].unique())
            raise InvalidInputError(f"there is no pair ({solver!r}, {other!r}) among {known}")
        return found.iloc[0]

    def figure(self, styles: object = None) -> Any:
        """Draw them as a matrix: the colour is the median ratio, the text says wins : losses of the row's solver.

        Args:
            styles: not used; there is one colour scale for all.
        """
        del styles
        order = list(dict.fromkeys(self.frame["solver"]))
        ratio = self.frame.pivot(index="solver", columns="other", values="median_log2").reindex(order, columns=order)
        words = self.frame["wins"].astype(str) + ":" + self.frame["losses"].astype(str)
        text = self.frame.assign(text=words).pivot(index="solver", columns="other", values="text")
        figure = matrix(
            ratio.clip(-_MOST, _MOST),
            text.reindex(order, columns=order).fillna("") if len(order) <= 12 else None,
            colorscale="RdBu_r",
            zmid=0,
            zmin=-_MOST,
            zmax=_MOST,
            colorbar={"title": {"text": "median log2<br>(cost of row / cost of column)", "side": "right"}},
            hovertemplate="%{y} against %{x}: median log2 ratio %{z:.2f}<extra></extra>",
        )
        figure.update_layout(title_text=f"Pairs: wins : losses of the row's solver; {self.title}")
        return figure


def pairwise_table(costs: pd.DataFrame, bootstrap: Bootstrap | None = None) -> PairwiseTable:
    """Compare all solvers two by two.

    Args:
        costs: a cost table, inf where unsolved.
        bootstrap: how the intervals are made.

    Raises:
        InvalidInputError: as for `performance_profile`; or there is only one solver.

    >>> costs = pd.DataFrame({"a": [1.0, 2.0, 5.0], "b": [4.0, 2.0, np.inf]}, index=["p", "q", "r"])
    >>> row = pairwise_table(costs).of("a", "b")
    >>> int(row.wins), int(row.ties), int(row.losses), float(row.median_log2), int(row.more_solved)
    (2, 1, 0, -2.0, 1)
    """
    performance_ratios(costs)  # checks the costs
    if costs.shape[1] < 2:
        raise InvalidInputError("pairs need at least two solvers; the table has one")
    bootstrap = bootstrap or Bootstrap()
    counts = np.ascontiguousarray(bootstrap.weights(costs).T, dtype=np.int32)
    values, names = costs.to_numpy(dtype=float), costs.columns
    # A replicate has as many functions as the suite, not as many rows: shares, in rows of the suite.
    solved = bootstrap.shares(costs, np.isfinite(values).astype(float)) * len(costs)
    first, second = map(list, zip(*combinations(range(len(names)), 2), strict=True))
    low, high = bootstrap.interval(solved[:, first] - solved[:, second])
    pairs = []
    for k, (i, j) in enumerate(zip(first, second, strict=True)):
        pair = _pair(values[:, i], values[:, j], counts, bootstrap)
        # Plus 0 turns -0.0, which the difference of equal shares may be, into 0.0.
        more = {"more_solved_lower": float(low[k]) + 0.0, "more_solved_upper": float(high[k]) + 0.0}
        pairs.append({"solver": names[i], "other": names[j], **pair, **more})
    both = pd.DataFrame(pairs + [_mirrored(pair) for pair in pairs])
    place = {name: i for i, name in enumerate(costs.columns)}
    both = both.sort_values(["solver", "other"], key=lambda names: names.map(place), kind="stable")
    tau = costs.attrs.get("tau")
    title = costs.attrs.get("cost", "cost as given") + ("" if tau is None else f", tau = {tau:g}")
    return PairwiseTable(both[_COLUMNS].reset_index(drop=True), bootstrap.level, title)


_COLUMNS = [
    "solver",
    "other",
    "wins",
    "ties",
    "losses",
    "neither",
    "median_log2",
    "lower",
    "upper",
    "more_solved",
    "more_solved_lower",
    "more_solved_upper",
]


def _pair(first: Floats, second: Floats, counts: NDArray[np.int32], bootstrap: Bootstrap) -> dict[str, Any]:
    some = np.isfinite(first) | np.isfinite(second)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.log2(first[some]) - np.log2(second[some])
    median, lower, upper = np.nan, np.nan, np.nan
    if ratios.size:
        median = float(weighted_medians(ratios, np.ones((ratios.size, 1), dtype=np.int32))[0])
        samples = weighted_medians(ratios, counts[some])
        samples = samples[~np.isnan(samples)]
        lower, upper = bootstrap.interval(samples) if samples.size else (np.nan, np.nan)
    return {
        "wins": int((first < second).sum()),
        "ties": int(((first == second) & some).sum()),
        "losses": int((first > second).sum()),
        "neither": int((~some).sum()),
        "median_log2": median,
        "lower": float(lower) + 0.0,
        "upper": float(upper) + 0.0,
        "more_solved": int(np.isfinite(first).sum() - np.isfinite(second).sum()),
    }


def _mirrored(pair: dict[str, Any]) -> dict[str, Any]:
    """The same pair seen from the other solver."""
    return {
        **pair,
        "solver": pair["other"],
        "other": pair["solver"],
        "wins": pair["losses"],
        "losses": pair["wins"],
        "median_log2": 0.0 - pair["median_log2"],
        "lower": 0.0 - pair["upper"],
        "upper": 0.0 - pair["lower"],
        "more_solved": -pair["more_solved"],
        "more_solved_lower": 0.0 - pair["more_solved_upper"],
        "more_solved_upper": 0.0 - pair["more_solved_lower"],
    }
