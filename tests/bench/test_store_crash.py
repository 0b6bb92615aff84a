"""Nothing that `append` promised to keep is lost: kill -9, torn frames, flipped bits, several writers."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from optcore_bench.store import DamagedStoreError, Results, StoreError, StoreWriter, stored_run_ids, verify
from optcore_bench.store import compact as compacting
from optcore_bench.store.log import LogWriter, frame, read_frames, salvage
from tests.bench.store_records import MANIFEST, STUDY, make_store, record
from tests.processes import is_running, wait_until

ROOT = Path(__file__).parents[2]
TABLES = ("runs", "history", "timings", "clock")

#: Has imported the store, and forks a process for each line that it reads: it is not the interpreter's start that is to
#: be killed. `write` appends runs number FIRST, FIRST + STEP, ... and says so after each append has returned.
FORKS = """
import os, signal, sys
from optcore_bench.store import StoreWriter
from tests.bench.store_records import record

def write(path, first, step, last, rotate, k):
    writer = StoreWriter(path, rotate_bytes=rotate)
    os.write(1, b"ready\\n")
    for number in range(first, last, step):
        writer.append(record(number, k=k))
        os.write(1, b"%d\\n" % number)
    writer.close()
    os.write(1, b"done\\n")

def finish(path):
    writer = StoreWriter(path)
    os.write(1, b"ready\\n")
    os.write(1, b"left %d\\n" % writer.finish())

signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
for line in sys.stdin:
    what, said, path, *numbers = line.split()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(said, os.O_WRONLY), 1)
        try:
            {"write": write, "finish": finish}[what](path, *map(int, numbers))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(0)
    print(pid, flush=True)
"""


class Forked:
    """A process that writes to a store or finishes it, and says so through `said`, which ends with it."""

    def __init__(self, forks: subprocess.Popen[str], *order: object) -> None:
        with tempfile.TemporaryDirectory() as folder:
            os.mkfifo(pipe := f"{folder}/said")
            what, *rest = map(str, order)
            print(what, pipe, *rest, file=forks.stdin, flush=True)
            self.pid = int(forks.stdout.readline())
            self.said = open(pipe, "rb")  # noqa: SIM115  closed by `end`
        assert self.said.readline() == b"ready\n"

    def kill(self) -> list[bytes]:
        """What it had said before."""
        os.kill(self.pid, signal.SIGKILL)
        return self.end()

    def end(self) -> list[bytes]:
        with self.said:
            said = self.said.read().split()
        wait_until(lambda: not is_running(self.pid))
        return said


@pytest.fixture(scope="module")
def forks():
    command = [sys.executable, "-c", FORKS]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


def start_writing(forks, path: Path, first: int, step: int = 1, last: int = 10**6, rotate: int = 2**26, k: int = 40):
    return Forked(forks, "write", path, first, step, last, rotate, k)


def files(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*") if found.is_file())


def sound(path: Path, numbers: set[int], k: int) -> None:
    """Every run is there once, with all its evaluations, as it was written."""
    results = Results(path)
    assert results.runs["run_id"].is_unique
    assert numbers <= {int(run_id, 16) for run_id in results.runs["run_id"]}
    history = results.history(columns=["run_id", "evaluation"])
    assert (history.groupby("run_id", observed=True).size() == k).all()
    assert len(history) == k * len(results.runs)
    assert [line for line in verify(path) if "killed" not in line] == []


@pytest.mark.parametrize("rotate", [2**26, 2**15], ids=["log", "rotating"])
def test_kill_9_at_random_times_loses_no_finished_append(tmp_path, forks, rotate) -> None:
    path, k, finished = tmp_path / "s", 40, set()
    make_store(path, [], finish=False)
    chance = random.Random(rotate)
    for round_ in range(6):
        process = start_writing(forks, path, first=100_000 * round_, rotate=rotate, k=k)
        time.sleep(chance.uniform(0.0, 0.25))
        finished |= set(map(int, process.kill()))
        assert finished <= {int(run_id, 16) for run_id in stored_run_ids(path)}
        if round_ % 3 == 2:
            sound(path, finished, k)
    assert len(finished) > 20
    assert StoreWriter(path).finish() == 0
    sound(path, finished, k)
    assert len(files(path)) == 7


def test_kill_9_while_finishing_leaves_a_readable_store_that_can_be_finished(tmp_path, forks) -> None:
    path, k = tmp_path / "s", 200
    chance = random.Random(1)
    expected: set[int] = set()
    make_store(path, [], finish=False)
    for round_ in range(5):
        numbers = range(round_ * 100, round_ * 100 + 100)
        with StoreWriter(path, rotate_bytes=2**18) as writer:
            for number in numbers:
                writer.append(record(number, k=k))
        expected |= set(numbers)
        process = Forked(forks, "finish", path)
        time.sleep(chance.uniform(0.0, 0.1))
        process.kill()
        sound(path, expected, k)
    StoreWriter(path).finish()
    sound(path, expected, k)
    assert len(files(path)) == 7


class Killed(BaseException):
    """Stands for kill -9 between two system calls."""


@pytest.mark.parametrize("fatal", range(40))
def test_a_death_at_any_step_of_compaction_loses_nothing(tmp_path, monkeypatch, fatal) -> None:
    """Every rename and every removal of a file is a place to die, one after the other."""
    path, k = tmp_path / "s", 10
    make_store(path, [record(i, k=k) for i in range(6)])
    make_store(path, [record(i, k=k) for i in range(6, 12)], rotate_bytes=1, finish=False)
    make_store(path, [record(i, k=k) for i in range(12, 15)], finish=False)
    steps = 0

    def deadly(function):
        def call(*args, **kwargs):
            nonlocal steps
            steps += 1
            if steps > fatal:
                raise Killed
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "rmdir"):
            patch.setattr(compacting.Path, name, deadly(getattr(compacting.Path, name)))
        try:
            StoreWriter(path).finish()
        except Killed:
            died = True
        else:
            died = False
    sound(path, set(range(15)), k)
    assert died == (steps > fatal)
    StoreWriter(path).finish()
    sound(path, set(range(15)), k)
    assert len(files(path)) == 7
    assert Results(path).digest == Results(path).manifest["digest"]


def test_the_reader_stops_at_a_torn_frame_wherever_it_was_torn(tmp_path) -> None:
    whole = [frame(b"first payload"), frame(b""), frame(b"x" * 100)]
    content = b"".join(whole)
    ends = np.cumsum([len(part) for part in whole])
    log = tmp_path / "a.log"
    for cut in range(len(content) + 1):
        log.write_bytes(content[:cut])
        count = int(np.searchsorted(ends, cut, "right"))
        assert [found.payload for found in read_frames(log)] == [b"first payload", b"", b"x" * 100][:count]
        assert salvage(log).torn == cut - (ends[count - 1] if count else 0)


def test_every_flipped_bit_in_a_log_is_found(tmp_path) -> None:
    payloads = [b"first payload", b"second", b"third one"]
    content = b"".join(frame(payload) for payload in payloads)
    log = tmp_path / "a.log"
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        log.write_bytes(damaged)
        found = [part.payload for part in read_frames(log)]
        assert found == payloads[: len(found)]
        assert len(found) < 3


@pytest.mark.parametrize("cut", [1, 5, 15, 16, 17, 200])
def test_a_store_whose_log_is_torn_shows_the_runs_before_and_can_go_on(tmp_path, cut) -> None:
    path = tmp_path / "s"
    make_store(path, [record(0), record(1), record(2)], finish=False)
    (log,) = (path / "log").iterdir()
    last = list(read_frames(log))[2].offset - 16
    log.write_bytes(log.read_bytes()[: last + cut])
    assert set(stored_run_ids(path)) == {f"{i:016x}" for i in range(2)}
    assert [f"ends in {cut} bytes" in line for line in verify(path)] == [True]
    make_store(path, [record(2), record(3)])
    assert set(stored_run_ids(path)) == {f"{i:016x}" for i in range(4)}
    assert verify(path) == []


def test_after_a_failed_write_appends_go_to_a_new_log(tmp_path, monkeypatch) -> None:
    writer = make_store(tmp_path / "s", [], finish=False)
    write = os.write

    def full(descriptor: int, data: object) -> int:
        write(descriptor, bytes(data)[:50])
        raise OSError(28, "No space left on device")

    writer.append(record(0))
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        writer.append(record(1))
    monkeypatch.undo()
    writer.append(record(2))
    assert {int(run_id, 16) for run_id in stored_run_ids(tmp_path / "s")} == {0, 2}
    writer.finish()
    assert {int(run_id, 16) for run_id in stored_run_ids(tmp_path / "s")} == {0, 2}
    assert len(files(tmp_path / "s")) == 7


def test_a_write_that_takes_several_calls_is_whole(tmp_path, monkeypatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:7]))
    log = LogWriter(tmp_path)
    log.append(b"some payload that is longer than seven bytes")
    monkeypatch.undo()
    log.close()
    assert [found.payload for found in read_frames(log.path)] == [b"some payload that is longer than seven bytes"]


@pytest.mark.parametrize("table", TABLES)
def test_flipped_bits_in_parquet_are_an_error_that_names_the_file_or_change_nothing(tmp_path, table) -> None:
    path = tmp_path / "s"
    make_store(path, [record(i, k=200, fun_true=record(i, k=200).history.fun) for i in range(10)])
    before = snapshot(path)
    (file,) = (path / table).iterdir()
    content = file.read_bytes()
    chance = random.Random(table)
    named = nameless = 0
    for _ in range(60):
        damaged = bytearray(content)
        bit = chance.randrange(8 * len(content))
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        try:
            after = snapshot(path)
        except StoreError as error:
            # Ids that differ between two tables: either may be the damaged one.
            names = str(file) in str(error) or "don't hold the same runs" in str(error)
            named, nameless = named + names, nameless + (not names)
        else:
            assert all(a.equals(b) for a, b in zip(before, after, strict=True)) or verify(path)
    assert nameless == 0
    assert named > 30


def snapshot(path: Path):
    results = Results(path)
    return results.runs, results.history().drop(columns="x"), results.timings, results.clock()


def test_a_truncated_parquet_file_is_named(tmp_path) -> None:
    make_store(tmp_path / "s", [record()])
    (file,) = (tmp_path / "s" / "history").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DamagedStoreError, match=r"history/part-.*\.parquet' is damaged .* restore it from a copy"):
        Results(tmp_path / "s").history()


def test_verify_finds_a_history_that_is_not_what_was_recorded(tmp_path) -> None:
    one, two = make_store(tmp_path / "a", [record(0)]), make_store(tmp_path / "b", [record(0, n=4)])
    (target,), (source,) = (list((writer.path / "history").iterdir()) for writer in (one, two))
    target.write_bytes(source.read_bytes())
    assert [f"the history of run '{0:016x}' has hash" in line for line in verify(tmp_path / "a")] == [True]


def test_two_threads_and_two_processes_append_to_one_store(tmp_path, forks) -> None:
    path, k = tmp_path / "s", 40
    writer = make_store(path, [], finish=False, rotate_bytes=2**16)
    processes = [start_writing(forks, path, first=i, step=4, last=400, rotate=2**16, k=k) for i in (0, 1)]

    def work(first: int) -> None:
        for number in range(first, 400, 4):
            writer.append(record(number, k=k))

    threads = [threading.Thread(target=work, args=(i,)) for i in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        *numbers, last = process.end()
        assert (len(numbers), last) == (100, b"done")
    sound(path, set(range(400)), k)
    assert writer.finish() == 0
    sound(path, set(range(400)), k)
    assert len(files(path)) == 7


def test_finishing_leaves_the_log_of_a_process_that_still_appends(tmp_path, forks) -> None:
    path = tmp_path / "s"
    make_store(path, [], finish=False)
    process = start_writing(forks, path, first=0, k=40)
    last = [20]
    try:
        while process.said.readline() != b"20\n":
            pass
        StoreWriter(path).finish()
        assert is_running(process.pid)
        assert not Results(path).finished
    finally:
        last = [*last, *map(int, process.kill())][-1:]
    sound(path, set(range(last[0] + 1)), 40)
    StoreWriter(path).finish()
    sound(path, set(range(last[0] + 1)), 40)
    assert len(files(path)) == 7


def test_two_processes_that_finish_at_once_do_no_harm(tmp_path, forks) -> None:
    path = tmp_path / "s"
    make_store(path, [record(i, k=100) for i in range(300)], rotate_bytes=2**18, finish=False)
    both = [Forked(forks, "finish", path) for _ in range(2)]
    assert [process.end() for process in both] == [[b"left", b"0"]] * 2
    sound(path, set(range(300)), 100)
    assert len(files(path)) == 7


def test_a_reader_that_was_opened_before_the_store_was_finished_goes_on(tmp_path) -> None:
    path = tmp_path / "s"
    make_store(path, [record(i) for i in range(6)], finish=False)
    results = Results(path)
    assert len(results.runs) == 6
    make_store(path, [record(i) for i in range(6, 9)])
    assert len(results.history()) == len(results.clock()) == 6 * 20
    assert len(results.runs) == len(results.timings) == 6
    assert len(Results(path).runs) == 9


def test_a_writer_that_was_pickled_or_forked_begins_its_own_log(tmp_path) -> None:
    writer = make_store(tmp_path / "s", [], finish=False)
    writer.append(record(0))
    copy = pickle.loads(pickle.dumps(writer))
    copy.append(record(1))
    child = os.fork() if sys.version_info < (3, 12) else 0
    if child == 0 and sys.version_info < (3, 12):
        try:
            writer.append(record(2))
        finally:
            os._exit(0)
    if child:
        os.waitpid(child, 0)
        assert len(list((tmp_path / "s" / "log").iterdir())) == 3
    writer.append(record(3))
    copy.close()
    writer.finish()
    assert {0, 1, 3} <= {int(run_id, 16) for run_id in stored_run_ids(tmp_path / "s")}
    assert len(files(tmp_path / "s")) == 7


def test_a_store_is_created_whole_even_by_many_at_once(tmp_path) -> None:
    errors: list[BaseException] = []

    def create() -> None:
        try:
            StoreWriter(tmp_path / "deep" / "s", study=STUDY, manifest=MANIFEST)
        except BaseException as error:  # noqa: BLE001  (a thread's error must reach the test)
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert files(tmp_path / "deep") == ["s/manifest.json", "s/study.toml"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["s"]


def test_a_folder_with_other_things_in_it_is_not_touched(tmp_path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(StoreError, match="holds something that is not a store; choose another path"):
        StoreWriter(tmp_path, study=STUDY, manifest=MANIFEST)
    assert files(tmp_path) == ["thesis.tex"]
