"""Derivatives of user functions by differences: prepared once, called often."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import flatten_bounds
from optcore.errors import InvalidFunctionError, InvalidInputError, unknown_name
from optcore.evaluator import Evaluator
from optcore.functions import FlatFun
from optcore.ledger import Ledger
from optcore.marks import FunctionValue, Kind
from optcore.numdiff.differences import Differences
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.result import Differenced, Failure, NumdiffResult
from optcore.numdiff.schemes import all_finite
from optcore.residuals import ResidualReader
from optcore.tree import Converter

__all__ = ["Differences", "NumdiffResult", "NumericalDerivative", "first_derivative"]

Vector = NDArray[np.float64]
#: How far outside the bounds params may be, relative to the bound: rounding of whoever computed them.
SLACK = 1e-12


class NumericalDerivative:
    """The derivative of a function, prepared once and called with params many times.

    What was learnt is kept between calls: measured steps, the level of noise, whether a function is holomorphic, and
    the workers with their copy of the function.

    Args:
        func: takes params, returns a number, an array or a pytree of arrays.
        params: params of the kind that will come, for their structure.
        bounds: no point leaves them (`om.Bounds`, scipy's, or pairs).
        options: `om.NumdiffOptions`.
        func_kwargs: further keyword arguments of func.

    >>> import numpy as np
    >>> import optcore as om
    >>> options = om.NumdiffOptions(method="central")
    >>> with om.NumericalDerivative(lambda x: x @ x, np.ones(2), options=options) as gradient:
    ...     gradient(np.array([1.0, 3.0])).derivative.round(6)
    array([2., 6.])
    """

    def __init__(
        self,
        func: Callable[..., Any],
        params: Any,
        *,
        bounds: Any = None,
        options: NumdiffOptions | None = None,
        func_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if not callable(func):
            raise InvalidInputError(f"func must be a function, but got {func!r}")
        self._options = checked_options(options)
        self._converter = Converter(params)
        self._reader = ResidualReader(self._converter)
        function = AnyFun(func, func_kwargs or {}, self._converter, self._reader)
        self._bounds = flatten_bounds(bounds, self._converter, self._converter.start, slack=SLACK)
        evaluator = Evaluator(Ledger.blank(self._converter.n), self._converter.describe)
        self._differences = Differences(
            function,
            evaluator,
            self._converter,
            self._bounds,
            self._options,
            standalone=True,
            sparse_output=self._converter.is_vector,
        )

    def __call__(self, params: Any) -> NumdiffResult:
        """The derivative at params.

        Raises:
            InvalidInputError: params don't fit, or are outside the bounds.
            InvalidFunctionError: there is no finite derivative for a leaf, which the message names.
            UserFunctionError: the function raised at params; with on_failure="raise" at any point.
        """
        x = self._within_bounds(self._flatten(params))
        done = self._differences.derivative(x, ask_value=True)
        assert done is not None
        derivative, scheme, names = done.derivative, done.steps.scheme, self._converter.names
        is_sparse = not isinstance(derivative, np.ndarray)
        if not all_finite(derivative.data if is_sparse else derivative):
            derivative = derivative.toarray() if is_sparse else derivative
            finite = np.isfinite(derivative)
            bad = ~finite.reshape(-1, x.size).all(axis=0)
            if self._options.on_failure != "mark":
                self._refuse(done, int(np.argmax(bad)))
            derivative, scheme = np.where(finite, derivative, np.nan), np.where(bad, "failed", scheme)
        return NumdiffResult(
            derivative=self._tree_of(derivative),
            func_value=self._func_value(done.output),
            step=self._tree_of(done.steps.h),
            scheme=dict.fromkeys(names, str(scheme[0]))
            if done.steps.uniform
            else dict(zip(names, scheme.tolist(), strict=True)),
            n_evaluations=done.n_evaluations,
            n_rounds=done.n_rounds,
            error=None if done.error is None else self._tree_of(done.error),
            noise=None if done.noise is None else done.noise.item() if done.noise.size == 1 else done.noise,
            failures=tuple(
                Failure(names[i] if i >= 0 else "", self._converter.unflatten(point), reason)
                for i, point, reason in done.failures
            ),
        )

    def _flatten(self, params: Any) -> Vector:
        converter = self._converter
        is_plain = converter.is_vector and type(params) is np.ndarray and params.dtype == np.float64
        if is_plain and params.shape == (converter.n,):
            return np.array(params)
        flat: Vector = converter.flatten(params)
        return flat

    def _tree_of(self, derivative: Any) -> Any:
        if not isinstance(derivative, np.ndarray):  # sparse
            return derivative
        if self._converter.is_vector and derivative.ndim == 1:
            return derivative
        owner = self._converter if derivative.ndim == 1 else self._reader
        return owner.tree_of(derivative)

    def _func_value(self, output: Any) -> Any:
        return self._reader.unflatten(output) if isinstance(output, np.ndarray) else output

    def _refuse(self, done: Differenced, i: int) -> None:
        reasons = list(dict.fromkeys(reason for j, _, reason in done.failures if j == i))
        around = f" (it is {', '.join(reasons[:3])} there)" if reasons else ""
        raise InvalidFunctionError(
            f"the numerical derivative is not finite at {self._converter.names[i]!r}: the function returned "
            f"{self._func_value(done.output)!r} at params and values that don't give a derivative around "
            f"it{around}; bounds= keep the points inside the domain, step_size= sets smaller steps, "
            "on_failure='mark' leaves the entry out"
        )

    def _within_bounds(self, x: Vector) -> Vector:
        lower, upper = self._bounds.lower, self._bounds.upper
        if not self._bounds.any and all_finite(x):
            return x
        inside = np.clip(x, lower, upper)
        with np.errstate(invalid="ignore"):  # infinite params
            fits = np.isfinite(x) & (np.abs(x - inside) <= SLACK * np.abs(inside))
        for i in np.flatnonzero(~fits):
            raise InvalidInputError(
                f"{self._converter.names[i]!r} is {x[i]}, but a derivative needs finite params within the bounds "
                f"[{lower[i]}, {upper[i]}]"
            )
        return inside

    def __enter__(self) -> NumericalDerivative:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release: the pool of workers is shared and ends with the process."""


class AnyFun(FlatFun):
    """A function of which it shows at the first call whether it returns a number or a tree of arrays."""

    def __init__(
        self, function: Callable[..., Any], kwargs: Mapping[str, Any], converter: Converter, reader: ResidualReader
    ) -> None:
        # Of the kinds with vectors the one whose scalar value is cheap and doesn't overflow; it isn't used.
        super().__init__(function, Kind.LIKELIHOOD, kwargs, converter, reader)
        self._is_number: bool | None = None

    def _read_output(self, value: Any, *, is_complex: bool) -> tuple[Any, float]:
        if self._is_number is None:
            plain = value.value if isinstance(value, FunctionValue) else value
            self._is_number = self.reader.structure is None and _is_number(plain)
            if self._is_number:
                self.kind = Kind.SCALAR
        return super()._read_output(value, is_complex=is_complex)


def _is_number(value: Any) -> bool:
    """A number, or what numpy, JAX and the like have in place of one."""
    return isinstance(value, numbers.Number) or (hasattr(value, "dtype") and getattr(value, "shape", None) == ())


def checked_options(options: NumdiffOptions | None) -> NumdiffOptions:
    if options is None:
        return NumdiffOptions()
    if not isinstance(options, NumdiffOptions):
        raise InvalidInputError(f"numdiff options must be om.NumdiffOptions(...), but got {options!r}")
    return options


def first_derivative(
    func: Callable[..., Any],
    params: Any,
    *,
    bounds: Any = None,
    func_kwargs: Mapping[str, Any] | None = None,
    options: NumdiffOptions | None = None,
    **numdiff_options: Any,
) -> NumdiffResult:
    """The first derivative of a function at params, by differences.

    Args:
        func: takes params, returns a number, an array or a pytree of arrays.
        params: where; any pytree.
        bounds: no point leaves them.
        func_kwargs: further keyword arguments of func.
        options: `om.NumdiffOptions`.
        **numdiff_options: fields of NumdiffOptions, instead of or on top of `options`.

    Returns:
        The derivative (structure of params for a function that returns a number) and what it cost.

    >>> import optcore as om
    >>> result = om.first_derivative(lambda p: p["a"] ** 2 + p["b"], {"a": 3.0, "b": 1.0}, method="richardson")
    >>> {name: round(value, 9) for name, value in result.derivative.items()}
    {'a': 6.0, 'b': 1.0}
    >>> result.n_evaluations
    {'base': 1, 'differences': 8}
    >>> result.error["a"] < 1e-9
    True
    """
    known = [option.name for option in fields(NumdiffOptions)]
    for name in numdiff_options:
        if name not in known:
            raise unknown_name("argument of first_derivative", name, [*known, "bounds", "func_kwargs", "options"])
    combined = replace(checked_options(options), **numdiff_options)
    return NumericalDerivative(func, params, bounds=bounds, options=combined, func_kwargs=func_kwargs)(params)
