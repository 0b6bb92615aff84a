"""Names and values of options: harmonised, aliases, those of the libraries, and what can't be."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest

import optcore as om
from optcore.errors import UnknownNameError
from optcore.solvers.options import OPTIONS
from tests.cases import in_one_test

SHIPPED = om.algos.shipped().names


def test_an_alias_is_the_same_option_in_the_constructor_and_in_algo_options():
    expected = om.algos.scipy_lbfgsb(limited_memory_storage_length=5)
    assert om.algos.scipy_lbfgsb(memory=5) == expected
    assert om.algos.scipy_lbfgsb.from_options({"memory": 5}) == expected
    assert "memory" not in repr(expected).replace("limited_memory_storage_length", "")
    assert [f.name for f in dataclasses.fields(expected)].count("memory") == 0
    runs = [
        om.minimize(lambda x: ((x - 1) ** 4).sum(), np.arange(6.0), algorithm, algo_options=options)
        for algorithm, options in (
            ("scipy_lbfgsb", {"memory": 2}),
            (om.algos.scipy_lbfgsb(memory=2), None),
            (om.algos.scipy_lbfgsb(memory=7), {"memory": 2}),
            (om.algos.scipy_lbfgsb(memory=7), {"limited_memory_storage_length": 2}),
        )
    ]
    for run in runs[1:]:
        np.testing.assert_array_equal(run.history.flat_params, runs[0].history.flat_params)


def test_an_alias_survives_replace():
    changed = dataclasses.replace(om.algos.scipy_lbfgsb(memory=5), stopping_maxiter=3)
    assert changed == om.algos.scipy_lbfgsb(memory=5, stopping_maxiter=3)


def test_an_option_given_under_both_of_its_names_is_an_error():
    cls = om.algos.scipy_lbfgsb
    with pytest.raises(
        om.InvalidInputError, match="memory is another name of limited_memory_storage_length of scipy_lb"
    ):
        cls(memory=5, limited_memory_storage_length=7)
    with pytest.raises(
        om.InvalidInputError, match="limited_memory_storage_length of scipy_lbfgsb is given twice, the se"
    ):
        cls.from_options({"limited_memory_storage_length": 5, "memory": 5})
    with pytest.raises(om.InvalidInputError, match=r"given twice, the second time as 'convergence\.gtol_abs'"):
        cls.from_options({"convergence_gtol_abs": 1e-3, "convergence.gtol_abs": 1e-3})


@pytest.mark.parametrize("name", [name for name in SHIPPED if getattr(om.algos, name).aliases])
def test_every_alias_is_declared_for_the_constructor_too(name):
    cls = getattr(om.algos, name)
    for alias, option in cls.aliases.items():
        assert cls(**{alias: 3}) == cls(**{option: 3}) != cls()


@pytest.mark.parametrize(
    ("algorithm", "theirs", "message"),
    [
        ("scipy_lbfgsb", "maxcor", "'maxcor': scipy calls it maxcor; here it is limited_memory_storage_length"),
        ("scipy_lbfgsb", "gtol", "scipy calls it gtol; here it is convergence_gtol_abs"),
        ("scipy_neldermead", "fatol", "scipy calls it fatol; here it is convergence_ftol_abs"),
        ("scipy_bfgs", "maxiter", "scipy calls it maxiter; here it is stopping_maxiter"),
        ("scipy_ls_trf", "max_nfev", "scipy calls it max_nfev; here it is stopping_maxfun"),
        ("scipy_ls_lm", "xtol", "scipy calls it xtol; here it is convergence_xtol_rel"),
        ("scipy_differential_evolution", "popsize", "scipy calls it popsize; here it is population_size_multiplier"),
        ("scipy_dual_annealing", "maxfun", "scipy calls it maxfun; here it is stopping_maxfun"),
        ("scipy_trust_exact", "initial_trust_radius", "here it is trustregion_initial_radius"),
        ("scipy_brent", "xtol", "scipy calls it xtol; here it is convergence_xtol_rel"),
        ("nlopt_bobyqa", "maxeval", "nlopt calls it maxeval; here it is stopping_maxfun"),
        ("scipy_lbfgsb", "memroy", "unknown option of scipy_lbfgsb 'memroy'; did you mean 'memory'?"),
        ("scipy_lbfgsb", "convergence_ftol_abs", "did you mean 'convergence_gtol_abs'|'convergence_ftol_rel'"),
    ],
)
def test_names_of_the_library_are_told_what_they_are_called_here(algorithm, theirs, message):
    with pytest.raises(UnknownNameError, match=message):
        om.minimize(lambda x: x @ x, np.ones(2), algorithm, algo_options={theirs: 1})


@in_one_test("name", SHIPPED)
def test_no_option_is_called_as_the_library_calls_another_one(name):
    cls = getattr(om.algos, name)
    assert set(cls.library_names) <= set(cls.option_names())
    clashes = {ours: theirs for ours, theirs in cls.library_names.items() if theirs in cls.option_names()}
    assert all(ours == theirs for ours, theirs in clashes.items())


BAD = [
    ("scipy_lbfgsb", "convergence_ftol_rel", -1e-9, "a number of at least 0"),
    ("scipy_lbfgsb", "convergence_gtol_abs", float("nan"), "a number of at least 0"),
    ("scipy_lbfgsb", "convergence_gtol_abs", "1e-5", "a number of at least 0"),
    ("scipy_lbfgsb", "convergence_gtol_abs", True, "a number of at least 0"),
    ("scipy_lbfgsb", "stopping_maxfun", 0, "a whole number of at least 1"),
    ("scipy_lbfgsb", "stopping_maxfun", 2.5, "a whole number of at least 1"),
    ("scipy_lbfgsb", "stopping_maxiter", float("inf"), "a whole number of at least 1"),
    ("scipy_lbfgsb", "memory", 0, "a whole number of at least 1"),
    ("scipy_bfgs", "armijo_condition", 1.0, "a number between 0 and 1"),
    ("scipy_neldermead", "adaptive", 1, "True or False"),
    ("scipy_cobyqa", "trustregion_initial_radius", 0, "a finite number above 0, or None"),
    ("scipy_truncated_newton", "max_hess_evaluations_per_iteration", -2, "a whole number of at least -1"),
    ("scipy_trust_ncg", "trustregion_acceptance", 0.25, "a number of at least 0 and below 0.25"),
    ("scipy_ls_trf", "tr_solver", "exakt", "one of 'exact', 'lsmr', or None"),
    ("scipy_ls_trf", "tr_solver_options", 3, "a dict of options, or None"),
    ("scipy_differential_evolution", "strategy", "best", "one of 'best1bin', "),
    ("scipy_differential_evolution", "mutation_constant", (0.5, 2), "a number of at least 0 and below 2, or a pair"),
    ("scipy_differential_evolution", "seed", -1, "a whole number of at least 0, or None"),
    ("scipy_differential_evolution", "recombination_constant", 1.1, "a number from 0 to 1"),
    ("scipy_dual_annealing", "accept", 0, "a number from -10000 to -5"),
    ("scipy_dual_annealing", "visit", 3, "a number between 1 and 3"),
    ("scipy_basinhopping", "take_step", 3, "a function, or None"),
    ("scipy_brute", "n_grid_points", 0, "a whole number of at least 1"),
    ("nlopt_lbfgsb", "limited_memory_storage_length", 0, "a whole number of at least 1, or None"),
]


@pytest.mark.parametrize(("algorithm", "option", "value", "rule"), BAD)
def test_a_value_that_can_not_be_says_what_came_and_what_may(algorithm, option, value, rule):
    cls = getattr(om.algos, algorithm)
    name = cls.aliases.get(option, option)
    message = f"^{name} of {algorithm} must be {rule}.*, but is "
    with pytest.raises(om.InvalidInputError, match=message) as caught:
        cls(**{option: value})
    assert str(caught.value).endswith(f"but is {value!r}")
    with pytest.raises(om.InvalidInputError, match=message):
        om.minimize(lambda x: x @ x, np.ones(2), algorithm, algo_options={option: value})


def test_whole_floats_and_numpy_numbers_are_taken_as_whole_numbers():
    made = om.algos.scipy_lbfgsb(
        stopping_maxfun=1e4, stopping_maxiter=np.int64(7), convergence_ftol_rel=np.float64(0.1)
    )
    assert (made.stopping_maxfun, made.stopping_maxiter) == (10_000, 7)
    assert all(type(value) is int for value in (made.stopping_maxfun, made.stopping_maxiter))


@in_one_test("name", [name for name in SHIPPED if name.startswith(("scipy_", "nlopt_"))])
def test_every_option_of_every_algorithm_has_a_rule_and_its_default_keeps_it(name):
    cls = getattr(om.algos, name)
    rules = {option: known.rule for option, known in OPTIONS.items()} | dict(cls.rules)
    for option in dataclasses.fields(cls):
        kept = rules[option.name].check(name, option.name, option.default)
        assert kept == option.default
        assert type(kept) is type(option.default)


def test_a_user_s_own_algorithm_is_checked_where_it_uses_harmonised_names_and_may_have_rules_of_its_own():
    @dataclasses.dataclass(frozen=True)
    class Own(om.Algorithm):
        name = "own"
        library = "optcore"
        rules: ClassVar = {"rate": OPTIONS["trustregion_initial_radius"].rule}
        rate: float = 0.1
        stopping_maxiter: int = 5
        whatever: object = None

    assert Own(whatever="anything").stopping_maxiter == 5
    with pytest.raises(om.InvalidInputError, match="stopping_maxiter of own must be a whole number of at least 1"):
        Own(stopping_maxiter=-1)
    with pytest.raises(om.InvalidInputError, match="rate of own must be a finite number above 0"):
        Own(rate=-0.1)
