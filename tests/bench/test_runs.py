"""Expansion of studies: which rows there are, from which starts, and what their ids depend on."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import optcore as om
from optcore_bench import runs as runs_module
from optcore_bench.runs import expand, starting_point
from optcore_bench.study import Study
from optcore_problems import Problem, get_problem, get_suite

BASE: dict[str, Any] = {"name": "s", "problems": "more_wild/rosenbrock", "algorithms": "scipy_lbfgsb"}


def ids(**changes: Any) -> list[str]:
    return [run.run_id for run in expand(Study(**(BASE | changes)))]


def cells(**changes: Any) -> list[tuple[str, str, bool]]:
    return [(run.entry.name, run.derivative.name, not run.reason) for run in expand(Study(**(BASE | changes)))]


def test_every_pair_that_is_listed_is_one_row() -> None:
    study = Study(
        "s",
        {"suite": "more_wild", "n_max": 3},
        ["scipy_lbfgsb", "scipy_ls_lm", "scipy_neldermead"],
        ["analytic", "forward", "none"],
        starts=2,
    )
    runs = expand(study)
    assert len({run.key for run in runs}) == len(runs) == len({run.run_id for run in runs})
    assert len(runs) == len(study.resolve_problems()) * 2 * 3 * 3


def test_a_derivative_free_solver_gets_one_more_row_under_none() -> None:
    assert cells(algorithms=["scipy_neldermead", "scipy_lbfgsb"], derivatives=["analytic", "forward"]) == [
        ("scipy_neldermead", "analytic", False),
        ("scipy_neldermead", "forward", False),
        ("scipy_neldermead", "none", True),
        ("scipy_lbfgsb", "analytic", True),
        ("scipy_lbfgsb", "forward", True),
    ]


def test_none_that_is_listed_is_the_row_that_runs() -> None:
    assert cells(algorithms=["scipy_neldermead", "scipy_lbfgsb"], derivatives=["none", "forward"]) == [
        ("scipy_neldermead", "none", True),
        ("scipy_neldermead", "forward", False),
        ("scipy_lbfgsb", "none", False),
        ("scipy_lbfgsb", "forward", True),
    ]


def test_residual_solvers_need_residuals_and_unbounded_ones_no_bounds() -> None:
    scalar = Problem(
        name="scalar",
        start=np.ones(2),
        bounds=om.Bounds(0.0, 2.0),
        fun_xp=lambda x, xp: (x * x).sum(),
        gradient_np=lambda x: 2 * x,
    )
    study = Study("s", scalar, ["scipy_lbfgsb", "scipy_bfgs", "scipy_ls_trf"], "forward")
    reasons = [run.reason for run in expand(study)]
    assert reasons[0] == ""
    assert "takes no bounds" in reasons[1]
    assert "works on residuals" in reasons[2]


def test_solvers_that_can_not_work_on_a_problem_are_rows_with_the_reason() -> None:
    study = Study("s", "more_wild/rosenbrock", ["scipy_direct", "scipy_brent"], "none")
    reasons = [run.reason for run in expand(study)]
    assert reasons[0].startswith("scipy_direct searches within bounds; give finite lower and upper ones, which are mis")
    assert reasons[1].startswith("scipy_brent minimizes functions of one number, but there are 2 params")


def test_an_alias_and_its_option_are_the_same_run() -> None:
    def entry(options: dict[str, Any]) -> dict[str, Any]:
        return {"name": "five", "algorithm": "scipy_lbfgsb", "options": options}

    by_alias, by_name = (
        ids(algorithms=entry({"memory": 5})),
        ids(algorithms=entry({"limited_memory_storage_length": 5})),
    )
    assert by_alias == by_name


def test_random_solvers_get_the_seed_of_the_study_unless_they_have_their_own() -> None:
    def seeds(**options: Any) -> list[Any]:
        entry = {"name": "de", "algorithm": "scipy_differential_evolution", "options": options}
        study = Study("s", "more_wild/rosenbrock", entry, "none", starts=3, seed=10)
        return [getattr(run.algorithm, "seed", None) for run in expand(study)]

    assert seeds() == [10, 11, 12]
    assert seeds(seed=4) == [4, 4, 4]


def test_a_missing_library_is_a_reason_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(om.algos.nlopt_lbfgsb, "available", classmethod(lambda cls: False))
    reasons = {
        run.reason for run in expand(Study("s", "more_wild/rosenbrock", "nlopt_lbfgsb", ["analytic", "forward"]))
    }
    assert reasons == {"nlopt_lbfgsb needs nlopt, which is not installed: pip install 'optcore[nlopt]'"}


def test_ids_are_the_same_in_another_process() -> None:
    script = (
        "from optcore_bench.study import Study; from optcore_bench.runs import expand; "
        f"print([r.run_id for r in expand(Study(**{BASE!r}, derivatives=['analytic', 'forward']))])"
    )
    there = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert there.strip() == str(ids(derivatives=["analytic", "forward"]))


@pytest.mark.parametrize(
    "changes",
    [
        {"problems": "more_wild/powell_singular"},
        {"algorithms": "scipy_bfgs"},
        {"algorithms": {"name": "other", "algorithm": "scipy_lbfgsb"}},
        {"algorithms": {"algorithm": "scipy_lbfgsb", "options": {"limited_memory_storage_length": 5}}},
        {"derivatives": "forward"},
        {"derivatives": {"name": "analytic", "strategy": "forward"}},
        {"seed": 1},
        {"budget": {"max_gradients": 100}},
        {"budget": {"max_seconds": 5.0}},
        {"stopping": "default"},
    ],
    ids=str,
)
def test_everything_that_determines_a_run_changes_its_id(changes: dict[str, Any]) -> None:
    assert not set(ids()) & set(ids(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"description": "other"},
        {"tau": 0.5},
        {"gate": {"solved": 1}},
        {"keep_x": False},
        {"run_timeout": 1.0},
        {"problems": {"suite": "more_wild", "tags": {"function": "rosenbrock"}}},
        {"budget": {"max_evaluations": 600}},
        {"algorithms": {"algorithm": "scipy_lbfgsb", "options": {"limited_memory_storage_length": 10}}},
    ],
    ids=str,
)
def test_what_does_not_determine_a_run_leaves_its_id(changes: dict[str, Any]) -> None:
    assert set(ids()) <= set(ids(**changes))


def test_versions_of_problems_and_libraries_change_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ids()
    monkeypatch.setattr(runs_module, "library_version", lambda name: "0.0.0")
    assert not set(before) & set(ids())
    own = Problem(name="p", start=np.ones(2), m=2, residuals_xp=lambda x, xp: x)
    assert ids(problems=own) != ids(problems=dataclasses.replace(own, version="2"))
    assert ids(problems=own) != ids(problems=dataclasses.replace(own, start=np.zeros(2)))


def test_bounds_of_an_own_problem_change_its_ids() -> None:
    def bounded(bounds: Any) -> list[str]:
        return ids(problems=Problem(name="p", start=np.ones(2), m=2, residuals_xp=lambda x, xp: x, bounds=bounds))

    different = [None, om.Bounds(0.0), om.Bounds(0.0, 2.0), om.Bounds(np.array([0.0, -np.inf]), 2.0)]
    assert len({bounded(bounds)[0] for bounds in different}) == len(different)
    assert bounded(om.Bounds(0.0, 2.0)) == bounded(om.Bounds(np.zeros(2), np.array([2.0, 2.0])))


def test_an_own_problem_whose_code_has_no_hash_needs_a_version() -> None:
    def make(version: str) -> Problem:
        odd = object()
        return Problem(name="p", start=np.ones(2), m=2, residuals_xp=lambda x, xp: (odd, x)[1], version=version)

    with pytest.raises(om.InvalidInputError, match=r"problem 'p': it holds object .*: Problem\(\.\.\., version="):
        ids(problems=make("1"))
    assert ids(problems=make("2")) == ids(problems=make("2")) != ids(problems=make("3"))


@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "own"])
def test_the_version_of_optcore_changes_ids(monkeypatch: pytest.MonkeyPatch, algorithm: str) -> None:
    listed = {"algorithms": algorithm if algorithm != "own" else solver_with_options}
    before = ids(**listed)
    monkeypatch.setattr("optcore.__version__", "0.0.0")
    assert not set(before) & set(ids(**listed))


def test_an_own_solver_is_known_by_its_code_or_by_its_version() -> None:
    def make(rate: Any) -> Any:
        def solver(fun: Any, x0: Any) -> Any:
            return x0 * rate

        return solver

    assert ids(algorithms=make(1.0)) == ids(algorithms=make(1.0))
    assert not set(ids(algorithms=make(1.0))) & set(ids(algorithms=make(2.0)))
    with pytest.raises(om.InvalidInputError, match=r"algorithm 'solver': .* give it a version"):
        ids(algorithms=make(object()))
    first, again, second = (
        ids(algorithms={"name": "solver", "algorithm": make(object()), "version": version})
        for version in ("1", "1", "2")
    )
    assert first == again
    assert not set(first) & set(second)


def test_options_that_can_not_be_stored_are_refused() -> None:
    with pytest.raises(om.InvalidInputError, match="options are text, numbers, lists and tables"):
        ids(algorithms={"name": "s", "algorithm": solver_with_options, "options": {"callback": print}})


def solver_with_options(fun: Any, x0: Any, options: Any) -> Any:
    return x0


def test_tight_stopping_is_resolved_below_the_options_of_the_user() -> None:
    given = {"algorithm": "scipy_lbfgsb", "options": {"convergence.ftol_rel": 1e-3}}
    (tight,) = expand(Study(**(BASE | {"algorithms": given})))
    (default,) = expand(Study(**(BASE | {"stopping": "default"})))
    assert getattr(tight.algorithm, "convergence_ftol_rel", None) == 1e-3
    assert getattr(tight.algorithm, "convergence_gtol_abs", None) == om.algos.scipy_lbfgsb.tight["convergence_gtol_abs"]
    assert default.algorithm == om.algos.scipy_lbfgsb()


def test_the_budget_is_resolved_for_each_size() -> None:
    study = Study(
        "s", ["more_wild/rosenbrock", "more_wild/watson_n9"], "scipy_lbfgsb", budget=om.Budget(max_gradients=10)
    )
    assert [run.max_evaluations for run in expand(study)] == [30, 100]


def test_the_first_start_is_the_standard_one_and_others_are_near_it() -> None:
    for problem in get_suite("more_wild"):
        assert starting_point(problem, 1) is problem.start
        second, third = starting_point(problem, 2), starting_point(problem, 3)
        assert not np.array_equal(second, third)
        reach = 0.5 * np.where(problem.start == 0.0, 1.0, np.abs(problem.start))
        assert np.all(np.abs(second - problem.start) <= reach)
        assert np.isfinite(problem.fun(second))


def test_starts_repeat_with_the_seed_and_stay_within_the_bounds() -> None:
    problem = Problem(
        name="p",
        start=np.array([0.0, 5.0]),
        bounds=om.Bounds(np.array([0.0, -np.inf]), 5.0),
        m=2,
        residuals_xp=lambda x, xp: x,
    )
    points = [starting_point(problem, start, seed=4) for start in range(2, 30)]
    assert all(np.array_equal(x, starting_point(problem, start, seed=4)) for start, x in enumerate(points, 2))
    assert not np.array_equal(points[0], starting_point(problem, 2, seed=5))
    assert all(0.0 <= x[0] <= 5.0 and x[1] <= 5.0 for x in points)


def test_each_start_has_its_own_value_and_seed() -> None:
    runs = expand(Study(**(BASE | {"starts": 3, "seed": 10})))
    assert [run.start for run in runs] == [1, 2, 3]
    assert [run.seed for run in runs] == [10, 11, 12]
    assert runs[0].f_start == pytest.approx(24.2)
    rosenbrock = get_problem("more_wild/rosenbrock")
    assert [run.f_start for run in runs] == [rosenbrock.fun(run.x0) for run in runs]
