"""What a derivative is worth: numerical derivatives beside exact ones, with what a jacobian may cost as a bracket."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from optcore.errors import InvalidInputError
from optcore_bench.costs import BRACKET, JacCost, cost_table
from optcore_bench.evaluations import Evaluations, HasTables, solver_label
from optcore_bench.figures import split_label
from optcore_bench.study import TAUS

__all__ = ["available_bracket", "worth_table"]

#: Strategies that are exact, the first one that a study has is the yardstick.
_EXACT = ("analytic", "fun_and_jac", "jax")


def available_bracket(results: HasTables | Evaluations) -> tuple[JacCost, ...]:
    """The prices of a jacobian that these results know: "measured" needs a clock that timed enough calls of both."""
    evaluations = Evaluations.read(results)

    def known(price: JacCost) -> bool:
        try:
            cost_table(evaluations, 0.1, jac_cost=price)
        except InvalidInputError:
            return False
        return True

    return tuple(price for price in BRACKET if price != "measured" or known(price))


def worth_table(
    results: HasTables | Evaluations, taus: Sequence[float] = TAUS, algorithms: Collection[str] | None = None
) -> pd.DataFrame:
    """Cost of a derivative strategy over that of exact derivatives, algorithm by algorithm and problem by problem.

    The yardstick is the closed form ("analytic"); where the study has none, "fun_and_jac" or "jax". Its jacobians cost
    0, as measured, or n evaluations each; what other strategies call is priced alike.

    Args:
        results: as for `cost_table`.
        taus: accuracies of the convergence test.
        algorithms: those to look at; all by default.

    Returns:
        One row per strategy and tau, strategies in the order of the study: `derivative`, `tau`, `exact` (name of the
        yardstick), `pairs` (of problem and algorithm that ran under both), `exact_solved` and `solved` (of them),
        `lost` (solved under the yardstick only), `lost_to_budget` (of these, whose runs the budget ended)
        and `gained`; over the pairs solved under both: for each price
        `ratio_0`, `ratio_measured`, `ratio_n` (median of cost over cost of the yardstick, with `_q25` and `_q75`), and
        `break_even_n`, the median price of a jacobian, in units of n evaluations, at which the strategy costs the same
        as the yardstick (numerical strategies only); NaN where nothing is known. Empty where no strategy is exact.
    """
    evaluations = Evaluations.read(results)
    labels = [split_label(solver) for solver in evaluations.solvers]
    labels = [label for label in labels if algorithms is None or label[0] in algorithms]
    strategies = list(dict.fromkeys(d for _, d in labels))
    exact = next((name for name in _EXACT if name in strategies), None)
    prices = available_bracket(evaluations)
    spent = _spent(evaluations)
    rows = []
    for tau in taus if exact else ():
        tables = {price: cost_table(evaluations, tau, jac_cost=price) for price in (*prices, 1)}
        for strategy in strategies:
            shared = [a for a, d in labels if d == strategy and (a, exact) in labels]
            if shared and strategy != exact:
                there, yardstick = ([solver_label(a, d) for a in shared] for d in (strategy, exact))
                row = {"derivative": strategy, "tau": tau, "exact": exact}
                rows.append(row | _compare(tables, there, yardstick, spent))
    order = {name: i for i, name in enumerate(strategies)}
    table = pd.DataFrame(rows, columns=_columns(prices))
    return table.sort_values("derivative", key=lambda names: names.map(order), kind="stable").reset_index(drop=True)


def _columns(prices: Sequence[JacCost]) -> list[str]:
    ratios = [f"ratio_{price}{part}" for price in prices for part in ("", "_q25", "_q75")]
    counts = ["pairs", "exact_solved", "solved", "lost", "lost_to_budget", "gained"]
    return ["derivative", "tau", "exact", *counts, *ratios, "break_even_n"]


def _compare(
    tables: dict[JacCost, pd.DataFrame], there: list[str], yardstick: list[str], spent: pd.DataFrame
) -> dict[str, float]:
    free = tables[0]
    ran = _ran(free, there) & _ran(free, yardstick)
    costs, exact = free[there].to_numpy(), free[yardstick].to_numpy()
    solved, exact_solved = np.isfinite(costs) & ran, np.isfinite(exact) & ran
    both = solved & exact_solved
    row: dict[str, float] = {
        "pairs": int(ran.sum()),
        "exact_solved": int(exact_solved.sum()),
        "solved": int(solved.sum()),
        "lost": int((exact_solved & ~solved).sum()),
        "lost_to_budget": int((exact_solved & ~solved & spent.loc[free.index, there].to_numpy()).sum()),
        "gained": int((solved & ~exact_solved).sum()),
    }
    for price, table in tables.items():
        ratios = table[there].to_numpy()[both] / table[yardstick].to_numpy()[both]
        for part, share in (("", 0.5), ("_q25", 0.25), ("_q75", 0.75)):
            row[f"ratio_{price}{part}"] = float(np.quantile(ratios, share)) if ratios.size else np.nan
    n = np.broadcast_to(pd.Series(free.attrs["n"]).reindex(free.index).to_numpy(dtype=float)[:, None], both.shape)
    # A cost is linear in the price of a jacobian; its slope is the number of jacobians that were called.
    slope = [(tables[1][names].to_numpy()[both] - free[names].to_numpy()[both]) for names in (there, yardstick)]
    with np.errstate(divide="ignore", invalid="ignore"):
        even = (costs[both] - exact[both]) / (slope[1] - slope[0]) / n[both]
    even = even[np.isfinite(even)]
    numerical = split_label(there[0])[1] not in _EXACT
    row["break_even_n"] = float(np.median(even)) if numerical and even.size else np.nan
    return row


def _spent(evaluations: Evaluations) -> pd.DataFrame:
    """Which runs the budget ended, by row and column of the cost table."""
    runs = evaluations.runs[evaluations.applicable]
    ended = runs["status"].isin(["budget_evaluations", "budget_seconds"])
    table = runs.assign(ended=ended).pivot(index="row", columns="solver", values="ended")
    return table.eq(other=1)  # what wasn't run is missing, and false


def _ran(table: pd.DataFrame, solvers: list[str]) -> NDArray[np.bool_]:
    missing = set(table.attrs["not_run"])
    return np.array([[(row, solver) not in missing for solver in solvers] for row in table.index])
