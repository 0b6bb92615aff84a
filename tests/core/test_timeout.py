"""Calls that take too long: their worker is ended, the point is a failure, the rest goes on."""

from __future__ import annotations

import os
import re
import subprocess
import time

import numpy as np
import pytest

import optcore as om
from optcore.numdiff.backends import get_backend
from optcore.numdiff.pool import Pool
from tests.processes import is_running

#: Far more than a call needs on a machine that is busy, far less than one that hangs.
TIMEOUT = 1.0


@pytest.fixture(scope="module")
def pool():
    with Pool(2) as pool:
        yield pool


def all_end(pids, seconds=5.0):
    end = time.monotonic() + seconds
    while any(map(is_running, pids)) and time.monotonic() < end:
        time.sleep(0.01)
    return not any(map(is_running, pids))


def hang_in_python():
    while True:
        pass


def hang_in_compiled_code():
    re.match(r"(a*)*b", "a" * 60)  # takes ages and never lets go of the interpreter lock


def hang_in_another_program():
    subprocess.run(["sleep", "60"], check=True)


@pytest.mark.parametrize(
    ("hang", "seconds"),
    [(hang_in_python, 0.0), (hang_in_compiled_code, 0.0), (hang_in_another_program, 0.0), (hang_in_python, 1e-3)],
    ids=["in python", "in compiled code", "in another program", "in python, points one by one"],
)
def test_a_call_that_hangs_fails_alone_and_its_error_says_where_it_was(pool, hang, seconds, tmp_path):
    def fun(x):
        if x[0] == 7:
            with (tmp_path / "log").open("a") as file:
                file.write("x")
            hang()
        time.sleep(seconds)
        return x[0]

    list(pool.evaluate(fun, np.zeros((9, 1))))  # the duration of a call is known now
    events = list(pool.events)
    outcomes = list(pool.evaluate(fun, np.arange(20.0)[:, None], timeout=TIMEOUT))
    assert [o.value for i, o in enumerate(outcomes) if i != 7] == [i for i in range(20) if i != 7]
    error = outcomes[7].error
    assert type(error) is TimeoutError
    assert str(error) == "the call took longer than timeout=1 s and was ended"
    (note,) = error.__notes__
    assert "_worker.py" not in note
    *_, outer, inner = [line for line in note.splitlines() if __file__ in line]
    assert outer.endswith("in fun")
    assert inner.endswith(f"in {hang.__name__}")
    assert outcomes[7].stop - outcomes[7].start == pytest.approx(TIMEOUT)
    assert (tmp_path / "log").read_text() == "x"  # not evaluated again
    assert pool.events == events
    assert [o.value for o in pool.evaluate(lambda x: x.sum(), np.eye(4))] == [1.0] * 4


def test_what_a_call_had_started_ends_with_it(pool, tmp_path):
    def fun(x):
        program = subprocess.Popen(["sleep", "60"])
        (tmp_path / "pid").write_text(str(program.pid))
        program.wait()

    (outcome,) = pool.evaluate(fun, np.zeros((1, 1)), timeout=TIMEOUT)
    assert type(outcome.error) is TimeoutError
    assert all_end([int((tmp_path / "pid").read_text())])


def test_what_a_worker_that_dies_had_started_ends_with_it(pool, tmp_path):
    def fun(x):
        program = subprocess.Popen(["sleep", "60"])
        with (tmp_path / "pids").open("a") as file:
            file.write(f"{program.pid}\n")
        os._exit(1)

    (outcome,) = pool.evaluate(fun, np.zeros((1, 1)))
    assert "exit code 1" in str(outcome.error)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2
    assert all_end(pids)


class SlowToLoad:
    def __setstate__(self, state):
        time.sleep(0.6)

    def __getstate__(self):
        return {"a": 1}

    def __call__(self, x):
        return x[0]


def test_the_time_it_takes_to_load_the_function_does_not_count(pool):
    outcomes = list(pool.evaluate(SlowToLoad(), np.ones((3, 1)), timeout=0.5))
    assert [o.value for o in outcomes] == [1.0] * 3


def test_each_call_has_the_whole_time_and_without_a_timeout_there_is_none(pool):
    def fun(x):
        time.sleep(0.3)
        return x[0]

    assert [o.error for o in pool.evaluate(fun, np.ones((8, 1)), timeout=0.9)] == [None] * 8
    (outcome,) = pool.evaluate(lambda x: time.sleep(1.2), np.ones((1, 1)))
    assert outcome.error is None


# In derivatives


def hangs_above(limit):
    """x'x, but it never comes to an end where the second coordinate is above the limit."""

    def fun(x):
        if x[1] > limit:
            time.sleep(60)
        return float(x @ x)

    return fun


X = np.array([1.0, 2.0, 3.0])


@pytest.mark.parametrize("n_cores", [1, 2])
def test_a_derivative_takes_another_point_where_the_function_hangs(n_cores):
    result = om.first_derivative(hangs_above(2.0), X, n_cores=n_cores, timeout=TIMEOUT)
    assert result.scheme == {"0": "forward", "1": "backward", "2": "forward"}
    np.testing.assert_allclose(result.derivative, 2 * X, rtol=1e-6)
    (failure,) = result.failures
    assert failure.leaf == "1"
    assert failure.reason == "TimeoutError: the call took longer than timeout=1 s and was ended"


@pytest.mark.parametrize("on_failure", ["recover", "mark", "raise"])
def test_a_coordinate_along_which_the_function_always_hangs_is_named(on_failure):
    def fun(x):
        if x[1] != 2.0:
            time.sleep(60)
        return float(x @ x)

    options = om.NumdiffOptions(n_cores=2, timeout=0.4, on_failure=on_failure)
    derivative = om.NumericalDerivative(fun, X, options=options)
    if on_failure == "mark":
        result = derivative(X)
        np.testing.assert_allclose(result.derivative, [2, np.nan, 6], rtol=1e-6)
        assert result.scheme["1"] == "failed"
    else:
        words = r"not finite at '1'.*TimeoutError" if on_failure == "recover" else r"TimeoutError: the call took longer"
        with pytest.raises((om.InvalidFunctionError, om.UserFunctionError), match=words):
            derivative(X)


def test_in_minimize_a_hanging_point_is_an_error_or_survived_like_any_other():
    fun, options = hangs_above(2.0), om.NumdiffOptions(n_cores=2, timeout=TIMEOUT)
    with pytest.raises(om.UserFunctionError, match=r"fun raised TimeoutError: the call took longer.*at params") as info:
        om.minimize(fun, X, "scipy_lbfgsb", numdiff_options=options)
    assert "in fun" in info.value.__cause__.__notes__[0]
    result = om.minimize(fun, X, "scipy_lbfgsb", numdiff_options=options, error_handling="continue")
    assert result.success
    np.testing.assert_allclose(result.params, 0, atol=1e-5)


@pytest.mark.parametrize("evaluator", ["threads", "joblib", "serial", "batch", map])
def test_only_workers_can_be_ended(evaluator):
    with pytest.raises(om.InvalidInputError, match=r"timeout needs batch_evaluator='processes'.* but it is"):
        om.NumdiffOptions(n_cores=2, timeout=1.0, batch_evaluator=evaluator)
    if evaluator != "batch":
        with pytest.raises(om.InvalidInputError, match=r"timeout needs batch_evaluator='processes'.* but it is"):
            get_backend(evaluator, 2, timeout=1.0)


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf"), True, "1"])
def test_impossible_timeouts_are_refused(timeout):
    with pytest.raises(om.InvalidInputError, match="timeout must be"):
        om.NumdiffOptions(n_cores=2, timeout=timeout)
