"""What was evaluated: a recorder that costs next to nothing, and History, its result.

Rows live in one block of memory: a header of 64 bytes, then one record an evaluation. The block may be ordinary
memory or memory that another process maps too (the benchmark harness does that, so that the evaluations of a run
outlive the process that made them). A row counts once the counter in the header says so; the counter is written
last.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from optcore.purpose import PURPOSES, Purpose

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DIFFERENCE",
    "TASKS",
    "History",
    "HistoryRows",
    "Memory",
    "PrivateMemory",
    "Recorder",
    "asked",
    "best_so_far",
    "code_of",
    "distinct",
    "last_calls",
    "purposes_of",
    "read_rows",
]

#: The kinds of call; a row stores the position in this tuple.
TASKS = ("fun", "jac", "fun_and_jac", "numdiff")
FUN, JAC, FUN_AND_JAC, NUMDIFF = range(4)
#: Added to the task in a record whose point is outside the bounds, where some solvers look on their way.
INFEASIBLE = 128
#: Added to the task in a record of a call whose answer could not be used: the solver got a penalty instead.
FAILED = 64
#: Between them and the task stands the position of the purpose in PURPOSES, so that a purpose costs a row nothing.
PURPOSE_SHIFT = 2
TASK, _PURPOSE = 3, 7


def code_of(task: int, purpose: Purpose) -> int:
    """Task and purpose as rows have them."""
    return task | PURPOSES.index(purpose) << PURPOSE_SHIFT


def purposes_of(codes: NDArray[Any]) -> NDArray[np.uint8]:
    """Positions in PURPOSES, from the codes of rows."""
    return (codes >> PURPOSE_SHIFT & _PURPOSE).astype(np.uint8)


#: What most rows of numerical derivatives have.
DIFFERENCE = code_of(NUMDIFF, Purpose.DIFFERENCE)

_HEADER = np.dtype([("magic", "S8"), ("n", "i8"), ("count", "i8"), ("origin", "f8"), ("reserved", "V32")])
_MAGIC = b"optcore1"
_FIRST_ROWS = 256


@functools.lru_cache(maxsize=64)
def _row_dtype(n: int) -> np.dtype[np.void]:
    return np.dtype(
        [
            ("fun", "f8"),
            ("start", "f8"),
            ("stop", "f8"),
            ("batch", "i4"),
            ("task", "u1"),
            ("pad", "V3"),
            ("x", "f8", (n,)),
        ]
    )


class Memory(Protocol):
    """A block of bytes that grows and keeps what was written."""

    def reserve(self, size: int) -> Any:
        """A writable buffer of at least `size` bytes that holds what the previous one held."""
        ...


class PrivateMemory:
    """Ordinary memory of this process."""

    def __init__(self) -> None:
        self._block = np.zeros(0, dtype=np.uint8)

    def reserve(self, size: int) -> NDArray[np.uint8]:
        """Copy to a larger block where the present one is too small."""
        if size > self._block.size:
            block = np.zeros(size, dtype=np.uint8)
            block[: self._block.size] = self._block
            self._block = block
        return self._block


class HistoryRows(NamedTuple):
    """Rows as plain arrays. Times are seconds since the start of the optimization."""

    task: NDArray[np.uint8]  # (k,) position in TASKS
    fun: NDArray[np.float64]  # (k,) NaN where the call gives no value
    batch: NDArray[np.int32]  # (k,)
    start: NDArray[np.float64]  # (k,)
    stop: NDArray[np.float64]  # (k,)
    x: NDArray[np.float64]  # (k, n)
    feasible: NDArray[np.bool_] | None = None  # (k,) whether x is within the bounds; None: all are
    failed: NDArray[np.bool_] | None = None  # (k,) whether the solver got a penalty instead; None: nowhere
    purpose: NDArray[np.uint8] | None = None  # (k,) position in PURPOSES; None: the task says it

    def take(self, chosen: Any) -> HistoryRows:
        """Some of the rows, by index or mask."""
        columns = {name: column[chosen] for name, column in self._asdict().items() if column is not None}
        return HistoryRows(**columns)

    @classmethod
    def joined(cls, parts: Sequence[HistoryRows], n: int) -> HistoryRows:
        """Rows of n params, one after the other."""
        if not parts:
            return _as_rows(np.zeros(0, dtype=_row_dtype(n)), 0.0)
        return cls(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def asked(rows: HistoryRows) -> NDArray[np.bool_]:
    """Which rows, shape (k,), are feasible points that the solver asked for: those that can be its best.

    Points of numerical derivatives are not, and neither is what a solver tries outside the bounds.
    """
    mask: NDArray[np.bool_] = (rows.task == FUN) | (rows.task == FUN_AND_JAC)
    return mask if rows.feasible is None else mask & rows.feasible


def last_calls(rows: Any, x: bytes | None) -> NDArray[np.intp]:
    """Indices of the last call at x; without x, of the calls of the last batch whose value isn't finite.

    Args:
        rows: anything with the columns `fun`, `batch` and `x`, as HistoryRows or a structured array.
        x: the bytes of a point.
    """
    fun, batch, points = (
        (rows.fun, rows.batch, rows.x) if isinstance(rows, HistoryRows) else (rows["fun"], rows["batch"], rows["x"])
    )
    if x is None:
        return np.flatnonzero((batch == batch[-1]) & ~np.isfinite(fun))
    found = next((i for i in reversed(range(len(points))) if points[i].tobytes() == x), None)
    return np.array([] if found is None else [found], dtype=np.intp)


def best_so_far(rows: HistoryRows, values: NDArray[np.float64] | None = None, sign: int = 1) -> NDArray[np.float64]:
    """The best value up to each row, shape (k,), among `asked` rows; NaN before the first.

    Args:
        rows: the rows.
        values: what is to be judged instead of `rows.fun`, for instance values without noise, shape (k,).
        sign: 1 where smaller is better, -1 where larger is.
    """
    judged = sign * (rows.fun if values is None else values)
    if not judged.size:
        return np.zeros(0)
    counts = asked(rows) & ~np.isnan(judged)
    best = np.minimum.accumulate(np.where(counts, judged, np.inf))
    return np.where(np.logical_or.accumulate(counts), sign * best, np.nan)


def read_rows(buffer: Any) -> HistoryRows:
    """Copy the finished rows out of a block that a Recorder writes, or wrote, in this process or another.

    Args:
        buffer: the block, anything with the buffer protocol.

    Returns:
        The rows; none if nothing was ever recorded in the block.
    """
    block = np.frombuffer(buffer, dtype=np.uint8)
    if block.size < _HEADER.itemsize or bytes(block[:8]) != _MAGIC:
        return _as_rows(np.zeros(0, dtype=_row_dtype(0)), 0.0)
    header = block[: _HEADER.itemsize].view(_HEADER)[0]
    dtype = _row_dtype(int(header["n"]))
    count = min(int(header["count"]), (block.size - _HEADER.itemsize) // dtype.itemsize)
    body = block[_HEADER.itemsize : _HEADER.itemsize + count * dtype.itemsize]
    return _as_rows(body.view(dtype), float(header["origin"]))


def _as_rows(rows: NDArray[np.void], origin: float) -> HistoryRows:
    return HistoryRows(
        task=rows["task"] & np.uint8(TASK),
        fun=rows["fun"].copy(),
        batch=rows["batch"].copy(),
        start=rows["start"] - origin,
        stop=rows["stop"] - origin,
        x=rows["x"].copy(),
        feasible=rows["task"] & INFEASIBLE == 0,
        failed=rows["task"] & FAILED != 0,
        purpose=purposes_of(rows["task"]),
    )


class Recorder:
    """Writes one row per call of user code into a block of memory. About half a microsecond a row, x included.

    Args:
        n: length of the flat params.
        memory: where the rows live; ordinary memory by default.
    """

    def __init__(self, n: int, memory: Memory | None = None) -> None:
        self.n = n
        self.origin = perf_counter()
        self._memory: Memory = PrivateMemory() if memory is None else memory
        record = struct.Struct(f"<dddiB3x{8 * n}s")  # one call is faster than an assignment per column
        self._pack, self._itemsize = record.pack_into, record.size
        self._count = 0
        self._offset = _HEADER.itemsize
        self._map(_FIRST_ROWS, fresh=True)

    def _map(self, capacity: int, *, fresh: bool = False) -> None:
        """(Re)build the views on the memory."""
        size = _HEADER.itemsize + capacity * self._itemsize
        self._block = np.frombuffer(self._memory.reserve(size), dtype=np.uint8)
        header = self._block[: _HEADER.itemsize].view(_HEADER)
        if fresh:
            header[0] = (b"", self.n, 0, self.origin, b"")
            header["magic"] = _MAGIC
        self._capacity = capacity
        self._counter = memoryview(header["count"].data)
        self._bytes = self._block.data

    def add(self, task: int, fun: float, batch: int, start: float, stop: float, x: bytes) -> None:
        """Record one finished call.

        Args:
            task: position in TASKS, with the purpose (`code_of`) and the flags INFEASIBLE and FAILED.
            fun: the value, NaN where there is none.
            batch: which batch it belongs to.
            start: reading of `perf_counter` before the call.
            stop: reading after it.
            x: the point, the bytes of n float64.
        """
        i = self._count
        if i == self._capacity:
            self._map(2 * i)
        self._pack(self._bytes, self._offset, fun, start, stop, batch, task, x)
        self._offset += self._itemsize
        self._count = self._counter[0] = i + 1

    def mark(self, flag: int, x: bytes | None) -> None:
        """Add a flag to rows that are there; which ones, says `last_calls`."""
        body = self._block[_HEADER.itemsize : self._offset].view(_row_dtype(self.n))
        body["task"][last_calls(body, x)] |= flag

    def rows(self) -> HistoryRows:
        """Everything recorded so far, copied."""
        return read_rows(self._block)


class History:
    """All calls of user code in plan order, those for numerical derivatives included.

    Args:
        rows: the arrays behind the properties, or a function that makes them when they are asked for; of params they
            hold what was free.
        direction: "minimize" or "maximize"; decides what counts as best.
        converter: knows params (optcore.tree.Converter); None: they are flat vectors.
    """

    def __init__(
        self,
        rows: HistoryRows | Callable[[], HistoryRows],
        direction: str = "minimize",
        converter: Any = None,
    ) -> None:
        self._rows = rows
        self.direction = direction
        self.converter = converter

    @property
    def rows(self) -> HistoryRows:
        """The arrays behind the properties."""
        if callable(self._rows):
            self._rows = self._rows()
        return self._rows

    def __reduce__(self) -> tuple[Any, ...]:
        return History, (self.rows, self.direction, self.converter)

    @property
    def names(self) -> tuple[str, ...]:
        """What the columns of `flat_params` are called."""
        if self.converter is None:
            return tuple(map(str, range(self.rows.x.shape[1])))
        return tuple(self.converter.all_names)

    @property
    def n_free(self) -> int:
        """How many entries of params the solver could move: without those that were fixed."""
        n_free = getattr(self.converter, "n_free", None)
        return self.rows.x.shape[1] if n_free is None else int(n_free)

    def unflatten(self, x: NDArray[np.float64]) -> Any:
        """A row of `flat_params` as params."""
        return x.copy() if self.converter is None else self.converter.restore(x)

    def flatten(self, params: Any) -> NDArray[np.float64]:
        """Params as a row of `flat_params`, shape (n,)."""
        if self.converter is None:
            return np.array(params, dtype=np.float64)
        flat: NDArray[np.float64] = self.converter.flatten_all(params)
        return flat

    def __len__(self) -> int:
        return int(self.rows.fun.size)

    def __repr__(self) -> str:
        counts = ", ".join(f"{task}: {np.count_nonzero(self.task == task)}" for task in TASKS)
        return f"History({len(self)} evaluations; {counts})"

    @property
    def task(self) -> NDArray[np.str_]:
        """What each call was for, shape (k,): one of "fun", "jac", "fun_and_jac", "numdiff"."""
        return np.array(TASKS)[self.rows.task]

    @property
    def purpose(self) -> NDArray[np.str_]:
        """Why each call was made, shape (k,): "solver", "difference", "calibration" ...; see `om.Purpose`.

        Points that the solver asked for are for the "solver" even if they were evaluated together with those of a
        numerical derivative; those of numerical derivatives have the task "numdiff" whatever their purpose is.
        """
        purpose = self.rows.purpose
        if purpose is None:  # before there were purposes
            purpose = np.where(self.rows.task == NUMDIFF, DIFFERENCE >> PURPOSE_SHIFT, 0)
        return np.array([str(word) for word in PURPOSES])[purpose]

    @property
    def fun(self) -> NDArray[np.float64]:
        """Values in the user's scale, shape (k,); the sum of squares for least squares; NaN for "jac"."""
        return self.rows.fun

    @property
    def batch(self) -> NDArray[np.int32]:
        """Calls that could run at the same time share a number, shape (k,)."""
        return self.rows.batch

    @property
    def start_time(self) -> NDArray[np.float64]:
        """Seconds from the start of the optimization to the start of each call, shape (k,)."""
        return self.rows.start

    @property
    def stop_time(self) -> NDArray[np.float64]:
        """Seconds from the start of the optimization to the end of each call, shape (k,)."""
        return self.rows.stop

    @property
    def flat_params(self) -> NDArray[np.float64]:
        """The points, shape (k, n), fixed entries included; the columns are `names`."""
        return self.rows.x if self.converter is None else self.converter.with_fixed(self.rows.x)

    @property
    def params(self) -> list[Any]:
        """The points as params, built when asked for."""
        return [self.unflatten(x) for x in self.flat_params]

    @property
    def asked(self) -> NDArray[np.bool_]:
        """True for feasible points that the solver asked for, False for derivatives' own evaluations, shape (k,)."""
        return asked(self.rows)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """True where the call gave no answer that could be used, shape (k,).

        It raised, or returned NaN or inf where such answers are to be survived; the solver got a penalty, which is not
        recorded, instead.
        """
        rows = self.rows
        return np.zeros(rows.fun.size, dtype=bool) if rows.failed is None else rows.failed

    @property
    def monotone_fun(self) -> NDArray[np.float64]:
        """Best value so far among the points that the solver asked for, shape (k,)."""
        return best_so_far(self.rows, sign=-1 if self.direction == "maximize" else 1)

    def columns(self) -> dict[str, NDArray[Any]]:
        """What `to_frame` and `to_parquet` have of each evaluation besides the point: arrays of shape (k,) by name."""
        columns: dict[str, NDArray[Any]] = {
            "evaluation": np.arange(len(self), dtype=np.int32),
            "task": self.task,
            "purpose": self.purpose,
            "fun": self.fun,
            "batch": self.batch,
            "start": self.start_time,
            "stop": self.stop_time,
            "best": self.monotone_fun,
        }
        feasible = self.rows.feasible
        columns["feasible"] = np.ones(len(self), dtype=bool) if feasible is None else feasible
        return columns | {"failed": self.failed}

    def to_frame(self) -> pd.DataFrame:
        """One row per evaluation, one column per param, as a pandas DataFrame.

        Columns: `evaluation` (counted from 0), `task`, `purpose`, `fun`, `batch`, `start` and `stop` (seconds since the
        start of the optimization), `best` (so far, among the points that the solver asked for), `feasible` (whether the
        point is within the bounds), `failed` (whether the solver got a penalty instead of an answer), and the params by
        the names of `names`. A param whose name is taken already, "fun" for instance, is called "params['fun']".
        """
        import pandas as pd

        columns = self.columns()
        points = pd.DataFrame(self.flat_params, columns=distinct(self.names, columns))
        return pd.concat([pd.DataFrame(columns), points], axis=1)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write all rows to a Parquet file, whole or not at all; see `optcore.parquet` for its columns.

        Args:
            path: the file to make, or to replace.
        """
        from optcore.parquet import write_history

        write_history(self, path)

    @classmethod
    def from_parquet(cls, path: str | os.PathLike[str]) -> History:
        """The history that `to_parquet` wrote; its params are flat vectors with the names that they had.

        Raises:
            InvalidInputError: the file isn't a history, or a newer optcore wrote it.
        """
        from optcore.parquet import read_history

        return read_history(path)


def distinct(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Names of params as keys: none twice, none that is taken.

    >>> distinct(["a", "fun", "a"], taken=["task", "fun"])
    ['a', "params['fun']", 'a (2)']
    """
    used = set(taken)
    keys = []
    for name in names:
        key, k = (f"params[{name!r}]" if name in used and name not in keys else name), 1
        while key in used:
            k += 1
            key = f"{name} ({k})"
        used.add(key)
        keys.append(key)
    return keys
