"""Histories of others: complete, checked column by column, and good for every analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from optcore.errors import InvalidInputError, UnknownNameError
from optcore_bench import VirtualClock, cost_table
from optcore_bench.costs import accuracy_table, summary_table
from optcore_bench.figures import data_profile_plot, performance_profile_plot
from optcore_bench.profiles import data_profile, ecdf, log_ratio_profile, performance_profile
from optcore_bench.report import write_report
from optcore_bench.store import Results, check
from optcore_bench.trajectories import convergence
from tests.bench.store_records import make_store, record


def histories(**columns: Any) -> pd.DataFrame:
    """Two algorithms on three problems, 40 evaluations each."""
    rows = [
        {"problem": problem, "algorithm": algorithm, "evaluation": i, "fun": 1.0 + 50.0 * 0.8 ** (speed * i)}
        for problem in ("p", "q", "r")
        for algorithm, speed in (("slow", 1), ("fast", 2))
        for i in range(40)
    ]
    return pd.DataFrame(rows).assign(**columns)


def test_every_optional_column_is_taken() -> None:
    given = {
        "suite": "s",
        "derivative": "forward",
        "start": 2,
        "noise": "none",
        "n": 3,
        "m": 5,
        "seed": 7,
        "status": "converged",
        "message": "done",
        "f_start": 99.0,
        "f_opt": 1.0,
        "f_final": 1.5,
        "n_iterations": 12,
        "derivative_error": 1e-8,
        "problem_version": "v1",
        "algorithm_options": '{"a":1}',
        "derivative_options": "{}",
        "study": "theirs",
        "environment": "laptop",
    }
    runs = Results.from_frame(histories(**given)).runs
    assert len(runs) == 6
    for name, value in given.items():
        assert runs[name].tolist() == [value] * 6
    assert runs["n_fun_evals"].tolist() == [40] * 6


def test_points_and_times_are_kept() -> None:
    frame = histories()
    frame["x"] = [np.array([float(i), -1.0]) for i in frame["evaluation"]]
    frame["seconds"] = 0.5 * (frame["evaluation"] + 1)
    results = Results.from_frame(frame)
    assert results.runs["n"].tolist() == [2] * 6
    assert results.timings["seconds"].tolist() == [20.0] * 6
    assert np.stack(results.history(problem="q", algorithm="fast")["x"])[:, 0].tolist() == list(range(40))
    clock = results.clock(problem="q", algorithm="fast")
    assert (clock["start"].tolist()[:2], clock["stop"].tolist()[:2]) == ([0, 500_000_000], [500_000_000, 1_000_000_000])


def test_a_store_given_as_a_frame_is_the_store(tmp_path: Path) -> None:
    make_store(tmp_path / "s", [record(i, k=12, suite="made") for i in range(9)])
    stored = Results(tmp_path / "s")
    frame = stored.history().astype({"run_id": str}).merge(stored.runs, on="run_id")
    again = Results.from_frame(frame)
    same = ["fun", "best", "batch", "task"]
    pd.testing.assert_frame_equal(again.history(columns=same), stored.history(columns=same), check_categorical=False)
    # What the rows decide is counted again; the made-up store says something else there.
    kept = ["suite", "problem", "n", "algorithm", "derivative", "status", "message", "f_start", "f_opt", "f_final", "m"]
    pd.testing.assert_frame_equal(again.runs[kept], stored.runs[kept])


@pytest.mark.parametrize("place", ["in memory", "saved"])
def test_every_analysis_and_the_report_take_them(tmp_path: Path, place: str) -> None:
    results = Results.from_frame(histories(n=2, seconds=0.0).assign(seconds=lambda f: 0.1 * (f["evaluation"] + 1)))
    if place == "saved":
        results = Results(results.save(tmp_path / "s"))
        assert check(tmp_path / "s") == []
        assert results.finished
    for cost in ("evaluations", "gradients", "batches", "seconds", VirtualClock(0.1, 0.1, cores=2)):
        table = cost_table(results, tau=1e-3, cost=cost)
        assert list(table.index) == ["p", "q", "r"]
        assert np.isfinite(table.to_numpy()).all()
    costs = cost_table(results, tau=1e-3)
    # 0.8 ** (speed i) <= 1e-3, to which the best value of the fast one adds next to nothing
    assert costs.loc["p"].tolist() == [1 + np.ceil(np.log(1e-3) / np.log(0.8) / speed) for speed in (2, 1)]
    for profile in (performance_profile(costs), data_profile(costs, n=pd.Series(2, costs.index)), ecdf(costs)):
        assert len(profile)
    assert len(log_ratio_profile(costs))
    assert len(accuracy_table(results)) == 3
    assert len(summary_table(results)) == 2
    assert performance_profile_plot(costs).figure().data
    assert data_profile_plot(costs).figure().data
    assert convergence(results).figure().data
    page = write_report(results, tmp_path / "report.html")
    assert "fast" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("place", ["in memory", "saved"])
def test_what_was_not_given_is_unknown_and_not_zero(tmp_path: Path, place: str) -> None:
    results = Results.from_frame(histories())
    if place == "saved":
        results = Results(results.save(tmp_path / "s"))
        assert check(tmp_path / "s") == []
    assert len(cost_table(results)) == 3
    with pytest.raises(InvalidInputError, match="has no clock"):
        cost_table(results, cost="seconds")
    with pytest.raises(InvalidInputError, match=r"the dimension n of 'p' isn't known"):
        cost_table(results, cost="gradients")
    assert results.timings["seconds"].isna().all()
    write_report(results, tmp_path / "report.html")


def changed(row: int, **values: Any) -> pd.DataFrame:
    frame = histories(**{name: frame_value for name, frame_value in DEFAULTS.items() if name in values}).astype(object)
    for name, value in values.items():
        frame.at[row, name] = value
    return frame


DEFAULTS: dict[str, Any] = {
    "n": 2,
    "batch": 0,
    "seconds": 1.0,
    "status": "stopped",
    "f_opt": 0.0,
    "task": "fun",
    "x": None,
    "start": 1,
    "derivative": "forward",
}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fun": "low"}, "column 'fun' must hold numbers, but holds 'low' in row 5"),
        ({"evaluation": 1.5}, "column 'evaluation' must hold whole numbers of at least 0, but holds 1.5 in row 5"),
        ({"evaluation": -1}, "column 'evaluation' must hold whole numbers of at least 0, but holds -1 in row 5"),
        ({"evaluation": None}, "column 'evaluation' lacks a number in row 5"),
        ({"evaluation": 3}, "column 'evaluation' has 3 twice in problem 'p', algorithm 'slow'"),
        ({"problem": None}, "column 'problem' lacks a name in row 5"),
        ({"algorithm": np.nan}, "column 'algorithm' lacks a name in row 5"),
        ({"n": 3}, "column 'n' must have one value in a run, but has 2.0 and 3.0 in problem 'p', algorithm 'slow'"),
        ({"n": 0}, "column 'n' must hold whole numbers of at least 1, but holds 0 in row 5"),
        ({"batch": 0.5}, "column 'batch' must hold whole numbers of at least 0, but holds 0.5"),
        ({"batch": None}, "column 'batch' lacks a number"),
        ({"seconds": -1}, "column 'seconds' must hold numbers of at least 0, but holds -1"),
        ({"f_opt": 1.0}, "column 'f_opt' must have one value in a run, but has 0.0 and 1.0"),
        ({"status": "error"}, "column 'status' must have one value in a run, but has 'stopped' and 'error'"),
        ({"x": [1.0]}, "column 'x' must hold vectors of one length, but doesn't in problem 'p', algorithm 'slow'"),
        ({"start": "one"}, "column 'start' must hold whole numbers of at least 1, but holds 'one' in row 5"),
    ],
    ids=str,
)
def test_a_wrong_value_is_an_error_that_names_the_column(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Results.from_frame(changed(5, **values))
    assert words in str(caught.value)


def test_names_that_are_not_known_are_errors() -> None:
    with pytest.raises(
        InvalidInputError, match="column 'derivatives' is not known; rename it to 'derivative', or drop"
    ):
        Results.from_frame(histories(derivatives="forward"))
    with pytest.raises(UnknownNameError, match="unknown status 'convergd'; did you mean 'converged'"):
        Results.from_frame(histories(status="convergd"))
    with pytest.raises(InvalidInputError, match="come as a pandas DataFrame, not as dict"):
        Results.from_frame({"problem": ["a"]})  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"come as a pandas DataFrame; convert this with its to_pandas\(\)"):
        Results.from_frame(pa.table({"problem": ["a"]}))
    assert len(Results.from_frame(histories(temperature=3.0)).runs) == 6


def test_a_run_that_begins_with_difference_points_starts_at_the_first_asked_for() -> None:
    frame = pd.DataFrame({"problem": "a", "algorithm": "b", "evaluation": range(3), "fun": [np.nan, 7.0, 3.0]})
    runs = Results.from_frame(frame.assign(task=["jac", "fun", "fun"])).runs
    assert runs["f_start"].tolist() == [7.0]
    assert (runs["n_fun_evals"].tolist(), runs["n_jac_evals"].tolist()) == ([2], [1])


@pytest.mark.parametrize("kind", ["category", "string", "Int64"])
def test_other_types_of_columns_mean_the_same(kind: str) -> None:
    frame = histories(n=2)
    names = ["evaluation", "n"] if kind == "Int64" else ["problem", "algorithm"]
    other = frame.astype(dict.fromkeys(names, kind))
    pd.testing.assert_frame_equal(Results.from_frame(other).runs, Results.from_frame(frame).runs)
