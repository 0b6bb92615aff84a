"""What a check of derivatives found: verdicts per leaf, and how they print."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from optcore.derivative_verdict import LOOSE, OK, UNDECIDED, WRONG
from optcore.marks import Kind

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Compared", "DerivativeCheck", "LeafCheck", "hidden_notes", "leaf_checks", "summary"]

Points = NDArray[np.float64]  # shape (k, m, n) for k points, m values, n params

#: Leaves that a table shows at most, the worst first.
MOST_LEAVES = 40
_WIDTH = 120
_NAMED = 5


@dataclass(frozen=True, eq=False)
class Compared:
    """One derivative beside differences of its function, at k points that could be used.

    Attributes:
        source: the function that gave the derivative, "jac" for instance.
        kind: of the derivative.
        blocks: names and slices of the leaves of params.
        entries: names of the n params.
        rows: names of the m residuals or contributions; empty for scalar functions.
        fixed: which params can't move, shape (n,).
        number: of each point, 0 for the start, shape (k,).
        x: the points, shape (k, n).
        values: what was differentiated, shape (k, m).
        given: the derivative, shape (k, m, n).
        value: the numerical one.
        error: bound of its error.
        rounding: the part of it that is due to rounding.
        kink: by how much the derivatives from both sides seem to differ.
        codes: OK, WRONG or UNDECIDED.
    """

    source: str
    kind: Kind
    blocks: list[tuple[str, slice]]
    entries: tuple[str, ...]
    rows: tuple[str, ...]
    fixed: NDArray[np.bool_]
    number: NDArray[np.int64]
    x: NDArray[np.float64]
    values: NDArray[np.float64]
    given: Points
    value: Points
    error: Points
    rounding: Points
    kink: Points
    codes: NDArray[np.int8]

    @property
    def verdict(self) -> NDArray[np.int8]:
        """Of each entry over all points, shape (m, n): wrong if it is anywhere, else right if it is anywhere."""
        wrong, right = (self.codes == WRONG).any(axis=0), (self.codes == OK).any(axis=0)
        return np.where(wrong, WRONG, np.where(right, OK, UNDECIDED)).astype(np.int8)

    @property
    def discrepancy(self) -> Points:
        """Relative discrepancy; inf where the derivative isn't finite, 0 where there is nothing to compare with."""
        with np.errstate(all="ignore"):
            entry = np.maximum(np.abs(self.given), np.abs(self.value))
            relative = np.abs(self.given - self.value) / np.where(entry == 0, 1.0, entry)
        return np.where(np.isfinite(self.given), np.nan_to_num(relative, nan=0.0), np.inf)

    def place(self, i: int, j: int) -> str:
        """What the entry of value i and param j is called."""
        return f"{self.entries[j]} of {self.rows[i]}" if self.rows else self.entries[j]

    def reason(self, p: int, i: int, j: int) -> str:
        """Why an entry at a point is wrong or undecided, where that isn't plain from the numbers."""
        code, given, error = self.codes[p, i, j], self.given[p, i, j], self.error[p, i, j]
        if code == WRONG:
            return "" if np.isfinite(given) else f"the given derivative is {given}"
        if code == OK:
            return ""
        if self.fixed[j]:
            return "fixed by its bounds"
        if not np.isfinite(self.value[p, i, j]):
            return "the function isn't finite around it"
        if not np.isfinite(error) or error <= 4 * self.rounding[p, i, j]:
            return "too small to be seen in the rounding of the function"
        if self.kink[p, i, j] >= 0.9 * (error - self.rounding[p, i, j]):
            return "a kink or noise: differences to the left and to the right disagree"
        return "noise, or not smooth: differences at different steps disagree"


@dataclass(frozen=True)
class LeafCheck:
    """What was found for one leaf of params.

    Attributes:
        name: of the leaf, for instance "beta" or "c[0]".
        source: the function that gave the derivative: "jac", "fun_and_jac".
        verdict: "ok", "wrong" or "undecided": that of the worst entry.
        entry: the worst entry, by name; for residuals and contributions with the name of the value.
        point: where it is worst: 0 is the start, i the i-th random point (`DerivativeCheck.points`).
        given: the entry of the given derivative there.
        numerical: the same by differences; NaN if there is none.
        error: bound of the error of `numerical`.
        n_entries: number of entries of the derivative that belong to the leaf.
        n_wrong: number of those that are wrong at one of the points.
        n_undecided: number of those that could not be judged at any of the points.
        reason: why it is undecided, or wrong where the numbers don't tell.
    """

    name: str
    source: str
    verdict: Literal["ok", "wrong", "undecided"]
    entry: str
    point: int
    given: float
    numerical: float
    error: float
    n_entries: int
    n_wrong: int
    n_undecided: int
    reason: str = ""


@dataclass(frozen=True, eq=False, repr=False)
class DerivativeCheck:
    """What `check_derivative` found. Prints as a table.

    Attributes:
        leaves: a verdict for each leaf of params, for each derivative.
        guesses: what the mistakes may be, one sentence each.
        notes: what could not be compared, and why.
        points: where it was compared: the start, then random points, as params.
        n_fun_evals, n_jac_evals, n_fun_and_jac_evals: calls of the user functions.
    """

    leaves: tuple[LeafCheck, ...]
    guesses: tuple[str, ...]
    notes: tuple[str, ...]
    points: tuple[Any, ...]
    n_fun_evals: int
    n_jac_evals: int
    n_fun_and_jac_evals: int

    @property
    def ok(self) -> bool:
        """Whether no entry is wrong. What could not be judged isn't wrong: see `undecided`."""
        return not self.wrong

    @property
    def wrong(self) -> tuple[LeafCheck, ...]:
        """Leaves with at least one wrong entry."""
        return tuple(leaf for leaf in self.leaves if leaf.verdict == "wrong")

    @property
    def undecided(self) -> tuple[LeafCheck, ...]:
        """Leaves with entries that could not be judged, and none that is wrong."""
        return tuple(leaf for leaf in self.leaves if leaf.verdict == "undecided")

    @property
    def n_evaluations(self) -> int:
        """Calls of fun and fun_and_jac: what a budget counts."""
        return self.n_fun_evals + self.n_fun_and_jac_evals

    def to_frame(self) -> pd.DataFrame:
        """One row per leaf, as a pandas DataFrame with the attributes of LeafCheck as columns."""
        import pandas as pd

        columns = [field.name for field in fields(LeafCheck)]
        return pd.DataFrame([[getattr(leaf, name) for name in columns] for leaf in self.leaves], columns=columns)

    def _headline(self) -> str:
        total = sum(leaf.n_entries for leaf in self.leaves)
        counts = [(sum(leaf.n_wrong for leaf in self.leaves), "wrong")]
        counts.append((sum(leaf.n_undecided for leaf in self.leaves), "undecided"))
        found = ", ".join(f"{number} {word}" for number, word in counts if number) or "none wrong"
        points = f"{len(self.points)} points" if len(self.points) > 1 else "1 point"
        return f"derivative check: {total} entries at {points}: {found} ({self.n_evaluations} evaluations)"

    def _table(self) -> tuple[list[str], list[list[str]], int]:
        """Head, rows (the worst leaves first where there are too many), and how many leaves are left out.

        The first column is the function that gave the derivative.
        """
        shown = list(self.leaves)
        if len(shown) > MOST_LEAVES:
            order = {"wrong": 0, "undecided": 1, "ok": 2}
            shown = sorted(shown, key=lambda leaf: order[leaf.verdict])[:MOST_LEAVES]
        head = [
            "function",
            "leaf",
            "verdict",
            "worst entry",
            "point",
            "given",
            "numerical",
            "±",
            "wrong",
            "open",
            "of",
        ]
        rows = [
            [
                leaf.source,
                _short(leaf.name, 16),
                leaf.verdict,
                _short(leaf.entry, 22),
                "start" if leaf.point == 0 else str(leaf.point),
                f"{leaf.given:.6g}",
                f"{leaf.numerical:.6g}",
                f"{leaf.error:.1e}",
                str(leaf.n_wrong),
                str(leaf.n_undecided),
                str(leaf.n_entries),
            ]
            for leaf in shown
        ]
        return head, rows, len(self.leaves) - len(shown)

    def _remarks(self) -> list[str]:
        reasons: dict[str, list[str]] = {}
        for leaf in self.leaves:
            if leaf.reason:
                reasons.setdefault(leaf.reason, []).append(leaf.name)
        return [
            *(f"guess: {sentence}" for sentence in self.guesses),
            *(f"{_some(names)}: {reason}" for reason, names in reasons.items()),
            *(f"note: {note}" for note in self.notes),
        ]

    def __repr__(self) -> str:
        head, rows, left_out = self._table()
        widths = [max(map(len, column)) for column in zip(*(row[1:] for row in [head, *rows]), strict=True)]
        lines, source = [], rows[0][0] if len({leaf.source for leaf in self.leaves}) == 1 else ""
        for row in [head, *rows]:
            if row is not head and row[0] != source:
                source = row[0]
                lines.append(f"{source}:")
            cells = (cell.ljust(width) for cell, width in zip(row[1:], widths, strict=True))
            lines.append("  " + "  ".join(cells).rstrip())
        lines += [f"  ... and {left_out} more leaves, see .leaves"] if left_out else []
        return "\n".join([self._headline(), *lines, *(line for remark in self._remarks() for line in _wrapped(remark))])

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        head, rows, left_out = self._table()

        def cells(tag: str, row: Sequence[str]) -> str:
            style = "style='text-align:left'"
            return "<tr>" + "".join(f"<{tag} {style}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>"

        remarks = self._remarks() + ([f"... and {left_out} more leaves"] if left_out else [])
        return (
            f"<table><caption>{html.escape(self._headline())}</caption>{cells('th', head)}"
            + "".join(cells("td", row) for row in rows)
            + "</table>"
            + "".join(f"<p>{html.escape(remark)}</p>" for remark in remarks)
        )


def leaf_checks(compared: Compared) -> list[LeafCheck]:
    """A verdict for each leaf: that of its worst entry."""
    verdict, discrepancy = compared.verdict, compared.discrepancy
    checks = []
    for name, part in compared.blocks:
        codes = verdict[:, part]
        if codes.size == 0:
            continue
        code = next((code for code in (WRONG, UNDECIDED) if (codes == code).any()), OK)
        # The worst entry at the point where it is worst, among those that have the verdict of the leaf.
        eligible = (compared.codes[:, :, part] == code) & (codes == code)
        rank = np.where(eligible, discrepancy[:, :, part], -1.0)
        p, i, j = (int(index) for index in np.unravel_index(rank.argmax(), rank.shape))
        j += part.start
        checks.append(
            LeafCheck(
                name=name or "params",
                source=compared.source,
                verdict={OK: "ok", WRONG: "wrong"}.get(code, "undecided"),  # type: ignore[arg-type]
                entry=compared.place(i, j),
                point=int(compared.number[p]),
                given=float(compared.given[p, i, j]),
                numerical=float(compared.value[p, i, j]),
                error=float(compared.error[p, i, j]),
                n_entries=codes.size,
                n_wrong=int((codes == WRONG).sum()),
                n_undecided=int((codes == UNDECIDED).sum()),
                reason=compared.reason(p, i, j),
            )
        )
    return checks


def hidden_notes(compared: Compared) -> list[str]:
    """Kinks and infinite values at single points, for entries that are right at the others."""
    unclear = (compared.codes == UNDECIDED) & (compared.verdict == OK) & ~compared.fixed
    with np.errstate(all="ignore"):
        entry = np.maximum(np.abs(compared.given), np.abs(compared.value))
    # Entries that are small at one point by chance are no news.
    telling = (compared.kink > LOOSE * entry) & (compared.kink > 1e6 * compared.rounding)
    unclear &= ~np.isfinite(compared.error) | telling
    found: dict[tuple[str, int], list[str]] = {}
    for p, i, j in np.argwhere(unclear):
        key = (compared.reason(p, i, j), int(compared.number[p]))
        found.setdefault(key, []).append(compared.place(i, j))
    return [
        f"{compared.source} at {_some(places)} can't be judged at {'the start' if number == 0 else f'point {number}'} "
        f"({reason}); it is right at other points"
        for (reason, number), places in found.items()
    ]


def summary(check: DerivativeCheck) -> str:
    """What is wrong, as the message of an error."""
    worst = check.wrong[0]
    where = "the start" if worst.point == 0 else f"random point {worst.point} near the start"
    named = _some([repr(leaf.name) for leaf in check.wrong])
    sources = " and ".join(dict.fromkeys(leaf.source for leaf in check.wrong))
    numbers = (
        worst.reason
        or f"{worst.source} gives {worst.given:.7g}, differences give {worst.numerical:.7g} ± {worst.error:.1e}"
    )
    guesses = "".join(f" {sentence}" for sentence in check.guesses[:3])
    return (
        f"the derivative that {sources} returned is wrong at {named}. "
        f"At {where}, for {worst.entry}: {numbers}.{guesses} "
        "Mend the derivative; print(error.check) shows all leaves, and check_derivatives=False trusts it as it is"
    )


def _some(names: Sequence[str]) -> str:
    """The first few of the names."""
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, _WIDTH, subsequent_indent="  ")
