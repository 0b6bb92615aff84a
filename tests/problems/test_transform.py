"""Transformations of problems: failures, other variables, bounds, starts and costs; nested, pickled, in suites."""

from __future__ import annotations

import pickle
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_array, diags_array

import optcore as om
from optcore.errors import InvalidInputError, UnknownNameError
from optcore_problems import Certified, EvaluationFailedError, LocalOptimum, Problem, Suite, get_suite
from optcore_problems.transform import Bounded, Cost, Failures, Noise, Scaling, Start

SUITE = get_suite("more_wild")
ROSENBROCK = SUITE["rosenbrock"]
BARD = SUITE["bard"]


def points(problem: Problem, k: int = 2000) -> np.ndarray[Any, Any]:
    return problem.start + np.random.default_rng(3).uniform(-0.5, 0.5, (k, problem.n))


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_the_share_that_is_asked_for_fails_and_the_rest_is_untouched(rate: float) -> None:
    failing = ROSENBROCK.with_failures(rate)
    xs = points(ROSENBROCK, 5000)
    values, clean = failing.fun_batch(xs), ROSENBROCK.fun_batch(xs)
    failed = np.isnan(values)
    assert abs(failed.mean() - rate) < 4 * np.sqrt(rate / 5000)
    np.testing.assert_array_equal(values[~failed], clean[~failed])
    np.testing.assert_array_equal([np.isnan(failing.fun(x)) for x in xs[:200]], failed[:200])
    assert np.isnan(failing.residuals(xs[failed][0])).all()
    other = np.isnan(ROSENBROCK.with_failures(rate, seed=1).fun_batch(xs))
    assert abs(np.corrcoef(failed, other)[0, 1]) < 0.06


def test_failures_by_exception_are_where_failures_by_nan_are() -> None:
    silent, loud = ROSENBROCK.with_failures(0.3), ROSENBROCK.with_failures(0.3, "exception")
    for x in points(ROSENBROCK, 100):
        if np.isnan(silent.fun(x)):
            with pytest.raises(EvaluationFailedError, match=r"meant to fail, at x = \["):
                loud.residuals(x)
        else:
            assert loud.fun(x) == ROSENBROCK.fun(x)
    with pytest.raises(EvaluationFailedError):
        loud.fun_batch(points(ROSENBROCK, 100))


def test_the_start_never_fails_and_closed_forms_do_not() -> None:
    failing = get_suite("more_wild").with_failures(1.0)
    assert all(np.isfinite(p.fun(p.start)) for p in failing)
    x = ROSENBROCK.start + 1.0
    assert np.isnan(failing["rosenbrock+failures:rate=1"].fun(x))
    p = failing["rosenbrock+failures:rate=1"]
    np.testing.assert_array_equal(p.gradient(x), ROSENBROCK.gradient(x))


def outside_the_disc(x: Any) -> bool:
    return bool(x @ x > 9.0)


def test_failures_fill_a_region_which_is_a_box_or_a_function() -> None:
    box = ROSENBROCK.with_failures(region={"lower": [0.0, -1.0], "upper": 1.0})
    assert np.isnan(box.fun([0.5, 0.0]))
    assert np.isfinite(box.fun([-0.1, 0.0]))
    assert np.isfinite(box.fun([0.5, 1.1]))
    disc = ROSENBROCK.with_failures(kind="exception", region=outside_the_disc)
    assert disc.name == "rosenbrock+failures:kind=exception,region=outside_the_disc"
    with pytest.raises(EvaluationFailedError):
        disc.fun([3.0, 0.1])
    some = ROSENBROCK.with_failures(0.5, region={"lower": 0.0})
    xs = np.random.default_rng(1).uniform(-1, 1, (1000, 2))
    failed, inside = np.isnan(some.fun_batch(xs)), (xs >= 0).all(axis=1)
    assert not failed[~inside].any()
    assert 0.4 < failed[inside].mean() < 0.6


def test_a_solver_gets_around_failures() -> None:
    result = om.minimize(
        ROSENBROCK.with_failures(0.1, "exception").fun,
        ROSENBROCK.start,
        "scipy_neldermead",
        error_handling="continue",
        algo_options={"stopping_maxfun": 2000},
    )
    assert result.fun < 1e-6
    assert 0.02 < result.history.failed.mean() < 0.2


# --- scaling ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rosenbrock", "osborne_1", "watson_n9", "mancino_n8", "bdqrtic_n11"])
def test_derivatives_in_scaled_variables_are_those_of_complex_steps_and_jax(name: str) -> None:
    scaled = SUITE[name].with_scaling(decades=2, seed=5)
    z = scaled.start * 1.01
    h = 1e-200
    columns = [scaled.residuals(z + 1j * h * e).imag / h for e in np.eye(scaled.n)]
    jacobian = np.stack(columns, axis=1)
    np.testing.assert_allclose(scaled.jacobian(z), jacobian, rtol=1e-10, atol=1e-10 * np.abs(jacobian).max())
    np.testing.assert_allclose(scaled.gradient(z), 2 * scaled.residuals(z) @ scaled.jacobian(z), rtol=1e-12)
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64():
        gradient = jax.jit(jax.grad(scaled.fun)).lower(z).compile({"xla_backend_optimization_level": "0"})
        np.testing.assert_allclose(gradient(z), scaled.gradient(z), rtol=1e-7)


def test_everything_that_is_known_moves_with_the_variables() -> None:
    d = np.array([1e3, 1e-2])
    problem = Problem(
        name="p",
        start=np.array([-1.2, 1.0]),
        m=2,
        residuals_xp=ROSENBROCK.residuals_xp,
        jacobian_np=lambda x: csr_array(ROSENBROCK.jacobian(x)),
        pattern=lambda: csr_array(np.ones((2, 2), dtype=bool)),
        bounds=[(-2.0, None), (None, 3.0)],  # type: ignore[arg-type]
        x_opt=np.ones(2),
        f_opt=0.0,
        local_optima=(LocalOptimum(1.0, (2.0, 2.0)), LocalOptimum(2.0)),
        certified=Certified(np.ones(2), np.full(2, 0.1), 0.0, "me"),
    )
    scaled = problem.with_scaling(d)
    np.testing.assert_allclose(scaled.start * d, problem.start, rtol=1e-15)
    assert scaled.bounds is not None
    np.testing.assert_allclose(scaled.bounds.lower, [-2e-3, -np.inf], rtol=1e-15)
    np.testing.assert_allclose(scaled.bounds.upper, [np.inf, 3e2], rtol=1e-15)
    assert scaled.fun(scaled.x_opt) < 1e-25
    assert scaled.f_start == pytest.approx(problem.f_start, rel=1e-13)
    np.testing.assert_allclose(scaled.local_optima[0].x, [2e-3, 2e2], rtol=1e-15)
    assert scaled.local_optima[1].x is None
    assert scaled.certified is not None
    np.testing.assert_allclose(scaled.certified.std, [1e-4, 10.0], rtol=1e-15)
    jacobian = scaled.jacobian(scaled.start)
    assert isinstance(jacobian, csr_array)
    expected = (csr_array(ROSENBROCK.jacobian(problem.start)) @ diags_array(d)).toarray()
    np.testing.assert_allclose(jacobian.toarray(), expected, rtol=1e-13)
    xs = points(scaled, 5)
    np.testing.assert_allclose(scaled.residuals_batch(xs), [scaled.residuals(x) for x in xs], rtol=1e-14)


def test_drawn_factors_are_powers_of_ten_that_the_seed_and_the_name_decide() -> None:
    pairs = zip(SUITE, SUITE.with_scaling(), strict=True)
    powers = np.log10(np.concatenate([p.start / q.start for p, q in pairs if p.start.all()]))
    np.testing.assert_allclose(powers, np.rint(powers), atol=1e-12)
    assert set(np.rint(powers)) == {-3, -2, -1, 0, 1, 2, 3}
    one, other = (Scaling(seed=seed).diagonal(SUITE["osborne_2"]).tolist() for seed in (0, 1))
    assert one != other


# --- the bounded twin ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.01, 0.5, 1.0])
def test_bounds_cut_off_the_solution_and_keep_the_start(fraction: float) -> None:
    for p in SUITE.with_bounds(fraction, seed=2):
        original = p.original
        assert p.bounds is not None
        assert original.x_opt is not None
        lower, upper = p.bounds.lower, p.bounds.upper
        assert ((lower <= p.start) & (p.start <= upper)).all()
        cut = (original.x_opt < lower) | (upper < original.x_opt)
        differing = np.count_nonzero(original.x_opt != p.start)
        assert 1 <= cut.sum() <= max(1, round(fraction * differing + 0.01))
        np.testing.assert_array_equal(np.isfinite(lower) | np.isfinite(upper), cut)
        assert (p.f_opt, p.x_opt, p.local_optima) == (None, None, ())


STRICT = {"ftol": 0.0, "gtol": 1e-12, "maxiter": 5000}


@pytest.mark.parametrize("name", ["rosenbrock", "helical_valley", "kowalik_osborne", "watson_n6"])
def test_a_bounded_solver_ends_at_another_point_with_a_higher_value(name: str) -> None:
    twin = SUITE[name].with_bounds()
    assert twin.bounds is not None
    bounds = np.stack([twin.bounds.lower, twin.bounds.upper], axis=1)
    found = minimize(twin.fun, twin.start, jac=twin.gradient, method="L-BFGS-B", bounds=bounds, options=STRICT)
    at_bound = (found.x == twin.bounds.lower) | (found.x == twin.bounds.upper)
    assert at_bound.any()
    assert twin.original.f_opt is not None
    assert found.fun > twin.original.f_opt + 1e-8
    assert found.fun < twin.f_start


def test_tighter_bounds_stay_and_unknown_solutions_are_refused_or_left_out() -> None:
    bounded = Problem(
        name="p",
        start=np.zeros(2),
        m=2,
        residuals_xp=lambda x, xp: x - 1,
        x_opt=np.ones(2),
        bounds=om.Bounds(-1.0, 0.25),
    )
    twin = bounded.with_bounds(1.0)
    assert twin.bounds is not None
    assert twin.bounds.upper.tolist() == [0.25, 0.25]
    assert twin.bounds.lower.tolist() == [-1.0, -1.0]
    unknown = Problem(name="u", start=np.zeros(2), m=2, residuals_xp=lambda x, xp: x - 1)
    with pytest.raises(InvalidInputError, match="bounded of problem 'u': its x_opt isn't known"):
        unknown.with_bounds()
    assert Suite("mine", (unknown, bounded)).with_bounds().names == ("p+bounded",)
    with pytest.raises(InvalidInputError, match="its x_opt isn't known"):
        Suite("mine", (unknown,)).with_bounds()
    there = Problem(name="t", start=np.ones(2), m=2, residuals_xp=lambda x, xp: x - 1, x_opt=np.ones(2))
    with pytest.raises(InvalidInputError, match="its start is at x_opt"):
        there.with_bounds()


# --- starts ----------------------------------------------------------------------------------------------------------


def test_more_starts_are_more_problems_of_the_same_function() -> None:
    first, second, third = BARD.with_starts(3, seed=4)
    assert first is BARD
    assert (second.name, third.name) == ("bard+start:number=2,seed=4", "bard+start:number=3,seed=4")
    reach = 0.5 * np.maximum(1, np.abs(BARD.start))
    for p in (second, third):
        assert (np.abs(p.start - BARD.start) > 0).all()
        assert (np.abs(p.start - BARD.start) <= reach).all()
        assert p.fun(p.start) == p.f_start == BARD.fun(p.start)
        assert p.f_opt == BARD.f_opt
    assert not np.array_equal(second.start, third.start)
    suite = SUITE.filter(n_max=2).with_starts(2)
    assert suite.names[:2] == ("rosenbrock", "rosenbrock+start:number=2")


def test_starts_that_fail_are_drawn_again() -> None:
    failing = [ROSENBROCK.with_failures(0.5, "exception", seed=seed).with_starts(2)[1] for seed in range(10)]
    assert all(np.isfinite(p.fun(p.start)) for p in failing)
    assert all(np.array_equal(p.clean.start, p.start) for p in failing)
    assert len({p.start.tobytes() for p in failing}) > 1


# --- cost ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sleep", "busy"])
def test_evaluations_take_at_least_their_time(kind: str) -> None:
    costly = ROSENBROCK.with_cost(0.02, kind, jac_seconds=0.03)

    def seconds(call: Any, *args: Any) -> float:
        began = perf_counter()
        call(*args)
        return perf_counter() - began

    assert seconds(costly.fun, costly.start) >= 0.02
    assert seconds(costly.residuals, costly.start) >= 0.02
    assert seconds(costly.residuals_batch, np.ones((4, 2))) >= 0.08
    assert seconds(costly.jacobian, costly.start) >= 0.03
    assert seconds(costly.gradient, costly.start) >= 0.03
    assert costly.clean is ROSENBROCK


def test_sleeping_leaves_the_core_to_others() -> None:
    costly = ROSENBROCK.with_cost(0.1)
    began = process_time()
    costly.fun(costly.start)
    assert process_time() - began < 0.09


# --- nesting ---------------------------------------------------------------------------------------------------------

ALL = (
    Noise("multiplicative", 1e-2),
    Failures(0.1, seed=1),
    Scaling(decades=1),
    Bounded(),
    Start(2),
    Cost(0.0),
)


@pytest.mark.parametrize("order", [ALL, ALL[::-1], (*ALL[2:], *ALL[:2]), (*ALL, Noise("rounded", 5))], ids=range(4))
def test_transformations_nest_in_any_order(order: tuple[Any, ...]) -> None:
    # Bounded needs a solution, and the start that it cuts off from: both are there in any order.
    nested = SUITE["kowalik_osborne"].transform(*order)
    clean = nested.clean
    assert nested.transformations == order
    assert nested.original is SUITE["kowalik_osborne"]
    assert nested.noise.startswith("multiplicative 0.01")
    assert clean.noise == ""
    assert set(clean.transformations) == {t for t in order if t.moves}
    np.testing.assert_array_equal(clean.start, nested.start)
    assert nested.bounds is not None
    assert clean.bounds is not None
    np.testing.assert_array_equal(clean.bounds.lower, nested.bounds.lower)
    assert nested.f_start == clean.fun(nested.start)
    xs = points(nested, 30)
    values = np.array([nested.fun(x) for x in xs])
    assert 0 < np.isnan(values).sum() < 15
    ok = ~np.isnan(values)
    np.testing.assert_allclose(values[ok], [clean.fun(x) for x in xs[ok]], rtol=0.2)
    np.testing.assert_allclose(nested.gradient(xs[0]), clean.gradient(xs[0]), rtol=1e-13)
    again = pickle.loads(pickle.dumps(nested))
    np.testing.assert_array_equal([again.fun(x) for x in xs], values)
    assert not again.start.flags.writeable
    rebuilt = SUITE["kowalik_osborne"].transform(*order)
    np.testing.assert_array_equal([rebuilt.fun(x) for x in xs], values)
    assert rebuilt.name == nested.name


def test_names_say_what_was_done_in_order() -> None:
    p = ROSENBROCK.with_bounds().with_scaling([2.0, 0.5]).with_failures(0.25, seed=3).with_cost(1e-5)
    assert p.full_name == (
        "more_wild/rosenbrock+bounded+scaled:factors=2;0.5+failures:rate=0.25,seed=3+cost:seconds=1e-05"
    )
    long = SUITE["osborne_2"].with_scaling(np.arange(1.0, 12.0))
    other = SUITE["osborne_2"].with_scaling(np.arange(2.0, 13.0))
    assert long.name != other.name
    assert len(long.name) < 40


def test_suites_and_their_filters_go_with_transformations() -> None:
    noisy = SUITE.with_noise("wild", 0.1).filter(n_max=3, tags="zero_residual")
    assert noisy.names == SUITE.filter(n_max=3, tags="zero_residual").names
    assert all(p.noise == "wild 0.1" for p in noisy)
    assert noisy["rosenbrock"] is not ROSENBROCK
    assert pickle.loads(pickle.dumps(noisy)).names == noisy.names


@pytest.mark.parametrize(
    ("cls", "given", "error", "message"),
    [
        (Failures, {"rate": 1.5}, InvalidInputError, "failures: rate must be a number above 0 and up to 1, but is 1.5"),
        (Failures, {"kind": "nam"}, UnknownNameError, "unknown kind of failures 'nam'; did you mean 'nan'"),
        (Failures, {"region": {"lowr": 1}}, UnknownNameError, "region of failures 'lowr'; did you mean 'lower'"),
        (Failures, {"region": {}}, InvalidInputError, "a region needs lower or upper"),
        (Failures, {"region": {"lower": "a"}}, InvalidInputError, "lower of the region must be a number or one for"),
        (Failures, {"region": 3}, InvalidInputError, "region must be a table {lower, upper} or a function"),
        (Scaling, {"factors": [1.0, -1.0]}, InvalidInputError, "scaling: a factor must be a number above 0, but is -1"),
        (Scaling, {"factors": 3.0}, InvalidInputError, "factors must be a list of numbers, but is 3.0"),
        (Scaling, {"decades": 0}, InvalidInputError, "decades must be a whole number of at least 1, but is 0"),
        (
            Bounded,
            {"fraction": 0},
            InvalidInputError,
            "fraction must be a number above 0 and up to 1, but is 0",
        ),
        (Start, {"number": 0}, InvalidInputError, "start: number must be a whole number of at least 1, but is 0"),
        (Cost, {"seconds": -1}, InvalidInputError, "cost: seconds must be a number of at least 0, but is -1"),
        (Cost, {"kind": "bussy"}, UnknownNameError, "unknown kind of cost 'bussy'; did you mean 'busy'"),
    ],
    ids=str,
)
def test_what_can_not_be_is_an_error_in_words(cls: Any, given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cls.from_plain(given)


def test_a_problem_that_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidInputError, match="scaling of problem 'more_wild/bard': there are 2 factors, but 3 var"):
        BARD.with_scaling([1.0, 2.0])
    with pytest.raises(InvalidInputError, match="failures of problem 'more_wild/bard': the start lies in the region"):
        BARD.with_failures(region={"lower": 0.0})
    with pytest.raises(InvalidInputError, match="lower of the region has 2 numbers, but the problem 3 variables"):
        BARD.with_failures(region={"lower": [0.0, 1.0]})
    with pytest.raises(InvalidInputError, match="starts: count must be a whole number of at least 1, but is 0"):
        BARD.with_starts(0)
