"""Plain functions as solvers."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError
from optcore.marks import Kind
from optcore.objective import Objective
from optcore.solvers.algorithm import Algorithm, SolverResult

__all__ = ["CALLABLE_ARGUMENTS", "CallableAlgorithm", "announced"]

#: What a plain callable may ask for by the names of its parameters.
CALLABLE_ARGUMENTS = (
    "fun", "x0", "jac", "fun_and_jac", "residuals", "residuals_jacobian",
    "bounds", "max_evaluations", "max_seconds", "seed", "options",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class CallableAlgorithm(Algorithm):
    """A plain function as a solver. It gets by name what its signature asks for.

    Among `fun, x0, jac, fun_and_jac, residuals, residuals_jacobian, bounds, max_evaluations, max_seconds, seed,
    options`: functions of flat vectors, bounds as a pair of arrays or None, the budget (or None), a seed and the
    options. It returns x, or an object or dict with `x` and what it claims (`fun, nfev, success, message, nit`).

    Args:
        function: the solver.
        options: given to it as `options`, if it asks.
    """

    name: ClassVar[str] = "callable"
    library: ClassVar[str] = "optcore"
    supports_bounds: ClassVar[bool] = True

    function: Callable[..., Any]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self, *given: Any) -> None:
        asked = self.asks_for
        if not {"fun", "fun_and_jac", "residuals"} & set(asked):
            raise InvalidInputError(
                f"the solver {self.label!r} asks for ({', '.join(asked)}); "
                "it must ask for fun, fun_and_jac or residuals"
            )
        takes_residuals = "residuals" in asked and "fun" not in asked and "fun_and_jac" not in asked
        takes_derivative = bool({"jac", "fun_and_jac", "residuals_jacobian"} & set(asked))
        object.__setattr__(self, "kind", Kind.LEAST_SQUARES if takes_residuals else Kind.SCALAR)
        object.__setattr__(self, "needs_jac", takes_derivative)
        object.__setattr__(self, "asks_jointly", "fun_and_jac" in asked)
        object.__setattr__(self, "name", self.label)

    @property
    def label(self) -> str:
        """What the function is called."""
        return getattr(self.function, "__name__", type(self.function).__name__)

    @property
    def asks_for(self) -> tuple[str, ...]:
        """The names in its signature, all of which must be known."""
        asked = []
        for name, parameter in inspect.signature(self.function).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if name in CALLABLE_ARGUMENTS:
                asked.append(name)
            elif parameter.default is parameter.empty:
                raise InvalidInputError(
                    f"the solver {getattr(self.function, '__name__', self.function)!r} asks for {name!r}; "
                    f"a solver gets by name any of {', '.join(CALLABLE_ARGUMENTS)}"
                )
        return tuple(asked)

    def solve(self, objective: Objective, x0: NDArray[np.float64], bounds: FlatBounds) -> SolverResult:
        """Call the function with what it asks for and read what it returns."""
        functions = {
            "fun": objective.value,
            "jac": objective.gradient,
            "fun_and_jac": objective.value_and_gradient,
            "residuals": objective.residuals,
            "residuals_jacobian": objective.jacobian,
        }
        offered: dict[str, Any] = {
            **{name: _of_any_point(function, objective.n, self.label) for name, function in functions.items()},
            "x0": x0.copy(),
            "bounds": (bounds.lower, bounds.upper) if bounds.any else None,
            "max_evaluations": objective.evaluator.max_evaluations,
            "max_seconds": objective.evaluator.max_seconds,
            "seed": self.options.get("seed", 0),
            "options": dict(self.options),
        }
        return _read_answer(self.function(**{name: offered[name] for name in self.asks_for}), objective.n, self.label)


def _of_any_point(function: Callable[..., Any], n: int, label: str) -> Callable[[Any], Any]:
    """The function, for points as people write them; below it there are float64 vectors of shape (n,) only."""

    @functools.wraps(function)
    def call(x: Any) -> Any:
        if type(x) is np.ndarray and x.dtype == np.float64 and x.shape == (n,):
            return function(x)
        return function(_vector(x, n, f"the solver {label!r} must evaluate at points of shape ({n},), but gave"))

    return call


def _vector(x: Any, n: int, words: str) -> NDArray[np.float64]:
    """The point as float64 of shape (n,).

    Raises:
        InvalidInputError: it can't be; says so in the words given, and what it is.
    """
    try:
        given = np.asarray(x)
        flat = None if np.iscomplexobj(given) else given.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        flat = None
    if flat is None or flat.shape != (n,):
        raise InvalidInputError(f"{words} {x!r}")
    return flat


def announced(name: str, function: Callable[..., Any]) -> type[Algorithm]:
    """A plain function, as an installed package announces it in the entry-point group, as a class with that name.

    Args:
        name: what users call it.
        function: the solver.

    Returns:
        A class whose `from_options` gives a `CallableAlgorithm`; its attribute `plain_function` is the function.

    Raises:
        InvalidInputError: its signature asks for what a solver isn't given.
    """
    made = CallableAlgorithm(function)
    facts = {
        "__doc__": inspect.getdoc(function) or f"A function of {function.__module__}.",
        "name": name,
        "library": function.__module__.partition(".")[0],
        "plain_function": staticmethod(function),
        **{fact: getattr(made, fact) for fact in ("kind", "needs_jac", "asks_jointly")},
    }
    return type(f"Announced_{name}", (_Announced,), facts)


@dataclass(frozen=True)
class _Announced(Algorithm):
    """Base of what `announced` makes.

    Args:
        options: given to the function as `options`, if it asks.
    """

    supports_bounds: ClassVar[bool] = True
    plain_function: ClassVar[Callable[..., Any]]

    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Algorithm:
        """The function with its options, whatever they are called."""
        return CallableAlgorithm(cls.plain_function, dict(options))

    def solve(self, objective: Objective, x0: NDArray[np.float64], bounds: FlatBounds) -> SolverResult:
        """Call the function."""
        return CallableAlgorithm(self.plain_function, self.options).solve(objective, x0, bounds)


def _read_answer(answer: Any, n: int, label: str) -> SolverResult:
    """x, or an object or dict with x and claims."""
    if isinstance(answer, SolverResult):
        return answer  # checked where all are
    given = answer if isinstance(answer, Mapping) else getattr(answer, "__dict__", {})
    has_x = "x" in given or (hasattr(answer, "x") and not isinstance(answer, np.ndarray))
    x = given.get("x", answer.x if "x" not in given and has_x else answer)
    words = f"the solver {label!r} must return x of shape ({n},), or an object or dict with x, but returned"
    flat = _vector(x, n, words)
    if not has_x:
        return SolverResult(flat)
    names = ("fun", "nfev", "njev", "nit", "success", "message")
    claims = {
        name: given.get(name, getattr(answer, name, None)) for name in names if name in given or hasattr(answer, name)
    }
    success = claims.get("success")
    iterations = claims.get("nit")
    return SolverResult(
        flat,
        success=None if success is None else bool(success),
        message=str(claims.get("message", "")),
        n_iterations=None if iterations is None else int(iterations),
        claims=claims,
    )
