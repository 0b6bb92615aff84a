"""What the harness costs: time and memory of runs, bytes of the store, the resumption of a large study.

Run them with asv (see README), or print all tables: `python benchmarks/asv_suite/harness.py`, with `--quick` in about
two minutes. What a busy machine doesn't change much is measured in processor seconds; wall times need a quiet one.
"""

import argparse
import importlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial, update_wrapper
from pathlib import Path

import cloudpickle
import numpy as np
import scipy.optimize
from threadpoolctl import threadpool_limits

from optcore.history import FUN, NUMDIFF, HistoryRows
from optcore.solvers import get_algorithm
from optcore_bench import Study, run_study
from optcore_bench.jobs import known_columns
from optcore_bench.runs import expand
from optcore_bench.store import RunRecord, StoreWriter

SOLVERS = ("scipy_lbfgsb", "scipy_neldermead")

# Where it is set, as in many containers, each process compiles this package anew, which no installed one needs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# Solvers and functions. They travel by value: asv imports this module by an importer that no other process has.

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def at_once(fun, x0):
    """Ends before it has begun; asks for nothing."""
    del fun
    return x0


def busy(fun, x0):
    """Takes 50 ms of a core an evaluation, however often it is interrupted."""
    for _ in range(4):
        fun(x0)
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
    return x0


# Measuring


def processor_seconds():
    """Of this process, and of all its processes that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return [usage.ru_utime + usage.ru_stime for usage in usages]


def measure(study, **options):
    """Wall seconds, and processor seconds of this process and of its processes, that a study takes."""
    with tempfile.TemporaryDirectory() as folder:
        began, before = time.perf_counter(), processor_seconds()
        results = run_study(study, Path(folder) / "store", **options)
        after, seconds = processor_seconds(), time.perf_counter() - began
        if (failed := results.runs.query("status in ('error', 'crashed', 'timeout')")).size:
            raise RuntimeError(f"the runs that are measured fail: {failed['message'].iloc[0]}")
        return np.array([seconds, *np.subtract(after, before)])


class PerRun:
    """What a run costs beyond the solver's own work, by runs that do nothing: many of them less few, over their number.

    Start of the workers and of the store are in both and cancel out; expansion and the final compaction count.
    """

    params = (1, 2)
    param_names = ("n_jobs",)
    timeout = 600
    few, many = 50, 1050

    def study(self, starts):
        """Runs of one problem from so many starts."""
        return Study("runs", "more_wild/rosenbrock", at_once, "none", starts=starts, budget={"max_evaluations": 10})

    def measure(self, n_jobs):
        """Milliseconds a run: wall, processor of this process, processor of the supervised ones."""
        few, many = (measure(self.study(starts), n_jobs=n_jobs) for starts in (self.few, self.many))
        return 1e3 * (many - few) / (self.many - self.few)

    def setup_cache(self):
        """Measured once for both figures."""
        return {n_jobs: self.measure(n_jobs) for n_jobs in self.params}

    def track_wall_milliseconds(self, found, n_jobs):
        return found[n_jobs][0]

    def track_processor_milliseconds(self, found, n_jobs):
        return found[n_jobs][1:].sum()

    setup_cache.timeout = 600
    track_wall_milliseconds.unit = track_processor_milliseconds.unit = "ms"


class Storage:
    """Bytes of an evaluation in a finished store: L-BFGS-B with forward differences on all problems of n = 10."""

    params = (False, True)
    param_names = ("keep_x",)
    timeout = 600

    def measure(self, keep_x, evaluations=1000):
        """Bytes an evaluation, by table."""
        problems = {"suite": "more_wild", "n_min": 10, "n_max": 10}
        budget = {"max_evaluations": evaluations}
        study = Study("bytes", problems, "scipy_lbfgsb", "forward", starts=4, budget=budget, keep_x=keep_x)
        with tempfile.TemporaryDirectory() as folder:
            results = run_study(study, Path(folder) / "store", n_jobs=2)
            rows = len(results.history(columns=["fun"]))
            return {
                table: sum(path.stat().st_size for path in (results.path / table).iterdir()) / rows
                for table in ("runs", "history", "timings", "clock")
            }

    def setup_cache(self):
        """Measured once for both figures."""
        return {keep_x: self.measure(keep_x) for keep_x in self.params}

    def track_deterministic_bytes(self, found, keep_x):
        return found[keep_x]["runs"] + found[keep_x]["history"]

    def track_clock_bytes(self, found, keep_x):
        return found[keep_x]["clock"]

    setup_cache.timeout = 600
    track_deterministic_bytes.unit = track_clock_bytes.unit = "bytes"


WRITE = "import sys, json; from harness import Scale; print(json.dumps(Scale().write(sys.argv[1], int(sys.argv[2]))))"
RESUME = """
import json, resource, sys, time
from harness import Scale
began, used = time.perf_counter(), time.process_time()
from optcore_bench import run_study
results = run_study(Scale.study(int(sys.argv[2])), sys.argv[1])
print(json.dumps({
    "seconds": time.perf_counter() - began,
    "processor_seconds": time.process_time() - used,
    "bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    "finished": results.finished,
}))
"""


class Scale:
    """A study of 100,000 runs of 100 evaluations each: made up, written by the store's own writer, then taken up."""

    runs, evaluations = 100_000, 100
    timeout = 3600

    @staticmethod
    def study(runs):
        """Five problems by five solvers under two strategies, from as many starts as that takes; 50 runs at least."""
        names = ("rosenbrock", "helical_valley", "box_3d", "bard", "kowalik_osborne")
        solvers = [{"name": f"lbfgs-{i}", "algorithm": "scipy_lbfgsb"} for i in range(1, 6)]
        starts = max(1, round(runs / (len(names) * 2 * len(solvers))))
        problems = [f"more_wild/{name}" for name in names]
        return Study("scale", problems, solvers, ["forward", "central"], starts=starts, budget={"max_evaluations": 100})

    def write(self, folder, runs):
        """Write the store; returns wall seconds to append and to finish, and the largest resident set."""
        study = self.study(runs)
        began = time.perf_counter()
        with StoreWriter(folder, study=study.to_toml()) as writer:
            for number, run in enumerate(expand(study)):
                writer.append(made_up(run, number, self.evaluations))
            appended = time.perf_counter()
            writer.finish()
        return (
            appended - began,
            time.perf_counter() - appended,
            1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        )

    def measure(self, runs):
        """What writing takes, and what taking up the finished study takes, in a process of its own."""
        with tempfile.TemporaryDirectory() as folder:
            store = Path(folder) / "store"
            append, finish, largest = in_a_process(WRITE, store, runs)
            size = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
            resumed = in_a_process(RESUME, store, runs)
            assert resumed.pop("finished")
            return {"append_s": append, "finish_s": finish, "writer_bytes": largest, "disk_bytes": size} | resumed

    def setup_cache(self):
        """Made once for all figures."""
        return self.measure(self.runs)

    def track_seconds_to_resume(self, found):
        return found["seconds"]

    def track_bytes_to_resume(self, found):
        return found["bytes"]

    def track_bytes_to_write(self, found):
        return found["writer_bytes"]

    setup_cache.timeout = 3600
    track_seconds_to_resume.unit = "s"
    track_bytes_to_resume.unit = track_bytes_to_write.unit = "bytes"


def made_up(run, number, evaluations):
    """A record of a run as forward differences would leave it."""
    n, random = run.problem.n, np.random.default_rng(number)
    place = np.arange(evaluations) % (n + 1)
    task = np.where(place == 0, FUN, NUMDIFF).astype(np.uint8)
    base = np.repeat(random.normal(size=(-(-evaluations // (n + 1)), n)), n + 1, axis=0)[:evaluations]
    fun = np.exp(-np.arange(evaluations) / 30.0) * random.uniform(0.9, 1.1, evaluations)
    start = 1e5 + np.cumsum(random.uniform(1e-6, 1e-5, evaluations))
    batch = (np.arange(evaluations) // (n + 1)).astype(np.int32)
    x = base + 1e-8 * (place[:, None] == 1 + np.arange(n))
    row = known_columns(run) | {
        "status": "budget_evaluations",
        "message": "made up",
        "f_best": float(fun.min()),
        "f_final": float(fun[-1]),
        "derivative_error": 1e-8,
        "n_iterations": 9,
        "n_fun_evals": evaluations,
        "n_jac_evals": 0,
        "n_fun_and_jac_evals": 0,
        "n_numdiff_evals": int((place > 0).sum()),
        "n_batches": int(batch[-1]) + 1,
        "environment": "0123456789ab",
    }
    timings = {"seconds": 0.01, "cpu_seconds": 0.01, "max_rss": 10**8, "host": "here", "worker": "0"}
    return RunRecord(row, timings | {"started_at": 1.7e9 + number}, HistoryRows(task, fun, batch, start, start, x))


def in_a_process(code, *arguments):
    """What a process of its own prints, as JSON."""
    paths = [str(Path(__file__).parent), *filter(None, sys.path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout)


class TwoWorkers:
    """Runs that keep a core busy for 0.2 s each: many of them less few.

    What a study takes once, such as its start, the expansion and the final compaction, is in both and cancels out: what
    is left is what supervision takes for as long as runs are under way.
    """

    timeout = 600
    few, many = 10, 40

    def study(self, starts):
        """Runs of one problem from so many starts."""
        return Study("busy", "more_wild/rosenbrock", busy, "none", starts=starts, budget={"max_evaluations": 10})

    def measure(self, many=many):
        """Speed-up by two workers, and the share of a core that the supervising process takes with them."""
        one, two = (
            np.subtract(*(measure(self.study(starts), n_jobs=n_jobs) for starts in (many, self.few)))
            for n_jobs in (1, 2)
        )
        return {"speed-up": one[0] / two[0], "parent": two[1] / two[0], "parent_of_work": two[1] / two[2]}

    def setup_cache(self):
        """Measured once for both figures."""
        return self.measure()

    def track_speed_up(self, found):
        return found["speed-up"]

    def track_share_of_the_supervising_process(self, found):
        return found["parent"]

    setup_cache.timeout = 600
    track_speed_up.unit = track_share_of_the_supervising_process.unit = "ratio"


class MoreWild:
    """The suite by both of `SOLVERS` with forward differences, 1000 evaluations a run.

    Ours stores every evaluation and supervises every run, in one worker; optimagic and scipy itself keep nothing and
    have no harness: a loop in this process, each of whose runs is ended at the same number of evaluations. All have the
    strictest tolerances, so that the budget ends most runs. Our start is in the figures. scipy's own ratio to optimagic
    is the time that solvers and functions take, below which ours falls only where its differences are faster.
    """

    params = SOLVERS
    param_names = ("solver",)
    timeout = 1800

    def ours(self, solver, evaluations, **choice):
        """Wall and processor seconds, and evaluations made."""
        problems = {"suite": "more_wild"} | choice
        study = Study("ours", problems, solver, "forward", budget={"max_evaluations": evaluations})
        with tempfile.TemporaryDirectory() as folder:
            began, before = time.perf_counter(), sum(processor_seconds())
            results = run_study(study, Path(folder) / "store")
            took = [time.perf_counter() - began, sum(processor_seconds()) - before]
            return np.array([*took, results.runs["n_fun_evals"].sum()])

    def optimagics(self, solver, evaluations, **choice):
        """The same of optimagic.

        Raises:
            ImportError: it isn't installed.
        """
        minimize = importlib.import_module("optimagic").minimize
        options = strictest(solver)  # its names of options are ours
        return in_a_loop(partial(minimize, algorithm=solver, algo_options=options), evaluations, **choice)

    def scipys(self, solver, evaluations, **choice):
        """The same of scipy."""
        algorithm = get_algorithm(solver)
        options = {algorithm.library_names[name]: value for name, value in strictest(solver).items()}
        return in_a_loop(
            partial(scipy.optimize.minimize, method=algorithm.method, options=options), evaluations, **choice
        )

    def measure(self, solver, evaluations=1000, **choice):
        """Our times over optimagic's: wall, processor, processor of an evaluation; and scipy's."""
        with threadpool_limits(1), np.errstate(all="ignore"):
            ours, peers, bare = (
                library(solver, evaluations, **choice) for library in (self.ours, self.optimagics, self.scipys)
            )
        return ratios(ours, peers) | {
            "scipy's wall": bare[0] / peers[0],
            "scipy's evaluations": bare[2] / peers[2],
        }

    def setup_cache(self):
        """Measured once for both figures."""
        try:
            return {solver: self.measure(solver) for solver in self.params}
        except ImportError:
            return {solver: {"wall": float("nan"), "scipy's wall": float("nan")} for solver in self.params}

    def track_ratio_to_optimagic(self, found, solver):
        return found[solver]["wall"]

    def track_ratio_of_scipy_to_optimagic(self, found, solver):
        return found[solver]["scipy's wall"]

    setup_cache.timeout = 1800
    track_ratio_to_optimagic.unit = track_ratio_of_scipy_to_optimagic.unit = "ratio"


class RunBenchmark:
    """The same suite and solvers by optimagic's own harness, `run_benchmark`, which keeps all in memory, and by ours.

    Both with what they take for 1000 evaluations: ours counts calls for differences among them, optimagic doesn't, and
    some of its runs end by themselves before. All calls are counted in both. The functions are each library's own.
    """

    params = SOLVERS
    param_names = ("solver",)
    timeout = 1800

    def optimagics(self, solver, evaluations, n_max):
        """Wall and processor seconds of optimagic, and calls made.

        Raises:
            ImportError: it isn't installed.
        """
        optimagic, counted = importlib.import_module("optimagic"), []
        problems = optimagic.get_benchmark_problems("more_wild")
        problems = {name: problem for name, problem in problems.items() if problem["inputs"]["params"].size <= n_max}
        for problem in problems.values():
            counted.append(Counted(problem["inputs"]["fun"]))
            problem["inputs"]["fun"] = counted[-1]
        began, before = time.perf_counter(), sum(processor_seconds())
        optimagic.run_benchmark(problems, [solver], n_cores=1, max_criterion_evaluations=evaluations)
        took = [time.perf_counter() - began, sum(processor_seconds()) - before]
        return np.array([*took, sum(function.calls for function in counted)])

    def measure(self, solver, evaluations=1000, n_max=100):
        """Our times over optimagic's: wall, processor, processor of an evaluation."""
        with threadpool_limits(1), np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours = MoreWild().ours(solver, evaluations, n_max=n_max)
            peers = self.optimagics(solver, evaluations, n_max)
        return ratios(ours, peers)

    def setup_cache(self):
        """Measured once."""
        try:
            return {solver: self.measure(solver) for solver in self.params}
        except ImportError:
            return {solver: {"wall": float("nan")} for solver in self.params}

    def track_ratio_to_optimagic(self, found, solver):
        return found[solver]["wall"]

    setup_cache.timeout = 1800
    track_ratio_to_optimagic.unit = "ratio"


def ratios(ours, peers):
    """Our figures over a peer's, of wall and processor seconds, and evaluations made."""
    return {
        "wall": ours[0] / peers[0],
        "processor": ours[1] / peers[1],
        "processor of an evaluation": ours[1] / ours[2] / (peers[1] / peers[2]),
        "evaluations": ours[2] / peers[2],
    }


def strictest(solver):
    """The strictest tolerances of an algorithm, and no limits of its own."""
    return {**get_algorithm(solver).tight, "stopping_maxfun": 10**6, "stopping_maxiter": 10**6}


def in_a_loop(minimize, evaluations, **choice):
    """What a library takes for the suite: wall and processor seconds, and evaluations made."""
    problems = Study("peer", {"suite": "more_wild"} | choice, SOLVERS[0], "forward").resolve_problems()
    began, before, made = time.perf_counter(), sum(processor_seconds()), 0
    for problem in problems:
        counted = Counted(problem.fun, evaluations)
        try:
            minimize(counted, problem.start)
        except BudgetSpentError:
            pass
        except Exception:  # noqa: BLE001  such as a problem that overflows; the time until then counts
            pass
        made += counted.calls
    return np.array([time.perf_counter() - began, sum(processor_seconds()) - before, made])


class BudgetSpentError(Exception):
    """Ends a run of a library that counts otherwise."""


class Counted:
    """A function that may be called so many times."""

    def __init__(self, function, most=math.inf):
        update_wrapper(self, function)  # with optimagic's marks
        self.function, self.most, self.calls = function, most, 0

    def __call__(self, x):
        if self.calls >= self.most:
            raise BudgetSpentError
        self.calls += 1
        return self.function(x)


# All tables


def main():
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="smaller studies")
    quick = parser.parse_args().quick
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")

    print("Milliseconds a run (target 5, wall)")
    for n_jobs in PerRun.params:
        wall, parent, children = PerRun().measure(n_jobs)
        print(
            f"  n_jobs = {n_jobs}: wall {wall:.2f}; processor {parent:.2f} here, {children:.2f} in supervised processes"
        )

    print("\nBytes an evaluation, n = 10, forward differences (target 12, 40 with x; clock 8)")
    for keep_x in Storage.params:
        found = Storage().measure(keep_x)
        tables = ", ".join(f"{table} {size:.2f}" for table, size in found.items())
        print(f"  x {'kept' if keep_x else 'left out'}: {found['runs'] + found['history']:.2f} ({tables})")

    runs = Scale.runs // (10 if quick else 1)
    print(f"\n{runs:,} runs of {Scale.evaluations} evaluations (target for 100,000: 1 GB, 10 s to resume)")
    for name, figure in Scale().measure(runs).items():
        print(f"  {name:18s} {figure / 1e6:.1f} MB" if name.endswith("bytes") else f"  {name:18s} {figure:.2f} s")

    print("\nA study that keeps cores busy (target 1.6, and 0.03 for the supervising process)")
    print(
        "  " + ", ".join(f"{name} {figure:.3f}" for name, figure in TwoWorkers().measure(20 if quick else 40).items())
    )

    for suite, peer in (
        (MoreWild(), "optimagic with nothing stored (target 0.5)"),
        (RunBenchmark(), "optimagic's run_benchmark, which keeps all in memory"),
    ):
        print(f"\nmore_wild, forward differences, stored, over {peer}")
        for solver in SOLVERS:
            found = suite.measure(solver, 1000, **({"n_max": 3} if quick else {}))
            print(f"  {solver}: " + ", ".join(f"{name} {figure:.2f}" for name, figure in found.items()))


if __name__ == "__main__":
    main()
