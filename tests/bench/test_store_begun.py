"""What a process leaves that dies while it makes a store is removed by the next one; what lives is left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from optcore_bench.store import Results, StoreWriter
from optcore_bench.store.begun import begun_folder, remove_dead, rename
from optcore_bench.store.export import export_bundle, unpack
from optcore_bench.store.locks import boot_of_machine
from tests.bench.store_records import STUDY, make_store, record

linux = pytest.mark.skipif(sys.platform != "linux", reason="the file system must know locks")

#: Makes a store and stops in the midst of it, after it has said so.
STOPS = """
import sys, time
from optcore_bench.store import StoreWriter, writer
def stop(*_, **__):
    print("begun", flush=True)
    time.sleep(100)
setattr(writer, {step!r}, stop)
StoreWriter({store!r}, study="name = 's'", manifest={{}})
"""


def stopped(store: Path, step: str = "write_manifest") -> subprocess.Popen[str]:
    """A process that is about to take a step of making a store."""
    script = STOPS.format(store=str(store), step=step)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def begun_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(".tmp"))


@linux
@pytest.mark.parametrize("step", ["replace_text", "write_manifest", "rename"])
def test_the_next_start_removes_what_kill_9_left(tmp_path: Path, step: str) -> None:
    store = tmp_path / "store"
    end(stopped(store, step))
    assert len(begun_in(tmp_path)) == 1
    make_store(store, [record()])
    assert begun_in(tmp_path) == []
    assert sorted(path.name for path in store.iterdir() if path.name.startswith(".")) == []
    assert len(Results(store).runs) == 1


@linux
def test_a_living_process_is_left_alone_and_so_is_another_store(tmp_path: Path) -> None:
    lives = stopped(tmp_path / "store")
    end(stopped(tmp_path / "other"))
    try:
        before = begun_in(tmp_path)
        assert len(before) == 2
        StoreWriter(tmp_path / "store", study=STUDY).close()
        assert begun_in(tmp_path) == before
    finally:
        end(lives)
    assert [path.name.split(".")[1] for path in remove_dead(tmp_path / "store")] == ["store"]
    assert [name.split(".")[1] for name in begun_in(tmp_path)] == ["other"]


def old(folder: Path, hours: float) -> None:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - 3600 * hours,) * 2)


@linux
@pytest.mark.parametrize(
    ("where", "hours", "removed"),
    [
        ("here", 0.0, True),
        ("elsewhere", 0.0, False),
        ("elsewhere", 0.9, False),
        ("elsewhere", 1.1, True),
        (None, 0.9, False),
        (None, 1.1, True),
        ("", 0.5, False),
    ],
)
def test_what_another_machine_may_be_filling_is_left_until_it_is_silent(
    tmp_path: Path, where: str | None, hours: float, removed: bool
) -> None:
    folder = tmp_path / ".store.0a1b2c3d.tmp"
    (folder / "runs").mkdir(parents=True)
    (folder / "runs" / "a.parquet").write_text("x")
    if where is not None:
        (folder / ".filled-on").write_text(boot_of_machine() if where == "here" else where)
    old(folder, hours)
    assert bool(remove_dead(tmp_path / "store")) is removed
    assert folder.exists() is not removed


@pytest.mark.parametrize(
    "name",
    [
        ".store.0a1b2c3d.txt",
        "store.0a1b2c3d.tmp",
        ".store2.0a1b2c3d.tmp",
        ".store.0a1b2c3.tmp",
        ".store.0a1b2c3d.tmp.bak",
    ],
)
def test_folders_of_other_names_are_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    old(tmp_path / name, 100.0)
    assert remove_dead(tmp_path / "store") == []
    assert (tmp_path / name).is_dir()


def test_files_and_links_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / ".store.00000000.tmp").symlink_to(tmp_path / "precious")
    (tmp_path / ".store.11111111.tmp").write_text("x")
    os.utime(tmp_path / ".store.11111111.tmp", (0, 0))
    os.utime(tmp_path / "precious", (0, 0))
    assert remove_dead(tmp_path / "store") == []
    assert (tmp_path / "precious").is_dir()
    assert (tmp_path / ".store.11111111.tmp").read_text() == "x"


def fails(folder: Path) -> None:
    (folder / "half").write_text("x")
    raise KeyError


@pytest.mark.parametrize("fill", [fails, lambda folder: rename(folder, folder.parent / "made" / "it")])
def test_a_block_that_fails_leaves_nothing(tmp_path: Path, fill: Callable[[Path], None]) -> None:
    with pytest.raises((KeyError, OSError)), begun_folder(tmp_path / "store") as begun:
        fill(begun)
    assert list(tmp_path.iterdir()) == []


@linux
def test_bundles_are_unpacked_the_same_way(tmp_path: Path) -> None:
    make_store(tmp_path / "store", [record()])
    bundle = export_bundle(tmp_path / "store", tmp_path / "bundle.zip")
    dead = tmp_path / ".again.0a1b2c3d.tmp"
    dead.mkdir()
    (dead / ".filled-on").write_text(boot_of_machine())
    unpack(bundle, tmp_path / "again")
    assert not dead.exists()
    assert sorted(path.name for path in (tmp_path / "again").iterdir() if path.name.startswith(".")) == []
    assert Results(tmp_path / "again").digest == Results(tmp_path / "store").digest
