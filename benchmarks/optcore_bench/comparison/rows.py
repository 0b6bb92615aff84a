"""One side of a comparison: what each row cost, how it ended, and where it was run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from statistics import median_low
from typing import Any

from optcore.errors import InvalidInputError

__all__ = ["FAILURES", "MIN_STARTS", "Key", "Row", "Side", "medians", "of_two_runs"]

#: Statuses of runs that no solver meant.
FAILURES = ("error", "crashed")
#: Fewer starts give medians that another CPU moves.
MIN_STARTS = 5

#: What rows are matched by: the problem with its start and noise, and the solver with its derivative strategy.
Key = tuple[str, str]


@dataclass(frozen=True)
class Row:
    """A run as the comparison sees it, or the median over several starts.

    Attributes:
        problem: `suite/problem`, with its noise if there is any.
        start: number of the start, from 1.
        solver: `algorithm [derivative]`.
        cost: what it took to solve it, inf where it wasn't solved.
        evaluations: evaluations of the objective in the whole run.
        status: how the run ended.
        message: what was said then.
        run_id: id of the run, "" where unknown.
        history: hash of its evaluations, "" where unknown.
        environment: hash of the fingerprint of where it ran, "" where unknown.
        version: of the problem.
        f_start: value at the start, NaN where unknown.
        seconds: how long it took, NaN where unknown.
        share: share of starts that were solved.
        starts: how many starts it stands for.
        repeats: False where runs of the same code were seen to differ.
    """

    problem: str
    start: int
    solver: str
    cost: float
    evaluations: int = 0
    status: str = ""
    message: str = ""
    run_id: str = ""
    history: str = ""
    environment: str = ""
    version: str = ""
    f_start: float = math.nan
    seconds: float = math.nan
    share: float = 1.0
    starts: int = 1
    repeats: bool = True

    @property
    def name(self) -> str:
        """The row of a cost table: `suite/problem`, `suite/problem#2` for the second start."""
        problem, tilde, noise = self.problem.partition(" ~ ")
        return f"{problem}{f'#{self.start}' if self.start > 1 else ''}{tilde}{noise}"

    @property
    def key(self) -> Key:
        """What it is matched by."""
        return self.name, self.solver

    @property
    def is_solved(self) -> bool:
        """Whether it was solved, at the gate's tau."""
        return math.isfinite(self.cost)


@dataclass(frozen=True, eq=False)
class Side:
    """All rows of a side.

    Attributes:
        name: what messages call it.
        rows: by key.
        not_applicable: reasons for rows that can't be, by key.
        environments: fingerprints by hash.
        rules: what of the study all rows share: budget, stopping, seed.
        gate: the study's table `[gate]`.
        tau: accuracy that the costs are for.
        source: results to draw curves from, or None.
        known_medians: what `medians` gives where it is known already, as from a baseline.
        lowest: f_L of problems without a known optimum, by `suite/problem`, where a baseline froze it.
        starts: of a baseline: over how many starts its medians are.
    """

    name: str
    rows: Mapping[Key, Row]
    not_applicable: Mapping[Key, str] = field(default_factory=dict)
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    rules: Mapping[str, Any] = field(default_factory=dict)
    gate: Mapping[str, Any] = field(default_factory=dict)
    tau: float = 1e-5
    source: Any = None
    known_medians: Mapping[Key, Row] | None = None
    lowest: Mapping[str, float] = field(default_factory=dict)
    starts: int = 0


def of_two_runs(first: Side, second: Side) -> Side:
    """The first of two runs of the same: rows that differ don't repeat, and the faster time counts."""

    def row(one: Row) -> Row:
        other = second.rows.get(one.key)
        if other is None:
            return replace(one, repeats=False)
        times = [time for time in (one.seconds, other.seconds) if not math.isnan(time)]
        return replace(one, repeats=one.history == other.history, seconds=min(times, default=math.nan))

    return replace(first, rows={key: row(one) for key, one in first.rows.items()})


def medians(side: Side) -> Side:
    """The same with one row for each problem and solver: the median over its starts.

    An unsolved start costs inf; of an even number of starts the lower median is taken, so that half of them unsolved
    is still a number.

    Raises:
        InvalidInputError: there are rows with fewer than `MIN_STARTS` starts.
    """
    if side.known_medians is not None:
        return replace(side, rows=side.known_medians)
    groups: dict[Key, list[Row]] = {}
    for row in side.rows.values():
        groups.setdefault((row.problem, row.solver), []).append(row)
    for (problem, solver), rows in groups.items():
        if len(rows) < MIN_STARTS:
            raise InvalidInputError(
                f"medians need at least {MIN_STARTS} starts, but {side.name!r} has {len(rows)} of {problem} {solver}; "
                "run both with starts = 20 in the study"
            )
    return replace(side, rows={key: _median(rows) for key, rows in groups.items()})


def _median(rows: list[Row]) -> Row:
    ordered = sorted(rows, key=lambda row: row.start)
    return replace(
        ordered[0],
        start=1,
        cost=float(median_low(row.cost for row in ordered)),
        evaluations=int(median_low(row.evaluations for row in ordered)),
        status=_most(row.status for row in ordered),
        share=sum(row.is_solved for row in ordered) / len(ordered),
        starts=len(ordered),
        run_id="",
        history="",
        seconds=math.fsum(row.seconds for row in ordered),
    )


def _most(words: Iterable[str]) -> str:
    listed = list(words)
    return max(sorted(set(listed)), key=listed.count)
