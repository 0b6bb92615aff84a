"""The gate on seeded mistakes of a solver: each is caught, with the rows named that a plain count says are worse."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import optcore as om
from optcore_bench import Results, Study, compare, run_study
from optcore_bench.reproduction import same_kernels
from optcore_problems import get_problem
from tests.bench.descent import MUTANTS, lbfgs

NAMES = [
    "rosenbrock",
    "bard",
    "bard_x10",
    "kowalik_osborne",
    "watson_n6",
    "cube_n5",
    "powell_singular",
    "brown_dennis",
    "box_3d",
]
PROBLEMS = [f"more_wild/{name}" for name in NAMES]
BUDGET = 3000
TAU = 1e-10


class Renamed:
    """The rows of one algorithm of a store under a common name, as if each had been a commit of one solver."""

    finished = True
    study: dict[str, Any] = {}  # noqa: RUF012

    def __init__(self, results: Results, algorithm: str) -> None:
        runs = results.runs
        self.runs = runs[runs["algorithm"] == algorithm].assign(algorithm="lbfgs")
        self.timings = results.timings
        self.environments = results.environments
        self.path = algorithm
        self._results = results
        self._algorithm = algorithm

    def history(self, columns: list[str] | None = None) -> pd.DataFrame:
        return self._results.history(algorithm=self._algorithm, columns=columns)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """The right solver twice, and every mutant."""
    listed: dict[str, dict[str, Any]] = {"right": {}, "right again": {}, **MUTANTS}
    algorithms = [{"name": name, "algorithm": partial(lbfgs, **changes)} for name, changes in listed.items()]
    budget = om.Budget(max_evaluations=BUDGET)
    study = Study("mutants", PROBLEMS, algorithms, "none", budget=budget, keep_x=False)
    return run_study(study, store=tmp_path_factory.mktemp("mutants") / "store", n_jobs=1)


class OverBudgetError(Exception):
    pass


def count(name: str, changes: dict[str, Any], tau: float) -> float:
    """Evaluations until the convergence test holds, counted by the function itself, without the harness."""
    problem = get_problem(name)
    target = problem.f_opt + tau * (problem.f_start - problem.f_opt)
    calls, asked = 0, math.inf

    def fun(x: Any) -> float:
        nonlocal calls, asked
        if calls >= BUDGET:
            raise OverBudgetError
        calls += 1
        value = float(problem.fun(x))
        if value <= target:
            asked = min(asked, calls)
        return value

    with contextlib.suppress(OverBudgetError):
        lbfgs(fun, problem.start.copy(), **changes)
    return asked


@pytest.mark.parametrize("mutant", list(MUTANTS))
def test_each_mutant_is_caught_and_exactly_its_rows_are_named(results: Results, mutant: str) -> None:
    found = compare(Renamed(results, "right"), Renamed(results, mutant), gate={"tau": TAU})
    assert (found.verdict, found.exit_status) == ("worse", 1), found.to_text()
    costs = {name: (count(name, {}, TAU), count(name, MUTANTS[mutant], TAU)) for name in PROBLEMS}
    named = {row.name: (row.old.cost, row.new.cost) for row in found.rows if row.old and row.new}
    assert named == costs
    lost = {name for name, (old, new) in costs.items() if new == math.inf and old < math.inf}
    dearer = {name for name, (old, new) in costs.items() if old < new < math.inf}
    assert {row.name for row in found.rows if row.state == "FAILED"} == lost
    assert {row.name for row in found.rows if row.state == "WORSE"} == dearer
    text = found.to_text()
    for name in dearer:
        old, new = costs[name]
        assert f"{name} lbfgs [none]: {old:g} -> {new:g} evaluations (+" in text
    for name in lost:
        assert f"{name} lbfgs [none]: solved in {costs[name][0]:g} evaluations -> not solved" in text


def test_the_same_solver_under_another_name_is_the_same(results: Results) -> None:
    strict = {"tau": TAU, "total_log2_per_row": 0, "worst_row_ratio": 1, "worst_row_evaluations": 0}
    found = compare(Renamed(results, "right"), Renamed(results, "right again"), gate=strict)
    assert (found.verdict, found.counts) == ("same", {"SAME": len(PROBLEMS)})


def test_an_improvement_is_no_regression(results: Results) -> None:
    """Forward differences cost half as much, and lose nothing where less accuracy is asked for."""
    found = compare(Renamed(results, "right"), Renamed(results, "forward for central"), gate={"tau": 1e-3})
    assert (found.verdict, found.exit_status, found.reasons) == ("better", 0, ())
    assert found.counts.keys() <= {"BETTER", "SAME"}
    assert found.total_log2_per_row < -0.5


# --- other kernels and threads ---------------------------------------------------------------------------------------

STUDY = """
problems = ["more_wild/rosenbrock", "more_wild/bard", "more_wild/watson_n6", "more_wild/box_3d"]
algorithms = ["scipy_lbfgsb", "scipy_neldermead", "scipy_ls_trf"]
derivatives = ["forward"]
budget = { max_evaluations = 400 }
starts = 5
keep_x = false
"""
RUN = "from optcore_bench.cli import main; main()"


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One study in this environment, with an older BLAS kernel, and with two threads allowed."""
    folder = tmp_path_factory.mktemp("kernels")
    (folder / "s.toml").write_text(STUDY)
    settings = {"here": {}, "kernel": {"OPENBLAS_CORETYPE": "Sandybridge"}, "threads": {"OPENBLAS_NUM_THREADS": "2"}}
    for name, variables in settings.items():
        command = [sys.executable, "-c", RUN, "run", "s.toml", f"--store={name}", "--no-report", "--quiet", "--jobs=1"]
        subprocess.run(command, cwd=folder, env=os.environ | variables, check=True, capture_output=True, timeout=300)
    return {name: folder / name for name in settings}


def test_another_blas_kernel_is_not_comparable_and_medians_agree(kernels: dict[str, Path]) -> None:
    known = [Results(kernels[name]).manifest["environment"]["blas"] for name in ("here", "kernel")]
    if known[0] == known[1]:
        pytest.skip(f"OPENBLAS_CORETYPE changes nothing here: {known[0]}")
    found = compare(kernels["here"], kernels["kernel"])
    assert (found.verdict, found.exit_status) == ("not comparable", 3)
    assert "Sandybridge" in found.to_text()
    hashes = [set(Results(kernels[name]).runs["history_hash"]) for name in ("here", "kernel")]
    assert hashes[0] != hashes[1]  # it does change evaluations
    robust = compare(kernels["here"], kernels["kernel"], robust=True)
    assert robust.exit_status == 0, robust.to_text()
    assert abs(robust.total_log2_per_row) < math.log2(robust.gate.robust_ratio)


def test_what_an_older_processor_computed_is_reproduced_by_its_kernels(kernels: dict[str, Path]) -> None:
    """The store says which kernels; the command takes them, and the bits are the same."""
    there, here = (Results(kernels[name]).manifest["environment"] for name in ("kernel", "here"))
    if not same_kernels(there, here):
        pytest.skip(f"kernels can't be chosen: {there['blas']}, {here['blas']}")
    command = [sys.executable, "-c", RUN, "reproduce", str(kernels["kernel"]), "--quiet", "--jobs=1"]
    for option, status, words in (
        (
            "--sample=100%",
            3,
            "to compute as there: OPENBLAS_CORETYPE=Sandybridge, as `optcore reproduce --same-kernels`",
        ),
        ("--same-kernels", 0, "reproduced bit by bit"),
    ):
        done = subprocess.run([*command, option], check=False, capture_output=True, text=True, timeout=300)
        assert done.returncode == status, done.stdout + done.stderr
        assert words in done.stdout


def test_threads_that_the_machine_offers_change_nothing_since_the_harness_pins_them(kernels: dict[str, Path]) -> None:
    found = compare(kernels["here"], kernels["threads"])
    assert (found.verdict, set(found.counts)) == ("same", {"SAME"})
