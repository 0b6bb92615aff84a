"""Studies that go on: retries, shards, walltimes, several processes at once, signals. One digest."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from joblib.externals.loky import get_reusable_executor
from typer.testing import CliRunner

from optcore_bench import backends
from optcore_bench.cli import app
from optcore_bench.progress import Quiet
from optcore_bench.runner import plan_study, run_study
from optcore_bench.store import Results, RunRecord, verify
from optcore_bench.store.log import read_frames
from optcore_bench.store.record import decode_description
from optcore_bench.study import Study
from optcore_bench.worker import Job, NotRun, Supervisors, perform
from tests.processes import PATIENCE, wait_until

# Solvers travel by value: importing this module in each new process would import pytest there.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from optcore_bench.cli import main; main()"]

#: 40 runs of which some take a while, so that there is time to kill.
STUDY = """
name = "many"
problems = { suite = "more_wild", n_max = 3 }
algorithms = ["scipy_lbfgsb", "scipy_neldermead"]
derivatives = ["forward", "central"]
budget = { max_gradients = 200 }
"""


class Told(Quiet):
    def __init__(self) -> None:
        self.counts = (0, 0)
        self.notes: list[str] = []
        self.runs: list[str] = []
        self.others: list[str] = []

    def begin(self, name: str, total: int, stored: int, workers: int = 1) -> None:
        self.counts = (total, stored)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def done(self, label: str, status: str, evaluations: int = 0) -> None:
        self.runs.append(label)

    def elsewhere(self, label: str, status: str) -> None:
        self.others.append(label)


def small(**changes: Any) -> Study:
    given: dict[str, Any] = {
        "name": "small",
        "problems": ["more_wild/rosenbrock", "more_wild/bard", "more_wild/box_3d"],
        "algorithms": ["scipy_lbfgsb", "scipy_neldermead", "scipy_ls_lm"],
        "derivatives": ["forward", "central"],
        "budget": {"max_gradients": 10},
    }
    return Study(**(given | changes))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_study(small(), tmp_path_factory.mktemp("whole") / "store")


# --- retry -----------------------------------------------------------------------------------------------------------


def fickle(fun: Any, x0: Any) -> Any:
    """Ends well where the file is, badly where it isn't."""
    fun(x0)
    if not Path(os.environ["FICKLE"]).exists():
        os._exit(3)
    return x0


def test_retried_rows_take_the_places_of_the_old_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = tmp_path / "good"
    monkeypatch.setenv("FICKLE", str(good))
    study = small(algorithms=["scipy_lbfgsb", fickle])
    good.touch()
    expected = run_study(study, tmp_path / "expected").manifest["digest"]
    good.unlink()
    before = run_study(study, tmp_path / "store")
    assert before.runs["status"].value_counts()["crashed"] == 3
    good.touch()
    assert run_study(study, tmp_path / "store").runs["status"].value_counts()["crashed"] == 3  # without being asked
    told = Told()
    after = run_study(study, tmp_path / "store", retry="crashed,timeout", progress=told)
    assert told.runs == [f"more_wild/{name} fickle [none]" for name in ("rosenbrock", "bard", "box_3d")]
    assert told.notes == ["3 stored runs are run again, since the status is to be retried"]
    assert "crashed" not in set(after.runs["status"])
    assert list(after.runs["run_id"]) == list(before.runs["run_id"])
    assert after.manifest["digest"] == expected
    assert after.history().groupby("run_id", observed=True).size().sum() == len(after.history())
    assert not verify(after.path)


def test_a_retry_counts_though_the_clock_was_set_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = tmp_path / "good"
    monkeypatch.setenv("FICKLE", str(good))
    study = small(problems="more_wild/bard", algorithms=fickle)
    run_study(study, tmp_path / "store")
    good.touch()
    monkeypatch.setattr("optcore_bench.worker.time.time", lambda: 1.0)
    after = run_study(study, tmp_path / "store", retry=["crashed"])
    assert set(after.runs["status"]) == {"not_applicable", "stopped"}


# --- shards ----------------------------------------------------------------------------------------------------------


def test_three_shards_of_one_store_give_the_digest_of_the_whole(whole: Results, tmp_path: Path) -> None:
    sizes = []
    for number in (1, 2, 3):
        told = Told()
        results = run_study(small(), tmp_path / "store", shard=(number, 3), progress=told)
        sizes.append(len(told.runs))
        assert told.counts == (len(told.runs), 0)
    assert sum(sizes) == len(whole.runs)
    assert max(sizes) - min(sizes) <= 1
    assert results.manifest["digest"] == whole.manifest["digest"]


def test_three_shards_of_a_store_each_are_the_whole_and_none_twice(whole: Results, tmp_path: Path) -> None:
    found: list[str] = []
    for number in (1, 2, 3):
        found += run_study(small(), tmp_path / str(number), shard=f"{number}/3").runs["run_id"].to_list()
    assert sorted(found) == sorted(whole.runs["run_id"])


# --- dry run ---------------------------------------------------------------------------------------------------------


def optcore(*arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments])


def test_a_dry_run_says_what_would_be_run_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "many.toml").write_text(STUDY)
    done = optcore("run", "many.toml", "--dry-run", "--json", "--jobs", "2")
    assert done.exit_code == 0, done.output
    plan = json.loads(done.stdout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many.toml"]
    assert plan["seconds"] is None
    assert (plan["stored"], plan["bytes_are"]) == (0, "a bound")
    shown = optcore("run", "many.toml", "--dry-run").stdout
    assert "time unknown: no similar runs are stored" in shown
    assert f"{plan['to_run']} to run" in shown
    run_study(str(tmp_path / "many.toml"), n_jobs=2)
    results = Results(tmp_path / "results" / "local" / "many")
    statuses = results.runs["status"] == "not_applicable"
    assert (plan["to_run"], sum(row["runs"] for row in plan["not_applicable"])) == ((~statuses).sum(), statuses.sum())
    counts = results.runs[~statuses].groupby(["algorithm", "derivative"]).size()
    told = {(row["algorithm"], row["derivative"]): row["runs"] for row in plan["by_algorithm_and_derivative"]}
    assert told == counts.to_dict()
    size = sum(
        path.stat().st_size for table in ("runs", "history", "clock") for path in (results.path / table).iterdir()
    )
    assert size < plan["bytes"]
    assert "0 to run" in optcore("run", "many.toml", "--dry-run").stdout


def test_the_time_of_a_plan_is_that_of_similar_runs(tmp_path: Path) -> None:
    from optcore_bench.estimate import estimate

    results = run_study(small(), tmp_path / "store")
    more = small(starts=2)
    plan = plan_study(more, tmp_path / "store")
    guess = estimate(plan, 2, tmp_path / "store")
    assert guess.known == sum(not run.reason for run in plan.pending)
    # the second starts are as many as the first, and each is taken to be like its first
    assert guess.seconds == pytest.approx(results.timings["seconds"].sum() / 2)
    assert guess.bytes is not None
    assert not guess.is_bound
    retried = plan_study(more, tmp_path / "store", retry="budget_evaluations")
    again = (results.runs["status"] == "budget_evaluations").sum()
    assert again > 0
    assert (len(retried.retried), len(retried.pending)) == (again, len(plan.pending) + again)


# --- walltime --------------------------------------------------------------------------------------------------------


def sleeps(fun: Any, x0: Any) -> Any:
    import time

    fun(x0)
    while not Path(os.environ["FICKLE"]).exists():
        time.sleep(0.01)
    return x0


@pytest.mark.parametrize("backend", ["threads", "loky"])
def test_a_walltime_leaves_out_what_does_not_end_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    monkeypatch.setenv("FICKLE", str(tmp_path / "good"))
    get_reusable_executor().shutdown(wait=True)  # joblib keeps workers, which have the environment of an earlier test
    study = small(algorithms=["scipy_lbfgsb", sleeps, "scipy_ls_lm"], derivatives=["analytic"])
    results = run_study(study, tmp_path / "store", n_jobs=2, backend=backend, walltime=4)
    assert not results.finished
    assert set(results.runs["status"]) <= {"converged", "budget_evaluations", "not_applicable", "stopped"}
    assert "timeout" not in set(results.runs["status"])
    kept = set(results.runs["run_id"])
    assert 0 < len(kept) < 12
    assert not (tmp_path / "store" / "claims").exists()
    (tmp_path / "good").touch()
    after = run_study(study, tmp_path / "store", walltime="90m")
    assert after.finished
    assert kept < set(after.runs["run_id"])
    assert after.manifest["digest"] == run_study(study, tmp_path / "other").manifest["digest"]


def test_a_run_whose_other_starts_took_longer_than_what_is_left_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counts(fun: Any, x0: Any) -> Any:
        with Path(os.environ["FICKLE"]).open("a") as file:
            print(fun(x0), file=file)
        return x0

    def as_if_slow(job: Job, supervisors: Supervisors) -> RunRecord | NotRun:
        record = perform(job, supervisors)
        assert isinstance(record, RunRecord)
        return replace(record, timings={**record.timings, "seconds": 80.0})

    begun = tmp_path / "begun"
    monkeypatch.setenv("FICKLE", str(begun))
    given: dict[str, Any] = {"problems": "more_wild/rosenbrock", "derivatives": ["analytic"]}
    with monkeypatch.context() as patched:
        patched.setattr(backends, "perform", as_if_slow)
        run_study(small(algorithms=[counts], **given), tmp_path / "store")
    assert len(begun.read_text().split()) == 1
    more, told = small(algorithms=[counts, "scipy_lbfgsb"], starts=3, **given), Told()
    results = run_study(more, tmp_path / "store", walltime=80.0, progress=told)
    assert len(begun.read_text().split()) == 1
    assert not results.finished
    assert results.runs["algorithm"].value_counts()["scipy_lbfgsb"] == 3
    words = "2 runs were not begun, which would not end within the walltime: similar ones took up to 80 s"
    assert told.notes[-1:] == [words]
    after = run_study(more, tmp_path / "store")
    assert after.finished
    assert len(begun.read_text().split()) == 3


# --- processes -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.toml").write_text(STUDY)
    return run_study(str(folder / "many.toml"), folder / "store", n_jobs=2)


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """The command in a process of its own, which leads a group of its own."""
    (folder / "many.toml").write_text(STUDY)
    command = [*COMMAND, "run", "many.toml", "--store", "store", "--no-report", "--jobs", "2", *options]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=folder, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def resume(folder: Path) -> None:
    """The same command in this process."""
    command = ["run", str(folder / "many.toml"), "--store", str(folder / "store"), "--no-report", "--jobs", "2"]
    done = optcore(*command)
    assert done.exit_code == 0, done.output


def stored_frames(store: Path) -> list[str]:
    """Run ids in the logs, as often as they are there."""
    logs = sorted((store / "log").glob("*.log"))
    return [decode_description(found.payload).run["run_id"] for log in logs for found in read_frames(log)]


def processes_in(folder: Path) -> list[int]:
    """Processes that work in a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and Path(os.readlink(path / "cwd")) == folder.resolve():
                found.append(int(path.name))
        except OSError:
            pass
    return found


def is_complete(folder: Path, many: Results) -> None:
    results = Results(folder / "store")
    assert results.manifest["digest"] == many.manifest["digest"]
    assert results.runs["run_id"].is_unique
    assert len(results.history()) == len(many.history())
    files = sorted(path.relative_to(folder).parts[0] for path in folder.iterdir())
    assert files == ["many.toml", "store"]
    assert sorted(path.name for path in results.path.iterdir()) == sorted(
        ["study.toml", "manifest.json", "runs", "history", "timings", "clock", "derived"]
    )
    wait_until(lambda: not processes_in(folder))


@linux
def test_two_processes_at_once_share_the_runs_do_none_twice_and_both_tell_the_digest(
    tmp_path: Path, many: Results
) -> None:
    """Counts what is in their logs, as long as neither has ended."""
    both = [start(tmp_path, "--json", "--shard", "1/1"), start(tmp_path, "--json")]
    seen: list[str] = []
    while any(process.poll() is None for process in both):
        try:
            seen = max(seen, stored_frames(tmp_path / "store"), key=len)
            time.sleep(0.01)
        except FileNotFoundError:
            continue
    told = [json.loads(process.communicate()[0]) for process in both]
    assert [facts["digest"] for facts in told] == [many.manifest["digest"]] * 2
    assert [process.returncode for process in both] == [0, 0]
    assert len(seen) > 10
    assert len(seen) == len(set(seen))
    is_complete(tmp_path, many)


@linux
@pytest.mark.parametrize(
    ("how", "status", "word", "backend"),
    [
        (signal.SIGTERM, 143, "terminated", "threads"),
        (signal.SIGTERM, 143, "terminated", "loky"),
        (signal.SIGINT, 130, "interrupted", "loky"),  # test_runner has it with threads
    ],
)
def test_a_signal_to_all_processes_ends_cleanly(
    tmp_path: Path, many: Results, how: signal.Signals, status: int, word: str, backend: str
) -> None:
    process = start(tmp_path, "--backend", backend)
    wait_until(lambda: len(stored_frames(tmp_path / "store")) > 12)
    os.killpg(process.pid, how)  # as a batch system does, or a terminal
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, err
    assert err.splitlines()[-1] == f"{word}; finished runs are stored, and the same command resumes"
    assert "Traceback" not in err
    wait_until(lambda: not processes_in(tmp_path))
    assert not (tmp_path / "store" / "claims").exists()
    resume(tmp_path)
    is_complete(tmp_path, many)


@linux
def test_what_a_killed_process_had_taken_is_taken_over(tmp_path: Path, many: Results) -> None:
    first, second = start(tmp_path), start(tmp_path)
    wait_until(lambda: len(list((tmp_path / "store" / "claims").glob("*"))) == 2)
    first.kill()
    first.communicate()
    _, err = second.communicate(timeout=PATIENCE)
    assert second.returncode == 0, err
    is_complete(tmp_path, many)


@linux
def test_the_command_says_that_the_walltime_was_over(tmp_path: Path, many: Results) -> None:
    process = start(tmp_path, "--walltime", "1s", "--json")
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 4, err
    facts = json.loads(out)
    assert facts["left"] == len(many.runs) - facts["runs"] > 0
    assert facts["digest"] is None
    wait_until(lambda: not processes_in(tmp_path))
    resume(tmp_path)
    is_complete(tmp_path, many)
