"""A finished store is small, tidy, and holds one run of each cell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from optcore_bench.store import Results, StoreWriter, stored_run_ids, verify
from tests.bench.store_records import MANIFEST, STUDY, make_store, record


def content(path: Path) -> dict[str, bytes]:
    return {str(found.relative_to(path)): found.read_bytes() for found in path.rglob("*") if found.is_file()}


def test_a_finished_store_has_at_most_eight_files(tmp_path) -> None:
    path = tmp_path / "s"
    make_store(path, [record(i) for i in range(30)], rotate_bytes=2**13)
    (path / "report.html").write_text("<html>")
    names = sorted(content(path))
    assert len(names) == 8
    assert [name.split("/")[0] for name in names] == [
        "clock",
        "derived",
        "history",
        "manifest.json",
        "report.html",
        "runs",
        "study.toml",
        "timings",
    ]
    assert not (path / "log").exists()


def test_finishing_twice_changes_no_byte(tmp_path) -> None:
    path = tmp_path / "s"
    writer = make_store(path, [record(i) for i in range(30)], rotate_bytes=2**13)
    before = content(path)
    assert writer.finish() == 0
    assert writer.finish([f"{i:016x}" for i in range(30)]) == 0
    assert content(path) == before


def test_opening_a_finished_store_for_writing_changes_no_byte(tmp_path) -> None:
    make_store(tmp_path / "s", [record(0)])
    before = content(tmp_path / "s")
    with StoreWriter(tmp_path / "s", study=STUDY, manifest=MANIFEST):
        pass
    assert content(tmp_path / "s") == before


def test_a_finished_store_takes_more_runs_and_says_so(tmp_path) -> None:
    path = tmp_path / "s"
    make_store(path, [record(i) for i in range(5)])
    first = Results(path)
    make_store(path, [record(i) for i in range(5, 9)], finish=False)
    assert Results(path).manifest["finished"] is None
    assert Results(path).manifest["digest"] is None
    StoreWriter(path).finish()
    second = Results(path)
    assert len(second.runs) == 9
    assert second.manifest["finished"] is not None
    assert second.manifest["created"] == first.manifest["created"]
    assert second.digest != first.digest
    assert verify(path) == []


def test_a_run_that_was_appended_twice_is_there_once(tmp_path) -> None:
    path = tmp_path / "s"
    make_store(path, [record(0), record(1), record(0)])
    make_store(path, [record(1), record(2)], rotate_bytes=1, finish=False)
    make_store(path, [record(2), record(0)], finish=False)
    assert Results(path).runs["run_id"].tolist() == [f"{i:016x}" for i in range(3)]
    assert len(Results(path).history()) == 60
    assert StoreWriter(path).finish() == 0
    assert len(Results(path).history()) == len(Results(path).clock()) == 60
    assert verify(path) == []


def superseding():
    """Three runs of one cell and one of another."""
    cell = {"problem": "p", "algorithm": "a"}
    return [record(i, k=5 + i, **cell) for i in (1, 2, 3)] + [record(4, problem="q")]


@pytest.mark.parametrize("rotate", [1, 2**26], ids=["segments", "log"])
@pytest.mark.parametrize(("wanted", "left"), [(None, 3), ([1], 1), ([2, 4], 2), ([99], 3), ([1, 3], 3)])
def test_of_several_runs_of_a_cell_the_wanted_or_else_the_latest_stays(tmp_path, rotate, wanted, left) -> None:
    path = tmp_path / "s"
    ids = None if wanted is None else [f"{i:016x}" for i in wanted]
    writer = make_store(path, superseding(), finish=False, rotate_bytes=rotate)
    assert len(stored_run_ids(path)) == 4
    assert writer.finish(ids) == 2
    assert [int(run_id, 16) for run_id in Results(path).runs["run_id"]] == [left, 4]
    assert len(Results(path).history(problem="p")) == 5 + left
    assert writer.finish(ids) == 0
    assert verify(path) == []


def test_latest_means_begun_last_or_where_that_is_unknown_found_last(tmp_path) -> None:
    cell = {"problem": "p", "algorithm": "a"}
    times = {1: 300.0, 2: 100.0, 3: 200.0}
    make_store(tmp_path / "a", [record(i, timings={"started_at": t}, **cell) for i, t in times.items()])
    assert Results(tmp_path / "a").runs["run_id"].tolist() == [f"{1:016x}"]
    make_store(tmp_path / "b", [record(i, timings={}, **cell) for i in (3, 1, 2)])
    assert Results(tmp_path / "b").runs["run_id"].tolist() == [f"{2:016x}"]


def test_an_unfinished_store_shows_one_run_of_each_cell(tmp_path) -> None:
    make_store(tmp_path / "s", superseding(), finish=False)
    assert [int(run_id, 16) for run_id in Results(tmp_path / "s").runs["run_id"]] == [3, 4]
    assert len(Results(tmp_path / "s").timings) == 2


@pytest.mark.parametrize("column", ["suite", "problem", "start", "noise", "algorithm", "derivative"])
def test_runs_that_differ_in_one_part_of_the_cell_both_stay(tmp_path, column) -> None:
    value = 2 if column == "start" else "other"
    writer = make_store(
        tmp_path / "s",
        [record(0), record(7, algorithm="solver0", **{column: value})]
        if column != "algorithm"
        else [record(0), record(7)],
    )
    assert writer.finish() == 0
    assert len(Results(tmp_path / "s").runs) == 2


def test_stored_run_ids_gives_the_cell_of_each_run(tmp_path) -> None:
    make_store(tmp_path / "s", [record(8, noise={"level": 1})], finish=False)
    assert stored_run_ids(tmp_path / "s") == {f"{8:016x}": ("made", "up1", 1, '{"level":1}', "solver1", "forward")}


def test_rows_of_a_run_are_contiguous_and_sorted_by_the_cell(tmp_path) -> None:
    path = tmp_path / "s"
    order = np.random.default_rng(0).permutation(60)
    make_store(path, [record(int(i), k=4) for i in order], rotate_bytes=2**12)
    history = pd.read_parquet(path / "history", columns=["run_id", "evaluation"])
    runs = pd.read_parquet(path / "runs")
    assert history["run_id"].tolist() == np.repeat(runs["run_id"].to_numpy(), 4).tolist()
    assert history["evaluation"].tolist() == [0, 1, 2, 3] * 60
    keys = ["suite", "problem", "start", "noise", "algorithm", "derivative", "run_id"]
    pd.testing.assert_frame_equal(runs, runs.sort_values(keys, ignore_index=True))
    clock = pd.read_parquet(path / "clock")
    assert clock["run_id"].tolist() == history["run_id"].tolist()


def test_a_new_study_text_replaces_the_old_one(tmp_path) -> None:
    make_store(tmp_path / "s", [record(0)])
    StoreWriter(tmp_path / "s", study='name = "renamed"', manifest={"command": "again"})
    assert Results(tmp_path / "s").study == {"name": "renamed"}
    assert Results(tmp_path / "s").manifest["command"] == "again"
    assert len(Results(tmp_path / "s").runs) == 1


def test_a_store_made_without_a_manifest_describes_the_environment(tmp_path) -> None:
    StoreWriter(tmp_path / "s", study=STUDY)
    manifest = Results(tmp_path / "s").manifest
    assert manifest["environment"]["numpy"] == np.__version__
    assert manifest["provenance"]["packages"]["numpy"] == np.__version__


def test_the_manifest_of_the_caller_may_hold_paths_and_times(tmp_path) -> None:
    StoreWriter(tmp_path / "s", study=STUDY, manifest={"folder": tmp_path, "level": float("inf")})
    assert Results(tmp_path / "s").manifest["folder"] == str(tmp_path)
