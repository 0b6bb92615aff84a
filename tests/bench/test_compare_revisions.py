"""Two revisions of a solver's repository: built, run and compared in one job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from optcore.errors import InvalidInputError
from optcore_bench.cli import app
from optcore_bench.comparison import Comparison
from optcore_bench.comparison.revisions import compare_revisions
from tests.bench.gradient_descent import DESCENT, WORSE
from tests.processes import git

#: Builds a wheel of one module with nothing but the standard library, so that the test needs no index.
BACKEND = """
import zipfile

NAME = "rev_descent-1.0-py3-none-any.whl"
INFO = "rev_descent-1.0.dist-info"


def build_wheel(folder, config_settings=None, metadata_directory=None):
    files = {
        "rev_descent.py": open("rev_descent.py").read(),
        f"{INFO}/METADATA": "Metadata-Version: 2.1\\nName: rev-descent\\nVersion: 1.0\\n",
        f"{INFO}/WHEEL": "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[f"{INFO}/RECORD"] = "".join(f"{name},,\\n" for name in [*files, f"{INFO}/RECORD"])
    with zipfile.ZipFile(f"{folder}/{NAME}", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return NAME
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["build_it"]\n'
STUDY = """
problems = ["more_wild/box_3d", "more_wild/bard", "more_wild/rosenbrock_x10"]
algorithms = [
  { name = "packaged", algorithm = "rev_descent:descend" },
  { name = "beside", path = "beside.py:descend" },
  "scipy_lbfgsb",
]
budget = { max_evaluations = 300 }
gate = { tau = 1e-2 }
"""


def repository(folder: Path) -> Path:
    """A repository whose first commit is tagged `before`, whose branch main is worse, and that holds its study.

    Of its two solvers one is in the package that is built, the other in a file beside the study.
    """
    folder.mkdir()
    solvers = [folder / name for name in ("rev_descent.py", "beside.py")]
    for solver in solvers:
        solver.write_text(DESCENT)
    (folder / "gate.toml").write_text(STUDY)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "build_it").mkdir()
    (folder / "build_it" / "backend.py").write_text(BACKEND)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a solver")
    git(folder, "tag", "before")
    for solver in solvers:
        solver.write_text(DESCENT.replace(*WORSE))
    git(folder, "commit", "-qam", "smaller steps")
    for solver in solvers:
        solver.write_text("raise SystemExit('this is not committed')\n")
    return folder


def optcore(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_committed_states_of_a_package_and_of_a_file_are_built_run_and_compared_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = repository(tmp_path / "repo")
    kept: list[Comparison] = []

    def keeping(*arguments: Any, **options: Any) -> Comparison:
        kept.append(compare_revisions(*arguments, **options))
        return kept[-1]

    monkeypatch.setattr("optcore_bench.comparison.revisions.compare_revisions", keeping)
    done = optcore("--rev", "before..main", "--study", root / "gate.toml", "--repo", root, "--json")
    assert done.exit_code == 1, done.output
    facts, (found,) = json.loads(done.stdout), kept
    assert facts["verdict"] == found.verdict == "worse", found.to_text()
    worse = {"packaged [analytic]", "beside [analytic]"}
    assert {row["solver"] for row in facts["rows"] if row["state"] != "SAME"} == worse
    assert {row.solver for row in found.changed()} == worse
    assert [row.state for row in found.rows if "lbfgsb" in row.solver] == ["SAME"] * 3
    assert found.old.name.startswith("before (")
    assert found.time is not None
    assert [step.split()[0] for step in done.stderr.splitlines()] == ["building"] * 2 + ["running"] * 4
    assert "running before" in done.stderr
    assert [trace.name for trace in found.figure(found.changed()[0].label).data] == ["old", "new"]
    assert git(root, "status", "--porcelain").split() == ["M", "beside.py", "M", "rev_descent.py"]


def test_wrong_revisions_studies_and_folders_are_said_in_a_sentence(tmp_path: Path) -> None:
    root = repository(tmp_path / "repo")
    study = root / "gate.toml"
    with pytest.raises(InvalidInputError, match=r"revisions are OLD\.\.NEW, as in main\.\.HEAD, but are 'main'"):
        compare_revisions("main", study, root)
    with pytest.raises(InvalidInputError, match="there is no revision 'mian' in"):
        compare_revisions("mian..HEAD", study, root)
    with pytest.raises(InvalidInputError, match=r"there is no file 'none\.toml'"):
        compare_revisions("before..", "none.toml", root)
    with pytest.raises(InvalidInputError, match=r"'gate': .*-1"):
        compare_revisions("before..", study, root, gate={"solved": -1}, say=pytest.fail)
    with pytest.raises(InvalidInputError, match="is in no git repository"):
        compare_revisions("before..", study, tmp_path)
    (root / "bad.toml").write_text("problems = 'more_wild/bard'\nalgorithms = 'scipy_lbfgs'\n")
    with pytest.raises(InvalidInputError, match=r"before \(.*\) can't be run: .*did you mean 'scipy_lbfgsb'"):
        compare_revisions("before..", root / "bad.toml", root)
    for arguments in (["--rev", "a..b"], ["x", "--rev", "a..b", "--study", study]):
        done = optcore(*arguments)
        assert (done.exit_code, len(done.stderr.splitlines())) == (2, 1)
