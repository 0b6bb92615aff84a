"""iminuit, Py-BOBYQA and DFO-LS: options as in a direct call of the library, bounds, noise, seeds, messages.

The tests of all algorithms (test_counts.py, test_errors.py, test_bounds.py, test_solvers.py, test_optimize.py) run over
them, too.
"""

import re

import numpy as np
import pytest

import optcore as om
from tests.core.counting import (
    CENTRE,
    ELLIPSE_START,
    ROSENBROCK_START,
    Counted,
    Given,
    ellipse,
    ellipse_gradient,
    ellipse_jacobian,
    ellipse_residuals,
    of,
    rosenbrock,
    rosenbrock_gradient,
    rosenbrock_residuals,
)

NAG = ["nag_dfols", "nag_pybobyqa"]
EXTRAS = [*NAG, "iminuit_migrad"]


def distinct(points):
    """Without points that come a second time, since the latest ones are remembered here."""
    seen = {np.asarray(x).tobytes(): x for x in points}
    return np.array(list(seen.values()))


def nag(algorithm):
    """The library of one of the two, and what it minimizes."""
    library = pytest.importorskip(of(algorithm).library)
    return library, Counted(rosenbrock if algorithm == "nag_pybobyqa" else rosenbrock_residuals, of(algorithm).kind)


# the options of DFO-LS and Py-BOBYQA ---------------------------------------------------------------------------------

#: What optimagic documents as defaults, in the words of the libraries, where these have other ones.
DEFAULTS = {"slow.thresh_for_slow": 1e-8}
#: Options and the same in the libraries' words: arguments of solve and, with a dot, user_params.
OPTIONS = [
    ({}, {}),
    ({"trustregion_initial_radius": 0.5}, {"rhobeg": 0.5}),
    ({"convergence.minimal_trustregion_radius_tolerance": 1e-3}, {"rhoend": 1e-3}),
    ({"stopping_maxfun": 20}, {"maxfun": 20}),
    ({"trustregion_n_interpolation_points": 4}, {"npt": 4}),
    ({"trustregion_threshold_successful": 0.3, "trustregion_threshold_very_successful": 0.9},
     {"tr_radius.eta1": 0.3, "tr_radius.eta2": 0.9}),
    ({"trustregion_shrinking_factor_not_successful": 0.3, "trustregion_expansion_factor_successful": 1.5,
      "trustregion_expansion_factor_very_successful": 2.5},
     {"tr_radius.gamma_dec": 0.3, "tr_radius.gamma_inc": 1.5, "tr_radius.gamma_inc_overline": 2.5}),
    ({"trustregion_shrinking_factor_lower_radius": 0.4, "trustregion_shrinking_factor_upper_radius": 0.7},
     {"tr_radius.alpha1": 0.4, "tr_radius.alpha2": 0.7}),
    ({"threshold_for_safety_step": 0.1, "interpolation_rounding_error": 0.01},
     {"general.safety_step_thresh": 0.1, "general.rounding_error_constant": 0.01}),
    ({"trustregion_precondition_interpolation": False, "clip_criterion_if_overflowing": False},
     {"interpolation.precondition": False, "general.check_objfun_for_overflow": False}),
    ({"convergence_slow_progress": {"threshold_to_characterize_as_slow": 0.5, "max_insufficient_improvements": 3,
                                    "comparison_period": 2}},
     {"slow.thresh_for_slow": 0.5, "slow.max_slow_iters": 3, "slow.history_for_slow": 2}),
    ({"noise_additive_level": 1e-3, "trustregion_reset_options": {"use_resets": False}},
     {"objfun_has_noise": True, "noise.additive_noise_level": 1e-3, "restarts.use_restarts": False}),
    ({"noise_multiplicative_level": 1e-2, "convergence_noise_corrected_criterion_tolerance": 0.5,
      "trustregion_reset_options": {"use_resets": False}},
     {"objfun_has_noise": True, "noise.multiplicative_noise_level": 1e-2, "noise.scale_factor_for_quit": 0.5,
      "restarts.use_restarts": False}),
    ({"trustregion_reset_options": {
        "use_resets": True, "reset_type": "hard", "max_consecutive_unsuccessful_resets": 2,
        "minimal_trustregion_radius_tolerance_scaling_at_reset": 0.5, "reuse_criterion_value_at_hard_reset": False}},
     {"restarts.use_restarts": True, "restarts.use_soft_restarts": False, "restarts.max_unsuccessful_restarts": 2,
      "restarts.rhoend_scale": 0.5, "restarts.hard.use_old": False}),
    ({"trustregion_reset_options": {
        "auto_detect": False, "auto_detect_history": 10, "auto_detect_min_jacobian_increase": 0.1,
        "auto_detect_min_correlations": 0.2, "points_to_replace_at_soft_reset": 2, "move_center_at_soft_reset": False,
        "max_iterations_without_new_best_after_soft_reset": 5}},
     {"restarts.auto_detect": False, "restarts.auto_detect.history": 10, "restarts.auto_detect.min_chg": 0.1,
      "restarts.auto_detect.min_correl": 0.2, "restarts.soft.num_geom_steps": 2, "restarts.soft.move_xk": False,
      "restarts.soft.max_fake_successful_steps": 5}),
]  # fmt: skip
DFOLS = [
    ({"convergence_criterion_value": 1e-2}, {"model.abs_tol": 1e-2}),
    ({"convergence_ftol_scaled": 1e-2}, {"model.rel_tol": 1e-2}),
    ({"trustregion_n_interpolation_points": 4, "trustregion_n_extra_points_to_replace_successful": 1,
      "trustregion_method_to_replace_extra_points": "momentum", "stopping_maxfun": 8},
     {"npt": 4, "regression.num_extra_steps": 1, "regression.momentum_extra_steps": True, "maxfun": 8}),
    ({"trustregion_fast_start_options": {"min_initial_points": 1, "method": "jacobian", "safety_steps": False,
                                         "scale_of_jacobian_components_perturbation": 0.1,
                                         "jacobian_max_condition_number": 1e4, "geometry_improving_steps": True,
                                         "shrinking_factor_not_successful": 0.2}, "stopping_maxfun": 6},
     {"growing.ndirs_initial": 1, "growing.full_rank.use_full_rank_interp": True,
      "growing.perturb_trust_region_step": False, "growing.safety.do_safety_step": False,
      "growing.full_rank.scale_factor": 0.1, "growing.full_rank.svd_max_jac_cond": 1e4, "growing.do_geom_steps": True,
      "growing.gamma_dec": 0.2, "maxfun": 6}),
    ({"trustregion_fast_start_options": {"min_inital_points": 1, "method": "trustregion",
                                         "scale_of_trustregion_step_perturbation": 0.3,
                                         "shrink_upper_radius_in_safety_steps": True,
                                         "reset_trustregion_radius_after_fast_start": True,
                                         "reset_min_trustregion_radius_after_fast_start": True,
                                         "floor_of_jacobian_singular_values": 0.9,
                                         "full_geometry_improving_step": False,
                                         "n_extra_search_directions_per_iteration": 1}, "stopping_maxfun": 6},
     {"growing.ndirs_initial": 1, "growing.full_rank.use_full_rank_interp": False,
      "growing.perturb_trust_region_step": True, "growing.delta_scale_new_dirns": 0.3,
      "growing.safety.reduce_delta": True, "growing.reset_delta": True, "growing.reset_rho": True,
      "growing.full_rank.svd_scale_factor": 0.9, "growing.safety.full_geom_step": False,
      "growing.num_new_dirns_each_iter": 1, "maxfun": 6}),
    ({"trustregion_reset_options": {"n_extra_interpolation_points_per_soft_reset": 1,
                                    "n_extra_interpolation_points_per_hard_reset": 3, "max_interpolation_points": 6,
                                    "n_additional_extra_points_to_replace_per_reset": 1}},
     {"restarts.increase_npt": True, "restarts.increase_npt_amt": 1, "restarts.hard.increase_ndirs_initial_amt": 2,
      "restarts.max_npt": 6, "regression.increase_num_extra_steps_with_restart": 1}),
]  # fmt: skip
PYBOBYQA = [
    ({"convergence_criterion_value": 0.5}, {"model.abs_tol": 0.5}),
    ({"trustregion_minimum_change_hessian_for_underdetermined_interpolation": False},
     {"interpolation.minimum_change_hessian": False}),
    ({"trustregion_minimum_change_hession_for_underdetermined_interpolation": False},
     {"interpolation.minimum_change_hessian": False}),
    ({"stopping.max_criterion_evaluations": 25}, {"maxfun": 25}),
    ({"trustregion_reset_options": {"use_resets": True, "reset_type": "hard", "max_unsuccessful_resets": 3,
                                    "trust_region_scaling_at_unsuccessful_reset": 2.0}},
     {"restarts.use_restarts": True, "restarts.use_soft_restarts": False,
      "restarts.max_unsuccessful_restarts_total": 3, "restarts.rhobeg_scale_after_unsuccessful_restart": 2.0}),
]  # fmt: skip
#: Words that differ between the two.
DIFFERENT = {
    "nag_dfols": {
        "restarts.hard.use_old": "restarts.hard.use_old_rk",
        "restarts.auto_detect.min_chg": "restarts.auto_detect.min_chgJ_slope",
    },
    "nag_pybobyqa": {
        "restarts.hard.use_old": "restarts.hard.use_old_fk",
        "restarts.auto_detect.min_chg": "restarts.auto_detect.min_chg_model_slope",
    },
}
CASES = [
    (algorithm, options, theirs)
    for algorithm, own in (("nag_dfols", DFOLS), ("nag_pybobyqa", PYBOBYQA))
    for options, theirs in (*OPTIONS, *own)
]


def in_words_of(algorithm, theirs):
    """Arguments of solve, and user_params."""
    words = {DIFFERENT[algorithm].get(word, word): value for word, value in theirs.items()}
    return ({word: words[word] for word in words if ("." in word) == dotted} for dotted in (False, True))


@pytest.mark.parametrize(("algorithm", "options", "theirs"), CASES, ids=lambda value: str(value)[:60])
def test_nag_libraries_get_options_in_their_own_words_and_take_them(monkeypatch, algorithm, options, theirs):
    library, counted = nag(algorithm)
    solve, got = library.solve, {}

    def solve_and_tell(function, x0, **arguments):
        got.update(arguments)
        return solve(function, x0, **arguments)

    monkeypatch.setattr(library, "solve", solve_and_tell)
    result = om.minimize(counted.marked, ROSENBROCK_START, algorithm, algo_options=options, budget=om.Budget(5))
    assert result.status == "budget_evaluations"  # it began
    arguments, params = in_words_of(algorithm, theirs)
    assert {word: got[word] for word in arguments} == arguments
    assert {word: got["user_params"][word] for word in params} == params


RUNS = [
    {},
    {"restarts.use_restarts": True, "rhoend": 1e-2},
    {"restarts.use_restarts": True, "restarts.use_soft_restarts": False, "rhoend": 1e-2},
    {"objfun_has_noise": True, "noise.additive_noise_level": 1e-3, "rhoend": 1e-2},
]
RUN_OPTIONS = [
    {},
    {"trustregion_reset_options": {"use_resets": True}, "convergence_minimal_trustregion_radius_tolerance": 1e-2},
    {"trustregion_reset_options": {"use_resets": True, "reset_type": "hard"},
     "convergence_minimal_trustregion_radius_tolerance": 1e-2},
    {"noise_additive_level": 1e-3, "convergence_minimal_trustregion_radius_tolerance": 1e-2},
]  # fmt: skip


@pytest.mark.parametrize("algorithm", NAG)
@pytest.mark.parametrize(("options", "theirs"), list(zip(RUN_OPTIONS, RUNS, strict=True)), ids=str)
def test_nag_solvers_make_the_iterates_of_a_direct_call_of_the_library(algorithm, options, theirs):
    library, direct = nag(algorithm)
    arguments, params = in_words_of(algorithm, {"rhobeg": 0.12, "maxfun": 60, **DEFAULTS, **theirs})
    np.random.seed(0)  # noqa: NPY002  restarts draw directions
    result = library.solve(direct.call, ROSENBROCK_START, user_params=params, do_logging=False, **arguments)
    counted = Counted(direct.function, of(algorithm).kind)
    options = {"stopping_maxfun": 60, **options}
    ours = om.minimize(counted.marked, ROSENBROCK_START, algorithm, algo_options=options)
    np.testing.assert_array_equal(distinct(counted.points), distinct(direct.points))
    np.testing.assert_array_equal(ours.claims["x"], result.x)
    assert ours.message == result.msg
    assert ours.claims["nfev"] == result.nf
    assert ours.success == (result.flag == result.EXIT_SUCCESS)
    assert ours.n_iterations > 0


@pytest.mark.parametrize("algorithm", NAG)
def test_every_option_of_the_nag_solvers_is_compared_above(algorithm):
    compared = {name.replace(".", "_") for case, options, _ in CASES if case == algorithm for name in options}
    elsewhere = {"initial_directions", "random_directions_orthogonal", "seed", "noise_n_evals_per_point"}
    assert set(of(algorithm).option_names()) <= compared | elsewhere | {"seek_global_optimum"}


@pytest.mark.parametrize("algorithm", NAG)
@pytest.mark.parametrize(("samples", "rule"), [(3, 3), (lambda n_resets, **_: 3 + n_resets, "a function")])
def test_noise_is_averaged_over_calls_at_one_point(algorithm, samples, rule):
    _, counted = nag(algorithm)
    options = {"noise_n_evals_per_point": samples, "noise_additive_level": 1e-2}
    result = om.minimize(
        counted.marked, ROSENBROCK_START, algorithm, algo_options=options, budget=om.Budget(max_evaluations=31)
    )
    assert result.n_fun_evals == len(counted) == 31
    points = [x.tobytes() for x in counted.points[1:]]  # the first call is the check of the start
    assert [points.count(x) for x in dict.fromkeys(points)] == [3] * 10


@pytest.mark.parametrize("algorithm", NAG)
def test_random_directions_repeat_with_the_seed_and_leave_the_users_numbers_alone(algorithm):
    _, counted = nag(algorithm)
    drawn = []

    def fun(x):
        drawn.append(np.random.random())  # noqa: NPY002
        return counted.function(x)

    def run(seed, **options):
        chosen = {"initial_directions": "random", "seed": seed, **options}
        marked = getattr(om.mark, of(algorithm).kind)(fun)
        return om.minimize(marked, ROSENBROCK_START, algorithm, algo_options=chosen, budget=om.Budget(20))

    np.random.seed(5)  # noqa: NPY002
    first, again, other, skewed = (
        run(1).history, run(1).history, run(2).history, run(1, random_directions_orthogonal=False).history
    )  # fmt: skip
    after = np.random.random()  # noqa: NPY002
    np.testing.assert_array_equal(first.flat_params, again.flat_params)
    assert not np.array_equal(first.flat_params, other.flat_params)
    assert not np.array_equal(first.flat_params, skewed.flat_params)
    np.random.seed(5)  # noqa: NPY002
    np.testing.assert_array_equal([*drawn, after], np.random.random(len(drawn) + 1))  # noqa: NPY002


def test_pybobyqa_seeks_a_global_optimum_within_bounds_only():
    of("nag_pybobyqa")

    def bumpy(x):  # Rastrigin: 0 at 0, a local minimum near every whole number
        return float((x**2 - 10 * np.cos(2 * np.pi * x) + 10).sum())

    options = {"seek_global_optimum": True, "convergence_minimal_trustregion_radius_tolerance": 1e-3}
    bounds = om.Bounds(-5.12, 5.12)
    arguments = {"algo_options": options, "budget": om.Budget(max_evaluations=200)}
    start = np.array([3.0])
    assert om.minimize(bumpy, start, "nag_pybobyqa", bounds=bounds).fun > 1
    assert om.minimize(bumpy, start, "nag_pybobyqa", bounds=bounds, **arguments).fun < 1e-6
    with pytest.raises(om.InvalidInputError, match="seeks a global optimum only within finite bounds of all params"):
        om.minimize(bumpy, start, "nag_pybobyqa", bounds=om.Bounds(lower=-5.12), **arguments)


# iminuit -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "theirs"),
    [
        ({}, {}),
        ({"strategy": 0}, {"strategy": 0}),
        ({"strategy": 2}, {"strategy": 2}),
        ({"convergence_ftol_abs": 2e-8}, {"tol": 1e-5}),
        ({"stopping_maxfun": 20}, {"ncall": 20}),
        ({"stopping_maxfun": 20, "n_restarts": 3}, {"ncall": 20, "iterate": 3}),
    ],
    ids=str,
)
@pytest.mark.parametrize("bounds", [None, [(-2, 0.5), (None, 2)]], ids=["free", "bounds"])
def test_migrad_makes_the_iterates_of_a_direct_call_of_iminuit(options, theirs, bounds):
    iminuit = pytest.importorskip("iminuit")
    lower, upper = (-np.inf, np.inf) if bounds is None else (np.array([-2, -np.inf]), np.array([0.5, 2]))
    direct, given = Counted(rosenbrock), Counted(rosenbrock)
    # Within bounds Minuit's own params are angles, and points come back with rounding.
    minuit = iminuit.Minuit(
        lambda x: direct.call(np.clip(x, lower, upper)),
        ROSENBROCK_START,
        grad=lambda x: rosenbrock_gradient(np.clip(x, lower, upper)),
    )
    minuit.limits = bounds or [(None, None)] * 2
    minuit.tol = theirs.get("tol", 0.1)
    minuit.strategy = theirs.get("strategy", 1)
    minuit.migrad(ncall=theirs.get("ncall", 10**6), iterate=theirs.get("iterate", 1))
    ours = om.minimize(
        given.marked, ROSENBROCK_START, "iminuit_migrad", jac=rosenbrock_gradient, bounds=bounds, algo_options=options
    )
    skipped = 0 if bounds is None else 1  # the start itself, of which Minuit sees a rounded one
    asked = distinct(given.points)[skipped:]
    np.testing.assert_array_equal(asked, distinct(direct.points)[-len(asked) :])
    assert ours.claims["nfev"] == minuit.nfcn
    assert ours.claims["njev"] == minuit.ngrad > 0
    assert ours.success == minuit.valid
    assert ours.message.startswith("the estimated distance" if minuit.valid else "no valid minimum: the limit on fu")
    assert ours.n_iterations is None  # Minuit doesn't count them


def test_migrad_takes_its_gradients_from_us():
    of("iminuit_migrad")
    result = om.minimize(rosenbrock, ROSENBROCK_START, "iminuit_migrad")
    assert result.n_numdiff_evals == 2 * result.claims["njev"]


# all three -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", EXTRAS)
def test_params_that_their_bounds_fix_stay_exactly_and_the_others_are_optimized(algorithm):
    given = Given(of(algorithm).kind, ["fun"], ellipse, ellipse_gradient, ellipse_residuals, ellipse_jacobian)
    bounds = om.Bounds([1.0, None, -5.0], [1.0, 3.0, None])
    result = om.minimize(params=list(ELLIPSE_START), algorithm=algorithm, bounds=bounds, **given.arguments)
    assert result.params[0] == 1.0
    assert {x[0] for x in given.counted["fun"].points} == {1.0}
    np.testing.assert_allclose(result.params[1:], CENTRE[1:], atol=1e-2)


@pytest.mark.parametrize("algorithm", EXTRAS)
def test_where_all_params_are_fixed_the_start_is_the_answer(algorithm):
    given = Given(of(algorithm).kind, ["fun"], ellipse, ellipse_gradient, ellipse_residuals, ellipse_jacobian)
    result = om.minimize(params=ELLIPSE_START, algorithm=algorithm, bounds=om.Bounds(1.0, 1.0), **given.arguments)
    np.testing.assert_array_equal(result.params, ELLIPSE_START)
    assert result.success
    assert result.n_fun_evals == 1


@pytest.mark.parametrize("algorithm", EXTRAS)
@pytest.mark.parametrize("width", [1e-9, 1e-3, 0.15])
@pytest.mark.parametrize("place", [0.0, 0.3, 1.0])
def test_small_boxes_and_starts_on_or_near_a_bound_are_no_obstacle(algorithm, width, place):
    given = Given(of(algorithm).kind, ["fun"], ellipse, ellipse_gradient, ellipse_residuals, ellipse_jacobian)
    lower, upper = np.ones(3), np.ones(3) + width
    start = lower + place * width
    result = om.minimize(
        params=start, algorithm=algorithm, bounds=om.Bounds(lower, upper), budget=om.Budget(200), **given.arguments
    )
    np.testing.assert_allclose(result.params, np.clip(CENTRE, lower, upper), rtol=0, atol=0.1 * width)
    points = np.array(given.counted["fun"].points)
    assert ((lower <= points) & (points <= upper)).all()


@pytest.mark.parametrize("algorithm", EXTRAS)
def test_nothing_is_printed(algorithm, capfd):
    given = Given(of(algorithm).kind, ["fun"])
    om.minimize(params=ROSENBROCK_START, algorithm=algorithm, **given.arguments)
    om.minimize(params=ROSENBROCK_START, algorithm=algorithm, budget=om.Budget(7), **given.arguments)
    assert capfd.readouterr() == ("", "")


INVALID = [
    ("iminuit_migrad", {"strategy": 3}, ValueError, "strategy of iminuit_migrad must be 0, 1 or 2, but is 3"),
    ("iminuit_migrad", {"n_restarts": 0}, ValueError, "n_restarts of iminuit_migrad must be at least 1 (a single run"),
    ("iminuit_migrad", {"convergence_ftol_abs": -1.0}, ValueError,
     "convergence_ftol_abs of iminuit_migrad must be a number of at least 0, but is -1.0"),
    *((algorithm, options, error, message.replace("NAME", algorithm)) for algorithm in NAG
      for options, error, message in [
        ({"noise_additive_level": 1.0, "noise_multiplicative_level": 1.0}, ValueError,
         "NAME takes noise_additive_level or noise_multiplicative_level, not both; leave one out"),
        ({"initial_directions": "both"}, ValueError,
         "initial_directions of NAME must be one of 'coordinate', 'random', but is 'both'"),
        ({"trustregion_reset_options": {"use_reset": True}}, LookupError,
         "unknown key of trustregion_reset_options of NAME 'use_reset'; did you mean 'use_resets'?"),
        ({"trustregion_reset_options": {"reset_type": "firm"}}, ValueError,
         "reset_type of NAME must be one of 'soft', 'hard', but is 'firm'"),
        ({"convergence_slow_progress": 1e-3}, ValueError,
         "convergence_slow_progress of NAME must be a dict, but is 0.001"),
        ({"trustregion_initial_radius": 1e-9}, ValueError,
         "NAME can't use what it was given: Error (bad input): rhobeg must be > rhoend"),
        ({"convergence_minimal_trustregion_radius": 1}, LookupError,
         "did you mean 'convergence_minimal_trustregion_radius_tolerance'?"),
    ]),
    ("nag_dfols", {"trustregion_fast_start_options": {"method": "model"}}, ValueError,
     "method in trustregion_fast_start_options of nag_dfols must be one of 'auto', 'jacobian', 'trustregion', but is"),
    ("nag_dfols", {"trustregion_method_to_replace_extra_points": "mass"}, ValueError,
     "of nag_dfols must be one of 'geometry_improving', 'momentum', but is 'mass'"),
    ("nag_dfols", {"trustregion_reset_options": {"n_extra_interpolation_points_per_soft_reset": 3,
                                                 "n_extra_interpolation_points_per_hard_reset": 2}}, ValueError,
     "_per_hard_reset of nag_dfols must be at least n_extra_interpolation_points_per_soft_reset, but 2 is below 3"),
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "options", "error", "message"), INVALID, ids=lambda value: str(value)[:40])
def test_an_option_that_can_not_be_says_why(algorithm, options, error, message):
    fun = om.mark.least_squares(rosenbrock_residuals) if of(algorithm).kind == "least_squares" else rosenbrock
    with pytest.raises(error, match=re.escape(message)):
        om.minimize(fun, ROSENBROCK_START, algorithm, algo_options=options)


@pytest.mark.parametrize("algorithm", NAG)
def test_a_radius_that_does_not_fit_into_the_box_is_an_error(algorithm):
    fun = om.mark.least_squares(rosenbrock_residuals) if of(algorithm).kind == "least_squares" else rosenbrock
    with pytest.raises(om.InvalidInputError, match=r"gap between lower and upper must be at least 2\*rhobeg"):
        om.minimize(
            fun,
            ROSENBROCK_START,
            algorithm,
            bounds=om.Bounds(-1.5, 1.5),
            algo_options={"trustregion_initial_radius": 2},
        )
