"""A study full of bad solvers: each ends as documented, as one row, and the good ones beside them notice nothing."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from optcore_bench.runner import run_study
from optcore_bench.store import Results, check
from optcore_bench.store.digest import LEFT_OUT, store_digest
from optcore_bench.study import Study
from tests.bench.bad_solvers import BAD, BYTES, ENDLESS, EVALUATIONS, PLENTY, SECONDS, End, draws
from tests.processes import is_running

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


Solvers = dict[Any, End]


def study(solvers: Solvers, seconds: float, *, bad: bool = True) -> Study:
    """A good solver after each bad one: by turns one of scipy's and one that draws from the global generators."""
    algorithms: list[Any] = []
    for i, solver in enumerate(solvers):
        algorithms += [solver] if bad else []
        algorithms.append({"name": f"good-{i}", "algorithm": draws if i % 2 else "scipy_neldermead"})
    return Study(
        "beside",
        "more_wild/rosenbrock",
        algorithms,
        "none",
        budget={"max_evaluations": 30},
        run_timeout=seconds,
        max_memory=BYTES,
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """Digests of the good solvers without the bad ones, by how many these would be."""
    found = {}
    for solvers in (BAD, ENDLESS):
        results = run_study(study(solvers, PLENTY, bad=False), tmp_path_factory.mktemp("alone") / "store")
        assert set(results.runs["status"]) <= {"stopped", "budget_evaluations"}
        found[len(solvers)] = results.manifest["digest"]
    return found


@linux
@pytest.mark.parametrize(("backend", "n_jobs"), [("threads", 1), ("threads", 2), ("loky", 2), ("dask", 2)])
def test_every_bad_solver_ends_as_documented_and_no_good_one_notices(
    tmp_path: Path, alone: dict[int, str], backend: str, n_jobs: int, request: pytest.FixtureRequest
) -> None:
    scheduler = request.getfixturevalue("cluster") if backend == "dask" else None
    folder, before = Path.cwd(), orphans()
    for solvers, seconds in ((BAD, PLENTY), (ENDLESS, SECONDS)):
        store = tmp_path / str(len(solvers))
        results = run_study(study(solvers, seconds), store, n_jobs=n_jobs, backend=backend, scheduler=scheduler)
        ended_as_documented(results, solvers)
        good = results.runs[results.runs["algorithm"].str.startswith("good-")]
        assert store_digest(present(good)).value == alone[len(solvers)]
        assert check(store) == []
    assert Path.cwd() == folder
    end = time.monotonic() + 10.0
    while not orphans() <= before and time.monotonic() < end:  # those of a test beside this one may live a moment
        time.sleep(0.05)
    assert orphans() <= before


def ended_as_documented(results: Results, solvers: Solvers) -> None:
    """One row each, with its status and reason, and the evaluations made before it went wrong."""
    runs = results.runs
    assert len(runs) == 2 * len(solvers)
    assert not runs.duplicated(["algorithm"]).any()
    rows = {row["algorithm"]: row for row in runs.to_dict("records")}
    values = results.history().groupby("run_id", observed=True)["fun"].agg(list)
    # Rosenbrock's function at (-1.2, 1) + i, by its formula 100 (y - x^2)^2 + (1 - x)^2.
    expected = [24.2, 100 * (2 - 0.04) ** 2 + 1.44, 100 * (3 - 0.64) ** 2 + 0.04]
    for solver, end in solvers.items():
        row = rows[solver.__name__]
        assert (solver.__name__, row["status"]) == (solver.__name__, end.status), row["message"]
        assert re.search(end.message, row["message"], re.DOTALL), row["message"]
        assert len(row["message"]) < 5000
        assert row["n_fun_evals"] == EVALUATIONS
        assert values[row["run_id"]] == pytest.approx(expected)
    left_out = Counter(end.status for end in solvers.values() if end.status in LEFT_OUT)
    assert results.manifest["digest_left_out"] == left_out


def present(runs: Any) -> list[dict[str, Any]]:
    """Rows as the digest takes them: what is missing is None."""
    import pandas as pd

    return [{name: None if pd.isna(value) else value for name, value in row.items()} for row in runs.to_dict("records")]


def orphans() -> set[int]:
    """Processes that solvers left: `sleep 613`."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            command = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if command[:2] == [b"sleep", b"613"] and is_running(int(path.name)):
            found.add(int(path.name))
    return found


@linux
def test_a_solver_that_removes_the_folder_in_which_it_works_harms_nobody(tmp_path: Path) -> None:
    def removes(fun: Any, x0: Any) -> Any:
        import shutil
        import tempfile

        gone = tempfile.mkdtemp()
        os.chdir(gone)
        shutil.rmtree(gone)
        return x0

    cells = [{"name": "removes", "algorithm": removes}, {"name": "after", "algorithm": "scipy_neldermead"}]
    results = run_study(
        Study("gone", "more_wild/rosenbrock", cells, "none", budget={"max_evaluations": 30}), tmp_path / "store"
    )
    assert set(results.runs["status"]) == {"stopped", "budget_evaluations"}
