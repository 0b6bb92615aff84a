"""What derivatives in parallel cost above their calls: ours and the well-kept pools, in one process, taken in turn.

Run them with asv (see README), or print all tables: `python benchmarks/asv_suite/parallel.py` (about three minutes).
Peers that aren't installed are left out. Each peer gets the points of a forward difference from the same loop, so that
what differs is the pool alone; optimagic takes its own. Times are the fastest of many.
"""

import argparse
import concurrent.futures
import contextlib
import importlib
import importlib.metadata
import itertools
import math
import multiprocessing
import os
import platform
import subprocess
import sys
import time
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

import optcore as om
from optcore_bench.derivative_bench.parallel import crossing

#: Each of these starts worker processes, which are kept until the contest is over.
PEERS = ("multiprocessing", "multiprocessing, chunks", "concurrent.futures", "joblib", "mpire", "pebble", "optimagic")


# Functions: at module level, because most peers can't send any others.


def nothing(_):
    """Free."""
    return 0.5


def sleep(seconds, _):
    """Takes a time, but no core."""
    time.sleep(seconds)
    return 0.5


def work(seconds, _):
    """Takes a time, and a core."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
    return 0.5


def log_determinant(matrix, x):
    """Spends its time in BLAS."""
    return np.linalg.slogdet(matrix + x[0] * np.eye(len(matrix)))[1]


class Heavy:
    """A free function that refers to 40 MB."""

    def __init__(self):
        self.data = np.ones(5_000_000)

    def __call__(self, _):
        return self.data[0]


# Who takes the gradient


def ours(function, x, n_workers):
    """A prepared derivative."""
    return om.NumericalDerivative(function, x, options=om.NumdiffOptions(n_cores=n_workers))


def forward(mapper, function, x):
    """A forward difference whose points, the base among them, are mapped in one round."""
    h = 1.5e-8 * np.maximum(np.abs(x), 0.1)
    values = np.array(list(mapper(function, [x, *(x + np.diag(h))])))
    return (values[1:] - values[0]) / h


def _multiprocessing(stack, n_workers):
    pool = stack.enter_context(multiprocessing.get_context("fork").Pool(n_workers))
    return partial(pool.map, chunksize=1)


def _multiprocessing_chunks(stack, n_workers):
    return stack.enter_context(multiprocessing.get_context("fork").Pool(n_workers)).map


def _futures(stack, n_workers):
    context = multiprocessing.get_context("fork")
    return stack.enter_context(concurrent.futures.ProcessPoolExecutor(n_workers, mp_context=context)).map


def _joblib(stack, n_workers):
    joblib = importlib.import_module("joblib")
    parallel = stack.enter_context(joblib.Parallel(n_workers, backend="loky", max_nbytes=None))
    return lambda function, points: parallel(joblib.delayed(function)(x) for x in points)


def _mpire(stack, n_workers):
    pool = stack.enter_context(importlib.import_module("mpire").WorkerPool(n_workers, keep_alive=True))
    # It would take an array for the arguments.
    return lambda function, points: pool.map(function, [(x,) for x in points], chunk_size=1)


def _pebble(stack, n_workers):
    pool = importlib.import_module("pebble").ProcessPool(n_workers, context=multiprocessing.get_context("fork"))
    stack.enter_context(pool)
    return lambda function, points: pool.map(function, points).result()


MAPPERS = {
    "multiprocessing": _multiprocessing,
    "multiprocessing, chunks": _multiprocessing_chunks,
    "concurrent.futures": _futures,
    "joblib": _joblib,
    "mpire": _mpire,
    "pebble": _pebble,
}


def _optimagic(function, n_workers):
    optimagic = importlib.import_module("optimagic")
    return lambda x: optimagic.first_derivative(function, x, n_cores=n_workers, method="forward").derivative


@contextlib.contextmanager
def peer(name, function, n_workers):
    """What takes the gradient of a function by another pool; its workers end with the context.

    Raises:
        ImportError: it isn't installed.
    """
    with contextlib.ExitStack() as stack:
        if name == "optimagic":
            yield _optimagic(function, n_workers)
        else:
            yield partial(forward, MAPPERS[name](stack, n_workers), function)


# Contests


def seconds(call, number=1):
    """Mean time of a few calls."""
    start = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - start) / number


def contest(function, n, n_workers, repeats, names=()):
    """The fastest time of a gradient by us ("optcore") and by each peer that is installed.

    They are taken in turn, so that a drifting machine hits all of them.
    """
    x = np.linspace(0.5, 1.5, n)
    with contextlib.ExitStack() as stack:
        calls = {"optcore": partial(ours(function, x, n_workers), x)}
        for name in names:
            with contextlib.suppress(ImportError):
                calls[name] = partial(stack.enter_context(peer(name, function, n_workers)), x)
        times = {}
        for name, call in calls.items():
            call(), call()
            times[name] = math.inf
        for _ in range(repeats):
            for name, call in calls.items():
                times[name] = min(times[name], seconds(call))
        return times


def one_call(function, repeats=20):
    """The fastest time of a call in this process."""
    x = np.zeros(1)
    return min(seconds(partial(function, x)) for _ in range(repeats))


def rounds(n, n_workers):
    """How many calls one after the other a gradient takes at least."""
    return math.ceil((n + 1) / n_workers)


class _Suite:
    """Benchmarks of parallel derivatives."""

    timeout = 600

    def setup(self, *_):
        self.limits = threadpool_limits(1)

    def teardown(self, *_):
        self.limits.restore_original_limits()


class FreeFunction(_Suite):
    """A gradient by two workers of a function that costs nothing: what is left is the pool's."""

    params = (10, 40)
    param_names = ("n",)

    def track_milliseconds(self, n):
        return 1e3 * contest(nothing, n, 2, 300)["optcore"]

    def track_ratio_to_multiprocessing(self, n):
        times = contest(nothing, n, 2, 100, ["multiprocessing, chunks"])
        return times["optcore"] / times["multiprocessing, chunks"]

    def track_ratio_to_joblib(self, n):
        times = contest(nothing, n, 2, 30, ["joblib"])
        return times["optcore"] / times["joblib"]

    track_milliseconds.unit = "ms"
    track_ratio_to_multiprocessing.unit = track_ratio_to_joblib.unit = "ratio"


class Efficiency(_Suite):
    """Whole rounds of calls that sleep, over the time that the gradient takes: 1 is ideal."""

    params = ((1e-3, 1e-2, 1e-1), (2, 4, 8), (10, 40))
    param_names = ("seconds", "n_workers", "n")

    def measure(self, seconds, n_workers, n, names=()):
        """Efficiency by name."""
        function = partial(sleep, seconds)
        repeats = min(50, max(2, round(0.1 / seconds)))
        ideal = rounds(n, n_workers) * one_call(function, 2 * repeats)
        times = contest(function, n, n_workers, repeats, names)
        return {name: ideal / measured for name, measured in times.items()}

    def track_efficiency(self, seconds, n_workers, n):
        return self.measure(seconds, n_workers, n)["optcore"]

    track_efficiency.unit = "ratio"


class OneRound(_Suite):
    """The eleven points of a gradient at 100 ms, on eleven workers: one round."""

    def measure(self, names=()):
        """Time of a gradient over that of one call, by name."""
        function = partial(sleep, 0.1)
        call = one_call(function, 5)
        return {name: measured / call for name, measured in contest(function, 10, 11, 4, names).items()}

    def track_gradient_over_one_call(self):
        return self.measure()["optcore"]

    track_gradient_over_one_call.unit = "ratio"


class LargeClosure(_Suite):
    """A free function that refers to 40 MB, after the first gradient."""

    def track_milliseconds(self):
        return 1e3 * contest(Heavy(), 10, 2, 50)["optcore"]

    track_milliseconds.unit = "ms"


class Blas(_Suite):
    """A function that spends its time in BLAS, which would use all cores by itself."""

    def setup(self, *_):
        """The threads of this process are left alone: they are the point."""

    def teardown(self, *_):
        """Nothing was changed."""

    def measure(self, names=(), repeats=4):
        """Time of a gradient (n = 19) by two workers over that of one without workers, by name."""
        function = partial(log_determinant, np.random.default_rng(0).normal(size=(500, 500)))
        x = np.linspace(0.5, 1.5, 19)
        serial = ours(function, x, 1)
        alone = min(seconds(partial(serial, x)) for _ in range(repeats))
        times = contest(function, 19, 2, repeats, names)
        # Once more, in case that something else ran at first.
        alone = min(alone, *(seconds(partial(serial, x)) for _ in range(repeats)))
        return {name: measured / alone for name, measured in times.items()}

    def track_ratio_to_serial(self):
        return self.measure()["optcore"]

    track_ratio_to_serial.unit = "ratio"


class BreakEven(_Suite):
    """From which time per call on a gradient by two workers takes less than one without workers."""

    params = (10, 40)
    param_names = ("n",)
    durations = (2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3)

    def measure(self, n, names=(), repeats=15):
        """Time of a gradient over that of one without workers: by name, for each duration."""
        ratios = {}
        for duration in self.durations:
            function = partial(work, duration)
            serial = ours(function, x := np.linspace(0.5, 1.5, n), 1)
            alone = min(seconds(partial(serial, x)) for _ in range(repeats))
            for name, measured in contest(function, n, 2, repeats, names).items():
                ratios.setdefault(name, []).append(measured / alone)
        return ratios

    def crossing(self, ratios):
        """Seconds per call at which the ratio comes down to 1."""
        return crossing(self.durations, 1.0 / np.array(ratios))

    def track_microseconds_per_call(self, n):
        return 1e6 * self.crossing(self.measure(n)["optcore"])

    track_microseconds_per_call.unit = "us"


FIRST = """
import time
import numpy as np
{prepare}
x = {x}
start = time.perf_counter()
{gradient}
print(time.perf_counter() - start, flush=True)
"""
OURS = {"prepare": "import optcore as om", "gradient": "om.first_derivative(fun, x, n_cores=4)"}
SHAPES = {
    "vector": ("def fun(x): return float(x @ x)", "np.linspace(0.5, 1.5, 10)"),
    "tree": ("def fun(x): return x['a'] ** 2 + x['b'] @ x['b']", "{'a': 1.0, 'b': np.linspace(0.5, 1.5, 9)}"),
}
FIRSTS = {
    "optcore": OURS,
    "multiprocessing": {
        "prepare": "import multiprocessing",
        "gradient": "with multiprocessing.get_context('spawn').Pool(4) as pool: "
        "pool.map(np.sum, [x, *(x + np.diag(1e-8 * x))])",
    },
    "joblib": {
        "prepare": "import joblib",
        "gradient": "joblib.Parallel(4)(joblib.delayed(fun)(y) for y in [x, *(x + np.diag(1e-8 * x))])",
    },
    "optimagic": {
        "prepare": "import optimagic",
        "gradient": "optimagic.first_derivative(fun, x, n_cores=4, method='forward')",
    },
}


class FirstGradient(_Suite):
    """The first gradient (n = 10) on four workers in a fresh process, their start included."""

    params = ("vector", "tree")
    param_names = ("params",)

    def measure(self, shape, name="optcore", repeats=5):
        """Seconds; NaN where the peer isn't installed."""
        function, x = SHAPES[shape]
        parts = FIRSTS[name]
        code = FIRST.format(prepare=f"{parts['prepare']}\n{function}", x=x, gradient=parts["gradient"])
        runs = []
        for _ in range(repeats):
            done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
            if "ModuleNotFoundError" in done.stderr:
                return math.nan
            done.check_returncode()
            runs.append(float(done.stdout.split()[-1]))
        return min(runs)

    def track_seconds(self, shape):
        return self.measure(shape)

    track_seconds.unit = "s"


# All tables


def _row(label, figures, form="{:.2f}", note=""):
    print(f"{label:28s}", "  ".join(f"{name} {form.format(figure)}" for name, figure in figures.items()), note)


def _versions():
    names = ("numpy", "joblib", "mpire", "pebble", "optimagic")
    found = []
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return ", ".join([f"python {platform.python_version()}", *found])


def main():
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--peers", nargs="*", default=list(PEERS), help="pools to compare with")
    names = parser.parse_args().peers
    few = [name for name in names if name in ("multiprocessing", "mpire")]
    print(f"{_versions()}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")

    print("A free function, 2 workers, ms a gradient (target 0.6, 1)")
    for n in FreeFunction.params:
        times = contest(nothing, n, 2, 60, names)
        times["optcore"] = min(times["optcore"], contest(nothing, n, 2, 300)["optcore"])
        _row(f"n = {n}", {name: 1e3 * measured for name, measured in times.items()})

    print("\nEfficiency with a function that sleeps (target 0.70, 0.93, 0.97)")
    for duration, n_workers, n in itertools.product(*Efficiency.params):
        if (duration, n_workers) != (1e-3, 8) and (duration, n) != (1e-1, 40):
            # Workers of optimagic, and four of joblib's, take many seconds to start.
            many = [name for name in names if name != "optimagic"]
            some = many if n_workers == 2 and duration < 1e-1 else few
            _row(f"{1e3 * duration:g} ms, W = {n_workers}, n = {n}", Efficiency().measure(duration, n_workers, n, some))
    _row("100 ms, W = 11, n = 10", OneRound().measure(few), note="(times one call; target 1.1)")

    print("\nA closure of 40 MB, ms a gradient after the first (target 1)")
    _row("n = 10, W = 2", {name: 1e3 * t for name, t in contest(Heavy(), 10, 2, 5, few).items()})

    print("\nslogdet of 500 x 500, 2 workers over none (target 0.6)")
    _row("n = 19", Blas().measure(few))

    print("\nFirst gradient, 4 workers, s (target 0.7)")
    for shape in SHAPES:
        some = ["optcore", *(name for name in FIRSTS if name in names and shape == "vector")]
        _row(shape, {name: FirstGradient().measure(shape, name, 5 if name == "optcore" else 2) for name in some})

    print("\nTwo workers over none, by time per call in ms, and where it is 1")
    for n in BreakEven.params:
        benchmark = BreakEven()
        for name, ratios in benchmark.measure(n, few).items():
            cells = {f"{1e3 * t:g}:": ratio for t, ratio in zip(benchmark.durations, ratios, strict=True)}
            _row(f"n = {n}, {name}", cells, note=f"-> {1e3 * benchmark.crossing(ratios):.3f} ms")


if __name__ == "__main__":
    main()
