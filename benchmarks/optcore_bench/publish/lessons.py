"""What a study says about derivatives, in sentences made from its numbers, and what its problems can't show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

import optcore as om
from optcore.errors import InvalidInputError
from optcore.history import FUN, NUMDIFF
from optcore_bench.costs import BRACKET, main_tau, tau_label
from optcore_bench.evaluations import Evaluations, floats
from optcore_bench.publish.worth import worth_table

__all__ = ["ENOUGH", "derivative_lessons", "limits_of_the_problems", "stopping_rows"]

#: A strategy is called enough where it loses at most this part of what exact derivatives solve.
ENOUGH = 0.05
_TAU = 1e-5
_NEARLY_ZERO = 1e-8


def derivative_lessons(evaluations: Evaluations, taus: Sequence[float]) -> list[str]:
    """A sentence per strategy and kind of solver: what it solves of what exact derivatives solve, and at what cost.

    Args:
        evaluations: of the store.
        taus: accuracies of the convergence test.
    """
    grid = sorted({*taus, _TAU}, reverse=True)
    sentences = []
    for words, algorithms in _kinds(evaluations):
        table = worth_table(evaluations, grid, algorithms)
        for name, rows in table.groupby("derivative", sort=False):
            sentences.append(f"**{name}**, {words}: {_lesson(rows)}")
    return sentences


def _kinds(evaluations: Evaluations) -> Iterator[tuple[str, list[str]]]:
    """Algorithms that use derivatives, apart by what they minimize where the study has both."""
    kinds = {algorithm.name: algorithm.kind for algorithm in om.algos}
    names = list(dict.fromkeys(evaluations.runs["algorithm"]))
    residuals = [name for name in names if kinds.get(name) is not None and str(kinds[name]) == "least_squares"]
    others = [name for name in names if name not in residuals]
    if residuals and others:
        yield "solvers of scalar functions", others
        yield "solvers of residuals", residuals
    else:
        yield "all solvers", names


def _lesson(rows: pd.DataFrame) -> str:
    row = rows.set_index("tau").loc[_TAU]
    exact, solved, lost = str(row["exact"]), int(row["exact_solved"]), int(row["lost"])
    if solved == 0:
        return f"nothing is solved by '{exact}' at tau = {tau_label(_TAU)}, so that nothing can be said."
    prices = [price for price in BRACKET if f"ratio_{price}" in rows and np.isfinite(row[f"ratio_{price}"])]
    ratios = " \\| ".join(_two(row[f"ratio_{price}"]) for price in prices)
    counted = " \\| ".join(map(str, prices))
    parts = [
        f"solves {solved - lost} of the {solved} that '{exact}' solves at tau = {tau_label(_TAU)}"
        + (f", and {int(row['gained'])} others" if row["gained"] else "")
        + (f" (of the {lost} lost, the budget ended {int(row['lost_to_budget'])})" if lost else ""),
    ]
    if prices:
        parts.append(f"at {ratios} times the cost where a jacobian counts as {counted} evaluations")
    if np.isfinite(row["break_even_n"]):
        parts.append(f"the same cost where it counts as {_two(row['break_even_n'])} n")
    return f"{'; '.join(parts)}. {_enough(rows)}"


def _enough(rows: pd.DataFrame) -> str:
    """Down to which tau a strategy loses little, all larger ones included; and with a larger budget, perhaps."""
    smallest = _smallest(rows, rows["lost"])
    beyond = _smallest(rows, rows["lost"] - rows["lost_to_budget"])
    words = "Not enough at any tau shown" if smallest is None else f"Enough down to tau = {tau_label(smallest)}"
    if beyond == smallest or beyond is None:
        return f"{words}."
    return f"{words}; down to {tau_label(beyond)} if what the budget ended is left out."


def _smallest(rows: pd.DataFrame, lost: pd.Series) -> float | None:
    """The smallest tau down to which at most a small part is lost."""
    smallest = None
    for tau, exact, count in sorted(zip(rows["tau"], rows["exact_solved"], lost, strict=True), reverse=True):
        if exact == 0 or count > ENOUGH * exact:
            break
        smallest = float(tau)
    return smallest


def stopping_rows(both: Sequence[Evaluations], names: Sequence[str], taus: Sequence[float]) -> list[str]:
    """A Markdown table of two studies of the same solvers: what each strategy solved, of how many pairs.

    Args:
        both: the evaluations of the two stores.
        names: of the two studies.
        taus: accuracies; the middle one and the strictest are shown.
    """
    shown = sorted({main_tau(taus), min(taus)}, reverse=True)
    tables = [_by_strategy(evaluations, shown) for evaluations in both]
    heads = [f"{name}, tau = {tau_label(tau)}" for tau in shown for name in names]
    lines = [f"| derivative | {' | '.join(heads)} |", f"|:---|{'---:|' * len(heads)}"]
    for derivative in dict.fromkeys([*tables[0], *tables[1]]):
        cells = [table.get(derivative, {}).get(tau, "-") for tau in shown for table in tables]
        lines.append(f"| {derivative} | {' | '.join(cells)} |")
    return lines


def _by_strategy(evaluations: Evaluations, taus: Sequence[float]) -> dict[str, dict[float, str]]:
    found: dict[str, dict[float, str]] = {}
    applicable = evaluations.applicable
    runs = evaluations.runs[applicable]
    for tau in taus:
        hit = (evaluations.first_hits(evaluations.targets(tau, "best_known")) >= 0)[applicable]
        for name, part in pd.Series(hit, index=runs.index).groupby(runs["derivative"], sort=False):
            found.setdefault(str(name), {})[tau] = f"{int(part.sum())} of {part.size}"
    return found


def limits_of_the_problems(evaluations: Evaluations) -> list[str]:
    """What these problems are, as numbers, and what therefore can't be concluded from them."""
    runs = evaluations.runs[evaluations.applicable]
    problems = runs.drop_duplicates(["suite", "problem"])
    n = floats(problems["n"])
    n = n[np.isfinite(n)]
    sentences = []
    if n.size:
        size = f"{n.min():g} to {n.max():g} params (median {np.median(n):g})"
        sentences.append(
            f"They are small: {size}. How strategies compare where n is in the hundreds, where sparse jacobians "
            "pay and a reverse sweep is cheaper than n evaluations, can't be seen here."
        )
    residuals = int((floats(problems["m"]) > 0).sum())
    if residuals == len(problems):
        zero = int((floats(problems["f_opt"]) < _NEARLY_ZERO).sum())
        sentences.append(
            f"All {residuals} are sums of squares, written as residuals, {zero} of them with a minimum below "
            f"{_NEARLY_ZERO:g}: what solvers of residuals gain here, and how well differences of residuals do near "
            "such a minimum, doesn't carry over to other functions."
        )
    if (seconds := _seconds_of_a_call(evaluations)) is not None:
        sentences.append(
            f"An evaluation takes {_time(seconds)} (median, as timed here), so that times are those of the solvers and "
            "of Python, not of the functions. Costs are counted in evaluations for that reason; what they mean at a "
            "second an evaluation and on many cores is for the report's sliders, or `VirtualClock`."
        )
    if runs["noise"].dropna().astype(str).str.len().eq(0).all():
        sentences.append(
            "They are run without noise: nothing is said about noisy functions, for which steps must be wider."
        )
    return sentences


def _seconds_of_a_call(evaluations: Evaluations) -> float | None:
    try:
        start, stop = evaluations.clock()
    except InvalidInputError:
        return None
    calls = np.isin(evaluations.task, (FUN, NUMDIFF)) & np.isfinite(stop - start)
    return float(np.median((stop - start)[calls])) if calls.any() else None


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_two(seconds / size)} {unit}"
    return f"{_two(seconds / 1e-6)} microseconds"


def _two(value: float) -> str:
    """Two digits, or all before the point."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.2g}"
