"""The bootstrap against scipy's, its groups against the published count of functions, bands against recounting."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from optcore.errors import InvalidInputError
from optcore_bench.profiles import accuracy_profile, data_profile, ecdf, performance_profile
from optcore_bench.statistics import (
    Bootstrap,
    accuracy_bands,
    clusters,
    data_profile_bands,
    ecdf_bands,
    performance_bands,
    rows_by_problem,
)
from optcore_bench.statistics.bootstrap import weighted_medians
from optcore_problems import get_problem, get_suite
from optcore_problems.transform import Scaling, apply

INF = math.inf


def table(rows: int = 30, solvers: int = 3, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 40, size=(rows, solvers)).astype(float)
    values[rng.random(values.shape) < 0.2] = INF
    return pd.DataFrame(values, index=[f"s/p{i}x" for i in range(rows)], columns=[f"a{j} [x]" for j in range(solvers)])


def test_the_53_problems_of_more_and_wild_come_from_22_functions():
    # More & Wild (2009), section 4: 22 functions, 53 problems.
    names = [f"more_wild/{problem.name}" for problem in get_suite("more_wild")]
    found = clusters(names)
    assert (len(found), found.nunique()) == (53, 22)
    assert found["more_wild/watson_n9_x10"] == found["more_wild/watson_n6"] == "watson"


@pytest.mark.parametrize(
    ("row", "function"),
    [
        ("mgh/rosenbrock", "rosenbrock"),
        ("more_wild/rosenbrock_x10", "rosenbrock"),
        ("nist_strd/misra1a_start2", "Misra1a"),
        ("more_wild/chebyquad_n8#4 ~ multiplicative 0.001", "chebyquad"),
        ("unknown_suite/valley_n5_m10_x100#2", "valley"),
        ("plain", "plain"),
        ("x10", "x10"),
    ],
)
def test_rows_are_grouped_by_their_function_whatever_size_start_and_noise(row, function):
    assert clusters([row]).tolist() == [function]


def test_a_transformed_problem_is_of_the_function_that_was_transformed():
    problem = apply(get_problem("more_wild/watson_n9"), Scaling(seed=3))
    assert problem.name != "watson_n9"
    assert clusters([problem.full_name]).tolist() == ["watson"]


def test_starts_of_a_problem_belong_together_and_its_noises_do_not():
    assert rows_by_problem(["s/p", "s/p#15", "s/p ~ wild 0.1", "q#x"]).tolist() == [
        "s/p",
        "s/p",
        "s/p ~ wild 0.1",
        "q#x",
    ]


def test_a_replicate_draws_whole_functions_and_as_many_as_there_are():
    costs = pd.DataFrame({"a": np.arange(1.0, 7)}, index=list("uvwxyz"))
    groups = dict(zip("uvwxyz", ["f", "f", "f", "g", "g", "h"], strict=True))
    weights = Bootstrap(groups, replicates=200).weights(costs)
    assert (weights[:, [0]] == weights[:, :3]).all()
    assert (weights[:, 3] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 3] + weights[:, 5] == 3).all()
    assert len(np.unique(weights, axis=0)) == 10  # multisets of 3 out of 3: C(5, 3)


def test_intervals_of_a_mean_agree_with_scipys_bootstrap():
    values = np.random.default_rng(3).exponential(size=60)
    costs = pd.DataFrame({"a": values}, index=[f"p{i}x" for i in range(60)])
    ours = Bootstrap("rows", replicates=20_000, seed=1)
    lower, upper = ours.interval(ours.shares(costs, values[:, None]))
    rng = np.random.default_rng(5)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", rng=rng)
    # Two bootstraps of 20000 replicates: the end points scatter by about 1 % of the interval's length.
    length = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert lower[0] == pytest.approx(theirs.confidence_interval.low, abs=0.03 * length)
    assert upper[0] == pytest.approx(theirs.confidence_interval.high, abs=0.03 * length)


def test_drawing_functions_instead_of_rows_widens_the_interval_where_rows_of_a_function_are_alike():
    rng = np.random.default_rng(0)
    level = np.repeat(rng.normal(size=10), 6) + 0.01 * rng.normal(size=60)
    costs = pd.DataFrame({"a": np.exp(level)}, index=[f"f{i // 6}y_n{i % 6}" for i in range(60)])
    widths = []
    for groups in (None, "rows"):
        bootstrap = Bootstrap(groups)
        lower, upper = bootstrap.interval(bootstrap.shares(costs, level[:, None]))
        widths.append(float(upper[0] - lower[0]))
    # Of 10 independent values instead of 60 the mean has sqrt(6) times the standard error.
    assert widths[0] / widths[1] == pytest.approx(math.sqrt(6), rel=0.25)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([-INF, -1.0, 0.0, 0.5, 2.0, INF]), st.integers(0, 3)), min_size=1, max_size=9)
)
def test_a_weighted_median_is_the_median_of_the_values_repeated(pairs):
    values, counts = (np.array(column) for column in zip(*pairs, strict=True))
    got = weighted_medians(values, counts[:, None].astype(np.int32))[0]
    repeated = np.sort(np.repeat(values, counts))
    if repeated.size == 0:
        assert math.isnan(got)
        return
    low, high = repeated[(repeated.size - 1) // 2], repeated[repeated.size // 2]
    if math.isfinite(low) and math.isfinite(high):
        assert got == np.median(repeated)
    elif low == high:
        assert got == low
    elif math.isinf(low) and math.isinf(high):
        assert got == 0
    else:
        assert got == (low if math.isfinite(low) else high)


@pytest.mark.parametrize("kind", ["performance", "data", "ecdf", "accuracy"])
def test_the_middle_of_a_band_is_the_curve_and_its_ends_are_recounted_on_each_replicate(kind):
    costs = table()
    n = pd.Series(np.arange(1, 31), index=costs.index)
    bootstrap = Bootstrap(replicates=50, level=0.8, seed=4)
    curve = {
        "performance": performance_profile,
        "data": lambda c: data_profile(c, n),
        "ecdf": ecdf,
        "accuracy": lambda c: accuracy_profile(1 / c),
    }[kind]
    bands = {
        "performance": performance_bands,
        "data": lambda c, b: data_profile_bands(c, n, b),
        "ecdf": ecdf_bands,
        "accuracy": lambda c, b: accuracy_bands(1 / c, b),
    }[kind](costs, bootstrap)
    pd.testing.assert_frame_equal(bands.frame[["solver", "x", "y"]], curve(costs).reset_index(drop=True))
    assert ((bands.frame["lower"] <= bands.frame["y"]) & (bands.frame["y"] <= bands.frame["upper"])).mean() > 0.9
    solver = bands.frame["solver"].iloc[0]
    part = bands.frame[bands.frame["solver"] == solver]
    ratios = costs.div(costs.min(axis=1), axis=0).fillna(INF)
    values = {"performance": ratios, "data": costs.div(n + 1, axis=0), "ecdf": costs, "accuracy": np.log10(costs)}[kind]
    for x, lower, upper in part[["x", "lower", "upper"]].iloc[::3].to_numpy(dtype=float):
        heights = []
        for row in bootstrap.weights(costs).astype(int):
            repeated = np.repeat(values[solver].clip(upper=16.0 if kind == "accuracy" else INF).to_numpy(), row)
            # An axis in logarithms: what was equal stays equal up to rounding.
            heights.append(np.mean(repeated > x + 1e-9 if kind == "accuracy" else repeated <= x))
        ordered = np.sort(heights)
        assert (lower, upper) == (pytest.approx(ordered[4]), pytest.approx(ordered[44]))


def test_the_same_seed_gives_the_same_band_and_another_seed_another_one():
    costs = table()
    same = [performance_bands(costs, Bootstrap(replicates=100, seed=7)).frame for _ in range(2)]
    pd.testing.assert_frame_equal(*same)
    assert not performance_bands(costs, Bootstrap(replicates=100, seed=8)).frame.equals(same[0])


def test_a_band_is_drawn_in_the_colour_of_its_curve_and_stays_out_of_the_legend():
    figure = performance_bands(table(), Bootstrap(replicates=20)).figure()
    lines = [trace for trace in figure.data if trace.fill is None]
    shades = [trace for trace in figure.data if trace.fill == "toself"]
    assert [trace.name for trace in lines] == [trace.name for trace in shades]
    assert not any(trace.showlegend for trace in shades)
    red, green, blue = (int(lines[0].line.color[i : i + 2], 16) for i in (1, 3, 5))
    assert shades[0].fillcolor.startswith(f"rgba({red}, {green}, {blue}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"replicates": 0}, "replicates must be a whole number >= 1, not 0"),
        ({"level": 1.0}, "level must be between 0 and 1"),
        ({"clusters": "function"}, "clusters must be a Series, a mapping, 'rows' or None"),
    ],
)
def test_options_of_the_bootstrap_that_cannot_be_are_errors(arguments, message):
    with pytest.raises(InvalidInputError, match=message):
        Bootstrap(**arguments)


def test_a_row_without_a_group_and_an_empty_table_are_errors():
    with pytest.raises(InvalidInputError, match="no group for the row 'q'"):
        Bootstrap({"p": "f"}).weights(pd.DataFrame({"a": [1.0, 2.0]}, index=["p", "q"]))
    with pytest.raises(InvalidInputError, match="nothing to resample"):
        Bootstrap().weights(pd.DataFrame({"a": []}))
