"""The result: what it holds, how it prints, and that it pickles."""

import copy
import dataclasses
import json
import pickle
import re
import subprocess
import sys
import textwrap
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

import optcore as om
from tests.core.counting import ROSENBROCK_START, rosenbrock, rosenbrock_gradient


def fun(p):
    return (p["a"] - 1) ** 2 + (p["b"] @ p["b"])


START = {"b": np.ones(2), "a": 3}


def test_the_fields_of_a_result():
    result = om.minimize(fun, START, "scipy_slsqp")
    assert result.status is om.Status.CONVERGED
    assert result.status == "converged"
    assert result.success
    assert result.message == "Optimization terminated successfully"
    assert result.algorithm == "scipy_slsqp"
    assert result.direction == "minimize"
    assert result.start_params["a"] == 3.0
    assert result.start_fun == fun(START) == 6
    assert result.fun == fun(result.params)
    assert type(result.fun) is type(result.start_fun) is float
    assert type(result.params["a"]) is float
    assert isinstance(result.n_iterations, int)
    assert result.n_jac_evals == result.n_fun_and_jac_evals == 0
    assert result.n_numdiff_evals == 3 * result.claims["njev"]
    assert 0 < result.seconds < 60


def test_it_prints_what_matters():
    result = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", jac=rosenbrock_gradient)
    lines = repr(result).splitlines()
    assert lines[0] == "minimize with scipy_lbfgsb"
    assert lines[1] == "  status   converged: CONVERGENCE: RELATIVE REDUCTION OF F <= FACTR*EPSMCH"
    assert lines[2].startswith("  fun      ")
    assert "(from 24.199999999999996)" in lines[2]
    assert lines[4] == "  calls    44 of fun, 44 of jac, 36 iterations"
    report = result.convergence_report
    changes = f"last step: fun {report['one_step']['relative_criterion_change']:.1e}, params "
    assert lines[5].startswith(f"  changes  {changes}")
    assert lines[-1].startswith("  seconds  ")


def many_numbers():
    return {f"param_{i}": float(i + 1) for i in range(2000)}


LARGE = {
    "5000 numbers in an array": np.ones(5000),
    "999 numbers in an array": np.linspace(0.1, 1 / 3, 999),
    "a dict of 2000 numbers": many_numbers(),
    "nested arrays": {"a": {"b": np.ones((40, 5)), "c": [np.full((3, 3, 3), 1 / 3)] * 4}},
    "a data frame": pd.DataFrame({"value": np.linspace(0, 1, 200), "note": "some words to fill the row"}),
    "a long index": pd.Series([1.0, 2.0], index=["x" * 300, "y" * 300]),
    "two numbers": np.ones(2),
}


@pytest.mark.parametrize("params", LARGE.values(), ids=LARGE.keys())
def test_it_fits_a_screen_of_80_by_24(params):
    from optcore.tree import Converter

    flatten = Converter(params).flatten
    budget = om.Budget(max_evaluations=3)
    result = om.minimize(lambda p: float(flatten(p) @ flatten(p)), params, "scipy_neldermead", budget=budget)
    result = dataclasses.replace(result, message="words of a solver " * 100)
    lines = repr(result).splitlines()
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    text = " ".join(repr(result.params).split())
    if len(text) > 7 * 69:
        assert any(line.endswith(f"... {flatten(params).size} in all") for line in lines)
    else:
        assert " ".join(lines).replace(" ", "").count(text.replace(" ", "")) == 1


def test_it_says_what_numerical_derivatives_cost_and_what_ended_it():
    text = repr(om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", budget=om.Budget(max_evaluations=7)))
    assert "7 of fun (4 for numerical derivatives)" in text
    assert "budget_evaluations: the budget of 7 evaluations is spent" in text


def test_in_a_notebook_it_is_a_table_in_which_nothing_is_markup():
    result = om.minimize(lambda p: p["<b>"] ** 2, {"<b>": 1.0}, "scipy_lbfgsb", algo_options={"stopping_maxiter": 77})
    html = result._repr_html_()
    root = ElementTree.fromstring(html)  # well-formed
    assert root.tag == "table"
    rows = {row[0].text: row[1] for row in root.findall("tr")}
    assert list(rows) == [
        "status", "fun", "params", "calls", "changes", "seconds", "options", "versions", "environment",
    ]  # fmt: skip
    assert rows["params"].text.startswith("{'<b>': ")
    assert not root.findall(".//b")
    measures = [[cell.text for cell in row] for row in rows["changes"].find("table").findall("tr")]
    assert measures[0][1:] == ["last step", "last five steps"]
    report = result.convergence_report
    assert measures[1] == [
        "relative, criterion",
        *(f"{report[span]['relative_criterion_change']:.3g}" for span in ("one_step", "five_steps")),
    ]
    assert json.loads(rows["options"].find("details/pre").text)["algorithm"]["stopping_maxiter"] == 77
    assert json.loads(rows["versions"].find("details/pre").text)["optcore"] == om.__version__


def test_without_history_there_are_no_changes_to_show():
    result = om.minimize(fun, START, "scipy_lbfgsb", collect_history=False)
    assert "changes" not in repr(result)
    assert "changes" not in result._repr_html_()


PARAMS = [
    1.0,
    np.ones(2),
    {"a": 1.0, "b": [np.ones((2, 2))]},
    pd.Series([1.0, 2.0], index=["x", "y"]),
    {"f": pd.DataFrame({"value": [1.0]}, index=["k"])},
]


@pytest.mark.parametrize("params", PARAMS, ids=lambda value: type(value).__name__)
def test_a_result_pickles_with_its_history(params):
    from optcore.tree import Converter

    flatten = Converter(params).flatten
    result = om.minimize(lambda p: float(flatten(p) @ flatten(p)), params, "scipy_lbfgsb")
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(flatten(again.params), flatten(result.params))
    np.testing.assert_array_equal(again.history.flat_params, result.history.flat_params)
    np.testing.assert_array_equal(flatten(again.history.params[-1]), result.history.flat_params[-1])
    assert repr(again) == repr(result)
    assert again.status is om.Status.CONVERGED
    assert again.claims.keys() == result.claims.keys()


def test_statuses_are_the_words_of_the_tables():
    assert [status.value for status in om.Status] == [
        "converged", "stopped", "budget_evaluations", "budget_seconds", "error", "interrupted",
    ]  # fmt: skip


# scipy's names and other people's ------------------------------------------------------------------------------------

COUNTED = {
    "differences": ({}, "n_fun_evals"),
    "jac": ({"jac": rosenbrock_gradient}, "n_fun_evals"),
    "fun_and_jac": ({"fun_and_jac": lambda x: (rosenbrock(x), rosenbrock_gradient(x))}, "n_fun_and_jac_evals"),
}


@pytest.mark.parametrize(("given", "counts"), COUNTED.values(), ids=COUNTED.keys())
def test_scipys_names_are_read_only_names_of_the_same(given, counts):
    calls = {"fun": 0}

    def counted(x):
        calls["fun"] += 1
        return rosenbrock(x)

    result = om.minimize(counted, ROSENBROCK_START, "scipy_lbfgsb", **given)
    assert result.x is result.params
    assert result.x0 is result.start_params
    assert result.nit == result.n_iterations
    assert result.nfev == calls["fun"] + result.n_fun_and_jac_evals == getattr(result, counts)
    assert result.njev == result.n_jac_evals + result.n_fun_and_jac_evals == (44 if given else 0)
    for name in ("x", "x0", "nfev", "njev", "nit", "fun", "success", "status", "message"):
        assert result[name] is getattr(result, name)
        with pytest.raises(AttributeError):
            setattr(result, name, 0)


def test_the_counts_are_those_that_scipy_gives():
    import scipy.optimize

    theirs = scipy.optimize.minimize(rosenbrock, ROSENBROCK_START, jac=rosenbrock_gradient, method="SLSQP")
    ours = om.minimize(
        rosenbrock,
        ROSENBROCK_START,
        "scipy_slsqp",
        jac=rosenbrock_gradient,
        algo_options={"convergence_ftol_abs": 1e-6},
    )
    assert (ours.nfev, ours.njev, ours.nit) == (theirs.nfev, theirs.njev, theirs.nit)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("jac", "a result has no 'jac': derivatives are not kept; om.first_derivative(fun, result.params) takes one"),
        ("hess_inv", "a result has no 'hess_inv': second derivatives are not kept"),
        ("cost", "a result has no 'cost': fun is the sum of squares; scipy's cost is half of it"),
        ("algorithm_output", "a result has no 'algorithm_output': what the solver says of itself is in claims"),
        ("n_fun_eval", "unknown attribute of a result 'n_fun_eval'; did you mean 'n_fun_evals'?"),
    ],
)
def test_a_name_that_a_result_does_not_have_says_what_to_use(name, message):
    result = om.minimize(fun, START, "scipy_neldermead")
    with pytest.raises(AttributeError, match=f"^{re.escape(message)}$"):
        getattr(result, name)
    with pytest.raises(om.UnknownNameError, match=f"^{re.escape(message)}$"):
        result[name]
    assert not hasattr(result, name)


def test_it_is_no_sequence():
    result = om.minimize(fun, START, "scipy_neldermead")
    with pytest.raises(TypeError, match="not iterable"):
        list(result)
    with pytest.raises(om.UnknownNameError):
        result[0]


# to keep and to send -------------------------------------------------------------------------------------------------


def test_the_summary_is_strict_json_with_params_by_name(tmp_path):
    result = om.maximize(
        lambda p: -fun(p), START, "scipy_lbfgsb", jac=lambda p: {"a": 2 - 2 * p["a"], "b": -2 * p["b"]}
    )
    text = result.to_json(tmp_path / "result.json")
    summary = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    assert summary == result.summary()
    assert (tmp_path / "result.json").read_text() == text + "\n"
    assert summary["params"] == {"a": result.params["a"], "b[0]": result.params["b"][0], "b[1]": result.params["b"][1]}
    assert summary["start_params"] == {"a": 3.0, "b[0]": 1.0, "b[1]": 1.0}
    assert summary["fun"] == result.fun
    assert summary["start_fun"] == -6.0
    assert summary["direction"] == "maximize"
    assert summary["status"] == "converged"
    assert summary["success"] is True
    for name in ("n_iterations", "n_fun_evals", "n_jac_evals", "n_fun_and_jac_evals", "n_numdiff_evals", "message"):
        assert summary[name] == getattr(result, name)
    assert summary["convergence_report"] == result.convergence_report
    assert summary["options"] == result.options
    assert summary["versions"] == result.versions
    assert summary["environment"] == result.environment
    assert summary["claims"]["x"] == list(result.claims["x"])


@pytest.mark.parametrize("params", PARAMS, ids=lambda value: type(value).__name__)
def test_the_summary_has_every_entry_of_any_params(params):
    from optcore.tree import Converter

    converter = Converter(params)
    result = om.minimize(
        lambda p: float(converter.flatten(p) @ converter.flatten(p)), params, "scipy_neldermead", collect_history=False
    )
    assert list(result.summary()["start_params"].values()) == converter.start.tolist()
    assert list(result.summary()["params"]) == list(converter.names)


def test_entries_of_one_name_are_told_apart_in_the_summary():
    params = pd.Series([1.0, 2.0], index=["a", "a"])
    result = om.minimize(lambda p: float(p.to_numpy() @ p.to_numpy()), params, "scipy_neldermead")
    assert result.summary()["start_params"] == {"a#0": 1.0, "a#1": 2.0}


def test_what_is_not_finite_is_a_string_in_json():
    def solver(fun, x0):
        fun(x0)
        return {"x": x0, "fun": float("nan"), "nfev": float("inf")}

    result = dataclasses.replace(om.minimize(lambda x: float(x @ x), np.ones(1), solver), fun=float("-inf"))
    summary = json.loads(result.to_json())
    assert summary["fun"] == "-Infinity"
    assert (summary["claims"]["fun"], summary["claims"]["nfev"]) == ("NaN", "Infinity")


def test_a_file_of_pickle_reads_in_another_process_with_classes_of_the_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys
            from collections import namedtuple
            import optcore as om

            Model = namedtuple("Model", ["level", "slope"])
            scale = 3.0
            result = om.minimize(lambda p: scale * (p.level - 1) ** 2 + p.slope**2, Model(2.0, 1.0), "scipy_lbfgsb")
            result.to_pickle(sys.argv[1])
            """
        )
    )
    path = tmp_path / "result.pkl"
    subprocess.run([sys.executable, script, path], check=True, timeout=120)
    again = pickle.loads(path.read_bytes())
    assert again.params.level == pytest.approx(1, abs=1e-5)
    assert again.history.names == ("level", "slope")
    assert len(again.history.params) == again.n_fun_evals
    assert again.options["algorithm"]["limited_memory_storage_length"] == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.pkl", "script.py"]


def test_copies_are_complete():
    result = om.minimize(fun, START, "scipy_lbfgsb")
    for again in (copy.copy(result), copy.deepcopy(result), dataclasses.replace(result)):
        assert repr(again) == repr(result)
        assert again.summary() == result.summary()
