"""Derivatives of user functions by differences: prepared once, called often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds, flatten_bounds
from optcore.errors import InvalidFunctionError, InvalidInputError, UserFunctionError, unknown_name
from optcore.evaluator import Backend, Evaluator
from optcore.functions import FlatFun
from optcore.history import FUN, NUMDIFF
from optcore.ledger import Ledger
from optcore.marks import Kind
from optcore.numdiff.backends import get_backend
from optcore.numdiff.options import NumdiffOptions
from optcore.numdiff.schemes import Plan, Steps, choose_steps, default_scale, plan_points, relative_step
from optcore.residuals import ResidualReader
from optcore.tree import Converter

__all__ = ["Differences", "NumdiffResult", "NumericalDerivative", "first_derivative"]

Vector = NDArray[np.float64]
EPS_SINGLE = float(np.finfo(np.float32).eps)


class Differenced(NamedTuple):
    """What one derivative gave."""

    output: Any  # at x; None if it was neither known nor asked for
    derivative: NDArray[np.float64]  # (n,) or (m, n)
    steps: Steps
    n_evaluations: dict[str, int]  # by purpose
    n_rounds: int = 1


class Differences:
    """Derivatives of one flat function. What minimize and NumericalDerivative both use.

    Args:
        function: the user function.
        evaluator: makes and counts the calls.
        converter: reads steps given as trees.
        bounds: the points stay within them.
        options: how to take differences.
    """

    def __init__(
        self,
        function: FlatFun,
        evaluator: Evaluator,
        converter: Converter,
        bounds: FlatBounds,
        options: NumdiffOptions,
    ) -> None:
        self.options = options
        self._function = function
        self._evaluator = evaluator
        self._bounds = bounds
        self._backend: Backend | None = get_backend(options.batch_evaluator, options.n_cores)
        self._shipped: Any = function if self._backend is None else _Shipped(function)
        self._step = _positive(converter, options.step_size, "step_size")
        self._typical = _positive(converter, options.typical_x, "typical_x")
        self._factor = converter.flatten_partial(options.scaling_factor, default=1.0, what="scaling_factor")
        self._eps = converter.eps
        self._converter = converter
        self._checked = options.method != "complex_step"

    def steps(self, x: Vector) -> Steps:
        """The steps at x, shape (n,)."""
        h = relative_step(self.options.method, self._eps) * self._factor * default_scale(x, self._typical)
        if self._step is not None:
            h = np.where(np.isnan(self._step), h, self._step)
        steps = choose_steps(self.options.method, x, h, self._box(x))
        if not steps.h.all():
            self._refuse_vanishing(x, h, steps)
        return steps

    def _box(self, x: Vector) -> FlatBounds:
        """What the points must stay in: the bounds, and x, since some solvers leave the bounds on their way."""
        bounds = self._bounds
        if not bounds.any or bounds.contain(x):
            return bounds
        return FlatBounds(np.minimum(bounds.lower, x), np.maximum(bounds.upper, x))

    def _refuse_vanishing(self, x: Vector, h: Vector, steps: Steps) -> None:
        for i in np.flatnonzero((steps.h == 0) & (steps.scheme != "fixed")):
            raise InvalidInputError(
                f"the step {h[i]:g} for {self._converter.names[i]!r} vanishes in the rounding of {float(x[i])!r}; "
                "give a larger step_size, scaling_factor or typical_x"
            )

    def derivative(self, x: Vector, base: Any = None, *, ask_value: bool = False) -> Differenced | None:
        """The derivative at x, shape (n,), and the value there if it is known or asked for, in one batch.

        Args:
            x: the point.
            base: output of the function at x, where it is known already.
            ask_value: the value at x is wanted for its own sake too. Wherever it is computed it counts as a call of
                fun, since the solver asked about x.

        Returns:
            None if a call failed and failures are to be survived.
        """
        steps = self.steps(x)
        plan = plan_points(x, steps, self._box(x))
        check = None if self._checked else self._check_point(x)
        with_base = base is None and (ask_value or plan.needs_base or check is not None)
        extra = [x] if with_base else []
        points = np.vstack([*extra, plan.points, *([] if check is None else [check])])
        tasks = [FUN] * with_base + [NUMDIFF] * (len(points) - with_base)
        outputs = self._evaluate(points, tasks)
        if outputs is None:
            return None
        if with_base:
            base, *outputs = outputs
        if self._function.is_single and self._eps < EPS_SINGLE:
            # Steps for double precision vanish in its rounding. Once is enough to learn that.
            self._eps = EPS_SINGLE
            again = self.derivative(x, base)
            first = Counter(self._purposes(plan, with_base=with_base, checked=check is not None))
            return again and again._replace(n_evaluations=dict(first + Counter(again.n_evaluations)), n_rounds=2)
        if check is not None:
            *outputs, checked = outputs
        derivative = self._assemble(plan, outputs, base)
        if check is not None:
            self._refuse_if_not_holomorphic(x, check, base, checked, derivative)
            self._checked = True
        spent = self._purposes(plan, with_base=with_base, checked=check is not None)
        return Differenced(base, derivative, steps, spent)

    @staticmethod
    def _purposes(plan: Plan, *, with_base: bool, checked: bool) -> dict[str, int]:
        purposes = {"base": int(with_base), "differences": len(plan.points), "check": int(checked)}
        return {purpose: number for purpose, number in purposes.items() if number}

    def _evaluate(self, points: NDArray[Any], tasks: list[int]) -> list[Any] | None:
        try:
            outputs = self._evaluator.batch(self._shipped, points, tasks, self._backend)
        except UserFunctionError as error:
            if self.options.method != "complex_step" or not isinstance(
                error.__cause__, (TypeError, np.exceptions.ComplexWarning)
            ):
                raise
            raise InvalidFunctionError(
                f"complex_step needs a function that takes complex params, but {error}; "
                "use numpy's functions instead of math's, or another method"
            ) from error
        if outputs is not None and self._backend is not None:
            outputs = [self._shipped.learn(output) for output in outputs]
        return outputs

    def _assemble(self, plan: Plan, outputs: list[Any], base: Any) -> NDArray[np.float64]:
        if not outputs:  # every coordinate is fixed
            shape = np.shape(base)
            return np.zeros((*shape, plan.base_weight.size))
        values = np.asarray(outputs)
        if self.options.method == "complex_step":
            values = values.imag
        return plan.derivative(values, None if base is None else np.real(base))

    # complex step: is the function what it must be? ---------------------------------------------------------------

    def _check_point(self, x: Vector) -> NDArray[np.complex128]:
        """One real point nearby, in a direction that doesn't cancel by symmetry."""
        direction = 0.5 + 0.5 * np.modf(np.arange(1, x.size + 1) * 0.6180339887498949)[0]
        h = self._eps**0.5 * default_scale(x, self._typical) * direction
        box = self._box(x)
        steps = choose_steps("forward", x, h, box)
        return np.clip(x + steps.h, box.lower, box.upper).astype(np.complex128)

    def _refuse_if_not_holomorphic(
        self,
        x: Vector,
        check: NDArray[np.complex128],
        base: Any,
        checked: Any,
        derivative: NDArray[np.float64],
    ) -> None:
        move = check.real - x
        real = np.real(np.asarray(checked) - np.asarray(base))
        size = np.abs(derivative) @ np.abs(move)
        rounding = 100 * self._eps * np.max(np.abs(np.real(base)), initial=0.0)
        wrong = np.abs(real - derivative @ move) > 1e-2 * (size + np.abs(real)) + rounding
        if np.any(wrong):
            raise InvalidFunctionError(
                "complex_step disagrees with a real difference: the function isn't holomorphic (abs, max, "
                "comparisons, float() or numpy.linalg.norm on the params drop the imaginary part); rewrite it, or use "
                "method='central'"
            )


class _Shipped:
    """The function as it goes to workers. Each sends along once what it learnt of the value: structure, precision."""

    def __init__(self, function: FlatFun) -> None:
        self.task, self.name = function.task, function.name
        self._function = function
        self._sent = False

    def __call__(self, x: NDArray[Any]) -> tuple[Any, float]:
        output, value = self._function(x)
        learnt = None if self._sent else (self._function.reader.structure, self._function.is_single)
        self._sent = True
        return (output, learnt), value

    def learn(self, pair: tuple[Any, Any]) -> Any:
        output, learnt = pair
        if learnt is not None:
            structure, self._function.is_single = learnt
            if structure is not None:
                self._function.reader.learn(structure)
        return output


def _positive(converter: Converter, tree: Any, what: str) -> Vector | None:
    if tree is None:
        return None
    flat = converter.flatten_partial(tree, default=np.nan, what=what)
    for i in np.flatnonzero(flat <= 0):
        raise InvalidInputError(f"{what} of {converter.names[i]!r} must be above 0, but is {flat[i]}")
    return flat


@dataclass(frozen=True)
class NumdiffResult:
    """A numerical derivative and what it cost.

    Attributes:
        derivative: has the structure of params (of the function's value, with params inside, for other than numbers).
        func_value: value of the function at params.
        step: the signed steps that were taken, a tree like params; 0 where fixed.
        scheme: for each name of a param the formula: "forward", "backward", "central", "forward_3", "backward_3",
            "complex_step" or "fixed".
        error: estimated error; None, since plain fixed steps don't give one.
        noise: level of noise that the steps were chosen for; None, since plain fixed steps assume none.
        failures: points that could not be evaluated and were done without; plain fixed steps do without none.
        n_evaluations: calls of the function by purpose: "base", "differences", and "check" where a complex step was
            compared with a real difference, which happens once.
        n_rounds: number of batches, one after the other.
    """

    derivative: Any
    func_value: Any
    step: Any
    scheme: dict[str, str]
    n_evaluations: dict[str, int]
    n_rounds: int
    error: Any = None
    noise: float | None = None
    failures: tuple[Any, ...] = ()


class NumericalDerivative:
    """The derivative of a function, prepared once and called with params many times.

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
        self._converter = Converter(params)
        self._reader = ResidualReader(self._converter)
        # Of the kinds with vectors the one whose scalar value is cheap and doesn't overflow; it isn't used.
        function = FlatFun(func, Kind.LIKELIHOOD, func_kwargs or {}, self._converter, self._reader)
        self._bounds = flatten_bounds(bounds, self._converter, self._converter.start)
        self._evaluator = Evaluator(Ledger(self._converter.n, keep="none"), self._converter.describe)
        self._differences = Differences(
            function, self._evaluator, self._converter, self._bounds, _checked_options(options)
        )

    def __call__(self, params: Any) -> NumdiffResult:
        """The derivative at params."""
        x = self._converter.flatten(params)
        self._check_point(x)
        done = self._differences.derivative(x, ask_value=True)
        assert done is not None
        names = self._converter.names
        bad = ~np.isfinite(np.atleast_2d(done.derivative)).all(axis=0)
        for i in np.flatnonzero(bad):
            raise InvalidFunctionError(
                f"the numerical derivative is not finite at {names[i]!r}: the function returned "
                f"{self._reader.unflatten(done.output)!r} at params and values that don't give a derivative around it; "
                "bounds= keep the points inside the domain, step_size= sets smaller steps"
            )
        return NumdiffResult(
            derivative=self._reader.tree_of(done.derivative),
            func_value=self._reader.unflatten(done.output),
            step=self._converter.tree_of(done.steps.h),
            scheme=dict(zip(names, map(str, done.steps.scheme), strict=True)),
            n_evaluations=done.n_evaluations,
            n_rounds=done.n_rounds,
        )

    def _check_point(self, x: Vector) -> None:
        for i in np.flatnonzero(~((self._bounds.lower <= x) & (x <= self._bounds.upper) & np.isfinite(x))):
            raise InvalidInputError(
                f"{self._converter.names[i]!r} is {x[i]}, but a derivative needs finite params within the bounds "
                f"[{self._bounds.lower[i]}, {self._bounds.upper[i]}]"
            )

    def __enter__(self) -> NumericalDerivative:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to release: the pool of workers is shared and ends with the process."""


def _checked_options(options: NumdiffOptions | None) -> NumdiffOptions:
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
    >>> result = om.first_derivative(lambda p: p["a"] ** 2 + p["b"], {"a": 3.0, "b": 1.0}, method="central")
    >>> {name: round(value, 6) for name, value in result.derivative.items()}
    {'a': 6.0, 'b': 1.0}
    >>> result.n_evaluations
    {'base': 1, 'differences': 4}
    """
    known = [option.name for option in fields(NumdiffOptions)]
    for name in numdiff_options:
        if name not in known:
            raise unknown_name("argument of first_derivative", name, [*known, "bounds", "func_kwargs", "options"])
    combined = replace(_checked_options(options), **numdiff_options)
    return NumericalDerivative(func, params, bounds=bounds, options=combined, func_kwargs=func_kwargs)(params)
