"""Plots: the numbers in the traces, and what images need."""

import dataclasses
import pickle
import re
import sys
import types

import numpy as np
import pytest

import optcore as om
from optcore.history import FUN, FUN_AND_JAC, INFEASIBLE, JAC, NUMDIFF, TASKS, History, Recorder
from optcore.plots import COLOURS, Curve, Curves, criterion_curves, params_curves
from tests.core.counting import ROSENBROCK_START, rosenbrock, rosenbrock_gradient, rosenbrock_residuals


@pytest.fixture(scope="module")
def results():
    return {
        "analytic": om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", jac=rosenbrock_gradient),
        "numerical": om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb"),
        "least squares": om.minimize(om.mark.least_squares(rosenbrock_residuals), ROSENBROCK_START, "scipy_ls_lm"),
    }


def test_criterion_plot_has_one_trace_per_result_named_by_its_key(results):
    figure = om.criterion_plot(results)
    assert [trace.name for trace in figure.data] == list(results)
    for trace, result in zip(figure.data, results.values(), strict=True):
        np.testing.assert_array_equal(trace.y, result.history.fun[result.history.asked])
        assert trace.y[0] == pytest.approx(24.2)
    assert figure.layout.xaxis.title.text == "Number of evaluations"
    assert figure.layout.yaxis.title.text == "Criterion value"


def test_numerical_derivatives_move_the_line_to_the_right(results):
    analytic, numerical, _ = om.criterion_plot(results).data
    np.testing.assert_array_equal(analytic.x, np.arange(1, 45))
    np.testing.assert_array_equal(numerical.x, np.arange(1, 45) * 3 - 2)


def test_monotone_lines_never_rise_and_cut_lines_end_there(results):
    for trace in om.criterion_plot(results, monotone=True, max_evaluations=30).data:
        assert (np.diff(trace.y) <= 0).all()
        assert max(trace.x) <= 30


def test_names_and_scale(results):
    figure = om.criterion_plot(list(results.values()), names=["a", "b", "c"], log_y=True)
    assert [trace.name for trace in figure.data] == ["a", "b", "c"]
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.type is None
    assert [trace.name for trace in om.criterion_plot(list(results.values())).data] == ["0", "1", "2"]
    assert len(om.criterion_plot(results["analytic"]).data) == 1


def test_params_plot_has_one_trace_per_param(results):
    history = results["numerical"].history
    figure = om.params_plot(results["numerical"])
    assert [trace.name for trace in figure.data] == ["0", "1"]
    for i, trace in enumerate(figure.data):
        np.testing.assert_array_equal(trace.y, history.flat_params[history.asked][:, i])
        np.testing.assert_array_equal(trace.x, np.flatnonzero(history.asked) + 1)


def test_params_plot_draws_a_selection_of_a_tree():
    result = om.minimize(lambda p: p["b"] ** 2 + p["a"] @ p["a"], {"b": 1.0, "a": np.ones(3)}, "scipy_lbfgsb")
    figure = om.params_plot(result, selector=lambda p: {"x": p["b"], "y": p["a"][1:]}, max_evaluations=5)
    assert [trace.name for trace in figure.data] == ["b", "a[1]", "a[2]"]
    assert list(figure.data[0].x) == [1]


# against numbers by hand ----------------------------------------------------------------------------------------------

NAN = np.nan
#: task, fun, batch, stop, x, feasible: two gradients by differences, a point outside the bounds, a failure, a jac.
ROWS = [
    (FUN, 9.0, 0, 0.5, (3.0, 0.0), True),
    (NUMDIFF, 9.1, 0, 0.4, (3.1, 0.0), True),
    (NUMDIFF, 8.0, 0, 0.6, (3.0, 0.1), True),
    (FUN, 4.0, 1, 1.0, (2.0, 0.0), True),
    (JAC, NAN, 2, 1.5, (2.0, 0.0), True),
    (FUN, 1.0, 3, 2.0, (9.0, 1.0), False),
    (FUN, NAN, 4, 2.5, (1.5, 1.0), True),
    (FUN_AND_JAC, 5.0, 5, 3.0, (1.0, 2.0), True),
    (FUN, 2.0, 6, 4.0, (1.0, 1.0), True),
]
X = {  # of the rows that the solver asked for: 0, 3, 6, 7, 8
    "evaluations": [1, 4, 6, 7, 8],
    "gradients": [1 / 3, 4 / 3, 2, 7 / 3, 8 / 3],
    "batches": [1, 2, 5, 6, 7],
    "seconds": [0.5, 1.0, 2.5, 3.0, 4.0],
    "points": [1, 2, 3, 4, 5],
}
RAW = np.array([9, 4, NAN, 5, 2])
BEST = np.array([9, 4, 4, 4, 2.0])


def by_hand(sign=1.0):
    """A result with the rows above, its values times sign."""
    template = (om.minimize if sign > 0 else om.maximize)(
        lambda x: sign * float(x @ x), np.array([3.0, 0.0]), "scipy_lbfgsb"
    )
    recorder = Recorder(2)
    for task, fun, batch, stop, x, feasible in ROWS:
        code = task if feasible else task | INFEASIBLE
        recorder.add(code, sign * fun, batch, recorder.origin, recorder.origin + stop, np.array(x).tobytes())
    history = History(recorder.rows(), template.direction, template.history.converter)
    counts = {name: sum(row[0] == code for row in ROWS) for code, name in enumerate(TASKS)}
    return dataclasses.replace(
        template,
        history=history,
        n_fun_evals=counts["fun"] + counts["numdiff"],
        n_numdiff_evals=counts["numdiff"],
        n_jac_evals=counts["jac"],
        n_fun_and_jac_evals=counts["fun_and_jac"],
    )


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["minimize", "maximize"])
@pytest.mark.parametrize("monotone", [False, True])
@pytest.mark.parametrize("f_opt", [None, 1.5])
@pytest.mark.parametrize("x_axis", X)
def test_curves_by_hand(x_axis, f_opt, monotone, sign):
    optimum = None if f_opt is None else sign * f_opt
    result = by_hand(sign)
    curves = criterion_curves({"mine": result}, x_axis=x_axis, monotone=monotone, f_opt=optimum)
    values = BEST if monotone else RAW
    expected = sign * values if f_opt is None else values - f_opt  # a distance is positive either way
    (curve,) = curves.curves
    np.testing.assert_allclose(curve.x, X[x_axis], rtol=0, atol=1e-9)
    np.testing.assert_array_equal(curve.y, expected)
    assert not curve.numdiff.any()
    frame = curves.to_frame()
    assert list(frame.columns) == ["name", "group", "x", "y", "numdiff"]
    assert set(frame["name"]) == {"mine"}
    np.testing.assert_array_equal(frame["y"], expected)
    (trace,) = om.criterion_plot(
        {"mine": result}, x_axis=x_axis, monotone=monotone, f_opt=optimum, log_x=True, log_y=f_opt is not None
    ).data
    np.testing.assert_array_equal(trace.x, curve.x)
    np.testing.assert_array_equal(trace.y, expected)
    assert trace.connectgaps


@pytest.mark.parametrize("monotone", [False, True])
def test_evaluations_for_derivatives_are_drawn_where_they_are_asked_for(monotone):
    figure = om.criterion_plot(by_hand(), show_numdiff=True, monotone=monotone)
    (trace,) = figure.data
    np.testing.assert_array_equal(trace.x, [1, 2, 3, 4, 6, 7, 8])
    np.testing.assert_array_equal(trace.y, [9, 9, 9, 4, 4, 4, 2] if monotone else [9, 9.1, 8, 4, NAN, 5, 2])
    np.testing.assert_array_equal(trace.marker.size, [6, 3, 3, 6, 6, 6, 6])
    with pytest.raises(om.InvalidInputError, match="show_numdiff=True has no place on the axis 'points'"):
        om.criterion_plot(by_hand(), show_numdiff=True, x_axis="points")


@pytest.mark.parametrize("x_axis", X)
def test_max_evaluations_counts_evaluations_whatever_the_axis_is(x_axis):
    result = by_hand()
    (trace,) = om.criterion_plot(result, x_axis=x_axis, max_evaluations=6).data
    np.testing.assert_allclose(trace.x, X[x_axis][:3], atol=1e-9)
    (first, _) = om.params_plot(result, x_axis=x_axis, max_evaluations=6).data
    np.testing.assert_allclose(first.x, X[x_axis][:3], atol=1e-9)


@pytest.mark.parametrize(
    ("x_axis", "title"),
    [
        ("evaluations", "Number of evaluations"),
        ("gradients", "Number of evaluations / (n + 1)"),
        ("batches", "Number of batches (calls that could run at the same time)"),
        ("seconds", "Time in seconds"),
        ("points", "Number of points that the solver asked for"),
    ],
)
def test_axes_say_what_they_count(x_axis, title):
    assert om.criterion_plot(by_hand(), x_axis=x_axis).layout.xaxis.title.text == title
    assert om.params_plot(by_hand(), x_axis=x_axis).layout.xaxis.title.text == title


@pytest.mark.parametrize(
    ("directions", "options", "title"),
    [
        ([1.0], {}, "Criterion value"),
        ([1.0], {"monotone": True}, "Best criterion value so far"),
        ([1.0], {"f_opt": 0}, "Distance to the optimum, f - f*"),
        ([-1.0], {"f_opt": 0}, "Distance to the optimum, f* - f"),
        ([1.0, -1.0], {"f_opt": 0}, "Distance to the optimum, f* - f or f - f*"),
        ([1.0], {"f_opt": 0, "monotone": True}, "Distance to the optimum, f - f*, smallest so far"),
    ],
)
def test_the_vertical_axis_says_what_it_shows(directions, options, title):
    assert om.criterion_plot([by_hand(sign) for sign in directions], **options).layout.yaxis.title.text == title


def test_a_known_optimum_may_be_one_for_all_or_each_its_own():
    results = {"a": by_hand(), "b": by_hand()}
    for f_opt in ({"b": 1.0, "a": 2.0}, [2.0, 1.0]):
        a, b = criterion_curves(results, f_opt=f_opt).curves
        np.testing.assert_array_equal(a.y, RAW - 2)
        np.testing.assert_array_equal(b.y, RAW - 1)


def test_on_a_log_axis_a_distance_of_zero_is_drawn_at_rounding_error_and_said_so():
    result = by_hand()
    figure = om.criterion_plot(result, f_opt=4.0, log_y=True)
    floor = 4 * np.finfo(float).eps
    np.testing.assert_array_equal(figure.data[0].y, [5, floor, NAN, 1, floor])
    assert "what is below 8.9e-16 is drawn there" in figure.layout.yaxis.title.text
    np.testing.assert_array_equal(criterion_curves(result, f_opt=4.0).curves[0].y, RAW - 4)


def test_on_a_log_axis_values_that_are_not_positive_are_left_out_and_counted():
    result = om.minimize(lambda x: float(x[0]), np.array([2.0]), lambda fun, x0: [fun(x0 - i) for i in range(4)] and x0)
    figure = om.criterion_plot(result, log_y=True)
    np.testing.assert_array_equal(figure.data[0].y, [2, 1, NAN, NAN])
    assert "2 not above 0 are not shown" in figure.layout.yaxis.title.text
    negative = by_hand(-1.0)
    with pytest.raises(om.InvalidInputError, match="log_y=True needs positive values, and there are none; draw the"):
        om.criterion_plot(negative, log_y=True)


def test_infinite_values_are_not_drawn_and_the_line_goes_on():
    curve = Curve("a", None, np.arange(1.0, 5.0), np.array([1.0, np.inf, -np.inf, 2.0]), np.zeros(4, dtype=bool))
    (trace,) = Curves((curve,), "x", "y").figure(log_y=True).data
    np.testing.assert_array_equal(trace.y, [1, NAN, NAN, 2])


# failed calls ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("log_x", [False, True])
@pytest.mark.parametrize("x_axis", X)
def test_a_call_without_a_value_has_a_stroke_where_it_was_and_is_counted_in_the_legend(x_axis, log_x):
    figure = om.criterion_plot({"mine": by_hand(), "other": by_hand()}, x_axis=x_axis, log_x=log_x, max_evaluations=7)
    mine, other = figure.layout.shapes
    at = float(X[x_axis][2])
    assert mine.path == f"M{at!r},0.0000L{at!r},0.0220"
    assert (mine.yref, mine.showlegend, mine.name) == ("paper", True, "mine: 1 failed")
    assert [mine.line.color, other.line.color] == [trace.line.color for trace in figure.data]
    assert other.path == f"M{at!r},0.0308L{at!r},0.0528"
    assert not om.criterion_plot(by_hand(), x_axis=x_axis, max_evaluations=5).layout.shapes


def failing(kind):
    """A result with calls of fun, or of jac, that raise."""
    calls = []

    def works_at_first(x):
        calls.append(x)
        if len(calls) % 3 == 0:
            raise FloatingPointError
        return x

    def fun(x):
        return float((works_at_first(x) if kind == "fun" else x) @ x)

    def jac(x):
        return 2 * (works_at_first(x) if kind == "jac" else x)

    def descend(fun, x0, jac):
        for k in range(6):
            fun(x0 + k), jac(x0 + k)
        return x0

    return om.minimize(fun, np.ones(2), descend, jac=jac, error_handling="continue")


@pytest.mark.parametrize("kind", ["fun", "jac"])
def test_calls_that_raised_have_strokes_whatever_they_were_for(kind):
    result = failing(kind)
    places = [3.0, 6.0]
    assert np.count_nonzero(result.history.failed) == 2
    path = "".join(f"M{x!r},0.0000L{x!r},0.0220" for x in places)
    for figure, name in (
        (om.criterion_plot({"a": result}), "a: 2 failed"),
        (om.criterion_plot({"a": result}, monotone=True), "a: 2 failed"),
        (om.criterion_plot({"a": [result, result]}), "a: 4 failed"),
        (om.params_plot(result), "2 failed"),
    ):
        (shape,) = figure.layout.shapes
        assert (shape.path, shape.name) == (path, name)


def test_a_million_failed_calls_are_few_strokes():
    x = np.arange(1.0, 1e6)
    for log_x in (False, True):
        curve = Curve("a", None, x[:3], x[:3], np.zeros(3, dtype=bool), failed=x)
        (shape,) = Curves((curve,), "x", "y").figure(log_x=log_x).layout.shapes
        assert shape.name == "a: 999999 failed"
        assert shape.path.count("M") <= 1001
        assert shape.path.startswith("M1.0,")


# kinds of results -----------------------------------------------------------------------------------------------------

KINDS = {
    "one": (lambda r: r, {}, ["0"], [None]),
    "dict": (lambda r: {"a": r, "b": r}, {}, ["a", "b"], [None, None]),
    "list": (lambda r: [r, r], {}, ["0", "1"], [None, None]),
    "tuple": (lambda r: (r, r), {"names": ["a", "b"]}, ["a", "b"], [None, None]),
    "lists in a list": (lambda r: [[r, r], [r]], {}, ["0 #1", "0 #2", "1"], ["0", "0", "1"]),
    "named groups": (lambda r: [[r, r], [r]], {"names": ["a", "b"]}, ["a #1", "a #2", "b"], ["a", "a", "b"]),
    "lists in a dict": (lambda r: {"a": [r, r], "b": r}, {}, ["a #1", "a #2", "b"], ["a", "a", None]),
    "dict in a dict": (lambda r: {"a": {"p": r, "q": r}}, {}, ["a: p", "a: q"], ["a", "a"]),
    "groups in order": (lambda r: [r, r, r], {"groups": ["u", "v", "u"]}, ["0", "1", "2"], ["u", "v", "u"]),
    "groups by name": (lambda r: {"a": r, "b": r}, {"groups": {"b": "u", "a": "v"}}, ["a", "b"], ["v", "u"]),
}


@pytest.mark.parametrize(("make", "options", "names", "groups"), KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("style", [{}, {"log_y": True, "f_opt": 0.0, "monotone": True, "x_axis": "seconds"}], ids=str)
def test_every_kind_of_results_has_one_trace_a_result_with_its_name_and_group(make, options, names, groups, style):
    figure = om.criterion_plot(make(by_hand()), **options, **style)
    assert [trace.name for trace in figure.data] == names
    assert [trace.legendgroup for trace in figure.data] == groups
    assert all(trace.y[0] == 9 for trace in figure.data)
    colours = {}
    for i, (trace, group) in enumerate(zip(figure.data, groups, strict=True)):
        colours.setdefault(group or i, set()).add(trace.line.color)
    assert all(len(of_group) == 1 for of_group in colours.values())
    assert len(set.union(*colours.values())) == len(colours)


def test_members_of_a_small_group_differ_by_their_dashes_and_a_large_one_is_once_in_the_legend():
    result = by_hand()
    small = om.criterion_plot({"a": [result] * 3})
    assert [trace.line.dash for trace in small.data] == ["solid", "dash", "dot"]
    assert all(trace.showlegend for trace in small.data)
    assert small.data[0].legendgrouptitle.text == "a"
    large = om.criterion_plot({"a": [result] * 9, "b": [result] * 7})
    assert [trace.name for trace in large.data if trace.showlegend] == ["a #1", "b #1"]
    assert large.data[0].legendgrouptitle.text == "a, 9 results"
    assert [trace.line.dash for trace in large.data] == ["solid"] * 9 + ["dash"] * 7


def test_colours_are_those_asked_for_in_turn_and_lines_differ_by_dashes_too():
    results = [by_hand()] * 11
    default = om.criterion_plot(results).data
    assert [trace.line.color for trace in default] == [*COLOURS, COLOURS[0]]
    assert len({trace.line.dash for trace in default}) == len({trace.marker.symbol for trace in default}) == 11
    assert {trace.line.color for trace in om.criterion_plot(results, palette="black").data} == {"black"}
    two = om.criterion_plot(results[:3], palette=["red", "#0000ff"]).data
    assert [trace.line.color for trace in two] == ["red", "#0000ff", "red"]


def test_the_template_is_plotlys():
    import plotly.io

    assert om.criterion_plot(by_hand(), template="plotly_dark").layout.template == plotly.io.templates["plotly_dark"]
    assert om.params_plot(by_hand()).layout.template == plotly.io.templates["simple_white"]


def test_long_names_move_the_legend_below_the_figure():
    name = "a name that says everything about it"
    assert om.criterion_plot({name: by_hand()}).layout.legend.orientation == "h"
    assert om.criterion_plot({"short": by_hand()}).layout.legend.orientation is None


def test_names_under_the_pointer_are_no_markup():
    (trace,) = om.criterion_plot({"<b> & co": by_hand()}).data
    assert trace.name == "<b> & co"
    assert "<extra>&lt;b&gt; &amp; co</extra>" in trace.hovertemplate


def test_a_figure_pickles():
    figure = pickle.loads(pickle.dumps(om.criterion_plot(by_hand())))
    assert type(figure) is type(om.criterion_plot(by_hand()))
    assert figure.data[0].name == "0"


# many points, many params ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_result():
    """A result with 10^6 evaluations, most of them noise about a falling line."""
    k = 10**6
    rng = np.random.default_rng(0)
    fun = 1e3 / np.arange(1.0, k + 1) + rng.uniform(0, 1, k)
    fun[345_678], fun[765_432] = 1e6, -7.0
    result = om.minimize(lambda x: float(x @ x), np.ones(3), "scipy_neldermead")
    rows = result.history.rows._replace(
        task=np.zeros(k, np.uint8),
        fun=fun,
        batch=np.arange(k, dtype=np.int32),
        start=np.arange(k) * 1e-6,
        stop=np.arange(k) * 1e-6 + 5e-7,
        x=rng.normal(size=(k, 3)),
        feasible=np.ones(k, dtype=bool),
        failed=None,
        purpose=None,
    )
    history = History(rows, "minimize", result.history.converter)
    return dataclasses.replace(result, history=history, n_fun_evals=k)


@pytest.mark.parametrize("log_x", [False, True])
@pytest.mark.parametrize("x_axis", ["evaluations", "seconds"])
def test_a_million_points_are_drawn_by_few_that_keep_the_extremes(long_result, x_axis, log_x):
    (trace,) = om.criterion_plot(long_result, x_axis=x_axis, log_x=log_x).data
    assert 500 < trace.x.size <= 4000
    assert trace.mode == "lines"
    fun = long_result.history.fun
    assert (trace.y.min(), trace.y.max()) == (-7.0, 1e6)
    assert (trace.y[0], trace.y[-1]) == (fun[0], fun[-1])
    assert (np.diff(trace.x) >= 0).all()


def test_of_a_million_points_the_best_so_far_never_rises_and_the_numbers_are_all_there(long_result):
    curves = criterion_curves(long_result, monotone=True)
    assert len(curves.to_frame()) == 10**6
    (trace,) = curves.figure(log_x=True).data
    assert trace.x.size <= 4000
    assert (np.diff(trace.y) <= 0).all()
    assert trace.y[-1] == -7.0


def test_many_long_curves_share_the_points(long_result):
    figure = om.criterion_plot([long_result] * 20)
    assert all(trace.x.size <= 3000 for trace in figure.data)
    assert len(figure.data) == 20
    assert sum(trace.x.size for trace in om.params_plot(long_result).data) <= 12_000


def test_of_many_params_those_that_moved_most_are_in_the_legend_and_the_rest_is_grey():
    weights = np.arange(150.0)

    def solver(fun, x0):
        for t in range(1000):
            fun(x0 + t / 1000 * weights)
        return x0

    result = om.minimize(lambda x: 0.0, np.zeros(150), solver)
    figure = om.params_plot(result)
    assert len(figure.data) == 150
    listed = [trace.name for trace in figure.data if trace.showlegend]
    assert listed == [str(i) for i in range(136, 150)]
    assert figure.layout.legend.title.text.startswith("14 of 150")
    grey = {trace.line.color for trace in figure.data if not trace.showlegend}
    coloured = {trace.line.color for trace in figure.data if trace.showlegend}
    assert len(grey) == 1
    assert not grey & coloured
    assert len({(trace.line.color, trace.line.dash) for trace in figure.data if trace.showlegend}) == 14
    assert sum(trace.x.size for trace in figure.data) <= 60_000
    few = om.params_plot(result, selector=lambda x: x[:14])
    assert all(trace.showlegend for trace in few.data)


# params ---------------------------------------------------------------------------------------------------------------


def test_params_by_hand():
    result = by_hand()
    first, second = params_curves(result).curves
    np.testing.assert_array_equal(first.x, X["evaluations"])
    np.testing.assert_array_equal(first.y, [3, 2, 1.5, 1, 1])
    np.testing.assert_array_equal(second.y, [0, 0, 1, 2, 1])
    assert om.params_plot(result).layout.yaxis.title.text == "Param value"


def test_distance_to_known_params_by_hand():
    result = by_hand()
    curves = params_curves(result, x_opt=[1.0, 4.0])
    np.testing.assert_array_equal(curves.curves[0].y, [2, 1, 0.5, 0, 0])
    np.testing.assert_array_equal(curves.curves[1].y, [4, 4, 3, 2, 3])
    figure = om.params_plot(result, x_opt=[1.0, 4.0], log_y=True)
    floor = 4 * np.finfo(float).eps
    np.testing.assert_array_equal(figure.data[0].y, [2, 1, 0.5, floor, floor])
    assert figure.layout.yaxis.title.text.startswith("Distance to the known params, |x - x*|")


def test_known_params_are_a_tree_like_params_and_go_with_the_selection():
    result = om.minimize(lambda p: p["b"] ** 2 + p["a"] @ p["a"], {"b": 1.0, "a": np.ones(2)}, "scipy_lbfgsb")
    figure = om.params_plot(result, selector=lambda p: p["a"], x_opt={"b": 9.0, "a": [0.5, 0.25]})
    assert [(trace.name, trace.y[0]) for trace in figure.data] == [("a[0]", 0.5), ("a[1]", 0.75)]
    with pytest.raises(om.InvalidInputError, match="params lacks the leaf 'b' of params"):
        om.params_plot(result, x_opt={"a": [0.0, 0.0]})


def test_a_selector_that_computes_is_refused():
    message = "selector must return a part of params as it is, not something computed from them"
    for selector in (lambda x: x * 1.5 + 7, lambda x: [x[0], x[0]], lambda x: x + 0.5):
        with pytest.raises(om.InvalidInputError, match=message):
            om.params_plot(by_hand(), selector=selector)
    with pytest.raises(om.InvalidInputError, match=r"selector must return a part of params, but returned \[\]"):
        om.params_plot(by_hand(), selector=lambda x: [])


# errors ---------------------------------------------------------------------------------------------------------------

REFUSED = {
    "log_scale": "criterion_plot has no argument 'log_scale': it is called log_y",
    "backend": "criterion_plot has no argument 'backend': figures are plotly's; figure.to_image and figure.write_html",
    "stack_multistart": "no argument 'stack_multistart': draw the results of several starts as one group",
    "show_exploration": "no argument 'show_exploration': every evaluation is drawn",
    "x": "no argument 'x': it is called x_axis",
    "title": "no argument 'title': use figure.update_layout",
    "monoton": "unknown argument of criterion_plot 'monoton'; did you mean 'monotone'?",
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unknown_argument_says_what_to_use(name):
    with pytest.raises((om.InvalidInputError, om.UnknownNameError), match=re.escape(REFUSED[name])):
        om.criterion_plot(by_hand(), **{name: True})
    with pytest.raises((om.InvalidInputError, om.UnknownNameError), match=f"params_plot.*'{name}'"):
        om.params_plot(by_hand(), **{name: True})


BAD = {
    "axis": ({"x_axis": "second"}, "unknown x_axis 'second'; did you mean 'seconds'?"),
    "names of a dict": ({"names": ["a"]}, "names are for a list of results; the keys of a dict are its names"),
    "groups too few": ({"groups": ["u"]}, "there are 2 results, but 1 groups: ['u']"),
    "groups lack one": ({"groups": {"a": "u"}}, "groups lack an entry for 'b'; they have 'a'"),
    "optimum of a word": ({"f_opt": ["1", 2.0]}, "f_opt of 'a' must be a finite number, but is '1'"),
    "optimum not finite": ({"f_opt": float("nan")}, "f_opt of 'a' must be a finite number, but is nan"),
    "optima too many": ({"f_opt": [1.0] * 3}, "there are 2 results, but 3 f_opt: [1.0, 1.0, 1.0]"),
}


@pytest.mark.parametrize(("options", "message"), BAD.values(), ids=BAD.keys())
def test_arguments_that_do_not_fit_are_refused(options, message):
    with pytest.raises((om.InvalidInputError, om.UnknownNameError), match=re.escape(message)):
        om.criterion_plot({"a": by_hand(), "b": by_hand()}, **options)


def test_lists_that_do_not_fit_are_refused():
    result = by_hand()
    with pytest.raises(
        om.InvalidInputError, match=r"names must differ, but are \['a', 'a'\]; give results of one kind"
    ):
        om.criterion_plot([result, result], names=["a", "a"])
    with pytest.raises(om.InvalidInputError, match="groups are given twice: by groups= and by lists of results"):
        om.criterion_plot({"a": [result, result]}, groups=["u", "v"])
    for empty in ([], {}, [[]]):
        with pytest.raises(om.InvalidInputError, match="there is nothing to draw: results are empty"):
            om.criterion_plot(empty)
    with pytest.raises(om.InvalidInputError, match="results must be a result, a dict or a list of results, but are 3"):
        om.criterion_plot(3)


@pytest.mark.parametrize("x_axis", ["evaluations", "gradients", "batches"])
def test_where_only_improvements_were_kept_what_was_not_counted_is_not_drawn(x_axis):
    result = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", collect_history="best")
    message = (
        f"the history of 'mine' has {len(result.history)} of 132 calls, so that it isn't known after how many {x_axis} "
        "they were; use x_axis='seconds', or optimize with collect_history=True"
    )
    with pytest.raises(om.InvalidInputError, match=re.escape(message)):
        om.criterion_plot({"mine": result}, x_axis=x_axis)
    (trace,) = om.criterion_plot({"mine": result}, x_axis="seconds").data
    np.testing.assert_array_equal(trace.y, result.history.fun)


def test_a_plot_of_nothing_says_why(results):
    empty = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", collect_history=False)
    with pytest.raises(om.InvalidInputError, match="'mine' has no history; optimize with collect_history=True"):
        om.criterion_plot({"mine": empty})
    with pytest.raises(om.InvalidInputError, match=r"'mine' must be a result of om.minimize or om.maximize, but is 3"):
        om.criterion_plot({"mine": 3})
    with pytest.raises(om.InvalidInputError, match=r"there are 3 results, but 2 names: \['a', 'b'\]"):
        om.criterion_plot(list(results.values()), names=["a", "b"])
    with pytest.raises(om.InvalidInputError, match="'result' must be a result"):
        om.params_plot(3)


# images ---------------------------------------------------------------------------------------------------------------


def test_an_image_without_kaleido_says_what_to_install(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", None)  # an import of it raises ImportError
    with pytest.raises(
        om.MissingLibraryError, match=r"a figure as png needs kaleido: pip install 'optcore\[figures\]'"
    ):
        om.criterion_plot(results).show(renderer="png")


def test_an_image_without_a_browser_says_what_to_install(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaleido", types.ModuleType("kaleido"))

    def to_image(self, **kwargs):
        raise RuntimeError("Kaleido requires Google Chrome to be installed.")

    figure = om.criterion_plot(results)
    monkeypatch.setattr(type(figure), "to_image", to_image)
    with pytest.raises(om.MissingLibraryError, match=r"needs Chrome or Chromium: .* or use fig.write_html"):
        figure.show(renderer="svg")


def test_an_image_is_written_to_a_file_that_is_named(results, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "kaleido", types.ModuleType("kaleido"))
    figure = om.criterion_plot(results)
    monkeypatch.setattr(type(figure), "to_image", lambda self, format: b"the image" + format.encode())
    path = figure.show(renderer="png")
    assert path.read_bytes() == b"the imagepng"
    assert capsys.readouterr().out == f"figure written to {path}\n"
    path.unlink()


def test_the_figure_can_be_written_as_html(results, tmp_path):
    om.criterion_plot(results).write_html(tmp_path / "figure.html", include_plotlyjs=False)
    assert "least squares" in (tmp_path / "figure.html").read_text()
