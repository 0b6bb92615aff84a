"""kill -9 at twenty random moments: nothing that was stored is lost, nothing is there twice, nothing stays behind."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from optcore_bench.store import Results, check, stored_run_ids
from tests.bench.test_runner_resume import processes_in, stored_frames
from tests.processes import is_running, wait_until

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

KILLS = 20
#: One kill in so many meets loky's workers, the others threads.
LOKY = 5

#: Runs that compute, and runs that take a while without a core, so that a loaded machine has time to be killed too.
#: What has imported everything is forked for each attempt: it is not the interpreter's start that is to be killed.
SCRIPT = """
import os, sys, time
from optcore_bench import Study, run_study

def patient(fun, x0):
    for i in range(5):
        fun(x0 + i)
        time.sleep(0.02)
    return x0

def run(folder, backend):
    os.setsid()
    os.chdir(folder)
    problems = ["more_wild/rosenbrock", "more_wild/bard", "more_wild/box_3d"]
    study = Study("killed", problems, ["scipy_lbfgsb", patient], "forward", starts=40, budget={"max_gradients": 20})
    run_study(study, "store", n_jobs=2, backend=backend)

if __name__ == "__main__":
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            run(*line.split())
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Launcher:
    """Starts the study in a folder, as often as asked."""

    def __init__(self, home: Path) -> None:
        home.mkdir()
        (home / "script.py").write_text(textwrap.dedent(SCRIPT))
        self.temporary = home / "tmp"
        self.temporary.mkdir()
        self._errors = home / "errors"
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "script.py"],
                cwd=home,
                env={**os.environ, "TMPDIR": str(self.temporary), "JOBLIB_TEMP_FOLDER": str(self.temporary)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._pid = 0

    def _answer(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._errors.read_text()
        return int(line)

    def start(self, folder: Path, backend: str = "threads") -> None:
        assert self._process.stdin is not None
        print(folder, backend, file=self._process.stdin, flush=True)
        self._pid = self._answer()

    def is_running(self) -> bool:
        return is_running(self._pid)

    def kill(self, *, group: bool) -> int:
        """Kill the study's process, alone or with all processes that didn't leave its group; returns how it ended."""
        if self.is_running():
            (os.killpg if group else os.kill)(self._pid, signal.SIGKILL)
        return self._answer()

    def finish(self) -> None:
        assert self._answer() == 0, self._errors.read_text()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def in_logs(folder: Path) -> list[str]:
    """Ids of the runs in the logs, as often as they are there."""
    return stored_frames(folder / "store") if (folder / "store" / "log").exists() else []


def stored(folder: Path) -> set[str]:
    """Ids of all runs that are stored."""
    return set(stored_run_ids(folder / "store")) if (folder / "store").exists() else set()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(tmp_path / "home")
    yield launcher
    launcher.close()


def test_twenty_kills_at_random_moments_cost_the_runs_in_flight_and_leave_nothing(
    tmp_path: Path, launcher: Launcher
) -> None:
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    folder.mkdir()
    launcher.start(undisturbed)
    began = time.monotonic()
    wait_until(lambda: in_logs(undisturbed))
    to_first_run = time.monotonic() - began
    launcher.finish()
    expected = Results(undisturbed / "store")

    chance, kept, killed = random.Random(7), set[str](), 0
    for number in range(KILLS):
        launcher.start(folder, "loky" if number % LOKY == LOKY - 1 else "threads")
        if number % 4 < 2:  # at work
            before = len(in_logs(folder))
            wait_until(lambda before=before: not launcher.is_running() or len(in_logs(folder)) > before)
            time.sleep(chance.uniform(0.0, 0.3))
        else:  # at any moment before that
            time.sleep(chance.uniform(0.0, 1.0) * to_first_run)
        killed += launcher.kill(group=number % 2 == 0) == -signal.SIGKILL
        wait_until(lambda: not processes_in(folder))
        assert len(set(in_logs(folder))) == len(in_logs(folder))
        assert kept <= stored(folder)
        kept = stored(folder)
    assert killed > KILLS / 2
    assert len(kept) > 20
    launcher.start(folder)
    launcher.finish()
    results = Results(folder / "store")
    assert results.manifest["digest"] == expected.manifest["digest"]
    assert results.runs["run_id"].is_unique
    assert set(results.runs["run_id"]) == set(expected.runs["run_id"]) == set(stored_run_ids(folder / "store"))
    assert len(results.history()) == len(expected.history())
    assert check(folder / "store") == []
    assert processes_in(folder) == []
    assert names(folder) == ["store"]
    assert names(folder / "store") == names(undisturbed / "store")
    assert names(launcher.temporary) == []
    assert not [path for path in folder.rglob("*") if path.suffix in (".tmp", ".log", ".claims")]
