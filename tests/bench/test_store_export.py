"""What is exported says the same elsewhere, and proves it."""

from __future__ import annotations

import csv
import json
import random
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest

from optcore_bench.store import DamagedStoreError, Results, StoreError, check
from optcore_bench.store.export import export_bundle, export_csv, unpack
from tests.bench.store_records import make_store, record
from tests.bench.test_store_check import files

TEXT = pyarrow.csv.ConvertOptions(column_types={"run_id": pa.string(), "x": pa.string()})


@pytest.fixture
def store(tmp_path: Path) -> Path:
    odd = record(0, k=12, message='said "no",\nand left', f_best=float("nan"), f_start=None)
    odd.history.fun[:4] = [np.inf, -np.inf, -0.0, 5e-324]
    noisy = record(1, k=12, n=2)
    make_store(
        tmp_path / "s",
        [odd, record(1, k=12, n=2, fun_true=noisy.history.fun + 0.1), record(2, k=0), record(3, keep_x=False)],
    )
    return tmp_path / "s"


def test_csv_holds_every_number_exactly(store: Path, tmp_path: Path) -> None:
    results = Results(store)
    paths = export_csv(store, tmp_path / "csv", history=True)
    assert [path.name for path in paths] == ["runs.csv", "history.csv", "timings.csv", "clock.csv"]
    assert sorted(path.name for path in (tmp_path / "csv").iterdir()) == sorted(path.name for path in paths)
    history = pyarrow.csv.read_csv(tmp_path / "csv" / "history.csv", convert_options=TEXT).to_pandas()
    expected = results.history()
    for name in ("fun", "fun_true", "best"):
        assert history[name].to_numpy().tobytes() == expected[name].to_numpy().tobytes()
    for name in ("run_id", "evaluation", "task", "batch"):
        assert history[name].tolist() == expected[name].tolist()
    for text, x in zip(history["x"], expected["x"], strict=True):
        assert x is None if not text else json.loads(text) == x.tolist()
    with (tmp_path / "csv" / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(results.runs.columns)
    assert rows[0]["message"] == 'said "no",\nand left'
    assert (rows[0]["f_best"], rows[0]["f_start"], rows[0]["m"]) == ("nan", "", "")
    clock = pyarrow.csv.read_csv(tmp_path / "csv" / "clock.csv", convert_options=TEXT).to_pandas()
    pd.testing.assert_frame_equal(clock, results.clock().astype(clock.dtypes), check_categorical=False)


def test_csv_is_runs_and_timings_unless_asked_and_never_half(store: Path, tmp_path: Path, monkeypatch) -> None:
    export_csv(store, tmp_path / "csv")
    assert sorted(path.name for path in (tmp_path / "csv").iterdir()) == ["runs.csv", "timings.csv"]
    with pytest.raises(StoreError, match=r"there is something at '.*/csv' already"):
        export_csv(store, tmp_path / "csv")
    history = next(iter((store / "history").iterdir()))
    history.write_bytes(history.read_bytes()[:200])
    with pytest.raises(DamagedStoreError):
        export_csv(store, tmp_path / "other", history=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["csv", "s"]


def test_a_bundle_has_the_same_bytes_for_the_same_store_wherever_it_is(store: Path, tmp_path: Path) -> None:
    (store / "report.html").write_text("<html>")
    (store / "notes.txt").write_text("mine")
    first = export_bundle(store, tmp_path / "a.zip")
    shutil.copytree(store, tmp_path / "deep" / "er")
    second = export_bundle(tmp_path / "deep" / "er", tmp_path / "new" / "b.zip")
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        names = [name.partition("/")[2] for name in archive.namelist()]
        assert {name.partition("/")[0] for name in archive.namelist()} == {"made-up"}
    assert set(names) == (set(files(store)) | {"SHA256SUMS"}) - {"notes.txt"}
    with pytest.raises(StoreError, match=r"there is something at '.*/a.zip' already"):
        export_bundle(store, first)


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="there is no sha256sum")
def test_sha256sum_accepts_the_sums(store: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(export_bundle(store, tmp_path / "a.zip"), tmp_path / "out")
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=tmp_path / "out" / "made-up", capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(": OK\n") == len(files(store))


@pytest.mark.parametrize("finish", [True, False])
def test_a_bundle_opens_like_the_store_and_leaves_nothing_behind(tmp_path: Path, monkeypatch, finish: bool) -> None:
    make_store(tmp_path / "s", [record(i) for i in range(9)], finish=finish)
    bundle = export_bundle(tmp_path / "s", tmp_path / "a.zip")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    results, original = Results(bundle), Results(tmp_path / "s")
    assert len(list(tmp_path.iterdir())) == len(before) + 1
    assert results.path == bundle
    assert (results.study, results.manifest, results.digest) == (original.study, original.manifest, original.digest)
    pd.testing.assert_frame_equal(results.runs, original.runs)
    pd.testing.assert_frame_equal(results.history(), original.history())
    assert str(bundle) in repr(results)
    del results
    assert sorted(tmp_path.iterdir()) == before
    unpack(bundle, tmp_path / "again")
    assert files(tmp_path / "again") == files(tmp_path / "s")
    assert check(tmp_path / "again") == []


def test_damage_anywhere_in_a_bundle_is_found(store: Path, tmp_path: Path, monkeypatch) -> None:
    bundle = export_bundle(store, tmp_path / "a.zip")
    content = bundle.read_bytes()
    original = files(store)
    chance = random.Random(0)
    said: list[str] = []
    for i in range(120):
        damaged = bytearray(content)
        bit = chance.randrange(8 * len(content))
        damaged[bit // 8] ^= 1 << bit % 8
        bundle.write_bytes(damaged if i % 2 else content[: bit // 8])
        try:
            unpack(bundle, tmp_path / "out")
        except DamagedStoreError as error:
            said.append(str(error))
        else:  # such as a flipped bit in the time of an entry
            assert files(tmp_path / "out") == original
            shutil.rmtree(tmp_path / "out")
    assert len(said) > 90
    assert all(line.startswith(f"'{bundle}' is no sound bundle (") for line in said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "s"]


@pytest.mark.parametrize("harm", ["other bytes", "one more", "one less", "no sums", "escapes", "no zip", "two folders"])
def test_a_zip_that_is_no_bundle_is_refused(store: Path, tmp_path: Path, harm: str) -> None:
    bundle, made = export_bundle(store, tmp_path / "a.zip"), tmp_path / "b.zip"
    with zipfile.ZipFile(bundle) as source, zipfile.ZipFile(made, "w") as target:
        for name in source.namelist():
            changed = harm == "other bytes" and name.endswith("study.toml")
            left_out = {"no sums": "SHA256SUMS", "one less": "study.toml"}.get(harm)
            if left_out is None or not name.endswith(left_out):
                target.writestr(name, b"name = 'x'" if changed else source.read(name))
        extra = {"one more": "made-up/more.txt", "escapes": "made-up/../../evil.txt", "two folders": "b/more.txt"}
        if harm in extra:
            target.writestr(extra[harm], b"evil")
    if harm == "no zip":
        made.write_bytes(b"no zip file at all")
    with pytest.raises(DamagedStoreError, match=r"b.zip' is no sound bundle \(.*fetch it again"):
        Results(made)
    with pytest.raises(DamagedStoreError):
        unpack(made, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "b.zip", "s"]
