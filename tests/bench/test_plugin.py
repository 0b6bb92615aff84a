"""The pytest plugin in a repository outside of ours, and what it calls."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

import optcore as om
from optcore.errors import InvalidInputError
from optcore_bench import compare, cost_table, run_study
from optcore_bench.comparison import Gate
from optcore_bench.comparison.baseline import read_baseline
from optcore_bench.study import Study
from optcore_bench.testing import RegressionError, assert_solves, check
from tests.bench.gradient_descent import DESCENT, WORSE
from tests.processes import git

# Solvers travel by value: importing this module in each new process would import pytest there.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

ROOT = Path(__file__).parents[2]
PROBLEMS = ["more_wild/rosenbrock", "more_wild/bard"]

TEST = """
import optcore as om
from descent import descend


def test_cost(optcore_regression):
    optcore_regression.check(
        {"descent": descend}, problems=["more_wild/box_3d", "more_wild/rosenbrock_x10", "more_wild/bard"],
        derivatives="analytic", budget=om.Budget(max_evaluations=400), tau=1e-3, robust_starts=5, n_jobs=1,
    )


def test_nothing():
    pass
"""
SAME = ("y = x - step * g", "y = x - step * np.copy(g)")
BETTER = ("step / 2, failures", "step / 4, failures")


def environment(*paths: Path) -> dict[str, str]:
    ours = [ROOT, ROOT / "problems", ROOT / "benchmarks"]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*paths, *ours]))}


def installed() -> bool:
    """Whether the plugin comes by its entry point; where optcore is on the path without it, -p loads it."""
    points = importlib.metadata.entry_points(group="pytest11")
    return any(point.value == "optcore_bench.pytest_plugin" for point in points)


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    load = [] if installed() else ["-p", "optcore_bench.pytest_plugin"]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *load, *arguments]
    env = environment(folder)
    for name in ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_CURRENT_TEST"):
        env.pop(name, None)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)


def commit(folder: Path, change: tuple[str, str] | None, message: str) -> None:
    if change is not None:
        before = (folder / "descent.py").read_text()
        after = before.replace(*change)
        assert before != after
        (folder / "descent.py").write_text(after)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", message)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A solver's repository with a test of its cost, and a branch each for a commit that changes it."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "tests").mkdir()
    (folder / ".gitignore").write_text("__pycache__/\n")
    (folder / "descent.py").write_text(DESCENT)
    (folder / "tests" / "test_descent.py").write_text(TEST)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, None, "a solver")
    without = run_pytest(folder, "-q")
    (folder / "without").write_text(without.stdout)
    assert without.returncode == 1, without.stdout + without.stderr
    accepted = run_pytest(folder, "-q", "--optcore-accept")
    (folder / "accepted").write_text(accepted.stdout)
    assert accepted.returncode == 0, accepted.stdout + accepted.stderr
    commit(folder, None, "its baseline")
    return folder


BASELINE = Path("tests") / "optcore_baselines" / "test_descent.test_cost.toml"


def test_without_a_baseline_the_test_fails_and_says_how_to_make_one(repository: Path) -> None:
    said = (repository / "without").read_text()
    assert "1 failed, 1 passed" in said
    assert f"there is no baseline '{repository / BASELINE}' yet; make it by `pytest --optcore-accept`" in said
    assert f"test_cost: wrote 3 rows to '{repository / BASELINE}'" in (repository / "accepted").read_text()


def test_the_baseline_is_small_sorted_and_says_where_it_holds(repository: Path) -> None:
    text = (repository / BASELINE).read_text()
    table = tomllib.loads(text)
    assert list(table["descent [analytic]"]) == sorted(table["descent [analytic]"])
    assert len(text) < 3000
    assert set(table["environment"]) >= {"blas", "numpy", "cpu", "simd"}
    assert table["starts"] == {"exact": 1, "robust": 5}


@pytest.mark.parametrize(
    ("change", "arguments", "code", "said"),
    [
        (SAME, ("-q",), 0, r"2 passed"),
        (BETTER, ("-q", "--import-mode=importlib"), 0, r"(?s)test_cost: better: 3 rows.*2 passed"),
        (WORSE, ("-q", "-n", "2"), 1, r"(?s)RegressionError: worse: .*more_wild/box_3d descent \[analytic\]: "),
    ],
    ids=["a commit that changes no number", "a commit that improves", "a commit that makes it worse"],
)
def test_commits(repository: Path, tmp_path: Path, change: Any, arguments: Any, code: int, said: str) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    commit(clone, change, "a change")
    done = run_pytest(clone, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert re.search(said, done.stdout), done.stdout
    assert git(clone, "status", "--porcelain") == ""


def test_the_plugin_is_an_entry_point_and_imports_nothing_but_pytest(tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"optcore": "optcore_bench.pytest_plugin"}
    (tmp_path / "conftest.py").write_text(
        "import sys\n"
        "def pytest_sessionfinish():\n"
        "    names = {'numpy', 'scipy', 'pandas', 'pyarrow', 'plotly', 'optcore', 'optcore_problems'}\n"
        "    heavy = names & set(sys.modules)\n"
        "    print('heavy:', sorted(heavy), 'optcore_bench' in sys.modules)\n"
    )
    (tmp_path / "test_a.py").write_text("def test_a(): pass\n")
    load = [] if installed() else ["-p", "optcore_bench.pytest_plugin"]
    quiet = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} if load else {}  # others, such as hypothesis's, import numpy
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-W", "error", "-p", "no:cacheprovider", *load, "test_a.py"],
        cwd=tmp_path,
        env=environment() | quiet,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if load:
        assert "heavy: [] True" in done.stdout


# --- check, in this process ------------------------------------------------------------------------------------------


def descend(fun: Any, jac: Any, x0: Any) -> Any:
    """As in the repository above."""
    namespace: dict[str, Any] = {}
    exec(DESCENT, namespace)
    return namespace["descend"](fun, jac, x0)


def slower(fun: Any, jac: Any, x0: Any) -> Any:
    """The same with steps that grow slowly."""
    namespace: dict[str, Any] = {}
    exec(DESCENT.replace(*WORSE), namespace)
    return namespace["descend"](fun, jac, x0)


def erratic(fun: Any, x0: Any) -> Any:
    """Draws from a generator that nobody seeds."""
    generator = np.random.default_rng()
    return min((x0 + generator.normal(size=x0.size) for _ in range(20)), key=fun)


SETTINGS: dict[str, Any] = {
    "problems": ["more_wild/box_3d", "more_wild/bard"],
    "derivatives": "analytic",
    "budget": om.Budget(max_evaluations=200),
    "tau": 1e-3,
    "robust_starts": 5,
    "n_jobs": 1,
}


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("baseline") / "made" / "a.toml"
    found = check({"descent": descend}, baseline=path, accept=True, **SETTINGS)
    assert found.notes == (f"wrote 2 rows to '{path}'",)
    return path


def elsewhere(baseline: Path, folder: Path) -> Path:
    """The same baseline as if it came from another processor."""
    text = re.sub(r'^cpu = ".*"$', 'cpu = "another"', baseline.read_text(), flags=re.MULTILINE)
    assert text != baseline.read_text()
    path = folder / "elsewhere.toml"
    path.write_text(text)
    return path


def test_the_counts_of_a_baseline_are_those_of_the_solver_alone(baseline: Path) -> None:
    from optcore_problems import get_problem

    for label, row in tomllib.loads(baseline.read_text())["descent [analytic]"].items():
        problem = get_problem(label)
        values: list[float] = []

        def fun(x: Any, problem: Any = problem, values: list[float] = values) -> float:
            values.append(float(problem.fun(x)))
            if len(values) >= 200:
                raise StopIteration
            return values[-1]

        with contextlib.suppress(StopIteration):
            descend(fun, problem.gradient, problem.start.copy())
        target = problem.f_opt + 1e-3 * (problem.f_start - problem.f_opt)
        hits = [i + 1 for i, value in enumerate(values) if value <= target]
        assert row["cost"] == (hits[0] if hits else float("inf"))
        assert row["evaluations"] == len(values)


def test_another_environment_is_judged_by_medians(baseline: Path, tmp_path: Path) -> None:
    there = elsewhere(baseline, tmp_path)
    found = check({"descent": descend}, baseline=there, **SETTINGS)
    assert (found.verdict, found.robust) == ("same", True)
    with pytest.raises(RegressionError, match=r"(?s)worse: 2 medians over starts.*WORSE +more_wild/bard descent"):
        check({"descent": slower}, baseline=there, **SETTINGS)


def test_the_version_of_a_solvers_library_is_part_of_the_environment(tmp_path: Path) -> None:
    pytest.importorskip("nlopt")
    path = tmp_path / "n.toml"
    settings = SETTINGS | {"problems": "more_wild/box_3d", "derivatives": "none"}
    check("nlopt_sbplx", baseline=path, accept=True, **settings)
    version = importlib.metadata.version("nlopt")
    text = path.read_text()
    assert f'nlopt = "{version}"\n' in text
    path.write_text(text.replace(f'nlopt = "{version}"', 'nlopt = "1.0"'))
    found = check("nlopt_sbplx", baseline=path, **settings)
    assert (found.verdict, found.robust) == ("same", True)


def test_what_does_not_repeat_is_said_to_be_so(baseline: Path, tmp_path: Path) -> None:
    settings = SETTINGS | {"derivatives": "none"}
    path = tmp_path / "e.toml"
    check({"descent": erratic}, baseline=path, accept=True, **settings)
    assert {row.repeats for row in read_baseline(path).rows.values()} == {False}
    with pytest.raises(RegressionError, match="the solver does not repeat"):
        check({"descent": erratic}, baseline=path, **settings)


def test_a_row_that_can_no_longer_be_says_why(tmp_path: Path) -> None:
    path, settings = tmp_path / "m.toml", SETTINGS | {"problems": "more_wild/bard", "derivatives": "none"}
    simplex = {"simplex": "scipy_neldermead"}
    check(simplex | {"mine": "scipy_powell"}, baseline=path, accept=True, **settings)
    with pytest.raises(RegressionError, match=r"mine \[none\]: missing, was .* \(the solver needs a derivative\)"):
        check(simplex | {"mine": "scipy_bfgs"}, baseline=path, **settings)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tau": 1e-5}, r"is for tau = 0.001, not 1e-05; if that is intended, renew it"),
        ({"budget": om.Budget(max_evaluations=50)}, r"not comparable.*(?s:.*)max_evaluations"),
        ({"problems": ["more_wild/box_3d"]}, r"(?s)worse.*1 row missing"),
        (
            {"problems": [*SETTINGS["problems"], "more_wild/meyer"]},
            r"1 row has no baseline .*more_wild/meyer descent",
        ),
    ],
)
def test_other_settings_fail_and_say_how_to_renew(baseline: Path, changes: Any, words: str) -> None:
    with pytest.raises(RegressionError, match=words) as caught:
        check({"descent": descend}, baseline=baseline, **SETTINGS | changes)
    assert "pytest --optcore-accept" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("format = 2", "no baseline of format 1, since its key 'format' is 2; renew it"),
        ("a = [", "is not valid TOML"),
        ('format = 1\n["a [none]"]\n"s/p" = { cost = 1 }', "the line 's/p' of 'a [none]'"),
    ],
)
def test_a_baseline_that_cannot_be_read_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "b.toml").write_text(text)
    with pytest.raises(InvalidInputError, match=re.escape(words)):
        read_baseline(tmp_path / "b.toml")
    with pytest.raises(InvalidInputError, match=r"there is no baseline '.*c\.toml'; make it by"):
        compare(tmp_path / "c.toml", tmp_path / "b.toml")


def test_a_baseline_is_compared_with_a_store_and_renewed(baseline: Path, tmp_path: Path) -> None:
    study = Study(
        "s",
        SETTINGS["problems"],
        {"name": "descent", "algorithm": slower},
        "analytic",
        budget=SETTINGS["budget"],
    )
    found = compare(baseline, run_study(study, store=tmp_path / "store"))
    assert (found.verdict, found.gate) == ("worse", Gate(tau=1e-3))  # the accuracy that the baseline is for
    copy = tmp_path / "copy.toml"
    copy.write_bytes(baseline.read_bytes())
    renewed = check({"descent": slower}, baseline=copy, accept=True, **SETTINGS)
    assert [row.state for row in renewed.rows] == [row.state for row in found.rows]
    assert check({"descent": slower}, baseline=copy, **SETTINGS).verdict == "same"


def test_problems_without_a_known_optimum_keep_what_they_are_measured_by(tmp_path: Path) -> None:
    from optcore_problems import Problem

    def fun(x: Any) -> float:
        return float((x[0] - 3.0) ** 2 + 10.0 * x[1] ** 4 + 7.0)

    def jac(x: Any) -> Any:
        return np.array([2.0 * (x[0] - 3.0), 40.0 * x[1] ** 3])

    problem = Problem(name="mine", suite="own", start=np.array([1.0, 1.0]), fun_xp=lambda x, xp: fun(x), version="1",
                      gradient_np=jac, f_opt=None)  # fmt: skip
    settings = SETTINGS | {"problems": problem, "tau": 1e-2}
    path = tmp_path / "own.toml"
    check({"descent": descend}, baseline=path, accept=True, **settings)
    lowest = read_baseline(path).lowest["own/mine"]
    assert lowest == pytest.approx(7.0, abs=1e-2)
    assert check({"descent": descend}, baseline=path, **settings).verdict == "same"


# --- assert_solves ---------------------------------------------------------------------------------------------------


def test_assert_solves_counts_what_the_cost_table_counts_and_names_the_rest(tmp_path: Path) -> None:
    budget = om.Budget(max_evaluations=60)
    problems = [*PROBLEMS, "more_wild/meyer"]
    solvers = {"nm": "scipy_neldermead", "powell": "scipy_powell"}
    with pytest.raises(AssertionError) as caught:
        assert_solves(solvers, problems, at_least=3, budget=budget, n_jobs=1)
    assert "nm [none] solves " in str(caught.value)
    assert "of 3 problems at tau = 1e-05, not 3; it doesn't solve\n" in str(caught.value)
    assert "  more_wild/meyer: budget_evaluations" in str(caught.value)
    found = assert_solves(solvers, problems, at_least=0, budget=budget, tau=1e-3, n_jobs=1)
    study = Study("s", problems, [{"name": k, "algorithm": v} for k, v in solvers.items()], "none", budget=budget)
    table = cost_table(run_study(study, store=tmp_path / "s"), tau=1e-3)
    assert found == np.isfinite(table).sum().to_dict()
    assert 0 < sum(found.values()) < 6
    with pytest.raises(AssertionError, match=r"powell \[none\] solves 3 of 3 problems at tau = 0\.9, not 4$"):
        assert_solves({"powell": "scipy_powell"}, problems, at_least=4, budget=budget, tau=0.9, n_jobs=1)


def test_a_solver_that_cannot_run_is_told_why() -> None:
    with pytest.raises(
        InvalidInputError, match="needs a derivative; say where it comes from, as derivatives='analytic'"
    ):
        assert_solves("scipy_lbfgsb", PROBLEMS, n_jobs=1)
