"""A full disk or a store that may not be written: a sentence, nothing half written, and the same command goes on."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from optcore_bench.cli import app
from optcore_bench.store import Results, StoreWriteError, StoreWriter, check, stored_run_ids
from optcore_bench.store.export import export_bundle, export_csv
from optcore_bench.store.merge import merge
from tests.bench.store_records import make_store, record
from tests.bench.test_store_check import files

ROOT = Path(__file__).parents[2]
RUNS = 40

# Appends and finishes until something can't be written; says what was stored and what was said.
WRITE = """
import resource, sys
from optcore_bench.store import StoreWriter, StoreWriteError
from tests.bench.store_records import MANIFEST, STUDY, record
path, limit, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    writer = StoreWriter(path, study=STUDY, manifest=MANIFEST)
    for number in range(runs):
        writer.append(record(number, k=100))
        print(number)
    writer.finish()
except StoreWriteError as error:
    print(error)
"""


def write(path: Path, limit: int = 0) -> list[str]:
    command = [sys.executable, "-c", WRITE, str(path), str(limit), str(RUNS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@contextlib.contextmanager
def mounted(path: Path, size: int) -> Iterator[Path]:
    """A small disk of its own."""
    path.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)], capture_output=True)
    if made.returncode:
        pytest.skip(f"can't mount a file system: {made.stderr.decode().strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def temporary(path: Path) -> list[Path]:
    return [found for found in path.rglob("*") if found.name.endswith(".tmp")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Results:
    path = tmp_path_factory.mktemp("whole") / "s"
    make_store(path, [record(i, k=100) for i in range(RUNS)])
    return Results(path)


# From less than a manifest to enough for the log and not for the history: each step fails somewhere.
@pytest.mark.parametrize("limit", [20, 2_000, 10_000, 100_000])
def test_files_that_may_not_grow_leave_a_sound_store_that_goes_on(tmp_path: Path, whole: Results, limit: int) -> None:
    path = tmp_path / "s"
    *numbers, said = write(path, limit)
    assert said.startswith(f"the store '{path}' can't be written (File too large); ")
    assert temporary(tmp_path) == []
    if path.exists():
        assert said.endswith("finished runs are stored: make room, and the same command goes on")
        assert set(stored_run_ids(path)) == {f"{int(number):016x}" for number in numbers}
        assert check(path) == []
        assert not Results(path).finished
    else:
        assert said.endswith("nothing was begun: make room, and the same command goes on")
        assert list(tmp_path.iterdir()) == []
    make_store(path, [record(i, k=100) for i in range(RUNS)])
    assert Results(path).digest == whole.digest
    assert check(path) == []


def test_a_full_disk_costs_no_finished_run_and_room_heals_it(tmp_path: Path, whole: Results) -> None:
    with mounted(tmp_path / "disk", 400_000) as disk:
        path, blocker = disk / "s", disk / "blocker"
        blocker.write_bytes(bytes(250_000))
        *numbers, said = write(path)
        assert len(numbers) > 3
        reason = "No space left on device"
        assert said == (
            f"the store '{path}' can't be written ({reason}); finished runs are stored: make room, and the same "
            "command goes on"
        )
        assert set(stored_run_ids(path)) == {f"{int(number):016x}" for number in numbers}
        assert temporary(disk) == []
        assert check(path) == []
        # Runs of a study that is finished are still shown, and what is exported to the full disk is not half there.
        for export in (
            lambda: export_csv(whole.path, disk / "csv", history=True),
            lambda: export_bundle(whole.path, disk / "a.zip"),
        ):
            with pytest.raises(StoreWriteError, match=r"No space left on device.*; nothing was left there"):
                export()
        with pytest.raises(StoreWriteError, match=r"No space left on device.*; nothing was left there"):
            merge(disk / "merged", [whole.path])
        assert sorted(found.name for found in disk.iterdir()) == ["blocker", "s"]
        blocker.unlink()
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        make_store(path, [record(i, k=100) for i in range(RUNS)])
        assert Results(path).digest == whole.digest
        assert check(path) == []


def test_a_full_disk_while_finishing_keeps_the_logs(tmp_path: Path, whole: Results) -> None:
    with mounted(tmp_path / "disk", 600_000) as disk:
        path = disk / "s"
        make_store(path, [record(i, k=100) for i in range(RUNS)], finish=False)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "blocker").write_bytes(bytes(free - 50_000))
        before = files(path)
        with pytest.raises(StoreWriteError, match="No space left on device"):
            StoreWriter(path).finish()
        assert files(path) == before
        (disk / "blocker").unlink()
        StoreWriter(path).finish()
        assert Results(path).digest == whole.digest


STUDY = """
problems = ["more_wild/rosenbrock", "more_wild/bard", "more_wild/box_3d", "more_wild/helical_valley"]
algorithms = "scipy_neldermead"
derivatives = "none"
starts = 5
budget = {max_gradients = 40}
"""


def run(folder: Path, store: Path, *options: str) -> Result:
    """`optcore run`."""
    (folder / "tiny.toml").write_text(STUDY)
    return CliRunner().invoke(app, ["run", str(folder / "tiny.toml"), "-q", "--store", str(store), *options])


def fill(disk: Path, leave: int = 0) -> Path:
    """Take up what is free but for some bytes."""
    room = os.statvfs(disk)
    (disk / "blocker").write_bytes(bytes(room.f_bavail * room.f_frsize - leave))
    return disk / "blocker"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("expected")
    done = run(folder, folder / "s", "--no-report")
    assert done.exit_code == 0, done.stderr
    return Results(folder / "s").digest


@pytest.mark.parametrize(("backend", "leave"), [("threads", 0), ("threads", 20_000), ("loky", 65_536)])
def test_a_study_that_meets_a_full_disk_is_one_sentence_and_resumes(
    tmp_path: Path, expected: str, backend: str, leave: int
) -> None:
    with mounted(tmp_path / "disk", 8 * 2**20) as disk:
        blocker = fill(disk, leave)
        done = run(tmp_path, disk / "s", "--no-report", "--backend", backend, "--jobs", "2")
        assert done.exit_code == 2
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""
        if (disk / "s").exists():
            assert "(No space left on device); finished runs are stored: make room" in done.stderr
            assert check(disk / "s") == []
            stored = set(stored_run_ids(disk / "s"))
            assert stored or leave < 65_536  # the smaller is about what the files of an empty store take
        else:
            assert "(No space left on device); nothing was begun: make room" in done.stderr
            assert [found.name for found in disk.iterdir()] == ["blocker"]
            stored = set()
        assert temporary(disk) == []
        blocker.unlink()
        done = run(tmp_path, disk / "s", "--no-report")
        assert done.exit_code == 0, done.stderr
        assert stored <= set(stored_run_ids(disk / "s"))
        assert Results(disk / "s").digest == expected
        assert check(disk / "s") == []


def test_a_report_for_which_there_is_no_room_leaves_the_study_done(tmp_path: Path, expected: str) -> None:
    with mounted(tmp_path / "disk", 2**20) as disk:
        done = run(tmp_path, disk / "s")
        assert done.exit_code == 2
        said = f"error: the store '{disk / 's'}' can't be written (No space left on device); all runs are stored: "
        assert done.stderr.splitlines() == [said + "make room, and the same command goes on"]
        assert Results(disk / "s").digest == expected
        assert check(disk / "s") == []
        done = run(tmp_path, disk / "s", "--no-report")
        assert done.exit_code == 0, done.stderr


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[Path]:
    """A folder in which nothing may be written, with a finished store and one with a log."""

    def fill(folder: Path) -> None:
        make_store(folder / "s", [record(i) for i in range(5)])
        make_store(folder / "log", [record(i) for i in range(5)], finish=False)

    if os.geteuid() == 0:
        with mounted(path, 2**22):
            fill(path)
            subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)
            yield path
        return
    path.mkdir()
    fill(path)
    folders = [path, *(found for found in path.rglob("*") if found.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        yield path
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_a_read_only_store_is_read_checked_and_exported(tmp_path: Path) -> None:
    with read_only(tmp_path / "disk") as disk:
        for path in (disk / "s", disk / "log"):
            results = Results(path)
            assert len(results.history()) == 5 * 20
            assert len(results.clock()) == 5 * 20
            assert check(path) == []
            assert len(Results(export_bundle(path, tmp_path / f"{path.name}.zip")).runs) == 5
        assert merge(tmp_path / "merged", [disk / "s", disk / "log"]).repeated == 5
        make_store(disk / "s", [])  # nothing to write: a finished study can be run again


def test_writing_to_a_read_only_store_is_a_sentence(tmp_path: Path) -> None:
    with read_only(tmp_path / "disk") as disk:
        before = files(disk)
        words = (
            r"can't be written \((Read-only file system|Permission denied)\); make it writable, or give another --store"
        )
        with pytest.raises(StoreWriteError, match=words):
            StoreWriter(disk / "s").append(record(7))
        with pytest.raises(StoreWriteError, match=words):
            StoreWriter(disk / "s", study='name = "other"\n')
        with pytest.raises(StoreWriteError, match=words):
            StoreWriter(disk / "log").finish()
        with pytest.raises(StoreWriteError, match=words):
            make_store(disk / "new", [])
        with pytest.raises(StoreWriteError, match=words):
            merge(disk / "merged", [disk / "s"])
        assert files(disk) == before


def test_a_study_whose_store_is_read_only_is_one_sentence_and_its_plan_can_be_seen(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 8 * 2**20) as disk:
        done = run(tmp_path, disk / "begun", "--no-report", "--shard", "1/2")
        assert done.exit_code == 0, done.stderr
        before = files(disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for name in ("begun", "new"):
            done = run(tmp_path, disk / name)
            assert done.exit_code == 2
            assert done.stderr.splitlines() == [
                f"error: the store '{disk / name}' can't be written (Read-only file system); make it writable, or give "
                "another --store"
            ]
        assert files(disk) == before
        assert "10 of them stored, 10 to run" in run(tmp_path, disk / "begun", "--dry-run").stdout
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        done = run(tmp_path, disk / "begun", "--no-report")
        assert done.exit_code == 0, done.stderr
        assert len(Results(disk / "begun").runs) == 20


def test_the_limit_of_this_process_was_not_touched() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
