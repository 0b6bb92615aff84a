"""How a result was made: read when asked for, plain values when pickled."""

import dataclasses
import pickle
import platform
from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
import scipy

import optcore as om
import optcore.environment
from optcore.provenance import Provenance, json_numbers, plain

Pair = namedtuple("Pair", ["a", "b"])


def test_options_have_every_field_defaults_too():
    result = om.minimize(
        lambda x: float(x @ x),
        np.ones(2),
        "scipy_lbfgsb",
        algo_options={"convergence.ftol_rel": 1e-3},
        numdiff_options=om.NumdiffOptions(method="central"),
        budget=om.Budget(max_evaluations=50),
        error_handling="continue",
    )
    options = result.options
    assert set(options) == {"algorithm", "numdiff", "budget", "error_handling"}
    cls = om.algos.scipy_lbfgsb
    assert options["algorithm"] == {**dataclasses.asdict(cls()), "convergence_ftol_rel": 1e-3}
    assert options["numdiff"]["method"] == "central"
    assert set(options["numdiff"]) == {field.name for field in dataclasses.fields(om.NumdiffOptions)}
    assert options["budget"] == {"max_evaluations": 50, "max_gradients": None, "max_seconds": None}
    assert options["error_handling"] == "continue"


@pytest.mark.parametrize(
    ("algorithm", "given", "differences"),
    [
        ("scipy_lbfgsb", {}, True),
        ("scipy_lbfgsb", {"jac": lambda x: 2 * x}, False),
        ("scipy_neldermead", {}, False),
    ],
)
def test_options_of_differences_are_there_where_differences_were_taken(algorithm, given, differences):
    result = om.minimize(lambda x: float(x @ x), np.ones(2), algorithm, **given)
    assert (result.options["numdiff"] is not None) is differences is (result.n_numdiff_evals > 0)
    assert result.options["budget"] is None


def test_versions_are_those_installed_and_name_the_solvers_library():
    result = om.minimize(lambda x: float(x @ x), np.ones(2), "scipy_lbfgsb")
    assert result.versions == {
        "optcore": om.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
    }


def test_the_library_of_another_solver_has_its_version(monkeypatch):
    monkeypatch.setattr(optcore.environment, "library_version", {"nlopt": "2.9"}.get)
    provenance = Provenance(type("Solver", (), {"library": "nlopt.sub"}), None, None, "raise")
    assert provenance.versions["nlopt"] == "2.9"


def test_the_environment_names_the_machine():
    environment = om.minimize(lambda x: float(x @ x), np.ones(2), "scipy_lbfgsb").environment
    assert set(environment) == {"os", "machine", "cpu", "cpu_count", "blas", "blas_threads"}
    assert environment["machine"] == platform.machine()
    assert environment["os"] == platform.platform()
    assert environment == optcore.environment.environment()


def test_minimize_asks_for_nothing_of_it(monkeypatch):
    def fail(*args):
        raise AssertionError("asked")

    monkeypatch.setattr(optcore.environment, "environment", fail)
    monkeypatch.setattr(optcore.environment, "library_version", fail)
    monkeypatch.setattr("optcore.provenance.plain", fail)
    result = om.minimize(lambda x: float(x @ x), np.ones(2), "scipy_lbfgsb")
    with pytest.raises(AssertionError, match="asked"):
        _ = result.options


def test_a_pickle_says_where_it_was_made_not_where_it_is_read(monkeypatch):
    result = om.minimize(lambda x: float(x @ x), np.ones(2), "scipy_lbfgsb")
    data = pickle.dumps(result)
    monkeypatch.setattr(optcore.environment, "environment", lambda: {"cpu": "another"})
    monkeypatch.setattr("optcore.provenance.__version__", "999")
    again = pickle.loads(data)
    assert again.versions["optcore"] == om.__version__ != "999"
    assert again.environment["cpu"] == optcore.environment.cpu()
    assert again.options == result.options
    assert pickle.loads(pickle.dumps(again)).options == result.options


def test_functions_of_the_user_are_named_and_not_pickled():
    def my_map(function, points):
        return [function(x) for x in points]

    def my_solver(fun, x0, options):
        fun(x0)
        return x0

    differences = om.NumdiffOptions(batch_evaluator=my_map)
    results = [
        om.minimize(lambda x: float(x @ x), np.ones(2), "scipy_lbfgsb", numdiff_options=differences),
        om.minimize(lambda x: float(x @ x), np.ones(2), my_solver, algo_options={"callback": my_map, "rate": 0.1}),
    ]
    again = [pickle.loads(pickle.dumps(result)) for result in results]
    name = f"{__name__}.test_functions_of_the_user_are_named_and_not_pickled.<locals>.my_map"
    assert again[0].options["numdiff"]["batch_evaluator"] == name
    assert again[1].options["algorithm"]["options"] == {"callback": name, "rate": 0.1}
    assert again[1].options["algorithm"]["function"].endswith("my_solver")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (np.bool_(True), True),
        (np.int32(3), 3),
        (np.float32(0.5), 0.5),
        (om.Status.STOPPED, "stopped"),
        ((1, [2.0]), [1, [2.0]]),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.array(1.5), 1.5),
        (pd.Series([1.0], index=["a"]), [1.0]),
        ({1: np.float64(2)}, {"1": 2.0}),
        (Pair(1, np.int64(2)), [1, 2]),
        (om.Budget(max_seconds=2.0), {"max_evaluations": None, "max_gradients": None, "max_seconds": 2.0}),
        (len, "builtins.len"),
        (dict, "builtins.dict"),
        (1 + 2j, "(1+2j)"),
    ],
    ids=repr,
)
def test_plain_values(value, expected):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_numbers_that_json_lacks_are_strings_that_float_reads():
    found = json_numbers({"a": [float("nan"), float("inf"), float("-inf"), 1.0], "b": {"c": 0}})
    assert found == {"a": ["NaN", "Infinity", "-Infinity", 1.0], "b": {"c": 0}}
    assert [repr(float(text)) for text in found["a"]] == ["nan", "inf", "-inf", "1.0"]
