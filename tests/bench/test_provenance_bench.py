"""What the manifest of a store says of where its numbers come from, and how it is shown."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from optcore.environment import blas_threads
from optcore_bench import Results, Study, load_study, run_study
from optcore_bench.cli import app
from optcore_bench.environment import environment_hash, fingerprint, provenance, repository_of
from optcore_bench.provenance import library_versions, origin, source_of
from optcore_bench.runs import expand
from optcore_problems import Problem
from tests.processes import git

SOLVER = "def still(fun, x0):\n    fun(x0)\n    return x0\n"
STUDY = """
problems = "more_wild/rosenbrock"
algorithms = ["scipy_neldermead", { name = "still", path = "code/solver.py:still" }]
derivatives = "none"
budget = { max_evaluations = 10 }
seed = 7
starts = 2
max_memory = 1000000000
"""
PUBLISHED = Path(__file__).parents[2] / "results" / "quick"


@pytest.fixture(autouse=True)
def _no_git_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)


def repository(folder: Path, **files: str) -> str:
    """A repository with files, all committed; returns the commit."""
    folder.mkdir(parents=True)
    git(folder, "init")
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str]]:
    """A store of a study in one repository with a solver in another; both commits."""
    folder = tmp_path_factory.mktemp("stored")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            patch.delenv(name, raising=False)
        of_study = repository(folder / "study", mine__toml=STUDY.replace("code/", "../solver/"))
        of_solver = repository(folder / "solver", solver__py=SOLVER)
        (folder / "study" / "mine.toml").write_text(STUDY.replace("code/", "../solver/") + "# a remark\n")
        patch.chdir(folder)
        patch.setenv("OPENBLAS_VERBOSE", "0")
        patch.setenv("MY_SECRET", "never stored")
        run_study(load_study("study/mine.toml"), folder / "store", command="optcore run study/mine.toml")
        yield folder / "store", of_study, of_solver


def test_the_manifest_names_study_solver_and_the_commits_of_both(stored: tuple[Path, str, str]) -> None:
    store, of_study, of_solver = stored
    found = Results(store).manifest["provenance"]
    study = found["study"]
    assert (study["name"], study["git"]["commit"], study["git"]["dirty"]) == ("mine", of_study, True)
    assert (study["git"]["file"], study["git"]["changed"]) == ("mine.toml", True)
    assert study["text_sha256"] == hashlib.sha256((store / "study.toml").read_bytes()).hexdigest()
    assert study["sha256"] == hashlib.sha256((store.parent / "study" / "mine.toml").read_bytes()).hexdigest()
    (solver,) = found["solvers"]
    assert (solver["name"], solver["python"]) == ("still", "still")
    assert solver["file"].endswith("solver/solver.py")
    assert solver["sha256"] == hashlib.sha256(SOLVER.encode()).hexdigest()
    assert solver["git"] == {
        "file": "solver.py",
        "commit": of_solver,
        "dirty": False,
        "tracked": True,
        "changed": False,
    }
    assert found["command"] == "optcore run study/mine.toml"
    assert found["git"] is None  # the folder that the command ran in is in no repository


def test_the_manifest_names_limits_seeds_and_variables(stored: tuple[Path, str, str]) -> None:
    found = Results(stored[0]).manifest["provenance"]
    assert found["seeds"] == {"seed": 7, "starts": 2, "of_runs": [7, 8]}
    assert found["limits"]["max_memory"] == 10**9
    assert found["limits"]["budget"]["max_evaluations"] == 10
    assert found["variables"]["OPENBLAS_VERBOSE"] == "0"
    assert "never stored" not in json.dumps(found)
    assert found["variables_of_runs"]["OPENBLAS_NUM_THREADS"] == "1"
    assert found["variables_of_runs"]["PYTHONHASHSEED"] == "0"


def test_the_variables_of_runs_are_those_that_a_run_sees(tmp_path: Path) -> None:
    def witness(fun: Any, x0: Any) -> dict[str, Any]:
        import os

        names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONHASHSEED")
        return {"x": x0, "message": " ".join(os.environ[name] for name in names)}

    results = run_study(
        Study("s", "more_wild/rosenbrock", {"name": "witness", "algorithm": witness}, "none"), tmp_path / "s"
    )
    said = results.manifest["provenance"]["variables_of_runs"]
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONHASHSEED")
    assert results.runs["message"].tolist() == [" ".join(said[name] for name in names)]


def test_a_command_that_goes_on_adds_what_it_ran(tmp_path: Path) -> None:
    first = Study("s", "more_wild/rosenbrock", "scipy_neldermead", "none", budget={"max_evaluations": 5})
    both = Study(
        "s", "more_wild/rosenbrock", ["scipy_neldermead", "scipy_powell"], "none", budget={"max_evaluations": 5}
    )
    run_study(first, tmp_path / "s")
    manifest = run_study(both, tmp_path / "s", command="again").manifest
    (resumed,) = manifest["resumed"]
    assert resumed["command"] == "again"
    assert resumed["study"]["text_sha256"] == hashlib.sha256(both.to_toml().encode()).hexdigest()
    assert manifest["provenance"]["study"]["text_sha256"] == hashlib.sha256(first.to_toml().encode()).hexdigest()


# --- single facts ----------------------------------------------------------------------------------------------------


def test_blas_is_described_as_the_fingerprint_has_it() -> None:
    described = provenance(None)["blas"]
    if not described:
        pytest.skip("the BLAS here can't be asked")
    names = {" ".join(str(entry[key] or "") for key in ("name", "version", "kernel")) for entry in described}
    assert ", ".join(sorted(names)) == fingerprint()["blas"]
    assert max(entry["threads"] for entry in described) == blas_threads()


@pytest.mark.skipif("openblas" not in fingerprint()["blas"], reason="numpy here uses another BLAS")
def test_a_kernel_that_is_asked_for_shows_as_variable_and_as_kernel() -> None:
    code = "import json; from optcore_bench.environment import provenance; print(json.dumps(provenance(None)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OPENBLAS_CORETYPE": "Nehalem"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["variables"]["OPENBLAS_CORETYPE"] == "Nehalem"
    assert {entry["kernel"] for entry in found["blas"]} == {"Nehalem"}


def test_the_fingerprint_has_the_entries_that_published_results_have() -> None:
    """Run ids and what may stand together in a store depend on it: it must not change with what provenance says."""
    known = json.loads((PUBLISHED / "manifest.json").read_text())["environment"]
    assert set(fingerprint()) == set(known)
    # Measured when the study quick was published: the name of its environment in all of its rows.
    assert environment_hash(known) == "ce93621e2568"


def test_files_are_looked_up_in_their_own_repository(tmp_path: Path) -> None:
    commit = repository(tmp_path / "r", a__py="1\n", b__py="2\n")
    assert repository_of(tmp_path / "r" / "a.py") == {
        "file": "a.py",
        "commit": commit,
        "dirty": False,
        "tracked": True,
        "changed": False,
    }
    (tmp_path / "r" / "b.py").write_text("3\n")
    (tmp_path / "r" / "new.py").write_text("4\n")
    facts = {name: repository_of(tmp_path / "r" / f"{name}.py") for name in ("a", "b", "new")}
    assert [(facts[name]["dirty"], facts[name]["tracked"], facts[name]["changed"]) for name in facts] == [
        (True, True, False),
        (True, True, True),
        (True, False, True),
    ]
    assert repository_of(tmp_path / "c.py") is None


def module_level(fun: Any, x0: Any) -> Any:
    return x0


class Called:
    def __call__(self, fun: Any, x0: Any) -> Any:
        return x0


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (module_level, "module_level"),
        (Called, "Called"),
        (Called(), "Called"),
        (functools.partial(module_level), "partial"),
    ],
    ids=["function", "class", "object", "partial"],
)
def test_the_source_of_what_was_given_as_an_object_is_found(thing: Any, name: str) -> None:
    found = source_of(thing)
    assert name in found["python"]
    assert found["file"].endswith("tests/bench/test_provenance_bench.py")
    assert found["sha256"] == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def test_what_has_no_source_is_named_all_the_same() -> None:
    assert source_of(len) == {"python": "builtins:len"}


def test_an_installed_solver_is_named_with_its_version() -> None:
    import scipy.optimize

    found = source_of(scipy.optimize.minimize)
    assert found["version"] == scipy.__version__
    assert found["file"].endswith("_minimize.py")


def test_problems_of_the_users_own_are_named_once_with_their_source() -> None:
    def residuals(x: Any, xp: Any) -> Any:
        return x - 3.0

    problem = Problem(name="mine", start=np.ones(2), m=2, residuals_xp=residuals)
    study = Study("s", [problem, "more_wild/rosenbrock"], ["scipy_bfgs", "scipy_neldermead"])
    (found,) = origin(study, expand(study))["problems"]
    assert found["name"] == problem.full_name
    assert found["file"].endswith("test_provenance_bench.py")


def test_libraries_are_those_of_solvers_and_derivatives() -> None:
    study = Study("s", "more_wild/rosenbrock", ["scipy_bfgs", "nlopt_lbfgsb"], ["analytic", "jax"])
    versions = library_versions(expand(study))
    assert set(versions) == {"jax", "jaxlib", "nlopt"}
    for name in versions:
        installed = importlib.util.find_spec(name) is not None
        assert versions[name] == (importlib.metadata.version(name) if installed else None)
    assert library_versions(expand(Study("s", "more_wild/rosenbrock", "scipy_bfgs"))) == {}


# --- shown -----------------------------------------------------------------------------------------------------------


def optcore(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_show_provenance_prints_a_line_a_fact(stored: tuple[Path, str, str]) -> None:
    store, of_study, of_solver = stored
    done = optcore("show", str(store), "--provenance")
    assert done.exit_code == 0, done.output
    facts = dict(line.split(None, 1) for line in done.stdout.splitlines())
    assert facts["provenance.study.git.commit"] == of_study
    assert facts["provenance.solvers[1].git.commit"] == of_solver
    assert facts["provenance.solvers[1].git.dirty"] == "no"
    assert facts["provenance.git"] == "none"
    assert facts["provenance.seeds.of_runs"] == "7, 8"
    assert facts["digest"] == Results(store).digest
    as_json = json.loads(optcore("show", str(store), "--provenance", "--json").stdout)
    assert as_json["provenance"] == Results(store).manifest["provenance"]
    assert as_json["environment"] == fingerprint()


def test_show_provenance_reads_published_folders_of_earlier_versions() -> None:
    done = optcore("show", str(PUBLISHED), "--provenance")
    assert done.exit_code == 0
    assert "provenance.git.commit" in done.stdout


def test_provenance_is_of_the_whole_store(stored: tuple[Path, str, str]) -> None:
    done = optcore("show", str(stored[0]), "--provenance", "--problem", "rosenbrock")
    assert done.exit_code == 2
    assert "--provenance is of the whole store" in done.stderr


def test_solvers_that_run_elsewhere_are_named_with_how_and_with_their_files(tmp_path: Path) -> None:
    from optcore_bench.external.interpreter import Interpreter
    from optcore_bench.external.place import Place
    from optcore_bench.external.program import Program

    (tmp_path / "solver.py").write_text(SOLVER)
    place = Place(str(tmp_path / "solver.py"), "still")
    found = source_of(Interpreter(sys.executable, place))
    assert found["python"] == sys.executable
    assert found["sha256"] == hashlib.sha256(SOLVER.encode()).hexdigest()
    (tmp_path / "solver.py").chmod(0o755)
    program = source_of(Program((str(tmp_path / "solver.py"), "--fast")))
    assert program["command"] == [str(tmp_path / "solver.py"), "--fast"]
    assert program["sha256"] == found["sha256"]
    module = source_of(Place("json.decoder", "JSONDecoder"))
    assert module["file"].endswith("json/decoder.py")
