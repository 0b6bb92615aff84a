"""Results without a store: tables with exactly the columns that a store has, for tests of the analysis."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

RUN_COLUMNS = [
    "run_id",
    "study",
    "suite",
    "problem",
    "problem_version",
    "n",
    "m",
    "algorithm",
    "algorithm_options",
    "derivative",
    "derivative_options",
    "start",
    "seed",
    "noise",
    "status",
    "message",
    "f_start",
    "f_opt",
    "f_best",
    "f_final",
    "derivative_error",
    "n_fun_evals",
    "n_jac_evals",
    "n_fun_and_jac_evals",
    "n_numdiff_evals",
    "n_batches",
    "n_iterations",
    "history_hash",
    "environment",
]
HISTORY_COLUMNS = ["run_id", "evaluation", "task", "batch", "fun", "fun_true", "best"]


@dataclass
class FakeResults:
    """What the analysis uses of a store."""

    runs: pd.DataFrame
    rows: pd.DataFrame
    times: pd.DataFrame | None = None
    timings: pd.DataFrame = field(default_factory=pd.DataFrame)
    manifest: dict[str, Any] = field(default_factory=dict)
    study: Any = None
    path: Path = Path("fake")

    def history(self) -> pd.DataFrame:
        return self.rows

    def __post_init__(self) -> None:
        if self.times is not None:
            self.clock = lambda: self.times


def run(solver: str, problem: str = "p", values: Any = (), **columns: Any) -> dict[str, Any]:
    """One run: `values` are what each call returned, `tasks`, `batches`, `true`, `clock`, `feasible` go along."""
    algorithm, _, derivative = solver.partition(" ")
    return {
        "algorithm": algorithm,
        "derivative": derivative or "none",
        "problem": problem,
        "values": values,
    } | columns


def make_results(*runs: dict[str, Any], **kwargs: Any) -> FakeResults:
    """Tables of runs made by `run`; what isn't given is filled in as the harness would."""
    rows, histories, clocks = [], [], []
    for i, given in enumerate(runs):
        columns = dict(given)
        values = np.asarray(columns.pop("values"), dtype=float)
        tasks = np.asarray(columns.pop("tasks", ["fun"] * values.size))
        batches = columns.pop("batches", np.arange(values.size))
        true, clock = columns.pop("true", None), columns.pop("clock", None)
        feasible = np.asarray(columns.pop("feasible", np.ones(values.size, dtype=bool)), dtype=bool)
        asked = values[np.isin(tasks, ["fun", "fun_and_jac"])]
        run_id = f"run{i:05d}"
        row = dict.fromkeys(RUN_COLUMNS) | {
            "run_id": run_id,
            "study": "fake",
            "suite": "s",
            "n": 2,
            "start": 1,
            "seed": 0,
            "status": "converged",
            "message": "",
            "f_start": asked[0] if asked.size else 1.0,
            "f_opt": 0.0,
            "f_best": np.fmin.reduce(asked) if asked.size else np.nan,
            "derivative_error": np.nan,
            "environment": "linux",
        }
        rows.append(row | columns)
        known = values if true is None else np.asarray(true, dtype=float)
        best = np.fmin.accumulate(np.where(np.isin(tasks, ["fun", "fun_and_jac"]) & feasible, known, np.nan))
        histories.append(
            pd.DataFrame(
                {
                    "run_id": run_id,
                    "evaluation": np.arange(values.size),
                    "task": tasks,
                    "batch": batches,
                    "fun": values,
                    "fun_true": np.full(values.size, np.nan) if true is None else true,
                    "best": best,
                }
            )
        )
        if clock is not None:
            start, stop = np.asarray(clock, dtype=float).T
            clocks.append(
                pd.DataFrame({"run_id": run_id, "evaluation": np.arange(values.size), "start": start, "stop": stop})
            )
    history = pd.concat([h for h in histories if len(h)] or histories[:1], ignore_index=True)
    frame = pd.DataFrame(rows)
    for name in ("f_start", "f_opt", "f_best", "derivative_error"):
        frame[name] = frame[name].astype(float)
    times = pd.concat(clocks, ignore_index=True) if clocks else None
    return FakeResults(frame, history[HISTORY_COLUMNS], times, **kwargs)


ALGORITHMS = ("scipy_lbfgsb", "scipy_bfgs", "scipy_slsqp", "scipy_ls_trf", "scipy_ls_lm")
DERIVATIVES = ("analytic", "jax", "forward", "central")
PROBLEMS = [
    "linear_full_rank",
    "linear_rank_one",
    "rosenbrock",
    "helical_valley",
    "powell_singular",
    "freudenstein_roth",
    "bard",
    "kowalik_osborne",
    "meyer",
    "watson_n6",
    "watson_n9",
    "watson_n12",
    "box_3d",
    "jennrich_sampson",
    "brown_dennis",
    "chebyquad_n6",
    "chebyquad_n8",
    "brown_almost",
]


def study_results(
    n_problems: int = 53,
    algorithms: tuple[str, ...] = ALGORITHMS,
    derivatives: tuple[str, ...] = DERIVATIVES,
    seed: int = 0,
    max_gradients: int = 200,
) -> FakeResults:
    """A made-up study with plausible histories, failures and pairs that can't be."""
    rng = np.random.default_rng(seed)
    runs = []
    for k in range(n_problems):
        name = PROBLEMS[k % len(PROBLEMS)] + (f"_x{10 ** (k // len(PROBLEMS))}" if k >= len(PROBLEMS) else "")
        n = int(rng.integers(2, 13))
        f_opt = 0.0 if rng.random() < 0.6 else float(10 ** rng.uniform(-4, 3))
        scale = float(10 ** rng.uniform(0, 6))
        hard = rng.uniform(0.3, 2.5)
        for a, algorithm in enumerate(algorithms):
            for derivative in derivatives:
                rate = rng.lognormal(0.0, 0.25) * (0.6 + 0.25 * a) / hard
                runs.append(_plausible(rng, name, algorithm, derivative, n, f_opt, scale, rate, max_gradients))
        runs.append(run("nlopt_neldermead jax", name, status="not_applicable", n=n, message="uses no derivative"))
        runs.append(_plausible(rng, name, "nlopt_neldermead", "none", n, f_opt, scale, 0.05 / hard, max_gradients))
    manifest = {
        "schema": 1,
        "digest": "sha256:6f0c8a21b7",
        "command": "optcore run derivatives --jobs 2",
        "created": "2026-01-01T12:00:00+00:00",
        "commit": "0123456789abcdef",
        "machine": {"cpu": "A CPU <at> 3 GHz", "cores": 2, "system": "Linux"},
        "versions": {"optcore": "0.1.0", "numpy": "2.4.6", "scipy": "1.17.1", "python": "3.11.9"},
    }
    study = {
        "name": "derivatives",
        "description": "Which derivative strategy is best?",
        "problems": ["more_wild"],
    }
    return make_results(*runs, manifest=manifest, study=study, path=Path("results/local/derivatives"))


def _plausible(
    rng: np.random.Generator,
    problem: str,
    algorithm: str,
    derivative: str,
    n: int,
    f_opt: float,
    scale: float,
    rate: float,
    max_gradients: int,
) -> dict[str, Any]:
    per_gradient = {"forward": n, "central": 2 * n, "none": 0}.get(derivative, 0)
    budget = max_gradients * (n + 1)
    floor = 1e-9 if derivative == "forward" else 1e-16
    stuck = 10 ** rng.uniform(-6, 0) if rng.random() < 0.12 else 0.0
    steps = np.cumsum(rng.exponential(rate, size=min(400, budget)))
    gap = np.maximum(10.0**-steps, max(floor, stuck))
    gap *= np.exp(rng.normal(0, 0.3, gap.size) * (rng.random(gap.size) < 0.3))
    gap[0] = 1.0
    done = np.flatnonzero(gap <= 3 * max(floor, stuck))
    gap = gap[: done[0] + 4] if done.size else gap
    values: list[float] = []
    tasks: list[str] = []
    batches: list[int] = []
    for i, g in enumerate(gap):
        calls = 1 + per_gradient + (derivative in ("analytic", "jax"))
        if len(values) + calls > budget:
            break
        f = f_opt + g * scale
        values += [f] + [f * 1.000001] * per_gradient
        tasks += ["fun"] + ["numdiff"] * per_gradient
        if derivative in ("analytic", "jax"):
            values.append(np.nan)
            tasks.append("jac")
        batches += [i] * calls
    failed = rng.random()
    status, message = "converged", "relative reduction of f below ftol"
    if not done.size:
        status, message = "budget_evaluations", f"the budget of {budget} evaluations is spent"
    if failed < 0.01:
        status, message = "crashed", "the process was ended by signal 11 (SIGSEGV)"
    elif failed < 0.03:
        status, message = (
            "error",
            "ValueError: <residuals> must be finite & real, but the solver returned 'nan'",
        )
    elif failed < 0.035:
        status, message = "timeout", "ended after 600 s"
    if failed < 0.035:
        cut = len(values) // 3
        values, tasks, batches = values[:cut], tasks[:cut], batches[:cut]
    error = {"forward": 1e-7, "central": 1e-10, "jax": 1e-16, "analytic": 0.0}.get(derivative, np.nan)
    return run(
        f"{algorithm} {derivative}",
        problem,
        values,
        tasks=tasks,
        batches=batches,
        n=n,
        suite="more_wild",
        f_opt=f_opt if problem != "meyer" else f_opt + 1e-3 * scale,
        f_start=f_opt + scale,
        status=status,
        message=message,
        derivative_error=error * rng.lognormal(0, 1),
    )
