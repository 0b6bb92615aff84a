"""Replayed times against integrals by scipy, tables by hand, and the clock of real runs that sleep."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import optcore as om
from optcore.errors import InvalidInputError, UnknownNameError
from optcore_bench.costs import VirtualClock, cost_table, expected_longest, hit_counts, virtual_grid
from optcore_bench.costs.counting import measured_overhead
from optcore_bench.evaluations import Evaluations
from optcore_bench.figures import solver_styles
from tests.bench.fake_results import FakeResults, make_results, run, study_results


def longest_by_scipy(seconds: tuple[float, ...], calls: tuple[int, ...], spread: float) -> float:
    """E max = integral of 1 - prod F_i(x)^k_i, with scipy's log-normal distribution and quadrature."""
    s = math.sqrt(math.log(1 + spread**2))
    laws = [(stats.lognorm(s, scale=t * math.exp(-(s**2) / 2)), k) for t, k in zip(seconds, calls, strict=True) if k]
    for law, _ in laws:
        assert law.std() / law.mean() == pytest.approx(spread)
    top = max(law.isf(1e-14) for law, _ in laws)
    edges = np.geomspace(1e-9, top, 60)
    pieces = [integrate.quad(lambda x: 1 - math.prod(f.cdf(x) ** k for f, k in laws), a, b)[0]
              for a, b in zip([0.0, *edges[:-1]], edges, strict=True)]  # fmt: skip
    return sum(pieces)


@pytest.mark.parametrize(
    ("seconds", "calls", "spread"),
    [
        ((1.0,), (2,), 0.1),
        ((2.5,), (8,), 0.5),
        ((0.1,), (64,), 1.5),
        ((1.0, 3.0, 4.0), (5, 2, 1), 0.4),
        ((1.0, 3.0), (60, 1), 2.0),
    ],
)
def test_the_expected_longest_call_is_the_integral_over_its_distribution(seconds, calls, spread):
    assert expected_longest(seconds, calls, spread) == pytest.approx(longest_by_scipy(seconds, calls, spread), rel=1e-8)


@pytest.mark.parametrize("spread", [1e-3, 0.2, 1.0])
def test_two_calls_take_the_closed_form_and_one_takes_its_mean(spread):
    s = math.sqrt(math.log1p(spread**2))
    assert expected_longest((3.0,), (1,), spread) == pytest.approx(3.0, rel=1e-13)
    assert expected_longest((3.0,), (2,), spread) == pytest.approx(6 * stats.norm.cdf(s / math.sqrt(2)), rel=1e-13)
    # A kind that takes no time never is the longest.
    assert expected_longest((3.0, 0.0), (2, 5), spread) == expected_longest((3.0,), (2,), spread)


FORWARD = {"values": [9, 9, 9, 9, 9, 0], "tasks": ["fun", *["numdiff"] * 4, "fun"], "batches": [0, 0, 0, 0, 0, 1]}


def test_spread_makes_rounds_of_several_calls_longer_by_how_many_they_hold():
    results = make_results(run("a", **FORWARD, n=4))
    clock = VirtualClock(2.0, 0.0, cores=3, overhead_seconds=0.5, spread=0.3)
    expected = expected_longest((2.0,), (3,), 0.3) + expected_longest((2.0,), (2,), 0.3) + 2.0 + 2 * 0.5
    assert cost_table(results, cost=clock).iloc[0, 0] == pytest.approx(expected, rel=1e-14)
    assert hit_counts(results).costs(clock).iloc[0, 0] == pytest.approx(expected, rel=1e-14)
    serial = cost_table(results, cost=VirtualClock(2.0, 0.0, cores=1, spread=0.3)).iloc[0, 0]
    assert serial == pytest.approx(12.0, rel=1e-13)


def test_the_measured_overhead_is_the_time_between_batches():
    # The batches last from 1 to 4 and from 6 to 7; 1 and 2 seconds pass before them.
    clock = [(1, 2), (1, 2), (1, 4), (2, 3), (2, 3), (6, 7)]
    results = make_results(run("a", **FORWARD, clock=clock, n=4), run("b", values=[]))
    evaluations = Evaluations.read(results)
    assert measured_overhead(evaluations, evaluations.clock())[0] == 1.5
    replay = VirtualClock(1.0, 0.0, cores=5, overhead_seconds="measured")
    for table in (cost_table(results, cost=replay), hit_counts(results, clock=True).costs(replay)):
        assert table.loc["s/p"].tolist() == [1 + 1 + 2 * 1.5, math.inf]
    assert "the measured overhead a batch" in table.attrs["cost"]
    with pytest.raises(InvalidInputError, match="clock=True"):
        hit_counts(results).costs(replay)
    del results.clock
    with pytest.raises(InvalidInputError, match="no times of evaluations"):
        cost_table(results, cost=replay)


@pytest.mark.parametrize(
    ("name", "value"), [("spread", -0.1), ("fun_seconds", "1"), ("overhead_seconds", "mean"), ("cores", None)]
)
def test_what_a_clock_cannot_be_is_named(name, value):
    with pytest.raises(InvalidInputError, match=f"{name} must be"):
        VirtualClock(**({"fun_seconds": 1.0, "jac_seconds": 1.0, "cores": 1} | {name: value}))


def test_a_grid_holds_what_the_cost_tables_of_its_clocks_hold():
    results = study_results(n_problems=5, seed=4, derivatives=("analytic", "forward"))
    axes = {"fun_seconds": [0.1, 1.0], "jac_seconds": [0.0, 2.0], "cores": [1, 8], "spread": [0.0, 0.5]}
    grid = virtual_grid(results, 1e-3, **axes)
    assert len(grid.best()) == 16
    for setting, rows in grid.table.groupby(["fun_seconds", "jac_seconds", "cores", "overhead_seconds", "spread"]):
        table = cost_table(results, 1e-3, VirtualClock(*setting))
        rows = rows.set_index("solver").loc[list(table.columns)]
        np.testing.assert_array_equal(rows["median_seconds"], table.median())
        np.testing.assert_array_equal(rows["solved"], np.isfinite(table).sum())
        fastest = table.eq(table.min(axis=1), axis=0) & np.isfinite(table)
        np.testing.assert_array_equal(rows["fastest"], fastest.sum())
        assert (rows["problems"] == len(table)).all()
        cell = grid.best().set_index(["fun_seconds", "jac_seconds", "cores", "overhead_seconds", "spread"]).loc[setting]
        assert cell["median_seconds"] == table.median().min()
        assert table.median()[cell["solver"]] == table.median().min()


@pytest.mark.parametrize(("cut", "marked"), [(1, False), (2, True)])
def test_cells_are_marked_where_more_than_a_twentieth_of_the_runs_was_cut_off(cut, marked):
    runs = [run("a", f"p{i}", values=[9, 0]) for i in range(20 - cut)]
    runs += [run("a", f"cut{i}", values=[9, 9], status="budget_evaluations") for i in range(cut)]
    runs += [run("b", f"p{i}", values=[9, 9, 9, 0]) for i in range(18)] + [run("b", "p18", values=[9], status="error")]
    grid = virtual_grid(make_results(*runs), fun_seconds=[1.0], cores=[1, 2])
    rows = grid.table[grid.table["cores"] == 1].set_index("solver")
    assert rows.loc["a [none]", ["cut_off", "marked"]].tolist() == [cut / 20, marked]
    assert not rows.loc["b [none]", "marked"]
    assert grid.best()["marked"].tolist() == [marked] * 2
    (trace,) = grid.figure(x="cores", y="fun_seconds").data
    assert trace.text.tolist() == [["a<br>[none] *" if marked else "a<br>[none]"] * 2]
    # The colour of a solver is the one that it has in every other figure of the study.
    assert {colour for _, colour in trace.colorscale} == {solver_styles(grid.solvers)["a [none]"].color}


def test_what_a_grid_cannot_show_is_said():
    grid = virtual_grid(make_results(run("a", values=[9, 9])), fun_seconds=[1.0], cores=[1, 2])
    assert grid.best()["solver"].tolist() == [None, None]
    with pytest.raises(UnknownNameError, match="did you mean 'cores'"):
        grid.figure(x="core")
    with pytest.raises(InvalidInputError, match=r"spread=0.5 is not in the grid; it has 0.0"):
        grid.figure(spread=0.5)
    with pytest.raises(InvalidInputError, match="cores takes a list of values"):
        virtual_grid(make_results(run("a", values=[9, 9])), cores=[])
    with pytest.raises(InvalidInputError, match="no run that applies"):
        virtual_grid(make_results(run("a", status="not_applicable")))


def sleeping(params: np.ndarray) -> float:
    time.sleep(0.02)
    return float(((params - 1.0) ** 2).sum() + (params**4).sum())


def recorded(workers: int) -> FakeResults:
    """A real run with forward differences on threads, as stored tables with the clock that ran."""
    history = om.minimize(
        sleeping,
        np.zeros(7),
        "scipy_lbfgsb",
        numdiff_options=om.NumdiffOptions(n_cores=workers, batch_evaluator="threads"),
        algo_options={"stopping_maxiter": 2},
    ).history
    times: Any = list(zip(history.start_time, history.stop_time, strict=True))
    return make_results(
        run("a", values=history.fun, tasks=history.task, batches=history.batch, clock=times, n=7, f_opt=-1e9)
    )


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_replay_of_a_run_that_slept_agrees_with_the_clock_that_ran(workers):
    """The tolerance is wide, since machines that test are busy; asv's `VirtualClockAgainstSleep` tracks the error."""
    results = recorded(workers)
    clock = results.times
    hits = hit_counts(results, clock=True)
    call = float((clock["stop"] - clock["start"]).mean())
    took = float(clock["stop"].max())
    replayed = hits.spent(VirtualClock(call, 0.0, workers, overhead_seconds="measured"))[0]
    assert replayed == pytest.approx(took, rel=0.5)
    # Without any clock of calls: the time slept is a lower bound of what passed.
    assert hits.spent(VirtualClock(0.02, 0.0, workers))[0] <= took
    rounds = hits.rounds(workers)[workers]["fun"][0]
    sizes = results.rows.groupby("batch").size()
    assert rounds == np.ceil(sizes / workers).sum()
    assert (sizes == 8).any()


def test_a_replay_needs_no_run_on_the_machine_it_is_about():
    serial, parallel = (hit_counts(recorded(workers)) for workers in (1, 4))
    for cores in (1, 3, 8):
        clock = VirtualClock(1.0, 0.0, cores)
        assert serial.spent(clock) == parallel.spent(clock)


def test_counts_of_frames_have_one_row_per_run():
    hits = hit_counts(study_results(n_problems=2))
    assert hits.spent("batches").shape == (len(hits.frame),)
    assert isinstance(hits.rounds(3), pd.DataFrame)
