"""What of a study is to be run: what its store lacks, what shall be run again, the part of one shard."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from optcore.errors import InvalidInputError, unknown_name
from optcore_bench.runs import Run
from optcore_bench.store import STATUSES
from optcore_bench.store.schema import KEY
from optcore_bench.store.selection import read_consistently, select
from optcore_bench.store.sources import Source

__all__ = ["Plan", "Shard", "Stored", "make_plan", "read_retry", "read_shard", "read_stored", "read_walltime"]

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_COLONS = re.compile(r"(?:(\d+)-)?(\d+(?::\d+){1,2})")
_LETTERS = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


class Stored(NamedTuple):
    """What a plan looks at of a row that is stored.

    Attributes:
        key: suite, problem, start, noise, algorithm, derivative.
        status: how the run ended.
        seconds: how long it took, None where that is unknown.
        evaluations: how many evaluations it made, derivatives included.
        began: when, in seconds since the epoch, None where that is unknown.
    """

    key: tuple[Any, ...]
    status: str
    seconds: float | None
    evaluations: int
    began: float | None


class Shard(NamedTuple):
    """A part of the runs: number `number` of `parts`, from 1."""

    number: int
    parts: int

    def part(self, runs: Iterable[Run]) -> list[Run]:
        """Its runs, in the order of the study.

        All runs, sorted by their ids, are dealt out one by one. An id is a hash, so that each part gets its share of
        every problem and algorithm; the sizes differ by at most one, and no run is in two parts.
        """
        listed = list(runs)
        mine = {run.run_id for run in sorted(listed, key=lambda run: run.run_id)[self.number - 1 :: self.parts]}
        return [run for run in listed if run.run_id in mine]

    def __str__(self) -> str:
        return f"{self.number}/{self.parts}"


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        runs: all that shall be in the store in the end, or the shard's part of it.
        pending: those that are to be run.
        stored: what the store holds, by run id, of any shard, superseded rows included.
        retried: ids of the pending runs that are stored already.
    """

    runs: list[Run]
    pending: list[Run]
    stored: Mapping[str, Stored] = field(default_factory=dict)
    retried: frozenset[str] = frozenset()

    @property
    def superseded(self) -> list[Run]:
        """Pending runs whose cell is stored, made by other code, options or versions."""
        cells = {row.key for row in self.stored.values()}
        return [run for run in self.pending if run.run_id not in self.retried and run.key in cells]


def make_plan(
    runs: list[Run], stored: Mapping[str, Stored], retry: Collection[str] = (), shard: Shard | None = None
) -> Plan:
    """See what is to be run.

    Args:
        runs: those of the study.
        stored: what its store holds.
        retry: statuses of which stored runs are run again.
        shard: the part to look at; all by default.

    Returns:
        The plan.
    """
    part = runs if shard is None else shard.part(runs)
    retried = frozenset(run.run_id for run in part if (row := stored.get(run.run_id)) and row.status in retry)
    pending = [run for run in part if run.run_id not in stored or run.run_id in retried]
    return Plan(part, pending, stored, retried)


def read_stored(root: Path) -> dict[str, Stored]:
    """What a store holds, by run id; superseded rows too."""
    return read_consistently(root, _stored)


def _stored(sources: list[Source]) -> dict[str, Stored]:
    chosen = select(sources, one_per_cell=False)
    names = (*KEY, "run_id", "status", "n_fun_evals", "n_fun_and_jac_evals")
    columns = [chosen.runs.column(name).to_pylist() for name in names]
    seconds = chosen.timings.column("seconds").to_pylist()
    began = chosen.timings.column("started_at").to_pylist()
    found = {}
    for *key, run_id, status, fun, both, took, at in zip(*columns, seconds, began, strict=True):
        found[run_id] = Stored(tuple(key), status, took, fun + both, None if at is None else at.timestamp())
    return found


# --- what a user writes ----------------------------------------------------------------------------------------------


def read_retry(given: str | Iterable[str] | None) -> frozenset[str]:
    """Statuses out of a list, or of a text with commas.

    >>> sorted(read_retry("crashed, timeout"))
    ['crashed', 'timeout']
    """
    if given is None:
        return frozenset()
    names = given.split(",") if isinstance(given, str) else list(given)
    found = frozenset(str(name).strip() for name in names)
    for name in sorted(found):
        if name not in STATUSES:
            raise unknown_name("status to retry", name, STATUSES)
    return found


def read_shard(given: Any) -> Shard | None:
    """A shard out of "K/N", or a pair of numbers.

    >>> read_shard("3/16")
    Shard(number=3, parts=16)
    """
    if given is None:
        return None
    parts = given.split("/") if isinstance(given, str) else given
    try:
        index, count = (int(part) for part in parts)
    except (TypeError, ValueError):
        index, count = 0, 0
    if not 1 <= index <= count:
        raise InvalidInputError(f"a shard is K/N, the K-th of N parts with 1 <= K <= N, such as 3/16, but is {given!r}")
    return Shard(index, count)


def read_walltime(given: Any) -> float | None:
    """Seconds out of a number of them, or a text: H:MM:SS or M:SS, with D- before them for days; or 90m, 1h30m, 45s.

    >>> read_walltime("3:50:00"), read_walltime("1-00:00:00"), read_walltime("90m"), read_walltime("5400")
    (13800.0, 86400.0, 5400.0, 5400.0)
    """
    if given is None:
        return None
    seconds = 0.0
    text = str(given).strip()
    if not isinstance(given, bool) and (match := _COLONS.fullmatch(text)):
        for part in match[2].split(":"):
            seconds = 60.0 * seconds + int(part)
        seconds += 86400.0 * int(match[1] or 0)
    elif not isinstance(given, bool) and (match := _LETTERS.fullmatch(text)):
        seconds = sum(float(number or 0) * unit for number, unit in zip(match.groups(), _UNITS.values(), strict=True))
    if not seconds > 0:
        raise InvalidInputError(
            f"a walltime is a time such as 3:50:00, 90m or a number of seconds above 0, but is {given!r}"
        )
    return seconds
