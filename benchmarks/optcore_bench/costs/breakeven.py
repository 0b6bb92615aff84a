"""What a jacobian must cost for one solver to beat another: exact, because costs are linear in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
import pandas as pd

from optcore.errors import InvalidInputError, unknown_name
from optcore_bench.evaluations import floats
from optcore_bench.words import count

from .hits import HitCounts

__all__ = ["BreakEven", "Crossing", "break_even"]

Verdict = Literal["above", "below", "always", "never", "tied"]
Unit = Literal["evaluations", "n"]
Number = int | Fraction


@dataclass(frozen=True)
class Crossing:
    """For which prices of a jacobian one cost is below another.

    Attributes:
        verdict: "above" or "below" `price`, "always" or "never" (for no price >= 0), "tied" (equal at every
            price).
        price: where the two are equal, an exact fraction; None unless above or below.
    """

    verdict: Verdict
    price: Fraction | None = None

    @classmethod
    def of_lines(cls, a: tuple[Number, Number], b: tuple[Number, Number]) -> Crossing:
        """Where a_0 + w a_1 < b_0 + w b_1, for prices w >= 0.

        >>> Crossing.of_lines((30, 0), (10, 10))
        Crossing(verdict='above', price=Fraction(2, 1))
        """
        behind, steeper = Fraction(a[0] - b[0]), Fraction(b[1] - a[1])
        if steeper > 0:
            return cls("above", behind / steeper) if behind >= 0 else cls("always")
        if steeper < 0:
            return cls("below", behind / steeper) if behind < 0 else cls("never")
        return cls("tied" if behind == 0 else "always" if behind < 0 else "never")


@dataclass(frozen=True, eq=False)
class BreakEven:
    """Where two solvers cost the same, problem by problem and together; made by `break_even`.

    Attributes:
        a: the solver that is asked about.
        b: the one that it is compared with.
        tau: accuracy at which problems count as solved.
        table: one row per row of the cost table that either was run on: `n`, `evaluations_a`, `jacobians_a`,
            `evaluations_b`, `jacobians_b` (counts when solved, NaN where not), `verdict` (a is cheaper
            "above" or "below" the break-even price, "always", "never", "tied"; or "only a", "only b",
            "neither" solves it), `price` (break-even price of a jacobian in evaluations, NaN where there is
            none), `price_n` (in units of n), `fraction` (`price` exactly, as text).
        total: for the sums over the problems that both solve, by unit of the price: "evaluations" and "n"
            (None where n of a problem isn't known).
        median: likewise for the median costs of these problems. The first crossing that bisection finds, if
            there are several; a solver without jacobians has one at most.
    """

    a: str
    b: str
    tau: float
    table: pd.DataFrame
    total: dict[Unit, Crossing | None]
    median: dict[Unit, Crossing | None]

    @property
    def both(self) -> int:
        """How many problems both solve."""
        return len(self._of_both())

    def median_price(self, unit: Unit = "n") -> float:
        """Median over problems of the price from which on a is cheaper.

        Problems on which a is always cheaper count as 0, never as inf. NaN where there is none, or where a is
        cheaper below a price on some.
        """
        prices = self._thresholds(unit)
        return float(np.median(prices)) if prices.size and not np.isnan(prices).any() else np.nan

    def cheaper(self, price: float, unit: Unit = "n") -> int:
        """On how many of the problems that both solve a is cheaper if a jacobian costs `price`."""
        frame = self._of_both()
        weight = price * (floats(frame["n"]) if unit == "n" else 1.0)
        cost = {s: frame[f"evaluations_{s}"] + weight * frame[f"jacobians_{s}"] for s in "ab"}
        return int((cost["a"] < cost["b"]).sum())

    def _of_both(self) -> pd.DataFrame:
        """The rows that both solve."""
        return self.table[~self.table["verdict"].isin(["only a", "only b", "neither"])]

    def _thresholds(self, unit: Unit) -> np.ndarray:
        verdict = self.table["verdict"]
        price = self.table["price" if unit == "evaluations" else "price_n"]
        known = verdict.isin(["above", "below", "always", "never"])
        values = np.select([verdict == "always", verdict == "never", verdict == "above"], [0.0, np.inf, price], np.nan)
        return np.asarray(values[known])

    def sentence(self, unit: Unit = "n") -> str:
        """What comes out, in one sentence; the totals decide."""
        crossing = self.total[unit]
        rows, both = len(self.table), self.both
        if both == 0:
            return f"No price of a jacobian decides between {self.a} and {self.b}: {self._apart(rows, both)}."
        if crossing is None:
            raise InvalidInputError("the dimension n of a problem isn't known; ask for the unit 'evaluations'")
        claim = {
            "always": f"{self.a} beats {self.b} whatever a jacobian costs",
            "never": f"{self.a} doesn't beat {self.b} at any price of a jacobian",
            "tied": f"{self.a} and {self.b} cost the same whatever a jacobian costs",
        }.get(crossing.verdict)
        if crossing.price is not None:
            side = "more" if crossing.verdict == "above" else "less"
            claim = f"{self.a} beats {self.b} if a jacobian costs {side} than {_priced(float(crossing.price), unit)}"
        return f"{claim}; {self._apart(rows, both)}."

    def _apart(self, rows: int, both: int) -> str:
        counts = self.table["verdict"].value_counts()
        text = (
            f"in total over the {both} of {count(rows, 'problem')} that both solve"
            if both
            else "no problem is solved by both"
        )
        only = [(counts.get(f"only {s}", 0), name) for s, name in (("a", self.a), ("b", self.b))]
        parts = [
            f"{number} more by {name} only" if both else f"{number} by {name} only" for number, name in only if number
        ]
        return f"{text} ({', '.join(parts)})" if parts else text


def _priced(price: float, unit: Unit) -> str:
    """A price of a jacobian in words.

    >>> _priced(0.83, "n"), _priced(1.0, "n"), _priced(1.0, "evaluations")
    ('0.83 n evaluations', 'n evaluations', '1 evaluation')
    """
    number = f"{price:.3g}"
    if unit == "n":
        return "n evaluations" if number == "1" else f"{number} n evaluations"
    return "1 evaluation" if number == "1" else f"{number} evaluations"


def break_even(hits: HitCounts, a: str, b: str) -> BreakEven:
    """The price of a jacobian at which two solvers cost the same; with a dearer one the first may be cheaper.

    Args:
        hits: counts, see `hit_counts`.
        a: label of a solver, `"scipy_lbfgsb [forward]"`.
        b: label of the one to compare it with, `"scipy_lbfgsb [analytic]"`.

    Returns:
        Exact break-even prices: costs are evaluations plus the price times the calls of jac and fun_and_jac.

    Raises:
        UnknownNameError: no run has the label.
        InvalidInputError: a and b are the same.

    Example:
        >>> from optcore_bench import Results, break_even, hit_counts
        >>> fd = pd.DataFrame({"derivative": "forward", "fun": [9.0, 9.1, 9.1, 0.0],
        ...                    "task": ["fun", "numdiff", "numdiff", "fun"]})
        >>> closed = pd.DataFrame({"derivative": "analytic", "fun": [9.0, 9.0, 0.0], "task": ["fun", "jac", "fun"]})
        >>> frame = pd.concat([fd, closed]).reset_index(names="evaluation")
        >>> frame = frame.assign(problem="p", algorithm="mine", n=2, f_opt=0.0)
        >>> found = break_even(hit_counts(Results.from_frame(frame)), "mine [forward]", "mine [analytic]")
        >>> found.sentence()  # doctest: +NORMALIZE_WHITESPACE
        'mine [forward] beats mine [analytic] if a jacobian costs more than n evaluations;
        in total over the 1 of 1 problem that both solve.'
        >>> found.total["evaluations"].price
        Fraction(2, 1)
    """
    known = list(dict.fromkeys(hits.frame["solver"]))
    for name in (a, b):
        if name not in known:
            raise unknown_name("solver", name, known)
    if a == b:
        raise InvalidInputError(f"break_even compares two solvers; both are {a!r}")
    sides = {s: _side(hits, name) for s, name in (("a", a), ("b", b))}
    rows = [row for row in dict.fromkeys(hits.frame["row"]) if any(row in side for side in sides.values())]
    records: list[dict[str, object]] = []
    lines: list[tuple[Line, Line, int | None]] = []
    for row in rows:
        (n_a, line_a), (n_b, line_b) = (sides[s].get(row, (None, None)) for s in "ab")
        size = n_b if n_a is None else n_a
        records.append(_record([line_a, line_b], size))
        if line_a is not None and line_b is not None:
            lines.append((line_a, line_b, size))
    table = pd.DataFrame(records, index=pd.Index(rows, name="problem"))
    total: dict[Unit, Crossing | None] = {}
    median: dict[Unit, Crossing | None] = {}
    for unit in get_args(Unit):
        scaled = _scaled(lines, unit)
        total[unit] = None if not scaled else Crossing.of_lines(*(_sum(side) for side in zip(*scaled, strict=True)))
        median[unit] = None if not scaled else crossing_of_medians(*zip(*scaled, strict=True))
    return BreakEven(a, b, hits.attrs["tau"], table, total, median)


Line = tuple[Number, Number]


def _side(hits: HitCounts, solver: str) -> dict[str, tuple[int | None, Line | None]]:
    """Dimension of each row that a solver was run on, and its line, None where it doesn't solve it."""
    frame = hits.frame[hits.frame["solver"] == solver]
    if frame["row"].duplicated().any():
        row = frame["row"][frame["row"].duplicated()].iloc[0]
        raise InvalidInputError(f"{solver!r} has more than one run of {row!r}; filter the runs first")
    runs = zip(frame["row"], floats(frame["n"]), frame["solved"], frame["evaluations"], frame["jacobians"], strict=True)
    return {
        row: (int(n) if n >= 1 else None, (int(evaluations), int(jacobians)) if solved else None)
        for row, n, solved, evaluations, jacobians in runs
    }


def _record(pair: list[Line | None], n: int | None) -> dict[str, object]:
    a, b = pair
    record: dict[str, object] = {"n": np.nan if n is None else n}
    for s, line in zip("ab", pair, strict=True):
        record |= dict(zip((f"evaluations_{s}", f"jacobians_{s}"), line or (np.nan, np.nan), strict=True))
    if a is None or b is None:
        verdict = "neither" if a is b else "only b" if a is None else "only a"
        return record | {"verdict": verdict, "price": np.nan, "price_n": np.nan, "fraction": ""}
    crossing = Crossing.of_lines(a, b)
    price = crossing.price
    if price is None:
        return record | {"verdict": crossing.verdict, "price": np.nan, "price_n": np.nan, "fraction": ""}
    by_n = np.nan if n is None else float(price / n)
    return record | {"verdict": crossing.verdict, "price": float(price), "price_n": by_n, "fraction": str(price)}


def _scaled(lines: list[tuple[Line, Line, int | None]], unit: str) -> list[tuple[Line, Line]]:
    """Costs as lines in the price of a jacobian, or in that price over n."""
    if unit == "evaluations":
        return [(a, b) for a, b, _ in lines]
    if any(n is None for *_, n in lines):
        return []
    return [((a[0], a[1] * n), (b[0], b[1] * n)) for a, b, n in lines if n is not None]


def _sum(lines: Sequence[Line]) -> Line:
    return sum(line[0] for line in lines), sum(line[1] for line in lines)


def crossing_of_medians(a: Sequence[Line], b: Sequence[Line]) -> Crossing:
    """Where the median of some lines is below that of others, for prices >= 0.

    Medians of lines are piecewise linear. Bisection brackets a change of sign until it lies on the piece at
    one of the two ends; there it is a fraction of counts, exact.
    """
    # Counts are whole numbers: beyond the crossings of all lines and of their medians slopes alone decide.
    low, high = Fraction(0), Fraction(1 + 2 * max(int(line[0]) for line in (*a, *b)))
    begin, end = _gap(a, b, low), _gap(a, b, high)
    if begin == 0:
        return Crossing("tied") if end == 0 else Crossing("above", low) if end < 0 else Crossing("never")
    if begin * end > 0 or (begin > 0 and end == 0):
        return Crossing("always" if begin < 0 else "never")
    while True:
        for at in (low, high):
            price = Crossing.of_lines(_middle(a, at), _middle(b, at)).price
            if price is not None and low <= price <= high and _gap(a, b, price) == 0:
                return Crossing("above" if begin > 0 else "below", price)
        middle = (low + high) / 2
        gap = _gap(a, b, middle)
        low, high = (middle, high) if gap * begin > 0 else (low, middle)


def _gap(a: Sequence[Line], b: Sequence[Line], price: Fraction) -> Fraction:
    costs = [line[0] + price * line[1] for line in (_middle(a, price), _middle(b, price))]
    return costs[0] - costs[1]


def _middle(lines: Sequence[Line], price: Fraction) -> Line:
    """The line on which the median lies at a price: the mean of two lines where their number is even."""
    order = sorted(lines, key=lambda line: (line[0] + price * line[1], line[1]))
    low, high = order[(len(order) - 1) // 2], order[len(order) // 2]
    return Fraction(low[0] + high[0]) / 2, Fraction(low[1] + high[1]) / 2
