"""Tables for papers: numbers with the words around them, as LaTeX (booktabs), Markdown and CSV."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import pandas as pd

from optcore_bench.costs import JacCost, cost_table, summary_table, tau_label
from optcore_bench.evaluations import Evaluations
from optcore_bench.publish.worth import available_bracket, worth_table
from optcore_bench.store.schema import FAILED

__all__ = ["Column", "PaperTable", "costs_table", "publication_tables", "solvers_table", "strategies_table"]

_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip
#: What GitHub's Markdown reads as something else than itself within a word.
_MARKS = str.maketrans({c: f"\\{c}" for c in "|*`$<"})


class Column(NamedTuple):
    """A column of a table in print.

    Attributes:
        name: in the frame.
        title: its heading.
        group: a heading above it, which neighbours of the same group share; may be empty.
        digits: of numbers, significant ones; None for counts and text.
    """

    name: str
    title: str
    group: str = ""
    digits: int | None = None


@dataclass(frozen=True, eq=False)
class PaperTable:
    """A table: its numbers, and which of them are printed how.

    Attributes:
        name: of its files.
        caption: what it shows, in a sentence.
        frame: all numbers.
        columns: those that are printed; none: the table is for CSV only.
    """

    name: str
    caption: str
    frame: pd.DataFrame
    columns: tuple[Column, ...]

    def to_csv(self) -> str:
        """All numbers, exact; nothing where there is none, `inf` where not solved."""
        return str(self.frame.to_csv(index=False, lineterminator="\n"))

    def to_markdown(self) -> str:
        r"""A table of GitHub's Markdown.

        >>> frame = pd.DataFrame({"solver": ["a|b"], "cost": [12.345]})
        >>> table = PaperTable("t", "Costs.", frame, (Column("solver", "solver"), Column("cost", "cost", "", 3)))
        >>> print(table.to_markdown(), end="")
        | solver | cost |
        |:---|---:|
        | a\|b | 12.3 |
        """
        titles = [f"{c.group} {c.title}".strip() for c in self.columns]
        lines = [titles, [":---" if self._is_text(c) else "---:" for c in self.columns], *self._cells("-")]
        rows = [[cell.translate(_MARKS) for cell in line] for line in lines]
        return "".join(f"| {' | '.join(row)} |\n" if i != 1 else f"|{'|'.join(row)}|\n" for i, row in enumerate(rows))

    def to_latex(self) -> str:
        r"""A `tabular` with the rules of booktabs, to be put into a `table` of yours by `\input`."""
        groups = [(name, len(list(some))) for name, some in groupby(self.columns, key=lambda c: c.group)]
        heads = [_latex(c.title) for c in self.columns]
        lines = [
            f"\\begin{{tabular}}{{{''.join('l' if self._is_text(c) else 'r' for c in self.columns)}}}",
            "\\toprule",
        ]
        if any(name for name, _ in groups):
            lines += [_row(_spanning(name, size) for name, size in groups), *_rules(groups)]
        lines += [_row(heads), "\\midrule"]
        lines += [_row(map(_latex, cells)) for cells in self._cells("--")]
        return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])

    def _is_text(self, column: Column) -> bool:
        return not pd.api.types.is_numeric_dtype(self.frame[column.name])

    def _cells(self, missing: str) -> list[list[str]]:
        texts = [[_text(value, c.digits, missing) for value in self.frame[c.name]] for c in self.columns]
        return [list(row) for row in zip(*texts, strict=True)]


def _row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _spanning(name: str, size: int) -> str:
    return f"\\multicolumn{{{size}}}{{c}}{{{_latex(name)}}}" if name else " & ".join([""] * size)


def _rules(groups: Sequence[tuple[str, int]]) -> list[str]:
    first, rules = 1, []
    for name, size in groups:
        if name:
            rules.append(f"\\cmidrule(lr){{{first}-{first + size - 1}}}")
        first += size
    return ["".join(rules)]


def _latex(text: str) -> str:
    r"""Text as LaTeX prints it; accuracies as powers of ten.

    >>> _latex("scipy_bfgs [jax]"), _latex("tau = 1e-5")
    ('scipy\\_bfgs [jax]', '$\\tau$ = $10^{-5}$')
    """
    words = []
    for word in text.split(" "):
        mantissa, mark, exponent = word.rstrip(",").partition("e-")
        if mark and mantissa.replace(".", "").isdigit() and exponent.isdigit():
            times = "" if mantissa == "1" else f"{mantissa} \\cdot "
            words.append(f"${times}10^{{-{exponent}}}$" + word[len(word.rstrip(",")) :])
        else:
            words.append(r"$\tau$" if word == "tau" else "".join(_SPECIAL.get(c, c) for c in word))
    # A row that begins with one of these would be an option of what ends the row before.
    return ("{}" if text[:1] in ("[", "*") else "") + " ".join(words)


def _text(value: object, digits: int | None, missing: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return missing
    if isinstance(value, float) and math.isinf(value):
        return "inf"
    if digits is None or not isinstance(value, (int, float)):
        return f"{value:g}" if isinstance(value, float) else " ".join(str(value).split("\n"))
    return f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


# --- the tables of a study --------------------------------------------------------------------------------------------


def publication_tables(
    evaluations: Evaluations, solvers: Sequence[str], taus: Sequence[float], tau: float
) -> list[PaperTable]:
    """The tables of a study: its solvers, its derivative strategies, and the costs on every problem.

    Args:
        evaluations: of the store.
        solvers: labels of those to show, in order.
        taus: accuracies of the convergence test, for counts.
        tau: the accuracy for costs.
    """
    tables = [solvers_table(evaluations, solvers, taus, tau), costs_table(evaluations, solvers, tau)]
    strategies = strategies_table(evaluations, taus)
    return [*tables, *([strategies] if len(strategies.frame) else [])]


def solvers_table(evaluations: Evaluations, solvers: Sequence[str], taus: Sequence[float], tau: float) -> PaperTable:
    """What each solver solved at which accuracy, its median cost with the bracket of a jacobian, and its failures."""
    prices = available_bracket(evaluations)
    counts = summary_table(evaluations, taus=taus).loc[list(solvers)]
    frame = pd.DataFrame({"solver": list(solvers), "problems": counts["problems"].to_numpy()})
    for one in taus:
        frame[f"solved_{tau_label(one)}"] = counts[f"solved_{tau_label(one)}"].to_numpy()
    for price in prices:
        costs = cost_table(evaluations, tau, jac_cost=price)[list(solvers)]
        frame[f"median_{price}"] = costs.where(costs < math.inf).median().to_numpy()
    failed = [name for name in FAILED if name in counts]
    frame["failed"] = counts[failed].sum(axis=1).to_numpy(dtype=int)
    return PaperTable(
        name="solvers",
        caption=f"Problems solved at each tau, and median evaluations to solve one at tau = {tau_label(tau)} (over the "
        f"solved), a jacobian counted as {_in_words(prices)} evaluations.",
        frame=frame,
        columns=(
            Column("solver", "solver"),
            Column("problems", "problems"),
            *(Column(f"solved_{tau_label(t)}", tau_label(t), "solved at tau =") for t in taus),
            *(Column(f"median_{p}", str(p), "median cost, jacobian:", 4) for p in prices),
            Column("failed", "failed"),
        ),
    )


def strategies_table(evaluations: Evaluations, taus: Sequence[float]) -> PaperTable:
    """What a derivative is worth, by strategy and tau; see `worth_table`."""
    prices = available_bracket(evaluations)
    frame = worth_table(evaluations, taus)
    exact = frame["exact"].iloc[0] if len(frame) else "exact"
    shown = frame.assign(tau=[tau_label(t) for t in frame["tau"]])
    return PaperTable(
        name="derivatives",
        caption=f"Derivative strategies beside '{exact}', over all pairs of problem and algorithm that ran under both: "
        f"how many are solved, lost (solved by '{exact}' only; how many of these runs the budget ended) and gained; "
        f"median cost over that of '{exact}' with a jacobian counted as {_in_words(prices)} evaluations; and the price "
        "of a jacobian, in units of n evaluations, at which both cost the same.",
        frame=shown,
        columns=(
            Column("derivative", "derivative"),
            Column("tau", "tau"),
            Column("pairs", "pairs"),
            Column("exact_solved", str(exact), "solved by"),
            Column("solved", "it", "solved by"),
            Column("lost", "in all", "lost"),
            Column("lost_to_budget", "to the budget", "lost"),
            Column("gained", "gained"),
            *(Column(f"ratio_{p}", str(p), "cost ratio, jacobian:", 3) for p in prices),
            Column("break_even_n", "break-even / n", "", 3),
        ),
    )


def costs_table(evaluations: Evaluations, solvers: Sequence[str], tau: float) -> PaperTable:
    """Evaluations to solve each problem, a jacobian counted as free; inf where unsolved."""
    costs = cost_table(evaluations, tau)
    frame = costs[list(solvers)].rename_axis(columns=None).reset_index()
    frame.insert(1, "n", [costs.attrs["n"].get(row) for row in costs.index])
    return PaperTable(
        name="costs",
        caption=f"Evaluations to solve each problem at tau = {tau_label(tau)}, a jacobian counted as free; inf where "
        "unsolved.",
        frame=frame,
        columns=(),
    )


def _in_words(prices: Sequence[JacCost]) -> str:
    return " or ".join([", ".join(map(str, prices[:-1])), str(prices[-1])])
