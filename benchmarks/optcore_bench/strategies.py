"""Where derivatives come from: one strategy each, by name.

A strategy turns a problem and the kind of a solver into arguments of `om.minimize`, and says beforehand where it
can't. Strategies are frozen values: they go into studies, into run ids and to worker processes.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.errors import InvalidInputError, UnknownNameError, unknown_name
from optcore.marks import Kind, least_squares
from optcore.numdiff.derivative import NumericalDerivative, first_derivative
from optcore.numdiff.options import NumdiffOptions
from optcore.solvers import Algorithm
from optcore.sparse import Jacobian, entries
from optcore_problems import Problem
from optcore_problems.least_squares import MOST_ENTRIES

__all__ = [
    "NotApplicableError",
    "Strategy",
    "derivative_error",
    "make_strategy",
    "objective",
    "strategy_names",
    "strategy_table",
]

Vector = NDArray[np.float64]
Array = NDArray[np.float64]


class NotApplicableError(Exception):
    """A strategy turns out not to fit a problem only when it is tried; the message says why."""


@dataclass(frozen=True)
class Strategy:
    """Base of all derivative strategies.

    Args:
        name: what rows and tables call it; the strategy's own name unless the study gives another.
        options: what was chosen, by name.

    Class attributes:
        strategy: its name in studies.
        summary: one line for `optcore list derivatives`.
        setup_seconds: time that the preparation in a fresh process may take on top of a limit by time.
    """

    strategy: ClassVar[str]
    summary: ClassVar[str]
    setup_seconds: ClassVar[float] = 0.0

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = self.option_names()
        for option in self.options:
            if option not in known:
                raise _unknown_option(self.strategy, option, known)

    @classmethod
    def option_names(cls) -> list[str]:
        """The options it takes."""
        return []

    @property
    def resolved_options(self) -> dict[str, Any]:
        """All options with their values, defaults included."""
        return dict(self.options)

    def applicable(self, problem: Problem, algorithm: Algorithm) -> str | None:
        """Why this pair can't be, one sentence; None if it can."""
        if not algorithm.needs_jac:
            return "the solver uses no derivative; it runs under 'none'"
        if self.strategy in problem.excludes:
            return f"{problem.full_name} excludes {self.strategy!r}: {problem.excludes[self.strategy]}"
        return self.missing(problem, algorithm.kind)

    def missing(self, problem: Problem, kind: Kind) -> str | None:  # noqa: ARG002  most strategies fit every problem
        """What the problem, or the installation, lacks for a solver of this kind; None if nothing."""
        return None

    def arguments(self, problem: Problem, kind: Kind, x: Vector) -> dict[str, Any]:
        """Arguments of `om.minimize` beside fun.

        Args:
            problem: the problem.
            kind: the kind of the solver.
            x: the start, shape (n,); what must be compiled is compiled for it.

        Raises:
            NotApplicableError: it can't be after all.
        """
        raise NotImplementedError

    def derivative(self, problem: Problem, kind: Kind, x: Vector) -> Jacobian:
        """The derivative that this strategy gives at x, shape (n,).

        Shape (n,) for scalar solvers; for residuals (m, n), a csr_array where the strategy finds a sparse jacobian.
        """
        raise NotImplementedError


def objective(problem: Problem, kind: Kind) -> Callable[..., Any]:
    """What a solver of this kind minimizes: the scalar function only, or the marked residuals."""
    return least_squares(problem.residuals) if kind is Kind.LEAST_SQUARES else problem.fun


def _exact(problem: Problem, kind: Kind) -> Callable[[Vector], Jacobian]:
    return problem.jacobian if kind is Kind.LEAST_SQUARES else problem.gradient


def _has_exact(problem: Problem, kind: Kind) -> bool:
    return problem.jacobian_np is not None if kind is Kind.LEAST_SQUARES else problem.has_gradient


def _too_large(problem: Problem, kind: Kind) -> str | None:
    """Why there is no dense jacobian of the residuals, one sentence; None if it fits into memory."""
    entries = (problem.m or 0) * problem.n
    if kind is not Kind.LEAST_SQUARES or entries <= MOST_ENTRIES:
        return None
    return (
        f"the dense jacobian of {problem.full_name} would have {problem.m} x {problem.n} entries, "
        f"{8e-9 * entries:.1f} GB; jacobians that large must be sparse"
    )


def _marked(function: Callable[..., Any], kind: Kind) -> Callable[..., Any]:
    return least_squares(function) if kind is Kind.LEAST_SQUARES else function


class NoDerivative(Strategy):
    """For solvers that use none."""

    strategy = "none"
    summary = "no derivative: for solvers that use none"

    def applicable(self, problem: Problem, algorithm: Algorithm) -> str | None:  # noqa: ARG002  the problem doesn't matter
        """Every solver that uses no derivative."""
        return "the solver needs a derivative" if algorithm.needs_jac else None

    def arguments(self, problem: Problem, kind: Kind, x: Vector) -> dict[str, Any]:  # noqa: ARG002  nothing is needed
        """Nothing."""
        return {}


class Analytic(Strategy):
    """The problem's closed form as `jac`."""

    strategy = "analytic"
    summary = "closed form of the problem, as a function of its own"

    def missing(self, problem: Problem, kind: Kind) -> str | None:
        """The closed form may be missing, or a dense jacobian too large."""
        if not _has_exact(problem, kind):
            return f"{problem.full_name} has no derivative in closed form"
        needs_jacobian = kind is Kind.LEAST_SQUARES or problem.original.gradient_np is None
        return _too_large(problem, Kind.LEAST_SQUARES) if problem.pattern is None and needs_jacobian else None

    def arguments(self, problem: Problem, kind: Kind, x: Vector) -> dict[str, Any]:  # noqa: ARG002  nothing to compile
        """The closed form as `jac`."""
        return {"jac": _marked(_exact(problem, kind), kind)}

    def derivative(self, problem: Problem, kind: Kind, x: Vector) -> Jacobian:
        """The closed form itself."""
        return _exact(problem, kind)(x)


class FunAndJac(Analytic):
    """The problem's value and closed form in one call."""

    strategy = "fun_and_jac"
    summary = "closed form of the problem, together with the value in one call"

    def arguments(self, problem: Problem, kind: Kind, x: Vector) -> dict[str, Any]:  # noqa: ARG002  nothing to compile
        """Value and closed form as `fun_and_jac`."""
        value, exact = (problem.residuals if kind is Kind.LEAST_SQUARES else problem.fun), _exact(problem, kind)

        def value_and_derivative(x: Vector) -> tuple[Any, Jacobian]:
            return value(x), exact(x)

        return {"fun_and_jac": _marked(value_and_derivative, kind)}


class Jax(Strategy):
    """Automatic differentiation of the problem's own code, compiled, in double precision.

    Reverse mode with the value for scalar solvers (`fun_and_jac`), forward mode for the jacobian of residuals, of
    which there are at least as many as variables. Double precision is switched on around these calls only.
    """

    strategy = "jax"
    summary = "automatic differentiation by JAX, compiled (extra: jax)"
    setup_seconds = 60.0

    def missing(self, problem: Problem, kind: Kind) -> str | None:
        """JAX may be missing, or the jacobian, which is dense, too large; the rest is known when it is tried."""
        if importlib.util.find_spec("jax") is None:
            return "the strategy 'jax' needs jax, which is not installed: pip install 'optcore[jax]'"
        return _too_large(problem, kind)

    def arguments(self, problem: Problem, kind: Kind, x: Vector) -> dict[str, Any]:
        """The compiled function: `jac` of residuals, `fun_and_jac` of a scalar."""
        compiled = self._compile(problem, kind, x)
        if kind is Kind.LEAST_SQUARES:
            return {"jac": least_squares(compiled)}
        return {"fun_and_jac": compiled}

    def derivative(self, problem: Problem, kind: Kind, x: Vector) -> Array:
        """What the compiled function gives."""
        answer = self._compile(problem, kind, x)(x)
        return np.asarray(answer if kind is Kind.LEAST_SQUARES else answer[1])

    def _compile(self, problem: Problem, kind: Kind, x: Vector) -> Callable[[Vector], Any]:
        os.environ.setdefault("JAX_PLATFORMS", "cpu")  # small problems lose on accelerators, and those lose digits
        import jax

        double = double_precision(jax)
        traced = jax.jit(
            jax.jacfwd(problem.residuals) if kind is Kind.LEAST_SQUARES else jax.value_and_grad(problem.fun)
        )

        def compiled(x: Vector) -> Any:
            with double():
                answer = traced(x)
            if kind is Kind.LEAST_SQUARES:
                return np.asarray(answer)
            return float(answer[0]), np.asarray(answer[1])

        try:
            compiled(np.asarray(x, dtype=np.float64))
        except Exception as error:  # whatever foreign code raises at a tracer
            first = str(error).strip().partition("\n")[0]
            raise NotApplicableError(
                f"{problem.full_name} can't be traced by JAX: {type(error).__name__}: {first}"
            ) from error
        return compiled


def double_precision(jax: Any) -> Callable[[], Any]:
    """A context manager that switches double precision on here, not for the process."""
    if hasattr(jax, "enable_x64"):
        return lambda: jax.enable_x64(True)
    return importlib.import_module("jax.experimental").enable_x64  # type: ignore[no-any-return]  # before JAX 0.8


class Numerical(Strategy):
    """Differences of the problem's function; options are those of `om.NumdiffOptions`.

    Class attributes:
        settled: options that the strategy chooses itself.
    """

    settled: ClassVar[tuple[str, ...]] = ("method",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if callable(self.options.get("batch_evaluator")):
            raise InvalidInputError(
                f"{self.strategy}: batch_evaluator must be a name in a study, so that it can be stored"
            )
        self.numdiff_options  # noqa: B018  validates the values

    @classmethod
    def option_names(cls) -> list[str]:
        """Those of NumdiffOptions, but for what the strategy settles."""
        return [option.name for option in fields(NumdiffOptions) if option.name not in cls.settled]

    @property
    def numdiff_options(self) -> NumdiffOptions:
        """The same as the core has them."""
        return NumdiffOptions(method=self.strategy, **self.options)  # type: ignore[arg-type]

    @property
    def resolved_options(self) -> dict[str, Any]:
        """All options with their values, defaults included."""
        options = self.numdiff_options
        return {name: getattr(options, name) for name in self.option_names()}

    def missing(self, problem: Problem, kind: Kind) -> str | None:
        """The jacobian is dense unless a pattern is given."""
        return _too_large(problem, kind) if self.options.get("sparsity") is None else None

    def arguments(self, problem: Problem, kind: Kind, x: Vector) -> dict[str, Any]:  # noqa: ARG002  nothing to compile
        """How the core is to take differences."""
        return {"numdiff_options": self.numdiff_options}

    def derivative(self, problem: Problem, kind: Kind, x: Vector) -> Array:
        """The same differences, by `om.first_derivative`."""
        found = first_derivative(objective(problem, kind), x, bounds=problem.bounds, options=self.numdiff_options)
        return np.asarray(found.derivative, dtype=np.float64)


class Forward(Numerical):
    """Forward differences."""

    strategy = "forward"
    summary = "forward differences: n + 1 evaluations a derivative"


class Backward(Numerical):
    """Backward differences."""

    strategy = "backward"
    summary = "backward differences: n + 1 evaluations a derivative"


class Central(Numerical):
    """Central differences."""

    strategy = "central"
    summary = "central differences: 2 n evaluations a derivative"


class ComplexStep(Numerical):
    """Complex steps."""

    strategy = "complex_step"
    summary = "complex steps, exact to rounding: n evaluations a derivative, one or two more on the first (a check)"


class Richardson(Numerical):
    """Extrapolated differences."""

    strategy = "richardson"
    summary = "extrapolated differences with error bounds: 4 n to 12 n evaluations a derivative"


class Calibrated(Numerical):
    """Differences with measured steps; `method` is "forward" (the default), "backward" or "central"."""

    strategy = "calibrated"
    summary = "one extrapolated derivative measures the steps; then n + 1 evaluations (central: 2 n) a derivative"
    settled = ("step_size",)

    @property
    def numdiff_options(self) -> NumdiffOptions:
        """The same as the core has them."""
        return NumdiffOptions(step_size="calibrated", **self.options)

    def derivative(self, problem: Problem, kind: Kind, x: Vector) -> Array:
        """Differences with the measured steps: what all derivatives are but the first."""
        fun = objective(problem, kind)
        with NumericalDerivative(fun, x, bounds=problem.bounds, options=self.numdiff_options) as derivative:
            derivative(x)
            return np.asarray(derivative(x).derivative, dtype=np.float64)


class Sparse(Numerical):
    """Differences along the colours of the problem's pattern; `method` is "forward" unless the study says otherwise."""

    strategy = "sparse"
    summary = "differences of a sparse jacobian: one evaluation for each colour of the problem's pattern, and one"
    settled = ("sparsity",)

    @property
    def numdiff_options(self) -> NumdiffOptions:
        """The same as the core has them; the pattern is the problem's."""
        return NumdiffOptions(**self.options)

    def missing(self, problem: Problem, kind: Kind) -> str | None:
        """Only residuals have a sparse derivative, and not all problems know its pattern."""
        if kind is not Kind.LEAST_SQUARES:
            return "only the jacobian of residuals is sparse; the solver minimizes a scalar"
        return f"{problem.full_name} has no sparsity pattern" if problem.pattern is None else None

    def _with_pattern(self, problem: Problem) -> NumdiffOptions:
        return replace(self.numdiff_options, sparsity=problem.sparsity)

    def arguments(self, problem: Problem, kind: Kind, x: Vector) -> dict[str, Any]:  # noqa: ARG002  nothing to compile
        """How the core is to take differences."""
        return {"numdiff_options": self._with_pattern(problem)}

    def derivative(self, problem: Problem, kind: Kind, x: Vector) -> Jacobian:
        """The same differences, as a sparse array."""
        options = self._with_pattern(problem)
        return first_derivative(objective(problem, kind), x, bounds=problem.bounds, options=options).derivative


class Auto(Numerical):
    """Whatever the core chooses."""

    strategy = "auto"
    summary = "measured steps: forward differences, and central ones near the solution"
    settled = ("method", "step_size")


_STRATEGIES: dict[str, type[Strategy]] = {
    cls.strategy: cls
    for cls in (
        NoDerivative,
        Analytic,
        FunAndJac,
        Jax,
        ComplexStep,
        Forward,
        Backward,
        Central,
        Richardson,
        Calibrated,
        Auto,
        Sparse,
    )
}


def strategy_names() -> list[str]:
    """The names of all strategies.

    >>> strategy_names()
    ['none', 'analytic', 'fun_and_jac', 'jax', 'complex_step', 'forward', 'backward', 'central', 'richardson',
     'calibrated', 'auto', 'sparse']
    """
    return list(_STRATEGIES)


def strategy_table() -> list[tuple[str, str]]:
    """Name and one line on each strategy."""
    return [(name, cls.summary) for name, cls in _STRATEGIES.items()]


def make_strategy(given: Any) -> Strategy:
    """A strategy from a name, from a table `{name, strategy, options...}`, or a strategy as it is.

    >>> make_strategy({"name": "forward-8", "strategy": "forward", "n_cores": 8}).resolved_options["n_cores"]
    8

    Raises:
        UnknownNameError: an unknown strategy or option; suggests the nearest.
        InvalidInputError: neither a name nor a table, or a value out of range.
    """
    if isinstance(given, Strategy):
        return given
    if isinstance(given, str):
        given = {"strategy": given}
    if not isinstance(given, Mapping):
        raise InvalidInputError(f"a derivative strategy is a name or a table {{name, strategy, ...}}, not {given!r}")
    options = {key: value for key, value in given.items() if key not in ("name", "strategy")}
    kind = given.get("strategy", given.get("name"))
    if kind is None:
        raise InvalidInputError(f"a table of a derivative strategy needs the key 'strategy', but is {dict(given)!r}")
    if not isinstance(kind, str) or kind not in _STRATEGIES:
        raise unknown_name("derivative strategy", kind, _STRATEGIES)
    name = given.get("name", kind)
    if not isinstance(name, str) or not name:
        raise InvalidInputError(f"the name of a derivative strategy must be text, but is {name!r}")
    if name == NoDerivative.strategy != kind:
        raise InvalidInputError(f"the name 'none' is kept for runs without derivatives; call {kind!r} something else")
    return _STRATEGIES[kind](name, options)


def _unknown_option(strategy: str, option: str, known: list[str]) -> UnknownNameError:
    if not known:
        return UnknownNameError(f"the derivative strategy {strategy!r} takes no options, but got {option!r}")
    return unknown_name(f"option of the derivative strategy {strategy!r}", option, known)


def derivative_error(strategy: Strategy, problem: Problem, kind: Kind, x: Vector) -> float | None:
    """Relative error of the strategy's derivative D at x against the closed form E: max |D - E| / max |E|.

    The maxima go over all entries, so that an entry which is zero by chance doesn't count for more than the rest;
    where E is zero, the error is max |D|. Evaluations made for it belong to no run.

    Args:
        strategy: the strategy.
        problem: the problem.
        kind: scalar compares gradients, shape (n,); least squares compares jacobians, shape (m, n).
        x: the point, shape (n,).

    Returns:
        The error; None where there is nothing to compare, or where one of the two isn't finite.
    """
    if isinstance(strategy, NoDerivative) or not _has_exact(problem, kind):
        return None
    if isinstance(strategy, Analytic):
        return 0.0
    exact = _exact(problem, kind)(x)
    difference = _largest(strategy.derivative(problem, kind, x) - exact)
    scale = _largest(exact)
    error = difference / scale if scale > 0 else difference
    return error if np.isfinite(error) else None


def _largest(derivative: Jacobian) -> float:
    """The largest absolute value of the entries; what a sparse array leaves out is zero."""
    return float(np.max(np.abs(entries(derivative)), initial=0.0))
