"""What a single segment or log says of itself: pages, types, hashes, the order of its rows."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from optcore.history import TASKS
from optcore_bench.store.compact import owned
from optcore_bench.store.digest import DIGEST_DEFINITION, history_hash
from optcore_bench.store.files import replace_file
from optcore_bench.store.log import salvage
from optcore_bench.store.record import StoredRun, decode
from optcore_bench.store.schema import RUNS, TABLES, StoreError, file_metadata
from optcore_bench.store.sources import Segment, naming, stretches
from optcore_bench.words import count

_SHOWN = 3


class Problem(NamedTuple):
    """One thing that is wrong; see `optcore_bench.store.check.Finding`."""

    path: Path
    kind: str
    message: str


class Checked(NamedTuple):
    """What a segment or a log holds, as far as it can be read."""

    path: Path
    runs: Any  # None if they can't be read
    places: dict[str, tuple[int, int]] | None  # first row and number of rows by run; None for logs or damage
    witness: str | None  # the digest that the file itself has
    problems: list[Problem]


class _Rows(NamedTuple):
    """What was seen in `history` or `clock`."""

    places: dict[str, tuple[int, int]]
    hashes: dict[str, str]


def check_segment(root: Path, stem: str) -> Checked:
    """Read all of a segment.

    Args:
        root: the store.
        stem: name of the segment.

    Returns:
        What it holds and what is wrong.
    """
    segment, problems = Segment(root, stem), []

    def reading(table: str, read: Callable[[], Any]) -> Any:
        try:
            with naming(segment.path(table)):
                _check_types(segment.file(table), table)
                return read()
        except FileNotFoundError:
            problems.append(
                Problem(segment.path(table), "missing", f"'{table}/{stem}.parquet' is missing; restore it from a copy")
            )
        except StoreError as error:
            problems.append(Problem(segment.path(table), "damaged", str(error).replace(f"{root}/", "")))
        return None

    # What only a part of the file is needed for is read too: it must make sense as well.
    seen = reading("runs", lambda: (segment.runs, segment.witness, segment.environments, segment.replaces))
    runs, (digest, definition) = seen[:2] if seen is not None else (None, (None, None))
    timings = reading("timings", lambda: segment.timings)
    history = reading("history", lambda: _walk(segment, "history", hashing=True))
    clock = reading("clock", lambda: _walk(segment, "clock", hashing=False))
    if runs is not None:
        problems += (Problem(segment.path("runs"), "duplicate", line) for line in _repeated(runs, stem))
    if runs is not None and timings is not None and not runs.column("run_id").equals(timings.column("run_id")):
        line = f"'timings/{stem}.parquet' holds other runs than 'runs/{stem}.parquet', or the same in another order"
        problems.append(Problem(segment.path("timings"), "changed", line))
    if runs is not None and history is not None:
        problems += (Problem(segment.path("history"), "changed", line) for line in _compared(runs, history, stem))
    if history is not None and clock is not None:
        problems += (Problem(segment.path("clock"), "changed", line) for line in _clocked(history, clock, stem))
    places = None
    if runs is not None and history is not None:
        ids = runs.column("run_id").to_pylist()
        places = {**dict.fromkeys(ids, (0, 0)), **history.places}
    return Checked(segment.path("runs"), runs, places, digest if definition == DIGEST_DEFINITION else None, problems)


def _check_types(file: Any, table: str) -> None:
    schema, metadata = file.schema_arrow, file.schema_arrow.metadata or {}
    if (name := metadata.get(b"optcore.table", b"").decode()) != table:
        raise ValueError(f"it says that it holds the table {name!r}, not {table!r}")
    for field in TABLES[table]:
        found = schema.field(field.name).type
        plain = found.value_type if pa.types.is_dictionary(found) else found
        if not plain.equals(field.type):
            raise ValueError(f"its column {field.name!r} has type {plain}, not {field.type}")


def _walk(segment: Segment, table: str, *, hashing: bool) -> _Rows:
    """Read all rows; those of a run must stand together, numbered from 0."""
    places: dict[str, tuple[int, int]] = {}
    hashes: dict[str, str] = {}
    position = 0
    parts = (part for batch in segment.file(table, plain=False).iter_batches() for part in by_run(batch))
    for run_id, group in groupby(parts, key=lambda part: part[0]):
        rows = pa.concat_tables([pa.Table.from_batches([part]) for _, part in group], promote_options="permissive")
        if run_id in places:
            raise ValueError(f"the rows of run {run_id!r} don't stand together")
        if not np.array_equal(rows.column("evaluation").to_numpy(), np.arange(rows.num_rows)):
            raise ValueError(f"the rows of run {run_id!r} are not numbered from 0 on")
        places[run_id] = (position, rows.num_rows)
        position += rows.num_rows
        if hashing:
            hashes[run_id] = _hash(rows)
    return _Rows(places, hashes)


def by_run(batch: Any) -> Iterator[tuple[str, Any]]:
    """Cut a batch of rows, whose run_id is a dictionary, by run."""
    first = 0
    for run_id, size in stretches(batch.column(batch.schema.names.index("run_id"))):
        yield run_id, batch.slice(first, size)
        first += size


def _hash(rows: Any) -> str:
    codes = pc.index_in(rows.column("task").cast(pa.string()), pa.array(TASKS)).fill_null(255)
    return history_hash(
        codes.to_numpy().astype(np.uint8),
        rows.column("batch").to_numpy(),
        rows.column("fun").to_numpy(),
        _optional(rows.column("fun_true")),
        _points(rows),
    )


def _optional(column: Any) -> NDArray[np.float64] | None:
    return None if column.null_count == len(column) else column.to_numpy()


def _points(rows: Any) -> NDArray[np.float64] | None:
    column = rows.column("x").combine_chunks()
    if column.null_count == len(column):
        return None
    values = np.asarray(column.flatten().to_numpy(zero_copy_only=False))
    return values.reshape(rows.num_rows, values.size // rows.num_rows)


def _repeated(runs: Any, stem: str) -> Iterator[str]:
    for run_id, times in Counter(runs.column("run_id").to_pylist()).items():
        if times > 1:
            yield f"run {run_id!r} stands {times} times in 'runs/{stem}.parquet'"


_EMPTY = history_hash(np.zeros(0, "u1"), np.zeros(0, "i4"), np.zeros(0), None, None)


def _compared(runs: Any, history: _Rows, stem: str) -> Iterator[str]:
    hashes = dict(zip(*(runs.column(name).to_pylist() for name in ("run_id", "history_hash")), strict=True))
    foreign = [run_id for run_id in history.places if run_id not in hashes]
    if foreign:
        shown = ", ".join(repr(run_id) for run_id in foreign[:_SHOWN])
        rows = f"rows of {count(len(foreign), 'run')}"
        yield f"'history/{stem}.parquet' has {rows} that 'runs/{stem}.parquet' lacks: {shown}"
    for run_id, expected in hashes.items():
        if (value := history.hashes.get(run_id, _EMPTY)) != expected:
            yield (
                f"the history of run {run_id!r} has hash {value[:12]}, but {expected[:12]} was recorded: "
                f"'history/{stem}.parquet' is not what was written"
            )


def _clocked(history: _Rows, clock: _Rows, stem: str) -> Iterator[str]:
    if history.places == clock.places:
        return
    wrong = 0
    for run_id in {**history.places, **clock.places}:
        rows, times = (seen.places.get(run_id, (0, 0))[1] for seen in (history, clock))
        wrong += rows != times
        if rows != times and wrong <= _SHOWN:
            yield f"run {run_id!r} has {rows} evaluations, but {times} times of the clock in 'clock/{stem}.parquet'"
    if not wrong:
        yield f"'clock/{stem}.parquet' has the runs in another order than 'history/{stem}.parquet'"


# --- logs and the index -----------------------------------------------------------------------------------------------


def check_log(path: Path) -> Checked:
    """Read all of a log.

    Args:
        path: the log.

    Returns:
        What it holds and what is wrong. The end of a log that a process is appending to is not looked at.
    """
    with owned(path) as free:
        found = salvage(path)
    name, problems = f"'log/{path.name}'", []
    for first, stop in found.holes:
        line = f"{name} is damaged from byte {first} to {stop}: what ran there is lost and runs again"
        problems.append(Problem(path, "damaged", f"{line}; whole runs behind it can be saved"))
    if free and found.torn:
        line = f"ends in {found.torn} bytes that are no finished run: a process was killed writing them"
        problems.append(Problem(path, "torn", f"{name} {line}"))
    if free and not found.frames and not found.torn:
        problems.append(Problem(path, "leftover", f"{name} is empty: a process was killed before it stored a run"))
    runs: dict[str, dict[str, Any]] = {}
    with path.open("rb") as file:
        for offset, length in found.frames:
            file.seek(offset)
            try:
                stored = decode(file.read(length))
                _check_hash(stored)
                runs.setdefault(stored.run["run_id"], stored.run)
            except (ValueError, KeyError, TypeError, struct.error, pa.ArrowException, OSError) as error:
                problems.append(Problem(path, "changed", f"{name} holds at byte {offset} no run: {error}"))
    return Checked(path, pa.Table.from_pylist(list(runs.values()), schema=RUNS), None, None, problems)


def _check_hash(stored: StoredRun) -> None:
    value = history_hash(stored.task, stored.batch, stored.fun, stored.fun_true, stored.x)
    if value != stored.run["history_hash"]:
        raise ValueError(
            f"the history of run {stored.run['run_id']!r} has hash {value[:12]}, but "
            f"{stored.run['history_hash'][:12]} was recorded"
        )


def log_fixes(path: Path) -> dict[str, Callable[[], None]]:
    """How a log is repaired, by the kind of what is wrong with it."""
    keep = partial(_keep_whole_frames, path)
    return {"torn": keep, "damaged": keep, "leftover": path.unlink}


def _keep_whole_frames(path: Path) -> None:
    """Leave in a log what is proven by its checksums; nothing if a process has it open."""
    with owned(path) as free:
        if not free:
            return
        found = salvage(path)
        content = path.read_bytes()
        whole = b"".join(content[first:stop] for first, stop in found.wholes)
        if whole:
            replace_file(path, lambda temporary: _write(temporary, whole))
        else:
            path.unlink()


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


class StoredIndex(NamedTuple):
    """What `derived/index.parquet` says."""

    of: str | None  # name of the segment; None where the file can't be read
    places: dict[str, tuple[int, int]]


def stored_index(path: Path) -> StoredIndex:
    """Read an index, damaged or not."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            columns = [file.read().column(name).to_pylist() for name in ("run_id", "first_row", "n_rows")]
            of = file_metadata(file, "of", None)
    except (OSError, KeyError, pa.ArrowException, ValueError):
        return StoredIndex(None, {})
    places = {run_id: (first, size) if size else (0, 0) for run_id, first, size in zip(*columns, strict=True)}
    return StoredIndex(of, places)
