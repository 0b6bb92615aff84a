"""The measurements of numerical derivatives: exact references and counts, and a page that holds what was measured."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from optcore_bench.cli import app
from optcore_bench.derivative_bench import (
    HARD,
    METHODS,
    HardFunction,
    accuracy_table,
    break_even_table,
    efficiency_table,
    noise_table,
    page,
    parallel,
)
from optcore_bench.derivative_bench.accuracy import NOISY, is_resolved
from optcore_bench.derivative_bench.functions import exact_derivative, moved_points
from optcore_bench.derivative_bench.page import Tables, page_text, write_page

SMALL = {name: HARD[name] for name in ("wood", "brown badly scaled", "logs")}


@pytest.fixture(scope="module")
def tables() -> Tables:
    seconds = [1e-4, 1e-3, 1e-2]
    efficiency = pd.DataFrame(
        {
            "evaluator": "processes",
            "workers": 2,
            "call_seconds": seconds,
            "gradient_seconds": 1.0,
            "efficiency": [0.5, 0.8, 0.97],
        }
    )
    even = pd.DataFrame({"evaluator": "processes", "n": 10, "call_seconds": seconds, "speed_up": [0.5, 1.5, 1.9]})
    return Tables(accuracy_table(SMALL), noise_table(levels=[1e-6], repeats=4), efficiency, even)


@pytest.mark.parametrize("function", HARD.values(), ids=lambda f: f.name)
def test_references_agree_with_central_differences_in_extended_precision(function: HardFunction) -> None:
    if np.finfo(np.longdouble).eps > 1e-18:
        pytest.skip("long double is no longer than double here")
    exact = exact_derivative(function.fun, function.x)
    for i in range(function.x.size):
        h = np.longdouble(1e-6) * max(1e-5, abs(function.x[i]))
        up, down = (function.x.astype(np.longdouble) for _ in range(2))
        up[i] += h
        down[i] -= h
        difference = (function.fun(up) - function.fun(down)) / (up[i] - down[i])
        size = abs(exact[i]) + abs(float(function.fun(function.x))) * 1e-19 / float(h) * 1e7
        assert abs(float(difference) - exact[i]) <= 1e-6 * size


def test_a_jacobian_has_a_row_a_value() -> None:
    def pair(x: Any) -> Any:
        return np.array([x[0] * x[1], np.exp(x[0])])

    np.testing.assert_allclose(exact_derivative(pair, np.array([1.0, 2.0])), [[2.0, 1.0], [math.e, 0.0]], rtol=1e-15)


def test_points_move_by_some_per_cent_and_zeros_stay() -> None:
    x = np.array([0.0, 100.0])
    points = moved_points(x)
    assert len(points) == 5
    assert all(point[0] == 0.0 and 0.0 < abs(point[1] - 100.0) < 15.0 for point in points)


#: Calls of a gradient of n params after the first, from the formulas.
CALLS = {
    "forward": lambda n: n + 1,
    "central": lambda n: 2 * n + 1,
    "forward, calibrated": lambda n: n + 1,
    "central, calibrated": lambda n: 2 * n + 1,
    "scipy 2-point": lambda n: n + 1,
    "scipy 3-point": lambda n: 2 * n + 1,
}


@pytest.mark.parametrize("method", CALLS)
def test_calls_are_those_of_the_formulas(tables: Tables, method: str) -> None:
    rows = tables.accuracy[(tables.accuracy["method"] == method) & (tables.accuracy["phase"] == "next")]
    assert list(rows["function"]) == list(SMALL)
    assert rows["evaluations"].tolist() == [CALLS[method](n) for n in rows["n"]]


def test_a_complex_step_costs_n_calls_and_a_few_checks_of_the_function(tables: Tables) -> None:
    rows = tables.accuracy[(tables.accuracy["method"] == "complex_step") & (tables.accuracy["phase"] == "next")]
    assert (rows["evaluations"] >= rows["n"] + 1).all()
    assert (rows["evaluations"] <= rows["n"] + 3).all()


def test_errors_are_those_of_the_methods(tables: Tables) -> None:
    rows = tables.accuracy[tables.accuracy["phase"] == "next"].set_index(["function", "method"])
    assert rows.loc[("logs", "complex_step"), "entry_error"] < 1e-14
    assert rows.loc[("logs", "richardson"), "entry_error"] < 1e-10
    assert (
        rows.loc[("logs", "forward, calibrated"), "entry_error"] < 1e-6 < rows.loc[("logs", "forward"), "entry_error"]
    )
    assert rows.loc[("logs", "scipy 3-point"), "entry_error"] == np.inf
    assert rows.loc[("wood", "richardson"), "bounds_held"] == 1.0
    assert np.isnan(rows.loc[("wood", "forward"), "bounds_held"])


def test_every_method_is_in_every_table(tables: Tables) -> None:
    assert set(METHODS) | {"scipy 2-point", "scipy 3-point"} == set(tables.accuracy["method"])
    assert set(NOISY) | {"scipy 2-point", "scipy 3-point"} == set(tables.noise["method"])
    assert set(tables.accuracy["phase"]) == {"first", "next"}


def test_tables_of_errors_repeat_exactly() -> None:
    for make in (lambda: accuracy_table({"wood": HARD["wood"]}), lambda: noise_table([1e-4], 3)):
        pd.testing.assert_frame_equal(make(), make())


def test_entries_below_the_rounding_of_the_value_are_left_out() -> None:
    brown = HARD["brown badly scaled"]
    gradient = exact_derivative(brown.fun, brown.x)
    assert is_resolved(brown.fun(brown.x), gradient, brown.x).tolist() == [True, False]
    assert is_resolved(0.0, np.array([1e-300, 0.0]), np.zeros(2)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("speed_up", "expected"),
    [
        ([0.5, 2.0, 3.0], 10**-3.5),
        ([2.0, 0.5, 2.0], 10**-2.5),
        ([1.5, 1.6, 1.7], 1e-4),
        ([0.1, 0.2, 0.3], math.inf),
        ([0.25, 2.0, 2.0], 10 ** (-4 + 2 / 3)),
    ],
)
def test_workers_break_even_where_the_speed_up_crosses_one_for_good(speed_up: list[float], expected: float) -> None:
    table = pd.DataFrame({"evaluator": "threads", "n": 7, "call_seconds": [1e-4, 1e-3, 1e-2], "speed_up": speed_up})
    assert parallel.break_even(table, "threads", 7) == pytest.approx(expected, rel=1e-12)


def test_efficiency_and_speed_up_are_measured() -> None:
    efficiency = efficiency_table([2e-3], [2], n=3, evaluators=["threads"])
    assert efficiency[["evaluator", "workers", "call_seconds"]].to_numpy().tolist() == [["threads", 2, 2e-3]]
    assert 0.0 < efficiency["efficiency"].iloc[0] < 2.0
    even = break_even_table([1e-4], ns=[2])
    assert list(even["evaluator"]) == ["processes", "joblib"]
    np.testing.assert_allclose(even["speed_up"], even["serial_seconds"] / even["parallel_seconds"])


def test_the_page_holds_the_numbers(tables: Tables) -> None:
    text = page_text(tables, {name: f"{name}.svg" for name, _, _ in tables.named()})
    rows = tables.accuracy[tables.accuracy["phase"] == "next"].set_index(["function", "method"])["entry_error"]
    for method in METHODS:
        assert f"{rows['logs', method]:.0e}" in text
    assert "| processes | 2 | 50% | 80% | 97% |" in text
    assert "processes, 10 params: 0.427 ms" in text
    for name in ("accuracy", "noise", "efficiency", "break_even"):
        assert f"({name}.svg)" in text


def test_without_timings_the_page_says_nothing_of_workers(tables: Tables) -> None:
    bare = dataclasses.replace(tables, efficiency=None, break_even=None)
    text = page_text(bare, {name: f"{name}.svg" for name, _, _ in bare.named()})
    assert "orkers" not in text.partition("##")[2]


def test_the_page_is_written_whole_with_tables_and_figures(tables: Tables, tmp_path: Path) -> None:
    written = write_page(tmp_path / "new" / "page", tables, draw=False)
    assert sorted(path.name for path in (tmp_path / "new" / "page").iterdir()) == sorted(path.name for path in written)
    assert [path.name for path in written][:3] == ["README.md", "accuracy.csv", "accuracy.html"]
    read = pd.read_csv(tmp_path / "new" / "page" / "accuracy.csv")
    np.testing.assert_allclose(read["entry_error"], tables.accuracy["entry_error"], rtol=1e-5)
    assert "Largest relative error" in written[0].read_text(encoding="utf-8")
    for _, table, figure_of in tables.named():
        assert len(figure_of(table).data) >= 1
    assert write_page(tmp_path / "new" / "page", tables, draw=False) == written


def test_the_command_writes_the_page_and_names_it(
    tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def measured(*, timings: bool, tell: Any) -> Tables:
        asked.append(timings)
        tell("something")
        return tables

    monkeypatch.setattr(page, "compute_tables", measured)
    monkeypatch.setattr(page, "_draw", lambda figure, stem, draw: stem.with_suffix(".svg"))
    done = CliRunner().invoke(app, ["bench-derivatives", "--out", str(tmp_path), "--no-timings", "--json"])
    assert done.exit_code == 0, done.output
    assert asked == [False]
    assert "measuring something" in done.stderr
    facts = json.loads(done.stdout)
    assert facts["page"] == str(tmp_path / "README.md")
    assert len(facts["files"]) == 8
