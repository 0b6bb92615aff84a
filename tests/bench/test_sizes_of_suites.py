"""Suites of scalable families in studies: the key `n` in a table of problems."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import optcore as om
from optcore_bench import Study, load_study, run_study
from optcore_bench.selection import problem_entry
from optcore_bench.toml import dumps
from optcore_problems import get_problem, get_suite


def test_a_table_asks_for_sizes() -> None:
    entry = problem_entry({"suite": "scalable", "n": [10, 100]})
    assert [problem.name for problem in entry.members()] == list(get_suite("scalable", n=[10, 100]).names)
    one = problem_entry({"suite": "scalable", "n": 20, "tags": {"function": ["bratu_2d", "broyden_banded"]}})
    assert [problem.name for problem in one.members()] == ["broyden_banded_n20", "bratu_2d_n25"]
    small = problem_entry({"suite": "scalable", "n": [10, 100], "n_max": 10})
    assert {problem.n for problem in small.members()} == {10}


def test_sizes_are_part_of_what_messages_and_files_say() -> None:
    entry = problem_entry({"suite": "scalable", "n": [10, 100], "n_max": 50})
    assert entry.label == "scalable (n=[10, 100], n_max=50)"
    assert entry.to_plain() == {"suite": "scalable", "n": [10, 100], "n_max": 50}
    text = dumps({"problems": [entry.to_plain()]})
    assert problem_entry(tomllib.loads(text)["problems"][0]) == entry
    assert problem_entry({"suite": "scalable"}).to_plain() == "scalable"


@pytest.mark.parametrize("n", [0, -1, True, 2.5, "10", [10, 0], [10, "100"], {"a": 1}])
def test_sizes_that_are_none_are_refused(n: Any) -> None:
    with pytest.raises(om.InvalidInputError, match="n must be a whole number of at least 1, or a list of such numbers"):
        problem_entry({"suite": "scalable", "n": n})


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"suite": "more_wild", "n": 10}, "suite 'more_wild' comes in its own sizes only"),
        ({"suite": "scalable", "n": []}, "asked for no size at all"),
    ],
)
def test_suites_without_such_sizes_say_so(table: dict[str, Any], words: str) -> None:
    with pytest.raises(om.OptcoreError, match=words):
        problem_entry(table)


def test_a_problem_in_a_size_that_no_suite_holds_goes_by_its_name() -> None:
    problem = get_problem("scalable/broyden_tridiagonal", n=37)
    assert problem_entry(problem).to_plain() == "scalable/broyden_tridiagonal_n37"
    assert problem_entry("scalable/broyden_tridiagonal_n37").members() == (problem,)


def test_a_study_of_sparse_and_dense_families_runs(tmp_path: Path) -> None:
    file = tmp_path / "sizes.toml"
    file.write_text(
        'name = "sizes"\nproblems = [{suite = "scalable", n = [10, 30]}]\nalgorithms = ["scipy_ls_trf"]\n'
        'derivatives = ["analytic", "sparse"]\nbudget = {max_gradients = 20}\n'
    )
    study = load_study(file)
    assert study == Study(
        name="sizes",
        problems=[{"suite": "scalable", "n": [10, 30]}],
        algorithms="scipy_ls_trf",
        derivatives=["analytic", "sparse"],
        budget=om.Budget(max_gradients=20),
    )
    runs = run_study(study, store=tmp_path / "store", n_jobs=2).runs
    assert set(runs["problem"]) == set(get_suite("scalable", n=[10, 30]).names)
    assert len(runs) == 2 * 20
    unable = runs[runs["status"] == "not_applicable"]
    assert set(unable["derivative"]) == {"sparse"}
    assert {name.rpartition("_n")[0] for name in unable["problem"]} == {
        "discrete_integral",
        "brown_almost_linear",
        "linear_full_rank",
    }
    assert set(runs["status"]) <= {"converged", "stopped", "budget_evaluations", "not_applicable"}
    ran = runs[runs["status"] != "not_applicable"]
    np.testing.assert_array_equal(ran["derivative_error"][ran["derivative"] == "analytic"], 0.0)
    assert (ran["derivative_error"] < 1e-5).all()
    gap = ran["f_best"] - ran["f_opt"]
    solved = gap <= 1e-5 * (ran["f_start"] - ran["f_opt"])
    assert solved[ran["derivative"] == "analytic"].all()
