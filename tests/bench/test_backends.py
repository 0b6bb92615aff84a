"""Workers that are threads: how many work at the same time, and what becomes of errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import joblib
import pytest
from joblib.externals.loky.process_executor import ProcessPoolExecutor, _ExecutorFlags, _ExecutorManagerThread

from optcore.errors import OptcoreError
from optcore_bench import backends
from optcore_bench.backends import open_backend
from tests.processes import PATIENCE


def test_as_many_jobs_are_done_at_the_same_time_as_there_are_workers_and_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = threading.Barrier(3)
    at_work: list[int] = []
    seen: list[int] = []

    def meet(job: Any, _: Any) -> Any:
        at_work.append(job)
        together.wait(PATIENCE)  # nobody passes before there are three
        seen.append(len(at_work))
        at_work.remove(job)
        return job

    monkeypatch.setattr(backends, "perform", meet)
    before = threading.active_count()
    with open_backend("threads", 3) as workers:
        jobs: Any = range(9)
        assert sorted(workers.perform(jobs)) == list(range(9))  # type: ignore[type-var]
        assert threading.active_count() == before
    assert max(seen) == 3


def leave(*_: Any) -> None:
    os._exit(3)


def test_processes_of_loky_that_are_gone_are_a_sentence_that_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "perform_elsewhere", leave)
    jobs: Any = ["a job"]
    words = (
        "a process of the backend 'loky' could not start, or was ended by .*; finished runs are stored, and the same"
    )
    with open_backend("loky", 2) as workers, pytest.raises(OptcoreError, match=words):
        list(workers.perform(jobs))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_error_of_a_job_that_can_not_be_made_comes_after_the_answers_of_those_before(
    n_jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def jobs() -> Iterator[Any]:
        yield from (1, 2, 3)
        raise ValueError("there is no fourth")

    monkeypatch.setattr(backends, "perform", lambda job, _: job)
    answers: list[Any] = []
    with open_backend("threads", n_jobs) as workers, pytest.raises(ValueError, match="no fourth"):
        answers.extend(workers.perform(jobs()))
    assert sorted(answers) == [1, 2, 3]


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_goes_wrong_in_a_worker_is_raised(n_jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(job: Any, _: Any) -> Any:
        if job == 2:
            raise OSError("no more processes")
        return job

    monkeypatch.setattr(backends, "perform", fail)
    jobs: Any = range(10)
    with open_backend("threads", n_jobs) as workers, pytest.raises(OSError, match="no more processes"):
        list(workers.perform(jobs))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_joblib_starts_its_processes_waits_until_they_can_be_ended(number: signal.Signals) -> None:
    """Loky raised RuntimeError: cannot join thread before it is started."""
    events: list[str] = []

    def outputs() -> Iterator[Any]:
        try:
            yield "answer"
        finally:
            events.append("ended")

    def parallel(_: Any) -> Iterator[Any]:
        signal.raise_signal(number)
        events.append("started")
        begun = outputs()
        next(begun)
        return begun

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(backends._collect(parallel, print, []))
        assert signal.getsignal(number) is interrupt
    finally:
        signal.signal(number, before)
    assert events == ["started", "ended"]


@pytest.mark.parametrize("moment", ["a job was dispatched", "a job is dispatched"])
def test_loky_says_nothing_of_a_job_that_is_dispatched_while_its_processes_are_ended(
    moment: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its thread waits at that moment here until it is told to end. It raised KeyError, and logged an error."""
    waits, reached, told = threading.Event(), threading.Event(), threading.Event()
    take, submit, flag = (
        _ExecutorManagerThread.process_result_item,
        ProcessPoolExecutor.submit,
        _ExecutorFlags.flag_as_shutting_down,
    )

    def wait() -> None:
        if waits.is_set():
            reached.set()
            assert told.wait(PATIENCE)

    def take_and_wait(self: Any, item: Any) -> None:
        take(self, item)
        wait()

    def wait_and_submit(self: Any, *arguments: Any) -> Any:
        wait()
        return submit(self, *arguments)

    def flag_and_tell(self: Any, *arguments: Any) -> None:
        flag(self, *arguments)
        told.set()

    if moment == "a job was dispatched":
        monkeypatch.setattr(_ExecutorManagerThread, "process_result_item", take_and_wait)
    else:
        monkeypatch.setattr(ProcessPoolExecutor, "submit", wait_and_submit)

    parallel = joblib.Parallel(2, "loky", return_as="generator_unordered", pre_dispatch="2*n_jobs", batch_size=1)
    jobs: Any = [0.01] * 10_000  # more than are done until the next line but two
    answers = backends._collect(parallel, time.sleep, jobs)
    next(answers)
    monkeypatch.setattr(_ExecutorFlags, "flag_as_shutting_down", flag_and_tell)
    waits.set()
    assert reached.wait(PATIENCE)
    answers.close()
    assert told.is_set()
    assert not caplog.records  # and pytest fails where a thread raised


@pytest.mark.parametrize("thread", ["main", "other"])
def test_processes_of_joblib_s_are_deaf_to_a_terminal_from_the_start(thread: str) -> None:
    """One that was still importing showed a traceback after Ctrl-C. In a process that has started nothing before."""
    code = f"""
import signal, threading, joblib
from optcore_bench.backends import _collect
def ask():
    parallel = joblib.Parallel(2, "loky", return_as="generator_unordered", batch_size=1)
    found.extend(_collect(parallel, signal.pthread_sigmask, [signal.SIG_BLOCK] * 4, []))
if __name__ == "__main__":
    found = []
    asking = threading.Thread(target=ask)
    asking.run() if {thread == "main"} else (asking.start(), asking.join())
    print(*(sorted(map(int, blocked)) for blocked in [*found, signal.pthread_sigmask(signal.SIG_BLOCK, [])]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("] ") == [*["[2, 15"] * 4, "[]\n"]
