"""The process pool: what it computes, what it survives, what it leaves behind."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import optcore as om
from optcore.errors import InvalidInputError
from optcore.numdiff._process import Process
from optcore.numdiff.pool import Evaluated, Pool, Shipment, n_workers_from, shared_pool
from tests.processes import is_running

EYE = np.eye(3)


@pytest.fixture(scope="module")
def pool():
    with Pool(2) as pool:
        yield pool


def values(outcomes):
    outcomes = list(outcomes)
    assert [o.error for o in outcomes] == [None] * len(outcomes)
    return [o.value for o in outcomes]


def processes_of(pool):
    return [worker.process.pid for team in pool._teams for worker in team.workers]


def wait_until(condition, seconds=3.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def sum_of_squares(x):
    return float(x @ x)


def moody(x):
    """Sleeps, raises, or returns, as its point says."""
    kind, number = x
    if kind == 1:
        raise ValueError(f"no value at {number}")
    if kind == 2:
        time.sleep(2e-3)
    return {"number": number, "pid": np.array([1.0, number])}


# What comes back


@settings(max_examples=25, deadline=None)
@given(kinds=st.lists(st.integers(0, 2), max_size=40), seed=st.integers(0, 9))
def test_outcomes_come_in_the_order_of_the_points_whatever_each_call_does(kinds, seed):
    numbers = np.random.default_rng(seed).normal(size=len(kinds))
    points = np.column_stack([np.array(kinds, float), numbers])
    outcomes = list(shared_pool(2).evaluate(moody, points))
    assert len(outcomes) == len(kinds)
    for kind, number, outcome in zip(kinds, numbers, outcomes, strict=True):
        assert isinstance(outcome, Evaluated)
        assert outcome.start <= outcome.stop
        if kind == 1:
            assert str(outcome.error) == f"no value at {number}"
        else:
            assert outcome.error is None
            assert outcome.value["number"] == number
            np.testing.assert_array_equal(outcome.value["pid"], [1.0, number])


@settings(max_examples=30, deadline=None)
@given(
    shape=st.tuples(st.integers(0, 60), st.integers(0, 5)),
    is_complex=st.booleans(),
    seed=st.integers(0, 100),
)
def test_points_and_values_pass_through_bit_by_bit(shape, is_complex, seed):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=shape) * 10.0 ** rng.integers(-300, 300, size=shape)
    if is_complex:
        points = points + 1e-30j * rng.normal(size=shape)
    outcomes = values(shared_pool(2).evaluate(lambda x: x, points))
    assert len(outcomes) == len(points)
    for x, y in zip(points, outcomes, strict=True):
        assert y.dtype == points.dtype
        assert y.tobytes() == x.tobytes()


@settings(max_examples=30, deadline=None)
@given(
    n=st.sampled_from([1023, 1024, 5000]),
    changed=st.lists(st.integers(0, 700), max_size=12),
    is_complex=st.booleans(),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_long_points_that_differ_little_or_much_pass_through_bit_by_bit(n, changed, is_complex, repeats, seed):
    rng = np.random.default_rng(seed)
    base = rng.normal(size=n) * 10.0 ** rng.integers(-300, 300, size=n)
    base[:4] = 0.0, -0.0, np.nan, np.inf
    points = np.tile(base, (1 + len(changed), 1)).astype(complex if is_complex else float)
    for row, number in zip(points[1:], changed, strict=True):
        at = rng.integers(0, n, size=number)
        row[at] = rng.choice([0.0, -0.0, np.nan, -np.inf, 1.5], size=number)
        if is_complex:
            row.imag[at[:1]] = -0.0
    for _ in range(repeats):
        for x, y in zip(points, values(shared_pool(2).evaluate(lambda x: x, points)), strict=True):
            assert y.dtype == points.dtype
            assert y.tobytes() == x.tobytes()
        points = points[::-1].copy()


def test_of_long_points_only_what_differs_travels(monkeypatch):
    sent = []
    send = Process._send
    monkeypatch.setattr(Process, "_send", lambda self, *a: (sent.append(len(a[-1])), send(self, *a)))
    points = np.ones((40, 20_000))
    points[np.arange(40), np.arange(40)] = 2.0
    with Pool(2) as fresh:
        values(fresh.evaluate(sum_of_squares, points))
        sent.clear()
        assert values(fresh.evaluate(sum_of_squares, points)) == [20_003.0] * 40
    assert sum(sent) < 2.1 * points[0].nbytes


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        np.float64(1.5),
        np.float32(1.5),
        3,
        1 + 2j,
        None,
        True,
        np.array(4.0),
        np.ones((2, 3)),
        np.ones((2, 3)).T,
        np.zeros((0, 2)),
        np.arange(4),
        np.array([1 + 2j]),
        (1.0, np.ones(2)),
        {"value": np.ones(3), "info": ["a", {"b": 1}]},
        np.ones(100_000),
    ],
    ids=lambda v: f"{type(v).__name__}{np.shape(v) if not isinstance(v, (tuple, dict)) else ''}",
)
def test_values_keep_their_type_and_content(pool, value):
    for came in values(pool.evaluate(lambda x: value, EYE)):
        assert type(came) is type(value)
        np.testing.assert_equal(came, value)
        if isinstance(value, np.ndarray):
            assert came.dtype == value.dtype
            came[...] = 0  # and can be written to


def test_times_are_on_the_clock_of_this_process_and_last_as_long_as_the_call(pool):
    before = time.perf_counter()
    outcomes = list(pool.evaluate(lambda x: time.sleep(0.01), EYE))
    after = time.perf_counter()
    for outcome in outcomes:
        assert before < outcome.start
        assert outcome.stop < after
        assert outcome.stop - outcome.start >= 0.01


def test_a_value_that_the_function_overwrites_later_is_not_changed(pool):
    buffer = np.zeros(1)

    def reuses_its_buffer(x):
        buffer[:] = x.sum()
        return buffer

    came = values(pool.evaluate(reuses_its_buffer, np.arange(50.0).reshape(50, 1)))
    np.testing.assert_array_equal(np.concatenate(came), np.arange(50.0))


def test_a_function_may_write_to_its_argument(pool):
    def spoil(x):
        x += 1.0
        return float(x.sum())

    points = np.zeros((30, 2))
    assert values(pool.evaluate(spoil, points)) == [2.0] * 30
    assert not points.any()


def test_outcomes_are_yielded_as_soon_as_the_order_allows(pool, tmp_path):
    seen = tmp_path / "seen"

    def ends_when_the_other_was_seen(x):
        return x[0] if x[0] == 0.0 or wait_until(seen.exists, 60) else np.nan

    outcomes = pool.evaluate(ends_when_the_other_was_seen, np.array([[0.0], [1.0]]))
    assert next(outcomes).value == 0.0
    seen.touch()
    assert next(outcomes).value == 1.0


def test_the_work_is_shared_among_the_workers(pool):
    def where(x):
        time.sleep(0.01)
        return os.getpid()

    pids = values(pool.evaluate(where, np.zeros((8, 1))))
    assert len(set(pids)) == 2
    assert os.getpid() not in pids


@pytest.mark.parametrize("points", [np.zeros(3), np.zeros((2, 2, 2)), 1.0])
def test_points_of_another_shape_are_refused(pool, points):
    with pytest.raises(InvalidInputError, match=r"points must have the shape \(k, n\)"):
        pool.evaluate(sum_of_squares, points)


# Which functions


class Model:
    def __init__(self, scale):
        self.scale = scale

    def value(self, x):
        return self.scale * x.sum()

    __call__ = value


def test_functions_of_all_kinds_travel(pool):
    offset = 2.0
    for function in (
        sum_of_squares,
        lambda x: x.sum() + offset,
        Model(3.0),
        Model(3.0).value,
        partial(np.sum, axis=0),
        np.linalg.norm,
    ):
        assert values(pool.evaluate(function, EYE)) == [function(x) for x in EYE]


def test_several_functions_alternate_without_being_confused(pool):
    functions = [lambda x, k=k: k * x.sum() for k in range(12)]  # more than are kept
    for _ in range(2):
        for k, function in enumerate(functions):
            assert values(pool.evaluate(function, EYE)) == [k] * 3


class CountsItsCopies:
    """Large, and leaves a byte in a file each time that it is unpickled."""

    def __init__(self, file):
        self.file = file
        self.data = np.ones(500_000)

    def __setstate__(self, state):
        self.__dict__.update(state)
        with open(self.file, "ab") as file:
            file.write(b".")


def test_a_large_closure_is_shipped_once_to_each_worker(pool, tmp_path):
    heavy = CountsItsCopies(str(tmp_path / "copies"))

    def function(x):
        time.sleep(2e-3)  # so that both workers take part
        return heavy.data[0] + x[0]

    for _ in range(5):
        assert values(pool.evaluate(function, EYE)) == [2.0, 1.0, 1.0]
    assert len((tmp_path / "copies").read_bytes()) == 2


def test_a_bound_method_is_recognised_when_it_is_looked_up_again(pool, tmp_path):
    class Heavy(CountsItsCopies):
        def value(self, x):
            time.sleep(2e-3)
            return self.data[0]

    heavy = Heavy(str(tmp_path / "copies"))
    for _ in range(3):
        values(pool.evaluate(heavy.value, EYE))
    assert len((tmp_path / "copies").read_bytes()) == 2


def test_a_new_shipment_sees_what_changed_and_an_old_one_does_not(pool):
    model = Model(1.0)
    old = Shipment(model)
    assert values(pool.evaluate(old, EYE)) == [1.0] * 3
    model.scale = 5.0
    assert values(pool.evaluate(old, EYE)) == [1.0] * 3
    assert values(pool.evaluate(Shipment(model), EYE)) == [5.0] * 3


def test_functions_that_are_no_longer_kept_are_forgotten_by_the_workers(pool):
    def rss(x):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def ship_large(i):
        data = np.full(2_000_000, float(i))  # 16 MB
        return values(pool.evaluate(Shipment(lambda x: data[0]), np.zeros((4, 1))))

    ship_large(0)
    before = max(values(pool.evaluate(rss, np.zeros((4, 1)))))
    for i in range(10):
        assert ship_large(i) == [float(i)] * 4
    after = max(values(pool.evaluate(rss, np.zeros((4, 1)))))
    assert after - before < 64e6


def test_a_module_that_workers_cannot_import_travels_by_value(pool, tmp_path):
    import importlib.util

    (tmp_path / "loaded_from_a_file.py").write_text("factor = 3.0\ndef fun(x):\n    return factor * x.sum()\n")
    spec = importlib.util.spec_from_file_location("loaded_from_a_file", tmp_path / "loaded_from_a_file.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        assert values(pool.evaluate(module.fun, EYE)) == [3.0] * 3
    finally:
        del sys.modules[spec.name]


def test_a_path_added_and_a_folder_entered_later_hold_in_the_workers_too(pool, tmp_path, monkeypatch):
    values(pool.evaluate(sum_of_squares, EYE))  # the workers are running
    (tmp_path / "module_added_later.py").write_text(
        "from pathlib import Path\ndef fun(x):\n    return str(Path.cwd())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SET_LATER", "yes")
    import module_added_later

    assert values(pool.evaluate(module_added_later.fun, EYE)) == [str(tmp_path)] * 3
    assert values(pool.evaluate(lambda x: os.environ["SET_LATER"], EYE)) == ["yes"] * 3
    del sys.modules["module_added_later"]


def test_what_cannot_be_pickled_is_named(pool):
    lock = threading.Lock()

    def locked(x):
        with lock:
            return x.sum()

    with pytest.raises(InvalidInputError, match=r"locked' can't be sent .*its variable 'lock' is a _thread\.lock"):
        pool.evaluate(locked, EYE)
    model = Model(1.0)
    model.connection = lock
    with pytest.raises(InvalidInputError, match=r"'Model\.value' .*its variable 'connection' is a _thread\.lock"):
        pool.evaluate(model.value, EYE)


class FailsToLoad:
    def __call__(self, x):
        return 0.0

    def __setstate__(self, state):
        raise OSError("the data base is gone")

    def __getstate__(self):
        return {"a": 1}


def test_a_function_that_cannot_be_loaded_is_an_error_and_leaves_the_pool_usable(pool):
    with pytest.raises(InvalidInputError, match=r"'FailsToLoad' can't be loaded .*OSError: the data base is gone"):
        list(pool.evaluate(FailsToLoad(), np.zeros((5, 2))))
    assert values(pool.evaluate(sum_of_squares, EYE)) == [1.0] * 3


# Errors at single points


def test_exceptions_keep_type_arguments_and_the_traceback_of_the_worker(pool):
    def picky(x):
        if x[0] == 1.0:
            raise KeyError("some key", 3)
        return x.sum()

    outcomes = list(pool.evaluate(picky, EYE))
    assert [o.error is None for o in outcomes] == [False, True, True]
    assert type(outcomes[0].error) is KeyError
    assert outcomes[0].error.args == ("some key", 3)
    (note,) = outcomes[0].error.__notes__
    assert 'raise KeyError("some key", 3)' in note
    assert "_worker.py" not in note


class NeedsTwoError(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")


class LockedError(Exception):
    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


@pytest.mark.parametrize("error", [NeedsTwoError, LockedError])
def test_an_exception_that_cannot_be_pickled_becomes_a_runtime_error_with_its_name_and_text(pool, error):
    def fail(x):
        raise error(*("one", "two")[: 2 if error is NeedsTwoError else 1])

    for outcome in pool.evaluate(fail, EYE):
        assert type(outcome.error) is RuntimeError
        assert error.__name__ in str(outcome.error)
        assert "one" in str(outcome.error)
        assert "raise error(" in outcome.error.__notes__[0]


def test_an_exception_class_defined_locally_is_the_same_class_here(pool):
    class LocalError(Exception):
        pass

    def fail(x):
        raise LocalError("here")

    assert all(type(o.error) is LocalError for o in pool.evaluate(fail, EYE))


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_exits_raised_by_the_function_do_not_end_the_worker(pool, error):
    values(pool.evaluate(sum_of_squares, EYE))
    before = processes_of(pool)

    def leave(x):
        raise error(3)

    assert [type(o.error) for o in pool.evaluate(leave, EYE)] == [error] * 3
    assert processes_of(pool) == before


def test_a_value_that_cannot_be_sent_back_is_an_error_that_names_its_type(pool):
    outcomes = list(pool.evaluate(lambda x: threading.Lock() if x[0] else 1.0, EYE))
    assert "returned a lock that can't be sent back" in str(outcomes[0].error)
    assert [o.value for o in outcomes[1:]] == [1.0, 1.0]


# Workers that die


@pytest.mark.parametrize(
    ("kill", "words"),
    [
        (lambda: os._exit(3), "exit code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "SIGSEGV"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
    ],
    ids=["os._exit", "segfault", "killed"],
)
@pytest.mark.parametrize("seconds", [0.0, 1e-3], ids=["chunks", "singles"])
def test_a_dead_worker_costs_one_point_and_is_replaced(pool, kill, words, seconds):
    def fatal(x):
        if x[0] == 25:
            kill()
        time.sleep(seconds)
        return x[0]

    values(pool.evaluate(fatal, np.zeros((9, 1))))  # the duration of a call is known now
    outcomes = list(pool.evaluate(fatal, np.arange(40.0)[:, None]))
    assert [i for i, o in enumerate(outcomes) if o.error] == [25]
    assert type(outcomes[25].error) is RuntimeError
    assert words in str(outcomes[25].error)
    assert [o.value for o in outcomes if not o.error] == [i for i in range(40) if i != 25]
    pids = values(pool.evaluate(lambda x: time.sleep(0.01) or os.getpid(), np.zeros((8, 1))))
    assert len(set(pids)) == 2


@pytest.mark.parametrize("seconds", [0.0, 1e-3], ids=["chunks", "singles"])
def test_a_point_whose_worker_is_killed_once_is_evaluated_again(pool, tmp_path, seconds):
    flag = tmp_path / "killed"

    def fatal_once(x):
        if x[0] == 25 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(seconds)
        return x[0]

    values(pool.evaluate(fatal_once, np.zeros((9, 1))))
    events = len(pool.events)
    assert values(pool.evaluate(fatal_once, np.arange(40.0)[:, None])) == list(range(40))
    assert flag.exists()
    (event,) = pool.events[events:]
    assert "SIGKILL" in event
    assert "its point evaluated again" in event


def test_a_worker_killed_in_the_middle_of_a_minimization_changes_nothing_but_the_message(tmp_path):
    flag = tmp_path / "killed"

    def rosenbrock(x):
        if x[0] > 0 and not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    start, options = np.array([-1.2, 1.0]), om.NumdiffOptions(n_cores=2)
    hit = om.minimize(rosenbrock, start, "scipy_lbfgsb", numdiff_options=options)
    assert flag.exists()
    calm = om.minimize(rosenbrock, start, "scipy_lbfgsb", numdiff_options=options)
    for name in ("task", "fun", "batch", "flat_params"):
        np.testing.assert_array_equal(getattr(hit.history, name), getattr(calm.history, name))
    assert hit.message.startswith(calm.message)
    assert "SIGKILL; it was replaced and its point evaluated again" in hit.message
    assert hit.success


def test_a_function_that_always_kills_its_worker_ends_in_errors_not_in_endless_restarts(pool):
    outcomes = list(pool.evaluate(lambda x: os._exit(1), np.zeros((200, 1))))
    assert len(outcomes) == 200
    assert "while it evaluated this point" in str(outcomes[0].error)
    assert "not evaluated, because" in str(outcomes[-1].error)
    assert values(pool.evaluate(sum_of_squares, EYE)) == [1.0] * 3


def test_a_worker_killed_between_batches_is_replaced_without_an_error(pool):
    values(pool.evaluate(lambda x: time.sleep(0.01), np.zeros((4, 1))))
    victim = processes_of(pool)[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not is_running(victim))
    assert values(pool.evaluate(sum_of_squares, np.ones((20, 2)))) == [2.0] * 20
    assert victim not in processes_of(pool)


def test_an_interpreter_that_cannot_start_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with Pool(1) as broken, pytest.raises(RuntimeError, match="ended with exit code 1 before it was ready"):
        list(broken.evaluate(sum_of_squares, EYE))
    monkeypatch.setattr(sys, "executable", "")
    with Pool(1) as broken, pytest.raises(InvalidInputError, match=r"sys\.executable is empty"):
        list(broken.evaluate(sum_of_squares, EYE))


# Batches that are abandoned, overlap, or outlive their pool


@pytest.mark.parametrize("seconds", [0.0, 2e-3, 60.0])
def test_a_batch_closed_early_leaves_a_usable_pool(pool, seconds):
    values(pool.evaluate(sum_of_squares, EYE))
    outcomes = pool.evaluate(lambda x: time.sleep(seconds * (x[0] > 0)) or x[0], np.arange(30.0)[:, None])
    assert next(outcomes).value == 0.0
    started = time.monotonic()
    outcomes.close()
    assert time.monotonic() - started < 30
    assert values(pool.evaluate(sum_of_squares, EYE)) == [1.0] * 3


def test_no_call_starts_after_a_batch_was_closed(pool, tmp_path):
    def logged(x):
        with open(tmp_path / "log", "ab") as file:
            file.write(b".")
        time.sleep(2e-3)

    outcomes = pool.evaluate(logged, np.zeros((100, 1)))
    for _ in range(3):
        next(outcomes)
    outcomes.close()
    made = len((tmp_path / "log").read_bytes())
    assert made < 50  # a worker may be ahead of the other, but the batch was far from its end
    time.sleep(0.05)
    assert len((tmp_path / "log").read_bytes()) == made


def test_batches_may_be_nested(pool):
    outer = pool.evaluate(sum_of_squares, EYE)
    assert next(outer).value == 1.0
    assert values(pool.evaluate(lambda x: -x.sum(), EYE)) == [-1.0] * 3
    assert values(outer) == [1.0] * 2


def test_threads_may_share_a_pool(pool):
    came = {}

    def work(k):
        came[k] = [values(pool.evaluate(lambda x: k * x.sum(), EYE)) for _ in range(20)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert came == {k: [[k] * 3] * 20 for k in range(3)}


def test_close_ends_idle_and_busy_workers_within_a_second():
    pool = Pool(2)
    values(pool.evaluate(sum_of_squares, EYE))
    busy = pool.evaluate(lambda x: time.sleep(60 * x[0]), np.array([[0.0], [1.0], [1.0]]))
    next(busy)
    idle = pool.evaluate(sum_of_squares, EYE)
    values(idle)
    pids = processes_of(pool)
    assert len(pids) == 4
    started = time.monotonic()
    pool.close()
    assert time.monotonic() - started < 1.0
    assert not any(map(is_running, pids))
    with pytest.raises(RuntimeError, match="closed"):
        next(busy)
    with pytest.raises(RuntimeError, match="closed"):
        pool.evaluate(sum_of_squares, EYE)
    pool.close()


def test_a_pool_that_is_garbage_ends_its_workers():
    pool = Pool(1)
    values(pool.evaluate(sum_of_squares, EYE))
    pids = processes_of(pool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del pool
    assert wait_until(lambda: not any(map(is_running, pids)))


def test_a_closed_pool_leaves_no_file_descriptors():
    def descriptors():
        return sorted(os.listdir("/proc/self/fd"))

    before = descriptors()
    with Pool(2) as pool:
        list(pool.evaluate(lambda x: os._exit(0), np.zeros((1, 1))))
        values(pool.evaluate(sum_of_squares, EYE))
        assert descriptors() != before
    assert descriptors() == before


def test_shared_pools_are_one_for_each_size_and_replaced_when_closed():
    first = shared_pool(1)
    assert shared_pool(1) is first
    assert shared_pool(2) is not first
    first.close()
    assert shared_pool(1) is not first
    assert values(shared_pool(1).evaluate(sum_of_squares, EYE)) == [1.0] * 3


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_gets_workers_of_its_own_and_leaves_those_of_the_parent_alone():
    pool = shared_pool(2)

    def where(x):
        time.sleep(0.01)
        return os.getpid()

    mine = set(values(pool.evaluate(where, np.zeros((6, 1)))))
    unfinished = pool.evaluate(where, np.zeros((6, 1)))
    next(unfinished)
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            unfinished.close()
            same = set(values(pool.evaluate(where, np.zeros((6, 1)))))
            fresh = shared_pool(2)
            answer = (same, fresh is not pool, set(values(fresh.evaluate(where, np.zeros((6, 1))))))
            pool.close()
            fresh.close()
        except BaseException as error:  # noqa: BLE001
            answer = repr(error)
        os.write(theirs, pickle.dumps(answer))
        os._exit(0)
    os.waitpid(child, 0)
    same, is_fresh, others = pickle.loads(os.read(ours, 1 << 16))
    os.close(ours)
    os.close(theirs)
    assert is_fresh
    assert not mine & same
    assert not mine & others
    assert len(values(unfinished)) == 5
    assert set(values(pool.evaluate(where, np.zeros((6, 1))))) == mine


# The surroundings of a worker


def test_workers_use_one_thread_each_and_know_what_they_are(pool):
    def surroundings(x):
        return os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"], sys.stdin.read(), sys.path

    for threads, blas, text, path in values(pool.evaluate(surroundings, EYE)):
        assert (threads, blas, text) == ("1", "1", "")
        assert path == sys.path


def test_workers_limit_the_threads_of_blas_that_is_loaded(pool):
    def threads(x):
        from threadpoolctl import threadpool_info

        np.ones((2, 2)) @ np.ones((2, 2))
        return [library["num_threads"] for library in threadpool_info()]

    for counts in values(pool.evaluate(threads, EYE)):
        assert counts
        assert set(counts) == {1}


def test_inside_a_worker_there_is_one_core(pool):
    assert values(pool.evaluate(lambda x: (n_workers_from(-1), n_workers_from(8)), EYE)) == [(1, 1)] * 3


def test_a_worker_imports_little_before_a_function_needs_more(pool):
    code = textwrap.dedent(
        """
        import sys
        from optcore.numdiff.pool import Pool
        def modules(x):
            return sorted({name.partition(".")[0] for name in sys.modules})
        with Pool(1) as pool:
            (outcome,) = pool.evaluate(modules, [[1.0]])
        print(outcome.value)
        """
    )
    names = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "'numpy'" in names
    for name in ("optcore", "scipy", "pandas", "multiprocessing"):
        assert f"'{name}'" not in names


def test_all_cores_are_those_that_this_process_may_use():
    assert 1 <= n_workers_from(-1) <= len(os.sched_getaffinity(0))
    assert n_workers_from(5) == 5


@pytest.mark.parametrize("n_cores", [0, -2])
def test_impossible_numbers_of_cores_are_refused(n_cores):
    with pytest.raises(InvalidInputError, match=rf"n_cores must be at least 1, or -1 .* is {n_cores}"):
        n_workers_from(n_cores)


def test_other_systems_get_an_error_that_names_the_alternatives(monkeypatch):
    monkeypatch.setattr("optcore.numdiff.pool._IS_POSIX", False)
    with pytest.raises(InvalidInputError, match=r'batch_evaluator="threads" or batch_evaluator="joblib"'):
        Pool(2)


# Programs


SCRIPT = """
import os, sys, time
from optcore.numdiff.pool import shared_pool

class Refused(Exception):
    pass

scale = 3.0

def helper(x):
    return float(scale * x.sum())

def fun(x):
    if x[0] > 5:
        raise Refused("too large")
    return helper(x)

outcomes = list(shared_pool(2).evaluate(fun, [[1.0, 2.0], [3.0, 4.0], [6.0, 0.0]]))

print([o.value for o in outcomes], isinstance(outcomes[2].error, Refused))
"""


@pytest.mark.parametrize("how", ["file", "stdin", "interactive", "-c"])
def test_programs_need_no_main_guard(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    arguments = {"file": [str(script)], "stdin": ["-"], "interactive": ["-i"], "-c": ["-c", SCRIPT]}[how]
    text = SCRIPT if how in ("stdin", "interactive") else ""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout.strip() == "[9.0, 21.0, None] True"
    if how != "interactive":
        assert done.stderr == ""


ENDLESS = """
import os, subprocess, sys, time
from optcore.numdiff.pool import shared_pool

def fun(x):
    child = subprocess.Popen(["sleep", "60"])
    os.write(1, b"%d %d\\n" % (os.getpid(), child.pid))
    time.sleep(60)

list(shared_pool(2).evaluate(fun, [[0.0]] * 3))
"""


@pytest.fixture
def endless(tmp_path):
    """A program whose two workers sleep, each beside a program that it started; the ids of these four."""
    (tmp_path / "endless.py").write_text(ENDLESS)
    program = subprocess.Popen(
        [sys.executable, str(tmp_path / "endless.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pids = set()
    try:
        pids = {int(pid) for _ in range(2) for pid in program.stdout.readline().split()}
        assert len(pids) == 4
        assert all(map(is_running, pids))
        yield program, pids
    finally:
        for pid in (program.pid, *pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        program.communicate()


def test_ctrl_c_ends_a_program_within_a_second_and_leaves_nothing(endless):
    program, pids = endless
    started = time.monotonic()
    os.killpg(program.pid, signal.SIGINT)  # what a terminal does
    program.wait(timeout=5)
    assert time.monotonic() - started < 1.0
    assert program.returncode == -signal.SIGINT
    assert wait_until(lambda: not any(map(is_running, pids)), 0.5)
    errors = program.stderr.read()
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert "_worker" not in errors


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_a_parent_that_is_killed(endless, signal_):
    program, pids = endless
    os.kill(program.pid, signal_)
    program.wait(timeout=5)
    assert wait_until(lambda: not any(map(is_running, pids)), 1.0)


def test_workers_ignore_ctrl_c_and_the_pool_works_after_an_interrupt(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, signal, threading, time
            from optcore.numdiff.pool import shared_pool
            pool = shared_pool(2)
            def ctrl_c_here(x):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
                return 1.0
            print([o.value for o in pool.evaluate(ctrl_c_here, [[0.0]] * 4)])
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            started = time.monotonic()
            try:
                list(pool.evaluate(lambda x: time.sleep(60), [[0.0]] * 4))
            except KeyboardInterrupt:
                print(time.monotonic() - started < 30)
            print([o.value for o in pool.evaluate(lambda x: float(x[0]), [[5.0]] * 4)])
            """
        )
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.split("\n") == ["[1.0, 1.0, 1.0, 1.0]", "True", "[5.0, 5.0, 5.0, 5.0]", ""]
    assert done.stderr == ""


def test_what_the_function_prints_is_seen_even_if_its_worker_is_killed(tmp_path):
    code = textwrap.dedent(
        """
        import os
        from optcore.numdiff.pool import Pool
        def fun(x):
            print("before the end")
            os._exit(1)
        with Pool(1) as pool:
            list(pool.evaluate(fun, [[0.0]]))
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout == "before the end\n" * 2  # a point whose worker dies is evaluated again, once


def test_a_worker_killed_while_it_starts_is_replaced(monkeypatch):
    victims = []
    ship = Process.ship

    def ship_to_the_dying(self, shipment):
        ship(self, shipment)
        if not victims:
            victims.append(self.process.pid)
            os.kill(self.process.pid, signal.SIGKILL)

    monkeypatch.setattr(Process, "ship", ship_to_the_dying)
    with Pool(1) as fresh:
        assert values(fresh.evaluate(sum_of_squares, EYE)) == [1.0] * 3
        assert processes_of(fresh) != victims
