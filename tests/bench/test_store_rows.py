"""Rows of many runs at once are those of each run by itself, one after the other, in tables of bounded size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from optcore_bench.store import rows
from optcore_bench.store.record import StoredRun, prepare
from tests.bench.store_records import record


def runs() -> list[StoredRun]:
    """All kinds side by side: of several n, with noise, without points, without evaluations, long ones."""
    found = []
    for number in range(30):
        given = record(number, k=(0, 1, 7, 20, 90)[number % 5], n=1 + number % 3)
        noisy = given.history.fun + 1.0 if number % 7 < 2 else None
        found.append(prepare(replace(given, fun_true=noisy, keep_x=number % 11 > 2)))
    return found


@pytest.mark.parametrize(("entries", "group"), [(4_000_000, 20_000), (400, 50), (8, 1)])
@pytest.mark.parametrize("table", ["history", "clock"])
def test_joined_rows_are_those_of_each_run(
    monkeypatch: pytest.MonkeyPatch, table: str, entries: int, group: int
) -> None:
    tables_of = {"history": rows.history_tables, "clock": rows.clock_tables}[table]
    expected = [one for run in runs() for one in tables_of([run])]
    monkeypatch.setattr(rows, "_CHUNK_ENTRIES", entries)
    monkeypatch.setattr(rows, "ROW_GROUP_ROWS", group)
    found = list(tables_of(runs()))
    # Texts, because NaN isn't itself; repr tells all doubles apart.
    assert repr(pa.concat_tables(found).to_pylist()) == repr(pa.concat_tables(expected).to_pylist())
    if entries > 1000:
        assert len(found) < len(expected)  # runs whose columns are null alike share a table
    elif table == "history":
        assert max(one.num_rows for one in found) <= group + 90
        assert max(one.num_rows * 8 for one in found) <= entries + 90 * 8


def test_the_columns_are_what_was_recorded() -> None:
    stored = runs()
    table = pa.concat_tables(rows.history_tables(stored))
    assert table.column("run_id").to_pylist() == [run.run["run_id"] for run in stored for _ in run.task]
    assert table.column("evaluation").to_pylist() == [i for run in stored for i in range(len(run.task))]
    np.testing.assert_array_equal(table.column("fun"), np.concatenate([run.fun for run in stored]))
    noisy = [len(run.task) * [run.fun_true is not None] for run in stored]
    assert [value.is_valid for value in table.column("fun_true")] == [value for part in noisy for value in part]
    np.testing.assert_array_equal(
        table.column("fun_true").drop_null(),
        np.concatenate([run.fun_true for run in stored if run.fun_true is not None]),
    )
    points = [x for run in stored for x in ([None] * len(run.fun) if run.x is None else run.x)]
    for found, x in zip(table.column("x").to_pylist(), points, strict=True):
        assert (found is None) == (x is None)
        if x is not None:
            np.testing.assert_array_equal(found, x)
