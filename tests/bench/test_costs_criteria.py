"""What counts as solved: first hit or returned point, by f, x or gradient; where tau says little; frozen f_L."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

import optcore as om
from optcore.errors import InvalidInputError
from optcore_bench.costs import (
    accuracy_table,
    cost_table,
    degenerate_rows,
    freeze_reference,
    hit_counts,
    improved,
    read_reference,
    summary_table,
)
from optcore_bench.evaluations import Evaluations
from optcore_bench.runner import run_study
from optcore_bench.store import Results
from optcore_bench.store.check import check
from optcore_bench.store.export import export_bundle
from optcore_bench.study import Study
from optcore_problems import Problem
from tests.bench.fake_results import make_results, run
from tests.bench.store_records import make_store, record, unknown_minimum

NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("columns", "history", "output"),
    [
        ({"values": [10, 0, 5], "f_final": 0.0}, 2, 3),
        ({"values": [10, 0, 5], "f_final": 5.0}, 2, INF),  # it saw the solution and returned something else
        ({"values": [10, 5, 5], "f_final": 0.0}, INF, 3),  # it returned what it never evaluated under its own count
        ({"values": [10, 0], "f_final": NAN}, 2, INF),
        ({"values": [10, 0], "f_final": None, "status": "crashed"}, 2, INF),
        ({"values": [], "f_final": 0.0}, INF, INF),
        ({"values": [10, 0], "f_final": -INF}, 2, 2),
    ],
)
def test_costs_by_output_judge_the_returned_point_and_charge_all(columns, history, output):
    results = make_results(run("a", **{"f_start": 10.0} | columns))
    assert cost_table(results).iloc[0, 0] == history
    table = cost_table(results, basis="output")
    assert table.iloc[0, 0] == output
    assert (table.attrs["basis"], table.attrs["solved_by"]) == ("output", "f")
    pd.testing.assert_frame_equal(hit_counts(results, basis="output").costs(), table)
    assert summary_table(results, [1e-5], basis="output")["solved_1e-5"].tolist() == [int(output < INF)]


def test_accuracy_by_output_is_that_of_the_returned_point():
    runs = [run("a", values=[10, 0, 5], f_final=5.0), run("b", values=[10, 4], f_final=NAN), run("c", values=[10, 4])]
    results = make_results(*runs)
    assert accuracy_table(results, basis="output").loc["s/p"].tolist() == [0.5, 1.0, 1.0]
    assert accuracy_table(results).loc["s/p"].tolist() == [0.0, 0.4, 0.4]
    with pytest.raises(InvalidInputError, match="budget=5 needs basis='history'"):
        accuracy_table(results, 5, basis="output")
    with pytest.raises(InvalidInputError, match="basis must be"):
        accuracy_table(results, basis="last")


def test_noisy_runs_are_judged_without_noise_by_both_bases():
    noisy = run("a", values=[10, 0, 5], true=[10, 5, 0], f_final=0.0)
    assert cost_table(make_results(noisy)).iloc[0, 0] == 3
    assert cost_table(make_results(noisy), basis="output").iloc[0, 0] == 3


def quadratic(suite: str = "s") -> Problem:
    """f = (x_1 - 1)^2 + 4 x_2^2: x_opt (1, 0), gradient (2 (x_1 - 1), 8 x_2)."""
    return Problem(
        name="p",
        suite=suite,
        start=np.array([3.0, 1.0]),
        fun_xp=lambda x, xp: (x[0] - 1.0) ** 2 + 4.0 * x[1] ** 2,
        gradient_np=lambda x: np.array([2.0 * (x[0] - 1.0), 8.0 * x[1]]),
        f_opt=0.0,
        x_opt=np.array([1.0, 0.0]),
    )


def with_points(points: Any, tasks: Any = None) -> Any:
    fun = [math.nan if x is None else float(quadratic().fun(np.array(x))) for x in points]
    results = make_results(run("a", values=fun, tasks=["fun"] * len(fun) if tasks is None else tasks, f_start=8.0))
    results.rows["x"] = pd.Series([None if x is None else np.array(x, dtype=float) for x in points], dtype=object)
    return results


POINTS = [(3.0, 1.0), (1.0, 0.1), (1.3, 0.0), (1.0, 0.0)]


@pytest.mark.parametrize(
    ("tau", "x", "gradient", "f"),
    [
        # Distances sqrt(5), 0.1, 0.3, 0; gradients sqrt(80), 0.8, 0.6, 0; f 8, 0.04, 0.09, 0.
        (0.1, 2, 2, 2),
        (0.07, 2, 3, 2),
        (0.04, 4, 4, 2),
        (0.0, 4, 4, 4),
    ],
)
def test_distance_and_gradient_decide_by_hand(tau, x, gradient, f):
    results = with_points(POINTS)
    found = {by: cost_table(results, tau, solved_by=by, problems=[quadratic()]) for by in ("x", "gradient", "f")}
    assert [int(table.iloc[0, 0]) for table in found.values()] == [x, gradient, f]
    assert found["x"].attrs["f_opt_source"] == {"s/p": "x_opt of the problem"}
    assert hit_counts(results, tau, solved_by="x", problems=[quadratic()]).costs().iloc[0, 0] == x


def test_points_of_differences_do_not_count_and_nan_never_passes():
    results = with_points([(3.0, 1.0), (1.0, 0.0), (NAN, 0.0), (1.0, 0.0)], ["fun", "numdiff", "fun", "fun_and_jac"])
    for by in ("x", "gradient"):
        assert cost_table(results, solved_by=by, problems=[quadratic()]).iloc[0, 0] == 4


def test_the_gradient_is_projected_where_there_are_bounds():
    problem = Problem(
        name="p",
        suite="s",
        start=np.array([3.0]),
        fun_xp=lambda x, xp: x[0] ** 2,
        gradient_np=lambda x: 2 * x,
        bounds=om.Bounds(lower=np.array([1.0]), upper=np.array([9.0])),
    )
    results = make_results(run("a", values=[9, 4, 1], f_start=9.0, n=1))
    results.rows["x"] = pd.Series([np.array([v]) for v in (3.0, 2.0, 1.0)], dtype=object)
    # At the bound, x = 1, the gradient is 2 and its projection 0.
    assert cost_table(results, solved_by="gradient", problems=[problem]).iloc[0, 0] == 3


def test_what_points_need_is_said():
    results = with_points(POINTS)
    with pytest.raises(InvalidInputError, match=r"of 's/p' aren't known here; give it in problems="):
        cost_table(results, solved_by="x")
    with pytest.raises(InvalidInputError, match="hold no points"):
        cost_table(make_results(run("a", values=[1, 0])), solved_by="x", problems=[quadratic()])
    with pytest.raises(InvalidInputError, match="run 'run00000' has no points: its study has keep_x = false"):
        cost_table(with_points([(3.0, 1.0), None]), solved_by="gradient", problems=[quadratic()])
    with pytest.raises(InvalidInputError, match="solved_by='x' needs points"):
        cost_table(results, solved_by="x", basis="output", problems=[quadratic()])
    with pytest.raises(InvalidInputError, match="basis must be 'history' or 'output', not 'final'"):
        cost_table(results, basis="final")
    with pytest.raises(InvalidInputError, match="solved_by must be 'f', 'x' or 'gradient', not 'g'"):
        cost_table(results, solved_by="g")


def test_a_problem_without_a_solution_is_not_assessable():
    unknown = Problem(name="p", suite="s", start=np.ones(2), fun_xp=lambda x, xp: x[0])
    for by in ("x", "gradient"):
        table = cost_table(with_points(POINTS), solved_by=by, problems=[unknown])
        assert table.iloc[0, 0] == INF
        assert table.attrs["not_assessable"] == ["s/p"]


def test_a_stored_study_knows_its_problems(tmp_path):
    study = Study("s", ["more_wild/rosenbrock"], ["scipy_bfgs"], budget=om.Budget(max_evaluations=60))
    results = run_study(study, tmp_path / "s")
    solution = np.ones(2)
    history = results.history()
    distance = np.array([np.linalg.norm(x - solution) for x in history["x"]])
    asked = history["task"].isin(["fun", "fun_and_jac"]).to_numpy()
    hit = np.flatnonzero(asked & (distance <= 1e-2 * distance[0]))[0]
    expected = (history["task"][: hit + 1] != "jac").sum()
    assert cost_table(results, 1e-2, solved_by="x").iloc[0, 0] == expected
    assert np.isfinite(cost_table(results, 1e-2, solved_by="gradient")).iloc[0, 0]


@pytest.mark.parametrize(
    ("f_start", "f_opt", "tau", "reason"),
    [
        (1e6, 1.0, 1e-5, "threshold - f_L > |f_L|"),
        (1e6, 1.0, 1e-7, None),
        (1e6, -1.0, 1e-5, "threshold - f_L > |f_L|"),
        (1e4, 0.0, 1e-5, "threshold > 0.01"),
        (1e2, 0.0, 1e-5, None),
        (2.0, 2.0, 1e-5, "the start is at f_L"),
        (1.0, 2.0, 1e-5, "the start is below f_L"),
        (INF, 1.0, 1e-5, None),  # not assessable, which is said apart
    ],
)
def test_rows_that_an_accuracy_makes_degenerate_are_named(f_start, f_opt, tau, reason):
    results = make_results(run("a", values=[f_start, f_opt], f_opt=f_opt), run("b", values=[f_start], f_opt=f_opt))
    found = degenerate_rows(results, tau)
    assert found["reason"].tolist() == ([] if reason is None else [reason])
    assert cost_table(results, tau).attrs["degenerate"] == found["row"].tolist()
    if reason is not None:
        assert found.loc[0, ["row", "source", "f_opt"]].tolist() == ["s/p", "best known", f_opt]
        assert found.at[0, "threshold"] == pytest.approx(max(f_opt + tau * (f_start - f_opt), f_opt))


def test_a_degenerate_row_is_told_from_one_with_a_larger_start():
    runs = [run("a", "p", [1e6, 1], f_opt=1.0), run("a", "p", [1e2, 1], f_opt=1.0, start=2), run("a", "q", [1, 0])]
    assert degenerate_rows(make_results(*runs))["row"].tolist() == ["s/p"]


def test_an_unknown_minimum_is_frozen_and_runs_that_beat_it_are_listed(tmp_path):
    make_store(tmp_path / "s", [unknown_minimum(0, 2.0), unknown_minimum(7, 5.0)])
    results = Results(tmp_path / "s")
    assert cost_table(results).attrs["f_opt_source"] == {"made/up0": "best of the compared runs"}
    digest = results.digest
    frozen = freeze_reference(results)
    assert frozen[["problem", "f_opt", "solver"]].values.tolist() == [["up0", 2.0, "solver0 [forward]"]]
    before = cost_table(results)
    assert before.attrs["f_opt_source"] == {"made/up0": "frozen: best of solver0 [forward]"}
    assert improved(results).empty

    make_store(tmp_path / "t", [unknown_minimum(0, 2.0), unknown_minimum(7, 5.0), unknown_minimum(14, 1.0)])
    (tmp_path / "t" / "derived").mkdir(exist_ok=True)
    (tmp_path / "s" / "derived" / "reference.parquet").rename(tmp_path / "t" / "derived" / "reference.parquet")
    later = Results(tmp_path / "t")
    pd.testing.assert_frame_equal(cost_table(later)[before.columns], before)
    (change,) = improved(later).to_dict("records")
    assert (change["solver"], change["gain"], change["would_fail"]) == ("solver2 [forward]", 1.0, "solver0 [forward]")
    assert (change["solved"], change["solved_if_adopted"]) == (2, 1)
    # Freezing again keeps what is frozen; nothing of this is a mistake in the store or changes its digest.
    assert freeze_reference(later)["f_opt"].tolist() == [2.0]
    assert np.isinf(cost_table(later, f_opt="compared").loc["made/up0", "solver0 [forward]"])
    assert check(tmp_path / "t") == []
    assert Results(tmp_path / "s").digest == digest


def test_large_sizes_of_one_problem_are_frozen_apart(tmp_path):
    records = [unknown_minimum(0, 2.0), unknown_minimum(7, 3.0)]
    for entry, n in zip(records, (10_000_001, 10_000_002), strict=True):
        entry.run.update(problem="large", n=n)
    make_store(tmp_path / "s", records)
    assert freeze_reference(Results(tmp_path / "s"))["f_opt"].tolist() == [2.0, 3.0]


def test_what_is_known_is_not_frozen_and_results_in_memory_freeze_nothing(tmp_path):
    make_store(tmp_path / "s", [record(0)])
    assert freeze_reference(Results(tmp_path / "s")).empty
    assert not (tmp_path / "s" / "derived" / "reference.parquet").exists()
    frame = pd.DataFrame({"problem": "a", "algorithm": "mine", "fun": [3.0, 1.0], "evaluation": [0, 1]})
    results = Results.from_frame(frame)
    assert freeze_reference(results)["f_opt"].tolist() == [1.0]
    assert read_reference(results) is None
    assert Evaluations.read(results).reference("best_known")[1].tolist() == ["best of the compared runs"]


def test_a_finished_study_freezes_and_a_bundle_carries_it(tmp_path):
    problem = Problem(name="mine", start=np.array([2.0]), fun_xp=lambda x, xp: (x[0] - 1.0) ** 2, version="1")
    study = Study("s", [problem], ["scipy_neldermead"], ["none"], budget=om.Budget(max_evaluations=30))
    results = run_study(study, tmp_path / "s")
    assert read_reference(results)["f_opt"].tolist() == [results.runs["f_best"].min()]
    bundle = Results(export_bundle(tmp_path / "s", tmp_path / "s.zip"))
    assert list(cost_table(bundle).attrs["f_opt_source"].values()) == ["frozen: best of scipy_neldermead [none]"]
