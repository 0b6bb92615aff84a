"""What a solver may ask, and how it is answered from the user's functions (see dispatch.py for who answers what).

Nothing is computed twice at one x: the last few points are remembered.
"""

from __future__ import annotations

import contextlib
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from optcore import sparse
from optcore.bounds import FlatBounds
from optcore.dispatch import Answer, Question, answer_to
from optcore.errors import InvalidFunctionError
from optcore.evaluator import Evaluator, Status, StopSolver
from optcore.functions import FlatFun, FlatFunAndJac, FlatJac, gradient_of, scalar_of
from optcore.history import FUN, FUN_AND_JAC
from optcore.ledger import BATCH_SHIFT
from optcore.marks import Kind
from optcore.penalty import Penalty
from optcore.tree import Converter

__all__ = ["Functions", "Objective"]

Vector = NDArray[np.float64]
_REMEMBERED = 4
_MOST_REPETITIONS = 1000
_INFINITY = float("inf")
#: Up to this length the sum of a list is faster than a product of arrays.
_SHORT = 32


@dataclass(frozen=True)
class Functions:
    """The user functions that serve one solver; at least fun or fun_and_jac is there."""

    fun: FlatFun | None
    jac: FlatJac | None
    fun_and_jac: FlatFunAndJac | None

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are there."""
        return tuple(name for name in ("fun", "jac", "fun_and_jac") if getattr(self, name) is not None)


class _Point:
    """What is known at one x. Values and gradients have the solver's sign.

    Class attributes serve as defaults: points are made at every step of a solver, and an __init__ would cost more
    than the rest of them.
    """

    output: Any = None  # of fun: a float or a vector
    value: float | None = None
    derivative: Any = None  # (n,) or (m, n)
    gradient: Vector | None = None
    kind: Kind = Kind.SCALAR  # of the derivative
    failed: bool = False
    unclaimed: dict[int, int] | None = None  # batches of the derivative, as long as nobody has asked for it


class Objective:
    """What a solver may ask. All vectors are flat float64, all answers are to be minimized.

    Arrays are copied when they are remembered and when they are given again: user functions may use their buffers
    anew, and solvers may write into what they get.

    Attributes:
        kind: "scalar", "least_squares", or "likelihood" for solvers that work on contributions.
        n: number of params.
        m: number of residuals or contributions (None for scalar solvers, and before the first answer).
        bounds: the flat bounds.
    """

    def __init__(
        self,
        kind: Kind,
        functions: Functions,
        evaluator: Evaluator,
        differences: Any,
        *,
        x0: Vector,
        bounds: FlatBounds,
        converter: Converter,
        sign: int = 1,
        solver_copies_x: bool = False,
        solver_never_returns: bool = False,
    ) -> None:
        self.kind = kind
        self.n = x0.size
        self.m: int | None = None
        self.bounds = bounds
        self.x0 = x0
        self.evaluator = evaluator
        self._fun, self._jac, self._fun_and_jac = functions.fun, functions.jac, functions.fun_and_jac
        self._call_fun, self._call_jac, self._call_fun_and_jac = (
            None if function is None else evaluator.caller(function, may_change_x=solver_copies_x)
            for function in (self._fun, self._jac, self._fun_and_jac)
        )
        self._given = functions.names
        finders = {
            "fun": self._ask_fun,
            "jac": self._ask_jac,
            "fun_and_jac": self._ask_fun_and_jac,
            "fun, jac": self._ask_fun_then_jac,
            "differences": self._ask_differences,
        }
        #: Whether a value comes with a numerical derivative although nobody has asked for it yet.
        speculates = differences is not None and self.answers("derivative") == "differences" and differences.speculates
        self._find_value = self._ask_ahead if speculates else finders[self.answers("value")]
        self._find_derivative = finders[self.answers("derivative")]
        self._find_both = (
            partial(self._ask_differences, ask_value=True)
            if self.answers("both") == "differences"
            else finders[self.answers("both")]
        )
        #: Whether value and gradient are what fun and jac return, without sign or chain rule: the hot path.
        self._value_is_fun = self._fun is not None and self._fun.kind is Kind.SCALAR and sign == 1 and not speculates
        self._gradient_is_jac = self._jac is not None and self._jac.kind is Kind.SCALAR and sign == 1
        #: Whether plain values and gradients need not be remembered, since the solver never asks for them again.
        self._forgets = solver_never_returns
        self._is_short = x0.size <= _SHORT
        self._differences = differences
        self._converter = converter
        self._sign = sign
        self._points: dict[bytes, _Point] = {}
        self._order: deque[bytes] = deque()  # of the points, the oldest first
        self._penalty: Penalty | None = None
        self._repetitions = 0
        self._warned = False

    @property
    def derivative_precision(self) -> float:
        """Relative error of the derivatives, about: the rounding error, or that of the differences."""
        eps: float = self._converter.eps
        if self._differences is None:
            return eps
        power = {"complex_step": 1.0, "central": 2 / 3}.get(self._differences.options.method, 1 / 2)
        return float(eps**power)

    # what solvers ask ----------------------------------------------------------------------------------------------

    def value(self, x: Vector) -> float:
        """The objective at x, shape (n,)."""
        point = self._points.get(data := x.tobytes())
        if point is not None and point.value is not None:
            self._count_repetition()
            return point.value
        if self._value_is_fun:
            output = self._call_fun(x, data)  # type: ignore[misc]  # there is fun
            if output is not None and -_INFINITY < output < _INFINITY:
                if not self._forgets:
                    point = point or self._remember(data)
                    point.output = point.value = output
                return output  # type: ignore[no-any-return]
            point = point or self._remember(data)
            self._set_output(point, x, Kind.SCALAR, output)
        else:
            point = point or self._remember(data)
            self._find_value(point, x)
        return point.value  # type: ignore[return-value]  # found above

    def gradient(self, x: Vector) -> Vector:
        """The gradient at x, shape (n,)."""
        point = self._points.get(data := x.tobytes())
        if point is not None:
            if point.unclaimed is not None:
                self._claim(point)
            if point.gradient is not None:
                self.evaluator.check_time()
                return point.gradient.copy()
        if self._gradient_is_jac and (point is None or (point.derivative is None and not point.failed)):
            gradient = self._call_jac(x, data)  # type: ignore[misc]  # there is jac
            # One finite number says that all entries are finite.
            if gradient is not None and (
                -_INFINITY < (sum(gradient.tolist()) if self._is_short else gradient.dot(gradient)) < _INFINITY
            ):
                if not self._forgets:
                    point = point or self._remember(data)
                    point.gradient = point.derivative = gradient.copy()
                return gradient  # type: ignore[no-any-return]
            point = point or self._remember(data)
            self._take_derivative(point, Kind.SCALAR, gradient, "jac", x)
        point = point or self._remember(data)
        if point.derivative is None and not point.failed:
            self._find_derivative(point, x)
        if point.gradient is None:
            self._chain(point, x)
        return point.gradient.copy()  # type: ignore[union-attr]  # found above

    def value_and_gradient(self, x: Vector) -> tuple[float, Vector]:
        """Both at one x, as cheaply as they can be had together."""
        point = self._points.get(data := x.tobytes()) or self._remember(data)
        if point.value is None and point.derivative is None:
            self._find_both(point, x)
        return self.value(x), self.gradient(x)

    def residuals(self, x: Vector) -> Vector:
        """The residuals (or contributions) at x, shape (m,). Infinite where they are not a number."""
        point = self._points.get(data := x.tobytes()) or self._remember(data)
        if point.value is None:
            self._find_value(point, x)
        else:
            self._count_repetition()
        if point.failed:
            assert self._penalty is not None
            share = self._penalty.value(x) / (self.m or 1)
            return np.full(self.m or 1, share if self.kind is Kind.LIKELIHOOD else share**0.5)
        output: Vector = point.output if self._sign == 1 else -point.output
        if point.value == np.inf:  # solvers know what to do with inf, not with NaN
            output = np.where(np.isnan(output), np.inf, output)
        return output.copy()

    def jacobian(self, x: Vector) -> sparse.Jacobian:
        """The jacobian of the residuals (or contributions) at x, shape (m, n).

        It is sparse if it came so and the solver takes it.
        """
        point = self._points.get(data := x.tobytes()) or self._remember(data)
        if point.unclaimed is not None:
            self._claim(point)
        if point.derivative is None and not point.failed:
            self._find_derivative(point, x)
        else:
            self.evaluator.check_time()
        if point.failed:
            assert self._penalty is not None
            m = self.m or 1
            inner = m if self.kind is Kind.LIKELIHOOD else 2 * (m * self._penalty.value(x)) ** 0.5
            return np.tile(self._penalty.gradient(x) / inner, (m, 1))
        return point.derivative.copy() if self._sign == 1 else -point.derivative

    def residuals_and_jacobian(self, x: Vector) -> tuple[Vector, sparse.Jacobian]:
        """Both at one x, as cheaply as they can be had together."""
        point = self._points.get(data := x.tobytes()) or self._remember(data)
        if point.value is None and point.derivative is None:
            self._find_both(point, x)
        return self.residuals(x), self.jacobian(x)

    def scalar_callables(self, *, jointly: bool) -> tuple[Callable[[Vector], float], Callable[[Vector], Vector]]:
        """Functions (value, gradient) for a solver that takes two.

        Args:
            jointly: the solver asks for the gradient wherever it asks for the value; then the value comes with
                the gradient wherever that saves a call or a round.
        """
        if not jointly or self.answers("both") == "fun, jac":
            return self.value, self.gradient

        def value(x: Vector) -> float:
            point = self._points.get(data := x.tobytes()) or self._remember(data)
            if point.value is None and point.derivative is None:
                self._find_both(point, x)
                if point.value is not None:
                    return point.value
            return self.value(x)

        def gradient(x: Vector) -> Vector:
            # Some solvers ask for the gradient first.
            return self.gradient(x) if x.tobytes() in self._points else self.value_and_gradient(x)[1]

        return value, gradient

    @contextlib.contextmanager
    def one_batch(self) -> Iterator[None]:
        """Values and residuals that are asked for within could be had at the same time: their rows share one batch.

        Numerical derivatives that come with them keep batches of their own.
        """
        evaluator = self.evaluator
        group = evaluator.new_batch() << BATCH_SHIFT
        before = self._call_fun, self._call_fun_and_jac
        self._call_fun, self._call_fun_and_jac = (
            None if function is None else evaluator.caller(function, code=function.task | group)
            for function in (self._fun, self._fun_and_jac)
        )
        try:
            yield
        finally:
            self._call_fun, self._call_fun_and_jac = before

    def forget(self) -> None:
        """Forget all points, for solvers that average several evaluations of a noisy function at one x."""
        self._points.clear()
        self._order.clear()

    def start(self, *, jointly: bool) -> float:
        """Evaluate the start and refuse it if it can't be one. Returns the value in the solver's sense.

        Args:
            jointly: the solver will ask for value and derivative together.
        """
        point = self._remember(self.x0.tobytes())
        if jointly:
            self._find_both(point, self.x0)
        else:
            self._find_value(point, self.x0)
        value = point.value
        if point.failed or value is None:
            self._fail_at_start()
        if not np.isfinite(value):
            raise InvalidFunctionError(
                f"the function is {self._sign * value if value != np.inf else 'not finite (nan or inf)'} at the start "
                f"{self._converter.describe(self.x0)}; start where it is finite"
            )
        self._penalty = Penalty(self.x0, value)
        return value

    def finish(self, x: Vector) -> None:
        """Evaluate the final point of a solver that looked at derivatives only; otherwise its value is known."""
        ledger = self.evaluator.ledger
        counts = ledger.counts
        if counts[FUN] + counts[FUN_AND_JAC] <= 1 and x.tobytes() != self.x0.tobytes():
            value = self._sign * self.value(x)
            if self.bounds.contain(x):
                ledger.consider(value, x.tobytes())

    @property
    def best_x(self) -> Vector | None:
        """The best feasible point that was asked for so far, shape (n,); None before the first."""
        return self.evaluator.ledger.best_x

    def answers(self, question: Question) -> Answer:
        """Who answers a question of the solver.

        Raises:
            AssertionError: nobody can, which `choose` has ruled out.
        """
        answer = answer_to(question, self._given)
        assert answer is not None
        return answer

    # how answers are found -----------------------------------------------------------------------------------------

    def _count_repetition(self) -> None:
        """End a solver that goes round in circles: nothing is computed twice, so no budget of calls would stop it."""
        self.evaluator.check_time()
        self._repetitions += 1
        if self._repetitions > _MOST_REPETITIONS:
            raise StopSolver(
                Status.STOPPED, f"the solver asked {_MOST_REPETITIONS} times in a row for values that it had been given"
            )

    def _remember(self, data: bytes) -> _Point:
        """A new point, and the oldest forgotten."""
        self._repetitions = 0
        points = self._points
        while len(points) >= _REMEMBERED:
            try:
                points.pop(self._order.popleft(), None)
            except IndexError:  # another thread was faster
                break
        self._order.append(data)
        point = points[data] = _Point()
        return point

    def _ask_fun(self, point: _Point, x: Vector) -> None:
        assert self._fun is not None
        assert self._call_fun is not None
        self._set_output(point, x, self._fun.kind, self._call_fun(x, x.tobytes()))

    def _ask_jac(self, point: _Point, x: Vector) -> None:
        assert self._jac is not None
        assert self._call_jac is not None
        self._take_derivative(point, self._jac.kind, self._call_jac(x, x.tobytes()), "jac", x)

    def _ask_fun_and_jac(self, point: _Point, x: Vector) -> None:
        assert self._fun_and_jac is not None
        assert self._call_fun_and_jac is not None
        pair = self._call_fun_and_jac(x, x.tobytes())
        if pair is None:
            self._fail(point, x)
            return
        kind = self._fun_and_jac.kind
        self._set_output(point, x, kind, pair[0])
        if not point.failed:
            self._take_derivative(point, kind, pair[1], "fun_and_jac", x)

    def _ask_fun_then_jac(self, point: _Point, x: Vector) -> None:
        self._ask_fun(point, x)
        if not point.failed:
            self._ask_jac(point, x)

    def _ask_differences(self, point: _Point, x: Vector, *, ask_value: bool = False) -> None:
        assert self._fun is not None
        batches: dict[int, int] | None = {} if ask_value else None
        done = self._differences.derivative(x, point.output, ask_value=ask_value, batches=batches)
        if batches:  # perhaps it is only the value that anybody will ask for
            point.unclaimed = batches
            self.evaluator.ledger.speculate(batches)
        if done is None:
            self._fail(point, x)
            return
        if point.value is None and done.output is not None:
            self._set_output(point, x, self._fun.kind, done.output)
        if not point.failed:
            self._take_derivative(point, self._fun.kind, done.derivative, "the numerical derivative of fun", x)

    def _ask_ahead(self, point: _Point, x: Vector) -> None:
        """The value, and in the same round the derivative that may be asked for next."""
        if point.derivative is None and not point.failed:
            self._ask_differences(point, x, ask_value=True)
        else:
            self._ask_fun(point, x)

    def _claim(self, point: _Point) -> None:
        """The numerical derivative that came with a value is asked for."""
        batches, point.unclaimed = point.unclaimed, None
        self.evaluator.ledger.claim(batches or ())

    def _set_output(self, point: _Point, x: Vector, kind: Kind, output: Any) -> None:
        if output is None:
            self._fail(point, x)
            return
        value = self._sign * (scalar_of(kind, output) if kind is not Kind.SCALAR else output)
        if self.m is None and kind is not Kind.SCALAR:
            self.m = len(output)
        point.output = output if kind is Kind.SCALAR else output.copy()
        point.value = value if value == value else _INFINITY
        if point.value == _INFINITY and self._penalty is not None:  # the start is refused elsewhere, in words
            if self.evaluator.survives:
                self.evaluator.ledger.mark_failed(x.tobytes())
                self._fail(point, x)
            elif value != value:
                self._warn_not_a_number(x)

    def _take_derivative(self, point: _Point, kind: Kind, derivative: Any, source: str, x: Vector) -> None:
        """Keep a derivative that was just computed (None: the call failed), unless it can't be used."""
        if derivative is None:
            self._fail(point, x)
            return
        flat = sparse.entries(derivative)
        if not -_INFINITY < flat.dot(flat) < _INFINITY:
            if self.evaluator.survives and not np.isfinite(flat).all():
                self.evaluator.ledger.mark_failed(x.tobytes() if source in ("jac", "fun_and_jac") else None)
                self._fail(point, x)
                return
            if np.isnan(flat).any():
                self._reject_nan(point, derivative, source, x)
                return
        point.derivative, point.kind = derivative.copy(), kind

    def _chain(self, point: _Point, x: Vector) -> None:
        """Set the gradient from the derivative."""
        if point.failed:
            assert self._penalty is not None
            point.gradient = self._penalty.gradient(x)
            return
        if point.kind is not Kind.SCALAR and point.output is None:
            self._find_value(point, x)
        gradient = gradient_of(point.kind, point.output, point.derivative)
        point.gradient = gradient if self._sign == 1 else -gradient

    # what can go wrong ---------------------------------------------------------------------------------------------

    def _fail(self, point: _Point, x: Vector) -> None:
        if self._penalty is None:
            self._fail_at_start()
        else:
            point.failed = True
            point.value = self._penalty.value(x)

    def _fail_at_start(self) -> NoReturn:
        cause = self.evaluator.last_failure
        what = "a derivative is nan" if cause is None else f"{type(cause).__name__}: {cause}"
        raise InvalidFunctionError(
            f"the user functions failed at the start {self._converter.describe(self.x0)} ({what}); "
            "start where they can be evaluated"
        ) from cause

    def _reject_nan(self, point: _Point, derivative: sparse.Jacobian, source: str, x: Vector) -> None:
        if point.value == np.inf:  # there can't be a derivative where there is no value: point back to the start
            point.derivative = sparse.without_nan(derivative)
            point.gradient = np.zeros_like(x) if self._penalty is None else self._penalty.gradient(x)
            return
        names = ", ".join(repr(self._converter.names[i]) for i in sparse.nan_columns(derivative)[:5])
        raise InvalidFunctionError(
            f"{source} is nan for {names} at params {self._converter.describe(x)}; "
            "mend it, or survive such points with error_handling='continue'"
        )

    def _warn_not_a_number(self, x: Vector) -> None:
        if not self._warned and self._penalty is not None:  # at the start it is an error
            self._warned = True
            warnings.warn(
                f"fun is nan at {self._converter.describe(x)}; solvers get +inf there "
                "(shown once for this optimization)",
                RuntimeWarning,
                stacklevel=2,
            )
