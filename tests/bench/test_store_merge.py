"""Stores of parts of one study become the store of the whole study, or none."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from optcore.errors import InvalidInputError
from optcore_bench import Study, cost_table, run_study
from optcore_bench.costs import freeze_reference, improved, read_reference
from optcore_bench.runner import MixedEnvironmentError, MixedStudyError
from optcore_bench.store import (
    DamagedStoreError,
    Results,
    StoreError,
    StoreNotFoundError,
    StoreWriteError,
    StoreWriter,
    check,
)
from optcore_bench.store.merge import merge
from tests.bench.store_records import MANIFEST, STUDY, make_store, record, unknown_minimum
from tests.bench.test_store_check import files, only, rewritten

RULES = 'name = "made-up"\nproblems = ["made/up"]\nalgorithms = "{0}"\nstarts = {1}\n\n[budget]\nmax_gradients = 10\n'


def records(numbers: Any, **changes: Any) -> list[Any]:
    return [record(i, k=9 + i % 3, keep_x=i % 2 > 0, **changes) for i in numbers]


@pytest.mark.parametrize("state", [{}, {"finish": False}, {"finish": False, "rotate_bytes": 1}], ids=str)
def test_shards_in_any_state_and_order_have_the_digest_of_the_undivided_study(tmp_path: Path, state: Any) -> None:
    make_store(tmp_path / "whole", records(range(30)))
    parts = [tmp_path / f"part{i}" for i in range(3)]
    for i, part in enumerate(parts):
        make_store(part, records(range(i, 30, 3)), **state)
    before = [files(part) for part in parts]
    whole = Results(tmp_path / "whole")
    for number, order in enumerate(([0, 1, 2], [2, 0, 1])):
        merged = merge(tmp_path / f"out{number}", [parts[i] for i in order])
        results = Results(merged.path)
        assert (merged.runs, merged.repeated, merged.digest) == (30, 0, whole.digest)
        assert merged.finished is results.finished is (state == {})
        assert results.manifest["digest"] == (whole.digest if merged.finished else None)
        pd.testing.assert_frame_equal(results.runs, whole.runs)
        pd.testing.assert_frame_equal(results.timings, whole.timings)
        pd.testing.assert_frame_equal(results.history(), whole.history())
        pd.testing.assert_frame_equal(results.clock(), whole.clock())
        assert check(merged.path) == []
        assert [entry["store"] for entry in results.manifest["merged"]] == [f"part{i}" for i in order]
        assert (merged.path / "study.toml").read_text() == STUDY
    assert [files(part) for part in parts] == before
    assert len(list(tmp_path.iterdir())) == 6


def test_real_shards_merge_to_the_study(tmp_path: Path) -> None:
    given: dict[str, Any] = {"name": "both", "problems": ["more_wild/rosenbrock"], "derivatives": ["analytic"]}
    names = ["scipy_lbfgsb", "scipy_bfgs"]
    both = Study(algorithms=names, **given)
    whole = run_study(both, tmp_path / "whole")
    for name in names:
        run_study(Study(algorithms=[name], **given), tmp_path / name)
    merged = merge(tmp_path / "out", [tmp_path / "scipy_lbfgsb", tmp_path / "scipy_bfgs"])
    assert merged.digest == whole.manifest["digest"]
    assert Results(merged.path).study == whole.study
    again = run_study(both, merged.path)
    assert again.manifest == Results(merged.path).manifest
    assert again.manifest["digest"] == merged.digest


def test_what_the_parts_have_frozen_stays_frozen(tmp_path: Path) -> None:
    parts = {"a": {0: 2.0, 1: 3.0, 2: 5.0}, "b": {7: 2.0, 8: 4.0, 10: 6.0}, "c": {14: 1.0, 15: 7.0, 16: 0.5}}
    for name, values in parts.items():  # runs 7 apart are of one problem
        make_store(tmp_path / name, [unknown_minimum(i, value) for i, value in values.items()])
        if name != "c":
            freeze_reference(Results(tmp_path / name))
    merged = merge(tmp_path / "out", [tmp_path / name for name in parts])
    assert merged.note == (
        f"f_L of made/up1 was frozen as 3.0 in '{tmp_path / 'a'}' and as 4.0 in '{tmp_path / 'b'}'; no such value is "
        "taken over: the best of all runs counts until `optcore run` freezes it"
    )
    results = Results(merged.path)
    for found in (results, Results(results.save(tmp_path / "saved"))):
        frozen = read_reference(found)
        assert frozen[["problem", "n", "f_opt", "solver"]].values.tolist() == [
            ["up0", 3.0, 2.0, "solver0 [forward]"],
            ["up2", 3.0, 5.0, "solver0 [forward]"],
            ["up3", 3.0, 6.0, "solver1 [forward]"],
        ]
    sources = cost_table(results).attrs["f_opt_source"]
    assert sources["made/up0"] == "frozen: best of solver0 [forward]"  # which the runs of c that beat it don't change
    assert sources["made/up1"] == "best of the compared runs"
    assert improved(results)["row"].tolist() == ["made/up0", "made/up2"]
    assert check(merged.path) == []
    assert freeze_reference(results).set_index("problem")["f_opt"].to_dict() == {
        "up0": 2.0,
        "up1": 3.0,
        "up2": 5.0,
        "up3": 6.0,
    }
    one_by_one = merge(tmp_path / "two", [merge(tmp_path / "one", [tmp_path / "a"]).path, tmp_path / "c"])
    assert one_by_one.note == ""
    assert read_reference(Results(one_by_one.path))["f_opt"].tolist() == [2.0, 3.0, 5.0]


def test_several_differences_between_frozen_values_are_one_sentence_and_a_damaged_file_another(tmp_path: Path) -> None:
    for name, value in (("a", 2.0), ("b", 1.0)):
        numbers = range(3) if name == "a" else range(7, 10)
        make_store(tmp_path / name, [unknown_minimum(i, value) for i in numbers])
        freeze_reference(Results(tmp_path / name))
    merged = merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])
    assert merged.note.startswith("f_L of made/up0, one of 3 such problems, was frozen as 2.0 in ")
    assert read_reference(Results(merged.path)) is None
    (tmp_path / "b" / "derived" / "reference.parquet").write_bytes(b"PAR1")
    with pytest.raises(DamagedStoreError, match=r"/b/derived/reference.parquet', which holds f_L .*, or remove it"):
        merge(tmp_path / "no", [tmp_path / "a", tmp_path / "b"])
    assert not (tmp_path / "no").exists()


def test_kept_files_of_solvers_go_along_or_nothing_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate("ab"):
        make_store(tmp_path / name, [record(number)])
        kept = tmp_path / name / "sources" / f"{number}" / "mine.py"
        kept.parent.mkdir(parents=True)
        kept.write_text("solve = None\n")
    merged = merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])
    saved = Results(merged.path).save(tmp_path / "saved")
    for path in (merged.path, saved):
        assert sorted(found.relative_to(path / "sources").as_posix() for found in path.rglob("*.py")) == [
            "0/mine.py",
            "1/mine.py",
        ]

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copytree", full)
    with pytest.raises(StoreWriteError, match="nothing was left there"):
        merge(tmp_path / "no", [tmp_path / "a", tmp_path / "b"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out", "saved"]


def test_runs_in_several_stores_are_taken_once_if_they_are_the_same(tmp_path: Path) -> None:
    make_store(tmp_path / "a", records(range(10)))
    make_store(tmp_path / "b", records(range(5, 15)))
    make_store(tmp_path / "whole", records(range(15)))
    merged = merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])
    assert (merged.runs, merged.repeated) == (15, 5)
    assert merged.digest == Results(tmp_path / "whole").digest


@pytest.mark.parametrize(("change", "word"), [({"f_best": 2.0}, "f_best"), ({"k": 4}, "history_hash")], ids=str)
def test_a_run_that_two_stores_tell_differently_is_named(tmp_path: Path, change: Any, word: str) -> None:
    make_store(tmp_path / "a", records(range(3)))
    make_store(tmp_path / "b", [record(2, **{"k": 11, "keep_x": False, **change})])
    with pytest.raises(
        StoreError, match=rf"run '0000000000000002' \(made/up2#1 solver0 \[forward\]\).*with different .*{word}"
    ):
        merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])
    assert not (tmp_path / "out").exists()


def test_runs_that_a_clock_ended_need_not_repeat(tmp_path: Path) -> None:
    make_store(tmp_path / "a", [record(0, k=5, status="timeout")])
    make_store(tmp_path / "b", [record(0, k=7, status="timeout"), record(1)])
    assert merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"]).runs == 2
    assert len(Results(tmp_path / "out").history(run_id=f"{0:016x}")) == 5


def test_messages_are_no_difference(tmp_path: Path) -> None:
    make_store(tmp_path / "a", [record(0)])
    make_store(tmp_path / "b", [record(0, message="said otherwise")])
    assert merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"]).repeated == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("max_gradients = 20", r"budget \{'max_gradients': 10\} and \{'max_gradients': 20\}"),
        ('name = "other"', "name 'made-up' and 'other'"),
        ("seed = 3", "seed None and 3"),
    ],
)
@pytest.mark.parametrize("allow_mixed", [False, True])
def test_stores_made_under_different_rules_are_refused(
    tmp_path: Path, line: str, words: str, allow_mixed: bool
) -> None:
    text = RULES.format("a", 1)
    key = line.partition(" =")[0]
    other = "\n".join(line if old.startswith(key) else old for old in text.splitlines())
    StoreWriter(tmp_path / "a", study=text, manifest=MANIFEST).finish()
    StoreWriter(tmp_path / "b", study=other if key in text else f"{line}\n{text}", manifest=MANIFEST).finish()
    with pytest.raises(MixedStudyError, match=words):
        merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"], allow_mixed=allow_mixed)
    assert not (tmp_path / "out").exists()


def test_lists_that_differ_are_joined(tmp_path: Path) -> None:
    for name, starts in (("a", 1), ("b", 3)):
        StoreWriter(tmp_path / name, study=RULES.format(name, starts), manifest=MANIFEST).finish()
    merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])
    assert Results(tmp_path / "out").study == {
        "name": "made-up",
        "problems": ["made/up"],
        "algorithms": ["a", "b"],
        "starts": 3,
        "budget": {"max_gradients": 10},
    }


def test_different_environments_are_refused_unless_they_may_be_mixed(tmp_path: Path) -> None:
    make_store(tmp_path / "a", records(range(3)))
    other = {"python": "4", "numpy": "3"}
    with StoreWriter(tmp_path / "b", study=STUDY, manifest={"environment": other}) as writer:
        for entry in records(range(3, 6), environment="ba9876543210"):
            writer.append(entry)
        writer.finish()
    with pytest.raises(MixedEnvironmentError, match=r"numpy None and '3'; python '3' and '4'.*--allow-mixed"):
        merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])
    merged = merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"], allow_mixed=True)
    assert merged.runs == 6
    assert [entry.get("environment") for entry in Results(merged.path).manifest["merged"]] == [None, other]


def test_a_cell_that_was_run_by_different_code_is_refused_or_the_latest_is_taken(tmp_path: Path) -> None:
    for name, run_id, began in (("a", "aa", 2.0), ("b", "bb", 1.0)):
        make_store(tmp_path / name, [record(0, run_id=run_id, timings={"started_at": began})])
    with pytest.raises(MixedStudyError, match=r"different code, options or versions in .*/a' \(run 'aa'\)"):
        merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])
    merge(tmp_path / "out", [tmp_path / "b", tmp_path / "a"], allow_mixed=True)
    assert Results(tmp_path / "out").runs["run_id"].tolist() == ["aa"]


def test_a_damaged_store_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    make_store(tmp_path / "a", records(range(3)))
    make_store(tmp_path / "b", records(range(3, 6)))
    path = only(tmp_path / "b", "timings")
    rewritten(path, "timings", lambda table: table.slice(0, 2))
    with pytest.raises(DamagedStoreError, match=r"store '.*/b' can't be merged: 'timings/part-.*store check"):
        merge(tmp_path / "out", [tmp_path / "a", tmp_path / "b"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_wrong_input_is_refused(tmp_path: Path) -> None:
    make_store(tmp_path / "a", records(range(3)))
    (tmp_path / "link").symlink_to(tmp_path / "a")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="given twice"):
        merge(tmp_path / "out", [tmp_path / "a", tmp_path / "link"])
    with pytest.raises(InvalidInputError, match="nothing to merge"):
        merge(tmp_path / "out", [])
    with pytest.raises(StoreNotFoundError):
        merge(tmp_path / "out", [tmp_path / "a", tmp_path / "nowhere"])
    with pytest.raises(StoreError, match=r"there is something at '.*/full' already"):
        merge(tmp_path / "full", [tmp_path / "a"])
    assert merge(tmp_path / "empty", [tmp_path / "a"]).runs == 3
    shutil.rmtree(tmp_path / "empty")
    assert json.loads((tmp_path / "a" / "manifest.json").read_text())["schema"] == "1"
