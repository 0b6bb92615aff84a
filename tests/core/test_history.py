"""History: rows in plan order, times, best so far, data frame; the recorder and its memory."""

import pickle
import time

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

import optcore as om
from optcore.history import TASKS, History, PrivateMemory, Recorder, distinct, read_rows
from tests.core.counting import ROSENBROCK_START, rosenbrock, rosenbrock_gradient, rosenbrock_residuals


def test_values_and_points_are_those_that_the_function_saw():
    seen = []

    def fun(x):
        seen.append((x.copy(), rosenbrock(x)))
        return seen[-1][1]

    history = om.minimize(fun, ROSENBROCK_START, "scipy_lbfgsb").history
    np.testing.assert_array_equal(history.flat_params, [x for x, _ in seen])
    np.testing.assert_array_equal(history.fun, [value for _, value in seen])
    np.testing.assert_array_equal(history.params, [x for x, _ in seen])


def test_tasks_are_words_and_a_jac_has_no_value():
    history = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", jac=rosenbrock_gradient).history
    assert history.task.dtype.kind == "U"
    assert set(history.task) == {"fun", "jac"}
    assert np.isnan(history.fun[history.task == "jac"]).all()
    assert np.isfinite(history.fun[history.task == "fun"]).all()
    np.testing.assert_array_equal(history.batch, np.arange(len(history)))


def test_the_value_of_least_squares_is_the_sum_of_squares_and_of_maximize_the_users():
    history = om.minimize(om.mark.least_squares(rosenbrock_residuals), ROSENBROCK_START, "scipy_ls_lm").history
    np.testing.assert_allclose(history.fun, [rosenbrock(x) for x in history.flat_params], rtol=1e-14)
    history = om.maximize(lambda x: -rosenbrock(x), ROSENBROCK_START, "scipy_neldermead").history
    np.testing.assert_array_equal(history.fun, [-rosenbrock(x) for x in history.flat_params])
    assert (np.diff(history.monotone_fun) >= 0).all()
    assert history.monotone_fun[-1] == history.fun.max()


def test_best_so_far_looks_at_points_that_the_solver_asked_for_only():
    def fun(x):  # falls off beside the points that the solver asks for
        return float(x @ x) - (100.0 if (x != x.round(3)).any() else 0.0)

    result = om.minimize(fun, np.ones(2), "scipy_lbfgsb", budget=om.Budget(max_evaluations=3))
    assert (result.history.fun[1:] < -90).all()
    np.testing.assert_array_equal(result.history.monotone_fun, [2, 2, 2])
    assert result.fun == 2


def test_times_are_seconds_since_the_start_in_order():
    def fun(x):
        time.sleep(0.002)
        return rosenbrock(x)

    began = time.perf_counter()
    result = om.minimize(fun, ROSENBROCK_START, "scipy_neldermead", budget=om.Budget(max_evaluations=10))
    wall = time.perf_counter() - began
    history = result.history
    assert (history.start_time >= 0).all()
    assert (history.stop_time - history.start_time >= 0.002).all()
    assert (history.start_time[1:] >= history.stop_time[:-1]).all()
    assert history.stop_time[-1] <= result.seconds <= wall


def test_as_a_data_frame_there_is_one_row_an_evaluation_and_one_column_a_param():
    result = om.minimize(lambda p: p["b"] ** 2 + p["a"] @ p["a"], {"b": 1.0, "a": np.ones(2)}, "scipy_slsqp")
    frame = result.history.to_frame()
    assert list(frame.columns) == [
        "evaluation", "task", "purpose", "fun", "batch", "start", "stop", "best", "feasible", "failed",
        "a[0]", "a[1]", "b",
    ]  # fmt: skip
    np.testing.assert_array_equal(frame["best"], result.history.monotone_fun)
    assert frame["feasible"].all()
    assert len(frame) == len(result.history) == result.n_fun_evals
    np.testing.assert_array_equal(frame["evaluation"], np.arange(len(frame)))
    np.testing.assert_array_equal(frame[["a[0]", "a[1]", "b"]], result.history.flat_params)
    assert result.history.params[0]["b"] == 1.0


def test_points_outside_the_bounds_are_marked_in_the_data_frame():
    def solver(fun, x0):
        return min(np.array([[5.0], [1.0], [0.5]]), key=fun)

    result = om.minimize(lambda x: float(x[0]), np.array([3.0]), solver, bounds=om.Bounds(lower=[1.0], upper=[4.0]))
    frame = result.history.to_frame()
    rows = [(3.0, 3.0, True), (5.0, 3.0, False), (1.0, 1.0, True), (0.5, 1.0, False)]
    assert list(zip(frame["0"], frame["best"], frame["feasible"], strict=True)) == rows


def test_failed_calls_are_marked_in_the_data_frame():
    def fun(x):
        if len(points) == 1:
            raise ValueError("no")
        return float(x @ x)

    points = []

    def solver(fun, x0):
        for i in range(3):
            fun(x0 + i)
            points.append(i)
        return x0

    frame = om.minimize(fun, np.ones(1), solver, error_handling="continue").history.to_frame()
    failed = frame[frame["failed"]]
    assert failed["0"].tolist() == [2.0]
    assert failed["fun"].isna().all()


def test_a_param_that_is_called_like_a_column_has_a_column_of_its_own():
    result = om.minimize(lambda p: p["fun"] ** 2 + p["task"] ** 2, {"fun": 1.0, "task": 2.0}, "scipy_neldermead")
    frame = result.history.to_frame()
    assert frame.columns.is_unique
    np.testing.assert_array_equal(frame["fun"], result.history.fun)
    np.testing.assert_array_equal(frame[["params['fun']", "params['task']"]], result.history.flat_params)


@given(st.lists(st.sampled_from(["a", "b", "fun", "a (2)", "params['fun']"])))
def test_names_as_keys_are_distinct_and_unchanged_where_they_can_be(names):
    keys = distinct(names, taken=["fun", "task"])
    assert len(set(keys)) == len(keys) == len(names)
    assert not {"fun", "task"} & set(keys)
    for i, (name, key) in enumerate(zip(names, keys, strict=True)):
        if name not in ("fun", *keys[:i]):
            assert key == name


def held(array):
    """Bytes of memory that an array keeps alive, which may be more than it shows."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array.nbytes if isinstance(array, np.ndarray) else len(array)


def test_a_history_of_50000_evaluations_of_100_params_needs_little_more_than_its_numbers():
    def solver(fun, x0):
        for i in range(50_000):
            fun(x0 + i)
        return x0

    history = om.minimize(lambda x: 1.0, np.ones(100), solver).history
    k, n = history.flat_params.shape
    assert k >= 50_000
    numbers = k * (8 * (n + 3) + 4 + 1)  # x, fun, start, stop: float64; batch: int32; task: uint8
    assert sum(held(array) for array in history.rows) <= 1.10 * numbers
    assert len(pickle.dumps(history)) <= 1.10 * numbers


def test_the_pickle_of_a_short_history_is_small():
    history = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_neldermead", collect_history=False).history
    assert len(pickle.dumps(history)) < 2000


def test_params_become_rows_and_rows_params():
    history = om.minimize(lambda p: p["b"] ** 2 + p["a"] @ p["a"], {"b": 1.0, "a": np.ones(2)}, "scipy_slsqp").history
    np.testing.assert_array_equal(history.flatten({"b": 3, "a": [1, 2]}), [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(history.flatten(history.params[-1]), history.flat_params[-1])
    np.testing.assert_array_equal(History(history.rows).flatten([1, 2, 3]), [1.0, 2.0, 3.0])


def test_a_history_pickles_and_prints_its_counts():
    history = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb").history
    again = pickle.loads(pickle.dumps(history))
    pd.testing.assert_frame_equal(again.to_frame(), history.to_frame())
    assert repr(history) == "History(132 evaluations; fun: 44, jac: 0, fun_and_jac: 0, numdiff: 88)"


def test_a_history_without_rows_is_empty_everywhere():
    history = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", collect_history=False).history
    assert len(history) == len(history.fun) == len(history.task) == len(history.monotone_fun) == 0
    assert history.params == []
    assert len(history.to_frame()) == 0


# the recorder --------------------------------------------------------------------------------------------------------

rows = st.integers(1, 5).flatmap(
    lambda n: st.lists(
        st.tuples(
            st.integers(0, 3),
            st.floats(allow_nan=True),
            st.integers(0, 2**31 - 1),
            st.floats(0, 1e6),
            hnp.arrays(np.float64, n, elements=st.floats(allow_nan=True)),
        ),
        max_size=30,
    ).map(lambda entries: (n, entries))
)


@given(rows)
@settings(max_examples=60, deadline=None)
def test_what_is_recorded_is_read_back_bit_for_bit(case):
    n, entries = case
    recorder = Recorder(n)
    for task, fun, batch, start, x in entries:
        recorder.add(task, fun, batch, recorder.origin + start, recorder.origin + 2 * start, x.tobytes())
    read = recorder.rows()
    assert read.task.tolist() == [entry[0] for entry in entries]
    np.testing.assert_array_equal(read.fun, [entry[1] for entry in entries])
    assert read.batch.tolist() == [entry[2] for entry in entries]
    assert read.x.shape == (len(entries), n)
    np.testing.assert_array_equal(read.x, np.array([entry[4] for entry in entries]).reshape(len(entries), n))
    np.testing.assert_allclose(read.start, [entry[3] for entry in entries], atol=1e-6, rtol=1e-9)
    assert len(History(read)) == len(entries)


def test_the_recorder_grows_and_keeps_what_it_has():
    recorder = Recorder(3)
    for i in range(2000):
        recorder.add(0, float(i), i, 0.0, 0.0, np.full(3, i, dtype=float).tobytes())
    read = recorder.rows()
    np.testing.assert_array_equal(read.fun, np.arange(2000))
    np.testing.assert_array_equal(read.x[:, 2], np.arange(2000))


def test_a_memory_of_the_caller_holds_the_rows_of_an_optimization_that_died():
    class Mine(PrivateMemory):
        pass

    memory = Mine()

    def fun(x):
        fun.calls += 1
        if fun.calls == 8:
            raise KeyboardInterrupt
        return rosenbrock(x)

    fun.calls = 0
    with pytest.raises(KeyboardInterrupt):
        om.minimize(fun, ROSENBROCK_START, "scipy_lbfgsb", collect_history=memory)
    read = read_rows(memory.reserve(0))
    assert len(read.fun) == 8
    np.testing.assert_array_equal(read.fun[:7], [rosenbrock(x) for x in read.x[:7]])
    assert np.isnan(read.fun[7])
    assert read.failed.tolist() == [False] * 7 + [True]
    assert [TASKS[i] for i in read.task] == ["fun", "numdiff", "numdiff"] * 2 + ["fun", "numdiff"]


@pytest.mark.parametrize("block", [b"", b"short", bytes(1000)])
def test_a_block_without_rows_reads_as_none(block):
    assert len(read_rows(block).fun) == 0
