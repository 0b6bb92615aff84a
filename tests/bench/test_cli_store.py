"""`optcore store`: exit statuses and sentences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from optcore_bench.cli import app
from optcore_bench.costs import freeze_reference
from optcore_bench.store import Results, StoreWriter
from tests.bench.store_records import MANIFEST, STUDY, make_store, record
from tests.bench.test_store_check import edited, files, only


def optcore(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["store", *map(str, arguments)])


@pytest.fixture
def store(tmp_path: Path) -> Path:
    make_store(tmp_path / "s", [record(i) for i in range(6)])
    return tmp_path / "s"


def test_check_says_sound_and_exits_0(store: Path, tmp_path: Path) -> None:
    done = optcore("check", store)
    assert (done.exit_code, done.stdout) == (0, f"{store}: sound\n")
    done = optcore("check", store, "--json")
    assert json.loads(done.stdout) == {"store": str(store), "sound": True, "findings": []}
    assert optcore("check", store, "--repair").exit_code == 0
    optcore("export", store, tmp_path / "a.zip")
    assert optcore("check", tmp_path / "a.zip").stdout == f"{tmp_path / 'a.zip'}: sound\n"


def test_check_names_what_is_wrong_and_repairs_what_can_be(store: Path) -> None:
    only(store, "derived").write_bytes(b"")
    (store / "runs" / "mine.txt").touch()
    edited(store / "manifest.json", digest="0" * 64)
    done = optcore("check", store)
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert "foreign: 'runs/mine.txt' is no file of this store; move it elsewhere" in lines
    assert (
        "stale: 'derived/index.parquet' does not say where the rows of the runs are; it can be computed again" in lines
    )
    assert lines[-1] == f"{store}: 3 problems, --repair mends 2 of them"
    done = optcore("check", store, "--repair", "--json")
    assert done.exit_code == 1
    found = {row["file"]: (row["problem"], row["repaired"]) for row in json.loads(done.stdout)["findings"]}
    assert found == {
        "derived/index.parquet": ("stale", True),
        "runs/mine.txt": ("foreign", False),
        "manifest.json": ("stale", True),
    }
    assert list(json.loads(done.stdout)) == ["store", "sound", "findings"]
    (store / "runs" / "mine.txt").unlink()
    only(store, "derived").unlink()
    done = optcore("check", store, "--repair")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == f"{store}: 1 problem repaired; sound now"
    assert optcore("check", store).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "nowhere"], "there is no store at"),
        (["merge", "out", "nowhere"], "there is no store at"),
        (["merge", "s", "s"], "there is something at"),
        (["merge", "out", "s", "s"], "given twice"),
        (["export", "nowhere", "out"], "there is no store at"),
        (["export", "nowhere", "out.zip"], "there is no store at"),
        (["export", "s", "s"], "there is something at"),
        (["export", "s", "out.zip", "--history"], "holds all tables anyway"),
        (["import", "nowhere.zip", "out"], "there is no file 'nowhere.zip'"),
        (["import", "text.txt", "out"], "is neither a bundle (.zip) nor histories (.csv, .parquet)"),
        (["import", "wrong.csv", "out"], "this one lacks algorithm, evaluation, fun"),
        (["import", "low.csv", "out"], "column 'fun' must hold numbers, but holds 'low' in row 2"),
        (
            ["import", "points.csv", "out"],
            "column 'x' must hold JSON lists such as '[0.1, 2.0]', but holds '[1,2' in row 2",
        ),
        (["import", "wrong.parquet", "out"], "'wrong.parquet' can't be read"),
        (["import", "wrong.zip", "out"], "is no sound bundle"),
        (["check", "wrong.zip"], "is no sound bundle"),
        (["check", "wrong.zip", "--repair"], "unpack it with: optcore store import wrong.zip STORE"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_2(store: Path, monkeypatch, arguments: list[str], words: str) -> None:
    monkeypatch.chdir(store.parent)
    for name in ("text.txt", "wrong.csv", "wrong.parquet", "wrong.zip"):
        Path(name).write_text("problem\nrosenbrock\n")
    Path("points.csv").write_text('problem,algorithm,evaluation,fun,x\np,a,0,1.0,"[1,2]"\np,a,1,0.5,"[1,2"\n')
    Path("low.csv").write_text("problem,algorithm,evaluation,fun\np,a,0,1.0\np,a,1,low\n")
    before = files(store.parent)
    done = optcore(*arguments)
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert files(store.parent) == before


def test_merge_says_what_it_made_and_refuses_with_exit_3(store: Path, tmp_path: Path) -> None:
    make_store(tmp_path / "t", [record(i) for i in range(4, 9)])
    done = optcore("merge", tmp_path / "out", store, tmp_path / "t")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        "9 runs, 2 of them in more than one store",
        f"digest {Results(tmp_path / 'out').digest}",
        f"store {tmp_path / 'out'}",
    ]
    for name, number in (("frozen", 20), ("otherwise", 27)):
        make_store(tmp_path / name, [record(number, f_opt=None, f_best=float(number))])
        freeze_reference(Results(tmp_path / name))
    done = optcore("merge", tmp_path / "both", tmp_path / "frozen", tmp_path / "otherwise")
    assert done.stdout.splitlines()[1].startswith("warning: f_L of made/up6 was frozen as 20.0 in ")
    StoreWriter(tmp_path / "rules", study=STUDY + "seed = 3\n", manifest=MANIFEST).finish()
    StoreWriter(tmp_path / "other", study=STUDY, manifest={"environment": {"python": "4"}}).close()
    for name, words in (("rules", "different rules (seed None and 3)"), ("other", "(python '3' and '4')")):
        done = optcore("merge", tmp_path / "no", store, tmp_path / name)
        assert done.exit_code == 3
        assert words in done.stderr
        assert not (tmp_path / "no").exists()
    done = optcore("merge", tmp_path / "mixed", store, tmp_path / "other", "--allow-mixed", "--json")
    facts = json.loads(done.stdout)
    assert (facts["runs"], facts["finished"]) == (6, False)
    make_store(tmp_path / "changed", [record(3, f_best=2.0)])
    done = optcore("merge", tmp_path / "no", store, tmp_path / "changed")
    assert done.exit_code == 2
    assert "run '0000000000000003'" in done.stderr


def test_export_and_import_go_round(store: Path, tmp_path: Path) -> None:
    done = optcore("export", store, tmp_path / "csv", "--history")
    assert done.stdout.split() == [str(tmp_path / "csv" / f"{n}.csv") for n in ("runs", "history", "timings", "clock")]
    assert optcore("export", store, tmp_path / "a.zip", "--json").exit_code == 0
    done = optcore("import", tmp_path / "a.zip", tmp_path / "again")
    assert done.stdout.splitlines()[:2] == ["6 runs", f"digest {Results(store).digest}"]
    assert files(tmp_path / "again") == files(store)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_histories_of_others_become_a_store_with_a_report(tmp_path: Path, kind: str) -> None:
    rows = [
        {"problem": problem, "algorithm": algorithm, "evaluation": i, "fun": 100.0 / (i + 1) ** power, "n": 2}
        for problem in ("p", "q")
        for algorithm, power in (("None", 3), ("NA", 2))
        for i in range(50)
    ]
    frame = pd.DataFrame(rows)
    path = tmp_path / f"theirs.{kind}"
    frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    done = optcore("import", path, tmp_path / "s")
    assert done.exit_code == 0, done.output
    assert set(Results(tmp_path / "s").runs["algorithm"]) == {"None", "NA"}
    assert optcore("check", tmp_path / "s").exit_code == 0
    done = CliRunner().invoke(app, ["report", str(tmp_path / "s")])
    assert done.exit_code == 0, done.output
    assert "<html" in (tmp_path / "s" / "report.html").read_text(encoding="utf-8")
    assert optcore("export", tmp_path / "s", tmp_path / "theirs.zip").exit_code == 0
    done = CliRunner().invoke(app, ["report", str(tmp_path / "theirs.zip")])
    assert done.stdout == f"report {tmp_path / 'theirs.html'}\n"
    done = CliRunner().invoke(app, ["show", str(tmp_path / "theirs.zip")])
    assert "4 runs, finished" in done.stdout
