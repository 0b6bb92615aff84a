"""Any algorithm of optimagic, an optional library (extra `optimagic`), as `optimagic:NAME`.

Each gets a class of its own when it is asked for, whose options are optimagic's: names, defaults and checks. Nothing
of optimagic is imported before, since that takes seconds. optimagic's algorithms are handed our objective directly:
its start-up checks, its history and its numerical derivatives don't run, so that every call of a user function goes
through the evaluator here.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.util
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from optcore.bounds import FlatBounds
from optcore.errors import InvalidInputError, UnknownNameError, unknown_name
from optcore.marks import Kind
from optcore.objective import Objective
from optcore.solvers._box import Box
from optcore.solvers._random import Stream
from optcore.solvers.algorithm import Algorithm, SolverResult, get_algorithm, register_family

__all__ = ["Optimagic", "optimagic_algorithm", "optimagic_algorithms"]

Vector = NDArray[np.float64]

PREFIX = "optimagic"
#: How the classes are called, so that they are found here by name when they are unpickled.
_CLASS = "optimagic_"

#: How the name of an algorithm begins -> the library that does the work: its import name, and what pip installs.
BACKENDS = {
    "bayes_opt": ("bayes_opt", "bayesian-optimization"),
    "fides": ("fides", "fides"),
    "gfo_": ("gradient_free_optimizers", "gradient-free-optimizers"),
    "iminuit_": ("iminuit", "iminuit"),
    "ipopt": ("cyipopt", "cyipopt"),
    "nag_dfols": ("dfols", "DFO-LS"),
    "nag_pybobyqa": ("pybobyqa", "Py-BOBYQA"),
    "nevergrad_": ("nevergrad", "nevergrad"),
    "nlopt_": ("nlopt", "nlopt"),
    "pygad": ("pygad", "pygad"),
    "pygmo_": ("pygmo", "pygmo"),
    "pyswarms_": ("pyswarms", "pyswarms"),
    "scipy_": ("scipy", "scipy"),
    "tao_": ("petsc4py", "petsc4py"),
    "tranquilo": ("tranquilo", "tranquilo"),
}
_TOLERANCE = re.compile(r"convergence_[fgx]tol_(abs|rel)")
_TIGHT = 1e-14


@dataclass(frozen=True)
class Optimagic(Algorithm):
    """What the algorithms of optimagic share. Their papers are named in optimagic's documentation.

    A solver that draws random numbers is repeatable: its `seed` is 0 unless another is given.

    Class attributes:
        theirs: optimagic's own class.
        needs_bounds: whether all params need finite bounds.
        takes_infinite_bounds: whether one side may be missing where there are bounds.
    """

    library: ClassVar[str] = "optimagic"
    extra: ClassVar[str | None] = "optimagic"
    theirs: ClassVar[Any]
    needs_bounds: ClassVar[bool] = False
    takes_infinite_bounds: ClassVar[bool] = True

    def __post_init__(self, *given: Any) -> None:
        """Let optimagic check its options."""
        if getattr(self, "n_cores", 1) != 1:
            raise InvalidInputError(
                f"{self.name} has n_cores={self.n_cores!r}, but its calls are counted one after the other: "  # type: ignore[attr-defined]
                "leave n_cores at 1 (numerical derivatives run in parallel with om.NumdiffOptions(n_cores=...))"
            )
        self.make()

    def make(self) -> Any:
        """Optimagic's own algorithm with these options.

        Raises:
            InvalidInputError: optimagic refuses a value.
        """
        options = {option.name: getattr(self, option.name) for option in dataclasses.fields(self)}
        try:
            return self.theirs(**options)
        except Exception as error:  # whatever its checks raise
            raise InvalidInputError(f"{self.name} refuses its options: {error}") from error

    @classmethod
    def backend(cls) -> tuple[str, str] | None:
        """The library that does the work: its import name, and what pip installs; None if optimagic itself does."""
        own = cls.name.partition(":")[2]
        return next((backend for beginning, backend in BACKENDS.items() if own.startswith(beginning)), None)

    @classmethod
    def available(cls) -> bool:
        """Whether the library that does the work is installed, too."""
        return bool(cls.theirs.algo_info.is_available)

    @classmethod
    def missing(cls) -> str | None:
        """What has to be installed before it can run, one sentence; None if nothing."""
        if cls.available():
            return None
        backend = cls.backend()
        if backend is None or importlib.util.find_spec(backend[0]) is not None:
            return f"optimagic can't run {cls.name} with what is installed; see its list of algorithms"
        return f"{cls.name} needs {backend[0]}, which is not installed: pip install {backend[1]}"

    def solve(self, objective: Objective, x0: Vector, bounds: FlatBounds) -> SolverResult:
        """Run optimagic's algorithm. What the user's functions raise passes through."""
        box = Box(x0, bounds)
        if not box.free.any():
            return SolverResult(x0, success=True, message="all params are fixed by their bounds")
        self._check(box.bounds)
        seed = getattr(self, "seed", None)
        stream = Stream(seed if isinstance(seed, int) else 0)
        problem = _Problem(objective, box, stream)
        if self.name.startswith(f"{PREFIX}:nlopt_"):
            importlib.import_module("nlopt").srand(0)  # its generator is the process's
        failure: Exception | None = None
        with stream.in_solver(), warnings.catch_warnings():
            self._silence()
            try:
                result = self.make()._solve_internal_problem(problem, box.start.copy())
            except _Unwind:
                pass
            except Exception as error:  # noqa: BLE001  of the algorithm, or what a library made of ours
                failure = error
        if problem.raised is not None:
            raise problem.raised
        if failure is not None:
            return self._failed(failure, problem, objective)
        return _read(result, box)

    def _silence(self) -> None:
        """Ignore remarks that tell a user nothing to act on: of the libraries, on what they do themselves."""
        warnings.filterwarnings("ignore", message="delta_grad == 0.0", category=UserWarning)  # scipy's trust-constr
        for library in (PREFIX, *self.built_on):
            if library != "scipy":
                warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")

    def _check(self, bounds: FlatBounds) -> None:
        finite = np.isfinite(bounds.lower) & np.isfinite(bounds.upper)
        if (self.needs_bounds or (bounds.any and not self.takes_infinite_bounds)) and not finite.all():
            raise InvalidInputError(
                f"{self.name} works within finite bounds of all params only; give them: bounds=om.Bounds(lower, upper)"
            )

    def _failed(self, failure: Exception, problem: _Problem, objective: Objective) -> SolverResult:
        """The best so far; an error where it failed before it asked for anything, since then its input is wrong."""
        what = f"{type(failure).__name__}: {failure}"
        if not problem.was_asked:
            raise InvalidInputError(f"{self.name} can't start: {what}") from failure
        best = objective.best_x
        return SolverResult(
            objective.x0 if best is None else best, success=False, message=f"{self.name} failed: {what}"
        )


class _Unwind(BaseException):
    """Ends an algorithm, whatever it catches; what was raised stands in the problem."""


class _Problem:
    """What optimagic's algorithms see of a problem (see its InternalOptimizationProblem): our objective.

    Once a user function has raised, or the budget is spent, no user function is called any more.
    """

    linear_constraints: None = None
    logger: None = None

    def __init__(self, objective: Objective, box: Box, stream: Stream) -> None:
        self.raised: BaseException | None = None
        self.was_asked = False
        self.nonlinear_constraints: list[Any] = []
        self._box = box
        self._stream = stream
        scalar = objective.kind is Kind.SCALAR
        self._value: Callable[[Vector], Any] = objective.value if scalar else objective.residuals
        self._derivative: Callable[[Vector], Any] = objective.gradient if scalar else objective.jacobian
        self._both: Callable[[Vector], Any] = (
            objective.value_and_gradient if scalar else objective.residuals_and_jacobian
        )
        self.bounds = _internal_bounds(box.bounds)
        self.direction = importlib.import_module("optimagic.typing").Direction.MINIMIZE
        self.converter = SimpleNamespace(
            params_to_internal=lambda params: np.asarray(params, dtype=np.float64),
            params_from_internal=lambda x, **_: x,
            derivative_to_internal=lambda derivative, *_, **__: derivative,
            has_transforming_constraints=False,
        )

    def fun(self, x: Vector) -> Any:
        """The value; residuals or contributions, shape (m,)."""
        return self._ask(self._value, x)

    def jac(self, x: Vector) -> Any:
        """The gradient, shape (k,); or the jacobian, shape (m, k)."""
        return self._of_free(self._ask(self._derivative, x))

    def fun_and_jac(self, x: Vector) -> tuple[Any, Any]:
        """Both."""
        value, derivative = self._ask(self._both, x)
        return value, self._of_free(derivative)

    def _of_free(self, derivative: Any) -> Any:
        """Columns of what is free, in numpy's usual order: in another one scipy 1.18 computes other last digits."""
        return np.ascontiguousarray(derivative[..., self._box.free])

    def batch_fun(self, x_list: list[Vector], n_cores: int = 1, batch_size: int | None = None) -> list[Any]:  # noqa: ARG002
        """Values at several points."""
        return [self.fun(x) for x in x_list]

    def batch_jac(self, x_list: list[Vector], n_cores: int = 1, batch_size: int | None = None) -> list[Any]:  # noqa: ARG002
        """Derivatives at several points."""
        return [self.jac(x) for x in x_list]

    def batch_fun_and_jac(self, x_list: list[Vector], n_cores: int = 1, batch_size: int | None = None) -> list[Any]:  # noqa: ARG002
        """Both at several points."""
        return [self.fun_and_jac(x) for x in x_list]

    def _ask(self, question: Callable[[Vector], Any], x: Vector) -> Any:
        if self.raised is not None:
            raise _Unwind
        self.was_asked = True
        z = np.asarray(x, dtype=np.float64).reshape(self._box.start.shape)
        try:
            return self._stream.in_user(question)(self._box.expand_rounded(z))
        except BaseException as error:  # noqa: BLE001  to be raised where the algorithm can't swallow it
            self.raised = error
        raise _Unwind


def _internal_bounds(bounds: FlatBounds) -> Any:
    """A side without any bound is None to optimagic."""
    theirs = importlib.import_module("optimagic.optimization.internal_optimization_problem").InternalBounds
    return theirs(
        lower=bounds.lower if np.isfinite(bounds.lower).any() else None,
        upper=bounds.upper if np.isfinite(bounds.upper).any() else None,
    )


def _read(result: Any, box: Box) -> SolverResult:
    """A SolverResult from optimagic's InternalOptimizeResult."""
    counts = {"nfev": result.n_fun_evals, "njev": result.n_jac_evals, "status": result.status}
    return SolverResult(
        box.expand_rounded(np.asarray(result.x, dtype=np.float64)),
        success=None if result.success is None else bool(result.success),
        message="" if result.message is None else str(result.message),
        n_iterations=None if result.n_iterations is None else int(result.n_iterations),
        claims={name: value for name, value in counts.items() if value is not None},
    )


def optimagic_algorithm(name: str) -> type[Algorithm]:
    """The class of one of optimagic's algorithms.

    Where optimagic isn't installed it is one that only says so: what optimagic has isn't known then.

    Args:
        name: optimagic's name, without a prefix.

    Raises:
        UnknownNameError: optimagic has no such algorithm; suggests the nearest.
    """
    return _algorithm_class(name) if _is_installed() else _stand_in(name)


def optimagic_algorithms() -> Iterator[type[Algorithm]]:
    """The classes of all; none where optimagic isn't installed. Imports optimagic."""
    if _is_installed():
        yield from map(_algorithm_class, sorted(_known()))


def _is_installed() -> bool:
    return importlib.util.find_spec(PREFIX) is not None


@dataclass(frozen=True)
class _NotInstalled(Algorithm):
    """Stands for an algorithm of optimagic where optimagic is missing."""

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Algorithm:  # noqa: ARG003  which there are isn't known
        """An instance, whatever the options."""
        return cls()


@functools.cache
def _stand_in(name: str) -> type[Algorithm]:
    members = {"name": f"{PREFIX}:{name}", "library": PREFIX, "extra": PREFIX, "__module__": __name__}
    return type(f"{_CLASS}{name}", (_NotInstalled,), members)


@functools.cache
def _known() -> dict[str, Any]:
    return dict(importlib.import_module("optimagic.algorithms").ALL_ALGORITHMS)


@functools.cache
def _algorithm_class(name: str) -> type[Algorithm]:
    known = _known()
    if name not in known:
        raise unknown_name("algorithm of optimagic", name, known)
    theirs = known[name]
    info = theirs.algo_info
    options = [_option(field) for field in dataclasses.fields(theirs) if not field.name.startswith("_")]
    members = {
        "__module__": __name__,
        "__doc__": _summary(theirs, name),
        "name": f"{PREFIX}:{name}",
        "kind": Kind(info.solver_type.value),
        "needs_jac": info.needs_jac,
        "supports_bounds": info.supports_bounds,
        "needs_bounds": info.needs_bounds,
        "takes_infinite_bounds": info.supports_infinite_bounds,
        "is_global": info.is_global,
        "is_deterministic": all(option != "seed" for option, *_ in options),
        "asks_jointly": info.needs_jac and not info.is_global,  # a local solver wants both at the start
        "tight": _tight(name, options),
        "theirs": theirs,
    }
    made = dataclasses.make_dataclass(f"{_CLASS}{name}", options, bases=(Optimagic,), namespace=members, frozen=True)
    backend = made.backend()  # type: ignore[attr-defined]
    made.built_on = () if backend is None else (backend[0],)  # type: ignore[attr-defined]
    return made


def _option(field: dataclasses.Field[Any]) -> tuple[str, Any, Any]:
    """An option as optimagic has it."""
    if field.name == "seed" and field.default is None:
        return field.name, Any, 0
    if field.default_factory is not dataclasses.MISSING:
        return field.name, Any, dataclasses.field(default_factory=field.default_factory)
    return field.name, Any, field.default


def _summary(theirs: Any, name: str) -> str:
    """The first paragraph of optimagic's own text, where there is one."""
    text = " ".join((theirs.__doc__ or "").partition("\n\n")[0].split())
    return f"{name} of optimagic." if not text or text.startswith(theirs.__name__) else text


def _tight(name: str, options: list[tuple[str, Any, Any]]) -> dict[str, float]:
    """The strictest tolerances: those known here for the same method, and 1e-14 for the usual names."""
    given = {option: default for option, _, default in options}
    usual = {
        option: _TIGHT
        for option, default in given.items()
        if _TOLERANCE.fullmatch(option) and isinstance(default, (int, float)) and default > _TIGHT
    }
    try:
        same = get_algorithm(name).tight
    except UnknownNameError:
        same = {}
    return {**usual, **{option: value for option, value in same.items() if option in given}}


def __getattr__(name: str) -> Any:
    """The classes by their own names, as they are looked up when they are unpickled."""
    if name.startswith(_CLASS):
        try:
            return optimagic_algorithm(name.removeprefix(_CLASS))
        except UnknownNameError as error:
            raise AttributeError(str(error)) from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register_family(PREFIX, optimagic_algorithm)
