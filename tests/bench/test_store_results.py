"""Reading a store: filters, index, unfinished stores, errors in words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from optcore.errors import InvalidInputError, UnknownNameError
from optcore_bench.store import DamagedStoreError, Results, StoreNotFoundError, StoreVersionError, StoreWriter, sources
from optcore_bench.store.schema import TABLES
from tests.bench.store_records import make_store, record, rows

STATES = pytest.mark.parametrize("state", ["finished", "log", "segments", "mixed"])


def store(path, state: str, records) -> Results:
    half = len(records) // 2
    if state == "mixed":
        make_store(path, records[:half])
    make_store(
        path,
        records[half if state == "mixed" else 0 :],
        finish=state == "finished",
        rotate_bytes=1 if state == "segments" else 2**26,
    )
    return Results(path)


@STATES
def test_history_reads_by_run_problem_algorithm_and_derivative(tmp_path, state) -> None:
    records = [record(i, k=5 + i, derivative=("forward", "central")[i % 2]) for i in range(20)]
    results = store(tmp_path / "s", state, records[::-1])
    runs = results.runs
    for filters in (
        {"run_id": f"{11:016x}"},
        {"run_id": [f"{11:016x}", f"{3:016x}"]},
        {"problem": "up3"},
        {"problem": "made/up3"},
        {"algorithm": ["solver0", "solver2"]},
        {"derivative": "central"},
        {"problem": "up1", "algorithm": "solver1", "derivative": "forward"},
        {"problem": "up1", "algorithm": "solver1", "derivative": "central"},
        {},
    ):
        chosen = runs
        for name, value in filters.items():
            names = [value] if isinstance(value, str) else value
            chosen = chosen[chosen[name].isin([text.removeprefix("made/") for text in names])]
        expected = [(run_id, evaluation) for run_id in chosen["run_id"] for evaluation in range(5 + int(run_id, 16))]
        for found in (results.history(**filters), results.clock(**filters)):
            assert list(zip(found["run_id"], found["evaluation"], strict=True)) == expected
        by_run = {entry.run["run_id"]: entry.history for entry in records}
        fun = [by_run[run_id].fun[evaluation] for run_id, evaluation in expected]
        np.testing.assert_array_equal(results.history(**filters)["fun"], fun)
        stop = [round(by_run[run_id].stop[evaluation] * 1e9) for run_id, evaluation in expected]
        assert results.clock(**filters)["stop"].tolist() == stop


@STATES
def test_runs_and_timings_are_sorted_alike_in_every_state(tmp_path, state) -> None:
    results = store(tmp_path / "s", state, [record(i) for i in (5, 19, 0, 7, 14, 1)])
    keys = ["suite", "problem", "start", "noise", "algorithm", "derivative", "run_id"]
    pd.testing.assert_frame_equal(results.runs, results.runs.sort_values(keys, ignore_index=True))
    assert results.timings["run_id"].tolist() == results.runs["run_id"].tolist()
    assert results.finished is (state == "finished")


def test_one_run_of_many_is_read_by_one_row_group(tmp_path, monkeypatch) -> None:
    make_store(tmp_path / "s", [record(i, k=1000, n=1) for i in range(100)])
    (path,) = (tmp_path / "s" / "history").iterdir()
    assert pq.ParquetFile(path).metadata.num_row_groups == 5
    read = []
    real = pq.ParquetFile.read_row_group
    scan = pq.ParquetFile.iter_batches
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda self, i, **k: read.append(i) or real(self, i, **k))
    monkeypatch.setattr(pq.ParquetFile, "iter_batches", lambda self, **k: read.append("all") or scan(self, **k))
    results = Results(tmp_path / "s")
    run_id = results.runs["run_id"][50]
    assert len(results.history(run_id=run_id)) == 1000
    assert read == [2]


@pytest.mark.parametrize("harm", ["missing", "damaged", "of another segment", "incomplete"])
def test_a_useless_index_is_computed_again(tmp_path, harm) -> None:
    make_store(tmp_path / "s", [record(i, k=i) for i in range(10)])
    expected = Results(tmp_path / "s").history(run_id=f"{7:016x}")
    index = tmp_path / "s" / "derived" / "index.parquet"
    if harm == "missing":
        index.unlink()
    elif harm == "damaged":
        index.write_bytes(index.read_bytes()[:-20])
    else:
        table = pq.read_table(index)
        metadata = dict(table.schema.metadata)
        if harm == "of another segment":
            metadata[b"optcore.of"] = json.dumps("part-0099-abcdef").encode()
        pq.write_table(table.slice(0, 3).replace_schema_metadata(metadata), index)
    found = Results(tmp_path / "s").history(run_id=f"{7:016x}")
    pd.testing.assert_frame_equal(found.drop(columns="x"), expected.drop(columns="x"))
    assert len(found) == 7


@pytest.mark.parametrize("finish", [True, False])
def test_a_store_without_runs_gives_empty_frames_with_all_columns(tmp_path, finish) -> None:
    make_store(tmp_path / "s", [], finish=finish)
    results = Results(tmp_path / "s")
    for name, frame in {
        "runs": results.runs,
        "timings": results.timings,
        "history": results.history(),
        "clock": results.clock(problem="nothing ran yet"),
    }.items():
        assert list(frame.columns) == TABLES[name].names
        assert len(frame) == 0
    assert len(results.digest) == 64
    assert "0 runs" in repr(results)


def test_columns_can_be_chosen(tmp_path) -> None:
    make_store(tmp_path / "s", [record(0)])
    results = Results(tmp_path / "s")
    assert list(results.history(columns=["fun", "run_id"]).columns) == ["fun", "run_id"]
    assert list(results.clock(columns=["stop"]).columns) == ["stop"]
    with pytest.raises(UnknownNameError, match="unknown column of history 'bst'; did you mean 'best'"):
        results.history(columns=["bst"])


def test_an_unknown_name_in_a_filter_suggests_the_nearest(tmp_path) -> None:
    make_store(tmp_path / "s", [record(i) for i in range(8)])
    results = Results(tmp_path / "s")
    with pytest.raises(UnknownNameError, match="unknown algorithm 'solvr1'; did you mean 'solver1'"):
        results.history(algorithm="solvr1")
    with pytest.raises(UnknownNameError, match="unknown problem 'made/up9'"):
        results.clock(problem=["up1", "made/up9"])


def test_what_is_changed_in_a_frame_does_not_change_the_results(tmp_path) -> None:
    make_store(tmp_path / "s", [record(0)])
    results = Results(tmp_path / "s")
    frame = results.runs
    frame.loc[0, "problem"] = "other"
    assert results.runs["problem"].tolist() == ["up0"]


def test_the_study_and_the_manifest_are_readable(tmp_path) -> None:
    make_store(tmp_path / "s", [record(0)])
    results = Results(str(tmp_path / "s"))
    assert results.study == {"name": "made-up", "problems": ["made/up"]}
    assert results.path == tmp_path / "s"
    assert results.manifest["schema"] == "1"
    assert results.manifest["command"] == "pytest"
    assert results.manifest["environment"] == {"python": "3"}
    assert results.manifest["created"] <= results.manifest["finished"]
    assert results.manifest["digest"] == results.digest


def test_opening_a_store_that_is_not_there_says_how_to_make_one(tmp_path) -> None:
    path = tmp_path / "nothing"
    for open_ in (Results, StoreWriter):
        with pytest.raises(FileNotFoundError) as caught:
            open_(path)
        assert isinstance(caught.value, StoreNotFoundError)
        assert str(caught.value) == f"there is no store at '{path}'; make one with: optcore run STUDY --store {path}"
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreNotFoundError, match="there is no store at"):
        Results(tmp_path / "file")


def test_a_store_of_a_newer_version_is_refused_in_words(tmp_path) -> None:
    make_store(tmp_path / "s", [record(0)])
    manifest = tmp_path / "s" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"schema": "1"', '"schema": "2"'))
    for open_ in (Results, StoreWriter):
        with pytest.raises(
            StoreVersionError, match=r"schema version 2, but this optcore reads versions up to 1; upgrade"
        ):
            open_(tmp_path / "s")


def test_a_file_of_a_newer_version_is_refused_in_words(tmp_path) -> None:
    make_store(tmp_path / "s", [record(0)])
    (path,) = (tmp_path / "s" / "runs").iterdir()
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"optcore.schema": b"3"}), path)
    with pytest.raises(StoreVersionError, match=r"runs/part-.*parquet' has schema version 3"):
        _ = Results(tmp_path / "s").runs


def test_a_file_that_lacks_a_column_or_is_not_ours_is_named(tmp_path) -> None:
    make_store(tmp_path / "s", [record(0)])
    (path,) = (tmp_path / "s" / "history").iterdir()
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["best"]), path)
    with pytest.raises(DamagedStoreError, match=r"history/part-.* is damaged \(it has no column best\)"):
        Results(tmp_path / "s").history()
    pq.write_table(table.replace_schema_metadata(None), path)
    with pytest.raises(DamagedStoreError, match=r"history/part-.* does not say which schema version it has"):
        Results(tmp_path / "s").history()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": null}', "\udcff"])
def test_a_damaged_manifest_is_named(tmp_path, text) -> None:
    make_store(tmp_path / "s", [record(0)])
    (tmp_path / "s" / "manifest.json").write_text(text, errors="surrogateescape")
    with pytest.raises(DamagedStoreError, match=r"manifest\.json' does not say which schema version"):
        Results(tmp_path / "s")


def test_a_damaged_study_is_named(tmp_path) -> None:
    make_store(tmp_path / "s", [record(0)])
    (tmp_path / "s" / "study.toml").write_text("name = ")
    with pytest.raises(DamagedStoreError, match=r"study\.toml' can't be read"):
        _ = Results(tmp_path / "s").study


def test_repr_is_one_line_and_html_is_a_table(tmp_path) -> None:
    path = tmp_path / "a&b"
    make_store(path, [record(i, status=("converged", "error")[i % 2]) for i in range(3)])
    results = Results(path)
    assert repr(results) == f"Results('{path}': 3 runs, 3 problems, 1 algorithm, 1 derivative)"
    page = results._repr_html_()
    assert page.startswith("<table>")
    assert "a&amp;b" in page
    assert "converged: 2, error: 1" in page
    make_store(path, [record(7)], finish=False)
    assert repr(Results(path)).endswith("4 runs, 3 problems, 2 algorithms, 1 derivative; unfinished)")


def test_histories_of_others_become_results(tmp_path) -> None:
    ours = [record(i, k=9, n=2, suite="", study="") for i in range(4)]
    frame = pd.concat(
        pd.DataFrame(
            {
                "problem": entry.run["problem"],
                "algorithm": entry.run["algorithm"],
                "derivative": "forward",
                "evaluation": np.arange(1, 10),
                "fun": entry.history.fun,
                "task": ["fun" if code == 0 else "jac" if code == 1 else "numdiff" for code in entry.history.task],
                "batch": entry.history.batch,
                "seconds": entry.history.stop,
                "n": 2,
            }
        )
        for entry in ours
    ).sample(frac=1.0, random_state=1)
    make_store(tmp_path / "s", ours)
    theirs, stored = Results.from_frame(frame), Results(tmp_path / "s")
    assert theirs.path is None
    assert theirs.study == theirs.manifest == {}
    assert theirs.finished
    columns = ["evaluation", "task", "batch", "fun", "best"]
    left, right = (results.history(problem="up2")[columns] for results in (theirs, stored))
    pd.testing.assert_frame_equal(left, right, check_categorical=False)
    assert theirs.clock(problem="up2")["stop"].tolist() == stored.clock(problem="up2")["stop"].tolist()
    run = theirs.runs.iloc[0]
    assert (run["n"], run["n_fun_evals"], run["n_jac_evals"], run["n_numdiff_evals"]) == (2, 7, 2, 4)
    assert run["n_batches"] == 3
    assert run["f_start"] == ours[0].history.fun[0]
    assert "from a data frame: 4 runs" in repr(theirs)
    assert "from a data frame" in theirs._repr_html_()


def test_a_frame_that_lacks_a_column_or_has_an_odd_task_is_refused() -> None:
    frame = pd.DataFrame({"problem": "a", "algorithm": "b", "evaluation": [0], "fun": [1.0]})
    with pytest.raises(
        InvalidInputError, match="needs the columns problem, algorithm, evaluation, fun; this one lacks fun"
    ):
        Results.from_frame(frame.drop(columns="fun"))
    with pytest.raises(UnknownNameError, match="unknown task 'func'; did you mean 'fun'"):
        Results.from_frame(frame.assign(task="func"))


def test_from_frame_keeps_nan_of_other_histories_and_noise_free_values() -> None:
    frame = pd.DataFrame({"problem": "a", "algorithm": "b", "evaluation": [0, 1], "fun": [5.0, 1.0]})
    frame["fun_true"] = [4.0, 3.0]
    results = Results.from_frame(frame)
    assert results.history()["best"].tolist() == [4.0, 3.0]
    assert results.runs["f_start"].tolist() == [4.0]


def test_from_frame_counts_no_value_that_the_given_best_so_far_does_not() -> None:
    frame = pd.DataFrame({"problem": "a", "algorithm": "b", "evaluation": range(4), "fun": [5.0, 1.0, 4.0, 3.0]})
    frame["best"] = [5.0, 5.0, 4.0, 3.0]
    results = Results.from_frame(frame)
    assert results.history()["best"].tolist() == [5.0, 5.0, 4.0, 3.0]
    assert results.runs["f_best"].tolist() == [3.0]
    without = Results.from_frame(frame.assign(best=np.nan))
    assert without.history()["best"].tolist() == [5.0, 1.0, 1.0, 1.0]


def test_a_frame_of_no_rows_gives_no_runs() -> None:
    frame = pd.DataFrame({name: [] for name in ("problem", "algorithm", "evaluation", "fun")})
    assert len(Results.from_frame(frame).runs) == 0


def test_run_ids_that_were_cut_from_others_stay_apart(tmp_path) -> None:
    """Runs whose rows touch and whose ids share a beginning are not mixed up."""
    make_store(tmp_path / "s", [record(i, k=2, run_id="a" * (i + 1), history=rows(2, 1, i)) for i in range(4)])
    for i in range(4):
        found = Results(tmp_path / "s").history(run_id="a" * (i + 1))
        assert found["fun"].tolist() == rows(2, 1, i).fun.tolist()


def test_arrow_reads_the_types_that_the_schema_names(tmp_path) -> None:
    make_store(tmp_path / "s", [record(0)])
    for table, schema in TABLES.items():
        (path,) = (tmp_path / "s" / table).iterdir()
        assert pq.read_schema(path).remove_metadata().equals(pa.schema(list(schema)))


def test_a_published_folder_is_not_taken_for_a_store_without_runs():
    folder = Path(__file__).parents[2] / "results" / "quick"
    with pytest.raises(StoreNotFoundError, match=r"is a published folder, which has no evaluations: .*optcore run"):
        Results(folder)


@pytest.mark.parametrize("table", ["history", "timings", "clock"])
def test_a_file_that_is_gone_is_named_with_what_to_do(tmp_path, table) -> None:
    make_store(tmp_path / "s", [record(0)])
    (gone,) = (tmp_path / "s" / table).glob("*.parquet")
    gone.unlink()

    def read() -> object:
        results = Results(tmp_path / "s")
        return results.timings, results.history(), results.clock()

    with pytest.raises(DamagedStoreError) as caught:
        read()
    assert str(caught.value) == (
        f"'{gone}' is missing; restore it from a copy, or remove the store and run the study again"
    )


@pytest.mark.parametrize("name", ["manifest.json", "study.toml", "runs"])
def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch, name) -> None:
    root = tmp_path / "s"
    make_store(root, [record(0)])
    forbidden = next((root / "runs").glob("*.parquet")) if name == "runs" else root / name
    read_text, open_file = Path.read_text, sources.pq.ParquetFile

    def refuse(path: object) -> None:
        if str(path) == str(forbidden):
            raise PermissionError(13, "Permission denied", str(path))

    # The user that runs the tests may be one that may read everything.
    monkeypatch.setattr(Path, "read_text", lambda path, **options: refuse(path) or read_text(path, **options))
    monkeypatch.setattr(sources.pq, "ParquetFile", lambda path, **options: refuse(path) or open_file(path, **options))

    def read() -> object:
        results = Results(root)
        return results.runs, results.study

    with pytest.raises(DamagedStoreError) as caught:
        read()
    expected = f"'{forbidden}' can't be read (permission denied); make it readable, or ask whom it belongs to"
    assert str(caught.value) == expected
