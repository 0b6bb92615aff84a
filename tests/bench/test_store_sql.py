"""SQL over results says what the data frames say, whatever state the store is in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from optcore.errors import InvalidInputError, MissingLibraryError
from optcore_bench.store import Results
from optcore_bench.store.schema import TABLES
from tests.bench.store_records import make_store, record

needs_duckdb = pytest.mark.skipif(
    subprocess.run([sys.executable, "-c", "import duckdb"], capture_output=True).returncode != 0,
    reason="duckdb is not installed",
)


def make(path: Path, state: str) -> Results:
    records = [record(i, k=5 + i, keep_x=i % 2 > 0) for i in range(20)]
    if state == "mixed":
        make_store(path, [record(0, k=3, run_id="superseded", timings={"started_at": 1.0}), *records[:7]], finish=False)
        make_store(path, records[7:14], finish=False, rotate_bytes=1)
        make_store(path, records[14:], finish=False)
    else:
        make_store(path, records, finish=state == "finished")
    return Results(path)


@needs_duckdb
@pytest.mark.parametrize("state", ["finished", "log", "mixed", "in a folder ['*?']", "bundle"])
def test_the_tables_are_those_of_the_data_frames(tmp_path: Path, state: str) -> None:
    if state.startswith("in"):
        (tmp_path / state).mkdir()
        results = make(tmp_path / state / "s'", "finished")
    elif state == "bundle":
        from optcore_bench.store.export import export_bundle

        make(tmp_path / "s", "finished")
        results = Results(export_bundle(tmp_path / "s", tmp_path / "s.zip"))
    else:
        results = make(tmp_path / "s", state)
    for name, frame in {"runs": results.runs, "timings": results.timings, "clock": results.clock()}.items():
        order = "run_id, evaluation" if name == "clock" else "run_id"
        found = results.sql(f"select * from {name} order by {order}")
        expected = frame.assign(run_id=frame["run_id"].astype(str)).sort_values(order.split(", "), ignore_index=True)
        assert list(found.columns) == TABLES[name].names
        assert found["run_id"].tolist() == expected["run_id"].tolist()
        if name == "clock":
            assert found["stop"].tolist() == expected["stop"].tolist()
    history = results.history()
    found = results.sql("select run_id, evaluation, task, fun, best, x from history order by run_id, evaluation")
    expected = history.assign(run_id=history["run_id"].astype(str)).sort_values(["run_id", "evaluation"])
    assert found["fun"].to_numpy().tobytes() == expected["fun"].to_numpy().tobytes()
    assert found["task"].tolist() == expected["task"].tolist()
    for ours, theirs in zip(expected["x"], found["x"], strict=True):
        assert pd.isna(theirs) if ours is None else list(theirs) == list(ours)


@needs_duckdb
def test_tables_join_and_queries_take_values(tmp_path: Path) -> None:
    results = make(tmp_path / "s", "finished")
    found = results.sql(
        "select algorithm, count(*) as k, sum(seconds) as s from runs join timings using (run_id) "
        "where n_fun_evals > $least group by algorithm order by algorithm",
        {"least": 10},
    )
    runs = results.runs[results.runs["n_fun_evals"] > 10]
    assert found["k"].tolist() == runs.groupby("algorithm").size().tolist()
    assert results.sql("select count(*) as k from history where run_id = ?", [f"{4:016x}"])["k"].tolist() == [9]


@needs_duckdb
def test_rows_of_history_are_read_from_the_files_and_not_kept(tmp_path: Path, monkeypatch) -> None:
    results = make(tmp_path / "s", "finished")
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.read_row_group", None)
    monkeypatch.setattr("pyarrow.parquet.ParquetFile.iter_batches", None)
    assert results.sql("select count(*) as k from history")["k"].tolist() == [sum(5 + i for i in range(20))]


@needs_duckdb
def test_a_store_that_is_compacted_meanwhile_and_results_of_a_frame_answer(tmp_path: Path) -> None:
    results = make(tmp_path / "s", "mixed")
    make_store(tmp_path / "s", [record(20)])
    assert results.sql("select count(*) as k from runs")["k"].tolist() == [20]
    frame = pd.DataFrame({"problem": "a", "algorithm": "b", "evaluation": [0, 1], "fun": [5.0, 1.0]})
    assert Results.from_frame(frame).sql("select min(fun) as low from history")["low"].tolist() == [1.0]
    make_store(tmp_path / "empty", [], finish=False)
    assert list(Results(tmp_path / "empty").sql("select * from history").columns) == TABLES["history"].names


@needs_duckdb
@pytest.mark.parametrize("query", ["select nothing from runs", "selct", "select * from results", "select ? from runs"])
def test_a_query_that_cannot_be_answered_is_an_error_in_words(tmp_path: Path, query: str) -> None:
    make_store(tmp_path / "s", [record(0)])
    results = Results(tmp_path / "s")
    with pytest.raises(InvalidInputError, match="the query can't be answered: "):
        results.sql(query)


def test_without_duckdb_the_extra_is_named(tmp_path: Path, monkeypatch) -> None:
    make_store(tmp_path / "s", [record(0)])
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'optcore\[sql\]'"):
        Results(tmp_path / "s").sql("select 1")
