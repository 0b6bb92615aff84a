"""Solvers in a Python of their own: the same numbers, their own versions, and what goes wrong there as rows."""

from __future__ import annotations

import os
import re
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy

from optcore.errors import InvalidInputError
from optcore_bench import addresses
from optcore_bench.algorithms import algorithm_entry
from optcore_bench.runner import run_study
from optcore_bench.runs import expand
from optcore_bench.store import Results
from optcore_bench.study import Study, load_study
from tests.processes import is_running, wait_until

#: A version that no scipy has.
VERSION = "0.0.7"

SOLVER = """
import os
import sys
import time

import numpy as np

def solve(fun, jac, x0, bounds, max_evaluations, seed, options):
    x = x0
    for _ in range(options["steps"]):
        gradient = jac(x)
        x = np.clip(x - 1e-2 * gradient / np.linalg.norm(gradient), *(bounds or (-np.inf, np.inf)))
        fun(x)
    return {"x": x, "success": True, "nfev": 999, "message": f"{bounds is None} {max_evaluations} {seed} {options}"}

def residual_solver(residuals, residuals_jacobian, x0):
    return x0 - np.linalg.lstsq(residuals_jacobian(x0), residuals(x0), rcond=None)[0]

def twice(fun_and_jac, x0):
    fun_and_jac(x0 - 1e-3 * fun_and_jac(x0)[1])
    return x0

def own_versions(fun, x0):
    import numpy
    assert "optcore" not in sys.modules
    return {"x": x0, "message": f"{sys.executable} {numpy.__file__}"}

def leaves_something(fun, x0):
    np.left_behind = getattr(np, "left_behind", 0) + 1
    os.environ["LEFT_BEHIND"] = os.environ.get("LEFT_BEHIND", "") + "x"
    return {"x": x0, "message": f"{np.left_behind} {os.environ['LEFT_BEHIND']} {os.getppid()}"}

def raises(fun, x0):
    fun(x0 + 1)
    raise ValueError("no way")

def exits(fun, x0):
    fun(x0 + 1)
    sys.exit("enough")

def dies(fun, x0):
    fun(x0 + 1)
    print("last words", file=sys.stderr)
    sys.stderr.flush()
    os._exit(3)

def aborts(fun, x0):
    fun(x0 + 1)
    os.kill(os.getpid(), 11)

def hangs(fun, x0, options):
    fun(x0 + 1)
    if os.fork():
        with open(options["file"], "a") as file:
            file.write(f"{os.getpid()} ")
    else:
        os.setsid()
        with open(options["file"], "a") as file:
            file.write(f"{os.getpid()} ")
    while True:
        time.sleep(1)

def floods(fun, x0):
    for _ in range(100):
        print("x" * 100_000)
        print("y" * 100_000, file=sys.stderr)
    fun(x0 + 1)
    return x0

def too_long(fun, x0):
    return np.ones(5)

def nothing(fun, x0):
    return "nothing"

def wrong_point(fun, x0):
    return fun(np.ones(3))

def catches(fun, x0):
    for _ in range(100):
        try:
            fun(x0 + np.random.default_rng(_).normal(size=2))
        except Exception:
            pass
    return x0

def wants_hessian(fun, hessian):
    return hessian

number = 3
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter that has numpy and scipy and nothing else, and thinks that its scipy is another one."""
    root = tmp_path_factory.mktemp("bare")
    venv.create(root, with_pip=False, symlinks=True)
    packages = next((root / "lib").glob("python3*")) / "site-packages"
    installed = Path(np.__file__).parent.parent
    if Path(scipy.__file__).parent.parent != installed:
        pytest.skip("numpy and scipy are not installed side by side")
    for name in ("numpy", "numpy.libs", "scipy", "scipy.libs", f"numpy-{np.__version__}.dist-info"):
        if (installed / name).exists():
            (packages / name).symlink_to(installed / name)
    (packages / f"scipy-{VERSION}.dist-info").mkdir()
    (packages / f"scipy-{VERSION}.dist-info" / "METADATA").write_text(f"Name: scipy\nVersion: {VERSION}\n")
    return str(root / "bin" / "python")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a solver; what loading it here leaves in the process is taken back."""
    path, modules, files = list(sys.path), set(sys.modules), dict(addresses._FILES)
    (tmp_path / "remote_solver.py").write_text(SOLVER)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name.startswith("file_"):
            del sys.modules[name]
    addresses._FILES.clear()
    addresses._FILES.update(files)


def _same_histories(results: Results, one: str, other: str) -> None:
    history = results.history()
    runs = results.runs
    for key in runs.loc[runs["algorithm"] == one, ["problem", "derivative"]].itertuples(index=False):
        chosen = runs[(runs["problem"] == key.problem) & (runs["derivative"] == key.derivative)]
        first, second = (chosen[chosen["algorithm"] == name].iloc[0] for name in (one, other))
        assert first["history_hash"] == second["history_hash"], (one, key)
        for column in ("status", "message", "n_fun_evals", "n_jac_evals", "n_numdiff_evals", "n_iterations", "f_final"):
            assert repr(first[column]) == repr(second[column]), (one, key, column)
        assert len(history[history["run_id"] == first["run_id"]]) > 1


def test_the_same_numbers_come_out_bit_by_bit_in_a_python_with_numpy_and_scipy_only(bare: str, folder: Path) -> None:
    own = f"{folder}/remote_solver.py"
    solvers: dict[str, dict[str, Any]] = {
        "lbfgsb": {"algorithm": "scipy_lbfgsb", "options": {"limited_memory_storage_length": 3}},
        "trf": {"algorithm": "scipy_ls_trf"},
        "solve": {"path": f"{own}:solve", "options": {"steps": 4}},
        "lstsq": {"path": f"{own}:residual_solver"},
        "twice": {"path": f"{own}:twice"},
    }
    study = Study(
        "s",
        {"problem": "more_wild/rosenbrock", "noise": {"kind": "multiplicative", "level": 1e-3}},
        [{"name": f"{name}{where}", **solver, **python} for where, python in (("", {}), ("-there", {"python": bare}))
         for name, solver in solvers.items()],
        ["analytic", "forward"],
        {"max_evaluations": 17},
    )  # fmt: skip
    results = run_study(study, folder / "store", n_jobs=2)
    for name in solvers:
        _same_histories(results, name, f"{name}-there")
    runs = results.runs.set_index(["algorithm", "derivative"])
    assert runs.loc[("lbfgsb-there", "forward"), "n_fun_evals"] == 17
    assert runs.loc[("lbfgsb-there", "forward"), "status"] == "budget_evaluations"
    message = runs.loc[("solve-there", "analytic"), "message"]
    assert message == "True 17 0 {'steps': 4, 'seed': 0} (claims 999 evaluations; 5 were counted)"
    here, there = (
        results.environments[runs.loc[(f"lbfgsb{where}", "forward"), "environment"]] for where in ("", "-there")
    )
    added = {key: value for key, value in there.items() if key not in here}
    assert {**here, **added} == there
    assert (added["solver_scipy"], added["solver_numpy"]) == (VERSION, np.__version__)
    assert sorted(added) == ["solver_blas", "solver_numpy", "solver_python", "solver_scipy"]


def test_bounds_go_there(folder: Path) -> None:
    problem = {"problem": "more_wild/rosenbrock", "bounded": True}
    options = {"steps": 4}
    entry = {"path": f"{folder}/remote_solver.py:solve", "options": options}
    study = Study("s", problem, [{"name": "here", **entry}, {"name": "there", **entry, "python": sys.executable}])
    results = run_study(study, folder / "store")
    assert results.runs["message"].str.startswith("False").all()
    _same_histories(results, "here", "there")


def test_versions_are_part_of_the_id_and_the_path_of_the_interpreter_is_not(bare: str, folder: Path) -> None:
    def ids(**entry: Any) -> list[str]:
        study = Study("s", "more_wild/rosenbrock", {"name": "x", "algorithm": "scipy_bfgs", **entry})
        return [run.run_id for run in expand(study)]

    link = folder / "python"
    link.symlink_to(sys.executable)
    assert len({*ids(), *ids(python=bare), *ids(python=sys.executable)}) == 3
    (folder / "elsewhere").mkdir()
    assert ids(python=bare) == ids(python=os.path.relpath(bare))


def test_a_study_in_a_file_reads_paths_from_its_folder_and_its_text_back(folder: Path, bare: str) -> None:
    (folder / "venv").symlink_to(Path(bare).parent.parent)
    (folder / "study.toml").write_text(
        'problems = "more_wild/rosenbrock"\n'
        'algorithms = [{name = "a", algorithm = "scipy_bfgs", python = "venv/bin/python"},\n'
        '  {name = "b", path = "remote_solver.py:twice", python = "venv/bin/python", options = {}}]\n'
    )
    study = load_study(folder / "study.toml")
    first, second = study.to_dict()["algorithms"]
    assert first == {"name": "a", "algorithm": "scipy_bfgs", "python": f"{folder}/venv/bin/python"}
    assert second["path"] == f"{folder}/remote_solver.py:twice"
    (folder / "other").mkdir()
    (folder / "other" / "study.toml").write_text(study.to_toml())
    again = load_study(folder / "other" / "study.toml")
    assert again == study
    assert [run.run_id for run in expand(again)] == [run.run_id for run in expand(study)]


WORDS = {
    "raises": ("error", r"^ValueError: no way \(in raises \(/.*/remote_solver.py:\d+\)\)$"),
    "exits": ("error", r"^SystemExit: enough \(in exits"),
    "dies": ("crashed", r"^the solver's process, '.*python.*', ended with exit code 3; it printed last: last words$"),
    "aborts": ("crashed", r"^the solver's process, '.*', was killed by SIGSEGV"),
    "floods": ("stopped", r"^$"),
    "too_long": ("error", r"the solver 'too_long' must return x of shape \(2,\).*but returned array\(\[1., 1., 1."),
    "nothing": ("error", r"the solver 'nothing' must return x of shape \(2,\).*but returned 'nothing'"),
    "wrong_point": ("error", r"the solver 'wrong_point' must evaluate at points of shape \(2,\), but gave array"),
    "catches": ("budget_evaluations", r"^the budget of 9 evaluations is spent$"),
    "own_versions": ("stopped", r"/bin/python .*/numpy/__init__.py$"),
}


@pytest.fixture(scope="module")
def wrong(bare: str, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """A study of what goes wrong; others go on while one hangs until it is killed."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "remote_solver.py").write_text(SOLVER)
    place = f"{folder}/remote_solver.py"
    entries: list[dict[str, Any]] = [{"path": f"{place}:hangs", "python": bare, "options": {"file": f"{folder}/pids"}}]
    entries += [{"path": f"{place}:{name}", "python": bare} for name in WORDS]
    study = Study("s", "more_wild/rosenbrock", entries, "none", {"max_evaluations": 9}, run_timeout=5.0)
    return run_study(study, folder / "store", n_jobs=2)


def test_what_goes_wrong_there_is_a_row_with_the_evaluations_made_before(wrong: Results) -> None:
    rows = wrong.runs.set_index("algorithm")
    for name, (status, message) in WORDS.items():
        assert rows.loc[name, "status"] == status, (name, rows.loc[name, "message"])
        assert re.search(message, rows.loc[name, "message"]), (name, rows.loc[name, "message"])
    evaluations = rows["n_fun_evals"].to_dict()
    assert {name: evaluations[name] for name in ("raises", "exits", "dies", "aborts", "floods")} == dict.fromkeys(
        ("raises", "exits", "dies", "aborts", "floods"), 2
    )
    assert evaluations["catches"] == 9


def test_one_interpreter_serves_a_worker_and_no_run_finds_what_another_left(folder: Path) -> None:
    entry = {"path": f"{folder}/remote_solver.py:leaves_something", "python": sys.executable}
    study = Study("s", ["more_wild/rosenbrock", "more_wild/bard", "more_wild/brown_dennis"], entry, "none")
    messages = run_study(study, folder / "store").runs["message"].tolist()
    left, parents = {text.rpartition(" ")[0] for text in messages}, {text.rpartition(" ")[2] for text in messages}
    assert left == {"1 x"}
    assert len(parents) == 1 or sys.platform != "linux"
    wait_until(lambda: not any(is_running(int(pid)) for pid in parents))


def test_a_solver_that_hangs_there_is_killed_with_all_that_it_started(wrong: Results) -> None:
    row = wrong.runs.set_index("algorithm").loc["hangs"]
    assert (row["status"], row["n_fun_evals"]) == ("timeout", 2)
    assert row["message"].startswith("killed at the limit of 5 s")
    assert wrong.path is not None
    started = [int(pid) for pid in (wrong.path.parent / "pids").read_text().split()]
    assert len(started) == 2
    wait_until(lambda: not any(is_running(pid) for pid in started))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"python": "no/python"}, r"there is no Python interpreter '/.*/no/python'; give the path of one, such as"),
        ({"python": "/bin/cat"}, r"'/bin/cat' does not answer as a Python interpreter of version 3.8 or newer"),
        ({"python": "remote_solver.py"}, r"the Python interpreter '.*remote_solver.py' can't be started: Perm"),
        ({"python": 3}, r"python must be the path of an interpreter, such as 'venv/bin/python', but is 3"),
        ({"algorithm": "scipy_lbfgs"}, r"'scipy_lbfgs' can't be used in '/.*python': .* mean 'scipy_lbfgsb'\?"),
        ({"options": {"stopping_maxitr": 3}}, r"'scipy_lbfgsb' can't be used in '/.*'stopping_maxitr'; did you mean"),
        ({"path": "remote_solver.py:solv"}, r"can't be used in '/.*: there is no 'solv' in .*mean 'solve'\?"),
        ({"path": "remote_solver.py:number"}, r"'number' can't be used in .*: what is there is 3; a solver is a f"),
        ({"path": "remote_solver.py:wants_hessian"}, r"asks for 'hessian'; a solver gets by name any of"),
        ({"path": "broken.py:solve"}, r"'solve' can't be used in .*: ModuleNotFoundError: .*'pandas' .*broken.py:1"),
        ({"path": "missing.py:solve"}, r"there is no file '/.*/missing.py'"),
        ({"algorithm": "no_package.a:solve"}, r"can't be used in .*: ModuleNotFoundError: .*'no_package'"),
        ({"algorithm": np.linalg.norm}, r"python goes with the name of an algorithm or the place of a solver"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_there_is_told_in_one_sentence_that_names_the_interpreter(
    bare: str, folder: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "broken.py").write_text("import pandas\n")
    base = {"python": bare} if "path" in given else {"python": bare, "algorithm": "scipy_lbfgsb"}
    with pytest.raises(InvalidInputError, match=message) as caught:
        algorithm_entry({"name": "x", **base, **given})
    assert "\n" not in str(caught.value)
