"""Which runs of a store are shown, in which order, and their rows from wherever they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from optcore_bench.store.schema import KEY, RUNS, TIMINGS, DamagedStoreError
from optcore_bench.store.sources import Source, open_sources

_ATTEMPTS = 20
_T = TypeVar("_T")


class Selection(NamedTuple):
    """One run for each cell of a study, sorted, and where its rows are."""

    runs: Any
    timings: Any
    order: list[tuple[int, str]]
    dropped: int


def select(sources: Sequence[Source], wanted: Iterable[str] | None = None, *, one_per_cell: bool = True) -> Selection:
    """Choose one run for each (suite, problem, start, noise, algorithm, derivative).

    Args:
        sources: where runs are; of several rows of one run_id the one that began last counts (a run that was run
            again), where that is equal or unknown the first (copies that a death left behind).
        wanted: run ids that win over others of the same cell; else, and among them, the one that began last
            does (by `started_at`; where that is equal or unknown, the one found last).
        one_per_cell: False keeps every run_id.

    Returns:
        The chosen runs sorted by cell and run_id; positions in `sources` and run ids in that order; how many
        runs were dropped because another one took their cell.
    """
    runs = pa.concat_tables([RUNS.empty_table(), *(source.runs for source in sources)])
    timings = pa.concat_tables([TIMINGS.empty_table(), *(source.timings for source in sources)])
    if not runs.column("run_id").equals(timings.column("run_id")):
        raise DamagedStoreError(
            "the tables runs and timings of the store don't hold the same runs; restore it from a copy"
        )
    owner = np.repeat(np.arange(len(sources)), [source.runs.num_rows for source in sources])
    keys = list(zip(*(runs.column(name).to_pylist() for name in (*KEY, "run_id")), strict=True))
    began = timings.column("started_at").cast(pa.int64()).fill_null(-(2**63)).to_pylist()
    preferred = frozenset(wanted or ())
    latest: dict[str, int] = {}
    for row, key in enumerate(keys):
        known = latest.setdefault(key[-1], row)
        if began[row] > began[known]:
            latest[key[-1]] = row
    chosen: dict[tuple[Any, ...], int] = {}
    for run_id, row in latest.items():
        cell = keys[row][:-1] if one_per_cell else keys[row]
        rival = chosen.get(cell)
        if rival is None or (run_id in preferred, began[row]) >= (keys[rival][-1] in preferred, began[rival]):
            chosen[cell] = row
    rows = sorted(chosen.values(), key=keys.__getitem__)
    order = [(int(owner[row]), keys[row][-1]) for row in rows]
    indices = pa.array(rows, pa.int64())
    return Selection(
        runs.take(indices).combine_chunks(),
        timings.take(indices).combine_chunks(),
        order,
        len(latest) - len(rows),
    )


def merged_rows(
    sources: Sequence[Source],
    order: Iterable[tuple[int, str]],
    table: str,
    columns: list[str] | None = None,
    *,
    plain: bool = True,
) -> Iterator[Any]:
    """Rows of `history` or `clock` of many runs in a given order, as tables of Arrow of bounded size.

    Args:
        sources: where the runs are.
        order: position in `sources` and run_id of each run.
        table: "history" or "clock".
        columns: which columns; all by default.
        plain: False makes run_id and task dictionaries.

    Yields:
        Tables, one or several for each stretch of runs from one source.
    """
    for position, stretch in groupby(order, key=lambda entry: entry[0]):
        yield from sources[position].rows(table, [run_id for _, run_id in stretch], columns, plain=plain)


def plain_rows(table: Any) -> Iterator[dict[str, Any]]:
    """The rows of a table as dicts, without making all of them at once."""
    for batch in table.to_batches(max_chunksize=1000):
        yield from batch.to_pylist()


def read_consistently(root: Path, read: Callable[[list[Source]], _T]) -> _T:
    """Read from a store that another process may be compacting.

    Args:
        root: the store.
        read: gets the sources; called again with new ones if a file is gone in the midst of it.

    Returns:
        What `read` returned.
    """
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            return read(open_sources(root))
    return read(open_sources(root))
