"""Where derivatives of the user's function can come from: each as what `om.minimize` gets, and as something to try."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import OptcoreError
from optcore.evaluator import Evaluator
from optcore.functions import FlatFunAndJac, FlatJac
from optcore.ledger import Ledger
from optcore.marks import Kind, least_squares, likelihood
from optcore.numdiff.differences import Differences
from optcore.numdiff.options import NumdiffOptions
from optcore.sparse import to_dense
from optcore_bench.advice.task import Task

__all__ = [
    "Failed",
    "Source",
    "Taken",
    "prepare",
    "take_exact",
    "take_numerical",
    "take_steady",
    "user_sources",
    "with_cores",
]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]


class Failed(Exception):  # noqa: N818  it is no error of the program: it is what a table says of a source
    """A source gives no derivative of this function.

    Args:
        words: why.
        n_calls: calls of fun that it took to see that.
    """

    def __init__(self, words: str, n_calls: int = 0) -> None:
        super().__init__(words)
        self.n_calls = n_calls


@dataclass(frozen=True, eq=False)
class Source:
    """One way to get derivatives.

    Attributes:
        name: what studies call it.
        arguments: of `om.minimize`, beside fun and params.
        options: how differences are taken; None where a function of the user, or JAX, gives the derivative.
        exact: that function, of flat vectors.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    options: NumdiffOptions | None = None
    exact: FlatJac | None = None

    @property
    def has_value(self) -> bool:
        """Whether value and derivative come from one call."""
        return isinstance(self.exact, FlatFunAndJac)

    @classmethod
    def numerical(cls, name: str, options: NumdiffOptions) -> Source:
        """Differences of the user's function."""
        return cls(name, {} if options == NumdiffOptions() else {"numdiff_options": options}, options)


class Taken(NamedTuple):
    """A derivative that was taken, and what that cost.

    Attributes:
        derivative: shape (n,) or (m, n).
        n_calls: calls of the user's function.
        seconds: how long each of these took; of a function that gives the derivative, how long that took.
        error: bound of the error, like derivative; None where there is none.
        noise: level of noise of the values, shape () or (m,); None where it wasn't looked for.
        output: the value at the point; a vector for residuals and contributions.
    """

    derivative: Array
    n_calls: int
    seconds: Vector
    error: Array | None = None
    noise: Array | None = None
    output: Any = None


def take_numerical(task: Task, x: Vector, options: NumdiffOptions, box: FlatBounds | None = None) -> Taken:
    """Differences at x; entries that the box does not let move cost nothing.

    Raises:
        Failed: the function can't be differentiated so.
    """
    ledger, differences = prepare(task, options, box)
    done = _differences(differences, x, ledger)
    return _taken(done, _seconds(ledger), done.noise)


def take_steady(task: Task, x: Vector, options: NumdiffOptions, box: FlatBounds | None = None) -> tuple[Taken, int]:
    """The second derivative at x, which uses what the first one learnt, and the number of calls of both.

    Raises:
        Failed: the function can't be differentiated so.
    """
    ledger, differences = prepare(task, options, box)
    first, second = (_differences(differences, x, ledger) for _ in range(2))
    seconds = _seconds(ledger)
    own = seconds[seconds.size - sum(second.n_evaluations.values()) :]
    return _taken(second, own, first.noise), seconds.size


def prepare(task: Task, options: NumdiffOptions, box: FlatBounds | None = None) -> tuple[Ledger, Differences]:
    """Differences of the function, within its bounds or a box, and the ledger that their calls go to."""
    ledger = Ledger(task.n)
    evaluator = Evaluator(ledger, task.converter.describe)
    bounds = task.bounds if box is None else box
    return ledger, Differences(task.function, evaluator, task.converter, bounds, options, standalone=True)


def _differences(differences: Differences, x: Vector, ledger: Ledger) -> Any:
    try:
        with warnings.catch_warnings():
            # A complex step through a function that drops the imaginary part: the check of it says so.
            warnings.simplefilter("ignore", np.exceptions.ComplexWarning)
            done = differences.derivative(x, ask_value=True)
    except OptcoreError as error:
        raise Failed(_first_line(error), _seconds(ledger).size) from error
    assert done is not None  # nothing is survived here
    if not np.isfinite(to_dense(done.derivative)).all():
        raise Failed("the derivative is not finite", _seconds(ledger).size)
    return done


def _taken(done: Any, seconds: Vector, noise: Array | None) -> Taken:
    error = None if done.error is None else to_dense(done.error)
    return Taken(to_dense(done.derivative), seconds.size, seconds, error, noise, done.output)


def _seconds(ledger: Ledger) -> Vector:
    """How long each call took."""
    rows = ledger.rows()
    return rows.stop - rows.start


def take_exact(x: Vector, function: FlatJac) -> Taken:
    """The derivative that a function of the user, or JAX, gives at x.

    Raises:
        Failed: it raises, or what it gives doesn't fit.
    """
    point = x.copy()
    started = perf_counter()
    try:
        answer, _ = function(point)
    except Exception as error:  # whatever the user's function raises
        traced = isinstance(function.function, JaxDerivative)
        words = f"{'JAX cannot trace it: ' if traced else ''}{type(error).__name__}: {_first_line(error)}"
        raise Failed(words, n_calls=int(traced)) from error
    seconds = np.array([perf_counter() - started])
    derivative = to_dense(answer[1] if isinstance(function, FlatFunAndJac) else answer)
    if not np.isfinite(derivative).all():
        raise Failed("it gives values that aren't finite")
    return Taken(derivative, 1, seconds, output=answer[0] if isinstance(function, FlatFunAndJac) else None)


def user_sources(task: Task) -> list[Source]:
    """What the user gave, and JAX where it is installed."""
    names = {"jac": "analytic", "fun_and_jac": "fun_and_jac"}
    sources = [Source(names[name], {name: task.given[name]}, exact=flat) for name, flat in task.exact.items()]
    return [*sources, *_jax_source(task)]


def _jax_source(task: Task) -> list[Source]:
    if importlib.util.find_spec("jax") is None:
        return []
    function = JaxDerivative(task.function.function, task.kind, dict(task.arguments.get("fun_kwargs", {})))
    name = "jac" if task.kind is not Kind.SCALAR else "fun_and_jac"
    marks: Mapping[Kind, Callable[[Any], Any]] = {Kind.LEAST_SQUARES: least_squares, Kind.LIKELIHOOD: likelihood}
    marked = marks[task.kind](function) if task.kind in marks else function
    cls = FlatJac if name == "jac" else FlatFunAndJac
    # Its kwargs are bound: minimize must not add those of fun again.
    flat = cls(function, task.kind, {}, task.converter, task.function.reader)
    return [Source("jax", {name: marked, f"{name}_kwargs": {}}, exact=flat)]


class JaxDerivative:
    """JAX's derivative of the user's function, compiled, in double precision, as a function of params.

    With the value for functions that return a number; forward mode for residuals and contributions. Double precision is
    switched on around these calls only.

    Args:
        fun: the user's function; must be written in JAX's numpy, or in operators that JAX follows.
        kind: of the function.
        kwargs: its further arguments.
    """

    def __init__(self, fun: Callable[..., Any], kind: Kind, kwargs: Mapping[str, Any]) -> None:
        self.fun, self.kind, self.kwargs = fun, kind, dict(kwargs)
        self._compiled: Any = None

    def __call__(self, params: Any) -> Any:
        """The derivative at params; a pair (value, gradient) for functions that return a number."""
        import jax

        from optcore_bench.strategies import double_precision

        with double_precision(jax)():
            if self._compiled is None:
                self._compiled = self._compile(jax)
            return self._compiled(params)

    def _compile(self, jax: Any) -> Any:
        fun, kwargs = self.fun, self.kwargs

        def of_params(params: Any) -> Any:
            return fun(params, **kwargs)

        return jax.jit(jax.value_and_grad(of_params) if self.kind is Kind.SCALAR else jax.jacfwd(of_params))

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_compiled": None}

    def __repr__(self) -> str:
        return f"JaxDerivative({getattr(self.fun, '__qualname__', self.fun)!s})"


def with_cores(source: Source, n_cores: int) -> Source:
    """The same differences, in worker processes."""
    if source.options is None or n_cores == 1:
        return source
    options = replace(source.options, n_cores=n_cores)
    return replace(source, arguments={"numdiff_options": options}, options=options)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]
