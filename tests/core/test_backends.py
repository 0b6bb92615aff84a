"""All backends give the same outcomes; get_backend finds them."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import joblib
import numpy as np
import pytest

import optcore as om
from optcore.errors import InvalidInputError, UnknownNameError
from optcore.numdiff.backends import get_backend, map_joblib, map_threads, map_with, serial

POINTS = np.arange(12.0).reshape(6, 2)

BACKENDS = {
    "serial": serial,
    "threads": partial(map_threads, n=2),
    "processes": get_backend("processes", 2),
    "joblib": partial(map_joblib, n=2),
    "map": partial(map_with, mapper=map),
    "list of map": partial(map_with, mapper=lambda function, points: [function(x) for x in points]),
}


class RefusedError(Exception):
    def __init__(self, where, why):
        super().__init__(f"{where}: {why}")


@pytest.fixture(params=BACKENDS)
def backend(request):
    return BACKENDS[request.param]


def test_outcomes_are_in_order_and_carry_values_or_errors(backend):
    offset = 0.5

    def fun(x):
        if x[0] == 4.0:
            raise ValueError("four")
        time.sleep(2e-3 * (x[0] == 0.0))
        return {"sum": float(x.sum()) + offset, "x": x}

    before = time.perf_counter()
    outcomes = list(backend(fun, POINTS))
    after = time.perf_counter()
    assert len(outcomes) == 6
    for i, (x, outcome) in enumerate(zip(POINTS, outcomes, strict=True)):
        assert before <= outcome.start <= outcome.stop <= after
        if i == 2:
            assert type(outcome.error) is ValueError
            assert str(outcome.error) == "four"
        else:
            assert outcome.error is None
            assert outcome.value["sum"] == x.sum() + offset
            np.testing.assert_array_equal(outcome.value["x"], x)


def test_complex_points_stay_complex(backend):
    points = POINTS + 1e-30j
    for x, outcome in zip(points, backend(lambda x: x * x, points), strict=True):
        np.testing.assert_array_equal(outcome.value, x * x)


def test_a_function_may_write_to_its_argument(backend):
    def spoil(x):
        x[:] = 7.0
        return float(x.sum())

    points = POINTS.copy()
    assert [outcome.value for outcome in backend(spoil, points)] == [14.0] * 6
    np.testing.assert_array_equal(points, POINTS)


def test_exceptions_that_cannot_be_pickled_still_say_what_happened(backend):
    def fail(x):
        raise RefusedError("here", "no reason")

    for outcome in backend(fail, POINTS):
        assert type(outcome.error) in (RefusedError, RuntimeError)
        assert "here: no reason" in str(outcome.error)


def test_no_points_give_no_outcomes(backend):
    assert list(backend(np.sum, np.zeros((0, 2)))) == []


def test_serial_evaluates_a_point_when_it_is_asked_for():
    calls = []
    outcomes = serial(calls.append, POINTS)
    assert calls == []
    next(outcomes)
    assert len(calls) == 1


def test_threads_work_at_the_same_time_and_outcomes_come_early():
    both, seen = threading.Barrier(2), threading.Event()
    outcomes = map_threads(lambda x: both.wait(60) if x[0] < 4 else seen.wait(60), POINTS[:3], n=2)
    assert next(outcomes).error is None
    assert next(outcomes).error is None
    seen.set()  # what the last one waits for
    assert next(outcomes).value is True


def test_threads_take_up_no_more_points_when_the_batch_is_closed():
    calls, gate = [], threading.Semaphore(3)

    def logged(x):
        calls.append(x)
        gate.acquire(timeout=60)

    outcomes = map_threads(logged, np.zeros((50, 1)), n=2)
    next(outcomes)
    outcomes.close()
    gate.release(50)  # three went on before, and two may have come to the gate
    time.sleep(0.05)
    assert len(calls) <= 5


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_threads_work_in_a_forked_child():
    backend = get_backend("threads", 2)
    list(backend(np.sum, POINTS))
    child = os.fork()
    if child == 0:
        os._exit(int([outcome.value for outcome in backend(np.sum, POINTS)] != list(POINTS.sum(axis=1))))
    end = time.monotonic() + 10
    pid, status = os.waitpid(child, os.WNOHANG)
    while pid == 0 and time.monotonic() < end:
        time.sleep(0.01)
        pid, status = os.waitpid(child, os.WNOHANG)
    assert pid == child
    assert status == 0


@pytest.mark.parametrize("active", ["threading", "multiprocessing", "loky", "sequential"])
def test_joblib_uses_whatever_backend_is_active(active):
    with joblib.parallel_config(backend=active):
        outcomes = list(map_joblib(lambda x: (float(x.sum()), os.getpid()), POINTS, n=2))
    assert [outcome.value[0] for outcome in outcomes] == list(POINTS.sum(axis=1))
    here = {outcome.value[1] for outcome in outcomes} == {os.getpid()}
    assert here == (active in ("threading", "sequential"))


def test_a_batch_of_joblib_closed_early_makes_no_noise():
    with joblib.parallel_config(backend="threading"), warnings.catch_warnings():
        warnings.simplefilter("error")
        outcomes = map_joblib(lambda x: time.sleep(0.01), np.zeros((20, 1)), n=2)
        next(outcomes)
        outcomes.close()


def test_maps_of_pools_and_executors_serve_as_backends():
    def fun(x):  # a closure, which plain pickle refuses
        return float(x.sum()), os.getpid()

    with ThreadPoolExecutor(2) as executor:
        outcomes = list(get_backend(executor.map)(fun, POINTS))
    assert [outcome.value for outcome in outcomes] == [(x.sum(), os.getpid()) for x in POINTS]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        outcomes = list(get_backend(pool.map)(fun, POINTS))
    assert [outcome.value[0] for outcome in outcomes] == list(POINTS.sum(axis=1))
    assert all(outcome.value[1] != os.getpid() for outcome in outcomes)


class Pickled:
    """Counts how often it is pickled."""

    n_times = 0

    def __call__(self, x):
        return float(x @ x)

    def __reduce__(self):
        type(self).n_times += 1
        return (Pickled, ())


@pytest.mark.parametrize("kind", ["map", "joblib"])
def test_a_function_is_pickled_once_for_all_gradients(kind):
    with multiprocessing.get_context("spawn").Pool(1) as pool, joblib.parallel_config(backend="loky"):
        options = om.NumdiffOptions(n_cores=2, batch_evaluator=pool.map if kind == "map" else kind)
        Pickled.n_times = 0
        derivative = om.NumericalDerivative(Pickled(), np.ones(3), options=options)
        for _ in range(3):
            np.testing.assert_allclose(derivative(np.ones(3)).derivative, 2.0, rtol=1e-6)
    assert Pickled.n_times == 1


def test_times_of_another_clock_are_moved_into_this_one():
    def elsewhere(function, points):
        for x in points:
            outcome = function(x)
            yield 2, np.float64(1.0).tobytes(), outcome.start + 1e6, outcome.stop + 1e6  # kind 2: a float

    before = time.perf_counter()
    outcomes = list(map_with(np.sum, POINTS, elsewhere))
    after = time.perf_counter()
    assert all(before <= outcome.start <= outcome.stop <= after for outcome in outcomes)


@pytest.mark.parametrize(("n_results", "words"), [(4, "but gave 4"), (8, "but gave more")])
def test_a_map_that_loses_or_adds_results_is_an_error(n_results, words):
    def wrong_map(function, points):
        return [function(points[0]) for _ in range(n_results)]

    with pytest.raises(InvalidInputError, match=f"wrong_map must give one result for each of the 6 points.*{words}"):
        list(map_with(np.sum, POINTS, wrong_map))


@pytest.mark.parametrize(("name", "n_cores"), [("serial", 4), ("processes", 1), ("threads", 1), ("joblib", 1)])
def test_one_core_needs_no_backend(name, n_cores):
    assert get_backend(name, n_cores) is None


@pytest.mark.parametrize("name", ["processes", "threads", "joblib"])
def test_more_cores_give_a_backend_that_works(name):
    outcomes = get_backend(name, 2)(np.sum, POINTS)
    assert [outcome.value for outcome in outcomes] == list(POINTS.sum(axis=1))


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownNameError, match="unknown batch_evaluator 'process'; did you mean 'processes'"):
        get_backend("process", 2)
    with pytest.raises(InvalidInputError, match="n_cores must be at least 1"):
        get_backend("threads", 0)
