"""One finished run: checked, brought into the types of the tables, written to bytes and read back.

The payload of a log's frame is two numbers (lengths of the description before and after compression,
unsigned, 4 bytes each, little-endian), the description, and the arrays. Both are compressed by zstd. The
description is JSON: `run`, `timings`, `environments`, `rows`, `n`, `noisy`, `keep_x`, `bounded`. The arrays follow
one another: task (1 byte), batch (4 bytes), fun, fun_true if noisy, start and stop in ns (8 bytes each), x if
kept, and, if bounded (some point is infeasible), whether each is feasible (1 byte).
"""

from __future__ import annotations

import datetime as dt
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from optcore.errors import InvalidInputError, unknown_name
from optcore.history import JAC, TASKS, HistoryRows, best_so_far
from optcore_bench.environment import environment_hash
from optcore_bench.store.digest import canonical, history_hash
from optcore_bench.store.schema import RUNS, STATUSES, TIMINGS

_LENGTHS = struct.Struct("<II")
_CENTURY = 3.2e9


@dataclass(frozen=True)
class RunRecord:
    """A finished run as the harness hands it to the store.

    Attributes:
        run: every column of `runs` except `history_hash`, which the store computes. Options and noise may be
            mappings; `environment` may be a fingerprint, of which the store keeps the hash in the row and the
            rest in the file.
        timings: columns of `timings`; what is missing is null. `started_at` is a datetime, ISO text or Unix
            seconds.
        history: the evaluations.
        fun_true: values without noise, shape (k,); None where there is no noise.
        keep_x: whether the points are stored.
    """

    run: Mapping[str, Any]
    timings: Mapping[str, Any]
    history: HistoryRows
    fun_true: NDArray[np.float64] | None = None
    keep_x: bool = True


class StoredRun(NamedTuple):
    """A run in the types of the tables."""

    run: dict[str, Any]
    timings: dict[str, Any]
    environments: dict[str, dict[str, str]]
    task: NDArray[np.uint8]
    batch: NDArray[np.int32]
    fun: NDArray[np.float64]
    fun_true: NDArray[np.float64] | None
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    x: NDArray[np.float64] | None
    feasible: NDArray[np.bool_] | None  # None: all points are


def canonical_json(value: Any) -> str:
    """JSON that is the same text for equal values.

    >>> canonical_json({"b": 1.0, "a": [1, None]})
    '{"a":[1,null],"b":1.0}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else canonical_json(value) if isinstance(value, Mapping) else str(value)
    return text.encode("utf-8", "replace").decode("utf-8")


def _integer(value: Any) -> int:
    number = int(value)
    if number != value or not -(2**63) <= number < 2**63:
        raise ValueError("no integer of 64 bits")
    return number


def _microseconds(value: Any) -> int:
    """Microseconds since 1970 in UTC; times without a zone are taken as UTC."""
    if isinstance(value, int | float | np.number):
        return round(float(value) * 1e6)
    moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    return (aware - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _converter(type_: Any) -> Callable[[Any], Any]:
    if type_ == pa.string():
        return _text
    if type_ == pa.int64():
        return _integer
    return _microseconds if pa.types.is_timestamp(type_) else float


_CONVERTERS = {field.name: (_converter(field.type), field.nullable) for table in (RUNS, TIMINGS) for field in table}
_RUN_COLUMNS = tuple(name for name in RUNS.names if name != "history_hash")
#: What None means in a column that has no nulls.
_EMPTY = {"noise": "", "message": "", "algorithm_options": "{}", "derivative_options": "{}"}


def _convert(name: str, value: Any, run_id: Any) -> Any:
    convert, nullable = _CONVERTERS[name]
    if value is None and name in _EMPTY:
        return _EMPTY[name]
    if value is None and nullable:
        return None
    try:
        return convert(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(f"column {name!r} of run {run_id!r} can't hold {value!r}: {error}") from error


def prepare(record: RunRecord) -> StoredRun:
    """Check a record, bring it into the types of the tables, and hash its history.

    Args:
        record: what the harness gave.

    Returns:
        The run as it is stored.

    Raises:
        InvalidInputError: a column is missing or of the wrong type, or the arrays don't fit each other.
        UnknownNameError: there is no such column or status.
    """
    given = dict(record.run)
    run_id = given.get("run_id")
    for name in given:
        if name not in _RUN_COLUMNS:
            raise unknown_name("column of runs", name, _RUN_COLUMNS)
    if missing := [name for name in _RUN_COLUMNS if name not in given]:
        raise InvalidInputError(f"run {run_id!r} lacks the columns {', '.join(missing)}")
    if given["status"] not in STATUSES:
        raise unknown_name("status", given["status"], STATUSES)
    for name in record.timings:
        if name not in TIMINGS.names:
            raise unknown_name("column of timings", name, TIMINGS.names)
    environments: dict[str, dict[str, str]] = {}
    if isinstance(given["environment"], Mapping):
        fingerprint = {str(key): str(value) for key, value in given["environment"].items()}
        given["environment"] = name = environment_hash(fingerprint)
        environments[name] = fingerprint
    run = {name: _convert(name, given[name], run_id) for name in _RUN_COLUMNS}
    timings = {name: _convert(name, record.timings.get(name), run_id) for name in TIMINGS.names if name != "run_id"}
    arrays = _arrays(record, run["run_id"])
    task, batch, fun, fun_true, _, _, x, _ = arrays
    run["history_hash"] = history_hash(task, batch, fun, fun_true, x)
    return StoredRun(
        {name: run[name] for name in RUNS.names}, {"run_id": run["run_id"], **timings}, environments, *arrays
    )


def _arrays(record: RunRecord, run_id: str) -> tuple[Any, ...]:
    rows = record.history
    size = len(rows.task)
    task = np.ascontiguousarray(rows.task, dtype=np.uint8)
    x = np.asarray(rows.x, dtype=np.float64)
    lengths = {
        "fun": len(rows.fun),
        "batch": len(rows.batch),
        "start": len(rows.start),
        "stop": len(rows.stop),
        "x": len(x),
        "fun_true": size if record.fun_true is None else len(record.fun_true),
        "feasible": size if rows.feasible is None else len(rows.feasible),
    }
    for name, length in lengths.items():
        if length != size:
            raise InvalidInputError(f"history of run {run_id!r} has {size} tasks, but {length} values of {name!r}")
    if x.ndim != 2:
        raise InvalidInputError(f"x of run {run_id!r} must have shape (evaluations, n), but has shape {x.shape}")
    if size and task.max() >= len(TASKS):
        raise InvalidInputError(f"history of run {run_id!r} has task {task.max()}; there are 0 to {len(TASKS) - 1}")
    fun = canonical(np.where(task == JAC, np.nan, rows.fun))
    fun_true = None if record.fun_true is None else canonical(np.where(task == JAC, np.nan, record.fun_true))
    batch = np.ascontiguousarray(rows.batch, dtype=np.int32)
    return (
        task,
        batch,
        fun,
        fun_true,
        _ns(rows.start),
        _ns(rows.stop),
        canonical(x) if record.keep_x else None,
        None if rows.feasible is None or np.all(rows.feasible) else np.ascontiguousarray(rows.feasible, dtype=np.bool_),
    )


def _ns(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Seconds as ns; what a dying process left unwritten or out of range becomes 0."""
    known = np.where(np.abs(seconds) < _CENTURY, seconds, 0.0)
    return np.rint(known * 1e9).astype(np.int64)


def best_column(
    task: NDArray[np.uint8], values: NDArray[np.float64], feasible: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """`optcore.history.best_so_far` of a run of which no more than this is at hand, shape (k,).

    >>> best_column(np.array([3, 0, 3, 2, 0], dtype=np.uint8), np.array([1.0, 5.0, 0.0, 4.0, 6.0]))
    array([nan,  5.,  5.,  4.,  4.])
    """
    size, unknown = len(task), np.zeros(len(task))
    return best_so_far(
        HistoryRows(task, values, np.zeros(size, np.int32), unknown, unknown, np.zeros((size, 0)), feasible)
    )


def encode(stored: StoredRun) -> bytes:
    """The payload of a log's frame."""
    description = {
        "run": stored.run,
        "timings": stored.timings,
        "environments": stored.environments,
        "rows": len(stored.task),
        "n": -1 if stored.x is None else stored.x.shape[1],
        "noisy": stored.fun_true is not None,
        "keep_x": stored.x is not None,
        "bounded": stored.feasible is not None,
    }
    head = json.dumps(description, separators=(",", ":")).encode()
    columns: tuple[NDArray[Any] | None, ...] = stored[3:]
    given = (column for column in columns if column is not None)
    body = b"".join(column.astype(column.dtype.newbyteorder("<"), copy=False).tobytes() for column in given)
    codec = pa.Codec("zstd", compression_level=1)
    packed = codec.compress(head, asbytes=True)
    return b"".join([_LENGTHS.pack(len(head), len(packed)), packed, codec.compress(body, asbytes=True)])


@dataclass(frozen=True)
class Description:
    """What a frame says of its run before its arrays are unpacked."""

    run: dict[str, Any]
    timings: dict[str, Any]
    rows: int
    n: int
    noisy: bool
    keep_x: bool
    bounded: bool = False
    environments: dict[str, dict[str, str]] = field(default_factory=dict)


def decode_description(payload: bytes) -> Description:
    """The description in the payload of a frame."""
    size, packed = _LENGTHS.unpack_from(payload)
    end = _LENGTHS.size + packed
    head = pa.Codec("zstd").decompress(payload[_LENGTHS.size : end], decompressed_size=size, asbytes=True)
    return Description(**json.loads(head))


def decode(payload: bytes) -> StoredRun:
    """The run in the payload of a frame.

    Args:
        payload: what `encode` returned.

    Returns:
        The run; its arrays can't be written to.
    """
    about = decode_description(payload)
    k, per_row = about.rows, 1 + 4 + 8 * (3 + about.noisy) + (8 * about.n if about.keep_x else 0) + about.bounded
    packed = payload[_LENGTHS.size + _LENGTHS.unpack_from(payload)[1] :]
    body = pa.Codec("zstd").decompress(packed, decompressed_size=k * per_row, asbytes=True)
    position = 0

    def take(dtype: str, count: int) -> NDArray[Any]:
        nonlocal position
        values = np.frombuffer(body, dtype=dtype, count=count, offset=position)
        position += values.nbytes
        return values

    task, batch, fun = take("u1", k), take("<i4", k), take("<f8", k)
    fun_true = take("<f8", k) if about.noisy else None
    start, stop = take("<i8", k), take("<i8", k)
    x = take("<f8", k * about.n).reshape(k, about.n) if about.keep_x else None
    feasible = take("?", k) if about.bounded else None
    return StoredRun(about.run, about.timings, about.environments, task, batch, fun, fun_true, start, stop, x, feasible)
