r"""The digest of a store: one hash of everything that a clock did not decide.

Definition, version 1. Integers and floats are little-endian; `i8` is a signed integer of 8 bytes, `f8` an
IEEE 754 double. Every NaN is written as the bits 0x7ff8000000000000; -0.0, infinities and denormals keep
theirs.

`history_hash` of a run with k evaluations: SHA-256, as 64 lower-case hex digits, of the concatenation of

1. the bytes `optcore-history-1` and one zero byte;
2. k as i8;
3. `task`: its length in bytes (k) as i8, then one byte per evaluation: 0 fun, 1 jac, 2 fun_and_jac, 3
   numdiff;
4. `batch`: its length in bytes (4 k) as i8, then one 4-byte signed integer per evaluation;
5. `fun`: its length in bytes (8 k) as i8, then one f8 per evaluation;
6. `fun_true`: one byte 0 where the column is null, otherwise one byte 1 and the column as in 5;
7. `x`: one byte 0 where the column is null; otherwise one byte 1, the length in bytes (4 k) as i8, the number
   of entries of each x as 4-byte signed integers, the length in bytes of all entries as i8, the entries as
   f8.

Evaluations are in the order of the column `evaluation`; `best` follows from the other columns and is not
hashed. Columns of a run without evaluations are null: 6 and 7 are two bytes 0.

The digest of a store: SHA-256, as 64 lower-case hex digits, of the concatenation of the bytes
`optcore-store-1`, one zero byte, and one line for each run, the runs sorted by `run_id` (as UTF-8 bytes). A
line is the UTF-8 text of a JSON object, keys sorted, without spaces, non-ASCII characters escaped as
`\uXXXX`, followed by a line feed. It has the columns of `runs` except `message`; text as a string, integers
as a number, null as null, a float as the string of 16 lower-case hex digits of its bits, most significant
first.

Runs with status `timeout`, `crashed` or `budget_seconds` were ended by a clock, by the memory limit or by a
signal: they are left out and counted. `not_applicable` and `error` count. Neither the order of the rows, nor
files, row groups and encodings, nor what a clock measured, nor messages enter. `environment` is itself a
short hash.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore_bench.store.schema import RUNS

#: Version of the definition above; it changes when a digest of the same rows would.
DIGEST_DEFINITION = "1"

#: Statuses of runs that a clock, the memory limit or a signal ended.
LEFT_OUT = ("budget_seconds", "crashed", "timeout")

_COLUMNS = tuple(name for name in RUNS.names if name != "message")


class Digest(NamedTuple):
    """The digest of a store and how much it covers."""

    value: str
    rows: int
    left_out: dict[str, int]


def canonical(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values as contiguous little-endian doubles with one bit pattern for NaN."""
    values = np.ascontiguousarray(values, dtype="<f8")
    missing = np.isnan(values)
    return np.where(missing, np.nan, values) if missing.any() else values


def history_hash(
    task: NDArray[np.uint8],
    batch: NDArray[np.int32],
    fun: NDArray[np.float64],
    fun_true: NDArray[np.float64] | None,
    x: NDArray[np.float64] | None,
) -> str:
    """Hash what one run evaluated, by the definition in the module's docstring.

    Args:
        task: positions in `optcore.history.TASKS`, shape (k,).
        batch: batch numbers, shape (k,).
        fun: values that the solver saw, shape (k,).
        fun_true: values without noise, shape (k,), or None where there is no noise.
        x: points, shape (k, n), or None where they were not kept.

    Returns:
        64 hex digits.

    >>> no = np.zeros(0)
    >>> history_hash(no.astype("u1"), no.astype("i4"), no, None, None)[:16]
    '74f1fd337837c728'
    """
    if not len(fun):
        fun_true = x = None
    digest = hashlib.sha256(b"optcore-history-1\0" + struct.pack("<q", len(fun)))

    def column(values: NDArray[Any]) -> None:
        digest.update(struct.pack("<q", values.nbytes))
        digest.update(values.data)

    column(np.ascontiguousarray(task, dtype="u1"))
    column(np.ascontiguousarray(batch, dtype="<i4"))
    column(canonical(fun))
    digest.update(b"\0" if fun_true is None else b"\1")
    if fun_true is not None:
        column(canonical(fun_true))
    digest.update(b"\0" if x is None else b"\1")
    if x is not None:
        column(np.full(len(x), x.shape[1], dtype="<i4"))
        column(canonical(x).reshape(-1))
    return digest.hexdigest()


def store_digest(runs: Iterable[Mapping[str, Any]]) -> Digest:
    """The digest of runs, by the definition in the module's docstring.

    Args:
        runs: rows of the table `runs` in any order; null is None.

    Returns:
        The digest, the number of rows that it covers, and how many were left out, by status.

    >>> store_digest([])
    Digest(value='af1f17e6a452b89c...', rows=0, left_out={})
    """
    lines: list[tuple[str, bytes]] = []
    left_out: Counter[str] = Counter()
    for run in runs:
        if run["status"] in LEFT_OUT:
            left_out[run["status"]] += 1
            continue
        lines.append((run["run_id"], digest_line(run)))
    digest = hashlib.sha256(b"optcore-store-1\0")
    for _, encoded in sorted(lines):
        digest.update(encoded)
    return Digest(digest.hexdigest(), len(lines), dict(sorted(left_out.items())))


def digest_line(run: Mapping[str, Any]) -> bytes:
    """What a run contributes to the digest: two runs are the same if and only if these are.

    Args:
        run: a row of the table `runs`; null is None.

    Returns:
        A line of JSON, with its line feed.
    """
    line = json.dumps({name: _value(run[name]) for name in _COLUMNS}, sort_keys=True, separators=(",", ":"))
    return line.encode() + b"\n"


def _value(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "7ff8000000000000" if value != value else struct.pack(">d", value).hex()
