"""Who runs what: no run is kept by two, what a dead process had taken is free, nothing is left behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from optcore_bench import Study, run_study
from optcore_bench import claims as claiming
from optcore_bench.claims import Claims

ROOT = Path(__file__).parents[2]

#: Takes what it can get of runs 0..199, in its own order, and says what it got.
TAKE = """
import random, sys
from pathlib import Path
from optcore_bench.claims import Claims
order = [str(number) for number in range(200)]
random.Random(sys.argv[2]).shuffle(order)
with Claims(Path(sys.argv[1])) as claims:
    print("ready", flush=True)
    sys.stdin.readline()
    mine = [run_id for run_id in order if claims.take(run_id)]
    for run_id in mine:
        claims.stored(run_id, "converged")
    print(*mine, flush=True)
    sys.stdin.readline()
"""


def start(root: Path, seed: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", TAKE, str(root), str(seed)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_processes_that_take_at_once_never_keep_the_same_run(tmp_path: Path) -> None:
    processes = [start(tmp_path, seed) for seed in range(3)]
    for process in processes:
        say(process)
    taken = [process.stdout.readline().split() for process in processes if process.stdout]
    flat = [run_id for mine in taken for run_id in mine]
    assert len(flat) == len(set(flat)) > 100  # two that take one at the same moment both may give it back
    for process in processes:
        process.communicate("end\n")
    assert not (tmp_path / "claims").exists()


def test_threads_share_claims(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        taken: list[str] = []

        def take(claims: Claims, seed: int) -> None:
            order = [str(number) for number in range(100)]
            random.Random(seed).shuffle(order)
            taken.extend(run_id for run_id in order if claims.take(run_id))

        threads = [threading.Thread(target=take, args=(one, 1)), threading.Thread(target=take, args=(other, 2))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == len(set(taken)) > 50


def test_what_is_taken_stored_and_given_back_is_seen_by_others(tmp_path: Path) -> None:
    with Claims(tmp_path) as one, Claims(tmp_path) as other:
        assert one.take("a")
        assert one.take("b")
        assert other.free("abc") == ["c"]
        assert not other.take("a")
        one.give_back("a")
        assert other.take("a")
        one.stored("b", "converged")
        assert other.stored_by_others() == {"b": "converged"}
        assert one.stored_by_others() == {}
        assert not other.take("b")
        assert [peer.who["pid"] for peer in one.peers()] == [os.getpid()]
        assert one.peers("other work") == []


def test_what_was_stored_before_one_began_is_for_the_store_to_tell(tmp_path: Path) -> None:
    with Claims(tmp_path) as one:
        one.take("a")
        one.stored("a", "timeout")
        with Claims(tmp_path) as other:
            assert other.stored_by_others() == {}
            assert other.take("a")  # to be retried, for example


def test_runs_of_a_killed_process_are_free_and_its_file_goes_with_the_last(tmp_path: Path) -> None:
    with Claims(tmp_path) as mine:
        process = start(tmp_path)
        (peer,) = mine.peers()
        assert str(peer).startswith(f"process {process.pid} on ")
        with (tmp_path / "claims" / next(p.name for p in (tmp_path / "claims").iterdir())).open():
            process.kill()
        process.communicate()
        assert mine.peers() == []
        assert mine.take("7")
    assert not (tmp_path / "claims").exists()


def test_files_of_dead_processes_are_removed_by_the_next(tmp_path: Path) -> None:
    process = start(tmp_path)
    process.kill()
    process.communicate()
    assert len(list((tmp_path / "claims").iterdir())) == 1
    with Claims(tmp_path):
        assert len(list((tmp_path / "claims").iterdir())) == 1
    assert not (tmp_path / "claims").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_without_locks_a_process_is_known_by_its_number_and_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claiming, "lock", lambda descriptor, how: None)
    with Claims(tmp_path) as mine:
        process = start(tmp_path)
        (peer,) = mine.peers()
        peer.who["started"] = "1"  # another process with this number
        assert mine.peers() == []
        process.kill()
        process.communicate()


@pytest.mark.parametrize("locks", [True, False])
def test_a_process_elsewhere_lives_as_long_as_it_touches_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    if not locks:
        monkeypatch.setattr(claiming, "lock", lambda descriptor, how: None)
    with Claims(tmp_path) as mine:
        path = tmp_path / "claims" / "elsewhere.claims"
        path.write_text('{"host": "far", "boot": "b", "pid": 1, "started": "1", "work": ""}\n+ a\n')
        assert not mine.take("a")
        os.utime(path, (time.time() - 600, time.time() - 600))
        assert mine.take("a")


@pytest.mark.parametrize("moment", ["_start_of", "_remove"])
def test_ctrl_c_where_a_claim_is_made_or_removed_leaves_none(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = getattr(claiming, moment)

    def meanwhile(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return usual(*arguments)

    monkeypatch.setattr(claiming, moment, meanwhile)
    study = Study("s", "more_wild/rosenbrock", "scipy_lbfgsb", "none", budget={"max_evaluations": 3})
    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "store")
    assert (tmp_path / "store").is_dir()
    assert not (tmp_path / "store" / "claims").exists()
