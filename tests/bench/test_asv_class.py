"""The class for asv suites: its cells and numbers, against the tables of the analysis."""

from __future__ import annotations

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import optcore as om
from optcore.environment import blas_threads
from optcore_bench import accuracy_table, cost_table, run_study
from optcore_bench.asv import SolverSuite


class Small(SolverSuite):
    problems: ClassVar = ["more_wild/rosenbrock", "more_wild/bard", "more_wild/meyer"]
    algorithms: ClassVar = ({"name": "lb", "algorithm": "scipy_lbfgsb"}, "scipy_neldermead")  # type: ignore[assignment]
    derivatives: ClassVar = ("forward", "none")
    budget: ClassVar = om.Budget(max_evaluations=150)


def test_the_numbers_are_those_of_the_tables(tmp_path: Path) -> None:
    assert Small.params == (("lb", "scipy_neldermead"), ("forward", "none"))
    suite = Small()
    found = suite.setup_cache()
    results = run_study(Small.study(), store=tmp_path / "store")
    costs, gaps = cost_table(results, 1e-5), accuracy_table(results)
    assert set(found) == set(costs.columns) == {"lb [forward]", "scipy_neldermead [none]"}
    for algorithm, derivative in (("lb", "forward"), ("scipy_neldermead", "none")):
        solver = f"{algorithm} [{derivative}]"
        assert suite.track_solved(found, algorithm, derivative) == np.isfinite(costs[solver]).sum()
        digits = suite.track_digits(found, algorithm, derivative)
        assert digits == pytest.approx(min(-np.log10(gaps[solver].median()), 16))
        runs = results.runs[results.runs["algorithm"] == algorithm].query("status != 'not_applicable'")
        spent = dict(zip("more_wild/" + runs["problem"], runs["n_fun_evals"], strict=True))
        listed = [cost if np.isfinite(cost) else spent[row] for row, cost in costs[solver].items()]
        mean = suite.track_evaluations_to_solve(found, algorithm, derivative)
        assert mean == pytest.approx(float(np.prod(listed)) ** (1 / 3))


class Partly(SolverSuite):
    problems: ClassVar = ["mgh/broyden_tridiagonal_n10", "more_wild/rosenbrock"]  # the second has no sparsity
    algorithms: ClassVar = "scipy_ls_trf"  # type: ignore[assignment]
    derivatives: ClassVar = "sparse"
    budget: ClassVar = om.Budget(max_evaluations=150)


def test_what_cannot_be_run_is_in_no_number() -> None:
    whole, without = Partly().measure(), type("Without", (Partly,), {"problems": Partly.problems[:1]})().measure()
    assert whole == without
    assert type("Nothing", (Partly,), {"problems": Partly.problems[1:]})().measure() == {}


OWN = """
import scipy.optimize
from optcore_bench.asv import SolverSuite

def bfgs(fun, x0):
    return scipy.optimize.minimize(fun, x0, method="BFGS").x

class Own(SolverSuite):
    problems = "more_wild/rosenbrock"
    algorithms = {"name": "own", "algorithm": bfgs}
    derivatives = "none"
"""


def test_a_solver_in_a_module_that_only_asv_can_import_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its processes did not find the module."""
    (tmp_path / "own.py").write_text(OWN)
    spec = importlib.util.spec_from_file_location("suite_of_asv.own", tmp_path / "own.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert module.Own().setup_cache()["own [none]"]["solved"] == 1


def test_a_pair_that_cannot_be_is_skipped_as_asv_wants_it_and_the_rest_is_timed() -> None:
    suite = Small()
    with pytest.raises(NotImplementedError, match="lb doesn't run under none"):
        suite.setup({"lb [forward]": {}}, "lb", "none")
    suite.teardown({}, "lb", "none")
    before = blas_threads()
    suite.setup({"lb [forward]": {}}, "lb", "forward")
    assert blas_threads() == 1
    assert len(suite._tasks) == 3
    suite.time_all_problems({}, "lb", "forward")
    suite.teardown({}, "lb", "forward")
    assert blas_threads() == before


FRESH = """
from threadpoolctl import threadpool_info
from tests.bench.test_asv_class import Small
suite = Small()
suite.setup({"lb [forward]": {}}, "lb", "forward")
suite.time_all_problems({}, "lb", "forward")
print({library["num_threads"] for library in threadpool_info()})
"""


def test_libraries_that_a_solver_would_load_while_it_is_timed_have_one_thread_too() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FRESH],
        env={name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "{1}\n", done.stderr


def test_asv_finds_the_subclasses_and_not_the_class() -> None:
    assert inspect.isabstract(SolverSuite)
    assert not inspect.isabstract(Small)
    names = {name.partition("_")[0] for name in dir(Small) if name.startswith(("time_", "track_"))}
    assert names == {"time", "track"}


class Other(Small):
    derivatives: ClassVar = "central"


def test_what_is_measured_of_one_suite_is_not_taken_for_another() -> None:
    """asv shares it by the module and line of `setup_cache`, as below (asv_runner.benchmarks._base)."""
    keys = []
    for suite in (Small(), Other()):
        module = inspect.getmodule(suite.setup_cache)
        assert module is not None
        keys.append((module.__name__, inspect.getsourcelines(suite.setup_cache)[1]))
    assert keys[0] != keys[1]
    assert [name for name, _ in keys] == [__name__] * 2
    assert Other.params == (("lb", "scipy_neldermead"), ("central",))
