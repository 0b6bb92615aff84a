"""Batches by what they held, and the rounds that they take on any number of cores."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from optcore.history import FUN_AND_JAC, JAC, TASKS
from optcore_bench.evaluations import Bools, Evaluations, Floats, Ints

from .virtual import Round, VirtualClock

__all__ = ["BatchCounts", "Batches", "RoundCounts", "batch_counts", "charge", "longest_calls", "rounds_up_to"]

#: What the clock sees of a task: fun (also for derivatives), jac, or both.
KINDS = np.array([2 if t == FUN_AND_JAC else int(t == JAC) for t in range(len(TASKS))], dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Batches:
    """The batches of all runs, each by its pattern.

    Attributes:
        first: position of the first evaluation of each batch, shape (b,).
        pattern: number of each batch's pattern, shape (b,).
        patterns: what the calls of a batch were, in plan order, one byte a call (see `KINDS`).
        offsets: the batches of run r are `offsets[r]:offsets[r + 1]`, shape (R + 1,).
    """

    first: Ints
    pattern: Ints
    patterns: tuple[bytes, ...]
    offsets: Ints

    @classmethod
    def of(cls, evaluations: Evaluations) -> Batches:
        """Sort the batches of all runs into patterns; no Python loop runs per batch."""
        kind = KINDS[evaluations.task]
        first = np.flatnonzero(evaluations.first_of_batch)
        size = np.diff(np.append(first, kind.size))
        offsets = np.searchsorted(first, evaluations.offsets)
        if first.size == 0:
            return cls(first, first, (), offsets)
        low, high = np.minimum.reduceat(kind, first), np.maximum.reduceat(kind, first)
        pattern = np.empty(first.size, dtype=np.int64)
        pure = low == high
        key = size[pure] * len(KINDS) + low[pure]
        number = np.cumsum(np.bincount(key) > 0) - 1 if key.size else key
        pattern[pure] = number[key]
        new = np.flatnonzero(np.diff(number, prepend=-1))
        patterns = [bytes([k % len(KINDS)]) * int(k // len(KINDS)) for k in new]
        for n in np.unique(size[~pure]):
            these = np.flatnonzero(~pure & (size == n))
            rows = np.ascontiguousarray(kind[first[these][:, None] + np.arange(n)])
            found, inverse = np.unique(rows.view(f"V{n}").ravel(), return_inverse=True)
            pattern[these] = len(patterns) + inverse
            patterns += [bytes(row) for row in found]
        return cls(first, pattern, tuple(patterns), offsets)


@dataclass(frozen=True, eq=False)
class RoundCounts:
    """How many rounds of each kind some runs, or parts of them, take on a number of cores.

    Attributes:
        rounds: how many calls of fun, jac and both each kind of round holds, in order.
        counts: shape (r, len(rounds)).
    """

    rounds: tuple[Round, ...]
    counts: Ints

    def seconds(self, clock: VirtualClock) -> Floats:
        """Time of all rounds without any overhead, shape (r,).

        Without spread only which calls a round holds matters, not how many: rounds are counted before they
        are multiplied, so that the sum doesn't depend on how they were split.
        """
        total = np.zeros(len(self.counts))
        merged: dict[Round, Any] = {}
        for j, calls in enumerate(self.rounds):
            key = calls if clock.spread else longest_calls(calls)
            merged[key] = merged.get(key, 0) + self.counts[:, j]
        for calls in sorted(merged):
            total += merged[calls] * clock.round_seconds(calls)
        return total


def longest_calls(calls: Round) -> Round:
    """Of the calls of a round, one of each kind that may be the longest.

    >>> longest_calls((7, 2, 0)), longest_calls((7, 2, 1))
    ((1, 1, 0), (0, 0, 1))
    """
    fun, jac, both = calls
    return (0, 0, 1) if both else (min(fun, 1), min(jac, 1), 0)


@lru_cache(maxsize=4096)
def pattern_rounds(pattern: bytes, cores: int, stop: int | None = None) -> dict[Round, int]:
    """Rounds of one batch on some cores, all of them or up to and including the one with call number `stop`.

    >>> pattern_rounds(bytes(5), cores=2)
    {(2, 0, 0): 2, (1, 0, 0): 1}
    """
    count = -(-len(pattern) // cores) if stop is None else stop // cores + 1
    if len(set(pattern)) == 1:
        full, rest = divmod(min(len(pattern), count * cores), cores)
        sizes = [(cores, full), (rest, 1)]
        return {_composition(pattern[:size]): number for size, number in sizes if size and number}
    return dict(Counter(_composition(pattern[i * cores : (i + 1) * cores]) for i in range(count)))


def _composition(calls: bytes) -> Round:
    both = calls.count(2)
    jac = calls.count(1)
    return len(calls) - jac - both, jac, both


@dataclass(frozen=True, eq=False)
class BatchCounts:
    """The batches of some runs, or parts of them, by pattern.

    Attributes:
        patterns: see `Batches`.
        before: how often each pattern came before the last batch, shape (r, P).
        last: pattern of the last batch, -1 where there is none, shape (r,).
        place: place of the last call in the last batch, counted from 0, shape (r,).
    """

    patterns: tuple[bytes, ...]
    before: csr_array
    last: Ints
    place: Ints


def batch_counts(batches: Batches, rows: Ints, runs: Ints, begun: Bools) -> BatchCounts:
    """The batches of some runs up to one evaluation of each.

    Args:
        batches: all of them.
        rows: position of an evaluation of each run, shape (r,).
        runs: numbers of the runs, shape (r,).
        begun: False for runs without an evaluation, shape (r,).
    """
    own = np.searchsorted(batches.first, rows, side="right") - 1
    begin = batches.offsets[runs]
    size = np.where(begun, own - begin, 0)
    indptr = np.concatenate([[0], np.cumsum(size)])
    chosen = np.repeat(begin - indptr[:-1], size) + np.arange(indptr[-1])
    shape = (len(runs), len(batches.patterns))
    before = csr_array((np.ones(chosen.size, dtype=np.int64), batches.pattern[chosen], indptr), shape=shape)
    before.sum_duplicates()
    last, place = np.full(len(runs), -1, dtype=np.int64), np.zeros(len(runs), dtype=np.int64)
    last[begun], place[begun] = batches.pattern[own[begun]], rows[begun] - batches.first[own[begun]]
    return BatchCounts(batches.patterns, before, last, place)


def charge(batches: BatchCounts, cores: int) -> RoundCounts:
    """Rounds on some cores: of whole batches, and of the last batch up to and including the one of the last call."""
    whole = [pattern_rounds(pattern, cores) for pattern in batches.patterns]
    some = np.flatnonzero(batches.last >= 0)
    ends = np.stack([batches.last[some], batches.place[some] // cores])
    pairs, which = np.unique(ends, axis=1, return_inverse=True)
    parts = [pattern_rounds(batches.patterns[p], cores, int(r) * cores) for p, r in pairs.T]
    rounds = tuple(sorted({calls for found in (*whole, *parts) for calls in found}))
    counts = np.asarray((batches.before @ _matrix(whole, rounds)).toarray(), dtype=np.int64)
    if some.size:
        counts[some] += _matrix(parts, rounds).toarray()[np.ravel(which)]
    return RoundCounts(rounds, counts)


def _matrix(found: list[dict[Round, int]], rounds: tuple[Round, ...]) -> csr_array:
    column = {calls: j for j, calls in enumerate(rounds)}
    entries = [(i, column[calls], count) for i, row in enumerate(found) for calls, count in row.items()]
    i, j, count = np.array(entries, dtype=np.int64).reshape(-1, 3).T
    return csr_array((count, (i, j)), shape=(len(found), len(rounds)))


def rounds_up_to(evaluations: Evaluations, rows: Ints, cores: int, *, sizes: bool) -> RoundCounts:
    """Rounds of each of some evaluations' runs up to its own, counted along the history.

    Args:
        evaluations: all of them.
        rows: positions of the evaluations asked about.
        cores: how many calls run at the same time.
        sizes: tell apart how many calls rounds hold, not only which.
    """
    kind = KINDS[evaluations.task]
    first = evaluations.first_of_batch
    position = np.arange(kind.size)
    in_batch = position - np.maximum.accumulate(np.where(first, position, 0))
    begins = np.flatnonzero(first | (in_batch % cores == 0))
    if begins.size == 0:
        return RoundCounts((), np.zeros((rows.size, 0), dtype=np.int64))
    size = np.diff(np.append(begins, kind.size))
    jac, both = (np.add.reduceat(kind == k, begins, dtype=np.int64) for k in (1, 2))
    fun = size - jac - both
    if not sizes:
        fun, jac, both = (both == 0) & (fun > 0), (both == 0) & (jac > 0), both > 0
    # One number for what a round holds: no count is larger than the number of cores or of calls.
    base = int(size.max()) + 1
    key = (fun.astype(np.int64) * base + jac) * base + both
    keys, which = np.unique(key, return_inverse=True)
    counts = np.empty((rows.size, keys.size), dtype=np.int64)
    for j in range(keys.size):
        event = np.zeros(kind.size, dtype=bool)
        event[begins[which == j]] = True
        counts[:, j] = evaluations.count(event, rows)
    rounds = tuple((int(k) // base**2, int(k) // base % base, int(k) % base) for k in keys)
    return RoundCounts(rounds, counts)
