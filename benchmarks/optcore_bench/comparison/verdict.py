"""Judging: each row by its cost, both sides by the gate's limits on exact counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from optcore_bench.comparison.rows import FAILURES, Key, Row, Side
from optcore_bench.gate import Gate
from optcore_bench.words import count

__all__ = ["Judgement", "RowComparison", "State", "Verdict", "compare_rows", "judge"]

#: Robust mode: a problem is lost where the share of solved starts falls by more than this.
_SHARE_LOST = 0.45
#: Robust mode: so many solved starts may get lost by chance, or the tenth that `Gate.robust_ratio` says.
_FEW_STARTS = 2
#: Robust mode: medians closer than this many units of cost are the same.
_FEW = 3.0
#: Robust mode: no stricter limits apply to single rows, since one median may move where the mean of all doesn't.
_WORST_RATIO, _WORST_UNITS = 2.0, 10.0


class State(StrEnum):
    """What became of a row."""

    SAME = "SAME"
    BETTER = "BETTER"
    WORSE = "WORSE"
    FAILED = "FAILED"
    NEW = "NEW"
    MISSING = "MISSING"
    NONDETERMINISTIC = "NONDETERMINISTIC"


class Verdict(StrEnum):
    """What a comparison says."""

    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    INVALID = "invalid"
    NOT_COMPARABLE = "not comparable"

    @property
    def exit_status(self) -> int:
        """What `optcore compare` exits with."""
        return {"worse": 1, "invalid": 2, "not comparable": 3}.get(self.value, 0)


@dataclass(frozen=True)
class RowComparison:
    """A row of both sides.

    Attributes:
        name: the problem and its start, as in a cost table.
        solver: `algorithm [derivative]`.
        state: what became of it.
        old, new: the rows, None where a side has none.
        reason: why it is missing, if that is known.
        cost: what costs count.
    """

    name: str
    solver: str
    state: State
    old: Row | None
    new: Row | None
    reason: str = ""
    cost: str = "evaluations"

    @property
    def label(self) -> str:
        """For people: `more_wild/watson_n9 scipy_neldermead [none]`."""
        return f"{self.name} {self.solver}"

    @property
    def log2(self) -> float:
        """The logarithm of new cost / old cost to base 2; NaN unless both sides solve it."""
        if self.old is None or self.new is None or not (self.old.is_solved and self.new.is_solved):
            return math.nan
        return math.log2(max(self.new.cost, 1e-300) / max(self.old.cost, 1e-300))

    def __str__(self) -> str:
        return f"{self.label}: {self._words()}"

    def _words(self) -> str:
        old, new = self.old, self.new
        if old is None:
            return f"new, {_ending(new, self.cost)}"
        if new is None:
            return f"missing, was {_ending(old, self.cost)}{f' ({self.reason})' if self.reason else ''}"
        if self.state is State.NONDETERMINISTIC:
            return (
                f"{_ending(old, self.cost)}, then {_ending(new, self.cost)}, by the same code in the same environment"
            )
        if new.starts > 1 and abs(new.share - old.share) > _SHARE_LOST:
            return f"solved from {old.share:.0%} -> {new.share:.0%} of its {new.starts} starts"
        if not math.isnan(self.log2) and new.status not in FAILURES:
            change = "" if new.cost == old.cost else f" ({_percent(new.cost / old.cost)})"
            return f"{old.cost:g} -> {new.cost:g} {self.cost}{change}"
        return f"{_ending(old, self.cost)} -> {_ending(new, self.cost)}"


def _ending(row: Row | None, cost: str) -> str:
    if row is None:
        return "not run"
    if row.is_solved:
        failed = f", then {_failure(row)}" if row.status in FAILURES else ""
        return f"solved in {row.cost:g} {cost}{failed}"
    spent = f" in {row.evaluations} evaluations" if row.evaluations else ""
    return f"not solved{spent}{f' ({_failure(row)})' if row.status else ''}"


def _failure(row: Row) -> str:
    first = row.message.splitlines()[0][:120] if row.message else ""
    return f"{row.status}: {first}" if row.status in FAILURES and first else row.status


def _percent(ratio: float) -> str:
    """A ratio as a change.

    >>> _percent(655 / 412), _percent(0.5), _percent(1.001)
    ('+59 %', '-50 %', '+0.1 %')
    """
    change = 100.0 * (ratio - 1.0)
    return f"{change:+.0f} %" if abs(change) >= 1 else f"{change:+.1g} %"


def compare_rows(old: Side, new: Side, gate: Gate, *, robust: bool, same_code: bool) -> tuple[RowComparison, ...]:
    """All rows of both sides, those of the old side first, in its order.

    Args:
        old: the side that is compared with.
        new: the other one.
        gate: names the cost.
        robust: whether rows are medians over starts.
        same_code: whether equal ids of runs mean equal code.
    """
    keys: Mapping[Key, None] = dict.fromkeys([*old.rows, *new.rows])
    found = []
    for name, solver in keys:
        one, other = old.rows.get((name, solver)), new.rows.get((name, solver))
        state = _robust_state(one, other, gate) if robust else _state(one, other, same_code=same_code)
        reason = new.not_applicable.get((name, solver), "")
        found.append(RowComparison(name, solver, state, one, other, reason, gate.cost))
    return tuple(found)


def _presence(old: Row | None, new: Row | None) -> State | None:
    return State.NEW if old is None else State.MISSING if new is None else None


def _state(old: Row | None, new: Row | None, *, same_code: bool) -> State:
    if old is None or new is None:
        return _presence(old, new) or State.SAME
    if not (old.repeats and new.repeats):
        return State.NONDETERMINISTIC
    differs = bool(old.history and new.history and old.history != new.history)
    if same_code and old.run_id and old.run_id == new.run_id and old.environment == new.environment and differs:
        return State.NONDETERMINISTIC
    if (old.is_solved and not new.is_solved) or (new.status in FAILURES and old.status not in FAILURES):
        return State.FAILED
    return State.SAME if new.cost == old.cost else State.BETTER if new.cost < old.cost else State.WORSE


def _robust_state(old: Row | None, new: Row | None, gate: Gate) -> State:
    if old is None or new is None:
        return _presence(old, new) or State.SAME
    lost = old.share - new.share
    if lost > _SHARE_LOST or (new.status in FAILURES and old.status not in FAILURES):
        return State.FAILED
    if lost < -_SHARE_LOST:
        return State.BETTER
    if not (old.is_solved and new.is_solved) or abs(new.cost - old.cost) < _FEW:
        return State.SAME
    ratio = new.cost / old.cost
    return State.WORSE if ratio > gate.robust_ratio else State.BETTER if ratio < 1 / gate.robust_ratio else State.SAME


class Judgement(NamedTuple):
    """What the limits say.

    Attributes:
        verdict: same, better, worse or invalid.
        reasons: the limits that don't hold, one sentence each.
        total_log2_per_row: mean log2 cost ratio over the rows that both sides solve, NaN without any.
        judged: how many rows these are.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    total_log2_per_row: float
    judged: int


def judge(rows: tuple[RowComparison, ...], gate: Gate, *, robust: bool) -> Judgement:
    """Apply the gate's limits; rows that don't repeat leave it."""
    kept = [row for row in rows if row.state is not State.NONDETERMINISTIC]
    ratios = [row.log2 for row in kept if not math.isnan(row.log2)]
    mean = math.fsum(ratios) / len(ratios) if ratios else math.nan
    erratic = len(rows) - len(kept)
    both = sum(row.old is not None and row.new is not None for row in rows)
    if both and (erratic > max(1, gate.nondeterministic * both) or erratic == both):
        reason = (
            f"{count(erratic, 'row')} of {both} differ between runs of what their ids call the same code: either "
            'the code changed and nothing says so (give the algorithm a "version"), or the solver does not repeat '
            "(seed it)"
        )
        return Judgement(Verdict.INVALID, (reason,), mean, len(ratios))
    if broken := _broken(kept, gate, mean, len(ratios), robust=robust):
        return Judgement(Verdict.WORSE, tuple(broken), mean, len(ratios))
    states = {row.state for row in kept}
    better = (mean < 0) if ratios and mean != 0 else State.BETTER in states and State.WORSE not in states
    verdict = Verdict.BETTER if better and State.BETTER in states else Verdict.SAME
    return Judgement(verdict, (), mean, len(ratios))


def _broken(kept: list[RowComparison], gate: Gate, mean: float, judged: int, *, robust: bool) -> list[str]:
    """The limits that don't hold, in words."""
    pairs = [(row.old, row.new) for row in kept if row.old is not None and row.new is not None]
    if robust:
        lost = sum(old.share - new.share > _SHARE_LOST for old, new in pairs)
    else:
        lost = sum(old.is_solved and not new.is_solved for old, new in pairs)
    crashed = sum(new.status in FAILURES and old.status not in FAILURES for old, new in pairs)
    missing = sum(row.state is State.MISSING for row in kept)
    limit = math.log2(gate.robust_ratio) if robust else gate.total_log2_per_row
    ratio = max(gate.worst_row_ratio, _WORST_RATIO) if robust else gate.worst_row_ratio
    units = max(gate.worst_row_evaluations, _WORST_UNITS) if robust else gate.worst_row_evaluations
    expensive = [
        row
        for row in kept
        if row.old is not None
        and row.new is not None
        and row.log2 >= math.log2(ratio)
        and row.new.cost - row.old.cost > units
    ]
    broken = []
    # As many starts count on both sides, also where a baseline has others than a store.
    before = math.fsum(old.share * min(old.starts, new.starts) for old, new in pairs)
    after = math.fsum(new.share * min(old.starts, new.starts) for old, new in pairs)
    if robust and before - after > max(_FEW_STARTS, before * (1 - 1 / gate.robust_ratio)) + 0.5:
        broken.append(f"{after:.0f} starts are solved, where {before:.0f} were")
    if lost > gate.solved:
        broken.append(f"{count(lost, 'row')} no longer solved at tau = {gate.tau:g} (at most {gate.solved})")
    if crashed > gate.crashed:
        broken.append(f"{count(crashed, 'row')} newly ended by an error or a crash (at most {gate.crashed})")
    if missing > gate.missing:
        broken.append(f"{count(missing, 'row')} missing (at most {gate.missing})")
    if mean > limit * (1 + 1e-12):
        broken.append(
            f"total log2 cost ratio {mean:.3g} per row over {count(judged, 'row')} (at most {limit:.3g}): "
            f"{_percent(2.0**mean)} {gate.cost} on average"
        )
    if expensive:
        worst = max(expensive, key=lambda row: row.log2)
        broken.append(
            f"{count(len(expensive), 'row')} cost {ratio:g} times as much or more, and more than "
            f"{units:g} {gate.cost} more: worst is {worst}"
        )
    return broken
