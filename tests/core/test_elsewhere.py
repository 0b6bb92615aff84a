"""Arguments of other libraries are never ignored: each is one of ours, or an error says what to use instead."""

import inspect

import numpy as np
import pytest
import scipy.optimize

import optcore as om
from optcore.elsewhere import ELSEWHERE
from tests.cases import in_one_test

OURS = set(inspect.signature(om.minimize).parameters) - {"unknown"}
#: The arguments of optimagic.minimize in its version 0.5.3, with the names that it had before 0.5.
OPTIMAGIC = {
    "fun", "params", "algorithm", "bounds", "constraints", "fun_kwargs", "algo_options", "jac", "jac_kwargs",
    "fun_and_jac", "fun_and_jac_kwargs", "numdiff_options", "logging", "error_handling", "error_penalty",
    "scaling", "multistart", "collect_history", "skip_checks", "x0", "method", "args", "hess", "hessp",
    "callback", "options", "tol", "criterion", "criterion_kwargs", "derivative", "derivative_kwargs",
    "criterion_and_derivative", "criterion_and_derivative_kwargs", "log_options", "scaling_options",
    "multistart_options", "lower_bounds", "upper_bounds", "soft_lower_bounds", "soft_upper_bounds",
}  # fmt: skip
#: Those of lmfit.minimize in its version 1.3.
LMFIT = {
    "fcn", "params", "method", "args", "kws", "iter_cb", "scale_covar", "nan_policy", "reduce_fcn",
    "calc_covar", "max_nfev",
}  # fmt: skip
SCIPY = [*inspect.signature(scipy.optimize.minimize).parameters]
LEAST_SQUARES = [*inspect.signature(scipy.optimize.least_squares).parameters]


@in_one_test("name", sorted({*OPTIMAGIC, *LMFIT, *SCIPY, *LEAST_SQUARES}))
def test_every_argument_of_the_peers_is_ours_or_is_answered(name):
    assert name in OURS or name in ELSEWHERE


@in_one_test("name", sorted(ELSEWHERE))
@in_one_test("function", [om.minimize, om.maximize])
def test_the_answer_names_the_argument_and_what_to_use(name, function):
    assert name not in OURS
    with pytest.raises(om.InvalidInputError, match=f"^{function.__name__} has no argument {name!r}: ") as caught:
        function(lambda x: x @ x, np.ones(2), "scipy_lbfgsb", **{name: None})
    assert ELSEWHERE[name] in str(caught.value)


@pytest.mark.parametrize("name", ["budget", "algo_options", "fun_kwargs", "fixed", "numdiff_options", "algorithm"])
def test_what_the_answers_send_users_to_exists(name):
    assert any(name in answer for answer in ELSEWHERE.values())
    assert name in OURS
