"""Optimizations whose derivatives are taken in parallel: the same as serial ones, wherever and however they run."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest

import optcore as om
from optcore.numdiff.pool import Pool, Shipment, why_one_core
from tests.core.counting import ROSENBROCK_START, counts_of, rosenbrock, rosenbrock_residuals, rows_of

TWO = om.NumdiffOptions(n_cores=2)
SCALAR = ("scipy_lbfgsb", "scipy_bfgs", "scipy_slsqp", "scipy_trust_constr", "scipy_conjugate_gradient")
LEAST_SQUARES = ("scipy_ls_trf", "scipy_ls_lm", "scipy_ls_dogbox")


def chain(p):
    """Rosenbrock's function of a tree."""
    x = np.array([p["a"], *p["b"]])
    return float((100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum())


@om.mark.least_squares
def residuals(x):
    return rosenbrock_residuals(x)


PROBLEMS = {
    "vector": (rosenbrock, ROSENBROCK_START, SCALAR),
    "tree": (chain, {"a": -1.2, "b": np.array([1.0, -0.5, 0.8])}, SCALAR),
    "residuals": (residuals, ROSENBROCK_START, LEAST_SQUARES),
}


@pytest.mark.parametrize(
    ("problem", "algorithm"), [(name, algorithm) for name, (_, _, known) in PROBLEMS.items() for algorithm in known]
)
def test_iterates_are_bit_for_bit_those_of_a_serial_optimization(problem, algorithm):
    fun, start, _ = PROBLEMS[problem]
    one, two = (
        om.minimize(fun, start, algorithm, numdiff_options=options, budget=om.Budget(max_evaluations=150))
        for options in (None, TWO)
    )
    for name in ("task", "fun", "batch", "flat_params"):
        np.testing.assert_array_equal(getattr(one.history, name), getattr(two.history, name))
    assert (one.fun, one.status, one.message) == (two.fun, two.status, two.message)
    assert counts_of(one) == counts_of(two) == rows_of(two)
    assert two.n_numdiff_evals > 2


# Backends


def many(points):
    """Rosenbrock's function of each row."""
    return np.array([rosenbrock(x) for x in points])


@pytest.fixture
def backend_options(request):
    """Options for a backend by its name, as a user would write them."""
    kind, _, active = request.param.partition(" of ")
    if kind == "joblib":
        with joblib.parallel_config(backend=active):
            yield om.NumdiffOptions(n_cores=2, batch_evaluator="joblib")
    elif active == "concurrent.futures":
        with concurrent.futures.ThreadPoolExecutor(2) as executor:
            yield om.NumdiffOptions(batch_evaluator=executor.map)
    elif active == "processes":
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
            yield om.NumdiffOptions(batch_evaluator=executor.map)
    elif active == "multiprocessing":
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            yield om.NumdiffOptions(batch_evaluator=pool.map)
    else:
        yield om.NumdiffOptions(n_cores=2, batch_evaluator=kind)


@pytest.mark.parametrize(
    "backend_options",
    [
        "processes",
        "threads",
        "serial",
        "batch",
        "joblib of threading",
        "joblib of loky",
        "map of concurrent.futures",
        "map of processes",
        "map of multiprocessing",
    ],
    indirect=True,
)
def test_every_backend_gives_the_derivative_and_the_counts_of_a_loop(backend_options):
    fun = many if backend_options.batch_evaluator == "batch" else rosenbrock
    alone = om.first_derivative(rosenbrock, ROSENBROCK_START)
    ours = om.first_derivative(fun, ROSENBROCK_START, options=backend_options)
    np.testing.assert_array_equal(ours.derivative, alone.derivative)
    assert ours.n_evaluations == alone.n_evaluations == {"base": 1, "differences": 2}
    assert ours.n_rounds == 1
    budget = om.Budget(max_evaluations=40)
    one, two = (
        om.minimize(f, ROSENBROCK_START, "scipy_lbfgsb", numdiff_options=options, budget=budget)
        for f, options in ((rosenbrock, None), (fun, backend_options))
    )
    assert counts_of(one) == counts_of(two) == rows_of(two)
    np.testing.assert_array_equal(one.history.flat_params, two.history.flat_params)


def test_a_function_vmapped_by_jax_takes_a_batch():
    jax = pytest.importorskip("jax")

    def fun(x):
        return jax.numpy.sum((x - jax.numpy.arange(3.0)) ** 2)

    with jax.enable_x64(True):
        options = om.NumdiffOptions(batch_evaluator="batch", method="central")
        result = om.first_derivative(jax.jit(jax.vmap(fun)), np.ones(3), options=options)
        np.testing.assert_allclose(result.derivative, jax.grad(fun)(np.ones(3)), atol=1e-9)
    assert result.n_evaluations["differences"] == 6


# Inside workers


def message_of_a_nested_optimization(_=None):
    return om.minimize(
        rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", numdiff_options=om.NumdiffOptions(n_cores=4)
    ).message


def in_our_workers():
    with Pool(1) as pool:
        (outcome,) = pool.evaluate(message_of_a_nested_optimization, np.zeros((1, 1)))
    return outcome.value


def in_joblib(backend):
    with joblib.parallel_config(backend=backend):
        return joblib.Parallel(2)(joblib.delayed(message_of_a_nested_optimization)(i) for i in range(2))[0]


def in_multiprocessing():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(message_of_a_nested_optimization)


def in_futures():
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        return executor.submit(message_of_a_nested_optimization).result()


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (in_our_workers, "a worker process of a parallel derivative"),
        (partial(in_joblib, "loky"), "the process LokyProcess-"),
        (in_multiprocessing, "the process SpawnPoolWorker-"),
        (in_futures, "the process SpawnProcess-"),
    ],
    ids=["ours", "joblib", "multiprocessing", "concurrent.futures"],
)
def test_inside_a_worker_n_cores_counts_as_one_and_the_message_says_so(run, name):
    message = run()
    alone = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb").message
    assert message.startswith(f"{alone}; n_cores=4 counts as 1, because this is {name}")
    assert message.endswith("and its siblings use the other cores")


def test_where_n_cores_means_nothing_nothing_is_said_of_it(monkeypatch):
    monkeypatch.setenv("OPTCORE_WORKER", "1")
    for evaluator, says in (("serial", False), (map, False), ("threads", True)):
        options = om.NumdiffOptions(n_cores=4, batch_evaluator=evaluator)
        message = om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", numdiff_options=options).message
        assert ("n_cores=4 counts as 1" in message) is says


def test_outside_of_workers_and_for_one_core_there_is_nothing_to_say():
    assert why_one_core(4) is None
    assert "n_cores" not in om.minimize(rosenbrock, ROSENBROCK_START, "scipy_lbfgsb", numdiff_options=TWO).message
    with Pool(1) as pool:
        (outcome,) = pool.evaluate(lambda x: why_one_core(1), np.zeros((1, 1)))
    assert outcome.value is None


# Functions that start processes


def by_subprocess(x):
    code = f"print({x[0]!r} ** 2 + {x[1]!r} ** 2)".replace("np.float64", "float")
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


def by_multiprocessing(method, x):
    with multiprocessing.get_context(method).Pool(2) as pool:
        return float(sum(pool.map(abs, x * np.abs(x))))


def by_joblib(x):
    with joblib.parallel_config(backend="loky"):
        return float(sum(joblib.Parallel(2)(joblib.delayed(abs)(y) for y in x**2)))


@pytest.mark.parametrize(
    "fun",
    [by_subprocess, partial(by_multiprocessing, "fork"), partial(by_multiprocessing, "spawn"), by_joblib],
    ids=["subprocess", "fork", "spawn", "joblib"],
)
def test_functions_may_start_processes(fun):
    result = om.first_derivative(fun, np.array([1.0, 2.0]), method="central", n_cores=2)
    np.testing.assert_allclose(result.derivative, [2.0, 4.0], rtol=1e-6)


def test_the_precision_that_a_program_gives_jax_holds_in_workers_too():
    jax = pytest.importorskip("jax")

    def name_of_type(x):
        return str(jax.numpy.asarray(x).dtype)

    with Pool(1) as pool:
        for is_double in (False, True, False):
            with jax.enable_x64(is_double):
                (outcome,) = pool.evaluate(Shipment(name_of_type), np.ones((1, 1)))
            assert outcome.value == ("float64" if is_double else "float32")


# What is left behind


PROGRAM = """
import os, sys, time
import numpy as np
{imports}
import optcore as om

def fun(x):
    with open({log!r}, "a") as file:
        file.write(f"{{os.getpid()}}\\n")
    {body}
    return float({square})

def main():
    result = om.minimize(fun, np.array([1.0, 2.0]), "scipy_lbfgsb", numdiff_options=om.NumdiffOptions(n_cores=2))
    print(np.abs(result.params).max() < 1e-3)

{end}
"""


def program(log, imports="", body="", square="x @ x", end="main()"):
    return PROGRAM.format(log=str(log), imports=imports, body=body, square=square, end=end)


def exists(pid):
    return Path(f"/proc/{pid}").exists()


def wait_until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


ENDS = {
    "normal end": ({}, 0),
    "exception": ({"end": "main(); raise SystemExit(7)"}, 7),
    "exception in the function": ({"body": "if x[0] < 1: raise ValueError('no')"}, 1),
    "os._exit": ({"end": "main(); os._exit(5)"}, 5),
    "in a thread": ({"end": "import threading; t = threading.Thread(target=main); t.start(); t.join()"}, 0),
    "closed by the user": (
        {"end": "main(); from optcore.numdiff.pool import shared_pool; shared_pool(2).close()"},
        0,
    ),
}


@pytest.mark.parametrize("how", ENDS)
def test_a_program_leaves_no_process_behind_however_it_ends(tmp_path, how):
    parts, code = ENDS[how]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program(tmp_path / "log", **parts)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    workers = {int(pid) for pid in (tmp_path / "log").read_text().split()}
    assert len(workers) == 2
    assert wait_until(lambda: not any(map(exists, workers)))


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGHUP])  # test_pool has SIGTERM and SIGKILL
def test_a_program_that_is_stopped_by_a_signal_leaves_no_process_behind(tmp_path, signal_):
    log = tmp_path / "log"
    running = subprocess.Popen(
        [sys.executable, "-c", program(log, body="time.sleep(60)")], stderr=subprocess.PIPE, text=True
    )
    try:
        assert wait_until(lambda: log.exists() and len(log.read_text().split()) == 2, 30)
        running.send_signal(signal_)
        _, errors = running.communicate(timeout=10)
    finally:
        running.kill()
    assert running.returncode == -signal_
    assert ("KeyboardInterrupt" in errors) == (signal_ == signal.SIGINT)
    workers = {int(pid) for pid in log.read_text().split()}
    assert len(workers) == 2
    assert wait_until(lambda: not any(map(exists, workers)))


def test_a_parent_has_no_zombies_while_it_goes_on(tmp_path):
    with Pool(2) as pool:
        for _ in range(3):
            assert len([o for o in pool.evaluate(lambda x: os._exit(3) if x[0] else 1.0, np.eye(2)) if o.error]) == 1
        list(pool.evaluate(lambda x: time.sleep(60), np.ones((1, 1)), timeout=0.2))
        pids = [worker.process.pid for team in pool._teams for worker in team.workers]
    assert not any(map(exists, pids))
    children = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "stat="], capture_output=True, text=True, check=True
    ).stdout
    assert "Z" not in children


WITH_JAX = {
    "imports": "import jax\njax.config.update('jax_enable_x64', True)\nweights = jax.numpy.ones(2)",
    "square": "jax.numpy.sum(weights * x**2)",
}


@pytest.mark.parametrize(
    ("how", "parts"),
    [("file", {}), ("-c", {}), ("stdin", {}), ("file", WITH_JAX)],
    ids=["file", "-c", "stdin", "file with jax"],
)
def test_functions_of_a_program_need_no_main_guard_and_may_use_jax(tmp_path, how, parts):
    """With warnings as errors: JAX, which has threads, warns of every fork."""
    if "imports" in parts:
        pytest.importorskip("jax")
        parts = parts | {"end": "jax.numpy.ones(2).block_until_ready()\nmain()"}
    text = program(tmp_path / "log", **parts)
    (tmp_path / "script.py").write_text(text)
    arguments = {"file": [str(tmp_path / "script.py")], "-c": ["-c", text], "stdin": ["-"]}[how]
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        input=text if how == "stdin" else "",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "True", done.stderr
    assert done.stderr == ""
    assert len(set((tmp_path / "log").read_text().split())) == 2


def test_functions_of_a_notebook_travel(tmp_path):
    """As IPython runs cells: compiled from text under names of their own, in a module __main__ without a file."""
    code = textwrap.dedent(
        """
        import sys, types
        main = types.ModuleType("__main__")
        sys.modules["__main__"] = main
        cells = [
            "import numpy as np\\nimport optcore as om\\nscale = 3.0\\ndef helper(x): return scale * float(x @ x)",
            "fun = lambda x: helper(x)",
            "print(om.first_derivative(fun, np.ones(2), n_cores=2).derivative.round(4).tolist())",
            "scale = 5.0\\nprint(om.first_derivative(fun, np.ones(2), n_cores=2).derivative.round(4).tolist())",
        ]
        for i, cell in enumerate(cells):
            exec(compile(cell, f"<ipython-input-{i}>", "exec"), main.__dict__)
        """
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["[6.0, 6.0]", "[10.0, 10.0]"], done.stderr


# What is said of failures


def test_an_exception_in_a_worker_shows_the_line_of_the_function_that_raised_it():
    def inner(x):
        raise ZeroDivisionError("by way of example")

    def fun(x):
        return inner(x) if x[0] > 1 else float(x @ x)

    with pytest.raises(om.UserFunctionError, match="ZeroDivisionError: by way of example") as info:
        om.minimize(fun, np.ones(2), "scipy_lbfgsb", numdiff_options=TWO)
    (note,) = info.value.__cause__.__notes__
    assert note.startswith("Traceback in the worker process:\nTraceback (most recent call last):")
    assert 'raise ZeroDivisionError("by way of example")' in note
    assert f'File "{__file__}"' in note


@pytest.mark.parametrize("params", [np.ones(2), {"a": 1.0, "b": 2.0}], ids=["vector", "tree"])
def test_a_function_that_cannot_travel_is_named_with_the_variable_that_is_the_reason(params):
    lock = threading.Lock()

    def locks(p):
        with lock:
            return 0.0

    with pytest.raises(om.InvalidInputError, match=r"locks' can't be sent .*its variable 'lock' is a _thread\.lock"):
        om.first_derivative(locks, params, n_cores=2)


@pytest.mark.parametrize("answer", ["text", np.ones((2, 2)), None], ids=str)
def test_answers_that_do_not_fit_are_errors_as_in_a_loop(answer):
    words = []
    for options in (None, TWO):
        with pytest.raises((om.InvalidFunctionError, om.UserFunctionError)) as info:
            om.minimize(lambda x: answer, np.ones(2), "scipy_lbfgsb", numdiff_options=options)
        words.append(str(info.value))
    assert words[0] == words[1]
