"""Digits of certified estimates: computed from stored points, shown where problems are certified."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import optcore as om
from optcore_bench import Results, Study, digits_table, run_study, write_report
from optcore_bench.cli.app import app
from optcore_bench.digits import median_digits
from optcore_problems import get_problem
from tests.bench.fake_results import make_results, run

PROBLEMS = ["nist_strd/misra1a_start2", "nist_strd/danwood_start2", "more_wild/rosenbrock"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("digits") / "store"
    study = Study(
        name="fits",
        problems=PROBLEMS,
        algorithms=["scipy_ls_trf", "scipy_neldermead"],
        derivatives=["analytic", "forward"],
        budget=om.Budget(max_evaluations=30),
    )
    run_study(study, store=path, n_jobs=2)
    return path


def test_digits_are_those_of_the_best_point_that_the_solver_asked_for(store: Path) -> None:
    results = Results(store)
    table = digits_table(results)
    runs = results.runs
    expected = runs[(runs["suite"] == "nist_strd") & (runs["status"] != "not_applicable")]
    assert table["run_id"].tolist() == expected["run_id"].tolist()
    assert len(table) == 2 * 3
    for row in table.itertuples():
        history = results.history(run_id=row.run_id)
        asked = history[history["task"].isin(["fun", "fun_and_jac"])]
        x = asked["x"].iloc[int(np.nanargmin(asked["fun"]))]
        problem = get_problem(f"nist_strd/{row.problem}")
        assert problem.fun(x) == row.f_best
        assert row.digits == problem.certified.digits(x)
        assert row.certified_digits == 11
    solved = table[(table["algorithm"] == "scipy_ls_trf") & (table["derivative"] == "analytic")]
    assert (solved["digits"] > 7.0).all()
    medians = median_digits(results)
    assert medians["scipy_ls_trf [analytic]"] == solved["digits"].median() > medians["scipy_neldermead [none]"] > 0.5


def test_without_points_there_are_no_digits(tmp_path: Path) -> None:
    study = Study(name="fits", problems=PROBLEMS[0], algorithms="scipy_ls_trf", keep_x=False)
    table = digits_table(run_study(study, store=tmp_path / "store", n_jobs=1))
    assert len(table) == 1
    assert table["digits"].isna().all()


class Older:
    """A store whose runs are of a version of the problem that is no more."""

    def __init__(self, results: Results) -> None:
        self.runs = results.runs.assign(problem_version="0")
        self.history = results.history


def test_runs_of_another_version_of_a_problem_have_no_digits(store: Path) -> None:
    table = digits_table(Older(Results(store)))  # type: ignore[arg-type]
    assert len(table) == 6
    assert table["digits"].isna().all()


@pytest.mark.parametrize(
    "results",
    [
        make_results(run("a", "b", [1.0])),
        Results.from_frame(
            pd.DataFrame({"problem": "a", "algorithm": "mine", "evaluation": [1, 2], "fun": [3.0, 1.0]})
        ),
    ],
    ids=["another suite", "no suite"],
)
def test_problems_that_nobody_certified_have_no_row(results: Any) -> None:
    table = digits_table(results)
    assert table.empty
    assert {"run_id", "problem", "digits", "certified_digits"} <= set(table)
    assert median_digits(results).empty


def optcore(*arguments: str) -> str:
    return CliRunner().invoke(app, list(arguments)).stdout


def test_show_has_digits_where_problems_are_certified(store: Path) -> None:
    table = digits_table(Results(store))
    summary = {row["solver"]: row for row in json.loads(optcore("show", str(store), "--json"))}
    medians = median_digits(Results(store))
    assert {solver: row["median digits"] for solver, row in summary.items()} == medians.to_dict()
    rows = json.loads(optcore("show", str(store), "--problem", "danwood_start2", "--json"))
    shown = [row["digits"] for row in rows if row["status"] != "not_applicable"]
    assert shown == table[table["problem"] == "danwood_start2"]["digits"].tolist()
    assert [row["digits"] for row in rows if row["status"] == "not_applicable"] == [None] * 2
    assert "digits" in optcore("show", str(store), "--problem", "danwood_start2")
    assert "digits" not in optcore("show", str(store), "--problem", "rosenbrock")


def test_the_report_has_digits_where_problems_are_certified(store: Path, tmp_path: Path) -> None:
    page = write_report(Results(store), tmp_path / "with.html").read_text(encoding="utf-8")
    other = write_report(make_results(run("a", "b", [3.0, 1.0])), tmp_path / "without.html").read_text(encoding="utf-8")
    heading = ">median digits</button>"
    assert heading in page
    assert heading not in other
    for digits in median_digits(Results(store)):
        assert f">{digits:.1f}</td>" in page


def test_values_that_rounding_of_residuals_explains_are_not_better_than_known(tmp_path: Path) -> None:
    def text(f_best: float) -> str:
        results = make_results(run("a", values=[270.0, f_best], f_opt=1.4307867720779767e-25))
        return write_report(results, tmp_path / "report.html").read_text(encoding="utf-8")

    eps = np.finfo(float).eps
    lower = 4.0 * eps * np.sqrt(270.0 * 1.43e-25)
    assert "No run went below a best known value. 1 problem differs by rounding only." in text(
        1.4307867720779767e-25 - lower
    )
    assert "Improved values" in text(1.3e-25)
