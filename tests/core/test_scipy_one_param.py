"""Minimizers of functions of one number."""

import numpy as np
import pytest
import scipy.optimize

import optcore as om
from tests.core.counting import ONE_NUMBER, Counted


def valley(x):
    """Its minimum is where exp(x) = 2: at log(2)."""
    value = x[0] if np.ndim(x) else x
    return float(np.exp(value) - 2 * value)


DIRECT = [
    ("scipy_brent", {}, {"bracket": (2.0, 2.2), "options": {"xtol": 1e-8}}),
    ("scipy_brent", {"initial_step": 0.7, "convergence_xtol_rel": 1e-3},
     {"bracket": (2.0, 2.7), "options": {"xtol": 1e-3}}),
    ("scipy_brent", {"stopping_maxiter": 3}, {"bracket": (2.0, 2.2), "options": {"xtol": 1e-8, "maxiter": 3}}),
    ("scipy_golden", {}, {"bracket": (2.0, 2.2), "options": {"xtol": 1e-8}}),
    ("scipy_golden", {"initial_step": 0.7, "stopping_maxiter": 5},
     {"bracket": (2.0, 2.7), "options": {"xtol": 1e-8, "maxiter": 5}}),
    ("scipy_bounded", {}, {"bounds": (-3, 4), "options": {"xatol": 1e-8}}),
    ("scipy_bounded", {"convergence_xtol_abs": 1e-2}, {"bounds": (-3, 4), "options": {"xatol": 1e-2}}),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "options", "scipys"), DIRECT, ids=lambda value: str(value)[:40])
def test_the_points_are_those_of_a_direct_call_of_scipy(algorithm, options, scipys):
    fun = Counted(valley)
    method = getattr(om.algos, algorithm).method
    direct = scipy.optimize.minimize_scalar(fun.call, method=method, **scipys)
    bounds = [(-3, 4)] if algorithm == "scipy_bounded" else None
    ours = om.minimize(valley, np.array([2.0]), algorithm, bounds=bounds, algo_options=options)
    expected = list(dict.fromkeys([2.0, *(float(x) for x in fun.points)]))
    assert list(dict.fromkeys(ours.history.flat_params[:, 0].tolist())) == expected
    assert ours.success == direct.success
    assert ours.message == " ".join(direct.message.split())
    assert ours.n_iterations == direct.nit


@pytest.mark.parametrize("algorithm", ONE_NUMBER)
def test_a_number_in_any_tree_will_do(algorithm):
    bounds = om.Bounds({"a": -3}, {"a": 4}) if algorithm == "scipy_bounded" else None
    result = om.minimize(lambda p: valley(p["a"]), {"a": 2}, algorithm, bounds=bounds)
    assert abs(result.params["a"] - np.log(2)) < 1e-6


@pytest.mark.parametrize("algorithm", ONE_NUMBER)
def test_more_than_one_number_is_an_error_before_anything_is_called(algorithm):
    fun = Counted(lambda x: 0.0)
    with pytest.raises(
        om.InvalidInputError, match=f"{algorithm} minimizes functions of one number, but there are 3 par"
    ):
        om.minimize(fun.call, np.ones(3), algorithm)
    assert len(fun) == 0


def test_bounds_are_needed_where_they_are_and_refused_where_they_are_not_taken():
    with pytest.raises(om.InvalidInputError, match=r"scipy_bounded searches within bounds; give .* missing for '0'$"):
        om.minimize(valley, np.array([2.0]), "scipy_bounded", bounds=[(0, None)])
    with pytest.raises(om.InvalidInputError, match="scipy_brent can't handle bounds"):
        om.minimize(valley, np.array([2.0]), "scipy_brent", bounds=[(0, 3)])


@pytest.mark.parametrize("algorithm", ["scipy_brent", "scipy_golden"])
def test_without_a_minimum_the_search_for_a_bracket_ends_without_success(algorithm):
    result = om.minimize(lambda x: -x[0], np.array([2.0]), algorithm)
    assert not result.success
    assert "bracket" in result.message.lower()
    assert result.fun < -1e3
