"""Workers that are used again see the search path, the folder and the variables that the study's process has now."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from joblib.externals.loky import get_reusable_executor

from optcore_bench import Study, run_study
from optcore_bench.surroundings import Surroundings

# Solvers travel by value: importing this module in each new process would import pytest there.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def witness(fun: Any, x0: Any) -> dict[str, Any]:
    """Says what the process of a run sees."""
    import os
    import sys

    from optcore_bench import surroundings  # noqa: F401  the package is found

    names = ("OPTCORE_TEST_FIRST", "OPTCORE_TEST_BOTH")
    marked = [folder for folder in sys.path if "on-path" in folder]
    return {"x": x0, "message": "|".join([*(os.environ.get(name, "-") for name in names), os.getcwd(), *marked])}


def seen(store: Path, backend: str) -> list[str]:
    study = Study("s", "more_wild/rosenbrock", {"name": "witness", "algorithm": witness, "version": "1"}, "none")
    (message,) = run_study(study, store, n_jobs=1 if backend == "threads" else 2, backend=backend).runs["message"]
    return str(message).split("|")


@pytest.mark.parametrize("backend", ["loky", "threads"])
def test_the_next_study_of_a_process_sees_what_the_process_has_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    for name in ("one", "two", "one-on-path", "two-on-path"):
        (tmp_path / name).mkdir()
    try:
        monkeypatch.chdir(tmp_path / "one")
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "one-on-path")])
        monkeypatch.setenv("OPTCORE_TEST_FIRST", "1")
        monkeypatch.setenv("OPTCORE_TEST_BOTH", "1")
        first = seen(tmp_path / "first", backend)
        monkeypatch.chdir(tmp_path / "two")
        monkeypatch.setattr(sys, "path", [*sys.path[:-1], str(tmp_path / "two-on-path")])
        monkeypatch.delenv("OPTCORE_TEST_FIRST")
        monkeypatch.setenv("OPTCORE_TEST_BOTH", "2")
        second = seen(tmp_path / "second", backend)
    finally:
        if backend == "loky":
            get_reusable_executor().shutdown(wait=True, kill_workers=True)
    assert first == ["1", "1", str(tmp_path / "one"), str(tmp_path / "one-on-path")]
    assert second == ["-", "2", str(tmp_path / "two"), str(tmp_path / "two-on-path")]


@pytest.mark.parametrize("backend", ["loky", "threads"])
def test_runs_can_be_interrupted_as_in_a_process_of_their_own(tmp_path: Path, backend: str) -> None:
    """Loky's workers ignored SIGTERM, and so did all that a solver started there."""

    def starts_and_ends_one(fun: Any, x0: Any) -> dict[str, Any]:
        import signal
        import subprocess

        fun(x0)
        is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        started = subprocess.Popen(["sleep", "100"])
        started.terminate()
        return {"x": x0, "message": f"{is_default} {started.wait(50)}"}

    algorithm = {"name": "starts", "algorithm": starts_and_ends_one, "version": "1"}
    study = Study("s", "more_wild/rosenbrock", algorithm, "none")
    (message,) = run_study(study, tmp_path / "store", n_jobs=2, backend=backend).runs["message"]
    assert message == f"True {-signal.SIGTERM}"


@pytest.fixture
def _restored(monkeypatch: pytest.MonkeyPatch) -> Any:
    before = dict(os.environ)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(os.getcwd())
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("owned", [True, False])
def test_what_belongs_to_a_worker_itself_stays(tmp_path: Path, owned: bool) -> None:
    os.environ["OPTCORE_TEST"] = "there"
    there = Surroundings(("a", "b"), str(tmp_path), (("OPTCORE_NEW", "1"), ("PATH", os.environ["PATH"])), owned)
    os.environ["LOKY_PICKLER"] = "cloudpickle"
    there.apply()
    assert sys.path == ["a", "b"]
    assert os.getcwd() == str(tmp_path)
    assert os.environ["OPTCORE_NEW"] == "1"
    assert os.environ["LOKY_PICKLER"] == "cloudpickle"
    assert ("OPTCORE_TEST" in os.environ) is not owned
    assert Surroundings.here(owned=owned).path == there.path


@pytest.mark.usefixtures("_restored")
def test_a_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    found = Surroundings.here()
    assert found.folder is None
    os.chdir(tmp_path)
    found.apply()
    Surroundings(found.path, str(tmp_path / "gone"), found.variables).apply()
    assert os.getcwd() == str(tmp_path)
