"""What each call was for: in the history, in the counts of a result, and in what a derivative says of itself."""

import itertools
import re
import time
from collections import Counter

import numpy as np
import pytest

import optcore as om
from optcore.evaluator import Evaluator, StopSolver
from optcore.functions import FlatFun
from optcore.history import DIFFERENCE, FUN, PrivateMemory
from optcore.ledger import BATCH_SHIFT, Ledger
from optcore.marks import Kind
from optcore.residuals import ResidualReader
from optcore.tree import Converter
from tests.core.counting import (
    ROSENBROCK_START,
    rosenbrock,
    rosenbrock_gradient,
    rosenbrock_jacobian,
    rosenbrock_residuals,
)

X = np.array([-1.2, 1.0, 0.5])


def chain(x):
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).real)


def complex_chain(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def gap(x):
    """Not a number on one side of the start."""
    return np.nan if x[0] > X[0] + 1e-12 else chain(x)


def noisy(x):
    """Its noise depends on the point alone."""
    return chain(x) + 1e-6 * np.sin(1e9 * x @ np.array([1.0, np.e, np.pi]))


class Asks:
    """A solver that asks for value and gradient together at the start and at points that move further and further."""

    def __init__(self, n_points):
        self.n_points = n_points

    def __call__(self, fun_and_jac, x0):
        for point in self.points(x0):
            fun_and_jac(point)
        return x0

    def points(self, x0):
        return [x0 * (1 + 0.01 * k) for k in range(self.n_points)]


WAYS = {
    "forward": (chain, {}),
    "central": (chain, {"method": "central"}),
    "complex_step": (complex_chain, {"method": "complex_step"}),
    "richardson": (chain, {"method": "richardson"}),
    "richardson at noise": (noisy, {"method": "richardson", "noise": "estimate"}),
    "calibrated": (chain, {"step_size": "calibrated", "method": "central"}),
    "auto": (chain, {"method": "auto"}),
    "shi": (noisy, {"step_size": "shi"}),
    "more_wild": (noisy, {"step_size": "more_wild", "noise": 1e-6}),
    "points that fail": (gap, {}),
}
WORDS = {
    "base": "solver",
    "differences": "difference",
    "calibration": "calibration",
    "noise": "noise",
    "check": "probe",
    "probe": "probe",
}


@pytest.mark.parametrize("way", WAYS)
def test_rounds_and_purposes_replayed_from_the_history_are_those_of_each_derivative(way):
    fun, given = WAYS[way]
    options = om.NumdiffOptions(**given)
    solver = Asks(4)
    result = om.minimize(fun, X, solver, numdiff_options=options)
    history = result.history
    derivative = om.NumericalDerivative(fun, X, options=options)
    expected = [derivative(point) for point in solver.points(X)]
    starts = np.flatnonzero(history.purpose == "solver")
    assert len(starts) == len(expected)
    total = Counter()
    for rows, one in zip(np.split(np.arange(len(history)), starts[1:]), expected, strict=True):
        # A complex step or a central difference needs no base; a solver that asks for both has it in the batch.
        spent = Counter({WORDS[word]: number for word, number in one.n_evaluations.items()}) | Counter(solver=1)
        assert Counter(history.purpose[rows].tolist()) == spent
        assert len(set(history.batch[rows])) == one.n_rounds
        total += spent
    assert history.batch.max() + 1 == sum(one.n_rounds for one in expected)
    assert result.n_evaluations_by_purpose == dict(total)


def check_counts(result):
    history = result.history
    evaluations = history.purpose[history.task != "jac"]
    assert result.n_evaluations_by_purpose == dict(Counter(evaluations.tolist()))
    assert sum(result.n_evaluations_by_purpose.values()) == result.n_fun_evals + result.n_fun_and_jac_evals
    assert set(history.purpose) <= {word.value for word in om.Purpose}
    assert (np.isin(history.purpose, ("solver", "probe")) | (history.task == "numdiff")).all()
    assert ((history.purpose != "solver") | (history.task != "numdiff")).all()
    assert list(history.to_frame()["purpose"]) == history.purpose.tolist()


@pytest.mark.parametrize("keep", [True, "best", False])
def test_counts_by_purpose_do_not_depend_on_what_is_kept(keep):
    options = om.NumdiffOptions(method="auto")
    full = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", numdiff_options=options)
    check_counts(full)
    assert set(full.n_evaluations_by_purpose) == {"solver", "difference", "calibration", "noise"}
    assert re.search(r"for numerical derivatives: \d+ calibration, \d+ noise\)", " ".join(repr(full).split()))
    again = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", numdiff_options=options, collect_history=keep)
    assert again.n_evaluations_by_purpose == full.n_evaluations_by_purpose
    if keep == "best":
        assert set(again.history.purpose) == {"solver"}


def test_only_unusual_purposes_are_shown():
    assert "solver" not in repr(om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb"))


def test_a_check_of_derivatives_and_the_search_for_a_pattern_are_probes():
    result = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", jac=rosenbrock_gradient, check_derivatives=True)
    check_counts(result)
    probes = result.history.purpose == "probe"
    assert set(result.history.task[probes]) == {"numdiff", "jac"}
    assert result.n_evaluations_by_purpose["probe"] == result.n_numdiff_evals > 0
    found = om.minimize(
        om.mark.least_squares(rosenbrock_residuals),
        ROSENBROCK_START,
        "scipy_ls_trf",
        numdiff_options=om.NumdiffOptions(sparsity="detect"),
    )
    check_counts(found)
    assert found.n_evaluations_by_purpose["probe"] >= 2


def test_a_call_that_fails_keeps_its_purpose():
    def fun(x):
        if (x[0] > X[0]) & (x[0] < X[0] + 1e-6):
            raise ValueError("a hole")
        return chain(x)

    result = om.minimize(fun, X, "scipy_lbfgsb", error_handling="continue", budget=om.Budget(max_evaluations=9))
    failed = result.history.failed
    assert failed.sum() == 1
    assert result.history.purpose[failed] == ["difference"]


# derivatives that nobody asks for ------------------------------------------------------------------------------------


def value_then_gradient(asks):
    """A solver that asks for the values at all points, and for the gradient at some."""

    def solver(fun, jac, x0):
        for k, wanted in enumerate(asks):
            x = x0 + 0.1 * k
            fun(x)
            if wanted:
                jac(x)
        return x0

    return solver


class Jointly(om.Algorithm):
    """Asks for values that come with gradients, but for every second gradient only."""

    name = "jointly"
    needs_jac = True
    asks_jointly = True

    def solve(self, objective, x0, bounds):
        value, gradient = objective.scalar_callables(jointly=True)
        for k in range(6):
            value(x0 + 0.1 * k)
            if k % 2:
                gradient(x0 + 0.1 * k)
        return om.SolverResult(x0)


@pytest.mark.parametrize("method", ["forward", "central"])
def test_a_gradient_that_came_with_a_value_and_was_not_asked_for_is_speculation(method):
    options = om.NumdiffOptions(method=method)
    result = om.minimize(rosenbrock, ROSENBROCK_START, Jointly(), numdiff_options=options)
    check_counts(result)
    points = 2 if method == "forward" else 4
    assert result.n_evaluations_by_purpose == {"solver": 6, "difference": 3 * points, "speculation": 3 * points}
    unused = result.history.purpose == "speculation"
    assert sorted(set(result.history.batch[unused])) == [0, 2, 4]


WIDE = {"n_cores": 5, "batch_evaluator": "threads"}


@pytest.mark.parametrize("algorithm", ["scipy_slsqp", "scipy_ls_trf", "scipy_ls_lm", "scipy_newton_cg"])
@pytest.mark.parametrize("method", ["forward", "central"])
def test_speculation_saves_rounds_and_changes_no_iterate(algorithm, method):
    fun = om.mark.least_squares(rosenbrock_residuals) if "_ls_" in algorithm else rosenbrock
    plain, ahead = (
        om.minimize(
            fun,
            ROSENBROCK_START,
            algorithm,
            numdiff_options=om.NumdiffOptions(method=method, speculative=speculative, **WIDE),
            budget=om.Budget(max_evaluations=2000),
        )
        for speculative in (False, True)
    )
    check_counts(ahead)
    for history in (plain.history, ahead.history):
        assert set(history.purpose) <= {"solver", "difference", "speculation"}
    np.testing.assert_array_equal(plain.params, ahead.params)
    np.testing.assert_array_equal(
        plain.history.flat_params[plain.history.asked], ahead.history.flat_params[ahead.history.asked]
    )
    assert plain.n_evaluations_by_purpose == {
        word: number for word, number in ahead.n_evaluations_by_purpose.items() if word != "speculation"
    }
    if algorithm != "scipy_newton_cg":  # which asks for gradients where it asks for no value
        # One round a point that the solver asked about, and none for the gradients.
        assert ahead.history.batch.max() + 1 == ahead.n_evaluations_by_purpose["solver"]
    assert ahead.history.batch.max() < plain.history.batch.max()


@pytest.mark.parametrize(
    ("options", "n", "expected"),
    [
        ({"n_cores": 4, "batch_evaluator": "threads"}, 3, True),
        ({"n_cores": 3, "batch_evaluator": "threads"}, 3, False),
        ({"n_cores": 4, "batch_evaluator": "threads", "method": "central"}, 3, False),
        ({"n_cores": 7, "batch_evaluator": "threads", "method": "central"}, 3, True),
        ({"batch_evaluator": "batch"}, 100, True),
        ({"batch_evaluator": map}, 100, True),
        ({"batch_evaluator": "serial", "n_cores": 8}, 3, False),
        ({}, 3, False),
    ],
)
def test_derivatives_are_taken_ahead_where_that_takes_no_longer(options, n, expected):
    assert om.NumdiffOptions(speculative=True, **options).speculates(n) is expected
    assert not om.NumdiffOptions(**options).speculates(n)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "richardson"}, "speculative=True goes with derivatives that take one round"),
        ({"step_size": "calibrated"}, "speculative=True goes with derivatives that take one round"),
        ({"speculative": 3}, "speculative must be True or False, but is 3"),
    ],
)
def test_options_that_do_not_go_with_speculation_say_so(options, message):
    with pytest.raises(om.InvalidInputError, match=message):
        om.NumdiffOptions(**{"speculative": True} | options)


@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("settled", [False, True])
def test_derivatives_are_claimed_before_and_after_their_rows_are_settled(memory, settled):
    ledger = Ledger(1, memory=PrivateMemory() if memory else None)
    for group in (3, 4):
        ledger.append((FUN | group << BATCH_SHIFT, 1.0, 0.0, 0.0, bytes(8)))
        ledger.append((DIFFERENCE | group << BATCH_SHIFT, 1.0, 0.0, 0.0, bytes(8)))
        if settled:
            ledger.settle()
        ledger.speculate({group: 1})
    assert ledger.purposes == {"solver": 2, "speculation": 2}
    ledger.claim([3])
    assert ledger.purposes == {"solver": 2, "difference": 1, "speculation": 1}
    words = np.array([str(word) for word in om.Purpose])
    assert words[ledger.rows().purpose].tolist() == ["solver", "difference", "solver", "speculation"]
    assert ledger.rows().task.tolist() == [0, 3, 0, 3]


# the clock -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", ["fun", "jac", "residuals", "jacobian"])
def test_the_time_ends_a_solver_that_gets_remembered_answers_only(question):
    """It gives up after a thousand repeated values, and never where it asks for gradients only."""
    scalar = question in ("fun", "jac")

    class Repeats(om.Algorithm):
        name = "repeats"
        kind = "scalar" if scalar else "least_squares"
        needs_jac = True

        def solve(self, objective, x0, bounds):
            ask = {"fun": "value", "jac": "gradient"}.get(question, question)
            until = time.perf_counter() + 5
            while time.perf_counter() < until:
                getattr(objective, ask)(x0)
                time.sleep(0.001)
            return om.SolverResult(x0)

    fun, jac = (
        (rosenbrock, rosenbrock_gradient)
        if scalar
        else (om.mark.least_squares(rosenbrock_residuals), om.mark.least_squares(rosenbrock_jacobian))
    )
    result = om.minimize(fun, ROSENBROCK_START, Repeats(), jac=jac, budget=om.Budget(max_seconds=0.05))
    assert result.status is om.Status.BUDGET_SECONDS
    assert len(result.history) <= 2


@pytest.mark.parametrize("seconds", np.arange(0.5, 12))
def test_no_call_of_a_serial_batch_starts_after_the_deadline(monkeypatch, seconds):
    """The clock goes on by a second whenever it is read: between the end of a call and the start of the next, too."""
    now = itertools.count(0.0).__next__
    monkeypatch.setattr("optcore.ledger.perf_counter", now)
    monkeypatch.setattr("optcore.evaluator.perf_counter", now)
    converter = Converter(X)
    evaluator = Evaluator(Ledger(X.size), converter.describe, max_seconds=seconds)
    function = FlatFun(chain, Kind.SCALAR, {}, converter, ResidualReader(converter))
    with pytest.raises(StopSolver, match="seconds is spent"):
        evaluator.batch(function, np.tile(X, (9, 1)), [DIFFERENCE] * 9, None)
    starts = evaluator.ledger.rows().start
    assert (starts < seconds).all()
    assert len(starts) == seconds // 2  # two readings a call


@pytest.mark.parametrize("method", ["forward", "central"])
def test_points_that_fail_are_reported_as_they_were_asked_for_although_the_function_writes_to_its_params(method):
    def fun(x):
        value = np.nan if x[0] > X[0] else chain(x)
        x[:] = 7.0
        return value

    (failure,) = om.first_derivative(fun, X, method=method).failures[:1]
    np.testing.assert_allclose(failure.point, X, rtol=1e-4)
    assert failure.reason == "nan"
