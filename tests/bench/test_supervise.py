"""Supervisor: whatever a run does, its outcome is right, its evaluations are kept, and the next run is untouched.

The bad runs are those that harnesses meet: solvers that end their process, crash, spin in C with the interpreter's lock
held, swallow every exception, or flood their output. All tests run with both ways to make children.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import cloudpickle
import numpy as np
import pytest

from optcore import pickling
from optcore.history import Recorder
from optcore_bench.supervise import Outcome, SupervisionError, Supervisor

# Runs travel by value: importing this module in each new child would import pytest there.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

MODES = ("zygote", "plain") if sys.platform == "linux" else ("plain",)
#: Enough for a run to come to what it is about, on a machine with much else to do.
LIMIT = 0.5
GENEROUS = 60.0


@pytest.fixture(scope="module", params=MODES)
def supervisor(request: pytest.FixtureRequest) -> Iterator[Supervisor]:
    with Supervisor(preload=("numpy", "optcore"), mode=request.param) as supervisor:
        yield supervisor


def record(memory, rows, then=lambda: {}, n=3, first=0.0):
    """Record `rows` evaluations whose values count up, then do something."""
    recorder = Recorder(n, memory)
    for i in range(rows):
        recorder.add(
            i % 4, first + i, i // 2, recorder.origin + i, recorder.origin + i + 0.5, np.full(n, first + i).tobytes()
        )
    return then()


def run(supervisor: Supervisor, function: Callable, *args, seconds: float | None = GENEROUS, **limits) -> Outcome:
    return supervisor.run(pickling.dumps((function, args)), seconds=seconds, **limits)


def assert_rows(outcome: Outcome, count: int, n: int = 3, first: float = 0.0) -> None:
    i = np.arange(count)
    np.testing.assert_array_equal(outcome.rows.fun, first + i)
    np.testing.assert_array_equal(outcome.rows.task, i % 4)
    np.testing.assert_array_equal(outcome.rows.batch, i // 2)
    # Clock readings are large numbers, so their differences carry rounding errors of about 1e-10.
    np.testing.assert_allclose(outcome.rows.start, i, atol=1e-6)
    np.testing.assert_allclose(outcome.rows.stop, i + 0.5, atol=1e-6)
    np.testing.assert_array_equal(
        outcome.rows.x, np.repeat(first + i[:, None], n, axis=1) if count else np.ones((0, n))
    )


def assert_works(supervisor: Supervisor) -> None:
    outcome = run(supervisor, record, 7, lambda: {"fine": True}, 2, 100.0)
    assert (outcome.ended, outcome.answer, outcome.message) == ("returned", {"fine": True}, "")
    assert_rows(outcome, 7, n=2, first=100.0)


# --- disasters -----------------------------------------------------------------------------------------------------


def exit_at_once():
    os._exit(3)


def segfault():
    ctypes.string_at(0)


def abort():
    os.abort()


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_the_guard():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(GENEROUS)


def system_exit():
    sys.exit("no more")


def interrupt():
    raise KeyboardInterrupt


def fail():
    raise ValueError("this is no good")


def recurse():
    def deeper(n):
        return deeper(n + 1)

    deeper(0)


def run_out_of_memory():
    raise MemoryError


def unreadable_error():
    class BrokenError(Exception):
        def __str__(self):
            raise RuntimeError

    raise BrokenError


def spin_in_c():
    re.match("(a+)+b", "a" * 60)


def sleep():
    time.sleep(GENEROUS)


def swallow_everything():
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001  that is the point
            continue


def ignore_signals():
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


def close_descriptors():
    os.closerange(3, 256)
    return {}


def close_and_stay():
    os.closerange(0, 256)
    time.sleep(GENEROUS)


def write_to_all_sockets():
    for fd in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, b"x" * 100)
    time.sleep(GENEROUS)


DISASTERS = {
    exit_at_once: ("crashed", r"^ended by os\._exit\(3\)"),
    segfault: ("crashed", r"^killed by SIGSEGV in segfault \(.*test_supervise\.py:\d+\)"),
    abort: ("crashed", "^killed by SIGABRT in abort"),
    kill_itself: ("crashed", "^killed by SIGKILL"),
    kill_the_guard: ("crashed", "^its process is gone"),
    system_exit: ("raised", r"^SystemExit: no more \(in system_exit \(.*test_supervise\.py:\d+\)\)$"),
    interrupt: ("raised", r"^KeyboardInterrupt \(in interrupt"),
    fail: ("raised", r"^ValueError: this is no good \(in fail \("),
    recurse: ("raised", r"^RecursionError: maximum recursion depth exceeded"),
    run_out_of_memory: ("raised", "^MemoryError"),
    unreadable_error: ("raised", r"^BrokenError: \(its text can't be read\)"),
    spin_in_c: ("timeout", r"^killed at the limit of 0\.5 s in spin_in_c \("),
    sleep: ("timeout", r"^killed at the limit of 0\.5 s in sleep \("),
    swallow_everything: ("timeout", "in swallow_everything"),
    ignore_signals: ("timeout", r"^killed at the limit of 0\.5 s$"),
    close_descriptors: ("crashed", "the connection to the supervisor was closed during the run"),
    close_and_stay: ("crashed", "closed its connection to the supervisor"),
    write_to_all_sockets: ("crashed", "wrote to the supervisor's socket what is not an answer"),
}


@pytest.mark.parametrize("disaster", DISASTERS, ids=lambda disaster: disaster.__name__)
def test_a_disaster_ends_as_what_it_was_keeps_its_evaluations_and_harms_no_other_run(supervisor, disaster):
    ended, message = DISASTERS[disaster]
    start = time.monotonic()
    outcome = run(supervisor, record, 1000, disaster, seconds=LIMIT if ended == "timeout" else GENEROUS)
    assert time.monotonic() - start < GENEROUS / 2
    assert outcome.ended == ended
    assert re.search(message, outcome.message), outcome.message
    assert outcome.answer is None
    assert_rows(outcome, 1000)
    assert 0 < outcome.seconds < GENEROUS / 2
    if ended == "timeout":
        assert outcome.seconds >= LIMIT
    if disaster is not kill_the_guard:  # with it goes who could tell
        assert 0 <= outcome.cpu_seconds < GENEROUS / 2
        assert outcome.max_rss > 1e6
    assert_works(supervisor)


def test_a_run_that_dies_before_it_records_has_no_rows_of_the_run_before(supervisor):
    assert_rows(run(supervisor, record, 50), 50)
    assert run(supervisor, lambda memory: os._exit(1)).rows.fun.size == 0
    assert_rows(run(supervisor, record, 50), 50)
    assert run(supervisor, lambda memory: {}).rows.fun.size == 0


def test_what_a_run_prints_does_not_stop_it_and_its_last_lines_tell_of_a_crash(supervisor):
    def flood():
        for _ in range(200):
            os.write(1, b"o" * 50_000)
            sys.stderr.write("e" * 50_000 + "\n")
        return {}

    def complain_and_end():
        print("the licence server is away", file=sys.stderr)
        os._exit(9)

    outcome = run(supervisor, record, 10, flood)
    assert (outcome.ended, outcome.message) == ("returned", "")
    assert_rows(outcome, 10)
    outcome = run(supervisor, record, 10, complain_and_end)
    assert outcome.message.endswith("it printed last: the licence server is away")
    assert "licence" not in run(supervisor, lambda memory: os._exit(9)).message


def test_memory_beyond_the_limit_ends_the_run_and_the_record_does_not_count(supervisor):
    def grow():
        blocks = []
        while True:
            blocks.append(np.ones(1 << 20))
            time.sleep(0.005)  # 1.7 GB/s at most: the limit is looked at every 20 ms

    limit = 150_000_000
    outcome = run(supervisor, record, 100, grow, max_memory=limit)
    assert outcome.ended == "memory"
    assert re.fullmatch(r"killed while it held \d+ MB of memory; the limit is 150 MB", outcome.message)
    assert outcome.max_rss > limit
    assert_rows(outcome, 100)

    def record_much_and_wait(memory):
        record(memory, 300, n=80_000)
        time.sleep(0.1)
        return {}

    outcome = run(supervisor, record_much_and_wait, max_memory=limit)
    assert (outcome.ended, outcome.rows.x.shape) == ("returned", (300, 80_000))
    assert outcome.max_rss > 300 * 80_000 * 8 > limit  # the process did hold it
    assert_works(supervisor)


def test_what_an_earlier_run_left_in_memory_is_not_charged_to_the_next(supervisor):
    def leak(memory):
        sys.leaked = np.ones(25_000_000)
        return {"pid": os.getpid()}

    def wait(memory):
        time.sleep(0.1)
        return {"pid": os.getpid()}

    leaked = run(supervisor, leak)
    outcome = run(supervisor, wait, max_memory=150_000_000)  # 200 MB were left
    assert (outcome.ended, outcome.answer) == ("returned", leaked.answer)
    run(supervisor, lambda memory: os._exit(0))


def test_a_record_that_a_wild_pointer_hit_is_reported_and_nothing_else_suffers(supervisor):
    def scribble(memory):
        Recorder(3, memory)
        memory.reserve(64)[8:24] = b"\xff" * 16  # where the length of the params and the number of rows are
        return {"still": "here"}

    outcome = run(supervisor, scribble)
    assert (outcome.ended, outcome.answer) == ("returned", {"still": "here"})
    assert outcome.message == "its record of evaluations was overwritten and is lost"
    assert outcome.rows.fun.size == 0
    assert_works(supervisor)


# --- what goes in and comes out ------------------------------------------------------------------------------------


def test_the_answer_comes_back_as_it_was(supervisor):
    answer = {
        "text": "naïve \ud83d \n \x00",
        "numbers": [1, 2**200, -0.0, 1e-320, 0.1],
        "nested": {"a": [True, None, {}]},
        "float64": 2.5,
    }
    outcome = run(
        supervisor, lambda memory: {**answer, "float64": np.float64(2.5), "special": [np.nan, np.inf, -np.inf]}
    )
    assert outcome.answer is not None
    special = outcome.answer.pop("special")
    assert np.isnan(special[0])
    assert special[1:] == [np.inf, -np.inf]
    assert repr(outcome.answer) == repr(answer)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "TypeError: a supervised function must return a dict, but it returned NoneType"),
        ({"x": {"y": [1, np.ones(2)]}}, "TypeError: answer['x']['y'][1] is numpy.ndarray; return str, int, float"),
        ({"n": np.int64(3)}, "TypeError: answer['n'] is numpy.int64; return str"),
        ({"x": {3: 4}}, "TypeError: answer['x'] has the key 3, which is int and not a str"),
        ({"x": 10**5000}, "ValueError: Exceeds the limit"),
    ],
    ids=["none", "array", "numpy-int", "key", "huge-int"],
)
def test_an_answer_that_json_does_not_carry_is_named(supervisor, answer, message):
    outcome = run(supervisor, lambda memory: answer)
    assert outcome.ended == "raised"
    assert outcome.message.startswith(message)


def test_a_payload_that_can_not_be_loaded_is_an_outcome(supervisor):
    outcome = supervisor.run(b"not a pickle", seconds=GENEROUS)
    assert outcome.ended == "raised"
    assert outcome.message.startswith("UnpicklingError")
    outcome = supervisor.run(b"cno_such_module_anywhere\nf\n.", seconds=GENEROUS)
    assert outcome.message.startswith("ModuleNotFoundError: No module named 'no_such_module_anywhere'")


def test_payloads_and_answers_of_megabytes_pass(supervisor):
    text = "ä" * 3_000_000
    outcome = run(supervisor, lambda memory, given: {"given": given}, text)
    assert outcome.answer == {"given": text}


def test_the_record_grows_over_many_megabytes_in_one_run_and_is_whole(supervisor):
    outcome = run(supervisor, record, 40_000, lambda: {}, 100)
    assert_rows(outcome, 40_000, n=100)
    assert_works(supervisor)


def test_a_payload_that_the_child_does_not_read_can_not_outlast_the_limit(supervisor):
    def stop_soon(memory):
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGSTOP)).start()
        time.sleep(GENEROUS)

    outcome = run(supervisor, stop_soon, b"x" * 3_000_000)
    assert outcome.ended == "raised"  # one argument too many; the timer was never started
    outcome = run(supervisor, stop_soon, seconds=LIMIT)
    assert outcome.ended == "timeout"
    assert_works(supervisor)
    os.kill(supervisor.child_pid, signal.SIGSTOP)
    start = time.monotonic()
    outcome = run(supervisor, record, 10, lambda: {}, 3, b"x" * 3_000_000, seconds=LIMIT)
    assert outcome.ended == "timeout"
    assert outcome.rows.fun.size == 0
    assert time.monotonic() - start < GENEROUS / 2
    assert_works(supervisor)


def test_wall_and_processor_time_are_those_of_the_run(supervisor):
    def work(memory, seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass
        time.sleep(0.2)
        return {}

    outcome = run(supervisor, work, 0.2)
    assert 0.19 < outcome.cpu_seconds < 1.0
    assert outcome.seconds >= 0.39
    outcome = run(supervisor, work, 0.0)
    assert outcome.cpu_seconds < 0.1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process reset its peak")
def test_the_peak_of_memory_is_that_of_the_run_and_not_of_an_earlier_one(supervisor):
    def use(memory, size):
        np.ones(size // 8)
        return {"pid": os.getpid()}

    large, small = run(supervisor, use, 200_000_000), run(supervisor, use, 8)
    assert large.answer == small.answer
    assert small.max_rss < 150_000_000 < 200_000_000 < large.max_rss < 350_000_000


def test_no_limit_is_no_limit(supervisor):
    assert run(supervisor, record, 3, seconds=None).ended == "returned"


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_a_limit_that_is_not_positive_is_refused(supervisor, seconds):
    with pytest.raises(SupervisionError, match="must be a positive number of seconds or None, but is"):
        run(supervisor, record, 3, seconds=seconds)
