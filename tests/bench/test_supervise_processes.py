"""The processes behind a Supervisor: kept while they are clean, replaced when not, and never left behind."""

from __future__ import annotations

import gc
import json
import os
import re
import select
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

import optcore_bench.supervise.run
from optcore.history import Recorder
from optcore_bench.supervise import Outcome, SupervisionError, Supervisor
from optcore_bench.supervise.handle import Child
from tests.processes import is_running

cloudpickle.register_pickle_by_value(sys.modules[__name__])

MODES = ("zygote", "plain") if sys.platform == "linux" else ("plain",)
GENEROUS = 60.0

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")


@pytest.fixture(scope="module", params=MODES)
def supervisor(request):
    with Supervisor(preload=("numpy", "optcore"), mode=request.param) as supervisor:
        yield supervisor


@pytest.fixture(params=MODES)
def mode(request):
    return request.param


def run(supervisor: Supervisor, function: Callable, *args, seconds: float | None = GENEROUS) -> Outcome:
    return supervisor.run(cloudpickle.dumps((function, args)), seconds=seconds)


def pid_of(supervisor: Supervisor) -> int:
    outcome = run(supervisor, lambda memory: {"pid": os.getpid()})
    assert outcome.answer is not None, outcome.message
    return outcome.answer["pid"]


def wait_until_gone(*pids: int) -> None:
    end = time.monotonic() + GENEROUS / 4
    while any(map(is_running, pids)):
        assert time.monotonic() < end, f"still there: {[pid for pid in pids if is_running(pid)]}"
        time.sleep(0.01)


# --- one child for many runs, unless they leave something ----------------------------------------------------------


def test_clean_runs_share_a_child_and_so_do_runs_that_raise_ordinary_exceptions(supervisor):
    def fail(memory):
        raise ValueError

    pid = pid_of(supervisor)
    run(supervisor, fail)
    assert pid_of(supervisor) == supervisor.child_pid == pid


def test_a_child_that_is_starting_has_no_number(mode, monkeypatch):
    """A study that was interrupted at that moment killed process 0, which is every process of its own group."""
    seen = []
    started = Child.started
    monkeypatch.setattr(Child, "started", lambda self, pid: (seen.append(made.child_pid), started(self, pid)))
    with Supervisor(mode=mode) as made:
        assert pid_of(made) == made.child_pid
    assert seen == [None]


def leave_a_thread(memory):
    threading.Thread(target=time.sleep, args=(GENEROUS,), daemon=True).start()
    return {"pid": os.getpid()}


def leave_a_process(memory):
    sys.left = subprocess.Popen(["sleep", "600"])
    return {"pid": os.getpid(), "left": sys.left.pid}


def leave_a_process_of_another_session(memory):
    sys.left = subprocess.Popen(["sleep", "600"], start_new_session=True)
    return {"pid": os.getpid(), "left": sys.left.pid}


def leave_another_folder(memory):
    os.chdir("/")
    return {"pid": os.getpid()}


def leave_open_files(memory):
    sys.left = [os.dup(2) for _ in range(200)]
    return {"pid": os.getpid()}


def leave_a_timer(memory):
    signal.setitimer(signal.ITIMER_REAL, GENEROUS)
    return {"pid": os.getpid()}


def leave_much_memory(memory):
    sys.left = np.ones(8_000_000)
    return {"pid": os.getpid()}


def leave_a_large_record(memory):
    recorder = Recorder(10_000, memory)
    for _ in range(300):
        recorder.add(0, 0.0, 0, 0.0, 0.0, bytes(80_000))
    return {"pid": os.getpid()}


def leave_a_copy(memory):
    """Both processes come back from here; only one may answer."""
    original = os.getpid()
    os.fork()
    return {"pid": original, "answers": os.getpid() == original}


LEAVERS = [
    leave_a_thread,
    leave_a_process,
    leave_a_process_of_another_session,
    leave_another_folder,
    leave_open_files,
    leave_a_timer,
    leave_much_memory,
    leave_a_large_record,
    leave_a_copy,
]


@pytest.mark.parametrize("leave", LEAVERS, ids=lambda leave: leave.__name__)
def test_a_child_that_is_not_as_before_is_replaced_and_what_it_left_is_gone(supervisor, leave, monkeypatch):
    monkeypatch.setattr(optcore_bench.supervise.run, "_LEFT_BYTES", 50_000_000)  # as it is, the test would take long
    outcome = run(supervisor, leave)
    assert outcome.answer is not None, outcome.message
    assert outcome.answer.get("answers", True)
    assert supervisor.child_pid is None
    assert pid_of(supervisor) != outcome.answer["pid"]
    assert not is_running(outcome.answer["pid"])
    if sys.platform == "linux" or "session" not in leave.__name__:
        assert not is_running(outcome.answer.get("left", 0))


def test_warning_filters_numpy_errors_and_the_recursion_limit_are_put_back(supervisor):
    def change(memory):
        warnings.simplefilter("error")
        np.seterr(all="raise")
        sys.setrecursionlimit(5000)
        return {"pid": os.getpid()}

    def look(memory):
        warnings.warn("only a warning", stacklevel=1)
        return {"pid": os.getpid(), "inf": float(np.float64(1.0) / np.zeros(1)[0]), "limit": sys.getrecursionlimit()}

    before = run(supervisor, look).answer
    assert run(supervisor, change).ended == "returned"
    assert run(supervisor, look).answer == before
    assert before is not None
    assert before["inf"] == np.inf


def test_a_child_that_dies_between_runs_is_replaced(supervisor):
    pid = pid_of(supervisor)
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    assert pid_of(supervisor) != pid


def test_a_guard_that_dies_between_runs_is_replaced(supervisor):
    outcome = run(supervisor, lambda memory: {"guard": os.getppid(), "child": os.getpid()})
    assert outcome.answer is not None
    os.kill(outcome.answer["guard"], signal.SIGKILL)
    wait_until_gone(*outcome.answer.values())
    assert pid_of(supervisor) != outcome.answer["child"]


# --- what the child is given ---------------------------------------------------------------------------------------


def test_the_child_sees_folder_path_and_environment_of_the_parent(mode, tmp_path, monkeypatch):
    (tmp_path / "module_of_the_user.py").write_text("value = 42\n")
    (tmp_path / "json.py").write_text("raise ImportError('a file of the user shadows the standard library')\n")
    library = tmp_path / "lib"
    library.mkdir()
    (library / "library_of_the_user.py").write_text("value = 43\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path), str(library)])
    monkeypatch.setenv("OF_THE_PARENT", "here")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")

    def look(memory):
        import library_of_the_user
        import module_of_the_user

        names = ("OF_THE_PARENT", "OF_THE_CALLER", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        return {
            "values": [module_of_the_user.value, library_of_the_user.value],
            "folder": os.getcwd(),
            "environment": [os.environ.get(name) for name in names],
            "hash": hash("a"),
            "stdin": sys.stdin.read(),
        }

    with Supervisor(preload=("numpy",), environment={"OF_THE_CALLER": "too", "MKL_NUM_THREADS": "2"}, mode=mode) as it:
        outcome = run(it, look)
    by_python = subprocess.run(
        [sys.executable, "-c", "print(hash('a'))"],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        cwd="/",
        capture_output=True,
        check=True,
    )
    assert outcome.answer == {
        "values": [42, 43],
        "folder": str(tmp_path),
        "environment": ["here", "too", "1", "1", "2"],
        "hash": int(by_python.stdout),
        "stdin": "",
    }


def test_a_script_without_guard_can_send_functions_of_its_own_from_threads_that_end(mode, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import threading, cloudpickle
            from optcore_bench.supervise import Supervisor

            print("main")
            factor = 3

            class Problem:
                def fun(self, x):
                    return factor * x

            problem = Problem()
            supervisor = Supervisor(preload=("numpy",), mode={mode!r})

            def work(number):
                for _ in range(2):
                    payload = cloudpickle.dumps((lambda memory, x: {{"value": problem.fun(x)}}, (number,)))
                    print(supervisor.run(payload, seconds=60).answer["value"])

            for number in (1, 2):
                thread = threading.Thread(target=work, args=(number,))
                thread.start()
                thread.join()
            """
        )
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", script], capture_output=True, text=True, check=False, timeout=GENEROUS
    )
    assert (done.stdout.split(), done.stderr) == (["main", "3", "3", "6", "6"], "")


def test_processes_that_were_started_ahead_are_those_of_the_first_run(mode, monkeypatch):
    monkeypatch.setenv("OF_THE_MOMENT", "of the start")
    with Supervisor(preload=("numpy",), mode=mode) as supervisor:
        supervisor.start()
        monkeypatch.setenv("OF_THE_MOMENT", "of the first run")
        supervisor.start()  # they are started already
        outcome = run(supervisor, lambda memory: {"seen": os.environ["OF_THE_MOMENT"]})
    assert outcome.answer == {"seen": "of the start"}


def test_a_process_that_still_imports_ends_at_once_when_its_supervisor_is_closed(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text(
        f"import os, pathlib, time\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(f'{{os.getpid()}} ')\n"
        f"time.sleep({GENEROUS})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with Supervisor(preload=("slow_to_import",), mode="zygote") as supervisor:
        supervisor.start()
        end = time.monotonic() + GENEROUS
        while not ((tmp_path / "pid").exists() and (said := (tmp_path / "pid").read_text()).endswith(" ")):
            assert time.monotonic() < end
            time.sleep(0.01)
    assert not is_running(int(said))
    assert time.monotonic() < end


def test_what_keeps_processes_from_starting_ahead_is_said_by_the_first_run(mode, monkeypatch):
    with Supervisor(preload=(), mode=mode) as supervisor:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", "/no/such/python")
            supervisor.start()
            with pytest.raises(SupervisionError, match="did not start"):
                run(supervisor, dict)
        assert run(supervisor, lambda memory: {"fine": True}).answer == {"fine": True}


def test_two_supervisors_in_two_threads_do_not_disturb_each_other(mode):
    def odd_one_out(memory, number):
        recorder = Recorder(1, memory)
        for _ in range(number):
            recorder.add(0, float(number), 0, 0.0, 0.0, bytes(8))
        if number % 5 == 4:
            os._exit(number)
        return {"number": number}

    def work(first, outcomes):
        with Supervisor(preload=("numpy", "optcore"), mode=mode) as supervisor:
            outcomes.extend(run(supervisor, odd_one_out, number) for number in range(first, first + 10))

    results: tuple[list[Outcome], ...] = ([], [])
    threads = [threading.Thread(target=work, args=(20 * i, results[i])) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, outcomes in enumerate(results):
        numbers = range(20 * i, 20 * i + 10)
        assert [outcome.rows.fun.tolist() for outcome in outcomes] == [[number] * number for number in numbers]
        assert [outcome.answer for outcome in outcomes] == [
            None if number % 5 == 4 else {"number": number} for number in numbers
        ]


def test_a_module_that_starts_threads_is_not_forked_with(tmp_path, monkeypatch):
    (tmp_path / "starts_a_thread.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    with Supervisor(preload=("starts_a_thread",), mode=MODES[0]) as supervisor:
        pid = pid_of(supervisor)
        assert supervisor.mode == "plain"
        assert pid_of(supervisor) == pid  # the thread was there from the start: it is nothing that a run left


# --- nothing stays -------------------------------------------------------------------------------------------------


def processes_of(supervisor: Supervisor) -> tuple[int, int]:
    outcome = run(supervisor, lambda memory: {"pids": [os.getpid(), os.getppid()]})
    assert outcome.answer is not None
    return tuple(outcome.answer["pids"])


def open_descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("way", ["close", "forget"])
def test_nothing_stays_after_close_or_when_a_supervisor_is_forgotten(mode, way):
    gc.collect()
    before = open_descriptors()
    supervisor = Supervisor(preload=(), mode=mode)
    pids = processes_of(supervisor)
    assert run(supervisor, lambda memory: os._exit(1)).ended == "crashed"
    pids += processes_of(supervisor)
    if way == "close":
        supervisor.close()
        supervisor.close()
    else:
        del supervisor
        gc.collect()
    assert not any(map(is_running, pids))
    assert set(open_descriptors()) <= set(before)  # what an earlier test left may be collected meanwhile


def test_dismissed_processes_end_by_themselves_and_a_run_that_comes_after_all_gets_others(mode):
    with Supervisor(preload=(), mode=mode) as supervisor:
        supervisor.dismiss()  # there are none
        pids = processes_of(supervisor)
        supervisor.dismiss()
        child, guard = pids
        assert os.waitid(os.P_PID, guard, os.WEXITED | os.WNOWAIT) is not None
        assert not is_running(child)
        assert not set(pids) & set(processes_of(supervisor))


def test_an_interrupt_of_the_caller_ends_the_run(mode):
    def interrupt(*_):
        raise KeyboardInterrupt

    def spin(memory, path):
        Path(path).write_text(str(os.getpid()))
        while True:
            pass

    read, write = os.pipe()
    with Supervisor(preload=(), mode=mode) as supervisor:
        pid_of(supervisor)
        old = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                run(supervisor, spin, f"/proc/{os.getpid()}/fd/{write}")
        finally:
            signal.signal(signal.SIGALRM, old)
        assert not is_running(int(os.read(read, 100)))
        assert pid_of(supervisor) > 0
    os.close(read)
    os.close(write)


KILLED_PARENT = """
import json, os, subprocess, sys, time, cloudpickle
from optcore_bench.supervise import Supervisor

def spin(memory, out):
    left = [subprocess.Popen(["sleep", "600"]), subprocess.Popen(["sleep", "600"], start_new_session=True)]
    with open(out, "w") as file:
        json.dump([os.getpid(), os.getppid(), *(process.pid for process in left)], file)
    while True:
        pass

supervisor = Supervisor(preload=(), mode=sys.argv[1])
supervisor.run(cloudpickle.dumps((spin, (f"/proc/{os.getpid()}/fd/1",))), seconds=None)
"""


def test_when_the_parent_is_killed_no_process_stays(mode):
    with subprocess.Popen([sys.executable, "-c", KILLED_PARENT, mode], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert select.select([parent.stdout], [], [], GENEROUS)[0]
        pids = json.loads(os.read(parent.stdout.fileno(), 1000))
        assert all(map(is_running, pids))
        parent.kill()
        parent.wait()
        wait_until_gone(*pids)


def test_a_fork_of_the_parent_starts_processes_of_its_own(mode):
    with Supervisor(preload=(), mode=mode) as supervisor:
        pid = pid_of(supervisor)
        read, write = os.pipe()
        copy = os.fork()
        if copy == 0:
            try:
                other = pid_of(supervisor)
                supervisor.close()
                os.write(write, f"{other} {is_running(other)}".encode())
            finally:
                os._exit(0)
        os.waitpid(copy, 0)
        other, still_running = os.read(read, 100).split()
        assert int(other) != pid
        assert still_running == b"False"
        assert pid_of(supervisor) == pid
        os.close(read)
        os.close(write)


# --- errors --------------------------------------------------------------------------------------------------------


def test_a_closed_supervisor_says_so(mode):
    supervisor = Supervisor(preload=(), mode=mode)
    supervisor.close()
    with pytest.raises(SupervisionError, match="is closed; make a new one"):
        pid_of(supervisor)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import not_there_at_all", r"No module named 'not_there_at_all'"),
        ("import os, sys; print('licence expired', file=sys.stderr, flush=True); os._exit(4)", "licence expired"),
    ],
    ids=["raises", "exits"],
)
def test_a_module_that_can_not_be_preloaded_is_an_error_that_tells_why(mode, tmp_path, monkeypatch, source, message):
    (tmp_path / "broken_on_import.py").write_text(source + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = open_descriptors()
    with (
        Supervisor(preload=("broken_on_import",), mode=mode) as supervisor,
        pytest.raises(SupervisionError, match=message),
    ):
        pid_of(supervisor)
    assert open_descriptors() == before


def test_an_interpreter_that_can_not_be_started_is_an_error_that_tells_why(mode, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    before = open_descriptors()
    with (
        Supervisor(preload=(), mode=mode) as supervisor,
        pytest.raises(SupervisionError, match=r"did not start.*No such file or directory: '/no/such/python'"),
    ):
        pid_of(supervisor)
    assert open_descriptors() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preload": "numpy"}, "preload must be a sequence of module names, but is the string 'numpy'"),
        ({"mode": "thread"}, "mode must be 'zygote', 'plain' or None, but is 'thread'"),
        ({"environment": {"A": 1}}, "environment must map str to str, but holds 'A': 1"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_arguments_that_can_not_be_are_refused(arguments, message):
    with pytest.raises(SupervisionError, match=re.escape(message)):
        Supervisor(**arguments)
