"""What is fixed stays as it is and costs nothing; functions, derivatives and results have all params."""

import pickle

import hypothesis.strategies as st
import numpy as np
import optree
import pandas as pd
import pytest
import scipy.optimize
from hypothesis import given, settings

import optcore as om
from optcore.structure import NAMESPACE
from optcore.tree import Converter
from tests.cases import in_one_test
from tests.core.counting import (
    CENTRE,
    ELLIPSE_START,
    ONE_NUMBER,
    Counted,
    Given,
    ellipse,
    ellipse_gradient,
    ellipse_jacobian,
    ellipse_residuals,
    of,
    place,
)
from tests.core.trees import FRAME, MULTI, SERIES, TABLE, TREES, Line, Pair

DICT = {"beta": np.array([1.0, 2.0, 3.0]), "sigma": 4.0, "rest": {"c": [5.0, 6.0]}}
DICT_NAMES = ("beta[0]", "beta[1]", "beta[2]", "rest['c'][0]", "rest['c'][1]", "sigma")


@pytest.mark.parametrize(
    ("params", "fixed", "free"),
    [
        (DICT, None, [0, 1, 2, 3, 4, 5]),
        (DICT, False, [0, 1, 2, 3, 4, 5]),
        (DICT, [], [0, 1, 2, 3, 4, 5]),
        (DICT, set(), [0, 1, 2, 3, 4, 5]),
        (DICT, {}, [0, 1, 2, 3, 4, 5]),
        # names
        (DICT, "beta", [3, 4, 5]),
        (DICT, "beta[1]", [0, 2, 3, 4, 5]),
        (DICT, "rest", [0, 1, 2, 5]),
        (DICT, "rest['c']", [0, 1, 2, 5]),
        (DICT, "rest['c'][1]", [0, 1, 2, 3, 5]),
        (DICT, ["sigma", "beta[0]"], [1, 2, 3, 4]),
        (DICT, ("sigma", "sigma"), [0, 1, 2, 3, 4]),
        (DICT, {"sigma", "beta"}, [3, 4]),
        (DICT, frozenset(["sigma"]), [0, 1, 2, 3, 4]),
        (DICT, np.array(["sigma", "beta"]), [3, 4]),
        (DICT, pd.Index(["sigma"]), [0, 1, 2, 3, 4]),
        (np.ones(3), "1", [0, 2]),
        (np.ones((2, 2)), "0,1", [0, 2, 3]),
        ([1.0, 2.0], ["1"], [0]),
        (SERIES, "a", [0]),
        ({"s": SERIES}, "s['a']", [0]),
        (pd.Series([1.0, 2, 3, 4], index=MULTI), "('north', 2)", [0, 2, 3]),
        (FRAME, "r", [1]),
        (TABLE, "('r', 'y')", [0, 2, 3]),
        ({"m": Line(1.0, 2.0), "p": Pair(3.0, 4.0)}, ["m.level", "p.alpha"], [0, 3]),
        ({"a[0]": 1.0, "a": [2.0]}, "['a[0]']", [0]),
        # trees
        (DICT, {"sigma": True}, [0, 1, 2, 3, 4]),
        (DICT, {"beta": True, "sigma": False, "rest": None}, [3, 4, 5]),
        (DICT, {"beta": [True, False, None], "rest": True}, [1, 2, 5]),
        (DICT, {"beta": np.array([False, False, True])}, [0, 1, 3, 4, 5]),
        (DICT, {"rest": {"c": [False, True]}, "sigma": np.True_}, [0, 1, 2, 3]),
        (DICT, {"rest": {"c": np.array([False, True])}, "sigma": np.array(True)}, [0, 1, 2, 3]),
        (np.ones(3), [True, False, False], [1, 2]),
        (np.ones(3), np.array([True, False, False]), [1, 2]),
        ([1.0, 2.0], [True, False], [1]),
        ([1.0, 2.0], np.array([True, False]), [1]),
        (SERIES, pd.Series([True], index=["a"]), [0]),
        (SERIES, pd.Series([False, True], index=["a", "b"]), [1]),
        (FRAME, FRAME[["value"]] > 1.5, [0]),
        (FRAME, FRAME["value"] > 1.5, [0]),
        (TABLE, TABLE.loc[["s", "r"]] > 2.5, [0, 1]),
        (Line(1.0, 2.0), {"slope": True}, [1]),
        (Line(1.0, 2.0), Line(True, None), [1]),
        (Pair(1.0, 2.0), Pair(False, True), [0]),
        (Pair(1.0, 2.0), {"beta": True}, [0]),
    ],
)  # fmt: skip
def test_every_form_of_fixed_is_read(params, fixed, free):
    whole, converter = Converter(params), Converter(params, fixed)
    assert converter.n == len(free)
    assert converter.size == whole.n
    np.testing.assert_array_equal(converter.start, whole.start[free])
    assert converter.names == tuple(whole.names[i] for i in free)
    assert converter.all_names == whole.names


@pytest.mark.parametrize(
    ("params", "fixed", "error", "message"),
    [
        (DICT, True, om.InvalidInputError,
         "all params are fixed: there is nothing to optimize; leave at least one entry"),
        (DICT, ["beta", "sigma", "rest"], om.InvalidInputError, "all params are fixed: there is nothing to optimize"),
        (3.0, "0", om.InvalidInputError, "all params are fixed"),
        (DICT, "bet", om.UnknownNameError, "unknown name in fixed 'bet'; did you mean 'beta'?"),
        (DICT, ["sigma", "beta[3]"], om.UnknownNameError,
         r"unknown name in fixed 'beta\[3\]'; did you mean 'beta\[2\]'"),
        (SERIES, ["zzz"], om.UnknownNameError, "unknown name in fixed 'zzz'; there are: a, b"),
        (DICT, {"gamma": True}, om.InvalidInputError,
         "fixed has a leaf 'gamma' that params don't have; params have 'beta',"),
        (DICT, {"rest": {"d": True}}, om.InvalidInputError, r"fixed has a leaf \"rest\['d'\]\" that params don't have"),
        (DICT, {"sigma": 1}, om.InvalidInputError, "fixed at leaf 'sigma' must be True or False, but is 1"),
        (DICT, {"sigma": "yes"}, om.InvalidInputError, "fixed at leaf 'sigma' must be True or False, but is 'yes'"),
        (DICT, {"beta": [True, False]}, om.InvalidInputError,
         r"fixed at leaf 'beta' has shape \(2,\), but params have \(3,"),
        (DICT, {"beta": [0, 1, 0]}, om.InvalidInputError, "fixed at leaf 'beta' must be True or False, but is array"),
        (np.ones(3), [0, 2], om.InvalidInputError, r"fixed must be True or False, but is array\(\[0, 2\]"),
        (DICT, [True, False], om.InvalidInputError, "fixed has a leaf '0' that params don't have; params have 'beta'"),
        (DICT, np.array([True, False]), om.InvalidInputError,
         "fixed must have the structure of params, with the leaves 'b"),
        (SERIES, pd.Series([True], index=["d"]), om.InvalidInputError,
         "fixed has the entry 'd' that params don't have"),
        ({"a[0]": 1.0, "a": [2.0]}, "a[0]", om.InvalidInputError,
         r"'a\[0\]' in fixed may mean any of .*; use a tree of boo"),
        (DICT, 3, om.InvalidInputError, "fixed at leaf 'beta' must be True or False, but is 3"),
    ],
)  # fmt: skip
def test_what_can_not_be_fixed_is_an_error_that_names_it(params, fixed, error, message):
    with pytest.raises(error, match=message):
        om.minimize(lambda p: 1.0, params, "scipy_lbfgsb", fixed=fixed)


# minimize ------------------------------------------------------------------------------------------------------------

ALGORITHMS = [a.name for a in om.algos if a.library in ("scipy", "nlopt", "dfols") and a.name not in ONE_NUMBER]


FREE = [0, 2]


def reduced(function):
    """The ellipse with its second entry written into the function."""

    def call(x):
        answer = function(np.array([x[0], 1.0, x[1]]))
        if function is ellipse_gradient or function is ellipse_jacobian:
            return answer[..., FREE]
        return answer

    return call


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@in_one_test("names", [["fun"], ["fun", "jac"], ["fun_and_jac"]])
def test_every_solver_does_what_it_does_for_the_problem_without_the_fixed_entry(algorithm, names):
    functions = ellipse, ellipse_gradient, ellipse_residuals, ellipse_jacobian
    given = Given(of(algorithm).kind, names, *functions)
    options = {"algorithm": algorithm, "budget": om.Budget(500)}
    where, where_by_hand = place(algorithm, ELLIPSE_START), place(algorithm, ELLIPSE_START[FREE])
    result = om.minimize(fixed=[False, True, False], **where, **options, **given.arguments)
    by_hand = om.minimize(
        **where_by_hand, **options, **Given(of(algorithm).kind, names, *map(reduced, functions)).arguments
    )
    np.testing.assert_array_equal(result.history.flat_params[:, FREE], by_hand.history.flat_params)
    np.testing.assert_array_equal(result.params[FREE], by_hand.params)
    assert (result.fun, result.status, result.n_fun_evals) == (by_hand.fun, by_hand.status, by_hand.n_fun_evals)
    assert result.params[1] == 1.0
    assert (result.history.flat_params[:, 1] == 1.0).all()
    points = [point for counted in given.counted.values() for point in counted.points]
    assert {point.shape for point in points} == {(3,)}
    assert {point[1] for point in points} == {1.0}


@pytest.mark.parametrize(
    ("method", "evaluations"), [("forward", 3), ("backward", 3), ("central", 5), ("complex_step", 3)]
)
def test_fixed_entries_cost_no_evaluation_for_derivatives(method, evaluations):
    fun = Counted(ellipse)
    result = om.minimize(
        lambda p: fun.call(p["x"]), {"x": ELLIPSE_START}, "scipy_lbfgsb", fixed="x[1]",
        numdiff_options=om.NumdiffOptions(method=method), budget=om.Budget(evaluations),
    )  # fmt: skip
    assert set(np.bincount(result.history.batch)) <= {evaluations, evaluations + 1}  # complex_step checks itself once
    moved = [np.flatnonzero(point != ELLIPSE_START) for point in fun.points]
    assert all(1 not in entries for entries in moved)
    assert len(fun) == result.n_fun_evals == evaluations


def test_a_budget_in_gradients_counts_what_is_free():
    fun = Counted(ellipse)
    om.minimize(fun.marked, ELLIPSE_START, "scipy_neldermead", fixed="1", budget=om.Budget(max_gradients=2))
    assert len(fun) == 2 * (2 + 1)


TARGET = {"beta": np.array([3.0, 1.0, 2.0]), "sigma": 0.5, "rest": {"c": [1.0, -1.0]}}


def residual_dict(p):
    return {
        "b": p["beta"] - TARGET["beta"],
        "s": p["sigma"] - TARGET["sigma"],
        "c": np.array(p["rest"]["c"]) - TARGET["rest"]["c"],
    }


def residual_jacobian(p):
    zeros = {"beta": np.zeros(3), "sigma": 0.0, "rest": {"c": [0.0, 0.0]}}
    blocks = {"beta": np.eye(3), "sigma": np.zeros(3), "rest": {"c": [np.zeros(3), np.zeros(3)]}}
    last = {"beta": np.zeros((2, 3)), "sigma": np.zeros(2), "rest": {"c": [np.array([1.0, 0]), np.array([0.0, 1])]}}
    return {"s": {**zeros, "sigma": 1.0}, "b": blocks, "c": last}


def gradient_dict(p):
    r = residual_dict(p)
    return {"beta": 2 * r["b"], "sigma": 2 * r["s"], "rest": {"c": [2 * r["c"][0], 2 * r["c"][1]]}}


def sum_of_squares(p):
    r = residual_dict(p)
    return float(r["b"] @ r["b"] + r["s"] ** 2 + r["c"] @ r["c"])


@pytest.mark.parametrize("derivative", ["jac", "fun_and_jac", "numerical"])
@pytest.mark.parametrize("algorithm", ["scipy_lbfgsb", "scipy_ls_trf", "scipy_ls_lm", "scipy_ls_dogbox"])
@pytest.mark.parametrize("kind", ["scalar", "least_squares"])
def test_derivatives_with_the_structure_of_all_params_are_reduced_to_what_is_free(algorithm, kind, derivative):
    if kind == "scalar" and of(algorithm).kind == "least_squares":
        pytest.skip("a least-squares solver needs residuals")
    mark = getattr(om.mark, kind)
    fun, jac = (sum_of_squares, gradient_dict) if kind == "scalar" else (residual_dict, residual_jacobian)
    given = {
        "jac": {"fun": mark(fun), "jac": mark(jac)},
        "fun_and_jac": {"fun_and_jac": mark(lambda p: (fun(p), jac(p)))},
        "numerical": {"fun": mark(fun)},
    }[derivative]
    result = om.minimize(params=DICT, algorithm=algorithm, fixed={"beta": [False, True, False], "rest": True}, **given)
    np.testing.assert_allclose(result.params["beta"], [3.0, 2.0, 2.0], atol=1e-5)
    assert result.params["beta"][1] == 2.0
    assert result.params["rest"] == {"c": [5.0, 6.0]}
    assert result.params["sigma"] == pytest.approx(0.5, abs=1e-5)
    assert result.history.names == DICT_NAMES


def test_maximize_with_contributions_of_a_likelihood():
    data = np.array([1.0, 2.0, 4.0, 5.0])

    def contributions(p):
        return -np.log(p["sigma"]) - 0.5 * ((data - p["mean"]) / p["sigma"]) ** 2

    def jac(p):
        z = (data - p["mean"]) / p["sigma"]
        return {"mean": z / p["sigma"], "sigma": (z**2 - 1) / p["sigma"]}

    mark = om.mark.likelihood
    for fixed, expected in [("sigma", {"mean": 3.0, "sigma": 1.0}), ("mean", {"mean": 2.0, "sigma": (14 / 4) ** 0.5})]:
        result = om.maximize(
            mark(contributions), {"mean": 2.0, "sigma": 1.0}, "scipy_lbfgsb", jac=mark(jac), fixed=fixed,
            bounds=om.Bounds({"sigma": 0.01}), algo_options={"convergence_ftol_rel": 0.0},
        )  # fmt: skip
        assert result.params == pytest.approx(expected, abs=1e-4)


def test_a_value_column_with_rows_that_are_fixed():
    target = pd.Series([7.0, 3.0], index=["r", "s"])

    def fun(p):
        assert list(p.columns) == list(FRAME.columns)
        return float(((p["value"] - target) ** 2).sum())

    result = om.minimize(fun, FRAME, "scipy_lbfgsb", jac=lambda p: 2 * (p["value"] - target), fixed="r")
    assert result.params["value"].to_dict() == pytest.approx({"r": 1.0, "s": 3.0})
    assert result.history.names == ("r", "s")


# bounds, steps -------------------------------------------------------------------------------------------------------


def test_bounds_of_fixed_entries_are_not_used():
    """A fixed value may be outside of them; a solver without bounds runs if only fixed entries have any."""
    bounds = om.Bounds({"beta": [5.0, None, None]}, {"beta": [6.0, None, 4.0]})
    result = om.minimize(sum_of_squares, DICT, "scipy_lbfgsb", bounds=bounds, fixed="beta[0]")
    np.testing.assert_allclose(result.params["beta"], [1.0, 1.0, 2.0], atol=1e-4)
    assert result.history.rows.feasible.all()
    with pytest.raises(om.InvalidInputError, match=r"the start of 'beta\[0\]' is 1.0, outside its bounds \[5.0, 6.0\]"):
        om.minimize(sum_of_squares, DICT, "scipy_lbfgsb", bounds=bounds)
    only_fixed = om.Bounds({"beta": [5.0, None, None]})
    assert om.minimize(sum_of_squares, DICT, "scipy_bfgs", bounds=only_fixed, fixed="beta").params["beta"][0] == 1.0


def test_bounds_of_free_entries_are_kept_and_named():
    lower = np.array([0.5, 5.0, 0.0])
    result = om.minimize(ellipse, ELLIPSE_START, "scipy_lbfgsb", bounds=om.Bounds(lower), fixed=["1"])
    np.testing.assert_allclose(result.params, [0.5, 1.0, 2.0], atol=1e-4)
    with pytest.raises(om.InvalidInputError, match=r"the start of '2' is 1.0, outside its bounds \[-1.0, 0.5\]"):
        om.minimize(ellipse, ELLIPSE_START, "scipy_lbfgsb", bounds=om.Bounds(-1, [2, 2, 0.5]), fixed=["1"])
    pairs = [(0, 2), (5, 6), (1, 1)]  # fixed by bounds as well as by name
    result = om.minimize(ellipse, ELLIPSE_START, "scipy_lbfgsb", bounds=pairs, fixed="1")
    np.testing.assert_allclose(result.params, [CENTRE[0], 1.0, 1.0], atol=1e-4)
    bounds = scipy.optimize.Bounds([0, 5, 0.0], [2, 6, 1.5])
    result = om.minimize(ellipse, ELLIPSE_START, "scipy_lbfgsb", bounds=bounds, fixed="1")
    np.testing.assert_allclose(result.params, [CENTRE[0], 1.0, 1.5], atol=1e-4)


def test_a_fixed_entry_need_not_be_finite():
    start = {"a": 3.0, "cap": np.inf}
    result = om.minimize(lambda p: min(p["a"] ** 2, p["cap"]), start, "scipy_lbfgsb", fixed="cap")
    assert result.params["cap"] == np.inf
    assert result.params["a"] == pytest.approx(0, abs=1e-5)
    with pytest.raises(om.InvalidInputError, match="the start of 'cap' is inf; start at a finite value"):
        om.minimize(lambda p: p["a"], start, "scipy_lbfgsb", fixed="a")


@pytest.mark.parametrize(
    "options",
    [
        {"step_size": {"beta": 1e-3}},
        {"step_size": {"beta": [1e-3, None, 1e-3], "sigma": 1e-3}},
        {"typical_x": {"beta": np.array([1e3, 1.0, 1e3]), "rest": 1.0}},
        {"scaling_factor": {"beta": 1e3}},
    ],
    ids=str,
)
def test_trees_of_steps_are_those_of_all_params(options):
    points = []

    def fun(p):
        points.append(p["beta"])
        return float(((p["beta"] - 1) ** 2).sum())

    om.minimize(
        fun, DICT, "scipy_lbfgsb", fixed=["beta[1]", "rest"], budget=om.Budget(4),
        numdiff_options=om.NumdiffOptions(**options),
    )  # fmt: skip
    steps = np.abs(np.array(points) - DICT["beta"]).max(axis=0)
    assert steps[1] == 0
    assert (steps[[0, 2]] > 1e-6).all()  # the default is 1.5e-8


# results, messages ---------------------------------------------------------------------------------------------------


def test_results_and_history_have_all_params_and_rows_only_what_is_free():
    result = om.minimize(sum_of_squares, DICT, "scipy_lbfgsb", fixed=["beta", "sigma"])
    history = result.history
    assert history.rows.x.shape == (len(history), 2)
    assert history.flat_params.shape == (len(history), 6)
    assert history.names == DICT_NAMES
    np.testing.assert_array_equal(history.flat_params[:, [0, 1, 2, 5]], np.tile([1.0, 2, 3, 4], (len(history), 1)))
    assert list(history.to_frame().columns[-6:]) == list(DICT_NAMES)
    assert history.params[0]["beta"].tolist() == [1, 2, 3]
    assert result.start_params["rest"] == {"c": [5.0, 6.0]}
    again = pickle.loads(pickle.dumps(result)).history
    np.testing.assert_array_equal(again.flat_params, history.flat_params)
    assert again.names == history.names
    assert again.params[-1]["rest"] == history.params[-1]["rest"]


def test_summaries_and_files_of_histories_have_all_params(tmp_path):
    result = om.minimize(sum_of_squares, DICT, "scipy_lbfgsb", fixed=["beta", "sigma"])
    assert result.summary()["start_params"] == dict(zip(DICT_NAMES, [1.0, 2.0, 3.0, 5.0, 6.0, 4.0], strict=True))
    result.history.to_parquet(tmp_path / "history.parquet")
    again = om.History.from_parquet(tmp_path / "history.parquet")
    assert again.names == DICT_NAMES
    np.testing.assert_array_equal(again.flat_params, result.history.flat_params)


def test_params_plot_draws_all_params_and_what_is_selected():
    pytest.importorskip("plotly")
    result = om.minimize(sum_of_squares, DICT, "scipy_lbfgsb", fixed="beta")
    assert [trace.name for trace in om.params_plot(result).data] == list(DICT_NAMES)
    chosen = om.params_plot(result, selector=lambda p: [p["sigma"], p["beta"]]).data
    assert [trace.name for trace in chosen] == ["sigma", "beta[0]", "beta[1]", "beta[2]"]
    assert set(chosen[2].y) == {2.0}


def test_messages_show_all_params_and_name_the_free_ones():
    def jac(p):
        return {**gradient_dict(p), "sigma": np.nan}

    with pytest.raises(
        om.InvalidFunctionError, match=r"jac is nan for 'sigma' at params {'beta': array\(\[1., 2., 3.\]\)"
    ):
        om.minimize(sum_of_squares, DICT, "scipy_lbfgsb", jac=jac, fixed="beta")
    # What is wrong at a fixed entry is not looked at ...
    assert om.minimize(sum_of_squares, DICT, "scipy_lbfgsb", jac=jac, fixed="sigma").success
    # ... as long as its shape is right.
    with pytest.raises(
        om.InvalidFunctionError, match=r"jac at leaf 'sigma' has shape \(2,\), but params have \(\) there"
    ):
        om.minimize(
            sum_of_squares, DICT, "scipy_lbfgsb", jac=lambda p: {**gradient_dict(p), "sigma": np.ones(2)}, fixed="sigma"
        )


def test_a_user_function_can_not_change_what_is_fixed():
    def fun(p):
        value = sum_of_squares(p)
        p["beta"][:] = np.nan
        p["rest"]["c"][0] = np.nan
        return value

    result = om.minimize(fun, DICT, "scipy_lbfgsb", fixed=["beta", "rest"])
    np.testing.assert_array_equal(result.params["beta"], DICT["beta"])
    assert result.params["rest"] == DICT["rest"]


def test_least_squares_solvers_count_what_is_free():
    fun = om.mark.least_squares(lambda x: x[:2] - 1)
    assert om.minimize(fun, np.zeros(3), "scipy_ls_lm", fixed="2").params.tolist() == [1, 1, 0]
    with pytest.raises(om.InvalidInputError, match="there are 2 residuals and 3 params"):
        om.minimize(fun, np.zeros(3), "scipy_ls_lm")


# properties ----------------------------------------------------------------------------------------------------------


@st.composite
def trees_and_masks(draw):
    """Params of some kind, and which entries are fixed, at least one and not all."""
    params, flat, _ = TREES[draw(st.sampled_from([name for name, tree in TREES.items() if len(tree[1]) > 1]))]
    mask = draw(st.lists(st.booleans(), min_size=len(flat), max_size=len(flat)).filter(lambda m: any(m) and not all(m)))
    return params, np.array(mask)


@given(trees_and_masks())
@settings(max_examples=150, deadline=None)
def test_reduced_and_full_agree(case):
    params, mask = case
    whole = Converter(params)
    by_name = Converter(params, [whole.names[i] for i in np.flatnonzero(mask)])
    by_tree = Converter(params, whole.tree_of(mask))
    free = ~mask
    x = np.arange(10.0, 10 + free.sum())
    full = np.where(mask, whole.start, 0.0)
    full[free] = x
    gradient, jacobian = np.arange(1.0, 1 + whole.n), np.arange(2.0 * whole.n).reshape(2, -1)
    for converter in (by_name, by_tree):
        np.testing.assert_array_equal(converter.with_fixed(x), full)
        np.testing.assert_array_equal(whole.flatten(converter.unflatten(x)), full)
        np.testing.assert_array_equal(converter.flatten(whole.unflatten(full)), x)
        np.testing.assert_array_equal(converter.gradient(whole.tree_of(gradient), "jac"), gradient[free])
        np.testing.assert_array_equal(
            converter.jacobian_rows(whole.tree_of(jacobian, (2,)), _rows(2), "jac"), jacobian[:, free]
        )
        np.testing.assert_array_equal(whole.gradient(converter.tree_of(gradient[free]), "jac"), gradient * free)
        np.testing.assert_array_equal(converter.flatten_partial(None, default=2.0, what="x"), np.full(free.sum(), 2.0))
        np.testing.assert_array_equal(
            converter.flatten_partial(whole.tree_of(gradient), default=0.0, what="x"), gradient[free]
        )
        np.testing.assert_array_equal(np.vstack([x, x + 1]), converter.with_fixed(np.vstack([x, x + 1]))[:, free])
        assert optree.tree_structure(converter.unflatten(x), namespace=NAMESPACE) == whole.structure.spec
        again = pickle.loads(pickle.dumps(converter))
        np.testing.assert_array_equal(whole.flatten(again.unflatten(x)), full)


def _rows(m):
    from optcore.leaves import Leaf

    return Leaf((m,))
