"""Marks and annotations: what kind a function is, and that a marked function stays what it was."""

import functools
import pickle

import cloudpickle
import numpy as np
import pytest

import optcore as om
from optcore.marks import Kind, kind_of


def plain(x):
    return x @ x


@om.mark.least_squares
def residuals(x):
    """Documented."""
    return x - 1


def by_float(x) -> float: ...
def by_scalar(x) -> om.ScalarFunctionValue: ...
def by_least_squares(x) -> om.LeastSquaresFunctionValue: ...
def by_likelihood(x) -> om.LikelihoodFunctionValue: ...
def by_text(x) -> "om.LeastSquaresFunctionValue": ...
def by_pair(x) -> tuple[om.LeastSquaresFunctionValue, np.ndarray]: ...
def by_unknown(x) -> "NotDefinedAnywhere": ...  # noqa: F821  that is the case
def by_array(x) -> np.ndarray: ...
def of_unknown(x: "NotDefinedAnywhere") -> "om.LeastSquaresFunctionValue": ...  # noqa: F821  that is the case
def of_words(x: "a vector") -> om.LeastSquaresFunctionValue: ...  # noqa: F722  that is the case
def by_words(x) -> "a number": ...  # noqa: F722  that is the case
def without(x: float): ...


class Model:
    def __call__(self, x) -> om.LeastSquaresFunctionValue:
        return x

    @om.mark.least_squares
    def method(self, x):
        return x

    def annotated(self, x) -> "om.LeastSquaresFunctionValue":
        return x


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (plain, "scalar"),
        (lambda x: x, "scalar"),
        (sum, "scalar"),
        (om.mark.scalar(plain), "scalar"),
        (residuals, "least_squares"),
        (om.mark.likelihood(plain), "likelihood"),
        (om.mark.scalar(residuals), "scalar"),
        (functools.partial(residuals), "least_squares"),
        (om.mark.least_squares(functools.partial(plain)), "least_squares"),
        (by_float, "scalar"),
        (by_scalar, "scalar"),
        (by_least_squares, "least_squares"),
        (by_likelihood, "likelihood"),
        (by_text, "least_squares"),
        (by_pair, "least_squares"),
        (by_unknown, "scalar"),
        (by_array, "scalar"),
        (of_unknown, "least_squares"),
        (of_words, "least_squares"),
        (by_words, "scalar"),
        (without, "scalar"),
        (Model().annotated, "least_squares"),
        (functools.wraps(by_text)(lambda *args: by_text(*args)), "least_squares"),
        (om.mark.scalar(by_least_squares), "scalar"),
        (Model().method, "least_squares"),
    ],
)
def test_the_kind_comes_from_the_mark_then_the_annotation_and_is_scalar_otherwise(function, kind):
    assert kind_of(function) is Kind(kind)


def test_a_mark_does_not_change_the_function():
    marked = om.mark.least_squares(plain)
    assert kind_of(plain) is Kind.SCALAR
    assert marked is not plain
    assert marked.__name__ == "plain"
    assert residuals.__doc__ == "Documented."
    assert marked(np.ones(2)) == 2


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps], ids=["pickle", "cloudpickle"])
def test_a_marked_function_of_a_module_pickles_and_keeps_its_kind(dumps):
    again = pickle.loads(dumps(residuals))
    assert kind_of(again) is Kind.LEAST_SQUARES
    np.testing.assert_array_equal(again(np.ones(2)), [0, 0])


@pytest.mark.parametrize("kind", ["scalar", "least_squares", "likelihood"])
def test_marking_something_else_than_a_function_is_an_error(kind):
    with pytest.raises(TypeError, match=f"om.mark.{kind} takes a function, but got 3"):
        getattr(om.mark, kind)(3)


@pytest.mark.parametrize("wrapper", [om.FunctionValue, om.LeastSquaresFunctionValue])
def test_a_function_value_with_information_counts_as_its_value(wrapper):
    @om.mark.least_squares
    def fun(x):
        return wrapper(x - 1, info={"anything": x})

    for algorithm in ("scipy_ls_lm", "scipy_lbfgsb"):
        np.testing.assert_allclose(om.minimize(fun, np.zeros(2), algorithm).params, 1, atol=1e-6)


def test_a_scalar_function_value_may_come_from_fun_and_from_fun_and_jac():
    def both(x):
        return om.ScalarFunctionValue(x @ x), 2 * x

    np.testing.assert_array_equal(om.minimize(fun_and_jac=both, params=np.ones(2), algorithm="scipy_lbfgsb").params, 0)
