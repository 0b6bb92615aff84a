"""What the analysis of large results costs: seconds, memory, and ratios to the same in plain pandas.

One of them by hand, in `benchmarks/`:
`python -c "from asv_suite.analysis import LargeStore as L; s = L(); s.setup(s.setup_cache()); print(s.track_grid())"`.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import optcore as om
from asv_suite.core import ratio
from optcore.history import HistoryRows
from optcore_bench.costs import VirtualClock, cost_table, hit_counts
from optcore_bench.evaluations import Evaluations
from optcore_bench.profiles import performance_profile
from optcore_bench.store import Results, RunRecord, StoreWriter

N_PROBLEMS, N_SOLVERS = 500, 20
#: Evaluations of the large store: 10^7, as many a run.
LARGE = 10_000_000
#: Seconds of an evaluation that sleeps.
SLEPT = 0.1


def record(problem, solver, size, rng):
    """A made-up run of forward differences on a problem of 2 to 11 variables; half of the runs solve it."""
    n = 2 + problem % 10
    task = np.where(np.arange(size) % (n + 1) == 0, 0, 3).astype(np.uint8)
    batch = (np.arange(size) // (n + 1)).astype(np.int32)
    end = -8 if (problem + solver) % 2 else -3
    fun = 10.0 ** np.linspace(0, end, size) * (1 + 0.1 * rng.random(size))
    start = np.arange(size) * 1e-6
    history = HistoryRows(task, fun, batch, start, start + 5e-7, np.zeros((size, 0)))
    counts = {"n_fun_evals": size, "n_jac_evals": 0, "n_fun_and_jac_evals": 0}
    run = {
        "run_id": f"{problem * N_SOLVERS + solver:016x}",
        "study": "large",
        "suite": "made",
        "problem": f"up{problem}",
        "problem_version": "1",
        "n": n,
        "m": None,
        "algorithm": f"solver{solver}",
        "algorithm_options": {},
        "derivative": "forward",
        "derivative_options": {},
        "start": 1,
        "seed": 0,
        "noise": None,
        "status": "budget_evaluations",
        "message": "",
        "f_start": float(fun[0]),
        "f_opt": 0.0,
        "f_best": float(fun[task == 0].min()),
        "f_final": float(fun[task == 0].min()),
        "derivative_error": None,
        "n_numdiff_evals": int((task == 3).sum()),
        "n_batches": int(batch[-1]) + 1,
        "n_iterations": None,
        "environment": "0123456789ab",
    }
    timings = {"seconds": 1.0, "host": "", "worker": "0", "started_at": 1.7e9}
    return RunRecord(run | counts, timings, history, None, keep_x=False)


def make_store(path, evaluations):
    """A finished store of so many evaluations, those of 500 problems x 20 solvers."""
    rng, size = np.random.default_rng(0), evaluations // (N_PROBLEMS * N_SOLVERS)
    writer = StoreWriter(path, study='name = "large"\nproblems = ["made"]\n', manifest={"environment": {}})
    for problem in range(N_PROBLEMS):
        for solver in range(N_SOLVERS):
            writer.append(record(problem, solver, size, rng))
    writer.finish()
    return str(path)


def pandas_costs(history, runs, tau):
    """The cost table in plain pandas: merge, filter, group."""
    target = runs["f_opt"] + tau * (runs["f_start"] - runs["f_opt"])
    frame = history.merge(pd.DataFrame({"run_id": runs["run_id"].astype(str), "target": target}), on="run_id")
    hit = frame[frame["best"] <= frame["target"]].groupby("run_id", observed=True)["evaluation"].min()
    frame = frame.merge(hit.rename("hit"), left_on="run_id", right_index=True)
    asked = frame[(frame["evaluation"] <= frame["hit"]) & (frame["task"] != "jac")]
    counts = asked.groupby("run_id", observed=True).size()
    table = runs.assign(cost=runs["run_id"].map(counts).fillna(np.inf).astype(float))
    return table.pivot(index="problem", columns="algorithm", values="cost")


_MEASURED = """
import json, resource, sys, time
{setup}
start = time.perf_counter()
{timed}
print(json.dumps([time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def measured(timed, setup=""):
    """Seconds, and the peak of the memory in MiB, of code in an interpreter of its own."""
    code = _MEASURED.format(timed=timed, setup=setup)
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return json.loads(found.stdout)


class Profiles:
    """500 problems x 20 solvers with 50 evaluations a run, once they are read."""

    timeout = 600

    def setup_cache(self):
        """Write the store once."""
        return make_store(Path(tempfile.mkdtemp()) / "store", 50 * N_PROBLEMS * N_SOLVERS)

    def setup(self, store):
        """Read it."""
        self.evaluations = Evaluations.read(Results(store))
        self.history = Results(store).history(columns=["run_id", "evaluation", "task", "best"])

    def track_cost_table_and_profile(self, store):
        """Seconds of both."""
        del store
        start = time.perf_counter()
        performance_profile(cost_table(self.evaluations))
        return time.perf_counter() - start

    def track_cost_table_over_pandas(self, store):
        """Its time over that of the same table in pandas."""
        del store
        theirs = partial(pandas_costs, self.history, self.evaluations.runs, 1e-5)
        pd.testing.assert_frame_equal(
            cost_table(self.evaluations).sort_index().sort_index(axis=1),
            theirs().rename(index=lambda p: f"made/{p}", columns=lambda a: f"{a} [forward]").sort_index(),
            check_names=False,
        )
        # A copy each time: evaluations keep what was found in them.
        return ratio(lambda: cost_table(replace(self.evaluations)), theirs, repeats=3)

    track_cost_table_and_profile.unit = "seconds"
    track_cost_table_over_pandas.unit = "ratio"


class LargeStore:
    """10^7 evaluations in a store, from the files to the numbers; each in an interpreter of its own."""

    timeout = 1800

    def setup_cache(self):
        """Write the store once."""
        return make_store(Path(tempfile.mkdtemp()) / "store", LARGE)

    def setup(self, store):
        """Where it is."""
        self.load = f"from optcore_bench import *; from optcore_bench.profiles import *; r = Results({store!r})"

    def track_cost_table(self, store=None):
        """Seconds to read and to make the table and its profile."""
        del store
        return measured("performance_profile(cost_table(r))", self.load)[0]

    def track_cost_table_memory(self, store=None):
        """Peak of the memory, the interpreter's included."""
        del store
        return measured("performance_profile(cost_table(r))", self.load)[1]

    def track_grid(self, store=None):
        """Seconds of 50 clocks once the evaluations are read."""
        del store
        read = f"{self.load}; from optcore_bench.evaluations import Evaluations; e = Evaluations.read(r)"
        axes = "fun_seconds=[1e-3, .01, .1, 1, 10], jac_seconds=[0, 1], cores=[1, 4, 16, 64, 256]"
        return measured(f"virtual_grid(e, {axes})", read)[0]

    track_cost_table.unit = track_grid.unit = "seconds"
    track_cost_table_memory.unit = "MiB"


def sleeping(params):
    """An evaluation of at least `SLEPT` seconds."""
    time.sleep(SLEPT)
    return float(((params - 1.0) ** 2).sum() + (params**4).sum())


class _Recorded:
    """A run with its clock, as the analysis wants it."""

    def __init__(self, history):
        tables = {"run_id": "r", "evaluation": np.arange(len(history.fun))}
        values = {"task": history.task, "batch": history.batch, "fun": history.fun}
        self.runs = pd.DataFrame(
            [{"run_id": "r", "suite": "", "problem": "p", "n": 7, "algorithm": "a", "derivative": "forward", "start": 1,
              "noise": None, "status": "converged", "f_start": history.fun[0], "f_opt": -1e9}]
        )  # fmt: skip
        self.history = lambda: pd.DataFrame(tables | values)
        self.clock = lambda: pd.DataFrame(tables | {"start": history.start_time, "stop": history.stop_time})


class VirtualClockAgainstSleep:
    """A replay with the time slept and the measured overhead, against the clock of the run itself."""

    params = (1, 2, 4)
    param_names = ("workers",)
    timeout = 300

    def track_relative_error(self, workers):
        """Of the replayed time; 0.1 is what it may be on a quiet machine."""
        options = om.NumdiffOptions(n_cores=workers, batch_evaluator="threads")
        history = om.minimize(sleeping, np.zeros(7), "scipy_lbfgsb", numdiff_options=options).history
        hits = hit_counts(_Recorded(history), clock=True)
        clock = VirtualClock(SLEPT, 0.0, workers, overhead_seconds="measured")
        return abs(hits.spent(clock)[0] / max(history.stop_time) - 1)

    track_relative_error.unit = "relative"
