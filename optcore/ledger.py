"""What was called: rows as they come in, and the books that are kept of them.

An evaluation costs one tuple in a list. The books (counts, the best point, columns of numbers) are made of many rows
at once, when somebody asks for them or when enough rows have come together: per row that is ten times cheaper, and
a list takes rows from several threads.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.history import (
    DIFFERENCE,
    FAILED,
    FUN,
    FUN_AND_JAC,
    INFEASIBLE,
    NUMDIFF,
    PURPOSE_SHIFT,
    TASK,
    TASKS,
    HistoryRows,
    Memory,
    Recorder,
    code_of,
    last_calls,
    purposes_of,
)
from optcore.purpose import PURPOSES, Purpose

__all__ = ["Keep", "Ledger", "Row"]

Keep = Literal["all", "best", "none"]

#: In the code of a row the task stands below, then purpose and flags, and the number of its batch above those.
BATCH_SHIFT = 8
_FLAGS = (1 << BATCH_SHIFT) - 1
_TASK_AND_PURPOSE = 31
_SPECULATION = code_of(NUMDIFF, Purpose.SPECULATION)
#: Points that the solver asked for.
_ASKED = (FUN, FUN_AND_JAC)


#: One finished call: its code (task and purpose as in `history.code_of`, with the flags FAILED and INFEASIBLE, and for
#: rows of one batch the number of the batch, shifted by BATCH_SHIFT), value (NaN where there is none), readings of
#: perf_counter before and after it, and the point, the bytes of n float64.
Row = tuple[int, float, float, float, bytes]


def _forget(_row: Row) -> None:
    """Take a row and forget it."""


class Ledger:
    """Rows of one optimization and the books of them.

    Args:
        n: length of the flat params.
        keep: "all" rows, only those that improve on the "best" value so far, or "none".
        sign: 1 where smaller is better, -1 where larger is.
        bounds: points outside are marked and never the best.
        memory: where rows are written at once, so that they outlive this process; by default they are kept here.

    Attributes:
        append: takes a row.
        pending: rows that are not in the books yet; for those who append, to settle when there are many.
        origin: reading of perf_counter at the start.
        keeps_rows: whether rows leave anything behind.
    """

    keeps_rows = True

    def __init__(
        self,
        n: int,
        *,
        keep: Keep = "all",
        sign: int = 1,
        bounds: FlatBounds | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.n = n
        self.origin = perf_counter()
        self.pending: list[Row] = []
        self.append: Callable[[Row], None] = self.pending.append
        self._keep = keep
        self._sign = sign
        self._bounds = bounds if bounds is not None and bounds.any else None
        self._lock = threading.Lock()
        self._counts = [0] * (_TASK_AND_PURPOSE + 1)  # by code
        self._unused: dict[int, int] = {}  # batches of derivatives nobody has asked for: their number of points
        self._batch_of: dict[int, int] = {}  # what batches are called in columns
        self._counted = 0  # of the pending rows, and those of them that improved on all before
        self._improved: list[int] = []
        self._best_fun = math.inf
        self._best: bytes | None = None
        self._batch = -1  # number of the last row's batch, and what its code said of it
        self._group = 0
        self._written_batch, self._written_group = -1, 0  # the same of what was written to memory
        self._chunks: list[HistoryRows] = []
        self._recorder: Recorder | None = None
        if memory is not None:
            self._recorder = Recorder(n, memory)
            self.origin = self._recorder.origin
            self.append = self._write

    @classmethod
    def blank(cls, n: int) -> Ledger:
        """One for calls that nobody will ask about: nothing is written."""
        ledger = cls(n, keep="none")
        ledger.keeps_rows = False
        ledger.append = _forget
        return ledger

    def settle(self) -> None:
        """Turn the pending rows, which are many, into columns."""
        with self._lock:
            self._count()
            k, improved = self._counted, self._improved
            rows = self.pending[:k]
            del self.pending[:k]
            self._counted, self._improved = 0, []
            if not rows or self._keep == "none" or self._recorder is not None:
                return
            columns = self._columns(rows)
            self._chunks.append(columns if self._keep == "all" else columns.take(improved))

    def _columns(self, rows: list[Row]) -> HistoryRows:
        codes, values, starts, stops, points = zip(*rows, strict=True)
        code, x = np.array(codes), np.frombuffer(b"".join(points)).reshape(len(rows), self.n)
        return HistoryRows(
            (code & TASK).astype(np.uint8),
            np.array(values, dtype=np.float64),
            self._numbers(code >> BATCH_SHIFT),
            np.array(starts),
            np.array(stops),
            x,
            (code & INFEASIBLE == 0) & (True if self._bounds is None else self._bounds.contain_rows(x)),
            (code & FAILED) != 0,
            purposes_of(code),
        )

    def _count(self) -> None:
        """Count the rows that came in since the last time, and find the best of them."""
        counts, sign, best, first = self._counts, self._sign, self._best_fun, self._counted
        rows = self.pending[first:]
        for i, (code, value, _, _, x) in enumerate(rows, first):
            counts[code & _TASK_AND_PURPOSE] += 1
            if sign * value < best and code & TASK in _ASKED and self._is_feasible(code, x):
                best, self._best = sign * value, x
                self._improved.append(i)
        self._counted = first + len(rows)
        self._best_fun = best

    def _is_feasible(self, code: int, x: bytes) -> bool:
        return not code & INFEASIBLE and (self._bounds is None or self._bounds.contain(np.frombuffer(x)))

    def _numbers(self, groups: NDArray[np.int64]) -> NDArray[np.int32]:
        """The numbers of batches: rows of one group share one, every other row has its own."""
        before = np.concatenate([[self._group], groups[:-1]])
        begins = (groups == 0) | (groups != before)
        numbers: NDArray[np.int64] = self._batch + np.cumsum(begins)
        self._batch, self._group = int(numbers[-1]), int(groups[-1])
        begins &= groups != 0
        self._batch_of.update(zip(groups[begins].tolist(), numbers[begins].tolist(), strict=True))
        return numbers.astype(np.int32)

    def _write(self, row: Row) -> None:
        """Take a row and write it at once."""
        assert self._recorder is not None
        with self._lock:
            code, value, start, stop, x = row
            group = code >> BATCH_SHIFT
            if group == 0 or group != self._written_group:
                self._written_batch += 1
                self._batch_of[group] = self._written_batch
            self._written_group = group
            outside = self._bounds is not None and not self._bounds.contain(np.frombuffer(x))
            flags = (code & _FLAGS) | (INFEASIBLE if outside else 0)
            self._recorder.add(flags, value, self._written_batch, start, stop, x)
            self.pending.append(row)

    def mark_failed(self, x: bytes | None) -> None:
        """Mark calls of which it shows only afterwards that the solver gets a penalty instead of the answer.

        Args:
            x: the point, of which the last call is marked; None marks all rows of the last batch whose value isn't
                finite.
        """
        self.settle()
        if self._recorder is not None:
            self._recorder.mark(FAILED, x)
        elif self._keep == "all":
            rows = self._chunks[-1]
            assert rows.failed is not None
            rows.failed[last_calls(rows, x)] = True

    def speculate(self, batches: dict[int, int]) -> None:
        """Nobody has asked for the derivative of these batches: the number of its points, by number of the batch."""
        self._unused.update(batches)

    def claim(self, batches: Iterable[int]) -> None:
        """The derivative of these batches was asked for after all."""
        for batch in batches:
            self._unused.pop(batch, None)

    def consider(self, value: float, x: bytes) -> None:
        """Remember a feasible point, given as bytes, if it is the best one so far."""
        with self._lock:
            self._count()
            if self._sign * value < self._best_fun:
                self._best_fun, self._best = self._sign * value, x

    @property
    def counts(self) -> list[int]:
        """Calls by task, in the order of TASKS."""
        with self._lock:
            self._count()
        return [sum(self._counts[task :: TASK + 1]) for task in range(len(TASKS))]

    @property
    def purposes(self) -> dict[str, int]:
        """Calls by purpose, without those of jac; only purposes that there were."""
        with self._lock:
            self._count()
        counts = list(self._counts)
        unused = sum(self._unused.values())
        counts[DIFFERENCE] -= unused
        counts[_SPECULATION] += unused
        by_purpose = {
            str(purpose): sum(counts[code_of(task, purpose)] for task in (FUN, FUN_AND_JAC, NUMDIFF))
            for purpose in PURPOSES
        }
        return {purpose: number for purpose, number in by_purpose.items() if number}

    @property
    def best_fun(self) -> float:
        """The best value times sign, among feasible points that the solver asked for; infinite before the first."""
        with self._lock:
            self._count()
        return self._best_fun

    @property
    def best_x(self) -> NDArray[np.float64] | None:
        """The point of it, shape (n,); None before the first."""
        with self._lock:
            self._count()
        return None if self._best is None else np.frombuffer(self._best).copy()

    def rows(self) -> HistoryRows:
        """Everything that was kept so far. Times are seconds since the start."""
        self.settle()
        if self._recorder is not None:
            return self._with_purposes(self._recorder.rows())
        if len(self._chunks) != 1:
            self._chunks = [HistoryRows.joined(self._chunks, self.n)]
        (rows,) = self._chunks
        return self._with_purposes(rows)._replace(start=rows.start - self.origin, stop=rows.stop - self.origin)

    def _with_purposes(self, rows: HistoryRows) -> HistoryRows:
        """Rows of derivatives that nobody asked for say so."""
        if not self._unused:
            return rows
        assert rows.purpose is not None
        numbers = [self._batch_of[group] for group in self._unused if group in self._batch_of]
        unused = np.isin(rows.batch, numbers) & (rows.purpose == DIFFERENCE >> PURPOSE_SHIFT)
        return rows._replace(purpose=np.where(unused, np.uint8(_SPECULATION >> PURPOSE_SHIFT), rows.purpose))
