"""Solvers of the user's own, out of files, modules and entry points, in studies."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import optcore as om
from optcore.errors import InvalidInputError, OptcoreError, UnknownNameError
from optcore.solvers import algorithm as register
from optcore.solvers.documentation import document
from optcore_bench import addresses, backends
from optcore_bench.algorithms import algorithm_entry
from optcore_bench.cli.app import app
from optcore_bench.external.place import Source, sources_of
from optcore_bench.reproduction import reproduce
from optcore_bench.runner import run_study
from optcore_bench.runs import expand
from optcore_bench.store.check import check
from optcore_bench.store.merge import merge
from optcore_bench.study import Study, load_study
from optcore_problems import get_problem

#: What a user writes: a helper beside it, state in the module, a class with options, and what is no solver.
SOLVER = """
from __future__ import annotations
import ctypes
from dataclasses import dataclass
import numpy as np
import optcore as om
from helper import STEP

LIBRARY = ctypes.CDLL(None)  # can't be pickled
CALLS = []

def solve(fun, jac, x0, options, seed):
    CALLS.append(1)
    x = x0
    for _ in range(options.get("steps", 5) * len(CALLS)):
        gradient = jac(x)
        x = x - STEP * gradient / np.linalg.norm(gradient)
        fun(x)
    return {"x": x, "success": True, "message": f"seed {seed}, {options}"}

def residual_solver(residuals, residuals_jacobian, x0):
    r, J = residuals(x0), residuals_jacobian(x0)
    x = x0 - np.linalg.lstsq(J, r)[0]
    residuals(x)
    return x

@om.register_algorithm
@dataclass(frozen=True)
class Steepest(om.Algorithm):
    name = "own_steepest"
    needs_jac = True
    steps: int = 5

    def solve(self, objective, x0, bounds):
        for _ in range(self.steps):
            gradient = objective.gradient(x0)
            x0 = x0 - STEP * gradient / np.linalg.norm(gradient)
            objective.value(x0)
        return om.SolverResult(x0, success=True)

class Plain:
    pass

def wants_hessian(fun, hessian):
    return hessian

def nothing_to_ask(x0):
    return x0

number = 3
"""

STUDY = """
problems = ["more_wild/rosenbrock", "more_wild/brown_dennis"]
algorithms = [
  {name = "mine", path = "solvers/my_solver.py:solve", options = {steps = 7}},
  {name = "class", algorithm = "solvers/my_solver.py:Steepest", options = {steps = 3}},
  "solvers/my_solver.py:residual_solver",
  {name = "module", algorithm = "own_package.part:solve"},
]
derivatives = ["analytic", "forward"]
budget = {max_evaluations = 30}
"""


def _forget_all_but(known: set[str]) -> None:
    """Algorithms that a test registered; those that ship stay, since their modules register them only once."""
    for name in set(register._REGISTER) - known - set(register.MODULES):
        del register._REGISTER[name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a study and, below it, solvers; what loading leaves in the process is taken back."""
    path, modules, files = list(sys.path), set(sys.modules), dict(addresses._FILES)
    known = set(register._REGISTER)
    (tmp_path / "solvers").mkdir()
    (tmp_path / "solvers" / "my_solver.py").write_text(SOLVER)
    (tmp_path / "solvers" / "helper.py").write_text("STEP = 1e-2\n")
    (tmp_path / "own_package").mkdir()
    (tmp_path / "own_package" / "__init__.py").touch()
    (tmp_path / "own_package" / "part.py").write_text("def solve(fun, x0):\n    fun(x0)\n    return x0\n")
    (tmp_path / "own.toml").write_text(STUDY)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if name == "helper" or name.startswith(("file_", "own_package")):
            del sys.modules[name]
    addresses._FILES.clear()
    addresses._FILES.update(files)
    _forget_all_but(known)
    importlib.invalidate_caches()


def test_solvers_out_of_files_and_modules_are_studied_the_same_with_any_workers(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = run_study(folder / "own.toml", folder / "one")
    runs = one.runs.set_index(["problem", "algorithm", "derivative"]).sort_index()
    assert set(one.runs["algorithm"]) == {"mine", "class", "residual_solver", "module"}
    # Steps of a fixed length: as many gradients as steps, and a value after each but the start's.
    mine = runs.loc[("rosenbrock", "mine", "analytic")]
    assert (mine["n_fun_evals"], mine["n_jac_evals"], mine["status"]) == (8, 7, "converged")
    assert mine["message"] == "seed 0, {'steps': 7, 'seed': 0}"
    assert runs.loc[("rosenbrock", "class", "analytic"), "n_jac_evals"] == 3
    assert runs.loc[("rosenbrock", "residual_solver", "analytic"), "n_fun_evals"] == 2
    assert runs.loc[("rosenbrock", "module", "none"), "n_fun_evals"] == 1
    assert runs.loc[("brown_dennis", "mine", "forward"), "status"] == "budget_evaluations"
    assert runs.loc[("brown_dennis", "mine", "forward"), "n_fun_evals"] == 30
    two = run_study(folder / "own.toml", folder / "two", n_jobs=2)
    assert one.manifest["digest"] == two.manifest["digest"]
    monkeypatch.setattr(backends, "perform", lambda *_: pytest.fail("a stored run was run again"))
    assert run_study(folder / "own.toml", folder / "one").manifest["digest"] == one.manifest["digest"]


def test_the_same_function_gives_the_same_history_from_a_file_and_as_an_object(folder: Path) -> None:
    entry = algorithm_entry({"path": f"{folder}/solvers/my_solver.py:residual_solver"})
    problem = get_problem("more_wild/rosenbrock")
    result = om.minimize(
        om.mark.least_squares(problem.residuals),
        problem.start,
        entry.implementation,
        jac=om.mark.least_squares(problem.jacobian),
    )
    stored = run_study(
        Study("s", "more_wild/rosenbrock", {"path": f"{folder}/solvers/my_solver.py:residual_solver"}), folder / "s"
    )
    x = np.array(stored.history()["x"].tolist())
    assert np.array_equal(x, result.history.flat_params)


def test_an_edited_file_or_helper_runs_again_and_the_run_says_so(folder: Path) -> None:
    (folder / "one.toml").write_text(
        'problems = "more_wild/rosenbrock"\nalgorithms = ["solvers/my_solver.py:solve", "scipy_bfgs"]\n'
    )
    arguments = ["run", str(folder / "one.toml"), "--store", str(folder / "store"), "--no-report"]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    for file, text in (("my_solver.py", SOLVER + "# edited\n"), ("helper.py", "STEP = 2e-2\n")):
        (folder / "solvers" / file).write_text(text)
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        assert "1 stored run was made by other code, options or versions and is run again" in done.stderr


def test_the_stored_study_resumes_as_long_as_the_file_is_the_same(folder: Path) -> None:
    stored = folder / "elsewhere" / "study.toml"
    stored.parent.mkdir()
    stored.write_text(load_study(folder / "own.toml").to_toml())
    file = folder / "solvers" / "my_solver.py"
    table = load_study(stored).to_dict()["algorithms"][0]
    assert table == {
        "name": "mine",
        "path": f"{file}:solve",
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "options": {"steps": 7},
    }
    ids = [run.run_id for run in expand(load_study(folder / "own.toml"))]
    assert [run.run_id for run in expand(load_study(stored))] == ids
    file.write_text(SOLVER + "# edited\n")
    with pytest.raises(InvalidInputError, match=r"my_solver.py' has changed since the study was stored \(sha256 "):
        load_study(stored)
    assert [run.run_id for run in expand(load_study(folder / "own.toml"))] != ids


def test_a_file_that_is_gone_is_taken_from_the_store(folder: Path) -> None:
    (folder / "one.toml").write_text(
        'problems = "more_wild/rosenbrock"\nalgorithms = {path = "solvers/my_solver.py:solve", options = {steps = 4}}\n'
    )
    results = run_study(folder / "one.toml", folder / "store")
    assert not check(folder / "store")
    merge(folder / "merged", [folder / "store"])
    shutil.rmtree(folder / "solvers")
    for store in ("store", "merged"):
        [path] = (folder / store / "sources").glob("*/my_solver.py")
        assert path.read_text() == SOLVER
        assert (path.parent / "helper.py").read_text() == "STEP = 1e-2\n"
        study = load_study(folder / store / "study.toml")
        assert study.to_dict()["algorithms"][0]["path"] == f"{path}:solve"
        again = reproduce(folder / store)
        assert again.identical
        assert again.digest_again == results.manifest["digest"]
    path.write_text("changed")
    with pytest.raises(InvalidInputError, match=r"there is no file '.*/solvers/my_solver.py'"):
        load_study(folder / "merged" / "study.toml")


def test_nothing_in_the_globals_of_the_file_outlives_a_run(folder: Path) -> None:
    source = Source.read(algorithm_entry(f"{folder}/solvers/my_solver.py:solve").algorithm)  # type: ignore[arg-type]
    first, second = source.load(), source.load()
    first.__globals__["CALLS"].append(1)
    assert second.__globals__["CALLS"] == []
    (folder / "solvers" / "helper.py").write_text("STEP = 5.0\n")
    assert source.load().__globals__["STEP"] == 5.0


def test_imports_beside_a_file_are_its_sources_and_others_are_not(folder: Path) -> None:
    (folder / "a.py").write_text("import numpy, b\nfrom own_package.part import solve\nfrom . import c\n")
    (folder / "b.py").write_text("import a\n")
    (folder / "c.py").write_text("")
    assert set(sources_of(folder / "a.py")) == {"a.py", "b.py", "own_package/__init__.py", "own_package/part.py"}


FILE = "solvers/my_solver.py"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"path": "solvers/no.py:solve"}, r"there is no file '.*no.py'; paths in a study start at the folder of its"),
        ({"path": "solvers/my_solver.py"}, r"must say which object .*: 'my_solver.py:solve' or 'my_package"),
        ({"path": f"{FILE}:solv"}, r"unknown name in '.*my_solver.py': 'solv'; did you mean 'solve'\?"),
        ({"path": f"{FILE}:number"}, r"what is at '.*:number' can't be called, but is 3; a solver is a function"),
        ({"path": f"{FILE}:Plain"}, r"the class at '.*:Plain' is no subclass of om.Algorithm"),
        ({"path": f"{FILE}:wants_hessian"}, r"asks for 'hessian'; a solver gets by name any of fun, x0"),
        ({"path": f"{FILE}:nothing_to_ask"}, r"asks for \(x0\); it must ask for fun, fun_and_jac or residuals"),
        ({"path": f"{FILE}:Steepest", "options": {"step": 1}}, r"'step'; did you mean 'steps'\?"),
        ({"path": "solvers/broken.py:solve"}, r"can't be loaded: ZeroDivisionError: .*broken.py:2"),
        ({"path": "solvers/exits.py:solve"}, r"can't be loaded: SystemExit: 3"),
        ({"path": "solvers/syntax.py:solve"}, r"can't be loaded: SyntaxError: .*line 1"),
        (
            {"algorithm": "no_package.solvers:solve"},
            r"there is no module 'no_package.solvers'; .*: 'my_solver.py:solve'$",
        ),
        ({"algorithm": "own_package.part:solv"}, r"unknown name in 'own_package.part': 'solv'; did you mean 'solve'"),
        ({"path": f"{FILE}:solve", "algorithm": "scipy_lbfgsb"}, r"has 'algorithm' or 'path', not both"),
        ({"path": 3}, r"path must be text such as 'my_solver.py:solve', but is 3"),
        ({"path": f"{FILE}:solve", "optoins": {}}, r"'optoins'; did you mean 'options'\?"),
        ({"algorithm": "scipy_lbfgsb", "sha256": "00"}, r"sha256 is of the file of a solver"),
    ],
)
def test_what_cannot_be_a_solver_is_refused_in_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], message: str
) -> None:
    for name, text in (("broken", "\n1 / 0\n"), ("exits", "import sys\nsys.exit(3)\n"), ("syntax", "def solve(:\n")):
        (folder / "solvers" / f"{name}.py").write_text(text)
    monkeypatch.chdir(folder)
    with pytest.raises(OptcoreError, match=message) as caught:
        Study("s", "more_wild/rosenbrock", {"name": "x", **given})
    assert str(caught.value).startswith("study 's', key 'algorithms': ")
    assert "\n" not in str(caught.value)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed package that announces algorithms."""
    known = set(register._REGISTER)
    info = tmp_path / "announcing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: announcing\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[optcore.algorithms]\nown_function = announcing:solve\nown_number = announcing:number\nown_gone = gone:solve\n"
    )
    (tmp_path / "announcing.py").write_text(
        'number = 3\ndef solve(fun, jac, x0, options):\n    """One step."""\n'
        '    x = x0 - options.get("rate", 1e-3) * jac(x0)\n    fun(x)\n    return x\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("announcing", None)
    _forget_all_but(known)


@pytest.mark.usefixtures("package")
def test_a_function_that_a_package_announces_is_an_algorithm_by_name(tmp_path: Path) -> None:
    result = om.minimize(lambda x: x @ x, np.ones(2), "own_function", algo_options={"rate": 0.5}, jac=lambda x: 2 * x)
    assert result.n_fun_evals == 2
    assert result.fun == 0.0
    assert "own_function" in om.algos
    assert "own_number" not in om.algos
    documented = document(om.algos.own_function)
    assert (documented.description, documented.kind, documented.needs_jac) == ("One step.", "scalar", True)
    study = Study("s", "more_wild/rosenbrock", {"algorithm": "own_function", "options": {"rate": 0.0}})
    results = run_study(study, tmp_path / "store")
    assert results.runs["n_fun_evals"].tolist() == [1]
    assert study.to_dict()["algorithms"] == [
        {"name": "own_function", "algorithm": "own_function", "options": {"rate": 0.0}}
    ]


def test_what_an_installed_package_announces_in_vain_is_loaded_once_and_again_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "vain-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vain\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[optcore.algorithms]\nown_vain = vain:solve\n")
    note = f"with open({str(tmp_path / 'loads')!r}, 'a') as file: file.write('.')"
    (tmp_path / "vain.py").write_text(f"{note}\nraise OSError('no licence')\n")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # the folder would change
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "loads").touch()
    assert "own_vain" not in om.algos
    assert "own_vain" not in om.algos
    assert (tmp_path / "loads").read_text() == "."
    with pytest.raises(om.InvalidInputError, match=r"'own_vain'.* can't be used: OSError: no licence"):
        om.minimize(lambda x: x @ x, np.ones(2), "own_vain")
    assert (tmp_path / "loads").read_text() == ".."


def test_installed_packages_are_looked_through_once_until_one_more_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    real = importlib.metadata.entry_points

    def counted(group: str) -> Any:
        looked.append(group)
        return real(group=group)

    monkeypatch.setattr(importlib.metadata, "entry_points", counted)
    monkeypatch.syspath_prepend(tmp_path)
    os.utime(tmp_path, (0, 0))
    assert "own_later" not in om.algos
    assert "own_later" not in om.algos
    assert looked == ["optcore.algorithms"]
    known = set(register._REGISTER)
    info = tmp_path / "later-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: later\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[optcore.algorithms]\nown_later = later:solve\n")
    (tmp_path / "later.py").write_text("def solve(fun, x0):\n    fun(x0)\n    return x0\n")
    try:
        assert "own_later" in om.algos
        assert len(looked) == 2
    finally:
        sys.modules.pop("later", None)
        _forget_all_but(known)


@pytest.mark.usefixtures("package")
def test_what_a_package_announces_wrongly_is_told_where_it_is_asked_for() -> None:
    with pytest.raises(
        InvalidInputError, match=r"'own_number', which .* as 'announcing:number', can't be used: .*is 3"
    ):
        om.minimize(lambda x: x @ x, np.ones(2), "own_number")
    with pytest.raises(InvalidInputError, match=r"'own_gone', .* can't be used: ModuleNotFoundError"):
        Study("s", "more_wild/rosenbrock", "own_gone")
    with pytest.raises(UnknownNameError, match="did you mean 'own_function'"):
        Study("s", "more_wild/rosenbrock", "own_functoin")
