"""Profiles and run times against what other tools compute from the same histories.

The numbers were computed once, in an environment of their own.

OptiProfiler 2.0.0: with H = `histories()` and mins its minimum over solvers and evaluations,
`optiprofiler.scoring.compute_convergence_work(H[:, :, None], ..., merit_inits=H[:, 0, 0], merit_mins=mins,
tolerance=tau)` gave WORK; `optiprofiler.plotting._get_extended_performances_data_profile_axes` of it, without
logarithms, the curves, which were read off at the last point up to each x; `_get_log_ratio_profile_axes` of the first
two solvers the log-ratios.

cocopp 2.9.1: `cocopp.toolsstats.sp` gave the expected run times, `cocopp.toolsstats.simulated_evals` (seed 1, 200000
runs, `randint=np.random.randint`) the mean and the quantiles of run times with simulated restarts.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optcore_bench import Results, cost_table
from optcore_bench.profiles import data_profile, log_ratio_profile, performance_profile
from optcore_bench.statistics import Bootstrap, data_profile_bands, expected_run_times, performance_bands, restarted

INF = math.inf
PERFORMANCE_AT = [1, 1.05, 1.2, 1.5, 2, 3]
DATA_AT = [0, 1, 2, 4, 6, 10, 20]
WORK = {
    1e-1: [
        [10, 18, 11],
        [9, 7, 12],
        [33, 9, 54],
        [16, 16, 33],
        [7, 8, 17],
        [17, 29, 11],
        [4, 28, 5],
        [17, 33, 12],
    ],
    1e-3: [
        [21, 36, INF],
        [18, 24, INF],
        [INF, 28, INF],
        [53, 53, INF],
        [INF, INF, 28],
        [35, 54, INF],
        [15, INF, 12],
        [40, INF, 34],
    ],
}
PERFORMANCE = {
    1e-1: [
        [0.5, 0.5, 0.5, 0.75, 0.875, 0.875],
        [0.375, 0.375, 0.5, 0.5, 0.625, 0.875],
        [0.25, 0.25, 0.375, 0.5, 0.625, 0.875],
    ],
    1e-3: [
        [0.5, 0.5, 0.625, 0.75, 0.75, 0.75],
        [0.25, 0.25, 0.25, 0.375, 0.625, 0.625],
        [0.375] * 6,
    ],
}
DATA = {
    1e-1: [
        [0.0, 0.25, 0.375, 0.875, 0.875, 1.0, 1.0],
        [0.0, 0.0, 0.375, 0.875, 1.0, 1.0, 1.0],
        [0.0, 0.125, 0.375, 0.75, 0.875, 0.875, 1.0],
    ],
    1e-3: [
        [0.0, 0.0, 0.125, 0.25, 0.5, 0.75, 0.75],
        [0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 0.625],
        [0.0, 0.0, 0.125, 0.375, 0.375, 0.375, 0.375],
    ],
}
#: At tau = 0.1, where both solvers solve everything; conventions for failures differ.
LOG_RATIOS = [
    -2.8073549220576037,
    -0.9569312781081143,
    -0.84799690655495,
    -0.7705181538772328,
    -0.19264507794239583,
    0.0,
    0.362570079384708,
    1.8744691179161412,
]


def histories() -> np.ndarray:
    """Eight problems, three solvers, 60 values each; powers of two, so that every comparison is exact."""
    rng = np.random.default_rng(2009)
    chance = rng.integers(1, 6, size=(8, 3, 1))
    halvings = np.cumsum(rng.integers(0, 10, size=(8, 3, 60)) < chance, axis=2)
    stuck = rng.integers(0, 3, size=(8, 3, 1)) == 0
    values = 2.0**-halvings + np.where(stuck, 2.0**-6, 0.0)
    values[:, :, 0] = 1.0
    values[3, 1] = values[3, 0]
    return values


@pytest.fixture(scope="module")
def results() -> Results:
    values = histories()
    frames = [
        pd.DataFrame(
            {
                "problem": f"{'abcdefgh'[p] * 3}",
                "algorithm": "xyz"[s],
                "evaluation": range(60),
                "fun": values[p, s],
                "n": p + 2,
            }
        )
        for p in range(8)
        for s in range(3)
    ]
    return Results.from_frame(pd.concat(frames))


def height(curves: pd.DataFrame, solver: str, x: float) -> float:
    return float(curves[(curves["solver"] == solver) & (curves["x"] <= x)]["y"].iloc[-1])


@pytest.mark.parametrize("tau", [1e-1, 1e-3])
def test_costs_are_optiprofilers_work(results, tau):
    assert cost_table(results, tau).to_numpy().tolist() == WORK[tau]


@pytest.mark.parametrize("tau", [1e-1, 1e-3])
def test_profiles_have_optiprofilers_heights_with_and_without_bands(results, tau):
    costs = cost_table(results, tau)
    n = pd.Series(costs.attrs["n"])
    bootstrap = Bootstrap(replicates=20)
    for curves in (performance_profile(costs), performance_bands(costs, bootstrap).frame):
        assert [[height(curves, s, x) for x in PERFORMANCE_AT] for s in "xyz"] == PERFORMANCE[tau]
    for curves in (data_profile(costs, n), data_profile_bands(costs, bootstrap=bootstrap).frame):
        assert [[height(curves, s, x) for x in DATA_AT] for s in "xyz"] == DATA[tau]


def test_log_ratios_are_optiprofilers_where_both_solve_everything(results):
    curves = log_ratio_profile(cost_table(results, 1e-1)[["x", "y"]])
    assert curves["y"].tolist() == pytest.approx(LOG_RATIOS)


#: Runs that succeeded after, and that failed after; cocopp's expected run time, mean and quantiles (10, 25, 50, 75, 90
#: percent) with simulated restarts.
RUNS = {
    "all succeed": ([12, 30, 7, 45], [], 23.5, 23.453585, [7, 7, 12, 30, 45]),
    "some succeed": ([12, 30], [100, 80, 100], 161.0, 161.75046, [12, 30, 112, 230, 392]),
    "one succeeds": ([250], [1000, 1000, 1000, 900], 4150.0, 4158.4335, [250, 1250, 3050, 6050, 9950]),
    "none succeeds": ([], [100, 100], INF, INF, [INF] * 5),
}


def tables(succeeded: list[float], failed: list[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    number = len(succeeded) + len(failed)
    index = ["s/p", *(f"s/p#{k}" for k in range(2, number + 1))]
    costs = pd.DataFrame({"a": [*map(float, succeeded), *[INF] * len(failed)]}, index=index)
    # What was spent after the first hit doesn't count.
    return costs, pd.DataFrame({"a": [*(cost + 5.0 for cost in succeeded), *map(float, failed)]}, index=index)


@pytest.mark.parametrize("name", RUNS)
def test_expected_run_times_are_cocopps(name):
    succeeded, failed, expected, _, _ = RUNS[name]
    frame = expected_run_times(*tables(succeeded, failed)).frame
    assert frame[["group", "runs", "successes", "ert"]].to_numpy().tolist() == [
        ["s/p", len(succeeded) + len(failed), len(succeeded), expected]
    ]
    assert frame.loc[0, "lower"] <= expected <= frame.loc[0, "upper"]


@pytest.mark.parametrize("name", RUNS)
def test_simulated_restarts_are_distributed_as_cocopps(name):
    succeeded, failed, expected, mean, quantiles = RUNS[name]
    drawn = restarted(*tables(succeeded, failed), samples=200_000, seed=0)["a"].to_numpy()
    if not succeeded:
        assert np.isinf(drawn).all()
        return
    # The standard error of both means is under 0.3 %.
    assert drawn.mean() == pytest.approx(expected, rel=0.015)
    assert drawn.mean() == pytest.approx(mean, rel=0.02)
    shares = [0.1, 0.25, 0.5, 0.75, 0.9]
    for share, quantile in zip(shares, quantiles, strict=True):
        below, up_to = (drawn < quantile - 1e-9).mean(), (drawn <= quantile + 1e-9).mean()
        assert below - 0.01 <= share <= up_to + 0.01
