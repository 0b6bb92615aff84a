"""A comparison of two sides: its rows, its verdict, its words and its figures."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from optcore.errors import InvalidInputError, unknown_name
from optcore_bench.comparison.rows import Row, Side
from optcore_bench.comparison.times import TimeRatio
from optcore_bench.comparison.verdict import RowComparison, State, Verdict
from optcore_bench.gate import Gate
from optcore_bench.words import count

if TYPE_CHECKING:
    import pandas as pd

    from optcore_bench.comparison.curves import CurvePair

__all__ = ["Comparison"]

#: The order in which rows are told, the worst first.
_ORDER = (State.FAILED, State.WORSE, State.MISSING, State.NONDETERMINISTIC, State.BETTER, State.NEW)
_SHOWN = 40


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found.

    Attributes:
        old, new: the sides; in robust mode their medians.
        rows: every row of either side.
        verdict: "same", "better", "worse", "invalid" or "not comparable".
        reasons: why, one sentence each; empty for same and better.
        gate: the limits that were applied.
        total_log2_per_row: mean log2(new cost / old cost) over the rows that both sides solve; NaN without any.
        judged: how many rows these are.
        robust: whether rows are medians over starts.
        time: the ratio of times, None where unknown.
    """

    old: Side
    new: Side
    rows: tuple[RowComparison, ...]
    verdict: Verdict
    reasons: tuple[str, ...]
    gate: Gate
    total_log2_per_row: float = math.nan
    judged: int = 0
    robust: bool = False
    time: TimeRatio | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def exit_status(self) -> int:
        """0 same or better, 1 worse, 2 invalid, 3 not comparable."""
        return self.verdict.exit_status

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are in each state that occurs."""
        found = Counter(row.state for row in self.rows)
        return {state.value: found[state] for state in State if found[state]}

    def changed(self) -> list[RowComparison]:
        """The rows that aren't SAME, the worst first."""
        rows = [row for row in self.rows if row.state is not State.SAME]
        return sorted(rows, key=lambda row: (_ORDER.index(row.state), -_size(row), row.label))

    def headline(self) -> str:
        """The verdict in one line."""
        words = ", ".join(f"{times} {state}" for state, times in self.counts.items())
        what = ("median over starts", "medians over starts") if self.robust else ("row", "rows")
        change = ""
        if self.judged:
            change = f"; {self.gate.cost} x{2.0**self.total_log2_per_row:.3g} over {self.judged} solved by both"
        return f"{self.verdict}: {count(len(self.rows), *what)}: {words or 'none'}{change}"

    def to_text(self, shown: int = _SHOWN, rest: str = "") -> str:
        """What a terminal shows.

        Args:
            shown: how many rows at most.
            rest: where the others are, in words.
        """
        lines = [self.headline(), *(f"  {reason}" for reason in (*self.reasons, *self.notes))]
        changed = self.changed()
        lines += [f"  {row.state:<16} {row}" for row in changed[:shown]]
        if len(changed) > shown:
            lines.append(f"  ... and {count(len(changed) - shown, 'more row')}{rest}")
        if self.time is not None:
            lines.append(f"  {self.time}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.to_text()

    def to_markdown(self, shown: int = _SHOWN) -> str:
        """A comment for a pull request.

        Args:
            shown: how many rows at most.
        """
        lines = [f"### optcore compare: {self.verdict}", ""]
        lines += [f"`{_cell(self.old.name)}` → `{_cell(self.new.name)}`: {self.headline().partition(': ')[2]}", ""]
        lines += [f"- {_cell(note)}" for note in (*self.reasons, *self.notes)]
        if changed := self.changed():
            lines += ["", f"| | row | old | new | {self.gate.cost} |", "|---|---|---:|---:|---:|"]
            lines += [
                f"| {row.state} | {_cell(row.label)} | {_short(row.old)} | {_short(row.new)} | {_change(row)} |"
                for row in changed[:shown]
            ]
            if len(changed) > shown:
                lines += ["", f"... and {count(len(changed) - shown, 'more row')}."]
        if self.time is not None:
            lines += ["", f"<sub>{self.time}</sub>"]
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; costs of unsolved rows are None."""
        return {
            "old": self.old.name,
            "new": self.new.name,
            "verdict": self.verdict.value,
            "exit_status": self.exit_status,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "robust": self.robust,
            "gate": asdict(self.gate),
            "counts": self.counts,
            "total_log2_per_row": _finite(self.total_log2_per_row),
            "judged": self.judged,
            "time": None if self.time is None else self.time._asdict(),
            "rows": [
                {
                    "row": row.name,
                    "solver": row.solver,
                    "state": row.state.value,
                    "old": _plain(row.old),
                    "new": _plain(row.new),
                    "words": str(row),
                }
                for row in self.rows
            ],
        }

    def to_frame(self) -> pd.DataFrame:
        """One row each: `row, solver, state, old_cost, new_cost, old_status, new_status, log2`."""
        import pandas as pd

        columns = {
            "row": [row.name for row in self.rows],
            "solver": [row.solver for row in self.rows],
            "state": [row.state.value for row in self.rows],
            "old_cost": [math.nan if row.old is None else row.old.cost for row in self.rows],
            "new_cost": [math.nan if row.new is None else row.new.cost for row in self.rows],
            "old_status": [None if row.old is None else row.old.status for row in self.rows],
            "new_status": [None if row.new is None else row.new.status for row in self.rows],
            "log2": [row.log2 for row in self.rows],
        }
        return pd.DataFrame(columns)

    def find(self, row: str | RowComparison) -> RowComparison:
        """A row by its label, `more_wild/bard scipy_lbfgsb [forward]`, or by its problem where that is enough.

        Raises:
            UnknownNameError: there is none; suggests the nearest.
            InvalidInputError: several solvers have that problem.
        """
        if isinstance(row, RowComparison):
            return row
        found = [one for one in self.rows if row in (one.label, one.name)]
        if not found:
            raise unknown_name("row", row, [one.label for one in self.rows])
        if len(found) > 1:
            raise InvalidInputError(f"{len(found)} rows are called {row!r}; add the solver, as in {found[0].label!r}")
        return found[0]

    def curves(self, row: str | RowComparison) -> CurvePair:
        """How both sides converged on a row.

        Args:
            row: as for `find`.

        Returns:
            The numbers, with `.figure()`.

        Raises:
            InvalidInputError: a side has no histories (a baseline, a published table), or rows are medians.
        """
        from optcore_bench.comparison.curves import curve_pair

        return curve_pair(self, self.find(row))

    def figure(self, row: str | RowComparison) -> Any:
        """The pair of convergence curves of a row as a plotly figure, see `curves`."""
        return self.curves(row).figure()


def _size(row: RowComparison) -> float:
    return 0.0 if math.isnan(row.log2) else abs(row.log2)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _short(row: Row | None) -> str:
    if row is None:
        return ""
    return f"{row.cost:g}" if row.is_solved else f"unsolved ({row.status})" if row.status else "unsolved"


def _change(row: RowComparison) -> str:
    return "" if math.isnan(row.log2) else f"{100 * (2.0**row.log2 - 1):+.1f} %"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(row: Row | None) -> dict[str, Any] | None:
    if row is None:
        return None
    return {
        "cost": _finite(row.cost),
        "evaluations": row.evaluations,
        "status": row.status,
        "message": row.message,
        "run_id": row.run_id,
        "environment": row.environment,
        "share_solved": row.share,
    }
