"""Suites of the user's own, out of files and modules, in studies: run, resumed, in workers, with errors in words."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from optcore.errors import InvalidInputError, UnknownNameError
from optcore_bench import addresses, backends
from optcore_bench.addresses import Address, load_suite
from optcore_bench.cli.app import app
from optcore_bench.runner import make_task, run_study
from optcore_bench.runs import expand
from optcore_bench.store import Results
from optcore_bench.study import Study, load_study
from optcore_problems import Problem

#: What a user writes: lambdas, closures and a module beside it included.
SUITE = """
import numpy as np
from beside import SHIFT
from optcore_problems import Problem, Suite

def bowl(n):
    return Problem(
        name=f"bowl_n{n}", start=np.ones(n), m=n, f_opt=0.0, tags={"kind": "bowl"},
        residuals_xp=lambda x, xp: x - SHIFT, jacobian_np=lambda x: np.eye(n),
    )

one = bowl(2)
noisy = [bowl(3).with_noise("wild", 0.1), bowl(2)]
problems = [bowl(2), bowl(5)]
suite = Suite("mine", tuple(problems))
family = Suite("family", (bowl(2),), resize=lambda sizes: Suite("family", tuple(bowl(n) for n in sizes)))
def build():
    return problems
def broken():
    raise RuntimeError("no data")
empty = []
numbers = [1, 2]
"""

STUDY = """
name = "own"
problems = [{path = "suites/my_suite.py:suite"}, {path = "suites/my_suite.py:build", n_min = 3, noise = {level = 1e-3}}]
algorithms = ["scipy_lbfgsb", "scipy_ls_lm"]
derivatives = ["analytic", "forward"]
budget = {max_evaluations = 50}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with a study and, below it, a suite; what loading leaves in the process is taken back."""
    path, modules = list(sys.path), set(sys.modules)
    loaded, files = dict(addresses._LOADED), dict(addresses._FILES)
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "my_suite.py").write_text(SUITE)
    (tmp_path / "suites" / "beside.py").write_text("SHIFT = 3.0\n")
    (tmp_path / "own.toml").write_text(STUDY)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name == "beside" or name.startswith(("file_", "my_package")):
            del sys.modules[name]
    for known, before in ((addresses._LOADED, loaded), (addresses._FILES, files)):
        known.clear()  # type: ignore[attr-defined]
        known.update(before)  # type: ignore[attr-defined]
    importlib.invalidate_caches()


def test_a_suite_out_of_a_file_is_studied_with_workers_and_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = run_study(folder / "own.toml", folder / "one")
    runs = one.runs
    assert set(runs["problem"]) == {"bowl_n2", "bowl_n5"}
    assert len(runs) == 3 * 2 * 2
    assert (runs.loc[runs["derivative"] == "analytic", "f_best"] < 1e-3).all()
    assert set(runs["noise"]) == {"", "multiplicative 0.001"}
    two = run_study(folder / "own.toml", folder / "two", n_jobs=2)
    loky = run_study(folder / "own.toml", folder / "three", n_jobs=2, backend="loky")
    assert one.manifest["digest"] == two.manifest["digest"] == loky.manifest["digest"]
    monkeypatch.setattr(backends, "perform", lambda *_: pytest.fail("a stored run was run again"))
    assert run_study(folder / "own.toml", folder / "one").manifest["digest"] == one.manifest["digest"]


def test_the_command_line_runs_it_from_anywhere(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    arguments = ["run", str(folder / "own.toml"), "--store", str(folder / "store"), "--jobs", "2", "--no-report"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert len(Results(folder / "store").runs) == 12


def test_the_stored_study_can_be_run_again(folder: Path) -> None:
    study = load_study(folder / "own.toml")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "own.toml").write_text(study.to_toml())
    again = load_study(folder / "elsewhere" / "own.toml")
    assert again == study
    assert [run.run_id for run in expand(again)] == [run.run_id for run in expand(study)]


def test_ids_follow_the_code_and_not_the_place(folder: Path) -> None:
    def ids() -> list[str]:
        return [run.run_id for run in expand(Study("s", f"{folder}/suites/my_suite.py:one", "scipy_lbfgsb"))]

    first = ids()
    assert first == ids()
    (folder / "suites" / "my_suite.py").write_text(SUITE + "\n# another version\n")
    # The lambda's own source counts, and it is the same.
    assert ids() == first
    (folder / "suites" / "my_suite.py").write_text(SUITE.replace("x - SHIFT", "x - 2 * SHIFT"))
    assert ids() != first


@pytest.mark.parametrize(("name", "problem"), [("suite", "bowl_n2"), ("noisy", "bowl_n3")])
def test_another_process_finds_the_problem_by_its_place(folder: Path, name: str, problem: str) -> None:
    place = f"{folder}/suites/my_suite.py:{name}"
    run = expand(Study("s", {"path": place, "scaling": True}, "scipy_lbfgsb"))[0]
    address = make_task(run).problem
    assert address == Address(place, problem, run.problem.transformations)
    np.testing.assert_array_equal(address.load().fun(run.x0), run.problem.fun(run.x0))


@pytest.mark.parametrize(
    ("name", "problems"),
    [("suite", 2), ("problems", 2), ("build", 2), ("one", 1)],
)
def test_a_suite_a_list_a_function_and_a_single_problem_do(folder: Path, name: str, problems: int) -> None:
    study = Study("s", f"{folder}/suites/my_suite.py:{name}", "scipy_lbfgsb")
    assert len(study.resolve_problems()) == problems


def test_tables_choose_from_and_transform_ones_own_suite(folder: Path) -> None:
    study = Study(
        "s",
        {"path": f"{folder}/suites/my_suite.py:suite", "n_max": 4, "tags": "bowl", "failures": True},
        "scipy_lbfgsb",
    )
    assert [p.name for p in study.resolve_problems()] == ["bowl_n2+failures:rate=0.05"]


def test_a_suite_that_can_be_resized_is_asked_for_sizes(folder: Path) -> None:
    entry: dict[str, Any] = {"path": f"{folder}/suites/my_suite.py:family", "n": [3, 4]}
    study = Study("s", entry, "scipy_lbfgsb", budget={"max_evaluations": 50})
    assert [p.name for p in study.resolve_problems()] == ["bowl_n3", "bowl_n4"]
    # These aren't what the file holds, so they travel with their code.
    assert (run_study(study, folder / "store").runs["f_best"] < 1e-10).all()
    with pytest.raises(InvalidInputError, match="comes in its own sizes only; n= is for suites with `resize`"):
        Study("s", {**entry, "path": f"{folder}/suites/my_suite.py:suite"}, "scipy_lbfgsb")


def test_relative_paths_start_at_the_current_folder_in_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "suites")
    assert len(Study("s", "my_suite.py:suite", "scipy_lbfgsb").resolve_problems()) == 2


def test_a_suite_out_of_a_module_does_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "collection.py").write_text(SUITE.replace("from beside import SHIFT", "SHIFT = 3.0"))
    monkeypatch.syspath_prepend(folder)
    study = Study("s", "my_package.collection:suite", "scipy_lbfgsb", budget={"max_evaluations": 50})
    found = run_study(study, folder / "store", n_jobs=2)
    assert (found.runs["f_best"] < 1e-10).all()
    assert study.to_dict()["problems"] == ["my_package.collection:suite"]
    with pytest.raises(InvalidInputError, match=r"there is no module 'my_package.other'; install"):
        load_suite("my_package.other:suite")
    with pytest.raises(UnknownNameError, match=r"name in 'my_package.collection': 'suit'; did you mean 'suite'"):
        load_suite("my_package.collection:suit")


def test_two_files_of_one_name_are_two_suites(folder: Path) -> None:
    (folder / "my_suite.py").write_text(SUITE.replace("bowl_n", "cup_n").replace("from beside import SHIFT", "SHIFT=1"))
    study = Study("s", [f"{folder}/my_suite.py:one", f"{folder}/suites/my_suite.py:one"], "scipy_lbfgsb")
    assert [p.name for p in study.resolve_problems()] == ["cup_n2", "bowl_n2"]
    first, second = expand(study)
    assert make_task(first).load_problem().name == "cup_n2"
    assert make_task(second).load_problem().name == "bowl_n2"


@pytest.mark.parametrize(
    ("place", "error", "message"),
    [
        ("suites/other.py:suite", InvalidInputError, "there is no file '.*other.py'; paths in a study start at"),
        ("suites/my_suite.py", InvalidInputError, "must say which object of a file or module it means"),
        ("suites/my_suite.py:siute", UnknownNameError, "my_suite.py': 'siute'; did you mean 'suite'"),
        ("suites/my_suite.py:broken", InvalidInputError, "called to get a suite, but raises RuntimeError: no data"),
        ("suites/my_suite.py:empty", InvalidInputError, r"function that returns one of them, but is \[\]"),
        ("suites/my_suite.py:numbers", InvalidInputError, r"function that returns one of them, but is \[1, 2\]"),
        ("suites/bad.py:suite", InvalidInputError, "bad.py' can't be loaded: ZeroDivisionError: division by zero"),
        ("no_such_package.module:suite", InvalidInputError, "there is no module 'no_such_package.module'; install its"),
    ],
)
def test_what_is_not_there_or_no_suite_is_an_error_in_words(
    folder: Path, place: str, error: type[Exception], message: str
) -> None:
    (folder / "suites" / "bad.py").write_text("1 / 0\n")
    file = folder / "wrong.toml"
    file.write_text(f'problems = [{{path = "{place}"}}]\nalgorithms = "scipy_lbfgsb"\n')
    with pytest.raises(error, match=f"key 'problems': .*{message}"):
        load_study(file)


def test_a_suite_of_another_package_is_known_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    from optcore_problems import Suite, registry

    def identity(factor: float) -> Any:
        problem = Problem(
            name="p", suite="theirs", start=np.ones(1), m=1, residuals_xp=lambda x, xp, factor=factor: factor * x
        )

        class EntryPoint:
            value = "theirs:suite"

            def load(self) -> Suite:
                return Suite("theirs", (problem,))

        registry._build.cache_clear()
        monkeypatch.setattr(registry, "_installed", lambda: {"theirs": EntryPoint()})
        [run] = expand(Study("s", "theirs", "scipy_lbfgsb", "forward"))
        assert make_task(run).problem == Address("", "theirs/p")
        return run.run_id

    assert identity(1.0) == identity(1.0) != identity(2.0)
    registry._build.cache_clear()
