"""Running studies: one row each whatever happens, nothing twice, the same digest however it was run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

import optcore as om
from optcore_bench import backends, mixing
from optcore_bench.costs import cost_table
from optcore_bench.progress import Quiet
from optcore_bench.runner import MixedEnvironmentError, MixedStudyError, run_study
from optcore_bench.store import Results, StoreNotFoundError, StoreWriter, stored_run_ids, verify
from optcore_bench.study import Study
from optcore_bench.supervise import Supervisor
from optcore_problems import Problem
from tests.processes import PATIENCE, is_running, wait_until

# Solvers travel by value: importing this module in each new process would import pytest there.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

TINY: dict[str, Any] = {
    "name": "tiny",
    "problems": {"suite": "more_wild", "n_max": 2},
    "algorithms": ["scipy_lbfgsb", "scipy_ls_lm", "scipy_neldermead"],
    "derivatives": ["analytic", "forward", "complex_step"],
    "budget": {"max_gradients": 20},
}


def tiny(**changes: Any) -> Study:
    return Study(**(TINY | changes))


class Notes(Quiet):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.begun: tuple[str, int, int] | None = None
        self.notes: list[str] = []
        self.runs: list[tuple[str, str]] = []
        self.ended = False

    def begin(self, name: str, total: int, stored: int, workers: int = 1) -> None:
        self.begun = (name, total, stored)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def done(self, label: str, status: str, evaluations: int = 0) -> None:
        self.runs.append((label, status))

    def end(self) -> None:
        self.ended = True


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return run_study(tiny(), tmp_path_factory.mktemp("serial") / "store")


def test_every_row_of_the_study_is_stored_once_and_well(serial: Results) -> None:
    runs = serial.runs
    problems = len(tiny().resolve_problems())
    assert len(runs) == problems * (3 + 3 + 4)
    assert not runs.duplicated(["suite", "problem", "start", "algorithm", "derivative"]).any()
    assert set(runs["status"]) <= {"converged", "stopped", "budget_evaluations", "not_applicable", "error"}
    ran = runs[runs["status"] != "not_applicable"]
    assert len(ran) == problems * (3 + 3 + 1)
    assert (ran["f_best"] <= ran["f_start"]).all()
    counted = serial.history().groupby("run_id", observed=True).size()
    calls = ran.set_index("run_id")[["n_fun_evals", "n_jac_evals", "n_fun_and_jac_evals"]].sum(axis=1)
    assert calls.to_dict() == counted.to_dict()
    assert (ran["n_fun_evals"] + ran["n_fun_and_jac_evals"] <= 20 * (ran["n"] + 1)).all()
    assert serial.timings.set_index("run_id").loc[ran["run_id"], "seconds"].gt(0).all()
    assert serial.finished
    assert not verify(serial.path)


def test_the_derivative_error_is_in_the_row(serial: Results) -> None:
    errors = serial.runs[serial.runs["status"] != "not_applicable"].groupby("derivative")["derivative_error"]
    assert errors.max()["analytic"] == 0.0
    assert 0 < errors.min()["forward"] < errors.max()["forward"] < 1e-5
    assert errors.max()["complex_step"] < 1e-14
    assert errors.count()["none"] == 0


def test_what_can_not_be_is_a_row_with_its_reason(serial: Results) -> None:
    rows = serial.runs[serial.runs["status"] == "not_applicable"]
    assert set(rows["algorithm"]) == {"scipy_neldermead"}
    assert set(rows["derivative"]) == {"analytic", "forward", "complex_step"}
    assert rows["message"].str.contains("runs under 'none'").all()
    assert rows["f_start"].notna().all()


@pytest.mark.parametrize("backend", ["threads", "loky"])
def test_two_workers_give_the_digest_of_one(serial: Results, tmp_path: Path, backend: str) -> None:
    two = run_study(tiny(), tmp_path / "store", n_jobs=2, backend=backend)
    assert two.manifest["digest"] == serial.manifest["digest"]
    assert two.timings["worker"].nunique() >= 2


def test_what_is_stored_is_not_run_again(serial: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    assert serial.path is not None
    files = {path: path.stat().st_mtime_ns for path in serial.path.rglob("*.parquet")}
    monkeypatch.setattr(backends, "perform", lambda *_: pytest.fail("a stored run was run again"))
    told = Notes()
    again = run_study(tiny(), serial.path, progress=told)
    assert again.manifest["digest"] == serial.manifest["digest"]
    assert {path: path.stat().st_mtime_ns for path in serial.path.rglob("*.parquet")} == files
    assert told.begun == ("tiny", len(serial.runs), len(serial.runs))
    assert told.runs == []
    assert told.ended


def test_processes_start_before_the_store_is_made_as_many_as_there_are_runs_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    start = Supervisor.start
    monkeypatch.setattr(Supervisor, "start", lambda self: (seen.append((tmp_path / "store").exists()), start(self)))
    study = tiny(problems="more_wild/rosenbrock", algorithms="scipy_neldermead", derivatives=["forward", "none"])
    runs = run_study(study, tmp_path / "store", n_jobs=3).runs
    assert sorted(runs["status"] == "not_applicable") == [False, True]
    assert seen == [False]
    run_study(study, tmp_path / "store", n_jobs=3)
    assert seen == [False]


def test_what_is_added_is_run_and_the_digest_is_that_of_the_whole(serial: Results, tmp_path: Path) -> None:
    part = tiny(algorithms=["scipy_lbfgsb", "scipy_neldermead"], derivatives=["analytic", "forward"])
    run_study(part, tmp_path / "store")
    told = Notes()
    whole = run_study(tiny(), tmp_path / "store", progress=told)
    assert whole.manifest["digest"] == serial.manifest["digest"]
    assert {label.split()[1] for label, _ in told.runs} == {"scipy_lbfgsb", "scipy_ls_lm", "scipy_neldermead"}
    assert told.begun is not None
    assert len(told.runs) == told.begun[1] - told.begun[2] < len(serial.runs)
    assert [entry["command"] for entry in whole.manifest["resumed"]] == [None]


def test_a_store_of_other_rules_is_refused_and_left_alone(serial: Results) -> None:
    assert serial.path is not None
    for changes in (
        {"budget": {"max_gradients": 10}},
        {"seed": 1},
        {"stopping": "default"},
        {"keep_x": False},
        {"name": "t"},
    ):
        with pytest.raises(MixedStudyError, match=rf"made under other rules \({next(iter(changes))}.*another --store"):
            run_study(tiny(**changes), serial.path)
    with pytest.raises(MixedStudyError, match=r"doesn't list, such as more_wild/.* scipy_neldermead"):
        run_study(tiny(algorithms=["scipy_lbfgsb", "scipy_ls_lm"]), serial.path)
    assert Results(serial.path).manifest == serial.manifest


def test_another_environment_is_refused_unless_mixing_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny(problems="more_wild/rosenbrock", algorithms="scipy_lbfgsb", derivatives="analytic")
    run_study(study, tmp_path / "store")
    more = tiny(problems="more_wild/rosenbrock", algorithms="scipy_lbfgsb", derivatives=["analytic", "forward"])
    here = mixing.fingerprint()
    monkeypatch.setattr(mixing, "fingerprint", lambda: here | {"numpy": "0.1"})
    with pytest.raises(MixedEnvironmentError, match=r"numpy '.*' there, '0.1' here.*--allow-mixed"):
        run_study(more, tmp_path / "store")
    assert len(run_study(more, tmp_path / "store", allow_mixed=True).runs) == 2


def test_a_store_without_runs_takes_the_environment_of_its_first_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny(problems="more_wild/rosenbrock", algorithms="scipy_lbfgsb", derivatives="analytic")
    elsewhere = mixing.fingerprint() | {"numpy": "0.1"}
    begun = {"environment": elsewhere, "provenance": {"command": "there"}}
    StoreWriter(tmp_path / "store", study=study.to_toml(), manifest=begun).close()
    results = run_study(study, tmp_path / "store", command="here")
    assert results.manifest["environment"] == mixing.fingerprint()
    assert results.manifest["provenance"]["command"] == "here"
    assert len(run_study(study, tmp_path / "store").runs) == 1  # it isn't taken for a store of another environment


def test_a_missing_library_is_one_line_and_rows_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(om.algos.nag_dfols, "available", classmethod(lambda cls: False))
    told = Notes()
    results = run_study(tiny(algorithms=["nag_dfols"]), tmp_path / "store", progress=told)
    assert set(results.runs["status"]) == {"not_applicable"}
    assert len(told.notes) == 1
    assert "pip install 'optcore[dfols]'" in told.notes[0]
    assert results.runs["message"].str.contains("dfols, which is not installed").all()


# --- solvers and problems of one's own ------------------------------------------------------------------------------


def descend(fun_and_jac: Any, x0: Any, max_evaluations: Any, options: Any) -> Any:
    for _ in range(max_evaluations):
        _, gradient = fun_and_jac(x0)
        x0 = x0 - options.get("rate", 1e-3) * gradient
    return x0


def search(fun: Any, x0: Any, seed: Any) -> Any:
    generator = np.random.default_rng(seed)
    return min((x0 + generator.normal(size=x0.size) for _ in range(10)), key=fun)


def raises(fun: Any, x0: Any) -> Any:
    fun(x0)
    raise RuntimeError("boom")


def exits(fun: Any, x0: Any) -> Any:
    fun(x0)
    os._exit(3)


def hangs(fun: Any, x0: Any) -> Any:
    fun(x0)
    fun(x0 + 1.0)
    while True:
        pass


def eats(fun: Any, x0: Any) -> Any:
    fun(x0)
    kept = []
    while True:
        kept.append(np.ones(2**22))


def test_a_bad_solver_costs_one_row_and_keeps_its_evaluations(tmp_path: Path) -> None:
    bad = [raises, exits, eats]
    study = Study(
        "bad",
        ["more_wild/rosenbrock", "more_wild/bard"],
        ["scipy_ls_trf", *bad, "scipy_ls_lm"],
        ["none", "analytic"],
        budget={"max_gradients": 20},
        max_memory=400 * 2**20,
    )
    results = run_study(study, tmp_path / "store", n_jobs=2)
    runs = results.runs[results.runs["status"] != "not_applicable"].set_index(["problem", "algorithm"])
    for problem in ("rosenbrock", "bard"):
        found = runs.loc[problem]
        assert found["status"].to_dict() == {
            "scipy_ls_trf": "converged",
            "scipy_ls_lm": "converged",
            "raises": "error",
            "exits": "crashed",
            "eats": "crashed",
        }
        assert (found["n_fun_evals"][["raises", "exits", "eats"]] == 1).all()
        assert (found["f_best"] <= found["f_start"]).all()
    assert runs["message"]["bard", "raises"].startswith("RuntimeError: boom")
    assert "os._exit(3)" in runs["message"]["bard", "exits"]
    assert "memory" in runs["message"]["bard", "eats"]
    assert results.manifest["digest_left_out"] == {"crashed": 4}


def test_a_solver_that_hangs_is_killed_at_the_time_out_and_keeps_its_evaluations(tmp_path: Path) -> None:
    results = run_study(Study("s", "more_wild/bard", hangs, "none", run_timeout=1.5), tmp_path / "store")
    (row,) = results.runs.to_dict("records")
    assert (row["status"], row["n_fun_evals"]) == ("timeout", 2)
    assert "1.5 s" in row["message"]
    assert len(results.history()) == 2


def test_own_solvers_and_problems_run_as_any_other(tmp_path: Path) -> None:
    mine = Problem(name="mine", start=np.array([1.0, 2.0]), m=2, residuals_xp=lambda x, xp: x - 3.0)
    study = Study(
        "own",
        [mine, "more_wild/rosenbrock"],
        [
            {"name": "slow", "algorithm": descend},
            {"name": "fast", "algorithm": descend, "options": {"rate": 0.5}},
            search,
            {"name": "first", "algorithm": lambda fun, x0: x0},
        ],
        ["analytic", "forward"],
        budget={"max_evaluations": 30},
    )
    one, two = (run_study(study, tmp_path / str(n_jobs), n_jobs=n_jobs) for n_jobs in (1, 2))
    assert one.manifest["digest"] == two.manifest["digest"]
    runs = one.runs.set_index(["problem", "algorithm", "derivative"])
    assert runs["status"]["mine", "slow", "analytic"] == "not_applicable"  # there is no closed form
    assert runs["f_best"]["mine", "fast", "forward"] == pytest.approx(0.0, abs=1e-12)  # x - 0.5 * 2 (x - 3) = 3
    assert runs["f_start"]["mine", "slow", "forward"] == 5.0
    assert runs["n_fun_evals"]["rosenbrock", "search", "none"] == 11
    assert runs["algorithm_options"]["mine", "fast", "forward"] == '{"rate":0.5}'
    # the solver asks 30 times for value and gradient; the start is evaluated as a part of the first
    assert runs["n_fun_evals"]["mine", "slow", "forward"] == 30


def test_what_a_solver_tries_outside_the_bounds_is_neither_best_nor_a_solution(tmp_path: Path) -> None:
    steep = Problem(
        name="steep", start=np.ones(2), bounds=om.Bounds(0.0, 2.0), fun_xp=lambda x, xp: x.sum() + 0.0, f_opt=0.0
    )
    study = Study("s", steep, "scipy_cobyla", "none", budget={"max_evaluations": 60})
    results = run_study(study, tmp_path / "store")
    (row,), history = results.runs.to_dict("records"), results.history()
    outside = np.stack(history["x"].to_list()).min(axis=1) < 0
    assert history["fun"][outside].min() < 0.0  # or this would prove nothing
    assert row["f_best"] == history["best"].iloc[-1] == history["fun"][~outside].min() >= 0.0
    best = history["best"].to_numpy()
    fell = np.flatnonzero(np.diff(best, prepend=np.inf) < 0)
    assert not outside[fell].any()
    hit = cost_table(results, tau=0.1).iloc[0, 0]
    assert hit == 1 + np.flatnonzero(~outside & (history["fun"] <= 0.2))[0]


def test_new_code_of_a_solver_supersedes_its_rows(tmp_path: Path) -> None:
    def make(shift: float) -> Any:
        def solver(fun: Any, x0: Any) -> Any:
            return x0 + shift

        return solver

    def run(shift: float, told: Notes) -> Any:
        study = Study(
            "s", "more_wild/rosenbrock", [make(shift), "scipy_lbfgsb"], "analytic", budget={"max_evaluations": 9}
        )
        return run_study(study, tmp_path / "store", progress=told).runs.set_index(["algorithm", "derivative"])

    before, told = run(0.5, Notes()), Notes()
    after = run(0.25, told)
    assert len(before) == len(after) == 3
    assert len(told.notes) == 1
    assert "2 stored runs were made by other code" in told.notes[0]
    assert after["f_final"]["solver", "none"] != before["f_final"]["solver", "none"]
    assert after["run_id"]["scipy_lbfgsb", "analytic"] == before["run_id"]["scipy_lbfgsb", "analytic"]


def test_seconds_of_the_budget_stop_a_run_and_kill_one_that_does_not_stop(tmp_path: Path) -> None:
    slow = Problem(name="slow", start=np.ones(2), m=2, residuals_xp=lambda x, xp: (time.sleep(0.02), x)[1])
    study = Study("s", slow, ["scipy_neldermead", hangs], "none", budget={"max_seconds": 0.2})
    results = run_study(study, tmp_path / "store", n_jobs=2)
    runs = results.runs.set_index("algorithm")
    seconds = results.timings.set_index("run_id")["seconds"]
    assert runs["status"].to_dict() == {"scipy_neldermead": "budget_seconds", "hangs": "timeout"}
    assert seconds[runs["run_id"]["scipy_neldermead"]] >= 0.2
    assert seconds[runs["run_id"]["hangs"]] >= 1.2
    assert "killed at the limit of 1.22 s" in runs["message"]["hangs"]  # 1.1 times and a second
    assert results.manifest["digest_rows"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_jobs": 0}, "n_jobs must be"),
        ({"n_jobs": 1.5}, "n_jobs must be"),
        ({"backend": "theads"}, "unknown backend 'theads'; did you mean 'threads'?"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "a scheduler goes with the backend 'dask', not with 'threads'"),
        ({"retry": "crash,timeout"}, "unknown status to retry 'crash'; did you mean 'crashed'?"),
        ({"shard": "4/3"}, "a shard is K/N.* but is '4/3'"),
        ({"shard": "third"}, "a shard is K/N.* but is 'third'"),
        ({"shard": (0, 3)}, "a shard is K/N"),
        ({"walltime": "soon"}, "a walltime is a time such as 3:50:00.* but is 'soon'"),
        ({"walltime": 0}, "a walltime is a time"),
        ({"walltime": True}, "a walltime is a time"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises((om.InvalidInputError, om.UnknownNameError), match=words):
        run_study(tiny(), tmp_path / "store", **arguments)
    assert not (tmp_path / "store").exists()


def test_what_can_not_be_pickled_is_named(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        study = Study("s", "more_wild/rosenbrock", {"name": "odd", "algorithm": lambda fun, x0: file, "version": "1"})
        with pytest.raises(om.InvalidInputError, match=r"rosenbrock odd \[none\] can't be sent to another process"):
            run_study(study, tmp_path / "store")


# --- scripts, Ctrl-C --------------------------------------------------------------------------------------------------

SCRIPT = """
import os, sys, time
from optcore_bench import Study, run_study

print("started", flush=True)

def pause(fun, x0):
    fun(x0)
    with open("pids", "a") as file:
        print(os.getpid(), file=file)
    while os.path.exists("wait"):
        time.sleep(0.01)
    return x0

problems = {"suite": "more_wild", "n_max": 2}
study = Study("script", problems, ["scipy_lbfgsb", pause], ["none", "forward"], budget={"max_gradients": 5})
results = run_study(study, "store", n_jobs=2, backend=sys.argv[1])
print(results.manifest["digest"])
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    return path


def start(script: Path, backend: str = "threads") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), backend],
        cwd=script.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def waiting_pids(script: Path, how_many: int) -> list[int]:
    path = script.parent / "pids"
    wait_until(lambda: path.exists() and len(path.read_text().split()) >= how_many)
    return [int(pid) for pid in path.read_text().split()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest of the script's study, run with threads and without interruption."""
    path = tmp_path_factory.mktemp("undisturbed") / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    out, err = start(path).communicate(timeout=PATIENCE)
    assert err == ""
    assert out.splitlines()[0] == "started"
    return out.splitlines()[1]


def test_a_script_needs_no_guard_and_runs_once(script: Path, undisturbed: str) -> None:
    out, err = start(script, "loky").communicate(timeout=PATIENCE)
    assert out.splitlines() == ["started", undisturbed]
    assert err == ""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("backend", ["threads", "loky"])
def test_ctrl_c_costs_the_runs_in_flight_only(script: Path, backend: str, undisturbed: str) -> None:
    """As kill -9 does, for which see test_kills and test_cli."""
    wait, store = script.parent / "wait", script.parent / "store"
    wait.touch()
    process = start(script, backend)
    pids = waiting_pids(script, 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=PATIENCE)
    assert "KeyboardInterrupt" in err
    assert process.returncode in (-signal.SIGINT, 130, 1)
    wait_until(lambda: not any(is_running(pid) for pid in pids))
    kept = dict(stored_run_ids(store))
    assert kept
    assert not Results(store).finished
    if backend == "loky":  # what a store gives when it is taken up doesn't depend on who began it
        return
    wait.unlink()
    resumed, err = start(script).communicate(timeout=PATIENCE)
    assert set(kept) < set(stored_run_ids(store))
    assert resumed.splitlines()[-1] == undisturbed, err


def children() -> list[int]:
    """Processes that this one started and that still run."""
    found = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
    return [int(pid) for pids in found for pid in pids if is_running(int(pid))]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_an_interruption_between_runs_ends_all_processes_at_once(tmp_path: Path, n_jobs: int) -> None:
    class Interrupted(Notes):
        def done(self, label: str, status: str, evaluations: int = 0) -> None:
            super().done(label, status, evaluations)
            if sum(status != "not_applicable" for _, status in self.runs) == 3:
                raise KeyboardInterrupt

    before, told = children(), Interrupted()
    with pytest.raises(KeyboardInterrupt) as caught:  # which keeps the frames, and so what they hold
        run_study(tiny(), tmp_path / "store", n_jobs=n_jobs, progress=told)
    assert caught.tb is not None
    assert set(children()) <= set(before)
    assert told.ended
    assert len(stored_run_ids(tmp_path / "store")) == len(told.runs)


def test_an_interruption_before_anything_ran_leaves_a_store_that_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    study = tiny(problems="more_wild/rosenbrock", algorithms="scipy_lbfgsb", derivatives="analytic")
    with monkeypatch.context() as patched:
        patched.setattr(backends, "perform", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run_study(study, tmp_path / "store")
    with pytest.raises(StoreNotFoundError):
        Results(tmp_path / "elsewhere")
    assert Results(tmp_path / "store").runs.empty
    assert len(run_study(study, tmp_path / "store").runs) == 1
