"""What goes into a store comes out again, bit by bit."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from optcore.errors import InvalidInputError, UnknownNameError
from optcore.history import TASKS, HistoryRows
from optcore_bench.store import Results, StoreWriter
from optcore_bench.store.schema import CLOCK, HISTORY, RUNS, TIMINGS
from tests.bench.store_records import MANIFEST, STUDY, make_store, record, rows

STATES = pytest.mark.parametrize("finish", [True, False], ids=["finished", "log"])

# The columns that the design promises, written down a second time on purpose.
RUN_COLUMNS = [
    "run_id", "study", "suite", "problem", "problem_version", "n", "m", "algorithm", "algorithm_options",
    "derivative", "derivative_options", "start", "seed", "noise", "status", "message", "f_start", "f_opt",
    "f_best", "f_final", "derivative_error", "n_fun_evals", "n_jac_evals", "n_fun_and_jac_evals",
    "n_numdiff_evals", "n_batches", "n_iterations", "history_hash", "environment",
]  # fmt: skip
HISTORY_COLUMNS = ["run_id", "evaluation", "task", "batch", "fun", "fun_true", "best", "x"]
TIMING_COLUMNS = ["run_id", "seconds", "cpu_seconds", "max_rss", "host", "worker", "started_at"]
CLOCK_COLUMNS = ["run_id", "evaluation", "start", "stop"]


def bits(values: object) -> list[int]:
    return np.asarray(values, dtype=np.float64).view(np.uint64).tolist()


def test_the_columns_are_those_of_the_design() -> None:
    assert RUNS.names == RUN_COLUMNS
    assert HISTORY.names == HISTORY_COLUMNS
    assert TIMINGS.names == TIMING_COLUMNS
    assert CLOCK.names == CLOCK_COLUMNS


@STATES
def test_special_floats_survive_and_nan_becomes_the_canonical_one(tmp_path, finish) -> None:
    odd_nan = np.array([0xFFF8000000000123], dtype=np.uint64).view(np.float64)[0]
    fun = np.array([-0.0, 0.0, np.inf, -np.inf, 5e-324, odd_nan, 1.7976931348623157e308, 0.1])
    k = len(fun)
    x = np.stack([fun, fun[::-1]], axis=1)
    history = HistoryRows(np.zeros(k, np.uint8), fun, np.arange(k, dtype=np.int32), np.zeros(k), np.zeros(k), x)
    make_store(tmp_path / "s", [record(history=history, fun_true=fun[::-1].copy(), f_best=odd_nan)], finish=finish)
    results = Results(tmp_path / "s")
    found = results.history()
    canonical = np.where(np.isnan(fun), np.array([0x7FF8000000000000], np.uint64).view(np.float64), fun)
    assert bits(found["fun"]) == bits(canonical)
    assert bits(found["fun_true"]) == bits(canonical[::-1])
    assert bits(np.stack(found["x"].to_list())) == bits(np.where(np.isnan(x), np.nan, x))
    assert bits(results.runs["f_final"]) == bits([-0.0])
    assert bits(results.runs["f_best"]) == bits([np.nan])


@STATES
def test_histories_of_different_n_and_of_no_evaluations_come_back(tmp_path, finish) -> None:
    records = [record(0, k=5, n=2), record(1, k=0, n=4), record(2, k=50, n=7), record(3, k=3, n=1, keep_x=False)]
    make_store(tmp_path / "s", records, finish=finish)
    results = Results(tmp_path / "s")
    assert len(results.runs) == 4
    for entry in records:
        found = results.history(run_id=entry.run["run_id"])
        history = entry.history
        assert list(found.columns) == HISTORY_COLUMNS
        assert found["evaluation"].tolist() == list(range(len(history.fun)))
        assert found["task"].tolist() == [TASKS[code] for code in history.task]
        assert found["batch"].tolist() == history.batch.tolist()
        assert bits(found["fun"]) == bits(np.where(np.isnan(history.fun), np.nan, history.fun))
        assert found["fun_true"].isna().all()
        if entry.keep_x and len(found):
            assert np.array_equal(np.stack(found["x"].to_list()), history.x)
        else:
            assert found["x"].isna().all()


@STATES
def test_the_clock_is_stored_to_the_nanosecond_and_apart(tmp_path, finish) -> None:
    start = np.array([0.0, 1e-9, 1.25, 3600.000000001])
    history = rows(4, 2)._replace(start=start, stop=start + 2e-9)
    make_store(tmp_path / "s", [record(history=history)], finish=finish)
    found = Results(tmp_path / "s").clock()
    assert found["start"].tolist() == [0, 1, 1_250_000_000, 3_600_000_000_001]
    assert (found["stop"] - found["start"]).tolist() == [2, 2, 2, 2]
    assert found["start"].dtype == np.int64


def test_times_that_a_dying_process_left_unwritten_do_no_harm(tmp_path) -> None:
    history = rows(3, 1)._replace(stop=np.array([np.nan, np.inf, -1e300]))
    make_store(tmp_path / "s", [record(history=history)])
    assert Results(tmp_path / "s").clock()["stop"].tolist() == [0, 0, 0]


def test_best_looks_at_points_that_the_solver_asked_for(tmp_path) -> None:
    task = np.array(
        [TASKS.index(name) for name in ["numdiff", "jac", "fun", "numdiff", "fun_and_jac", "fun"]], np.uint8
    )
    fun = np.array([-9.0, -8.0, 5.0, -7.0, 3.0, 4.0])
    history = rows(6, 2)._replace(task=task, fun=fun)
    make_store(tmp_path / "s", [record(0, history=history), record(1, history=history, fun_true=-fun)])
    results = Results(tmp_path / "s")
    exact, noisy = (results.history(run_id=f"{i:016x}") for i in range(2))
    np.testing.assert_array_equal(exact["best"], [np.nan, np.nan, 5, 5, 3, 3])
    np.testing.assert_array_equal(noisy["best"], [np.nan, np.nan, -5, -5, -5, -5])
    np.testing.assert_array_equal(exact["fun"], [-9, np.nan, 5, -7, 3, 4])


@STATES
@pytest.mark.parametrize("noisy", [False, True])
def test_best_knows_no_point_outside_the_bounds(tmp_path, finish, noisy) -> None:
    fun = np.array([1.0, 5.0, -9.0, 4.0, 3.0])
    feasible = np.array([False, True, False, True, True])
    history = rows(5, 2)._replace(task=np.zeros(5, dtype=np.uint8), fun=fun + noisy, feasible=feasible)
    make_store(tmp_path / "s", [record(0, history=history, fun_true=fun if noisy else None), record(1)], finish=finish)
    found = Results(tmp_path / "s").history(run_id=record(0).run["run_id"])
    np.testing.assert_array_equal(found["best"], [np.nan, 5.0, 5.0, 4.0, 3.0])
    np.testing.assert_array_equal(found["fun"], fun + noisy)
    np.testing.assert_array_equal(np.stack(found["x"].to_list()), history.x)


def test_fun_true_is_null_without_noise_and_nan_where_a_noisy_run_has_no_value(tmp_path) -> None:
    history = rows(8, 2)
    make_store(tmp_path / "s", [record(0, history=history), record(1, history=history, fun_true=history.fun)])
    (path,) = (tmp_path / "s" / "history").iterdir()
    column = pq.read_table(path).column("fun_true")
    assert column.null_count == 8
    assert np.isnan(column.to_numpy()[8:]).sum() == np.count_nonzero(history.task == TASKS.index("jac"))


@STATES
def test_rows_of_runs_and_timings_come_back_with_their_types(tmp_path, finish) -> None:
    timings = {"seconds": 1.5, "max_rss": 2**40, "started_at": "2026-11-24T01:02:03.000004+01:00"}
    entry = record(3, m=4, n_iterations=None, message="naïve — 数 \ud800", noise={"level": 1e-3}, timings=timings)
    make_store(tmp_path / "s", [entry], finish=finish)
    results = Results(tmp_path / "s")
    (run,) = results.runs.to_dict("records")
    assert run["algorithm_options"] == '{"a":2,"b":1.0}'
    assert run["noise"] == '{"level":0.001}'
    assert run["message"] == "naïve — 数 ?"
    assert run["m"] == 4
    assert results.runs["n_iterations"].tolist() == [pd.NA]
    assert np.isnan(run["derivative_error"])
    (timing,) = results.timings.to_dict("records")
    assert timing["max_rss"] == 2**40
    assert timing["started_at"] == pd.Timestamp("2026-11-24T00:02:03.000004Z")
    assert timing["seconds"] == 1.5
    assert np.isnan(timing["cpu_seconds"])


def test_a_fingerprint_becomes_a_hash_in_the_row_and_stays_readable(tmp_path) -> None:
    foreign = {"python": "3.8", "numpy": "1.20"}
    entries = [record(0, environment=foreign), record(1, environment=foreign), record(2)]
    for finish in (False, True):
        make_store(tmp_path / "s", entries, finish=finish)
        results = Results(tmp_path / "s")
        name = results.runs["environment"].iloc[0]
        assert results.environments[name] == foreign
        assert {"python": "3"} in results.environments.values()


def test_everybody_can_read_the_files(tmp_path) -> None:
    make_store(tmp_path / "s", [record(i, k=30) for i in range(10)])
    for table, columns in {"runs": RUN_COLUMNS, "history": HISTORY_COLUMNS, "timings": TIMING_COLUMNS}.items():
        folder = tmp_path / "s" / table
        assert list(pd.read_parquet(folder).columns) == columns
        assert ds.dataset(folder, format="parquet").to_table().column_names == columns
        (path,) = folder.iterdir()
        assert pq.read_schema(path).metadata[b"optcore.schema"] == b"1"
    assert len(pd.read_parquet(tmp_path / "s" / "clock")) == 300
    assert len(pd.read_parquet(tmp_path / "s" / "derived")) == 10


def test_the_encodings_are_those_that_were_measured_to_be_small(tmp_path) -> None:
    make_store(tmp_path / "s", [record(i, k=500, fun_true=rows(500, 3).fun) for i in range(4)])
    (path,) = (tmp_path / "s" / "history").iterdir()
    group = pq.ParquetFile(path).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    for name in ("fun", "fun_true", "x.list.element"):
        assert "BYTE_STREAM_SPLIT" in columns[name].encodings
    for name in ("evaluation", "batch"):
        assert "DELTA_BINARY_PACKED" in columns[name].encodings
    for name in ("run_id", "task", "best"):
        assert "RLE_DICTIONARY" in columns[name].encodings
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_long_histories_have_row_groups_of_about_20000_rows(tmp_path) -> None:
    make_store(tmp_path / "s", [record(i, k=900, n=2) for i in range(50)] + [record(50, k=30_000, n=1)])
    (path,) = (tmp_path / "s" / "history").iterdir()
    metadata = pq.ParquetFile(path).metadata
    sizes = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
    assert sum(sizes) == 75_000
    assert all(20_000 <= size < 51_000 for size in sizes[:-1])
    frame = Results(tmp_path / "s").history(run_id=f"{50:016x}")
    assert bits(frame["fun"]) == bits(np.where(np.isnan(rows(30_000, 1, 50).fun), np.nan, rows(30_000, 1, 50).fun))


def test_a_run_of_long_x_is_cut_into_small_row_groups(tmp_path) -> None:
    make_store(tmp_path / "s", [record(0, k=900, n=10_000)])
    (path,) = (tmp_path / "s" / "history").iterdir()
    assert pq.ParquetFile(path).metadata.num_row_groups >= 2
    found = Results(tmp_path / "s").history()
    assert np.array_equal(np.stack(found["x"].to_list()), rows(900, 10_000).x)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"colour": "red"}, UnknownNameError, "unknown column of runs 'colour'"),
        ({"status": "converge"}, UnknownNameError, "did you mean 'converged'"),
        ({"seed": None}, InvalidInputError, "column 'seed' of run '0000000000000000' can't hold None"),
        ({"seed": 1.5}, InvalidInputError, "column 'seed' of run '0000000000000000' can't hold 1.5"),
        ({"f_start": "low"}, InvalidInputError, "column 'f_start'"),
        ({"timings": {"second": 1.0}}, UnknownNameError, "did you mean 'seconds'"),
        ({"fun_true": np.zeros(3)}, InvalidInputError, "has 20 tasks, but 3 values of 'fun_true'"),
        ({"history": rows(4, 2)._replace(task=np.full(4, 9, np.uint8))}, InvalidInputError, "has task 9"),
        ({"history": rows(4, 2)._replace(x=np.zeros(4))}, InvalidInputError, "must have shape"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_in_words(tmp_path, changes, error, words) -> None:
    entry = record(**changes)
    with (
        StoreWriter(tmp_path / "s", study=STUDY, manifest=MANIFEST) as writer,
        pytest.raises(error, match=re.escape(words)),
    ):
        writer.append(entry)
    assert len(Results(tmp_path / "s").runs) == 0


def test_a_record_that_lacks_a_column_is_refused(tmp_path) -> None:
    entry = record()
    del entry.run["seed"]
    with (
        StoreWriter(tmp_path / "s", study=STUDY, manifest=MANIFEST) as writer,
        pytest.raises(InvalidInputError, match="lacks the columns seed"),
    ):
        writer.append(entry)
