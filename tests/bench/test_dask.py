"""A study on a dask cluster: a scheduler and two workers, started by their own commands as a user would."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import optcore as om
from optcore.errors import MissingLibraryError
from optcore_bench.progress import Quiet
from optcore_bench.runner import run_study
from optcore_bench.study import Study

pytest.importorskip("distributed")
# Solvers travel by value: importing this module in each new process would import pytest there.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def exits(fun: Any, x0: Any) -> Any:
    fun(x0)
    os._exit(3)


def waits(fun: Any, x0: Any) -> Any:
    fun(x0)
    while True:
        time.sleep(0.01)


def small(**changes: Any) -> Study:
    given: dict[str, Any] = {
        "name": "small",
        "problems": ["more_wild/rosenbrock", "more_wild/box_3d"],
        "algorithms": ["scipy_lbfgsb", "scipy_neldermead", "scipy_ls_lm", exits],
        "derivatives": ["forward", "analytic"],
        "budget": {"max_gradients": 10},
    }
    return Study(**(given | changes))


def descendants_of_workers(address: str) -> int:
    """Processes that the workers have started."""
    import distributed

    with distributed.Client(address, set_as_default=False) as client:
        found = client.run(lambda: Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
        return sum(len(pids) for pids in found.values())


@linux
def test_a_cluster_gives_the_digest_of_threads_and_keeps_nothing(cluster: str, tmp_path: Path) -> None:
    alone = run_study(small(), tmp_path / "threads", n_jobs=2)
    before = descendants_of_workers(cluster)
    results = run_study(small(), tmp_path / "dask", n_jobs=-1, backend="dask", scheduler=cluster)
    assert results.manifest["digest"] == alone.manifest["digest"]
    assert results.runs["status"].to_list() == alone.runs["status"].to_list()
    assert (results.runs["status"] == "crashed").sum() == len(small().resolve_problems())
    assert results.timings["worker"].dropna().str.partition("-")[0].nunique() == 2
    assert str(os.getpid()) not in set(results.timings["worker"].dropna().str.partition("-")[0])
    assert descendants_of_workers(cluster) == before


@linux
def test_an_interruption_ends_the_runs_that_workers_are_at(cluster: str, tmp_path: Path) -> None:
    class Interrupted(Quiet):
        def done(self, label: str, status: str, evaluations: int = 0) -> None:
            if status != "not_applicable":
                raise KeyboardInterrupt

    before = descendants_of_workers(cluster)
    study = small(algorithms=[waits, "scipy_lbfgsb"], problems="more_wild/rosenbrock")
    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "store", n_jobs=-1, backend="dask", scheduler=cluster, progress=Interrupted())
    assert descendants_of_workers(cluster) == before
    results = run_study(study, tmp_path / "store", n_jobs=-1, backend="dask", scheduler=cluster, walltime=4)
    assert not results.finished
    assert descendants_of_workers(cluster) == before


def test_a_scheduler_that_is_not_there_is_one_sentence_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optcore_bench.backends._SCHEDULER_SECONDS", 0.5)
    for address, why in (("nonsense", "missing port number"), ("foo://here:1", "unknown address scheme 'foo'")):
        # A client that is made of no address hangs, and prints a traceback when the program ends.
        with monkeypatch.context() as patched:
            patched.setattr("distributed.Client", None)
            with pytest.raises(om.InvalidInputError, match=rf"no dask scheduler answers at '{address}' \({why}"):
                run_study(small(), tmp_path / "store", backend="dask", scheduler=address)
    with pytest.raises(om.InvalidInputError, match=r"no dask scheduler answers at .tcp://127.0.0.1:1. "):
        run_study(small(), tmp_path / "store", backend="dask", scheduler="tcp://127.0.0.1:1")
    with pytest.raises(om.InvalidInputError, match=r"needs a scheduler: .*--scheduler ADDRESS"):
        run_study(small(), tmp_path / "store", backend="dask")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("backend", "words"), [("dask", r"optcore\[dask\]"), ("ray", "pip install ray")])
def test_a_backend_without_its_library_names_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, words: str
) -> None:
    monkeypatch.setattr("optcore_bench.backends.importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingLibraryError, match=words):
        run_study(small(), tmp_path / "store", backend=backend)
    assert list(tmp_path.iterdir()) == []
