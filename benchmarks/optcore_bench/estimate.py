"""What a plan will take: time and disk, as far as runs that are stored tell."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from optcore_bench.plan import Plan
from optcore_bench.runs import Run
from optcore_bench.store.schema import TABLES

__all__ = ["Estimate", "Kin", "describe_plan", "estimate"]

#: Bytes that an evaluation takes at most: without its point, and for each coordinate (doubles that nothing compresses).
_EVALUATION_BYTES = 30
_COORDINATE_BYTES = 8
_RUN_BYTES = 600
#: Positions in the key of a row: suite, problem, start, noise, algorithm, derivative. Nearer kin first.
_KIN = ((0, 1, 3, 4, 5), (4, 5), (4,))


@dataclass(frozen=True)
class Estimate:
    """What the pending runs of a plan will take.

    Attributes:
        seconds: wall time, None where nothing is known of any of them.
        known: how many of the runs this rests on; the rest is taken to be like their mean.
        bytes: on the disk; None where nothing bounds it.
        is_bound: whether `bytes` is what the budgets allow at most, not what similar runs took.
    """

    seconds: float | None
    known: int
    bytes: int | None
    is_bound: bool


def estimate(plan: Plan, workers: int, root: Path, *, keep_x: bool = True) -> Estimate:
    """Estimate what the pending runs take.

    The time of a run is the mean of the stored ones of the same problem, algorithm and derivative; else of the same
    algorithm and derivative; else of the same algorithm. The disk follows from the bytes that a stored evaluation
    takes, or else from the budgets.

    Args:
        plan: the plan.
        workers: how many runs at the same time.
        root: the store, which need not exist.
        keep_x: whether points are stored.
    """
    runs = [run for run in plan.pending if not run.reason]
    times, counts = Kin(plan, "seconds"), Kin(plan, "evaluations")
    known = [seconds for run in runs if (seconds := times.of(run)) is not None]
    seconds = fmean(known) * len(runs) / min(workers, len(runs)) if known else None if runs else 0.0
    stored = sum(row.evaluations for row in plan.stored.values())
    found = [count for run in runs if (count := counts.of(run)) is not None]
    if stored and found:
        each = _size_of(root) / stored
        return Estimate(seconds, len(known), round(fmean(found) * len(runs) * each), is_bound=False)
    return Estimate(seconds, len(known), _bound(runs, keep_x=keep_x), is_bound=True)


class Kin:
    """Means over stored runs that are like a run.

    Args:
        plan: the plan, which knows what is stored.
        what: "seconds" or "evaluations".
    """

    def __init__(self, plan: Plan, what: str) -> None:
        self._values: dict[tuple[Any, ...], list[float]] = defaultdict(list)
        for row in plan.stored.values():
            value = getattr(row, what)
            if value is not None and row.status != "not_applicable":
                self.add(row.key, value)

    def add(self, key: tuple[Any, ...], value: float) -> None:
        """Take in one more, by its suite, problem, start, noise, algorithm and derivative."""
        for positions in _KIN:
            self._values[positions, *(key[i] for i in positions)].append(value)

    def of(self, run: Run, *, near: bool = False) -> float | None:
        """The mean over the nearest kin of a run that there are; None if there are none.

        Args:
            run: the run.
            near: ask only those that differ by the start, and by options or budget, but by nothing else.
        """
        for positions in _KIN[:1] if near else _KIN:
            if values := self._values.get((positions, *(run.key[i] for i in positions))):
                return fmean(values)
        return None


def _size_of(root: Path) -> int:
    files = (path for table in (*TABLES, "log") for path in (root / table).glob("*"))
    return sum(path.stat().st_size for path in files)


def _bound(runs: list[Run], *, keep_x: bool) -> int | None:
    """Bytes that runs take if each of them uses up its budget."""
    if any(run.max_evaluations is None for run in runs):
        return None
    each = [_EVALUATION_BYTES + (_COORDINATE_BYTES * run.problem.n if keep_x else 0) for run in runs]
    return sum(_RUN_BYTES + (run.max_evaluations or 0) * size for run, size in zip(runs, each, strict=True))


def describe_plan(plan: Plan, guess: Estimate, workers: int) -> dict[str, Any]:
    """A plan as plain values, for people and machines alike.

    Args:
        plan: the plan.
        guess: what it takes.
        workers: how many runs at the same time.
    """
    able = [run for run in plan.pending if not run.reason]
    reasons = Counter(_general(run) for run in plan.pending if run.reason)
    return {
        "runs": len(plan.runs),
        "stored": len(plan.runs) - len(plan.pending),
        "to_run": len(able),
        "retried": len(plan.retried),
        "superseded": len(plan.superseded),
        "by_algorithm_and_derivative": _table(able),
        "not_applicable": [{"runs": count, "reason": reason} for reason, count in reasons.most_common()],
        "jobs": workers,
        "seconds": guess.seconds,
        "seconds_known_for": guess.known,
        "bytes": guess.bytes,
        "bytes_are": "a bound" if guess.is_bound else "an estimate",
    }


def _general(run: Run) -> str:
    """The reason without the name of the problem, so that equal ones are counted together."""
    return run.reason.replace(run.problem.full_name, "the problem")


def _table(runs: Iterable[Run]) -> list[dict[str, Any]]:
    counts = Counter((run.entry.name, run.derivative.name) for run in runs)
    return [{"algorithm": name, "derivative": how, "runs": count} for (name, how), count in counts.items()]
