"""Where the rows of a store are: logs that runs are appended to, and segments, one file in each table.

Which of them count. The file of a segment in `runs` is written last, so a segment exists if and only if that
file does. It names what it replaces: logs it was made from, segments it was merged from. What is replaced
does not count, whether or not it was already removed. A process may thus be killed between any two steps:
what counts is whole.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from optcore_bench.store.log import read_frames
from optcore_bench.store.record import StoredRun, decode, decode_description
from optcore_bench.store.rows import clock_tables, history_tables
from optcore_bench.store.schema import (
    RUNS,
    TABLES,
    TIMINGS,
    DamagedStoreError,
    MissingFileError,
    StoreError,
    check_version,
    file_metadata,
    may_not_read,
)

#: Where `runs` says which run is where: the file's rows of `history` and `clock` are in the same order.
INDEX_FILE = "index.parquet"
#: f_L of problems without a best known value, in `derived`.
REFERENCE_FILE = "reference.parquet"

#: Names of segments; other files in the folders of a store are not its own and are left alone.
SEGMENT_NAME = re.compile(r"part-(\d+)-[0-9a-f]{6}")
#: Names of files that are being written.
TEMPORARY_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_REPETITIVE = ("run_id", "task")


class Source(Protocol):
    """A log or a segment."""

    @property
    def stem(self) -> str:
        """Its name."""
        ...

    @property
    def runs(self) -> Any:
        """Its rows of `runs`, a table of Arrow."""
        ...

    @property
    def timings(self) -> Any:
        """Its rows of `timings`, as many as of `runs` and in the same order."""
        ...

    @property
    def environments(self) -> dict[str, dict[str, str]]:
        """Fingerprints by their hash, as far as runs brought their own."""
        ...

    def n_rows(self, run_id: str) -> int:
        """Number of evaluations of a run."""
        ...

    def rows(
        self, table: str, run_ids: Sequence[str], columns: list[str] | None = None, *, plain: bool = True
    ) -> Iterator[Any]:
        """Rows of `history` or `clock` of some runs as tables of Arrow of bounded size."""
        ...


def stored_rows(stored: Iterable[StoredRun], table: str, columns: list[str] | None, *, plain: bool) -> Iterator[Any]:
    """Rows of `history` or `clock` of runs, one run after the other.

    Args:
        stored: the runs.
        table: "history" or "clock".
        columns: which columns; all if None.
        plain: False makes run_id and task dictionaries.

    Yields:
        Tables of Arrow of bounded size.
    """
    for whole in {"history": history_tables, "clock": clock_tables}[table](stored):
        rows = whole if columns is None else whole.select(columns)
        for name in () if plain else _REPETITIVE:
            if name in rows.column_names:
                rows = rows.set_column(rows.column_names.index(name), name, rows.column(name).dictionary_encode())
        yield rows


class LogSource:
    """The whole frames of a log; descriptions in memory, arrays read when asked for."""

    environments: dict[str, dict[str, str]]

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stem = path.stem
        self.environments = {}
        self._places: dict[str, tuple[int, int, int]] = {}
        runs, timings = [], []
        for offset, payload in read_frames(path):
            about = decode_description(payload)
            run_id = about.run["run_id"]
            if run_id not in self._places:
                self._places[run_id] = (offset, len(payload), about.rows)
                self.environments |= about.environments
                runs.append(about.run)
                timings.append(about.timings)
        self.runs = pa.Table.from_pylist(runs, schema=RUNS)
        self.timings = pa.Table.from_pylist(timings, schema=TIMINGS)

    def n_rows(self, run_id: str) -> int:
        """Number of evaluations of a run."""
        return self._places[run_id][2]

    def rows(
        self, table: str, run_ids: Sequence[str], columns: list[str] | None = None, *, plain: bool = True
    ) -> Iterator[Any]:
        """Rows of `history` or `clock` of some runs, in the order of `run_ids`."""
        with self.path.open("rb") as file:
            yield from stored_rows(self._stored(file, run_ids), table, columns, plain=plain)

    def _stored(self, file: IO[bytes], run_ids: Iterable[str]) -> Iterator[StoredRun]:
        for run_id in run_ids:
            offset, length, _ = self._places[run_id]
            file.seek(offset)
            yield decode(file.read(length))


class Segment:
    """One Parquet file in each table. Files are opened when asked for and then stay open."""

    def __init__(self, root: Path, stem: str) -> None:
        self.stem = stem
        self._root = root
        self._files: dict[tuple[str, bool], Any] = {}
        self._tables: dict[str, Any] = {}
        self._group: tuple[Any, Any] = (None, None)
        self._index: dict[str, tuple[int, int]] | None = None
        self._bounds: dict[str, Any] = {}

    def path(self, table: str) -> Path:
        """The segment's file in a table."""
        return self._root / table / f"{self.stem}.parquet"

    def file(self, table: str, *, plain: bool = True) -> Any:
        """The opened file of a table; run_id and task as dictionaries unless `plain`."""
        if (table, plain) not in self._files:
            dictionaries = None if plain else [name for name in _REPETITIVE if name in TABLES[table].names]
            self._files[table, plain] = open_parquet(self.path(table), TABLES[table], dictionaries)
        return self._files[table, plain]

    @property
    def replaces(self) -> set[str]:
        """Names of the logs and segments that this segment stands for."""
        with naming(self.path("runs")):
            return set(file_metadata(self.file("runs"), "replaces", []))

    @property
    def environments(self) -> dict[str, dict[str, str]]:
        """Fingerprints by their hash, as far as runs brought their own."""
        with naming(self.path("runs")):
            return dict(file_metadata(self.file("runs"), "environments", {}))

    @property
    def witness(self) -> tuple[str | None, str | None]:
        """The digest of its runs that the file itself has, and the version of its definition."""
        with naming(self.path("runs")):
            file = self.file("runs")
            return file_metadata(file, "digest", None), file_metadata(file, "digest_definition", None)

    @property
    def runs(self) -> Any:
        """Its rows of `runs`."""
        return self._whole("runs")

    @property
    def timings(self) -> Any:
        """Its rows of `timings`."""
        return self._whole("timings")

    def _whole(self, table: str) -> Any:
        if table not in self._tables:
            with naming(self.path(table)):
                self._tables[table] = self.file(table).read(columns=TABLES[table].names)
        return self._tables[table]

    @property
    def index(self) -> dict[str, tuple[int, int]]:
        """First row and number of rows of each run in `history` and `clock`."""
        if self._index is None:
            self._index = self._stored_index() or self._computed_index()
        return self._index

    def _stored_index(self) -> dict[str, tuple[int, int]] | None:
        """The index in `derived`, if it was made for this segment; damage is no error."""
        path = self._root / "derived" / INDEX_FILE
        with contextlib.suppress(OSError, pa.ArrowException, ValueError), pq.ParquetFile(path) as file:
            if file_metadata(file, "of", None) != self.stem:
                return None
            ids, first, size = file.read().columns
            if pc.sum(size).as_py() == self.file("history").metadata.num_rows:
                return dict(zip(ids.to_pylist(), zip(first.to_pylist(), size.to_pylist(), strict=True), strict=True))
        return None

    def _computed_index(self) -> dict[str, tuple[int, int]]:
        index = dict.fromkeys(self.runs.column("run_id").to_pylist(), (0, 0))
        position = 0
        with naming(self.path("history")):
            for batch in self.file("history", plain=False).iter_batches(columns=["run_id"]):
                for run_id, size in stretches(batch.column(0)):
                    first, before = index.get(run_id, (0, 0))
                    index[run_id] = (first if before else position, before + size)
                    position += size
        return index

    def n_rows(self, run_id: str) -> int:
        """Number of evaluations of a run."""
        return self.index[run_id][1]

    def rows(
        self, table: str, run_ids: Sequence[str], columns: list[str] | None = None, *, plain: bool = True
    ) -> Iterator[Any]:
        """Rows of `history` or `clock` of some runs; only the row groups that hold them are read."""
        file = self.file(table, plain=plain)
        if table not in self._bounds:
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
            self._bounds[table] = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        bounds = self._bounds[table]
        for first, stop in _intervals(self.index[run_id] for run_id in run_ids):
            group = int(np.searchsorted(bounds, first, "right")) - 1
            while first < stop:
                end = min(stop, int(bounds[group + 1]))
                yield self._row_group(table, group, columns, plain=plain).slice(first - bounds[group], end - first)
                first, group = end, group + 1

    def _row_group(self, table: str, group: int, columns: list[str] | None, *, plain: bool) -> Any:
        """A row group; the last one is kept, since runs come in the order of the file."""
        key = (table, group, None if columns is None else tuple(columns), plain)
        if self._group[0] != key:
            with naming(self.path(table)):
                self._group = (key, self.file(table, plain=plain).read_row_group(group, columns=columns))
        return self._group[1]


def _intervals(places: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Places (first row, number of rows) as (first, stop), those that touch merged.

    >>> list(_intervals([(0, 2), (2, 3), (7, 0), (7, 1)]))
    [(0, 5), (7, 8)]
    """
    start = stop = 0
    for first, size in places:
        if size and first != stop:
            if stop > start:
                yield start, stop
            start = first
        if size:
            stop = first + size
    if stop > start:
        yield start, stop


def stretches(column: Any) -> Iterator[tuple[str, int]]:
    """Values and lengths of the stretches of equal values in a dictionary column."""
    codes = column.indices.to_numpy(zero_copy_only=False)
    names = column.dictionary
    firsts = np.concatenate([[0], np.flatnonzero(np.diff(codes)) + 1, [len(codes)]]) if len(codes) else np.zeros(1, int)
    for first, stop in pairwise(firsts):
        yield names[int(codes[first])].as_py(), int(stop - first)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn what a library says of a missing or damaged file into a sentence that names the file."""
    try:
        yield
    except StoreError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(
            f"'{path}' is missing; restore it from a copy, or remove the store and run the study again"
        ) from error
    except PermissionError as error:
        raise may_not_read(path) from error
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DamagedStoreError(
            f"'{path}' is damaged ({reason}); restore it from a copy, or remove the store and run the study again"
        ) from error


def open_parquet(path: Path, schema: Any, dictionaries: list[str] | None = None) -> Any:
    """Open a file of a store and look whether it is one.

    Args:
        path: the file.
        schema: what it must have the columns of.
        dictionaries: columns to read as dictionaries.

    Returns:
        The `pyarrow.parquet.ParquetFile`, which verifies page checksums.

    Raises:
        DamagedStoreError: it can't be read or lacks a column.
        StoreVersionError: a newer optcore wrote it.
    """
    with naming(path):
        file = pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=dictionaries)
        found = file.schema_arrow
        check_version((found.metadata or {}).get(b"optcore.schema", b"none"), path)
        if missing := [name for name in schema.names if name not in found.names]:
            raise ValueError(f"it has no column {', '.join(missing)}")
        return file


class Contents(NamedTuple):
    """What counts in a store, by name, and the files that don't."""

    segments: tuple[str, ...]
    logs: tuple[str, ...]
    dead: tuple[Path, ...]  # replaced, or begun and never finished
    orphans: tuple[Path, ...]  # of a segment that has no file in `runs`


def list_segments(root: Path) -> list[str]:
    """Names of all segments, those that were replaced too."""
    return sorted(path.stem for path in (root / "runs").glob("part-*.parquet") if SEGMENT_NAME.fullmatch(path.stem))


def list_contents(root: Path) -> Contents:
    """Look which segments and logs of a store count, by the rule in the module's docstring."""
    logs = sorted(path.stem for path in (root / "log").glob("*.log"))
    stems = list_segments(root)
    replaced: set[str] = set()
    if logs or len(stems) > 1:
        replaced = set().union(*(Segment(root, stem).replaces for stem in stems))
    live = tuple(stem for stem in stems if stem not in replaced)
    return Contents(live, tuple(stem for stem in logs if stem not in replaced), *unused(root, live, replaced))


def unused(root: Path, live: Collection[str], replaced: Collection[str]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Files of a store that don't count.

    Args:
        root: the store.
        live: names of the segments that count.
        replaced: names of the segments and logs that others stand for.

    Returns:
        Files that may be removed; files of segments without a file in `runs`.
    """
    files = [path for table in TABLES for path in sorted((root / table).glob("*.parquet"))]
    own = [path for path in files if SEGMENT_NAME.fullmatch(path.stem)]
    dead = [path for path in own if path.stem in replaced]
    dead += [path for path in sorted((root / "log").glob("*.log")) if path.stem in replaced]
    for folder in (root, *(root / name for name in (*TABLES, "derived"))):
        dead += (path for path in sorted(folder.glob(".*.tmp")) if TEMPORARY_NAME.fullmatch(path.name))
    orphans = [path for path in own if path.stem not in replaced and path.stem not in live]
    return tuple(dead), tuple(orphans)


def run_ids_of(path: Path) -> frozenset[str] | None:
    """The run ids in a Parquet file; None if it can't be read."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True, read_dictionary=["run_id"]) as file:
            batches = file.iter_batches(columns=["run_id"])
            return frozenset().union(*(batch.column(0).unique().to_pylist() for batch in batches))
    except (pa.ArrowException, OSError, ValueError):
        return None


def open_sources(root: Path) -> list[Source]:
    """The segments and logs that count; segments first, so that what is in both is read from Parquet."""
    contents = list_contents(root)
    segments: list[Source] = [Segment(root, stem) for stem in contents.segments]
    return segments + [LogSource(root / "log" / f"{stem}.log") for stem in contents.logs]
