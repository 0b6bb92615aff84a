"""One study, one digest: whatever the workers are, however many, and in whatever parts and order it was run."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from optcore_bench.runner import run_study
from optcore_bench.store import Results, check
from optcore_bench.store.merge import merge
from optcore_bench.study import Study
from tests.bench.bad_solvers import draws, raises

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="starts many processes by fork")


def study() -> Study:
    """A bit of everything that could depend on who runs it: noise, perturbed starts, draws, errors, what can't be."""
    return Study(
        "one",
        ["more_wild/rosenbrock", {"problem": "more_wild/bard", "noise": {"kind": "multiplicative", "level": 1e-3}}],
        ["scipy_lbfgsb", "scipy_ls_lm", "scipy_differential_evolution", draws, raises],
        ["forward", "central"],
        starts=2,
        budget={"max_evaluations": 40},
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Results:
    results = run_study(study(), tmp_path_factory.mktemp("expected") / "store", backend="threads")
    assert results.manifest["digest_rows"] == len(results.runs)
    assert set(results.runs["status"]) >= {"budget_evaluations", "stopped", "error", "not_applicable"}
    return results


WAYS: dict[str, dict[str, Any]] = {
    "threads": {"n_jobs": 2},
    "loky-1": {"n_jobs": 1, "backend": "loky"},
    "loky-2": {"n_jobs": 2, "backend": "loky"},
    "dask": {"n_jobs": -1, "backend": "dask"},
}


@pytest.mark.parametrize("way", WAYS)
def test_workers_of_any_kind_and_number_give_the_digest_of_one_thread(
    tmp_path: Path, expected: Results, way: str, request: pytest.FixtureRequest
) -> None:
    options = WAYS[way] | ({"scheduler": request.getfixturevalue("cluster")} if way == "dask" else {})
    np.random.seed(int.from_bytes(way.encode()[:4], "big"))  # noqa: NPY002  nothing of this process may matter
    random.seed(way)
    results = run_study(study(), tmp_path / "store", **options)
    assert results.manifest["digest"] == expected.manifest["digest"]
    np.testing.assert_array_equal(results.history()["fun_true"], expected.history()["fun_true"])


def test_three_shards_merged_in_any_order_give_the_digest_of_the_whole(tmp_path: Path, expected: Results) -> None:
    parts = [tmp_path / name for name in ("a", "b", "c")]
    for number, path in enumerate(parts, start=1):
        run_study(study(), path, shard=(number, 3))
    assert sum(len(Results(path).runs) for path in parts) == len(expected.runs)
    for name, order in {"forth": parts, "back": parts[::-1]}.items():
        merge(tmp_path / name, order)
        assert Results(tmp_path / name).manifest["digest"] == expected.manifest["digest"]
        assert check(tmp_path / name) == []
