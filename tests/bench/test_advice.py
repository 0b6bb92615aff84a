"""advise: what it finds out about a function, what it lets run, and what it says."""

from __future__ import annotations

import importlib.util
import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import optcore as om
from optcore.errors import InvalidFunctionError, InvalidInputError, OptcoreError, UnknownNameError, UserFunctionError
from optcore_bench import advise
from optcore_bench.advice import Advice, BestMap
from optcore_bench.advice import decide as decide_module
from optcore_bench.advice.best import lower_envelope
from optcore_bench.advice.parallel import Parallel
from optcore_bench.advice.task import read_task
from optcore_bench.advice.trials import NO_DERIVATIVE, Candidate, run_trials
from optcore_bench.cli.app import app

Params = dict[str, Any]
START: Params = {"a": np.array([0.5, -1.0]), "b": 2.0}
QUICK: dict[str, Any] = {"seconds": 60.0, "cores": 1}


def loss(p: Params) -> Any:
    return np.sum((p["a"] - 3.0) ** 2) + (p["b"] - 1.0) ** 4 + 0.1 * np.sum(p["a"]) * p["b"]


def gradient(p: Params) -> Params:
    return {"a": 2 * (p["a"] - 3.0) + 0.1 * p["b"], "b": 4 * (p["b"] - 1.0) ** 3 + 0.1 * np.sum(p["a"])}


def wrong_gradient(p: Params) -> Params:
    return gradient(p) | {"b": 2 * (p["b"] - 1.0) ** 3}


def both(p: Params) -> tuple[Any, Params]:
    return loss(p), gradient(p)


@om.mark.least_squares
def residuals(x: Any) -> Any:
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0], 0.1 * (x[2] - 2)])


@om.mark.likelihood
def contributions(x: Any) -> Any:
    return -((x[0] - np.arange(5.0)) ** 2) - (x[1] - 1.0) ** 2


def minimum(fun: Any, start: Any) -> float:
    return float(om.minimize(fun, start, "scipy_bfgs", numdiff_options=om.NumdiffOptions(method="central")).fun)


@pytest.fixture(scope="module")
def plain() -> Advice:
    return advise(loss, START, jac=gradient, algorithms=["scipy_lbfgsb", "scipy_neldermead"], **QUICK)


# what it says --------------------------------------------------------------------------------------------------------


def test_options_minimize_the_function_to_the_value_that_scipy_finds(plain: Advice) -> None:
    result = om.minimize(loss, START, **plain.options)
    assert result.fun == pytest.approx(minimum(loss, START), abs=1e-6)


def test_the_sentence_names_algorithm_value_evaluations_and_price(plain: Advice) -> None:
    best = plain.table.loc[plain.best]
    assert plain.best.split(" [")[0] in plain.sentence
    assert f"{best['f']:.6g}" in plain.sentence
    assert f"{best['evaluations']:.0f} evaluations" in plain.sentence
    assert plain.sentence in str(plain)


def test_the_table_has_a_row_for_each_candidate_best_first(plain: Advice) -> None:
    assert {label.split(" [")[0] for label in plain.table.index} == {"scipy_lbfgsb", "scipy_neldermead"}
    assert plain.table["seconds"].is_monotonic_increasing
    assert next(iter(plain.table.index)) == plain.best


def test_evaluations_are_those_until_the_value_was_within_tau_of_the_best(plain: Advice) -> None:
    results = {t.candidate.label: t.result for t in plain.trials if t.result is not None}
    lowest = min(result.fun for result in results.values())
    target = lowest + plain.tau * (loss(START) - lowest)
    for label, result in results.items():
        first = int(np.argmax(result.history.monotone_fun <= target))
        tasks = result.history.task[: first + 1]
        assert plain.table.loc[label, "evaluations"] == np.count_nonzero(tasks != "jac")
        assert plain.table.loc[label, "jacobians"] == np.count_nonzero(tasks == "jac")
        assert plain.table.loc[label, "batches"] == len(np.unique(result.history.batch[: first + 1]))


def test_the_map_has_a_trace_for_each_candidate_that_is_best_somewhere(plain: Advice) -> None:
    names = {trace.name for trace in plain.figure().data}
    assert names == {*plain.map.regions["candidate"], "your function, here"}


def test_all_candidates_are_in_the_criterion_plot(plain: Advice) -> None:
    assert len(plain.criterion_plot().data) == len(plain.trials)


# what it finds out ---------------------------------------------------------------------------------------------------


def test_a_right_jac_has_no_error_and_differences_have_theirs(plain: Advice) -> None:
    errors = plain.derivatives["error"]
    assert errors["analytic"] < 1e-11
    assert 1e-13 < errors["forward"] < 1e-6  # truncation: h f''/2 with h = 1.5e-8 max(|x|, 0.1)
    assert errors["central"] < errors["forward"]


def test_errors_are_told_by_leaf_and_point(plain: Advice) -> None:
    assert set(plain.errors["leaf"]) == {"a", "b"}
    assert set(plain.errors["point"]) == {1, 2, 3}
    assert (plain.errors["resolution"] < 1e-6).all()


def test_a_wrong_jac_is_found_named_and_not_run() -> None:
    advice = advise(loss, START, jac=wrong_gradient, algorithms=["scipy_lbfgsb"], **QUICK)
    assert "wrong at 'b'" in advice.derivatives.loc["analytic", "verdict"]
    assert any("om.check_derivative" in note for note in advice.notes)
    assert "jac" not in advice.options
    assert not any("analytic" in label for label in advice.table.index)


def test_fun_and_jac_is_one_call_for_both() -> None:
    advice = advise(loss, START, fun_and_jac=both, algorithms=["scipy_lbfgsb"], **QUICK)
    assert advice.derivatives.loc["fun_and_jac", "calls"] == 1
    assert advice.derivatives.loc["fun_and_jac", "error"] < 1e-11


def test_a_derivative_that_raises_is_not_run_and_says_why() -> None:
    def broken(p: Params) -> Params:
        raise KeyError("beta")

    advice = advise(loss, START, jac=broken, algorithms=["scipy_lbfgsb"], **QUICK)
    assert advice.derivatives.loc["analytic", "verdict"] == "KeyError: 'beta'"
    assert "The derivative that you gave (analytic) can't be used: KeyError: 'beta'." in advice.notes


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_a_function_without_a_limit_is_said_to_have_none() -> None:
    def falling(x: Any) -> float:
        return float(-np.sum(np.asarray(x) ** 2))

    advice = advise(falling, np.ones(2), algorithms=["scipy_slsqp"], **QUICK)
    assert "The values have no limit: the function has no optimum here, or needs bounds." in advice.notes


def test_what_takes_as_long_is_not_said_to_take_one_times_as_long(plain: Advice) -> None:
    other = plain.table.index[1]
    seconds = plain.table["seconds"].iloc[0]
    for factor, words in ((1.004, "took as long."), (1.4, "took 1.4 times as long.")):
        table = plain.table.assign(seconds=[seconds, factor * seconds])
        assert replace(plain, table=table).sentence.endswith(f"; {other} {words}")


@pytest.mark.parametrize("sigma", [1e-6, 1e-3])
def test_noise_is_measured_and_makes_solvers_without_derivatives_candidates(sigma: float) -> None:
    rng = np.random.default_rng(1)

    def noisy(x: Any) -> float:
        return float(np.sum((x - 1) ** 2) + 1.0 + sigma * rng.standard_normal())

    advice = advise(noisy, np.full(3, 3.0), **QUICK)
    assert advice.probe.noisy
    assert sigma / 4 < advice.probe.noise < 4 * sigma  # ECnoise is an estimate of seven values
    assert any(label.endswith("[none]") for label in advice.table.index)
    assert any("noisy" in note for note in advice.notes)


def test_a_smooth_function_is_not_called_noisy(plain: Advice) -> None:
    assert not plain.probe.noisy


def test_about_ten_calls_a_param_come_before_the_first_optimization() -> None:
    counted = [0]

    def fun(x: Any) -> float:
        counted[0] += 1
        return float(np.sum((x - np.arange(x.size)) ** 2))

    advice = advise(fun, np.ones(60), algorithms=["scipy_lbfgsb"], derivatives=["forward"], **QUICK)
    assert advice.probe.n_calls < 15 * 60
    by_trials = sum(t.result.n_fun_evals for t in advice.trials if t.result is not None)
    # Every candidate makes one more call, in which its library is imported.
    assert counted[0] == advice.probe.n_calls + by_trials + len(advice.trials)


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs the extra jax")
def test_a_function_that_jax_can_trace_is_differentiated_by_it() -> None:
    def traced(p: Params) -> Any:
        return (p["a"] - 3.0) @ (p["a"] - 3.0) + (p["b"] - 1.0) ** 4

    advice = advise(traced, START, algorithms=["scipy_lbfgsb"], derivatives=["jax"], **QUICK)
    assert advice.derivatives.loc["jax", "error"] < 1e-11
    assert om.minimize(traced, START, **advice.options).n_fun_and_jac_evals > 0


# kinds of functions --------------------------------------------------------------------------------------------------


def test_residuals_are_given_to_solvers_of_least_squares() -> None:
    start = np.array([-1.2, 1.0, 0.0])
    advice = advise(residuals, start, **QUICK)
    assert "scipy_ls_trf" in {label.split(" [")[0] for label in advice.table.index}
    assert om.minimize(residuals, start, **advice.options).fun < 1e-3
    assert advice.probe.m == 3


def test_a_sparse_jacobian_is_noticed() -> None:
    @om.mark.least_squares
    def chain(x: Any) -> Any:
        return np.concatenate([x[1:] - x[:-1] ** 2, 0.1 * (x - 1)])

    advice = advise(chain, np.full(12, 0.5), algorithms=["scipy_ls_trf"], derivatives=["sparse"], **QUICK)
    assert advice.derivatives.loc["sparse", "calls"] < 6


def test_a_likelihood_is_maximized() -> None:
    advice = advise(contributions, np.zeros(2), direction="maximize", algorithms=["scipy_lbfgsb"], **QUICK)
    assert om.maximize(contributions, np.zeros(2), **advice.options).params == pytest.approx([2.0, 1.0], abs=1e-4)


def test_bounds_fixed_and_arguments_are_part_of_the_options() -> None:
    def shifted(p: Params, shift: float) -> Any:
        return loss({"a": p["a"] - shift, "b": p["b"]})

    bounds = om.Bounds(lower={"a": np.array([0.0, -2.0])})
    advice = advise(
        shifted, START, bounds=bounds, fixed="b", fun_kwargs={"shift": 1.0}, algorithms=["scipy_lbfgsb"], **QUICK
    )
    result = om.minimize(shifted, START, **advice.options)
    assert result.params["b"] == START["b"]
    assert result.params["a"] == pytest.approx([3.9, 3.9], abs=1e-3)  # 2 (a - 4) + 0.1 b = 0 with b = 2
    assert advice.probe.n == 2


def test_workers_are_part_of_the_options_where_they_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide_module, "measure_parallel", lambda *_: Parallel(3, 1e-4, {"forward": 0.4}))
    advice = advise(loss, START, algorithms=["scipy_lbfgsb"], derivatives=["forward"], seconds=60, cores=3)
    assert advice.options["numdiff_options"].n_cores == 3
    assert "on 3 cores" in advice.sentence


# the map -------------------------------------------------------------------------------------------------------------

numbers = st.floats(0, 100, allow_nan=False).map(lambda value: round(value, 2))


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=6), numbers)
def test_the_envelope_is_the_lowest_line_everywhere(lines: list[tuple[float, float]], x: float) -> None:
    names = np.array([f"line {i}" for i in range(len(lines))])
    slopes, fixed = np.array(lines).T
    regions = lower_envelope(names, slopes, fixed)
    assert regions[0][0] == 0
    assert regions[-1][1] == np.inf
    assert all(left[1] == right[0] for left, right in itertools.pairwise(regions))
    (name,) = [name for low, high, name in regions if low <= x < high]
    value = dict(zip(names, slopes * x + fixed, strict=True))[name]
    assert value == pytest.approx(np.min(slopes * x + fixed), abs=1e-9)


def test_a_candidate_that_never_arrives_is_nowhere() -> None:
    assert lower_envelope(np.array(["a", "b"]), np.array([np.inf, 2.0]), np.array([0.0, 1.0])) == [(0.0, np.inf, "b")]
    assert lower_envelope(np.array(["a"]), np.array([np.inf]), np.array([0.0])) == []


def test_the_map_answers_for_any_price() -> None:
    lines = pd.DataFrame(
        [("cheap", 1, 10.0, 0.0), ("clever", 1, 2.0, 4.0), ("cheap", 2, 5.0, 0.0)],
        columns=["candidate", "cores", "slope", "fixed"],
    )
    best = BestMap.of(lines, (1.0, 1))
    assert [best.best(price, 1) for price in (0.1, 0.49, 0.51, 9.0)] == ["cheap", "cheap", "clever", "clever"]
    assert best.seconds("clever", 3.0, 1) == 10.0
    assert best.seconds("clever", 3.0, 2) == np.inf
    with pytest.raises(InvalidInputError, match="the map has no 3 cores; it has 1, 2"):
        best.best(1.0, 3)


# bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seconds": 0}, InvalidInputError, "seconds must be a finite number above 0, but is 0"),
        ({"seconds": float("nan")}, InvalidInputError, "seconds must be a finite number above 0"),
        ({"tau": 1.0}, InvalidInputError, "tau must be a finite number between 0 and 1, but is 1.0"),
        ({"tau": "small"}, InvalidInputError, "but is 'small'"),
        ({"cores": 0}, InvalidInputError, "cores must be a whole number of at least 1, or None, but is 0"),
        ({"direction": "up"}, InvalidInputError, "direction must be 'minimize' or 'maximize', but is 'up'"),
        ({"algorithms": []}, InvalidInputError, "name at least one algorithm"),
        ({"algorithms": ["scipy_lbfgs"]}, UnknownNameError, "scipy_lbfgsb"),
        ({"algorithms": ["scipy_bfgs"] * 2}, InvalidInputError, "algorithms= has scipy_bfgs twice"),
        ({"algorithms": ["scipy_ls_trf"]}, InvalidInputError, "needs residuals"),
        ({"derivatives": ["forwrad"]}, UnknownNameError, "'forward'"),
        ({"jac": residuals}, InvalidInputError, "jac is a derivative of another kind than fun"),
        ({"bounds": om.Bounds(lower={"b": 5.0})}, InvalidInputError, "'b'"),
    ],
)
def test_bad_arguments_get_one_sentence(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        advise(loss, START, **({"seconds": 30.0, "cores": 1} | arguments))
    assert message in str(caught.value)


def test_a_function_that_fails_at_the_start_is_named() -> None:
    def broken(x: Any) -> float:
        raise ZeroDivisionError("no")

    with pytest.raises(UserFunctionError, match="fun raised ZeroDivisionError at the start"):
        advise(broken, np.ones(2))
    with pytest.raises(InvalidFunctionError, match="fun is nan at the start"):
        advise(lambda x: float("nan"), np.ones(2))
    with pytest.raises(InvalidInputError, match="advise needs fun"):
        advise(None, np.ones(2))


def test_too_little_time_says_how_much_is_needed() -> None:
    import time

    def slow(x: Any) -> float:
        time.sleep(0.02)
        return float(x @ x)

    with pytest.raises(InvalidInputError, match=r"one call of fun takes .* s: 0.5 s are too few .* at least seconds="):
        advise(slow, np.ones(3), seconds=0.5)


def test_no_time_at_all_is_one_sentence() -> None:
    names = ("jac", "fun_and_jac", "bounds", "fixed", "fun_kwargs", "jac_kwargs", "fun_and_jac_kwargs")
    task = read_task(lambda x: float(x @ x), np.ones(2), **dict.fromkeys(names), direction="minimize")
    candidates = [Candidate(name, name, NO_DERIVATIVE) for name in ("scipy_neldermead", "scipy_cobyqa")]
    with pytest.raises(InvalidInputError, match="1e-09 s for all algorithms are over before any calls fun; give more"):
        run_trials(task, candidates, 1e-9, print)


def test_an_algorithm_that_cannot_be_is_said_before_the_function_is_looked_at() -> None:
    calls = []

    def counted(x: Any) -> float:
        calls.append(x)
        return float(x @ x)

    for name in ("scipy_lbfgs", "scipy_ls_trf"):
        with pytest.raises(OptcoreError):
            advise(counted, np.ones(2), algorithms=name)
    assert len(calls) == 2


# the command line ----------------------------------------------------------------------------------------------------

MODEL = """
import numpy as np
start = {"a": np.array([0.5, -1.0]), "b": 2.0}
def loss(p):
    return np.sum((p["a"] - 3.0) ** 2) + (p["b"] - 1.0) ** 4
def gradient(p):
    return {"a": 2 * (p["a"] - 3.0), "b": 4 * (p["b"] - 1.0) ** 3}
"""


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "advised_model.py").write_text(MODEL)
    return tmp_path


def test_the_command_prints_the_advice_and_the_call(model: Path) -> None:
    arguments = ["--start", "advised_model.py:start", "--jac", "advised_model.py:gradient", "--cores", "1"]
    done = CliRunner().invoke(
        app, ["advise", "advised_model.py:loss", *arguments, "-a", "scipy_bfgs", "--figure", "map.html"]
    )
    assert done.exit_code == 0, done.output
    assert "Take scipy_bfgs with" in done.stdout
    assert "in Python: om.minimize(loss, start, algorithm='scipy_bfgs'" in done.stdout
    assert "seconds per evaluation" in (model / "map.html").read_text(encoding="utf-8")


def test_the_command_prints_json(model: Path) -> None:
    arguments = ["--start", "advised_model.py:start", "-a", "scipy_bfgs", "-q", "--json"]
    done = CliRunner().invoke(app, ["advise", str(model / "advised_model.py:loss"), *arguments])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["best"].startswith("scipy_bfgs [")
    assert {row["derivative"] for row in told["derivatives"]} >= {"forward", "central"}


@pytest.mark.parametrize(
    ("figure", "message"),
    [("map.doc", "--figure 'map.doc' ends with none of .html, .png, .svg, .pdf"), ("nowhere/map.html", "no folder")],
)
@pytest.mark.usefixtures("model")
def test_a_figure_that_cannot_be_written_is_said_before_any_work(figure: str, message: str) -> None:
    done = CliRunner().invoke(
        app, ["advise", "advised_model.py:loss", "--start", "advised_model.py:start", "--figure", figure]
    )
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("model")
def test_where_the_figure_cannot_be_drawn_the_advice_has_been_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaleido", None)
    arguments = ["--start", "advised_model.py:start", "-a", "scipy_bfgs", "-q", "--figure", "map.png"]
    done = CliRunner().invoke(app, ["advise", "advised_model.py:loss", *arguments])
    assert done.exit_code == 2
    assert "Take scipy_bfgs with" in done.stdout
    assert "pip install 'optcore[figures]'" in done.stderr


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("advised_model.py:los", "did you mean 'loss'"),
        ("elsewhere.py:loss", "elsewhere.py'; paths start at the current folder"),
        ("advised_model.py", "must say which object"),
    ],
)
@pytest.mark.usefixtures("model")
def test_the_command_says_what_is_missing(place: str, message: str) -> None:
    done = CliRunner().invoke(app, ["advise", place, "--start", "advised_model.py:start"])
    assert done.exit_code == 2
    assert message in done.stderr
